//! Proof that this engine feeds a model the numbers that it was trained on.
//!
//! Each golden row of a manifest has named inputs and the numbers that the training script made of them. Here the inputs
//! become values of this catalog's types and are encoded by the code that serves; every number must be the same, bit for
//! bit. What the model answers for the numbers is checked where the model is loaded.

use serde_json::Value as Json;

use super::super::manifest::{GoldenRow, InputValue, Manifest};
use super::super::{AggregateKind, Attribute, AttributeType, Column, ColumnSource};
use super::models::Known;
use crate::catalog::document::{At, Report};
use crate::domain::symbol::Symbols;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// The golden rows of one model, and what they are checked with.
pub(super) struct Golden<'a> {
    pub(super) known: &'a Known<'a>,
    pub(super) manifest: &'a Manifest,
    pub(super) columns: &'a [Column],
}

impl Golden<'_> {
    /// Reports every input that does not fit the schema, and every number that is encoded differently.
    pub(super) fn check(&self, at: At<'_>, symbols: &Symbols, report: &mut Report) {
        for (index, row) in self.manifest.golden.iter().enumerate() {
            self.check_row(at.item(index), row, symbols, report);
        }
    }

    fn check_row(&self, at: At<'_>, row: &GoldenRow, symbols: &Symbols, report: &mut Report) {
        let now = match row.inputs.get("now") {
            Some(InputValue::Text(text)) => instant(text),
            _ => Some(Timestamp::default()),
        };
        let Some(now) = now else {
            return report.error(
                at.key("inputs").key("now"),
                "`now` must be an instant, as in `2026-03-02T09:00:00Z`",
            );
        };
        for (index, (column, written)) in self.columns.iter().zip(&self.manifest.columns).enumerate() {
            let key = written.input_key();
            let value = match self.value(column, row.inputs.get(&key), symbols) {
                Ok(value) => value,
                Err(message) => {
                    report.error(at.key("inputs").key(&key), message);
                    continue;
                }
            };
            let encoded = column.encode(value, now);
            let expected = row.row.get(index).copied().unwrap_or(f32::NAN);
            let same = encoded.to_bits() == expected.to_bits() || (encoded.is_nan() && expected.is_nan());
            if !same {
                let message = format!("`{}` is {encoded} here, but the manifest says {expected}", written.name);
                let hint = "the training script encodes it in another way than its column says";
                report.error_with_hint(at.key("row").item(index), message, hint);
            }
        }
    }

    /// Makes a value of an input. One that is not given is not known, except that nothing was counted then.
    fn value(&self, column: &Column, input: Option<&InputValue>, symbols: &Symbols) -> Result<Value, String> {
        let attribute = match column.from {
            ColumnSource::Profile(at) => self.known.profile.attributes.get(at),
            ColumnSource::Offer(at) => self.known.offer.attributes.get(at),
            ColumnSource::Context(at) => self.known.context.attributes.get(at),
            ColumnSource::Behaviour(at) => self.known.behaviour.attributes.get(at),
            ColumnSource::Intent(_) | ColumnSource::Contacts { .. } => None,
        };
        match (attribute, input) {
            (None, None) => Ok(Value::Number(0.0)),
            (None, Some(InputValue::Number(number))) => Ok(Value::Number(*number)),
            (None, Some(_)) => Err("this input must be a number".to_owned()),
            (Some(_), None) if self.is_counted(column.from) => Ok(Value::Number(0.0)),
            (Some(_), None) => Ok(Value::Missing),
            (Some(attribute), Some(input)) => typed(attribute, input, symbols),
        }
    }

    fn is_counted(&self, from: ColumnSource) -> bool {
        let ColumnSource::Behaviour(at) = from else {
            return false;
        };
        let kind = self.known.aggregates.get(at).map(|aggregate| aggregate.kind);
        matches!(
            kind,
            Some(AggregateKind::Count | AggregateKind::Sum | AggregateKind::Sessions)
        )
    }
}

fn typed(attribute: &Attribute, input: &InputValue, symbols: &Symbols) -> Result<Value, String> {
    let json = match input {
        InputValue::Boolean(value) => Json::Bool(*value),
        InputValue::Number(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
        InputValue::Text(text) if attribute.attribute_type == AttributeType::Date => match instant(text) {
            Some(time) => return Ok(Value::Time(time)),
            None => Json::String(text.clone()),
        },
        InputValue::Text(text) => Json::String(text.clone()),
        InputValue::Set(values) => Json::Array(values.iter().cloned().map(Json::String).collect()),
    };
    attribute
        .json(&json, symbols)
        .map_err(|fault| format!("`{}`: {fault}", attribute.id))
}

fn instant(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}
