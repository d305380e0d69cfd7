//! How long a stream may go on: as long as its caller waits, and no longer.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request as HttpRequest;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use nbo::server::wire::campaign_service_client::CampaignServiceClient;
use nbo::server::wire::get_offers_stream_response::Result as StreamResult;
use nbo::server::wire::rank_customers_request::Audience;
use nbo::server::wire::{self, WatchOffersRequest};
use tokio::time::timeout;
use tokio_stream::{StreamExt as _, once, pending};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};

use crate::served::{Served, customer, hero, placement};

/// How long the callers say that they wait: long enough for a busy machine to begin.
const WAITS: &str = "2S";
/// Long enough for a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(30);
/// Many more than their answers have room on the way.
const CUSTOMERS: usize = 20_000;

fn waiting<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("grpc-timeout", WAITS.parse().unwrap());
    request
}

fn watch() -> WatchOffersRequest {
    let wire::GetOffersRequest {
        customer,
        channel,
        placements,
        ..
    } = hero("anna");
    WatchOffersRequest {
        customer,
        channel,
        placements,
        ..WatchOffersRequest::default()
    }
}

/// Reads what still comes; returns how many messages, and the end.
async fn end<T>(mut answers: Streaming<T>) -> (usize, Option<Status>) {
    let mut messages = 0;
    let reading = async {
        loop {
            match answers.message().await {
                Ok(Some(_)) => messages += 1,
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    };
    let ended = timeout(PATIENCE, reading).await.expect("the stream goes on");
    (messages, ended)
}

#[track_caller]
fn is_over(ended: Option<Status>) {
    let status = ended.expect("it ended as if all had been said");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

#[tokio::test]
async fn a_watcher_is_told_when_its_time_is_over_by_grpc_and_by_server_sent_events() {
    let served = Served::start().await;
    served.begin("anna").await;
    let lists = served.decisions().watch_offers(waiting(watch())).await.unwrap();
    let uri = format!("{}/nbo.v1.DecisionService/WatchOffers", served.address);
    let json =
        r#"{"customer": {"id": "anna"}, "channel": "web", "placements": [{"placement": "home_hero", "count": 3}]}"#;
    let request = HttpRequest::post(uri)
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .header("grpc-timeout", WAITS)
        .body(Body::from(json))
        .unwrap();
    let web = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let events = web.request(request).await.unwrap();
    let (messages, ended) = end(lists.into_inner()).await;
    assert_eq!(messages, 1);
    is_over(ended);
    let events = timeout(PATIENCE, to_bytes(Body::new(events.into_body()), usize::MAX)).await;
    let events = String::from_utf8(events.expect("the stream goes on").unwrap().to_vec()).unwrap();
    let (first, last) = events.split_once("\n\n").unwrap();
    assert!(first.contains("WATCH_CAUSE_STARTED"), "{events}");
    assert!(
        last.contains("event: status") && last.contains("\"code\":4"),
        "{events}"
    );
    served.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_of_questions_ends_with_its_callers_time_and_what_it_reserved_stays() {
    let served = Served::start().await;
    served.begin("anna").await;
    let question = wire::GetOffersStreamRequest {
        correlation_id: "one".to_owned(),
        request: Some(hero("anna")),
    };
    let questions = once(question).chain(pending());
    let answers = served.decisions().get_offers_stream(waiting(questions)).await;
    let mut answers = answers.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(StreamResult::Offers(offers)) = answer.result else {
        panic!("{answer:?}");
    };
    let (messages, ended) = end(answers).await;
    assert_eq!(messages, 0);
    is_over(ended);
    let asked = wire::GetProfileRequest {
        customer: Some(customer("anna")),
    };
    let profile = served.profiles().get_profile(asked).await.unwrap().into_inner();
    assert_eq!(profile.contacts.len(), 3);
    let decisions = profile.contacts.iter().map(|contact| &contact.decision_id);
    assert!({ decisions }.all(|id| *id == offers.decision_id), "{profile:?}");
    served.stop().await.unwrap();
}

#[tokio::test]
async fn a_campaign_run_whose_reader_is_too_slow_ends_with_its_callers_time() {
    let served = Served::start().await;
    // Little fits on the way, so that the run waits for its reader.
    let endpoint = Endpoint::from_shared(served.address.clone()).unwrap();
    let endpoint = endpoint
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    let mut campaigns = CampaignServiceClient::new(endpoint.connect().await.unwrap());
    let customers = (0..CUSTOMERS).map(|number| customer(&format!("c-{number}"))).collect();
    let run = wire::RankCustomersRequest {
        audience: Some(Audience::Customers(wire::CustomerList { customers })),
        channel: "web".to_owned(),
        placement: Some(placement("home_hero", 3)),
        ..wire::RankCustomersRequest::default()
    };
    let answers = campaigns.rank_customers(waiting(run)).await.unwrap().into_inner();
    // It is not read until another one that began later is over.
    let lists = served.decisions().watch_offers(waiting(watch())).await.unwrap();
    is_over(end(lists.into_inner()).await.1);
    is_over(end(answers).await.1);
    served.stop().await.unwrap();
}
