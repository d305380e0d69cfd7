//! Requests for offers.

use nbo::server::wire;
use nbo::server::wire::attribute_value::Kind;
use tonic_types::StatusExt as _;

use super::{Told, check};
use crate::served::{Served, hero, placement, search, text, value};

async fn check_offers(rows: Vec<(wire::GetOffersRequest, Told<'_>)>) {
    let served = Served::start().await;
    for (request, told) in rows {
        check(&served, served.decisions().get_offers(request), told).await;
    }
}

#[tokio::test]
async fn whose_offers_are_wanted_has_to_be_said() {
    use wire::customer::Identity;
    let of = |customer| wire::GetOffersRequest {
        customer,
        ..hero("anna")
    };
    check_offers(vec![
        (
            of(Some(wire::Customer { identity: None })),
            ("customer", "give the customer's `id`, or the visitor's `anonymous_id`"),
        ),
        (
            wire::GetOffersRequest {
                events: vec![search("e1", "fund")],
                ..of(None)
            },
            (
                "events",
                "is set without `customer`; name the customer or visitor whose events they are",
            ),
        ),
        (
            of(Some(wire::Customer {
                identity: Some(Identity::Id(String::new())),
            })),
            ("customer.id", "is empty; give 1 to 128 bytes"),
        ),
        (
            of(Some(wire::Customer {
                identity: Some(Identity::Id("x".repeat(129))),
            })),
            ("customer.id", "has 129 bytes; at most 128"),
        ),
        (
            of(Some(wire::Customer {
                identity: Some(Identity::AnonymousId("a\u{0}".to_owned())),
            })),
            ("customer.anonymous_id", "control character at byte 1"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_campaign_that_the_catalog_does_not_have_is_named() {
    let of = |campaign: &str| wire::GetOffersRequest {
        campaign: campaign.to_owned(),
        ..hero("anna")
    };
    check_offers(vec![(
        of("sprnig"),
        ("campaign", "`sprnig` is not a known campaign; did you mean `spring`?"),
    )])
    .await;
}

#[tokio::test]
async fn an_empty_request_is_told_everything_that_is_missing() {
    let served = Served::start().await;
    let status = served
        .decisions()
        .get_offers(wire::GetOffersRequest::default())
        .await
        .unwrap_err();
    let details = status.get_details_bad_request().unwrap();
    let fields: Vec<_> = details
        .field_violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(fields, ["channel", "placements"]);
}

#[tokio::test]
async fn what_is_asked_has_to_be_in_the_catalog() {
    let request = |placements: Vec<wire::PlacementRequest>| wire::GetOffersRequest {
        placements,
        ..hero("anna")
    };
    let on = |channel: &str| wire::GetOffersRequest {
        channel: channel.to_owned(),
        ..hero("anna")
    };
    let within = |name: &str, value| wire::GetOffersRequest {
        context: [(name.to_owned(), value)].into(),
        ..hero("anna")
    };
    check_offers(vec![
        (
            on("wbe"),
            ("channel", "`wbe` is not a known channel; did you mean `web`?"),
        ),
        (
            on(""),
            ("channel", "is empty; name the channel: allowed are web, call_centre"),
        ),
        (request(vec![]), ("placements", "is empty; give 1 to 16 placements")),
        (
            request(vec![placement("home_hero", 1); 17]),
            ("placements", "has 17 placements; at most 16"),
        ),
        (
            request(vec![placement("home_heros", 1)]),
            ("placements[0].placement", "did you mean `home_hero`?"),
        ),
        (
            request(vec![placement("home_hero", 1), placement("agent_list", 1)]),
            (
                "placements[1].placement",
                "`agent_list` is not there on the channel `web`; channels that have it: call_centre",
            ),
        ),
        (
            request(vec![placement("home_hero", 0)]),
            ("placements[0].count", "0 is not from 1 to 3"),
        ),
        (
            request(vec![placement("home_hero", 4)]),
            ("placements[0].count", "4 is not from 1 to 3"),
        ),
        (
            wire::GetOffersRequest {
                duplicates: 7,
                ..hero("anna")
            },
            ("duplicates", "7 is not known; give DUPLICATES_REMOVED"),
        ),
        (
            within("devise", text("phone")),
            ("context[\"devise\"]", "did you mean `device`?"),
        ),
        (
            within("device", text("fridge")),
            ("context[\"device\"]", "allowed are phone, desktop"),
        ),
        (
            within("device", value(Kind::Number(1.0))),
            ("context[\"device\"]", "1 is a number"),
        ),
        (
            within("channel", text("web")),
            ("context[\"channel\"]", "by the field `channel`"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn items_of_a_stream_are_judged_like_calls() {
    let served = Served::start().await;
    let items = [
        wire::GetOffersStreamRequest {
            correlation_id: "a".to_owned(),
            request: None,
        },
        wire::GetOffersStreamRequest {
            correlation_id: "b".repeat(129),
            request: Some(hero("anna")),
        },
    ];
    let mut answers = served
        .decisions()
        .get_offers_stream(tokio_stream::iter(items))
        .await
        .unwrap()
        .into_inner();
    for field in ["request", "correlation_id"] {
        let answer = answers.message().await.unwrap().unwrap();
        let Some(wire::get_offers_stream_response::Result::Fault(fault)) = answer.result else {
            panic!("{field}: {answer:?}");
        };
        assert_eq!((fault.code, fault.fields[0].field.as_str()), (3, field));
    }
    let watch = wire::WatchOffersRequest::default();
    check(
        &served,
        served.decisions().watch_offers(watch.clone()),
        ("placements", "is empty"),
    )
    .await;
    check(
        &served,
        served.decisions().watch_offers(watch),
        ("customer", "is not set; give the customer's `id`"),
    )
    .await;
}
