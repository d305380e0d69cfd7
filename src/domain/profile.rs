//! What is known of one customer, and its limits.
//!
//! The working form: plain sorted lists, unpacked from the store for one request and packed again when something
//! changed. Everything is keyed by symbols, never by a catalog's positions, so a profile survives any catalog change.
//!
//! Every list has a limit, so that no customer can grow without bound; what happens there is said at each constant.

use super::contact::Contact;
use super::ids::{CustomerId, CustomerKey};
use super::request::RequestKey;
use super::symbol::Symbol;
use super::time::Timestamp;
use super::value::Value;

/// Latest events kept with their details, in order of arrival; older ones leave only their id.
pub const EVENTS_KEPT: usize = 16;
/// Event ids remembered to recognise repeats, the kept events included. A repeat of an event that lies further back
/// than this many others counts twice.
pub const EVENT_IDS_KEPT: usize = 128;
/// Matching events that one intent remembers; the latest win. More than this many at once say no more about interest.
pub const TRACES_PER_INTENT: usize = 8;
/// Time steps kept of aggregates, and events of intents, that the catalog no longer declares. Whoever takes one out and
/// puts it back the same loses nothing up to here: this holds two of the longest windows. Beyond it, everything of the one
/// whose name is oldest goes first.
pub const UNDECLARED_KEPT: usize = 128;
/// Sessions remembered; the latest win.
pub const SESSIONS_KEPT: usize = 16;
/// Contacts kept when no cap needs them; beyond it the oldest such contact is dropped.
pub const CONTACTS_KEPT: usize = 256;
/// Request ids remembered that reserved something; the latest win. A call is repeated within seconds, while its caller still
/// waits; a repeat of one that lies further back than this many others is a new request.
pub const REQUESTS_KEPT: usize = 16;
/// Contacts beyond which a customer whose caps still need all of them gets no further offer.
pub const CONTACTS_MAX: usize = 1_024;

/// Visitors joined to one customer, at most: the devices and browsers of one person. One more is refused.
pub const JOINED_MAX: usize = 8;
/// Bytes that the profiles of all visitors joined to one customer may have in their packed form. Each decision of the customer is
/// written with all of them, so more is refused; a visitor with a hundred contacts has about 1 kB.
pub const JOINED_BYTES_MAX: usize = 64 << 10;

/// One customer's state.
///
/// Who it is stays outside: the store knows the id, and nothing that decides needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Counts every change, from 0 for a profile that was never written.
    pub version: u64,
    /// Counts the changes that can move the ranking, by what the catalog reads that folded them in; a mere reservation usually does not.
    pub ranking_version: u64,
    /// The number of the latest decision; 0 when there was none.
    pub decisions: u32,
    /// The attributes that are known, by symbol.
    pub attributes: Vec<(Symbol, Value)>,
    /// Channels on which the customer wants no offers, by symbol.
    pub opt_outs: Vec<Symbol>,
    /// Whether the customer wants no offers on any channel.
    pub opted_out_of_all: bool,
    /// The customer's answers for purposes, by (purpose, channel); those for all channels have none and come first.
    pub consents: Vec<Consent>,
    /// Counts and sums per aggregate and time step, by (aggregate, step).
    pub buckets: Vec<Bucket>,
    /// The latest matching event per aggregate of kind recency or last, by aggregate.
    pub latest: Vec<Latest>,
    /// The latest matching events per intent, by (intent, time, id).
    pub traces: Vec<Trace>,
    /// The latest sessions, by (last event, hash).
    pub sessions: Vec<Session>,
    /// The latest events in order of arrival.
    pub events: Vec<EventDigest>,
    /// Hashes of the ids of events before those, in order of arrival.
    pub older_event_ids: Vec<u64>,
    /// The contacts in order of decision.
    pub contacts: Vec<Contact>,
    /// The latest requests with an id that reserved something, in order of decision.
    pub requests: Vec<RequestTrace>,
    /// The visitors that are joined to the customer, in the order of joining; what is above is the customer's own.
    pub joined: Vec<Joined>,
}

/// A visitor that is joined to a customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// Who.
    pub visitor: CustomerId,
    /// When; no decision of either of the two is later that did not know of the other.
    pub merged_at: Timestamp,
    /// Whose attributes come first.
    pub precedence: Precedence,
    /// The number of the key with which is sealed what was written of the visitor alone; 0 when there is none.
    pub slot: u32,
    /// Whether anything was known of the visitor.
    pub known: bool,
    /// The visitor's own, as it was when joined. Only reports about its own contacts change it.
    pub profile: Profile,
}

/// Whose attribute holds when customer and visitor both have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precedence {
    /// The customer's; the visitor's fill the gaps.
    #[default]
    Customer,
    /// The visitor's; it stands before what the customer, and visitors joined earlier, have.
    Visitor,
}

/// What is kept of a request with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTrace {
    /// By what it is recognised.
    pub key: RequestKey,
    /// The number of the decision that answered it.
    pub decision: u32,
}

/// The customer's answer to being contacted for a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    /// For which purpose.
    pub purpose: Symbol,
    /// On which channel; all on which there is no answer of its own when absent.
    pub channel: Option<Symbol>,
    /// Whether the customer agreed; otherwise the customer objects.
    pub granted: bool,
}

/// The amount that one aggregate gathered in one time step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Which aggregate.
    pub aggregate: Symbol,
    /// Which step: the event time divided by the aggregate's step, rounded down.
    pub step: i64,
    /// The count, or the sum in thousandths: whole numbers, so that the order of arrival cannot change the result.
    pub amount: i64,
}

/// The latest matching event of one aggregate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latest {
    /// Which aggregate.
    pub aggregate: Symbol,
    /// When it happened.
    pub time: Timestamp,
    /// Tells two events of the same instant apart, so that the order of arrival cannot change the result.
    pub id_hash: u64,
    /// The value of the declared attribute; missing for a recency.
    pub value: Value,
}

/// One event that fed an intent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trace {
    /// Which intent.
    pub intent: Symbol,
    /// When it happened.
    pub time: Timestamp,
    /// Tells two events of the same instant apart.
    pub id_hash: u64,
    /// How much it weighs when fresh, in thousandths.
    pub weight_thousandths: u32,
}

/// One visit: events that carry the same session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Hash of the session id.
    pub id_hash: u64,
    /// Time of its earliest event.
    pub first: Timestamp,
    /// Time of its latest event.
    pub last: Timestamp,
    /// How many events it had.
    pub events: u32,
}

/// What is kept of a recent event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventDigest {
    /// Hash of the event's id.
    pub id_hash: u64,
    /// Its type.
    pub event_type: Symbol,
    /// When it happened.
    pub time: Timestamp,
    /// The channel, when known.
    pub channel: Option<Symbol>,
    /// The page, branch or screen, when known.
    pub place: Option<Symbol>,
}

impl Profile {
    /// Forgets everything but keeps the memory for reuse.
    pub fn clear(&mut self) {
        self.version = 0;
        self.ranking_version = 0;
        self.decisions = 0;
        self.attributes.clear();
        self.opt_outs.clear();
        self.opted_out_of_all = false;
        self.consents.clear();
        self.buckets.clear();
        self.latest.clear();
        self.traces.clear();
        self.sessions.clear();
        self.events.clear();
        self.older_event_ids.clear();
        self.contacts.clear();
        self.requests.clear();
        self.joined.clear();
    }

    /// Returns an attribute's value, or missing.
    #[must_use]
    pub fn attribute(&self, attribute: Symbol) -> Value {
        match self.attributes.binary_search_by_key(&attribute, |entry| entry.0) {
            Ok(at) => self.attributes[at].1,
            Err(_) => Value::Missing,
        }
    }

    /// Tells whether the customer, or a visitor that is joined, wants no offers on `channel`.
    #[must_use]
    pub fn is_opted_out_of(&self, channel: Symbol) -> bool {
        self.opted_out_of_all
            || self.opt_outs.binary_search(&channel).is_ok()
            || self.joined.iter().any(|joined| joined.profile.is_opted_out_of(channel))
    }

    /// Returns the joined visitor with this key.
    #[must_use]
    pub fn joined_as(&self, visitor: CustomerKey) -> Option<&Joined> {
        self.joined.iter().find(|joined| joined.visitor.key() == visitor)
    }

    /// Returns the customer's answer to being contacted for `purpose` on `channel`, if there is one: the answer for the
    /// channel, else the one for all channels.
    #[must_use]
    pub fn consent(&self, purpose: Symbol, channel: Symbol) -> Option<bool> {
        let answer = |channel| {
            let key = |consent: &Consent| (consent.purpose, consent.channel);
            let at = self.consents.binary_search_by_key(&(purpose, channel), key).ok()?;
            Some(self.consents[at].granted)
        };
        answer(Some(channel)).or_else(|| answer(None))
    }

    /// Tells whether an event with this id was recorded, of the customer or of a visitor that is joined, as far as the profile
    /// remembers.
    #[must_use]
    pub fn remembers_event(&self, id_hash: u64) -> bool {
        self.events.iter().any(|event| event.id_hash == id_hash)
            || self.older_event_ids.contains(&id_hash)
            || self.joined.iter().any(|joined| joined.profile.remembers_event(id_hash))
    }
}
