//! Keeps the arrival schedule: a thread that says which calls have fallen due.
//!
//! Call `n` is due at `start + n / rate`. The thread sleeps until the next one is due and hands over all that are due by
//! then, so a thread that woke up late catches up at once instead of stretching the schedule.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
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

/// Starts the thread. For each call that falls due it adds a permit; it ends when all were due, or the semaphore is closed.
pub(super) fn start(schedule: Schedule, due: Arc<Semaphore>) -> JoinHandle<()> {
    thread::spawn(move || keep(&schedule, &due))
}

fn keep(schedule: &Schedule, permits: &Semaphore) {
    let mut told = 0;
    while told < schedule.calls && !permits.is_closed() {
        let now = now();
        let due = schedule.due_by(now);
        if due > told {
            permits.add_permits(usize::try_from(due - told).unwrap_or(0));
            told = due;
        } else {
            thread::park_timeout(schedule.due_at(told).saturating_duration_since(now));
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

    #[test]
    fn the_thread_hands_over_every_call_once_and_ends() {
        let schedule = Schedule {
            start: now(),
            rate: 1e6,
            calls: 5_000,
        };
        let due = Arc::new(Semaphore::new(0));
        start(schedule, Arc::clone(&due)).join().unwrap();
        assert_eq!(due.available_permits(), 5_000);
    }
}
