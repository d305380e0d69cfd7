//! Values and dates as YAML and JSON write them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::Attribute;
use super::values::ValueFault;
use crate::domain::symbol::Symbols;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

impl Attribute {
    /// Judges a value as JSON has it: a number, a boolean, a text for a category or a date, a list of texts for a set;
    /// `null` is not known.
    pub(super) fn json(&self, json: &Json, symbols: &Symbols) -> Result<Value, ValueFault> {
        match json {
            Json::Null => Ok(Value::Missing),
            Json::Number(number) => self.number(number.as_f64().unwrap_or(f64::NAN)),
            Json::Bool(truth) => self.boolean(*truth),
            Json::String(text) => self.text(text),
            Json::Array(values) => match values.iter().map(Json::as_str).collect::<Option<Vec<_>>>() {
                Some(texts) => self.set(texts, symbols),
                None => Err(self.wrong("this", "a list")),
            },
            Json::Object(_) => Err(self.wrong("this", "keys with values")),
        }
    }

    fn wrong(&self, given: &str, offered: &'static str) -> ValueFault {
        ValueFault::WrongType {
            given: given.to_owned(),
            offered,
            expected: self.attribute_type.phrase(),
        }
    }
}

/// Reads a date, exactly `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    if text.len() == 10 { text.parse().ok() } else { None }
}

/// Returns the first instant of a date in a time zone: midnight, except where daylight saving skips it.
pub(super) fn midnight(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let instant = zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}
