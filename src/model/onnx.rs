//! Runs a model file with ONNX Runtime, after proving that it is the model of its manifest.
//!
//! A corrupted file often still loads and then scores differently, a row that is too wide is silently accepted, and a
//! NaN that is fed to trees comes out as a plausible score. So a file is loaded only when its checksum is the
//! manifest's, its input and output have exactly the manifest's names, types and widths, and every golden row gets its
//! score on every session, which is the warm-up as well. After each run all scores are checked again.
//!
//! One call scores all rows of a decision. A session serves one thread at a time, so there are several, see
//! [`super::pool`]; each has one thread of its own, the caller's.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};
use sha2::{Digest, Sha256};

use super::path::Path;
use super::pool::{Pool, SESSIONS_MAX};
use super::runtime::Runtime;
use super::scorer::{ScoreError, Scorer, check_range, check_shape};
use crate::catalog::manifest::Manifest;

/// The most rows in one run of a session. Measured on 100 trees, a run of 1,000 rows took 746 µs for each 100 of them,
/// a run of 100 took 351; a linear model loses some 2 µs for each further run, which nobody notices.
pub const ROWS_PER_RUN: usize = 100;

/// Why a model file is refused; each message names the file and says what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The file is not the one that the manifest was written for.
    #[error(
        "{file}: its SHA-256 is {found}, the manifest says {expected}; it was changed or cut short, so copy it and its \
         manifest again from where they were trained"
    )]
    Checksum {
        /// The model file.
        file: String,
        /// The manifest's checksum.
        expected: String,
        /// The file's checksum.
        found: String,
    },
    /// The runtime cannot load the file.
    #[error("{file}: ONNX Runtime cannot load it: {reason}; export it as ONNX again")]
    Unloadable {
        /// The model file.
        file: String,
        /// What the runtime said, in one line.
        reason: String,
    },
    /// The input is not what the manifest says.
    #[error("{file}: its input is {found}, the manifest says {expected}; correct `input` or export the model again")]
    Input {
        /// The model file.
        file: String,
        /// The input that the manifest describes.
        expected: String,
        /// The inputs that the model has.
        found: String,
    },
    /// The output is not what the manifest says.
    #[error("{file}: its output is {found}, the manifest says {expected}; correct `output` or export the model again")]
    Output {
        /// The model file.
        file: String,
        /// The output that the manifest describes.
        expected: String,
        /// The outputs that the model has.
        found: String,
    },
    /// The output is a list of maps, as scikit-learn's exporter makes it when it is not told otherwise.
    #[error("{file}: its output {output} is a list of maps, not a tensor; export the model with zipmap=False")]
    ZipMap {
        /// The model file.
        file: String,
        /// The output's name.
        output: String,
    },
    /// A golden row gets another score.
    #[error(
        "{file}: golden row {row} scores {found}, the manifest says {expected} within {tolerance}; the model and the \
         manifest do not belong together, so train and write both again"
    )]
    Golden {
        /// The model file.
        file: String,
        /// Which golden row, counting from 0.
        row: usize,
        /// The manifest's score.
        expected: f32,
        /// The model's score.
        found: f32,
        /// The difference that the manifest allows.
        tolerance: f32,
    },
    /// The golden rows cannot be scored.
    #[error(
        "{file}: its golden rows cannot be scored: {reason}; export the model again, with probabilities as its output"
    )]
    Unscorable {
        /// The model file.
        file: String,
        /// Why not.
        reason: ScoreError,
    },
}

/// A model in service: a proved ONNX file with its sessions.
pub struct Model {
    name: String,
    version: String,
    sha256: String,
    features: usize,
    output: String,
    column: usize,
    pool: Pool<Slot>,
}

/// A session with the choice of the one output that is asked for.
struct Slot {
    session: Session,
    options: RunOptions<HasSelectedOutputs>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Loads and proves a model file's bytes, with `sessions` sessions (at least 1, at most [`SESSIONS_MAX`]; one for
    /// each thread that scores is best). Takes milliseconds a session, and some 1 MB each for 100 trees.
    ///
    /// # Errors
    ///
    /// [`ModelError`] when the file is not the manifest's, or does not do what the manifest says.
    pub fn load(runtime: &Runtime, bytes: &[u8], manifest: &Manifest, sessions: usize) -> Result<Self, ModelError> {
        let found = format!("{:x}", Sha256::digest(bytes));
        if found != manifest.sha256 {
            let (file, expected) = (manifest.file.clone(), manifest.sha256.clone());
            return Err(ModelError::Checksum { file, expected, found });
        }
        let mut slots = Vec::new();
        for _ in 0..sessions.clamp(1, SESSIONS_MAX) {
            let mut slot = open(runtime, bytes, manifest)?;
            prove(&mut slot, manifest)?;
            slots.push(slot);
        }
        Ok(Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            sha256: found,
            features: manifest.input.features,
            output: manifest.output.name.clone(),
            column: manifest.output.column,
            pool: Pool::new(slots),
        })
    }

    /// Returns the model file's SHA-256 in lowercase hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Runs rows and takes any number for an answer.
    pub(super) fn run(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        check_shape(&self.name, self.features, rows, scores)?;
        self.pool
            .with(|slot| run(slot, &self.name, self.features, self.column, rows, scores))
    }
}

impl Scorer for Model {
    /// ONNX Runtime takes other ways for few rows than for many.
    fn is_by_row(&self) -> bool {
        false
    }

    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        check_shape(&self.name, self.features, rows, scores)?;
        if scores.is_empty() {
            return Ok(());
        }
        self.run(rows, scores)?;
        check_range(&self.name, scores)
    }

    fn features(&self) -> usize {
        self.features
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn path(&self) -> Path {
        Path::OnnxRuntime
    }

    fn identity(&self) -> Option<String> {
        Some(format!("{}, {} of {}", self.sha256, self.column, self.output))
    }
}

/// Runs the rows through the session in runs of at most [`ROWS_PER_RUN`].
fn run(
    slot: &mut Slot,
    model: &str,
    features: usize,
    column: usize,
    rows: &[f32],
    scores: &mut [f32],
) -> Result<(), ScoreError> {
    let failed = |reason: String| ScoreError::Run {
        model: model.to_owned(),
        reason: one_line(&reason),
    };
    for (rows, scores) in rows
        .chunks(ROWS_PER_RUN * features)
        .zip(scores.chunks_mut(ROWS_PER_RUN))
    {
        let input =
            TensorRef::from_array_view(([scores.len(), features], rows)).map_err(|error| failed(error.to_string()))?;
        let outputs = slot
            .session
            .run_with_options(ort::inputs![input], &slot.options)
            .map_err(|error| failed(error.to_string()))?;
        let (_, numbers) = outputs[0]
            .try_extract_tensor::<f32>()
            .map_err(|error| failed(error.to_string()))?;
        let width = numbers.len() / scores.len();
        if numbers.len() != width * scores.len() || column >= width {
            return Err(failed(format!(
                "it answered {} numbers for {} rows",
                numbers.len(),
                scores.len()
            )));
        }
        for (score, answer) in scores.iter_mut().zip(numbers.chunks_exact(width)) {
            *score = answer[column];
        }
    }
    Ok(())
}

/// Makes one session, checked against the manifest.
fn open(runtime: &Runtime, bytes: &[u8], manifest: &Manifest) -> Result<Slot, ModelError> {
    let unloadable = |reason: &str| ModelError::Unloadable {
        file: manifest.file.clone(),
        reason: one_line(reason),
    };
    // ort gives up with a panic on input and output types that it does not know.
    let session = catch_unwind(AssertUnwindSafe(|| new_session(runtime, bytes)))
        .map_err(|_| unloadable("its input or output has a type that is not supported"))?
        .map_err(|error| unloadable(&error.to_string()))?;
    check_input(&session, manifest)?;
    check_output(&session, manifest)?;
    let selected = OutputSelector::no_default().with(&manifest.output.name);
    let options = RunOptions::new()
        .map_err(|error| unloadable(&error.to_string()))?
        .with_outputs(selected);
    Ok(Slot { session, options })
}

fn new_session(runtime: &Runtime, bytes: &[u8]) -> ort::Result<Session> {
    Session::builder(runtime.environment())?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .commit_from_memory(bytes)
}

fn check_input(session: &Session, manifest: &Manifest) -> Result<(), ModelError> {
    let features = manifest.input.features;
    if let [input] = session.inputs()
        && input.name() == manifest.input.name
        && let ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape,
            ..
        } = input.dtype()
        && let [-1, width] = **shape
        && usize::try_from(width) == Ok(features)
    {
        return Ok(());
    }
    Err(ModelError::Input {
        file: manifest.file.clone(),
        expected: format!(
            "{} of 32-bit floats, any number of rows of {features}",
            manifest.input.name
        ),
        found: described(session.inputs()),
    })
}

fn check_output(session: &Session, manifest: &Manifest) -> Result<(), ModelError> {
    let (name, column) = (&manifest.output.name, manifest.output.column);
    let output = session.outputs().iter().find(|output| output.name() == name);
    if output.is_some_and(|output| matches!(output.dtype(), ValueType::Sequence(_) | ValueType::Map { .. })) {
        return Err(ModelError::ZipMap {
            file: manifest.file.clone(),
            output: name.clone(),
        });
    }
    if let Some(output) = output
        && let ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape,
            ..
        } = output.dtype()
        && has_column(shape, column)
    {
        return Ok(());
    }
    Err(ModelError::Output {
        file: manifest.file.clone(),
        expected: format!("{name} of 32-bit floats with a column {column}"),
        found: described(session.outputs()),
    })
}

/// Tells whether an output of this shape, where -1 is any number, may have the column.
fn has_column(shape: &[i64], column: usize) -> bool {
    match *shape {
        [_] => column == 0,
        [_, -1] => true,
        [_, width] => usize::try_from(width).is_ok_and(|width| column < width),
        _ => false,
    }
}

fn described(outlets: &[Outlet]) -> String {
    outlets
        .iter()
        .map(|outlet| format!("{}: {}", outlet.name(), outlet.dtype()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Scores the golden rows, all at once and the first one alone, since the runtime takes another way for one row.
fn prove(slot: &mut Slot, manifest: &Manifest) -> Result<(), ModelError> {
    prove_rows(slot, manifest, manifest.golden.len())?;
    prove_rows(slot, manifest, 1)
}

fn prove_rows(slot: &mut Slot, manifest: &Manifest, count: usize) -> Result<(), ModelError> {
    let golden = &manifest.golden[..count];
    let rows: Vec<f32> = golden.iter().flat_map(|golden| golden.row.iter().copied()).collect();
    let mut scores = vec![0.0; count];
    run(
        slot,
        &manifest.name,
        manifest.input.features,
        manifest.output.column,
        &rows,
        &mut scores,
    )
    .and_then(|()| check_range(&manifest.name, &mut scores))
    .map_err(|reason| ModelError::Unscorable {
        file: manifest.file.clone(),
        reason,
    })?;
    for (row, (golden, &found)) in golden.iter().zip(&scores).enumerate() {
        if (golden.score - found).abs() > manifest.tolerance {
            let (file, expected, tolerance) = (manifest.file.clone(), golden.score, manifest.tolerance);
            return Err(ModelError::Golden {
                file,
                row,
                expected,
                found,
                tolerance,
            });
        }
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
