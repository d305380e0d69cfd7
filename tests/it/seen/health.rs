//! `GET /healthz` and `GET /readyz`.

use nbo::server::wire;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::get;
use crate::served::{Served, hero};

#[tokio::test]
async fn a_server_that_takes_calls_is_alive_and_ready() {
    let served = Served::start().await;
    assert_eq!(get(&served, "/healthz").await.unwrap(), (200, "alive\n".to_owned()));
    assert_eq!(get(&served, "/readyz").await.unwrap(), (200, "ready\n".to_owned()));
}

#[tokio::test]
async fn readiness_is_what_the_health_service_says() {
    let served = Served::start().await;
    let mut health = HealthClient::new(served.channel());
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let request = wire::WatchOffersRequest {
        customer: hero("anna").customer,
        channel: "web".to_owned(),
        placements: hero("anna").placements,
        ..Default::default()
    };
    let mut lists = served.decisions().watch_offers(request).await.unwrap().into_inner();
    lists.message().await.unwrap();
    let address = served.address.clone();
    let stopping = served.stop();
    // The listener is closed: whoever asks anew is told so by the system.
    stopping.await.unwrap();
    assert!(
        tokio::net::TcpStream::connect(address.trim_start_matches("http://"))
            .await
            .is_err()
    );
    assert_eq!(lists.message().await.unwrap_err().code(), tonic::Code::Unavailable);
}
