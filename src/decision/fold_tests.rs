//! What the fold promises: repeats change nothing, and the order of arrival does not matter.

use proptest::prelude::*;

use super::facts::{behaviour, strength};
use super::fold::apply;
use super::testing::{T0, after, catalog, search, symbol};
use crate::catalog::Catalog;
use crate::domain::contact::{Contact, Counted};
use crate::domain::entry::{Cancellation, Entry, OutcomeReport, ProfileChange, Reservation};
use crate::domain::profile::{
    Bucket, EVENT_IDS_KEPT, EVENTS_KEPT, Profile, SESSIONS_KEPT, TRACES_PER_INTENT, UNDECLARED_KEPT,
};
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;

fn number(catalog: &Catalog, profile: &Profile, aggregate: &str, now: Timestamp) -> (Value, Timestamp) {
    let found = catalog
        .aggregates
        .iter()
        .find(|candidate| &*candidate.id == aggregate)
        .unwrap();
    behaviour(found, profile, now)
}

#[test]
fn a_repeated_event_changes_nothing_not_even_the_version() {
    let catalog = catalog();
    let event = search(&catalog, 7, "fund", T0);
    let mut profile = after(&catalog, std::slice::from_ref(&event));
    let before = profile.clone();
    assert!(!apply(&mut profile, &Entry::Event(event), &catalog));
    assert_eq!(profile, before);
    assert_eq!(profile.version, 1);
}

#[test]
fn an_event_is_recognised_among_the_latest_128_and_lists_stay_bounded() {
    let catalog = catalog();
    let events: Vec<_> = (0..400)
        .map(|n| search(&catalog, n, "fund", T0 + Millis::MINUTE.times(n.cast_signed())))
        .collect();
    let mut profile = after(&catalog, &events);
    assert_eq!(profile.events.len(), EVENTS_KEPT);
    assert_eq!(profile.events.len() + profile.older_event_ids.len(), EVENT_IDS_KEPT);
    assert_eq!(profile.traces.len(), TRACES_PER_INTENT);
    assert!(!apply(
        &mut profile,
        &Entry::Event(search(&catalog, 400 - EVENT_IDS_KEPT as u64, "fund", T0)),
        &catalog
    ));
}

#[test]
fn what_the_catalog_no_longer_declares_waits_for_its_return_but_not_without_bound() {
    let catalog = catalog();
    let mut profile = after(&catalog, &[search(&catalog, 1, "fund", T0)]);
    let declared = profile.buckets.len();
    let gone = |name: u32| Symbol::from_packed(1_000 + name);
    let mut remove_from_catalog = |name: u32| {
        let steps = (0..64).map(|step| Bucket {
            aggregate: gone(name),
            step,
            amount: 1,
        });
        profile.buckets.extend(steps);
        let event = search(&catalog, 2 + u64::from(name), "fund", T0);
        assert!(apply(&mut profile, &Entry::Event(event), &catalog));
        let kept = |name| {
            profile
                .buckets
                .iter()
                .filter(|bucket| bucket.aggregate == gone(name))
                .count()
        };
        assert_eq!(profile.buckets.len() - declared, kept(0) + kept(1) + kept(2));
        [kept(0), kept(1), kept(2)]
    };
    assert_eq!(remove_from_catalog(0), [64, 0, 0]);
    assert_eq!(remove_from_catalog(1), [64, 64, 0]);
    assert_eq!(64 + 64, UNDECLARED_KEPT);
    assert_eq!(remove_from_catalog(2), [0, 64, 64], "the oldest name goes first");
}

#[test]
fn a_late_event_counts_in_the_step_where_it_happened() {
    let catalog = catalog();
    let now = T0 + Millis::DAY.times(3);
    let profile = after(
        &catalog,
        &[search(&catalog, 1, "fund", now), search(&catalog, 2, "fund", T0)],
    );
    assert_eq!(number(&catalog, &profile, "searches", now).0, Value::Number(2.0));
    assert_eq!(number(&catalog, &profile, "fund_searches", now).0, Value::Number(1.0));
    assert_eq!(
        number(&catalog, &profile, "searches", T0 + Millis::DAY.times(8)).0,
        Value::Number(1.0)
    );
}

#[test]
fn a_later_event_never_loses_its_place_to_one_that_arrives_after_it() {
    let catalog = catalog();
    let profile = after(
        &catalog,
        &[
            search(&catalog, 1, "fund", T0),
            search(&catalog, 2, "savings", T0 - Millis::HOUR),
        ],
    );
    let category = Value::Category(symbol(&catalog, "fund"));
    assert_eq!(number(&catalog, &profile, "last_category", T0).0, category);
    assert_eq!(
        number(&catalog, &profile, "since_search", T0 + Millis::new(2 * 3_600_000 + 1)).0,
        Value::Number(2.0)
    );
}

#[test]
fn an_aggregate_by_category_counts_each_value_by_itself() {
    let catalog = catalog();
    let profile = after(
        &catalog,
        &[search(&catalog, 1, "fund", T0), search(&catalog, 2, "travel", T0)],
    );
    for (aggregate, expected) in [
        ("by_class_fund", 1.0),
        ("by_class_travel", 1.0),
        ("by_class_savings", 0.0),
    ] {
        assert_eq!(
            number(&catalog, &profile, aggregate, T0).0,
            Value::Number(expected),
            "{aggregate}"
        );
    }
}

#[test]
fn sums_are_kept_to_three_decimals() {
    let catalog = catalog();
    let mut event = search(&catalog, 1, "fund", T0);
    event.attributes.push((symbol(&catalog, "amount"), Value::Number(0.1)));
    let events: Vec<_> = (0..3)
        .map(|n| crate::domain::event::Event {
            id_hash: n,
            ..event.clone()
        })
        .collect();
    let profile = after(&catalog, &events);
    assert_eq!(number(&catalog, &profile, "spent", T0).0, Value::Number(0.3));
}

#[test]
fn an_intent_decays_at_the_stated_ages_and_not_before() {
    let catalog = catalog();
    let profile = after(&catalog, &[search(&catalog, 1, "fund", T0)]);
    let intent = &catalog.intents[0];
    let at = |millis: i64| strength(intent, &profile, T0 + Millis::new(millis)).0;
    let minutes_30 = 30 * 60_000;
    for (age, expected) in [
        (0, 2.0),
        (minutes_30 - 1, 2.0),
        (minutes_30, 1.0),
        (86_400_000 - 1, 1.0),
        (86_400_000, 0.2),
        (7 * 86_400_000 - 1, 0.2),
        (7 * 86_400_000, 0.0),
    ] {
        assert!(
            (at(age) - expected).abs() < 1e-12,
            "at the age of {age} ms: {} instead of {expected}",
            at(age)
        );
    }
    assert_eq!(strength(intent, &profile, T0).1, T0 + Millis::new(minutes_30));
}

#[test]
fn strengths_add_up_to_the_maximum() {
    let catalog = catalog();
    let profile = after(
        &catalog,
        &[search(&catalog, 1, "fund", T0), search(&catalog, 2, "fund", T0)],
    );
    assert_eq!(
        strength(&catalog.intents[0], &profile, T0).0.to_bits(),
        3.0_f64.to_bits()
    );
}

#[test]
fn a_profile_change_that_says_what_is_already_so_changes_nothing() {
    let catalog = catalog();
    let age = symbol(&catalog, "age");
    let mut profile = Profile::default();
    let change = ProfileChange {
        attributes: vec![(age, Value::Number(40.0))],
        ..ProfileChange::default()
    };
    assert!(apply(&mut profile, &Entry::Profile(change.clone()), &catalog));
    assert!(!apply(&mut profile, &Entry::Profile(change.clone()), &catalog));
    assert!(!apply(
        &mut profile,
        &Entry::Profile(ProfileChange {
            replace: true,
            ..change
        }),
        &catalog
    ));
    let clearing = ProfileChange {
        replace: true,
        ..ProfileChange::default()
    };
    assert!(apply(&mut profile, &Entry::Profile(clearing), &catalog));
    assert_eq!(profile.attribute(age), Value::Missing);
    assert_eq!(profile.version, 2);
}

/// Forgets what the order of arrival may show in: which ids are remembered, in which order.
fn without_arrival(mut profile: Profile) -> Profile {
    profile.events.clear();
    profile.older_event_ids.clear();
    profile
}

proptest! {
    #[test]
    fn events_give_the_same_profile_in_any_order(
        raw in prop::collection::vec((0..4_000_i64, 0..3_usize, 0..20_u64), 1..60),
        seed in any::<u64>(),
    ) {
        let catalog = catalog();
        let mut events: Vec<_> = raw.iter().enumerate().map(|(n, &(minutes, class, session))| {
            let mut event = search(&catalog, n as u64, ["savings", "fund", "travel"][class], T0 + Millis::MINUTE.times(minutes));
            event.session_hash = Some(session);
            event.attributes.push((symbol(&catalog, "amount"), Value::Number(minutes as f64 / 7.0)));
            event
        }).collect();
        let in_order = after(&catalog, &events);
        // A fixed shuffle per seed: sort by a hash of the id and the seed.
        events.sort_by_key(|event| (event.id_hash ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let shuffled = after(&catalog, &events);
        let (one, other) = (without_arrival(in_order), without_arrival(shuffled));
        if one.sessions.len() < SESSIONS_KEPT {
            prop_assert_eq!(&one, &other);
        }
        prop_assert_eq!(&one.buckets, &other.buckets);
        prop_assert_eq!(&one.traces, &other.traces);
        prop_assert_eq!(&one.latest, &other.latest);
    }

    #[test]
    fn aggregates_and_intents_stay_as_they_are_until_the_instant_they_name(
        raw in prop::collection::vec((0..3_000_i64, 0..3_usize), 1..30),
        later in 0..20_000_i64,
        share in 0.0..1.0_f64,
    ) {
        let catalog = catalog();
        let events: Vec<_> = raw.iter().enumerate().map(|(n, &(minutes, class))| {
            let mut event = search(&catalog, n as u64, ["savings", "fund", "travel"][class], T0 + Millis::MINUTE.times(minutes));
            event.session_hash = Some(n as u64 % 5);
            event
        }).collect();
        let profile = after(&catalog, &events);
        let now = T0 + Millis::MINUTE.times(3_000 + later);
        let between = |until: Timestamp| {
            let last = (until - now).get().min(100 * Millis::DAY.get()) - 1;
            #[expect(clippy::cast_possible_truncation, reason = "a share of a span that fits")]
            [Millis::new(last), Millis::new((last as f64 * share) as i64)]
        };
        for aggregate in &catalog.aggregates {
            let (value, until) = behaviour(aggregate, &profile, now);
            prop_assert!(until > now, "{} ends before it begins", aggregate.id);
            for span in between(until) {
                prop_assert_eq!(behaviour(aggregate, &profile, now + span).0, value, "{}", &aggregate.id);
            }
        }
        for intent in &catalog.intents {
            let (value, until) = strength(intent, &profile, now);
            prop_assert!(until > now);
            for span in between(until) {
                prop_assert_eq!(strength(intent, &profile, now + span).0.to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn a_count_equals_a_recount_of_the_events_by_step(
        raw in prop::collection::vec(0..20_000_i64, 1..40),
        later in 0..5_000_i64,
    ) {
        let catalog = catalog();
        let events: Vec<_> =
            raw.iter().enumerate().map(|(n, &m)| search(&catalog, n as u64, "fund", T0 + Millis::MINUTE.times(m))).collect();
        let newest = raw.iter().copied().max().unwrap_or(0);
        let now = T0 + Millis::MINUTE.times(newest + later);
        let profile = after(&catalog, &events);
        for (aggregate, step, steps) in [("searches", Millis::DAY, 7), ("fund_searches", Millis::HOUR, 48)] {
            let current = now.as_millis() / step.get();
            let recount = events.iter().filter(|event| event.time.as_millis() / step.get() > current - steps).count();
            prop_assert_eq!(number(&catalog, &profile, aggregate, now).0, Value::Number(recount as f64), "{}", aggregate);
        }
    }
}

#[test]
fn a_cancellation_releases_what_nothing_was_reported_of_and_a_repeat_changes_nothing() {
    let catalog = catalog();
    let mut profile = Profile::default();
    let name = |name: &str| symbol(&catalog, name);
    let (top, first, second) = (name("top"), name("savings_a"), name("savings_b"));
    let reservation = Reservation {
        decision: 7,
        channel: name("web"),
        campaign: None,
        at: T0,
        contacts: vec![(top, first), (top, second), (name("side"), second)],
        in_volumes: true,
        request: None,
    };
    apply(&mut profile, &Entry::Decision(reservation), &catalog);
    let seen = OutcomeReport {
        decision: 7,
        offer: second,
        placement: Some(top),
        outcome: Counted::Seen,
        at: T0,
    };
    apply(
        &mut profile,
        &Entry::Outcome {
            report: seen,
            received_at: seen.at,
        },
        &catalog,
    );
    let cancel = |offer, placement| {
        Entry::Cancel(Cancellation {
            decision: 7,
            offer,
            placement,
            at: T0 + Millis::SECOND,
        })
    };
    let released = |profile: &Profile| -> Vec<bool> { profile.contacts.iter().map(Contact::is_cancelled).collect() };
    assert!(
        !apply(&mut profile, &cancel(Some(second), Some(top)), &catalog),
        "it was seen"
    );
    assert!(apply(&mut profile, &cancel(Some(second), None), &catalog));
    assert_eq!(released(&profile), [false, false, true]);
    let version = profile.version;
    assert!(!apply(&mut profile, &cancel(Some(second), None), &catalog));
    assert_eq!(profile.version, version);
    assert!(apply(&mut profile, &cancel(None, None), &catalog));
    assert_eq!(released(&profile), [true, false, true]);
    // A report that comes all the same makes it count again.
    let late = OutcomeReport {
        placement: None,
        ..seen
    };
    assert!(apply(
        &mut profile,
        &Entry::Outcome {
            report: late,
            received_at: late.at,
        },
        &catalog
    ));
    assert_eq!(released(&profile), [true, false, false]);
    assert!(profile.contacts[2].cancelled.is_some(), "what happened stays known");
}
