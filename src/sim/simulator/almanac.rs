//! The calendar as a clock on the wall shows it: two instants lie in the same period when the clock shows the same label, and a
//! period ends where the label changes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::tz::TimeZone;

use crate::domain::time::{Millis, Timestamp};

/// The zones that customers live in; the bank's own is the first.
pub(super) const ZONES: [&str; 4] = [
    "Europe/Madrid",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
];

static LOADED: LazyLock<[TimeZone; ZONES.len()]> =
    LazyLock::new(|| ZONES.map(|zone| TimeZone::get(zone).unwrap_or(TimeZone::UTC)));

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    Hour,
    Day,
    Week,
    Month,
}

/// A unit in a zone; weeks begin on a day of the week, 0 for Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Clock {
    pub(super) zone: usize,
    pub(super) week_starts: usize,
}

/// Periods by the clock, the unit, and what the clock shows.
type Periods = HashMap<(Clock, Unit, (i64, i64)), (Timestamp, Timestamp)>;

/// Ends by the clock, the unit, and what the clock shows.
type Ends = HashMap<(Clock, Unit, (i64, i64)), Timestamp>;

thread_local! {
    /// The ends that were searched for already.
    static ENDS: RefCell<Ends> = RefCell::default();
    /// The same for whole periods.
    static PERIODS: RefCell<Periods> = RefCell::default();
}

fn jiff(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::MAX)
}

impl Clock {
    /// Returns what the clock shows of the unit. No label ever comes again.
    fn label(self, unit: Unit, at: Timestamp) -> (i64, i64) {
        let zone = &LOADED[self.zone];
        let offset = i64::from(zone.to_offset(jiff(at)).seconds()) * 1_000;
        let local = at.as_millis() + offset;
        let day = local.div_euclid(86_400_000);
        match unit {
            Unit::Hour => (local.div_euclid(3_600_000), offset),
            Unit::Day => (day, 0),
            // The first day of 1970 was a Thursday.
            Unit::Week => {
                let week_starts = i64::try_from(self.week_starts).unwrap_or(0);
                ((day + 3 - week_starts).div_euclid(7), 0)
            }
            Unit::Month => {
                let date = zone.to_datetime(jiff(at)).date();
                (i64::from(date.year()), i64::from(date.month()))
            }
        }
    }

    /// Returns until when something at `from` counts in the unit of `now`; `None` when its period is over.
    pub(super) fn counts_until(self, unit: Unit, from: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if now - from > Millis::DAY.times(40) {
            return None;
        }
        let at = from.max(now);
        let label = self.label(unit, at);
        if self.label(unit, from) != label {
            return None;
        }
        let key = (self, unit, label);
        let known = ENDS.with_borrow(|ends| ends.get(&key).copied());
        Some(known.unwrap_or_else(|| {
            let end = self.end(unit, at, label);
            ENDS.with_borrow_mut(|ends| ends.insert(key, end));
            end
        }))
    }

    /// Returns the first instant of the period of an instant, and the first after it.
    pub(super) fn period(self, unit: Unit, at: Timestamp) -> (Timestamp, Timestamp) {
        let label = self.label(unit, at);
        let key = (self, unit, label);
        let known = PERIODS.with_borrow(|periods| periods.get(&key).copied());
        known.unwrap_or_else(|| {
            let period = (self.start(unit, at, label), self.end(unit, at, label));
            PERIODS.with_borrow_mut(|periods| periods.insert(key, period));
            period
        })
    }

    /// Searches for the first instant that has this label.
    fn start(self, unit: Unit, at: Timestamp, label: (i64, i64)) -> Timestamp {
        let (mut inside, mut step) = (at, Millis::new(1));
        let mut outside = at - step;
        while self.label(unit, outside) == label {
            inside = outside;
            step = step.times(2);
            outside = outside - step;
        }
        while (inside - outside).get() > 1 {
            let middle = outside + Millis::new((inside - outside).get() / 2);
            if self.label(unit, middle) == label {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        inside
    }

    /// Searches for the first instant that has another label.
    fn end(self, unit: Unit, at: Timestamp, label: (i64, i64)) -> Timestamp {
        let (mut inside, mut step) = (at, Millis::new(1));
        let mut outside = at + step;
        while self.label(unit, outside) == label {
            inside = outside;
            step = step.times(2);
            outside = outside + step;
        }
        while (outside - inside).get() > 1 {
            let middle = inside + Millis::new((outside - inside).get() / 2);
            if self.label(unit, middle) == label {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        outside
    }
}

/// Returns what the clock on the wall shows, in milliseconds since it showed the beginning of 1970.
pub(super) fn wall(zone: usize, at: Timestamp) -> i64 {
    at.as_millis() + i64::from(LOADED[zone].to_offset(jiff(at)).seconds()) * 1_000
}

/// Returns the next change of the clocks in a zone, if there is one.
pub(super) fn next_turn(zone: usize, now: Timestamp) -> Option<Timestamp> {
    let turn = LOADED[zone].following(jiff(now)).next()?;
    Some(Timestamp::from_millis(turn.timestamp().as_millisecond()))
}
