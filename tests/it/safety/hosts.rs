//! By which names a server may be called: a page must not reach one on loopback by a name of its own that leads there.

use nbo::server::doors::Doors;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Endpoint;

use super::{Guarded, Secrets, listener};
use crate::served::hero;

const GET_OFFERS: &str = "/nbo.v1.DecisionService/GetOffers";
/// What a page of somebody else says whose name was made to lead to 127.0.0.1.
const EVIL: &str = "evil.example:50051";
/// The name that a proxy in front passes on.
const OWN: &str = "offers.bank.example";

/// Sends a request by HTTP/1, and returns all that is answered.
async fn ask(served: &Guarded, host: &str, line: &str, kind: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(served.socket()).await.unwrap();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

/// Asks for offers in JSON, and returns the status line with all behind it.
async fn offers(served: &Guarded, host: &str) -> String {
    let body =
        r#"{"customer": {"id": "anna"}, "channel": "web", "placements": [{"placement": "home_hero", "count": 1}]}"#;
    ask(served, host, &format!("POST {GET_OFFERS}"), "application/json", body).await
}

/// Asks for offers by gRPC, as a client that calls the server by this name.
async fn offers_by_grpc(served: &Guarded, authority: &str) -> Code {
    let endpoint = Endpoint::from_shared(served.address.clone()).unwrap();
    let endpoint = endpoint.origin(format!("http://{authority}").parse().unwrap());
    let mut decisions = DecisionServiceClient::new(endpoint.connect().await.unwrap());
    let answer = decisions.get_offers(hero("anna")).await;
    answer.err().map_or(Code::Ok, |status| status.code())
}

async fn named(hosts: &[&str]) -> Guarded {
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Guarded::start(|doors| Doors { hosts, ..doors }).await
}

#[tokio::test]
async fn a_page_whose_name_leads_to_loopback_is_refused_whatever_it_speaks_and_told_what_would_let_it_in() {
    let served = named(&[]).await;
    let watch = "GET /nbo.v1.DecisionService/WatchOffers?request=%7B%7D";
    let post = format!("POST {GET_OFFERS}");
    for (line, kind) in [
        (post.as_str(), "application/json"),
        (watch, "text/plain"),
        ("GET /metrics", "text/plain"),
        ("GET /openapi.json", "text/plain"),
        ("GET /nowhere", "text/plain"),
    ] {
        let said = ask(&served, EVIL, line, kind, "{}").await;
        assert!(said.starts_with("HTTP/1.1 403"), "{line}: {said}");
        assert!(said.contains("`evil.example` is no name of this server"), "{said}");
        assert!(said.contains("--host evil.example"), "{said}");
    }
    let web = ask(&served, EVIL, &post, "application/grpc-web+proto", "").await;
    assert!(web.contains("grpc-status: 7"), "{web}");
    assert_eq!(offers_by_grpc(&served, EVIL).await, Code::PermissionDenied);
    // Yes or no is told to everybody: probes come by whatever name.
    let health = ask(&served, EVIL, "GET /readyz", "text/plain", "").await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    served.stop().await;
}

#[tokio::test]
async fn whoever_calls_it_by_loopback_or_by_a_name_that_is_given_is_answered() {
    let served = named(&[OWN]).await;
    for host in [
        "localhost:50051",
        "127.0.0.1:50051",
        "[::1]",
        OWN,
        "Offers.Bank.example:443",
    ] {
        let said = offers(&served, host).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{host}: {said}");
        assert_eq!(offers_by_grpc(&served, host).await, Code::Ok, "{host}");
    }
    assert!(offers(&served, EVIL).await.starts_with("HTTP/1.1 403"));
    served.stop().await;
}

#[tokio::test]
async fn where_callers_are_known_any_name_will_do_and_administration_on_loopback_is_looked_at_as_well() {
    let secrets = Secrets::new();
    let [_] = secrets.tokens(["offers"]);
    let access = secrets.access();
    for hosts in [Vec::new(), vec![OWN.parse().unwrap()]] {
        let access = access.clone();
        let served = Guarded::start(|doors| Doors { access, hosts, ..doors }).await;
        let said = offers(&served, EVIL).await;
        assert!(said.starts_with("HTTP/1.1 401"), "{said}");
        served.stop().await;
    }
    let admin = Some(listener().await);
    let mut served = Guarded::start(|doors| Doors { admin, ..doors }).await;
    served.address = served.admin.clone().unwrap();
    assert!(offers(&served, EVIL).await.starts_with("HTTP/1.1 403"));
    served.stop().await;
}
