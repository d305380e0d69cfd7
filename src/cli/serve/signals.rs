//! What the system tells a running server: to read its files again, and to stop.

use tokio::sync::{mpsc, oneshot};

/// Reads the files again at each SIGHUP, where there is one.
pub(super) fn reload_on_hangup(requests: Vec<mpsc::Sender<()>>) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangups = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                // A full channel is asked for already.
                for request in &requests {
                    let _ = request.try_send(());
                }
            }
        });
    }
    #[cfg(not(unix))]
    drop(requests);
    Ok(())
}

/// Listens for Ctrl-C, and for SIGTERM where there is one, from now on; the first result is done when one came, the second
/// when another one did. To be called before anybody is told that the server is ready: a signal that comes earlier ends the
/// program as it ends any other.
pub(super) fn told_to_stop() -> std::io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut told = listening()?;
    let (stop, stopping) = oneshot::channel();
    let (hasten, hastening) = oneshot::channel();
    tokio::spawn(async move {
        // Nobody listens any more once the server has ended.
        told.next().await;
        let _ = stop.send(());
        told.next().await;
        let _ = hasten.send(());
    });
    Ok((until(stopping), until(hastening)))
}

async fn until(told: oneshot::Receiver<()>) {
    if told.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What asks the program to stop.
#[cfg(unix)]
struct Told(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
fn listening() -> std::io::Result<Told> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Told(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
}

#[cfg(unix)]
impl Told {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// What asks the program to stop.
#[cfg(windows)]
struct Told(tokio::signal::windows::CtrlC);

#[cfg(windows)]
fn listening() -> std::io::Result<Told> {
    tokio::signal::windows::ctrl_c().map(Told)
}

#[cfg(windows)]
impl Told {
    async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}
