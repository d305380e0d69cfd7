//! `ProfileService`.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Answers, import};
use crate::domain::ids::CustomerId;
use crate::domain::profile::Profile;
use crate::engine::Rejection;
use crate::server::convert::{export, profiles, stored};
use crate::server::desk::Desk;
use crate::server::status::Refusal;
use crate::server::wire;
use crate::server::wire::profile_service_server::ProfileService;

/// Progress messages that wait for a slow reader before the import waits as well.
const PROGRESS_WAITING_MAX: usize = 16;

/// Answers `ProfileService`.
#[derive(Clone)]
pub(in crate::server) struct Profiles(pub(in crate::server) Arc<Desk>);

impl Profiles {
    fn upsert(&self, given: &wire::UpsertProfileRequest) -> Result<wire::UpsertProfileResponse, Refusal> {
        let (active, now) = self.0.begin();
        let (customer, change) = profiles::change(given, &active.catalog)?;
        let engine = &self.0.engine;
        let profile_version = if given.after_erasure {
            engine.upsert_after_erasure(&active, &customer, &change, now)?
        } else {
            engine.upsert_profile(&active, &customer, &change, now)?
        };
        Ok(wire::UpsertProfileResponse { profile_version })
    }

    /// Finds whom a call names, the customer for a visitor who is joined.
    fn known(&self, given: Option<&wire::Customer>) -> Result<(CustomerId, Profile), Refusal> {
        let named = profiles::whom(given)?;
        let known = self.0.engine.known(&named);
        known.ok_or(Refusal::UnknownProfile(named))
    }

    /// Joins on a thread of its own: it may wait for another one to be done.
    async fn merge(&self, given: &wire::MergeCustomersRequest) -> Result<wire::MergeCustomersResponse, Refusal> {
        let (visitor, customer, precedence) = profiles::merge(given)?;
        let (active, now) = self.0.begin();
        let engine = Arc::clone(&self.0.engine);
        let work = move || engine.merge_customers(&active, &visitor, &customer, precedence, now);
        let merged = on_own_thread(work).await?;
        Ok(wire::MergeCustomersResponse {
            merged: merged.merged,
            profile_version: merged.profile_version,
        })
    }

    async fn unmerge(&self, given: &wire::UnmergeCustomersRequest) -> Result<wire::UnmergeCustomersResponse, Refusal> {
        let visitor = profiles::visitor(given.visitor.as_ref())?;
        let (active, now) = self.0.begin();
        let engine = Arc::clone(&self.0.engine);
        let parted = on_own_thread(move || engine.unmerge_customers(&active, &visitor, now)).await?;
        Ok(wire::UnmergeCustomersResponse {
            unmerged: parted.unmerged,
            profile_version: parted.profile_version,
        })
    }

    fn get(&self, given: &wire::GetProfileRequest) -> Result<wire::GetProfileResponse, Refusal> {
        let (active, now) = self.0.begin();
        let (customer, profile) = self.known(given.customer.as_ref())?;
        Ok(stored::profile(&customer, &profile, &active.catalog, now))
    }

    fn export(&self, given: &wire::ExportCustomerRequest) -> Result<wire::ExportCustomerResponse, Refusal> {
        let (active, now) = self.0.begin();
        let (customer, profile) = self.known(given.customer.as_ref())?;
        Ok(wire::ExportCustomerResponse {
            json: export::document(&customer, &profile, &active.catalog, now).to_string(),
        })
    }

    /// Erases on a thread of its own, which waits for the disk and goes on when the caller has gone away.
    async fn erase(&self, given: &wire::EraseCustomerRequest) -> Result<wire::EraseCustomerResponse, Refusal> {
        let customer = profiles::whom(given.customer.as_ref())?;
        let (engine, now) = (Arc::clone(&self.0.engine), self.0.clock.now());
        let erased = tokio::task::spawn_blocking(move || engine.erase_customer(&customer, now)).await;
        let erased = erased.unwrap_or_else(|_| Err(Rejection::NotDestroyed("its thread died".into())));
        self.0.meters.erased(erased.as_ref().ok());
        let erased = erased?;
        Ok(wire::EraseCustomerResponse {
            existed: erased.existed,
            destroyed_keys: erased.keys,
        })
    }

    fn delete(&self, given: &wire::DeleteProfileRequest) -> Result<wire::DeleteProfileResponse, Refusal> {
        let customer = profiles::whom(given.customer.as_ref())?;
        Ok(wire::DeleteProfileResponse {
            existed: self.0.engine.delete_profile(&customer)?,
        })
    }
}

/// Works on a thread that may wait for the disk, and goes on when the caller has gone away.
async fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Rejection> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| Refusal::Broken)??)
}

#[async_trait]
impl ProfileService for Profiles {
    type ImportProfilesStream = Answers<wire::ImportProfilesResponse>;

    async fn upsert_profile(
        &self,
        request: Request<wire::UpsertProfileRequest>,
    ) -> Result<Response<wire::UpsertProfileResponse>, Status> {
        self.0.answer(self.upsert(request.get_ref())).await
    }

    async fn get_profile(
        &self,
        request: Request<wire::GetProfileRequest>,
    ) -> Result<Response<wire::GetProfileResponse>, Status> {
        self.0.answer(self.get(request.get_ref())).await
    }

    async fn delete_profile(
        &self,
        request: Request<wire::DeleteProfileRequest>,
    ) -> Result<Response<wire::DeleteProfileResponse>, Status> {
        self.0.answer(self.delete(request.get_ref())).await
    }

    async fn erase_customer(
        &self,
        request: Request<wire::EraseCustomerRequest>,
    ) -> Result<Response<wire::EraseCustomerResponse>, Status> {
        let erased = self.erase(request.get_ref()).await;
        self.0.answer(erased).await
    }

    async fn merge_customers(
        &self,
        request: Request<wire::MergeCustomersRequest>,
    ) -> Result<Response<wire::MergeCustomersResponse>, Status> {
        let merged = self.merge(request.get_ref()).await;
        self.0.answer(merged).await
    }

    async fn unmerge_customers(
        &self,
        request: Request<wire::UnmergeCustomersRequest>,
    ) -> Result<Response<wire::UnmergeCustomersResponse>, Status> {
        let parted = self.unmerge(request.get_ref()).await;
        self.0.answer(parted).await
    }

    async fn export_customer(
        &self,
        request: Request<wire::ExportCustomerRequest>,
    ) -> Result<Response<wire::ExportCustomerResponse>, Status> {
        self.0.answer(self.export(request.get_ref())).await
    }

    async fn import_profiles(
        &self,
        request: Request<Streaming<wire::ImportProfilesRequest>>,
    ) -> Result<Response<Self::ImportProfilesStream>, Status> {
        let (sender, receiver) = mpsc::channel(PROGRESS_WAITING_MAX);
        let desk = Arc::clone(&self.0);
        tokio::spawn(async move {
            if let Err(status) = import::run(&desk, request.into_inner(), &sender).await {
                // Nobody to tell when the caller is gone.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
