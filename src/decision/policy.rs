//! Contact policy: counting contacts against caps, cool-downs and attempt limits, exactly.
//!
//! A customer's contacts are kept as times, never as counts or buckets, so a limit that is changed, moved to another unit or
//! scope, or added, counts at once what happened before. All limits must have room; none means no limit, and 0 is never.
//!
//! **Windows.** In a *rolling* window W a contact counts from its counted instant `t` while `now - t < W`, so exactly W
//! later there is room again. In a *calendar* window it counts while its hour, day, week or month is not over in the customer's
//! time zone ([`super::calendar`]): from `t` to the end of the period that holds it. `ever` has no end. A contact that lies
//! ahead of a clock that stepped back counts.
//!
//! **What counts when:**
//!
//! * `decided`: from the decision, always.
//! * `delivered`, `seen`: from the earliest report that implies it (a click implies that it was seen, and seen that it
//!   was delivered). Before any such report the decision itself counts, as a reservation, until its channel's reservation
//!   time is over, however short the window: it may still be delivered. Errors fall on the side of contacting less.
//! * `clicked`, `accepted`, `refused`, `converted`: from the report. These are the customer's acts, not ours, so a
//!   decision does not count ahead of them.
//!
//! What was cancelled before anything was reported counts nowhere. A contact whose offer has left the catalog counts by the group
//! and labels that the offer had last.
//!
//! **Scope.** A limit with filters (offers, groups, labels, channels, directions, placements, campaigns) counts and stops only
//! what lies in all of them; `each` counts every combination of what it names by itself. Offers chosen earlier in the same answer
//! count as decided now.
//!
//! **Cool-downs.** For each offer, in the order of their times, the contacts that are what the cool-down is `after`: when the
//! last `times` of them lie `within` its span (the last less the first is shorter), what it is `on` rests until `rest` after
//! the last. `ignored` is a contact that was presented (by a report, or by a reservation that is not over) and neither clicked,
//! accepted nor converted; a no is not a click. A click makes an end of all that was decided up to the decision that it is
//! about: the count begins anew.
//!
//! **Attempts** of a campaign are caps of its own: at most so many decisions for each offer, ever, and one within the spacing.
//!
//! **Exempt offers** are stopped by nothing of this; whether they count for others, they say themselves.
//!
//! **Order.** Caps in the order of the files, then cool-downs in the order of the files, then attempts.
//!
//! **History.** Of more than [`CONTACTS_KEPT`](crate::domain::profile::CONTACTS_KEPT) contacts the oldest that no limit needs
//! *now* is dropped. A limit that a later version of the catalog adds or widens cannot count what was dropped before.

mod budget;
mod cool_down;
mod counting;
mod needs;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use crate::catalog::{Cap, Catalog, Combination, Window};
use crate::domain::contact::Counted;
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};

use super::calendar::Calendar;
use cool_down::{Call, Rested, Rests};
use counting::{Kind, Known, is_reserved_by_decision, released_at};

pub use budget::{Allowance, Budget, CountedFor, Resting, budget};
pub use counting::counted_at;
pub use needs::oldest_unneeded;

/// An offer about to be shown, for which the limits are asked.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Position of the offer in the catalog.
    pub offer: usize,
    /// The placement to fill.
    pub placement: Symbol,
}

/// Where and by whom offers are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The channel that asks.
    pub channel: Symbol,
    /// The campaign that asks, if one does.
    pub campaign: Option<Symbol>,
}

/// Which limit, in the order of the reasons; positions in the catalog's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// One of [`Catalog::caps`].
    Cap(usize),
    /// One of [`Catalog::cool_downs`].
    CoolDown(usize),
    /// One of [`Catalog::attempts`].
    Attempts(usize),
}

/// A limit that has no room for a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Which one.
    pub limit: Limit,
    /// How many contacts count against it now. A cool-down counts those that began the rest.
    pub count: u32,
    /// How many are allowed; for a cool-down how many begin the rest.
    pub at_most: u32,
    /// When it has room again if nothing else happens; `None` when time alone never makes room.
    pub eligible_again_at: Option<Timestamp>,
    /// When the count next changes if nothing else happens; the far future when it does not.
    pub count_changes_at: Timestamp,
    /// Until when it has no room whenever the same is asked; the far future when it never has.
    pub stands_until: Timestamp,
}

/// A contact that counts against a cap now.
#[derive(Clone, Copy, Debug)]
struct Counting {
    /// Position among the contacts that count at all.
    known: usize,
    /// When it stops counting.
    release: Timestamp,
}

/// When contacts stop counting; seldom more than these.
type Releases = SmallVec<[Timestamp; 16]>;

/// Of which groups the contacts of a cap are, in 64 bits: a cap that counts each group by itself has nothing of many groups,
/// and that is seen at once.
#[derive(Clone, Copy, Debug, Default)]
struct Among(u64);

impl Among {
    const fn bit(position: usize) -> u64 {
        1 << (position % PLACES)
    }

    fn add(&mut self, known: &Known<'_>) {
        self.0 |= known.group.map_or(0, Self::bit);
    }

    /// Tells whether a contact may count together with a candidate; other groups of the same bit may be meant.
    const fn may_have(self, each: Combination, kind: &Kind) -> bool {
        !each.group || self.0 & Self::bit(kind.group) != 0
    }
}

/// Among so many places offers and groups are shared out.
const PLACES: usize = 64;

/// Where the contacts of each offer are among all: offers are shared out over [`PLACES`], and the contacts of a place form a chain.
/// To put them in order would cost more than all that is asked of them.
#[derive(Debug)]
struct Chains {
    /// One more than the position of the first of each place; 0 when there is none.
    first: [u32; PLACES],
    /// How many there are.
    length: [u32; PLACES],
    /// The same as `first` for the one after each contact.
    next: SmallVec<[u32; 32]>,
}

impl Chains {
    fn of(known: &[Known<'_>]) -> Self {
        let mut chains = Self {
            first: [0; PLACES],
            length: [0; PLACES],
            next: SmallVec::from_elem(0, known.len()),
        };
        for (at, known) in known.iter().enumerate().rev() {
            let Some(place) = known.offer.map(|offer| offer % PLACES) else {
                continue;
            };
            chains.next[at] = chains.first[place];
            chains.first[place] = u32::try_from(at + 1).unwrap_or(0);
            chains.length[place] += 1;
        }
        chains
    }

    /// Returns how many contacts an offer has, at most.
    fn most_of(&self, offer: usize) -> usize {
        self.length[offer % PLACES] as usize
    }

    /// Returns the positions of those that may be of an offer, in their order.
    fn may_be_of(&self, offer: usize) -> impl Iterator<Item = usize> {
        let link = |link: u32| (link as usize).checked_sub(1);
        std::iter::successors(link(self.first[offer % PLACES]), move |&at| link(self.next[at]))
    }
}

/// How many offers a call chooses, at most: what it may add to a count before a limit is asked for its next offer.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    /// Offers in all.
    pub all: usize,
    /// The same offer, before it is asked for again.
    pub of_one: usize,
}

impl Choices {
    /// Those of a call that asks for one offer and has chosen none.
    pub const NONE: Self = Self { all: 0, of_one: 0 };
}

/// How many contacts may count together, at most.
struct Most {
    all: usize,
    of_offer: usize,
    of_group: usize,
    /// How many were reported as each of [`Counted::ALL`].
    reported: [usize; Counted::ALL.len()],
}

impl Most {
    /// Those that share a place count together, so it may be more than there are.
    fn of(known: &[Known<'_>], chains: &Chains) -> Self {
        let mut groups = [0_u32; PLACES];
        let mut reported = [0; Counted::ALL.len()];
        for known in known {
            if let Some(group) = known.group {
                groups[group % PLACES] += 1;
            }
            for (count, time) in reported.iter_mut().zip(&known.contact.times) {
                *count += usize::from(time.is_some());
            }
        }
        let largest = |places: [u32; PLACES]| places.into_iter().max().unwrap_or_default() as usize;
        Self {
            all: known.len(),
            of_offer: largest(chains.length),
            of_group: largest(groups),
            reported,
        }
    }

    /// Returns of how many contacts a cap may count together, at most; windows and filters are not asked.
    fn for_cap(&self, cap: &Cap) -> usize {
        let together = if cap.each.offer {
            self.of_offer
        } else if cap.each.group {
            self.of_group
        } else {
            self.all
        };
        if is_reserved_by_decision(cap.counted) {
            return together;
        }
        together.min(self.reported[cap.counted.index()])
    }
}

/// A limit that what counts could reach, together with what the call may choose.
#[derive(Clone, Copy, Debug)]
struct Near {
    /// Its position among the caps, and the attempts after them.
    at: usize,
    part: Part,
}

/// What counts against a cap.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// From one position to another, of contacts of these groups.
    Counted(usize, usize, Among),
    /// The cap counts each offer by itself: what counts is found when an offer is asked for.
    OfEachOffer,
}

/// A customer's contacts counted against every limit, at one instant, for one channel and campaign.
#[derive(Debug)]
pub struct Ledger<'a> {
    catalog: &'a Catalog,
    asked: Asked,
    choices: Choices,
    now: Timestamp,
    calendar: Calendar<'a>,
    known: SmallVec<[Known<'a>; 16]>,
    chains: Chains,
    /// What counts, near cap after near cap.
    counting: SmallVec<[Counting; 32]>,
    /// The caps, and then the attempts, that can be reached at all; mostly few.
    near: SmallVec<[Near; 8]>,
    rests: Rests,
}

impl<'a> Ledger<'a> {
    /// Counts the contacts, for a call that chooses no more than was announced.
    #[must_use]
    pub fn new(catalog: &'a Catalog, profile: &'a Profile, asked: Asked, choices: Choices, now: Timestamp) -> Self {
        let calendar = Calendar::new(catalog.zone_of(profile), catalog.week_starts, now);
        let contacts = &profile.contacts;
        let contacts = contacts.iter().filter_map(|contact| Known::of(catalog, contact));
        let known: SmallVec<[Known<'_>; 16]> = contacts.collect();
        let chains = Chains::of(&known);
        let most = Most::of(&known, &chains);
        let mut counting: SmallVec<[Counting; 32]> = SmallVec::new();
        let mut near = SmallVec::new();
        for (at, cap) in caps(catalog).enumerate() {
            let of_call = match (is_reserved_by_decision(cap.counted), cap.each.offer) {
                (false, _) => 0,
                (true, true) => choices.of_one,
                (true, false) => choices.all,
            };
            // Mostly, not even everything together would reach it.
            let missing = (cap.limit as usize).saturating_sub(of_call);
            if !can_stop(cap, asked) || most.for_cap(cap) < missing {
                continue;
            }
            if cap.each.offer {
                let part = Part::OfEachOffer;
                near.push(Near { at, part });
                continue;
            }
            let first = counting.len();
            let mut among = Among::default();
            counting.extend(known.iter().enumerate().filter_map(|(at, known)| {
                let release = known.counts_until(cap, catalog, &calendar, now)?;
                among.add(known);
                Some(Counting { known: at, release })
            }));
            if counting.len() - first < missing {
                counting.truncate(first);
                continue;
            }
            let part = Part::Counted(first, counting.len(), among);
            near.push(Near { at, part });
        }
        let rests = Rests::new(catalog, &known, now);
        Self {
            catalog,
            asked,
            choices,
            now,
            calendar,
            known,
            chains,
            counting,
            near,
            rests,
        }
    }

    /// Finds the limits that have no room for the candidate, in their order, one after the other as they are asked for.
    /// `earlier` are the offers that the same call already chose, as (placement, offer position), no more than were announced; they
    /// count as decided now.
    pub fn reached<'b>(
        &'b self,
        earlier: &'b [(Symbol, usize)],
        candidate: Candidate,
    ) -> impl Iterator<Item = Reached> + 'b {
        let of_one = || earlier.iter().filter(|&&(_, chosen)| chosen == candidate.offer).count();
        debug_assert!(earlier.len() <= self.choices.all, "more offers than were announced");
        debug_assert!(
            of_one() <= self.choices.of_one,
            "an offer more often than was announced"
        );
        let catalog = self.catalog;
        let first = catalog.caps.len();
        let (near, cool_downs) = if catalog.offers[candidate.offer].is_exempt() {
            (&[][..], 0)
        } else {
            (&self.near[..], catalog.cool_downs.len())
        };
        let (caps, attempts) = near.split_at(near.partition_point(|near| near.at < first));
        let caps = caps.iter();
        let caps = caps.filter_map(move |near| self.cap_reached(near, Limit::Cap(near.at), earlier, candidate));
        let cool_downs = (0..cool_downs).filter_map(move |at| self.resting(at, earlier, candidate));
        let attempts = attempts.iter();
        let attempts = attempts
            .filter_map(move |near| self.cap_reached(near, Limit::Attempts(near.at - first), earlier, candidate));
        caps.chain(cool_downs).chain(attempts)
    }

    fn cap_reached(
        &self,
        near: &Near,
        limit: Limit,
        earlier: &[(Symbol, usize)],
        candidate: Candidate,
    ) -> Option<Reached> {
        let cap = cap(self.catalog, near.at);
        let most = self.most_of(near, candidate) + earlier.len();
        if most < cap.limit as usize || !concerns(cap, self.asked, candidate) {
            return None;
        }
        let kind = self.kind(candidate);
        let of_call = self.of_this_call(cap, earlier, kind);
        let mut releases = self.of_kind(near, cap, &kind);
        let count = u32::try_from(releases.len() + of_call).unwrap_or(u32::MAX);
        if count < cap.limit {
            return None;
        }
        let first_release = releases.iter().copied().min();
        let mut count_changes_at = first_release.unwrap_or(Timestamp::FAR_FUTURE);
        if let Window::Calendar(per) = cap.window
            && of_call > 0
        {
            // What this call itself fills is free at the end of the period, and after that at another one.
            count_changes_at = count_changes_at.min(self.calendar.current(per).end);
        }
        let eligible_again_at = self.room_again(cap, &mut releases, of_call);
        Some(Reached {
            limit,
            count,
            at_most: cap.limit,
            eligible_again_at,
            count_changes_at,
            stands_until: eligible_again_at.unwrap_or(Timestamp::FAR_FUTURE),
        })
    }

    fn resting(&self, at: usize, earlier: &[(Symbol, usize)], candidate: Candidate) -> Option<Reached> {
        let call = Call {
            earlier,
            asked: self.asked,
            now: self.now,
        };
        let Rested { until, stands_until } = self.rests.until(self.catalog, at, candidate.offer, call)?;
        let times = u32::try_from(self.catalog.cool_downs[at].times).unwrap_or(u32::MAX);
        Some(Reached {
            limit: Limit::CoolDown(at),
            count: times,
            at_most: times,
            eligible_again_at: (until != Timestamp::FAR_FUTURE).then_some(until),
            count_changes_at: Timestamp::FAR_FUTURE,
            stands_until,
        })
    }

    fn kind(&self, candidate: Candidate) -> Kind {
        Kind {
            offer: candidate.offer,
            group: self.catalog.offers[candidate.offer].group,
            channel: self.asked.channel,
            placement: candidate.placement,
            campaign: self.asked.campaign,
        }
    }

    /// Returns of how many contacts a cap counts together with a candidate, at most.
    fn most_of(&self, near: &Near, candidate: Candidate) -> usize {
        match near.part {
            Part::Counted(first, end, _) => end - first,
            Part::OfEachOffer => self.chains.most_of(candidate.offer),
        }
    }

    /// Returns when each contact that counts together with a candidate stops counting.
    fn of_kind(&self, near: &Near, cap: &Cap, kind: &Kind) -> Releases {
        let Part::Counted(first, end, among) = near.part else {
            let of_offer = self.chains.may_be_of(kind.offer).map(|at| &self.known[at]);
            return of_offer
                .filter(|known| known.is_with(cap.each, kind))
                .filter_map(|known| known.counts_until(cap, self.catalog, &self.calendar, self.now))
                .collect();
        };
        if !among.may_have(cap.each, kind) {
            return SmallVec::new();
        }
        let counting = self.counting[first..end].iter();
        counting
            .filter(|counting| cap.each.is_none() || self.known[counting.known].is_with(cap.each, kind))
            .map(|counting| counting.release)
            .collect()
    }

    /// Counts the offers that the same call already chose; channel and campaign are the candidate's.
    fn of_this_call(&self, cap: &Cap, earlier: &[(Symbol, usize)], kind: Kind) -> usize {
        if !is_reserved_by_decision(cap.counted) {
            return 0;
        }
        let counts = |&&(placement, chosen): &&(Symbol, usize)| {
            let offer = &self.catalog.offers[chosen];
            cap.contacts.offers[chosen]
                && cap.contacts.placements.takes(placement)
                && !offer.is_uncounted()
                && (!cap.each.offer || chosen == kind.offer)
                && (!cap.each.group || offer.group == kind.group)
                && (!cap.each.placement || placement == kind.placement)
        };
        earlier.iter().filter(counts).count()
    }

    /// Returns when enough of the counting contacts, and of those that this call chose, have been released that one more fits.
    fn room_again(&self, cap: &Cap, releases: &mut Releases, of_call: usize) -> Option<Timestamp> {
        let limit = usize::try_from(cap.limit).ok()?;
        if limit == 0 {
            return None;
        }
        if of_call > 0 {
            // The offers of this very call are contacts decided now.
            let release_then = if cap.counted == Counted::Decided {
                released_at(cap.window, self.now, &self.calendar).unwrap_or(Timestamp::FAR_FUTURE)
            } else {
                self.now + reservation(self.catalog, self.asked.channel)
            };
            releases.extend(std::iter::repeat_n(release_then, of_call));
        }
        let at = releases.len().checked_sub(limit)?;
        let at = *releases.select_nth_unstable(at).1;
        (at != Timestamp::FAR_FUTURE).then_some(at)
    }
}

/// Returns the caps, and then the attempt limits.
fn caps(catalog: &Catalog) -> impl Iterator<Item = &Cap> {
    catalog.caps.iter().chain(&catalog.attempts)
}

fn cap(catalog: &Catalog, at: usize) -> &Cap {
    let first = catalog.caps.len();
    if at < first {
        &catalog.caps[at]
    } else {
        &catalog.attempts[at - first]
    }
}

/// Tells whether a candidate lies in a cap's scopes.
pub(super) fn concerns(cap: &Cap, asked: Asked, candidate: Candidate) -> bool {
    cap.contacts.offers[candidate.offer] && can_stop(cap, asked) && cap.contacts.placements.takes(candidate.placement)
}

/// Tells whether a cap can stop anything on this channel and for this campaign.
fn can_stop(cap: &Cap, asked: Asked) -> bool {
    cap.contacts.channels.takes(asked.channel) && cap.contacts.takes_campaign(asked.campaign)
}

/// Returns for how long an open contact on a channel counts as a reservation; an hour where the catalog no longer has the channel.
#[must_use]
pub fn reservation(catalog: &Catalog, channel: Symbol) -> Millis {
    let found = catalog.channels.iter().find(|candidate| candidate.symbol == channel);
    found.map_or(Millis::HOUR, |found| found.reservation)
}
