//! How many contacts counted when: in steps of a quarter of an hour, which every window of every time zone begins with.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::domain::time::{Millis, Timestamp};

/// The grain of time: hours begin at a quarter at the least, whatever the zone.
const STEP: Millis = Millis::MINUTE.times(15);

/// How many steps are kept apart: 33 days, a little more than the longest window. At 8 bytes each that is 25 kB at most for
/// what one offer on one channel counts as. What is older is kept as one number.
const STEPS_KEPT: i32 = 33 * 96;

/// Counts over time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Series {
    /// Steps in which something counted, by time.
    recent: VecDeque<(i32, u32)>,
    /// All that is older.
    older: u64,
}

/// Returns the step that an instant lies in.
#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to what fits: until the year 63000"
)]
pub(super) fn step(at: Timestamp) -> i32 {
    let step = at.as_millis().div_euclid(STEP.get());
    step.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// Returns the first instant of a step.
pub(super) fn begin(step: i32) -> Timestamp {
    Timestamp::from_millis(i64::from(step) * STEP.get())
}

impl Series {
    /// Counts one at an instant.
    pub(super) fn add(&mut self, at: Timestamp) {
        let step = step(at);
        match self.recent.binary_search_by_key(&step, |entry| entry.0) {
            Ok(found) => self.recent[found].1 += 1,
            Err(before) => self.recent.insert(before, (step, 1)),
        }
        let oldest = self
            .recent
            .back()
            .map_or(step, |newest| newest.0)
            .saturating_sub(STEPS_KEPT);
        while let Some(&(first, count)) = self.recent.front()
            && first < oldest
        {
            self.older += u64::from(count);
            self.recent.pop_front();
        }
    }

    /// Takes back one that was counted at an instant.
    pub(super) fn remove(&mut self, at: Timestamp) {
        match self.recent.binary_search_by_key(&step(at), |entry| entry.0) {
            Ok(found) if self.recent[found].1 > 1 => self.recent[found].1 -= 1,
            Ok(found) => drop(self.recent.remove(found)),
            Err(_) => self.older = self.older.saturating_sub(1),
        }
    }

    /// Counts what there is from an instant on, the future included: a clock that steps back must not make room.
    pub(super) fn since(&self, start: Timestamp) -> u64 {
        let first = self.recent.partition_point(|entry| entry.0 < step(start));
        let recent = self.recent.range(first..).map(|entry| u64::from(entry.1));
        let older = if start == Timestamp::FAR_PAST { self.older } else { 0 };
        older + recent.sum::<u64>()
    }

    /// Returns how many there are in each step from an instant on.
    pub(super) fn steps_from(&self, start: Timestamp) -> impl Iterator<Item = (i32, u32)> + '_ {
        let first = self.recent.partition_point(|entry| entry.0 < step(start));
        self.recent.range(first..).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::testing::T0;

    #[test]
    fn a_count_begins_with_the_window_and_includes_what_lies_ahead() {
        let mut series = Series::default();
        for minutes in [-16, -1, 0, 14, 600] {
            series.add(T0 + Millis::MINUTE.times(minutes));
        }
        assert_eq!(
            (
                series.since(T0),
                series.since(T0 - STEP),
                series.since(Timestamp::FAR_PAST)
            ),
            (3, 4, 5)
        );
        series.remove(T0);
        series.remove(T0 + Millis::MINUTE.times(600));
        assert_eq!(series.since(T0), 1);
    }

    #[test]
    fn what_is_older_than_any_window_still_counts_for_ever() {
        let mut series = Series::default();
        series.add(T0);
        series.add(T0 + Millis::DAY.times(32));
        assert_eq!(series.since(T0), 2);
        series.add(T0 + Millis::DAY.times(40));
        assert_eq!((series.recent.len(), series.since(Timestamp::FAR_PAST)), (2, 3));
        series.remove(T0);
        assert_eq!(series.since(Timestamp::FAR_PAST), 2);
    }
}
