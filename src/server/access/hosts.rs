//! By which names a server may be called, where nobody has to say who he is.
//!
//! A page in a browser may reach what listens on loopback, although it comes from elsewhere: its own name is made to lead to
//! 127.0.0.1 after it was loaded (DNS rebinding), and the browser takes the server for the page's own, so that it asks for no
//! leave. But the browser still says the name: in `Host`, in HTTP/2 in `:authority`. So a request with a name that is not this
//! server's is refused.
//!
//! **Where.** On a port on loopback without TLS whose callers need not be known. Over TLS the browser looks itself whether the
//! certificate is that of the page's name; and where callers are known, a page of somebody else has no token. A port that others
//! reach without either was asked for in plain words, and the server does not know by which names: there names are looked at once
//! some are given (`--host`).
//!
//! **Which.** `localhost`, addresses of loopback, and what is given. A server in front that passes its own name on has to be given
//! (`--host offers.bank.example`), or has to ask by the address. The port does not count. A request without a name is let in:
//! it is no browser's. So is the question for health, which tells yes or no to everybody.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::uri::Authority;
use axum::http::{Request, header};
use tonic::Status;

/// A name or an address by which a server may be called, as in `offers.bank.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

/// Why a text is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host; write a name or an address without scheme and port, as in offers.bank.example")]
pub struct NoHost(String);

impl FromStr for Host {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let no_host = || NoHost(text.to_owned());
        let bare = unbracketed(text);
        if bare.parse::<IpAddr>().is_ok() {
            return Ok(Self(plain(text)));
        }
        let is_name = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        is_name.then(|| Self(plain(text))).ok_or_else(no_host)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names by which a port may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) enum Hosts {
    /// Any.
    Any,
    /// Loopback, and these.
    Named(Vec<Host>),
}

impl Hosts {
    /// Refuses a request that names another host.
    ///
    /// # Errors
    /// With the status to answer.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Box<Status>> {
        let Self::Named(named) = self else {
            return Ok(());
        };
        if let Some(authority) = request.uri().authority() {
            judge(authority.host(), named)?;
        }
        for host in request.headers().get_all(header::HOST) {
            let authority = Authority::try_from(host.as_bytes());
            let authority = authority.map_err(|_| Box::new(refusal(&String::from_utf8_lossy(host.as_bytes()))))?;
            judge(authority.host(), named)?;
        }
        Ok(())
    }
}

fn judge(host: &str, named: &[Host]) -> Result<(), Box<Status>> {
    let is_own = is_loopback(host) || named.iter().any(|named| named.0 == plain(host));
    is_own.then_some(()).ok_or_else(|| Box::new(refusal(host)))
}

fn is_loopback(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = unbracketed(host).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Takes off the brackets that an address of IPv6 has beside a port.
fn unbracketed(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// Writes a host as it is compared.
fn plain(host: &str) -> String {
    let host = unbracketed(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn refusal(host: &str) -> Status {
    // The name is the caller's own text, so it is cut where nobody reads on.
    let shown: String = host.chars().take(100).collect();
    let message = format!(
        "`{shown}` is no name of this server, which is open to whoever reaches it; call it by localhost or its address, or start it with --host {shown}"
    );
    Status::permission_denied(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_let_in(hosts: &Hosts, uri: &str, host: Option<&str>) -> bool {
        let mut request = Request::get(uri);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        hosts.check(&request.body(()).unwrap()).is_ok()
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_around_it() {
        for (right, written) in [
            ("Offers.Bank.example.", "offers.bank.example"),
            ("nbo", "nbo"),
            ("nbo_1", "nbo_1"),
            ("10.0.0.7", "10.0.0.7"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(right.parse::<Host>().unwrap().to_string(), written);
        }
        for wrong in ["", "*", "a:1", "http://a", "a/b", "me@a", "a b", "\u{e9}"] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_loopback_and_what_is_given_is_a_name_of_the_server_however_the_request_says_it() {
        let given = ["Offers.bank.example", "10.0.0.7"];
        let hosts = Hosts::Named(given.map(|host| host.parse().unwrap()).to_vec());
        for own in [
            "localhost",
            "LOCALHOST:50051",
            "localhost.",
            "127.0.0.1:50051",
            "127.8.8.8",
            "[::1]:50051",
            "[::ffff:127.0.0.1]",
            "offers.bank.example:8443",
            "OFFERS.BANK.EXAMPLE.",
            "10.0.0.7:1",
        ] {
            assert!(is_let_in(&hosts, "/", Some(own)), "{own}");
            assert!(is_let_in(&hosts, &format!("http://{own}/"), None), "{own}");
        }
        for foreign in [
            "evil.example",
            "evil.example:50051",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "10.0.0.8",
            "0.0.0.0",
            "",
            "a b",
        ] {
            assert!(!is_let_in(&hosts, "/", Some(foreign)), "{foreign}");
            assert!(is_let_in(&Hosts::Any, "/", Some(foreign)), "{foreign}");
        }
        // Neither way of saying it hides the other.
        assert!(!is_let_in(&hosts, "http://localhost/", Some("evil.example")));
        assert!(!is_let_in(&hosts, "http://evil.example/", Some("localhost")));
        assert!(is_let_in(&hosts, "/", None));
    }
}
