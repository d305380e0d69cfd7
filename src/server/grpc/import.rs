//! `ProfileService.ImportProfiles`: rows in, progress out, all or nothing.
//!
//! Rows are checked as they come and wait in memory. They are written when the caller has ended its side in good order;
//! a stream that breaks off has written nothing. Writing goes on when the caller leaves meanwhile: it is past the point at
//! which nothing would be written.

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use crate::domain::entry::ProfileChange;
use crate::domain::ids::CustomerId;
use crate::engine::Rejection;
use crate::server::convert::profiles;
use crate::server::desk::Desk;
use crate::server::limits::FAULTS_LISTED_MAX;
use crate::server::status::Refusal;
use crate::server::wire::import_profiles_request::Part;
use crate::server::wire::{ImportOptions, ImportProfilesRequest, ImportProfilesResponse, ImportRows, RowFault};

/// Rows that are written before other calls get their turn.
const WRITTEN_AT_ONCE: usize = 256;

/// An import under way.
#[derive(Default)]
struct Import {
    options: Option<ImportOptions>,
    waiting: Vec<(u64, CustomerId, ProfileChange)>,
    row_last: u64,
    progress: ImportProfilesResponse,
    faults_listed: u64,
}

/// Takes the rows, answers each message with the progress, and writes them at the end.
pub(super) async fn run(
    desk: &Desk,
    mut messages: impl Stream<Item = Result<ImportProfilesRequest, Status>> + Unpin,
    answers: &mpsc::Sender<Result<ImportProfilesResponse, Status>>,
) -> Result<(), Status> {
    let mut import = Import::default();
    let mut index = 0;
    while let Some(message) = messages.next().await {
        let message = message?;
        let part = profiles::import_part(&message, index, import.progress.received);
        match part.map_err(|faults| desk.refuse(faults.into()))? {
            Part::Options(options) => import.options = Some(*options),
            Part::Rows(rows) => {
                import.take(desk, rows);
                if answers.send(Ok(import.report())).await.is_err() {
                    // The caller is gone, and nothing was written.
                    return Ok(());
                }
            }
        }
        index += 1;
    }
    import.write(desk).await;
    desk.durability.settle().await.map_err(|refusal| desk.refuse(refusal))?;
    import.progress.finished = true;
    // The caller may have left; what was written stays written.
    let _ = answers.send(Ok(import.report())).await;
    Ok(())
}

impl Import {
    /// Checks rows and keeps the good ones.
    fn take(&mut self, desk: &Desk, rows: &ImportRows) {
        let (active, _) = desk.begin();
        if rows.first_row > 0 {
            self.row_last = rows.first_row - 1;
        }
        for row in &rows.rows {
            self.row_last += 1;
            self.progress.received += 1;
            match profiles::row(row, &active.catalog) {
                Ok((customer, _)) if desk.engine.is_erased(&customer) => {
                    self.refuse(desk, self.row_last, &Rejection::Erased.into());
                }
                Ok((customer, change)) => self.waiting.push((self.row_last, customer, change)),
                Err(faults) => self.refuse(desk, self.row_last, &faults.into()),
            }
        }
    }

    fn refuse(&mut self, desk: &Desk, row: u64, refusal: &Refusal) {
        self.progress.refused += 1;
        let fault = Some(desk.fault(refusal));
        if self.faults_listed < FAULTS_LISTED_MAX {
            self.faults_listed += 1;
            self.progress.faults.push(RowFault { row, fault });
        }
    }

    /// Returns how far it has come; each fault is told once.
    fn report(&mut self) -> ImportProfilesResponse {
        let faults = std::mem::take(&mut self.progress.faults);
        ImportProfilesResponse {
            faults,
            ..self.progress.clone()
        }
    }

    async fn write(&mut self, desk: &Desk) {
        let options = self.options.unwrap_or_default();
        if options.check_only || (self.progress.refused > 0 && !options.keep_good_rows) {
            return;
        }
        let (active, now) = desk.begin();
        for (number, (row, customer, change)) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            if number % WRITTEN_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            match desk.engine.upsert_profile(&active, &customer, &change, now) {
                Ok(_) => self.progress.written += 1,
                Err(rejection) => self.refuse(desk, row, &rejection.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::{CatalogFiles, load};
    use crate::clock::SystemClock;
    use crate::domain::symbol::Symbols;
    use crate::engine::{Active, Engine, Limits};
    use crate::server::Server;
    use crate::server::wire::{Customer, UpsertProfileRequest, customer::Identity};

    /// Imports a row that is good, with what comes `after` it, and returns how many customers are known then.
    async fn check(after: Option<Status>, customers_max: usize) -> (Result<(), Status>, usize) {
        let mut files = CatalogFiles::default();
        let text = "catalog: {name: bare, time_zone: UTC}\nchannels: [{id: web}]\n";
        files.rules.insert("bare.yaml".to_owned(), text.to_owned());
        let catalog = Arc::new(load(&files, &Symbols::default()).unwrap());
        let limits = Limits {
            customers_max,
            ..Limits::default()
        };
        let engine = Engine::new(Active::new(catalog, Vec::new()), limits);
        let desk = Server::new(Arc::new(engine), Arc::new(SystemClock)).desk;
        let customer = Customer {
            identity: Some(Identity::Id("anna".to_owned())),
        };
        let rows = vec![UpsertProfileRequest {
            customer: Some(customer),
            ..Default::default()
        }];
        let rows = ImportProfilesRequest {
            part: Some(Part::Rows(ImportRows { first_row: 1, rows })),
        };
        let messages = tokio_stream::iter([Ok(rows)].into_iter().chain(after.map(Err)));
        let (answers, mut taken) = mpsc::channel(8);
        let result = run(&desk, messages, &answers).await;
        taken.close();
        (result, desk.engine.customers())
    }

    #[tokio::test]
    async fn an_import_that_breaks_off_has_written_nothing() {
        let (result, customers) = check(Some(Status::cancelled("gone")), 10).await;
        assert_eq!((result.unwrap_err().message(), customers), ("gone", 0));
        assert_eq!(
            check(None, 10).await.1,
            1,
            "the same rows are written when the stream ends well"
        );
    }
}
