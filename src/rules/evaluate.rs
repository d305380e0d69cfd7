//! Evaluates a compiled condition.
//!
//! Every outcome carries the instant until which it stands. A number changes with time only where a part of the
//! calendar or a choice changes, so each such change lowers the deadline `until` on the way. A moment moves evenly with
//! `now`, at a whole speed (`now` itself at 1, a constant at 0, `now - now` at 0), so where two moments cross is exact.
//! Moments are summed in 128 bits: a condition has too few terms to overflow them.

use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

use super::calendar::Calendar;
use super::facts::{Facts, Truth, Verdict};
use super::parse::{Arithmetic, Order};
use super::program::{Moment, Number, Slot, Test};
use super::scope::Kind;

/// A moment's value at `now`, in milliseconds, and how far it moves for each millisecond that `now` moves.
#[derive(Clone, Copy)]
struct Line {
    value: i128,
    speed: i128,
}

/// Evaluates `test`. What the seldom forms need stands in functions of its own, since it would lengthen every call here.
pub(super) fn test(test: &Test, facts: &Facts<'_>) -> Verdict {
    match test {
        Test::Constant(holds) => always(Some(*holds)),
        Test::All(tests) => join(tests, Truth::False, facts),
        Test::Any(tests) => join(tests, Truth::True, facts),
        Test::Not(inner) => not(self::test(inner, facts)),
        Test::Choose(tests) => choose(tests, facts),
        Test::Same(tests) => same(&tests[0], &tests[1], facts),
        Test::Present(slot, kind) => always(Some(present(*slot, *kind, facts))),
        Test::Boolean(slot) => always(boolean(*slot, facts)),
        Test::NumberIs(slot, order, constant) => {
            always(read_number(*slot, facts).map(|number| order.holds(&number, constant)))
        }
        Test::Numbers(order, numbers) => compare_numbers(*order, numbers, facts),
        Test::NumberIn(needle, list) => number_in(needle, list, facts),
        Test::CategoryIs(slot, symbol) => always(category(*slot, facts).map(|value| value == *symbol)),
        Test::CategoryIn(slot, symbols) => always(category(*slot, facts).map(|value| symbols.contains(&value))),
        Test::Categories(left, right) => always(same_category(*left, *right, facts)),
        Test::SetHas(slot, mask) => always(set(*slot, facts).map(|bits| bits & mask != 0)),
        Test::SetHasCategory(needle, slot, bits) => always(set_has(*needle, *slot, bits, facts)),
        Test::Moments(order, moments) => compare_moments(*order, moments, facts),
    }
}

#[inline(never)]
fn compare_numbers(order: Order, numbers: &[Number; 2], facts: &Facts<'_>) -> Verdict {
    timed(|until| {
        let (left, right) = (number(&numbers[0], facts, until), number(&numbers[1], facts, until));
        Some(order.holds(&left?, &right?))
    })
}

#[inline(never)]
fn number_in(needle: &Number, list: &[f64], facts: &Facts<'_>) -> Verdict {
    timed(|until| Some(list.contains(&number(needle, facts, until)?)))
}

#[inline(never)]
fn compare_moments(order: Order, moments: &[Moment; 2], facts: &Facts<'_>) -> Verdict {
    timed(|until| {
        let (left, right) = (moment(&moments[0], facts, until), moment(&moments[1], facts, until));
        Some(crossing(order, left?, right?, facts.now, until))
    })
}

/// Makes a verdict on which time has no influence.
fn always(holds: Option<bool>) -> Verdict {
    Verdict {
        truth: holds.map_or(Truth::Unknown, Truth::from),
        valid_until: Timestamp::FAR_FUTURE,
    }
}

/// Makes a verdict with the deadline that `holds` lowered.
fn timed(holds: impl FnOnce(&mut Timestamp) -> Option<bool>) -> Verdict {
    let mut until = Timestamp::FAR_FUTURE;
    let truth = holds(&mut until).map_or(Truth::Unknown, Truth::from);
    Verdict {
        truth,
        valid_until: until,
    }
}

fn not(verdict: Verdict) -> Verdict {
    let truth = match verdict.truth {
        Truth::True => Truth::False,
        Truth::False => Truth::True,
        Truth::Unknown => Truth::Unknown,
    };
    Verdict { truth, ..verdict }
}

/// Joins tests of which one that is `decisive` decides alone, for as long as it stands; without one an unknown wins.
fn join(tests: &[Test], decisive: Truth, facts: &Facts<'_>) -> Verdict {
    let mut joined = not(Verdict {
        truth: decisive,
        valid_until: Timestamp::FAR_FUTURE,
    });
    for inner in tests {
        let verdict = test(inner, facts);
        if verdict.truth == decisive {
            return verdict;
        }
        if verdict.truth == Truth::Unknown {
            joined.truth = Truth::Unknown;
        }
        joined.valid_until = joined.valid_until.min(verdict.valid_until);
    }
    joined
}

#[inline(never)]
fn choose(tests: &[Test; 3], facts: &Facts<'_>) -> Verdict {
    let chosen = test(&tests[0], facts);
    let verdict = match chosen.truth {
        Truth::True => test(&tests[1], facts),
        Truth::False => test(&tests[2], facts),
        Truth::Unknown => return chosen,
    };
    Verdict {
        valid_until: verdict.valid_until.min(chosen.valid_until),
        ..verdict
    }
}

#[inline(never)]
fn same(left: &Test, right: &Test, facts: &Facts<'_>) -> Verdict {
    let (left, right) = (test(left, facts), test(right, facts));
    let unknown = left.truth == Truth::Unknown || right.truth == Truth::Unknown;
    let truth = if unknown {
        Truth::Unknown
    } else {
        Truth::from(left.truth == right.truth)
    };
    Verdict {
        truth,
        valid_until: left.valid_until.min(right.valid_until),
    }
}

fn read(slot: Slot, facts: &Facts<'_>) -> Value {
    facts.value(slot.space, slot.index)
}

/// Tells whether a value of the declared kind is there.
#[inline(never)]
pub(super) fn present(slot: Slot, kind: Kind, facts: &Facts<'_>) -> bool {
    match kind {
        Kind::Boolean => boolean(slot, facts).is_some(),
        Kind::Number => read_number(slot, facts).is_some(),
        Kind::Category => category(slot, facts).is_some(),
        Kind::Set => set(slot, facts).is_some(),
        Kind::Time => time(slot, facts).is_some(),
    }
}

pub(super) fn boolean(slot: Slot, facts: &Facts<'_>) -> Option<bool> {
    if let Value::Boolean(value) = read(slot, facts) {
        Some(value)
    } else {
        None
    }
}

pub(super) fn read_number(slot: Slot, facts: &Facts<'_>) -> Option<f64> {
    if let Value::Number(value) = read(slot, facts) {
        Some(value).filter(|number| number.is_finite())
    } else {
        None
    }
}

pub(super) fn category(slot: Slot, facts: &Facts<'_>) -> Option<Symbol> {
    if let Value::Category(value) = read(slot, facts) {
        Some(value)
    } else {
        None
    }
}

pub(super) fn set(slot: Slot, facts: &Facts<'_>) -> Option<u64> {
    if let Value::Set(value) = read(slot, facts) {
        Some(value)
    } else {
        None
    }
}

pub(super) fn time(slot: Slot, facts: &Facts<'_>) -> Option<Timestamp> {
    if let Value::Time(value) = read(slot, facts) {
        Some(value)
    } else {
        None
    }
}

fn same_category(left: Slot, right: Slot, facts: &Facts<'_>) -> Option<bool> {
    Some(category(left, facts)? == category(right, facts)?)
}

#[inline(never)]
fn set_has(needle: Slot, slot: Slot, bits: &[(Symbol, u8)], facts: &Facts<'_>) -> Option<bool> {
    let (value, mask) = (category(needle, facts)?, set(slot, facts)?);
    let found = bits.binary_search_by_key(&value, |(symbol, _)| *symbol).ok();
    Some(found.is_some_and(|at| mask >> bits[at].1 & 1 == 1))
}

pub(super) fn number(number: &Number, facts: &Facts<'_>, until: &mut Timestamp) -> Option<f64> {
    match number {
        Number::Constant(value) => Some(*value),
        Number::Read(slot) => read_number(*slot, facts),
        Number::Size(slot) => set(*slot, facts).map(|bits| f64::from(bits.count_ones())),
        Number::Negate(inner) => self::number(inner, facts, until).map(|value| -value),
        Number::Calculate(arithmetic, numbers) => {
            let (left, right) = (
                self::number(&numbers[0], facts, until),
                self::number(&numbers[1], facts, until),
            );
            calculate(*arithmetic, left?, right?)
        }
        Number::Choose(choice) => {
            let yes = decided(&choice.0, facts, until)?;
            self::number(if yes { &choice.1 } else { &choice.2 }, facts, until)
        }
        Number::Calendar(part) => part_of(&part.0, &part.1, facts, until),
    }
}

/// Reads a part of the calendar; a moving instant outside the calendar's years is unknown for one millisecond only.
#[inline(never)]
fn part_of(calendar: &Calendar, of: &Moment, facts: &Facts<'_>, until: &mut Timestamp) -> Option<f64> {
    let line = moment(of, facts, until)?;
    let millis = i64::try_from(line.value).ok();
    let read = match line.speed.signum() {
        0 => return calendar.value(millis?),
        1 => millis
            .and_then(|millis| calendar.value_until(millis))
            .map(|(value, end)| (value, (i128::from(end) - line.value + line.speed - 1) / line.speed)),
        _ => millis
            .and_then(|millis| calendar.value_since(millis))
            .map(|(value, start)| (value, (line.value - i128::from(start)) / -line.speed + 1)),
    };
    lower(until, facts.now, read.map_or(1, |(_, distance)| distance));
    read.map(|(value, _)| value)
}

/// Calculates; `None` when there is no finite result.
pub(super) fn calculate(arithmetic: Arithmetic, left: f64, right: f64) -> Option<f64> {
    let result = match arithmetic {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => left % right,
    };
    Some(result).filter(|result| result.is_finite())
}

#[inline(never)]
fn decided(condition: &Test, facts: &Facts<'_>, until: &mut Timestamp) -> Option<bool> {
    let verdict = test(condition, facts);
    *until = (*until).min(verdict.valid_until);
    match verdict.truth {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Unknown => None,
    }
}

fn moment(moment: &Moment, facts: &Facts<'_>, until: &mut Timestamp) -> Option<Line> {
    match moment {
        Moment::Constant(millis) => Some(Line {
            value: i128::from(*millis),
            speed: 0,
        }),
        Moment::Now => Some(Line {
            value: i128::from(facts.now.as_millis()),
            speed: 1,
        }),
        Moment::Read(slot) => time(*slot, facts).map(|time| Line {
            value: i128::from(time.as_millis()),
            speed: 0,
        }),
        Moment::Plus(moments) => {
            let (left, right) = (
                self::moment(&moments[0], facts, until),
                self::moment(&moments[1], facts, until),
            );
            let (left, right) = (left?, right?);
            Some(Line {
                value: left.value + right.value,
                speed: left.speed + right.speed,
            })
        }
        Moment::Minus(moments) => {
            let (left, right) = (
                self::moment(&moments[0], facts, until),
                self::moment(&moments[1], facts, until),
            );
            Some(apart(left?, right?))
        }
        Moment::Choose(choice) => {
            let yes = decided(&choice.0, facts, until)?;
            self::moment(if yes { &choice.1 } else { &choice.2 }, facts, until)
        }
    }
}

fn apart(left: Line, right: Line) -> Line {
    Line {
        value: left.value - right.value,
        speed: left.speed - right.speed,
    }
}

/// Compares two moments, and lowers `until` to the first instant at which the outcome is another.
fn crossing(order: Order, left: Line, right: Line, now: Timestamp, until: &mut Timestamp) -> bool {
    let gap = apart(left, right);
    let holds = order.holds(&gap.value, &0);
    if gap.speed == 0 {
        return holds;
    }
    // Seen with the gap growing: a shrinking one is the same from the other side.
    let (value, order) = if gap.speed > 0 {
        (gap.value, order)
    } else {
        (-gap.value, order.mirrored())
    };
    let speed = gap.speed.abs();
    let distance = match order {
        Order::LessOrEqual | Order::Greater if value <= 0 => -value / speed + 1,
        Order::Equal | Order::NotEqual if value == 0 => 1,
        Order::Less | Order::GreaterOrEqual | Order::Equal | Order::NotEqual if value < 0 => {
            (-value + speed - 1) / speed
        }
        _ => return holds,
    };
    lower(until, now, distance);
    holds
}

fn lower(until: &mut Timestamp, now: Timestamp, distance: i128) {
    let instant = i64::try_from(i128::from(now.as_millis()) + distance).unwrap_or(i64::MAX);
    *until = (*until).min(Timestamp::from_millis(instant));
}
