//! What callers of a run can rely on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::catalog::Catalog;
use crate::decision::assign::Limit;
use crate::decision::testing::{T0, catalog_after, catalog_with, search, symbol};
use crate::domain::entry::ProfileChange;
use crate::domain::ids::CustomerId;
use crate::domain::request::PlacementRequest;
use crate::domain::value::Value;
use crate::engine::{Engine, Limits as EngineLimits};
use crate::rules::{Scope, Space};

mod blocks;
mod breaks;
mod full_disk;
mod lists;
mod volumes;

const CUSTOMERS: usize = 1_200;

/// One answer: who, and which offers.
type Told = (CustomerId, Vec<String>, Vec<String>);

struct Tester {
    engine: Engine,
    request: OffersRequest,
    segment: Option<&'static str>,
    limits: Vec<(&'static str, Option<u64>, u64)>,
    needs: Option<&'static str>,
    answers: Mutex<Vec<Told>>,
    positions: Mutex<Vec<Position>>,
    /// Nobody listens any more after so many batches.
    batches_max: usize,
    /// What comes into force after the first batch.
    next_catalog: Mutex<Option<Arc<Catalog>>>,
    /// Whether a thread of the run dies.
    breaks: bool,
    /// By what a run that reserves knows whom it answered before.
    once: Option<RequestKey>,
    /// Answers from a list that was cached.
    cached: AtomicUsize,
    /// Who was listed by the contact history.
    recalled: Mutex<Vec<CustomerId>>,
}

fn id(number: usize) -> CustomerId {
    CustomerId::known(&format!("c-{number}")).unwrap()
}

impl Tester {
    /// Every third customer searched for funds once, every third twice.
    fn new(lines: &str) -> Self {
        Self::within(lines, EngineLimits::default())
    }

    fn within(lines: &str, limits: EngineLimits) -> Self {
        let catalog = catalog_with(lines);
        Self::on(Engine::new(Active::new(catalog, Vec::new()), limits))
    }

    fn on(engine: Engine) -> Self {
        let active = engine.active();
        let catalog = Arc::clone(&active.catalog);
        for number in 0..CUSTOMERS {
            let age = if number % 10 == 0 { 17.0 } else { 40.0 };
            let attributes = vec![
                (symbol(&catalog, "age"), Value::Number(age)),
                (symbol(&catalog, "holdings"), Value::Set(0)),
            ];
            let change = ProfileChange {
                attributes,
                ..ProfileChange::default()
            };
            engine.upsert_profile(&active, &id(number), &change, T0).unwrap();
            let searches: Vec<_> = (0..number % 3)
                .map(|at| search(&catalog, at as u64 + 1, "fund", T0))
                .collect();
            engine.record_events(&active, &id(number), &searches, T0).unwrap();
        }
        let request = OffersRequest {
            customer: Some(id(0)),
            campaign: None,
            placements: vec![PlacementRequest { placement: 0, count: 1 }],
            context: vec![Value::Category(catalog.channels[0].symbol)],
            preview: true,
            channel: 0,
            duplicates: false,
            events: Vec::new(),
            explain: false,
        };
        Self {
            engine,
            request,
            segment: None,
            limits: Vec::new(),
            needs: None,
            answers: Mutex::default(),
            positions: Mutex::default(),
            batches_max: usize::MAX,
            next_catalog: Mutex::default(),
            breaks: false,
            once: None,
            cached: AtomicUsize::new(0),
            recalled: Mutex::default(),
        }
    }

    fn run(&self, audience: &Audience, start: Position) -> Result<Summary, Stopped<String>> {
        let options = Options {
            customers_max: None,
            threads: 2,
            start,
        };
        run(&self.engine, self, audience, &options)
    }

    fn told(&self) -> Vec<Told> {
        self.answers.lock().clone()
    }

    /// How many contacts a customer has.
    fn contacts(&self, number: usize) -> usize {
        self.engine.profile(&id(number)).unwrap().contacts.len()
    }
}

impl Caller for Tester {
    type Answer = Told;
    type Fault = String;

    fn now(&self) -> Timestamp {
        T0
    }

    fn ask(&self, active: Arc<Active>, _: Timestamp) -> Result<Asked, String> {
        let catalog = &active.catalog;
        let scope = Scope::new()
            .with(Space::Profile, &catalog.profile.variables)
            .with(Space::Intent, &catalog.intent_variables);
        let limit = |&(id, at_most, at_least): &(&str, Option<u64>, u64)| {
            let offers: Vec<bool> = catalog.offers.iter().map(|offer| *offer.id == *id).collect();
            Limit {
                offers,
                at_most,
                at_least,
            }
        };
        let limits: Vec<Limit> = self.limits.iter().map(limit).collect();
        if let Some(needed) = self
            .needs
            .filter(|needed| catalog.offers.iter().all(|offer| *offer.id != **needed))
        {
            return Err(format!("no offer {needed}"));
        }
        Ok(Asked {
            request: self.request.clone(),
            segment: self.segment.map(|text| Condition::compile(text, &scope).unwrap()),
            limit_names: limits.iter().map(|_| "others get it".into()).collect(),
            limits: Limits::new(limits, catalog.offers.len()),
            once: self.once,
            active,
        })
    }

    fn present(&self, active: &Active, request: &OffersRequest, decision: &Decision) -> Option<Told> {
        assert!(!self.breaks, "a thread of the run dies, as it should here");
        self.cached.fetch_add(usize::from(decision.cached), Ordering::Relaxed);
        let name = |offer: usize| active.catalog.offers[offer].id.to_string();
        let shown = decision.placements[0].offers.iter().map(|shown| name(shown.offer));
        let withheld = decision
            .withheld
            .iter()
            .map(|reason| format!("{} {}", name(reason.offer), reason.rule));
        Some((request.customer.clone().unwrap(), shown.collect(), withheld.collect()))
    }

    fn recalled(&self, answer: Told) -> Told {
        self.recalled.lock().push(answer.0.clone());
        answer
    }

    fn emit(&self, batch: Batch<Told>) -> bool {
        let mut positions = self.positions.lock();
        if positions.len() == self.batches_max {
            return false;
        }
        if let Some(next) = self.next_catalog.lock().take() {
            self.engine.activate(Active::new(next, Vec::new())).unwrap();
        }
        self.answers.lock().extend(batch.answers);
        positions.push(batch.position);
        true
    }

    fn is_gone(&self) -> bool {
        false
    }
}

#[test]
fn everyone_is_answered_once_by_key_as_a_call_for_each_would_be() {
    let tester = Tester::new("caps: []");
    let visitor = CustomerId::anonymous("cookie").unwrap();
    let active = tester.engine.active();
    let change = ProfileChange::default();
    tester.engine.upsert_profile(&active, &visitor, &change, T0).unwrap();
    let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
    let told = tester.told();
    assert_eq!((told.len(), summary.totals.customers), (CUSTOMERS, CUSTOMERS as u64));
    assert!(told.is_sorted_by_key(|(id, ..)| id.key()));
    assert!(!told.iter().any(|(id, ..)| *id == visitor), "visitors are left out");
    for (customer, offers, _) in &told {
        let request = OffersRequest {
            customer: Some(customer.clone()),
            ..tester.request.clone()
        };
        let decision = tester.engine.offers(&active, &request, T0).unwrap();
        let offer = &active.catalog.offers[decision.placements[0].offers[0].offer].id;
        assert_eq!(*offers, [offer.to_string()], "{customer}");
    }
    let counted: u64 = summary.by_offer.values().sum();
    assert_eq!(
        (counted, summary.totals.offers, summary.totals.given),
        (1_200, 1_200, 1_200)
    );
    assert!(
        (0..CUSTOMERS).all(|number| tester.contacts(number) == 0),
        "a preview reserves nothing"
    );
}

#[test]
fn a_run_says_that_it_broke_when_a_thread_dies() {
    let mut tester = Tester::new("caps: []");
    tester.breaks = true;
    let stopped = tester.run(&Audience::Everyone, Position::default()).unwrap_err();
    assert_eq!(stopped, Stopped::Broken);
}

#[test]
fn a_segment_is_exactly_those_for_whom_the_condition_holds() {
    let mut tester = Tester::new("caps: []");
    tester.segment = Some("profile.age < 18 && intent.fund > 0");
    tester.run(&Audience::Everyone, Position::default()).unwrap();
    let told: BTreeSet<CustomerId> = tester.told().into_iter().map(|(id, ..)| id).collect();
    let meant = (0..CUSTOMERS).filter(|number| number % 10 == 0 && number % 3 > 0);
    assert_eq!(told, meant.map(id).collect());
}

#[test]
fn a_run_that_broke_off_goes_on_with_the_next_customer_and_its_limits_hold_over_all_parts() {
    for limited in [false, true] {
        let mut tester = Tester::new("caps: []");
        tester.request.preview = false;
        if limited {
            tester.limits = vec![("fund_a", Some(100), 0)];
        }
        let (mut start, mut parts) = (Position::default(), 0);
        let summary = loop {
            tester.batches_max = tester.positions.lock().len() + 2;
            parts += 1;
            match tester.run(&Audience::Everyone, start) {
                Ok(summary) => break summary,
                Err(stopped) => assert_eq!(stopped, Stopped::Gone),
            }
            start = tester.positions.lock().last().unwrap().clone();
        };
        assert!(parts >= 2, "{parts}");
        let told = tester.told();
        let everybody: BTreeSet<&CustomerId> = told.iter().map(|(id, ..)| id).collect();
        assert_eq!((told.len(), everybody.len()), (CUSTOMERS, CUSTOMERS));
        if limited {
            let funds = told
                .iter()
                .filter(|(_, offers, _)| offers.contains(&"fund_a".to_owned()));
            assert_eq!((funds.count(), summary.used[0]), (100, 100));
        }
    }
}

#[test]
fn scarce_offers_go_to_those_for_whom_they_are_worth_most_and_the_others_are_told() {
    let mut tester = Tester::new("caps: []");
    tester.limits = vec![("fund_a", Some(150), 0), ("savings_b", None, 60)];
    tester.request.explain = true;
    let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
    let (mut funds, mut seconds) = (0, 0);
    for (customer, offers, withheld) in tester.told() {
        let number: usize = customer.as_str()[2..].parse().unwrap();
        funds += usize::from(offers == ["fund_a"]);
        seconds += usize::from(offers == ["savings_b"]);
        if offers == ["fund_a"] {
            assert_eq!(number % 3, 2, "{customer} has the strongest intent");
        } else if !number.is_multiple_of(10) {
            assert!(
                withheld.contains(&format!("fund_a {RUN_LIMIT}")),
                "{customer}: {withheld:?}"
            );
        } else {
            assert!(
                withheld.contains(&"fund_a fund.adult".to_owned()),
                "{customer}: {withheld:?}"
            );
        }
    }
    assert_eq!((funds, seconds), (150, 60));
    assert_eq!(summary.used, [150, 60]);
    let (objective, bound) = (summary.totals.objective, summary.objective_bound.unwrap());
    assert!(
        objective <= bound + 1e-6 && objective > bound * 0.999,
        "{objective} of {bound}"
    );
    assert!(summary.objective_without_limits.unwrap() > objective);
}

#[test]
fn a_limit_of_nothing_gives_nothing() {
    let mut tester = Tester::new("caps: []");
    tester.limits = vec![("fund_a", Some(0), 0)];
    let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
    assert_eq!((summary.used, summary.totals.given), (vec![0], CUSTOMERS as u64));
}

#[test]
fn caps_hold_while_live_traffic_reserves_for_the_same_customers() {
    for limited in [false, true] {
        let mut tester = Tester::new("caps: [{id: one_a_week, at_most: 1, of: decided, within: 7d}]");
        tester.request.preview = false;
        if limited {
            tester.limits = vec![("fund_a", Some(100), 0)];
        }
        let active = tester.engine.active();
        let summary = std::thread::scope(|scope| {
            let live = scope.spawn(|| {
                for number in 0..CUSTOMERS {
                    let request = OffersRequest {
                        customer: Some(id(number)),
                        ..tester.request.clone()
                    };
                    tester.engine.offers(&active, &request, T0).unwrap();
                }
            });
            let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
            live.join().unwrap();
            summary
        });
        assert!(
            (0..CUSTOMERS).all(|number| tester.contacts(number) == 1),
            "one each, whoever came first"
        );
        let told = tester.told().iter().filter(|(_, offers, _)| !offers.is_empty()).count();
        assert_eq!(told as u64, summary.totals.given);
        assert!(!limited || summary.used[0] <= 100, "{:?}", summary.used);
    }
}

#[test]
fn a_run_ends_at_so_many_customers_over_all_its_parts() {
    let tester = Tester::new("caps: []");
    let mut options = Options {
        customers_max: Some(700),
        threads: 2,
        start: Position::default(),
    };
    let summary = run(&tester.engine, &tester, &Audience::Everyone, &options).unwrap();
    assert_eq!((summary.totals.customers, tester.told().len()), (700, 700));
    options.start = tester.positions.lock()[0].clone();
    let begun = options.start.customers;
    let summary = run(&tester.engine, &tester, &Audience::Everyone, &options).unwrap();
    assert_eq!(summary.totals.customers, 700 - begun);
}

#[test]
fn a_catalog_that_no_longer_fits_ends_the_run_and_says_so() {
    let more = "offers: [{id: extra, group: savings, name: X, treatments: {web: {t: x}}}]";
    let mut tester = Tester::new(more);
    tester.needs = Some("extra");
    *tester.next_catalog.lock() = Some(catalog_with("caps: []"));
    let options = Options {
        customers_max: None,
        threads: 1,
        start: Position::default(),
    };
    let ended = run(&tester.engine, &tester, &Audience::Everyone, &options);
    assert_eq!(ended, Err(Stopped::Unfit("no offer extra".to_owned())));
    assert!(!tester.told().is_empty(), "what was handed on stands");
}

/// As many offers more, which nobody prefers, so that there is a lot to explain.
fn with_many_offers(lines: &str) -> String {
    let offer = |number: usize| {
        format!("  - {{ id: more_{number}, group: savings, value: 1, name: M, treatments: {{ web: {{ t: x }} }} }}\n")
    };
    format!("offers:\n{}{lines}", (0..197).map(offer).collect::<String>())
}

#[test]
fn batches_get_smaller_when_every_customer_hears_a_reason_for_each_of_many_offers() {
    for limited in [false, true] {
        for explain in [false, true] {
            let mut tester = Tester::new(&with_many_offers("caps: []"));
            tester.request.explain = explain;
            if limited {
                tester.limits = vec![("fund_a", Some(100), 0)];
            }
            tester.run(&Audience::Everyone, Position::default()).unwrap();
            let positions = tester.positions.lock();
            let ends = positions.iter().map(|position| position.customers);
            let begins = std::iter::once(0).chain(ends.clone());
            let longest = begins.zip(ends).map(|(begin, end)| end - begin).max();
            // 200 offers with a reason each, 10,000 reasons in a message.
            assert_eq!(longest, Some(if explain { 50 } else { 256 }), "{limited}");
        }
    }
}

#[test]
fn whoever_has_not_had_a_turn_when_a_catalog_comes_into_force_is_planned_anew_on_it() {
    let mut tester = Tester::new(&with_many_offers("caps: []"));
    tester.limits = vec![("fund_a", Some(1_000), 0)];
    tester.request.explain = true;
    let undisturbed = tester.run(&Audience::Everyone, Position::default()).unwrap();
    assert!(undisturbed.used[0] > 500, "{:?}", undisturbed.used);

    // The same again: whoever is planned twice counts once.
    let before = Arc::clone(&tester.engine.active().catalog);
    tester.answers.lock().clear();
    *tester.next_catalog.lock() = Some(catalog_after(&before, &with_many_offers("caps: []")));
    let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
    assert_eq!(
        (summary.totals.customers, tester.told().len()),
        (CUSTOMERS as u64, CUSTOMERS)
    );
    let (once, twice) = (undisturbed.objective_without_limits, summary.objective_without_limits);
    assert!((once.unwrap() - twice.unwrap()).abs() < 1e-6, "{once:?} {twice:?}");
    assert!(summary.totals.objective <= summary.objective_bound.unwrap() + 1e-6);

    // Funds may no longer be given: only those get one who were under way.
    tester.answers.lock().clear();
    let none = with_many_offers("caps: [{id: none, at_most: 0, of: decided, within: ever, offers: [fund_a]}]");
    *tester.next_catalog.lock() = Some(catalog_after(&before, &none));
    let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
    let told = tester.told();
    assert_eq!(told.len(), CUSTOMERS);
    let last = told.iter().rposition(|(_, offers, _)| offers == &["fund_a"]).unwrap();
    // Two threads with four batches of 50 each, and the one that was handed on.
    assert!((50..=450).contains(&(last + 1)), "{last}");
    let funds = told.iter().filter(|(_, offers, _)| offers == &["fund_a"]).count() as u64;
    assert_eq!(summary.used, [funds]);
    assert!(told[450..].iter().all(|(_, offers, _)| offers == &["savings_a"]));
}
