//! A store full of customers, the same ones for the same seed.
//!
//! Every customer has all 30 attributes, 8 to 15 events of the last month, and 10 contacts or as many as are wanted, half of them seen. The
//! entries are folded straight into the store, since a hundred thousand customers must be there in a second or two.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::decision::fold;
use crate::domain::contact::Counted;
use crate::domain::entry::{Entry, OutcomeReport, ProfileChange, Reservation};
use crate::domain::event::Event;
use crate::domain::ids::{CustomerId, short_hash};
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, PlacementRequest};
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;
use crate::engine::{Active, Engine, Limits};
use crate::model::Scorer;
use crate::sim::draw::Draw;
use crate::sim::population;
use crate::store::{Buffers, Then};

/// The seed of everything that is drawn.
pub const SEED: u64 = 20_260_302;

/// The moment at which the benches take place: 2026-03-02T09:00:00Z, a Monday morning.
pub const NOW: Timestamp = Timestamp::from_millis(1_772_442_000_000);

/// How far back behaviour and contacts reach.
const PAST: Millis = Millis::new(28 * Millis::DAY.get());

/// How many contacts a customer has, unless others are wanted.
pub const CONTACTS: usize = 10;

/// The kinds of draws; each customer has a stream of each.
#[derive(Clone, Copy)]
enum Stream {
    Attributes,
    Events,
    Contacts,
    Requests,
}

/// The engine with its customers.
pub struct World {
    /// The engine.
    pub engine: Engine,
    /// The customers.
    pub customers: Vec<CustomerId>,
}

impl World {
    /// Fills an engine with customers.
    ///
    /// # Errors
    /// Never for fewer than some millions of customers.
    pub fn new(catalog: &Arc<Catalog>, customers: usize) -> anyhow::Result<Self> {
        Self::with_contacts(catalog, customers, CONTACTS)
    }

    /// Fills an engine with customers who have so many contacts each, at most as many as are kept.
    ///
    /// # Errors
    /// As for [`World::new`].
    pub fn with_contacts(catalog: &Arc<Catalog>, customers: usize, contacts: usize) -> anyhow::Result<Self> {
        let engine = Engine::new(Active::new(Arc::clone(catalog), vec![None]), Limits::default());
        Self::filled(engine, catalog, customers, contacts)
    }

    /// Fills this engine, past its journal if it has one.
    ///
    /// # Errors
    /// As for [`World::new`].
    pub fn fill(engine: Engine, catalog: &Catalog, customers: usize) -> anyhow::Result<Self> {
        Self::filled(engine, catalog, customers, CONTACTS)
    }

    fn filled(engine: Engine, catalog: &Catalog, customers: usize, contacts: usize) -> anyhow::Result<Self> {
        let mut world = Self {
            engine,
            customers: Vec::with_capacity(customers),
        };
        let mut buffers = Buffers::default();
        for number in 0..customers {
            let id = population::customer_id(number + 1)?;
            let profile = profile_with(catalog, number, contacts);
            world.engine.store().with(&id, id.key(), &mut buffers, |stored, _| {
                *stored = profile;
                ((), Then::Keep)
            });
            world.customers.push(id);
        }
        Ok(world)
    }

    /// Puts a catalog in force, so that no cached list holds any more, with this model for all of its models.
    ///
    /// # Errors
    /// Never: there is no journal that could refuse it.
    pub fn activate(&self, catalog: &Arc<Catalog>, model: Option<&Arc<dyn Scorer>>) -> anyhow::Result<Arc<Active>> {
        let models = catalog.models.iter().map(|_| model.cloned()).collect();
        self.engine.activate(Active::new(Arc::clone(catalog), models))?;
        Ok(self.engine.active())
    }
}

fn draw(stream: Stream, number: usize) -> Draw {
    Draw::new(SEED + stream as u64, number as u64)
}

/// Returns customer number `number` as of [`NOW`].
#[must_use]
pub fn profile(catalog: &Catalog, number: usize) -> Profile {
    profile_with(catalog, number, CONTACTS)
}

/// Returns the same with so many contacts.
#[must_use]
pub fn profile_with(catalog: &Catalog, number: usize, contacts: usize) -> Profile {
    let mut profile = Profile::default();
    let mut draws = draw(Stream::Attributes, number);
    let attributes = catalog.profile.attributes.iter();
    let change = ProfileChange {
        attributes: attributes
            .map(|attribute| (attribute.symbol, population::value(catalog, attribute, NOW, &mut draws)))
            .collect(),
        ..ProfileChange::default()
    };
    fold::apply(&mut profile, &Entry::Profile(change), catalog);
    let mut draws = draw(Stream::Events, number);
    let events = 8 + draws.below(8);
    for at in 0..events {
        let ago = back(events - at, events);
        let event = event(catalog, number, at, NOW - ago, &mut draws);
        fold::apply(&mut profile, &Entry::Event(event), catalog);
    }
    add_contacts(catalog, &mut profile, contacts, &mut draw(Stream::Contacts, number));
    profile
}

/// Returns how long ago number `at` of `count` moments is that are spread over the past.
fn back(at: usize, count: usize) -> Millis {
    let share = at as f64 / count as f64;
    #[expect(clippy::cast_possible_truncation, reason = "28 days in milliseconds are 32 bits")]
    let millis = (PAST.get() as f64 * share) as i64;
    Millis::new(millis)
}

/// Draws the customer's event number `at`. Two neighbouring events belong to one visit.
#[must_use]
pub fn event(catalog: &Catalog, number: usize, at: usize, time: Timestamp, draws: &mut Draw) -> Event {
    let event_type = &catalog.events[draws.below(catalog.events.len())];
    let mut event = population::event(catalog, event_type, &format!("{number}-{at}"), time, draws);
    event.session_hash = Some(short_hash(&format!("visit {number}-{}", at / 2)));
    event
}

fn add_contacts(catalog: &Catalog, profile: &mut Profile, contacts: usize, draws: &mut Draw) {
    let channel = catalog.channels[draws.below(catalog.channels.len())].symbol;
    let decisions = contacts.div_ceil(2);
    for number in 0..decisions {
        let at = NOW - back(decisions - number, decisions);
        let (first, second) = (draws.below(catalog.offers.len()), draws.below(catalog.offers.len()));
        let decision = profile.decisions + 1;
        let mut shown = vec![
            (catalog.placements[0].symbol, catalog.offers[first].symbol),
            (catalog.placements[1].symbol, catalog.offers[second].symbol),
        ];
        shown.truncate(contacts - 2 * number);
        let reservation = Reservation {
            decision,
            channel,
            campaign: None,
            at,
            contacts: shown,
            in_volumes: false,
            request: None,
        };
        fold::apply(profile, &Entry::Decision(reservation), catalog);
        for (outcome, share) in [(Counted::Seen, 1.0), (Counted::Clicked, 0.2), (Counted::Refused, 0.1)] {
            if draws.chance(share) {
                let report = OutcomeReport {
                    decision,
                    offer: catalog.offers[first].symbol,
                    placement: None,
                    outcome,
                    at: at + Millis::new(500 + i64::from(outcome as u8) * 2_000),
                };
                let received_at = report.at;
                fold::apply(profile, &Entry::Outcome { report, received_at }, catalog);
            }
        }
    }
}

/// Returns what customer number `number` asks: a page with one big offer and a list of three, on the customer's channel.
/// With an event, it is the search that led there.
#[must_use]
pub fn request(catalog: &Catalog, number: usize, customer: &CustomerId, with_event: bool) -> OffersRequest {
    let mut draws = draw(Stream::Requests, number);
    let channel = draws.below(2);
    let placements = vec![
        PlacementRequest { placement: 0, count: 1 },
        PlacementRequest { placement: 1, count: 3 },
    ];
    let events = if with_event {
        vec![event(catalog, number, 1_000, NOW, &mut draws)]
    } else {
        Vec::new()
    };
    OffersRequest {
        customer: Some(customer.clone()),
        channel,
        campaign: None,
        placements,
        duplicates: false,
        context: vec![Value::Category(catalog.channels[channel].symbol)],
        events,
        explain: false,
        preview: false,
    }
}

/// Returns the numbers `from`, `from + step`, ... below `end`, shuffled.
#[must_use]
pub fn shuffled(from: usize, step: usize, end: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (from..end).step_by(step).collect();
    let mut draws = Draw::new(SEED, from as u64);
    for at in (1..numbers.len()).rev() {
        numbers.swap(at, draws.below(at + 1));
    }
    numbers
}
