//! Limits and goals over all customers, as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::WithoutId;

/// What a volume counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VolumeCounted {
    /// The engine answered with the offer.
    Decided,
    /// The channel handed it over; a decided offer counts until its channel's reservation time is over.
    Delivered,
    /// The customer saw or heard it; a decided offer counts until its channel's reservation time is over.
    Seen,
}

/// The window of a volume, by the clock of the catalog's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VolumePer {
    /// From one full hour to the next.
    Hour,
    /// From the beginning of a date to that of the next.
    Day,
    /// From the beginning of a week to that of the next.
    Week,
    /// From the beginning of a month to that of the next.
    Month,
    /// Since volumes were first kept.
    Ever,
}

/// How a volume is spread over its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// So much as the window is over, and one more.
    Even,
}

/// A limit or goal over all customers: so many, of what, within which window, for which contacts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Its id; explanations name it.
    pub id: String,
    /// Why, in words for people.
    #[serde(default)]
    pub because: String,
    /// The number allowed in each window, over all customers; 0 is never; absent is no limit.
    pub at_most: Option<u32>,
    /// The number that campaigns try to reach in each window.
    pub at_least: Option<u32>,
    /// What is counted.
    pub of: VolumeCounted,
    /// The window: a calendar one in the catalog's time zone, or `ever`.
    pub per: VolumePer,
    /// How the number is spread over the window; first come, first served when absent.
    pub pace: Option<Pace>,
    /// Only contacts with these offers; all when empty.
    #[serde(default)]
    pub offers: Vec<String>,
    /// Only contacts with offers of these groups; all when empty.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Only contacts with offers that have one of these labels; all when empty.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Only contacts on these channels; all when empty.
    #[serde(default)]
    pub channels: Vec<String>,
    /// What becomes of a visitor without any id, of whom nothing is counted. Without `at_most` there is nothing to stop.
    #[serde(default)]
    pub without_id: WithoutId,
}
