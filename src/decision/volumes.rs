//! Volumes, limits over all customers, as one decision sees them: how much room each has, and which offer has none.
//!
//! What others take meanwhile is not seen here. So the engine takes what was chosen from every volume at once afterwards,
//! and where one has less room by then, it chooses again with the room that there is.

use crate::catalog::{Catalog, Volume};
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};

/// What one volume has left at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many more offers may be decided now.
    pub left: u32,
    /// How many count now.
    pub count: u32,
    /// How many may count now: the volume's limit, or the share of it that even pacing has set free.
    pub allowed: u32,
    /// The first instant of the window of now.
    pub start: Timestamp,
    /// The first instant after it; the far future when it has no end.
    pub end: Timestamp,
    /// No reservation that counts is over before; the far future when none counts.
    pub next_release: Timestamp,
}

impl Room {
    /// Measures the room of a volume when so many count. The window is that of `now`.
    #[must_use]
    pub fn new(volume: &Volume, (start, end): (Timestamp, Timestamp), count: u64, now: Timestamp) -> Self {
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let allowed = match volume.at_most {
            Some(limit) if volume.is_paced => paced(limit, (start, end), now),
            Some(limit) => limit,
            None => u32::MAX,
        };
        Self {
            left: match volume.at_most {
                Some(_) => narrow(u64::from(allowed).saturating_sub(count)),
                None => u32::MAX,
            },
            count: narrow(count),
            allowed,
            start,
            end,
            next_release: Timestamp::FAR_FUTURE,
        }
    }

    /// Returns when the window or the pace lets one more count, after `count`; `None` when that is never.
    fn again(&self, volume: &Volume, count: u32) -> Option<Timestamp> {
        let limit = volume.at_most.filter(|&limit| limit > 0)?;
        if self.end == Timestamp::FAR_FUTURE {
            return None;
        }
        if volume.is_paced && count < limit {
            return Some(self.free_at(count, limit));
        }
        Some(self.end)
    }

    /// Returns when an even pace sets one more free, after `count`.
    fn free_at(&self, count: u32, limit: u32) -> Timestamp {
        let length = i128::from((self.end - self.start).get());
        let wait = (i128::from(count) * length + i128::from(limit) - 1) / i128::from(limit);
        self.start + Millis::new(i64::try_from(wait).unwrap_or(i64::MAX))
    }

    /// Returns when the pace next raises what is allowed, or the window ends.
    fn next_step(&self, volume: &Volume) -> Timestamp {
        match volume.at_most {
            Some(limit) if volume.is_paced && self.allowed < limit => self.free_at(self.allowed, limit),
            _ => self.end,
        }
    }
}

/// Returns how many of `limit` the pace has set free: `limit × elapsed / length`, rounded down, plus 1, at most `limit`.
fn paced(limit: u32, (start, end): (Timestamp, Timestamp), now: Timestamp) -> u32 {
    let (elapsed, length) = (i128::from((now - start).get()), i128::from((end - start).get()));
    let free = i128::from(limit) * elapsed / length.max(1) + 1;
    u32::try_from(free).unwrap_or(u32::MAX).min(limit)
}

/// What every volume has left, parallel to the catalog's volumes; empty when there is none to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// When it has room again by its window and pace; `None` when that is never. A reservation that is released may make room
    /// earlier.
    pub eligible_again_at: Option<Timestamp>,
    /// When time alone may next make room.
    pub changes_at: Timestamp,
    /// When time alone may next change its count or limit.
    pub numbers_change_at: Timestamp,
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
    pub fn lower(&mut self, found: &Self) {
        for (room, found) in self.0.iter_mut().zip(&found.0) {
            let left = room.left.min(found.left);
            *room = Room { left, ..*found };
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
            if !volume.concerns(Some(offer), channel) {
                return None;
            }
            let concerned = |&&(_, chosen): &&(Symbol, usize)| volume.concerns(Some(chosen), channel);
            let chosen = u32::try_from(earlier.iter().filter(concerned).count()).unwrap_or(u32::MAX);
            if chosen < room.left {
                return None;
            }
            let count = room.count.saturating_add(chosen);
            let again = room.again(volume, count);
            Some(Used {
                volume: at,
                count,
                limit: room.allowed,
                eligible_again_at: again,
                changes_at: again.map_or(room.next_release, |again| again.min(room.next_release)),
                numbers_change_at: room.next_step(volume).min(room.next_release),
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
        let paced = volumes.filter(|(volume, _)| volume.is_paced && volume.concerns(Some(offer), channel));
        paced.map(|(_, room)| room.end).min().unwrap_or(Timestamp::FAR_FUTURE)
    }
}
