//! The barrier: what keeps an offer from a customer on a channel whatever else is so, namely what stops all of them (an opt-out, a
//! full history), consent and hold-outs.
//!
//! They depend on neither the placement nor the offer's dates and conditions, so they are asked once for an offer, before those: first
//! what stops everything, then consent, then the hold-outs in the order of the catalog. An offer that is exempt from the contact
//! policy is not held out; consent stands above exemption.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::domain::decision::{Stage, Withheld};
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbol;

use super::consent;
use super::gate::plain_reason;

/// What of the barrier stops an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// This built-in rule: one that stops everything, or one of [`consent`].
    Rule(&'static str),
    /// The hold-out at this position.
    HoldOut(usize),
}

/// The barrier of one customer on one channel.
#[derive(Clone, Copy, Debug)]
pub struct Barrier<'a> {
    /// The catalog.
    pub catalog: &'a Catalog,
    /// The customer's profile, for the answers in it.
    pub profile: &'a Profile,
    /// The channel that asks.
    pub channel: Symbol,
    /// Positions of the hold-outs that the customer is in, as [`super::hold_out::of`] finds them.
    pub hold_outs: &'a [usize],
    /// The built-in rule that stops everything, as [`super::fill::suppression`] finds it.
    pub suppressed: Option<&'static str>,
}

impl Barrier<'_> {
    /// Tells whether the offer at this position is stopped.
    #[must_use]
    pub fn stops(&self, offer: usize) -> bool {
        self.first(offer).is_some()
    }

    /// Returns what stops the offer at this position first, if anything does.
    #[must_use]
    pub fn first(&self, offer: usize) -> Option<Barred> {
        let rule = self.suppressed.or_else(|| self.refusal(offer)).map(Barred::Rule);
        rule.or_else(|| self.stopping_hold_outs(offer).next().map(Barred::HoldOut))
    }

    /// Returns why the offer is stopped, every reason in order; none when it is not.
    pub fn reasons(&self, offer: usize) -> impl Iterator<Item = Withheld> + '_ {
        let plain = self.suppressed.into_iter().chain(self.refusal(offer));
        let plain = plain.map(move |rule| plain_reason(offer, Stage::HardSuppression, rule));
        let of_hold_outs = self.stopping_hold_outs(offer).map(move |at| Withheld {
            rule: Arc::clone(&self.catalog.hold_outs[at].id),
            ..plain_reason(offer, Stage::HardSuppression, "")
        });
        plain.chain(of_hold_outs)
    }

    /// Tells whether the offer, which is not stopped, is shown with its control content.
    #[must_use]
    pub fn shows_control(&self, offer: usize) -> bool {
        self.hold_outs_about(offer).next().is_some()
    }

    fn refusal(&self, offer: usize) -> Option<&'static str> {
        let purpose = &self.catalog.purposes[self.catalog.offers[offer].purpose?];
        consent::refusal(purpose, self.profile, self.channel)
    }

    fn hold_outs_about(&self, offer: usize) -> impl Iterator<Item = usize> + '_ {
        let is_exempt = self.catalog.offers[offer].is_exempt();
        let about = move |at: &usize| !is_exempt && self.catalog.hold_outs[*at].offers[offer];
        self.hold_outs.iter().copied().filter(about)
    }

    fn stopping_hold_outs(&self, offer: usize) -> impl Iterator<Item = usize> + '_ {
        let has_control = self.catalog.offers[offer].control.is_some();
        self.hold_outs_about(offer)
            .filter(move |&at| !(has_control && self.catalog.hold_outs[at].shows_control))
    }
}
