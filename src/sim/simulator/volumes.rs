//! Volumes of a simulated bank: drawn as plain data, written down, and recounted over a register of all contacts that there
//! ever were, one by one, for each question.
//!
//! Volumes come, go and change with every version, and count as if they had been there all along.

use std::fmt::Write as _;

use crate::domain::contact::Counted;
use crate::domain::time::{Millis, Timestamp};
use crate::sim::draw::Draw;

use super::almanac::{Clock, Unit};
use super::blueprint::{Blueprint, CHANNELS, GROUPS, LABELS, OFFERS, Offer, OfferId};
use super::limits::{Candidate, Stop};
use super::person::Contact;
use super::rulebook::{self, Filter, Policy};
use super::written::names;

/// How many reservations are told one by one; with more, the moment that there is room again may be said later.
const TOLD: usize = 64;
/// How many volumes a bank has at most.
const VOLUMES: usize = 4;
/// What volumes can count: decided, delivered, seen.
const KINDS: usize = 3;
/// What is older by this matters to no window that ends: a little more than the longest, and the clock's steps back.
const SETTLED_AFTER: Millis = Millis::DAY.times(40);
/// After how many further contacts some are set aside.
const LIVE: usize = 200;
/// More than any simulation decides.
const NEVER_REACHED: usize = 4_000_000;

/// A limit over all customers.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    id: String,
    counted: Counted,
    contacts: Filter,
    at_most: Option<usize>,
    at_least: Option<usize>,
    /// Ever when absent.
    per: Option<Unit>,
    is_paced: bool,
}

/// How many count against a volume at an instant, and how many may.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// When they happened, those that did.
    happened: Vec<Timestamp>,
    /// Until when they are reserved, the others.
    reserved: Vec<Timestamp>,
    allowed: Option<usize>,
}

/// For how long a reservation is remembered that is over.
const REMEMBERED: Millis = Millis::MINUTE;

/// One contact of anybody.
#[derive(Clone, Debug)]
struct Entered {
    contact: Contact,
    /// Since when it counts as decided, delivered, seen, by reports alone.
    reported: [Option<Timestamp>; KINDS],
    /// Whether it is too old to matter to any window that ends.
    is_settled: bool,
    /// Whether the reservation was found to be over, or its customer was forgotten: it does not begin anew when the clock steps
    /// back.
    is_over: bool,
}

/// All contacts that there ever were.
#[derive(Debug, Default)]
pub(super) struct Register {
    entries: Vec<Entered>,
    /// Those that may still matter to a window, the others being settled.
    live: Vec<usize>,
    /// At how many live ones some are settled.
    settle_at: usize,
    /// The latest instant at which anybody looked.
    latest: Timestamp,
    /// How many settled ones count as each kind, by offer and channel.
    settled: [[[usize; CHANNELS.len()]; OFFERS.len()]; KINDS],
    /// All before have ended, one way or the other.
    first_open: usize,
}

impl Volume {
    /// Draws the volumes of a version; there always is one.
    pub(super) fn draw_all(draw: &mut Draw, offers: &[Offer]) -> Vec<Self> {
        let numbers = (0..VOLUMES).filter(|&number| number == 0 || draw.chance(0.8));
        let numbers: Vec<usize> = numbers.collect();
        numbers
            .into_iter()
            .map(|number| Self::draw(draw, number, offers))
            .collect()
    }

    fn draw(draw: &mut Draw, number: usize, offers: &[Offer]) -> Self {
        let (per, most) = [
            (Some(Unit::Hour), 40),
            (Some(Unit::Day), 150),
            (Some(Unit::Week), 600),
            (Some(Unit::Month), 2_000),
            (None, 6_000),
        ][draw.below(5)];
        let mut contacts = rulebook::filter(draw, offers);
        (contacts.directions, contacts.placements, contacts.campaigns) = (Vec::new(), Vec::new(), Vec::new());
        let is_narrow = !contacts.groups.is_empty() || !contacts.channels.is_empty() || !contacts.labels.is_empty();
        let at_most = match draw.below(20) {
            0 if is_narrow => Some(0),
            0..=4 => Some(1 + draw.below(most / 8)),
            5..=12 => Some(1 + draw.below(most)),
            13 => None,
            _ => Some(most + draw.below(4 * most)),
        };
        let has_goal = at_most.is_none() || draw.chance(0.3);
        Self {
            id: format!("volume{number}"),
            counted: Counted::ALL[draw.below(KINDS)],
            contacts,
            at_most,
            at_least: has_goal.then(|| draw.below(at_most.unwrap_or(most) + 1)),
            per,
            is_paced: per.is_some() && at_most.is_some() && draw.chance(0.3),
        }
    }

    /// Sets the limit higher than anybody can come.
    pub(super) const fn never_reached(&mut self) {
        (self.at_most, self.is_paced) = (Some(NEVER_REACHED), false);
    }

    /// Tells whether somebody without any id, who takes nothing from it, is let through as long as there is room: every other one does,
    /// by its number.
    fn is_open(&self) -> bool {
        self.id.ends_with(['1', '3'])
    }

    fn takes(&self, offer: OfferId, channel: usize, bank: &Blueprint) -> bool {
        let is_about = bank
            .past(offer)
            .is_some_and(|past| !past.uncounted && self.contacts.is_about(offer, past.group, &past.labels));
        is_about && (self.contacts.channels.is_empty() || self.contacts.channels.contains(&channel))
    }

    /// Returns which offers it takes on which channels.
    fn taken(&self, bank: &Blueprint) -> [[bool; CHANNELS.len()]; OFFERS.len()] {
        let mut taken = [[false; CHANNELS.len()]; OFFERS.len()];
        for offer in OfferId::all() {
            for (channel, taken) in taken[offer.at()].iter_mut().enumerate() {
                *taken = self.takes(offer, channel, bank);
            }
        }
        taken
    }

    /// Returns the first instant of the window and the first after it.
    fn window(&self, clock: Clock, now: Timestamp) -> (Timestamp, Timestamp) {
        let ever = (Timestamp::FAR_PAST, Timestamp::FAR_FUTURE);
        self.per.map_or(ever, |unit| clock.period(unit, now))
    }

    /// Returns how many may count at an instant of a window.
    fn allowed(&self, (start, end): (Timestamp, Timestamp), at: Timestamp) -> Option<usize> {
        let most = self.at_most?;
        if !self.is_paced {
            return Some(most);
        }
        let (passed, length) = ((at - start).get(), (end - start).get());
        let share = i128::from(passed) * most as i128 / i128::from(length);
        Some(usize::try_from(share + 1).unwrap_or(0).min(most))
    }

    /// Returns when window, pace and reservations first let one more count: looks at the stretches of time one after the other
    /// in which the same count.
    fn again(&self, room: &Room, clock: Clock, now: Timestamp) -> Option<Timestamp> {
        let mut reserved = room.reserved.clone();
        reserved.sort_unstable();
        let mut from = now;
        loop {
            let window = self.window(clock, from);
            // What lies ahead of a clock that stepped back counts now, and in the windows up to its own.
            let happened = room.happened.iter().filter(|at| **at >= window.0).count();
            let open = reserved.partition_point(|until| *until <= from);
            let count = happened + reserved.len() - open;
            let next = reserved.get(open).map_or(window.1, |until| window.1.min(*until));
            if let Some(at) = self.free_at(window, count, (from, next)) {
                return Some(at);
            }
            // With nothing to come, what cannot be now never can.
            if next == Timestamp::FAR_FUTURE || self.at_most == Some(0) {
                return None;
            }
            from = next;
        }
    }

    /// Returns the first instant of a stretch at which more than `count` may count.
    fn free_at(
        &self,
        window: (Timestamp, Timestamp),
        count: usize,
        (from, next): (Timestamp, Timestamp),
    ) -> Option<Timestamp> {
        let is_free = |at: i64| {
            let allowed = self.allowed(window, Timestamp::from_millis(at));
            allowed.is_none_or(|allowed| allowed > count)
        };
        let (mut none, mut some) = (from.as_millis(), next.as_millis() - 1);
        if is_free(none) {
            return Some(from);
        }
        if !is_free(some) {
            return None;
        }
        while some - none > 1 {
            let middle = none + (some - none) / 2;
            if is_free(middle) {
                some = middle;
            } else {
                none = middle;
            }
        }
        Some(Timestamp::from_millis(some))
    }
}

impl Register {
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Enters a contact that was decided now.
    pub(super) fn enter(&mut self, contact: &Contact) {
        if self.live.len() >= self.settle_at {
            self.settle(contact.decided_at() - SETTLED_AFTER);
            self.settle_at = self.live.len() + LIVE;
        }
        self.live.push(self.entries.len());
        self.entries.push(Entered {
            is_settled: false,
            contact: contact.clone(),
            reported: reported(contact),
            is_over: false,
        });
    }

    /// Takes note of what became of a contact; tells whether it happened after its reservation was given up.
    pub(super) fn update(&mut self, contact: &Contact, now: Timestamp) -> bool {
        if self.entries[contact.serial].contact == *contact {
            return false;
        }
        let entered = &mut self.entries[contact.serial];
        let now_reported = reported(contact);
        let newly = entered.reported.iter().zip(&now_reported);
        let mut newly = newly.filter(|(before, after)| before.is_none() && after.is_some());
        let is_gone = entered.is_over && !entered.contact.is_void() && newly.next().is_some();
        if entered.is_settled {
            entered.is_settled = false;
            self.live.push(contact.serial);
            for (kind, counts) in self.settled.iter_mut().enumerate() {
                counts[contact.offer.at()][contact.channel] -= usize::from(entered.reported[kind].is_some());
            }
        }
        // What was cancelled reserves nothing; a report lets it reserve again, if it is not too late.
        if entered.contact.is_void() {
            entered.is_over = now >= contact.reserved_until();
            self.first_open = self.first_open.min(contact.serial);
        }
        entered.contact = contact.clone();
        entered.reported = now_reported;
        is_gone
    }

    /// Sets aside what happened and ended before an instant.
    fn settle(&mut self, before: Timestamp) {
        let (entries, settled) = (&mut self.entries, &mut self.settled);
        self.live.retain(|&at| {
            let entered = &mut entries[at];
            let contact = &entered.contact;
            let is_old = entered.reported.iter().flatten().all(|at| *at < before);
            let is_open = !entered.is_over && !contact.is_void();
            if !is_old || is_open || contact.decided_at() >= before {
                return true;
            }
            entered.is_settled = true;
            for (kind, counts) in settled.iter_mut().enumerate() {
                counts[contact.offer.at()][contact.channel] += usize::from(entered.reported[kind].is_some());
            }
            false
        });
    }

    /// Lets time pass: reservations end, and are remembered for a while, for those who ask at an instant before.
    pub(super) fn pass(&mut self, now: Timestamp) {
        if now <= self.latest {
            return;
        }
        self.latest = now;
        let forgotten = now - REMEMBERED;
        for entered in &mut self.entries[self.first_open..] {
            entered.is_over |= !entered.contact.is_void() && forgotten >= entered.contact.reserved_until();
        }
        let has_ended = |entered: &Entered| entered.is_over || entered.contact.is_void();
        let ended = self.entries[self.first_open..]
            .iter()
            .take_while(|entered| has_ended(entered));
        self.first_open += ended.count();
    }

    /// Lets go what somebody had reserved who is forgotten: what a full history had dropped before stays as it is.
    pub(super) fn let_go(&mut self, contacts: &[Contact]) {
        for contact in contacts {
            self.entries[contact.serial].is_over = true;
        }
    }

    /// Gathers what stands against each volume of a version.
    pub(super) fn rooms(&self, bank: &Blueprint, now: Timestamp) -> Vec<Room> {
        let room = |volume: &Volume| {
            let window = volume.window(bank.clock(), now);
            let kind = volume.counted.index();
            let taken = volume.taken(bank);
            let mut room = Room {
                happened: Vec::new(),
                reserved: Vec::new(),
                allowed: volume.allowed(window, now),
            };
            if volume.per.is_none() {
                let by_channel = self.settled[kind].iter().flatten().zip(taken.iter().flatten());
                let settled = by_channel.filter(|(_, taken)| **taken).map(|(count, _)| *count).sum();
                room.happened.resize(settled, Timestamp::FAR_PAST);
            }
            for entered in self.live.iter().map(|&at| &self.entries[at]) {
                let contact = &entered.contact;
                if !taken[contact.offer.at()][contact.channel] {
                    continue;
                }
                match entered.reported[kind] {
                    Some(at) if at >= window.0 => room.happened.push(at),
                    None if !entered.is_over && !contact.is_void() && now < contact.reserved_until() => {
                        room.reserved.push(contact.reserved_until());
                    }
                    _ => {}
                }
            }
            room
        };
        bank.volumes.iter().map(room).collect()
    }
}

/// Returns since when a contact counts as decided, delivered, seen.
fn reported(contact: &Contact) -> [Option<Timestamp>; KINDS] {
    [Counted::Decided, Counted::Delivered, Counted::Seen].map(|counted| contact.reported(counted))
}

/// Returns every volume that stops a candidate, in their order; `chosen` is what the answer already shows, and `nobody` whether
/// there is no id.
pub(super) fn stops(
    bank: &Blueprint,
    rooms: &[Room],
    candidate: Candidate<'_>,
    chosen: &[Contact],
    nobody: bool,
    now: Timestamp,
) -> Vec<Stop> {
    if bank.policy_of(candidate.offer) != Policy::Applies {
        return Vec::new();
    }
    let stop = |(volume, room): (&Volume, &Room)| {
        let takes = |offer: OfferId| volume.takes(offer, candidate.channel, bank);
        let chosen = chosen.iter().filter(|contact| takes(contact.offer));
        let (count, allowed) = (room.happened.len() + room.reserved.len(), room.allowed?);
        let count = count + chosen.clone().count();
        if !takes(candidate.offer.id) {
            return None;
        }
        if nobody && !volume.is_open() {
            return Some(Stop {
                rule: volume.id.clone(),
                count: None,
                limit: volume.at_most?,
                again: None,
                is_bound: false,
            });
        }
        if count < allowed {
            return None;
        }
        let mut later = room.clone();
        for contact in chosen {
            match contact.reported(volume.counted) {
                Some(at) => later.happened.push(at),
                None => later.reserved.push(contact.reserved_until()),
            }
        }
        Some(Stop {
            rule: volume.id.clone(),
            count: Some(count),
            limit: allowed,
            again: volume.again(&later, bank.clock(), now),
            is_bound: later.reserved.len() > TOLD,
        })
    };
    bank.volumes.iter().zip(rooms).filter_map(stop).collect()
}

/// Tells whether any volume counts an offer on a channel.
pub(super) fn are_about(bank: &Blueprint, offer: OfferId, channel: usize) -> bool {
    bank.volumes.iter().any(|volume| volume.takes(offer, channel, bank))
}

/// Writes the volumes as a catalog's lines.
pub(super) fn write(volumes: &[Volume], text: &mut String) -> std::fmt::Result {
    writeln!(text, "volumes:")?;
    for volume in volumes {
        let per = match volume.per {
            Some(Unit::Hour) => "hour",
            Some(Unit::Day) => "day",
            Some(Unit::Week) => "week",
            Some(Unit::Month) => "month",
            None => "ever",
        };
        let (id, counted, contacts) = (&volume.id, volume.counted.name(), &volume.contacts);
        let offers: Vec<&str> = contacts.offers.iter().map(|offer| offer.name()).collect();
        write!(
            text,
            "  - {{id: {id}, of: {counted}, per: {per}, offers: [{}], groups: [{}], labels: [{}], channels: [{}]",
            offers.join(", "),
            names(&contacts.groups, &GROUPS),
            names(&contacts.labels, &LABELS),
            names(&contacts.channels, &CHANNELS.map(|(id, ..)| id)),
        )?;
        if let Some(most) = volume.at_most {
            write!(text, ", at_most: {most}")?;
        }
        if let Some(least) = volume.at_least {
            write!(text, ", at_least: {least}")?;
        }
        if volume.is_open() {
            write!(text, ", without_id: open")?;
        }
        writeln!(text, "{}}}", if volume.is_paced { ", pace: even" } else { "" })?;
    }
    Ok(())
}
