//! Beginning again where the last process ended: the newest checkpoint that is good, and the records behind it, folded by
//! the catalogs that were in force.
//!
//! A checkpoint's blocks were taken while records were written, each at a record number of its own; for the customers of
//! whom there are records behind the checkpoint, that number says which records the block has already. What is counted over
//! all customers was taken at the checkpoint's position exactly, so there every record counts.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::history::{Activation, Head};
use super::{Active, Engine, Limits, WORKSPACE, Workspace};
use crate::catalog::Catalog;
use crate::decision::fold;
use crate::domain::contact::Contact;
use crate::domain::entry::Entry;
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbols;
use crate::domain::time::Timestamp;
use crate::journal::checkpoint::{self, CheckpointError, CheckpointReader};
use crate::journal::{Journal, LogError, NotWritten};
use crate::store::record::{self, Record};
use crate::store::{Store, Then};

/// Why an engine cannot begin where the last one ended. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The records cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The folder of the checkpoints cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
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
    /// What is wrong with newer checkpoints, which were left out.
    pub damages: Vec<String>,
}

/// What there is to begin with.
pub struct Recovery {
    journal: Journal,
    store: Store,
    head: Head,
    tail: Tail,
    recovered: Recovered,
}

/// What the records behind the checkpoint are about.
#[derive(Default)]
struct Tail {
    records: u64,
    bytes: u64,
    /// For each customer of whom there are records, the number of the last one that the block has already.
    taken: HashMap<CustomerKey, u64>,
}

/// Told of progress: how far it is, and how far it goes.
type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Recovery {
    /// Reads the newest good checkpoint of a folder, and looks through the records behind it.
    ///
    /// # Errors
    /// When that is not enough to know everything that was acknowledged.
    pub fn begin(journal: Journal, folder: &Path, progress: Progress<'_>) -> Result<Self, RecoveryError> {
        std::fs::create_dir_all(folder)?;
        let first = journal.first();
        let (mut damages, mut spoilt) = (Vec::new(), Vec::new());
        for file in checkpoint::list(folder)? {
            // Records before it may be gone, but none between it and the first.
            if file.position + 1 < first {
                break;
            }
            match Self::load(&journal, &file.path, file.position, progress) {
                Ok((store, head, tail)) => {
                    set_aside(&spoilt)?;
                    let recovered = Recovered {
                        checkpoint: Some(file.position),
                        customers: store.len() as u64,
                        records: tail.records,
                        bytes: tail.bytes,
                        damages,
                    };
                    return Ok(Self {
                        journal,
                        store,
                        head,
                        tail,
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
        let recovered = Recovered {
            records: tail.records,
            bytes: tail.bytes,
            damages,
            ..Recovered::default()
        };
        Ok(Self {
            journal,
            store: Store::new(usize::MAX),
            head,
            tail,
            recovered,
        })
    }

    fn load(
        journal: &Journal,
        path: &Path,
        position: u64,
        progress: Progress<'_>,
    ) -> Result<(Store, Head, Tail), Unloaded> {
        let mut reader = CheckpointReader::open(path)?;
        let mut head: Head = serde_json::from_slice(reader.head())
            .map_err(|error| Unloaded::Checkpoint(format!("{}: its head is not one: {error}", path.display())))?;
        let mut tail = look_through(journal, position, &mut head).map_err(Unloaded::Other)?;
        // Who is there is there, however many may be begun.
        let store = Store::new(usize::MAX);
        let mut all_good = true;
        while reader.blocks(|number, block| {
            let key = store.restore(block);
            all_good &= key.is_some();
            if let Some(taken) = key.and_then(|key| tail.taken.get_mut(&key)) {
                *taken = number;
            }
        })? {
            let (at, size) = reader.progress();
            progress(at, size);
        }
        if reader.reaches() > journal.written() {
            let damage = format!(
                "{}: it knows of record {}, and the journal ends at {}",
                path.display(),
                reader.reaches(),
                journal.written()
            );
            return Err(Unloaded::Checkpoint(damage));
        }
        if !all_good {
            let damage = format!("{}: a customer in it cannot be read", path.display());
            return Err(Unloaded::Checkpoint(damage));
        }
        Ok((store, head, tail))
    }

    /// Returns the names that the next catalog has to begin with.
    #[must_use]
    pub fn symbols(&self) -> Symbols {
        let last = self.head.activations.last();
        last.map_or_else(Symbols::default, |activation| Symbols::from(activation.symbols.clone()))
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
        self.head.activations.is_empty()
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
            store,
            head,
            tail,
            recovered,
        } = self;
        let Head {
            activations,
            numbers,
            books,
        } = head;
        let mut engine = Engine::new(active, limits);
        engine.store = store;
        for (key, last) in numbers {
            if let Ok(key) = u128::from_str_radix(&key, 16) {
                engine.conductor.numbers.forget(CustomerKey::from_packed(key), last);
            }
        }
        engine.conductor.volumes.restore(books);
        let mut replay = Replay {
            engine: &engine,
            taken: &tail.taken,
            activations: &activations,
            catalogs,
            actives: HashMap::new(),
        };
        let position = recovered.checkpoint.unwrap_or(0);
        let (mut done, mut failed) = (0, None);
        journal.read(position + 1, &mut |number, bytes| {
            let replayed = record::read(bytes).ok_or(RecoveryError::Record(number));
            match replayed.and_then(|record| replay.record(number, record)) {
                Ok(()) => {
                    done += 1;
                    if done % 4_096 == 0 {
                        progress(done, tail.records);
                    }
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        engine.store.limit(limits.customers_max);
        engine.conductor.numbers.begin_at(engine.active.load().since);
        engine.checkpointed = position.into();
        engine.conductor.journal = Some(Arc::new(journal));
        engine.go_on(activations)?;
        Ok((engine, recovered))
    }
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
        Self::Checkpoint(error.to_string())
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
            Some(record::About::Customer(key)) => {
                tail.taken.insert(key, 0);
            }
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

struct Replay<'a> {
    engine: &'a Engine,
    taken: &'a HashMap<CustomerKey, u64>,
    activations: &'a [Activation],
    catalogs: &'a mut dyn FnMut(&Activation) -> Result<Arc<Catalog>, String>,
    actives: HashMap<u64, Arc<Active>>,
}

impl Replay<'_> {
    fn record(&mut self, number: u64, record: Record) -> Result<(), RecoveryError> {
        match record {
            Record::Activation(_) => Ok(()),
            Record::Forgotten { key, decisions, before } => {
                let volumes = &self.engine.conductor.volumes;
                let Ok(()) = volumes.forget(key, &before, || Ok::<_, std::convert::Infallible>(()));
                self.engine.conductor.numbers.forget(key, decisions);
                if self.is_open(key, number) {
                    let Ok(_) = self.engine.store.remove(key, |_| Ok::<_, std::convert::Infallible>(()));
                }
                Ok(())
            }
            Record::Change {
                key,
                id,
                generation,
                at,
                entries,
                before,
                seen: _,
            } => {
                let active = self.active(number, generation)?;
                self.count(&active, key, (&entries, before), at);
                if self.is_open(key, number) {
                    self.fold(&active.catalog, key, id.as_ref(), &entries);
                }
                Ok(())
            }
        }
    }

    fn is_open(&self, key: CustomerKey, number: u64) -> bool {
        self.taken.get(&key).is_none_or(|&taken| taken < number)
    }

    /// Enters what an earlier process entered into the books over all customers.
    fn count(&self, active: &Active, key: CustomerKey, (entries, before): (&[Entry], Vec<Contact>), at: Timestamp) {
        let volumes = &self.engine.conductor.volumes;
        for entry in entries {
            if let Entry::Decision(reservation) = entry {
                volumes.enter(active, key, reservation, at);
            }
        }
        if before.is_empty() {
            return;
        }
        let mut profile = Profile {
            contacts: before.clone(),
            ..Profile::default()
        };
        for entry in entries {
            fold::apply(&mut profile, entry, &active.catalog);
        }
        let moves: Vec<_> = before.into_iter().zip(profile.contacts).collect();
        let Ok(_) = volumes.change(active, key, &moves, at, || Ok::<_, std::convert::Infallible>(()));
    }

    fn fold(&self, catalog: &Catalog, key: CustomerKey, id: Option<&CustomerId>, entries: &[Entry]) {
        let fold = |profile: &mut Profile| {
            for entry in entries {
                fold::apply(profile, entry, catalog);
            }
            ((), Then::Keep)
        };
        WORKSPACE.with_borrow_mut(|workspace| {
            let Workspace { buffers, .. } = workspace;
            match id {
                Some(id) => self.engine.store.with(id, key, buffers, |profile, _| fold(profile)),
                // Somebody whom the checkpoint does not have was forgotten later.
                None => drop(self.engine.store.with_known(key, buffers, fold)),
            }
        });
    }

    fn active(&mut self, number: u64, generation: u64) -> Result<Arc<Active>, RecoveryError> {
        if let Some(active) = self.actives.get(&generation) {
            return Ok(Arc::clone(active));
        }
        let found = self.activations.iter().find(|found| found.generation == generation);
        let activation = found.ok_or(RecoveryError::Record(number))?;
        let catalog = (self.catalogs)(activation).map_err(|why| RecoveryError::Catalog {
            version: activation.catalog.clone(),
            why,
        })?;
        let active = Arc::new(Active {
            catalog,
            models: Vec::new(),
            generation,
            since: activation.at(),
        });
        self.actives.insert(generation, Arc::clone(&active));
        Ok(active)
    }
}
