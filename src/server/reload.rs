//! Picks up changed rules and models while serving.
//!
//! A reload reads and checks everything off the serving threads and then swaps a whole version in, or leaves the one in
//! force where it is and keeps the diagnostics for everybody to see: in `GetReloadStatus`, in the log, in the numbers. It is
//! asked for by a change of files ([`Reloader::watch_files`]) or by whoever holds the sender (SIGHUP). Editors write a file in several
//! steps, so files have to be quiet for a moment before they are read.
//!
//! The system tells of changes in a folder, not in a name: who moves a new folder to the place of the old one, or turns a
//! symbolic link to another release, changes nothing in the folder that is watched. So it is looked up again and again
//! which folder each name means.

use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::limits::{FOLDERS_LOOKED_UP_EVERY, RELOAD_QUIET};
use super::policies::PolicyLog;
use super::watch::WatchHub;
use crate::catalog::diagnostic::{Diagnostic, Severity};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::engine::{Active, Engine};
use crate::telemetry::{Meters, Reloaded};

/// What reading the files again gave: a version to put in force, or nothing because they say what they said before.
pub type Loaded = Result<Option<Active>, Vec<Diagnostic>>;

/// Reads the files again, starting from what is in force.
pub type Loading = Box<dyn FnMut(&Active) -> Loaded + Send>;

/// How the last reload went.
#[derive(Clone, Debug)]
pub struct ReloadStatus {
    /// When the version in force came into force.
    pub applied_at: Timestamp,
    /// When files were last read again, and what came of it.
    pub last: Option<(Timestamp, Reloaded)>,
    /// What was wrong with them, or worth a look.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether changed files are picked up by themselves.
    pub watching: bool,
}

impl ReloadStatus {
    pub(super) const fn started(at: Timestamp) -> Self {
        Self {
            applied_at: at,
            last: None,
            diagnostics: Vec::new(),
            watching: false,
        }
    }
}

/// Watches folders until it is dropped.
#[derive(Debug)]
pub struct FileWatch(JoinHandle<()>);

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Which folder a name means: what stays the same until another one takes its place. A new folder may get the number of
/// one that was just removed, but not its time of birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
    born: Option<SystemTime>,
}

impl From<Metadata> for Identity {
    fn from(metadata: Metadata) -> Self {
        Self {
            #[cfg(unix)]
            device_and_inode: {
                use std::os::unix::fs::MetadataExt as _;
                (metadata.dev(), metadata.ino())
            },
            born: metadata.created().ok(),
        }
    }
}

struct Watched {
    watcher: RecommendedWatcher,
    folders: Vec<(PathBuf, Option<Identity>)>,
}

impl Watched {
    /// Watches whichever folders the names mean, and sends to `requests` when they mean others.
    async fn follow(mut self, requests: mpsc::Sender<()>) {
        loop {
            sleep(FOLDERS_LOOKED_UP_EVERY).await;
            for (folder, known) in &mut self.folders {
                let Some(found) = looked_up(folder.clone()).await else {
                    return;
                };
                if found == *known {
                    continue;
                }
                // What was watched may be gone already, and then there is nothing to give up.
                let _ = self.watcher.unwatch(folder);
                let is_watched = found.is_some() && self.watcher.watch(folder, RecursiveMode::Recursive).is_ok();
                *known = found.filter(|_| is_watched);
                let _ = requests.try_send(());
            }
        }
    }
}

/// Returns which folder a name means; nothing at all when the runtime is shutting down. A slow file system must not hold up
/// those who serve.
async fn looked_up(folder: PathBuf) -> Option<Option<Identity>> {
    let looking = tokio::task::spawn_blocking(move || std::fs::metadata(folder).ok().map(Identity::from));
    looking.await.ok()
}

/// Reloads one server's rules and models.
pub struct Reloader {
    pub(super) engine: Arc<Engine>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hub: Arc<WatchHub>,
    pub(super) meters: Arc<Meters>,
    pub(super) policies: Arc<PolicyLog>,
    pub(super) status: watch::Sender<ReloadStatus>,
    pub(super) loading: Loading,
}

impl Reloader {
    /// Sends to `requests` whenever something below one of `folders` changes, or another folder takes its place, until the
    /// result is dropped. A folder that does not exist is waited for. Called from within the runtime.
    ///
    /// # Errors
    /// When a folder cannot be watched.
    pub fn watch_files(&self, folders: &[PathBuf], requests: mpsc::Sender<()>) -> notify::Result<FileWatch> {
        let request = requests.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A fault of the watcher may hide a change: better once too often. A full channel is asked for already.
            if event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                return;
            }
            let _ = request.try_send(());
        })?;
        let mut state = Watched {
            watcher,
            folders: Vec::new(),
        };
        for folder in folders {
            let identity = std::fs::metadata(folder).ok().map(Identity::from);
            if identity.is_some() {
                state.watcher.watch(folder, RecursiveMode::Recursive)?;
            }
            state.folders.push((folder.clone(), identity));
        }
        self.status.send_modify(|status| status.watching = true);
        Ok(FileWatch(tokio::spawn(state.follow(requests))))
    }

    /// Reloads whenever `requests` brings something and then stays quiet, until all senders are gone.
    pub async fn run(mut self, mut requests: mpsc::Receiver<()>) {
        while requests.recv().await.is_some() {
            while let Ok(Some(())) = timeout(RELOAD_QUIET, requests.recv()).await {}
            let attempt = tokio::task::spawn_blocking(move || {
                self.reload();
                self
            });
            match attempt.await {
                Ok(reloader) => self = reloader,
                Err(error) => {
                    tracing::error!(%error, "reloading came to an end; restart to pick up changed files");
                    return;
                }
            }
        }
    }

    /// Reads the files again and puts them in force if they are good. Blocks: not to be called where calls are served.
    pub fn reload(&mut self) -> Reloaded {
        let before = self.engine.active();
        let loaded = (self.loading)(&before);
        let now = self.clock.now();
        let (result, diagnostics) = match loaded {
            Ok(Some(active)) => {
                let warnings = active.catalog.warnings.clone();
                let catalog = Arc::clone(&active.catalog);
                match self.engine.activate(Active { since: now, ..active }) {
                    Ok(()) => {
                        let (version, before) = (&catalog.version, &before.catalog.version);
                        tracing::info!(%version, %before, "a new catalog is in force");
                        self.policies.changed(catalog, now, self.clock.now());
                        self.meters.in_force(&self.engine.active());
                        self.hub.catalog_changed();
                        (Reloaded::Applied, warnings)
                    }
                    Err(error) => {
                        tracing::error!(%error, "the changed files could not be put in force; SIGHUP tries again");
                        let fault = Diagnostic::of_file("journal", Severity::Error, error.to_string());
                        (Reloaded::Refused, vec![fault])
                    }
                }
            }
            Ok(None) => (Reloaded::Unchanged, before.catalog.warnings.clone()),
            Err(diagnostics) => {
                for diagnostic in &diagnostics {
                    tracing::warn!("{diagnostic}");
                }
                let (faults, version) = (diagnostics.len(), &before.catalog.version);
                tracing::warn!(faults, %version, "the changed files were refused; the version before stays in force");
                (Reloaded::Refused, diagnostics)
            }
        };
        self.meters.reloaded(result);
        self.status.send_modify(|status| {
            if result == Reloaded::Applied {
                status.applied_at = now;
            }
            status.last = Some((now, result));
            status.diagnostics = diagnostics;
        });
        result
    }
}
