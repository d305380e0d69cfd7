//! A small catalog and short ways to write profiles and events, for the tests of this layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::catalog::load::{CatalogFiles, load};
use crate::domain::contact::{Contact, Counted};
use crate::domain::entry::Entry;
use crate::domain::event::Event;
use crate::domain::profile::Profile;
use crate::domain::symbol::{Symbol, Symbols};
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;

use super::fold;

/// 2026-03-02T09:00:00Z, a Monday.
pub(crate) const T0: Timestamp = Timestamp::from_millis(1_772_442_000_000);

const BASE: &str = r#"
catalog: { name: test, time_zone: Europe/Madrid, time_zone_attribute: zone }
channels:
  - { id: web, reservation: 30m }
  - { id: mail, direction: outbound, reservation: 2d }
attributes:
  profile:
    - { id: age, type: number, range: [0, 120] }
    - { id: holdings, type: set, values: [savings, fund] }
    - { id: zone, type: category, values: [America/New_York, Asia/Kathmandu] }
events:
  - id: search
    attributes:
      - { id: category, type: category, values: [savings, fund, travel] }
      - { id: amount, type: number }
aggregates:
  - { id: searches, keep: count, of: search, within: 7d, step: 1d }
  - { id: fund_searches, keep: count, of: search, where: 'event.category == "fund"', within: 2d, step: 1h }
  - { id: by_class, keep: count, of: search, by: category, within: 1d, step: 1h }
  - { id: spent, keep: sum, of: search, attribute: amount, within: 3h, step: 10m }
  - { id: since_search, keep: recency, of: search, step: 1h }
  - { id: last_category, keep: last, of: search, attribute: category }
  - { id: visits, keep: sessions, within: 1d }
intents:
  - id: fund
    from: [{ event: search, where: 'event.category == "fund"', weight: 2 }]
    decay: [{ until: 30m, keep: 1 }, { until: 1d, keep: 0.5 }, { until: 7d, keep: 0.1 }]
groups:
  - id: savings
    start_propensity: 0.2
    value: 10
  - id: fund
    start_propensity: 0.1
    value: 15
    intents: { fund: 1 }
    eligibility: [{ id: adult, when: profile.age >= 18, because: Funds are for adults }]
    applicability: [{ id: new_to_funds, when: '!("fund" in profile.holdings)' }]
offers:
  - { id: savings_a, group: savings, name: A, treatments: { web: { t: x }, mail: { t: x } } }
  - { id: savings_b, group: savings, name: B, value: 9, treatments: { web: { t: x }, mail: { t: x } } }
  - { id: fund_a, group: fund, name: A, labels: [risky], treatments: { web: { t: x } } }
placements:
  - { id: top, count_max: 5 }
  - { id: side, count_max: 5, per_group_max: 1, fallback: { title: Welcome } }
"#;

/// Builds the small catalog with these lines added, such as a list of caps.
pub(crate) fn catalog_with(lines: &str) -> Arc<Catalog> {
    catalog_set("", lines)
}

/// Builds the small catalog with these settings, as in `, week_starts: sunday`, and these lines added.
pub(crate) fn catalog_set(settings: &str, lines: &str) -> Arc<Catalog> {
    load_after(&Symbols::default(), settings, lines)
}

/// Builds the small catalog with these lines added, as one that comes into force after another.
pub(crate) fn catalog_after(before: &Catalog, lines: &str) -> Arc<Catalog> {
    load_after(&before.symbols, "", lines)
}

/// Builds the small catalog with these lines added, with names that are known already.
pub(crate) fn catalog_on(symbols: &Symbols, lines: &str) -> Arc<Catalog> {
    load_after(symbols, "", lines)
}

/// The name of the small catalog's file.
pub(crate) const BASE_FILE: &str = "base.yaml";

/// Returns the small catalog's files.
pub(crate) fn base_files() -> CatalogFiles {
    CatalogFiles {
        rules: BTreeMap::from([(BASE_FILE.to_owned(), BASE.to_owned())]),
        ..CatalogFiles::default()
    }
}

fn load_after(symbols: &Symbols, settings: &str, lines: &str) -> Arc<Catalog> {
    let base = BASE.replacen("Europe/Madrid", &format!("Europe/Madrid{settings}"), 1);
    let rules = BTreeMap::from([
        ("base.yaml".to_owned(), base),
        ("more.yaml".to_owned(), lines.to_owned()),
    ]);
    let files = CatalogFiles {
        rules,
        ..CatalogFiles::default()
    };
    match load(&files, symbols) {
        Ok(catalog) => Arc::new(catalog),
        Err(faults) => panic!(
            "{}",
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        ),
    }
}

/// Builds the small catalog without caps.
pub(crate) fn catalog() -> Arc<Catalog> {
    catalog_with("caps: []")
}

/// Finds the symbol of a name.
pub(crate) fn symbol(catalog: &Catalog, name: &str) -> Symbol {
    catalog.symbols.find(name).unwrap()
}

/// Makes a search of a category.
pub(crate) fn search(catalog: &Catalog, id_hash: u64, category: &str, time: Timestamp) -> Event {
    Event {
        id_hash,
        event_type: symbol(catalog, "search"),
        time,
        channel: None,
        place: None,
        session_hash: None,
        attributes: vec![(symbol(catalog, "category"), Value::Category(symbol(catalog, category)))],
    }
}

/// Folds events into a new profile.
pub(crate) fn after(catalog: &Catalog, events: &[Event]) -> Profile {
    let mut profile = Profile::default();
    for event in events {
        fold::apply(&mut profile, &Entry::Event(event.clone()), catalog);
    }
    profile
}

/// Makes a contact with an offer, decided `ago` before [`T0`], with reports at so long before [`T0`].
pub(crate) fn contact(
    catalog: &Catalog,
    offer: &str,
    channel: &str,
    ago: Millis,
    reports: &[(Counted, Millis)],
) -> Contact {
    let placement = symbol(catalog, "top");
    let mut contact = Contact::decided(1, symbol(catalog, offer), symbol(catalog, channel), placement, T0 - ago);
    for (counted, ago) in reports {
        contact.times[counted.index()] = Some(T0 - *ago);
    }
    contact
}
