//! When the stretch of the calendar that holds an instant began, and when it ends.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::history::{Instant, Unit, Weekday};

const HOUR_MS: i64 = 3_600_000;

/// Returns the first instant of the stretch, and the first after it. What no calendar holds lies in a stretch of its own.
pub(super) fn stretch(at: Instant, unit: Unit, week_starts: Weekday, zone: &TimeZone) -> (Instant, Instant) {
    find(at, unit, week_starts, zone).unwrap_or((at, Instant(at.0.saturating_add(1))))
}

fn find(at: Instant, unit: Unit, week_starts: Weekday, zone: &TimeZone) -> Option<(Instant, Instant)> {
    let local = Timestamp::from_millisecond(at.0).ok()?.to_zoned_datetime(zone.clone());
    let date = local.date();
    let (first, next) = match unit {
        Unit::Hour => {
            let offset = i64::from(local.offset().seconds()) * 1_000;
            let start = at.0 - (at.0 + offset).rem_euclid(HOUR_MS);
            // Where the clocks change within an hour, it begins and ends there.
            let turn = |turn: Timestamp| turn.as_millisecond();
            let before = zone.preceding(Timestamp::from_millisecond(at.0 + 1).ok()?).next();
            let after = zone.following(Timestamp::from_millisecond(at.0).ok()?).next();
            let first = before.map_or(start, |found| start.max(turn(found.timestamp())));
            let next = after.map_or(start + HOUR_MS, |found| (start + HOUR_MS).min(turn(found.timestamp())));
            return Some((Instant(first), Instant(next)));
        }
        Unit::Day => (date, date.tomorrow().ok()?),
        Unit::Week => {
            let since = date.weekday().to_monday_zero_offset() - week_starts as i8;
            let first = date.checked_sub(i64::from(since.rem_euclid(7)).days()).ok()?;
            (first, first.checked_add(7.days()).ok()?)
        }
        Unit::Month => (date.first_of_month(), date.last_of_month().tomorrow().ok()?),
    };
    Some((begins(first, zone)?, begins(next, zone)?))
}

fn begins(date: Date, zone: &TimeZone) -> Option<Instant> {
    let midnight = date.to_zoned_datetime(zone.clone()).ok()?.start_of_day().ok()?;
    Some(Instant(midnight.timestamp().as_millisecond()))
}
