//! Refusals over HTTP: `google.rpc.Status` as JSON, with the HTTP status that its code stands for.
//!
//! | code | HTTP |
//! |---|---|
//! | `INVALID_ARGUMENT`, `FAILED_PRECONDITION`, `OUT_OF_RANGE` | 400 |
//! | `UNAUTHENTICATED` | 401 |
//! | `PERMISSION_DENIED` | 403 |
//! | `NOT_FOUND` | 404 |
//! | `ALREADY_EXISTS`, `ABORTED` | 409 |
//! | `RESOURCE_EXHAUSTED` | 429 |
//! | `CANCELLED` | 499 |
//! | `UNKNOWN`, `INTERNAL`, `DATA_LOSS` | 500 |
//! | `UNIMPLEMENTED` | 501 |
//! | `UNAVAILABLE` | 503 |
//! | `DEADLINE_EXCEEDED` | 504 |
//!
//! What HTTP has a word of its own for is said by it: 404 for an address, 405, 413 and 415.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a JSON answer says it is.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The HTTP status of a client that closed its request; no standard names it, all mappings use it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Why a call over HTTP gets no answer.
#[derive(Debug)]
pub(in crate::server) struct Refused {
    status: Status,
    /// What HTTP says, when it has a word of its own.
    http: Option<StatusCode>,
    /// What may be asked instead, for `Allow`.
    allow: Option<&'static str>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self {
            status,
            http: None,
            allow: None,
        }
    }
}

impl Refused {
    /// Refuses with a word of HTTP's own.
    pub(super) fn with(http: StatusCode, status: Status) -> Self {
        Self {
            http: Some(http),
            ..status.into()
        }
    }

    /// Refuses a verb.
    pub(super) fn verb(allow: &'static str, message: String) -> Self {
        Self {
            allow: Some(allow),
            ..Self::with(StatusCode::METHOD_NOT_ALLOWED, Status::unimplemented(message))
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(text(&self.status)));
        *response.status_mut() = self.http.unwrap_or_else(|| http_status(self.status.code()));
        // HTTP's own statuses are fewer than the codes; whoever counts calls looks here.
        response.extensions_mut().insert(self.status.code());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.status.code() == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let delay = self.status.get_details_retry_info().and_then(|info| info.retry_delay);
        if let Some(delay) = delay {
            // Whole seconds are all that the header can say.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Returns the HTTP status that a code stands for.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Cancelled => StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// Writes a status as the JSON of `google.rpc.Status`.
pub(super) fn text(status: &Status) -> String {
    value(status).to_string()
}

/// Returns a status as the JSON of `google.rpc.Status`, with the details that the server gives.
pub(super) fn value(status: &Status) -> Value {
    let mut details = Vec::new();
    let given = status.get_error_details();
    if let Some(request) = given.bad_request() {
        let violations = request.field_violations.iter();
        let violations = violations.map(|wrong| json!({"field": wrong.field, "description": wrong.description}));
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": violations.collect::<Vec<_>>(),
        }));
    }
    if let Some(delay) = given.retry_info().and_then(|info| info.retry_delay) {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}.{:03}s", delay.as_secs(), delay.subsec_millis()),
        }));
    }
    if let Some(info) = given.error_info() {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": info.reason,
            "domain": info.domain,
            "metadata": info.metadata,
        }));
    }
    json!({"code": i32::from(status.code()), "message": status.message(), "details": details})
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn every_code_has_the_http_status_that_google_rpc_gives_it() {
        let statuses: Vec<u16> = (0..=16).map(|code| http_status(Code::from(code)).as_u16()).collect();
        assert_eq!(
            statuses,
            [
                200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401
            ]
        );
    }

    #[test]
    fn a_refusal_that_names_a_delay_says_it_in_the_header_as_well() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1_200)));
        let status = Status::with_error_details(Code::ResourceExhausted, "too much", details);
        assert_eq!(value(&status)["details"][0]["retryDelay"], "1.200s");
        let response = Refused::from(status).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
