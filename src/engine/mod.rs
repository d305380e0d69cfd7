//! The conductor: one function per kind of request, each on one snapshot and under one customer's lock.
//!
//! A call takes one [`Active`] snapshot (catalog and models) and one `now`, and does everything else in one synchronous
//! section: unpack the profile, fold the events of the call, rank (or take the cached list), fill the placements within
//! the caps, reserve, pack. Nobody else can see or change the customer in between, so what a cap allowed is still
//! allowed when it is reserved.
//!
//! **Cached lists.** A customer's [`Ranking`](crate::domain::decision::Ranking) is kept with what made it (ranking version, activation, request context) and
//! served without scoring while that holds and its `valid_until` lies ahead. Caps and opt-outs are applied freshly each
//! time. The lists live in a cache of bounded size; losing one costs a re-rank, never an answer.
//!
//! **The ladder.** When a model fails, the propensity is the last good one of the customer's cached list, whatever its
//! age, else the start propensity; the answer names the rung.

mod ranking;
mod steps;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::catalog::{Catalog, UnknownCustomer};
use crate::decision::fill::{self, Outcome};
use crate::decision::{facts::Layout, features::Rows, fold, steer::Steering};
use crate::domain::decision::Decision;
use crate::domain::entry::{Entry, OutcomeReport, ProfileChange};
use crate::domain::event::Event;
use crate::domain::ids::{CustomerId, CustomerKey, DecisionId};
use crate::domain::profile::Profile;
use crate::domain::request::OffersRequest;
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};
use crate::model::Scorer;
use crate::store::{Buffers, Full, Store, Then};

use ranking::Lists;
use steps::{add_gate_reasons, apply_events, lowest_rung, reserve, unanswered};

/// How far ahead of the engine's clock an event or outcome may claim to be; it is taken as having happened now.
pub const CLOCK_SKEW_MAX: Millis = Millis::new(5 * 60_000);

/// What serves: one catalog version with its models.
pub struct Active {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// Parallel to the catalog's models; `None` when a model could not be loaded, so that the lower rung serves.
    pub models: Vec<Option<Arc<dyn Scorer>>>,
    /// Which activation this is; [`Engine::activate`] counts.
    pub generation: u64,
}

impl Active {
    /// Puts a catalog and its models together; the engine numbers it when it is activated.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, models: Vec<Option<Arc<dyn Scorer>>>) -> Self {
        Self {
            catalog,
            models,
            generation: 0,
        }
    }
}

/// How much the engine may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Customers, visitors included. At about 1 kB each with everything around them, the default fits 16 GB.
    pub customers_max: usize,
    /// Bytes of cached lists; the least used are dropped first. The default holds some 150,000 lists of 100 offers.
    pub ranked_lists_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            customers_max: 20_000_000,
            ranked_lists_bytes_max: 512 << 20,
        }
    }
}

/// Why a call was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The catalog serves known customers only.
    #[error("the customer is not known, and the catalog's policy is to record nothing of unknown customers")]
    UnknownCustomer,
    /// No such decision: never made, or forgotten with its customer or its age.
    #[error("decision `{0}` is not known: never made, or no longer kept")]
    UnknownDecision(DecisionId),
    /// The decision did not show this offer (in this placement).
    #[error("decision `{0}` did not show this offer there")]
    OfferNotInDecision(DecisionId),
    /// The store is full.
    #[error("no room for another customer: the limit is {0}")]
    TooManyCustomers(usize),
}

impl From<Full> for Rejection {
    fn from(full: Full) -> Self {
        Self::TooManyCustomers(full.customers_max)
    }
}

/// What became of recorded events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventsReceipt {
    /// How many were new.
    pub applied: usize,
    /// How many had been recorded before, by their id.
    pub duplicates: usize,
    /// The profile's version afterwards.
    pub profile_version: u64,
}

/// What became of a reported outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeReceipt {
    /// Whether it was new; a repeat changes nothing.
    pub recorded: bool,
    /// Whether it came after the reservation's time was over.
    pub late: bool,
    /// The profile's version afterwards.
    pub profile_version: u64,
}

type ChangeHook = Arc<dyn Fn(CustomerKey) + Send + Sync>;

/// The engine.
pub struct Engine {
    store: Store,
    active: ArcSwap<Active>,
    generations: AtomicU64,
    lists: Lists,
    hooks: ArcSwap<Vec<ChangeHook>>,
}

/// What one thread reuses from call to call, so that a decision allocates next to nothing.
#[derive(Default)]
struct Workspace {
    buffers: Buffers,
    layout: Layout,
    groups: Vec<bool>,
    survivors: Vec<u16>,
    of_model: Vec<u16>,
    rows: Rows,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

impl Engine {
    /// Starts an engine without customers.
    #[must_use]
    pub fn new(active: Active, limits: Limits) -> Self {
        Self {
            store: Store::new(limits.customers_max),
            active: ArcSwap::from_pointee(Active {
                generation: 1,
                ..active
            }),
            generations: AtomicU64::new(1),
            lists: Lists::new(limits.ranked_lists_bytes_max),
            hooks: ArcSwap::default(),
        }
    }

    /// Takes the snapshot that is in force: once per call, to convert the request against it and to pass it on.
    #[must_use]
    pub fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Puts another catalog and its models in force. Calls under way finish on the one they took.
    pub fn activate(&self, active: Active) {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        self.active.store(Arc::new(Active { generation, ..active }));
    }

    /// Registers what to call after each change of a customer, from the thread that made it and outside the lock.
    pub fn on_change(&self, hook: Box<dyn Fn(CustomerKey) + Send + Sync>) {
        let hook: ChangeHook = hook.into();
        self.hooks.rcu(|hooks| {
            let mut hooks = Vec::clone(hooks);
            hooks.push(Arc::clone(&hook));
            hooks
        });
    }

    fn changed(&self, key: CustomerKey) {
        for hook in self.hooks.load().iter() {
            hook(key);
        }
    }

    /// Decides what to show: applies the events of the call, ranks, fills the placements, and reserves what it shows. A
    /// preview does the same and leaves no trace, so its events are a "what if".
    ///
    /// When there is no room for somebody new, nothing can be reserved, and the answer is the fallback content.
    ///
    /// # Errors
    /// [`Rejection::TooManyCustomers`] when there is no room for somebody new and the call carries events.
    pub fn offers(&self, active: &Active, request: &OffersRequest, now: Timestamp) -> Result<Decision, Rejection> {
        self.offers_steered(active, request, None, now)
    }

    /// Decides as [`Engine::offers`] does, in the order that a plan over many customers wants.
    ///
    /// # Errors
    /// As for [`Engine::offers`].
    pub fn offers_steered(
        &self,
        active: &Active,
        request: &OffersRequest,
        steering: Option<Steering<'_>>,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        let key = request.customer.key();
        let decided = WORKSPACE.with_borrow_mut(|workspace| {
            let mut buffers = std::mem::take(&mut workspace.buffers);
            let decided = self
                .store
                .with(key, Some(&request.customer), &mut buffers, |profile, known| {
                    let (decision, changed) =
                        self.decide(active, request, steering, key, profile, known, now, workspace);
                    ((decision, changed), if changed { Then::Keep } else { Then::Leave })
                });
            workspace.buffers = buffers;
            decided
        });
        match decided {
            Ok((decision, changed)) => {
                if changed {
                    self.changed(key);
                }
                Ok(decision)
            }
            Err(full) => {
                // The list was made for a profile that could not be begun.
                self.lists.forget(key);
                let lost_events = !request.events.is_empty();
                if lost_events {
                    Err(full.into())
                } else {
                    Ok(unanswered(&active.catalog, request, fill::NO_ROOM, now))
                }
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where a decision's inputs come together"
    )]
    fn decide(
        &self,
        active: &Active,
        request: &OffersRequest,
        steering: Option<Steering<'_>>,
        key: CustomerKey,
        profile: &mut Profile,
        known: bool,
        now: Timestamp,
        workspace: &mut Workspace,
    ) -> (Decision, bool) {
        let catalog = &*active.catalog;
        if !known && catalog.unknown_customer == UnknownCustomer::FallbackOnly && !request.customer.is_anonymous() {
            return (unanswered(catalog, request, fill::UNKNOWN_CUSTOMER, now), false);
        }
        let mut changed = apply_events(profile, &request.events, catalog, now) > 0;
        // A preview with events answers "what if", on a copy that is thrown away with its list.
        let keep = !(request.preview && changed);
        changed &= keep;
        if let Some(rule) = fill::suppression(catalog, profile, request, now) {
            let answer = unanswered(catalog, request, rule, now);
            return (
                Decision {
                    profile_version: profile.version,
                    known_customer: known,
                    ..answer
                },
                changed,
            );
        }
        let (list, cached) = self.list(active, request, key, profile, keep, now, workspace);
        let steered = steering.map(|steering| steering.apply(&list.ranking));
        let ranking = steered.as_ref().unwrap_or(&list.ranking);
        let mut withheld = Vec::new();
        let explain = request.explain.then_some(&mut withheld);
        let Outcome {
            placements,
            mut valid_until,
        } = fill::fill(catalog, ranking, profile, request, now, explain);
        if request.explain {
            valid_until = valid_until.min(workspace.layout.fill(catalog, profile, now));
            let until = add_gate_reasons(catalog, &workspace.layout, request, &list.ranking, now, &mut withheld);
            valid_until = valid_until.min(until);
        }
        let profile_version = profile.version;
        let id = if request.preview {
            None
        } else {
            reserve(catalog, request, key, profile, &placements, now)
        };
        changed |= id.is_some();
        let decision = Decision {
            id,
            profile_version,
            known_customer: known,
            decided_at: now,
            valid_until,
            rung: lowest_rung(catalog, &placements),
            cached,
            placements,
            withheld,
        };
        (decision, changed)
    }

    /// Records what a customer did. Events whose id was recorded before are left out.
    ///
    /// # Errors
    /// When the customer is unknown and the catalog records nothing of unknown customers, or there is no room.
    pub fn record_events(
        &self,
        active: &Active,
        customer: &CustomerId,
        events: &[Event],
        now: Timestamp,
    ) -> Result<EventsReceipt, Rejection> {
        self.change(active, customer, true, |profile, catalog| {
            let applied = apply_events(profile, events, catalog, now);
            EventsReceipt {
                applied,
                duplicates: events.len() - applied,
                profile_version: profile.version,
            }
        })
    }

    /// Writes attributes and consents; begins the customer when new. Returns the profile's version afterwards.
    ///
    /// # Errors
    /// When there is no room for somebody new.
    pub fn upsert_profile(
        &self,
        active: &Active,
        customer: &CustomerId,
        change: &ProfileChange,
        _now: Timestamp,
    ) -> Result<u64, Rejection> {
        self.change(active, customer, false, |profile, catalog| {
            fold::apply(profile, &Entry::Profile(change.clone()), catalog);
            profile.version
        })
    }

    fn change<T>(
        &self,
        active: &Active,
        customer: &CustomerId,
        only_known_by_policy: bool,
        work: impl FnOnce(&mut Profile, &Catalog) -> T,
    ) -> Result<T, Rejection> {
        let key = customer.key();
        let catalog = &*active.catalog;
        let refuse_unknown = only_known_by_policy
            && !customer.is_anonymous()
            && catalog.unknown_customer == UnknownCustomer::FallbackOnly;
        let (result, changed) = WORKSPACE.with_borrow_mut(|workspace| {
            self.store
                .with(key, Some(customer), &mut workspace.buffers, |profile, known| {
                    if !known && refuse_unknown {
                        return ((Err(Rejection::UnknownCustomer), false), Then::Leave);
                    }
                    let before = profile.version;
                    let result = work(profile, catalog);
                    let changed = profile.version != before;
                    (
                        (Ok(result), changed),
                        if changed || !known { Then::Keep } else { Then::Leave },
                    )
                })
        })?;
        if changed {
            self.changed(key);
        }
        result
    }

    /// Records what became of a decided offer. A repeat changes nothing; a late one is recorded as what it is.
    ///
    /// # Errors
    /// When the decision is not known, or did not show the offer.
    pub fn record_outcome(
        &self,
        active: &Active,
        customer: CustomerKey,
        report: &OutcomeReport,
        now: Timestamp,
    ) -> Result<OutcomeReceipt, Rejection> {
        let catalog = &*active.catalog;
        let id = DecisionId {
            customer,
            number: report.decision,
        };
        let receipt = WORKSPACE.with_borrow_mut(|workspace| {
            self.store.with(customer, None, &mut workspace.buffers, |profile, _| {
                let mut of_decision = profile
                    .contacts
                    .iter()
                    .filter(|contact| contact.decision == report.decision)
                    .peekable();
                if of_decision.peek().is_none() {
                    return (Err(Rejection::UnknownDecision(id)), Then::Leave);
                }
                let matches = |placement: Symbol| report.placement.is_none_or(|wanted| wanted == placement);
                let Some(contact) =
                    of_decision.find(|contact| contact.offer == report.offer && matches(contact.placement))
                else {
                    return (Err(Rejection::OfferNotInDecision(id)), Then::Leave);
                };
                let channel = catalog
                    .channels
                    .iter()
                    .find(|channel| channel.symbol == contact.channel);
                let late = channel.is_some_and(|channel| contact.decided_at() + channel.reservation <= now);
                let at = report.at.min(now).max(contact.decided_at());
                let recorded = fold::apply(profile, &Entry::Outcome(OutcomeReport { at, ..*report }), catalog);
                let receipt = OutcomeReceipt {
                    recorded,
                    late: late && recorded,
                    profile_version: profile.version,
                };
                (Ok(receipt), if recorded { Then::Keep } else { Then::Leave })
            })
        })??;
        if receipt.recorded {
            self.changed(customer);
        }
        Ok(receipt)
    }

    /// Returns a customer's profile.
    #[must_use]
    pub fn profile(&self, customer: &CustomerId) -> Option<Profile> {
        let mut profile = Profile::default();
        self.store.read(customer.key(), &mut profile).then_some(profile)
    }

    /// Forgets a customer; tells whether there was one.
    pub fn delete_profile(&self, customer: &CustomerId) -> bool {
        let key = customer.key();
        let removed = self.store.remove(key, || self.lists.forget(key));
        if removed {
            self.changed(key);
        }
        removed
    }

    /// Returns how many customers there are, visitors included.
    #[must_use]
    pub fn customers(&self) -> usize {
        self.store.len()
    }

    /// Returns the customers, for exports and statistics.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }
}
