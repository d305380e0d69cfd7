//! The methods of the contract that can be called over HTTP: one line each, which names the code that answers the gRPC call.
//!
//! A test compares this table with the descriptor set, so no method is forgotten.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::http::Extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_stream::{Stream, StreamExt as _};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::body::{read, written};
use crate::server::grpc::Services;
use crate::server::limits::{CAMPAIGN_MESSAGE_BYTES_MAX, CUSTOMERS_PER_RUN_MAX, JSON_ITEMS_MAX, MESSAGE_BYTES_MAX};
use crate::server::wire::behaviour_service_server::{self, BehaviourService as _};
use crate::server::wire::campaign_service_server::{self, CampaignService as _};
use crate::server::wire::catalog_service_server::{self, CatalogService as _};
use crate::server::wire::contact_service_server::{self, ContactService as _};
use crate::server::wire::decision_service_server::{self, DecisionService as _};
use crate::server::wire::operations_service_server::{self, OperationsService as _};
use crate::server::wire::profile_service_server::{self, ProfileService as _};

/// A body up to this long is read in some ten microseconds, however it is made.
const SHORT_BYTES: usize = 16 * 1024;
/// How many longer ones are read at a time: what is made of them can take a hundred times their memory.
const LONG_READERS: usize = 1;

/// A call over HTTP, as far as a service needs it.
pub(super) struct Call {
    pub(super) metadata: MetadataMap,
    pub(super) extensions: Extensions,
    /// The canonical JSON of the request.
    pub(super) json: Vec<u8>,
    /// The most items of a list in it.
    pub(super) items_max: usize,
    /// What counts those bytes among unfinished requests, until they are read.
    pub(super) counted: Body,
}

impl Call {
    /// Reads the message and makes of it what a service takes. A long one is read beside the threads that serve calls.
    async fn request<T: DeserializeOwned + Send + 'static>(self) -> Result<Request<T>, Status> {
        static READERS: Semaphore = Semaphore::const_new(LONG_READERS);
        let (json, items_max, counted) = (self.json, self.items_max, self.counted);
        let message = if json.len() <= SHORT_BYTES {
            read(&json, items_max)?
        } else {
            let turn = READERS.acquire().await;
            // The turn ends with the reading, also when the caller has gone.
            let reading = spawn_blocking(move || {
                let message = read(&json, items_max);
                drop((turn, counted));
                message
            });
            let read = reading.await;
            read.unwrap_or_else(|error| Err(Status::internal(format!("the body could not be read: {error}"))))?
        };
        Ok(Request::from_parts(self.metadata, self.extensions, message))
    }
}

/// What will be the JSON of an answer.
type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, Status>> + Send>>;

/// The JSON of answers, one after the other.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<Vec<u8>, Status>> + Send>>;

/// What will be the answers of a stream.
type Streamed = Pin<Box<dyn Future<Output = Result<Answers, Status>> + Send>>;

/// How a method is called.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// One request, one answer.
    Unary(fn(Arc<Services>, Call) -> Answer),
    /// One request, many answers.
    Stream(fn(Arc<Services>, Call) -> Streamed),
    /// The same, and to look on changes nothing: a browser's `EventSource` may ask for it by GET.
    Watch(fn(Arc<Services>, Call) -> Streamed),
    /// Many requests: HTTP has no form for it that browsers know.
    GrpcOnly,
}

/// A method of the contract.
#[derive(Clone, Copy)]
pub(super) struct Method {
    /// As in `nbo.v1.DecisionService`.
    pub(super) service: &'static str,
    /// As in `GetOffers`.
    pub(super) name: &'static str,
    /// The most bytes of a request.
    pub(super) bytes_max: usize,
    /// The most items of a list in it, in JSON.
    pub(super) items_max: usize,
    pub(super) kind: Kind,
}

/// Makes the table.
macro_rules! methods {
    ($($server:ident, $own:ident, $max:expr, $items:expr => {$($kind:ident $name:ident $call:ident;)*})*) => {
        /// Every method.
        pub(super) const ALL: &[Method] = &[$($(Method {
            service: $server::SERVICE_NAME,
            name: stringify!($name),
            bytes_max: $max,
            items_max: $items,
            kind: methods!(@$kind $own $call),
        },)*)*];
    };
    (@unary $own:ident $call:ident) => {
        Kind::Unary(|services, call| Box::pin(async move {
            let answer = services.$own.$call(call.request().await?).await?;
            written(answer.get_ref())
        }))
    };
    (@stream $own:ident $call:ident) => {
        Kind::Stream(|services, call| Box::pin(async move {
            Ok(each_written(services.$own.$call(call.request().await?).await?.into_inner()))
        }))
    };
    (@watch $own:ident $call:ident) => {
        Kind::Watch(|services, call| Box::pin(async move {
            Ok(each_written(services.$own.$call(call.request().await?).await?.into_inner()))
        }))
    };
    (@grpc $own:ident $call:ident) => {
        Kind::GrpcOnly
    };
}

methods! {
    decision_service_server, decisions, MESSAGE_BYTES_MAX, JSON_ITEMS_MAX => {
        unary GetOffers get_offers;
        grpc GetOffersStream get_offers_stream;
        watch WatchOffers watch_offers;
        unary ReplayDecision replay_decision;
    }
    behaviour_service_server, behaviour, MESSAGE_BYTES_MAX, JSON_ITEMS_MAX => {
        unary RecordEvents record_events;
        grpc RecordEventsStream record_events_stream;
        unary RecordOutcome record_outcome;
        unary RecordOutcomes record_outcomes;
        unary Cancel cancel;
    }
    profile_service_server, profiles, MESSAGE_BYTES_MAX, JSON_ITEMS_MAX => {
        unary UpsertProfile upsert_profile;
        unary GetProfile get_profile;
        unary DeleteProfile delete_profile;
        unary EraseCustomer erase_customer;
        unary MergeCustomers merge_customers;
        unary UnmergeCustomers unmerge_customers;
        unary ExportCustomer export_customer;
        grpc ImportProfiles import_profiles;
    }
    catalog_service_server, catalogs, MESSAGE_BYTES_MAX, JSON_ITEMS_MAX => {
        unary GetCatalog get_catalog;
        unary GetReloadStatus get_reload_status;
    }
    contact_service_server, contacts, MESSAGE_BYTES_MAX, JSON_ITEMS_MAX => {
        unary GetContactBudget get_contact_budget;
        unary ForecastLimits forecast_limits;
        stream ExportContacts export_contacts;
    }
    campaign_service_server, campaigns, CAMPAIGN_MESSAGE_BYTES_MAX, CUSTOMERS_PER_RUN_MAX => {
        stream RankCustomers rank_customers;
    }
    operations_service_server, operations, MESSAGE_BYTES_MAX, JSON_ITEMS_MAX => {
        unary GetStatus get_status;
    }
}

/// Every method by its address, as in `/nbo.v1.DecisionService/GetOffers`.
static BY_PATH: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let methods = ALL.iter().map(|method| (method.path(), *method));
    methods.collect()
});

impl Method {
    /// Finds a method by its address.
    pub(super) fn find(path: &str) -> Option<Self> {
        BY_PATH.get(path).copied()
    }

    /// Returns its address.
    pub(super) fn path(&self) -> String {
        format!("/{}/{}", self.service, self.name)
    }
}

fn each_written<T: Serialize + 'static>(answers: impl Stream<Item = Result<T, Status>> + Send + 'static) -> Answers {
    Box::pin(answers.map(|answer| answer.and_then(|answer| written(&answer))))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::server::wire::DESCRIPTORS;

    #[test]
    fn every_method_of_the_contract_is_here_in_its_kind() {
        let described = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let files = described.file.iter().filter(|file| file.package() == "nbo.v1");
        let services = files.flat_map(|file| &file.service);
        let mut expected: Vec<(String, &str)> = services
            .flat_map(|service| service.method.iter().map(move |method| (service, method)))
            .map(|(service, method)| {
                let kind = match (method.client_streaming(), method.server_streaming()) {
                    (true, _) => "for gRPC only",
                    (false, true) => "stream",
                    (false, false) => "unary",
                };
                (format!("/nbo.v1.{}/{}", service.name(), method.name()), kind)
            })
            .collect();
        let mut there: Vec<(String, &str)> = ALL
            .iter()
            .map(|method| {
                let kind = match method.kind {
                    Kind::Unary(_) => "unary",
                    Kind::Stream(_) | Kind::Watch(_) => "stream",
                    Kind::GrpcOnly => "for gRPC only",
                };
                (method.path(), kind)
            })
            .collect();
        expected.sort();
        there.sort();
        assert_eq!(there, expected);
    }
}
