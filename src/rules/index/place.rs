//! Which literals are limits on a value or lists of values, so that all of one value are found together.

use crate::rules::parse::Order;
use crate::rules::program::{Number, Slot, Test};

use super::lines::{self, Line};
use super::thresholds::Side;
use super::values::Listed;

/// What a literal is about.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A number, read or calculated, on which time has no influence.
    Number(Number),
    Category(Slot),
    Boolean(Slot),
    Line(Line),
}

/// What a literal says of it.
#[derive(Clone, Debug)]
pub(super) enum Says {
    /// A number stands on the right side of a limit.
    Number(Side, f64),
    /// So does a line.
    Line(Side, i128),
    /// A value is in a list, or is not.
    Listed(Listed),
}

/// Returns the number of a number among listed values: equal numbers have the same.
pub(super) fn number_code(number: f64) -> u64 {
    // The sum makes one zero of both.
    (number + 0.0).to_bits()
}

/// Takes a literal apart; `None` when it is no limit and no list.
pub(super) fn place(literal: &Test) -> Option<(Source, Says)> {
    let placed = match literal {
        Test::NumberIs(slot, order, constant) => of_number(Number::Read(*slot), *order, *constant),
        Test::Numbers(order, numbers) => match &**numbers {
            [Number::Constant(constant), number] => of_number(number.clone(), order.mirrored(), *constant),
            [number, Number::Constant(constant)] => of_number(number.clone(), *order, *constant),
            _ => return None,
        },
        Test::Moments(order, moments) => {
            let (line, side, limit) = lines::limit(*order, moments)?;
            (Source::Line(line), Says::Line(side, limit))
        }
        Test::Not(inner) => {
            let (source, values) = list(inner)?;
            (source, listed(values, false))
        }
        other => {
            let (source, values) = list(other)?;
            (source, listed(values, true))
        }
    };
    Some(placed)
}

fn of_number(number: Number, order: Order, constant: f64) -> (Source, Says) {
    let says = match order {
        Order::GreaterOrEqual => Says::Number(Side::Below, constant),
        Order::Greater => Says::Number(Side::Below, constant.next_up()),
        Order::LessOrEqual => Says::Number(Side::Above, constant),
        Order::Less => Says::Number(Side::Above, constant.next_down()),
        Order::Equal => listed(vec![number_code(constant)], true),
        Order::NotEqual => listed(vec![number_code(constant)], false),
    };
    (Source::Number(number), says)
}

const fn listed(values: Vec<u64>, is_allowed: bool) -> Says {
    Says::Listed(Listed { values, is_allowed })
}

fn list(test: &Test) -> Option<(Source, Vec<u64>)> {
    let listed = match test {
        Test::Boolean(slot) => (Source::Boolean(*slot), vec![1]),
        Test::CategoryIs(slot, symbol) => (Source::Category(*slot), vec![u64::from(symbol.get())]),
        Test::CategoryIn(slot, symbols) => {
            let values = symbols.iter().map(|symbol| u64::from(symbol.get()));
            (Source::Category(*slot), values.collect())
        }
        Test::NumberIn(number, list) => {
            let values = list.iter().map(|&value| number_code(value)).collect();
            (Source::Number(Number::clone(number)), values)
        }
        _ => return None,
    };
    Some(listed)
}
