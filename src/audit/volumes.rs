//! Volumes: limits over all customers together.

use super::calendar;
use super::history::{Contact, Customer, Header, Instant, Volume, What};
use super::recount::counted_since;
use super::{Recounted, Violation};

/// How many of the times before a violation are told.
const TIMES_TOLD: usize = 10;

/// Every contact that a volume concerns, kept until all are known.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    contacts: Vec<(Contact, usize, String)>,
    concerned: Vec<Concerned>,
}

#[derive(Debug)]
struct Concerned {
    /// Positions of the policy and of its volume.
    rule: (usize, usize),
    /// Position among the contacts.
    contact: usize,
    decided_at: Instant,
    /// Up to when it was surely reserved for decisions under the policy.
    reserved_until: Instant,
    is_judged: bool,
}

impl Volumes {
    /// Notes the contacts of a customer.
    pub(super) fn note(&mut self, header: &Header, customer: Customer, line: usize) {
        let name = customer.name();
        for contact in customer.contacts {
            let before = self.concerned.len();
            for (at, policy) in header.policies.iter().enumerate() {
                let is_judged = header.in_force(contact.decided_at) == Some(at) && policy.stops(&contact.offer);
                let reserved_until = header.surely_reserved_until(&contact, at);
                let volumes = policy.volumes.iter().enumerate();
                let concerning = volumes.filter(|(_, volume)| {
                    contact.in_volumes && policy.counts(&contact.offer) && volume.scope.holds(&contact)
                });
                self.concerned.extend(concerning.map(|(volume, _)| Concerned {
                    rule: (at, volume),
                    contact: self.contacts.len(),
                    decided_at: contact.decided_at,
                    reserved_until,
                    is_judged,
                }));
            }
            if self.concerned.len() > before {
                self.contacts.push((contact, line, name.clone()));
            }
        }
    }

    /// Recounts each volume at the instant of each decision that it concerns.
    pub(super) fn recount(mut self, header: &Header, recounted: &mut Recounted) -> Vec<Violation> {
        self.concerned
            .sort_by_key(|one| (one.rule, one.decided_at, one.contact));
        let mut violations = Vec::new();
        for of_rule in self.concerned.chunk_by(|one, other| one.rule == other.rule) {
            let (policy, volume) = of_rule[0].rule;
            let policy = &header.policies[policy];
            let volume = &policy.volumes[volume];
            let zone = policy.zone();
            let mut rest = of_rule;
            while let Some(first) = rest.first() {
                let window = match volume.per {
                    Some(unit) => calendar::stretch(first.decided_at, unit, policy.week_starts, &zone),
                    None => (Instant(i64::MIN), Instant(i64::MAX)),
                };
                let length = rest.iter().take_while(|one| one.decided_at < window.1).count();
                let (inside, after) = rest.split_at(length.max(1));
                let limit = (volume, window, header.under_way_ms);
                self.recount_window(limit, inside, recounted, &mut violations);
                rest = after;
            }
        }
        violations
    }

    fn recount_window(
        &self,
        (volume, window, under_way_ms): (&Volume, (Instant, Instant), i64),
        inside: &[Concerned],
        recounted: &mut Recounted,
        violations: &mut Vec<Violation>,
    ) {
        let contact = |one: &Concerned| &self.contacts[one.contact].0;
        let all_count = inside.iter().all(|one| always_counts(contact(one), volume.of));
        for (before, one) in inside.iter().enumerate().filter(|(_, one)| one.is_judged) {
            recounted.checks += 1;
            let now = one.decided_at;
            let in_window = |since: Instant| since >= window.0;
            let counts = |other: &&Concerned| {
                let at = (now, under_way_ms);
                counted_since(contact(other), other.reserved_until, volume.of, at, in_window).is_some()
            };
            let count = if all_count {
                before
            } else {
                inside[..before].iter().filter(counts).count()
            };
            let allowed = allowed(volume, window, now);
            if (count as u64) < allowed {
                continue;
            }
            let latest = inside[..before].iter().rev().filter(counts).take(TIMES_TOLD);
            let mut counted: Vec<Instant> = latest.map(|other| other.decided_at).collect();
            counted.reverse();
            let (contact, line, customer) = &self.contacts[one.contact];
            violations.push(Violation {
                line: *line,
                customer: customer.clone(),
                rule: volume.id.clone(),
                offer: contact.offer.clone(),
                allowed: format!("at most {allowed} by then, over all customers"),
                decided_at: now,
                counted,
                count: count + 1,
            });
        }
    }
}

/// Tells whether the contact counts from its decision to the end of time, so that nothing has to be looked up.
fn always_counts(contact: &Contact, of: What) -> bool {
    of == What::Decided && contact.cancelled_at.is_none()
}

fn allowed(volume: &Volume, (from, until): (Instant, Instant), now: Instant) -> u64 {
    if !volume.pace_even || volume.per.is_none() {
        return volume.at_most;
    }
    let share = |part: i64, whole: i64| i128::from(volume.at_most) * i128::from(part) / i128::from(whole.max(1));
    let by_now = share(now.0 - from.0, until.0 - from.0) + 1;
    u64::try_from(by_now).unwrap_or(u64::MAX).min(volume.at_most)
}
