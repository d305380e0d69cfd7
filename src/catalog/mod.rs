//! One immutable, validated version of everything a decision depends on.

pub mod manifest;
