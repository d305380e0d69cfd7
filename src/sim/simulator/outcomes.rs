//! What becomes of offers: outcomes in time, late, repeated, and of what was never shown.

use crate::domain::contact::Counted;
use crate::domain::entry::{Cancellation, OutcomeReport};
use crate::domain::time::Millis;
use crate::engine::Rejection;

use super::blueprint::{OfferId, PLACEMENTS};
use super::person::Contact;
use super::{Simulation, engine_side, same};

/// What is told of a reported outcome.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    recorded: bool,
    late: bool,
    /// Whether it may be said to be late: in time by its own clock, but not by that of a call before, so that others may have been
    /// given the room.
    may_be_late: bool,
}

impl Simulation {
    /// Reports an outcome of some decision of the customer, or of one that never was.
    pub(super) fn report(&mut self, who: usize) -> Result<(), String> {
        let Some((decision, name)) = self.some_decision(who) else {
            return Ok(());
        };
        let outcome = Counted::ALL[1 + self.draw.skewed(6)];
        let at = self.now - Millis::MINUTE.times(self.some(40) - 5);
        self.tell(&format!(
            "{}: {outcome:?} of {name:?} in {decision}, at {at}",
            self.people[who].id
        ));
        let Some(offer) = self.catalog.symbols.find(name.name()) else {
            return Ok(());
        };
        let report = OutcomeReport {
            decision,
            offer,
            placement: None,
            outcome,
            at,
        };
        let key = self.people[who].id.key();
        let found = self.engine.record_outcome(&self.active, key, &report, self.now);
        let version = self.version(who);
        let wanted = self.expect_outcome(who, &report, name);
        match (found, wanted) {
            (
                Ok(receipt),
                Ok(Told {
                    recorded,
                    late,
                    may_be_late,
                }),
            ) => {
                let late = late || (may_be_late && receipt.late);
                self.summary.outcomes += u64::from(recorded);
                self.summary.late_outcomes += u64::from(late);
                same(
                    "recorded, late and version",
                    &(receipt.recorded, receipt.late, receipt.profile_version),
                    &(recorded, late, version),
                )
            }
            (Err(Rejection::UnknownDecision(_)), Err(true)) | (Err(Rejection::OfferNotInDecision(..)), Err(false)) => {
                self.summary.rejections += 1;
                Ok(())
            }
            (found, wanted) => Err(format!("outcome: expected {wanted:?}, found {found:?}")),
        }
    }

    /// Draws a decision of the customer with an offer of it, mostly.
    fn some_decision(&mut self, who: usize) -> Option<(u32, OfferId)> {
        let of_person: Vec<(u32, OfferId)> = self
            .decisions
            .iter()
            .rev()
            .filter(|(whose, ..)| *whose == who)
            .take(120)
            .map(|(_, number, offer)| (*number, *offer))
            .collect();
        if of_person.is_empty() {
            return None;
        }
        let (mut decision, mut name) = of_person[self.recent(of_person.len())];
        match self.draw.below(20) {
            0 => decision = decision.wrapping_add(1_000_000),
            1 => name = OfferId::FIRST,
            _ => {}
        }
        Some((decision, name)).filter(|(_, name)| self.catalog.symbols.find(name.name()).is_some())
    }

    /// Draws a position: mostly one of the first, which are the latest, sometimes any.
    fn recent(&mut self, count: usize) -> usize {
        let most = if self.draw.chance(0.7) { count.min(5) } else { count };
        self.draw.skewed(most)
    }

    /// Puts an outcome into the log: what is told of it, or else whether the decision itself is not known.
    fn expect_outcome(&mut self, who: usize, report: &OutcomeReport, name: OfferId) -> Result<Told, bool> {
        let of_decision = self.people[who]
            .contacts
            .iter_mut()
            .filter(|contact| contact.decision == report.decision);
        let mut of_decision = of_decision.peekable();
        of_decision.peek().ok_or(true)?;
        let mut found: Option<Told> = None;
        for contact in of_decision.filter(|contact| contact.offer == name) {
            let before = found.unwrap_or_default();
            let late = before.late || contact.is_void() || contact.reserved_until() <= self.now;
            self.summary.revived += u64::from(contact.is_void());
            let at = report.at.min(self.now).max(contact.decided_at());
            let slot = &mut contact.times[report.outcome.index()];
            let recorded = slot.is_none() || before.recorded;
            slot.get_or_insert(at);
            let is_gone = self.register.update(contact, self.now);
            let was_over = is_gone || contact.reserved_until() <= self.latest;
            found = Some(Told {
                recorded,
                late,
                may_be_late: before.may_be_late || was_over,
            });
        }
        let told = |found: Told| Told {
            late: found.late && found.recorded,
            may_be_late: found.may_be_late && found.recorded,
            ..found
        };
        found.map(told).ok_or(false)
    }

    /// Cancels some decision of the customer, or one that never was: all of it, an offer, a placement.
    pub(super) fn cancel(&mut self, who: usize) -> Result<(), String> {
        let Some((decision, name)) = self.some_decision(who) else {
            return Ok(());
        };
        let name = self.draw.chance(0.6).then_some(name);
        let placement = self.draw.chance(0.3).then(|| self.draw.below(PLACEMENTS.len()));
        self.tell(&format!(
            "{}: {name:?} of {decision} in {placement:?} is cancelled",
            self.people[who].id
        ));
        let placed = placement.map(|placement| engine_side::named(&self.catalog, PLACEMENTS[placement].id));
        let cancellation = Cancellation {
            decision,
            offer: name.and_then(|name| self.catalog.symbols.find(name.name())),
            placement: placed.transpose()?,
            at: self.now,
        };
        let key = self.people[who].id.key();
        let found = self.engine.cancel(&self.active, key, &cancellation);
        let found = found.map(|receipt| (receipt.cancelled, receipt.profile_version));
        let version = self.version(who);
        let is_known = self.people[who]
            .contacts
            .iter()
            .any(|contact| contact.decision == decision);
        let is_meant = |contact: &&mut Contact| {
            contact.decision == decision
                && name.is_none_or(|name| name == contact.offer)
                && placement.is_none_or(|placement| placement == contact.placement)
        };
        let meant = self.people[who].contacts.iter_mut().filter(is_meant);
        let (mut of_those, mut cancelled) = (0, 0);
        for contact in meant {
            of_those += 1;
            if contact.is_open() && !contact.cancelled {
                cancelled += 1;
                contact.cancelled = true;
                self.register.update(contact, self.now);
            }
        }
        self.summary.cancelled += cancelled as u64;
        match found {
            Err(Rejection::UnknownDecision(_)) if !is_known => self.summary.rejections += 1,
            Err(Rejection::OfferNotInDecision(..)) if is_known && of_those == 0 => self.summary.rejections += 1,
            Ok(found) if of_those > 0 => return same("cancelled and version", &found, &(cancelled, version)),
            found => return Err(format!("cancel: {is_known}, {of_those} meant, found {found:?}")),
        }
        Ok(())
    }
}
