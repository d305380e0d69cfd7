//! Filling placements from the ranking, best first, within opt-outs, quiet hours and caps.
//!
//! Order of the checks for each offer of the ranking, the first that fails is the reason: the placement does not take
//! it; no treatment for the channel; already shown in an earlier placement of this answer (unless duplicates are
//! allowed; the next best takes its place); enough of its group; the channel's quiet hours; a cap. Opt-out, and a
//! contact history that is full, stop everything beforehand, and so does the [`Barrier`] what it stops.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::domain::decision::{Filled, Ranked, Ranking, Shown, Stage, Withheld};
use crate::domain::profile::{CONTACTS_KEPT, CONTACTS_MAX, Profile};
use crate::domain::request::{OffersRequest, PlacementRequest};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;

use super::barrier::{Barrier, is_exempt};
use super::gate::plain_reason;
use super::policy::{self, Candidate, Ledger, Reached};
use super::{nobody, quiet, rank, zone};

/// Nothing is known of the customer, and the catalog serves known customers only.
pub const UNKNOWN_CUSTOMER: &str = "unknown-customer";
/// The customer wants no offers on this channel.
pub const OPT_OUT: &str = "opt-out";
/// There is no room for another customer, so nothing could be reserved.
pub const NO_ROOM: &str = "no-room-for-new-customer";
/// The customer's contact history is full of contacts that caps still need.
pub const HISTORY_FULL: &str = "contact-history-full";
/// The placement takes other groups or labels only.
pub const NOT_FOR_PLACEMENT: &str = "not-for-this-placement";
/// The offer has no treatment for the channel.
pub const NO_TREATMENT: &str = "no-treatment-for-channel";
/// The offer is shown in an earlier placement of the same answer.
pub const SHOWN_ELSEWHERE: &str = "shown-in-earlier-placement";
/// The placement has enough offers of the group.
pub const GROUP_FULL: &str = "enough-of-this-group";
/// Better offers filled the placement.
pub const OUTRANKED: &str = "outranked";

/// The filled placements.
#[derive(Debug)]
pub struct Outcome {
    /// One per requested placement.
    pub placements: Vec<Filled>,
    /// Until when time alone cannot change which offers are shown.
    pub valid_until: Timestamp,
}

#[derive(Clone, Copy)]
enum Obstacle {
    Plain(&'static str),
    /// An entry of the channel's quiet hours holds.
    Quiet(usize),
    Cap(Reached),
    /// A cap cannot count a visitor without any id.
    Uncounted(usize),
}

/// A call being answered.
struct Filling<'a> {
    catalog: &'a Catalog,
    ledger: Ledger<'a>,
    request: &'a OffersRequest,
    channel: Symbol,
    barrier: &'a Barrier<'a>,
    /// What the channel's quiet hours say now.
    quiet: quiet::Now,
    /// What this call has chosen so far: (placement, offer position).
    chosen: Vec<(Symbol, usize)>,
    valid_until: Timestamp,
}

/// Returns the built-in rule that keeps every offer from this customer on this channel, if one does.
#[must_use]
pub fn suppression(
    catalog: &Catalog,
    profile: &Profile,
    request: &OffersRequest,
    now: Timestamp,
) -> Option<&'static str> {
    if profile.is_opted_out_of(catalog.channels[request.channel].symbol) {
        return Some(OPT_OUT);
    }
    let wanted: usize = request
        .placements
        .iter()
        .map(|placement| placement.count.min(catalog.offers.len()))
        .sum();
    let contacts = &profile.contacts;
    let is_full = contacts.len() >= CONTACTS_KEPT
        && contacts.len() + wanted > CONTACTS_MAX
        && policy::oldest_unneeded(contacts, catalog, now).is_none();
    is_full.then_some(HISTORY_FULL)
}

/// Answers with the fallback content of every placement because of one rule, which stays until `valid_until`.
#[must_use]
pub fn suppressed(request: &OffersRequest, rule: &str, now: Timestamp) -> Outcome {
    let valid_until = if rule == HISTORY_FULL || rule == NO_ROOM {
        now
    } else {
        Timestamp::FAR_FUTURE
    };
    let empty = |wanted: &PlacementRequest| Filled {
        placement: wanted.placement,
        offers: Vec::new(),
        fallback: true,
    };
    Outcome {
        placements: request.placements.iter().map(empty).collect(),
        valid_until,
    }
}

/// Returns the reason why all offers are withheld, once for each offer.
#[must_use]
pub fn withhold_all(catalog: &Catalog, rule: &str) -> Vec<Withheld> {
    let offers = 0..catalog.offers.len();
    offers
        .map(|offer| plain_reason(offer, Stage::HardSuppression, rule))
        .collect()
}

/// Fills the requested placements in their order; with `withheld`, also says for each of them why each offer of the
/// ranking that the barrier lets through and that it does not show is withheld there. The caller has asked [`suppression`]
/// first.
#[must_use]
pub fn fill(
    ranking: &Ranking,
    barrier: &Barrier<'_>,
    request: &OffersRequest,
    now: Timestamp,
    withheld: Option<&mut Vec<Withheld>>,
) -> Outcome {
    let Barrier {
        catalog,
        profile,
        channel,
        ..
    } = *barrier;
    let quiet_hours = &catalog.channels[request.channel].quiet;
    let mut filling = Filling {
        catalog,
        ledger: Ledger::new(catalog, &profile.contacts, channel, now),
        request,
        channel,
        barrier,
        quiet: quiet::at(quiet_hours, zone::of(catalog, profile), now),
        chosen: Vec::with_capacity(
            request
                .placements
                .iter()
                .map(|wanted| wanted.count.min(ranking.offers.len()))
                .sum(),
        ),
        valid_until: ranking.valid_until,
    };
    let mut withheld = withheld;
    let placements = (0..request.placements.len())
        .map(|at| filling.placement(ranking, at, withheld.as_deref_mut()))
        .collect();
    Outcome {
        placements,
        valid_until: filling.valid_until,
    }
}

impl Filling<'_> {
    fn placement(&mut self, ranking: &Ranking, at: usize, mut reasons: Option<&mut Vec<Withheld>>) -> Filled {
        let wanted = self.request.placements[at];
        let first_chosen = self.chosen.len();
        let mut offers = Vec::with_capacity(wanted.count.min(ranking.offers.len()));
        for ranked in &ranking.offers {
            let offer = usize::from(ranked.offer);
            let is_full = offers.len() == wanted.count;
            if is_full && reasons.is_none() {
                break;
            }
            if self.barrier.stops(offer) {
                continue;
            }
            let obstacle = self.obstacle(wanted.placement, offer, first_chosen);
            if let Some(Obstacle::Cap(reached)) = &obstacle {
                let again = reached.eligible_again_at.unwrap_or(Timestamp::FAR_FUTURE);
                // A reason also says how many contacts count.
                let counted = reasons.as_ref().map_or(again, |_| reached.count_changes_at);
                self.valid_until = self.valid_until.min(again).min(counted);
            }
            let obstacle = obstacle.or(is_full.then_some(Obstacle::Plain(OUTRANKED)));
            match obstacle {
                None => {
                    self.chosen
                        .push((self.catalog.placements[wanted.placement].symbol, offer));
                    offers.push(self.shown(ranked, offers.len() + 1));
                }
                Some(obstacle) => {
                    if let Some(reasons) = reasons.as_deref_mut() {
                        reasons.push(self.reason(offer, at, obstacle));
                    }
                }
            }
        }
        let fallback = offers.is_empty();
        Filled {
            placement: wanted.placement,
            offers,
            fallback,
        }
    }

    fn shown(&self, ranked: &Ranked, rank: usize) -> Shown {
        Shown {
            offer: usize::from(ranked.offer),
            rank,
            priority: ranked.priority,
            factors: rank::factors(self.catalog, ranked),
            rung: ranked.rung,
            control: self.barrier.shows_control(usize::from(ranked.offer)),
        }
    }

    fn obstacle(&mut self, placement_at: usize, offer_at: usize, first_chosen: usize) -> Option<Obstacle> {
        let placement = &self.catalog.placements[placement_at];
        let offer = &self.catalog.offers[offer_at];
        if !placement.offers[offer_at] {
            return Some(Obstacle::Plain(NOT_FOR_PLACEMENT));
        }
        if offer.treatments[self.request.channel].is_none() {
            return Some(Obstacle::Plain(NO_TREATMENT));
        }
        if !self.request.duplicates
            && self.chosen[..first_chosen]
                .iter()
                .any(|&(_, chosen)| chosen == offer_at)
        {
            return Some(Obstacle::Plain(SHOWN_ELSEWHERE));
        }
        let of_group = |&&(_, chosen): &&(Symbol, usize)| self.catalog.offers[chosen].group == offer.group;
        if placement
            .per_group_max
            .is_some_and(|max| self.chosen[first_chosen..].iter().filter(of_group).count() >= max)
        {
            return Some(Obstacle::Plain(GROUP_FULL));
        }
        if !is_exempt(offer) {
            self.valid_until = self.valid_until.min(self.quiet.valid_until);
            if let Some(entry) = self.quiet.entry {
                return Some(Obstacle::Quiet(entry));
            }
        }
        let candidate = Candidate {
            offer: offer_at,
            channel: self.channel,
            placement: placement.symbol,
        };
        let reached = self.ledger.reached(&self.chosen, candidate);
        if self.request.customer.is_none()
            && let Some(cap) = nobody::stopped_by(self.catalog, candidate)
            && reached.is_none_or(|reached| cap <= reached.cap)
        {
            return Some(Obstacle::Uncounted(cap));
        }
        reached.map(Obstacle::Cap)
    }

    fn reason(&self, offer: usize, placement: usize, obstacle: Obstacle) -> Withheld {
        match obstacle {
            Obstacle::Plain(rule) => Withheld {
                placement: Some(placement),
                ..plain_reason(offer, Stage::Placement, rule)
            },
            Obstacle::Quiet(entry) => {
                let channel = &self.catalog.channels[self.request.channel];
                Withheld {
                    placement: Some(placement),
                    rule: Arc::clone(&channel.quiet_rule),
                    because: Arc::clone(&channel.quiet[entry].because),
                    eligible_again_at: self.quiet.ends_at,
                    ..plain_reason(offer, Stage::ContactPolicy, "")
                }
            }
            Obstacle::Uncounted(cap) => {
                let cap = &self.catalog.caps[cap];
                Withheld {
                    placement: Some(placement),
                    rule: Arc::clone(&cap.id),
                    because: Arc::clone(&cap.because),
                    limit: Some(cap.limit),
                    ..plain_reason(offer, Stage::ContactPolicy, "")
                }
            }
            Obstacle::Cap(reached) => {
                let cap = &self.catalog.caps[reached.cap];
                Withheld {
                    placement: Some(placement),
                    rule: Arc::clone(&cap.id),
                    because: Arc::clone(&cap.because),
                    count: Some(reached.count),
                    limit: Some(cap.limit),
                    eligible_again_at: reached.eligible_again_at,
                    ..plain_reason(offer, Stage::ContactPolicy, "")
                }
            }
        }
    }
}
