//! All customers in memory: sharded, packed, one lock at a time.
//!
//! A customer is one heap block of a few hundred bytes ([`packed`]) in a [`DashMap`] under the hash of the id. Check
//! and commit are one synchronous call ([`Store::with`]) that holds the lock of one shard; nothing called from there
//! may touch the store again. The number of shards is large, so that two callers rarely want the same one.

mod codec;
mod keys;
pub mod packed;
mod rarities;

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;

use packed::Between;

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

/// What to do with the customer after looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing changed.
    Leave,
    /// Write the profile back; begin the customer when new.
    Keep,
    /// The same, when nothing but counters and contacts changed, as after a decision: costs half as much.
    KeepContacts,
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
    /// What a debug build compares those bytes with.
    whole: Vec<u8>,
}

impl Buffers {
    /// Packs the profile of the customer that was `old`.
    fn pack(&mut self, old: &[u8], then: Then, between: Between) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&old[..packed::id_length(old)]);
        if then == Then::KeepContacts {
            packed::pack_contacts_anew(&self.profile, old, between, &mut self.bytes);
            debug_assert!(self.is_whole(old), "more than counters and contacts changed");
        } else {
            packed::pack(&self.profile, &mut self.bytes);
        }
    }

    fn is_whole(&mut self, old: &[u8]) -> bool {
        self.whole.clear();
        self.whole.extend_from_slice(&old[..packed::id_length(old)]);
        packed::pack(&self.profile, &mut self.whole);
        self.whole == self.bytes
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
    /// lock. `work` gets whether the customer is known; for somebody new the profile is empty. The id is needed to begin
    /// somebody new; without it an unknown customer is only looked at.
    ///
    /// # Errors
    /// When somebody new should be begun and the store is full; nothing is changed then.
    pub fn with<T>(
        &self,
        key: CustomerKey,
        id: Option<&CustomerId>,
        buffers: &mut Buffers,
        work: impl FnOnce(&mut Profile, bool) -> (T, Then),
    ) -> Result<T, Full> {
        match self.customers.entry(key.get()) {
            Entry::Occupied(mut entry) => {
                let between = packed::unpack(entry.get(), &mut buffers.profile);
                let (result, then) = work(&mut buffers.profile, true);
                if then != Then::Leave {
                    buffers.pack(entry.get(), then, between);
                    if entry.get().len() == buffers.bytes.len() {
                        entry.get_mut().copy_from_slice(&buffers.bytes);
                    } else {
                        entry.insert(buffers.bytes.as_slice().into());
                    }
                }
                Ok(result)
            }
            Entry::Vacant(entry) => {
                buffers.profile.clear();
                let (result, then) = work(&mut buffers.profile, false);
                if let (Then::Keep | Then::KeepContacts, Some(id)) = (then, id) {
                    if self.count.fetch_add(1, Ordering::Relaxed) >= self.customers_max {
                        self.count.fetch_sub(1, Ordering::Relaxed);
                        return Err(Full {
                            customers_max: self.customers_max,
                        });
                    }
                    buffers.bytes.clear();
                    packed::pack_id(id, &mut buffers.bytes);
                    packed::pack(&buffers.profile, &mut buffers.bytes);
                    entry.insert(buffers.bytes.as_slice().into());
                }
                Ok(result)
            }
        }
    }

    /// Reads one customer into the buffers; tells whether there is one.
    pub fn read(&self, key: CustomerKey, profile: &mut Profile) -> bool {
        match self.customers.get(&key.get()) {
            Some(bytes) => {
                packed::unpack(&bytes, profile);
                true
            }
            None => false,
        }
    }

    /// Removes one customer; tells whether there was one. `then` gets the profile and runs under the customer's lock.
    pub fn remove(&self, key: CustomerKey, then: impl FnOnce(&Profile)) -> bool {
        match self.customers.entry(key.get()) {
            Entry::Occupied(entry) => {
                let mut profile = Profile::default();
                packed::unpack(entry.get(), &mut profile);
                then(&profile);
                entry.remove();
                self.count.fetch_sub(1, Ordering::Relaxed);
                true
            }
            Entry::Vacant(_) => false,
        }
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
            packed::unpack(entry.value(), &mut profile);
            if let Some(id) = packed::unpack_id(entry.value()) {
                visit(id, &profile);
            }
        }
    }

    /// Returns how many bytes the packed customers have in all, without the map around them.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        self.customers.iter().map(|entry| entry.value().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CustomerId {
        CustomerId::known(text).unwrap()
    }

    fn touch(store: &Store, name: &str, then: Then) -> Result<(u64, bool), Full> {
        let id = id(name);
        store.with(id.key(), Some(&id), &mut Buffers::default(), |profile, known| {
            profile.version += 1;
            ((profile.version, known), then)
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
        assert!(store.remove(id("a").key(), |_| ()));
        assert_eq!(touch(&store, "b", Then::Keep), Ok((1, false)));
    }
}
