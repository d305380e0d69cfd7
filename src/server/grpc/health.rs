//! The standard health service, with an end to watching: strangers may watch, and nothing that they do may last for ever.
//!
//! Who watches takes a place on the server and keeps its connection from being idle. So there are few such places, fewer for one
//! address, and each is given back after the time for which a connection may be without a call; a client that goes on watching asks
//! again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};
use tonic_health::server::HealthService;

use super::Answers;
use crate::server::deadline::{Ends, cut, until};
use crate::server::desk::Desk;
use crate::server::limits::{HEALTH_WATCHERS_MAX, HEALTH_WATCHERS_PER_ADDRESS_MAX};
use crate::server::places::Places;
use crate::server::status::Refusal;

/// Where a call comes from, among a request's extensions.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct CameFrom(pub(in crate::server) IpAddr);

/// Answers the health service.
#[derive(Clone)]
pub(in crate::server) struct Health {
    desk: Arc<Desk>,
    service: Arc<HealthService>,
    free: Arc<Semaphore>,
    places: Places,
    lasts: Duration,
}

impl Health {
    /// Makes one whose watchers are told to ask again after a time.
    pub(in crate::server) fn new(desk: &Arc<Desk>, service: HealthService, lasts: Duration) -> Self {
        Self {
            desk: Arc::clone(desk),
            service: Arc::new(service),
            free: Arc::new(Semaphore::new(HEALTH_WATCHERS_MAX)),
            places: Places::new(HEALTH_WATCHERS_PER_ADDRESS_MAX),
            lasts,
        }
    }

    fn too_many(&self, max: usize) -> Status {
        self.desk.refuse(Refusal::TooManyWatchers(max))
    }
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
        let free = free.map_err(|_| self.too_many(HEALTH_WATCHERS_MAX))?;
        let place = address.map(|address| {
            let place = self.places.take(address);
            place.ok_or_else(|| self.too_many(HEALTH_WATCHERS_PER_ADDRESS_MAX))
        });
        let held = (free, place.transpose()?);
        let answers = self.service.watch(request).await?.into_inner();
        let answers = answers.map(move |answer| {
            let _ = &held;
            answer
        });
        let again = format!("health is watched for {:?} at a time; ask again", self.lasts);
        let answers = cut(Ends::after(self.lasts), Status::unavailable(again), answers);
        Ok(Response::new(until(ends, answers)))
    }
}
