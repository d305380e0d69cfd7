//! Reading ahead: one thread reads records, opens and decodes them, while another one folds those before.

use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;

use super::RecoveryError;
use crate::journal::{Found, Journal, LogError, Table};
use crate::store::record::{self, Opened, Record, Unread};

/// How many records are handed over at once.
const RECORDS_AT_ONCE: usize = 256;
/// How many such batches may wait, so that the reader does not run ahead for megabytes.
const BATCHES_WAITING_MAX: usize = 8;

/// A record with its number, or why it cannot be read.
type Read = (u64, Result<Record, Unread>);

/// Hands the records from a number on to `visit`, in order.
///
/// # Errors
/// What `visit` says, and when the journal cannot be read.
pub(super) fn read_ahead(
    journal: &Journal,
    keys: &Table,
    from: u64,
    visit: &mut dyn FnMut(u64, Result<Record, Unread>) -> Result<(), RecoveryError>,
) -> Result<(), RecoveryError> {
    let key_of = |slot| match keys.find(slot) {
        Found::Live(seal) => Opened::With(seal),
        Found::Destroyed => Opened::Destroyed,
        Found::Unknown => Opened::Unknown,
    };
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(BATCHES_WAITING_MAX);
        let read = move || -> Result<(), LogError> {
            let mut batch: Vec<Read> = Vec::new();
            journal.read(from, &mut |number, bytes| {
                batch.push((number, record::read(bytes, key_of)));
                if batch.len() < RECORDS_AT_ONCE {
                    return ControlFlow::Continue(());
                }
                // Nobody takes it when a record before it could not be folded.
                match sender.send(std::mem::take(&mut batch)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            })?;
            // As above.
            let _ = sender.send(batch);
            Ok(())
        };
        let reading = scope.spawn(read);
        let folded = receiver
            .into_iter()
            .flatten()
            .try_for_each(|(number, record)| visit(number, record));
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        folded?;
        Ok(read?)
    })
}
