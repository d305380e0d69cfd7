//! The condition language: text, checked against a scope, compiled, evaluated.
//!
//! Marketers write conditions as [CEL](https://cel.dev) expressions over what is known about the customer, the offer
//! and the request. A condition is compiled once, when a catalog is loaded, and evaluated for every offer of every
//! decision: so it is parsed by a CEL parser, but then checked against the declared variables and lowered to a small
//! typed program over numbered slots, in which a category is one number and a set one mask. That takes tens of
//! nanoseconds where an interpreter takes a thousand. Everything that can be wrong with a condition is said when it is
//! compiled, in words; an evaluation cannot fail, allocates nothing, and reads nothing but its [`Facts`]: `now` is one
//! of them.
//!
//! # What can be written
//!
//! | form | meaning |
//! |---|---|
//! | `profile.age`, `intent["travel-insurance"]` | a variable of one of the spaces that the [`Scope`] allows |
//! | `now` | the instant of the decision |
//! | `true`, `42`, `0x2a`, `42u`, `4.2`, `1e3`, `"text"`, `'text'` | literals; one of ``abfnrtv"'\?` `` may follow a backslash |
//! | `a && b`, `a \|\| b`, `!a`, `test ? a : b` | logic; a choice between yes/no values, numbers, times or spans |
//! | `==`, `!=` | numbers, times, spans, yes/no values; a category and a text; categories that share a value |
//! | `<`, `<=`, `>`, `>=` | numbers, times, spans |
//! | `+`, `-`, `*`, `/`, `%`, `-a` | numbers |
//! | `time + span`, `time - span`, `time - time`, `span + span`, `span - span` | times and spans |
//! | `number in [1, 2]`, `category in ["a", "b"]` | the list is written out and not empty |
//! | `"a" in set`, `category in set` | the category and the set must share a value |
//! | `size(set)`, `set.size()` | how many values a set has |
//! | `has(profile.age)` | whether the variable has a value; never unknown |
//! | `timestamp("2026-01-31T09:00:00Z")` | an instant, with its offset from UTC, exact to the millisecond |
//! | `duration("1h30m")`, `duration("-7d")` | a span in `d`, `h`, `m`, `s`, `ms`, `us`, `ns`, exact to the millisecond |
//! | `now.getHours("Europe/Madrid")` | a part of a time in a zone, UTC without one: see below |
//! | `// why` | a comment to the end of the line |
//!
//! Parts of a time count as CEL counts them: `getFullYear`; `getMonth` from 0; `getDayOfYear` from 0; `getDayOfMonth`
//! from 0 but `getDate` from 1; `getDayOfWeek` from 0 for Sunday; `getHours`, `getMinutes`, `getSeconds`. Comparing one
//! for equality with a number that it can never be is a fault.
//!
//! Everything else of CEL is refused, with what to write instead where there is something: maps, messages, bytes, raw
//! and triple-quoted texts, numeric escapes, `null`, conversions, functions on texts, the loops (`exists`, `all`,
//! `map`, `filter`), lists outside `in`, indexing other than a space's, comparisons of sets, and comparisons of two
//! texts, whose outcome never changes. A condition has at most [`SOURCE_LENGTH_MAX`] bytes, brackets 32 deep, and 64
//! terms in a chain of calculations.
//!
//! # Where it is not CEL
//!
//! - All numbers are 64-bit floating-point: `profile.age == 30` and `== 30.0` are the same, and `5 / 2` is 2.5.
//! - A calculation without a finite result (a division by zero, an overflow) is unknown; CEL gives an error for
//!   integers and an infinity for floating-point numbers.
//! - `duration` has days; a day is 24 hours.
//! - Times are in milliseconds and spans of them do not overflow.
//!
//! Of the published conformance cases of CEL, those that can be written here come out as CEL says, but for 18 that are about
//! these points (`tests/cel.rs` holds the cases and this count):
//!
//! | file | cases | refused, and errors in CEL | outside | within | as CEL says |
//! |---|---:|---:|---:|---:|---:|
//! | `basic` | 43 | 2 | 24 | 17 | 17 |
//! | `comparisons` | 406 | 16 | 339 | 51 | 48 |
//! | `fields` | 60 | 11 | 49 | 0 | 0 |
//! | `fp_math` | 30 | 0 | 3 | 27 | 26 |
//! | `integer_math` | 64 | 1 | 0 | 63 | 49 |
//! | `lists` | 39 | 7 | 29 | 3 | 3 |
//! | `logic` | 30 | 5 | 6 | 19 | 19 |
//! | `parse` | 219 | 0 | 212 | 7 | 7 |
//! | `timestamps` | 78 | 16 | 20 | 42 | 42 |
//!
//! # Unknown
//!
//! A variable without a value makes the comparison that needs it unknown, as an error does in CEL: `false && unknown`
//! is false and `true || unknown` is true in either order, and everything else that needs an unknown operand is
//! unknown, also `!unknown` and an unknown test of `? :`. A value of another kind than declared, and a number that is
//! not finite, are no values. [`Condition::missing`] names the variable that was lacking.
//!
//! # Many conditions at once
//!
//! A decision does not ask every condition of every offer. The catalog keeps them in an [`Index`], which reads each value once
//! and finds the offers that pass by sorted limits and sets of bits. A condition is asked by itself where somebody wants to know
//! why an offer does not pass ([`Condition::failing_part`], [`Condition::missing`]), and for events.
//!
//! # Until when a verdict stands
//!
//! Every [`Verdict`] says until when its outcome stays the same if only `now` moves on. It is exact for comparisons of
//! times and for parts of the calendar, except that a change of the zone's clock ends every part to be safe. Of several
//! tests that a condition joins, the decisive one counts alone where there is one; otherwise the first end counts.

pub use condition::Condition;
pub use facts::{Facts, Truth, Verdict};
pub use fault::{Fault, nearest};
pub use index::{Index, IndexBuilder, Scratch, Shape};
pub use parse::SOURCE_LENGTH_MAX;
pub use scope::{Kind, Scope, Space, Variable};

mod calendar;
mod calls;
mod check;
mod compare;
mod condition;
mod evaluate;
mod facts;
mod fault;
mod index;
mod membership;
mod missing;
mod parse;
mod program;
mod scope;
mod shape;
mod tokens;
mod typed;

#[cfg(test)]
mod tests;
