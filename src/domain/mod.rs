//! The nouns: identifiers, time, values, events, profiles, contacts, decisions and reasons.
//!
//! Plain data with checked constructors. Nothing here reads a clock, does I/O, or knows the wire format.

pub mod symbol;
pub mod time;
pub mod value;
