//! The engine over gRPC, and over HTTP with JSON ([`http`]): the contract of `proto/nbo/v1` on a listener.
//!
//! [`Server::serve`] receives its listener and its shutdown from the caller, so a test binds port 0 and stops the
//! server at will. A request goes through [`convert`] (all validation), one clock reading, one snapshot, one
//! synchronous engine call, and [`convert`] back. Who may call what is judged before, in [`access`]. What the server
//! takes at most stands in [`limits`], what it refuses with in [`status`].
//!
//! When more is asked than can be answered, the excess is refused ([`overload`]).
//!
//! Shutting down: the server says that it is not ready and goes on for [`limits::Bounds::drain_delay`]; then no new connection
//! is accepted, calls under way finish, watchers are told to go elsewhere; streams that their callers keep open are cut after
//! [`limits::Bounds::grace`]. Whoever cannot wait asks a second time.

pub mod access;
mod activity;
mod bodies;
pub mod client;
pub mod convert;
mod deadline;
mod desk;
pub mod doors;
pub mod durability;
mod front;
mod grpc;
pub mod http;
pub mod limits;
mod listen;
mod look;
mod observe;
mod operate;
mod overload;
mod places;
mod policies;
pub mod reload;
pub mod renewed;
pub mod status;
pub mod tls;
mod turns;
pub mod watch;
pub mod wire;

use std::future::Future;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch as channel};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::clock::Clock;
use crate::config::data::KeptVersions;
use crate::engine::Engine;
use crate::telemetry::{Meters, Stopwatch, Traces};
use convert::said::Phrases;
use desk::Desk;
use doors::Doors;
use durability::{CheckpointLog, Durability};
use front::Behind;
use grpc::Services;
use grpc::health::Health;
use http::CorsOrigin;
use limits::{Bounds, CAMPAIGN_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, QUESTION_BYTES_MAX};
use operate::Readiness;
use policies::{PolicyLog, Rebuild};
use reload::{Loading, ReloadStatus, Reloader};
use watch::WatchHub;
use wire::behaviour_service_server::BehaviourServiceServer;
use wire::campaign_service_server::CampaignServiceServer;
use wire::catalog_service_server::CatalogServiceServer;
use wire::contact_service_server::ContactServiceServer;
use wire::decision_service_server::DecisionServiceServer;
use wire::operations_service_server::OperationsServiceServer;
use wire::profile_service_server::ProfileServiceServer;

/// The services that the health service answers for; the empty name is the whole server.
const SERVICES: [&str; 8] = [
    "",
    wire::decision_service_server::SERVICE_NAME,
    wire::behaviour_service_server::SERVICE_NAME,
    wire::profile_service_server::SERVICE_NAME,
    wire::catalog_service_server::SERVICE_NAME,
    wire::contact_service_server::SERVICE_NAME,
    wire::campaign_service_server::SERVICE_NAME,
    wire::operations_service_server::SERVICE_NAME,
];

/// Why serving came to an end before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The contract's own description is broken.
    #[error("the reflection service cannot be built: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A server that is ready to serve.
pub struct Server {
    desk: Arc<Desk>,
    reloads: channel::Sender<ReloadStatus>,
    cors_origins: Vec<CorsOrigin>,
}

impl Server {
    /// Makes a server for an engine. Its watchers hear of every change of a customer from now on.
    #[must_use]
    pub fn new(engine: Arc<Engine>, clock: Arc<dyn Clock>) -> Self {
        Self::with_past(engine, clock, None)
    }

    /// Makes a server for an engine that went on where another one ended, with the versions that were in force before.
    #[must_use]
    pub fn with_past(engine: Arc<Engine>, clock: Arc<dyn Clock>, past: Option<KeptVersions>) -> Self {
        let past = past.map(Arc::new);
        let hub = Arc::new(WatchHub::default());
        let listening = Arc::clone(&hub);
        engine.on_change(Box::new(move |customer| listening.customer_changed(customer)));
        let reloads = channel::Sender::new(ReloadStatus::started(clock.now()));
        let meters = Arc::new(Meters::new(wire::methods()));
        meters.in_force(&engine.active());
        let catalog = Arc::clone(&engine.active().catalog);
        let rebuild = past
            .clone()
            .map(|past| -> Rebuild { Box::new(move |activation| past.catalog(activation)) });
        let phrases = ArcSwap::from_pointee(Phrases::new(&catalog));
        let policies = PolicyLog::new(catalog, clock.now(), engine.activations(), rebuild);
        let policies = Arc::new(policies);
        let durability = Durability::new(&engine);
        let desk = Desk {
            engine,
            durability,
            past,
            replays: Arc::new(Semaphore::new(limits::WALKS_MAX)),
            clock,
            hub,
            meters,
            phrases,
            policies,
            reloads: reloads.subscribe(),
            ready: channel::Sender::new(Readiness::Starting),
            traces: OnceLock::new(),
            checkpoints: OnceLock::new(),
            since: Stopwatch::start(),
        };
        Self {
            desk: Arc::new(desk),
            reloads,
            cors_origins: Vec::new(),
        }
    }

    /// Lets pages of these origins call; none may unless they are named here.
    #[must_use]
    pub fn with_cors_origins(self, cors_origins: Vec<CorsOrigin>) -> Self {
        Self { cors_origins, ..self }
    }

    /// Makes what reloads this server's rules and models.
    #[must_use]
    pub fn reloader(&self, loading: Loading) -> Reloader {
        Reloader {
            engine: Arc::clone(&self.desk.engine),
            clock: Arc::clone(&self.desk.clock),
            hub: Arc::clone(&self.desk.hub),
            meters: Arc::clone(&self.desk.meters),
            policies: Arc::clone(&self.desk.policies),
            status: self.reloads.clone(),
            loading,
        }
    }

    /// Returns the numbers that this server tells.
    #[must_use]
    pub fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.desk.meters)
    }

    /// Tells of checkpoints among the numbers from now on; only the first log that is given counts.
    pub fn tell_checkpoints(&self, log: Arc<CheckpointLog>) {
        let _ = self.desk.checkpoints.set(log);
    }

    /// Traces calls from now on, of which `share` whose callers have no say; only the first way that is given counts.
    pub fn trace(&self, traces: Traces, share: f64) {
        self.desk.meters.state.traced(share);
        let _ = self.desk.traces.set(traces);
    }

    /// Times the stages of one decision of so many from now on, and counts what stops its offers; 1 is all of them.
    pub fn watch_every(&self, decisions: u32) {
        self.desk.meters.watch_every(decisions);
    }

    /// Serves on `listener` until `shutdown` is done: everything, to everybody who can connect.
    ///
    /// # Errors
    /// When the contract's own description is broken.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        self.serve_at(Doors::open(listener), shutdown).await
    }

    /// Serves at these doors until `shutdown` is done.
    ///
    /// # Errors
    /// When the contract's own description is broken.
    pub async fn serve_at(self, doors: Doors, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        self.serve_until(doors, shutdown, std::future::pending()).await
    }

    /// Serves at these doors until `shutdown` is done; when `hasten` is done after it, nothing is waited for any longer.
    ///
    /// # Errors
    /// When the contract's own description is broken.
    pub async fn serve_until(
        self,
        doors: Doors,
        shutdown: impl Future<Output = ()>,
        hasten: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let Bounds { drain_delay, grace, .. } = doors.bounds;
        let (behind, health) = behind(&self.desk, &doors.bounds).await?;
        let hub = Arc::clone(&self.desk.hub);
        let (down, mut is_down) = channel::channel(false);
        let serving = doors.serve(behind, &self.cors_origins, &self.desk, &down);
        self.desk.ready.send_replace(Readiness::Ready);
        let stopping = async {
            shutdown.await;
            self.desk.ready.send_replace(Readiness::ShuttingDown);
            for service in SERVICES {
                health.set_service_status(service, ServingStatus::NotServing).await;
            }
            tokio::time::sleep(drain_delay).await;
            hub.close();
            down.send_replace(true);
            std::future::pending::<()>().await;
        };
        let failing = async {
            let why = self.desk.durability.stopped().await;
            tracing::error!(%why, "the journal has stopped; nothing is recorded until the server is started anew");
            self.desk.ready.send_replace(Readiness::JournalStopped);
            for service in SERVICES {
                health.set_service_status(service, ServingStatus::NotServing).await;
            }
            std::future::pending::<()>().await;
        };
        let overdue = async {
            let _ = is_down.wait_for(|down| *down).await;
            tokio::time::sleep(grace).await;
        };
        let mut readiness = self.desk.ready.subscribe();
        let hastened = async {
            let _ = readiness.wait_for(|ready| *ready == Readiness::ShuttingDown).await;
            hasten.await;
        };
        tokio::select! {
            () = serving => {}
            () = stopping => {}
            () = failing => {}
            () = overdue => {}
            () = hastened => {}
            () = operate::upkeep(&self.desk) => {}
        }
        operate::last_spans(&self.desk).await;
        Ok(())
    }
}

/// Puts the services together: the seven of the contract, health, and reflection in both versions that clients speak.
async fn behind(desk: &Arc<Desk>, bounds: &Bounds) -> Result<(Behind, HealthReporter), ServeError> {
    let services = Services::new(desk);
    let own = services.clone();
    let page_views = own.decisions.clone();
    let decisions = DecisionServiceServer::new(own.decisions).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let behaviour = BehaviourServiceServer::new(own.behaviour).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let profiles = ProfileServiceServer::new(own.profiles).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let catalogs = CatalogServiceServer::new(own.catalogs).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let contacts = ContactServiceServer::new(own.contacts).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let campaigns = CampaignServiceServer::new(own.campaigns).max_decoding_message_size(CAMPAIGN_MESSAGE_BYTES_MAX);
    let operations = OperationsServiceServer::new(own.operations).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let health = HealthReporter::new();
    let health_service = Health::new(HealthService::from_health_reporter(health.clone()));
    let health_service = HealthServer::new(health_service).max_decoding_message_size(QUESTION_BYTES_MAX);
    for service in SERVICES {
        health.set_service_status(service, ServingStatus::Serving).await;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(wire::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::default()
        .add_service(decisions.clone())
        .add_service(behaviour.clone())
        .add_service(profiles)
        .add_service(catalogs)
        .add_service(contacts)
        .add_service(campaigns)
        .add_service(operations)
        .add_service(health_service.clone())
        .add_service(reflection().build_v1()?.max_decoding_message_size(QUESTION_BYTES_MAX))
        .add_service(
            reflection()
                .build_v1alpha()?
                .max_decoding_message_size(QUESTION_BYTES_MAX),
        );
    let routes = routes.into_axum_router().merge(operate::routes(desk));
    let all = http::in_front(routes, Arc::new(services), bounds.request_time);
    let behind = Behind {
        page_views,
        decisions,
        behaviour,
        health: health_service,
        all,
    };
    Ok((behind, health))
}
