//! The condition language: text, checked against a scope, compiled, evaluated.
pub use condition::Condition;
pub use facts::{Facts, Truth, Verdict};
pub use fault::{Fault, nearest};
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
mod membership;
mod parse;
mod program;
mod scope;
mod shape;
mod tokens;
mod typed;

#[cfg(test)]
mod evaluate_tests;
#[cfg(test)]
mod testing;
