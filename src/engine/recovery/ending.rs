//! What a start does besides reading: it takes over what is nobody's in particular, and leaves nothing half done or unsealed.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::super::Engine;
use super::super::checkpoint::CHECKPOINTS_KEPT;
use super::super::conductor::Conductor;
use super::super::history::{Head, append_plain};
use super::RecoveryError;
use crate::domain::ids::CustomerKey;
use crate::journal::{Journal, LogError, Table};
use crate::store::record::Draft;

impl Engine {
    /// Goes on with what a checkpoint says of nobody in particular.
    pub(super) fn take_over(&self, head: &Head) {
        let Conductor {
            numbers,
            marks,
            volumes,
            ..
        } = &self.conductor;
        let number = |text: &str| u128::from_str_radix(text, 16).ok();
        for (key, last) in &head.numbers {
            if let Some(key) = number(key) {
                numbers.forget(marks.of(CustomerKey::from_packed(key)), *last);
            }
        }
        for (mark, last) in &head.forgotten {
            if let Some(mark) = number(mark) {
                numbers.forget(mark, *last);
            }
        }
        for mark in head.erased.iter().filter_map(|mark| number(mark)) {
            marks.add(mark);
        }
        volumes.restore(head.books.clone());
    }

    /// Names people in the books over all customers by their keys, who were named by their slots. Whoever is gone has nothing reserved,
    /// nor has a life before the one of now; for everybody else, the catalog that comes into force lets the books hold what the
    /// contacts reserve.
    pub(super) fn name_books(&self, names: &HashMap<u32, CustomerKey>) {
        let is_known = |key| self.store.seal(key).is_some() || self.aliases.get(key).is_some();
        let of_slot = |slot: u32| {
            let key = names.get(&slot).copied()?;
            (self.slot(key)? == slot).then_some(key)
        };
        let volumes = &self.conductor.volumes;
        volumes.name(|key| match u32::try_from(key.get()) {
            Ok(slot) => of_slot(slot),
            Err(_) => Some(key).filter(|&key| is_known(key)),
        });
    }

    /// Leaves nothing half done: destroys the keys that nobody has any more, and takes the marks of those who are known.
    pub(super) fn tidy(&self, journal: &Arc<Journal>, keys: &Table, unfinished: bool) -> Result<(), RecoveryError> {
        let marks = &self.conductor.marks;
        // By slot; a set of millions would take ten times the memory.
        let mut owned = vec![false; keys.slots()];
        let mut own = |slot: u32| {
            if let Some(owned) = owned.get_mut(slot as usize) {
                *owned = true;
            }
        };
        self.aliases.seals().iter().for_each(|seal| own(seal.slot()));
        self.store.seals(|key, seal| {
            own(seal.slot());
            if marks.have(key) {
                // A crash lay between the mark and the record.
                marks.take(marks.of(key));
            }
        });
        let (books, number) = self.conductor.volumes.keep(|| journal.written());
        let is_owned = |slot: &u32| owned.get(*slot as usize).copied().unwrap_or_default();
        for slot in keys.live().filter(|slot| !is_owned(slot)) {
            journal.keys().retire(slot, number);
        }
        if !journal.keys().has_retired(number) {
            return Ok(());
        }
        match Self::destroy_keys(journal, &self.aside(books), number) {
            // Who was forgotten waits for the next checkpoint, as on a full disk; who was to be erased does not.
            Err(error) if unfinished => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Seals everybody in checkpoints, and gives up all that was written unsealed before.
    pub(super) fn seal_plain(&self, journal: &Journal, folder: &Path) -> Result<(), RecoveryError> {
        self.store.seal_all(|| journal.keys().take())?;
        let mut first = None;
        // As many as are kept, each behind a record of its own, so that no older one is left.
        for _ in 0..CHECKPOINTS_KEPT {
            let mut draft = Draft::default();
            draft.convert();
            let number = append_plain(journal, &mut draft)?;
            first.get_or_insert(number);
            self.checkpoint(folder, u64::MAX)?;
        }
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "damaged") {
                std::fs::remove_file(path)?;
            }
        }
        match journal.read(1, &mut |_, _| ControlFlow::Break(())) {
            Err(LogError::Trimmed { first: now }) if Some(now) >= first => {}
            Ok(()) if first == Some(1) => {}
            // To be tried again by the next start.
            _ => return Ok(()),
        }
        journal.keys().note_sealed()?;
        Ok(())
    }
}
