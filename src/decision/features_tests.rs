//! Rows against the plain definition: each cell is its column's encoding of its value, bit for bit.

use super::facts::Layout;
use super::features::{Rows, build};
use super::testing::{T0, catalog_with, contact, symbol};
use crate::catalog::{Catalog, Column, ColumnSource, ContactScope, Encoding, ModelPlan};
use crate::domain::contact::{Contact, Counted};
use crate::domain::profile::Profile;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;

const DAY: Millis = Millis::DAY;

/// What the offers of the small catalog do not have: attributes.
pub(super) const OFFERS: &str = "
attributes:
  offer:
    - { id: rate, type: number }
    - { id: kind, type: category, values: [plain, green, star] }
    - { id: traits, type: set, values: [new, online] }
    - { id: since, type: date }
offers:
  - id: fund_b
    group: fund
    name: B
    attributes: { rate: 2.5, kind: green, traits: [new], since: 2026-03-02 }
    treatments: { web: { t: x } }
  - id: fund_c
    group: fund
    name: C
    attributes: { rate: 99, kind: star, traits: [new, online], since: 2026-02-01 }
    treatments: { web: { t: x } }
";

pub(super) fn plan(catalog: &Catalog) -> ModelPlan {
    let offer = |name: &str| {
        let symbol = symbol(catalog, name);
        ColumnSource::Offer(catalog.offer_schema.positions.get(symbol).unwrap())
    };
    let contacts = |counted, scope, days: i64| ColumnSource::Contacts {
        counted,
        scope,
        within: Some(DAY.times(days)),
    };
    let [plain, green, star] = ["plain", "green", "star"].map(|name| symbol(catalog, name));
    let ordinal = Encoding::Ordinal {
        codes: vec![(plain, 0.0), (star, 1.0)],
        unknown: 7.0,
    };
    let columns = [
        (ColumnSource::Profile(0), Encoding::Number),
        (offer("rate"), Encoding::Number),
        (offer("kind"), Encoding::Equals(green)),
        (offer("kind"), ordinal),
        (offer("traits"), Encoding::Contains(2)),
        (offer("since"), Encoding::DaysSince),
        (contacts(Counted::Seen, ContactScope::Offer, 30), Encoding::Number),
        (contacts(Counted::Decided, ContactScope::Group, 7), Encoding::Number),
        (contacts(Counted::Clicked, ContactScope::All, 90), Encoding::Number),
        (ColumnSource::Intent(0), Encoding::Number),
    ];
    let column = |(from, encoding)| Column {
        from,
        encoding,
        missing: f32::NAN,
        clip: Some((0.0, 9.0)),
        log1p: true,
    };
    let mut model = ModelPlan {
        name: "model".into(),
        version: "1".into(),
        columns: columns.map(column).into(),
        shortlist: None,
        by_offer: Vec::new(),
    };
    model.encode_offers(&catalog.offers);
    model
}

pub(super) fn somebody(catalog: &Catalog) -> Profile {
    let contacts = [
        contact(catalog, "fund_b", "web", DAY, &[(Counted::Seen, DAY)]),
        contact(
            catalog,
            "fund_b",
            "web",
            DAY.times(20),
            &[(Counted::Clicked, DAY.times(20))],
        ),
        contact(catalog, "savings_a", "web", DAY.times(6), &[]),
        contact(
            catalog,
            "savings_b",
            "web",
            DAY.times(40),
            &[(Counted::Seen, DAY.times(40))],
        ),
    ];
    Profile {
        attributes: vec![(symbol(catalog, "age"), Value::Number(4.0))],
        contacts: contacts.into(),
        ..Profile::default()
    }
}

/// Counts the contacts for one offer as a column says, one after the other.
fn count(catalog: &Catalog, contacts: &[Contact], from: ColumnSource, offer: usize, now: Timestamp) -> Option<f64> {
    let ColumnSource::Contacts { counted, scope, within } = from else {
        return None;
    };
    let is_counted = |contact: &&Contact| {
        let other = catalog.offer_positions.get(contact.offer).unwrap();
        let concerned = match scope {
            ContactScope::Offer => other == offer,
            ContactScope::Group => catalog.offers[other].group == catalog.offers[offer].group,
            ContactScope::All => true,
        };
        let reported = contact.times[counted.index()..].iter().flatten().min();
        concerned && reported.is_some_and(|&at| within.is_none_or(|within| now < at + within))
    };
    Some(contacts.iter().filter(is_counted).count() as f64)
}

fn check(offers: &[u16], now: Timestamp) -> Timestamp {
    let catalog = catalog_with(OFFERS);
    let (plan, profile) = (plan(&catalog), somebody(&catalog));
    let mut layout = Layout::default();
    layout.fill(&catalog, &profile, now);
    let mut rows = Rows::default();
    let mut until = Timestamp::FAR_FUTURE;
    // Twice, since the space is reused.
    for _ in 0..2 {
        until = build(&catalog, &plan, &layout, &profile, &[], offers, now, &mut rows);
        assert_eq!(rows.cells.len(), offers.len() * plan.columns.len());
        assert_eq!(rows.scores, vec![0.0; offers.len()]);
        for (row, &offer) in rows.cells.chunks(plan.columns.len()).zip(offers) {
            let offer = usize::from(offer);
            for (at, column) in plan.columns.iter().enumerate() {
                let value = match column.from {
                    ColumnSource::Profile(at) => layout.profile[at],
                    ColumnSource::Intent(at) => layout.intent[at],
                    ColumnSource::Offer(at) => catalog.offers[offer].attributes[at],
                    from => Value::Number(count(&catalog, &profile.contacts, from, offer, now).unwrap()),
                };
                let expected = column.encode(value, now);
                assert_eq!(
                    row[at].to_bits(),
                    expected.to_bits(),
                    "column {at} of offer {offer}: {value:?}"
                );
            }
        }
    }
    until
}

#[test]
fn every_cell_is_what_its_column_makes_of_its_value_whichever_offers_are_asked_for() {
    for offers in [&[0, 1, 2, 3, 4][..], &[1, 4], &[2], &[]] {
        check(offers, T0);
        check(offers, T0 + DAY.times(30));
    }
}

#[test]
fn rows_stand_until_a_day_is_over_or_a_contact_of_an_offer_in_them_leaves_its_window() {
    // By id: fund_a, fund_b, fund_c, savings_a, savings_b.
    let midnight = Timestamp::from_millis(T0.as_millis() / DAY.get() * DAY.get()) + DAY;
    assert_eq!(check(&[1], T0), midnight, "fund_b has a date");
    assert_eq!(check(&[0], T0), T0 + DAY.times(6), "the group's contact of yesterday");
    assert_eq!(check(&[4], T0), T0 + DAY, "the group's contact of six days ago");
}
