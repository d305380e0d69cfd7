//! Outcomes.

use nbo::domain::profile::CONTACTS_KEPT;
use nbo::server::wire::{self, Outcome};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{check, seconds};
use crate::served::{Served, hero, ids, placement};

#[tokio::test]
async fn outcomes_have_to_name_a_decision_and_what_happened() {
    let served = Served::start().await;
    let decision_id = "0".repeat(39) + "1";
    let seen = || wire::RecordOutcomeRequest {
        decision_id: decision_id.clone(),
        offer_id: "fund_world".to_owned(),
        outcome: Outcome::Seen.into(),
        time: None,
        placement: String::new(),
    };
    let rows = vec![
        (
            wire::RecordOutcomeRequest {
                decision_id: "17".to_owned(),
                ..seen()
            },
            ("decision_id", "`17` is not a decision id"),
        ),
        (
            wire::RecordOutcomeRequest {
                decision_id: String::new(),
                ..seen()
            },
            ("decision_id", "is empty; send back the `decision_id` of an answer"),
        ),
        (
            wire::RecordOutcomeRequest {
                offer_id: "fund_wold".to_owned(),
                ..seen()
            },
            ("offer_id", "did you mean `fund_world`?"),
        ),
        (
            wire::RecordOutcomeRequest {
                offer_id: String::new(),
                ..seen()
            },
            ("offer_id", "is empty; name the offer"),
        ),
        (
            wire::RecordOutcomeRequest { outcome: 0, ..seen() },
            ("outcome", "is not set; give OUTCOME_DELIVERED"),
        ),
        (
            wire::RecordOutcomeRequest { outcome: 9, ..seen() },
            ("outcome", "9 is not known; give OUTCOME_DELIVERED"),
        ),
        (
            wire::RecordOutcomeRequest {
                time: Some(seconds(400)),
                ..seen()
            },
            ("time", "more than 5 minutes ahead"),
        ),
        (
            wire::RecordOutcomeRequest {
                placement: "hero".to_owned(),
                ..seen()
            },
            ("placement", "allowed are home_hero"),
        ),
    ];
    for (request, told) in rows {
        check(&served, served.behaviour().record_outcome(request), told).await;
    }
    let empty = wire::RecordOutcomesRequest { outcomes: vec![] };
    check(
        &served,
        served.behaviour().record_outcomes(empty),
        ("outcomes", "is empty; give 1 to 100 outcomes"),
    )
    .await;
    let status = served.behaviour().record_outcome(seen()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains(&decision_id), "{status:?}");
}

#[tokio::test]
async fn an_outcome_of_an_offer_that_was_not_shown_is_told_what_was() {
    let served = Served::start().await;
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    assert_eq!(ids(&answer), ["savings_easy", "travel_insurance"]);
    let seen = |offer_id: &str, placement: &str| wire::RecordOutcomeRequest {
        decision_id: answer.decision_id.clone(),
        offer_id: offer_id.to_owned(),
        placement: placement.to_owned(),
        outcome: Outcome::Seen.into(),
        ..Default::default()
    };
    let rows = [
        (
            seen("fund_world", ""),
            (
                "offer_id",
                "`fund_world` was not shown by this decision; it showed savings_easy, travel_insurance",
            ),
        ),
        (
            seen("savings_easy", "home_side"),
            (
                "placement",
                "`home_side` did not show `savings_easy` in this decision; home_hero did",
            ),
        ),
    ];
    for (report, (field, says)) in rows {
        let status = served.behaviour().record_outcome(report).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_details_bad_request().unwrap();
        let told: Vec<_> = details
            .field_violations
            .iter()
            .map(|told| (&*told.field, &*told.description))
            .collect();
        assert_eq!(told, [(field, says)]);
    }
}

#[tokio::test]
async fn an_outcome_that_comes_when_its_contact_is_no_longer_kept_is_told_so() {
    let served = Served::start().await;
    let mut request = hero("anna");
    request.placements = vec![placement("home_hero", 1)];
    let mut first = String::new();
    for _ in 0..=CONTACTS_KEPT {
        let answer = served.decisions().get_offers(request.clone()).await.unwrap();
        let id = answer.into_inner().decision_id;
        if first.is_empty() {
            first = id;
        }
    }
    let report = wire::RecordOutcomeRequest {
        decision_id: first.clone(),
        offer_id: "savings_easy".to_owned(),
        outcome: Outcome::Seen.into(),
        ..Default::default()
    };
    let status = served.behaviour().record_outcome(report).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(
        status.message(),
        format!(
            "decision `{first}` is not known: never made, or no longer kept, for of each customer the latest 256 contacts \
             are kept, and those that a cap still counts"
        )
    );
}

#[tokio::test]
async fn a_cancellation_has_to_name_a_decision_and_what_it_showed() {
    let served = Served::start().await;
    let cancel = |decision_id: &str, offer_id: &str, placement: &str| wire::CancelRequest {
        decision_id: decision_id.to_owned(),
        offer_id: offer_id.to_owned(),
        placement: placement.to_owned(),
    };
    let nobodys = "0".repeat(39) + "1";
    let rows = vec![
        (cancel("", "", ""), ("decision_id", "is empty")),
        (
            cancel(&nobodys, "fund_wold", ""),
            ("offer_id", "did you mean `fund_world`?"),
        ),
        (cancel(&nobodys, "", "hero"), ("placement", "allowed are home_hero")),
    ];
    for (request, told) in rows {
        check(&served, served.behaviour().cancel(request), told).await;
    }
    let mut behaviour = served.behaviour();
    let status = behaviour.cancel(cancel(&nobodys, "", "")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    for (offer, placement, told) in [
        (
            "fund_world",
            "",
            "`fund_world` was not shown by this decision; it showed savings_easy",
        ),
        (
            "",
            "home_side",
            "`home_side` showed nothing in this decision; home_hero",
        ),
    ] {
        let status = behaviour.cancel(cancel(&answer.decision_id, offer, placement)).await;
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(told), "{status:?}");
    }
}
