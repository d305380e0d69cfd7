//! A visitor without any id: nothing is known, nothing can be kept, and so nothing can be counted.
//!
//! A cap that must hold for everybody stops what it is about for such a visitor, since its count is not known: errors fall on
//! the side of contacting less.

use crate::catalog::{Cap, Catalog};

use super::policy::{self, Candidate};

/// Tells whether a cap stops visitors whom it cannot count. All do: none can be opened yet.
#[must_use]
pub const fn counts_nobody(_cap: &Cap) -> bool {
    true
}

/// Finds the position of the first cap that stops the candidate because the visitor cannot be counted.
#[must_use]
pub fn stopped_by(catalog: &Catalog, candidate: Candidate) -> Option<usize> {
    let stops = |cap: &Cap| counts_nobody(cap) && policy::concerns(cap, candidate);
    catalog.caps.iter().position(stops)
}
