//! The contact policy as it is written: caps, cool-downs, campaigns, and the words that they share.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountedName {
    /// The engine answered with the offer.
    Decided,
    /// The channel handed it over.
    Delivered,
    /// The customer saw or heard it.
    Seen,
    /// The customer clicked or asked for more.
    Clicked,
    /// The customer said yes.
    Accepted,
    /// The customer said no.
    Refused,
    /// The product was opened or bought.
    Converted,
}

/// Who comes to whom on a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The customer comes to us.
    #[default]
    Inbound,
    /// We come to the customer.
    Outbound,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    #[default]
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight; 23 or 25 hours when the clocks change.
    Day,
    /// Seven days, from the day that `week_starts` names.
    Week,
    /// From the first of a month to the first of the next.
    Month,
}

/// For what a cap counts separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    /// Every offer has its own count.
    Offer,
    /// Every group has its own count.
    Group,
    /// Every channel has its own count.
    Channel,
    /// Every placement has its own count.
    Placement,
    /// Every campaign has its own count, and what no campaign asked for has one together.
    Campaign,
}

/// One, or a list whose combinations are counted separately.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EachOf {
    /// One.
    One(Each),
    /// Every combination has its own count, as in `[offer, channel]`.
    Combination(Vec<Each>),
}

impl EachOf {
    /// Returns the list; of one, the one.
    #[must_use]
    pub fn list(&self) -> &[Each] {
        match self {
            Self::One(each) => std::slice::from_ref(each),
            Self::Combination(list) => list,
        }
    }
}

/// What a cap or a volume does with a visitor without any id, whose contacts nobody can count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithoutId {
    /// It stops what it is about: better too little than too much.
    #[default]
    Closed,
    /// A cap lets everything through. A volume does as long as it has room, and does not count it.
    Open,
}

/// Whether contact limits, quiet hours and hold-outs apply to an offer. Opt-outs, consent and a full contact history do in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContactPolicy {
    /// They stop it, and contacts with it count.
    #[default]
    Applies,
    /// A service message: they do not stop it, but contacts with it count for other offers.
    Exempt,
    /// A service message: they do not stop it, and contacts with it do not count.
    ExemptUncounted,
}

/// A contact limit: at most so many, of what, within which window, for which contacts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// Its id; explanations name it.
    pub id: String,
    /// Why, in words for people.
    #[serde(default)]
    pub because: String,
    /// The number allowed in the window; 0 is never.
    pub at_most: u32,
    /// What is counted. As `decided` an offer counts from the answer on, and only a cancellation takes that back. As `delivered` or
    /// `seen` it counts from the answer on too, until it is cancelled or its channel's reservation time is over, and once it is
    /// reported for the whole window. All else counts from its report on.
    pub of: CountedName,
    /// A rolling window, as in `7d` back from now, or `ever`. Either this or `per`.
    pub within: Option<String>,
    /// A calendar window in the customer's time zone: this hour, day, week or month. Either this or `within`.
    pub per: Option<Per>,
    /// Counts separately for every offer, group, channel, placement, campaign or combination, instead of all contacts together;
    /// not by label or direction, for which the filters are.
    pub each: Option<EachOf>,
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
    /// Only contacts in these placements; all when empty.
    #[serde(default)]
    pub placements: Vec<String>,
    /// Only contacts on channels of these directions; all when empty.
    #[serde(default)]
    pub directions: Vec<Direction>,
    /// Only contacts that these campaigns asked for; all when empty.
    #[serde(default)]
    pub campaigns: Vec<String>,
    /// What becomes of a visitor without any id.
    #[serde(default)]
    pub without_id: WithoutId,
}

/// After what an offer rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The customer said no.
    Refused,
    /// The customer said yes.
    Accepted,
    /// The product was opened or bought.
    Converted,
    /// The customer clicked or asked for more.
    Clicked,
    /// It was presented, or may still be, and the customer neither clicked, accepted nor bought.
    Ignored,
    /// The engine answered with it, whatever came of it.
    Attempted,
}

/// What rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestsOn {
    /// The offer itself.
    #[default]
    Offer,
    /// All offers of its group.
    Group,
    /// All offers.
    Everything,
}

/// A rest after what a customer did, or did not do, with an offer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CoolDown {
    /// Its id; explanations name it.
    pub id: String,
    /// Why, in words for people.
    #[serde(default)]
    pub because: String,
    /// After what.
    pub after: Trigger,
    /// After how many of them with the same offer.
    #[serde(default = "once")]
    pub times: u32,
    /// The span in which so many must lie, as in `30d`; however far apart when absent.
    pub within: Option<String>,
    /// How long, from the last of them on, as in `90d`, or `for_good`.
    pub rest: String,
    /// What rests.
    #[serde(default)]
    pub on: RestsOn,
    /// Besides, all offers with one of these labels rest.
    #[serde(default)]
    pub on_labels: Vec<String>,
    /// Only after contacts with these offers; all when empty.
    #[serde(default)]
    pub offers: Vec<String>,
    /// Only after contacts with offers of these groups; all when empty.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Only after contacts with offers that have one of these labels; all when empty.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Only after contacts on these channels; all when empty.
    #[serde(default)]
    pub channels: Vec<String>,
    /// Only after contacts on channels of these directions; all when empty.
    #[serde(default)]
    pub directions: Vec<Direction>,
}

const fn once() -> u32 {
    1
}

/// A campaign that requests can name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Its id, as callers name it.
    pub id: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// How often it may come with the same offer; no limit of its own when absent.
    pub attempts: Option<Attempts>,
}

/// How often a campaign may come to a customer with the same offer. What counts is the attempt, whatever came of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempts {
    /// After so many attempts it stops for good; no end when absent.
    pub at_most: Option<u32>,
    /// The least time from one attempt to the next, as in `1d`; none when absent.
    pub apart: Option<String>,
}
