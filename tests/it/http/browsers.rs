//! What browsers need: to be allowed to call from another origin, and gRPC-Web.

use axum::body::Body;
use axum::http::Request;
use nbo::server::http::CorsOrigin;
use nbo::server::wire;
use prost::Message as _;

use super::{Answer, GET_OFFERS, HERO, Web};
use crate::served::{CORNER_BANK, Served, hero, ids};

const SHOP: &str = "https://www.bank.example";

async fn served(origins: &[&str]) -> (Served, Web) {
    let origins: Vec<CorsOrigin> = origins.iter().map(|origin| origin.parse().unwrap()).collect();
    let served = Served::start_as(CORNER_BANK, |server| server.with_cors_origins(origins)).await;
    served.begin("anna").await;
    let web = Web::of(&served);
    (served, web)
}

async fn preflight(web: &Web, origin: &str) -> Answer {
    let request = Request::options(web.uri(GET_OFFERS))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type,x-grpc-web",
        );
    web.send(request.body(Body::empty()).unwrap()).await
}

async fn ask_from(web: &Web, origin: &str) -> Answer {
    let request = Request::post(web.uri(GET_OFFERS))
        .header("origin", origin)
        .header("content-type", "application/json");
    web.send(request.body(Body::from(HERO)).unwrap()).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn pages_of_the_named_origins_may_call_and_no_others() {
    let (_served, web) = served(&[SHOP, "http://localhost:3000"]).await;
    for origin in [SHOP, "http://localhost:3000"] {
        let allowed = preflight(&web, origin).await;
        assert_eq!(allowed.status, 200);
        assert_eq!(header(&allowed, "access-control-allow-origin"), origin);
        assert_eq!(header(&allowed, "access-control-allow-methods"), "GET,POST");
        for sent in ["authorization", "content-type", "x-grpc-web"] {
            assert!(
                header(&allowed, "access-control-allow-headers").contains(sent),
                "{sent}"
            );
        }
        let answer = ask_from(&web, origin).await;
        assert_eq!(answer.status, 200);
        assert_eq!(header(&answer, "access-control-allow-origin"), origin);
        assert!(header(&answer, "access-control-expose-headers").contains("grpc-status"));
        assert_eq!(header(&answer, "access-control-allow-credentials"), "");
    }
    for other in ["https://evil.example", "https://www.bank.example.evil.example", "null"] {
        assert_eq!(header(&preflight(&web, other).await, "access-control-allow-origin"), "");
        assert_eq!(header(&ask_from(&web, other).await, "access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn without_configuration_no_page_of_another_origin_may_call_and_with_a_star_every_one() {
    let (_served, web) = served(&[]).await;
    let refused = preflight(&web, SHOP).await;
    assert_eq!(refused.status, 405);
    assert_eq!(header(&refused, "access-control-allow-origin"), "");
    let (_served, web) = served(&["*"]).await;
    assert_eq!(header(&preflight(&web, SHOP).await, "access-control-allow-origin"), "*");
    assert_eq!(header(&ask_from(&web, SHOP).await, "access-control-allow-origin"), "*");
}

/// Puts a message into a frame of gRPC-Web.
fn framed(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &message].concat()
}

/// Takes the frames of an answer apart: the messages, and the trailers.
fn frames(mut body: &[u8]) -> (Vec<Vec<u8>>, String) {
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while let [kind, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (frame, after) = rest.split_at(length);
        match kind {
            0 => messages.push(frame.to_vec()),
            0x80 => trailers = String::from_utf8(frame.to_vec()).unwrap(),
            other => panic!("{other} is no kind of frame"),
        }
        body = after;
    }
    (messages, trailers)
}

async fn ask_grpc_web(web: &Web, request: &wire::GetOffersRequest) -> Answer {
    let asked = Request::post(web.uri(GET_OFFERS))
        .header("origin", SHOP)
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1");
    web.send(asked.body(Body::from(framed(request))).unwrap()).await
}

#[tokio::test]
async fn a_browser_calls_by_grpc_web_over_http_1() {
    let (_served, web) = served(&[SHOP]).await;
    let answer = ask_grpc_web(&web, &hero("anna")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(header(&answer, "content-type"), "application/grpc-web+proto");
    assert_eq!(header(&answer, "access-control-allow-origin"), SHOP);
    let (messages, trailers) = frames(&answer.body);
    let offers = wire::GetOffersResponse::decode(&*messages[0]).unwrap();
    assert_eq!(ids(&offers), ["savings_easy", "fund_world", "travel_insurance"]);
    assert!(trailers.contains("grpc-status:0"), "{trailers}");

    let wrong = wire::GetOffersRequest {
        channel: "wbe".to_owned(),
        ..hero("anna")
    };
    let answer = ask_grpc_web(&web, &wrong).await;
    let said = format!("{}{}", header(&answer, "grpc-status"), frames(&answer.body).1);
    assert!(said.contains('3'), "{said}");
}
