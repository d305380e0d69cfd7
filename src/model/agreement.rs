//! Tries a factorised model against ONNX Runtime, row by row.
//!
//! Three kinds of rows are scored by both: the golden rows; rows drawn column by column; and the offers of the catalog with
//! drawn customers, in parts as a decision scores them. Rows in parts and as rows must agree to the bit, the two ways within
//! [`DIFFERENCE_MAX`]. A row that both find no propensity for, as NaN in a weighted sum, is agreement as well.
//!
//! Trees are drawn what they compare a column with, the numbers right beside, and what is missing or endless, whether or not
//! the column can say it. A weighted sum is drawn only what its columns can say: the sums of ONNX Runtime have 32 bits, so
//! far outside they are not exact to [`DIFFERENCE_MAX`] themselves.

use std::fmt;

use super::onnx::Model;
use crate::catalog::manifest::Manifest;
use crate::catalog::{Catalog, Column, ColumnSource, ContactScope, Encoding};
use crate::decision::features::{Cells, Parts};
use crate::decision::specialised::{Scratch, Specialised};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// The most that the score of any row may differ.
pub const DIFFERENCE_MAX: f32 = 1e-6;

/// How many rows are drawn: some milliseconds of 100 trees in ONNX Runtime.
const DRAWN_ROWS: usize = 1_000;

/// About how many rows of offers are scored in parts, and of how many offers at once.
const OFFER_ROWS: usize = 1_000;
const OFFERS_AT_ONCE: usize = 100;

/// What was tried.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Agreement {
    /// What was agreed with.
    with: String,
    /// On how many rows.
    rows: usize,
    /// The largest difference.
    difference: f32,
    /// How the columns are told apart.
    split: String,
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            with,
            rows,
            difference,
            split,
        } = self;
        write!(
            f,
            "agrees with {with} on {rows} rows, at most {difference:.0e} apart; {split}"
        )
    }
}

/// Tries a model of this position in the catalog; without a reference, on the golden rows only.
///
/// # Errors
/// The first row on which the two do not agree, in one line.
pub(super) fn check(
    specialised: &Specialised,
    catalog: &Catalog,
    position: usize,
    manifest: &Manifest,
    reference: Option<(&Model, &str)>,
) -> Result<Agreement, String> {
    let mut trial = Trial {
        specialised,
        model: reference.map(|(model, _)| model),
        scratch: Scratch::default(),
        rows: 0,
        difference: 0.0,
    };
    trial.golden(manifest)?;
    if reference.is_some() {
        let mut draw = Draw::new(specialised, &catalog.models[position].columns, manifest);
        trial.drawn(&mut draw)?;
        trial.offers(&mut draw, catalog, position)?;
    }
    Ok(Agreement {
        with: reference
            .map_or("the golden rows only, without ONNX Runtime,", |(_, name)| name)
            .to_owned(),
        rows: trial.rows,
        difference: trial.difference,
        split: specialised.split().to_string(),
    })
}

/// What is being tried, and what came of it so far.
struct Trial<'a> {
    specialised: &'a Specialised,
    model: Option<&'a Model>,
    scratch: Scratch,
    rows: usize,
    difference: f32,
}

impl Trial<'_> {
    fn golden(&mut self, manifest: &Manifest) -> Result<(), String> {
        let tolerance = if self.model.is_some() {
            manifest.tolerance
        } else {
            manifest.tolerance.min(DIFFERENCE_MAX)
        };
        for (number, golden) in manifest.golden.iter().enumerate() {
            let score = self.specialised.score_row(&golden.row, &mut self.scratch);
            // NaN is not within anything.
            let is_near = (score - golden.score).abs() <= tolerance;
            if !is_near {
                return Err(format!(
                    "golden row {number} scores {score}, the manifest says {}",
                    golden.score
                ));
            }
            if self.model.is_none() {
                self.rows += 1;
                self.difference = self.difference.max((score - golden.score).abs());
            }
        }
        let rows: Vec<f32> = manifest
            .golden
            .iter()
            .flat_map(|golden| golden.row.iter().copied())
            .collect();
        self.compare(&rows, "golden row")
    }

    fn drawn(&mut self, draw: &mut Draw<'_>) -> Result<(), String> {
        let rows: Vec<f32> = (0..DRAWN_ROWS).flat_map(|_| draw.row()).collect();
        self.compare(&rows, "drawn row")
    }

    /// Scores offers of the catalog with drawn customers, in parts.
    fn offers(&mut self, draw: &mut Draw<'_>, catalog: &Catalog, position: usize) -> Result<(), String> {
        let scored = |at: &usize| catalog.is_scored(catalog.offer_groups[*at], position);
        let offers: Vec<u16> = (0..catalog.offers.len())
            .filter(scored)
            .filter_map(|at| u16::try_from(at).ok())
            .collect();
        if offers.is_empty() {
            return Ok(());
        }
        let (mut rows, mut found) = (Vec::new(), Vec::new());
        let customers = (OFFER_ROWS / offers.len().min(OFFERS_AT_ONCE)).max(1);
        for _ in 0..customers {
            let mut some: Vec<u16> = if offers.len() <= OFFERS_AT_ONCE {
                offers.clone()
            } else {
                (0..OFFERS_AT_ONCE).map(|_| offers[draw.below(offers.len())]).collect()
            };
            some.sort_unstable();
            some.dedup();
            let parts = draw.parts(catalog, &some);
            parts.lay_out(catalog, &catalog.models[position], &some, &mut rows);
            self.specialised
                .score(&parts, catalog, &some, &mut self.scratch, &mut found);
            for (row, &score) in rows.chunks_exact(self.specialised.features()).zip(&found) {
                let alone = self.specialised.score_row(row, &mut self.scratch);
                if alone.to_bits() != score.to_bits() && !(alone.is_nan() && score.is_nan()) {
                    return Err(format!("an offer scores {score} in parts, and {alone} as a row"));
                }
            }
            self.compare(&rows, "row of an offer")?;
        }
        Ok(())
    }

    /// Scores rows by both ways.
    fn compare(&mut self, rows: &[f32], what: &str) -> Result<(), String> {
        let Some(model) = self.model else { return Ok(()) };
        let features = self.specialised.features();
        let mut scores = vec![0.0; rows.len() / features];
        model.run(rows, &mut scores).map_err(|error| error.to_string())?;
        for (number, (row, reference)) in rows.chunks_exact(features).zip(scores).enumerate() {
            let score = self.specialised.score_row(row, &mut self.scratch);
            let difference = (score - reference).abs();
            let is_propensity = |score: f32| (-DIFFERENCE_MAX..=1.0 + DIFFERENCE_MAX).contains(&score);
            let is_agreed = difference <= DIFFERENCE_MAX || !(is_propensity(score) || is_propensity(reference));
            if !is_agreed {
                return Err(format!(
                    "{what} {number} scores {score}, and {reference} in ONNX Runtime: more than {DIFFERENCE_MAX:e} apart"
                ));
            }
            if is_propensity(score) {
                self.difference = self.difference.max(difference);
            }
            self.rows += 1;
        }
        Ok(())
    }
}

/// Draws what columns say: always the same for the same model.
struct Draw<'a> {
    columns: &'a [Column],
    /// By column, numbers that it is likely to have.
    known: Vec<Vec<f32>>,
    /// By column, between what others are drawn; nothing when there are no others.
    ranges: Vec<Option<(f32, f32)>>,
    /// By column, what it is compared with, and the numbers right beside.
    edges: Vec<Vec<f32>>,
    /// By column, what is missing or endless.
    odd: Vec<Vec<f32>>,
    state: u64,
}

impl<'a> Draw<'a> {
    fn new(specialised: &Specialised, columns: &'a [Column], manifest: &Manifest) -> Self {
        let mut draw = Self {
            columns,
            known: Vec::new(),
            ranges: Vec::new(),
            edges: Vec::new(),
            odd: Vec::new(),
            state: 0x9e37_79b9_7f4a_7c15,
        };
        for (at, column) in columns.iter().enumerate() {
            let thresholds = specialised.thresholds(at);
            let known = likely(column, at, manifest);
            if specialised.is_trees() {
                let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MIN_POSITIVE];
                draw.odd.push(odd.into());
                draw.ranges.push(Some(range(&known.iter().chain(&thresholds))));
            } else {
                draw.odd.push(sayable_odd(column));
                draw.ranges.push(sayable(column, &known));
            }
            let beside = |edge: f32| [edge, edge.next_up(), edge.next_down()];
            draw.edges.push(thresholds.into_iter().flat_map(beside).collect());
            draw.known.push(known);
        }
        draw
    }

    fn next(&mut self) -> u64 {
        // xorshift64*: G. Marsaglia, Xorshift RNGs, 2003; S. Vigna, 2016.
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or_default() % end.max(1)
    }

    fn one_of(&mut self, numbers: impl Fn(&Self) -> &[f32]) -> Option<f32> {
        let count = numbers(self).len();
        let at = self.below(count);
        numbers(self).get(at).copied()
    }

    /// Draws one row; one in four has what is missing or endless in it.
    fn row(&mut self) -> Vec<f32> {
        let is_odd = self.below(4) == 0;
        (0..self.columns.len())
            .map(|column| self.cell(column, is_odd))
            .collect()
    }

    fn cell(&mut self, column: usize, is_odd: bool) -> f32 {
        let drawn = match self.below(16) {
            0 if is_odd => self.one_of(|draw| &draw.odd[column]),
            0..=3 => self.one_of(|draw| &draw.known[column]),
            4..=9 => self.one_of(|draw| &draw.edges[column]),
            _ => None,
        };
        let Some((low, high)) = self.ranges[column] else {
            return drawn
                .or_else(|| self.one_of(|draw| &draw.known[column]))
                .unwrap_or_default();
        };
        drawn.unwrap_or_else(|| low + (high - low) * (self.next() as f32 / (1_u64 << 32) as f32))
    }

    /// Draws a customer's side of a decision on these offers.
    fn parts(&mut self, catalog: &Catalog, offers: &[u16]) -> Parts {
        let mut parts = Parts::default();
        let is_odd = self.below(4) == 0;
        for (at, column) in self.columns.iter().enumerate() {
            let cells = |draw: &mut Self, count: usize| {
                let cells = (0..count).map(|_| draw.cell(at, is_odd)).collect();
                Cells { column: at, cells }
            };
            match (column.from, &column.encoding) {
                (ColumnSource::Offer(_), Encoding::DaysSince) => {
                    let days = cells(self, offers.len());
                    parts.by_day.push(days);
                }
                (
                    ColumnSource::Contacts {
                        scope: ContactScope::Group,
                        ..
                    },
                    _,
                ) => {
                    let groups = cells(self, catalog.groups.len());
                    parts.by_group.push(groups);
                }
                (
                    ColumnSource::Contacts {
                        scope: ContactScope::Offer,
                        ..
                    },
                    _,
                ) => {
                    let offers = offers
                        .iter()
                        .filter(|_| self.below(5) == 0)
                        .copied()
                        .collect::<Vec<_>>();
                    let cells = offers.into_iter().map(|offer| (offer, self.cell(at, is_odd))).collect();
                    parts.by_offer.push(Cells { column: at, cells });
                }
                _ => {}
            }
            let shared = self.cell(at, is_odd);
            parts.shared.push(shared);
        }
        parts
    }
}

/// Returns the range of the finite numbers, and a little more.
fn range<'a>(numbers: &(impl Iterator<Item = &'a f32> + Clone)) -> (f32, f32) {
    let finite = || numbers.clone().copied().filter(|number| number.is_finite());
    let (low, high) = (finite().fold(0.0, f32::min), finite().fold(1.0, f32::max));
    let margin = 0.1 * (high - low);
    (low - margin, high + margin)
}

/// Returns between what the numbers of a column lie, when it can say more than a few.
fn sayable(column: &Column, known: &[f32]) -> Option<(f32, f32)> {
    let encoded = |number: f64| column.encode(Value::Number(number), Timestamp::default());
    match (&column.encoding, column.clip) {
        (Encoding::Number, Some((low, high))) => Some((encoded(low), encoded(high))),
        (Encoding::Number | Encoding::DaysSince, _) => Some(range(&known.iter())),
        _ => None,
    }
}

/// Returns what a column says that is missing or endless.
fn sayable_odd(column: &Column) -> Vec<f32> {
    let is_endless = column.encoding == Encoding::Number && column.clip.is_none();
    let endless: &[f32] = if is_endless {
        &[f32::INFINITY, f32::NEG_INFINITY]
    } else {
        &[]
    };
    endless.iter().copied().chain([column.missing]).collect()
}

/// Returns numbers that a column is likely to have.
fn likely(column: &Column, at: usize, manifest: &Manifest) -> Vec<f32> {
    let mut numbers: Vec<f32> = manifest
        .golden
        .iter()
        .filter_map(|golden| golden.row.get(at).copied())
        .collect();
    numbers.push(column.missing);
    match &column.encoding {
        Encoding::Equals(_) | Encoding::Contains(_) => numbers.extend([0.0, 1.0]),
        Encoding::Ordinal { codes, unknown } => {
            numbers.extend(codes.iter().map(|(_, code)| *code));
            numbers.push(*unknown);
        }
        Encoding::Number | Encoding::DaysSince => {
            numbers.extend([0.0, 1.0, 2.0].map(|number| column.encode(Value::Number(number), Timestamp::default())));
        }
    }
    numbers
}
