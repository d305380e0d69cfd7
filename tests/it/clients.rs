//! The client packages: installed as people install them, and their own tests and examples run against this engine.
//!
//! Their tests over TLS find an authority, a certificate and a token in a folder that is made here.
//!
//! Each is copied beside the contract first, so that nothing is written into the checkout. Where Python with pip, or npm, is
//! missing, a test says so and has nothing to test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::safety::{Authority, Secrets};

/// What others made of a package; it is made anew.
const MADE: [&str; 5] = ["node_modules", "dist", "gen", "__pycache__", "build"];

/// Copies the contract and one package, and returns the folder of both.
fn copied(package: &str) -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for part in ["proto", package] {
        copy(&root.join(part), &folder.path().join(part));
    }
    folder
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if entry.is_dir() {
            if !MADE.iter().any(|made| name == *made) {
                copy(&entry, &to.join(name));
            }
        } else {
            fs::copy(&entry, to.join(name)).unwrap();
        }
    }
}

/// Tells whether a program can be started and ends well; says so when not.
fn is_there(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let ended = command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = ended.is_ok_and(|status| status.success());
    if !found {
        eprintln!(
            "`{program} {}` does not work here: nothing is tested with it",
            arguments.join(" ")
        );
    }
    found
}

/// Tells whether Python can make environments of its own; says so when not.
pub(crate) fn python_is_there() -> bool {
    is_there(
        "python3",
        &["-c", "import ensurepip, sys; assert sys.version_info >= (3, 11)"],
    )
}

/// What a server with TLS needs and what its callers need, each under the name by which the packages' tests know it.
fn secrets() -> Secrets {
    let (secrets, authority) = (Secrets::new(), Authority::new());
    let (certificate, key) = authority.issue("127.0.0.1");
    let [token] = secrets.tokens(["offers,events"]);
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("other-ca.pem", Authority::new().pem()),
        ("cert.pem", certificate),
        ("key.pem", key),
        ("website.token", token),
    ] {
        secrets.write(name, &text);
    }
    secrets
}

/// Runs the tests of a package, which find the secrets.
#[track_caller]
fn run_tests(program: impl Into<PathBuf>, arguments: &[&str], folder: &Path, secrets: &Secrets) {
    let mut command = command(program, arguments, folder);
    command
        .env("NBO_TEST_SECRETS", secrets.path(""))
        .env("NODE_EXTRA_CA_CERTS", secrets.path("ca.pem"));
    ends_well(command);
}

/// Runs a program to its end, which must be a good one; what it said is told otherwise.
#[track_caller]
pub(crate) fn run(program: impl Into<PathBuf>, arguments: &[&str], folder: &Path) {
    ends_well(command(program, arguments, folder));
}

fn command(program: impl Into<PathBuf>, arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(program.into());
    command
        .args(arguments)
        .current_dir(folder)
        .env("NBO_BIN", env!("CARGO_BIN_EXE_nbo"))
        .env("ORT_DISABLE_TELEMETRY", "1")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    command
}

#[track_caller]
fn ends_well(mut command: Command) {
    let ended = command.output().unwrap();
    assert!(
        ended.status.success(),
        "{command:?} ended with {}:\n{}\n{}",
        ended.status,
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
}

#[test]
fn the_python_package_is_installed_by_pip_and_keeps_its_promises() {
    if !python_is_there() {
        return;
    }
    let folder = copied("clients/python");
    let package = folder.path().join("clients/python");
    run("python3", &["-m", "venv", "venv"], folder.path());
    let python = folder.path().join("venv/bin/python");
    run(&python, &["-m", "pip", "install", "--quiet", ".[test]"], &package);
    let _alone = crate::CORES.blocking_lock();
    let secrets = secrets();
    let tests = ["-m", "unittest", "discover", "--start-directory", "tests"];
    run_tests(&python, &tests, &package, &secrets);
    run(&python, &["-m", "mypy", "--package", "nbo"], &package);
    run(&python, &["-m", "mypy", "tests", "examples"], &package);
}

#[test]
fn the_typescript_package_is_built_by_npm_and_keeps_its_promises() {
    if !is_there("npm", &["--version"]) {
        return;
    }
    let folder = copied("clients/typescript");
    let package = folder.path().join("clients/typescript");
    run("npm", &["ci", "--no-audit", "--no-fund"], &package);
    run("npm", &["run", "build"], &package);
    let _alone = crate::CORES.blocking_lock();
    run_tests("npm", &["test"], &package, &secrets());
}
