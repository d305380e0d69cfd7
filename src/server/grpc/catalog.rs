//! `CatalogService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, async_trait};

use crate::server::convert;
use crate::server::desk::Desk;
use crate::server::wire;
use crate::server::wire::catalog_service_server::CatalogService;

/// Answers `CatalogService`.
#[derive(Clone)]
pub(in crate::server) struct Catalogs(pub(in crate::server) Arc<Desk>);

#[async_trait]
impl CatalogService for Catalogs {
    async fn get_catalog(
        &self,
        request: Request<wire::GetCatalogRequest>,
    ) -> Result<Response<wire::GetCatalogResponse>, Status> {
        let (active, _) = self.0.begin();
        Ok(Response::new(convert::catalog::catalog(&active, request.into_inner())))
    }

    async fn get_reload_status(
        &self,
        _request: Request<wire::GetReloadStatusRequest>,
    ) -> Result<Response<wire::GetReloadStatusResponse>, Status> {
        let (active, now) = self.0.begin();
        let status = self.0.reloads.borrow().clone();
        Ok(Response::new(convert::catalog::reload_status(
            &status,
            &active.catalog.version,
            now,
        )))
    }
}
