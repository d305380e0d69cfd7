//! The compiled form of a condition: a small tree of typed nodes over slots.

use crate::domain::symbol::Symbol;

use super::calendar::Calendar;
use super::parse::{Arithmetic, Order};
use super::scope::{Kind, Space};

/// Where a value stands in the [`Facts`](super::Facts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) space: Space,
    pub(super) index: u16,
}

/// Something that is true, false or unknown.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Constant(bool),
    All(Box<[Test]>),
    Any(Box<[Test]>),
    Not(Box<Test>),
    Choose(Box<[Test; 3]>),
    /// Both tests have the same outcome.
    Same(Box<[Test; 2]>),
    Present(Slot, Kind),
    Boolean(Slot),
    /// A variable against a constant: the commonest test.
    NumberIs(Slot, Order, f64),
    Numbers(Order, Box<[Number; 2]>),
    NumberIn(Box<Number>, Box<[f64]>),
    CategoryIs(Slot, Symbol),
    CategoryIn(Slot, Box<[Symbol]>),
    Categories(Slot, Slot),
    SetHas(Slot, u64),
    /// The set has the category; the table holds the set's names and their bits, sorted.
    SetHasCategory(Slot, Slot, Box<[(Symbol, u8)]>),
    Moments(Order, Box<[Moment; 2]>),
}

/// Something that is a number or unknown.
#[derive(Clone, Debug)]
pub(super) enum Number {
    Constant(f64),
    Read(Slot),
    /// How many names a set has.
    Size(Slot),
    Negate(Box<Number>),
    Calculate(Arithmetic, Box<[Number; 2]>),
    Choose(Box<(Test, Number, Number)>),
    Calendar(Box<(Calendar, Moment)>),
}

/// Something that is an instant, as milliseconds since the epoch, or a span of time in milliseconds, or unknown.
#[derive(Clone, Debug)]
pub(super) enum Moment {
    Constant(i64),
    Now,
    Read(Slot),
    Plus(Box<[Moment; 2]>),
    Minus(Box<[Moment; 2]>),
    Choose(Box<(Test, Moment, Moment)>),
}

impl Test {
    /// Calls `seen` for every slot, and with `None` for `now`, in the order of the source.
    pub(super) fn visit(&self, seen: &mut impl FnMut(Option<Slot>)) {
        match self {
            Self::Constant(_) => {}
            Self::All(tests) | Self::Any(tests) => tests.iter().for_each(|test| test.visit(seen)),
            Self::Choose(tests) => tests.iter().for_each(|test| test.visit(seen)),
            Self::Same(tests) => tests.iter().for_each(|test| test.visit(seen)),
            Self::Not(test) => test.visit(seen),
            Self::Present(slot, _)
            | Self::Boolean(slot)
            | Self::NumberIs(slot, ..)
            | Self::CategoryIs(slot, _)
            | Self::CategoryIn(slot, _)
            | Self::SetHas(slot, _) => seen(Some(*slot)),
            Self::Categories(left, right) | Self::SetHasCategory(left, right, _) => {
                seen(Some(*left));
                seen(Some(*right));
            }
            Self::Numbers(_, numbers) => numbers.iter().for_each(|number| number.visit(seen)),
            Self::NumberIn(number, _) => number.visit(seen),
            Self::Moments(_, moments) => moments.iter().for_each(|moment| moment.visit(seen)),
        }
    }
}

impl Number {
    fn visit(&self, seen: &mut impl FnMut(Option<Slot>)) {
        match self {
            Self::Constant(_) => {}
            Self::Read(slot) | Self::Size(slot) => seen(Some(*slot)),
            Self::Negate(number) => number.visit(seen),
            Self::Calculate(_, numbers) => numbers.iter().for_each(|number| number.visit(seen)),
            Self::Choose(choice) => {
                choice.0.visit(seen);
                choice.1.visit(seen);
                choice.2.visit(seen);
            }
            Self::Calendar(part) => part.1.visit(seen),
        }
    }
}

impl Moment {
    fn visit(&self, seen: &mut impl FnMut(Option<Slot>)) {
        match self {
            Self::Constant(_) => {}
            Self::Now => seen(None),
            Self::Read(slot) => seen(Some(*slot)),
            Self::Plus(moments) | Self::Minus(moments) => moments.iter().for_each(|moment| moment.visit(seen)),
            Self::Choose(choice) => {
                choice.0.visit(seen);
                choice.1.visit(seen);
                choice.2.visit(seen);
            }
        }
    }
}
