//! The nouns: identifiers, time, values, events, profiles, contacts, decisions and reasons.
//!
//! Plain data with checked constructors. Nothing here reads a clock, does I/O, or knows the wire format.

pub mod contact;
pub mod decision;
pub mod entry;
pub mod event;
pub mod ids;
pub mod profile;
pub mod request;
pub mod symbol;
pub mod time;
pub mod value;
