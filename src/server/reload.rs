//! Picks up changed rules and models while serving.
//!
//! A reload reads and checks everything off the serving threads and then swaps a whole version in, or leaves the one in
//! force where it is and keeps the diagnostics for everybody to see: in `GetReloadStatus`, in the log, in the numbers. It is
//! asked for by a change of files ([`Reloader::watch_files`]) or by whoever holds the sender (SIGHUP). Editors write a file in several
//! steps, so files have to be quiet for a moment before they are read.

use std::path::PathBuf;
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::limits::RELOAD_QUIET;
use super::policies::PolicyLog;
use super::watch::WatchHub;
use crate::catalog::diagnostic::Diagnostic;
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
    /// Sends to `requests` whenever something below one of `folders` changes, until the result is dropped.
    ///
    /// # Errors
    /// When a folder cannot be watched.
    pub fn watch_files(&self, folders: &[PathBuf], requests: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A fault of the watcher may hide a change: better once too often. A full channel is asked for already.
            if event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                return;
            }
            let _ = requests.try_send(());
        })?;
        for folder in folders {
            watcher.watch(folder, RecursiveMode::Recursive)?;
        }
        self.status.send_modify(|status| status.watching = true);
        Ok(watcher)
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
                tracing::info!(version = %active.catalog.version, before = %before.catalog.version, "a new catalog is in force");
                let catalog = Arc::clone(&active.catalog);
                self.engine.activate(active);
                self.policies.changed(catalog, now, self.clock.now());
                self.hub.catalog_changed();
                (Reloaded::Applied, warnings)
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
