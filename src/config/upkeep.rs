//! What people do with a data folder besides serving from it: check it, copy it while it is used, bring a copy back.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::data::{DataError, DataFolder};
use super::files;
use super::past::Past;
use crate::catalog::load;
use crate::domain::symbol::Symbols;
use crate::engine::erased_in;
use crate::journal::checkpoint::{self, CheckpointReader};
use crate::journal::keys::{self, Found, Table};
use crate::journal::{OpenError, inspect, records};
use crate::store::record::{self, Opened, Record, Unread};
use crate::store::seal::{self, Purpose};

/// How often a copy is begun anew because the server gave up files under it.
const ATTEMPTS: usize = 3;

/// Told of progress: how many bytes are done, and of how many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// What is in a data folder, and all that is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many checkpoints are good.
    pub checkpoints: u64,
    /// How many customers the newest good one has.
    pub customers: u64,
    /// The number of the record that it stands at.
    pub position: u64,
    /// The first record of the journal; 0 when there is none.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// How many bytes the journal has.
    pub journal_bytes: u64,
    /// How many keys of people are destroyed. Some were drawn and never given to anybody.
    pub destroyed_keys: u64,
    /// How many people are remembered as erased, so that they are not contacted.
    pub erased: u64,
    /// How many records and customers of checkpoints cannot be read any more because their people were erased or forgotten.
    pub unreadable: u64,
    /// How many versions of catalogs are kept whole.
    pub versions: u64,
    /// The record at which keys were destroyed last.
    #[serde(skip)]
    books: Option<u64>,
    /// The activations by which the records behind the newest good checkpoint were made.
    #[serde(skip)]
    generations: BTreeSet<u64>,
    /// What a start will put right by itself and report: the end of a write that was interrupted.
    pub notes: Vec<String>,
    /// What nobody may get over.
    pub damages: Vec<String>,
}

/// Reads everything in a data folder that nobody uses, and changes nothing.
///
/// # Errors
/// When it is no data folder of this release, or a server uses it.
pub fn verify(path: &Path, progress: Progress<'_>) -> Result<Verified, DataError> {
    let folder = existing(path)?;
    let mut verified = Verified::default();
    let journal = path.join("journal");
    let mut reach = None;
    let keys = verify_keys(&folder, &mut verified);
    let mut marks = HashSet::new();
    if journal.exists() {
        let found = inspect(&journal, folder.tail()?)?;
        (verified.first, verified.last, verified.journal_bytes) = (found.first, found.last, found.bytes);
        let faults = found.faults.iter().map(|fault| format!("journal/{fault}"));
        if found.is_damaged {
            verified.damages.extend(faults);
        } else {
            verified.notes.extend(faults);
        }
    }
    for file in checkpoint::list(&folder.checkpoints()).unwrap_or_default() {
        match read_checkpoint(&file.path, &keys, progress) {
            Ok(read) => {
                verified.checkpoints += 1;
                verified.unreadable += read.unreadable;
                verified.damages.extend(read.fault);
                if reach.is_none() {
                    reach = Some(file.position);
                    (verified.customers, verified.position) = (read.customers, file.position);
                    marks = read.marks;
                }
            }
            Err(error @ checkpoint::CheckpointError::Io { .. }) => {
                verified
                    .damages
                    .push(format!("{error}; a start refuses until it can be read"));
            }
            Err(error) => verified.notes.push(format!("{error}; a start leaves it out")),
        }
    }
    if verified.first > 1 && reach.is_none_or(|position| position + 1 < verified.first) {
        let first = verified.first;
        verified.damages.push(format!(
            "the journal begins with record {first}, and no good checkpoint reaches that far"
        ));
    }
    if reach.is_some_and(|position| position > verified.last) {
        verified
            .damages
            .push("a checkpoint stands behind the last record of the journal".to_owned());
    }
    if journal.exists() {
        verify_records(&journal, &keys, (reach.unwrap_or(0), marks), &mut verified)?;
    }
    verify_versions(&folder, &mut verified);
    verify_needed(&folder, &mut verified);
    Ok(verified)
}

/// Takes a folder that has to be one already.
pub(super) fn existing(path: &Path) -> Result<DataFolder, DataError> {
    if path.join("format").exists() {
        return DataFolder::take(path);
    }
    Err(DataError::Io {
        path: path.join("format"),
        error: io::Error::new(io::ErrorKind::NotFound, "no such file; this is no data folder"),
    })
}

/// Reads the keys; without them nothing that is sealed can be told to be whole.
fn verify_keys(folder: &DataFolder, verified: &mut Verified) -> Table {
    if folder.is_plain() {
        return Table::default();
    }
    match keys::inspect(&folder.keys()) {
        Ok((table, books)) => {
            verified.destroyed_keys = table.counts().1;
            verified.books = books;
            table
        }
        Err(error) => {
            verified.damages.push(error.to_string());
            Table::default()
        }
    }
}

/// What a checkpoint holds.
#[derive(Default)]
struct Read {
    customers: u64,
    unreadable: u64,
    /// The marks of erased people.
    marks: HashSet<String>,
    fault: Option<String>,
}

fn read_checkpoint(path: &Path, keys: &Table, progress: Progress<'_>) -> Result<Read, checkpoint::CheckpointError> {
    let mut reader = CheckpointReader::open(path)?;
    let mut read = Read {
        marks: erased_in(reader.head()),
        ..Read::default()
    };
    let is_sealed = reader.is_sealed();
    while reader.blocks(|_, block| {
        let slot = seal::slot_of(block).filter(|_| is_sealed);
        match slot.map(|slot| (slot, keys.find(slot))) {
            None => read.customers += 1,
            Some((_, Found::Live(seal))) if seal.open(Purpose::Block, block).is_some() => read.customers += 1,
            Some((_, Found::Destroyed)) => read.unreadable += 1,
            Some((slot, _)) => {
                read.fault = Some(format!(
                    "{}: the key of a customer in it, {slot}, is not in `keys`",
                    path.display()
                ));
            }
        }
    })? {
        let (done, all) = reader.progress();
        progress(done, all);
    }
    Ok(read)
}

/// Looks whether what is sealed can be read, or cannot because its people are gone.
fn verify_records(
    journal: &Path,
    keys: &Table,
    (position, mut marks): (u64, HashSet<String>),
    verified: &mut Verified,
) -> Result<(), DataError> {
    let mut fault = None;
    records(journal, &mut |number, bytes| {
        let opened = |slot| match keys.find(slot) {
            Found::Live(seal) => Opened::With(seal),
            Found::Destroyed => Opened::Destroyed,
            Found::Unknown => Opened::Unknown,
        };
        match record::read(bytes, opened) {
            Ok(Record::Erased(all)) if number > position => {
                marks.extend(all.iter().map(|erased| format!("{:032x}", erased.mark)));
            }
            Ok(Record::Readmitted(mark)) if number > position => drop(marks.remove(&format!("{mark:032x}"))),
            Ok(Record::Change { generation, .. }) if number > position => {
                verified.generations.insert(generation);
            }
            Ok(_) => {}
            Err(Unread::Destroyed(_)) => verified.unreadable += 1,
            Err(Unread::NoKey(slot) | Unread::WrongKey(slot)) => {
                fault.get_or_insert_with(|| format!("journal: the key of record {number}, {slot}, is not in `keys`"));
            }
            Err(Unread::Foreign) => {
                fault.get_or_insert_with(|| {
                    format!("journal: record {number} is of a kind that this release does not know")
                });
            }
        }
    })?;
    verified.damages.extend(fault);
    verified.erased = marks.len() as u64;
    if let Some(number) = verified.books.filter(|&number| number > verified.last) {
        verified.damages.push(format!(
            "keys: they were used at record {number}, and the journal ends at {}",
            verified.last
        ));
    }
    Ok(())
}

/// Looks whether the catalogs are kept that a start folds the records behind the checkpoint with.
fn verify_needed(folder: &DataFolder, verified: &mut Verified) {
    if verified.generations.is_empty() {
        return;
    }
    // What cannot be read is told already.
    let Ok(past) = Past::open(folder.path()) else { return };
    for generation in &verified.generations {
        let found = past.activations().iter().find(|one| one.generation == *generation);
        let version = found.map(|activation| &activation.catalog);
        if version.is_none_or(|version| !folder.path().join("versions").join(version).exists()) {
            let version = version.map_or("unknown", |version| version);
            verified.damages.push(format!(
                "versions/{version}: it is missing, and records behind the checkpoint were made by it"
            ));
        }
    }
}

fn verify_versions(folder: &DataFolder, verified: &mut Verified) {
    let versions = folder.path().join("versions");
    let Ok(entries) = fs::read_dir(&versions) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kept = entry.path();
        if is_passing(&kept) {
            continue;
        }
        let built = files::read(&kept.join("rules"), &kept.join("models"))
            .map_err(|error| error.to_string())
            .and_then(|files| {
                load(&files.catalog, &Symbols::default()).map_err(|faults| format!("{} faults", faults.len()))
            });
        match built {
            Ok(catalog) if *catalog.version == *name => verified.versions += 1,
            Ok(catalog) => verified.damages.push(format!(
                "versions/{name}: its files make catalog {} now; they were changed",
                catalog.version
            )),
            Err(why) => verified.damages.push(format!("versions/{name}: {why}")),
        }
    }
}

/// Copies a data folder to another place, whether a server uses it or not, and checks the copy. The copy stands at some moment
/// between the beginning and the end.
///
/// # Errors
/// When the other place holds something already, a file cannot be copied, or the copy is not whole.
pub fn copy(from: &Path, to: &Path, progress: Progress<'_>) -> Result<Verified, DataError> {
    refuse_occupied(to)?;
    existing(from)?;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match copy_once(from, to, progress) {
            Ok(()) => {}
            // The server gave the file up: there is a newer checkpoint to begin with.
            Err(error) if error.kind() == io::ErrorKind::NotFound && from.join("format").exists() => {
                clear(to)?;
                continue;
            }
            Err(error) => {
                return Err(DataError::Io {
                    path: to.to_owned(),
                    error,
                });
            }
        }
        let verified = verify(to, progress)?;
        if verified.damages.is_empty() {
            return Ok(verified);
        }
        last = Some(verified);
        clear(to)?;
    }
    let damages = last.map(|verified| verified.damages.join("; ")).unwrap_or_default();
    Err(DataError::Io {
        path: from.to_owned(),
        error: io::Error::other(format!("no whole copy could be made: {damages}")),
    })
}

/// Refuses a place that holds something already.
pub(super) fn refuse_occupied(to: &Path) -> Result<(), DataError> {
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(DataError::Occupied { path: to.to_owned() });
    }
    Ok(())
}

/// Empties the folder of a copy; the folder itself may be a disk of its own.
fn clear(folder: &Path) -> Result<(), DataError> {
    let empty = || {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    };
    empty().map_err(|error| DataError::Io {
        path: folder.to_owned(),
        error,
    })
}

/// Checkpoints first, then the journal behind them, oldest first: what is written meanwhile is in the journal's end or not.
fn copy_once(from: &Path, to: &Path, progress: Progress<'_>) -> io::Result<()> {
    let mut done = 0;
    // A version is kept before the journal says that it is in force, so those come last.
    // Keys come last of all: whoever is in the copy has one there. When one is destroyed meanwhile, the check of the copy finds out.
    for part in ["checkpoints", "journal", "versions", "keys"] {
        let mut files = Vec::new();
        if from.join(part).exists() {
            fs::create_dir_all(to.join(part))?;
            list(&from.join(part), &mut files)?;
        }
        match part {
            // The older ones may be given up any time, and are not needed.
            "checkpoints" => drop(files.drain(..files.len().saturating_sub(1))),
            "versions" => {
                let own = ["durability", "format"].map(|name| from.join(name));
                files.extend(own.into_iter().filter(|file| file.exists()));
            }
            // The slots before the books that are kept whenever one is destroyed.
            "keys" => files.reverse(),
            _ => {}
        }
        let sizes = files
            .iter()
            .map(|file| fs::metadata(file).map_or(0, |about| about.len()));
        let all = done + sizes.sum::<u64>();
        for file in &files {
            let within = file.strip_prefix(from).map_err(io::Error::other)?;
            let target = to.join(within);
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder)?;
            }
            done += fs::copy(file, &target)?;
            fs::File::open(&target)?.sync_all()?;
            progress(done, all);
        }
    }
    Ok(())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if is_passing(&path) {
            continue;
        }
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Tells whether a file is of the moment only: begun and not ended, or the lock of who uses the folder.
fn is_passing(path: &Path) -> bool {
    let has_ending = |ending| path.extension().is_some_and(|found| found == ending);
    has_ending("tmp") || has_ending("begun") || path.ends_with("lock")
}

/// Tells whether an error says that a server uses the folder.
#[must_use]
pub const fn is_taken(error: &DataError) -> bool {
    matches!(error, DataError::Open(OpenError::Taken { .. }))
}
