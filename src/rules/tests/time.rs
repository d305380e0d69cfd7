//! When a verdict ends. Rows say the exact instant; the brute force asserts that nothing changes before it.

use super::{NOW, Shop, evaluate_at};
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;
use crate::rules::Truth::{self, False, True, Unknown};
use crate::rules::calendar::{Calendar, Part, zone};
use crate::rules::{Facts, Verdict};

fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// Asserts the outcome at `now`, the exact end of it, and that it lasts until just before that end.
#[track_caller]
fn check(source: &str, now: &str, truth: Truth, until: &str) {
    let (now, until) = (at(now), at(until));
    assert_eq!(
        evaluate_at(source, now),
        Verdict {
            truth,
            valid_until: until
        },
        "{source}"
    );
    assert_eq!(
        evaluate_at(source, until - Millis::new(1)).truth,
        truth,
        "{source} ended early"
    );
    assert_ne!(evaluate_at(source, until).truth, truth, "{source} did not end");
}

#[track_caller]
fn check_forever(source: &str, truth: Truth) {
    assert_eq!(
        evaluate_at(source, NOW),
        Verdict {
            truth,
            valid_until: Timestamp::FAR_FUTURE
        },
        "{source}"
    );
}

#[test]
fn a_comparison_with_now_ends_at_the_millisecond_at_which_it_turns() {
    let limit = "timestamp(\"2026-03-02T12:00:00Z\")";
    let (early, noon, after) = (
        "2026-03-02T09:00:00Z",
        "2026-03-02T12:00:00Z",
        "2026-03-02T12:00:00.001Z",
    );
    for (source, truth, until) in [
        (format!("now < {limit}"), True, noon),
        (format!("now <= {limit}"), True, after),
        (format!("now > {limit}"), False, after),
        (format!("now >= {limit}"), False, noon),
        (format!("now == {limit}"), False, noon),
        (format!("now != {limit}"), True, noon),
        (format!("{limit} > now"), True, noon),
        (format!("{limit} >= now"), True, after),
        (format!("{limit} < now"), False, after),
        (format!("{limit} <= now"), False, noon),
        (format!("!(now < {limit})"), False, noon),
    ] {
        check(&source, early, truth, until);
    }
    for (source, truth) in [("<=", True), (">", False), ("==", True), ("!=", False)] {
        check(&format!("now {source} {limit}"), noon, truth, after);
    }
    for (source, truth) in [
        ("<", False),
        ("<=", False),
        (">", True),
        (">=", True),
        ("==", False),
        ("!=", True),
    ] {
        let verdict = evaluate_at(&format!("now {source} {limit}"), at(after));
        assert_eq!(
            verdict,
            Verdict {
                truth,
                valid_until: Timestamp::FAR_FUTURE
            },
            "{source}"
        );
    }
}

#[test]
fn an_age_ends_when_it_reaches_the_limit() {
    // The account was opened at 2026-02-20T09:30:15.250Z.
    let now = "2026-03-02T09:30:15.250Z";
    check(
        "now - profile.opened < duration(\"30d\")",
        now,
        True,
        "2026-03-22T09:30:15.250Z",
    );
    check(
        "now - profile.opened > duration(\"720h\")",
        now,
        False,
        "2026-03-22T09:30:15.251Z",
    );
    check(
        "now - profile.opened >= duration(\"10d\")",
        "2026-02-21T00:00:00Z",
        False,
        now,
    );
    check(
        "profile.opened + duration(\"30d\") > now",
        now,
        True,
        "2026-03-22T09:30:15.250Z",
    );
    check(
        "now - duration(\"30d\") <= profile.opened",
        now,
        True,
        "2026-03-22T09:30:15.251Z",
    );
    check(
        "profile.opened - now > duration(\"-30d\")",
        now,
        True,
        "2026-03-22T09:30:15.250Z",
    );
    check_forever("now - duration(\"1h\") < now", True);
    check_forever("profile.opened < timestamp(\"2026-03-01T00:00:00Z\")", True);
    check_forever("now - profile.opened > duration(\"5d\")", True);
    check_forever("now < profile.moved", Unknown);
}

#[test]
fn a_moment_that_moves_twice_as_fast_as_now_ends_in_half_the_time() {
    let source = "now + (now - timestamp(\"2026-03-02T09:00:00Z\")) < timestamp(\"2026-03-02T12:00:00.003Z\")";
    check(source, "2026-03-02T10:00:00Z", True, "2026-03-02T10:30:00.002Z");
}

#[test]
fn a_choice_by_time_ends_when_its_test_turns() {
    let test = "now < timestamp(\"2026-03-02T12:00:00Z\")";
    let (now, noon) = ("2026-03-02T09:00:00Z", "2026-03-02T12:00:00Z");
    check(&format!("({test} ? 1 : 2) == 1"), now, True, noon);
    check(&format!("{test} ? profile.consent : profile.member"), now, True, noon);
    check(
        &format!("({test} ? profile.opened : now) < timestamp(\"2026-03-01T00:00:00Z\")"),
        now,
        True,
        noon,
    );
}

#[test]
fn a_moment_that_moves_against_now_ends_at_the_beginning_of_its_hour() {
    let source = "(profile.opened + (profile.opened - now)).getHours() == 9";
    check(source, "2026-02-20T09:30:15.250Z", True, "2026-02-20T10:00:30.501Z");
}

#[test]
fn parts_of_the_calendar_end_where_they_turn_in_their_zone() {
    let now = "2026-03-02T09:30:15.250Z";
    check("now.getHours() == 9", now, True, "2026-03-02T10:00:00Z");
    check(
        "now.getHours(\"Europe/Madrid\") == 10",
        now,
        True,
        "2026-03-02T10:00:00Z",
    );
    check(
        "now.getHours(\"Asia/Kolkata\") == 15",
        now,
        True,
        "2026-03-02T10:30:00Z",
    );
    check(
        "now.getMinutes(\"Asia/Kathmandu\") == 15",
        now,
        True,
        "2026-03-02T09:31:00Z",
    );
    check("now.getSeconds() == 15", now, True, "2026-03-02T09:30:16Z");
    check("now.getDayOfWeek() == 1", now, True, "2026-03-03T00:00:00Z");
    check(
        "now.getDayOfMonth(\"Europe/Madrid\") == 1",
        now,
        True,
        "2026-03-02T23:00:00Z",
    );
    check(
        "now.getDate(\"Europe/Madrid\") in [1, 2]",
        now,
        True,
        "2026-03-02T23:00:00Z",
    );
    check("now.getMonth() == 2", now, True, "2026-04-01T00:00:00Z");
    check("now.getFullYear() == 2026", now, True, "2027-01-01T00:00:00Z");
    check("now.getDayOfYear() == 60", now, True, "2026-03-03T00:00:00Z");
    check_forever("profile.opened.getMonth() == 1", True);
    // The birthday test: the month of the account's opening, this year.
    check(
        "profile.opened.getMonth() == now.getMonth()",
        "2026-02-20T09:30:00Z",
        True,
        "2026-03-01T00:00:00Z",
    );
}

#[test]
fn a_change_of_the_clock_ends_every_part_of_the_calendar_to_be_safe() {
    let source = "now.getMonth(\"Europe/Madrid\") == 2";
    let verdict = evaluate_at(source, at("2026-03-02T09:30:00Z"));
    assert_eq!(
        verdict,
        Verdict {
            truth: True,
            valid_until: at("2026-03-29T01:00:00Z")
        }
    );
    check(source, "2026-03-29T01:00:00Z", True, "2026-03-31T22:00:00Z");
}

#[test]
fn every_part_stays_the_same_over_the_interval_it_states() {
    let zones = [
        "UTC",
        "Europe/Madrid",
        "America/St_Johns",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
    ];
    let starts = [
        "2011-12-29T00:00:00Z",
        "2026-03-28T20:17:00Z",
        "2026-10-24T20:17:00Z",
        "1969-12-31T22:00:00Z",
    ];
    let quarter = 15 * 60_000 + 1;
    for (name, part) in Part::ALL {
        for zone_name in zones {
            let calendar = Calendar {
                part,
                zone: zone(zone_name).unwrap(),
            };
            for start in starts {
                let mut at = at(start).as_millis();
                for _ in 0..24 {
                    let context = format!("{name} in {zone_name} at {}", Timestamp::from_millis(at));
                    let (value, start) = calendar.value_since(at).unwrap();
                    let (same, end) = calendar.value_until(at).unwrap();
                    assert!(start <= at && at < end && same.total_cmp(&value).is_eq(), "{context}");
                    for step in 0..200 {
                        let inside = start + (end - start) / 200 * step;
                        assert_eq!(calendar.value(inside), Some(value), "{context}");
                    }
                    assert_eq!(calendar.value(at), Some(value), "{context}");
                    assert_eq!(calendar.value(end - 1), Some(value), "{context}");
                    at = end.min(at + quarter);
                }
            }
        }
    }
}

#[test]
fn one_false_part_alone_keeps_a_conjunction_false() {
    // The first part stays false for a day; that the second turns in an hour does not matter.
    let source = "now.getDayOfWeek() == 5 && now.getHours() == 9";
    let verdict = evaluate_at(source, at("2026-03-02T09:30:00Z"));
    assert_eq!(
        verdict,
        Verdict {
            truth: False,
            valid_until: at("2026-03-03T00:00:00Z")
        }
    );
    let verdict = evaluate_at("now.getHours() == 9 || profile.consent", at("2026-03-02T09:30:00Z"));
    assert_eq!(
        verdict,
        Verdict {
            truth: True,
            valid_until: at("2026-03-02T10:00:00Z")
        }
    );
    let verdict = evaluate_at("now.getHours() == 10 || profile.consent", at("2026-03-02T09:30:00Z"));
    assert_eq!(
        verdict,
        Verdict {
            truth: True,
            valid_until: Timestamp::FAR_FUTURE
        }
    );
}

#[test]
fn the_edges_of_time_give_no_panic_and_no_late_end() {
    let shop = Shop::new();
    for source in [
        "now > profile.opened",
        "now - profile.opened > duration(\"1d\")",
        "profile.opened - now + (profile.opened - now) < duration(\"-1d\")",
        "now.getHours(\"Europe/Madrid\") == 3",
        "(profile.opened + (profile.opened - now)).getHours() == 3",
    ] {
        let condition = shop.compile(source).unwrap();
        let edges = [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX];
        for (now, opened) in edges.into_iter().flat_map(|now| edges.map(|opened| (now, opened))) {
            let mut profile = super::profile();
            profile[5] = Value::Time(Timestamp::from_millis(opened));
            let facts = Facts {
                profile: &profile,
                now: Timestamp::from_millis(now),
                ..Facts::default()
            };
            let verdict = condition.evaluate(&facts);
            assert!(verdict.valid_until > facts.now || now == i64::MAX, "{source} at {now}");
            if now < i64::MAX && verdict.valid_until.as_millis() > now + 1 {
                let next = Facts {
                    now: Timestamp::from_millis(now + 1),
                    ..facts
                };
                assert_eq!(condition.evaluate(&next).truth, verdict.truth, "{source} at {now}");
            }
        }
    }
}
