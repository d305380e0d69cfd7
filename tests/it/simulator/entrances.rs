//! Many callers come by all entrances at once, unary, by stream, with events and by campaigns, for few customers and the same volumes;
//! afterwards everything is recounted from the customers' contacts.

use std::collections::BTreeSet;

use nbo::domain::contact::{Contact, Counted};
use nbo::domain::ids::{CustomerId, DecisionId};
use nbo::domain::time::{Millis, Timestamp};
use nbo::server::wire::rank_customers_request::Audience;
use nbo::server::wire::{self, Outcome};
use tokio::sync::Barrier;

use crate::contract::contacts::{audited, exported};
use crate::served::{MORNING, Served, customer, placement};

const CALLERS: usize = 8;
const CALLS: usize = 120;
const CUSTOMERS: usize = 12;
/// How far each call moves the clock: all of them together some ninety minutes.
const STEP: Millis = Millis::SECOND.times(6);

/// An hour has room for 30 of `a1` and for 40 of `b1`; nobody gets one of them more than four times in twenty minutes.
const CATALOG: &str = "
catalog: {name: entrances, time_zone: Europe/Madrid}
channels: [{id: web, reservation: 30m}]
events: [{id: visit}]
groups:
  - {id: a, start_propensity: 0.5}
  - {id: b, start_propensity: 0.4}
offers:
  - {id: a1, group: a, name: A1, value: 4, treatments: {web: {title: T}}}
  - {id: a2, group: a, name: A2, value: 3, treatments: {web: {title: T}}}
  - {id: b1, group: b, name: B1, value: 4, treatments: {web: {title: T}}}
placements: [{id: list, count_max: 3}]
caps: [{id: each_offer, at_most: 4, of: decided, within: 20m, each: offer}]
volumes:
  - {id: a1_an_hour, at_most: 30, of: decided, per: hour, offers: [a1]}
  - {id: b1_an_hour, at_most: 40, of: seen, per: hour, offers: [b1]}
";

fn request(name: &str, request_id: String) -> wire::GetOffersRequest {
    wire::GetOffersRequest {
        customer: Some(customer(name)),
        channel: "web".to_owned(),
        placements: vec![placement("list", 3)],
        request_id,
        ..Default::default()
    }
}

/// Asks by one of the entrances; where the call has an id, twice at once.
async fn ask(served: &Served, call: usize, name: &str, id: String) -> wire::GetOffersResponse {
    match call % 3 {
        0 => {
            let (mut one, mut other) = (served.decisions(), served.decisions());
            let (first, again) = tokio::join!(
                one.get_offers(request(name, id.clone())),
                other.get_offers(request(name, id))
            );
            let (first, again) = (first.unwrap().into_inner(), again.unwrap().into_inner());
            assert_eq!(first.decision_id, again.decision_id, "the same request is one decision");
            if !first.decision_id.is_empty() {
                assert_ne!(first.replayed, again.replayed);
            }
            first
        }
        1 => {
            let item = wire::GetOffersStreamRequest {
                correlation_id: id.clone(),
                request: Some(request(name, id)),
            };
            let mut decisions = served.decisions();
            let answers = decisions.get_offers_stream(tokio_stream::iter([item]));
            let answer = answers.await.unwrap().into_inner().message().await.unwrap().unwrap();
            match answer.result {
                Some(wire::get_offers_stream_response::Result::Offers(offers)) => offers,
                other => panic!("{other:?}"),
            }
        }
        _ => {
            let event = wire::Event {
                id: id.clone(),
                r#type: "visit".to_owned(),
                ..Default::default()
            };
            let mut behaviour = served.behaviour();
            let recorded = behaviour.record_events(wire::RecordEventsRequest {
                customer: Some(customer(name)),
                events: vec![event],
                offers: Some(wire::GetOffersRequest {
                    customer: None,
                    ..request(name, id)
                }),
            });
            recorded.await.unwrap().into_inner().offers.unwrap()
        }
    }
}

/// Has a campaign run for one customer, and returns what it says as the answer to a call.
async fn run(served: &Served, name: &str, id: String) -> wire::GetOffersResponse {
    let run = wire::RankCustomersRequest {
        audience: Some(Audience::Customers(wire::CustomerList {
            customers: vec![customer(name)],
        })),
        channel: "web".to_owned(),
        placement: Some(placement("list", 3)),
        reserve: true,
        run_id: id,
        ..Default::default()
    };
    let mut answers = served.campaigns().rank_customers(run).await.unwrap().into_inner();
    let mut told = Vec::new();
    while let Some(message) = answers.message().await.unwrap() {
        told.extend(message.customers);
    }
    // Nobody is told of who gets nothing.
    let told: wire::CustomerOffers = told.pop().unwrap_or_default();
    wire::GetOffersResponse {
        decision_id: told.decision_id,
        placements: vec![wire::PlacementOffers {
            offers: told.offers,
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Reports that an offer of an answer was seen, or takes the whole answer back.
async fn settle(served: &Served, call: usize, answer: &wire::GetOffersResponse) {
    let Some(first) = answer.placements[0]
        .offers
        .last()
        .filter(|_| !answer.decision_id.is_empty())
    else {
        return;
    };
    let mut behaviour = served.behaviour();
    match call % 4 {
        0 => {
            let report = wire::RecordOutcomeRequest {
                decision_id: answer.decision_id.clone(),
                offer_id: first.offer_id.clone(),
                outcome: Outcome::Seen.into(),
                ..Default::default()
            };
            let receipt = behaviour.record_outcome(report).await.unwrap().into_inner();
            assert!(receipt.recorded && !receipt.late);
        }
        1 => {
            let cancel = wire::CancelRequest {
                decision_id: answer.decision_id.clone(),
                ..Default::default()
            };
            let (one, other) = (behaviour.cancel(cancel.clone()).await, behaviour.cancel(cancel).await);
            let shown = u32::try_from(answer.placements[0].offers.len()).unwrap();
            assert_eq!(one.unwrap().into_inner().cancelled, shown);
            assert_eq!(other.unwrap().into_inner().cancelled, 0);
        }
        _ => {}
    }
}

/// Makes the calls of one caller, each together with one of each other caller, and returns the decisions that it was told of. So
/// calls that are under way together lie less than a minute of the clock apart, however slow the machine is: the engine
/// remembers for as long what was reserved a moment ago.
async fn calls(served: &Served, together: &Barrier, caller: usize) -> BTreeSet<String> {
    let mut decisions = BTreeSet::new();
    for call in 0..CALLS {
        together.wait().await;
        served.clock.advance(STEP);
        let name = format!("c{}", (caller * 7 + call) % CUSTOMERS);
        let id = format!("r-{caller}-{call}");
        // One of the callers is a campaign, every other time.
        let answer = if caller == 0 && call % 2 == 1 {
            run(served, &name, id).await
        } else {
            ask(served, call, &name, id).await
        };
        settle(served, call / 3, &answer).await;
        if !answer.decision_id.is_empty() {
            decisions.insert(answer.decision_id);
        }
    }
    decisions
}

/// Counts how many of `instants` lie in the fullest hour of the clock.
fn fullest_hour(instants: &[Timestamp]) -> usize {
    let hour = |at: &Timestamp| at.as_millis().div_euclid(Millis::HOUR.get());
    let in_hour_of = |one: &Timestamp| instants.iter().filter(|other| hour(other) == hour(one)).count();
    instants.iter().map(in_hour_of).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_entrances_they_take_no_volume_is_exceeded_and_none_is_left_unused() {
    let served = Served::start_with(CATALOG, |_| ()).await;
    let together = Barrier::new(CALLERS);
    let callers = (0..CALLERS).map(|caller| calls(&served, &together, caller));
    let told: BTreeSet<String> = futures(callers).await.into_iter().flatten().collect();
    let catalog = served.engine.active().catalog.clone();
    let offer = |name: &str| catalog.symbols.find(name).unwrap();
    let mut contacts: Vec<Contact> = Vec::new();
    let mut decisions = BTreeSet::new();
    for number in 0..CUSTOMERS {
        let id = CustomerId::known(&format!("c{number}")).unwrap();
        let profile = served.engine.profile(&id).unwrap();
        let own = |contact: &Contact| DecisionId {
            customer: id.key(),
            number: contact.decision,
        };
        decisions.extend(profile.contacts.iter().map(|contact| own(contact).to_string()));
        let counted = profile.contacts.iter().filter(|contact| !contact.is_cancelled());
        let mut of_a2: Vec<Timestamp> = counted
            .clone()
            .filter(|contact| contact.offer == offer("a2"))
            .map(Contact::decided_at)
            .collect();
        of_a2.sort_unstable();
        let close = of_a2
            .windows(5)
            .find(|five| five[4] - five[0] < Millis::MINUTE.times(20));
        assert_eq!(close, None, "more than four in twenty minutes");
        contacts.extend(counted);
    }
    assert_eq!(told, decisions, "what was answered is what is kept");

    let of = |name: &str, at: &dyn Fn(&Contact) -> Option<Timestamp>| -> Vec<Timestamp> {
        let chosen = contacts.iter().filter(|contact| contact.offer == offer(name));
        chosen.filter_map(at).collect()
    };
    let decided_a1 = of("a1", &|contact| Some(contact.decided_at()));
    assert_eq!(
        fullest_hour(&decided_a1),
        30,
        "as many as are allowed, and not one more"
    );
    let seen_b1 = of("b1", &|contact| contact.time_of(Counted::Seen));
    assert!(fullest_hour(&seen_b1) <= 40);

    // What nobody holds can be had: as many as the recount says are free, and no more.
    let now = MORNING + STEP.times(i64::try_from(CALLERS * CALLS).unwrap());
    let hour = |at: Timestamp| at.as_millis().div_euclid(Millis::HOUR.get());
    let counts_b1 = |contact: &&Contact| {
        contact.offer == offer("b1")
            && contact
                .time_of(Counted::Seen)
                .map_or(now < contact.decided_at() + Millis::MINUTE.times(30), |seen| {
                    hour(seen) == hour(now)
                })
    };
    let a1_used = decided_a1.iter().filter(|&&at| hour(at) == hour(now)).count();
    let free = (30 - a1_used, 40 - contacts.iter().filter(counts_b1).count());
    let mut found = (0, 0);
    for number in 0..100 {
        let asked = request(&format!("new-{number}"), String::new());
        let answer = served.decisions().get_offers(asked).await.unwrap().into_inner();
        let shows = |id: &str| usize::from(answer.placements[0].offers.iter().any(|offer| offer.offer_id == id));
        found = (found.0 + shows("a1"), found.1 + shows("b1"));
    }
    assert_eq!(found, free);

    // And by the auditor, which knows nothing of the engine: every cap and volume at every decision. Each call moves the clock by
    // six seconds, so calls that are under way together lie minutes apart.
    let (recounted, violations) = audited(&exported(&served).await, Millis::MINUTE.times(5).get());
    assert_eq!(violations, []);
    assert!(recounted.checks > 500 && recounted.without_policy == 0, "{recounted:?}");
}

/// Drives all at once, and returns what each returns.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (work, done) in pending.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(result) = work.as_mut().poll(context)
            {
                *done = Some(result);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
