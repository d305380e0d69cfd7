//! Tokens that an issuer signed (JWT): judged by the issuer's public keys, which lie in a JWKS file.
//!
//! The key says which algorithm is used, never the token: a P-256 key takes ES256, an Ed25519 key EdDSA, an RSA key
//! of 2,048 bits or more RS256, and nothing else is taken. The token's `kid` chooses the key; a token without one is
//! taken when there is only one key. A token has to name the issuer (`iss`) and this audience (`aud`), and when it ends
//! (`exp`). Its roles stand in `roles` or `scope`, as a list or with spaces between, each as it is called here or with
//! `nbo:` before; what is no role of ours is left out, since an issuer's tokens serve others as well.

use std::collections::HashMap;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use serde::Deserialize;

use super::caller::Caller;
use super::cipher;
use super::table::{Role, Roles};
use crate::domain::time::Timestamp;
use crate::server::limits::{ISSUER_KEYS_MAX, TOKEN_LEEWAY};

/// What stands before the name of a role where an issuer's names are shared with other services.
const PREFIX: &str = "nbo:";
/// Bytes of the shortest RSA modulus that is taken, and of the longest: 2,048 and 8,192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
/// The name of whoever holds such a token.
const NAME: &str = "jwt";

/// What a token has to say besides a good signature.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Its `iss`.
    pub issuer: String,
    /// One of its `aud`.
    pub audience: String,
}

/// Why a token is not taken. Only those who hold a token with a good signature are told more than that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Anything that somebody could try until it fits; the words are for the log.
    Invalid(&'static str),
    /// It was good.
    Expired,
    /// It will be good.
    Early,
}

struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// The public keys of an issuer.
pub struct Keys {
    by_id: HashMap<String, Key>,
    /// The only key, which a token need not name.
    only: Option<String>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    exp: f64,
    nbf: Option<f64>,
    roles: Option<Names>,
    scope: Option<Names>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    Text(String),
    List(Vec<String>),
}

impl Keys {
    /// Reads a JWKS file's contents. Keys for other uses and of other kinds are left out.
    ///
    /// # Errors
    /// When it is no JWKS, has no key that can be used, has one that is broken, or tells a private key.
    pub fn read(contents: &[u8]) -> Result<Self, String> {
        cipher::install();
        let set: Set = serde_json::from_slice(contents).map_err(|error| format!("the file is no JWKS: {error}"))?;
        if set.keys.len() > ISSUER_KEYS_MAX {
            return Err(format!("{} keys are more than {ISSUER_KEYS_MAX}", set.keys.len()));
        }
        let mut by_id = HashMap::new();
        for (at, value) in set.keys.into_iter().enumerate() {
            if value.get("d").is_some() || value.get("k").is_some() {
                return Err(format!(
                    "keys[{at}] tells a secret; put only public keys in, and change this one"
                ));
            }
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
                // Of a kind that is not known here.
                continue;
            };
            let id = jwk.common.key_id.clone().unwrap_or_default();
            let Some(key) = key(&jwk).map_err(|why| format!("keys[{at}]: {why}"))? else {
                continue;
            };
            if by_id.insert(id.clone(), key).is_some() {
                return Err(format!("keys[{at}]: another key has the `kid` `{id}`"));
            }
        }
        if by_id.is_empty() {
            return Err("the file has no key for ES256, EdDSA or RS256".to_owned());
        }
        let only = (by_id.len() == 1).then(|| by_id.keys().next().cloned()).flatten();
        Ok(Self { by_id, only })
    }

    /// Judges a token at a moment, and says what its holder may do.
    ///
    /// # Errors
    /// When the token is not good.
    pub fn judge(&self, token: &str, expected: &Expected, now: Timestamp) -> Result<Caller, Why> {
        let header = decode_header(token).map_err(|_| Why::Invalid("no JWT, or signed in a way that is not taken"))?;
        if header.crit.is_some() {
            return Err(Why::Invalid("a header that has to be understood is not"));
        }
        let id = header.kid.as_ref().or(self.only.as_ref());
        let key = id.and_then(|id| self.by_id.get(id));
        let key = key.ok_or(Why::Invalid("the key is not known"))?;
        let mut validation = Validation::new(key.algorithm);
        // The ends are judged below, by the clock that everything here goes by.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&expected.issuer]);
        validation.set_audience(&[&expected.audience]);
        let decoded = decode::<Claims>(token, &key.key, &validation);
        let claims = decoded
            .map_err(|_| Why::Invalid("algorithm, signature, issuer, audience or claims"))?
            .claims;
        let until = instant(claims.exp) + TOKEN_LEEWAY;
        if now >= until {
            return Err(Why::Expired);
        }
        if claims.nbf.is_some_and(|from| now + TOKEN_LEEWAY < instant(from)) {
            return Err(Why::Early);
        }
        let named = [claims.roles, claims.scope].into_iter().flatten();
        Ok(Caller {
            name: NAME.to_owned(),
            roles: named.fold(Roles::NONE, |roles, names| names.add_to(roles)),
            until: Some(until),
        })
    }
}

impl Names {
    fn add_to(&self, roles: Roles) -> Roles {
        let add = |roles: Roles, name: &str| {
            let role = Role::named(name.strip_prefix(PREFIX).unwrap_or(name));
            role.map_or(roles, |role| roles.with(role))
        };
        match self {
            Self::Text(text) => text.split_whitespace().fold(roles, add),
            Self::List(list) => list.iter().map(String::as_str).fold(roles, add),
        }
    }
}

/// Returns a key that signatures can be checked with; nothing when it is for something else.
fn key(jwk: &Jwk) -> Result<Option<Key>, String> {
    let for_signatures = jwk.common.public_key_use.as_ref();
    if for_signatures.is_some_and(|use_| *use_ != PublicKeyUse::Signature) {
        return Ok(None);
    }
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => (Algorithm::ES256, "ES256"),
        AlgorithmParameters::OctetKeyPair(point) if point.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, "EdDSA")
        }
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, "RS256"),
        _ => return Ok(None),
    };
    if jwk
        .common
        .key_algorithm
        .is_some_and(|meant| meant != KeyAlgorithm::from(algorithm))
    {
        return Ok(None);
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let is_sound = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => RSA_BYTES.contains(&n.len()),
        DecodingKeyKind::SecretOrDer(point) if algorithm == Algorithm::ES256 => point.len() == 65,
        DecodingKeyKind::SecretOrDer(point) => point.len() == 32,
    };
    if !is_sound {
        return Err(format!(
            "not the length of a key for {name}; RSA takes 2048 to 8192 bits"
        ));
    }
    Ok(Some(Key { algorithm, key }))
}

/// Seconds since 1970, with parts of seconds, as JWTs write instants.
#[expect(clippy::cast_possible_truncation, reason = "what is out of range is forever")]
fn instant(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1_000.0) as i64)
}
