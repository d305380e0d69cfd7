//! Consent, hold-outs and visitors without an id, as callers see them.

use nbo::server::wire::{self, Stage};
use tonic::Code;

use crate::served::{CORNER_BANK, Served, aged, customer, hero, ids, search};

/// The small bank, which advertises its funds and holds some people out.
fn bank() -> String {
    let funds = "  - id: fund\n    start_propensity: 0.2\n";
    let travel = "treatments: {web: {title: Travel safely},";
    assert!(CORNER_BANK.contains(funds) && CORNER_BANK.contains(travel));
    let advertised = CORNER_BANK.replace(funds, &format!("{funds}    purpose: advertising\n"));
    let controlled = advertised.replace(travel, &format!("control: {{title: The world is large}}\n    {travel}"));
    let hold_outs =
        "hold_outs:\n  - {id: nobody, share: 0}\n  - {id: journeys, share: 1, groups: [travel], gets: control}\n";
    format!("{controlled}\n{hold_outs}")
}

fn consent(purpose: &str, channel: &str, granted: Option<bool>) -> wire::Consent {
    wire::Consent {
        purpose: purpose.to_owned(),
        channel: channel.to_owned(),
        granted,
    }
}

async fn answers(served: &Served, consents: Vec<wire::Consent>) {
    let change = wire::UpsertProfileRequest {
        consents,
        ..aged("anna", 40.0)
    };
    served.profiles().upsert_profile(change).await.unwrap();
}

async fn consents(served: &Served) -> Vec<wire::Consent> {
    let get = wire::GetProfileRequest {
        customer: Some(customer("anna")),
    };
    served.profiles().get_profile(get).await.unwrap().into_inner().consents
}

fn looked(id: &str) -> wire::GetOffersRequest {
    wire::GetOffersRequest {
        explain: true,
        preview: true,
        ..hero(id)
    }
}

#[tokio::test]
async fn consents_are_written_shown_heeded_and_taken_back() {
    let served = Served::start_with(&bank(), |_| ()).await;
    let (no_on_web, yes) = (
        consent("advertising", "web", Some(false)),
        consent("advertising", "", Some(true)),
    );
    answers(&served, vec![no_on_web.clone(), yes.clone()]).await;
    assert_eq!(consents(&served).await, [yes.clone(), no_on_web]);
    let answer = served
        .decisions()
        .get_offers(looked("anna"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ids(&answer), ["savings_easy", "travel_insurance"]);
    let withheld = &answer.withheld[0];
    assert_eq!(
        (withheld.offer_id.as_str(), withheld.stage(), withheld.rule.as_str()),
        ("fund_world", Stage::HardSuppression, "objected")
    );
    assert_eq!(withheld.placement, "", "it holds for all of the request");
    answers(&served, vec![consent("advertising", "web", None)]).await;
    assert_eq!(consents(&served).await, [yes]);
    let answer = served
        .decisions()
        .get_offers(looked("anna"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ids(&answer), ["savings_easy", "fund_world", "travel_insurance"]);
}

#[tokio::test]
async fn the_catalog_names_the_purposes_that_a_consent_may_name() {
    let served = Served::start_with(&bank(), |_| ()).await;
    let request = wire::GetCatalogRequest {
        include_schema: true,
        ..Default::default()
    };
    let catalog = served.catalogs().get_catalog(request).await.unwrap().into_inner();
    assert_eq!(catalog.schema.unwrap().purposes, ["advertising"]);
}

#[tokio::test]
async fn control_content_is_shown_and_marked_and_hold_outs_are_told_in_every_answer() {
    let served = Served::start_with(&bank(), |_| ()).await;
    served.begin("anna").await;
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    let marked: Vec<_> = answer.placements[0]
        .offers
        .iter()
        .map(|offer| (offer.control, offer.content["title"].as_str()))
        .collect();
    assert_eq!(
        marked,
        [
            (false, "Save easily"),
            (false, "Own the world"),
            (true, "The world is large")
        ]
    );
    assert_eq!(answer.hold_outs, ["journeys"]);
    let opted_out = wire::UpsertProfileRequest {
        opt_out_of_all: Some(true),
        ..aged("anna", 40.0)
    };
    served.profiles().upsert_profile(opted_out).await.unwrap();
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    assert_eq!((ids(&answer).len(), answer.hold_outs), (0, vec!["journeys".to_owned()]));
}

#[tokio::test]
async fn a_visitor_without_any_id_is_answered_and_nothing_is_reserved_or_kept() {
    let served = Served::start_with(&bank(), |_| ()).await;
    let request = wire::GetOffersRequest {
        customer: None,
        explain: true,
        ..hero("")
    };
    let answer = served
        .decisions()
        .get_offers(request.clone())
        .await
        .unwrap()
        .into_inner();
    // The fund asks for the age, and the cap of the travel insurance cannot count.
    assert_eq!(ids(&answer), ["savings_easy"]);
    assert_eq!(
        (
            answer.decision_id.as_str(),
            answer.known_customer,
            answer.hold_outs.len()
        ),
        ("", false, 0)
    );
    let capped = answer
        .withheld
        .iter()
        .find(|reason| reason.rule == "travel_once_an_hour")
        .unwrap();
    assert_eq!(
        (capped.stage(), capped.count, capped.eligible_again_at),
        (Stage::ContactPolicy, None, None)
    );
    assert_eq!(served.engine.customers(), 0);
    // What has to be kept still needs somebody to keep it of.
    let events = wire::RecordEventsRequest {
        events: vec![search("e1", "fund")],
        offers: Some(request),
        ..Default::default()
    };
    let refused = served.behaviour().record_events(events).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().starts_with("customer: is not set"),
        "{}",
        refused.message()
    );
}
