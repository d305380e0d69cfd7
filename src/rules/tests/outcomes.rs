//! Outcomes, row by row.

use super::Truth::{False, True, Unknown};
use super::{NOW, Shop, check};
use crate::domain::value::Value;
use crate::rules::{Facts, Space};

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

/// Asserts which variable is named as the reason why `source` is unknown.
#[track_caller]
fn check_missing(source: &str, reason: Option<(Space, u16)>) {
    let (profile, offer) = (super::profile(), super::offer());
    let facts = Facts {
        profile: &profile,
        offer: &offer,
        now: NOW,
        ..Facts::default()
    };
    assert_eq!(Shop::new().compile(source).unwrap().missing(&facts), reason, "{source}");
}

#[test]
fn an_unknown_outcome_names_the_first_variable_that_it_lacked() {
    let (moved, member, rate) = (
        Some((Space::Profile, 7)),
        Some((Space::Profile, 8)),
        Some((Space::Offer, 2)),
    );
    for (source, reason) in [
        ("profile.consent", None),
        ("profile.member", member),
        ("!profile.member", member),
        ("profile.member || profile.consent", None),
        ("profile.consent && offer.rate > 1 && profile.member", rate),
        ("profile.consent == profile.member", member),
        ("has(profile.member)", None),
        ("profile.consent ? profile.member : offer.rate > 1", member),
        ("!profile.consent ? profile.member : offer.rate > 1", rate),
        ("profile.member ? true : offer.rate > 1", member),
        ("(has(profile.member) ? 1 : offer.rate) > 1", rate),
        ("(profile.consent ? offer.rate : 1) > 1", rate),
        ("offer.rate in [1]", rate),
        ("-offer.rate > profile.age", rate),
        ("profile.age + offer.rate > 1", rate),
        ("now - profile.moved > duration(\"1d\")", moved),
        ("(profile.consent ? profile.moved : now) > profile.opened", moved),
        ("profile.moved.getMonth() == 1", moved),
        ("context.channel == \"web\"", Some((Space::Context, 0))),
        ("1 / profile.balance > 1", None),
    ] {
        check_missing(source, reason);
    }
}

#[test]
fn a_value_of_another_kind_counts_as_missing() {
    let wrong = [
        Value::Boolean(true),
        Value::Number(f64::NAN),
        Value::Number(1.0),
        Value::Missing,
    ];
    for (source, index) in [
        ("profile.age > 1", 0),
        ("profile.balance > 1", 1),
        ("profile.segment == \"gold\"", 2),
        ("profile.segment in [\"gold\", \"basic\"]", 2),
        ("\"fund\" in profile.holdings", 3),
    ] {
        let shop = Shop::new();
        let facts = Facts {
            profile: &wrong,
            ..Facts::default()
        };
        let condition = shop.compile(source).unwrap();
        assert_eq!(condition.evaluate(&facts).truth, Unknown, "{source}");
        assert_eq!(condition.missing(&facts), Some((Space::Profile, index)), "{source}");
        let name = source
            .split(['.', ' '])
            .nth(if source.starts_with('"') { 3 } else { 1 })
            .unwrap();
        let present = shop.compile(&format!("has(profile.{name})")).unwrap();
        assert_eq!(present.evaluate(&facts).truth, False, "{source}");
    }
}

#[test]
fn a_condition_says_what_it_reads() {
    let shop = Shop::new();
    let condition = shop
        .compile("offer.rate > profile.age && has(profile.age) && now > profile.opened")
        .unwrap();
    assert_eq!(
        condition.reads(),
        [(Space::Profile, 0), (Space::Profile, 5), (Space::Offer, 2)]
    );
    assert!(condition.reads_space(Space::Offer) && !condition.reads_space(Space::Context));
    assert!(condition.reads_now());
    assert!(condition.source().starts_with("offer.rate"));
    let folded = shop.compile("true || offer.rate > 1 && now > profile.opened").unwrap();
    assert!(folded.reads().is_empty() && !folded.reads_now());
}

#[test]
fn the_first_part_that_does_not_hold_is_told_as_it_is_written() {
    let part = |source: &str| {
        let (profile, offer) = (super::profile(), super::offer());
        let facts = Facts {
            profile: &profile,
            offer: &offer,
            now: NOW,
            ..Facts::default()
        };
        let condition = Shop::new().compile(source).unwrap();
        condition.failing_part(&facts).map(|(part, _)| part.to_owned())
    };
    let told = |source: &str, expected: &str| assert_eq!(part(source).as_deref(), Some(expected), "{source}");
    told(
        "profile.consent && profile.age>40 && !profile.consent",
        "profile.age>40",
    );
    told(
        "profile.age > 20 && (profile.consent && profile.member)",
        "profile.member",
    );
    told("true && profile.age > 20 && profile.moved < now", "profile.moved < now");
    told(
        "profile.consent && (profile.age > 40 || profile.member)",
        "profile.age > 40 || profile.member",
    );
    told(
        "profile.age > 20 && !(profile.consent || (profile.age > 40) ) && profile.member",
        "!(profile.consent || (profile.age > 40) )",
    );
    assert_eq!(part("profile.age > 40"), None, "it is the whole condition");
    assert_eq!(part("profile.age > 20 && profile.consent"), None, "both hold");
    let inner = "profile.consent && (true ? profile.age > 20 && profile.age > 40 : profile.member)";
    assert_eq!(part(inner), None, "what is tested is not what is written");
}
