//! Roles: each can call exactly its methods, on the port they are served on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nbo::server::doors::Doors;
use nbo::server::renewed;
use nbo::server::wire::behaviour_service_client::BehaviourServiceClient;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::get_offers_stream_response::Result as StreamResult;
use nbo::server::wire::{self, GetOffersStreamRequest};
use nbo::telemetry::Meters;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Code;

use super::{Guarded, Secrets, call, code, is_let_in, listener, look_again};
use crate::served::{customer, hero, search};

/// What each role may call, written down here once more: the table of the server is what is judged.
const MAY: [(&str, &str); 6] = [
    (
        "offers",
        "DecisionService/GetOffers DecisionService/GetOffersStream DecisionService/WatchOffers ContactService/GetContactBudget",
    ),
    (
        "events",
        "BehaviourService/RecordEvents BehaviourService/RecordEventsStream BehaviourService/RecordOutcome \
         BehaviourService/RecordOutcomes BehaviourService/Cancel",
    ),
    (
        "profiles",
        "ProfileService/UpsertProfile ProfileService/GetProfile ProfileService/MergeCustomers \
         ProfileService/UnmergeCustomers ProfileService/ImportProfiles",
    ),
    (
        "catalog",
        "CatalogService/GetReloadStatus ContactService/ForecastLimits CampaignService/RankCustomers",
    ),
    (
        "erase",
        "ProfileService/DeleteProfile ProfileService/EraseCustomer ProfileService/ExportCustomer",
    ),
    (
        "operate",
        "OperationsService/GetStatus CatalogService/GetReloadStatus DecisionService/ReplayDecision ContactService/ExportContacts",
    ),
];

/// What everybody who is known may call.
const KNOWN: &str = "CatalogService/GetCatalog";

/// What only the port for administration serves, when there is one.
const ADMIN: &str = "ProfileService/ImportProfiles ProfileService/DeleteProfile ProfileService/EraseCustomer \
    ProfileService/ExportCustomer CatalogService/GetReloadStatus ContactService/ForecastLimits \
    ContactService/ExportContacts CampaignService/RankCustomers OperationsService/GetStatus DecisionService/ReplayDecision";

/// Every method of the contract, as in `DecisionService/GetOffers`.
fn methods() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(wire::DESCRIPTORS).unwrap().file;
    let services = files.iter().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| {
        let of = |method: &prost_types::MethodDescriptorProto| format!("{}/{}", service.name(), method.name());
        service.method.iter().map(of)
    });
    methods.collect()
}

fn lists(list: &str, method: &str) -> bool {
    list.split_whitespace().any(|listed| listed == method)
}

#[tokio::test]
async fn each_role_can_call_its_methods_and_no_other_and_nobody_can_call_any() {
    let methods = methods();
    let known: BTreeSet<_> = methods.iter().map(String::as_str).collect();
    let listed = MAY.iter().flat_map(|(_, list)| list.split_whitespace());
    assert_eq!(
        listed.chain([KNOWN]).collect::<BTreeSet<_>>(),
        known,
        "a method is in no list"
    );

    let secrets = Secrets::new();
    let tokens = secrets.tokens(MAY.map(|(role, _)| role));
    let served = Guarded::start(|doors| Doors {
        access: secrets.access(),
        ..doors
    })
    .await;
    let nobody = served.connect(None).await;
    for method in &methods {
        let found = code(call(&nobody, &format!("/nbo.v1.{method}")).await);
        assert_eq!(found, Code::Unauthenticated, "{method} without a token");
    }
    for ((role, list), token) in MAY.iter().zip(&tokens) {
        let caller = served.connect(Some(token)).await;
        for method in &methods {
            let found = code(call(&caller, &format!("/nbo.v1.{method}")).await);
            if lists(list, method) || method == KNOWN {
                assert!(is_let_in(found), "{role} may call {method}, but: {found:?}");
            } else {
                assert_eq!(found, Code::PermissionDenied, "{role} calls {method}");
            }
        }
    }
    served.stop().await;
}

#[tokio::test]
async fn health_is_open_the_contract_is_shown_to_the_known_and_nothing_else_exists() {
    let secrets = Secrets::new();
    let [token] = secrets.tokens(["erase"]);
    let served = Guarded::start(|doors| Doors {
        access: secrets.access(),
        ..doors
    })
    .await;
    let (nobody, known) = (served.connect(None).await, served.connect(Some(&token)).await);
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for (path, for_nobody, for_known) in [
        ("/grpc.health.v1.Health/Check", Code::Ok, Code::Ok),
        ("/grpc.health.v1.Health/Watch", Code::Ok, Code::Ok),
        (
            "/nbo.v1.ProfileService/NoSuchMethod",
            Code::Unauthenticated,
            Code::Unimplemented,
        ),
        (
            "/nbo.v1.ProfileService/Erase%43ustomer",
            Code::Unauthenticated,
            Code::Unimplemented,
        ),
        (
            "/nbo.v1.ProfileService/EraseCustomer/",
            Code::Unauthenticated,
            Code::Unimplemented,
        ),
    ] {
        assert_eq!(code(call(&nobody, path).await), for_nobody, "{path}");
        assert_eq!(code(call(&known, path).await), for_known, "{path}");
    }
    assert_eq!(code(call(&nobody, reflection).await), Code::Unauthenticated);
    assert!(is_let_in(code(call(&known, reflection).await)));
    served.stop().await;
}

#[tokio::test]
async fn the_public_port_refuses_administration_and_the_other_serves_everything() {
    let secrets = Secrets::new();
    let [all] = secrets.tokens(["offers,events,profiles,catalog,erase,operate"]);
    for is_known in [true, false] {
        let admin = listener().await;
        let served = Guarded::start(|doors| Doors {
            admin: Some(admin),
            access: if is_known { secrets.access() } else { doors.access },
            ..doors
        })
        .await;
        let token = is_known.then_some(all.as_str());
        let public = served.connect(token).await;
        let admin = super::with_token(token)
            .connect(served.admin.as_deref().unwrap())
            .await
            .unwrap();
        for method in methods() {
            let path = format!("/nbo.v1.{method}");
            let found = code(call(&public, &path).await);
            if lists(ADMIN, &method) {
                assert_eq!(found, Code::PermissionDenied, "{method} on the public port");
            } else {
                assert!(is_let_in(found), "{method} on the public port: {found:?}");
            }
            let found = code(call(&admin, &path).await);
            assert!(is_let_in(found), "{method} on the port for administration: {found:?}");
        }
        served.stop().await;
    }
}

#[tokio::test]
async fn a_call_within_a_call_takes_both_roles() {
    let secrets = Secrets::new();
    let [offers, events, both] = secrets.tokens(["offers", "events", "offers,events"]);
    let served = Guarded::start(|doors| Doors {
        access: secrets.access(),
        ..doors
    })
    .await;
    for (token, expected) in [(&offers, Code::PermissionDenied), (&both, Code::Ok)] {
        let mut client = DecisionServiceClient::new(served.connect(Some(token)).await);
        let mut request = hero("anna");
        request.events = vec![search("e1", "fund")];
        let answer = client.get_offers(request.clone()).await;
        assert_eq!(answer.err().map_or(Code::Ok, |status| status.code()), expected);
        let item = GetOffersStreamRequest {
            correlation_id: "1".to_owned(),
            request: Some(request),
        };
        let answers = client.get_offers_stream(tokio_stream::once(item)).await.unwrap();
        let answer = answers.into_inner().message().await.unwrap().unwrap();
        let found = match answer.result.unwrap() {
            StreamResult::Offers(_) => Code::Ok,
            StreamResult::Fault(fault) => Code::from(fault.code),
        };
        assert_eq!(found, expected);
        assert!(client.get_offers(hero("anna")).await.is_ok());
    }
    for (token, expected) in [(&events, Code::PermissionDenied), (&both, Code::Ok)] {
        let mut client = BehaviourServiceClient::new(served.connect(Some(token)).await);
        let request = wire::RecordEventsRequest {
            customer: Some(customer("bert")),
            events: vec![search("e1", "fund")],
            offers: Some(wire::GetOffersRequest {
                customer: None,
                ..hero("bert")
            }),
        };
        let answer = client.record_events(request.clone()).await;
        assert_eq!(answer.err().map_or(Code::Ok, |status| status.code()), expected);
        let request = wire::RecordEventsRequest {
            offers: None,
            ..request
        };
        assert!(client.record_events(request).await.is_ok());
    }
    served.stop().await;
}

#[tokio::test]
async fn a_token_that_was_taken_out_of_the_file_is_refused_from_the_next_call_on() {
    let secrets = Secrets::new();
    let [old] = secrets.tokens(["offers"]);
    let access = secrets.access();
    let served = Guarded::start(|doors| Doors {
        access: Arc::clone(&access),
        ..doors
    })
    .await;
    let path = "/nbo.v1.DecisionService/GetOffers";
    let caller = served.connect(Some(&old)).await;
    assert!(is_let_in(code(call(&caller, path).await)));
    let [new] = secrets.tokens(["offers"]);
    look_again(&access);
    assert_eq!(code(call(&caller, path).await), Code::Unauthenticated);
    assert!(is_let_in(code(call(&served.connect(Some(&new)).await, path).await)));

    secrets.write("tokens", "broken");
    look_again(&access);
    assert!(is_let_in(code(call(&served.connect(Some(&new)).await, path).await)));
    served.stop().await;
}

#[tokio::test]
async fn a_changed_file_is_picked_up_by_itself_and_when_somebody_asks() {
    let secrets = Secrets::new();
    let [_] = secrets.tokens(["offers"]);
    let access = secrets.access();
    let served = Guarded::start(|doors| Doors {
        access: Arc::clone(&access),
        ..doors
    })
    .await;
    let (asking, asked) = mpsc::channel(1);
    let meters = Arc::new(Meters::new(Vec::new()));
    let following = tokio::spawn(renewed::follow(access.renewed(), asked, Arc::clone(&meters)));
    for asks in [false, true] {
        let [new] = secrets.tokens(["offers"]);
        if asks {
            asking.send(()).await.unwrap();
        }
        let caller = served.connect(Some(&new)).await;
        let known = async {
            while !is_let_in(code(call(&caller, "/nbo.v1.DecisionService/GetOffers").await)) {
                tokio::task::yield_now().await;
            }
        };
        let picked_up = timeout(Duration::from_secs(20), known).await;
        picked_up.expect("the new token was never known");
    }
    following.abort();
    served.stop().await;
}

#[tokio::test]
async fn a_caller_that_speaks_plain_http_is_refused_in_its_own_words() {
    let secrets = Secrets::new();
    let [token] = secrets.tokens(["erase"]);
    let served = Guarded::start(|doors| Doors {
        access: secrets.access(),
        ..doors
    })
    .await;
    for (path, headers, expected) in [
        ("/nbo.v1.DecisionService/GetOffers", String::new(), "401 Unauthorized"),
        (
            "/nbo.v1.DecisionService/GetOffers",
            format!("authorization: Basic {token}\r\n"),
            "401 Unauthorized",
        ),
        (
            "/nbo.v1.DecisionService/GetOffers",
            format!("authorization: Bearer {token}\r\nauthorization: Bearer x\r\n"),
            "401 Unauthorized",
        ),
        (
            "/nbo.v1.DecisionService/GetOffers",
            format!("authorization: bearer {token}\r\n"),
            "403 Forbidden",
        ),
        (
            "/nowhere",
            format!("authorization: Bearer {token}\r\n"),
            "404 Not Found",
        ),
    ] {
        let mut stream = TcpStream::connect(served.socket()).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: nbo\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}content-length: 2\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with(&format!("HTTP/1.1 {expected}")), "{headers}: {said}");
        let body = said.split("\r\n\r\n").nth(1).unwrap();
        let status: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(status["code"].as_i64().unwrap() > 0 && !body.contains(&token), "{body}");
        assert_eq!(
            said.contains("www-authenticate: Bearer"),
            expected.starts_with("401"),
            "{said}"
        );
    }
    served.stop().await;
}
