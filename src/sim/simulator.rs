//! A seeded simulator: the real engine under a made-up workload, judged after every step by code that shares nothing with
//! the code that decides.
//!
//! A simulated bank is drawn as plain data (`blueprint`). The engine gets it as a catalog's files; the simulator keeps it as
//! it is, keeps each customer as a plain log (`person`), and works out every answer anew (`expected`). Time is a number that
//! the simulator moves: a little, a lot, to the exact end of an answer's validity, and to the millisecond before.
//!
//! What happens: profiles are written, replaced and forgotten; events come in time, late, ahead of the clock, repeated and
//! shuffled; offers are asked for on all channels, for campaigns and by themselves, in several placements, with and without
//! duplicates, reasons and events, really and as previews, with request ids and the same ones again; customers live in several zones, whose clocks change, and the bank's clock
//! steps back; outcomes come once, twice, late, and for what was never shown or
//! was cancelled; volumes fill up over all customers; customers opt out and in, agree and object;
//! channels keep still at times, and some customers are held out; somebody without any id asks; campaigns run, in one go and broken
//! off and resumed; the catalog changes; the model fails and recovers.
//!
//! What is checked at every step:
//!
//! * each answer is exactly the expected one: offers, order, factors, rungs, all reasons in their order, with counts, limits
//!   and instants. So
//!   nothing ineligible, expired or capped is shown, and what is shown is shown in the right order;
//! * asking twice gives the same answer, and a preview gives the answer that a call gives;
//! * the answer stays the same at chosen instants up to the millisecond before its `valid_until`, and a cached list gives
//!   what a fresh one gives, then and after;
//! * what is withheld until an instant is shown to be free then;
//! * what a campaign shows was free at that moment, within its own limits as well, and is there for whoever asks next on any channel;
//!   nobody is answered or reserved for twice, also not after a break;
//! * receipts count what is new, and a profile keeps exactly the contacts that it has to;
//! * the same events in another order and in other portions make the same customer.
//!
//! Everything follows from the seed, so a failure is repeated by the line that it prints.

mod almanac;
mod answers;
mod blueprint;
mod campaigns;
mod condition;
mod engine_side;
mod expected;
mod gates;
mod happenings;
mod limits;
mod outcomes;
mod person;
mod repeats;
mod rulebook;
mod summary;
mod twins;
mod volumes;
mod witnesses;
mod written;
mod written_limits;

use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::Catalog;
use crate::domain::ids::{CustomerId, IdError};
use crate::domain::symbol::Symbols;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::{Active, Engine, Limits, Rejection};

use super::draw::Draw;
use almanac::ZONES;
use blueprint::{Blueprint, OfferId};
use person::Person;
pub use summary::Summary;
use volumes::Register;
use witnesses::Witnesses;

/// 2026-03-27T09:00:00Z, when every simulation begins: two days before the clocks of Europe change.
const BEGINNING: Timestamp = Timestamp::from_millis(1_774_602_000_000);
/// Customers with an id of the bank's.
const CUSTOMERS: usize = 5;
/// Visitors without one.
const VISITORS: usize = 2;
/// Room for customers and visitors: one less than there are, so that somebody is often turned away.
const CUSTOMERS_MAX: usize = CUSTOMERS + VISITORS - 1;
/// Versions of the catalog that are kept to come back.
const VERSIONS: usize = 3;
/// Questions in a row for everything that there is.
const CROWD: usize = 90;
/// Steps that a failure tells of.
const STEPS_TOLD: usize = 8;

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the simulation.
    pub seed: u64,
    /// The step, from 1.
    pub step: u64,
    /// What was expected and what was found.
    pub message: String,
    /// The last steps, oldest first.
    pub lately: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, step {}: {}", self.seed, self.step, self.message)?;
        writeln!(f, "the last steps:")?;
        for line in &self.lately {
            writeln!(f, "  {line}")?;
        }
        write!(f, "repeat it with: nbo sim --seed {} --steps {}", self.seed, self.step)
    }
}

impl std::error::Error for Failure {}

/// Runs `steps` steps from a seed; `on_step` hears of each, and what was gone through so far.
///
/// # Errors
/// The first check that does not hold.
pub fn run(seed: u64, steps: u64, mut on_step: impl FnMut(u64, &Summary)) -> Result<Summary, Box<Failure>> {
    let failure = |step: u64, message: String, lately: &[String]| {
        Box::new(Failure {
            seed,
            step,
            message,
            lately: lately.to_vec(),
        })
    };
    let mut simulation = Simulation::new(seed).map_err(|message| failure(0, message, &[]))?;
    for step in 1..=steps {
        // What panics is told with its seed as well.
        let stepped = catch_unwind(AssertUnwindSafe(|| simulation.step()));
        stepped
            .unwrap_or_else(|_| Err("the step panicked".to_owned()))
            .map_err(|message| failure(step, message, &simulation.lately))?;
        on_step(step, &simulation.summary);
    }
    simulation.summary.steps = steps;
    Ok(simulation.summary)
}

/// The bank, its engine, and what is known of both.
struct Simulation {
    draw: Draw,
    now: Timestamp,
    /// The latest that it ever was.
    latest: Timestamp,
    /// The clock never steps back before this.
    earliest: Timestamp,
    versions: Vec<Blueprint>,
    /// All contacts there ever were.
    register: Register,
    bank: Blueprint,
    catalog: Arc<Catalog>,
    engine: Engine,
    /// The snapshot that calls pass on.
    active: Arc<Active>,
    fails: Arc<AtomicBool>,
    witnesses: Witnesses,
    people: Vec<Person>,
    /// Whose turn it is.
    who: usize,
    /// Every decision so far: whose, and its number.
    decisions: Vec<(usize, u32, OfferId)>,
    /// Whose decisions had which number.
    given_out: HashSet<(usize, u32)>,
    /// The end of the latest answer's validity.
    last_valid_until: Timestamp,
    ids: u64,
    lately: Vec<String>,
    summary: Summary,
}

impl Simulation {
    fn new(seed: u64) -> Result<Self, String> {
        let mut draw = Draw::new(seed, 1);
        let drawn = (0..VERSIONS).map(|_| Blueprint::draw(&mut draw, BEGINNING));
        let versions: Vec<Blueprint> = drawn.collect();
        let mut bank = versions[0].clone();
        bank.remember(&versions[0]);
        let fails = Arc::new(AtomicBool::new(false));
        let catalog = engine_side::compile(&bank, &Symbols::default())?;
        let limits = Limits {
            customers_max: CUSTOMERS_MAX,
            ..Limits::default()
        };
        let engine = Engine::new(engine_side::active(&bank, &catalog, &fails), limits);
        let people = people().map_err(|error| error.to_string())?;
        Ok(Self {
            draw,
            now: BEGINNING,
            latest: BEGINNING,
            earliest: BEGINNING,
            versions,
            register: Register::default(),
            active: engine.active(),
            witnesses: Witnesses::new(&bank, &catalog),
            bank,
            catalog,
            engine,
            fails,
            people,
            who: 0,
            decisions: Vec::new(),
            given_out: HashSet::new(),
            last_valid_until: BEGINNING,
            ids: 0,
            lately: Vec::new(),
            summary: Summary::default(),
        })
    }

    /// Lets time pass, lets something happen, and looks at somebody.
    fn step(&mut self) -> Result<(), String> {
        self.pass_time();
        // Who was here just now is often here again, so that outcomes come in time.
        if self.draw.chance(0.5) {
            self.who = self.draw.below(self.people.len());
        }
        let who = self.who;
        match self.draw.below(100) {
            0..=19 => self.record(who)?,
            20..=52 => self.ask(who)?,
            53..=72 => self.report(who)?,
            73..=77 => self.cancel(who)?,
            78..=81 => self.repeat(who)?,
            82..=85 => self.write(who)?,
            86 | 87 => self.opt(who)?,
            88 | 89 => self.consent(who)?,
            90 => self.forget(who)?,
            91 | 92 => self.reload()?,
            93..=95 => self.break_or_mend(),
            96 => self.run_campaign()?,
            97 if self.draw.chance(0.15) => self.crowd(who)?,
            98 => self.ask_as_nobody()?,
            _ => self.twins()?,
        }
        self.look(who)
    }

    fn tell(&mut self, what: &str) {
        if self.lately.len() == STEPS_TOLD {
            self.lately.remove(0);
        }
        self.lately.push(format!("{} {what}", self.now));
    }

    /// Draws from 0 to `count - 1`, as a number of time.
    fn some(&mut self, count: usize) -> i64 {
        i64::try_from(self.draw.below(count)).unwrap_or(0)
    }

    fn pass_time(&mut self) {
        match self.draw.below(200) {
            0 | 1 => self.step_back(),
            2..=5 => self.meet_a_turn(),
            _ => self.go_on(),
        }
    }

    /// Sets the clock.
    fn set_clock(&mut self, now: Timestamp) {
        self.now = now;
        self.latest = self.latest.max(now);
    }

    /// Sets the clock back, by up to three hours.
    fn step_back(&mut self) {
        let back = self.now - Millis::new(self.some(3 * 3_600_000));
        self.summary.steps_back += u64::from(back >= self.earliest);
        if back >= self.earliest {
            self.set_clock(back);
        }
    }

    /// Goes to the last hours before the clocks of some zone change, if that is soon.
    fn meet_a_turn(&mut self) {
        let before = Millis::new(self.some(2 * 3_600_000));
        let turns = (0..ZONES.len()).filter_map(|zone| almanac::next_turn(zone, self.now));
        let turn = turns.min().filter(|turn| *turn - self.now < Millis::DAY.times(30));
        if let Some(turn) = turn.map(|turn| turn - before).filter(|turn| *turn > self.now) {
            self.summary.turns += 1;
            self.set_clock(turn);
        }
    }

    fn go_on(&mut self) {
        let ends = self.last_valid_until;
        // Most of what happens, happens within days; the far ends of validity are met as well, but seldom.
        let far = if self.draw.chance(0.03) { 60 } else { 1 };
        let ahead = ends > self.now && ends < self.now + Millis::DAY.times(far);
        let now = match self.draw.below(100) {
            0..=3 if ahead => ends,
            4..=7 if ahead => ends - Millis::new(1),
            0..=29 => self.now,
            30..=79 => self.now + Millis::new(self.some(60_000)),
            80..=95 => self.now + Millis::new(self.some(1_800_000)),
            96 | 97 => self.now + Millis::MINUTE.times(self.some(240)),
            98 => self.now + Millis::HOUR.times(self.some(30)),
            _ if self.draw.chance(0.2) => self.now + Millis::DAY.times(self.some(40)),
            _ => self.now,
        };
        self.set_clock(now);
    }

    fn is_failing(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }

    /// Tells whether the catalog serves known customers only, and this is none.
    fn is_refused(&self, who: usize) -> bool {
        let person = &self.people[who];
        !person.exists && !self.bank.begins_unknown && !person.id.is_anonymous()
    }

    /// Tells whether somebody has a profile or could have one.
    fn has_room(&self, who: usize) -> bool {
        let existing = self.people.iter().filter(|person| person.exists).count();
        self.people[who].exists || existing < CUSTOMERS_MAX
    }

    fn version(&self, who: usize) -> u64 {
        self.engine
            .profile(&self.people[who].id)
            .map_or(0, |profile| profile.version)
    }

    fn reload(&mut self) -> Result<(), String> {
        let at = self.draw.below(VERSIONS);
        if self.draw.chance(0.5) {
            self.versions[at] = Blueprint::draw(&mut self.draw, self.now);
        }
        self.put_in_force(self.versions[at].clone())
    }

    fn put_in_force(&mut self, bank: Blueprint) -> Result<(), String> {
        self.tell("another version of the catalog is put in force");
        let before = std::mem::replace(&mut self.bank, bank);
        self.bank.remember(&before);
        self.catalog = engine_side::compile(&self.bank, &self.catalog.symbols)?;
        self.engine
            .activate(engine_side::active(&self.bank, &self.catalog, &self.fails))
            .map_err(|error| error.to_string())?;
        self.active = self.engine.active();
        self.witnesses.activate(&self.bank, &self.catalog)?;
        for person in &mut self.people {
            person.good_scores.clear();
            person.calls.forget_before(self.active.generation);
        }
        self.summary.reloads += 1;
        Ok(())
    }

    fn break_or_mend(&mut self) {
        let fails = !self.fails.load(Ordering::Relaxed) && self.draw.chance(0.5);
        self.tell(&format!("the model fails: {fails}"));
        self.fails.store(fails, Ordering::Relaxed);
    }
}

/// Makes the people; none of them is known yet.
fn people() -> Result<Vec<Person>, IdError> {
    let customers = (1..=CUSTOMERS).map(|number| CustomerId::known(&format!("c{number}")));
    let visitors = (1..=VISITORS).map(|number| CustomerId::anonymous(&format!("v{number}")));
    customers.chain(visitors).map(|id| id.map(Person::new)).collect()
}

fn too_many() -> Rejection {
    Rejection::TooManyCustomers(CUSTOMERS_MAX)
}

/// Compares what was found with what was expected.
fn same<T: PartialEq + fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}\n  expected {expected:?}\n  found    {found:?}"))
}
