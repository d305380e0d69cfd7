//! Everything that is known of one customer, as one document for the customer: the shape is the contract's
//! (`ExportCustomerResponse`).

use serde_json::{Map, Value as Json, json};

use crate::catalog::Catalog;
use crate::decision::facts::Layout;
use crate::decision::{hold_out, policy, unite};
use crate::domain::contact::{Contact, Counted};
use crate::domain::ids::{CustomerId, DecisionId};
use crate::domain::profile::{Joined, Precedence, Profile};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// What the document says it is.
const FORMAT: &str = "nbo customer 1";

/// Puts all that is known of a customer into a document, as it stands at `now`.
#[must_use]
pub fn document(customer: &CustomerId, profile: &Profile, catalog: &Catalog, now: Timestamp) -> Json {
    let words = Words { catalog, now };
    let mut layout = Layout::default();
    layout.fill(catalog, &unite::view(profile), now);
    let aggregates = catalog.aggregates.iter().zip(&layout.behaviour);
    let intents = catalog.intents.iter().zip(&layout.intent);
    let known = |(name, value): (&str, Value)| (value != Value::Missing).then(|| (name.to_owned(), words.value(value)));
    let hold_outs = hold_out::of(catalog, Some(customer.key())).into_iter();
    let mut document = words.own(customer, profile);
    let more = json!({
        "format": FORMAT,
        "exported_at": now.to_string(),
        "catalog_version": &*catalog.version,
        "profile_version": profile.version,
        "behaviour": aggregates.filter_map(|(one, &value)| known((&one.id, value))).collect::<Map<_, _>>(),
        "intents": intents.filter_map(|(one, &value)| known((&one.id, value))).collect::<Map<_, _>>(),
        "joined": profile.joined.iter().map(|joined| words.joined(joined)).collect::<Vec<_>>(),
        "hold_outs": hold_outs.map(|at| &*catalog.hold_outs[at].id).collect::<Vec<_>>(),
    });
    if let Json::Object(more) = more {
        document.extend(more);
    }
    Json::Object(document)
}

/// The names of a catalog, at an instant.
struct Words<'a> {
    catalog: &'a Catalog,
    now: Timestamp,
}

impl Words<'_> {
    fn name(&self, symbol: Symbol) -> &str {
        self.catalog.symbols.name(symbol)
    }

    fn value(&self, value: Value) -> Json {
        match value {
            // A set says what it holds only with its attribute.
            Value::Missing | Value::Set(_) => Json::Null,
            Value::Boolean(truth) => json!(truth),
            Value::Number(number) => json!(number),
            Value::Category(symbol) => json!(self.name(symbol)),
            Value::Time(time) => json!(time.to_string()),
        }
    }

    /// A joined visitor, with all of its own.
    fn joined(&self, joined: &Joined) -> Json {
        let mut own = self.own(&joined.visitor, &joined.profile);
        own.insert("merged_at".to_owned(), json!(joined.merged_at.to_string()));
        let first = match joined.precedence {
            Precedence::Customer => "customer",
            Precedence::Visitor => "visitor",
        };
        own.insert("precedence".to_owned(), json!(first));
        Json::Object(own)
    }

    /// What one of the people who are one has of their own.
    fn own(&self, customer: &CustomerId, profile: &Profile) -> Map<String, Json> {
        let own = json!({
            "customer": if customer.is_anonymous() {
                json!({"anonymous_id": customer.as_str()})
            } else {
                json!({"id": customer.as_str()})
            },
            "attributes": self.attributes(profile),
            "opt_outs": {
                "all": profile.opted_out_of_all,
                "channels": profile.opt_outs.iter().map(|&channel| self.name(channel)).collect::<Vec<_>>(),
            },
            "consents": profile.consents.iter().map(|consent| json!({
                "purpose": self.name(consent.purpose),
                "channel": consent.channel.map(|channel| self.name(channel)),
                "granted": consent.granted,
            })).collect::<Vec<_>>(),
            "counted": self.counted(profile),
            "events": profile.events.iter().map(|event| json!({
                "id_hash": hash(event.id_hash),
                "type": self.name(event.event_type),
                "time": event.time.to_string(),
                "channel": event.channel.map(|channel| self.name(channel)),
                "place": event.place.map(|place| self.name(place)),
            })).collect::<Vec<_>>(),
            "older_event_id_hashes": profile.older_event_ids.iter().map(|&id| hash(id)).collect::<Vec<_>>(),
            "sessions": profile.sessions.iter().map(|session| json!({
                "id_hash": hash(session.id_hash),
                "first": session.first.to_string(),
                "last": session.last.to_string(),
                "events": session.events,
            })).collect::<Vec<_>>(),
            "requests": profile.requests.iter().map(|request| json!({
                "id_hash": hash(request.key.id),
                "decision_id": decision(customer, request.decision),
            })).collect::<Vec<_>>(),
            "contacts": profile.contacts.iter().map(|one| self.contact(customer, one)).collect::<Vec<_>>(),
        });
        match own {
            Json::Object(own) => own,
            _ => Map::new(),
        }
    }

    /// All that are known, whether the catalog in force still has them or not.
    fn attributes(&self, profile: &Profile) -> Map<String, Json> {
        let attributes = profile.attributes.iter().map(|&(symbol, value)| {
            let value = match value {
                Value::Set(mask) => {
                    let owners = self.catalog.symbols.set_values(symbol).iter().enumerate();
                    let held = owners.filter(|&(bit, _)| mask & (1 << bit) != 0);
                    held.map(|(_, &owner)| self.name(owner)).collect()
                }
                other => self.value(other),
            };
            (self.name(symbol).to_owned(), value)
        });
        attributes.collect()
    }

    /// What the aggregates and intents are made of.
    fn counted(&self, profile: &Profile) -> Json {
        json!({
            "counts": profile.buckets.iter().map(|bucket| json!({
                "aggregate": self.name(bucket.aggregate),
                "step": bucket.step,
                "amount": bucket.amount,
            })).collect::<Vec<_>>(),
            "latest": profile.latest.iter().map(|latest| json!({
                "aggregate": self.name(latest.aggregate),
                "time": latest.time.to_string(),
                "value": self.value(latest.value),
            })).collect::<Vec<_>>(),
            "interests": profile.traces.iter().map(|trace| json!({
                "intent": self.name(trace.intent),
                "time": trace.time.to_string(),
                "weight": f64::from(trace.weight_thousandths) / 1_000.0,
            })).collect::<Vec<_>>(),
        })
    }

    fn contact(&self, customer: &CustomerId, contact: &Contact) -> Json {
        let reserved_until = contact.decided_at() + policy::reservation(self.catalog, contact.channel);
        let is_reserved = self.now < reserved_until && !contact.is_confirmed() && contact.cancelled.is_none();
        let state = match contact {
            contact if contact.is_cancelled() => "cancelled",
            contact if contact.is_confirmed() => "reported",
            _ if is_reserved => "reserved",
            _ => "lapsed",
        };
        let outcomes = Counted::ALL.into_iter().filter(|&counted| counted != Counted::Decided);
        let reported = outcomes.filter_map(|counted| {
            let time = contact.time_of(counted)?;
            Some((counted.name().to_owned(), json!(time.to_string())))
        });
        json!({
            "decision_id": decision(customer, contact.decision),
            "offer": self.name(contact.offer),
            "channel": self.name(contact.channel),
            "placement": self.name(contact.placement),
            "campaign": contact.campaign.map(|campaign| self.name(campaign)),
            "decided_at": contact.decided_at().to_string(),
            "outcomes": reported.collect::<Map<_, _>>(),
            "cancelled_at": contact.cancelled.map(|at| at.to_string()),
            "state": state,
            "reserved_until": is_reserved.then(|| reserved_until.to_string()),
        })
    }
}

fn hash(number: u64) -> String {
    format!("{number:016x}")
}

fn decision(customer: &CustomerId, number: u32) -> String {
    let customer = customer.key();
    DecisionId { customer, number }.to_string()
}
