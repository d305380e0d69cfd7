//! What the system tells a running server: to read its files again, and to stop.

use tokio::sync::mpsc;

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

/// Listens for Ctrl-C, and for SIGTERM where there is one, from now on; the result is done when one came. To be called before
/// anybody is told that the server is ready: a signal that comes earlier ends the program as it ends any other.
#[cfg(unix)]
pub(super) fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
    })
}

/// Listens for Ctrl-C from now on; the result is done when it came.
#[cfg(windows)]
pub(super) fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupts = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        let _ = interrupts.recv().await;
    })
}
