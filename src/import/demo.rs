//! The demo population in an engine: a few customers by hand, and thousands that are drawn.
//!
//! The customers of `rules/demo.csv` have the first numbers, so that an example can name one and know its answer. They
//! fit the bank's catalog and are left out, all of them, when another one is served. The rest is drawn from the schema of
//! whatever catalog is in force ([`crate::sim::population`]).

use crate::domain::time::Timestamp;
use crate::engine::{Engine, Rejection};
use crate::import::mapping::Mapping;
use crate::import::plan::{Plan, Target};
use crate::import::rows::{Row, Rows};
use crate::sim::population;

/// The seed of the demo population.
pub const SEED: u64 = 20_261_123;
/// How many customers it has when nothing else is asked for.
pub const CUSTOMERS: usize = 10_000;

const BY_HAND: &str = include_str!("../../rules/demo.csv");

/// What was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Customers written by hand.
    pub by_hand: usize,
    /// Customers drawn.
    pub drawn: usize,
    /// Events of the drawn ones.
    pub events: usize,
}

/// Loads `customers` customers, `demo-000001` and on, who did something in the thirty days before `now`, and tells
/// `progress` how many there are, after each.
///
/// # Errors
/// When the engine has no room for them.
pub fn load(
    engine: &Engine,
    seed: u64,
    customers: usize,
    now: Timestamp,
    mut progress: impl FnMut(usize),
) -> Result<Loaded, Rejection> {
    let active = engine.active();
    let mut loaded = Loaded::default();
    for row in by_hand(&Target::of(&active.catalog)).into_iter().take(customers) {
        engine.upsert_profile(&active, &row.customer, &row.change, now)?;
        loaded.by_hand += 1;
        progress(loaded.by_hand);
    }
    let first = loaded.by_hand + 1;
    for customer in population::generate(&active.catalog, seed, first, customers - loaded.by_hand, now) {
        engine.upsert_profile(&active, &customer.id, &customer.change, now)?;
        engine.record_events(&active, &customer.id, &customer.events, now)?;
        loaded.drawn += 1;
        loaded.events += customer.events.len();
        progress(loaded.by_hand + loaded.drawn);
    }
    Ok(loaded)
}

/// Reads the customers by hand; none when they do not fit the schema.
#[must_use]
pub fn by_hand(target: &Target) -> Vec<Row> {
    let Ok(mut rows) = Rows::new(BY_HAND.as_bytes(), b',') else {
        return Vec::new();
    };
    let mapping = Mapping::by_header(rows.header().iter().map(String::as_str));
    let Ok(plan) = Plan::new(&mapping, rows.header(), target) else {
        return Vec::new();
    };
    let mut read = Vec::new();
    while let Some(row) = rows.next_row(&plan) {
        match row {
            Ok(row) => read.push(row),
            Err(_) => return Vec::new(),
        }
    }
    read
}
