//! The packed form of a customer: one byte string.
//!
//! Layout: id, counters, attributes, opt-outs, consents, events, older ids, buckets, latest, traces, sessions, contacts, rarities. Whole
//! numbers are LEB128 varints, signed ones zigzag; each list begins with its length. Whatever lies close together in its
//! list is written as the difference to the one before: times, symbols, steps. A trace or latest value that came from one
//! of the kept events names that event instead of repeating its time and id. A number attribute is a varint when it
//! is whole or has at most two decimals, else eight bytes; either way exactly the number that was put in comes out.
//!
//! What few customers have, the *rarities*, comes last: for each kind its number, then its content; a kind that is empty
//! costs no byte, since reading beyond the end gives 0, which is no kind.
//!
//! Reading is bounds-checked and stops at the end of the bytes, so that even a damaged block cannot panic.

use crate::domain::contact::{Contact, Counted};
use crate::domain::ids::CustomerId;
use crate::domain::profile::{Bucket, Consent, EventDigest, Latest, Profile, Session, Trace};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;

use super::codec::{Reader, Writer};
use super::rarities::{pack_rarities, unpack_rarities};

/// How many bits say which outcomes of a contact were reported.
const OUTCOMES: usize = Counted::ALL.len() - 1;

/// Appends the id, the beginning of the packed form.
pub fn pack_id(id: &CustomerId, bytes: &mut Vec<u8>) {
    Writer::new(bytes).unsigned(id.as_str().len() as u64 * 2 + u64::from(id.is_anonymous()));
    bytes.extend_from_slice(id.as_str().as_bytes());
}

/// Appends an empty id, for a profile whose owner is known otherwise; [`unpack`] reads what follows it.
pub fn pack_no_id(bytes: &mut Vec<u8>) {
    bytes.push(0);
}

/// Returns how many bytes at the beginning of the packed form hold the id.
#[must_use]
pub fn id_length(bytes: &[u8]) -> usize {
    let mut reader = Reader::new(bytes, 0);
    let length = usize::try_from(reader.unsigned() / 2).unwrap_or(usize::MAX);
    reader.at.saturating_add(length).min(bytes.len())
}

/// Reads the id; `None` when the bytes are damaged.
#[must_use]
pub fn unpack_id(bytes: &[u8]) -> Option<CustomerId> {
    let mut reader = Reader::new(bytes, 0);
    let is_anonymous = reader.unsigned() % 2 == 1;
    let text = std::str::from_utf8(bytes.get(reader.at..id_length(bytes))?).ok()?;
    if is_anonymous {
        CustomerId::anonymous(text).ok()
    } else {
        CustomerId::known(text).ok()
    }
}

/// Appends everything but the id; returns where among `bytes` the contacts begin.
pub fn pack(profile: &Profile, bytes: &mut Vec<u8>) -> ContactsAt {
    let mut writer = Writer::new(bytes);
    pack_counters(profile, &mut writer);
    writer.length(profile.attributes.len());
    let mut before = 0;
    for &(symbol, value) in &profile.attributes {
        writer.value(symbol, value, &mut before);
    }
    let has_consents = usize::from(!profile.consents.is_empty());
    writer.length(profile.opt_outs.len() * 4 + has_consents * 2 + usize::from(profile.opted_out_of_all));
    let mut before = 0;
    for &channel in &profile.opt_outs {
        writer.symbol(channel, &mut before);
    }
    if has_consents == 1 {
        pack_consents(&profile.consents, &mut writer);
    }
    pack_events(profile, &mut writer);
    pack_behaviour(profile, &mut writer);
    let contacts_at = writer.contacts_at();
    writer.length(profile.contacts.len());
    pack_contacts(&profile.contacts, Last::default(), &mut writer);
    pack_rarities(profile, &mut writer);
    contacts_at
}

/// Appends the same as [`pack`] for a profile of which only counters, contacts and rarities differ from the packed form `old`:
/// what lies between them is copied. With `only_added`, no contact changed but that new ones follow and old ones were dropped; those
/// that are there still are copied as well then.
pub fn pack_contacts_anew(
    profile: &Profile,
    old: &[u8],
    parts: Parts,
    only_added: bool,
    bytes: &mut Vec<u8>,
) -> ContactsAt {
    let copy = |bytes: &mut Vec<u8>, from: usize, to: usize| {
        bytes.extend_from_slice(old.get(from..to).unwrap_or_default());
    };
    let Parts { contacts_at, last, .. } = parts;
    pack_counters(profile, &mut Writer::new(bytes));
    copy(bytes, parts.counters_end, contacts_at.at);
    let mut writer = Writer::new(bytes);
    writer.time = contacts_at.time;
    let begins = writer.contacts_at();
    writer.length(profile.contacts.len());
    let still_there = if only_added {
        still_there(profile, old, &parts)
    } else {
        None
    };
    if let Some(StillThere { first, count, rest_at }) = still_there {
        pack_contacts(&profile.contacts[..first], Last::default(), &mut writer);
        copy(bytes, rest_at, parts.contacts_end);
        let mut writer = Writer::new(bytes);
        writer.time = last.time;
        pack_contacts(&profile.contacts[count..], last, &mut writer);
    } else {
        pack_contacts(&profile.contacts, Last::default(), &mut writer);
    }
    pack_rarities(profile, &mut Writer::new(bytes));
    begins
}

/// What a packed form holds of the contacts of now, in a row up to its end.
struct StillThere {
    /// How many of them to write: the first is a difference to nothing, where others stood before it.
    first: usize,
    /// How many they are.
    count: usize,
    /// Where the others lie.
    rest_at: usize,
}

/// Finds the contacts that are there still when none but the first were dropped; `None` when others were, or all.
fn still_there(profile: &Profile, old: &[u8], parts: &Parts) -> Option<StillThere> {
    // New ones stand behind those that are there still, and no two decisions have one number.
    let is_last = |contact: &Contact| contact.decision == parts.last.decision;
    let count = profile.contacts.iter().rposition(is_last)? + 1;
    let dropped = parts.contacts.checked_sub(count)?;
    if dropped == 0 {
        let (first, rest_at) = (0, parts.contacts_begin);
        return Some(StillThere { first, count, rest_at });
    }
    let mut reader = Reader::new(old, parts.contacts_begin);
    reader.time = parts.contacts_at.time;
    let mut before = Last::default();
    let last_dropped = (0..dropped).map(|_| unpack_contact(&mut reader, &mut before)).last()?;
    let first = unpack_contact(&mut reader, &mut before);
    // The first that is there still is of this decision, of which none stood before; and as many follow as are there still.
    let is_first = first.decision == profile.contacts[0].decision && last_dropped.decision != first.decision;
    let (first, rest_at) = (1, reader.at);
    is_first.then_some(StillThere { first, count, rest_at })
}

fn pack_counters(profile: &Profile, writer: &mut Writer<'_>) {
    writer.unsigned(profile.version);
    writer.unsigned(profile.ranking_version);
    writer.unsigned(u64::from(profile.decisions));
}

fn pack_consents(consents: &[Consent], writer: &mut Writer<'_>) {
    writer.length(consents.len());
    let mut before = 0;
    for consent in consents {
        writer.symbol(consent.purpose, &mut before);
        let channel = consent.channel.map_or(0, |channel| u64::from(channel.get()) + 1);
        writer.unsigned(channel * 2 + u64::from(consent.granted));
    }
}

fn pack_events(profile: &Profile, writer: &mut Writer<'_>) {
    writer.length(profile.events.len());
    let mut before = 0;
    for event in &profile.events {
        writer.fixed(event.id_hash);
        writer.symbol(event.event_type, &mut before);
        writer.instant(event.time);
        writer.option(event.channel);
        writer.option(event.place);
    }
    writer.length(profile.older_event_ids.len());
    for id_hash in &profile.older_event_ids {
        writer.fixed(*id_hash);
    }
}

fn pack_behaviour(profile: &Profile, writer: &mut Writer<'_>) {
    writer.length(profile.buckets.len());
    let (mut before, mut step) = (0, 0_i64);
    for bucket in &profile.buckets {
        writer.symbol(bucket.aggregate, &mut before);
        writer.signed(bucket.step.wrapping_sub(step));
        writer.signed(bucket.amount);
        step = bucket.step;
    }
    writer.length(profile.latest.len());
    let mut before = 0;
    for latest in &profile.latest {
        writer.value(latest.aggregate, latest.value, &mut before);
        writer.origin(latest.time, latest.id_hash, &profile.events);
    }
    writer.length(profile.traces.len());
    let mut before = 0;
    for trace in &profile.traces {
        writer.symbol(trace.intent, &mut before);
        writer.origin(trace.time, trace.id_hash, &profile.events);
        writer.unsigned(u64::from(trace.weight_thousandths));
    }
    writer.length(profile.sessions.len());
    for session in &profile.sessions {
        writer.fixed(session.id_hash);
        writer.instant(session.first);
        writer.instant(session.last);
        writer.unsigned(u64::from(session.events));
    }
}

/// Appends contacts that follow on `last`.
fn pack_contacts(contacts: &[Contact], last: Last, writer: &mut Writer<'_>) {
    let Last {
        mut decision,
        mut offer,
        mut channel,
        mut placement,
        ..
    } = last;
    for contact in contacts {
        let mut reported = 0_u64;
        for time in &contact.times[1..] {
            reported = reported << 1 | u64::from(time.is_some());
        }
        writer.unsigned(u64::from(contact.decision.wrapping_sub(decision)) << OUTCOMES | reported);
        writer.symbol(contact.offer, &mut offer);
        writer.symbol(contact.channel, &mut channel);
        writer.symbol(contact.placement, &mut placement);
        let decided_at = contact.decided_at();
        writer.instant(decided_at);
        for time in contact.times[1..].iter().flatten() {
            writer.signed(time.as_millis().wrapping_sub(decided_at.as_millis()));
        }
        decision = contact.decision;
    }
}

/// Where in a packed form, or in bytes that end with one, the contacts begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContactsAt {
    /// The first byte, that of their number; 0 when it is not known.
    pub at: usize,
    /// The time from which the first one's is counted.
    pub time: i64,
}

/// What the contact after this one is written as the difference to.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    decision: u32,
    offer: u32,
    channel: u32,
    placement: u32,
    time: i64,
}

/// Where in a packed form that lies which a decision leaves as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    counters_end: usize,
    contacts_at: ContactsAt,
    /// How many contacts there are, and where they lie.
    contacts: usize,
    contacts_begin: usize,
    contacts_end: usize,
    last: Last,
    /// Whether events and behaviour were passed over.
    pub(super) is_in_part: bool,
}

/// Reads everything but the id into `profile`, reusing its memory.
pub fn unpack(bytes: &[u8], profile: &mut Profile) -> Parts {
    unpack_all(bytes, profile, false, |_| None)
}

/// Reads the same; but events and behaviour are passed over, so that there are none, when `skip_to` says where the contacts begin.
/// It is given the profile's ranking version. Where visitors are joined, everything is read in any case.
pub(super) fn unpack_in_part(
    bytes: &[u8],
    profile: &mut Profile,
    skip_to: impl FnOnce(u64) -> Option<ContactsAt>,
) -> Parts {
    unpack_all(bytes, profile, false, skip_to)
}

/// Reads the same as [`unpack`] of somebody to whom nobody can be joined.
pub(super) fn unpack_alone(bytes: &[u8], profile: &mut Profile) {
    unpack_all(bytes, profile, true, |_| None);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what was packed as a u32 comes back as one"
)]
fn unpack_all(
    bytes: &[u8],
    profile: &mut Profile,
    is_alone: bool,
    skip_to: impl FnOnce(u64) -> Option<ContactsAt>,
) -> Parts {
    profile.clear();
    let mut reader = Reader::new(bytes, id_length(bytes));
    profile.version = reader.unsigned();
    profile.ranking_version = reader.unsigned();
    profile.decisions = reader.unsigned() as u32;
    let skip_to = skip_to(profile.ranking_version);
    let mut parts = Parts {
        counters_end: reader.at,
        is_in_part: skip_to.is_some(),
        ..Parts::default()
    };
    let (count, mut before) = (reader.length(), 0);
    profile.attributes.extend((0..count).map(|_| reader.value(&mut before)));
    let opt_outs = reader.unsigned();
    profile.opted_out_of_all = opt_outs % 2 == 1;
    let mut before = 0;
    for _ in 0..(opt_outs / 4).min(bytes.len() as u64) {
        let channel = reader.symbol(&mut before);
        profile.opt_outs.push(channel);
    }
    if opt_outs / 2 % 2 == 1 {
        unpack_consents(&mut reader, &mut profile.consents);
    }
    let events_at = reader.at;
    match skip_to {
        Some(contacts) => (reader.at, reader.time) = (contacts.at, contacts.time),
        None => unpack_behaviour(&mut reader, profile),
    }
    parts.contacts_at = reader.contacts_at();
    unpack_contacts(&mut reader, &mut profile.contacts, &mut parts);
    unpack_rarities(&mut reader, profile, is_alone);
    if parts.is_in_part && !profile.joined.is_empty() {
        unpack_behaviour(&mut Reader::new(bytes, events_at), profile);
        parts.is_in_part = false;
    }
    parts
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what was packed as a u32 comes back as one"
)]
fn unpack_consents(reader: &mut Reader<'_>, consents: &mut Vec<Consent>) {
    let mut before = 0;
    for _ in 0..reader.length() {
        let purpose = reader.symbol(&mut before);
        let packed = reader.unsigned();
        consents.push(Consent {
            purpose,
            channel: (packed / 2)
                .checked_sub(1)
                .map(|channel| Symbol::from_packed(channel as u32)),
            granted: packed % 2 == 1,
        });
    }
}

fn unpack_events(reader: &mut Reader<'_>, profile: &mut Profile) {
    let (count, mut before) = (reader.length(), 0);
    profile.events.extend((0..count).map(|_| EventDigest {
        id_hash: reader.fixed(),
        event_type: reader.symbol(&mut before),
        time: reader.instant(),
        channel: reader.option(),
        place: reader.option(),
    }));
    let count = reader.length();
    profile.older_event_ids.extend((0..count).map(|_| reader.fixed()));
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what was packed as a u32 comes back as one"
)]
fn unpack_behaviour(reader: &mut Reader<'_>, profile: &mut Profile) {
    unpack_events(reader, profile);
    let (count, mut before, mut step) = (reader.length(), 0, 0_i64);
    profile.buckets.extend((0..count).map(|_| {
        let aggregate = reader.symbol(&mut before);
        step = step.wrapping_add(reader.signed());
        Bucket {
            aggregate,
            step,
            amount: reader.signed(),
        }
    }));
    let (count, mut before) = (reader.length(), 0);
    profile.latest.extend((0..count).map(|_| {
        let (aggregate, value) = reader.value(&mut before);
        let (time, id_hash) = reader.origin(&profile.events);
        Latest {
            aggregate,
            time,
            id_hash,
            value,
        }
    }));
    let (count, mut before) = (reader.length(), 0);
    profile.traces.extend((0..count).map(|_| {
        let intent = reader.symbol(&mut before);
        let (time, id_hash) = reader.origin(&profile.events);
        Trace {
            intent,
            time,
            id_hash,
            weight_thousandths: reader.unsigned() as u32,
        }
    }));
    let count = reader.length();
    profile.sessions.extend((0..count).map(|_| Session {
        id_hash: reader.fixed(),
        first: reader.instant(),
        last: reader.instant(),
        events: reader.unsigned() as u32,
    }));
}

fn unpack_contacts(reader: &mut Reader<'_>, contacts: &mut Vec<Contact>, parts: &mut Parts) {
    let mut before = Last::default();
    let count = reader.length();
    (parts.contacts, parts.contacts_begin) = (count, reader.at);
    contacts.extend((0..count).map(|_| unpack_contact(reader, &mut before)));
    parts.contacts_end = reader.at;
    parts.last = Last {
        time: reader.time,
        ..before
    };
}

/// Reads a contact that was written as the difference to `before`, which becomes it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what was packed as a u32 comes back as one"
)]
#[inline]
fn unpack_contact(reader: &mut Reader<'_>, before: &mut Last) -> Contact {
    let decision_and_reported = reader.unsigned();
    before.decision = before.decision.wrapping_add((decision_and_reported >> OUTCOMES) as u32);
    let (offer, channel) = (reader.symbol(&mut before.offer), reader.symbol(&mut before.channel));
    let placement = reader.symbol(&mut before.placement);
    let decided_at = reader.instant();
    let mut contact = Contact::decided(before.decision, offer, channel, placement, decided_at);
    // Of most contacts nothing was reported.
    let mut reported = decision_and_reported & ((1 << OUTCOMES) - 1);
    while reported != 0 {
        let bit = reported.ilog2() as usize;
        reported &= !(1 << bit);
        let millis = decided_at.as_millis().wrapping_add(reader.signed());
        contact.times[OUTCOMES - bit] = Some(Timestamp::from_millis(millis));
    }
    contact
}
