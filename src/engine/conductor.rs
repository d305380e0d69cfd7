//! What is done for one customer while nobody else can: answer, and take in reports.
//!
//! Nothing here knows where the profile comes from, so the same code runs on the store and under a checker of interleavings.

use std::sync::Arc;

use parking_lot::Mutex;

use super::answers::{Answers, Kept};
use super::call::Call;
use super::erasure::Marks;
use super::laps::{self, Step};
use super::numbers::Numbers;
use super::ranking::{Keep, List, Lists};
use super::replay;
use super::steps::{add_gate_reasons, apply_events, everybody, lowest_rung, reservation, unanswered};
use super::sync::Locked;
use super::volumes::books::Books;
use super::volumes::{NotTaken, Volumes};
use super::{Active, Answer, Limits, Rejection, Replay, Workspace};
use crate::catalog::{Catalog, UnknownCustomer};
use crate::decision::barrier::Barrier;
use crate::decision::fill::{self, Outcome};
use crate::decision::{fold, hold_out, unite};
use crate::domain::decision::{Decision, Ranking, Withheld};
use crate::domain::entry::{Entry, Reservation};
use crate::domain::ids::{CustomerId, CustomerKey, DecisionId};
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::Timestamp;
use crate::journal::{Journal, NotWritten};
use crate::store::Standing;
use crate::store::record::Draft;
use crate::store::seal::Seal;

/// What is shared over customers.
pub(super) struct Conductor<L = Mutex<Books>> {
    pub(super) lists: Lists,
    pub(super) answers: Answers,
    pub(super) volumes: Volumes<L>,
    pub(super) numbers: Numbers,
    /// Who was erased.
    pub(super) marks: Marks,
    /// Where every change is written before it counts; absent when nothing is to outlive the process.
    pub(super) journal: Option<Arc<Journal>>,
}

/// What a decision sees of the customer when it fills the placements.
struct Sight<'a> {
    /// Of the customer with the visitors that are joined, as one.
    barrier: &'a Barrier<'a>,
    /// The customer's own, with theirs beside it.
    own: &'a Profile,
    standing: Standing,
}

/// What is shown, and what is reserved for it under which name.
type Chosen = (Outcome, Option<(DecisionId, Reservation)>);

/// How many offers are put in the order of a plan, besides those that it puts first, before all are: a plan mostly names all that
/// are shown.
const STEERED: usize = 16;

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
            marks: Marks::new(),
            journal: None,
        }
    }

    /// Answers a call that may have an id: with the answer of before when it is a repeat, else with a new one, which it
    /// keeps. Returns whether the profile has to be written back as well.
    pub(super) fn answer(
        &self,
        active: &Arc<Active>,
        call: &Call<'_>,
        profile: &mut Profile,
        standing: Standing,
        workspace: &mut Workspace,
    ) -> Result<(Answer, bool), Rejection> {
        // A preview reserves nothing, so there is nothing to protect.
        let once = call.once.filter(|_| !call.request.preview).zip(call.key);
        // Of somebody who was erased nothing is kept, not even that they asked.
        let is_kept =
            |customer: &(RequestKey, CustomerKey)| standing == Standing::Known || !self.marks.have(customer.1);
        let once = once.filter(is_kept);
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
        let made = self.decide(call, once.map(|(once, _)| once), profile, standing, workspace)?;
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

    /// Finds the answer to a repeated call, of the customer or of a visitor that was joined since; `None` when the call is no repeat as
    /// far as anybody remembers.
    pub(super) fn recall(
        &self,
        customer: CustomerKey,
        once: RequestKey,
        profile: &Profile,
    ) -> Result<Option<Arc<Kept>>, Rejection> {
        let visitors = profile
            .joined
            .iter()
            .map(|joined| (joined.visitor.key(), &joined.profile));
        for (whose, own) in std::iter::once((customer, profile)).chain(visitors) {
            if let Some(found) = self.recall_own(whose, once, own)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn recall_own(
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

    /// Decides: applies the events of the call, ranks, fills the placements, and reserves what it shows. All that changes is in
    /// the journal before it is in anything but the profile at hand, which the caller drops when the call is refused.
    ///
    /// # Errors
    /// When there is no room for somebody new who would have to be kept, or the journal cannot take the change.
    pub(super) fn decide(
        &self,
        call: &Call<'_>,
        once: Option<RequestKey>,
        profile: &mut Profile,
        standing: Standing,
        workspace: &mut Workspace,
    ) -> Result<Made, Rejection> {
        let &Call {
            active,
            request,
            key,
            now,
            ..
        } = call;
        let catalog = &*active.catalog;
        let hold_outs = hold_out::of(catalog, key);
        let known = standing == Standing::Known;
        laps::lap(Step::Lookup);
        if !known && let Some(rule) = self.turned_away(catalog, request) {
            laps::stopped_all(rule);
            return Ok(Made {
                decision: unanswered(catalog, request, rule, hold_outs, now),
                changed: false,
                applied: 0,
            });
        }
        if key.is_some() {
            let begun = request.customer.as_ref().filter(|_| !known);
            workspace.draft.begin(begun, active.generation, now);
        }
        let applied = apply_events(profile, &request.events, catalog, now, &mut workspace.draft);
        laps::lap(Step::Fold);
        // A preview with events answers "what if", on a copy that is thrown away with its list.
        let keep = !((request.preview || key.is_none()) && applied > 0);
        let changed = keep && applied > 0;
        if let (Standing::Full(full), true) = (standing, changed) {
            self.lists.forget(key.unwrap_or(NOBODY));
            return Err(full.into());
        }
        let suppressed = fill::suppression(catalog, profile, request, now);
        // Whoever wants all reasons hears what there is besides.
        if let Some(rule) = suppressed.filter(|_| !request.explain) {
            laps::stopped_all(rule);
            let answer = unanswered(catalog, request, rule, hold_outs, now);
            let decision = Decision {
                profile_version: profile.version,
                known_customer: known,
                ..answer
            };
            if changed {
                self.commit(&mut workspace.draft)?;
            }
            return Ok(Made {
                decision,
                changed,
                applied,
            });
        }
        let list_key = key.unwrap_or(NOBODY);
        let view = unite::view(profile);
        let mut withheld = Vec::new();
        let profile_version = profile.version;
        let barrier = Barrier {
            suppressed,
            ..barrier(catalog, &view, request, &hold_outs)
        };
        let sight = Sight {
            barrier: &barrier,
            own: profile,
            standing,
        };
        let keep = call.keep.of_kept(keep);
        let (list, cached, chosen) = self.choose_from_list(call, once, &sight, keep, &mut withheld, workspace);
        let (outcome, reservation) = chosen.inspect_err(|_| self.lists.forget(list_key))?;
        if reservation.is_none() && changed {
            let committed = self.commit(&mut workspace.draft);
            committed.inspect_err(|_| self.lists.forget(list_key))?;
        }
        let Outcome {
            placements,
            mut valid_until,
            ran_out: _,
        } = outcome;
        if request.explain {
            let until = add_other_reasons(call, &barrier, &list.ranking, workspace, &mut withheld);
            valid_until = valid_until.min(until);
            laps::lap(Step::Explain);
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
        Ok(Made {
            changed: changed || id.is_some(),
            decision,
            applied,
        })
    }

    /// Says why somebody who is not known gets no offers at all, if that is so.
    pub(super) fn turned_away(&self, catalog: &Catalog, request: &OffersRequest) -> Option<&'static str> {
        let customer = request.customer.as_ref();
        if customer.is_some_and(|customer| self.marks.have(customer.key())) {
            return Some(fill::ERASED);
        }
        let is_visitor = customer.is_none_or(CustomerId::is_anonymous);
        let is_strict = catalog.unknown_customer == UnknownCustomer::FallbackOnly;
        (is_strict && !is_visitor).then_some(fill::UNKNOWN_CUSTOMER)
    }

    /// Forgets a customer, and the visitors that are joined, everywhere but in the store.
    ///
    /// # Errors
    /// When the journal cannot take it; nothing is forgotten then.
    pub(super) fn forget(&self, key: CustomerKey, profile: &Profile, seal: Seal) -> Result<(), Rejection> {
        let mut draft = Draft::default();
        draft.is_of(seal);
        draft.forget(key, profile);
        let all = everybody(key, profile);
        // Known before the record is written, so that no checkpoint lies between them.
        for (key, own) in &all {
            self.numbers.forget(self.marks.of(*key), own.decisions);
        }
        let contacts: Vec<_> = all.iter().map(|&(key, own)| (key, &*own.contacts)).collect();
        let commit = || self.commit(&mut draft);
        self.volumes.forget(&contacts, commit)?;
        for (key, _) in all {
            self.lists.forget(key);
            self.answers.forget(key);
        }
        if let Some(journal) = &self.journal {
            let visitors = profile.joined.iter().map(|joined| joined.slot);
            for slot in visitors.chain([draft.seal().slot()]) {
                journal.keys().retire(slot, journal.written());
            }
        }
        Ok(())
    }

    /// Takes the mark away of somebody who was erased and has just been begun anew. Where the journal cannot take that, the mark stays:
    /// it says nothing of somebody who is known, and the next start takes it away.
    pub(super) fn readmit(&self, key: CustomerKey, draft: &mut Draft) {
        let mark = self.marks.of(key);
        draft.readmit(mark);
        if self.commit(draft).is_ok() {
            self.marks.take(mark);
        }
    }

    /// Writes to the journal what changed, if there is a journal and something did.
    pub(super) fn commit(&self, draft: &mut Draft) -> Result<(), Rejection> {
        if let Some(journal) = &self.journal
            && draft.has_record()
        {
            let keys = journal.keys();
            let take = || {
                keys.take()
                    .map_err(|error| NotWritten::Refused(error.to_string().into()))
            };
            journal.append(draft.record(keys.nonces(), take)?)?;
        }
        Ok(())
    }

    /// Takes the customer's list, which tells whether it was cached, and fills the placements from it: first from the best, and
    /// from all where those do not do.
    fn choose_from_list(
        &self,
        call: &Call<'_>,
        once: Option<RequestKey>,
        sight: &Sight<'_>,
        keep: Keep,
        withheld: &mut Vec<Withheld>,
        workspace: &mut Workspace,
    ) -> (Arc<List>, bool, Result<Chosen, Rejection>) {
        let &Call {
            active, request, now, ..
        } = call;
        let (key, profile) = (call.key.unwrap_or(NOBODY), sight.barrier.profile);
        // Reasons are given for all offers, and a plan may put any of them first.
        let whole = request.explain || call.steering.is_some();
        let (mut list, mut cached) = match call.found.take() {
            Some(found) => (found, true),
            None => self
                .lists
                .list(active, request, key, profile, keep, whole, now, workspace),
        };
        let mut others_max = if request.explain { usize::MAX } else { STEERED };
        loop {
            let steered = call.steering.map(|steering| steering.apply(&list.ranking, others_max));
            let ranking = steered.as_ref().unwrap_or(&list.ranking);
            let chosen = self.choose(call, once, ranking, sight, withheld, &mut workspace.draft);
            if !matches!(chosen, Ok((Outcome { ran_out: true, .. }, _))) {
                return (list, cached, chosen);
            }
            if steered.is_some() && others_max != usize::MAX {
                others_max = usize::MAX;
                continue;
            }
            (list, cached) = if cached {
                self.lists
                    .list(active, request, key, profile, keep, true, now, workspace)
            } else {
                (self.lists.made_whole(&list, key, keep, workspace), false)
            };
        }
    }

    /// Fills the placements, and reserves what they show: takes it from all volumes at once. When others were faster, fills
    /// again with the room that is left. Each time some volume has less room than was chosen from it, so this ends.
    fn choose(
        &self,
        call: &Call<'_>,
        once: Option<RequestKey>,
        ranking: &Ranking,
        sight: &Sight<'_>,
        withheld: &mut Vec<Withheld>,
        draft: &mut Draft,
    ) -> Result<Chosen, Rejection> {
        let &Call {
            active,
            request,
            key,
            now,
            ..
        } = call;
        let &Sight { barrier, own, standing } = sight;
        let &Barrier { catalog, .. } = barrier;
        let mut rooms = match call.rooms {
            Some(rooms) => rooms.clone(),
            None => self.volumes.rooms(active, now),
        };
        loop {
            withheld.clear();
            let explain = request.explain.then_some(&mut *withheld);
            let outcome = fill::fill(ranking, barrier, request, now, &rooms, explain);
            laps::lap(Step::Fill);
            if laps::is_on() && !request.explain {
                laps::look(|note| {
                    let _beside = fill::fill_noting(ranking, barrier, request, now, &rooms, note);
                });
            }
            // With nothing reserved: the caller chooses again from all offers.
            let Some(customer) = key.filter(|_| !request.preview && !outcome.ran_out) else {
                return Ok((outcome, None));
            };
            let number = || self.numbers.next(|| self.marks.of(customer), own, now);
            let Some(reservation) = reservation(catalog, request, once, number, &outcome.placements, now) else {
                return Ok((outcome, None));
            };
            if let Standing::Full(full) = standing {
                return Err(full.into());
            }
            let before = draft.mark();
            if self.journal.is_some() {
                draft.decision(&reservation);
                let seen = replay::seen(call, &rooms, &outcome.placements, standing);
                draft.seen(&seen, |bytes| replay::pack(request, own, bytes));
            }
            let taken = self
                .volumes
                .take(active, customer, &reservation, now, || self.commit(draft));
            laps::lap(Step::Reserve);
            match taken {
                Ok(()) => {
                    let number = reservation.decision;
                    return Ok((outcome, Some((DecisionId { customer, number }, reservation))));
                }
                Err(NotTaken::Short(found)) => rooms.lower(found),
                Err(NotTaken::Refused(rejection)) => return Err(rejection),
            }
            draft.back_to(before);
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
        suppressed: None,
    }
}

/// Puts before the reasons of the contact policy and the placements what keeps offers out earlier, and returns until when all
/// of those stay.
fn add_other_reasons(
    call: &Call<'_>,
    barrier: &Barrier<'_>,
    ranking: &Ranking,
    workspace: &mut Workspace,
    withheld: &mut Vec<Withheld>,
) -> Timestamp {
    let (catalog, request, now) = (&*call.active.catalog, call.request, call.now);
    let mut reasons: Vec<_> = (0..catalog.offers.len())
        .flat_map(|offer| barrier.reasons(offer))
        .collect();
    reasons.append(withheld);
    *withheld = reasons;
    let suppressed = barrier
        .suppressed
        .map(|rule| fill::suppressed(request, rule, now).valid_until);
    let until = workspace.layout.fill(catalog, barrier.profile, now);
    let until = until.min(suppressed.unwrap_or(until));
    until.min(add_gate_reasons(
        catalog,
        &workspace.layout,
        request,
        ranking,
        now,
        withheld,
    ))
}
