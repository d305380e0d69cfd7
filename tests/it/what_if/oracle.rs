//! The oracle: an engine that really served with the changed catalog, asked and told the same, explains its decisions; counting its
//! answers and reasons by hand has to give the simulation's numbers.

use std::collections::{BTreeMap, BTreeSet};

use nbo::decision::fill::OUTRANKED;
use nbo::domain::decision::{Decision, Stage};
use nbo::domain::entry::OutcomeReport;
use nbo::engine::Engine;
use nbo::whatif::Carry;
use nbo::whatif::report::Report;

use super::world::{Act, BASE, Traffic, World, cancel, customer, nth, request, search, write};

/// What one engine did, counted by hand.
#[derive(Default, Debug, PartialEq, Eq)]
struct Counted {
    shown: BTreeMap<String, u64>,
    first: BTreeMap<String, u64>,
    stopped: BTreeMap<String, u64>,
    customers: BTreeMap<String, BTreeSet<u64>>,
    lists: Vec<Vec<(usize, String)>>,
}

impl Counted {
    fn add(&mut self, engine: &Engine, who: u64, decision: &Decision) {
        let catalog = &engine.active().catalog;
        let id = |offer: usize| catalog.offers[offer].id.to_string();
        let mut list = Vec::new();
        for filled in &decision.placements {
            list.extend(filled.offers.iter().map(|shown| (filled.placement, id(shown.offer))));
        }
        for (at, (_, offer)) in list.iter().enumerate() {
            *self.shown.entry(offer.clone()).or_default() += 1;
            *self.first.entry(offer.clone()).or_default() += u64::from(at == 0);
        }
        self.lists.push(list);
        self.stops(catalog, who, decision);
    }

    /// Takes of an explanation what comes first for each offer: what is so whatever the placement, else what stopped it in a
    /// placement that better offers had not filled yet.
    fn stops(&mut self, catalog: &nbo::catalog::Catalog, who: u64, decision: &Decision) {
        for offer in 0..catalog.offers.len() {
            let reasons = || decision.withheld.iter().filter(move |reason| reason.offer == offer);
            let gate = |stage: Stage| matches!(stage, Stage::Eligibility | Stage::Applicability | Stage::Suitability);
            let is_date = |rule: &str| rule.ends_with("valid");
            let at_gate = reasons().find(|reason| gate(reason.stage) || is_date(&reason.rule));
            if let Some(reason) = at_gate {
                *self.stopped.entry(reason.rule.to_string()).or_default() += 1;
                continue;
            }
            let of_customer = reasons().find(|reason| reason.placement.is_none());
            for placement in 0..decision.placements.len() {
                let here = || reasons().filter(move |reason| reason.placement == Some(placement));
                if here().any(|reason| &*reason.rule == OUTRANKED) {
                    continue;
                }
                if let Some(first) = of_customer.or_else(|| here().next()) {
                    *self.stopped.entry(first.rule.to_string()).or_default() += 1;
                    self.customers.entry(first.rule.to_string()).or_default().insert(who);
                }
            }
        }
    }
}

/// Does with another engine what was done with the one whose traffic was recorded: asks what was answered there, and reports what
/// was reported there as far as it shows the same offer.
fn served(recorded: &World, traffic: &Traffic, rules: &str) -> [Counted; 2] {
    let (then, other) = (recorded.engine.active(), World::new(rules));
    let engine = &other.engine;
    let active = engine.active();
    let mut counted = [Counted::default(), Counted::default()];
    let mut answers: Vec<Option<Decision>> = Vec::new();
    // Somebody who was forgotten and came back is another one.
    let mut lives = BTreeMap::new();
    for (now, act) in &traffic.acts {
        match act {
            Act::Write(who, age, consent) => write(engine, &active, *who, (*age, *consent), *now),
            Act::Search(who, id, category) => search(engine, &active, *who, (*id, category), *now),
            Act::Forget(who) => {
                engine.delete_profile(&customer(*who)).unwrap();
                *lives.entry(*who).or_insert(0) += 1_000;
            }
            Act::Ask(who, asked) => {
                let first = &traffic.answers[answers.len()].1;
                let answer = first.id.map(|_| {
                    let decision = engine.offers(&active, &request(&active, *who, *asked), *now).unwrap();
                    let who = who + lives.get(who).copied().unwrap_or(0);
                    counted[0].add(&recorded.engine, who, first);
                    counted[1].add(engine, who, &decision);
                    decision
                });
                answers.push(answer);
            }
            Act::Report(at, place, outcome) => {
                let offer = nth(&traffic.answers[*at].1, *place).map(|offer| &then.catalog.offers[offer].id);
                let (Some(offer), Some(decision)) = (offer, &answers[*at]) else {
                    continue;
                };
                let shown = decision.placements.iter().flat_map(|filled| &filled.offers);
                let same = shown
                    .map(|shown| &active.catalog.offers[shown.offer])
                    .find(|own| own.id == *offer);
                if let (Some(offer), Some(id)) = (same, decision.id) {
                    let report = OutcomeReport {
                        decision: id.number,
                        offer: offer.symbol,
                        placement: None,
                        outcome: *outcome,
                        at: *now,
                    };
                    let _ = engine.record_outcome(&active, id.customer, &report, *now);
                }
            }
            Act::Cancel(at) => {
                if let Some(id) = answers[*at].as_ref().and_then(|decision| decision.id) {
                    cancel(engine, &active, id, *now);
                }
            }
        }
    }
    counted
}

/// Compares a simulation with what was counted by hand.
fn compare(report: &Report, [then, now]: &[Counted; 2], what: &str) {
    let get = |counts: &BTreeMap<String, u64>, id: &str| counts.get(id).copied().unwrap_or_default();
    for row in &report.offers {
        let shown = (get(&then.shown, &row.offer), get(&now.shown, &row.offer));
        assert_eq!(
            (row.shown.before, row.shown.after),
            shown,
            "{what}: {} shown",
            row.offer
        );
        let first = (get(&then.first, &row.offer), get(&now.first, &row.offer));
        assert_eq!(
            (row.first.before, row.first.after),
            first,
            "{what}: {} first",
            row.offer
        );
    }
    let limits = report.limits.iter().map(|row| (&row.limit, row.withheld));
    let rules = report.rules.iter().map(|row| (&row.rule, row.blocked));
    for (rule, stopped) in limits.chain(rules) {
        let counted = (get(&then.stopped, rule), get(&now.stopped, rule));
        assert_eq!((stopped.before, stopped.after), counted, "{what}: {rule}");
    }
    for row in &report.limits {
        let size = |side: &Counted| side.customers.get(&row.limit).map_or(0, |who| who.len() as u64);
        let customers = (size(then), size(now));
        assert_eq!(
            (row.customers.before, row.customers.after),
            customers,
            "{what}: {}",
            row.limit
        );
    }
    let pairs = || then.lists.iter().zip(&now.lists);
    let count = |number: usize| number as u64;
    let decisions = &report.decisions;
    assert_eq!(decisions.made, count(then.lists.len()), "{what}");
    assert_eq!(decisions.not_reproduced, 0, "{what}");
    let changed = pairs().filter(|(then, now)| then != now).count();
    assert_eq!(decisions.list_changed, count(changed), "{what}");
    let first = |list: &[(usize, String)]| list.first().map(|(_, offer)| offer.clone());
    let first_changed = pairs().filter(|(then, now)| first(then) != first(now)).count();
    assert_eq!(decisions.first_changed, count(first_changed), "{what}");
    let empty = now.lists.iter().filter(|list| list.is_empty()).count();
    assert_eq!(decisions.became_empty, count(empty), "{what}");
}

#[test]
fn a_simulation_counts_what_an_engine_with_the_changed_rules_really_does() {
    let changes: [(&str, &[(&str, &str)]); 6] = [
        ("a lowered cap", &[("at_most: 6, of: seen", "at_most: 2, of: seen")]),
        ("a lowered cap over everything", &[("at_most: 25", "at_most: 3")]),
        (
            "other values, a longer rest",
            &[("value: 15", "value: 3"), ("rest: 2d", "rest: 5d")],
        ),
        (
            "an offer less, another one more, fewer attempts",
            &[("id: savings_b", "id: savings_c"), ("at_most: 2 }", "at_most: 1 }")],
        ),
        (
            "other conditions and dates",
            &[
                ("age >= 18", "age >= 30"),
                ("< 3", "< 1"),
                ("until: 2026-03-03", "until: 2026-03-02"),
            ],
        ),
        (
            "consent first, and one of a group",
            &[
                ("consent: assumed", "consent: needed"),
                ("top, count_max: 5", "top, count_max: 5, per_group_max: 1"),
            ],
        ),
    ];
    let mut total = BTreeMap::<String, u64>::new();
    for seed in 0..4 {
        let recorded = World::new(BASE);
        let mut traffic = Traffic::new(seed * 31 + 7, 12);
        traffic.play(&recorded.engine, 700);
        for (what, edits) in &changes {
            let mut tried = BASE.to_owned();
            for (from, to) in *edits {
                assert!(tried.contains(from), "{from}");
                tried = tried.replace(from, to);
            }
            let counted = served(&recorded, &traffic, &tried);
            let report = recorded.simulate(&tried, Carry::Shown, 3);
            compare(&report, &counted, &format!("seed {seed}, {what}"));
            *total.entry((*what).to_owned()).or_default() += report.decisions.list_changed;
            for rule in counted[1].stopped.keys() {
                *total.entry(rule.clone()).or_default() += 1;
            }
        }
    }
    // Each change changes something, and every kind of obstacle was met.
    for what in changes.map(|(what, _)| what) {
        assert!(total[what] > 0, "{what}: {total:?}");
    }
    for rule in [
        "seen_offer",
        "decided_all",
        "accepted",
        "no",
        "fund.adult",
        "travel.curious",
        "no-longer-valid",
        "no-consent",
        "objected",
        "no-treatment-for-channel",
        "shown-in-earlier-placement",
        "enough-of-this-group",
    ] {
        assert!(total.contains_key(rule), "{rule}: {total:?}");
    }
}
