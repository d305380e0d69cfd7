//! Going through all customers in a fixed order, without holding more than some of their keys.

use std::ops::RangeInclusive;

use super::seal::Seal;
use super::{Store, content, packed};
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;

impl Store {
    /// Puts the keys within a range into `keys`, sorted; takes the lock of one shard after the other, for the moment
    /// that it takes to copy its keys. Keys are hashes, so a hundredth of all keys is a hundredth of the customers.
    pub fn keys(&self, range: &RangeInclusive<CustomerKey>, keys: &mut Vec<CustomerKey>) {
        keys.clear();
        let all = self
            .customers
            .iter()
            .map(|entry| CustomerKey::from_packed(*entry.key()));
        keys.extend(all.filter(|key| range.contains(key)));
        keys.sort_unstable();
    }

    /// Returns the keys of everybody, in no particular order but that those who are found near each other stand together; takes
    /// the locks as [`Store::keys`] does.
    #[must_use]
    pub fn everybody(&self) -> Vec<CustomerKey> {
        let mut keys = Vec::with_capacity(self.len());
        let all = self.customers.iter();
        keys.extend(all.map(|entry| CustomerKey::from_packed(*entry.key())));
        keys
    }

    /// Calls `visit` with the key and the seal of everybody, under the lock of a shard: it must be quick and must not call the store.
    pub fn seals(&self, mut visit: impl FnMut(CustomerKey, Seal)) {
        for entry in &self.customers {
            visit(CustomerKey::from_packed(*entry.key()), Seal::unpack(entry.value()).0);
        }
    }

    /// Returns who has this key, and reads the profile when it is wanted; `None` when nobody has, or no more.
    pub fn look(&self, key: CustomerKey, profile: Option<&mut Profile>) -> Option<CustomerId> {
        let block = self.customers.get(&key.get())?;
        if let Some(profile) = profile {
            packed::unpack(content(&block), profile);
        }
        packed::unpack_id(content(&block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Buffers, Then};

    #[test]
    fn ranges_of_keys_have_everybody_once_and_in_order() {
        let store = Store::new(1_000);
        for number in 0..500 {
            let id = CustomerId::known(&format!("c-{number}")).unwrap();
            store.with(&id, id.key(), &mut Buffers::default(), |profile, _| {
                profile.version = 7;
                ((), Then::Keep)
            });
        }
        let (mut all, mut some) = (Vec::new(), Vec::new());
        let quarter = u128::MAX / 4;
        for part in 0..4 {
            let last = if part == 3 { u128::MAX } else { quarter * (part + 1) - 1 };
            let range = CustomerKey::from_packed(quarter * part)..=CustomerKey::from_packed(last);
            store.keys(&range, &mut some);
            assert!(some.len() > 80, "about a quarter: {}", some.len());
            all.extend_from_slice(&some);
        }
        assert_eq!(all.len(), 500);
        assert!(all.is_sorted());
        let mut profile = Profile::default();
        let found = store.look(all[0], Some(&mut profile)).unwrap();
        assert_eq!((found.key(), profile.version), (all[0], 7));
        assert_eq!(store.look(CustomerKey::from_packed(1), None), None);
    }
}
