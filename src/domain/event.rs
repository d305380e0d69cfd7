//! One behaviour of a customer: a page view, a search, a call.

use super::symbol::Symbol;
use super::time::Timestamp;
use super::value::Value;

/// An event, already checked against the schema of its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// [`super::ids::short_hash`] of the id that the caller gave; an event that comes again is recognised by it.
    pub id_hash: u64,
    /// What kind of behaviour it is.
    pub event_type: Symbol,
    /// When it happened, by the caller's word; may be earlier than events that were recorded before it.
    pub time: Timestamp,
    /// Where it happened: the channel, when the caller said so.
    pub channel: Option<Symbol>,
    /// Where it happened: the page, branch or screen, when the caller said so.
    pub place: Option<Symbol>,
    /// [`super::ids::short_hash`] of the session id, when the caller gave one.
    pub session_hash: Option<u64>,
    /// The attributes that its type declares and the caller gave.
    pub attributes: Vec<(Symbol, Value)>,
}
