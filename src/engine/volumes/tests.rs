//! What volumes promise, one thread at a time.

mod reloads;

use std::sync::Arc;

use super::super::{Active, Engine, Limits, Rejection};
use crate::catalog::Catalog;
use crate::decision::policy::counted_at;
use crate::decision::testing::{T0, catalog_after, catalog_with, symbol};
use crate::decision::volumes::window;
use crate::domain::contact::{Contact, Counted};
use crate::domain::decision::{Decision, Withheld};
use crate::domain::entry::{Cancellation, OutcomeReport, Reservation};
use crate::domain::ids::CustomerId;
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, PlacementRequest};
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;

/// Counts by brute force what counts against a volume: looks at every contact of everybody.
pub(in crate::engine) fn recount(catalog: &Catalog, volume: usize, profiles: &[Profile], now: Timestamp) -> u64 {
    let volume = &catalog.volumes[volume];
    let window = window(catalog, volume, now);
    let counts = |contact: &&Contact| {
        let reservation = catalog
            .channels
            .iter()
            .find(|channel| channel.symbol == contact.channel)
            .unwrap()
            .reservation;
        let in_scope = volume.counts(catalog, contact.offer, contact.channel);
        in_scope
            && !contact.is_cancelled()
            && match counted_at(contact, volume.counted) {
                Some(at) => window.start <= at,
                None => now < contact.decided_at() + reservation,
            }
    };
    profiles
        .iter()
        .flat_map(|profile| &profile.contacts)
        .filter(counts)
        .count() as u64
}

struct Bench {
    engine: Engine,
}

impl Bench {
    fn new(lines: &str) -> Self {
        let active = Active::new(catalog_with(lines), Vec::new());
        Self {
            engine: Engine::new(active, Limits::default()),
        }
    }

    /// Puts another catalog in force that knows the same names.
    fn reload(&self, lines: &str) {
        self.engine
            .activate(Active::new(catalog_with(lines), Vec::new()))
            .unwrap();
    }

    fn ask(&self, name: &str, channel: usize, count: usize, now: Timestamp) -> Decision {
        Self::ask_on(&self.engine, &self.engine.active(), name, (channel, count), now)
    }

    /// Asks on the snapshot that a call took.
    fn ask_on(
        engine: &Engine,
        active: &Active,
        name: &str,
        (channel, count): (usize, usize),
        now: Timestamp,
    ) -> Decision {
        let request = Self::request(active, name, (channel, count));
        engine.offers(active, &request, now).unwrap()
    }

    fn request(active: &Active, name: &str, (channel, count): (usize, usize)) -> OffersRequest {
        OffersRequest {
            customer: Some(CustomerId::known(name).unwrap()),
            campaign: None,
            channel,
            placements: vec![PlacementRequest { placement: 0, count }],
            duplicates: false,
            context: vec![Value::Category(active.catalog.channels[channel].symbol)],
            events: Vec::new(),
            explain: true,
            preview: false,
        }
    }

    fn shown(&self, name: &str, count: usize, now: Timestamp) -> usize {
        self.ask(name, 0, count, now).placements[0].offers.len()
    }

    fn report(&self, decision: &Decision, outcome: Counted, at: Timestamp) -> bool {
        let active = self.engine.active();
        let id = decision.id.unwrap();
        let report = OutcomeReport {
            decision: id.number,
            offer: active.catalog.offers[decision.placements[0].offers[0].offer].symbol,
            placement: None,
            outcome,
            at,
        };
        self.engine
            .record_outcome(&active, id.customer, &report, at)
            .unwrap()
            .late
    }

    fn cancel(&self, decision: &Decision, offer: Option<&str>, at: Timestamp) -> Result<usize, Rejection> {
        let active = self.engine.active();
        let id = decision.id.unwrap();
        let cancellation = Cancellation {
            decision: id.number,
            offer: offer.map(|offer| symbol(&active.catalog, offer)),
            placement: None,
            at,
        };
        let receipt = self.engine.cancel(&active, id.customer, &cancellation)?;
        Ok(receipt.cancelled)
    }

    /// Returns what counts against the first volume, when the books and the contacts agree.
    fn count(&self, now: Timestamp) -> u64 {
        let active = self.engine.active();
        let mut profiles = Vec::new();
        self.engine
            .store()
            .for_each(|_, profile| profiles.push(profile.clone()));
        let counted = recount(&active.catalog, 0, &profiles, now);
        let rooms = self.engine.conductor.volumes.rooms(&active, now);
        assert_eq!(
            u64::from(rooms.list()[0].count),
            counted,
            "the books differ from the contacts"
        );
        counted
    }
}

fn reason<'d>(decision: &'d Decision, rule: &str) -> &'d Withheld {
    decision.withheld.iter().find(|reason| &*reason.rule == rule).unwrap()
}

#[test]
fn a_volume_holds_over_all_customers_and_says_when_the_next_window_begins() {
    let bench = Bench::new("volumes: [{ id: three, at_most: 3, of: decided, per: day, because: Few }]");
    assert_eq!((bench.shown("a", 2, T0), bench.shown("b", 2, T0)), (2, 1));
    let none = bench.ask("c", 0, 2, T0);
    assert!(none.placements[0].fallback);
    let said = reason(&none, "three");
    assert_eq!((said.count, said.limit, &*said.because), (Some(3), Some(3), "Few"));
    // Midnight in Madrid.
    let midnight = T0 + Millis::HOUR.times(14);
    assert_eq!(said.eligible_again_at, Some(midnight));
    assert_eq!(none.valid_until, midnight);
    assert_eq!(bench.shown("c", 2, midnight - Millis::new(1)), 0);
    assert_eq!(bench.shown("c", 2, midnight), 2);
    assert_eq!(bench.count(midnight), 2);
}

#[test]
fn volumes_stack_and_count_only_what_lies_in_their_scope() {
    let bench = Bench::new(
        "volumes:
          - { id: one_a, at_most: 1, of: decided, per: week, offers: [savings_a] }
          - { id: mail, at_most: 1, of: decided, per: ever, channels: [mail] }",
    );
    let names = |decision: &Decision| -> Vec<usize> {
        let offers = decision.placements[0].offers.iter();
        offers.map(|shown| shown.offer).collect()
    };
    let catalog = bench.engine.active();
    let at = |name: &str| {
        catalog
            .catalog
            .offers
            .iter()
            .position(|offer| &*offer.id == name)
            .unwrap()
    };
    assert_eq!(names(&bench.ask("a", 0, 2, T0)), [at("savings_a"), at("savings_b")]);
    assert_eq!(names(&bench.ask("b", 0, 2, T0)), [at("savings_b")]);
    assert_eq!(names(&bench.ask("b", 1, 2, T0)), [at("savings_b")]);
    let none = bench.ask("c", 1, 2, T0 + Millis::DAY.times(300));
    assert_eq!(names(&none), Vec::<usize>::new());
    assert_eq!(reason(&none, "mail").eligible_again_at, None, "ever has no end");
}

#[test]
fn zero_is_never_and_a_goal_alone_is_no_limit() {
    let bench = Bench::new(
        "volumes:
          - { id: never, at_most: 0, of: seen, per: day, offers: [savings_a] }
          - { id: goal, at_least: 1, of: seen, per: day }",
    );
    let answer = bench.ask("a", 0, 2, T0);
    assert_eq!(answer.placements[0].offers.len(), 1);
    let said = reason(&answer, "never");
    assert_eq!(
        (said.count, said.limit, said.eligible_again_at),
        (Some(0), Some(0), None)
    );
}

#[test]
fn a_reservation_counts_as_seen_until_its_time_is_over_or_it_is_cancelled() {
    let bench = Bench::new("volumes: [{ id: two, at_most: 2, of: seen, per: hour }]");
    let first = bench.ask("a", 0, 2, T0);
    assert_eq!(bench.shown("b", 1, T0), 0);
    assert_eq!(bench.cancel(&first, Some("savings_b"), T0), Ok(1));
    assert_eq!(bench.cancel(&first, Some("savings_b"), T0), Ok(0));
    assert_eq!((bench.count(T0), bench.shown("b", 2, T0)), (1, 1));
    // The web's reservation is 30 minutes; what was seen counts on.
    bench.report(&first, Counted::Seen, T0 + Millis::MINUTE);
    let over = T0 + Millis::MINUTE.times(30);
    assert_eq!(bench.count(over - Millis::new(1)), 2);
    assert_eq!((bench.count(over), bench.shown("c", 2, over)), (1, 1));
    assert_eq!(bench.count(over), 2);
}

#[test]
fn a_report_after_the_time_out_or_a_cancellation_counts_again_and_is_late() {
    let bench = Bench::new("volumes: [{ id: one, at_most: 1, of: seen, per: day }]");
    let (first, over) = (bench.ask("a", 0, 1, T0), T0 + Millis::MINUTE.times(30));
    assert_eq!(bench.shown("b", 1, over), 1);
    assert!(bench.report(&first, Counted::Clicked, over));
    assert_eq!(bench.count(over), 2, "a late report is recorded as what it is");
    let bench = Bench::new("volumes: [{ id: one, at_most: 1, of: decided, per: day }]");
    let first = bench.ask("a", 0, 1, T0);
    assert_eq!(bench.cancel(&first, None, T0), Ok(1));
    assert_eq!(bench.shown("b", 1, T0), 1);
    assert!(bench.report(&first, Counted::Seen, T0));
    assert_eq!(bench.count(T0), 2);
    assert_eq!(bench.cancel(&first, None, T0), Ok(0), "what was seen took place");
}

#[test]
fn a_reservation_of_yesterday_counts_today_until_it_is_over() {
    let bench = Bench::new("volumes: [{ id: one, at_most: 1, of: seen, per: day }]");
    let midnight = T0 + Millis::HOUR.times(14);
    let late = bench.ask("a", 0, 1, midnight - Millis::MINUTE);
    assert_eq!(bench.shown("b", 1, midnight), 0, "it may still be seen today");
    bench.report(&late, Counted::Seen, midnight + Millis::MINUTE);
    assert_eq!(bench.count(midnight + Millis::MINUTE), 1);
}

#[test]
fn an_earlier_report_that_comes_later_moves_the_count_to_its_day() {
    let bench = Bench::new("volumes: [{ id: nine, at_most: 9, of: delivered, per: day }]");
    let midnight = T0 + Millis::HOUR.times(14);
    let first = bench.ask("a", 1, 1, midnight - Millis::HOUR);
    bench.report(&first, Counted::Seen, midnight + Millis::HOUR);
    assert_eq!(bench.count(midnight + Millis::HOUR), 1);
    let active = bench.engine.active();
    let id = first.id.unwrap();
    let report = OutcomeReport {
        decision: id.number,
        offer: active.catalog.offers[first.placements[0].offers[0].offer].symbol,
        placement: None,
        outcome: Counted::Delivered,
        at: midnight - Millis::MINUTE,
    };
    bench
        .engine
        .record_outcome(&active, id.customer, &report, midnight + Millis::HOUR)
        .unwrap();
    assert_eq!(bench.count(midnight + Millis::HOUR), 0, "it was delivered yesterday");
}

#[test]
fn an_even_pace_sets_one_more_free_with_each_share_of_the_window() {
    let bench = Bench::new("volumes: [{ id: paced, at_most: 4, of: decided, per: hour, pace: even }]");
    let minute = |minutes: i64| T0 + Millis::MINUTE.times(minutes);
    assert_eq!(bench.shown("a", 3, T0), 1);
    let none = bench.ask("b", 0, 2, T0);
    let said = reason(&none, "paced");
    assert_eq!((said.count, said.limit), (Some(1), Some(1)));
    assert_eq!(said.eligible_again_at, Some(minute(15)));
    assert_eq!(bench.shown("b", 3, minute(15) - Millis::new(1)), 0);
    assert_eq!(bench.shown("b", 3, minute(15)), 1);
    // What was not used stays free, up to the limit.
    assert_eq!(bench.shown("c", 3, minute(45)), 2);
    assert_eq!(bench.shown("d", 3, minute(59)), 0);
    assert_eq!(
        reason(&bench.ask("d", 0, 1, minute(59)), "paced").eligible_again_at,
        Some(minute(60))
    );
    assert_eq!(bench.shown("d", 3, minute(60)), 1);
}

#[test]
fn what_a_pace_set_free_is_promised_to_the_end_of_its_window_only() {
    let bench = Bench::new("volumes: [{ id: paced, at_most: 4, of: decided, per: hour, pace: even }]");
    let last = T0 + Millis::HOUR - Millis::MINUTE;
    let active = bench.engine.active();
    let look = |at| {
        let request = OffersRequest {
            explain: false,
            preview: true,
            ..Bench::request(&active, "a", (0, 2))
        };
        bench.engine.offers(&active, &request, at).unwrap()
    };
    assert_eq!(look(last).placements[0].offers.len(), 2);
    assert_eq!(look(last).valid_until, T0 + Millis::HOUR);
    // The next window begins with one.
    assert_eq!(look(T0 + Millis::HOUR).placements[0].offers.len(), 1);
}

#[test]
fn a_reason_stands_until_the_pace_moves_the_limit_that_it_names() {
    let bench = Bench::new("volumes: [{ id: eight, at_most: 8, of: decided, per: hour }]");
    assert_eq!((bench.shown("a", 2, T0), bench.shown("b", 2, T0)), (2, 2));
    bench.reload("volumes: [{ id: eight, at_most: 8, of: decided, per: hour, pace: even }]");
    let limit = |answer: &Decision| {
        let said = reason(answer, "eight");
        (said.count, said.limit)
    };
    let none = bench.ask("c", 0, 2, T0);
    assert_eq!(limit(&none), (Some(4), Some(1)));
    let step = T0 + Millis::SECOND.times(450);
    assert_eq!(none.valid_until, step);
    assert_eq!(limit(&bench.ask("c", 0, 2, step)), (Some(4), Some(2)));
}

#[test]
fn a_report_in_time_by_its_own_clock_is_late_when_others_were_given_the_room_before() {
    let bench = Bench::new("volumes: [{ id: one, at_most: 1, of: seen, per: day }]");
    let (first, over) = (bench.ask("a", 0, 1, T0), T0 + Millis::MINUTE.times(30));
    let just_before = over - Millis::new(1);
    assert_eq!(bench.shown("b", 1, over), 1);
    assert!(bench.report(&first, Counted::Seen, just_before));
    let bench = Bench::new("volumes: [{ id: one, at_most: 1, of: seen, per: day }]");
    let first = bench.ask("a", 0, 1, T0);
    assert!(!bench.report(&first, Counted::Seen, just_before));
    assert_eq!((bench.shown("b", 1, over), bench.count(over)), (0, 1));
}

#[test]
fn a_decision_of_an_earlier_instant_counts_what_was_reserved_then_though_others_came_first() {
    let bench = Bench::new("volumes: [{ id: one, at_most: 1, of: seen, per: day }]");
    let over = T0 + Millis::MINUTE.times(30);
    bench.ask("a", 0, 1, T0);
    // Somebody looks at a moment at which it is over.
    assert_eq!(bench.count(over), 0);
    assert_eq!(
        (
            bench.count(over - Millis::new(1)),
            bench.shown("b", 1, over - Millis::new(1))
        ),
        (1, 0)
    );
    assert_eq!(bench.shown("b", 1, over), 1);
    assert_eq!(
        bench.count(over - Millis::new(1)),
        2,
        "both count for whoever comes from before"
    );
    // A while later it is forgotten, and only what is open is left.
    assert_eq!(bench.count(over + Millis::MINUTE.times(29)), 1);
    assert_eq!(bench.count(over + Millis::MINUTE.times(30)), 0);
}

#[test]
fn room_is_promised_for_when_enough_reservations_have_run_out_besides() {
    let midnight = T0 + Millis::HOUR.times(14);
    let mail = |per: &str| format!("volumes: [{{ id: v, at_most: 2, of: delivered, per: {per}, channels: [mail] }}]");
    let bench = Bench::new(&mail("day"));
    let again = |bench: &Bench, now| reason(&bench.ask("z", 1, 1, now), "v").eligible_again_at;
    let first = bench.ask("a", 1, 1, T0);
    bench.ask("b", 1, 1, T0 + Millis::HOUR);
    // Both may still be delivered tomorrow; the first is over in two days.
    let over = T0 + Millis::DAY.times(2);
    assert_eq!(again(&bench, T0 + Millis::HOUR), Some(over));
    bench.report(&first, Counted::Delivered, T0 + Millis::HOUR);
    assert_eq!(
        again(&bench, T0 + Millis::HOUR),
        Some(midnight),
        "one is done with today, and one is open"
    );
    assert_eq!(
        bench.ask("y", 1, 1, midnight - Millis::new(1)).placements[0]
            .offers
            .len(),
        0
    );
    assert_eq!(bench.ask("y", 1, 1, midnight).placements[0].offers.len(), 1);
    let bench = Bench::new(&mail("ever"));
    bench.ask("a", 1, 2, T0);
    assert_eq!(
        again(&bench, T0),
        Some(over),
        "a reservation that runs out makes room for good"
    );
}

#[test]
fn somebody_forgotten_releases_what_was_reserved_and_keeps_what_happened() {
    let bench = Bench::new(
        "volumes:
          - { id: seen, at_most: 2, of: seen, per: day }
          - { id: decided, at_most: 3, of: decided, per: day }",
    );
    let first = bench.ask("a", 0, 2, T0);
    bench.report(&first, Counted::Seen, T0);
    assert_eq!(bench.shown("b", 1, T0), 0);
    assert!(bench.engine.delete_profile(&CustomerId::known("a").unwrap()).unwrap());
    // One was seen, the other can never be now; but both were decided.
    assert_eq!(bench.shown("b", 2, T0), 1);
    let none = bench.ask("c", 0, 1, T0 + Millis::HOUR);
    assert_eq!(reason(&none, "decided").count, Some(3));
}

#[test]
fn what_a_full_store_refuses_is_taken_back() {
    let catalog = catalog_with("volumes: [{ id: one, at_most: 1, of: decided, per: day }]");
    let limits = Limits {
        customers_max: 1,
        ..Limits::default()
    };
    let bench = Bench {
        engine: Engine::new(Active::new(Arc::clone(&catalog), Vec::new()), limits),
    };
    assert_eq!(bench.shown("a", 0, T0), 0);
    bench
        .engine
        .upsert_profile(
            &bench.engine.active(),
            &CustomerId::known("a").unwrap(),
            &crate::domain::entry::ProfileChange::default(),
            T0,
        )
        .unwrap();
    assert_eq!(bench.shown("b", 1, T0), 0, "there is no room for somebody new");
    assert_eq!((bench.count(T0), bench.shown("a", 1, T0)), (0, 1));
}

#[test]
fn a_clock_that_steps_back_makes_no_room() {
    let bench = Bench::new("volumes: [{ id: two, at_most: 2, of: decided, per: day }]");
    let midnight = T0 + Millis::HOUR.times(14);
    assert_eq!(bench.shown("a", 2, midnight), 2);
    assert_eq!(bench.shown("b", 1, midnight - Millis::HOUR), 0);
}

#[test]
fn room_is_promised_for_no_window_that_was_filled_before_the_clock_stepped_back() {
    let midnight = T0 + Millis::HOUR.times(14);
    let (before, day) = (midnight - Millis::HOUR, Millis::DAY);
    let again = |bench: &Bench, at| reason(&bench.ask("z", 0, 1, at), "v").eligible_again_at;
    let bench = Bench::new("volumes: [{ id: v, at_most: 2, of: decided, per: day }]");
    assert_eq!(bench.shown("a", 2, midnight), 2);
    assert_eq!(bench.shown("b", 2, midnight + day), 2);
    assert_eq!(again(&bench, before), Some(midnight + day.times(2)));
    assert_eq!(bench.shown("c", 1, midnight + day.times(2) - Millis::new(1)), 0);
    assert_eq!(bench.shown("c", 1, midnight + day.times(2)), 1);

    // One of tomorrow's is left; today's are used up by those of tomorrow and one of today.
    let bench = Bench::new("volumes: [{ id: v, at_most: 2, of: decided, per: day }]");
    let late = bench.ask("a", 0, 1, midnight);
    assert_eq!(
        (bench.shown("b", 2, before), again(&bench, before)),
        (1, Some(midnight))
    );
    assert_eq!(bench.cancel(&late, None, midnight), Ok(1));
    assert_eq!(bench.shown("c", 2, before), 1, "what is cancelled lies ahead no more");
    // A catalog that comes into force then counts the same.
    assert_eq!(bench.shown("d", 2, midnight), 2);
    bench.reload("volumes: [{ id: v, at_most: 2, of: decided, per: day, pace: even }]");
    assert_eq!(again(&bench, before), Some(midnight + day));
}
