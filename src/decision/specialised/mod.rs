//! A model that is taken apart for a catalog, so that each part of a score is computed once where it belongs.
//!
//! A model is a [`Formula`] over a row of columns, and the catalog says what each column reads. What the **offers** are is
//! known when the catalog is loaded: what it rules out of the trees, or adds to the weighted sum, is kept for each offer.
//! What the **customer**, the behaviour, the intents and the request say is worked in once a decision. Of the contact
//! history, what is counted for a **group** is worked in once for each group, and what is counted for an **offer** only
//! for the few offers that there were contacts with; so are the days since an offer's date. What is left for each offer is
//! to add up the trees, or a few numbers.
//!
//! The same row has the same score to the bit, whether it is scored in parts ([`Specialised::score`]) or as a row
//! ([`Specialised::score_row`]), and on every machine: sums have a fixed order, nothing is fused, and the logistic function
//! is our own. [`REVISION`] names this arithmetic.

mod forest;
mod formula;
mod lanes;
mod linear;
mod logistic;
mod pieces;
#[cfg(test)]
pub(crate) mod tests;
mod trees;

use std::fmt;

pub use formula::{Adjust, Body, Ensemble, Finish, Formula, Linear, Node, Test, Tree};
pub use logistic::logistic;

use super::features::Parts;
use crate::catalog::{Catalog, ColumnSource, ContactScope, Encoding, ModelPlan};
use linear::Sums;
use trees::Trees;

/// The number of the arithmetic: another release that scores differently, if only in the last bit, has another one.
pub const REVISION: u32 = 1;

/// The most memory for what the offers rule out, and as much once more where they lie side by side: 100 trees take 400 or 800 bytes an
/// offer.
const MASK_BYTES_MAX: usize = 256 << 20;

/// The most trees, or pieces of trees, that a model is cut into: a thousand trees of a thousand leaves.
const TREES_MAX: usize = 32_768;

/// Why a formula is not specialised for a catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The columns of the catalog are not those of the formula.
    #[error("it reads {found} columns, the catalog has {expected} for it")]
    Columns {
        /// How many the formula has.
        found: usize,
        /// How many the manifest has.
        expected: usize,
    },
    /// A tree is deeper than a word has bits.
    #[error("a way through one of its trees asks more than 63 questions")]
    Deep,
    /// There are too many trees.
    #[error("it has {0} trees or pieces of trees of 64 leaves, at most {TREES_MAX} are allowed")]
    Trees(usize),
    /// It would take too much memory.
    #[error("{trees} trees or pieces of trees for {offers} offers take more than {} MB", MASK_BYTES_MAX >> 20)]
    Memory {
        /// How many trees.
        trees: usize,
        /// How many offers.
        offers: usize,
    },
}

/// Where a column's number is worked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Once a decision.
    Shared,
    /// Once for each group.
    Group,
    /// Once a catalog, for each offer.
    Offer,
    /// For each offer, in each decision.
    Pair,
}

/// How the columns are told apart.
#[derive(Clone, Debug)]
struct Places {
    adjust: Vec<Adjust>,
    shared: Vec<usize>,
    group: Vec<usize>,
    offer: Vec<usize>,
    pair: Vec<usize>,
}

/// How many columns are worked in where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Once a decision.
    pub shared: usize,
    /// Once a decision for each group.
    pub group: usize,
    /// Once a catalog.
    pub offer: usize,
    /// For each offer that there is something to say of.
    pub pair: usize,
}

/// A model that is taken apart for a catalog.
#[derive(Clone, Debug)]
pub struct Specialised {
    places: Places,
    /// By the offer's position, its place among the offers of the model; [`NOT_SCORED`] for an offer of another group.
    rows: Vec<u32>,
    kind: Kind,
    finish: Vec<Finish>,
}

/// Stands for the place of an offer that the model does not score.
const NOT_SCORED: u32 = u32::MAX;

#[derive(Clone, Debug)]
enum Kind {
    /// No tree has more than 32 leaves.
    Small(Trees<u32>),
    /// Some do.
    Large(Trees<u64>),
    Linear(Sums),
}

/// What scoring needs room for, reused from decision to decision.
#[derive(Debug, Default)]
pub struct Scratch {
    small: trees::Room<u32>,
    large: trees::Room<u64>,
    sums: linear::Room,
    row: Vec<f32>,
}

impl Specialised {
    /// Takes a formula apart for the offers of a catalog that the model at `position` scores, be it as a first stage.
    ///
    /// # Errors
    /// [`Unfit`] when it is too large.
    pub fn new(formula: &Formula, catalog: &Catalog, position: usize) -> Result<Self, Unfit> {
        let plan = &catalog.models[position];
        if formula.features() != plan.columns.len() {
            return Err(Unfit::Columns {
                found: formula.features(),
                expected: plan.columns.len(),
            });
        }
        let is_scored = |group: &usize| catalog.is_scored(*group, position);
        let mut next = 0;
        let rows = catalog.offer_groups.iter().map(|group| {
            next += u32::from(is_scored(group));
            if is_scored(group) { next - 1 } else { NOT_SCORED }
        });
        let rows: Vec<u32> = rows.collect();
        let places = Places::of(plan, &formula.adjust);
        let kind = match &formula.body {
            Body::Linear(linear) => Kind::Linear(Sums::new(linear, &places, plan, &rows)),
            Body::Trees(ensemble) if ensemble.trees.iter().all(|tree| tree.leaves() <= 32) => {
                Kind::Small(Trees::new(ensemble, &places, plan, &rows, &catalog.offer_groups)?)
            }
            Body::Trees(ensemble) => Kind::Large(Trees::new(ensemble, &places, plan, &rows, &catalog.offer_groups)?),
        };
        Ok(Self {
            places,
            rows,
            kind,
            finish: formula.finish.clone(),
        })
    }

    /// Returns the width of a row.
    #[must_use]
    pub fn features(&self) -> usize {
        self.places.adjust.len()
    }

    /// Tells whether it is made of trees; otherwise it is a weighted sum.
    #[must_use]
    pub const fn is_trees(&self) -> bool {
        !matches!(self.kind, Kind::Linear(_))
    }

    /// Returns how many columns are worked in where.
    #[must_use]
    pub fn split(&self) -> Split {
        Split {
            shared: self.places.shared.len(),
            group: self.places.group.len(),
            offer: self.places.offer.len(),
            pair: self.places.pair.len(),
        }
    }

    /// Returns the numbers that a column's adjusted number is compared with.
    #[must_use]
    pub fn thresholds(&self, column: usize) -> Vec<f32> {
        match &self.kind {
            Kind::Small(trees) => trees.forest.thresholds(column).collect(),
            Kind::Large(trees) => trees.forest.thresholds(column).collect(),
            Kind::Linear(_) => Vec::new(),
        }
    }

    /// Scores `offers` of the catalog that it was made for: positions, in order, of groups that the model scores, for which
    /// `parts` were gathered. Leaves one score for each. A score may be NaN or outside 0 to 1 when the model's is.
    pub fn score(
        &self,
        parts: &Parts,
        catalog: &Catalog,
        offers: &[u16],
        scratch: &mut Scratch,
        scores: &mut Vec<f32>,
    ) {
        let job = Job {
            places: &self.places,
            parts,
            groups: &catalog.offer_groups,
            groups_count: catalog.groups.len(),
            offers,
            rows: &self.rows,
        };
        scores.clear();
        scores.resize(offers.len(), 0.0);
        match &self.kind {
            Kind::Small(trees) => trees.score(&job, &mut scratch.small, scores),
            Kind::Large(trees) => trees.score(&job, &mut scratch.large, scores),
            Kind::Linear(sums) => sums.score(&job, &mut scratch.sums, scores),
        }
        self.finish(scores);
    }

    /// Scores one row of [`Specialised::features`] numbers.
    #[must_use]
    pub fn score_row(&self, row: &[f32], scratch: &mut Scratch) -> f32 {
        let adjusted = &mut scratch.row;
        adjusted.clear();
        adjusted.extend(
            self.places
                .adjust
                .iter()
                .zip(row)
                .map(|(adjust, &cell)| adjust.apply(cell)),
        );
        let mut score = [match &self.kind {
            Kind::Small(trees) => trees.score_row(adjusted, &mut scratch.small),
            Kind::Large(trees) => trees.score_row(adjusted, &mut scratch.large),
            Kind::Linear(sums) => sums.score_row(adjusted, &self.places),
        }];
        self.finish(&mut score);
        score[0]
    }

    fn finish(&self, scores: &mut [f32]) {
        for finish in &self.finish {
            if *finish == Finish::Logistic {
                // Several at once, which no choice for each would allow.
                logistic::logistic_all(scores);
                continue;
            }
            for score in &mut *scores {
                *score = finish.apply(*score);
            }
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} columns once a decision, {} by group, {} by offer, {} by customer and offer",
            self.shared, self.group, self.offer, self.pair
        )
    }
}

impl Places {
    fn of(plan: &ModelPlan, adjust: &[Adjust]) -> Self {
        let at = |place: Place| {
            let columns = plan.columns.iter().enumerate();
            columns
                .filter(|(_, column)| place_of(column.from, &column.encoding) == place)
                .map(|(at, _)| at)
                .collect()
        };
        Self {
            adjust: adjust.to_vec(),
            shared: at(Place::Shared),
            group: at(Place::Group),
            offer: at(Place::Offer),
            pair: at(Place::Pair),
        }
    }

    fn adjusted(&self, column: usize, number: f32) -> f32 {
        self.adjust[column].apply(number)
    }
}

fn place_of(from: ColumnSource, encoding: &Encoding) -> Place {
    match from {
        ColumnSource::Offer(_) if *encoding == Encoding::DaysSince => Place::Pair,
        ColumnSource::Offer(_) => Place::Offer,
        ColumnSource::Contacts { scope, .. } => match scope {
            ContactScope::All => Place::Shared,
            ContactScope::Group => Place::Group,
            ContactScope::Offer => Place::Pair,
        },
        ColumnSource::Profile(_) | ColumnSource::Behaviour(_) | ColumnSource::Intent(_) | ColumnSource::Context(_) => {
            Place::Shared
        }
    }
}

/// What is to be scored.
struct Job<'a> {
    places: &'a Places,
    parts: &'a Parts,
    /// The group of each offer of the catalog.
    groups: &'a [usize],
    groups_count: usize,
    offers: &'a [u16],
    /// The place of each offer of the catalog among those of the model.
    rows: &'a [u32],
}

impl Job<'_> {
    fn group(&self, offer: u16) -> usize {
        self.groups[usize::from(offer)]
    }

    fn row(&self, offer: u16) -> usize {
        self.rows[usize::from(offer)] as usize
    }

    /// Calls `work` with the columns that are the same for all offers, and their adjusted numbers.
    fn shared(&self, mut work: impl FnMut(usize, f32)) {
        for &column in &self.places.shared {
            work(column, self.places.adjusted(column, self.parts.shared[column]));
        }
    }

    /// The same of the columns of a group.
    fn of_group(&self, group: usize, mut work: impl FnMut(usize, f32)) {
        for cells in &self.parts.by_group {
            work(cells.column, self.places.adjusted(cells.column, cells.cells[group]));
        }
    }

    /// The same of the columns of an offer that there were no contacts with; only if no column counts days.
    fn of_no_contact(&self, mut work: impl FnMut(usize, f32)) {
        for cells in &self.parts.by_offer {
            work(
                cells.column,
                self.places.adjusted(cells.column, self.parts.shared[cells.column]),
            );
        }
    }

    /// The same of the columns of the offer at a place in `offers`.
    fn of_pair(&self, at: usize, mut work: impl FnMut(usize, f32)) {
        let offer = self.offers[at];
        // In the order of the columns, as in a row.
        for &column in &self.places.pair {
            let days = self.parts.by_day.iter().find(|cells| cells.column == column);
            let contacts = self.parts.by_offer.iter().find(|cells| cells.column == column);
            let cell = match (days, contacts) {
                (Some(days), _) => days.cells[at],
                (None, Some(contacts)) => contacts
                    .cells
                    .binary_search_by_key(&offer, |cell| cell.0)
                    .map_or(self.parts.shared[column], |found| contacts.cells[found].1),
                (None, None) => continue,
            };
            work(column, self.places.adjusted(column, cell));
        }
    }

    /// Whether each offer differs from the others of its group in what the decision says of it.
    fn is_by_day(&self) -> bool {
        !self.parts.by_day.is_empty()
    }

    /// Calls `work` with the places in `offers` of the offers that differ from the others of their group in what the decision
    /// says of them; an offer may come twice.
    fn special(&self, mut work: impl FnMut(usize)) {
        if self.is_by_day() {
            (0..self.offers.len()).for_each(work);
            return;
        }
        for cells in &self.parts.by_offer {
            for (offer, _) in &cells.cells {
                if let Ok(at) = self.offers.binary_search(offer) {
                    work(at);
                }
            }
        }
    }
}
