//! What is refused over HTTP, and how.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::Request;
use nbo::server::limits::{CAMPAIGN_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX};
use tokio_stream::{iter, pending};

use super::{GET_OFFERS, HERO, Web};
use crate::served::{Served, hero, placement};

#[tokio::test]
async fn wrong_fields_are_named_in_json_as_they_are_in_grpc() {
    let served = Served::start().await;
    let web = Web::of(&served);
    let mut request = hero("anna");
    "wbe".clone_into(&mut request.channel);
    request.placements = vec![placement("home_hero", 30)];
    let by_grpc = served.decisions().get_offers(request).await.unwrap_err();
    let asked = HERO
        .replace("\"web\"", "\"wbe\"")
        .replace("\"count\": 3", "\"count\": 30");
    let answer = web.post(GET_OFFERS, asked).await;
    let (http, code, message) = answer.refusal();
    assert_eq!((http, code), (400, 3));
    assert_eq!(message, by_grpc.message());
    let details = &answer.json()["details"][0];
    assert_eq!(details["@type"], "type.googleapis.com/google.rpc.BadRequest");
    let violations = details["fieldViolations"].as_array().unwrap();
    let fields: Vec<&str> = violations.iter().map(|each| each["field"].as_str().unwrap()).collect();
    assert_eq!(fields[0], "channel");
    assert!(
        violations[0]["description"]
            .as_str()
            .unwrap()
            .contains("did you mean `web`?")
    );

    let answer = web.post(GET_OFFERS, HERO.replace("\"channel\"", "\"chanel\"")).await;
    let (http, code, message) = answer.refusal();
    assert_eq!((http, code), (400, 3));
    assert!(
        message.starts_with("chanel: is not known; did you mean `channel`? (line 1 column"),
        "{message}"
    );
    assert_eq!(answer.json()["details"][0]["fieldViolations"][0]["field"], "chanel");
}

#[tokio::test]
async fn a_list_of_more_items_than_any_call_has_is_refused_with_its_field_and_place() {
    let served = Served::start().await;
    let web = Web::of(&served);
    let events = |count: usize| {
        format!(
            "{{\"customer\": {{\"id\": \"anna\"}},\n\"events\": [{}]}}",
            vec!["{}"; count].join(",")
        )
    };
    let record = "/nbo.v1.BehaviourService/RecordEvents";
    let (http, code, message) = web.post(record, events(300_000)).await.refusal();
    assert_eq!((http, code), (400, 3));
    assert_eq!(
        message,
        "events: has more than 1000 items, the most that is read (line 2 column 3012)"
    );
    let answer = web.post(record, events(300_000)).await.json();
    assert_eq!(answer["details"][0]["fieldViolations"][0]["field"], "events");
    // A few too many are told with whatever else is wrong.
    let (http, _, message) = web.post(record, events(101)).await.refusal();
    assert_eq!(http, 400);
    assert!(message.contains("101") && message.contains("100"), "{message}");
}

#[tokio::test]
async fn each_code_has_its_http_status() {
    let served = Served::start().await;
    let web = Web::of(&served);
    let profile = "/nbo.v1.ProfileService/GetProfile";
    let (http, code, message) = web
        .post(profile, "{\"customer\": {\"id\": \"nobody\"}}")
        .await
        .refusal();
    assert_eq!((http, code), (404, 5));
    assert!(message.contains("nobody"), "{message}");
    let replay = "/nbo.v1.DecisionService/ReplayDecision";
    let id = "0".repeat(40);
    let (http, _, _) = web
        .post(replay, format!("{{\"decisionId\": \"{id}\"}}"))
        .await
        .refusal();
    assert!(http == 400 || http == 404, "{http}");
    for by_stream in [
        "DecisionService/GetOffersStream",
        "BehaviourService/RecordEventsStream",
        "ProfileService/ImportProfiles",
    ] {
        let (http, code, message) = web.post(&format!("/nbo.v1.{by_stream}"), "{}").await.refusal();
        assert_eq!((http, code), (501, 12));
        assert!(
            message.contains("takes a stream of messages, which only gRPC has"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn what_is_no_call_is_told_what_would_be() {
    let served = Served::start().await;
    let web = Web::of(&served);
    for path in [
        "/nbo.v1.DecisionService/GetOfers",
        "/nbo.v1.Nothing/GetOffers",
        "/nbo.v1.",
        "/nowhere",
    ] {
        let (http, code, message) = web.post(path, "{}").await.refusal();
        assert_eq!((http, code), (404, 5), "{path}");
        assert!(message.contains(path) && message.contains("/openapi.json"), "{message}");
    }
    for verb in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let request = Request::builder().method(verb).uri(web.uri(GET_OFFERS));
        let answer = web.send(request.body(Body::empty()).unwrap()).await;
        let (http, code, message) = answer.refusal();
        assert_eq!((http, code), (405, 12));
        assert_eq!(answer.headers["allow"], "POST");
        assert_eq!(message, format!("GetOffers is called by POST, not by {verb}"));
    }
    let (http, _, _) = web.post("/openapi.json", "{}").await.refusal();
    assert_eq!(http, 405);
}

#[tokio::test]
async fn only_what_says_it_is_json_is_read() {
    let served = Served::start().await;
    let web = Web::of(&served);
    let send = async |kind: Option<&str>| {
        let mut request = Request::post(web.uri("/nbo.v1.OperationsService/GetStatus"));
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        web.send(request.body(Body::from("{}")).unwrap()).await
    };
    for right in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
    ] {
        assert_eq!(send(Some(right)).await.status, 200, "{right}");
    }
    for wrong in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=latin1",
        "application/proto",
    ] {
        let (http, code, message) = send(Some(wrong)).await.refusal();
        assert_eq!((http, code), (415, 3));
        assert!(
            message.contains(wrong) && message.contains("application/json"),
            "{message}"
        );
    }
    let packed = Request::post(web.uri(GET_OFFERS))
        .header("content-type", "application/json")
        .header("content-encoding", "gzip");
    let (http, _, message) = web.send(packed.body(Body::from(HERO)).unwrap()).await.refusal();
    assert_eq!(http, 415);
    assert!(message.contains("content-encoding: gzip"), "{message}");
    let (http, _, message) = send(None).await.refusal();
    assert_eq!(http, 415);
    assert!(message.contains("has no type"), "{message}");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_told_why() {
    let served = Served::start().await;
    let web = Web::of(&served);
    let deep = "{\"customer\":".repeat(80_000);
    for (body, says) in [
        (&b""[..], "the body is empty"),
        (
            b"{\"channel\": ",
            "the body is not JSON: EOF while parsing a value at line 1 column 12",
        ),
        (b"{\"channel\": \"\xff\"}", "the body is not UTF-8 from byte 13 on"),
        (
            b"null",
            "the body: invalid type: null, expected struct nbo.v1.GetOffersRequest",
        ),
        (b"[1, 2]", "the body: invalid type: sequence"),
        (deep.as_bytes(), "customer"),
    ] {
        let (http, code, message) = web.post(GET_OFFERS, body.to_vec()).await.refusal();
        assert_eq!((http, code), (400, 3), "{message}");
        assert!(message.contains(says), "`{says}` is not in: {message}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_taken_whether_or_not_it_says_so() {
    let served = Served::start().await;
    let web = Web::http2_of(&served);
    let spaces = |bytes: usize| " ".repeat(bytes) + HERO;
    let (http, code, message) = web.post(GET_OFFERS, spaces(MESSAGE_BYTES_MAX)).await.refusal();
    assert_eq!((http, code), (413, 11));
    assert!(message.contains(&MESSAGE_BYTES_MAX.to_string()), "{message}");
    let part = " ".repeat(1 << 20);
    let parts = iter((0..8).map(move |_| Ok::<_, Infallible>(part.clone())));
    assert_eq!(web.post(GET_OFFERS, Body::from_stream(parts)).await.status, 413);
    let fits = spaces(MESSAGE_BYTES_MAX - HERO.len());
    assert_eq!(web.post(GET_OFFERS, fits.clone()).await.status, 200);
    // A campaign's list of customers may be longer.
    let campaign = "/nbo.v1.CampaignService/RankCustomers";
    assert_eq!(web.post(campaign, fits + " ").await.status, 400);
    let never = Body::from_stream(pending::<Result<&str, Infallible>>());
    let request = Request::post(web.uri(campaign))
        .header("content-type", "application/json")
        .header("content-length", CAMPAIGN_MESSAGE_BYTES_MAX + 1);
    assert_eq!(web.send(request.body(never).unwrap()).await.status, 413);
}

#[tokio::test]
async fn who_waits_no_longer_is_told_so_in_json() {
    let served = Served::start().await;
    let web = Web::of(&served);
    let never = Body::from_stream(pending::<Result<&str, Infallible>>());
    let request = Request::post(web.uri(GET_OFFERS))
        .header("content-type", "application/json")
        .header("grpc-timeout", "20m");
    let (http, code, _) = web.send(request.body(never).unwrap()).await.refusal();
    assert_eq!((http, code), (504, 4));
}
