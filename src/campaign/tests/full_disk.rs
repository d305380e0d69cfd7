//! What a run makes of a disk that is full.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{CUSTOMERS, Tester, id};
use crate::campaign::{Audience, Position, Stopped};
use crate::decision::testing::{T0, catalog_on};
use crate::domain::request::RequestKey;
use crate::engine::{Active, Engine, Limits, Recovery};
use crate::journal::{AppendError, Claim, Journal, Keys, Level, Log, LogError, NotWritten, Options, SegmentLog};

const VOLUMES: &str = "volumes: [{ id: funds, at_most: 200, of: decided, per: day, groups: [fund] }]";

/// A log on a disk that has room for so many records.
struct Filling {
    log: SegmentLog,
    room: Arc<AtomicUsize>,
}

impl Log for Filling {
    fn acquire(&self) -> Result<Claim, LogError> {
        self.log.acquire()
    }

    fn append(&self, epoch: u64, expected: u64, record: &[u8]) -> Result<(), AppendError> {
        let room = |room: usize| room.checked_sub(1);
        match self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => self.log.append(epoch, expected, record),
            Err(_) => Err(AppendError::Refused(std::io::ErrorKind::StorageFull.into())),
        }
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

fn open(folder: &Path, room: &Arc<AtomicUsize>) -> Engine {
    let (log, opened) = SegmentLog::open(&folder.join("journal"), &Options::default()).unwrap();
    let keys = Keys::open(&folder.join("keys")).unwrap();
    let log = Filling {
        log,
        room: Arc::clone(room),
    };
    let journal = Journal::begin(Box::new(log), keys, opened.first, Level::Process).unwrap();
    let recovery = Recovery::begin(journal, &folder.join("checkpoints"), &mut |_, _| {}).unwrap();
    let catalog = catalog_on(&recovery.symbols(), VOLUMES);
    let active = Active {
        since: T0,
        ..Active::new(catalog, Vec::new())
    };
    let mut catalogs = |_: &_| Ok(Arc::clone(&active.catalog));
    let again = Active::new(Arc::clone(&active.catalog), Vec::new());
    let again = Active { since: T0, ..again };
    let recovered = recovery.finish(again, Limits::default(), &mut catalogs, &mut |_, _| {});
    recovered.unwrap().0
}

/// Who has how many contacts, in all.
fn contacts(engine: &Engine) -> Vec<usize> {
    let of = |number: usize| engine.profile(&id(number)).unwrap().contacts.len();
    (0..CUSTOMERS).map(of).collect()
}

#[test]
fn a_run_whose_records_find_no_room_says_so_reserves_nothing_without_a_record_and_goes_on_when_there_is_room() {
    for limited in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let room = Arc::new(AtomicUsize::new(usize::MAX));
        let mut tester = Tester::on(open(folder.path(), &room));
        tester.request.preview = false;
        tester.once = Some(RequestKey { id: 1, body: 2 });
        if limited {
            tester.limits = vec![("savings_b", Some(50), 20)];
        }
        room.store(700, Ordering::Relaxed);
        let stopped = tester.run(&Audience::Everyone, Position::default()).unwrap_err();
        let Stopped::NotWritten(why) = stopped else {
            panic!("{stopped:?}");
        };
        assert!(matches!(why, NotWritten::Refused(_)), "{why}");
        assert!(why.to_string().contains("try again when there is room"), "{why}");
        let reserved = contacts(&tester.engine);
        assert_eq!(reserved.iter().sum::<usize>(), 700, "as many as have a record");
        let told_before = tester.told();
        assert!(told_before.iter().all(|(_, offers, _)| offers.len() == 1));

        // Nobody has to know of the break but the run: it goes on after what was handed on.
        room.store(usize::MAX, Ordering::Relaxed);
        let start = tester.positions.lock().last().cloned().unwrap_or_default();
        assert_eq!(start.customers, told_before.len() as u64);
        tester.run(&Audience::Everyone, start).unwrap();
        let mut told: Vec<_> = tester.told().into_iter().map(|(customer, ..)| customer).collect();
        told.dedup();
        assert_eq!(told.len(), CUSTOMERS, "everybody is listed once");
        assert_eq!(
            contacts(&tester.engine),
            [1; CUSTOMERS],
            "nobody was reserved for twice"
        );
        let funds = tester
            .told()
            .iter()
            .filter(|(_, offers, _)| offers == &["fund_a"])
            .count();
        assert_eq!(funds, 200, "what was not written took nothing of the volume");
        drop(tester);
        assert_eq!(
            contacts(&open(folder.path(), &room)),
            [1; CUSTOMERS],
            "also after a restart"
        );
    }
}
