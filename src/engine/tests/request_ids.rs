//! What is remembered of requests with an id, and for how long.

use super::*;

const fn key(id: u64) -> RequestKey {
    RequestKey { id, body: 1 }
}

#[test]
fn a_repeat_whose_answer_is_gone_is_refused_and_reserves_nothing() {
    let catalog = catalog();
    let limits = Limits {
        // Room for no answer at all.
        answers_bytes_max: 1,
        ..Limits::default()
    };
    let bench = Bench {
        engine: Engine::new(Active::new(Arc::clone(&catalog), Vec::new()), limits),
        catalog,
        anna: CustomerId::known("anna").unwrap(),
    };
    bench.set_age(40.0);
    let active = bench.engine.active();
    let ask = |id| bench.engine.answer(&active, &bench.request(), Some(key(id)), T0);
    let decision = ask(1).unwrap().decision.id.unwrap();
    let before = bench.engine.profile(&bench.anna);
    assert_eq!(ask(1).unwrap_err(), Rejection::AnswerNotKept(decision));
    assert_eq!(bench.engine.profile(&bench.anna), before);
    // Nobody remembers what reserved nothing, so it is decided anew.
    let opt_out = ProfileChange {
        opt_out_of_all: Some(true),
        ..ProfileChange::default()
    };
    bench.engine.upsert_profile(&active, &bench.anna, &opt_out, T0).unwrap();
    for _ in 0..2 {
        let answer = ask(2).unwrap();
        assert!(answer.replay.is_none() && answer.decision.id.is_none());
    }
}

#[test]
fn a_request_id_is_remembered_over_fifteen_others_and_not_over_sixteen() {
    let bench = Bench::new(catalog());
    let active = bench.engine.active();
    let ask = |id| {
        bench
            .engine
            .answer(&active, &bench.request(), Some(key(id)), T0)
            .unwrap()
    };
    let first = ask(0).decision;
    for id in 1..16 {
        assert!(ask(id).replay.is_none());
    }
    assert_eq!(ask(0).decision, first);
    ask(16);
    assert_ne!(ask(0).decision.id, first.id, "a new request by now");
    assert_eq!(bench.engine.profile(&bench.anna).unwrap().requests.len(), 16);
}

#[test]
fn somebody_who_was_deleted_and_comes_back_never_meets_the_old_answer() {
    let bench = Bench::new(catalog());
    let active = bench.engine.active();
    let ask = |now| {
        bench
            .engine
            .answer(&active, &bench.request(), Some(key(1)), now)
            .unwrap()
    };
    let first = ask(T0);
    bench.engine.delete_profile(&bench.anna).unwrap();
    bench.set_age(12.0);
    // In the same millisecond.
    let second = ask(T0);
    assert!(second.replay.is_none());
    assert_ne!(second.decision.id, first.decision.id);
    assert_eq!(bench.names(&second.decision), ["savings_a", "savings_b"]);
}

#[test]
fn a_preview_ignores_the_request_id() {
    let bench = Bench::new(catalog());
    let active = bench.engine.active();
    let look = OffersRequest {
        preview: true,
        ..bench.request()
    };
    for _ in 0..2 {
        let looked = bench.engine.answer(&active, &look, Some(key(1)), T0).unwrap();
        assert!(looked.replay.is_none());
    }
    let asked = bench
        .engine
        .answer(&active, &bench.request(), Some(key(1)), T0)
        .unwrap();
    assert!(asked.replay.is_none() && asked.decision.id.is_some());
}
