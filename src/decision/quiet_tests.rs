//! Quiet hours: a table of what people expect, and a comparison with looking at the clock minute by minute.

use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;

use super::quiet::{self, Now};
use super::testing::{catalog, catalog_with, symbol};
use crate::catalog::{Catalog, Quiet};
use crate::domain::profile::Profile;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn instant(text: &str) -> Timestamp {
    let instant: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_millis(instant.as_millisecond())
}

fn said(entries: &str, zone_name: &str, now: &str) -> String {
    let catalog = catalog_with(&format!("channels: [{{id: sms, quiet: [{entries}]}}]"));
    let quiet_hours = &catalog
        .channels
        .iter()
        .find(|channel| &*channel.id == "sms")
        .unwrap()
        .quiet;
    let now = quiet::at(quiet_hours, &zone(zone_name), instant(now));
    let until = |time: Timestamp| match time {
        Timestamp::FAR_FUTURE => "ever".to_owned(),
        time => time.to_string(),
    };
    match now {
        Now {
            entry: None,
            ends_at: None,
            valid_until,
        } => format!("free until {}", until(valid_until)),
        Now {
            entry: Some(entry),
            ends_at: Some(end),
            valid_until,
        } if end == valid_until => {
            format!("quiet by {entry} until {end}")
        }
        Now {
            entry,
            ends_at,
            valid_until,
        } => {
            format!(
                "quiet by {entry:?} until {ends_at:?}, valid until {}",
                until(valid_until)
            )
        }
    }
}

const NIGHT: &str = "{from: '21:00', until: '09:00'}";
const SUNDAY: &str = "{days: [sunday]}";

/// Entries, zone, instant, and what holds. Madrid is at UTC+1, from 2026-03-29T01:00Z to 2026-10-25T01:00Z at UTC+2.
const TABLE: [(&str, &str, &str, &str); 24] = [
    ("", "Europe/Madrid", "2026-03-02T09:00:00Z", "free until ever"),
    // The night wraps midnight, to the millisecond.
    (
        NIGHT,
        "Europe/Madrid",
        "2026-03-02T19:59:59.999Z",
        "free until 2026-03-02T20:00:00Z",
    ),
    (
        NIGHT,
        "Europe/Madrid",
        "2026-03-02T20:00:00Z",
        "quiet by 0 until 2026-03-03T08:00:00Z",
    ),
    (
        NIGHT,
        "Europe/Madrid",
        "2026-03-03T07:59:59.999Z",
        "quiet by 0 until 2026-03-03T08:00:00Z",
    ),
    (
        NIGHT,
        "Europe/Madrid",
        "2026-03-03T08:00:00Z",
        "free until 2026-03-03T20:00:00Z",
    ),
    // It is the customer's clock that counts.
    (
        NIGHT,
        "Atlantic/Canary",
        "2026-03-02T20:30:00Z",
        "free until 2026-03-02T21:00:00Z",
    ),
    (
        NIGHT,
        "Asia/Tokyo",
        "2026-03-02T12:00:00Z",
        "quiet by 0 until 2026-03-03T00:00:00Z",
    ),
    // Nights before the days of 23 and of 25 hours.
    (
        NIGHT,
        "Europe/Madrid",
        "2026-03-28T20:00:00Z",
        "quiet by 0 until 2026-03-29T07:00:00Z",
    ),
    (
        NIGHT,
        "Europe/Madrid",
        "2026-10-24T19:00:00Z",
        "quiet by 0 until 2026-10-25T08:00:00Z",
    ),
    // A day of the week, from midnight to midnight; the last one has 25 hours.
    (
        SUNDAY,
        "Europe/Madrid",
        "2026-02-28T22:59:00Z",
        "free until 2026-02-28T23:00:00Z",
    ),
    (
        SUNDAY,
        "Europe/Madrid",
        "2026-02-28T23:00:00Z",
        "quiet by 0 until 2026-03-01T23:00:00Z",
    ),
    (
        SUNDAY,
        "Europe/Madrid",
        "2026-10-24T22:00:00Z",
        "quiet by 0 until 2026-10-25T23:00:00Z",
    ),
    // A night belongs to the day on which it began.
    (
        "{days: [saturday], from: '21:00', until: '09:00'}",
        "Europe/Madrid",
        "2026-03-01T07:00:00Z",
        "quiet by 0 until 2026-03-01T08:00:00Z",
    ),
    (
        "{days: [saturday], from: '21:00', until: '09:00'}",
        "Europe/Madrid",
        "2026-03-01T20:30:00Z",
        "free until 2026-03-07T20:00:00Z",
    ),
    (
        "{days: [saturday], from: '21:00', until: '09:00'}",
        "Europe/Madrid",
        "2026-02-28T07:00:00Z",
        "free until 2026-02-28T20:00:00Z",
    ),
    (
        "{dates: [2026-12-24], from: '14:00', until: '09:00'}",
        "Europe/Madrid",
        "2026-12-25T07:00:00Z",
        "quiet by 0 until 2026-12-25T08:00:00Z",
    ),
    // From a time to the day's end, and from its beginning to a time.
    (
        "{from: '22:00'}",
        "Europe/Madrid",
        "2026-03-02T22:30:00Z",
        "quiet by 0 until 2026-03-02T23:00:00Z",
    ),
    (
        "{until: '08:00'}",
        "Europe/Madrid",
        "2026-03-02T23:00:00Z",
        "quiet by 0 until 2026-03-03T07:00:00Z",
    ),
    // All that an entry gives must hold: the 6th of January 2026 is a Tuesday.
    (
        "{days: [tuesday], dates: [2026-01-06, 2026-01-07]}",
        "Europe/Madrid",
        "2026-01-06T23:30:00Z",
        "free until 2027-02-11T23:30:00Z",
    ),
    // A date that is over never holds again; looking ends after 401 days.
    (
        "{dates: [2020-01-01]}",
        "Europe/Madrid",
        "2026-03-02T09:00:00Z",
        "free until 2027-04-07T09:00:00Z",
    ),
    // Entries that follow each other: the reason changes before the quiet ends.
    (
        "{from: '21:00', until: '09:00'}, {days: [sunday]}",
        "Europe/Madrid",
        "2026-02-28T20:00:00Z",
        "quiet by Some(0) until Some(Timestamp(1772438400000)), valid until 2026-03-01T08:00:00Z",
    ),
    // No end is in sight: tomorrow there may be one.
    (
        "{days: [monday, tuesday, wednesday, thursday, friday, saturday, sunday]}",
        "Europe/Madrid",
        "2026-03-02T09:00:00Z",
        "quiet by Some(0) until None, valid until 2026-03-03T09:00:00Z",
    ),
    // An hour that is skipped is nobody's, and one that comes twice is judged the same both times.
    (
        "{from: '02:15', until: '02:45'}",
        "Europe/Madrid",
        "2026-03-29T00:30:00Z",
        "free until 2026-03-30T00:15:00Z",
    ),
    (
        "{from: '02:15', until: '02:45'}",
        "Europe/Madrid",
        "2026-10-25T00:50:00Z",
        "free until 2026-10-25T01:15:00Z",
    ),
];

#[test]
fn quiet_hours_hold_as_the_clock_on_the_wall_says() {
    let mut wrong = Vec::new();
    for (entries, zone, now, expected) in TABLE {
        let found = said(entries, zone, now);
        if found != expected {
            wrong.push(format!(
                "{entries} in {zone} at {now}: expected {expected}, found {found}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An entry as it is drawn: days by Monday first, days of March and October 2026, minutes of the day.
#[derive(Clone, Debug)]
struct Drawn {
    days: Vec<usize>,
    dates: Vec<i8>,
    from: Option<i64>,
    until: Option<i64>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let minutes = || proptest::option::of((0..48_i64).prop_map(|half| half * 30));
    let parts = (
        prop::collection::vec(0..7_usize, 0..3),
        prop::collection::vec(23..32_i8, 0..3),
        minutes(),
        minutes(),
    );
    let made = parts.prop_map(|(days, dates, from, until)| Drawn {
        days,
        dates,
        from,
        until,
    });
    made.prop_filter("an entry says when it is, and does not end when it begins", |entry| {
        let says_when =
            !entry.days.is_empty() || !entry.dates.is_empty() || entry.from.is_some() || entry.until.is_some();
        says_when && (entry.from.is_none() || entry.from != entry.until)
    })
}

fn compiled(entry: &Drawn) -> Quiet {
    let time = |minutes: Option<i64>| {
        let minutes = minutes.unwrap_or(0);
        let part = |number: i64| i8::try_from(number).unwrap();
        jiff::civil::time(part(minutes / 60), part(minutes % 60), 0, 0)
    };
    let mut days = [entry.days.is_empty(); 7];
    entry.days.iter().for_each(|&day| days[day] = true);
    let months = [3, 10]
        .into_iter()
        .flat_map(|month| entry.dates.iter().map(move |&day| (month, day)));
    let mut dates: Vec<_> = months.map(|(month, day)| jiff::civil::date(2026, month, day)).collect();
    dates.sort_unstable();
    dates.dedup();
    Quiet {
        days,
        dates,
        begin: time(entry.from),
        end: time(entry.until),
        ends_next_day: time(entry.until) <= time(entry.from),
        because: "".into(),
    }
}

/// Tells whether a drawn entry holds, by reading the clock and the calendar on the wall.
fn on_the_wall(entry: &Drawn, zone: &TimeZone, minute: i64) -> bool {
    let local = zone.to_datetime(jiff::Timestamp::from_second(minute * 60).unwrap());
    let clock = i64::from(local.hour()) * 60 + i64::from(local.minute());
    let named = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
    (0..2).any(|ago| {
        let day = local.date().checked_sub(jiff::Span::new().days(ago)).unwrap();
        let in_days = entry.days.is_empty() || entry.days.iter().any(|&at| named[at] == day.weekday());
        let in_dates = entry.dates.is_empty()
            || (day.year() == 2026 && [3, 10].contains(&day.month()) && entry.dates.contains(&day.day()));
        let (from, until) = (entry.from.unwrap_or(0), entry.until.unwrap_or(24 * 60));
        let until = if until <= from { until + 24 * 60 } else { until };
        let passed = clock + ago * 24 * 60;
        in_days && in_dates && from <= passed && passed < until
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn quiet_hours_agree_with_looking_at_the_clock_every_minute(
        entries in prop::collection::vec(drawn(), 1..4),
        zone_name in prop::sample::select(vec!["Europe/Madrid", "Atlantic/Azores", "Australia/Lord_Howe", "America/Havana", "UTC"]),
        (month, day, minute_of_day) in (prop::sample::select(vec![3_i8, 10]), 22..32_i8, 0..1_440_i64),
    ) {
        let zone = zone(zone_name);
        let midnight = TimeZone::UTC.to_timestamp(jiff::civil::date(2026, month, day).at(0, 0, 0, 0)).unwrap();
        let start = midnight.as_second() / 60 + minute_of_day;
        let quiet_hours: Vec<Quiet> = entries.iter().map(compiled).collect();
        let found = quiet::at(&quiet_hours, &zone, Timestamp::from_millis(start * 60_000));
        let holding = |minute| entries.iter().position(|entry| on_the_wall(entry, &zone, minute));
        prop_assert_eq!(found.entry, holding(start));
        // Ten days are enough to see most ends; every minute of them is looked at.
        let later = start + 1..start + 10 * 1_440;
        let changes = later.clone().find(|&minute| holding(minute) != found.entry);
        let free = later.clone().find(|&minute| holding(minute).is_none());
        let change = changes.map(|minute| Timestamp::from_millis(minute * 60_000));
        if let (Some(_), Some(minute)) = (found.entry, free) {
            prop_assert_eq!(found.ends_at, Some(Timestamp::from_millis(minute * 60_000)));
        }
        let is_sure = found.entry.is_none() || found.ends_at.is_some();
        if is_sure && let Some(change) = change {
            prop_assert_eq!(found.valid_until, change);
        } else {
            // An end that is not in sight may come into sight from the next day on: the answer may be asked for anew earlier.
            let tomorrow = Timestamp::from_millis(start * 60_000) + Millis::DAY;
            prop_assert!(found.valid_until >= change.unwrap_or(tomorrow).min(tomorrow));
            prop_assert!(change.is_none_or(|change| found.valid_until <= change));
        }
    }
}

#[test]
fn an_entry_that_takes_over_while_no_end_is_in_sight_is_told_within_the_day_on_which_it_might_come_into_sight() {
    let dated = Drawn {
        days: vec![],
        dates: vec![25],
        from: None,
        until: None,
    };
    let always = Drawn {
        days: vec![],
        dates: vec![],
        from: Some(0),
        until: None,
    };
    let quiet_hours = [compiled(&dated), compiled(&always)];
    let madrid = zone("Europe/Madrid");
    let at = |day| {
        madrid
            .to_timestamp(jiff::civil::date(2026, 3, day).at(0, 0, 0, 0))
            .unwrap()
    };
    let asked = |day| quiet::at(&quiet_hours, &madrid, Timestamp::from_millis(at(day).as_millisecond()));
    let seen = [22, 23, 24, 25, 26].map(|day| (asked(day).entry, asked(day).ends_at));
    assert_eq!(
        seen,
        [
            (Some(1), None),
            (Some(1), None),
            (Some(1), None),
            (Some(0), None),
            (Some(1), None)
        ]
    );
    for day in 22..26 {
        assert_eq!(
            asked(day).valid_until.as_millis(),
            at(day + 1).as_millisecond(),
            "on the {day}th"
        );
    }
}

fn zone_of(catalog: &Catalog, own: Option<&str>) -> String {
    let own = own.map(|zone| (symbol(catalog, "zone"), Value::Category(symbol(catalog, zone))));
    let profile = Profile {
        attributes: own.into_iter().collect(),
        ..Profile::default()
    };
    catalog.zone_of(&profile).iana_name().unwrap_or_default().to_owned()
}

#[test]
fn a_customer_lives_in_the_zone_that_the_profile_says_else_in_the_catalogs() {
    let catalog = catalog();
    assert_eq!(zone_of(&catalog, Some("Asia/Kathmandu")), "Asia/Kathmandu");
    assert_eq!(zone_of(&catalog, Some("America/New_York")), "America/New_York");
    assert_eq!(zone_of(&catalog, None), "Europe/Madrid");
    // What a profile keeps from a catalog that listed more zones.
    assert_eq!(zone_of(&catalog, Some("savings")), "Europe/Madrid");
}
