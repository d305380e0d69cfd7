//! Comparisons and calculations: which kinds go together, and what each becomes.

use super::check::Checker;
use super::evaluate::calculate;
use super::fault::suggest;
use super::parse::{Arithmetic, Node, Order};
use super::program::{Moment, Number, Slot, Test};
use super::scope::Variable;
use super::typed::{Checked, Typed, not};
use crate::domain::symbol::Symbol;

impl<'a> Checker<'a, '_> {
    pub(super) fn comparison(&mut self, node: &Node, order: Order, left: Checked<'a>, right: Checked<'a>) -> Typed<'a> {
        if left.is_faulty() || right.is_faulty() {
            return Typed::Faulty;
        }
        let equality = matches!(order, Order::Equal | Order::NotEqual);
        match (&left.typed, &right.typed) {
            (Typed::Number(_), Typed::Number(_))
            | (Typed::Time(_), Typed::Time(_))
            | (Typed::Span(_), Typed::Span(_)) => self.ordered(node, order, left, right),
            (Typed::Category(slot, variable), Typed::Text(text)) if equality => {
                self.category_is(order, *slot, variable, text, &right)
            }
            (Typed::Text(text), Typed::Category(slot, variable)) if equality => {
                self.category_is(order, *slot, variable, text, &left)
            }
            (Typed::Category(one, first), Typed::Category(two, second)) if equality => {
                if first
                    .values
                    .iter()
                    .any(|(name, _)| second.values.iter().any(|(other, _)| name == other))
                {
                    return signed(order, Test::Categories(*one, *two));
                }
                let (left, right) = (self.text(&left.range), self.text(&right.range));
                self.fault(
                    node.range.clone(),
                    format!("{left} and {right} have no value in common"),
                )
            }
            (Typed::Test(_), Typed::Test(_)) if equality => match (left.typed, right.typed) {
                (Typed::Test(left), Typed::Test(right)) => signed(order, same(left, right)),
                _ => Typed::Faulty,
            },
            (Typed::Text(_), Typed::Text(_)) => self.fault_with_hint(
                node.range.clone(),
                "two texts are compared, so the outcome never changes",
                "compare an attribute; attributes stand without quotation marks",
            ),
            _ => self.incomparable(node, order, left, right),
        }
    }

    fn incomparable(&mut self, node: &Node, order: Order, left: Checked<'a>, right: Checked<'a>) -> Typed<'a> {
        let (first, second) = if left.is_literal() && !right.is_literal() {
            (right, left)
        } else {
            (left, right)
        };
        let alike = std::mem::discriminant(&first.typed) == std::mem::discriminant(&second.typed);
        let subject = first.subject(self.source);
        let categorical = matches!(
            (&first.typed, &second.typed),
            (Typed::Category(..), Typed::Category(..) | Typed::Text(_)) | (Typed::Test(_), Typed::Test(_))
        );
        if categorical {
            let message = format!("{subject}; it has no order, so only == and != can compare it");
            return self.fault(node.range.clone(), message);
        }
        let message = if alike {
            format!("{subject}; two of them cannot be compared")
        } else {
            format!("{subject}; it cannot be compared with {}", second.object(self.source))
        };
        let hint = comparison_hint(&self.text(&first.range), &first.typed, &second.typed, order);
        match hint {
            Some(hint) => self.fault_with_hint(node.range.clone(), message, hint),
            None => self.fault(node.range.clone(), message),
        }
    }

    fn ordered(&mut self, node: &Node, order: Order, left: Checked<'a>, right: Checked<'a>) -> Typed<'a> {
        match (left.typed, right.typed) {
            (Typed::Number(left), Typed::Number(right)) => {
                if matches!(order, Order::Equal | Order::NotEqual) {
                    let unreachable = unreachable_part(&left, &right).or_else(|| unreachable_part(&right, &left));
                    if let Some(message) = unreachable {
                        return self.fault(node.range.clone(), message);
                    }
                }
                Typed::Test(match (left, right) {
                    (Number::Constant(left), Number::Constant(right)) => Test::Constant(order.holds(&left, &right)),
                    (Number::Read(slot), Number::Constant(constant)) => Test::NumberIs(slot, order, constant),
                    (Number::Constant(constant), Number::Read(slot)) => {
                        Test::NumberIs(slot, order.mirrored(), constant)
                    }
                    (left, right) => Test::Numbers(order, Box::new([left, right])),
                })
            }
            (Typed::Time(left), Typed::Time(right)) | (Typed::Span(left), Typed::Span(right)) => {
                Typed::Test(match (left, right) {
                    (Moment::Constant(left), Moment::Constant(right)) => Test::Constant(order.holds(&left, &right)),
                    (left, right) => Test::Moments(order, Box::new([left, right])),
                })
            }
            _ => Typed::Faulty,
        }
    }

    fn category_is(
        &mut self,
        order: Order,
        slot: Slot,
        variable: &Variable,
        text: &str,
        written: &Checked<'a>,
    ) -> Typed<'a> {
        match self.value(slot, variable, text, written) {
            Some((_, symbol)) => signed(order, Test::CategoryIs(slot, symbol)),
            None => Typed::Faulty,
        }
    }

    /// Finds a text among the values of a category or set, with its position.
    pub(super) fn value(
        &mut self,
        slot: Slot,
        variable: &Variable,
        text: &str,
        written: &Checked<'a>,
    ) -> Option<(usize, Symbol)> {
        let found = variable.values.iter().position(|(name, _)| name == text);
        if found.is_none() {
            let message = format!("\"{text}\" is not a value of {}.{}", slot.space, variable.name);
            let hint = suggest(text, variable.values.iter().map(|(name, _)| name.as_str()), "\"");
            self.fault_with_hint(written.range.clone(), message, hint);
        }
        found.map(|position| (position, variable.values[position].1))
    }

    pub(super) fn calculation(
        &mut self,
        node: &Node,
        arithmetic: Arithmetic,
        left: Checked<'a>,
        right: Checked<'a>,
    ) -> Typed<'a> {
        use Arithmetic::{Add, Subtract};
        if left.is_faulty() || right.is_faulty() {
            return Typed::Faulty;
        }
        let message = format!(
            "{} and {}; `{}` cannot join them",
            left.subject(self.source),
            right.subject(self.source),
            arithmetic.mark()
        );
        match (left.typed, arithmetic, right.typed) {
            (Typed::Number(left), _, Typed::Number(right)) => self.numbers(node, arithmetic, left, right),
            (Typed::Time(left), Add, Typed::Span(right)) | (Typed::Span(left), Add, Typed::Time(right)) => {
                self.moments(node, Add, left, right).map_or(Typed::Faulty, Typed::Time)
            }
            (Typed::Time(left), Subtract, Typed::Span(right)) => self
                .moments(node, Subtract, left, right)
                .map_or(Typed::Faulty, Typed::Time),
            (Typed::Time(left), Subtract, Typed::Time(right)) => self
                .moments(node, Subtract, left, right)
                .map_or(Typed::Faulty, Typed::Span),
            (Typed::Span(left), Add | Subtract, Typed::Span(right)) => self
                .moments(node, arithmetic, left, right)
                .map_or(Typed::Faulty, Typed::Span),
            (Typed::Time(_) | Typed::Span(_), _, Typed::Number(_)) => self.fault_with_hint(
                node.range.clone(),
                message,
                "write a span of time, as in duration(\"7d\")",
            ),
            _ => self.fault(node.range.clone(), message),
        }
    }

    fn numbers(&mut self, node: &Node, arithmetic: Arithmetic, left: Number, right: Number) -> Typed<'a> {
        let divides = matches!(arithmetic, Arithmetic::Divide | Arithmetic::Remainder);
        if divides && matches!(right, Number::Constant(divisor) if divisor == 0.0) {
            return self.fault(node.range.clone(), "this divides by zero, which has no result");
        }
        match (left, right) {
            (Number::Constant(left), Number::Constant(right)) => match calculate(arithmetic, left, right) {
                Some(value) => Typed::Number(Number::Constant(value)),
                None => self.fault(node.range.clone(), "the result of this is too large"),
            },
            (left, right) => Typed::Number(Number::Calculate(arithmetic, Box::new([left, right]))),
        }
    }

    fn moments(&mut self, node: &Node, arithmetic: Arithmetic, left: Moment, right: Moment) -> Option<Moment> {
        let subtract = arithmetic == Arithmetic::Subtract;
        if let (Moment::Constant(left), Moment::Constant(right)) = (&left, &right) {
            let sum = if subtract {
                left.checked_sub(*right)
            } else {
                left.checked_add(*right)
            };
            if sum.is_none() {
                self.fault(node.range.clone(), "the result of this is too far in time");
            }
            return sum.map(Moment::Constant);
        }
        let both = Box::new([left, right]);
        Some(if subtract {
            Moment::Minus(both)
        } else {
            Moment::Plus(both)
        })
    }

    pub(super) fn negate(&mut self, inner: &Node) -> Typed<'a> {
        let checked = self.checked(inner);
        let message = format!("{}; only a number can have a minus sign", checked.subject(self.source));
        match checked.typed {
            Typed::Faulty => Typed::Faulty,
            Typed::Number(Number::Constant(value)) => Typed::Number(Number::Constant(-value)),
            Typed::Number(number) => Typed::Number(Number::Negate(Box::new(number))),
            Typed::Span(_) => self.fault_with_hint(checked.range, message, "write it inside, as in duration(\"-24h\")"),
            _ => self.fault(checked.range, message),
        }
    }
}

/// Turns an equality into an inequality where that was asked for.
fn signed<'a>(order: Order, test: Test) -> Typed<'a> {
    Typed::Test(if order == Order::NotEqual { not(test) } else { test })
}

pub(super) fn same(left: Test, right: Test) -> Test {
    match (left, right) {
        (Test::Constant(wanted), test) | (test, Test::Constant(wanted)) => {
            if wanted {
                test
            } else {
                not(test)
            }
        }
        (left, right) => Test::Same(Box::new([left, right])),
    }
}

/// Says why a part of the calendar can never be this number.
pub(super) fn unreachable_part(part: &Number, constant: &Number) -> Option<String> {
    let (Number::Calendar(part), Number::Constant(value)) = (part, constant) else {
        return None;
    };
    let (least, most, counts) = part.0.part.range();
    let reachable = (least..=most).contains(value) && value.fract() == 0.0;
    (!reachable).then(|| format!("{counts}, so it is never {value}"))
}

fn comparison_hint(text: &str, first: &Typed<'_>, second: &Typed<'_>, order: Order) -> Option<String> {
    match (first, second) {
        (Typed::Time(_), Typed::Text(written)) => {
            let date = written
                .parse::<jiff::civil::Date>()
                .map_or_else(|_| "2026-01-31".to_owned(), |date| date.to_string());
            Some(format!("write timestamp(\"{date}T00:00:00Z\")"))
        }
        (Typed::Span(_), Typed::Text(_) | Typed::Number(_)) => Some("write a span, as in duration(\"7d\")".to_owned()),
        (Typed::Time(_), Typed::Span(_)) => Some(format!("compare how long ago it was: now - {text}")),
        (Typed::Time(_), Typed::Number(_)) => Some(format!(
            "ask for a part of it, as in {text}.getFullYear(), or for its age: now - {text}"
        )),
        (Typed::Number(_), Typed::Text(written)) if written.parse::<f64>().is_ok() => {
            Some(format!("write the number without quotation marks: {written}"))
        }
        (Typed::Test(_), Typed::Text(written)) if written == "true" || written == "false" => {
            Some(format!("write {written} without quotation marks"))
        }
        (Typed::Test(Test::Boolean(_)), Typed::Text(_) | Typed::Number(_)) if !text.contains(' ') => {
            Some(format!("write {text} or !{text}"))
        }
        (Typed::Test(_), Typed::Number(_)) => {
            Some("join two comparisons with &&, as in low < value && value < high".to_owned())
        }
        (Typed::Category(..) | Typed::Number(_), Typed::List(_)) if order == Order::Equal => {
            Some("write in, not ==, to look into a list".to_owned())
        }
        (Typed::Set(..), Typed::Text(written)) => Some(format!("write \"{written}\" in {text}")),
        (Typed::Set(..), Typed::Number(_)) => Some(format!("write size({text}) to count")),
        (Typed::Set(..), _) => Some(format!("ask for one value at a time, as in \"value\" in {text}")),
        _ => None,
    }
}
