//! What is packed comes out again, whichever way it was packed and read.

use proptest::prelude::*;

use super::codec::{EPOCH, MILLIS_PER_DAY};
use super::packed::{id_length, pack, pack_contacts_anew, pack_id, unpack, unpack_id, unpack_in_part};
use crate::domain::contact::Contact;
use crate::domain::ids::CustomerId;
use crate::domain::profile::{
    Bucket, Consent, EventDigest, Joined, Latest, Precedence, Profile, RequestTrace, Session, Trace,
};
use crate::domain::request::RequestKey;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

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

fn packed_with_id(profile: &Profile) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    pack_id(&CustomerId::known("somebody").unwrap(), &mut bytes);
    let id_end = bytes.len();
    pack(profile, &mut bytes);
    (bytes, id_end)
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
    fn after_a_report_the_same_bytes_are_packed_whether_all_is_packed_or_only_what_changed(
        before in profile(), contacts in prop::collection::vec(contact(), 0..5), version in any::<u64>(),
    ) {
        let (old, id_end) = packed_with_id(&before);
        let mut after = Profile::default();
        let parts = unpack(&old, &mut after);
        (after.version, after.contacts) = (version, contacts);
        let (mut all, mut anew) = (old[..id_end].to_vec(), old[..id_end].to_vec());
        let contacts_at = pack(&after, &mut all);
        prop_assert_eq!(pack_contacts_anew(&after, &old, parts, false, &mut anew), contacts_at);
        prop_assert_eq!(anew, all);
    }

    #[test]
    fn after_a_decision_the_same_bytes_are_packed_whether_all_was_read_and_packed_or_only_what_was_added(
        before in profile(), joined in joined(), added in prop::collection::vec(contact(), 0..4),
        dropped in prop::collection::vec(any::<prop::sample::Index>(), 0..3), first in 0_usize..4,
        steps in prop::collection::vec(0_u32..2, 1..9), are_alike in any::<bool>(),
    ) {
        let mut before = Profile { joined, ..before };
        // A decision may have several contacts, which follow each other, and may be the same.
        let mut decision = 7;
        for at in 0..before.contacts.len() {
            decision += steps[at % steps.len()];
            before.contacts[at].decision = decision;
            if are_alike && at > 0 && before.contacts[at - 1].decision == decision {
                before.contacts[at] = before.contacts[at - 1];
            }
        }
        let mut old = packed_with_id(&before).0;
        let id_end = id_length(&old);
        old.truncate(id_end);
        let contacts_at = pack(&before, &mut old);
        let mut whole = Profile::default();
        unpack(&old, &mut whole);
        let mut read = Profile::default();
        let parts = unpack_in_part(&old, &mut read, |ranking_version| {
            assert_eq!(ranking_version, before.ranking_version);
            Some(contacts_at)
        });
        prop_assert_eq!(parts.is_in_part, before.joined.is_empty());
        if parts.is_in_part {
            prop_assert!(read.events.is_empty() && read.buckets.is_empty() && read.sessions.is_empty());
        } else {
            prop_assert_eq!(format!("{:?}", &read), format!("{:?}", &whole));
        }
        // No new decision has the number of one that was made.
        let number = |at: usize| (0..).filter(|number| before.contacts.iter().all(|old| old.decision != *number)).nth(at).unwrap();
        let added = added.into_iter().enumerate().map(|(at, contact)| Contact { decision: number(at), ..contact });
        let added: Vec<Contact> = added.collect();
        for profile in [&mut whole, &mut read] {
            profile.version = profile.version.wrapping_add(1);
            profile.decisions = profile.decisions.wrapping_add(1);
            profile.contacts.extend(added.iter().copied());
            profile.contacts.drain(..first.min(profile.contacts.len()));
            for at in &dropped {
                if !profile.contacts.is_empty() {
                    profile.contacts.remove(at.index(profile.contacts.len()));
                }
            }
        }
        let (mut all, mut anew) = (old[..id_end].to_vec(), old[..id_end].to_vec());
        let contacts_at = pack(&whole, &mut all);
        prop_assert_eq!(pack_contacts_anew(&read, &old, parts, true, &mut anew), contacts_at);
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
