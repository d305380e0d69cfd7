//! A damaged byte is found wherever it is: no other record is ever read, and only a torn end is cut off.

use std::sync::Arc;

use super::{SEGMENT_BYTES, contents, open, options, read, record, records};
use crate::journal::cursor::{Cursor, Step};
use crate::journal::frame::HEADER_BYTES;
use crate::journal::testing::{Contents, SimulatedDisk};
use crate::journal::{Damage, Log, LogError, OpenError, Opened, Options, Proof, SegmentLog, Tail, Wrong, inspect_on};

const TAILS: [Tail; 2] = [Tail::RefuseIfWholeRecordsFollow, Tail::CutUnsynced];

/// A header, a record with its frame, or a mark.
#[derive(Clone, Debug)]
struct Piece {
    file: String,
    start: usize,
    end: usize,
    /// The record in it, or the one that comes next.
    record: u64,
    holds_record: bool,
    synced: u64,
}

fn pieces(contents: &Contents) -> Vec<Piece> {
    let disk = SimulatedDisk::of(contents);
    let mut pieces: Vec<Piece> = Vec::new();
    for (name, bytes) in contents {
        let file = crate::journal::disk::Disk::open(&disk, name).unwrap();
        let mut cursor = Cursor::new(&*file, bytes.len() as u64);
        let first = cursor.header().unwrap().unwrap().first;
        let mut piece = Piece {
            file: name.clone(),
            start: 0,
            end: HEADER_BYTES,
            record: first,
            holds_record: false,
            synced: 0,
        };
        let mut next = first;
        loop {
            pieces.push(piece.clone());
            piece.start = piece.end;
            (piece.record, piece.synced, piece.holds_record) = match cursor.step().unwrap() {
                Step::Record { sequence, synced, .. } => (sequence, synced, true),
                Step::Mark { synced } => (next, synced, false),
                Step::Broken => panic!("{name} is broken"),
                Step::End => break,
            };
            next = piece.record + u64::from(piece.holds_record);
            piece.end = usize::try_from(cursor.offset()).unwrap();
        }
    }
    pieces
}

/// Opens and reads everything; checks that records are right as far as they go.
fn open_and_read(contents: &Contents, tail: Tail) -> Result<Opened, Box<Damage>> {
    let disk = SimulatedDisk::of(contents);
    match open(&disk, tail) {
        Ok((log, opened)) => {
            assert_eq!(read(&log, opened.first).unwrap(), records(opened.first..=opened.last));
            Ok(opened)
        }
        Err(OpenError::Damaged(damage)) => {
            assert_eq!(disk.contents(), *contents, "something was changed before refusing");
            Err(damage)
        }
        Err(error) => panic!("{error}"),
    }
}

/// Whether the rules call it damage when this piece is broken.
fn is_damage(pieces: &[Piece], broken: usize, tail: Tail) -> bool {
    let behind = &pieces[broken + 1..];
    let record = pieces[broken].record;
    let was_safe = behind.iter().any(|piece| piece.synced >= record);
    let follows = behind.iter().any(|piece| piece.holds_record);
    was_safe || (tail == Tail::RefuseIfWholeRecordsFollow && follows)
}

fn flip_everything(contents: &Contents, tail: Tail) -> (usize, usize) {
    let pieces = pieces(contents);
    let last = pieces.iter().filter(|piece| piece.holds_record).count() as u64;
    let (mut refused, mut cut) = (0, 0);
    for (number, piece) in pieces.iter().enumerate() {
        for byte in piece.start..piece.end {
            // All bits of what stands around a record, three of each byte within.
            let step = if byte < piece.start + 32 { 1 } else { 3 };
            for bit in (0..8).step_by(step) {
                let mut flipped = contents.clone();
                flipped.get_mut(&piece.file).unwrap()[byte] ^= 1 << bit;
                let place = format!("bit {bit} of byte {byte} of {piece:?}");
                let inspection = inspect_on(&SimulatedDisk::of(&flipped), tail).unwrap();
                assert_eq!(inspection.faults[0].offset, piece.start as u64, "{place}");
                match open_and_read(&flipped, tail) {
                    Ok(opened) => {
                        cut += 1;
                        assert!(!is_damage(&pieces, number, tail), "{place} was not refused: {opened:?}");
                        assert!(!inspection.is_damaged, "{place}");
                        let report = opened.cut.unwrap();
                        assert_eq!(opened.last, (piece.record - 1).min(last), "{place}");
                        assert_eq!(
                            (&report.fault.file, report.after),
                            (&piece.file, opened.last),
                            "{place}"
                        );
                    }
                    Err(damage) => {
                        refused += 1;
                        assert!(is_damage(&pieces, number, tail), "{place} was refused: {damage}");
                        assert!(inspection.is_damaged, "{place}");
                        let fault = &damage.fault;
                        assert_eq!(
                            (&fault.file, fault.offset),
                            (&piece.file, piece.start as u64),
                            "{place}"
                        );
                        let message = damage.to_string();
                        assert!(
                            message.contains(&format!("{}, byte {}:", piece.file, piece.start)),
                            "{message}"
                        );
                    }
                }
            }
        }
    }
    (refused, cut)
}

#[test]
fn every_flipped_bit_is_found_and_only_a_torn_end_is_cut() {
    // The second log ends with records that were not synced yet, the third never was synced.
    for (count, synced_after) in [(4, &[2, 4][..]), (4, &[1, 2][..]), (4, &[][..])] {
        let contents = contents(count, synced_after, 700);
        assert!(contents.len() > 1);
        for tail in TAILS {
            let (refused, cut) = flip_everything(&contents, tail);
            let bytes = contents.values().map(Vec::len).sum::<usize>();
            assert!(refused + cut > bytes * 3 && cut > 0);
            assert_eq!(
                refused > 0,
                !synced_after.is_empty() || tail == Tail::RefuseIfWholeRecordsFollow
            );
        }
    }
}

#[test]
fn a_file_that_is_shorter_than_it_was_gives_what_was_written_or_is_refused() {
    let contents = contents(14, &[4, 9], SEGMENT_BYTES);
    let pieces = pieces(&contents);
    for (name, bytes) in &contents {
        for length in 0..bytes.len() {
            for tail in TAILS {
                let mut shorter = contents.clone();
                shorter.get_mut(name).unwrap().truncate(length);
                let lost = pieces
                    .iter()
                    .position(|piece| piece.file == *name && piece.end > length)
                    .unwrap();
                let lost_record = pieces[lost..].iter().find(|piece| piece.holds_record);
                match open_and_read(&shorter, tail) {
                    Ok(opened) => {
                        let next = lost_record.map_or(15, |piece| piece.record);
                        let all_of_the_file = pieces[lost..].iter().find(|piece| piece.file != *name);
                        let is_last_file = all_of_the_file.is_none();
                        assert!(
                            is_last_file || opened.last + 1 == next || opened.last == 14,
                            "{opened:?}"
                        );
                        assert!(
                            opened.last >= 9 || lost_record.is_none(),
                            "synced records are gone: {opened:?}"
                        );
                    }
                    Err(damage) => assert!(damage.fault.wrong.may_be_torn(), "{damage}"),
                }
            }
        }
    }
}

#[test]
fn a_segment_that_is_missing_renamed_repeated_or_from_a_newer_program_is_refused_with_advice() {
    let whole = contents(30, &[10, 20, 30], SEGMENT_BYTES);
    let names: Vec<&String> = whole.keys().collect();
    assert!(names.len() > 4);
    let refused = |contents: &Contents, words: &[&str]| {
        for tail in TAILS {
            let damage = open_and_read(contents, tail).unwrap_err();
            let message = damage.to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
    };
    let mut missing = whole.clone();
    missing.remove(names[1]);
    refused(&missing, &["missing in front of it", names[2], "put back the file"]);

    let mut renamed = whole.clone();
    let bytes = renamed.remove(names[1]).unwrap();
    renamed.insert("00000000000000000003.log".to_owned(), bytes.clone());
    let advice = format!("name it {} again", names[1]);
    refused(&renamed, &["00000000000000000003.log", "but was renamed", &advice]);

    let mut repeated = whole.clone();
    repeated.insert(names[2].clone(), bytes.clone());
    refused(&repeated, &["but was renamed", names[2]]);

    let mut swapped = whole.clone();
    swapped.insert(names[2].clone(), bytes);
    swapped.insert(names[1].clone(), whole[names[2]].clone());
    refused(&swapped, &["but was renamed", names[1]]);

    let mut stranger = whole.clone();
    stranger.insert("copy of 7.log".to_owned(), Vec::new());
    refused(&stranger, &["copy of 7.log", "move it out of the directory"]);

    let mut newer = whole.clone();
    let header = newer.get_mut(names[3]).unwrap();
    header[8] = 2;
    let checksum = crc32fast::hash(&header[..HEADER_BYTES - 4]);
    header[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    refused(&newer, &["format version 2", "start the newer program"]);

    let mut longer = whole.clone();
    let extra = longer[names[0]][HEADER_BYTES..].to_vec();
    longer.get_mut(names[0]).unwrap().extend_from_slice(&extra);
    refused(&longer, &["stands where record"]);

    let mut others = whole;
    others.insert("lock".to_owned(), Vec::new());
    others.insert("checkpoint.1".to_owned(), vec![1]);
    assert_eq!(open_and_read(&others, Tail::default()).unwrap().cut, None);
}

#[test]
fn damage_in_segments_that_opening_was_told_not_to_read_is_found_when_they_are_read() {
    let mut contents = contents(30, &[10, 20, 30], SEGMENT_BYTES);
    let (name, bytes) = contents.iter_mut().next().unwrap();
    let (name, at) = (name.clone(), bytes.len() - 5);
    bytes[at] ^= 1;
    let tail = Tail::default();
    let options = Options {
        verify_from: 20,
        ..options(tail)
    };
    let (log, opened) = SegmentLog::open_on(Arc::new(SimulatedDisk::of(&contents)), &options).unwrap();
    assert_eq!((opened.first, opened.last, opened.cut), (1, 30, None));
    assert_eq!(read(&log, 20).unwrap(), records(20..=30));
    let Err(LogError::Damaged(damage)) = read(&log, 1) else {
        panic!("the damage was not found");
    };
    assert_eq!((damage.fault.file, damage.proof), (name, Proof::Read));
    let claim = log.acquire().unwrap();
    log.append(claim.epoch, 31, &record(31)).unwrap();
}

#[test]
fn an_inspection_lists_every_fault_and_the_figures_and_changes_nothing() {
    let whole = contents(30, &[10, 20, 30], SEGMENT_BYTES);
    let disk = SimulatedDisk::of(&whole);
    let inspection = inspect_on(&disk, Tail::default()).unwrap();
    assert_eq!((inspection.first, inspection.last, inspection.records), (1, 30, 30));
    assert_eq!(inspection.bytes, disk.bytes() as u64);
    assert_eq!((inspection.faults.len(), inspection.is_damaged), (0, false));
    assert!(inspection.segments.iter().all(|segment| segment.epoch == 1));

    let mut damaged = whole.clone();
    let pieces = pieces(&whole);
    let broken = [3, 4, 7, 15, 22].map(|record| {
        let holds = |piece: &&Piece| piece.holds_record && piece.record == record;
        pieces.iter().find(holds).unwrap()
    });
    for piece in broken {
        damaged.get_mut(&piece.file).unwrap()[piece.start + 2] ^= 0x40;
    }
    let disk = SimulatedDisk::of(&damaged);
    let inspection = inspect_on(&disk, Tail::default()).unwrap();
    assert_eq!(disk.contents(), damaged);
    assert!(inspection.is_damaged);
    assert_eq!(inspection.records, 25);
    let places = |piece: &Piece| (piece.file.clone(), piece.start as u64);
    let found: Vec<_> = inspection
        .faults
        .iter()
        .filter(|fault| fault.wrong == Wrong::Record)
        .collect();
    let found: Vec<_> = found.iter().map(|fault| (fault.file.clone(), fault.offset)).collect();
    // Two broken records in a row are one stretch of broken bytes.
    let expected: Vec<_> = [0, 2, 3, 4].map(|number| places(broken[number])).to_vec();
    assert_eq!(found, expected, "{:?}", inspection.faults);
}

#[test]
fn garbage_for_files_is_refused_or_cut_and_never_read() {
    for length in [0, 1, 31, 32, 33, 56, 100, usize::try_from(SEGMENT_BYTES).unwrap()] {
        for byte in [0, 1, 0xff] {
            let name = "00000000000000000001.log".to_owned();
            let garbage = Contents::from([(name, vec![byte; length])]);
            for tail in TAILS {
                let opened = open_and_read(&garbage, tail).unwrap();
                assert_eq!((opened.first, opened.last, opened.segments), (1, 0, 0));
                assert_eq!(opened.cut.unwrap().bytes, length as u64);
            }
        }
    }
}
