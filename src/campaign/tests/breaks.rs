//! What a run makes of customers whom it answered before a break, and whose answers are no longer kept.

use std::collections::BTreeSet;

use super::{CUSTOMERS, Tester, id};
use crate::campaign::{Audience, Position, Stopped};
use crate::decision::testing::T0;
use crate::domain::contact::Counted;
use crate::domain::entry::{Cancellation, OutcomeReport};
use crate::domain::ids::CustomerId;
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::Millis;
use crate::engine::Limits as EngineLimits;

#[test]
fn whoever_was_answered_before_a_break_is_listed_by_the_contact_history_when_the_answer_is_not_kept() {
    for limited in [false, true] {
        // No answer is kept for long.
        let forgetful = EngineLimits {
            answers_bytes_max: 1,
            ..EngineLimits::default()
        };
        let mut tester = Tester::within("caps: []", forgetful);
        tester.request.preview = false;
        tester.once = Some(RequestKey { id: 1, body: 2 });
        if limited {
            tester.limits = vec![("fund_a", Some(100), 0)];
        }
        // The run breaks off after the first batch, with others under way.
        tester.batches_max = 1;
        let stopped = tester.run(&Audience::Everyone, Position::default()).unwrap_err();
        assert_eq!(stopped, Stopped::Gone);
        let arrived = tester.told().len();
        let reserved: Vec<usize> = (0..CUSTOMERS).filter(|&number| tester.contacts(number) > 0).collect();
        let given = |number: &usize| tester.engine.profile(&id(*number)).unwrap().contacts[0];
        let lost: Vec<usize> = {
            let told = tester.told();
            let is_told = |number: &usize| told.iter().any(|(told, ..)| *told == id(*number));
            reserved.iter().copied().filter(|number| !is_told(number)).collect()
        };
        assert!(lost.len() > 100, "{}", lost.len());
        // One of those who are lost was cancelled meanwhile.
        let cancellation = Cancellation {
            decision: given(&lost[0]).decision,
            offer: None,
            placement: None,
            at: T0,
        };
        let active = tester.engine.active();
        tester.engine.cancel(&active, id(lost[0]).key(), &cancellation).unwrap();
        tester.batches_max = usize::MAX;
        let start = tester.positions.lock()[0].clone();
        let summary = tester.run(&Audience::Everyone, start).unwrap();
        let recalled: BTreeSet<CustomerId> = tester.recalled.lock().iter().cloned().collect();
        assert_eq!(recalled, lost[1..].iter().map(|&number| id(number)).collect());
        assert_eq!(
            (summary.totals.recalled, summary.totals.lapsed),
            (lost.len() as u64 - 1, 1),
            "{limited}"
        );
        let told = tester.told();
        assert_eq!(told.len(), CUSTOMERS - 1);
        assert_eq!(summary.totals.customers, (CUSTOMERS - arrived) as u64);
        for (customer, offers, _) in &told {
            let profile = tester.engine.profile(customer).unwrap();
            let contacts = profile.contacts.iter();
            let names: Vec<&str> = contacts
                .map(|contact| active.catalog.symbols.name(contact.offer))
                .collect();
            assert_eq!(*offers, names, "{customer} has what is reserved, once");
        }
        if limited {
            let funds = told.iter().filter(|(_, offers, _)| offers == &["fund_a"]).count() as u64;
            assert!(funds <= 100 && summary.used == [funds], "{funds} {:?}", summary.used);
        }
    }
}

#[test]
fn a_reservation_that_ran_out_before_the_run_went_on_is_not_listed() {
    let forgetful = EngineLimits {
        answers_bytes_max: 1,
        ..EngineLimits::default()
    };
    let mut tester = Tester::within("caps: []", forgetful);
    tester.request.preview = false;
    let once = RequestKey { id: 1, body: 2 };
    let active = tester.engine.active();
    for number in [3, 4] {
        let request = OffersRequest {
            customer: Some(id(number)),
            ..tester.request.clone()
        };
        let answer = tester
            .engine
            .answer(&active, &request, Some(once), T0 - Millis::MINUTE.times(30))
            .unwrap();
        let report = OutcomeReport {
            decision: answer.decision.id.unwrap().number,
            offer: active.catalog.offers[answer.decision.placements[0].offers[0].offer].symbol,
            placement: None,
            outcome: Counted::Delivered,
            at: T0 - Millis::MINUTE,
        };
        if number == 4 {
            tester
                .engine
                .record_outcome(&active, id(4).key(), &report, T0 - Millis::MINUTE)
                .unwrap();
        }
    }
    tester.once = Some(once);
    let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
    assert_eq!((summary.totals.recalled, summary.totals.lapsed), (1, 1));
    assert_eq!(*tester.recalled.lock(), [id(4)], "what was delivered took place");
    assert!(!tester.told().iter().any(|(customer, ..)| *customer == id(3)));
}
