//! A made-up population: customers drawn from a catalog's own schema, and the same ones for the same seed.
//!
//! No name of any bank's attribute stands here, so the population fits every catalog. Shapes come from the types alone:
//!
//! - a number with a range peaks at a third of it, as ages do; a range that spans more than three orders of magnitude is
//!   drawn mostly from its low end, as incomes and balances are; whole bounds give whole numbers;
//! - a category takes its first values most often: write the usual ones first;
//! - a boolean is true for one customer in four, each value of a set is there for one in five;
//! - a date lies within the ten years before `now`; an event lies within the thirty days before;
//! - every attribute is unknown for one customer in twenty, for real files have gaps.
//!
//! Each attribute of each customer has its own stream of draws, so that adding an attribute, or customers, changes none of the
//! values that were there. Customers are named `demo-000001` and on. They are made up, and whoever loads them says so.

use super::draw::Draw;
use crate::catalog::{Attribute, AttributeType, Catalog, EventType};
use crate::domain::entry::ProfileChange;
use crate::domain::event::Event;
use crate::domain::ids::{CustomerId, IdError, short_hash};
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;

/// How often an attribute is not known.
const MISSING_SHARE: f64 = 0.05;
/// How often a boolean is true.
const TRUE_SHARE: f64 = 0.25;
/// How often a set has each of its values.
const SET_VALUE_SHARE: f64 = 0.2;
/// Days before `now` in which dates lie.
const DATE_DAYS: usize = 3_650;
/// The span before `now` in which events lie: thirty days, in milliseconds.
const EVENTS_WITHIN: usize = 30 * 24 * 3_600_000;
/// The most events that a customer begins with.
const EVENTS_MAX: usize = 6;

/// One made-up customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// Whose profile it is.
    pub id: CustomerId,
    /// The attributes: complete, what is not named is not known.
    pub change: ProfileChange,
    /// What the customer did lately, oldest first.
    pub events: Vec<Event>,
}

/// Returns the id of the customer with this number, from 1: `demo-000001`.
///
/// # Errors
/// Never for a number that fits into a customer id, which each `usize` does.
pub fn customer_id(number: usize) -> Result<CustomerId, IdError> {
    CustomerId::known(&format!("demo-{number:06}"))
}

/// Draws `count` customers, numbered from `first`, who did something in the thirty days before `now`.
pub fn generate(
    catalog: &Catalog,
    seed: u64,
    first: usize,
    count: usize,
    now: Timestamp,
) -> impl Iterator<Item = Customer> + '_ {
    (first..first.saturating_add(count)).filter_map(move |number| customer(catalog, seed, number, now))
}

fn customer(catalog: &Catalog, seed: u64, number: usize, now: Timestamp) -> Option<Customer> {
    let id = customer_id(number).ok()?;
    let mut attributes: Vec<(Symbol, Value)> = catalog
        .profile
        .attributes
        .iter()
        .filter_map(|attribute| {
            let mut draw = Draw::new(seed ^ short_hash(&attribute.id), number as u64);
            let known = !draw.chance(MISSING_SHARE);
            known.then(|| (attribute.symbol, value(catalog, attribute, now, &mut draw)))
        })
        .collect();
    attributes.sort_by_key(|entry| entry.0);
    let change = ProfileChange {
        attributes,
        replace: true,
        ..ProfileChange::default()
    };
    let events = events(catalog, seed, &id, number, now);
    Some(Customer { id, change, events })
}

fn events(catalog: &Catalog, seed: u64, id: &CustomerId, number: usize, now: Timestamp) -> Vec<Event> {
    if catalog.events.is_empty() {
        return Vec::new();
    }
    let mut draw = Draw::new(seed ^ short_hash("events"), number as u64);
    let mut events: Vec<Event> = (0..draw.skewed(EVENTS_MAX + 1))
        .map(|at| {
            let event_type = &catalog.events[draw.skewed(catalog.events.len())];
            let ago = Millis::new(i64::try_from(draw.below(EVENTS_WITHIN)).unwrap_or(0));
            event(
                catalog,
                event_type,
                &format!("{}-event-{}", id.as_str(), at + 1),
                now - ago,
                &mut draw,
            )
        })
        .collect();
    events.sort_by_key(|event| event.time);
    events
}

/// Draws one event of this type, on a channel, at a place and with every attribute that its type declares.
pub fn event(catalog: &Catalog, event_type: &EventType, id: &str, time: Timestamp, draw: &mut Draw) -> Event {
    let channel = catalog
        .channels
        .get(draw.skewed(catalog.channels.len()))
        .map(|channel| channel.symbol);
    let place = catalog.places.get(draw.skewed(catalog.places.len())).copied();
    // The last two are the channel and the place, which stand beside the attributes.
    let declared = event_type
        .schema
        .attributes
        .split_last_chunk::<2>()
        .map_or(&[][..], |(declared, _)| declared);
    let mut attributes: Vec<(Symbol, Value)> = declared
        .iter()
        .map(|attribute| (attribute.symbol, value(catalog, attribute, time, draw)))
        .collect();
    attributes.sort_by_key(|entry| entry.0);
    Event {
        id_hash: short_hash(id),
        event_type: event_type.symbol,
        time,
        channel,
        place,
        session_hash: None,
        attributes,
    }
}

/// Draws a value that the attribute allows; missing only for a category without values.
pub fn value(catalog: &Catalog, attribute: &Attribute, now: Timestamp, draw: &mut Draw) -> Value {
    match attribute.attribute_type {
        AttributeType::Number => Value::Number(number(attribute.range, draw)),
        AttributeType::Boolean => Value::Boolean(draw.chance(TRUE_SHARE)),
        AttributeType::Category => attribute
            .values
            .get(draw.skewed(attribute.values.len()))
            .map_or(Value::Missing, |&(_, symbol)| Value::Category(symbol)),
        AttributeType::Set => {
            let bits = catalog.symbols.set_values(attribute.symbol);
            let here = |owner: &Symbol| attribute.values.iter().any(|(_, symbol)| symbol == owner);
            let mask = bits.iter().enumerate().fold(0, |mask, (bit, owner)| {
                if here(owner) && draw.chance(SET_VALUE_SHARE) {
                    mask | 1_u64 << bit
                } else {
                    mask
                }
            });
            Value::Set(mask)
        }
        AttributeType::Date => {
            let days = Millis::DAY.times(i64::try_from(draw.below(DATE_DAYS)).unwrap_or(0));
            let midnight = (now - days).as_millis().div_euclid(Millis::DAY.get()) * Millis::DAY.get();
            Value::Time(Timestamp::from_millis(midnight))
        }
    }
}

fn number(range: Option<(f64, f64)>, draw: &mut Draw) -> f64 {
    let (lowest, highest) = range.unwrap_or((0.0, 100.0));
    let width = highest - lowest;
    let wide = width > 1_000.0 * lowest.abs().max(1.0);
    let drawn = if wide {
        lowest + width * draw.triangular(0.0, 0.2, 1.0).powi(4)
    } else {
        draw.triangular(lowest, lowest + width / 3.0, highest)
    };
    let whole = lowest.fract() == 0.0 && highest.fract() == 0.0 && width > 1.0;
    if whole { drawn.round() } else { drawn }
}
