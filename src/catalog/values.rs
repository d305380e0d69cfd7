//! What an attribute accepts: the one place that judges a single value, whoever brings it.
//!
//! Files, calls and the demo population all come through here, so the same value is refused everywhere, in the same
//! words. A value is judged by the attribute's type first, then by its list of values or its range; nothing is ever
//! rounded, clipped or guessed. That nothing is known is not a value: callers say so with [`Value::Missing`] themselves.

use super::source::AttributeType;
use super::{Attribute, Schema};
use crate::domain::symbol::Symbols;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::rules::nearest;

/// Names that fit into one message.
const NAMES_LISTED_MAX: usize = 12;
/// Characters of a refused value that a message repeats.
const GIVEN_CHARACTERS_MAX: usize = 64;

/// Why a value was refused. The message does not name the attribute: whoever asked knows where the value stood.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ValueFault {
    /// The attribute is of another type.
    #[error("{given} is {offered}, but {expected} is wanted")]
    WrongType {
        /// What was given, shortened.
        given: String,
        /// What it is.
        offered: &'static str,
        /// What the attribute holds.
        expected: &'static str,
    },
    /// A category or set does not have this value.
    #[error("`{given}` is not an allowed value; {hint}")]
    NotAllowed {
        /// What was given, shortened.
        given: String,
        /// What was probably meant, or else what there is.
        hint: String,
    },
    /// Not a number that can be compared: infinite, or not a number at all.
    #[error("{0} is not a finite number")]
    NotFinite(f64),
    /// The number is outside the attribute's range.
    #[error("{given} is outside the allowed range {lowest} to {highest}")]
    OutOfRange {
        /// What was given.
        given: f64,
        /// The lowest allowed number.
        lowest: f64,
        /// The highest allowed number.
        highest: f64,
    },
    /// The text is no date of the calendar.
    #[error("`{given}` is not a date; write it as in 2026-03-31")]
    NotADate {
        /// What was given, shortened.
        given: String,
    },
}

impl ValueFault {
    /// Returns the fault in two or three words, the same for all values, by which faults can be counted.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::WrongType { .. } => "wrong type",
            Self::NotAllowed { .. } => "value not allowed",
            Self::NotFinite(_) => "not a finite number",
            Self::OutOfRange { .. } => "out of range",
            Self::NotADate { .. } => "not a date",
        }
    }
}

impl AttributeType {
    /// Returns the type with its article, as messages say it.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Category => "one of a category's values",
            Self::Set => "a list of a set's values",
            Self::Date => "a date",
        }
    }
}

impl Attribute {
    /// Judges a number.
    ///
    /// # Errors
    /// When the attribute holds no number, or this one is not finite or outside its range.
    pub fn number(&self, number: f64) -> Result<Value, ValueFault> {
        self.expect_type(AttributeType::Number, || number.to_string(), "a number")?;
        if !number.is_finite() {
            return Err(ValueFault::NotFinite(number));
        }
        match self.range {
            Some((lowest, highest)) if number < lowest || number > highest => Err(ValueFault::OutOfRange {
                given: number,
                lowest,
                highest,
            }),
            _ => Ok(Value::Number(number)),
        }
    }

    /// Judges a yes or no.
    ///
    /// # Errors
    /// When the attribute holds something else.
    pub fn boolean(&self, truth: bool) -> Result<Value, ValueFault> {
        self.expect_type(AttributeType::Boolean, || truth.to_string(), "true or false")?;
        Ok(Value::Boolean(truth))
    }

    /// Judges a text: a category's value, or a date.
    ///
    /// # Errors
    /// When the attribute holds neither, the category has no such value, or the text is no date.
    pub fn text(&self, text: &str) -> Result<Value, ValueFault> {
        match self.attribute_type {
            AttributeType::Category => self
                .values
                .iter()
                .find(|(name, _)| &**name == text)
                .map(|&(_, symbol)| Value::Category(symbol))
                .ok_or_else(|| self.not_allowed(text)),
            AttributeType::Date => date(text),
            _ => Err(self.wrong_type(format!("`{}`", shortened(text)), "a text")),
        }
    }

    /// Judges the values of a set; `symbols` is the table of the same catalog. A value given twice counts once.
    ///
    /// # Errors
    /// When the attribute holds something else, or at the first value that the set does not have.
    pub fn set<'a>(&self, texts: impl IntoIterator<Item = &'a str>, symbols: &Symbols) -> Result<Value, ValueFault> {
        self.expect_type(AttributeType::Set, || "the list".to_owned(), "a list")?;
        let bits = symbols.set_values(self.symbol);
        let mut mask = 0;
        for text in texts {
            let known = self
                .values
                .iter()
                .find(|(name, _)| &**name == text)
                .map(|entry| entry.1);
            let bit = known.and_then(|symbol| bits.iter().position(|&owner| owner == symbol));
            mask |= 1_u64 << bit.ok_or_else(|| self.not_allowed(text))?;
        }
        Ok(Value::Set(mask))
    }

    fn expect_type(
        &self,
        offered_type: AttributeType,
        given: impl FnOnce() -> String,
        offered: &'static str,
    ) -> Result<(), ValueFault> {
        if self.attribute_type == offered_type {
            Ok(())
        } else {
            Err(self.wrong_type(given(), offered))
        }
    }

    fn wrong_type(&self, given: String, offered: &'static str) -> ValueFault {
        ValueFault::WrongType {
            given,
            offered,
            expected: self.attribute_type.phrase(),
        }
    }

    fn not_allowed(&self, text: &str) -> ValueFault {
        let names = self.values.iter().map(|(name, _)| &**name);
        ValueFault::NotAllowed {
            given: shortened(text),
            hint: hint(text, names),
        }
    }
}

impl Schema {
    /// Finds an attribute by its id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| &*attribute.id == id)
    }
}

/// Says which name was probably meant, or else which there are.
pub fn hint<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if let Some(name) = nearest(wrong, names.iter().copied()) {
        return format!("did you mean `{name}`?");
    }
    if names.is_empty() {
        return "there is none to choose from".to_owned();
    }
    let rest = names.len().saturating_sub(NAMES_LISTED_MAX);
    let listed = names.into_iter().take(NAMES_LISTED_MAX).collect::<Vec<_>>().join(", ");
    if rest == 0 {
        format!("allowed are {listed}")
    } else {
        format!("allowed are {listed} and {rest} more")
    }
}

/// Cuts a text that a message repeats, so that no input can blow a message up.
#[must_use]
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(GIVEN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn date(text: &str) -> Result<Value, ValueFault> {
    let wrong = || ValueFault::NotADate { given: shortened(text) };
    let plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let parsed: jiff::civil::Date = if plain {
        text.parse().map_err(|_| wrong())?
    } else {
        return Err(wrong());
    };
    let midnight = jiff::tz::TimeZone::UTC
        .to_timestamp(parsed.at(0, 0, 0, 0))
        .map_err(|_| wrong())?;
    Ok(Value::Time(Timestamp::from_millis(midnight.as_millisecond())))
}
