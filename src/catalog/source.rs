//! The catalog as it is written: the shape of the YAML files, and of the JSON Schema that editors use.
//!
//! A catalog is a folder of `*.yaml` files. Every file may hold any of the top-level keys of [`Source`]; lists of the
//! same key in different files are joined, and names may refer to what another file declares. The doc comments here are
//! what an editor shows while somebody types.
//!
//! How things are written:
//!
//! * Spans of time: whole numbers with `w`, `d`, `h`, `m` or `s`, longest first, as in `7d`, `30m` or `2h30m`; at most 400 days.
//! * Dates: `YYYY-MM-DD`. Yes and no: `true` and `false`. Numbers: digits, a point, an exponent.
//! * Ids: up to 64 letters, digits, `_` and `-`. Those that conditions name (attributes, aggregates, intents): lower-case
//!   letters, digits and `_`, with a letter first.
//! * Conditions: CEL, in quotes when they begin with a quote, `!` or another sign that means something in YAML.
//! * No anchors, aliases, tags, merge keys or second documents; a key stands once in its map, with a value after it.

mod policy;
mod volume;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

mod gates;

pub use gates::{ConsentRule, HoldOut, HoldOutGets, Purpose, Quiet};
pub use policy::{
    Attempts, Campaign, Cap, ContactPolicy, CoolDown, CountedName, Direction, Each, EachOf, Per, RestsOn, Trigger,
    Weekday, WithoutId,
};
pub use volume::{Pace, Volume, VolumeCounted, VolumePer};

/// One file of a catalog. Any key may be in any file; lists add up over files, `catalog` is given once.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Settings of the whole catalog; exactly one file has this.
    pub catalog: Option<Settings>,
    /// The channels through which customers are reached.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// Pages, branches and screens that an event's `place` may name.
    #[serde(default)]
    pub places: Vec<String>,
    /// The schema of what is known of customers, offers and requests.
    #[serde(default)]
    pub attributes: Attributes,
    /// The kinds of behaviour that are recorded.
    #[serde(default)]
    pub events: Vec<EventType>,
    /// Numbers kept up to date from events, for conditions (`behaviour.<id>`) and model features.
    #[serde(default)]
    pub aggregates: Vec<Aggregate>,
    /// Interests that behaviour shows, for context weights, conditions (`intent.<id>`) and model features.
    #[serde(default)]
    pub intents: Vec<Intent>,
    /// Groups of offers; conditions of a group hold for each of its offers.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// The offers.
    #[serde(default)]
    pub offers: Vec<Offer>,
    /// The places on a channel that show offers.
    #[serde(default)]
    pub placements: Vec<Placement>,
    /// Contact limits. All of them must hold.
    #[serde(default)]
    pub caps: Vec<Cap>,
    /// Rests after what a customer did, or did not do. All of them must be over.
    #[serde(default)]
    pub cool_downs: Vec<CoolDown>,
    /// The campaigns that requests can name, with how often each may ask.
    #[serde(default)]
    pub campaigns: Vec<Campaign>,
    /// Limits and goals over all customers. All of them must hold.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Why customers are contacted: what they consent or object to.
    #[serde(default)]
    pub purposes: Vec<Purpose>,
    /// Shares of the customers that get no offers, or other content, to measure what offers bring about.
    #[serde(default)]
    pub hold_outs: Vec<HoldOut>,
    /// Names of models, each a folder with a manifest; a group is scored by the one whose manifest lists it.
    #[serde(default)]
    pub models: Vec<String>,
}

/// Settings of the whole catalog.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The catalog's name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The IANA time zone of customers whose own is not known, as in `Europe/Madrid`.
    pub time_zone: String,
    /// The category attribute of the profile whose values are IANA time zones: the customer's own. Calendar windows follow
    /// it; a customer for whom it is not known has the catalog's zone.
    pub time_zone_attribute: Option<String>,
    /// The day with which a calendar week begins.
    #[serde(default)]
    pub week_starts: Weekday,
    /// What a customer id that nobody imported gets.
    #[serde(default)]
    pub unknown_customer: UnknownCustomer,
    /// Which factors make up the priority.
    #[serde(default)]
    pub factors: FactorSwitches,
}

/// What a customer id gets of whom nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCustomer {
    /// A profile is begun; offers are decided on what is known, which is nothing yet.
    #[default]
    Begin,
    /// Only the fallback content of each placement; nothing is recorded.
    FallbackOnly,
}

/// Which factors make up the priority: propensity × context weight × value × lever.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent switches, named as the factors are"
)]
pub struct FactorSwitches {
    /// How likely the customer is to accept.
    pub propensity: bool,
    /// How much current intents speak for it.
    pub context_weight: bool,
    /// What an acceptance is worth.
    pub value: bool,
    /// The business's thumb on the scale.
    pub lever: bool,
}

impl Default for FactorSwitches {
    fn default() -> Self {
        Self {
            propensity: true,
            context_weight: true,
            value: true,
            lever: true,
        }
    }
}

/// A channel through which customers are reached.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Its id, as callers name it.
    pub id: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// Who comes to whom: on an `inbound` channel the customer comes to us, on an `outbound` one we come to the customer.
    #[serde(default)]
    pub direction: Direction,
    /// How long a decided offer counts as seen, clicked and so on without a report, as in `30m`; then it is released.
    #[serde(default = "thirty_minutes")]
    pub reservation: String,
    /// When nobody is contacted on it; no offer is shown while one of the entries holds.
    #[serde(default)]
    pub quiet: Vec<Quiet>,
}

fn thirty_minutes() -> String {
    "30m".to_owned()
}

/// The schema of what is known of customers, offers and requests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Attributes {
    /// What is known of a customer: `profile.<id>` in conditions.
    pub profile: Vec<Attribute>,
    /// What is known of an offer: `offer.<id>` in conditions.
    pub offer: Vec<Attribute>,
    /// What a request can say: `context.<id>` in conditions. `context.channel` is always there.
    pub context: Vec<Attribute>,
}

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttributeType {
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// Exactly one of `values`.
    Category,
    /// Any of `values`, at most 64 over the catalog's life.
    Set,
    /// A calendar date, `YYYY-MM-DD`.
    Date,
}

/// One attribute.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its id: lower-case letters, digits and `_`.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub attribute_type: AttributeType,
    /// What it means, and its unit.
    #[serde(default)]
    pub description: String,
    /// The allowed values of a category or set.
    #[serde(default)]
    pub values: Vec<String>,
    /// The lowest and the highest allowed number.
    pub range: Option<[f64; 2]>,
}

/// A kind of behaviour.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventType {
    /// Its id, as callers name it.
    pub id: String,
    /// What it means.
    #[serde(default)]
    pub description: String,
    /// What such an event can carry: `event.<id>` in conditions. `event.channel` and `event.place` are always there.
    #[serde(default)]
    pub attributes: Vec<Attribute>,
}

/// What an aggregate keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AggregateKind {
    /// How many matching events.
    Count,
    /// The sum of an attribute over matching events, kept to three decimals.
    Sum,
    /// How many whole steps ago the latest matching event was; unknown when there was none.
    Recency,
    /// The attribute's value at the latest matching event.
    Last,
    /// How many different sessions, at most the latest 16.
    Sessions,
}

/// A number kept up to date from events.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// Its id: `behaviour.<id>` in conditions.
    pub id: String,
    /// What it means.
    #[serde(default)]
    pub description: String,
    /// What is kept.
    pub keep: AggregateKind,
    /// The event type that feeds it; not for `sessions`, which every event with a session id feeds.
    pub of: Option<String>,
    /// Only events for which this holds, as in `event.category == "fund"`.
    #[serde(rename = "where")]
    pub condition: Option<String>,
    /// The attribute that is summed or kept.
    pub attribute: Option<String>,
    /// A category attribute of the event: keeps one aggregate per value, named `<id>_<value>`.
    pub by: Option<String>,
    /// How far back a count, sum or number of sessions reaches, as in `7d`.
    pub within: Option<String>,
    /// The grain of time, as in `1d`: the window moves on in whole steps. At most 64 steps make up a window.
    pub step: Option<String>,
}

/// An interest that behaviour shows.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Its id: `intent.<id>` in conditions, the current strength, 0 when there is none.
    pub id: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// The events that show it; the strengths of matching events add up.
    pub from: Vec<IntentSignal>,
    /// How an event's weight fades, in steps: the first entry whose `until` is not over applies; after the last, 0.
    pub decay: Vec<DecayStep>,
    /// The strength never exceeds this.
    #[serde(default = "three")]
    pub strength_max: f64,
}

const fn three() -> f64 {
    3.0
}

/// An event that shows an intent.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentSignal {
    /// The event type.
    pub event: String,
    /// Only events for which this holds, as in `event.category == "fund"`.
    #[serde(rename = "where")]
    pub condition: Option<String>,
    /// The strength of one fresh event, above 0, at most 1,000.
    #[serde(default = "one")]
    pub weight: f64,
}

/// One step of a decay.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecayStep {
    /// Up to which age of the event this step applies, as in `30m`.
    pub until: String,
    /// The share of the weight that is left, 0 to 1.
    pub keep: f64,
}

/// One condition with its name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its id within the group or offer; explanations name it.
    pub id: String,
    /// The condition that must hold, as in `profile.age >= 18`.
    pub when: String,
    /// Why, in words for people.
    #[serde(default)]
    pub because: String,
}

/// The dates between which an offer may be shown.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Validity {
    /// The first day, `YYYY-MM-DD`, in the catalog's time zone.
    pub from: Option<String>,
    /// The last day, `YYYY-MM-DD`, in the catalog's time zone; the whole day is included.
    pub until: Option<String>,
}

/// A group of offers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// Words by which caps and placements can choose; its offers inherit them.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Why its offers are made, when the offer does not say: the id of a purpose. Without one only opt-outs matter.
    pub purpose: Option<String>,
    /// The propensity of offers that no model scores, 0 to 1.
    pub start_propensity: f64,
    /// What an acceptance is worth when the offer does not say.
    #[serde(default = "one")]
    pub value: f64,
    /// The business's thumb on the scale when the offer does not say; 1 is neutral.
    #[serde(default = "one")]
    pub lever: f64,
    /// Whether contact limits apply to its offers when the offer does not say.
    pub contact_policy: Option<ContactPolicy>,
    /// How much each intent speaks for the group: context weight = 1 + the sum of this × the intent's strength.
    #[serde(default)]
    pub intents: BTreeMap<String, f64>,
    /// May have it at all.
    #[serde(default)]
    pub eligibility: Vec<Rule>,
    /// Makes sense now.
    #[serde(default)]
    pub applicability: Vec<Rule>,
    /// Is in the customer's interest.
    #[serde(default)]
    pub suitability: Vec<Rule>,
}

const fn one() -> f64 {
    1.0
}

/// An offer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Its id.
    pub id: String,
    /// The group whose conditions it inherits.
    pub group: String,
    /// Its name for people.
    pub name: String,
    /// Words by which caps and placements can choose, besides the group's.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Why it is made, instead of the group's purpose.
    pub purpose: Option<String>,
    /// When it may be shown.
    #[serde(default)]
    pub valid: Validity,
    /// Its attributes, of the types declared under `attributes: offer:`.
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// The propensity when no model scores it, instead of the group's.
    pub start_propensity: Option<f64>,
    /// What an acceptance is worth, instead of the group's.
    pub value: Option<f64>,
    /// The business's thumb on the scale, instead of the group's.
    pub lever: Option<f64>,
    /// Whether contact limits apply to it, instead of the group's; `applies` when neither says.
    pub contact_policy: Option<ContactPolicy>,
    /// How much each intent speaks for it; replaces the group's number for the intents that it names.
    #[serde(default)]
    pub intents: BTreeMap<String, f64>,
    /// May have it at all; besides the group's.
    #[serde(default)]
    pub eligibility: Vec<Rule>,
    /// Makes sense now; besides the group's.
    #[serde(default)]
    pub applicability: Vec<Rule>,
    /// Is in the customer's interest; besides the group's.
    #[serde(default)]
    pub suitability: Vec<Rule>,
    /// What is shown, per channel; an offer without a treatment for a channel is not shown there.
    pub treatments: BTreeMap<String, BTreeMap<String, String>>,
    /// What customers of a hold-out with `gets: control` are shown instead, on every channel that has a treatment.
    #[serde(default)]
    pub control: BTreeMap<String, String>,
}

/// A place on a channel that shows offers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Its id, as callers name it.
    pub id: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// The channels that may ask for it; all when empty.
    #[serde(default)]
    pub channels: Vec<String>,
    /// Only offers of these groups; all when empty.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Only offers with one of these labels; all when empty.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How many offers a caller may ask for at most.
    #[serde(default = "ten")]
    pub count_max: u32,
    /// At most this many offers of one group; no limit when absent.
    pub per_group_max: Option<u32>,
    /// The content when nothing qualifies.
    #[serde(default)]
    pub fallback: BTreeMap<String, String>,
}

const fn ten() -> u32 {
    10
}
