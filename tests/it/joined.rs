//! A visitor who logs in is the customer from then on, also when the server dies on the way.

use nbo::audit;
use nbo::domain::time::Millis;
use nbo::server::wire::behaviour_service_client::BehaviourServiceClient;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::profile_service_client::ProfileServiceClient;
use nbo::server::wire::{self, Outcome, Precedence};
use serde_json::json;
use tonic::Code;
use tonic::transport::Channel;

use crate::rights::{Program, export, nbo, place, text};
use crate::served::{CORNER_BANK, Served, aged, customer, hero, ids, placement, search};

fn visitor(id: &str) -> wire::Customer {
    wire::Customer {
        identity: Some(wire::customer::Identity::AnonymousId(id.to_owned())),
    }
}

fn merge(of: wire::Customer, to: wire::Customer) -> wire::MergeCustomersRequest {
    wire::MergeCustomersRequest {
        visitor: Some(of),
        customer: Some(to),
        ..Default::default()
    }
}

fn asked(by: wire::Customer) -> wire::GetOffersRequest {
    wire::GetOffersRequest {
        customer: Some(by),
        channel: "web".to_owned(),
        placements: vec![placement("home_hero", 3)],
        ..Default::default()
    }
}

fn searched(by: wire::Customer, id: &str) -> wire::RecordEventsRequest {
    wire::RecordEventsRequest {
        customer: Some(by),
        events: vec![search(id, "fund")],
        ..Default::default()
    }
}

async fn profile(profiles: &mut ProfileServiceClient<Channel>, of: wire::Customer) -> wire::GetProfileResponse {
    let request = wire::GetProfileRequest { customer: Some(of) };
    profiles.get_profile(request).await.unwrap().into_inner()
}

/// A server with a cap of six in a week, of which a visitor who searched for funds has used two, and anna three.
async fn before_login() -> (Served, wire::GetOffersResponse) {
    let week = "caps:\n  - {id: week, because: enough, at_most: 6, of: decided, within: 7d}\n";
    let capped = CORNER_BANK.replace("caps:\n", week);
    let served = Served::start_with(&capped, |_| ()).await;
    let mut decisions = served.decisions();
    served.profiles().upsert_profile(aged("anna", 40.0)).await.unwrap();
    served
        .behaviour()
        .record_events(searched(visitor("v"), "search-1"))
        .await
        .unwrap();
    let of_visitor = decisions.get_offers(asked(visitor("v"))).await.unwrap().into_inner();
    let of_anna = decisions.get_offers(hero("anna")).await.unwrap().into_inner();
    assert_eq!(ids(&of_anna)[0], "savings_easy");
    (served, of_visitor)
}

#[tokio::test]
async fn a_visitor_who_logs_in_is_the_customer_for_every_call() {
    let (served, of_visitor) = before_login().await;
    let (mut profiles, mut decisions) = (served.profiles(), served.decisions());
    served.clock.advance(Millis::MINUTE);
    let watch = wire::WatchOffersRequest {
        customer: Some(visitor("v")),
        channel: "web".to_owned(),
        placements: vec![placement("home_hero", 3)],
        ..Default::default()
    };
    let mut watched = served.decisions().watch_offers(watch).await.unwrap().into_inner();
    watched.message().await.unwrap().unwrap();

    let merged = profiles
        .merge_customers(merge(visitor("v"), customer("anna")))
        .await
        .unwrap()
        .into_inner();
    assert!(merged.merged);
    assert_eq!(
        ids(&watched.message().await.unwrap().unwrap().offers.unwrap())[0],
        "fund_world"
    );
    for who in [customer("anna"), visitor("v")] {
        let preview = wire::GetOffersRequest {
            preview: true,
            ..asked(who)
        };
        let answer = decisions.get_offers(preview).await.unwrap().into_inner();
        assert_eq!(
            (ids(&answer)[0], answer.profile_version),
            ("fund_world", merged.profile_version)
        );
    }
    let together = profile(&mut profiles, visitor("v")).await;
    assert_eq!(together, profile(&mut profiles, customer("anna")).await);
    assert_eq!(together.customer, Some(customer("anna")));
    assert_eq!((together.contacts.len(), together.recent_events.len()), (5, 1));
    let joined = &together.joined_visitors[0];
    assert_eq!(
        (&joined.visitor, joined.precedence()),
        (&Some(visitor("v")), Precedence::Customer)
    );
    let document = export(&mut profiles, "anna").await.unwrap();
    assert_eq!(document["intents"], json!({"fund": 2.0}));
    assert_eq!(
        (&document["events"], document["contacts"].as_array().unwrap().len()),
        (&json!([]), 3)
    );
    let of_joined = &document["joined"][0];
    assert_eq!(of_joined["customer"], json!({"anonymous_id": "v"}));
    assert_eq!(
        (&of_joined["precedence"], &of_joined["merged_at"]),
        (&json!("customer"), &json!("2026-03-02T09:01:00Z"))
    );
    assert_eq!(of_joined["contacts"][0]["decision_id"], json!(of_visitor.decision_id));
}

#[tokio::test]
async fn limits_count_what_both_were_shown_and_parted_again_the_visitor_is_as_before() {
    let (served, of_visitor) = before_login().await;
    let (mut profiles, mut decisions) = (served.profiles(), served.decisions());
    let was = profile(&mut profiles, visitor("v")).await;
    served.clock.advance(Millis::MINUTE);
    let merged = profiles.merge_customers(merge(visitor("v"), customer("anna"))).await;
    let merged = merged.unwrap().into_inner();
    let seen = wire::RecordOutcomeRequest {
        decision_id: of_visitor.decision_id.clone(),
        offer_id: ids(&of_visitor)[0].to_owned(),
        outcome: Outcome::Seen.into(),
        ..Default::default()
    };
    let seen = served.behaviour().record_outcome(seen).await.unwrap().into_inner();
    assert!(seen.recorded && seen.profile_version == merged.profile_version + 1);
    let budget = wire::GetContactBudgetRequest {
        customer: Some(visitor("v")),
        ..Default::default()
    };
    let budget = served.contacts().get_contact_budget(budget).await.unwrap().into_inner();
    assert_eq!((budget.limits[0].count, budget.limits[0].left), (5, 1), "of both");
    served.clock.advance(Millis::MINUTE);
    let more = decisions.get_offers(asked(visitor("v"))).await.unwrap().into_inner();
    assert_eq!(ids(&more).len(), 1);
    let none = decisions.get_offers(hero("anna")).await.unwrap().into_inner();
    assert_eq!(ids(&none).len(), 0, "six were shown to the two");
    audited(&served).await;

    let parted = wire::UnmergeCustomersRequest {
        visitor: Some(visitor("v")),
    };
    let parted = profiles.unmerge_customers(parted).await.unwrap().into_inner();
    assert!(parted.unmerged);
    let mut is = profile(&mut profiles, visitor("v")).await;
    assert_eq!(
        is.contacts
            .iter()
            .filter(|contact| !contact.outcomes.is_empty())
            .count(),
        1
    );
    is.contacts[0].outcomes.clear();
    assert_eq!((is.contacts, is.recent_events), (was.contacts, was.recent_events));
    assert_eq!(profile(&mut profiles, customer("anna")).await.contacts.len(), 4);
    audited(&served).await;
}

/// Exports all contacts, and has the auditor recount them.
async fn audited(served: &Served) {
    let mut sent = served
        .contacts()
        .export_contacts(wire::ExportContactsRequest {})
        .await
        .unwrap()
        .into_inner();
    let mut lines = Vec::new();
    while let Some(message) = sent.message().await.unwrap() {
        lines.extend(message.lines);
    }
    let mut found = Vec::new();
    let read = lines.into_iter().map(Ok::<_, std::convert::Infallible>);
    let violation = |violation: audit::Violation| {
        found.push(violation.to_string());
        true
    };
    let recounted = audit::audit(read, audit::UNDER_WAY_MS, violation, |_| ()).unwrap();
    assert_eq!((found, recounted.contacts), (Vec::new(), 6));
}

#[tokio::test]
async fn who_cannot_be_joined_is_told_why_and_what_is_asked_of_a_joined_visitor_alone_as_well() {
    let served = Served::start().await;
    let mut profiles = served.profiles();
    let wrong = wire::MergeCustomersRequest {
        precedence: 7,
        ..merge(customer("anna"), visitor("v"))
    };
    let refused = profiles.merge_customers(wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    for part in [
        "visitor: is a known customer",
        "customer: is an anonymous visitor",
        "precedence: 7",
    ] {
        assert!(refused.message().contains(part), "{part}: {}", refused.message());
    }
    profiles
        .merge_customers(merge(visitor("v"), customer("anna")))
        .await
        .unwrap();
    let again = profiles
        .merge_customers(merge(visitor("v"), customer("anna")))
        .await
        .unwrap();
    assert!(!again.into_inner().merged);
    let deleted = wire::DeleteProfileRequest {
        customer: Some(visitor("v")),
    };
    let erased = wire::EraseCustomerRequest {
        customer: Some(visitor("v")),
    };
    let refusals = [
        profiles
            .merge_customers(merge(visitor("v"), customer("berta")))
            .await
            .unwrap_err(),
        profiles.delete_profile(deleted).await.unwrap_err(),
        profiles.erase_customer(erased).await.unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(
            !refused.message().contains("anna"),
            "nothing personal: {}",
            refused.message()
        );
    }
    for number in 1..8 {
        profiles
            .merge_customers(merge(visitor(&format!("v-{number}")), customer("anna")))
            .await
            .unwrap();
    }
    let refused = profiles
        .merge_customers(merge(visitor("v-9"), customer("anna")))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let nobody = wire::UnmergeCustomersRequest {
        visitor: Some(visitor("v-9")),
    };
    let parted = profiles.unmerge_customers(nobody).await.unwrap().into_inner();
    assert_eq!((parted.unmerged, parted.profile_version), (false, 0));
}

#[tokio::test]
async fn whenever_the_server_dies_while_two_are_joined_or_parted_they_are_as_before_or_as_after() {
    let program = env!("CARGO_BIN_EXE_nbo");
    // The point, whether it is at parting, and whether the two are one after the restart.
    let points = [
        ("merge::before_record:1", false, false),
        ("merge::recorded:1", false, true),
        ("unmerge::restored:1", true, true),
        ("unmerge::recorded:1", true, false),
    ];
    for (point, is_parting, is_one) in points {
        let root = place();
        let server = Program::start(program, root.path(), Some(point));
        let mut profiles = server.profiles().await;
        profiles.upsert_profile(aged("anna", 40.0)).await.unwrap();
        let mut behaviour = BehaviourServiceClient::connect(server.address.clone()).await.unwrap();
        behaviour
            .record_events(searched(visitor("v"), "search-1"))
            .await
            .unwrap();
        let mut decisions = DecisionServiceClient::connect(server.address.clone()).await.unwrap();
        let shown = decisions.get_offers(asked(visitor("v"))).await.unwrap().into_inner();
        let was = profile(&mut profiles, visitor("v")).await;
        let merged = profiles.merge_customers(merge(visitor("v"), customer("anna"))).await;
        assert_eq!(merged.is_ok(), is_parting, "{point}");
        if is_parting {
            let parted = wire::UnmergeCustomersRequest {
                visitor: Some(visitor("v")),
            };
            assert!(profiles.unmerge_customers(parted).await.is_err(), "{point}");
        }
        server.kill();

        // Killed, and once more with nothing under way.
        for _ in 0..2 {
            let server = Program::start(program, root.path(), None);
            let mut profiles = server.profiles().await;
            let is = profile(&mut profiles, visitor("v")).await;
            assert_eq!(is.customer == Some(customer("anna")), is_one, "{point}");
            assert_eq!(
                (&is.contacts, &is.recent_events),
                (&was.contacts, &was.recent_events),
                "{point}"
            );
            let anna = profile(&mut profiles, customer("anna")).await;
            let count = if is_one { shown.placements[0].offers.len() } else { 0 };
            assert_eq!(anna.contacts.len(), count, "{point}");
            let repeated = BehaviourServiceClient::connect(server.address.clone())
                .await
                .unwrap()
                .record_events(searched(visitor("v"), "search-1"))
                .await
                .unwrap();
            assert_eq!(repeated.into_inner().applied, 0, "{point}");
            let mut decisions = DecisionServiceClient::connect(server.address.clone()).await.unwrap();
            let again = wire::ReplayDecisionRequest {
                decision_id: shown.decision_id.clone(),
                ..Default::default()
            };
            let again = decisions.replay_decision(again).await.unwrap().into_inner();
            assert!(again.identical, "{point}");
            let said = server.kill();
            assert!(!said.contains("anna"), "no log names anybody");
            let verified = nbo(&["verify", root.path().join("data").to_str().unwrap()]);
            assert!(verified.status.success(), "{point}: {}", text(&verified));
        }
    }
}
