//! How often a call of the engine asks the allocator, after warm-up. A test binary of its own, since counting needs a
//! global allocator of its own, which the other tests should not pay for.
//!
//! What is left is the answer itself and the customer's new packed block; a cached list adds nothing, a fresh one two.

use std::sync::Arc;

use allocation_counter::measure;
use nbo::bench::table::{self, Allocated, Options, report::Table};
use nbo::catalog::manifest::Manifest;
use nbo::catalog::{Catalog, Placement, load};
use nbo::config::files;
use nbo::domain::ids::CustomerId;
use nbo::domain::request::{OffersRequest, PlacementRequest};
use nbo::domain::symbol::Symbols;
use nbo::domain::time::{Millis, Timestamp};
use nbo::domain::value::Value;
use nbo::engine::{Active, Engine, Limits};
use nbo::model::{LinearScorer, Loaded, Path, Scorer, Wanted};
use nbo::server::http::fuzzing::read_json;
use nbo::server::limits::MESSAGE_BYTES_MAX;
use nbo::server::wire::RecordEventsRequest;
use nbo::sim::population;

/// 2026-12-01T10:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_796_119_200_000);
const CUSTOMERS: usize = 200;

fn request(catalog: &Catalog, placement: usize, customer: &CustomerId) -> OffersRequest {
    let mut context = vec![Value::Missing; catalog.context.attributes.len()];
    context[0] = Value::Category(catalog.channels[0].symbol);
    OffersRequest {
        customer: Some(customer.clone()),
        channel: 0,
        campaign: None,
        placements: vec![PlacementRequest { placement, count: 3 }],
        duplicates: false,
        context,
        events: Vec::new(),
        explain: false,
        preview: false,
    }
}

#[test]
fn a_call_allocates_next_to_nothing_but_its_answer() {
    let catalog = Arc::new(load(&files::embedded().catalog, &Symbols::default()).unwrap());
    let width = catalog.models[0].columns.len();
    check(&catalog, Arc::new(LinearScorer::new(vec![0.0; width], -2.0)));
}

#[test]
fn a_factorised_model_allocates_no_more_than_one_that_scores_rows() {
    let files = files::embedded();
    let catalog = Arc::new(load(&files.catalog, &Symbols::default()).unwrap());
    let manifest = Manifest::parse(&files.catalog.models["bank"]).unwrap();
    let loaded = Loaded::load(None, &files.models["bank"], &manifest, 1).unwrap();
    let scorer = loaded.scorer(&catalog, 0, &Wanted::Best).unwrap();
    assert_eq!(scorer.path(), Path::FactorisedSum);
    check(&catalog, scorer);
}

#[test]
fn a_body_of_empty_events_is_refused_before_it_takes_a_hundred_times_its_memory() {
    let events = vec!["{}"; (MESSAGE_BYTES_MAX - 100) / 3].join(",");
    let body = format!(r#"{{"customer": {{"id": "anna"}}, "events": [{events}]}}"#);
    assert!(body.len() <= MESSAGE_BYTES_MAX);
    let unbounded = measure(|| drop(serde_json::from_str::<RecordEventsRequest>(&body).unwrap()));
    let bounded = measure(|| drop(read_json::<RecordEventsRequest>(body.as_bytes()).unwrap_err()));
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let (unbounded, bounded) = (mib(unbounded.bytes_max), mib(bounded.bytes_max));
    println!("{unbounded:.1} MiB unbounded, {bounded:.3} MiB as it is read");
    assert!(unbounded > 100.0 && bounded < 0.1, "{unbounded} {bounded}");
}

/// The same counter serves the table of the benches, so its short form is tried here.
#[test]
fn the_short_form_of_the_table_has_all_cases_and_every_case_all_its_fields() {
    let options = Options::quick(env!("CARGO_BIN_EXE_nbo").into());
    let counting = |work: &mut dyn FnMut()| {
        let counted = measure(work);
        Allocated {
            bytes: counted.bytes_total,
            count: counted.count_total,
        }
    };
    let table = table::measure(&options, &counting, &|_| ()).unwrap();
    let cases = [
        ("20 offers, 40 conditions, 100 trees", 1),
        ("20 offers, 40 conditions, cached", 1),
        ("20 offers, 40 conditions, CEL", 0),
        ("40 offers, 80 conditions, 100 trees", 1),
        ("40 offers, 80 conditions, CEL", 0),
        ("60 offers, 600 conditions, 100 trees", 1),
        ("60 offers, 600 conditions, a linear model", 2),
        ("60 offers, 600 conditions, CEL", 0),
        ("160 customers", 0),
        ("480 customers", 3),
        ("gRPC, a call that does nothing", 0),
        ("gRPC, nothing cached", 3),
        ("gRPC, cached list", 1),
        ("gRPC, an event and the list", 1),
        ("gRPC, an event recorded", 1),
        ("gRPC, events in batches", 1),
    ];
    assert_eq!(table.rows.len(), cases.len(), "{table:#?}");
    for (row, (case, goals)) in table.rows.iter().zip(cases) {
        assert!(row.case.starts_with(case), "{row:#?}");
        assert!(
            row.calls > 0 && row.p50_us > 0.0 && row.p99_us >= row.p50_us,
            "{row:#?}"
        );
        assert!(row.of_floor_p50 > 0.0, "{row:#?}");
        // The process may not have grown by so few customers, or the system not tell.
        assert!(
            row.goals.len() >= goals && row.goals.iter().all(|goal| goal.limit > 0.0),
            "{row:#?}"
        );
        if case.starts_with("gRPC") {
            assert!(
                row.top_rate > Some(0.0) && row.top_rate_of_floor > Some(0.0),
                "{row:#?}"
            );
            assert_eq!(
                row.answers.is_empty(),
                !case.contains("list") && !case.contains("cached"),
                "{row:#?}"
            );
        } else {
            assert!(
                row.allocated_bytes > Some(0.0) && row.allocations >= Some(1.0),
                "{row:#?}"
            );
            assert_eq!(row.answers.len(), 16, "{row:#?}");
        }
    }
    assert_eq!(table.gains.len(), 3, "{table:#?}");
    let note = "Instructions were not asked for.".to_owned();
    assert!(table.notes.contains(&note), "{:?}", table.notes);
    says_all(&table);
}

/// Asserts that the text has every case and every goal.
#[cfg(test)]
fn says_all(table: &Table) {
    let text = table.markdown();
    for row in &table.rows {
        assert!(text.matches(&row.case).count() > row.goals.len(), "{text}");
    }
}

/// Asserts how often a decision asks the allocator.
#[cfg(test)]
fn check(catalog: &Arc<Catalog>, scorer: Arc<dyn Scorer>) {
    let best = |placement: &Placement| &*placement.id == "best_offers";
    let placement = catalog.placements.iter().position(best).unwrap();
    let engine = Engine::new(Active::new(Arc::clone(catalog), vec![Some(scorer)]), Limits::default());
    let active = engine.active();
    let mut customers = Vec::new();
    for customer in population::generate(catalog, 7, 1, CUSTOMERS, NOW) {
        engine
            .upsert_profile(&active, &customer.id, &customer.change, NOW)
            .unwrap();
        engine
            .record_events(&active, &customer.id, &customer.events, NOW)
            .unwrap();
        customers.push(request(catalog, placement, &customer.id));
    }
    let mean = |work: &mut dyn FnMut()| measure(work).count_total as f64 / CUSTOMERS as f64;
    let ask = |cached: bool, now: Timestamp| {
        let mut right = 0;
        let allocations = mean(&mut || {
            for request in &customers {
                let decision = engine.offers(&active, request, now).unwrap();
                right += usize::from(decision.cached == cached);
            }
        });
        assert_eq!(right, CUSTOMERS, "cached: {cached}");
        allocations
    };
    ask(false, NOW);
    let cached = ask(true, NOW + Millis::SECOND);
    engine
        .activate(Active::new(Arc::clone(catalog), active.models.clone()))
        .unwrap();
    let active = engine.active();
    let fresh = mean(&mut || {
        for request in &customers {
            assert!(!engine.offers(&active, request, NOW + Millis::SECOND).unwrap().cached);
        }
    });
    println!("allocations per call: {cached:.1} from the cached list, {fresh:.1} ranked anew");
    assert!(
        cached <= 8.0,
        "{cached} allocations for a decision from the cached list, at most 8"
    );
    assert!(
        fresh <= 11.0,
        "{fresh} allocations for a decision ranked anew, at most 11"
    );
    assert!(fresh > cached, "a fresh list cannot cost less than a cached one");
}
