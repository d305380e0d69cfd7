//! The models that the benches score with, and one that costs nothing.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::anyhow;

use super::measure;
use crate::catalog::Catalog;
use crate::catalog::manifest::Manifest;
use crate::config::files::MANIFEST;
use crate::decision::features::Parts;
use crate::decision::specialised::Scratch;
use crate::model::{Loaded, Path, ROWS, Runtime, ScoreError, Scorer, Wanted};

/// 100 trees of 31 leaves on 30 columns, and its manifest.
pub const TREES: Files = Files {
    name: "bench-trees",
    manifest: include_str!("../../models/bench/trees.json"),
    model: include_bytes!("../../models/bench/trees.onnx"),
};

/// A logistic regression on the same columns, and its manifest.
pub const LINEAR: Files = Files {
    name: "bench-linear",
    manifest: include_str!("../../models/bench/linear.json"),
    model: include_bytes!("../../models/bench/linear.onnx"),
};

/// A model as it lies on the disk.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    /// Its name.
    pub name: &'static str,
    /// Its manifest.
    pub manifest: &'static str,
    model: &'static [u8],
}

impl Files {
    /// Loads it for a catalog whose only model it is, as it would serve.
    ///
    /// # Errors
    /// When the model is not that of its manifest, or nothing can score with it.
    pub fn load(&self, sessions: usize, catalog: &Catalog) -> anyhow::Result<Arc<dyn Scorer>> {
        self.load_at(0, sessions, catalog)
    }

    /// Loads it as it would serve at a position among the models of a catalog, with a session for each of `sessions` threads.
    ///
    /// # Errors
    /// As for [`Files::load`].
    pub fn load_at(&self, position: usize, sessions: usize, catalog: &Catalog) -> anyhow::Result<Arc<dyn Scorer>> {
        self.load_as(&Wanted::Best, position, sessions, catalog)
    }

    /// Loads it as ONNX Runtime runs it, with a session for each of `sessions` threads.
    ///
    /// # Errors
    /// When there is no ONNX Runtime, or the model is not that of its manifest.
    pub fn load_in_runtime(&self, sessions: usize, catalog: &Catalog) -> anyhow::Result<Arc<dyn Scorer>> {
        self.load_as(&Wanted::Arithmetic(ROWS.to_owned()), 0, sessions, catalog)
    }

    /// Writes it to a folder as a server reads it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, models: &FilePath) -> anyhow::Result<()> {
        let folder = models.join(self.name);
        let manifest = Manifest::parse(self.manifest).map_err(|faults| anyhow!("{}: {faults:?}", self.name))?;
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(MANIFEST), self.manifest)?;
        std::fs::write(folder.join(&*manifest.file), self.model)?;
        Ok(())
    }

    fn load_as(
        &self,
        wanted: &Wanted,
        position: usize,
        sessions: usize,
        catalog: &Catalog,
    ) -> anyhow::Result<Arc<dyn Scorer>> {
        let manifest = Manifest::parse(self.manifest).map_err(|faults| anyhow!("{}: {faults:?}", self.name))?;
        let runtime = Runtime::load(None).ok();
        let loaded = Loaded::load(runtime.as_ref(), self.model, &manifest, sessions)?;
        loaded
            .scorer(catalog, position, wanted)
            .map_err(|why| anyhow!("{}: {why}", self.name))
    }
}

/// Answers at once, so that what is left is the engine's own work. The scores differ from row to row and from call to
/// call, so that sorting has something to do.
#[derive(Debug, Default)]
pub struct Free(AtomicU64);

impl Free {
    /// Makes one that begins anew, so that the scores do not depend on what ran before.
    #[must_use]
    pub fn shared() -> Arc<dyn Scorer> {
        Arc::new(Self::default())
    }
}

impl Scorer for Free {
    fn score(&self, _rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        let call = self.0.fetch_add(1, Ordering::Relaxed);
        let mut state = call.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for score in scores {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *score = (state >> 48) as f32 / 65_536.0;
        }
        Ok(())
    }

    fn features(&self) -> usize {
        30
    }

    fn name(&self) -> &'static str {
        "free"
    }

    fn version(&self) -> &'static str {
        "1"
    }
}

/// Notes how long its model takes. For one thread.
pub struct Timed {
    inner: Arc<dyn Scorer>,
    nanos: AtomicU64,
}

impl Timed {
    /// Wraps a model.
    #[must_use]
    pub fn new(inner: Arc<dyn Scorer>) -> Self {
        Self {
            inner,
            nanos: AtomicU64::new(0),
        }
    }

    /// Returns the nanoseconds spent in the model since the last time that this was asked.
    pub fn take_nanos(&self) -> u64 {
        self.nanos.swap(0, Ordering::Relaxed)
    }
}

impl Scorer for Timed {
    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        let start = measure::start();
        let result = self.inner.score(rows, scores);
        self.nanos.fetch_add(measure::nanos_since(start), Ordering::Relaxed);
        result
    }

    fn score_parts(
        &self,
        parts: &Parts,
        catalog: &Catalog,
        offers: &[u16],
        scratch: &mut Scratch,
        scores: &mut Vec<f32>,
    ) -> Option<Result<(), ScoreError>> {
        let start = measure::start();
        let result = self.inner.score_parts(parts, catalog, offers, scratch, scores);
        self.nanos.fetch_add(measure::nanos_since(start), Ordering::Relaxed);
        result
    }

    fn path(&self) -> Path {
        self.inner.path()
    }

    fn features(&self) -> usize {
        self.inner.features()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn version(&self) -> &str {
        self.inner.version()
    }
}
