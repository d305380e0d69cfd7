//! What every service works with, and how a call begins.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};
use tonic::{Code, Response, Status};

use super::convert::said::Phrases;
use super::durability::{CheckpointLog, Durability};
use super::operate::Readiness;
use super::policies::PolicyLog;
use super::reload::ReloadStatus;
use super::status::Refusal;
use super::watch::WatchHub;
use super::wire;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::data::KeptVersions;
use crate::domain::time::Timestamp;
use crate::engine::{Active, Engine};
use crate::telemetry::{Meters, Stopwatch, Traces};

/// What every service works with.
pub(super) struct Desk {
    pub(super) engine: Arc<Engine>,
    pub(super) durability: Durability,
    /// The versions that were in force before, when they are kept.
    pub(super) past: Option<Arc<KeptVersions>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hub: Arc<WatchHub>,
    pub(super) meters: Arc<Meters>,
    /// What the catalog in force says of its offers.
    pub(super) phrases: ArcSwap<Phrases>,
    pub(super) policies: Arc<PolicyLog>,
    /// How many more past decisions may be made again at the same time.
    pub(super) replays: Arc<Semaphore>,
    pub(super) reloads: watch::Receiver<ReloadStatus>,
    /// Whether calls are taken.
    pub(super) ready: watch::Sender<Readiness>,
    /// What decides which calls are traced, when any are.
    pub(super) traces: OnceLock<Traces>,
    /// What became of the checkpoints, when there are any.
    pub(super) checkpoints: OnceLock<Arc<CheckpointLog>>,
    /// Since when the server has been there.
    pub(super) since: Stopwatch,
}

impl Desk {
    /// Takes the snapshot and reads the clock: once per call or per item of a stream.
    pub(super) fn begin(&self) -> (Arc<Active>, Timestamp) {
        (self.engine.active(), self.clock.now())
    }

    /// Returns what a catalog says of its offers.
    pub(super) fn phrases(&self, catalog: &Arc<Catalog>) -> Arc<Phrases> {
        let phrases = self.phrases.load();
        if phrases.are_of(catalog) {
            return Arc::clone(&phrases);
        }
        // After a reload. A call that began before it makes its own once more, and whoever comes next makes them again.
        let phrases = Arc::new(Phrases::new(catalog));
        self.phrases.store(Arc::clone(&phrases));
        phrases
    }

    /// Answers a call that may have changed something, as soon as that is as safe as the journal's level promises.
    pub(super) async fn answer<T>(&self, answer: Result<T, Refusal>) -> Result<Response<T>, Status> {
        let settled = match answer {
            Ok(answer) => self.durability.settle().await.map(|()| answer),
            Err(refusal) => Err(refusal),
        };
        settled.map(Response::new).map_err(|refusal| self.refuse(refusal))
    }

    /// Counts a refusal and returns it as the status of a call.
    pub(super) fn refuse(&self, refusal: Refusal) -> Status {
        self.count(&refusal);
        refusal.into()
    }

    /// Counts a refusal and returns it as the fault of an item.
    pub(super) fn fault(&self, refusal: &Refusal) -> wire::Fault {
        self.count(refusal);
        refusal.into()
    }

    fn count(&self, refusal: &Refusal) {
        self.meters.refused(matches!(
            refusal.code(),
            Code::InvalidArgument | Code::NotFound | Code::AlreadyExists | Code::Aborted | Code::PermissionDenied
        ));
    }
}
