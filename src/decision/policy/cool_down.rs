//! Rests: which offers rest, after what, and until when.

use smallvec::SmallVec;

use super::Asked;
use super::counting::{Known, counted_at};
use super::reservation;
use crate::catalog::{Catalog, CoolDown, RestsOn, Trigger};
use crate::domain::contact::{Contact, Counted};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;

/// A contact that can begin a rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// Position of the cool-down.
    pub(super) cool_down: usize,
    /// The offer of the contact.
    pub(super) source: Symbol,
    /// When it happened.
    pub(super) at: Timestamp,
    /// When it turns out not to have happened; the far future for what was reported.
    pub(super) lapses: Timestamp,
    /// Position among the contacts that count at all.
    pub(super) known: usize,
}

/// What can begin rests; seldom more than these.
pub(super) type Starts = SmallVec<[Start; 8]>;

/// A rest that is not over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    pub(super) cool_down: usize,
    pub(super) source: Symbol,
    /// Position of the offer after which it is; `None` when the catalog no longer has it.
    offer: Option<usize>,
    /// Position of that offer's group.
    group: Option<usize>,
    /// Its end; the far future when it is for good.
    pub(super) until: Timestamp,
}

/// The call for which rests are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// The offers that it already chose, as (placement, offer position).
    pub(super) earlier: &'a [(Symbol, usize)],
    pub(super) asked: Asked,
    pub(super) now: Timestamp,
}

/// How long an offer rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rested {
    /// The end of the rest if nothing else happens; the far future when it is for good.
    pub(super) until: Timestamp,
    /// Until when the same call finds the offer resting whenever it is asked: what it chooses itself begins a rest anew.
    pub(super) stands_until: Timestamp,
}

/// All rests of a customer at one instant.
#[derive(Debug, Default)]
pub(super) struct Rests {
    /// By cool-down.
    pub(super) rests: SmallVec<[Rest; 4]>,
    /// What may still begin a rest together with what is decided now, by cool-down, source and time.
    starts: Starts,
}

impl Rests {
    pub(super) fn new(catalog: &Catalog, known: &[Known<'_>], now: Timestamp) -> Self {
        let mut found = Self::default();
        for (at, cool_down) in catalog.cool_downs.iter().enumerate() {
            let first = found.starts.len();
            starts(catalog, at, known, now, &mut found.starts);
            for of_source in found.starts[first..].chunk_by(|one, other| one.source == other.source) {
                if let Some(until) = rests_until(cool_down, of_source, now) {
                    let known = &known[of_source[0].known];
                    found.rests.push(Rest {
                        cool_down: at,
                        source: known.contact.offer,
                        offer: known.offer,
                        group: known.group,
                        until,
                    });
                }
            }
            if !is_begun_by_decision(cool_down.after) {
                found.starts.truncate(first);
            }
        }
        found
    }

    /// Returns how long the offer rests after this cool-down; `None` when it does not.
    pub(super) fn until(&self, catalog: &Catalog, at: usize, offer: usize, call: Call<'_>) -> Option<Rested> {
        let cool_down = &catalog.cool_downs[at];
        let first = self.rests.partition_point(|rest| rest.cool_down < at);
        let of_cool_down = self.rests[first..].iter().take_while(|rest| rest.cool_down == at);
        let on_offer = of_cool_down.filter(|rest| is_on(cool_down, catalog, offer, rest.offer, rest.group));
        let until = on_offer.map(|rest| rest.until).max();
        let before = until.map(|until| Rested {
            until,
            stands_until: until,
        });
        let can_begin = is_begun_by_decision(cool_down.after) && cool_down.contacts.channels.takes(call.asked.channel);
        if !can_begin || call.earlier.is_empty() {
            return before;
        }
        longer(before, self.until_by_this_call(catalog, at, offer, call))
    }

    /// The same as far as what this call chose begins the rest.
    fn until_by_this_call(&self, catalog: &Catalog, at: usize, offer: usize, call: Call<'_>) -> Option<Rested> {
        let Call { earlier, now, .. } = call;
        let cool_down = &catalog.cool_downs[at];
        let mut starts = Starts::new();
        let mut longest = None;
        for (index, &(_, chosen)) in earlier.iter().enumerate() {
            let source = &catalog.offers[chosen];
            let begins = cool_down.contacts.offers[chosen]
                && !source.is_uncounted()
                && is_on(cool_down, catalog, offer, Some(chosen), Some(source.group))
                && earlier[..index].iter().all(|&(_, other)| other != chosen);
            if !begins {
                continue;
            }
            let key = (at, source.symbol);
            let first = self
                .starts
                .partition_point(|start| (start.cool_down, start.source) < key);
            let of_source = self.starts[first..].iter();
            starts.clear();
            starts.extend(
                of_source
                    .copied()
                    .take_while(|start| (start.cool_down, start.source) == key),
            );
            // What was before takes part only as long as it stands, and lies within the span.
            let leaves = |start: &Start| {
                let within = cool_down
                    .within
                    .map_or(Timestamp::FAR_FUTURE, |within| start.at + within);
                [start.lapses, within].into_iter().filter(|&at| now < at).min()
            };
            let stands_until = starts.iter().filter_map(leaves).min().unwrap_or(Timestamp::FAR_FUTURE);
            let of_now = Start {
                cool_down: at,
                source: source.symbol,
                at: now,
                lapses: match cool_down.after {
                    Trigger::Ignored => now + reservation(catalog, call.asked.channel),
                    _ => Timestamp::FAR_FUTURE,
                },
                known: usize::MAX,
            };
            let times = earlier.iter().filter(|&&(_, other)| other == chosen).count();
            starts.extend(std::iter::repeat_n(of_now, times));
            starts.sort_by_key(|start| start.at);
            let rested = rests_until(cool_down, &starts, now).map(|until| Rested { until, stands_until });
            longest = longer(longest, rested);
        }
        longest
    }
}

/// Joins two rests.
fn longer(one: Option<Rested>, other: Option<Rested>) -> Option<Rested> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Rested {
            until: one.until.max(other.until),
            stands_until: one.stands_until.max(other.stands_until),
        }),
        (one, other) => one.or(other),
    }
}

const fn is_begun_by_decision(after: Trigger) -> bool {
    matches!(after, Trigger::Ignored | Trigger::Attempted)
}

/// Tells whether an offer rests after one with this position and group.
fn is_on(cool_down: &CoolDown, catalog: &Catalog, offer: usize, source: Option<usize>, group: Option<usize>) -> bool {
    let by_kind = match cool_down.on {
        RestsOn::Offer => source == Some(offer),
        RestsOn::Group => group == Some(catalog.offers[offer].group),
        RestsOn::Everything => true,
    };
    by_kind || cool_down.also[offer]
}

/// Tells whether a contact is of the kind after which the cool-down comes, whatever its offer and the time.
pub(super) fn may_begin(cool_down: &CoolDown, contact: &Contact) -> bool {
    let is_after = match reported_as(cool_down.after) {
        Some(counted) => contact.time_of(counted).is_some(),
        None => !is_clicked(contact),
    };
    is_after && cool_down.contacts.takes_place(contact)
}

/// Returns what a contact has to be reported as, if it is that; the other trigger is that nothing was.
const fn reported_as(after: Trigger) -> Option<Counted> {
    match after {
        Trigger::Refused => Some(Counted::Refused),
        Trigger::Accepted => Some(Counted::Accepted),
        Trigger::Converted => Some(Counted::Converted),
        Trigger::Clicked => Some(Counted::Clicked),
        Trigger::Attempted => Some(Counted::Decided),
        Trigger::Ignored => None,
    }
}

/// Finds the contacts that can begin a rest, by source and time.
pub(super) fn starts(catalog: &Catalog, at: usize, known: &[Known<'_>], now: Timestamp, starts: &mut Starts) {
    let cool_down = &catalog.cool_downs[at];
    let first = starts.len();
    for (position, known) in known.iter().enumerate() {
        let Some((happened, lapses)) = happened(cool_down.after, known, now) else {
            continue;
        };
        if known.is_in(&cool_down.contacts, catalog) {
            starts.push(Start {
                cool_down: at,
                source: known.contact.offer,
                at: happened,
                lapses,
                known: position,
            });
        }
    }
    if cool_down.after == Trigger::Ignored && starts.len() > first {
        let mut kept = first;
        for position in first..starts.len() {
            let start = starts[position];
            let decision = known[start.known].contact.decision;
            if clicked_in(known, start.source).is_none_or(|clicked| clicked < decision) {
                starts[kept] = start;
                kept += 1;
            }
        }
        starts.truncate(kept);
    }
    starts[first..].sort_by_key(|start| (start.source, start.at));
}

/// Returns when the contact became what a rest comes after, and when that lapses; `None` when it is not that.
fn happened(after: Trigger, known: &Known<'_>, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let contact = known.contact;
    if let Some(counted) = reported_as(after) {
        return contact.time_of(counted).map(|at| (at, Timestamp::FAR_FUTURE));
    }
    if is_clicked(contact) {
        return None;
    }
    match counted_at(contact, Counted::Delivered) {
        Some(presented) => Some((presented, Timestamp::FAR_FUTURE)),
        None if now < known.reserved_until => Some((contact.decided_at(), known.reserved_until)),
        None => None,
    }
}

/// Tells whether the customer took interest in the contact.
pub(super) fn is_clicked(contact: &Contact) -> bool {
    let acts = [Counted::Clicked, Counted::Accepted, Counted::Converted];
    acts.iter().any(|&act| contact.time_of(act).is_some())
}

/// Returns the number of the latest decision with the offer in which the customer took interest. By numbers, not by times: what
/// is decided later comes after it even when the clock stepped back.
pub(super) fn clicked_in(known: &[Known<'_>], offer: Symbol) -> Option<u32> {
    let clicked = known
        .iter()
        .filter(|known| known.contact.offer == offer && is_clicked(known.contact));
    clicked.map(|known| known.contact.decision).max()
}

/// Returns until when the starts of one source, by time, keep resting what they are about; `None` when they do not now. What
/// lapses on the way ends the rest that it took part in.
fn rests_until(cool_down: &CoolDown, starts: &[Start], now: Timestamp) -> Option<Timestamp> {
    let mut from = now;
    while let Some(end) = latest_end(cool_down, starts, from).filter(|&end| from < end) {
        let lapse = starts
            .iter()
            .map(|start| start.lapses)
            .filter(|&lapse| from < lapse)
            .min();
        from = end.min(lapse.unwrap_or(end));
    }
    (now < from).then_some(from)
}

/// Returns the latest end of the rests that the starts begin which have not lapsed at an instant.
fn latest_end(cool_down: &CoolDown, starts: &[Start], at: Timestamp) -> Option<Timestamp> {
    let stands = |start: &&Start| at < start.lapses || start.lapses == Timestamp::FAR_FUTURE;
    let firsts = starts.iter().filter(stands);
    let lasts = starts.iter().filter(stands).skip(cool_down.times - 1);
    let begins = |&(first, last): &(&Start, &Start)| cool_down.within.is_none_or(|within| last.at - first.at < within);
    let last = firsts.zip(lasts).filter(begins).map(|(_, last)| last.at).max()?;
    Some(cool_down.rest.map_or(Timestamp::FAR_FUTURE, |rest| last + rest))
}
