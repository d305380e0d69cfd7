//! Reports of what became of decided offers, and cancellations.

use super::fault::{Faults, Path};
use super::{length, position, time, unknown};
use crate::catalog::Catalog;
use crate::domain::contact::Counted;
use crate::domain::entry::{Cancellation, OutcomeReport};
use crate::domain::ids::{CustomerKey, DecisionId};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::server::limits::OUTCOMES_PER_CALL_MAX;
use crate::server::wire::{self, Outcome};

/// Converts one report, and finds whose it is.
///
/// # Errors
/// Everything that is wrong with it.
pub fn report(
    given: &wire::RecordOutcomeRequest,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<(CustomerKey, OutcomeReport), Faults> {
    let mut faults = Faults::default();
    let decision = decision(&given.decision_id, &mut faults);
    let offer = offer(&given.offer_id, catalog, &mut faults);
    let placement = placement(&given.placement, catalog, &mut faults);
    let outcome = outcome(given.outcome, &mut faults);
    let at = time(given.time.as_ref(), now, Path::Root.field("time"), &mut faults);
    let converted = (|| {
        let decision = decision?;
        let report = OutcomeReport {
            decision: decision.number,
            offer: offer?,
            placement: placement.ok()?,
            outcome: outcome?,
            at: at?,
        };
        Some((decision.customer, report))
    })();
    faults.into_result(converted)
}

/// Converts a cancellation, and finds whose it is.
///
/// # Errors
/// Everything that is wrong with it.
pub fn cancellation(
    given: &wire::CancelRequest,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<(CustomerKey, Cancellation), Faults> {
    let mut faults = Faults::default();
    let decision = decision(&given.decision_id, &mut faults);
    let offer = match given.offer_id.as_str() {
        "" => Some(None),
        name => offer(name, catalog, &mut faults).map(Some),
    };
    let placement = placement(&given.placement, catalog, &mut faults);
    let converted = (|| {
        let decision = decision?;
        let cancellation = Cancellation {
            decision: decision.number,
            offer: offer?,
            placement: placement.ok()?,
            at: now,
        };
        Some((decision.customer, cancellation))
    })();
    faults.into_result(converted)
}

/// Converts the id of a past decision.
///
/// # Errors
/// When it is none.
pub fn past(id: &str) -> Result<DecisionId, Faults> {
    let mut faults = Faults::default();
    let decision = decision(id, &mut faults);
    match decision {
        Some(decision) if faults.listed().is_empty() => Ok(decision),
        _ => Err(faults),
    }
}

fn decision(id: &str, faults: &mut Faults) -> Option<DecisionId> {
    let path = Path::Root.field("decision_id");
    if id.is_empty() {
        faults.add(path, "is empty; send back the `decision_id` of an answer");
        return None;
    }
    faults.note(path, id.parse::<DecisionId>())
}

/// Finds an offer. A report may come when its offer has left the catalog: the name is still in the table of symbols.
fn offer(name: &str, catalog: &Catalog, faults: &mut Faults) -> Option<Symbol> {
    let found = catalog.symbols.find(name);
    if found.is_none() {
        let names = catalog.offers.iter().map(|offer| &*offer.id);
        faults.add(Path::Root.field("offer_id"), unknown(name, names, "offer"));
    }
    found
}

/// Finds a placement; the empty name means all of them, which is `None`.
fn placement(name: &str, catalog: &Catalog, faults: &mut Faults) -> Result<Option<Symbol>, ()> {
    if name.is_empty() {
        return Ok(None);
    }
    let names = catalog.placements.iter().map(|placement| &*placement.id);
    let found = position(name, names, "placement", Path::Root.field("placement"), faults);
    found.map(|at| Some(catalog.placements[at].symbol)).ok_or(())
}

/// Says that a decision did not show the offer of a report or cancellation, or not in its placement, and what it showed
/// instead: `shown` has the placement and the offer of each contact.
#[must_use]
pub fn not_shown(offer_id: &str, placement: &str, shown: &[(Symbol, Symbol)], catalog: &Catalog) -> Faults {
    let mut faults = Faults::default();
    let name = |symbol: Symbol| catalog.symbols.name(symbol);
    let of_offer = shown.iter().filter(|(_, offer)| name(*offer) == offer_id);
    let placements: Vec<&str> = of_offer.map(|(placement, _)| name(*placement)).collect();
    if !placements.is_empty() {
        let did = placements.join(", ");
        let told = format_args!("`{placement}` did not show `{offer_id}` in this decision; {did} did");
        faults.add(Path::Root.field("placement"), told);
    } else if offer_id.is_empty() {
        let placements: Vec<&str> = shown.iter().map(|(placement, _)| name(*placement)).collect();
        let did = placements.join(", ");
        let told = format_args!("`{placement}` showed nothing in this decision; {did} did");
        faults.add(Path::Root.field("placement"), told);
    } else {
        let offers: Vec<&str> = shown.iter().map(|(_, offer)| name(*offer)).collect();
        let showed = offers.join(", ");
        let told = format_args!("`{offer_id}` was not shown by this decision; it showed {showed}");
        faults.add(Path::Root.field("offer_id"), told);
    }
    faults
}

/// Checks the size of a batch.
///
/// # Errors
/// When it is empty or too long.
pub fn batch(given: &wire::RecordOutcomesRequest) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let path = Path::Root.field("outcomes");
    let checked = length(
        given.outcomes.len(),
        OUTCOMES_PER_CALL_MAX,
        "outcomes",
        path,
        &mut faults,
    );
    faults.into_result(checked)
}

fn outcome(given: i32, faults: &mut Faults) -> Option<Counted> {
    let counted = match Outcome::try_from(given) {
        Ok(Outcome::Delivered) => Counted::Delivered,
        Ok(Outcome::Seen) => Counted::Seen,
        Ok(Outcome::Clicked) => Counted::Clicked,
        Ok(Outcome::Accepted) => Counted::Accepted,
        Ok(Outcome::Refused) => Counted::Refused,
        Ok(Outcome::Converted) => Counted::Converted,
        Ok(Outcome::Unspecified) | Err(_) => {
            let allowed = "OUTCOME_DELIVERED, _SEEN, _CLICKED, _ACCEPTED, _REFUSED or _CONVERTED (1 to 6)";
            let given = if given == 0 {
                "is not set".to_owned()
            } else {
                format!("{given} is not known")
            };
            faults.add(Path::Root.field("outcome"), format_args!("{given}; give {allowed}"));
            return None;
        }
    };
    Some(counted)
}
