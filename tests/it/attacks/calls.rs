//! Calls that the protocol has nothing against.

use nbo::server::wire::attribute_value::Kind;
use nbo::server::wire::{self, Customer, UpsertProfileRequest};
use prost::Message;

use super::caller::{Caller, Request};
use super::frames::message;
use super::{Attack, CUSTOMERS_MAX};
use crate::served::{aged, customer, hero, search, value};

/// Calls at a time over one connection.
const AT_A_TIME: u64 = 64;

fn request(path: &str, content: &impl Message) -> Request {
    let content = content.encode_to_vec();
    Request::grpc(path, &message(false, u32::try_from(content.len()).unwrap(), &content))
}

fn upsert(change: &UpsertProfileRequest) -> Request {
    request("/nbo.v1.ProfileService/UpsertProfile", change)
}

fn record(customer: Customer, event: wire::Event) -> Request {
    let recording = wire::RecordEventsRequest {
        customer: Some(customer),
        events: vec![event],
        offers: None,
    };
    request("/nbo.v1.BehaviourService/RecordEvents", &recording)
}

/// Ids that were never seen before, as customers and as visitors, in every call that begins somebody.
pub(super) const NEW_CUSTOMERS: Attack = Attack {
    name: "new customers",
    memory_mib_max: 64,
    attackers: 2,
    blows_min: 4 * CUSTOMERS_MAX,
    run: |target| {
        let caller = Caller::new(target);
        let who = format!("{:?}", std::thread::current().id());
        let mut refused = 0;
        for round in 0_u64.. {
            let requests = (0..AT_A_TIME).map(|number| {
                // As long as an id may be.
                let id = format!(
                    "{:a<64}",
                    format!("{who:.20}-{round}-{number}").replace(['(', ')'], "-")
                );
                match number % 3 {
                    0 => upsert(&aged(&id, 30.0)),
                    1 => record(customer(&id), search("e1", "fund")),
                    _ => request("/nbo.v1.DecisionService/GetOffers", &hero(&id)),
                }
            });
            let answers = caller.all(requests);
            // Nobody is refused for another reason; offers are shown to anybody.
            for answer in answers {
                let status = answer.grpc_status.as_deref();
                assert!(matches!(status, None | Some("0" | "8")), "{answer:?}");
                refused += u64::from(status == Some("8"));
                target.blow();
            }
            if target.is_over() {
                break;
            }
        }
        assert!(refused > 0, "everybody became a customer");
    },
};

/// Numbers that are none, in attributes of profiles, events and requests, over gRPC and as JSON.
pub(super) const NAN_STORM: Attack = Attack {
    name: "NaN storm",
    memory_mib_max: 48,
    attackers: 2,
    blows_min: 100,
    run: |target| {
        let caller = Caller::new(target);
        let numbers = [
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE * -1e300,
        ];
        for round in 0_u64.. {
            let mut requests = Vec::new();
            for number in numbers {
                requests.push(upsert(&aged("storm", number)));
                let mut event = search(&format!("e{round}"), "fund");
                event
                    .attributes
                    .insert("results".to_owned(), value(Kind::Number(number)));
                requests.push(record(customer("storm"), event));
                let mut asked = hero("polite");
                asked.context.insert("device".to_owned(), value(Kind::Number(number)));
                requests.push(request("/nbo.v1.DecisionService/GetOffers", &asked));
            }
            for text in ["\"NaN\"", "\"-Infinity\"", "1e999", "NaN"] {
                let body = format!(
                    "{{\"customer\": {{\"id\": \"storm\"}}, \"attributes\": {{\"age\": {{\"number\": {text}}}}}}}"
                );
                requests.push(Request::json("/nbo.v1.ProfileService/UpsertProfile", body.as_bytes()));
            }
            for answer in caller.all(requests) {
                let refused = answer.grpc_status.as_deref() == Some("3") || answer.status == 400;
                assert!(refused, "{answer:?}");
                target.blow();
            }
            if target.is_over() {
                break;
            }
        }
    },
};
