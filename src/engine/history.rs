//! Which catalogs came into force, and what of the engine is not any one customer's: what a journal and a checkpoint keep
//! besides customers.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::steps::everybody;
use super::volumes::books::Kept;
use super::{Active, Engine};
use crate::domain::profile::Profile;
use crate::domain::symbol::SymbolTable;
use crate::domain::time::Timestamp;
use crate::journal::{Journal, NotWritten};
use crate::model::ROWS;
use crate::store::packed;
use crate::store::record::Draft;
use crate::store::seal::Seal;

/// How many activations are remembered, of a few kilobytes each; decisions by an older one cannot be made again.
const ACTIVATIONS_KEPT: usize = 1_024;

/// A catalog that came into force. Its files are kept elsewhere, under its version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activation {
    /// Which one it was, counted from 1 over all processes.
    pub generation: u64,
    /// When it came into force, in milliseconds since 1970.
    at: i64,
    /// The catalog's version.
    pub catalog: String,
    /// The names behind its symbols.
    pub symbols: SymbolTable,
    /// The names of the models that were loaded.
    #[serde(default)]
    pub models: Vec<String>,
    /// The arithmetic of each of them ([`crate::model::Path::arithmetic`]); none for those of a release that had only one.
    #[serde(default)]
    arithmetic: Vec<String>,
}

impl Activation {
    /// Describes what comes into force.
    pub(crate) fn of(active: &Active) -> Self {
        let catalog = &active.catalog;
        let models = catalog.models.iter().zip(&active.models);
        let loaded: Vec<_> = models
            .filter_map(|(plan, scorer)| Some((plan.name.to_string(), scorer.as_ref()?.path().arithmetic())))
            .collect();
        let (models, arithmetic) = loaded.into_iter().unzip();
        Self {
            generation: active.generation,
            at: active.since.as_millis(),
            catalog: catalog.version.to_string(),
            symbols: catalog.symbols.table(),
            models,
            arithmetic,
        }
    }

    /// Returns the arithmetic by which a model scored; `None` for one that was not loaded.
    #[must_use]
    pub fn arithmetic_of(&self, model: &str) -> Option<&str> {
        let at = self.models.iter().position(|name| name == model)?;
        Some(self.arithmetic.get(at).map_or(ROWS, String::as_str))
    }

    /// Tells whether the same catalog and models are in force, scoring by the same arithmetic.
    fn is_same(&self, other: &Self) -> bool {
        self.catalog == other.catalog
            && self.models == other.models
            && self
                .models
                .iter()
                .all(|model| self.arithmetic_of(model) == other.arithmetic_of(model))
    }

    /// Reads what a record of the journal says of one; `None` when another program wrote it.
    #[must_use]
    pub fn read(description: &[u8]) -> Option<Self> {
        serde_json::from_slice(description).ok()
    }

    /// Reads all that the head of a checkpoint has, oldest first; `None` when another program wrote it.
    #[must_use]
    pub fn all_in(head: &[u8]) -> Option<Vec<Self>> {
        let head: Head = serde_json::from_slice(head).ok()?;
        Some(head.activations)
    }

    /// Returns when it came into force.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }
}

/// The head of a checkpoint.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Head {
    /// Every activation, oldest first.
    pub(super) activations: Vec<Activation>,
    /// The last numbers of customers who were forgotten a moment ago, by the key in hexadecimal digits, as releases up to data format
    /// 1 wrote them.
    #[serde(default)]
    pub(super) numbers: Vec<(String, u32)>,
    /// The same, by the mark in hexadecimal digits.
    #[serde(default)]
    pub(super) forgotten: Vec<(String, u32)>,
    /// The marks of erased people, in hexadecimal digits.
    #[serde(default)]
    pub(super) erased: Vec<String>,
    /// The slots of customers to whom visitors were joined, or about to be.
    #[serde(default)]
    pub(super) joined: Vec<u32>,
    /// What counts over all customers.
    pub(super) books: Kept,
}

/// What is kept beside the keys when some are destroyed, since the records that tell it cannot be read any more.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Aside {
    /// What counts over all customers.
    pub(super) books: Kept,
    /// The last numbers of customers who were forgotten a moment ago, by the mark in hexadecimal digits.
    pub(super) forgotten: Vec<(String, u32)>,
}

/// Returns the marks of erased people in the head of a checkpoint, in hexadecimal digits.
#[must_use]
pub fn erased_in(head: &[u8]) -> HashSet<String> {
    let head: Head = serde_json::from_slice(head).unwrap_or_default();
    head.erased.into_iter().collect()
}

/// Appends a record that is about nobody.
pub(super) fn append_plain(journal: &Journal, draft: &mut Draft) -> Result<u64, NotWritten> {
    let record = draft.record(journal.keys().nonces(), || Ok::<_, NotWritten>(Seal::NONE))?;
    journal.append(record)
}

impl Engine {
    /// Puts another catalog and its models in force. Calls under way finish on the one they took.
    ///
    /// # Errors
    /// When the journal cannot take it; the catalog of before stays in force.
    pub fn activate(&self, active: Active) -> Result<(), NotWritten> {
        let mut history = self.history.lock();
        let generation = self.active.load().generation + 1;
        let active = Active { generation, ..active };
        self.note_activation(&mut history, &active)?;
        let is_first = self.conductor.volumes.prepare(&active);
        if is_first {
            self.open_reservations();
        }
        self.active.store(Arc::new(active));
        self.conductor.answers.forget_before(generation);
        Ok(())
    }

    /// Writes to the journal, if there is one, that a catalog comes into force.
    fn note_activation(&self, history: &mut Vec<Activation>, active: &Active) -> Result<(), NotWritten> {
        let Some(journal) = &self.conductor.journal else {
            return Ok(());
        };
        let activation = Activation::of(active);
        let mut draft = Draft::default();
        // A table of names and numbers can always be written as JSON.
        draft.activate(&serde_json::to_vec(&activation).unwrap_or_default());
        append_plain(journal, &mut draft)?;
        history.push(activation);
        let excess = history.len().saturating_sub(ACTIVATIONS_KEPT);
        history.drain(..excess);
        Ok(())
    }

    /// Goes on after the activations of earlier processes: on the last one when its catalog and models are those in force, else on
    /// a new one.
    pub(super) fn go_on(&self, activations: Vec<Activation>) -> Result<(), NotWritten> {
        let active = self.active.load_full();
        let catalog = Arc::clone(&active.catalog);
        let last = activations.last();
        let now = Activation::of(&active);
        let is_same = last.is_some_and(|last| last.is_same(&now));
        let generation = last.map_or(0, |last| last.generation) + u64::from(!is_same);
        let active = Active {
            catalog,
            models: active.models.clone(),
            generation,
            since: active.since,
        };
        let mut history = self.history.lock();
        *history = activations;
        if !is_same {
            self.note_activation(&mut history, &active)?;
        }
        self.conductor.volumes.prepare(&active);
        if !active.catalog.volumes.is_empty() {
            // Whenever it was that volumes began, before the checkpoint or behind it.
            self.open_reservations();
        }
        self.active.store(Arc::new(active));
        Ok(())
    }

    /// Lets the volumes of a catalog that is about to come into force know of the reservations that are open already: as long as
    /// there is no volume, nobody keeps them but the customers. Takes about a second for a million customers, once; who decides meanwhile
    /// does so for the catalog of before and for this one.
    fn open_reservations(&self) {
        let mut profile = Profile::default();
        let Ok(()) = self.store.blocks(|block| {
            packed::unpack(block, &mut profile);
            if let Some(id) = packed::unpack_id(block) {
                for (key, own) in everybody(id.key(), &profile) {
                    self.conductor.volumes.ensure(key, &own.contacts);
                }
            }
            Ok::<_, Infallible>(())
        });
    }

    /// Returns every activation on the same data, oldest first, the one in force included; none without a journal.
    #[must_use]
    pub fn activations(&self) -> Vec<Activation> {
        self.history.lock().clone()
    }

    /// Finds the activation by which a decision was made.
    #[must_use]
    pub fn activation(&self, generation: u64) -> Option<Activation> {
        let history = self.history.lock();
        history
            .iter()
            .find(|activation| activation.generation == generation)
            .cloned()
    }
}
