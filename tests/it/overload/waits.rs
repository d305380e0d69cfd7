//! A page view that waits for too long is refused with a hint, long before there is no place left.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nbo::clock::Clock;
use nbo::domain::symbol::Symbols;
use nbo::domain::time::Timestamp;
use nbo::engine::{Active, Engine, Limits};
use nbo::server::Server;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::refused;
use crate::served::{CORNER_BANK, MORNING, catalog, hero};

/// More than the few that are never too many, and far fewer than there are places (a quarter of 16,384).
const CONNECTIONS: usize = 16;
const CALLS_PER_CONNECTION: usize = 50;

/// A clock that takes its time to be read, so that a decision takes that long: what comes meanwhile has to wait.
struct SlowClock;

impl SlowClock {
    const TAKES: Duration = Duration::from_millis(2);
}

impl Clock for SlowClock {
    fn now(&self) -> Timestamp {
        // Nobody wakes it before.
        thread::park_timeout(Self::TAKES);
        MORNING
    }
}

/// Serves on one thread of its own, until the result is dropped.
fn serve() -> (String, oneshot::Sender<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let active = Active::new(catalog(CORNER_BANK, &Symbols::default()), Vec::new());
            let server = Server::new(Arc::new(Engine::new(active, Limits::default())), Arc::new(SlowClock));
            let listener = TcpListener::from_std(listener).unwrap();
            let serving = server.serve(listener, async { drop(stopped.await) });
            serving.await.unwrap();
        });
    });
    (address, stop)
}

#[tokio::test]
async fn page_views_that_wait_for_too_long_are_refused_with_a_hint_while_there_are_places_and_health_is_answered() {
    let (address, _stop) = serve();
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let channel = Channel::from_shared(address.clone()).unwrap().connect().await.unwrap();
        for _ in 0..CALLS_PER_CONNECTION {
            let mut decisions = DecisionServiceClient::new(channel.clone());
            callers.spawn(async move { decisions.get_offers(hero("anna")).await });
        }
    }
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let health = HealthClient::new(channel.clone())
        .check(HealthCheckRequest::default())
        .await;
    let (mut answered, mut excess) = (0, 0);
    while let Some(answer) = callers.join_next().await {
        match answer.unwrap() {
            Ok(_) => answered += 1,
            Err(status) => {
                refused(&status);
                excess += 1;
            }
        }
    }
    health.unwrap();
    assert!(answered > 0 && excess > 0, "{answered} answered, {excess} refused");
    // Nobody waits any more, so there is no overload, however slow the clock is.
    DecisionServiceClient::new(channel)
        .get_offers(hero("anna"))
        .await
        .unwrap();
}
