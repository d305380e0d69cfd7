//! Events.

use nbo::server::wire;
use nbo::server::wire::attribute_value::Kind;

use super::{Told, check, seconds};
use crate::served::{Served, customer, hero, search, value};

/// Spoils a good event.
type Spoil = fn(&mut wire::Event);

/// Asserts that a spoilt event is refused wherever an event may be sent; the field is that of the event.
async fn check_events(rows: &[(Spoil, Told<'_>)]) {
    let served = Served::start().await;
    for (spoil, (field, says)) in rows {
        let mut event = search("e1", "fund");
        spoil(&mut event);
        let field = format!("events[0].{field}");
        let recorded = wire::RecordEventsRequest {
            customer: Some(customer("anna")),
            events: vec![event.clone()],
            offers: None,
        };
        check(&served, served.behaviour().record_events(recorded), (&field, says)).await;
        let asked = wire::GetOffersRequest {
            events: vec![event],
            ..hero("anna")
        };
        check(&served, served.decisions().get_offers(asked), (&field, says)).await;
    }
}

fn set(event: &mut wire::Event, name: &str, kind: Kind) {
    event.attributes.insert(name.to_owned(), value(kind));
}

#[tokio::test]
async fn events_have_to_be_named_right() {
    check_events(&[
        (|event| event.id.clear(), ("id", "is empty")),
        (|event| event.id = "x".repeat(200), ("id", "has 200 bytes; at most 128")),
        (
            |event| event.r#type = "serach".to_owned(),
            ("type", "did you mean `search`?"),
        ),
        (|event| event.r#type.clear(), ("type", "allowed are search, page_view")),
        (
            |event| event.channel = "wep".to_owned(),
            ("channel", "did you mean `web`?"),
        ),
        (
            |event| event.place = "hone".to_owned(),
            ("place", "did you mean `home`?"),
        ),
        (
            |event| event.session_id = "s".repeat(129),
            ("session_id", "has 129 bytes"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn attributes_of_events_have_to_fit_the_schema() {
    const CATEGORY: &str = "attributes[\"category\"]";
    const RESULTS: &str = "attributes[\"results\"]";
    check_events(&[
        (
            |event| set(event, "categry", Kind::Number(1.0)),
            ("attributes[\"categry\"]", "did you mean `category`?"),
        ),
        (
            |event| set(event, "place", Kind::Number(1.0)),
            ("attributes[\"place\"]", "by the event's field `place`"),
        ),
        (
            |event| set(event, "category", Kind::Text("funds".to_owned())),
            (CATEGORY, "did you mean `fund`?"),
        ),
        (
            |event| set(event, "category", Kind::Boolean(true)),
            (CATEGORY, "true is true or false"),
        ),
        (
            |event| event.attributes.values_mut().for_each(|value| value.kind = None),
            (CATEGORY, "has no value"),
        ),
        (
            |event| set(event, "results", Kind::Text("12".to_owned())),
            (RESULTS, "`12` is a text, but a number is wanted"),
        ),
        (
            |event| set(event, "results", Kind::Number(f64::NAN)),
            (RESULTS, "NaN is not a finite number"),
        ),
        (
            |event| set(event, "results", Kind::Number(f64::INFINITY)),
            (RESULTS, "inf is not a finite"),
        ),
        (
            |event| set(event, "results", Kind::Number(-1.0)),
            (RESULTS, "outside the allowed range 0 to 10000"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn events_have_to_lie_near_the_servers_clock() {
    let wrong_nanos: Spoil = |event| event.time = Some(wire::Timestamp { seconds: 1, nanos: -1 });
    let overflow: Spoil = |event| {
        event.time = Some(wire::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        });
    };
    check_events(&[
        (
            |event| event.time = Some(seconds(301)),
            (
                "time",
                "more than 5 minutes ahead of the server's clock, 2026-03-02T09:00:00Z",
            ),
        ),
        (
            |event| event.time = Some(seconds(-400 * 86_400 - 1)),
            ("time", "more than 400 days before the server's clock"),
        ),
        (wrong_nanos, ("time", "nanos are 0 to 999999999")),
        (overflow, ("time", "are not a time")),
    ])
    .await;
}

#[tokio::test]
async fn a_call_that_records_has_to_have_something_to_record() {
    let served = Served::start().await;
    let call = |customer, events| wire::RecordEventsRequest {
        customer,
        events,
        offers: None,
    };
    let many: Vec<_> = (0..101).map(|number| search(&format!("e{number}"), "fund")).collect();
    let with_offers = |offers| wire::RecordEventsRequest {
        offers: Some(offers),
        ..call(Some(customer("anna")), vec![search("e1", "fund")])
    };
    let without_customer = wire::GetOffersRequest {
        customer: None,
        ..hero("")
    };
    let with_events = wire::GetOffersRequest {
        events: vec![search("e2", "fund")],
        ..without_customer.clone()
    };
    let mistaken = wire::GetOffersRequest {
        channel: "wbe".to_owned(),
        ..without_customer
    };
    let rows = vec![
        (call(None, vec![search("e1", "fund")]), ("customer", "is not set")),
        (
            call(Some(customer("anna")), vec![]),
            ("events", "is empty; give 1 to 100 events"),
        ),
        (
            call(Some(customer("anna")), many),
            ("events", "has 101 events; at most 100 are allowed"),
        ),
        (with_offers(hero("anna")), ("offers.customer", "it is that of the call")),
        (
            with_offers(with_events),
            ("offers.events", "the events are those of the call"),
        ),
        (with_offers(mistaken), ("offers.channel", "did you mean `web`?")),
    ];
    for (request, told) in rows {
        check(&served, served.behaviour().record_events(request), told).await;
    }
}

#[tokio::test]
async fn one_bad_event_keeps_the_good_ones_out_as_well() {
    let served = Served::start().await;
    let events = vec![search("e1", "fund"), search("e2", "found")];
    let request = wire::RecordEventsRequest {
        customer: Some(customer("anna")),
        events,
        offers: None,
    };
    let told = ("events[1].attributes[\"category\"]", "did you mean `fund`?");
    check(&served, served.behaviour().record_events(request), told).await;
}
