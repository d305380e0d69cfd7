//! All customers in memory: sharded, packed, one lock at a time.
//!
//! A customer is one heap block of a few hundred bytes (a head with the [`Seal`], then [`packed`]) in a [`DashMap`] under the hash of the id. Check
//! and commit are one synchronous call ([`Store::with`]) that holds the lock of one shard; nothing called from there
//! may touch the store again. The number of shards is large, so that two callers rarely want the same one.

mod codec;
mod head;
mod keys;
pub mod packed;
#[cfg(test)]
mod packed_tests;
mod rarities;
pub mod record;
#[cfg(test)]
mod record_tests;
pub mod seal;

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;

use head::{HEAD_BYTES, Head};
use packed::Parts;
use seal::Seal;

/// How many locks the customers are spread over. A lock is held for one decision, tens of microseconds at most without
/// a model call, so among 1,024 two busy cores collide once in a thousand times.
const SHARDS: usize = 1_024;

/// Takes 64 bits of the key as they are: it is a cryptographic hash already.
#[derive(Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "any 64 bits of a hash are a hash")]
    fn write_u128(&mut self, number: u128) {
        self.0 = (number ^ (number >> 64)) as u64;
    }
}

/// Why a customer could not be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// How many customers the store may hold.
    pub customers_max: usize,
}

/// Whether the store has, or can take, a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The customer is known.
    Known,
    /// The customer is not known and can be begun.
    New,
    /// The customer is not known, and there is no room: nothing can be kept.
    Full(Full),
}

/// What to do with the customer after looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing changed.
    Leave,
    /// Write the profile back; begin the customer when new.
    Keep,
    /// The same, when nothing but counters and contacts changed, as after a report: costs half as much.
    KeepContacts,
    /// The same, when of the contacts none changed but that new ones follow, and maybe old ones were dropped, as after a decision: costs
    /// half of that.
    KeepAdded,
}

/// The customers.
pub struct Store {
    customers: DashMap<u128, Box<[u8]>, BuildHasherDefault<KeyHasher>>,
    count: AtomicUsize,
    customers_max: usize,
}

/// Buffers that one thread reuses from call to call.
#[derive(Debug, Default)]
pub struct Buffers {
    /// The unpacked profile of the customer at hand.
    pub profile: Profile,
    bytes: Vec<u8>,
    /// What a debug build compares those bytes with, and the profile that was passed over.
    whole: Vec<u8>,
    before: Profile,
}

impl Buffers {
    /// Packs the profile of the customer that was `old`.
    fn pack(&mut self, old: &[u8], seal: Seal, then: Then, parts: Parts) {
        self.bytes.clear();
        Head::of(seal).pack(&mut self.bytes);
        self.bytes.extend_from_slice(&old[..packed::id_length(old)]);
        debug_assert!(
            then != Then::Keep || !parts.is_in_part,
            "what was passed over would be lost"
        );
        let contacts_at = if then == Then::Keep && !parts.is_in_part {
            packed::pack(&self.profile, &mut self.bytes)
        } else {
            packed::pack_contacts_anew(&self.profile, old, parts, then == Then::KeepAdded, &mut self.bytes)
        };
        head::note(contacts_at, &mut self.bytes);
        debug_assert!(self.is_whole(old, parts), "more changed than was said");
    }

    /// Tells whether the same is packed when everything is. What was passed over is as it was.
    fn is_whole(&mut self, old: &[u8], parts: Parts) -> bool {
        let Self { profile, before, .. } = self;
        let exchange = |profile: &mut Profile, before: &mut Profile| {
            std::mem::swap(&mut profile.events, &mut before.events);
            std::mem::swap(&mut profile.older_event_ids, &mut before.older_event_ids);
            std::mem::swap(&mut profile.buckets, &mut before.buckets);
            std::mem::swap(&mut profile.latest, &mut before.latest);
            std::mem::swap(&mut profile.traces, &mut before.traces);
            std::mem::swap(&mut profile.sessions, &mut before.sessions);
        };
        if parts.is_in_part {
            packed::unpack(old, before);
            exchange(profile, before);
        }
        self.whole.clear();
        self.whole.extend_from_slice(&old[..packed::id_length(old)]);
        packed::pack(profile, &mut self.whole);
        if parts.is_in_part {
            exchange(profile, before);
        }
        self.whole == content(&self.bytes)
    }
}

impl Store {
    /// Makes an empty store that will hold up to `customers_max` customers.
    #[must_use]
    pub fn new(customers_max: usize) -> Self {
        let customers = DashMap::with_capacity_and_hasher_and_shard_amount(0, BuildHasherDefault::default(), SHARDS);
        Self {
            customers,
            count: AtomicUsize::new(0),
            customers_max,
        }
    }

    /// Looks at one customer, changes the profile in the buffers, and writes it back when `work` says so, all under one
    /// lock. For somebody new the profile is empty; whether there is a place for them is known before `work` begins, so
    /// that nothing needs to be undone afterwards.
    pub fn with<T>(
        &self,
        id: &CustomerId,
        key: CustomerKey,
        buffers: &mut Buffers,
        work: impl FnOnce(&mut Profile, Standing) -> (T, Then),
    ) -> T {
        self.with_seal(id, key, buffers, |profile, standing, _| work(profile, standing))
    }

    /// Does the same, and lets `work` see and set the customer's seal, which is written back with the profile.
    pub fn with_seal<T>(
        &self,
        id: &CustomerId,
        key: CustomerKey,
        buffers: &mut Buffers,
        work: impl FnOnce(&mut Profile, Standing, &mut Seal) -> (T, Then),
    ) -> T {
        self.with_part(
            id,
            key,
            buffers,
            |_| false,
            |profile, standing, seal, _| work(profile, standing, seal),
        )
    }

    /// Does the same on a profile of which events and behaviour are not read, so that there are none, when `in_part` says so, which gets
    /// the ranking version of somebody who is known. They stay as they are; `work` may not say [`Then::Keep`] then. It also gets the
    /// packed form of the customer, which is empty for somebody new.
    pub fn with_part<T>(
        &self,
        id: &CustomerId,
        key: CustomerKey,
        buffers: &mut Buffers,
        in_part: impl FnOnce(u64) -> bool,
        work: impl FnOnce(&mut Profile, Standing, &mut Seal, &[u8]) -> (T, Then),
    ) -> T {
        match self.customers.entry(key.get()) {
            Entry::Occupied(mut entry) => {
                Self::with_block(entry.get_mut(), buffers, in_part, |profile, seal, packed| {
                    work(profile, Standing::Known, seal, packed)
                })
            }
            Entry::Vacant(entry) => {
                buffers.profile.clear();
                let is_full = self.count.fetch_add(1, Ordering::Relaxed) >= self.customers_max;
                let standing = if is_full {
                    Standing::Full(self.full())
                } else {
                    Standing::New
                };
                let mut seal = Seal::NONE;
                let (result, then) = work(&mut buffers.profile, standing, &mut seal, &[]);
                debug_assert!(!is_full || then == Then::Leave, "there was no place");
                if is_full || then == Then::Leave {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                } else {
                    buffers.bytes.clear();
                    Head::of(seal).pack(&mut buffers.bytes);
                    packed::pack_id(id, &mut buffers.bytes);
                    let contacts_at = packed::pack(&buffers.profile, &mut buffers.bytes);
                    head::note(contacts_at, &mut buffers.bytes);
                    entry.insert(buffers.bytes.as_slice().into());
                }
                result
            }
        }
    }

    /// Does the same for somebody who is known; nothing for anybody else.
    pub fn with_known<T>(
        &self,
        key: CustomerKey,
        buffers: &mut Buffers,
        work: impl FnOnce(&mut Profile, &mut Seal) -> (T, Then),
    ) -> Option<T> {
        let mut block = self.customers.get_mut(&key.get())?;
        Some(Self::with_block(
            &mut block,
            buffers,
            |_| false,
            |profile, seal, _| work(profile, seal),
        ))
    }

    fn with_block<T>(
        block: &mut Box<[u8]>,
        buffers: &mut Buffers,
        in_part: impl FnOnce(u64) -> bool,
        work: impl FnOnce(&mut Profile, &mut Seal, &[u8]) -> (T, Then),
    ) -> T {
        let (head, content) = Head::unpack(block);
        let parts = packed::unpack_in_part(content, &mut buffers.profile, |ranking_version| {
            head.contacts_at.filter(|_| in_part(ranking_version))
        });
        let mut seal = head.seal;
        let (result, then) = work(&mut buffers.profile, &mut seal, content);
        if then != Then::Leave {
            buffers.pack(content, seal, then, parts);
            if block.len() == buffers.bytes.len() {
                block.copy_from_slice(&buffers.bytes);
            } else {
                *block = buffers.bytes.as_slice().into();
            }
        }
        result
    }

    const fn full(&self) -> Full {
        Full {
            customers_max: self.customers_max,
        }
    }

    /// Reads one customer into the buffers; tells whether there is one.
    pub fn read(&self, key: CustomerKey, profile: &mut Profile) -> bool {
        match self.customers.get(&key.get()) {
            Some(block) => {
                packed::unpack(content(&block), profile);
                true
            }
            None => false,
        }
    }

    /// Removes one customer; tells whether there was one. `then` gets the profile, runs under the customer's lock, and may
    /// refuse; the customer stays then.
    ///
    /// # Errors
    /// What `then` refuses with.
    pub fn remove<E>(&self, key: CustomerKey, then: impl FnOnce(&Profile, Seal) -> Result<(), E>) -> Result<bool, E> {
        self.remove_or(key, |found| found.map_or(Ok(()), |(profile, seal)| then(profile, seal)))
    }

    /// Removes one customer as [`Store::remove`] does; `then` runs as well when there was none, and nobody begins the customer
    /// meanwhile.
    ///
    /// # Errors
    /// What `then` refuses with.
    pub fn remove_or<E>(
        &self,
        key: CustomerKey,
        then: impl FnOnce(Option<(&Profile, Seal)>) -> Result<(), E>,
    ) -> Result<bool, E> {
        match self.customers.entry(key.get()) {
            Entry::Occupied(entry) => {
                let mut profile = Profile::default();
                let (head, content) = Head::unpack(entry.get());
                packed::unpack(content, &mut profile);
                then(Some((&profile, head.seal)))?;
                entry.remove();
                self.count.fetch_sub(1, Ordering::Relaxed);
                Ok(true)
            }
            Entry::Vacant(_) => then(None).map(|()| false),
        }
    }

    /// Returns a customer's seal; `None` when there is no such customer.
    #[must_use]
    pub fn seal(&self, key: CustomerKey) -> Option<Seal> {
        self.customers.get(&key.get()).map(|block| Head::unpack(&block).0.seal)
    }

    /// Gives everybody a seal who has none, as after reading what an earlier release wrote.
    ///
    /// # Errors
    /// What `take` says.
    pub fn seal_all<E>(&self, mut take: impl FnMut() -> Result<Seal, E>) -> Result<(), E> {
        let mut bytes = Vec::new();
        for mut entry in self.customers.iter_mut() {
            let (head, content) = Head::unpack(entry.value());
            if head.seal.is_none() {
                bytes.clear();
                Head { seal: take()?, ..head }.pack(&mut bytes);
                bytes.extend_from_slice(content);
                *entry.value_mut() = bytes.as_slice().into();
            }
        }
        Ok(())
    }

    /// Returns how many customers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Tells whether there is no customer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` with every customer, in no particular order. Customers that change meanwhile may be seen before or
    /// after the change. `visit` runs under a shard's lock: it must be quick and must not call the store or the engine.
    pub fn for_each(&self, mut visit: impl FnMut(CustomerId, &Profile)) {
        let mut profile = Profile::default();
        for entry in &self.customers {
            packed::unpack(content(entry.value()), &mut profile);
            if let Some(id) = packed::unpack_id(content(entry.value())) {
                visit(id, &profile);
            }
        }
    }

    /// Calls `visit` with the packed form of every customer, in no particular order, while the customer is locked: nothing of
    /// the customer changes meanwhile. Stops at the first error.
    ///
    /// # Errors
    /// What `visit` says.
    pub fn blocks<E>(&self, mut visit: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.customers
            .iter()
            .try_for_each(|entry| visit(content(entry.value())))
    }

    /// Copies the packed form of a customer; returns the seal, and what `then` gives while the customer is locked, or nothing when
    /// there is no such customer.
    pub fn copy<T>(&self, key: CustomerKey, bytes: &mut Vec<u8>, then: impl FnOnce() -> T) -> Option<(Seal, T)> {
        let block = self.customers.get(&key.get())?;
        let (head, content) = Head::unpack(&block);
        bytes.clear();
        bytes.extend_from_slice(content);
        Some((head.seal, then()))
    }

    /// Limits how many customers may be begun from now on.
    pub const fn limit(&mut self, customers_max: usize) {
        self.customers_max = customers_max;
    }

    /// Puts a customer in that [`Store::copy`] gave, and returns who it is; `None` when the bytes are none.
    pub fn restore(&self, seal: Seal, block: &[u8]) -> Option<CustomerKey> {
        let key = packed::unpack_id(block)?.key();
        let mut whole = Vec::with_capacity(HEAD_BYTES + block.len());
        Head::of(seal).pack(&mut whole);
        whole.extend_from_slice(block);
        let before = self.customers.insert(key.get(), whole.into());
        if before.is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        Some(key)
    }

    /// Returns how many bytes the packed customers have in all, heads included, without the map around them.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        self.customers.iter().map(|entry| entry.value().len()).sum()
    }
}

/// Returns what follows the head.
fn content(block: &[u8]) -> &[u8] {
    block.get(HEAD_BYTES..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CustomerId {
        CustomerId::known(text).unwrap()
    }

    fn touch(store: &Store, name: &str, then: Then) -> Result<(u64, bool), Full> {
        let id = id(name);
        store.with(&id, id.key(), &mut Buffers::default(), |profile, standing| {
            if let Standing::Full(full) = standing {
                return (Err(full), Then::Leave);
            }
            profile.version += 1;
            (Ok((profile.version, standing == Standing::Known)), then)
        })
    }

    #[test]
    fn what_is_kept_is_found_again_and_what_is_left_is_not() {
        let store = Store::new(10);
        assert_eq!(touch(&store, "a", Then::Leave), Ok((1, false)));
        assert_eq!(touch(&store, "a", Then::Keep), Ok((1, false)));
        assert_eq!(touch(&store, "a", Then::Keep), Ok((2, true)));
        assert_eq!(touch(&store, "a", Then::Leave), Ok((3, true)));
        assert_eq!(touch(&store, "a", Then::Leave), Ok((3, true)));
        assert_eq!(store.len(), 1);
        let mut seen = Vec::new();
        store.for_each(|id, profile| seen.push((id, profile.version)));
        assert_eq!(seen, [(id("a"), 2)]);
    }

    #[test]
    fn a_full_store_refuses_somebody_new_and_still_serves_the_others() {
        let store = Store::new(1);
        touch(&store, "a", Then::Keep).unwrap();
        assert_eq!(touch(&store, "b", Then::Keep), Err(Full { customers_max: 1 }));
        assert_eq!(touch(&store, "a", Then::Keep), Ok((2, true)));
        assert_eq!(
            store.remove(id("a").key(), |_, _| Err("no")),
            Err("no"),
            "who may not go stays"
        );
        assert_eq!(store.len(), 1);
        assert_eq!(store.remove(id("a").key(), |_, _| Ok::<_, Full>(())), Ok(true));
        assert_eq!(touch(&store, "b", Then::Keep), Ok((1, false)));
    }
}
