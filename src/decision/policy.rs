//! Contact policy: counting contacts against caps, exactly.
//!
//! A cap allows at most N contacts in its window W. A contact counts from its counted instant `t` while `now - t < W`,
//! so exactly W later there is room again; there are no buckets and nothing is rounded.
//!
//! *When* a contact counts depends on what the cap counts:
//!
//! * `decided`: from the decision, always.
//! * `delivered`, `seen`: from the earliest report that implies it (a click implies that it was seen, and seen that it
//!   was delivered). Before any such report the decision itself counts, as a reservation, until its channel's reservation
//!   time is over: errors fall on the side of contacting less.
//! * `clicked`, `accepted`, `refused`, `converted`: from the report. These are the customer's acts, not ours, so a
//!   decision does not count ahead of them.
//!
//! A cap with scopes (offers, groups, labels, channels, placements) counts and stops only what lies in all of them;
//! `each: offer` and `each: group` count every offer or group by itself. All caps must hold.

use crate::catalog::{Cap, Catalog, Each};
use crate::domain::contact::{Contact, Counted};
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};

/// An offer about to be shown, for which the caps are asked.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Position of the offer in the catalog.
    pub offer: usize,
    /// The channel that asks.
    pub channel: Symbol,
    /// The placement to fill.
    pub placement: Symbol,
}

/// A cap that has no room for a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Position of the cap in the catalog.
    pub cap: usize,
    /// How many contacts count now.
    pub count: u32,
    /// When there is room again if nothing else happens; `None` when time alone never makes room.
    pub eligible_again_at: Option<Timestamp>,
}

/// Finds the first cap, in the order of the catalog, that has no room for the candidate. `earlier` are the offers that
/// the same call already chose, as (placement, offer position); they count as decided now.
#[must_use]
pub fn first_reached(
    catalog: &Catalog,
    contacts: &[Contact],
    earlier: &[(Symbol, usize)],
    candidate: Candidate,
    now: Timestamp,
) -> Option<Reached> {
    (0..catalog.caps.len()).find_map(|cap| reached(catalog, cap, contacts, earlier, candidate, now))
}

fn reached(
    catalog: &Catalog,
    cap_at: usize,
    contacts: &[Contact],
    earlier: &[(Symbol, usize)],
    candidate: Candidate,
    now: Timestamp,
) -> Option<Reached> {
    let cap = &catalog.caps[cap_at];
    if !cap.offers[candidate.offer]
        || !channel_counts(cap, candidate.channel)
        || !placement_counts(cap, candidate.placement)
    {
        return None;
    }
    let mut count = 0_u32;
    for contact in contacts {
        count += u32::from(release_of(catalog, cap, contact, candidate.offer, now).is_some());
    }
    if is_reserved_by_decision(cap.counted) {
        let counts = |&&(placement, offer): &&(Symbol, usize)| {
            placement_counts(cap, placement) && cap.offers[offer] && same_kind(catalog, cap, offer, candidate.offer)
        };
        count += u32::try_from(earlier.iter().filter(counts).count()).unwrap_or(u32::MAX);
    }
    (count >= cap.limit).then(|| Reached {
        cap: cap_at,
        count,
        eligible_again_at: room_again(catalog, cap, contacts, candidate, now, count),
    })
}

fn channel_counts(cap: &Cap, channel: Symbol) -> bool {
    cap.channels.is_empty() || cap.channels.contains(&channel)
}

fn placement_counts(cap: &Cap, placement: Symbol) -> bool {
    cap.placements.is_empty() || cap.placements.contains(&placement)
}

const fn is_reserved_by_decision(counted: Counted) -> bool {
    matches!(counted, Counted::Decided | Counted::Delivered | Counted::Seen)
}

fn same_kind(catalog: &Catalog, cap: &Cap, one: usize, other: usize) -> bool {
    match cap.each {
        None => true,
        Some(Each::Offer) => one == other,
        Some(Each::Group) => catalog.offers[one].group == catalog.offers[other].group,
    }
}

/// Returns when the contact stops counting against `cap` for `offer`, if it counts now.
fn release_of(catalog: &Catalog, cap: &Cap, contact: &Contact, offer: usize, now: Timestamp) -> Option<Timestamp> {
    if !channel_counts(cap, contact.channel) || !placement_counts(cap, contact.placement) {
        return None;
    }
    let in_scope = match catalog.offer_positions.get(&contact.offer) {
        Some(&position) => cap.offers[position] && same_kind(catalog, cap, position, offer),
        None => cap.all_offers && cap.each.is_none(),
    };
    if !in_scope {
        return None;
    }
    let release = release(catalog, cap, contact)?;
    (now < release).then_some(release)
}

/// Returns when the contact stops counting against the cap, whether or not that is over; `None` when it never counts.
fn release(catalog: &Catalog, cap: &Cap, contact: &Contact) -> Option<Timestamp> {
    let after_window = |from: Timestamp| cap.window.map_or(Timestamp::FAR_FUTURE, |window| from + window);
    match counted_at(contact, cap.counted) {
        Some(from) => Some(after_window(from)),
        None if is_reserved_by_decision(cap.counted) => {
            let decided_at = contact.decided_at();
            Some(after_window(decided_at).min(decided_at + reservation(catalog, contact.channel)))
        }
        None => None,
    }
}

/// Returns since when a contact counts as `counted` by what was reported; a report implies what must have come before.
#[must_use]
pub fn counted_at(contact: &Contact, counted: Counted) -> Option<Timestamp> {
    let implied_from = match counted {
        Counted::Delivered => Counted::Delivered.index(),
        Counted::Seen => Counted::Seen.index(),
        _ => return contact.time_of(counted),
    };
    contact.times[implied_from..].iter().copied().flatten().min()
}

fn reservation(catalog: &Catalog, channel: Symbol) -> Millis {
    catalog
        .channels
        .iter()
        .find(|candidate| candidate.symbol == channel)
        .map_or(Millis::HOUR, |found| found.reservation)
}

/// Returns when enough of the counting contacts have been released that one more fits. Those of the same call are
/// released when their reservation or the window is over, whichever comes first.
fn room_again(
    catalog: &Catalog,
    cap: &Cap,
    contacts: &[Contact],
    candidate: Candidate,
    now: Timestamp,
    count: u32,
) -> Option<Timestamp> {
    let limit = usize::try_from(cap.limit).ok()?;
    let count = usize::try_from(count).ok()?;
    if limit == 0 {
        return None;
    }
    let release_of_offer = |contact| release_of(catalog, cap, contact, candidate.offer, now);
    let mut releases: Vec<Timestamp> = contacts.iter().filter_map(release_of_offer).collect();
    let of_this_call = release(
        catalog,
        cap,
        &Contact::decided(0, candidate.channel, candidate.channel, candidate.placement, now),
    );
    releases.resize(count.max(releases.len()), of_this_call.unwrap_or(Timestamp::FAR_FUTURE));
    releases.sort_unstable();
    let at = *releases.get(count - limit)?;
    (at != Timestamp::FAR_FUTURE).then_some(at)
}

/// Finds the oldest contact that no cap will count any more, unless a report comes later than its reservation lasts.
#[must_use]
pub fn oldest_unneeded(contacts: &[Contact], catalog: &Catalog, now: Timestamp) -> Option<usize> {
    contacts.iter().position(|contact| {
        let reservation_over = contact.decided_at() + reservation(catalog, contact.channel) <= now;
        reservation_over
            && catalog
                .caps
                .iter()
                .all(|cap| !counts_ever_again(catalog, cap, contact, now))
    })
}

fn counts_ever_again(catalog: &Catalog, cap: &Cap, contact: &Contact, now: Timestamp) -> bool {
    let in_scope = match catalog.offer_positions.get(&contact.offer) {
        Some(&position) => cap.offers[position],
        None => cap.all_offers,
    };
    in_scope && release(catalog, cap, contact).is_some_and(|release| now < release)
}
