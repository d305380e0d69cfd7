//! The model's input rows: one per surviving offer of the groups that the model scores.
//!
//! Columns that read the customer, behaviour, intents or the request context are the same for every row and computed
//! once. What the offers are was encoded when the catalog was loaded, except days, which pass. Of the contact history,
//! each column is counted once, for every offer or group or for all of them as the column says, and looked up for each row.

use crate::catalog::{Catalog, Column, ColumnSource, ContactScope, Encoding, ModelPlan, OfferCells};
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
    /// A row as far as it is the same for all offers.
    shared: Vec<f32>,
    /// What one column counts of the contact history: for each offer, for each group, or one number for all.
    counts: Vec<ContactCount>,
}

/// How many contacts count, and until when.
#[derive(Clone, Copy, Debug)]
struct ContactCount {
    contacts: u32,
    /// What the model sees of it.
    cell: f32,
    valid_until: Timestamp,
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
    let Rows {
        cells,
        scores,
        shared,
        counts,
    } = rows;
    shared.clear();
    for column in &plan.columns {
        let value = shared_value(column.from, layout, context);
        valid_until = valid_until.min(changes_at(&column.encoding, value, now));
        shared.push(column.encode(value, now));
    }
    cells.clear();
    cells.reserve(offers.len() * shared.len());
    for _ in offers {
        cells.extend_from_slice(shared);
    }
    for OfferCells { column, cells: known } in &plan.by_offer {
        overwrite(cells, shared.len(), *column, offers, |offer| known[offer]);
    }
    for (at, column) in plan.columns.iter().enumerate() {
        match column.from {
            ColumnSource::Contacts { counted, scope, within } => {
                count_contacts(catalog, &profile.contacts, (counted, scope, within), now, counts);
                encode_counts(column, now, counts);
                overwrite(cells, shared.len(), at, offers, |offer| {
                    let count = counts[place(catalog, scope, offer)];
                    valid_until = valid_until.min(count.valid_until);
                    count.cell
                });
            }
            ColumnSource::Offer(position) if column.encoding == Encoding::DaysSince => {
                overwrite(cells, shared.len(), at, offers, |offer| {
                    let value = catalog.offers[offer].attributes[position];
                    valid_until = valid_until.min(changes_at(&column.encoding, value, now));
                    column.encode(value, now)
                });
            }
            _ => {}
        }
    }
    scores.clear();
    scores.resize(offers.len(), 0.0);
    valid_until
}

/// Writes one column of all rows.
fn overwrite(cells: &mut [f32], width: usize, column: usize, offers: &[u16], mut cell: impl FnMut(usize) -> f32) {
    for (row, &offer) in cells.chunks_exact_mut(width.max(1)).zip(offers) {
        row[column] = cell(usize::from(offer));
    }
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

/// Returns when a value encodes to another number if only time passes.
fn changes_at(encoding: &Encoding, value: Value, now: Timestamp) -> Timestamp {
    match (encoding, value) {
        (Encoding::DaysSince, Value::Time(date)) => {
            let days = (now - date).get().div_euclid(Millis::DAY.get());
            date + Millis::DAY.times(days + 1)
        }
        _ => Timestamp::FAR_FUTURE,
    }
}

/// Returns where the count for an offer stands among the counts of a scope.
fn place(catalog: &Catalog, scope: ContactScope, offer: usize) -> usize {
    match scope {
        ContactScope::All => 0,
        ContactScope::Group => catalog.offer_groups[offer],
        ContactScope::Offer => offer,
    }
}

/// Counts reported contacts (a mere reservation is not one, unless `decided` is counted) and says until when. A contact
/// with an offer that the catalog no longer has counts only where all offers do.
fn count_contacts(
    catalog: &Catalog,
    contacts: &[Contact],
    (counted, scope, within): (Counted, ContactScope, Option<Millis>),
    now: Timestamp,
    counts: &mut Vec<ContactCount>,
) {
    let none = ContactCount {
        contacts: 0,
        cell: 0.0,
        valid_until: Timestamp::FAR_FUTURE,
    };
    let places = match scope {
        ContactScope::All => 1,
        ContactScope::Group => catalog.groups.len(),
        ContactScope::Offer => catalog.offers.len(),
    };
    counts.clear();
    counts.resize(places, none);
    for contact in contacts {
        let Some(at) = counted_at(contact, counted) else {
            continue;
        };
        let leaves = within.map_or(Timestamp::FAR_FUTURE, |window| at + window);
        let position = catalog.offer_positions.get(contact.offer);
        let at = match (scope, position) {
            (ContactScope::All, _) => 0,
            (_, Some(offer)) => place(catalog, scope, offer),
            (_, None) => continue,
        };
        if now < leaves {
            counts[at].contacts += 1;
            counts[at].valid_until = counts[at].valid_until.min(leaves);
        }
    }
}

/// Encodes the counts, most of which are none.
fn encode_counts(column: &Column, now: Timestamp, counts: &mut [ContactCount]) {
    let none = column.encode(Value::Number(0.0), now);
    for count in counts {
        count.cell = match count.contacts {
            0 => none,
            contacts => column.encode(Value::Number(f64::from(contacts)), now),
        };
    }
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
