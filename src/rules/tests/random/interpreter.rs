//! What expressions mean, spelled out as plainly as can be: names are names, nothing is prepared, and `None` is unknown.

use super::expression::{Compare, Moment, Number, Sign, Span, Test};
use super::world::{Known, World};

fn holds<T: PartialOrd + Copy>(compare: Compare, left: T, right: T) -> bool {
    match compare {
        Compare::Less => left < right,
        Compare::AtMost => left <= right,
        Compare::Greater => left > right,
        Compare::AtLeast => left >= right,
        Compare::Equal => left == right,
        Compare::NotEqual => left != right,
    }
}

impl World {
    /// Says whether a test is true, false or unknown.
    pub(super) fn truth(&self, test: &Test) -> Option<bool> {
        match test {
            Test::Constant(value) => Some(*value),
            Test::Read(name) => match self.known[name] {
                Known::Boolean(value) => Some(value),
                _ => None,
            },
            Test::Has(name) => Some(self.known[name] != Known::Nothing),
            Test::Not(inner) => self.truth(inner).map(|value| !value),
            Test::And(left, right) => match (self.truth(left), self.truth(right)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Test::Or(left, right) => match (self.truth(left), self.truth(right)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Test::Choose(test, yes, no) => self.truth(if self.truth(test)? { yes } else { no }),
            Test::Same(left, is, right) => Some((self.truth(left)? == self.truth(right)?) == *is),
            Test::Numbers(compare, left, right) => Some(holds(*compare, self.number(left)?, self.number(right)?)),
            Test::NumberIn(number, list) => {
                let number = self.number(number)?;
                Some(list.contains(&number))
            }
            Test::CategoryIs(name, is, value) => Some((self.name(name)? == value) == *is),
            Test::CategoryIn(name, values) => {
                let name = self.name(name)?;
                Some(values.iter().any(|value| value == name))
            }
            Test::Categories(left, is, right) => Some((self.name(left)? == self.name(right)?) == *is),
            Test::SetHas(value, name) => Some(self.names(name)?.iter().any(|name| name == value)),
            Test::SetHasCategory(category, set) => {
                let wanted = self.name(category)?;
                Some(self.names(set)?.contains(&wanted))
            }
            Test::Moments(compare, left, right) => Some(holds(*compare, self.moment(left)?, self.moment(right)?)),
            Test::Spans(compare, left, right) => Some(holds(*compare, self.span(left)?, self.span(right)?)),
        }
    }

    fn name(&self, name: &str) -> Option<&'static str> {
        match self.known[name] {
            Known::Name(value) => Some(value),
            _ => None,
        }
    }

    fn names(&self, name: &str) -> Option<&[&'static str]> {
        match &self.known[name] {
            Known::Names(values) => Some(values),
            _ => None,
        }
    }

    fn number(&self, number: &Number) -> Option<f64> {
        match number {
            Number::Constant(value) => Some(*value),
            Number::Read(name) => match self.known[name] {
                Known::Number(value) => Some(value),
                _ => None,
            },
            Number::Size(name) => self.names(name).map(|names| names.len() as f64),
            Number::Negate(inner) => self.number(inner).map(|value| -value),
            Number::Calculate(left, sign, right) => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                let result = match sign {
                    Sign::Add => left + right,
                    Sign::Subtract => left - right,
                    Sign::Multiply => left * right,
                    Sign::Divide => left / right,
                    Sign::Remainder => left % right,
                };
                result.is_finite().then_some(result)
            }
            Number::Choose(test, yes, no) => self.number(if self.truth(test)? { yes } else { no }),
            Number::Part(moment, part) => {
                let seconds = self.moment(moment)?.div_euclid(1_000);
                let part = match *part {
                    "getSeconds()" => seconds.rem_euclid(60),
                    "getHours()" => seconds.div_euclid(3_600).rem_euclid(24),
                    // 1970 began on a Thursday.
                    "getDayOfWeek()" => (seconds.div_euclid(86_400) + 4).rem_euclid(7),
                    // Kathmandu is 5 hours 45 minutes ahead.
                    _ => (seconds.div_euclid(60) + 45).rem_euclid(60),
                };
                Some(part as f64)
            }
        }
    }

    fn moment(&self, moment: &Moment) -> Option<i64> {
        match moment {
            Moment::Now => Some(self.now),
            Moment::Constant(millis) => Some(*millis),
            Moment::Read(name) => match self.known[name] {
                Known::Millis(millis) => Some(millis),
                _ => None,
            },
            Moment::Plus(moment, span) => Some(self.moment(moment)? + self.span(span)?),
            Moment::Minus(moment, span) => Some(self.moment(moment)? - self.span(span)?),
            Moment::Choose(test, yes, no) => self.moment(if self.truth(test)? { yes } else { no }),
        }
    }

    fn span(&self, span: &Span) -> Option<i64> {
        match span {
            Span::Constant(millis) => Some(*millis),
            Span::Between(left, right) => Some(self.moment(left)? - self.moment(right)?),
            Span::Sum(left, true, right) => Some(self.span(left)? + self.span(right)?),
            Span::Sum(left, false, right) => Some(self.span(left)? - self.span(right)?),
        }
    }
}
