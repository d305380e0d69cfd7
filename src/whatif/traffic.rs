//! What the journal's records say that a simulation has to know. Nothing else here reads a record.

use crate::domain::entry::Entry;
use crate::domain::symbol::Symbol;
use crate::engine::{Activation, Recorded};
use crate::journal::{Found, Table};
use crate::store::packed;
use crate::store::record::{self, About, Opened, Record, Unread, Who};

/// One record that is about a customer.
pub(super) struct Happening {
    /// Whose record it is: somebody who was forgotten and came back is another.
    pub(super) who: Who,
    pub(super) what: What,
}

/// What happened to the customer.
pub(super) enum What {
    /// Offers were decided.
    Decided(Box<Decided>),
    /// Outcomes and cancellations were reported.
    Reported(Vec<Entry>),
    /// The customer was forgotten.
    Forgotten,
    /// Something that the profile of the next decision has anyway.
    Other,
}

/// A decision, with what it showed.
pub(super) struct Decided {
    pub(super) recorded: Recorded,
    /// (placement, offer), in the order of the answer.
    pub(super) shown: Vec<(Symbol, Symbol)>,
    pub(super) channel: Symbol,
    pub(super) campaign: Option<Symbol>,
    pub(super) in_volumes: bool,
}

/// Whom a record is about.
pub(super) enum Whose {
    Customer(Who),
    Nobody,
    /// Another release wrote it.
    Unknown,
}

/// Finds whom a record is about.
pub(super) fn whose(record: &[u8]) -> Whose {
    match record::about(record) {
        Some(About::Customer(who)) => Whose::Customer(who),
        Some(About::Activation(_) | About::Erased(_) | About::Other) => Whose::Nobody,
        None => Whose::Unknown,
    }
}

/// Returns the activation that a record is about; `None` for any other record.
#[must_use]
pub fn activation(record: &[u8]) -> Option<Activation> {
    match record::about(record)? {
        About::Activation(description) => Activation::read(description),
        About::Customer(_) | About::Erased(_) | About::Other => None,
    }
}

/// Reads a record about a customer, by the keys of the folder.
///
/// # Errors
/// Why it cannot be read: for one, because the customer was erased or forgotten since.
pub(super) fn read(number: u64, bytes: &[u8], keys: &Table) -> Result<Happening, Unread> {
    let key_of = |slot| match keys.find(slot) {
        Found::Live(seal) => Opened::With(seal),
        Found::Destroyed => Opened::Destroyed,
        Found::Unknown => Opened::Unknown,
    };
    let (who, generation, entries, seen) = match record::read(bytes, key_of)? {
        Record::Change {
            who,
            generation,
            entries,
            seen,
            ..
        } => (who, generation, entries, seen),
        Record::Forgotten { who, .. } => {
            let what = What::Forgotten;
            return Ok(Happening { who, what });
        }
        Record::Activation(_) | Record::Erased(_) | Record::Readmitted(_) | Record::Converted => {
            return Err(Unread::Foreign);
        }
    };
    let mut seen = seen;
    let mut reported = Vec::new();
    for entry in entries {
        match entry {
            Entry::Decision(reservation) => {
                let Some(seen) = seen.take() else { continue };
                let customer = packed::unpack_id(&seen.block).ok_or(Unread::Foreign)?;
                let recorded = Recorded::new(customer.key(), (number, generation), &reservation, *seen);
                let what = What::Decided(Box::new(Decided {
                    recorded,
                    shown: reservation.contacts,
                    channel: reservation.channel,
                    campaign: reservation.campaign,
                    in_volumes: reservation.in_volumes,
                }));
                return Ok(Happening { who, what });
            }
            Entry::Outcome { .. } | Entry::Cancel(_) => reported.push(entry),
            // Visitors who are joined, and what was reported of theirs, come with the profile of the next decision.
            Entry::Profile(_)
            | Entry::Event(_)
            | Entry::Joined(_)
            | Entry::Parted(_)
            | Entry::Restored(_)
            | Entry::OfVisitor { .. } => {}
        }
    }
    let what = if reported.is_empty() {
        What::Other
    } else {
        What::Reported(reported)
    };
    Ok(Happening { who, what })
}

/// Records on their way to a worker, one after the other in one piece of memory.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// The number of each record, and where it ends.
    ends: Vec<(u64, usize)>,
}

impl Batch {
    pub(super) fn push(&mut self, number: u64, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.ends.push((number, self.bytes.len()));
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(_, end)| end));
        let records = starts.zip(&self.ends);
        records.map(|(start, &(number, end))| (number, self.bytes.get(start..end).unwrap_or_default()))
    }
}
