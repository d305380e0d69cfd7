//! What counts over all customers: how many contacts counted when, and which reservations are open, whatever the volumes are; and
//! what of it counts against each volume of the catalogs that calls run on.

use std::collections::{BTreeMap, HashMap};

use super::super::Active;
use super::edition::Editions;
use super::series::Series;
use crate::catalog::{Catalog, Volume};
use crate::decision::policy::counted_at;
use crate::decision::volumes::{Room, Rooms};
use crate::domain::contact::{Contact, Counted};
use crate::domain::ids::CustomerKey;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;

/// What volumes can count.
pub(super) const KINDS: [Counted; 3] = [Counted::Decided, Counted::Delivered, Counted::Seen];

/// What is counted together, for each of [`KINDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cell {
    pub(super) offer: Symbol,
    pub(super) channel: Symbol,
}

impl Cell {
    const fn of(contact: &Contact) -> Self {
        Self {
            offer: contact.offer,
            channel: contact.channel,
        }
    }
}

/// One open reservation; the oldest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    pub(super) decided_at: Timestamp,
    pub(super) offer: Symbol,
    customer: CustomerKey,
    decision: u32,
    placement: Symbol,
}

/// How often each of [`KINDS`] is reserved: above 1 when one answer had an offer in a placement twice.
pub(super) type Open = [u32; KINDS.len()];

/// What one contact counts as, for one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing.
    Nothing,
    /// A reservation.
    Held,
    /// One that happened then.
    At(Timestamp),
}

/// What happened and what is reserved: all that views are made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) series: HashMap<Cell, [Series; KINDS.len()]>,
    /// Open reservations by channel.
    pub(super) held: BTreeMap<Symbol, BTreeMap<Held, Open>>,
}

/// The books.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Books {
    ledger: Ledger,
    editions: Editions,
}

impl Books {
    /// Goes over to the catalog of a call, when it is newer.
    pub(super) fn adopt(&mut self, active: &Active, now: Timestamp) {
        if self.editions.is_news(active) {
            // Whoever comes into a new view must still be open then.
            self.release_overdue(now);
            self.editions.find(active, &self.ledger, now);
        }
    }

    /// Says what the volumes of the call's catalog have left.
    pub(super) fn rooms(&mut self, active: &Active, now: Timestamp) -> Rooms {
        self.adopt(active, now);
        self.release_overdue(now);
        let Self { ledger, editions } = self;
        let edition = editions.find(active, ledger, now);
        edition.roll(ledger, now);
        let views = edition.catalog.volumes.iter().zip(&edition.views);
        let rooms = views.map(|(volume, view)| {
            let room = Room::new(volume, view.window, view.counted, now);
            if view.held == 0 {
                return room;
            }
            let open = view.open.iter().map(|(&at, &number)| (at, number));
            room.with_held(volume, view.held, open)
        });
        Rooms::new(rooms.collect())
    }

    /// Takes the contacts of a decision from all volumes, or says what they have left.
    pub(super) fn take(
        &mut self,
        active: &Active,
        customer: CustomerKey,
        contacts: &[Contact],
        now: Timestamp,
    ) -> Result<(), Rooms> {
        let catalog = &active.catalog;
        if catalog.volumes.is_empty() {
            self.adopt(active, now);
            self.release_overdue(now);
        } else {
            let rooms = self.rooms(active, now);
            // What is exempt is not stopped, but takes room from what was chosen after it.
            let is_short = |(volume, room): (&Volume, &Room)| {
                let concerned =
                    |contact: &&Contact| contact.in_volumes && volume.counts(catalog, contact.offer, contact.channel);
                let mut concerned = contacts.iter().filter(concerned).enumerate();
                concerned.any(|(before, contact)| before >= room.left as usize && !is_exempt(catalog, contact))
            };
            if catalog.volumes.iter().zip(rooms.list()).any(is_short) {
                return Err(rooms);
            }
        }
        for contact in contacts {
            self.change(customer, None, Some(contact), now);
        }
        Ok(())
    }

    /// Moves a contact from what it was to what it is. Tells whether it took place although its reservation had been given back: then
    /// others may have its room, whatever the caller's clock said.
    pub(super) fn change(
        &mut self,
        customer: CustomerKey,
        before: Option<&Contact>,
        after: Option<&Contact>,
        now: Timestamp,
    ) -> bool {
        let Some(contact) = after.or(before) else { return false };
        let mut is_late = false;
        for (kind, counted) in KINDS.into_iter().enumerate() {
            let was = before.map_or(Standing::Nothing, |before| standing(before, counted));
            let is = after.map_or(Standing::Nothing, |after| standing(after, counted));
            if was == is {
                continue;
            }
            match was {
                Standing::Nothing => {}
                Standing::Held => {
                    let was_open = self.release(customer, contact, kind);
                    is_late |= !was_open && is != Standing::Nothing;
                }
                Standing::At(at) => self.count(contact, kind, at, false),
            }
            match is {
                Standing::Nothing => {}
                Standing::Held => self.hold(customer, contact, kind, now),
                Standing::At(at) => self.count(contact, kind, at, true),
            }
        }
        is_late
    }

    /// Releases a contact's reservations, and leaves what it counts as otherwise.
    pub(super) fn let_go(&mut self, customer: CustomerKey, contact: &Contact) {
        for (kind, counted) in KINDS.into_iter().enumerate() {
            if standing(contact, counted) == Standing::Held {
                self.release(customer, contact, kind);
            }
        }
    }

    fn count(&mut self, contact: &Contact, kind: usize, at: Timestamp, is_more: bool) {
        let cell = Cell::of(contact);
        let series = &mut self.ledger.series.entry(cell).or_default()[kind];
        if is_more {
            series.add(at);
        } else {
            series.remove(at);
        }
        self.editions.each_view(cell, kind, |view| view.count(at, is_more));
    }

    /// Opens a reservation, when its time is not over already.
    fn hold(&mut self, customer: CustomerKey, contact: &Contact, kind: usize, now: Timestamp) {
        let over_at = contact.decided_at() + self.editions.reservation(contact.channel);
        if over_at <= now {
            return;
        }
        let queue = self.ledger.held.entry(contact.channel).or_default();
        queue.entry(held(customer, contact)).or_default()[kind] += 1;
        self.editions
            .each_view(Cell::of(contact), kind, |view| view.hold(over_at, 1));
    }

    /// Closes a reservation, unless its time was over before; tells whether it was open.
    fn release(&mut self, customer: CustomerKey, contact: &Contact, kind: usize) -> bool {
        let Some(queue) = self.ledger.held.get_mut(&contact.channel) else {
            return false;
        };
        let held = held(customer, contact);
        let Some(open) = queue.get_mut(&held).filter(|open| open[kind] > 0) else {
            return false;
        };
        open[kind] -= 1;
        if *open == Open::default() {
            queue.remove(&held);
        }
        let over_at = contact.decided_at() + self.editions.reservation(contact.channel);
        self.editions
            .each_view(Cell::of(contact), kind, |view| view.release(over_at, 1));
        true
    }

    /// Closes the reservations whose time is over.
    fn release_overdue(&mut self, now: Timestamp) {
        for (&channel, queue) in &mut self.ledger.held {
            let reservation = self.editions.reservation(channel);
            while let Some(first) = queue.first_entry()
                && first.key().decided_at + reservation <= now
            {
                let (held, open) = first.remove_entry();
                let cell = Cell {
                    offer: held.offer,
                    channel,
                };
                for (kind, number) in open.into_iter().enumerate().filter(|(_, number)| *number > 0) {
                    self.editions
                        .each_view(cell, kind, |view| view.release(held.decided_at + reservation, number));
                }
            }
        }
    }

    /// Returns how often views were made from all that there is.
    #[cfg(test)]
    pub(super) fn views_made(&self) -> usize {
        self.editions.made
    }
}

fn is_exempt(catalog: &Catalog, contact: &Contact) -> bool {
    let offer = catalog.offer_positions.get(contact.offer);
    offer.is_some_and(|offer| catalog.offers[offer].is_exempt())
}

fn held(customer: CustomerKey, contact: &Contact) -> Held {
    Held {
        decided_at: contact.decided_at(),
        offer: contact.offer,
        customer,
        decision: contact.decision,
        placement: contact.placement,
    }
}

/// Returns what a contact counts as.
fn standing(contact: &Contact, counted: Counted) -> Standing {
    if !contact.in_volumes || contact.is_cancelled() {
        return Standing::Nothing;
    }
    match counted_at(contact, counted) {
        Some(at) => Standing::At(at),
        None => Standing::Held,
    }
}
