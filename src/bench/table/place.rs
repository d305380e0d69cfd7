//! A catalog with its customers, and the ways to decide for them.

use std::sync::Arc;

use anyhow::ensure;
use serde::Serialize;

use super::rival::Rival;
use crate::bench::catalog::Conditions;
use crate::bench::engine::moment;
use crate::bench::measure::{self, Answers, Meter, Timing};
use crate::bench::scorers::{Files, LINEAR, TREES};
use crate::bench::world::{self, NOW, World};
use crate::bench::{loaded, memory};
use crate::catalog::Catalog;
use crate::domain::decision::{Decision, Ranked};
use crate::domain::profile::Profile;
use crate::domain::request::OffersRequest;
use crate::domain::symbol::Symbols;
use crate::domain::time::Millis;
use crate::engine::Active;

/// How many slices the customers are cut into: one for the times and one for the counts of each way.
const SLICES: usize = 8;
/// Of how many customers it is checked that the interpreter finds the same offers.
const CHECKED: usize = 20;

/// How many of everything there are.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Size {
    /// Offers.
    pub offers: usize,
    /// Their conditions.
    pub conditions: Conditions,
    /// Customers, 8 or more.
    pub customers: usize,
    /// Calls of each way that are timed, at most an eighth of the customers.
    pub calls: usize,
    /// Calls of the rival that are timed: it is slow.
    pub rival_calls: usize,
}

/// How an answer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Way {
    /// By us, with 100 trees and no cached list.
    Trees,
    /// By us, from the cached list.
    Cached,
    /// By us, with a linear model and no cached list.
    Linear,
    /// By a CEL interpreter and ONNX Runtime.
    Rival,
}

/// What is asked in.
pub(super) struct Place {
    pub(super) size: Size,
    pub(super) world: World,
    pub(super) trees: Arc<Catalog>,
    /// By how many bytes the process grew with the customers.
    pub(super) grown: Option<u64>,
}

impl Place {
    pub(super) fn new(size: Size) -> anyhow::Result<Self> {
        let trees = catalog(size, TREES, &Symbols::default())?;
        Self::with(size, trees)
    }

    /// Fills another store with customers for the same catalog.
    pub(super) fn with(size: Size, trees: Arc<Catalog>) -> anyhow::Result<Self> {
        let before = memory::resident_bytes();
        let world = World::new(&trees, size.customers)?;
        let grown = memory::resident_bytes().zip(before);
        Ok(Self {
            size,
            world,
            trees,
            grown: grown.map(|(after, before)| after.saturating_sub(before)),
        })
    }

    /// Prepares `calls` calls of a way to customers whom no other way is asked for, or for the counts those of another slice.
    ///
    /// # Errors
    /// When a model is faulty, the rival has no ONNX Runtime, or it finds other offers than we do.
    pub(super) fn begin(&self, way: Way, is_for_counts: bool, calls: usize) -> anyhow::Result<Prepared<'_>> {
        let (catalog, files) = match way {
            Way::Linear => (catalog(self.size, LINEAR, &self.trees.symbols)?, LINEAR),
            _ => (Arc::clone(&self.trees), TREES),
        };
        let active = self.world.activate(&catalog, Some(&files.load(1, &catalog)?))?;
        let slice = way as usize + if is_for_counts { SLICES / 2 } else { 0 };
        let mut numbers = world::shuffled(slice, SLICES, self.world.customers.len());
        numbers.truncate(calls);
        let request = |&number: &usize| world::request(&catalog, number, &self.world.customers[number], false);
        let mut prepared = Prepared {
            place: self,
            active,
            requests: numbers.iter().map(request).collect(),
            way,
            rival: None,
        };
        match way {
            Way::Trees | Way::Linear => {}
            Way::Cached => {
                for request in &prepared.requests {
                    self.world.engine.offers(&prepared.active, request, NOW)?;
                }
            }
            Way::Rival => prepared.rival = Some(self.rival(&prepared.requests)?),
        }
        Ok(prepared)
    }

    fn rival(&self, requests: &[OffersRequest]) -> anyhow::Result<(Rival, Vec<Profile>)> {
        let mut rival = Rival::new(&self.trees)?;
        let profile = |request: &OffersRequest| {
            let customer = request.customer.as_ref();
            customer
                .and_then(|customer| self.world.engine.profile(customer))
                .unwrap_or_default()
        };
        let profiles: Vec<Profile> = requests.iter().map(profile).collect();
        for (profile, request) in profiles.iter().zip(requests).take(CHECKED) {
            rival.check(profile, request, NOW)?;
        }
        Ok((rival, profiles))
    }
}

fn catalog(size: Size, model: Files, previous: &Symbols) -> anyhow::Result<Arc<Catalog>> {
    loaded(
        size.offers,
        size.conditions,
        Some((model.name, model.manifest)),
        previous,
    )
}

/// Calls that can be made.
pub(super) struct Prepared<'a> {
    place: &'a Place,
    active: Arc<Active>,
    pub(super) requests: Vec<OffersRequest>,
    way: Way,
    /// The rival, and the profile of each request.
    rival: Option<(Rival, Vec<Profile>)>,
}

/// What a call answered.
pub(super) enum Answered<'a> {
    Decision(Decision),
    Ranking(&'a [Ranked]),
}

impl Answered<'_> {
    fn hash(&self, answers: &mut Answers) {
        match self {
            Self::Decision(decision) => answers.decision(decision),
            Self::Ranking(ranking) => answers.ranked(ranking),
        }
    }
}

impl Prepared<'_> {
    /// Makes call number `at`.
    pub(super) fn call(&mut self, at: usize) -> anyhow::Result<Answered<'_>> {
        let request = &self.requests[at];
        if let Some((rival, profiles)) = &mut self.rival {
            return Ok(Answered::Ranking(rival.decide(&profiles[at], request, NOW)?));
        }
        let now = match self.way {
            // Everybody comes back a minute later.
            Way::Cached => NOW + Millis::MINUTE,
            _ => moment(at),
        };
        let decision = self.place.world.engine.offers(&self.active, request, now)?;
        Ok(Answered::Decision(decision))
    }

    /// Times some of the calls.
    pub(super) fn time(&mut self, calls: std::ops::Range<usize>, meter: &mut Meter) -> anyhow::Result<()> {
        let (way, count) = (self.way, calls.len());
        let mut cached = 0;
        for at in calls {
            let start = measure::start();
            let answered = self.call(at);
            let nanos = measure::nanos_since(start);
            let answered = answered?;
            meter.note(nanos);
            answered.hash(&mut meter.answers);
            cached += usize::from(matches!(&answered, Answered::Decision(decision) if decision.cached));
        }
        let expected = if way == Way::Cached { count } else { 0 };
        ensure!(
            cached.abs_diff(expected) * 100 <= count * 5,
            "{cached} of {count} lists were cached, which should have been {expected}"
        );
        Ok(())
    }

    /// Times all calls.
    pub(super) fn timing(&mut self, name: &str) -> anyhow::Result<Timing> {
        let mut meter = Meter::new()?;
        self.time(0..self.requests.len(), &mut meter)?;
        Ok(meter.finish(name))
    }
}
