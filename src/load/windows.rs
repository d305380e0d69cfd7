//! Latencies by the moment at which calls were due, so that a machine that stands still now and then can be told from a server that is
//! slow.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde::Serialize;

use super::pacer::Schedule;

/// The length of a window, unless there would be too many.
const LENGTH: Duration = Duration::from_millis(100);
/// The most windows, which take 15 kB each.
const WINDOWS_MAX: u32 = 1_000;
/// A window with fewer calls has no p99 to speak of.
const CALLS_MIN: u64 = 100;
/// The longest latency that is told apart; longer ones count as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Latencies are kept to this many decimal digits.
const DIGITS: u8 = 2;
/// The p99 that is wanted of offers, in microseconds.
pub const P99_US_WANTED: f64 = 1_000.0;

/// The p99 of each window of a run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OfWindows {
    /// How long a window is, in milliseconds.
    pub ms: f64,
    /// How many there are, of 100 calls or more each.
    pub count: usize,
    /// The lowest p99, in microseconds.
    pub p99_low_us: f64,
    /// Half of the windows have at most this one.
    pub p99_median_us: f64,
    /// The highest.
    pub p99_high_us: f64,
    /// The share of windows whose p99 is below a millisecond, 0 to 1.
    pub below_1_ms: f64,
}

/// A run's latencies, window by window.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    length: Duration,
    latencies: Vec<Histogram<u32>>,
}

impl Windows {
    /// Makes the windows of a run that takes so long.
    pub(super) fn over(run: Duration) -> Result<Self, CreationError> {
        let length = LENGTH.max(run / WINDOWS_MAX);
        let count = run.as_nanos().div_ceil(length.as_nanos()).max(1);
        let window = || Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS);
        let latencies = (0..count).map(|_| window()).collect::<Result<_, _>>()?;
        Ok(Self { length, latencies })
    }

    /// Notes the latency of a call that was due so long after the start.
    pub(super) fn add(&mut self, due: Duration, latency: Duration) {
        let at = usize::try_from(due.as_nanos() / self.length.as_nanos()).unwrap_or(usize::MAX);
        let last = self.latencies.len() - 1;
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies[at.min(last)].saturating_record(nanos.max(1));
    }

    /// Counts the calls that were due and have no latency, because they failed or were never answered, as taking the longest there is.
    pub(super) fn miss(&mut self, schedule: &Schedule) {
        let mut end = Duration::ZERO;
        let mut due_before = 0;
        for window in &mut self.latencies {
            end += self.length;
            // Those that are due before the end of the window.
            let due = schedule.due_by(schedule.start + end.saturating_sub(Duration::from_nanos(1)));
            let missing = (due - due_before).saturating_sub(window.len());
            window.saturating_record_n(LATENCY_NS_MAX, u32::try_from(missing).unwrap_or(u32::MAX));
            due_before = due;
        }
    }

    /// Tells the p99 of the windows that have enough calls, when any has.
    pub(super) fn told(&self) -> Option<OfWindows> {
        let enough = self.latencies.iter().filter(|window| window.len() >= CALLS_MIN);
        let mut p99s: Vec<f64> = enough
            .map(|window| window.value_at_quantile(0.99) as f64 / 1_000.0)
            .collect();
        p99s.sort_by(f64::total_cmp);
        let (&low, &high) = p99s.first().zip(p99s.last())?;
        let below = p99s.partition_point(|&p99| p99 < P99_US_WANTED);
        Some(OfWindows {
            ms: self.length.as_secs_f64() * 1_000.0,
            count: p99s.len(),
            p99_low_us: low,
            p99_median_us: p99s[(p99s.len() - 1) / 2],
            p99_high_us: high,
            below_1_ms: below as f64 / p99s.len() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_in_which_the_machine_stood_still_is_one_window_and_not_the_median() {
        let mut windows = Windows::over(Duration::from_secs(1)).unwrap();
        for call in 0..10_000_u64 {
            let due = Duration::from_micros(call * 100);
            let stood_still = (Duration::from_millis(300)..Duration::from_millis(340)).contains(&due);
            let latency = if stood_still {
                Duration::from_millis(30)
            } else {
                Duration::from_micros(80)
            };
            windows.add(due, latency);
        }
        let told = windows.told().unwrap();
        assert_eq!(told.count, 10);
        assert!((told.p99_median_us - 80.0).abs() < 1.0, "{told:?}");
        assert!((told.p99_low_us - 80.0).abs() < 1.0, "{told:?}");
        assert!(told.p99_high_us > 29_000.0, "{told:?}");
        assert!((told.below_1_ms - 0.9).abs() < 1e-9, "{told:?}");
    }

    #[test]
    fn calls_that_failed_or_were_never_answered_are_the_slowest_of_their_window() {
        let schedule = Schedule {
            start: super::super::pacer::now(),
            rate: 1_000.0,
            calls: 500,
        };
        let mut windows = Windows::over(Duration::from_millis(500)).unwrap();
        for call in 0..250 {
            windows.add(Duration::from_millis(call), Duration::from_micros(50));
        }
        windows.miss(&schedule);
        let counts: Vec<u64> = windows.latencies.iter().map(Histogram::len).collect();
        assert_eq!(counts, [100; 5]);
        let told = windows.told().unwrap();
        assert!((told.below_1_ms - 0.4).abs() < 1e-9, "{told:?}");
        assert!(told.p99_median_us > 50e6, "{told:?}");
    }

    #[test]
    fn windows_with_few_calls_are_not_told_and_a_long_run_has_no_more_than_a_thousand() {
        let mut windows = Windows::over(Duration::from_hours(1)).unwrap();
        assert_eq!(windows.latencies.len(), 1_000);
        for call in 0..99 {
            windows.add(Duration::from_millis(call), Duration::from_micros(50));
        }
        // Whatever is due after the end belongs to the last window.
        windows.add(Duration::from_hours(2), Duration::from_micros(50));
        assert_eq!(windows.told(), None);
        windows.add(Duration::ZERO, Duration::from_micros(50));
        assert_eq!(windows.told().map(|told| told.count), Some(1));
    }
}
