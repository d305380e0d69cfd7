//! Propensities: how likely it is that this customer takes each offer.
//!
//! Everything that scores is a [`Scorer`]: rows of numbers in, one propensity from 0 to 1 a row out. In service it is an
//! ONNX file: taken apart for the catalog where it can be ([`Factorised`]), and run by ONNX Runtime, as a [`Model`] that was
//! proved against its manifest, everywhere else ([`Loaded`] chooses, [`Path`] and a reason say which). Tests and the
//! simulator plug in a [`LinearScorer`], which is arithmetic only.
//!
//! A scorer that fails returns an error and never a doubtful number: too wide a row, a NaN, a score outside 0 to 1. What
//! a decision does without a score is not decided here.

mod agreement;
mod factorised;
mod graph;
mod onnx;
mod path;
mod pool;
mod runtime;
mod scorer;

pub use agreement::DIFFERENCE_MAX;
pub use factorised::{Factorised, Loaded, Wanted};
pub use graph::{NotRead, read};
pub use onnx::{Model, ModelError, ROWS_PER_RUN};
pub use path::{Path, ROWS};
pub use pool::SESSIONS_MAX;
pub use runtime::{Runtime, RuntimeError, VERSION_PINNED};
pub use scorer::{LinearScorer, ScoreError, Scorer};
