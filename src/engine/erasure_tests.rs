//! What an erased person can rely on, and everybody else.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::recovery_tests::{CATALOGS, open};
use super::{Active, Engine, Limits, Recovered, RecoveryError, Rejection, ReplayError};
use crate::decision::fill;
use crate::decision::testing::{T0, catalog, search, symbol};
use crate::domain::contact::Counted;
use crate::domain::decision::Decision;
use crate::domain::entry::{OutcomeReport, ProfileChange};
use crate::domain::ids::CustomerId;
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, PlacementRequest, RequestKey};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::journal::checkpoint::{self, CheckpointReader};
use crate::journal::keys::{self, Found, Table};
use crate::journal::records;
use crate::store::record::{self, Opened, Record};
use crate::store::seal::{self, Purpose};

/// A number that is easy to find in whatever form it is written.
const AGE: f64 = 77.123_456_789;
const EVENT: u64 = 0x1122_3344_5566_7788;

fn person(name: &str) -> CustomerId {
    CustomerId::known(&format!("{name}.recognisable@example.org")).unwrap()
}

fn ask(engine: &Engine, who: &CustomerId, explain: bool, now: Timestamp) -> Decision {
    let active = engine.active();
    let request = OffersRequest {
        customer: Some(who.clone()),
        channel: 0,
        campaign: None,
        placements: vec![PlacementRequest { placement: 0, count: 2 }],
        duplicates: false,
        context: vec![Value::Category(active.catalog.channels[0].symbol)],
        events: Vec::new(),
        explain,
        preview: false,
    };
    let once = Some(RequestKey { id: 77, body: 1 });
    engine.answer(&active, &request, once, now).unwrap().decision
}

/// Lets somebody be written, search, be shown offers, and see one of them.
fn live(engine: &Engine, who: &CustomerId) -> Decision {
    let active = engine.active();
    let catalog = &active.catalog;
    let change = ProfileChange {
        attributes: vec![(symbol(catalog, "age"), Value::Number(AGE))],
        ..ProfileChange::default()
    };
    engine.upsert_profile(&active, who, &change, T0).unwrap();
    let event = search(catalog, EVENT, "fund", T0);
    engine.record_events(&active, who, &[event], T0).unwrap();
    let decision = ask(engine, who, false, T0);
    let report = OutcomeReport {
        decision: decision.id.unwrap().number,
        offer: catalog.offers[decision.placements[0].offers[0].offer].symbol,
        placement: None,
        outcome: Counted::Seen,
        at: T0,
    };
    engine.record_outcome(&active, who.key(), &report, T0).unwrap();
    decision
}

fn begin(folder: &Path) -> (Engine, Recovered) {
    open(folder, CATALOGS[0]).unwrap()
}

/// All bytes of all files below a folder.
fn bytes_of(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let deep = entries.flat_map(|path| {
        if path.is_dir() {
            bytes_of(&path)
        } else {
            vec![fs::read(&path).unwrap()]
        }
    });
    deep.collect()
}

/// All that is sealed in a folder and can still be opened.
fn opened(folder: &Path) -> Vec<Vec<u8>> {
    let (table, _) = keys::inspect(&folder.join("keys")).unwrap();
    let mut all = Vec::new();
    let mut open = |purpose, sealed: &[u8]| {
        if let Found::Live(seal) = table.find(seal::slot_of(sealed).unwrap()) {
            all.push(seal.open(purpose, sealed).unwrap());
        }
    };
    records(&folder.join("journal"), &mut |_, bytes| {
        if matches!(record::about(bytes), Some(record::About::Customer(_))) {
            open(Purpose::Record, &bytes[1..]);
        }
    })
    .unwrap();
    for file in checkpoint::list(&folder.join("checkpoints")).unwrap_or_default() {
        let mut reader = CheckpointReader::open(&file.path).unwrap();
        while reader.blocks(|_, block| open(Purpose::Block, block)).unwrap() {}
    }
    all
}

/// What would tell of somebody, in every form in which it is written.
fn traces(who: &CustomerId) -> Vec<(&'static str, Vec<u8>)> {
    let key = who.key().get();
    vec![
        ("id", who.as_str().as_bytes().to_vec()),
        ("beginning of the id", who.as_str().as_bytes()[..12].to_vec()),
        ("key", key.to_le_bytes().to_vec()),
        ("key from behind", key.to_be_bytes().to_vec()),
        ("key in digits", format!("{key:032x}").into_bytes()),
        ("half of the key in digits", format!("{}", key >> 64).into_bytes()),
        ("age", AGE.to_bits().to_le_bytes().to_vec()),
        ("event", EVENT.to_le_bytes().to_vec()),
    ]
}

fn holds(all: &[Vec<u8>], what: &[u8]) -> bool {
    all.iter()
        .any(|bytes| bytes.windows(what.len()).any(|window| window == what))
}

fn profiles(engine: &Engine) -> Vec<(CustomerId, Profile)> {
    let mut all = Vec::new();
    engine.store().for_each(|id, profile| all.push((id, profile.clone())));
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all
}

fn counted(engine: &Engine) -> String {
    let rooms = engine.volume_rooms(&engine.active(), T0);
    serde_json::to_string(&rooms).unwrap()
}

fn key_of(folder: &Path, slot: u32) -> Found {
    table(folder).find(slot)
}

fn table(folder: &Path) -> Table {
    keys::inspect(&folder.join("keys")).unwrap().0
}

#[test]
fn nothing_of_an_erased_person_can_be_read_anywhere_and_nothing_of_the_others_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    let (engine, _) = begin(folder);
    let gone = ["adam", "berta", "carla"].map(person);
    let stay = ["dora", "emil"].map(person);
    // In an old checkpoint and in a new one, in the journal before and behind them.
    for (number, who) in gone.iter().chain(&stay).enumerate() {
        live(&engine, who);
        if number % 2 == 1 {
            engine.checkpoint(&folder.join("checkpoints"), 0).unwrap();
        }
    }
    for who in &gone {
        let seal = engine.store().seal(who.key()).unwrap();
        for (what, bytes) in traces(who) {
            assert!(
                !holds(&bytes_of(folder), &bytes),
                "{what} of {who} stands somewhere unsealed"
            );
        }
        let found: HashSet<_> = traces(who)
            .into_iter()
            .filter(|(_, bytes)| holds(&opened(folder), bytes))
            .map(|(what, _)| what)
            .collect();
        for what in ["id", "age", "event"] {
            assert!(
                found.contains(what),
                "the search finds {what} in what can be opened: {found:?}"
            );
        }
        assert!(
            holds(&bytes_of(&folder.join("keys")), seal.key()),
            "the search finds the key"
        );
        assert!(engine.erase_customer(who, T0).unwrap().existed);
        assert_eq!(key_of(folder, seal.slot()), Found::Destroyed);
        assert!(!holds(&bytes_of(folder), seal.key()), "the key of {who} is nowhere");
    }
    let (all, readable) = (bytes_of(folder), opened(folder));
    for who in &gone {
        for (what, bytes) in traces(who) {
            assert!(!holds(&all, &bytes), "{what} of {who} stands somewhere");
        }
        assert!(!holds(&readable, who.as_str().as_bytes()), "{who} can be read");
    }
    for who in &stay {
        assert!(holds(&readable, who.as_str().as_bytes()), "{who} cannot be read");
    }
    let (before, counts) = (profiles(&engine), counted(&engine));
    assert_eq!(before.len(), stay.len());
    drop(engine);
    for _ in 0..2 {
        let (engine, recovered) = begin(folder);
        assert!(recovered.unreadable > 0, "{recovered:?}");
        assert_eq!(profiles(&engine), before);
        assert_eq!(counted(&engine), counts, "a limit over all gets nothing back");
        assert_eq!(engine.erased(), gone.len());
    }
}

#[test]
fn an_erased_person_gets_no_offers_and_nothing_is_recorded_until_they_come_back_as_somebody_new() {
    let root = tempfile::tempdir().unwrap();
    let who = person("adam");
    let (mut engine, _) = begin(root.path());
    let first = live(&engine, &who).id.unwrap();
    engine.erase_customer(&who, T0).unwrap();
    for is_restarted in [false, true] {
        if is_restarted {
            drop(engine);
            engine = begin(root.path()).0;
        }
        let active = engine.active();
        let decision = ask(&engine, &who, true, T0);
        assert!(decision.id.is_none() && decision.placements[0].offers.is_empty());
        assert!(decision.withheld.iter().all(|withheld| &*withheld.rule == fill::ERASED));
        assert_eq!(decision.withheld.len(), active.catalog.offers.len());
        let event = search(&active.catalog, 9, "fund", T0);
        let refused = engine.record_events(&active, &who, &[event], T0).unwrap_err();
        assert_eq!(refused, Rejection::Erased);
        let change = ProfileChange::default();
        let refused = engine.upsert_profile(&active, &who, &change, T0).unwrap_err();
        assert!(refused.to_string().contains("after_erasure"), "{refused}");
        let report = OutcomeReport {
            decision: first.number,
            offer: active.catalog.offers[0].symbol,
            placement: None,
            outcome: Counted::Clicked,
            at: T0,
        };
        let refused = engine.record_outcome(&active, who.key(), &report, T0).unwrap_err();
        assert_eq!(refused, Rejection::Erased);
        assert!(matches!(engine.recorded(first), Err(ReplayError::Erased(_))));
        assert_eq!((engine.customers(), engine.erased()), (0, 1), "nothing is kept of them");
    }
    let active = engine.active();
    let change = ProfileChange::default();
    engine.upsert_after_erasure(&active, &who, &change, T0).unwrap();
    let again = ask(&engine, &who, false, T0).id.unwrap();
    assert!(again.number > first.number, "no decision has the id of an earlier one");
    drop(engine);
    let (engine, _) = begin(root.path());
    assert_eq!((engine.customers(), engine.erased()), (1, 0));
    let profile = engine.profile(&who).unwrap();
    assert_eq!(
        profile.attribute(symbol(&engine.active().catalog, "age")),
        Value::Missing
    );
    assert_eq!(profile.contacts.len(), 2, "those of the new life");
}

#[test]
fn who_was_forgotten_before_or_is_not_known_can_be_erased() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    let (forgotten, unknown) = (person("adam"), person("berta"));
    let (engine, _) = begin(folder);
    live(&engine, &forgotten);
    let seal = engine.store().seal(forgotten.key()).unwrap();
    assert!(engine.delete_profile(&forgotten).unwrap());
    assert!(
        matches!(key_of(folder, seal.slot()), Found::Live(_)),
        "forgetting waits"
    );
    assert!(!engine.erase_customer(&forgotten, T0).unwrap().existed);
    assert_eq!(key_of(folder, seal.slot()), Found::Destroyed);
    assert!(!engine.erase_customer(&unknown, T0).unwrap().existed);
    assert!(
        !engine.erase_customer(&unknown, T0).unwrap().existed,
        "again is no fault"
    );
    drop(engine);
    let (engine, _) = begin(folder);
    assert_eq!((engine.customers(), engine.erased()), (0, 2));
    assert!(!holds(&bytes_of(folder), unknown.as_str().as_bytes()));
}

#[test]
fn the_key_of_somebody_forgotten_goes_with_the_next_checkpoint_or_start_and_they_may_come_back() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    let (adam, berta) = (person("adam"), person("berta"));
    let (engine, _) = begin(folder);
    for who in [&adam, &berta] {
        live(&engine, who);
    }
    let seals = [&adam, &berta].map(|who| engine.store().seal(who.key()).unwrap());
    engine.delete_profile(&adam).unwrap();
    live(&engine, &adam);
    engine.checkpoint(&folder.join("checkpoints"), 0).unwrap();
    assert_eq!(key_of(folder, seals[0].slot()), Found::Destroyed);
    engine.delete_profile(&berta).unwrap();
    let (before, counts) = (profiles(&engine), counted(&engine));
    drop(engine);
    let (engine, _) = begin(folder);
    assert_eq!(key_of(folder, seals[1].slot()), Found::Destroyed);
    assert_eq!((profiles(&engine), counted(&engine)), (before, counts));
    assert_ne!(engine.store().seal(adam.key()).unwrap().slot(), seals[0].slot());
}

#[test]
fn a_damaged_newest_checkpoint_gives_way_to_an_older_one_that_erased_people_are_in() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    let checkpoints = folder.join("checkpoints");
    let (engine, _) = begin(folder);
    let people = ["adam", "berta", "carla"].map(person);
    for who in &people {
        live(&engine, who);
    }
    engine.checkpoint(&checkpoints, 0).unwrap();
    live(&engine, &person("dora"));
    engine.erase_customer(&people[0], T0).unwrap();
    engine.delete_profile(&people[1]).unwrap();
    engine.checkpoint(&checkpoints, 0).unwrap();
    live(&engine, &person("emil"));
    let (before, counts) = (profiles(&engine), counted(&engine));
    drop(engine);
    let newest = checkpoint::list(&checkpoints).unwrap().remove(0).path;
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let (engine, recovered) = begin(folder);
    assert_eq!((recovered.damages.len(), recovered.unreadable > 0), (1, true));
    assert_eq!(
        (profiles(&engine), counted(&engine), engine.erased()),
        (before, counts, 1)
    );
}

#[test]
fn a_missing_or_a_wrong_key_refuses_and_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    let (engine, _) = begin(folder);
    live(&engine, &person("adam"));
    drop(engine);
    let slots = folder.join("keys/slots");
    let good = fs::read(&slots).unwrap();
    let refusal = || match open(folder, CATALOGS[0]) {
        Err(error @ RecoveryError::Key { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is served"),
    };
    fs::write(&slots, &good[..keys::SLOT_BYTES]).unwrap();
    let refused = refusal();
    assert!(
        refused.contains("record 2") && refused.contains("bring back"),
        "{refused}"
    );
    fs::remove_dir_all(folder.join("keys")).unwrap();
    assert_eq!(refusal(), refused);
    keys::Keys::open(&folder.join("keys")).unwrap().take().unwrap();
    let refused = refusal();
    assert!(refused.contains("does not open it"), "{refused}");
    fs::write(&slots, &good).unwrap();
    assert_eq!(begin(folder).0.customers(), 1);
}

#[test]
fn without_a_journal_an_erased_person_is_erased_in_memory() {
    let catalog = catalog();
    let engine = Engine::new(Active::new(Arc::clone(&catalog), Vec::new()), Limits::default());
    let who = person("adam");
    live(&engine, &who);
    assert!(engine.erase_customer(&who, T0).unwrap().existed);
    assert_eq!((engine.customers(), engine.erased()), (0, 1));
    assert!(ask(&engine, &who, false, T0).placements[0].offers.is_empty());
    let active = engine.active();
    engine
        .upsert_after_erasure(&active, &who, &ProfileChange::default(), T0)
        .unwrap();
    assert!(!ask(&engine, &who, false, T0).placements[0].offers.is_empty());
}

#[test]
fn what_of_an_erased_person_stays_is_a_salted_hash_and_no_two_folders_have_the_same() {
    let roots = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let marks = roots.each_ref().map(|root| {
        let (engine, _) = begin(root.path());
        live(&engine, &person("adam"));
        engine.erase_customer(&person("adam"), T0).unwrap();
        let mut found = None;
        records(&root.path().join("journal"), &mut |_, bytes| {
            if let Ok(Record::Erased(erased)) = record::read(bytes, |_| Opened::Unknown) {
                found = Some(erased[0].mark);
            }
        })
        .unwrap();
        found.unwrap()
    });
    assert_ne!(marks[0], marks[1]);
    assert!(!marks.contains(&person("adam").key().get()));
}
