//! The demo population: made of any catalog's schema, and always the same.

use std::collections::BTreeMap;

use nbo::catalog::{AttributeType, Catalog, CatalogFiles, Diagnostic, load};
use nbo::domain::symbol::Symbols;
use nbo::domain::time::{Millis, Timestamp};
use nbo::domain::value::Value;
use nbo::sim::population::{Customer, generate};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_772_445_600_000);

fn catalog() -> Result<Catalog, Vec<Diagnostic>> {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files = CatalogFiles {
        rules: BTreeMap::from([
            file("catalog.yaml", include_str!("catalog/small/catalog.yaml")),
            file("offers.yaml", include_str!("catalog/small/offers.yaml")),
        ]),
        models: BTreeMap::from([file("bank", include_str!("catalog/small/manifest.json"))]),
        ..CatalogFiles::default()
    };
    load(&files, &Symbols::default())
}

fn population(seed: u64, first: usize, count: usize) -> Vec<Customer> {
    catalog().map_or_else(
        |_| Vec::new(),
        |catalog| generate(&catalog, seed, first, count, NOW).collect(),
    )
}

#[test]
fn the_same_seed_makes_the_same_customers_whatever_their_number() {
    let many = population(1, 1, 200);
    assert_eq!(many, population(1, 1, 200));
    assert_eq!(many[100..], population(1, 101, 100));
    assert_eq!(many[0].id.as_str(), "demo-000001");
    assert_ne!(many[0], population(2, 1, 1)[0]);
}

#[test]
fn every_value_is_one_that_the_schema_allows() {
    let catalog = catalog().unwrap();
    for customer in population(7, 1, 500) {
        for &(symbol, value) in &customer.change.attributes {
            let attribute = catalog
                .profile
                .attributes
                .iter()
                .find(|each| each.symbol == symbol)
                .unwrap();
            let name = |value| catalog.symbols.name(value);
            let judged = match value {
                Value::Number(number) => attribute.number(number),
                Value::Boolean(truth) => attribute.boolean(truth),
                Value::Category(category) => attribute.text(name(category)),
                Value::Set(mask) => {
                    let owners = catalog.symbols.set_values(symbol).iter().enumerate();
                    let here: Vec<&str> = owners
                        .filter(|(bit, _)| mask >> bit & 1 == 1)
                        .map(|(_, &owner)| name(owner))
                        .collect();
                    attribute.set(here, &catalog.symbols)
                }
                Value::Time(time) if time <= NOW => attribute.text(&time.to_string()[..10]),
                other => panic!("{other:?}"),
            };
            assert_eq!(judged, Ok(value), "{} of {}", attribute.id, customer.id);
        }
        for event in &customer.events {
            assert!(event.time <= NOW && event.time >= NOW - Millis::DAY.times(30));
            let event_type = catalog
                .events
                .iter()
                .find(|each| each.symbol == event.event_type)
                .unwrap();
            assert_eq!(event.attributes.len() + 2, event_type.schema.attributes.len());
        }
    }
}

#[test]
fn customers_differ_have_gaps_and_have_a_past() {
    let catalog = catalog().unwrap();
    let customers = population(7, 1, 500);
    for attribute in &catalog.profile.attributes {
        let values: Vec<Value> = customers
            .iter()
            .filter_map(|customer| {
                customer
                    .change
                    .attributes
                    .iter()
                    .find(|entry| entry.0 == attribute.symbol)
            })
            .map(|entry| entry.1)
            .collect();
        assert!(
            (420..500).contains(&values.len()),
            "{} is known for {}",
            attribute.id,
            values.len()
        );
        assert!(
            values.iter().any(|value| *value != values[0]),
            "{} is the same for all",
            attribute.id
        );
        if attribute.attribute_type == AttributeType::Boolean {
            let share = values.iter().filter(|value| **value == Value::Boolean(true)).count();
            assert!((70..180).contains(&share), "{} is true for {share}", attribute.id);
        }
    }
    let events: usize = customers.iter().map(|customer| customer.events.len()).sum();
    assert!((500..1_500).contains(&events), "{events} events");
}
