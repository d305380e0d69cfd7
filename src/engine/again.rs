//! Erasing again, in data that were brought back from a copy, who was erased since the copy was made.
//!
//! Who that is, the folder says that went on: by the marks of erased people, which are made with the same salt, and by the slots of
//! keys that were destroyed, since a slot is of one life of one person and is never used again. A person whose mark is there is erased, and
//! remembered as erased when the copy does not know them at all. A life whose key is gone without a mark was forgotten, or was the one
//! before an erased person came back: it is forgotten again.

use std::collections::HashSet;

use super::{Engine, Rejection};
use crate::domain::ids::CustomerKey;
use crate::domain::profile::Profile;
use crate::domain::time::Timestamp;
use crate::store::record::{self, Draft};
use crate::store::seal::NO_SLOT;

/// How many marks go into one record.
const MARKS_AT_ONCE: usize = 1_024;

/// Who was erased or forgotten, by data that went on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// The marks of erased people.
    pub marks: HashSet<u128>,
    /// The slots of destroyed keys.
    pub slots: HashSet<u32>,
}

/// What erasing again came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoneAgain {
    /// How many people were erased, visitors who are joined to them not counted.
    pub erased: u64,
    /// How many were forgotten.
    pub forgotten: u64,
    /// How many are remembered as erased whom the data did not know.
    pub remembered: u64,
}

impl Engine {
    /// Erases and forgets everybody who is gone by data that went on. To be repeated when it fails; whoever is gone stays so.
    ///
    /// # Errors
    /// When the journal or the disk cannot take it.
    pub fn erase_again(&self, gone: &Gone, now: Timestamp) -> Result<GoneAgain, Rejection> {
        let mut again = GoneAgain::default();
        self.part_gone(gone, now)?;
        let mut people = Vec::new();
        self.store.seals(|key, seal| {
            let is_erased = gone.marks.contains(&self.conductor.marks.of(key));
            if is_erased || gone.slots.contains(&seal.slot()) {
                people.push((key, is_erased));
            }
        });
        for (key, is_erased) in people {
            let Some(id) = self.store.look(key, None) else {
                continue;
            };
            if is_erased {
                again.erased += u64::from(self.erase_customer(&id, now)?.existed);
            } else {
                again.forgotten += u64::from(self.delete_profile(&id)?);
            }
        }
        again.remembered = self.remember_erased(gone)?;
        Ok(again)
    }

    /// Parts visitors who are gone from customers who are not: they are people of their own then.
    fn part_gone(&self, gone: &Gone, now: Timestamp) -> Result<(), Rejection> {
        let active = self.active();
        let marks = &self.conductor.marks;
        let is_gone = |key: CustomerKey, slot: u32| gone.slots.contains(&slot) || gone.marks.contains(&marks.of(key));
        let mut profile = Profile::default();
        for customer in self.aliases.customers() {
            let slot = self.store.seal(customer).map_or(NO_SLOT, |seal| seal.slot());
            if is_gone(customer, slot) || !self.store.read(customer, &mut profile) {
                continue;
            }
            for joined in &profile.joined {
                if is_gone(joined.visitor.key(), joined.slot) {
                    self.unmerge_customers(&active, &joined.visitor, now)?;
                }
            }
        }
        Ok(())
    }

    /// Remembers people as erased of whom nothing is known.
    fn remember_erased(&self, gone: &Gone) -> Result<u64, Rejection> {
        let marks = &self.conductor.marks;
        let known: HashSet<u128> = marks.all().into_iter().collect();
        let mut new: Vec<u128> = gone.marks.difference(&known).copied().collect();
        new.sort_unstable();
        let mut draft = Draft::default();
        for some in new.chunks(MARKS_AT_ONCE) {
            let records: Vec<_> = some
                .iter()
                .map(|&mark| record::Erased {
                    mark,
                    slot: NO_SLOT,
                    decisions: 0,
                })
                .collect();
            draft.erase(&records);
            // As of everybody who is erased: known before the record is written.
            for &mark in some {
                marks.add(mark);
            }
            let written = self.conductor.commit(&mut draft);
            written.inspect_err(|_| {
                for &mark in some {
                    marks.take(mark);
                }
            })?;
        }
        if let Some(journal) = self.journal().filter(|_| !new.is_empty()) {
            journal
                .sync()
                .map_err(|error| Rejection::NotDestroyed(error.to_string().into()))?;
        }
        Ok(new.len() as u64)
    }
}
