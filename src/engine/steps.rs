//! The steps of one decision that are neither ranking nor filling.

use crate::catalog::{Catalog, UnknownCustomer};
use crate::decision::fill::{self, Outcome};
use crate::decision::{facts::Layout, fold, gate, hold_out};
use crate::domain::decision::{Decision, Filled, Ranking, Rung, Withheld};
use crate::domain::entry::{Entry, Reservation};
use crate::domain::event::Event;
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::{Millis, Timestamp};
use crate::store::record::Draft;

use super::{Active, Rejection};

/// Folds the events of one call and returns how many were new. When the caller's clock runs ahead of `now` (the door
/// refuses more than [`CLOCK_SKEW_MAX`](super::CLOCK_SKEW_MAX)), all of them are moved back by as much, which keeps their order.
/// What was new is noted in the draft.
pub(super) fn apply_events(
    profile: &mut Profile,
    events: &[Event],
    catalog: &Catalog,
    now: Timestamp,
    draft: &mut Draft,
) -> usize {
    let ahead = events
        .iter()
        .map(|event| event.time - now)
        .max()
        .unwrap_or_default()
        .max(Millis::default());
    let new = |event: &&Event| {
        let entry = Entry::Event(Event {
            time: event.time - ahead,
            ..(*event).clone()
        });
        let is_new = fold::apply(profile, &entry, catalog);
        if is_new {
            draft.entry(&entry);
        }
        is_new
    };
    events.iter().filter(new).count()
}

/// Returns a customer and the visitors that are joined, each with the own profile.
pub(super) fn everybody(key: CustomerKey, profile: &Profile) -> Vec<(CustomerKey, &Profile)> {
    let visitors = profile
        .joined
        .iter()
        .map(|joined| (joined.visitor.key(), &joined.profile));
    std::iter::once((key, profile)).chain(visitors).collect()
}

/// Makes the reservation of what is shown, under the number that `number` gives; `None` when nothing is.
pub(super) fn reservation(
    catalog: &Catalog,
    request: &OffersRequest,
    once: Option<RequestKey>,
    number: impl FnOnce() -> u32,
    placements: &[Filled],
    now: Timestamp,
) -> Option<Reservation> {
    let shown = placements
        .iter()
        .flat_map(|filled| filled.offers.iter().map(|shown| (filled.placement, shown.offer)));
    let symbols =
        |(placement, offer): (usize, usize)| (catalog.placements[placement].symbol, catalog.offers[offer].symbol);
    let contacts: Vec<_> = shown.map(symbols).collect();
    if contacts.is_empty() {
        return None;
    }
    Some(Reservation {
        decision: number(),
        channel: catalog.channels[request.channel].symbol,
        campaign: request.campaign.map(|campaign| catalog.campaigns[campaign].symbol),
        at: now,
        contacts,
        in_volumes: true,
        request: once,
    })
}

/// The lowest rung among the offers shown whose group has a model; without any of those, the start propensity that the
/// others have, and the model when nothing is shown.
pub(super) fn lowest_rung(catalog: &Catalog, placements: &[Filled]) -> Rung {
    let shown = placements.iter().flat_map(|filled| &filled.offers);
    let is_scored = |offer: usize| catalog.groups[catalog.offers[offer].group].model.is_some();
    let scored = shown
        .clone()
        .filter(|shown| is_scored(shown.offer))
        .map(|shown| shown.rung)
        .max();
    scored.or(shown.map(|shown| shown.rung).max()).unwrap_or(Rung::Model)
}

/// Tells whether the catalog records nothing of this customer when unknown.
pub(super) fn records_known_only(catalog: &Catalog, customer: &CustomerId) -> bool {
    !customer.is_anonymous() && catalog.unknown_customer == UnknownCustomer::FallbackOnly
}

/// The answer when one rule withholds everything.
pub(super) fn unanswered(
    catalog: &Catalog,
    request: &OffersRequest,
    rule: &'static str,
    hold_outs: Vec<usize>,
    now: Timestamp,
) -> Decision {
    let Outcome {
        placements,
        valid_until,
        ran_out: _,
    } = fill::suppressed(request, rule, now);
    Decision {
        id: None,
        profile_version: 0,
        known_customer: false,
        decided_at: now,
        valid_until,
        rung: Rung::Model,
        cached: false,
        placements,
        withheld: if request.explain {
            fill::withhold_all(catalog, rule)
        } else {
            Vec::new()
        },
        hold_outs,
    }
}

/// Adds why each offer that is not in the ranking is not, and returns until when those reasons stay.
pub(super) fn add_gate_reasons(
    catalog: &Catalog,
    layout: &Layout,
    request: &OffersRequest,
    ranking: &Ranking,
    now: Timestamp,
    withheld: &mut Vec<Withheld>,
) -> Timestamp {
    let mut valid_until = Timestamp::FAR_FUTURE;
    let mut passed = vec![false; catalog.offers.len()];
    for ranked in &ranking.offers {
        passed[usize::from(ranked.offer)] = true;
    }
    for offer in (0..catalog.offers.len()).filter(|&offer| !passed[offer]) {
        let until = gate::explain(catalog, layout, &request.context, now, offer, withheld);
        valid_until = valid_until.min(until);
    }
    valid_until
}

/// Answers when there is no room for somebody new: nothing can be reserved, but no event may be lost silently.
pub(super) fn no_room(
    active: &Active,
    request: &OffersRequest,
    customer: &CustomerId,
    rejection: Rejection,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    match rejection {
        Rejection::TooManyCustomers(_) if request.events.is_empty() => {
            let hold_outs = hold_out::of(&active.catalog, Some(customer.key()));
            Ok(unanswered(&active.catalog, request, fill::NO_ROOM, hold_outs, now))
        }
        other => Err(other),
    }
}
