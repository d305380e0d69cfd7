//! Limits on one value, from below or from above, sorted in the order in which they fail.
//!
//! Whatever the value, the limits that fail are the first so many of them, found by a binary search. Their rows are taken out
//! in one piece as far as the last mark, which holds all rows up to it, and one by one from there. Marks lie so close that
//! one by one is never many, and they take no more memory than the rows themselves do several times over.

use super::rows::{self, Words};

/// From which side a limit holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// The value must be at least the limit.
    Below,
    /// The value must be at most the limit.
    Above,
}

/// Limits with the rows that need them.
#[derive(Debug)]
pub(super) struct Thresholds<T> {
    side: Side,
    /// The limits, the first to fail first.
    limits: Box<[T]>,
    /// Where the rows of each end.
    ends: Box<[usize]>,
    rows: Box<[u16]>,
    /// How many limits each mark covers.
    marks: Box<[usize]>,
    /// The rows of the marks, so many words each.
    marked: Box<Words>,
    words: usize,
}

impl<T: Copy + PartialOrd> Thresholds<T> {
    /// Sorts limits, each with its rows out of so many.
    pub(super) fn new(side: Side, mut limits: Vec<(T, Vec<u16>)>, of: usize) -> Self {
        let order = |one: &T, other: &T| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal);
        limits.sort_by(|one, other| match side {
            Side::Below => order(&other.0, &one.0),
            Side::Above => order(&one.0, &other.0),
        });
        let words = rows::words(of);
        let (mut ends, mut all, mut marks, mut marked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut so_far, mut since) = (vec![0; words], 0);
        for (at, (_, of_limit)) in limits.iter().enumerate() {
            all.extend_from_slice(of_limit);
            ends.push(all.len());
            for &row in of_limit {
                rows::set(&mut so_far, row);
            }
            since += of_limit.len();
            if since > words {
                marks.push(at + 1);
                marked.extend_from_slice(&so_far);
                since = 0;
            }
        }
        Self {
            side,
            limits: limits.iter().map(|(limit, _)| *limit).collect(),
            ends: ends.into(),
            rows: all.into(),
            marks: marks.into(),
            marked: marked.into(),
            words,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.limits.len()
    }

    /// Returns how many limits fail: those before this position. Without a value all do.
    pub(super) fn failing(&self, value: Option<T>) -> usize {
        let Some(value) = value else {
            return self.len();
        };
        match self.side {
            Side::Below => self.limits.partition_point(|limit| *limit > value),
            Side::Above => self.limits.partition_point(|limit| *limit < value),
        }
    }

    /// Returns the limit at a position.
    pub(super) fn limit(&self, at: usize) -> T {
        self.limits[at]
    }

    /// Returns the rows of the limits from one position to before another.
    pub(super) fn rows(&self, from: usize, to: usize) -> &[u16] {
        let end = |at: usize| at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.rows[end(from)..end(to)]
    }

    /// Takes the rows of the first so many limits out of a set.
    pub(super) fn subtract_first(&self, count: usize, from: &mut Words) {
        let covering = self.marks.partition_point(|&mark| mark <= count);
        let mut done = 0;
        if let Some(last) = covering.checked_sub(1) {
            done = self.marks[last];
            rows::subtract(from, &self.marked[last * self.words..covering * self.words]);
        }
        for &row in self.rows(done, count) {
            rows::clear(from, row);
        }
    }

    /// Returns how many bytes it takes on the heap.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.limits)
            + size_of_val(&*self.ends)
            + size_of_val(&*self.rows)
            + size_of_val(&*self.marks)
            + size_of_val(&*self.marked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_rows_of_failing_limits_are_taken_out_whatever_the_value(
            limits in prop::collection::btree_map(0..40_i64, prop::collection::btree_set(0..500_u16, 1..40), 0..30),
            value in prop::option::of(-1..41_i64),
            is_below in any::<bool>(),
        ) {
            let side = if is_below { Side::Below } else { Side::Above };
            let given: BTreeMap<i64, Vec<u16>> =
                limits.into_iter().map(|(limit, rows)| (limit, rows.into_iter().collect())).collect();
            let thresholds = Thresholds::new(side, given.clone().into_iter().collect(), 500);
            let mut left = vec![u64::MAX; rows::words(500)];
            thresholds.subtract_first(thresholds.failing(value), &mut left);
            for row in 0..500_u16 {
                let holds = |limit: i64| match (value, side) {
                    (None, _) => false,
                    (Some(value), Side::Below) => value >= limit,
                    (Some(value), Side::Above) => value <= limit,
                };
                let expected = given.iter().all(|(&limit, rows)| holds(limit) || !rows.contains(&row));
                prop_assert_eq!(rows::has(&left, row), expected);
            }
        }
    }
}
