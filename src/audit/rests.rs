//! Cool-downs: whether something that happened before makes an offer rest.

use std::collections::BTreeSet;

use super::history::{After, Contact, CoolDown, Instant, Policy, Rests, What};

/// Returns until when the contact's offer rests at the moment of its decision (`None` inside is for good), and what
/// happened; `None` when it does not rest.
pub(super) fn resting(
    policy: &Policy,
    cool_down: &CoolDown,
    contact: &Contact,
    earlier: &[Contact],
    under_way_ms: i64,
) -> Option<(Option<Instant>, Vec<Instant>)> {
    let now = contact.decided_at;
    let triggers: Vec<&Contact> = earlier
        .iter()
        .filter(|other| {
            policy.counts(&other.offer) && cool_down.scope.holds(other) && !other.is_cancelled(now, under_way_ms)
        })
        .collect();
    let sources: BTreeSet<&str> = triggers.iter().map(|other| other.offer.as_str()).collect();
    sources
        .into_iter()
        .filter(|source| spreads(policy, cool_down, source, &contact.offer))
        .find_map(|source| {
            let of_source = triggers.iter().filter(|other| other.offer == source);
            let mut times: Vec<Instant> = of_source
                .filter_map(|other| happened(other, cool_down.after, now, under_way_ms))
                .collect();
            times.sort_unstable();
            fired(cool_down, &times, now)
        })
}

fn spreads(policy: &Policy, cool_down: &CoolDown, source: &str, offer: &str) -> bool {
    let rests = match cool_down.on {
        Rests::Offer => source == offer,
        Rests::Group => {
            source == offer || (policy.group(source).is_some() && policy.group(source) == policy.group(offer))
        }
        Rests::Everything => true,
    };
    rests || cool_down.also.iter().any(|also| also == offer)
}

/// Returns when the contact surely was what starts the cool-down.
fn happened(contact: &Contact, after: After, now: Instant, under_way_ms: i64) -> Option<Instant> {
    match after {
        After::Refused => contact.known(What::Refused, now, under_way_ms),
        After::Accepted => contact.known(What::Accepted, now, under_way_ms),
        After::Converted => contact.known(What::Converted, now, under_way_ms),
        After::Clicked => contact.known(What::Clicked, now, under_way_ms),
        After::Attempted => Some(contact.decided_at),
        After::Ignored => {
            let was_taken_up = [What::Clicked, What::Accepted, What::Converted]
                .into_iter()
                .any(|what| contact.outcomes.contains_key(&what));
            (!was_taken_up)
                .then(|| contact.known(What::Delivered, now, under_way_ms))
                .flatten()
        }
    }
}

/// Finds as many times as it takes, close enough together, whose rest is not over.
fn fired(cool_down: &CoolDown, times: &[Instant], now: Instant) -> Option<(Option<Instant>, Vec<Instant>)> {
    times.windows(cool_down.times.max(1)).rev().find_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        let close = cool_down.within_ms.is_none_or(|within| last.0 - first.0 < within);
        let until = cool_down.rest_ms.map(|rest| Instant(last.0.saturating_add(rest)));
        (close && until.is_none_or(|until| now < until)).then(|| (until, run.to_vec()))
    })
}
