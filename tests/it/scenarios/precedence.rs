//! The precedence of reasons: when several obstacles keep an offer back, which one the answer names.
//!
//! The table lists every obstacle, first the one that wins. Each pair of rows is played: both obstacles are put up, and the
//! reason must be the upper one's; then each row alone, so that every obstacle is known to be one.

use std::collections::BTreeMap;

use nbo::catalog::CatalogFiles;

use super::play_on;
use super::stage::Stage;

/// Offer `x`, which nothing keeps back; `y` of the same group is better, and exempt, so that it also comes in quiet hours; `z`
/// of another group is worse.
const CATALOG: &str = r"
catalog: {name: precedence, time_zone: Europe/Madrid}
channels: [{id: web, quiet: []}, {id: post}]
purposes: [{id: selling, consent: assumed}]
attributes:
  profile:
    - {id: group_eligible, type: boolean}
    - {id: offer_eligible, type: boolean}
    - {id: group_applicable, type: boolean}
    - {id: offer_applicable, type: boolean}
    - {id: group_suitable, type: boolean}
    - {id: offer_suitable, type: boolean}
groups:
  - id: a
    start_propensity: 0.5
    eligibility: [{id: eligible, when: profile.group_eligible}]
    applicability: [{id: applicable, when: profile.group_applicable}]
    suitability: [{id: suitable, when: profile.group_suitable}]
  - {id: b, start_propensity: 0.5}
offers:
  - id: x
    group: a
    name: X
    purpose: selling
    value: 2
    valid: {from: '2026-03-10', until: '2026-03-31'}
    eligibility: [{id: eligible, when: profile.offer_eligible}]
    applicability: [{id: applicable, when: profile.offer_applicable}]
    suitability: [{id: suitable, when: profile.offer_suitable}]
    treatments: {web: {title: X}}
  - {id: y, group: a, name: Y, value: 3, contact_policy: exempt, treatments: {web: {title: Y}}}
  - {id: z, group: b, name: Z, value: 1, treatments: {web: {title: Z}}}
placements:
  - {id: list, groups: [a, b], per_group_max: 2}
hold_outs:
  - {id: held, share: 0, groups: [a]}
caps:
  - {id: upper, at_most: 9, of: decided, within: 1d, offers: [x]}
  - {id: lower, at_most: 9, of: seen, within: 1d, offers: [x]}
";

const GROUP_FULL: &str = "catalog replaces \"per_group_max: 2\" with \"per_group_max: 1\"";
const QUIET: &str = "catalog replaces \"quiet: []\" with \"quiet: [{from: '08:00', until: '10:00'}]\"";

/// Each obstacle, by the step of a story that puts it up, and the reason that it gives; the first wins.
const TABLE: [(&str, &str); 19] = [
    ("anna opts out of everything", "suppression opt-out"),
    ("anna opts out of web", "suppression opt-out"),
    ("anna objects to selling", "suppression objected"),
    (
        "catalog replaces \"consent: assumed\" with \"consent: needed\"",
        "suppression no-consent",
    ),
    ("catalog replaces \"share: 0\" with \"share: 1\"", "suppression held"),
    (
        "at 2026-03-09 23:59",
        "suppression not-yet-valid, again at 2026-03-10 00:00",
    ),
    ("customer anna: group_eligible no", "eligibility a.eligible"),
    (
        "customer anna: offer_eligible unknown",
        "eligibility x.eligible, missing profile.offer_eligible",
    ),
    (
        "customer anna: group_applicable unknown",
        "applicability a.applicable, missing profile.group_applicable",
    ),
    ("customer anna: offer_applicable no", "applicability x.applicable"),
    ("customer anna: group_suitable no", "suitability a.suitable"),
    ("customer anna: offer_suitable no", "suitability x.suitable"),
    (
        "catalog replaces \"groups: [a, b]\" with \"groups: [b]\"",
        "placement not-for-this-placement",
    ),
    (
        "catalog replaces \"treatments: {web: {title: X}}\" with \"treatments: {post: {title: X}}\"",
        "placement no-treatment-for-channel",
    ),
    (GROUP_FULL, "placement enough-of-this-group"),
    (QUIET, "cap web.quiet, again at 2026-03-20 10:00"),
    (
        "catalog replaces \"upper, at_most: 9\" with \"upper, at_most: 0\"",
        "cap upper, 0 of 0",
    ),
    (
        "catalog replaces \"lower, at_most: 9\" with \"lower, at_most: 0\"",
        "cap lower, 0 of 0",
    ),
    (
        "catalog replaces \"name: Z, value: 1\" with \"name: Z, value: 9\"",
        "placement outranked",
    ),
];

fn check(obstacles: &[&str], reason: &str) {
    let files = CatalogFiles {
        rules: BTreeMap::from([("precedence.yaml".to_owned(), CATALOG.to_owned())]),
        ..CatalogFiles::default()
    };
    let known = [
        "group_eligible",
        "offer_eligible",
        "group_applicable",
        "offer_applicable",
        "group_suitable",
        "offer_suitable",
    ];
    let known = known.map(|attribute| format!("{attribute} yes")).join(", ");
    let story = format!(
        "story Precedence\nat 2026-03-20 09:00\ncustomer anna: {known}\n{}\nanna asks web for 2 list\n  {reason}\n",
        obstacles.join("\n"),
    );
    let problems = play_on(Stage::with(files).unwrap(), &story);
    assert!(problems.is_empty(), "{story}\n{problems:#?}");
}

#[test]
fn without_an_obstacle_the_offer_is_shown() {
    check(&[], "2. x");
}

#[test]
fn of_two_obstacles_the_answer_names_the_upper_one_of_the_table() {
    for (at, (upper, reason)) in TABLE.iter().enumerate() {
        let blamed = format!("blamed x: {reason}");
        check(&[upper], &blamed);
        for (lower, _) in &TABLE[at + 1..] {
            check(&[upper, lower], &blamed);
            check(&[lower, upper], &blamed);
        }
    }
}

#[test]
fn an_offer_whose_time_is_over_is_said_to_be_so_before_any_condition_is_asked() {
    for (lower, _) in &TABLE[6..] {
        check(&["at 2026-04-01 00:00", lower], "blamed x: suppression no-longer-valid");
    }
}
