//! How many connections each address has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The connections of every address.
#[derive(Clone)]
pub(super) struct Places {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

/// One connection's place, until it is dropped.
pub(super) struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    pub(super) fn new(max: usize) -> Self {
        Self {
            taken: Arc::default(),
            max,
        }
    }

    /// Takes a place, unless the address has as many as it may.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let address = counted_as(address);
        let mut taken = self.taken.lock();
        let count = taken.entry(address).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Place {
            places: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        let left = taken.get_mut(&self.address).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            taken.remove(&self.address);
        }
    }
}

/// Whoever has one address of IPv6 has a network of 64 bits.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let places = Places::new(2);
        let of = |text: &str| places.take(text.parse().unwrap());
        let first = of("10.0.0.1").unwrap();
        let _second = of("::ffff:10.0.0.1").unwrap();
        assert!(of("10.0.0.1").is_none());
        let _other = of("10.0.0.2").unwrap();
        drop(first);
        assert!(of("10.0.0.1").is_some());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_nothing_is_kept_of_those_who_left() {
        let places = Places::new(1);
        let of = |text: &str| places.take(text.parse().unwrap());
        let held = of("2001:db8::1").unwrap();
        assert!(of("2001:db8::2").is_none());
        assert!(of("2001:db8:0:1::2").is_some());
        drop(held);
        assert!(places.taken.lock().is_empty());
    }
}
