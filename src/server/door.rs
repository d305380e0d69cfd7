//! From a request to the service that answers it.
//!
//! What is asked once for each page view, and the health check, goes to its service at once. The way of all others, through axum's router, costs a
//! decision from the cache a tenth of its time, for routes that it does not need.

use std::convert::Infallible;

use axum::Router;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tonic::body::Body;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::server::HealthService;
use tower::Service as _;

use super::deadline;
use super::grpc::behaviour::Behaviour;
use super::grpc::decisions::Decisions;
use super::wire::behaviour_service_server::{self, BehaviourServiceServer};
use super::wire::decision_service_server::{self, DecisionServiceServer};

/// All that answers requests.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) decisions: DecisionServiceServer<Decisions>,
    pub(super) behaviour: BehaviourServiceServer<Behaviour>,
    pub(super) health: HealthServer<HealthService>,
    /// Everything, the three above as well.
    pub(super) all: Router,
}

impl Door {
    /// Answers a request, within the time that its caller waits.
    pub(super) fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
        let deadline = deadline::of(request.headers());
        let straight = match grpc_service(&request) {
            Some(decision_service_server::SERVICE_NAME) => Ok(self.decisions.clone().call(request)),
            Some(behaviour_service_server::SERVICE_NAME) => Ok(self.behaviour.clone().call(request)),
            Some(health_server::SERVICE_NAME) => Ok(self.health.clone().call(request)),
            _ => Err(self.all.clone().call(request.map(axum::body::Body::new))),
        };
        async move {
            match straight {
                Ok(answering) => deadline::within(deadline, answering, |status| Ok(status.into_http())).await,
                // It looks after deadlines itself, in the caller's form.
                Err(answering) => Ok(answering.await?.map(Body::new)),
            }
        }
    }
}

/// Returns the service that a gRPC call names.
fn grpc_service(request: &Request<Incoming>) -> Option<&str> {
    let kind = request.headers().get(hyper::header::CONTENT_TYPE)?;
    let is_grpc = kind.as_bytes() == b"application/grpc" || kind.as_bytes().starts_with(b"application/grpc+");
    let (service, _) = request.uri().path().strip_prefix('/')?.split_once('/')?;
    is_grpc.then_some(service)
}
