//! Two customers to whom the same happens in another order.

use crate::domain::entry::ProfileChange;
use crate::domain::ids::CustomerId;
use crate::domain::profile::Profile;

use super::person::Happening;
use super::{Simulation, engine_side, same};

/// The most events that happen to twins: enough to push the oldest out of every list with a limit.
const EVENTS_MAX: usize = 90;

impl Simulation {
    /// Lets the same events happen to two customers, in another order and in other portions: they must be the same, but
    /// for what is kept in the order of arrival.
    pub(super) fn twins(&mut self) -> Result<(), String> {
        self.tell("the same happens to twins");
        let mut events = self.events(0, EVENTS_MAX);
        // A caller's clock that runs ahead moves all events of a portion.
        for event in &mut events {
            event.time = event.time.min(self.now);
        }
        // Of events with the same id the first to arrive counts: keep one of each.
        let mut seen = Vec::new();
        events.retain(|event| {
            let new = !seen.contains(&event.id_hash);
            seen.push(event.id_hash);
            new
        });
        let mut shuffled = events.clone();
        for at in (1..shuffled.len()).rev() {
            let other = self.draw.below(at + 1);
            shuffled.swap(at, other);
        }
        let one = self.raise("twin one", &events)?;
        let other = self.raise("twin other", &shuffled)?;
        self.summary.twins += 1;
        same("twins", &other, &one)
    }

    /// Begins a customer, lets the events happen in portions, and forgets the customer again.
    fn raise(&mut self, name: &str, events: &[Happening]) -> Result<Profile, String> {
        let id = CustomerId::anonymous(name).map_err(|error| error.to_string())?;
        let (engine, active) = self.witnesses.fresh();
        let written = engine.upsert_profile(&active, &id, &ProfileChange::default(), self.now);
        written.map_err(|rejection| rejection.to_string())?;
        let mut rest = events;
        while !rest.is_empty() {
            let (portion, later) = rest.split_at((1 + self.draw.below(9)).min(rest.len()));
            rest = later;
            let portion: Vec<_> = portion
                .iter()
                .map(|happening| engine_side::event(happening, &self.catalog))
                .collect::<Result<_, _>>()?;
            let receipt = engine.record_events(&active, &id, &portion, self.now);
            same(
                "new events of a twin",
                &receipt.map(|receipt| receipt.applied),
                &Ok(portion.len()),
            )?;
        }
        let mut profile = engine.profile(&id).ok_or("a twin is gone")?;
        engine.delete_profile(&id).map_err(|error| error.to_string())?;
        profile.events.clear();
        profile.older_event_ids.clear();
        // A session that was forgotten and came back begins anew.
        for session in &mut profile.sessions {
            (session.first, session.events) = (session.last, 0);
        }
        Ok(profile)
    }
}
