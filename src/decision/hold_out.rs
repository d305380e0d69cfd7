//! Hold-outs: a stable share of the customers that gets no offers, or other content.
//!
//! Who is in a hold-out is decided by a hash of its id, its salt and the customer's key, and by nothing else: no other
//! customer, hold-out, offer or moment moves anybody. A hash that is below the share of all 64-bit numbers is in, so a larger
//! share keeps everybody who was in the smaller one. A visitor without any id has no key and is in none.

use crate::catalog::{Catalog, HoldOut};
use crate::domain::ids::CustomerKey;

/// Tells whether a customer is in a hold-out.
#[must_use]
pub fn is_in(hold_out: &HoldOut, customer: CustomerKey) -> bool {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&hold_out.seed);
    hasher.update(&customer.get().to_be_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u128::from(u64::from_be_bytes(bytes)) < hold_out.below
}

/// Returns the positions of the hold-outs that a customer is in, in the order of the catalog.
#[must_use]
pub fn of(catalog: &Catalog, customer: Option<CustomerKey>) -> Vec<usize> {
    let Some(customer) = customer else {
        return Vec::new();
    };
    let hold_outs = catalog.hold_outs.iter().enumerate();
    hold_outs
        .filter(|(_, hold_out)| is_in(hold_out, customer))
        .map(|(at, _)| at)
        .collect()
}
