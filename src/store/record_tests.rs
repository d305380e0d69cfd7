//! What is written to the journal comes back as it was.

use proptest::prelude::*;

use super::record::{self, Draft, Erased, ForgottenVisitor, Opened, Record, Seen, Unread, Who};
use super::seal::{KEY_BYTES, Nonces, Seal};
use crate::domain::contact::{Contact, Counted};
use crate::domain::entry::{Cancellation, ConsentChange, Entry, OutcomeReport, ProfileChange, Reservation};
use crate::domain::event::Event;
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::{Joined, Precedence, Profile};
use crate::domain::request::RequestKey;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

fn some_symbol() -> impl Strategy<Value = Symbol> {
    any::<u32>().prop_map(|number| Symbol::from_packed(number / 2))
}

fn some_time() -> impl Strategy<Value = Timestamp> {
    (-4_000_000_000_000..4_000_000_000_000_i64).prop_map(Timestamp::from_millis)
}

fn some_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Missing),
        any::<bool>().prop_map(Value::Boolean),
        (-1e12..1e12_f64).prop_map(Value::Number),
        some_symbol().prop_map(Value::Category),
        any::<u64>().prop_map(Value::Set),
        some_time().prop_map(Value::Time),
    ]
}

fn some_attributes() -> impl Strategy<Value = Vec<(Symbol, Value)>> {
    prop::collection::vec((some_symbol(), some_value()), 0..5)
}

fn some_profile() -> impl Strategy<Value = Entry> {
    let consent = (some_symbol(), prop::option::of(some_symbol()), any::<Option<bool>>());
    (
        some_attributes(),
        any::<bool>(),
        prop::collection::vec((some_symbol(), any::<bool>()), 0..3),
        any::<Option<bool>>(),
        prop::collection::vec(consent, 0..3),
    )
        .prop_map(|(attributes, replace, opt_outs, opt_out_of_all, consents)| {
            let consent = |(purpose, channel, granted)| ConsentChange {
                purpose,
                channel,
                granted,
            };
            Entry::Profile(ProfileChange {
                attributes,
                replace,
                opt_outs,
                opt_out_of_all,
                consents: consents.into_iter().map(consent).collect(),
            })
        })
}

fn some_event() -> impl Strategy<Value = Entry> {
    (
        any::<u64>(),
        some_symbol(),
        some_time(),
        prop::option::of(some_symbol()),
        prop::option::of(some_symbol()),
        any::<Option<u64>>(),
        some_attributes(),
    )
        .prop_map(
            |(id_hash, event_type, time, channel, place, session_hash, attributes)| {
                Entry::Event(Event {
                    id_hash,
                    event_type,
                    time,
                    channel,
                    place,
                    session_hash,
                    attributes,
                })
            },
        )
}

fn some_reservation() -> impl Strategy<Value = Entry> {
    (
        any::<u32>(),
        some_symbol(),
        prop::option::of(some_symbol()),
        some_time(),
        prop::collection::vec((some_symbol(), some_symbol()), 0..5),
        any::<bool>(),
        any::<Option<(u64, u64)>>(),
    )
        .prop_map(|(decision, channel, campaign, at, contacts, in_volumes, request)| {
            Entry::Decision(Reservation {
                decision,
                channel,
                campaign,
                at,
                contacts,
                in_volumes,
                request: request.map(|(id, body)| RequestKey { id, body }),
            })
        })
}

fn some_report() -> impl Strategy<Value = Entry> {
    let meant = (
        any::<u32>(),
        some_symbol(),
        prop::option::of(some_symbol()),
        some_time(),
    );
    (meant, 0..Counted::ALL.len(), some_time(), any::<bool>()).prop_map(
        |((decision, offer, placement, at), outcome, received_at, is_report)| {
            if is_report {
                let outcome = Counted::ALL[outcome];
                let report = OutcomeReport {
                    decision,
                    offer,
                    placement,
                    outcome,
                    at,
                };
                Entry::Outcome { report, received_at }
            } else {
                let offer = Some(offer);
                Entry::Cancel(Cancellation {
                    decision,
                    offer,
                    placement,
                    at,
                })
            }
        },
    )
}

fn some_contact() -> impl Strategy<Value = Contact> {
    let symbols = (some_symbol(), some_symbol(), some_symbol());
    let times = prop::collection::vec(prop::option::of(some_time()), Counted::ALL.len());
    (any::<u32>(), symbols, some_time(), times).prop_map(|(decision, (offer, channel, placement), at, later)| {
        let mut contact = Contact::decided(decision, offer, channel, placement, at);
        contact.times[1..].copy_from_slice(&later[1..]);
        contact.cancelled = later[0];
        contact.in_volumes = true;
        contact
    })
}

fn some_joining() -> impl Strategy<Value = Entry> {
    let profile = || {
        (
            any::<(u64, u32)>(),
            some_attributes(),
            prop::collection::vec(some_contact(), 0..3),
        )
            .prop_map(|((version, decisions), attributes, contacts)| {
                // Sorted by symbol, as a profile's are.
                let attributes: std::collections::BTreeMap<_, _> = attributes.into_iter().collect();
                Profile {
                    version,
                    decisions,
                    attributes: attributes.into_iter().collect(),
                    contacts,
                    ..Profile::default()
                }
            })
    };
    let key = || any::<u128>().prop_map(CustomerKey::from_packed);
    prop_oneof![
        (
            "[a-z0-9]{1,20}",
            some_time(),
            any::<u32>(),
            any::<(bool, bool)>(),
            profile()
        )
            .prop_map(|(name, merged_at, slot, (known, comes_first), profile)| {
                Entry::Joined(Box::new(Joined {
                    visitor: CustomerId::anonymous(&name).unwrap(),
                    merged_at,
                    precedence: if comes_first {
                        Precedence::Visitor
                    } else {
                        Precedence::Customer
                    },
                    slot,
                    known,
                    profile,
                }))
            }),
        key().prop_map(Entry::Parted),
        profile().prop_map(|profile| Entry::Restored(Box::new(profile))),
        (key(), some_report()).prop_map(|(visitor, entry)| Entry::OfVisitor {
            visitor,
            entry: Box::new(entry),
        }),
    ]
}

fn some_seen() -> impl Strategy<Value = Seen> {
    let symbols = || prop::collection::vec(some_symbol(), 0..4);
    (
        prop::collection::vec(any::<u8>(), 0..300),
        any::<(bool, bool, u64)>(),
        prop::collection::vec((some_symbol(), any::<u32>()), 0..4),
        prop::collection::vec(some_value(), 0..4),
        prop::option::of((symbols(), symbols())),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(
            |(block, (known, duplicates, answer), placements, context, steering, rooms)| Seen {
                block,
                known,
                placements,
                duplicates,
                context,
                steering,
                rooms,
                answer,
            },
        )
}

fn written(draft: &mut Draft) -> Vec<u8> {
    let nonces = Nonces::new().unwrap();
    draft.record(&nonces, || Err("there is a key")).unwrap().to_vec()
}

fn read(bytes: &[u8]) -> Result<Record, Unread> {
    record::read(bytes, |slot| Opened::With(Seal::new(slot, [9; KEY_BYTES])))
}

proptest! {
    #[test]
    fn a_change_comes_back_as_it_was(
        slot in 1..u32::MAX,
        name in prop::option::of("[a-z0-9]{1,20}"),
        generation in any::<u64>(),
        at in some_time(),
        entries in prop::collection::vec(
            prop_oneof![some_profile(), some_event(), some_reservation(), some_report(), some_joining()], 1..5),
        before in prop::collection::vec(some_contact(), 0..3),
        seen in prop::option::of(some_seen()),
    ) {
        let (who, seal) = (Who::Slot(slot), Seal::new(slot, [9; KEY_BYTES]));
        let id = name.map(|name| CustomerId::anonymous(&name).unwrap());
        let mut draft = Draft::default();
        draft.is_of(seal);
        draft.begin(id.as_ref(), generation, at);
        for entry in &entries {
            draft.entry(entry);
        }
        draft.before(&before);
        if let Some(seen) = &seen {
            draft.seen(seen, |bytes| bytes.extend_from_slice(&seen.block));
        }
        let bytes = written(&mut draft);
        let seen = seen.map(Box::new);
        let change = Record::Change { who, seal, id, generation, at, entries, before: before.clone(), seen };
        prop_assert_eq!(read(&bytes), Ok(change));
        prop_assert_eq!(record::read(&bytes, |_| Opened::Destroyed), Err(Unread::Destroyed(slot)));
        prop_assert_eq!(record::read(&bytes, |_| Opened::Unknown), Err(Unread::NoKey(slot)));
        let wrong = |slot| Opened::With(Seal::new(slot, [8; KEY_BYTES]));
        prop_assert_eq!(record::read(&bytes, wrong), Err(Unread::WrongKey(slot)));
        let key = CustomerId::known("somebody").unwrap().key();
        let visitor = CustomerId::anonymous("v").unwrap();
        let own = |decisions| Profile { decisions, contacts: before.clone(), ..Profile::default() };
        let joined = Joined {
            visitor: visitor.clone(), merged_at: at, precedence: Precedence::Visitor, slot: 9, known: true, profile: own(8),
        };
        let of_visitor = ForgottenVisitor { visitor: visitor.key(), slot: 9, decisions: 8, before: before.clone() };
        for count in 0..3 {
            draft.forget(key, &Profile { joined: vec![joined.clone(); count], ..own(7) });
            let visitors = vec![of_visitor.clone(); count];
            let forgotten = Record::Forgotten { who, key, decisions: 7, before: before.clone(), visitors };
            prop_assert_eq!(read(&written(&mut draft)), Ok(forgotten));
        }
    }

    #[test]
    fn whatever_bytes_are_read_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), first in 0..10_u8) {
        let _ = read(&[&[first], bytes.as_slice()].concat());
    }
}

#[test]
fn what_is_about_nobody_who_is_known_comes_back_without_a_key() {
    let mut draft = Draft::default();
    let erased = Erased {
        mark: 1 << 100 | 7,
        slot: 12,
        decisions: 90,
    };
    let plain = |draft: &mut Draft| record::read(&written(draft), |_| Opened::Unknown);
    let other = Erased { slot: 3, ..erased };
    for all in [vec![erased], vec![other, erased]] {
        draft.erase(&all);
        assert_eq!(plain(&mut draft), Ok(Record::Erased(all)));
    }
    draft.readmit(erased.mark);
    assert_eq!(plain(&mut draft), Ok(Record::Readmitted(erased.mark)));
    draft.convert();
    assert_eq!(plain(&mut draft), Ok(Record::Converted));
}

#[test]
fn a_call_that_changed_nothing_leaves_no_record() {
    let mut draft = Draft::default();
    draft.begin(None, 1, Timestamp::from_millis(0));
    assert!(!draft.has_record());
    let mark = draft.mark();
    draft.entry(&Entry::Profile(ProfileChange::default()));
    assert!(draft.has_record());
    draft.back_to(mark);
    assert!(!draft.has_record(), "a choice that was taken back");
}
