//! Puts the constants of one offer into a condition: what reads a value of the offer is decided when a catalog is loaded.
//!
//! The outcome for any other facts is the same as before, all three values of it. What the offer does not have is left as
//! it stands, since it reads as missing again when the condition is evaluated without an offer.

use crate::domain::symbol::Symbol;
use crate::domain::value::Value;
use crate::rules::compare::same;
use crate::rules::evaluate;
use crate::rules::facts::Facts;
use crate::rules::program::{Moment, Number, Slot, Test};
use crate::rules::scope::Space;
use crate::rules::typed::{all, any, not};

/// The values of the offer whose constants are put in.
#[derive(Clone, Copy)]
pub(super) struct Constants<'a>(Facts<'a>);

impl<'a> Constants<'a> {
    pub(super) fn new(offer: &'a [Value]) -> Self {
        Self(Facts {
            offer,
            ..Facts::default()
        })
    }

    fn number(&self, slot: Slot) -> Option<f64> {
        self.read(slot, evaluate::read_number)
    }

    fn read<T>(&self, slot: Slot, read: impl FnOnce(Slot, &Facts<'_>) -> Option<T>) -> Option<T> {
        (slot.space == Space::Offer).then(|| read(slot, &self.0)).flatten()
    }
}

/// Returns the test with the constants in it.
pub(super) fn test(test: &Test, constants: &Constants<'_>) -> Test {
    let decided = |holds: Option<bool>| holds.map_or_else(|| test.clone(), Test::Constant);
    match test {
        Test::All(tests) => join(tests, constants, true, all),
        Test::Any(tests) => join(tests, constants, false, any),
        Test::Not(inner) => not(self::test(inner, constants)),
        Test::Choose(tests) => {
            let [condition, yes, no] = [0, 1, 2].map(|at| self::test(&tests[at], constants));
            match condition {
                Test::Constant(true) => yes,
                Test::Constant(false) => no,
                condition => Test::Choose(Box::new([condition, yes, no])),
            }
        }
        Test::Same(tests) => same(self::test(&tests[0], constants), self::test(&tests[1], constants)),
        // Absence is known too.
        Test::Present(slot, kind) if slot.space == Space::Offer => {
            Test::Constant(evaluate::present(*slot, *kind, &constants.0))
        }
        Test::Constant(_) | Test::Present(..) => test.clone(),
        Test::Boolean(slot) => decided(constants.read(*slot, evaluate::boolean)),
        Test::NumberIs(slot, order, constant) => {
            decided(constants.number(*slot).map(|number| order.holds(&number, constant)))
        }
        Test::Numbers(order, numbers) => match (number(&numbers[0], constants), number(&numbers[1], constants)) {
            (Number::Constant(left), Number::Constant(right)) => Test::Constant(order.holds(&left, &right)),
            (Number::Read(slot), Number::Constant(constant)) => Test::NumberIs(slot, *order, constant),
            (Number::Constant(constant), Number::Read(slot)) => Test::NumberIs(slot, order.mirrored(), constant),
            (left, right) => Test::Numbers(*order, Box::new([left, right])),
        },
        Test::NumberIn(needle, list) => match number(needle, constants) {
            Number::Constant(value) => Test::Constant(list.contains(&value)),
            needle => Test::NumberIn(Box::new(needle), list.clone()),
        },
        Test::CategoryIs(slot, symbol) => {
            decided(constants.read(*slot, evaluate::category).map(|value| value == *symbol))
        }
        Test::CategoryIn(slot, symbols) => decided(
            constants
                .read(*slot, evaluate::category)
                .map(|value| symbols.contains(&value)),
        ),
        Test::Categories(left, right) => {
            let value = |slot: Slot| constants.read(slot, evaluate::category);
            match (value(*left), value(*right)) {
                (Some(left), Some(right)) => Test::Constant(left == right),
                (Some(value), None) => Test::CategoryIs(*right, value),
                (None, Some(value)) => Test::CategoryIs(*left, value),
                (None, None) => test.clone(),
            }
        }
        Test::SetHas(slot, mask) => decided(constants.read(*slot, evaluate::set).map(|bits| bits & mask != 0)),
        Test::SetHasCategory(needle, slot, bits) => set_has(*needle, *slot, bits, constants),
        Test::Moments(order, moments) => match (moment(&moments[0], constants), moment(&moments[1], constants)) {
            (Moment::Constant(left), Moment::Constant(right)) => Test::Constant(order.holds(&left, &right)),
            (left, right) => Test::Moments(*order, Box::new([left, right])),
        },
    }
}

fn join(tests: &[Test], constants: &Constants<'_>, neutral: bool, join: fn(Test, Test) -> Test) -> Test {
    let folded = tests.iter().map(|inner| test(inner, constants));
    folded.fold(Test::Constant(neutral), join)
}

fn set_has(needle: Slot, slot: Slot, bits: &[(Symbol, u8)], constants: &Constants<'_>) -> Test {
    let value = constants.read(needle, evaluate::category);
    let set = constants.read(slot, evaluate::set);
    match (value, set) {
        (Some(value), _) => {
            let bit = bits.iter().find(|(symbol, _)| *symbol == value).map(|(_, bit)| *bit);
            // A set that is known has nothing of an empty mask.
            let mask = bit.map_or(0, |bit| 1 << bit);
            test(&Test::SetHas(slot, mask), constants)
        }
        (None, Some(set)) => {
            let inside = bits.iter().filter(|(_, bit)| set >> bit & 1 == 1);
            Test::CategoryIn(needle, inside.map(|(symbol, _)| *symbol).collect())
        }
        (None, None) => Test::SetHasCategory(needle, slot, bits.into()),
    }
}

fn number(number: &Number, constants: &Constants<'_>) -> Number {
    match number {
        Number::Constant(_) => number.clone(),
        Number::Read(slot) => constants.number(*slot).map_or_else(|| number.clone(), Number::Constant),
        Number::Size(slot) => constants
            .read(*slot, evaluate::set)
            .map_or_else(|| number.clone(), |bits| Number::Constant(f64::from(bits.count_ones()))),
        Number::Negate(inner) => match self::number(inner, constants) {
            Number::Constant(value) => Number::Constant(-value),
            inner => Number::Negate(Box::new(inner)),
        },
        Number::Calculate(arithmetic, numbers) => {
            let (left, right) = (
                self::number(&numbers[0], constants),
                self::number(&numbers[1], constants),
            );
            let result = match (&left, &right) {
                (Number::Constant(left), Number::Constant(right)) => evaluate::calculate(*arithmetic, *left, *right),
                _ => None,
            };
            // What has no finite result has none again when it is evaluated.
            result.map_or_else(
                || Number::Calculate(*arithmetic, Box::new([left, right])),
                Number::Constant,
            )
        }
        Number::Choose(choice) => {
            let (yes, no) = (self::number(&choice.1, constants), self::number(&choice.2, constants));
            match test(&choice.0, constants) {
                Test::Constant(true) => yes,
                Test::Constant(false) => no,
                condition => Number::Choose(Box::new((condition, yes, no))),
            }
        }
        Number::Calendar(part) => match moment(&part.1, constants) {
            Moment::Constant(millis) if part.0.value(millis).is_some() => {
                part.0.value(millis).map_or_else(|| number.clone(), Number::Constant)
            }
            of => Number::Calendar(Box::new((part.0.clone(), of))),
        },
    }
}

fn moment(moment: &Moment, constants: &Constants<'_>) -> Moment {
    let both = |moments: &[Moment; 2]| {
        let (left, right) = (
            self::moment(&moments[0], constants),
            self::moment(&moments[1], constants),
        );
        Box::new([left, right])
    };
    match moment {
        Moment::Constant(_) | Moment::Now => moment.clone(),
        Moment::Read(slot) => constants
            .read(*slot, evaluate::time)
            .map_or_else(|| moment.clone(), |time| Moment::Constant(time.as_millis())),
        Moment::Plus(moments) => match *both(moments) {
            [Moment::Constant(left), Moment::Constant(right)] if left.checked_add(right).is_some() => {
                Moment::Constant(left.saturating_add(right))
            }
            moments => Moment::Plus(Box::new(moments)),
        },
        Moment::Minus(moments) => match *both(moments) {
            [Moment::Constant(left), Moment::Constant(right)] if left.checked_sub(right).is_some() => {
                Moment::Constant(left.saturating_sub(right))
            }
            moments => Moment::Minus(Box::new(moments)),
        },
        Moment::Choose(choice) => {
            let (yes, no) = (self::moment(&choice.1, constants), self::moment(&choice.2, constants));
            match test(&choice.0, constants) {
                Test::Constant(true) => yes,
                Test::Constant(false) => no,
                condition => Moment::Choose(Box::new((condition, yes, no))),
            }
        }
    }
}
