//! A log in a real directory: who may use it, and several threads at once.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{options, read, record, records};
use crate::journal::{Log, LogError, OpenError, Options, SegmentLog, Tail, inspect};

#[test]
fn a_second_program_is_kept_out_and_told_whom_to_look_for() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Tail::default());
    let (log, _) = SegmentLog::open(folder.path(), &options).unwrap();
    let claim = log.acquire().unwrap();
    log.append(claim.epoch, 1, &record(1)).unwrap();
    for refused in [
        SegmentLog::open(folder.path(), &options).map(drop),
        inspect(folder.path(), Tail::default()).map(drop),
    ] {
        let Err(OpenError::Taken { process, .. }) = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(*process, Some(std::process::id()));
        let message = refused.unwrap_err().to_string();
        assert!(
            message.contains(&format!("is used by process {}", std::process::id())),
            "{message}"
        );
    }
    drop(log);
    assert_eq!(inspect(folder.path(), Tail::default()).unwrap().records, 1);
    SegmentLog::open(folder.path(), &options).unwrap();
}

#[test]
fn inspecting_needs_a_directory_and_leaves_it_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let missing = inspect(&folder.path().join("missing"), Tail::default());
    assert!(matches!(missing, Err(OpenError::Io { .. })), "{missing:?}");
    assert!(!folder.path().join("missing").exists());
    let empty = inspect(folder.path(), Tail::default()).unwrap();
    assert_eq!((empty.first, empty.last, empty.records), (0, 0, 0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "x").unwrap();
    let message = SegmentLog::open(&path, &options(Tail::default()))
        .unwrap_err()
        .to_string();
    assert!(message.contains(&path.display().to_string()), "{message}");
}

#[test]
fn appending_syncing_reading_and_trimming_go_on_at_once() {
    const ROUNDS: u64 = 20;
    // Some files to trim, even where the thread that appends hardly gets a turn.
    const BEFORE: u64 = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes_max: 100_000,
        ..options(Tail::CutUnsynced)
    };
    let (log, _) = SegmentLog::open(folder.path(), &options).unwrap();
    let claim = log.acquire().unwrap();
    for number in 1..=BEFORE {
        log.append(claim.epoch, number, &record(number)).unwrap();
    }
    let appended = AtomicU64::new(BEFORE);
    let rounds: [AtomicU64; 3] = Default::default();
    let known = || appended.load(Ordering::SeqCst);
    let is_short = |rounds: &AtomicU64| rounds.load(Ordering::SeqCst) < ROUNDS;
    // The limit ends the test when one of the threads has failed.
    let is_going_on = || rounds.iter().any(is_short) && known() < 300_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while is_going_on() {
                let number = known() + 1;
                log.append(claim.epoch, number, &record(number)).unwrap();
                appended.store(number, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            let mut before = 0;
            while is_going_on() {
                let known = known();
                let safe = log.sync().unwrap();
                assert!(safe >= known && safe >= before);
                before = safe;
                rounds[0].fetch_add(1, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            while is_going_on() {
                log.trim(known() / 2).unwrap();
                rounds[1].fetch_add(1, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            while is_going_on() {
                let from = known().max(1);
                let found = read(&log, from).unwrap();
                let count = found.len() as u64;
                assert!(found == records(from..from + count), "other records from {from} on");
                assert!(count > 0 || from == 1);
                rounds[2].fetch_add(1, Ordering::SeqCst);
            }
        });
    });
    let last = known();
    log.trim(last).unwrap();
    let Err(LogError::Trimmed { first }) = read(&log, 1) else {
        panic!("nothing was trimmed of {last} records");
    };
    assert_eq!(log.sync().unwrap(), last);
    drop(log);
    let (log, opened) = SegmentLog::open(folder.path(), &options).unwrap();
    assert_eq!((opened.first, opened.last, opened.cut), (first, last, None));
    assert!(read(&log, first).unwrap() == records(first..=last));
}
