//! One cell of a row: from its text to a value, in the order that [`super::mapping`] tells.

use std::collections::HashMap;

use crate::catalog::values::shortened;
use crate::catalog::{Attribute, AttributeType};
use crate::domain::entry::ProfileChange;
use crate::domain::symbol::{Symbol, Symbols};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// What a cell is written to.
#[derive(Debug)]
pub(super) enum Destination {
    Attribute(Attribute),
    OptOut(Symbol),
    OptOutOfAll,
}

/// How one cell of each row is read.
#[derive(Debug)]
pub(super) struct CellPlan {
    pub(super) at: usize,
    pub(super) column: String,
    pub(super) destination: Destination,
    pub(super) missing: Vec<String>,
    pub(super) missing_numbers: Vec<f64>,
    pub(super) values: HashMap<String, String>,
    pub(super) separator: String,
    pub(super) date_format: Option<String>,
    pub(super) times: f64,
    pub(super) plus: f64,
}

/// The kind of a fault and its message.
pub(super) type CellFault = (&'static str, String);

/// Returns the trimmed text of a row's cell.
pub(super) fn text_of(cells: &csv::ByteRecord, at: usize) -> Result<&str, CellFault> {
    let bytes = cells.get(at).unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.trim()),
        Err(_) => Err(("not UTF-8", "is not UTF-8 text; save the file as UTF-8".to_owned())),
    }
}

impl CellPlan {
    /// Reads a trimmed text.
    pub(super) fn read(&self, text: &str, symbols: &Symbols) -> Result<Value, CellFault> {
        if text.is_empty() || self.missing.iter().any(|word| word == text) {
            return Ok(Value::Missing);
        }
        let text = self.values.get(text).map_or(text, String::as_str);
        let Destination::Attribute(attribute) = &self.destination else {
            return yes_or_no(text).map(Value::Boolean).ok_or_else(|| {
                (
                    "wrong type",
                    format!("`{}` is neither yes nor no; list it under `values`", shortened(text)),
                )
            });
        };
        let judged = match attribute.attribute_type {
            AttributeType::Number => match text.parse::<f64>() {
                Ok(number) if self.missing_numbers.contains(&number) => return Ok(Value::Missing),
                Ok(number) => attribute.number(number * self.times + self.plus),
                Err(_) => attribute.text(text),
            },
            AttributeType::Boolean => match yes_or_no(text) {
                Some(truth) => attribute.boolean(truth),
                None => attribute.text(text),
            },
            AttributeType::Category => attribute.text(text),
            AttributeType::Set => {
                let parts = text
                    .split(self.separator.as_str())
                    .map(str::trim)
                    .filter(|part| !part.is_empty());
                let parts = parts.map(|part| self.values.get(part).map_or(part, String::as_str));
                attribute.set(parts, symbols)
            }
            AttributeType::Date => match &self.date_format {
                Some(format) => return date(text, format),
                None => attribute.text(text),
            },
        };
        judged.map_err(|fault| (fault.kind(), fault.to_string()))
    }

    /// An opt-out that is not known stays as it is; an attribute that is not known becomes unknown.
    pub(super) fn put(&self, value: Value, change: &mut ProfileChange) {
        match (&self.destination, value) {
            (Destination::Attribute(attribute), value) => change.attributes.push((attribute.symbol, value)),
            (Destination::OptOut(channel), Value::Boolean(out)) => change.opt_outs.push((*channel, out)),
            (Destination::OptOutOfAll, Value::Boolean(out)) => change.opt_out_of_all = Some(out),
            _ => {}
        }
    }
}

fn date(text: &str, format: &str) -> Result<Value, CellFault> {
    let midnight = jiff::civil::Date::strptime(format, text)
        .and_then(|date| jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)));
    match midnight {
        Ok(midnight) => Ok(Value::Time(Timestamp::from_millis(midnight.as_millisecond()))),
        Err(_) => Err((
            "not a date",
            format!("`{}` is not a date written as `{format}`", shortened(text)),
        )),
    }
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "true" | "yes" => Some(true),
        "false" | "no" => Some(false),
        _ => None,
    }
}
