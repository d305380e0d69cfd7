//! Timing single calls, and hashing what they answered.
//!
//! Every call is timed by itself, so that the slowest are seen and not averaged away; reading the clock twice costs
//! some 20 to 50 ns, which is in every figure and is shown as a scenario of its own. Answers are hashed between calls,
//! outside the time measured: two runs that print the same hash did the same work.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::domain::decision::{Decision, Ranked, Withheld};
use crate::domain::profile::Profile;

/// The longest call that is told apart, in nanoseconds: ten seconds.
const NANOS_MAX: u64 = 10_000_000_000;

/// What was measured of one scenario. Times are in nanoseconds a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// The scenario.
    pub name: String,
    /// How many calls were timed.
    pub calls: u64,
    /// Half of the calls took no longer.
    pub p50_ns: u64,
    /// 99 of 100 calls took no longer.
    pub p99_ns: u64,
    /// 999 of 1,000 calls took no longer.
    pub p999_ns: u64,
    /// The beginning of the BLAKE3 hash of all answers, in hexadecimal; empty when there is nothing to compare.
    pub answers: String,
}

/// Reads the clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures time; what it measures gets a made-up one"
)]
pub fn start() -> Instant {
    Instant::now()
}

/// Returns the nanoseconds since `start`.
#[must_use]
pub fn nanos_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Returns how long all threads of the process have worked so far, in steps of 10 ms; unknown where the system does not tell. Unlike
/// the clock it does not count what the neighbours on the machine took meanwhile.
#[must_use]
pub fn worked() -> Option<Duration> {
    worked_by("self")
}

/// Returns the same of another process, which the system knows by this number.
pub(super) fn worked_by(process: &str) -> Option<Duration> {
    // Linux counts in hundredths of a second for every program, whatever its own grain is.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program, in parentheses, may hold blanks.
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut times = behind_name.split_ascii_whitespace().skip(11);
    let (user, system) = (times.next()?.parse::<u32>().ok()?, times.next()?.parse::<u32>().ok()?);
    Some(TICK * user.checked_add(system)?)
}

/// Times calls.
pub struct Meter {
    nanos: Histogram<u64>,
    /// What was answered so far.
    pub answers: Answers,
}

impl Meter {
    /// Begins without calls.
    ///
    /// # Errors
    /// Never: the bounds are constants that fit.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            nanos: Histogram::new_with_bounds(1, NANOS_MAX, 3)?,
            answers: Answers::default(),
        })
    }

    /// Does the work and notes how long it took.
    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = start();
        let result = work();
        self.note(nanos_since(start));
        result
    }

    /// Notes a call that was timed elsewhere.
    pub fn note(&mut self, nanos: u64) {
        self.nanos.saturating_record(nanos);
    }

    /// Sums up.
    #[must_use]
    pub fn finish(self, name: &str) -> Timing {
        Timing {
            name: name.to_owned(),
            calls: self.nanos.len(),
            p50_ns: self.nanos.value_at_quantile(0.5),
            p99_ns: self.nanos.value_at_quantile(0.99),
            p999_ns: self.nanos.value_at_quantile(0.999),
            answers: self.answers.finish(),
        }
    }
}

/// A hash over everything that was answered, bit for bit.
#[derive(Default)]
pub struct Answers {
    hasher: blake3::Hasher,
    any: bool,
}

impl Answers {
    /// Adds raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.any = true;
        self.hasher.update(bytes);
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// Adds a number with fractions, by its bits.
    pub fn real(&mut self, number: f64) {
        self.number(number.to_bits());
    }

    /// Adds an instant.
    pub fn instant(&mut self, instant: crate::domain::time::Timestamp) {
        self.bytes(&instant.as_millis().to_le_bytes());
    }

    /// Adds a ranking.
    pub fn ranked(&mut self, offers: &[Ranked]) {
        self.number(offers.len() as u64);
        for ranked in offers {
            self.number(u64::from(ranked.offer));
            self.real(f64::from(ranked.propensity));
            self.real(f64::from(ranked.context_weight));
            self.real(ranked.priority);
        }
    }

    /// Adds a profile.
    pub fn profile(&mut self, profile: &Profile) {
        self.bytes(format!("{profile:?}").as_bytes());
    }

    /// Adds reasons.
    pub fn withheld(&mut self, withheld: &[Withheld]) {
        self.bytes(format!("{withheld:?}").as_bytes());
    }

    /// Adds a whole decision.
    pub fn decision(&mut self, decision: &Decision) {
        if let Some(id) = decision.id {
            self.bytes(&id.customer.get().to_le_bytes());
            self.number(u64::from(id.number));
        }
        self.number(decision.profile_version);
        self.number(u64::from(decision.cached) + 2 * u64::from(decision.known_customer));
        self.instant(decision.decided_at);
        self.instant(decision.valid_until);
        for filled in &decision.placements {
            self.number(filled.placement as u64);
            self.number(filled.offers.len() as u64 * 2 + u64::from(filled.fallback));
            for shown in &filled.offers {
                self.number(shown.offer as u64);
                self.number(shown.rung as u64);
                self.real(shown.priority);
                self.real(shown.factors.propensity);
                self.real(shown.factors.context_weight);
            }
        }
        self.withheld(&decision.withheld);
    }

    fn finish(&self) -> String {
        if self.any {
            self.hasher.finalize().to_hex()[..16].to_owned()
        } else {
            String::new()
        }
    }
}
