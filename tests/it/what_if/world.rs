//! A data folder made by the engine, and somebody who asks and reports.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use nbo::config::assembly::{Assembly, Place};
use nbo::config::data::{DataFolder, KeptVersions};
use nbo::config::past::Past;
use nbo::domain::contact::Counted;
use nbo::domain::decision::Decision;
use nbo::domain::entry::{Cancellation, OutcomeReport, ProfileChange};
use nbo::domain::event::Event;
use nbo::domain::ids::CustomerId;
use nbo::domain::request::{OffersRequest, PlacementRequest};
use nbo::domain::symbol::Symbol;
use nbo::domain::time::{Millis, Timestamp};
use nbo::domain::value::Value;
use nbo::engine::{Active, Engine, Limits, Recovery};
use nbo::journal::Found;
use nbo::journal::Level;
use nbo::store::record::{self, Opened, Record};
use nbo::whatif::report::Report;
use nbo::whatif::{Carry, Setting, Traffic as Recorded, simulate};

/// 2026-03-02T09:00:00Z, a Monday.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_772_442_000_000);

/// The catalog that traffic is recorded with.
pub(crate) const BASE: &str = r#"
catalog: { name: test, time_zone: Europe/Madrid }
channels:
  - { id: web, reservation: 30m }
  - { id: mail, direction: outbound, reservation: 2d }
attributes:
  profile:
    - { id: age, type: number, range: [0, 120] }
    - { id: holdings, type: set, values: [savings, fund] }
events:
  - id: search
    attributes: [{ id: category, type: category, values: [savings, fund, travel] }]
aggregates:
  - { id: fund_searches, keep: count, of: search, where: 'event.category == "fund"', within: 2d, step: 1h }
intents:
  - id: fund
    from: [{ event: search, where: 'event.category == "fund"', weight: 2 }]
    decay: [{ until: 30m, keep: 1 }, { until: 1d, keep: 0.5 }, { until: 7d, keep: 0.1 }]
purposes: [{ id: marketing, consent: assumed }]
groups:
  - { id: savings, start_propensity: 0.2, value: 10, purpose: marketing }
  - id: fund
    start_propensity: 0.2
    value: 15
    intents: { fund: 1 }
    eligibility: [{ id: adult, when: profile.age >= 18, because: Funds are for adults }]
    applicability: [{ id: new_to_funds, when: '!("fund" in profile.holdings)' }]
  - { id: travel, start_propensity: 0.1, value: 9, suitability: [{ id: curious, when: behaviour.fund_searches < 3 }] }
offers:
  - { id: savings_a, group: savings, name: A, treatments: { web: { t: x }, mail: { t: x } } }
  - { id: savings_b, group: savings, name: B, value: 9, treatments: { web: { t: x }, mail: { t: x } } }
  - { id: fund_a, group: fund, name: A, treatments: { web: { t: x } } }
  - { id: travel_a, group: travel, name: T, valid: { from: 2026-03-02, until: 2026-03-03 }, treatments: { web: { t: x }, mail: { t: x } } }
placements:
  - { id: top, count_max: 5 }
  - { id: side, count_max: 5, per_group_max: 1, fallback: { title: Welcome } }
campaigns: [{ id: spring, name: Spring, attempts: { at_most: 2 } }]
caps:
  - { id: seen_offer, because: seen often, at_most: 6, of: seen, within: 7d, each: offer }
  - { id: decided_all, because: enough, at_most: 25, of: decided, per: day }
  - { id: accepted, because: has it, at_most: 1, of: accepted, within: ever, each: offer }
cool_downs: [{ id: no, because: said no, after: refused, rest: 2d }]
"#;

/// An engine on a data folder.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) root: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(rules: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let engine = begin(
            &root.path().join("data"),
            &write_rules(root.path(), "rules", rules),
            START,
        );
        Self { engine, root }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Puts other rules in force.
    pub(crate) fn change(&self, rules: &str) {
        let folder = write_rules(self.root.path(), "changed", rules);
        let keep = DataFolder::take(&self.data()).unwrap();
        let next = assembly(folder, Some(keep))
            .start(&self.engine.active().catalog.symbols)
            .unwrap_or_else(|faults| panic!("{}", faults[0]));
        self.engine.activate(next).unwrap();
    }

    /// How many decisions can be read, by the journal itself, for each activation.
    pub(crate) fn recorded_decisions(&self) -> Vec<u64> {
        let journal = self.engine.journal().unwrap();
        let mut counts = BTreeMap::new();
        let keys = Past::open(&self.data()).unwrap();
        let keys = keys.keys();
        journal
            .read(1, &mut |_, record| {
                let record = record::read(record, |slot| match keys.find(slot) {
                    Found::Live(seal) => Opened::With(seal),
                    Found::Destroyed => Opened::Destroyed,
                    Found::Unknown => Opened::Unknown,
                });
                if let Ok(Record::Change {
                    seen: Some(_),
                    generation,
                    ..
                }) = record
                {
                    *counts.entry(generation).or_insert(0) += 1;
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        counts.into_values().collect()
    }

    pub(crate) fn simulate(&self, rules: &str, carry: Carry, threads: usize) -> Report {
        let ever = (Timestamp::FAR_PAST, Timestamp::FAR_FUTURE);
        self.simulate_between(rules, carry, threads, ever)
    }

    /// Simulates beside the engine, which goes on using the folder.
    pub(crate) fn simulate_between(
        &self,
        rules: &str,
        carry: Carry,
        threads: usize,
        (from, to): (Timestamp, Timestamp),
    ) -> Report {
        let past = Past::open(&self.data()).unwrap();
        let folder = write_rules(self.root.path(), "tried", rules);
        let after = assembly(folder, None)
            .start(&past.symbols())
            .unwrap_or_else(|faults| panic!("{}", faults[0]));
        let kept = KeptVersions::new(past.folder().clone(), None);
        let setting = Setting {
            from,
            to,
            carry,
            threads,
        };
        let traffic = Recorded {
            activations: past.activations(),
            keys: past.keys(),
            read: &mut |visit| past.read(visit),
            build: &|activation| kept.active(activation),
        };
        simulate(setting, traffic, &after, &mut |_| {}).unwrap()
    }
}

/// Writes rules into a folder of their own.
pub(crate) fn write_rules(root: &std::path::Path, name: &str, rules: &str) -> PathBuf {
    let folder = root.join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("all.yaml"), rules).unwrap();
    folder
}

fn assembly(rules: PathBuf, keep_in: Option<DataFolder>) -> Assembly {
    let models = rules.join("models");
    Assembly::new(Place::Folders { rules, models }, None, 1, keep_in)
}

/// Begins an engine on a data folder, as a server does.
pub(crate) fn begin(data: &std::path::Path, rules: &std::path::Path, now: Timestamp) -> Engine {
    let folder = DataFolder::take(data).unwrap();
    let (journal, _) = folder.journal(Level::Process).unwrap();
    let recovery = Recovery::begin(journal, &folder.checkpoints(), &mut |_, _| {}).unwrap();
    let active = assembly(rules.to_owned(), Some(folder.clone()))
        .start(&recovery.symbols())
        .unwrap_or_else(|faults| panic!("{}", faults[0]));
    let active = Active { since: now, ..active };
    let mut catalogs = |activation: &_| folder.catalog(activation);
    let (engine, _) = recovery
        .finish(active, Limits::default(), &mut catalogs, &mut |_, _| {})
        .unwrap();
    engine
}

/// A small generator, so that a seed says what happens.
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// One thing that somebody does; answers by the order in which they were asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Write(u64, f64, Option<bool>),
    Search(u64, u64, &'static str),
    Ask(u64, Asked),
    /// Reports an outcome of the offer at this place of an earlier answer.
    Report(usize, usize, Counted),
    Cancel(usize),
    Forget(u64),
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) channel: usize,
    pub(crate) count: usize,
    pub(crate) campaign: bool,
    pub(crate) both_placements: bool,
}

/// Somebody who does this and that with some customers.
pub(crate) struct Traffic {
    dice: Dice,
    customers: u64,
    pub(crate) now: Timestamp,
    /// Every answer that reserved something, with its customer.
    pub(crate) answers: Vec<(u64, Decision)>,
    /// Everything that was done and changed something, and when.
    pub(crate) acts: Vec<(Timestamp, Act)>,
}

pub(crate) fn customer(number: u64) -> CustomerId {
    if number % 4 == 3 {
        CustomerId::anonymous(&format!("v{number}")).unwrap()
    } else {
        CustomerId::known(&format!("c{number}")).unwrap()
    }
}

pub(crate) fn symbol(active: &Active, name: &str) -> Symbol {
    active.catalog.symbols.find(name).unwrap()
}

pub(crate) fn request(active: &Active, number: u64, asked: Asked) -> OffersRequest {
    let placement = |placement| PlacementRequest {
        placement,
        count: asked.count,
    };
    OffersRequest {
        customer: Some(customer(number)),
        channel: asked.channel,
        campaign: asked.campaign.then_some(0),
        placements: if asked.both_placements {
            vec![placement(0), placement(1)]
        } else {
            vec![placement(0)]
        },
        duplicates: false,
        context: vec![Value::Category(active.catalog.channels[asked.channel].symbol)],
        events: Vec::new(),
        // So that a test can count the reasons.
        explain: true,
        preview: false,
    }
}

impl Traffic {
    pub(crate) fn new(seed: u64, customers: u64) -> Self {
        Self::from(START, seed, customers)
    }

    pub(crate) fn from(now: Timestamp, seed: u64, customers: u64) -> Self {
        Self {
            dice: Dice(seed * 2 + 1),
            customers,
            now,
            answers: Vec::new(),
            acts: Vec::new(),
        }
    }

    /// Does so many things one after the other, over some days.
    pub(crate) fn play(&mut self, engine: &Engine, turns: usize) {
        for _ in 0..turns {
            let wait = i64::try_from(self.dice.roll(600)).unwrap();
            self.now = self.now + Millis::SECOND.times(wait);
            let act = self.draw();
            self.act(engine, act);
        }
    }

    fn draw(&mut self) -> Act {
        let dice = &mut self.dice;
        let who = dice.roll(self.customers);
        let kind = dice.roll(16);
        let of_answer = |dice: &mut Dice, answers: &[(u64, Decision)]| {
            // Mostly one of the latest.
            let among = answers.len().min(12);
            answers.len() - 1 - usize::try_from(dice.roll(among as u64)).unwrap()
        };
        match kind {
            0 => {
                let age = f64::from(u32::try_from(dice.roll(60)).unwrap());
                let consent = [None, Some(false), Some(true)][usize::try_from(dice.roll(3)).unwrap()];
                Act::Write(who, age, consent)
            }
            1 if dice.roll(8) == 0 => Act::Forget(who),
            1..=3 => {
                let category = ["savings", "fund", "travel"][usize::try_from(dice.roll(3)).unwrap()];
                Act::Search(who, dice.roll(5_000), category)
            }
            4 if !self.answers.is_empty() => Act::Cancel(of_answer(dice, &self.answers)),
            5..=9 if !self.answers.is_empty() => {
                let at = of_answer(dice, &self.answers);
                let place = usize::try_from(dice.roll(2)).unwrap();
                let outcomes = [
                    Counted::Seen,
                    Counted::Seen,
                    Counted::Clicked,
                    Counted::Accepted,
                    Counted::Refused,
                ];
                Act::Report(at, place, outcomes[usize::try_from(dice.roll(5)).unwrap()])
            }
            _ => Act::Ask(
                who,
                Asked {
                    channel: usize::try_from(dice.roll(2)).unwrap(),
                    count: usize::try_from(1 + dice.roll(2)).unwrap(),
                    campaign: dice.roll(4) == 0,
                    both_placements: dice.roll(3) == 0,
                },
            ),
        }
    }

    pub(crate) fn act(&mut self, engine: &Engine, act: Act) {
        let (active, now) = (engine.active(), self.now);
        let done = (now, act);
        let mut is_effective = true;
        match act {
            Act::Write(who, age, consent) => write(engine, &active, who, (age, consent), now),
            Act::Search(who, id, category) => search(engine, &active, who, (id, category), now),
            Act::Forget(who) => drop(engine.delete_profile(&customer(who)).unwrap()),
            Act::Ask(who, asked) => {
                let request = request(&active, who, asked);
                let decision = engine.offers(&active, &request, now).unwrap();
                self.answers.push((who, decision));
            }
            Act::Report(at, place, outcome) => {
                let decision = &self.answers[at].1;
                is_effective = false;
                if let (Some(offer), Some(id)) = (nth(decision, place), decision.id) {
                    let report = OutcomeReport {
                        decision: id.number,
                        offer: active.catalog.offers[offer].symbol,
                        placement: None,
                        outcome,
                        at: now,
                    };
                    // Whom it was about may be forgotten.
                    let receipt = engine.record_outcome(&active, id.customer, &report, now);
                    is_effective = receipt.is_ok_and(|receipt| receipt.recorded);
                }
            }
            Act::Cancel(at) => {
                let id = self.answers[at].1.id;
                is_effective = id.is_some_and(|id| cancel(engine, &active, id, now));
            }
        }
        // What changed nothing is in no record.
        self.acts.extend(is_effective.then_some(done));
    }

    pub(crate) fn write_age(&mut self, engine: &Engine, who: u64, age: f64) {
        self.act(engine, Act::Write(who, age, None));
    }

    pub(crate) fn ask_for(&mut self, engine: &Engine, who: u64, count: usize) {
        let asked = Asked {
            channel: 0,
            count,
            campaign: false,
            both_placements: false,
        };
        self.act(engine, Act::Ask(who, asked));
    }

    pub(crate) fn report_last(&mut self, engine: &Engine, outcome: Counted) {
        self.act(engine, Act::Report(self.answers.len() - 1, 0, outcome));
    }
}

/// Returns the position of the offer at this place of an answer.
pub(crate) fn nth(decision: &Decision, place: usize) -> Option<usize> {
    let mut offers = decision.placements.iter().flat_map(|filled| &filled.offers);
    offers.nth(place).map(|shown| shown.offer)
}

pub(crate) fn write(
    engine: &Engine,
    active: &Arc<Active>,
    who: u64,
    (age, consent): (f64, Option<bool>),
    now: Timestamp,
) {
    let change = ProfileChange {
        attributes: vec![
            (symbol(active, "age"), Value::Number(age)),
            (symbol(active, "holdings"), Value::Set(0)),
        ],
        consents: vec![nbo::domain::entry::ConsentChange {
            purpose: symbol(active, "marketing"),
            channel: None,
            granted: consent,
        }],
        ..ProfileChange::default()
    };
    engine.upsert_profile(active, &customer(who), &change, now).unwrap();
}

pub(crate) fn search(engine: &Engine, active: &Arc<Active>, who: u64, (id, category): (u64, &str), now: Timestamp) {
    let event = Event {
        id_hash: id + 1,
        event_type: symbol(active, "search"),
        time: now,
        channel: None,
        place: None,
        session_hash: None,
        attributes: vec![(symbol(active, "category"), Value::Category(symbol(active, category)))],
    };
    engine.record_events(active, &customer(who), &[event], now).unwrap();
}

pub(crate) fn cancel(engine: &Engine, active: &Arc<Active>, id: nbo::domain::ids::DecisionId, now: Timestamp) -> bool {
    let cancellation = Cancellation {
        decision: id.number,
        offer: None,
        placement: None,
        at: now,
    };
    // Whom it was about may be forgotten.
    let receipt = engine.cancel(active, id.customer, &cancellation);
    receipt.is_ok_and(|receipt| receipt.cancelled > 0)
}
