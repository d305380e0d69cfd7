//! Parts of the calendar (hour, weekday, month ...) of an instant in a time zone, and when they next change.
//!
//! Time zones come from the database that is built into the program, so a condition means the same on every machine.
//! A part is constant from one boundary of its unit to the next, or to the next change of the zone's offset if that
//! comes first; both ends of that interval are exact or, at a change of the offset, closer than exact.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::fault::suggest;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// A part of the calendar; the numbers are those of CEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    FullYear,
    Month,
    DayOfYear,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
}

impl Part {
    /// Every part with the name of its function.
    pub(super) const ALL: [(&'static str, Self); 9] = [
        ("getFullYear", Self::FullYear),
        ("getMonth", Self::Month),
        ("getDayOfYear", Self::DayOfYear),
        ("getDayOfMonth", Self::DayOfMonth),
        ("getDate", Self::Date),
        ("getDayOfWeek", Self::DayOfWeek),
        ("getHours", Self::Hours),
        ("getMinutes", Self::Minutes),
        ("getSeconds", Self::Seconds),
    ];

    /// Returns the least and the greatest number that this part can be, and how it counts.
    pub(super) const fn range(self) -> (f64, f64, &'static str) {
        match self {
            Self::FullYear => (-9999.0, 9999.0, "getFullYear gives the year"),
            Self::Month => (0.0, 11.0, "getMonth counts from 0 for January to 11 for December"),
            Self::DayOfYear => (0.0, 365.0, "getDayOfYear counts from 0"),
            Self::DayOfMonth => (0.0, 30.0, "getDayOfMonth counts from 0; getDate counts from 1"),
            Self::Date => (1.0, 31.0, "getDate counts from 1 to 31"),
            Self::DayOfWeek => (0.0, 6.0, "getDayOfWeek counts from 0 for Sunday to 6 for Saturday"),
            Self::Hours => (0.0, 23.0, "getHours counts from 0 to 23"),
            Self::Minutes => (0.0, 59.0, "getMinutes counts from 0 to 59"),
            Self::Seconds => (0.0, 59.0, "getSeconds counts from 0 to 59"),
        }
    }
}

/// A part in a zone.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    pub(super) part: Part,
    pub(super) zone: TimeZone,
}

impl Calendar {
    /// Returns the part's number at an instant in milliseconds; `None` outside the years -9999 to 9999.
    pub(super) fn value(&self, millis: i64) -> Option<f64> {
        self.local(millis)
            .map(|(local, offset)| self.unit(local, millis + offset).0)
    }

    /// Returns the part's number, and the first millisecond after the interval around the instant in which it stays.
    pub(super) fn value_until(&self, millis: i64) -> Option<(f64, i64)> {
        let (local, offset) = self.local(millis)?;
        let (value, _, end) = self.unit(local, millis + offset);
        let instant = Timestamp::from_millisecond(millis).ok()?;
        let turn = self
            .zone
            .following(instant)
            .next()
            .map(|turn| turn.timestamp().as_millisecond());
        Some((value, (end - offset).min(turn.unwrap_or(i64::MAX))))
    }

    /// Returns the part's number, and the first millisecond of the interval around the instant in which it stays.
    pub(super) fn value_since(&self, millis: i64) -> Option<(f64, i64)> {
        let (local, offset) = self.local(millis)?;
        let (value, start, _) = self.unit(local, millis + offset);
        let after = Timestamp::from_millisecond(millis + 1).ok()?;
        let turn = self
            .zone
            .preceding(after)
            .next()
            .map(|turn| turn.timestamp().as_millisecond());
        Some((value, (start - offset).max(turn.unwrap_or(i64::MIN))))
    }

    /// Returns the local date and time, and the offset from UTC in milliseconds.
    fn local(&self, millis: i64) -> Option<(jiff::civil::DateTime, i64)> {
        let offset = self.zone.to_offset(Timestamp::from_millisecond(millis).ok()?);
        let local = offset.to_datetime(Timestamp::from_millisecond(millis).ok()?);
        Some((local, i64::from(offset.seconds()) * 1_000))
    }

    /// Returns the number and the local interval, in milliseconds, in which it stays so.
    fn unit(&self, at: jiff::civil::DateTime, local: i64) -> (f64, i64, i64) {
        let every = |length: i64| {
            let start = local - local.rem_euclid(length);
            (start, start + length)
        };
        let (midnight, _) = every(DAY_MS);
        let days = |before: i64, length: i64| {
            let start = midnight - before * DAY_MS;
            (start, start + length * DAY_MS)
        };
        let date = at.date();
        let (value, (start, end)) = match self.part {
            Part::FullYear => (
                i64::from(at.year()),
                days(i64::from(date.day_of_year()) - 1, i64::from(date.days_in_year())),
            ),
            Part::Month => (
                i64::from(at.month()) - 1,
                days(i64::from(at.day()) - 1, i64::from(date.days_in_month())),
            ),
            Part::DayOfYear => (i64::from(date.day_of_year()) - 1, every(DAY_MS)),
            Part::DayOfMonth => (i64::from(at.day()) - 1, every(DAY_MS)),
            Part::Date => (i64::from(at.day()), every(DAY_MS)),
            Part::DayOfWeek => (i64::from(date.weekday().to_sunday_zero_offset()), every(DAY_MS)),
            Part::Hours => (i64::from(at.hour()), every(HOUR_MS)),
            Part::Minutes => (i64::from(at.minute()), every(MINUTE_MS)),
            Part::Seconds => (i64::from(at.second()), every(1_000)),
        };
        (value as f64, start, end)
    }
}

/// Returns the zone of an IANA name, or a hint at the right one.
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    let database = TimeZoneDatabase::bundled();
    database.get(name).map_err(|_| {
        let names: Vec<String> = database.available().map(|known| known.as_str().to_owned()).collect();
        if super::fault::nearest(name, names.iter().map(String::as_str)).is_some() {
            suggest(name, names.iter().map(String::as_str), "\"")
        } else {
            "write a name such as \"Europe/Madrid\" or \"UTC\"".to_owned()
        }
    })
}
