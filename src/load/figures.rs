//! What was measured, and how it adds up.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::CreationError;
use serde::Serialize;

use super::calls::{Answer, Call, Failure};
use super::latencies::Latencies;
use super::windows::{OfWindows, Windows};

/// What is counted while calls are made.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) latencies: Latencies,
    pub(super) lateness: Latencies,
    /// The latencies once more, by when calls were due; only of calls that fall due at a rate.
    pub(super) windows: Option<Windows>,
    pub(super) succeeded: u64,
    pub(super) errors: BTreeMap<&'static str, Errors>,
    pub(super) answers: Answer,
    pub(super) elapsed: Duration,
}

impl Tally {
    pub(super) fn new() -> Result<Self, CreationError> {
        Ok(Self {
            latencies: Latencies::new()?,
            lateness: Latencies::new()?,
            windows: None,
            succeeded: 0,
            errors: BTreeMap::new(),
            answers: Answer::default(),
            elapsed: Duration::ZERO,
        })
    }

    /// Counts one finished call; a failed one has no latency, but an error of its kind.
    pub(super) fn add(&mut self, latency: Duration, result: Result<Answer, Failure>) {
        match result {
            Ok(answer) => {
                self.succeeded += 1;
                self.latencies.add(latency);
                self.answers.add(answer);
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Counts a failed call.
    pub(super) fn fail(&mut self, failure: Failure) {
        let first = || Errors {
            count: 0,
            first: failure.message,
        };
        self.errors.entry(failure.code).or_insert_with(first).count += 1;
    }

    /// Counts those of `calls` that neither succeeded nor failed: they were due and had no answer in the end.
    pub(super) fn lose(&mut self, calls: u64) {
        let failed: u64 = self.errors.values().map(|errors| errors.count).sum();
        let lost = calls.saturating_sub(self.succeeded + failed);
        if lost > 0 {
            let first = "due, but not answered five seconds after the end".to_owned();
            self.errors.insert("no answer", Errors { count: lost, first });
        }
    }

    pub(super) fn rate(&self) -> f64 {
        if self.elapsed.is_zero() {
            0.0
        } else {
            self.succeeded as f64 / self.elapsed.as_secs_f64()
        }
    }

    fn shares(&self) -> Shares {
        let Answer {
            lists,
            cached,
            offers,
            scored,
        } = self.answers;
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        Shares {
            cached: share(cached, lists),
            offers: share(offers, lists),
            scored: share(scored, offers),
        }
    }

    pub(super) fn top(&self) -> Top {
        Top {
            rate: self.rate(),
            calls: self.succeeded,
            errors: self.errors.clone(),
            shares: self.shares(),
        }
    }

    pub(super) fn paced(&self, rate_wanted: f64) -> Paced {
        Paced {
            rate_wanted,
            rate: self.rate(),
            calls: self.succeeded,
            errors: self.errors.clone(),
            latency_us: self.latencies.quantiles(),
            windows: self.windows.as_ref().and_then(Windows::told),
            generator_late_us: self.lateness.quantiles(),
            shares: self.shares(),
        }
    }
}

/// Calls that failed with the same code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Errors {
    /// How many.
    pub count: u64,
    /// What the server said about the first.
    pub first: String,
}

/// Quantiles of latencies, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half of the calls took at most this long.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// 99 in a hundred.
    pub p99: f64,
    /// 999 in a thousand.
    pub p99_9: f64,
    /// The slowest.
    pub max: f64,
}

/// What the answers were, so that nobody takes empty answers for fast ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Shares {
    /// The share of lists that came from the customer's cached list, 0 to 1.
    pub cached: f64,
    /// Offers per list.
    pub offers: f64,
    /// The share of those offers that a model scored, 0 to 1; the others have start propensities.
    pub scored: f64,
}

/// The most calls that could be made in a second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Top {
    /// Calls answered per second.
    pub rate: f64,
    /// Calls answered.
    pub calls: u64,
    /// Calls that failed, by their code.
    pub errors: BTreeMap<&'static str, Errors>,
    /// What the answers were.
    pub shares: Shares,
}

/// What calls took that fell due at a fixed rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Paced {
    /// Calls due per second.
    pub rate_wanted: f64,
    /// Calls answered per second.
    pub rate: f64,
    /// Calls answered.
    pub calls: u64,
    /// Calls that failed, by their code; `no answer` when it did not come within five seconds after the last call was due.
    pub errors: BTreeMap<&'static str, Errors>,
    /// From the moment a call was due to its answer.
    pub latency_us: Quantiles,
    /// The p99 of each tenth of a second or so by itself: on a machine that stands still now and then, one such moment is the p99 of
    /// all, and says nothing of the others.
    pub windows: Option<OfWindows>,
    /// From the moment a call was due to the moment the generator began it: part of the latency.
    pub generator_late_us: Quantiles,
    /// What the answers were.
    pub shares: Shares,
}

/// What became of calls that fell due at a rate above the top rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flooded {
    /// The top rate, measured in turns with this.
    pub top_rate: f64,
    /// Calls that failed at that rate, by their code.
    pub top_errors: BTreeMap<&'static str, Errors>,
    /// What calls took at that rate, from sending to the answer, with no more under way than there have to be.
    pub top_latency_us: Quantiles,
    /// Calls due per second.
    pub rate_wanted: f64,
    /// Calls sent per second: the generator may not manage more.
    pub rate_offered: f64,
    /// Calls answered per second, while more were sent.
    pub rate: f64,
    /// Calls answered, those included that were still out at the end.
    pub calls: u64,
    /// Calls refused for lack of room.
    pub refused: u64,
    /// Calls that failed otherwise, by their code.
    pub errors: BTreeMap<&'static str, Errors>,
    /// From sending a call to its answer, of those that were answered.
    pub latency_us: Quantiles,
    /// The p99 of each tenth of a second or so by itself, of those that were answered.
    pub windows: Option<OfWindows>,
    /// The server's memory before and after, when it tells.
    pub resident_bytes: Option<(f64, f64)>,
}

/// Everything about one kind of call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Which.
    pub call: Call,
    /// The top rate, when it was measured.
    pub top: Option<Top>,
    /// The top rate as a share of the floor's, measured in turns with it.
    pub share_of_floor: Option<f64>,
    /// The latencies at a fixed rate, when they were measured.
    pub paced: Option<Paced>,
    /// What became of more than it can answer, when that was asked for.
    pub flooded: Option<Flooded>,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The server.
    pub server: String,
    /// The version of its catalog.
    pub catalog_version: String,
    /// How many offers that catalog has.
    pub offers: u32,
    /// Connections used.
    pub connections: usize,
    /// Customers that calls were made for.
    pub customers: usize,
    /// The channel that asked.
    pub channel: String,
    /// The placement to fill.
    pub placement: String,
    /// How many offers were asked for.
    pub count: u32,
    /// Each kind of call, in the order of the request.
    pub calls: Vec<Measured>,
    /// What a byte takes that goes to another thread and back over TCP alone, measured in turns with latencies: what the machine does by
    /// itself, whoever asks and whoever answers.
    pub tcp: Option<Tcp>,
}

impl Report {
    /// Returns each kind that was measured at a fixed rate: its name, calls due per second, and its windows; a byte over TCP last.
    /// Not those under overload.
    #[must_use]
    pub fn by_windows(&self) -> Vec<(&'static str, f64, OfWindows)> {
        let kinds = self.calls.iter().filter_map(|measured| {
            let paced = measured.paced.as_ref()?;
            Some((measured.call.name(), paced.rate_wanted, paced.windows?))
        });
        let tcp = self.tcp.and_then(|tcp| Some(("TCP alone", tcp.rate, tcp.windows?)));
        kinds.chain(tcp).collect()
    }
}

/// A byte over TCP and back, one at a time at a fixed rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tcp {
    /// Bytes due per second.
    pub rate: f64,
    /// How many came back.
    pub calls: u64,
    /// From the moment a byte was due to its return.
    pub latency_us: Quantiles,
    /// The p99 of each window.
    pub windows: Option<OfWindows>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_counts_as_an_error_and_not_as_a_latency() {
        let mut tally = Tally::new().unwrap();
        tally.elapsed = Duration::from_secs(2);
        tally.add(
            Duration::from_micros(100),
            Ok(Answer {
                lists: 1,
                cached: 1,
                offers: 3,
                scored: 1,
            }),
        );
        tally.add(
            Duration::from_micros(100),
            Ok(Answer {
                lists: 1,
                cached: 0,
                offers: 1,
                scored: 1,
            }),
        );
        tally.add(Duration::from_secs(5), Err(Failure::new("unavailable", "gone")));
        tally.add(Duration::from_secs(5), Err(Failure::new("unavailable", "still gone")));
        let paced = tally.paced(10.0);
        assert!((paced.rate - 1.0).abs() < 1e-9);
        let errors = Errors {
            count: 2,
            first: "gone".to_owned(),
        };
        assert_eq!(
            (paced.calls, paced.errors),
            (2, BTreeMap::from([("unavailable", errors)]))
        );
        assert_eq!(
            paced.shares,
            Shares {
                cached: 0.5,
                offers: 2.0,
                scored: 0.5
            }
        );
        assert!(paced.latency_us.max < 200.0);
    }
}
