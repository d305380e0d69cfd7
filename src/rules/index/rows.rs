//! Sets of offers: a bit for each, or a list where they are few.

/// The bits of a set of rows, 64 a word.
pub(super) type Words = [u64];

/// Returns how many words hold so many rows.
pub(super) const fn words(rows: usize) -> usize {
    rows.div_ceil(64)
}

pub(super) fn has(words: &Words, row: u16) -> bool {
    let row = usize::from(row);
    words[row / 64] >> (row % 64) & 1 == 1
}

pub(super) fn clear(words: &mut Words, row: u16) {
    let row = usize::from(row);
    words[row / 64] &= !(1 << (row % 64));
}

pub(super) fn set(words: &mut Words, row: u16) {
    let row = usize::from(row);
    words[row / 64] |= 1 << (row % 64);
}

/// Takes one set out of another.
pub(super) fn subtract(words: &mut Words, others: &Words) {
    for (word, other) in words.iter_mut().zip(others) {
        *word &= !other;
    }
}

/// Appends the rows of a set, in order.
pub(super) fn list(words: &Words, rows: &mut Vec<u16>) {
    for (first, &word) in (0_u16..=u16::MAX).step_by(64).zip(words) {
        if word == u64::MAX {
            rows.extend(first..=first + 63);
            continue;
        }
        let mut left = word;
        while left != 0 {
            // Below 64, so the sum is a row.
            let bit = left.trailing_zeros();
            rows.extend(u16::try_from(bit).map(|bit| first + bit));
            left &= left - 1;
        }
    }
}

/// A set of rows, kept so that taking it out of another costs least.
#[derive(Debug)]
pub(super) enum Rows {
    /// A bit for each.
    Dense(Box<Words>),
    /// Their numbers, ascending.
    Sparse(Box<[u16]>),
}

impl Rows {
    /// Makes a set of ascending rows out of so many.
    pub(super) fn new(rows: &[u16], of: usize) -> Self {
        // A word is dealt with about as fast as two rows.
        if rows.len() * 2 <= words(of) {
            return Self::Sparse(rows.into());
        }
        let mut dense = vec![0; words(of)];
        for &row in rows {
            set(&mut dense, row);
        }
        Self::Dense(dense.into())
    }

    pub(super) fn is_sparse(&self) -> bool {
        matches!(self, Self::Sparse(_))
    }

    /// Tells whether one of the rows is in the other set.
    pub(super) fn meets(&self, others: &Words) -> bool {
        match self {
            Self::Dense(dense) => dense.iter().zip(others).any(|(word, other)| word & other != 0),
            Self::Sparse(rows) => rows.iter().any(|&row| has(others, row)),
        }
    }

    /// Takes these rows out of another set.
    pub(super) fn subtract_from(&self, others: &mut Words) {
        match self {
            Self::Dense(dense) => subtract(others, dense),
            Self::Sparse(rows) => {
                for &row in rows {
                    clear(others, row);
                }
            }
        }
    }

    /// Takes those of these rows out of another set that are not in `but` as well.
    pub(super) fn subtract_but(&self, but: &Self, others: &mut Words, kept: &mut Vec<u16>) {
        match (self, but) {
            (Self::Dense(dense), Self::Dense(but)) => {
                for ((word, dense), but) in others.iter_mut().zip(dense).zip(but) {
                    *word &= !dense | but;
                }
            }
            (_, Self::Sparse(but)) => {
                kept.clear();
                kept.extend(but.iter().copied().filter(|&row| has(others, row)));
                self.subtract_from(others);
                for &row in &*kept {
                    set(others, row);
                }
            }
            (Self::Sparse(rows), Self::Dense(but)) => {
                for &row in rows.iter().filter(|&&row| !has(but, row)) {
                    clear(others, row);
                }
            }
        }
    }

    /// Returns how many bytes it takes on the heap.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Dense(dense) => size_of_val(&**dense),
            Self::Sparse(rows) => size_of_val(&**rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(rows: &[u16], of: usize) -> Vec<u64> {
        let mut bits = vec![0; words(of)];
        for &row in rows {
            set(&mut bits, row);
        }
        bits
    }

    fn numbers(of: u16) -> impl Strategy<Value = Vec<u16>> {
        prop::collection::btree_set(0..of, 0..usize::from(of)).prop_map(|rows| rows.into_iter().collect())
    }

    proptest! {
        #[test]
        fn dense_and_sparse_sets_are_the_same_sets(
            one in numbers(300), few in prop::collection::btree_set(0..300_u16, 0..3), other in numbers(300),
        ) {
            let few: Vec<u16> = few.into_iter().collect();
            for rows in [&one, &few] {
                for but in [&one, &few] {
                    let kept = |row: &u16| !rows.contains(row) || but.contains(row);
                    let expected: Vec<u16> = other.iter().copied().filter(kept).collect();
                    let mut left = bits(&other, 300);
                    Rows::new(rows, 300).subtract_but(&Rows::new(but, 300), &mut left, &mut vec![7]);
                    let mut found = Vec::new();
                    list(&left, &mut found);
                    prop_assert_eq!(found, expected);
                }
                let of_both = other.iter().any(|row| rows.contains(row));
                prop_assert_eq!(Rows::new(rows, 300).meets(&bits(&other, 300)), of_both);
            }
        }
    }

    #[test]
    fn the_last_rows_of_the_largest_catalog_are_listed() {
        let mut all = vec![u64::MAX; words(65_535)];
        clear(&mut all, u16::MAX);
        let mut found = Vec::new();
        list(&all, &mut found);
        assert_eq!(found, (0..u16::MAX).collect::<Vec<_>>());
    }
}
