//! What becomes of conditions in an index, and until when its results stand. That it agrees with the conditions one by one
//! is shown on random catalogs in the tests of `rules`.

use super::{IndexBuilder, Scratch, Shape};
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;
use crate::rules::tests::{NOW, Shop, offer, profile};
use crate::rules::{Facts, Index};

/// An index of rows with these conditions each, all for the shop's offer.
fn index(rows: &[&[&str]]) -> Index {
    let shop = Shop::new();
    let mut builder = IndexBuilder::new(rows.len());
    for (row, conditions) in (0_u16..).zip(rows) {
        for source in *conditions {
            builder.need(row, &shop.compile(source).unwrap(), &offer());
        }
    }
    builder.build()
}

/// Asks for the shop's customer, so long after [`NOW`].
fn ask(index: &Index, later: Millis) -> (Vec<u16>, Timestamp) {
    let (profile, mut passing) = (profile(), Vec::new());
    let facts = Facts {
        profile: &profile,
        intent: &[Value::Number(0.5), Value::Number(2.0)],
        now: NOW + later,
        ..Facts::default()
    };
    let until = index.passing(&facts, &mut Scratch::default(), &mut passing);
    (passing, until)
}

fn passing(rows: &[&[&str]]) -> Vec<u16> {
    ask(&index(rows), Millis::default()).0
}

#[test]
fn conditions_that_differ_in_a_number_are_one_family_however_they_are_written() {
    let Shape {
        clauses,
        families,
        alone,
        ..
    } = index(&[
        &["profile.age >= 18"],
        &["!(profile.age < 21) && profile.age <= 65"],
        &["25 < profile.age", "profile.age in [30, 40]"],
        &["profile.age != 31"],
    ])
    .shape();
    assert_eq!((clauses, families, alone), (6, 1, 0));
}

#[test]
fn equal_conditions_are_one_clause_whatever_the_order_of_their_alternatives() {
    let shape = index(&[
        &["profile.consent || profile.age > 3"],
        &["profile.age > 3 || profile.consent"],
        &["!(!(profile.age > 3) && !profile.consent)"],
    ])
    .shape();
    assert_eq!((shape.clauses, shape.alone), (1, 1));
}

#[test]
fn alternatives_with_the_same_way_out_are_one_family_behind_it() {
    let rows: [&[&str]; 3] = [
        &["profile.age >= 31 || \"loan\" in profile.holdings"],
        &["profile.age >= 40 || \"loan\" in profile.holdings"],
        &["profile.age >= 50 || \"loan\" in profile.holdings"],
    ];
    let shape = index(&rows).shape();
    assert_eq!((shape.clauses, shape.families, shape.alone), (3, 1, 0));
    assert_eq!(passing(&rows), [0, 1, 2], "the customer has a loan");
    let without = rows.map(|row| row[0].replace("loan", "travel"));
    let without: Vec<[&str; 1]> = without.iter().map(|row| [row.as_str()]).collect();
    let without: Vec<&[&str]> = without.iter().map(<[&str; 1]>::as_slice).collect();
    assert!(passing(&without).is_empty(), "30 is below all three");
}

#[test]
fn what_reads_only_the_offer_is_decided_when_the_index_is_built() {
    let rows: [&[&str]; 4] = [
        &["offer.tier == \"gold\""],
        &["offer.tier == \"silver\""],
        &["offer.rate > 3"],
        &["!has(offer.rate)"],
    ];
    let shape = index(&rows).shape();
    assert_eq!((shape.families, shape.alone), (0, 0));
    assert_eq!(passing(&rows), [0, 3], "the offer is gold and has no rate");
}

#[test]
fn a_value_of_the_offer_becomes_a_limit_for_the_customer() {
    let shop = Shop::new();
    let condition = shop.compile("profile.age + 1 >= offer.rate * 2").unwrap();
    let mut builder = IndexBuilder::new(40);
    for rate in 0..40_u16 {
        let offer = [Value::Missing, Value::Missing, Value::Number(f64::from(rate))];
        builder.need(rate, &condition, &offer);
    }
    let index = builder.build();
    assert_eq!((index.shape().families, index.shape().alone), (1, 0));
    assert_eq!(ask(&index, Millis::default()).0, (0..=15).collect::<Vec<_>>());
}

#[test]
fn a_condition_that_cannot_be_judged_stops_its_offer() {
    assert_eq!(
        passing(&[
            &["profile.member"],
            &["!profile.member"],
            &["profile.member || profile.consent"],
            &["profile.moved < now"],
            &["!has(profile.moved)"],
            &["profile.age / profile.balance != 7"],
        ]),
        [2, 4],
    );
}

#[test]
fn a_result_ends_when_time_first_changes_which_offers_pass() {
    // The account is 10 days old.
    let index = index(&[
        &["now - profile.opened >= duration(\"10d\")"],
        &["now - profile.opened >= duration(\"12d\")"],
        &["now - profile.opened >= duration(\"11d\")"],
        &["now - profile.opened < duration(\"13d\")"],
        &["now - profile.opened >= duration(\"10d1h\")", "profile.age > 90"],
    ]);
    assert_eq!(index.shape().families, 1);
    assert_eq!(ask(&index, Millis::default()), (vec![0, 3], NOW + Millis::DAY));
    assert_eq!(ask(&index, Millis::DAY), (vec![0, 2, 3], NOW + Millis::DAY.times(2)));
    let third = ask(&index, Millis::DAY.times(2));
    assert_eq!(third, (vec![0, 1, 2, 3], NOW + Millis::DAY.times(3)));
    assert_eq!(
        ask(&index, Millis::DAY.times(3)),
        (vec![0, 1, 2], Timestamp::FAR_FUTURE)
    );
}

#[test]
fn of_what_stops_an_offer_for_a_while_the_last_to_give_way_counts() {
    let index = index(&[&[
        "now - profile.opened >= duration(\"11d\")",
        "now - profile.opened >= duration(\"15d\")",
        "now.getHours() == 11",
    ]]);
    assert_eq!(ask(&index, Millis::default()), (vec![], NOW + Millis::DAY.times(5)));
}

#[test]
fn dates_open_and_close_rows_at_their_instants() {
    let mut builder = IndexBuilder::new(3);
    builder.need_between(0, Timestamp::FAR_PAST, NOW + Millis::DAY);
    builder.need_between(1, NOW + Millis::HOUR, Timestamp::FAR_FUTURE);
    builder.need_between(2, Timestamp::FAR_PAST, NOW);
    let index = builder.build();
    assert_eq!(ask(&index, Millis::default()), (vec![0], NOW + Millis::HOUR));
    assert_eq!(ask(&index, Millis::HOUR), (vec![0, 1], NOW + Millis::DAY));
    assert_eq!(ask(&index, Millis::DAY), (vec![1], Timestamp::FAR_FUTURE));
}

#[test]
fn sets_of_rows_take_a_few_bytes_for_each_condition() {
    let shop = Shop::new();
    let rows = 2_000;
    let mut builder = IndexBuilder::new(usize::from(rows));
    for row in 0..rows {
        for source in [
            format!("profile.age >= {}", row % 50),
            format!("profile.balance <= {row}"),
            format!("profile.age + profile.balance < {}.5", row % 700),
            "profile.segment in [\"gold\", \"basic\"]".to_owned(),
        ] {
            builder.need(row, &shop.compile(&source).unwrap(), &[]);
        }
    }
    let shape = builder.build().shape();
    assert_eq!((shape.clauses, shape.families, shape.alone), (2_751, 3, 1));
    assert!(shape.bytes < usize::from(rows) * 4 * 32, "{shape:?}");
}
