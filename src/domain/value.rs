//! The value of one attribute, aggregate or intent, small enough to copy.

use super::symbol::Symbol;
use super::time::Timestamp;

/// One value as conditions and features see it; 16 bytes, no heap.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value {
    /// Not known. A condition that needs it is neither true nor false.
    #[default]
    Missing,
    /// Yes or no.
    Boolean(bool),
    /// A finite number.
    Number(f64),
    /// One of a category's names.
    Category(Symbol),
    /// Some of a set's names: one bit each, given out by [`super::symbol::Symbols::set_bit`].
    Set(u64),
    /// An instant; a date is the midnight that begins it, in UTC.
    Time(Timestamp),
}
