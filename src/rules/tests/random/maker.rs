//! Draws random numbers and random expressions.

use super::expression::{Compare, Moment, Number, Sign, Span, Test};
use super::world::{Schema, Sort};

/// A stream of random numbers, the same for the same seed (`SplitMix64`, Steele, Lea and Flood, 2014).
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number below `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).unwrap()
    }

    /// Draws a number from `least` to `greatest`.
    pub(super) fn between(&mut self, least: i64, greatest: i64) -> i64 {
        let width = u64::try_from(greatest - least).unwrap() + 1;
        least + i64::try_from(self.next() % width).unwrap()
    }

    pub(super) fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

const COMPARISONS: [Compare; 6] = [
    Compare::Less,
    Compare::AtMost,
    Compare::Greater,
    Compare::AtLeast,
    Compare::Equal,
    Compare::NotEqual,
];

/// Numbers of conditions and of customers: few, so that they meet.
pub(super) const NUMBERS: [f64; 9] = [-2.0, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 7.5, 1e300];

/// Makes a random test of at most this depth.
pub(super) fn test(schema: &Schema, draw: &mut Draw, depth: usize) -> Test {
    let deeper = depth.saturating_sub(1);
    let kind = if depth == 0 { 8 + draw.below(12) } else { draw.below(24) };
    let two = |schema: &Schema, draw: &mut Draw| {
        (
            Box::new(test(schema, draw, deeper)),
            Box::new(test(schema, draw, deeper)),
        )
    };
    match kind {
        0..=2 => {
            let (left, right) = two(schema, draw);
            Test::And(left, right)
        }
        3 | 4 => {
            let (left, right) = two(schema, draw);
            Test::Or(left, right)
        }
        5 => Test::Not(Box::new(test(schema, draw, deeper))),
        6 => {
            let (yes, no) = two(schema, draw);
            Test::Choose(Box::new(test(schema, draw, deeper)), yes, no)
        }
        7 => {
            let (left, right) = two(schema, draw);
            Test::Same(left, draw.below(2) == 0, right)
        }
        20 => Test::Constant(draw.below(2) == 0),
        21 => Test::Spans(draw.one_of(&COMPARISONS), span(schema, draw, 1), span(schema, draw, 1)),
        _ => leaf(schema, draw, kind, depth.min(2)),
    }
}

/// Makes a test about a random variable; a schema that has none of the sort gets one about `now`.
fn leaf(schema: &Schema, draw: &mut Draw, kind: usize, depth: usize) -> Test {
    let comparison = draw.one_of(&COMPARISONS);
    let made = match kind {
        8 => schema.pick(Sort::Boolean, draw).map(Test::Read),
        9 => Some(Test::Has(schema.any(draw))),
        10 | 11 | 22 => schema
            .pick(Sort::Number, draw)
            .map(|name| Test::Numbers(comparison, Number::Read(name), Number::Constant(draw.one_of(&NUMBERS)))),
        12 => {
            let (left, right) = (number(schema, draw, depth), number(schema, draw, depth));
            (!left.is_constant() || !right.is_constant()).then_some(Test::Numbers(comparison, left, right))
        }
        13 => {
            let list = (0..=draw.below(3)).map(|_| draw.one_of(&NUMBERS)).collect();
            Some(number(schema, draw, depth))
                .filter(|number| !number.is_constant())
                .map(|number| Test::NumberIn(number, list))
        }
        14 | 23 => schema.pick(Sort::Category, draw).map(|name| {
            let list = schema.some_values(&name, draw);
            match (list.as_slice(), draw.below(3)) {
                ([value], 0) => Test::CategoryIs(name, true, value.clone()),
                ([value], 1) => Test::CategoryIs(name, false, value.clone()),
                _ => Test::CategoryIn(name, list),
            }
        }),
        15 => schema
            .pair(Sort::Category, Sort::Category, draw)
            .map(|(left, right)| Test::Categories(left, draw.below(2) == 0, right)),
        16 => schema
            .pick(Sort::Set, draw)
            .map(|name| Test::SetHas(schema.some_values(&name, draw).remove(0), name)),
        17 => schema
            .pair(Sort::Category, Sort::Set, draw)
            .map(|(category, set)| Test::SetHasCategory(category, set)),
        _ => None,
    };
    made.unwrap_or_else(|| {
        Test::Moments(
            comparison,
            moment(schema, draw, depth),
            moment(schema, draw, depth.saturating_sub(1)),
        )
    })
}

pub(super) fn number(schema: &Schema, draw: &mut Draw, depth: usize) -> Number {
    let deeper = depth.saturating_sub(1);
    let kind = if depth == 0 { draw.below(4) } else { draw.below(9) };
    let constant = Number::Constant(draw.one_of(&NUMBERS));
    match kind {
        0 => constant,
        1..=3 => schema.pick(Sort::Number, draw).map_or(constant, Number::Read),
        4 => Number::Negate(Box::new(number(schema, draw, deeper))),
        5 => schema.pick(Sort::Set, draw).map_or(constant, Number::Size),
        6 => Number::Choose(
            Box::new(test(schema, draw, 0)),
            Box::new(number(schema, draw, deeper)),
            Box::new(number(schema, draw, deeper)),
        ),
        7 => {
            let parts = [
                "getSeconds()",
                "getMinutes(\"Asia/Kathmandu\")",
                "getHours()",
                "getDayOfWeek()",
            ];
            Number::Part(Box::new(moment(schema, draw, deeper)), draw.one_of(&parts))
        }
        _ => {
            let sign = draw.one_of(&[Sign::Add, Sign::Subtract, Sign::Multiply, Sign::Divide, Sign::Remainder]);
            let (left, right) = (number(schema, draw, deeper), number(schema, draw, deeper));
            Number::Calculate(Box::new(left), sign, Box::new(right))
        }
    }
}

fn moment(schema: &Schema, draw: &mut Draw, depth: usize) -> Moment {
    let deeper = depth.saturating_sub(1);
    let kind = if depth == 0 { draw.below(4) } else { draw.below(7) };
    match kind {
        0 | 1 => Moment::Now,
        2 => schema.pick(Sort::Time, draw).map_or(Moment::Now, Moment::Read),
        3 => Moment::Constant(super::world::START + draw.between(-200_000, 200_000)),
        4 => Moment::Plus(
            Box::new(moment(schema, draw, deeper)),
            Box::new(span(schema, draw, deeper)),
        ),
        5 => Moment::Minus(
            Box::new(moment(schema, draw, deeper)),
            Box::new(span(schema, draw, deeper)),
        ),
        _ => Moment::Choose(
            Box::new(test(schema, draw, 0)),
            Box::new(moment(schema, draw, deeper)),
            Box::new(moment(schema, draw, deeper)),
        ),
    }
}

fn span(schema: &Schema, draw: &mut Draw, depth: usize) -> Span {
    let deeper = depth.saturating_sub(1);
    let kind = if depth == 0 { 0 } else { draw.below(4) };
    match kind {
        0 => Span::Constant(draw.between(-100, 100) * 1_000 + draw.between(0, 1)),
        1 | 2 => Span::Between(
            Box::new(moment(schema, draw, deeper)),
            Box::new(moment(schema, draw, deeper)),
        ),
        _ => Span::Sum(
            Box::new(span(schema, draw, deeper)),
            draw.below(2) == 0,
            Box::new(span(schema, draw, deeper)),
        ),
    }
}
