//! Which contact policies were in force when, for the export that is audited.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::domain::time::{Millis, Timestamp};

/// How many policies are remembered; an export judges the decisions since the oldest of them.
const POLICIES_KEPT: usize = 64;

/// How long a call that took the catalog before may still decide by it.
const UNDER_WAY_MAX: Millis = Millis::new(5_000);

/// One policy and its time.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    /// The catalog.
    pub(super) catalog: Arc<Catalog>,
    /// From when on every decision was made by it.
    pub(super) from: Timestamp,
    /// Up to when every decision was made by it; `None` is until now.
    pub(super) until: Option<Timestamp>,
}

/// The policies since the start of the server.
#[derive(Debug)]
pub(super) struct PolicyLog(Mutex<VecDeque<InForce>>);

impl PolicyLog {
    /// Begins with the policy that is in force at the start.
    pub(super) fn new(catalog: Arc<Catalog>, now: Timestamp) -> Self {
        let first = InForce {
            catalog,
            from: now,
            until: None,
        };
        Self(Mutex::new(VecDeque::from([first])))
    }

    /// Notes that another catalog came into force between two instants.
    pub(super) fn changed(&self, catalog: Arc<Catalog>, before: Timestamp, after: Timestamp) {
        let mut log = self.0.lock();
        if let Some(last) = log.back_mut() {
            last.until = Some(before);
        }
        log.push_back(InForce {
            catalog,
            from: after + UNDER_WAY_MAX,
            until: None,
        });
        if log.len() > POLICIES_KEPT {
            log.pop_front();
        }
    }

    /// Returns the policies, oldest first.
    pub(super) fn all(&self) -> Vec<InForce> {
        self.0.lock().iter().cloned().collect()
    }
}
