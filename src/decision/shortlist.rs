//! The plan in two stages: which offers the model scores itself, and what becomes of the others.
//!
//! A model that cannot be taken apart costs a row for each offer. With a shortlist ([`crate::catalog::Shortlist`]) its first stage
//! scores all offers that passed, and the model only the best of them. The best are those of the highest priority, not of the
//! highest score: value, lever and context weight count as they will in the end, and ties end in the offer id.
//!
//! The others keep the score of the first stage, on a rung of its own, and stand behind all that the model gives a chance: those to which
//! it gives 0 are the last. Two models seldom
//! agree on how likely everything is, and where the first stage sees more in all offers, those that the model never looked at would
//! come first. So when one of the others had at least the priority of the last of the chosen, the scores of all the others are
//! multiplied by one number that brings them below it, which leaves their own order as it is, but for scores that differ in the seventh
//! digit. Nothing else is an order by priority
//! that can be explained from its factors.

use crate::catalog::Catalog;
use crate::domain::decision::{Ranked, Rung};

use super::rank;

/// Puts the positions of the best of `offers` into `best`, at most `keep`, in the order of positions. `keys` is scratch space.
pub fn choose(offers: &[Ranked], keep: usize, keys: &mut Vec<u64>, best: &mut Vec<u16>) {
    best.clear();
    best.extend(rank::in_order(offers, keep, keys).iter().map(|ranked| ranked.offer));
    best.sort_unstable();
}

/// Puts the others this much lower than they would have to be, since scores have seven digits: the chosen are to stand before them
/// whatever is rounded.
const MARGIN: f64 = 1e-6;

/// Replaces the entries of the chosen by what the model says of them, and lowers the others until they stand behind. `offers`, with
/// what the first stage says, and `best` are in the order of positions; every one of `best` is among the offers, and has a score.
pub fn rescore(catalog: &Catalog, offers: &mut [Ranked], best: &[u16], scores: &[f32], weights: &[f32]) {
    let mut chosen = best.iter().zip(scores).peekable();
    let (mut lowest, mut highest) = (f64::INFINITY, 0.0_f64);
    for ranked in &mut *offers {
        if let Some((&offer, &score)) = chosen.next_if(|(offer, _)| **offer == ranked.offer) {
            *ranked = rank::ranked(catalog, offer, score, Rung::Model, weights);
            if ranked.priority > 0.0 {
                lowest = lowest.min(ranked.priority);
            }
        } else {
            highest = highest.max(ranked.priority);
        }
    }
    // Where the propensity is switched off, the chosen stand before the others already, but for the order of their ids.
    // What the model gives no chance at all is the last in any case, and no measure for others.
    if highest < lowest || lowest.is_infinite() || !catalog.factors.propensity {
        return;
    }
    let share = if highest > 0.0 {
        lowest / highest * (1.0 - MARGIN)
    } else {
        1.0
    };
    for ranked in offers.iter_mut().filter(|ranked| ranked.rung == Rung::FirstStage) {
        *ranked = rank::ranked(
            catalog,
            ranked.offer,
            lowered(ranked.propensity, share),
            Rung::FirstStage,
            weights,
        );
        if ranked.priority > lowest {
            // Of the smallest numbers there are, rounding may take more than the margin gives.
            *ranked = rank::ranked(catalog, ranked.offer, 0.0, Rung::FirstStage, weights);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "scores have 32 bits")]
fn lowered(propensity: f32, share: f64) -> f32 {
    (f64::from(propensity) * share) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::testing::catalog_with;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn entry(offer: u16, priority: f64) -> Ranked {
        Ranked {
            offer,
            rung: Rung::FirstStage,
            propensity: 0.1,
            context_weight: 1.0,
            priority,
        }
    }

    #[test]
    fn of_offers_with_the_same_priority_the_first_by_id_are_chosen() {
        let offers = [0.2, 0.5, 0.5, 0.5, 0.9].map(|priority| priority);
        let offers: Vec<Ranked> = (10..)
            .zip(offers)
            .map(|(offer, priority)| entry(offer, priority))
            .collect();
        let mut best = vec![99];
        choose(&offers, 3, &mut Vec::new(), &mut best);
        assert_eq!(best, [11, 12, 14]);
        choose(&offers, 9, &mut Vec::new(), &mut best);
        assert_eq!(best, [10, 11, 12, 13, 14]);
    }

    proptest! {
        #[test]
        fn whoever_is_chosen_is_behind_nobody_who_is_not(
            priorities in prop::collection::vec(prop_oneof![0.0..1.0_f64, Just(0.25)], 1..200),
            keep in 1..220_usize,
        ) {
            let offers: Vec<Ranked> = (0..).zip(&priorities).map(|(offer, &priority)| entry(offer, priority)).collect();
            let mut best = Vec::new();
            choose(&offers, keep, &mut vec![3; 5], &mut best);
            prop_assert_eq!(best.len(), keep.min(offers.len()));
            prop_assert!(best.is_sorted_by(|one, other| one < other));
            let place = |offer: u16| (priorities[usize::from(offer)], std::cmp::Reverse(offer));
            let is_chosen = |offer: &u16| best.contains(offer);
            let worst = best.iter().map(|&offer| place(offer)).min_by(|one, other| one.partial_cmp(other).unwrap());
            for other in offers.iter().map(|ranked| ranked.offer).filter(|offer| !is_chosen(offer)) {
                prop_assert!(Some(place(other)) < worst, "{} is better", other);
            }
        }
    }

    /// Savings offers with these values.
    fn catalog_of(values: &[f64]) -> std::sync::Arc<Catalog> {
        let mut lines = "offers:\n".to_owned();
        for (number, value) in values.iter().enumerate() {
            let _ = writeln!(
                lines,
                "  - {{ id: more_{number:03}, group: savings, name: M, value: {value:.3}, treatments: {{ web: {{ t: x }} }} }}"
            );
        }
        catalog_with(&lines)
    }

    proptest! {
        #[test]
        fn whoever_the_model_scored_stands_before_the_others_which_keep_their_own_order(
            values in prop::collection::vec(0.5..500.0_f64, 2..60),
            drawn in prop::collection::vec(0..1_000_u16, 200),
            keep in 1..40_usize,
            level in prop_oneof![Just(1e-30_f32), Just(0.01), Just(1.0)],
        ) {
            let catalog = catalog_of(&values);
            let positions = 0..u16::try_from(catalog.offers.len()).unwrap();
            let weights = vec![1.0; catalog.worth.weights.len()];
            let mut drawn = drawn.into_iter().cycle();
            let mut score = || f32::from(drawn.next().unwrap()) / 1_000.0;
            let first: Vec<Ranked> = positions
                .map(|offer| rank::ranked(&catalog, offer, score(), Rung::FirstStage, &weights))
                .collect();
            let mut best = Vec::new();
            choose(&first, keep, &mut Vec::new(), &mut best);
            let scores: Vec<f32> = best.iter().map(|_| score() * level).collect();
            let mut both = first.clone();
            rescore(&catalog, &mut both, &best, &scores, &weights);
            let of = |rung: Rung| both.iter().filter(move |ranked| ranked.rung == rung);
            let said: Vec<(u16, f32)> = of(Rung::Model).map(|ranked| (ranked.offer, ranked.propensity)).collect();
            prop_assert_eq!(said, best.iter().copied().zip(scores).collect::<Vec<_>>());
            let chances = of(Rung::Model).map(|ranked| ranked.priority).filter(|&priority| priority > 0.0);
            let lowest = chances.fold(f64::INFINITY, f64::min);
            prop_assert!(of(Rung::FirstStage).all(|ranked| ranked.priority < lowest));
            for one in of(Rung::FirstStage) {
                let before = |ranked: &Ranked| first[usize::from(ranked.offer)];
                prop_assert!(one.propensity <= before(one).propensity);
                for other in of(Rung::FirstStage).filter(|other| before(other).priority > before(one).priority * 1.000_01) {
                    prop_assert!(other.priority >= one.priority);
                }
            }
        }
    }

    #[test]
    fn where_the_first_stage_sees_less_than_the_model_its_scores_stay_as_they_are() {
        let catalog = catalog_of(&[100.0, 100.0, 100.0]);
        let weights = vec![1.0; catalog.worth.weights.len()];
        let first = catalog
            .offers
            .iter()
            .position(|offer| &*offer.id == "more_000")
            .unwrap();
        let first = u16::try_from(first).unwrap();
        let ranked =
            |number: u16, score: f32| rank::ranked(&catalog, first + number, score, Rung::FirstStage, &weights);
        let mut offers = [ranked(0, 0.1), ranked(1, 0.2), ranked(2, 0.15)];
        rescore(&catalog, &mut offers, &[first + 1], &[0.3], &weights);
        let bits = |scores: [f32; 3]| scores.map(f32::to_bits);
        let kept = offers.map(|ranked| ranked.propensity);
        assert_eq!(bits(kept), bits([0.1, 0.3, 0.15]));
        rescore(&catalog, &mut offers, &[first + 1], &[0.06], &weights);
        let lowered = offers.map(|ranked| ranked.propensity);
        assert!(
            (lowered[0] - 0.04).abs() < 1e-6 && (lowered[2] - 0.06).abs() < 1e-6,
            "{lowered:?}"
        );
        assert!(offers[2].priority < offers[1].priority);
    }

    #[test]
    fn an_offer_to_which_the_model_gives_no_chance_is_the_last_and_no_measure_for_the_others() {
        let catalog = catalog_of(&[100.0, 100.0, 100.0]);
        let weights = vec![1.0; catalog.worth.weights.len()];
        let of = |id: &str| catalog.offers.iter().position(|offer| &*offer.id == id).unwrap();
        let first = u16::try_from(of("more_000")).unwrap();
        let after = |scores: [f32; 2]| {
            let said = [(0, 0.1), (1, 0.2), (2, 0.3)];
            let mut offers =
                said.map(|(number, score)| rank::ranked(&catalog, first + number, score, Rung::FirstStage, &weights));
            rescore(&catalog, &mut offers, &[first + 1, first + 2], &scores, &weights);
            offers.map(|ranked| ranked.priority)
        };
        let [other, none, best] = after([0.0, 0.05]);
        assert!(none < other && other < best, "{other} {none} {best}");
        // Where nothing has a chance there is no measure at all.
        let [other, ..] = after([0.0, 0.0]);
        assert!(other > 0.0);
    }
}
