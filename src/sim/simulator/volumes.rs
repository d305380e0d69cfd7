//! Volumes of a simulated bank: drawn as plain data, written down, and recounted over a register of all contacts that there
//! ever were, one by one, for each question.
//!
//! What a volume is about stays the same over all versions; how many it allows, in what, and at which pace, does not.

use std::fmt::Write as _;

use crate::domain::contact::Counted;
use crate::domain::time::{Millis, Timestamp};
use crate::sim::draw::Draw;

use super::almanac::{Clock, Unit};
use super::blueprint::{Blueprint, CHANNELS, GROUPS, OFFERS, OfferId};
use super::limits::{Candidate, Stop};
use super::person::Contact;
use super::rulebook::Policy;
use super::written::names;

/// How many volumes a bank has.
const VOLUMES: usize = 4;
/// What volumes can count: decided, delivered, seen.
const KINDS: usize = 3;
/// What is older by this matters to no window that ends: a little more than the longest, and the clock's steps back.
const SETTLED_AFTER: Millis = Millis::DAY.times(40);
/// After how many further contacts some are set aside.
const LIVE: usize = 200;
/// More than any simulation decides.
const NEVER_REACHED: usize = 4_000_000;

/// What a volume is about.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    counted: Counted,
    groups: Vec<usize>,
    channels: Vec<usize>,
}

/// A limit over all customers.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    id: String,
    scope: Scope,
    at_most: usize,
    at_least: Option<usize>,
    /// Ever when absent.
    per: Option<Unit>,
    is_paced: bool,
}

/// How many count against a volume at an instant, and how many may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    count: usize,
    allowed: usize,
}

/// One contact of anybody.
#[derive(Clone, Debug)]
struct Entered {
    contact: Contact,
    /// Since when it counts as decided, delivered, seen, by reports alone.
    reported: [Option<Timestamp>; KINDS],
    /// Whether it is a reservation as decided, delivered, seen: what was in no volume when it was decided is none later.
    reserves: [bool; KINDS],
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
    /// How many settled ones count as each kind, by offer and channel.
    settled: [[[usize; CHANNELS.len()]; OFFERS.len()]; KINDS],
    /// All before have ended, one way or the other.
    first_open: usize,
}

impl Scope {
    /// Draws what each volume is about; the first is about everything.
    pub(super) fn draw(draw: &mut Draw) -> Vec<Self> {
        let some = |draw: &mut Draw, share: f64, count: usize| -> Vec<usize> {
            let given = draw.chance(share);
            (0..count).filter(|_| given && draw.chance(0.5)).collect()
        };
        let scope = |number: usize| {
            let narrow = if number == 0 { 0.0 } else { 0.6 };
            Self {
                counted: Counted::ALL[draw.below(KINDS)],
                groups: some(draw, narrow, GROUPS.len()),
                channels: some(draw, narrow, CHANNELS.len()),
            }
        };
        (0..VOLUMES).map(scope).collect()
    }
}

impl Volume {
    /// Draws how many a volume allows.
    pub(super) fn draw(draw: &mut Draw, number: usize, scope: &Scope) -> Self {
        let (per, most) = [
            (Some(Unit::Hour), 40),
            (Some(Unit::Day), 150),
            (Some(Unit::Week), 600),
            (Some(Unit::Month), 2_000),
            (None, 6_000),
        ][draw.below(5)];
        let is_narrow = !scope.groups.is_empty() || !scope.channels.is_empty();
        let at_most = match draw.below(20) {
            0 if is_narrow => 0,
            0..=4 => 1 + draw.below(most / 8),
            5..=12 => 1 + draw.below(most),
            _ => most + draw.below(4 * most),
        };
        Self {
            id: format!("volume{number}"),
            scope: scope.clone(),
            at_most,
            at_least: draw.chance(0.3).then(|| draw.below(at_most + 1)),
            per,
            is_paced: per.is_some() && draw.chance(0.3),
        }
    }

    /// Sets the limit higher than anybody can come.
    pub(super) const fn never_reached(&mut self) {
        (self.at_most, self.is_paced) = (NEVER_REACHED, false);
    }

    fn takes(&self, offer: OfferId, channel: usize, bank: &Blueprint) -> bool {
        let Scope { groups, channels, .. } = &self.scope;
        let is_about = match bank.offer(offer) {
            Some(offer) => {
                let in_group = groups.is_empty() || groups.contains(&offer.group);
                in_group && bank.policy_of(offer) != Policy::ExemptUncounted
            }
            None => groups.is_empty(),
        };
        is_about && (channels.is_empty() || channels.contains(&channel))
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
    fn allowed(&self, (start, end): (Timestamp, Timestamp), at: Timestamp) -> usize {
        if !self.is_paced {
            return self.at_most;
        }
        let (passed, length) = ((at - start).get(), (end - start).get());
        let share = i128::from(passed) * self.at_most as i128 / i128::from(length);
        usize::try_from(share + 1).unwrap_or(0).min(self.at_most)
    }

    /// Returns when window and pace let one more count than `count`.
    fn again(&self, window: (Timestamp, Timestamp), count: usize, now: Timestamp) -> Option<Timestamp> {
        if self.at_most == 0 || self.per.is_none() {
            return None;
        }
        let (mut none, mut some) = (now.as_millis(), window.1.as_millis());
        while some - none > 1 {
            let middle = none + (some - none) / 2;
            if self.allowed(window, Timestamp::from_millis(middle)) > count {
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
    pub(super) fn enter(&mut self, contact: &Contact, bank: &Blueprint) {
        if self.live.len() >= self.settle_at {
            self.settle(contact.decided_at() - SETTLED_AFTER);
            self.settle_at = self.live.len() + LIVE;
        }
        self.live.push(self.entries.len());
        self.entries.push(Entered {
            is_settled: false,
            contact: contact.clone(),
            reported: reported(contact),
            reserves: reserves(contact, bank),
            is_over: false,
        });
    }

    /// Takes note of what became of a contact.
    pub(super) fn update(&mut self, contact: &Contact, bank: &Blueprint, now: Timestamp) {
        let entered = &mut self.entries[contact.serial];
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
            entered.reserves = reserves(contact, bank);
            self.first_open = self.first_open.min(contact.serial);
        }
        entered.contact = contact.clone();
        entered.reported = reported(contact);
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

    /// Lets time pass: reservations end.
    pub(super) fn pass(&mut self, now: Timestamp) {
        for entered in &mut self.entries[self.first_open..] {
            entered.is_over |= !entered.contact.is_void() && now >= entered.contact.reserved_until();
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

    /// Counts what stands against each volume of a version.
    pub(super) fn rooms(&self, bank: &Blueprint, now: Timestamp) -> Vec<Room> {
        let room = |volume: &Volume| {
            let window = volume.window(bank.clock(), now);
            let kind = volume.scope.counted.index();
            let taken = volume.taken(bank);
            let counts = |entered: &&Entered| {
                let contact = &entered.contact;
                if !taken[contact.offer.at()][contact.channel] {
                    return false;
                }
                if let Some(at) = entered.reported[kind] {
                    return at >= window.0;
                }
                let reserves = entered.reserves[kind] && !entered.is_over;
                reserves && !contact.is_void() && now < contact.reserved_until()
            };
            let live = self.live.iter().map(|&at| &self.entries[at]);
            let settled = || {
                let by_channel = self.settled[kind].iter().flatten().zip(taken.iter().flatten());
                by_channel
                    .filter(|(_, taken)| **taken)
                    .map(|(count, _)| *count)
                    .sum::<usize>()
            };
            Room {
                count: live.filter(counts).count() + if volume.per.is_none() { settled() } else { 0 },
                allowed: volume.allowed(window, now),
            }
        };
        bank.volumes.iter().map(room).collect()
    }
}

/// Returns since when a contact counts as decided, delivered, seen.
fn reported(contact: &Contact) -> [Option<Timestamp>; KINDS] {
    [Counted::Decided, Counted::Delivered, Counted::Seen].map(|counted| contact.reported(counted))
}

/// Tells whether some volume counts a contact as decided, delivered, seen.
fn reserves(contact: &Contact, bank: &Blueprint) -> [bool; KINDS] {
    let mut reserves = [false; KINDS];
    for volume in &bank.volumes {
        reserves[volume.scope.counted.index()] |= volume.takes(contact.offer, contact.channel, bank);
    }
    reserves
}

/// Returns every volume that stops a candidate, in their order; `chosen` is what the answer already shows.
pub(super) fn stops(
    bank: &Blueprint,
    rooms: &[Room],
    candidate: Candidate<'_>,
    chosen: &[Contact],
    now: Timestamp,
) -> Vec<Stop> {
    if bank.policy_of(candidate.offer) != Policy::Applies {
        return Vec::new();
    }
    let stop = |(volume, room): (&Volume, &Room)| {
        let takes = |offer: OfferId| volume.takes(offer, candidate.channel, bank);
        let count = room.count + chosen.iter().filter(|contact| takes(contact.offer)).count();
        let is_stopped = takes(candidate.offer.id) && count >= room.allowed;
        is_stopped.then(|| Stop {
            rule: volume.id.clone(),
            count: Some(count),
            limit: room.allowed,
            again: volume.again(volume.window(bank.clock(), now), count, now),
        })
    };
    bank.volumes.iter().zip(rooms).filter_map(stop).collect()
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
        let Scope {
            counted,
            groups,
            channels,
        } = &volume.scope;
        write!(
            text,
            "  - {{id: {}, at_most: {}, of: {}, per: {per}, groups: [{}], channels: [{}]",
            volume.id,
            volume.at_most,
            counted.name(),
            names(groups, &GROUPS),
            names(channels, &CHANNELS.map(|(id, ..)| id)),
        )?;
        if let Some(least) = volume.at_least {
            write!(text, ", at_least: {least}")?;
        }
        writeln!(text, "{}}}", if volume.is_paced { ", pace: even" } else { "" })?;
    }
    Ok(())
}
