//! What is done for one customer while nobody else can: answer, and take in reports.
//!
//! Nothing here knows where the profile comes from, so the same code runs on the store and under a checker of interleavings.

use std::sync::Arc;

use parking_lot::Mutex;

use super::answers::{Answers, Kept};
use super::numbers::Numbers;
use super::ranking::Lists;
use super::steps::{add_gate_reasons, apply_events, lowest_rung, reservation, unanswered};
use super::sync::Locked;
use super::volumes::Volumes;
use super::volumes::books::Books;
use super::{Active, Answer, Limits, Rejection, Replay, Workspace};
use crate::catalog::{Catalog, UnknownCustomer};
use crate::decision::barrier::Barrier;
use crate::decision::fill::{self, Outcome};
use crate::decision::{fold, hold_out, steer::Steering};
use crate::domain::decision::{Decision, Ranking, Withheld};
use crate::domain::entry::{Entry, Reservation};
use crate::domain::ids::{CustomerId, CustomerKey, DecisionId};
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::Timestamp;

/// What is shared over customers.
pub(super) struct Conductor<L = Mutex<Books>> {
    pub(super) lists: Lists,
    pub(super) answers: Answers,
    pub(super) volumes: Volumes<L>,
    pub(super) numbers: Numbers,
}

/// One call for offers: what is asked, of which snapshot, when.
pub(super) struct Call<'a> {
    pub(super) active: &'a Active,
    pub(super) request: &'a OffersRequest,
    /// By what a repeat is recognised, when the call has an id.
    pub(super) once: Option<RequestKey>,
    /// What a plan over many customers says, if there is one.
    pub(super) steering: Option<Steering<'a>>,
    /// Whose; absent for a visitor without any id, for whom nothing can be kept.
    pub(super) key: Option<CustomerKey>,
    pub(super) now: Timestamp,
}

/// Under whose key the list of visitors without any id is cached: nothing is known of any of them, so it is one list. No id
/// hashes to it.
const NOBODY: CustomerKey = CustomerKey::from_packed(u128::MAX);

/// What came of a call.
pub(super) struct Made {
    pub(super) decision: Decision,
    /// Whether the profile has to be written back.
    pub(super) changed: bool,
    /// How many events were new.
    pub(super) applied: usize,
}

impl<L: Locked<Books>> Conductor<L> {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            lists: Lists::new(limits.ranked_lists_bytes_max),
            answers: Answers::new(limits.answers_bytes_max),
            volumes: Volumes::new(),
            numbers: Numbers::default(),
        }
    }

    /// Answers a call that may have an id: with the answer of before when it is a repeat, else with a new one, which it
    /// keeps. Returns whether the profile has to be written back as well.
    pub(super) fn answer(
        &self,
        active: &Arc<Active>,
        call: &Call<'_>,
        profile: &mut Profile,
        known: bool,
        workspace: &mut Workspace,
    ) -> Result<(Answer, bool), Rejection> {
        // A preview reserves nothing, so there is nothing to protect.
        let once = call.once.filter(|_| !call.request.preview).zip(call.key);
        if let Some((once, customer)) = once
            && let Some(kept) = self.recall(customer, once, profile)?
        {
            let answer = Answer {
                decision: kept.decision.clone(),
                applied: 0,
                profile_version: profile.version,
                replay: Some(Replay(kept)),
            };
            return Ok((answer, false));
        }
        let made = self.decide(call, once.map(|(once, _)| once), profile, known, workspace);
        if let Some((key, customer)) = once {
            let request = OffersRequest {
                events: Vec::new(),
                ..call.request.clone()
            };
            let (decision, active) = (made.decision.clone(), Arc::clone(active));
            self.answers.keep(
                customer,
                Kept {
                    key,
                    decision,
                    request,
                    active,
                },
            );
        }
        let answer = Answer {
            profile_version: made.decision.profile_version,
            decision: made.decision,
            applied: made.applied,
            replay: None,
        };
        Ok((answer, made.changed))
    }

    /// Finds the answer to a repeated call; `None` when the call is no repeat as far as anybody remembers.
    pub(super) fn recall(
        &self,
        customer: CustomerKey,
        once: RequestKey,
        profile: &Profile,
    ) -> Result<Option<Arc<Kept>>, Rejection> {
        let trace = profile.requests.iter().rfind(|trace| trace.key.id == once.id);
        // What reserved something counts only with the profile that holds the reservation.
        let is_of_profile = |kept: &Arc<Kept>| match kept.decision.id {
            Some(id) => trace.is_some_and(|trace| trace.decision == id.number),
            None => trace.is_none(),
        };
        let kept = self.answers.find(customer, once.id).filter(is_of_profile);
        let body = trace
            .map(|trace| trace.key.body)
            .or(kept.as_ref().map(|kept| kept.key.body));
        match (body, kept, trace) {
            (Some(body), _, _) if body != once.body => Err(Rejection::RequestIdReused),
            (_, Some(kept), _) => Ok(Some(kept)),
            (_, None, Some(trace)) => Err(Rejection::AnswerNotKept(DecisionId {
                customer,
                number: trace.decision,
            })),
            (_, None, None) => Ok(None),
        }
    }

    /// Decides: applies the events of the call, ranks, fills the placements, and reserves what it shows.
    pub(super) fn decide(
        &self,
        call: &Call<'_>,
        once: Option<RequestKey>,
        profile: &mut Profile,
        known: bool,
        workspace: &mut Workspace,
    ) -> Made {
        let &Call {
            active,
            request,
            key,
            now,
            ..
        } = call;
        let catalog = &*active.catalog;
        let hold_outs = hold_out::of(catalog, key);
        let is_visitor = request.customer.as_ref().is_none_or(CustomerId::is_anonymous);
        if !known && catalog.unknown_customer == UnknownCustomer::FallbackOnly && !is_visitor {
            return Made {
                decision: unanswered(catalog, request, fill::UNKNOWN_CUSTOMER, hold_outs, now),
                changed: false,
                applied: 0,
            };
        }
        let applied = apply_events(profile, &request.events, catalog, now);
        // A preview with events answers "what if", on a copy that is thrown away with its list.
        let keep = !((request.preview || key.is_none()) && applied > 0);
        let changed = keep && applied > 0;
        if let Some(rule) = fill::suppression(catalog, profile, request, now) {
            let answer = unanswered(catalog, request, rule, hold_outs, now);
            let decision = Decision {
                profile_version: profile.version,
                known_customer: known,
                ..answer
            };
            return Made {
                decision,
                changed,
                applied,
            };
        }
        let list_key = key.unwrap_or(NOBODY);
        let (list, cached) = self
            .lists
            .list(active, request, list_key, profile, keep, now, workspace);
        let mut withheld = Vec::new();
        let profile_version = profile.version;
        let steered = call.steering.map(|steering| steering.apply(&list.ranking));
        let ranking = steered.as_ref().unwrap_or(&list.ranking);
        let (outcome, reservation) = self.choose(call, once, ranking, profile, &hold_outs, &mut withheld);
        let Outcome {
            placements,
            mut valid_until,
        } = outcome;
        if request.explain {
            let barrier = barrier(catalog, profile, request, &hold_outs);
            let mut of_barrier: Vec<_> = (0..catalog.offers.len())
                .flat_map(|offer| barrier.reasons(offer))
                .collect();
            of_barrier.append(&mut withheld);
            withheld = of_barrier;
            valid_until = valid_until.min(workspace.layout.fill(catalog, profile, now));
            let until = add_gate_reasons(catalog, &workspace.layout, request, &list.ranking, now, &mut withheld);
            valid_until = valid_until.min(until);
        }
        let id = reservation.map(|(id, reservation)| {
            fold::apply(profile, &Entry::Decision(reservation), catalog);
            id
        });
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
            hold_outs,
        };
        Made {
            changed: changed || id.is_some(),
            decision,
            applied,
        }
    }

    /// Fills the placements, and reserves what they show: takes it from all volumes at once. When others were faster, fills
    /// again with the room that is left. Each time some volume has less room than was chosen from it, so this ends.
    fn choose(
        &self,
        call: &Call<'_>,
        once: Option<RequestKey>,
        ranking: &Ranking,
        profile: &Profile,
        hold_outs: &[usize],
        withheld: &mut Vec<Withheld>,
    ) -> (Outcome, Option<(DecisionId, Reservation)>) {
        let &Call {
            active,
            request,
            key,
            now,
            ..
        } = call;
        let catalog = &*active.catalog;
        let barrier = barrier(catalog, profile, request, hold_outs);
        let mut rooms = self.volumes.rooms(active, now);
        loop {
            withheld.clear();
            let explain = request.explain.then_some(&mut *withheld);
            let outcome = fill::fill(ranking, &barrier, request, now, &rooms, explain);
            let Some(customer) = key.filter(|_| !request.preview) else {
                return (outcome, None);
            };
            let number = || self.numbers.next(customer, profile, now);
            let Some(reservation) = reservation(catalog, request, once, number, &outcome.placements, now) else {
                return (outcome, None);
            };
            match self.volumes.take(active, customer, &reservation, now) {
                Ok(()) => {
                    let number = reservation.decision;
                    return (outcome, Some((DecisionId { customer, number }, reservation)));
                }
                Err(found) => rooms.lower(found),
            }
        }
    }
}

pub(super) fn barrier<'a>(
    catalog: &'a Catalog,
    profile: &'a Profile,
    request: &OffersRequest,
    hold_outs: &'a [usize],
) -> Barrier<'a> {
    Barrier {
        catalog,
        profile,
        channel: catalog.channels[request.channel].symbol,
        hold_outs,
    }
}
