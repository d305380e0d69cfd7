//! Outcomes, row by row.

use super::Truth::{False, True, Unknown};
use super::testing::check;

#[test]
fn an_unknown_operand_is_decided_only_by_the_other_one() {
    let operands = [("true", True), ("false", False), ("profile.member", Unknown)];
    for (left, a) in operands {
        let negated = match a {
            True => False,
            False => True,
            Unknown => Unknown,
        };
        check(&format!("!{left}"), negated);
        for (right, b) in operands {
            let and = match (a, b) {
                (False, _) | (_, False) => False,
                (True, True) => True,
                _ => Unknown,
            };
            let or = match (a, b) {
                (True, _) | (_, True) => True,
                (False, False) => False,
                _ => Unknown,
            };
            check(&format!("{left} && {right}"), and);
            check(&format!("{left} || {right}"), or);
        }
    }
}

#[test]
fn every_operator_does_what_its_sign_says() {
    for (source, truth) in [
        ("profile.age == 30", True),
        ("profile.age != 30", False),
        ("profile.age < 30", False),
        ("profile.age <= 30", True),
        ("profile.age > 29.5", True),
        ("profile.age >= 31u", False),
        ("29 < profile.age", True),
        ("30 < profile.age", False),
        ("profile.age + 1 == 31", True),
        ("profile.age - 1 == 29", True),
        ("profile.age * 2 == 60", True),
        ("profile.age / 4 == 7.5", True),
        ("profile.age % 7 == 2", True),
        ("-profile.age == -30", True),
        ("profile.age in [29, 30]", True),
        ("profile.age in [29, -30]", False),
        ("profile.segment == \"silver\"", True),
        ("\"gold\" != profile.segment", True),
        ("profile.segment in [\"gold\", \"basic\"]", False),
        ("profile.segment in [\"gold\", 'silver']", True),
        ("profile.favourite == offer.group", True),
        ("profile.segment == offer.tier", False),
        ("\"fund\" in profile.holdings", True),
        ("\"travel\" in profile.holdings", False),
        ("offer.group in profile.holdings", True),
        ("size(profile.holdings) == 2", True),
        ("profile.holdings.size() > 2", False),
        ("profile.consent", True),
        ("profile.consent == false", False),
        ("profile.consent != (profile.age > 40)", True),
        ("profile.age > 40 ? profile.member : profile.consent", True),
        ("(profile.age > 40 ? 1 : 2) == 2", True),
        ("intent[\"travel-insurance\"] > intent.fund", True),
        ("context.channel == \"web\"", True),
    ] {
        check(source, truth);
    }
}

#[test]
fn a_missing_attribute_makes_its_comparison_unknown_and_has_tells_it_apart() {
    for (source, truth) in [
        ("profile.member", Unknown),
        ("offer.rate > 1", Unknown),
        ("offer.rate != 1", Unknown),
        ("offer.rate in [1, 2]", Unknown),
        ("now > profile.moved", Unknown),
        ("has(offer.rate)", False),
        ("has(profile.age)", True),
        ("has(offer.rate) && offer.rate > 1", False),
        ("!has(offer.rate) || offer.rate > 1", True),
        ("profile.member ? true : true", Unknown),
        ("1 / profile.balance > 0", Unknown),
        ("profile.age % profile.balance == 0", Unknown),
    ] {
        check(source, truth);
    }
}
