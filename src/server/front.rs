//! From a request to the service that answers it.
//!
//! What is asked once for each page view, and the health check, goes to its service at once. The way of all others, through axum's router, costs a
//! decision from the cache a tenth of its time, for routes that it does not need.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, HttpBody};
use axum::middleware::from_fn_with_state;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use tokio::time::Instant;
use tonic::body::Body;
use tonic_health::pb::health_server::{self, HealthServer};
use tower::Service as _;

use super::access::caller::Peer;
use super::access::gate::{Gate, gated};
use super::access::table::{Class, Row, Shape, row_of};
use super::bodies::{Counted, Room};
use super::deadline::{self, Ends, Left};
use super::desk::Desk;
use super::grpc::behaviour::Behaviour;
use super::grpc::decisions::Decisions;
use super::grpc::health::{CameFrom, Health};
use super::grpc::page_views;
use super::http::{self, CorsOrigin};
use super::observe;
use super::overload::{Excess, Queue, Waiting};
use super::turns::Busy;
use super::wire::behaviour_service_server::{self, BehaviourServiceServer};
use super::wire::decision_service_server::{self, DecisionServiceServer};

/// An answer on its way.
type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// All that answers requests.
#[derive(Clone)]
pub(super) struct Behind {
    pub(super) page_views: Decisions,
    pub(super) decisions: DecisionServiceServer<Decisions>,
    pub(super) behaviour: BehaviourServiceServer<Behaviour>,
    pub(super) health: HealthServer<Health>,
    /// Everything, those above as well.
    pub(super) all: Router,
}

/// What is known of one connection.
#[derive(Debug)]
pub(super) struct Connection {
    address: IpAddr,
    /// The names that it has shown.
    pub(super) peer: Option<Arc<Peer>>,
    /// How many of its refusals are held back.
    held: AtomicUsize,
    /// Since when it has something to read.
    pub(super) busy: Arc<Busy>,
}

impl From<IpAddr> for Connection {
    fn from(address: IpAddr) -> Self {
        Self {
            address,
            peer: None,
            held: AtomicUsize::default(),
            busy: Arc::default(),
        }
    }
}

impl Connection {
    /// Puts among a request's extensions what its service has to know besides: of most calls nothing, since that has its price.
    fn tell<B>(&self, row: Option<&Row>, request: &mut Request<B>, arrived: Instant) {
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(Arc::clone(peer));
        }
        if row.is_none_or(|row| row.shape == Shape::Unary) {
            return;
        }
        request.extensions_mut().insert(CameFrom(self.address));
        if let Some(ends) = Ends::of(request.headers(), arrived) {
            request.extensions_mut().insert(ends);
        }
    }
}

/// A call that waited for less had nobody in front of it, and is not measured.
const WAITED_MIN: Duration = Duration::from_micros(100);

/// A call whose turn has come.
struct Turn {
    row: Option<&'static Row>,
    class: Class,
    arrived: Instant,
    waited: Duration,
    left: Left,
}

impl Turn {
    /// Tells whether it takes one message, and no stream that may last.
    fn is_of_messages(&self) -> bool {
        self.row.is_some_and(|row| row.shape != Shape::Stream)
    }

    /// Returns how long its caller still waits.
    fn left_now(&self) -> Option<Duration> {
        let begun = self.arrived + self.waited;
        self.left.0.map(|left| left.saturating_sub(begun.elapsed()))
    }
}

/// All that answers requests, behind the gate of a port.
pub(super) struct Front {
    gate: Gate,
    behind: Behind,
    desk: Arc<Desk>,
    room: Arc<Room>,
    queue: Arc<Queue>,
}

impl Front {
    /// Puts a gate in front of the services. Around it pages of other origins are let in: a browser asks for leave before it can
    /// say who it is.
    pub(super) fn new(
        desk: &Arc<Desk>,
        behind: Behind,
        gate: Gate,
        cors_origins: &[CorsOrigin],
        queue: &Arc<Queue>,
    ) -> Self {
        let all = behind.all.layer(from_fn_with_state(gate.clone(), gated));
        let all = http::allowing(all, cors_origins);
        Self {
            gate,
            behind: Behind { all, ..behind },
            desk: Arc::clone(desk),
            room: Arc::new(Room::new(&desk.meters)),
            queue: Arc::clone(queue),
        }
    }

    /// Counts a connection until the result is dropped.
    pub(super) fn connected(&self) -> impl Drop + use<> {
        self.desk.meters.calls.connected()
    }

    /// Counts a connection for which there was no place.
    pub(super) fn refused_connection(&self) {
        self.desk.meters.refused_connection();
    }

    /// Answers a request within the time that its caller waits, and within `request_time` when it is no stream; or refuses it when
    /// there are too many.
    pub(super) fn answer(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
        request_time: Duration,
        of: &Arc<Connection>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
        let arrived = Instant::now();
        let row = row_of(request.uri().path());
        // What does not exist is what can best be done without.
        let class = match row {
            // A browser asks for leave in front of a call: it does not wait for long, and is no call.
            _ if request.method() == Method::OPTIONS => Class::Vital,
            Some(row) => row.class,
            None => Class::Bulk,
        };
        let waiting = self.queue.arrive(class, arrived);
        of.tell(row, &mut request, arrived);
        let (front, of) = (Arc::clone(self), Arc::clone(of));
        let method = self.desk.meters.calls.method(request.uri().path());
        let traced = observe::trace(&self.desk, request.headers(), self.gate.knows_callers());
        let desk = Arc::clone(&self.desk);
        // What is seldom met is kept elsewhere, so that the others need not keep room for it.
        let answer = move || async move {
            let deadline = deadline::bound(row, request.headers(), request_time);
            let turn = waiting.and_then(Waiting::begin);
            let waited = match turn {
                Ok(waited) => waited,
                Err(excess) => {
                    let left = Left::of(deadline, arrived.elapsed());
                    return Box::pin(front.refuse(request, excess, left.0, &of)).await;
                }
            };
            let turn = Turn {
                row,
                class,
                arrived,
                waited,
                left: Left::of(deadline, waited),
            };
            // From here on its caller still waits.
            match straight(&request) {
                Some(service) => front.begin_straight(service, request, turn, &of).await,
                None => Box::pin(front.begin_routed(request, turn, &of)).await,
            }
        };
        observe::observed(desk, method, traced, arrived, answer)
    }

    async fn begin_straight(
        &self,
        service: Hot,
        request: Request<Incoming>,
        turn: Turn,
        of: &Connection,
    ) -> Result<Response<Body>, Infallible> {
        let mut request = self.counted(request);
        if let Err(status) = self.gate.pass(turn.row, &mut request) {
            return Ok(status.into_http());
        }
        let answering = pin!(async {
            if let Err(excess) = self.comes(request.body_mut(), &turn, of).await {
                drop(request);
                return Err(excess);
            }
            Ok(self.measured(&turn, self.behind.call(service, request)).await)
        });
        let answered = deadline::within(turn.left.0, answering, |status| Ok(Ok(status.into_http()))).await;
        match answered {
            Ok(answer) => answer,
            Err(excess) => Ok(self.refuse_straight(excess, turn.left_now(), of).await),
        }
    }

    async fn begin_routed(
        &self,
        request: Request<Incoming>,
        turn: Turn,
        of: &Connection,
    ) -> Result<Response<Body>, Infallible> {
        let mut request = self.counted(request);
        let comes = async {
            // Unless it has to be, nothing is read in front of the gate, which may not know the caller.
            if self.queue.is_overloaded_now() {
                self.comes(request.body_mut(), &turn, of).await
            } else {
                Ok(())
            }
        };
        let in_time = match turn.left.0 {
            Some(left) => tokio::time::timeout(left, comes).await.unwrap_or(Ok(())),
            None => comes.await,
        };
        if let Err(excess) = in_time {
            return self.refuse(request, excess, turn.left_now(), of).await;
        }
        // It looks after deadlines itself, in the caller's form.
        request.extensions_mut().insert(Left(turn.left_now()));
        self.measured(&turn, self.routed(request)).await
    }

    /// Waits until a call's message is there, if it has one, and judges it once more if it was not there at once.
    async fn comes(&self, body: &mut Counted, turn: &Turn, of: &Connection) -> Result<(), Excess> {
        if !turn.is_of_messages() || body.is_there().await {
            return Ok(());
        }
        let coming = self.queue.coming(turn.class);
        body.comes().await;
        coming.judge(turn.arrived.max(of.busy.since()))
    }

    /// Measures how long a thread is at work for a call that had to wait for its turn.
    async fn measured<R>(&self, turn: &Turn, answering: impl Future<Output = R>) -> R {
        if turn.waited < WAITED_MIN || !turn.is_of_messages() {
            return answering.await;
        }
        let (mut answering, mut worked) = (pin!(answering), Duration::ZERO);
        let work = poll_fn(|context| {
            let begun = Instant::now();
            let polled = answering.as_mut().poll(context);
            worked += begun.elapsed();
            polled
        });
        let answer = work.await;
        self.queue.took(worked);
        answer
    }

    fn counted(&self, request: Request<Incoming>) -> Request<Counted> {
        let (head, body) = request.into_parts();
        let body = Counted::new(body, &head.headers, &self.room);
        Request::from_parts(head, body)
    }

    /// Refuses a call for which there is no room.
    async fn refuse<B>(
        &self,
        request: Request<B>,
        excess: Excess,
        deadline: Option<Duration>,
        of: &Connection,
    ) -> Result<Response<Body>, Infallible> {
        if straight(&request).is_some() {
            // Nobody asks for it any more: it takes no memory meanwhile, nor the connection's window.
            drop(request);
            return Ok(self.refuse_straight(excess, deadline, of).await);
        }
        let mut request = request.map(|_| axum::body::Body::empty());
        self.hold(excess, deadline, of).await;
        // In the caller's form, and so that pages of other origins may read it.
        request.extensions_mut().insert(excess);
        self.routed(request).await
    }

    async fn refuse_straight(&self, excess: Excess, deadline: Option<Duration>, of: &Connection) -> Response<Body> {
        self.hold(excess, deadline, of).await;
        let mut answer = excess.status().into_http();
        answer.extensions_mut().insert(excess);
        answer
    }

    /// Counts a refusal, and waits until it may be told.
    async fn hold(&self, excess: Excess, deadline: Option<Duration>, of: &Connection) {
        self.desk.meters.refused_by_overload(excess.0 as usize);
        if let Some(held) = self.queue.hold(excess, deadline, &of.held) {
            held.over().await;
        }
    }

    async fn routed<B>(&self, request: Request<B>) -> Result<Response<Body>, Infallible>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let answer = self.behind.all.clone().call(request.map(axum::body::Body::new)).await?;
        Ok(answer.map(Body::new))
    }
}

/// The services to which there is a straight way.
#[derive(Clone, Copy)]
enum Hot {
    PageViews,
    Decisions,
    Behaviour,
    Health,
}

/// Returns the service that a gRPC call names, when there is a straight way to it.
fn straight<B>(request: &Request<B>) -> Option<Hot> {
    let kind = request.headers().get(hyper::header::CONTENT_TYPE)?.as_bytes();
    if kind != b"application/grpc" && !kind.starts_with(b"application/grpc+") {
        return None;
    }
    if request.uri().path() == page_views::PATH {
        return Some(Hot::PageViews);
    }
    let (service, _) = request.uri().path().strip_prefix('/')?.split_once('/')?;
    match service {
        decision_service_server::SERVICE_NAME => Some(Hot::Decisions),
        behaviour_service_server::SERVICE_NAME => Some(Hot::Behaviour),
        health_server::SERVICE_NAME => Some(Hot::Health),
        _ => None,
    }
}

impl Behind {
    fn call(&self, service: Hot, request: Request<Counted>) -> Answering {
        match service {
            Hot::PageViews => {
                let answering = page_views::answer(self.page_views.clone(), request);
                Box::pin(async move { Ok(answering.await) })
            }
            Hot::Decisions => self.decisions.clone().call(request),
            Hot::Behaviour => self.behaviour.clone().call(request),
            Hot::Health => self.health.clone().call(request),
        }
    }
}
