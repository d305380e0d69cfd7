//! What becomes of offers: outcomes in time, late, repeated, and of what was never shown.

use crate::domain::contact::Counted;
use crate::domain::entry::OutcomeReport;
use crate::domain::time::Millis;
use crate::engine::Rejection;

use super::{Simulation, same};

impl Simulation {
    /// Reports an outcome of some decision of the customer, or of one that never was.
    pub(super) fn report(&mut self, who: usize) -> Result<(), String> {
        let of_person: Vec<(u32, String)> = self
            .decisions
            .iter()
            .rev()
            .filter(|(whose, ..)| *whose == who)
            .take(120)
            .map(|(_, number, offer)| (*number, offer.clone()))
            .collect();
        if of_person.is_empty() {
            return Ok(());
        }
        let (mut decision, mut name) = of_person[self.recent(of_person.len())].clone();
        match self.draw.below(20) {
            0 => decision = decision.wrapping_add(1_000_000),
            1 => "o00".clone_into(&mut name),
            _ => {}
        }
        let outcome = Counted::ALL[1 + self.draw.skewed(6)];
        let at = self.now - Millis::MINUTE.times(self.some(40) - 5);
        self.tell(&format!(
            "{}: {outcome:?} of {name} in {decision}, at {at}",
            self.people[who].id
        ));
        let Some(offer) = self.catalog.symbols.find(&name) else {
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
        let wanted = self.expect_outcome(who, &report, &name);
        match (found, wanted) {
            (Ok(receipt), Ok((recorded, late))) => {
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

    /// Draws a position: mostly one of the first, which are the latest, sometimes any.
    fn recent(&mut self, count: usize) -> usize {
        let most = if self.draw.chance(0.7) { count.min(5) } else { count };
        self.draw.skewed(most)
    }

    /// Puts an outcome into the log: whether it is new and whether late, or else whether the decision itself is not known.
    fn expect_outcome(&mut self, who: usize, report: &OutcomeReport, name: &str) -> Result<(bool, bool), bool> {
        let of_decision = self.people[who]
            .contacts
            .iter_mut()
            .filter(|contact| contact.decision == report.decision);
        let mut of_decision = of_decision.peekable();
        of_decision.peek().ok_or(true)?;
        let mut found: Option<(bool, bool)> = None;
        for contact in of_decision.filter(|contact| contact.offer == name) {
            let late = contact.reserved_until() <= self.now;
            let at = report.at.min(self.now).max(contact.decided_at());
            let slot = &mut contact.times[report.outcome.index()];
            let recorded = slot.is_none() || found.is_some_and(|(recorded, _)| recorded);
            slot.get_or_insert(at);
            found = Some((recorded, late && recorded));
        }
        found.ok_or(false)
    }
}
