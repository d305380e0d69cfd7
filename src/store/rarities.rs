//! What few customers have, at the end of the packed form: nobody else pays a byte for it.

use crate::domain::contact::Contact;
use crate::domain::profile::{Joined, Precedence, Profile, RequestTrace};
use crate::domain::request::RequestKey;
use crate::domain::time::Timestamp;

use super::codec::{Reader, Writer};
use super::packed;

/// The kinds of rarities.
mod rarity {
    /// When contacts were cancelled.
    pub(super) const CANCELLED: u64 = 1;
    /// Which contacts are in the books over all customers.
    pub(super) const IN_VOLUMES: u64 = 2;
    /// The latest requests with an id.
    pub(super) const REQUESTS: u64 = 3;
    /// Which campaigns asked for contacts.
    pub(super) const CAMPAIGNS: u64 = 4;
    /// When something was reported of contacts that had happened before.
    pub(super) const BACKDATED: u64 = 5;
    /// The visitors that are joined.
    pub(super) const JOINED: u64 = 6;
}

/// Writes what few contacts have: how many they are, and for each how far it is from the one before, and what it has.
fn pack_sparse<T>(
    contacts: &[Contact],
    rarity: u64,
    writer: &mut Writer<'_>,
    of: impl Fn(&Contact) -> Option<T>,
    mut write: impl FnMut(&mut Writer<'_>, &Contact, T),
) {
    let having = || {
        let contacts = contacts.iter().enumerate();
        contacts.filter_map(|(at, contact)| Some((at, contact, of(contact)?)))
    };
    let count = having().count();
    if count == 0 {
        return;
    }
    writer.unsigned(rarity);
    writer.length(count);
    let mut before = 0;
    for (at, contact, value) in having() {
        writer.length(at - before);
        write(writer, contact, value);
        before = at;
    }
}

/// Writes how long after the decision something was.
fn pack_after_decision(writer: &mut Writer<'_>, contact: &Contact, time: Timestamp) {
    writer.signed(time.as_millis().wrapping_sub(contact.decided_at().as_millis()));
}

/// Appends what is there of it.
pub(super) fn pack_rarities(profile: &Profile, writer: &mut Writer<'_>) {
    let contacts = &profile.contacts;
    pack_sparse(
        contacts,
        rarity::CANCELLED,
        writer,
        |contact| contact.cancelled,
        pack_after_decision,
    );
    pack_sparse(
        contacts,
        rarity::BACKDATED,
        writer,
        |contact| contact.backdated,
        pack_after_decision,
    );
    let mut campaign = 0;
    pack_sparse(
        contacts,
        rarity::CAMPAIGNS,
        writer,
        |contact| contact.campaign,
        |writer, _, symbol| writer.symbol(symbol, &mut campaign),
    );
    if contacts.iter().any(|contact| contact.in_volumes) {
        writer.unsigned(rarity::IN_VOLUMES);
        // Lengths of runs: not in them, in them, not in them, and so on. Mostly all are.
        let mut begin = 0;
        let mut is_in = false;
        while begin < contacts.len() {
            let run = contacts[begin..]
                .iter()
                .take_while(|contact| contact.in_volumes == is_in)
                .count();
            writer.length(run);
            begin += run;
            is_in = !is_in;
        }
    }
    if !profile.requests.is_empty() {
        writer.unsigned(rarity::REQUESTS);
        writer.length(profile.requests.len());
        let mut before = 0;
        for trace in &profile.requests {
            writer.fixed(trace.key.id);
            writer.fixed(trace.key.body);
            writer.unsigned(u64::from(trace.decision.wrapping_sub(before)));
            before = trace.decision;
        }
    }
    if !profile.joined.is_empty() {
        writer.unsigned(rarity::JOINED);
        writer.length(profile.joined.len());
        for joined in &profile.joined {
            pack_joined(joined, writer);
        }
    }
}

/// Writes a joined visitor with its own profile.
pub(super) fn pack_joined(joined: &Joined, writer: &mut Writer<'_>) {
    let comes_first = joined.precedence == Precedence::Visitor;
    writer.length(usize::from(joined.known) + 2 * usize::from(comes_first));
    writer.signed(joined.merged_at.as_millis());
    writer.unsigned(u64::from(joined.slot));
    writer.block(|bytes| {
        packed::pack_id(&joined.visitor, bytes);
        packed::pack(&joined.profile, bytes);
    });
}

/// Reads what [`pack_joined`] wrote; `None` when the bytes are damaged.
pub(super) fn unpack_joined(reader: &mut Reader<'_>) -> Option<Joined> {
    let flags = reader.count();
    let merged_at = Timestamp::from_millis(reader.signed());
    let slot = u32::try_from(reader.unsigned()).ok()?;
    let block = reader.block();
    let mut profile = Profile::default();
    packed::unpack_alone(block, &mut profile);
    Some(Joined {
        visitor: packed::unpack_id(block)?,
        merged_at,
        precedence: if flags / 2 % 2 == 1 {
            Precedence::Visitor
        } else {
            Precedence::Customer
        },
        slot,
        known: flags % 2 == 1,
        profile,
    })
}

/// Reads what few contacts have; `read` gets the contact, or nothing when the bytes are damaged.
fn unpack_sparse(
    reader: &mut Reader<'_>,
    contacts: &mut [Contact],
    mut read: impl FnMut(&mut Reader<'_>, &mut Contact),
) {
    let mut at = 0_usize;
    for _ in 0..reader.length() {
        at = at.saturating_add(reader.count());
        let Some(contact) = contacts.get_mut(at) else { return };
        read(reader, contact);
    }
}

fn after_decision(reader: &mut Reader<'_>, contact: &Contact) -> Timestamp {
    let millis = contact.decided_at().as_millis().wrapping_add(reader.signed());
    Timestamp::from_millis(millis)
}

/// Reads it, up to the end of the bytes; of a visitor that is joined itself, which `is_alone`, without any further ones.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what was packed as a u32 comes back as one"
)]
pub(super) fn unpack_rarities(reader: &mut Reader<'_>, profile: &mut Profile, is_alone: bool) {
    let contacts = &mut profile.contacts;
    loop {
        match reader.unsigned() {
            rarity::CANCELLED => unpack_sparse(reader, contacts, |reader, contact| {
                contact.cancelled = Some(after_decision(reader, contact));
            }),
            rarity::BACKDATED => unpack_sparse(reader, contacts, |reader, contact| {
                contact.backdated = Some(after_decision(reader, contact));
            }),
            rarity::CAMPAIGNS => {
                let mut campaign = 0;
                unpack_sparse(reader, contacts, |reader, contact| {
                    contact.campaign = Some(reader.symbol(&mut campaign));
                });
            }
            rarity::IN_VOLUMES => unpack_runs(reader, contacts),
            rarity::REQUESTS => {
                let mut decision = 0_u32;
                for _ in 0..reader.length() {
                    let (id, body) = (reader.fixed(), reader.fixed());
                    decision = decision.wrapping_add(reader.unsigned() as u32);
                    let key = RequestKey { id, body };
                    profile.requests.push(RequestTrace { key, decision });
                }
            }
            rarity::JOINED if !is_alone => {
                for _ in 0..reader.length() {
                    let Some(joined) = unpack_joined(reader) else { return };
                    profile.joined.push(joined);
                }
            }
            // The end, or damage.
            _ => return,
        }
    }
}

fn unpack_runs(reader: &mut Reader<'_>, contacts: &mut [Contact]) {
    let mut begin = 0_usize;
    let mut is_in = false;
    while begin < contacts.len() && !reader.is_at_end() {
        let end = begin.saturating_add(reader.count()).min(contacts.len());
        for contact in &mut contacts[begin..end] {
            contact.in_volumes = is_in;
        }
        begin = end;
        is_in = !is_in;
    }
}
