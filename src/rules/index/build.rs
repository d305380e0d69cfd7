//! Builds an index: from the conditions of all rows to clauses, each once, and from clauses to families.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::rules::condition::Condition;
use crate::rules::parse::Order;
use crate::rules::program::{Moment, Test};
use crate::rules::scope::Space;
use crate::rules::typed::any;

use super::clauses::{Clause, clauses};
use super::fold::{self, Constants};
use super::place::{Says, Source, place};
use super::rows::{self, Rows};
use super::thresholds::{Side, Thresholds};
use super::values::Values;
use super::{Alone, Family, Index, Lines, Lists, Numbers};

/// Collects what rows need. A row stands for an offer.
#[derive(Debug)]
pub struct IndexBuilder {
    rows: usize,
    /// The rows that no clause stops for every customer.
    possible: Vec<u64>,
    /// Clauses of conditions that do not read the offer, by source.
    of_source: HashMap<Box<str>, Vec<usize>>,
    /// Positions in `clauses`, by how a clause reads.
    known: HashMap<String, usize>,
    clauses: Vec<Needed>,
}

/// A clause, and the rows that need it, ascending.
#[derive(Debug)]
struct Needed {
    literals: Clause,
    rows: Vec<u16>,
}

/// Literals about the same value, behind the same guard.
struct Group {
    guard: Clause,
    source: Source,
    /// What each says, and the position of its clause.
    says: Vec<(Says, usize)>,
}

impl IndexBuilder {
    /// Begins an index of so many rows, at most 65,535.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        let mut possible = vec![0; rows::words(rows)];
        for row in (0..rows).filter_map(|row| u16::try_from(row).ok()) {
            rows::set(&mut possible, row);
        }
        Self {
            rows,
            possible,
            of_source: HashMap::new(),
            known: HashMap::new(),
            clauses: Vec::new(),
        }
    }

    /// Makes a row need a condition; `offer` are the values of its offer. Rows must come in ascending order.
    pub fn need(&mut self, row: u16, condition: &Condition, offer: &[Value]) {
        if condition.reads_space(Space::Offer) {
            let folded = fold::test(condition.test(), &Constants::new(offer));
            let positions = self.positions(&folded);
            self.add(row, &positions);
            return;
        }
        let known = self.of_source.get(condition.source()).cloned();
        let positions = known.unwrap_or_else(|| {
            let positions = self.positions(condition.test());
            self.of_source.insert(condition.source().into(), positions.clone());
            positions
        });
        self.add(row, &positions);
    }

    /// Makes a row need that `now` is not before an instant, nor at or after another.
    pub fn need_between(&mut self, row: u16, from: Timestamp, until: Timestamp) {
        let limit =
            |order, at: Timestamp| Test::Moments(order, Box::new([Moment::Now, Moment::Constant(at.as_millis())]));
        if from > Timestamp::FAR_PAST {
            let positions = self.positions(&limit(Order::GreaterOrEqual, from));
            self.add(row, &positions);
        }
        if until < Timestamp::FAR_FUTURE {
            let positions = self.positions(&limit(Order::Less, until));
            self.add(row, &positions);
        }
    }

    fn add(&mut self, row: u16, positions: &[usize]) {
        for &position in positions {
            let needed = &mut self.clauses[position];
            if needed.literals.is_empty() {
                rows::clear(&mut self.possible, row);
            } else if needed.rows.last() != Some(&row) {
                needed.rows.push(row);
            }
        }
    }

    fn positions(&mut self, test: &Test) -> Vec<usize> {
        clauses(test).into_iter().map(|clause| self.position(clause)).collect()
    }

    fn position(&mut self, clause: Clause) -> usize {
        let mut literals: Vec<(String, Test)> = clause.into_iter().map(|test| (name(&test), test)).collect();
        literals.sort_by(|one, other| one.0.cmp(&other.0));
        literals.dedup_by(|one, other| one.0 == other.0);
        let alternatives: Vec<&str> = literals.iter().map(|(name, _)| name.as_str()).collect();
        let name = alternatives.join(" || ");
        let next = self.clauses.len();
        let position = *self.known.entry(name).or_insert(next);
        if position == next {
            self.clauses.push(Needed {
                literals: literals.into_iter().map(|(_, test)| test).collect(),
                rows: Vec::new(),
            });
        }
        position
    }

    /// Builds the index.
    #[must_use]
    pub fn build(self) -> Index {
        let clauses: Vec<Needed> = self
            .clauses
            .into_iter()
            .filter(|needed| !needed.literals.is_empty())
            .collect();
        let (groups, alone) = groups(&clauses);
        let mut index = Index {
            rows: self.rows,
            possible: self.possible.into(),
            clauses: clauses.len(),
            ..Index::default()
        };
        let mut guards: HashMap<String, usize> = HashMap::new();
        for group in groups {
            let guard = (!group.guard.is_empty()).then(|| {
                let guard = joined(&group.guard);
                let next = index.guards.len();
                let position = *guards.entry(name(&guard)).or_insert(next);
                if position == next {
                    index.guards.push(guard);
                }
                position
            });
            index.add_family(guard, group, &clauses);
        }
        for at in alone {
            let Needed { literals, rows } = &clauses[at];
            let alone = Alone {
                rows: Rows::new(rows, self.rows),
                test: joined(literals),
            };
            if reads_now(literals) {
                index.timed.push(alone);
            } else if alone.rows.is_sparse() {
                index.seldom.push(alone);
            } else {
                index.common.push(alone);
            }
        }
        index
    }
}

impl Index {
    fn add_family(&mut self, guard: Option<usize>, group: Group, clauses: &[Needed]) {
        let (mut below, mut above, mut lists) = (Vec::new(), Vec::new(), Vec::new());
        let (mut line_below, mut line_above) = (Vec::new(), Vec::new());
        for (says, at) in group.says {
            let rows = clauses[at].rows.clone();
            match says {
                Says::Number(Side::Below, limit) => below.push((limit, rows)),
                Says::Number(Side::Above, limit) => above.push((limit, rows)),
                Says::Line(Side::Below, limit) => line_below.push((limit, rows)),
                Says::Line(Side::Above, limit) => line_above.push((limit, rows)),
                Says::Listed(listed) => lists.push((listed, rows)),
            }
        }
        let of = self.rows;
        match group.source {
            Source::Line(line) => {
                let lines = Lines {
                    below: Thresholds::new(Side::Below, line_below, of),
                    above: Thresholds::new(Side::Above, line_above, of),
                    line,
                };
                if lines.line.speed == 0 {
                    self.lines.push(Family { guard, of: lines });
                } else {
                    self.moving.push(lines);
                }
            }
            Source::Number(number) => self.numbers.push(Family {
                guard,
                of: Numbers {
                    number,
                    below: Thresholds::new(Side::Below, below, of),
                    above: Thresholds::new(Side::Above, above, of),
                    values: (!lists.is_empty()).then(|| Values::new(&lists, of)),
                },
            }),
            source => self.lists.push(Family {
                guard,
                of: Lists {
                    source,
                    values: Values::new(&lists, of),
                },
            }),
        }
    }
}

/// Groups clauses by what one of their literals is about; also returns the positions of those that stand alone.
///
/// Of a clause of several literals one is taken, and the others become its guard: while the guard holds, no literal behind it
/// stops anything. It is the literal whose value and guard most other clauses share.
fn groups(clauses: &[Needed]) -> (Vec<Group>, Vec<usize>) {
    let candidates: Vec<Vec<(String, usize)>> = clauses.iter().map(|needed| candidates(&needed.literals)).collect();
    let mut shared: HashMap<&str, usize> = HashMap::new();
    for (key, _) in candidates.iter().flatten() {
        *shared.entry(key).or_default() += 1;
    }
    let mut by_key: HashMap<&str, usize> = HashMap::new();
    let (mut groups, mut alone): (Vec<Group>, _) = (Vec::new(), Vec::new());
    for (at, (needed, candidates)) in clauses.iter().zip(&candidates).enumerate() {
        let by_share = |candidate: &&(String, usize)| shared[candidate.0.as_str()];
        // The last of equals would be taken, and the first reads better.
        let best = candidates.iter().rev().max_by_key(by_share);
        let placed = best
            .filter(|candidate| by_share(candidate) > 1)
            .and_then(|(key, literal)| Some((key, *literal, place(&needed.literals[*literal])?)));
        let Some((key, literal, (source, says))) = placed else {
            alone.push(at);
            continue;
        };
        let next = groups.len();
        let position = *by_key.entry(key).or_insert(next);
        if position == next {
            let mut guard = needed.literals.clone();
            guard.remove(literal);
            groups.push(Group {
                guard,
                source,
                says: Vec::new(),
            });
        }
        groups[position].says.push((says, at));
    }
    // What was left over when its likes joined others is cheaper alone.
    let (left_over, groups): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(|group| group.says.len() == 1);
    alone.extend(left_over.iter().flat_map(|group| &group.says).map(|&(_, at)| at));
    alone.sort_unstable();
    (groups, alone)
}

/// Returns the families that a clause could belong to, each with the position of the literal in the clause.
fn candidates(literals: &Clause) -> Vec<(String, usize)> {
    if literals.len() > 1 && reads_now(literals) {
        return Vec::new();
    }
    let key = |at: usize| {
        let (source, _) = place(&literals[at])?;
        if reads_now(literals) && !matches!(source, Source::Line(_)) {
            return None;
        }
        let mut key = format!("{source:?}");
        for (other, literal) in literals.iter().enumerate() {
            if other != at {
                let _ = write!(key, " || {literal:?}");
            }
        }
        Some((key, at))
    };
    (0..literals.len()).filter_map(key).collect()
}

fn reads_now(literals: &Clause) -> bool {
    let mut reads = false;
    for literal in literals {
        literal.visit(&mut |slot| reads |= slot.is_none());
    }
    reads
}

fn joined(literals: &Clause) -> Test {
    literals.iter().cloned().fold(Test::Constant(false), any)
}

/// Returns how a test reads: the same for the same test, and only for it.
fn name(test: &Test) -> String {
    format!("{test:?}")
}
