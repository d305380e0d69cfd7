//! The conductor: one function per kind of request, each on one snapshot and under one customer's lock.
//!
//! A call takes one [`Active`] snapshot (catalog and models) and one `now`, and does everything else in one synchronous
//! section: unpack the profile, fold the events of the call, rank (or take the cached list), fill the placements within
//! the caps, reserve, pack. Nobody else can see or change the customer in between, so what a cap allowed is still
//! allowed when it is reserved.
//!
//! **Cached lists.** A customer's [`Ranking`](crate::domain::decision::Ranking) is kept with what made it (ranking version, activation, request context) and
//! served without scoring while that holds and its `valid_until` lies ahead. Caps and opt-outs are applied freshly each
//! time. The lists live in a cache of bounded size; losing one costs a re-rank, never an answer. A run over many customers
//! replaces none of them, and takes away what it put beside them.
//!
//! **Once.** A call may carry a request id; a repeat gets the first call's answer and reserves nothing. What is promised for how
//! long stands in `answers`.
//!
//! **Volumes.** Limits over all customers are exact as well: what a decision shows is taken from all of them at once, under one
//! lock that is taken under the customer's; see `volumes`.
//!
//! **Two who are one.** A visitor may be joined to a customer (see `joining`); who is named is resolved first (see `aliases`), and decisions
//! see the two as one ([`crate::decision::unite`]).
//!
//! **The ladder.** When a model fails, the propensity is the last good one of the customer's cached list, whatever its
//! age, else the start propensity; the answer names the rung.

mod again;
mod aliases;
mod answers;
mod background;
mod call;
mod changes;
mod checkpoint;
mod conductor;
mod erasure;
#[cfg(test)]
mod erasure_tests;
mod history;
#[cfg(test)]
mod interleavings;
mod joining;
mod laps;
mod numbers;
mod prospects;
mod ranking;
mod recall;
mod receipts;
mod recovery;
#[cfg(test)]
mod recovery_tests;
mod rehearsal;
mod replay;
mod reports;
mod steps;
mod sync;
#[cfg(test)]
mod tests;
mod volumes;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use crate::catalog::Catalog;
use crate::decision::specialised;
use crate::decision::{facts::Layout, features::Rows, steer::Steering, volumes::Rooms};
use crate::domain::decision::{Decision, Ranked};
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::{Millis, Timestamp};
use crate::journal::Journal;
use crate::model::Scorer;
use crate::rules::Scratch;
use crate::store::{Buffers, Standing, Store, Then, record::Draft};

use aliases::{Aliases, Whom};
use call::Call;
use conductor::Conductor;
use ranking::Keep;
use recall::Recall;
use steps::{no_room, records_known_only};

pub use again::{Gone, GoneAgain};
pub use background::step_back;
pub use checkpoint::{Checkpoint, Haste};
pub use erasure::Erasure;
pub use history::{Activation, erased_in};
pub use joining::{Merged, Unmerged};
pub use laps::{Lap, Step, Stop, Watched, watched};
pub use prospects::{Before, Prospects, Wanted};
pub use receipts::{Answer, CancelReceipt, EventsReceipt, OutcomeReceipt, Rejection, Replay};
pub use recovery::{Recovered, Recovery, RecoveryError};
pub use rehearsal::{Blocked, Plan, Rehearsal, Rehearsed, Successors, Unasked};
pub use replay::{Recorded, ReplayError, Replayed};

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
    /// When it came into force, for those who read the journal; the decisions do not depend on it.
    pub since: Timestamp,
}

impl Active {
    /// Puts a catalog and its models together; the engine numbers it when it is activated.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, models: Vec<Option<Arc<dyn Scorer>>>) -> Self {
        Self {
            catalog,
            models,
            generation: 0,
            since: Timestamp::FAR_PAST,
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
    /// Every activation of all processes on the same data, oldest first; empty without a journal.
    history: Mutex<Vec<Activation>>,
    /// The record that the newest checkpoint stands at.
    checkpointed: AtomicU64,
    /// Held by the one that destroys keys.
    erasing: Mutex<()>,
    /// Held by the one that joins or parts, or that says who is who in books of a moment, and by those that forget and erase, who must
    /// not meet.
    joining: RwLock<()>,
    aliases: Aliases,
    conductor: Conductor,
    hooks: ArcSwap<Vec<ChangeHook>>,
}

/// What one thread reuses from call to call, so that a decision allocates next to nothing.
#[derive(Default)]
struct Workspace {
    buffers: Buffers,
    draft: Draft,
    layout: Layout,
    scratch: Scratch,
    survivors: Vec<u16>,
    of_model: Vec<u16>,
    shortlisted: Vec<u16>,
    rows: Rows,
    recall: Recall,
    scoring: specialised::Scratch,
    weights: Vec<f32>,
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
            history: Mutex::default(),
            checkpointed: AtomicU64::new(0),
            erasing: Mutex::default(),
            joining: RwLock::default(),
            aliases: Aliases::default(),
            conductor: Conductor::new(&limits),
            hooks: ArcSwap::default(),
        }
    }

    /// Takes the snapshot that is in force: once per call, to convert the request against it and to pass it on.
    #[must_use]
    pub fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Returns the journal, if there is one.
    #[must_use]
    pub fn journal(&self) -> Option<&Arc<Journal>> {
        self.conductor.journal.as_ref()
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

    /// Tells of a change of somebody, and of the visitors joined to them.
    fn changed(&self, key: CustomerKey) {
        let visitors = self.aliases.visitors(key);
        for hook in self.hooks.load().iter() {
            hook(key);
            for &visitor in &visitors {
                hook(visitor);
            }
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
        self.offers_kept(active, request, None, Keep::Yes, now)
    }

    fn offers_kept(
        &self,
        active: &Active,
        request: &OffersRequest,
        steering: Option<Steering<'_>>,
        keep: Keep,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        let Some(customer) = &request.customer else {
            return self.offers_to_nobody(active, request, now);
        };
        let made = self.for_whom(customer, |whom| {
            let request = &whom.asks(request);
            let call = Call {
                active,
                request,
                once: None,
                rooms: None,
                steering,
                keep,
                key: Some(whom.customer.key()),
                now,
                found: Cell::default(),
            };
            self.locked(whom, &call, |profile, standing, workspace| {
                let made = self.conductor.decide(&call, None, profile, standing, workspace)?;
                Ok((made.decision, made.changed))
            })
        });
        made.or_else(|rejection| no_room(active, request, customer, rejection, now))
    }

    fn offers_to_nobody(
        &self,
        active: &Active,
        request: &OffersRequest,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        let call = Call {
            active,
            request,
            once: None,
            rooms: None,
            steering: None,
            keep: Keep::Yes,
            key: None,
            now,
            found: Cell::default(),
        };
        WORKSPACE.with_borrow_mut(|workspace| {
            let mut buffers = std::mem::take(&mut workspace.buffers);
            buffers.profile.clear();
            let made = self
                .conductor
                .decide(&call, None, &mut buffers.profile, Standing::New, workspace);
            workspace.buffers = buffers;
            Ok(made?.decision)
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
        self.answer_kept(active, request, None, (once, Keep::Yes), now)
    }

    fn answer_kept(
        &self,
        active: &Arc<Active>,
        request: &OffersRequest,
        steering: Option<Steering<'_>>,
        (once, keep): (Option<RequestKey>, Keep),
        now: Timestamp,
    ) -> Result<Answer, Rejection> {
        let Some(customer) = &request.customer else {
            return Ok(Answer {
                decision: self.offers_to_nobody(active, request, now)?,
                profile_version: 0,
                applied: 0,
                replay: None,
            });
        };
        let answered = self.answered(active, customer, (request, steering, once), (now, keep), false);
        answered.or_else(|rejection| {
            let decision = no_room(active, request, customer, rejection, now)?;
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
        let answer = self.answered(active, customer, (request, None, once), (now, Keep::Yes), true)?;
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
        named: &CustomerId,
        (request, steering, once): (&OffersRequest, Option<Steering<'_>>, Option<RequestKey>),
        (now, keep): (Timestamp, Keep),
        strict: bool,
    ) -> Result<Answer, Rejection> {
        self.for_whom(named, |whom| {
            let request = &whom.asks(request);
            let key = whom.customer.key();
            let call = Call {
                active,
                request,
                once,
                rooms: None,
                steering,
                keep,
                key: Some(key),
                now,
                found: Cell::default(),
            };
            let refuse_unknown = strict && records_known_only(&active.catalog, &whom.customer);
            self.locked(whom, &call, |profile, standing, workspace| {
                if standing != Standing::Known && strict && self.conductor.marks.have(key) {
                    return Err(Rejection::Erased);
                }
                if standing != Standing::Known && refuse_unknown {
                    return Err(Rejection::UnknownCustomer);
                }
                self.conductor.answer(active, &call, profile, standing, workspace)
            })
        })
    }

    /// Works on one customer under the lock, and writes the profile back when `work` says that it changed.
    fn locked<T>(
        &self,
        whom: &Whom<'_>,
        call: &Call<'_>,
        work: impl FnOnce(&mut Profile, Standing, &mut Workspace) -> Result<(T, bool), Rejection>,
    ) -> Result<T, Rejection> {
        // A hash is not worked out twice.
        let key = call.key.unwrap_or_else(|| whom.customer.key());
        // Without events a decision adds contacts only.
        let adds = call.request.events.is_empty();
        let keep = if adds { Then::KeepAdded } else { Then::Keep };
        let done = WORKSPACE.with_borrow_mut(|workspace| {
            let mut buffers = std::mem::take(&mut workspace.buffers);
            let lists = &self.conductor.lists;
            let in_part = |ranking_version| call.finds_list(lists, ranking_version);
            let writes = self.conductor.journal.is_some() && !call.request.preview;
            let work = |profile: &mut Profile, standing, seal: &mut _, packed: &_| {
                if self.is_stale(whom) {
                    return (Err(Rejection::Moved), Then::Leave);
                }
                workspace.draft.is_of(*seal);
                if writes && adds {
                    workspace.draft.sees_as_stored(packed);
                }
                let done = work(profile, standing, workspace);
                *seal = workspace.draft.seal();
                let is_changed = done.as_ref().is_ok_and(|(_, changed)| *changed);
                if is_changed {
                    self.conductor.lists.forget_others(call.active, key);
                }
                (done, if is_changed { keep } else { Then::Leave })
            };
            let done = self.store.with_part(&whom.customer, key, &mut buffers, in_part, work);
            workspace.buffers = buffers;
            done
        });
        let (result, changed) = done?;
        if changed {
            self.changed(key);
        }
        Ok(result)
    }

    /// Returns a customer's own profile with the visitors that are joined; that of the customer for a visitor who is.
    #[must_use]
    pub fn profile(&self, customer: &CustomerId) -> Option<Profile> {
        self.known(customer).map(|(_, profile)| profile)
    }

    /// Returns the same, with who it is: the customer for a visitor who is joined.
    #[must_use]
    pub fn known(&self, named: &CustomerId) -> Option<(CustomerId, Profile)> {
        let mut profile = Profile::default();
        loop {
            let whom = self.whom(named);
            if self.store.read(whom.customer.key(), &mut profile) {
                return Some((whom.customer.into_owned(), profile));
            }
            // It may have been joined since.
            if !self.is_stale(&whom) {
                return None;
            }
        }
    }

    /// Forgets a customer, who may come back as somebody new, with the visitors that are joined; tells whether there was one.
    ///
    /// # Errors
    /// When the journal cannot take it, or a visitor is joined to a customer; nothing is forgotten then.
    pub fn delete_profile(&self, customer: &CustomerId) -> Result<bool, Rejection> {
        let key = customer.key();
        let _no_joining = self.joining.read();
        if self.aliases.get(key).is_some() {
            return Err(Rejection::IsJoined);
        }
        let visitors = self.aliases.visitors(key);
        let removed = self.store.remove(key, |profile, seal| {
            self.conductor.forget(key, profile, seal)?;
            self.part_from(profile);
            Ok::<_, Rejection>(())
        })?;
        if removed {
            self.changed(key);
            for visitor in visitors {
                self.changed(visitor);
            }
        }
        Ok(removed)
    }

    /// Takes note that the visitors of somebody who goes are joined to nobody any more.
    fn part_from(&self, profile: &Profile) {
        for joined in &profile.joined {
            self.aliases.remove(joined.visitor.key());
        }
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
