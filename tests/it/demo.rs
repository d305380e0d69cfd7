//! The customers by hand and the mapping of the bank's file fit the bank's catalog.

use nbo::catalog::Catalog;
use nbo::catalog::single::Single;
use nbo::domain::decision::Shown;
use nbo::domain::event::Event;
use nbo::domain::ids::{CustomerId, short_hash};
use nbo::domain::request::{OffersRequest, PlacementRequest};
use nbo::domain::value::Value;
use nbo::engine::{Active, Engine, Limits};
use nbo::import::demo;
use nbo::import::mapping::Mapping;
use nbo::import::plan::{Plan, Target};
use nbo::import::rows::Rows;

use crate::bank::bank;
use crate::population::NOW;

#[test]
fn the_demo_population_fits_the_bank_s_catalog() {
    let catalog = bank();
    assert_eq!(demo::by_hand(&Target::of(&catalog)).len(), 5);
    let engine = Engine::new(Active::new(catalog.into(), Vec::new()), Limits::default());
    let loaded = demo::load(&engine, demo::SEED, 300, NOW, |_| ()).unwrap();
    assert_eq!((loaded.by_hand, loaded.drawn, engine.customers()), (5, 295, 300));
    assert!(loaded.events > 200, "{loaded:?}");
}

#[test]
fn the_two_customers_of_the_example_begin_alike_and_move_as_they_search_on_every_channel() {
    check("demo-000001", &[], ["savings", "fund", "travel_insurance"]);
    check("demo-000001", &["fund"], ["fund", "savings", "travel_insurance"]);
    check("demo-000002", &[], ["savings", "fund", "travel_insurance"]);
    check(
        "demo-000002",
        &["foreign_exchange", "overseas_branch"],
        ["travel_insurance", "savings", "fund"],
    );
}

/// Lets a demo customer search on the website, and compares the groups that each channel then sees.
#[track_caller]
fn check(customer: &str, searches: &[&str], expected: [&str; 3]) {
    let engine = Engine::new(Active::new(bank().into(), Vec::new()), Limits::default());
    demo::load(&engine, demo::SEED, 5, NOW, |_| ()).unwrap();
    let active = engine.active();
    let catalog = &active.catalog;
    let customer = CustomerId::known(customer).unwrap();
    let events: Vec<Event> = searches.iter().map(|category| search(catalog, category)).collect();
    engine.record_events(&active, &customer, &events, NOW).unwrap();
    let placement = catalog
        .placements
        .iter()
        .position(|each| &*each.id == "best_offers")
        .unwrap();
    for channel in ["web", "call_centre", "campaign"] {
        let channel = catalog.channels.iter().position(|each| &*each.id == channel).unwrap();
        let mut context = vec![Value::Missing; catalog.context.attributes.len()];
        context[0] = Value::Category(catalog.channels[channel].symbol);
        let request = OffersRequest {
            customer: Some(customer.clone()),
            channel,
            campaign: None,
            placements: vec![PlacementRequest { placement, count: 3 }],
            duplicates: false,
            context,
            events: Vec::new(),
            explain: false,
            preview: true,
        };
        let decision = engine.offers(&active, &request, NOW).unwrap();
        let group = |shown: &Shown| catalog.groups[catalog.offers[shown.offer].group].id.to_string();
        let groups: Vec<String> = decision.placements[0].offers.iter().map(group).collect();
        assert_eq!(groups, expected);
    }
}

fn search(catalog: &Catalog, category: &str) -> Event {
    let symbol = |name| catalog.symbols.find(name).unwrap();
    Event {
        id_hash: short_hash(category),
        event_type: symbol("search"),
        time: NOW,
        channel: Some(symbol("web")),
        place: None,
        session_hash: None,
        attributes: vec![(symbol("category"), Value::Category(symbol(category)))],
    }
}

#[test]
fn the_bank_s_file_is_read_by_its_mapping() {
    let catalog = bank();
    let text = include_str!("../../models/bank/import.yaml");
    let mapping = Single::<Mapping>::read("import.yaml", text).unwrap().says;
    let file = "\"age\";\"job\";\"marital\";\"education\";\"default\";\"housing\";\"loan\";\"contact\";\"month\";\"pdays\";\"previous\";\"poutcome\";\"y\"\n\
        58;\"admin.\";\"unknown\";\"basic.4y\";\"unknown\";\"no\";\"yes\";\"cellular\";\"nov\";999;0;\"nonexistent\";\"no\"\n\
        29;\"self-employed\";\"single\";\"university.degree\";\"no\";\"unknown\";\"no\";\"telephone\";\"nov\";3;2;\"success\";\"no\"\n";
    let mut rows = Rows::new(file.as_bytes(), b';').unwrap();
    let plan = Plan::new(&mapping, rows.header(), &Target::of(&catalog)).unwrap();
    assert_eq!(plan.unused_columns(), ["month", "y"]);
    let mut read = Vec::new();
    while let Some(row) = rows.next_row(&plan) {
        let row = row.unwrap();
        let words = row.change.attributes.iter().map(|&(symbol, value)| {
            let text = match value {
                Value::Missing => "?".to_owned(),
                Value::Number(number) => number.to_string(),
                Value::Boolean(truth) => truth.to_string(),
                Value::Category(category) => catalog.symbols.name(category).to_owned(),
                other => format!("{other:?}"),
            };
            format!("{}={text}", catalog.symbols.name(symbol))
        });
        read.push(format!(
            "{}: {}",
            row.customer.as_str(),
            words.collect::<Vec<_>>().join(" ")
        ));
    }
    assert_eq!(
        read,
        [
            "bank-00001: age=58 marital=? job=admin education=basic-4y has_default=? has_housing_loan=false has_personal_loan=true phone_type=cellular previous_contacts=0 days_since_last_contact=? previous_outcome=nonexistent",
            "bank-00002: age=29 marital=single job=self-employed education=university-degree has_default=false has_housing_loan=? has_personal_loan=false phone_type=telephone previous_contacts=2 days_since_last_contact=3 previous_outcome=success",
        ]
    );
}
