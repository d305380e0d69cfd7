//! People come, go, are joined and are parted in the middle of a checkpoint, each time at one point of it: a restart knows of every
//! reservation what was known before.

use std::sync::Arc;

use super::{CATALOGS, Known, known, open, reserved};
use crate::decision::testing::T0;
use crate::domain::contact::Counted;
use crate::domain::decision::Decision;
use crate::domain::entry::{Cancellation, OutcomeReport, ProfileChange};
use crate::domain::ids::CustomerId;
use crate::domain::profile::Precedence;
use crate::domain::request::{OffersRequest, PlacementRequest};
use crate::domain::value::Value;
use crate::engine::{Engine, Rejection};
use crate::journal::failpoints::passing::at;

/// An engine with a folder, and what happens there.
struct Scene {
    folder: tempfile::TempDir,
    engine: Arc<Engine>,
}

fn anna() -> CustomerId {
    CustomerId::known("anna").unwrap()
}

fn ben() -> CustomerId {
    CustomerId::known("ben").unwrap()
}

fn cookie() -> CustomerId {
    CustomerId::anonymous("cookie").unwrap()
}

/// Lets somebody be known, with nothing reserved.
fn begin(engine: &Engine, who: &CustomerId) {
    let change = ProfileChange::default();
    engine.upsert_profile(&engine.active(), who, &change, T0).unwrap();
}

/// Shows somebody two offers, so that two are reserved.
fn ask(engine: &Engine, who: &CustomerId) -> Decision {
    let active = engine.active();
    let request = OffersRequest {
        customer: Some(who.clone()),
        channel: 0,
        campaign: None,
        placements: vec![PlacementRequest { placement: 0, count: 2 }],
        duplicates: false,
        context: vec![Value::Category(active.catalog.channels[0].symbol)],
        events: Vec::new(),
        explain: false,
        preview: false,
    };
    engine.offers(&active, &request, T0).unwrap()
}

/// Cancels the first offer of a decision, so that one stays reserved.
fn cancel_one(engine: &Engine, decision: &Decision) {
    let (active, id) = (engine.active(), decision.id.unwrap());
    let cancellation = Cancellation {
        decision: id.number,
        offer: Some(active.catalog.offers[decision.placements[0].offers[0].offer].symbol),
        placement: None,
        at: T0,
    };
    let receipt = engine.cancel(&active, id.customer, &cancellation).unwrap();
    assert_eq!(receipt.cancelled, 1);
}

/// Reports something of the first offer of a decision.
fn report(engine: &Engine, decision: &Decision, outcome: Counted) {
    let (active, id) = (engine.active(), decision.id.unwrap());
    let report = OutcomeReport {
        decision: id.number,
        offer: active.catalog.offers[decision.placements[0].offers[0].offer].symbol,
        placement: None,
        outcome,
        at: T0,
    };
    let receipt = engine.record_outcome(&active, id.customer, &report, T0).unwrap();
    assert!(receipt.recorded);
}

fn join(engine: &Engine) {
    let merged = engine.merge_customers(&engine.active(), &cookie(), &anna(), Precedence::Customer, T0);
    assert!(merged.unwrap().merged);
}

fn part(engine: &Engine) {
    assert!(
        engine
            .unmerge_customers(&engine.active(), &cookie(), T0)
            .unwrap()
            .unmerged
    );
}

/// Lets somebody be forgotten and come back, unless whoever forgets has to wait at this moment.
fn forget_and_come_back(engine: &Engine, who: &CustomerId) {
    if engine.joining.try_read().is_some() {
        assert!(engine.delete_profile(who).unwrap());
        ask(engine, who);
    }
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, _) = open(folder.path(), CATALOGS[0]).unwrap();
        Self {
            folder,
            engine: Arc::new(engine),
        }
    }

    /// Lets something happen when this thread comes to a point.
    fn at(&self, point: &'static str, work: impl FnOnce(&Engine) + 'static) {
        let engine = Arc::clone(&self.engine);
        at(point, move || work(&engine));
    }

    fn checkpoint(&self) {
        let checkpoints = self.folder.path().join("checkpoints");
        self.engine.checkpoint(&checkpoints, u64::MAX).unwrap().unwrap();
    }

    /// Compares what is known, and who has what reserved, before and after a restart; returns how many of `seen` count.
    fn restart(self) -> u64 {
        let all = |engine: &Engine| -> (Known, String) { (known(engine, T0), reserved(engine)) };
        let before = all(&self.engine);
        drop(self.engine);
        let (engine, recovered) = open(self.folder.path(), CATALOGS[0]).unwrap();
        assert_eq!(all(&engine), before, "{recovered:?}");
        assert!(recovered.checkpoint.is_some());
        // What was seen, and what may be.
        u64::from(engine.volume_rooms(&engine.active(), T0).list()[0].count)
    }
}

#[test]
fn what_somebody_reserved_who_is_forgotten_and_comes_back_while_a_checkpoint_begins_is_released() {
    let scene = Scene::new();
    ask(&scene.engine, &anna());
    scene.at("checkpoint::kept", |engine| forget_and_come_back(engine, &anna()));
    scene.checkpoint();
    forget_and_come_back(&scene.engine, &anna());
    assert_eq!(scene.restart(), 2);
}

#[test]
fn what_somebody_reserved_who_is_forgotten_and_comes_back_while_another_is_erased_is_released() {
    let scene = Scene::new();
    scene.checkpoint();
    ask(&scene.engine, &anna());
    ask(&scene.engine, &ben());
    scene.at("erase::kept", |engine| forget_and_come_back(engine, &anna()));
    assert!(scene.engine.erase_customer(&ben(), T0).unwrap().existed);
    forget_and_come_back(&scene.engine, &anna());
    assert_eq!(scene.restart(), 2);
}

#[test]
fn what_a_visitor_reserved_who_is_parted_while_a_checkpoint_is_written_is_released_by_what_becomes_of_it() {
    let scene = Scene::new();
    let decision = ask(&scene.engine, &cookie());
    join(&scene.engine);
    scene.at("checkpoint::listed", part);
    scene.checkpoint();
    cancel_one(&scene.engine, &decision);
    assert_eq!(scene.restart(), 1);
}

#[test]
fn what_a_visitor_reserves_and_who_is_joined_while_a_checkpoint_is_written_is_released_by_what_becomes_of_it() {
    let scene = Scene::new();
    begin(&scene.engine, &cookie());
    scene.at("checkpoint::listed", |engine| {
        let decision = ask(engine, &cookie());
        join(engine);
        cancel_one(engine, &decision);
    });
    scene.checkpoint();
    assert_eq!(scene.restart(), 1);
}

#[test]
fn what_became_of_a_visitors_offer_while_a_checkpoint_is_written_stays_when_the_two_are_parted_then() {
    let scene = Scene::new();
    let decision = ask(&scene.engine, &cookie());
    join(&scene.engine);
    scene.at("checkpoint::listed", move |engine| {
        cancel_one(engine, &decision);
        part(engine);
    });
    scene.checkpoint();
    assert_eq!(scene.restart(), 1);
}

#[test]
fn what_became_of_a_visitors_offer_while_a_checkpoint_is_written_stays_when_the_customer_is_forgotten_then() {
    let scene = Scene::new();
    let decision = ask(&scene.engine, &cookie());
    join(&scene.engine);
    scene.at("checkpoint::listed", move |engine| {
        cancel_one(engine, &decision);
        assert!(engine.delete_profile(&anna()).unwrap());
    });
    scene.checkpoint();
    assert_eq!(scene.restart(), 0);
}

#[test]
fn what_a_visitor_reserved_again_by_a_late_report_is_reserved_and_released_once_wherever_it_stood() {
    // A cancelled offer that was delivered after all may still be seen.
    let scene = Scene::new();
    let decision = ask(&scene.engine, &cookie());
    cancel_one(&scene.engine, &decision);
    scene.checkpoint();
    join(&scene.engine);
    report(&scene.engine, &decision, Counted::Delivered);
    part(&scene.engine);
    report(&scene.engine, &decision, Counted::Seen);
    assert_eq!(scene.restart(), 2);
}

#[test]
fn what_a_visitor_reserved_again_by_a_late_report_is_released_when_the_customer_is_forgotten_and_the_visitor_comes_back()
 {
    let scene = Scene::new();
    let decision = ask(&scene.engine, &cookie());
    cancel_one(&scene.engine, &decision);
    scene.checkpoint();
    join(&scene.engine);
    report(&scene.engine, &decision, Counted::Delivered);
    assert!(scene.engine.delete_profile(&anna()).unwrap());
    ask(&scene.engine, &cookie());
    assert_eq!(scene.restart(), 2);
}

#[test]
fn what_somebody_reserved_is_released_when_a_crash_breaks_off_the_erasure_in_the_middle_of_a_checkpoint() {
    let scene = Scene::new();
    ask(&scene.engine, &anna());
    scene.at("checkpoint::listed", |engine| {
        // The record is written, and the key not destroyed yet.
        let key = anna().key();
        let erased = engine.store.remove_or(key, |found| {
            engine.conductor.erase(key, found, T0)?;
            Ok::<_, Rejection>(())
        });
        assert_eq!(erased, Ok(true));
    });
    scene.checkpoint();
    assert_eq!(scene.restart(), 0);
}
