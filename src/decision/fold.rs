//! An entry into a profile: the only way in which a profile changes.
//!
//! Behaviour does not depend on the order of arrival: an event that comes late lands in the time step, session and
//! place among the latest where it would have been. Counts and sums are whole numbers, and "latest" is decided by the
//! event's own time and then its id. (Only which ids are remembered for recognising repeats follows the arrival, and so
//! does the beginning of a session that was forgotten and came back.)

use crate::catalog::{AggregateKind, Catalog, EventType};
use crate::domain::contact::{Contact, Counted};
use crate::domain::entry::{Cancellation, ConsentChange, Entry, OutcomeReport, ProfileChange, Reservation};
use crate::domain::event::Event;
use crate::domain::ids::CustomerKey;
use crate::domain::profile::{
    Bucket, CONTACTS_KEPT, Consent, EVENT_IDS_KEPT, EVENTS_KEPT, EventDigest, Joined, Latest, Profile, REQUESTS_KEPT,
    RequestTrace, SESSIONS_KEPT, Session, TRACES_PER_INTENT, Trace, UNDECLARED_KEPT,
};
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;
use crate::rules::{Condition, Facts, Truth};

use super::{features, policy, unite};

/// Sums are kept in thousandths, so that adding them up is exact in any order.
pub const SUM_SCALE: f64 = 1_000.0;

/// Applies one entry and tells whether it changed anything. A repeated event or outcome, and a profile change that
/// says what is already so, change nothing, not even the version.
pub fn apply(profile: &mut Profile, entry: &Entry, catalog: &Catalog) -> bool {
    let (changed, moves_ranking) = match entry {
        Entry::Profile(change) => {
            let is_read = change.replace
                || change
                    .attributes
                    .iter()
                    .any(|&(symbol, _)| catalog.reads_attribute(symbol));
            (apply_change(profile, change), is_read)
        }
        Entry::Event(event) => apply_event(profile, event, catalog),
        Entry::Decision(reservation) => (true, apply_reservation(profile, reservation, catalog)),
        Entry::Outcome { report, received_at } => {
            let revives = profile
                .contacts
                .iter()
                .any(|contact| is_meant(contact, report) && contact.is_cancelled());
            (
                apply_outcome(profile, report, *received_at),
                features::counts(catalog, report.outcome) || (revives && features::counts(catalog, Counted::Decided)),
            )
        }
        Entry::Cancel(cancellation) => (
            apply_cancellation(profile, cancellation),
            features::counts(catalog, Counted::Decided),
        ),
        Entry::Joined(joined) => (apply_joined(profile, joined), true),
        Entry::Parted(visitor) => (apply_parted(profile, *visitor), true),
        Entry::Restored(restored) => {
            profile.clone_from(restored);
            return true;
        }
        Entry::OfVisitor { visitor, entry } => {
            let changed = of_visitor(profile, *visitor, |own| apply(own, entry, catalog));
            return changed.unwrap_or_default();
        }
    };
    if changed {
        profile.version += 1;
        profile.ranking_version += u64::from(moves_ranking);
    }
    changed
}

/// Changes the own profile of a visitor that is joined, which counts as a change of the customer; `None` when no such visitor is.
pub fn of_visitor<T>(profile: &mut Profile, visitor: CustomerKey, work: impl FnOnce(&mut Profile) -> T) -> Option<T> {
    let mut all = profile.joined.iter_mut();
    let own = &mut all.find(|joined| joined.visitor.key() == visitor)?.profile;
    let before = (own.version, own.ranking_version);
    let result = work(own);
    let (is_changed, moves_ranking) = (own.version != before.0, own.ranking_version != before.1);
    profile.version += u64::from(is_changed);
    profile.ranking_version += u64::from(moves_ranking);
    Some(result)
}

fn apply_joined(profile: &mut Profile, joined: &Joined) -> bool {
    profile.joined.retain(|other| other.visitor != joined.visitor);
    profile.joined.push(joined.clone());
    true
}

fn apply_parted(profile: &mut Profile, visitor: CustomerKey) -> bool {
    let before = profile.joined.len();
    profile.joined.retain(|joined| joined.visitor.key() != visitor);
    profile.joined.len() != before
}

fn apply_change(profile: &mut Profile, change: &ProfileChange) -> bool {
    let before = change.replace.then(|| std::mem::take(&mut profile.attributes));
    let mut changed = false;
    for &(attribute, value) in &change.attributes {
        changed |= set_attribute(&mut profile.attributes, attribute, value);
    }
    if let Some(before) = before {
        changed = before != profile.attributes;
    }
    for &(channel, opted_out) in &change.opt_outs {
        changed |= match (profile.opt_outs.binary_search(&channel), opted_out) {
            (Err(at), true) => {
                profile.opt_outs.insert(at, channel);
                true
            }
            (Ok(at), false) => {
                profile.opt_outs.remove(at);
                true
            }
            _ => false,
        };
    }
    if let Some(opted_out) = change.opt_out_of_all {
        changed |= profile.opted_out_of_all != opted_out;
        profile.opted_out_of_all = opted_out;
    }
    for answer in &change.consents {
        changed |= set_consent(&mut profile.consents, answer);
    }
    changed
}

fn set_consent(consents: &mut Vec<Consent>, answer: &ConsentChange) -> bool {
    let key = |consent: &Consent| (consent.purpose, consent.channel);
    match (
        consents.binary_search_by_key(&(answer.purpose, answer.channel), key),
        answer.granted,
    ) {
        (Ok(at), Some(granted)) => std::mem::replace(&mut consents[at].granted, granted) != granted,
        (Ok(at), None) => {
            consents.remove(at);
            true
        }
        (Err(at), Some(granted)) => {
            let ConsentChange { purpose, channel, .. } = *answer;
            consents.insert(
                at,
                Consent {
                    purpose,
                    channel,
                    granted,
                },
            );
            true
        }
        (Err(_), None) => false,
    }
}

fn set_attribute(attributes: &mut Vec<(Symbol, Value)>, attribute: Symbol, value: Value) -> bool {
    match (attributes.binary_search_by_key(&attribute, |entry| entry.0), value) {
        (Ok(at), Value::Missing) => {
            attributes.remove(at);
            true
        }
        (Ok(at), _) => std::mem::replace(&mut attributes[at].1, value) != value,
        (Err(_), Value::Missing) => false,
        (Err(at), _) => {
            attributes.insert(at, (attribute, value));
            true
        }
    }
}

/// Folds an event in, and tells whether that changed anything (not when it was folded in before) and whether it fed something that a
/// ranking reads.
fn apply_event(profile: &mut Profile, event: &Event, catalog: &Catalog) -> (bool, bool) {
    if profile.remembers_event(event.id_hash) {
        return (false, false);
    }
    remember(profile, event);
    let mut is_read = false;
    if let Some(session_hash) = event.session_hash {
        join_session(&mut profile.sessions, session_hash, event.time);
        is_read = catalog.reads.sessions;
    }
    if let Some(event_type) = catalog
        .events
        .iter()
        .find(|candidate| candidate.symbol == event.event_type)
    {
        let values = lay_out(event, event_type);
        is_read |= feed_aggregates(profile, event, event_type, &values, catalog);
        is_read |= feed_intents(profile, event, event_type, &values, catalog);
        forget_undeclared(profile, catalog);
    }
    (true, is_read)
}

/// Drops what is kept of aggregates and intents that the catalog no longer declares, as far as it is more than
/// [`UNDECLARED_KEPT`].
fn forget_undeclared(profile: &mut Profile, catalog: &Catalog) {
    let declares_aggregate = |symbol| catalog.aggregates.iter().any(|aggregate| aggregate.symbol == symbol);
    let declares_intent = |symbol| catalog.intents.iter().any(|intent| intent.symbol == symbol);
    drop_oldest_names(&mut profile.buckets, |bucket| bucket.aggregate, declares_aggregate);
    drop_oldest_names(&mut profile.latest, |latest| latest.aggregate, declares_aggregate);
    drop_oldest_names(&mut profile.traces, |trace| trace.intent, declares_intent);
}

/// Drops all entries of undeclared symbols, lowest symbol first, until at most [`UNDECLARED_KEPT`] of them are left. Symbols
/// count up as names appear, and the list is sorted by them.
fn drop_oldest_names<T>(list: &mut Vec<T>, symbol: impl Fn(&T) -> Symbol, is_declared: impl Fn(Symbol) -> bool) {
    if list.len() <= UNDECLARED_KEPT {
        return;
    }
    let same_symbol = |a: &T, b: &T| symbol(a) == symbol(b);
    let undeclared = list
        .chunk_by(same_symbol)
        .filter(|of_one| !is_declared(symbol(&of_one[0])));
    let mut too_many = undeclared
        .map(<[T]>::len)
        .sum::<usize>()
        .saturating_sub(UNDECLARED_KEPT);
    let mut start = 0;
    while too_many > 0 && start < list.len() {
        let first = symbol(&list[start]);
        let length = list[start..].partition_point(|entry| symbol(entry) == first);
        if is_declared(first) {
            start += length;
        } else {
            list.drain(start..start + length);
            too_many = too_many.saturating_sub(length);
        }
    }
}

fn remember(profile: &mut Profile, event: &Event) {
    profile.events.push(EventDigest {
        id_hash: event.id_hash,
        event_type: event.event_type,
        time: event.time,
        channel: event.channel,
        place: event.place,
    });
    if profile.events.len() > EVENTS_KEPT {
        profile.older_event_ids.push(profile.events.remove(0).id_hash);
        if profile.older_event_ids.len() > EVENT_IDS_KEPT - EVENTS_KEPT {
            profile.older_event_ids.remove(0);
        }
    }
}

fn join_session(sessions: &mut Vec<Session>, id_hash: u64, time: Timestamp) {
    if let Some(session) = sessions.iter_mut().find(|session| session.id_hash == id_hash) {
        session.first = session.first.min(time);
        session.last = session.last.max(time);
        session.events = session.events.saturating_add(1);
    } else {
        sessions.push(Session {
            id_hash,
            first: time,
            last: time,
            events: 1,
        });
    }
    sessions.sort_unstable_by_key(|session| (session.last, session.id_hash));
    if sessions.len() > SESSIONS_KEPT {
        sessions.remove(0);
    }
}

/// Lays the event's values out as its type's conditions see them; the last two are the channel and the place.
fn lay_out(event: &Event, event_type: &EventType) -> Vec<Value> {
    let width = event_type.schema.variables.len();
    let mut values = vec![Value::Missing; width];
    for (attribute, value) in &event.attributes {
        if let Some(position) = event_type.schema.positions.get(*attribute) {
            values[position] = *value;
        }
    }
    if let [.., channel, place] = values.as_mut_slice() {
        *channel = event.channel.map_or(Value::Missing, Value::Category);
        *place = event.place.map_or(Value::Missing, Value::Category);
    }
    values
}

fn holds(condition: Option<&Condition>, values: &[Value], at: Timestamp) -> bool {
    condition.is_none_or(|condition| {
        condition
            .evaluate(&Facts {
                event: values,
                now: at,
                ..Facts::default()
            })
            .truth
            == Truth::True
    })
}

/// Feeds the aggregates that keep the event, and tells whether a ranking reads one of them.
fn feed_aggregates(
    profile: &mut Profile,
    event: &Event,
    event_type: &EventType,
    values: &[Value],
    catalog: &Catalog,
) -> bool {
    let mut is_read = false;
    for &position in &event_type.feeds_aggregates {
        let aggregate = &catalog.aggregates[position];
        let in_class = aggregate
            .by
            .is_none_or(|(at, class)| values[at] == Value::Category(class));
        if !in_class || !holds(aggregate.condition.as_ref(), values, event.time) {
            continue;
        }
        // Sessions are not fed by what an event says.
        is_read |= catalog.reads.aggregates[position] && aggregate.kind != AggregateKind::Sessions;
        let value = aggregate.attribute.map_or(Value::Missing, |at| values[at]);
        match (aggregate.kind, value) {
            (AggregateKind::Count, _) => {
                add(
                    &mut profile.buckets,
                    aggregate.symbol,
                    step_of(event.time, aggregate.step),
                    1,
                    aggregate.steps,
                );
            }
            (AggregateKind::Sum, Value::Number(number)) => {
                let step = step_of(event.time, aggregate.step);
                add(
                    &mut profile.buckets,
                    aggregate.symbol,
                    step,
                    thousandths(number),
                    aggregate.steps,
                );
            }
            (AggregateKind::Recency, _) => note_latest(&mut profile.latest, aggregate.symbol, event, Value::Missing),
            (AggregateKind::Last, known) if known != Value::Missing => {
                note_latest(&mut profile.latest, aggregate.symbol, event, known);
            }
            _ => {}
        }
    }
    is_read
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, which is the limit of a sum"
)]
fn thousandths(number: f64) -> i64 {
    (number * SUM_SCALE).round() as i64
}

/// Returns the time step that an instant falls into: the instant divided by the step, rounded down.
#[must_use]
pub const fn step_of(time: Timestamp, step: Millis) -> i64 {
    time.as_millis().div_euclid(step.get())
}

fn add(buckets: &mut Vec<Bucket>, aggregate: Symbol, step: i64, amount: i64, steps: i64) {
    match buckets.binary_search_by_key(&(aggregate, step), |bucket| (bucket.aggregate, bucket.step)) {
        Ok(at) => buckets[at].amount = buckets[at].amount.saturating_add(amount),
        Err(at) => buckets.insert(
            at,
            Bucket {
                aggregate,
                step,
                amount,
            },
        ),
    }
    let newest = buckets
        .iter()
        .filter(|bucket| bucket.aggregate == aggregate)
        .map(|bucket| bucket.step)
        .max();
    let oldest_kept = newest.unwrap_or(step) - steps;
    buckets.retain(|bucket| bucket.aggregate != aggregate || bucket.step > oldest_kept);
}

fn note_latest(latest: &mut Vec<Latest>, aggregate: Symbol, event: &Event, value: Value) {
    let new = Latest {
        aggregate,
        time: event.time,
        id_hash: event.id_hash,
        value,
    };
    match latest.binary_search_by_key(&aggregate, |entry| entry.aggregate) {
        Ok(at) if (latest[at].time, latest[at].id_hash) < (new.time, new.id_hash) => latest[at] = new,
        Ok(_) => {}
        Err(at) => latest.insert(at, new),
    }
}

/// Feeds the intents that the event speaks for, and tells whether a ranking reads one of them.
fn feed_intents(
    profile: &mut Profile,
    event: &Event,
    event_type: &EventType,
    values: &[Value],
    catalog: &Catalog,
) -> bool {
    let mut is_read = false;
    for &(intent_at, signal_at) in &event_type.feeds_intents {
        let intent = &catalog.intents[intent_at];
        let signal = &intent.signals[signal_at];
        if holds(signal.condition.as_ref(), values, event.time) {
            leave_trace(&mut profile.traces, intent.symbol, event, signal.weight_thousandths);
            is_read |= catalog.reads.intents[intent_at];
        }
    }
    is_read
}

fn leave_trace(traces: &mut Vec<Trace>, intent: Symbol, event: &Event, weight_thousandths: u32) {
    let key = |trace: &Trace| (trace.intent, trace.time, trace.id_hash);
    match traces.binary_search_by_key(&(intent, event.time, event.id_hash), key) {
        Ok(at) => traces[at].weight_thousandths = traces[at].weight_thousandths.saturating_add(weight_thousandths),
        Err(at) => {
            traces.insert(
                at,
                Trace {
                    intent,
                    time: event.time,
                    id_hash: event.id_hash,
                    weight_thousandths,
                },
            );
            let first = traces.partition_point(|trace| trace.intent < intent);
            let end = traces.partition_point(|trace| trace.intent <= intent);
            if end - first > TRACES_PER_INTENT {
                traces.remove(first);
            }
        }
    }
}

/// Appends the contacts, drops old ones that are too many, and tells whether a model sees a difference.
fn apply_reservation(profile: &mut Profile, reservation: &Reservation, catalog: &Catalog) -> bool {
    let mut moves_ranking = features::counts(catalog, Counted::Decided);
    profile.decisions = profile.decisions.max(reservation.decision);
    profile.contacts.extend(reservation.begun());
    if let Some(key) = reservation.request {
        let decision = reservation.decision;
        profile.requests.push(RequestTrace { key, decision });
        let excess = profile.requests.len().saturating_sub(REQUESTS_KEPT);
        profile.requests.drain(..excess);
    }
    while profile.contacts.len() > CONTACTS_KEPT {
        let Some(at) = policy::oldest_unneeded(&unite::own_in_place(profile), catalog, reservation.at) else {
            break;
        };
        if profile.contacts[at].decision == reservation.decision {
            // What is answered now must be there to be reported on.
            break;
        }
        let dropped = profile.contacts.remove(at);
        moves_ranking |= features::counts_contact(catalog, &dropped, reservation.at);
    }
    moves_ranking
}

fn apply_outcome(profile: &mut Profile, report: &OutcomeReport, received_at: Timestamp) -> bool {
    debug_assert_ne!(
        report.outcome,
        Counted::Decided,
        "an outcome is what comes after the decision"
    );
    let mut changed = false;
    for contact in &mut profile.contacts {
        let meant = is_meant(contact, report);
        let time = &mut contact.times[report.outcome.index()];
        if meant && time.is_none() {
            *time = Some(report.at);
            if received_at > report.at {
                contact.backdated = contact.backdated.max(Some(received_at));
            }
            changed = true;
        }
    }
    changed
}

fn is_meant(contact: &Contact, report: &OutcomeReport) -> bool {
    contact.is_of(report.decision, Some(report.offer), report.placement)
}

/// Cancels what nothing was reported of yet.
fn apply_cancellation(profile: &mut Profile, cancellation: &Cancellation) -> bool {
    let mut changed = false;
    for contact in &mut profile.contacts {
        let meant = contact.is_of(cancellation.decision, cancellation.offer, cancellation.placement);
        if meant && !contact.is_confirmed() && contact.cancelled.is_none() {
            contact.cancelled = Some(cancellation.at);
            changed = true;
        }
    }
    changed
}
