//! What a model sees of one decision: in parts, and as input rows.
//!
//! A column belongs where its value does. What the customer, the behaviour, the intents and the request say is the same
//! for every offer and computed once ([`Parts::shared`]). What the offers are was encoded when the catalog was loaded,
//! except days, which pass. Of the contact history, each column is counted once: for all offers, for each group, or for
//! the few offers that the customer had contacts with. A model that is taken apart
//! ([`super::specialised`]) scores these parts; for any other model [`build`] lays them out as rows, one per surviving
//! offer of the groups that the model scores.

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
    /// What the rows are made of.
    pub parts: Parts,
}

/// The numbers that one model sees in one decision, each once; reused from decision to decision.
#[derive(Debug, Default)]
pub struct Parts {
    /// By column, what is the same for all offers; of a column that counts contacts with an offer or a group, what it says
    /// where there are none; of a column that reads the offer, nothing to rely on.
    pub shared: Vec<f32>,
    /// The columns that count contacts with a group, in order, with a number for each group.
    pub by_group: Vec<Cells<f32>>,
    /// The columns that count contacts with an offer, in order, with the offers that there are contacts with, in order.
    pub by_offer: Vec<Cells<(u16, f32)>>,
    /// The columns that say how many days an offer's date is past, in order, with a number for each offer of the decision.
    pub by_day: Vec<Cells<f32>>,
    /// The contacts that a column counts.
    counts: Vec<ContactCount>,
}

/// What one column says of many.
#[derive(Debug)]
pub struct Cells<T> {
    /// The column's position in [`ModelPlan::columns`].
    pub column: usize,
    /// What it says.
    pub cells: Vec<T>,
}

/// How many contacts of one offer or group count, and until when.
#[derive(Clone, Copy, Debug)]
struct ContactCount {
    place: usize,
    contacts: u32,
    valid_until: Timestamp,
}

/// Builds the rows of `offers` (positions in the catalog, in order) for one model, and returns until when they stay the
/// same if only time passes. Leaves as many zero scores as there are rows.
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
    let Rows { cells, scores, parts } = rows;
    let valid_until = parts.gather(catalog, plan, layout, profile, context, offers, now);
    parts.lay_out(catalog, plan, offers, cells);
    scores.clear();
    scores.resize(offers.len(), 0.0);
    valid_until
}

impl Parts {
    /// Computes what one model sees of a decision on `offers` (positions in the catalog, in order), and returns until when
    /// that stays the same if only time passes.
    #[expect(clippy::too_many_arguments, reason = "the parts depend on all of them")]
    pub fn gather(
        &mut self,
        catalog: &Catalog,
        plan: &ModelPlan,
        layout: &Layout,
        profile: &Profile,
        context: &[Value],
        offers: &[u16],
        now: Timestamp,
    ) -> Timestamp {
        let mut valid_until = Timestamp::FAR_FUTURE;
        self.shared.clear();
        let mut used = Used::default();
        for (at, column) in plan.columns.iter().enumerate() {
            let value = match column.from {
                ColumnSource::Offer(position) if column.encoding == Encoding::DaysSince => {
                    let cells = begin(&mut self.by_day, &mut used.days, at);
                    for &offer in offers {
                        let value = catalog.offers[usize::from(offer)].attributes[position];
                        valid_until = valid_until.min(changes_at(&column.encoding, value, now));
                        cells.push(column.encode(value, now));
                    }
                    Value::Missing
                }
                ColumnSource::Contacts { counted, scope, within } => {
                    count_contacts(
                        catalog,
                        &profile.contacts,
                        (counted, scope, within),
                        now,
                        &mut self.counts,
                    );
                    let concerned = self
                        .counts
                        .iter()
                        .filter(|count| count.concerns(catalog, scope, offers));
                    valid_until = concerned.fold(valid_until, |until, count| until.min(count.valid_until));
                    self.encode_counts(catalog, (at, column), scope, now, &mut used)
                }
                from => {
                    let value = shared_value(from, layout, context);
                    valid_until = valid_until.min(changes_at(&column.encoding, value, now));
                    value
                }
            };
            self.shared.push(column.encode(value, now));
        }
        self.by_group.truncate(used.groups);
        self.by_offer.truncate(used.offers);
        self.by_day.truncate(used.days);
        valid_until
    }

    /// Encodes what was counted for one column, and returns what holds where nothing was.
    fn encode_counts(
        &mut self,
        catalog: &Catalog,
        (at, column): (usize, &Column),
        scope: ContactScope,
        now: Timestamp,
        used: &mut Used,
    ) -> Value {
        let cell = |contacts: u32| column.encode(Value::Number(f64::from(contacts)), now);
        match scope {
            ContactScope::All => {
                let all = self.counts.first().map_or(0, |count| count.contacts);
                return Value::Number(f64::from(all));
            }
            ContactScope::Group => {
                let cells = begin(&mut self.by_group, &mut used.groups, at);
                cells.resize(catalog.groups.len(), cell(0));
                for count in &self.counts {
                    cells[count.place] = cell(count.contacts);
                }
            }
            ContactScope::Offer => {
                let cells = begin(&mut self.by_offer, &mut used.offers, at);
                for count in &self.counts {
                    // An offer's position has 16 bits.
                    cells.extend(u16::try_from(count.place).map(|offer| (offer, cell(count.contacts))));
                }
                cells.sort_unstable_by_key(|cell| cell.0);
            }
        }
        Value::Number(0.0)
    }

    /// Appends, bit for bit, all that tells two decisions of one catalog apart for a model that scores offers of the groups that
    /// `is_scored`, and returns whether that can be said: not where a column says how many days an offer's date is past, which
    /// is a number for each offer that was asked for. Where two decisions append the same, an offer has the same row in both.
    #[must_use]
    pub fn seen(&self, is_scored: impl Fn(usize) -> bool, seen: &mut Vec<u32>) -> bool {
        seen.extend(self.shared.iter().map(|cell| cell.to_bits()));
        for cells in &self.by_group {
            let of_groups = cells.cells.iter().enumerate();
            let scored = of_groups.filter(|(group, _)| is_scored(*group));
            seen.extend(scored.map(|(_, cell)| cell.to_bits()));
        }
        for cells in &self.by_offer {
            // Whose contacts are counted differs from customer to customer, and so does how many offers that is.
            seen.extend(u32::try_from(cells.cells.len()));
            seen.extend(
                cells
                    .cells
                    .iter()
                    .flat_map(|&(offer, cell)| [u32::from(offer), cell.to_bits()]),
            );
        }
        self.by_day.is_empty()
    }

    /// Lays the parts out as the rows of `offers`, for which they were gathered.
    pub fn lay_out(&self, catalog: &Catalog, plan: &ModelPlan, offers: &[u16], cells: &mut Vec<f32>) {
        let width = self.shared.len();
        cells.clear();
        cells.reserve(offers.len() * width);
        for _ in offers {
            cells.extend_from_slice(&self.shared);
        }
        let mut overwrite = |column: usize, cell: &dyn Fn(usize, usize) -> f32| {
            let rows = cells.chunks_exact_mut(width.max(1)).zip(offers).enumerate();
            for (row, (cells, &offer)) in rows {
                cells[column] = cell(row, usize::from(offer));
            }
        };
        for OfferCells { column, cells: known } in &plan.by_offer {
            overwrite(*column, &|_, offer| known[offer]);
        }
        for Cells { column, cells: known } in &self.by_group {
            overwrite(*column, &|_, offer| known[catalog.offer_groups[offer]]);
        }
        for Cells { column, cells: known } in &self.by_day {
            overwrite(*column, &|row, _| known[row]);
        }
        for Cells { column, cells: known } in &self.by_offer {
            for &(offer, cell) in known {
                if let Ok(row) = offers.binary_search(&offer) {
                    cells[row * width + column] = cell;
                }
            }
        }
    }
}

/// How many columns of each kind there are so far.
#[derive(Default)]
struct Used {
    groups: usize,
    offers: usize,
    days: usize,
}

/// Returns the empty cells of the next column of a kind, in the memory that the last decision left.
fn begin<'a, T>(columns: &'a mut Vec<Cells<T>>, used: &mut usize, column: usize) -> &'a mut Vec<T> {
    if *used == columns.len() {
        let cells = Vec::new();
        columns.push(Cells { column, cells });
    }
    let next = &mut columns[*used];
    *used += 1;
    next.column = column;
    next.cells.clear();
    &mut next.cells
}

impl ContactCount {
    /// Tells whether one of the offers sees this count.
    fn concerns(&self, catalog: &Catalog, scope: ContactScope, offers: &[u16]) -> bool {
        match scope {
            ContactScope::All => true,
            ContactScope::Group => offers.iter().any(|&offer| place(catalog, scope, offer) == self.place),
            ContactScope::Offer => offers
                .binary_search_by_key(&self.place, |&offer| usize::from(offer))
                .is_ok(),
        }
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

/// Returns where the count for an offer belongs: to all offers, to its group, or to itself.
fn place(catalog: &Catalog, scope: ContactScope, offer: u16) -> usize {
    let offer = usize::from(offer);
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
    counts.clear();
    for contact in contacts {
        let Some(at) = counted_at(contact, counted) else {
            continue;
        };
        let leaves = within.map_or(Timestamp::FAR_FUTURE, |window| at + window);
        if leaves <= now {
            continue;
        }
        let offer = catalog.offer_positions.get(contact.offer);
        let offer = offer.and_then(|offer| u16::try_from(offer).ok());
        let place = match (scope, offer) {
            (ContactScope::All, _) => 0,
            (_, Some(offer)) => place(catalog, scope, offer),
            (_, None) => continue,
        };
        // A customer has few contacts.
        match counts.iter_mut().find(|count| count.place == place) {
            Some(count) => {
                count.contacts += 1;
                count.valid_until = count.valid_until.min(leaves);
            }
            None => counts.push(ContactCount {
                place,
                contacts: 1,
                valid_until: leaves,
            }),
        }
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
