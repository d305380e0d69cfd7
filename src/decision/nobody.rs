//! A visitor without any id: nothing is known, nothing can be kept, and so nothing can be counted.
//!
//! A cap says what that means to it. A closed one stops what it is about, since its count is not known: errors fall on the
//! side of contacting less. An open one sees the empty history. Attempts of a campaign are closed; cool-downs have nothing
//! that could begin them.
//!
//! So does a volume. Its count is known, but what such a visitor is shown takes nothing from it, since nobody could report or give
//! back what is reserved for nobody. A closed one stops what it is about, and so is never exceeded. An open one lets it through as
//! long as there is room, and does not count it.

use crate::catalog::{Cap, Catalog, WithoutId};
use crate::domain::symbol::Symbol;

use super::policy::{self, Asked, Candidate, Limit};

/// Finds the limits that stop the candidate because the visitor cannot be counted, in their order.
pub fn stopped_by(catalog: &Catalog, asked: Asked, candidate: Candidate) -> impl Iterator<Item = Limit> + '_ {
    let is_exempt = catalog.offers[candidate.offer].is_exempt();
    let stops =
        move |cap: &Cap| !is_exempt && cap.without_id == WithoutId::Closed && policy::concerns(cap, asked, candidate);
    let caps = catalog.caps.iter().enumerate().filter(move |(_, cap)| stops(cap));
    let attempts = catalog.attempts.iter().enumerate().filter(move |(_, cap)| stops(cap));
    let caps = caps.map(|(at, _)| Limit::Cap(at));
    caps.chain(attempts.map(|(at, _)| Limit::Attempts(at)))
}

/// Finds the volumes that stop the offer on the channel because the visitor cannot be counted, by their positions. A volume that is
/// only a goal has nothing to exceed.
pub fn volumes(catalog: &Catalog, channel: Symbol, offer: usize) -> impl Iterator<Item = usize> + '_ {
    let is_exempt = catalog.offers[offer].is_exempt();
    let volumes = catalog.volumes.iter().enumerate().filter(move |(_, volume)| {
        let is_closed = volume.at_most.is_some() && volume.without_id == WithoutId::Closed;
        is_closed && !is_exempt && volume.concerns(offer, channel)
    });
    volumes.map(|(at, _)| at)
}

/// Returns how many contacts a limit allows; cool-downs allow no number.
#[must_use]
pub fn at_most(catalog: &Catalog, limit: Limit) -> Option<u32> {
    match limit {
        Limit::Cap(at) => Some(catalog.caps[at].limit),
        Limit::Attempts(at) => Some(catalog.attempts[at].limit),
        Limit::CoolDown(_) => None,
    }
}
