//! Answers that come one after the other.

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;

use super::{Web, ids};
use crate::served::{Served, search};
use nbo::server::wire;

const WATCH_OFFERS: &str = "/nbo.v1.DecisionService/WatchOffers";

const AGENT_LIST: &str = r#"{"customer": {"id": "anna"}, "channel": "call_centre", "placements": [{"placement": "agent_list", "count": 3}]}"#;

/// One server-sent event.
#[derive(Debug, Default)]
struct Event {
    id: String,
    name: String,
    data: String,
}

impl Event {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// Reads server-sent events, as a browser does.
struct Events {
    headers: HeaderMap,
    parts: BodyDataStream,
    read: String,
}

impl Events {
    async fn of(web: &Web, request: Request<Body>) -> Self {
        let (parts, body) = web.client.request(request).await.unwrap().into_parts();
        assert_eq!(parts.status, 200);
        Self {
            headers: parts.headers,
            parts: Body::new(body).into_data_stream(),
            read: String::new(),
        }
    }

    /// Waits for the next event; none when the stream has ended in order.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(':') {
                        Some(("id", value)) => value.trim().clone_into(&mut event.id),
                        Some(("event", value)) => value.trim().clone_into(&mut event.name),
                        Some(("data", value)) => event.data.push_str(value.trim()),
                        Some(("retry" | "", _)) => {}
                        other => panic!("{other:?} is no line of an event"),
                    }
                }
                self.read = rest.to_owned();
                return Some(event);
            }
            let part = self.parts.next().await?.unwrap();
            self.read.push_str(std::str::from_utf8(&part).unwrap());
        }
    }
}

fn by_get(web: &Web) -> axum::http::request::Builder {
    let query: String = form_urlencoded::byte_serialize(AGENT_LIST.as_bytes()).collect();
    Request::get(web.uri(&format!("{WATCH_OFFERS}?request={query}")))
}

fn by_post(web: &Web) -> axum::http::request::Builder {
    Request::post(web.uri(WATCH_OFFERS)).header("content-type", "application/json")
}

#[tokio::test]
async fn a_page_sees_the_list_at_once_and_again_when_the_customer_does_something() {
    let served = Served::start().await;
    served.begin("anna").await;
    let web = Web::of(&served);
    let get = by_get(&web).header("last-event-id", "7").body(Body::empty()).unwrap();
    let post = by_post(&web)
        .header("accept", "text/event-stream")
        .body(Body::from(AGENT_LIST))
        .unwrap();
    let (mut get, mut post) = (Events::of(&web, get).await, Events::of(&web, post).await);
    assert_eq!(get.headers["content-type"], "text/event-stream");
    assert_eq!(get.headers["cache-control"], "no-cache");
    for (events, id) in [(&mut get, "8"), (&mut post, "1")] {
        let first = events.next().await.unwrap();
        assert_eq!((first.id.as_str(), first.name.as_str()), (id, ""));
        assert_eq!(first.json()["cause"], "WATCH_CAUSE_STARTED");
        assert_eq!(
            ids(&first.json()["offers"]),
            ["savings_easy", "fund_world", "travel_insurance"]
        );
    }
    let recorded = wire::RecordEventsRequest {
        customer: Some(crate::served::customer("anna")),
        events: vec![search("e1", "fund")],
        offers: None,
    };
    served.behaviour().record_events(recorded).await.unwrap();
    for (events, id) in [(&mut get, "9"), (&mut post, "2")] {
        let second = events.next().await.unwrap();
        assert_eq!(second.id, id);
        assert_eq!(second.json()["cause"], "WATCH_CAUSE_CUSTOMER_CHANGED");
        assert_eq!(
            ids(&second.json()["offers"]),
            ["fund_world", "savings_easy", "travel_insurance"]
        );
    }
    let serving = served.stop();
    for events in [&mut get, &mut post] {
        let last = events.next().await.unwrap();
        assert_eq!(last.name, "status");
        assert_eq!(last.json()["code"], 14);
        assert!(events.next().await.is_none(), "the stream ends in order");
    }
    drop((get, post, web));
    serving.await.unwrap();
}

#[tokio::test]
async fn a_wrong_question_is_refused_before_the_stream_begins() {
    let served = Served::start().await;
    let web = Web::of(&served);
    for (query, says) in [
        ("", "the query has no `request`"),
        ("?request=", "the body is empty"),
        (
            "?request=%7B%22chanel%22:1%7D",
            "chanel: is not known; did you mean `channel`?",
        ),
        ("?channel=web", "the query has `channel`; it takes one `request`"),
        ("?request=%7B%7D&request=%7B%7D", "it takes one `request`"),
        ("?request=%7B%7D", "customer"),
    ] {
        let answer = web.get(&format!("{WATCH_OFFERS}{query}")).await;
        let (http, code, message) = answer.refusal();
        assert_eq!((http, code), (400, 3), "{message}");
        assert!(message.contains(says), "`{says}` is not in: {message}");
    }
    let answer = web.get("/nbo.v1.CampaignService/RankCustomers?request=%7B%7D").await;
    assert_eq!(
        answer.status, 405,
        "what changes something is not called by an address alone"
    );
}

#[tokio::test]
async fn a_campaign_answers_a_document_a_line() {
    let served = Served::start().await;
    for id in ["anna", "ben", "clara"] {
        served.begin(id).await;
    }
    let web = Web::of(&served);
    let asked = r#"{"everyone": true, "channel": "web", "placement": {"placement": "home_hero", "count": 1}}"#;
    let answer = web.post("/nbo.v1.CampaignService/RankCustomers", asked).await;
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> = answer
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let customers = lines
        .iter()
        .filter_map(|line| line["result"]["customers"].as_array())
        .flatten();
    assert_eq!(customers.count(), 3);
    assert_eq!(lines.last().unwrap()["result"]["summary"]["customers"], json!("3"));
}

#[tokio::test]
async fn a_stream_of_lines_ends_with_the_reason_when_it_breaks_off() {
    let served = Served::start().await;
    served.begin("anna").await;
    let web = Web::of(&served);
    let request = by_post(&web).body(Body::from(AGENT_LIST)).unwrap();
    let response = web.client.request(request).await.unwrap();
    let mut parts = Body::new(response.into_body()).into_data_stream();
    let first: Value = serde_json::from_slice(&parts.next().await.unwrap().unwrap()).unwrap();
    assert_eq!(first["result"]["cause"], "WATCH_CAUSE_STARTED");
    let serving = served.stop();
    let last: Value = serde_json::from_slice(&parts.next().await.unwrap().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], 14);
    assert!(parts.next().await.is_none());
    drop((parts, web));
    serving.await.unwrap();
}
