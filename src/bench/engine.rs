//! Whole calls of the engine, on a store full of customers.
//!
//! Each scenario has customers of its own, a slice of the store in shuffled order, and asks each of them once: nothing is
//! in the processor's cache that would not be there in service, no branch is learnt, and a scenario gives the same
//! answers whether it runs alone or after others. Activating the catalog anew makes every cached list stale.

use std::sync::Arc;

use super::measure::{Meter, Timing, nanos_since, start};
use super::memory::{self, Memory};
use super::scorers::{Files, Free, LINEAR, TREES, Timed};
use super::world::{self, NOW, World};
use super::{Options, Progress};
use crate::catalog::Catalog;
use crate::domain::event::Event;
use crate::domain::ids::CustomerId;
use crate::domain::request::OffersRequest;
use crate::domain::symbol::Symbols;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::Active;
use crate::model::Scorer;

/// The scenario in which everything is done but the model's call.
pub const ALL_BUT_THE_MODEL: &str = "decision, model's call left out";
/// What a decision with the tree model takes besides the model's own time.
pub const ABOVE_THE_MODEL: &str = "decision, 100 trees: in the engine";
/// The scenario in which the customer's list is cached.
pub const CACHED: &str = "decision from the cached list";

/// How many slices the customers are cut into; each scenario has one.
const SLICES: usize = 8;

/// The catalogs, and the engine with its customers.
pub struct Bench {
    world: World,
    trees: Arc<Catalog>,
    linear: Arc<Catalog>,
    plain: Arc<Catalog>,
    calls: usize,
    /// By how many bytes the process grew with the customers.
    grown: Option<u64>,
}

impl Bench {
    /// Prepares everything.
    ///
    /// # Errors
    /// When the catalog or a manifest is faulty.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        let with_model = |files: Files, previous: &Catalog| {
            let model = Some((files.name, files.manifest));
            super::loaded(options.offers, options.conditions, model, &previous.symbols)
        };
        let plain = super::loaded(options.offers, options.conditions, None, &Symbols::default())?;
        let trees = with_model(TREES, &plain)?;
        let linear = with_model(LINEAR, &trees)?;
        let before = memory::resident_bytes();
        let world = World::with_contacts(&linear, options.customers, options.contacts)?;
        let grown = memory::resident_bytes().zip(before);
        Ok(Self {
            world,
            trees,
            linear,
            plain,
            calls: options.calls,
            grown: grown.map(|(after, before)| after.saturating_sub(before)),
        })
    }

    /// Measures what a customer costs; to be asked before [`Bench::run`], which adds contacts.
    #[must_use]
    pub fn memory(&self) -> Memory {
        memory::measure(&self.linear, &self.world.engine, self.grown)
    }

    /// Runs all scenarios.
    ///
    /// # Errors
    /// When the engine refuses a call, which it has no reason to. Without ONNX Runtime, its scenarios are left out.
    pub fn run(&self, progress: Progress<'_>) -> anyhow::Result<Vec<Timing>> {
        let mut timings = vec![timer()?];
        let scenarios = [
            ("decision, no model", &self.plain, None, false),
            (ALL_BUT_THE_MODEL, &self.trees, Some(Free::shared()), false),
            (
                "event and decision, model's call left out",
                &self.trees,
                Some(Free::shared()),
                true,
            ),
        ];
        for (slice, (name, catalog, model, with_event)) in scenarios.into_iter().enumerate() {
            progress(name);
            let active = self.activate(catalog, model.as_ref())?;
            timings.push(self.decide(name, &active, &self.requests(slice, catalog, with_event))?);
        }
        progress(CACHED);
        timings.push(self.cached(3)?);
        progress("event recorded");
        timings.push(self.record("event recorded", 4)?);
        let (trees, linear) = (TREES.load(1, &self.trees)?, LINEAR.load(1, &self.linear)?);
        for (slice, name, catalog, model) in [
            (5, "decision, 100 trees", &self.trees, trees),
            (6, "decision, logistic model", &self.linear, linear),
        ] {
            progress(name);
            timings.extend(self.with_model(name, slice, catalog, model)?);
        }
        if let Ok(trees) = TREES.load_in_runtime(1, &self.trees) {
            let name = "decision, 100 trees in ONNX Runtime";
            progress(name);
            timings.extend(self.with_model(name, 7, &self.trees, trees)?);
        }
        Ok(timings)
    }

    fn activate(&self, catalog: &Arc<Catalog>, model: Option<&Arc<dyn Scorer>>) -> anyhow::Result<Arc<Active>> {
        self.world.activate(catalog, model)
    }

    /// The numbers of the customers of a slice, as many as there are calls.
    fn slice(&self, slice: usize) -> Vec<usize> {
        let mut numbers = world::shuffled(slice, SLICES, self.world.customers.len());
        numbers.truncate(self.calls);
        numbers
    }

    fn requests(&self, slice: usize, catalog: &Catalog, with_event: bool) -> Vec<OffersRequest> {
        let request = |&number: &usize| world::request(catalog, number, &self.world.customers[number], with_event);
        self.slice(slice).iter().map(request).collect()
    }

    fn decide(&self, name: &str, active: &Active, requests: &[OffersRequest]) -> anyhow::Result<Timing> {
        let mut meter = Meter::new()?;
        for (at, request) in requests.iter().enumerate() {
            let decision = meter.time(|| self.world.engine.offers(active, request, moment(at)))?;
            meter.answers.decision(&decision);
        }
        Ok(meter.finish(name))
    }

    /// Lists are made first, then everybody comes back a minute later, in the same order.
    fn cached(&self, slice: usize) -> anyhow::Result<Timing> {
        let active = self.activate(&self.trees, Some(&Free::shared()))?;
        let requests = self.requests(slice, &self.trees, false);
        for request in &requests {
            self.world.engine.offers(&active, request, NOW)?;
        }
        let (mut meter, mut cached) = (Meter::new()?, 0);
        for request in &requests {
            let decision = meter.time(|| self.world.engine.offers(&active, request, NOW + Millis::MINUTE))?;
            cached += usize::from(decision.cached);
            meter.answers.decision(&decision);
        }
        anyhow::ensure!(
            cached * 100 >= requests.len() * 95,
            "only {cached} of {} lists were cached",
            requests.len()
        );
        Ok(meter.finish(CACHED))
    }

    fn record(&self, name: &str, slice: usize) -> anyhow::Result<Timing> {
        let active = self.activate(&self.trees, None)?;
        let mut meter = Meter::new()?;
        let calls: Vec<(CustomerId, Vec<Event>)> = self
            .requests(slice, &self.trees, true)
            .into_iter()
            .filter_map(|request| Some((request.customer?, request.events)))
            .collect();
        for (at, (customer, events)) in calls.iter().enumerate() {
            let receipt = meter.time(|| self.world.engine.record_events(&active, customer, events, moment(at)))?;
            meter.answers.number(receipt.applied as u64);
            if let Some(profile) = self.world.engine.profile(customer) {
                meter.answers.profile(&profile);
            }
        }
        Ok(meter.finish(name))
    }

    /// Times the whole call, the model's part of it, and what is left.
    fn with_model(
        &self,
        name: &str,
        slice: usize,
        catalog: &Arc<Catalog>,
        model: Arc<dyn Scorer>,
    ) -> anyhow::Result<[Timing; 3]> {
        let timed = Arc::new(Timed::new(model));
        let scorer: Arc<dyn Scorer> = timed.clone();
        let active = self.activate(catalog, Some(&scorer))?;
        let (mut whole, mut own, mut rest) = (Meter::new()?, Meter::new()?, Meter::new()?);
        for (at, request) in self.requests(slice, catalog, false).iter().enumerate() {
            let start = start();
            let decision = self.world.engine.offers(&active, request, moment(at));
            let nanos = nanos_since(start);
            let in_model = timed.take_nanos();
            whole.note(nanos);
            own.note(in_model);
            rest.note(nanos.saturating_sub(in_model));
            whole.answers.decision(&decision?);
        }
        Ok([
            whole.finish(name),
            own.finish(&format!("{name}: in the model")),
            rest.finish(&format!("{name}: in the engine")),
        ])
    }
}

/// When call number `at` comes: ten milliseconds after the one before.
pub(super) fn moment(at: usize) -> Timestamp {
    NOW + Millis::new(10).times(i64::try_from(at).unwrap_or(i64::MAX))
}

fn timer() -> anyhow::Result<Timing> {
    let mut meter = Meter::new()?;
    for _ in 0..10_000 {
        meter.time(|| ());
    }
    Ok(meter.finish("nothing: reading the clock twice"))
}
