//! Erasing a person, for good (crypto-shredding).
//!
//! **What goes.** All that is written about a person, in journal and checkpoints, is sealed with a key of the person's own
//! ([`crate::journal::keys`]). To erase is to drop the person from memory (profile, list, answers, open reservations) and to
//! destroy the key: what is left of the person in files is noise then. The only text of a person that is kept at all is the id;
//! categories, offers, places and channels are names of the catalog, and ids of events, visits and requests are kept as hashes,
//! within what is sealed. Nothing about a person stands anywhere unsealed, not in the catalog's symbols, nor in logs.
//!
//! **What stays.** A mark: a hash of the id, keyed with a random salt of the data folder. By it somebody who was erased is recognised and
//! not contacted: decisions answer without offers, with the reason `erased`, and whatever would record something is refused until the
//! person is written with the explicit word that they came back; they are new then. And what the person's contacts counted as over
//! all customers, as numbers by offer, channel and quarter of an hour: a limit over all is not given back what was used.
//!
//! **In this order.** (1) A record with the mark; the person leaves memory, under the person's lock and at one moment with (2) a copy of
//! the books over all customers. (3) The journal is synced, whatever its level; (4) the copy is kept beside the keys; (5) the key
//! is overwritten, and synced; then the call is answered. A crash before (1) leaves the person as they were; behind it, the next
//! start ends what was begun before it serves.
//!
//! **Why the copy.** Records that cannot be read any more have counted over all customers. Whoever recovers takes the books as of
//! the copy, and the records behind it, all of which can be read; those before it need only be read for their own person. With it
//! are the last numbers of decisions of those who were forgotten, so that none is given out twice.
//!
//! **Forgetting** ([`Engine::delete_profile`]) is the lesser thing: the person leaves memory with a record, may be known again at once,
//! and leaves no mark. The key is destroyed with the next checkpoint, erasure or start, all that are due at once.
//!
//! **Joined visitors** ([`super::joining`]) are erased with the customer, in the same record, each with a mark and a key.
//!
//! Without a journal there are no keys and no files; the marks are kept in memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{RwLock, RwLockWriteGuard};

use super::conductor::Conductor;
use super::history::Aside;
use super::numbers::Numbers;
use super::steps::everybody;
use super::sync::Locked;
use super::volumes::books::{Books, Kept};
use super::{Engine, Rejection};
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;
use crate::domain::time::Timestamp;
use crate::journal::Journal;
use crate::journal::failpoints::fail_point;
use crate::store::record::{self, Draft};
use crate::store::seal::{Seal, random};

/// The people who were erased, by their marks.
#[derive(Debug)]
pub(super) struct Marks {
    salt: [u8; 32],
    erased: RwLock<HashSet<u128>>,
    /// Whether there is any, so that somebody new costs no hash as long as there is none.
    is_used: AtomicBool,
}

impl Marks {
    /// Begins without marks, for an engine without files.
    pub(super) fn new() -> Self {
        let mut salt = [0; 32];
        // Marks that stay in memory are as good without.
        let _ = random(&mut salt);
        Self::salted(salt)
    }

    /// Begins without marks, with the salt of a data folder.
    pub(super) fn salted(salt: [u8; 32]) -> Self {
        Self {
            salt,
            erased: RwLock::default(),
            is_used: AtomicBool::new(false),
        }
    }

    /// Makes the mark of a customer.
    pub(super) fn of(&self, customer: CustomerKey) -> u128 {
        let hash = blake3::keyed_hash(&self.salt, &customer.get().to_le_bytes());
        let mut mark = [0; 16];
        mark.copy_from_slice(&hash.as_bytes()[..16]);
        u128::from_le_bytes(mark)
    }

    /// Tells whether a customer was erased. To be asked for somebody who is not known, under the customer's lock.
    pub(super) fn have(&self, customer: CustomerKey) -> bool {
        self.is_used.load(Ordering::Acquire) && self.erased.read().contains(&self.of(customer))
    }

    /// Adds a mark; tells whether it is new.
    pub(super) fn add(&self, mark: u128) -> bool {
        let is_new = self.erased.write().insert(mark);
        self.is_used.store(true, Ordering::Release);
        is_new
    }

    /// Takes a mark away; tells whether it was there.
    pub(super) fn take(&self, mark: u128) -> bool {
        self.erased.write().remove(&mark)
    }

    /// Returns all marks.
    pub(super) fn all(&self) -> Vec<u128> {
        self.erased.read().iter().copied().collect()
    }

    /// Returns how many there are.
    pub(super) fn count(&self) -> usize {
        self.erased.read().len()
    }
}

/// What an erasure came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Whether anything was known of the person.
    pub existed: bool,
    /// How many keys were destroyed: those of people who were forgotten before are among them.
    pub keys: u64,
}

impl Engine {
    /// Erases a person: on return nothing about them can be read any more, and they are not contacted. To erase somebody who is
    /// not known, or again, is no fault.
    ///
    /// # Errors
    /// When the journal cannot take it, or a visitor is joined to a customer; nothing was changed then. [`Rejection::NotDestroyed`] when the person left memory and the disk
    /// would not take the rest: to be repeated.
    pub fn erase_customer(&self, customer: &CustomerId, now: Timestamp) -> Result<Erasure, Rejection> {
        let _one_at_a_time = self.erasing.lock();
        let alone = self.joining.write();
        let key = customer.key();
        if self.aliases.get(key).is_some() {
            return Err(Rejection::IsJoined);
        }
        let visitors = self.aliases.visitors(key);
        let mut erased = None;
        let existed = self.store.remove_or(key, |found| {
            erased = Some(self.conductor.erase(key, found, now)?);
            if let Some((profile, _)) = found {
                self.part_from(profile);
            }
            Ok::<_, Rejection>(())
        })?;
        fail_point("erase::kept");
        // While nobody goes and comes back: a slot is of those who had it then.
        let erased = erased.map(|(books, number)| (self.aside(books), number));
        let _no_joining = RwLockWriteGuard::downgrade(alone);
        self.changed(key);
        for visitor in visitors {
            self.changed(visitor);
        }
        let keys = match (&self.conductor.journal, erased) {
            (Some(journal), Some((aside, number))) => Self::destroy_keys(journal, &aside, number)
                .map_err(|why| Rejection::NotDestroyed(why.to_string().into()))?,
            _ => 0,
        };
        Ok(Erasure { existed, keys })
    }

    /// Returns books of this moment as they are kept beside the keys.
    pub(super) fn aside(&self, books: Kept) -> Aside {
        Aside {
            books: self.anonymous(books),
            forgotten: self.forgotten(),
        }
    }

    /// Destroys the keys of all who were gone by record `number`, with the books as of then.
    pub(super) fn destroy_keys(journal: &Arc<Journal>, aside: &Aside, number: u64) -> std::io::Result<u64> {
        let aside = serde_json::to_vec(aside)?;
        journal.sync().map_err(std::io::Error::other)?;
        fail_point("erase::before_books");
        journal.keys().keep_books(number, &aside)?;
        fail_point("erase::before_destroy");
        journal.keys().destroy(number)
    }

    /// Returns the last numbers of those who were forgotten a moment ago, by the mark in hexadecimal digits.
    pub(super) fn forgotten(&self) -> Vec<(String, u32)> {
        let all = self.conductor.numbers.all().into_iter();
        all.map(|(mark, last)| (format!("{mark:032x}"), last)).collect()
    }

    /// Names customers in books by the slots of their keys. Since the books were as they are, nobody may have gone and come back, who
    /// would have another slot: hold [`Engine::joining`] for both.
    pub(super) fn anonymous(&self, books: Kept) -> Kept {
        books.by_slot(|key| self.slot(key))
    }

    /// Returns the slot of somebody's key; nothing for who is not known, or has none yet.
    pub(super) fn slot(&self, key: CustomerKey) -> Option<u32> {
        // A visitor that is joined is not in the store; it is in one of the two at any moment.
        let joined = || self.aliases.get(key).map(|alias| alias.seal);
        let seals = [joined(), self.store.seal(key), joined()];
        let seal = seals.into_iter().flatten().find(|seal| !seal.is_none())?;
        Some(seal.slot())
    }

    /// Tells whether a customer was erased, and did not come back.
    #[must_use]
    pub fn is_erased(&self, customer: &CustomerId) -> bool {
        let key = customer.key();
        self.conductor.marks.have(key) && self.store.seal(key).is_none()
    }

    /// Returns how many people are remembered as erased.
    #[must_use]
    pub fn erased(&self) -> usize {
        self.conductor.marks.count()
    }
}

impl<L: Locked<Books>> Conductor<L> {
    /// Erases somebody, and the visitors that are joined, everywhere but in the store and on the disk: returns the books of that moment, with the number of its record.
    pub(super) fn erase(
        &self,
        key: CustomerKey,
        found: Option<(&Profile, Seal)>,
        now: Timestamp,
    ) -> Result<(Kept, u64), Rejection> {
        let nobody = Profile::default();
        let (profile, seal) = found.unwrap_or((&nobody, Seal::NONE));
        let all = everybody(key, profile);
        let slots = profile.joined.iter().map(|joined| joined.slot);
        let slots = std::iter::once(seal.slot()).chain(slots);
        let of_one = |((key, own), slot): (&(CustomerKey, &Profile), u32)| record::Erased {
            mark: self.marks.of(*key),
            slot,
            decisions: Numbers::ahead(own.decisions, now),
        };
        let mut records: Vec<_> = all.iter().zip(slots).map(of_one).collect();
        records.reverse();
        let mut draft = Draft::default();
        draft.erase(&records);
        // Known before the record is written, so that no checkpoint lies between them.
        let mut new = Vec::with_capacity(records.len());
        for erased in &records {
            self.numbers.forget(erased.mark, erased.decisions);
            new.extend(self.marks.add(erased.mark).then_some(erased.mark));
        }
        let contacts: Vec<_> = all.iter().map(|&(key, own)| (key, &*own.contacts)).collect();
        let commit = || {
            self.commit(&mut draft)?;
            Ok::<_, Rejection>(self.journal.as_ref().map_or(0, |journal| journal.written()))
        };
        let erased = self.volumes.erase(&contacts, commit);
        let (books, number) = erased.inspect_err(|_| {
            for mark in new {
                self.marks.take(mark);
            }
        })?;
        fail_point("erase::recorded");
        for (key, _) in all {
            self.lists.forget(key);
            self.answers.forget(key);
        }
        if let Some(journal) = &self.journal {
            for erased in &records {
                journal.keys().retire(erased.slot, number);
            }
        }
        Ok((books, number))
    }
}
