//! What a restart gives back: everything that was acknowledged, and nothing else.

mod cuts;
mod meanwhile;
mod replays;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Activation, Active, Engine, Limits, Recovered, Recovery, RecoveryError, Rejection};
use crate::catalog::Catalog;
use crate::decision::testing::{T0, catalog_on, search, symbol};
use crate::domain::contact::Counted;
use crate::domain::decision::Decision;
use crate::domain::entry::{Cancellation, ConsentChange, OutcomeReport, ProfileChange};
use crate::domain::ids::{CustomerId, DecisionId};
use crate::domain::profile::{Precedence, Profile};
use crate::domain::request::{OffersRequest, PlacementRequest, RequestKey};
use crate::domain::symbol::Symbols;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;
use crate::journal::{AppendError, Claim, Journal, Keys, Level, Log, LogError, NotWritten, Options, SegmentLog};

/// The catalogs of these tests, by what they add.
pub(super) const CATALOGS: [&str; 3] = [
    "volumes: [{ id: seen, at_most: 400, of: seen, per: day }, { id: all, at_most: 700, of: decided, per: ever }]
caps: [{ id: week, because: w, at_most: 9, of: decided, within: 7d }]
purposes: [{ id: marketing, consent: assumed }]",
    "volumes: [{ id: funds, at_most: 40, of: delivered, per: day, groups: [fund] }]
caps: [{ id: week, because: w, at_most: 5, of: seen, within: 7d, each: offer }]
purposes: [{ id: marketing, consent: assumed }]",
    "caps: []
purposes: [{ id: research, consent: assumed }, { id: marketing, consent: assumed }]",
];

/// A small generator, so that a seed says what happens.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

fn build(symbols: &Symbols, version: &str) -> Option<Arc<Catalog>> {
    let mut all = CATALOGS.iter().map(|lines| catalog_on(symbols, lines));
    all.find(|catalog| *catalog.version == *version)
}

/// Opens what is in a folder, with one of the catalogs in force.
pub(super) fn open(folder: &Path, lines: &str) -> Result<(Engine, Recovered), RecoveryError> {
    open_on(folder, lines, |log| Box::new(log))
}

fn open_on(
    folder: &Path,
    lines: &str,
    log_of: impl FnOnce(SegmentLog) -> Box<dyn Log>,
) -> Result<(Engine, Recovered), RecoveryError> {
    let options = Options {
        segment_bytes_max: 20_000,
        ..Options::default()
    };
    let (log, opened) = SegmentLog::open(&folder.join("journal"), &options).unwrap();
    let keys = Keys::open(&folder.join("keys")).unwrap();
    let journal = Journal::begin(log_of(log), keys, opened.first, Level::Process).unwrap();
    let recovery = Recovery::begin(journal, &folder.join("checkpoints"), &mut |_, _| {})?;
    let catalog = catalog_on(&recovery.symbols(), lines);
    let active = Active {
        since: T0,
        ..Active::new(catalog, Vec::new())
    };
    let mut catalogs = |activation: &Activation| {
        let symbols = Symbols::from(activation.symbols.clone());
        build(&symbols, &activation.catalog).ok_or_else(|| "no such catalog".to_owned())
    };
    recovery.finish(active, Limits::default(), &mut catalogs, &mut |_, _| {})
}

fn customer(number: u64) -> CustomerId {
    if number.is_multiple_of(4) {
        CustomerId::anonymous(&format!("v{number}")).unwrap()
    } else {
        CustomerId::known(&format!("c{number}")).unwrap()
    }
}

/// Somebody who does this and that with some customers.
struct Player {
    dice: Dice,
    customers: std::ops::Range<u64>,
    now: Timestamp,
    decisions: Vec<Decision>,
    /// Those of customers who were forgotten later.
    forgotten: Vec<DecisionId>,
}

impl Player {
    fn new(seed: u64, customers: std::ops::Range<u64>) -> Self {
        Self {
            dice: Dice(seed * 2 + 1),
            customers,
            now: T0,
            decisions: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    fn someone(&mut self) -> CustomerId {
        let count = self.customers.end - self.customers.start;
        customer(self.customers.start + self.dice.roll(count))
    }

    fn play(&mut self, engine: &Engine, turns: usize) {
        for _ in 0..turns {
            self.now = self.now + Millis::SECOND.times(i64::try_from(self.dice.roll(600)).unwrap());
            let active = engine.active();
            let who = self.someone();
            match self.dice.roll(14) {
                0 => self.write(engine, &active, &who),
                1 if self.dice.roll(5) == 0 => {
                    self.forget(engine, &who);
                }
                12 => {
                    let visitor = self.someone();
                    let precedence = [Precedence::Customer, Precedence::Visitor][usize::from(self.dice.roll(2) == 0)];
                    // Whom it cannot join, it does not.
                    let _ = engine.merge_customers(&active, &visitor, &who, precedence, self.now);
                }
                13 => drop(engine.unmerge_customers(&active, &who, self.now)),
                2 => {
                    let event = self.event(&active.catalog);
                    engine.record_events(&active, &who, &[event], self.now).unwrap();
                }
                3..=6 => self.ask(engine, &active, who),
                7 | 8 => self.cancel(engine, &active),
                _ => self.report(engine, &active),
            }
        }
    }

    /// Forgets somebody who is not joined to anybody, with all who are joined to them.
    fn forget(&mut self, engine: &Engine, who: &CustomerId) {
        let visitors = engine.aliases.visitors(who.key());
        match engine.delete_profile(who) {
            Ok(_) => {}
            Err(Rejection::IsJoined) => return,
            Err(other) => panic!("{other}"),
        }
        let ids = self.decisions.iter().filter_map(|decision| decision.id);
        let is_gone = |id: &DecisionId| id.customer == who.key() || visitors.contains(&id.customer);
        self.forgotten.extend(ids.filter(is_gone));
    }

    fn write(&mut self, engine: &Engine, active: &Active, who: &CustomerId) {
        let catalog = &active.catalog;
        let age = f64::from(u32::try_from(self.dice.roll(90)).unwrap());
        let change = ProfileChange {
            attributes: vec![(symbol(catalog, "age"), Value::Number(age))],
            replace: self.dice.roll(4) == 0,
            opt_outs: vec![(symbol(catalog, "mail"), self.dice.roll(2) == 0)],
            opt_out_of_all: Some(self.dice.roll(9) == 0),
            consents: vec![ConsentChange {
                purpose: symbol(catalog, "marketing"),
                channel: None,
                granted: Some(self.dice.roll(3) > 0),
            }],
        };
        engine.upsert_profile(active, who, &change, self.now).unwrap();
    }

    fn event(&mut self, catalog: &Catalog) -> crate::domain::event::Event {
        let category = ["savings", "fund", "travel"][usize::try_from(self.dice.roll(3)).unwrap()];
        // Now and then an id that came before.
        search(catalog, self.dice.roll(5_000), category, self.now)
    }

    fn ask(&mut self, engine: &Engine, active: &Arc<Active>, who: CustomerId) {
        let channel = usize::try_from(self.dice.roll(2)).unwrap();
        let events = if self.dice.roll(3) == 0 {
            vec![self.event(&active.catalog)]
        } else {
            Vec::new()
        };
        let request = OffersRequest {
            customer: Some(who),
            channel,
            campaign: None,
            placements: vec![PlacementRequest { placement: 0, count: 2 }],
            duplicates: false,
            context: vec![Value::Category(active.catalog.channels[channel].symbol)],
            events,
            explain: false,
            preview: self.dice.roll(6) == 0,
        };
        let once = (self.dice.roll(3) == 0).then(|| RequestKey {
            id: self.dice.roll(50),
            body: 1,
        });
        match engine.answer(active, &request, once, self.now) {
            Ok(answer) => self.decisions.push(answer.decision),
            Err(Rejection::AnswerNotKept(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    fn cancel(&mut self, engine: &Engine, active: &Active) {
        let Some(id) = self.decision().and_then(|decision| decision.id) else {
            return;
        };
        let cancellation = Cancellation {
            decision: id.number,
            offer: None,
            placement: None,
            at: self.now,
        };
        // Whom it was about may be forgotten.
        let _ = engine.cancel(active, id.customer, &cancellation);
    }

    fn report(&mut self, engine: &Engine, active: &Active) {
        let outcome = Counted::ALL[1 + usize::try_from(self.dice.roll(6)).unwrap()];
        let Some(decision) = self.decision() else { return };
        let Some(id) = decision.id else { return };
        let shown = decision.placements[0].offers[0].offer;
        let report = OutcomeReport {
            decision: id.number,
            offer: active.catalog.offers[shown].symbol,
            placement: None,
            outcome,
            at: self.now - Millis::MINUTE.times(i64::try_from(self.dice.roll(50)).unwrap()),
        };
        let _ = engine.record_outcome(active, id.customer, &report, self.now);
    }

    fn decision(&mut self) -> Option<Decision> {
        let count = u64::try_from(self.decisions.len()).unwrap();
        (count > 0).then(|| self.decisions[usize::try_from(self.dice.roll(count)).unwrap()].clone())
    }
}

/// All that an engine knows: its customers, what counts over all of them, and how it would go on.
type Known = (Vec<(CustomerId, Profile)>, String, u64);

fn known(engine: &Engine, now: Timestamp) -> Known {
    let mut customers = Vec::new();
    engine
        .store()
        .for_each(|id, profile| customers.push((id, profile.clone())));
    customers.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let active = engine.active();
    let rooms = engine.volume_rooms(&active, now);
    let (books, ()) = engine.conductor.volumes.keep(|| ());
    let counted = serde_json::to_string(&(rooms, books.series())).unwrap();
    (customers, counted, active.generation)
}

/// Every open reservation, with who has it.
fn reserved(engine: &Engine) -> String {
    let (books, ()) = engine.conductor.volumes.keep(|| ());
    serde_json::to_string(books.held()).unwrap()
}

#[test]
fn everything_that_was_acknowledged_is_there_after_a_restart_whenever_checkpoints_were_taken() {
    for seed in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let mut player = Player::new(seed, 0..40);
        let mut dice = Dice(seed * 77 + 5);
        let mut lines = CATALOGS[0];
        let mut before: Option<Known> = None;
        for life in 0..6 {
            let (engine, recovered) = open(folder.path(), lines).unwrap();
            if let Some((customers, _, generation)) = &before {
                let now = known(&engine, player.now);
                assert_eq!((&now.0, now.2), (customers, *generation), "seed {seed}, life {life}");
                assert_eq!(
                    before.as_ref().unwrap().1,
                    now.1,
                    "seed {seed}, life {life}: {recovered:?}"
                );
            }
            for _ in 0..4 {
                player.play(&engine, 60);
                if dice.roll(3) == 0 {
                    engine
                        .checkpoint(&folder.path().join("checkpoints"), u64::MAX)
                        .unwrap()
                        .unwrap();
                }
                if dice.roll(3) == 0 {
                    lines = CATALOGS[usize::try_from(dice.roll(3)).unwrap()];
                    let next = catalog_on(&engine.active().catalog.symbols, lines);
                    engine.activate(Active::new(next, Vec::new())).unwrap();
                }
            }
            before = Some(known(&engine, player.now));
        }
        let customers = before.unwrap().0;
        assert!(
            customers.iter().any(|(_, profile)| !profile.joined.is_empty()),
            "seed {seed}: nobody is joined"
        );
    }
}

#[test]
fn a_checkpoint_taken_while_everybody_decides_and_the_records_behind_it_give_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path(), CATALOGS[0]).unwrap();
    let (is_over, taken) = (AtomicBool::new(false), AtomicUsize::new(0));
    let later = std::thread::scope(|scope| {
        let (engine, taken) = (&engine, &taken);
        let (is_over, checkpoints) = (&is_over, folder.path().join("checkpoints"));
        let taking = scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                engine.checkpoint(&checkpoints, u64::MAX).unwrap().unwrap();
                taken.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Some customers of each one's own, and some that all share.
        let players: Vec<_> = (0..4)
            .map(|number| {
                scope.spawn(move || {
                    let mut player = Player::new(number + 100, number * 30..number * 30 + 60);
                    player.play(engine, 1_500);
                    // A slow disk takes its time.
                    while taken.load(Ordering::Relaxed) < 3 {
                        player.play(engine, 50);
                    }
                    player.now
                })
            })
            .collect();
        let clocks = players.into_iter().map(|player| player.join().unwrap());
        let latest = clocks.max().unwrap();
        is_over.store(true, Ordering::Relaxed);
        taking.join().unwrap();
        // Behind all calls: of an instant before the latest, nobody is promised what was over by then, however slow the disk was.
        latest + Millis::new(1)
    });
    let before = (known(&engine, later), reserved(&engine));
    drop(engine);
    let (engine, recovered) = open(folder.path(), CATALOGS[0]).unwrap();
    assert_eq!((known(&engine, later), reserved(&engine)), before, "{recovered:?}");
}

#[test]
fn a_repeated_request_reserves_nothing_twice_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |engine: &Engine| {
        let active = engine.active();
        let request = OffersRequest {
            customer: Some(customer(1)),
            channel: 0,
            campaign: None,
            placements: vec![PlacementRequest { placement: 0, count: 2 }],
            duplicates: false,
            context: vec![Value::Category(active.catalog.channels[0].symbol)],
            events: Vec::new(),
            explain: false,
            preview: false,
        };
        engine.answer(&active, &request, Some(RequestKey { id: 7, body: 7 }), T0)
    };
    let (engine, _) = open(folder.path(), CATALOGS[2]).unwrap();
    let id = ask(&engine).unwrap().decision.id.unwrap();
    drop(engine);
    let (engine, _) = open(folder.path(), CATALOGS[2]).unwrap();
    assert_eq!(ask(&engine).err(), Some(Rejection::AnswerNotKept(id)));
    let contacts = engine.profile(&customer(1)).unwrap().contacts;
    assert!(contacts.iter().all(|contact| contact.decision == id.number));
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    let (engine, _) = open(folder.path(), CATALOGS[0]).unwrap();
    let mut player = Player::new(3, 0..40);
    for _ in 0..3 {
        player.play(&engine, 200);
        engine.checkpoint(&checkpoints, u64::MAX).unwrap().unwrap();
    }
    player.play(&engine, 50);
    let before = known(&engine, player.now);
    drop(engine);
    let files = crate::journal::checkpoint::list(&checkpoints).unwrap();
    assert_eq!(files.len(), 2, "the older ones are given up");
    let mut bytes = std::fs::read(&files[0].path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&files[0].path, bytes).unwrap();
    let (engine, recovered) = open(folder.path(), CATALOGS[0]).unwrap();
    assert_eq!(recovered.checkpoint, Some(files[1].position));
    assert!(recovered.damages[0].contains("checksum"), "{recovered:?}");
    assert_eq!(known(&engine, player.now), before);
    drop(engine);
    // Without the other one as well, the journal does not reach back far enough: nothing is served.
    std::fs::remove_file(&files[1].path).unwrap();
    let refused = open(folder.path(), CATALOGS[0]).err().unwrap();
    assert!(matches!(refused, RecoveryError::Gap { .. }), "{refused}");
    assert!(refused.to_string().contains("restore"), "{refused}");
}

/// A log on a disk that may be full.
struct Crowded {
    log: SegmentLog,
    is_full: Arc<AtomicBool>,
}

impl Log for Crowded {
    fn acquire(&self) -> Result<Claim, LogError> {
        self.log.acquire()
    }

    fn append(&self, epoch: u64, expected: u64, record: &[u8]) -> Result<(), AppendError> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(AppendError::Refused(std::io::ErrorKind::StorageFull.into()));
        }
        self.log.append(epoch, expected, record)
    }

    fn sync(&self) -> Result<u64, LogError> {
        self.log.sync()
    }

    fn read(&self, from: u64, visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<(), LogError> {
        self.log.read(from, visit)
    }

    fn trim(&self, before: u64) -> Result<(), LogError> {
        self.log.trim(before)
    }
}

#[test]
fn a_full_disk_refuses_what_would_change_something_until_there_is_room_and_a_restart_knows_of_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let (engine, _) = open_on(folder.path(), CATALOGS[0], |log| {
        Box::new(Crowded {
            log,
            is_full: Arc::clone(&is_full),
        })
    })
    .unwrap();
    let mut player = Player::new(21, 0..20);
    player.play(&engine, 200);
    let before = known(&engine, T0);
    is_full.store(true, Ordering::Relaxed);
    let active = engine.active();
    let ask = |number: u64, preview: bool| {
        let request = OffersRequest {
            customer: Some(customer(number)),
            channel: 0,
            campaign: None,
            placements: vec![PlacementRequest { placement: 0, count: 2 }],
            duplicates: false,
            context: vec![Value::Category(active.catalog.channels[0].symbol)],
            events: vec![search(&active.catalog, 70_000 + number, "fund", T0)],
            explain: false,
            preview,
        };
        engine.offers(&active, &request, T0)
    };
    for number in 0..30 {
        let refused = ask(number, false).unwrap_err();
        assert!(
            matches!(refused, Rejection::NotWritten(NotWritten::Refused(_))),
            "{refused}"
        );
        assert!(ask(number, true).is_ok());
    }
    assert_eq!(known(&engine, T0), before);
    is_full.store(false, Ordering::Relaxed);
    (0..30).for_each(|number| drop(ask(number, false).unwrap()));
    player.play(&engine, 100);
    let after = known(&engine, player.now);
    drop((active, engine));
    let (engine, _) = open(folder.path(), CATALOGS[0]).unwrap();
    assert_eq!(known(&engine, player.now), after);
}

#[test]
fn what_the_journal_does_not_take_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path(), CATALOGS[0]).unwrap();
    Player::new(9, 0..12).play(&engine, 300);
    let before = known(&engine, T0);
    // Another owner takes the log over, as a standby would.
    let journal = engine.journal().unwrap();
    journal.fence().unwrap();
    let active = engine.active();
    let refused = |rejection| matches!(rejection, Rejection::NotWritten(NotWritten::Stopped(_)));
    for number in 0..12 {
        let who = customer(number);
        let event = search(&active.catalog, 9_000 + number, "fund", T0);
        let recorded = engine.record_events(&active, &who, std::slice::from_ref(&event), T0);
        assert!(refused(recorded.unwrap_err()));
        let request = OffersRequest {
            customer: Some(who.clone()),
            channel: 0,
            campaign: None,
            placements: vec![PlacementRequest { placement: 0, count: 2 }],
            duplicates: false,
            context: vec![Value::Category(active.catalog.channels[0].symbol)],
            events: vec![event],
            explain: false,
            preview: false,
        };
        assert!(refused(engine.answer(&active, &request, None, T0).unwrap_err()));
        if engine.profile(&who).is_some() && engine.known_as(&who) == who {
            assert!(refused(engine.delete_profile(&who).unwrap_err()));
        }
        let preview = OffersRequest {
            preview: true,
            ..request
        };
        assert!(
            engine.answer(&active, &preview, None, T0).is_ok(),
            "who only looks is answered"
        );
    }
    for (id, profile) in &before.0 {
        if let Some(contact) = profile.contacts.iter().find(|contact| !contact.is_confirmed()) {
            let cancellation = Cancellation {
                decision: contact.decision,
                offer: None,
                placement: None,
                at: T0,
            };
            let cancelled = engine.cancel(&active, id.key(), &cancellation);
            assert!(cancelled.is_err_and(refused) || contact.cancelled.is_some());
        }
    }
    let next = catalog_on(&active.catalog.symbols, CATALOGS[1]);
    assert!(engine.activate(Active::new(next, Vec::new())).is_err());
    assert_eq!(known(&engine, T0), before);
}
