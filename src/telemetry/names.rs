//! The names of all numbers, and what each says. The list is the whole list: what is served and is not in it is a fault, and the
//! other way round.

use Kind::{Counter, Gauge, Histogram, Info};

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at each start.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by upper bounds, with a sum and a count.
    Histogram,
    /// Always 1: its labels are what it says.
    Info,
}

/// One number, or one for each value of its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The labels that it has.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const fn of(kind: Kind, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Name {
    Name {
        name,
        kind,
        labels,
        help,
    }
}

/// All of them.
pub const NAMES: [Name; 64] = [
    // Calls
    of(
        Counter,
        "nbo_calls_total",
        &["method", "code"],
        "Calls that were answered, by the code of the answer; `gone` when the caller did not wait",
    ),
    of(
        Histogram,
        "nbo_call_seconds",
        &["method"],
        "Time from a call's headers until its answer begins; streams go on after that",
    ),
    of(Gauge, "nbo_connections", &[], "Open connections"),
    of(
        Counter,
        "nbo_refused_total",
        &["because_of"],
        "Refused calls and items, by whether the caller or the server is the reason",
    ),
    of(
        Counter,
        "nbo_refused_callers_total",
        &["code"],
        "Calls that were not let in, by the code of the refusal",
    ),
    of(
        Counter,
        "nbo_refused_connections_total",
        &[],
        "Connections that were closed at once, since their address had too many",
    ),
    of(
        Counter,
        "nbo_refused_bodies_total",
        &[],
        "Requests that were refused since unfinished ones took all the memory that they may",
    ),
    of(
        Counter,
        "nbo_overload_refused_total",
        &["class"],
        "Calls refused because more was asked than could be answered, by how much they matter",
    ),
    of(
        Counter,
        "nbo_secrets_reloads_total",
        &["result"],
        "Changed files with certificates, tokens or keys, by whether they came into force",
    ),
    // Decisions
    of(
        Histogram,
        "nbo_decision_seconds",
        &[],
        "Time from a decoded request for offers to the decision",
    ),
    of(
        Histogram,
        "nbo_stage_seconds",
        &["stage"],
        "Time of the stages of a decision that they were passed in, in one decision of 64",
    ),
    of(
        Counter,
        "nbo_decisions_total",
        &["rung", "cached"],
        "Decisions, by the lowest rung shown and whether the list was cached",
    ),
    of(
        Counter,
        "nbo_channel_decisions_total",
        &["channel"],
        "Decisions, by the channel that asked",
    ),
    of(
        Counter,
        "nbo_shown_offers_total",
        &["group"],
        "Offers shown, by their group",
    ),
    of(
        Counter,
        "nbo_fallbacks_total",
        &[],
        "Placements that nothing qualified for",
    ),
    of(
        Counter,
        "nbo_replayed_answers_total",
        &[],
        "Answers given again to a call that was repeated with its request id; no decisions",
    ),
    of(
        Counter,
        "nbo_withheld_offers_total",
        &["stage"],
        "Reasons for withholding offers in explained decisions, by stage",
    ),
    of(
        Counter,
        "nbo_stopped_offers_total",
        &["reason"],
        "Offers stopped when their turn to fill a placement had come, by the first reason; one decision of 64 is looked at and counts 64 times",
    ),
    of(
        Counter,
        "nbo_binding_limits_total",
        &["kind", "limit"],
        "The same for contact limits and volumes, by which one",
    ),
    of(
        Counter,
        "nbo_events_total",
        &["repeated"],
        "Events, by whether they had been recorded before",
    ),
    // Contacts
    of(
        Counter,
        "nbo_reserved_contacts_total",
        &[],
        "Contacts that decisions reserved",
    ),
    of(
        Counter,
        "nbo_confirmed_contacts_total",
        &[],
        "Reserved contacts of which something was reported in time",
    ),
    of(
        Counter,
        "nbo_cancelled_contacts_total",
        &[],
        "Contacts released because the caller cancelled them",
    ),
    of(
        Counter,
        "nbo_timed_out_contacts_total",
        &[],
        "Contacts released because nothing was reported in time; those reserved before the start are not known",
    ),
    of(
        Gauge,
        "nbo_open_contacts",
        &[],
        "Contacts reserved since the start that wait for a report",
    ),
    of(
        Counter,
        "nbo_late_outcomes_total",
        &[],
        "Outcomes that came after the reservation had been released, by its time or by a cancellation",
    ),
    of(
        Counter,
        "nbo_outcomes_total",
        &["outcome"],
        "Outcomes, by what happened",
    ),
    of(
        Counter,
        "nbo_repeated_outcomes_total",
        &[],
        "Outcomes that had been reported before",
    ),
    // Others who work here
    of(Gauge, "nbo_watchers", &[], "Open watches"),
    of(
        Counter,
        "nbo_campaign_customers_total",
        &[],
        "Customers that campaign runs asked for",
    ),
    of(Gauge, "nbo_campaign_runs", &[], "Campaign runs under way"),
    // Models
    of(
        Gauge,
        "nbo_models",
        &["path"],
        "Models in force, by the way in which they score",
    ),
    of(
        Info,
        "nbo_model_info",
        &["model", "version", "path"],
        "The models in force",
    ),
    of(
        Histogram,
        "nbo_model_score",
        &["model"],
        "Propensities of offers shown, by the model that scored them",
    ),
    of(
        Gauge,
        "nbo_model_score_shift",
        &["model"],
        "Population stability index of the latest 10,000 propensities shown against the first 10,000 of the model's version; 0 until both are there",
    ),
    of(
        Gauge,
        "nbo_model_reference_scores",
        &["model"],
        "How many of the first 10,000 propensities are there",
    ),
    // Catalog
    of(
        Info,
        "nbo_catalog_info",
        &["catalog", "version"],
        "The catalog in force",
    ),
    of(
        Gauge,
        "nbo_catalog_generation",
        &[],
        "Which activation is in force, counted over restarts",
    ),
    of(
        Gauge,
        "nbo_catalog_age_seconds",
        &[],
        "For how long the catalog has been in force in this process",
    ),
    of(
        Counter,
        "nbo_reloads_total",
        &["result"],
        "Reloads of the catalog and its models, by what came of them",
    ),
    of(
        Gauge,
        "nbo_reload_age_seconds",
        &[],
        "How long ago files were last read again; since the start when they never were",
    ),
    of(
        Gauge,
        "nbo_reload_refused",
        &[],
        "1 while the files as they were last read again have faults, so that older ones are in force",
    ),
    // State
    of(Gauge, "nbo_customers", &[], "Customers in memory, visitors included"),
    of(
        Gauge,
        "nbo_erased_people",
        &[],
        "People who were erased and are remembered, so that nobody contacts them",
    ),
    of(
        Counter,
        "nbo_erasures_total",
        &["result"],
        "Erasures asked for, by whether the person was known or the disk refused",
    ),
    of(
        Gauge,
        "nbo_resident_bytes",
        &[],
        "Memory of the process that is in use, where the system tells",
    ),
    // Journal
    of(
        Info,
        "nbo_journal_info",
        &["level"],
        "What an answer promises about what it changed",
    ),
    of(
        Counter,
        "nbo_journal_records_total",
        &[],
        "Records written, counted over restarts",
    ),
    of(
        Counter,
        "nbo_journal_bytes_total",
        &[],
        "Bytes of records written since the start",
    ),
    of(
        Counter,
        "nbo_journal_syncs_total",
        &[],
        "How often the disk was waited for",
    ),
    of(
        Counter,
        "nbo_journal_refused_total",
        &[],
        "Records that the disk did not take",
    ),
    of(
        Gauge,
        "nbo_journal_stopped",
        &[],
        "1 when nothing is recorded until the server is started anew",
    ),
    of(
        Gauge,
        "nbo_journal_unsettled_records",
        &[],
        "Records that wait for the disk, at the level `power`",
    ),
    // Checkpoints
    of(
        Counter,
        "nbo_checkpoints_total",
        &["result"],
        "Checkpoints, by whether they were taken or failed",
    ),
    of(
        Gauge,
        "nbo_checkpoint_age_seconds",
        &[],
        "How long ago this process took its last checkpoint; since the start when it took none",
    ),
    of(Gauge, "nbo_checkpoint_seconds", &[], "How long that took"),
    of(Gauge, "nbo_checkpoint_bytes", &[], "Its size"),
    of(Gauge, "nbo_checkpoint_customers", &[], "The customers in it"),
    of(
        Gauge,
        "nbo_checkpoint_records_behind",
        &[],
        "Records that a start would have to replay now",
    ),
    // The process
    of(Info, "nbo_build_info", &["version", "target"], "What is running"),
    of(
        Gauge,
        "nbo_ready",
        &[],
        "1 while calls are taken: not while starting or stopping, nor after the journal has stopped",
    ),
    of(
        Gauge,
        "nbo_uptime_seconds",
        &[],
        "For how long the server has been there",
    ),
    // Telemetry
    of(
        Gauge,
        "nbo_watched_decisions_every",
        &[],
        "Of how many decisions one has its stages timed and its stops counted",
    ),
    of(
        Gauge,
        "nbo_trace_share",
        &[],
        "The share of calls without a caller's trace that are traced",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_says_what_it_is_and_stands_once() {
        for (at, name) in NAMES.iter().enumerate() {
            assert!(NAMES[..at].iter().all(|before| before.name != name.name), "{name:?}");
            assert!(name.name.starts_with("nbo_") && name.help.len() > 7, "{name:?}");
            assert_eq!(name.name.ends_with("_total"), name.kind == Counter, "{name:?}");
            assert_eq!(name.name.ends_with("_info"), name.kind == Info, "{name:?}");
        }
    }
}
