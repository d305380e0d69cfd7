//! Many threads ask and report for few customers at once; afterwards the contacts are counted by hand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use nbo::catalog::{Catalog, CatalogFiles, load};
use nbo::domain::contact::Counted;
use nbo::domain::decision::Decision;
use nbo::domain::entry::OutcomeReport;
use nbo::domain::ids::CustomerId;
use nbo::domain::request::{OffersRequest, PlacementRequest};
use nbo::domain::symbol::Symbols;
use nbo::domain::time::{Millis, Timestamp};
use nbo::domain::value::Value;
use nbo::engine::{Active, Engine, Limits};

const THREADS: u64 = 8;
const CALLS: u64 = 250;
const CUSTOMERS: u64 = 3;
/// 2026-03-02T09:00:00Z.
const BEGINNING: i64 = 1_772_442_000_000;
/// How far each call moves the clock: the whole test spans some three hours.
const STEP: i64 = 5_000;

/// Four offers in two groups, and caps that are reached all the time: by what was decided, which nothing releases, and by
/// what was seen, which a time-out releases.
const CATALOG: &str = "
catalog: {name: crowd, time_zone: Europe/Madrid}
channels: [{id: web, reservation: 10m}, {id: desk, reservation: 30m}]
groups:
  - {id: a, start_propensity: 0.5}
  - {id: b, start_propensity: 0.4}
offers:
  - {id: a1, group: a, name: A1, value: 4, treatments: {web: {title: T}, desk: {title: T}}}
  - {id: a2, group: a, name: A2, value: 3, treatments: {web: {title: T}, desk: {title: T}}}
  - {id: b1, group: b, name: B1, value: 4, treatments: {web: {title: T}, desk: {title: T}}}
  - {id: b2, group: b, name: B2, value: 3, treatments: {web: {title: T}, desk: {title: T}}}
placements: [{id: list, count_max: 4}]
caps:
  - {id: each_offer, at_most: 3, of: decided, within: 20m, each: offer}
  - {id: group_b, at_most: 4, of: decided, within: 30m, groups: [b]}
  - {id: seen, at_most: 6, of: seen, within: 15m}
";

/// What one call showed.
struct Shown {
    customer: u64,
    at: i64,
    decision: Decision,
}

fn catalog() -> Arc<Catalog> {
    let files = CatalogFiles {
        rules: BTreeMap::from([("crowd.yaml".to_owned(), CATALOG.to_owned())]),
        models: BTreeMap::new(),
    };
    match load(&files, &Symbols::default()) {
        Ok(catalog) => Arc::new(catalog),
        Err(diagnostics) => panic!("{diagnostics:?}"),
    }
}

fn customer(number: u64) -> CustomerId {
    CustomerId::known(&format!("c{number}")).unwrap()
}

/// One thread's calls: now a question, now a report about one of its answers.
fn calls(engine: &Engine, catalog: &Catalog, clock: &AtomicI64, thread: u64) -> Vec<Shown> {
    let active = engine.active();
    let mut shown: Vec<Shown> = Vec::new();
    for call in 0..CALLS {
        let (number, channel) = (
            (thread + call) % CUSTOMERS,
            usize::from((thread + call).is_multiple_of(5)),
        );
        let now = Timestamp::from_millis(clock.fetch_add(STEP, Ordering::SeqCst));
        if let (Some(last), true) = (shown.last(), call % 3 == 2) {
            let (Some(id), Some(first)) = (last.decision.id, last.decision.placements[0].offers.first()) else {
                continue;
            };
            let report = OutcomeReport {
                decision: id.number,
                offer: catalog.offers[first.offer].symbol,
                placement: None,
                outcome: Counted::Seen,
                at: now,
            };
            engine.record_outcome(&active, id.customer, &report, now).unwrap();
            continue;
        }
        let request = OffersRequest {
            customer: Some(customer(number)),
            channel,
            campaign: None,
            placements: vec![PlacementRequest { placement: 0, count: 2 }],
            duplicates: false,
            context: vec![Value::Category(catalog.channels[channel].symbol)],
            events: Vec::new(),
            explain: call % 7 == 0,
            preview: false,
        };
        let decision = engine.offers(&active, &request, now).unwrap();
        shown.push(Shown {
            customer: number,
            at: now.as_millis(),
            decision,
        });
    }
    shown
}

/// Asserts that a window that ends at an instant never holds more than `limit` of them, and that one does hold as many.
fn assert_within(mut instants: Vec<i64>, window: Millis, limit: usize, what: &str) {
    instants.sort_unstable();
    let in_window = instants.iter().map(|end| {
        let before = instants.partition_point(|instant| *instant <= end - window.get());
        instants.partition_point(|instant| instant <= end) - before
    });
    let most = in_window.max().unwrap_or(0);
    assert!(
        most <= limit,
        "{what}: {most} in one window, at most {limit} are allowed"
    );
    assert_eq!(most, limit, "{what}: the cap was never reached, so this proves nothing");
}

#[test]
fn however_many_ask_at_once_no_cap_is_exceeded() {
    let catalog = catalog();
    let engine = Engine::new(Active::new(Arc::clone(&catalog), Vec::new()), Limits::default());
    let clock = AtomicI64::new(BEGINNING);
    let together = Barrier::new(usize::try_from(THREADS).unwrap());
    let shown: Vec<Shown> = thread::scope(|scope| {
        let (engine, catalog, clock, together) = (&engine, &*catalog, &clock, &together);
        let started: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    together.wait();
                    calls(engine, catalog, clock, thread)
                })
            })
            .collect();
        started.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for number in 0..CUSTOMERS {
        let mut numbers = Vec::new();
        let mut contacts = Vec::new();
        for call in shown.iter().filter(|call| call.customer == number) {
            numbers.extend(call.decision.id.map(|id| id.number));
            let offers = call.decision.placements[0].offers.iter();
            contacts.extend(offers.map(|shown| (&*catalog.offers[shown.offer].id, call.at)));
        }
        let decisions = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), decisions, "each decision has its own number");
        let profile = engine.profile(&customer(number)).unwrap();
        assert_eq!(
            profile.contacts.len(),
            contacts.len(),
            "what was answered is what was kept"
        );

        let of = |is: &dyn Fn(&str) -> bool| -> Vec<i64> {
            let chosen = contacts.iter().filter(|(offer, _)| is(offer));
            chosen.map(|(_, at)| *at).collect()
        };
        assert_within(
            of(&|offer| offer == "a1"),
            Millis::MINUTE.times(20),
            3,
            "each_offer, a1",
        );
        assert_within(
            of(&|offer| offer.starts_with('b')),
            Millis::MINUTE.times(30),
            4,
            "group_b",
        );
        // Whatever is reported counts at least as long as the shortest reservation.
        assert_within(of(&|_| true), Millis::MINUTE.times(10), 6, "seen");
    }
}
