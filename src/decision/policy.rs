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
//!   time is over, however short the window: it may still be delivered. Errors fall on the side of contacting less.
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

/// Caps that have no room for a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Position in the catalog of the first of them.
    pub cap: usize,
    /// How many contacts count against that one now.
    pub count: u32,
    /// When all of them have room again if nothing else happens; `None` when time alone never makes room in one.
    pub eligible_again_at: Option<Timestamp>,
    /// When the count next changes if nothing else happens; the far future when it does not.
    pub count_changes_at: Timestamp,
}

/// A contact that counts against a cap now.
#[derive(Clone, Copy, Debug)]
struct Counting {
    /// Position of its offer; `None` when the catalog no longer has it.
    offer: Option<usize>,
    /// When it stops counting.
    release: Timestamp,
}

/// A customer's contacts counted against every cap, at one instant, for one channel.
#[derive(Debug)]
pub struct Ledger<'a> {
    catalog: &'a Catalog,
    channel: Symbol,
    now: Timestamp,
    /// What counts, cap after cap.
    counting: Vec<Counting>,
    /// Where each cap's part of `counting` ends.
    ends: Vec<usize>,
}

impl<'a> Ledger<'a> {
    /// Counts the contacts.
    #[must_use]
    pub fn new(catalog: &'a Catalog, contacts: &[Contact], channel: Symbol, now: Timestamp) -> Self {
        let mut ledger = Self {
            catalog,
            channel,
            now,
            counting: Vec::new(),
            ends: Vec::with_capacity(catalog.caps.len()),
        };
        for cap in &catalog.caps {
            if channel_counts(cap, channel) {
                ledger.counting.extend(
                    contacts
                        .iter()
                        .filter_map(|contact| counting(catalog, cap, contact, now)),
                );
            }
            ledger.ends.push(ledger.counting.len());
        }
        ledger
    }

    /// Finds the caps that have no room for the candidate; `None` when all have. `earlier` are the offers that the same
    /// call already chose, as (placement, offer position); they count as decided now.
    #[must_use]
    pub fn reached(&self, earlier: &[(Symbol, usize)], candidate: Candidate) -> Option<Reached> {
        let mut reached: Option<Reached> = None;
        for (at, cap) in self.catalog.caps.iter().enumerate() {
            if !concerns(cap, candidate) {
                continue;
            }
            let count = self.count(at, earlier, candidate.offer);
            if count < cap.limit {
                continue;
            }
            let again = self.room_again(at, candidate, count);
            reached = Some(match reached {
                None => Reached {
                    cap: at,
                    count,
                    eligible_again_at: again,
                    count_changes_at: self.first_release(at, candidate.offer),
                },
                Some(first) => Reached {
                    eligible_again_at: first
                        .eligible_again_at
                        .and_then(|one| again.map(|other| one.max(other))),
                    ..first
                },
            });
        }
        reached
    }

    fn of_cap(&self, cap: usize) -> &[Counting] {
        let start = cap.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.counting[start..self.ends[cap]]
    }

    fn count(&self, cap_at: usize, earlier: &[(Symbol, usize)], offer: usize) -> u32 {
        let cap = &self.catalog.caps[cap_at];
        let counting = self.of_cap(cap_at);
        let before = match cap.each {
            None => counting.len(),
            Some(_) => counting
                .iter()
                .filter(|counting| self.same_kind(cap, counting.offer, offer))
                .count(),
        };
        let chosen = |&&(placement, chosen): &&(Symbol, usize)| {
            placement_counts(cap, placement) && cap.offers[chosen] && self.same_kind(cap, Some(chosen), offer)
        };
        let in_this_call = if is_reserved_by_decision(cap.counted) {
            earlier.iter().filter(chosen).count()
        } else {
            0
        };
        u32::try_from(before + in_this_call).unwrap_or(u32::MAX)
    }

    fn same_kind(&self, cap: &Cap, one: Option<usize>, other: usize) -> bool {
        match (cap.each, one) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(Each::Offer), Some(one)) => one == other,
            (Some(Each::Group), Some(one)) => self.catalog.offers[one].group == self.catalog.offers[other].group,
        }
    }

    fn first_release(&self, cap_at: usize, offer: usize) -> Timestamp {
        let cap = &self.catalog.caps[cap_at];
        let counting = self.of_cap(cap_at).iter();
        let of_kind = counting.filter(|counting| self.same_kind(cap, counting.offer, offer));
        of_kind
            .map(|counting| counting.release)
            .min()
            .unwrap_or(Timestamp::FAR_FUTURE)
    }

    /// Returns when enough of the counting contacts have been released that one more fits.
    fn room_again(&self, cap_at: usize, candidate: Candidate, count: u32) -> Option<Timestamp> {
        let cap = &self.catalog.caps[cap_at];
        let limit = usize::try_from(cap.limit).ok()?;
        let count = usize::try_from(count).ok()?;
        if limit == 0 {
            return None;
        }
        let of_kind = |counting: &&Counting| self.same_kind(cap, counting.offer, candidate.offer);
        let mut releases: Vec<Timestamp> = self
            .of_cap(cap_at)
            .iter()
            .filter(of_kind)
            .map(|counting| counting.release)
            .collect();
        // The rest of the count are offers of this very call: contacts decided now.
        let offer = self.catalog.offers[candidate.offer].symbol;
        let of_this_call = Contact::decided(0, offer, self.channel, candidate.placement, self.now);
        let release_then = release(self.catalog, cap, &of_this_call).unwrap_or(Timestamp::FAR_FUTURE);
        releases.resize(count.max(releases.len()), release_then);
        releases.sort_unstable();
        let at = *releases.get(count - limit)?;
        (at != Timestamp::FAR_FUTURE).then_some(at)
    }
}

/// Tells whether a cap can stop a candidate: whether the offer, the channel and the placement lie in its scopes.
#[must_use]
pub fn concerns(cap: &Cap, candidate: Candidate) -> bool {
    cap.offers[candidate.offer] && channel_counts(cap, candidate.channel) && placement_counts(cap, candidate.placement)
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

/// Returns how the contact counts against the cap now, if it does. The cheap questions come first.
fn counting(catalog: &Catalog, cap: &Cap, contact: &Contact, now: Timestamp) -> Option<Counting> {
    let release = release(catalog, cap, contact).filter(|&release| now < release)?;
    if !channel_counts(cap, contact.channel) || !placement_counts(cap, contact.placement) {
        return None;
    }
    let offer = catalog.offer_positions.get(contact.offer);
    offer
        .map_or(cap.all_offers, |position| cap.offers[position])
        .then_some(Counting { offer, release })
}

/// Returns when the contact stops counting against the cap, whether or not that is over; `None` when it never counts.
fn release(catalog: &Catalog, cap: &Cap, contact: &Contact) -> Option<Timestamp> {
    match counted_at(contact, cap.counted) {
        Some(from) => Some(cap.window.map_or(Timestamp::FAR_FUTURE, |window| from + window)),
        None if is_reserved_by_decision(cap.counted) => {
            Some(contact.decided_at() + reservation(catalog, contact.channel))
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
    let found = catalog.channels.iter().find(|candidate| candidate.symbol == channel);
    found.map_or(Millis::HOUR, |found| found.reservation)
}

/// Finds the oldest contact that no cap counts now. What is reported about it after it was dropped is refused.
#[must_use]
pub fn oldest_unneeded(contacts: &[Contact], catalog: &Catalog, now: Timestamp) -> Option<usize> {
    contacts.iter().position(|contact| {
        catalog
            .caps
            .iter()
            .all(|cap| counting(catalog, cap, contact, now).is_none())
    })
}
