//! Caps, each row a story: the cap, the contacts, and what happens to the next one.

use super::policy::{Asked, Candidate, Choices, Ledger, Limit, Reached, oldest_unneeded};
use super::testing::{T0, catalog_with, contact, symbol};
use crate::catalog::Catalog;
use crate::domain::contact::{Contact, Counted};
use crate::domain::profile::Profile;
use crate::domain::time::{Millis, Timestamp};

const HOUR: Millis = Millis::HOUR;
const DAY: Millis = Millis::DAY;
const SOON: Millis = Millis::MINUTE;

/// Asks for `offer` on the web, at the top, at [`T0`].
fn ask(catalog: &Catalog, contacts: &[Contact], offer: &str) -> Option<Reached> {
    ask_at(catalog, contacts, offer, T0)
}

fn ask_at(catalog: &Catalog, contacts: &[Contact], offer: &str, now: Timestamp) -> Option<Reached> {
    let candidate = Candidate {
        offer: catalog.offer_positions.get(symbol(catalog, offer)).unwrap(),
        placement: symbol(catalog, "top"),
    };
    let asked = Asked {
        channel: symbol(catalog, "web"),
        campaign: None,
    };
    Ledger::new(catalog, &with(contacts), asked, Choices::NONE, now)
        .reached(&[], candidate)
        .next()
}

fn with(contacts: &[Contact]) -> Profile {
    Profile {
        contacts: contacts.to_vec(),
        ..Profile::default()
    }
}

/// Offer, channel, how long before [`T0`], and the reports with theirs.
type Row<'a> = (&'a str, &'a str, Millis, &'a [(Counted, Millis)]);

fn check(cap: &str, contacts: &[Row<'_>], offer: &str, expected: Option<(u32, Option<Millis>)>) {
    let catalog = catalog_with(&format!("caps: [{{ id: cap, {cap} }}]"));
    let contacts: Vec<_> = contacts
        .iter()
        .map(|(offer, channel, ago, reports)| contact(&catalog, offer, channel, *ago, reports))
        .collect();
    let reached = ask(&catalog, &contacts, offer).map(|reached| (reached.count, reached.eligible_again_at));
    assert_eq!(
        reached,
        expected.map(|(count, again)| (count, again.map(|span| T0 + span))),
        "{cap}"
    );
    if let Some((_, Some(again))) = reached.map(|(count, again)| (count, again.map(|at| at - T0))) {
        assert!(
            ask_at(&catalog, &contacts, offer, T0 + again).is_none(),
            "{cap}: not free at the instant it named"
        );
        assert!(
            ask_at(&catalog, &contacts, offer, T0 + again - Millis::new(1)).is_some(),
            "{cap}: free too early"
        );
    }
}

#[test]
fn a_rolling_window_frees_room_exactly_its_length_after_the_contact() {
    let one = "at_most: 1, of: decided, within: 1d";
    check(one, &[], "savings_a", None);
    check(
        one,
        &[("savings_a", "web", HOUR, &[])],
        "savings_a",
        Some((1, Some(Millis::new(23 * 3_600_000)))),
    );
    check(
        one,
        &[("savings_a", "web", Millis::new(86_400_000 - 1), &[])],
        "savings_a",
        Some((1, Some(Millis::new(1)))),
    );
    check(one, &[("savings_a", "web", DAY, &[])], "savings_a", None);
}

#[test]
fn the_oldest_of_several_contacts_frees_the_room() {
    let contacts: &[_] = &[
        ("savings_a", "web", HOUR.times(5), &[][..]),
        ("savings_b", "web", HOUR, &[]),
    ];
    check(
        "at_most: 2, of: decided, within: 1d",
        contacts,
        "savings_a",
        Some((2, Some(HOUR.times(19)))),
    );
    check(
        "at_most: 1, of: decided, within: 1d",
        contacts,
        "savings_a",
        Some((2, Some(HOUR.times(23)))),
    );
    check("at_most: 3, of: decided, within: 1d", contacts, "savings_a", None);
}

#[test]
fn zero_is_never_and_no_cap_is_no_limit() {
    check("at_most: 0, of: decided, within: 1d", &[], "savings_a", Some((0, None)));
    check(
        "at_most: 0, of: decided, within: 1d, groups: [fund]",
        &[],
        "savings_a",
        None,
    );
}

#[test]
fn ever_is_for_good() {
    check(
        "at_most: 1, of: accepted, within: ever",
        &[("fund_a", "web", DAY.times(500), &[(Counted::Accepted, DAY)])],
        "fund_a",
        Some((1, None)),
    );
    check(
        "at_most: 1, of: accepted, within: ever",
        &[("fund_a", "web", DAY.times(500), &[])],
        "fund_a",
        None,
    );
}

#[test]
fn each_offer_or_group_has_its_own_count_when_said() {
    let contacts: &[_] = &[("savings_a", "web", HOUR, &[][..])];
    check(
        "at_most: 1, of: decided, within: 1d, each: offer",
        contacts,
        "savings_b",
        None,
    );
    check(
        "at_most: 1, of: decided, within: 1d, each: offer",
        contacts,
        "savings_a",
        Some((1, Some(HOUR.times(23)))),
    );
    check(
        "at_most: 1, of: decided, within: 1d, each: group",
        contacts,
        "savings_b",
        Some((1, Some(HOUR.times(23)))),
    );
    check(
        "at_most: 1, of: decided, within: 1d, each: group",
        contacts,
        "fund_a",
        None,
    );
}

#[test]
fn scopes_narrow_what_counts_and_what_is_stopped() {
    let on_mail: &[_] = &[("savings_a", "mail", HOUR, &[][..])];
    check(
        "at_most: 1, of: decided, within: 1d, channels: [web]",
        on_mail,
        "savings_a",
        None,
    );
    check(
        "at_most: 1, of: decided, within: 1d, channels: [mail]",
        on_mail,
        "savings_a",
        None,
    );
    check(
        "at_most: 1, of: decided, within: 1d, channels: [web, mail]",
        on_mail,
        "savings_a",
        Some((1, Some(HOUR.times(23)))),
    );
    check(
        "at_most: 1, of: decided, within: 1d, placements: [side]",
        on_mail,
        "savings_a",
        None,
    );
    check(
        "at_most: 1, of: decided, within: 1d, labels: [risky]",
        &[("savings_a", "web", HOUR, &[])],
        "fund_a",
        None,
    );
    check(
        "at_most: 1, of: decided, within: 1d, labels: [risky]",
        &[("fund_a", "web", HOUR, &[])],
        "fund_a",
        Some((1, Some(HOUR.times(23)))),
    );
}

#[test]
fn an_unconfirmed_decision_counts_as_seen_until_its_channels_reservation_is_over() {
    let seen = "at_most: 1, of: seen, within: 7d";
    check(
        seen,
        &[("savings_a", "web", SOON, &[])],
        "savings_a",
        Some((1, Some(Millis::MINUTE.times(29)))),
    );
    check(
        seen,
        &[("savings_a", "web", Millis::MINUTE.times(30), &[])],
        "savings_a",
        None,
    );
    check(
        seen,
        &[("savings_a", "mail", DAY, &[])],
        "savings_a",
        Some((1, Some(DAY))),
    );
}

#[test]
fn a_reservation_outlives_a_window_that_is_shorter() {
    let delivered = "at_most: 1, of: delivered, within: 1d";
    check(
        delivered,
        &[("savings_a", "mail", HOUR.times(25), &[])],
        "savings_a",
        Some((1, Some(HOUR.times(23)))),
    );
}

#[test]
fn a_confirmed_contact_counts_from_its_report() {
    let seen = "at_most: 1, of: seen, within: 7d";
    check(
        seen,
        &[("savings_a", "web", DAY, &[(Counted::Seen, HOUR)])],
        "savings_a",
        Some((1, Some(HOUR.times(7 * 24 - 1)))),
    );
}

#[test]
fn a_click_says_that_it_was_seen_and_delivered() {
    for of in ["seen", "delivered"] {
        let cap = format!("at_most: 1, of: {of}, within: 2h");
        check(
            &cap,
            &[("savings_a", "web", DAY, &[(Counted::Clicked, HOUR)])],
            "savings_a",
            Some((1, Some(HOUR))),
        );
    }
    check(
        "at_most: 1, of: clicked, within: 2h",
        &[("savings_a", "web", DAY, &[(Counted::Seen, HOUR)])],
        "savings_a",
        None,
    );
}

#[test]
fn the_customers_own_acts_count_only_when_reported() {
    for of in ["clicked", "accepted", "refused", "converted"] {
        check(
            &format!("at_most: 1, of: {of}, within: 7d"),
            &[("savings_a", "web", SOON, &[])],
            "savings_a",
            None,
        );
    }
}

#[test]
fn several_caps_must_all_hold_and_the_first_in_the_catalog_is_named() {
    let catalog = catalog_with(
        "caps: [{ id: wide, at_most: 2, of: decided, within: 1d }, { id: narrow, at_most: 1, of: decided, within: 1h, each: offer }]",
    );
    let one = [contact(&catalog, "savings_a", "web", SOON, &[])];
    assert_eq!(
        ask(&catalog, &one, "savings_a").map(|reached| reached.limit),
        Some(Limit::Cap(1))
    );
    assert_eq!(ask(&catalog, &one, "savings_b"), None);
    let two = [one[0], contact(&catalog, "savings_b", "web", SOON, &[])];
    assert_eq!(
        ask(&catalog, &two, "fund_a").map(|reached| reached.limit),
        Some(Limit::Cap(0))
    );
}

#[test]
fn every_cap_without_room_is_named_with_its_own_end() {
    let catalog = catalog_with(
        "caps: [{ id: short, at_most: 1, of: decided, within: 1h }, { id: wide, at_most: 2, of: decided, within: 1d }, { id: long, at_most: 1, of: decided, within: 4d }]",
    );
    let one = [contact(&catalog, "savings_a", "web", SOON, &[])];
    let profile = with(&one);
    let asked = Asked {
        channel: symbol(&catalog, "web"),
        campaign: None,
    };
    let candidate = Candidate {
        offer: 0,
        placement: symbol(&catalog, "top"),
    };
    let reached: Vec<_> = Ledger::new(&catalog, &profile, asked, Choices::NONE, T0)
        .reached(&[], candidate)
        .map(|reached| (reached.limit, reached.count, reached.at_most, reached.eligible_again_at))
        .collect();
    let decided_at = T0 - SOON;
    assert_eq!(
        reached,
        [
            (Limit::Cap(0), 1, 1, Some(decided_at + HOUR)),
            (Limit::Cap(2), 1, 1, Some(decided_at + DAY.times(4))),
        ]
    );
}

#[test]
fn a_contact_is_dropped_only_when_no_cap_counts_it() {
    let catalog = catalog_with("caps: [{ id: cap, at_most: 9, of: seen, within: 7d, groups: [fund] }]");
    let contacts = [
        contact(
            &catalog,
            "fund_a",
            "web",
            DAY.times(3),
            &[(Counted::Seen, DAY.times(3))],
        ),
        contact(&catalog, "savings_a", "web", SOON, &[]),
        contact(&catalog, "savings_a", "web", DAY, &[]),
    ];
    assert_eq!(
        oldest_unneeded(&with(&contacts), &catalog, T0),
        Some(1),
        "no cap counts savings"
    );
    assert_eq!(
        oldest_unneeded(&with(&contacts[..1]), &catalog, T0 + DAY.times(4)),
        Some(0)
    );
}
