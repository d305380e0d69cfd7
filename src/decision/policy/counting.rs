//! When a contact counts against a cap, and until when.

use super::super::calendar::Calendar;
use crate::catalog::{Cap, Catalog, Combination, ContactFilter, Window};
use crate::domain::contact::{Contact, Counted};
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};

/// A contact that counts at all, with what limits ask about it, found once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) contact: &'a Contact,
    /// Position of its offer; `None` when the catalog no longer has it.
    pub(super) offer: Option<usize>,
    /// Position of its offer's group, for an offer that is gone of the one that it had last.
    pub(super) group: Option<usize>,
    /// Until when it counts as delivered and seen without a report.
    pub(super) reserved_until: Timestamp,
}

impl<'a> Known<'a> {
    /// Looks a contact up; `None` when it counts nowhere: it was cancelled, or its offer is exempt and not counted.
    pub(super) fn of(catalog: &Catalog, contact: &'a Contact) -> Option<Self> {
        if contact.is_cancelled() {
            return None;
        }
        let offer = catalog.offer_positions.get(contact.offer);
        let group = match offer {
            Some(position) => {
                let offer = &catalog.offers[position];
                if offer.is_uncounted() {
                    return None;
                }
                Some(offer.group)
            }
            None => match catalog.symbols.offer(contact.offer) {
                Some(traits) if traits.is_uncounted => return None,
                Some(traits) => catalog.groups.iter().position(|group| group.symbol == traits.group),
                None => None,
            },
        };
        let channel = catalog
            .channels
            .iter()
            .find(|channel| channel.symbol == contact.channel);
        let reservation = channel.map_or(Millis::HOUR, |channel| channel.reservation);
        Some(Self {
            contact,
            offer,
            group,
            reserved_until: contact.decided_at() + reservation,
        })
    }

    /// Tells whether a limit is about the contact.
    pub(super) fn is_in(&self, filter: &ContactFilter, catalog: &Catalog) -> bool {
        let offer = match self.offer {
            Some(position) => filter.offers[position],
            None => filter.takes_gone(catalog.symbols.offer(self.contact.offer)),
        };
        offer && filter.takes_place(self.contact)
    }

    /// Tells whether a cap counts the contact together with a candidate.
    pub(super) fn is_with(&self, each: Combination, candidate: &Kind) -> bool {
        (!each.offer || self.offer == Some(candidate.offer))
            && (!each.group || self.group == Some(candidate.group))
            && (!each.channel || self.contact.channel == candidate.channel)
            && (!each.placement || self.contact.placement == candidate.placement)
            && (!each.campaign || self.contact.campaign == candidate.campaign)
    }

    /// Returns until when the contact counts against the cap; `None` when it does not count now. The cheap questions come
    /// first.
    pub(super) fn counts_until(
        &self,
        cap: &Cap,
        catalog: &Catalog,
        calendar: &Calendar<'_>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let release = match counted_at(self.contact, cap.counted) {
            Some(from) => released_at(cap.window, from, calendar)?,
            None if is_reserved_by_decision(cap.counted) => self.reserved_until,
            None => return None,
        };
        (now < release && self.is_in(&cap.contacts, catalog)).then_some(release)
    }
}

/// Everything by which contacts may be counted separately, of an offer about to be shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) offer: usize,
    pub(super) group: usize,
    pub(super) channel: Symbol,
    pub(super) placement: Symbol,
    pub(super) campaign: Option<Symbol>,
}

/// Returns when something that happened at `from` leaves the window; `None` when that is over for good.
pub(super) fn released_at(window: Window, from: Timestamp, calendar: &Calendar<'_>) -> Option<Timestamp> {
    match window {
        Window::Rolling(span) => Some(from + span),
        Window::Calendar(per) => calendar.counts_until(per, from),
        Window::Ever => Some(Timestamp::FAR_FUTURE),
    }
}

pub(super) const fn is_reserved_by_decision(counted: Counted) -> bool {
    matches!(counted, Counted::Decided | Counted::Delivered | Counted::Seen)
}

/// Returns since when a contact counts as `counted` by what was reported; a report implies what must have come before. What
/// was cancelled was not decided.
#[must_use]
pub fn counted_at(contact: &Contact, counted: Counted) -> Option<Timestamp> {
    let implied_from = match counted {
        Counted::Decided if contact.is_cancelled() => return None,
        Counted::Delivered => Counted::Delivered.index(),
        Counted::Seen => Counted::Seen.index(),
        _ => return contact.time_of(counted),
    };
    contact.times[implied_from..].iter().copied().flatten().min()
}
