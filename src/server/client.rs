//! How our own commands call a server: over TLS where its address says so, and with the caller's token.

use std::future::poll_fn;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::http::{self, StatusCode};
use tonic::body::Body;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use tower::Service as _;

use super::limits::TOKEN_BYTES_MAX;

/// How long to wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// The longest page that is read: some hundred times an ordinary one.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// A connection to a server that shows the caller's token with each call.
pub type Connection = InterceptedService<Channel, Bearer>;

/// The token that is shown, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// What a caller shows, and whom it trusts.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The token.
    pub token: Option<String>,
    /// The authorities whose servers are trusted, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// The caller's certificate and key, as PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name in the server's certificate, when it is not the one in its address.
    pub server_name: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none.
    #[error("`{0}` is no address; write it as http://127.0.0.1:50051")]
    Address(String),
    /// The token cannot be a header's value.
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes, or has characters that no token has")]
    Token,
    /// It is not said who is trusted.
    #[error("for {0} give --ca, the file with the authority that issued the server's certificate")]
    NoAuthority(String),
    /// Nobody answered, or not as expected.
    #[error("cannot connect to {to}; is `nbo serve` running there?")]
    Unreachable {
        /// Where to.
        to: String,
        /// What went wrong.
        #[source]
        error: tonic::transport::Error,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // None of it is for a log.
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Connects to a server.
    ///
    /// # Errors
    /// When the address or a credential is none, or nobody answers there.
    pub async fn connect(&self, to: &str) -> Result<Connection, ConnectError> {
        let bearer = self.bearer()?;
        let channel = self.endpoint(to)?.connect().await;
        let channel = channel.map_err(|error| unreachable(to, error))?;
        Ok(InterceptedService::new(channel, bearer))
    }

    fn bearer(&self) -> Result<Bearer, ConnectError> {
        let Some(token) = self.token.as_deref().map(str::trim) else {
            return Ok(Bearer::default());
        };
        let value = (token.len() <= TOKEN_BYTES_MAX).then(|| format!("Bearer {token}").parse().ok());
        let mut value: MetadataValue<Ascii> = value.flatten().ok_or(ConnectError::Token)?;
        value.set_sensitive(true);
        Ok(Bearer(Some(value)))
    }

    fn endpoint(&self, to: &str) -> Result<Endpoint, ConnectError> {
        let endpoint = Endpoint::from_shared(to.to_owned()).map_err(|_| ConnectError::Address(to.to_owned()))?;
        let endpoint = endpoint.tcp_nodelay(true).connect_timeout(CONNECT_MAX);
        if endpoint.uri().scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        let authorities = self.authorities.as_ref();
        let authorities = authorities.ok_or_else(|| ConnectError::NoAuthority(to.to_owned()))?;
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities));
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        endpoint.tls_config(tls).map_err(|error| unreachable(to, error))
    }
}

/// Asks for what stands at a path, and returns the status and the body.
///
/// # Errors
/// When there is no answer, or one of more than 16 MiB.
pub async fn get(mut connection: Connection, path: &str) -> Result<(StatusCode, Bytes), Unanswered> {
    let request = http::Request::get(path).body(Body::empty()).map_err(unanswered)?;
    poll_fn(|context| connection.poll_ready(context))
        .await
        .map_err(unanswered)?;
    let (parts, body) = connection.call(request).await.map_err(unanswered)?.into_parts();
    let body = to_bytes(axum::body::Body::new(body), PAGE_BYTES_MAX).await;
    Ok((parts.status, body.map_err(unanswered)?))
}

/// Why there is no answer over HTTP.
#[derive(Debug, thiserror::Error)]
#[error("no answer: {0}")]
pub struct Unanswered(String);

fn unanswered(error: impl std::fmt::Display) -> Unanswered {
    Unanswered(error.to_string())
}

fn unreachable(to: &str, error: tonic::transport::Error) -> ConnectError {
    ConnectError::Unreachable {
        to: to.to_owned(),
        error,
    }
}
