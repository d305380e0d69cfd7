//! What is wrong with a file, kept within bounds.
//!
//! A file of a million rows with one wrong column has a million faults. All are counted, by column and kind with the line
//! where each kind begins; the first [`FAULTS_SHOWN_MAX`] are kept word for word.

use std::collections::BTreeMap;
use std::fmt;

/// Faults kept word for word: more than anybody reads, little enough to keep.
pub const FAULTS_SHOWN_MAX: usize = 1_000;

/// One thing wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line of the file on which the row begins, from 1.
    pub line: u64,
    /// The column of the file; empty when the whole row is meant.
    pub column: String,
    /// The sort of fault in a few words, the same for all values.
    pub kind: &'static str,
    /// What is wrong, in words.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.column.is_empty() {
            return write!(f, "line {}: {}", self.line, self.message);
        }
        write!(f, "line {}, column `{}`: {}", self.line, self.column, self.message)
    }
}

/// How often one kind of fault came up in one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many faults.
    pub count: u64,
    /// The line of the first.
    pub first_line: u64,
}

/// Everything that is wrong with one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    shown: Vec<Fault>,
    groups: BTreeMap<(String, &'static str), Group>,
    count: u64,
    rows: u64,
}

impl Faults {
    /// Takes in the faults of one row.
    pub fn add_row(&mut self, faults: Vec<Fault>) {
        self.rows += u64::from(!faults.is_empty());
        for fault in faults {
            self.count += 1;
            let first = Group {
                count: 0,
                first_line: fault.line,
            };
            self.groups
                .entry((fault.column.clone(), fault.kind))
                .or_insert(first)
                .count += 1;
            if self.shown.len() < FAULTS_SHOWN_MAX {
                self.shown.push(fault);
            }
        }
    }

    /// Returns the first faults, word for word, in the order of the file.
    #[must_use]
    pub fn shown(&self) -> &[Fault] {
        &self.shown
    }

    /// Returns how often each kind of fault came up, by column and kind.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &'static str, Group)> {
        self.groups
            .iter()
            .map(|((column, kind), &group)| (column.as_str(), *kind, group))
    }

    /// Returns how many faults there are, shown or not.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns how many rows have at least one.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Tells whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: u64, column: &str) -> Fault {
        Fault {
            line,
            column: column.to_owned(),
            kind: "out of range",
            message: "12 is too much".to_owned(),
        }
    }

    #[test]
    fn every_fault_is_counted_though_only_the_first_thousand_are_kept() {
        let mut faults = Faults::default();
        for line in 2..5_002 {
            faults.add_row(vec![fault(line, "age"), fault(line, "income")]);
        }
        assert_eq!(
            (faults.count(), faults.rows(), faults.shown().len()),
            (10_000, 5_000, FAULTS_SHOWN_MAX)
        );
        let groups: Vec<_> = faults.groups().collect();
        let group = Group {
            count: 5_000,
            first_line: 2,
        };
        assert_eq!(
            groups,
            [("age", "out of range", group), ("income", "out of range", group)]
        );
    }

    #[test]
    fn a_fault_says_its_line_and_column() {
        assert_eq!(fault(7, "age").to_string(), "line 7, column `age`: 12 is too much");
        assert_eq!(fault(7, "").to_string(), "line 7: 12 is too much");
    }
}
