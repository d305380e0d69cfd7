//! What holds under whatever interleaving of threads: the conductor and the volumes as in production, under a checker that
//! chooses at every lock who goes on. A customer's lock stands in for the store's.

use std::cell::Cell;
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Mutex;
use shuttle::{Config, Runner, thread};

use super::call::Call;
use super::conductor::Conductor;
use super::ranking::Keep;
use super::volumes::books::Books;
use super::volumes::tests::recount;
use super::{Active, Answer, Limits, Rejection, Workspace};
use crate::catalog::Catalog;
use crate::decision::testing::{T0, catalog_with};
use crate::domain::contact::Counted;
use crate::domain::entry::{Cancellation, OutcomeReport};
use crate::domain::ids::CustomerId;
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, PlacementRequest, RequestKey};
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;
use crate::store::Standing;
use crate::store::record::Draft;
use crate::store::seal::Seal;

/// Interleavings tried at random, and by priorities with three changes.
const TRIED: usize = 600;

/// A few customers and everything that they share.
struct Scene {
    conductor: Conductor<Mutex<Books>>,
    active: Arc<Active>,
    customers: Vec<(CustomerId, Mutex<Profile>)>,
}

impl Scene {
    fn new(catalog: &Arc<Catalog>, customers: usize) -> Self {
        let customer = |number| (CustomerId::known(&format!("c{number}")).unwrap(), Mutex::default());
        Self {
            conductor: Conductor::new(&Limits {
                ranked_lists_bytes_max: 1 << 16,
                answers_bytes_max: 1 << 16,
                ..Limits::default()
            }),
            active: Arc::new(Active::new(Arc::clone(catalog), Vec::new())),
            customers: (0..customers).map(customer).collect(),
        }
    }

    /// Asks for so many savings offers.
    fn ask(&self, who: usize, count: usize, once: Option<RequestKey>, now: Timestamp) -> Result<Answer, Rejection> {
        let (id, profile) = &self.customers[who];
        let request = OffersRequest {
            customer: Some(id.clone()),
            channel: 0,
            campaign: None,
            placements: vec![PlacementRequest { placement: 0, count }],
            duplicates: false,
            context: vec![Value::Category(self.active.catalog.channels[0].symbol)],
            events: Vec::new(),
            explain: false,
            preview: false,
        };
        let call = Call {
            active: &self.active,
            request: &request,
            once,
            rooms: None,
            steering: None,
            keep: Keep::Yes,
            key: Some(id.key()),
            now,
            found: Cell::default(),
        };
        let mut profile = profile.lock().unwrap();
        let answered = self.conductor.answer(
            &self.active,
            &call,
            &mut profile,
            Standing::Known,
            &mut Workspace::default(),
        );
        answered.map(|(answer, _)| answer)
    }

    /// Cancels all that an answer reserved, and returns how many contacts that released.
    fn cancel(&self, who: usize, answer: &Answer, at: Timestamp) -> usize {
        let Some(id) = answer.decision.id else { return 0 };
        let cancellation = Cancellation {
            decision: id.number,
            offer: None,
            placement: None,
            at,
        };
        let mut profile = self.customers[who].1.lock().unwrap();
        let receipt = self.conductor.cancel(
            &self.active,
            id.customer,
            &mut profile,
            &cancellation,
            &mut Draft::default(),
        );
        receipt.unwrap().cancelled
    }

    /// Reports that the first offer of an answer was seen; tells whether that was late.
    fn see(&self, who: usize, answer: &Answer, now: Timestamp) -> bool {
        let Some(id) = answer.decision.id else { return false };
        let report = OutcomeReport {
            decision: id.number,
            offer: self.active.catalog.offers[answer.decision.placements[0].offers[0].offer].symbol,
            placement: None,
            outcome: Counted::Seen,
            at: now,
        };
        let mut profile = self.customers[who].1.lock().unwrap();
        let receipt = self.conductor.outcome(
            &self.active,
            id.customer,
            &mut profile,
            &report,
            now,
            &mut Draft::default(),
        );
        receipt.unwrap().late
    }

    /// Forgets somebody.
    fn forget(&self, who: usize) {
        let (id, profile) = &self.customers[who];
        let mut profile = profile.lock().unwrap();
        self.conductor.forget(id.key(), &profile, Seal::NONE).unwrap();
        profile.clear();
    }

    /// Returns what counts against the first volume by its books and by the contacts of all customers.
    fn counts(&self, now: Timestamp) -> (u64, u64) {
        let rooms = self.conductor.volumes.rooms(&self.active, now);
        let profiles: Vec<Profile> = self
            .customers
            .iter()
            .map(|(_, profile)| profile.lock().unwrap().clone())
            .collect();
        (
            u64::from(rooms.list()[0].count),
            recount(&self.active.catalog, 0, &profiles, now),
        )
    }
}

fn shown(answer: &Answer) -> usize {
    answer
        .decision
        .placements
        .iter()
        .map(|filled| filled.offers.len())
        .sum()
}

/// Tries many interleavings; a failure prints its schedule.
fn check(work: impl Fn() + Send + Sync + Clone + 'static) {
    let mut config = Config::new();
    // Deciding takes more stack than the checker gives by itself.
    config.stack_size = 1 << 20;
    Runner::new(RandomScheduler::new_from_seed(1, TRIED), config.clone()).run(work.clone());
    Runner::new(PctScheduler::new_from_seed(2, 3, TRIED), config).run(work);
}

/// Runs three at once and returns what each returned.
fn three<T: Send + 'static>(
    scene: &Arc<Scene>,
    work: impl Fn(&Scene, usize) -> T + Send + Sync + Clone + 'static,
) -> Vec<T> {
    let started: Vec<_> = (0..3)
        .map(|who| {
            let (scene, work) = (Arc::clone(scene), work.clone());
            thread::spawn(move || work(&scene, who))
        })
        .collect();
    started.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn a_volume_is_neither_exceeded_nor_left_unused_however_many_ask_at_once() {
    let catalog = catalog_with(
        "volumes:
          - { id: few, at_most: 3, of: decided, per: day }
          - { id: fewer, at_most: 2, of: decided, per: day, offers: [savings_a] }",
    );
    check(move || {
        let scene = Arc::new(Scene::new(&catalog, 3));
        let answers = three(&scene, |scene, who| scene.ask(who, 2, None, T0).unwrap());
        assert_eq!(answers.iter().map(shown).sum::<usize>(), 3);
        assert_eq!(scene.counts(T0), (3, 3));
    });
}

#[test]
fn what_is_cancelled_seen_or_forgotten_is_released_once() {
    let catalog = catalog_with("volumes: [{ id: few, at_most: 3, of: seen, per: day }]");
    check(move || {
        let scene = Arc::new(Scene::new(&catalog, 3));
        let released = three(&scene, |scene, who| {
            let answer = scene.ask(who, 2, None, T0).unwrap();
            match who {
                0 => scene.cancel(who, &answer, T0) + scene.cancel(who, &answer, T0),
                1 => {
                    scene.see(who, &answer, T0 + Millis::MINUTE);
                    0
                }
                _ => {
                    scene.forget(who);
                    shown(&answer)
                }
            }
        });
        let (books, contacts) = scene.counts(T0 + Millis::MINUTE);
        assert_eq!(books, contacts);
        assert!(books <= 3, "{released:?}");
        // All that is left is what the second was shown; so the first gets the rest.
        let again = scene.ask(0, 3, None, T0 + Millis::MINUTE).unwrap();
        assert_eq!(shown(&again), usize::try_from(3 - books).unwrap().min(2));
    });
}

#[test]
fn a_report_that_races_with_the_time_out_counts_once_and_exceeds_nothing_unless_it_is_late() {
    let catalog = catalog_with("volumes: [{ id: few, at_most: 2, of: seen, per: day }]");
    let over = T0 + Millis::MINUTE.times(30);
    check(move || {
        let scene = Arc::new(Scene::new(&catalog, 3));
        let first = Arc::new(scene.ask(0, 1, None, T0).unwrap());
        assert_eq!(shown(&first), 1);
        let was_late = three(&scene, move |scene, who| match who {
            // In time, by the clock that it read before.
            0 => scene.see(0, &first, over - Millis::new(1)),
            1 => shown(&scene.ask(1, 2, None, over).unwrap()) > 9,
            _ => shown(&scene.ask(2, 1, None, over - Millis::new(1)).unwrap()) > 9,
        })[0];
        let (books, contacts) = scene.counts(over);
        assert_eq!(books, contacts);
        // When it was released before, somebody else may have the room: then the report was a late one.
        assert_eq!(books > 2, was_late && books == 3, "{books}, late: {was_late}");
    });
}

#[test]
fn the_same_request_twice_at_once_reserves_once() {
    let catalog = catalog_with("volumes: [{ id: many, at_most: 9, of: decided, per: day }]");
    check(move || {
        let scene = Arc::new(Scene::new(&catalog, 1));
        let answers = three(&scene, |scene, thread| {
            let body = if thread == 2 { 8 } else { 7 };
            scene.ask(0, 2, Some(RequestKey { id: 5, body }), T0)
        });
        let ids: Vec<_> = answers
            .iter()
            .flatten()
            .map(|answer| answer.decision.id.unwrap())
            .collect();
        // Whoever is first has the id: the two that are the same get one answer, or both are refused.
        let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
        let refused: Vec<_> = refused.collect();
        assert!(refused.iter().all(|&why| *why == Rejection::RequestIdReused));
        assert!(matches!((ids.len(), refused.len()), (2, 1) | (1, 2)));
        assert!(ids.iter().all(|id| *id == ids[0]));
        let replays = answers
            .iter()
            .flatten()
            .filter(|answer| answer.replay.is_some())
            .count();
        assert_eq!(replays, ids.len() - 1);
        assert_eq!(scene.counts(T0), (2, 2));
        assert_eq!(scene.customers[0].1.lock().unwrap().contacts.len(), 2);
    });
}
