//! Filling placements from the ranking, best first, within opt-outs, quiet hours, contact limits and volumes.
//!
//! Order of the obstacles for each offer of the ranking: the placement does not take it; no treatment for the channel; already
//! shown in an earlier placement of this answer (unless duplicates are allowed; the next best takes its place); enough of its
//! group; then the contact policy, the channel's quiet hours first, then the limits in the order of [`super::policy`], then
//! volumes in the order of the files; better offers filled the placement. What no waiting helps comes first. The first
//! obstacle is the reason, and nothing further is asked; an explanation has all of them. What the [`Barrier`] stops is not shown
//! whatever else is so: everything after an opt-out and while a contact history is full.

use std::ops::ControlFlow;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::catalog::Catalog;
use crate::domain::decision::{Filled, Ranked, Ranking, Shown, Stage, Withheld};
use crate::domain::profile::{CONTACTS_KEPT, CONTACTS_MAX, Profile};
use crate::domain::request::{OffersRequest, PlacementRequest};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;

use super::barrier::{Barred, Barrier};
use super::gate::plain_reason;
use super::policy::{self, Asked, Candidate, Choices, Ledger, Limit, Reached};
use super::volumes::{Rooms, Used};
use super::{nobody, quiet, rank, unite};

/// The customer was erased, and is not to be contacted.
pub const ERASED: &str = "erased";
/// Nothing is known of the customer, and the catalog serves known customers only.
pub const UNKNOWN_CUSTOMER: &str = "unknown-customer";
/// The customer wants no offers on this channel.
pub const OPT_OUT: &str = "opt-out";
/// There is no room for another customer, so nothing could be reserved.
pub const NO_ROOM: &str = "no-room-for-new-customer";
/// The customer's contact history is full of contacts that contact limits still need.
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
    /// Whether a placement looked for more behind the end of a ranking that was cut, so that all must be seen first.
    pub ran_out: bool,
}

#[derive(Clone, Copy)]
enum Obstacle {
    Plain(&'static str),
    /// An entry of the channel's quiet hours holds.
    Quiet(usize),
    Limit(Reached),
    /// A limit cannot count a visitor without any id.
    Uncounted(Limit),
    Volume(Used),
    /// A volume, by its position in the catalog, cannot count one either.
    UncountedVolume(usize),
}

impl Obstacle {
    const fn short(&self) -> Stopped {
        match self {
            Self::Plain(rule) => Stopped::Placement(rule),
            Self::Quiet(_) => Stopped::Quiet,
            Self::Limit(Reached { limit, .. }) | Self::Uncounted(limit) => Stopped::Limit(*limit),
            Self::Volume(Used { volume, .. }) | Self::UncountedVolume(volume) => Stopped::Volume(*volume),
        }
    }
}

/// What stopped an offer first when its turn had come to fill a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Consent, or a hold-out.
    Barrier(Barred),
    /// One of [`OF_PLACEMENT`].
    Placement(&'static str),
    /// The channel's quiet hours.
    Quiet,
    /// A contact limit.
    Limit(Limit),
    /// A volume, by its position in the catalog.
    Volume(usize),
}

/// Is told which offer, by position, was stopped by what when its turn had come.
pub type Note<'a> = &'a mut dyn FnMut(usize, Stopped);

/// The obstacles that a placement's own rules can be, in their order.
pub const OF_PLACEMENT: [&str; 4] = [NOT_FOR_PLACEMENT, NO_TREATMENT, SHOWN_ELSEWHERE, GROUP_FULL];

/// A call being answered.
struct Filling<'a> {
    catalog: &'a Catalog,
    ledger: Ledger<'a>,
    rooms: &'a Rooms,
    request: &'a OffersRequest,
    asked: Asked,
    barrier: &'a Barrier<'a>,
    /// What the channel's quiet hours say now.
    quiet: quiet::Now,
    /// What this call has chosen so far: (placement, offer position).
    chosen: Vec<(Symbol, usize)>,
    /// Caps that have no room in the placement at hand for any offer that they are about, and so need not be asked again.
    full: SmallVec<[usize; 4]>,
    /// Who is told what stops whom.
    note: Option<Note<'a>>,
    valid_until: Timestamp,
    ran_out: bool,
}

/// Returns the built-in rule that keeps every offer from this customer on this channel, if one does.
#[must_use]
pub fn suppression(
    catalog: &Catalog,
    profile: &Profile,
    request: &OffersRequest,
    now: Timestamp,
) -> Option<&'static str> {
    let placements = request.placements.iter();
    let wanted = placements
        .map(|placement| placement.count.min(catalog.offers.len()))
        .sum();
    suppression_of(catalog, profile, request.channel, wanted, now)
}

/// Returns the built-in rule that keeps every offer from this customer on the channel at this position, if one does, when so many offers
/// are wanted.
#[must_use]
pub fn suppression_of(
    catalog: &Catalog,
    profile: &Profile,
    channel: usize,
    wanted: usize,
    now: Timestamp,
) -> Option<&'static str> {
    if profile.is_opted_out_of(catalog.channels[channel].symbol) {
        return Some(OPT_OUT);
    }
    let contacts = &profile.contacts;
    let is_full = contacts.len() >= CONTACTS_KEPT
        && contacts.len() + wanted > CONTACTS_MAX
        && policy::oldest_unneeded(&unite::own_in_place(profile), catalog, now).is_none();
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
        ran_out: false,
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
/// ranking that it does not show is withheld there, besides what the barrier says. `rooms` says what
/// the volumes have left. The caller has asked [`suppression`] first.
#[must_use]
pub fn fill(
    ranking: &Ranking,
    barrier: &Barrier<'_>,
    request: &OffersRequest,
    now: Timestamp,
    rooms: &Rooms,
    withheld: Option<&mut Vec<Withheld>>,
) -> Outcome {
    fill_all((ranking, barrier, request), now, rooms, withheld, None)
}

/// Fills the placements as [`fill`] does without reasons, and tells of each offer whose turn came in vain what stopped it there
/// first. What is ranked behind the last offer shown has no turn.
#[must_use]
pub fn fill_noting<'a>(
    ranking: &Ranking,
    barrier: &'a Barrier<'a>,
    request: &'a OffersRequest,
    now: Timestamp,
    rooms: &'a Rooms,
    note: Note<'a>,
) -> Outcome {
    fill_all((ranking, barrier, request), now, rooms, None, Some(note))
}

fn fill_all<'a>(
    (ranking, barrier, request): (&Ranking, &'a Barrier<'a>, &'a OffersRequest),
    now: Timestamp,
    rooms: &'a Rooms,
    withheld: Option<&mut Vec<Withheld>>,
    note: Option<Note<'a>>,
) -> Outcome {
    let Barrier { catalog, profile, .. } = *barrier;
    let quiet_hours = &catalog.channels[request.channel].quiet;
    let asked = Asked {
        channel: catalog.channels[request.channel].symbol,
        campaign: request.campaign.map(|campaign| catalog.campaigns[campaign].symbol),
    };
    let placements = request.placements.iter();
    let wanted = placements.map(|wanted| wanted.count.min(ranking.offers.len())).sum();
    // Who is told of all obstacles asks again for what is shown already.
    let of_one = if request.duplicates {
        wanted
    } else {
        usize::from(withheld.is_some())
    };
    let choices = Choices { all: wanted, of_one };
    let mut filling = Filling {
        catalog,
        ledger: Ledger::new(catalog, profile, asked, choices, now),
        rooms,
        request,
        asked,
        barrier,
        quiet: quiet::at(quiet_hours, catalog.zone_of(profile), now),
        chosen: Vec::with_capacity(wanted),
        full: SmallVec::new(),
        note,
        valid_until: ranking.valid_until,
        ran_out: false,
    };
    let mut withheld = withheld;
    let placements = (0..request.placements.len())
        .map(|at| filling.placement(ranking, at, withheld.as_deref_mut()))
        .collect();
    Outcome {
        ran_out: filling.ran_out,
        placements,
        valid_until: filling.valid_until,
    }
}

impl Filling<'_> {
    fn placement(&mut self, ranking: &Ranking, at: usize, mut reasons: Option<&mut Vec<Withheld>>) -> Filled {
        let wanted = self.request.placements[at];
        let first_chosen = self.chosen.len();
        self.full.clear();
        let mut offers = Vec::with_capacity(wanted.count.min(ranking.offers.len()));
        for ranked in &ranking.offers {
            let offer = usize::from(ranked.offer);
            let is_full = offers.len() == wanted.count;
            if is_full && reasons.is_none() {
                break;
            }
            // Who is told of obstacles is told the first one, so all are asked in their order then.
            if reasons.is_none() && self.note.is_none() && self.is_passed_over(wanted.placement, offer, first_chosen) {
                continue;
            }
            let barred = self.barrier.first(offer);
            let is_barred = barred.is_some();
            if let (Some(barred), None) = (barred, &reasons) {
                self.tell(offer, Stopped::Barrier(barred));
                continue;
            }
            let mut valid_until = self.valid_until;
            let mut is_free = !is_barred;
            let mut fits_placement = true;
            let mut full = None;
            let mut stopped = None;
            let _ = self.obstacles(wanted.placement, offer, first_chosen, |obstacle| {
                is_free = false;
                fits_placement &= !matches!(obstacle, Obstacle::Plain(_));
                match &obstacle {
                    Obstacle::Limit(reached) => valid_until = valid_until.min(reached.stands_until),
                    Obstacle::Volume(used) => valid_until = valid_until.min(used.changes_at),
                    Obstacle::Plain(_) | Obstacle::Quiet(_) | Obstacle::Uncounted(_) | Obstacle::UncountedVolume(_) => {
                    }
                }
                let Some(reasons) = reasons.as_deref_mut() else {
                    full = self.used_up(&obstacle);
                    stopped = Some(obstacle.short());
                    return ControlFlow::Break(());
                };
                if let Obstacle::Limit(reached) = &obstacle {
                    // A reason also says how many contacts count.
                    valid_until = valid_until.min(reached.count_changes_at);
                }
                reasons.push(self.reason(offer, at, obstacle));
                ControlFlow::Continue(())
            });
            // Where the offer cannot stand anyway, nobody asks what time it is, except for all reasons.
            if !self.catalog.offers[offer].is_exempt() && (fits_placement || reasons.is_some()) {
                valid_until = valid_until.min(self.quiet.valid_until);
            }
            // What has room now may have none in a volume's next window.
            if is_free || reasons.is_some() {
                valid_until = valid_until.min(self.rooms.stays_until(self.catalog, self.asked.channel, offer));
            }
            self.valid_until = valid_until;
            if let Some(cap) = full {
                self.full.push(cap);
            }
            if let Some(stopped) = stopped {
                self.tell(offer, stopped);
            }
            if is_full {
                if let Some(reasons) = reasons.as_deref_mut() {
                    reasons.push(self.reason(offer, at, Obstacle::Plain(OUTRANKED)));
                }
            } else if is_free {
                self.chosen
                    .push((self.catalog.placements[wanted.placement].symbol, offer));
                offers.push(self.shown(ranked, offers.len() + 1));
            }
        }
        self.ran_out |= ranking.is_cut && offers.len() < wanted.count;
        let fallback = offers.is_empty();
        Filled {
            placement: wanted.placement,
            offers,
            fallback,
        }
    }

    fn tell(&mut self, offer: usize, stopped: Stopped) {
        if let Some(note) = &mut self.note {
            note(offer, stopped);
        }
    }

    /// Returns the cap that stops an offer, when it counts all together and so stops every other offer that it is about: what is
    /// chosen meanwhile only adds to the count.
    fn used_up(&self, obstacle: &Obstacle) -> Option<usize> {
        match obstacle {
            Obstacle::Limit(reached) => match reached.limit {
                Limit::Cap(at) if self.catalog.caps[at].each.is_none() => Some(at),
                _ => None,
            },
            _ => None,
        }
    }

    /// Tells whether a cap stops the offer that was found to have no room before. Until that cap has room, nothing else matters.
    fn is_used_up(&self, offer: usize) -> bool {
        let is_about = |&cap: &usize| self.catalog.caps[cap].contacts.offers[offer];
        self.full.iter().any(is_about) && !self.catalog.offers[offer].is_exempt()
    }

    /// Tells whether something stops the offer that stays as it is for as long as the ranking holds, or that was met before: it has no
    /// say in until when the answer is valid, so nothing else needs to be asked.
    fn is_passed_over(&self, placement: usize, offer: usize, first_chosen: usize) -> bool {
        let mut rules = 0..OF_PLACEMENT.len();
        rules.any(|rule| self.is_met(rule, placement, offer, first_chosen))
            || self.is_used_up(offer)
            || self.barrier.stops(offer)
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

    /// Visits what keeps an offer out of a placement, in the order of the reasons, until the visitor breaks off.
    fn obstacles(
        &self,
        placement: usize,
        offer: usize,
        first_chosen: usize,
        mut visit: impl FnMut(Obstacle) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (rule, &name) in OF_PLACEMENT.iter().enumerate() {
            if self.is_met(rule, placement, offer, first_chosen) {
                visit(Obstacle::Plain(name))?;
            }
        }
        if let Some(entry) = self.quiet.entry
            && !self.catalog.offers[offer].is_exempt()
        {
            visit(Obstacle::Quiet(entry))?;
        }
        let candidate = Candidate {
            offer,
            placement: self.catalog.placements[placement].symbol,
        };
        // Of a visitor without any id also the limits that cannot count.
        if self.request.customer.is_none() {
            let limits = self.limits_of_nobody(candidate).into_iter();
            return limits.chain(self.volumes_of_nobody(offer)).try_for_each(visit);
        }
        let mut limits = self.ledger.reached(&self.chosen, candidate);
        limits.try_for_each(|reached| visit(Obstacle::Limit(reached)))?;
        let mut volumes = self.volumes_used_up(offer);
        volumes.try_for_each(|used| visit(Obstacle::Volume(used)))
    }

    fn volumes_used_up(&self, offer: usize) -> impl Iterator<Item = Used> {
        self.rooms
            .used_up(self.catalog, &self.chosen, self.asked.channel, offer)
    }

    fn limits_of_nobody(&self, candidate: Candidate) -> Vec<Obstacle> {
        let closed: Vec<Limit> = nobody::stopped_by(self.catalog, self.asked, candidate).collect();
        let reached = self.ledger.reached(&self.chosen, candidate);
        let counted = reached.filter(|reached| !closed.contains(&reached.limit));
        let uncounted = closed.iter().map(|&limit| (limit, Obstacle::Uncounted(limit)));
        let mut all: Vec<(Limit, Obstacle)> = uncounted
            .chain(counted.map(|reached| (reached.limit, Obstacle::Limit(reached))))
            .collect();
        all.sort_by_key(|&(limit, _)| limit);
        all.into_iter().map(|(_, obstacle)| obstacle).collect()
    }

    fn volumes_of_nobody(&self, offer: usize) -> Vec<Obstacle> {
        let closed: Vec<usize> = nobody::volumes(self.catalog, self.asked.channel, offer).collect();
        let counted = self
            .volumes_used_up(offer)
            .filter(|used| !closed.contains(&used.volume));
        let uncounted = closed.iter().map(|&volume| (volume, Obstacle::UncountedVolume(volume)));
        let mut all: Vec<(usize, Obstacle)> = uncounted
            .chain(counted.map(|used| (used.volume, Obstacle::Volume(used))))
            .collect();
        all.sort_by_key(|&(volume, _)| volume);
        all.into_iter().map(|(_, obstacle)| obstacle).collect()
    }

    /// Tells whether one of [`OF_PLACEMENT`] is met, by its position there: names would be compared letter by letter.
    #[inline]
    fn is_met(&self, rule: usize, placement: usize, offer: usize, first_chosen: usize) -> bool {
        let (earlier, here) = self.chosen.split_at(first_chosen);
        let placement = &self.catalog.placements[placement];
        match rule {
            0 => !placement.offers[offer],
            1 => self.catalog.offers[offer].treatments[self.request.channel].is_none(),
            2 => !self.request.duplicates && earlier.iter().any(|&(_, chosen)| chosen == offer),
            _ => placement.per_group_max.is_some_and(|max| {
                let group = |offer: usize| self.catalog.offers[offer].group;
                here.iter()
                    .filter(|&&(_, chosen)| group(chosen) == group(offer))
                    .count()
                    >= max
            }),
        }
    }

    fn reason(&self, offer: usize, placement: usize, obstacle: Obstacle) -> Withheld {
        let plain = |rule: &str| Withheld {
            placement: Some(placement),
            ..plain_reason(offer, Stage::Placement, rule)
        };
        let catalog = self.catalog;
        let volume = |at: usize| (&catalog.volumes[at].id, &catalog.volumes[at].because);
        let ((rule, because), count, limit, eligible_again_at) = match obstacle {
            Obstacle::Plain(rule) => return plain(rule),
            Obstacle::Quiet(entry) => {
                let channel = &catalog.channels[self.request.channel];
                let words = (&channel.quiet_rule, &channel.quiet[entry].because);
                (words, None, None, self.quiet.ends_at)
            }
            Obstacle::Limit(reached) => {
                let (count, at_most) = (Some(reached.count), Some(reached.at_most));
                (self.words(reached.limit), count, at_most, reached.eligible_again_at)
            }
            Obstacle::Uncounted(limit) => (self.words(limit), None, nobody::at_most(catalog, limit), None),
            Obstacle::Volume(used) => {
                let (count, limit) = (Some(used.count), Some(used.limit));
                (volume(used.volume), count, limit, used.eligible_again_at)
            }
            Obstacle::UncountedVolume(at) => (volume(at), None, catalog.volumes[at].at_most, None),
        };
        Withheld {
            stage: Stage::ContactPolicy,
            rule: Arc::clone(rule),
            because: Arc::clone(because),
            count,
            limit,
            eligible_again_at,
            ..plain("")
        }
    }

    /// Returns the id of a limit, and why it is there.
    fn words(&self, limit: Limit) -> (&Arc<str>, &Arc<str>) {
        match limit {
            Limit::Cap(at) => (&self.catalog.caps[at].id, &self.catalog.caps[at].because),
            Limit::CoolDown(at) => (&self.catalog.cool_downs[at].id, &self.catalog.cool_downs[at].because),
            Limit::Attempts(at) => (&self.catalog.attempts[at].id, &self.catalog.attempts[at].because),
        }
    }
}
