//! Events.

use std::collections::BTreeMap;

use super::fault::{Faults, Path};
use super::{channel, customer, length, offers, position, time, unknown, value};
use crate::catalog::{Catalog, EventType};
use crate::domain::event::Event;
use crate::domain::ids::{CustomerId, check_id, short_hash};
use crate::domain::request::OffersRequest;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::server::limits::{ATTRIBUTES_PER_MAP_MAX, EVENTS_PER_CALL_MAX};
use crate::server::wire;

/// A converted call that records events.
#[derive(Debug)]
pub struct Recording {
    /// Whose events they are.
    pub customer: CustomerId,
    /// The events, in the order given.
    pub events: Vec<Event>,
    /// The request for the re-ranked list, when there is one.
    pub offers: Option<OffersRequest>,
}

/// Converts a unary call.
///
/// # Errors
/// Everything that is wrong with it.
pub fn recording(given: &wire::RecordEventsRequest, catalog: &Catalog, now: Timestamp) -> Result<Recording, Faults> {
    let mut faults = Faults::default();
    let customer = customer(given.customer.as_ref(), Path::Root.field("customer"), &mut faults);
    let events = list(&given.events, catalog, now, Path::Root.field("events"), &mut faults);
    let path = Path::Root.field("offers");
    let offers = given
        .offers
        .as_ref()
        .map(|offers| offers::within(offers, customer.clone(), catalog, &path, &mut faults));
    let converted = (|| {
        Some(Recording {
            customer: customer?,
            events: events?,
            offers: offers.flatten(),
        })
    })();
    faults.into_result(converted)
}

/// Converts one message of a stream.
///
/// # Errors
/// Everything that is wrong with it.
pub fn message(
    given: &wire::RecordEventsStreamRequest,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<(CustomerId, Vec<Event>), Faults> {
    let mut faults = Faults::default();
    let customer = customer(given.customer.as_ref(), Path::Root.field("customer"), &mut faults);
    let events = list(&given.events, catalog, now, Path::Root.field("events"), &mut faults);
    faults.into_result(customer.zip(events))
}

/// Converts a list of events.
pub(super) fn list(
    given: &[wire::Event],
    catalog: &Catalog,
    now: Timestamp,
    path: Path<'_>,
    faults: &mut Faults,
) -> Option<Vec<Event>> {
    length(given.len(), EVENTS_PER_CALL_MAX, "events", path, faults)?;
    let converted = given
        .iter()
        .enumerate()
        .filter_map(|(at, given)| event(given, catalog, now, path.index(at), faults));
    Some(converted.collect())
}

fn event(given: &wire::Event, catalog: &Catalog, now: Timestamp, path: Path<'_>, faults: &mut Faults) -> Option<Event> {
    faults.note(path.field("id"), check_id(&given.id));
    let time = time(given.time.as_ref(), now, path.field("time"), faults);
    let channel = match given.channel.as_str() {
        "" => None,
        id => channel(id, catalog, path.field("channel"), faults).map(|at| catalog.channels[at].symbol),
    };
    let place = match given.place.as_str() {
        "" => None,
        id => place(id, catalog, path.field("place"), faults),
    };
    let session_hash = match given.session_id.as_str() {
        "" => None,
        id => faults
            .note(path.field("session_id"), check_id(id))
            .map(|()| short_hash(id)),
    };
    let types = catalog.events.iter().map(|event_type| &*event_type.id);
    let at = position(&given.r#type, types, "event type", path.field("type"), faults)?;
    let event_type = &catalog.events[at];
    let attributes = attributes(&given.attributes, event_type, catalog, path.field("attributes"), faults)?;
    Some(Event {
        id_hash: short_hash(&given.id),
        event_type: event_type.symbol,
        time: time?,
        channel,
        place,
        session_hash,
        attributes,
    })
}

fn place(id: &str, catalog: &Catalog, path: Path<'_>, faults: &mut Faults) -> Option<Symbol> {
    let names = catalog.places.iter().map(|&place| catalog.symbols.name(place));
    position(id, names, "place", path, faults).map(|at| catalog.places[at])
}

fn attributes(
    given: &BTreeMap<String, wire::AttributeValue>,
    event_type: &EventType,
    catalog: &Catalog,
    path: Path<'_>,
    faults: &mut Faults,
) -> Option<Vec<(Symbol, Value)>> {
    if given.len() > ATTRIBUTES_PER_MAP_MAX {
        faults.add(
            path,
            format_args!(
                "has {} entries; at most {ATTRIBUTES_PER_MAP_MAX} are allowed",
                given.len()
            ),
        );
        return None;
    }
    let mut converted = Vec::with_capacity(given.len());
    for (name, wire_value) in given {
        let path = path.key(name);
        if name == "channel" || name == "place" {
            faults.add(path, format_args!("is not set here but by the event's field `{name}`"));
        } else if let Some(attribute) = event_type.schema.find(name) {
            converted
                .extend(value(wire_value, attribute, catalog, path, faults).map(|value| (attribute.symbol, value)));
        } else {
            let names = event_type.schema.attributes.iter().map(|attribute| &*attribute.id);
            let names = names.filter(|name| !["channel", "place"].contains(name));
            faults.add(
                path,
                unknown(name, names, &format!("attribute of the event type `{}`", event_type.id)),
            );
        }
    }
    Some(converted)
}
