//! Numbers by names that a catalog gives: channels, groups, limits, models.
//!
//! A name becomes a label, and each label costs memory here and wherever the numbers are collected. So each kind has at most
//! [`LABELS_MAX`] names over the life of the process, reloads included; what comes later counts as `other`.

use std::collections::HashSet;
use std::sync::Arc;

use metrics::{Counter, counter, gauge, histogram};
use parking_lot::Mutex;

use super::drift::Drift;
use super::exporter::Line;
use crate::catalog::Catalog;
use crate::decision::barrier::Barred;
use crate::decision::fill::Stopped;
use crate::decision::policy::Limit;
use crate::domain::decision::{Rung, Shown};
use crate::engine::{Active, Stop};
use crate::model::{Path, Scorer};

/// Names of one kind that have a label of their own.
pub const LABELS_MAX: usize = 200;
/// The label of all others.
const OTHER: &str = "other";
/// How a model that could not be loaded scores.
const NOT_LOADED: &str = "not_loaded";

/// The names that have a label.
#[derive(Debug, Default)]
pub(super) struct Labels(Mutex<HashSet<(&'static str, String)>>);

impl Labels {
    /// Returns the label of a name.
    fn of(&self, kind: &'static str, name: &str) -> String {
        let mut known = self.0.lock();
        let name = (kind, name.to_owned());
        if known.contains(&name) {
            return name.1;
        }
        if known.iter().filter(|(other, _)| *other == kind).count() >= LABELS_MAX {
            return OTHER.to_owned();
        }
        known.insert(name.clone());
        name.1
    }
}

/// The reasons that a stop may have: those built in, and one for each kind of those that catalogs write.
const REASONS: [&str; 17] = [
    "erased",
    "unknown-customer",
    "opt-out",
    "no-room-for-new-customer",
    "contact-history-full",
    "not-for-this-placement",
    "no-treatment-for-channel",
    "shown-in-earlier-placement",
    "enough-of-this-group",
    "no-consent",
    "objected",
    "hold-out",
    "quiet-hours",
    "cap",
    "cool-down",
    "attempts",
    "volume",
];

/// The handles of one activation.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) generation: u64,
    pub(super) channels: Vec<Counter>,
    catalog: Option<Arc<Catalog>>,
    /// By the model's position: how it scores.
    paths: Vec<&'static str>,
    groups: Vec<Counter>,
    models: Vec<Arc<Drift>>,
    reasons: Vec<Counter>,
    other_reason: Option<Counter>,
    caps: Vec<Counter>,
    cool_downs: Vec<Counter>,
    attempts: Vec<Counter>,
    volumes: Vec<Counter>,
}

impl InForce {
    /// Nothing is in force.
    pub(super) const fn none() -> Self {
        Self {
            generation: 0,
            channels: Vec::new(),
            catalog: None,
            paths: Vec::new(),
            groups: Vec::new(),
            models: Vec::new(),
            reasons: Vec::new(),
            other_reason: None,
            caps: Vec::new(),
            cool_downs: Vec::new(),
            attempts: Vec::new(),
            volumes: Vec::new(),
        }
    }

    /// Makes the handles of an activation, within the exporter's registry. A model whose version stays keeps its scores.
    pub(super) fn new(active: &Active, before: &Self, labels: &Labels) -> Self {
        let catalog = &*active.catalog;
        let limit = |kind: &'static str, id: &str| {
            let label = labels.of(kind, id);
            counter!("nbo_binding_limits_total", "kind" => kind, "limit" => label)
        };
        let reason = |reason: &'static str| counter!("nbo_stopped_offers_total", "reason" => reason);
        let path = |scorer: &Option<Arc<dyn Scorer>>| scorer.as_deref().map_or(NOT_LOADED, |it| it.path().name());
        let paths: Vec<_> = active.models.iter().map(path).collect();
        let known = Path::ALL.into_iter().map(Path::name).chain([NOT_LOADED]);
        for name in known {
            let count = paths.iter().filter(|&&path| path == name).count();
            gauge!("nbo_models", "path" => name).set(count as f64);
        }
        let drift = |position: usize| {
            let plan = &catalog.models[position];
            let kept = before.models_by_name(&plan.name);
            kept.filter(|drift| *drift.version == *plan.version).unwrap_or_else(|| {
                let label = labels.of("model", &plan.name);
                let scores = histogram!("nbo_model_score", "model" => label.clone());
                Arc::new(Drift::new(plan.version.to_string(), label, scores))
            })
        };
        Self {
            generation: active.generation,
            channels: catalog
                .channels
                .iter()
                .map(|it| counter!("nbo_channel_decisions_total", "channel" => labels.of("channel", &it.id)))
                .collect(),
            groups: catalog
                .groups
                .iter()
                .map(|it| counter!("nbo_shown_offers_total", "group" => labels.of("group", &it.id)))
                .collect(),
            paths,
            models: (0..catalog.models.len()).map(drift).collect(),
            reasons: REASONS.into_iter().map(reason).collect(),
            other_reason: Some(reason(OTHER)),
            caps: catalog.caps.iter().map(|it| limit("cap", &it.id)).collect(),
            cool_downs: catalog.cool_downs.iter().map(|it| limit("cool_down", &it.id)).collect(),
            attempts: catalog.attempts.iter().map(|it| limit("attempts", &it.id)).collect(),
            volumes: catalog.volumes.iter().map(|it| limit("volume", &it.id)).collect(),
            catalog: Some(Arc::clone(&active.catalog)),
        }
    }

    fn models_by_name(&self, name: &str) -> Option<Arc<Drift>> {
        let catalog = self.catalog.as_ref()?;
        let position = catalog.models.iter().position(|plan| *plan.name == *name)?;
        self.models.get(position).cloned()
    }

    /// Counts an offer shown, and the score that a model gave it.
    pub(super) fn shown(&self, catalog: &Catalog, shown: &Shown) {
        let group = catalog.offer_groups[shown.offer];
        self.groups[group].increment(1);
        if shown.rung == Rung::Model
            && let Some(model) = catalog.groups[group].model
        {
            self.models[model].take(shown.factors.propensity);
        }
    }

    /// Counts `weight` times what stopped an offer.
    pub(super) fn stopped(&self, stop: Stop, weight: u64) {
        let of_kind = |reason: &str| REASONS.iter().position(|known| *known == reason);
        let (reason, limit) = match stop {
            Stop::All(rule) | Stop::Turn(Stopped::Barrier(Barred::Rule(rule)) | Stopped::Placement(rule)) => {
                (rule, None)
            }
            Stop::Turn(Stopped::Barrier(Barred::HoldOut(_))) => ("hold-out", None),
            Stop::Turn(Stopped::Quiet) => ("quiet-hours", None),
            Stop::Turn(Stopped::Limit(Limit::Cap(at))) => ("cap", self.caps.get(at)),
            Stop::Turn(Stopped::Limit(Limit::CoolDown(at))) => ("cool-down", self.cool_downs.get(at)),
            Stop::Turn(Stopped::Limit(Limit::Attempts(at))) => ("attempts", self.attempts.get(at)),
            Stop::Turn(Stopped::Volume(at)) => ("volume", self.volumes.get(at)),
        };
        let reason = of_kind(reason).and_then(|at| self.reasons.get(at));
        if let Some(counter) = reason.or(self.other_reason.as_ref()) {
            counter.increment(weight);
        }
        if let Some(limit) = limit {
            limit.increment(weight);
        }
    }

    /// Returns what is in force, by name and version, and how far the scores of its models have moved: nothing is told of a model
    /// that is no longer there.
    pub(super) fn lines(&self) -> Vec<Line<'_>> {
        let Some(catalog) = &self.catalog else {
            return Vec::new();
        };
        let mut lines = vec![Line::info("nbo_catalog_info", vec![&*catalog.name, &*catalog.version])];
        let mut told = HashSet::new();
        for ((plan, path), drift) in catalog.models.iter().zip(&self.paths).zip(&self.models) {
            lines.push(Line::info("nbo_model_info", vec![&*plan.name, &*plan.version, path]));
            // Those without a label of their own share one.
            if told.insert(&drift.label) {
                let label = || vec![&*drift.label];
                lines.push(Line("nbo_model_score_shift", label(), drift.shift()));
                lines.push(Line("nbo_model_reference_scores", label(), drift.reference() as f64));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_with_ever_new_names_does_not_make_ever_more_labels() {
        let labels = Labels::default();
        let given: HashSet<String> = (0..10_000)
            .map(|number| labels.of("group", &number.to_string()))
            .collect();
        assert_eq!(given.len(), LABELS_MAX + 1);
        assert_eq!(
            (labels.of("group", "7").as_str(), labels.of("cap", "x").as_str()),
            ("7", "x")
        );
    }
}
