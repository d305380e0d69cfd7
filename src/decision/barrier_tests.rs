//! Consent and hold-outs: what they stop, for whom, and that nothing else moves anybody.

use std::collections::BTreeSet;

use super::barrier::Barrier;
use super::testing::{catalog_with, symbol};
use super::{fold, hold_out};
use crate::catalog::Catalog;
use crate::domain::entry::{ConsentChange, Entry, ProfileChange};
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;

const PURPOSES: &str = "
channels: [{id: sms}]
purposes: [{id: marketing, consent: assumed}, {id: profiling, consent: needed}]
groups: [{id: g, start_propensity: 0.5, purpose: marketing}]
offers:
  - {id: of_group, group: g, name: A, treatments: {web: {t: x}}}
  - {id: of_own, group: g, name: B, purpose: profiling, treatments: {web: {t: x}}}
";

/// Answers in the order given: purpose, channel or nothing for all, and the answer or nothing to take one back.
type Answers<'a> = &'a [(&'a str, Option<&'a str>, Option<bool>)];

fn answered(catalog: &Catalog, answers: Answers<'_>) -> Profile {
    let mut profile = Profile::default();
    for &(purpose, channel, granted) in answers {
        let consents = vec![ConsentChange {
            purpose: symbol(catalog, purpose),
            channel: channel.map(|channel| symbol(catalog, channel)),
            granted,
        }];
        let change = ProfileChange {
            consents,
            ..ProfileChange::default()
        };
        fold::apply(&mut profile, &Entry::Profile(change), catalog);
    }
    profile
}

fn position(catalog: &Catalog, offer: &str) -> usize {
    catalog.offers.iter().position(|each| &*each.id == offer).unwrap()
}

fn rules(catalog: &Catalog, profile: &Profile, hold_outs: &[usize], channel: &str, offer: &str) -> Vec<String> {
    let barrier = Barrier {
        suppressed: None,
        catalog,
        profile,
        channel: symbol(catalog, channel),
        hold_outs,
    };
    let offer = position(catalog, offer);
    let rules: Vec<String> = barrier.reasons(offer).map(|reason| reason.rule.to_string()).collect();
    assert_eq!(barrier.stops(offer), !rules.is_empty());
    rules
}

#[test]
fn the_answer_for_the_channel_wins_and_without_one_the_purpose_says_what_holds() {
    let catalog = catalog_with(PURPOSES);
    let (yes, no) = (Some(true), Some(false));
    let rows: [(Answers<'_>, &str, &str, &[&str]); 13] = [
        // Nobody was asked.
        (&[], "web", "of_group", &[]),
        (&[], "web", "of_own", &["no-consent"]),
        (&[], "web", "savings_a", &[]),
        // One answer for all channels.
        (&[("marketing", None, no)], "web", "of_group", &["objected"]),
        (&[("marketing", None, no)], "web", "of_own", &["no-consent"]),
        (&[("marketing", None, no)], "web", "savings_a", &[]),
        (&[("profiling", None, yes)], "web", "of_own", &[]),
        // The channel's own answer stands above it, whatever came first.
        (
            &[("marketing", None, no), ("marketing", Some("sms"), yes)],
            "sms",
            "of_group",
            &[],
        ),
        (
            &[("marketing", Some("sms"), yes), ("marketing", None, no)],
            "sms",
            "of_group",
            &[],
        ),
        (
            &[("marketing", Some("sms"), yes), ("marketing", None, no)],
            "web",
            "of_group",
            &["objected"],
        ),
        (
            &[("profiling", Some("web"), no), ("profiling", None, yes)],
            "web",
            "of_own",
            &["objected"],
        ),
        // An answer that was taken back is none.
        (
            &[("marketing", None, no), ("marketing", None, None)],
            "web",
            "of_group",
            &[],
        ),
        (
            &[("profiling", None, yes), ("profiling", None, None)],
            "web",
            "of_own",
            &["no-consent"],
        ),
    ];
    for (answers, channel, offer, expected) in rows {
        let profile = answered(&catalog, answers);
        let found = rules(&catalog, &profile, &[], channel, offer);
        assert_eq!(found, expected, "{answers:?}: {offer} on {channel}");
    }
}

#[test]
fn an_answer_that_says_what_is_already_so_changes_nothing() {
    let catalog = catalog_with(PURPOSES);
    let once = answered(&catalog, &[("marketing", None, Some(false))]);
    let twice = answered(
        &catalog,
        &[("marketing", None, Some(false)), ("marketing", None, Some(false))],
    );
    assert_eq!((once.version, &once), (1, &twice));
    let none = answered(&catalog, &[("marketing", None, None)]);
    assert_eq!(none, Profile::default());
    let back = answered(
        &catalog,
        &[("marketing", Some("sms"), Some(true)), ("marketing", Some("sms"), None)],
    );
    assert_eq!((back.version, back.consents.len()), (2, 0));
}

const HELD: &str = "
groups: [{id: g, start_propensity: 0.5}]
offers:
  - {id: plain, group: g, name: A, treatments: {web: {t: x}}}
  - {id: placebo, group: g, name: B, treatments: {web: {t: x}}, control: {t: y}}
hold_outs:
  - {id: all, share: 1}
  - {id: control, share: 1, gets: control}
  - {id: funds, share: 1, groups: [fund]}
";

#[test]
fn a_hold_out_stops_what_it_is_about_unless_there_is_control_content_to_show() {
    let catalog = catalog_with(HELD);
    let profile = Profile::default();
    let rows: [(&[usize], &str, &[&str], bool); 9] = [
        (&[], "plain", &[], false),
        (&[0], "plain", &["all"], true),
        (&[0], "placebo", &["all"], true),
        (&[1], "plain", &["control"], true),
        (&[1], "placebo", &[], true),
        (&[2], "plain", &[], false),
        (&[2], "fund_a", &["funds"], true),
        (&[0, 2], "fund_a", &["all", "funds"], true),
        // Who gets nothing gets no control content either.
        (&[0, 1], "placebo", &["all"], true),
    ];
    for (hold_outs, offer, expected, is_held) in rows {
        assert_eq!(
            rules(&catalog, &profile, hold_outs, "web", offer),
            expected,
            "{hold_outs:?}: {offer}"
        );
        let barrier = Barrier {
            suppressed: None,
            catalog: &catalog,
            profile: &profile,
            channel: symbol(&catalog, "web"),
            hold_outs,
        };
        assert_eq!(
            barrier.shows_control(position(&catalog, offer)),
            is_held,
            "{hold_outs:?}: {offer}"
        );
    }
}

const CUSTOMERS: usize = 100_000;

fn keys() -> Vec<CustomerKey> {
    (0..CUSTOMERS)
        .map(|number| CustomerId::known(&format!("c-{number}")).unwrap().key())
        .collect()
}

/// Returns the numbers of the customers in the hold-out of this name.
fn members(catalog: &Catalog, name: &str, keys: &[CustomerKey]) -> BTreeSet<usize> {
    let at = catalog
        .hold_outs
        .iter()
        .position(|hold_out| &*hold_out.id == name)
        .unwrap();
    let held = keys
        .iter()
        .enumerate()
        .filter(|(_, key)| hold_out::of(catalog, Some(**key)).contains(&at));
    held.map(|(number, _)| number).collect()
}

/// The square of how many standard deviations a count lies from what is expected of so many draws.
fn surprise(count: usize, expected: f64) -> f64 {
    (count as f64 - expected).powi(2) / expected
}

#[test]
fn shares_are_right_and_two_hold_outs_are_drawn_independently_of_each_other() {
    let catalog = catalog_with(
        "hold_outs: [{id: a, share: 0.05}, {id: b, share: 0.2}, {id: c, share: 0.2, salt: again}, {id: none, share: 0}, {id: every, share: 1}]",
    );
    let keys = keys();
    let [a, b, c] = ["a", "b", "c"].map(|name| members(&catalog, name, &keys));
    assert_eq!(members(&catalog, "none", &keys).len(), 0);
    assert_eq!(members(&catalog, "every", &keys).len(), CUSTOMERS);
    for (one, one_share, other, other_share) in [(&a, 0.05, &b, 0.2), (&b, 0.2, &c, 0.2), (&a, 0.05, &c, 0.2)] {
        let both = one.intersection(other).count();
        let cells = [
            (both, one_share * other_share),
            (one.len() - both, one_share * (1.0 - other_share)),
            (other.len() - both, (1.0 - one_share) * other_share),
            (
                CUSTOMERS + both - one.len() - other.len(),
                (1.0 - one_share) * (1.0 - other_share),
            ),
        ];
        let chi_square: f64 = cells
            .iter()
            .map(|&(count, share)| surprise(count, share * CUSTOMERS as f64))
            .sum();
        // Three degrees of freedom: chance exceeds 16.3 once in a thousand times.
        assert!(chi_square < 16.3, "{chi_square}: {cells:?}");
    }
}

#[test]
fn other_hold_outs_and_customers_move_nobody_and_a_larger_share_loses_nobody() {
    let keys = keys();
    let alone = catalog_with("hold_outs: [{id: a, share: 0.05}]");
    let among = catalog_with(
        "hold_outs: [{id: z, share: 0.5}, {id: a, share: 0.05, groups: [fund], gets: control}, {id: b, share: 0.05}]",
    );
    let before = members(&alone, "a", &keys);
    assert_eq!(members(&among, "a", &keys), before);
    let fewer = members(&alone, "a", &keys[..CUSTOMERS / 2]);
    assert_eq!(
        fewer,
        before
            .iter()
            .copied()
            .filter(|&number| number < CUSTOMERS / 2)
            .collect()
    );
    let larger = catalog_with("hold_outs: [{id: a, share: 0.1}]");
    assert!(members(&larger, "a", &keys).is_superset(&before));
    for changed in [
        "hold_outs: [{id: a, share: 0.05, salt: s}]",
        "hold_outs: [{id: a2, share: 0.05}]",
    ] {
        let other = if changed.contains("a2") { "a2" } else { "a" };
        let drawn = members(&catalog_with(changed), other, &keys);
        let both = drawn.intersection(&before).count();
        assert!(
            both < before.len() / 10,
            "{changed}: {both} of {} are the same",
            before.len()
        );
    }
}
