//! Asks no model twice in a row for the same rows.
//!
//! Most changes of a catalog leave the model and its inputs as they are, so the decision of then and the one of the other catalog
//! score the same rows one after the other, and the model's time is most of a decision's.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::{ScoreError, Scorer};

/// The scorers of one worker, by what they compute.
#[derive(Default)]
pub(super) struct Remembered(HashMap<String, Arc<Remembering>>);

impl Remembered {
    /// Returns scorers that give the same scores as these, and share what they remember with those that compute the same.
    pub(super) fn wrap(&mut self, models: &[Option<Arc<dyn Scorer>>]) -> Vec<Option<Arc<dyn Scorer>>> {
        let mut wrap = |model: &Arc<dyn Scorer>| -> Arc<dyn Scorer> {
            let Some(identity) = model.identity() else {
                return Arc::clone(model);
            };
            let new = || {
                Arc::new(Remembering {
                    inner: Arc::clone(model),
                    last: Mutex::default(),
                })
            };
            let shared: &Arc<Remembering> = self.0.entry(identity).or_insert_with(new);
            Arc::clone(shared) as Arc<dyn Scorer>
        };
        models.iter().map(|model| model.as_ref().map(&mut wrap)).collect()
    }
}

struct Remembering {
    inner: Arc<dyn Scorer>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    rows: Vec<f32>,
    scores: Vec<f32>,
}

impl Scorer for Remembering {
    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        let mut last = self.last.lock();
        let is_same = last.scores.len() == scores.len()
            && last.rows.len() == rows.len()
            && last
                .rows
                .iter()
                .zip(rows)
                .all(|(last, now)| last.to_bits() == now.to_bits());
        if is_same {
            scores.copy_from_slice(&last.scores);
            return Ok(());
        }
        last.scores.clear();
        self.inner.score(rows, scores)?;
        let Last {
            rows: kept,
            scores: given,
        } = &mut *last;
        kept.clear();
        kept.extend_from_slice(rows);
        given.extend_from_slice(scores);
        Ok(())
    }

    fn features(&self) -> usize {
        self.inner.features()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn version(&self) -> &str {
        self.inner.version()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Scores each row by its first number, and counts how often it is asked.
    struct Counted(Arc<AtomicU32>);

    impl Scorer for Counted {
        fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            scores.copy_from_slice(rows);
            Ok(())
        }
        fn features(&self) -> usize {
            1
        }
        fn name(&self) -> &'static str {
            "counted"
        }
        fn version(&self) -> &'static str {
            "1"
        }
        fn identity(&self) -> Option<String> {
            Some("the first number".to_owned())
        }
    }

    #[test]
    fn the_same_rows_are_scored_once_for_two_catalogs_and_other_rows_anew() {
        let asked = Arc::new(AtomicU32::new(0));
        let model = || Some(Arc::new(Counted(Arc::clone(&asked))) as Arc<dyn Scorer>);
        let mut remembered = Remembered::default();
        let (then, now) = (remembered.wrap(&[model(), None]), remembered.wrap(&[model()]));
        assert!(then[1].is_none());
        let score = |models: &[Option<Arc<dyn Scorer>>], rows: &[f32]| {
            let mut scores = vec![0.0; rows.len()];
            models[0].as_ref().unwrap().score(rows, &mut scores).unwrap();
            scores
        };
        for (rows, times) in [(vec![0.1, 0.2], 1), (vec![0.1], 2), (vec![0.3], 3)] {
            assert_eq!(score(&then, &rows), rows);
            assert_eq!(score(&now, &rows), rows);
            assert_eq!(asked.load(Ordering::Relaxed), times);
        }
    }
}
