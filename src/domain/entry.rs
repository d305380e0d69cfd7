//! Entries: everything that can change a customer, as data.
//!
//! A profile is nothing but the fold of its entries in order ([`crate::decision::fold`]). The engine makes an entry,
//! folds it, and hands it to the journal; nothing changes a profile in any other way.

use super::contact::{Contact, Counted};
use super::event::Event;
use super::ids::CustomerKey;
use super::profile::{Joined, Profile};
use super::request::RequestKey;
use super::symbol::Symbol;
use super::time::Timestamp;
use super::value::Value;

/// One change of one customer.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Attributes and consent were written.
    Profile(ProfileChange),
    /// The customer did something.
    Event(Event),
    /// Offers were decided, and so reserved.
    Decision(Reservation),
    /// A decided offer was delivered, seen, clicked and so on.
    Outcome {
        /// What the caller told.
        report: OutcomeReport,
        /// When it was told; not before it happened.
        received_at: Timestamp,
    },
    /// Decided offers will not be shown after all.
    Cancel(Cancellation),
    /// A visitor was joined to the customer.
    Joined(Box<Joined>),
    /// A joined visitor is a person of its own again.
    Parted(CustomerKey),
    /// A visitor that was joined goes on with its own profile.
    Restored(Box<Profile>),
    /// Something was reported about a contact of a joined visitor.
    OfVisitor {
        /// Whose contact it is.
        visitor: CustomerKey,
        /// What: an outcome, or a cancellation.
        entry: Box<Self>,
    },
}

/// New values of some attributes and consents; what is not named stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileChange {
    /// New values; [`Value::Missing`] makes an attribute unknown again.
    pub attributes: Vec<(Symbol, Value)>,
    /// Whether all attributes that are not named become unknown.
    pub replace: bool,
    /// New answers to "no offers on this channel".
    pub opt_outs: Vec<(Symbol, bool)>,
    /// New answer to "no offers at all".
    pub opt_out_of_all: Option<bool>,
    /// New answers for purposes.
    pub consents: Vec<ConsentChange>,
}

/// A new answer to being contacted for a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentChange {
    /// For which purpose.
    pub purpose: Symbol,
    /// On which channel; all on which there is no answer of its own when absent.
    pub channel: Option<Symbol>,
    /// Whether the customer agrees or objects; absent takes the answer back.
    pub granted: Option<bool>,
}

/// The offers of one decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Reservation {
    /// The number of the decision: one more than the profile's latest.
    pub decision: u32,
    /// The channel that asked.
    pub channel: Symbol,
    /// The campaign that asked, if one did.
    pub campaign: Option<Symbol>,
    /// When it was decided.
    pub at: Timestamp,
    /// The placement and the offer of each contact, in the order of the answer.
    pub contacts: Vec<(Symbol, Symbol)>,
    /// Whether the contacts are in the books that are kept over all customers.
    pub in_volumes: bool,
    /// The request that asked, when it has an id.
    pub request: Option<RequestKey>,
}

impl Reservation {
    /// Makes the contacts that the decision begins.
    pub fn begun(&self) -> impl Iterator<Item = Contact> {
        self.contacts.iter().map(|&(placement, offer)| Contact {
            campaign: self.campaign,
            in_volumes: self.in_volumes,
            ..Contact::decided(self.decision, offer, self.channel, placement, self.at)
        })
    }
}

/// What became of one decided offer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutcomeReport {
    /// The number of the decision.
    pub decision: u32,
    /// The offer.
    pub offer: Symbol,
    /// The placement, when the caller said which; otherwise every contact of the decision with this offer.
    pub placement: Option<Symbol>,
    /// What happened; never [`Counted::Decided`].
    pub outcome: Counted,
    /// When it happened.
    pub at: Timestamp,
}

/// Decided offers that will not be shown after all. What was reported of before stays as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cancellation {
    /// The number of the decision.
    pub decision: u32,
    /// The offer; all of the decision when absent.
    pub offer: Option<Symbol>,
    /// The placement; all of the decision when absent.
    pub placement: Option<Symbol>,
    /// When it was cancelled.
    pub at: Timestamp,
}
