//! The first reading of a file: judges every row, keeps none.

use std::io::Read;

use super::faults::Faults;
use super::plan::Plan;
use super::rows::Rows;

/// What a file turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rows without fault.
    pub good: u64,
    /// The customer of the first good row.
    pub first: Option<String>,
    /// The customer of the last good row.
    pub last: Option<String>,
    /// Everything that is wrong with the others.
    pub faults: Faults,
}

impl Checked {
    /// Returns how many rows there are.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.good + self.faults.rows()
    }
}

/// Judges all rows; `progress` hears how many were read, now and then.
pub fn check<R: Read>(rows: &mut Rows<R>, plan: &Plan, mut progress: impl FnMut(u64)) -> Checked {
    let mut checked = Checked::default();
    while let Some(row) = rows.next_row(plan) {
        match row {
            Ok(row) => {
                checked.good += 1;
                let id = row.customer.as_str();
                checked.first.get_or_insert_with(|| id.to_owned());
                let last = checked.last.get_or_insert_default();
                last.clear();
                last.push_str(id);
            }
            Err(faults) => checked.faults.add_row(faults),
        }
        if checked.rows() % PROGRESS_EVERY == 0 {
            progress(checked.rows());
        }
    }
    progress(checked.rows());
    checked
}

/// Rows between two words of progress.
const PROGRESS_EVERY: u64 = 1_000;
