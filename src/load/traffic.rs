//! What calls ask for: whose offers, and which events.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use super::calls::{CUSTOMERS_PER_BATCH, EVENTS_PER_BATCH};
use crate::server::wire;
use crate::server::wire::attribute_value::Kind;
use crate::sim::draw::Draw;

/// What all calls of a run have in common.
#[derive(Debug)]
pub(super) struct Traffic {
    /// The types of events, with what they carry.
    pub(super) event_types: Vec<wire::EventTypeSchema>,
    /// Events that made a list be ranked anew, once some were found.
    pub(super) moving: OnceCell<Vec<wire::Event>>,
    /// How many customers there are.
    pub(super) customers: usize,
    /// The channel that asks.
    pub(super) channel: String,
    /// All channels on which the placement can be filled.
    pub(super) channels: Vec<String>,
    /// Those who asked last from another channel than `channel`, and from which.
    pub(super) elsewhere: RefCell<BTreeMap<usize, usize>>,
    /// The placement to fill.
    pub(super) placement: String,
    /// How many offers are asked for.
    pub(super) count: u32,
    /// Whether offers are only looked at: nothing is reserved.
    pub(super) preview: bool,
    /// Goes into the ids of events, so that no run repeats those of another.
    pub(super) run: String,
    /// Chooses customers and events.
    pub(super) seed: u64,
}

impl Traffic {
    /// Returns how many customers are only read: the first half.
    pub(super) const fn readers(&self) -> usize {
        self.customers.div_ceil(2)
    }

    pub(super) fn reader(&self, draw: &mut Draw) -> usize {
        draw.below(self.readers())
    }

    pub(super) fn writer(&self, draw: &mut Draw) -> usize {
        let writers = self.customers - self.readers();
        if writers == 0 {
            0
        } else {
            self.readers() + draw.below(writers)
        }
    }

    pub(super) fn offers(&self, customer: usize, events: Vec<wire::Event>) -> wire::GetOffersRequest {
        self.elsewhere.borrow_mut().remove(&customer);
        wire::GetOffersRequest {
            customer: Some(named(customer)),
            channel: self.channel.clone(),
            placements: vec![wire::PlacementRequest {
                placement: self.placement.clone(),
                count: self.count,
            }],
            preview: self.preview && events.is_empty(),
            events,
            ..wire::GetOffersRequest::default()
        }
    }

    /// Asks for one of those who are written after the other, each from another channel than before.
    pub(super) fn offers_elsewhere(&self, number: u64) -> wire::GetOffersRequest {
        let writers = (self.customers - self.readers()).max(1);
        let customer = self.readers() + usize::try_from(number).unwrap_or(0) % writers;
        let home = self.channels.iter().position(|channel| *channel == self.channel);
        let before = self.elsewhere.borrow().get(&customer).copied().or(home);
        let next = (0..self.channels.len()).find(|&channel| Some(channel) != before);
        let request = self.offers(customer, Vec::new());
        let Some(next) = next.filter(|&next| Some(next) != home) else {
            return request;
        };
        self.elsewhere.borrow_mut().insert(customer, next);
        let channel = self.channels[next].clone();
        wire::GetOffersRequest { channel, ..request }
    }

    /// Draws events for some customers.
    pub(super) fn batch(&self, number: u64, draw: &mut Draw) -> Vec<wire::RecordEventsStreamRequest> {
        let each = EVENTS_PER_BATCH / CUSTOMERS_PER_BATCH;
        let message = |at: u64| {
            let customer = Some(named(self.writer(draw)));
            let mut event = |of: u64| {
                let event = self.event(number, draw);
                let id = format!("{}-{}", event.id, at * each + of);
                wire::Event { id, ..event }
            };
            let events = (0..each).map(&mut event).collect();
            wire::RecordEventsStreamRequest { customer, events }
        };
        (0..CUSTOMERS_PER_BATCH).map(message).collect()
    }

    /// Draws an event of any type.
    pub(super) fn event(&self, number: u64, draw: &mut Draw) -> wire::Event {
        self.event_of(draw.below(self.event_types.len()), number, draw)
    }

    /// Draws an event that says what made a list be ranked anew.
    pub(super) fn moving_event(&self, number: u64, draw: &mut Draw) -> wire::Event {
        let moving = self.moving.get().map_or(&[][..], Vec::as_slice);
        match moving.get(draw.below(moving.len())) {
            Some(event) => self.named_anew(event, number),
            None => self.event(number, draw),
        }
    }

    /// Returns the same event once more, under the id of this number.
    pub(super) fn named_anew(&self, event: &wire::Event, number: u64) -> wire::Event {
        wire::Event {
            id: self.event_id(number),
            ..event.clone()
        }
    }

    fn event_id(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    pub(super) fn event_of(&self, event_type: usize, number: u64, draw: &mut Draw) -> wire::Event {
        let Some(event_type) = self.event_types.get(event_type) else {
            return wire::Event::default();
        };
        let attributes = event_type.attributes.iter().filter_map(|attribute| {
            let value = wire::AttributeValue {
                kind: Some(value(attribute, draw)?),
            };
            Some((attribute.id.clone(), value))
        });
        wire::Event {
            id: self.event_id(number),
            r#type: event_type.id.clone(),
            attributes: attributes.collect::<BTreeMap<_, _>>(),
            channel: self.channel.clone(),
            ..wire::Event::default()
        }
    }
}

pub(super) fn named(customer: usize) -> wire::Customer {
    let identity = wire::customer::Identity::Id(format!("demo-{:06}", customer + 1));
    wire::Customer {
        identity: Some(identity),
    }
}

/// Draws a value that the schema allows; none for a date, whose default is that it is not known.
fn value(attribute: &wire::AttributeSchema, draw: &mut Draw) -> Option<Kind> {
    let chosen = |draw: &mut Draw| attribute.values.get(draw.below(attribute.values.len())).cloned();
    match attribute.r#type() {
        wire::AttributeType::Number => {
            let lowest = attribute.lowest.unwrap_or(0.0);
            let highest = attribute.highest.unwrap_or(lowest + 100.0).max(lowest);
            Some(Kind::Number(
                (lowest + (highest - lowest) * draw.unit()).floor().max(lowest),
            ))
        }
        wire::AttributeType::Boolean => Some(Kind::Boolean(draw.chance(0.5))),
        wire::AttributeType::Category => chosen(draw).map(Kind::Text),
        wire::AttributeType::Set => Some(Kind::Set(wire::TextSet {
            values: chosen(draw).into_iter().collect(),
        })),
        wire::AttributeType::Date | wire::AttributeType::Unspecified => None,
    }
}
