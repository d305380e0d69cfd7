//! The standard health service, with places for those who watch: strangers may watch, and take nobody else's place.
//!
//! Who watches does so for as long as the connection lives: clients take the end of a watch for a server that is not well. So there are
//! places apart for them, fewer for one address. For whom there is none, health is not to be watched here: by the protocol a client then
//! takes the connection for well, and goes on calling.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};
use tonic_health::server::HealthService;

use super::Answers;
use crate::server::deadline::{Ends, until};
use crate::server::limits::{HEALTH_WATCHERS_MAX, HEALTH_WATCHERS_PER_ADDRESS_MAX};
use crate::server::places::Places;

/// Where a call comes from, among a request's extensions.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct CameFrom(pub(in crate::server) IpAddr);

/// Answers the health service.
#[derive(Clone)]
pub(in crate::server) struct Health {
    service: Arc<HealthService>,
    free: Arc<Semaphore>,
    places: Places,
}

impl Health {
    /// Makes one with all places free.
    pub(in crate::server) fn new(service: HealthService) -> Self {
        Self {
            service: Arc::new(service),
            free: Arc::new(Semaphore::new(HEALTH_WATCHERS_MAX)),
            places: Places::new(HEALTH_WATCHERS_PER_ADDRESS_MAX),
        }
    }
}

fn too_many(max: usize) -> Status {
    Status::unimplemented(format!(
        "{max} watchers of health are there already; ask for health with Check"
    ))
}

#[async_trait]
impl health_server::Health for Health {
    type WatchStream = Answers<HealthCheckResponse>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.service.check(request).await
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let ends = request.extensions().get::<Ends>().copied();
        let address = request.extensions().get::<CameFrom>().map(|from| from.0);
        let free = Arc::clone(&self.free).try_acquire_owned();
        let free = free.map_err(|_| too_many(HEALTH_WATCHERS_MAX))?;
        let place = address.map(|address| {
            let place = self.places.take(address);
            place.ok_or_else(|| too_many(HEALTH_WATCHERS_PER_ADDRESS_MAX))
        });
        let held = (free, place.transpose()?);
        let answers = self.service.watch(request).await?.into_inner();
        let answers = answers.map(move |answer| {
            let _ = &held;
            answer
        });
        Ok(Response::new(until(ends, answers)))
    }
}
