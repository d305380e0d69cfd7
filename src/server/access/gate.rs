//! The gate before dispatch: looks at the path and the token of a call, and at nothing else of it.
//!
//! The order: by which name the server is called, except for what is for everybody; a path without a row does not exist; then who
//! calls; then whether this port serves it; then the role.
//! `UNAUTHENTICATED` means that another token may help, `PERMISSION_DENIED` that this one will not. CORS belongs
//! outside the gate: a browser asks first, without a token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderMap};
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

use super::Access;
use super::caller::{Caller, Peer};
use super::hosts::Hosts;
use super::table::{For, Place, Row, row_of};
use crate::server::desk::Desk;
use crate::server::http::{Form, nowhere};
use crate::server::overload::Excess;
use crate::server::status::Refusal;
use crate::telemetry::Traced;

/// What kind of port a gate stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The only one: it serves everything.
    Only,
    /// The one for everybody, beside one for administration.
    Public,
    /// The one for administration, which serves everything.
    Admin,
}

/// Lets calls in, or not.
#[derive(Clone)]
pub struct Gate {
    access: Arc<Access>,
    desk: Arc<Desk>,
    port: Port,
    hosts: Hosts,
}

impl Gate {
    /// Makes the gate of a port that may be called by these names.
    #[must_use]
    pub(in crate::server) fn new(access: Arc<Access>, desk: Arc<Desk>, port: Port, hosts: Hosts) -> Self {
        Self {
            access,
            desk,
            port,
            hosts,
        }
    }

    /// Tells whether callers have to be known.
    pub(in crate::server) fn knows_callers(&self) -> bool {
        !self.access.is_open()
    }

    /// Lets a call of this row in, with who calls among its extensions, and counts whom it does not.
    ///
    /// # Errors
    /// With the status to answer.
    pub(in crate::server) fn pass<B>(&self, row: Option<&Row>, request: &mut hyper::Request<B>) -> Result<(), Status> {
        self.admit(row, request).map_err(|status| {
            self.desk.meters.refused_caller(status.code());
            *status
        })
    }

    fn admit<B>(&self, row: Option<&Row>, request: &mut hyper::Request<B>) -> Result<(), Box<Status>> {
        if row.is_some_and(|row| row.whom == For::Everybody) {
            return Ok(());
        }
        self.hosts.check(request)?;
        if let Some(caller) = self.caller(request.headers(), request.extensions().get::<Arc<Peer>>())? {
            Traced::vouch();
            let row = row.ok_or_else(|| Box::new(unknown(request.uri().path())))?;
            self.serves(row)?;
            if let For::Any(roles) = row.whom
                && !roles.meets(caller.roles)
            {
                return Err(Box::new(Refusal::LacksRole(roles).into()));
            }
            if row.place == Place::Admin {
                tracing::info!(caller = %caller.name, method = row.path, "administration");
            }
            request.extensions_mut().insert(caller);
            return Ok(());
        }
        let row = row.ok_or_else(|| Box::new(unknown(request.uri().path())))?;
        self.serves(row)
    }

    /// Finds out who calls; nobody when nobody has to be known.
    fn caller(&self, headers: &HeaderMap, peer: Option<&Arc<Peer>>) -> Result<Option<Arc<Caller>>, Box<Status>> {
        if self.access.is_open() {
            return Ok(None);
        }
        let token = token(headers)?;
        let caller = self.access.caller(token, peer.map(Arc::as_ref), self.desk.clock.now());
        caller.map(Some).map_err(Box::new)
    }

    fn serves(&self, row: &Row) -> Result<(), Box<Status>> {
        if self.port == Port::Public && row.place == Place::Admin {
            let status = Status::permission_denied("this is administration, which is served on a port of its own");
            return Err(Box::new(status));
        }
        Ok(())
    }
}

fn unknown(path: &str) -> Status {
    // The path is the caller's own text, so it is cut where nobody reads on.
    let shown: String = path.chars().take(100).collect();
    Status::unimplemented(format!("nothing is served at `{shown}`"))
}

/// Takes the token out of the headers.
pub(in crate::server) fn token(headers: &HeaderMap) -> Result<Option<&str>, Box<Status>> {
    let malformed = || {
        let status = Status::unauthenticated("write one header `authorization: Bearer`, a space and the token");
        Box::new(status)
    };
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(malformed());
    }
    let text = first.to_str().map_err(|_| malformed())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(malformed)?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| Some(token.trim())).ok_or_else(malformed)
}

/// Lets in what is routed, or refuses it as the caller speaks: when the gate does not let it pass, or when there was no room for it.
pub(in crate::server) async fn gated(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if let Some(&excess) = request.extensions().get::<Excess>() {
        let mut answer = Form::of(request.headers()).refusal(excess.status());
        answer.extensions_mut().insert(excess);
        return answer;
    }
    match gate.pass(row_of(request.uri().path()), &mut request) {
        Ok(()) => next.run(request).await,
        Err(status) if status.code() == Code::Unimplemented => nowhere(request).await,
        Err(status) => Form::of(request.headers()).refusal(status),
    }
}
