//! What stands in files: the journal, checkpoints, data folders, models, exported contacts, campaigns that broke off.

use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use nbo::audit::{UNDER_WAY_MS, audit};
use nbo::catalog::manifest::Manifest;
use nbo::cli::campaign::fuzzing::read_part;
use nbo::config::data::DataFolder;
use nbo::config::past::Past;
use nbo::config::upkeep::verify;
use nbo::domain::profile::Profile;
use nbo::engine::{Activation, Active, Limits, Recovery, erased_in};
use nbo::journal::checkpoint::CheckpointReader;
use nbo::journal::{Level, Options, SegmentLog, Tail, inspect_on};
use nbo::store::packed;
use nbo::store::record::{self, Opened};
use nbo::store::seal::{Nonces, Purpose, Seal};
use tempfile::TempDir;

use super::disk::Memory;
use super::mend;

/// The kind that a sealed record begins with.
const SEALED: u8 = 5;

/// The key of somebody.
const SEAL: Seal = Seal::new(7, [7; 16]);

/// The bytes are a record, and also what is sealed in one.
pub(crate) fn record(bytes: &[u8]) {
    let _ = record::about(bytes);
    for opened in [Opened::Unknown, Opened::Destroyed, Opened::With(SEAL)] {
        let _ = record::read(bytes, |_| opened);
    }
    let nonces = Nonces::new().expect("there is chance");
    let mut sealed = vec![SEALED];
    SEAL.seal(&nonces, Purpose::Record, bytes, &mut sealed);
    let _ = record::about(&sealed);
    let _ = record::read(&sealed, |_| Opened::With(SEAL));
}

/// Whatever is read as a profile is written so that the same is read.
pub(crate) fn packed(bytes: &[u8]) {
    let id = packed::unpack_id(bytes);
    assert!(packed::id_length(bytes) <= bytes.len());
    let mut profile = Profile::default();
    let _ = packed::unpack(bytes, &mut profile);
    let mut written = Vec::new();
    match &id {
        Some(id) => packed::pack_id(id, &mut written),
        None => packed::pack_no_id(&mut written),
    }
    packed::pack(&profile, &mut written);
    let mut again = Profile::default();
    let _ = packed::unpack(&written, &mut again);
    if id.is_some() {
        assert_eq!(packed::unpack_id(&written), id);
    }
}

/// The bytes are the only segment of a log, as they are and mended.
pub(crate) fn segment(bytes: &[u8]) {
    let mut mended = bytes.to_vec();
    mend::segment(&mut mended);
    for bytes in [bytes, &mended] {
        for tail in [Tail::RefuseIfWholeRecordsFollow, Tail::CutUnsynced] {
            let disk = Memory::of(FIRST_SEGMENT, bytes);
            let _ = inspect_on(&disk, tail);
            let options = Options {
                tail,
                ..Options::default()
            };
            let Ok((_, opened)) = SegmentLog::open_on(Arc::new(disk), &options) else {
                continue;
            };
            assert!(opened.bytes <= bytes.len() as u64);
        }
    }
}

const FIRST_SEGMENT: &str = "00000000000000000001.log";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder can be made");
    fs::write(path, bytes).expect("a file can be written");
}

/// The bytes are a checkpoint, as they are and mended.
pub(crate) fn checkpoint(bytes: &[u8]) {
    let mut mended = bytes.to_vec();
    mend::checkpoint(&mut mended);
    let folder = folder();
    let path = folder.path().join("00000000000000000009.checkpoint");
    for bytes in [bytes, &mended] {
        write(&path, bytes);
        let Ok(mut reader) = CheckpointReader::open(&path) else {
            continue;
        };
        let _ = (Activation::all_in(reader.head()), erased_in(reader.head()));
        let mut profile = Profile::default();
        while let Ok(true) = reader.blocks(|_, block| {
            let _ = packed::unpack(block, &mut profile);
        }) {}
    }
}

/// A small data folder of the earliest format, whose files are not sealed.
static WHOLE: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The fuzzers' package lies in the repository, and the tests' package is the repository.
    let is_ours = env!("CARGO_PKG_NAME") == "nbo-fuzz";
    let root = if is_ours { root.join("..") } else { root.to_owned() };
    let mut files = Vec::new();
    collect(&root.join("tests/fixtures/format-1/data"), Path::new(""), &mut files);
    files.sort();
    files
});

fn collect(folder: &Path, name: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("the fixture is there") {
        let entry = entry.expect("the fixture can be read");
        let name = name.join(entry.file_name());
        if entry.path().is_dir() {
            collect(&entry.path(), &name, files);
        } else {
            files.push((name, fs::read(entry.path()).expect("the fixture can be read")));
        }
    }
}

/// What a data folder may have besides.
const OTHERS: [&str; 3] = ["keys/slots", "keys/salt", "keys/books"];

/// The bytes take the place of a file of a data folder, which the first of them chooses; then it is looked through, and served
/// from if it can be.
pub(crate) fn data_folder(bytes: &[u8]) {
    let Some((&which, bytes)) = bytes.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    let names = WHOLE.iter().map(|(name, _)| name.clone());
    let names: Vec<PathBuf> = names.chain(OTHERS.map(PathBuf::from)).collect();
    let name = &names[usize::from(which) % names.len()];
    match name.extension().and_then(|ending| ending.to_str()) {
        Some("log") => mend::segment(&mut bytes),
        Some("checkpoint") => mend::checkpoint(&mut bytes),
        _ => {}
    }
    let folder = folder();
    for (name, bytes) in &*WHOLE {
        write(&folder.path().join(name), bytes);
    }
    write(&folder.path().join(name), &bytes);
    let _ = verify(folder.path(), &mut |_, _| ());
    let _ = Past::open(folder.path());
    recover(folder.path());
}

fn recover(path: &Path) {
    let Ok(folder) = DataFolder::take(path) else { return };
    let Ok((journal, _)) = folder.journal(Level::Process) else {
        return;
    };
    let Ok(recovery) = Recovery::begin(journal, &folder.checkpoints(), &mut |_, _| ()) else {
        return;
    };
    let files = nbo::catalog::CatalogFiles {
        rules: [("a.yaml".to_owned(), RULES.clone())].into(),
        ..Default::default()
    };
    let Ok(catalog) = nbo::catalog::load(&files, &recovery.symbols()) else {
        return;
    };
    let active = Active::new(Arc::new(catalog), Vec::new());
    let mut catalogs = |activation: &Activation| folder.catalog(activation);
    let _ = recovery.finish(active, Limits::default(), &mut catalogs, &mut |_, _| ());
}

/// The rules of the small data folder.
static RULES: LazyLock<String> = LazyLock::new(|| {
    let rules = WHOLE.iter().find(|(name, _)| name.ends_with("rules.yaml"));
    let (_, text) = rules.expect("the fixture has rules");
    String::from_utf8(text.clone()).expect("rules are text")
});

/// Manifests of models as different programs export them.
static MANIFESTS: LazyLock<Vec<Manifest>> = LazyLock::new(|| {
    let texts = [
        include_str!("../../models/bank/manifest.json"),
        include_str!("../../tests/fixtures/exported/lightgbm.json"),
        include_str!("../../tests/fixtures/exported/sklearn_forest.json"),
        include_str!("../../tests/fixtures/exported/sklearn_logistic_pipeline.json"),
        include_str!("../../tests/fixtures/exported/xgboost.json"),
    ];
    let parsed = texts.map(|text| Manifest::parse(text).unwrap_or_else(|faults| panic!("{faults:?}")));
    parsed.into()
});

/// The bytes are a model.
pub(crate) fn model(bytes: &[u8]) {
    for manifest in &*MANIFESTS {
        if let Err(reason) = nbo::model::read(bytes, manifest) {
            assert!(!reason.to_string().is_empty());
        }
    }
}

/// The bytes are what a campaign had received when it broke off.
pub(crate) fn part(bytes: &[u8]) {
    let folder = folder();
    let path = folder.path().join("list.csv.part");
    write(&path, bytes);
    match read_part(&path) {
        Ok(good_bytes) => assert!(good_bytes <= bytes.len() as u64),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}

/// The bytes are exported contacts, of which the auditor counts every limit.
pub(crate) fn history(bytes: &[u8]) {
    let mut violations = 0_u64;
    let mut each = |violation: nbo::audit::Violation| {
        violations += 1;
        !violation.to_string().is_empty()
    };
    match audit(bytes.lines(), UNDER_WAY_MS, &mut each, |_| ()) {
        Ok(recounted) => assert!(violations <= recounted.checks),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}
