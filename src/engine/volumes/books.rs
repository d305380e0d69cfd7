//! What counts over all customers: how many contacts counted when, which reservations are open, and what of it counts
//! against each volume now.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::Active;
use super::series::{Series, step};
use crate::catalog::{Catalog, Per, Volume, VolumePer};
use crate::decision::calendar::{self, Period};
use crate::decision::policy::counted_at;
use crate::decision::volumes::{Room, Rooms};
use crate::domain::contact::{Contact, Counted};
use crate::domain::ids::CustomerKey;
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};

/// What volumes can count.
const KINDS: [Counted; 3] = [Counted::Decided, Counted::Delivered, Counted::Seen];

/// For how long an open contact of a channel that the catalog no longer has counts as a reservation.
const RESERVATION_OF_OTHERS: Millis = Millis::HOUR;

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cell {
    counted: Counted,
    offer: Symbol,
    channel: Symbol,
}

/// One open reservation; the oldest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    decided_at: Timestamp,
    offer: Symbol,
    customer: CustomerKey,
    decision: u32,
    placement: Symbol,
}

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

/// What counts against one volume in the window in which somebody asked last.
#[derive(Clone, Copy, Debug)]
struct View {
    window: Period,
    counted: u64,
    held: u64,
}

/// The books.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Books {
    /// The newest catalog that was seen, and which activation it was.
    catalog: Option<Arc<Catalog>>,
    generation: u64,
    /// Parallel to that catalog's volumes.
    views: Vec<View>,
    series: HashMap<Cell, Series>,
    /// Open reservations by kind and channel. The number is above 1 when one answer had an offer in a placement twice.
    held: BTreeMap<(Counted, Symbol), BTreeMap<Held, u32>>,
}

impl Books {
    /// Goes over to the catalog of a call, when it is newer.
    pub(super) fn adopt(&mut self, active: &Active, now: Timestamp) {
        if self.catalog.is_some() && active.generation <= self.generation {
            return;
        }
        self.generation = active.generation;
        self.catalog = Some(Arc::clone(&active.catalog));
        let volumes = active.catalog.volumes.iter();
        self.views = volumes.map(|volume| self.view(&active.catalog, volume, now)).collect();
    }

    /// Says what the volumes of the call's catalog have left.
    pub(super) fn rooms(&mut self, active: &Active, now: Timestamp) -> Rooms {
        self.adopt(active, now);
        self.release_overdue(now);
        let catalog = &active.catalog;
        let is_newest = active.generation == self.generation;
        let rooms = catalog.volumes.iter().enumerate().map(|(at, volume)| {
            let view = if is_newest {
                self.rolled(at, catalog, volume, now)
            } else {
                self.view(catalog, volume, now)
            };
            self.room(volume, view, now)
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
        let rooms = self.rooms(active, now);
        let catalog = &active.catalog;
        // What is exempt is not stopped, but takes room from what was chosen after it.
        let is_short = |(volume, room): (&Volume, &Room)| {
            let concerned = |contact: &&Contact| contact.in_volumes && concerns(catalog, volume, contact);
            let mut concerned = contacts.iter().filter(concerned).enumerate();
            concerned.any(|(before, contact)| before >= room.left as usize && !is_exempt(catalog, contact))
        };
        if catalog.volumes.iter().zip(rooms.list()).any(is_short) {
            return Err(rooms);
        }
        for contact in contacts {
            self.change(customer, None, Some(contact), now);
        }
        Ok(())
    }

    /// Moves a contact from what it was to what it is.
    pub(super) fn change(
        &mut self,
        customer: CustomerKey,
        before: Option<&Contact>,
        after: Option<&Contact>,
        now: Timestamp,
    ) {
        let Some(contact) = after.or(before) else { return };
        for counted in KINDS {
            let was = before.map_or(Standing::Nothing, |before| standing(before, counted));
            let is = after.map_or(Standing::Nothing, |after| standing(after, counted));
            if was == is {
                continue;
            }
            match was {
                Standing::Nothing => {}
                Standing::Held => self.release(customer, contact, counted),
                Standing::At(at) => self.count(contact, counted, at, false),
            }
            match is {
                Standing::Nothing => {}
                Standing::Held => self.hold(customer, contact, counted, now),
                Standing::At(at) => self.count(contact, counted, at, true),
            }
        }
    }

    /// Releases a contact's reservations, and leaves what it counts as otherwise.
    pub(super) fn let_go(&mut self, customer: CustomerKey, contact: &Contact) {
        for counted in KINDS {
            if standing(contact, counted) == Standing::Held {
                self.release(customer, contact, counted);
            }
        }
    }

    fn count(&mut self, contact: &Contact, counted: Counted, at: Timestamp, is_more: bool) {
        let series = self.series.entry(Cell {
            counted,
            offer: contact.offer,
            channel: contact.channel,
        });
        let series = series.or_default();
        if is_more {
            series.add(at);
        } else {
            series.remove(at);
        }
        self.each_view(contact.offer, contact.channel, counted, |view| {
            if step(at) >= step(view.window.start) {
                view.counted = if is_more {
                    view.counted + 1
                } else {
                    view.counted.saturating_sub(1)
                };
            }
        });
    }

    /// Opens a reservation, when a limited volume counts it and its time is not over already.
    fn hold(&mut self, customer: CustomerKey, contact: &Contact, counted: Counted, now: Timestamp) {
        let Some(catalog) = self.catalog.clone() else { return };
        let is_over = contact.decided_at() + reservation(&catalog, contact.channel) <= now;
        let is_limited = |volume: &Volume| {
            volume.counted == counted && volume.at_most.is_some() && concerns(&catalog, volume, contact)
        };
        if is_over || !catalog.volumes.iter().any(is_limited) {
            return;
        }
        let queue = self.held.entry((counted, contact.channel)).or_default();
        *queue.entry(held(customer, contact)).or_default() += 1;
        self.each_view(contact.offer, contact.channel, counted, |view| view.held += 1);
    }

    /// Closes a reservation, unless its time was over before.
    fn release(&mut self, customer: CustomerKey, contact: &Contact, counted: Counted) {
        let Some(queue) = self.held.get_mut(&(counted, contact.channel)) else {
            return;
        };
        let held = held(customer, contact);
        match queue.get_mut(&held) {
            None => return,
            Some(1) => drop(queue.remove(&held)),
            Some(number) => *number -= 1,
        }
        self.each_view(contact.offer, contact.channel, counted, |view| {
            view.held = view.held.saturating_sub(1);
        });
    }

    /// Closes the reservations whose time is over.
    fn release_overdue(&mut self, now: Timestamp) {
        let Some(catalog) = self.catalog.clone() else { return };
        let mut overdue = Vec::new();
        for (&(counted, channel), queue) in &mut self.held {
            let reservation = reservation(&catalog, channel);
            while let Some(first) = queue.first_entry()
                && first.key().decided_at + reservation <= now
            {
                overdue.push((first.key().offer, channel, counted, *first.get()));
                first.remove();
            }
        }
        for (offer, channel, counted, number) in overdue {
            self.each_view(offer, channel, counted, |view| {
                view.held = view.held.saturating_sub(u64::from(number));
            });
        }
    }

    /// Calls `change` for what counts against each volume that counts this.
    fn each_view(&mut self, offer: Symbol, channel: Symbol, counted: Counted, mut change: impl FnMut(&mut View)) {
        let Some(catalog) = &self.catalog else { return };
        let offer = catalog.offer_positions.get(offer);
        for (volume, view) in catalog.volumes.iter().zip(&mut self.views) {
            if volume.counted == counted && volume.concerns(offer, channel) {
                change(view);
            }
        }
    }

    /// Returns what counts against a volume of the newest catalog, in the window of now.
    fn rolled(&mut self, at: usize, catalog: &Catalog, volume: &Volume, now: Timestamp) -> View {
        let view = self.views[at];
        if view.window.contains(now) {
            return view;
        }
        let window = window(catalog, volume, now);
        let counted = self.counted(catalog, volume, window);
        self.views[at] = View {
            window,
            counted,
            ..view
        };
        self.views[at]
    }

    /// Counts anew what counts against a volume.
    fn view(&self, catalog: &Catalog, volume: &Volume, now: Timestamp) -> View {
        let window = window(catalog, volume, now);
        let queues = self.held.iter().filter(|((counted, _), _)| *counted == volume.counted);
        let held = queues.flat_map(|((_, channel), queue)| {
            let concerned = queue.iter().filter(|(held, _)| {
                let offer = catalog.offer_positions.get(held.offer);
                volume.concerns(offer, *channel)
            });
            concerned.map(|(_, &number)| u64::from(number))
        });
        View {
            window,
            counted: self.counted(catalog, volume, window),
            held: held.sum(),
        }
    }

    fn counted(&self, catalog: &Catalog, volume: &Volume, window: Period) -> u64 {
        let concerned = self.series.iter().filter(|(cell, _)| {
            let offer = catalog.offer_positions.get(cell.offer);
            cell.counted == volume.counted && volume.concerns(offer, cell.channel)
        });
        concerned.map(|(_, series)| series.since(window.start)).sum()
    }

    fn room(&self, volume: &Volume, view: View, now: Timestamp) -> Room {
        let Period { start, end } = view.window;
        let room = Room::new(volume, (start, end), view.counted + view.held, now);
        if view.held == 0 {
            return room;
        }
        let next_release = self.next_release(volume.counted).unwrap_or(Timestamp::FAR_FUTURE);
        Room { next_release, ..room }
    }

    /// Returns when the next reservation of a kind is over, of whichever volume.
    fn next_release(&self, counted: Counted) -> Option<Timestamp> {
        let catalog = self.catalog.as_ref()?;
        let queues = self.held.iter().filter(|((kind, _), _)| *kind == counted);
        let first = queues.filter_map(|((_, channel), queue)| {
            let (held, _) = queue.first_key_value()?;
            Some(held.decided_at + reservation(catalog, *channel))
        });
        first.min()
    }
}

/// Returns the window of a volume that an instant lies in, by the catalog's clock and weeks.
pub(super) fn window(catalog: &Catalog, volume: &Volume, at: Timestamp) -> Period {
    let per = match volume.per {
        VolumePer::Hour => Per::Hour,
        VolumePer::Day => Per::Day,
        VolumePer::Week => Per::Week,
        VolumePer::Month => Per::Month,
        VolumePer::Ever => return Period::ALWAYS,
    };
    calendar::period(per, catalog.week_starts, &catalog.time_zone, at)
}

fn is_exempt(catalog: &Catalog, contact: &Contact) -> bool {
    let offer = catalog.offer_positions.get(contact.offer);
    offer.is_some_and(|offer| catalog.offers[offer].is_exempt())
}

fn concerns(catalog: &Catalog, volume: &Volume, contact: &Contact) -> bool {
    volume.concerns(catalog.offer_positions.get(contact.offer), contact.channel)
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

fn reservation(catalog: &Catalog, channel: Symbol) -> Millis {
    let found = catalog.channels.iter().find(|candidate| candidate.symbol == channel);
    found.map_or(RESERVATION_OF_OTHERS, |found| found.reservation)
}
