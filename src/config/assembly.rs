//! From files to what serves: a catalog with its models, proved and warm.
//!
//! An [`Assembly`] is made once and asked again after each change of files. It starts each catalog from the table of symbols of
//! the one in force, and loads a model again only when its file or its manifest changed: an unchanged one keeps its
//! sessions. Proving a model runs its golden rows on every session, which is the warm-up as well.
//!
//! A model that is refused refuses the whole version, at the start as after a change: files that do not belong together
//! are not to be served by half. So does one that is to be the first stage of another and cannot be taken apart. Only when there is no ONNX Runtime at all do the models stay out that need it, and the
//! lower rungs of the ladder serve, with a warning: an engine that answers a little worse is better than none.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::data::DataFolder;
use super::files::{self, Files};
use crate::catalog::manifest::Manifest;
use crate::catalog::{Catalog, Diagnostic, Severity, load};
use crate::domain::symbol::Symbols;
use crate::engine::{Activation, Active};
use crate::model::{Loaded, Path, Runtime, Scorer, Wanted};

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The bank, as it was when the program was built.
    BuiltIn,
    /// Folders.
    Folders {
        /// The folder with the rules.
        rules: PathBuf,
        /// The folder with a folder for each model.
        models: PathBuf,
    },
}

/// A model that was proved, and the manifest that it was proved against.
struct Proved {
    manifest: String,
    model: Loaded,
}

/// Puts versions together.
pub struct Assembly {
    place: Place,
    runtime: Option<Runtime>,
    sessions: usize,
    keep_in: Option<DataFolder>,
    proved: HashMap<String, Proved>,
    /// The models that stayed out last, and why.
    left_out: Vec<(String, String)>,
    /// By model, the arithmetic by which it has to score; another model stays out.
    recorded: Option<BTreeMap<String, String>>,
}

impl Assembly {
    /// Makes an assembly that has not read anything yet. Each model gets `sessions` sessions, one for each thread that
    /// scores; without a runtime no model is loaded. The files of each version are kept in `keep_in`, so that what was decided
    /// by it can be understood later.
    #[must_use]
    pub fn new(place: Place, runtime: Option<Runtime>, sessions: usize, keep_in: Option<DataFolder>) -> Self {
        Self {
            place,
            runtime,
            sessions,
            keep_in,
            proved: HashMap::new(),
            left_out: Vec::new(),
            recorded: None,
        }
    }

    /// Returns the models that stayed out of the version that was put together last, each with the reason.
    #[must_use]
    pub fn left_out(&self) -> &[(String, String)] {
        &self.left_out
    }

    /// Lets each model score by the arithmetic that it had in an activation, and leaves out those that it had not.
    #[must_use]
    pub fn as_recorded(self, activation: &Activation) -> Self {
        let arithmetic = |name: &String| Some((name.clone(), activation.arithmetic_of(name)?.to_owned()));
        Self {
            recorded: Some(activation.models.iter().filter_map(arithmetic).collect()),
            ..self
        }
    }

    /// Reads the files and puts a version together, with the names of an earlier one.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn start(&mut self, symbols: &Symbols) -> Result<Active, Vec<Diagnostic>> {
        let files = self.read()?;
        let (active, _) = self.assemble(&files, symbols)?;
        self.keep(&active, &files)?;
        Ok(active)
    }

    fn keep(&self, active: &Active, files: &Files) -> Result<(), Vec<Diagnostic>> {
        let version = &active.catalog.version;
        let kept = self
            .keep_in
            .as_ref()
            .map_or(Ok(()), |folder| folder.keep(version, files));
        kept.map_err(|error| {
            vec![fault(
                "data folder",
                format!("the files of catalog {version} cannot be kept: {error}"),
            )]
        })
    }

    /// Reads the files again; `None` when they make what is in force already.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn again(&mut self, in_force: &Active) -> Result<Option<Active>, Vec<Diagnostic>> {
        let files = self.read()?;
        let (active, models_changed) = self.assemble(&files, &in_force.catalog.symbols)?;
        let changed = models_changed || active.catalog.version != in_force.catalog.version;
        if changed {
            self.keep(&active, &files)?;
        }
        Ok(changed.then_some(active))
    }

    fn read(&self) -> Result<Files, Vec<Diagnostic>> {
        match &self.place {
            Place::BuiltIn => Ok(files::embedded()),
            Place::Folders { rules, models } => {
                files::read(rules, models).map_err(|error| vec![fault(&rules.display().to_string(), error.to_string())])
            }
        }
    }

    /// Puts a version together and tells whether a model was loaded for it.
    fn assemble(&mut self, files: &Files, symbols: &Symbols) -> Result<(Active, bool), Vec<Diagnostic>> {
        let catalog = load(&files.catalog, symbols)?;
        let mut proved = HashMap::new();
        let mut scorers = Vec::new();
        let (mut faults, mut left_out) = (Vec::new(), Vec::new());
        let mut changed = false;
        for (at, plan) in catalog.models.iter().enumerate() {
            let folder = &*plan.name;
            let recorded = self.recorded.as_ref().map(|recorded| recorded.get(folder));
            let wanted = match recorded {
                None => Wanted::Best,
                Some(Some(arithmetic)) => Wanted::Arithmetic(arithmetic.clone()),
                Some(None) => {
                    scorers.push(None);
                    continue;
                }
            };
            let manifest = files.catalog.models.get(folder).map_or("", String::as_str);
            let bytes = files.models.get(folder).map(Vec::as_slice);
            let kept = self.proved.remove(folder).filter(|kept| kept.is_of(manifest, bytes));
            changed |= kept.is_none();
            let model = match kept.map_or_else(|| self.prove(manifest, bytes), Ok) {
                Ok(model) => model,
                Err(message) => {
                    faults.push(self.fault_of(folder, message));
                    continue;
                }
            };
            match model.model.scorer(&catalog, at, &wanted) {
                Ok(scorer) => {
                    let unfit = unfit_first_stage(&catalog, at, &*scorer).filter(|_| wanted == Wanted::Best);
                    faults.extend(unfit.map(|message| self.fault_of(folder, message)));
                    scorers.push(Some(scorer));
                }
                // Without ONNX Runtime the lower rungs serve; a decision that is made again must be the same.
                Err(why) if wanted == Wanted::Best => {
                    scorers.push(None);
                    left_out.push((folder.to_owned(), why));
                }
                Err(message) => faults.push(self.fault_of(folder, message)),
            }
            proved.insert(folder.to_owned(), model);
        }
        self.left_out = left_out;
        // Those that were proved stay so, whatever becomes of the version.
        self.proved.extend(proved);
        if faults.is_empty() {
            self.proved
                .retain(|name, _| catalog.models.iter().any(|plan| *plan.name == **name));
            Ok((Active::new(Arc::new(catalog), scorers), changed))
        } else {
            Err(faults)
        }
    }

    fn fault_of(&self, folder: &str, message: String) -> Diagnostic {
        fault(&format!("{}/{folder}", self.models_folder()), message)
    }

    fn prove(&self, manifest: &str, bytes: Option<&[u8]>) -> Result<Proved, String> {
        let parsed = Manifest::parse(manifest).map_err(|faults| {
            let faults: Vec<String> = faults.into_iter().map(|fault| fault.message).collect();
            faults.join("; ")
        })?;
        let bytes = bytes.ok_or_else(|| format!("the manifest names {}, but there is no such file", parsed.file))?;
        let model =
            Loaded::load(self.runtime.as_ref(), bytes, &parsed, self.sessions).map_err(|error| error.to_string())?;
        Ok(Proved {
            manifest: manifest.to_owned(),
            model,
        })
    }

    fn models_folder(&self) -> String {
        match &self.place {
            Place::BuiltIn => "models".to_owned(),
            Place::Folders { models, .. } => models.display().to_string(),
        }
    }
}

impl Proved {
    fn is_of(&self, manifest: &str, bytes: Option<&[u8]>) -> bool {
        self.manifest == manifest
            && bytes.is_some_and(|bytes| format!("{:x}", Sha256::digest(bytes)) == self.model.sha256())
    }
}

/// Says why a model cannot be the first stage of another, if it is to be one and cannot.
fn unfit_first_stage(catalog: &Catalog, position: usize, scorer: &dyn Scorer) -> Option<String> {
    let whose = catalog.whose_first_stage(position)?;
    let is_cheap = matches!(scorer.path(), Path::FactorisedTrees | Path::FactorisedSum);
    (!is_cheap).then(|| {
        format!(
            "it cannot be the first stage of the model `{}`: a first stage scores every offer, so it has to be taken apart for the \
             catalog, but {} scores it: {}",
            whose.name,
            scorer.path(),
            scorer.why()
        )
    })
}

/// Makes a diagnostic about a whole file or folder.
fn fault(file: &str, message: String) -> Diagnostic {
    Diagnostic::of_file(file, Severity::Error, message)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// A copy of the bank's files that a test can change.
    fn folders() -> (tempfile::TempDir, Assembly) {
        let folder = tempfile::tempdir().unwrap();
        let (rules, models) = (folder.path().join("rules"), folder.path().join("models"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (from, to) in [("rules/bank", &rules), ("models/bank", &models.join("bank"))] {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(root.join(from)).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
        let runtime = Some(Runtime::load(None).unwrap());
        (
            folder,
            Assembly::new(Place::Folders { rules, models }, runtime, 1, None),
        )
    }

    fn edit(folder: &tempfile::TempDir, file: &str, from: &str, to: &str) {
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    #[test]
    fn what_is_built_in_is_what_the_folders_hold() {
        let (_folder, mut assembly) = folders();
        let active = assembly.start(&Symbols::default()).unwrap();
        assert!(active.models.iter().all(Option::is_some) && !active.models.is_empty());
        let without_runtime = Assembly::new(Place::BuiltIn, None, 1, None)
            .start(&Symbols::default())
            .unwrap();
        assert_eq!(without_runtime.catalog.offers.len(), active.catalog.offers.len());
        let why = without_runtime.models[0].as_ref().map_or("", |model| model.why());
        assert!(why.starts_with("agrees with the golden rows only"), "{why}");
    }

    #[test]
    fn only_what_changed_makes_a_new_version() {
        let (folder, mut assembly) = folders();
        let first = assembly.start(&Symbols::default()).unwrap();
        assert!(assembly.again(&first).unwrap().is_none());
        let before = Arc::as_ptr(assembly.proved["bank"].model.reference().unwrap());
        edit(&folder, "rules/caps.yaml", "at_most: 12", "at_most: 11");
        let second = assembly.again(&first).unwrap().unwrap();
        assert_ne!(second.catalog.version, first.catalog.version);
        let sessions = |assembly: &Assembly| Arc::as_ptr(assembly.proved["bank"].model.reference().unwrap());
        assert_eq!(sessions(&assembly), before, "the model keeps its sessions");
    }

    #[test]
    fn a_spoilt_model_refuses_the_version_and_a_mended_one_is_what_is_in_force() {
        let (folder, mut assembly) = folders();
        let first = assembly.start(&Symbols::default()).unwrap();
        let path = folder.path().join("models/bank/propensity.onnx");
        let good = fs::read(&path).unwrap();
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        let faults = assembly.again(&first).err().unwrap();
        assert!(faults[0].file.ends_with("models/bank"), "{}", faults[0]);
        assert!(faults[0].message.contains("SHA-256"), "{}", faults[0]);
        fs::remove_file(&path).unwrap();
        let faults = assembly.again(&first).err().unwrap();
        assert!(faults[0].message.contains("propensity.onnx"), "{}", faults[0]);
        fs::write(&path, good).unwrap();
        assert!(assembly.again(&first).is_ok());
    }

    #[test]
    fn a_folder_that_does_not_exist_is_told_like_any_other_fault() {
        let place = Place::Folders {
            rules: "/no/such/rules".into(),
            models: "/no/such/models".into(),
        };
        let faults = Assembly::new(place, None, 1, None)
            .start(&Symbols::default())
            .err()
            .unwrap();
        assert!(faults[0].to_string().contains("/no/such/rules"), "{}", faults[0]);
    }
}
