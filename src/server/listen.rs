//! Connections: accepted up to [`CONNECTIONS_MAX`] at a time, each served as HTTP/1 or HTTP/2, whichever it speaks, within
//! the limits of [`super::limits`].
//!
//! tonic's own transport does the same for gRPC. Here the loop is ours, since one port serves browsers as well, and since
//! hyper's limits on slow, idle and lying callers have to be set.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service as _;

use super::deadline;
use super::desk::Desk;
use super::limits::{
    CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADERS_WAITED_FOR, HTTP1_BUFFER_BYTES_MAX, KEEP_ALIVE_EVERY,
    KEEP_ALIVE_TIMEOUT, RESETS_PENDING_MAX, STREAMS_PER_CONNECTION_MAX,
};
use super::observe;

/// How long to wait after a failed accept, which is nearly always a lack of file handles that others have to give back.
const AFTER_FAULT: Duration = Duration::from_millis(100);

/// Serves connections until `down` becomes true and the calls that are under way then have ended. The listener is closed
/// first, so that new callers go elsewhere at once. While all places are taken the system keeps callers waiting.
pub(super) async fn serve(listener: TcpListener, router: Router, desk: Arc<Desk>, mut down: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let builder = Arc::new(builder());
    loop {
        let accepted = tokio::select! {
            () = is_true(&mut down) => break,
            accepted = next(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (builder, router, down) = (Arc::clone(&builder), router.clone(), down.clone());
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    let _connected = desk.meters.calls.connected();
                    connection(&builder, stream, router, &desk, down).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(AFTER_FAULT).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    // All places are free again when every connection has ended.
    let _ = places.acquire_many(all).await;
}

async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// Waits until `down` is true, or nobody can make it so any more.
async fn is_true(down: &mut watch::Receiver<bool>) {
    let _ = down.wait_for(|down| *down).await;
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WAITED_FOR)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

/// Serves one connection to its end, or until its last call has ended after `down` became true.
async fn connection(
    builder: &Builder<TokioExecutor>,
    stream: TcpStream,
    router: Router,
    desk: &Arc<Desk>,
    mut down: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let deadline = deadline::of(request.headers());
        let method = desk.meters.calls.method(request.uri().path());
        let traced = observe::trace(desk, request.headers());
        let answering = router.clone().call(request.map(Body::new));
        observe::observed(Arc::clone(desk), method, traced, deadline::within(deadline, answering))
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = is_true(&mut down) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // A caller that went away or did not keep to the protocol.
        tracing::debug!(%error, "a connection broke off");
    }
}
