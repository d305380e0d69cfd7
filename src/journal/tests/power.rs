//! Whatever moment power or the process goes, what was promised is there, and nothing that was never appended.

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Owner, open, read, record, records};
use crate::journal::testing::{Contents, Note, Operation, SimulatedDisk, power_cuts};
use crate::journal::{Log, Tail};

/// What had been promised when the power went.
#[derive(Clone, Copy, Debug, Default)]
struct Promised {
    /// The last record that an append was begun for.
    appending: u64,
    /// The last record of which the append returned.
    appended: u64,
    /// The last record that a sync returned.
    safe: u64,
    /// Records below this one may be gone.
    trimming: u64,
}

impl Promised {
    fn note(&mut self, operation: &Operation) {
        match operation {
            Operation::Note(Note::Appending(number)) => self.appending = self.appending.max(*number),
            Operation::Note(Note::Appended(number)) => self.appended = self.appended.max(*number),
            Operation::Note(Note::Safe(number)) => self.safe = self.safe.max(*number),
            Operation::Note(Note::Trimming(number)) => self.trimming = self.trimming.max(*number),
            _ => {}
        }
    }

    fn note_last(&mut self, operations: &[Operation]) {
        if let Some(operation) = operations.last() {
            self.note(operation);
        }
    }
}

/// Does at random what an owner may do, and returns the disk.
fn work(steps: usize, random: &mut Pcg64Mcg) -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let mut owner = Owner::new(&disk);
    for _ in 0..steps {
        match random.random_range(0..20) {
            0 => owner.trim(random.random_range(1..=owner.next)),
            1 => owner.acquire(),
            2 => {
                let needed = record(owner.next).len();
                owner.append_without_room(random.random_range(0..=needed)).unwrap_err();
            }
            3..=7 => {
                assert_eq!(owner.sync(), owner.next - 1);
            }
            _ => owner.append().unwrap(),
        }
    }
    disk
}

/// Opens what is left and checks it against what had been promised; `safe` as of the level of promise. Returns what the
/// disk did for it.
fn check(contents: &Contents, tail: Tail, promised: Promised, safe: u64) -> Vec<Operation> {
    let disk = SimulatedDisk::of(contents);
    let (log, opened) = match open(&disk, tail) {
        Ok(opened) => opened,
        Err(error) => panic!("{error}\n{promised:?}"),
    };
    assert!(opened.last >= safe, "{opened:?} {promised:?}");
    assert!(opened.last <= promised.appending, "{opened:?} {promised:?}");
    assert!(opened.first <= promised.trimming.max(1), "{opened:?} {promised:?}");
    assert_eq!(read(&log, opened.first).unwrap(), records(opened.first..=opened.last));
    let trace = disk.trace();
    let claim = log.acquire().unwrap();
    assert_eq!(claim.next, opened.last + 1);
    log.append(claim.epoch, claim.next, &record(claim.next)).unwrap();
    assert_eq!(log.sync().unwrap(), claim.next);
    drop(log);
    let (log, again) = open(&disk, tail).unwrap();
    assert_eq!((again.first, again.last, again.cut), (opened.first, claim.next, None));
    assert_eq!(read(&log, opened.first).unwrap(), records(opened.first..=claim.next));
    trace
}

/// Cuts the power at every moment of some histories; returns how many states were opened, and how many of those were left
/// by a second cut while the first was being repaired.
fn cut_power_everywhere(seeds: Range<u64>, steps: usize) -> (usize, usize) {
    let (mut states, mut repairs) = (0, 0);
    for seed in seeds {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let trace = work(steps, &mut random).trace();
        let mut promised = Promised::default();
        for prefix in 0..=trace.len() {
            promised.note_last(&trace[..prefix]);
            power_cuts(
                &Contents::new(),
                &trace[..prefix],
                2,
                &mut random,
                &mut |left, random| {
                    states += 1;
                    let repair = check(&left, Tail::CutUnsynced, promised, promised.safe);
                    if states % 29 == 0 {
                        for prefix in 0..=repair.len() {
                            power_cuts(&left, &repair[..prefix], 1, random, &mut |left, _| {
                                repairs += 1;
                                check(&left, Tail::CutUnsynced, promised, promised.safe);
                            });
                        }
                    }
                },
            );
        }
    }
    (states + repairs, repairs)
}

#[test]
fn whatever_a_loss_of_power_leaves_every_synced_record_is_there_and_none_that_was_never_appended() {
    let (states, repairs) = cut_power_everywhere(0..4, 30);
    assert!(
        states > 10_000 && repairs > 1_000,
        "{states} states, {repairs} of them in repairs"
    );
}

#[test]
#[ignore = "takes minutes: `cargo test --release --lib power -- --ignored`"]
fn whatever_a_loss_of_power_leaves_after_many_histories_every_synced_record_is_there() {
    let (states, repairs) = cut_power_everywhere(1_000..1_040, 60);
    assert!(
        states > 500_000 && repairs > 50_000,
        "{states} states, {repairs} of them in repairs"
    );
}

#[test]
fn a_process_level_log_after_a_loss_of_power_refuses_or_has_every_synced_record() {
    let (mut opened, mut refused) = (0, 0);
    for seed in 100..104 {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let trace = work(40, &mut random).trace();
        let mut promised = Promised::default();
        for prefix in 0..=trace.len() {
            promised.note_last(&trace[..prefix]);
            power_cuts(&Contents::new(), &trace[..prefix], 1, &mut random, &mut |left, _| {
                let tail = Tail::RefuseIfWholeRecordsFollow;
                if open(&SimulatedDisk::of(&left), tail).is_ok() {
                    opened += 1;
                    check(&left, tail, promised, promised.safe);
                } else {
                    refused += 1;
                }
            });
        }
    }
    assert!(opened > 1_000 && refused > 100, "{opened} opened, {refused} refused");
}

#[test]
fn wherever_the_process_dies_every_appended_record_is_there() {
    for seed in 200..206 {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let trace = work(60, &mut random).trace();
        let mut promised = Promised::default();
        let mut files: Vec<Vec<u8>> = Vec::new();
        let mut names: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
        let left = |names: &std::collections::BTreeMap<String, usize>, files: &[Vec<u8>]| -> Contents {
            names
                .iter()
                .map(|(name, &file)| (name.clone(), files[file].clone()))
                .collect()
        };
        for operation in &trace {
            promised.note(operation);
            match operation {
                Operation::Create { name, .. } => {
                    names.insert(name.clone(), files.len());
                    files.push(Vec::new());
                }
                Operation::Append { file, bytes, .. } => {
                    // The process may die when a part of the write is done.
                    for part in (0..bytes.len()).step_by(37) {
                        let whole = files[*file].len();
                        files[*file].extend_from_slice(&bytes[..part]);
                        for tail in [Tail::CutUnsynced, Tail::RefuseIfWholeRecordsFollow] {
                            check(&left(&names, &files), tail, promised, promised.appended);
                        }
                        files[*file].truncate(whole);
                    }
                    files[*file].extend_from_slice(bytes);
                }
                Operation::SetBytes { file, bytes } => files[*file].truncate(*bytes),
                Operation::Remove { name } => drop(names.remove(name)),
                Operation::Sync { .. } | Operation::SyncDirectory | Operation::Note(_) => {}
            }
            let tail = Tail::RefuseIfWholeRecordsFollow;
            check(&left(&names, &files), tail, promised, promised.appended);
        }
    }
}
