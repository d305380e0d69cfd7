//! Asking for offers.

use nbo::domain::time::Millis;
use nbo::server::wire::{self, Rung, Stage};
use tokio_stream::StreamExt as _;
use tonic::Code;

use super::{AFTER_FUND_SEARCH, BY_PRIORITY, events};
use crate::served::{self, CORNER_BANK, Served, aged, hero, ids, placement, search};

#[tokio::test]
async fn an_answer_says_what_to_show_and_where_it_came_from() {
    let served = Served::start().await;
    served.begin("anna").await;
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    assert_eq!(ids(&answer), BY_PRIORITY);
    let best = &answer.placements[0].offers[0];
    assert_eq!(
        (best.rank, best.group.as_str(), best.name.as_str()),
        (1, "savings", "Easy saver")
    );
    assert_eq!(best.content["title"], "Save easily");
    let factors = best.factors.unwrap();
    assert!((best.priority - 0.3).abs() < 1e-6, "{best:?}");
    assert_eq!(
        (factors.propensity, factors.context_weight, factors.value, factors.lever),
        (0.3, 1.0, 1.0, 1.0)
    );
    assert_eq!((answer.rung(), best.rung()), (Rung::Start, Rung::Start));
    assert_eq!(answer.catalog_version, *served.engine.active().catalog.version);
    assert_eq!(answer.decided_at.unwrap().seconds * 1_000, served::MORNING.as_millis());
    assert!(answer.known_customer && !answer.decision_id.is_empty() && !answer.placements[0].fallback);
    assert_eq!(answer.profile_version, 1);
}

#[tokio::test]
async fn somebody_unknown_gets_an_answer_like_everybody() {
    let served = Served::start().await;
    let request = wire::GetOffersRequest {
        explain: true,
        ..hero("nobody")
    };
    let answer = served.decisions().get_offers(request).await.unwrap().into_inner();
    assert!(!answer.known_customer);
    assert_eq!(ids(&answer), ["savings_easy", "travel_insurance"]);
    let withheld = &answer.withheld[0];
    assert_eq!(
        (withheld.offer_id.as_str(), withheld.stage()),
        ("fund_world", Stage::Eligibility)
    );
    assert_eq!(
        (withheld.rule.as_str(), withheld.missing.as_str()),
        ("fund.adult", "profile.age")
    );
    assert_eq!(withheld.because, "funds are sold to adults only");
}

#[tokio::test]
async fn every_channel_sees_the_list_that_behaviour_moved() {
    let served = Served::start().await;
    served.begin("anna").await;
    served
        .behaviour()
        .record_events(events("anna", vec![search("e1", "fund")]))
        .await
        .unwrap();
    let web = wire::GetOffersRequest {
        preview: true,
        ..hero("anna")
    };
    let web = served.decisions().get_offers(web).await.unwrap().into_inner();
    let agent = wire::GetOffersRequest {
        channel: "call_centre".to_owned(),
        placements: vec![placement("agent_list", 3)],
        preview: true,
        ..hero("anna")
    };
    let agent = served.decisions().get_offers(agent).await.unwrap().into_inner();
    assert_eq!(
        (ids(&web), ids(&agent)),
        (AFTER_FUND_SEARCH.to_vec(), AFTER_FUND_SEARCH.to_vec())
    );
    assert_eq!(agent.placements[0].offers[0].content["script"], "Ask about funds");
    assert!(
        web.decision_id.is_empty() && agent.cached,
        "a preview reserves nothing, and the list was kept"
    );
}

#[tokio::test]
async fn a_preview_with_events_answers_what_if_and_leaves_no_trace() {
    let served = Served::start().await;
    served.begin("anna").await;
    let what_if = wire::GetOffersRequest {
        events: vec![search("e1", "fund")],
        preview: true,
        ..hero("anna")
    };
    let answer = served.decisions().get_offers(what_if).await.unwrap().into_inner();
    assert_eq!(
        (ids(&answer), answer.decision_id.as_str()),
        (AFTER_FUND_SEARCH.to_vec(), "")
    );
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    assert_eq!((ids(&answer), answer.profile_version), (BY_PRIORITY.to_vec(), 1));
}

#[tokio::test]
async fn a_cap_withholds_with_its_count_and_the_moment_of_its_end() {
    let served = Served::start().await;
    served.begin("anna").await;
    served.decisions().get_offers(hero("anna")).await.unwrap();
    let request = wire::GetOffersRequest {
        explain: true,
        ..hero("anna")
    };
    let answer = served.decisions().get_offers(request).await.unwrap().into_inner();
    assert_eq!(ids(&answer), ["savings_easy", "fund_world"]);
    let withheld = &answer.withheld[0];
    assert_eq!(
        (withheld.rule.as_str(), withheld.stage()),
        ("travel_once_an_hour", Stage::ContactPolicy)
    );
    assert_eq!((withheld.count, withheld.limit), (Some(1), Some(1)));
    assert_eq!(
        (withheld.placement.as_str(), withheld.because.as_str()),
        ("home_hero", "enough is enough")
    );
    let again_at = withheld.eligible_again_at.unwrap().seconds * 1_000;
    assert_eq!(again_at, (served::MORNING + Millis::HOUR).as_millis());
    served.clock.advance(Millis::HOUR);
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    assert_eq!(ids(&answer), BY_PRIORITY);
}

#[tokio::test]
async fn an_offer_fills_one_placement_unless_duplicates_are_allowed() {
    let served = Served::start().await;
    served.begin("anna").await;
    let both = wire::GetOffersRequest {
        placements: vec![placement("home_hero", 1), placement("home_side", 1)],
        preview: true,
        omit_content: true,
        ..hero("anna")
    };
    let shown = |answer: &wire::GetOffersResponse| -> Vec<String> {
        answer
            .placements
            .iter()
            .map(|filled| filled.offers[0].offer_id.clone())
            .collect()
    };
    let removed = served.decisions().get_offers(both.clone()).await.unwrap().into_inner();
    assert_eq!(shown(&removed), ["savings_easy", "fund_world"]);
    assert!(removed.placements[0].offers[0].content.is_empty());
    let allowed = wire::GetOffersRequest {
        duplicates: wire::Duplicates::Allowed.into(),
        ..both
    };
    let allowed = served.decisions().get_offers(allowed).await.unwrap().into_inner();
    assert_eq!(shown(&allowed), ["savings_easy", "savings_easy"]);
}

#[tokio::test]
async fn nothing_eligible_is_answered_with_the_fallback() {
    let served = Served::start().await;
    let opted_out = wire::UpsertProfileRequest {
        opt_out_of_all: Some(true),
        ..aged("anna", 40.0)
    };
    served.profiles().upsert_profile(opted_out).await.unwrap();
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    let filled = &answer.placements[0];
    assert!(filled.fallback && filled.offers.is_empty() && answer.decision_id.is_empty());
    assert_eq!(filled.fallback_content["title"], "Welcome");
}

#[tokio::test]
async fn a_stream_of_requests_goes_on_after_a_refused_one() {
    let served = Served::start().await;
    served.begin("anna").await;
    let item = |correlation: &str, request| wire::GetOffersStreamRequest {
        correlation_id: correlation.to_owned(),
        request: Some(request),
    };
    let wrong = wire::GetOffersRequest {
        channel: "wap".to_owned(),
        ..hero("anna")
    };
    let requests = [item("a", hero("anna")), item("b", wrong), item("c", hero("anna"))];
    let answers = served
        .decisions()
        .get_offers_stream(tokio_stream::iter(requests))
        .await
        .unwrap()
        .into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    let told: Vec<String> = answers
        .iter()
        .map(|answer| match answer.result.as_ref().unwrap() {
            wire::get_offers_stream_response::Result::Offers(offers) => {
                format!("{}: {}", answer.correlation_id, ids(offers).join(" "))
            }
            wire::get_offers_stream_response::Result::Fault(fault) => {
                format!("{}: {} {}", answer.correlation_id, fault.code, fault.fields[0].field)
            }
        })
        .collect();
    assert_eq!(
        told,
        [
            "a: savings_easy fund_world travel_insurance",
            "b: 3 channel",
            "c: savings_easy fund_world"
        ],
        "the third knows the reservation of the first"
    );
}

#[tokio::test]
async fn where_only_known_customers_count_others_get_the_fallback_and_leave_no_trace() {
    let known_only = CORNER_BANK.replace(
        "name: corner-bank,",
        "name: corner-bank, unknown_customer: fallback_only,",
    );
    let served = Served::start_with(&known_only, |_| ()).await;
    let answer = served
        .decisions()
        .get_offers(hero("nobody"))
        .await
        .unwrap()
        .into_inner();
    assert!(answer.placements[0].fallback && !answer.known_customer && answer.decision_id.is_empty());
    let recorded = served
        .behaviour()
        .record_events(events("nobody", vec![search("e1", "fund")]))
        .await;
    assert_eq!(recorded.unwrap_err().code(), Code::NotFound);
    assert_eq!(served.engine.customers(), 0);
}

#[tokio::test]
async fn a_campaign_is_named_in_the_request_and_in_the_contact_and_its_attempts_come_to_an_end() {
    let served = Served::start().await;
    served.begin("anna").await;
    let request = wire::GetOffersRequest {
        campaign: "spring".to_owned(),
        explain: true,
        ..hero("anna")
    };
    let first = served
        .decisions()
        .get_offers(request.clone())
        .await
        .unwrap()
        .into_inner();
    let shown = &first.placements[0].offers[0].offer_id;
    let profile = wire::GetProfileRequest {
        customer: hero("anna").customer,
    };
    let profile = served.profiles().get_profile(profile).await.unwrap().into_inner();
    let contact = &profile.contacts[0];
    assert_eq!((contact.campaign.as_str(), contact.cancelled_at), ("spring", None));
    let again = served.decisions().get_offers(request).await.unwrap().into_inner();
    let of_shown = again.withheld.iter().find(|withheld| withheld.offer_id == *shown);
    let withheld = of_shown.expect("the offer was attempted once, which is all");
    assert_eq!(
        (
            withheld.rule.as_str(),
            withheld.count,
            withheld.limit,
            withheld.eligible_again_at
        ),
        ("spring.attempts", Some(1), Some(1), None)
    );
}

#[tokio::test]
async fn a_repeated_request_gets_its_answer_again_even_after_a_reload_and_reserves_nothing() {
    let served = Served::start().await;
    served.begin("anna").await;
    let request = wire::GetOffersRequest {
        request_id: "r1".to_owned(),
        ..hero("anna")
    };
    let first = served
        .decisions()
        .get_offers(request.clone())
        .await
        .unwrap()
        .into_inner();
    let version = |id: &str| {
        let id = nbo::domain::ids::CustomerId::known(id).unwrap();
        served.engine.profile(&id).map(|profile| profile.version)
    };
    let before = version("anna");
    // Offers and placements stand elsewhere in the new catalog, and one is gone.
    let symbols = served.engine.active().catalog.symbols.clone();
    let changed = CORNER_BANK
        .replace("  - id: savings_easy\n", "  - id: new_easy\n")
        .replace("- {id: home_hero,", "- {id: all, channels: [web]}\n  - {id: home_hero,");
    let changed = served::catalog(&changed, &symbols);
    served
        .engine
        .activate(nbo::engine::Active::new(changed, Vec::new()))
        .unwrap();
    let again = served.decisions().get_offers(request).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(
        wire::GetOffersResponse {
            replayed: false,
            ..again
        },
        first
    );
    assert_eq!(version("anna"), before);

    let other = wire::GetOffersRequest {
        request_id: "r1".to_owned(),
        omit_content: true,
        ..hero("anna")
    };
    let refused = served.decisions().get_offers(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
    // Somebody else's `r1` is another request.
    let ben = wire::GetOffersRequest {
        request_id: "r1".to_owned(),
        ..hero("ben")
    };
    assert!(!served.decisions().get_offers(ben).await.unwrap().into_inner().replayed);
}

#[tokio::test]
async fn a_question_that_reserves_nothing_begins_nobody_and_is_repeated_while_its_answer_is_kept() {
    let text = CORNER_BANK.replace(
        "name: corner-bank,",
        "name: corner-bank, unknown_customer: fallback_only,",
    );
    let served = Served::start_with(&text, |_| ()).await;
    let request = wire::GetOffersRequest {
        request_id: "r1".to_owned(),
        ..hero("nobody")
    };
    let first = served
        .decisions()
        .get_offers(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(first.placements[0].fallback && !first.replayed);
    let again = served.decisions().get_offers(request).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(served.engine.customers(), 0);
}
