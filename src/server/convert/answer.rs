//! Decisions as answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::instant;
use crate::catalog::{Catalog, ModelPlan};
use crate::domain::decision::{self, Decision, Filled, Shown, Withheld};
use crate::domain::request::OffersRequest;
use crate::engine::{Active, Replayed};
use crate::model::{Path, Scorer};
use crate::server::wire;

/// Puts a decision into words of the contract. `request` is what was decided; `omit_content` leaves out treatments and
/// fallback content.
#[must_use]
pub fn offers(
    decision: &Decision,
    request: &OffersRequest,
    active: &Active,
    omit_content: bool,
) -> wire::GetOffersResponse {
    let channel = (!omit_content).then_some(request.channel);
    let placements = decision.placements.iter();
    wire::GetOffersResponse {
        placements: placements
            .map(|filled| placement(filled, &active.catalog, channel))
            .collect(),
        ..around(decision, request, active)
    }
}

/// Says everything of a decision but its placements.
pub(super) fn around(decision: &Decision, request: &OffersRequest, active: &Active) -> wire::GetOffersResponse {
    let catalog = &active.catalog;
    wire::GetOffersResponse {
        decision_id: decision.id.map(|id| id.to_string()).unwrap_or_default(),
        placements: Vec::new(),
        profile_version: decision.profile_version,
        known_customer: decision.known_customer,
        rung: rung(decision.rung),
        cached: decision.cached,
        catalog_version: text(&catalog.version),
        models: active
            .models
            .iter()
            .zip(&catalog.models)
            .map(|(scorer, plan)| model(plan, scorer.as_deref(), request.explain))
            .collect(),
        decided_at: instant(decision.decided_at),
        valid_until: instant(decision.valid_until),
        withheld: decision
            .withheld
            .iter()
            .map(|reason| withheld(reason, request, catalog))
            .collect(),
        replayed: false,
        hold_outs: decision
            .hold_outs
            .iter()
            .map(|&at| text(&catalog.hold_outs[at].id))
            .collect(),
    }
}

/// Puts a decision that was made again into words of the contract.
#[must_use]
pub fn replayed(again: &Replayed, omit_content: bool) -> wire::ReplayDecisionResponse {
    let Replayed {
        decision,
        request,
        active,
        record,
        is_same,
    } = again;
    let catalog = &active.catalog;
    wire::ReplayDecisionResponse {
        decision: Some(offers(decision, request, active, omit_content)),
        identical: *is_same,
        customer: request.customer.as_ref().map(super::customer_of),
        channel: text(&catalog.channels[request.channel].id),
        campaign: request
            .campaign
            .map(|campaign| text(&catalog.campaigns[campaign].id))
            .unwrap_or_default(),
        record: *record,
    }
}

fn model(plan: &ModelPlan, scorer: Option<&dyn Scorer>, explain: bool) -> wire::ModelVersion {
    wire::ModelVersion {
        name: text(&plan.name),
        version: text(&plan.version),
        loaded: scorer.is_some(),
        path: scoring_path(scorer),
        path_reason: scorer.filter(|_| explain).map_or("", Scorer::why).to_owned(),
    }
}

/// Says by which way a model scores.
pub(super) fn scoring_path(scorer: Option<&dyn Scorer>) -> i32 {
    let path = match scorer.map(Scorer::path) {
        Some(Path::FactorisedTrees) => wire::ScoringPath::FactorisedTrees,
        Some(Path::FactorisedSum) => wire::ScoringPath::FactorisedSum,
        Some(Path::OnnxRuntime) => wire::ScoringPath::OnnxRuntime,
        Some(Path::Rows) | None => wire::ScoringPath::Unspecified,
    };
    path.into()
}

fn placement(filled: &Filled, catalog: &Catalog, channel: Option<usize>) -> wire::PlacementOffers {
    let offer = |shown: &Shown| {
        let now = now(shown);
        wire::RankedOffer {
            rank: now.rank,
            priority: now.priority,
            factors: now.factors,
            rung: now.rung,
            control: now.control,
            ..about(shown.offer, catalog, channel, shown.control)
        }
    };
    wire::PlacementOffers {
        offers: filled.offers.iter().map(offer).collect(),
        ..placement_around(filled, catalog, channel)
    }
}

/// Says everything of a placement but its offers.
pub(super) fn placement_around(filled: &Filled, catalog: &Catalog, channel: Option<usize>) -> wire::PlacementOffers {
    let placement = &catalog.placements[filled.placement];
    let with_fallback = filled.fallback && channel.is_some();
    wire::PlacementOffers {
        placement: text(&placement.id),
        offers: Vec::new(),
        fallback: filled.fallback,
        fallback_content: if with_fallback {
            content(&placement.fallback)
        } else {
            BTreeMap::new()
        },
    }
}

/// Says of an offer what is the same in every answer on a channel; without a channel nothing of its content.
pub(super) fn about(offer: usize, catalog: &Catalog, channel: Option<usize>, control: bool) -> wire::RankedOffer {
    let offer = &catalog.offers[offer];
    let treatment = channel.and_then(|channel| match &offer.control {
        Some(content) if control => Some(content),
        _ => offer.treatments[channel].as_ref(),
    });
    wire::RankedOffer {
        offer_id: text(&offer.id),
        group: text(&catalog.groups[offer.group].id),
        name: text(&offer.name),
        content: treatment.map(content).unwrap_or_default(),
        ..wire::RankedOffer::default()
    }
}

/// Says of an offer what is so in one answer.
pub(super) fn now(shown: &Shown) -> wire::RankedOffer {
    wire::RankedOffer {
        rank: u32::try_from(shown.rank).unwrap_or(u32::MAX),
        priority: seven_digits(shown.priority),
        factors: Some(wire::Factors {
            propensity: narrow(shown.factors.propensity),
            context_weight: narrow(shown.factors.context_weight),
            value: shown.factors.value,
            lever: shown.factors.lever,
        }),
        rung: rung(shown.rung),
        control: shown.control,
        ..wire::RankedOffer::default()
    }
}

/// Gives a number back the width that it began with: 32 bits print as people wrote them.
#[expect(
    clippy::cast_possible_truncation,
    reason = "scores and context weights are made with 32 bits"
)]
const fn narrow(number: f64) -> f32 {
    number as f32
}

/// Leaves a number as many digits as the 32-bit factors have that it is the product of: those that follow are noise, as in
/// 2.3999999463558197. The order is made by the whole number.
fn seven_digits(number: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a 64-bit float")]
    let places = 6_i32.saturating_sub(number.abs().log10().floor() as i32);
    if !(-300..=300).contains(&places) {
        return number;
    }
    // Whole powers and a division, since a power below one is not exact.
    let scale = 10_f64.powi(places.abs());
    if places < 0 {
        (number / scale).round() * scale
    } else {
        (number * scale).round() / scale
    }
}

fn content(fields: &BTreeMap<Arc<str>, Arc<str>>) -> BTreeMap<String, String> {
    // A map that is collected is sorted first; these come in order, and are few.
    let mut content = BTreeMap::new();
    content.extend(fields.iter().map(|(name, value)| (text(name), text(value))));
    content
}

/// Copies a text; `to_string` of an `Arc<str>` goes through formatting, which takes longer than the copy.
fn text(text: &str) -> String {
    text.to_owned()
}

fn rung(rung: decision::Rung) -> i32 {
    let rung = match rung {
        decision::Rung::Model => wire::Rung::Model,
        decision::Rung::FirstStage => wire::Rung::FirstStage,
        decision::Rung::LastGood => wire::Rung::LastGood,
        decision::Rung::Start => wire::Rung::Start,
    };
    rung.into()
}

fn withheld(reason: &Withheld, request: &OffersRequest, catalog: &Catalog) -> wire::WithheldOffer {
    let placement = reason.placement.and_then(|at| request.placements.get(at));
    wire::WithheldOffer {
        offer_id: text(&catalog.offers[reason.offer].id),
        placement: placement
            .map(|wanted| text(&catalog.placements[wanted.placement].id))
            .unwrap_or_default(),
        stage: stage(reason.stage),
        rule: text(&reason.rule),
        because: text(&reason.because),
        part: reason.part.as_deref().map(text).unwrap_or_default(),
        missing: reason.missing.as_deref().map(text).unwrap_or_default(),
        count: reason.count,
        limit: reason.limit,
        eligible_again_at: reason.eligible_again_at.and_then(instant),
    }
}

fn stage(stage: decision::Stage) -> i32 {
    let stage = match stage {
        decision::Stage::HardSuppression => wire::Stage::HardSuppression,
        decision::Stage::Eligibility => wire::Stage::Eligibility,
        decision::Stage::Applicability => wire::Stage::Applicability,
        decision::Stage::Suitability => wire::Stage::Suitability,
        decision::Stage::ContactPolicy => wire::Stage::ContactPolicy,
        decision::Stage::Placement => wire::Stage::Placement,
    };
    stage.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_has_the_seven_digits_that_its_factors_have_and_prints_as_people_would_write_it() {
        for (whole, written) in [
            (f64::from(0.03_f32) * 80.0, "2.4"),
            (f64::from(0.08_f32) * 18.0, "1.44"),
            (8.078_427_314_758_3, "8.078427"),
            (19.2, "19.2"),
            (-0.333_333_333, "-0.3333333"),
            (0.000_012_345_678_9, "0.00001234568"),
            (123_456_789_012.0, "123456800000"),
            (0.0, "0"),
            (1.0, "1"),
            (999_999.96, "1000000"),
        ] {
            assert_eq!(seven_digits(whole).to_string(), written, "{whole}");
        }
        for whole in [f64::MAX, f64::MIN_POSITIVE, f64::INFINITY] {
            assert_eq!(seven_digits(whole).to_bits(), whole.to_bits());
        }
    }
}
