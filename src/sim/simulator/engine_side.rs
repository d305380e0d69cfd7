//! The simulated bank as the engine sees it: catalogs, requests and events with symbols and positions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::{Catalog, Schema, load};
use crate::domain::entry::ProfileChange;
use crate::domain::event::Event;
use crate::domain::request::{OffersRequest, PlacementRequest};
use crate::domain::symbol::{Symbol, Symbols};
use crate::domain::value::Value;
use crate::engine::Active;
use crate::model::{LinearScorer, ScoreError, Scorer};

use super::almanac::ZONES;
use super::blueprint::{Blueprint, CATEGORIES, CHANNELS, HOLDINGS, PAGES, PLACEMENTS, SEGMENTS};
use super::condition::Known;
use super::expected::Ask;
use super::person::{Deed, Happening, Person};
use super::rulebook::CAMPAIGNS;

/// A model that fails while it is told to.
struct Failing {
    model: LinearScorer,
    fails: Arc<AtomicBool>,
}

impl Scorer for Failing {
    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        if self.fails.load(Ordering::Relaxed) {
            // What a failing model leaves behind must not be used.
            scores.fill(0.9);
            return Err(ScoreError::Run {
                model: self.name().to_owned(),
                reason: "told to fail".to_owned(),
            });
        }
        self.model.score(rows, scores)
    }

    fn features(&self) -> usize {
        self.model.features()
    }

    fn name(&self) -> &str {
        self.model.name()
    }

    fn version(&self) -> &str {
        self.model.version()
    }
}

/// Compiles a version.
pub(super) fn compile(bank: &Blueprint, previous: &Symbols) -> Result<Arc<Catalog>, String> {
    let files = bank.files();
    match load(&files, previous) {
        Ok(catalog) => Ok(Arc::new(catalog)),
        Err(diagnostics) => {
            let listed: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            Err(format!("the simulated catalog has faults:\n{}", listed.join("\n")))
        }
    }
}

/// Puts a catalog and its model together; the model fails while `fails` is set.
pub(super) fn active(bank: &Blueprint, catalog: &Arc<Catalog>, fails: &Arc<AtomicBool>) -> Active {
    let model: Arc<dyn Scorer> = Arc::new(Failing {
        model: bank.scorer(),
        fails: Arc::clone(fails),
    });
    Active::new(Arc::clone(catalog), vec![bank.model_loads.then_some(model)])
}

pub(super) fn named(catalog: &Catalog, name: &str) -> Result<Symbol, String> {
    catalog
        .symbols
        .find(name)
        .ok_or_else(|| format!("the catalog has no symbol `{name}`"))
}

fn position<T>(items: &[T], is: impl Fn(&T) -> bool, name: &str) -> Result<usize, String> {
    items
        .iter()
        .position(is)
        .ok_or_else(|| format!("the catalog has no `{name}`"))
}

/// Returns a value of one of a schema's attributes with its symbol.
fn entry(schema: &Schema, id: &str, value: Value) -> Result<(Symbol, Value), String> {
    let attribute = schema
        .find(id)
        .ok_or_else(|| format!("the catalog has no attribute `{id}`"))?;
    Ok((attribute.symbol, value))
}

/// Makes the engine's form of a question.
pub(super) fn request(ask: &Ask, person: &Person, catalog: &Catalog) -> Result<OffersRequest, String> {
    let name = CHANNELS[ask.channel].0;
    let channel = position(&catalog.channels, |channel| *channel.id == *name, name)?;
    let mut context = vec![Value::Missing; catalog.context.attributes.len()];
    context[0] = Value::Category(catalog.channels[channel].symbol);
    if let Some(page) = ask.page {
        let (symbol, value) = entry(&catalog.context, "page", Value::Category(named(catalog, PAGES[page])?))?;
        let at = catalog.context.positions.get(symbol);
        context[at.ok_or("the context has no page")?] = value;
    }
    let placements = ask.placements.iter().map(|&(placement, count)| {
        let name = PLACEMENTS[placement].id;
        let placement = position(&catalog.placements, |placement| *placement.id == *name, name)?;
        Ok(PlacementRequest { placement, count })
    });
    let campaign = ask.campaign.map(|at| {
        let name = CAMPAIGNS[at];
        position(&catalog.campaigns, |campaign| *campaign.id == *name, name)
    });
    Ok(OffersRequest {
        customer: (!ask.nobody).then(|| person.id.clone()),
        channel,
        campaign: campaign.transpose()?,
        placements: placements.collect::<Result<_, String>>()?,
        duplicates: ask.duplicates,
        context,
        events: ask
            .events
            .iter()
            .map(|happening| event(happening, catalog))
            .collect::<Result<_, _>>()?,
        explain: ask.explain,
        preview: ask.preview && !ask.nobody,
    })
}

/// Makes the engine's form of an event.
pub(super) fn event(happening: &Happening, catalog: &Catalog) -> Result<Event, String> {
    let category = |at: usize| named(catalog, CATEGORIES[at]).map(Value::Category);
    let (name, given) = match happening.deed {
        Deed::Search { category: of, results } => (
            "search",
            vec![
                ("category", of.map(category).transpose()?),
                ("results", results.map(Value::Number)),
            ],
        ),
        Deed::Payment { amount, abroad } => (
            "payment",
            vec![
                ("amount", amount.map(Value::Number)),
                ("abroad", abroad.map(Value::Boolean)),
            ],
        ),
        Deed::Login => ("login", Vec::new()),
    };
    let event_type = &catalog.events[position(&catalog.events, |each| *each.id == *name, name)?];
    let known = given.into_iter().filter_map(|(id, value)| Some((id, value?)));
    let mut attributes = known
        .map(|(id, value)| entry(&event_type.schema, id, value))
        .collect::<Result<Vec<_>, _>>()?;
    attributes.sort_by_key(|entry| entry.0);
    Ok(Event {
        id_hash: happening.id_hash,
        event_type: event_type.symbol,
        time: happening.time,
        channel: None,
        place: None,
        session_hash: happening.session,
        attributes,
    })
}

/// Makes the engine's form of what is known; with `replace`, what is not known is made unknown.
pub(super) fn change(known: &Known, replace: bool, catalog: &Catalog) -> Result<ProfileChange, String> {
    let schema = &catalog.profile;
    let set = |owned: [bool; HOLDINGS.len()]| {
        let names = HOLDINGS
            .iter()
            .zip(owned)
            .filter(|(_, owned)| *owned)
            .map(|(name, _)| *name);
        let attribute = schema.find("holdings").ok_or("the catalog has no holdings")?;
        attribute
            .set(names, &catalog.symbols)
            .map_err(|fault| fault.to_string())
    };
    let segment = known
        .segment
        .map(|at| named(catalog, SEGMENTS[at]).map(Value::Category));
    let given = [
        ("age", known.age.map(Value::Number)),
        ("segment", segment.transpose()?),
        ("holdings", known.holdings.map(set).transpose()?),
        ("since", known.since.map(Value::Time)),
        ("staff", known.staff.map(Value::Boolean)),
        (
            "zone",
            known
                .zone
                .map(|at| named(catalog, ZONES[at]).map(Value::Category))
                .transpose()?,
        ),
    ];
    let attributes = given
        .into_iter()
        .filter_map(|(id, value)| value.map(|value| entry(schema, id, value)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ProfileChange {
        attributes,
        replace,
        ..ProfileChange::default()
    })
}
