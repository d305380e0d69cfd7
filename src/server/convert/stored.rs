//! Stored profiles as answers.

use std::collections::BTreeMap;

use super::instant;
use crate::catalog::{Attribute, AttributeType, Catalog};
use crate::decision::facts::Layout;
use crate::decision::unite;
use crate::domain::contact::{Contact, Counted};
use crate::domain::ids::{CustomerId, DecisionId};
use crate::domain::profile::{Joined, Precedence, Profile};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::server::wire;

/// Puts a profile, with those of joined visitors as one, as it stands at `now`, into words of the contract.
#[must_use]
pub fn profile(customer: &CustomerId, own: &Profile, catalog: &Catalog, now: Timestamp) -> wire::GetProfileResponse {
    let profile = &*unite::view(own);
    let mut layout = Layout::default();
    layout.fill(catalog, profile, now);
    let name = |symbol: Symbol| catalog.symbols.name(symbol).to_owned();
    let aggregates = catalog.aggregates.iter().zip(&layout.behaviour);
    let intents = catalog.intents.iter().zip(&layout.intent);
    wire::GetProfileResponse {
        customer: Some(super::customer_of(customer)),
        profile_version: profile.version,
        attributes: attributes(profile, catalog),
        opted_out_channels: profile.opt_outs.iter().map(|&channel| name(channel)).collect(),
        opted_out_of_all: profile.opted_out_of_all,
        behaviour: aggregates
            .filter_map(|(aggregate, &value)| Some((aggregate.id.to_string(), plain(value, catalog)?)))
            .collect(),
        intents: intents
            .filter_map(|(intent, value)| match *value {
                Value::Number(strength) if strength > 0.0 => Some((intent.id.to_string(), strength)),
                _ => None,
            })
            .collect(),
        recent_events: profile
            .events
            .iter()
            .map(|event| wire::RecentEvent {
                r#type: name(event.event_type),
                time: instant(event.time),
                channel: event.channel.map(name).unwrap_or_default(),
                place: event.place.map(name).unwrap_or_default(),
            })
            .collect(),
        sessions: profile
            .sessions
            .iter()
            .map(|session| wire::Session {
                first: instant(session.first),
                last: instant(session.last),
                events: session.events,
            })
            .collect(),
        contacts: unite::contacts(own)
            .into_iter()
            .map(|(joined, one)| contact(joined.map_or(customer, |joined| &joined.visitor), one, catalog))
            .collect(),
        joined_visitors: own.joined.iter().map(joined_visitor).collect(),
        consents: profile
            .consents
            .iter()
            .map(|consent| wire::Consent {
                purpose: name(consent.purpose),
                channel: consent.channel.map(name).unwrap_or_default(),
                granted: Some(consent.granted),
            })
            .collect(),
    }
}

fn joined_visitor(joined: &Joined) -> wire::JoinedVisitor {
    let precedence = match joined.precedence {
        Precedence::Customer => wire::Precedence::Customer,
        Precedence::Visitor => wire::Precedence::Visitor,
    };
    wire::JoinedVisitor {
        visitor: Some(super::customer_of(&joined.visitor)),
        merged_at: instant(joined.merged_at),
        precedence: precedence.into(),
    }
}

/// Attributes that the catalog in force does not know any more are kept, but not shown: their type is not known.
fn attributes(profile: &Profile, catalog: &Catalog) -> BTreeMap<String, wire::AttributeValue> {
    let known = profile.attributes.iter().filter_map(|&(symbol, value)| {
        let at = catalog.profile.positions.get(symbol)?;
        let attribute = &catalog.profile.attributes[at];
        Some((attribute.id.to_string(), typed(value, attribute, catalog)?))
    });
    known.collect()
}

fn typed(value: Value, attribute: &Attribute, catalog: &Catalog) -> Option<wire::AttributeValue> {
    use wire::attribute_value::Kind;
    match value {
        Value::Set(mask) => {
            let owners = catalog.symbols.set_values(attribute.symbol).iter().enumerate();
            let values = owners
                .filter(|&(bit, _)| mask & (1 << bit) != 0)
                .map(|(_, &symbol)| catalog.symbols.name(symbol).to_owned())
                .collect();
            Some(wire::AttributeValue {
                kind: Some(Kind::Set(wire::TextSet { values })),
            })
        }
        Value::Time(time) if attribute.attribute_type == AttributeType::Date => {
            let text = time.to_string().split('T').next().unwrap_or_default().to_owned();
            Some(wire::AttributeValue {
                kind: Some(Kind::Text(text)),
            })
        }
        other => plain(other, catalog),
    }
}

/// Converts a value that says by itself what it is.
fn plain(value: Value, catalog: &Catalog) -> Option<wire::AttributeValue> {
    use wire::attribute_value::Kind;
    let kind = match value {
        Value::Missing | Value::Set(_) => return None,
        Value::Boolean(truth) => Kind::Boolean(truth),
        Value::Number(number) => Kind::Number(number),
        Value::Category(symbol) => Kind::Text(catalog.symbols.name(symbol).to_owned()),
        Value::Time(time) => Kind::Text(time.to_string()),
    };
    Some(wire::AttributeValue { kind: Some(kind) })
}

fn contact(customer: &CustomerId, contact: &Contact, catalog: &Catalog) -> wire::Contact {
    let name = |symbol: Symbol| catalog.symbols.name(symbol).to_owned();
    let outcomes = Counted::ALL.into_iter().filter(|&counted| counted != Counted::Decided);
    wire::Contact {
        decision_id: DecisionId {
            customer: customer.key(),
            number: contact.decision,
        }
        .to_string(),
        offer_id: name(contact.offer),
        channel: name(contact.channel),
        placement: name(contact.placement),
        decided_at: instant(contact.decided_at()),
        campaign: contact.campaign.map(name).unwrap_or_default(),
        cancelled_at: contact.cancelled.and_then(instant),
        outcomes: outcomes
            .filter_map(|counted| Some((counted.name().to_owned(), instant(contact.time_of(counted)?)?)))
            .collect(),
    }
}
