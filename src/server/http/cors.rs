//! Which pages of other origins may call. None, unless they are named: a browser then keeps a page from reading answers, and from
//! sending JSON or gRPC-Web at all, since both are asked for first.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_mins(10);

/// What a page may send: what JSON, gRPC-Web, tokens and deadlines need.
const SENT: [HeaderName; 8] = [
    header::ACCEPT,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static("traceparent"),
];

/// What a page may read of an answer's headers: what gRPC-Web and repeating later need.
const READ: [HeaderName; 4] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    header::RETRY_AFTER,
];

/// An origin whose pages may call, as in `https://www.bank.example`, or `*` for every page there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOrigin(HeaderValue);

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no origin; write scheme, host and port as browsers do, as in https://www.bank.example, or * for all")]
pub struct NoOrigin(String);

impl CorsOrigin {
    fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

impl FromStr for CorsOrigin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        let no_origin = || NoOrigin(text.to_owned());
        if text != "*" {
            let uri: Uri = text.parse().map_err(|_| no_origin())?;
            let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
            // What a browser sends has no path, no capitals and no user, and is compared letter by letter.
            let whole = format!("{}://{authority}", uri.scheme_str().unwrap_or_default());
            let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
            let is_plain = !authority.is_empty() && !authority.contains('@');
            if !is_web || !is_plain || whole != text || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(no_origin());
            }
        }
        text.parse().map(Self).map_err(|_| no_origin())
    }
}

/// Lets pages of these origins call, and answers their browsers' questions before they do. Cookies are never taken: who calls
/// says so by a token.
pub(in crate::server) fn allowing(router: Router, origins: &[CorsOrigin]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let allowed = if origins.iter().any(CorsOrigin::is_any) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().map(|origin| origin.0.clone()))
    };
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(SENT)
        .expose_headers(READ)
        .max_age(REMEMBERED);
    router.layer(cors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends_and_nothing_else() {
        for right in [
            "*",
            "https://www.bank.example",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
        ] {
            assert_eq!(right.parse::<CorsOrigin>().unwrap().to_string(), right);
        }
        for wrong in [
            "",
            "null",
            "bank.example",
            "https://bank.example/",
            "https://bank.example/page",
            "https://Bank.example",
            "https://me@bank.example",
            "ftp://bank.example",
            "https://*.bank.example/",
            "https://",
        ] {
            assert!(wrong.parse::<CorsOrigin>().is_err(), "{wrong}");
        }
    }
}
