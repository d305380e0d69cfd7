//! More is asked than can be answered, and servers come and go under load.

#![cfg(unix)]

mod reloads;
mod restarts;
mod waits;

use std::future::poll_fn;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use nbo::server::wire::behaviour_service_client::BehaviourServiceClient;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::{self, Outcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::Service as _;

use crate::kills::Place;
use crate::kills::program::Program;
use crate::served::{customer, placement};

/// Connections over which the flood comes, and calls under way on each: as many as the server lets it have.
const CONNECTIONS: usize = 8;
const CALLS_PER_CONNECTION: usize = 250;
/// Page views in all; many times what waits at a time.
const PAGE_VIEWS: usize = 12_000;
/// By how much the server's memory may grow meanwhile: the buffers of all those connections and calls, with room to spare.
const GROWTH_MAX_BYTES: f64 = 128.0 * 1024.0 * 1024.0;

fn page_view(name: &str, preview: bool) -> wire::GetOffersRequest {
    wire::GetOffersRequest {
        customer: Some(customer(name)),
        channel: "web".to_owned(),
        placements: vec![placement("list", 3)],
        preview,
        ..Default::default()
    }
}

/// Asks over plain HTTP, and returns the whole answer.
async fn get(address: &str, path: &str) -> String {
    let socket = address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(socket).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {socket}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn number(address: &str, name: &str) -> f64 {
    let numbers = get(address, "/metrics").await;
    let line = numbers.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {numbers}"))
        .trim()
        .parse()
        .unwrap()
}

/// Looks whether a refusal is one for lack of room that says when to try again.
#[track_caller]
fn refused(status: &Status) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(hint.is_some_and(|delay| !delay.is_zero()), "{status:?}");
}

/// What one offers list has.
fn shown(answer: &wire::GetOffersResponse) -> Vec<(String, u64)> {
    let offers = answer.placements.iter().flat_map(|placement| &placement.offers);
    offers
        .map(|offer| (offer.offer_id.clone(), offer.priority.to_bits()))
        .collect()
}

/// A server, and connections for a flood.
struct Flooded {
    program: Program,
    address: String,
    channels: Vec<Channel>,
    _place: Place,
}

impl Flooded {
    async fn start(options: &[&str]) -> Self {
        let place = Place::new();
        let options = [&["--threads", "1"], options].concat();
        let mut program = Program::start_at(place.path(), "127.0.0.1:0", "process", None, &options);
        let (address, _) = program.ready().await;
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(Program::connect(&address).await.unwrap());
        }
        Self {
            program,
            address,
            channels,
            _place: place,
        }
    }

    fn decisions(&self, at: usize) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channels[at % CONNECTIONS].clone())
    }

    /// Makes so many page views as fast as they go, and returns how many were answered and refused. Every answer is the
    /// right one, every refusal says when to try again.
    async fn flood(&self) -> (usize, usize) {
        let right = self.decisions(0).get_offers(page_view("nobody", true)).await.unwrap();
        let right = shown(right.get_ref());
        assert_eq!(right.len(), 3);
        let mut workers = JoinSet::new();
        let each = PAGE_VIEWS / (CONNECTIONS * CALLS_PER_CONNECTION);
        for worker in 0..CONNECTIONS * CALLS_PER_CONNECTION {
            let (mut decisions, right) = (self.decisions(worker), right.clone());
            workers.spawn(async move {
                let (mut answered, mut excess) = (0, 0);
                for call in 0..each {
                    let name = format!("nobody-{worker}-{call}");
                    match decisions.get_offers(page_view(&name, true)).await {
                        Ok(answer) => {
                            assert_eq!(shown(answer.get_ref()), right);
                            answered += 1;
                        }
                        Err(status) => {
                            refused(&status);
                            excess += 1;
                        }
                    }
                }
                (answered, excess)
            });
        }
        let (mut answered, mut excess) = (0, 0);
        while let Some(worker) = workers.join_next().await {
            let worker = worker.unwrap();
            answered += worker.0;
            excess += worker.1;
        }
        (answered, excess)
    }

    /// Looks whether it serves as if nothing had been.
    async fn serves(&self) {
        for at in 0..50 {
            let answer = self.decisions(at).get_offers(page_view("nobody", true)).await.unwrap();
            assert_eq!(shown(answer.get_ref()).len(), 3);
        }
    }
}

#[tokio::test]
async fn of_more_page_views_than_places_each_is_answered_rightly_or_refused_with_a_hint_and_every_outcome_is_taken() {
    // 16 places for page views, all 64 for outcomes.
    let server = Flooded::start(&["--waiting-calls", "64"]).await;
    let mut outcomes = Vec::new();
    for number in 0..16 {
        let name = format!("customer-{number}");
        let answer = server.decisions(0).get_offers(page_view(&name, false)).await.unwrap();
        let answer = answer.into_inner();
        for (offer_id, _) in shown(&answer) {
            for outcome in [Outcome::Delivered, Outcome::Seen, Outcome::Clicked] {
                outcomes.push(wire::RecordOutcomeRequest {
                    decision_id: answer.decision_id.clone(),
                    offer_id: offer_id.clone(),
                    outcome: outcome.into(),
                    ..Default::default()
                });
            }
        }
    }
    let before = number(&server.address, "nbo_resident_bytes ").await;
    let mut behaviour = BehaviourServiceClient::new(Program::connect(&server.address).await.unwrap());
    let reporting = async {
        for outcome in &outcomes {
            let receipt = behaviour.record_outcome(outcome.clone()).await.unwrap();
            assert!(receipt.get_ref().recorded);
        }
    };
    let ((answered, excess), ()) = tokio::join!(server.flood(), reporting);
    assert!(answered > 0 && excess > 0, "{answered} answered, {excess} refused");
    assert_eq!(answered + excess, PAGE_VIEWS);
    let counted = number(&server.address, "nbo_overload_refused_total{class=\"page\"} ").await;
    assert!(
        (counted - excess as f64).abs() < 0.5,
        "{counted} counted, {excess} refused"
    );
    let after = number(&server.address, "nbo_resident_bytes ").await;
    assert!(after - before < GROWTH_MAX_BYTES, "{before} -> {after}");
    server.serves().await;
    let Flooded { program, .. } = server;
    program.stop().await;
}

/// Asks by JSON over HTTP/2, and returns the status, when to try again, and the body.
async fn ask_by_json(mut channel: Channel) -> (u16, Option<String>, String) {
    let body =
        r#"{"customer":{"id":"nobody"},"channel":"web","placements":[{"placement":"list","count":3}],"preview":true}"#;
    let request = Request::post("/nbo.v1.DecisionService/GetOffers")
        .header(header::CONTENT_TYPE, "application/json")
        .body(tonic::body::Body::new(Body::from(body)))
        .unwrap();
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let (parts, body) = channel.call(request).await.unwrap().into_parts();
    let body = to_bytes(Body::new(body), 1024 * 1024).await.unwrap();
    let retry_after = parts.headers.get(header::RETRY_AFTER);
    (
        parts.status.as_u16(),
        retry_after.map(|value| value.to_str().unwrap().to_owned()),
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn a_page_that_speaks_json_is_told_in_its_own_words_when_to_try_again() {
    let server = Flooded::start(&["--waiting-calls", "16"]).await;
    let mut callers = JoinSet::new();
    for number in 0..CONNECTIONS * CALLS_PER_CONNECTION {
        let channel = server.channels[number % CONNECTIONS].clone();
        callers.spawn(ask_by_json(channel));
    }
    let mut excess = 0;
    while let Some(answer) = callers.join_next().await {
        let (status, retry_after, body) = answer.unwrap();
        if status == 429 {
            assert_eq!(retry_after.as_deref(), Some("1"), "{body}");
            assert!(body.contains("google.rpc.RetryInfo"), "{body}");
            excess += 1;
        } else {
            assert!(status == 200 && body.contains("offerId"), "{status}: {body}");
        }
    }
    assert!(excess > 0, "nobody was refused");
    server.serves().await;
    let Flooded { program, .. } = server;
    program.stop().await;
}
