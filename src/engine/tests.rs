//! What callers can rely on, one engine and one customer at a time.

mod long_lists;
mod request_ids;
mod what_changed;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Active, Engine, Limits, Rejection};
use crate::catalog::Catalog;
use crate::decision::testing::{T0, catalog, catalog_after, catalog_with, search, symbol};
use crate::domain::contact::Counted;
use crate::domain::decision::{Decision, Stage};
use crate::domain::entry::{OutcomeReport, ProfileChange};
use crate::domain::ids::CustomerId;
use crate::domain::request::{OffersRequest, PlacementRequest, RequestKey};
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;

struct Bench {
    engine: Engine,
    catalog: Arc<Catalog>,
    anna: CustomerId,
}

impl Bench {
    fn new(catalog: Arc<Catalog>) -> Self {
        let bench = Self {
            engine: Engine::new(Active::new(Arc::clone(&catalog), Vec::new()), Limits::default()),
            anna: CustomerId::known("anna").unwrap(),
            catalog,
        };
        bench.set_age(40.0);
        bench
    }

    fn set_age(&self, age: f64) {
        let known = [("age", Value::Number(age)), ("holdings", Value::Set(0))];
        let attributes = known.map(|(name, value)| (symbol(&self.catalog, name), value)).to_vec();
        let change = ProfileChange {
            attributes,
            ..ProfileChange::default()
        };
        self.engine
            .upsert_profile(&self.engine.active(), &self.anna, &change, T0)
            .unwrap();
    }

    fn request(&self) -> OffersRequest {
        OffersRequest {
            customer: Some(self.anna.clone()),
            channel: 0,
            campaign: None,
            placements: vec![PlacementRequest { placement: 0, count: 3 }],
            duplicates: false,
            context: vec![Value::Category(self.catalog.channels[0].symbol)],
            events: Vec::new(),
            explain: false,
            preview: false,
        }
    }

    fn ask(&self, request: &OffersRequest, now: Timestamp) -> Decision {
        self.engine.offers(&self.engine.active(), request, now).unwrap()
    }

    fn preview(&self, now: Timestamp) -> Decision {
        self.ask(
            &OffersRequest {
                preview: true,
                ..self.request()
            },
            now,
        )
    }

    fn names(&self, decision: &Decision) -> Vec<&str> {
        let shown = decision.placements.iter().flat_map(|filled| &filled.offers);
        shown.map(|shown| &*self.catalog.offers[shown.offer].id).collect()
    }

    fn report(&self, decision: &Decision, offer: &str, outcome: Counted) -> Result<bool, Rejection> {
        let id = decision.id.unwrap();
        let report = OutcomeReport {
            decision: id.number,
            offer: symbol(&self.catalog, offer),
            placement: None,
            outcome,
            at: T0,
        };
        self.engine
            .record_outcome(&self.engine.active(), id.customer, &report, T0)
            .map(|receipt| receipt.recorded)
    }
}

#[test]
fn a_call_reads_its_own_events() {
    let bench = Bench::new(catalog());
    assert_eq!(bench.names(&bench.preview(T0)), ["savings_a", "savings_b", "fund_a"]);
    let events = vec![search(&bench.catalog, 1, "fund", T0)];
    let decision = bench.ask(
        &OffersRequest {
            events,
            ..bench.request()
        },
        T0,
    );
    assert_eq!(bench.names(&decision), ["fund_a", "savings_a", "savings_b"]);
    assert_eq!(decision.profile_version, 2);
}

#[test]
fn a_preview_leaves_no_trace_not_even_of_its_events() {
    let bench = Bench::new(catalog());
    let before = bench.engine.profile(&bench.anna);
    let events = vec![search(&bench.catalog, 1, "fund", T0)];
    let what_if = bench.ask(
        &OffersRequest {
            events,
            preview: true,
            ..bench.request()
        },
        T0,
    );
    assert_eq!(bench.names(&what_if)[0], "fund_a");
    assert_eq!(what_if.id, None);
    assert_eq!(bench.engine.profile(&bench.anna), before);
    assert_eq!(bench.names(&bench.preview(T0))[0], "savings_a");
    // What is recorded then does not meet the list of the what-if.
    bench
        .engine
        .record_events(
            &bench.engine.active(),
            &bench.anna,
            &[search(&bench.catalog, 2, "savings", T0)],
            T0,
        )
        .unwrap();
    assert_eq!(bench.names(&bench.preview(T0))[0], "savings_a");
}

#[test]
fn the_list_is_cached_until_something_that_moves_it_happens() {
    let bench = Bench::new(catalog());
    assert!(!bench.ask(&bench.request(), T0).cached);
    assert!(
        bench.ask(&bench.request(), T0).cached,
        "a reservation alone moves nothing"
    );
    bench.set_age(41.0);
    assert!(!bench.ask(&bench.request(), T0).cached);
    let now = T0 + Millis::HOUR;
    let events = [search(&bench.catalog, 1, "fund", T0)];
    bench
        .engine
        .record_events(&bench.engine.active(), &bench.anna, &events, now)
        .unwrap();
    let fresh = bench.preview(now);
    assert!(!fresh.cached);
    assert!(bench.preview(fresh.valid_until - Millis::new(1)).cached);
    assert!(!bench.preview(fresh.valid_until).cached);
    bench
        .engine
        .activate(Active::new(Arc::clone(&bench.catalog), Vec::new()))
        .unwrap();
    assert!(!bench.preview(now).cached);
}

#[test]
fn somebody_who_was_deleted_and_comes_back_never_meets_the_old_list() {
    let bench = Bench::new(catalog());
    assert_eq!(bench.names(&bench.preview(T0)).len(), 3);
    assert_eq!(bench.engine.delete_profile(&bench.anna), Ok(true));
    assert_eq!(bench.engine.delete_profile(&bench.anna), Ok(false));
    bench.set_age(12.0);
    assert_eq!(bench.names(&bench.preview(T0)), ["savings_a", "savings_b"]);
}

#[test]
fn an_outcome_is_recorded_once_and_only_for_what_was_shown() {
    let bench = Bench::new(catalog());
    let mut request = bench.request();
    request.placements[0].count = 1;
    let decision = bench.ask(&request, T0);
    assert_eq!(bench.report(&decision, "savings_a", Counted::Seen), Ok(true));
    assert_eq!(bench.report(&decision, "savings_a", Counted::Seen), Ok(false));
    let id = decision.id.unwrap();
    assert_eq!(
        bench.report(&decision, "fund_a", Counted::Seen),
        Err(Rejection::OfferNotInDecision(
            id,
            vec![(symbol(&bench.catalog, "top"), symbol(&bench.catalog, "savings_a"))]
        ))
    );
    let other = crate::domain::ids::DecisionId { number: 99, ..id };
    let unknown = Decision {
        id: Some(other),
        ..decision
    };
    assert_eq!(
        bench.report(&unknown, "savings_a", Counted::Seen),
        Err(Rejection::UnknownDecision(other))
    );
}

#[test]
fn caps_hold_within_one_call_and_over_calls_and_say_until_when() {
    let bench = Bench::new(catalog_with(
        "caps: [{ id: two_a_day, at_most: 2, of: decided, within: 1d }]",
    ));
    let first = bench.ask(
        &OffersRequest {
            explain: true,
            ..bench.request()
        },
        T0,
    );
    assert_eq!(bench.names(&first), ["savings_a", "savings_b"]);
    let capped = first
        .withheld
        .iter()
        .find(|reason| &*reason.rule == "two_a_day")
        .unwrap();
    assert_eq!(
        (capped.stage, capped.count, capped.limit),
        (Stage::ContactPolicy, Some(2), Some(2))
    );
    assert_eq!(capped.eligible_again_at, Some(T0 + Millis::DAY));
    let second = bench.ask(&bench.request(), T0 + Millis::new(86_399_999));
    assert!(second.placements[0].fallback);
    assert_eq!(second.valid_until, T0 + Millis::DAY);
    assert_eq!(second.id, None, "nothing shown, nothing to report about");
    assert_eq!(bench.names(&bench.ask(&bench.request(), T0 + Millis::DAY)).len(), 2);
}

#[test]
fn later_placements_are_refilled_or_repeat_as_asked() {
    let bench = Bench::new(catalog());
    let mut request = bench.request();
    request.placements = vec![
        PlacementRequest { placement: 0, count: 1 },
        PlacementRequest { placement: 1, count: 2 },
    ];
    assert_eq!(
        bench.names(&bench.ask(&request, T0)),
        ["savings_a", "savings_b", "fund_a"]
    );
    request.duplicates = true;
    assert_eq!(
        bench.names(&bench.ask(&request, T0)),
        ["savings_a", "savings_a", "fund_a"]
    );
}

#[test]
fn every_offer_is_shown_or_withheld_with_one_reason() {
    let bench = Bench::new(catalog());
    bench.set_age(12.0);
    let mut request = OffersRequest {
        explain: true,
        preview: true,
        ..bench.request()
    };
    request.placements[0].count = 1;
    let decision = bench.ask(&request, T0);
    assert_eq!(bench.names(&decision), ["savings_a"]);
    let reasons: Vec<_> = decision
        .withheld
        .iter()
        .map(|reason| (&*bench.catalog.offers[reason.offer].id, reason.stage, &*reason.rule))
        .collect();
    assert_eq!(
        reasons,
        [
            ("savings_b", Stage::Placement, "outranked"),
            ("fund_a", Stage::Eligibility, "fund.adult"),
        ]
    );
}

#[test]
fn what_is_not_known_is_named() {
    let bench = Bench::new(catalog());
    let bob = CustomerId::known("bob").unwrap();
    let decision = bench.ask(
        &OffersRequest {
            customer: Some(bob),
            explain: true,
            ..bench.request()
        },
        T0,
    );
    assert!(!decision.known_customer);
    let adult = decision
        .withheld
        .iter()
        .find(|reason| &*reason.rule == "fund.adult")
        .unwrap();
    assert_eq!(adult.missing.as_deref(), Some("profile.age"));
    assert_eq!(&*adult.because, "Funds are for adults");
}

#[test]
fn an_opt_out_stops_everything_on_its_channel_only() {
    let bench = Bench::new(catalog());
    bench.set_age(17.0);
    let change = ProfileChange {
        opt_outs: vec![(symbol(&bench.catalog, "web"), true)],
        ..ProfileChange::default()
    };
    bench
        .engine
        .upsert_profile(&bench.engine.active(), &bench.anna, &change, T0)
        .unwrap();
    let on_web = bench.ask(
        &OffersRequest {
            explain: true,
            ..bench.request()
        },
        T0,
    );
    assert!(on_web.placements[0].fallback);
    let of_fund = on_web
        .withheld
        .iter()
        .filter(|reason| &*bench.catalog.offers[reason.offer].id == "fund_a");
    let of_fund: Vec<(Stage, &str)> = of_fund.map(|reason| (reason.stage, &*reason.rule)).collect();
    assert_eq!(of_fund[0], (Stage::HardSuppression, "opt-out"), "it comes first");
    assert_eq!(
        of_fund[1],
        (Stage::Eligibility, "fund.adult"),
        "and the others are told as well"
    );
    let opted_out = on_web.withheld.iter().filter(|reason| &*reason.rule == "opt-out");
    assert_eq!(opted_out.count(), bench.catalog.offers.len());
    let silent = bench.ask(&bench.request(), T0);
    assert_eq!((silent.placements, silent.withheld.len()), (on_web.placements, 0));
    let on_mail = bench.ask(
        &OffersRequest {
            channel: 1,
            ..bench.request()
        },
        T0,
    );
    assert_eq!(
        bench.names(&on_mail),
        ["savings_a", "savings_b"],
        "the fund has no treatment for mail"
    );
}

#[test]
fn every_change_is_told_once_and_nothing_else_is() {
    let bench = Bench::new(catalog());
    let told = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    bench.engine.on_change(Box::new(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    let count = || told.load(Ordering::Relaxed);
    bench.preview(T0);
    bench.set_age(40.0);
    assert_eq!(count(), 0);
    bench.set_age(41.0);
    assert_eq!(count(), 1);
    let decision = bench.ask(&bench.request(), T0);
    assert_eq!(count(), 2);
    bench.report(&decision, "savings_a", Counted::Seen).unwrap();
    bench.report(&decision, "savings_a", Counted::Seen).unwrap();
    assert_eq!(count(), 3);
}

#[test]
fn a_full_store_refuses_somebody_new_and_forgets_what_it_ranked_for_them() {
    let catalog = catalog();
    let engine = Engine::new(
        Active::new(Arc::clone(&catalog), Vec::new()),
        Limits {
            customers_max: 1,
            ..Limits::default()
        },
    );
    let bench = Bench {
        engine,
        catalog,
        anna: CustomerId::known("anna").unwrap(),
    };
    bench.set_age(40.0);
    let carl = CustomerId::known("carl").unwrap();
    let events = vec![search(&bench.catalog, 1, "fund", T0)];
    let request = OffersRequest {
        customer: Some(carl),
        events,
        ..bench.request()
    };
    let refused = bench.engine.offers(&bench.engine.active(), &request, T0);
    assert_eq!(refused, Err(Rejection::TooManyCustomers(1)));
    assert_eq!(bench.engine.customers(), 1);
}

#[test]
fn a_visitor_without_an_id_is_answered_on_an_empty_profile_and_leaves_no_trace() {
    let bench = Bench::new(catalog());
    let request = OffersRequest {
        customer: None,
        explain: true,
        ..bench.request()
    };
    let decision = bench.ask(&request, T0);
    assert_eq!(bench.names(&decision), ["savings_a", "savings_b"]);
    assert_eq!(
        (decision.id, decision.known_customer, decision.profile_version),
        (None, false, 0)
    );
    let missing: Vec<_> = decision
        .withheld
        .iter()
        .map(|reason| reason.missing.as_deref())
        .collect();
    assert_eq!(missing, [Some("profile.age"), Some("profile.holdings")]);
    assert_eq!(bench.engine.customers(), 1, "nobody but Anna is known");
    let again = bench.ask(&request, T0);
    assert!(again.cached, "one list serves all of whom nothing is known");
    assert_eq!(bench.names(&bench.preview(T0)), ["savings_a", "savings_b", "fund_a"]);
    // Events that come along, as the door refuses them, are a what-if and do not move the list of the others.
    let what_if = OffersRequest {
        events: vec![search(&bench.catalog, 1, "fund", T0)],
        ..request.clone()
    };
    assert!(!bench.ask(&what_if, T0).cached);
    assert_eq!(bench.ask(&request, T0).placements, decision.placements);
}

#[test]
fn what_a_cap_cannot_count_for_a_visitor_without_an_id_it_stops() {
    let bench = Bench::new(catalog_with(
        "caps: [{ id: never_b, at_most: 0, of: decided, within: 1d, offers: [savings_b] },
                { id: some_a, at_most: 5, of: decided, within: 1d, offers: [savings_a], because: enough }]",
    ));
    let request = OffersRequest {
        customer: None,
        explain: true,
        ..bench.request()
    };
    let decision = bench.ask(&request, T0);
    assert!(decision.placements[0].fallback);
    let reason = decision
        .withheld
        .iter()
        .find(|reason| &*reason.rule == "some_a")
        .unwrap();
    assert_eq!(
        (
            reason.stage,
            &*reason.because,
            reason.count,
            reason.limit,
            reason.eligible_again_at
        ),
        (Stage::ContactPolicy, "enough", None, Some(5), None)
    );
    assert_eq!(decision.valid_until, Timestamp::FAR_FUTURE);
    assert_eq!(bench.names(&bench.preview(T0)), ["savings_a", "fund_a"]);
}

#[test]
fn who_is_held_out_is_told_in_every_answer_also_when_nothing_is_shown() {
    let bench = Bench::new(catalog_with(
        "hold_outs: [{ id: none, share: 0 }, { id: funds, share: 1, groups: [fund] }]",
    ));
    assert_eq!(bench.preview(T0).hold_outs, [1]);
    assert_eq!(bench.names(&bench.preview(T0)), ["savings_a", "savings_b"]);
    let change = ProfileChange {
        opt_out_of_all: Some(true),
        ..ProfileChange::default()
    };
    bench
        .engine
        .upsert_profile(&bench.engine.active(), &bench.anna, &change, T0)
        .unwrap();
    assert_eq!(bench.preview(T0).hold_outs, [1]);
    let full = Engine::new(
        Active::new(Arc::clone(&bench.catalog), Vec::new()),
        Limits {
            customers_max: 0,
            ..Limits::default()
        },
    );
    let answer = full.offers(&full.active(), &bench.request(), T0).unwrap();
    assert_eq!((answer.hold_outs, answer.placements[0].fallback), (vec![1], true));
}

#[test]
fn quiet_hours_stop_a_channel_and_the_answer_holds_until_they_begin_or_end() {
    let bench = Bench::new(catalog_with(
        "channels: [{ id: sms, quiet: [{ from: '12:00', until: '13:00', because: lunch }] }]
groups: [{ id: g, start_propensity: 0.9 }]
offers: [{ id: note, group: g, name: N, treatments: { sms: { t: x } } }]",
    ));
    let channels = &bench.catalog.channels;
    let sms = channels.iter().position(|channel| &*channel.id == "sms").unwrap();
    let request = OffersRequest {
        channel: sms,
        context: vec![Value::Category(channels[sms].symbol)],
        explain: true,
        preview: true,
        ..bench.request()
    };
    // Ten o'clock in Madrid.
    let morning = bench.ask(&request, T0);
    assert_eq!(bench.names(&morning), ["note"]);
    assert_eq!(morning.valid_until, T0 + Millis::HOUR.times(2));
    let noon = bench.ask(&request, morning.valid_until);
    assert!(noon.placements[0].fallback);
    assert_eq!(noon.valid_until, T0 + Millis::HOUR.times(3));
    let reason = noon
        .withheld
        .iter()
        .find(|reason| &*reason.rule == "sms.quiet")
        .unwrap();
    assert_eq!((reason.stage, &*reason.because), (Stage::ContactPolicy, "lunch"));
    assert_eq!(reason.eligible_again_at, Some(noon.valid_until));
    assert_eq!(bench.names(&bench.ask(&request, noon.valid_until)), ["note"]);
    assert_eq!(
        bench.preview(T0 + Millis::HOUR.times(2)).valid_until,
        Timestamp::FAR_FUTURE
    );
}
