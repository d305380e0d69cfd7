//! What if: recorded traffic, decided again by another catalog.
//!
//! Every decision of a period is made twice on the profile that was recorded with it: by the catalog and the models that were in
//! force then, which must give the recorded answer bit for bit, and by the catalog to be tried. The report says what the second one
//! does otherwise: which offers are shown more and less, whose first place changes, which limits bind more, what each rule stops.
//!
//! # What the other catalog would have shown before
//!
//! A decision depends on what was shown earlier. There are two honest answers ([`Carry`]):
//!
//! * **Carried** (the default): of each customer for whom the two catalogs once showed something else, the contact history is from then
//!   on the other catalog's own. What it showed is reserved there under the number of the recorded decision. What was reported later, an
//!   outcome or a cancellation, is taken in where the other catalog showed the same offer in that decision (and in that placement, where
//!   the report names one), and is dropped where it did not, since nobody knows what would have been reported of other offers. So a
//!   cap that is lowered binds on what the new catalog itself showed.
//! * **As recorded**: every decision sees the contacts that were recorded, so each difference is of one step only, and caps count what
//!   the old catalog showed.
//!
//! Everything else of the profile is as recorded in both: customers do here what they did then, whatever they are shown. As long
//! as both catalogs showed a customer the same, both answers are the same, and nothing has to be kept.
//!
//! # What is not simulated
//!
//! * A decision that showed nothing, and a preview, reserve nothing, so no record has them: what the other catalog would have shown
//!   there is not known. Decisions can become empty, none can stop being it.
//! * Volumes over all customers have what they had left when the decision was made: a volume with the same scope, kind and window is
//!   counted as recorded, against its new limit; one that counts something else, or is new, stops nobody. The report names these.
//! * Aggregates and intents that are new, or fed otherwise, have no past: the profile was folded by the rules of then. The report
//!   names those that are not in the catalog of then.
//! * A call that a server with the other catalog would refuse, since a channel, placement or campaign is gone or takes fewer offers,
//!   shows nothing; the report counts them with the reason.
//! * Of a history of more than 256 contacts, what the old catalog's limits did not need was not recorded.
//!
//! # What is counted
//!
//! *Shown* counts each offer in each placement; *first* is the first offer of an answer. What stops an offer *first* is what is
//! counted, in the order of an explanation's reasons, so numbers add up. Dates and conditions are asked of every offer once a
//! decision. Limits, consent, hold-outs and the rules of placements are asked only of an offer that passed those and whose turn it is to
//! fill a placement: what they withhold would have been shown there otherwise. That is what it means that a limit *binds*. What
//! withholds everything from a customer (opt-out, a full history) counts once a decision. Of each limit the customers are counted too.
//!
//! # How
//!
//! Customers are shared out over workers by the slots of their keys, so every worker sees all records of its customers in their order, and the
//! numbers do not depend on how many workers there are. One thread reads the journal and hands records on in batches; memory is
//! proportional to the customers with decisions in the period (about 100 bytes each), plus the packed contacts of those whose history
//! is carried, and not to the number of records.

mod blockers;
mod counts;
mod merge;
pub mod report;
mod scorers;
mod traffic;
mod worker;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parking_lot::Mutex;

use crate::domain::time::Timestamp;
use crate::engine::{Activation, Active};
use crate::journal::{LogError, Table};
use crate::store::record::Who;
use counts::{LimitNumbers, Side};
use report::Report;
use traffic::{Batch, Whose};
use worker::{Found, Then, Worker};

pub use traffic::activation;

/// How many bytes of records go to a worker at once.
const BATCH_BYTES: usize = 256 << 10;
/// How many batches may wait for a worker, so that the reader does not run ahead of it.
const BATCHES_WAITING_MAX: usize = 4;
/// How many records lie between two reports of progress.
const RECORDS_PER_PROGRESS: u64 = 4_096;

/// Which contact history the other catalog sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carry {
    /// What it itself showed.
    #[default]
    Shown,
    /// What was recorded.
    Recorded,
}

/// What is simulated, and how.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The first instant whose decisions are made again.
    pub from: Timestamp,
    /// The first instant whose decisions no longer are.
    pub to: Timestamp,
    /// Which contact history the other catalog sees.
    pub carry: Carry,
    /// How many workers there are; 0 is 1.
    pub threads: usize,
}

impl Setting {
    fn includes(&self, at: Timestamp) -> bool {
        (self.from..self.to).contains(&at)
    }
}

/// Why nothing could be simulated.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// The journal cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record cannot be read.
    #[error("record {0} is of a kind that this release does not know; use the release that wrote it")]
    Record(u64),
    /// The key of a record is not there.
    #[error("record {record} was sealed with key {slot}, which the folder does not have; see `nbo verify`")]
    Key {
        /// Which record.
        record: u64,
        /// The slot of the key.
        slot: u32,
    },
}

/// Is given a record; tells whether it wants more.
pub type Visit<'a> = &'a mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>;

/// Where recorded traffic comes from.
pub struct Traffic<'a> {
    /// Every activation on the data, oldest first.
    pub activations: &'a [Activation],
    /// The keys of the people whose records they are.
    pub keys: &'a Table,
    /// Hands all records on, in order.
    pub read: &'a mut dyn FnMut(Visit<'_>) -> Result<(), LogError>,
    /// Builds the catalog and the models of an activation again.
    pub build: &'a (dyn Fn(&Activation) -> Result<Active, String> + Sync),
}

/// Makes the decisions of a period again, by the catalogs of then and by `after`, whose symbols must descend from those of the last
/// activation. `progress` is told how many records are done.
///
/// # Errors
/// When the records cannot be read.
pub fn simulate(
    setting: Setting,
    traffic: Traffic<'_>,
    after: &Active,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, WhatIfError> {
    let Traffic {
        activations,
        keys,
        read,
        build,
    } = traffic;
    let then = Then {
        activations,
        keys,
        build,
        built: Mutex::new(HashMap::new()),
        limits: LimitNumbers::default(),
    };
    let failed: Mutex<Option<WhatIfError>> = Mutex::new(None);
    let parts = std::thread::scope(|scope| -> Result<Vec<_>, WhatIfError> {
        let mut senders = Vec::new();
        let mut working = Vec::new();
        for _ in 0..setting.threads.max(1) {
            let (sender, receiver) = sync_channel(BATCHES_WAITING_MAX);
            let worker = Worker::new(setting, &then, after);
            let failed = &failed;
            working.push(scope.spawn(move || work(worker, &receiver, failed)));
            senders.push(sender);
        }
        share_out(read, senders, progress)?;
        let parts = working.into_iter().map(std::thread::ScopedJoinHandle::join);
        Ok(parts
            .map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect())
    })?;
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    Ok(merge::report(setting, activations, parts))
}

/// What one worker comes to.
type Part = (Found, Side, Vec<(u64, Side)>);

fn work(mut worker: Worker<'_>, batches: &Receiver<Batch>, failed: &Mutex<Option<WhatIfError>>) -> Part {
    for batch in batches {
        let done = batch
            .records()
            .try_for_each(|(number, record)| worker.record(number, record));
        if let Err(error) = done {
            failed.lock().get_or_insert(error);
            break;
        }
    }
    worker.finish()
}

/// Reads all records and sends each to the worker of its customer.
fn share_out(
    read: &mut dyn FnMut(Visit<'_>) -> Result<(), LogError>,
    senders: Vec<SyncSender<Batch>>,
    progress: &mut dyn FnMut(u64),
) -> Result<(), LogError> {
    let mut batches: Vec<Batch> = senders.iter().map(|_| Batch::default()).collect();
    let mut done = 0;
    read(&mut |number, record| {
        done += 1;
        if done % RECORDS_PER_PROGRESS == 0 {
            progress(done);
        }
        let at = match traffic::whose(record) {
            Whose::Customer(who) => share(who, senders.len()),
            Whose::Nobody => return ControlFlow::Continue(()),
            // Any worker finds that it cannot be read.
            Whose::Unknown => 0,
        };
        batches[at].push(number, record);
        if batches[at].bytes() < BATCH_BYTES {
            return ControlFlow::Continue(());
        }
        // Nobody takes it only when the worker has failed.
        match senders[at].send(std::mem::take(&mut batches[at])) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    for (sender, batch) in senders.into_iter().zip(batches) {
        if !batch.is_empty() {
            // As above.
            let _ = sender.send(batch);
        }
    }
    progress(done);
    Ok(())
}

/// Returns which of so many workers has a customer: by the slot of the key, which is given out in turn, or by the hash of the id.
fn share(who: Who, workers: usize) -> usize {
    match who {
        Who::Slot(slot) => slot as usize % workers,
        Who::Key(key) => (key.get() % workers as u128) as usize,
    }
}
