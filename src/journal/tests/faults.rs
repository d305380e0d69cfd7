//! What a log does when its disk does not do what it should.

use super::{Owner, open, read, records};
use crate::journal::testing::{Faults, SimulatedDisk};
use crate::journal::{AppendError, Log, LogError, Tail};

#[test]
fn a_full_disk_refuses_a_record_whatever_part_was_written_and_takes_it_when_there_is_room() {
    for room in 0..400 {
        let disk = SimulatedDisk::default();
        let mut owner = Owner::new(&disk);
        for _ in 0..room % 12 {
            owner.append().unwrap();
        }
        let before = disk.contents();
        let count = owner.next - 1;
        for _ in 0..3 {
            if let Err(error) = owner.append_without_room(room) {
                assert!(matches!(error, AppendError::Refused(_)), "{error:?}");
                assert_eq!(disk.contents(), before, "something of the refused record is left");
                assert_eq!(read(&owner.log, 1).unwrap(), records(1..=count));
            } else {
                break;
            }
        }
        while owner.next <= count + 3 {
            owner.append().unwrap();
        }
        owner.sync();
        drop(owner);
        let (log, opened) = open(&disk, Tail::default()).unwrap();
        assert_eq!(opened.cut, None);
        assert_eq!(read(&log, 1).unwrap(), records(1..=count + 3));
    }
}

#[test]
fn a_write_that_cannot_be_taken_back_stops_the_log_until_it_is_opened_anew() {
    for count in 0..6 {
        let disk = SimulatedDisk::default();
        let mut owner = Owner::new(&disk);
        for _ in 0..count {
            owner.append().unwrap();
        }
        disk.set_faults(Faults {
            bytes_max: Some(disk.bytes() + 20),
            cannot_take_back: true,
            ..Faults::default()
        });
        let unknown = owner.append();
        assert!(matches!(unknown, Err(AppendError::Unknown(_))), "{unknown:?}");
        disk.set_faults(Faults::default());
        let stopped = owner.append();
        assert!(matches!(stopped, Err(AppendError::Stopped { .. })), "{stopped:?}");
        assert!(matches!(owner.log.sync(), Err(LogError::Stopped { .. })));
        assert!(matches!(owner.log.acquire(), Err(LogError::Stopped { .. })));
        assert!(matches!(owner.log.trim(1), Err(LogError::Stopped { .. })));
        assert_eq!(read(&owner.log, 1).unwrap(), records(1..=count));
        drop(owner);
        let (log, opened) = open(&disk, Tail::default()).unwrap();
        assert_eq!((opened.last, opened.cut.unwrap().after), (count, count));
        assert_eq!(read(&log, 1).unwrap(), records(1..=count));
    }
}

#[test]
fn after_a_failed_sync_nothing_is_taken_any_more_though_the_next_would_succeed() {
    let mut failed = 0;
    for syncs in 0..12 {
        let disk = SimulatedDisk::default();
        let mut owner = Owner::new(&disk);
        disk.set_faults(Faults {
            syncs_until_failure: Some(syncs),
            ..Faults::default()
        });
        let mut safe = 0;
        for _ in 0..10 {
            owner.append().unwrap();
            match owner.log.sync() {
                Ok(last) => safe = last,
                Err(error) => {
                    assert!(matches!(error, LogError::Stopped { .. }), "{error:?}");
                    failed += 1;
                    break;
                }
            }
        }
        if safe < 10 {
            assert!(matches!(owner.log.sync(), Err(LogError::Stopped { .. })));
            let stopped = owner.append();
            assert!(matches!(stopped, Err(AppendError::Stopped { .. })), "{stopped:?}");
            let message = stopped.unwrap_err().to_string();
            assert!(message.contains("simulated failure of a sync"), "{message}");
            assert_eq!(safe, owner.next - 2);
        }
        assert_eq!(read(&owner.log, 1).unwrap(), records(1..owner.next));
    }
    assert!(failed > 8, "only {failed} syncs failed");
}

#[test]
fn a_segment_that_cannot_be_removed_is_trimmed_later() {
    let disk = SimulatedDisk::default();
    let mut owner = Owner::new(&disk);
    for _ in 0..30 {
        owner.append().unwrap();
    }
    disk.set_faults(Faults {
        cannot_take_back: true,
        ..Faults::default()
    });
    let refused = owner.log.trim(20);
    assert!(matches!(refused, Err(LogError::Io { .. })), "{refused:?}");
    assert_eq!(read(&owner.log, 1).unwrap(), records(1..=30));
    disk.set_faults(Faults::default());
    owner.append().unwrap();
    owner.log.trim(20).unwrap();
    assert!(matches!(read(&owner.log, 1), Err(LogError::Trimmed { .. })));
    assert_eq!(read(&owner.log, 20).unwrap(), records(20..=31));
}
