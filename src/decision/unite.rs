//! What decides sees of a customer to whom visitors are joined: one person.
//!
//! **What is kept.** A customer's profile stays the customer's own; beside it stands, unchanged, that of each visitor as it was when
//! joined ([`Profile::joined`]). All that happens from then on is the customer's, whichever of the two a call names. So parting them is
//! exact: the visitor goes on with precisely what it had, the customer keeps their own and all that happened since. Only reports about
//! contacts of the visitor's, by their decision ids, change the visitor's part, and go with it.
//!
//! **What is seen** is [`view`], made anew for each decision; it costs somebody without visitors nothing. One visitor after the other, in
//! the order of joining, is added to the customer's own:
//!
//! * *attributes*: of what both have, the one that [`Precedence`] says; what only one has is taken. A set counts as one value.
//! * *opt-outs*: a no of either holds. *Consents*: an objection of either holds, where an answer for all channels speaks on each on which
//!   there is no other; then a yes of either.
//! * *aggregates*: counts and sums are added by time step, and of latest values the later one holds.
//! * *intents*: the latest events of both, as many as one person may have. *Visits* with the same id are one. *Events*: the
//!   latest of both.
//! * *contacts*: those of both, in the order of their times. All limits count them all, so a cap may be full, or more than full, at once:
//!   what was shown before joining cannot be undone, and nothing is shown until there is room by the count of both.
//!   They are numbered anew, since two people may have used the same number; their ids in answers are those of before.
//!
//! **Once.** An event id or a request id of either is recognised as of both. What cannot be told apart: an event that was recorded of both
//! before they were joined counts twice in counts and sums, for those are kept as numbers.
//!
//! **What is not united**: versions, decision numbers and hold-outs are the customer's.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::domain::contact::Contact;
use crate::domain::ids::CustomerId;
use crate::domain::profile::{
    Bucket, Consent, EVENTS_KEPT, Joined, Latest, Precedence, Profile, SESSIONS_KEPT, Session, TRACES_PER_INTENT, Trace,
};
use crate::domain::symbol::Symbol;
use crate::domain::value::Value;

/// Returns the profile as decisions see it: the customer's own, united with those of the visitors that are joined.
#[must_use]
pub fn view(profile: &Profile) -> Cow<'_, Profile> {
    if profile.joined.is_empty() {
        return Cow::Borrowed(profile);
    }
    let mut one = Profile {
        joined: Vec::new(),
        ..profile.clone()
    };
    for joined in &profile.joined {
        let visitor = &joined.profile;
        one.opted_out_of_all |= visitor.opted_out_of_all;
        one.opt_outs = merged(&one.opt_outs, &visitor.opt_outs, Symbol::cmp, |one, _| *one);
        one.consents = consents(&one, visitor);
        one.attributes = attributes(&one.attributes, joined);
        one.buckets = buckets(&one.buckets, &visitor.buckets);
        one.latest = latest(&one.latest, &visitor.latest);
        one.traces = traces(&one.traces, &visitor.traces);
        one.sessions = sessions(&one.sessions, &visitor.sessions);
        one.events = in_order(&one.events, &visitor.events, |event| event.time);
        one.events.drain(..one.events.len().saturating_sub(EVENTS_KEPT));
    }
    let (mut number, mut before) = (0, None);
    let renumbered = contacts(profile).into_iter().map(|(visitor, contact)| {
        let decision = (visitor.map(std::ptr::from_ref), contact.decision);
        if before.replace(decision) != Some(decision) {
            number += 1;
        }
        Contact {
            decision: number,
            ..*contact
        }
    });
    one.contacts = renumbered.collect();
    Cow::Owned(one)
}

/// Returns the contacts of a customer and of all joined visitors in the order of their times, each with the visitor whose it was; those of
/// one person stay in the order of decision.
#[must_use]
pub fn contacts(profile: &Profile) -> Vec<(Option<&Joined>, &Contact)> {
    let mut all: Vec<(Option<&Joined>, &Contact)> = profile.contacts.iter().map(|contact| (None, contact)).collect();
    for joined in &profile.joined {
        let of_visitor: Vec<_> = joined
            .profile
            .contacts
            .iter()
            .map(|contact| (Some(joined), contact))
            .collect();
        all = in_order(&all, &of_visitor, |(_, contact)| contact.decided_at());
    }
    all
}

/// Returns all who are one person, with their own profiles: the customer, and the joined visitors.
pub fn people<'a>(
    customer: &'a CustomerId,
    profile: &'a Profile,
) -> impl Iterator<Item = (&'a CustomerId, &'a Profile)> {
    let visitors = profile.joined.iter().map(|joined| (&joined.visitor, &joined.profile));
    std::iter::once((customer, profile)).chain(visitors)
}

/// Returns the customer's own profile with the attributes of the united one, by which days and weeks are told; what is dropped of the
/// customer's own history depends on these.
#[must_use]
pub fn own_in_place(profile: &Profile) -> Cow<'_, Profile> {
    if profile.joined.is_empty() {
        return Cow::Borrowed(profile);
    }
    let own = profile.attributes.clone();
    let united = profile
        .joined
        .iter()
        .fold(own, |before, joined| attributes(&before, joined));
    Cow::Owned(Profile {
        attributes: united,
        ..profile.clone()
    })
}

/// Merges two sorted lists; `both` makes one of two that are equal by `order`.
fn merged<T: Clone>(one: &[T], other: &[T], order: impl Fn(&T, &T) -> Ordering, both: impl Fn(&T, &T) -> T) -> Vec<T> {
    let mut united = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(first), Some(second)) = (one.peek(), other.peek()) {
        match order(first, second) {
            Ordering::Less => united.extend(one.next().cloned()),
            Ordering::Greater => united.extend(other.next().cloned()),
            Ordering::Equal => {
                united.push(both(first, second));
                one.next();
                other.next();
            }
        }
    }
    united.extend(one.chain(other).cloned());
    united
}

/// Merges two lists by a time, each of which stays in its order even where its times do not rise.
fn in_order<T: Clone, K: Ord>(one: &[T], other: &[T], time: impl Fn(&T) -> K) -> Vec<T> {
    let order = |first: &T, second: &T| {
        if time(second) < time(first) {
            Ordering::Greater
        } else {
            Ordering::Less
        }
    };
    merged(one, other, order, |first, _| first.clone())
}

fn attributes(before: &[(Symbol, Value)], joined: &Joined) -> Vec<(Symbol, Value)> {
    let order = |one: &(Symbol, Value), other: &(Symbol, Value)| one.0.cmp(&other.0);
    merged(before, &joined.profile.attributes, order, |one, other| {
        match joined.precedence {
            Precedence::Customer => *one,
            Precedence::Visitor => *other,
        }
    })
}

fn consents(one: &Profile, other: &Profile) -> Vec<Consent> {
    let answer = |profile: &Profile, consent: &Consent| {
        if let Some(channel) = consent.channel {
            return profile.consent(consent.purpose, channel);
        }
        let is_same = |own: &&Consent| (own.purpose, own.channel) == (consent.purpose, None);
        profile.consents.iter().find(is_same).map(|own| own.granted)
    };
    let order = |one: &Consent, other: &Consent| (one.purpose, one.channel).cmp(&(other.purpose, other.channel));
    let mut united = merged(&one.consents, &other.consents, order, |one, _| *one);
    for consent in &mut united {
        consent.granted = answer(one, consent) != Some(false) && answer(other, consent) != Some(false);
    }
    united
}

fn buckets(one: &[Bucket], other: &[Bucket]) -> Vec<Bucket> {
    let order = |one: &Bucket, other: &Bucket| (one.aggregate, one.step).cmp(&(other.aggregate, other.step));
    merged(one, other, order, |one, other| Bucket {
        amount: one.amount.saturating_add(other.amount),
        ..*one
    })
}

fn latest(one: &[Latest], other: &[Latest]) -> Vec<Latest> {
    let order = |one: &Latest, other: &Latest| one.aggregate.cmp(&other.aggregate);
    merged(one, other, order, |one, other| {
        if (one.time, one.id_hash) < (other.time, other.id_hash) {
            *other
        } else {
            *one
        }
    })
}

fn traces(one: &[Trace], other: &[Trace]) -> Vec<Trace> {
    let key = |trace: &Trace| (trace.intent, trace.time, trace.id_hash);
    let order = |one: &Trace, other: &Trace| key(one).cmp(&key(other));
    // The same event of both is one.
    let all = merged(one, other, order, |one, other| Trace {
        weight_thousandths: one.weight_thousandths.max(other.weight_thousandths),
        ..*one
    });
    let of_intents = all.chunk_by(|one, other| one.intent == other.intent);
    let kept = of_intents.flat_map(|of_one| &of_one[of_one.len().saturating_sub(TRACES_PER_INTENT)..]);
    kept.copied().collect()
}

fn sessions(one: &[Session], other: &[Session]) -> Vec<Session> {
    let mut united = one.to_vec();
    for session in other {
        match united.iter_mut().find(|known| known.id_hash == session.id_hash) {
            Some(known) => {
                known.first = known.first.min(session.first);
                known.last = known.last.max(session.last);
                known.events = known.events.saturating_add(session.events);
            }
            None => united.push(*session),
        }
    }
    united.sort_unstable_by_key(|session| (session.last, session.id_hash));
    united.drain(..united.len().saturating_sub(SESSIONS_KEPT));
    united
}
