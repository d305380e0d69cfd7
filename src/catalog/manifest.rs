//! The manifest beside a model file: what the model is fed, what it answers, and how both are proved.
//!
//! A model is a function of numbers; the manifest says where each number comes from. It is JSON because training
//! scripts write it. Every key is documented at the type that holds it, and unknown keys are refused, since a
//! misspelt `clip` would otherwise be a model that quietly sees other numbers than it was trained on.
//!
//! **From a value to a number.** A column reads one named input and encodes it, all in 64-bit arithmetic: a value that
//! is not known becomes `missing`, as it stands; any other value becomes a number as [`Encoding`] says, is then clipped
//! to `clip`, then replaced by `ln(1 + x)` when `log1p` is set, and at the very end rounded to the model's 32 bits
//! ([`super::Column::encode`]). A training script does the same in the same order, and the golden rows prove that it did:
//! their `inputs` must encode to their `row`, and the model must answer `score` for that row.
//!
//! Reading has two stages. [`Manifest::parse`] first reads the text into plain keys, where the first fault ends it, and
//! then checks the meaning, where all faults are collected, each with its place in the text.

mod check;
mod place;
mod raw;

use std::collections::BTreeMap;

use super::ContactScope;
use crate::domain::contact::Counted;
use crate::domain::time::Millis;

/// The only format there is; a later one gets the next number.
pub const FORMAT: u64 = 1;

/// The most columns a model may have. Rows are kept on the stack of one decision's scratch memory: 256 columns times 500
/// offers are half a megabyte.
pub const COLUMNS_MAX: usize = 256;

/// The most golden rows: they run on every session at every load, so a few dozen prove the model and a million would
/// only delay the start.
pub const GOLDEN_ROWS_MAX: usize = 256;

/// The largest difference from a golden score that a manifest may allow: beyond it, another model would pass.
pub const TOLERANCE_MAX: f32 = 0.001;

/// The most offers that a shortlist may keep. Each costs a row, 3 µs and more for 100 trees: so many are some 15 ms, and whoever
/// wants more needs no shortlist.
pub const SHORTLIST_MAX: usize = 4_096;

/// A checked manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The model's name in answers, logs and metrics: lowercase letters, digits, `-` and `_`.
    pub name: String,
    /// The model's version, any text; with the name it is the model version in answers.
    pub version: String,
    /// What the model predicts, for people.
    pub description: String,
    /// The data it was trained on, with citation and licence.
    pub data: String,
    /// The model file's name; it lies beside the manifest.
    pub file: String,
    /// The model file's SHA-256 in lowercase hexadecimal, as `sha256sum` prints it.
    pub sha256: String,
    /// The offer groups whose offers the model scores, each once; at least one, unless the model is only another's first stage.
    pub groups: Vec<String>,
    /// Which offers the model scores when many pass; without it, all of them.
    pub shortlist: Option<Shortlist>,
    /// The model's input tensor.
    pub input: Input,
    /// The model's output tensor.
    pub output: Output,
    /// The columns of a row, in the model's order; exactly `input.features` of them.
    pub columns: Vec<Column>,
    /// Rows with the scores they must get; at least one.
    pub golden: Vec<GoldenRow>,
    /// The largest difference from a golden score that is still agreement; above 0 and at most [`TOLERANCE_MAX`].
    pub tolerance: f32,
    /// What the training script measured, for people: any names.
    pub metrics: BTreeMap<String, f64>,
}

/// A plan in two stages, for a model that costs too much for a whole catalog: when more than `keep` offers passed, the first stage
/// scores all of them, the model the `keep` best of these, by priority. The others keep the score of the first stage, lowered where
/// it has to be, and stand behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortlist {
    /// The folder of another model, beside this one's: the first stage. Its own `columns` say what it is fed, it must be one that is
    /// taken apart for the catalog, and it has no shortlist itself. Its `groups` mean nothing here.
    pub by: String,
    /// How many offers the model scores itself: 1 to [`SHORTLIST_MAX`].
    pub keep: usize,
}

/// The input tensor: 32-bit floats of shape `[rows, features]`, with any number of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The tensor's name in the model.
    pub name: String,
    /// The width of a row: 1 to [`COLUMNS_MAX`].
    pub features: usize,
}

/// The output tensor: 32-bit floats of shape `[rows, columns]` or `[rows]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The tensor's name in the model.
    pub name: String,
    /// Which column holds the propensity: for a classifier over two classes it is 1.
    pub column: usize,
}

/// One column of a row: one input, encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The column's name in explanations and faults; each once.
    pub name: String,
    /// Where the value comes from.
    pub source: Source,
    /// How the value becomes a number.
    pub encoding: Encoding,
    /// The number for a value that is not known; NaN when the manifest says `"nan"`, for trees that branch on it.
    pub missing: f32,
    /// The lowest and the highest number; values outside become the nearer one.
    pub clip: Option<[f64; 2]>,
    /// Whether the number is replaced by `ln(1 + x)`, after clipping.
    pub log1p: bool,
}

impl Column {
    /// Returns the key of this column's value among [`GoldenRow::inputs`]: the source as the manifest writes it, or for
    /// contacts `contacts.<column name>`, since many columns count contacts.
    #[must_use]
    pub fn input_key(&self) -> String {
        match &self.source {
            Source::Profile(name) => format!("profile.{name}"),
            Source::Offer(name) => format!("offer.{name}"),
            Source::Behaviour(name) => format!("behaviour.{name}"),
            Source::Intent(name) => format!("intent.{name}"),
            Source::Context(name) => format!("context.{name}"),
            Source::Contacts { .. } => format!("contacts.{}", self.name),
        }
    }
}

/// Where a column's value comes from; in the manifest `from`, as in `profile.age`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An attribute of the customer's profile.
    Profile(String),
    /// An attribute of the offer that is being scored.
    Offer(String),
    /// A declared aggregate over the customer's behaviour.
    Behaviour(String),
    /// The current strength of an intent, 0 when there is none.
    Intent(String),
    /// An attribute of the request.
    Context(String),
    /// A number of contacts in the customer's contact history.
    Contacts {
        /// What is counted; in the manifest `count`.
        counted: Counted,
        /// Which offers' contacts are counted; in the manifest `scope`.
        scope: ContactScope,
        /// How far back from now; in the manifest `within`, as in `30d`; without it for ever.
        within: Option<Millis>,
    },
}

/// How a known value becomes a number; in the manifest `as`.
#[derive(Clone, Debug, PartialEq)]
pub enum Encoding {
    /// `number`: the number itself.
    Number,
    /// `boolean`: 1 for true, 0 for false.
    Boolean,
    /// `equals`: 1 when the category is `value`, otherwise 0: one column of a one-hot encoding.
    Equals(String),
    /// `ordinal`: the category's position in `order`, counting from 0.
    Ordinal {
        /// The categories in order.
        order: Vec<String>,
        /// The number of a category that is not in `order`.
        unknown: f32,
    },
    /// `contains`: 1 when the set contains `value`, otherwise 0.
    Contains(String),
    /// `days_since`: whole days from the date to now, rounded down; negative for a date to come.
    DaysSince,
}

/// A row with the score that the training script got for it.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldenRow {
    /// Named inputs as a request and a profile would have them, by [`Column::input_key`]; an input that is not here is
    /// not known, and for contacts and intents it is 0. `now`, in RFC 3339, goes with `days_since` columns.
    pub inputs: BTreeMap<String, InputValue>,
    /// What the inputs encode to: one number a column; in the manifest `null` stands for NaN.
    pub row: Vec<f32>,
    /// What the model answers: 0 to 1.
    pub score: f32,
}

/// A value among [`GoldenRow::inputs`], as JSON can write it.
#[derive(Clone, Debug, PartialEq)]
pub enum InputValue {
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A category, a date (`2026-03-02`), or an instant in RFC 3339.
    Text(String),
    /// A set's values.
    Set(Vec<String>),
}

/// What is wrong with a manifest, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFault {
    /// The line, counting from 1.
    pub line: usize,
    /// The column in characters, counting from 1.
    pub column: usize,
    /// What is wrong and what is allowed, lowercase, one line.
    pub message: String,
}

impl Manifest {
    /// Reads and checks a manifest's text.
    ///
    /// # Errors
    ///
    /// One fault when the text is not JSON or has not the manifest's keys; otherwise all faults in its meaning, in the
    /// order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<ManifestFault>> {
        let raw: raw::Manifest = serde_json::from_str(text).map_err(|error| vec![raw::fault(&error)])?;
        check::check(raw, text)
    }
}

#[cfg(test)]
mod tests;
