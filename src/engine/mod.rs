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
//! **Once.** A call may carry a request id; a repeat gets the first call's answer and reserves nothing. What is promised for how
//! long stands in `answers`.
//!
//! **Volumes.** Limits over all customers are exact as well: what a decision shows is taken from all of them at once, under one
//! lock that is taken under the customer's; see `volumes`.
//!
//! **The ladder.** When a model fails, the propensity is the last good one of the customer's cached list, whatever its
//! age, else the start propensity; the answer names the rung.

mod answers;
mod conductor;
#[cfg(test)]
mod interleavings;
mod numbers;
mod prospects;
mod ranking;
mod receipts;
mod reports;
mod steps;
mod sync;
#[cfg(test)]
mod tests;
mod volumes;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::catalog::{Catalog, UnknownCustomer};
use crate::decision::fill;
use crate::decision::volumes::Rooms;
use crate::decision::{facts::Layout, features::Rows, fold, gate::Verdicts, hold_out, steer::Steering};
use crate::domain::decision::{Decision, Ranked};
use crate::domain::entry::{Entry, ProfileChange};
use crate::domain::event::Event;
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::{Millis, Timestamp};
use crate::model::Scorer;
use crate::store::{Buffers, Full, Store, Then};

use conductor::{Call, Conductor};
use steps::{apply_events, unanswered};

pub use prospects::{Before, Prospects};
pub use receipts::{Answer, CancelReceipt, EventsReceipt, OutcomeReceipt, Rejection, Replay};

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
    /// Bytes of answers to requests with an id; those of customers who ask least are dropped first. The default holds some
    /// 100,000 answers of three offers.
    pub answers_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            customers_max: 20_000_000,
            ranked_lists_bytes_max: 512 << 20,
            answers_bytes_max: 128 << 20,
        }
    }
}

type ChangeHook = Arc<dyn Fn(CustomerKey) + Send + Sync>;

/// The engine.
pub struct Engine {
    store: Store,
    active: ArcSwap<Active>,
    generations: AtomicU64,
    conductor: Conductor,
    hooks: ArcSwap<Vec<ChangeHook>>,
}

/// What one thread reuses from call to call, so that a decision allocates next to nothing.
#[derive(Default)]
struct Workspace {
    buffers: Buffers,
    layout: Layout,
    verdicts: Verdicts,
    survivors: Vec<u16>,
    of_model: Vec<u16>,
    rows: Rows,
    unsorted: Vec<Ranked>,
    keys: Vec<u64>,
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
            conductor: Conductor::new(&limits),
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
        self.conductor.answers.forget_before(generation);
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
    /// When there is no room for somebody new, nothing can be reserved, and the answer is the fallback content. A visitor
    /// without any id is answered on an empty profile; nothing is kept or reserved.
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
        let Some(customer) = &request.customer else {
            return Ok(self.offers_to_nobody(active, request, now));
        };
        let call = Call {
            active,
            request,
            once: None,
            steering,
            key: Some(customer.key()),
            now,
        };
        let made = self.locked(customer, &call, |profile, known, workspace| {
            let made = self.conductor.decide(&call, None, profile, known, workspace);
            let changed = made.changed;
            (made.decision, changed)
        });
        made.or_else(|full| no_room(active, request, customer, full, now))
    }

    fn offers_to_nobody(&self, active: &Active, request: &OffersRequest, now: Timestamp) -> Decision {
        let call = Call {
            active,
            request,
            once: None,
            steering: None,
            key: None,
            now,
        };
        WORKSPACE.with_borrow_mut(|workspace| {
            let mut buffers = std::mem::take(&mut workspace.buffers);
            buffers.profile.clear();
            let made = self
                .conductor
                .decide(&call, None, &mut buffers.profile, false, workspace);
            workspace.buffers = buffers;
            made.decision
        })
    }

    /// Decides like [`Engine::offers`], and once only for all calls with the same id: a repeat of a call gets the answer of the
    /// first one, and nothing is reserved again. How long that holds is said in `answers`. A preview ignores the id, and so does
    /// a call for a visitor without any id: nothing is reserved.
    ///
    /// # Errors
    /// As [`Engine::offers`]; besides, when the id was used for another request, or when only the profile remembers it.
    pub fn answer(
        &self,
        active: &Arc<Active>,
        request: &OffersRequest,
        once: Option<RequestKey>,
        now: Timestamp,
    ) -> Result<Answer, Rejection> {
        self.answer_steered(active, request, None, once, now)
    }

    /// Answers as [`Engine::answer`] does, in the order that a plan over many customers wants.
    ///
    /// # Errors
    /// As for [`Engine::answer`].
    pub fn answer_steered(
        &self,
        active: &Arc<Active>,
        request: &OffersRequest,
        steering: Option<Steering<'_>>,
        once: Option<RequestKey>,
        now: Timestamp,
    ) -> Result<Answer, Rejection> {
        let Some(customer) = &request.customer else {
            return Ok(Answer {
                decision: self.offers_to_nobody(active, request, now),
                profile_version: 0,
                applied: 0,
                replay: None,
            });
        };
        let call = Call {
            active,
            request,
            once,
            steering,
            key: Some(customer.key()),
            now,
        };
        let answered = self.answered(active, customer, &call, false)?;
        answered.or_else(|full| {
            let decision = no_room(active, request, customer, full, now)?;
            Ok(Answer {
                profile_version: decision.profile_version,
                decision,
                applied: 0,
                replay: None,
            })
        })
    }

    /// Records the events of the request of a customer and decides, all at once; no preview. Unlike [`Engine::answer`] it is the
    /// events that matter: where nothing is recorded of somebody unknown, the call is refused.
    ///
    /// # Errors
    /// As [`Engine::record_events`] and [`Engine::answer`]; no event is recorded then.
    pub fn record_and_answer(
        &self,
        active: &Arc<Active>,
        customer: &CustomerId,
        request: &OffersRequest,
        once: Option<RequestKey>,
        now: Timestamp,
    ) -> Result<(EventsReceipt, Answer), Rejection> {
        let call = Call {
            active,
            request,
            once,
            steering: None,
            key: Some(customer.key()),
            now,
        };
        let answer = self.answered(active, customer, &call, true)??;
        let receipt = EventsReceipt {
            applied: answer.applied,
            duplicates: request.events.len() - answer.applied,
            profile_version: answer.profile_version,
        };
        Ok((receipt, answer))
    }

    /// Answers under the customer's lock; `strict` refuses somebody of whom the catalog records nothing.
    fn answered(
        &self,
        active: &Arc<Active>,
        customer: &CustomerId,
        call: &Call<'_>,
        strict: bool,
    ) -> Result<Result<Answer, Full>, Rejection> {
        let refuse_unknown = strict && records_known_only(&active.catalog, customer);
        let answered = self.locked(customer, call, |profile, known, workspace| {
            if !known && refuse_unknown {
                return (Err(Rejection::UnknownCustomer), false);
            }
            match self.conductor.answer(active, call, profile, known, workspace) {
                Ok((answer, changed)) => (Ok(answer), changed),
                Err(rejection) => (Err(rejection), false),
            }
        });
        answered.map_or_else(|full| Ok(Err(full)), |answered| answered.map(Ok))
    }

    /// Works on one customer under the lock, and writes the profile back when `work` says that it changed. When there is no
    /// room for somebody new, everything that was made for the profile that could not be begun is undone.
    fn locked<T>(
        &self,
        customer: &CustomerId,
        call: &Call<'_>,
        work: impl FnOnce(&mut Profile, bool, &mut Workspace) -> (T, bool),
    ) -> Result<T, Full> {
        let key = customer.key();
        // Without events a decision writes contacts only.
        let keep = if call.request.events.is_empty() {
            Then::KeepContacts
        } else {
            Then::Keep
        };
        let done = WORKSPACE.with_borrow_mut(|workspace| {
            let mut buffers = std::mem::take(&mut workspace.buffers);
            let done = self.store.with(key, Some(customer), &mut buffers, |profile, known| {
                let (result, changed) = work(profile, known, workspace);
                ((result, changed), if changed { keep } else { Then::Leave })
            });
            if done.is_err() {
                self.conductor.lists.forget(key);
                self.conductor.answers.forget(key);
                self.conductor
                    .volumes
                    .take_back(key, &buffers.profile.contacts, call.now);
            }
            workspace.buffers = buffers;
            done
        });
        let (result, changed) = done?;
        if changed {
            self.changed(key);
        }
        Ok(result)
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
        let refuse_unknown = only_known_by_policy && records_known_only(catalog, customer);
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

    /// Returns a customer's profile.
    #[must_use]
    pub fn profile(&self, customer: &CustomerId) -> Option<Profile> {
        let mut profile = Profile::default();
        self.store.read(customer.key(), &mut profile).then_some(profile)
    }

    /// Forgets a customer; tells whether there was one.
    pub fn delete_profile(&self, customer: &CustomerId) -> bool {
        let key = customer.key();
        let removed = self.store.remove(key, |profile| {
            self.conductor.lists.forget(key);
            self.conductor.answers.forget(key);
            self.conductor.volumes.forget(key, &profile.contacts);
            self.conductor.numbers.forget(key, profile);
        });
        if removed {
            self.changed(key);
        }
        removed
    }

    /// Takes over what another engine has counted over all customers, so that a simulator can ask what that one would
    /// answer later.
    pub(crate) fn count_as(&self, other: &Self) {
        self.conductor.volumes.count_as(&other.conductor.volumes);
    }

    /// Says what the volumes of a snapshot have left.
    #[must_use]
    pub fn volume_rooms(&self, active: &Active, now: Timestamp) -> Rooms {
        self.conductor.volumes.rooms(active, now)
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

/// Tells whether the catalog records nothing of this customer when unknown.
fn records_known_only(catalog: &Catalog, customer: &CustomerId) -> bool {
    !customer.is_anonymous() && catalog.unknown_customer == UnknownCustomer::FallbackOnly
}

/// Answers when there is no room for somebody new: nothing can be reserved, but no event may be lost silently.
fn no_room(
    active: &Active,
    request: &OffersRequest,
    customer: &CustomerId,
    full: Full,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    if request.events.is_empty() {
        let hold_outs = hold_out::of(&active.catalog, Some(customer.key()));
        Ok(unanswered(&active.catalog, request, fill::NO_ROOM, hold_outs, now))
    } else {
        Err(full.into())
    }
}
