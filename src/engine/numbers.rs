//! Numbers of decisions. A customer's first decision is numbered by its second, each further one by one more, so the numbers of
//! somebody who was forgotten and came back are new. Whoever decided more often than once a second is ahead of the
//! clock; when such a customer is forgotten, the last number is remembered here until the clock has passed it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::domain::profile::Profile;
use crate::domain::time::{Millis, Timestamp};

/// The seconds are counted from 2024-01-01T00:00:00Z.
const NUMBERS_BEGIN: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// The last numbers of those who were forgotten a moment ago, and the lowest number that is given out.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// By the mark of the customer, so that nobody can tell who it was.
    forgotten: Mutex<HashMap<u128, u32>>,
    /// The second in which this process went on with the data of another one: what that one gave out and nobody kept, as after a loss
    /// of power or from a backup, is not given out again.
    lowest: AtomicU32,
}

impl Numbers {
    /// Remembers the last number of somebody who is being forgotten. Called under the customer's lock.
    pub(super) fn forget(&self, mark: u128, last: u32) {
        if last > 0 {
            let mut forgotten = self.forgotten.lock();
            let known = forgotten.entry(mark).or_default();
            *known = last.max(*known);
        }
    }

    /// Gives out no number below that of this second.
    pub(super) fn begin_at(&self, now: Timestamp) {
        self.lowest.store(second(now), Ordering::Relaxed);
    }

    /// Returns what is remembered.
    pub(super) fn all(&self) -> Vec<(u128, u32)> {
        self.forgotten
            .lock()
            .iter()
            .map(|(&mark, &last)| (mark, last))
            .collect()
    }

    /// Returns the number when it is ahead of the clock, so that it has to be remembered; else 0.
    pub(super) fn ahead(last: u32, now: Timestamp) -> u32 {
        if last >= second(now) { last } else { 0 }
    }

    /// Returns the number of the customer's next decision; `mark` makes the customer's mark. Called under the customer's lock.
    pub(super) fn next(&self, mark: impl FnOnce() -> u128, profile: &Profile, now: Timestamp) -> u32 {
        let lowest = self.lowest.load(Ordering::Relaxed);
        if profile.decisions > 0 {
            return profile.decisions.saturating_add(1).max(lowest);
        }
        let second = second(now).max(lowest);
        let mut last = self.forgotten.lock();
        last.retain(|_, last| *last >= second);
        if last.is_empty() {
            return second;
        }
        last.get(&mark())
            .map_or(second, |last| second.max(last.saturating_add(1)))
    }
}

fn second(now: Timestamp) -> u32 {
    let second = (now - NUMBERS_BEGIN).get() / Millis::SECOND.get();
    u32::try_from(second).unwrap_or(1).max(1)
}
