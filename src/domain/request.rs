//! What callers ask, after conversion: every name resolved, every value checked.

use super::event::Event;
use super::ids::CustomerId;
use super::value::Value;

/// A request for offers. Positions refer to the catalog snapshot that the request was converted against.
#[derive(Clone, Debug, PartialEq)]
pub struct OffersRequest {
    /// Who the offers are for; absent for a visitor without any id, of whom nothing is known and nothing can be kept.
    pub customer: Option<CustomerId>,
    /// Position of the channel in the catalog.
    pub channel: usize,
    /// Position in the catalog of the campaign that asks, if one does.
    pub campaign: Option<usize>,
    /// The placements to fill, most important first.
    pub placements: Vec<PlacementRequest>,
    /// Whether one offer may fill several placements of this answer.
    pub duplicates: bool,
    /// The request context: one value per context variable of the catalog; the first is the channel.
    pub context: Vec<Value>,
    /// Events to apply before deciding; none for a visitor without any id.
    pub events: Vec<Event>,
    /// Whether to say why each offer that is not shown is withheld.
    pub explain: bool,
    /// Whether to look only: nothing is reserved, and the answer has no decision id.
    pub preview: bool,
}

/// One placement to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementRequest {
    /// Position of the placement in the catalog.
    pub placement: usize,
    /// How many offers are wanted, 1 or more.
    pub count: usize,
}
