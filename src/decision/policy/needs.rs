//! Which contacts a full history may drop.
//!
//! A contact is needed while a cap counts it, and while a cool-down may still rest because of it:
//!
//! * A cool-down after one contact needs it until its rest is over.
//! * One after N contacts needs a contact as long as fewer than N - 1 reported ones with the same offer came after it, or the
//!   rest after the (N - 1)th of those is not over; within a span, only as long as a rest could end that began in the span.
//! * One for good needs the first N that began it, and until then whatever may begin it: within a span what lies in it, or
//!   all where visitors are joined, whose contacts may have begun it together with the customer's own.
//! * As long as one of the contacts is only reserved, it needs what could rest with it, and without it.
//! * What was clicked is needed by `ignored` as long as something is kept that it made an end of.

use super::super::calendar::Calendar;
use super::caps;
use super::cool_down::{Start, Starts, clicked_in, is_clicked, may_begin, starts};
use super::counting::{Known, counted_at};
use crate::catalog::{Catalog, CoolDown, Trigger};
use crate::domain::contact::Counted;
use crate::domain::profile::Profile;
use crate::domain::time::{Millis, Timestamp};

/// Finds the oldest contact that no limit needs now. What is reported about it after it was dropped is refused.
#[must_use]
pub fn oldest_unneeded(profile: &Profile, catalog: &Catalog, now: Timestamp) -> Option<usize> {
    let calendar = Calendar::new(catalog.zone_of(profile), catalog.week_starts, now);
    let needed = needed_by_rests(profile, catalog, now);
    let is_unneeded = |(at, contact)| {
        if needed.get(at).copied().unwrap_or_default() {
            return false;
        }
        let known = Known::of(catalog, contact);
        known.is_none_or(|known| caps(catalog).all(|cap| known.counts_until(cap, catalog, &calendar, now).is_none()))
    };
    profile.contacts.iter().enumerate().position(is_unneeded)
}

/// Tells for each contact whether a cool-down needs it; empty when there are none.
fn needed_by_rests(profile: &Profile, catalog: &Catalog, now: Timestamp) -> Vec<bool> {
    // Mostly nothing was reported and nothing is outbound, so that none begins a rest.
    let begins = |cool_down: &CoolDown| profile.contacts.iter().any(|contact| may_begin(cool_down, contact));
    if !catalog.cool_downs.iter().any(begins) {
        return Vec::new();
    }
    let contacts = || profile.contacts.iter().enumerate();
    let known_at = |(at, contact)| Known::of(catalog, contact).map(|known| (at, known));
    let (positions, known): (Vec<usize>, Vec<Known<'_>>) = contacts().filter_map(known_at).unzip();
    let mut needed = vec![false; profile.contacts.len()];
    let mut found = Starts::new();
    for (at, cool_down) in catalog.cool_downs.iter().enumerate() {
        found.clear();
        starts(catalog, at, &known, now, &mut found);
        for of_source in found.chunk_by(|one, other| one.source == other.source) {
            let need = |start: &Start| needed[positions[start.known]] = true;
            mark(cool_down, of_source, !profile.joined.is_empty(), now, need);
        }
        if cool_down.after == Trigger::Ignored {
            mark_clicked(catalog, cool_down, &known, now, |at| needed[positions[at]] = true);
        }
    }
    needed
}

/// Marks the starts of one source, by time, that are needed; whether there may be more elsewhere is known too.
fn mark(cool_down: &CoolDown, starts: &[Start], are_more: bool, now: Timestamp, mut need: impl FnMut(&Start)) {
    let times = cool_down.times;
    let is_reported = |start: &&Start| start.lapses == Timestamp::FAR_FUTURE;
    let reported: Vec<&Start> = starts.iter().filter(is_reported).collect();
    let some_reserved = reported.len() < starts.len();
    let Some(rest) = cool_down.rest else {
        let fits = |window: &&[&Start]| is_within(cool_down.within, window[times - 1].at - window[0].at);
        if let Some(first) = reported.windows(times).find(fits) {
            return first.iter().for_each(|start| need(start));
        }
        let may_begin = |start: &&Start| some_reserved || are_more || is_within(cool_down.within, now - start.at);
        return starts.iter().filter(may_begin).for_each(need);
    };
    for (at, start) in reported.iter().enumerate() {
        let last = reported.get(at + times - 1);
        let rests = last.is_none_or(|last| now < last.at + rest);
        let could_rest = times == 1 || cool_down.within.is_none_or(|within| now < start.at + within + rest);
        if rests && could_rest {
            need(start);
        }
    }
    starts.iter().filter(|start| !is_reported(start)).for_each(need);
}

fn is_within(within: Option<Millis>, span: Millis) -> bool {
    within.is_none_or(|within| span < within)
}

/// Marks what was clicked last of each offer of which something presented before is kept.
fn mark_clicked(
    catalog: &Catalog,
    cool_down: &CoolDown,
    known: &[Known<'_>],
    now: Timestamp,
    mut need: impl FnMut(usize),
) {
    for (at, clicked) in known.iter().enumerate() {
        let (offer, decision) = (clicked.contact.offer, clicked.contact.decision);
        if !is_clicked(clicked.contact) || clicked_in(known, offer) != Some(decision) {
            continue;
        }
        let is_ended = |other: &Known<'_>| {
            other.contact.offer == offer
                && other.contact.decision <= decision
                && !is_clicked(other.contact)
                && (counted_at(other.contact, Counted::Delivered).is_some() || now < other.reserved_until)
                && other.is_in(&cool_down.contacts, catalog)
        };
        if known.iter().any(is_ended) {
            need(at);
        }
    }
}
