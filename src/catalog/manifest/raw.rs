//! A manifest's keys as they stand in the text, before their meaning is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{InputValue, ManifestFault};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u64,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) data: String,
    pub(super) file: String,
    pub(super) sha256: String,
    pub(super) groups: Vec<String>,
    pub(super) shortlist: Option<Shortlist>,
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) columns: Vec<Column>,
    pub(super) golden: Vec<GoldenRow>,
    pub(super) tolerance: f32,
    #[serde(default)]
    pub(super) metrics: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shortlist {
    pub(super) by: String,
    pub(super) keep: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) features: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) column: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) from: String,
    pub(super) r#as: As,
    pub(super) value: Option<String>,
    pub(super) order: Option<Vec<String>>,
    pub(super) unknown: Option<f32>,
    pub(super) missing: Option<Missing>,
    pub(super) count: Option<Count>,
    pub(super) scope: Option<Scope>,
    pub(super) within: Option<String>,
    pub(super) clip: Option<[f64; 2]>,
    #[serde(default)]
    pub(super) log1p: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum As {
    Number,
    Boolean,
    Equals,
    Ordinal,
    Contains,
    DaysSince,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Count {
    Decided,
    Delivered,
    Seen,
    Clicked,
    Accepted,
    Refused,
    Converted,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scope {
    Offer,
    Group,
    All,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`missing` is a number or \"nan\"")]
pub(super) enum Missing {
    Number(f32),
    Nan(Nan),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Nan {
    Nan,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GoldenRow {
    pub(super) inputs: BTreeMap<String, Given>,
    pub(super) row: Vec<Option<f32>>,
    pub(super) score: f32,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an input is true, false, a number, a text, a list of texts, or null"
)]
pub(super) enum Given {
    Boolean(bool),
    Number(f64),
    Text(String),
    Set(Vec<String>),
    Unknown,
}

impl Given {
    /// Returns the value, `None` for one that is not known.
    pub(super) fn known(self) -> Option<InputValue> {
        match self {
            Self::Boolean(value) => Some(InputValue::Boolean(value)),
            Self::Number(value) => Some(InputValue::Number(value)),
            Self::Text(value) => Some(InputValue::Text(value)),
            Self::Set(value) => Some(InputValue::Set(value)),
            Self::Unknown => None,
        }
    }
}

/// Turns the reader's error into a fault; its message ends in its place, which the fault has apart.
pub(super) fn fault(error: &serde_json::Error) -> ManifestFault {
    let said = error.to_string();
    let message = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |(message, _)| message);
    ManifestFault {
        line: error.line().max(1),
        column: error.column().max(1),
        message: message.to_owned(),
    }
}
