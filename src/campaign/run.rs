//! The course of a run: hands tasks to the threads, plans, and hands on what comes back, in order.

mod ahead;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use ahead::{Looking, Seen};

use super::audience::{Audience, Source};
use super::pool::{Queue, Task, Tasks};
use super::terms::{Left, Terms};
use super::worker::{self, Decided, Done, Job, Member, Planned, Work};
use super::{Asked, BATCH, Batch, Caller, METHOD, METHOD_WITHOUT_LIMITS, Options, Position, Summary, Totals};
use crate::decision::assign::{self, Prices};
use crate::domain::ids::CustomerKey;
use crate::engine::Engine;
use crate::journal::NotWritten;

/// Keys that one task looks through for who is meant.
const KEYS_PER_TASK: usize = 1_024;
/// Tasks under way for each thread: while results are handed on, no thread runs dry.
const TASKS_PER_THREAD: usize = 4;
/// Tasks that may find nobody who is meant before the progress is told all the same.
const EMPTY_TASKS_MAX: usize = 32;

/// Reasons in one batch, of some 150 bytes each.
const REASONS_PER_BATCH: usize = 10_000;

/// Why a run came to no good end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped<F> {
    /// The request no longer fits the catalog in force.
    Unfit(F),
    /// Nobody listens any more.
    Gone,
    /// The run's name was used before for customers of another request.
    NameReused,
    /// What is reserved cannot be recorded.
    NotWritten(NotWritten),
    /// A thread of the run died.
    Broken,
}

/// Asks for an audience; blocks the thread until all is handed on.
///
/// # Errors
/// When nobody listens any more, or the catalog changed so that the request no longer fits it. What was handed on stands.
pub fn run<C: Caller>(
    engine: &Engine,
    caller: &C,
    audience: &Audience,
    options: &Options,
) -> Result<Summary, Stopped<C::Fault>> {
    let now = caller.now();
    let asked = caller.ask(engine.active(), now).map_err(Stopped::Unfit)?;
    let most = offers_most(engine, audience, options, &asked);
    let terms = Terms::new(asked, engine, most, now);
    let (tasks, waiting) = channel();
    let waiting = Tasks::new(waiting);
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| worker::work(engine, caller, &waiting));
        }
        // Dropped at the end, so that the threads end as well.
        let mut run = Run::new(engine, caller, audience, options, terms, tasks);
        let course = run.course();
        if course.is_err() {
            // What nobody will hear of is better not decided.
            waiting.stop();
        }
        course.map(|()| run.summary())
    })
}

/// Returns how many offers a run can give at most.
fn offers_most(engine: &Engine, audience: &Audience, options: &Options, asked: &Asked) -> u64 {
    let customers = match audience {
        Audience::Listed(list) => list.len(),
        Audience::Everyone => engine.customers(),
    };
    let customers = options
        .customers_max
        .map_or(customers as u64, |max| max.min(customers as u64));
    customers.saturating_mul(asked.request.placements[0].count as u64)
}

/// Returns how many customers make a batch: fewer when each has a reason for every offer, so that a message stays well below 4 MB.
fn batch_size(asked: &Asked) -> usize {
    if asked.request.explain {
        (REASONS_PER_BATCH / asked.catalog().offers.len().max(1)).clamp(1, BATCH)
    } else {
        BATCH
    }
}

struct Run<'a, C: Caller> {
    engine: &'a Engine,
    caller: &'a C,
    audience: &'a Audience,
    options: &'a Options,
    tasks: Sender<Task<Job, Done<C::Answer>>>,
    under_way_max: usize,
    batch: usize,
    source: Source<'a>,
    /// Whether the source has come to its end.
    at_end: bool,
    selects: Queue<Done<C::Answer>>,
    /// The last key of each of `selects`.
    select_ends: VecDeque<Option<CustomerKey>>,
    /// Who is meant and waits for a task.
    pending: VecDeque<Member>,
    /// Everybody up to here was looked through.
    scanned: Option<CustomerKey>,
    /// Customers taken from `pending`, over all parts of the run.
    taken: u64,
    terms: Arc<Terms>,
    /// The next block, as far as it was looked at.
    looking: Looking<C::Answer>,
    position: Position,
    /// By the id of each volume that limits the run, how much of it was given without being reserved.
    previewed: BTreeMap<Arc<str>, u64>,
    totals: Totals,
    by_offer: BTreeMap<Arc<str>, u64>,
    without_limits: f64,
    bound: f64,
}

/// Some who are meant; everybody up to `upto` lies behind with them.
struct Cut {
    members: Vec<Member>,
    upto: Option<CustomerKey>,
}

/// The answers that wait for their turn, and up to whom each reaches.
struct Deciding<A> {
    queue: Queue<Done<A>>,
    ends: VecDeque<Option<CustomerKey>>,
}

impl<'a, C: Caller> Run<'a, C> {
    fn new(
        engine: &'a Engine,
        caller: &'a C,
        audience: &'a Audience,
        options: &'a Options,
        terms: Terms,
        tasks: Sender<Task<Job, Done<C::Answer>>>,
    ) -> Self {
        let mut position = options.start.clone();
        position.used.resize(terms.own(), 0);
        Self {
            engine,
            caller,
            audience,
            options,
            tasks,
            under_way_max: options.threads.max(1) * TASKS_PER_THREAD,
            batch: batch_size(&terms.asked),
            source: Source::new(audience, engine.store(), position.after),
            at_end: false,
            selects: Queue::default(),
            select_ends: VecDeque::new(),
            pending: VecDeque::new(),
            scanned: position.after,
            taken: position.customers,
            looking: Looking::new(&terms, position.after),
            terms: Arc::new(terms),
            position,
            previewed: BTreeMap::new(),
            totals: Totals::default(),
            by_offer: BTreeMap::new(),
            without_limits: 0.0,
            bound: 0.0,
        }
    }

    fn course(&mut self) -> Result<(), Stopped<C::Fault>> {
        while self.terms.limits.is_empty() {
            if self.each_for_themselves()? {
                return Ok(());
            }
        }
        self.within_limits()
    }

    /// Without limits nobody waits for anybody: tasks overlap from beginning to end. Tells whether this was the end; it is not
    /// when a catalog came into force that limits the run.
    fn each_for_themselves(&mut self) -> Result<bool, Stopped<C::Fault>> {
        let mut deciding = Deciding::new();
        let mut is_limited = false;
        loop {
            while !is_limited && deciding.queue.len() < self.under_way_max {
                let Some(cut) = self.cut()? else { break };
                self.renew()?;
                is_limited = !self.terms.limits.is_empty();
                if is_limited {
                    self.put_back(cut.members.into_iter());
                } else {
                    self.decide(&mut deciding, cut, None);
                }
            }
            if !self.hand_on(&mut deciding)? {
                return Ok(!is_limited);
            }
        }
    }

    /// Puts customers back who have not had a turn.
    fn put_back(&mut self, members: impl DoubleEndedIterator<Item = Member> + ExactSizeIterator) {
        self.taken -= members.len() as u64;
        members.rev().for_each(|member| self.pending.push_front(member));
    }

    fn within_limits(&mut self) -> Result<(), Stopped<C::Fault>> {
        let mut prices = Prices::default();
        loop {
            if self.renew()? {
                // They may be of other limits.
                prices = Prices::default();
                self.look_anew()?;
            }
            let begun_at = self.position.after;
            let Seen {
                members,
                block,
                upto,
                given,
                given_worth,
                without_limits,
            } = self.look()?;
            if members.is_empty() {
                return Ok(());
            }
            self.bound += given_worth;
            let before = self.position.used.iter().zip(given);
            let used: Vec<u64> = before.map(|(used, given)| used + given).collect();
            let share = self.share_of_block(begun_at, upto, members.len());
            let previewed = |volume: &str| self.previewed.get(volume).copied().unwrap_or_default();
            let Left { room, used } = self.terms.left(self.engine, &used, previewed, share, self.caller.now());
            // The threads go on with the next block while this one is planned.
            self.look_ahead()?;
            let limits = &self.terms.limits;
            let plan = assign::assign(&block, limits, &room, &mut prices);
            self.bound += plan.bound;
            let barred = (0..self.terms.asked.catalog().offers.len())
                .map(|offer| u16::try_from(offer).is_ok_and(|offer| !limits.of(offer).is_empty()));
            let barred: Arc<Vec<bool>> = Arc::new(barred.collect());
            let used = Arc::new(used);
            let mut deciding = Deciding::new();
            let mut members = members.into_iter();
            let mut next = 0;
            loop {
                if self.engine.active().generation != self.terms.asked.active.generation {
                    // Whoever has not had a turn is looked at anew; the bound counts them twice and is still one.
                    self.look_anew()?;
                    self.put_back(members.by_ref());
                }
                while deciding.queue.len() < self.under_way_max && members.len() > 0 {
                    let some: Vec<Member> = members.by_ref().take(self.batch).collect();
                    let first = (next..next + some.len()).map(|customer| plan.of(customer).collect());
                    let planned = Planned {
                        first: first.collect(),
                        barred: Arc::clone(&barred),
                        used: Arc::clone(&used),
                    };
                    let those = next..next + some.len();
                    self.without_limits += without_limits[those].iter().sum::<f64>();
                    next += some.len();
                    let last = some.last().map(|(key, _)| *key);
                    let upto = if members.len() == 0 { upto } else { last };
                    self.decide(&mut deciding, Cut { members: some, upto }, Some(planned));
                }
                if !self.hand_on(&mut deciding)? {
                    break;
                }
            }
        }
    }

    /// Returns which share of the audience that is left a block makes up.
    fn share_of_block(&self, begun_at: Option<CustomerKey>, upto: Option<CustomerKey>, members: usize) -> f64 {
        let is_last = self.at_end && self.pending.is_empty() && self.selects.len() == 0;
        if is_last || self.is_full() {
            return 1.0;
        }
        let (before, behind) = (self.source.share(begun_at), self.source.share(upto));
        let share = if before < 1.0 {
            (behind - before) / (1.0 - before)
        } else {
            1.0
        };
        let most = self
            .options
            .customers_max
            .map(|max| max.saturating_sub(self.position.customers));
        let of_most = most.map_or(0.0, |left| members as f64 / left.max(1) as f64);
        share.max(of_most).min(1.0)
    }

    fn is_full(&self) -> bool {
        self.options.customers_max.is_some_and(|max| self.taken >= max)
    }

    /// Takes the snapshot anew when another one came into force; tells whether it did.
    fn renew(&mut self) -> Result<bool, Stopped<C::Fault>> {
        let active = self.engine.active();
        if active.generation == self.terms.asked.active.generation {
            return Ok(false);
        }
        let now = self.caller.now();
        let asked = self.caller.ask(active, now).map_err(Stopped::Unfit)?;
        let most = offers_most(self.engine, self.audience, self.options, &asked);
        self.terms = Arc::new(Terms::new(asked, self.engine, most, now));
        Ok(true)
    }

    fn job(&self, work: Work) -> Job {
        Job {
            terms: Arc::clone(&self.terms),
            now: self.caller.now(),
            work,
        }
    }

    /// Returns the next customers who are meant, at most a batch of them, maybe nobody, so that progress can be told; `None` at the end.
    fn cut(&mut self) -> Result<Option<Cut>, Stopped<C::Fault>> {
        let mut selected = 0;
        while self.pending.len() < self.batch && selected < EMPTY_TASKS_MAX && !self.is_full() {
            while !self.at_end && self.selects.len() < self.under_way_max {
                let Some(part) = self.source.part(KEYS_PER_TASK) else {
                    self.at_end = true;
                    break;
                };
                self.select_ends.push_back(part.last());
                let job = self.job(Work::Select(part));
                self.selects.submit(&self.tasks, job);
            }
            match self.selects.take() {
                None => break,
                Some(Some(Done::Selected(members))) => self.pending.extend(members),
                Some(_) => return Err(Stopped::Broken),
            }
            self.scanned = self.select_ends.pop_front().flatten();
            selected += 1;
        }
        let left = self
            .options
            .customers_max
            .map_or(u64::MAX, |max| max.saturating_sub(self.taken));
        let size = self
            .pending
            .len()
            .min(self.batch)
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        if size == 0 && (selected == 0 || self.is_full()) {
            return Ok(None);
        }
        let members: Vec<Member> = self.pending.drain(..size).collect();
        self.taken += members.len() as u64;
        let last = members.last().map(|(key, _)| *key);
        let upto = if self.pending.is_empty() && !self.is_full() {
            self.scanned
        } else {
            last
        };
        Ok(Some(Cut { members, upto }))
    }

    fn decide(&mut self, deciding: &mut Deciding<C::Answer>, cut: Cut, planned: Option<Planned>) {
        deciding.ends.push_back(cut.upto);
        let job = self.job(Work::Decide(cut.members, planned));
        deciding.queue.submit(&self.tasks, job);
    }

    /// Hands on the next batch; tells whether there was one.
    fn hand_on(&mut self, deciding: &mut Deciding<C::Answer>) -> Result<bool, Stopped<C::Fault>> {
        let decided = match deciding.queue.take() {
            None => return Ok(false),
            Some(Some(Done::Decided(decided))) if decided.name_was_used => return Err(Stopped::NameReused),
            Some(Some(Done::Decided(Decided {
                not_written: Some(why), ..
            }))) => return Err(Stopped::NotWritten(why)),
            Some(Some(Done::Decided(decided))) => decided,
            Some(_) => return Err(Stopped::Broken),
        };
        self.count(&decided);
        self.position.after = deciding.ends.pop_front().flatten().or(self.position.after);
        self.position.customers += decided.customers;
        self.emit(decided.answers, self.position.after)?;
        Ok(true)
    }

    fn tell_progress(&self, upto: Option<CustomerKey>) -> Result<(), Stopped<C::Fault>> {
        self.emit(Vec::new(), upto)
    }

    fn emit(&self, answers: Vec<C::Answer>, upto: Option<CustomerKey>) -> Result<(), Stopped<C::Fault>> {
        let batch = Batch {
            answers,
            position: self.position.clone(),
            share: self.share(upto),
            totals: self.totals,
        };
        if self.caller.emit(batch) {
            Ok(())
        } else {
            Err(Stopped::Gone)
        }
    }

    fn share(&self, upto: Option<CustomerKey>) -> f64 {
        let of_most = self
            .options
            .customers_max
            .map_or(0.0, |max| self.position.customers as f64 / max.max(1) as f64);
        self.source.share(upto).max(of_most).min(1.0)
    }

    fn count(&mut self, decided: &Decided<C::Answer>) {
        self.totals.customers += decided.customers;
        self.totals.given += decided.given;
        self.totals.offers += decided.shown.len() as u64;
        self.totals.recalled += decided.recalled;
        self.totals.lapsed += decided.lapsed;
        let Terms { asked, limits, .. } = &*decided.terms;
        let own = decided.terms.own();
        for choice in &decided.shown {
            self.totals.objective += choice.priority;
            let offer = &asked.catalog().offers[usize::from(choice.offer)];
            match self.by_offer.get_mut(&offer.id) {
                Some(count) => *count += 1,
                None => {
                    self.by_offer.insert(Arc::clone(&offer.id), 1);
                }
            }
            for limit in limits.of(choice.offer).iter().map(|&limit| usize::from(limit)) {
                if limit < own {
                    self.position.used[limit] += 1;
                } else if let Some(volume) = decided.terms.volume(limit).filter(|_| asked.request.preview) {
                    *self.previewed.entry(Arc::clone(volume)).or_default() += 1;
                }
            }
        }
    }

    fn summary(self) -> Summary {
        let limited = !self.terms.limits.is_empty();
        Summary {
            totals: self.totals,
            by_offer: self.by_offer,
            used: self.position.used,
            limits: self.terms.asked.limits.clone(),
            method: if limited { METHOD } else { METHOD_WITHOUT_LIMITS },
            objective_without_limits: limited.then_some(self.without_limits),
            objective_bound: limited.then_some(self.bound),
        }
    }
}

impl<A> Deciding<A> {
    fn new() -> Self {
        Self {
            queue: Queue::default(),
            ends: VecDeque::new(),
        }
    }
}
