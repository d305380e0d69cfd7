//! What one call was busy with, for whoever asks: how long each step took, and what stopped the offers whose turn had come.
//!
//! Nobody pays for it who does not ask: then a step costs one look at a flag of its thread. Whoever asks hands in the clock, so
//! that nothing here reads one; nothing is decided by it, and what is noted is looked up beside the decision, never for it.

use std::cell::{Cell, RefCell};

use smallvec::SmallVec;

use crate::decision::fill::Stopped;

/// The steps of one call in the engine, in their usual order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Finding the customer, waiting for the lock, unpacking the profile, looking for an earlier answer.
    Lookup,
    /// Folding the events of the call.
    Fold,
    /// Hard suppression, eligibility, applicability, suitability.
    Gate,
    /// Features and models.
    Score,
    /// Putting the list into its order.
    Rank,
    /// Filling the placements within contact policy; taking the list out of the cache is part of it.
    Fill,
    /// Reserving, and writing that to the journal.
    Reserve,
    /// Collecting all reasons, when they are asked for.
    Explain,
    /// Packing the profile, and telling those who listen to changes.
    Keep,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 9] = [
        Self::Lookup,
        Self::Fold,
        Self::Gate,
        Self::Score,
        Self::Rank,
        Self::Fill,
        Self::Reserve,
        Self::Explain,
        Self::Keep,
    ];

    /// Returns its name in metrics and traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Fold => "fold",
            Self::Gate => "gate",
            Self::Score => "score",
            Self::Rank => "rank",
            Self::Fill => "fill",
            Self::Reserve => "reserve",
            Self::Explain => "explain",
            Self::Keep => "keep",
        }
    }
}

/// What stopped an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Every offer: this built-in rule.
    All(&'static str),
    /// One offer whose turn had come.
    Turn(Stopped),
}

/// Steps that are told apart in one call: a list that is made twice, because others were faster, has each of its steps twice.
const LAPS_MAX: usize = 24;
/// Stops that are noted in one call; what is beyond is not counted.
const STOPS_MAX: usize = 256;

/// A step and when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lap {
    /// The step.
    pub step: Step,
    /// When it began, in nanoseconds of the clock that was handed in.
    pub from: u64,
    /// When it ended.
    pub until: u64,
}

/// What was seen of one call.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// The steps, as they followed each other.
    pub laps: SmallVec<[Lap; LAPS_MAX]>,
    /// What stopped offers; empty for a call that explains, whose answer has all reasons.
    pub stops: Vec<Stop>,
}

struct Watching {
    clock: fn() -> u64,
    from: u64,
    seen: Watched,
}

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static WATCHING: RefCell<Option<Watching>> = const { RefCell::new(None) };
}

/// Does the work of one call, which must not wait in between, and tells what it was busy with by this clock.
pub fn watched<T>(clock: fn() -> u64, work: impl FnOnce() -> T) -> (T, Watched) {
    let watching = Watching {
        clock,
        from: clock(),
        seen: Watched::default(),
    };
    WATCHING.set(Some(watching));
    IS_ON.set(true);
    let done = work();
    lap(Step::Keep);
    IS_ON.set(false);
    let seen = WATCHING.take().map(|watching| watching.seen);
    (done, seen.unwrap_or_default())
}

/// Tells whether somebody asks about the call at hand.
pub(super) fn is_on() -> bool {
    IS_ON.get()
}

/// Says that what was done since the last step was this one.
pub(super) fn lap(step: Step) {
    if is_on() {
        with(|watching| {
            let (from, until) = (watching.from, (watching.clock)());
            watching.from = until;
            if watching.seen.laps.len() < LAPS_MAX {
                watching.seen.laps.push(Lap { step, from, until });
            }
        });
    }
}

/// Leaves out what was done since the last step: it was done for whoever asks.
fn leave_out() {
    with(|watching| watching.from = (watching.clock)());
}

/// Notes that a built-in rule stopped every offer.
pub(super) fn stopped_all(rule: &'static str) {
    if is_on() {
        with(|watching| watching.seen.stops.push(Stop::All(rule)));
    }
}

/// Notes what stops offers in a look that is taken only to be noted, instead of what was noted before; its time is no step's.
pub(super) fn look(look: impl FnOnce(&mut dyn FnMut(usize, Stopped))) {
    let mut stops = Vec::new();
    look(&mut |_, stopped| {
        if stops.len() < STOPS_MAX {
            stops.push(Stop::Turn(stopped));
        }
    });
    with(|watching| watching.seen.stops = stops);
    leave_out();
}

fn with(work: impl FnOnce(&mut Watching)) {
    WATCHING.with_borrow_mut(|watching| {
        if let Some(watching) = watching {
            work(watching);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static TICKS: Cell<u64> = const { Cell::new(0) };
    }

    /// A clock that goes on by one at each look.
    fn ticks() -> u64 {
        TICKS.set(TICKS.get() + 1);
        TICKS.get()
    }

    #[test]
    fn the_steps_of_a_call_follow_each_other_without_a_gap() {
        let ((), seen) = watched(ticks, || {
            lap(Step::Lookup);
            lap(Step::Fill);
        });
        let steps: Vec<Step> = seen.laps.iter().map(|lap| lap.step).collect();
        assert_eq!(steps, [Step::Lookup, Step::Fill, Step::Keep]);
        assert!(seen.laps.windows(2).all(|two| two[0].until == two[1].from));
        assert!(!is_on());
    }

    #[test]
    fn a_call_that_nobody_asks_about_is_not_looked_at() {
        let before = TICKS.get();
        lap(Step::Gate);
        stopped_all("opt-out");
        assert_eq!(TICKS.get(), before);
        let ((), seen) = watched(ticks, || ());
        assert_eq!((seen.laps.len(), seen.stops.len()), (1, 0));
    }

    #[test]
    fn looking_for_what_stops_offers_is_no_steps_time() {
        let ((), seen) = watched(ticks, || {
            look(|note| {
                note(0, Stopped::Quiet);
                ticks();
            });
            lap(Step::Reserve);
        });
        assert_eq!(seen.stops, [Stop::Turn(Stopped::Quiet)]);
        assert_eq!(seen.laps[0].until - seen.laps[0].from, 1);
    }
}
