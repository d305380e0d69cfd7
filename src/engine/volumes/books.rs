//! What counts over all customers: how many contacts counted when, and which reservations are open, whatever the volumes are; and
//! what of it counts against each volume of the catalogs that calls run on.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::super::Active;
use super::edition::Editions;
use super::series::Series;
use crate::catalog::{Catalog, Volume};
use crate::decision::policy::counted_at;
use crate::decision::volumes::{Room, Rooms};
use crate::domain::contact::{Contact, Counted};
use crate::domain::ids::CustomerKey;
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};

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

/// For how long a reservation is remembered after its time is over, since calls come here in another order than they read the
/// clock in: longer than any call takes from the one to the other.
const KEPT_AFTER: Millis = Millis::MINUTE;

/// What happened and what is reserved, to be kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Kept {
    /// By offer and channel.
    series: Vec<(Symbol, Symbol, [Series; KINDS.len()])>,
    /// By channel.
    held: Vec<(Symbol, Vec<HeldRow>)>,
    /// The latest instant of any call.
    latest: Timestamp,
}

#[cfg(test)]
impl Kept {
    pub(in crate::engine) fn series(&self) -> &impl Serialize {
        &self.series
    }

    pub(in crate::engine) fn held(&self) -> &impl Serialize {
        &self.held
    }
}

impl Default for Kept {
    fn default() -> Self {
        Books::default().keep()
    }
}

impl Kept {
    /// Names the customers of open reservations by the slots of their keys, which `slot_of` knows: what is on disk tells nobody who
    /// they are. What is reserved for somebody who is gone, by contacts that had given way to later ones before, is left out: nobody can
    /// report of it any more.
    pub(in crate::engine) fn by_slot(mut self, slot_of: impl Fn(CustomerKey) -> Option<u32>) -> Self {
        for (_, rows) in &mut self.held {
            rows.retain_mut(|row| {
                let (high, low) = row.2;
                if high != 0
                    && let Some(slot) = slot_of(CustomerKey::from_packed(u128::from(high) << 64 | u128::from(low)))
                {
                    row.2 = (0, u64::from(slot));
                }
                row.2.0 == 0
            });
        }
        self
    }

    /// Returns the slots by which it names customers.
    pub(in crate::engine) fn slots(&self) -> impl Iterator<Item = u32> {
        let rows = self.held.iter().flat_map(|(_, rows)| rows);
        rows.filter_map(|row| u32::try_from(row.2.1).ok().filter(|_| row.2.0 == 0))
    }
}

/// An open reservation as a row: when it was decided, offer, the halves of the customer's key, decision, placement, how often.
type HeldRow = (i64, Symbol, (u64, u64), u32, Symbol, Open);

#[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
const fn halves(key: u128) -> (u64, u64) {
    ((key >> 64) as u64, key as u64)
}

fn row(held: &Held, open: &Open) -> HeldRow {
    (
        held.decided_at.as_millis(),
        held.offer,
        halves(held.customer.get()),
        held.decision,
        held.placement,
        *open,
    )
}

fn unrow((decided_at, offer, (high, low), decision, placement, open): HeldRow) -> (Held, Open) {
    let held = Held {
        decided_at: Timestamp::from_millis(decided_at),
        offer,
        customer: CustomerKey::from_packed(u128::from(high) << 64 | u128::from(low)),
        decision,
        placement,
    };
    (held, open)
}

/// The books.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Books {
    ledger: Ledger,
    editions: Editions,
    /// The latest instant of any call so far: what was over by then may have been given to others.
    latest: Timestamp,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            editions: Editions::default(),
            latest: Timestamp::FAR_PAST,
        }
    }
}

impl Books {
    /// Goes over to the catalog of a call, when it is newer.
    pub(super) fn adopt(&mut self, active: &Active, now: Timestamp) {
        if self.editions.is_news(active) {
            self.pass(now);
            self.editions.find(active, &self.ledger, (now, self.latest));
        }
    }

    /// Goes over to a catalog that is about to come into force; tells whether it is the first one with volumes, so that
    /// [`Books::ensure`] has to be told of every customer.
    pub(super) fn prepare(&mut self, active: &Active) -> bool {
        if self.latest == Timestamp::FAR_PAST {
            // Nobody was decided for yet.
            return false;
        }
        let had_volumes = self.editions.have_volumes();
        self.adopt(active, self.latest);
        !had_volumes && self.editions.have_volumes()
    }

    /// Holds for a customer what the contacts reserve, no less and no more; what gave way to them stays as it is.
    pub(super) fn ensure(&mut self, customer: CustomerKey, contacts: &[Contact]) {
        if self.editions.is_empty() {
            return;
        }
        let latest = self.latest;
        for contact in contacts {
            let over_at = contact.decided_at() + self.editions.reservation(contact.channel);
            if over_at <= latest - KEPT_AFTER {
                continue;
            }
            let held = held(customer, contact);
            let same = contacts.iter().filter(|other| self::held(customer, other) == held);
            for (kind, counted) in KINDS.into_iter().enumerate() {
                let is_open = |other: &&Contact| standing(other, counted) == Standing::Held;
                let number = narrow(same.clone().filter(is_open).count());
                let queue = self.ledger.held.entry(contact.channel).or_default();
                let open = queue.get(&held).map_or(0, |open| open[kind]);
                if number > open {
                    queue.entry(held).or_default()[kind] = number;
                    self.editions.each_view(Cell::of(contact), kind, |view| {
                        view.hold(over_at, number - open, latest);
                    });
                }
                for _ in number..open {
                    self.release(contact.channel, held, kind);
                }
            }
        }
    }

    /// Returns what has to be kept on disk.
    pub(super) fn keep(&self) -> Kept {
        let Ledger { series, held } = &self.ledger;
        let of_cell = |(cell, series): (&Cell, &[Series; KINDS.len()])| (cell.offer, cell.channel, series.clone());
        let of_channel = |(&channel, queue): (&Symbol, &BTreeMap<Held, Open>)| {
            (channel, queue.iter().map(|(held, open)| row(held, open)).collect())
        };
        let mut series: Vec<_> = series.iter().map(of_cell).collect();
        series.sort_unstable_by_key(|&(offer, channel, _)| (offer, channel));
        Kept {
            series,
            held: held.iter().map(of_channel).collect(),
            latest: self.latest,
        }
    }

    /// Enters open reservations under the keys that `name` gives, and gives up those for whom it has none.
    pub(super) fn name(&mut self, name: impl Fn(CustomerKey) -> Option<CustomerKey>) {
        for queue in self.ledger.held.values_mut() {
            let mut named: BTreeMap<Held, Open> = BTreeMap::new();
            for (held, open) in std::mem::take(queue) {
                let Some(customer) = name(held.customer) else { continue };
                let all = named.entry(Held { customer, ..held }).or_default();
                all.iter_mut().zip(open).for_each(|(all, open)| *all += open);
            }
            *queue = named;
        }
        // The views are made anew.
        self.editions = Editions::default();
    }

    /// Goes on with what was kept.
    pub(super) fn restore(&mut self, kept: Kept) {
        let cell = |(offer, channel, series)| (Cell { offer, channel }, series);
        let queue = |(channel, rows): (Symbol, Vec<HeldRow>)| (channel, rows.into_iter().map(unrow).collect());
        *self = Self {
            ledger: Ledger {
                series: kept.series.into_iter().map(cell).collect(),
                held: kept.held.into_iter().map(queue).collect(),
            },
            editions: Editions::default(),
            latest: kept.latest,
        };
    }

    /// Says what the volumes of the call's catalog have left.
    pub(super) fn rooms(&mut self, active: &Active, now: Timestamp) -> Rooms {
        self.adopt(active, now);
        self.pass(now);
        let Self {
            ledger,
            editions,
            latest,
        } = self;
        let edition = editions.find(active, ledger, (now, *latest));
        edition.roll(ledger, now);
        let views = edition.catalog.volumes.iter().zip(&edition.views);
        let rooms = views.map(|(volume, view)| {
            let room = Room::new(volume, view.window, view.counted, now).with_ahead(view.ahead());
            let held = view.held_at(now, *latest);
            if held == 0 {
                return room;
            }
            room.with_held(volume, held, view.open_after(now))
        });
        Rooms::new(rooms.collect())
    }

    /// Tells whether the volumes have room for the contacts of a decision, or says what they have left.
    pub(super) fn check(&mut self, active: &Active, contacts: &[Contact], now: Timestamp) -> Result<(), Rooms> {
        let catalog = &active.catalog;
        if catalog.volumes.is_empty() {
            self.adopt(active, now);
            self.pass(now);
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
        Ok(())
    }

    /// Enters the contacts of a decision.
    pub(super) fn enter(&mut self, customer: CustomerKey, contacts: &[Contact], now: Timestamp) {
        for contact in contacts {
            self.change(customer, None, Some(contact), now);
        }
    }

    /// Moves a contact from what it was to what it is. Tells whether it took place although its reservation was over for a call before,
    /// and others were given its room, so that a limit is exceeded by it, whatever the caller's clock said.
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
            let mut was_over = false;
            match was {
                Standing::Nothing => {}
                Standing::Held => {
                    was_over = !self.release(contact.channel, held(customer, contact), kind);
                }
                Standing::At(at) => self.count(contact, kind, at, false),
            }
            match is {
                Standing::Nothing => {}
                Standing::Held => self.hold(customer, contact, kind, now),
                Standing::At(at) => {
                    self.count(contact, kind, at, true);
                    is_late |= was_over && self.editions.is_exceeded(Cell::of(contact), kind, at);
                }
            }
        }
        is_late
    }

    /// Releases a contact's reservations, and leaves what it counts as otherwise.
    pub(super) fn let_go(&mut self, customer: CustomerKey, contact: &Contact) {
        for (kind, counted) in KINDS.into_iter().enumerate() {
            if standing(contact, counted) == Standing::Held {
                self.release(contact.channel, held(customer, contact), kind);
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

    /// Opens a reservation, when there is any volume and its time is not over already.
    fn hold(&mut self, customer: CustomerKey, contact: &Contact, kind: usize, now: Timestamp) {
        if !self.editions.have_volumes() {
            return;
        }
        let over_at = contact.decided_at() + self.editions.reservation(contact.channel);
        if over_at <= now {
            return;
        }
        let queue = self.ledger.held.entry(contact.channel).or_default();
        queue.entry(held(customer, contact)).or_default()[kind] += 1;
        let latest = self.latest;
        self.editions
            .each_view(Cell::of(contact), kind, |view| view.hold(over_at, 1, latest));
    }

    /// Closes a reservation; tells whether its time was not over for any call so far.
    fn release(&mut self, channel: Symbol, held: Held, kind: usize) -> bool {
        let Some(queue) = self.ledger.held.get_mut(&channel) else {
            return false;
        };
        let Some(open) = queue.get_mut(&held).filter(|open| open[kind] > 0) else {
            return false;
        };
        open[kind] -= 1;
        if *open == Open::default() {
            queue.remove(&held);
        }
        let over_at = held.decided_at + self.editions.reservation(channel);
        let latest = self.latest;
        let cell = Cell {
            offer: held.offer,
            channel,
        };
        self.editions
            .each_view(cell, kind, |view| view.release(over_at, latest));
        latest < over_at
    }

    /// Takes note of the time: what is over by then no longer counts for calls of then, and is forgotten a while after.
    pub(super) fn pass(&mut self, now: Timestamp) {
        // Books that were read from disk: when reservations are over, the first catalog will say.
        if now <= self.latest || self.editions.is_empty() {
            return;
        }
        self.editions.pass(self.latest, now);
        self.latest = now;
        let forgotten = now - KEPT_AFTER;
        for (&channel, queue) in &mut self.ledger.held {
            let reservation = self.editions.reservation(channel);
            while let Some(first) = queue.first_entry()
                && first.key().decided_at + reservation <= forgotten
            {
                first.remove();
            }
        }
        self.editions.forget(forgotten);
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

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
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
