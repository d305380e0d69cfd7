//! A value as JSON or YAML has it, made into a value of an attribute's type.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::{Attribute, AttributeType};
use crate::domain::symbol::Symbols;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::rules::nearest;

/// Why a value does not fit an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong, and what is allowed.
    pub message: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

impl Misfit {
    fn new(message: String) -> Self {
        Self { message, hint: None }
    }
}

impl Attribute {
    /// Makes a value of this attribute's type from JSON: a number, a boolean, a text for a category or a date
    /// (`YYYY-MM-DD`), a list of texts for a set; `null` is not known.
    ///
    /// # Errors
    ///
    /// What was given and what is allowed.
    pub fn value_of(&self, json: &Json, symbols: &Symbols) -> Result<Value, Misfit> {
        match (self.attribute_type, json) {
            (_, Json::Null) => Ok(Value::Missing),
            (AttributeType::Number, Json::Number(number)) => self.number(number.as_f64().unwrap_or(f64::NAN)),
            (AttributeType::Boolean, Json::Bool(value)) => Ok(Value::Boolean(*value)),
            (AttributeType::Category, Json::String(text)) => self.category(text),
            (AttributeType::Set, Json::Array(values)) => self.set(values, symbols),
            (AttributeType::Date, Json::String(text)) => self.date(text),
            (wanted, _) => Err(Misfit::new(format!("`{}` must be {}", self.id, phrase(wanted)))),
        }
    }

    fn number(&self, number: f64) -> Result<Value, Misfit> {
        match self.range {
            _ if !number.is_finite() => Err(Misfit::new(format!("`{}` must be a finite number", self.id))),
            Some((low, high)) if number < low || number > high => Err(Misfit::new(format!(
                "`{}` must be from {low} to {high}, not {number}",
                self.id
            ))),
            _ => Ok(Value::Number(number)),
        }
    }

    fn category(&self, text: &str) -> Result<Value, Misfit> {
        match self.values.iter().find(|(name, _)| **name == *text) {
            Some((_, symbol)) => Ok(Value::Category(*symbol)),
            None => Err(self.not_a_value(text)),
        }
    }

    fn set(&self, values: &[Json], symbols: &Symbols) -> Result<Value, Misfit> {
        let mut bits = 0;
        for value in values {
            let Json::String(text) = value else {
                return Err(Misfit::new(format!(
                    "`{}` must be {}",
                    self.id,
                    phrase(AttributeType::Set)
                )));
            };
            let known = self.values.iter().find(|(name, _)| **name == **text);
            let (_, symbol) = known.ok_or_else(|| self.not_a_value(text))?;
            let bit = symbols.set_values(self.symbol).iter().position(|value| value == symbol);
            bits |= 1 << bit.unwrap_or(0);
        }
        Ok(Value::Set(bits))
    }

    fn date(&self, text: &str) -> Result<Value, Misfit> {
        match parse_date(text).and_then(|date| midnight(date, &TimeZone::UTC)) {
            Some(time) => Ok(Value::Time(time)),
            None => Err(Misfit::new(format!(
                "`{}` must be {}, not `{text}`",
                self.id,
                phrase(AttributeType::Date)
            ))),
        }
    }

    /// Says that the attribute has no such value, and which there are.
    pub(super) fn not_a_value(&self, text: &str) -> Misfit {
        let names = || self.values.iter().map(|(name, _)| &**name);
        Misfit {
            message: format!("`{}` has no value `{text}`", self.id),
            hint: Some(suggest(text, names(), "allowed are")),
        }
    }
}

const fn phrase(wanted: AttributeType) -> &'static str {
    match wanted {
        AttributeType::Number => "a number, without quotes",
        AttributeType::Boolean => "true or false, without quotes",
        AttributeType::Category => "one of its values, as a text",
        AttributeType::Set => "a list of its values, as in `[a, b]`",
        AttributeType::Date => "a date as `YYYY-MM-DD`",
    }
}

/// Names that fit into one hint.
const NAMES_LISTED_MAX: usize = 12;

/// Says which name was probably meant, or else which there are.
pub(super) fn suggest<'a>(wrong: &str, names: impl Iterator<Item = &'a str> + Clone, listed: &str) -> String {
    if let Some(name) = nearest(wrong, names.clone()) {
        return format!("did you mean `{name}`?");
    }
    let shown: Vec<String> = names
        .clone()
        .take(NAMES_LISTED_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = names.count().saturating_sub(shown.len());
    match (shown.is_empty(), more) {
        (true, _) => "none is declared".to_owned(),
        (_, 0) => format!("{listed} {}", shown.join(", ")),
        _ => format!("{listed} {} and {more} more", shown.join(", ")),
    }
}

/// Reads a date, exactly `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    if text.len() == 10 { text.parse().ok() } else { None }
}

/// Returns the first instant of a date in a time zone; the midnight, except where daylight saving skips it.
pub(super) fn midnight(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let instant = zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}
