//! A log in a real directory: who may use it, and several threads at once.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{options, read, record, records};
use crate::journal::{Log, LogError, OpenError, SegmentLog, Tail, inspect};

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
    const COUNT: u64 = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = SegmentLog::open(folder.path(), &options(Tail::CutUnsynced)).unwrap();
    let claim = log.acquire().unwrap();
    let (appended, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=COUNT {
                log.append(claim.epoch, number, &record(number)).unwrap();
                appended.store(number, Ordering::SeqCst);
            }
            is_done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            let mut before = 0;
            while !is_done.load(Ordering::SeqCst) {
                let known = appended.load(Ordering::SeqCst);
                let safe = log.sync().unwrap();
                assert!(safe >= known && safe >= before);
                before = safe;
            }
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                let half = appended.load(Ordering::SeqCst) / 2;
                log.trim(half).unwrap();
            }
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                let from = appended.load(Ordering::SeqCst).max(1);
                match read(&log, from) {
                    Ok(found) => {
                        let count = found.len() as u64;
                        assert!(found == records(from..from + count), "other records from {from} on");
                        assert!(count > 0 || from == 1);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
    });
    let Err(LogError::Trimmed { first }) = read(&log, 1) else {
        panic!("nothing was trimmed");
    };
    assert!(first <= COUNT / 2);
    assert_eq!(log.sync().unwrap(), COUNT);
    drop(log);
    let (log, opened) = SegmentLog::open(folder.path(), &options(Tail::default())).unwrap();
    assert_eq!((opened.first, opened.last, opened.cut), (first, COUNT, None));
    assert!(read(&log, first).unwrap() == records(first..=COUNT));
}
