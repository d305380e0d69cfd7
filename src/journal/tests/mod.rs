//! What anybody who keeps something in a log can rely on.

mod contract;
mod faults;
mod files;
mod flips;
mod power;

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use super::testing::{Contents, Faults, Note, SimulatedDisk};
use super::{AppendError, Log, LogError, OpenError, Opened, Options, SegmentLog, Tail};

/// Small segments, so that a short test has several; records of 1.5 kB span sectors.
const SEGMENT_BYTES: u64 = 2_000;

/// The records of small numbers, which are wanted all the time.
static RECORDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..200).map(make_record).collect());

/// Returns the record of a number: like no other, and of any length.
fn record(number: u64) -> Vec<u8> {
    let made = RECORDS.get(usize::try_from(number).unwrap());
    made.cloned().unwrap_or_else(|| make_record(number))
}

fn make_record(number: u64) -> Vec<u8> {
    const LENGTHS: [usize; 8] = [40, 0, 300, 5, 700, 1_500, 120, 2_600];
    let length = LENGTHS[usize::try_from(number % 8).unwrap()];
    let bytes = (0..length as u64).map(|at| {
        let mixed = (number * 1_000_003 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed.to_le_bytes()[7]
    });
    bytes.collect()
}

/// Reads all records from a number on.
fn read(log: &dyn Log, from: u64) -> Result<Vec<(u64, Vec<u8>)>, LogError> {
    let mut records = Vec::new();
    log.read(from, &mut |number, record| {
        records.push((number, record.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

/// Returns what should be read.
fn records(numbers: impl Iterator<Item = u64>) -> Vec<(u64, Vec<u8>)> {
    numbers.map(|number| (number, record(number))).collect()
}

fn options(tail: Tail) -> Options {
    Options {
        segment_bytes_max: SEGMENT_BYTES,
        tail,
        verify_from: 0,
    }
}

fn open(disk: &SimulatedDisk, tail: Tail) -> Result<(SegmentLog, Opened), OpenError> {
    SegmentLog::open_on(Arc::new(disk.clone()), &options(tail))
}

/// A log on a simulated disk with its owner, who notes on the disk's trace what was promised.
struct Owner {
    disk: SimulatedDisk,
    log: SegmentLog,
    epoch: u64,
    next: u64,
}

impl Owner {
    fn new(disk: &SimulatedDisk) -> Self {
        Self::with(disk, SEGMENT_BYTES)
    }

    fn with(disk: &SimulatedDisk, segment_bytes_max: u64) -> Self {
        let options = Options {
            segment_bytes_max,
            ..options(Tail::CutUnsynced)
        };
        let (log, _) = SegmentLog::open_on(Arc::new(disk.clone()), &options).unwrap();
        let claim = log.acquire().unwrap();
        Self {
            disk: disk.clone(),
            log,
            epoch: claim.epoch,
            next: claim.next,
        }
    }

    fn append(&mut self) -> Result<(), AppendError> {
        self.disk.note(Note::Appending(self.next));
        self.log.append(self.epoch, self.next, &record(self.next))?;
        self.disk.note(Note::Appended(self.next));
        self.next += 1;
        Ok(())
    }

    /// Appends while the disk has room for so many bytes more only, and then makes room.
    fn append_without_room(&mut self, room: usize) -> Result<(), AppendError> {
        let bytes_max = Some(self.disk.bytes() + room);
        self.disk.set_faults(Faults {
            bytes_max,
            ..Faults::default()
        });
        let result = self.append();
        self.disk.set_faults(Faults::default());
        result
    }

    fn sync(&self) -> u64 {
        let safe = self.log.sync().unwrap();
        self.disk.note(Note::Safe(safe));
        safe
    }

    fn trim(&self, before: u64) {
        self.disk.note(Note::Trimming(before));
        self.log.trim(before).unwrap();
    }

    fn acquire(&mut self) {
        self.epoch = self.log.acquire().unwrap().epoch;
    }
}

/// Returns the files of a log of so many records, synced after some of them.
fn contents(count: u64, synced_after: &[u64], segment_bytes_max: u64) -> Contents {
    let disk = SimulatedDisk::default();
    let mut owner = Owner::with(&disk, segment_bytes_max);
    for number in 1..=count {
        owner.append().unwrap();
        if synced_after.contains(&number) {
            owner.sync();
        }
    }
    disk.contents()
}
