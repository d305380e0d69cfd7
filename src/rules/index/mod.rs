//! An index over the conditions of all offers: which offers pass, without asking each.
//!
//! An offer passes when all its conditions are true. So conditions are taken apart into clauses that must all hold
//! (`clauses`), after what reads the offer has been decided by its values (`fold`). Offers are copied and adapted, so most
//! clauses are needed by many: each is kept once, with the set of the rows that need it, and a clause that is not true takes
//! its rows out of the set of those that pass, 64 at a time.
//!
//! Most clauses are not even asked. Those that limit the same value, or compare it with values, are a family: the value is
//! read or calculated once, and a search among the sorted limits finds the rows of all that fail (`thresholds`, `values`).
//! A clause of several alternatives joins a family too: what else may hold is its guard, asked once for all behind it. What
//! belongs to no family is asked by itself, once for all its rows, and if those are few only while one of them is left.
//!
//! # Until when the result stands
//!
//! It is exact: the first instant at which time alone lets a row pass that does not, or stops one that does, as far as the
//! single clauses tell ([`Verdict::valid_until`](super::Verdict)). What time never changes is asked first. Of a row that
//! only clauses stop that time will change, the one that changes last counts.
//!
//! # Memory
//!
//! A row that needs a clause takes two bytes, or a bit of a set if many rows need it, and up to eight bytes more in the marks
//! of a family of limits: a catalog of 100,000 conditions takes a megabyte or two.

mod ask;
mod build;
mod clauses;
mod fold;
mod lines;
mod place;
mod rows;
mod thresholds;
mod values;

#[cfg(test)]
mod tests;

use super::program::{Number, Test};
use lines::Line;
use place::Source;
use rows::{Rows, Words};
use thresholds::Thresholds;
use values::Values;

pub use ask::Scratch;
pub use build::IndexBuilder;

/// The conditions of all rows. Built by an [`IndexBuilder`], asked with [`Index::passing`].
#[derive(Debug, Default)]
pub struct Index {
    rows: usize,
    /// The rows that can pass at all.
    possible: Box<Words>,
    /// How many different clauses there are.
    clauses: usize,
    /// What else may hold in the families behind them.
    guards: Vec<Test>,
    numbers: Vec<Family<Numbers>>,
    lists: Vec<Family<Lists>>,
    /// Limits on sums of moments that do not move.
    lines: Vec<Family<Lines>>,
    /// Limits on those that do.
    moving: Vec<Lines>,
    /// Clauses by themselves that many rows need.
    common: Vec<Alone>,
    /// Clauses by themselves that few rows need.
    seldom: Vec<Alone>,
    /// Clauses by themselves on which time has an influence.
    timed: Vec<Alone>,
}

/// Clauses about the same value.
#[derive(Debug)]
struct Family<T> {
    /// The position of the guard, if there is one.
    guard: Option<usize>,
    of: T,
}

/// Limits and lists for one number.
#[derive(Debug)]
struct Numbers {
    number: Number,
    below: Thresholds<f64>,
    above: Thresholds<f64>,
    values: Option<Values>,
}

/// Lists for one category or yes/no value.
#[derive(Debug)]
struct Lists {
    source: Source,
    values: Values,
}

/// Limits on one sum of moments.
#[derive(Debug)]
struct Lines {
    line: Line,
    below: Thresholds<i128>,
    above: Thresholds<i128>,
}

/// A clause that is asked by itself.
#[derive(Debug)]
struct Alone {
    test: Test,
    rows: Rows,
}

/// What an index is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many different clauses there are.
    pub clauses: usize,
    /// How many families they form.
    pub families: usize,
    /// How many are asked by themselves.
    pub alone: usize,
    /// How many bytes the sets of rows take.
    pub bytes: usize,
}

impl Index {
    /// Says what the index is made of.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let alone = || self.common.iter().chain(&self.seldom).chain(&self.timed);
        let lines = self.lines.iter().map(|family| &family.of).chain(&self.moving);
        let of_lines = lines.map(|lines| lines.below.bytes() + lines.above.bytes());
        let of_lists = self.lists.iter().map(|family| family.of.values.bytes());
        let of_numbers = self.numbers.iter().map(|family| {
            let Numbers {
                below, above, values, ..
            } = &family.of;
            below.bytes() + above.bytes() + values.as_ref().map_or(0, Values::bytes)
        });
        let of_alone = alone().map(|alone| alone.rows.bytes());
        Shape {
            clauses: self.clauses,
            families: self.numbers.len() + self.lists.len() + self.lines.len() + self.moving.len(),
            alone: alone().count(),
            bytes: size_of_val(&*self.possible)
                + of_lines
                    .chain(of_lists)
                    .chain(of_numbers)
                    .chain(of_alone)
                    .sum::<usize>(),
        }
    }
}
