//! What an operator can rely on with a data folder: damage is found, copies are whole, and what is served is what was
//! acknowledged.

use std::fs;
use std::path::{Path, PathBuf};

use super::data::{DataError, DataFolder};
use super::files;
use super::upkeep::{copy, is_taken, verify};
use crate::catalog::load;
use crate::decision::testing::{BASE_FILE, T0, base_files, symbol};
use crate::domain::entry::ProfileChange;
use crate::domain::ids::CustomerId;
use crate::domain::profile::Profile;
use crate::domain::value::Value;
use crate::engine::{Active, Engine, Limits, Recovery};
use crate::journal::Level;

type Everybody = Vec<(CustomerId, Profile)>;

/// Starts from a folder as `nbo serve` does; says why not.
pub(super) fn start(folder: &Path) -> Result<(Engine, DataFolder), String> {
    let files = files::Files {
        catalog: base_files(),
        ..files::Files::default()
    };
    start_with(folder, &files)
}

/// Starts with a catalog of one's own.
pub(super) fn start_with(folder: &Path, files: &files::Files) -> Result<(Engine, DataFolder), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let data = DataFolder::take(folder).map_err(|error| text(&error))?;
    let (journal, _) = data.journal(Level::Process).map_err(|error| text(&error))?;
    let limits = Limits::default();
    let recovery = Recovery::begin(journal, &data.checkpoints(), &mut |_, _| {}).map_err(|error| text(&error))?;
    let catalog = load(&files.catalog, &recovery.symbols()).map_err(|faults| format!("{} faults", faults.len()))?;
    data.keep(&catalog.version, files).map_err(|error| text(&error))?;
    let active = Active {
        since: T0,
        ..Active::new(catalog.into(), Vec::new())
    };
    let mut catalogs = |activation: &_| data.catalog(activation);
    let finished = recovery.finish(active, limits, &mut catalogs, &mut |_, _| {});
    let (engine, _) = finished.map_err(|error| text(&error))?;
    Ok((engine, data))
}

pub(super) fn write(engine: &Engine, number: u32) {
    let active = engine.active();
    let change = ProfileChange {
        attributes: vec![(symbol(&active.catalog, "age"), Value::Number(f64::from(number % 90)))],
        ..ProfileChange::default()
    };
    let id = CustomerId::known(&format!("c{number}")).unwrap();
    engine.upsert_profile(&active, &id, &change, T0).unwrap();
}

fn everybody(engine: &Engine) -> Everybody {
    let mut all = Vec::new();
    engine.store().for_each(|id, profile| all.push((id, profile.clone())));
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Makes a folder with two checkpoints and records behind them, and returns who is in it.
fn used(folder: &Path) -> Everybody {
    let (engine, data) = start(folder).unwrap();
    for number in 0..12 {
        write(&engine, number);
        if number % 4 == 3 {
            engine.checkpoint(&data.checkpoints(), u64::MAX).unwrap();
        }
    }
    (12..15).for_each(|number| write(&engine, number));
    everybody(&engine)
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let deep = entries.flat_map(|path| if path.is_dir() { files_of(&path) } else { vec![path] });
    let mut files: Vec<PathBuf> = deep.filter(|path| !path.ends_with("lock")).collect();
    files.sort();
    files
}

#[test]
fn a_used_folder_is_whole_and_what_is_in_it_is_counted() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    used(&folder);
    let found = verify(&folder, &mut |_, _| {}).unwrap();
    assert_eq!(
        (found.checkpoints, found.customers, found.versions),
        (2, 12, 1),
        "{found:?}"
    );
    // The activation is the first record.
    assert_eq!((found.position, found.last), (13, 16), "{found:?}");
    assert!(found.damages.is_empty() && found.notes.is_empty(), "{found:?}");
    let nothing = verify(root.path(), &mut |_, _| {}).unwrap_err().to_string();
    assert!(nothing.contains("no data folder"), "{nothing}");
}

#[test]
fn whatever_byte_is_flipped_a_start_serves_what_was_acknowledged_or_refuses_or_says_what_it_left_out() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    let before = used(&folder);
    let good = root.path().join("good");
    copy(&folder, &good, &mut |_, _| {}).unwrap();
    let flipped = root.path().join("flipped");
    let (mut refused, mut whole, mut cut) = (0, 0, 0);
    for file in files_of(&good) {
        let within = file.strip_prefix(&good).unwrap().to_owned();
        let bytes = fs::read(&file).unwrap();
        let name = within.display().to_string();
        // The rules are long, and any byte of them is as good as any other.
        let step = match &name {
            name if name.contains(BASE_FILE) => 211,
            // Most keys were drawn for people who may come.
            name if name.contains("slots") => 307,
            _ => 7,
        };
        for at in (0..bytes.len()).step_by(step) {
            let _ = fs::remove_dir_all(&flipped);
            for file in files_of(&good) {
                let target = flipped.join(file.strip_prefix(&good).unwrap());
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::copy(&file, target).unwrap();
            }
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 1 << (at % 8);
            fs::write(flipped.join(&within), &spoilt).unwrap();
            let found = verify(&flipped, &mut |_, _| {});
            let is_found = found
                .as_ref()
                .map_or(true, |found| !found.damages.is_empty() || !found.notes.is_empty());
            assert!(is_found, "byte {at} of {name}: {found:?}");
            match start(&flipped) {
                Err(_) => refused += 1,
                Ok((engine, _)) => {
                    let now = everybody(&engine);
                    if name.starts_with("keys") {
                        panic!("byte {at} of {name}: a key that is not what it was has to be refused");
                    } else if now == before {
                        whole += 1;
                    } else {
                        // Only the last record can be taken for a write that was interrupted.
                        assert_eq!(now, without_last(&before), "byte {at} of {name}");
                        assert!(name.starts_with("journal"), "byte {at} of {name}");
                        cut += 1;
                    }
                }
            }
        }
    }
    assert!(
        refused > 20 && whole > 20 && cut > 0,
        "{refused} refused, {whole} whole, {cut} cut"
    );
}

/// Returns who is left without the customer who came last.
fn without_last(all: &Everybody) -> Everybody {
    all.iter().filter(|(id, _)| id.as_str() != "c14").cloned().collect()
}

#[test]
fn a_copy_of_a_folder_in_use_is_whole_and_serves() {
    let root = tempfile::tempdir().unwrap();
    let (folder, backup, restored) = (
        root.path().join("data"),
        root.path().join("backup"),
        root.path().join("new"),
    );
    let before = used(&folder);
    let (engine, data) = start(&folder).unwrap();
    assert!(is_taken(&verify(&folder, &mut |_, _| {}).unwrap_err()));
    let copied = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for number in 100..400 {
                write(&engine, number);
                if number % 50 == 0 {
                    engine.checkpoint(&data.checkpoints(), u64::MAX).unwrap();
                }
            }
        });
        let copied = copy(&folder, &backup, &mut |_, _| {}).unwrap();
        writing.join().unwrap();
        copied
    });
    assert!(copied.last >= 16, "{copied:?}");
    let occupied = copy(&folder, &backup, &mut |_, _| {}).unwrap_err();
    assert!(matches!(occupied, DataError::Occupied { .. }), "{occupied}");
    copy(&backup, &restored, &mut |_, _| {}).unwrap();
    let (served, _) = start(&restored).unwrap();
    let now = everybody(&served);
    assert!(
        before.iter().all(|one| now.contains(one)),
        "everybody from before is there"
    );
    let all = everybody(&engine);
    assert!(now.iter().all(|one| all.contains(one)), "and nobody else");
    // What was written later follows in order, without a gap.
    let later = now.iter().filter(|(id, _)| id.as_str().len() == 4).count();
    let in_order = (100..400)
        .take(later)
        .all(|number| now.iter().any(|(id, _)| id.as_str() == format!("c{number}")));
    assert!(in_order, "{later} of those written meanwhile");
}
