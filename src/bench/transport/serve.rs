//! The servers, each on threads and a runtime of its own.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codec::BufferSettings;
use tonic::transport::server::TcpIncoming;
use tonic_health::pb::health_server::HealthServer;
use tower::Service as _;

use super::answers::{self, Well};
use super::variant::{Base, Setting, Variant};
use crate::bench::catalog::Conditions;
use crate::bench::loaded;
use crate::clock::SystemClock;
use crate::domain::symbol::Symbols;
use crate::engine::{Active, Engine, Limits};
use crate::server::Server;
use crate::server::doors::Doors;
use crate::server::limits::{
    Bounds, HEADER_BYTES_MAX, KEEP_ALIVE_EVERY, KEEP_ALIVE_TIMEOUT, RESETS_PENDING_MAX, STREAMS_PER_CONNECTION_MAX,
};

/// Offers of the engine that `nbo serve` has here; none is asked for.
const OFFERS: usize = 10;
/// Callers that wait to be accepted.
const BACKLOG: i32 = 1_024;
/// How long to wait after a failed accept.
const AFTER_FAULT: Duration = Duration::from_millis(10);

/// A server that ends with this value.
pub(super) struct Serving {
    /// Where it listens.
    pub(super) address: SocketAddr,
    stop: watch::Sender<()>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Serving {
    /// Starts a server on a free port.
    ///
    /// # Errors
    /// When there is no port or no thread, or the server's own catalog is faulty.
    pub(super) fn start(variant: Variant) -> anyhow::Result<Self> {
        let is_shared = variant.setting == Setting::TwoListeners;
        let first = listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), is_shared)?;
        let address = first.local_addr()?;
        let mut listeners = vec![first];
        if is_shared {
            listeners.push(listener(address, true)?);
        }
        let engine = if variant.base == Base::Nbo {
            Some(engine()?)
        } else {
            None
        };
        let (stop, stopped) = watch::channel(());
        let mut threads = Vec::new();
        for listener in listeners {
            let runtime = runtime(variant.setting)?;
            let (engine, mut stopped) = (engine.clone(), stopped.clone());
            let serving = async move {
                tokio::select! {
                    served = serve(variant, listener, engine) => served,
                    _ = stopped.changed() => Ok(()),
                }
            };
            threads.push(thread::Builder::new().spawn(move || {
                if let Err(error) = runtime.block_on(serving) {
                    tracing::error!(%error, "the server ended");
                }
            })?);
        }
        Ok(Self { address, stop, threads })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.send_replace(());
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn listener(address: SocketAddr, is_shared: bool) -> anyhow::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if is_shared {
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Makes what drives the calls: one thread, as `nbo serve --threads 1` has it, if nothing else is set.
fn runtime(setting: Setting) -> anyhow::Result<Runtime> {
    let mut builder = match setting {
        Setting::Workers(workers) => {
            let mut builder = runtime::Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
        _ => runtime::Builder::new_current_thread(),
    };
    match setting {
        Setting::EventInterval(tasks) => drop(builder.event_interval(tasks)),
        Setting::EventsPerTick(events) => drop(builder.max_io_events_per_tick(events)),
        _ => {}
    }
    builder.enable_all().build().context("no runtime")
}

fn engine() -> anyhow::Result<Arc<Engine>> {
    let catalog = loaded(OFFERS, Conditions::Two, None, &Symbols::default())?;
    Ok(Arc::new(Engine::new(
        Active::new(catalog, vec![None]),
        Limits::default(),
    )))
}

async fn serve(variant: Variant, listener: std::net::TcpListener, engine: Option<Arc<Engine>>) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let setting = variant.setting;
    match variant.base {
        Base::Echo => accept(&listener, setting, answers::echo).await,
        Base::Hyper => {
            let builder = only_http2(setting);
            let connection = move |stream| {
                let serving = builder.serve_connection(TokioIo::new(stream), service_fn(answers::fixed));
                // The caller has gone.
                async move { drop(serving.await) }
            };
            accept(&listener, setting, connection).await
        }
        Base::Tonic => {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let mut builder = tonic::transport::Server::builder();
            let serving = builder
                .add_service(HealthServer::new(Well))
                .serve_with_incoming(incoming);
            Ok(serving.await?)
        }
        Base::Straight => straight(&listener, setting).await,
        Base::Nbo => {
            let engine = engine.context("`nbo serve` needs an engine")?;
            let server = Server::new(engine, Arc::new(SystemClock));
            let mut doors = Doors::open(listener);
            if let Setting::Streams(streams) = setting {
                doors.bounds = Bounds {
                    streams_per_connection: streams.unwrap_or(u32::MAX),
                    ..doors.bounds
                };
            }
            Ok(server.serve_at(doors, std::future::pending()).await?)
        }
    }
}

/// Serves each connection by a task of its own.
async fn accept<F>(listener: &TcpListener, setting: Setting, connection: impl Fn(TcpStream) -> F) -> anyhow::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                stream.set_nodelay(setting != Setting::Nagle)?;
                if let Setting::SocketBuffers(bytes) = setting {
                    let socket = SockRef::from(&stream);
                    socket.set_recv_buffer_size(bytes)?;
                    socket.set_send_buffer_size(bytes)?;
                }
                tokio::spawn(connection(stream));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(AFTER_FAULT).await;
            }
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

async fn straight(listener: &TcpListener, setting: Setting) -> anyhow::Result<()> {
    let health = HealthServer::new(Well);
    let buffers = match setting {
        Setting::Codec {
            buffer,
            yield_threshold,
        } => Some(BufferSettings::new(buffer, yield_threshold)),
        _ => None,
    };
    let answer = move |request: Request<Incoming>| -> Answering {
        match buffers {
            Some(buffers) => Box::pin(async move { Ok(answers::buffered(buffers, request).await) }),
            None => health.clone().call(request),
        }
    };
    if matches!(setting, Setting::OnlyHttp2 | Setting::HeaderTable(_)) {
        let builder = only_http2(setting);
        let connection = |stream| {
            let serving = builder.serve_connection(TokioIo::new(stream), service_fn(answer.clone()));
            async move { drop(serving.await) }
        };
        return accept(listener, setting, connection).await;
    }
    let builder = Arc::new(builder(setting));
    let connection = |stream| {
        let (builder, answer) = (Arc::clone(&builder), answer.clone());
        async move {
            let serving = builder.serve_connection(TokioIo::new(stream), service_fn(answer));
            drop(serving.await);
        }
    };
    accept(listener, setting, connection).await
}

/// The settings of `nbo serve`, but for one.
fn builder(setting: Setting) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    let mut http2 = builder.http2();
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .auto_date_header(setting == Setting::Date);
    match setting {
        Setting::Windows(bytes) => drop(
            http2
                .initial_stream_window_size(bytes)
                .initial_connection_window_size(bytes),
        ),
        Setting::AdaptiveWindow => drop(http2.adaptive_window(true)),
        Setting::FrameBytes(bytes) => drop(http2.max_frame_size(bytes)),
        Setting::SendBufferBytes(bytes) => drop(http2.max_send_buf_size(bytes)),
        Setting::Streams(streams) => drop(http2.max_concurrent_streams(streams)),
        Setting::Pings => drop(
            http2
                .keep_alive_interval(KEEP_ALIVE_EVERY)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT),
        ),
        _ => {}
    }
    builder
}

/// hyper without a look at the first bytes.
fn only_http2(setting: Setting) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .auto_date_header(false);
    if let Setting::HeaderTable(bytes) = setting {
        builder.header_table_size(bytes);
    }
    builder
}
