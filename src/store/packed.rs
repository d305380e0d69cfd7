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

/// Appends everything but the id.
pub fn pack(profile: &Profile, bytes: &mut Vec<u8>) {
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
    pack_contacts(&profile.contacts, &mut writer);
    pack_rarities(profile, &mut writer);
}

/// Appends the same as [`pack`] for a profile of which only counters, contacts and rarities differ from the packed form `old`:
/// what lies between them is copied.
pub fn pack_contacts_anew(profile: &Profile, old: &[u8], between: Between, bytes: &mut Vec<u8>) {
    pack_counters(profile, &mut Writer::new(bytes));
    bytes.extend_from_slice(old.get(between.start..between.end).unwrap_or_default());
    let mut writer = Writer::new(bytes);
    writer.time = between.time;
    pack_contacts(&profile.contacts, &mut writer);
    pack_rarities(profile, &mut writer);
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

fn pack_contacts(contacts: &[Contact], writer: &mut Writer<'_>) {
    writer.length(contacts.len());
    let (mut decision, mut offer, mut channel, mut placement) = (0, 0, 0, 0);
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

/// Where in a packed form that lies which a decision leaves as it is: everything between the counters and the contacts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Between {
    start: usize,
    end: usize,
    /// The time from which the first contact's is counted.
    time: i64,
}

/// Reads everything but the id into `profile`, reusing its memory.
pub fn unpack(bytes: &[u8], profile: &mut Profile) -> Between {
    unpack_all(bytes, profile, false)
}

/// Reads the same of somebody to whom nobody can be joined.
pub(super) fn unpack_alone(bytes: &[u8], profile: &mut Profile) {
    unpack_all(bytes, profile, true);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what was packed as a u32 comes back as one"
)]
fn unpack_all(bytes: &[u8], profile: &mut Profile, is_alone: bool) -> Between {
    profile.clear();
    let mut reader = Reader::new(bytes, id_length(bytes));
    profile.version = reader.unsigned();
    profile.ranking_version = reader.unsigned();
    profile.decisions = reader.unsigned() as u32;
    let start = reader.at;
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
    unpack_events(&mut reader, profile);
    unpack_behaviour(&mut reader, profile);
    let between = Between {
        start,
        end: reader.at,
        time: reader.time,
    };
    unpack_contacts(&mut reader, &mut profile.contacts);
    unpack_rarities(&mut reader, profile, is_alone);
    between
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

#[expect(
    clippy::cast_possible_truncation,
    reason = "what was packed as a u32 comes back as one"
)]
fn unpack_contacts(reader: &mut Reader<'_>, contacts: &mut Vec<Contact>) {
    let (mut decision, mut offer, mut channel, mut placement) = (0_u32, 0, 0, 0);
    let count = reader.length();
    contacts.extend((0..count).map(|_| {
        let decision_and_reported = reader.unsigned();
        decision = decision.wrapping_add((decision_and_reported >> OUTCOMES) as u32);
        let (offer, channel) = (reader.symbol(&mut offer), reader.symbol(&mut channel));
        let placement = reader.symbol(&mut placement);
        let decided_at = reader.instant();
        let mut contact = Contact::decided(decision, offer, channel, placement, decided_at);
        for (at, time) in contact.times[1..].iter_mut().enumerate() {
            if decision_and_reported >> (OUTCOMES - 1 - at) & 1 == 1 {
                let millis = decided_at.as_millis().wrapping_add(reader.signed());
                *time = Some(Timestamp::from_millis(millis));
            }
        }
        contact
    }));
}

#[cfg(test)]
mod tests {
    use super::super::codec::{EPOCH, MILLIS_PER_DAY};
    use super::*;
    use crate::domain::profile::{Joined, Precedence, RequestTrace};
    use crate::domain::request::RequestKey;
    use crate::domain::value::Value;
    use proptest::prelude::*;

    fn symbol() -> impl Strategy<Value = Symbol> {
        prop_oneof![0..200_u32, any::<u32>()].prop_map(Symbol::from_packed)
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        prop_oneof![EPOCH..EPOCH + (1 << 38), any::<i64>()].prop_map(Timestamp::from_millis)
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Missing),
            any::<bool>().prop_map(Value::Boolean),
            prop_oneof![
                any::<f64>(),
                (-9_999..9_999).prop_map(|n| f64::from(n) / 100.0),
                Just(-0.0),
                Just(1e300)
            ]
            .prop_filter("stored numbers are finite", |number| number.is_finite())
            .prop_map(Value::Number),
            symbol().prop_map(Value::Category),
            any::<u64>().prop_map(Value::Set),
            time().prop_map(Value::Time),
            (-9_999..99_999_i64).prop_map(|day| Value::Time(Timestamp::from_millis(day * MILLIS_PER_DAY))),
        ]
    }

    prop_compose! {
        fn contact()(decision in any::<u32>(), offer in symbol(), channel in symbol(), placement in symbol(),
                     at in time(), times in proptest::array::uniform6(proptest::option::of(time())),
                     campaign in proptest::option::weighted(0.2, symbol()),
                     cancelled in proptest::option::weighted(0.2, time()),
                     backdated in proptest::option::weighted(0.2, time()), in_volumes in any::<bool>()) -> Contact {
            let mut contact = Contact::decided(decision, offer, channel, placement, at);
            contact.times[1..].copy_from_slice(&times);
            Contact { campaign, cancelled, backdated, in_volumes, ..contact }
        }
    }

    prop_compose! {
        fn behaviour()(
            buckets in prop::collection::vec((symbol(), any::<i64>(), any::<i64>()), 0..4),
            latest in prop::collection::vec((symbol(), time(), any::<u64>(), value()), 0..4),
            traces in prop::collection::vec((symbol(), time(), any::<u64>(), any::<u32>()), 0..4),
            sessions in prop::collection::vec((any::<u64>(), time(), time(), any::<u32>()), 0..4),
            events in prop::collection::vec((any::<u64>(), symbol(), time(), proptest::option::of(symbol())), 0..4),
            older_event_ids in prop::collection::vec(any::<u64>(), 0..4),
            remembered in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) -> Profile {
            let mut latest = latest;
            let mut traces = traces;
            // Some of what is known of behaviour came from events that are still kept, as in life.
            for (index, event) in remembered.iter().zip(&events) {
                if !latest.is_empty() {
                    let entry = index.get_mut(&mut latest);
                    (entry.1, entry.2) = (event.2, event.0);
                }
                if !traces.is_empty() {
                    let entry = index.get_mut(&mut traces);
                    (entry.1, entry.2) = (event.2, event.0);
                }
            }
            Profile {
                buckets: buckets.into_iter().map(|(aggregate, step, amount)| Bucket { aggregate, step, amount }).collect(),
                latest: latest.into_iter()
                    .map(|(aggregate, time, id_hash, value)| Latest { aggregate, time, id_hash, value }).collect(),
                traces: traces.into_iter()
                    .map(|(intent, time, id_hash, weight)| Trace { intent, time, id_hash, weight_thousandths: weight })
                    .collect(),
                sessions: sessions.into_iter()
                    .map(|(id_hash, first, last, events)| Session { id_hash, first, last, events }).collect(),
                events: events.into_iter()
                    .map(|(id_hash, event_type, time, place)| EventDigest { id_hash, event_type, time, channel: None, place })
                    .collect(),
                older_event_ids,
                ..Profile::default()
            }
        }
    }

    fn consent() -> impl Strategy<Value = Consent> {
        let parts = (symbol(), proptest::option::of(symbol()), any::<bool>());
        parts.prop_map(|(purpose, channel, granted)| Consent {
            purpose,
            channel,
            granted,
        })
    }

    prop_compose! {
        fn profile()(behaviour in behaviour(), version in any::<u64>(), ranking_version in any::<u64>(),
                     decisions in any::<u32>(), opted_out_of_all in any::<bool>(),
                     attributes in prop::collection::vec((symbol(), value()), 0..6),
                     opt_outs in prop::collection::vec(symbol(), 0..3),
                     consents in prop::collection::vec(consent(), 0..3),
                     requests in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u32>()), 0..3),
                     contacts in prop::collection::vec(contact(), 0..5)) -> Profile {
            let requests = requests.into_iter()
                .map(|(id, body, decision)| RequestTrace { key: RequestKey { id, body }, decision }).collect();
            Profile {
                version, ranking_version, decisions, attributes, opt_outs, opted_out_of_all, consents, contacts, requests,
                ..behaviour
            }
        }
    }

    prop_compose! {
        fn joined()(parts in prop::collection::vec((profile(), time(), any::<u32>(), any::<bool>(), any::<bool>()), 0..3))
            -> Vec<Joined>
        {
            let one = |(at, (profile, merged_at, slot, known, comes_first)): (usize, (Profile, Timestamp, u32, bool, bool))| Joined {
                visitor: CustomerId::anonymous(&format!("v{at}")).unwrap(),
                merged_at,
                precedence: if comes_first { Precedence::Visitor } else { Precedence::Customer },
                slot,
                known,
                profile,
            };
            parts.into_iter().enumerate().map(one).collect()
        }
    }

    proptest! {
        #[test]
        fn joined_visitors_come_out_bit_for_bit_and_cost_nobody_else_a_byte(profile in profile(), joined in joined()) {
            let (mut alone, mut bytes) = (Vec::new(), Vec::new());
            pack(&profile, &mut alone);
            let profile = Profile { joined, ..profile };
            pack_id(&CustomerId::known("somebody").unwrap(), &mut bytes);
            let id_end = bytes.len();
            pack(&profile, &mut bytes);
            let mut back = Profile::default();
            unpack(&bytes, &mut back);
            prop_assert_eq!(format!("{:?}", &back), format!("{:?}", &profile));
            prop_assert_eq!(&bytes[id_end..][..alone.len()], &alone[..]);
            prop_assert_eq!(bytes.len() == id_end + alone.len(), profile.joined.is_empty());
        }

        #[test]
        fn what_is_packed_comes_out_bit_for_bit(profile in profile()) {
            let id = CustomerId::anonymous("somebody").unwrap();
            let mut bytes = Vec::new();
            pack_id(&id, &mut bytes);
            pack(&profile, &mut bytes);
            let mut back = Profile::default();
            unpack(&bytes, &mut back);
            prop_assert_eq!(format!("{:?}", &back), format!("{:?}", &profile));
            prop_assert_eq!(unpack_id(&bytes), Some(id));
        }

        #[test]
        fn what_is_rare_costs_only_those_who_have_it(profile in profile()) {
            let mut plain = profile;
            for contact in &mut plain.contacts {
                (contact.campaign, contact.cancelled, contact.backdated) = (None, None, None);
                contact.in_volumes = false;
            }
            plain.requests.clear();
            let mut bytes = Vec::new();
            pack(&plain, &mut bytes);
            if let Some(last) = plain.contacts.last_mut() {
                last.cancelled = Some(last.decided_at());
                let mut with_one = Vec::new();
                pack(&plain, &mut with_one);
                prop_assert_eq!(&with_one[..bytes.len()], &bytes[..], "only the one that has something pays, at the end");
            }
        }

        #[test]
        fn after_a_decision_the_same_bytes_are_packed_whether_all_is_packed_or_only_what_changed(
            before in profile(), contacts in prop::collection::vec(contact(), 0..5), version in any::<u64>(),
        ) {
            let mut old = Vec::new();
            pack_id(&CustomerId::known("somebody").unwrap(), &mut old);
            let id_end = old.len();
            pack(&before, &mut old);
            let mut after = Profile::default();
            let between = unpack(&old, &mut after);
            (after.version, after.contacts) = (version, contacts);
            let (mut all, mut anew) = (old[..id_end].to_vec(), old[..id_end].to_vec());
            pack(&after, &mut all);
            pack_contacts_anew(&after, &old, between, &mut anew);
            prop_assert_eq!(anew, all);
        }

        #[test]
        fn a_profile_without_consents_pays_nothing_for_them(profile in profile()) {
            let packed = |consents: Vec<Consent>| {
                let mut bytes = Vec::new();
                pack(&Profile { consents, ..profile.clone() }, &mut bytes);
                bytes.len()
            };
            let consent = Consent { purpose: Symbol::from_packed(1), channel: None, granted: true };
            // One consent takes three bytes, its list's length included; none takes none.
            prop_assert_eq!(packed(vec![consent]), packed(Vec::new()) + 3);
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            unpack(&bytes, &mut Profile::default());
            let _ = unpack_id(&bytes);
        }
    }
}
