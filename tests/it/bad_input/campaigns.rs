//! Requests for campaign runs.

use nbo::server::wire::customer::Identity;
use nbo::server::wire::offer_limit::Scope;
use nbo::server::wire::rank_customers_request::Audience;
use nbo::server::wire::{self, RankCustomersRequest};
use tonic_types::StatusExt as _;

use super::{Told, check};
use crate::served::{Served, customer, placement, text};

fn good() -> RankCustomersRequest {
    RankCustomersRequest {
        audience: Some(Audience::Everyone(true)),
        channel: "web".to_owned(),
        placement: Some(placement("home_hero", 1)),
        ..RankCustomersRequest::default()
    }
}

async fn check_runs(rows: Vec<(RankCustomersRequest, Told<'_>)>) {
    let served = Served::start().await;
    for (request, told) in rows {
        check(&served, served.campaigns().rank_customers(request), told).await;
    }
}

#[tokio::test]
async fn whom_a_run_is_about_has_to_be_said() {
    let about = |audience| RankCustomersRequest {
        audience: Some(audience),
        ..good()
    };
    let segment = |text: &str| about(Audience::Segment(text.to_owned()));
    let list = |customers| about(Audience::Customers(wire::CustomerList { customers }));
    check_runs(vec![
        (
            RankCustomersRequest {
                audience: None,
                ..good()
            },
            ("audience", "give `customers`, a `segment`, or `everyone`"),
        ),
        (about(Audience::Everyone(false)), ("everyone", "is false")),
        (list(Vec::new()), ("customers.customers", "is empty; give 1 to 1000000")),
        (
            list(vec![customer("anna"), wire::Customer { identity: None }]),
            ("customers.customers[1]", "is not set"),
        ),
        (
            list(vec![wire::Customer {
                identity: Some(Identity::Id("x".repeat(129))),
            }]),
            ("customers.customers[0].id", "has 129 bytes; at most 128"),
        ),
        (segment(""), ("segment", "at character 1")),
        (
            segment("profile.agee > 3"),
            (
                "segment",
                "at character 1: there is no profile.agee; did you mean profile.age?",
            ),
        ),
        (
            segment("profile.age > 'old'"),
            ("segment", "cannot be compared with the text"),
        ),
        (segment("offer.risk > 1"), ("segment", "offer")),
        (segment("context.device == 'phone'"), ("segment", "context")),
    ])
    .await;
}

#[tokio::test]
async fn what_each_customer_gets_is_judged_as_a_call_is() {
    let on = |channel: &str| RankCustomersRequest {
        channel: channel.to_owned(),
        ..good()
    };
    let filling = |placement| RankCustomersRequest { placement, ..good() };
    check_runs(vec![
        (on("wbe"), ("channel", "did you mean `web`?")),
        (on(""), ("channel", "is empty; name the channel")),
        (filling(None), ("placement", "is not set; give a placement")),
        (
            filling(Some(placement("hero", 1))),
            ("placement.placement", "`hero` is not a known placement"),
        ),
        (
            filling(Some(placement("agent_list", 1))),
            ("placement.placement", "is not there on the channel `web`"),
        ),
        (
            filling(Some(placement("home_hero", 0))),
            ("placement.count", "0 is not from 1 to 3"),
        ),
        (
            filling(Some(placement("home_hero", 4))),
            ("placement.count", "4 is not from 1 to 3"),
        ),
        (
            RankCustomersRequest {
                context: [("device".to_owned(), text("fridge"))].into(),
                ..good()
            },
            ("context[\"device\"]", "allowed are phone, desktop"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn limits_name_what_there_is_and_can_be_kept() {
    let limit = |scope, at_most, at_least| RankCustomersRequest {
        limits: vec![wire::OfferLimit {
            scope,
            at_most,
            at_least,
        }],
        ..good()
    };
    let offer = |id: &str| Some(Scope::OfferId(id.to_owned()));
    let group = |id: &str| Some(Scope::Group(id.to_owned()));
    check_runs(vec![
        (
            limit(None, Some(1), None),
            ("limits[0]", "has neither `offer_id` nor `group`"),
        ),
        (
            limit(offer("fund_word"), Some(1), None),
            ("limits[0].offer_id", "did you mean `fund_world`?"),
        ),
        (
            limit(group(""), Some(1), None),
            ("limits[0].group", "is empty; name the group"),
        ),
        (limit(group("fund"), None, None), ("limits[0]", "limits nothing")),
        (limit(group("fund"), None, Some(0)), ("limits[0]", "limits nothing")),
        (
            limit(group("fund"), Some(3), Some(4)),
            ("limits[0].at_least", "4 is more than `at_most`, which is 3"),
        ),
        (
            RankCustomersRequest {
                limits: vec![wire::OfferLimit::default(); 101],
                ..good()
            },
            ("limits", "has 101 limits; at most 100"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_run_has_a_name_and_goes_on_from_its_own_token_only() {
    let reserving = RankCustomersRequest {
        reserve: true,
        ..good()
    };
    let named = |run_id: &str| RankCustomersRequest {
        run_id: run_id.to_owned(),
        ..reserving.clone()
    };
    let after = |token: &str| RankCustomersRequest {
        resume_after: token.to_owned(),
        ..good()
    };
    check_runs(vec![
        (reserving.clone(), ("run_id", "a run that reserves needs a name")),
        (named(&"x".repeat(129)), ("run_id", "has 129 bytes; at most 128")),
        (named("a\nb"), ("run_id", "control character at byte 1")),
        (
            RankCustomersRequest {
                campaign: "sprung".to_owned(),
                ..good()
            },
            ("campaign", "did you mean `spring`?"),
        ),
        (
            RankCustomersRequest {
                max_customers: Some(0),
                ..good()
            },
            ("max_customers", "is 0; give 1 or more"),
        ),
        (after("abc"), ("resume_after", "is no resume token")),
        (after(&"é".repeat(33)), ("resume_after", "is no resume token")),
        (
            after(&"0".repeat(65)),
            ("resume_after", "is the token of another request"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let served = Served::start().await;
    let request = RankCustomersRequest {
        reserve: true,
        limits: vec![wire::OfferLimit::default()],
        audience: Some(Audience::Segment("profile.agee > 3 && profile.member > 2".to_owned())),
        ..RankCustomersRequest::default()
    };
    let status = served.campaigns().rank_customers(request).await.unwrap_err();
    let details = status.get_details_bad_request().unwrap();
    let fields: Vec<_> = details
        .field_violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "run_id",
            "segment",
            "segment",
            "channel",
            "placement",
            "limits[0]",
            "limits[0]"
        ]
    );
}
