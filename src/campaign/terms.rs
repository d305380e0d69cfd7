//! Within what a run gives: its own limits, and the catalog's volumes that it could use up.
//!
//! A volume is exact whoever asks. But were it left to the calls for each customer, what is left of it would go to those who are
//! asked first. So where a run could use up what is left, or should reach the volume's `at_least`, the volume is a limit of the
//! plan as well, and what is left goes to those for whom it is worth most.

use std::sync::Arc;

use super::Asked;
use crate::decision::assign::{Limit, Limits, Room};
use crate::decision::volumes;
use crate::domain::time::Timestamp;
use crate::engine::Engine;

/// What is asked for every customer, and within what.
pub(super) struct Terms {
    pub(super) asked: Asked,
    /// The run's own limits, and then the volumes.
    pub(super) limits: Limits,
    /// Positions of the volumes in the catalog.
    volumes: Vec<usize>,
}

/// What is left of everything that limits a block, and how much of it was used before.
pub(super) struct Left {
    pub(super) room: Vec<Room>,
    /// Parallel to the limits.
    pub(super) used: Vec<u64>,
}

impl Terms {
    /// Finds which volumes matter to a run that gives `most` offers at most.
    pub(super) fn new(asked: Asked, engine: &Engine, most: u64, now: Timestamp) -> Self {
        let catalog = asked.catalog();
        let channel = catalog.channels[asked.request.channel].symbol;
        let rooms = engine.volume_rooms(&asked.active, now);
        let (mut limits, mut volumes) = (asked.limits.all().to_vec(), Vec::new());
        for (at, (volume, room)) in catalog.volumes.iter().zip(rooms.list()).enumerate() {
            let is_short = volume.at_most.is_some() && u64::from(room.left) < most;
            if !volume.contacts.channels.takes(channel) || !(is_short || lacking(volume.at_least, room) > 0) {
                continue;
            }
            // No volume stops what is exempt.
            let offers = catalog.offers.iter().zip(&volume.contacts.offers);
            limits.push(Limit {
                offers: offers.map(|(offer, counts)| *counts && !offer.is_exempt()).collect(),
                at_most: volume.at_most.map(u64::from),
                at_least: volume.at_least.map_or(0, u64::from),
            });
            volumes.push(at);
        }
        Self {
            limits: Limits::new(limits, catalog.offers.len()),
            volumes,
            asked,
        }
    }

    /// Returns how many of the limits are the run's own; the others are volumes.
    pub(super) fn own(&self) -> usize {
        self.asked.limits.all().len()
    }

    /// Returns the id of the volume that a limit is, if it is one.
    pub(super) fn volume(&self, limit: usize) -> Option<&Arc<str>> {
        let at = self.volumes.get(limit.checked_sub(self.own())?)?;
        Some(&self.asked.catalog().volumes[*at].id)
    }

    /// Returns why an offer goes to others, by the limit that is short.
    pub(super) fn because(&self, limit: usize) -> Arc<str> {
        match self.volume(limit) {
            Some(volume) => format!("what is left of the volume `{volume}`: others get it").into(),
            None => Arc::clone(&self.asked.limit_names[limit]),
        }
    }

    /// Returns what a block of this share (0 to 1) of the customers who are left may be given: `used` of the run's own limits
    /// were given before, and `previewed` gives how many of a volume this run has only looked at.
    pub(super) fn left(
        &self,
        engine: &Engine,
        used: &[u64],
        previewed: impl Fn(&str) -> u64,
        share: f64,
        now: Timestamp,
    ) -> Left {
        let catalog = self.asked.catalog();
        let mut used = used.to_vec();
        let rooms = engine.volume_rooms(&self.asked.active, now);
        let mut most = Vec::new();
        for &at in &self.volumes {
            let (volume, room) = (&catalog.volumes[at], &rooms.list()[at]);
            let previewed = previewed(&volume.id);
            used.push(u64::from(room.count) + previewed);
            most.push(volume.at_most.map(|_| u64::from(room.left).saturating_sub(previewed)));
        }
        let mut room = self.limits.room(&used, share);
        // With a pace, less is left than the limit says.
        for (room, most) in room[self.own()..].iter_mut().zip(most) {
            if let Some(most) = most {
                room.at_most = room.at_most.min(Limits::share(most, share));
                room.at_least = room.at_least.min(room.at_most);
            }
        }
        Left { room, used }
    }
}

fn lacking(at_least: Option<u32>, room: &volumes::Room) -> u32 {
    at_least.unwrap_or_default().saturating_sub(room.count)
}
