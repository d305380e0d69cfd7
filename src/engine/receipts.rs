//! What callers of the engine get back: receipts, answers, and why a call was refused.

use std::sync::Arc;

use super::Active;
use super::answers::Kept;
use crate::domain::decision::Decision;
use crate::domain::ids::DecisionId;
use crate::domain::profile::{CONTACTS_KEPT, JOINED_BYTES_MAX, JOINED_MAX};
use crate::domain::request::OffersRequest;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::journal::NotWritten;
use crate::store::Full;

/// Why a call was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The catalog serves known customers only.
    #[error("the customer is not known, and the catalog's policy is to record nothing of unknown customers")]
    UnknownCustomer,
    /// The customer was erased.
    #[error(
        "the customer was erased, and nothing is recorded of them; if they themselves came back, write their profile with \
         `after_erasure` set, and they begin anew"
    )]
    Erased,
    /// The customer left memory, and the disk would not take the rest of an erasure.
    #[error(
        "the customer is forgotten and no longer contacted, but what is on the disk is not destroyed yet: {0}; repeat the call when \
         there is room on the disk; a restart ends it as well"
    )]
    NotDestroyed(Arc<str>),
    /// No such decision: never made, or forgotten with its customer, or its contacts gave way to later ones.
    #[error(
        "decision `{0}` is not known: never made, or no longer kept, for of each customer the latest {CONTACTS_KEPT} \
         contacts are kept, and those that a cap still counts"
    )]
    UnknownDecision(DecisionId),
    /// The decision did not show this offer (in this placement); with the placement and the offer of all that it showed.
    #[error("decision `{0}` did not show this offer there")]
    OfferNotInDecision(DecisionId, Vec<(Symbol, Symbol)>),
    /// The id stands for another request.
    #[error(
        "the request id was used for another request of this customer; repeat a call as it was, and give a new one an id of \
         its own"
    )]
    RequestIdReused,
    /// The request was answered before, and the answer is no longer kept.
    #[error(
        "this request was answered before by decision `{0}`, and the answer is no longer kept; nothing was reserved again: \
         cancel that decision, and ask with another request id"
    )]
    AnswerNotKept(DecisionId),
    /// Only a visitor can be joined, and only to a customer.
    #[error(
        "only an anonymous visitor can be joined, and only to a known customer; give the `anonymous_id` of the one and the `id` of the other"
    )]
    NotJoinable,
    /// The visitor is joined to another customer.
    #[error("the visitor is joined to another customer already; undo that first")]
    JoinedToAnother,
    /// The customer has as many visitors as there may be.
    #[error(
        "the customer has {JOINED_MAX} joined visitors already, no more are allowed; undo the joining of one first"
    )]
    TooManyJoined,
    /// The visitors of the customer would hold too much.
    #[error(
        "with this visitor, what is known of the customer's joined visitors would have {0} bytes; at most {JOINED_BYTES_MAX} are allowed"
    )]
    JoinedTooLarge(usize),
    /// What is asked of a visitor can only be done to the customer.
    #[error(
        "the visitor is joined to a customer, so this cannot be done to the visitor alone; name the customer, or undo the joining first"
    )]
    IsJoined,
    /// Whom the call is about changed while it waited. The engine begins such a call anew, so that no caller sees this.
    #[error("whom the call is about changed meanwhile")]
    Moved,
    /// The store is full.
    #[error("no room for another customer: the limit is {0}")]
    TooManyCustomers(usize),
    /// The journal cannot take the change.
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
}

impl From<Full> for Rejection {
    fn from(full: Full) -> Self {
        Self::TooManyCustomers(full.customers_max)
    }
}

/// What became of recorded events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventsReceipt {
    /// How many were new.
    pub applied: usize,
    /// How many had been recorded before, by their id.
    pub duplicates: usize,
    /// The profile's version afterwards.
    pub profile_version: u64,
}

/// What became of a reported outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeReceipt {
    /// Whether it was new; a repeat changes nothing.
    pub recorded: bool,
    /// Whether it came after the reservation's time was over, or after the contact was cancelled.
    pub late: bool,
    /// How many contacts it confirmed: those that were still reserved and of which nothing was reported before.
    pub confirmed: usize,
    /// When their reservation would have ended; `None` when the channel is not in the catalog any more.
    pub due: Option<Timestamp>,
    /// The profile's version afterwards.
    pub profile_version: u64,
}

/// What became of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelReceipt {
    /// How many contacts were released; those of which something was reported, or that were cancelled before, are not
    /// among them.
    pub cancelled: usize,
    /// When their reservation would have ended; `None` when the channel is not in the catalog any more.
    pub due: Option<Timestamp>,
    /// The profile's version afterwards.
    pub profile_version: u64,
}

/// The answer to a call that may have an id.
#[derive(Debug)]
pub struct Answer {
    /// What was decided, now or when the call came first.
    pub decision: Decision,
    /// What it refers to, when it is the answer of an earlier call.
    pub replay: Option<Replay>,
    /// How many of the call's events were new.
    pub applied: usize,
    /// The profile's version with them.
    pub profile_version: u64,
}

/// The answer of an earlier call with the same id.
#[derive(Clone, Debug)]
pub struct Replay(pub(super) Arc<Kept>);

impl Replay {
    /// Returns the snapshot that the positions in the answer refer to.
    #[must_use]
    pub fn active(&self) -> &Active {
        &self.0.active
    }

    /// Returns the decision.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.0.decision
    }

    /// Returns the request as it was converted then, without its events.
    #[must_use]
    pub fn request(&self) -> &OffersRequest {
        &self.0.request
    }
}
