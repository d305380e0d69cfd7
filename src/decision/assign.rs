//! Assignment within limits: who gets which offers when there are not enough for everybody.
//!
//! First come, first served wastes a scarce offer on whoever is asked first. Here the sum of the priorities over all
//! customers is made as large as can be, under three kinds of rules: a customer gets at most so many offers, each at
//! most once; each [`Limit`] covers a set of offers of which at most, and at least, so many are given in all.
//!
//! # Method
//!
//! Customers come in blocks ([`Block`]), each solved by itself ([`assign`]), so that memory does not grow with their
//! number. The caller takes customers in the order of the hashes of their ids, so a block is a fair draw of all of them, and
//! gets the share of each limit that corresponds to its size ([`Limits::room`]). What a block leaves, the next ones have.
//!
//! Within a block:
//! 1. **Prices.** Each limit has a price, negative where offers must be given out. A customer takes the best choices by
//!    priority less prices. Subgradient steps move the prices until demand fits the room (the Lagrangian dual). The lowest
//!    dual value is an upper bound of what any assignment of the block can reach. A block begins with the prices of the one before.
//! 2. **Greedy.** By falling gain from having a limited offer over having none, customers take their best choices that still
//!    have room. So the limits hold from here on, ties included, which prices alone cannot break.
//! 3. **Repair.** What `at_least` lacks is given where it costs least. Then better choices are taken where there is room, and two
//!    customers exchange a limited offer where both together gain, until nothing improves.
//!
//! # Distance to the optimum
//!
//! Measured against an exact integer solver on 300 seeded cases of 6 to 24 customers with 3 to 8 offers and 1 to 6
//! overlapping limits, a third of them with `at_least` (the test beside this file): see [`GAP_MEAN_MAX`] and [`GAP_MAX`]. Small cases are the hard
//! ones, since one wrong customer weighs much. `at_least` is a goal, not a promise: where it cannot be met, as much as
//! can be is given.

mod repair;

use std::cmp::Ordering;

use crate::domain::decision::Shown;

/// How far below the optimum the measured cases are on average, at most.
pub const GAP_MEAN_MAX: f64 = 0.0005;

/// How far below the optimum any measured case is, at most.
pub const GAP_MAX: f64 = 0.01;

/// Price steps for the first block: from nothing to prices that move by less than a hundredth.
const STEPS_COLD: u32 = 120;
/// Price steps for each further block, which begins with good prices.
const STEPS_WARM: u32 = 12;

/// How many of some offers may and should be given in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// By the offer's position: whether the limit covers it.
    pub offers: Vec<bool>,
    /// The most that may be given, never exceeded; 0 is never, `None` is no limit.
    pub at_most: Option<u64>,
    /// The least that should be given, if it can be.
    pub at_least: u64,
}

/// How many of a limit's offers may and should be given in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The most that may be given.
    pub at_most: u64,
    /// The least that should be given.
    pub at_least: u64,
}

/// Limits, with what each offer counts in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    limits: Vec<Limit>,
    of_offer: Vec<Vec<u16>>,
}

impl Limits {
    /// Puts limits together; each has as many offers as the catalog.
    #[must_use]
    pub fn new(limits: Vec<Limit>, offers: usize) -> Self {
        let covering = |offer: usize| {
            let limits = limits.iter().enumerate();
            let covering = limits.filter(|(_, limit)| limit.offers.get(offer) == Some(&true));
            covering.filter_map(|(at, _)| u16::try_from(at).ok()).collect()
        };
        Self {
            of_offer: (0..offers).map(covering).collect(),
            limits,
        }
    }

    /// Returns the limits.
    #[must_use]
    pub fn all(&self) -> &[Limit] {
        &self.limits
    }

    /// Tells whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// Returns the positions of the limits that cover an offer.
    #[must_use]
    pub fn of(&self, offer: u16) -> &[u16] {
        self.of_offer.get(usize::from(offer)).map_or(&[], Vec::as_slice)
    }

    /// Returns the room of a block: `share` (0 to 1) of what is left of each limit after `used`, rounded down for `at_most`
    /// so that the room of all blocks together is never more than there is; all that is left when the share is 1.
    #[must_use]
    pub fn room(&self, used: &[u64], share: f64) -> Vec<Room> {
        let part = |left: u64| Self::share(left, share);
        let rooms = self.limits.iter().zip(used).map(|(limit, &used)| {
            let at_most = limit.at_most.map_or(u64::MAX, |most| part(most.saturating_sub(used)));
            let at_least = part(limit.at_least.saturating_sub(used)).min(at_most);
            Room { at_most, at_least }
        });
        rooms.collect()
    }

    /// Returns a share (0 to 1) of what is left, rounded down; all of it when the share is 1.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share from 0 to 1 of a count; beyond 2^53 nothing is counted"
    )]
    pub fn share(left: u64, share: f64) -> u64 {
        if share >= 1.0 {
            left
        } else {
            (left as f64 * share.max(0.0)) as u64
        }
    }
}

/// One offer that a customer could be given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Position of the offer in the catalog.
    pub offer: u16,
    /// What giving it is worth, 0 or more.
    pub priority: f64,
}

impl Choice {
    /// Returns an offer that is shown as one that a customer could be given.
    #[must_use]
    pub fn of(shown: &Shown) -> Option<Self> {
        let offer = u16::try_from(shown.offer).ok()?;
        Some(Self {
            offer,
            priority: shown.priority,
        })
    }

    /// Returns the priority less what the offer costs.
    fn paid(&self, costs: &[f64]) -> f64 {
        self.priority - costs.get(usize::from(self.offer)).copied().unwrap_or_default()
    }
}

/// Customers with their choices; 16 bytes a choice and 4 a customer.
#[derive(Clone, Debug, Default)]
pub struct Block {
    choices: Vec<Choice>,
    ends: Vec<u32>,
    count: usize,
}

impl Block {
    /// Makes an empty block whose customers get up to `count` offers each.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }

    /// Adds a customer.
    pub fn push(&mut self, choices: &[Choice]) {
        self.choices.extend_from_slice(choices);
        self.ends.extend(u32::try_from(self.choices.len()));
    }

    /// Returns how many customers there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Tells whether there is no customer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns where a customer's choices stand among all.
    fn range(&self, customer: usize) -> std::ops::Range<usize> {
        let begin = customer.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        begin..self.ends[customer] as usize
    }

    /// Returns a customer's choices.
    #[must_use]
    pub fn of(&self, customer: usize) -> &[Choice] {
        &self.choices[self.range(customer)]
    }
}

/// What a block's customers are given.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    block: &'a Block,
    chosen: Vec<bool>,
    /// The sum of the priorities of what is given.
    pub objective: f64,
    /// No assignment of this block that keeps the limits, and gives as much of what should be given, is worth more.
    pub bound: f64,
}

impl Plan<'_> {
    /// Returns the offers that a customer is given, in the order of the choices.
    pub fn of(&self, customer: usize) -> impl Iterator<Item = u16> + '_ {
        let chosen = |at: &usize| self.chosen[*at];
        self.block
            .range(customer)
            .filter(chosen)
            .map(|at| self.block.choices[at].offer)
    }
}

/// What a unit of each limit costs, in priority; negative where giving is rewarded.
#[derive(Clone, Debug, Default)]
pub struct Prices(Vec<f64>);

/// Assigns offers to the customers of a block within its room. `prices` are those of the block before, and afterwards
/// those of this one; begin with the default.
#[must_use]
pub fn assign<'a>(block: &'a Block, limits: &Limits, room: &[Room], prices: &mut Prices) -> Plan<'a> {
    let bound = settle(block, limits, room, prices);
    let mut repair = repair::Repair::new(block, limits, room);
    let costs = costs(limits, room, &prices.0);
    let mut order: Vec<usize> = Vec::new();
    for customer in by_gain(block, limits, &costs) {
        order.clear();
        order.extend(block.range(customer));
        let paid = |at: usize| block.choices[at].paid(&costs);
        order.sort_unstable_by(|&a, &b| falling(paid(a), paid(b)).then(a.cmp(&b)));
        for &at in &order {
            if paid(at) < -1e-12 {
                break;
            }
            repair.take_if_room(customer, at);
        }
    }
    repair.improve();
    // Where what should be given could not be, the bound is that of giving as much as was given.
    let lacking = repair.lacking().zip(&prices.0);
    let relaxed: f64 = lacking.map(|(lacking, price)| (-price).max(0.0) * lacking as f64).sum();
    let bound = bound + relaxed;
    let chosen = repair.into_chosen();
    let given = block.choices.iter().zip(&chosen).filter(|(_, chosen)| **chosen);
    Plan {
        objective: given.map(|(choice, _)| choice.priority).sum(),
        block,
        chosen,
        bound,
    }
}

fn falling(a: f64, b: f64) -> Ordering {
    b.total_cmp(&a)
}

/// Returns what each offer costs: the prices of its limits together; infinitely much where there is no room at all.
fn costs(limits: &Limits, room: &[Room], prices: &[f64]) -> Vec<f64> {
    let cost = |covering: &Vec<u16>| -> f64 {
        let costs = covering.iter().map(|&limit| match room[usize::from(limit)].at_most {
            0 => f64::INFINITY,
            _ => prices[usize::from(limit)],
        });
        costs.sum()
    };
    limits.of_offer.iter().map(cost).collect()
}

/// The best `count` paid values of a customer, worked out over and over.
#[derive(Default)]
struct Best(Vec<(f64, usize)>);

impl Best {
    /// Keeps the best `count` of the values that are above zero.
    fn of(&mut self, count: usize, values: impl Iterator<Item = (f64, usize)>) -> &[(f64, usize)] {
        self.0.clear();
        for value in values.filter(|value| value.0 > 0.0) {
            // Choices mostly come best first, so that most of them end here.
            if self.0.len() == count && self.0.last().is_none_or(|last| last.0 >= value.0) {
                continue;
            }
            let at = self.0.partition_point(|kept| kept.0 >= value.0);
            self.0.truncate(count - 1);
            self.0.insert(at, value);
        }
        &self.0
    }
}

/// Moves the prices until demand fits the room; leaves the best ones, and returns the lowest dual value.
fn settle(block: &Block, limits: &Limits, room: &[Room], prices: &mut Prices) -> f64 {
    let steps = if prices.0.len() == room.len() {
        STEPS_WARM
    } else {
        STEPS_COLD
    };
    prices.0.resize(room.len(), 0.0);
    let highest = block.choices.iter().map(|choice| choice.priority).fold(0.0, f64::max);
    let (mut best, mut best_prices) = (f64::INFINITY, prices.0.clone());
    let mut demand = vec![0_u64; room.len()];
    let mut kept = Best::default();
    for step in 0..steps {
        demand.fill(0);
        let mut dual = 0.0;
        let costs = costs(limits, room, &prices.0);
        for customer in 0..block.len() {
            let paid = |at: usize| (block.choices[at].paid(&costs), at);
            for &(value, at) in kept.of(block.count, block.range(customer).map(paid)) {
                dual += value;
                for &limit in limits.of(block.choices[at].offer) {
                    demand[usize::from(limit)] += 1;
                }
            }
        }
        for (&price, room) in prices.0.iter().zip(room) {
            let units = if price > 0.0 { room.at_most } else { room.at_least };
            dual += if price == 0.0 { 0.0 } else { price * units as f64 };
        }
        if dual < best {
            best = dual;
            best_prices.copy_from_slice(&prices.0);
        }
        let first = if steps == STEPS_COLD { 0.5 } else { 0.05 };
        let width = highest * first / (1.0 + f64::from(step) * 0.25);
        for ((price, &demand), room) in prices.0.iter_mut().zip(&demand).zip(room) {
            *price = moved(*price, demand, *room, width).clamp(-2.0 * highest, 2.0 * highest);
        }
    }
    prices.0 = best_prices;
    best
}

/// Moves a price by at most `width` towards where demand fits the room.
fn moved(price: f64, demand: u64, room: Room, width: f64) -> f64 {
    let relative = |more: u64, less: u64| ((more - less) as f64 / less.max(1) as f64).min(1.0) * width;
    if demand > room.at_most {
        price + relative(demand, room.at_most)
    } else if demand < room.at_least {
        price - relative(room.at_least, demand)
    } else if price > 0.0 {
        (price - relative(room.at_most, demand)).max(0.0)
    } else if price < 0.0 {
        (price + relative(demand, room.at_least)).min(0.0)
    } else {
        price
    }
}

/// Orders the customers by how much a limited offer gains them over having none, highest first.
fn by_gain(block: &Block, limits: &Limits, costs: &[f64]) -> Vec<usize> {
    let (mut with, mut without) = (Best::default(), Best::default());
    let mut gains: Vec<(f64, usize)> = (0..block.len())
        .map(|customer| {
            let range = block.range(customer);
            let paid = |at: usize| (block.choices[at].paid(costs), at);
            let free = |at: &usize| limits.of(block.choices[*at].offer).is_empty();
            let sum = |best: &[(f64, usize)]| best.iter().map(|value| value.0).sum::<f64>();
            let all = sum(with.of(block.count, range.clone().map(paid)));
            (
                all - sum(without.of(block.count, range.filter(free).map(paid))),
                customer,
            )
        })
        .collect();
    gains.sort_unstable_by(|a, b| falling(a.0, b.0).then(a.1.cmp(&b.1)));
    gains.into_iter().map(|(_, customer)| customer).collect()
}

#[cfg(test)]
mod tests;
