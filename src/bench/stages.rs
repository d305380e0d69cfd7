//! The stages of one decision, each by itself, over the profiles of many customers.

use std::sync::Arc;

use super::Options;
use super::measure::{Meter, Timing};
use super::scorers::{Files, Free, LINEAR, TREES};
use super::world::{self, NOW};
use crate::catalog::{Catalog, Offer};
use crate::decision::volumes::Rooms;
use crate::decision::{barrier::Barrier, facts::Layout, features, fill, fold, gate, rank, specialised};
use crate::domain::decision::{Ranking, Rung};
use crate::domain::entry::Entry;
use crate::domain::profile::Profile;
use crate::domain::request::OffersRequest;
use crate::domain::symbol::Symbols;
use crate::domain::value::Value;
use crate::model::Scorer;
use crate::rules::{Scratch, Truth};
use crate::sim::draw::Draw;
use crate::sim::population;
use crate::store::packed;

/// How many different customers take turns.
const CUSTOMERS: usize = 2_000;

/// What the stages work on.
struct Stages {
    catalog: Arc<Catalog>,
    profiles: Vec<Profile>,
    calls: usize,
    size: String,
}

/// Runs all stages on a catalog of `offers` offers.
///
/// # Errors
/// When the catalog is faulty.
pub fn run(options: &Options, offers: usize) -> anyhow::Result<Vec<Timing>> {
    let catalog = super::loaded(
        offers,
        options.conditions,
        Some((TREES.name, TREES.manifest)),
        &Symbols::default(),
    )?;
    let stages = Stages {
        profiles: (0..CUSTOMERS)
            .map(|number| world::profile_with(&catalog, number, options.contacts))
            .collect(),
        calls: (options.calls * 100 / offers.max(100)).max(200),
        size: format!("{offers} offers"),
        catalog,
    };
    let mut timings = stages.profile_verbs()?;
    timings.extend(stages.decision_verbs()?);
    timings.push(stages.fill()?);
    timings.extend(weighted_sum(options, stages)?);
    Ok(timings)
}

/// Scores the same customers with the logistic model.
fn weighted_sum(options: &Options, stages: Stages) -> anyhow::Result<Vec<Timing>> {
    let catalog = super::loaded(
        stages.catalog.offers.len(),
        options.conditions,
        Some((LINEAR.name, LINEAR.manifest)),
        &stages.catalog.symbols,
    )?;
    let stages = Stages { catalog, ..stages };
    let requests = stages.requests()?;
    let laid_out = stages.layouts();
    let survivors = stages.survivors(&laid_out, &requests);
    stages.scoring(LINEAR, "logistic model", &requests, &laid_out, &survivors)
}

impl Stages {
    /// Calls `work` with the profiles in turn.
    fn time<T>(
        &self,
        name: &str,
        mut work: impl FnMut(usize, &Profile) -> T,
        mut answer: impl FnMut(&mut Meter, T),
    ) -> anyhow::Result<Timing> {
        let mut meter = Meter::new()?;
        for call in 0..self.calls {
            let at = call % self.profiles.len();
            let result = meter.time(|| work(at, &self.profiles[at]));
            answer(&mut meter, result);
        }
        Ok(meter.finish(&format!("{name}, {}", self.size)))
    }

    fn profile_verbs(&self) -> anyhow::Result<Vec<Timing>> {
        let ids = (0..CUSTOMERS)
            .map(population::customer_id)
            .collect::<Result<Vec<_>, _>>()?;
        let blocks: Vec<Vec<u8>> = self
            .profiles
            .iter()
            .map(|profile| {
                let mut bytes = vec![0];
                packed::pack(profile, &mut bytes);
                bytes
            })
            .collect();
        let mut unpacked = Profile::default();
        let mut bytes = Vec::new();
        let mut folded: Vec<Profile> = self.profiles.clone();
        let mut events: Vec<Entry> = Vec::new();
        let mut draws = Draw::new(world::SEED, 1);
        for call in 0..self.calls {
            events.push(Entry::Event(world::event(
                &self.catalog,
                call % CUSTOMERS,
                2_000 + call,
                NOW,
                &mut draws,
            )));
        }
        let mut call = 0;
        Ok(vec![
            self.time(
                "key",
                |at, _| ids[at].key(),
                |meter, key| meter.answers.bytes(&key.get().to_le_bytes()),
            )?,
            self.time("unpack", |at, _| packed::unpack(&blocks[at], &mut unpacked), |_, _| ())?,
            self.time(
                "pack",
                |_, profile| {
                    bytes.clear();
                    packed::pack(profile, &mut bytes);
                    bytes.len()
                },
                |meter, length| meter.answers.number(length as u64),
            )?,
            self.time(
                "fold an event",
                |at, _| {
                    call += 1;
                    fold::apply(&mut folded[at], &events[call - 1], &self.catalog)
                },
                |meter, changed| meter.answers.number(u64::from(changed)),
            )?,
        ])
    }

    fn requests(&self) -> anyhow::Result<Vec<OffersRequest>> {
        let request = |number| {
            let customer = population::customer_id(number)?;
            Ok(world::request(&self.catalog, number, &customer, false))
        };
        (0..CUSTOMERS).map(request).collect()
    }

    fn layouts(&self) -> Vec<Layout> {
        let layout = |profile| {
            let mut layout = Layout::default();
            layout.fill(&self.catalog, profile, NOW);
            layout
        };
        self.profiles.iter().map(layout).collect()
    }

    fn survivors(&self, laid_out: &[Layout], requests: &[OffersRequest]) -> Vec<Vec<u16>> {
        let survivors = |(layout, request): (&Layout, &OffersRequest)| {
            let (mut scratch, mut survivors) = (Scratch::default(), Vec::new());
            gate::survivors(
                &self.catalog,
                layout,
                &request.context,
                NOW,
                &mut scratch,
                &mut survivors,
            );
            survivors
        };
        laid_out.iter().zip(requests).map(survivors).collect()
    }

    fn decision_verbs(&self) -> anyhow::Result<Vec<Timing>> {
        let (catalog, plan) = (&*self.catalog, &self.catalog.models[0]);
        let requests = self.requests()?;
        let (mut layout, mut scratch, mut survivors) = (Layout::default(), Scratch::default(), Vec::new());
        let mut rows = features::Rows::default();
        let mut timings = vec![self.time(
            "layout",
            |_, profile| layout.fill(catalog, profile, NOW),
            |meter, until| meter.answers.instant(until),
        )?];
        let laid_out = self.layouts();
        timings.push(self.time(
            "gate",
            |at, _| {
                let context = &requests[at].context;
                let until = gate::survivors(catalog, &laid_out[at], context, NOW, &mut scratch, &mut survivors);
                (until, survivors.len())
            },
            |meter, (until, count)| {
                meter.answers.instant(until);
                meter.answers.number(count as u64);
            },
        )?);
        timings.push(self.time(
            "gate, offer by offer",
            |at, _| one_by_one(catalog, &laid_out[at], &requests[at].context),
            |meter, count| meter.answers.number(count as u64),
        )?);
        let survivors = self.survivors(&laid_out, &requests);
        timings.push(self.time(
            "features",
            |at, profile| {
                let context = &requests[at].context;
                let layout = &laid_out[at];
                let until = features::build(catalog, plan, layout, profile, context, &survivors[at], NOW, &mut rows);
                (
                    until,
                    rows.cells
                        .iter()
                        .map(|cell| u64::from(cell.to_bits()))
                        .fold(0, u64::wrapping_add),
                )
            },
            |meter, (until, sum)| {
                meter.answers.instant(until);
                meter.answers.number(sum);
            },
        )?);
        timings.extend(self.scoring(TREES, "100 trees", &requests, &laid_out, &survivors)?);
        let free = Free::default();
        let (mut weights, mut unsorted, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        timings.push(self.time(
            "rank",
            |at, _| {
                rank::context_weights(catalog, &laid_out[at].intent, &mut weights);
                unsorted.clear();
                rows.scores.resize(survivors[at].len(), 0.0);
                let _ = free.score(&[], &mut rows.scores);
                for (&offer, &score) in survivors[at].iter().zip(&rows.scores) {
                    unsorted.push(rank::ranked(catalog, offer, score, Rung::Model, &weights));
                }
                rank::in_order(&unsorted, rank::LISTED, &mut keys)
            },
            |meter, offers| meter.answers.ranked(&offers),
        )?);
        Ok(timings)
    }

    /// Scores the same decisions in parts and, with ONNX Runtime, as rows; both from a laid-out profile to the scores.
    fn scoring(
        &self,
        files: Files,
        name: &str,
        requests: &[OffersRequest],
        laid_out: &[Layout],
        survivors: &[Vec<u16>],
    ) -> anyhow::Result<Vec<Timing>> {
        let (catalog, plan) = (&*self.catalog, &self.catalog.models[0]);
        let mut rows = features::Rows::default();
        let mut scratch = specialised::Scratch::default();
        let answers = |meter: &mut Meter, scores: Vec<f32>| {
            // Rounded, since the last digits differ between the two ways.
            let rounded = scores.iter().map(|score| (f64::from(*score) * 1e4).round().to_bits());
            meter.answers.number(rounded.fold(0, u64::wrapping_add));
        };
        let model = files.load(1, catalog)?;
        let mut timings = vec![self.time(
            &format!("features and {name}, in parts"),
            |at, profile| {
                let (context, offers) = (&requests[at].context, &survivors[at]);
                let features::Rows { parts, scores, .. } = &mut rows;
                parts.gather(catalog, plan, &laid_out[at], profile, context, offers, NOW);
                let _ = model.score_parts(parts, catalog, offers, &mut scratch, scores);
                scores.clone()
            },
            answers,
        )?];
        if let Ok(model) = files.load_in_runtime(1, catalog) {
            timings.push(self.time(
                &format!("features and {name}, as rows in ONNX Runtime"),
                |at, profile| {
                    let (context, offers) = (&requests[at].context, &survivors[at]);
                    features::build(catalog, plan, &laid_out[at], profile, context, offers, NOW, &mut rows);
                    let _ = model.score(&rows.cells, &mut rows.scores);
                    rows.scores.clone()
                },
                answers,
            )?);
        }
        Ok(timings)
    }

    fn fill(&self) -> anyhow::Result<Timing> {
        let catalog = &*self.catalog;
        let free = Free::default();
        let mut cases = Vec::new();
        for (number, profile) in self.profiles.iter().enumerate() {
            let request = world::request(catalog, number, &population::customer_id(number)?, false);
            let (mut layout, mut scratch, mut survivors) = (Layout::default(), Scratch::default(), Vec::new());
            let valid_until = layout.fill(catalog, profile, NOW);
            gate::survivors(catalog, &layout, &request.context, NOW, &mut scratch, &mut survivors);
            let mut scores = vec![0.0; survivors.len()];
            let _ = free.score(&[], &mut scores);
            let mut weights = Vec::new();
            rank::context_weights(catalog, &layout.intent, &mut weights);
            let ranked = |(&offer, &score): (&u16, &f32)| rank::ranked(catalog, offer, score, Rung::Model, &weights);
            let unsorted: Vec<_> = survivors.iter().zip(&scores).map(ranked).collect();
            let ranking = Ranking {
                offers: rank::in_order(&unsorted, rank::LISTED, &mut Vec::new()),
                is_cut: unsorted.len() > rank::LISTED,
                valid_until,
            };
            cases.push((request, ranking));
        }
        self.time(
            "fill",
            |at, profile| {
                let (request, ranking) = &cases[at];
                let barrier = Barrier {
                    suppressed: None,
                    catalog,
                    profile,
                    channel: catalog.channels[request.channel].symbol,
                    hold_outs: &[],
                };
                fill::fill(ranking, &barrier, request, NOW, &Rooms::default(), None)
            },
            |meter, outcome| {
                meter.answers.instant(outcome.valid_until);
                for filled in &outcome.placements {
                    for shown in &filled.offers {
                        meter.answers.number(shown.offer as u64);
                    }
                }
            },
        )
    }
}

/// Counts the offers that pass, asking the conditions of each: what the index saves.
fn one_by_one(catalog: &Catalog, layout: &Layout, context: &[Value]) -> usize {
    let passes = |offer: &&Offer| {
        let facts = layout.facts(&offer.attributes, context, NOW);
        let mut rules = catalog.groups[offer.group].stages.rules().chain(offer.stages.rules());
        (offer.valid_from..offer.valid_until).contains(&NOW)
            && rules.all(|rule| rule.condition.evaluate(&facts).truth == Truth::True)
    };
    catalog.offers.iter().filter(passes).count()
}
