//! The services, one file each. A handler converts, asks the engine, and puts the answer into words; there is no await
//! in between, so a call that is dropped half-way has either done all of it or nothing. Then it waits until that is as safe
//! as the journal's level promises.

pub(super) mod behaviour;
pub(super) mod campaigns;
pub(super) mod catalog;
pub(super) mod contacts;
pub(super) mod decisions;
pub(super) mod health;
pub(super) mod import;
pub(super) mod operations;
pub(super) mod page_views;
pub(super) mod profiles;
mod watching;

use std::pin::Pin;
use std::sync::Arc;

use tokio_stream::Stream;
use tonic::Status;

use super::desk::Desk;

/// What a streaming call answers with.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One of each service, for all forms in which they can be called.
#[derive(Clone)]
pub(super) struct Services {
    pub(super) decisions: decisions::Decisions,
    pub(super) behaviour: behaviour::Behaviour,
    pub(super) profiles: profiles::Profiles,
    pub(super) catalogs: catalog::Catalogs,
    pub(super) contacts: contacts::Contacts,
    pub(super) campaigns: campaigns::Campaigns,
    pub(super) operations: operations::Operations,
}

impl Services {
    pub(super) fn new(desk: &Arc<Desk>) -> Self {
        Self {
            decisions: decisions::Decisions(Arc::clone(desk)),
            behaviour: behaviour::Behaviour(Arc::clone(desk)),
            profiles: profiles::Profiles(Arc::clone(desk)),
            catalogs: catalog::Catalogs(Arc::clone(desk)),
            contacts: contacts::Contacts::new(desk),
            campaigns: campaigns::Campaigns::new(desk),
            operations: operations::Operations(Arc::clone(desk)),
        }
    }
}
