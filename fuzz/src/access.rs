//! What says who calls and how: the head of a call, tokens, JWTs, certificates.
//!
//! Parts of the bytes stand one after the other, with a zero byte between them.

use std::fs;
use std::sync::LazyLock;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use nbo::server::access::caller::Peer;
use nbo::server::access::jwt::{Expected, Keys};
use nbo::server::access::tokens::{Tokens, roles_named};
use nbo::server::http::fuzzing::{message_kept, read_head};
use nbo::server::limits::TOKEN_LEEWAY;
use nbo::server::tls;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value as Json, json};

use super::mend;
use super::wires::NOW;

/// The `iss` of good tokens.
const ISSUER: &str = "https://login.bank.example";
/// The `aud` of good tokens.
const AUDIENCE: &str = "nbo";

/// Cuts off the bytes before the first zero byte, if there is one.
fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|&byte| byte == 0);
    at.map_or((bytes, &[]), |at| (&bytes[..at], &bytes[at + 1..]))
}

/// The bytes are a call: the target, a header a line, an empty line, and what of its body has come.
pub(crate) fn head(bytes: &[u8]) {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let Some(Ok(target)) = lines.next().map(hyper::Uri::try_from) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        // As many as a server of ours takes at most.
        if let (Ok(name), Ok(value), ..100) = (name, value, headers.len()) {
            headers.append(name, value);
        }
    }
    read_head(&target, &headers);
    let body = lines.collect::<Vec<_>>().join(&b'\n');
    // However a body is cut, the same is kept of it.
    let kept = message_kept(&[&body]);
    let (front, back) = body.split_at(body.len() / 3);
    assert_eq!(message_kept(&[front, back]), kept);
    assert_eq!(message_kept(&body.chunks(1).collect::<Vec<_>>()), kept);
}

/// The tokens file, and what somebody shows.
pub(crate) fn tokens(bytes: &[u8]) {
    let (file, shown) = cut(bytes);
    let tokens = match Tokens::read(file) {
        Ok(tokens) => tokens,
        Err(why) => return assert!(!why.is_empty()),
    };
    let file = String::from_utf8_lossy(file);
    let shown = String::from_utf8_lossy(shown);
    let certified = tokens.certified(&Peer(vec![shown.as_ref().to_owned()]));
    assert!(certified.is_none() || tokens.names_certificates());
    for caller in [tokens.holder(&shown), certified].into_iter().flatten() {
        // Whoever is found may do what the only line of that name says, and nothing else.
        let mut lines = file.lines().map(|line| line.split_whitespace());
        let line = lines.find_map(|mut cells| (cells.next() == Some(caller.name.as_str())).then(|| cells.next()));
        let roles = line.flatten().map(roles_named);
        assert_eq!(roles, Some(Ok(caller.roles)), "{}", caller.name);
        assert!(caller.until.is_none());
    }
}

/// The key of an issuer.
static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap_or_else(|error| panic!("{error}")));

/// What the issuer tells of the key.
static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let point = mend::base64(KEY.public_key().as_ref());
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": point}]});
    Keys::read(set.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
});

/// A JWKS file and a token; or the header and the claims of a token, which are signed with a key that is known.
pub(crate) fn jwt(bytes: &[u8]) {
    let (first, second) = cut(bytes);
    let expected = Expected {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
    };
    let text = String::from_utf8_lossy(second);
    match Keys::read(first) {
        Ok(keys) => drop(keys.judge(&text, &expected, NOW)),
        Err(why) => assert!(!why.is_empty()),
    }
    // Nobody can sign with that key by chance.
    assert!(KEYS.judge(&text, &expected, NOW).is_err());
    let message = format!("{}.{}", mend::base64(first), mend::base64(second));
    let token = format!("{message}.{}", mend::base64(KEY.sign(message.as_bytes()).as_ref()));
    if let Ok(caller) = KEYS.judge(&token, &expected, NOW) {
        let claims: Json = serde_json::from_slice(second).unwrap_or_else(|error| panic!("{error}: {text}"));
        let names = |claim: &str, name: &str| {
            let said = &claims[claim];
            *said == name || said.as_array().is_some_and(|list| list.iter().any(|one| one == name))
        };
        assert!(names("iss", ISSUER) && names("aud", AUDIENCE), "{text}");
        let ends = claims["exp"].as_f64().map(|seconds| seconds * 1_000.0);
        let leeway = TOKEN_LEEWAY.get() as f64;
        let now = NOW.as_millis() as f64;
        assert!(ends.is_some_and(|ends| ends + leeway >= now), "{text}");
        let begins = claims["nbf"].as_f64().map(|seconds| seconds * 1_000.0);
        assert!(begins.is_none_or(|begins| begins - leeway <= now + 1.0), "{text}");
        assert!(caller.until.is_some_and(|until| until > NOW), "{text}");
    }
}

/// A certificate as a connection shows it; or the files for TLS: a certificate, its key, and authorities of callers.
pub(crate) fn tls(bytes: &[u8]) {
    for name in Peer::of(&bytes.into()).0 {
        assert!(name.starts_with("dns:") || name.starts_with("uri:"), "{name}");
    }
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{error}"));
        path
    };
    let (certificate, rest) = cut(bytes);
    let (key, authorities) = cut(rest);
    let files = tls::Files {
        certificate: path("certificate", certificate),
        key: path("key", key),
        client_authorities: (!authorities.is_empty()).then(|| path("authorities", authorities)),
    };
    if let Err(why) = tls::open(&files) {
        assert!(!why.to_string().is_empty());
    }
}
