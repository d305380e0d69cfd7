//! Beginning again where the last process ended: the newest checkpoint that is good, and the records behind it, folded by
//! the catalogs that were in force.
//!
//! A checkpoint's blocks were taken while records were written, each at a record number of its own; for the customers of
//! whom there are records behind the checkpoint, that number says which records the block has already. What is counted over
//! all customers was taken at the checkpoint's position exactly, so there every record counts. Who has what reserved there is said by
//! slots, and stays so until all records are folded: only then is it known whose they are, and who is gone.
//!
//! Which visitors are joined to whom is in the customers' profiles; so whoever is found both there and on their own is taken as joined
//! ([`super::joining`]).
//!
//! What was written about people whose keys were destroyed cannot be read, and is left out ([`super::erasure`]): a copy of the books
//! was kept then, which holds all that those records counted as. A record whose key is missing without having been destroyed is
//! a damage. At the end, the keys of all who are not known any more are destroyed, which ends an erasure that a crash broke
//! off; and what an earlier release wrote unsealed is sealed.

mod ahead;
mod blocks;
mod ending;
mod replay;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::erasure::Marks;
use super::history::{Activation, Aside, Head};
use super::{Active, Engine, Limits};
use crate::catalog::Catalog;
use crate::domain::ids::CustomerKey;
use crate::domain::symbol::Symbols;
use crate::journal::checkpoint::{self, CheckpointError, CheckpointFile, CheckpointReader};
use crate::journal::files;
use crate::journal::{Found, Journal, KeysError, LogError, NotWritten, Table};
use crate::store::Store;
use crate::store::record::{self, Who};
use crate::store::seal::{NO_SLOT, Seal};
use ahead::read_ahead;
use blocks::Shelf;
use replay::Replay;

/// Why an engine cannot begin where the last one ended. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The records cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The folder of the checkpoints cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A checkpoint cannot be read, which says nothing of whether it is good.
    #[error(
        "{path}: {error}; nothing was changed: let this user read it, or, when its disk is broken, move it out of the folder, so that an older \
         checkpoint and the records behind it serve, and start again",
        path = .path.display()
    )]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is no checkpoint that fits the records.
    #[error(
        "the records begin at number {first}, and no good checkpoint reaches that far{damages}; restore the data from a \
         backup"
    )]
    Gap {
        /// The first record that there is.
        first: u64,
        /// What is wrong with the checkpoints.
        damages: String,
    },
    /// A record cannot be read.
    #[error("record {0} is of a kind that this release does not know; start the release that wrote it")]
    Record(u64),
    /// The key of a person is missing.
    #[error(
        "{what} is sealed with key {slot}, which {why}: the folder `keys` is not the one of this data; bring back the `keys` that \
         belong to it, or restore all of the data from a backup"
    )]
    Key {
        /// What cannot be read.
        what: String,
        /// The slot of the key.
        slot: u32,
        /// What is wrong with the key.
        why: &'static str,
    },
    /// The keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A catalog that was in force cannot be built again.
    #[error(
        "the records behind the checkpoint were made by catalog {version}, which cannot be built again: {why}; start the release \
         that wrote them, and stop it in good order, which leaves no records behind"
    )]
    Catalog {
        /// Its version.
        version: String,
        /// Why.
        why: String,
    },
    /// The first record of this process cannot be written.
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
}

/// How an engine began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The position of the checkpoint; absent when there was none.
    pub checkpoint: Option<u64>,
    /// How many customers were in it.
    pub customers: u64,
    /// How many records behind it were folded.
    pub records: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many customers of the checkpoint and records behind it cannot be read because their people were erased or forgotten.
    pub unreadable: u64,
    /// What is wrong with newer checkpoints, which were left out.
    pub damages: Vec<String>,
}

/// What there is to begin with.
pub struct Recovery {
    journal: Journal,
    folder: PathBuf,
    keys: Table,
    loaded: Loaded,
    recovered: Recovered,
}

/// What a checkpoint and a look at the records behind it gave.
struct Loaded {
    store: Store,
    head: Head,
    tail: Tail,
    /// Whether something in it is not sealed.
    is_plain: bool,
    /// The books as they were when keys were destroyed behind the checkpoint, with the number of that record.
    later_books: Option<(u64, Aside)>,
}

/// What the records behind the checkpoint are about.
#[derive(Default)]
struct Tail {
    records: u64,
    bytes: u64,
    /// For each customer of whom there are records, the number of the last one that the block has already.
    taken: Taken,
    /// Who has the slots that records or open reservations name, as far as the checkpoint knows.
    names: HashMap<u32, CustomerKey>,
    /// Who may have visitors, as far as the checkpoint knows.
    joined: Vec<CustomerKey>,
    /// How many blocks cannot be read because their people are gone.
    unreadable: u64,
}

/// A number for each of many customers, by slot or by key: apart, since with millions of them every byte counts.
#[derive(Debug, Default)]
struct Taken {
    slots: HashMap<u32, u64>,
    keys: HashMap<CustomerKey, u64>,
}

impl Taken {
    /// Notes somebody; what is known of them stays.
    fn note(&mut self, who: Who) {
        match who {
            Who::Slot(slot) => drop(self.slots.entry(slot).or_default()),
            Who::Key(key) => drop(self.keys.entry(key).or_default()),
        }
    }

    fn get(&self, who: Who) -> Option<u64> {
        match who {
            Who::Slot(slot) => self.slots.get(&slot).copied(),
            Who::Key(key) => self.keys.get(&key).copied(),
        }
    }

    fn add(&mut self, other: Self) {
        self.slots.extend(other.slots);
        self.keys.extend(other.keys);
    }

    fn set(&mut self, who: Who, number: u64) {
        match who {
            Who::Slot(slot) => drop(self.slots.insert(slot, number)),
            Who::Key(key) => drop(self.keys.insert(key, number)),
        }
    }
}

/// Told of progress: how far it is, and how far it goes.
type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Recovery {
    /// Reads the newest good checkpoint of a folder, and looks through the records behind it.
    ///
    /// # Errors
    /// When that is not enough to know everything that was acknowledged.
    pub fn begin(journal: Journal, folder: &Path, progress: Progress<'_>) -> Result<Self, RecoveryError> {
        files::make_folder(folder)?;
        let first = journal.first();
        let (mut damages, mut spoilt) = (Vec::new(), Vec::new());
        let keys = journal.keys().table();
        for file in checkpoint::list(folder)? {
            // Records before it may be gone, but none between it and the first.
            if file.position + 1 < first {
                break;
            }
            match Self::load(&journal, &keys, &file, progress) {
                Ok(loaded) => {
                    set_aside(&spoilt)?;
                    let recovered = Recovered {
                        checkpoint: Some(file.position),
                        damages,
                        ..loaded.recovered()
                    };
                    return Ok(Self {
                        journal,
                        folder: folder.to_owned(),
                        keys,
                        loaded,
                        recovered,
                    });
                }
                Err(Unloaded::Checkpoint(error)) => {
                    damages.push(error);
                    spoilt.push(file.path);
                }
                Err(Unloaded::Other(error)) => return Err(error),
            }
        }
        if first > 1 {
            let damages = damages.iter().flat_map(|damage| ["; ", damage]).collect();
            return Err(RecoveryError::Gap { first, damages });
        }
        set_aside(&spoilt)?;
        let mut head = Head::default();
        let tail = look_through(&journal, 0, &mut head)?;
        let loaded = Loaded {
            is_plain: tail.has_plain(),
            // Who is there is there, however many may be begun.
            store: Store::new(usize::MAX),
            later_books: later_books(&journal, 0)?,
            head,
            tail,
        };
        let recovered = Recovered {
            damages,
            ..loaded.recovered()
        };
        Ok(Self {
            journal,
            folder: folder.to_owned(),
            keys,
            loaded,
            recovered,
        })
    }

    fn load(
        journal: &Journal,
        keys: &Table,
        file: &CheckpointFile,
        progress: Progress<'_>,
    ) -> Result<Loaded, Unloaded> {
        let path = &file.path;
        let mut reader = CheckpointReader::open(path)?;
        let mut head: Head = serde_json::from_slice(reader.head())
            .map_err(|error| Unloaded::Checkpoint(format!("{}: its head is not one: {error}", path.display())))?;
        let mut tail = look_through(journal, file.position, &mut head).map_err(Unloaded::Other)?;
        let later_books = later_books(journal, file.position).map_err(Unloaded::Other)?;
        let later = later_books.iter().flat_map(|(_, aside)| aside.books.slots());
        let mut named: HashSet<u32> = head.books.slots().chain(later).collect();
        named.extend(tail.taken.slots.keys());
        let joined: HashSet<u32> = head.joined.iter().copied().collect();
        let store = Store::new(usize::MAX);
        let shelf = Shelf {
            store: &store,
            keys,
            is_sealed: reader.is_sealed(),
            taken: &tail.taken,
            named: &named,
            joined: &joined,
        };
        let found = shelf.fill(&mut reader, progress)?;
        tail.taken.add(found.taken);
        tail.names.extend(found.names);
        tail.joined.extend(found.joined);
        tail.unreadable += found.unreadable;
        if reader.reaches() > journal.written() {
            let damage = format!(
                "{}: it knows of record {}, and the journal ends at {}",
                path.display(),
                reader.reaches(),
                journal.written()
            );
            return Err(Unloaded::Checkpoint(damage));
        }
        if let Some((slot, why)) = found.fault {
            let what = format!("a customer in {}", path.display());
            return Err(Unloaded::Other(RecoveryError::Key { what, slot, why }));
        }
        if found.is_bad {
            let damage = format!("{}: a customer in it cannot be read", path.display());
            return Err(Unloaded::Checkpoint(damage));
        }
        Ok(Loaded {
            is_plain: !reader.is_sealed() || tail.has_plain(),
            store,
            head,
            tail,
            later_books,
        })
    }

    /// Returns the names that the next catalog has to begin with.
    #[must_use]
    pub fn symbols(&self) -> Symbols {
        let last = self.loaded.head.activations.last();
        last.map_or_else(Symbols::default, |activation| Symbols::from(activation.symbols.clone()))
    }

    /// Returns what was in force last; nothing when there was nothing yet.
    #[must_use]
    pub fn last(&self) -> Option<&Activation> {
        self.loaded.head.activations.last()
    }

    /// Returns how many customers were in the checkpoint.
    #[must_use]
    pub const fn customers(&self) -> u64 {
        self.recovered.customers
    }

    /// Returns how many records there are behind it.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.recovered.records
    }

    /// Returns what is wrong with newer checkpoints, which were left out.
    #[must_use]
    pub fn damages(&self) -> &[String] {
        &self.recovered.damages
    }

    /// Tells whether there was nothing yet.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.loaded.head.activations.is_empty()
    }

    /// Begins an engine: folds the records, each by the catalog of its time, which `catalogs` builds, and puts `active` in
    /// force, which must begin with [`Recovery::symbols`].
    ///
    /// # Errors
    /// When a record cannot be folded.
    pub fn finish(
        self,
        active: Active,
        limits: Limits,
        catalogs: &mut dyn FnMut(&Activation) -> Result<Arc<Catalog>, String>,
        progress: Progress<'_>,
    ) -> Result<(Engine, Recovered), RecoveryError> {
        let Self {
            journal,
            folder,
            keys,
            loaded,
            mut recovered,
        } = self;
        let Loaded {
            store,
            head,
            tail,
            is_plain,
            mut later_books,
        } = loaded;
        let mut engine = Engine::new(active, limits);
        engine.store = store;
        engine.conductor.marks = Marks::salted(*journal.keys().salt());
        engine.take_over(&head);
        let position = recovered.checkpoint.unwrap_or(0);
        let mut replay = Replay {
            engine: &engine,
            keys: &keys,
            taken: &tail.taken,
            names: tail.names,
            joined: tail.joined.into_iter().collect(),
            activations: &head.activations,
            catalogs,
            actives: HashMap::new(),
            counts_from: later_books.as_ref().map_or(0, |(number, _)| number + 1),
            unreadable: 0,
            unfinished: false,
        };
        let mut done = 0;
        read_ahead(&journal, &keys, position + 1, &mut |number, record| {
            if later_books.as_ref().is_some_and(|(at, _)| number > *at)
                && let Some((_, aside)) = later_books.take()
            {
                replay.restore(aside);
            }
            replay.read(number, record)?;
            done += 1;
            if done % 4_096 == 0 {
                progress(done, tail.records);
            }
            Ok(())
        })?;
        if let Some((_, aside)) = later_books {
            replay.restore(aside);
        }
        recovered.unreadable += replay.unreadable;
        let (unfinished, joined, names) = (replay.unfinished, replay.joined, replay.names);
        engine.index_joined(joined, |slot| match keys.find(slot) {
            Found::Live(seal) => seal,
            Found::Destroyed | Found::Unknown => Seal::NONE,
        });
        engine.name_books(&names);
        engine.store.limit(limits.customers_max);
        engine.conductor.numbers.begin_at(engine.active.load().since);
        engine.checkpointed = position.into();
        let journal = Arc::new(journal);
        engine.conductor.journal = Some(Arc::clone(&journal));
        engine.go_on(head.activations)?;
        engine.tidy(&journal, &keys, unfinished)?;
        if is_plain || journal.keys().has_plain() {
            engine.seal_plain(&journal, &folder)?;
        }
        Ok((engine, recovered))
    }
}

impl Tail {
    fn has_plain(&self) -> bool {
        !self.taken.keys.is_empty()
    }
}

impl Loaded {
    fn recovered(&self) -> Recovered {
        Recovered {
            customers: self.store.len() as u64,
            records: self.tail.records,
            bytes: self.tail.bytes,
            unreadable: self.tail.unreadable,
            ..Recovered::default()
        }
    }
}

const NO_KEY: &str = "was never written there";
const WRONG_KEY: &str = "does not open it";

/// Returns the books that were kept when keys were destroyed, when that was behind a checkpoint.
fn later_books(journal: &Journal, position: u64) -> Result<Option<(u64, Aside)>, RecoveryError> {
    let Some((number, bytes)) = journal.keys().books()? else {
        return Ok(None);
    };
    if number > journal.written() {
        let error = std::io::Error::other(format!(
            "the folder `keys` was used at record {number}, and the journal ends at {}: the two do not belong together",
            journal.written()
        ));
        return Err(error.into());
    }
    if number <= position {
        return Ok(None);
    }
    let aside = serde_json::from_slice(&bytes).map_err(std::io::Error::from)?;
    Ok(Some((number, aside)))
}

/// Renames checkpoints that are not good, so that they do not count as one of those to fall back on.
fn set_aside(spoilt: &[PathBuf]) -> std::io::Result<()> {
    spoilt
        .iter()
        .try_for_each(|path| std::fs::rename(path, path.with_extension("damaged")))
}

/// Why a checkpoint was not loaded.
enum Unloaded {
    /// It is not good; an older one may be.
    Checkpoint(String),
    /// An older one will not help.
    Other(RecoveryError),
}

impl From<CheckpointError> for Unloaded {
    fn from(error: CheckpointError) -> Self {
        match error {
            // It may be as good as ever, and set aside it would be lost by the next checkpoint but one.
            CheckpointError::Io { path, error } => Self::Other(RecoveryError::Unreadable { path, error }),
            CheckpointError::Damaged { .. } | CheckpointError::Foreign { .. } => Self::Checkpoint(error.to_string()),
        }
    }
}

/// Finds out of whom there are records behind a position, and adds the activations among them to the head.
fn look_through(journal: &Journal, position: u64, head: &mut Head) -> Result<Tail, RecoveryError> {
    let mut tail = Tail::default();
    let mut unknown = None;
    journal.read(position + 1, &mut |number, bytes| {
        tail.records += 1;
        tail.bytes += bytes.len() as u64;
        match record::about(bytes) {
            Some(record::About::Customer(who)) => {
                tail.taken.note(who);
            }
            // They are named, so that what is still there of them is found.
            Some(record::About::Erased(all)) => {
                let slots = all.iter().map(|erased| erased.slot).filter(|&slot| slot != NO_SLOT);
                slots.for_each(|slot| tail.taken.note(Who::Slot(slot)));
            }
            Some(record::About::Other) => {}
            Some(record::About::Activation(bytes)) => match serde_json::from_slice(bytes) {
                Ok(activation) => head.activations.push(activation),
                Err(_) => unknown = Some(number),
            },
            None => unknown = Some(number),
        }
        if unknown.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    unknown.map_or(Ok(tail), |number| Err(RecoveryError::Record(number)))
}
