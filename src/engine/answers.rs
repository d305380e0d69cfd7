//! The answers to requests with an id, kept so that a repeated call gets the same answer.
//!
//! **The promise.** A call that carries a request id reserves once, however often it is repeated, as long as fewer than
//! [`REQUESTS_KEPT`] other calls with an id came for the same customer since. Which ids reserved what stands in the
//! profile; the answers themselves stand here, the latest [`REQUESTS_KEPT`] of a customer, within a number of bytes for all
//! customers together. So a repeat is told one of four things:
//!
//! * the same answer, marked as such, when it is still here;
//! * that the id was used for another request, when what is asked differs;
//! * that the answer is no longer here, when only the profile remembers: nothing is reserved again, and the message names
//!   the decision, so that the caller can cancel it and ask anew;
//! * a new answer, when nobody remembers: the first one had reserved nothing (no offer to show), or lies too far back.
//!
//! An answer that reserved nothing is remembered here only: there is nothing to protect, and somebody unknown is not begun for
//! a question. It is repeated as long as it is here, and decided anew afterwards.

use std::fmt;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Active;
use crate::domain::decision::{Decision, Filled, Shown, Withheld};
use crate::domain::ids::CustomerKey;
use crate::domain::profile::REQUESTS_KEPT;
use crate::domain::request::{OffersRequest, PlacementRequest, RequestKey};
use crate::store::KeyHasher;

/// Activations whose answers are kept: an answer holds on to the catalog and models that made it, and a caller waits for
/// seconds, not for this many reloads.
const GENERATIONS_KEPT: u64 = 8;

/// One answer with what is needed to put it into words again.
pub(super) struct Kept {
    pub(super) key: RequestKey,
    pub(super) decision: Decision,
    pub(super) request: OffersRequest,
    pub(super) active: Arc<Active>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("key", &self.key)
            .field("generation", &self.active.generation)
            .finish_non_exhaustive()
    }
}

/// The latest answers of one customer, oldest first.
type Latest = Arc<[Arc<Kept>]>;

/// The answers.
pub(super) struct Answers(Cache<u128, Latest, Bytes, BuildHasherDefault<KeyHasher>>);

#[derive(Clone)]
struct Bytes;

impl Weighter<u128, Latest> for Bytes {
    fn weight(&self, _: &u128, latest: &Latest) -> u64 {
        let bytes: usize = latest.iter().map(|kept| bytes(kept)).sum();
        (bytes + 64) as u64
    }
}

/// Estimates the bytes of an answer; texts are mostly shared with the catalog.
fn bytes(kept: &Kept) -> usize {
    let shown = |filled: &Filled| size_of::<Filled>() + filled.offers.capacity() * size_of::<Shown>();
    let placements: usize = kept.decision.placements.iter().map(shown).sum();
    let withheld = kept.decision.withheld.len() * (size_of::<Withheld>() + 32);
    let request = kept.request.placements.len() * size_of::<PlacementRequest>() + 64;
    size_of::<Kept>() + size_of::<Arc<Kept>>() + placements + withheld + request
}

impl Answers {
    pub(super) fn new(bytes_max: u64) -> Self {
        // An answer of three offers has about 1 kB; the estimate only sizes the table.
        let estimated = usize::try_from(bytes_max / 1_000).unwrap_or(usize::MAX).max(16);
        Self(Cache::with(
            estimated,
            bytes_max,
            Bytes,
            BuildHasherDefault::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        ))
    }

    /// Finds the latest answer to a request id of a customer.
    pub(super) fn find(&self, customer: CustomerKey, id: u64) -> Option<Arc<Kept>> {
        let latest = self.0.get(&customer.get())?;
        latest.iter().rfind(|kept| kept.key.id == id).cloned()
    }

    /// Keeps an answer; the oldest of the customer leaves when there are too many. Called under the customer's lock.
    pub(super) fn keep(&self, customer: CustomerKey, kept: Kept) {
        let before = self.0.get(&customer.get());
        let before = before.as_deref().unwrap_or_default();
        let excess = (before.len() + 1).saturating_sub(REQUESTS_KEPT);
        let oldest = oldest_kept(kept.active.generation);
        let recent = before[excess..].iter().filter(|kept| kept.active.generation > oldest);
        let latest: Latest = recent.cloned().chain([Arc::new(kept)]).collect();
        self.0.insert(customer.get(), latest);
    }

    /// Forgets a customer.
    pub(super) fn forget(&self, customer: CustomerKey) {
        self.0.remove(&customer.get());
    }

    /// Forgets the customers whose latest answer is of an activation long before this one.
    pub(super) fn forget_before(&self, generation: u64) {
        let oldest = oldest_kept(generation);
        self.0
            .retain(|_, latest| latest.last().is_some_and(|kept| kept.active.generation > oldest));
    }
}

const fn oldest_kept(generation: u64) -> u64 {
    generation.saturating_sub(GENERATIONS_KEPT)
}
