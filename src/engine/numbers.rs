//! Numbers of decisions. A customer's first decision is numbered by its second, each further one by one more, so the numbers of
//! somebody who was forgotten and came back are new. Whoever decided more often than once a second is ahead of the
//! clock; when such a customer is forgotten, the last number is remembered here until the clock has passed it.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::domain::ids::CustomerKey;
use crate::domain::profile::Profile;
use crate::domain::time::{Millis, Timestamp};

/// The seconds are counted from 2024-01-01T00:00:00Z.
const NUMBERS_BEGIN: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// The last numbers of those who were forgotten a moment ago.
#[derive(Debug, Default)]
pub(super) struct Numbers(Mutex<HashMap<CustomerKey, u32>>);

impl Numbers {
    /// Remembers the last number of somebody who is being forgotten. Called under the customer's lock.
    pub(super) fn forget(&self, customer: CustomerKey, profile: &Profile) {
        if profile.decisions > 0 {
            self.0.lock().insert(customer, profile.decisions);
        }
    }

    /// Returns the number of the customer's next decision. Called under the customer's lock.
    pub(super) fn next(&self, customer: CustomerKey, profile: &Profile, now: Timestamp) -> u32 {
        if profile.decisions > 0 {
            return profile.decisions.saturating_add(1);
        }
        let second = (now - NUMBERS_BEGIN).get() / Millis::SECOND.get();
        let second = u32::try_from(second).unwrap_or(1).max(1);
        let mut last = self.0.lock();
        last.retain(|_, last| *last >= second);
        last.get(&customer)
            .map_or(second, |last| second.max(last.saturating_add(1)))
    }
}
