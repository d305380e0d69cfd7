//! Answers that come one after the other: as server-sent events for browsers, or as a JSON document a line.
//!
//! **Server-sent events** (`text/event-stream`). Each answer is an event without a name, so `onmessage` hears it. Its `id` counts
//! the answers; a browser that connects again goes on counting. There is nothing to catch up with: the first answer of a
//! watcher is always the list as it stands. A refusal that comes later is an event named `status`, with the JSON of
//! `google.rpc.Status`, and ends the stream; a browser connects again after [`RECONNECT_AFTER`], and is told by the HTTP
//! status when that is of no use. A comment every [`COMMENT_EVERY`] keeps proxies from taking the stream for dead.
//!
//! **Lines** (`application/x-ndjson`). Each answer is a line `{"result": ...}`; a refusal that comes later is a last line
//! `{"error": ...}`. A stream that ends without one is complete.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use tokio_stream::StreamExt as _;

use super::error::text;
use super::methods::Answers;

/// How often a comment is sent when there is nothing else: proxies close what is silent for a minute.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// After how long a browser connects again.
const RECONNECT_AFTER: Duration = Duration::from_secs(2);

/// By which a browser says which event it had last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What servers in front are asked with not to collect events before they pass them on.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// Whether the caller asks for server-sent events.
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut kinds = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    kinds.any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("text/event-stream")
    })
}

/// Returns the number of the event that the caller had last, 0 when it had none.
pub(super) fn last_event(headers: &HeaderMap) -> u64 {
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse().ok());
    last.unwrap_or_default()
}

/// Answers with server-sent events, numbered on from `last`.
pub(super) fn events(answers: Answers, last: u64) -> Response {
    let mut number = last;
    let events = answers.map(move |answer| {
        number = number.wrapping_add(1);
        let event = Event::default().id(number.to_string()).retry(RECONNECT_AFTER);
        Ok::<_, Infallible>(match answer {
            Ok(json) => event.data(String::from_utf8_lossy(&json)),
            Err(status) => event.event("status").data(text(&status)),
        })
    });
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT_EVERY));
    ([UNBUFFERED], events).into_response()
}

/// Answers with a document a line.
pub(super) fn lines(answers: Answers) -> Response {
    let lines = answers.map(|answer| {
        let (before, json) = match answer {
            Ok(json) => ("{\"result\":", json),
            Err(status) => ("{\"error\":", text(&status).into_bytes()),
        };
        Ok::<_, Infallible>([before.as_bytes(), &json, b"}\n"].concat())
    });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))];
    (kind, Body::from_stream(lines)).into_response()
}
