//! The customers of a checkpoint, opened with their keys: one thread reads the file and proves its checksums, as many as there are
//! cores open what it read. Who comes first makes no difference, since each customer is in a checkpoint once.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{ScopedJoinHandle, available_parallelism};

use parking_lot::Mutex;

use super::{NO_KEY, Progress, Taken, WRONG_KEY};
use crate::domain::ids::CustomerKey;
use crate::domain::profile::Profile;
use crate::journal::checkpoint::{CheckpointError, CheckpointReader, blocks_in};
use crate::journal::{self, Table};
use crate::store::record::Who;
use crate::store::seal::{self, NO_SLOT, Purpose, Seal};
use crate::store::{Store, packed};

/// How many pieces of a megabyte may wait to be opened, so that the reader does not run ahead.
const CHUNKS_WAITING_MAX: usize = 4;
/// More threads than these wait for the one that reads.
const THREADS_MAX: usize = 16;

/// Where the customers go, and what has to be known of them.
#[derive(Clone, Copy)]
pub(super) struct Shelf<'a> {
    pub(super) store: &'a Store,
    pub(super) keys: &'a Table,
    pub(super) is_sealed: bool,
    /// Of whom there are records behind the checkpoint.
    pub(super) taken: &'a Taken,
    /// The slots whose people have to be known.
    pub(super) named: &'a HashSet<u32>,
    /// The slots of those who may have visitors.
    pub(super) joined: &'a HashSet<u32>,
}

/// What was found in blocks.
#[derive(Default)]
pub(super) struct Found {
    /// The number of the last record that the block has, of those of whom there are records behind the checkpoint.
    pub(super) taken: Taken,
    /// Who has the slots that have to be known.
    pub(super) names: Vec<(u32, CustomerKey)>,
    /// Who may have visitors.
    pub(super) joined: Vec<CustomerKey>,
    /// How many blocks cannot be read because their people are gone.
    pub(super) unreadable: u64,
    /// Whether there is a block that is none.
    pub(super) is_bad: bool,
    /// The first slot without its key, and what is wrong with it.
    pub(super) fault: Option<(u32, &'static str)>,
}

impl Shelf<'_> {
    /// Takes in all customers of a checkpoint.
    ///
    /// # Errors
    /// When the file is damaged, or cannot be read; some of its customers are in the store then.
    pub(super) fn fill(self, reader: &mut CheckpointReader, progress: Progress<'_>) -> Result<Found, CheckpointError> {
        let threads = available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let (sender, receiver) = sync_channel(CHUNKS_WAITING_MAX);
        let receiver = Mutex::new(receiver);
        std::thread::scope(|scope| {
            let receiver = &receiver;
            let working: Vec<_> = (0..threads).map(|_| scope.spawn(move || self.work(receiver))).collect();
            let mut read = || {
                let mut chunk = Vec::new();
                while reader.chunk(&mut chunk)? {
                    let (at, size) = reader.progress();
                    progress(at, size);
                    // Nobody takes it only when all of them have died, which is told below.
                    if sender.send(std::mem::take(&mut chunk)).is_err() {
                        break;
                    }
                }
                Ok(())
            };
            let read = read();
            drop(sender);
            let parts = working.into_iter().map(ScopedJoinHandle::join);
            let parts = parts.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            let found = parts.fold(Found::default(), Found::and);
            read.map(|()| found)
        })
    }

    fn work(self, chunks: &Mutex<Receiver<Vec<u8>>>) -> Found {
        let (mut found, mut text) = (Found::default(), Vec::new());
        loop {
            // In a statement of its own, so that the next one may wait while this one works.
            let chunk = chunks.lock().recv();
            let Ok(chunk) = chunk else { return found };
            for (number, block) in blocks_in(&chunk) {
                self.take(number, block, &mut found, &mut text);
            }
        }
    }

    fn take(self, number: u64, block: &[u8], found: &mut Found, text: &mut Vec<u8>) {
        if !self.is_sealed {
            let key = self.store.restore(Seal::NONE, block);
            found.is_bad |= key.is_none();
            found.note_taken(self, key.map(Who::Key), number);
            return;
        }
        let Some(slot) = seal::slot_of(block) else {
            found.is_bad = true;
            return;
        };
        let seal = match self.keys.find(slot) {
            journal::Found::Live(seal) => seal,
            journal::Found::Destroyed => {
                found.unreadable += 1;
                return;
            }
            journal::Found::Unknown => return found.note_fault(Some((slot, NO_KEY))),
        };
        if seal.open_into(Purpose::Block, block, text).is_none() {
            return found.note_fault(Some((slot, WRONG_KEY)));
        }
        let key = self.store.restore(seal, text);
        found.is_bad |= key.is_none();
        found.note_taken(self, Some(Who::Slot(slot)), number);
        if let Some(key) = key.filter(|_| self.named.contains(&slot)) {
            found.names.push((slot, key));
        }
        if let Some(key) = key.filter(|_| self.joined.contains(&slot)) {
            found.joined.push(key);
            let mut profile = Profile::default();
            packed::unpack(text, &mut profile);
            let visitors = profile.joined.iter().filter(|joined| joined.slot != NO_SLOT);
            found
                .names
                .extend(visitors.map(|joined| (joined.slot, joined.visitor.key())));
        }
    }
}

impl Found {
    fn note_taken(&mut self, place: Shelf<'_>, about: Option<Who>, number: u64) {
        if let Some(who) = about.filter(|who| place.taken.get(*who).is_some()) {
            self.taken.set(who, number);
        }
    }

    /// Keeps the first fault by its slot, whoever of the threads found it.
    fn note_fault(&mut self, fault: Option<(u32, &'static str)>) {
        self.fault = [self.fault, fault].into_iter().flatten().min();
    }

    fn and(mut self, other: Self) -> Self {
        self.taken.add(other.taken);
        self.names.extend(other.names);
        self.joined.extend(other.joined);
        self.unreadable += other.unreadable;
        self.is_bad |= other.is_bad;
        self.note_fault(other.fault);
        self
    }
}
