//! One call for offers.

use std::cell::Cell;
use std::sync::Arc;

use super::Active;
use super::ranking::{Keep, List, Lists};
use crate::decision::steer::Steering;
use crate::decision::volumes::Rooms;
use crate::domain::ids::CustomerKey;
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::Timestamp;

/// One call for offers: what is asked, of which snapshot, when.
pub(super) struct Call<'a> {
    pub(super) active: &'a Active,
    pub(super) request: &'a OffersRequest,
    /// By what a repeat is recognised, when the call has an id.
    pub(super) once: Option<RequestKey>,
    /// What the volumes have left, when a decision of then is made again; otherwise they are asked.
    pub(super) rooms: Option<&'a Rooms>,
    /// What a plan over many customers says, if there is one.
    pub(super) steering: Option<Steering<'a>>,
    /// Whether the customer's list is cached.
    pub(super) keep: Keep,
    /// Whose; absent for a visitor without any id, for whom nothing can be kept.
    pub(super) key: Option<CustomerKey>,
    pub(super) now: Timestamp,
    /// The list that was found when the profile was read, which then has no behaviour: nobody will ask for it.
    pub(super) found: Cell<Option<Arc<List>>>,
}

impl Call<'_> {
    /// Tells whether all that it needs of somebody's behaviour is in the cached list of this ranking version, and notes that list.
    pub(super) fn finds_list(&self, lists: &Lists, ranking_version: u64) -> bool {
        let Self { active, request, .. } = *self;
        // Reasons are told from behaviour too, a plan puts others first, and events change it.
        let is_plain =
            request.events.is_empty() && !request.explain && self.steering.is_none() && self.keep == Keep::Yes;
        let key = self.key.filter(|_| is_plain);
        let list = key.and_then(|key| lists.cached(active, request, key, ranking_version, self.now));
        let is_found = list.is_some();
        self.found.set(list);
        is_found
    }
}
