//! Asks an index: which rows pass, and until when it stays so.

use crate::domain::time::Timestamp;
use crate::rules::evaluate;
use crate::rules::facts::{Facts, Truth};

use super::place::{Source, number_code};
use super::rows::{self, Words};
use super::{Alone, Index, Lines};

/// Space to work in, kept from one question to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The rows that nothing has stopped so far.
    left: Vec<u64>,
    /// What the guards said, as far as they were asked.
    guards: Vec<Option<bool>>,
    kept: Vec<u16>,
    /// The values of the lines that move.
    values: Vec<Option<i128>>,
    /// The clauses that stop their rows until an instant.
    stopping: Vec<(Timestamp, Clause)>,
    /// The positions of timed clauses that hold until an instant.
    holding: Vec<(Timestamp, usize)>,
}

/// A clause on which time has an influence.
#[derive(Clone, Copy, Debug)]
enum Clause {
    /// One of those by themselves.
    Timed(usize),
    /// A limit from below on a line that moves: which line, and which of its limits.
    Limit(usize, usize),
}

/// A question on its way.
struct Asking<'a> {
    index: &'a Index,
    facts: &'a Facts<'a>,
    scratch: &'a mut Scratch,
}

impl Index {
    /// Puts the rows that pass into `passing`, in order, and returns the first instant at which they may be others if only
    /// time passes. The facts need no offer.
    pub fn passing(&self, facts: &Facts<'_>, scratch: &mut Scratch, passing: &mut Vec<u16>) -> Timestamp {
        scratch.left.clear();
        scratch.left.extend_from_slice(&self.possible);
        scratch.guards.clear();
        scratch.guards.resize(self.guards.len(), None);
        scratch.values.clear();
        scratch.stopping.clear();
        scratch.holding.clear();
        let mut asking = Asking {
            index: self,
            facts,
            scratch,
        };
        asking.families();
        asking.alone(&self.common);
        asking.limits_passed();
        asking.alone(&self.seldom);
        asking.timed();
        asking.limits_ahead();
        let valid_until = asking.stop().min(asking.holds_until());
        passing.clear();
        rows::list(&scratch.left, passing);
        valid_until
    }
}

impl Asking<'_> {
    /// Tells whether a guard holds, so that nothing behind it counts.
    fn is_guarded(&mut self, guard: Option<usize>) -> bool {
        guard.is_some_and(|at| {
            *self.scratch.guards[at]
                .get_or_insert_with(|| evaluate::test(&self.index.guards[at], self.facts).truth == Truth::True)
        })
    }

    /// Takes out what the families stop that do not move.
    fn families(&mut self) {
        let (index, facts) = (self.index, self.facts);
        for family in &index.numbers {
            if self.is_guarded(family.guard) {
                continue;
            }
            // No number of a family reads the clock.
            let mut until = Timestamp::FAR_FUTURE;
            let value = evaluate::number(&family.of.number, facts, &mut until);
            let Scratch { left, kept, .. } = &mut *self.scratch;
            for limits in [&family.of.below, &family.of.above] {
                limits.subtract_first(limits.failing(value), left);
            }
            if let Some(values) = &family.of.values {
                values.subtract(value.map(number_code), left, kept);
            }
        }
        for family in &index.lists {
            if self.is_guarded(family.guard) {
                continue;
            }
            let value = match &family.of.source {
                Source::Category(slot) => evaluate::category(*slot, facts).map(|symbol| u64::from(symbol.get())),
                Source::Boolean(slot) => evaluate::boolean(*slot, facts).map(u64::from),
                Source::Number(_) | Source::Line(_) => None,
            };
            let Scratch { left, kept, .. } = &mut *self.scratch;
            family.of.values.subtract(value, left, kept);
        }
        for family in &index.lines {
            if self.is_guarded(family.guard) {
                continue;
            }
            let value = family.of.line.value(facts);
            for limits in [&family.of.below, &family.of.above] {
                limits.subtract_first(limits.failing(value), &mut self.scratch.left);
            }
        }
    }

    /// Takes out what clauses stop on which time has no influence, asking those only that can still stop something.
    fn alone(&mut self, clauses: &[Alone]) {
        let left = &mut self.scratch.left;
        for clause in clauses {
            if clause.rows.meets(left) && evaluate::test(&clause.test, self.facts).truth != Truth::True {
                clause.rows.subtract_from(left);
            }
        }
    }

    /// Takes out for good what a line that moves has passed, or all its rows where it is not known.
    fn limits_passed(&mut self) {
        let Scratch { left, values, .. } = &mut *self.scratch;
        for Lines { line, below, above } in &self.index.moving {
            let value = line.value(self.facts);
            above.subtract_first(above.failing(value), left);
            if value.is_none() {
                below.subtract_first(below.len(), left);
            }
            values.push(value);
        }
    }

    /// Asks the clauses on which time has an influence, and takes out for good what they stop for good.
    fn timed(&mut self) {
        let Scratch {
            left,
            stopping,
            holding,
            ..
        } = &mut *self.scratch;
        for (at, clause) in self.index.timed.iter().enumerate() {
            if !clause.rows.meets(left) {
                continue;
            }
            let verdict = evaluate::test(&clause.test, self.facts);
            let is_for_good = verdict.valid_until == Timestamp::FAR_FUTURE;
            match (verdict.truth == Truth::True, is_for_good) {
                (true, true) => {}
                (true, false) => holding.push((verdict.valid_until, at)),
                (false, true) => clause.rows.subtract_from(left),
                (false, false) => stopping.push((verdict.valid_until, Clause::Timed(at))),
            }
        }
    }

    /// Finds the limits that a line that moves has not reached yet.
    fn limits_ahead(&mut self) {
        let Scratch {
            left, values, stopping, ..
        } = &mut *self.scratch;
        let lines = self.index.moving.iter().zip(values).enumerate();
        for (at, (Lines { line, below, .. }, value)) in lines {
            let Some(value) = *value else { continue };
            for limit in 0..below.failing(Some(value)) {
                if has_any(below.rows(limit, limit + 1), left) {
                    let until = line.reaches(value, below.limit(limit), self.facts.now);
                    stopping.push((until, Clause::Limit(at, limit)));
                }
            }
        }
    }

    /// Takes out what is stopped until an instant, the last instant first, and returns the first at which a row is no longer.
    fn stop(&mut self) -> Timestamp {
        let Scratch { left, stopping, .. } = &mut *self.scratch;
        stopping.sort_unstable_by_key(|&(until, _)| std::cmp::Reverse(until));
        let mut first = Timestamp::FAR_FUTURE;
        for &(until, clause) in &*stopping {
            let stops_more = match clause {
                Clause::Timed(at) => {
                    let rows = &self.index.timed[at].rows;
                    let stops_more = rows.meets(left);
                    rows.subtract_from(left);
                    stops_more
                }
                Clause::Limit(line, limit) => {
                    let rows = self.index.moving[line].below.rows(limit, limit + 1);
                    let stops_more = has_any(rows, left);
                    for &row in rows {
                        rows::clear(left, row);
                    }
                    stops_more
                }
            };
            if stops_more {
                first = until;
            }
        }
        first
    }

    /// Returns the first instant at which a row is stopped that passes now.
    fn holds_until(&self) -> Timestamp {
        let Scratch {
            left, values, holding, ..
        } = &*self.scratch;
        let mut first = Timestamp::FAR_FUTURE;
        for &(until, at) in holding {
            if until < first && self.index.timed[at].rows.meets(left) {
                first = until;
            }
        }
        for (Lines { line, above, .. }, value) in self.index.moving.iter().zip(values) {
            let Some(value) = *value else { continue };
            let passes = |limit: &usize| has_any(above.rows(*limit, limit + 1), left);
            let next = (above.failing(Some(value))..above.len()).find(passes);
            if let Some(limit) = next {
                first = first.min(line.exceeds(value, above.limit(limit), self.facts.now));
            }
        }
        first
    }
}

fn has_any(rows: &[u16], words: &Words) -> bool {
    rows.iter().any(|&row| rows::has(words, row))
}
