//! Campaigns: decisions for many customers at once, by the same engine, rules and caps as everybody else's.
//!
//! [`run()`] asks for each customer of an audience in the order of the hashes of their ids, on a few threads of its own,
//! and hands on the answers in that order, batch by batch. Two runs over the same customers take the same order, so a
//! run that broke off goes on after the last [`Position`] that was handed on.
//!
//! **Memory** does not grow with the customers: the store is gone through in ranges of at most about
//! [`audience::KEYS_AT_ONCE`] keys (16 bytes each), and what is under way is bounded by the number of threads. With limits over all customers a
//! block of [`BLOCK`] customers is planned at a time ([`crate::decision::assign`]), while the threads look at half of the next one: their
//! ids and up to [`CHOICES_MORE`] choices more than wanted, some 400 bytes each. Lists of live calls are used where
//! they hold, and never replaced: without limits a run caches none, and with limits those of customers who were looked at have a place of
//! their own in the cache until they are decided for, 3 kB each with 100 offers, one block and a half at most. What a run reserves
//! stays, of course: it is part of the customers.
//!
//! **Limits** hold over the whole run. Everybody of a block is first looked at without reserving; then the block is
//! planned; then it is decided, the planned offers first. Should a customer no longer be allowed one, because a web
//! page reserved in between, the cap holds and the unit goes on to the next block. What is left of a limit is asked when all before have
//! been decided, so nothing that was looked at ahead is planned by what was left then.
//!
//! **Live traffic** goes first: the threads run at a lower priority where the system has one for threads, and a lock is
//! held for one decision only.

pub mod audience;
mod pool;
mod position;
mod run;
mod terms;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::decision::assign::Limits;
use crate::domain::decision::Decision;
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::Timestamp;
use crate::engine::Active;
use crate::rules::Condition;

pub use audience::Audience;
pub use position::{BadPosition, Position};
pub use run::{Stopped, run};

/// Customers that are planned together: enough to be a fair draw of all, few enough to be planned in a fraction of a
/// second.
pub const BLOCK: usize = 16_384;

/// Customers in one batch of answers: enough to make its cost small, few enough to move the progress on.
pub const BATCH: usize = 256;

/// Offers beyond the wanted number among which a plan may choose for each customer.
pub const CHOICES_MORE: usize = 8;

/// The name of the method, as summaries say it.
pub const METHOD: &str = "lagrangian prices, greedy by gain, exchanges; in blocks of 16384 customers";

/// The method of a run without limits: nobody's offers depend on another's.
pub const METHOD_WITHOUT_LIMITS: &str = "each customer's best";

/// The rule that withholds an offer because the run gives its units to others.
pub const RUN_LIMIT: &str = "campaign-run-limit";

/// What is asked for every customer, resolved against one snapshot.
pub struct Asked {
    /// The snapshot.
    pub active: Arc<Active>,
    /// The request; its customer stands for everybody.
    pub request: OffersRequest,
    /// Who of the audience is meant; everybody when there is none.
    pub segment: Option<Condition>,
    /// The limits over the whole run.
    pub limits: Limits,
    /// What each limit is about, in words; parallel.
    pub limit_names: Vec<Arc<str>>,
    /// By what a run that reserves is recognised when it goes on after a break: a customer who was answered is not asked again.
    pub once: Option<RequestKey>,
}

impl Asked {
    /// Returns the catalog of the snapshot.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.active.catalog
    }
}

/// Who asks for a run: what it needs from outside, and who takes the answers. All but `emit` is called from several threads.
pub trait Caller: Sync {
    /// An answer for one customer, ready to be handed on.
    type Answer: Send;
    /// Why the request no longer fits.
    type Fault;

    /// Reads the clock.
    fn now(&self) -> Timestamp;

    /// Resolves the request against a snapshot: at the start, and again when another version came into force.
    ///
    /// # Errors
    /// When it does not fit.
    fn ask(&self, active: Arc<Active>, now: Timestamp) -> Result<Asked, Self::Fault>;

    /// Puts one decision, made on a snapshot, into words; `None` when there is nothing to hand on.
    fn present(&self, active: &Active, request: &OffersRequest, decision: &Decision) -> Option<Self::Answer>;

    /// Takes note of a decision that was made now, before it is handed on, which it may never be.
    fn decided(&self, _active: &Active, _request: &OffersRequest, _decision: &Decision) {}

    /// Marks an answer as one of before a break that was no longer kept, and is made of what stands of it by the contact history.
    fn recalled(&self, answer: Self::Answer) -> Self::Answer {
        answer
    }

    /// Takes a batch; may wait for a slow reader. Returns whether anybody still listens.
    fn emit(&self, batch: Batch<Self::Answer>) -> bool;

    /// Tells whether nobody listens any more.
    fn is_gone(&self) -> bool;
}

/// How a run goes about it.
#[derive(Clone, Debug)]
pub struct Options {
    /// At most this many customers are asked for, over all parts of a run that broke off.
    pub customers_max: Option<u64>,
    /// How many threads work, 1 or more.
    pub threads: usize,
    /// Where to go on.
    pub start: Position,
}

/// Some answers, and how far the run has come with them.
#[derive(Clone, Debug)]
pub struct Batch<A> {
    /// The answers, by customer in the order of the run.
    pub answers: Vec<A>,
    /// From where to go on if the run breaks off after this batch.
    pub position: Position,
    /// How much of the audience lies behind, 0 to 1.
    pub share: f64,
    /// What was counted since this call began.
    pub totals: Totals,
}

/// What was counted since a call began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Customers asked for.
    pub customers: u64,
    /// Those with at least one offer.
    pub given: u64,
    /// Offers given.
    pub offers: u64,
    /// The sum of their priorities.
    pub objective: f64,
    /// Customers answered before the run broke off whose answer is no longer kept, and who are listed by their contact history.
    pub recalled: u64,
    /// Customers answered before the run broke off of whose answer nothing stands any more: it was cancelled, its time was over
    /// without a report, or its offers left the catalog. They are not listed, and nothing is reserved for them anew.
    pub lapsed: u64,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// What was counted since the call began.
    pub totals: Totals,
    /// How often each offer was given since the call began, by id.
    pub by_offer: BTreeMap<Arc<str>, u64>,
    /// How many units of each limit were used, over all parts of the run.
    pub used: Vec<u64>,
    /// What the limits came to be about, as they stand in the last snapshot.
    pub limits: Limits,
    /// How it was decided.
    pub method: &'static str,
    /// With limits: what the sum of the priorities would be without them.
    pub objective_without_limits: Option<f64>,
    /// With limits: no assignment of the same blocks that keeps them is worth more.
    pub objective_bound: Option<f64>,
}

#[cfg(test)]
mod tests;
