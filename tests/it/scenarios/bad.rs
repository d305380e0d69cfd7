//! Stories that do not hold, and what the runner says about them.

use super::shown;

/// Plays a bad story of these lines, after a first that is right, and compares what is said about it.
fn check_bad(lines: &str, expected: &[&str]) {
    let beginning = "story Bad\nat 2026-03-02 09:00\ncustomer anna: age 41, balance 12000\n";
    let found = shown("bad.txt", &format!("{beginning}{lines}"));
    assert_eq!(found.len(), expected.len(), "{lines}: {found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            found.starts_with(expected),
            "{lines}\nfound:    {found}\nexpected: {expected}"
        );
    }
}

#[test]
fn a_story_that_does_not_hold_says_where_with_what_was_expected_and_what_was_found() {
    let ask = "anna asks web for 3 best_offers";
    check_bad(
        &format!("{ask}\n  groups fund, savings\n  2. fund_x"),
        &[
            "bad.txt:5: expected `groups fund, savings`, found `groups savings, fund, travel_insurance`: `1. savings_",
            "bad.txt:6: expected `2. fund_x`, found `1. savings_easy_access (",
        ],
    );
    check_bad(
        &format!("{ask}\n  fallback"),
        &["bad.txt:5: expected `fallback`, found `1. savings_easy_access ("],
    );
    check_bad(
        &format!("{ask}\n  without group fund"),
        &["bad.txt:5: expected `without group fund`, found `1. savings"],
    );
    check_bad(
        &format!("{ask}\n  shows fund_robo"),
        &["bad.txt:5: expected `shows fund_robo`, found `1. savings"],
    );
    check_bad(
        &format!("{ask}\n  withheld loan_car: eligibility loan.of_age"),
        &[
            "bad.txt:5: expected `withheld loan_car: eligibility loan.of_age`, found `eligibility loan.resident, missing profile.country`",
        ],
    );
    check_bad(
        &format!("{ask}\n  valid until 2026-03-02 09:30\n  cached\n  not known\n  from last good score"),
        &[
            "bad.txt:5: expected `valid until 2026-03-02 09:30`, found `2026-11-01 00:00`",
            "bad.txt:6: expected `cached`, found `ranked anew`",
            "bad.txt:7: expected `not known`, found that the customer is known",
            "bad.txt:8: expected `from last good score`, found `from model`",
        ],
    );
    check_bad(
        &format!("{ask}\n  factors savings_easy_access: value 7\n  content savings_easy_access title \"x\""),
        &[
            "bad.txt:5: expected `factors savings_easy_access: value 7`, found `value 120`",
            "bad.txt:6: expected `content",
        ],
    );
    check_bad(
        "anna does search: category fund, as e-1\n  a repeat\nanna is unknown",
        &[
            "bad.txt:5: expected `a repeat`, found `recorded`",
            "bad.txt:6: expected `anna is unknown`, found Some(Profile",
        ],
    );
}

#[test]
fn a_line_that_is_not_understood_says_what_may_stand_there() {
    for (lines, expected) in [
        ("anna dances", "bad.txt:4: `anna dances`: no step begins like this"),
        ("anna asks web for 3 best_offer", "there is no placement `best_offer`"),
        ("anna asks wap for 3 best_offers", "there is no channel `wap`"),
        (
            "anna asks web for 3 best_offers\n  perhaps",
            "line 5: `perhaps` is not understood",
        ),
        ("anna does dance", "there is no event type `dance`"),
        ("anna does search: colour red", "there is no attribute `colour`"),
        (
            "anna does search: category red",
            "`category`: `red` is not an allowed value",
        ),
        ("customer anna: age old", "`age` must be a number, not `old`"),
        (
            "customer anna: age 300",
            "`age`: 300 is outside the allowed range 0 to 120",
        ),
        (
            "customer anna: digital_active maybe",
            "`digital_active` must be yes or no, not `maybe`",
        ),
        ("anna opts out of wap", "there is no channel `wap`"),
        ("anna refuses fund_robo", "no answer so far showed `fund_robo`"),
        ("anna refuses fund_x", "there is no offer `fund_x`"),
        ("after 7 days", "`7 days` is not a span of time"),
        ("at noon", "`noon` is not a time"),
        ("anna is as remembered", "nothing was remembered"),
        (
            "catalog replaces \"no such text\" with \"x\"",
            "`no such text` stands 0 times in the catalog",
        ),
        ("catalog adds\n  | caps: [{id: x}]", "the catalog has faults"),
        ("after 1d\n  recorded", "nothing can be expected of the step above"),
    ] {
        let found = shown(
            "bad.txt",
            &format!("story Bad\nat 2026-03-02 09:00\ncustomer anna: age 41\n{lines}"),
        );
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{lines}: {found:#?}"
        );
    }
    assert_eq!(
        shown("bad.txt", "anna dances"),
        ["bad.txt:1: a story begins with the line `story` and its title"]
    );
}
