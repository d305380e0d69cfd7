//! JWTs: which are taken, which are not, and that nobody learns more from a refusal than they knew.

use std::sync::Arc;

use nbo::clock::Clock as _;
use nbo::domain::time::{Millis, Timestamp};
use nbo::server::access::Access;
use nbo::server::access::jwt::Expected;
use nbo::server::access::table::{Role, Roles};
use nbo::server::doors::Doors;
use ring::hmac;
use serde_json::{Value as Json, json};
use tonic::Code;

use super::issuer::{AUDIENCE, ISSUER, Key, base64, claims, jwks, signed_by};
use super::{Guarded, Secrets, call, code, is_let_in, look_again};
use crate::served::MORNING;

fn access(secrets: &Secrets) -> Access {
    let expected = Expected {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
    };
    Access::read(None, Some((secrets.path("jwks.json"), expected))).unwrap()
}

/// Returns the roles of a token's holder at a moment, or what a refused one is told.
fn judged(access: &Access, token: &str, now: Timestamp) -> Result<Roles, String> {
    match access.caller(Some(token), None, now) {
        Ok(caller) => Ok(caller.roles),
        Err(status) => {
            assert_eq!(status.code(), Code::Unauthenticated);
            Err(status.message().to_owned())
        }
    }
}

const INVALID: &str = "the token is not valid here";

/// A good header, good claims, and a way to change one of them.
fn changed(key: &Key, header: &[(&str, Json)], said: &[(&str, Json)]) -> String {
    let mut head = json!({"alg": key.algorithm(), "kid": "now"});
    let mut body = claims(&json!(["offers"]), MORNING);
    for (object, changes) in [(&mut head, header), (&mut body, said)] {
        for (name, value) in changes {
            object[*name] = value.clone();
            if value.is_null() {
                object.as_object_mut().unwrap().remove(*name);
            }
        }
    }
    key.token(&head, &body)
}

#[test]
fn a_token_of_each_kind_of_key_is_taken_with_the_roles_it_names() {
    let secrets = Secrets::new();
    let keys = [Key::es256(), Key::ed_dsa(), Key::rs256()];
    let names = ["a", "b", "c"];
    let listed: Vec<_> = keys.iter().zip(names).map(|(key, kid)| key.jwk(kid)).collect();
    secrets.write("jwks.json", &jwks(&listed));
    let access = access(&secrets);
    for (key, kid) in keys.iter().zip(names) {
        let token = key.good(kid, &json!(["offers", "admin", "nbo:erase"]), MORNING);
        let expected = Roles::of(&[Role::Offers, Role::Erase]);
        assert_eq!(judged(&access, &token, MORNING), Ok(expected), "{}", key.algorithm());
        // Once more, from what is remembered.
        assert_eq!(judged(&access, &token, MORNING), Ok(expected));
        // Signed by another key than it says.
        for other in names.into_iter().filter(|&other| other != kid) {
            let token = key.good(other, &json!(["offers"]), MORNING);
            assert_eq!(judged(&access, &token, MORNING), Err(INVALID.to_owned()));
        }
    }
}

#[test]
fn roles_stand_in_roles_or_scope_as_a_list_or_with_spaces_between() {
    let secrets = Secrets::new();
    let key = Key::es256();
    secrets.write("jwks.json", &jwks(&[key.jwk("now")]));
    let access = access(&secrets);
    for (roles, scope, expected) in [
        (
            json!("offers events"),
            Json::Null,
            Roles::of(&[Role::Offers, Role::Events]),
        ),
        (Json::Null, json!("openid nbo:catalog"), Roles::of(&[Role::Catalog])),
        (
            json!(["offers"]),
            json!(["operate"]),
            Roles::of(&[Role::Offers, Role::Operate]),
        ),
        (Json::Null, Json::Null, Roles::NONE),
    ] {
        let token = changed(&key, &[], &[("roles", roles), ("scope", scope)]);
        assert_eq!(judged(&access, &token, MORNING), Ok(expected));
    }
}

#[test]
fn a_token_that_is_wrong_in_one_thing_is_refused_and_does_not_learn_in_which() {
    let secrets = Secrets::new();
    let key = Key::es256();
    secrets.write("jwks.json", &jwks(&[key.jwk("now"), Key::rs256().jwk("rsa")]));
    let access = access(&secrets);
    assert!(judged(&access, &changed(&key, &[], &[]), MORNING).is_ok());
    for (name, header, said) in [
        ("another audience", vec![], vec![("aud", json!("other"))]),
        ("no audience", vec![], vec![("aud", Json::Null)]),
        ("another issuer", vec![], vec![("iss", json!("https://evil.example"))]),
        ("no issuer", vec![], vec![("iss", Json::Null)]),
        ("no end", vec![], vec![("exp", Json::Null)]),
        ("an end in words", vec![], vec![("exp", json!("tomorrow"))]),
        ("an unknown key", vec![("kid", json!("next"))], vec![]),
        ("no key, of two", vec![("kid", Json::Null)], vec![]),
        ("the key of another kind", vec![("kid", json!("rsa"))], vec![]),
        ("another algorithm", vec![("alg", json!("RS256"))], vec![]),
        ("an algorithm that is not taken", vec![("alg", json!("ES384"))], vec![]),
        ("what has to be understood", vec![("crit", json!(["exp"]))], vec![]),
    ] {
        let token = changed(&key, &header, &said);
        assert_eq!(judged(&access, &token, MORNING), Err(INVALID.to_owned()), "{name}");
    }
    let good = changed(&key, &[], &[]);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let more = base64(claims(&json!(["erase"]), MORNING).to_string().as_bytes());
    for wrong in [
        format!("{message}."),
        message.to_owned(),
        format!("{message}.{}", &signature[..signature.len() - 2]),
        format!("{head}.{more}.{signature}"),
        format!("{good}.{signature}"),
        "..".to_owned(),
        String::new(),
        "\u{e9}".repeat(100),
        "a".repeat(100_000),
    ] {
        assert_eq!(judged(&access, &wrong, MORNING), Err(INVALID.to_owned()), "{wrong}");
    }
}

#[test]
fn a_token_without_a_signature_or_signed_with_the_public_key_as_a_secret_is_refused() {
    let secrets = Secrets::new();
    let key = Key::rs256();
    let jwk = key.jwk("now");
    let listed = jwks(std::slice::from_ref(&jwk));
    secrets.write("jwks.json", &listed);
    let access = access(&secrets);
    let body = claims(&json!(["erase"]), MORNING);
    for alg in ["none", "None", "HS256", "HS512"] {
        let header = json!({"alg": alg, "kid": "now"});
        let token = signed_by(&header, &body, |_| Vec::new());
        assert_eq!(judged(&access, &token, MORNING), Err(INVALID.to_owned()), "{alg}");
        for secret in [listed.as_str(), jwk["n"].as_str().unwrap(), &jwk.to_string(), ""] {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let token = signed_by(&header, &body, |message| hmac::sign(&secret, message).as_ref().to_vec());
            assert_eq!(judged(&access, &token, MORNING), Err(INVALID.to_owned()), "{alg}");
        }
    }
    // The key that a token brings along is nobody's.
    let stranger = Key::es256();
    let header = json!({"alg": "ES256", "kid": "now", "jwk": stranger.jwk("now")});
    assert_eq!(
        judged(&access, &stranger.token(&header, &body), MORNING),
        Err(INVALID.to_owned())
    );
}

#[test]
fn a_token_is_good_from_its_beginning_to_its_end_by_the_servers_clock_half_a_minute_around_them() {
    let secrets = Secrets::new();
    let key = Key::ed_dsa();
    // The only key, which a token need not name.
    secrets.write("jwks.json", &jwks(&[key.jwk("now")]));
    let access = access(&secrets);
    let token = changed(&key, &[("kid", Json::Null)], &[]);
    let at = |seconds: i64| judged(&access, &token, MORNING + Millis::SECOND.times(seconds));
    assert_eq!(at(-31), Err("the token is not valid yet".to_owned()));
    for good in [-30, 0, 300, 329] {
        assert!(at(good).is_ok(), "{good}");
    }
    // Remembered, but not for longer.
    assert_eq!(at(330), Err("the token has expired; get a new one".to_owned()));
    let forever = changed(&key, &[], &[("exp", json!(1e18)), ("nbf", Json::Null)]);
    assert!(judged(&access, &forever, MORNING).is_ok());
    let before = changed(&key, &[], &[("exp", json!(-1e300)), ("nbf", Json::Null)]);
    assert!(judged(&access, &before, MORNING).is_err());
}

#[test]
fn a_file_that_is_no_jwks_or_tells_a_secret_is_refused_with_the_reason() {
    let secrets = Secrets::new();
    let mut private = Key::es256().jwk("now");
    private["d"] = json!("c2VjcmV0");
    let mut short = Key::rs256().jwk("now");
    short["n"] = json!(base64(&[0xff; 128]));
    let twice = Key::es256().jwk("now");
    for (text, expected) in [
        ("{".to_owned(), "the file is no JWKS"),
        (jwks(&[]), "no key for ES256, EdDSA or RS256"),
        (
            jwks(&[json!({"kty": "oct", "k": "c2VjcmV0"})]),
            "keys[0] tells a secret",
        ),
        (jwks(&[private]), "keys[0] tells a secret"),
        (jwks(&[short]), "keys[0]: not the length of a key for RS256"),
        (
            jwks(&[twice.clone(), twice]),
            "keys[1]: another key has the `kid` `now`",
        ),
        (
            jwks(&[json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"})]),
            "no key for",
        ),
    ] {
        let file = secrets.write("jwks.json", &text);
        let expected_claims = Expected {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
        };
        let refused = Access::read(None, Some((file, expected_claims)))
            .err()
            .unwrap()
            .to_string();
        assert!(refused.contains(expected), "{refused}");
        assert!(!refused.contains("c2VjcmV0"), "{refused}");
    }
}

#[tokio::test]
async fn a_key_that_is_taken_out_ends_its_tokens_and_a_new_one_begins_them_while_serving() {
    let secrets = Secrets::new();
    let (old, new) = (Key::es256(), Key::rs256());
    secrets.write("jwks.json", &jwks(&[old.jwk("old")]));
    let access = Arc::new(access(&secrets));
    let served = Guarded::start(|doors| Doors {
        access: Arc::clone(&access),
        ..doors
    })
    .await;
    let now = served.clock.now();
    let of_old = served.connect(Some(&old.good("old", &json!("offers"), now))).await;
    let of_new = served.connect(Some(&new.good("new", &json!("offers"), now))).await;
    let get = "/nbo.v1.DecisionService/GetOffers";
    let erase = "/nbo.v1.ProfileService/EraseCustomer";
    assert!(is_let_in(code(call(&of_old, get).await)));
    assert_eq!(code(call(&of_old, erase).await), Code::PermissionDenied);
    assert_eq!(code(call(&of_new, get).await), Code::Unauthenticated);

    secrets.write("jwks.json", &jwks(&[old.jwk("old"), new.jwk("new")]));
    look_again(&access);
    assert!(is_let_in(code(call(&of_old, get).await)));
    assert!(is_let_in(code(call(&of_new, get).await)));

    secrets.write("jwks.json", &jwks(&[new.jwk("new")]));
    look_again(&access);
    assert_eq!(code(call(&of_old, get).await), Code::Unauthenticated);
    assert!(is_let_in(code(call(&of_new, get).await)));

    served.clock.advance(Millis::MINUTE.times(6));
    assert_eq!(code(call(&of_new, get).await), Code::Unauthenticated);
    served.stop().await;
}
