//! Who is asked for, in the order of the keys.

use crate::domain::ids::{CustomerId, CustomerKey};
use crate::store::Store;

/// Keys of the store that are held at a time, 16 MB of them: each range of that many costs a pass over all keys, a
/// fraction of a second.
pub const KEYS_AT_ONCE: usize = 1 << 20;

/// Whom a run is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// These customers, each once, by key.
    Listed(Vec<(CustomerKey, CustomerId)>),
    /// All customers that are known by the bank's own id.
    Everyone,
}

impl Audience {
    /// Makes a list, and returns how many ids were repeated, which are asked once.
    #[must_use]
    pub fn listed(customers: Vec<CustomerId>) -> (Self, u64) {
        let mut list: Vec<_> = customers.into_iter().map(|id| (id.key(), id)).collect();
        let given = list.len();
        list.sort_unstable();
        list.dedup();
        let repeated = (given - list.len()) as u64;
        (Self::Listed(list), repeated)
    }
}

/// Some of an audience, in order: whom to look at next.
#[derive(Debug)]
pub(super) enum Part {
    Listed(Vec<(CustomerKey, CustomerId)>),
    Keys(Vec<CustomerKey>),
}

impl Part {
    /// Returns the last key.
    pub(super) fn last(&self) -> Option<CustomerKey> {
        match self {
            Self::Listed(part) => part.last().map(|(key, _)| *key),
            Self::Keys(keys) => keys.last().copied(),
        }
    }
}

/// Goes through an audience.
pub(super) struct Source<'a> {
    audience: &'a Audience,
    store: &'a Store,
    /// The next listed customer.
    next: usize,
    /// The first key that no range has held yet; none at the end.
    from: Option<CustomerKey>,
    held: Vec<CustomerKey>,
    held_next: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(audience: &'a Audience, store: &'a Store, after: Option<CustomerKey>) -> Self {
        let from = match after {
            Some(after) => after.get().checked_add(1).map(CustomerKey::from_packed),
            None => Some(CustomerKey::from_packed(0)),
        };
        let next = match audience {
            Audience::Listed(list) => list.partition_point(|(key, _)| after.is_some_and(|after| *key <= after)),
            Audience::Everyone => 0,
        };
        Self {
            audience,
            store,
            next,
            from,
            held: Vec::new(),
            held_next: 0,
        }
    }

    /// Returns the next `most` at most; `None` at the end.
    pub(super) fn part(&mut self, most: usize) -> Option<Part> {
        match self.audience {
            Audience::Listed(list) => {
                let end = list.len().min(self.next + most);
                let part = list[self.next..end].to_vec();
                self.next = end;
                (!part.is_empty()).then_some(Part::Listed(part))
            }
            Audience::Everyone => {
                while self.held_next == self.held.len() {
                    self.next_range()?;
                }
                let end = self.held.len().min(self.held_next + most);
                let part = self.held[self.held_next..end].to_vec();
                self.held_next = end;
                Some(Part::Keys(part))
            }
        }
    }

    /// Holds the keys of the next range; `None` at the end.
    fn next_range(&mut self) -> Option<()> {
        let first = self.from?;
        let ranges = self.store.len().div_ceil(KEYS_AT_ONCE).max(1) as u128;
        let last = match u128::MAX.checked_div(ranges) {
            Some(width) if ranges > 1 => first.get().saturating_add(width),
            _ => u128::MAX,
        };
        self.from = last.checked_add(1).map(CustomerKey::from_packed);
        self.store
            .keys(&(first..=CustomerKey::from_packed(last)), &mut self.held);
        self.held_next = 0;
        Some(())
    }

    /// Returns which share of the audience lies behind when everybody up to `key` does, 0 to 1.
    pub(super) fn share(&self, key: Option<CustomerKey>) -> f64 {
        let Some(key) = key else { return 0.0 };
        match self.audience {
            Audience::Listed(list) => {
                let behind = list.partition_point(|(listed, _)| *listed <= key);
                if list.is_empty() {
                    1.0
                } else {
                    behind as f64 / list.len() as f64
                }
            }
            // Keys are hashes: they are spread evenly.
            Audience::Everyone => key.get() as f64 / u128::MAX as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> CustomerId {
        CustomerId::known(&format!("c-{number}")).unwrap()
    }

    #[test]
    fn a_list_is_gone_through_by_key_each_customer_once_and_from_anywhere() {
        let (audience, repeated) = Audience::listed((0..100).chain(0..5).map(id).collect());
        assert_eq!(repeated, 5);
        let store = Store::new(1);
        let keys_after = |after| {
            let mut source = Source::new(&audience, &store, after);
            let mut keys = Vec::new();
            while let Some(Part::Listed(part)) = source.part(7) {
                assert!(part.len() <= 7);
                keys.extend(part.iter().map(|(key, _)| *key));
            }
            assert!((source.share(keys.last().copied()) - 1.0).abs() < 1e-9);
            keys
        };
        let all = keys_after(None);
        assert!(all.is_sorted() && all.len() == 100);
        assert_eq!(keys_after(Some(all[41])), all[42..]);
    }
}
