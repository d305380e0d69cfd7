//! Taking a checkpoint while calls go on.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::Engine;
use super::history::{Aside, Head};
use crate::domain::ids::CustomerKey;
use crate::journal::checkpoint::{self, CheckpointWriter};
use crate::store::seal::Purpose;

/// How many checkpoints are kept: when the newest one is damaged, the one before it and a longer log still give everything.
pub(super) const CHECKPOINTS_KEPT: usize = 2;

/// The keys of all customers.
pub(super) const EVERYBODY: RangeInclusive<CustomerKey> =
    CustomerKey::from_packed(0)..=CustomerKey::from_packed(u128::MAX);

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
        let Some(journal) = &self.conductor.journal else {
            return Ok(None);
        };
        let (position, head) = {
            let history = self.history.lock();
            let (books, position) = self.conductor.volumes.keep(|| journal.written());
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
            let mut keys = Vec::new();
            self.store.keys(&EVERYBODY, &mut keys);
            let (mut block, mut sealed) = (Vec::new(), Vec::new());
            for key in keys {
                // Who came since has begun behind the position, and who went is not missed.
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
            std::fs::remove_file(&file.path)?;
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
