//! Volumes, limits over all customers, as one decision sees them: how much room each has, and which offer has none.
//!
//! What others take meanwhile is not seen here. So the engine takes what was chosen from every volume at once afterwards,
//! and where one has less room by then, it chooses again with the room that there is.

use crate::catalog::Catalog;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;

/// What one volume has left at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many more offers may be decided now.
    pub left: u32,
    /// How many count now.
    pub count: u32,
    /// How many may count now: the volume's limit, or the share of it that even pacing has set free.
    pub limit: u32,
    /// When the window or the pace makes room for one more; `None` when it never does. A reservation that is released may
    /// make room earlier.
    pub eligible_again_at: Option<Timestamp>,
    /// When time alone may next change any of this.
    pub changes_at: Timestamp,
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
    /// When it has room again by its window and pace; `None` when that is never.
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
            (chosen >= room.left).then_some(Used {
                volume: at,
                count: room.count.saturating_add(chosen),
                limit: room.limit,
                eligible_again_at: room.eligible_again_at,
                changes_at: room.changes_at,
            })
        })
    }
}
