//! Waiting until what was done is as safe as the journal's level promises, and taking checkpoints in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::status::Refusal;
use crate::config::data::DataFolder;
use crate::config::versions::SLACK;
use crate::engine::{Checkpoint, Engine, Haste, Rejection};
use crate::journal::{Journal, Level, NotWritten, Settled};
use crate::telemetry::{FoundCheckpoint, Stopwatch};

/// After how many looks the records are given up that need not be kept any longer.
const LOOKS_PER_TRIM: u32 = 300;
/// Of how many bytes of a checkpoint one byte of records makes the next one due: a large store is not written out all the time.
const CHECKPOINT_SHARE: u64 = 4;
/// For how many looks it is not told again that the journal cannot be written.
const LOOKS_PER_COMPLAINT: u32 = 300;
/// How often it is looked whether a checkpoint is due.
const LOOKED_EVERY: Duration = Duration::from_millis(200);
/// How many bytes of records a restart should have to replay at most, unless somebody says otherwise: some hundred
/// thousand, about a second.
pub const CHECKPOINT_AFTER_BYTES: u64 = 64 << 20;

/// Returns after how many bytes of records the next checkpoint is due, when the last one had so many.
#[must_use]
pub const fn due_after(after_bytes: u64, taken_bytes: u64) -> u64 {
    let share = taken_bytes / CHECKPOINT_SHARE;
    if share > after_bytes { share } else { after_bytes }
}

/// How far the disk has got, for those who wait.
pub struct Durability {
    journal: Option<Arc<Journal>>,
    settled: watch::Receiver<Settled>,
}

impl Durability {
    /// Begins to listen to the journal of an engine; whoever listened before hears no more.
    #[must_use]
    pub fn new(engine: &Engine) -> Self {
        let journal = engine.journal().cloned();
        let sender = watch::Sender::new(Settled::default());
        let settled = sender.subscribe();
        if let Some(journal) = &journal {
            journal.on_settled(Box::new(move |settled| {
                sender.send_replace(settled.clone());
            }));
        }
        Self { journal, settled }
    }

    /// Waits until everything that was written so far is as safe as the level promises.
    ///
    /// # Errors
    /// When the journal has stopped before: nobody knows then whether what was done outlives the process.
    pub async fn settle(&self) -> Result<(), Refusal> {
        let Some(journal) = self.journal.as_ref().filter(|journal| journal.level() == Level::Power) else {
            return Ok(());
        };
        let wanted = journal.written();
        let mut settled = self.settled.clone();
        let reached = settled
            .wait_for(|settled| settled.number >= wanted || settled.stopped.is_some())
            .await;
        match reached {
            Ok(settled) if settled.number >= wanted => Ok(()),
            Ok(settled) => {
                let why = settled.stopped.clone().unwrap_or_else(|| "unknown".into());
                Err(Rejection::NotWritten(NotWritten::Unsettled(why)).into())
            }
            Err(_) => Err(Refusal::ShuttingDown),
        }
    }

    /// Does the same on a thread that may block.
    pub(super) fn settle_blocking(&self) -> Result<(), Refusal> {
        let settled = self.journal.as_ref().map_or(Ok(()), |journal| journal.settle());
        settled.map_err(|error| Rejection::NotWritten(error).into())
    }

    /// Waits until the journal stops; for ever when it does not.
    pub(super) async fn stopped(&self) -> Arc<str> {
        let mut settled = self.settled.clone();
        let reached = settled.wait_for(|settled| settled.stopped.is_some()).await;
        let why = reached.ok().and_then(|settled| settled.stopped.clone());
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }
}

/// What became of the checkpoints of this process.
#[derive(Debug, Default)]
pub struct CheckpointLog {
    last: Mutex<Option<(FoundCheckpoint, Stopwatch)>>,
    taken: AtomicU64,
    failed: AtomicU64,
}

impl CheckpointLog {
    fn note(&self, took: Stopwatch, result: &std::io::Result<Option<Checkpoint>>) {
        match result {
            Ok(Some(taken)) => {
                let found = FoundCheckpoint {
                    seconds: took.seconds(),
                    bytes: taken.bytes,
                    customers: taken.customers,
                };
                *self.last.lock() = Some((found, Stopwatch::start()));
                self.taken.fetch_add(1, Ordering::Relaxed);
            }
            Ok(None) => {}
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Returns the last one and its age in seconds.
    pub(super) fn last(&self) -> Option<(FoundCheckpoint, f64)> {
        self.last.lock().map(|(found, since)| (found, since.seconds()))
    }

    /// Returns how many were taken, and how many failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.taken.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

/// Takes checkpoints of an engine in the background.
pub struct Checkpoints {
    log: Arc<CheckpointLog>,
    engine: Arc<Engine>,
    folder: DataFolder,
    keep_records: Duration,
    /// Bytes of records after which one is due.
    after_bytes: u64,
    /// How many bytes of records this process found behind the last checkpoint of an earlier one.
    found_bytes: u64,
    /// How many bytes the journal had when the last one was taken.
    bytes: u64,
    /// How many bytes the last one of this process had.
    taken_bytes: u64,
    /// How many records the journal had refused at the last look.
    refused: u64,
    /// For how many looks that need not be told again.
    told: u32,
}

impl Checkpoints {
    /// Begins with what there is in `folder`, and `found_bytes` of records behind the last checkpoint in it. One is due
    /// whenever `after_bytes` stand behind the last one, whichever process wrote them: who is killed again and again does
    /// not replay more and more. Records are kept for so long, so that decisions can be made again.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        folder: DataFolder,
        keep_records: Duration,
        (found_bytes, after_bytes): (u64, u64),
    ) -> Self {
        Self {
            log: Arc::default(),
            engine,
            folder,
            keep_records,
            after_bytes,
            found_bytes,
            bytes: 0,
            taken_bytes: 0,
            refused: 0,
            told: 0,
        }
    }

    /// Returns where it is noted what became of them.
    #[must_use]
    pub fn log(&self) -> Arc<CheckpointLog> {
        Arc::clone(&self.log)
    }

    /// Takes one whenever enough was written since the last one, and gives up old records, until the task is ended.
    pub async fn run(checkpoints: Arc<tokio::sync::Mutex<Self>>) {
        for look in 1_u32.. {
            tokio::time::sleep(LOOKED_EVERY).await;
            let mut own = Arc::clone(&checkpoints).lock_owned().await;
            let done = tokio::task::spawn_blocking(move || own.look(look.is_multiple_of(LOOKS_PER_TRIM)));
            if done.await.is_err() {
                tracing::error!("taking checkpoints came to an end; restarts will take longer and longer");
                return;
            }
        }
    }

    fn look(&mut self, is_time_to_trim: bool) {
        self.told = self.told.saturating_sub(1);
        let refused = self.engine.journal().map_or(0, |journal| journal.refused());
        if std::mem::replace(&mut self.refused, refused) < refused {
            // A full disk has better use for the room than decisions that somebody may ask for.
            if self.told == 0 {
                self.told = LOOKS_PER_COMPLAINT;
                tracing::error!(
                    refused,
                    "the journal cannot be written; records that are only kept to be replayed are given up"
                );
            }
            self.trim(u64::MAX);
        } else if is_time_to_trim {
            self.trim(self.keep_from());
            self.give_up_versions();
        }
        let due_after = due_after(self.after_bytes, self.taken_bytes);
        if self.journal_bytes().saturating_sub(self.bytes) >= due_after {
            self.take();
        }
    }

    fn trim(&self, keep_from: u64) {
        if let Err(error) = self.engine.trim(&self.folder.checkpoints(), keep_from) {
            tracing::error!(%error, "old records cannot be given up");
        }
    }

    #[expect(clippy::disallowed_methods, reason = "files are as old as the machine's clock says")]
    fn give_up_versions(&self) {
        let kept_for = self.keep_records + SLACK;
        let before = SystemTime::now()
            .checked_sub(kept_for)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        match self.folder.give_up_versions(&self.engine.activations(), before) {
            Ok(given_up) => {
                for version in given_up {
                    tracing::info!(version, "a version that no record needs was given up");
                }
            }
            Err(error) => tracing::error!(%error, "versions that no record needs cannot be given up"),
        }
    }

    /// Takes the last one, when there is anything to take: the next start has nothing to replay then.
    ///
    /// # Errors
    /// When it cannot be written; the next start replays the journal instead.
    pub fn finish(&self) -> std::io::Result<Option<Checkpoint>> {
        let written = self.engine.journal().map_or(0, |journal| journal.written());
        if written <= self.engine.checkpointed() {
            return Ok(None);
        }
        // Nobody calls any more.
        self.checkpoint(Haste::Fast)
    }

    fn checkpoint(&self, haste: Haste) -> std::io::Result<Option<Checkpoint>> {
        let took = Stopwatch::start();
        let (folder, keep_from) = (self.folder.checkpoints(), self.keep_from());
        let taken = match haste {
            Haste::Fast => self.engine.checkpoint(&folder, keep_from),
            Haste::Gentle => self.engine.checkpoint_gently(&folder, keep_from),
        };
        self.log.note(took, &taken);
        taken
    }

    #[expect(clippy::disallowed_methods, reason = "files are as old as the machine's clock says")]
    fn keep_from(&self) -> u64 {
        let since = SystemTime::now().checked_sub(self.keep_records);
        self.folder.first_record_since(since.unwrap_or(SystemTime::UNIX_EPOCH))
    }

    fn journal_bytes(&self) -> u64 {
        let written = self.engine.journal().map_or(0, |journal| journal.bytes());
        self.found_bytes.saturating_add(written)
    }

    fn take(&mut self) {
        let bytes = self.journal_bytes();
        // A fault is tried again after as many bytes, not at every look.
        self.bytes = bytes;
        match self.checkpoint(Haste::Gentle) {
            Ok(Some(taken)) => {
                self.taken_bytes = taken.bytes;
                let (customers, bytes) = (taken.customers, taken.bytes);
                tracing::info!(customers, bytes, position = taken.position, "a checkpoint was taken");
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a checkpoint cannot be written; the journal keeps growing"),
        }
    }
}
