//! Priority = propensity × context weight × value × lever, and the total order that follows from it.
//!
//! * Propensity: the model's score, or the rung below it.
//! * Context weight: 1 plus, over the offer's intents, weight × the intent's current strength; never below 0.
//! * Value and lever: the catalog's numbers.
//!
//! A factor that the catalog switches off is left out of the product. The order is by priority, highest first, then by
//! offer id, so it is total and repeatable.

use std::cmp::Reverse;

use crate::catalog::{Catalog, FactorSwitches, Offer};
use crate::domain::decision::{Factors, Ranked, Rung};
use crate::domain::value::Value;

/// Returns the context weight of an offer, given the strength of each intent.
#[must_use]
pub fn context_weight(offer: &Offer, strengths: &[Value]) -> f64 {
    let mut weight = 1.0;
    for &(intent, speaks_for) in &offer.intents {
        if let Some(Value::Number(strength)) = strengths.get(intent) {
            weight += speaks_for * strength;
        }
    }
    weight.max(0.0)
}

/// Multiplies the factors that are switched on.
#[must_use]
pub fn priority(factors: &Factors, switches: FactorSwitches) -> f64 {
    let mut product = 1.0;
    for (is_on, factor) in [
        (switches.propensity, factors.propensity),
        (switches.context_weight, factors.context_weight),
        (switches.value, factors.value),
        (switches.lever, factors.lever),
    ] {
        if is_on {
            product *= factor;
        }
    }
    product
}

/// Makes an offer's entry in the ranking.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the context weight is rounded once, here, and used as rounded"
)]
pub fn ranked(catalog: &Catalog, position: u16, propensity: f32, rung: Rung, strengths: &[Value]) -> Ranked {
    let offer = &catalog.offers[usize::from(position)];
    let context_weight = context_weight(offer, strengths) as f32;
    let mut ranked = Ranked {
        offer: position,
        rung,
        propensity,
        context_weight,
        priority: 0.0,
    };
    ranked.priority = priority(&factors(catalog, &ranked), catalog.factors);
    ranked
}

/// Returns the four factors of an entry.
#[must_use]
pub fn factors(catalog: &Catalog, ranked: &Ranked) -> Factors {
    let offer = &catalog.offers[usize::from(ranked.offer)];
    Factors {
        propensity: f64::from(ranked.propensity),
        context_weight: f64::from(ranked.context_weight),
        value: offer.value,
        lever: offer.lever,
    }
}

/// Puts the offers in order: by priority, highest first, then by offer id (which is the order of positions).
pub fn sort(offers: &mut [Ranked]) {
    offers.sort_unstable_by_key(|ranked| (Reverse(ordered(ranked.priority)), ranked.offer));
}

/// Returns a whole number for each number, in the order of [`f64::total_cmp`], which compares faster.
const fn ordered(number: f64) -> i64 {
    let bits = number.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}
