//! The gate: which offers may be shown to this customer at all, and why not the others.
//!
//! Order of the checks, the first that fails is the reason: validity dates (hard suppression); eligibility,
//! applicability, suitability, in each the group's rules before the offer's own. An explanation has all that fail. A condition
//! that cannot be judged because something is not known does not hold. Opt-out and contact limits depend on the channel and
//! come later, in [`super::fill`]; what does not pass the gate is not asked about them.
//!
//! Which offers pass is found by the catalog's index over all conditions and dates ([`crate::rules::Index`]); why another does
//! not is found by asking its conditions one by one.

use std::sync::Arc;

use crate::catalog::{Catalog, Offer, Rule, Stages};
use crate::domain::decision::{Stage, Withheld};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::rules::{Facts, Scratch, Space, Truth};

use super::facts::Layout;

/// The rule id of the built-in check of validity dates, for an offer whose time has not come.
pub const NOT_YET_VALID: &str = "not-yet-valid";
/// The rule id of the built-in check of validity dates, for an offer whose time is over.
pub const NO_LONGER_VALID: &str = "no-longer-valid";

fn is_in_its_dates(offer: &Offer, now: Timestamp, valid_until: &mut Timestamp) -> bool {
    if now < offer.valid_from {
        *valid_until = (*valid_until).min(offer.valid_from);
        return false;
    }
    if now < offer.valid_until {
        *valid_until = (*valid_until).min(offer.valid_until);
        return true;
    }
    false
}

/// Puts the positions of the offers that pass into `survivors`, in order, and returns until when that stays the same.
pub fn survivors(
    catalog: &Catalog,
    layout: &Layout,
    context: &[Value],
    now: Timestamp,
    scratch: &mut Scratch,
    survivors: &mut Vec<u16>,
) -> Timestamp {
    catalog
        .gate
        .passing(&layout.facts(&[], context, now), scratch, survivors)
}

/// What stops an offer at the gate first; rules by their position within the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    NoLongerValid,
    /// A rule of its group.
    OfGroup(Stage, usize),
    /// A rule of its own.
    OfOffer(Stage, usize),
}

/// The stages that have conditions, in their order, with the rules of a group or an offer.
#[must_use]
pub const fn staged(stages: &Stages) -> [(Stage, &Vec<Rule>); 3] {
    [
        (Stage::Eligibility, &stages.eligibility),
        (Stage::Applicability, &stages.applicability),
        (Stage::Suitability, &stages.suitability),
    ]
}

/// Finds what stops each offer first that is not among the `survivors`: the first reason that [`explain`] would give.
pub fn first_failures(
    catalog: &Catalog,
    layout: &Layout,
    context: &[Value],
    now: Timestamp,
    survivors: &[u16],
    mut visit: impl FnMut(usize, Failure),
) {
    let mut passed = survivors.iter().map(|&offer| usize::from(offer)).peekable();
    for (position, offer) in catalog.offers.iter().enumerate() {
        if passed.next_if_eq(&position).is_some() {
            continue;
        }
        if now < offer.valid_from {
            visit(position, Failure::NotYetValid);
            continue;
        }
        if now >= offer.valid_until {
            visit(position, Failure::NoLongerValid);
            continue;
        }
        let facts = layout.facts(&offer.attributes, context, now);
        let holds = |rule: &Rule| rule.condition.evaluate(&facts).truth == Truth::True;
        let first = |rules: &[Rule]| rules.iter().position(|rule| !holds(rule));
        let group = staged(&catalog.groups[offer.group].stages);
        let mut stages = group.into_iter().zip(staged(&offer.stages));
        let found = stages.find_map(|((stage, of_group), (_, of_offer))| {
            let of_group = first(of_group).map(|at| Failure::OfGroup(stage, at));
            of_group.or_else(|| first(of_offer).map(|at| Failure::OfOffer(stage, at)))
        });
        if let Some(failure) = found {
            visit(position, failure);
        }
    }
}

/// Says why an offer does not pass the gate: everything that stops it, in order; nothing when it passes. Returns until when
/// that stays the same.
pub fn explain(
    catalog: &Catalog,
    layout: &Layout,
    context: &[Value],
    now: Timestamp,
    position: usize,
    withheld: &mut Vec<Withheld>,
) -> Timestamp {
    let offer = &catalog.offers[position];
    let mut valid_until = Timestamp::FAR_FUTURE;
    if !is_in_its_dates(offer, now, &mut valid_until) {
        let early = now < offer.valid_from;
        let mut reason = plain_reason(
            position,
            Stage::HardSuppression,
            if early { NOT_YET_VALID } else { NO_LONGER_VALID },
        );
        reason.eligible_again_at = early.then_some(offer.valid_from);
        withheld.push(reason);
    }
    let facts = layout.facts(&offer.attributes, context, now);
    let group = &catalog.groups[offer.group].stages;
    let own = &offer.stages;
    let stages = [
        (Stage::Eligibility, &group.eligibility, &own.eligibility),
        (Stage::Applicability, &group.applicability, &own.applicability),
        (Stage::Suitability, &group.suitability, &own.suitability),
    ];
    for (stage, of_group, of_offer) in stages {
        for rule in of_group.iter().chain(of_offer) {
            let verdict = rule.condition.evaluate(&facts);
            valid_until = valid_until.min(verdict.valid_until);
            if verdict.truth != Truth::True {
                let (reason, until) = failed(catalog, position, (stage, rule, verdict.truth), &facts);
                valid_until = valid_until.min(until);
                withheld.push(reason);
            }
        }
    }
    valid_until
}

/// Says why a rule stops an offer, and until when it is for that part of it.
fn failed(
    catalog: &Catalog,
    position: usize,
    (stage, rule, truth): (Stage, &Rule, Truth),
    facts: &Facts<'_>,
) -> (Withheld, Timestamp) {
    let part = rule.condition.failing_part(facts);
    let missing = (truth == Truth::Unknown)
        .then(|| rule.condition.missing(facts))
        .flatten();
    let reason = Withheld {
        rule: Arc::clone(&rule.id),
        because: Arc::clone(&rule.because),
        part: part.map(|(text, _)| Arc::from(text)),
        missing: missing.map(|(space, index)| Arc::from(variable_name(catalog, space, usize::from(index)))),
        ..plain_reason(position, stage, "")
    };
    (reason, part.map_or(Timestamp::FAR_FUTURE, |(_, until)| until))
}

/// Makes a reason that has only a stage and a rule.
#[must_use]
pub fn plain_reason(offer: usize, stage: Stage, rule: &str) -> Withheld {
    Withheld {
        offer,
        placement: None,
        stage,
        rule: Arc::from(rule),
        because: Arc::from(""),
        part: None,
        missing: None,
        count: None,
        limit: None,
        eligible_again_at: None,
    }
}

/// Returns a variable's full name, as in `profile.age`.
#[must_use]
pub fn variable_name(catalog: &Catalog, space: Space, index: usize) -> String {
    let (prefix, name) = match space {
        Space::Profile => ("profile", catalog.profile.attributes.get(index).map(|found| &found.id)),
        Space::Offer => (
            "offer",
            catalog.offer_schema.attributes.get(index).map(|found| &found.id),
        ),
        Space::Behaviour => ("behaviour", catalog.aggregates.get(index).map(|found| &found.id)),
        Space::Intent => ("intent", catalog.intents.get(index).map(|found| &found.id)),
        Space::Context => ("context", catalog.context.attributes.get(index).map(|found| &found.id)),
        Space::Event => ("event", None),
    };
    name.map_or_else(|| prefix.to_owned(), |name| format!("{prefix}.{name}"))
}
