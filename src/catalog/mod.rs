//! One immutable, validated version of everything the business decides: schema, offers, rules, intents, caps,
//! placements and model columns.
//!
//! [`source`] is what people write, [`load()`] turns it into a [`Catalog`] or into the list of everything that is wrong
//! with it. A decision works on one snapshot from start to end. Lists are in a fixed order, offers by id, so equal
//! files make equal catalogs, and positions (`u16`, `usize`) are only ever used together with the snapshot they belong to.

mod column;
mod convert;
pub mod diagnostic;
mod document;
mod duration;
mod gates;
pub mod load;
pub mod manifest;
mod policy;
mod read;
mod reads;
mod shape;
pub mod single;
pub mod source;
pub mod values;
mod worth;
mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::contact::Counted;
use crate::domain::profile::Profile;
use crate::domain::symbol::{Positions, Symbol, Symbols};
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;
use crate::rules::{Condition, Index, Variable};

pub use diagnostic::{Diagnostic, Severity};
pub use gates::{HoldOut, Purpose, Quiet};
pub use load::{CatalogFiles, load, load_again};
pub use policy::{Campaign, Cap, Combination, ContactFilter, CoolDown, Only, Volume, Window};
pub use reads::Reads;
pub use shape::json_schema;
pub use source::{
    AggregateKind, AttributeType, ContactPolicy, Direction, Each, FactorSwitches, Per, RestsOn, Trigger,
    UnknownCustomer, VolumePer, WithoutId,
};
pub use worth::Worth;

/// A whole catalog, compiled.
#[derive(Debug)]
pub struct Catalog {
    /// Its name.
    pub name: Arc<str>,
    /// The first 16 hexadecimal digits of the BLAKE3 hash over all its files, manifests included: their bytes, and
    /// their names within the catalog's folder, wherever that lies.
    pub version: Arc<str>,
    /// The names behind the symbols of this version and all before it.
    pub symbols: Symbols,
    /// The IANA time zone of customers whose own is not known.
    pub time_zone: jiff::tz::TimeZone,
    /// The attribute that has a customer's own time zone, if one does.
    pub customer_zone: Option<CustomerZone>,
    /// The day with which a calendar week begins.
    pub week_starts: jiff::civil::Weekday,
    /// What a customer of whom nothing is known gets.
    pub unknown_customer: UnknownCustomer,
    /// Which factors make up the priority.
    pub factors: FactorSwitches,
    /// The channels; position 0.. in the order of the files.
    pub channels: Vec<Channel>,
    /// Names that an event's place may have.
    pub places: Vec<Symbol>,
    /// What is known of customers; parallel to the variables of the space `profile`.
    pub profile: Schema,
    /// What is known of offers.
    pub offer_schema: Schema,
    /// What requests say; the first attribute is `channel`.
    pub context: Schema,
    /// The kinds of behaviour.
    pub events: Vec<EventType>,
    /// The aggregates, `by` already spread out; parallel to the variables of the space `behaviour`.
    pub aggregates: Vec<Aggregate>,
    /// The intents; parallel to the variables of the space `intent`.
    pub intents: Vec<Intent>,
    /// The aggregates as conditions see them; parallel to `aggregates`.
    pub behaviour_variables: Vec<Variable>,
    /// The intents as conditions see them; parallel to `intents`.
    pub intent_variables: Vec<Variable>,
    /// The groups.
    pub groups: Vec<Group>,
    /// The offers, by id.
    pub offers: Vec<Offer>,
    /// The placements.
    pub placements: Vec<Placement>,
    /// The caps, in the order of the files.
    pub caps: Vec<Cap>,
    /// The cool-downs, in the order of the files.
    pub cool_downs: Vec<CoolDown>,
    /// The campaigns, in the order of the files.
    pub campaigns: Vec<Campaign>,
    /// The attempt limits of the campaigns, in the order of the files: caps that count decisions for each offer and campaign.
    pub attempts: Vec<Cap>,
    /// The volumes, in the order of the files.
    pub volumes: Vec<Volume>,
    /// Why customers are contacted, in the order of the files.
    pub purposes: Vec<Purpose>,
    /// The hold-outs, in the order of the files.
    pub hold_outs: Vec<HoldOut>,
    /// The models, in the order of the files, and after them those that are only the first stage of one.
    pub models: Vec<ModelPlan>,
    /// What a ranking reads of a profile and a request: it holds for their values only, and for as long as they are the same.
    pub reads: Reads,
    /// Positions of offers by symbol.
    pub offer_positions: Positions,
    /// Positions of groups by the offer's position: the same as in [`Offer::group`], close together.
    pub offer_groups: Vec<usize>,
    /// What a ranking multiplies, by the offer's position.
    pub worth: Worth,
    /// The conditions and dates of all offers, by position.
    pub gate: Index,
    /// What was hardly meant as it stands, though the catalog can be used; no errors.
    pub warnings: Vec<Diagnostic>,
}

/// Where a customer's own time zone is found.
#[derive(Debug)]
pub struct CustomerZone {
    /// The profile attribute.
    pub attribute: Symbol,
    /// The zone of each of its values, by symbol.
    pub zones: Vec<(Symbol, jiff::tz::TimeZone)>,
}

impl Offer {
    /// Tells whether contact limits do not stop it.
    #[must_use]
    pub fn is_exempt(&self) -> bool {
        self.contact_policy != ContactPolicy::Applies
    }

    /// Tells whether contacts with it do not count.
    #[must_use]
    pub fn is_uncounted(&self) -> bool {
        self.contact_policy == ContactPolicy::ExemptUncounted
    }
}

impl Catalog {
    /// Tells whether a model may be asked to score offers of a group: as the group's own model, or as the first stage of that.
    #[must_use]
    pub fn is_scored(&self, group: usize, by: usize) -> bool {
        let own = self.groups[group].model;
        let first = || self.models.get(own?)?.shortlist.map(|shortlist| shortlist.by);
        own == Some(by) || first() == Some(by)
    }

    /// Returns the model whose first stage the one at this position is; the first of several.
    #[must_use]
    pub fn whose_first_stage(&self, position: usize) -> Option<&ModelPlan> {
        let is_by = |plan: &&ModelPlan| plan.shortlist.is_some_and(|shortlist| shortlist.by == position);
        self.models.iter().find(is_by)
    }

    /// Returns the time zone of a customer: the customer's own, else the catalog's.
    #[must_use]
    pub fn zone_of(&self, profile: &Profile) -> &jiff::tz::TimeZone {
        let own = self.customer_zone.as_ref().and_then(|customer_zone| {
            let Value::Category(value) = profile.attribute(customer_zone.attribute) else {
                return None;
            };
            let at = customer_zone.zones.binary_search_by_key(&value, |entry| entry.0).ok()?;
            Some(&customer_zone.zones[at].1)
        });
        own.unwrap_or(&self.time_zone)
    }
}

/// The attributes of one space with the same variables as conditions see them.
#[derive(Debug, Default)]
pub struct Schema {
    /// The attributes.
    pub attributes: Vec<Attribute>,
    /// The same, for the condition compiler; parallel.
    pub variables: Vec<Variable>,
    /// Positions by symbol.
    pub positions: Positions,
}

/// One attribute.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its id.
    pub id: Arc<str>,
    /// Its symbol.
    pub symbol: Symbol,
    /// Its type.
    pub attribute_type: AttributeType,
    /// What it means.
    pub description: Arc<str>,
    /// The allowed values of a category or set, as written.
    pub values: Vec<(Arc<str>, Symbol)>,
    /// The lowest and highest allowed number.
    pub range: Option<(f64, f64)>,
}

/// A channel.
#[derive(Debug)]
pub struct Channel {
    /// Its id.
    pub id: Arc<str>,
    /// Its symbol.
    pub symbol: Symbol,
    /// Its name for people.
    pub name: Arc<str>,
    /// Who comes to whom.
    pub direction: Direction,
    /// How long an unconfirmed contact counts.
    pub reservation: Millis,
    /// `<channel>.quiet`, the rule that quiet hours go by.
    pub quiet_rule: Arc<str>,
    /// When nobody is contacted on it.
    pub quiet: Vec<Quiet>,
}

/// A kind of behaviour.
#[derive(Debug)]
pub struct EventType {
    /// Its id.
    pub id: Arc<str>,
    /// Its symbol.
    pub symbol: Symbol,
    /// What it carries. The last two variables are always `channel` and `place`.
    pub schema: Schema,
    /// Positions of the aggregates that it may feed, sessions included.
    pub feeds_aggregates: Vec<usize>,
    /// Positions of (intent, signal) that it may feed.
    pub feeds_intents: Vec<(usize, usize)>,
}

/// An aggregate.
#[derive(Debug)]
pub struct Aggregate {
    /// Its id, with the value when it came from a `by`.
    pub id: Arc<str>,
    /// The symbol of id, kind, step and a hash of what feeds it: what was gathered otherwise must not be mistaken for it.
    pub symbol: Symbol,
    /// What is kept.
    pub kind: AggregateKind,
    /// The condition on the event.
    pub condition: Option<Condition>,
    /// For a sum or last: the position of the attribute in the event type's schema.
    pub attribute: Option<usize>,
    /// When spread out by a category: the position of that attribute, and the value that is kept here.
    pub by: Option<(usize, Symbol)>,
    /// The grain of time.
    pub step: Millis,
    /// How many steps make up the window; 0 for recency and last.
    pub steps: i64,
}

/// An intent.
#[derive(Debug)]
pub struct Intent {
    /// Its id.
    pub id: Arc<str>,
    /// Its symbol.
    pub symbol: Symbol,
    /// The condition and the weight in thousandths of each signal.
    pub signals: Vec<Signal>,
    /// Ages and what is left up to there, by age; after the last, nothing.
    pub decay: Vec<(Millis, f64)>,
    /// The strength never exceeds this.
    pub strength_max: f64,
}

/// What feeds an intent.
#[derive(Debug)]
pub struct Signal {
    /// The condition on the event.
    pub condition: Option<Condition>,
    /// The strength of one fresh event, in thousandths.
    pub weight_thousandths: u32,
}

/// A named condition.
#[derive(Debug)]
pub struct Rule {
    /// `<group or offer>.<rule>`.
    pub id: Arc<str>,
    /// What must hold; the same for all rules that are written the same.
    pub condition: Arc<Condition>,
    /// Why, in words for people.
    pub because: Arc<str>,
}

/// The conditions of the three stages.
#[derive(Debug, Default)]
pub struct Stages {
    /// May have it at all.
    pub eligibility: Vec<Rule>,
    /// Makes sense now.
    pub applicability: Vec<Rule>,
    /// Is in the customer's interest.
    pub suitability: Vec<Rule>,
}

impl Stages {
    /// Returns the rules, stage after stage.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let stages = [&self.eligibility, &self.applicability, &self.suitability];
        stages.into_iter().flatten()
    }
}

/// A group.
#[derive(Debug)]
pub struct Group {
    /// Its id.
    pub id: Arc<str>,
    /// Its symbol.
    pub symbol: Symbol,
    /// Its name for people.
    pub name: Arc<str>,
    /// Its conditions.
    pub stages: Stages,
    /// The position in [`Catalog::purposes`] of why its offers are made.
    pub purpose: Option<usize>,
    /// The position in [`Catalog::models`] of the model that scores it.
    pub model: Option<usize>,
}

/// An offer.
#[derive(Debug)]
pub struct Offer {
    /// Its id.
    pub id: Arc<str>,
    /// Its symbol.
    pub symbol: Symbol,
    /// Its name for people.
    pub name: Arc<str>,
    /// Position of its group.
    pub group: usize,
    /// Its labels and its group's, sorted.
    pub labels: Vec<Symbol>,
    /// Whether contact limits apply to it.
    pub contact_policy: ContactPolicy,
    /// The first instant at which it may be shown.
    pub valid_from: Timestamp,
    /// The first instant at which it may no longer be shown.
    pub valid_until: Timestamp,
    /// Its attributes, parallel to the offer schema.
    pub attributes: Vec<Value>,
    /// The propensity when no model scores it.
    pub start_propensity: f32,
    /// What an acceptance is worth.
    pub value: f64,
    /// The business's thumb on the scale.
    pub lever: f64,
    /// How much each intent speaks for it: (position of the intent, weight), by position.
    pub intents: Vec<(usize, f64)>,
    /// Its own conditions, besides the group's.
    pub stages: Stages,
    /// What is shown, by the channel's position.
    pub treatments: Vec<Option<BTreeMap<Arc<str>, Arc<str>>>>,
    /// The position in [`Catalog::purposes`] of why it is made: its own, else its group's.
    pub purpose: Option<usize>,
    /// What is shown instead to customers of a hold-out that shows control content.
    pub control: Option<BTreeMap<Arc<str>, Arc<str>>>,
}

/// A placement.
#[derive(Debug)]
pub struct Placement {
    /// Its id.
    pub id: Arc<str>,
    /// Its symbol.
    pub symbol: Symbol,
    /// Its name for people.
    pub name: Arc<str>,
    /// By the channel's position: whether that channel may ask for it.
    pub channels: Vec<bool>,
    /// By the offer's position: whether the offer may fill it.
    pub offers: Vec<bool>,
    /// How many offers a caller may ask for at most.
    pub count_max: usize,
    /// At most this many offers of one group.
    pub per_group_max: Option<usize>,
    /// The content when nothing qualifies.
    pub fallback: BTreeMap<Arc<str>, Arc<str>>,
}

/// A model's columns, resolved against this catalog.
#[derive(Debug)]
pub struct ModelPlan {
    /// The model's name: its folder.
    pub name: Arc<str>,
    /// Its version, from the manifest.
    pub version: Arc<str>,
    /// One per input column of the model, in its order.
    pub columns: Vec<Column>,
    /// Which offers it scores when many pass; without it, all of them.
    pub shortlist: Option<Shortlist>,
    /// What does not change from decision to decision: the columns that read the offer and no clock.
    pub by_offer: Vec<OfferCells>,
}

/// Which offers a model scores when many pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortlist {
    /// The position in [`Catalog::models`] of the first stage, which scores all of them.
    pub by: usize,
    /// How many of the best the model scores itself.
    pub keep: usize,
}

/// A column that is known for every offer when the catalog is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferCells {
    /// Its position in [`ModelPlan::columns`].
    pub column: usize,
    /// What the model sees, by the offer's position.
    pub cells: Vec<f32>,
}

/// One input column of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Where the value comes from.
    pub from: ColumnSource,
    /// How it becomes a number.
    pub encoding: Encoding,
    /// The number when the value is not known.
    pub missing: f32,
    /// The lowest and highest number passed on.
    pub clip: Option<(f64, f64)>,
    /// Whether ln(1 + x) is taken, after clipping.
    pub log1p: bool,
}

/// Where a column's value comes from; positions are those of the catalog's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnSource {
    /// An attribute of the customer.
    Profile(usize),
    /// An attribute of the offer.
    Offer(usize),
    /// An aggregate.
    Behaviour(usize),
    /// The strength of an intent.
    Intent(usize),
    /// What the request says.
    Context(usize),
    /// How many contacts the customer had.
    Contacts {
        /// What is counted.
        counted: Counted,
        /// Contacts with what, relative to the offer being scored.
        scope: ContactScope,
        /// How far back; `None` is ever.
        within: Option<Millis>,
    },
}

/// Contacts with what, relative to the offer being scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactScope {
    /// The same offer.
    Offer,
    /// Any offer of the same group.
    Group,
    /// Any offer.
    All,
}

/// How a value becomes a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Encoding {
    /// The number itself; a boolean is 0 or 1.
    Number,
    /// 1 when the category is this one, else 0.
    Equals(Symbol),
    /// 1 when the set has this bit, else 0.
    Contains(u64),
    /// The number listed for the category, or `unknown`.
    Ordinal {
        /// Categories and their numbers.
        codes: Vec<(Symbol, f32)>,
        /// The number of a category that is not listed.
        unknown: f32,
    },
    /// Whole days from the date to now, negative when it lies ahead.
    DaysSince,
}
