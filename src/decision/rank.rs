//! Priority = propensity × context weight × value × lever, and the total order that follows from it.
//!
//! * Propensity: the model's score, or the rung below it.
//! * Context weight: 1 plus, over the offer's intents, weight × the intent's current strength; never below 0.
//! * Value and lever: the catalog's numbers.
//!
//! A factor that the catalog switches off is left out of the product. The order is by priority, highest first, then by
//! offer id, so it is total and repeatable.

use crate::catalog::{Catalog, FactorSwitches};
use crate::domain::decision::{Factors, Ranked, Rung};
use crate::domain::value::Value;

/// How many offers a list keeps in order unless all are asked for. Answers show a few of the best; more are looked at only
/// when limits stop nearly all of these, and then the list is made whole.
pub const LISTED: usize = 256;

/// Returns the context weight of an offer with these intents, given the strength of each intent. It is rounded once, here, and
/// used as rounded.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "seven digits of a weight are enough")]
pub fn context_weight(intents: &[(usize, f64)], strengths: &[Value]) -> f32 {
    let mut weight = 1.0;
    for &(intent, speaks_for) in intents {
        if let Some(Value::Number(strength)) = strengths.get(intent) {
            weight += speaks_for * strength;
        }
    }
    weight.max(0.0) as f32
}

/// Puts the context weight of each of the catalog's lists of intent weights into `weights`, given the strength of each intent.
pub fn context_weights(catalog: &Catalog, strengths: &[Value], weights: &mut Vec<f32>) {
    weights.clear();
    weights.extend(
        catalog
            .worth
            .weights
            .iter()
            .map(|intents| context_weight(intents, strengths)),
    );
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

/// Makes an offer's entry in the ranking; `weights` are the [`context_weights`].
#[must_use]
pub fn ranked(catalog: &Catalog, position: u16, propensity: f32, rung: Rung, weights: &[f32]) -> Ranked {
    let list = catalog.worth.weights_of[usize::from(position)];
    let mut ranked = Ranked {
        offer: position,
        rung,
        propensity,
        context_weight: weights[usize::from(list)],
        priority: 0.0,
    };
    ranked.priority = priority(&factors(catalog, &ranked), catalog.factors);
    ranked
}

/// Returns the four factors of an entry.
#[must_use]
pub fn factors(catalog: &Catalog, ranked: &Ranked) -> Factors {
    let offer = usize::from(ranked.offer);
    Factors {
        propensity: f64::from(ranked.propensity),
        context_weight: f64::from(ranked.context_weight),
        value: catalog.worth.values[offer],
        lever: catalog.worth.levers[offer],
    }
}

/// How many bits of a sort key name an offer; the others are the beginning of its priority.
const PLACE_BITS: u32 = u16::BITS;

/// Returns the first offers in order, at most so many: by priority, highest first, then by offer id (which is the order of
/// positions). `keys` is scratch space.
///
/// What is sorted are single words, the first 48 bits of the priority and the place in `offers`, which costs a third of
/// sorting the entries: words are compared and moved without a branch. The few offers whose priorities begin alike are
/// put in order among themselves afterwards.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the last bits of a key are a place")]
pub fn in_order(offers: &[Ranked], at_most: usize, keys: &mut Vec<u64>) -> Vec<Ranked> {
    let beginning = |ranked: &Ranked| descending(ranked.priority) >> PLACE_BITS;
    keys.clear();
    keys.extend(
        (0_u64..)
            .zip(offers)
            .map(|(place, ranked)| beginning(ranked) << PLACE_BITS | place),
    );
    if at_most < keys.len() {
        keep_first(keys, at_most);
    }
    keys.sort_unstable();
    let place = |key: &u64| usize::from(*key as u16);
    let mut sorted: Vec<Ranked> = keys.iter().map(|key| offers[place(key)]).collect();
    for alike in sorted.chunk_by_mut(|one, other| beginning(one) == beginning(other)) {
        if alike.len() > 1 {
            alike.sort_unstable_by_key(|ranked| (descending(ranked.priority), ranked.offer));
        }
    }
    sorted.truncate(at_most);
    sorted
}

/// Keeps the first so many keys, in any order, and what begins like the last of them: which of those come first, the whole
/// priorities say.
fn keep_first(keys: &mut Vec<u64>, count: usize) {
    let Some(last) = count.checked_sub(1) else {
        keys.clear();
        return;
    };
    let (_, &mut last, _) = keys.select_nth_unstable(last);
    let beginning = last >> PLACE_BITS;
    let mut kept = count;
    for at in count..keys.len() {
        if keys[at] >> PLACE_BITS == beginning {
            keys.swap(at, kept);
            kept += 1;
        }
    }
    keys.truncate(kept);
}

/// Returns a whole number for each number, in the reverse order of [`f64::total_cmp`].
const fn descending(number: f64) -> u64 {
    let bits = number.to_bits();
    // The bits of negative numbers ascend already.
    bits ^ !((bits.cast_signed() >> 63).cast_unsigned() | 1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry((offer, priority): (u16, f64)) -> Ranked {
        Ranked {
            offer,
            rung: Rung::Start,
            propensity: 0.0,
            context_weight: 1.0,
            priority,
        }
    }

    /// Priorities, many of which agree in their first bits or altogether.
    fn priority() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>(),
            Just(0.0),
            Just(-0.0),
            (0..4_u64).prop_map(|last| f64::from_bits(1.0_f64.to_bits() + last)),
        ]
    }

    proptest! {
        #[test]
        fn the_order_is_by_the_whole_priority_and_then_by_the_offer(
            offers in prop::collection::hash_map(any::<u16>(), priority(), 0..200),
            at_most in prop_oneof![0..200_usize, Just(usize::MAX)],
        ) {
            let unsorted: Vec<Ranked> = offers.into_iter().map(entry).collect();
            let mut expected = unsorted.clone();
            expected.sort_by(|one, other| other.priority.total_cmp(&one.priority).then(one.offer.cmp(&other.offer)));
            expected.truncate(at_most);
            let sorted = in_order(&unsorted, at_most, &mut vec![7; 3]);
            let told = |offers: &[Ranked]| -> Vec<(u16, u64)> {
                offers.iter().map(|ranked| (ranked.offer, ranked.priority.to_bits())).collect()
            };
            prop_assert_eq!(told(&sorted), told(&expected));
        }
    }
}
