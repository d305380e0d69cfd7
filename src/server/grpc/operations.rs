//! `OperationsService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, async_trait};

use crate::journal::Level;
use crate::server::desk::Desk;
use crate::server::wire;
use crate::server::wire::operations_service_server::OperationsService;

/// Answers `OperationsService`.
#[derive(Clone)]
pub(in crate::server) struct Operations(pub(in crate::server) Arc<Desk>);

#[async_trait]
impl OperationsService for Operations {
    async fn get_status(
        &self,
        _request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        let engine = &self.0.engine;
        let journal = engine.journal();
        let durability = match journal.map(|journal| journal.level()) {
            None => wire::Durability::None,
            Some(Level::Process) => wire::Durability::Process,
            Some(Level::Power) => wire::Durability::Power,
        };
        let journal = journal.map(|journal| {
            let settled = journal.settled();
            wire::JournalStatus {
                written: journal.written(),
                settled: settled.number,
                checkpoint: engine.checkpointed(),
                bytes: journal.bytes(),
                syncs: journal.syncs(),
                stopped: settled.stopped.map(|why| why.to_string()).unwrap_or_default(),
            }
        });
        Ok(Response::new(wire::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            customers: engine.customers() as u64,
            durability: durability.into(),
            journal,
        }))
    }
}
