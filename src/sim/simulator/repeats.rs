//! Calls with a request id: what is remembered of them, told from a plain list.
//!
//! The latest sixteen calls that reserved something are known for sure, and the answers of the latest sixteen calls are
//! kept, as long as the customer is and nothing pushes them out; an answer that is as old as eight catalogs is let go
//! when the next one comes.

use crate::domain::decision::Decision;
use crate::domain::ids::{DecisionId, short_hash};
use crate::domain::request::{OffersRequest, RequestKey};
use crate::engine::{Answer, Before, Rejection};

use super::expected::Ask;
use super::person::Person;
use super::{Simulation, same};

/// How many calls with an id are remembered of a customer.
const CALLS: usize = 16;
/// For how many catalogs an answer is kept.
const CATALOGS: u64 = 8;
/// How many calls back one is repeated.
const BACK: usize = 24;

/// One customer's calls with an id, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// What was asked, to ask it again.
    asked: Vec<(RequestKey, Ask)>,
    /// Those that reserved something, and the numbers of their decisions.
    reserved: Vec<(RequestKey, u32)>,
    /// Answers, and how many catalogs there had been.
    answers: Vec<(RequestKey, u64, Decision)>,
}

/// What a call with an id must meet.
#[derive(Clone, Debug, PartialEq)]
enum Met {
    Nothing,
    Answer(Box<Decision>, u64),
    Another,
    Gone(u32),
}

fn latest<T>(calls: &[T]) -> &[T] {
    &calls[calls.len().saturating_sub(CALLS)..]
}

impl Calls {
    /// Forgets answers when another catalog comes into force.
    pub(super) fn forget_before(&mut self, catalogs: u64) {
        if self.answers.last().is_some_and(|last| last.1 + CATALOGS <= catalogs) {
            self.answers.clear();
        }
    }

    fn keep(&mut self, key: RequestKey, catalogs: u64, decision: &Decision) {
        let first = self.answers.len().saturating_sub(CALLS - 1);
        self.answers.drain(..first);
        self.answers.retain(|answer| answer.1 + CATALOGS > catalogs);
        self.answers.push((key, catalogs, decision.clone()));
        if let Some(id) = decision.id {
            self.reserved.push((key, id.number));
        }
    }

    fn meet(&self, key: RequestKey) -> Met {
        let reserved = latest(&self.reserved)
            .iter()
            .rev()
            .find(|(before, _)| before.id == key.id);
        let kept = self.answers.iter().rev().find(|(before, ..)| before.id == key.id);
        let number = reserved.map(|(_, number)| *number);
        // An answer that reserved something is none without its reservation.
        let kept = kept.filter(|(.., decision)| decision.id.map(|id| id.number) == number);
        let before = reserved.map(|(before, _)| *before).or(kept.map(|(before, ..)| *before));
        match (before, kept, number) {
            (Some(before), ..) if before != key => Met::Another,
            (_, Some((_, catalogs, decision)), _) => Met::Answer(Box::new(decision.clone()), *catalogs),
            (_, None, Some(number)) => Met::Gone(number),
            (_, None, None) => Met::Nothing,
        }
    }
}

/// Returns the hash of everything that is asked, but for the id.
fn body(ask: &Ask) -> u64 {
    short_hash(&format!("{ask:?}"))
}

impl Simulation {
    /// Gives a question an id of its own.
    pub(super) fn name(&mut self, ask: &Ask) -> RequestKey {
        self.ids += 1;
        RequestKey {
            id: short_hash(&format!("call {}", self.ids)),
            body: body(ask),
        }
    }

    /// Repeats a call of before, or asks something else with its id.
    pub(super) fn repeat(&mut self, who: usize) -> Result<(), String> {
        let count = self.people[who].calls.asked.len();
        if count == 0 {
            return Ok(());
        }
        let back = if self.draw.chance(0.6) {
            self.draw.below(3)
        } else {
            self.draw.below(BACK)
        };
        let (mut key, mut ask) = self.people[who].calls.asked[count - 1 - back.min(count - 1)].clone();
        if self.draw.chance(0.15) {
            ask.explain = !ask.explain;
            key.body = body(&ask);
        }
        self.tell(&format!("{} repeats", self.people[who].id));
        self.put(who, &ask, Some(key))
    }

    /// Answers a call with an id; tells whether that was all, since it is a repeat.
    pub(super) fn is_repeat(&mut self, who: usize, request: &OffersRequest, key: RequestKey) -> Result<bool, String> {
        let person = &self.people[who];
        let met = person.calls.meet(key);
        self.look_before(person, request, key, &met)?;
        if met == Met::Nothing {
            return Ok(false);
        }
        let customer = person.id.key();
        let profile = self.engine.profile(&person.id);
        let found = self.engine.answer(&self.active, request, Some(key), self.now);
        let after = self.engine.profile(&person.id);
        same("the profile after a repeated call", &after, &profile)?;
        match (found, met) {
            (Ok(answer), Met::Answer(decision, catalogs)) => {
                self.summary.repeats += 1;
                self.summary.repeats_later += u64::from(catalogs < self.active.generation);
                same("the answer to a repeated call", &answer.decision, &decision)?;
                let replay = answer.replay.as_ref().map(|replay| replay.active().generation);
                same("whose catalog a repeated answer has", &replay, &Some(catalogs))?;
                let version = profile.map_or(0, |profile| profile.version);
                same(
                    "what a repeated call changed",
                    &(answer.applied, answer.profile_version),
                    &(0, version),
                )?;
            }
            (Err(Rejection::RequestIdReused), Met::Another) => self.summary.reused_ids += 1,
            (Err(Rejection::AnswerNotKept(id)), Met::Gone(number)) if id == (DecisionId { customer, number }) => {
                self.summary.gone_answers += 1;
            }
            (found, met) => return Err(format!("a repeated call: expected {met:?}, found {found:?}")),
        }
        Ok(true)
    }

    /// Looks at what is known of a call with an id.
    fn look_before(&self, person: &Person, request: &OffersRequest, key: RequestKey, met: &Met) -> Result<(), String> {
        if matches!(met, Met::Gone(_)) {
            // What stands of it is shown in the order of a list of now, which is made then.
            return Ok(());
        }
        let before = self.engine.before(&self.active, request, &person.id, key, self.now);
        let kept = if let Before::Kept(replay) = &before {
            Some(replay.decision())
        } else {
            None
        };
        let wanted = if let Met::Answer(decision, _) = met {
            Some(&**decision)
        } else {
            None
        };
        same("what is known of a call", &kept, &wanted)
    }

    /// Takes note of a call with an id that was answered now.
    pub(super) fn note_call(
        &mut self,
        who: usize,
        ask: &Ask,
        key: RequestKey,
        answer: &Answer,
        applied: usize,
    ) -> Result<(), String> {
        let found = (answer.replay.is_none(), answer.applied, answer.profile_version);
        let wanted = (true, applied, answer.decision.profile_version);
        same("a first call", &found, &wanted)?;
        let calls = &mut self.people[who].calls;
        calls.asked.push((key, ask.clone()));
        let first = calls.asked.len().saturating_sub(BACK);
        calls.asked.drain(..first);
        calls.keep(key, self.active.generation, &answer.decision);
        Ok(())
    }
}
