//! Log lines of the program itself: JSON when that is asked for, and about nobody.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use nbo::server::wire;
use nbo::server::wire::behaviour_service_client::BehaviourServiceClient;
use nbo::server::wire::customer::Identity;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::profile_service_client::ProfileServiceClient;
use tonic::transport::Channel;

use crate::served::{customer, hero, placement, text};

const CUSTOMER: &str = "recognisable-customer";
const VISITOR: &str = "recognisable-cookie";
const SEGMENT: &str = "recognisable-segment";
const REQUEST: &str = "recognisable-request";
const EVENT: &str = "recognisable-event";

/// Makes calls of every kind, good and bad, about people who can be recognised.
async fn call(channel: Channel) {
    let mut decisions = DecisionServiceClient::new(channel.clone());
    let mut profiles = ProfileServiceClient::new(channel.clone());
    let mut behaviour = BehaviourServiceClient::new(channel);
    let whom = || Some(customer(CUSTOMER));
    let good = wire::UpsertProfileRequest {
        customer: whom(),
        ..Default::default()
    };
    profiles.upsert_profile(good.clone()).await.unwrap();
    let attributes = [("segment".to_owned(), text(SEGMENT))].into();
    profiles
        .upsert_profile(wire::UpsertProfileRequest { attributes, ..good })
        .await
        .unwrap_err();
    let offers = wire::GetOffersRequest {
        placements: vec![placement("best_offers", 3)],
        request_id: REQUEST.to_owned(),
        explain: true,
        ..hero(CUSTOMER)
    };
    let shown = decisions.get_offers(offers.clone()).await.unwrap().into_inner();
    let other = wire::GetOffersRequest {
        explain: false,
        ..offers
    };
    decisions.get_offers(other).await.unwrap_err();
    let event = wire::Event {
        id: EVENT.to_owned(),
        r#type: "nothing".to_owned(),
        ..Default::default()
    };
    let events = wire::RecordEventsRequest {
        customer: whom(),
        events: vec![event],
        ..Default::default()
    };
    behaviour.record_events(events).await.unwrap_err();
    let outcome = wire::RecordOutcomeRequest {
        decision_id: shown.decision_id.clone(),
        offer_id: SEGMENT.to_owned(),
        outcome: wire::Outcome::Seen.into(),
        ..Default::default()
    };
    behaviour.record_outcome(outcome).await.unwrap_err();
    let visitor = Some(wire::Customer {
        identity: Some(Identity::AnonymousId(VISITOR.to_owned())),
    });
    let merge = wire::MergeCustomersRequest {
        visitor,
        customer: whom(),
        ..Default::default()
    };
    profiles.merge_customers(merge).await.unwrap();
    profiles
        .export_customer(wire::ExportCustomerRequest { customer: whom() })
        .await
        .unwrap();
    profiles
        .erase_customer(wire::EraseCustomerRequest { customer: whom() })
        .await
        .unwrap();
    profiles
        .get_profile(wire::GetProfileRequest { customer: whom() })
        .await
        .unwrap_err();
}

/// Runs the program while calls are made, and returns what it logged.
async fn logged(format: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut child = Command::new(env!("CARGO_BIN_EXE_nbo"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--customers",
            "0",
            "--log",
            "debug",
            "--log-format",
            format,
        ])
        .arg("--data")
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = child.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).unwrap();
        text
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains("listening"))
        .unwrap();
    let address = line.split_whitespace().nth(1).unwrap().trim_end_matches(',').to_owned();
    call(Channel::from_shared(address).unwrap().connect().await.unwrap()).await;
    assert!(
        Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    reading.join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_names_anybody_even_when_everything_is_logged() {
    let text = logged("text").await;
    assert!(text.lines().count() > 10, "hardly anything was logged: {text}");
    for told in [CUSTOMER, VISITOR, SEGMENT, REQUEST, EVENT, "recognisable"] {
        let line = text.lines().find(|line| line.contains(told));
        assert_eq!(line, None, "{told} is told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_json_every_log_line_is_one_object_about_nobody() {
    let text = logged("json").await;
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            object["level"].is_string() && object["timestamp"].is_string() && object["target"].is_string(),
            "{line}"
        );
    }
    assert!(text.lines().count() > 10 && !text.contains("recognisable"));
}
