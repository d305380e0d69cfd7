//! Periods of the calendar: which hour, day, week or month an instant lies in, in a time zone.
//!
//! * A day begins with the first instant of its date: at midnight, or later where the clocks skip it. It has 23 or 25 hours
//!   when the clocks change, and none at all where a date is left out.
//! * A week has seven such days and begins on the day that the catalog says; a month begins with its first day.
//! * An hour goes from one full hour of the clock to the next. An hour that the clocks show twice is two hours.
//!
//! Time zones come from the database that is built into the program, so a period is the same on every machine. Beyond the
//! years -9999 to 9999 there is no calendar; an instant there lies in one period without end.

use std::cell::Cell;

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::catalog::Per;
use crate::domain::time::{Millis, Timestamp};

/// A stretch of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Period {
    /// All of time, where there is no calendar.
    pub const ALWAYS: Self = Self {
        start: Timestamp::FAR_PAST,
        end: Timestamp::FAR_FUTURE,
    };

    /// Tells whether an instant lies in it.
    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// Returns the period that an instant lies in.
#[must_use]
pub fn period(per: Per, week_starts: Weekday, zone: &TimeZone, at: Timestamp) -> Period {
    let found = match per {
        Per::Hour => hour(zone, at),
        Per::Day | Per::Week | Per::Month => days(per, week_starts, zone, at),
    };
    found.unwrap_or(Period::ALWAYS)
}

fn days(per: Per, week_starts: Weekday, zone: &TimeZone, at: Timestamp) -> Option<Period> {
    let date = zone.to_datetime(instant(at)?).date();
    let (first, next) = match per {
        Per::Month => (date.first_of_month(), date.last_of_month().tomorrow().ok()?),
        Per::Week => {
            let first = date
                .checked_sub(i64::from(date.weekday().since(week_starts)).days())
                .ok()?;
            (first, first.checked_add(7.days()).ok()?)
        }
        Per::Day | Per::Hour => (date, date.tomorrow().ok()?),
    };
    Some(Period {
        start: first_instant(first, zone)?,
        end: first_instant(next, zone)?,
    })
}

fn hour(zone: &TimeZone, at: Timestamp) -> Option<Period> {
    let offset = zone.to_offset(instant(at)?);
    let local = at + Millis::SECOND.times(i64::from(offset.seconds()));
    let start = at - Millis::new(local.as_millis().rem_euclid(Millis::HOUR.get()));
    let end = start + Millis::HOUR;
    // Where the clocks change within the hour of the clock, it ends or begins there.
    let same_at = |at: Timestamp| Some(zone.to_offset(instant(at)?) == offset);
    let start = if same_at(start)? {
        start
    } else {
        let after = instant(at + Millis::new(1))?;
        let turn = zone.preceding(after).next()?;
        Timestamp::from_millis(turn.timestamp().as_millisecond())
    };
    let end = if same_at(end - Millis::new(1))? {
        end
    } else {
        let turn = zone.following(instant(at)?).next()?;
        Timestamp::from_millis(turn.timestamp().as_millisecond())
    };
    Some(Period { start, end })
}

fn first_instant(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let midnight = zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(Timestamp::from_millis(midnight.as_millisecond()))
}

fn instant(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(at.as_millis()).ok()
}

/// The calendar of one customer at one instant. Each period of now is worked out once, and only when it is asked for.
#[derive(Debug)]
pub struct Calendar<'a> {
    zone: &'a TimeZone,
    week_starts: Weekday,
    now: Timestamp,
    current: [Cell<Option<Period>>; 4],
}

impl<'a> Calendar<'a> {
    /// Opens the calendar of a time zone.
    #[must_use]
    pub const fn new(zone: &'a TimeZone, week_starts: Weekday, now: Timestamp) -> Self {
        Self {
            zone,
            week_starts,
            now,
            current: [const { Cell::new(None) }; 4],
        }
    }

    /// Returns the period of now.
    #[must_use]
    pub fn current(&self, per: Per) -> Period {
        let cell = &self.current[per as usize];
        cell.get().unwrap_or_else(|| {
            let found = period(per, self.week_starts, self.zone, self.now);
            cell.set(Some(found));
            found
        })
    }

    /// Returns until when something of this instant counts in a calendar window: to the end of the period that holds it, of
    /// now's when it lies before now in the same. `None` when its period is over.
    #[must_use]
    pub fn counts_until(&self, per: Per, at: Timestamp) -> Option<Timestamp> {
        // No period is as long, so what lies further back need not be looked up.
        let longest = match per {
            Per::Hour => Millis::HOUR.times(2),
            Per::Day => Millis::DAY.times(3),
            Per::Week => Millis::DAY.times(10),
            Per::Month => Millis::DAY.times(34),
        };
        if self.now - at > longest {
            return None;
        }
        let current = self.current(per);
        if at < current.start {
            None
        } else if at < current.end {
            Some(current.end)
        } else {
            Some(period(per, self.week_starts, self.zone, at).end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZoneDatabase;

    /// The period of an instant, each row: unit, zone, instant in UTC, first instant and first instant after in UTC.
    const PERIODS: [(&str, &str, &str, &str, &str); 27] = [
        (
            "day",
            "UTC",
            "2026-03-02T09:00:00Z",
            "2026-03-02T00:00:00Z",
            "2026-03-03T00:00:00Z",
        ),
        // Midnight is another instant in each zone.
        (
            "day",
            "Europe/Madrid",
            "2026-03-02T23:30:00Z",
            "2026-03-02T23:00:00Z",
            "2026-03-03T23:00:00Z",
        ),
        (
            "day",
            "America/New_York",
            "2026-03-02T23:30:00Z",
            "2026-03-02T05:00:00Z",
            "2026-03-03T05:00:00Z",
        ),
        (
            "day",
            "Asia/Kathmandu",
            "2026-03-02T18:14:59.999Z",
            "2026-03-01T18:15:00Z",
            "2026-03-02T18:15:00Z",
        ),
        (
            "day",
            "Asia/Kathmandu",
            "2026-03-02T18:15:00Z",
            "2026-03-02T18:15:00Z",
            "2026-03-03T18:15:00Z",
        ),
        // The clocks go forward: 23 hours. And back: 25 hours.
        (
            "day",
            "Europe/Madrid",
            "2026-03-29T12:00:00Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
        ),
        (
            "day",
            "Europe/Madrid",
            "2026-10-25T12:00:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
        ),
        // Clocks that skip midnight: the day begins at one o'clock. Clocks that go back to the day before.
        (
            "day",
            "America/Santiago",
            "2026-09-06T12:00:00Z",
            "2026-09-06T04:00:00Z",
            "2026-09-07T03:00:00Z",
        ),
        (
            "day",
            "America/Santiago",
            "2026-04-05T03:30:00Z",
            "2026-04-04T03:00:00Z",
            "2026-04-05T04:00:00Z",
        ),
        // Samoa left a whole day out.
        (
            "day",
            "Pacific/Apia",
            "2011-12-30T09:59:59Z",
            "2011-12-29T10:00:00Z",
            "2011-12-30T10:00:00Z",
        ),
        (
            "day",
            "Pacific/Apia",
            "2011-12-30T10:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-31T10:00:00Z",
        ),
        // A leap day.
        (
            "day",
            "UTC",
            "2028-02-29T23:59:59.999Z",
            "2028-02-29T00:00:00Z",
            "2028-03-01T00:00:00Z",
        ),
        (
            "month",
            "UTC",
            "2028-02-29T12:00:00Z",
            "2028-02-01T00:00:00Z",
            "2028-03-01T00:00:00Z",
        ),
        (
            "month",
            "UTC",
            "2026-02-28T12:00:00Z",
            "2026-02-01T00:00:00Z",
            "2026-03-01T00:00:00Z",
        ),
        (
            "month",
            "UTC",
            "2026-01-31T23:59:59.999Z",
            "2026-01-01T00:00:00Z",
            "2026-02-01T00:00:00Z",
        ),
        (
            "month",
            "UTC",
            "2026-12-31T12:00:00Z",
            "2026-12-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
        ),
        // A month in which the clocks change is an hour shorter or longer.
        (
            "month",
            "Europe/Madrid",
            "2026-03-15T12:00:00Z",
            "2026-02-28T23:00:00Z",
            "2026-03-31T22:00:00Z",
        ),
        (
            "month",
            "Europe/Madrid",
            "2026-10-15T12:00:00Z",
            "2026-09-30T22:00:00Z",
            "2026-10-31T23:00:00Z",
        ),
        // 2 March 2026 is a Monday.
        (
            "week",
            "UTC",
            "2026-03-02T00:00:00Z",
            "2026-03-02T00:00:00Z",
            "2026-03-09T00:00:00Z",
        ),
        (
            "week",
            "UTC",
            "2026-03-08T23:59:59.999Z",
            "2026-03-02T00:00:00Z",
            "2026-03-09T00:00:00Z",
        ),
        (
            "week",
            "Europe/Madrid",
            "2026-03-29T12:00:00Z",
            "2026-03-22T23:00:00Z",
            "2026-03-29T22:00:00Z",
        ),
        (
            "week from sunday",
            "UTC",
            "2026-03-07T12:00:00Z",
            "2026-03-01T00:00:00Z",
            "2026-03-08T00:00:00Z",
        ),
        (
            "hour",
            "Europe/Madrid",
            "2026-03-02T09:59:59.999Z",
            "2026-03-02T09:00:00Z",
            "2026-03-02T10:00:00Z",
        ),
        (
            "hour",
            "Asia/Kathmandu",
            "2026-03-02T09:20:00Z",
            "2026-03-02T09:15:00Z",
            "2026-03-02T10:15:00Z",
        ),
        // Two o'clock comes twice: two hours.
        (
            "hour",
            "Europe/Madrid",
            "2026-10-25T00:30:00Z",
            "2026-10-25T00:00:00Z",
            "2026-10-25T01:00:00Z",
        ),
        (
            "hour",
            "Europe/Madrid",
            "2026-10-25T01:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T02:00:00Z",
        ),
        // Half an hour forward at two o'clock: what is left of that hour.
        (
            "hour",
            "Australia/Lord_Howe",
            "2026-10-03T15:40:00Z",
            "2026-10-03T15:30:00Z",
            "2026-10-03T16:00:00Z",
        ),
    ];

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn unit(text: &str) -> (Per, Weekday) {
        let per = match text.split(' ').next() {
            Some("hour") => Per::Hour,
            Some("day") => Per::Day,
            Some("week") => Per::Week,
            _ => Per::Month,
        };
        let starts = if text.ends_with("sunday") {
            Weekday::Sunday
        } else {
            Weekday::Monday
        };
        (per, starts)
    }

    #[test]
    fn an_instant_lies_in_its_period_whatever_the_clocks_do() {
        for (text, zone, instant, start, end) in PERIODS {
            let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
            let (per, week_starts) = unit(text);
            let expected = Period {
                start: at(start),
                end: at(end),
            };
            let found = |at| period(per, week_starts, &zone, at);
            assert_eq!(found(at(instant)), expected, "{text} {zone:?} {instant}");
            // So it does at both ends, and what touches it is another one.
            assert_eq!(found(at(start)), expected, "{text} {instant}");
            assert_eq!(found(at(end) - Millis::new(1)), expected, "{text} {instant}");
            assert_eq!(found(at(end)).start, at(end), "{text} {instant}");
            assert_eq!(found(at(start) - Millis::new(1)).end, at(start), "{text} {instant}");
        }
    }

    #[test]
    fn every_instant_of_two_years_lies_in_a_period_that_follows_the_one_before() {
        for zone in [
            "Europe/Madrid",
            "America/Santiago",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "Africa/Casablanca",
        ] {
            let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
            for per in [Per::Hour, Per::Day, Per::Week, Per::Month] {
                let mut now = at("2026-01-01T00:00:00Z");
                while now < at("2028-01-01T00:00:00Z") {
                    let found = period(per, Weekday::Monday, &zone, now);
                    assert!(found.start <= now && now < found.end, "{per:?} {zone:?} {now}");
                    let next = period(per, Weekday::Monday, &zone, found.end);
                    assert_eq!(next.start, found.end, "{per:?} {zone:?} {now}");
                    now = found.end;
                }
            }
        }
    }

    #[test]
    fn what_lies_before_the_period_does_not_count_and_what_lies_ahead_counts_to_the_end_of_its_own() {
        let zone = TimeZoneDatabase::bundled().get("Europe/Madrid").unwrap();
        let calendar = Calendar::new(&zone, Weekday::Monday, at("2026-03-02T12:00:00Z"));
        for (per, instant, until) in [
            (Per::Day, "2026-03-01T22:59:59.999Z", None),
            (Per::Day, "2026-03-01T23:00:00Z", Some("2026-03-02T23:00:00Z")),
            (Per::Day, "2026-03-02T12:00:00Z", Some("2026-03-02T23:00:00Z")),
            // The clock stepped back since.
            (Per::Day, "2026-03-02T18:00:00Z", Some("2026-03-02T23:00:00Z")),
            (Per::Day, "2026-03-04T01:00:00Z", Some("2026-03-04T23:00:00Z")),
            (Per::Month, "2026-02-28T22:59:59.999Z", None),
            (Per::Month, "2026-02-28T23:00:00Z", Some("2026-03-31T22:00:00Z")),
            (Per::Month, "2024-03-02T12:00:00Z", None),
        ] {
            let found = calendar.counts_until(per, at(instant));
            assert_eq!(found, until.map(at), "{per:?} {instant}");
        }
    }

    #[test]
    fn beyond_the_calendar_there_is_one_period_without_end() {
        for per in [Per::Hour, Per::Day, Per::Week, Per::Month] {
            for at in [Timestamp::FAR_PAST, Timestamp::FAR_FUTURE] {
                assert_eq!(period(per, Weekday::Monday, &TimeZone::UTC, at), Period::ALWAYS);
            }
        }
    }
}
