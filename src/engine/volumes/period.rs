//! The window of a volume that an instant lies in, by the clock of a time zone.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use crate::catalog::VolumePer;
use crate::domain::time::{Millis, Timestamp};

/// The day on which a volume's week begins.
const WEEK_STARTS: Weekday = Weekday::Monday;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    /// Its first instant.
    pub(super) start: Timestamp,
    /// The first instant after it.
    pub(super) end: Timestamp,
}

impl Period {
    /// All of time.
    const EVER: Self = Self {
        start: Timestamp::FAR_PAST,
        end: Timestamp::FAR_FUTURE,
    };

    pub(super) fn contains(self, at: Timestamp) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// Returns the window that an instant lies in. Days begin with the first instant of their date, so they have 23 or 25 hours
/// when the clocks change; an hour that the clocks show twice is two. Where there is no calendar, it is all of time.
pub(super) fn period(per: VolumePer, zone: &TimeZone, at: Timestamp) -> Period {
    let found = match per {
        VolumePer::Ever => None,
        VolumePer::Hour => hour(zone, at),
        VolumePer::Day | VolumePer::Week | VolumePer::Month => days(per, zone, at),
    };
    found.unwrap_or(Period::EVER)
}

fn hour(zone: &TimeZone, at: Timestamp) -> Option<Period> {
    let offset = Millis::SECOND.times(i64::from(zone.to_offset(instant(at)?).seconds()));
    let into = (at + offset).as_millis().rem_euclid(Millis::HOUR.get());
    let start = at - Millis::new(into);
    Some(Period {
        start,
        end: start + Millis::HOUR,
    })
}

fn days(per: VolumePer, zone: &TimeZone, at: Timestamp) -> Option<Period> {
    let date = zone.to_datetime(instant(at)?).date();
    let (first, next) = match per {
        VolumePer::Month => (date.first_of_month(), date.last_of_month().tomorrow().ok()?),
        VolumePer::Week => {
            let before = i64::from(date.weekday().since(WEEK_STARTS));
            let first = date.checked_sub(before.days()).ok()?;
            (first, first.checked_add(7.days()).ok()?)
        }
        _ => (date, date.tomorrow().ok()?),
    };
    Some(Period {
        start: first_instant(first, zone)?,
        end: first_instant(next, zone)?,
    })
}

fn first_instant(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let midnight = zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(Timestamp::from_millis(midnight.as_millisecond()))
}

fn instant(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(at.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_clock_over_changes_of_the_time() {
        let zone = jiff::tz::db().get("Europe/Madrid").unwrap();
        let at = |text: &str| {
            let civil: jiff::civil::DateTime = text.parse().unwrap();
            Timestamp::from_millis(zone.to_timestamp(civil).unwrap().as_millisecond())
        };
        for (per, instant, start, end) in [
            (
                VolumePer::Hour,
                "2026-03-02T09:30",
                "2026-03-02T09:00",
                "2026-03-02T10:00",
            ),
            (
                VolumePer::Day,
                "2026-03-02T00:00",
                "2026-03-02T00:00",
                "2026-03-03T00:00",
            ),
            // 23 hours, and 25.
            (
                VolumePer::Day,
                "2026-03-29T12:00",
                "2026-03-29T00:00",
                "2026-03-30T00:00",
            ),
            (
                VolumePer::Day,
                "2026-10-25T12:00",
                "2026-10-25T00:00",
                "2026-10-26T00:00",
            ),
            (
                VolumePer::Week,
                "2026-03-01T23:59",
                "2026-02-23T00:00",
                "2026-03-02T00:00",
            ),
            (
                VolumePer::Month,
                "2028-02-29T23:59",
                "2028-02-01T00:00",
                "2028-03-01T00:00",
            ),
        ] {
            let (start, end) = (at(start), at(end));
            assert_eq!(
                period(per, &zone, at(instant)),
                Period { start, end },
                "{per:?} {instant}"
            );
        }
        let hours = |text: &str| {
            let day = period(VolumePer::Day, &zone, at(text));
            (day.end - day.start).get() / Millis::HOUR.get()
        };
        assert_eq!((hours("2026-03-29T12:00"), hours("2026-10-25T12:00")), (23, 25));
        assert_eq!(period(VolumePer::Ever, &zone, at("2026-03-02T09:30")), Period::EVER);
    }

    #[test]
    fn an_hour_that_the_clock_shows_twice_is_two() {
        let zone = jiff::tz::db().get("Europe/Madrid").unwrap();
        // 2026-10-25 02:30 in summer time, and an hour later again 02:30.
        let first = Timestamp::from_millis(1_792_888_200_000);
        let (one, two) = (
            period(VolumePer::Hour, &zone, first),
            period(VolumePer::Hour, &zone, first + Millis::HOUR),
        );
        assert_eq!(one.end, two.start);
        assert!(one.contains(first) && !two.contains(first));
    }
}
