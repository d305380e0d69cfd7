//! Events and outcomes.

use nbo::domain::time::Millis;
use nbo::server::wire::{self, Outcome};

use super::{AFTER_FUND_SEARCH, events};
use crate::served::{Served, customer, hero, ids, search};

fn outcome(decision_id: &str, offer_id: &str, outcome: Outcome) -> wire::RecordOutcomeRequest {
    wire::RecordOutcomeRequest {
        decision_id: decision_id.to_owned(),
        offer_id: offer_id.to_owned(),
        outcome: outcome.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_caller_reads_what_it_just_wrote() {
    let served = Served::start().await;
    served.begin("anna").await;
    let request = wire::GetOffersRequest {
        events: vec![search("e1", "fund")],
        ..hero("anna")
    };
    let answer = served.decisions().get_offers(request).await.unwrap().into_inner();
    assert_eq!((ids(&answer), answer.profile_version), (AFTER_FUND_SEARCH.to_vec(), 2));

    served.begin("ben").await;
    let offers = wire::GetOffersRequest {
        customer: None,
        ..hero("ben")
    };
    let request = wire::RecordEventsRequest {
        offers: Some(offers),
        ..events("ben", vec![search("e1", "fund")])
    };
    let answer = served.behaviour().record_events(request).await.unwrap().into_inner();
    let offers = answer.offers.unwrap();
    assert_eq!(
        (ids(&offers), offers.profile_version),
        (AFTER_FUND_SEARCH.to_vec(), answer.profile_version)
    );
}

#[tokio::test]
async fn a_repeated_event_changes_nothing() {
    let served = Served::start().await;
    let once = events("anna", vec![search("e1", "fund"), search("e2", "travel")]);
    let first = served
        .behaviour()
        .record_events(once.clone())
        .await
        .unwrap()
        .into_inner();
    let again = served.behaviour().record_events(once).await.unwrap().into_inner();
    assert_eq!((first.applied, first.duplicates), (2, 0));
    assert_eq!(
        (again.applied, again.duplicates, again.profile_version),
        (0, 2, first.profile_version)
    );
}

#[tokio::test]
async fn a_stream_of_events_tells_what_was_refused_and_records_the_rest() {
    let served = Served::start().await;
    let message = |id: &str, event| wire::RecordEventsStreamRequest {
        customer: Some(customer(id)),
        events: vec![event],
    };
    let wrong = wire::Event {
        r#type: "serach".to_owned(),
        ..search("e2", "fund")
    };
    let messages = [
        message("anna", search("e1", "fund")),
        message("ben", wrong),
        message("carl", search("e3", "fund")),
        message("anna", search("e1", "fund")),
    ];
    let summary = served
        .behaviour()
        .record_events_stream(tokio_stream::iter(messages))
        .await
        .unwrap()
        .into_inner();
    let counts = (summary.messages, summary.applied, summary.duplicates, summary.refused);
    assert_eq!(counts, (4, 2, 1, 1));
    let fault = &summary.faults[0];
    assert_eq!(fault.message_index, 1);
    assert!(
        fault.fault.as_ref().unwrap().message.contains("did you mean `search`?"),
        "{fault:?}"
    );
    assert_eq!(served.engine.customers(), 2);
}

#[tokio::test]
async fn an_outcome_counts_once_in_any_order_and_also_late() {
    let served = Served::start().await;
    served.begin("anna").await;
    let decision = served
        .decisions()
        .get_offers(hero("anna"))
        .await
        .unwrap()
        .into_inner()
        .decision_id;
    let mut behaviour = served.behaviour();
    let clicked = behaviour
        .record_outcome(outcome(&decision, "fund_world", Outcome::Clicked))
        .await
        .unwrap();
    assert!(clicked.get_ref().recorded && !clicked.get_ref().late);
    let again = behaviour
        .record_outcome(outcome(&decision, "fund_world", Outcome::Clicked))
        .await
        .unwrap();
    assert!(!again.get_ref().recorded);
    assert_eq!(again.get_ref().profile_version, clicked.get_ref().profile_version);
    served.clock.advance(Millis::HOUR);
    let late = behaviour
        .record_outcome(outcome(&decision, "fund_world", Outcome::Seen))
        .await
        .unwrap();
    assert!(late.get_ref().recorded && late.get_ref().late);

    let profile = wire::GetProfileRequest {
        customer: Some(customer("anna")),
    };
    let profile = served.profiles().get_profile(profile).await.unwrap().into_inner();
    let contact = profile
        .contacts
        .iter()
        .find(|contact| contact.offer_id == "fund_world")
        .unwrap();
    assert_eq!(contact.decision_id, decision);
    assert_eq!(contact.outcomes.keys().collect::<Vec<_>>(), ["clicked", "seen"]);
}

#[tokio::test]
async fn in_a_batch_of_outcomes_each_stands_for_itself() {
    let served = Served::start().await;
    served.begin("anna").await;
    let decision = served
        .decisions()
        .get_offers(hero("anna"))
        .await
        .unwrap()
        .into_inner()
        .decision_id;
    let outcomes = vec![
        outcome(&decision, "fund_world", Outcome::Seen),
        outcome(&decision, "fund_wrld", Outcome::Seen),
        outcome(&decision, "savings_easy", Outcome::Refused),
    ];
    let request = wire::RecordOutcomesRequest { outcomes };
    let results = served
        .behaviour()
        .record_outcomes(request)
        .await
        .unwrap()
        .into_inner()
        .results;
    let recorded: Vec<Option<bool>> = results
        .iter()
        .map(|one| match one.result.as_ref().unwrap() {
            wire::outcome_result::Result::Receipt(receipt) => Some(receipt.recorded),
            wire::outcome_result::Result::Fault(fault) => {
                assert!(
                    fault.message.contains("did you mean `fund_world`?"),
                    "{}",
                    fault.message
                );
                None
            }
        })
        .collect();
    assert_eq!(recorded, [Some(true), None, Some(true)]);
}

#[tokio::test]
async fn what_is_cancelled_is_released_once_and_stands_in_the_profile() {
    let served = Served::start().await;
    served.begin("anna").await;
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    let seen = outcome(&answer.decision_id, "savings_easy", Outcome::Seen);
    served.behaviour().record_outcome(seen).await.unwrap();
    // Travel insurance is allowed once an hour.
    let without = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    assert!(!ids(&without).contains(&"travel_insurance"));
    let cancel = |offer: &str| wire::CancelRequest {
        decision_id: answer.decision_id.clone(),
        offer_id: offer.to_owned(),
        placement: "home_hero".to_owned(),
    };
    let mut behaviour = served.behaviour();
    let first = behaviour.cancel(cancel("")).await.unwrap().into_inner();
    assert_eq!(first.cancelled, 2, "what was seen stays");
    let again = behaviour.cancel(cancel("travel_insurance")).await.unwrap().into_inner();
    assert_eq!((again.cancelled, again.profile_version), (0, first.profile_version));
    let with = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    assert!(ids(&with).contains(&"travel_insurance"));

    let profile = wire::GetProfileRequest {
        customer: Some(customer("anna")),
    };
    let profile = served.profiles().get_profile(profile).await.unwrap().into_inner();
    let of_first = profile
        .contacts
        .iter()
        .filter(|contact| contact.decision_id == answer.decision_id);
    let cancelled = of_first.filter(|contact| contact.cancelled_at.is_some());
    assert_eq!(cancelled.count(), 2);
    let late = outcome(&answer.decision_id, "fund_world", Outcome::Clicked);
    let late = behaviour.record_outcome(late).await.unwrap().into_inner();
    assert!(late.recorded && late.late);
}

#[tokio::test]
async fn events_with_a_repeated_request_are_recorded_once_and_with_a_refused_one_not_at_all() {
    let served = Served::start().await;
    served.begin("anna").await;
    let offers = |id: &str| wire::GetOffersRequest {
        customer: None,
        request_id: id.to_owned(),
        ..hero("anna")
    };
    let call = |event: &str, id: &str| wire::RecordEventsRequest {
        offers: Some(offers(id)),
        ..events("anna", vec![search(event, "fund")])
    };
    let mut behaviour = served.behaviour();
    let first = behaviour.record_events(call("e1", "r1")).await.unwrap().into_inner();
    let again = behaviour.record_events(call("e1", "r1")).await.unwrap().into_inner();
    assert_eq!((first.applied, again.applied, again.duplicates), (1, 0, 1));
    let (first, again) = (first.offers.unwrap(), again.offers.unwrap());
    assert!(again.replayed && !first.replayed);
    assert_eq!(
        wire::GetOffersResponse {
            replayed: false,
            ..again
        },
        first
    );
    let refused = behaviour.record_events(call("e2", "r1")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::AlreadyExists, "{refused:?}");
    let later = behaviour.record_events(call("e2", "r2")).await.unwrap().into_inner();
    assert_eq!(
        (later.applied, later.duplicates),
        (1, 0),
        "the refused call recorded nothing"
    );
    // The same request without the detour over events is another body.
    let unary = wire::GetOffersRequest {
        request_id: "r1".to_owned(),
        ..hero("anna")
    };
    let refused = served.decisions().get_offers(unary).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::AlreadyExists);
}
