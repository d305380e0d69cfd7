//! Connections: accepted up to [`Bounds::connections`] at a time, each served as HTTP/1 or HTTP/2, whichever it speaks, within
//! the limits of [`super::limits`].
//!
//! tonic's own transport does the same for gRPC. Here the loop is ours, since one port serves browsers as well, and since
//! hyper's limits on slow, idle and lying callers have to be set.
//!
//! A connection ends when its caller ends it; when it had no call for [`Bounds::idle`], or none at first for
//! [`Bounds::headers`]; when it grows too old; and when the server goes down. It is then told to go: its calls still
//! end, within a time, and a client calls again over a new one.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::access::caller::Peer;
use super::activity::Activity;
use super::front::{Connection, Front};
use super::limits::{
    Bounds, CLOSING_MAX, HEADER_BYTES_MAX, HTTP1_BUFFER_BYTES_MAX, KEEP_ALIVE_EVERY, KEEP_ALIVE_RETRIES,
    KEEP_ALIVE_TIMEOUT, RESETS_PENDING_MAX, UNANSWERED_MAX,
};
use super::places::Places;
use super::tls::Tls;
use super::turns::InTurns;

/// How long to wait after a failed accept, which is nearly always a lack of file handles that others have to give back.
const AFTER_FAULT: Duration = Duration::from_millis(100);

/// How connections are served.
pub(super) struct Door {
    pub(super) bounds: Bounds,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Serves connections until `down` becomes true and the calls that are under way then have ended. The listener is closed
/// first, so that new callers go elsewhere at once. While all places are taken the system keeps callers waiting.
pub(super) async fn serve(listener: TcpListener, door: Door, front: Arc<Front>, mut down: watch::Receiver<bool>) {
    let free = Arc::new(Semaphore::new(door.bounds.connections));
    let places = Places::new(door.bounds.connections_per_address);
    let builder = Arc::new(builder(&door.bounds));
    let door = Arc::new(door);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = is_true(&mut down) => break,
            // One that ended needs no more room here.
            Some(_) = connections.join_next() => continue,
            accepted = next(&listener, &free) => accepted,
        };
        let (stream, address, free) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(AFTER_FAULT).await;
                continue;
            }
        };
        let Some(place) = places.take(address) else {
            // Closed at once; not told to the log, which would be flooded as well.
            front.refused_connection();
            continue;
        };
        let (door, builder, front) = (Arc::clone(&door), Arc::clone(&builder), Arc::clone(&front));
        let down = down.clone();
        connections.spawn(async move {
            // A caller that is gone already is found out by reading.
            let _ = stream.set_nodelay(true);
            let socket = SockRef::from(&stream);
            let _ = socket.set_tcp_keepalive(&asking());
            #[cfg(target_os = "linux")]
            let _ = socket.set_tcp_user_timeout(Some(UNANSWERED_MAX));
            let _connected = front.connected();
            open(&door, &builder, (stream, address), front, down).await;
            drop((place, free));
        });
    }
    drop(listener);
    // Whoever does not wait for this drops what is left, and cuts it off.
    while connections.join_next().await.is_some() {}
}

type Accepted = (TcpStream, IpAddr, OwnedSemaphorePermit);

async fn next(listener: &TcpListener, free: &Arc<Semaphore>) -> std::io::Result<Accepted> {
    let place = Arc::clone(free).acquire_owned().await;
    let place = place.map_err(std::io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address.ip(), place))
}

/// How the system asks idle peers whether they still live. HTTP/2's own pings would read the clock for every frame of every
/// call.
fn asking() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(KEEP_ALIVE_EVERY)
        .with_interval(KEEP_ALIVE_TIMEOUT)
        .with_retries(KEEP_ALIVE_RETRIES)
}

/// Waits until `down` is true, or nobody can make it so any more.
async fn is_true(down: &mut watch::Receiver<bool>) {
    let _ = down.wait_for(|down| *down).await;
}

fn builder(bounds: &Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.headers)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams_per_connection)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        // gRPC has no use for it.
        .auto_date_header(false);
    builder
}

/// Shakes hands where that is asked for, and serves one connection to its end.
async fn open(
    door: &Door,
    builder: &Builder<TokioExecutor>,
    (stream, address): (TcpStream, IpAddr),
    front: Arc<Front>,
    mut down: watch::Receiver<bool>,
) {
    let mut of = Connection::from(address);
    let Some(tls) = &door.tls else {
        return connection(&door.bounds, builder, stream, of, front, down).await;
    };
    let shaking = timeout(door.bounds.handshake, TlsAcceptor::from(tls.current()).accept(stream));
    let shaken = tokio::select! {
        () = is_true(&mut down) => return,
        shaken = shaking => shaken,
    };
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        // What strangers try is no news.
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let certificates = stream.get_ref().1.peer_certificates();
    of.peer = certificates
        .and_then(<[_]>::first)
        .map(|first| Arc::new(Peer::of(first)));
    connection(&door.bounds, builder, stream, of, front, down).await;
}

/// Serves one connection to its end, or until its last call has ended after it was told to go.
async fn connection<I>(
    bounds: &Bounds,
    builder: &Builder<TokioExecutor>,
    stream: I,
    of: Connection,
    front: Arc<Front>,
    mut down: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::begin());
    let calls = Arc::clone(&activity);
    let request_time = bounds.request_time;
    let busy = Arc::clone(&of.busy);
    let of = Arc::new(of);
    let service = service_fn(move |request: Request<Incoming>| {
        let call = calls.call();
        // It is some kilobytes, and hyper hands it on by value.
        let answering = Box::pin(front.answer(request, request_time, &of));
        async move { Ok::<_, Infallible>(call.until_read(answering.await?)) }
    });
    let serving = builder.serve_connection(TokioIo::new(InTurns::new(stream, busy)), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = is_true(&mut down) => {
            serving.as_mut().graceful_shutdown();
            Some(serving.await)
        }
        () = activity.idle(bounds.headers, bounds.idle) => {
            serving.as_mut().graceful_shutdown();
            timeout(CLOSING_MAX, serving).await.ok()
        }
        () = old(bounds.age) => {
            serving.as_mut().graceful_shutdown();
            timeout(bounds.age_grace, serving).await.ok()
        }
    };
    if let Some(Err(error)) = ended {
        // A caller that went away or did not keep to the protocol.
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn old(age: Option<Duration>) {
    match age {
        Some(age) => sleep(age).await,
        None => std::future::pending().await,
    }
}
