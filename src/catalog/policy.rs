//! The contact policy of a catalog, compiled: caps, cool-downs, campaigns, and which contacts they are about.

use std::sync::Arc;

use super::Catalog;
use super::source::{Each, Per, RestsOn, Trigger, VolumePer, WithoutId};
use crate::domain::contact::{Contact, Counted};
use crate::domain::symbol::{OfferTraits, Symbol};
use crate::domain::time::Millis;

/// All, or only some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only(Option<Box<[Symbol]>>);

impl Only {
    /// Makes the choice of everything.
    #[must_use]
    pub const fn all() -> Self {
        Self(None)
    }

    /// Makes the choice of these, which may be none.
    #[must_use]
    pub fn these(symbols: Vec<Symbol>) -> Self {
        Self(Some(symbols.into_boxed_slice()))
    }

    /// Tells whether everything is meant.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Returns those that are meant; `None` when everything is.
    #[must_use]
    pub fn listed(&self) -> Option<&[Symbol]> {
        self.0.as_deref()
    }

    /// Tells whether this one is meant.
    #[must_use]
    pub fn takes(&self, symbol: Symbol) -> bool {
        self.0.as_ref().is_none_or(|these| these.contains(&symbol))
    }

    /// Tells whether one of these is meant; with nothing given, only when everything is.
    #[must_use]
    pub fn takes_any(&self, symbols: impl IntoIterator<Item = Symbol>) -> bool {
        self.is_all() || symbols.into_iter().any(|symbol| self.takes(symbol))
    }
}

/// Which contacts a limit is about: those that lie in all of this.
#[derive(Debug)]
pub struct ContactFilter {
    /// By the offer's position: whether contacts with it are meant.
    pub offers: Vec<bool>,
    /// Whether offers are chosen by their ids, so that none that has left the catalog is meant.
    pub names_offers: bool,
    /// The groups that are meant, for offers that have left the catalog.
    pub groups: Only,
    /// The labels of which an offer must have one, for offers that have left the catalog.
    pub labels: Only,
    /// The channels; directions are spread out into them.
    pub channels: Only,
    /// The placements.
    pub placements: Only,
    /// The campaigns; a contact that no campaign asked for is meant only when all are.
    pub campaigns: Only,
}

impl ContactFilter {
    /// Tells whether contacts with an offer that has left the catalog are meant; `traits` are what it was last.
    #[must_use]
    pub fn takes_gone(&self, traits: Option<&OfferTraits>) -> bool {
        let Some(traits) = traits else {
            return !self.names_offers && self.groups.is_all() && self.labels.is_all();
        };
        !self.names_offers && self.groups.takes(traits.group) && self.labels.takes_any(traits.labels.iter().copied())
    }

    /// Tells whether the campaign, or none, is meant.
    #[must_use]
    pub fn takes_campaign(&self, campaign: Option<Symbol>) -> bool {
        self.campaigns.takes_any(campaign)
    }

    /// Tells whether channel, placement and campaign of a contact are meant; the offer is another question.
    #[must_use]
    pub fn takes_place(&self, contact: &Contact) -> bool {
        self.channels.takes(contact.channel)
            && self.placements.takes(contact.placement)
            && self.takes_campaign(contact.campaign)
    }
}

/// How far back a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// So long back from now.
    Rolling(Millis),
    /// Since the beginning of the current hour, day, week or month in the customer's time zone.
    Calendar(Per),
    /// All that is kept.
    Ever,
}

/// For what a cap counts separately: for every combination of what is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five independent parts of a combination")]
pub struct Combination {
    /// For every offer.
    pub offer: bool,
    /// For every group.
    pub group: bool,
    /// For every channel.
    pub channel: bool,
    /// For every placement.
    pub placement: bool,
    /// For every campaign; what no campaign asked for is counted together.
    pub campaign: bool,
}

impl Combination {
    /// Makes the combination of a list.
    #[must_use]
    pub fn of(list: &[Each]) -> Self {
        let has = |each| list.contains(&each);
        Self {
            offer: has(Each::Offer),
            group: has(Each::Group),
            channel: has(Each::Channel),
            placement: has(Each::Placement),
            campaign: has(Each::Campaign),
        }
    }

    /// Tells whether all contacts are counted together.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// A contact limit.
#[derive(Debug)]
pub struct Cap {
    /// Its id.
    pub id: Arc<str>,
    /// Why, in words for people.
    pub because: Arc<str>,
    /// The number allowed in the window; 0 is never.
    pub limit: u32,
    /// What is counted.
    pub counted: Counted,
    /// How far back.
    pub window: Window,
    /// For what it counts separately.
    pub each: Combination,
    /// Which contacts count, and which can be stopped.
    pub contacts: ContactFilter,
    /// What becomes of a visitor without any id.
    pub without_id: WithoutId,
}

/// A rest after what a customer did, or did not do, with an offer.
#[derive(Debug)]
pub struct CoolDown {
    /// Its id.
    pub id: Arc<str>,
    /// Why, in words for people.
    pub because: Arc<str>,
    /// After what.
    pub after: Trigger,
    /// After how many of them with the same offer; 1 or more.
    pub times: usize,
    /// The span in which so many must lie; `None` is however far apart.
    pub within: Option<Millis>,
    /// How long, from the last of them on; `None` is for good.
    pub rest: Option<Millis>,
    /// What rests.
    pub on: RestsOn,
    /// By the offer's position: whether it rests besides, for a label.
    pub also: Vec<bool>,
    /// Which contacts can start a rest.
    pub contacts: ContactFilter,
}

/// A campaign that requests can name.
#[derive(Debug)]
pub struct Campaign {
    /// Its id.
    pub id: Arc<str>,
    /// Its symbol.
    pub symbol: Symbol,
    /// Its name for people.
    pub name: Arc<str>,
}

/// A limit or goal over all customers.
#[derive(Debug)]
pub struct Volume {
    /// Its id.
    pub id: Arc<str>,
    /// Why, in words for people.
    pub because: Arc<str>,
    /// The number allowed in each window; 0 is never, `None` is no limit.
    pub at_most: Option<u32>,
    /// The number that campaigns try to reach in each window.
    pub at_least: Option<u32>,
    /// What is counted: decided, delivered or seen.
    pub counted: Counted,
    /// The window, by the clock of the catalog's time zone.
    pub per: VolumePer,
    /// Whether the limit is spread evenly over the window.
    pub is_paced: bool,
    /// Which contacts count: by offer and channel.
    pub contacts: ContactFilter,
    /// What becomes of a visitor without any id, of whom nothing is counted.
    pub without_id: WithoutId,
}

impl Volume {
    /// Tells whether contacts with the offer at this position on the channel count.
    #[must_use]
    pub fn concerns(&self, offer: usize, channel: Symbol) -> bool {
        self.contacts.offers[offer] && self.contacts.channels.takes(channel)
    }

    /// Tells whether contacts with the offer on the channel count. An offer that has left the catalog counts as what it was last.
    #[must_use]
    pub fn counts(&self, catalog: &Catalog, offer: Symbol, channel: Symbol) -> bool {
        let is_meant = if let Some(position) = catalog.offer_positions.get(offer) {
            self.contacts.offers[position]
        } else {
            let traits = catalog.symbols.offer(offer);
            self.contacts.takes_gone(traits) && !traits.is_some_and(|traits| traits.is_uncounted)
        };
        is_meant && self.contacts.channels.takes(channel)
    }
}
