//! Volumes, limits over all customers, as one decision sees them: how much room each has, and which offer has none.
//!
//! What others take meanwhile is not seen here. So the engine takes what was chosen from every volume at once afterwards,
//! and where one has less room by then, it chooses again with the room that there is.
//!
//! **When there is room again** follows from the window, the pace and the reservations that run out by then, if nothing else
//! happens: nobody reports, cancels or is shown anything. What a clock that was ahead let happen in windows to come counts in those
//! as well. It is exact where at most [`RELEASES_TOLD`] reservations have to run out
//! for it, and else the moment when all have, so never later than there is room.

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Per, Volume, VolumePer};
use crate::domain::contact::Counted;
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};

use super::calendar::{self, Period};

/// How many of the reservations that count are told one by one, the first to run out: more than any answer shows and few enough
/// to be told under a lock.
pub const RELEASES_TOLD: usize = 64;

/// Below how much room they are told at all; an answer that chooses more from one volume knows only when all have run out.
pub const TOLD_BELOW: u32 = 256;

/// How many changes of count and limit are looked at, one after the other, to find when there is room: those of the
/// reservations that are told, and a few days of hours.
const CHANGES_MAX: usize = 2 * RELEASES_TOLD;

/// What one volume has left at an instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// How many more offers may be decided now.
    pub left: u32,
    /// How many count now, reservations included.
    pub count: u32,
    /// How many may count now: the volume's limit, or the share of it that even pacing has set free.
    pub allowed: u32,
    /// The window of now.
    pub window: Period,
    now: Timestamp,
    held: u32,
    /// When the first reservations are over, ascending; at most [`RELEASES_TOLD`], and none while there is much room.
    releases: Vec<Timestamp>,
    /// When the first and the last reservation are over.
    held_from_until: Option<(Timestamp, Timestamp)>,
    /// How many of those that count happened behind the window, by instants that no window begins between: a clock that was ahead
    /// has stepped back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ahead: Vec<(Timestamp, u32)>,
}

impl Room {
    /// Measures the room of a volume when so many count, without reservations. The window is that of `now`.
    #[must_use]
    pub fn new(volume: &Volume, window: Period, counted: u64, now: Timestamp) -> Self {
        let allowed = match volume.at_most {
            Some(limit) if volume.is_paced => paced(limit, window, now),
            Some(limit) => limit,
            None => u32::MAX,
        };
        let room = Self {
            left: u32::MAX,
            count: narrow(counted),
            allowed,
            window,
            now,
            held: 0,
            releases: Vec::new(),
            held_from_until: None,
            ahead: Vec::new(),
        };
        Self {
            left: room.left(volume),
            ..room
        }
    }

    /// Says how many of those that count happened behind the window, ascending.
    #[must_use]
    pub fn with_ahead(mut self, ahead: impl Iterator<Item = (Timestamp, u32)>) -> Self {
        self.ahead.extend(ahead);
        self
    }

    /// Counts what happened from an instant behind the window on.
    fn counted_from(&self, start: Timestamp) -> u64 {
        let first = self.ahead.partition_point(|(at, _)| *at < start);
        self.ahead[first..].iter().map(|&(_, number)| u64::from(number)).sum()
    }

    /// Returns the room of a volume of which nobody knows what counts, and which so stops nobody.
    #[must_use]
    pub fn open(volume: &Volume, window: Period, now: Timestamp) -> Self {
        Self {
            left: u32::MAX,
            ..Self::new(volume, window, 0, now)
        }
    }

    /// Adds reservations: how many, and when they are over, ascending; several may be over at once.
    #[must_use]
    pub fn with_held(
        mut self,
        volume: &Volume,
        held: u64,
        mut releases: impl DoubleEndedIterator<Item = (Timestamp, u32)> + Clone,
    ) -> Self {
        self.held = narrow(held);
        self.count = self.count.saturating_add(self.held);
        self.left = self.left(volume);
        if self.left < TOLD_BELOW {
            let each = releases
                .clone()
                .flat_map(|(at, number)| std::iter::repeat_n(at, number as usize));
            self.releases.extend(each.take(RELEASES_TOLD));
        }
        let first = releases.clone().next().map(|(at, _)| at);
        self.held_from_until = first.zip(releases.next_back().map(|(at, _)| at));
        self
    }

    fn left(&self, volume: &Volume) -> u32 {
        match volume.at_most {
            Some(_) => self.allowed.saturating_sub(self.count),
            None => u32::MAX,
        }
    }

    /// Returns when time alone next changes how many count or may.
    fn changes_at(&self, volume: &Volume) -> Timestamp {
        let mut at = self.window.end;
        if let Some((first, _)) = self.held_from_until {
            at = at.min(first);
        }
        match volume.at_most {
            Some(limit) if volume.is_paced && self.allowed < limit => {
                at.min(free_from(limit, self.allowed, self.window))
            }
            _ => at,
        }
    }

    /// Returns when one more may be decided if nothing else happens; `None` when that is never. `chosen` are those of the same
    /// call, which are reservations until `chosen_until` where the volume counts any.
    fn again(&self, catalog: &Catalog, volume: &Volume, chosen: u32, chosen_until: Timestamp) -> Option<Timestamp> {
        let limit = volume.at_most.filter(|&limit| limit > 0)?;
        let mut held = u64::from(self.held);
        let mut counted = u64::from(self.count) - held;
        let mut told = self.releases.iter().copied().peekable();
        let mut own = 0;
        if volume.counted == Counted::Decided {
            counted += u64::from(chosen);
        } else {
            own = u64::from(chosen);
        }
        let (mut window, mut from) = (self.window, self.now);
        for _ in 0..CHANGES_MAX {
            let release = told.peek().copied().filter(|_| held > 0);
            if held > 0 && release.is_none() {
                break;
            }
            let own_release = (own > 0).then_some(chosen_until);
            let changes = [release, own_release, Some(window.end)];
            let next = changes.into_iter().flatten().min().unwrap_or(Timestamp::FAR_FUTURE);
            let room = room_from(volume, limit, counted + held + own, window, from);
            if let Some(at) = room.filter(|&at| at < next) {
                return Some(at);
            }
            if next == Timestamp::FAR_FUTURE {
                return None;
            }
            if release == Some(next) {
                told.next();
                held -= 1;
            } else if own_release == Some(next) {
                own = 0;
            } else {
                counted = self.counted_from(next);
                // Without a pace, all windows to come are alike in which nothing happened.
                window = if volume.is_paced || counted > 0 {
                    self::window(catalog, volume, next)
                } else {
                    Period {
                        start: next,
                        ..Period::ALWAYS
                    }
                };
            }
            from = next;
        }
        let last = self.held_from_until.map_or(self.now, |(_, last)| last);
        let last = if own > 0 { last.max(chosen_until) } else { last };
        let ahead = self.ahead.last();
        let last = ahead.map_or(last, |(at, _)| last.max(self::window(catalog, volume, *at).end));
        if window.end != Timestamp::FAR_FUTURE {
            return Some(last.max(window.end));
        }
        (counted < u64::from(limit)).then_some(last)
    }
}

/// Returns the first instant from `from` on at which one more than `count` may count; it may lie beyond the window.
fn room_from(volume: &Volume, limit: u32, count: u64, window: Period, from: Timestamp) -> Option<Timestamp> {
    let count = u32::try_from(count).ok().filter(|&count| count < limit)?;
    Some(if volume.is_paced {
        from.max(free_from(limit, count, window))
    } else {
        from
    })
}

/// Returns how many of `limit` the pace has set free: `limit × elapsed / length`, rounded down, plus 1, at most `limit`.
fn paced(limit: u32, Period { start, end }: Period, now: Timestamp) -> u32 {
    let (elapsed, length) = (i128::from((now - start).get()), i128::from((end - start).get()));
    let free = i128::from(limit) * elapsed / length.max(1) + 1;
    u32::try_from(free).unwrap_or(u32::MAX).min(limit)
}

/// Returns from when on the pace has set more than `count` of `limit` free.
fn free_from(limit: u32, count: u32, Period { start, end }: Period) -> Timestamp {
    let (limit, length) = (i128::from(limit), i128::from((end - start).get()));
    let wait = (i128::from(count) * length + limit - 1) / limit.max(1);
    start + Millis::new(i64::try_from(wait).unwrap_or(i64::MAX))
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Returns the window of a volume that an instant lies in, by the catalog's clock and weeks.
#[must_use]
pub fn window(catalog: &Catalog, volume: &Volume, at: Timestamp) -> Period {
    let per = match volume.per {
        VolumePer::Hour => Per::Hour,
        VolumePer::Day => Per::Day,
        VolumePer::Week => Per::Week,
        VolumePer::Month => Per::Month,
        VolumePer::Ever => return Period::ALWAYS,
    };
    calendar::period(per, catalog.week_starts, &catalog.time_zone, at)
}

/// What every volume has left, parallel to the catalog's volumes; empty when there is none to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rooms(Vec<Room>);

/// A volume that has no room for a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Position in the catalog.
    pub volume: usize,
    /// How many count, with what the same call has chosen so far.
    pub count: u32,
    /// How many may count now.
    pub limit: u32,
    /// When it has room again if nothing else happens; `None` when that is never. See the module.
    pub eligible_again_at: Option<Timestamp>,
    /// When time alone may next change its count or limit.
    pub changes_at: Timestamp,
}

impl Rooms {
    /// Gathers the rooms of all volumes, in the catalog's order.
    #[must_use]
    pub const fn new(rooms: Vec<Room>) -> Self {
        Self(rooms)
    }

    /// Returns the rooms in the catalog's order.
    #[must_use]
    pub fn list(&self) -> &[Room] {
        &self.0
    }

    /// Takes over what was found since, but no more room than there was before: so choosing again comes to an end.
    pub fn lower(&mut self, found: Self) {
        for (room, found) in self.0.iter_mut().zip(found.0) {
            let left = room.left.min(found.left);
            *room = Room { left, ..found };
        }
    }

    /// Finds the volumes that have no room for the offer on the channel, in the catalog's order. `earlier` are the offers that the
    /// same call already chose, as (placement, offer position). No volume stops an exempt offer.
    pub fn used_up<'a>(
        &'a self,
        catalog: &'a Catalog,
        earlier: &'a [(Symbol, usize)],
        channel: Symbol,
        offer: usize,
    ) -> impl Iterator<Item = Used> + 'a {
        let rooms: &[Room] = if catalog.offers[offer].is_exempt() {
            &[]
        } else {
            self.0.as_slice()
        };
        let volumes = catalog.volumes.iter().zip(rooms).enumerate();
        volumes.filter_map(move |(at, (volume, room))| {
            if !volume.concerns(offer, channel) {
                return None;
            }
            let concerned = |&&(_, chosen): &&(Symbol, usize)| volume.concerns(chosen, channel);
            let chosen = u32::try_from(earlier.iter().filter(concerned).count()).unwrap_or(u32::MAX);
            if chosen < room.left {
                return None;
            }
            let chosen_until = room.now + super::policy::reservation(catalog, channel);
            let mut changes_at = room.changes_at(volume);
            if chosen > 0 && volume.counted != Counted::Decided {
                changes_at = changes_at.min(chosen_until);
            }
            Some(Used {
                volume: at,
                count: room.count.saturating_add(chosen),
                limit: room.allowed,
                eligible_again_at: room.again(catalog, volume, chosen, chosen_until),
                changes_at,
            })
        })
    }

    /// Returns until when time alone takes no room from the offer on the channel: an even pace begins anew with each window.
    #[must_use]
    pub fn stays_until(&self, catalog: &Catalog, channel: Symbol, offer: usize) -> Timestamp {
        if catalog.offers[offer].is_exempt() {
            return Timestamp::FAR_FUTURE;
        }
        let volumes = catalog.volumes.iter().zip(&self.0);
        let paced = volumes.filter(|(volume, _)| volume.is_paced && volume.concerns(offer, channel));
        paced
            .map(|(_, room)| room.window.end)
            .min()
            .unwrap_or(Timestamp::FAR_FUTURE)
    }
}
