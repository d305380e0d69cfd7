//! The options that say where the server listens, for whom, and what it takes at most; and the steps that open its doors.
//!
//! What is reached from other machines has to be encrypted and has to know its callers. Whoever wants it otherwise has to write
//! so, in an option that nobody overlooks, and is reminded at every start.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::RELOADS_WAITING_MAX;
use super::steps::{step, tell};
use crate::server::Server;
use crate::server::access::Access;
use crate::server::access::hosts::Host;
use crate::server::access::jwt::Expected;
use crate::server::doors::Doors;
use crate::server::limits::{
    AGE_GRACE, Bounds, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, STREAMS_PER_CONNECTION_MAX, WAITING_MAX,
};
use crate::server::renewed::{self, Renew};
use crate::server::tls::{self, Tls};
use crate::telemetry::Stopwatch;

/// Where administration is served when the server is reached from other machines and nothing else is said.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_052);

/// Where to listen, for whom, and what to take at most.
#[derive(Debug, clap::Args)]
pub(super) struct DoorArgs {
    /// The address to listen on; one that other machines reach needs TLS, and callers who are known
    #[arg(long, env = "NBO_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    /// The address for administration: catalog, erasure, operation, imports and exports; --listen then refuses these [default:
    /// 127.0.0.1:50052 when --listen is reached by other machines, else everything is on --listen]
    #[arg(long, env = "NBO_ADMIN", value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// The file with the server's certificate and those between it and its authority, as PEM; read again when it changes
    #[arg(
        long,
        env = "NBO_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key",
        help_heading = "Safety"
    )]
    tls_cert: Option<PathBuf>,
    /// The file with the certificate's private key, as PEM
    #[arg(
        long,
        env = "NBO_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert",
        help_heading = "Safety"
    )]
    tls_key: Option<PathBuf>,
    /// The file with the authorities whose certificates callers have to show, as PEM; without it they need none
    #[arg(
        long,
        env = "NBO_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_cert",
        help_heading = "Safety"
    )]
    tls_client_ca: Option<PathBuf>,
    /// The file that says who may call and do what: tokens (`nbo token new` writes lines) and names of certificates
    #[arg(long, env = "NBO_TOKENS", value_name = "FILE", help_heading = "Safety")]
    tokens: Option<PathBuf>,
    /// The file with the public keys of whoever issues JWTs, as JWKS; takes ES256, EdDSA and RS256
    #[arg(
        long,
        env = "NBO_JWKS",
        value_name = "FILE",
        requires = "jwt_issuer",
        requires = "jwt_audience",
        help_heading = "Safety"
    )]
    jwks: Option<PathBuf>,
    /// The issuer that a JWT has to name (`iss`)
    #[arg(
        long,
        env = "NBO_JWT_ISSUER",
        value_name = "NAME",
        requires = "jwks",
        help_heading = "Safety"
    )]
    jwt_issuer: Option<String>,
    /// The audience that a JWT has to name (`aud`)
    #[arg(
        long,
        env = "NBO_JWT_AUDIENCE",
        value_name = "NAME",
        requires = "jwks",
        help_heading = "Safety"
    )]
    jwt_audience: Option<String>,
    /// Let whoever reaches the address read, change and erase every customer: serve it without TLS, or to callers who are
    /// not known
    #[arg(long, env = "NBO_INSECURE_PUBLIC", help_heading = "Safety")]
    insecure_public: bool,
    /// A name by which the server may be called besides localhost, as in `offers.bank.example`; may be repeated. Names are looked
    /// at where there is neither TLS nor known callers: on a loopback address, and on others once one is given [default: none]
    #[arg(
        long,
        env = "NBO_HOSTS",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Safety"
    )]
    host: Vec<Host>,
    #[command(flatten)]
    bounds: BoundArgs,
}

/// What to take at most.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct BoundArgs {
    /// Connections at a time
    #[arg(long, env = "NBO_CONNECTIONS", value_name = "COUNT", default_value_t = CONNECTIONS_MAX as u32, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Connections at a time from one address; raise it when a gateway without HTTP/2 stands before the server
    #[arg(long, env = "NBO_CONNECTIONS_PER_ADDRESS", value_name = "COUNT", default_value_t = CONNECTIONS_PER_ADDRESS_MAX as u32, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections_per_address: u32,
    /// Calls at a time on one connection
    #[arg(long, env = "NBO_STREAMS_PER_CONNECTION", value_name = "COUNT", default_value_t = STREAMS_PER_CONNECTION_MAX, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    streams_per_connection: u32,
    /// How long a TLS handshake may take
    #[arg(long, env = "NBO_HANDSHAKE_TIME", value_name = "TIME", default_value = "10s", value_parser = span)]
    handshake_time: Duration,
    /// How long a connection may take to its first call, and an HTTP/1 one to each
    #[arg(long, env = "NBO_HEADER_TIME", value_name = "TIME", default_value = "30s", value_parser = span)]
    header_time: Duration,
    /// How long a connection may be without a call
    #[arg(long, env = "NBO_IDLE_TIME", value_name = "TIME", default_value = "10m", value_parser = span)]
    idle_time: Duration,
    /// How long a call without a stream may take, whatever its caller says
    #[arg(long, env = "NBO_REQUEST_TIME", value_name = "TIME", default_value = "1m", value_parser = span)]
    request_time: Duration,
    /// How old a connection may grow until it is told to go, so that clients spread over new servers [default: any age]
    #[arg(long, env = "NBO_CONNECTION_AGE", value_name = "TIME", value_parser = span)]
    connection_age: Option<Duration>,
    /// Calls that wait for their turn at a time; page views have a quarter of the places
    #[arg(long, env = "NBO_WAITING_CALLS", value_name = "COUNT", default_value_t = WAITING_MAX as u32, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    waiting_calls: u32,
    /// How long a page view may wait for its turn while more is asked than can be answered, if a few calls do not take longer; then it
    /// is refused
    #[arg(long, env = "NBO_WAITING_TIME", value_name = "TIME", default_value = "1ms", value_parser = wait)]
    waiting_time: Duration,
    /// How long to go on, not ready, after being told to stop, so that balancers notice
    #[arg(long, env = "NBO_DRAIN_DELAY", value_name = "TIME", default_value = "0s", value_parser = short)]
    drain_delay: Duration,
    /// How long calls under way may take to finish after that; streams that go on are cut then
    #[arg(long, env = "NBO_GRACE", value_name = "TIME", default_value = "5s", value_parser = span)]
    grace: Duration,
}

/// Reads a span of time as people write it.
fn span(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_millis(100)..=Duration::from_hours(24 * 30);
    within(text, &allowed).ok_or_else(|| "give 100ms to 720h, as in `30s` or `10m`".to_owned())
}

/// Reads a wait for a turn.
fn wait(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_millis(1)..=Duration::from_secs(10);
    within(text, &allowed).ok_or_else(|| "give 1ms to 10s, as in `5ms`".to_owned())
}

/// Reads one that may be short, or none.
fn short(text: &str) -> Result<Duration, String> {
    let allowed = Duration::ZERO..=Duration::from_mins(10);
    within(text, &allowed).ok_or_else(|| "give 0s to 10m, as in `5ms` or `10s`".to_owned())
}

fn within(text: &str, allowed: &RangeInclusive<Duration>) -> Option<Duration> {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    let parsed = parsed.and_then(|span| Duration::try_from(span).ok());
    parsed.filter(|span| allowed.contains(span))
}

impl BoundArgs {
    const fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.connections as usize,
            connections_per_address: self.connections_per_address as usize,
            streams_per_connection: self.streams_per_connection,
            handshake: self.handshake_time,
            headers: self.header_time,
            idle: self.idle_time,
            request_time: self.request_time,
            age: self.connection_age,
            age_grace: AGE_GRACE,
            waiting: self.waiting_calls as usize,
            wait: self.waiting_time,
            drain_delay: self.drain_delay,
            grace: self.grace,
        }
    }
}

/// What was read for the doors, before they are opened.
pub(super) struct Opened {
    listen: SocketAddr,
    admin: Option<SocketAddr>,
    is_admin_implied: bool,
    tls: Option<Arc<Tls>>,
    access: Arc<Access>,
    hosts: Vec<Host>,
    bounds: Bounds,
}

impl DoorArgs {
    /// Reads certificates, tokens and keys, and refuses what would be open to strangers.
    ///
    /// # Errors
    /// When a file is wrong, or an address is reached by others and not safe.
    pub(super) fn open(&self, out: &mut impl Write) -> Result<Opened> {
        let is_reached = is_public(self.listen) || self.admin.is_some_and(is_public);
        let missing = self.missing();
        if is_reached && !missing.is_empty() {
            let missing = missing.join(" and ");
            if !self.insecure_public {
                bail!(
                    "other machines can reach {}, so it needs {missing}; give both, listen on 127.0.0.1, or write --insecure-public to let whoever reaches it read, change and erase every customer",
                    self.reached()
                );
            }
            tell(
                out,
                "WARNING",
                &format!(
                    "--insecure-public: other machines can reach {} without {missing}",
                    self.reached()
                ),
            )?;
            tracing::warn!(
                missing,
                "the server is open to whoever reaches it, as --insecure-public says"
            );
        }
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(tls::open(&tls::Files {
                certificate: certificate.clone(),
                key: key.clone(),
                client_authorities: self.tls_client_ca.clone(),
            })?),
            _ => None,
        };
        let issuer = match (&self.jwks, &self.jwt_issuer, &self.jwt_audience) {
            (Some(jwks), Some(issuer), Some(audience)) => {
                let expected = Expected {
                    issuer: issuer.clone(),
                    audience: audience.clone(),
                };
                Some((jwks.clone(), expected))
            }
            _ => None,
        };
        let access = Access::read(self.tokens.clone(), issuer)?;
        self.say(&access, out)?;
        let implied = (self.admin.is_none() && is_public(self.listen)).then_some(ADMIN);
        Ok(Opened {
            listen: self.listen,
            admin: self.admin.or(implied),
            is_admin_implied: implied.is_some(),
            tls,
            access: Arc::new(access),
            hosts: self.host.clone(),
            bounds: self.bounds.bounds(),
        })
    }

    /// Says what an address that strangers reach would lack.
    fn missing(&self) -> Vec<&'static str> {
        let tls = self.tls_cert.is_none().then_some("TLS (--tls-cert, --tls-key)");
        let is_open = self.tokens.is_none() && self.jwks.is_none();
        let callers = is_open.then_some("callers who are known (--tokens or --jwks)");
        tls.into_iter().chain(callers).collect()
    }

    fn reached(&self) -> SocketAddr {
        self.admin
            .filter(|admin| !is_public(self.listen) && is_public(*admin))
            .unwrap_or(self.listen)
    }

    fn say(&self, access: &Access, out: &mut impl Write) -> Result<()> {
        if let Some(certificate) = &self.tls_cert {
            let callers = match &self.tls_client_ca {
                Some(authorities) => format!("; callers show one of {}", authorities.display()),
                None => String::new(),
            };
            let text = format!("{}{callers}; picked up when it changes", certificate.display());
            tell(out, "certificate", &text)?;
        }
        if access.is_open() {
            return Ok(());
        }
        let files = [&self.tokens, &self.jwks].into_iter().flatten();
        let files: Vec<_> = files.map(|file| file.display().to_string()).collect();
        let text = format!("those of {}; picked up when it changes", files.join(" and "));
        tell(out, "callers", &text)
    }
}

impl Opened {
    /// Begins to look at the files again, in the runtime; what is sent to the result makes it look at once.
    pub(super) fn renewing(&self, server: &Server) -> mpsc::Sender<()> {
        let (asking, asked) = mpsc::channel(RELOADS_WAITING_MAX);
        let tls = self.tls.clone().map(|tls| tls as Arc<dyn Renew>);
        let all: Vec<_> = tls.into_iter().chain(self.access.renewed()).collect();
        if !all.is_empty() {
            tokio::spawn(renewed::follow(all, asked, server.meters()));
        }
        asking
    }

    /// Opens the doors and says where they are.
    ///
    /// # Errors
    /// When an address is taken.
    pub(super) async fn listen(self, whole: Stopwatch, out: &mut impl Write) -> Result<Doors> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let admin = match self.admin {
            Some(address) => {
                let name = if self.is_admin_implied {
                    "the default of --admin"
                } else {
                    "the address of --admin"
                };
                let listener = bind(address, name).await?;
                tell(out, "admin", &format!("{scheme}://{}", listener.local_addr()?))?;
                Some(listener)
            }
            None => None,
        };
        let public = bind(self.listen, "the address of --listen").await?;
        let address = public.local_addr()?;
        step(out, "listening", &format!("{scheme}://{address}, ready"), whole)?;
        Ok(Doors {
            public,
            admin,
            tls: self.tls,
            access: self.access,
            hosts: self.hosts,
            bounds: self.bounds,
        })
    }
}

async fn bind(address: SocketAddr, name: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}, {name}"))
}

/// Tells whether other machines can reach an address.
fn is_public(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_out_of_reach() {
        for (address, expected) in [
            ("127.0.0.1:1", false),
            ("127.8.8.8:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.7:1", true),
            ("192.168.1.1:1", true),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn the_limits_in_the_help_are_those_of_the_server() {
        let args = <BoundArgs as clap::Args>::augment_args(clap::Command::new("nbo"));
        let matches = args.get_matches_from(["nbo"]);
        let args = <BoundArgs as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
        assert_eq!(args.bounds(), Bounds::default());
    }
}
