//! Reading what [`super::Draft`] wrote.

use super::super::codec::Reader;
use super::super::packed;
use super::super::rarities::unpack_joined;
use super::super::seal::{self, Purpose, Seal};
use super::{Erased, ForgottenVisitor, Record, Seen, Who, kind, tag};
use crate::domain::contact::{Contact, Counted};
use crate::domain::entry::{Cancellation, ConsentChange, Entry, OutcomeReport, ProfileChange, Reservation};
use crate::domain::event::Event;
use crate::domain::ids::CustomerKey;
use crate::domain::profile::Profile;
use crate::domain::request::RequestKey;
use crate::domain::symbol::Symbol;

/// What opens a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// This key.
    With(Seal),
    /// Nothing any more: the key was destroyed.
    Destroyed,
    /// Nothing: there never was a key.
    Unknown,
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Another program wrote it.
    Foreign,
    /// Its person was erased, or forgotten; the slot of the key.
    Destroyed(u32),
    /// The key of this slot is missing.
    NoKey(u32),
    /// The key of this slot is not the one with which it was sealed.
    WrongKey(u32),
}

/// Reads a record; `key_of` knows what is in a slot.
///
/// # Errors
/// Why it cannot be read.
pub fn read(bytes: &[u8], key_of: impl FnOnce(u32) -> Opened) -> Result<Record, Unread> {
    let (&first, rest) = bytes.split_first().ok_or(Unread::Foreign)?;
    if first != kind::SEALED {
        return read_plain(first, rest).ok_or(Unread::Foreign);
    }
    let slot = seal::slot_of(rest).ok_or(Unread::Foreign)?;
    let seal = match key_of(slot) {
        Opened::With(seal) => seal,
        Opened::Destroyed => return Err(Unread::Destroyed(slot)),
        Opened::Unknown => return Err(Unread::NoKey(slot)),
    };
    let text = seal.open(Purpose::Record, rest).ok_or(Unread::WrongKey(slot))?;
    let read = || {
        let (&first, rest) = text.split_first()?;
        read_person(first, rest, Who::Slot(slot), seal)
    };
    read().ok_or(Unread::Foreign)
}

fn read_plain(first: u8, rest: &[u8]) -> Option<Record> {
    match first {
        kind::ACTIVATION => Some(Record::Activation(rest.to_vec())),
        kind::ERASED => erased(rest).map(Record::Erased),
        kind::READMITTED => Some(Record::Readmitted(u128::from_le_bytes(rest.try_into().ok()?))),
        kind::CONVERTED => rest.is_empty().then_some(Record::Converted),
        _ => {
            let (key, rest) = rest.split_first_chunk()?;
            let key = CustomerKey::from_packed(u128::from_le_bytes(*key));
            read_person(first, rest, Who::Key(key), Seal::NONE)
        }
    }
}

/// Reads who was erased.
pub(super) fn erased(mut rest: &[u8]) -> Option<Vec<Erased>> {
    let mut all = Vec::new();
    while !rest.is_empty() || all.is_empty() {
        let (mark, after) = rest.split_first_chunk()?;
        let (slot, after) = after.split_first_chunk()?;
        let (decisions, after) = after.split_first_chunk()?;
        rest = after;
        all.push(Erased {
            mark: u128::from_le_bytes(*mark),
            slot: u32::from_le_bytes(*slot),
            decisions: u32::from_le_bytes(*decisions),
        });
    }
    Some(all)
}

fn read_forgotten(rest: &[u8], who: Who) -> Option<Record> {
    let (key, rest) = match who {
        Who::Key(key) => (key, rest),
        Who::Slot(_) => {
            let (key, rest) = rest.split_first_chunk()?;
            (CustomerKey::from_packed(u128::from_le_bytes(*key)), rest)
        }
    };
    let mut reader = Reader::new(rest, 0);
    let decisions = number(&mut reader)?;
    let (mut before, mut visitors) = (Vec::new(), Vec::<ForgottenVisitor>::new());
    while !reader.is_at_end() {
        let mut part = Reader::new(rest, reader.at);
        match part.unsigned() {
            tag::BEFORE => {
                let contacts = read_before(&mut part)?;
                match visitors.last_mut() {
                    Some(visitor) => visitor.before = contacts,
                    None => before = contacts,
                }
            }
            tag::OF_VISITOR => visitors.push(ForgottenVisitor {
                visitor: part.key(),
                slot: number(&mut part)?,
                decisions: number(&mut part)?,
                before: Vec::new(),
            }),
            _ => return None,
        }
        reader = part;
    }
    (reader.at == rest.len()).then_some(Record::Forgotten {
        who,
        key,
        decisions,
        before,
        visitors,
    })
}

fn read_person(first: u8, rest: &[u8], who: Who, seal: Seal) -> Option<Record> {
    if first == kind::FORGOTTEN {
        return read_forgotten(rest, who);
    }
    let mut begin = 0;
    let id = match first {
        kind::CHANGE => None,
        kind::BEGINNING => {
            begin = packed::id_length(rest);
            Some(packed::unpack_id(rest)?)
        }
        _ => return None,
    };
    let mut reader = Reader::new(rest, begin);
    let (generation, at) = (reader.unsigned(), reader.instant());
    let (mut entries, mut before, mut seen) = (Vec::new(), Vec::new(), None);
    while !reader.is_at_end() {
        // Each part counts its times from the beginning.
        let mut part = Reader::new(rest, reader.at);
        match part.unsigned() {
            tag::BEFORE => before.extend(read_before(&mut part)?),
            tag::SEEN => seen = Some(Box::new(read_seen(&mut part, rest)?)),
            tag => entries.push(read_entry(tag, &mut part)?),
        }
        reader = part;
    }
    (reader.at == rest.len()).then_some(Record::Change {
        who,
        seal,
        id,
        generation,
        at,
        entries,
        before,
        seen,
    })
}

fn read_seen(reader: &mut Reader<'_>, bytes: &[u8]) -> Option<Seen> {
    let answer = reader.fixed();
    let placements = reader.count();
    let mut seen = Seen {
        block: Vec::new(),
        known: placements % 2 == 1,
        placements: Vec::new(),
        duplicates: placements / 2 % 2 == 1,
        context: Vec::new(),
        steering: None,
        rooms: Vec::new(),
        answer,
    };
    for _ in 0..placements / 8 {
        if reader.is_at_end() {
            return None;
        }
        seen.placements.push((symbol(reader)?, number(reader)?));
    }
    for _ in 0..reader.length() {
        seen.context.push(reader.value(&mut 0).1);
    }
    if placements / 4 % 2 == 1 {
        let mut lists = [Vec::new(), Vec::new()];
        for list in &mut lists {
            for _ in 0..reader.length() {
                list.push(symbol(reader)?);
            }
        }
        let [first, barred] = lists;
        seen.steering = Some((first, barred));
    }
    let rooms = reader.count();
    seen.rooms = take(reader, bytes, rooms)?;
    let length = take(reader, bytes, size_of::<u32>())?;
    let length = u32::from_le_bytes(*length.first_chunk()?) as usize;
    seen.block = take(reader, bytes, length)?;
    Some(seen)
}

/// Takes bytes as they are.
fn take(reader: &mut Reader<'_>, bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    let end = reader.at.checked_add(length)?;
    let taken = bytes.get(reader.at..end)?.to_vec();
    reader.at = end;
    Some(taken)
}

fn number(reader: &mut Reader<'_>) -> Option<u32> {
    u32::try_from(reader.unsigned()).ok()
}

fn symbol(reader: &mut Reader<'_>) -> Option<Symbol> {
    number(reader).map(Symbol::from_packed)
}

fn read_before(reader: &mut Reader<'_>) -> Option<Vec<Contact>> {
    let count = reader.length();
    let mut contacts = Vec::with_capacity(count);
    for _ in 0..count {
        let decision = number(reader)?;
        let (offer, channel, placement) = (symbol(reader)?, symbol(reader)?, symbol(reader)?);
        let mut reported = reader.unsigned();
        let mut next = || {
            let is_there = reported & 1 == 1;
            reported >>= 1;
            is_there
        };
        let mut times = [None; Counted::ALL.len()];
        for time in &mut times {
            if next() {
                *time = Some(reader.instant());
            }
        }
        let cancelled = next().then(|| reader.instant());
        contacts.push(Contact {
            times,
            cancelled,
            in_volumes: true,
            ..Contact::decided(decision, offer, channel, placement, times[0]?)
        });
    }
    Some(contacts)
}

fn read_entry(tag: u64, reader: &mut Reader<'_>) -> Option<Entry> {
    let entry = match tag {
        tag::PROFILE => Entry::Profile(read_profile(reader)?),
        tag::EVENT => Entry::Event(read_event(reader)?),
        tag::DECISION => Entry::Decision(read_reservation(reader)?),
        tag::OUTCOME => Entry::Outcome {
            report: OutcomeReport {
                decision: number(reader)?,
                offer: symbol(reader)?,
                placement: reader.option(),
                outcome: *Counted::ALL.get(usize::try_from(reader.unsigned()).ok()?)?,
                at: reader.instant(),
            },
            received_at: reader.instant(),
        },
        tag::CANCEL => Entry::Cancel(Cancellation {
            decision: number(reader)?,
            offer: reader.option(),
            placement: reader.option(),
            at: reader.instant(),
        }),
        tag::JOINED => Entry::Joined(Box::new(unpack_joined(reader)?)),
        tag::PARTED => Entry::Parted(reader.key()),
        tag::RESTORED => {
            let mut profile = Profile::default();
            packed::unpack_alone(reader.block(), &mut profile);
            Entry::Restored(Box::new(profile))
        }
        tag::OF_VISITOR => Entry::OfVisitor {
            visitor: reader.key(),
            entry: match reader.unsigned() {
                tag @ (tag::OUTCOME | tag::CANCEL) => Box::new(read_entry(tag, reader)?),
                _ => return None,
            },
        },
        _ => return None,
    };
    Some(entry)
}

const fn read_three(answer: u64) -> Option<bool> {
    match answer {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

fn read_profile(reader: &mut Reader<'_>) -> Option<ProfileChange> {
    let attributes = reader.count();
    let mut change = ProfileChange {
        replace: attributes % 2 == 1,
        ..ProfileChange::default()
    };
    let mut before = 0;
    for _ in 0..attributes / 2 {
        if reader.is_at_end() {
            return None;
        }
        change.attributes.push(reader.value(&mut before));
    }
    for _ in 0..reader.length() {
        let answer = reader.unsigned();
        let channel = Symbol::from_packed(u32::try_from(answer / 2).ok()?);
        change.opt_outs.push((channel, answer % 2 == 1));
    }
    change.opt_out_of_all = read_three(reader.unsigned());
    for _ in 0..reader.length() {
        change.consents.push(ConsentChange {
            purpose: symbol(reader)?,
            channel: reader.option(),
            granted: read_three(reader.unsigned()),
        });
    }
    Some(change)
}

fn read_event(reader: &mut Reader<'_>) -> Option<Event> {
    let (id_hash, event_type, time) = (reader.fixed(), symbol(reader)?, reader.instant());
    let (channel, place) = (reader.option(), reader.option());
    let attributes = reader.count();
    let session_hash = (attributes % 2 == 1).then(|| reader.fixed());
    let mut event = Event {
        id_hash,
        event_type,
        time,
        channel,
        place,
        session_hash,
        attributes: Vec::new(),
    };
    let mut before = 0;
    for _ in 0..attributes / 2 {
        if reader.is_at_end() {
            return None;
        }
        event.attributes.push(reader.value(&mut before));
    }
    Some(event)
}

fn read_reservation(reader: &mut Reader<'_>) -> Option<Reservation> {
    let (decision, channel) = (number(reader)?, symbol(reader)?);
    let (campaign, at) = (reader.option(), reader.instant());
    let contacts = reader.count();
    let mut reservation = Reservation {
        decision,
        channel,
        campaign,
        at,
        contacts: Vec::new(),
        in_volumes: contacts % 2 == 1,
        request: None,
    };
    for _ in 0..contacts / 4 {
        if reader.is_at_end() {
            return None;
        }
        reservation.contacts.push((symbol(reader)?, symbol(reader)?));
    }
    if contacts / 2 % 2 == 1 {
        reservation.request = Some(RequestKey {
            id: reader.fixed(),
            body: reader.fixed(),
        });
    }
    Some(reservation)
}
