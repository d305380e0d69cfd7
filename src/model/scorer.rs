//! What scores, and how it may fail.

use super::path::Path;
use crate::catalog::Catalog;
use crate::decision::features::Parts;
use crate::decision::specialised::Scratch;

/// How far a score may lie outside 0 to 1 and still be taken as the nearer end: sums of 32-bit floats overshoot by some
/// units in the last place, while a model whose output is not a probability overshoots by far more.
const OVERSHOOT_MAX: f32 = 1e-5;

/// Turns rows of features into propensities. The same row gets the same score to the bit, whichever thread asks and
/// whatever the other rows are.
pub trait Scorer: Send + Sync {
    /// Scores `rows`, of shape `[scores.len(), features]` row after row, into `scores`, each from 0 to 1.
    ///
    /// # Errors
    ///
    /// [`ScoreError`] when the shapes do not fit, the scorer fails, or a score is not from 0 to 1. Then `scores` holds
    /// nothing to rely on.
    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError>;

    /// Scores `offers` of `catalog` from the parts of their rows, when this scorer is made for that: positions, in order, for
    /// which the parts were gathered. Leaves one score for each, the same to the bit as that of its row. `None`, which is what a
    /// scorer of whole rows returns, means that nothing was done.
    ///
    /// # Errors
    ///
    /// [`ScoreError`] when a score is not from 0 to 1.
    fn score_parts(
        &self,
        _parts: &Parts,
        _catalog: &Catalog,
        _offers: &[u16],
        _scratch: &mut Scratch,
        _scores: &mut Vec<f32>,
    ) -> Option<Result<(), ScoreError>> {
        None
    }

    /// Tells whether it keeps that promise for any choice of rows. Otherwise only the same rows together are sure to get the same
    /// scores, so all rows of a decision are asked for in each.
    fn is_by_row(&self) -> bool {
        true
    }

    /// Returns by which way the scores are made.
    fn path(&self) -> Path {
        Path::Rows
    }

    /// Says why by that way, in one line; nothing when there was no choice.
    #[expect(clippy::unnecessary_literal_bound, reason = "others return what they hold")]
    fn why(&self) -> &str {
        ""
    }

    /// Returns the width of a row.
    fn features(&self) -> usize;

    /// Returns the name, for answers, logs and metrics.
    fn name(&self) -> &str;

    /// Returns the version that goes with the name.
    fn version(&self) -> &str;

    /// Returns what names the computation itself, if something does: scorers with the same identity give the same rows the same
    /// scores.
    fn identity(&self) -> Option<String> {
        None
    }
}

/// Why rows could not be scored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// The rows are not as many or not as wide as they should be.
    #[error("model {model}: {found} numbers do not make {rows} rows of {features} features")]
    Shape {
        /// The scorer's name.
        model: String,
        /// How many scores were asked for.
        rows: usize,
        /// The width of a row.
        features: usize,
        /// How many numbers there were.
        found: usize,
    },
    /// A score is NaN, infinite, or outside 0 to 1.
    #[error("model {model}: the score of row {row} is {score}, a propensity is from 0 to 1")]
    Range {
        /// The scorer's name.
        model: String,
        /// Which row, counting from 0.
        row: usize,
        /// The score.
        score: f32,
    },
    /// The runtime refused to run the model.
    #[error("model {model}: {reason}")]
    Run {
        /// The scorer's name.
        model: String,
        /// What the runtime said.
        reason: String,
    },
}

/// Checks that `rows` holds one row of `features` numbers for each of `scores`.
pub(super) fn check_shape(model: &str, features: usize, rows: &[f32], scores: &[f32]) -> Result<(), ScoreError> {
    if rows.len() == features * scores.len() {
        return Ok(());
    }
    Err(ScoreError::Shape {
        model: model.to_owned(),
        rows: scores.len(),
        features,
        found: rows.len(),
    })
}

/// Checks that all scores are from 0 to 1, pulling in those that overshoot by no more than rounding.
pub(super) fn check_range(model: &str, scores: &mut [f32]) -> Result<(), ScoreError> {
    for (row, score) in scores.iter_mut().enumerate() {
        // NaN is in no range.
        if !(-OVERSHOOT_MAX..=1.0 + OVERSHOOT_MAX).contains(score) {
            return Err(ScoreError::Range {
                model: model.to_owned(),
                row,
                score: *score,
            });
        }
        *score = score.clamp(0.0, 1.0);
    }
    Ok(())
}

/// A logistic regression in plain arithmetic, for tests and the simulator: `1 / (1 + exp(-(bias + weights · row)))`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearScorer {
    weights: Vec<f32>,
    bias: f32,
}

impl LinearScorer {
    /// Makes a scorer for rows as wide as `weights`.
    #[must_use]
    pub fn new(weights: Vec<f32>, bias: f32) -> Self {
        Self { weights, bias }
    }
}

impl Scorer for LinearScorer {
    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        check_shape(self.name(), self.features(), rows, scores)?;
        for (row, score) in rows.chunks_exact(self.features().max(1)).zip(scores.iter_mut()) {
            let sum = row
                .iter()
                .zip(&self.weights)
                .fold(self.bias, |sum, (number, weight)| number.mul_add(*weight, sum));
            *score = 1.0 / (1.0 + (-sum).exp());
        }
        check_range(self.name(), scores)
    }

    fn features(&self) -> usize {
        self.weights.len()
    }

    fn name(&self) -> &'static str {
        "linear"
    }

    fn version(&self) -> &'static str {
        "1"
    }
}
