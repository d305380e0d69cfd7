//! What a run over many customers has to know of one: what an earlier part of the run gave, and what could be given.
//!
//! A run that goes on after a break meets customers whom it has reserved for already. Their answers are kept in a cache of bounded
//! size, as everybody's are. Where one is gone, the profile still has its contacts, and what stands of them is what the customer
//! gets: all that were reported, and those whose reservation is open. What was cancelled or has run out is not given
//! again, since others may have been given the room.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use smallvec::SmallVec;

use super::call::Call;
use super::conductor::{Conductor, barrier};
use super::ranking::Keep;
use super::sync::Locked;
use super::volumes::books::Books;
use super::{Active, Answer, Engine, Rejection, Replay, Workspace};
use crate::catalog::Catalog;
use crate::decision::assign::{Choice, Limits};
use crate::decision::barrier::Barrier;
use crate::decision::policy::reservation;
use crate::decision::steer::Steering;
use crate::decision::volumes::Rooms;
use crate::decision::{fill, hold_out, rank, unite};
use crate::domain::contact::Contact;
use crate::domain::decision::{Decision, Filled, Ranked, Ranking, Rung, Shown};
use crate::domain::ids::{CustomerId, CustomerKey, DecisionId};
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::Timestamp;
use crate::store::Standing;

/// What a call with the same id gave before.
#[derive(Debug)]
pub enum Before {
    /// Nothing, as far as anybody remembers.
    Nothing,
    /// This answer.
    Kept(Replay),
    /// An answer that is no longer kept: what stands of it by the contact history, at the priorities of now.
    Recalled(Box<Decision>),
}

/// What a customer could be given.
#[derive(Debug)]
pub struct Prospects {
    /// What an earlier part of the run gave. When it is something, nothing else is looked at.
    pub before: Before,
    /// The best offers, best first.
    pub best: Vec<Choice>,
    /// The best offers should others get all of `best` that are in a limit; without any that is in one where `best` has too few of
    /// those. Empty when `best` has all that a plan may want.
    pub others: Vec<Choice>,
}

/// What a plan over many customers wants to know of each.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// How many offers of the request are asked for beside those that the customer can get.
    pub more: usize,
    /// What offers are scarce.
    pub limits: &'a Limits,
    /// What the volumes have left. A plan need not know it to the last unit, since what it says is asked again.
    pub rooms: &'a Rooms,
}

impl Wanted<'_> {
    fn is_scarce(&self, offer: u16) -> bool {
        !self.limits.of(offer).is_empty()
    }

    /// Tells whether there is enough that is not scarce for a customer who can get `count` offers, should others get all the rest.
    fn is_enough(&self, best: &[Choice], count: usize) -> bool {
        best.iter().filter(|choice| !self.is_scarce(choice.offer)).count() >= count
    }

    /// Tells whether there is something of all that is to be given away.
    fn has_goals(&self, best: &[Choice]) -> bool {
        let has = |at: usize| {
            let mut limits = best.iter().flat_map(|choice| self.limits.of(choice.offer));
            limits.any(|&limit| usize::from(limit) == at)
        };
        let limits = self.limits.all().iter().enumerate();
        let mut goals = limits.filter(|(_, limit)| limit.at_least > 0);
        goals.all(|(at, _)| has(at))
    }
}

impl Engine {
    /// Finds what a call with this id gave a customer before.
    #[must_use]
    pub fn before(
        &self,
        active: &Active,
        request: &OffersRequest,
        customer: &CustomerId,
        once: RequestKey,
        now: Timestamp,
    ) -> Before {
        let found = self.for_whom(customer, |whom| {
            let request = &whom.asks(request);
            let call = Call {
                active,
                request,
                once: Some(once),
                rooms: None,
                steering: None,
                keep: Keep::Look,
                key: Some(whom.customer.key()),
                now,
                found: Cell::default(),
            };
            self.locked(whom, &call, |profile, standing, workspace| {
                let known = standing == Standing::Known;
                Ok((self.conductor.before(&call, profile, known, workspace), false))
            })
        });
        found.unwrap_or(Before::Nothing)
    }

    /// Looks at what a customer could be given, without a trace: the best offers of the request, a preview without reasons; and the
    /// best ones without those of them that a limit is about, as far as a plan may want them. With an id, first whether an
    /// earlier call with it gave something.
    #[must_use]
    pub fn prospects(
        &self,
        active: &Active,
        request: &OffersRequest,
        once: Option<RequestKey>,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> Prospects {
        let nothing = || Prospects {
            before: Before::Nothing,
            best: Vec::new(),
            others: Vec::new(),
        };
        let Some(customer) = &request.customer else {
            return nothing();
        };
        let found = self.for_whom(customer, |whom| {
            let request = &whom.asks(request);
            let call = Call {
                active,
                request,
                once,
                rooms: None,
                steering: None,
                keep: Keep::Look,
                key: Some(whom.customer.key()),
                now,
                found: Cell::default(),
            };
            self.locked(whom, &call, |profile, standing, workspace| {
                let known = standing == Standing::Known;
                let found = self.conductor.before(&call, profile, known, workspace);
                let prospects = match found {
                    Before::Nothing => self.conductor.prospects(&call, wanted, profile, known, workspace),
                    before => Prospects { before, ..nothing() },
                };
                Ok((prospects, false))
            })
        });
        found.unwrap_or_else(|_| nothing())
    }
}

impl Engine {
    /// Decides as [`Engine::offers`] does, in the order that a plan over many customers wants, for a run that decides for the customer
    /// next: live calls keep the lists that they had.
    ///
    /// # Errors
    /// As for [`Engine::offers`].
    pub fn offers_steered(
        &self,
        active: &Active,
        request: &OffersRequest,
        steering: Option<Steering<'_>>,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        self.offers_kept(active, request, steering, Keep::Again, now)
    }

    /// Answers as [`Engine::answer`] does, in the order that a plan over many customers wants, for a run that does not come back to the
    /// customer: live calls keep the lists that they had, and no list is cached for it.
    ///
    /// # Errors
    /// As for [`Engine::answer`].
    pub fn answer_steered(
        &self,
        active: &Arc<Active>,
        request: &OffersRequest,
        steering: Option<Steering<'_>>,
        once: Option<RequestKey>,
        now: Timestamp,
    ) -> Result<Answer, Rejection> {
        self.answer_kept(active, request, steering, (once, Keep::Over), now)
    }

    /// Returns how many lists are cached.
    #[cfg(test)]
    pub(crate) fn lists_cached(&self) -> usize {
        self.conductor.lists.len()
    }
}

impl<L: Locked<Books>> Conductor<L> {
    fn before(&self, call: &Call<'_>, profile: &Profile, known: bool, workspace: &mut Workspace) -> Before {
        let Some((once, customer)) = call.once.zip(call.key) else {
            return Before::Nothing;
        };
        match self.recall(customer, once, profile) {
            Ok(Some(kept)) => Before::Kept(Replay(kept)),
            Err(Rejection::AnswerNotKept(id)) => {
                let decision = self.recalled(call, (customer, id), profile, known, workspace);
                Before::Recalled(Box::new(decision))
            }
            // A name that was used for something else is told when it is used again.
            Ok(None) | Err(_) => Before::Nothing,
        }
    }

    /// Says what stands of an earlier decision.
    fn recalled(
        &self,
        call: &Call<'_>,
        (customer, id): (CustomerKey, DecisionId),
        profile: &Profile,
        known: bool,
        workspace: &mut Workspace,
    ) -> Decision {
        // Whose decision it was: the customer's own, or that of a joined visitor.
        let contacts = match profile.joined_as(id.customer) {
            Some(joined) => &joined.profile.contacts,
            None => &profile.contacts,
        };
        let profile = &*unite::view(profile);
        let &Call {
            active, request, now, ..
        } = call;
        let catalog = &*active.catalog;
        let (list, _) = self
            .lists
            .list(active, request, customer, profile, Keep::No, true, now, workspace);
        let hold_outs = hold_out::of(catalog, Some(customer));
        let barrier = barrier(catalog, profile, request, &hold_outs);
        let channel = catalog.channels[request.channel].symbol;
        let stands = |contact: &&Contact| {
            let is_open = now < contact.decided_at() + reservation(catalog, contact.channel);
            contact.decision == id.number
                && contact.channel == channel
                && !contact.is_cancelled()
                && (contact.is_confirmed() || is_open)
        };
        let standing: SmallVec<[&Contact; 8]> = contacts.iter().filter(stands).collect();
        let filled = |wanted: &crate::domain::request::PlacementRequest| {
            let placement = catalog.placements[wanted.placement].symbol;
            let here = standing.iter().filter(|contact| contact.placement == placement);
            let offers: Vec<usize> = here
                .filter_map(|contact| catalog.offer_positions.get(contact.offer))
                .collect();
            Filled {
                placement: wanted.placement,
                fallback: offers.is_empty(),
                offers: shown(&barrier, &list.ranking, &offers),
            }
        };
        let placements: Vec<Filled> = request.placements.iter().map(filled).collect();
        let rungs = placements.iter().flat_map(|filled| &filled.offers);
        Decision {
            id: Some(id),
            profile_version: profile.version,
            known_customer: known,
            decided_at: standing.first().map_or(now, |contact| contact.decided_at()),
            valid_until: now,
            rung: rungs.map(|shown| shown.rung).max().unwrap_or(Rung::Model),
            cached: false,
            placements,
            withheld: Vec::new(),
            hold_outs,
        }
    }

    fn prospects(
        &self,
        call: &Call<'_>,
        wanted: Wanted<'_>,
        profile: &Profile,
        known: bool,
        workspace: &mut Workspace,
    ) -> Prospects {
        let &Call {
            active,
            request,
            key,
            now,
            ..
        } = call;
        let catalog = &*active.catalog;
        let mut prospects = Prospects {
            before: Before::Nothing,
            best: Vec::new(),
            others: Vec::new(),
        };
        let is_nobody = !known && self.turned_away(catalog, request).is_some();
        let Some(key) = key.filter(|_| !is_nobody) else {
            return prospects;
        };
        let own = profile;
        let mut request = Cow::Borrowed(request);
        if fill::suppression(catalog, own, &request, now).is_some() {
            // A history that is nearly full has room for fewer.
            for placement in &mut request.to_mut().placements {
                placement.count = placement.count.saturating_sub(wanted.more);
            }
            if fill::suppression(catalog, own, &request, now).is_some() {
                return prospects;
            }
        }
        let request = &*request;
        let profile = &*unite::view(own);
        let hold_outs = hold_out::of(catalog, Some(key));
        let barrier = barrier(catalog, profile, request, &hold_outs);
        let (list, _) = self
            .lists
            .list(active, request, key, profile, call.keep, true, now, workspace);
        let look = |ranking: &Ranking| -> Vec<Choice> {
            let outcome = fill::fill(ranking, &barrier, request, now, wanted.rooms, None);
            let shown = outcome.placements.iter().flat_map(|filled| &filled.offers);
            shown.filter_map(Choice::of).collect()
        };
        prospects.best = look(&list.ranking);
        let count: usize = call.request.placements.iter().map(|placement| placement.count).sum();
        let count = count.saturating_sub(wanted.more * call.request.placements.len());
        let is_enough = wanted.is_enough(&prospects.best, count);
        if is_enough && wanted.has_goals(&prospects.best) {
            return prospects;
        }
        let mut barred = vec![false; catalog.offers.len()];
        if is_enough {
            for choice in &prospects.best {
                barred[usize::from(choice.offer)] = wanted.is_scarce(choice.offer);
            }
        } else {
            // Where the best are few, what comes next may be as scarce as they are.
            for (offer, barred) in (0_u16..).zip(&mut barred) {
                *barred = wanted.is_scarce(offer);
            }
        }
        if barred.contains(&true) {
            let steering = Steering {
                first: &[],
                barred: &barred,
            };
            prospects.others = look(&steering.apply(&list.ranking, usize::MAX));
        }
        prospects
    }
}

/// Shows offers at the priorities of a ranking; what is no longer in it, as somebody of whom nothing is known would see it.
fn shown(barrier: &Barrier<'_>, ranking: &Ranking, offers: &[usize]) -> Vec<Shown> {
    let catalog = barrier.catalog;
    let ranked = |offer: usize| -> Option<Ranked> {
        let position = u16::try_from(offer).ok()?;
        let found = ranking.offers.iter().find(|ranked| ranked.offer == position).copied();
        Some(found.unwrap_or_else(|| unranked(catalog, position)))
    };
    let ranked = offers.iter().filter_map(|&offer| ranked(offer));
    let show = |(at, ranked): (usize, Ranked)| Shown {
        offer: usize::from(ranked.offer),
        rank: at + 1,
        priority: ranked.priority,
        factors: rank::factors(catalog, &ranked),
        rung: ranked.rung,
        control: barrier.shows_control(usize::from(ranked.offer)),
    };
    ranked.enumerate().map(show).collect()
}

fn unranked(catalog: &Catalog, position: u16) -> Ranked {
    let offer = &catalog.offers[usize::from(position)];
    let mut weights = Vec::new();
    rank::context_weights(catalog, &[], &mut weights);
    rank::ranked(catalog, position, offer.start_propensity, Rung::Start, &weights)
}
