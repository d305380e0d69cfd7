//! Scoring offers with a forest.

use super::forest::{Forest, SIDE_BY_SIDE, Word};
use super::formula::Ensemble;
use super::lanes::{self, Lanes, Left};
use super::{Job, MASK_BYTES_MAX, NOT_SCORED, Places, TREES_MAX, Unfit};
use crate::catalog::ModelPlan;

/// A forest with what each offer rules out of it.
#[derive(Clone, Debug)]
pub(super) struct Trees<W: Word> {
    pub(super) forest: Forest<W>,
    /// `[n_offers, n_trees]`, by the offer's place among those of the model; empty when no offer rules anything out.
    offers: Vec<W>,
    /// The same once more, for many offers at once; absent where that cannot be.
    lanes: Option<Lanes>,
    /// All leaves of all trees.
    all: Vec<W>,
    /// Whether the trees ask for what differs between groups, and for what differs between the offers of a group.
    asks_group: bool,
    asks_pair: bool,
}

/// What a decision rules out, reused from one to the next; each by tree.
#[derive(Debug, Default)]
pub(super) struct Room<W> {
    /// For everybody.
    shared: Vec<W>,
    /// `[n_groups, n_trees]`, for a group, and what its offers without contacts rule out as well.
    groups: Vec<W>,
    plain: Vec<W>,
    /// Whether a group's masks are there.
    is_made: Vec<bool>,
    /// For one offer.
    pair: Vec<W>,
    lanes: lanes::Room,
    /// Places in `offers` of those that are scored one by one.
    rest: Vec<usize>,
}

impl<W: Word> Trees<W> {
    pub(super) fn new(
        ensemble: &Ensemble,
        places: &Places,
        plan: &ModelPlan,
        rows: &[u32],
        groups: &[usize],
    ) -> Result<Self, Unfit> {
        let forest = Forest::<W>::new(ensemble, places.adjust.len()).ok_or(Unfit::Deep)?;
        let trees = forest.trees();
        if trees > TREES_MAX {
            return Err(Unfit::Trees(trees));
        }
        let scored = rows.iter().filter(|&&row| row != NOT_SCORED).count();
        let asks = |columns: &[usize]| columns.iter().any(|&column| forest.asks(column));
        let is_by_offer = asks(&places.offer);
        if is_by_offer && trees * scored * size_of::<W>() > MASK_BYTES_MAX {
            return Err(Unfit::Memory { trees, offers: scored });
        }
        let mut offers = vec![W::ALL; if is_by_offer { trees * scored } else { 0 }];
        if is_by_offer {
            for known in &plan.by_offer {
                for (&row, &cell) in rows.iter().zip(&known.cells) {
                    if row != NOT_SCORED {
                        let masks = &mut offers[row as usize * trees..][..trees];
                        forest.rule_out(known.column, places.adjusted(known.column, cell), masks);
                    }
                }
            }
        }
        Ok(Self {
            lanes: forest.lanes(&offers, rows, groups),
            all: vec![W::ALL; trees],
            asks_group: asks(&places.group),
            asks_pair: asks(&places.pair),
            forest,
            offers,
        })
    }

    /// Scores a row of adjusted numbers.
    pub(super) fn score_row(&self, row: &[f32], room: &mut Room<W>) -> f32 {
        room.pair.clone_from(&self.all);
        for (column, &number) in row.iter().enumerate() {
            self.forest.rule_out(column, number, &mut room.pair);
        }
        let [sum] = self.forest.sums([&room.pair], [&self.all]);
        sum
    }

    pub(super) fn score(&self, job: &Job<'_>, room: &mut Room<W>, scores: &mut [f32]) {
        room.shared.clone_from(&self.all);
        job.shared(|column, number| self.forest.rule_out(column, number, &mut room.shared));
        if self.asks_group || self.asks_pair {
            self.make_groups(job, room);
        }
        let varies = self.asks_group || self.asks_pair;
        if !varies && self.offers.is_empty() {
            // All offers are the same to this model.
            let [sum] = self.forest.sums([&room.shared], [&self.all]);
            scores.fill(sum);
            return;
        }
        let trees = self.all.len();
        let customer = |offer: u16| {
            if varies {
                &room.plain[job.group(offer) * trees..][..trees]
            } else {
                &room.shared[..]
            }
        };
        room.rest.clear();
        let left = if varies { &room.plain } else { &room.shared };
        match (&self.lanes, W::as_small(left, &[])) {
            // Where each offer differs from the others, all are scored again one by one.
            (Some(lanes), Some((left, _))) if !job.is_by_day() => {
                let left = if varies { Left::ByGroup(left) } else { Left::Same(left) };
                let place = |offer: &u16| job.row(*offer);
                lanes.add_up(job.offers.iter().map(place), left, &mut room.lanes);
                for (at, (offer, score)) in job.offers.iter().zip(&mut *scores).enumerate() {
                    match lanes.sum(place(offer), &room.lanes) {
                        Some(sum) => *score = self.forest.finished(sum),
                        None => room.rest.push(at),
                    }
                }
            }
            _ => room.rest.extend(0..job.offers.len()),
        }
        let (several, rest) = room.rest.as_chunks::<SIDE_BY_SIDE>();
        for &places in several {
            let offers = places.map(|at| job.offers[at]);
            let sums = self
                .forest
                .sums(offers.map(customer), offers.map(|offer| self.of_offer(job, offer)));
            for (at, sum) in places.into_iter().zip(sums) {
                scores[at] = sum;
            }
        }
        for &at in rest {
            let offer = job.offers[at];
            [scores[at]] = self.forest.sums([customer(offer)], [self.of_offer(job, offer)]);
        }
        if self.asks_pair {
            self.score_special(job, room, scores);
        }
    }

    fn of_offer(&self, job: &Job<'_>, offer: u16) -> &[W] {
        let trees = self.all.len();
        if self.offers.is_empty() {
            &self.all
        } else {
            &self.offers[job.row(offer) * trees..][..trees]
        }
    }

    /// Makes the masks of the groups that there are offers of.
    fn make_groups(&self, job: &Job<'_>, room: &mut Room<W>) {
        let trees = self.all.len();
        let Room {
            shared,
            groups,
            plain,
            is_made,
            ..
        } = room;
        groups.resize(job.groups_count * trees, W::ALL);
        plain.resize(job.groups_count * trees, W::ALL);
        is_made.clear();
        is_made.resize(job.groups_count, false);
        for &offer in job.offers {
            let group = job.group(offer);
            if std::mem::replace(&mut is_made[group], true) {
                continue;
            }
            let of_group = &mut groups[group * trees..][..trees];
            of_group.copy_from_slice(shared);
            job.of_group(group, |column, number| self.forest.rule_out(column, number, of_group));
            let of_plain = &mut plain[group * trees..][..trees];
            of_plain.copy_from_slice(of_group);
            if !job.is_by_day() {
                job.of_no_contact(|column, number| self.forest.rule_out(column, number, of_plain));
            }
        }
    }

    /// Scores the offers again that differ from the others of their group.
    fn score_special(&self, job: &Job<'_>, room: &mut Room<W>, scores: &mut [f32]) {
        let trees = self.all.len();
        let Room { groups, pair, .. } = room;
        job.special(|at| {
            let offer = job.offers[at];
            pair.clear();
            pair.extend_from_slice(&groups[job.group(offer) * trees..][..trees]);
            job.of_pair(at, |column, number| self.forest.rule_out(column, number, pair));
            [scores[at]] = self.forest.sums([pair], [self.of_offer(job, offer)]);
        });
    }
}
