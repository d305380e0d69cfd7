//! Calls by JSON over the connections that gRPC uses as well, so that nothing differs but the form.

use std::future::poll_fn;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode, header};
use tonic::Code;
use tower::Service as _;

use super::calls::{Answer, Failure, code_name};
use crate::server::client::{self, Connection};
use crate::server::wire;

/// The most bytes of an answer: what the server takes in a message, answers are far smaller.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Asks for a route that does nothing.
pub(super) async fn floor(connection: Connection) -> Result<Answer, Failure> {
    let answered = client::get(connection, "/").await;
    answered
        .map(|_| Answer::default())
        .map_err(|error| failure("no answer", &error))
}

/// Asks for offers.
pub(super) async fn offers(connection: Connection, request: &wire::GetOffersRequest) -> Result<Answer, Failure> {
    let json = serde_json::to_vec(request).map_err(|error| failure("no JSON", &error))?;
    let request = Request::post("/nbo.v1.DecisionService/GetOffers")
        .header(header::CONTENT_TYPE, "application/json")
        .body(tonic::body::Body::new(Body::from(json)));
    let answer = send(connection, request).await?;
    let answer: wire::GetOffersResponse =
        serde_json::from_slice(&answer).map_err(|error| failure("no JSON", &error))?;
    Ok(Answer::of(&answer))
}

/// Asks how much memory the server uses, in bytes; `None` when it does not tell this caller.
pub(super) async fn resident_bytes(connection: Connection) -> Option<f64> {
    let request = Request::get("/metrics").body(tonic::body::Body::empty());
    let numbers = send(connection, request).await.ok()?;
    let numbers = str::from_utf8(&numbers).ok()?;
    let value = numbers
        .lines()
        .find_map(|line| line.strip_prefix("nbo_resident_bytes "))?;
    value.parse().ok()
}

async fn send(
    mut connection: Connection,
    request: Result<Request<tonic::body::Body>, axum::http::Error>,
) -> Result<Bytes, Failure> {
    let request = request.map_err(|error| failure("no request", &error))?;
    let ready = poll_fn(|context| connection.poll_ready(context)).await;
    ready.map_err(|error| failure("no connection", &error))?;
    let response = connection
        .call(request)
        .await
        .map_err(|error| failure("no answer", &error))?;
    let (parts, body) = response.into_parts();
    let body = to_bytes(Body::new(body), ANSWER_BYTES_MAX).await;
    let body = body.map_err(|error| failure("broken off", &error))?;
    if parts.status.is_success() {
        return Ok(body);
    }
    let code = match parts.status {
        StatusCode::TOO_MANY_REQUESTS => code_name(Code::ResourceExhausted),
        _ => "refused",
    };
    Err(Failure::new(code, &String::from_utf8_lossy(&body)))
}

fn failure(what: &'static str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(what, &error.to_string())
}
