//! What every backend of the log keeps to, checked over the files and over the simplest log there can be.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use parking_lot::Mutex;

use super::{options, read, record, records};
use crate::journal::{AppendError, Claim, Log, LogError, RECORD_BYTES_MAX, SegmentLog, Tail};

/// A way to have a log, and to have it again after the program ended.
trait Backend {
    fn new() -> Self;
    fn log(&self) -> &dyn Log;
    fn reopened(self) -> Self;
}

struct Files {
    log: SegmentLog,
    folder: tempfile::TempDir,
}

impl Backend for Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = SegmentLog::open(&folder.path().join("a/b"), &options(Tail::default())).unwrap();
        Self { log, folder }
    }

    fn log(&self) -> &dyn Log {
        &self.log
    }

    fn reopened(self) -> Self {
        let Self { log, folder } = self;
        drop(log);
        let (log, opened) = SegmentLog::open(&folder.path().join("a/b"), &options(Tail::default())).unwrap();
        assert_eq!(opened.cut, None);
        Self { log, folder }
    }
}

/// A log that outlives nothing but its reopening.
#[derive(Default)]
struct Memory {
    state: Mutex<MemoryState>,
}

#[derive(Default)]
struct MemoryState {
    epoch: u64,
    first: u64,
    records: VecDeque<Vec<u8>>,
}

impl MemoryState {
    fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }
}

impl Log for Memory {
    fn acquire(&self) -> Result<Claim, LogError> {
        let mut state = self.state.lock();
        state.epoch += 1;
        Ok(Claim {
            epoch: state.epoch,
            next: state.next(),
        })
    }

    fn append(&self, epoch: u64, expected: u64, record: &[u8]) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        if epoch != state.epoch {
            return Err(AppendError::Fenced);
        }
        if expected != state.next() {
            return Err(AppendError::OutOfOrder { next: state.next() });
        }
        if record.len() > RECORD_BYTES_MAX {
            return Err(AppendError::Refused(std::io::ErrorKind::InvalidInput.into()));
        }
        state.records.push_back(record.to_vec());
        Ok(())
    }

    fn sync(&self) -> Result<u64, LogError> {
        Ok(self.state.lock().next() - 1)
    }

    fn read(&self, from: u64, visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<(), LogError> {
        let state = self.state.lock();
        if from < state.first {
            return Err(LogError::Trimmed { first: state.first });
        }
        if from > state.next() {
            return Err(LogError::Beyond { next: state.next() });
        }
        for (number, record) in (state.first..).zip(&state.records) {
            if number >= from && visit(number, record).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn trim(&self, before: u64) -> Result<(), LogError> {
        let mut state = self.state.lock();
        while state.first < before && state.records.len() > 1 {
            state.records.pop_front();
            state.first += 1;
        }
        Ok(())
    }
}

impl Backend for Memory {
    fn new() -> Self {
        let memory = Self::default();
        memory.state.lock().first = 1;
        memory
    }

    fn log(&self) -> &dyn Log {
        self
    }

    fn reopened(self) -> Self {
        self
    }
}

fn fill(log: &dyn Log, count: u64) -> Claim {
    let claim = log.acquire().unwrap();
    for number in claim.next..claim.next + count {
        log.append(claim.epoch, number, &record(number)).unwrap();
    }
    claim
}

fn keeps_records_in_order<B: Backend>() {
    let backend = B::new();
    assert_eq!(read(backend.log(), 1).unwrap(), []);
    assert_eq!(fill(backend.log(), 50).next, 1);
    assert_eq!(read(backend.log(), 1).unwrap(), records(1..=50));
    let mut backend = backend;
    for round in 1..4 {
        backend = backend.reopened();
        assert_eq!(fill(backend.log(), 10).next, 41 + 10 * round);
        assert_eq!(read(backend.log(), 1).unwrap(), records(1..=50 + 10 * round));
    }
}

fn reads_from_anywhere_and_stops_when_told<B: Backend>() {
    let backend = B::new();
    fill(backend.log(), 30);
    for from in 1..=31 {
        assert_eq!(read(backend.log(), from).unwrap(), records(from..=30));
    }
    let beyond = read(backend.log(), 32);
    assert!(matches!(beyond, Err(LogError::Beyond { next: 31 })), "{beyond:?}");
    let none = read(backend.log(), 0);
    assert!(matches!(none, Err(LogError::Trimmed { first: 1 })), "{none:?}");
    let mut seen = Vec::new();
    let mut visit = |number, _: &[u8]| {
        seen.push(number);
        if number == 7 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    backend.log().read(5, &mut visit).unwrap();
    assert_eq!(seen, [5, 6, 7]);
}

fn fences_the_owner_before<B: Backend>() {
    let backend = B::new();
    let old = fill(backend.log(), 5);
    let new = backend.log().acquire().unwrap();
    assert!(new.epoch > old.epoch);
    assert_eq!(new.next, 6);
    let late = backend.log().append(old.epoch, 6, b"late");
    assert!(matches!(late, Err(AppendError::Fenced)), "{late:?}");
    let early = backend.log().append(new.epoch + 1, 6, b"early");
    assert!(matches!(early, Err(AppendError::Fenced)), "{early:?}");
    backend.log().append(new.epoch, 6, &record(6)).unwrap();
    let backend = backend.reopened();
    let after = backend.log().acquire().unwrap();
    assert!(after.epoch > new.epoch);
    let late = backend.log().append(new.epoch, 7, b"late");
    assert!(matches!(late, Err(AppendError::Fenced)), "{late:?}");
    assert_eq!(read(backend.log(), 1).unwrap(), records(1..=6));
}

fn takes_only_the_expected_number<B: Backend>() {
    let backend = B::new();
    let claim = fill(backend.log(), 3);
    for wrong in [0, 1, 3, 5, u64::MAX] {
        let answer = backend.log().append(claim.epoch, wrong, b"wrong");
        assert!(matches!(answer, Err(AppendError::OutOfOrder { next: 4 })), "{answer:?}");
    }
    let largest = vec![1; RECORD_BYTES_MAX];
    let too_large = backend
        .log()
        .append(claim.epoch, 4, &[largest.as_slice(), &[1]].concat());
    assert!(matches!(too_large, Err(AppendError::Refused(_))), "{too_large:?}");
    assert_eq!(read(backend.log(), 1).unwrap(), records(1..=3));
    backend.log().append(claim.epoch, 4, &largest).unwrap();
    backend.log().append(claim.epoch, 5, &record(5)).unwrap();
    let backend = backend.reopened();
    let read = read(backend.log(), 4).unwrap();
    assert_eq!(read[0].0, 4);
    assert!(read[0].1 == largest);
    assert_eq!(read[1..], records(5..=5));
}

fn trims_what_lies_before<B: Backend>() {
    let backend = B::new();
    let claim = fill(backend.log(), 40);
    backend.log().trim(1).unwrap();
    assert_eq!(read(backend.log(), 1).unwrap(), records(1..=40));
    backend.log().trim(20).unwrap();
    assert_eq!(read(backend.log(), 20).unwrap(), records(20..=40));
    let Err(LogError::Trimmed { first }) = read(backend.log(), 1) else {
        panic!("record 1 is still there");
    };
    assert!(first <= 20);
    backend.log().append(claim.epoch, 41, &record(41)).unwrap();
    backend.log().trim(u64::MAX).unwrap();
    assert_eq!(read(backend.log(), 41).unwrap(), records(41..=41));
    let backend = backend.reopened();
    assert_eq!(fill(backend.log(), 1).next, 42);
    assert_eq!(read(backend.log(), 41).unwrap(), records(41..=42));
}

fn says_what_is_safe<B: Backend>() {
    let backend = B::new();
    assert_eq!(backend.log().sync().unwrap(), 0);
    fill(backend.log(), 9);
    assert_eq!(backend.log().sync().unwrap(), 9);
    assert_eq!(backend.log().sync().unwrap(), 9);
    let backend = backend.reopened();
    assert_eq!(backend.log().sync().unwrap(), 9);
    fill(backend.log(), 1);
    assert_eq!(backend.log().sync().unwrap(), 10);
}

macro_rules! contract {
    ($module:ident, $backend:ty) => {
        mod $module {
            #[test]
            fn records_are_read_in_the_order_in_which_they_were_appended_also_after_reopening() {
                super::keeps_records_in_order::<$backend>();
            }

            #[test]
            fn reading_begins_anywhere_and_stops_when_told() {
                super::reads_from_anywhere_and_stops_when_told::<$backend>();
            }

            #[test]
            fn a_former_owner_cannot_append() {
                super::fences_the_owner_before::<$backend>();
            }

            #[test]
            fn only_the_next_number_is_taken_and_no_record_that_is_too_large() {
                super::takes_only_the_expected_number::<$backend>();
            }

            #[test]
            fn trimming_keeps_everything_from_its_number_on_and_the_numbering() {
                super::trims_what_lies_before::<$backend>();
            }

            #[test]
            fn a_sync_says_up_to_where_everything_is_safe() {
                super::says_what_is_safe::<$backend>();
            }
        }
    };
}

contract!(memory, super::Memory);
contract!(files, super::Files);
