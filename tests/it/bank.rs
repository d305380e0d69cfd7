//! The bank's catalog: without fault, and with the flow that must be right first built into its numbers.

use std::sync::Arc;

use nbo::catalog::{Catalog, load};
use nbo::config::files;
use nbo::domain::entry::ProfileChange;
use nbo::domain::event::Event;
use nbo::domain::ids::{CustomerId, short_hash};
use nbo::domain::request::{OffersRequest, PlacementRequest};
use nbo::domain::symbol::Symbols;
use nbo::domain::time::{Millis, Timestamp};
use nbo::domain::value::Value;
use nbo::engine::{Active, Engine, Limits};
use nbo::model::{ScoreError, Scorer};

/// 2026-12-01T10:00:00Z, a Tuesday.
const NOW: Timestamp = Timestamp::from_millis(1_796_119_200_000);

pub(crate) fn bank() -> Catalog {
    match load(&files::embedded().catalog, &Symbols::default()) {
        Ok(catalog) => catalog,
        Err(diagnostics) => panic!(
            "{}",
            diagnostics
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        ),
    }
}

/// A model that always says the same.
struct Says(f32, usize);

impl Scorer for Says {
    fn score(&self, _: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        scores.fill(self.0);
        Ok(())
    }

    fn features(&self) -> usize {
        self.1
    }

    fn name(&self) -> &'static str {
        "says"
    }

    fn version(&self) -> &'static str {
        "1"
    }
}

/// One customer of the bank, for whose savings the model says the same number always.
struct Story {
    engine: Engine,
    customer: CustomerId,
}

impl Story {
    fn of(customer: CustomerId, propensity: f32, known: &[(&str, Value)]) -> Self {
        let catalog = Arc::new(bank());
        let symbol = |name: &&str| catalog.symbols.find(name).unwrap();
        let mut attributes: Vec<_> = known.iter().map(|(name, value)| (symbol(name), *value)).collect();
        attributes.sort_by_key(|entry| entry.0);
        let scorer: Arc<dyn Scorer> = Arc::new(Says(propensity, catalog.models[0].columns.len()));
        let engine = Engine::new(Active::new(catalog, vec![Some(scorer)]), Limits::default());
        let change = ProfileChange {
            attributes,
            ..ProfileChange::default()
        };
        engine
            .upsert_profile(&engine.active(), &customer, &change, NOW)
            .unwrap();
        Self { engine, customer }
    }

    fn searches(&self, category: &str, now: Timestamp) {
        let active = self.engine.active();
        let symbols = &active.catalog.symbols;
        let event = Event {
            id_hash: short_hash(&format!("{category} {}", now.as_millis())),
            event_type: symbols.find("search").unwrap(),
            time: now,
            channel: symbols.find("web"),
            place: None,
            session_hash: None,
            attributes: vec![(
                symbols.find("category").unwrap(),
                Value::Category(symbols.find(category).unwrap()),
            )],
        };
        self.engine
            .record_events(&active, &self.customer, &[event], now)
            .unwrap();
    }

    fn groups_on(&self, channel: &str, now: Timestamp) -> Vec<String> {
        let active = self.engine.active();
        let catalog = &active.catalog;
        let channel = catalog.channels.iter().position(|each| *each.id == *channel).unwrap();
        let placement = catalog
            .placements
            .iter()
            .position(|each| &*each.id == "best_offers")
            .unwrap();
        let mut context = vec![Value::Missing; catalog.context.attributes.len()];
        context[0] = Value::Category(catalog.channels[channel].symbol);
        let request = OffersRequest {
            customer: Some(self.customer.clone()),
            channel,
            campaign: None,
            placements: vec![PlacementRequest { placement, count: 3 }],
            duplicates: false,
            context,
            events: Vec::new(),
            explain: false,
            preview: false,
        };
        let decision = self.engine.offers(&active, &request, now).unwrap();
        let shown = decision.placements[0].offers.iter();
        shown
            .map(|shown| catalog.groups[catalog.offers[shown.offer].group].id.as_ref().to_owned())
            .collect()
    }

    /// Asks on each channel that shows the list, several times as callers do.
    fn check(&self, now: Timestamp, expected: [&str; 3]) {
        for channel in ["web", "call_centre", "campaign"] {
            assert_eq!(self.groups_on(channel, now), expected, "on {channel} at {now}");
        }
    }
}

fn customers() -> Vec<Vec<(&'static str, Value)>> {
    let catalog = bank();
    let is = |name: &str| Value::Category(catalog.symbols.find(name).unwrap());
    let from_the_training_file = |age: f64, job: &str, marital: &str| {
        vec![
            ("age", Value::Number(age)),
            ("job", is(job)),
            ("marital", is(marital)),
            ("education", is("high-school")),
            ("has_default", Value::Boolean(false)),
            ("has_housing_loan", Value::Boolean(age > 40.0)),
            ("has_personal_loan", Value::Boolean(false)),
            ("previous_outcome", is("nonexistent")),
        ]
    };
    let mut known_well = from_the_training_file(41.0, "technician", "married");
    known_well.extend([
        ("country", is("ES")),
        ("segment", is("mass")),
        ("monthly_income", Value::Number(2_400.0)),
        ("balance", Value::Number(12_000.0)),
        ("risk_profile", is("balanced")),
        ("credit_score", Value::Number(690.0)),
        ("holdings", Value::Set(1)),
        ("digital_active", Value::Boolean(true)),
        ("has_children", Value::Boolean(true)),
    ]);
    vec![
        from_the_training_file(34.0, "admin", "single"),
        from_the_training_file(57.0, "housemaid", "married"),
        from_the_training_file(68.0, "retired", "divorced"),
        known_well,
    ]
}

#[test]
fn the_bank_catalog_is_without_fault_or_warning() {
    let catalog = bank();
    let warnings: Vec<String> = catalog.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.is_empty(), "{}", warnings.join("\n"));
    assert!(catalog.reads.context.is_empty(), "one list for all channels");
    assert_eq!(catalog.profile.attributes.len(), 31);
}

#[test]
fn a_search_for_funds_puts_them_first_on_every_channel() {
    for propensity in [0.033, 0.05, 0.08, 0.12] {
        for known in customers() {
            let story = Story::of(CustomerId::known("c-1").unwrap(), propensity, &known);
            story.check(NOW, ["savings", "fund", "travel_insurance"]);
            story.searches("fund", NOW);
            story.check(NOW + Millis::SECOND, ["fund", "savings", "travel_insurance"]);
        }
    }
}

#[test]
fn searches_for_currency_and_branches_abroad_put_travel_insurance_first_on_every_channel() {
    for propensity in [0.033, 0.05, 0.08, 0.12] {
        for known in customers() {
            let story = Story::of(CustomerId::known("c-2").unwrap(), propensity, &known);
            story.check(NOW, ["savings", "fund", "travel_insurance"]);
            story.searches("foreign_exchange", NOW);
            story.searches("overseas_branch", NOW);
            story.check(NOW + Millis::SECOND, ["travel_insurance", "savings", "fund"]);
        }
    }
}

#[test]
fn an_interest_fades_until_the_first_list_is_back() {
    let story = Story::of(CustomerId::known("c-3").unwrap(), 0.05, &customers()[3]);
    story.searches("fund", NOW);
    let days = |days| NOW + Millis::DAY.times(days);
    story.check(days(1), ["fund", "savings", "travel_insurance"]);
    story.check(days(22), ["savings", "fund", "travel_insurance"]);
}

#[test]
fn a_visitor_of_whom_nothing_is_known_is_offered_what_needs_no_knowledge() {
    let visitor = CustomerId::anonymous("cookie-1").unwrap();
    let story = Story::of(visitor, 0.05, &[]);
    assert_eq!(story.groups_on("web", NOW), ["savings", "travel_insurance", "account"]);
}
