//! Scoring offers with a weighted sum.
//!
//! Each place has its own sum, over its columns in their order, in 64 bits: what the bias and the decision add, what a
//! group adds, what an offer adds and what customer and offer together add. A row is summed up in the same four parts.

use super::formula::Linear;
use super::{Job, NOT_SCORED, Places};
use crate::catalog::ModelPlan;

/// The weights, with what each offer adds.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    weights: Vec<f64>,
    bias: f64,
    /// By the offer's place among those of the model.
    offers: Vec<f64>,
}

/// What a decision adds, reused from one to the next.
#[derive(Debug, Default)]
pub(super) struct Room {
    groups: Vec<Option<f64>>,
}

impl Sums {
    pub(super) fn new(linear: &Linear, places: &Places, plan: &ModelPlan, rows: &[u32]) -> Self {
        let weights: Vec<f64> = linear.weights.iter().copied().map(f64::from).collect();
        let scored = rows.iter().filter(|&&row| row != NOT_SCORED).count();
        let mut offers = vec![0.0; scored];
        // The columns stand in their order.
        for known in &plan.by_offer {
            for (&row, &cell) in rows.iter().zip(&known.cells) {
                if row != NOT_SCORED {
                    let cell = f64::from(places.adjusted(known.column, cell));
                    offers[row as usize] += weights[known.column] * cell;
                }
            }
        }
        Self {
            weights,
            bias: f64::from(linear.bias),
            offers,
        }
    }

    /// Scores a row of adjusted numbers.
    pub(super) fn score_row(&self, row: &[f32], places: &Places) -> f32 {
        let sum = |columns: &[usize], from: f64| {
            columns
                .iter()
                .fold(from, |sum, &column| sum + self.weights[column] * f64::from(row[column]))
        };
        let shared = sum(&places.shared, self.bias);
        rounded(
            shared,
            sum(&places.group, 0.0),
            sum(&places.offer, 0.0),
            sum(&places.pair, 0.0),
        )
    }

    pub(super) fn score(&self, job: &Job<'_>, room: &mut Room, scores: &mut [f32]) {
        let add = |sum: &mut f64, column: usize, number: f32| *sum += self.weights[column] * f64::from(number);
        let mut shared = self.bias;
        job.shared(|column, number| add(&mut shared, column, number));
        let mut plain = 0.0;
        job.of_no_contact(|column, number| add(&mut plain, column, number));
        room.groups.clear();
        room.groups.resize(job.groups_count, None);
        for (&offer, score) in job.offers.iter().zip(&mut *scores) {
            let group = job.group(offer);
            let of_group = *room.groups[group].get_or_insert_with(|| {
                let mut sum = 0.0;
                job.of_group(group, |column, number| add(&mut sum, column, number));
                sum
            });
            *score = rounded(shared, of_group, self.offers[job.row(offer)], plain);
        }
        job.special(|at| {
            let offer = job.offers[at];
            let mut pair = 0.0;
            job.of_pair(at, |column, number| add(&mut pair, column, number));
            let of_group = room.groups[job.group(offer)].unwrap_or_default();
            scores[at] = rounded(shared, of_group, self.offers[job.row(offer)], pair);
        });
    }
}

/// Adds the four parts and rounds once.
fn rounded(shared: f64, group: f64, offer: f64, pair: f64) -> f32 {
    let sum = shared + group + offer + pair;
    #[expect(clippy::cast_possible_truncation, reason = "a score has 32 bits")]
    let narrow = sum as f32;
    narrow
}
