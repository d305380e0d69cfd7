//! A catalog's files: read from folders, or those of the bank that are built into the program.
//!
//! Everything that is a file is taken or refused aloud; nothing is left out in silence except what is plainly not meant
//! (hidden files, editors' backups, other endings). Whether the files make sense is for [`crate::catalog::load()`] to say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::catalog::CatalogFiles;
use crate::catalog::load::{FILE_BYTES_MAX, FILES_MAX};
use crate::catalog::manifest::Manifest;

/// The longest model file, in bytes: far above the largest tree ensemble that could be scored in time.
pub const MODEL_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How deep folders of rules may be nested.
const FOLDERS_DEEP_MAX: usize = 8;

/// The file in a model's folder that says what the model is.
pub(crate) const MANIFEST: &str = "manifest.json";

/// The files of one catalog version with its models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The texts: rules and manifests.
    pub catalog: CatalogFiles,
    /// The bytes of each model's file, by the model's name. Absent when the manifest does not say which file it is.
    pub models: BTreeMap<String, Vec<u8>>,
}

/// The bank's rules, by the path that is shown to people.
const BANK: &[(&str, &str)] = &[
    ("rules/bank/account.yaml", include_str!("../../rules/bank/account.yaml")),
    (
        "rules/bank/behaviour.yaml",
        include_str!("../../rules/bank/behaviour.yaml"),
    ),
    ("rules/bank/caps.yaml", include_str!("../../rules/bank/caps.yaml")),
    ("rules/bank/consent.yaml", include_str!("../../rules/bank/consent.yaml")),
    ("rules/bank/catalog.yaml", include_str!("../../rules/bank/catalog.yaml")),
    (
        "rules/bank/credit-card.yaml",
        include_str!("../../rules/bank/credit-card.yaml"),
    ),
    (
        "rules/bank/foreign-exchange.yaml",
        include_str!("../../rules/bank/foreign-exchange.yaml"),
    ),
    ("rules/bank/fund.yaml", include_str!("../../rules/bank/fund.yaml")),
    (
        "rules/bank/home-insurance.yaml",
        include_str!("../../rules/bank/home-insurance.yaml"),
    ),
    ("rules/bank/loan.yaml", include_str!("../../rules/bank/loan.yaml")),
    (
        "rules/bank/mortgage.yaml",
        include_str!("../../rules/bank/mortgage.yaml"),
    ),
    ("rules/bank/pension.yaml", include_str!("../../rules/bank/pension.yaml")),
    (
        "rules/bank/placements.yaml",
        include_str!("../../rules/bank/placements.yaml"),
    ),
    ("rules/bank/savings.yaml", include_str!("../../rules/bank/savings.yaml")),
    ("rules/bank/schema.yaml", include_str!("../../rules/bank/schema.yaml")),
    (
        "rules/bank/travel-insurance.yaml",
        include_str!("../../rules/bank/travel-insurance.yaml"),
    ),
];

/// Returns the bank's catalog and model as they were when the program was built.
#[must_use]
pub fn embedded() -> Files {
    let texts = BANK.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let manifest = include_str!("../../models/bank/manifest.json").to_owned();
    let model = include_bytes!("../../models/bank/propensity.onnx").to_vec();
    Files {
        catalog: CatalogFiles {
            rules: texts.collect(),
            folder: "rules/bank/".to_owned(),
            models: BTreeMap::from([("bank".to_owned(), manifest)]),
        },
        models: BTreeMap::from([("bank".to_owned(), model)]),
    }
}

/// How often the files are read until nothing has changed meanwhile.
const READS_MAX: usize = 10;

/// Reads every `*.yaml` and `*.yml` file in `rules` and its folders, and of each folder in `models` the manifest and the
/// file that it names. A folder of models that does not exist has none.
///
/// They are read until two readings agree, so that folders that are exchanged at that moment do not give the rules of one
/// delivery and the models of another.
///
/// # Errors
/// When a file or folder cannot be read, the message names it; and when they do not stop changing.
pub fn read(rules: &Path, models: &Path) -> io::Result<Files> {
    let mut before = read_once(rules, models)?;
    for _ in 1..READS_MAX {
        let files = read_once(rules, models)?;
        if files == before {
            return Ok(files);
        }
        before = files;
    }
    let changing = io::Error::other("the files in it, or the models, do not stop changing; try again when they have");
    Err(named(rules, &changing))
}

fn read_once(rules: &Path, models: &Path) -> io::Result<Files> {
    if rules.is_file() {
        return Err(named(
            rules,
            &io::Error::other("this is a file; name the folder that it is in"),
        ));
    }
    let mut files = Files::default();
    // A path ends with a separator when an empty name is joined to it.
    files.catalog.folder = rules.join("").display().to_string();
    let mut paths = Vec::new();
    yaml_files(rules, FOLDERS_DEEP_MAX, &mut paths)?;
    for path in paths {
        let text = text(&path)?;
        files.catalog.rules.insert(path.display().to_string(), text);
    }
    if models.try_exists().unwrap_or(true) {
        for folder in entries(models)? {
            read_model(&folder, &mut files)?;
        }
    }
    Ok(files)
}

fn read_model(folder: &Path, files: &mut Files) -> io::Result<()> {
    let manifest = folder.join(MANIFEST);
    let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    if !manifest.is_file() {
        return Ok(());
    }
    let manifest = text(&manifest)?;
    if let Ok(parsed) = Manifest::parse(&manifest) {
        let path = folder.join(&parsed.file);
        if path.is_file() {
            files.models.insert(name.to_owned(), bytes(&path, MODEL_BYTES_MAX)?);
        }
    }
    files.catalog.models.insert(name.to_owned(), manifest);
    Ok(())
}

/// Collects the YAML files of a folder and of the folders in it.
fn yaml_files(folder: &Path, deep: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for path in entries(folder)? {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if path.is_dir() {
            if deep == 0 {
                return Err(named(&path, &io::Error::other("folders are nested too deep")));
            }
            yaml_files(&path, deep - 1, found)?;
        } else if matches!(ending, "yaml" | "yml") {
            found.push(path);
        }
        if found.len() > FILES_MAX {
            break;
        }
    }
    Ok(())
}

/// Returns what is in a folder, except hidden files, sorted.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| named(folder, &error))? {
        let entry = entry.map_err(|error| named(folder, &error))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads a text. Bytes that are not UTF-8 become U+FFFD, and so does the part of a character at the limit: the loader
/// refuses both, with their place. Of a file that is too long, just more than is allowed is read.
fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| named(path, &error))?;
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| named(path, &error))?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

fn bytes(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| named(path, &error))?;
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| named(path, &error))?;
    if bytes.len() > limit {
        return Err(named(
            path,
            &io::Error::other(format!("the file is longer than {limit} bytes")),
        ));
    }
    Ok(bytes)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::load;
    use crate::domain::symbol::Symbols;

    fn repository() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn every_file_of_the_bank_is_built_in_as_it_is() {
        let root = repository();
        let read = read(&root.join("rules/bank"), &root.join("models")).unwrap();
        let embedded = embedded();
        let by_name = |files: &Files| {
            let names = files.catalog.rules.iter();
            names
                .map(|(name, text)| (name.rsplit('/').next().unwrap().to_owned(), text.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(by_name(&embedded), by_name(&read));
        assert_eq!(embedded.catalog.models["bank"], read.catalog.models["bank"]);
        assert_eq!(embedded.models["bank"], read.models["bank"]);
    }

    #[test]
    fn a_catalog_has_the_same_version_wherever_its_files_lie() {
        let root = repository();
        let version = |files: &Files| load(&files.catalog, &Symbols::default()).unwrap().version;
        let built_in = version(&embedded());
        for folder in ["rules/bank", "rules/bank/", "rules/../rules/bank"] {
            let files = read(&root.join(folder), &root.join("models")).unwrap();
            assert_eq!(version(&files), built_in, "{folder}");
        }
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(root.join("rules/bank")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let read_copy = || version(&read(copy.path(), &root.join("models")).unwrap());
        assert_eq!(read_copy(), built_in);
        std::fs::rename(copy.path().join("fund.yaml"), copy.path().join("funds.yaml")).unwrap();
        assert_ne!(read_copy(), built_in, "a file's name is part of the version");
    }

    #[test]
    fn yaml_files_are_found_in_folders_too_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("groups")).unwrap();
        for name in ["a.yaml", "groups/b.yml", ".hidden.yaml", "notes.md", "a.yaml~"] {
            std::fs::write(root.join(name), "offers: []").unwrap();
        }
        let files = read(root, &root.join("no-models")).unwrap();
        let names: Vec<PathBuf> = files.catalog.rules.keys().map(PathBuf::from).collect();
        assert_eq!(names, [root.join("a.yaml"), root.join("groups/b.yml")]);
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_refused() {
        let file = repository().join("rules/bank/fund.yaml");
        let error = read(&file, Path::new("/nowhere")).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("this is a file; name the folder that it is in"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_that_does_not_exist_is_named() {
        let error = read(Path::new("/no/such/folder"), Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/folder: "), "{error}");
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_refused_with_their_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), b"offers: []\n# caf\xe9\n").unwrap();
        let files = read(folder.path(), folder.path()).unwrap();
        let diagnostics = load(&files.catalog, &Symbols::default()).unwrap_err();
        let found = diagnostics
            .iter()
            .find(|each| each.message.contains("not UTF-8"))
            .unwrap();
        assert_eq!((found.line, found.column), (2, 6));
    }
}
