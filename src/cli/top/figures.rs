//! What a screen shows: rates and quantiles of what happened between two looks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::numbers::Numbers;
use crate::domain::decision::Rung;
use crate::telemetry::STAGE_NAMES;

/// What happened between two looks, and how things stand now. Rates are per second, times in seconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// What is running.
    pub server: Server,
    /// The calls by method; those that were called.
    pub calls: Vec<Calls>,
    /// The decisions.
    pub decisions: Decisions,
    /// The stages of the decisions that were watched.
    pub stages: Vec<Timed>,
    /// What stopped offers, most first.
    pub stops: Vec<Stops>,
    /// Contacts.
    pub contacts: BTreeMap<&'static str, f64>,
    /// The models.
    pub models: Vec<Model>,
    /// The journal and its checkpoints.
    pub journal: Journal,
    /// Customers and memory.
    pub memory: BTreeMap<&'static str, f64>,
}

/// What is running.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Server {
    /// The program's version.
    pub version: String,
    /// The catalog's name.
    pub catalog: String,
    /// The catalog's version.
    pub catalog_version: String,
    /// For how long it has been in force.
    pub catalog_age: f64,
    /// Whether the last reload was refused.
    pub reload_refused: bool,
    /// How long ago files were read again.
    pub reload_age: f64,
    /// Whether calls are taken.
    pub ready: bool,
    /// For how long the server has been there.
    pub uptime: f64,
    /// Open connections.
    pub connections: f64,
    /// Open watches.
    pub watchers: f64,
    /// Calls refused a second because more is asked than can be answered.
    pub excess: f64,
}

/// Calls of one method.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Calls {
    /// The method.
    pub method: String,
    /// How many a second.
    pub rate: f64,
    /// How many of them were not answered with success.
    pub faults: f64,
    /// The median time; absent when nothing was called.
    pub p50: Option<f64>,
    /// The time that 99 of 100 keep.
    pub p99: Option<f64>,
}

/// One thing that is timed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Timed {
    /// What.
    pub name: String,
    /// The median.
    pub p50: Option<f64>,
    /// The time that 99 of 100 keep.
    pub p99: Option<f64>,
}

/// Decisions.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Decisions {
    /// How many a second.
    pub rate: f64,
    /// The same by rung.
    pub rungs: BTreeMap<String, f64>,
    /// The share that came from a cached list.
    pub cached: f64,
    /// Placements that nothing qualified for.
    pub fallbacks: f64,
    /// The median time.
    pub p50: Option<f64>,
    /// The time that 99 of 100 keep.
    pub p99: Option<f64>,
}

/// What stopped offers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stops {
    /// The kind of the limit; `reason` when it is none.
    pub kind: String,
    /// The limit, or the reason.
    pub reason: String,
    /// How many offers a second.
    pub rate: f64,
}

/// A model.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How it scores.
    pub path: String,
    /// The mean propensity shown, between the looks or since the start.
    pub mean: f64,
    /// The population stability index.
    pub shift: f64,
}

/// The journal and its checkpoints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Journal {
    /// What it promises.
    pub level: String,
    /// Records a second.
    pub records: f64,
    /// Bytes a second.
    pub bytes: f64,
    /// Waits for the disk a second.
    pub syncs: f64,
    /// Records that the disk refused, since the start.
    pub refused: f64,
    /// Whether it has stopped.
    pub stopped: bool,
    /// How old the last checkpoint is.
    pub checkpoint_age: f64,
    /// How long it took.
    pub checkpoint_seconds: f64,
    /// Its bytes.
    pub checkpoint_bytes: f64,
    /// Records behind it.
    pub behind: f64,
}

/// Two looks.
#[derive(Clone, Copy)]
struct Between<'a> {
    before: &'a Numbers,
    now: &'a Numbers,
    seconds: f64,
}

impl Between<'_> {
    fn grown(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // A server that was started anew counts from 0 again.
        (self.now.sum(name, labels) - self.before.sum(name, labels)).max(0.0)
    }

    fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        if self.seconds > 0.0 {
            self.grown(name, labels) / self.seconds
        } else {
            0.0
        }
    }

    /// Returns what 50 and 99 of 100 keep, of what came between the looks.
    fn quantiles(&self, name: &str, labels: &[(&str, &str)]) -> (Option<f64>, Option<f64>) {
        let bucket = format!("{name}_bucket");
        let mut bounds: Vec<f64> = self
            .now
            .all(&bucket)
            .iter()
            .filter_map(|line| line.label("le").parse().ok())
            .collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let counts: Vec<(f64, f64)> = bounds
            .into_iter()
            .map(|bound| {
                let text = if bound.is_infinite() {
                    "+Inf".to_owned()
                } else {
                    bound.to_string()
                };
                let labels: Vec<_> = labels.iter().copied().chain([("le", text.as_str())]).collect();
                (bound, self.grown(&bucket, &labels))
            })
            .collect();
        (quantile(&counts, 0.5), quantile(&counts, 0.99))
    }
}

/// Finds a quantile in counts by upper bounds: in its bucket all values are taken as spread evenly, and behind the last bound as on
/// it. `None` when there is nothing.
fn quantile(counts: &[(f64, f64)], share: f64) -> Option<f64> {
    let all = counts.last().map_or(0.0, |(_, all)| *all);
    if all <= 0.0 {
        return None;
    }
    let wanted = all * share;
    let (mut from, mut below) = (0.0, 0.0);
    for &(bound, count) in counts {
        if count >= wanted {
            let within = if count > below {
                (wanted - below) / (count - below)
            } else {
                1.0
            };
            return Some(if bound.is_finite() {
                from + (bound - from) * within
            } else {
                from
            });
        }
        (from, below) = (bound, count);
    }
    None
}

impl Figures {
    /// Tells what happened between two looks.
    #[must_use]
    pub fn between(before: &Numbers, now: &Numbers) -> Self {
        let seconds = now.seconds_since(before);
        let two = Between { before, now, seconds };
        Self {
            server: Server {
                excess: two.rate("nbo_overload_refused_total", &[]),
                ..server(now)
            },
            calls: calls(&two),
            decisions: decisions(&two),
            stages: stages(&two),
            stops: stops(&two),
            contacts: contacts(&two),
            models: models(&two),
            journal: journal(&two),
            memory: [
                ("customers", "nbo_customers"),
                ("erased", "nbo_erased_people"),
                ("resident_bytes", "nbo_resident_bytes"),
            ]
            .map(|(key, name)| (key, now.sum(name, &[])))
            .into(),
        }
    }
}

fn label(numbers: &Numbers, name: &str, label: &str) -> String {
    numbers
        .all(name)
        .first()
        .map(|line| line.label(label).to_owned())
        .unwrap_or_default()
}

fn server(now: &Numbers) -> Server {
    let value = |name| now.sum(name, &[]);
    Server {
        version: label(now, "nbo_build_info", "version"),
        catalog: label(now, "nbo_catalog_info", "catalog"),
        catalog_version: label(now, "nbo_catalog_info", "version"),
        catalog_age: value("nbo_catalog_age_seconds"),
        reload_refused: value("nbo_reload_refused") > 0.0,
        reload_age: value("nbo_reload_age_seconds"),
        ready: value("nbo_ready") > 0.0,
        uptime: value("nbo_uptime_seconds"),
        connections: value("nbo_connections"),
        watchers: value("nbo_watchers"),
        excess: 0.0,
    }
}

fn calls(two: &Between<'_>) -> Vec<Calls> {
    let mut methods: Vec<String> = two
        .now
        .all("nbo_calls_total")
        .iter()
        .map(|line| line.label("method").to_owned())
        .collect();
    methods.sort();
    methods.dedup();
    let mut calls: Vec<Calls> = methods
        .into_iter()
        .map(|method| {
            let of = ("method", method.as_str());
            let (rate, well) = (
                two.rate("nbo_calls_total", &[of]),
                two.rate("nbo_calls_total", &[of, ("code", "ok")]),
            );
            let (p50, p99) = two.quantiles("nbo_call_seconds", &[of]);
            let faults = rate - well;
            Calls {
                method,
                rate,
                faults,
                p50,
                p99,
            }
        })
        .collect();
    calls.sort_by(|one, other| other.rate.total_cmp(&one.rate));
    calls
}

fn decisions(two: &Between<'_>) -> Decisions {
    let rate = two.rate("nbo_decisions_total", &[]);
    let rungs = Rung::ALL.map(Rung::name);
    let rungs = rungs.map(|rung| (rung.to_owned(), two.rate("nbo_decisions_total", &[("rung", rung)])));
    let cached = two.rate("nbo_decisions_total", &[("cached", "true")]);
    let (p50, p99) = two.quantiles("nbo_decision_seconds", &[]);
    Decisions {
        rate,
        rungs: rungs.into(),
        cached: if rate > 0.0 { cached / rate } else { 0.0 },
        fallbacks: two.rate("nbo_fallbacks_total", &[]),
        p50,
        p99,
    }
}

fn stages(two: &Between<'_>) -> Vec<Timed> {
    let timed = STAGE_NAMES.into_iter().map(|name| {
        let (p50, p99) = two.quantiles("nbo_stage_seconds", &[("stage", name)]);
        let name = name.to_owned();
        Timed { name, p50, p99 }
    });
    timed.filter(|timed| timed.p50.is_some()).collect()
}

fn stops(two: &Between<'_>) -> Vec<Stops> {
    let limits = two.now.all("nbo_binding_limits_total").iter().map(|line| {
        let (kind, limit) = (line.label("kind"), line.label("limit"));
        let rate = two.rate("nbo_binding_limits_total", &[("kind", kind), ("limit", limit)]);
        let (kind, reason) = (kind.to_owned(), limit.to_owned());
        Stops { kind, reason, rate }
    });
    let named = ["cap", "cool-down", "attempts", "volume"];
    let reasons = two
        .now
        .all("nbo_stopped_offers_total")
        .iter()
        .map(|line| line.label("reason"));
    let reasons = reasons.filter(|reason| !named.contains(reason)).map(|reason| Stops {
        rate: two.rate("nbo_stopped_offers_total", &[("reason", reason)]),
        kind: "reason".to_owned(),
        reason: reason.to_owned(),
    });
    let mut stops: Vec<Stops> = limits.chain(reasons).filter(|stops| stops.rate > 0.0).collect();
    stops.sort_by(|one, other| {
        other
            .rate
            .total_cmp(&one.rate)
            .then_with(|| one.reason.cmp(&other.reason))
    });
    stops
}

fn contacts(two: &Between<'_>) -> BTreeMap<&'static str, f64> {
    let rates = [
        ("reserved", "nbo_reserved_contacts_total"),
        ("confirmed", "nbo_confirmed_contacts_total"),
        ("cancelled", "nbo_cancelled_contacts_total"),
        ("timed_out", "nbo_timed_out_contacts_total"),
        ("late", "nbo_late_outcomes_total"),
    ];
    let rates = rates.into_iter().map(|(key, name)| (key, two.rate(name, &[])));
    rates.chain([("open", two.now.sum("nbo_open_contacts", &[]))]).collect()
}

fn models(two: &Between<'_>) -> Vec<Model> {
    let models = two.now.all("nbo_model_info").iter().map(|line| {
        let name = line.label("model").to_owned();
        let of = [("model", name.as_str())];
        let mean = |sum: f64, count: f64| if count > 0.0 { sum / count } else { 0.0 };
        let (sum, count) = ("nbo_model_score_sum", "nbo_model_score_count");
        let lately = two.grown(count, &of);
        Model {
            version: line.label("version").to_owned(),
            path: line.label("path").to_owned(),
            mean: if lately > 0.0 {
                mean(two.grown(sum, &of), lately)
            } else {
                mean(two.now.sum(sum, &of), two.now.sum(count, &of))
            },
            shift: two.now.sum("nbo_model_score_shift", &of),
            name,
        }
    });
    models.collect()
}

fn journal(two: &Between<'_>) -> Journal {
    let value = |name| two.now.sum(name, &[]);
    Journal {
        level: label(two.now, "nbo_journal_info", "level"),
        records: two.rate("nbo_journal_records_total", &[]),
        bytes: two.rate("nbo_journal_bytes_total", &[]),
        syncs: two.rate("nbo_journal_syncs_total", &[]),
        refused: value("nbo_journal_refused_total"),
        stopped: value("nbo_journal_stopped") > 0.0,
        checkpoint_age: value("nbo_checkpoint_age_seconds"),
        checkpoint_seconds: value("nbo_checkpoint_seconds"),
        checkpoint_bytes: value("nbo_checkpoint_bytes"),
        behind: value("nbo_checkpoint_records_behind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_the_bucket_that_holds_it() {
        let counts = [(0.001, 50.0), (0.002, 100.0), (f64::INFINITY, 100.0)];
        assert_eq!(quantile(&counts, 0.5), Some(0.001));
        assert!(quantile(&counts, 0.75).is_some_and(|at| (at - 0.0015).abs() < 1e-12));
        let slow = [(0.5, 0.0), (1.0, 0.0), (f64::INFINITY, 3.0)];
        assert_eq!((quantile(&slow, 0.5), quantile(&[], 0.5)), (Some(1.0), None));
    }

    #[test]
    fn rates_are_those_between_the_looks() {
        let look = |calls: u32, at| {
            let text = format!(
                "nbo_calls_total{{method=\"A/B\",code=\"ok\"}} {calls}\nnbo_calls_total{{method=\"A/B\",code=\"unavailable\"}} 2\n\
                 nbo_call_seconds_bucket{{method=\"A/B\",le=\"0.0001\"}} {calls}\nnbo_call_seconds_bucket{{method=\"A/B\",le=\"+Inf\"}} {calls}\n"
            );
            Numbers::read(&text, at)
        };
        let figures = Figures::between(&look(10, 0), &look(30, 2_000_000_000));
        assert_eq!((figures.calls[0].rate, figures.calls[0].faults), (10.0, 0.0));
        assert_eq!(figures.calls[0].p50, Some(0.00005));
        // A restart in between shows as nothing, not as a negative rate.
        assert!(Figures::between(&look(30, 0), &look(10, 1)).calls[0].rate.abs() < 1e-9);
    }
}
