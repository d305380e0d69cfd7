//! What the data folder went through: several catalogs, restarts, volumes, plans, torn ends.

use std::fs;

use nbo::decision::steer::Steering;
use nbo::domain::time::Millis;
use nbo::journal::LogError;
use nbo::whatif::Carry;
use nbo::whatif::report::Status;

use super::world::{BASE, START, Traffic, World, begin, request, write_rules};
use super::{limit, offer, pair};

#[test]
fn every_decision_is_made_again_by_the_catalog_of_its_time_also_over_restarts_and_checkpoints() {
    let mut world = World::new(BASE);
    let mut traffic = Traffic::new(11, 20);
    traffic.play(&world.engine, 200);
    let other = BASE
        .replace("value: 15", "value: 4")
        .replace("at_most: 25", "at_most: 9");
    world.change(&other);
    traffic.play(&world.engine, 200);
    world
        .engine
        .checkpoint(&world.data().join("checkpoints"), u64::MAX)
        .unwrap()
        .unwrap();
    world.change(&BASE.replace("savings_b", "savings_z"));
    let mut traffic = Traffic::from(traffic.now, 13, 20);
    traffic.play(&world.engine, 100);
    // Of people who were forgotten before the checkpoint nothing can be read.
    let recorded = world.recorded_decisions();
    let versions = || {
        world
            .engine
            .activations()
            .into_iter()
            .map(|activation| activation.catalog)
    };
    let versions: Vec<String> = versions().collect();

    let report = world.simulate(BASE, Carry::Shown, 2);
    let before: Vec<(String, u64)> = report
        .before
        .iter()
        .map(|before| (before.version.clone(), before.decisions))
        .collect();
    let expected: Vec<(String, u64)> = versions.into_iter().zip(recorded.iter().copied()).collect();
    assert_eq!(before, expected);
    assert_eq!(
        (report.decisions.not_reproduced, report.decisions.made),
        (0, recorded.iter().sum())
    );
    assert!(report.decisions.list_changed > 0);
    assert_eq!(offer(&report, "savings_z").status, Status::Gone);
    assert_eq!(offer(&report, "savings_b").status, Status::Kept);

    let rules = write_rules(world.root.path(), "rules", BASE);
    let data = world.data();
    drop(std::mem::replace(&mut world.engine, World::new(BASE).engine));
    world.engine = begin(&data, &rules, traffic.now);
    let mut later = Traffic::from(traffic.now + Millis::HOUR, 17, 20);
    later.play(&world.engine, 100);
    let all = world.simulate(BASE, Carry::Shown, 2);
    assert!(all.decisions.made > report.decisions.made);
    assert_eq!((all.decisions.not_reproduced, all.before.len()), (0, 4));
}

#[test]
fn a_volume_has_what_it_had_left_then_against_its_new_limit_and_a_new_one_is_named_and_stops_nothing() {
    let volume = |at_most: u32| {
        format!(
            "{BASE}volumes: [{{ id: savings_day, at_most: {at_most}, of: decided, per: day, groups: [savings] }}]\n"
        )
    };
    let world = World::new(&volume(8));
    let mut traffic = Traffic::new(0, 20);
    for number in 0..10 {
        traffic.write_age(&world.engine, number, 10.0);
        traffic.ask_for(&world.engine, number, 1);
    }
    let same = world.simulate(&volume(8), Carry::Shown, 2);
    assert_eq!((same.decisions.not_reproduced, same.decisions.list_changed), (0, 0));
    // Two offers of the group were withheld from each of the last two, who saw travel insurance.
    assert_eq!(limit(&same, "savings_day").withheld, pair(4, 4));
    assert_eq!(limit(&same, "savings_day").customers, pair(2, 2));
    let lower = world.simulate(&volume(5), Carry::Shown, 2);
    assert_eq!(limit(&lower, "savings_day").withheld, pair(4, 10));
    assert_eq!(offer(&lower, "savings_a").shown, pair(8, 5));
    let higher = world.simulate(&volume(9), Carry::Shown, 2);
    // What was shown beyond the old limit is not counted as recorded, so both have room.
    assert_eq!(limit(&higher, "savings_day").withheld, pair(4, 0));
    assert!(lower.remarks.is_empty() && higher.remarks.is_empty());
    let other = world.simulate(&volume(1).replace("per: day", "per: week"), Carry::Shown, 2);
    assert_eq!(limit(&other, "savings_day").withheld, pair(4, 0));
    assert!(other.remarks[0].contains("savings_day"), "{:?}", other.remarks);
}

#[test]
fn a_new_aggregate_is_named_since_it_has_no_past() {
    let world = World::new(BASE);
    Traffic::new(5, 5).play(&world.engine, 60);
    let report = world.simulate(
        &BASE.replace("within: 2d, step: 1h", "within: 3d, step: 1d"),
        Carry::Shown,
        2,
    );
    assert_eq!(report.remarks.len(), 1);
    assert!(report.remarks[0].contains("fund_searches") && report.remarks[0].contains("without a past"));
}

#[test]
fn what_a_plan_over_many_customers_said_is_followed_again() {
    let world = World::new(BASE);
    let mut traffic = Traffic::new(0, 1);
    traffic.write_age(&world.engine, 0, 40.0);
    let active = world.engine.active();
    let position = |id: &str| active.catalog.offers.iter().position(|offer| &*offer.id == id).unwrap();
    let mut barred = vec![false; active.catalog.offers.len()];
    barred[position("fund_a")] = true;
    let first = [u16::try_from(position("savings_b")).unwrap()];
    let steering = Steering {
        first: &first,
        barred: &barred,
    };
    let asked = super::world::Asked {
        channel: 0,
        count: 2,
        campaign: false,
        both_placements: false,
    };
    let request = request(&active, 0, asked);
    world
        .engine
        .offers_steered(&active, &request, Some(steering), START)
        .unwrap();
    let report = world.simulate(BASE, Carry::Shown, 1);
    assert_eq!(
        (
            report.decisions.made,
            report.decisions.not_reproduced,
            report.decisions.list_changed
        ),
        (1, 0, 0)
    );
    assert_eq!(offer(&report, "savings_b").first, pair(1, 1));
    assert_eq!(offer(&report, "fund_a").shown, pair(0, 0));
}

#[test]
fn decisions_whose_catalog_is_not_kept_are_left_out_with_the_reason() {
    let world = World::new(BASE);
    let mut traffic = Traffic::new(2, 5);
    traffic.play(&world.engine, 60);
    let version = world.engine.active().catalog.version.to_string();
    world.change(&BASE.replace("value: 15", "value: 4"));
    let mut traffic = Traffic::from(traffic.now, 3, 5);
    traffic.play(&world.engine, 60);
    let recorded = world.recorded_decisions();
    fs::remove_dir_all(world.data().join("versions").join(&version)).unwrap();
    let report = world.simulate(BASE, Carry::Shown, 2);
    assert_eq!(report.decisions.made, recorded[1]);
    let left_out = &report.decisions.left_out;
    assert_eq!((left_out.len(), left_out[0].decisions), (1, recorded[0]));
    assert!(left_out[0].why.contains(&version), "{left_out:?}");
}

#[test]
fn a_torn_end_is_left_out_and_said_and_a_damaged_record_is_an_error() {
    let world = World::new(BASE);
    Traffic::new(2, 5).play(&world.engine, 80);
    let whole = world.simulate(BASE, Carry::Shown, 2);
    let journal = world.data().join("journal");
    let segment = fs::read_dir(&journal)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "log"))
        .unwrap();
    let good = fs::read(&segment).unwrap();
    fs::write(&segment, [&good[..], &[7; 40]].concat()).unwrap();
    assert_eq!(world.simulate(BASE, Carry::Shown, 2), whole);
    let past = nbo::config::past::Past::open(&world.data()).unwrap();
    assert_eq!(past.span().torn.as_ref().unwrap().offset, good.len() as u64);

    // A later segment follows, so nothing may be torn here.
    fs::write(&segment, &good[..good.len() - 3]).unwrap();
    let last = past.span().last;
    fs::copy(&segment, journal.join(format!("{:020}.log", last + 1))).unwrap();
    let error = nbo::config::past::Past::open(&world.data()).unwrap_err();
    assert!(
        matches!(&error, nbo::config::data::DataError::Log(LogError::Damaged(_))),
        "{error}"
    );
    assert!(error.to_string().contains("is damaged"), "{error}");
}
