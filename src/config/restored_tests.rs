//! What an auditor can rely on when a copy is brought back: who was erased since does not come back with it.

use std::fs;
use std::path::Path;

use super::restored::{ErasedPeople, restore};
use super::upkeep::{copy, verify};
use super::upkeep_tests::{start, write};
use crate::decision::testing::{T0, symbol};
use crate::domain::entry::ProfileChange;
use crate::domain::ids::CustomerId;
use crate::domain::profile::Precedence;
use crate::domain::value::Value;
use crate::engine::{Engine, GoneAgain};

fn known(number: u32) -> CustomerId {
    CustomerId::known(&format!("c{number}")).unwrap()
}

fn visitor(name: &str) -> CustomerId {
    CustomerId::anonymous(name).unwrap()
}

fn is_there(engine: &Engine, number: u32) -> bool {
    engine.profile(&known(number)).is_some()
}

fn change(engine: &Engine) -> ProfileChange {
    ProfileChange {
        attributes: vec![(symbol(&engine.active().catalog, "age"), Value::Number(40.0))],
        ..ProfileChange::default()
    }
}

/// Returns whether some bytes stand anywhere in a folder.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        fs::read(path)
            .unwrap()
            .windows(bytes.len())
            .any(|window| window == bytes)
    })
}

/// Makes a folder and a copy of it, and goes on: c1 is erased, c2 is erased and comes back, c3 is forgotten, c20 comes and is erased, a
/// visitor of c4 is parted and erased, and a visitor of c5 is erased with c5.
fn went_on(root: &Path) {
    let (folder, backup) = (root.join("data"), root.join("backup"));
    let (engine, data) = start(&folder).unwrap();
    (0..10).for_each(|number| write(&engine, number));
    let active = engine.active();
    for (name, number) in [("cookie4", 4), ("cookie5", 5)] {
        engine
            .upsert_profile(&active, &visitor(name), &change(&engine), T0)
            .unwrap();
        let merged = engine.merge_customers(&active, &visitor(name), &known(number), Precedence::Customer, T0);
        assert!(merged.unwrap().merged);
    }
    engine.checkpoint(&data.checkpoints(), u64::MAX).unwrap();
    write(&engine, 11);
    copy(&folder, &backup, &mut |_, _| {}).unwrap();
    write(&engine, 20);
    for number in [1, 2, 5, 20] {
        assert!(engine.erase_customer(&known(number), T0).unwrap().existed);
    }
    engine
        .upsert_after_erasure(&active, &known(2), &change(&engine), T0)
        .unwrap();
    assert!(engine.delete_profile(&known(3)).unwrap());
    engine.unmerge_customers(&active, &visitor("cookie4"), T0).unwrap();
    engine.erase_customer(&visitor("cookie4"), T0).unwrap();
    // The keys of those who were forgotten go with it.
    engine.checkpoint(&data.checkpoints(), u64::MAX).unwrap();
}

fn check(root: &Path, lists: &[ErasedPeople]) {
    let to = root.join("restored");
    let (verified, again) = restore(&root.join("backup"), &to, lists, T0, &mut |_, _| {}).unwrap();
    assert_eq!(
        again,
        GoneAgain {
            erased: 3,
            forgotten: 2,
            remembered: 1
        },
        "c1, c5 with its visitor, and the visitor of c4; c2 of before and c3; c20"
    );
    assert!(verified.damages.is_empty(), "{verified:?}");
    assert!(!root.join("restored.restoring").exists());
    let (engine, _) = start(&to).unwrap();
    for (number, there) in [
        (0, true),
        (1, false),
        (2, false),
        (3, false),
        (4, true),
        (5, false),
        (11, true),
    ] {
        assert_eq!(is_there(&engine, number), there, "c{number}");
    }
    for (who, is_erased) in [
        (known(1), true),
        (known(2), false),
        (known(3), false),
        (known(5), true),
        (known(20), true),
        (visitor("cookie4"), true),
        (visitor("cookie5"), true),
        (known(6), false),
    ] {
        assert_eq!(engine.is_erased(&who), is_erased, "{who:?}");
    }
    drop(engine);
    assert!(!holds(&to, b"c1\0"), "ids are sealed");
    fs::remove_dir_all(&to).unwrap();
}

#[test]
fn who_was_erased_since_the_copy_does_not_come_back_with_it_whoever_says_so() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    went_on(root);
    // The folder that is replaced says it, so does a list of it, and so does a later copy.
    let folder = ErasedPeople::read(&root.join("data")).unwrap();
    assert!(folder.notes().is_empty(), "{:?}", folder.notes());
    check(root, std::slice::from_ref(&folder));
    folder.write(&root.join("erased.json")).unwrap();
    check(root, &[ErasedPeople::read(&root.join("erased.json")).unwrap()]);
    copy(&root.join("data"), &root.join("later"), &mut |_, _| {}).unwrap();
    check(root, &[ErasedPeople::read(&root.join("later")).unwrap(), folder]);
}

#[test]
fn a_damaged_folder_still_says_whose_keys_it_destroyed() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    went_on(root);
    fs::remove_dir_all(root.join("data/checkpoints")).unwrap();
    fs::create_dir(root.join("data/checkpoints")).unwrap();
    for entry in fs::read_dir(root.join("data/journal")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "log") {
            fs::write(path, b"nothing that was written").unwrap();
        }
    }
    let list = ErasedPeople::read(&root.join("data")).unwrap();
    let (_, again) = restore(
        &root.join("backup"),
        &root.join("restored"),
        &[list],
        T0,
        &mut |_, _| {},
    )
    .unwrap();
    assert_eq!((again.erased, again.remembered), (0, 0), "the marks are lost");
    let (engine, _) = start(&root.join("restored")).unwrap();
    for (number, there) in [(0, true), (1, false), (2, false), (3, false), (4, true), (5, false)] {
        assert_eq!(is_there(&engine, number), there, "c{number}");
    }
}

#[test]
fn a_list_of_other_data_is_refused_and_there_is_no_folder_to_serve_from() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    went_on(root);
    drop(start(&root.join("other")).unwrap());
    let list = ErasedPeople::read(&root.join("other")).unwrap();
    let refused = restore(
        &root.join("backup"),
        &root.join("restored"),
        &[list],
        T0,
        &mut |_, _| {},
    );
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("nobody of the one is known by the other"), "{refused}");
    assert!(!root.join("restored").exists());
    // Nobody says who was erased: everybody of that day is there again.
    let (_, again) = restore(&root.join("backup"), &root.join("restored"), &[], T0, &mut |_, _| {}).unwrap();
    assert_eq!(again, GoneAgain::default());
    assert_eq!(verify(&root.join("restored"), &mut |_, _| {}).unwrap().erased, 0);
    assert!(is_there(&start(&root.join("restored")).unwrap().0, 1));
}
