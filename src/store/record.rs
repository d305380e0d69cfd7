//! The packed form of a record of the journal: what one call changed of one customer, or of everybody.
//!
//! What one call changed of one customer is sealed with the person's key ([`super::seal`]): in front stand a kind and the number of
//! the key's slot, and nothing else can be read without the key. Within: a kind; the id when the customer began with it; the
//! activation by which the entries were folded; the time; the entries; and of contacts that are in the books over all
//! customers, what they were before. Releases up to data format 1 wrote the same unsealed, with the customer's key instead of the
//! slot. Records that are not about one known person are plain: a catalog that came into force; that a person was erased, who is
//! named by a salted hash, and that an erased one came back; and that all before was sealed.
//!
//! Numbers are written as in [`super::packed`]. Records are read only when their checksum is right, so what does not end where it
//! should was written by another program.

use crate::domain::contact::Contact;
use crate::domain::entry::{Entry, ProfileChange, Reservation};
use crate::domain::event::Event;
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

use super::codec::Writer;
use super::packed;
use super::rarities::pack_joined;
use super::seal::{self, Nonces, Purpose, Seal};

mod read;

pub use read::{Opened, Unread, read};

mod kind {
    pub(super) const CHANGE: u8 = 1;
    pub(super) const BEGINNING: u8 = 2;
    pub(super) const FORGOTTEN: u8 = 3;
    pub(super) const ACTIVATION: u8 = 4;
    pub(super) const SEALED: u8 = 5;
    pub(super) const ERASED: u8 = 6;
    pub(super) const READMITTED: u8 = 7;
    pub(super) const CONVERTED: u8 = 8;
}

mod tag {
    pub(super) const BEFORE: u64 = 1;
    pub(super) const PROFILE: u64 = 2;
    pub(super) const EVENT: u64 = 3;
    pub(super) const DECISION: u64 = 4;
    pub(super) const OUTCOME: u64 = 5;
    pub(super) const CANCEL: u64 = 6;
    pub(super) const SEEN: u64 = 7;
    pub(super) const JOINED: u64 = 8;
    pub(super) const PARTED: u64 = 9;
    pub(super) const RESTORED: u64 = 10;
    pub(super) const OF_VISITOR: u64 = 11;
}

/// All that a decision saw besides its catalog and models: enough to make it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The customer as [`packed`] writes it: the id, and the profile with the events of the call and before the reservation.
    pub block: Vec<u8>,
    /// Whether the customer was known before.
    pub known: bool,
    /// The placements, and how many offers were wanted for each.
    pub placements: Vec<(Symbol, u32)>,
    /// Whether one offer might fill several placements.
    pub duplicates: bool,
    /// The request context.
    pub context: Vec<Value>,
    /// What a plan over many customers said: the offers that came first, and those that stayed out.
    pub steering: Option<(Vec<Symbol>, Vec<Symbol>)>,
    /// What the volumes had left, as their own layer writes it.
    pub rooms: Vec<u8>,
    /// The hash of what was shown.
    pub answer: u64,
}

/// Whom a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The person whose key is in a slot.
    Slot(u32),
    /// A customer; in records that are not sealed.
    Key(CustomerKey),
}

/// One record, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A customer changed.
    Change {
        /// Who.
        who: Who,
        /// With what it was sealed; none for a record that is not.
        seal: Seal,
        /// The id, when the customer began with this record.
        id: Option<CustomerId>,
        /// Which activation's catalog folded the entries.
        generation: u64,
        /// The engine's clock.
        at: Timestamp,
        /// What changed, in order.
        entries: Vec<Entry>,
        /// The contacts in the books over all customers that the entries changed, as they were.
        before: Vec<Contact>,
        /// What a decision among them saw.
        seen: Option<Box<Seen>>,
    },
    /// A customer was forgotten.
    Forgotten {
        /// Who.
        who: Who,
        /// The customer's key.
        key: CustomerKey,
        /// The number of the latest decision.
        decisions: u32,
        /// The contacts in the books over all customers.
        before: Vec<Contact>,
        /// The joined visitors, who were forgotten as well.
        visitors: Vec<ForgottenVisitor>,
    },
    /// A catalog came into force; what it was is for the engine to read.
    Activation(Vec<u8>),
    /// A person was erased; the last one is the customer, those before are joined visitors.
    Erased(Vec<Erased>),
    /// An erased person may be known again; by the mark.
    Readmitted(u128),
    /// All that was written unsealed before is in a checkpoint, sealed.
    Converted,
}

/// What is written of a joined visitor who is forgotten with the customer.
#[derive(Clone, Debug, PartialEq)]
pub struct ForgottenVisitor {
    /// Who.
    pub visitor: CustomerKey,
    /// The slot of the key.
    pub slot: u32,
    /// The number of the latest decision.
    pub decisions: u32,
    /// The contacts in the books over all customers.
    pub before: Vec<Contact>,
}

/// What is written of a person who is erased: nothing that says who it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// The salted hash by which the person is recognised.
    pub mark: u128,
    /// The slot of the key; [`seal::NO_SLOT`] when nothing was kept of the person.
    pub slot: u32,
    /// The number of the latest decision when it is ahead of the clock, else 0.
    pub decisions: u32,
}

/// What a record is about, read without the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About<'a> {
    /// A customer.
    Customer(Who),
    /// A catalog that came into force.
    Activation(&'a [u8]),
    /// People who were erased.
    Erased(Vec<Erased>),
    /// Something else.
    Other,
}

/// Reads what a record is about; `None` when another program wrote it.
#[must_use]
pub fn about(bytes: &[u8]) -> Option<About<'_>> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        kind::SEALED => Some(About::Customer(Who::Slot(seal::slot_of(rest)?))),
        kind::ACTIVATION => Some(About::Activation(rest)),
        kind::CHANGE | kind::BEGINNING | kind::FORGOTTEN => {
            let key = u128::from_le_bytes(*rest.first_chunk()?);
            Some(About::Customer(Who::Key(CustomerKey::from_packed(key))))
        }
        kind::ERASED => read::erased(rest).map(About::Erased),
        kind::READMITTED | kind::CONVERTED => Some(About::Other),
        _ => None,
    }
}

/// A record that is being written, in memory that is reused.
#[derive(Debug, Default)]
pub struct Draft {
    bytes: Vec<u8>,
    has_entries: bool,
    /// Whether it is not about one person.
    is_plain: bool,
    seal: Seal,
    /// The joined visitor whose contacts the entries are about, if they are.
    visitor: Option<CustomerKey>,
    /// The customer as the store has them, while that is what a decision sees; otherwise empty.
    stored: Vec<u8>,
    sealed: Vec<u8>,
}

impl Draft {
    /// Says with whose key the next records are sealed; none for somebody who has no key yet.
    pub fn is_of(&mut self, seal: Seal) {
        self.seal = seal;
        self.visitor = None;
        self.stored.clear();
    }

    /// Says that a decision sees the customer as the store has them, in these bytes.
    pub fn sees_as_stored(&mut self, block: &[u8]) {
        self.stored.clear();
        self.stored.extend_from_slice(block);
    }

    /// Says that the next entries are about contacts of a visitor that is joined to the customer.
    pub const fn is_about(&mut self, visitor: CustomerKey) {
        self.visitor = Some(visitor);
    }

    /// Returns the key with which records are sealed.
    #[must_use]
    pub const fn seal(&self) -> Seal {
        self.seal
    }

    /// Begins the record of a change of a customer; with the id for somebody new.
    pub fn begin(&mut self, id: Option<&CustomerId>, generation: u64, at: Timestamp) {
        self.clear(false);
        self.bytes
            .push(if id.is_some() { kind::BEGINNING } else { kind::CHANGE });
        if let Some(id) = id {
            packed::pack_id(id, &mut self.bytes);
            self.has_entries = true;
        }
        let mut writer = Writer::new(&mut self.bytes);
        writer.unsigned(generation);
        writer.instant(at);
    }

    /// Begins and ends the record of a customer who is forgotten, with the joined visitors.
    pub fn forget(&mut self, key: CustomerKey, profile: &Profile) {
        self.clear(false);
        self.has_entries = true;
        self.bytes.push(kind::FORGOTTEN);
        self.bytes.extend_from_slice(&key.get().to_le_bytes());
        Writer::new(&mut self.bytes).unsigned(u64::from(profile.decisions));
        self.before(&profile.contacts);
        for joined in &profile.joined {
            let mut writer = Writer::new(&mut self.bytes);
            writer.unsigned(tag::OF_VISITOR);
            writer.key(joined.visitor.key());
            writer.unsigned(u64::from(joined.slot));
            writer.unsigned(u64::from(joined.profile.decisions));
            self.before(&joined.profile.contacts);
        }
    }

    /// Makes the record of a catalog that comes into force.
    pub fn activate(&mut self, description: &[u8]) {
        self.plain(kind::ACTIVATION, description);
    }

    /// Makes the record of a person who is erased: the joined visitors, and last the customer.
    pub fn erase(&mut self, all: &[Erased]) {
        self.plain(kind::ERASED, &[]);
        for erased in all {
            self.bytes.extend_from_slice(&erased.mark.to_le_bytes());
            self.bytes.extend_from_slice(&erased.slot.to_le_bytes());
            self.bytes.extend_from_slice(&erased.decisions.to_le_bytes());
        }
    }

    /// Makes the record of an erased person who may be known again.
    pub fn readmit(&mut self, mark: u128) {
        self.plain(kind::READMITTED, &mark.to_le_bytes());
    }

    /// Makes the record that all before it was sealed.
    pub fn convert(&mut self) {
        self.plain(kind::CONVERTED, &[]);
    }

    fn plain(&mut self, kind: u8, content: &[u8]) {
        self.clear(true);
        self.has_entries = true;
        self.bytes.push(kind);
        self.bytes.extend_from_slice(content);
    }

    fn clear(&mut self, is_plain: bool) {
        self.bytes.clear();
        self.has_entries = false;
        self.is_plain = is_plain;
    }

    /// Notes an entry.
    pub fn entry(&mut self, entry: &Entry) {
        self.has_entries = true;
        let mut writer = Writer::new(&mut self.bytes);
        if let Some(visitor) = self.visitor {
            writer.unsigned(tag::OF_VISITOR);
            writer.key(visitor);
        }
        pack_entry(entry, &mut writer);
    }

    /// Notes the entry of a decision.
    pub fn decision(&mut self, reservation: &Reservation) {
        self.has_entries = true;
        pack_reservation(reservation, &mut Writer::new(&mut self.bytes));
    }

    /// Notes what contacts in the books over all customers were before the entries.
    pub fn before(&mut self, contacts: &[Contact]) {
        let counted = || contacts.iter().filter(|contact| contact.in_volumes);
        let count = counted().count();
        if count == 0 {
            return;
        }
        let mut writer = Writer::new(&mut self.bytes);
        writer.unsigned(tag::BEFORE);
        writer.length(count);
        for contact in counted() {
            writer.unsigned(u64::from(contact.decision));
            writer.unsigned(u64::from(contact.offer.get()));
            writer.unsigned(u64::from(contact.channel.get()));
            writer.unsigned(u64::from(contact.placement.get()));
            let times = contact.times.iter().chain([&contact.cancelled]);
            let reported = times
                .clone()
                .rev()
                .fold(0, |bits, time| bits << 1 | u64::from(time.is_some()));
            writer.unsigned(reported);
            for time in times.flatten() {
                writer.instant(*time);
            }
        }
    }

    /// Notes what a decision saw: `block` writes the customer, where it does not see them as stored.
    pub fn seen(&mut self, seen: &Seen, block: impl FnOnce(&mut Vec<u8>)) {
        let mut writer = Writer::new(&mut self.bytes);
        writer.unsigned(tag::SEEN);
        writer.fixed(seen.answer);
        let flags =
            usize::from(seen.known) + 2 * usize::from(seen.duplicates) + 4 * usize::from(seen.steering.is_some());
        writer.length(seen.placements.len() * 8 + flags);
        for (placement, count) in &seen.placements {
            writer.unsigned(u64::from(placement.get()));
            writer.unsigned(u64::from(*count));
        }
        writer.length(seen.context.len());
        for value in &seen.context {
            writer.value(Symbol::from_packed(0), *value, &mut 0);
        }
        if let Some((first, barred)) = &seen.steering {
            for offers in [first, barred] {
                writer.length(offers.len());
                for offer in offers {
                    writer.unsigned(u64::from(offer.get()));
                }
            }
        }
        writer.length(seen.rooms.len());
        self.bytes.extend_from_slice(&seen.rooms);
        // The length of the block comes before it, in as many bytes as it may need.
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        if self.stored.is_empty() {
            block(&mut self.bytes);
        } else {
            self.bytes.extend_from_slice(&self.stored);
        }
        let length = u32::try_from(self.bytes.len() - at - 4).unwrap_or(u32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Returns where it is now, to come back to.
    #[must_use]
    pub const fn mark(&self) -> (usize, bool) {
        (self.bytes.len(), self.has_entries)
    }

    /// Goes back to where it was.
    pub fn back_to(&mut self, (length, has_entries): (usize, bool)) {
        self.bytes.truncate(length);
        self.has_entries = has_entries;
    }

    /// Tells whether there is anything to write.
    #[must_use]
    pub const fn has_record(&self) -> bool {
        self.has_entries
    }

    /// Returns the record as it is written; `take` gives a key to somebody who has none yet.
    ///
    /// # Errors
    /// What `take` says.
    pub fn record<E>(&mut self, nonces: &Nonces, take: impl FnOnce() -> Result<Seal, E>) -> Result<&[u8], E> {
        if self.is_plain {
            return Ok(&self.bytes);
        }
        if self.seal.is_none() {
            self.seal = take()?;
        }
        self.sealed.clear();
        self.sealed.push(kind::SEALED);
        self.seal.seal(nonces, Purpose::Record, &self.bytes, &mut self.sealed);
        Ok(&self.sealed)
    }
}

fn pack_entry(entry: &Entry, writer: &mut Writer<'_>) {
    match entry {
        Entry::Profile(change) => pack_profile(change, writer),
        Entry::Event(event) => pack_event(event, writer),
        Entry::Decision(reservation) => pack_reservation(reservation, writer),
        Entry::Outcome { report, received_at } => {
            writer.unsigned(tag::OUTCOME);
            writer.unsigned(u64::from(report.decision));
            writer.unsigned(u64::from(report.offer.get()));
            writer.option(report.placement);
            writer.unsigned(report.outcome.index() as u64);
            writer.instant(report.at);
            writer.instant(*received_at);
        }
        Entry::Cancel(cancellation) => {
            writer.unsigned(tag::CANCEL);
            writer.unsigned(u64::from(cancellation.decision));
            writer.option(cancellation.offer);
            writer.option(cancellation.placement);
            writer.instant(cancellation.at);
        }
        Entry::Joined(joined) => {
            writer.unsigned(tag::JOINED);
            pack_joined(joined, writer);
        }
        Entry::Parted(visitor) => {
            writer.unsigned(tag::PARTED);
            writer.key(*visitor);
        }
        Entry::Restored(profile) => {
            writer.unsigned(tag::RESTORED);
            // Without an id, which the record has.
            writer.block(|bytes| {
                bytes.push(0);
                packed::pack(profile, bytes);
            });
        }
        Entry::OfVisitor { visitor, entry } => {
            writer.unsigned(tag::OF_VISITOR);
            writer.key(*visitor);
            pack_entry(entry, writer);
        }
    }
}

fn pack_profile(change: &ProfileChange, writer: &mut Writer<'_>) {
    writer.unsigned(tag::PROFILE);
    writer.length(change.attributes.len() * 2 + usize::from(change.replace));
    let mut before = 0;
    for &(symbol, value) in &change.attributes {
        writer.value(symbol, value, &mut before);
    }
    writer.length(change.opt_outs.len());
    for &(channel, opted_out) in &change.opt_outs {
        writer.unsigned(u64::from(channel.get()) * 2 + u64::from(opted_out));
    }
    writer.unsigned(three(change.opt_out_of_all));
    writer.length(change.consents.len());
    for consent in &change.consents {
        writer.unsigned(u64::from(consent.purpose.get()));
        writer.option(consent.channel);
        writer.unsigned(three(consent.granted));
    }
}

const fn three(answer: Option<bool>) -> u64 {
    match answer {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    }
}

fn pack_event(event: &Event, writer: &mut Writer<'_>) {
    writer.unsigned(tag::EVENT);
    writer.fixed(event.id_hash);
    writer.unsigned(u64::from(event.event_type.get()));
    writer.instant(event.time);
    writer.option(event.channel);
    writer.option(event.place);
    writer.length(event.attributes.len() * 2 + usize::from(event.session_hash.is_some()));
    if let Some(session_hash) = event.session_hash {
        writer.fixed(session_hash);
    }
    let mut before = 0;
    for &(symbol, value) in &event.attributes {
        writer.value(symbol, value, &mut before);
    }
}

fn pack_reservation(reservation: &Reservation, writer: &mut Writer<'_>) {
    writer.unsigned(tag::DECISION);
    writer.unsigned(u64::from(reservation.decision));
    writer.unsigned(u64::from(reservation.channel.get()));
    writer.option(reservation.campaign);
    writer.instant(reservation.at);
    let flags = usize::from(reservation.in_volumes) + 2 * usize::from(reservation.request.is_some());
    writer.length(reservation.contacts.len() * 4 + flags);
    for (placement, offer) in &reservation.contacts {
        writer.unsigned(u64::from(placement.get()));
        writer.unsigned(u64::from(offer.get()));
    }
    if let Some(key) = reservation.request {
        writer.fixed(key.id);
        writer.fixed(key.body);
    }
}
