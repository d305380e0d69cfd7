//! Servers are told to stop while they are called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nbo::server::wire::decision_service_client::DecisionServiceClient;
use tokio::net::TcpListener;
use tokio::time::{Instant, interval};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{get, page_view};
use crate::kills::Place;
use crate::kills::program::{Program, READY_WITHIN};

/// For how long a call is repeated: much longer than a server is away while the other one is there.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a caller waits before it repeats a call.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it is looked what has become of a server.
const LOOKED_EVERY: Duration = Duration::from_millis(5);

/// Finds an address that nobody uses now, and no other test will: the whole of 127.0.0.0/8 is this machine on Linux.
async fn free_address() -> String {
    let host = if cfg!(target_os = "linux") {
        "127.0.0.77:0"
    } else {
        "127.0.0.1:0"
    };
    let listener = TcpListener::bind(host).await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Tells whether no server answered: it says so itself, or its connection ended, which tonic tells by several codes where other
/// clients say `UNAVAILABLE`.
fn is_unavailable(status: &Status) -> bool {
    let source = std::error::Error::source(status);
    status.code() == Code::Unavailable || source.is_some_and(<dyn std::error::Error>::is::<tonic::transport::Error>)
}

/// Makes one call, and the same again as long as no server is there for it; with its request id it reserves once.
async fn call(decisions: &mut DecisionServiceClient<Channel>, id: u64, repeated: &AtomicU64) {
    let begun = Instant::now();
    let mut pause = interval(PAUSE);
    let mut request = page_view(&format!("customer-{id}"), false);
    request.request_id = format!("call-{id}");
    loop {
        match decisions.get_offers(request.clone()).await {
            Ok(answer) => {
                assert!(!answer.get_ref().decision_id.is_empty());
                return;
            }
            Err(status) if is_unavailable(&status) && begun.elapsed() < PATIENCE => {
                repeated.fetch_add(1, Ordering::Relaxed);
                pause.tick().await;
            }
            Err(status) => panic!("call {id} is lost: {status:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_two_servers_are_restarted_one_after_the_other_no_call_is_lost() {
    let mut servers = Vec::new();
    for _ in 0..2 {
        let (place, address) = (Place::new(), free_address().await);
        let mut program = start(&place, &address);
        program.ready().await;
        servers.push((place, address, program));
    }
    let endpoints = servers
        .iter()
        .map(|(_, address, _)| Endpoint::from_shared(format!("http://{address}")).unwrap());
    let balanced = Channel::balance_list(endpoints.collect::<Vec<_>>().into_iter());
    let (ended, made, repeated) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let mut decisions = DecisionServiceClient::new(balanced.clone());
            let (ended, made, repeated) = (Arc::clone(&ended), Arc::clone(&made), Arc::clone(&repeated));
            tokio::spawn(async move {
                while !ended.load(Ordering::Relaxed) {
                    let id = made.fetch_add(1, Ordering::Relaxed);
                    call(&mut decisions, id, &repeated).await;
                }
            })
        })
        .collect();
    let (mut restarted, mut looks) = (Vec::new(), interval(LOOKED_EVERY));
    for (place, address, program) in servers {
        let before = made.load(Ordering::Relaxed);
        // Under load, before and after.
        while made.load(Ordering::Relaxed) < before + 200 {
            looks.tick().await;
        }
        program.stop().await;
        let mut program = start(&place, &address);
        program.ready().await;
        assert!(program.said().contains("0 records behind it"), "{}", program.said());
        restarted.push((place, program));
    }
    ended.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    println!(
        "{} calls, {} repeated",
        made.load(Ordering::Relaxed),
        repeated.load(Ordering::Relaxed)
    );
    for (_, program) in restarted {
        program.stop().await;
    }
}

fn start(place: &Place, address: &str) -> Program {
    Program::start_at(place.path(), address, "process", None, &[])
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_says_so_and_goes_on_for_a_while_and_a_second_word_ends_it_at_once() {
    let place = Place::new();
    let options = ["--drain-delay", "10m", "--grace", "10m"];
    let mut program = Program::start_at(place.path(), "127.0.0.1:0", "process", None, &options);
    let (address, _) = program.ready().await;
    let channel = Program::connect(&address).await.unwrap();
    let (mut decisions, mut health) = (
        DecisionServiceClient::new(channel.clone()),
        HealthClient::new(channel.clone()),
    );
    decisions.get_offers(page_view("anna", false)).await.unwrap();
    assert!(get(&address, "/readyz").await.starts_with("HTTP/1.1 200"));

    program.ask_to_stop();
    let mut looks = interval(LOOKED_EVERY);
    while !get(&address, "/readyz").await.starts_with("HTTP/1.1 503") {
        looks.tick().await;
    }
    assert!(get(&address, "/readyz").await.ends_with("shutting down\n"));
    let checked = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(checked.get_ref().status(), ServingStatus::NotServing);
    // Who has not noticed yet is served as ever, over old connections and new ones.
    decisions.get_offers(page_view("berta", false)).await.unwrap();
    let mut newcomer = DecisionServiceClient::new(Program::connect(&address).await.unwrap());
    newcomer.get_offers(page_view("carla", false)).await.unwrap();

    program.ask_to_stop();
    let status = program.ended(READY_WITHIN).await.expect("it stops at once");
    assert!(status.success(), "{status}");
    assert!(
        program.said().contains("3 customers in a checkpoint"),
        "{}",
        program.said()
    );
}
