//! Tests of one value against lists of values: which rows may have it, which may not.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::{Rows, Words};

/// A list of values that a row's test allows, or forbids.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// The values, as numbers.
    pub(super) values: Vec<u64>,
    pub(super) is_allowed: bool,
}

/// What the tests of all rows say of each value.
#[derive(Debug)]
pub(super) struct Values {
    /// All values that a test names, sorted.
    named: Box<[u64]>,
    /// The rows whose tests allow some values only.
    choosy: Rows,
    /// By named value: the choosy rows that allow it.
    allowing: Box<[Rows]>,
    /// By named value: the rows that are not choosy but forbid it.
    forbidding: Box<[Rows]>,
    /// All rows with a test: without a value none of them holds.
    all: Rows,
}

/// What one row's tests of the value say together.
#[derive(Default)]
struct OfRow {
    allowed: Option<BTreeSet<u64>>,
    forbidden: BTreeSet<u64>,
}

impl Values {
    /// Joins the tests, each with its rows out of so many.
    pub(super) fn new(tests: &[(Listed, Vec<u16>)], of: usize) -> Self {
        let mut by_row: BTreeMap<u16, OfRow> = BTreeMap::new();
        let mut named: BTreeSet<u64> = BTreeSet::new();
        for (listed, rows) in tests {
            named.extend(&listed.values);
            let values: BTreeSet<u64> = listed.values.iter().copied().collect();
            for &row in rows {
                let of_row = by_row.entry(row).or_default();
                if !listed.is_allowed {
                    of_row.forbidden.extend(&values);
                } else if let Some(before) = &mut of_row.allowed {
                    before.retain(|value| values.contains(value));
                } else {
                    of_row.allowed = Some(values.clone());
                }
            }
        }
        let (mut choosy, mut all) = (Vec::new(), Vec::new());
        let mut allowing: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
        let mut forbidding: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
        for (&row, OfRow { allowed, forbidden }) in &by_row {
            all.push(row);
            if let Some(allowed) = allowed {
                choosy.push(row);
                for &value in allowed.difference(forbidden) {
                    allowing.entry(value).or_default().push(row);
                }
            } else {
                for &value in forbidden {
                    forbidding.entry(value).or_default().push(row);
                }
            }
        }
        let of_value = |by_value: &BTreeMap<u64, Vec<u16>>| {
            let rows = |value: &u64| Rows::new(by_value.get(value).map_or(&[], Vec::as_slice), of);
            named.iter().map(rows).collect()
        };
        Self {
            choosy: Rows::new(&choosy, of),
            allowing: of_value(&allowing),
            forbidding: of_value(&forbidding),
            all: Rows::new(&all, of),
            named: named.iter().copied().collect(),
        }
    }

    /// Takes the rows out of a set whose tests do not hold for a value. `kept` is scratch space.
    pub(super) fn subtract(&self, value: Option<u64>, from: &mut Words, kept: &mut Vec<u16>) {
        let Some(value) = value else {
            self.all.subtract_from(from);
            return;
        };
        match self.named.binary_search(&value) {
            Ok(at) => {
                self.choosy.subtract_but(&self.allowing[at], from, kept);
                self.forbidding[at].subtract_from(from);
            }
            Err(_) => self.choosy.subtract_from(from),
        }
    }

    /// Returns how many bytes it takes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let lists = self.allowing.iter().chain(&self.forbidding);
        let single = [&self.choosy, &self.all];
        let inner: usize = lists.chain(single).map(Rows::bytes).sum();
        inner + size_of_val(&*self.named) + size_of_val(&*self.allowing) + size_of_val(&*self.forbidding)
    }
}
