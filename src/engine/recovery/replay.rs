//! The records behind a checkpoint, folded one by one.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use super::super::conductor::Conductor;
use super::super::history::{Activation, Aside};
use super::super::{Active, Engine, WORKSPACE, Workspace};
use super::{NO_KEY, RecoveryError, Taken, WRONG_KEY};
use crate::catalog::Catalog;
use crate::decision::fold;
use crate::domain::contact::Contact;
use crate::domain::entry::Entry;
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::{Joined, Profile};
use crate::domain::time::Timestamp;
use crate::journal::{Found, Table};
use crate::store::Then;
use crate::store::record::{ForgottenVisitor, Record, Unread, Who};
use crate::store::seal::{NO_SLOT, Seal};

/// Folds the records behind a checkpoint.
///
/// Meanwhile the books over all customers name people by their slots, as the checkpoint does, in whatever life each was: who that is may
/// be told by a record far behind, or by none when they are gone. At the end they are named, and hold for everybody what the
/// contacts reserve ([`Engine::name_books`]).
pub(super) struct Replay<'a> {
    pub(super) engine: &'a Engine,
    pub(super) keys: &'a Table,
    pub(super) taken: &'a Taken,
    pub(super) names: HashMap<u32, CustomerKey>,
    /// Who may have visitors.
    pub(super) joined: HashSet<CustomerKey>,
    pub(super) activations: &'a [Activation],
    pub(super) catalogs: &'a mut dyn FnMut(&Activation) -> Result<Arc<Catalog>, String>,
    pub(super) actives: HashMap<u64, Arc<Active>>,
    /// The first record that is not in the books yet.
    pub(super) counts_from: u64,
    pub(super) unreadable: u64,
    /// Whether somebody was to be erased whose key is still there.
    pub(super) unfinished: bool,
}

impl Replay<'_> {
    /// Does what a record says, if it could be read.
    pub(super) fn read(&mut self, number: u64, read: Result<Record, Unread>) -> Result<(), RecoveryError> {
        let missing = |slot, why| RecoveryError::Key {
            what: format!("record {number}"),
            slot,
            why,
        };
        match read {
            Ok(record) => self.record(number, record),
            Err(Unread::Destroyed(_)) => {
                self.unreadable += 1;
                Ok(())
            }
            Err(Unread::Foreign) => Err(RecoveryError::Record(number)),
            Err(Unread::NoKey(slot)) => Err(missing(slot, NO_KEY)),
            Err(Unread::WrongKey(slot)) => Err(missing(slot, WRONG_KEY)),
        }
    }

    fn record(&mut self, number: u64, record: Record) -> Result<(), RecoveryError> {
        let Conductor {
            volumes,
            numbers,
            marks,
            ..
        } = &self.engine.conductor;
        match record {
            Record::Activation(_) | Record::Converted => Ok(()),
            Record::Readmitted(mark) => {
                marks.take(mark);
                Ok(())
            }
            Record::Erased(all) => {
                for erased in all {
                    marks.add(erased.mark);
                    numbers.forget(erased.mark, erased.decisions);
                    self.erase(erased.slot);
                }
                Ok(())
            }
            Record::Forgotten {
                who,
                key,
                decisions,
                before,
                visitors,
            } => {
                numbers.forget(marks.of(key), decisions);
                if number >= self.counts_from {
                    let counted = |one: &ForgottenVisitor| match one.slot {
                        NO_SLOT => one.visitor,
                        slot => nobody(slot),
                    };
                    // What a report on a joined visitor's offer reserved anew is under the visitor's own key.
                    let people = visitors.iter().map(|one| (one.visitor, &*one.before));
                    let people = people.chain([(key, &*before)]);
                    let people = people.chain(visitors.iter().map(|one| (counted(one), &*one.before)));
                    let people: Vec<_> = people.chain([(counts_as(who), &*before)]).collect();
                    let Ok(()) = volumes.forget(&people, || Ok::<_, Infallible>(()));
                }
                for one in visitors {
                    numbers.forget(marks.of(one.visitor), one.decisions);
                    self.leave_store(one.visitor, one.slot, number);
                }
                if self.is_open(who, number) && self.is_life(who, key) {
                    let Ok(_) = self.engine.store.remove(key, |_, _| Ok::<_, Infallible>(()));
                }
                Ok(())
            }
            Record::Change {
                who,
                seal,
                id,
                generation,
                at,
                entries,
                before,
                seen: _,
            } => {
                if let (Who::Slot(slot), Some(id)) = (who, &id) {
                    self.names.insert(slot, id.key());
                }
                let key = self.name(who);
                let active = self.active(number, generation)?;
                for entry in &entries {
                    if let Entry::Joined(joined) = entry {
                        self.join(key, joined, number);
                    }
                }
                if number >= self.counts_from {
                    self.count(&active, counts_as(who), (&entries, before), at);
                }
                if self.is_open(who, number) && self.is_life(who, key) {
                    self.fold(&active.catalog, (key, seal), id.as_ref(), &entries);
                }
                Ok(())
            }
        }
    }

    /// Takes note that a visitor was joined to a customer.
    fn join(&mut self, customer: CustomerKey, joined: &Joined, number: u64) {
        self.joined.insert(customer);
        let visitor = joined.visitor.key();
        if joined.slot == NO_SLOT {
            return;
        }
        self.names.insert(joined.slot, visitor);
        self.leave_store(visitor, joined.slot, number);
    }

    /// Takes a visitor out of the store, as the life of then.
    fn leave_store(&self, visitor: CustomerKey, slot: u32, number: u64) {
        let is_of_then = self.engine.store.seal(visitor).is_some_and(|seal| seal.slot() == slot);
        if is_of_then && self.is_open(Who::Slot(slot), number) {
            let Ok(_) = self.engine.store.remove(visitor, |_, _| Ok::<_, Infallible>(()));
        }
    }

    /// Goes on with the books of a later moment.
    pub(super) fn restore(&mut self, aside: Aside) {
        let Conductor { volumes, numbers, .. } = &self.engine.conductor;
        for (mark, last) in aside.forgotten {
            if let Ok(mark) = u128::from_str_radix(&mark, 16) {
                numbers.forget(mark, last);
            }
        }
        volumes.restore(aside.books);
    }

    fn name(&self, who: Who) -> CustomerKey {
        match who {
            Who::Key(key) => key,
            Who::Slot(slot) => self.names.get(&slot).copied().unwrap_or(nobody(slot)),
        }
    }

    fn is_open(&self, who: Who, number: u64) -> bool {
        self.taken.get(who).is_none_or(|taken| taken < number)
    }

    /// Tells whether what the store has of a customer, if anything, is of the same slot: somebody who was forgotten and came back has
    /// another, and what is written of the life before is past.
    fn is_life(&self, who: Who, key: CustomerKey) -> bool {
        match (who, self.engine.store.seal(key)) {
            (Who::Slot(slot), Some(seal)) => seal.slot() == slot,
            _ => true,
        }
    }

    fn erase(&mut self, slot: u32) {
        self.unfinished |= matches!(self.keys.find(slot), Found::Live(_));
        let key = self.name(Who::Slot(slot));
        // What is reserved goes with the slot, at the end.
        if slot != NO_SLOT && self.is_life(Who::Slot(slot), key) {
            let Ok(_) = self.engine.store.remove(key, |_, _| Ok::<_, Infallible>(()));
        }
    }

    /// Enters what an earlier process entered into the books over all customers.
    fn count(&self, active: &Active, key: CustomerKey, (entries, before): (&[Entry], Vec<Contact>), at: Timestamp) {
        let volumes = &self.engine.conductor.volumes;
        // What became of a visitor's contact counts; what it reserves is held at the end, since the record has no slot.
        let (key, entries) = match entries {
            [Entry::OfVisitor { visitor, entry }] => (*visitor, std::slice::from_ref(&**entry)),
            own => (key, own),
        };
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
        let Ok(_) = volumes.change(active, key, &moves, at, || Ok::<_, Infallible>(()));
    }

    fn fold(&self, catalog: &Catalog, (key, with): (CustomerKey, Seal), id: Option<&CustomerId>, entries: &[Entry]) {
        let fold = |profile: &mut Profile| {
            for entry in entries {
                fold::apply(profile, entry, catalog);
            }
            ((), Then::Keep)
        };
        WORKSPACE.with_borrow_mut(|workspace| {
            let Workspace { buffers, .. } = workspace;
            match id {
                Some(id) => self.engine.store.with_seal(id, key, buffers, |profile, _, seal| {
                    *seal = with;
                    fold(profile)
                }),
                // Somebody whom the checkpoint does not have was forgotten later.
                None => drop(self.engine.store.with_known(key, buffers, |profile, _| fold(profile))),
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

/// Returns under what the books count somebody as long as records are folded.
const fn nobody(slot: u32) -> CustomerKey {
    CustomerKey::from_packed(slot as u128)
}

fn counts_as(who: Who) -> CustomerKey {
    match who {
        Who::Key(key) => key,
        Who::Slot(slot) => nobody(slot),
    }
}
