//! What-if over recorded traffic: the same rules change nothing, and other rules do exactly what they would have done.

mod commands;
mod history;
mod oracle;
mod world;

use nbo::domain::time::Millis;
use nbo::whatif::Carry;
use nbo::whatif::report::{Pair, Report, Status};

use world::{BASE, START, Traffic, World};

fn pair(before: u64, after: u64) -> Pair {
    Pair { before, after }
}

/// Some traffic of many customers on the base catalog, recorded.
fn recorded() -> World {
    let world = World::new(BASE);
    let mut traffic = Traffic::new(1, 30);
    traffic.play(&world.engine, 600);
    world
}

fn limit<'a>(report: &'a Report, id: &str) -> &'a nbo::whatif::report::LimitRow {
    report.limits.iter().find(|row| row.limit == id).unwrap()
}

fn offer<'a>(report: &'a Report, id: &str) -> &'a nbo::whatif::report::OfferRow {
    report.offers.iter().find(|row| row.offer == id).unwrap()
}

#[test]
fn the_same_rules_reproduce_every_answer_and_change_nothing() {
    let world = recorded();
    for carry in [Carry::Shown, Carry::Recorded] {
        let report = world.simulate(BASE, carry, 2);
        let decisions = &report.decisions;
        assert!(decisions.made > 150, "{decisions:?}");
        assert_eq!(decisions.made, world.recorded_decisions().iter().sum::<u64>());
        assert_eq!((decisions.not_reproduced, decisions.left_out.len()), (0, 0));
        assert_eq!((decisions.first_changed, decisions.list_changed), (0, 0));
        assert_eq!((decisions.became_empty, report.customers_carried), (0, 0));
        assert!(report.remarks.is_empty(), "{:?}", report.remarks);
        assert!(
            report
                .offers
                .iter()
                .all(|row| row.shown.shift() == 0 && row.first.shift() == 0)
        );
        assert!(
            report
                .limits
                .iter()
                .all(|row| row.withheld.shift() == 0 && row.customers.shift() == 0)
        );
        assert!(report.rules.iter().all(|row| row.blocked.shift() == 0));
        assert!(
            report.limits.iter().any(|row| row.withheld.before > 0),
            "some limit binds"
        );
        assert!(
            report.rules.iter().any(|row| row.blocked.before > 0),
            "some rule blocks"
        );
    }
}

#[test]
fn the_numbers_do_not_depend_on_how_many_threads_decide_nor_on_the_run() {
    let world = recorded();
    let tried = BASE.replace("at_most: 6, of: seen", "at_most: 2, of: seen");
    let one = world.simulate(&tried, Carry::Shown, 1);
    assert!(one.decisions.list_changed > 0);
    for threads in [1, 2, 5] {
        assert_eq!(world.simulate(&tried, Carry::Shown, threads), one);
    }
}

#[test]
fn a_changed_value_changes_exactly_the_decisions_in_which_it_reorders_two_offers() {
    let world = World::new(BASE);
    let mut traffic = Traffic::new(0, 10);
    // Adults see fund_a first, which is worth more; minors may not have it and see savings_a.
    for number in 0..10 {
        traffic.write_age(&world.engine, number, if number < 7 { 40.0 } else { 10.0 });
        traffic.ask_for(&world.engine, number, 1);
    }
    let report = world.simulate(&BASE.replace("value: 15", "value: 1"), Carry::Shown, 2);
    assert_eq!((report.decisions.made, report.decisions.first_changed), (10, 7));
    assert_eq!(offer(&report, "fund_a").first, pair(7, 0));
    assert_eq!(offer(&report, "savings_a").first, pair(3, 10));
    assert_eq!(
        report.groups.iter().find(|row| row.group == "fund").unwrap().shown,
        pair(7, 0)
    );
}

#[test]
fn a_lowered_cap_binds_on_what_the_changed_catalog_itself_showed() {
    let world = World::new(BASE);
    let mut traffic = Traffic::new(0, 3);
    // Ten page views of one offer each, seen at once: with at most six a week the first six see savings_a, the rest savings_b.
    for number in 0..3 {
        traffic.write_age(&world.engine, number, 10.0);
        for _ in 0..10 {
            traffic.ask_for(&world.engine, number, 1);
            traffic.report_last(&world.engine, nbo::domain::contact::Counted::Seen);
            traffic.now = traffic.now + Millis::MINUTE;
        }
    }
    let tried = BASE.replace("at_most: 6, of: seen", "at_most: 4, of: seen");
    let carried = world.simulate(&tried, Carry::Shown, 2);
    // Six and four by the old cap; four, four and then travel_a by the new one, since savings_b is capped as well.
    assert_eq!(offer(&carried, "savings_a").shown, pair(18, 12));
    assert_eq!(offer(&carried, "savings_b").shown, pair(12, 12));
    assert_eq!(offer(&carried, "travel_a").shown, pair(0, 6));
    assert_eq!(
        (carried.decisions.first_changed, carried.decisions.list_changed),
        (12, 12)
    );
    // savings_a four times for each, then six times; savings_b in the last two as well.
    assert_eq!(limit(&carried, "seen_offer").withheld, pair(12, 24));
    assert_eq!(limit(&carried, "seen_offer").customers, pair(3, 3));
    assert_eq!(carried.customers_carried, 3);

    // As recorded: after four are recorded, the new cap withholds; savings_b was never recorded more than four times.
    let recorded = world.simulate(&tried, Carry::Recorded, 2);
    assert_eq!(offer(&recorded, "savings_a").shown, pair(18, 12));
    assert_eq!(offer(&recorded, "savings_b").shown, pair(12, 18));
    assert_eq!(recorded.customers_carried, 0);
    assert_eq!(limit(&recorded, "seen_offer").withheld, pair(12, 18));
}

#[test]
fn what_a_new_rule_blocks_is_counted_and_what_is_new_or_gone_is_said() {
    let world = World::new(BASE);
    let mut traffic = Traffic::new(0, 6);
    for number in 0..6 {
        traffic.write_age(&world.engine, number, if number < 4 { 40.0 } else { 10.0 });
        traffic.ask_for(&world.engine, number, 2);
    }
    let tried = BASE
        .replace("id: savings_b", "id: savings_c")
        .replace("profile.age >= 18", "profile.age >= 50");
    let report = world.simulate(&tried, Carry::Shown, 2);
    let rule = report.rules.iter().find(|row| row.rule == "fund.adult").unwrap();
    assert_eq!(
        (rule.stage, rule.blocked, rule.status),
        ("eligibility", pair(2, 6), Status::Kept)
    );
    assert_eq!(rule.because, "Funds are for adults");
    assert_eq!(offer(&report, "fund_a").shown, pair(4, 0));
    let statuses =
        ["savings_a", "savings_b", "savings_c"].map(|id| (offer(&report, id).status, offer(&report, id).shown));
    assert_eq!(
        statuses,
        [
            (Status::Kept, pair(6, 6)),
            (Status::Gone, pair(2, 0)),
            (Status::New, pair(0, 6))
        ]
    );
}

#[test]
fn only_the_decisions_of_the_period_are_made_again() {
    let world = World::new(BASE);
    let mut traffic = Traffic::new(0, 1);
    for _ in 0..5 {
        traffic.ask_for(&world.engine, 0, 1);
        traffic.now = traffic.now + Millis::HOUR;
    }
    let hour = |hours: i64| START + Millis::HOUR.times(hours);
    let report = world.simulate_between(BASE, Carry::Shown, 2, (hour(1), hour(3)));
    assert_eq!(report.decisions.made, 2, "the beginning is in it, the end is not");
    let made = report.made.unwrap();
    assert_eq!((made.first, made.last), (hour(1).to_string(), hour(2).to_string()));
    let kept = report.kept.unwrap();
    assert_eq!((kept.first, kept.last), (hour(0).to_string(), hour(4).to_string()));
    assert_eq!(report.hours.len(), 2);
}

#[test]
fn a_call_that_the_changed_catalog_would_refuse_is_counted_with_the_reason() {
    let world = World::new(BASE);
    let mut traffic = Traffic::new(0, 2);
    for number in 0..2 {
        traffic.ask_for(&world.engine, number, 2);
    }
    let report = world.simulate(
        &BASE.replace("id: top, count_max: 5", "id: top, count_max: 1"),
        Carry::Shown,
        2,
    );
    let refused = &report.decisions.refused;
    assert_eq!((refused.len(), refused[0].decisions), (1, 2), "{refused:?}");
    assert_eq!(refused[0].why, "placement `top` takes at most 1, and 2 were asked for");
    assert_eq!((report.decisions.became_empty, report.shown), (2, pair(4, 0)));
}
