//! Expressions as trees of their own, which write themselves as source.

use std::fmt;

use super::maker::{Draw, NUMBERS};
use super::world::Schema;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    NotEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A variable's full name, as in `profile.v0`.
pub(super) type Name = String;

#[derive(Clone, Debug)]
pub(super) enum Test {
    Constant(bool),
    Read(Name),
    Has(Name),
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Choose(Box<Test>, Box<Test>, Box<Test>),
    /// Whether the two are the same, or are not.
    Same(Box<Test>, bool, Box<Test>),
    Numbers(Compare, Number, Number),
    NumberIn(Number, Vec<f64>),
    /// Whether the category has the value, or has another.
    CategoryIs(Name, bool, String),
    CategoryIn(Name, Vec<String>),
    Categories(Name, bool, Name),
    SetHas(String, Name),
    SetHasCategory(Name, Name),
    Moments(Compare, Moment, Moment),
    Spans(Compare, Span, Span),
}

#[derive(Clone, Debug)]
pub(super) enum Number {
    Constant(f64),
    Read(Name),
    Size(Name),
    Negate(Box<Number>),
    Calculate(Box<Number>, Sign, Box<Number>),
    Choose(Box<Test>, Box<Number>, Box<Number>),
    Part(Box<Moment>, &'static str),
}

#[derive(Clone, Debug)]
pub(super) enum Moment {
    Now,
    Constant(i64),
    Read(Name),
    Plus(Box<Moment>, Box<Span>),
    Minus(Box<Moment>, Box<Span>),
    Choose(Box<Test>, Box<Moment>, Box<Moment>),
}

#[derive(Clone, Debug)]
pub(super) enum Span {
    Constant(i64),
    Between(Box<Moment>, Box<Moment>),
    /// The sum of two, or their difference.
    Sum(Box<Span>, bool, Box<Span>),
}

impl Test {
    /// Returns a copy that differs in some constants.
    pub(super) fn adapted(&self, schema: &Schema, draw: &mut Draw) -> Self {
        let mut adapted = self.clone();
        adapted.adapt(schema, draw);
        adapted
    }

    fn adapt(&mut self, schema: &Schema, draw: &mut Draw) {
        match self {
            Self::Not(inner) => inner.adapt(schema, draw),
            Self::And(left, right) | Self::Or(left, right) | Self::Same(left, _, right) => {
                left.adapt(schema, draw);
                right.adapt(schema, draw);
            }
            Self::Choose(test, yes, no) => [test, yes, no].into_iter().for_each(|each| each.adapt(schema, draw)),
            Self::Numbers(_, left, right) => {
                for number in [left, right] {
                    if let Number::Constant(constant) = number {
                        *constant = draw.one_of(&NUMBERS);
                    }
                }
            }
            Self::NumberIn(_, list) => list[0] = draw.one_of(&NUMBERS),
            Self::CategoryIn(name, values) => *values = schema.some_values(name, draw),
            Self::CategoryIs(name, _, value) | Self::SetHas(value, name) => {
                *value = schema.some_values(name, draw).remove(0);
            }
            Self::Moments(_, _, Moment::Constant(millis)) => *millis += draw.between(-100, 100) * 1_000,
            Self::Spans(_, _, Span::Constant(millis)) => *millis = draw.between(-100, 100) * 1_000,
            _ => {}
        }
    }
}

impl Number {
    /// Tells whether it reads nothing.
    pub(super) fn is_constant(&self) -> bool {
        match self {
            Self::Constant(_) => true,
            Self::Negate(inner) => inner.is_constant(),
            Self::Calculate(left, _, right) => left.is_constant() && right.is_constant(),
            Self::Read(_) | Self::Size(_) | Self::Choose(..) | Self::Part(..) => false,
        }
    }
}

fn list(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    quoted.join(", ")
}

impl fmt::Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        })
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        })
    }
}

fn equal(is: bool) -> &'static str {
    if is { "==" } else { "!=" }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value}"),
            Self::Read(name) => write!(f, "{name}"),
            Self::Has(name) => write!(f, "has({name})"),
            Self::Not(inner) => write!(f, "!({inner})"),
            Self::And(left, right) => write!(f, "({left} && {right})"),
            Self::Or(left, right) => write!(f, "({left} || {right})"),
            Self::Choose(test, yes, no) => write!(f, "({test} ? {yes} : {no})"),
            Self::Same(left, is, right) => write!(f, "(({left}) {} ({right}))", equal(*is)),
            Self::Numbers(compare, left, right) => write!(f, "({left} {compare} {right})"),
            Self::NumberIn(number, list) => write!(f, "({number} in {list:?})"),
            Self::CategoryIs(name, is, value) => write!(f, "({name} {} \"{value}\")", equal(*is)),
            Self::CategoryIn(name, values) => write!(f, "({name} in [{}])", list(values)),
            Self::Categories(left, is, right) => write!(f, "({left} {} {right})", equal(*is)),
            Self::SetHas(value, name) => write!(f, "(\"{value}\" in {name})"),
            Self::SetHasCategory(name, set) => write!(f, "({name} in {set})"),
            Self::Moments(compare, left, right) => write!(f, "({left} {compare} {right})"),
            Self::Spans(compare, left, right) => write!(f, "({left} {compare} {right})"),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "({value:?})"),
            Self::Read(name) => write!(f, "{name}"),
            Self::Size(name) => write!(f, "size({name})"),
            Self::Negate(inner) => write!(f, "-({inner})"),
            Self::Calculate(left, sign, right) => write!(f, "({left} {sign} {right})"),
            Self::Choose(test, yes, no) => write!(f, "({test} ? {yes} : {no})"),
            Self::Part(moment, part) => write!(f, "({moment}).{part}"),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => write!(f, "now"),
            Self::Constant(millis) => {
                let time = jiff::Timestamp::from_millisecond(*millis).unwrap();
                write!(f, "timestamp(\"{time:.3}\")")
            }
            Self::Read(name) => write!(f, "{name}"),
            Self::Plus(moment, span) => write!(f, "({moment} + {span})"),
            Self::Minus(moment, span) => write!(f, "({moment} - {span})"),
            Self::Choose(test, yes, no) => write!(f, "({test} ? {yes} : {no})"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(millis) => write!(f, "duration(\"{millis}ms\")"),
            Self::Between(left, right) => write!(f, "({left} - {right})"),
            Self::Sum(left, is_sum, right) => write!(f, "({left} {} {right})", if *is_sum { "+" } else { "-" }),
        }
    }
}
