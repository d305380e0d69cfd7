//! The habits of this repository as checks: the layers, what the pure core may not touch, and what no file may hold.
//!
//! All faults are listed at once, each with its file, its line, and what to do. The checks read text, not types, so
//! they also judge code that a feature or a platform switches off.

mod rows;
mod source;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::Token;

/// The layers, lowest first; `src/lib.rs` tells what each is for. A layer may name itself and those before it.
const LAYERS: [&str; 21] = [
    "audit",
    "domain",
    "rules",
    "catalog",
    "decision",
    "model",
    "store",
    "journal",
    "engine",
    "campaign",
    "whatif",
    "clock",
    "config",
    "telemetry",
    "server",
    "sim",
    "load",
    "import",
    "bench",
    "cli",
    "main",
];

/// The layers of the pure core, up to here.
const PURE_UP_TO: &str = "decision";
/// The layers in which nothing waits, up to here: so no lock can be held across a wait.
const SYNCHRONOUS_UP_TO: &str = "whatif";

/// The layer that judges what the others did: it may name none of them, so that no fault can hide in shared code.
const ALONE: &str = "audit";

/// What the pure core may not name, and what to do instead.
const IMPURE: [(&str, &str); 17] = [
    ("std::time::SystemTime", "take `now` as an argument"),
    ("std::time::Instant", "take `now` as an argument"),
    ("std::fs", "take the text as an argument"),
    ("std::net", "move it to the shell"),
    ("std::env", "take the setting as an argument"),
    ("std::io", "take or return a value"),
    ("std::process", "move it to the shell"),
    ("std::thread", "move it to the engine or the shell"),
    ("std::sync::Mutex", "lock in the store or the engine"),
    ("std::sync::RwLock", "lock in the store or the engine"),
    ("std::sync::atomic", "share in the store or the engine"),
    ("parking_lot", "lock in the store or the engine"),
    ("dashmap", "share in the store"),
    ("arc_swap", "share in the engine"),
    ("tokio", "wait in the shell"),
    ("rand", "derive it from an argument"),
    ("rand_pcg", "derive it from an argument"),
];

/// The most lines of a source file: what is longer holds more than one idea.
const LINES_MAX: usize = 550;

/// Words that nothing committed may hold, put together here so that this file does not hold them, and why.
const WORDS: [(&str, &str); 8] = [
    (concat!("todo", "!("), "finish it, or leave it out"),
    (concat!("unimplemented", "!("), "finish it, or leave it out"),
    (concat!("FIX", "ME"), "fix it, or say in a sentence what holds"),
    (concat!("XX", "X"), "say in a sentence what holds"),
    (concat!("HA", "CK"), "say in a sentence why it is so"),
    (concat!("#[al", "low("), "write `#[expect(…, reason = \"…\")]`"),
    (concat!("#![al", "low("), "write `#![expect(…, reason = \"…\")]`"),
    (concat!("/ro", "ot/"), "name no machine's paths"),
];

/// One thing that is not as it should be.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    file: String,
    line: usize,
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// A file of the repository: its path from the root, with `/`, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.has_ending("rs")
    }

    fn has_ending(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == ending)
    }

    fn fault(&self, line: usize, message: impl Into<String>) -> Fault {
        Fault {
            file: self.path.clone(),
            line,
            message: message.into(),
        }
    }

    /// Returns the module's path within the library, as in `["decision", "fold"]`; `None` outside `src/`, and for `lib.rs`.
    fn module(&self) -> Option<Vec<String>> {
        let within = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let within = within.strip_suffix("/mod").unwrap_or(within);
        (within != "lib").then(|| within.split('/').map(str::to_owned).collect())
    }

    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("tests/") || name.ends_with("tests.rs") || name == "testing.rs"
    }
}

/// Every check over every file.
fn faults(files: &[File]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = files.iter().flat_map(faults_of_file).collect();
    faults.extend(unused_fixtures(files));
    faults.sort();
    faults
}

fn faults_of_file(file: &File) -> Vec<Fault> {
    let mut faults = words(file);
    if ["rs", "proto", "py", "sh"].iter().any(|ending| file.has_ending(ending)) {
        faults.extend(length(file));
    }
    if file.is_rust() {
        let tokens = source::tokens(&source::blank(&file.text));
        faults.extend(opening(file));
        faults.extend(sleeps(file, &tokens));
        faults.extend(layers(file, &tokens));
    }
    if file.path == "src/lib.rs" {
        faults.extend(map(file));
    }
    faults
}

fn words(file: &File) -> Vec<Fault> {
    let machine = concat!("/wo", "rk/");
    let lines = file.text.lines().enumerate();
    let found = lines.flat_map(|(number, line)| {
        let own = WORDS.iter().filter(|(word, _)| line.contains(word)).copied();
        let path = line.contains(machine).then_some((machine, "name no machine's paths"));
        own.chain(path)
            .map(move |(word, instead)| file.fault(number + 1, format!("holds `{word}`; {instead}")))
    });
    found.collect()
}

fn length(file: &File) -> Option<Fault> {
    let lines = file.text.lines().count();
    let message = format!("the file has {lines} lines, at most {LINES_MAX} are allowed; split it by idea");
    (lines > LINES_MAX).then(|| file.fault(lines, message))
}

fn opening(file: &File) -> Option<Fault> {
    let begins = file.text.starts_with("//! ");
    (!begins).then(|| {
        file.fault(
            1,
            "the file does not begin with `//! `; say in a sentence what it is for",
        )
    })
}

fn sleeps(file: &File, tokens: &[Token]) -> Vec<Fault> {
    tokens
        .windows(2)
        .filter(|two| two[0].text == "sleep" && two[1].text == "(" && (file.is_test() || two[0].in_tests))
        .map(|two| {
            file.fault(
                two[0].line,
                "a test sleeps; wait for the thing itself, or move a manual clock",
            )
        })
        .collect()
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|&known| known == layer)
}

fn layers(file: &File, tokens: &[Token]) -> Vec<Fault> {
    let Some(module) = file.module() else {
        return Vec::new();
    };
    let layer = module[0].as_str();
    let Some(own) = rank(layer) else {
        return vec![file.fault(
            1,
            format!("`{layer}` is not a layer; put it into one, or name it in LAYERS and in src/lib.rs"),
        )];
    };
    let is_up_to = |limit: &str| Some(own) <= rank(limit);
    let mut faults = Vec::new();
    for path in source::paths(tokens, &module) {
        let named = path.segments.join("::");
        if path.segments[0] == "crate" {
            faults.extend(upward(layer, own, &path.segments).map(|message| file.fault(path.line, message)));
        } else if is_up_to(PURE_UP_TO) {
            let found = IMPURE.iter().find(|(impure, _)| names(&path.segments, impure));
            faults.extend(found.map(|(impure, instead)| {
                file.fault(
                    path.line,
                    format!("`{named}`: the pure core may not name `{impure}`; {instead}"),
                )
            }));
        } else if is_up_to(SYNCHRONOUS_UP_TO) && path.segments[0] == "tokio" {
            faults.push(file.fault(
                path.line,
                format!("`{named}`: nothing up to the campaigns waits; wait in the shell"),
            ));
        }
    }
    if is_up_to(SYNCHRONOUS_UP_TO) {
        let waits = tokens.iter().filter(|token| token.text == "async");
        faults.extend(waits.map(|token| {
            file.fault(
                token.line,
                "`async`: nothing up to the campaigns waits; wait in the shell",
            )
        }));
    }
    faults
}

/// Says why a layer may not name this path of the crate, if it may not.
fn upward(layer: &str, own: usize, segments: &[String]) -> Option<String> {
    let target = segments.get(1)?;
    if layer == ALONE && target != ALONE {
        let named = segments.join("::");
        return Some(format!(
            "`{ALONE}` names `{named}`, but it may share no code with what it judges"
        ));
    }
    match rank(target) {
        Some(other) if other <= own => None,
        Some(_) => Some(format!(
            "`{layer}` names `{}`, but imports go up this list only: {}; move the code up, or hand in what it needs",
            segments.join("::"),
            LAYERS.join(", ")
        )),
        None => Some(format!(
            "`{}` is in no layer; name the layer's module",
            segments.join("::")
        )),
    }
}

/// Tells whether a path lies in `forbidden`, or names a module that holds it.
fn names(segments: &[String], forbidden: &str) -> bool {
    let forbidden: Vec<&str> = forbidden.split("::").collect();
    let segments: Vec<&str> = segments
        .iter()
        .map(String::as_str)
        .filter(|&segment| segment != "*")
        .collect();
    let common = segments.len().min(forbidden.len());
    segments[..common] == forbidden[..common]
}

/// The crate doc lists the layers in their order, and the crate has no other modules.
fn map(file: &File) -> Vec<Fault> {
    let mut listed = Vec::new();
    let doc = file
        .text
        .lines()
        .skip_while(|line| !line.starts_with("//! # The layers"));
    let section = doc
        .skip(1)
        .take_while(|line| line.starts_with("//!") && !line.starts_with("//! # "));
    for line in section {
        let bullet = line.trim_start_matches("//!").trim_start().trim_start_matches("* ");
        let list = if line.contains("* The shell") || !line.contains("* ") {
            bullet
        } else {
            bullet.split(':').next().unwrap_or_default()
        };
        let linked = list.split("[`").skip(1).filter_map(|part| part.split_once("`]"));
        listed.extend(linked.map(|(name, _)| name.to_owned()));
    }
    let mut faults = Vec::new();
    if listed != LAYERS[..LAYERS.len() - 1] {
        faults.push(file.fault(
            1,
            format!("the section `The layers` lists {listed:?}; list {LAYERS:?}, `main` left out"),
        ));
    }
    for (number, line) in file.text.lines().enumerate() {
        let module = line
            .trim_start_matches("pub ")
            .strip_prefix("mod ")
            .map(|rest| rest.trim_end_matches(';'));
        if let Some(module) = module.filter(|module| rank(module).is_none()) {
            faults.push(file.fault(
                number + 1,
                format!("`{module}` is not a layer; name it in LAYERS and in the crate doc"),
            ));
        }
    }
    faults
}

/// Finds files beside the tests that no test names. A folder that a test names counts as read as a whole.
fn unused_fixtures(files: &[File]) -> Vec<Fault> {
    let is_named = |name: &str| {
        let quoted = [
            format!("\"{name}\""),
            format!("/{name}\""),
            format!("\"{name}/"),
            format!("/{name}/"),
        ];
        files
            .iter()
            .filter(|file| file.is_rust())
            .any(|file| quoted.iter().any(|quoted| file.text.contains(quoted)))
    };
    let is_fixture = |file: &&File| file.path.starts_with("tests/") && !file.is_rust();
    let parts = |file: &File| file.path.split('/').skip(1).map(str::to_owned).collect::<Vec<_>>();
    files
        .iter()
        .filter(is_fixture)
        .filter(|file| !parts(file).iter().any(|part| is_named(part)))
        .map(|file| file.fault(1, "no test names this file or its folder; use it or remove it"))
        .collect()
}

/// Entries that hold nothing of ours; `.git` is a file in a linked work tree.
const SKIPPED: [&str; 7] = ["target", ".git", "node_modules", "__pycache__", ".venv", "dist", "gen"];

/// Reads every text file of the repository; what is not UTF-8 is no text.
fn read(folder: &Path, root: &Path, files: &mut Vec<File>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if entry.is_dir() {
            read(&entry, root, files);
        } else if name != "Cargo.lock"
            && let Ok(text) = fs::read_to_string(&entry)
        {
            let path = entry.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            files.push(File { path, text });
        }
    }
}

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    read(root, root, &mut files);
    assert!(
        files.iter().any(|file| file.path == "src/lib.rs"),
        "the repository was not read"
    );
    let faults = faults(&files);
    let listed: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults:\n{}\n", faults.len(), listed.join("\n"));
}
