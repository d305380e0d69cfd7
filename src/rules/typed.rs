//! Expressions with their types, and how messages speak of them.

use std::ops::Range;

use super::program::{Moment, Number, Slot, Test};
use super::scope::{Kind, Variable};

/// An expression after checking, lowered as far as it can be without its surroundings.
#[derive(Debug)]
pub(super) enum Typed<'a> {
    Test(Test),
    Number(Number),
    Time(Moment),
    Span(Moment),
    Category(Slot, &'a Variable),
    Set(Slot, &'a Variable),
    Text(String),
    List(Vec<Checked<'a>>),
    /// A fault has been reported; what depends on it is not judged.
    Faulty,
}

/// A typed expression and where it stands.
#[derive(Debug)]
pub(super) struct Checked<'a> {
    pub(super) range: Range<usize>,
    pub(super) typed: Typed<'a>,
}

/// The longest piece of source that a message repeats, in characters.
const QUOTED_LENGTH_MAX: usize = 60;

impl Checked<'_> {
    pub(super) fn is_faulty(&self) -> bool {
        matches!(self.typed, Typed::Faulty)
    }

    /// Tells whether it is written out rather than read from somewhere.
    pub(super) fn is_literal(&self) -> bool {
        matches!(
            self.typed,
            Typed::Text(_) | Typed::List(_) | Typed::Number(Number::Constant(_)) | Typed::Test(Test::Constant(_))
        )
    }

    /// Returns the type with its article.
    pub(super) fn phrase(&self) -> &'static str {
        match self.typed {
            Typed::Test(_) => Kind::Boolean.phrase(),
            Typed::Number(_) => Kind::Number.phrase(),
            Typed::Time(_) => Kind::Time.phrase(),
            Typed::Span(_) => "a span of time",
            Typed::Category(..) => Kind::Category.phrase(),
            Typed::Set(..) => Kind::Set.phrase(),
            Typed::Text(_) => "a text",
            Typed::List(_) => "a list",
            Typed::Faulty => "not known",
        }
    }

    /// Says what it is, as the beginning of a sentence.
    pub(super) fn subject(&self, source: &str) -> String {
        format!("{} is {}", excerpt(source, &self.range), self.phrase())
    }

    /// Says what it is, in the middle of a sentence.
    pub(super) fn object(&self, source: &str) -> String {
        let text = excerpt(source, &self.range);
        match self.typed {
            Typed::Text(_) => format!("the text {text}"),
            Typed::Number(Number::Constant(_)) => format!("the number {text}"),
            Typed::Test(Test::Constant(_)) => text,
            Typed::List(_) => format!("the list {text}"),
            _ => format!("{text}, {}", self.phrase()),
        }
    }

    /// Says how to make a yes/no value of it.
    pub(super) fn yes_no_hint(&self, source: &str) -> Option<String> {
        let text = excerpt(source, &self.range);
        match &self.typed {
            Typed::Number(Number::Choose(_)) => Some(format!("compare it, as in ({text}) > 0")),
            Typed::Number(_) => Some(format!("compare it, as in {text} > 0")),
            Typed::Category(_, variable) => {
                let value = variable.values.first().map_or("value", |(name, _)| name);
                Some(format!("compare it, as in {text} == \"{value}\""))
            }
            Typed::Set(_, variable) => {
                let value = variable.values.first().map_or("value", |(name, _)| name);
                Some(format!("ask for a value, as in \"{value}\" in {text}"))
            }
            Typed::Time(Moment::Read(_)) => Some(format!("compare it, as in {text} < now")),
            Typed::Time(_) => Some(format!(
                "compare it, as in {text} < timestamp(\"2026-01-31T00:00:00Z\")"
            )),
            Typed::Span(_) => Some(format!("compare it, as in {text} > duration(\"24h\")")),
            Typed::Test(_) | Typed::Text(_) | Typed::List(_) | Typed::Faulty => None,
        }
    }
}

/// Returns a piece of the source, shortened when it is long.
pub(super) fn excerpt(source: &str, range: &Range<usize>) -> String {
    let text = source.get(range.clone()).unwrap_or(source);
    if text.chars().count() <= QUOTED_LENGTH_MAX {
        return text.to_owned();
    }
    text.chars().take(QUOTED_LENGTH_MAX - 1).chain(['\u{2026}']).collect()
}

/// Joins tests with `&&`: flat, without what is decided at compile time.
pub(super) fn all(left: Test, right: Test) -> Test {
    let mut tests = Vec::new();
    for test in [left, right] {
        match test {
            Test::Constant(true) => {}
            Test::Constant(false) => return Test::Constant(false),
            Test::All(inner) => tests.extend(inner),
            other => tests.push(other),
        }
    }
    match tests.len() {
        0 => Test::Constant(true),
        1 => tests.remove(0),
        _ => Test::All(tests.into()),
    }
}

/// Joins tests with `||`: flat, without what is decided at compile time.
pub(super) fn any(left: Test, right: Test) -> Test {
    let mut tests = Vec::new();
    for test in [left, right] {
        match test {
            Test::Constant(false) => {}
            Test::Constant(true) => return Test::Constant(true),
            Test::Any(inner) => tests.extend(inner),
            other => tests.push(other),
        }
    }
    match tests.len() {
        0 => Test::Constant(false),
        1 => tests.remove(0),
        _ => Test::Any(tests.into()),
    }
}

/// Negates a test.
pub(super) fn not(test: Test) -> Test {
    match test {
        Test::Constant(holds) => Test::Constant(!holds),
        Test::Not(inner) => *inner,
        other => Test::Not(Box::new(other)),
    }
}
