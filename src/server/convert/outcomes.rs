//! Reports of what became of decided offers.

use super::fault::{Faults, Path};
use super::{length, position, time, unknown};
use crate::catalog::Catalog;
use crate::domain::contact::Counted;
use crate::domain::entry::OutcomeReport;
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
    let path = Path::Root.field("decision_id");
    let decision = if given.decision_id.is_empty() {
        faults.add(path, "is empty; send back the `decision_id` of an answer");
        None
    } else {
        faults.note(path, given.decision_id.parse::<DecisionId>())
    };
    // A report may come when its offer has left the catalog: the name is still in the table of symbols.
    let offer = catalog.symbols.find(&given.offer_id);
    if offer.is_none() {
        let names = catalog.offers.iter().map(|offer| &*offer.id);
        faults.add(Path::Root.field("offer_id"), unknown(&given.offer_id, names, "offer"));
    }
    let placement = match given.placement.as_str() {
        "" => Some(None),
        name => {
            let names = catalog.placements.iter().map(|placement| &*placement.id);
            position(name, names, "placement", Path::Root.field("placement"), &mut faults)
                .map(|at| Some(catalog.placements[at].symbol))
        }
    };
    let outcome = outcome(given.outcome, &mut faults);
    let at = time(given.time.as_ref(), now, Path::Root.field("time"), &mut faults);
    let converted = (|| {
        let decision = decision?;
        let report = OutcomeReport {
            decision: decision.number,
            offer: offer?,
            placement: placement?,
            outcome: outcome?,
            at: at?,
        };
        Some((decision.customer, report))
    })();
    faults.into_result(converted)
}

/// Says that a decision did not show the offer of a report, or not in its placement, and what it showed instead: `shown`
/// has the placement and the offer of each contact.
#[must_use]
pub fn not_shown(
    given: &wire::RecordOutcomeRequest,
    report: &OutcomeReport,
    shown: &[(Symbol, Symbol)],
    catalog: &Catalog,
) -> Faults {
    let mut faults = Faults::default();
    let symbols = &catalog.symbols;
    let listed = |names: Vec<&str>| names.join(", ");
    let placements = shown.iter().filter(|(_, offer)| *offer == report.offer);
    let placements: Vec<_> = placements.map(|(placement, _)| symbols.name(*placement)).collect();
    if placements.is_empty() {
        let offers = shown.iter().map(|(_, offer)| symbols.name(*offer)).collect();
        let told = format!(
            "`{}` was not shown by this decision; it showed {}",
            given.offer_id,
            listed(offers)
        );
        faults.add(Path::Root.field("offer_id"), told);
    } else {
        let told = format!(
            "`{}` did not show `{}` in this decision; {} did",
            given.placement,
            given.offer_id,
            listed(placements)
        );
        faults.add(Path::Root.field("placement"), told);
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
