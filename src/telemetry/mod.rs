//! What the server tells about itself: log lines, numbers by name, and traces of single calls. None of them names anybody.
//!
//! **Numbers** go through the `metrics` facade into a registry of the server's own, which is rendered when somebody asks
//! ([`Meters::render`]). All names stand in [`names::NAMES`], and begin with `nbo_`; counters end in `_total`, times are in seconds.
//! Labels have few values: methods, codes, stages, rungs, reasons; and names that a catalog gives, as far as [`LABELS_MAX`].
//!
//! | numbers | of what |
//! |---|---|
//! | `nbo_calls_total`, `nbo_call_seconds`, `nbo_connections`, `nbo_refused_total`, `nbo_refused_callers_total`, `nbo_refused_connections_total`, `nbo_refused_bodies_total`, `nbo_overload_refused_total`, `nbo_secrets_reloads_total` | calls, by method and code |
//! | `nbo_decisions_total`, `nbo_decision_seconds`, `nbo_channel_decisions_total`, `nbo_shown_offers_total`, `nbo_fallbacks_total`, `nbo_replayed_answers_total` | decisions, by rung, channel and group |
//! | `nbo_stage_seconds` | stages: `convert`, those of [`Step`](crate::engine::Step), `answer` |
//! | `nbo_withheld_offers_total`, `nbo_stopped_offers_total`, `nbo_binding_limits_total` | what keeps offers out |
//! | `nbo_events_total`, `nbo_outcomes_total`, `nbo_repeated_outcomes_total`, `nbo_late_outcomes_total` | reports |
//! | `nbo_reserved_contacts_total`, `nbo_confirmed_contacts_total`, `nbo_cancelled_contacts_total`, `nbo_timed_out_contacts_total`, `nbo_open_contacts` | reservations |
//! | `nbo_models`, `nbo_model_info`, `nbo_model_score`, `nbo_model_score_shift`, `nbo_model_reference_scores` | models and [their drift](drift) |
//! | `nbo_catalog_info`, `nbo_catalog_generation`, `nbo_catalog_age_seconds`, `nbo_reloads_total`, `nbo_reload_age_seconds`, `nbo_reload_refused` | the catalog and its reloads |
//! | `nbo_customers`, `nbo_erased_people`, `nbo_erasures_total`, `nbo_resident_bytes` | memory |
//! | `nbo_journal_info`, `nbo_journal_records_total`, `nbo_journal_bytes_total`, `nbo_journal_syncs_total`, `nbo_journal_refused_total`, `nbo_journal_stopped`, `nbo_journal_unsettled_records` | the journal |
//! | `nbo_checkpoints_total`, `nbo_checkpoint_age_seconds`, `nbo_checkpoint_seconds`, `nbo_checkpoint_bytes`, `nbo_checkpoint_customers`, `nbo_checkpoint_records_behind` | checkpoints |
//! | `nbo_watchers`, `nbo_campaign_customers_total`, `nbo_campaign_runs` | watches and campaigns |
//! | `nbo_build_info`, `nbo_ready`, `nbo_uptime_seconds`, `nbo_watched_decisions_every`, `nbo_trace_share` | the process |
//!
//! The stages are timed, and what stops offers is looked up, in one decision of [`WATCHED_EVERY`], which is drawn by chance. All
//! others pay for a flag of the thread.

mod calls;
pub mod drift;
mod exporter;
mod in_force;
mod meters;
pub mod names;
mod open;
mod state;
pub(crate) mod traces;

use std::io::IsTerminal as _;
use std::sync::LazyLock;
use std::time::Instant;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

pub use calls::{Calls, Connected, MethodAt, OneCall};
pub use exporter::{CONTENT_TYPE, SECONDS};
pub use in_force::LABELS_MAX;
pub use meters::{ANSWER, CONVERT, Meters, Reloaded, STAGE_NAMES, WATCHED_EVERY};
pub use state::{Found, FoundCheckpoint, FoundJournal, State};
pub use traces::{Traced, Traces, TracesError};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line, for programs
    Json,
}

/// Sends log lines to standard error: `filter` as in `info` or `nbo=debug`. Does nothing when it was done before.
///
/// # Errors
/// When the filter does not parse.
pub fn log(filter: &str, format: LogFormat) -> Result<(), tracing_subscriber::filter::ParseError> {
    let is_terminal = std::io::stderr().is_terminal();
    let dispatch = subscriber(filter, format, is_terminal, std::io::stderr)?;
    // A second call keeps the first: a test binary starts many servers.
    let _ = tracing::dispatcher::set_global_default(dispatch);
    Ok(())
}

/// Makes what writes log lines to `writer`.
///
/// # Errors
/// When the filter does not parse.
pub fn subscriber<W>(
    filter: &str,
    format: LogFormat,
    colours: bool,
    writer: W,
) -> Result<tracing::Dispatch, tracing_subscriber::filter::ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match format {
        LogFormat::Text => builder.with_ansi(colours).finish().into(),
        LogFormat::Json => builder.json().flatten_event(true).with_ansi(false).finish().into(),
    })
}

/// Draws whether a decision is one of those that are watched, by chance.
#[must_use]
pub fn draw() -> u32 {
    traces::draw()
}

/// Returns the nanoseconds since this was first asked in this process, for those who measure more than once.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "measuring only; nothing is decided by it")]
pub fn ticks() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX)
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

    /// Began at a moment that was measured before.
    #[must_use]
    pub const fn since(began: Instant) -> Self {
        Self(began)
    }

    /// Returns the seconds since the start.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contact::Counted;
    use crate::domain::time::Timestamp;
    use crate::engine::{CancelReceipt, EventsReceipt, OutcomeReceipt};

    #[test]
    fn a_log_filter_that_does_not_parse_is_refused() {
        assert!(log("nbo=loudly", LogFormat::Text).is_err());
    }

    #[test]
    fn what_is_counted_is_what_happened() {
        let meters = Meters::new(vec!["nbo.v1.DecisionService/GetOffers".to_owned()]);
        meters.refused(true);
        meters.reloaded(Reloaded::Refused);
        let due = Some(Timestamp::from_millis(3_600_000));
        meters.cancelled(&CancelReceipt {
            cancelled: 3,
            due,
            profile_version: 3,
        });
        meters.recorded(&EventsReceipt {
            applied: 2,
            duplicates: 1,
            profile_version: 3,
        });
        let receipt = OutcomeReceipt {
            recorded: true,
            late: true,
            confirmed: 0,
            due,
            profile_version: 4,
        };
        meters.reported(Counted::Seen, &receipt);
        let text = meters.render(Timestamp::from_millis(0));
        for line in [
            "nbo_refused_total{because_of=\"caller\"} 1",
            "nbo_reloads_total{result=\"refused\"} 1",
            "nbo_events_total{repeated=\"false\"} 2",
            "nbo_events_total{repeated=\"true\"} 1",
            "nbo_outcomes_total{outcome=\"seen\"} 1",
            "nbo_late_outcomes_total 1",
            "nbo_cancelled_contacts_total 3",
            "nbo_refused_total{because_of=\"server\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
