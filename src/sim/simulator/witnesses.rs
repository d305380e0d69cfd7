//! Two more engines that show how an answer would stand later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::Catalog;
use crate::domain::decision::{Decision, Stage};
use crate::domain::ids::CustomerId;
use crate::domain::profile::Profile;
use crate::domain::request::OffersRequest;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::{Active, Engine, Limits};
use crate::store::{Buffers, Then};

use super::blueprint::Blueprint;
use super::{Simulation, engine_side, same};

/// Two more engines with the same catalog and a model that never fails: one caches its lists, the other does not. A
/// profile is copied into both to see how an answer would stand later.
pub(super) struct Witnesses {
    caching: Engine,
    fresh: Engine,
    active: (Arc<Active>, Arc<Active>),
}

impl Witnesses {
    pub(super) fn new(bank: &Blueprint, catalog: &Arc<Catalog>) -> Self {
        let active = || engine_side::active(bank, catalog, &Arc::new(AtomicBool::new(false)));
        let without_lists = Limits {
            ranked_lists_bytes_max: 0,
            ..Limits::default()
        };
        let caching = Engine::new(active(), Limits::default());
        let fresh = Engine::new(active(), without_lists);
        Self {
            active: (caching.active(), fresh.active()),
            caching,
            fresh,
        }
    }

    pub(super) fn activate(&mut self, bank: &Blueprint, catalog: &Arc<Catalog>) -> Result<(), String> {
        for engine in [&self.caching, &self.fresh] {
            let active = engine_side::active(bank, catalog, &Arc::new(AtomicBool::new(false)));
            engine.activate(active).map_err(|error| error.to_string())?;
        }
        self.active = (self.caching.active(), self.fresh.active());
        Ok(())
    }

    /// Returns the engine without cached lists, with its snapshot.
    pub(super) fn fresh(&self) -> (&Engine, Arc<Active>) {
        (&self.fresh, Arc::clone(&self.active.1))
    }

    fn copy(&self, id: &CustomerId, profile: Option<&Profile>) -> Result<(), String> {
        for engine in [&self.caching, &self.fresh] {
            let write = |profile: &Profile| {
                engine.store().with(id, id.key(), &mut Buffers::default(), |copied, _| {
                    copied.clone_from(profile);
                    ((), Then::Keep)
                });
            };
            // Forgetting somebody drops the list that was made in the future of an earlier question.
            write(&Profile::default());
            engine.delete_profile(id).map_err(|error| error.to_string())?;
            if let Some(profile) = profile {
                write(profile);
            }
        }
        Ok(())
    }

    /// Lets both have counted over all customers what the engine counted.
    fn count_as(&self, engine: &Engine) {
        self.caching.count_as(engine);
        self.fresh.count_as(engine);
    }

    /// Asks both at an instant; they must agree.
    fn ask(&self, request: &OffersRequest, at: Timestamp) -> Result<Decision, String> {
        let cached = self.caching.offers(&self.active.0, request, at);
        let fresh = self.fresh.offers(&self.active.1, request, at);
        let (cached, fresh) = (
            cached.map_err(|error| error.to_string())?,
            fresh.map_err(|error| error.to_string())?,
        );
        same(
            &format!("a cached list against a fresh one at {at}"),
            &lasting(&cached),
            &lasting(&fresh),
        )?;
        Ok(fresh)
    }
}

/// Returns an answer without what may differ between two askings of the same: whether it was cached.
pub(super) fn plain(decision: &Decision) -> Decision {
    Decision {
        cached: false,
        ..decision.clone()
    }
}

/// Returns the part of an answer that stays until its `valid_until`. Room under a cap that the answer itself fills comes
/// some time after the question, whenever that is asked. How long it stays depends on what decided first, and that may change
/// earlier than the answer does.
fn lasting(decision: &Decision) -> Decision {
    let mut lasting = Decision {
        decided_at: Timestamp::default(),
        valid_until: Timestamp::default(),
        ..plain(decision)
    };
    let shows = decision.placements.iter().any(|filled| !filled.fallback);
    for reason in &mut lasting.withheld {
        if shows && reason.stage == Stage::ContactPolicy {
            reason.eligible_again_at = None;
        }
    }
    lasting
}

impl Simulation {
    /// Asks the same at later instants, up to the last millisecond of the answer's validity, and just after.
    pub(super) fn look_ahead(
        &mut self,
        request: &OffersRequest,
        profile: Option<&Profile>,
        answer: &Decision,
    ) -> Result<(), String> {
        if let Some(customer) = &request.customer {
            self.witnesses.copy(customer, profile)?;
        }
        self.witnesses.count_as(&self.engine);
        let now = self.witnesses.ask(request, self.now)?;
        if !self.fails.load(Ordering::Relaxed) {
            same(
                "the engine against one without a past",
                &lasting(answer),
                &lasting(&now),
            )?;
        }
        let ends = now.valid_until.min(self.now + Millis::DAY.times(400));
        let span = usize::try_from((ends - self.now).get()).unwrap_or(0);
        let between = self.now + Millis::new(self.some(span));
        let mut instants = vec![between, ends - Millis::new(1), ends];
        instants.retain(|instant| *instant > self.now);
        instants.sort_unstable();
        for instant in instants {
            self.summary.instants += 1;
            let later = self.witnesses.ask(request, instant)?;
            if instant < now.valid_until {
                let what = format!(
                    "the answer of {} at {instant}, valid until {}",
                    self.now, now.valid_until
                );
                same(&what, &lasting(&later), &lasting(&now))?;
            }
        }
        Ok(())
    }
}
