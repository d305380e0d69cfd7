//! Scores that a customer's last list has already.
//!
//! A model that scores row by row ([`crate::model::Scorer::is_by_row`]) and sees the same of a customer gives an offer the same score, to
//! the bit. So when something changed that
//! the model does not see, such as an intent that offers are weighted by, or which offers pass, the scores of the list before are
//! taken over, and the model is asked for those only that it did not score then.

use crate::catalog::Catalog;
use crate::decision::features::Parts;
use crate::domain::decision::{Ranked, Rung};

/// What each model saw when a list was made, by the model's position; nothing of one that was not asked, or about which it cannot be said.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Vec<Option<Box<[u32]>>>);

impl Seen {
    /// Returns how much memory it takes besides its own size, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let seen = self.0.iter().flatten().map(|seen| size_of_val::<[u32]>(seen));
        self.0.capacity() * size_of::<Option<Box<[u32]>>>() + seen.sum::<usize>()
    }

    fn of(&self, model: usize) -> Option<&[u32]> {
        self.0.get(model)?.as_deref()
    }

    fn note(&mut self, model: usize, seen: &[u32]) {
        if self.0.len() <= model {
            self.0.resize(model + 1, None);
        }
        self.0[model] = Some(seen.into());
    }
}

/// The list that was made for the customer before, in the same activation.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) seen: &'a Seen,
    pub(super) offers: &'a [Ranked],
}

/// Takes scores over from one list to the next; reused from decision to decision.
#[derive(Debug, Default)]
pub(super) struct Recall {
    /// What the models see now.
    now: Seen,
    bits: Vec<u32>,
    /// By the offer's position, the score that is taken over, or NaN.
    scores: Vec<f32>,
    missing: Vec<u16>,
    of_missing: Vec<f32>,
}

impl Recall {
    /// Takes what the models saw, and forgets it.
    pub(super) fn seen(&mut self) -> Seen {
        std::mem::take(&mut self.now)
    }

    /// Notes what a model sees, and returns those of `offers` that it has to be asked for; all of them unless it saw the same before.
    /// To be followed by [`Recall::complete`].
    pub(super) fn missing<'a>(
        &'a mut self,
        before: Option<Before<'_>>,
        catalog: &Catalog,
        model: usize,
        parts: &Parts,
        offers: &'a [u16],
    ) -> &'a [u16] {
        self.scores.clear();
        self.bits.clear();
        if !parts.seen(|group| catalog.is_scored(group, model), &mut self.bits) {
            return offers;
        }
        self.now.note(model, &self.bits);
        let Some(before) = before.filter(|before| before.seen.of(model) == Some(&self.bits)) else {
            return offers;
        };
        self.scores.resize(catalog.offers.len(), f32::NAN);
        for ranked in before.offers.iter().filter(|ranked| ranked.rung == Rung::Model) {
            let offer = usize::from(ranked.offer);
            if catalog.groups[catalog.offer_groups[offer]].model == Some(model) {
                self.scores[offer] = ranked.propensity;
            }
        }
        self.missing.clear();
        let scores = &self.scores;
        self.missing
            .extend(offers.iter().filter(|&&offer| scores[usize::from(offer)].is_nan()));
        &self.missing
    }

    /// Makes the scores of `offers` of those of the missing ones.
    pub(super) fn complete(&mut self, offers: &[u16], scores: &mut Vec<f32>) {
        if self.scores.is_empty() {
            return;
        }
        std::mem::swap(scores, &mut self.of_missing);
        let mut of_missing = self.of_missing.iter();
        scores.clear();
        scores.extend(offers.iter().map(|&offer| {
            let known = self.scores[usize::from(offer)];
            if known.is_nan() {
                of_missing.next().copied().unwrap_or(known)
            } else {
                known
            }
        }));
    }
}
