//! Taking a checkpoint while calls go on.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::Engine;
use super::background::{Pace, step_back};
use super::history::{Aside, Head};
use crate::journal::Journal;
use crate::journal::checkpoint::{self, CheckpointWriter};
use crate::journal::failpoints::fail_point;
use crate::journal::files;
use crate::store::seal::Purpose;

/// How many checkpoints are kept: when the newest one is damaged, the one before it and a longer log still give everything.
pub(super) const CHECKPOINTS_KEPT: usize = 2;

/// How many customers are copied, sealed and written in one step: half a millisecond or so.
const STEP_CUSTOMERS: usize = 256;
/// After so many bytes what was written is brought to the disk, so that it does not come in one flood at the end, which whoever waits
/// for a sync of the journal would wait for as well.
const SYNC_BYTES: u64 = 8 << 20;

/// How a checkpoint is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// As fast as can be: nobody calls, or somebody waits for it.
    Fast,
    /// In small steps on a thread of low priority, each followed by a rest as long as there are calls.
    Gentle,
}

/// What a checkpoint came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The number of the last record that is in it for sure.
    pub position: u64,
    /// How many customers it has.
    pub customers: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Engine {
    /// Returns the number of the record that the newest checkpoint stands at; 0 before the first one.
    #[must_use]
    pub fn checkpointed(&self) -> u64 {
        self.checkpointed.load(Ordering::Relaxed)
    }

    /// Writes all customers to a new checkpoint in a folder, and gives up the older checkpoints and the records that are not
    /// needed any more; those from number `keep_from` on stay in any case, so that decisions can be made again. Blocks for seconds
    /// when there are millions of customers; calls go on meanwhile, each waiting at most for the copy of one customer, or of what is
    /// reserved over all of them. `None` when there is no journal.
    ///
    /// # Errors
    /// When a file cannot be written; what was there before is as good as it was.
    pub fn checkpoint(&self, folder: &Path, keep_from: u64) -> io::Result<Option<Checkpoint>> {
        self.checkpoint_in(Haste::Fast, folder, keep_from)
    }

    /// Does the same so that calls feel little of it: takes several times as long while there are any.
    ///
    /// # Errors
    /// As [`Engine::checkpoint`].
    pub fn checkpoint_gently(&self, folder: &Path, keep_from: u64) -> io::Result<Option<Checkpoint>> {
        std::thread::scope(|scope| {
            let gently = || {
                step_back();
                self.checkpoint_in(Haste::Gentle, folder, keep_from)
            };
            let taking = std::thread::Builder::new().name("nbo-checkpoint".to_owned());
            let taken = taking.spawn_scoped(scope, gently)?.join();
            taken.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn checkpoint_in(&self, haste: Haste, folder: &Path, keep_from: u64) -> io::Result<Option<Checkpoint>> {
        let Some(journal) = &self.conductor.journal else {
            return Ok(None);
        };
        let (position, head) = {
            // Whoever is named by a slot below had that slot at the position: nobody goes and comes back in between.
            let _alone = self.joining.write();
            let history = self.history.lock();
            let (books, position) = self.conductor.volumes.keep(|| journal.written());
            fail_point("checkpoint::kept");
            let hex = |mark: u128| format!("{mark:032x}");
            let forgotten = self.forgotten();
            let joined = self.aliases.customers().into_iter();
            let head = Head {
                activations: history.clone(),
                numbers: Vec::new(),
                forgotten,
                erased: self.conductor.marks.all().into_iter().map(hex).collect(),
                joined: joined.filter_map(|key| Some(self.store.seal(key)?.slot())).collect(),
                books: self.anonymous(books),
            };
            (position, head)
        };
        let aside = serde_json::to_vec(&Aside {
            books: head.books.clone(),
            forgotten: head.forgotten.clone(),
        })?;
        let head = serde_json::to_vec(&head)?;
        let mut writer = CheckpointWriter::begin(folder, position, &head)?;
        let mut customers = 0;
        let mut write = || {
            customers = self.write_blocks(journal, haste, &mut writer)?;
            // The blocks must not be ahead of the records that are on the disk: after a loss of power their numbers would be given
            // out again.
            let reaches = journal.sync().map_err(io::Error::other)?;
            writer.end(reaches)
        };
        let (_, bytes) = match write() {
            Ok(ended) => ended,
            Err(error) => {
                writer.give_up();
                return Err(error);
            }
        };
        self.checkpointed.store(position, Ordering::Relaxed);
        if journal.keys().has_retired(position) {
            let _one_at_a_time = self.erasing.lock();
            journal.keys().keep_books(position, &aside)?;
            journal.keys().destroy(position)?;
        }
        self.trim(folder, keep_from)?;
        Ok(Some(Checkpoint {
            position,
            customers,
            bytes,
        }))
    }

    /// Writes all customers, and returns how many there were.
    fn write_blocks(&self, journal: &Journal, haste: Haste, writer: &mut CheckpointWriter) -> io::Result<u64> {
        let (mut block, mut sealed) = (Vec::new(), Vec::new());
        let mut pace = Pace::new(haste == Haste::Gentle, journal.written());
        let (mut customers, mut synced) = (0, 0);
        // Who came since has begun behind the position, and who went is not missed.
        let everybody = self.store.everybody();
        fail_point("checkpoint::listed");
        for keys in everybody.chunks(STEP_CUSTOMERS) {
            for &key in keys {
                let mut copied = self.store.copy(key, &mut block, || journal.written());
                if copied.is_some_and(|(seal, _)| seal.is_none()) {
                    // Customers who were put in past the journal.
                    self.store.seal_all(|| journal.keys().take())?;
                    copied = self.store.copy(key, &mut block, || journal.written());
                }
                if let Some((seal, number)) = copied {
                    customers += 1;
                    sealed.clear();
                    seal.seal(journal.keys().nonces(), Purpose::Block, &block, &mut sealed);
                    writer.block(number, &sealed)?;
                }
            }
            if haste == Haste::Gentle && writer.bytes() - synced >= SYNC_BYTES {
                synced = writer.bytes();
                writer.sync()?;
            }
            pace.step(journal.written());
        }
        Ok(customers)
    }

    /// Gives up older checkpoints, and the records before number `keep_from` that no checkpoint needs.
    ///
    /// # Errors
    /// When a file cannot be removed; it is as good as before.
    pub fn trim(&self, folder: &Path, keep_from: u64) -> io::Result<()> {
        let Some(journal) = &self.conductor.journal else {
            return Ok(());
        };
        let all = checkpoint::list(folder)?;
        let (kept, given_up) = all.split_at(all.len().min(CHECKPOINTS_KEPT));
        for file in given_up {
            files::remove(&file.path)?;
        }
        if let [.., oldest] = kept
            && kept.len() == CHECKPOINTS_KEPT
        {
            let needed_from = (oldest.position + 1).min(keep_from);
            journal.trim(needed_from).map_err(io::Error::other)?;
        }
        Ok(())
    }
}
