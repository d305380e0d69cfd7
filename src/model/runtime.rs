//! Finds and loads the ONNX Runtime library.
//!
//! The library is looked for at the path that the caller gives; without one at `ORT_DYLIB_PATH`, then beside the
//! executable, then where the build put it. A path that was set is not searched past: a wrong setting must not be hidden
//! by a lucky find. When there is no library the error is one line that says what to do, and the program goes on
//! without a model.
//!
//! A process loads the library once and keeps it; loading again gives the same one.
//!
//! From 1.29 on, official builds send telemetry unless `ORT_DISABLE_TELEMETRY=1` was set before the process started (a
//! process cannot safely set it for itself). Hence [`Runtime::telemetry_warning`].

use std::env;
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use ort::LoadDynamicError;
use ort::environment::Environment;
use parking_lot::Mutex;

/// The version that is tested, and that the build takes.
pub const VERSION_PINNED: &str = "1.28.0";

/// The first minor version of major version 1 whose official builds send telemetry.
const TELEMETRY_MINOR_MIN: u32 = 29;

/// The library that this process has loaded.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

/// The loaded ONNX Runtime library. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
    version: String,
}

/// Why there is no ONNX Runtime; each message is one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// There is no file where one was looked for.
    #[error(
        "ONNX Runtime is not at {}; set ORT_DYLIB_PATH to {} of `pip download onnxruntime=={VERSION_PINNED}`, or put it \
         beside the program", listed(.looked_at), library_names()[0]
    )]
    NotFound {
        /// The paths looked at, in this order.
        looked_at: Vec<PathBuf>,
    },
    /// The file is there but cannot be used.
    #[error(
        "{} cannot be used as ONNX Runtime: {reason}; set ORT_DYLIB_PATH to {} of `pip download \
         onnxruntime=={VERSION_PINNED}`", .path.display(), library_names()[0]
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said, in one line.
        reason: String,
    },
    /// Another library is loaded already, and a process can have one only.
    #[error("{} cannot be loaded: this process runs with {} already; restart it", .path.display(), .loaded.display())]
    OtherLoaded {
        /// The file asked for.
        path: PathBuf,
        /// The file that is loaded.
        loaded: PathBuf,
    },
}

impl Runtime {
    /// Loads the library at `path`, or where the module's documentation says. Takes some 10 ms the first time.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`], never a panic.
    pub fn load(path: Option<&Path>) -> Result<Self, RuntimeError> {
        let found = match path {
            Some(path) => existing(&[path.to_owned()])?,
            None => existing(&candidates())?,
        };
        let mut loaded = LOADED.lock();
        match &*loaded {
            Some(runtime) if runtime.path == found => Ok(runtime.clone()),
            Some(runtime) => Err(RuntimeError::OtherLoaded {
                path: found,
                loaded: runtime.path.clone(),
            }),
            None => {
                let runtime = Self::load_file(found)?;
                *loaded = Some(runtime.clone());
                Ok(runtime)
            }
        }
    }

    fn load_file(path: PathBuf) -> Result<Self, RuntimeError> {
        let unusable = |reason: String| RuntimeError::Unusable {
            path: path.clone(),
            reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let builder = ort::init_from(&path).map_err(|error| unusable(reason(&error)))?;
        let environment = builder
            .with_name("nbo")
            .with_telemetry(false)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let version = version_of(ort::info(), &path);
        Ok(Self {
            environment,
            path,
            version,
        })
    }

    /// Returns the loaded file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the library's version, as in `1.28.0`, or `unknown` when neither the library nor its file name says it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the line to show when the library may send telemetry: a version from 1.29 on, or an unknown one.
    #[must_use]
    pub fn telemetry_warning(&self) -> Option<String> {
        telemetry_warning(&self.version, &self.path)
    }

    /// Returns what sessions are made with.
    pub(super) const fn environment(&self) -> &Environment {
        &self.environment
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("path", &self.path)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Returns the paths to look at, in this order.
fn candidates() -> Vec<PathBuf> {
    if let Some(path) = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return vec![path.into()];
    }
    let directory = env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.to_owned()));
    let beside = directory
        .iter()
        .flat_map(|directory| library_names().map(|name| directory.join(name)));
    beside
        .chain(option_env!("NBO_ONNXRUNTIME_BUILT").map(PathBuf::from))
        .collect()
}

/// Returns the file names that the library has on this platform, the pinned one first.
const fn library_names() -> [&'static str; 2] {
    if cfg!(target_os = "windows") {
        ["onnxruntime.dll", "libonnxruntime.dll"]
    } else if cfg!(target_os = "macos") {
        ["libonnxruntime.1.28.0.dylib", "libonnxruntime.dylib"]
    } else {
        ["libonnxruntime.so.1.28.0", "libonnxruntime.so"]
    }
}

/// Returns the absolute path of the first that is a file.
fn existing(paths: &[PathBuf]) -> Result<PathBuf, RuntimeError> {
    let file = paths.iter().find(|path| path.is_file());
    let absolute = file.and_then(|path| path.canonicalize().ok());
    absolute.ok_or_else(|| RuntimeError::NotFound {
        looked_at: paths.to_vec(),
    })
}

/// Says why a library cannot be loaded; what the system said about it hides one level down.
fn reason(error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::Dlopen { error, .. } => error.source().map_or_else(|| error.to_string(), ToString::to_string),
        other => other.to_string(),
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(" or ")
}

/// Reads the version out of the library's build information (`git-branch=rel-1.28.0, ...`), or out of its file name.
fn version_of(build_information: &str, path: &Path) -> String {
    let digits = |text: &str| -> String {
        let end = text
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .unwrap_or(text.len());
        text[..end].trim_matches('.').to_owned()
    };
    let branch = build_information
        .split_once("git-branch=rel-")
        .map(|(_, rest)| digits(rest));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let named = name
        .find(|letter: char| letter.is_ascii_digit())
        .map(|start| digits(&name[start..]));
    branch
        .into_iter()
        .chain(named)
        .find(|version| minor(version).is_some())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Returns the minor version of a `1.<minor>...` version.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

fn telemetry_warning(version: &str, path: &Path) -> Option<String> {
    match minor(version) {
        Some(minor) if minor < TELEMETRY_MINOR_MIN => None,
        _ => Some(format!(
            "ONNX Runtime {version} at {} may send telemetry; use {VERSION_PINNED}, or start with \
             ORT_DISABLE_TELEMETRY=1",
            path.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts which version is read, and whether it is warned of.
    #[track_caller]
    fn check(information: &str, file: &str, version: &str, warned: bool) {
        let path = Path::new("/opt").join(file);
        assert_eq!(version_of(information, &path), version);
        assert_eq!(telemetry_warning(version, &path).is_some(), warned);
    }

    #[test]
    fn a_version_that_may_send_telemetry_or_hides_itself_is_warned_of() {
        check(
            "ORT Build Info: git-branch=rel-1.28.0, git-commit-id=1, build type=Release",
            "x.so",
            "1.28.0",
            false,
        );
        check(
            "ORT Build Info: git-branch=rel-1.29.1, git-commit-id=1",
            "x.so",
            "1.29.1",
            true,
        );
        check(
            "ORT Build Info: git-branch=main",
            "libonnxruntime.so.1.27.0",
            "1.27.0",
            false,
        );
        check(
            "ORT Build Info: git-branch=main",
            "libonnxruntime.1.30.2.dylib",
            "1.30.2",
            true,
        );
        check("", "libonnxruntime.so", "unknown", true);
        check("", "libonnxruntime.so.2.0.0", "unknown", true);
    }

    #[test]
    fn a_missing_library_gives_one_line_that_says_what_to_do() {
        let missing = Path::new("/nowhere/libonnxruntime.so");
        let error = Runtime::load(Some(missing)).unwrap_err();
        assert_eq!(
            error,
            RuntimeError::NotFound {
                looked_at: vec![missing.to_owned()]
            }
        );
        let line = error.to_string();
        assert!(
            line.starts_with("ONNX Runtime is not at /nowhere/libonnxruntime.so; set ORT_DYLIB_PATH to"),
            "{line}"
        );
        assert!(!line.contains('\n'), "{line}");
    }

    #[test]
    fn loading_twice_gives_the_same_library_and_another_one_is_refused() {
        let first = Runtime::load(None).unwrap();
        let second = Runtime::load(Some(first.path())).unwrap();
        assert_eq!(first.path(), second.path());
        assert_eq!(
            first.telemetry_warning().is_none(),
            minor(first.version()).is_some_and(|minor| minor < 29)
        );

        let other = env::current_exe().unwrap().canonicalize().unwrap();
        let error = Runtime::load(Some(&other)).unwrap_err();
        assert_eq!(
            error,
            RuntimeError::OtherLoaded {
                path: other,
                loaded: first.path().to_owned()
            }
        );
    }

    #[test]
    fn a_file_that_is_no_onnx_runtime_gives_one_line() {
        // A process keeps the first library that it loads, so this test runs itself in a process of its own.
        if let Some(path) = env::var_os("NBO_TEST_LIBRARY") {
            println!("<{}>", Runtime::load(Some(Path::new(&path))).unwrap_err());
            return;
        }
        let text = tempfile::NamedTempFile::new().unwrap();
        let name = "model::runtime::tests::a_file_that_is_no_onnx_runtime_gives_one_line";
        let child = std::process::Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", name])
            .env("NBO_TEST_LIBRARY", text.path())
            .output()
            .unwrap();
        let said = String::from_utf8(child.stdout).unwrap();
        let path = text.path().canonicalize().unwrap();
        let expected = format!("<{} cannot be used as ONNX Runtime: ", path.display());
        let line = said.lines().find(|line| line.contains(&expected));
        assert!(
            line.is_some_and(|line| line.contains("set ORT_DYLIB_PATH to libonnxruntime") && line.contains('>')),
            "{said}"
        );
    }
}
