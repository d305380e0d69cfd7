//! HTTP and JSON, on the same port and by the same code as gRPC.
//!
//! | request | answer |
//! |---|---|
//! | `POST /nbo.v1.Service/Method`, `content-type: application/json` | the method, in canonical proto3 JSON ([`methods`]) |
//! | the same for a method that streams its answers | a line for each, or server-sent events when `accept` asks for them ([`stream`]) |
//! | `GET /nbo.v1.DecisionService/WatchOffers?request={...}` | server-sent events, for a browser's `EventSource` |
//! | `content-type: application/grpc-web...` | gRPC-Web, for browsers |
//! | `content-type: application/grpc...` | gRPC |
//! | `GET /openapi.json` | the contract as an OpenAPI document ([`openapi`]) |
//! | `GET /` | what this is |
//!
//! The content type decides, so all forms of a method have one address. A call by JSON becomes the message that gRPC would have
//! brought, with its headers as metadata, and goes to the same service: limits, metrics and refusals are the same. Refusals are
//! `google.rpc.Status` in JSON ([`error`]).

mod body;
mod cors;
mod error;
mod lists;
mod methods;
pub mod openapi;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method as Verb, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, Service as _};

pub(super) use cors::allowing;
pub use cors::{CorsOrigin, NoOrigin};
pub(super) use error::Refused;

use super::access::table::row_of;
use super::deadline::{self, Left};
use super::grpc::Services;
use error::JSON;
use methods::{Call, Kind, Method};

/// What the fuzzers reach that nobody else does.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    use std::time::Duration;

    use hyper::{HeaderMap, Uri};

    use crate::server::access::table::{Shape, row_of};

    /// Reads a body as the canonical JSON of a message.
    ///
    /// # Errors
    /// When it is none.
    pub fn read_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, tonic::Status> {
        super::body::read(bytes, crate::server::limits::JSON_ITEMS_MAX)
    }

    /// Reads all that is read of a call besides its body: of which method, as whom, for how long, in which form, traced or not.
    ///
    /// # Panics
    /// When it could take for ever.
    pub fn read_head(uri: &Uri, headers: &HeaderMap) {
        let row = row_of(uri.path());
        let minute = Duration::from_mins(1);
        let bound = super::deadline::bound(row, headers, minute);
        let is_stream = row.is_some_and(|row| row.shape == Shape::Stream);
        assert!(is_stream || bound.is_some_and(|bound| bound <= minute));
        drop(crate::server::access::gate::token(headers));
        drop(super::body::is_json(headers));
        drop(super::asked_for(uri));
        drop(super::not_found(uri));
        let _ = (super::Form::of(headers), super::stream::wants_events(headers));
        let _ = super::stream::last_event(headers);
        let parent = headers.get("traceparent").and_then(|text| text.to_str().ok());
        let _ = parent.and_then(crate::telemetry::traces::parent);
    }

    /// Returns how many bytes are kept of a message of gRPC when so much of it has come, cut as it is.
    #[must_use]
    pub fn message_kept(parts: &[&[u8]]) -> usize {
        let mut framing = crate::server::bodies::Framing::default();
        parts.iter().fold(0, |_, part| framing.follow(part))
    }
}

/// How the addresses of the contract begin.
const CONTRACT: &str = "/nbo.v1.";

/// What a refusal in gRPC-Web says it is.
const GRPC_WEB: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");

/// What `GET /` answers.
const WHAT: &str = concat!(
    "{\"name\":\"nbo\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\",\"openapi\":\"/openapi.json\"}"
);

/// In which form a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// Anything else.
    Http,
}

impl Form {
    /// Tells the form by a request's headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        if kind.starts_with(b"application/grpc-web") {
            Self::GrpcWeb
        } else if kind.starts_with(b"application/grpc") {
            Self::Grpc
        } else {
            Self::Http
        }
    }

    /// Puts a refusal into the form in which the caller reads it.
    pub(super) fn refusal(self, status: Status) -> Response {
        match self {
            Self::Http => Refused::from(status).into_response(),
            Self::Grpc => status.into_http::<tonic::body::Body>().into_response(),
            Self::GrpcWeb => {
                // Without a body, gRPC-Web has the status in the headers as gRPC has.
                let mut response = status.into_http::<tonic::body::Body>().into_response();
                response.headers_mut().insert(header::CONTENT_TYPE, GRPC_WEB);
                response
            }
        }
    }
}

/// What stands behind the port.
struct Front {
    grpc: Router,
    services: Arc<Services>,
    /// How long a call takes at most that is no stream.
    request_time: Duration,
}

/// Puts HTTP in front of the gRPC services and the other routes.
pub(super) fn in_front(grpc: Router, services: Arc<Services>, request_time: Duration) -> Router {
    let grpc = grpc
        .route("/", get(|| async { ([(header::CONTENT_TYPE, JSON)], WHAT) }))
        .route("/openapi.json", get(openapi_json))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_verb);
    // As the routes' own doc advises: it makes each call a little cheaper.
    let grpc = grpc.with_state(());
    let front = Arc::new(Front {
        grpc,
        services,
        request_time,
    });
    Router::new().fallback(answer).with_state(front)
}

async fn answer(State(front): State<Arc<Front>>, request: Request<Body>) -> Response {
    let form = Form::of(request.headers());
    let left = request.extensions().get::<Left>().map(|left| left.0);
    let deadline =
        left.unwrap_or_else(|| deadline::bound(row_of(request.uri().path()), request.headers(), front.request_time));
    deadline::within(deadline, answer_in(form, front, request), |status| form.refusal(status)).await
}

async fn answer_in(form: Form, front: Arc<Front>, request: Request<Body>) -> Response {
    let mut grpc = front.grpc.clone();
    match form {
        Form::Http if request.uri().path().starts_with(CONTRACT) => match call(front, request).await {
            Ok(response) => response,
            Err(refused) => refused.into_response(),
        },
        Form::GrpcWeb => match GrpcWebLayer::new().layer(grpc).call(request).await {
            Ok(response) => response.into_response(),
            Err(never) => match never {},
        },
        Form::Grpc | Form::Http => match grpc.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
    }
}

/// Answers a call of a method by JSON.
async fn call(front: Arc<Front>, request: Request<Body>) -> Result<Response, Refused> {
    let (parts, mut body) = request.into_parts();
    let Some(method) = Method::find(parts.uri.path()) else {
        return Err(not_found(&parts.uri));
    };
    if let Kind::GrpcOnly = method.kind {
        let message = format!("{} takes a stream of messages, which only gRPC has", method.name);
        return Err(Status::unimplemented(message).into());
    }
    let by_get = parts.method == Verb::GET && matches!(method.kind, Kind::Watch(_));
    if !by_get && parts.method != Verb::POST {
        let allow = if matches!(method.kind, Kind::Watch(_)) {
            "GET, POST"
        } else {
            "POST"
        };
        let message = format!("{} is called by {allow}, not by {}", method.name, parts.method);
        return Err(Refused::verb(allow, message));
    }
    let json = if by_get {
        asked_for(&parts.uri)?
    } else {
        body::is_json(&parts.headers)?;
        body::taken(&parts.headers, &mut body, method.bytes_max).await?
    };
    let events = (by_get || stream::wants_events(&parts.headers)).then(|| stream::last_event(&parts.headers));
    let call = Call {
        metadata: MetadataMap::from_headers(parts.headers),
        extensions: parts.extensions,
        json,
        items_max: method.items_max,
        counted: body,
    };
    let services = Arc::clone(&front.services);
    match method.kind {
        Kind::Unary(ask) => {
            let json = ask(services, call).await?;
            Ok(([(header::CONTENT_TYPE, JSON)], json).into_response())
        }
        Kind::Stream(ask) | Kind::Watch(ask) => {
            let answers = ask(services, call).await?;
            Ok(match events {
                Some(last) => stream::events(answers, last),
                None => stream::lines(answers),
            })
        }
        Kind::GrpcOnly => Err(not_found(&parts.uri)),
    }
}

/// Returns the JSON in the query parameter `request`.
fn asked_for(uri: &Uri) -> Result<Vec<u8>, Refused> {
    let query = uri.query().unwrap_or_default();
    let mut request = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "request" || request.is_some() {
            let message = format!("the query has `{name}`; it takes one `request`, the JSON of the message");
            return Err(Status::invalid_argument(message).into());
        }
        request = Some(value.into_owned().into_bytes());
    }
    let missing =
        || Status::invalid_argument("the query has no `request`; it is the JSON of the message, percent-encoded");
    Ok(request.ok_or_else(missing)?)
}

fn not_found(uri: &Uri) -> Refused {
    let path = crate::catalog::values::shortened(uri.path());
    let message = format!("there is no {path}; what there is stands in /openapi.json");
    Refused::with(StatusCode::NOT_FOUND, Status::not_found(message))
}

/// Answers that there is nothing at an address.
pub(super) async fn nowhere(request: Request<Body>) -> Response {
    match Form::of(request.headers()) {
        Form::Http => not_found(request.uri()).into_response(),
        grpc => grpc.refusal(Status::unimplemented(format!("there is no {}", request.uri().path()))),
    }
}

async fn wrong_verb(request: Request<Body>) -> Response {
    let message = format!("{} is not called by {}", request.uri().path(), request.method());
    Refused::verb("GET, HEAD", message).into_response()
}

async fn openapi_json() -> Response {
    ([(header::CONTENT_TYPE, JSON)], openapi::text()).into_response()
}
