//! What callers can rely on when a visitor is joined to a customer, and parted again.

mod recount;

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::recovery_tests::{CATALOGS, open};
use super::super::{Active, Engine, Limits, Rejection, ReplayError};
use super::{Merged, Unmerged};
use crate::catalog::Catalog;
use crate::decision::testing::{T0, catalog, catalog_with, search, symbol};
use crate::domain::contact::Counted;
use crate::domain::decision::Decision;
use crate::domain::entry::{OutcomeReport, ProfileChange};
use crate::domain::ids::CustomerId;
use crate::domain::profile::{JOINED_MAX, Precedence, Profile};
use crate::domain::request::{OffersRequest, PlacementRequest, RequestKey};
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;
use crate::journal::keys::{self, Found};
use crate::store::{Buffers, Then};

fn anna() -> CustomerId {
    CustomerId::known("anna").unwrap()
}

fn cookie(number: u64) -> CustomerId {
    CustomerId::anonymous(&format!("cookie-{number}")).unwrap()
}

fn engine_on(catalog: &Arc<Catalog>) -> Engine {
    Engine::new(Active::new(Arc::clone(catalog), Vec::new()), Limits::default())
}

fn request(engine: &Engine, who: &CustomerId, count: usize) -> OffersRequest {
    OffersRequest {
        customer: Some(who.clone()),
        channel: 0,
        campaign: None,
        placements: vec![PlacementRequest { placement: 0, count }],
        duplicates: false,
        context: vec![Value::Category(engine.active().catalog.channels[0].symbol)],
        events: Vec::new(),
        explain: false,
        preview: false,
    }
}

fn ask(engine: &Engine, who: &CustomerId, count: usize, now: Timestamp) -> Decision {
    engine
        .offers(&engine.active(), &request(engine, who, count), now)
        .unwrap()
}

fn shown(decision: &Decision) -> usize {
    decision.placements.iter().map(|filled| filled.offers.len()).sum()
}

fn names(engine: &Engine, decision: &Decision) -> Vec<String> {
    let catalog = &engine.active().catalog;
    let offers = decision.placements.iter().flat_map(|filled| &filled.offers);
    offers.map(|shown| catalog.offers[shown.offer].id.to_string()).collect()
}

fn do_search(engine: &Engine, who: &CustomerId, id: u64, category: &str) -> usize {
    let active = engine.active();
    let event = search(&active.catalog, id, category, T0);
    engine.record_events(&active, who, &[event], T0).unwrap().applied
}

fn write(engine: &Engine, who: &CustomerId, age: f64) {
    let active = engine.active();
    let known = [("age", Value::Number(age)), ("holdings", Value::Set(0))];
    let attributes = known
        .map(|(name, value)| (symbol(&active.catalog, name), value))
        .to_vec();
    let change = ProfileChange {
        attributes,
        ..ProfileChange::default()
    };
    engine.upsert_profile(&active, who, &change, T0).unwrap();
}

fn merge(engine: &Engine, visitor: &CustomerId, customer: &CustomerId) -> Result<Merged, Rejection> {
    engine.merge_customers(&engine.active(), visitor, customer, Precedence::Customer, T0)
}

fn unmerge(engine: &Engine, visitor: &CustomerId) -> Result<Unmerged, Rejection> {
    engine.unmerge_customers(&engine.active(), visitor, T0)
}

fn see(engine: &Engine, decision: &Decision, now: Timestamp) -> Result<bool, Rejection> {
    let active = engine.active();
    let id = decision.id.unwrap();
    let report = OutcomeReport {
        decision: id.number,
        offer: active.catalog.offers[decision.placements[0].offers[0].offer].symbol,
        placement: None,
        outcome: Counted::Seen,
        at: now,
    };
    let receipt = engine.record_outcome(&active, id.customer, &report, now)?;
    Ok(receipt.recorded)
}

/// Compares two profiles but for their versions.
fn same(one: &Profile, other: &Profile) -> bool {
    let one = Profile {
        version: other.version,
        ranking_version: other.ranking_version,
        ..one.clone()
    };
    one == *other
}

#[test]
fn from_joining_on_every_call_that_names_the_visitor_is_about_the_customer() {
    let engine = engine_on(&catalog());
    let (anna, cookie) = (anna(), cookie(1));
    write(&engine, &anna, 40.0);
    do_search(&engine, &cookie, 1, "fund");
    assert_eq!(names(&engine, &ask(&engine, &anna, 1, T0)), ["savings_a"]);
    let woken = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&woken);
    engine.on_change(Box::new(move |key| noted.lock().unwrap().push(key)));
    let merged = merge(&engine, &cookie, &anna).unwrap();
    assert!(merged.merged);
    for key in [anna.key(), cookie.key()] {
        assert!(woken.lock().unwrap().contains(&key), "who watches either is woken");
    }
    for who in [&anna, &cookie] {
        let decision = ask(&engine, who, 1, T0);
        assert_eq!(names(&engine, &decision), ["fund_a"]);
        assert_eq!(decision.id.unwrap().customer, anna.key());
        assert_eq!(engine.known_as(who), anna);
        assert_eq!(engine.profile(who), engine.profile(&anna));
    }
    woken.lock().unwrap().clear();
    write(&engine, &cookie, 41.0);
    assert!(
        woken.lock().unwrap().contains(&cookie.key()),
        "whoever still watches the visitor"
    );
    assert_eq!(do_search(&engine, &anna, 1, "fund"), 0, "the visitor's event is known");
    assert_eq!(do_search(&engine, &cookie, 2, "travel"), 1);
    let profile = engine.profile(&anna).unwrap();
    assert_eq!(
        profile.attribute(symbol(&engine.active().catalog, "age")),
        Value::Number(41.0)
    );
    assert_eq!(
        (profile.events.len(), profile.joined.len(), engine.customers()),
        (1, 1, 1)
    );
    let again = merge(&engine, &cookie, &anna).unwrap();
    assert_eq!((again.merged, again.profile_version), (false, profile.version));
    assert_eq!(engine.profile(&anna).unwrap(), profile);
}

#[test]
fn a_cap_that_the_two_fill_together_is_full_at_once_and_has_room_again_when_the_oldest_of_both_leaves() {
    let catalog = catalog_with("caps: [{ id: week, because: w, at_most: 3, of: decided, within: 7d }]");
    let engine = engine_on(&catalog);
    let (anna, cookie) = (anna(), cookie(1));
    let hours = |count| T0 + Millis::HOUR.times(count);
    for (at, who) in [&cookie, &anna, &cookie, &anna].into_iter().enumerate() {
        assert_eq!(shown(&ask(&engine, who, 1, hours(i64::try_from(at).unwrap()))), 1);
    }
    engine
        .merge_customers(&engine.active(), &cookie, &anna, Precedence::Customer, hours(4))
        .unwrap();
    for who in [&anna, &cookie] {
        assert_eq!(
            shown(&ask(&engine, who, 1, hours(5))),
            0,
            "two and two are more than three"
        );
        assert_eq!(shown(&ask(&engine, who, 1, hours(7 * 24))), 0, "still three");
    }
    assert_eq!(
        shown(&ask(&engine, &cookie, 2, hours(7 * 24 + 1))),
        1,
        "the second has left as well"
    );
    assert_eq!(shown(&ask(&engine, &anna, 1, hours(7 * 24 + 1))), 0);
    unmerge(&engine, &cookie).unwrap();
    assert_eq!(
        shown(&ask(&engine, &cookie, 9, hours(7 * 24 + 1))),
        2,
        "of its own there is one left"
    );
}

#[test]
fn who_cannot_be_joined_is_refused_and_nothing_changes() {
    let engine = engine_on(&catalog());
    let (anna, berta) = (anna(), CustomerId::known("berta").unwrap());
    write(&engine, &anna, 40.0);
    write(&engine, &berta, 50.0);
    assert_eq!(merge(&engine, &anna, &berta), Err(Rejection::NotJoinable));
    assert_eq!(merge(&engine, &cookie(1), &cookie(2)), Err(Rejection::NotJoinable));
    assert_eq!(unmerge(&engine, &anna), Err(Rejection::NotJoinable));
    let nobody = Unmerged {
        unmerged: false,
        profile_version: 0,
    };
    assert_eq!(unmerge(&engine, &cookie(1)), Ok(nobody));
    let visitors = u64::try_from(JOINED_MAX).unwrap();
    for number in 0..visitors {
        assert!(merge(&engine, &cookie(number), &anna).unwrap().merged);
    }
    assert_eq!(merge(&engine, &cookie(0), &berta), Err(Rejection::JoinedToAnother));
    assert_eq!(merge(&engine, &cookie(99), &anna), Err(Rejection::TooManyJoined));
    assert_eq!(engine.delete_profile(&cookie(0)), Err(Rejection::IsJoined));
    assert_eq!(engine.erase_customer(&cookie(0), T0), Err(Rejection::IsJoined));
    do_search(&engine, &cookie(99), 1, "fund");
    engine.erase_customer(&cookie(99), T0).unwrap();
    assert_eq!(merge(&engine, &cookie(99), &berta), Err(Rejection::Erased));
    engine.erase_customer(&berta, T0).unwrap();
    assert_eq!(merge(&engine, &cookie(98), &berta), Err(Rejection::Erased));
    assert!(unmerge(&engine, &cookie(0)).unwrap().unmerged);
    assert_eq!(engine.profile(&cookie(0)), None, "nothing was known of it");
    assert!(merge(&engine, &cookie(98), &anna).unwrap().merged);
    assert_eq!(
        merge(&engine, &cookie(98), &CustomerId::known("new").unwrap()),
        Err(Rejection::JoinedToAnother)
    );
    assert_eq!(engine.customers(), 1);
}

#[test]
fn a_customer_of_whom_nothing_is_known_is_begun_unless_the_catalog_records_known_ones_only() {
    let engine = engine_on(&catalog());
    write(&engine, &cookie(1), 30.0);
    do_search(&engine, &cookie(1), 1, "fund");
    assert!(merge(&engine, &cookie(1), &anna()).unwrap().merged);
    assert_eq!(names(&engine, &ask(&engine, &anna(), 1, T0)), ["fund_a"]);
    let strict = crate::decision::testing::catalog_set(", unknown_customer: fallback_only", "caps: []");
    let engine = engine_on(&strict);
    do_search(&engine, &cookie(1), 1, "fund");
    assert_eq!(merge(&engine, &cookie(1), &anna()), Err(Rejection::UnknownCustomer));
    assert_eq!(engine.known_as(&cookie(1)), cookie(1));
    assert_eq!(engine.profile(&cookie(1)).unwrap().events.len(), 1);
}

#[test]
fn parting_gives_both_back_what_they_had() {
    let engine = engine_on(&catalog());
    let (anna, cookie) = (anna(), cookie(1));
    write(&engine, &anna, 40.0);
    do_search(&engine, &anna, 1, "travel");
    ask(&engine, &anna, 2, T0);
    do_search(&engine, &cookie, 2, "fund");
    let before = ask(&engine, &cookie, 2, T0);
    let (own, others) = (engine.profile(&anna).unwrap(), engine.profile(&cookie).unwrap());
    for _ in 0..3 {
        merge(&engine, &cookie, &anna).unwrap();
        assert!(unmerge(&engine, &cookie).unwrap().unmerged);
        assert_eq!(engine.profile(&cookie).unwrap(), others, "to the last bit");
        assert!(same(&engine.profile(&anna).unwrap(), &own));
        assert!(!unmerge(&engine, &cookie).unwrap().unmerged);
    }
    merge(&engine, &cookie, &anna).unwrap();
    do_search(&engine, &cookie, 3, "fund");
    assert_eq!(
        see(&engine, &before, T0),
        Ok(true),
        "a report by the visitor's decision"
    );
    assert_eq!(see(&engine, &before, T0), Ok(false), "a repeat");
    unmerge(&engine, &cookie).unwrap();
    let visitor = engine.profile(&cookie).unwrap();
    assert_eq!(
        visitor.contacts.iter().filter(|contact| contact.is_confirmed()).count(),
        1
    );
    assert_eq!(visitor.events, others.events, "what happened since is the customer's");
    assert_eq!(engine.profile(&anna).unwrap().events.len(), 2);
    assert_eq!(see(&engine, &before, T0), Ok(false), "the report went with the visitor");
}

#[test]
fn a_request_of_before_is_a_repeat_after_joining_whoever_of_the_two_is_named() {
    let engine = engine_on(&catalog());
    let (anna, cookie) = (anna(), cookie(1));
    let active = engine.active();
    let once = Some(RequestKey { id: 5, body: 6 });
    let first = engine
        .answer(&active, &request(&engine, &cookie, 2), once, T0)
        .unwrap()
        .decision;
    merge(&engine, &cookie, &anna).unwrap();
    for who in [&cookie, &anna] {
        let again = engine.answer(&active, &request(&engine, who, 2), once, T0).unwrap();
        assert!(again.replay.is_some());
        assert_eq!(again.decision, first);
    }
    let other = Some(RequestKey { id: 5, body: 7 });
    let reused = engine.answer(&active, &request(&engine, &anna, 2), other, T0);
    assert_eq!(reused.unwrap_err(), Rejection::RequestIdReused);
}

#[test]
fn who_forgets_or_erases_a_customer_forgets_or_erases_the_joined_visitors_as_well() {
    for is_erased in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        let checkpoints = folder.join("checkpoints");
        let (engine, _) = open(folder, CATALOGS[0]).unwrap();
        let (anna, cookie) = (anna(), cookie(1));
        write(&engine, &anna, 40.0);
        do_search(&engine, &cookie, 1, "fund");
        let decision = ask(&engine, &cookie, 2, T0);
        engine.checkpoint(&checkpoints, u64::MAX).unwrap();
        let slots = [&anna, &cookie].map(|who| engine.store().seal(who.key()).unwrap().slot());
        merge(&engine, &cookie, &anna).unwrap();
        let is_held = |engine: &Engine| {
            let (books, ()) = engine.conductor.volumes.keep(|| ());
            books.slots().count()
                + serde_json::to_string(&books)
                    .unwrap()
                    .matches(&decision.id.unwrap().number.to_string())
                    .count()
        };
        assert!(is_held(&engine) > 0, "the visitor's reservation is open");
        if is_erased {
            assert_eq!(engine.erase_customer(&anna, T0).unwrap().keys, 2);
            assert_eq!(engine.erased(), 2);
            assert_eq!(
                merge(&engine, &cookie, &CustomerId::known("berta").unwrap()),
                Err(Rejection::Erased)
            );
        } else {
            assert_eq!(engine.delete_profile(&anna), Ok(true));
            engine.checkpoint(&checkpoints, u64::MAX).unwrap();
        }
        assert_eq!(is_held(&engine), 0, "it is released");
        assert_eq!(engine.profile(&cookie), None);
        let (table, _) = keys::inspect(&folder.join("keys")).unwrap();
        assert_eq!(slots.map(|slot| table.find(slot)), [Found::Destroyed, Found::Destroyed]);
        let late = see(&engine, &decision, T0).unwrap_err();
        assert_eq!(late == Rejection::Erased, is_erased);
        drop(engine);
        let (engine, _) = open(folder, CATALOGS[0]).unwrap();
        assert_eq!((engine.customers(), engine.erased()), (0, 2 * usize::from(is_erased)));
        assert_eq!(engine.is_erased(&cookie), is_erased);
        let recorded = engine.recorded(decision.id.unwrap()).err().unwrap();
        assert_eq!(matches!(recorded, ReplayError::Erased(_)), is_erased);
        assert_eq!(is_held(&engine), 0);
    }
}

/// Begins an engine again on the same data.
fn again(engine: Engine, folder: &Path) -> Engine {
    drop(engine);
    open(folder, CATALOGS[0]).unwrap().0
}

#[test]
fn a_crash_while_two_are_joined_or_parted_leaves_them_as_before_or_as_after() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    let checkpoints = folder.join("checkpoints");
    let (mut engine, _) = open(folder, CATALOGS[0]).unwrap();
    let (anna, cookie) = (anna(), cookie(1));
    write(&engine, &anna, 40.0);
    do_search(&engine, &cookie, 1, "fund");
    let decision = ask(&engine, &cookie, 2, T0);
    let (own, others) = (engine.profile(&anna).unwrap(), engine.profile(&cookie).unwrap());
    for round in 0..4 {
        let with_checkpoint = |engine: &Engine, at: i32| {
            if round == at {
                engine.checkpoint(&checkpoints, 0).unwrap();
            }
        };
        // It has begun, and nothing is written.
        engine.aliases.begin(cookie.key(), &anna);
        engine.find(&cookie).unwrap();
        engine = again(engine, folder);
        assert_eq!(engine.known_as(&cookie), cookie);
        assert_eq!(engine.profile(&cookie).unwrap(), others);
        // The record is written, and the visitor still stands in the store.
        engine.aliases.begin(cookie.key(), &anna);
        let found = engine.find(&cookie).unwrap();
        engine
            .join(&engine.active(), (&cookie, &found), &anna, Precedence::Customer, T0)
            .unwrap();
        with_checkpoint(&engine, 1);
        engine = again(engine, folder);
        assert_eq!((engine.known_as(&cookie), engine.customers()), (anna.clone(), 1));
        let joined = engine.profile(&anna).unwrap();
        assert_eq!(joined.joined[0].profile, others);
        // It is put back into the store, and not parted yet.
        let alias = engine.aliases.get(cookie.key()).unwrap();
        engine.aliases.part(cookie.key());
        engine
            .restore(&engine.active(), &cookie, &anna, alias.seal, T0)
            .unwrap();
        with_checkpoint(&engine, 2);
        engine = again(engine, folder);
        assert_eq!((engine.known_as(&cookie), engine.customers()), (anna.clone(), 1));
        assert_eq!(engine.profile(&anna).unwrap(), joined);
        // The record that parts them is written.
        let alias = engine.aliases.get(cookie.key()).unwrap();
        engine.aliases.part(cookie.key());
        engine
            .restore(&engine.active(), &cookie, &anna, alias.seal, T0)
            .unwrap();
        engine.part(&engine.active(), cookie.key(), &anna, T0).unwrap();
        with_checkpoint(&engine, 3);
        engine = again(engine, folder);
        assert_eq!(engine.known_as(&cookie), cookie);
        assert_eq!(engine.profile(&cookie).unwrap(), others);
        assert!(same(&engine.profile(&anna).unwrap(), &own));
        let recorded = engine.recorded(decision.id.unwrap()).unwrap();
        assert!(Engine::replay(&recorded, engine.active(), false).unwrap().is_same);
    }
}

#[test]
fn what_the_journal_does_not_take_leaves_two_people_or_one_as_before() {
    let root = tempfile::tempdir().unwrap();
    let (engine, _) = open(root.path(), CATALOGS[0]).unwrap();
    let (anna, alone, joined) = (anna(), cookie(1), cookie(2));
    write(&engine, &anna, 40.0);
    do_search(&engine, &alone, 1, "fund");
    do_search(&engine, &joined, 2, "fund");
    merge(&engine, &joined, &anna).unwrap();
    let before = [&anna, &alone, &joined].map(|who| (engine.known_as(who), engine.profile(who)));
    engine.journal().unwrap().fence().unwrap();
    assert!(matches!(merge(&engine, &alone, &anna), Err(Rejection::NotWritten(_))));
    assert!(matches!(unmerge(&engine, &joined), Err(Rejection::NotWritten(_))));
    assert!(matches!(engine.delete_profile(&anna), Err(Rejection::NotWritten(_))));
    let after = [&anna, &alone, &joined].map(|who| (engine.known_as(who), engine.profile(who)));
    assert_eq!(after, before);
    assert_eq!(engine.customers(), 2);
}

#[test]
fn an_erased_person_who_stands_in_a_checkpoint_stays_erased_when_a_crash_lay_before_the_key_was_destroyed() {
    let root = tempfile::tempdir().unwrap();
    let (engine, _) = open(root.path(), CATALOGS[0]).unwrap();
    let (anna, cookie) = (anna(), cookie(1));
    write(&engine, &anna, 40.0);
    do_search(&engine, &cookie, 1, "fund");
    merge(&engine, &cookie, &anna).unwrap();
    engine.checkpoint(&root.path().join("checkpoints"), u64::MAX).unwrap();
    // The record is written, and then the process ends.
    engine
        .store
        .remove_or(anna.key(), |found| {
            engine.conductor.erase(anna.key(), found, T0).map(drop)
        })
        .unwrap();
    let engine = again(engine, root.path());
    assert!(engine.is_erased(&anna) && engine.is_erased(&cookie));
    assert_eq!((engine.customers(), engine.erased()), (0, 2));
}

#[test]
fn somebody_who_was_never_joined_pays_nothing() {
    let engine = engine_on(&catalog());
    write(&engine, &anna(), 40.0);
    do_search(&engine, &cookie(1), 1, "fund");
    let bytes = engine.store().packed_bytes();
    merge(&engine, &cookie(1), &anna()).unwrap();
    unmerge(&engine, &cookie(1)).unwrap();
    assert_eq!(engine.store().packed_bytes(), bytes);
    engine
        .store()
        .with(&anna(), anna().key(), &mut Buffers::default(), |profile, _| {
            assert_eq!(profile.joined.capacity(), 0);
            ((), Then::Leave)
        });
}
