//! Whenever the power goes, between any two steps of checkpoints and keys, and whatever of them it leaves, a start has everything whose
//! record is on the disk.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::{CATALOGS, Known, Player, RecoveryError, customer, known, open, open_on};
use crate::decision::testing::T0;
use crate::engine::Engine;
use crate::journal::checkpoint;
use crate::journal::cuts::cut_everywhere;
use crate::journal::files::{note, steps_of};
use crate::journal::{AppendError, Claim, Log, LogError, Options, SegmentLog};

/// Every record that was ever appended.
type Records = Arc<Mutex<Vec<Vec<u8>>>>;

/// A log that says among the steps of the other files how far it is: twice the number of a record, and one more when it is safe.
struct Noting {
    log: SegmentLog,
    records: Records,
}

impl Log for Noting {
    fn acquire(&self) -> Result<Claim, LogError> {
        self.log.acquire()
    }

    fn append(&self, epoch: u64, expected: u64, record: &[u8]) -> Result<(), AppendError> {
        self.log.append(epoch, expected, record)?;
        self.records.lock().push(record.to_vec());
        note(expected * 2);
        Ok(())
    }

    fn sync(&self) -> Result<u64, LogError> {
        let safe = self.log.sync()?;
        note(safe * 2 + 1);
        Ok(safe)
    }

    fn read(&self, from: u64, visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<(), LogError> {
        self.log.read(from, visit)
    }

    fn trim(&self, before: u64) -> Result<(), LogError> {
        self.log.trim(before)
    }
}

/// Writes the first records of a journal.
fn lay_out_journal(folder: &Path, records: &[Vec<u8>]) {
    let (log, _) = SegmentLog::open(&folder.join("journal"), &Options::default()).unwrap();
    let Claim { epoch, next } = log.acquire().unwrap();
    for (number, record) in (next..).zip(records) {
        log.append(epoch, number, record).unwrap();
    }
    log.sync().unwrap();
}

/// Lets customers change, come, be erased and be forgotten, and takes checkpoints; returns what was known after each record.
fn live(engine: &Engine, checkpoints: &Path, seed: u64) -> BTreeMap<u64, Known> {
    let journal = engine.journal().unwrap();
    let active = engine.active();
    let mut player = Player::new(seed, 0..9);
    let mut states = BTreeMap::from([(journal.written(), known(engine, T0))]);
    for turn in 1_u64..=36 {
        let who = player.someone();
        match turn % 12 {
            5 => drop(engine.erase_customer(&customer(turn % 9), T0).unwrap()),
            8 => drop(engine.delete_profile(&customer((turn + 1) % 9)).unwrap()),
            _ if engine.is_erased(&who) => {}
            _ => player.write(engine, &active, &who),
        }
        states.insert(journal.written(), known(engine, T0));
        if turn % 7 == 0 {
            engine.checkpoint(checkpoints, 1).unwrap().unwrap();
        }
    }
    states
}

#[test]
fn whenever_the_power_goes_a_start_has_everything_whose_record_is_on_the_disk() {
    let mut states = 0;
    for seed in 0..3 {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        let records = Records::default();
        let mut after = BTreeMap::new();
        let steps = steps_of(|| {
            let noting = |log| -> Box<dyn Log> {
                Box::new(Noting {
                    log,
                    records: Arc::clone(&records),
                })
            };
            let (engine, _) = open_on(folder, CATALOGS[0], noting).unwrap();
            after = live(&engine, &folder.join("checkpoints"), seed);
        });
        let records = records.lock();
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let mut choices = Pcg64Mcg::seed_from_u64(seed + 100);
        states += cut_everywhere(
            folder,
            &BTreeMap::new(),
            &steps,
            2,
            &mut random,
            &mut |left, promised| {
                let appended = promised.iter().map(|said| said / 2).max().unwrap_or(0);
                let safe = promised.iter().filter(|said| *said % 2 == 1).map(|said| said / 2).max();
                let kept = choices.random_range(safe.unwrap_or(0)..=appended);
                lay_out_journal(left, &records[..usize::try_from(kept).unwrap()]);
                let (engine, recovered) = match open(left, CATALOGS[0]) {
                    Ok(opened) => opened,
                    Err(error) => panic!("seed {seed}, {kept} of {appended} records: {error}"),
                };
                assert!(recovered.damages.is_empty(), "{recovered:?}");
                if kept > 0 {
                    assert_eq!(
                        known(&engine, T0),
                        after[&kept],
                        "seed {seed}, {kept} of {appended} records"
                    );
                }
            },
        );
    }
    assert!(states > 500, "{states} states");
}

#[test]
fn a_checkpoint_that_cannot_be_read_refuses_and_is_neither_set_aside_nor_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    let (engine, _) = open(folder.path(), CATALOGS[0]).unwrap();
    let mut player = Player::new(4, 0..40);
    for _ in 0..2 {
        player.play(&engine, 100);
        engine.checkpoint(&checkpoints, u64::MAX).unwrap().unwrap();
    }
    let before = known(&engine, player.now);
    drop(engine);
    let newest = checkpoint::list(&checkpoints).unwrap().remove(0).path;
    let away = folder.path().join("away");
    std::fs::rename(&newest, &away).unwrap();
    // What cannot be read, whoever asks: even the system's own user reads no folder as a file.
    std::fs::create_dir(&newest).unwrap();
    let refused = open(folder.path(), CATALOGS[0]).err().unwrap();
    assert!(matches!(refused, RecoveryError::Unreadable { .. }), "{refused}");
    let says = refused.to_string();
    assert!(
        says.contains("let this user read it") && says.contains(&newest.display().to_string()),
        "{says}"
    );
    assert!(newest.exists(), "it was not set aside");
    std::fs::remove_dir(&newest).unwrap();
    std::fs::rename(&away, &newest).unwrap();
    let (engine, recovered) = open(folder.path(), CATALOGS[0]).unwrap();
    assert!(recovered.damages.is_empty(), "{recovered:?}");
    assert_eq!(known(&engine, player.now), before);
}
