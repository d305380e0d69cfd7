//! The packed form of a customer: one byte string.
//!
//! Layout: id, counters, attributes, opt-outs, buckets, latest, traces, sessions, events, older ids, contacts. Whole
//! numbers are LEB128 varints, signed ones zigzag; times are differences to a fixed instant, a contact's to the contact before it; each list begins with its
//! length. A number attribute is a varint when it is whole or has at most two decimals, else eight bytes; either
//! way exactly the number that was put in comes out.
//!
//! Reading is bounds-checked and stops at the end of the bytes, so that even a damaged block cannot panic.

use crate::domain::contact::{Contact, Counted};
use crate::domain::ids::CustomerId;
use crate::domain::profile::{Bucket, EventDigest, Latest, Profile, Session, Trace};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// Times are stored as differences to this instant or to each other: 2024-01-01T00:00:00Z.
const EPOCH: i64 = 1_704_067_200_000;

mod tag {
    pub(super) const FALSE: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const WHOLE: u8 = 2;
    pub(super) const HUNDREDTHS: u8 = 3;
    pub(super) const DOUBLE: u8 = 4;
    pub(super) const CATEGORY: u8 = 5;
    pub(super) const SET: u8 = 6;
    pub(super) const DAYS: u8 = 7;
    pub(super) const MILLIS: u8 = 8;
    pub(super) const MISSING: u8 = 9;
    pub(super) const COUNT: u64 = 10;
}

const MILLIS_PER_DAY: i64 = 86_400_000;

struct Writer<'a>(&'a mut Vec<u8>);

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bit fiddling of varints"
)]
impl Writer<'_> {
    fn unsigned(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn signed(&mut self, number: i64) {
        self.unsigned(((number << 1) ^ (number >> 63)) as u64);
    }

    fn fixed(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn symbol(&mut self, symbol: Symbol) {
        self.unsigned(u64::from(symbol.get()));
    }

    fn option(&mut self, symbol: Option<Symbol>) {
        self.unsigned(symbol.map_or(0, |symbol| u64::from(symbol.get()) + 1));
    }

    fn length(&mut self, length: usize) {
        self.unsigned(length as u64);
    }

    fn tagged(&mut self, symbol: Symbol, tag: u8) {
        self.unsigned(u64::from(symbol.get()) * tag::COUNT + u64::from(tag));
    }

    fn value(&mut self, symbol: Symbol, value: Value) {
        match value {
            Value::Missing => self.tagged(symbol, tag::MISSING),
            Value::Boolean(truth) => self.tagged(symbol, if truth { tag::TRUE } else { tag::FALSE }),
            Value::Number(number) => self.number(symbol, number),
            Value::Category(category) => {
                self.tagged(symbol, tag::CATEGORY);
                self.symbol(category);
            }
            Value::Set(bits) => {
                self.tagged(symbol, tag::SET);
                self.unsigned(bits);
            }
            Value::Time(time) => {
                let millis = time.as_millis();
                if millis % MILLIS_PER_DAY == 0 {
                    self.tagged(symbol, tag::DAYS);
                    self.signed(millis / MILLIS_PER_DAY);
                } else {
                    self.tagged(symbol, tag::MILLIS);
                    self.signed(millis);
                }
            }
        }
    }

    fn number(&mut self, symbol: Symbol, number: f64) {
        let exactly = |scaled: i64, scale: f64| (scaled as f64 / scale).to_bits() == number.to_bits();
        let (whole, hundredths) = (number as i64, (number * 100.0).round() as i64);
        if whole.unsigned_abs() < 1 << 48 && exactly(whole, 1.0) {
            self.tagged(symbol, tag::WHOLE);
            self.signed(whole);
        } else if hundredths.unsigned_abs() < 1 << 48 && exactly(hundredths, 100.0) {
            self.tagged(symbol, tag::HUNDREDTHS);
            self.signed(hundredths);
        } else {
            self.tagged(symbol, tag::DOUBLE);
            self.fixed(number.to_bits());
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "bit fiddling of varints"
)]
impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    fn unsigned(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    fn signed(&mut self) -> i64 {
        let number = self.unsigned();
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }

    fn fixed(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(8) {
            number |= u64::from(self.byte()) << shift;
        }
        number
    }

    fn symbol(&mut self) -> Symbol {
        Symbol::from_packed(self.unsigned() as u32)
    }

    fn option(&mut self) -> Option<Symbol> {
        self.unsigned()
            .checked_sub(1)
            .map(|number| Symbol::from_packed(number as u32))
    }

    fn length(&mut self) -> usize {
        let left = self.bytes.len().saturating_sub(self.at);
        (self.unsigned() as usize).min(left)
    }

    fn value(&mut self) -> (Symbol, Value) {
        let number = self.unsigned();
        let symbol = Symbol::from_packed((number / tag::COUNT) as u32);
        let value = match (number % tag::COUNT) as u8 {
            tag::FALSE => Value::Boolean(false),
            tag::TRUE => Value::Boolean(true),
            tag::WHOLE => Value::Number(self.signed() as f64),
            tag::HUNDREDTHS => Value::Number(self.signed() as f64 / 100.0),
            tag::DOUBLE => Value::Number(f64::from_bits(self.fixed())),
            tag::CATEGORY => Value::Category(self.symbol()),
            tag::SET => Value::Set(self.unsigned()),
            tag::DAYS => Value::Time(Timestamp::from_millis(self.signed().saturating_mul(MILLIS_PER_DAY))),
            tag::MILLIS => Value::Time(Timestamp::from_millis(self.signed())),
            _ => Value::Missing,
        };
        (symbol, value)
    }
}

/// Appends the id, the beginning of the packed form.
pub fn pack_id(id: &CustomerId, bytes: &mut Vec<u8>) {
    let mut writer = Writer(bytes);
    writer.unsigned(id.as_str().len() as u64 * 2 + u64::from(id.is_anonymous()));
    bytes.extend_from_slice(id.as_str().as_bytes());
}

/// Returns how many bytes at the beginning of the packed form hold the id.
#[must_use]
pub fn id_length(bytes: &[u8]) -> usize {
    let mut reader = Reader { bytes, at: 0 };
    let length = usize::try_from(reader.unsigned() / 2).unwrap_or(usize::MAX);
    reader.at.saturating_add(length).min(bytes.len())
}

/// Reads the id; `None` when the bytes are damaged.
#[must_use]
pub fn unpack_id(bytes: &[u8]) -> Option<CustomerId> {
    let mut reader = Reader { bytes, at: 0 };
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
    let mut writer = Writer(bytes);
    writer.unsigned(profile.version);
    writer.unsigned(profile.ranking_version);
    writer.unsigned(u64::from(profile.decisions));
    writer.length(profile.attributes.len());
    for &(symbol, value) in &profile.attributes {
        writer.value(symbol, value);
    }
    writer.length(profile.opt_outs.len() * 2 + usize::from(profile.opted_out_of_all));
    for &channel in &profile.opt_outs {
        writer.symbol(channel);
    }
    pack_behaviour(profile, &mut writer);
    writer.length(profile.contacts.len());
    let (mut decision, mut before) = (0, EPOCH);
    for contact in &profile.contacts {
        writer.unsigned(u64::from(contact.decision.wrapping_sub(decision)));
        let mut reported = 0_u64;
        for counted in &Counted::ALL[1..] {
            reported = reported << 1 | u64::from(contact.time_of(*counted).is_some());
        }
        writer.unsigned(reported);
        writer.symbol(contact.offer);
        writer.symbol(contact.channel);
        writer.symbol(contact.placement);
        let decided_at = contact.decided_at().as_millis();
        writer.signed(decided_at.wrapping_sub(before));
        for time in contact.times[1..].iter().flatten() {
            writer.signed(time.as_millis().wrapping_sub(decided_at));
        }
        (decision, before) = (contact.decision, decided_at);
    }
}

fn pack_behaviour(profile: &Profile, writer: &mut Writer<'_>) {
    writer.length(profile.buckets.len());
    for bucket in &profile.buckets {
        writer.symbol(bucket.aggregate);
        writer.signed(bucket.step);
        writer.signed(bucket.amount);
    }
    writer.length(profile.latest.len());
    for latest in &profile.latest {
        writer.value(latest.aggregate, latest.value);
        writer.signed(latest.time.as_millis().wrapping_sub(EPOCH));
        writer.fixed(latest.id_hash);
    }
    writer.length(profile.traces.len());
    for trace in &profile.traces {
        writer.symbol(trace.intent);
        writer.signed(trace.time.as_millis().wrapping_sub(EPOCH));
        writer.fixed(trace.id_hash);
        writer.unsigned(u64::from(trace.weight_thousandths));
    }
    writer.length(profile.sessions.len());
    for session in &profile.sessions {
        writer.fixed(session.id_hash);
        writer.signed(session.first.as_millis().wrapping_sub(EPOCH));
        writer.signed(session.last.as_millis().wrapping_sub(session.first.as_millis()));
        writer.unsigned(u64::from(session.events));
    }
    writer.length(profile.events.len());
    for event in &profile.events {
        writer.fixed(event.id_hash);
        writer.symbol(event.event_type);
        writer.signed(event.time.as_millis().wrapping_sub(EPOCH));
        writer.option(event.channel);
        writer.option(event.place);
    }
    writer.length(profile.older_event_ids.len());
    for id_hash in &profile.older_event_ids {
        writer.fixed(*id_hash);
    }
}

/// Reads everything but the id into `profile`, reusing its memory.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what was packed as a u32 comes back as one"
)]
pub fn unpack(bytes: &[u8], profile: &mut Profile) {
    profile.clear();
    let mut reader = Reader {
        bytes,
        at: id_length(bytes),
    };
    profile.version = reader.unsigned();
    profile.ranking_version = reader.unsigned();
    profile.decisions = reader.unsigned() as u32;
    for _ in 0..reader.length() {
        let attribute = reader.value();
        profile.attributes.push(attribute);
    }
    let opt_outs = reader.unsigned();
    profile.opted_out_of_all = opt_outs % 2 == 1;
    for _ in 0..(opt_outs / 2).min(bytes.len() as u64) {
        let channel = reader.symbol();
        profile.opt_outs.push(channel);
    }
    unpack_behaviour(&mut reader, profile);
    let (mut decision, mut before) = (0_u32, EPOCH);
    for _ in 0..reader.length() {
        decision = decision.wrapping_add(reader.unsigned() as u32);
        let reported = reader.unsigned();
        let (offer, channel, placement) = (reader.symbol(), reader.symbol(), reader.symbol());
        before = before.wrapping_add(reader.signed());
        let mut contact = Contact::decided(decision, offer, channel, placement, Timestamp::from_millis(before));
        let outcomes = Counted::ALL.len() - 1;
        for (at, time) in contact.times[1..].iter_mut().enumerate() {
            if reported >> (outcomes - 1 - at) & 1 == 1 {
                *time = Some(Timestamp::from_millis(before.wrapping_add(reader.signed())));
            }
        }
        profile.contacts.push(contact);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what was packed as a u32 comes back as one"
)]
fn unpack_behaviour(reader: &mut Reader<'_>, profile: &mut Profile) {
    let instant = |millis: i64| Timestamp::from_millis(EPOCH.wrapping_add(millis));
    for _ in 0..reader.length() {
        let bucket = Bucket {
            aggregate: reader.symbol(),
            step: reader.signed(),
            amount: reader.signed(),
        };
        profile.buckets.push(bucket);
    }
    for _ in 0..reader.length() {
        let (aggregate, value) = reader.value();
        let latest = Latest {
            aggregate,
            time: instant(reader.signed()),
            id_hash: reader.fixed(),
            value,
        };
        profile.latest.push(latest);
    }
    for _ in 0..reader.length() {
        let (intent, time, id_hash) = (reader.symbol(), instant(reader.signed()), reader.fixed());
        profile.traces.push(Trace {
            intent,
            time,
            id_hash,
            weight_thousandths: reader.unsigned() as u32,
        });
    }
    for _ in 0..reader.length() {
        let (id_hash, first) = (reader.fixed(), instant(reader.signed()));
        let last = Timestamp::from_millis(first.as_millis().wrapping_add(reader.signed()));
        profile.sessions.push(Session {
            id_hash,
            first,
            last,
            events: reader.unsigned() as u32,
        });
    }
    for _ in 0..reader.length() {
        let event = EventDigest {
            id_hash: reader.fixed(),
            event_type: reader.symbol(),
            time: instant(reader.signed()),
            channel: reader.option(),
            place: reader.option(),
        };
        profile.events.push(event);
    }
    for _ in 0..reader.length() {
        let id_hash = reader.fixed();
        profile.older_event_ids.push(id_hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
                     at in time(), times in proptest::array::uniform6(proptest::option::of(time()))) -> Contact {
            let mut contact = Contact::decided(decision, offer, channel, placement, at);
            contact.times[1..].copy_from_slice(&times);
            contact
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
        ) -> Profile {
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

    prop_compose! {
        fn profile()(behaviour in behaviour(), version in any::<u64>(), ranking_version in any::<u64>(),
                     decisions in any::<u32>(), opted_out_of_all in any::<bool>(),
                     attributes in prop::collection::vec((symbol(), value()), 0..6),
                     opt_outs in prop::collection::vec(symbol(), 0..3),
                     contacts in prop::collection::vec(contact(), 0..5)) -> Profile {
            Profile { version, ranking_version, decisions, attributes, opt_outs, opted_out_of_all, contacts, ..behaviour }
        }
    }

    proptest! {
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
        fn damaged_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            unpack(&bytes, &mut Profile::default());
            let _ = unpack_id(&bytes);
        }
    }
}
