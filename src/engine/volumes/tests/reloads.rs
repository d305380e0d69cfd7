//! What volumes promise when the catalog changes.

use super::*;

#[test]
fn a_changed_limit_window_or_scope_and_a_new_volume_count_what_was_before() {
    let volume = |rest: &str| format!("volumes: [{{ id: v, of: decided, {rest} }}]");
    let bench = Bench::new(&volume("per: hour, at_most: 9"));
    bench.ask("a", 0, 2, T0 - Millis::HOUR);
    bench.ask("b", 0, 1, T0);
    assert_eq!(bench.count(T0), 1);
    bench.reload(&volume("per: day, at_most: 9"));
    assert_eq!(bench.count(T0), 3);
    bench.reload(&volume("per: day, at_most: 3"));
    assert_eq!(bench.shown("c", 1, T0), 0);
    bench.reload(&volume("per: week, at_most: 4, offers: [savings_a]"));
    assert_eq!((bench.count(T0), bench.shown("c", 1, T0)), (2, 1));
    bench.reload("volumes: [{ id: other, of: decided, per: ever, at_most: 9, groups: [savings] }]");
    assert_eq!(bench.count(T0), 4);
}

#[test]
fn a_new_volume_counts_what_was_before_there_were_any() {
    let bench = Bench::new("caps: []");
    let seen = bench.ask("a", 0, 2, T0 - Millis::MINUTE);
    bench.report(&seen, Counted::Seen, T0 - Millis::MINUTE);
    let open = bench.ask("b", 1, 1, T0 - Millis::HOUR);
    bench.ask("gone", 0, 1, T0 - Millis::HOUR);
    bench
        .engine
        .delete_profile(&CustomerId::known("gone").unwrap())
        .unwrap();
    bench.reload("volumes: [{ id: all, at_most: 5, of: decided, per: day }]");
    assert_eq!(
        bench.shown("c", 2, T0),
        1,
        "four were decided today, one for somebody who is forgotten"
    );
    bench.reload("volumes: [{ id: three, at_most: 4, of: seen, per: day }]");
    assert_eq!(
        bench.count(T0),
        4,
        "one was seen; one web, one mail and the last of c are open"
    );
    assert_eq!(bench.cancel(&open, None, T0), Ok(1));
    assert_eq!((bench.count(T0), bench.shown("d", 2, T0)), (3, 1));
    // The second offer of a and that of c and d run out after 30 minutes, each at its time.
    assert_eq!(bench.count(T0 + Millis::MINUTE.times(29)), 3);
    assert_eq!(bench.count(T0 + Millis::MINUTE.times(30)), 1);
}

#[test]
fn a_widened_volume_counts_the_reservations_that_it_did_not_count_before() {
    let scope = |offers: &str| format!("volumes: [{{ id: v, at_most: 2, of: seen, per: day, offers: [{offers}] }}]");
    let bench = Bench::new(&scope("savings_b"));
    let first = bench.ask("a", 0, 2, T0);
    assert_eq!(bench.count(T0), 1);
    bench.reload(&scope("savings_a, savings_b"));
    assert_eq!((bench.count(T0), bench.shown("b", 2, T0)), (2, 0));
    bench.report(&first, Counted::Seen, T0 + Millis::MINUTE);
    assert_eq!(bench.count(T0 + Millis::MINUTE.times(30)), 1);
}

#[test]
fn an_offer_that_left_the_catalog_counts_by_the_group_and_labels_that_it_had_last() {
    let gone = "  - { id: gone, group: fund, name: G, labels: [hot], treatments: { web: { t: x } } }\n";
    let stays = "  - { id: stays, group: savings, name: S, labels: [hot], treatments: { web: { t: x } } }\n";
    let volume = |scope: &str| format!("volumes: [{{ id: v, at_most: 9, of: decided, per: day{scope} }}]\n");
    let before = catalog_with(&format!("offers:\n{gone}{stays}{}", volume("")));
    for (scope, expected) in [
        ("", 1),
        (", groups: [fund]", 1),
        (", groups: [savings]", 0),
        (", labels: [hot]", 1),
        (", labels: [risky]", 0),
        (", offers: [stays]", 0),
        (", groups: [fund], channels: [mail]", 0),
    ] {
        let bench = Bench {
            engine: Engine::new(Active::new(Arc::clone(&before), Vec::new()), Limits::default()),
        };
        let reservation = Reservation {
            decision: 1,
            channel: before.channels[0].symbol,
            campaign: None,
            at: T0,
            contacts: vec![(before.placements[0].symbol, symbol(&before, "gone"))],
            in_volumes: true,
            request: None,
        };
        let customer = CustomerId::known("a").unwrap();
        let active = bench.engine.active();
        let volumes = &bench.engine.conductor.volumes;
        volumes
            .take(&active, customer.key(), &reservation, T0, || Ok::<_, ()>(()))
            .unwrap();
        let after = catalog_after(&before, &format!("offers:\n{stays}{}", volume(scope)));
        bench.engine.activate(Active::new(after, Vec::new())).unwrap();
        let rooms = volumes.rooms(&bench.engine.active(), T0);
        assert_eq!(rooms.list()[0].count, expected, "{scope}");
        // It counts in what is counted by every change as well.
        volumes
            .take(&bench.engine.active(), customer.key(), &reservation, T0, || {
                Ok::<_, ()>(())
            })
            .unwrap();
        let rooms = volumes.rooms(&bench.engine.active(), T0);
        assert_eq!(rooms.list()[0].count, 2 * expected, "{scope}");
    }
}

#[test]
fn calls_on_the_old_and_on_the_new_catalog_in_turns_count_nothing_anew() {
    let volume = |at_most: u32| format!("volumes: [{{ id: v, at_most: {at_most}, of: seen, per: day }}]");
    let bench = Bench::new(&volume(40));
    let old = bench.engine.active();
    bench.ask("first", 0, 2, T0);
    bench.reload(&volume(50));
    let new = bench.engine.active();
    for number in 0..10 {
        for active in [&old, &new] {
            Bench::ask_on(&bench.engine, active, &format!("c{number}"), (0, 2), T0);
        }
    }
    let made = || bench.engine.conductor.volumes.0.lock().views_made();
    assert_eq!(made(), 2, "once for each catalog");
    for (active, count, left) in [(&old, 42, 0), (&new, 42, 8)] {
        let rooms = bench.engine.conductor.volumes.rooms(active, T0);
        assert_eq!((rooms.list()[0].count, rooms.list()[0].left), (count, left));
    }
    // Views that nobody asks for go, and come back right.
    bench
        .engine
        .conductor
        .volumes
        .rooms(&new, T0 + Millis::MINUTE.times(31));
    let rooms = bench
        .engine
        .conductor
        .volumes
        .rooms(&old, T0 + Millis::MINUTE.times(31));
    assert_eq!((rooms.list()[0].count, made()), (0, 3));
}
