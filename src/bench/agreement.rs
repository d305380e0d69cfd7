//! How far a plan in two stages agrees with the full model, and what it saves: `nbo agreement`, `nbo bench --two-stages`.
//!
//! Customers of the demo population get two ranked lists from the engine's own code: one for which the model scored every offer, and
//! one for which its shortlist was followed. Other models of the catalog score all of their offers both times. That is done for
//! several numbers of offers that the shortlist keeps, so that somebody can choose.
//!
//! What a list is worth is judged by the full model: the sum, over the offers that it shows, of the priorities that they have when
//! the model scores everything. Customers whose list no model could make, or to whom no offer is open, are counted and left out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use super::measure::Meter;
use super::report::{rows, with_commas};
use super::scorers::{LINEAR, TREES};
use super::{Options, Progress, catalog, loaded_from};
use crate::catalog::manifest::SHORTLIST_MAX;
use crate::catalog::{Catalog, Shortlist};
use crate::decision::{fold, rank};
use crate::domain::decision::Ranked;
use crate::domain::entry::Entry;
use crate::domain::profile::Profile;
use crate::domain::request::OffersRequest;
use crate::domain::symbol::Symbols;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::engine::{Active, Rehearsal};
use crate::import::demo;
use crate::sim::population::{self, Customer};

/// The most offers of a list that are compared: a live call puts no more in order.
pub const COUNT_MAX: usize = rank::LISTED;

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How many customers are drawn.
    pub customers: usize,
    /// From which seed.
    pub seed: u64,
    /// How many of the best offers are compared; 1 to [`COUNT_MAX`].
    pub count: usize,
    /// What the shortlist keeps, one after the other; when empty, a quarter of what is declared, half, all, and twice as much.
    pub keeps: Vec<usize>,
    /// The moment.
    pub at: Timestamp,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Agreement {
    /// The version of the catalog.
    pub catalog: String,
    /// How many offers it has.
    pub offers: usize,
    /// How many customers were drawn.
    pub customers: usize,
    /// From which seed.
    pub seed: u64,
    /// The moment, in RFC 3339.
    pub at: String,
    /// How many of the best offers were compared.
    pub count: usize,
    /// Each model that declares a shortlist.
    pub models: Vec<OfModel>,
}

/// What was measured of one model.
#[derive(Clone, Debug, Serialize)]
pub struct OfModel {
    /// The model.
    pub model: String,
    /// By which way it scores.
    pub path: &'static str,
    /// Its first stage.
    pub first_stage: String,
    /// How many customers were compared.
    pub compared: usize,
    /// How many were left out.
    pub left_out: usize,
    /// How many of its offers passed, for half of the customers no more.
    pub passed_p50: u64,
    /// How long a list takes when the model scores every offer, in microseconds, for half of the customers no longer.
    pub whole_p50_us: f64,
    /// What becomes of it in two stages.
    pub plans: Vec<OfPlan>,
}

/// What was measured of one number of offers that are kept. Shares are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfPlan {
    /// How many offers the model scores itself.
    pub keep: usize,
    /// Whether that is what the manifest declares.
    pub is_declared: bool,
    /// The share of customers of whom more offers passed than are kept.
    pub shortened: f64,
    /// The share of customers whose first offer is the same.
    pub same_first: f64,
    /// The share of the best offers that both lists have, the mean over customers.
    pub overlap: f64,
    /// What the best offers are worth, as a share of what those of the full model are worth.
    pub value_kept: f64,
    /// How long a list takes, in microseconds, for half of the customers no longer.
    pub p50_us: f64,
    /// How many times longer it takes when the model scores every offer.
    pub times_faster: f64,
}

/// Measures every model that declares a shortlist. `done` hears how many lists were made, of how many.
///
/// # Errors
/// When no model declares a shortlist, one of the models is not loaded, or nobody could be compared.
pub fn measure(active: &mut Active, asked: &Asked, done: &mut dyn FnMut(u64, u64)) -> anyhow::Result<Agreement> {
    let plans = active.catalog.models.iter().enumerate();
    let declared: Vec<(usize, Shortlist)> = plans.filter_map(|(at, plan)| Some((at, plan.shortlist?))).collect();
    if declared.is_empty() {
        bail!(
            "no model of this catalog has a shortlist; write `\"shortlist\": {{\"by\": \"<the folder of a cheaper model>\", \
             \"keep\": 200}}` into the manifest of a model that costs too much for all offers"
        );
    }
    let mut report = Agreement {
        catalog: active.catalog.version.to_string(),
        offers: active.catalog.offers.len(),
        customers: asked.customers,
        seed: asked.seed,
        at: instant(asked.at),
        count: asked.count,
        models: Vec::new(),
    };
    let all = (declared.len() * asked.customers) as u64;
    for (model, shortlist) in declared {
        let before = (report.models.len() * asked.customers) as u64;
        let mut comparison = Comparison::new(active, model, shortlist, asked)?;
        let drawn: Vec<Customer> = draw(&comparison.active.catalog, asked);
        for (number, customer) in (1..).zip(drawn) {
            comparison.compare(&customer)?;
            done(before + number, all);
        }
        report.models.push(comparison.finish()?);
    }
    Ok(report)
}

fn draw(catalog: &Catalog, asked: &Asked) -> Vec<Customer> {
    population::generate(catalog, asked.seed, 1, asked.customers, asked.at).collect()
}

fn instant(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| String::new(), |instant| instant.to_string())
}

/// One model under comparison.
struct Comparison<'a> {
    active: &'a mut Active,
    model: usize,
    declared: Shortlist,
    /// Of all models, to be put back.
    shortlists: Vec<Option<Shortlist>>,
    asked: &'a Asked,
    rehearsal: Rehearsal,
    compared: usize,
    left_out: usize,
    passed: Vec<u64>,
    whole: Meter,
    plans: Vec<Sums>,
}

/// Sums over customers.
struct Sums {
    keep: usize,
    shortened: usize,
    same_first: usize,
    overlap: f64,
    value: f64,
    value_of_whole: f64,
    meter: Meter,
}

impl<'a> Comparison<'a> {
    fn new(active: &'a mut Active, model: usize, declared: Shortlist, asked: &'a Asked) -> anyhow::Result<Self> {
        for at in [model, declared.by] {
            let is_loaded = active.models.get(at).is_some_and(Option::is_some);
            ensure!(
                is_loaded,
                "the model `{}` is not loaded",
                active.catalog.models[at].name
            );
        }
        let keep = declared.keep;
        let mut keeps = if asked.keeps.is_empty() {
            vec![keep / 4, keep / 2, keep, keep * 2]
        } else {
            asked.keeps.clone()
        };
        keeps.retain(|keep| (1..=SHORTLIST_MAX).contains(keep));
        keeps.sort_unstable();
        keeps.dedup();
        let plan = |keep| {
            Ok(Sums {
                keep,
                shortened: 0,
                same_first: 0,
                overlap: 0.0,
                value: 0.0,
                value_of_whole: 0.0,
                meter: Meter::new()?,
            })
        };
        let shortlists = active.catalog.models.iter().map(|plan| plan.shortlist).collect();
        let mut comparison = Self {
            active,
            model,
            declared,
            shortlists,
            asked,
            rehearsal: Rehearsal::default(),
            compared: 0,
            left_out: 0,
            passed: Vec::new(),
            whole: Meter::new()?,
            plans: keeps.into_iter().map(plan).collect::<anyhow::Result<_>>()?,
        };
        comparison.follow(|_, _| None)?;
        Ok(comparison)
    }

    /// Sets what each model's shortlist is; the engine does the rest.
    fn follow(&mut self, shortlist: impl Fn(&Self, usize) -> Option<Shortlist>) -> anyhow::Result<()> {
        let shortlists: Vec<_> = (0..self.shortlists.len()).map(|at| shortlist(self, at)).collect();
        let catalog = Arc::get_mut(&mut self.active.catalog).context("the catalog is in use")?;
        for (plan, shortlist) in catalog.models.iter_mut().zip(shortlists) {
            plan.shortlist = shortlist;
        }
        Ok(())
    }

    fn keep(&mut self, keep: Option<usize>) -> anyhow::Result<()> {
        self.follow(|this, at| {
            let by = this.declared.by;
            keep.filter(|_| at == this.model).map(|keep| Shortlist { by, keep })
        })
    }

    fn compare(&mut self, customer: &Customer) -> anyhow::Result<()> {
        let catalog = &self.active.catalog;
        let (profile, request) = (profile(catalog, customer), request(catalog));
        let (at, count) = (self.asked.at, self.asked.count);
        self.keep(None)?;
        let Self {
            active,
            rehearsal,
            whole,
            ..
        } = self;
        let (list, is_sound) = whole.time(|| rehearsal.rank(active, &request, &profile, at));
        if list.offers.is_empty() || !is_sound {
            self.left_out += 1;
            return Ok(());
        }
        let catalog = &self.active.catalog;
        let of_model = |ranked: &&Ranked| {
            let group = catalog.offer_groups[usize::from(ranked.offer)];
            catalog.groups[group].model == Some(self.model)
        };
        let passed = self.rehearsal.ranked().iter().filter(of_model).count();
        let entries = self.rehearsal.ranked().iter();
        let worth: HashMap<u16, f64> = entries.map(|ranked| (ranked.offer, ranked.priority)).collect();
        let best = &list.offers[..count.min(list.offers.len())];
        self.compared += 1;
        self.passed.push(passed as u64);
        for plan in 0..self.plans.len() {
            self.keep(Some(self.plans[plan].keep))?;
            let Self {
                active,
                rehearsal,
                plans,
                ..
            } = self;
            let sums = &mut plans[plan];
            let (short, is_sound) = sums.meter.time(|| rehearsal.rank(active, &request, &profile, at));
            ensure!(is_sound, "a model failed that had just answered");
            sums.add(best, &short.offers[..best.len()], passed, &worth);
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<OfModel> {
        self.follow(|this, at| this.shortlists[at])?;
        ensure!(
            self.compared > 0,
            "nobody could be compared: no customer has an offer, or the model fails"
        );
        let whole_p50_us = micros(self.whole);
        let compared = self.compared as f64;
        let of_plan = |sums: Sums| {
            let p50_us = micros(sums.meter);
            OfPlan {
                keep: sums.keep,
                is_declared: sums.keep == self.declared.keep,
                shortened: sums.shortened as f64 / compared,
                same_first: sums.same_first as f64 / compared,
                overlap: sums.overlap / compared,
                value_kept: share(sums.value, sums.value_of_whole),
                p50_us,
                times_faster: whole_p50_us / p50_us,
            }
        };
        let name = |at: usize| self.active.catalog.models[at].name.to_string();
        self.passed.sort_unstable();
        Ok(OfModel {
            model: name(self.model),
            path: self.active.models[self.model]
                .as_ref()
                .map_or("", |scorer| scorer.path().name()),
            first_stage: name(self.declared.by),
            compared: self.compared,
            left_out: self.left_out,
            passed_p50: self.passed[self.passed.len() / 2],
            whole_p50_us,
            plans: self.plans.into_iter().map(of_plan).collect(),
        })
    }
}

impl Sums {
    /// Adds one customer's best offers by the full model, and as many in two stages. `worth` are all priorities by the full model.
    fn add(&mut self, best: &[Ranked], short: &[Ranked], passed: usize, worth: &HashMap<u16, f64>) {
        let both = short
            .iter()
            .filter(|ranked| best.iter().any(|other| other.offer == ranked.offer));
        self.shortened += usize::from(passed > self.keep);
        self.same_first += usize::from(best[0].offer == short[0].offer);
        self.overlap += both.count() as f64 / best.len() as f64;
        self.value += short.iter().filter_map(|ranked| worth.get(&ranked.offer)).sum::<f64>();
        self.value_of_whole += best.iter().map(|ranked| ranked.priority).sum::<f64>();
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 1.0 }
}

fn micros(meter: Meter) -> f64 {
    meter.finish("").p50_ns as f64 / 1_000.0
}

fn profile(catalog: &Catalog, customer: &Customer) -> Profile {
    let mut profile = Profile::default();
    fold::apply(&mut profile, &Entry::Profile(customer.change.clone()), catalog);
    for event in &customer.events {
        fold::apply(&mut profile, &Entry::Event(event.clone()), catalog);
    }
    profile
}

/// Returns what somebody asks on the first channel, of whom the request says nothing else.
fn request(catalog: &Catalog) -> OffersRequest {
    let mut context = vec![Value::Missing; catalog.context.attributes.len()];
    if let (Some(first), Some(channel)) = (context.first_mut(), catalog.channels.first()) {
        *first = Value::Category(channel.symbol);
    }
    OffersRequest {
        customer: None,
        channel: 0,
        campaign: None,
        placements: Vec::new(),
        duplicates: false,
        context,
        events: Vec::new(),
        explain: false,
        preview: true,
    }
}

/// Measures the trees of the benches as ONNX Runtime runs them, on a catalog of the benches, with their linear model as first stage.
/// The two know nothing of each other, so what they agree on is the worth of the offers: a trained first stage does better.
///
/// # Errors
/// As for [`measure`], and when there is no ONNX Runtime.
pub fn measure_bench(options: &Options, progress: Progress<'_>) -> anyhow::Result<Agreement> {
    let mut active = bench(options)?;
    let asked = Asked {
        customers: options.customers.min(options.calls),
        seed: demo::SEED,
        count: 10,
        keeps: Vec::new(),
        at: super::world::NOW,
    };
    progress(&format!("{} offers, {} customers", options.offers, asked.customers));
    measure(&mut active, &asked, &mut |_, _| ())
}

/// How many offers the benches keep.
const KEEP: usize = 200;

fn bench(options: &Options) -> anyhow::Result<Active> {
    let shortlist = format!(
        "\"shortlist\": {{\"by\": \"{}\", \"keep\": {KEEP}}}, \"input\": ",
        LINEAR.name
    );
    let manifest = TREES.manifest.replacen("\"input\": ", &shortlist, 1);
    let mut files = catalog::files(options.offers, options.conditions, Some((TREES.name, &manifest)));
    files.models.insert(LINEAR.name.to_owned(), LINEAR.manifest.to_owned());
    let catalog = loaded_from(&files, &Symbols::default())?;
    let trees = TREES.load_in_runtime(1, &catalog)?;
    let linear = LINEAR.load_at(1, 1, &catalog)?;
    Ok(Active::new(catalog, vec![Some(trees), Some(linear)]))
}

impl Agreement {
    /// Writes it for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        for model in &self.models {
            let _ = writeln!(
                text,
                "model {}, scored by {}, first stage {}: {} offers, of which {} passed (p50); {} customers (seed {}, at {}){}\n",
                model.model,
                model.path.replace('_', " "),
                model.first_stage,
                with_commas(self.offers),
                with_commas(usize::try_from(model.passed_p50).unwrap_or(usize::MAX)),
                with_commas(model.compared),
                self.seed,
                self.at,
                if model.left_out > 0 {
                    format!(", {} left out", with_commas(model.left_out))
                } else {
                    String::new()
                }
            );
            let best = format!("same {} best", self.count);
            let head = [
                "scored by the model",
                "same first",
                &best,
                "value kept",
                "p50 µs",
                "faster",
            ];
            let whole = ["all", "", "", "", &micros_text(model.whole_p50_us), ""].map(str::to_owned);
            let plans = model.plans.iter().map(|plan| {
                let declared = if plan.is_declared { " (declared)" } else { "" };
                vec![
                    format!("{}{declared}", with_commas(plan.keep)),
                    percent(plan.same_first),
                    percent(plan.overlap),
                    percent(plan.value_kept),
                    micros_text(plan.p50_us),
                    format!("{:.1} x", plan.times_faster),
                ]
            });
            rows(&mut text, &head, std::iter::once(whole.to_vec()).chain(plans));
        }
        text
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn micros_text(micros: f64) -> String {
    format!("{micros:.1}")
}
