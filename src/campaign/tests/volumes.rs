//! Who gets what is left of the catalog's volumes.

use std::sync::Arc;

use super::{CUSTOMERS, Tester, id, with_many_offers};
use crate::campaign::{Audience, METHOD, Position, RUN_LIMIT};
use crate::decision::testing::{T0, catalog_after};
use crate::domain::ids::CustomerId;
use crate::domain::request::OffersRequest;

#[test]
fn what_is_left_of_a_volume_goes_to_those_for_whom_it_is_worth_most() {
    for preview in [true, false] {
        let volumes = "volumes:
  - { id: funds, at_most: 150, of: decided, per: day, groups: [fund] }
  - { id: goal, at_least: 60, of: decided, per: day, offers: [savings_b] }
  - { id: plenty, at_most: 1000000, of: decided, per: day }";
        let mut tester = Tester::new(volumes);
        tester.request.preview = preview;
        tester.request.explain = true;
        // Some is used already.
        let active = tester.engine.active();
        let keen = OffersRequest {
            customer: Some(id(2)),
            preview: false,
            ..tester.request.clone()
        };
        for _ in 0..30 {
            tester.engine.offers(&active, &keen, T0).unwrap();
        }
        let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
        let (mut funds, mut seconds) = (0, 0);
        for (customer, offers, withheld) in tester.told() {
            let number: usize = customer.as_str()[2..].parse().unwrap();
            funds += usize::from(offers == ["fund_a"]);
            seconds += usize::from(offers == ["savings_b"]);
            if offers == ["fund_a"] {
                assert_eq!(number % 3, 2, "{customer} has the strongest intent");
            } else if !number.is_multiple_of(10) {
                let said = withheld.iter().find(|reason| reason.starts_with("fund_a ")).unwrap();
                // Once the last one is reserved, the volume itself says so.
                let says = [format!("fund_a {RUN_LIMIT}"), "fund_a funds".to_owned()];
                assert!(
                    says[..if preview { 1 } else { 2 }].contains(said),
                    "{customer}: {withheld:?}"
                );
            }
        }
        assert_eq!((funds, seconds), (120, 60), "{preview}");
        assert_eq!(
            (summary.used.len(), summary.method),
            (0, METHOD),
            "volumes are no limits of the run's own"
        );
        let rooms = tester.engine.volume_rooms(&active, T0);
        assert_eq!(rooms.list()[0].left, if preview { 120 } else { 0 });
        assert!(summary.totals.objective <= summary.objective_bound.unwrap() + 1e-6);
        assert!(summary.totals.objective > summary.objective_bound.unwrap() * 0.999);
    }
}

#[test]
fn a_volume_that_comes_into_force_during_a_run_is_planned_from_then_on() {
    let mut tester = Tester::new(&with_many_offers("caps: []"));
    tester.request.explain = true;
    let before = Arc::clone(&tester.engine.active().catalog);
    let few = with_many_offers("volumes: [{ id: few, at_most: 20, of: decided, per: day, offers: [fund_a] }]");
    *tester.next_catalog.lock() = Some(catalog_after(&before, &few));
    let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
    assert_eq!(
        (summary.totals.customers, tester.told().len()),
        (CUSTOMERS as u64, CUSTOMERS)
    );
    assert_eq!(summary.method, METHOD);
    let told = tester.told();
    assert!(told.is_sorted_by_key(|(customer, ..)| customer.key()));
    // Two threads with four batches of 50 each, and the one that was handed on.
    let late = told[450..].iter().filter(|(_, offers, _)| offers == &["fund_a"]);
    let late: Vec<&CustomerId> = late.map(|(customer, ..)| customer).collect();
    assert!((1..=20).contains(&late.len()), "{late:?}");
    assert!(
        late.iter()
            .all(|customer| customer.as_str()[2..].parse::<usize>().unwrap() % 3 == 2)
    );
}

#[test]
fn whoever_could_get_only_scarce_offers_at_first_sight_is_planned_with_the_others_and_the_bound_is_one() {
    // Of all that anybody could get, two may be shown; and of the first four, nothing is left for anybody.
    let lines = with_many_offers("caps: [{id: two, at_most: 2, of: decided, within: ever}]");
    let mut tester = Tester::new(&lines);
    let scarce = ["fund_a", "savings_a", "savings_b", "more_0"];
    tester.limits = scarce.map(|offer| (offer, Some(0), 0)).to_vec();
    let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
    assert_eq!(summary.totals.given, CUSTOMERS as u64);
    let told = tester.told();
    assert!(told.iter().all(|(_, offers, _)| !scarce.contains(&&*offers[0])));
    let (objective, bound) = (summary.totals.objective, summary.objective_bound.unwrap());
    assert!(objective > 0.0 && objective <= bound + 1e-6, "{objective} of {bound}");
}
