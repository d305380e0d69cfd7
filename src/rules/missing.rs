//! Finds the variable whose absence makes a condition unknown, following the same path as the evaluation.

use super::evaluate;
use super::facts::{Facts, Truth};
use super::program::{Moment, Number, Slot, Test};

/// Returns the first absent slot, in the order of the source, that a test of unknown outcome needed; `None` when the
/// outcome is known, or unknown because a calculation has no result.
pub(super) fn test(test: &Test, facts: &Facts<'_>) -> Option<Slot> {
    if evaluate::test(test, facts).truth != Truth::Unknown {
        return None;
    }
    match test {
        Test::Constant(_) | Test::Present(..) => None,
        Test::All(tests) | Test::Any(tests) => tests.iter().find_map(|inner| self::test(inner, facts)),
        Test::Same(tests) => tests.iter().find_map(|inner| self::test(inner, facts)),
        Test::Not(inner) => self::test(inner, facts),
        Test::Choose(tests) => branch(&tests[0], facts, |yes| {
            self::test(&tests[if yes { 1 } else { 2 }], facts)
        }),
        Test::Boolean(slot) => absent(evaluate::boolean(*slot, facts), *slot),
        Test::NumberIs(slot, ..) => absent(evaluate::read_number(*slot, facts), *slot),
        Test::Numbers(_, numbers) => numbers.iter().find_map(|inner| number(inner, facts)),
        Test::NumberIn(needle, _) => number(needle, facts),
        Test::CategoryIs(slot, _) | Test::CategoryIn(slot, _) => absent(evaluate::category(*slot, facts), *slot),
        Test::Categories(left, right) => absent(evaluate::category(*left, facts), *left)
            .or_else(|| absent(evaluate::category(*right, facts), *right)),
        Test::SetHas(slot, _) => absent(evaluate::set(*slot, facts), *slot),
        Test::SetHasCategory(needle, slot, _) => {
            absent(evaluate::category(*needle, facts), *needle).or_else(|| absent(evaluate::set(*slot, facts), *slot))
        }
        Test::Moments(_, moments) => moments.iter().find_map(|inner| moment(inner, facts)),
    }
}

fn number(number: &Number, facts: &Facts<'_>) -> Option<Slot> {
    match number {
        Number::Constant(_) => None,
        Number::Read(slot) => absent(evaluate::read_number(*slot, facts), *slot),
        Number::Size(slot) => absent(evaluate::set(*slot, facts), *slot),
        Number::Negate(inner) => self::number(inner, facts),
        Number::Calculate(_, numbers) => numbers.iter().find_map(|inner| self::number(inner, facts)),
        Number::Choose(choice) => branch(&choice.0, facts, |yes| {
            self::number(if yes { &choice.1 } else { &choice.2 }, facts)
        }),
        Number::Calendar(part) => moment(&part.1, facts),
    }
}

fn moment(moment: &Moment, facts: &Facts<'_>) -> Option<Slot> {
    match moment {
        Moment::Constant(_) | Moment::Now => None,
        Moment::Read(slot) => absent(evaluate::time(*slot, facts), *slot),
        Moment::Plus(moments) | Moment::Minus(moments) => moments.iter().find_map(|inner| self::moment(inner, facts)),
        Moment::Choose(choice) => branch(&choice.0, facts, |yes| {
            self::moment(if yes { &choice.1 } else { &choice.2 }, facts)
        }),
    }
}

fn absent<T: Copy>(value: Option<T>, slot: Slot) -> Option<Slot> {
    value.is_none().then_some(slot)
}

fn branch(condition: &Test, facts: &Facts<'_>, chosen: impl FnOnce(bool) -> Option<Slot>) -> Option<Slot> {
    match evaluate::test(condition, facts).truth {
        Truth::True => chosen(true),
        Truth::False => chosen(false),
        Truth::Unknown => test(condition, facts),
    }
}
