//! The data folder: everything that outlives the process.
//!
//! ```text
//! nbo-data/
//!   format               which releases can read it
//!   journal/             every change in order (src/journal)
//!   checkpoints/         all customers as of a moment
//!   keys/                the key of each person, with which all is sealed that is written about them (src/journal/keys.rs)
//!   versions/<version>/  the files of every catalog that was in force, with its models, by content
//! ```
//!
//! A version's folder has `rules` and `models` as they were given, so `nbo serve --rules nbo-data/versions/<version>/rules
//! --models nbo-data/versions/<version>/models` serves an earlier catalog again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::assembly::{Assembly, Place};
use super::files::{self, Files};
use crate::catalog::manifest::Manifest;
use crate::catalog::{Catalog, load_again};
use crate::domain::symbol::Symbols;
use crate::engine::{Activation, Active};
use crate::journal::checkpoint;
use crate::journal::files::{self as steps, Written};
use crate::journal::{Journal, Keys, KeysError, Level, LogError, OpenError, Opened, Options, SegmentLog, Tail};
use crate::model::Runtime;

/// The format that this release writes.
const FORMAT: u32 = 2;
/// An earlier one that it reads, in which nothing is sealed: serving from it seals all.
const PLAIN_FORMAT: u32 = 1;

/// Why a data folder cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read or written.
    #[error("{path}: {error}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another release wrote it.
    #[error(
        "{path} has format {found}, this release knows formats {PLAIN_FORMAT} and {FORMAT}: start the release that wrote it, or name another \
         folder with --data",
        path = .path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What its format file says.
        found: String,
    },
    /// There is something else in it.
    #[error("{path} holds other files and no data of this program; name an empty or a new folder with --data", path = .path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The journal cannot be taken over.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFolder {
    folder: PathBuf,
}

impl DataFolder {
    /// Takes a folder, and makes it when it is missing.
    ///
    /// # Errors
    /// When it is something else, or of another release.
    pub fn take(folder: &Path) -> Result<Self, DataError> {
        let failed = |error| DataError::Io {
            path: folder.to_owned(),
            error,
        };
        let format = folder.join("format");
        match fs::read_to_string(&format) {
            Ok(text) if [PLAIN_FORMAT, FORMAT].map(line).contains(&text) => {}
            Ok(text) => {
                return Err(DataError::Foreign {
                    path: folder.to_owned(),
                    found: text.trim().chars().take(80).collect(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder).map_err(failed)?;
                if holds_something_else(folder).map_err(failed)? {
                    return Err(DataError::Occupied {
                        path: folder.to_owned(),
                    });
                }
                steps::write_anew(&format, line(FORMAT).as_bytes()).map_err(failed)?;
                let whole = fs::canonicalize(folder).map_err(failed)?;
                // Whoever may make a folder there need not be allowed to read what else is there.
                if let Some(Ok(parent)) = whole.parent().map(File::open) {
                    parent.sync_all().map_err(failed)?;
                }
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Tells whether an earlier release wrote it, so that it is not sealed.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        fs::read_to_string(self.folder.join("format")).is_ok_and(|text| text == line(PLAIN_FORMAT))
    }

    /// Returns where the keys are.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// Goes over to the format of this release: from here on an earlier one does not touch the folder.
    fn go_over(&self) -> io::Result<()> {
        Keys::note_plain(&self.keys())?;
        steps::write_anew(&self.folder.join("format"), line(FORMAT).as_bytes())
    }

    /// Opens the journal and the keys.
    ///
    /// # Errors
    /// When another process has them, or they are damaged.
    pub fn journal(&self, level: Level) -> Result<(Journal, Opened), DataError> {
        // What may be missing at the end follows from what was promised when it was written.
        let tail = self.tail()?;
        // What lies before the oldest checkpoint is not needed to go on.
        let checkpoints = checkpoint::list(&self.checkpoints()).unwrap_or_default();
        let options = Options {
            tail,
            verify_from: checkpoints.last().map_or(0, |oldest| oldest.position + 1),
            ..Options::default()
        };
        let (log, opened) = SegmentLog::open(&self.folder.join("journal"), &options)?;
        if self.is_plain() {
            self.go_over().map_err(|error| DataError::Io {
                path: self.folder.clone(),
                error,
            })?;
        }
        let keys = Keys::open(&self.keys())?;
        // From here on all that is there is on the disk, and what follows is written with this promise.
        steps::write_anew(
            &self.folder.join("durability"),
            format!("{}\n", level.name()).as_bytes(),
        )
        .map_err(|error| DataError::Io {
            path: self.folder.join("durability"),
            error,
        })?;
        Ok((Journal::begin(Box::new(log), keys, opened.first, level)?, opened))
    }

    /// Returns what may be missing at the end of the journal, by what was promised when it was written.
    ///
    /// # Errors
    /// When the note of it cannot be read.
    pub fn tail(&self) -> Result<Tail, DataError> {
        let path = self.folder.join("durability");
        match fs::read_to_string(&path) {
            Ok(level) if level.trim() == Level::Power.name() => Ok(Tail::CutUnsynced),
            Ok(level) if level.trim() == Level::Process.name() => Ok(Tail::RefuseIfWholeRecordsFollow),
            // A start that broke off before it wrote anything.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Tail::RefuseIfWholeRecordsFollow),
            Err(error) => Err(DataError::Io { path, error }),
            Ok(other) => Err(DataError::Io {
                path,
                error: io::Error::other(format!(
                    "it holds `{}`, and neither `process` nor `power`; write into it what the data were served with last",
                    other.trim().chars().take(40).collect::<String>()
                )),
            }),
        }
    }

    /// Returns where the checkpoints are.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.folder.join("checkpoints")
    }

    /// Returns the number of the first record of which nobody can say that it was written before an instant; `u64::MAX` when all
    /// were.
    #[must_use]
    pub fn first_record_since(&self, since: SystemTime) -> u64 {
        let files = fs::read_dir(self.folder.join("journal"))
            .into_iter()
            .flatten()
            .flatten();
        let first = |entry: fs::DirEntry| {
            let is_recent = entry
                .metadata()
                .and_then(|about| about.modified())
                .is_ok_and(|at| at >= since);
            let name = entry.file_name();
            let number = name.to_str()?.strip_suffix(".log")?.parse::<u64>().ok()?;
            is_recent.then_some(number)
        };
        files.filter_map(first).min().unwrap_or(u64::MAX)
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    fn version(&self, version: &str) -> PathBuf {
        self.folder.join("versions").join(version)
    }

    /// Keeps the files of a catalog's version, unless they are kept already.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn keep(&self, version: &str, files: &Files) -> io::Result<()> {
        let kept = self.version(version);
        // Whoever gives up old versions leaves one that is about to come into force again.
        if let Ok(folder) = File::open(&kept)
            && folder.set_modified(now()).is_ok()
            && kept.exists()
        {
            return Ok(());
        }
        let versions = self.folder.join("versions");
        let begun = versions.join(format!("{version}.begun"));
        if begun.exists() {
            steps::remove_folder(&begun)?;
        }
        steps::make_folder(&begun.join("models"))?;
        for (name, text) in &files.catalog.rules {
            let name = name.strip_prefix(&files.catalog.folder).unwrap_or(name);
            write(&begun.join("rules").join(name), text.as_bytes())?;
        }
        for (name, manifest) in &files.catalog.models {
            let folder = begun.join("models").join(name);
            write(&folder.join(files::MANIFEST), manifest.as_bytes())?;
            if let (Some(bytes), Ok(manifest)) = (files.models.get(name), Manifest::parse(manifest)) {
                write(&folder.join(&manifest.file), bytes)?;
            }
        }
        sync_folders(&begun)?;
        steps::rename(&begun, &kept)?;
        steps::sync_folder(&versions)?;
        steps::sync_folder(&self.folder)
    }

    /// Builds the catalog of an activation again.
    ///
    /// # Errors
    /// When its files are not kept, or this release builds another catalog from them.
    pub fn catalog(&self, activation: &Activation) -> Result<Arc<Catalog>, String> {
        let kept = self.version(&activation.catalog);
        let files = files::read(&kept.join("rules"), &kept.join("models")).map_err(|error| error.to_string())?;
        let symbols = Symbols::from(activation.symbols.clone());
        let catalog = load_again(&files.catalog, &symbols).map_err(|faults| {
            let first = faults.first().map(ToString::to_string).unwrap_or_default();
            format!("{} faults, the first: {first}", faults.len())
        })?;
        if *catalog.version != *activation.catalog {
            return Err(format!(
                "its kept files in {} make catalog {} now: they were changed",
                kept.display(),
                catalog.version
            ));
        }
        Ok(Arc::new(catalog))
    }
}

/// The versions that a data folder keeps, to be served or judged by again.
pub struct KeptVersions {
    folder: DataFolder,
    runtime: Option<Runtime>,
    sessions: usize,
}

impl KeptVersions {
    /// Takes the versions of a folder; without a runtime their models stay out.
    #[must_use]
    pub const fn new(folder: DataFolder, runtime: Option<Runtime>) -> Self {
        Self {
            folder,
            runtime,
            sessions: 1,
        }
    }

    /// Loads each model with so many sessions, one for each thread that scores.
    #[must_use]
    pub fn with_sessions(self, sessions: usize) -> Self {
        Self { sessions, ..self }
    }

    /// Builds the catalog of an activation again.
    ///
    /// # Errors
    /// As [`DataFolder::catalog`].
    pub fn catalog(&self, activation: &Activation) -> Result<Arc<Catalog>, String> {
        self.folder.catalog(activation)
    }

    /// Builds the catalog and the models of an activation again.
    ///
    /// # Errors
    /// As [`DataFolder::catalog`]; besides when a model is not what it was.
    pub fn active(&self, activation: &Activation) -> Result<Active, String> {
        let kept = self.folder.version(&activation.catalog);
        let place = Place::Folders {
            rules: kept.join("rules"),
            models: kept.join("models"),
        };
        let symbols = Symbols::from(activation.symbols.clone());
        // A model that was not loaded then did not score, and one that was scores by the arithmetic of then.
        let active = Assembly::new(place, self.runtime.clone(), self.sessions, None)
            .as_recorded(activation)
            .start(&symbols)
            .map_err(|faults| faults.first().map(ToString::to_string).unwrap_or_default())?;
        if *active.catalog.version != *activation.catalog {
            return Err(format!("its kept files in {} were changed", kept.display()));
        }
        Ok(Active {
            generation: activation.generation,
            since: activation.at(),
            catalog: active.catalog,
            models: active.models,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "files are as old as the machine's clock says")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns what the file `format` holds.
fn line(format: u32) -> String {
    format!("nbo data {format}\n")
}

/// Writes a file that is on the disk afterwards, with the folders above it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        steps::make_folder(folder)?;
    }
    let mut file = Written::create(path)?;
    file.write_all(bytes)?;
    file.sync()
}

/// Makes sure that the names in a folder and in all folders below it are on the disk.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    steps::sync_folder(folder)
}

/// Tells whether a folder holds files of somebody; a new disk has one of the system's, and a start that broke off one of ours.
fn holds_something_else(folder: &Path) -> io::Result<bool> {
    let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name()));
    let others = names.filter(|name| !matches!(name, Ok(name) if name == "lost+found" || name == "format.begun"));
    Ok(!others.collect::<io::Result<Vec<_>>>()?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::load;
    use crate::model::Path as ScoringPath;

    #[test]
    fn a_folder_is_made_taken_again_and_refused_when_it_is_something_else() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("deep/data");
        let made = DataFolder::take(&folder).unwrap();
        assert_eq!(DataFolder::take(&folder).unwrap(), made);
        fs::write(folder.join("format"), "nbo data 3\n").unwrap();
        let newer = DataFolder::take(&folder).unwrap_err().to_string();
        assert!(
            newer.contains("nbo data 3") && newer.contains("formats 1 and 2"),
            "{newer}"
        );
        let home = root.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("letter.txt"), "dear").unwrap();
        let occupied = DataFolder::take(&home).unwrap_err().to_string();
        assert!(occupied.contains("--data"), "{occupied}");
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "nothing was changed");
    }

    #[test]
    fn a_folder_whose_first_start_was_cut_off_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("data");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("format.begun"), "nbo d").unwrap();
        DataFolder::take(&folder).unwrap();
        let files: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(files, ["format"]);
        assert_eq!(fs::read_to_string(folder.join("format")).unwrap(), "nbo data 2\n");
    }

    #[test]
    fn a_kept_version_is_built_again_and_a_changed_one_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(&root.path().join("data")).unwrap();
        let files = files::embedded();
        let catalog = load(&files.catalog, &Symbols::default()).unwrap();
        folder.keep(&catalog.version, &files).unwrap();
        folder.keep(&catalog.version, &files).unwrap();
        let activation = Activation::of(&Active::new(Arc::new(catalog), Vec::new()));
        let again = folder.catalog(&activation).unwrap();
        assert_eq!(
            (&*again.version, again.symbols.table()),
            (&*activation.catalog, activation.symbols.clone())
        );
        let caps = folder.version(&activation.catalog).join("rules/caps.yaml");
        let text = fs::read_to_string(&caps).unwrap();
        fs::write(&caps, text.replace("at_most: 12", "at_most: 11")).unwrap();
        let changed = folder.catalog(&activation).unwrap_err();
        assert!(changed.contains("were changed"), "{changed}");
    }

    #[test]
    fn a_version_that_is_refused_by_now_is_still_built_again_where_it_was_in_force() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(&root.path().join("data")).unwrap();
        let mut files = files::embedded();
        // The name of a reason that is built in was no fault once.
        let caps = files
            .catalog
            .rules
            .iter_mut()
            .find(|(_, text)| text.contains("caps:\n"))
            .unwrap()
            .1;
        *caps = caps.replacen(
            "caps:\n",
            "caps:\n  - {id: opt-out, at_most: 9, of: seen, within: 1d, because: b}\n",
            1,
        );
        assert!(load(&files.catalog, &Symbols::default()).is_err());
        let catalog = load_again(&files.catalog, &Symbols::default()).unwrap();
        folder.keep(&catalog.version, &files).unwrap();
        let activation = Activation::of(&Active::new(Arc::new(catalog), Vec::new()));
        assert_eq!(
            folder.catalog(&activation).unwrap().version,
            activation.catalog.as_str().into()
        );
    }

    #[test]
    fn a_kept_version_scores_by_the_arithmetic_of_then_and_that_of_an_earlier_release_was_onnx_runtime() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(&root.path().join("data")).unwrap();
        let runtime = Some(Runtime::load(None).unwrap());
        let mut assembly = Assembly::new(Place::BuiltIn, runtime.clone(), 1, Some(folder.clone()));
        let now = Activation::of(&assembly.start(&Symbols::default()).unwrap());
        let mut before = serde_json::to_value(&now).unwrap();
        before.as_object_mut().unwrap().remove("arithmetic").unwrap();
        let before: Activation = serde_json::from_value(before).unwrap();
        let path = |runtime: Option<Runtime>, activation: &Activation| {
            let active = KeptVersions::new(folder.clone(), runtime).active(activation)?;
            Ok::<_, String>(active.models[0].as_ref().map(|model| model.path()))
        };
        assert_eq!(path(runtime.clone(), &now), Ok(Some(ScoringPath::FactorisedSum)));
        assert_eq!(path(None, &now), Ok(Some(ScoringPath::FactorisedSum)));
        assert_eq!(path(runtime.clone(), &before), Ok(Some(ScoringPath::OnnxRuntime)));
        let missing = path(None, &before).unwrap_err();
        assert!(missing.contains("made by ONNX Runtime, which is missing"), "{missing}");
        let mut none = now;
        none.models.clear();
        assert_eq!(path(runtime, &none), Ok(None));
    }
}
