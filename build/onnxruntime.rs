//! Takes the ONNX Runtime library, so that a clone builds and scores without a manual step.
//!
//! The library comes out of the pinned Python wheel, which pip downloads whatever the local Python's version is. Wheel
//! and library are checked against the hashes below, and the library is put beside the built program, where the
//! program looks for it and where it is easily copied from together with it. The pin is 1.28.0 because official builds
//! from 1.29.0 on carry a telemetry uploader that is on by default.
//!
//! Nothing here fails a build. Without pip, without a network, or on another platform it warns, and the program serves
//! from the rung below the model until a library is given to it. `ORT_DYLIB_PATH` set at build time means that the
//! library is taken care of: then nothing is downloaded.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::tell_cargo;

/// The only version taken; the hashes below belong to it.
const VERSION: &str = "1.28.0";

/// What pip is asked for, and what has to come of it, for one platform.
struct Wheel {
    /// The Rust target.
    target: &'static str,
    /// pip's name of the platform.
    platform: &'static str,
    /// The library's path inside the wheel; its last part is the file's name beside the program.
    member: &'static str,
    /// The SHA-256 of the wheel, lowercase hexadecimal.
    sha256: &'static str,
    /// The SHA-256 of the library, lowercase hexadecimal.
    library_sha256: &'static str,
}

const WHEELS: [Wheel; 4] = [
    Wheel {
        target: "x86_64-unknown-linux-gnu",
        platform: "manylinux_2_28_x86_64",
        member: "onnxruntime/capi/libonnxruntime.so.1.28.0",
        sha256: "a166b78ee04f3a37fa1ef82034b6a3ce96d9684e582d4d30b296de83e9998bb5",
        library_sha256: "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083",
    },
    Wheel {
        target: "aarch64-unknown-linux-gnu",
        platform: "manylinux_2_28_aarch64",
        member: "onnxruntime/capi/libonnxruntime.so.1.28.0",
        sha256: "8d66f9ceb29909c70839e4e4fb3435c7b490050d8f162bd5f3aba4ca01ee517f",
        library_sha256: "23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d",
    },
    Wheel {
        target: "aarch64-apple-darwin",
        platform: "macosx_14_0_arm64",
        member: "onnxruntime/capi/libonnxruntime.1.28.0.dylib",
        sha256: "f5c5daabd28aad610f83fdcf32acec8fb57e6adc6c6a39fe2a3c755db957b410",
        library_sha256: "99909e99214e31fe2296c9f7fae5abc2eaf0145342efe8b0a6ed82e9ddb0a0a0",
    },
    Wheel {
        target: "x86_64-pc-windows-msvc",
        platform: "win_amd64",
        member: "onnxruntime/capi/onnxruntime.dll",
        sha256: "0d650aeee29368414367b65529e90afe4bf1bab76254789063b8b2f7ea3013c8",
        library_sha256: "14e186627f109a15f28f0b36f6e8ea07c79eac666818e63c39a9792f415bf649",
    },
];

/// Ways to call pip, in the order of trying.
const PIPS: [&[&str]; 4] = [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];

/// Puts the library beside the program and tells the program where, or warns in one line.
pub(crate) fn provide() {
    tell_cargo("rerun-if-changed=build");
    tell_cargo("rerun-if-env-changed=ORT_DYLIB_PATH");
    if variable("ORT_DYLIB_PATH").is_ok_and(|path| !path.is_empty()) {
        return;
    }
    match library() {
        Ok(path) => tell_cargo(&format!("rustc-env=NBO_ONNXRUNTIME_BUILT={}", path.display())),
        Err(reason) => tell_cargo(&format!(
            "warning=ONNX Runtime {VERSION} was not taken: {}; the build goes on, and the program ranks with start \
             propensities until ORT_DYLIB_PATH names the library of `pip download onnxruntime=={VERSION}`",
            reason.replace(['\n', '\r'], " ")
        )),
    }
}

/// Returns the library's path beside the program, downloading it when it is not there with the right hash.
fn library() -> Result<PathBuf, String> {
    let target = variable("TARGET")?;
    let wheel = WHEELS
        .iter()
        .find(|wheel| wheel.target == target)
        .ok_or_else(|| format!("there is no pinned wheel for {target}"))?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    // OUT_DIR is <profile directory>/build/<package>/out, and the program is put in <profile directory>.
    let profile = out
        .ancestors()
        .nth(3)
        .ok_or_else(|| format!("no profile directory above {}", out.display()))?;
    let name = Path::new(wheel.member)
        .file_name()
        .ok_or("the wheel's member has no file name")?;
    let path = profile.join(name);
    // While the file is missing, cargo runs the script at each build, so a failed download is tried again.
    tell_cargo(&format!("rerun-if-changed={}", path.display()));
    if sha256(&path).is_ok_and(|found| found == wheel.library_sha256) {
        return Ok(path);
    }
    let downloads = out.join("onnxruntime");
    let result = download(wheel, &downloads).and_then(|file| extract(wheel, &file, &path));
    // A wheel is 20 MB; a directory that stays behind costs space and nothing else.
    let _ = fs::remove_dir_all(&downloads);
    result.map(|()| path)
}

/// Has pip put the wheel into an empty `directory`, and returns its path once its hash is right.
fn download(wheel: &Wheel, directory: &Path) -> Result<PathBuf, String> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    run_pips(wheel, directory)?;
    let file = fs::read_dir(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("pip succeeded but left no wheel")?;
    let found = sha256(&file)?;
    if found == wheel.sha256 {
        Ok(file)
    } else {
        Err(format!("the wheel's SHA-256 is {found}, expected {}", wheel.sha256))
    }
}

/// Runs the first pip that there is: one that cannot reach its index will not do so by another name.
fn run_pips(wheel: &Wheel, directory: &Path) -> Result<(), String> {
    for pip in PIPS {
        match run_pip(pip, wheel, directory) {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                if !said.contains("No module named pip") {
                    let last = said
                        .lines()
                        .rev()
                        .find(|line| !line.trim().is_empty())
                        .unwrap_or("no message");
                    return Err(format!("`{} download` says: {}", pip.join(" "), last.trim()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("`{}`: {error}", pip.join(" "))),
        }
    }
    Err("there is no pip (python3 -m pip, pip3)".to_owned())
}

/// Runs `pip download` for the wheel's platform.
fn run_pip(pip: &[&str], wheel: &Wheel, directory: &Path) -> io::Result<Output> {
    Command::new(pip[0])
        .args(&pip[1..])
        .args([
            "download",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--retries",
            "2",
        ])
        .args([
            "--timeout",
            "30",
            "--no-deps",
            "--only-binary=:all:",
            "--implementation",
            "cp",
        ])
        .args([
            "--python-version",
            "3.11",
            "--abi",
            "cp311",
            "--platform",
            wheel.platform,
            "--dest",
        ])
        .arg(directory)
        .arg(format!("onnxruntime=={VERSION}"))
        .output()
}

/// Unpacks the library from the wheel to `path`, which it only ever replaces as a whole and with the right hash.
fn extract(wheel: &Wheel, file: &Path, path: &Path) -> Result<(), String> {
    let unpacked = file.with_extension("library");
    let unpack = || -> io::Result<()> {
        let mut archive = zip::ZipArchive::new(File::open(file)?)?;
        let mut member = archive.by_name(wheel.member)?;
        let mut library = File::create(&unpacked)?;
        io::copy(&mut member, &mut library)?;
        // Cargo runs the script again when a file it names is newer than the script's last run; this one never is.
        library.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000))
    };
    unpack().map_err(|error| format!("{}: {error}", file.display()))?;
    let found = sha256(&unpacked)?;
    if found != wheel.library_sha256 {
        return Err(format!(
            "the library's SHA-256 is {found}, expected {}",
            wheel.library_sha256
        ));
    }
    fs::rename(&unpacked, path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns a file's SHA-256 in lowercase hexadecimal.
fn sha256(path: &Path) -> Result<String, String> {
    let read = || -> io::Result<Sha256> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher),
                count => hasher.update(&buffer[..count]),
            }
        }
    };
    let hasher = read().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!("{:x}", hasher.finalize()))
}

/// Returns an environment variable that cargo or the caller set.
#[expect(
    clippy::disallowed_methods,
    reason = "a build script is told everything by environment variables"
)]
fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
