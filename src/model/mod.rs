//! Propensities: how likely it is that this customer takes each offer.
//!
//! Everything that scores is a [`Scorer`]: rows of numbers in, one propensity from 0 to 1 a row out. In service it is a
//! [`Model`], an ONNX file run by ONNX Runtime and proved against its manifest before it may answer; tests and the
//! simulator plug in a [`LinearScorer`], which is arithmetic only.
//!
//! A scorer that fails returns an error and never a doubtful number: too wide a row, a NaN, a score outside 0 to 1. What
//! a decision does without a score is not decided here.

mod onnx;
mod pool;
mod runtime;
mod scorer;

pub use onnx::{Model, ModelError, ROWS_PER_RUN};
pub use pool::SESSIONS_MAX;
pub use runtime::{Runtime, RuntimeError, VERSION_PINNED};
pub use scorer::{LinearScorer, ScoreError, Scorer};
