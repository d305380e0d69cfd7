//! Bringing a copy of a data folder back, without those who were erased since it was made.
//!
//! A copy has the keys of its day, so it has everybody of its day. Whoever was erased later must not come back by it, not for the moment
//! until somebody erases them once more. So to restore takes, besides the copy, who was erased: from the folder that is replaced, from a
//! later copy, or from a list that was written in time ([`ErasedPeople`]). They are erased as a server does it, before there is a folder to
//! serve from: the copy is made under another name, and gets its own only when they are gone.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::data::{DataError, DataFolder};
use super::upkeep::{self, Progress, Verified};
use crate::domain::time::Timestamp;
use crate::engine::{Active, Gone, GoneAgain, Limits, Recovery, erased_in};
use crate::journal::checkpoint::{self, CheckpointReader};
use crate::journal::files as steps;
use crate::journal::{Level, keys, read_offline};
use crate::store::record::{self, Opened, Record};

/// Who was erased or forgotten on some data, without a name: what says so is of use only with the salt of the same data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedPeople {
    /// A hash of the salt: to which data it belongs.
    data: String,
    /// The marks of erased people, in hexadecimal digits.
    marks: BTreeSet<String>,
    /// The slots of destroyed keys.
    slots: BTreeSet<u32>,
    /// What of the data could not be read; what is destroyed is known all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl ErasedPeople {
    /// Reads a list that was written, or what a data folder says, whether a server uses it or not, and whether its records are good or
    /// not: the keys must be.
    ///
    /// # Errors
    /// When it is neither, or the keys are damaged.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        if path.is_dir() {
            return Self::of_folder(path);
        }
        let failed = |error| DataError::Io {
            path: path.to_owned(),
            error,
        };
        let text = fs::read(path).map_err(failed)?;
        serde_json::from_slice(&text)
            .map_err(|error| failed(io::Error::other(format!("no list of erased people: {error}"))))
    }

    fn of_folder(path: &Path) -> Result<Self, DataError> {
        let folder = upkeep::existing(path)?;
        let mut found = Self::default();
        let mut position = 0;
        for file in checkpoint::list(&folder.checkpoints()).unwrap_or_default() {
            match CheckpointReader::open(&file.path) {
                Ok(reader) => {
                    found.marks.extend(erased_in(reader.head()));
                    position = file.position;
                    break;
                }
                Err(error) => found.notes.push(error.to_string()),
            }
        }
        let journal = path.join("journal");
        if journal.exists() {
            let read = read_offline(&journal, u64::MAX, &mut |number, bytes| {
                if number > position {
                    found.note(bytes);
                }
                ControlFlow::Continue(())
            });
            found.notes.extend(read.err().map(|error| error.to_string()));
        }
        // Read last, as a key is destroyed after its record is written.
        found.data = lineage(&folder)?;
        found.slots = keys::inspect(&folder.keys())?.0.destroyed().collect();
        Ok(found)
    }

    fn note(&mut self, bytes: &[u8]) {
        // What is sealed is about nobody who was erased.
        match record::read(bytes, |_| Opened::Unknown) {
            Ok(Record::Erased(all)) => self.marks.extend(all.iter().map(|erased| hex(erased.mark))),
            Ok(Record::Readmitted(mark)) => drop(self.marks.remove(&hex(mark))),
            _ => {}
        }
    }

    /// Writes it as a list.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        let written = text.and_then(|text| steps::write_anew(path, &text));
        written.map_err(|error| DataError::Io {
            path: path.to_owned(),
            error,
        })
    }

    /// Returns how many people are remembered as erased.
    #[must_use]
    pub fn erased(&self) -> usize {
        self.marks.len()
    }

    /// Returns what could not be read.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn add_to(&self, gone: &mut Gone) {
        let marks = self.marks.iter();
        gone.marks
            .extend(marks.filter_map(|mark| u128::from_str_radix(mark, 16).ok()));
        gone.slots.extend(&self.slots);
    }
}

fn hex(mark: u128) -> String {
    format!("{mark:032x}")
}

/// Returns what tells data apart whose people are known by different marks.
fn lineage(folder: &DataFolder) -> Result<String, DataError> {
    let salt = keys::salt_of(&folder.keys())?;
    Ok(blake3::hash(&salt).to_hex()[..32].to_owned())
}

/// Copies a copy to its place, and erases in it who was erased since; `None` of these when nobody was, as somebody has to know.
///
/// # Errors
/// When the place holds something already, the copy is not whole, a list belongs to other data, or somebody cannot be erased: there is no
/// folder to serve from then.
pub fn restore(
    backup: &Path,
    to: &Path,
    erased: &[ErasedPeople],
    now: Timestamp,
    progress: Progress<'_>,
) -> Result<(Verified, GoneAgain), DataError> {
    let failed = |error| DataError::Io {
        path: to.to_owned(),
        error,
    };
    if erased.is_empty() {
        return Ok((upkeep::copy(backup, to, progress)?, GoneAgain::default()));
    }
    upkeep::refuse_occupied(to)?;
    let own = lineage(&upkeep::existing(backup)?)?;
    if let Some(other) = erased.iter().find(|list| list.data != own) {
        let error = io::Error::other(format!(
            "who was erased is told by data {}, and the copy is of data {own}: nobody of the one is known by the other; name the folder that \
             this copy was made of, or a later copy of it",
            other.data
        ));
        return Err(failed(error));
    }
    let begun = beside(to)?;
    if begun.exists() {
        // An earlier attempt that broke off; nothing was served from it.
        fs::remove_dir_all(&begun).map_err(failed)?;
    }
    upkeep::copy(backup, &begun, progress)?;
    let mut gone = Gone::default();
    for list in erased {
        list.add_to(&mut gone);
    }
    let again = erase_again(&begun, &gone, now)?;
    let verified = upkeep::verify(&begun, progress)?;
    if !verified.damages.is_empty() {
        return Err(failed(io::Error::other(verified.damages.join("; "))));
    }
    if to.exists() {
        fs::remove_dir(to).map_err(failed)?;
    }
    fs::rename(&begun, to).map_err(failed)?;
    if let Some(parent) = fs::canonicalize(to).map_err(failed)?.parent() {
        fs::File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(failed)?;
    }
    Ok((verified, again))
}

/// Returns where a folder is made that is not to be served from yet.
fn beside(to: &Path) -> Result<PathBuf, DataError> {
    let name = to.file_name().ok_or_else(|| DataError::Io {
        path: to.to_owned(),
        error: io::Error::other("it has no name"),
    })?;
    let mut begun = name.to_owned();
    begun.push(".restoring");
    Ok(to.with_file_name(begun))
}

/// Erases people in a data folder as its server would, with the catalog that was in force last.
fn erase_again(path: &Path, gone: &Gone, now: Timestamp) -> Result<GoneAgain, DataError> {
    let failed = |error: &dyn std::fmt::Display| DataError::Io {
        path: path.to_owned(),
        error: io::Error::other(error.to_string()),
    };
    let folder = DataFolder::take(path)?;
    let (journal, _) = folder.journal(Level::Power)?;
    let recovery = Recovery::begin(journal, &folder.checkpoints(), &mut |_, _| {}).map_err(|error| failed(&error))?;
    let Some(last) = recovery.last() else {
        // Nobody was ever written there.
        return Ok(GoneAgain::default());
    };
    let catalog = folder.catalog(last).map_err(|error| failed(&error))?;
    let models = vec![None; catalog.models.len()];
    let active = Active {
        since: now,
        ..Active::new(catalog, models)
    };
    let mut catalogs = |activation: &_| folder.catalog(activation);
    let limits = Limits {
        customers_max: usize::MAX,
        ..Limits::default()
    };
    let finished = recovery.finish(active, limits, &mut catalogs, &mut |_, _| {});
    let (engine, _) = finished.map_err(|error| failed(&error))?;
    let again = engine.erase_again(gone, now).map_err(|error| failed(&error))?;
    // It has nobody of them, and destroys the keys of those who were forgotten; records stay, so that decisions can be made again.
    let taken = engine.checkpoint(&folder.checkpoints(), 1);
    taken.map_err(|error| failed(&error))?;
    Ok(again)
}
