//! The model's input rows: one per surviving offer of the groups that the model scores.
//!
//! Columns that read the customer, behaviour, intents or the request context are the same for every row and computed
//! once; columns that read the offer or the contact history of the offer or its group are computed for each row.

use crate::catalog::{Catalog, ColumnSource, ContactScope, Encoding, ModelPlan};
use crate::domain::contact::{Contact, Counted};
use crate::domain::profile::Profile;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;

use super::facts::Layout;
use super::policy::counted_at;

/// Where the rows are laid out, reused from decision to decision.
#[derive(Debug, Default)]
pub struct Rows {
    /// The rows, `[n_offers, n_columns]`, row after row.
    pub cells: Vec<f32>,
    /// The scores, `[n_offers]`.
    pub scores: Vec<f32>,
    shared: Vec<f32>,
}

/// Builds the rows of `offers` (positions in the catalog) for one model, and returns until when they stay the same if
/// only time passes. Leaves as many zero scores as there are rows.
#[expect(clippy::too_many_arguments, reason = "a row depends on all of them")]
pub fn build(
    catalog: &Catalog,
    plan: &ModelPlan,
    layout: &Layout,
    profile: &Profile,
    context: &[Value],
    offers: &[u16],
    now: Timestamp,
    rows: &mut Rows,
) -> Timestamp {
    let mut valid_until = Timestamp::FAR_FUTURE;
    rows.shared.clear();
    for column in &plan.columns {
        let value = shared_value(column.from, layout, context);
        if let (Encoding::DaysSince, Value::Time(date)) = (&column.encoding, value) {
            valid_until = valid_until.min(next_day_since(date, now));
        }
        rows.shared.push(column.encode(value, now));
    }
    rows.cells.clear();
    for &offer in offers {
        let offer = usize::from(offer);
        rows.cells.extend_from_slice(&rows.shared);
        let start = rows.cells.len() - plan.columns.len();
        let row = &mut rows.cells[start..];
        for (cell, column) in row.iter_mut().zip(&plan.columns) {
            let value = match column.from {
                ColumnSource::Offer(position) => catalog.offers[offer].attributes[position],
                ColumnSource::Contacts { counted, scope, within } => {
                    let (count, until) = contacts(catalog, &profile.contacts, offer, counted, scope, within, now);
                    valid_until = valid_until.min(until);
                    Value::Number(f64::from(count))
                }
                _ => continue,
            };
            if let (Encoding::DaysSince, Value::Time(date)) = (&column.encoding, value) {
                valid_until = valid_until.min(next_day_since(date, now));
            }
            *cell = column.encode(value, now);
        }
    }
    rows.scores.clear();
    rows.scores.resize(offers.len(), 0.0);
    valid_until
}

fn shared_value(from: ColumnSource, layout: &Layout, context: &[Value]) -> Value {
    let value = match from {
        ColumnSource::Profile(position) => layout.profile.get(position),
        ColumnSource::Behaviour(position) => layout.behaviour.get(position),
        ColumnSource::Intent(position) => layout.intent.get(position),
        ColumnSource::Context(position) => context.get(position),
        ColumnSource::Offer(_) | ColumnSource::Contacts { .. } => None,
    };
    value.copied().unwrap_or_default()
}

/// Returns when the number of whole days from `date` to `now` next changes.
fn next_day_since(date: Timestamp, now: Timestamp) -> Timestamp {
    let days = (now - date).get().div_euclid(Millis::DAY.get());
    date + Millis::DAY.times(days + 1)
}

/// Counts reported contacts (a mere reservation is not one, unless `decided` is counted) and says until when.
fn contacts(
    catalog: &Catalog,
    contacts: &[Contact],
    offer: usize,
    counted: Counted,
    scope: ContactScope,
    within: Option<Millis>,
    now: Timestamp,
) -> (u32, Timestamp) {
    let mut count = 0;
    let mut valid_until = Timestamp::FAR_FUTURE;
    for contact in contacts {
        let in_scope = match scope {
            ContactScope::All => true,
            ContactScope::Offer => contact.offer == catalog.offers[offer].symbol,
            ContactScope::Group => catalog
                .offer_positions
                .get(&contact.offer)
                .is_some_and(|&other| catalog.offers[other].group == catalog.offers[offer].group),
        };
        let Some(at) = counted_at(contact, counted).filter(|_| in_scope) else {
            continue;
        };
        let leaves = within.map_or(Timestamp::FAR_FUTURE, |window| at + window);
        if now < leaves {
            count += 1;
            valid_until = valid_until.min(leaves);
        }
    }
    (count, valid_until)
}

/// Tells whether reporting `outcome` about a contact can change a column of this catalog's models.
#[must_use]
pub fn counts(catalog: &Catalog, outcome: Counted) -> bool {
    contact_columns(catalog).any(|(counted, _)| match counted {
        Counted::Delivered | Counted::Seen => outcome.index() >= counted.index(),
        exactly => outcome == exactly,
    })
}

/// Tells whether a column of this catalog's models counts the contact now.
#[must_use]
pub fn counts_contact(catalog: &Catalog, contact: &Contact, now: Timestamp) -> bool {
    contact_columns(catalog).any(|(counted, within)| {
        counted_at(contact, counted).is_some_and(|at| within.is_none_or(|window| now < at + window))
    })
}

fn contact_columns(catalog: &Catalog) -> impl Iterator<Item = (Counted, Option<Millis>)> {
    let columns = catalog.models.iter().flat_map(|model| &model.columns);
    columns.filter_map(|column| match column.from {
        ColumnSource::Contacts { counted, within, .. } => Some((counted, within)),
        _ => None,
    })
}
