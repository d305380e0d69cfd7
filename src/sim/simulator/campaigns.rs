//! Campaign runs: the real ones, over everybody or some, within limits of their own and the bank's volumes, as previews and reserving,
//! in one go and in two parts.
//!
//! Which offers a plan gives to whom is its own affair. What is judged is each decision in the order in which they were made, by what
//! is known of the customer and of all others at that moment: every offer shown was free then, after those that are shown before
//! it, and no place was left empty that an offer without any limit over many customers could have had. Without such limits the answer is
//! exactly that of a call. Everybody is answered once, also over two parts, and whoever was answered before the break is told the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::campaign::{self, Asked, Audience, Batch, Caller, METHOD, Options, Position, Stopped, Summary};
use crate::decision::assign::{Limit, Limits};
use crate::domain::decision::Decision;
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::Timestamp;
use crate::engine::{Active, Answer};

use super::blueprint::OfferId;
use super::expected::{self, Ask, Ranked};
use super::{Simulation, engine_side, same, volumes};

/// Runs that are drawn have so many limits of their own at most.
const LIMITS: usize = 2;

/// How a run breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    /// It does not.
    Never,
    /// It ends after so many customers, and another goes on behind them.
    After(u64),
    /// Nobody hears its first answers, and another begins anew.
    Unheard,
}

/// One run.
#[derive(Debug)]
struct Run {
    ask: Ask,
    once: Option<RequestKey>,
    limits: Limits,
    /// Whom it is about: all whom the bank knows when there is no list.
    listed: Option<Vec<usize>>,
    breaks: Break,
}

/// Hears what a run does.
struct Listener {
    request: OffersRequest,
    limits: Limits,
    once: Option<RequestKey>,
    now: Timestamp,
    hears: bool,
    /// Decisions in the order in which they were made.
    made: Mutex<Vec<(CustomerId, Decision)>>,
    /// What was handed on.
    told: Mutex<Vec<(CustomerId, Decision)>>,
    position: Mutex<Position>,
}

impl Caller for Listener {
    type Answer = (CustomerId, Decision);
    type Fault = String;

    fn now(&self) -> Timestamp {
        self.now
    }

    fn ask(&self, active: Arc<Active>, _: Timestamp) -> Result<Asked, String> {
        Ok(Asked {
            request: self.request.clone(),
            segment: None,
            limit_names: self.limits.all().iter().map(|_| "others get it".into()).collect(),
            limits: self.limits.clone(),
            once: self.once,
            active,
        })
    }

    fn present(&self, _: &Active, request: &OffersRequest, decision: &Decision) -> Option<Self::Answer> {
        Some((request.customer.clone()?, decision.clone()))
    }

    fn decided(&self, _: &Active, request: &OffersRequest, decision: &Decision) {
        self.made
            .lock()
            .extend(request.customer.clone().map(|customer| (customer, decision.clone())));
    }

    fn emit(&self, batch: Batch<Self::Answer>) -> bool {
        if self.hears {
            self.told.lock().extend(batch.answers);
            *self.position.lock() = batch.position;
        }
        self.hears
    }

    fn is_gone(&self) -> bool {
        false
    }
}

impl Simulation {
    /// Runs a campaign, and judges all that it did.
    pub(super) fn run_campaign(&mut self) -> Result<(), String> {
        let run = self.draw_run();
        self.tell(&format!("a campaign: {run:?}"));
        let request = engine_side::request(&run.ask, &self.people[0], &self.catalog)?;
        let mut listener = Listener {
            request,
            limits: run.limits.clone(),
            once: run.once,
            now: self.now,
            hears: true,
            made: Mutex::default(),
            told: Mutex::default(),
            position: Mutex::default(),
        };
        // A run asks first what all volumes have left.
        self.register.pass(self.now);
        let summary = self.in_parts(&run, &mut listener)?;
        let made = listener.made.into_inner();
        self.summary.campaigns += 1;
        self.summary.planned_campaigns += u64::from(summary.method == METHOD);
        // Of two parts one may have been planned, and the other not.
        let is_planned = summary.method == METHOD || run.breaks != Break::Never;
        self.summary.resumed_campaigns += u64::from(run.breaks != Break::Never);
        let mut given = vec![0; run.limits.all().len()];
        for (customer, decision) in &made {
            let who = self.whose(customer)?;
            self.judge_given(who, &run, is_planned, decision)?;
            for shown in decision.placements.iter().flat_map(|filled| &filled.offers) {
                for &limit in run.limits.of(u16::try_from(shown.offer).unwrap_or(u16::MAX)) {
                    given[usize::from(limit)] += 1;
                }
            }
        }
        same("what a run says of its limits", &summary.used, &given)?;
        let mut limits = run.limits.all().iter().zip(&given);
        if !limits.all(|(limit, given)| limit.at_most.is_none_or(|most| *given <= most)) {
            return Err(format!("a run gave {given:?} within {:?}", run.limits.all()));
        }
        self.everybody_once(&run, &made, &listener.told.into_inner())
    }

    fn draw_run(&mut self) -> Run {
        let mut ask = self.question();
        ask.placements.truncate(1);
        ask.preview = self.draw.chance(0.3);
        let once = (!ask.preview).then(|| self.name(&ask));
        let offers = self.catalog.offers.len();
        let draw = &mut self.draw;
        let limits = (0..draw.below(LIMITS + 1)).map(|_| Limit {
            offers: (0..offers).map(|_| draw.chance(0.4)).collect(),
            at_most: Some(draw.below(6) as u64),
            at_least: 0,
        });
        let limits = Limits::new(limits.collect(), offers);
        let listed = draw.chance(0.5).then(|| {
            let everybody = 0..self.people.len();
            everybody.filter(|_| draw.chance(0.7)).collect()
        });
        let breaks = match draw.below(3) {
            0 => Break::Never,
            1 => Break::After(1 + draw.below(3) as u64),
            // A preview has no name by which it could know what it said.
            _ if ask.preview => Break::Never,
            _ => Break::Unheard,
        };
        Run {
            ask,
            once,
            limits,
            listed,
            breaks,
        }
    }

    fn in_parts(&self, run: &Run, listener: &mut Listener) -> Result<Summary, String> {
        let audience = match &run.listed {
            Some(listed) => {
                let ids = listed.iter().map(|&who| self.people[who].id.clone());
                Audience::listed(ids.collect()).0
            }
            None => Audience::Everyone,
        };
        let part = |listener: &Listener, customers_max, start| {
            let options = Options {
                customers_max,
                threads: 1,
                start,
            };
            campaign::run(&self.engine, listener, &audience, &options)
        };
        let mut start = Position::default();
        match run.breaks {
            Break::Never => {}
            Break::After(customers) => {
                part(listener, Some(customers), start).map_err(|stopped| format!("a run stopped: {stopped:?}"))?;
                start = listener.position.lock().clone();
            }
            Break::Unheard => {
                listener.hears = false;
                let stopped = part(listener, None, start.clone()).err();
                // Where nobody is meant there is nothing to hear.
                if stopped.is_some() {
                    same("how a run that nobody hears ends", &stopped, &Some(Stopped::Gone))?;
                }
                listener.hears = true;
            }
        }
        part(listener, None, start).map_err(|stopped| format!("a run stopped: {stopped:?}"))
    }

    fn whose(&self, customer: &CustomerId) -> Result<usize, String> {
        let found = self.people.iter().position(|person| person.id == *customer);
        found.ok_or_else(|| format!("a run answered {customer}, whom nobody knows"))
    }

    /// Judges one decision, and takes note of what it reserved.
    fn judge_given(&mut self, who: usize, run: &Run, is_planned: bool, decision: &Decision) -> Result<(), String> {
        self.summary.campaign_decisions += 1;
        let (ask, known) = (&run.ask, self.people[who].exists);
        let shown: Vec<OfferId> = decision.placements[0]
            .offers
            .iter()
            .map(|shown| expected::named(&self.catalog, shown.offer))
            .collect();
        let is_scarce = |offer: OfferId| {
            let at = self.catalog.offers.iter().position(|other| *other.id == *offer.name());
            let at = at.and_then(|at| u16::try_from(at).ok());
            at.is_none_or(|at| !run.limits.of(at).is_empty()) || volumes::are_about(&self.bank, offer, ask.channel)
        };
        let in_order = |ranking: &[Ranked]| -> Vec<Ranked> {
            let mut first: Vec<Ranked> = ranking.to_vec();
            first.retain(|ranked| shown.contains(&ranked.offer));
            first.sort_by_key(|ranked| shown.iter().position(|offer| *offer == ranked.offer));
            let others = ranking.iter().filter(|ranked| !shown.contains(&ranked.offer));
            first.extend(others.filter(|ranked| !is_scarce(ranked.offer)).cloned());
            first
        };
        let order: Option<expected::Order<'_>> = is_planned.then_some(&in_order);
        let has_room = known || self.is_refused(who) || self.has_room(who);
        if !ask.preview && !has_room && decision.id.is_none() && decision.valid_until == self.now {
            // The customer would have to be begun, and there is no room. The engine forgets the list as well.
            same("what is shown without room", &shown.len(), &0)?;
            self.summary.turned_away += 1;
            self.people[who].good_scores.clear();
            return Ok(());
        }
        let judged = Decision {
            // Reasons of a plan are its own affair as well.
            withheld: if is_planned {
                Vec::new()
            } else {
                decision.withheld.clone()
            },
            ..decision.clone()
        };
        let expected = self.judge_in(&self.people[who], known, ask, &judged, order)?;
        self.count(&judged);
        self.judged(&expected);
        self.summary.full_histories += u64::from(expected.full);
        if let Some(key) = run.once {
            let answer = Answer {
                decision: decision.clone(),
                applied: 0,
                profile_version: decision.profile_version,
                replay: None,
            };
            self.note_call(who, ask, key, &answer, 0)?;
        }
        self.people[who].exists |= decision.id.is_some();
        // What a run made is not kept, so the last good scores stay those of the last call.
        // What a run reserved before it broke off was followed by nothing else.
        self.reserve(who, ask, decision, &expected)
    }

    /// Checks that a run answered everybody whom it is about, each once, and told what it decided.
    fn everybody_once(
        &self,
        run: &Run,
        made: &[(CustomerId, Decision)],
        told: &[(CustomerId, Decision)],
    ) -> Result<(), String> {
        let keys = |answers: &[(CustomerId, Decision)]| -> Vec<CustomerKey> {
            answers.iter().map(|(customer, _)| customer.key()).collect()
        };
        let is_meant = |id: &CustomerId| !id.is_anonymous() && self.engine.profile(id).is_some();
        let people = self.people.iter().enumerate();
        let people = people.filter(|(who, person)| {
            let listed = run.listed.as_ref().map(|listed| listed.contains(who));
            listed.unwrap_or_else(|| is_meant(&person.id))
        });
        let mut meant: Vec<CustomerKey> = people.map(|(_, person)| person.id.key()).collect();
        meant.sort_unstable();
        let reserved = made.iter().filter(|(_, decision)| decision.id.is_some());
        let mut reserved: Vec<CustomerKey> = reserved.map(|(customer, _)| customer.key()).collect();
        let count = reserved.len();
        reserved.sort_unstable();
        reserved.dedup();
        same("for how many a run reserved", &count, &reserved.len())?;
        // For whom there was no room, is asked for again in another part.
        let mut decided = keys(made);
        decided.sort_unstable();
        decided.dedup();
        same("for whom a run decided", &decided, &meant)?;
        same("whom a run answered, in order", &keys(told), &meant)?;
        let made: BTreeMap<CustomerKey, &Decision> = made.iter().map(|(id, made)| (id.key(), made)).collect();
        for (customer, told) in told {
            let found = made.get(&customer.key()).map(|made| (made.id, &made.placements));
            same("what a run told", &found, &Some((told.id, &told.placements)))?;
        }
        Ok(())
    }
}
