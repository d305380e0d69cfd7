//! The words of purposes, quiet hours and hold-outs.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Weekday;

/// Why customers are contacted. Groups and offers name theirs; customers consent or object to it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Purpose {
    /// Its id, as groups, offers and callers name it.
    pub id: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// What holds as long as the customer has not answered.
    pub consent: ConsentRule,
}

/// What holds as long as the customer has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentRule {
    /// Offers may be shown until the customer objects.
    Assumed,
    /// Offers may be shown only after the customer agreed.
    Needed,
}

/// Hours in which nobody is contacted on a channel, by the clock where the customer lives. Whatever is given must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quiet {
    /// Only on these days of the week; every day when empty.
    pub days: Vec<Weekday>,
    /// Only on these dates, `YYYY-MM-DD`; every date when empty.
    pub dates: Vec<String>,
    /// The time of day at which it begins, `HH:MM`; the day's beginning when absent.
    pub from: Option<String>,
    /// The time of day at which it ends, `HH:MM`; the day's end when absent. Before `from`, it is that of the day after.
    pub until: Option<String>,
    /// Why, in words for people.
    pub because: String,
}

/// A share of the customers that gets no offers, or other content, so that it can be measured what offers bring about.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldOut {
    /// Its id; explanations and answers name it. Who is in it depends on it.
    pub id: String,
    /// The share of the customers that is in it, 0 to 1. A larger one keeps everybody who was in the smaller one.
    pub share: f64,
    /// Only offers of these groups; all when empty.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What customers in it get instead.
    #[serde(default)]
    pub gets: HoldOutGets,
    /// Any text; another one draws other customers.
    #[serde(default)]
    pub salt: String,
}

/// What customers in a hold-out get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldOutGets {
    /// No offer.
    #[default]
    Nothing,
    /// Each offer with its `control` content; an offer without is withheld.
    Control,
}
