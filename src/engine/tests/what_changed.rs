//! A list is made anew when something changed that it reads, and only then.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::*;
use crate::catalog::{CatalogFiles, load};
use crate::decision::testing::base_files;
use crate::domain::symbol::Symbols;
use crate::model::{LinearScorer, ScoreError, Scorer};

/// Records an event and tells whether the list is still the one that was cached; the answer must be that of an engine without a cache.
fn stays(bench: &Bench, event: crate::domain::event::Event, now: Timestamp) -> bool {
    assert!(bench.preview(now).cached);
    let active = bench.engine.active();
    let receipt = bench.engine.record_events(&active, &bench.anna, &[event], now).unwrap();
    assert_eq!(receipt.applied, 1);
    let answer = bench.preview(now);
    // Another activation of the same catalog finds no list.
    let again = Active::new(Arc::clone(&bench.catalog), Vec::new());
    bench.engine.activate(again).unwrap();
    let fresh = bench.preview(now);
    assert!(!fresh.cached);
    assert_eq!(
        answer,
        Decision {
            cached: answer.cached,
            ..fresh
        }
    );
    answer.cached
}

#[test]
fn an_event_that_feeds_nothing_a_ranking_reads_leaves_the_list_as_it_was() {
    let bench = Bench::new(catalog());
    bench.preview(T0);
    bench.ask(&bench.request(), T0);
    let in_session = |id, category| crate::domain::event::Event {
        session_hash: Some(7),
        ..search(&bench.catalog, id, category, T0)
    };
    // It is counted in aggregates and in a session, which no condition, model or weight of this catalog reads.
    assert!(stays(&bench, in_session(1, "travel"), T0));
    assert!(
        !stays(&bench, in_session(2, "fund"), T0),
        "it feeds an intent that funds are weighted by"
    );
    assert!(stays(&bench, in_session(3, "savings"), T0 + Millis::MINUTE));
    // What is not read does not say how long the list holds either.
    let fed = bench.preview(T0 + Millis::MINUTE);
    assert_eq!(fed.valid_until, T0 + Millis::MINUTE.times(30));
}

#[test]
fn sessions_and_aggregates_that_a_condition_reads_make_the_list_anew() {
    let read_by = |condition: &str| {
        let lines = format!(
            "offers:\n  - {{ id: extra, group: savings, name: X, treatments: {{ web: {{ t: x }} }}, \
             applicability: [{{ id: read, when: {condition} }}] }}"
        );
        let bench = Bench::new(catalog_with(&lines));
        bench.preview(T0);
        bench.ask(&bench.request(), T0);
        bench
    };
    let of_session = read_by("behaviour.visits < 3");
    let travel = search(&of_session.catalog, 1, "travel", T0);
    assert!(stays(&of_session, travel.clone(), T0), "no session");
    let in_session = crate::domain::event::Event {
        id_hash: 2,
        session_hash: Some(7),
        ..travel
    };
    assert!(!stays(&of_session, in_session, T0));
    let of_searches = read_by("behaviour.fund_searches < 3");
    assert!(stays(&of_searches, search(&of_searches.catalog, 1, "travel", T0), T0));
    assert!(!stays(&of_searches, search(&of_searches.catalog, 2, "fund", T0), T0));
}

#[test]
fn attributes_and_consents_that_a_ranking_does_not_read_leave_the_list_as_it_was() {
    let bench = Bench::new(catalog());
    bench.preview(T0);
    bench.ask(&bench.request(), T0);
    let change = |change: &ProfileChange| {
        let active = bench.engine.active();
        bench.engine.upsert_profile(&active, &bench.anna, change, T0).unwrap();
        bench.preview(T0)
    };
    let attribute = |name, value| ProfileChange {
        attributes: vec![(symbol(&bench.catalog, name), value)],
        ..ProfileChange::default()
    };
    let zone = Value::Category(symbol(&bench.catalog, "Asia/Kathmandu"));
    assert!(
        change(&attribute("zone", zone)).cached,
        "only quiet hours and caps go by the zone"
    );
    let silenced = change(&ProfileChange {
        opt_outs: vec![(bench.catalog.channels[0].symbol, true)],
        ..ProfileChange::default()
    });
    assert!(
        silenced.placements[0].offers.is_empty(),
        "who opted out is not shown the list, cached or not"
    );
    let again = change(&ProfileChange {
        opt_outs: vec![(bench.catalog.channels[0].symbol, false)],
        ..ProfileChange::default()
    });
    assert!(again.cached && !again.placements[0].offers.is_empty());
    assert!(!change(&attribute("age", Value::Number(17.0))).cached);
}

#[test]
fn what_a_call_records_by_the_catalog_before_is_seen_by_the_lists_of_the_one_in_force() {
    // Only the second catalog reads the zone and the searches.
    let lines = "offers:\n  - { id: extra, group: savings, name: X, treatments: { web: { t: x } }, \
                 suitability: [{ id: near, when: 'profile.zone != \"Asia/Kathmandu\" && behaviour.by_class_travel < 1' }] }";
    let bench = Bench::new(catalog());
    let before = bench.engine.active();
    let later = catalog_after(&bench.catalog, lines);
    let zone = |name| ProfileChange {
        attributes: vec![(symbol(&later, "zone"), Value::Category(symbol(&later, name)))],
        ..ProfileChange::default()
    };
    let upsert = |active: &Arc<Active>, change: &ProfileChange| {
        bench.engine.upsert_profile(active, &bench.anna, change, T0).unwrap();
    };
    upsert(&before, &zone("America/New_York"));
    bench
        .engine
        .activate(Active::new(Arc::clone(&later), Vec::new()))
        .unwrap();
    let shows_extra = || {
        let decision = bench.preview(T0);
        let shown = decision.placements.iter().flat_map(|filled| &filled.offers);
        shown.into_iter().any(|shown| &*later.offers[shown.offer].id == "extra")
    };
    assert!(shows_extra() && bench.preview(T0).cached);
    upsert(&before, &zone("Asia/Kathmandu"));
    assert!(!shows_extra(), "an import that began before the reload");
    upsert(&before, &zone("America/New_York"));
    assert!(shows_extra());
    let event = search(&bench.catalog, 1, "travel", T0);
    let request = OffersRequest {
        events: vec![event],
        ..bench.request()
    };
    bench.engine.offers(&before, &request, T0).unwrap();
    assert!(!shows_extra(), "a call that began before the reload");
}

#[test]
fn what_is_recorded_by_the_catalog_in_force_is_seen_by_a_call_that_began_before_it() {
    // Only the first catalog reads the zone.
    let lines = "offers:\n  - { id: extra, group: savings, name: X, treatments: { web: { t: x } }, \
                 suitability: [{ id: near, when: 'profile.zone != \"Asia/Kathmandu\"' }] }";
    let bench = Bench::new(catalog_with(lines));
    let before = bench.engine.active();
    let upsert = |zone: &str| {
        let zone = (
            symbol(&bench.catalog, "zone"),
            Value::Category(symbol(&bench.catalog, zone)),
        );
        let change = ProfileChange {
            attributes: vec![zone],
            ..ProfileChange::default()
        };
        let active = bench.engine.active();
        bench.engine.upsert_profile(&active, &bench.anna, &change, T0).unwrap();
    };
    let shows_extra = || {
        let preview = OffersRequest {
            preview: true,
            ..bench.request()
        };
        let decision = bench.engine.offers(&before, &preview, T0).unwrap();
        bench.names(&decision).contains(&"extra")
    };
    upsert("America/New_York");
    assert!(shows_extra());
    let later = catalog_after(&bench.catalog, "caps: []");
    bench.engine.activate(Active::new(later, Vec::new())).unwrap();
    assert!(shows_extra());
    upsert("Asia/Kathmandu");
    assert!(!shows_extra());
}

/// A model that notes how many offers it was asked for each time.
#[derive(Default)]
struct Noting(Mutex<Vec<usize>>);

impl Scorer for Noting {
    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        self.0.lock().push(scores.len());
        LinearScorer::new(vec![0.01, 0.1], -2.0).score(rows, scores)
    }

    fn features(&self) -> usize {
        2
    }

    fn name(&self) -> &'static str {
        "linear"
    }

    fn version(&self) -> &'static str {
        "1"
    }
}

/// A bench whose offers are scored by what the customer's age is and how often something of the group was seen.
fn scored() -> (Bench, Arc<Noting>) {
    let manifest = format!(
        r#"{{"format": 1, "name": "linear", "version": "1", "description": "For a test.", "data": "none",
        "file": "none.onnx", "sha256": "{}", "groups": ["savings", "fund"],
        "input": {{"name": "x", "features": 2}}, "output": {{"name": "y", "column": 0}},
        "columns": [{{"name": "age", "from": "profile.age", "as": "number", "missing": 0}},
        {{"name": "seen", "from": "contacts", "as": "number", "count": "seen", "scope": "group", "within": "30d"}}],
        "golden": [{{"inputs": {{}}, "row": [0, 0], "score": 0.5}}], "tolerance": 0.00001}}"#,
        "0".repeat(64)
    );
    let mut files = CatalogFiles {
        models: BTreeMap::from([("linear".to_owned(), manifest)]),
        ..base_files()
    };
    files
        .rules
        .insert("more.yaml".to_owned(), "models: [linear]".to_owned());
    let bench = Bench::new(Arc::new(load(&files, &Symbols::default()).unwrap()));
    let model = Arc::new(Noting::default());
    let scorer: Arc<dyn Scorer> = Arc::clone(&model) as _;
    let active = Active::new(Arc::clone(&bench.catalog), vec![Some(scorer)]);
    bench.engine.activate(active).unwrap();
    (bench, model)
}

#[test]
fn a_model_is_asked_only_for_what_it_did_not_say_of_the_same_customer_before() {
    // The other one forgets its list each time, so it asks for everything.
    let ((bench, model), (other, _)) = (scored(), scored());
    let asked_for = |work: &dyn Fn(&Bench)| {
        work(&bench);
        model.0.lock().clear();
        let answer = bench.preview(T0);
        work(&other);
        let active = other.engine.active();
        let again = Active::new(Arc::clone(&active.catalog), active.models.clone());
        other.engine.activate(again).unwrap();
        let fresh = other.preview(T0);
        assert_eq!(
            answer,
            Decision {
                cached: answer.cached,
                ..fresh
            }
        );
        std::mem::take(&mut *model.0.lock())
    };
    let event = |bench: &Bench, id, category| {
        let events = [search(&bench.catalog, id, category, T0)];
        let active = bench.engine.active();
        bench.engine.record_events(&active, &bench.anna, &events, T0).unwrap();
    };
    let own = |bench: &Bench, holdings: u64| {
        let change = ProfileChange {
            attributes: vec![(symbol(&bench.catalog, "holdings"), Value::Set(holdings))],
            ..ProfileChange::default()
        };
        let active = bench.engine.active();
        bench.engine.upsert_profile(&active, &bench.anna, &change, T0).unwrap();
    };
    let none: [usize; 0] = [];
    assert_eq!(asked_for(&|_| {}), [3], "nobody was asked yet");
    assert_eq!(
        asked_for(&|bench| event(bench, 1, "fund")),
        none,
        "an intent weighs, the model does not see it"
    );
    assert_eq!(asked_for(&|bench| own(bench, 2)), none, "fewer offers pass");
    assert_eq!(
        asked_for(&|bench| own(bench, 0)),
        [1],
        "one passes that was not in the list before"
    );
    assert_eq!(
        asked_for(&|bench| event(bench, 2, "fund")),
        none,
        "scores that were taken over are there again"
    );
    assert_eq!(asked_for(&|bench| bench.set_age(50.0)), [3], "the model sees the age");
    let see = |bench: &Bench| {
        let shown = bench.ask(&bench.request(), T0);
        assert!(bench.report(&shown, "fund_a", Counted::Seen).unwrap());
    };
    assert_eq!(
        asked_for(&see),
        [3],
        "the model sees how often something of the group was seen"
    );
}
