//! The exported contact history, as the auditor reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the format that is read here.
pub const FORMAT: u32 = 2;

/// An instant in milliseconds since 1970-01-01T00:00:00Z; in the file as RFC 3339, as in `2026-03-02T09:00:00.001Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub i64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        jiff::Timestamp::from_str(&text)
            .map(|instant| Self(instant.as_millisecond()))
            .map_err(|_| {
                serde::de::Error::custom(format!("`{text}` is no instant; write it as 2026-03-02T09:00:00.001Z"))
            })
    }
}

/// The first line.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format, [`FORMAT`].
    pub nbo_contacts: u32,
    /// When the export began.
    pub exported_at: Instant,
    /// The policies, oldest first.
    pub policies: Vec<Policy>,
    /// How long a call may be under way; no part of the file.
    #[serde(skip)]
    pub under_way_ms: i64,
}

impl Header {
    /// Finds the policy that was surely in force at an instant.
    #[must_use]
    pub fn in_force(&self, at: Instant) -> Option<usize> {
        let latest = self.policies.iter().rposition(|policy| policy.in_force_from <= at)?;
        let is_over = self.policies[latest].in_force_until.is_some_and(|until| until <= at);
        (!is_over).then_some(latest)
    }

    /// Returns up to when a contact was surely reserved over all customers, for a decision under the policy at this position: no longer
    /// than any policy said that was in force since, as what was over by one stays over. Where one of them may be missing in the
    /// file, nobody can say.
    pub(super) fn surely_reserved_until(&self, contact: &Contact, policy: usize) -> Instant {
        let decided_at = contact.decided_at;
        let mut until = self.policies[policy].reserved_until(contact);
        for at in (0..=policy).rev() {
            let from = self.policies[at].in_force_from;
            if from <= decided_at {
                return until;
            }
            let Some(before) = at.checked_sub(1).map(|at| &self.policies[at]) else {
                break;
            };
            let follows = |end: Instant| from.0.saturating_sub(end.0) <= BETWEEN_MS;
            if !before.in_force_until.is_some_and(follows) {
                break;
            }
            until = until.min(before.reserved_until(contact));
        }
        decided_at
    }
}

/// How long after the end of one policy the next one begins at the latest, in milliseconds, if none between them is missing: calls may be
/// under way for so long.
const BETWEEN_MS: i64 = 60_000;

/// The limits of one catalog version.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// From when on every decision was made under it.
    pub in_force_from: Instant,
    /// Up to when every decision was made under it; absent is until now. Decisions that were under way when the next
    /// policy came belong to neither.
    #[serde(default)]
    pub in_force_until: Option<Instant>,
    /// The version of the catalog.
    pub catalog: String,
    /// The IANA zone in which volumes are counted, and caps of customers without a zone.
    pub time_zone: String,
    /// The first day of a week.
    pub week_starts: Weekday,
    /// Every offer that may stand in a contact, withdrawn ones included.
    pub offers: BTreeMap<String, Offer>,
    /// By channel, for how long a decided offer is reserved while this policy is in force. Of a channel that is not there, a contact
    /// says it itself.
    #[serde(default)]
    pub reservations_ms: BTreeMap<String, i64>,
    /// The caps.
    #[serde(default)]
    pub caps: Vec<Cap>,
    /// The cool-downs.
    #[serde(default)]
    pub cool_downs: Vec<CoolDown>,
    /// The limits over all customers.
    #[serde(default)]
    pub volumes: Vec<Volume>,
}

impl Policy {
    pub(super) fn zone(&self) -> TimeZone {
        zone(&self.time_zone).unwrap_or(TimeZone::UTC)
    }

    /// Returns up to when a contact is reserved by this policy.
    pub(super) fn reserved_until(&self, contact: &Contact) -> Instant {
        self.reservations_ms
            .get(&contact.channel)
            .map_or(contact.reserved_until, |span| {
                Instant(contact.decided_at.0.saturating_add(*span))
            })
    }

    pub(super) fn check(&self) -> Result<(), String> {
        zone(&self.time_zone).map(drop)
    }

    /// Tells whether contacts with an offer count.
    pub(super) fn counts(&self, offer: &str) -> bool {
        self.offers.get(offer).is_none_or(|offer| offer.counted)
    }

    /// Tells whether limits stop an offer.
    pub(super) fn stops(&self, offer: &str) -> bool {
        self.offers.get(offer).is_none_or(|offer| offer.stopped)
    }

    pub(super) fn group(&self, offer: &str) -> Option<&str> {
        self.offers.get(offer).map(|offer| offer.group.as_str())
    }
}

pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    jiff::tz::TimeZoneDatabase::bundled()
        .get(name)
        .map_err(|_| format!("there is no time zone `{name}`"))
}

/// What limits need to know of an offer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Its group.
    pub group: String,
    /// Whether limits stop it: not when it is exempt.
    #[serde(default = "yes")]
    pub stopped: bool,
    /// Whether contacts with it count.
    #[serde(default = "yes")]
    pub counted: bool,
}

const fn yes() -> bool {
    true
}

/// Days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
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

/// What can be counted, in the order in which one implies the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The engine answered with it.
    Decided,
    /// It was handed over.
    Delivered,
    /// It was seen.
    Seen,
    /// It was clicked.
    Clicked,
    /// The answer was yes.
    Accepted,
    /// The answer was no.
    Refused,
    /// It was bought.
    Converted,
}

/// A stretch of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// From a full hour to the next, by the zone's offset of that instant.
    Hour,
    /// From the first instant of a date to that of the next.
    Day,
    /// Seven dates from the first day of the week on.
    Week,
    /// From the first instant of a month to that of the next.
    Month,
}

/// How far back a limit reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// So many milliseconds: what happened exactly so long ago does not count any more.
    RollingMs(i64),
    /// The current stretch of the calendar.
    Calendar(Unit),
    /// All the time.
    Ever,
}

/// For what a cap counts separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Every offer.
    Offer,
    /// Every group.
    Group,
    /// Every channel.
    Channel,
    /// Every placement.
    Placement,
    /// Every campaign.
    Campaign,
}

/// Which contacts a limit is about; what is absent does not matter.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Only these offers.
    pub offers: Option<Vec<String>>,
    /// Only these channels.
    pub channels: Option<Vec<String>>,
    /// Only these placements.
    pub placements: Option<Vec<String>>,
    /// Only these campaigns.
    pub campaigns: Option<Vec<String>>,
}

impl Scope {
    pub(super) fn holds(&self, contact: &Contact) -> bool {
        let lists = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|each| each == name))
        };
        lists(&self.offers, &contact.offer)
            && lists(&self.channels, &contact.channel)
            && lists(&self.placements, &contact.placement)
            && self.campaigns.as_ref().is_none_or(|campaigns| {
                contact
                    .campaign
                    .as_ref()
                    .is_some_and(|campaign| campaigns.contains(campaign))
            })
    }
}

/// At most so many.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// The rule's id.
    pub id: String,
    /// How many.
    pub at_most: usize,
    /// Of what.
    pub of: What,
    /// How far back.
    pub window: Window,
    /// For what separately: contacts that differ in one of these have counts of their own.
    #[serde(default)]
    pub each: Vec<Part>,
    /// Which contacts.
    #[serde(default)]
    pub scope: Scope,
}

/// What starts a cool-down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// A no.
    Refused,
    /// A yes.
    Accepted,
    /// A purchase.
    Converted,
    /// A click.
    Clicked,
    /// Presented without a click.
    Ignored,
    /// Decided.
    Attempted,
}

/// What rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rests {
    /// The offer itself.
    Offer,
    /// Its group.
    Group,
    /// All offers.
    Everything,
}

/// A rest after something happened so many times.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CoolDown {
    /// The rule's id.
    pub id: String,
    /// What.
    pub after: After,
    /// How many times, with one offer.
    pub times: usize,
    /// They must lie within less than this; absent is ever.
    pub within_ms: Option<i64>,
    /// How long from the last of them; absent is for good.
    pub rest_ms: Option<i64>,
    /// What rests.
    pub on: Rests,
    /// These offers rest as well.
    #[serde(default)]
    pub also: Vec<String>,
    /// Which contacts start it.
    #[serde(default)]
    pub scope: Scope,
}

/// At most so many over all customers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// The rule's id.
    pub id: String,
    /// How many in a window.
    pub at_most: u64,
    /// Of what.
    pub of: What,
    /// The window; absent is ever.
    pub per: Option<Unit>,
    /// Whether no more are allowed at an instant than its share of the window, rounded down, and one.
    #[serde(default)]
    pub pace_even: bool,
    /// Which contacts.
    #[serde(default)]
    pub scope: Scope,
}

/// One line: a customer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// The id.
    pub customer: String,
    /// Whether it is that of an anonymous visitor.
    #[serde(default)]
    pub visitor: bool,
    /// The IANA zone, when it is known.
    pub zone: Option<String>,
    /// The contacts, in the order in which they were decided.
    pub contacts: Vec<Contact>,
}

impl Customer {
    pub(super) fn check(&self) -> Result<(), String> {
        let joined = self.contacts.iter().filter_map(|contact| contact.joined.as_ref());
        let mut zones = joined.map(|joined| &joined.zone).chain(&self.zone);
        zones.try_for_each(|name| zone(name).map(drop))
    }

    pub(super) fn name(&self) -> String {
        let kind = if self.visitor { "visitor" } else { "customer" };
        format!("{kind} `{}`", self.customer)
    }
}

/// One contact.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The number of the decision.
    pub decision: u32,
    /// The offer.
    pub offer: String,
    /// The channel.
    pub channel: String,
    /// The placement.
    pub placement: String,
    /// The campaign, if there was one.
    pub campaign: Option<String>,
    /// When it was decided.
    pub decided_at: Instant,
    /// Up to when it counts as presented without a report, by the catalog of the export; what counts is what the policies say, as
    /// far as they do.
    pub reserved_until: Instant,
    /// When it was cancelled, if it was.
    pub cancelled_at: Option<Instant>,
    /// When the latest report came that told of an instant before it came; absent when all came at once.
    pub backdated_at: Option<Instant>,
    /// Whether volumes count it: it was decided while the catalog had volumes.
    #[serde(default = "yes")]
    pub in_volumes: bool,
    /// Whose contact it was, when it is one of a visitor who was joined to the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Joined>,
    /// When each outcome happened.
    #[serde(default)]
    pub outcomes: BTreeMap<What, Instant>,
}

/// Of which joined visitor a contact was.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    /// The number of the visitor among the customer's.
    pub visitor: u32,
    /// When it was joined: what the customer was shown after that counts the visitor's contacts, and nothing before it.
    pub at: Instant,
    /// The IANA zone of the visitor alone, in which what it was shown is recounted.
    pub zone: String,
}

impl Contact {
    /// Tells whether the decision of this contact could know of another one at all: of the same person's, and of those of visitors who
    /// were joined by then.
    pub(super) fn could_know(&self, other: &Self) -> bool {
        match (&self.joined, &other.joined) {
            (None, Some(joined)) => joined.at < self.decided_at,
            (own, others) => own.as_ref().map(|joined| joined.visitor) == others.as_ref().map(|joined| joined.visitor),
        }
    }

    /// Returns when the contact became `what` by reports that were surely known at `now`, which imply what comes before.
    pub(super) fn known(&self, what: What, now: Instant, under_way_ms: i64) -> Option<Instant> {
        let by = Instant(now.0.saturating_sub(under_way_ms));
        if self.backdated_at.is_some_and(|at| by < at) {
            return None;
        }
        self.reported(what).filter(|&at| at <= by)
    }

    /// Returns when the contact became `what` by all reports, known then or not.
    pub(super) fn reported(&self, what: What) -> Option<Instant> {
        match what {
            What::Delivered | What::Seen => self.outcomes.range(what..).map(|(_, at)| *at).min(),
            exactly => self.outcomes.get(&exactly).copied(),
        }
    }

    /// Tells whether the contact may have been cancelled by `now`, with no report since that was surely known.
    pub(super) fn is_cancelled(&self, now: Instant, under_way_ms: i64) -> bool {
        let by = Instant(now.0.saturating_add(under_way_ms));
        self.cancelled_at.is_some_and(|at| at <= by) && self.known(What::Delivered, now, under_way_ms).is_none()
    }
}
