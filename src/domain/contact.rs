//! Contacts: every offer that was decided for a customer, and what became of it.
//!
//! A contact is one offer in one placement of one decision. It begins as *decided*, which reserves room under every cap;
//! outcomes confirm it later, in any order, each at most once: the first report of an outcome stands, a repeat changes
//! nothing. A contact that is not confirmed when its channel's reservation time is over stops counting as delivered and seen, but
//! stays decided for ever. What the customer does (clicked and so on) counts from its report only. One that is cancelled before anything
//! was reported counts nowhere; a report that comes after all makes it count again.

use super::symbol::Symbol;
use super::time::Timestamp;

/// What can be counted about a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counted {
    /// The engine answered with the offer.
    Decided,
    /// The channel handed it over (a mail was sent, a page was built).
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

impl Counted {
    /// All of them, in the order of their [`Counted::index`].
    pub const ALL: [Self; 7] = [
        Self::Decided,
        Self::Delivered,
        Self::Seen,
        Self::Clicked,
        Self::Accepted,
        Self::Refused,
        Self::Converted,
    ];

    /// Returns its position in [`Counted::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns its name in catalogs and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Delivered => "delivered",
            Self::Seen => "seen",
            Self::Clicked => "clicked",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Converted => "converted",
        }
    }

    /// Finds the one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|counted| counted.name() == name)
    }
}

/// One offer in one placement of one decision, with the time of each outcome reported so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// The number of the decision among the customer's own.
    pub decision: u32,
    /// The offer that was shown.
    pub offer: Symbol,
    /// The channel that asked.
    pub channel: Symbol,
    /// The placement that it filled.
    pub placement: Symbol,
    /// The campaign that asked, if one did.
    pub campaign: Option<Symbol>,
    /// When each of [`Counted::ALL`] happened; the first entry, decided, is always there.
    pub times: [Option<Timestamp>; Counted::ALL.len()],
    /// When the caller said that the offer would not be shown after all.
    pub cancelled: Option<Timestamp>,
    /// When the latest report came that told of an instant before it came, as offline channels do. What was decided up to
    /// then could not know of it.
    pub backdated: Option<Timestamp>,
    /// Whether it was entered into the books that are kept over all customers, and so has to be taken out of them once.
    pub in_volumes: bool,
}

impl Contact {
    /// Makes a contact that was decided just now and has no outcome yet.
    #[must_use]
    pub const fn decided(decision: u32, offer: Symbol, channel: Symbol, placement: Symbol, at: Timestamp) -> Self {
        let mut times = [None; Counted::ALL.len()];
        times[0] = Some(at);
        Self {
            decision,
            offer,
            channel,
            placement,
            campaign: None,
            times,
            cancelled: None,
            backdated: None,
            in_volumes: false,
        }
    }

    /// Returns when the contact was decided.
    #[must_use]
    pub fn decided_at(&self) -> Timestamp {
        self.times[0].unwrap_or(Timestamp::FAR_PAST)
    }

    /// Tells whether anything was reported since the decision.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.times[1..].iter().any(Option::is_some)
    }

    /// Tells whether the contact counts nowhere: it was cancelled, and nothing was ever reported of it.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_some() && !self.is_confirmed()
    }

    /// Tells whether it belongs to the decision; and, as far as they are given, to the offer and the placement.
    #[must_use]
    pub fn is_of(&self, decision: u32, offer: Option<Symbol>, placement: Option<Symbol>) -> bool {
        self.decision == decision
            && offer.is_none_or(|offer| offer == self.offer)
            && placement.is_none_or(|placement| placement == self.placement)
    }

    /// Returns when `counted` happened, if it was reported.
    #[must_use]
    pub const fn time_of(&self, counted: Counted) -> Option<Timestamp> {
        self.times[counted.index()]
    }
}
