//! Keeps the arrival schedule: a task that says which calls have fallen due.
//!
//! Call `n` is due at `start + n / rate`. The task hands over all calls that are due by now, so when it comes late it catches
//! up at once instead of stretching the schedule. It runs on the generator's own thread and, while the next call is near,
//! only lets the others have their turn before it looks at the clock again: a thread of its own that slept would have to be
//! woken for every call, and wake the generator in turn, on cores that the server needs. The price is that the generator
//! keeps one core busy.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// A fixed arrival rate from a given moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Schedule {
    /// When call 0 is due.
    pub(super) start: Instant,
    /// Calls per second, above 0.
    pub(super) rate: f64,
    /// How many calls there are.
    pub(super) calls: u64,
}

impl Schedule {
    /// Returns when a call is due.
    pub(super) fn due_at(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// Returns how many calls are due at `now`: all with a lower number than this.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a span times a rate is not negative, and is bounded by the number of calls"
    )]
    pub(super) fn due_by(&self, now: Instant) -> u64 {
        match now.checked_duration_since(self.start) {
            Some(gone) => ((gone.as_secs_f64() * self.rate) as u64)
                .saturating_add(1)
                .min(self.calls),
            None => 0,
        }
    }
}

/// A call that is due later than this is slept for, and for this much less: the runtime's timers tick in milliseconds.
const NEAR: Duration = Duration::from_millis(2);

/// Adds a permit for each call that falls due; ends when all were due, or the semaphore is closed.
pub(super) async fn keep(schedule: Schedule, permits: Rc<Semaphore>) {
    let mut told = 0;
    while told < schedule.calls && !permits.is_closed() {
        let now = now();
        let due = schedule.due_by(now);
        if due > told {
            permits.add_permits(usize::try_from(due - told).unwrap_or(0));
            told = due;
        }
        match schedule.due_at(told).saturating_duration_since(now).checked_sub(NEAR) {
            Some(far) if !far.is_zero() => tokio::time::sleep(far).await,
            _ => {
                // The system's own thread that delivers packets would wait for this one to use up its time.
                std::thread::yield_now();
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Reads the clock that latencies are measured with.
#[expect(clippy::disallowed_methods, reason = "a load generator measures time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_due_at_its_own_moment_and_not_before() {
        let start = now();
        let schedule = Schedule {
            start,
            rate: 2_000.0,
            calls: 1_000_000,
        };
        for number in [0, 1, 7, 1_999, 123_456] {
            let after = schedule.due_at(number) + Duration::from_micros(1);
            assert_eq!(schedule.due_by(after), number + 1, "{number}");
            let before = schedule.due_at(number).checked_sub(Duration::from_micros(1)).unwrap();
            assert_eq!(schedule.due_by(before), number, "{number}");
        }
    }

    #[test]
    fn after_a_stall_all_calls_that_fell_due_meanwhile_are_due_at_once_and_no_more_than_there_are() {
        let start = now();
        let schedule = Schedule {
            start,
            rate: 1_000.0,
            calls: 500,
        };
        assert_eq!(schedule.due_by(start + Duration::from_millis(250)), 251);
        assert_eq!(schedule.due_by(start + Duration::from_secs(9)), 500);
    }

    #[tokio::test]
    async fn every_call_is_handed_over_once_and_none_before_it_is_due() {
        for (rate, calls) in [(1e6, 5_000), (100.0, 3)] {
            let schedule = Schedule {
                start: now(),
                rate,
                calls,
            };
            let due = Rc::new(Semaphore::new(0));
            keep(schedule, Rc::clone(&due)).await;
            assert_eq!(due.available_permits() as u64, calls);
            assert!(now() >= schedule.due_at(calls - 1), "{rate}");
        }
    }
}
