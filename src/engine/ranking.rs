//! Making a customer's ranked list, and keeping it while it holds.

use std::hash::BuildHasherDefault;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::catalog::{Catalog, Shortlist};
use crate::decision::facts::Layout;
use crate::decision::features::Rows;
use crate::decision::{gate, rank, shortlist, specialised};
use crate::domain::decision::{Ranked, Ranking, Rung};
use crate::domain::ids::CustomerKey;
use crate::domain::profile::Profile;
use crate::domain::request::OffersRequest;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::model::Scorer;
use crate::store::KeyHasher;

use super::laps::{self, Step};
use super::recall::{Before, Recall, Seen};
use super::{Active, Workspace};

/// A ranked list with what made it.
#[derive(Debug)]
pub(super) struct List {
    ranking_version: u64,
    generation: u64,
    made_at: Timestamp,
    context: Box<[Value]>,
    /// Whether every model answered; a list made on a lower rung is not served again, so that the model is asked anew.
    sound: bool,
    /// What each model saw, for the list that comes after this one.
    seen: Seen,
    /// The list itself.
    pub(super) ranking: Ranking,
}

impl List {
    /// Tells whether it is what would be made now; `whole` asks for all offers.
    fn holds(
        &self,
        active: &Active,
        request: &OffersRequest,
        ranking_version: u64,
        whole: bool,
        now: Timestamp,
    ) -> bool {
        let read = &active.catalog.reads.context;
        let same_context = || {
            let mut pairs = read.iter().zip(&self.context);
            pairs.all(|(&at, value)| request.context.get(at) == Some(value))
        };
        self.generation == active.generation
            && self.ranking_version == ranking_version
            && (self.made_at..self.ranking.valid_until).contains(&now)
            && self.sound
            && !(whole && self.ranking.is_cut)
            && same_context()
    }
}

/// Whether a list that is made is cached, and for whom. A run over many customers comes to each of them once, in no hurry, whereas what it
/// would throw out is asked for again: so it leaves the lists of live calls as they were, and has a place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// For whoever asks next.
    Yes,
    /// Not at all.
    No,
    /// For the run that looks at the customer, and comes back.
    Look,
    /// Not again, by the run that looked.
    Again,
    /// Not any more, by the run that looked: it does not come back.
    Over,
}

impl Keep {
    /// Returns the same for a list of a profile that is kept or not: of the latter nothing is for whoever asks next.
    pub(super) const fn of_kept(self, is_kept: bool) -> Self {
        match self {
            Self::Yes if !is_kept => Self::No,
            same => same,
        }
    }
}

/// Returns where a run has its list of a customer. As likely as two ids with one hash, this is another customer's place.
const fn of_run(key: CustomerKey) -> u128 {
    !key.get()
}

/// The cached lists.
pub(super) struct Lists(Cache<u128, Arc<List>, Bytes, BuildHasherDefault<KeyHasher>>);

#[derive(Clone)]
struct Bytes;

impl Weighter<u128, Arc<List>> for Bytes {
    fn weight(&self, _: &u128, list: &Arc<List>) -> u64 {
        let offers = list.ranking.offers.capacity() * size_of::<Ranked>();
        (size_of::<List>() + offers + list.context.len() * size_of::<Value>() + list.seen.bytes() + 64) as u64
    }
}

impl Lists {
    pub(super) fn new(bytes_max: u64) -> Self {
        // A list of 100 offers has about 3 kB; the estimate only sizes the table.
        let estimated = usize::try_from(bytes_max / 3_000).unwrap_or(usize::MAX).max(16);
        Self(Cache::with(
            estimated,
            bytes_max,
            Bytes,
            BuildHasherDefault::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        ))
    }

    /// Forgets the lists of a customer that another snapshot made.
    pub(super) fn forget_others(&self, active: &Active, key: CustomerKey) {
        for place in [key.get(), of_run(key)] {
            let is_other = |list: Arc<List>| list.generation != active.generation;
            if self.0.peek(&place).is_some_and(is_other) {
                self.0.remove(&place);
            }
        }
    }

    pub(super) fn forget(&self, key: CustomerKey) {
        self.0.remove(&key.get());
        self.0.remove(&of_run(key));
    }

    /// Returns how many lists are cached.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the customer's list when it is cached, holds, and has all offers, so that the call needs no other. Called under the
    /// customer's lock.
    pub(super) fn cached(
        &self,
        active: &Active,
        request: &OffersRequest,
        key: CustomerKey,
        ranking_version: u64,
        now: Timestamp,
    ) -> Option<Arc<List>> {
        let kept = self.0.get(&key.get());
        kept.filter(|list| list.holds(active, request, ranking_version, true, now))
    }

    /// Returns the customer's list, cached or made now, and whether it was cached. Called under the customer's lock, so the
    /// list fits the profile. A list made for a profile that will not be written back must not be kept. Of a long
    /// list only the best are there unless `whole` is asked for.
    #[expect(clippy::too_many_arguments, reason = "a list depends on all of them")]
    pub(super) fn list(
        &self,
        active: &Active,
        request: &OffersRequest,
        key: CustomerKey,
        profile: &Profile,
        keep: Keep,
        whole: bool,
        now: Timestamp,
        workspace: &mut Workspace,
    ) -> (Arc<List>, bool) {
        let kept = self.0.get(&key.get());
        let looked = match keep {
            Keep::Again => self.0.get(&of_run(key)),
            Keep::Over => self.0.remove(&of_run(key)).map(|(_, list)| list),
            Keep::Yes | Keep::No | Keep::Look => None,
        };
        let holds = |list: &&Arc<List>| list.holds(active, request, profile.ranking_version, whole, now);
        if let Some(list) = kept.iter().chain(&looked).find(holds) {
            return (Arc::clone(list), true);
        }
        let before = kept.filter(|list| list.generation == active.generation);
        let (ranking, sound) = rank_now(active, request, profile, before.as_deref(), whole, now, workspace);
        let read = active.catalog.reads.context.iter();
        let context = read
            .map(|&at| request.context.get(at).copied().unwrap_or_default())
            .collect();
        let list = Arc::new(List {
            ranking_version: profile.ranking_version,
            generation: active.generation,
            made_at: now,
            context,
            sound,
            // Only of what is kept for live calls are scores taken over.
            seen: if keep == Keep::Yes {
                workspace.recall.seen()
            } else {
                Seen::default()
            },
            ranking,
        });
        match keep {
            // The last good scores stay at hand for as long as a model fails.
            Keep::Yes if sound || before.is_none_or(|before| !before.sound) => {
                self.0.insert(key.get(), Arc::clone(&list));
            }
            Keep::Look => self.0.insert(of_run(key), Arc::clone(&list)),
            Keep::Yes | Keep::No | Keep::Again | Keep::Over => {}
        }
        (list, false)
    }

    /// Returns the whole of a cut list that was the last to be made in this workspace, and keeps it instead.
    pub(super) fn made_whole(&self, list: &List, key: CustomerKey, keep: Keep, workspace: &mut Workspace) -> Arc<List> {
        let Workspace { unsorted, keys, .. } = workspace;
        let list = Arc::new(List {
            context: list.context.clone(),
            seen: list.seen.clone(),
            ranking: Ranking {
                offers: rank::in_order(unsorted, usize::MAX, keys),
                is_cut: false,
                valid_until: list.ranking.valid_until,
            },
            ..*list
        });
        if keep == Keep::Yes && list.sound {
            self.0.insert(key.get(), Arc::clone(&list));
        }
        list
    }
}

/// Gates, scores and orders; also tells whether every model answered.
pub(super) fn rank_now(
    active: &Active,
    request: &OffersRequest,
    profile: &Profile,
    last: Option<&List>,
    whole: bool,
    now: Timestamp,
    workspace: &mut Workspace,
) -> (Ranking, bool) {
    let catalog = &*active.catalog;
    let Workspace {
        layout,
        scratch,
        survivors,
        of_model,
        shortlisted,
        rows,
        recall,
        scoring,
        weights,
        unsorted,
        keys,
        ..
    } = workspace;
    // What was seen for a list that was not kept is of no use to the next.
    drop(recall.seen());
    let until = layout.fill(catalog, profile, now);
    let gate = gate::survivors(catalog, layout, &request.context, now, scratch, survivors);
    laps::lap(Step::Gate);
    rank::context_weights(catalog, &layout.intent, weights);
    let mut asking = Asking {
        active,
        request,
        profile,
        layout,
        now,
        rows,
        before: last.map(|list| Before {
            seen: &list.seen,
            offers: &list.ranking.offers,
        }),
        recall,
        scratch: scoring,
        weights,
        shortlisted,
        keys,
        valid_until: until.min(gate),
    };
    unsorted.clear();
    let mut sound = true;
    let model_of = |offer: u16| catalog.groups[catalog.offer_groups[usize::from(offer)]].model;
    for &offer in survivors.iter().filter(|&&offer| model_of(offer).is_none()) {
        let start = catalog.offers[usize::from(offer)].start_propensity;
        unsorted.push(rank::ranked(catalog, offer, start, Rung::Start, asking.weights));
    }
    for at in 0..catalog.models.len() {
        of_model.clear();
        of_model.extend(survivors.iter().filter(|&&offer| model_of(offer) == Some(at)));
        if of_model.is_empty() {
            continue;
        }
        let is_loaded = asking.scorer(at).is_some();
        let answered = is_loaded && asking.score(at, of_model, unsorted);
        if !answered {
            lower(catalog, last, at, of_model, asking.weights, unsorted);
        }
        sound &= answered || !is_loaded;
    }
    let valid_until = asking.valid_until;
    laps::lap(Step::Score);
    let at_most = if whole { usize::MAX } else { rank::LISTED };
    let ranking = Ranking {
        offers: rank::in_order(unsorted, at_most, keys),
        is_cut: unsorted.len() > at_most,
        valid_until,
    };
    laps::lap(Step::Rank);
    (ranking, sound)
}

/// What the models of one decision are asked with.
struct Asking<'a> {
    active: &'a Active,
    request: &'a OffersRequest,
    profile: &'a Profile,
    layout: &'a Layout,
    now: Timestamp,
    rows: &'a mut Rows,
    before: Option<Before<'a>>,
    recall: &'a mut Recall,
    scratch: &'a mut specialised::Scratch,
    weights: &'a [f32],
    shortlisted: &'a mut Vec<u16>,
    keys: &'a mut Vec<u64>,
    /// Until when everything that was asked so far stays the same if only time passes.
    valid_until: Timestamp,
}

impl Asking<'_> {
    fn scorer(&self, model: usize) -> Option<&Arc<dyn Scorer>> {
        self.active.models.get(model)?.as_ref()
    }

    /// Adds the entries of `offers`, all that passed of a model's groups, in two stages when there are more than its shortlist keeps.
    /// When the model fails, it returns false and adds nothing. When only its first stage fails, the model scores all of them: that
    /// is slower, and no worse.
    fn score(&mut self, model: usize, offers: &[u16], entries: &mut Vec<Ranked>) -> bool {
        let catalog = &*self.active.catalog;
        let shortlist = catalog.models[model].shortlist;
        if let Some(Shortlist { by, keep }) = shortlist.filter(|shortlist| offers.len() > shortlist.keep)
            && self.ask(by, offers)
        {
            let begin = entries.len();
            self.add(offers, Rung::FirstStage, entries);
            let mut best = std::mem::take(self.shortlisted);
            shortlist::choose(&entries[begin..], keep, self.keys, &mut best);
            let answered = self.ask(model, &best);
            if answered {
                let scores = &self.rows.scores;
                shortlist::rescore(catalog, &mut entries[begin..], &best, scores, self.weights);
            } else {
                entries.truncate(begin);
            }
            *self.shortlisted = best;
            return answered;
        }
        let answered = self.ask(model, offers);
        if answered {
            self.add(offers, Rung::Model, entries);
        }
        answered
    }

    fn add(&self, offers: &[u16], rung: Rung, entries: &mut Vec<Ranked>) {
        let scored = offers.iter().zip(&self.rows.scores);
        entries.extend(
            scored.map(|(&offer, &score)| rank::ranked(&self.active.catalog, offer, score, rung, self.weights)),
        );
    }

    /// Leaves a model's scores of offers in `rows`, those of the list before where the model saw the same then, and tells whether there
    /// are all.
    fn ask(&mut self, model: usize, offers: &[u16]) -> bool {
        let catalog = &*self.active.catalog;
        let Some(scorer) = self.active.models.get(model).and_then(Option::as_ref) else {
            return false;
        };
        let plan = &catalog.models[model];
        let Rows { parts, cells, scores } = &mut *self.rows;
        let context = &self.request.context;
        let until = parts.gather(catalog, plan, self.layout, self.profile, context, offers, self.now);
        self.valid_until = self.valid_until.min(until);
        let is_by_row = scorer.is_by_row();
        let missing = if is_by_row {
            self.recall.missing(self.before, catalog, model, parts, offers)
        } else {
            offers
        };
        if !missing.is_empty() {
            let in_parts = scorer.score_parts(parts, catalog, missing, self.scratch, scores);
            let result = in_parts.unwrap_or_else(|| {
                parts.lay_out(catalog, plan, missing, cells);
                scores.clear();
                scores.resize(missing.len(), 0.0);
                scorer.score(cells, scores)
            });
            if result.is_err() {
                return false;
            }
        }
        if is_by_row {
            self.recall.complete(offers, scores);
        }
        true
    }
}

/// Adds the entries of a model's offers without the model, from the rungs below it.
fn lower(
    catalog: &Catalog,
    last: Option<&List>,
    model: usize,
    offers: &[u16],
    weights: &[f32],
    entries: &mut Vec<Ranked>,
) {
    let last_good = last_scores(catalog, last);
    let unlisted = last
        .filter(|list| list.ranking.is_cut)
        .map(|list| lowest_good(catalog, list, model));
    entries.extend(offers.iter().map(|&offer| {
        let (propensity, rung) = lower_rung(catalog, &last_good, unlisted, offer);
        rank::ranked(catalog, offer, propensity, rung, weights)
    }));
}

/// The last good scores by the offer's position, from the customer's list of the same activation; empty without one.
fn last_scores(catalog: &Catalog, kept: Option<&List>) -> Vec<Option<f32>> {
    let Some(list) = kept else { return Vec::new() };
    let mut scores = vec![None; catalog.offers.len()];
    for ranked in list.ranking.offers.iter().filter(|ranked| ranked.rung != Rung::Start) {
        scores[usize::from(ranked.offer)] = Some(ranked.propensity);
    }
    scores
}

/// The lowest last good score of a model's offers in a list that has the best only: those that are not in it were worth less.
fn lowest_good(catalog: &Catalog, list: &List, model: usize) -> f32 {
    let offers = list.ranking.offers.iter();
    let good = offers.filter(|ranked| {
        let group = catalog.offer_groups[usize::from(ranked.offer)];
        ranked.rung != Rung::Start && catalog.groups[group].model == Some(model)
    });
    good.map(|ranked| ranked.propensity).fold(1.0, f32::min)
}

/// The last good score when there is one, else the start propensity, which for an offer that was not listed among the best is not
/// more than the score of those.
fn lower_rung(catalog: &Catalog, last_good: &[Option<f32>], unlisted: Option<f32>, offer: u16) -> (f32, Rung) {
    if let Some(score) = last_good.get(usize::from(offer)).copied().flatten() {
        return (score, Rung::LastGood);
    }
    let start = catalog.offers[usize::from(offer)].start_propensity;
    (start.min(unlisted.unwrap_or(start)), Rung::Start)
}
