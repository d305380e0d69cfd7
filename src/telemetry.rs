//! What the server tells about itself: log lines, and numbers by name.
//!
//! Numbers go through the `metrics` facade. Handles are made once per server ([`Meters::new`]), so recording one is an
//! addition, and nothing at all while no recorder is installed. [`crate::telemetry`] installs none: an exporter belongs to
//! operating the server. Names begin with `nbo_`; counters end in `_total`, spans in `_seconds`.

use std::io::IsTerminal as _;
use std::time::Instant;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use tracing_subscriber::EnvFilter;

use crate::domain::contact::Counted;
use crate::domain::decision::{Decision, Rung, Stage};
use crate::engine::{Active, CancelReceipt, EventsReceipt, OutcomeReceipt};
use crate::model::{Path, Scorer};

/// Sends log lines to standard error: `filter` as in `info` or `nbo=debug`. Does nothing when it was done before.
///
/// # Errors
/// When the filter does not parse.
pub fn log(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    // A second call keeps the first: a test binary starts many servers.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    Ok(())
}

/// Measures how long something took.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "measuring only; nothing is decided by it")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the seconds since the start.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// The numbers of one server.
#[derive(Debug)]
pub struct Meters {
    decisions: [[Counter; 2]; RUNGS.len()],
    replayed: Counter,
    fallbacks: Counter,
    withheld: [Counter; STAGES.len()],
    decision_seconds: Histogram,
    events: Counter,
    repeated_events: Counter,
    outcomes: [Counter; Counted::ALL.len()],
    repeated_outcomes: Counter,
    late_outcomes: Counter,
    cancelled_contacts: Counter,
    refused: [Counter; 2],
    watchers: Gauge,
    campaign_customers: Counter,
    campaign_runs: Gauge,
    reloads: [Counter; 3],
    models: [Gauge; Path::ALL.len()],
    models_out: Gauge,
}

const RUNGS: [(Rung, &str); 3] = [
    (Rung::Model, "model"),
    (Rung::LastGood, "last_good"),
    (Rung::Start, "start"),
];
const CACHED: [&str; 2] = ["false", "true"];
const STAGES: [(Stage, &str); 6] = [
    (Stage::HardSuppression, "hard_suppression"),
    (Stage::Eligibility, "eligibility"),
    (Stage::Applicability, "applicability"),
    (Stage::Suitability, "suitability"),
    (Stage::ContactPolicy, "contact_policy"),
    (Stage::Placement, "placement"),
];

/// What came of a reload, as its counter names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Another version is in force.
    Applied,
    /// Nothing had changed.
    Unchanged,
    /// There were faults.
    Refused,
}

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}

impl Meters {
    /// Describes all numbers and makes their handles with the recorder that is installed now.
    #[must_use]
    pub fn new() -> Self {
        describe();
        Self {
            decisions: RUNGS.map(|(_, rung)| {
                CACHED.map(|cached| counter!("nbo_decisions_total", "rung" => rung, "cached" => cached))
            }),
            replayed: counter!("nbo_replayed_answers_total"),
            fallbacks: counter!("nbo_fallbacks_total"),
            withheld: STAGES.map(|(_, stage)| counter!("nbo_withheld_offers_total", "stage" => stage)),
            decision_seconds: histogram!("nbo_decision_seconds"),
            events: counter!("nbo_events_total", "repeated" => "false"),
            repeated_events: counter!("nbo_events_total", "repeated" => "true"),
            outcomes: Counted::ALL.map(|outcome| counter!("nbo_outcomes_total", "outcome" => outcome.name())),
            repeated_outcomes: counter!("nbo_repeated_outcomes_total"),
            late_outcomes: counter!("nbo_late_outcomes_total"),
            cancelled_contacts: counter!("nbo_cancelled_contacts_total"),
            refused: ["caller", "server"].map(|by| counter!("nbo_refused_total", "because_of" => by)),
            watchers: gauge!("nbo_watchers"),
            campaign_customers: counter!("nbo_campaign_customers_total"),
            campaign_runs: gauge!("nbo_campaign_runs"),
            reloads: ["applied", "unchanged", "refused"]
                .map(|result| counter!("nbo_reloads_total", "result" => result)),
            models: Path::ALL.map(|path| gauge!("nbo_models", "path" => path.name())),
            models_out: gauge!("nbo_models", "path" => "not_loaded"),
        }
    }

    /// Says by which ways the models in force score.
    pub fn in_force(&self, active: &Active) {
        let paths: Vec<Option<Path>> = active
            .models
            .iter()
            .map(|scorer| scorer.as_deref().map(Scorer::path))
            .collect();
        let count = |wanted: Option<Path>| paths.iter().filter(|&&path| path == wanted).count() as f64;
        for (path, gauge) in Path::ALL.into_iter().zip(&self.models) {
            gauge.set(count(Some(path)));
        }
        self.models_out.set(count(None));
    }

    /// Counts a decision and the time that it took, conversion included.
    pub fn decided(&self, decision: &Decision, took: Stopwatch) {
        self.decision_seconds.record(took.seconds());
        let rung = RUNGS
            .iter()
            .position(|&(rung, _)| rung == decision.rung)
            .unwrap_or_default();
        self.decisions[rung][usize::from(decision.cached)].increment(1);
        let fallbacks = decision.placements.iter().filter(|filled| filled.fallback).count();
        if fallbacks > 0 {
            self.fallbacks.increment(fallbacks as u64);
        }
        for reason in &decision.withheld {
            let stage = STAGES
                .iter()
                .position(|&(stage, _)| stage == reason.stage)
                .unwrap_or_default();
            self.withheld[stage].increment(1);
        }
    }

    /// Counts an answer that was given again to a repeated call.
    pub fn replayed(&self) {
        self.replayed.increment(1);
    }

    /// Counts recorded events.
    pub fn recorded(&self, receipt: &EventsReceipt) {
        self.events.increment(receipt.applied as u64);
        self.repeated_events.increment(receipt.duplicates as u64);
    }

    /// Counts a reported outcome.
    pub fn reported(&self, outcome: Counted, receipt: &OutcomeReceipt) {
        if !receipt.recorded {
            self.repeated_outcomes.increment(1);
            return;
        }
        self.outcomes[outcome.index()].increment(1);
        if receipt.late {
            self.late_outcomes.increment(1);
        }
    }

    /// Counts the contacts that a cancellation released.
    pub fn cancelled(&self, receipt: &CancelReceipt) {
        self.cancelled_contacts.increment(receipt.cancelled as u64);
    }

    /// Counts a refused call or item; `by_caller` tells whether the caller can do something about it.
    pub fn refused(&self, by_caller: bool) {
        self.refused[usize::from(!by_caller)].increment(1);
    }

    /// Says how many watch.
    pub fn watching(&self, watchers: usize) {
        self.watchers.set(watchers as f64);
    }

    /// Counts customers that campaign runs asked for.
    pub fn campaigned(&self, customers: u64) {
        self.campaign_customers.increment(customers);
    }

    /// Says how many campaign runs are under way.
    pub fn campaign_runs(&self, runs: usize) {
        self.campaign_runs.set(runs as f64);
    }

    /// Counts a reload.
    pub fn reloaded(&self, result: Reloaded) {
        self.reloads[result as usize].increment(1);
    }
}

fn describe() {
    describe_counter!(
        "nbo_decisions_total",
        "Decisions, by the lowest rung shown and whether the list was cached"
    );
    describe_counter!(
        "nbo_replayed_answers_total",
        "Answers given again to a call that was repeated with its request id; no decisions"
    );
    describe_counter!("nbo_fallbacks_total", "Placements that nothing qualified for");
    describe_counter!(
        "nbo_withheld_offers_total",
        "Offers withheld in explained decisions, by stage"
    );
    describe_histogram!(
        "nbo_decision_seconds",
        Unit::Seconds,
        "Time from a decoded request for offers to the decision"
    );
    describe_counter!("nbo_events_total", "Events, by whether they had been recorded before");
    describe_counter!("nbo_outcomes_total", "Outcomes, by what happened");
    describe_counter!("nbo_repeated_outcomes_total", "Outcomes that had been reported before");
    describe_counter!(
        "nbo_late_outcomes_total",
        "Outcomes that came after the reservation had been released, by its time or by a cancellation"
    );
    describe_counter!(
        "nbo_cancelled_contacts_total",
        "Contacts released because the caller cancelled them"
    );
    describe_counter!(
        "nbo_refused_total",
        "Refused calls and items, by whether the caller or the server is the reason"
    );
    describe_gauge!("nbo_watchers", "Open watches");
    describe_counter!("nbo_campaign_customers_total", "Customers that campaign runs asked for");
    describe_gauge!("nbo_campaign_runs", "Campaign runs under way");
    describe_counter!(
        "nbo_reloads_total",
        "Reloads of the catalog and its models, by what came of them"
    );
    describe_gauge!("nbo_models", "Models in force, by the way in which they score");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_filter_that_does_not_parse_is_refused() {
        assert!(log("nbo=loudly").is_err());
    }

    #[test]
    fn every_rung_and_stage_has_its_own_counter() {
        use metrics_util::debugging::{DebugValue, DebuggingRecorder};
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        metrics::with_local_recorder(&recorder, || {
            let meters = Meters::new();
            meters.refused(true);
            meters.reloaded(Reloaded::Refused);
            meters.cancelled(&CancelReceipt {
                cancelled: 3,
                profile_version: 3,
            });
            meters.recorded(&EventsReceipt {
                applied: 2,
                duplicates: 1,
                profile_version: 3,
            });
            meters.reported(
                Counted::Seen,
                &OutcomeReceipt {
                    recorded: true,
                    late: true,
                    profile_version: 4,
                },
            );
        });
        let counted: Vec<String> = snapshotter
            .snapshot()
            .into_vec()
            .into_iter()
            .filter_map(|(key, _, _, value)| match value {
                DebugValue::Counter(count) if count > 0 => Some(format!("{} {count}", key.key())),
                _ => None,
            })
            .collect();
        for expected in [
            "because_of = caller",
            "result = refused",
            "repeated = false",
            "outcome = seen",
            "nbo_late",
            "nbo_cancelled",
        ] {
            assert!(
                counted.iter().any(|line| line.contains(expected)),
                "{expected} is not in {counted:?}"
            );
        }
        assert_eq!(counted.len(), 7, "{counted:?}");
    }
}
