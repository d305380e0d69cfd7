//! The contract over HTTP, asked by an ordinary client over a real connection.

mod browsers;
mod errors;
mod json;
mod streams;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::served::Served;

/// Asks for three offers, as a page does.
const HERO: &str =
    r#"{"customer": {"id": "anna"}, "channel": "web", "placements": [{"placement": "home_hero", "count": 3}]}"#;

/// The address of offers.
const GET_OFFERS: &str = "/nbo.v1.DecisionService/GetOffers";

/// An answer over HTTP.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code and the message of a refusal.
    fn refusal(&self) -> (u16, i64, String) {
        let json = self.json();
        let message = json["message"].as_str().unwrap().to_owned();
        (self.status.as_u16(), json["code"].as_i64().unwrap(), message)
    }
}

/// A client over HTTP.
struct Web {
    client: Client<HttpConnector, Body>,
    address: String,
}

impl Web {
    /// A client that speaks HTTP/1.1, as curl and pages without TLS do.
    fn of(served: &Served) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            address: served.address.clone(),
        }
    }

    /// A client that speaks HTTP/2 from the first byte.
    fn http2_of(served: &Served) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).http2_only(true).build_http(),
            address: served.address.clone(),
        }
    }

    fn uri(&self, path: &str) -> Uri {
        format!("{}{path}", self.address).parse().unwrap()
    }

    /// Sends a request, and takes its whole answer in.
    async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(Body::new(body), usize::MAX).await.unwrap().into(),
        }
    }

    async fn post(&self, path: &str, json: impl Into<Body>) -> Answer {
        let request = Request::post(self.uri(path)).header("content-type", "application/json");
        self.send(request.body(json.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(self.uri(path)).body(Body::empty()).unwrap())
            .await
    }
}

/// The offers of the first placement of an answer in JSON, best first.
fn ids(answer: &Value) -> Vec<&str> {
    let offers = answer["placements"][0]["offers"].as_array().unwrap();
    offers.iter().map(|offer| offer["offerId"].as_str().unwrap()).collect()
}
