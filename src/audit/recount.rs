//! Caps and cool-downs, customer by customer: every contact against all that were decided before it.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::calendar;
use super::history::{Cap, Contact, Customer, Header, Instant, Part, Policy, What, Window, zone};
use super::rests;
use super::{Recounted, Violation};

/// Returns what one customer's contacts broke, in their order.
pub(super) fn customer(header: &Header, customer: &Customer, line: usize, recounted: &mut Recounted) -> Vec<Violation> {
    let own_zone = customer.zone.as_deref().and_then(|name| zone(name).ok());
    let mut violations = Vec::new();
    for (at, contact) in customer.contacts.iter().enumerate() {
        recounted.contacts += 1;
        let Some(policy) = header.in_force(contact.decided_at).map(|at| &header.policies[at]) else {
            recounted.without_policy += 1;
            continue;
        };
        if !policy.stops(&contact.offer) {
            continue;
        }
        let zone = match &contact.joined {
            Some(joined) => zone(&joined.zone).ok(),
            None => own_zone.clone(),
        };
        let zone = zone.unwrap_or_else(|| policy.zone());
        let earlier = &customer.contacts[..at];
        let earlier = if earlier.iter().all(|other| contact.could_know(other)) {
            Cow::Borrowed(earlier)
        } else {
            let known = earlier.iter().filter(|other| contact.could_know(other));
            Cow::Owned(known.cloned().collect())
        };
        let violation = |rule: &str, allowed: String, counted: Vec<Instant>, count: usize| Violation {
            line,
            customer: customer.name(),
            rule: rule.to_owned(),
            offer: contact.offer.clone(),
            allowed,
            decided_at: contact.decided_at,
            counted,
            count,
        };
        for cap in policy.caps.iter().filter(|cap| cap.scope.holds(contact)) {
            recounted.checks += 1;
            let counted = counting(policy, cap, contact, &earlier, (&zone, header.under_way_ms));
            if counted.len() >= cap.at_most {
                let count = counted.len() + 1;
                violations.push(violation(&cap.id, cap.allowed(&zone), counted, count));
            }
        }
        for cool_down in &policy.cool_downs {
            recounted.checks += 1;
            if let Some((until, times)) = rests::resting(policy, cool_down, contact, &earlier, header.under_way_ms) {
                let allowed = until.map_or_else(
                    || "it rests for good".to_owned(),
                    |until| format!("it rests until {until}"),
                );
                let count = times.len() + 1;
                violations.push(violation(&cool_down.id, allowed, times, count));
            }
        }
    }
    violations
}

impl Cap {
    fn allowed(&self, zone: &TimeZone) -> String {
        let window = match self.window {
            Window::RollingMs(span) => format!("within {}", jiff::SignedDuration::from_millis(span)),
            Window::Calendar(unit) => {
                let unit = format!("{unit:?}").to_lowercase();
                format!("per {unit} in {}", zone.iana_name().unwrap_or("UTC"))
            }
            Window::Ever => "ever".to_owned(),
        };
        format!(
            "at most {} {} {window}",
            self.at_most,
            format!("{:?}", self.of).to_lowercase()
        )
    }
}

/// Returns when each of the earlier contacts counted that counts against the cap at the moment of this one.
fn counting(
    policy: &Policy,
    cap: &Cap,
    contact: &Contact,
    earlier: &[Contact],
    (zone, under_way_ms): (&TimeZone, i64),
) -> Vec<Instant> {
    let concerned = earlier.iter().filter(|other| {
        policy.counts(&other.offer)
            && cap.scope.holds(other)
            && cap.each.iter().all(|part| same(policy, *part, contact, other))
    });
    let now = contact.decided_at;
    let mut times: Vec<Instant> = concerned
        .filter_map(|other| {
            let reserved_until = policy.reserved_until(other);
            counted_since(other, reserved_until, cap.of, (now, under_way_ms), |since| {
                in_window(policy, cap.window, since, now, zone)
            })
        })
        .collect();
    times.sort_unstable();
    times
}

fn same(policy: &Policy, part: Part, one: &Contact, other: &Contact) -> bool {
    match part {
        Part::Offer => one.offer == other.offer,
        Part::Group => policy.group(&one.offer).is_some() && policy.group(&one.offer) == policy.group(&other.offer),
        Part::Channel => one.channel == other.channel,
        Part::Placement => one.placement == other.placement,
        Part::Campaign => one.campaign == other.campaign,
    }
}

fn in_window(policy: &Policy, window: Window, since: Instant, now: Instant, zone: &TimeZone) -> bool {
    match window {
        Window::RollingMs(span) => now.0 - since.0 < span,
        Window::Calendar(unit) => since >= calendar::stretch(now, unit, policy.week_starts, zone).0,
        Window::Ever => true,
    }
}

/// Returns since when the contact surely counts at `now`, when it is reserved up to an instant; `None` when it does not count, or may
/// not.
pub(super) fn counted_since(
    contact: &Contact,
    reserved_until: Instant,
    of: What,
    (now, under_way_ms): (Instant, i64),
    in_window: impl Fn(Instant) -> bool,
) -> Option<Instant> {
    if contact.is_cancelled(now, under_way_ms) {
        return None;
    }
    let since = match of {
        What::Decided => contact.decided_at,
        What::Delivered | What::Seen if now < reserved_until => {
            // It may have been reported or not; it counts for sure when it does in both cases.
            match contact.reported(of).filter(|&at| at <= now) {
                Some(at) => at,
                None => return Some(contact.decided_at),
            }
        }
        _ => contact.known(of, now, under_way_ms)?,
    };
    in_window(since).then_some(since)
}
