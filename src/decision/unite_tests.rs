//! What a decision sees of two who are one.

use std::borrow::Cow;

use super::facts::Layout;
use super::fold::apply;
use super::policy::{Asked, Candidate, Choices, Ledger};
use super::testing::{T0, after, catalog, catalog_with, contact, search, symbol};
use super::unite::{contacts, people, view};
use crate::catalog::Catalog;
use crate::domain::contact::{Contact, Counted};
use crate::domain::entry::{Entry, OutcomeReport};
use crate::domain::ids::CustomerId;
use crate::domain::profile::{Consent, Joined, Precedence, Profile, Session, TRACES_PER_INTENT};
use crate::domain::symbol::Symbol;
use crate::domain::time::Millis;
use crate::domain::value::Value;

fn visitor(number: usize) -> CustomerId {
    CustomerId::anonymous(&format!("v{number}")).unwrap()
}

fn joined(number: usize, precedence: Precedence, profile: Profile) -> Joined {
    Joined {
        visitor: visitor(number),
        merged_at: T0,
        precedence,
        slot: 0,
        known: true,
        profile,
    }
}

/// Joins visitors to a customer, one after the other.
fn with(own: Profile, visitors: Vec<(Precedence, Profile)>) -> Profile {
    let numbered = visitors.into_iter().enumerate();
    let all = numbered.map(|(number, (precedence, profile))| joined(number, precedence, profile));
    Profile {
        joined: all.collect(),
        ..own
    }
}

fn aged(catalog: &Catalog, age: Option<f64>, holdings: Option<u64>) -> Profile {
    let age = age.map(|age| (symbol(catalog, "age"), Value::Number(age)));
    let holdings = holdings.map(|set| (symbol(catalog, "holdings"), Value::Set(set)));
    let mut attributes: Vec<_> = age.into_iter().chain(holdings).collect();
    attributes.sort_by_key(|entry| entry.0);
    Profile {
        attributes,
        ..Profile::default()
    }
}

#[test]
fn attributes_come_by_the_stated_precedence_one_visitor_after_the_other() {
    use Precedence::{Customer, Visitor};
    let catalog = catalog();
    let cases = [
        (
            (Some(40.0), None),
            vec![(Customer, (Some(20.0), Some(1)))],
            (Some(40.0), Some(1)),
        ),
        (
            (Some(40.0), None),
            vec![(Visitor, (Some(20.0), None))],
            (Some(20.0), None),
        ),
        (
            (None, Some(2)),
            vec![(Visitor, (Some(20.0), None))],
            (Some(20.0), Some(2)),
        ),
        (
            (None, None),
            vec![(Customer, (Some(20.0), None)), (Customer, (Some(30.0), Some(3)))],
            (Some(20.0), Some(3)),
        ),
        (
            (Some(40.0), Some(1)),
            vec![
                (Visitor, (Some(20.0), None)),
                (Visitor, (Some(30.0), None)),
                (Customer, (None, Some(9))),
            ],
            (Some(30.0), Some(1)),
        ),
    ];
    for (own, visitors, seen) in cases {
        let visitors = visitors.into_iter();
        let visitors = visitors.map(|(precedence, (age, set))| (precedence, aged(&catalog, age, set)));
        let profile = with(aged(&catalog, own.0, own.1), visitors.collect());
        assert_eq!(view(&profile).attributes, aged(&catalog, seen.0, seen.1).attributes);
    }
}

/// Answers by channel.
type Said<'a> = &'a [(Option<Symbol>, bool)];

#[test]
fn a_no_of_either_holds_on_every_channel_it_was_meant_for() {
    let purpose = Symbol::from_packed(1);
    let (mail, web) = (Symbol::from_packed(2), Symbol::from_packed(3));
    let said = |answers: &[(Option<Symbol>, bool)]| Profile {
        consents: answers
            .iter()
            .map(|&(channel, granted)| Consent {
                purpose,
                channel,
                granted,
            })
            .collect(),
        ..Profile::default()
    };
    let cases: [(Said<'_>, Said<'_>, Option<bool>, Option<bool>); 6] = [
        (&[], &[], None, None),
        (&[(None, true)], &[], Some(true), Some(true)),
        (&[(None, true)], &[(Some(mail), false)], Some(false), Some(true)),
        (&[(None, false)], &[(Some(mail), true)], Some(false), Some(false)),
        (
            &[(None, false), (Some(mail), true)],
            &[(None, true)],
            Some(true),
            Some(false),
        ),
        (
            &[(None, false), (Some(mail), true)],
            &[(None, false)],
            Some(false),
            Some(false),
        ),
    ];
    for (one, other, on_mail, on_web) in cases {
        for (own, visitor) in [(one, other), (other, one)] {
            let profile = with(said(own), vec![(Precedence::Visitor, said(visitor))]);
            let seen = view(&profile);
            assert_eq!(
                (seen.consent(purpose, mail), seen.consent(purpose, web)),
                (on_mail, on_web),
                "{own:?} {visitor:?}"
            );
        }
    }
    let opted_out = |of_all, opt_outs| Profile {
        opted_out_of_all: of_all,
        opt_outs,
        ..Profile::default()
    };
    let profile = with(
        opted_out(false, vec![mail]),
        vec![(Precedence::Customer, opted_out(false, vec![web]))],
    );
    assert_eq!(view(&profile).opt_outs, [mail, web]);
    assert!(profile.is_opted_out_of(web) && profile.is_opted_out_of(mail) && !view(&profile).opted_out_of_all);
    let profile = with(
        Profile::default(),
        vec![(Precedence::Customer, opted_out(true, Vec::new()))],
    );
    assert!(view(&profile).opted_out_of_all && profile.is_opted_out_of(web));
}

#[test]
fn behaviour_of_both_gives_the_same_as_if_one_had_done_it_all() {
    let catalog = catalog();
    let mut events: Vec<_> = (0..14_i64)
        .map(|n| {
            search(
                &catalog,
                n.unsigned_abs(),
                ["fund", "travel"][usize::from(n % 3 == 0)],
                T0 - Millis::HOUR.times(n * 7),
            )
        })
        .collect();
    for (at, event) in events.iter_mut().enumerate() {
        event.session_hash = Some(at as u64 / 4);
    }
    events.sort_by_key(|event| event.time);
    let (of_one, of_other): (Vec<_>, Vec<_>) = events.iter().cloned().partition(|event| event.id_hash % 2 == 0);
    let profile = with(
        after(&catalog, &of_one),
        vec![(Precedence::Customer, after(&catalog, &of_other))],
    );
    let all = after(&catalog, &events);
    let seen = view(&profile).into_owned();
    assert_eq!(
        (&seen.latest, &seen.traces, &seen.sessions, &seen.events),
        (&all.latest, &all.traces, &all.sessions, &all.events)
    );
    let (mut of_two, mut of_one) = (Layout::default(), Layout::default());
    of_two.fill(&catalog, &seen, T0);
    of_one.fill(&catalog, &all, T0);
    assert_eq!((&of_two.behaviour, &of_two.intent), (&of_one.behaviour, &of_one.intent));
    assert_eq!(seen.traces.len(), TRACES_PER_INTENT, "the latest of both");
    assert!(
        !seen.sessions.is_empty()
            && seen
                .sessions
                .iter()
                .map(|session: &Session| session.events)
                .sum::<u32>()
                == 14
    );
    for event in &events {
        let mut copy = profile.clone();
        assert!(
            !apply(&mut copy, &Entry::Event(event.clone()), &catalog),
            "known of either"
        );
    }
}

#[test]
fn a_cap_counts_the_contacts_of_both_and_may_be_full_at_once() {
    let catalog = catalog_with("caps: [{ id: week, because: w, at_most: 3, of: decided, within: 7d }]");
    let contacts_ago = |days: &[i64]| Profile {
        contacts: days
            .iter()
            .map(|&days| contact(&catalog, "fund_a", "web", Millis::DAY.times(days), &[]))
            .collect(),
        ..Profile::default()
    };
    let asked = Asked {
        channel: symbol(&catalog, "web"),
        campaign: None,
    };
    let candidate = Candidate {
        offer: 0,
        placement: symbol(&catalog, "top"),
    };
    let is_full = |profile: &Profile| {
        Ledger::new(&catalog, &view(profile), asked, Choices::NONE, T0)
            .reached(&[], candidate)
            .count()
            > 0
    };
    let cases: [(&[i64], &[i64], bool); 5] = [
        (&[2, 1], &[], false),
        (&[2, 1], &[3], true),
        (&[2, 1], &[6, 5], true),
        (&[2, 1], &[9, 8], false),
        (&[], &[2, 1], false),
    ];
    for (own, other, full) in cases {
        let profile = with(contacts_ago(own), vec![(Precedence::Customer, contacts_ago(other))]);
        assert_eq!(is_full(&profile), full, "{own:?} and {other:?}");
        assert_eq!(
            is_full(&Profile {
                joined: Vec::new(),
                ..profile
            }),
            own.len() >= 3
        );
    }
}

#[test]
fn contacts_stand_in_the_order_of_their_times_and_no_two_decisions_have_one_number() {
    let decided = |decision: u32, ago: i64| {
        Contact::decided(
            decision,
            Symbol::from_packed(1),
            Symbol::from_packed(2),
            Symbol::from_packed(3),
            T0 - Millis::HOUR.times(ago),
        )
    };
    let of = |contacts: Vec<Contact>| Profile {
        contacts,
        ..Profile::default()
    };
    let own = of(vec![decided(7, 9), decided(7, 9), decided(8, 4)]);
    let profile = with(
        own,
        vec![
            (Precedence::Customer, of(vec![decided(7, 8), decided(9, 1)])),
            (Precedence::Customer, of(vec![decided(7, 9), decided(8, 5)])),
        ],
    );
    let seen = view(&profile);
    let told: Vec<_> = seen
        .contacts
        .iter()
        .map(|one| (one.decision, (T0 - one.decided_at()).get() / Millis::HOUR.get()))
        .collect();
    assert_eq!(told, [(1, 9), (1, 9), (2, 9), (3, 8), (4, 5), (5, 4), (6, 1)]);
    let whose: Vec<_> = contacts(&profile)
        .iter()
        .map(|(of, one)| (of.map(|joined| joined.visitor.clone()), one.decision))
        .collect();
    let (first, second) = (Some(visitor(0)), Some(visitor(1)));
    assert_eq!(
        whose,
        [
            (None, 7),
            (None, 7),
            (second.clone(), 7),
            (first.clone(), 7),
            (second, 8),
            (None, 8),
            (first, 9)
        ]
    );
    let anna = CustomerId::known("anna").unwrap();
    assert_eq!(
        people(&anna, &profile)
            .map(|(_, own)| own.contacts.len())
            .sum::<usize>(),
        seen.contacts.len()
    );
}

#[test]
fn somebody_without_visitors_is_seen_as_they_are_without_a_copy() {
    let catalog = catalog();
    let profile = after(&catalog, &[search(&catalog, 1, "fund", T0)]);
    assert!(matches!(view(&profile), Cow::Borrowed(_)));
}

#[test]
fn parting_gives_back_exactly_what_each_had_and_what_became_of_the_visitors_contacts() {
    let catalog = catalog();
    let mut own = after(&catalog, &[search(&catalog, 1, "fund", T0)]);
    own.contacts.push(contact(&catalog, "fund_a", "web", Millis::DAY, &[]));
    let mut other = after(
        &catalog,
        &[search(&catalog, 2, "travel", T0), search(&catalog, 3, "fund", T0)],
    );
    other
        .contacts
        .push(contact(&catalog, "savings_a", "web", Millis::HOUR, &[]));
    let mut profile = own.clone();
    let visitor = visitor(0);
    let entry = Entry::Joined(Box::new(joined(0, Precedence::Visitor, other.clone())));
    assert!(apply(&mut profile, &entry, &catalog));
    assert!(apply(
        &mut profile,
        &Entry::Event(search(&catalog, 9, "fund", T0)),
        &catalog
    ));
    let report = OutcomeReport {
        decision: 1,
        offer: symbol(&catalog, "savings_a"),
        placement: None,
        outcome: Counted::Seen,
        at: T0,
    };
    let seen = Entry::Outcome {
        report,
        received_at: T0,
    };
    let of_visitor = Entry::OfVisitor {
        visitor: visitor.key(),
        entry: Box::new(seen.clone()),
    };
    let before = profile.version;
    assert!(apply(&mut profile, &of_visitor, &catalog));
    assert!(!apply(&mut profile, &of_visitor, &catalog), "a repeat");
    assert_eq!(profile.version, before + 1);
    let of_part = profile.joined_as(visitor.key()).unwrap().profile.clone();
    assert!(apply(&mut profile, &Entry::Parted(visitor.key()), &catalog));
    assert!(
        !apply(&mut profile, &Entry::Parted(visitor.key()), &catalog),
        "a repeat"
    );
    let mut restored = Profile::default();
    apply(&mut restored, &Entry::Restored(Box::new(of_part)), &catalog);
    apply(&mut other, &seen, &catalog);
    assert_eq!(restored, other);
    apply(&mut own, &Entry::Event(search(&catalog, 9, "fund", T0)), &catalog);
    let versions = (profile.version, profile.ranking_version);
    assert_eq!(
        profile,
        Profile {
            version: versions.0,
            ranking_version: versions.1,
            ..own
        }
    );
}
