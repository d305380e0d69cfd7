//! What the threads of a run do: choose who is meant, look, decide.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::audience::Part;
use super::pool::Tasks;
use super::terms::Terms;
use super::{Asked, CHOICES_MORE, Caller, RUN_LIMIT};
use crate::decision::assign::Choice;
use crate::decision::facts::Layout;
use crate::decision::fill;
use crate::decision::steer::Steering;
use crate::decision::unite;
use crate::decision::volumes::Rooms;
use crate::domain::decision::{Decision, Stage, Withheld};
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;
use crate::domain::request::OffersRequest;
use crate::domain::time::Timestamp;
use crate::engine::{Before, Engine, Prospects, Rejection, Replay, Wanted, step_back};
use crate::journal::NotWritten;
use crate::rules::Truth;

/// One customer of the audience.
pub(super) type Member = (CustomerKey, CustomerId);

/// A task.
pub(super) struct Job {
    pub(super) terms: Arc<Terms>,
    pub(super) now: Timestamp,
    pub(super) work: Work,
}

/// What is to be done.
pub(super) enum Work {
    /// Find out who of these is meant.
    Select(Part),
    /// Look what each could be given.
    Look(Vec<Member>),
    /// Decide, with what a plan says about each, if there is one.
    Decide(Vec<Member>, Option<Planned>),
}

/// What a plan says about the customers of one task.
pub(super) struct Planned {
    /// One list of offers for each customer.
    pub(super) first: Vec<Vec<u16>>,
    /// The offers that are in a limit.
    pub(super) barred: Arc<Vec<bool>>,
    /// How many units of each limit of the terms were used before.
    pub(super) used: Arc<Vec<u64>>,
}

/// What came of it.
pub(super) enum Done<A> {
    Selected(Vec<Member>),
    Looked(Vec<Member>, Vec<Looked>),
    Decided(Decided<A>),
}

/// What one customer could be given.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) choices: Vec<Choice>,
    /// What the customer was given before the run broke off; then there are no choices.
    pub(super) given: Vec<Choice>,
    /// The sum of the priorities that the customer would get without limits.
    pub(super) without_limits: f64,
}

/// What some customers were given.
pub(super) struct Decided<A> {
    pub(super) terms: Arc<Terms>,
    pub(super) customers: u64,
    pub(super) given: u64,
    /// Customers who are listed by their contact history, since their answer of before is no longer kept.
    pub(super) recalled: u64,
    /// Those of whom nothing stands any more of what they were answered before.
    pub(super) lapsed: u64,
    pub(super) answers: Vec<A>,
    /// Every offer given: its position and priority.
    pub(super) shown: Vec<Choice>,
    /// Whether somebody was answered under the run's name to another request.
    pub(super) name_was_used: bool,
    /// Why somebody could not be reserved for: nothing can be recorded.
    pub(super) not_written: Option<NotWritten>,
}

/// Works off tasks until there are no more.
pub(super) fn work<C: Caller>(engine: &Engine, caller: &C, tasks: &Tasks<Job, Done<C::Answer>>) {
    step_back();
    let mut worker = Worker {
        engine,
        caller,
        profile: Profile::default(),
        layout: Layout::default(),
    };
    while let Some(task) = tasks.next() {
        // A result that never comes tells the run that it is broken.
        let Ok(done) = catch_unwind(AssertUnwindSafe(|| worker.done(task.job))) else {
            return;
        };
        // The run may have ended meanwhile.
        let _ = task.done.send(done);
        std::thread::yield_now();
    }
}

struct Worker<'a, C> {
    engine: &'a Engine,
    caller: &'a C,
    profile: Profile,
    layout: Layout,
}

impl<C: Caller> Worker<'_, C> {
    fn done(&mut self, job: Job) -> Done<C::Answer> {
        let Job { terms, now, work } = job;
        match work {
            Work::Select(part) => Done::Selected(self.select(&terms.asked, part, now)),
            Work::Look(members) => self.look_at(&terms, members, now),
            Work::Decide(members, planned) => Done::Decided(self.decide(&terms, members, planned.as_ref(), now)),
        }
    }

    fn select(&mut self, asked: &Asked, part: Part, now: Timestamp) -> Vec<Member> {
        match part {
            Part::Listed(members) => members,
            Part::Keys(keys) => {
                let store = self.engine.store();
                let is_meant = |key: CustomerKey| {
                    let wanted = asked.segment.is_some().then_some(&mut self.profile);
                    let id = store.look(key, wanted).filter(|id| !id.is_anonymous())?;
                    let Some(segment) = &asked.segment else {
                        return Some((key, id));
                    };
                    self.layout.fill(asked.catalog(), &unite::view(&self.profile), now);
                    let facts = self.layout.facts(&[], &[], now);
                    (segment.evaluate(&facts).truth == Truth::True).then_some((key, id))
                };
                keys.into_iter().filter_map(is_meant).collect()
            }
        }
    }

    fn look_at(&self, terms: &Terms, mut members: Vec<Member>, now: Timestamp) -> Done<C::Answer> {
        let asked = &terms.asked;
        let mut request = OffersRequest {
            preview: true,
            explain: false,
            ..asked.request.clone()
        };
        for placement in &mut request.placements {
            placement.count += CHOICES_MORE;
        }
        let rooms = self.engine.volume_rooms(&asked.active, now);
        let mut looked = Vec::with_capacity(members.len());
        for member in &mut members {
            request.customer = Some(member.1.clone());
            looked.push(self.look(terms, &request, &rooms, now));
        }
        Done::Looked(members, looked)
    }

    fn look(&self, terms: &Terms, request: &OffersRequest, rooms: &Rooms, now: Timestamp) -> Looked {
        let Terms { asked, limits, .. } = terms;
        let wanted = Wanted {
            more: CHOICES_MORE,
            limits,
            rooms,
        };
        let Prospects { before, best, others } = self.engine.prospects(&asked.active, request, asked.once, wanted, now);
        let given = match before {
            Before::Nothing => {
                let count = asked.request.placements[0].count;
                let without_limits = best.iter().take(count).map(|choice| choice.priority).sum();
                let mut choices = best;
                let known = choices.len();
                choices.extend(others);
                remove_repeated(&mut choices, known);
                return Looked {
                    choices,
                    given: Vec::new(),
                    without_limits,
                };
            }
            Before::Kept(replay) => given_before(asked, &replay),
            Before::Recalled(decision) => choices(&decision).collect(),
        };
        Looked {
            choices: Vec::new(),
            without_limits: given.iter().map(|choice| choice.priority).sum(),
            given,
        }
    }

    fn decide(
        &self,
        terms: &Arc<Terms>,
        members: Vec<Member>,
        planned: Option<&Planned>,
        now: Timestamp,
    ) -> Decided<C::Answer> {
        let asked = &terms.asked;
        let mut request = asked.request.clone();
        let mut decided = Decided {
            customers: members.len() as u64,
            given: 0,
            recalled: 0,
            lapsed: 0,
            answers: Vec::with_capacity(members.len()),
            shown: Vec::with_capacity(members.len()),
            name_was_used: false,
            not_written: None,
            terms: Arc::clone(terms),
        };
        for (at, (_, id)) in members.into_iter().enumerate() {
            request.customer = Some(id);
            let steering = planned.map(|planned| Steering {
                first: &planned.first[at],
                barred: &planned.barred,
            });
            // To be asked before something is reserved, which would be a reason by itself.
            let own_reasons = planned
                .filter(|_| request.explain)
                .map(|_| self.own_reasons(asked, &request, now));
            let answer = self
                .engine
                .answer_steered(&asked.active, &request, steering, asked.once, now);
            let answer = match answer {
                Ok(answer) => answer,
                Err(Rejection::AnswerNotKept(_)) => {
                    self.recall(asked, &request, now, &mut decided);
                    continue;
                }
                Err(Rejection::NotWritten(why)) => {
                    // Nobody after this one can be reserved for either; the run ends, and goes on from its last token.
                    decided.not_written = Some(why);
                    return decided;
                }
                Err(rejection) => {
                    decided.name_was_used |= rejection == Rejection::RequestIdReused;
                    continue;
                }
            };
            if let Some(replay) = &answer.replay {
                // It was reserved before the run broke off.
                decided.shown.extend(given_before(asked, replay));
                decided.given += u64::from(answer.decision.id.is_some());
                decided
                    .answers
                    .extend(self.caller.present(replay.active(), replay.request(), &answer.decision));
                continue;
            }
            let mut decision = answer.decision;
            self.caller.decided(&asked.active, &request, &decision);
            if let (Some(planned), Some(own)) = (planned, own_reasons) {
                add_limit_reasons(terms, planned, &own, &mut decision);
            }
            let before = decided.shown.len();
            decided.shown.extend(choices(&decision));
            decided.given += u64::from(decided.shown.len() > before);
            decided
                .answers
                .extend(self.caller.present(&asked.active, &request, &decision));
        }
        decided
    }

    /// Lists a customer whose answer of before the break is no longer kept, by what stands of it.
    fn recall(&self, asked: &Asked, request: &OffersRequest, now: Timestamp, decided: &mut Decided<C::Answer>) {
        let Some((once, id)) = asked.once.zip(request.customer.as_ref()) else {
            return;
        };
        let Before::Recalled(decision) = self.engine.before(&asked.active, request, id, once, now) else {
            // Who was forgotten in between has nothing that could stand.
            decided.lapsed += 1;
            return;
        };
        let before = decided.shown.len();
        decided.shown.extend(choices(&decision));
        if decided.shown.len() == before {
            decided.lapsed += 1;
            return;
        }
        decided.given += 1;
        decided.recalled += 1;
        let answer = self.caller.present(&asked.active, request, &decision);
        decided
            .answers
            .extend(answer.map(|answer| self.caller.recalled(answer)));
    }

    /// The reasons that a customer has without any limit of the run.
    fn own_reasons(&self, asked: &Asked, request: &OffersRequest, now: Timestamp) -> Vec<Withheld> {
        let preview = OffersRequest {
            preview: true,
            ..request.clone()
        };
        let looked = self.engine.offers_steered(&asked.active, &preview, None, now);
        looked.map(|decision| decision.withheld).unwrap_or_default()
    }
}

/// What an earlier answer gave, by the positions of now; offers that have left the catalog are in no limit.
fn given_before(asked: &Asked, replay: &Replay) -> Vec<Choice> {
    let now = asked.catalog();
    let then = &replay.active().catalog;
    let is_same = replay.active().generation == asked.active.generation;
    let position_now = |given: Choice| {
        let id = &then.offers[usize::from(given.offer)].id;
        let at = now.offers.iter().position(|offer| offer.id == *id)?;
        let offer = u16::try_from(at).ok()?;
        Some(Choice { offer, ..given })
    };
    let given = choices(replay.decision());
    given
        .filter_map(|given| if is_same { Some(given) } else { position_now(given) })
        .collect()
}

fn choices(decision: &Decision) -> impl Iterator<Item = Choice> + '_ {
    let shown = decision.placements.iter().flat_map(|filled| &filled.offers);
    shown.filter_map(Choice::of)
}

/// Removes what comes again after the first `known`.
fn remove_repeated(choices: &mut Vec<Choice>, known: usize) {
    let mut at = known;
    while at < choices.len() {
        if choices[..known].iter().any(|choice| choice.offer == choices[at].offer) {
            choices.remove(at);
        } else {
            at += 1;
        }
    }
}

/// Gives each offer that the plan left out its reason: the customer's own when there is one, else that others get it.
fn add_limit_reasons(terms: &Terms, planned: &Planned, own: &[Withheld], decision: &mut Decision) {
    let mut explained = vec![false; terms.asked.catalog().offers.len()];
    let shown = decision.placements.iter().flat_map(|filled| &filled.offers);
    let withheld = decision.withheld.iter().map(|reason| reason.offer);
    for offer in shown.map(|shown| shown.offer).chain(withheld) {
        explained[offer] = true;
    }
    for offer in (0..explained.len()).filter(|&offer| !explained[offer]) {
        let mut own = own
            .iter()
            .filter(|reason| reason.offer == offer && *reason.rule != *fill::OUTRANKED);
        if let Some(reason) = own.next() {
            decision.withheld.push(reason.clone());
            continue;
        }
        let limits = u16::try_from(offer).map_or(&[][..], |offer| terms.limits.of(offer));
        let Some(&limit) = limits.first() else { continue };
        decision
            .withheld
            .push(given_to_others(terms, planned, offer, usize::from(limit)));
    }
}

fn given_to_others(terms: &Terms, planned: &Planned, offer: usize, limit: usize) -> Withheld {
    let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    Withheld {
        offer,
        placement: Some(0),
        stage: Stage::ContactPolicy,
        rule: RUN_LIMIT.into(),
        because: terms.because(limit),
        part: None,
        missing: None,
        count: Some(number(planned.used[limit])),
        limit: terms.limits.all()[limit].at_most.map(number),
        eligible_again_at: None,
    }
}
