//! Whether a model's scores are still what they were when its version came into force.
//!
//! The population stability index compares two distributions over the same bins:
//!
//! ```text
//! PSI = Σ (aᵢ - eᵢ) · ln(aᵢ / eᵢ)
//! ```
//!
//! where `eᵢ` is the share of the reference in bin i and `aᵢ` that of the latest scores; each bin is taken as half a score fuller
//! than it is, so that an empty one has a logarithm. It is the symmetrised Kullback-Leibler divergence. The usual reading, from
//! N. Siddiqi, "Credit Risk Scorecards" (2006): below 0.1 little has changed, above 0.25 much has. B. Yurdakul, "Statistical
//! Properties of Population Stability Index" (2018), shows that without any change it is about (bins - 1)(1/n + 1/m): 0.0022 here.
//!
//! The reference is the first [`SCORES`] propensities of offers shown since the version was first seen by this process, and what
//! is compared is the latest whole window of as many. Shown offers are not a sample of all customers: a shift says that the model,
//! the customers, or what they may see has changed, and that somebody should look.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use metrics::Histogram;
use parking_lot::Mutex;

/// Scores in a window: few enough for a small site to fill one in a day, many enough that chance stays far below 0.1.
pub const SCORES: u64 = 10_000;

/// The upper bounds of the bins; what is above the last one is the last bin. Propensities are small: steps that double or so see a
/// change wherever a model works.
pub const BOUNDS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8];

const BINS: usize = BOUNDS.len() + 1;

type Counts = [u32; BINS];

#[derive(Debug, Default)]
struct Windows {
    reference: Option<Counts>,
    latest: Option<Counts>,
}

/// The scores of one version of a model.
#[derive(Debug)]
pub(super) struct Drift {
    pub(super) version: String,
    /// The model, as its numbers name it.
    pub(super) label: String,
    filling: [AtomicU32; BINS],
    filled: AtomicU64,
    windows: Mutex<Windows>,
    scores: Histogram,
}

impl Drift {
    pub(super) fn new(version: String, label: String, scores: Histogram) -> Self {
        Self {
            version,
            label,
            filling: Default::default(),
            filled: AtomicU64::new(0),
            windows: Mutex::default(),
            scores,
        }
    }

    /// Takes one score. Under load a score may count in the window after the one that it belongs to, which changes nothing.
    pub(super) fn take(&self, score: f64) {
        self.scores.record(score);
        let bin = BOUNDS.partition_point(|&bound| bound < score);
        self.filling[bin].fetch_add(1, Ordering::Relaxed);
        let filled = self.filled.fetch_add(1, Ordering::Relaxed) + 1;
        if filled.is_multiple_of(SCORES) {
            self.turn();
        }
    }

    fn turn(&self) {
        let mut windows = self.windows.lock();
        let whole: Counts = std::array::from_fn(|bin| self.filling[bin].swap(0, Ordering::Relaxed));
        if windows.reference.is_none() {
            windows.reference = Some(whole);
        } else {
            windows.latest = Some(whole);
        }
    }

    /// Returns how far the latest scores are from the first; 0 until both are there.
    pub(super) fn shift(&self) -> f64 {
        let windows = self.windows.lock();
        let both = windows.reference.as_ref().zip(windows.latest.as_ref());
        both.map_or(0.0, |(reference, latest)| index(reference, latest))
    }

    /// Returns how many of the first scores are there.
    pub(super) fn reference(&self) -> u64 {
        self.filled.load(Ordering::Relaxed).min(SCORES)
    }
}

/// Returns the population stability index.
fn index(expected: &Counts, actual: &Counts) -> f64 {
    let all = |counts: &Counts| counts.iter().map(|&count| f64::from(count) + 0.5).sum::<f64>();
    let (all_expected, all_actual) = (all(expected), all(actual));
    let bins = expected.iter().zip(actual);
    let parts = bins.map(|(&expected, &actual)| {
        let expected = (f64::from(expected) + 0.5) / all_expected;
        let actual = (f64::from(actual) + 0.5) / all_actual;
        (actual - expected) * (actual / expected).ln()
    });
    parts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift() -> Drift {
        Drift::new("1".to_owned(), "bank".to_owned(), Histogram::noop())
    }

    fn shift(of: &Drift) -> Option<f64> {
        let windows = of.windows.lock();
        Some(index(windows.reference.as_ref()?, windows.latest.as_ref()?))
    }

    /// A score between 0 and `most`, evenly spread.
    fn score(at: u64, most: f64) -> f64 {
        (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64 * most
    }

    #[test]
    fn the_index_is_that_of_the_formula() {
        let mut expected = [0; BINS];
        let mut actual = [0; BINS];
        (expected[0], expected[1]) = (50, 50);
        (actual[0], actual[1]) = (25, 75);
        let share = |count: f64| (count + 0.5) / (100.0 + 0.5 * BINS as f64);
        let (even, less, more) = (share(50.0), share(25.0), share(75.0));
        let wanted = (less - even) * (less / even).ln() + (more - even) * (more / even).ln();
        assert!((index(&expected, &actual) - wanted).abs() < 1e-12);
        assert!(index(&expected, &expected).abs() < 1e-12);
    }

    #[test]
    fn scores_that_stay_the_same_show_no_shift_and_halved_ones_do() {
        let same = drift();
        for at in 0..2 * SCORES {
            same.take(score(at, 0.3));
        }
        assert!(shift(&same).is_some_and(|shift| shift < 0.02), "{:?}", shift(&same));
        for at in 0..SCORES {
            same.take(score(at, 0.15));
        }
        assert!(shift(&same).is_some_and(|shift| shift > 0.25), "{:?}", shift(&same));
    }

    #[test]
    fn until_two_windows_are_full_there_is_nothing_to_compare() {
        let young = drift();
        for at in 0..2 * SCORES - 1 {
            young.take(score(at, 1.0));
        }
        assert_eq!(shift(&young), None);
    }
}
