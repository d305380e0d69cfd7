//! The corpora of what says who calls and how, and of campaigns and audits: files that people and other programs bring.

use std::time::Duration;

use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use serde_json::{Value as Json, json};

use nbo::server::access::tokens::{line, roles_named};
use nbo::server::wire;

use super::corpus;
use super::seeds::keep;
use crate::served::customer;

/// Writes all of them.
pub(super) fn write() {
    heads();
    tokens();
    jwts();
    certificates();
    campaigns();
    keep("history", "small", history().as_bytes());
}

/// Joins parts as the fuzzers cut them.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&0)
}

fn heads() {
    let grpc = "/nbo.v1.DecisionService/GetOffers\ncontent-type: application/grpc+proto\ngrpc-timeout: 250m\nauthorization: Bearer nbo_1\n\
        traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n\n\0\0\0\0\u{5}hello\0\0\0\u{1}\0";
    let watching = "/nbo.v1.DecisionService/WatchOffers?request=%7B%22channel%22%3A%22web%22%7D\naccept: text/html, text/event-stream;q=0.9\n\
        last-event-id: 7\n\n";
    let json = "/nbo.v1.ProfileService/ImportProfiles\ncontent-type: application/json; charset=utf-8\ncontent-encoding: identity\n\
        content-length: 2\n\n{}";
    for (name, text) in [("grpc", grpc), ("watching", watching), ("json", json)] {
        keep("head", name, text.as_bytes());
    }
}

fn tokens() {
    let website = line("website", roles_named("offers,events").unwrap(), "nbo_website");
    let file =
        format!("# who may call\n{website}\n\ncrm profiles uri:spiffe://bank/crm\nshop offers dns:shop.bank.example\n");
    for shown in ["nbo_website", "uri:spiffe://bank/crm", "dns:other"] {
        let name = shown.split(['_', ':']).next().unwrap();
        keep("tokens", name, &joined(&[file.as_bytes(), shown.as_bytes()]));
    }
}

fn jwts() {
    let set = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "e", "use": "sig", "x": "A".repeat(43), "y": "B".repeat(42) + "A"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "o", "x": "A".repeat(43)},
        {"kty": "RSA", "alg": "RS256", "kid": "r", "n": "u".repeat(342), "e": "AQAB"},
    ]});
    let token = b"eyJhbGciOiJFZERTQSIsImtpZCI6Im8ifQ.eyJleHAiOjE3NzI0NDMwMDB9.AAAA";
    keep("jwt", "keys", &joined(&[set.to_string().as_bytes(), token]));
    let claims = |roles: Json| {
        json!({"iss": "https://login.bank.example", "aud": ["nbo", "other"], "exp": 1_772_443_000, "nbf": 1_772_441_000.5,
            "roles": roles})
    };
    for (name, roles) in [
        ("list", json!(["offers", "nbo:events"])),
        ("text", json!("offers other")),
    ] {
        let header = json!({"alg": "EdDSA", "kid": "a", "typ": "JWT"});
        let parts = [header.to_string(), claims(roles).to_string()];
        keep("jwt", name, &joined(&[parts[0].as_bytes(), parts[1].as_bytes()]));
    }
}

/// Certificates have new keys each time, so that those that are there stay.
fn certificates() {
    if corpus("tls").exists() {
        return;
    }
    let mut of_authority = CertificateParams::new(Vec::new()).unwrap();
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(of_authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["shop.bank.example".to_owned()]).unwrap();
    let uri = SanType::URI("spiffe://bank/shop".try_into().unwrap());
    params.subject_alt_names.push(uri);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, &authority).unwrap();
    keep("tls", "shown", certificate.der());
    let (pem, key, authority) = (certificate.pem(), key.serialize_pem(), authority.pem());
    keep("tls", "server", &joined(&[pem.as_bytes(), key.as_bytes()]));
    let with_callers = [pem.as_bytes(), key.as_bytes(), authority.as_bytes()];
    keep("tls", "server-and-callers", &joined(&with_callers));
}

fn campaigns() {
    let segment = "campaign: spring_savings\nchannel: campaign\nplacement: best_offers\ncount: 1\n\
        segment: profile.age >= 30 && intent.savings > 0\nreserve: true\nlimits:\n  - {offer: savings_easy_access, at_most: 1000}\n  \
        - {group: fund, at_most: 5000, at_least: 100}\n";
    keep("spec", "segment", segment.as_bytes());
    let everyone = "campaign: all\nchannel: web\nplacement: best_offers\neveryone: true\nexplain: true\nmax_customers: 5\n\
        context: {device: phone, visits: 3, member: true, tags: [a, b]}\n";
    keep("spec", "everyone", everyone.as_bytes());
    let request = wire::RankCustomersRequest {
        channel: "campaign".to_owned(),
        run_id: "spring".to_owned(),
        ..Default::default()
    };
    let answer = wire::RankCustomersResponse {
        customers: vec![wire::CustomerOffers {
            customer: Some(customer("anna")),
            decision_id: "0123456789".repeat(4),
            ..Default::default()
        }],
        resume_token: "f".repeat(65),
        ..Default::default()
    };
    let mut part = Vec::new();
    for message in [request.encode_to_vec(), answer.encode_to_vec(), answer.encode_to_vec()] {
        part.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
        part.extend_from_slice(&message);
    }
    keep("part", "whole", &part);
    keep("part", "cut-off", &part[..part.len() - 3]);
}

/// An export with each kind of limit and of report.
fn history() -> String {
    let seconds = |seconds: u64| {
        let since = "2026-03-02T09:00:00Z".parse::<jiff::Timestamp>().unwrap();
        (since + Duration::from_secs(seconds)).to_string()
    };
    let policy = json!({
        "in_force_from": "2026-01-01T00:00:00Z",
        "catalog": "0000000000000000",
        "time_zone": "Europe/Madrid",
        "week_starts": "monday",
        "offers": {"a": {"group": "g"}, "b": {"group": "g"}, "service": {"group": "s", "stopped": false, "counted": false}},
        "caps": [
            {"id": "daily", "at_most": 2, "of": "seen", "window": {"rolling_ms": 86_400_000}, "each": ["offer", "channel"]},
            {"id": "hourly", "at_most": 1, "of": "delivered", "window": {"calendar": "hour"}, "scope": {"channels": ["web"]}},
            {"id": "once", "at_most": 1, "of": "decided", "window": "ever", "each": ["group", "campaign", "placement"]}
        ],
        "cool_downs": [
            {"id": "no", "after": "refused", "times": 1, "rest_ms": 7_776_000_000_u64, "on": "group", "also": ["b"]},
            {"id": "ignored", "after": "ignored", "times": 2, "within_ms": 86_400_000, "on": "offer"}
        ],
        "volumes": [
            {"id": "all", "at_most": 2, "of": "decided", "per": "day", "pace_even": true},
            {"id": "ever", "at_most": 1, "of": "seen"}
        ]
    });
    let contact = |offer: &str, at: u64, more: Json| {
        let mut contact = json!({"decision": 1, "offer": offer, "channel": "web", "placement": "top", "decided_at": seconds(at),
            "reserved_until": seconds(at + 600)});
        for (key, value) in more.as_object().unwrap() {
            contact[key] = value.clone();
        }
        contact
    };
    let outcomes = json!({"outcomes": {"seen": seconds(5), "refused": seconds(90)}, "campaign": "spring"});
    let joined = json!({"joined": {"visitor": 0, "at": seconds(1_000), "zone": "Asia/Tokyo"}});
    let lines = [
        json!({"nbo_contacts": 2, "exported_at": "2026-12-01T00:00:00Z", "policies": [policy]}),
        json!({"customer": "anna", "zone": "Europe/London", "contacts": [
            contact("a", 0, outcomes),
            contact("b", 100, json!({"cancelled_at": seconds(120), "backdated_at": seconds(130)})),
            contact("a", 2_000, json!({"in_volumes": false})),
            contact("service", 2_100, json!({})),
            contact("b", 900, joined),
        ]}),
        json!({"customer": "v1", "visitor": true, "zone": null, "contacts": [contact("a", 50, json!({}))]}),
    ];
    lines.map(|line| line.to_string()).join("\n")
}
