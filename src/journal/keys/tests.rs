//! What can be relied on about keys: they are safe before use, gone when destroyed, and damage is found.

use super::*;

fn all(folder: &Path) -> Result<Vec<(u32, Found)>, KeysError> {
    let table = inspect(folder)?.0;
    let slots = u32::try_from(table.slots()).unwrap();
    Ok((1..slots).map(|slot| (slot, table.find(slot))).collect())
}

#[test]
fn a_key_is_on_the_disk_before_somebody_has_it_and_no_two_have_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::open(folder.path()).unwrap();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..5_000 {
        let seal = keys.take().unwrap();
        assert_eq!(keys.find(seal.slot()).unwrap(), Found::Live(seal));
        assert!(seen.insert(*seal.key()));
    }
    let on_disk = all(folder.path()).unwrap();
    assert!(on_disk.len() >= 5_000);
    assert!(
        on_disk
            .iter()
            .all(|(slot, found)| matches!(found, Found::Live(seal) if seal.slot() == *slot))
    );
}

#[test]
fn a_destroyed_key_is_nowhere_in_the_file_and_its_slot_is_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::open(folder.path()).unwrap();
    let (gone, kept) = (keys.take().unwrap(), keys.take().unwrap());
    let holds = |key: &[u8]| {
        let bytes = fs::read(folder.path().join("slots")).unwrap();
        bytes.windows(KEY_BYTES).any(|window| window == key)
    };
    assert!(holds(gone.key()), "the search finds what is there");
    keys.retire(gone.slot(), 12);
    assert_eq!(keys.destroy(11).unwrap(), 0, "not before its record is safe");
    assert!(holds(gone.key()) && keys.has_retired(12));
    assert_eq!(keys.destroy(12).unwrap(), 1);
    assert!(!holds(gone.key()) && holds(kept.key()));
    assert_eq!(keys.find(gone.slot()).unwrap(), Found::Destroyed);
    drop(keys);
    let found = all(folder.path()).unwrap();
    let keys = Keys::open(folder.path()).unwrap();
    assert!(found.contains(&(gone.slot(), Found::Destroyed)) && found.contains(&(kept.slot(), Found::Live(kept))));
    let next = keys.take().unwrap();
    assert!(found.iter().all(|(slot, _)| *slot < next.slot()), "all numbers are new");
    assert_eq!(keys.find(next.slot() + 100_000).unwrap(), Found::Unknown);
}

#[test]
fn every_flipped_bit_of_a_slot_the_salt_or_the_books_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::open(folder.path()).unwrap();
    let seal = keys.take().unwrap();
    keys.retire(keys.take().unwrap().slot(), 1);
    keys.keep_books(1, b"books").unwrap();
    keys.destroy(1).unwrap();
    drop(keys);
    assert!(all(folder.path()).unwrap().len() > 2);
    for (name, bytes) in [("slots", 96), ("salt", 36), ("books", 17)] {
        let path = folder.path().join(name);
        let good = fs::read(&path).unwrap();
        for at in 0..bytes {
            for bit in 0..8 {
                let mut flipped = good.clone();
                flipped[at] ^= 1 << bit;
                fs::write(&path, &flipped).unwrap();
                assert!(Keys::open(folder.path()).is_err(), "{name}: bit {bit} of byte {at}");
            }
        }
        fs::write(&path, &good).unwrap();
    }
    let keys = Keys::open(folder.path()).unwrap();
    assert_eq!(keys.find(seal.slot()).unwrap(), Found::Live(seal));
    assert_eq!(keys.books().unwrap(), Some((1, b"books".to_vec())));
}
