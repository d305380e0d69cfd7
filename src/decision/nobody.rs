//! A visitor without any id: nothing is known, nothing can be kept, and so nothing can be counted.
//!
//! A cap says itself what becomes of such a visitor. One that is closed stops what it is about, since its count is not known:
//! errors fall on the side of contacting less. One that is open lets it through. Attempt limits of campaigns are closed.

use crate::catalog::{Cap, Catalog, WithoutId};

use super::policy::{self, Asked, Candidate, Limit};

/// Finds the caps and attempt limits that stop the candidate because the visitor cannot be counted, in their order. No limit
/// stops an exempt offer.
pub fn stopping(catalog: &Catalog, asked: Asked, candidate: Candidate) -> impl Iterator<Item = Limit> + '_ {
    let is_exempt = catalog.offers[candidate.offer].is_exempt();
    let stops =
        move |cap: &Cap| !is_exempt && cap.without_id == WithoutId::Closed && policy::concerns(cap, asked, candidate);
    let caps = catalog.caps.iter().enumerate();
    let caps = caps.filter(move |(_, cap)| stops(cap)).map(|(at, _)| Limit::Cap(at));
    let attempts = catalog.attempts.iter().enumerate();
    let attempts = attempts
        .filter(move |(_, cap)| stops(cap))
        .map(|(at, _)| Limit::Attempts(at));
    caps.chain(attempts)
}
