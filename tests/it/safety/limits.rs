//! Limits in time and number: slow, silent and many callers cost the server little.

use std::time::Duration;

use nbo::server::client::Connection;
use nbo::server::doors::Doors;
use nbo::server::limits::{Bounds, HEALTH_WATCHERS_PER_ADDRESS_MAX};
use nbo::server::tls::{self, Files};
use nbo::server::wire::behaviour_service_client::BehaviourServiceClient;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::{self, WatchOffersRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;

use super::{Authority, Guarded, Secrets, call, code, listener, with_token};
use crate::served::{customer, hero, search};

const SHORT: Duration = Duration::from_millis(300);
/// Long enough for a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the server has closed a connection, and returns what it sent before.
async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut sent = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut sent)).await;
    // A reset is an end as well.
    let _ = read.expect("the connection is still open");
    sent
}

async fn with_bounds(bounds: Bounds) -> Guarded {
    Guarded::start(|doors| Doors { bounds, ..doors }).await
}

/// Passes one connection on to a server; the result is done when the server has ended it.
async fn passage(to: &str) -> (String, JoinHandle<()>) {
    let (listener, to) = (listener().await, to.to_owned());
    let address = format!("http://{}", listener.local_addr().unwrap());
    let passing = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(to).await.unwrap();
        let _ = copy_bidirectional(&mut near, &mut far).await;
    });
    (address, passing)
}

#[tokio::test]
async fn a_caller_that_does_not_finish_its_handshake_is_cut_off() {
    let (secrets, authority) = (Secrets::new(), Authority::new());
    let (certificate, key) = authority.issue("localhost");
    let files = Files {
        certificate: secrets.write("cert.pem", &certificate),
        key: secrets.write("key.pem", &key),
        client_authorities: None,
    };
    let served = Guarded::start(|doors| Doors {
        tls: Some(tls::open(&files).unwrap()),
        bounds: Bounds {
            handshake: SHORT,
            ..Bounds::default()
        },
        ..doors
    })
    .await;
    for begun in [&b""[..], &[0x16, 0x03, 0x01]] {
        let mut stream = TcpStream::connect(served.socket()).await.unwrap();
        stream.write_all(begun).await.unwrap();
        closed(stream).await;
    }
    served.stop().await;
}

#[tokio::test]
async fn a_connection_that_never_asks_for_anything_is_closed_whatever_it_speaks() {
    let served = with_bounds(Bounds {
        headers: SHORT,
        ..Bounds::default()
    })
    .await;
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for begun in [&b""[..], b"P", b"POST / HTTP/1.1\r\nhost: nbo\r\n", settings] {
        let mut stream = TcpStream::connect(served.socket()).await.unwrap();
        stream.write_all(begun).await.unwrap();
        closed(stream).await;
    }
    served.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_call_is_closed_in_order_and_a_watcher_lives_on() {
    let served = with_bounds(Bounds {
        idle: SHORT,
        ..Bounds::default()
    })
    .await;
    let (address, idle) = passage(served.socket()).await;
    let caller = with_token(None).connect(&address).await.unwrap();
    assert_eq!(code(call(&caller, "/grpc.health.v1.Health/Check").await), Code::Ok);

    let request = hero("anna");
    let mut watched = DecisionServiceClient::new(served.connect(None).await)
        .watch_offers(WatchOffersRequest {
            customer: request.customer,
            channel: request.channel,
            placements: request.placements,
            ..WatchOffersRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    watched.message().await.unwrap().unwrap();
    timeout(PATIENCE, idle)
        .await
        .expect("the idle connection is still open")
        .unwrap();

    // The watcher has been without a message for as long, and hears of the next change.
    let next = timeout(SHORT * 2, watched.message()).await;
    assert!(next.is_err(), "the watcher was told something: {next:?}");
    let events = wire::RecordEventsRequest {
        customer: Some(customer("anna")),
        events: vec![search("e1", "fund")],
        offers: None,
    };
    let mut behaviour = BehaviourServiceClient::new(served.connect(None).await);
    behaviour.record_events(events).await.unwrap();
    let list = timeout(PATIENCE, watched.message()).await.unwrap().unwrap();
    assert!(list.is_some());
    drop(watched);
    served.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_closed_after_its_calls_or_its_grace() {
    let served = with_bounds(Bounds {
        age: Some(SHORT),
        age_grace: SHORT,
        ..Bounds::default()
    })
    .await;
    let (address, passing) = passage(served.socket()).await;
    let caller = with_token(None).connect(&address).await.unwrap();
    let mut watching = Grpc::new(caller);
    watching.ready().await.unwrap();
    let path = "/grpc.health.v1.Health/Watch".parse().unwrap();
    let answers = watching
        .streaming(
            Request::new(tokio_stream::once(())),
            path,
            ProstCodec::<(), ()>::default(),
        )
        .await
        .unwrap();
    let mut answers = answers.into_inner();
    answers.message().await.unwrap().unwrap();
    timeout(PATIENCE, passing)
        .await
        .expect("the old connection is still open")
        .unwrap();
    assert!(answers.message().await.is_err(), "the call was cut");
    served.stop().await;
}

/// Begins to watch health, and waits for the first answer.
async fn watch_health(connection: &Connection) -> Result<Streaming<HealthCheckResponse>, Status> {
    let mut health = HealthClient::new(connection.clone());
    let mut answers = health.watch(HealthCheckRequest::default()).await?.into_inner();
    answers.message().await?;
    Ok(answers)
}

#[tokio::test]
async fn strangers_who_watch_health_have_few_places_and_keep_nobody_from_calling() {
    let served = with_bounds(Bounds::default()).await;
    let connection = served.connect(None).await;
    let others = served.connect(None).await;
    let mut watching = Vec::new();
    for at in 0..HEALTH_WATCHERS_PER_ADDRESS_MAX {
        let connection = if at % 2 == 0 { &connection } else { &others };
        watching.push(watch_health(connection).await.unwrap());
    }
    let refused = watch_health(&connection).await.unwrap_err();
    // By the health protocol a client goes on calling then, as if all were well.
    assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
    assert!(
        refused
            .message()
            .starts_with("256 watchers of health are there already"),
        "{refused}"
    );
    assert_eq!(code(call(&connection, "/grpc.health.v1.Health/Check").await), Code::Ok);
    let mut decisions = DecisionServiceClient::new(connection.clone());
    decisions.get_offers(hero("anna")).await.unwrap();
    // A place that is given back is free for the next.
    watching.pop();
    let again = async { while watch_health(&connection).await.is_err() {} };
    timeout(PATIENCE, again).await.expect("the place was never given back");
    drop(watching);
    served.stop().await;
}

#[tokio::test]
async fn one_address_cannot_take_more_places_than_it_may() {
    let served = with_bounds(Bounds {
        connections_per_address: 2,
        ..Bounds::default()
    })
    .await;
    let first = TcpStream::connect(served.socket()).await.unwrap();
    let second = served.connect(None).await;
    assert_eq!(code(call(&second, "/grpc.health.v1.Health/Check").await), Code::Ok);
    let third = TcpStream::connect(served.socket()).await.unwrap();
    assert_eq!(closed(third).await, b"");
    // A place that is given back is free for the next.
    drop(first);
    let again = async {
        loop {
            if let Ok(caller) = with_token(None).connect(&served.address).await
                && code(call(&caller, "/grpc.health.v1.Health/Check").await) == Code::Ok
            {
                break;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("the place was never given back");
    served.stop().await;
}

#[tokio::test]
async fn a_call_whose_body_never_ends_is_ended_and_a_stream_is_not() {
    let served = with_bounds(Bounds {
        request_time: SHORT,
        ..Bounds::default()
    })
    .await;
    let connection = served.connect(None).await;
    let never = |path: &'static str| {
        let mut grpc = Grpc::new(connection.clone());
        async move {
            grpc.ready().await.unwrap();
            let request = Request::new(tokio_stream::pending::<()>());
            let path = path.parse().unwrap();
            let answer = grpc
                .client_streaming(request, path, ProstCodec::<(), ()>::default())
                .await;
            answer.err().map(|status| status.code())
        }
    };
    let unary = timeout(PATIENCE, never("/nbo.v1.DecisionService/GetOffers")).await;
    assert_eq!(unary.unwrap(), Some(Code::DeadlineExceeded));
    let stream = timeout(SHORT * 2, never("/nbo.v1.BehaviourService/RecordEventsStream")).await;
    assert!(stream.is_err(), "a stream was ended: {stream:?}");
    served.stop().await;
}
