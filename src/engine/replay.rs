//! Making a past decision again.
//!
//! The journal's record of a decision holds all that it saw: the customer's profile, the request, what the volumes had left, and which
//! catalog was in force. A decision is a function of these ([`crate`]), so it comes out the same again, bit for bit; the
//! record's hash of the answer proves it. Only when a model failed at that moment, and a lower rung of the ladder served, is
//! there something that is not kept; the hash tells then.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::call::Call;
use super::conductor::Conductor;
use super::ranking::Keep;
use super::{Active, Engine, Limits, Rejection, Workspace};
use crate::catalog::Catalog;
use crate::decision::steer::Steering;
use crate::decision::volumes::Rooms;
use crate::domain::decision::{Decision, Filled, fingerprint};
use crate::domain::entry::{Entry, Reservation};
use crate::domain::ids::{CustomerId, CustomerKey, DecisionId};
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, PlacementRequest};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::journal::{Journal, LogError};
use crate::store::Standing;
use crate::store::packed;
use crate::store::record::{self, About, Opened, Record, Seen, Who};
use crate::store::seal::Seal;

/// How many records are read at once: some tens of milliseconds.
const RECORDS_AT_ONCE: u64 = 100_000;

/// Why a decision cannot be made again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Nothing outlives the process.
    #[error("no journal is kept (`--durability none`), so no decision can be made again")]
    NoJournal,
    /// There is no record of it.
    #[error(
        "decision `{0}` is not in the journal: never made, longer ago than records are kept (`--keep-records`), or its customer was \
         forgotten since"
    )]
    Unknown(DecisionId),
    /// The customer was erased.
    #[error("the customer of decision `{0}` was erased: nothing that was kept about it can be read any more")]
    Erased(DecisionId),
    /// The journal cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The catalog of then cannot be built again.
    #[error("it was made by catalog {version}, which cannot be built again: {why}")]
    Catalog {
        /// Its version.
        version: String,
        /// Why.
        why: String,
    },
    /// The record does not fit the catalog.
    #[error("the record of decision `{0}` names what its catalog does not have; another release wrote it")]
    Unfit(DecisionId),
    /// The engine refused what it did not refuse then.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// A decision that was made again.
pub struct Replayed {
    /// The decision, with everything that is withheld and why.
    pub decision: Decision,
    /// What was asked then.
    pub request: OffersRequest,
    /// The catalog and models of then.
    pub active: Arc<Active>,
    /// The number of the decision's record in the journal.
    pub record: u64,
    /// Whether it shows the same as then, bit for bit.
    pub is_same: bool,
}

/// The record of a decision.
pub struct Recorded {
    id: DecisionId,
    number: u64,
    generation: u64,
    pub(super) channel: Symbol,
    pub(super) campaign: Option<Symbol>,
    at: Timestamp,
    pub(super) seen: Seen,
}

impl Recorded {
    /// Puts together what record `number` says of a decision.
    #[must_use]
    pub const fn new(
        customer: CustomerKey,
        (number, generation): (u64, u64),
        reservation: &Reservation,
        seen: Seen,
    ) -> Self {
        Self {
            id: DecisionId {
                customer,
                number: reservation.decision,
            },
            number,
            generation,
            channel: reservation.channel,
            campaign: reservation.campaign,
            at: reservation.at,
            seen,
        }
    }

    /// Returns which decision it is.
    #[must_use]
    pub const fn id(&self) -> DecisionId {
        self.id
    }

    /// Returns when it was made.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns the hash of what it showed.
    #[must_use]
    pub const fn answer(&self) -> u64 {
        self.seen.answer
    }

    /// Tells whether the customer was known.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.seen.known
    }

    /// Reads the profile that it saw into `profile`.
    pub fn profile(&self, profile: &mut Profile) {
        packed::unpack(&self.seen.block, profile);
    }

    /// Returns what the volumes had left; `None` when another program wrote it.
    #[must_use]
    pub fn rooms(&self) -> Option<Rooms> {
        if self.seen.rooms.is_empty() {
            return Some(Rooms::default());
        }
        serde_json::from_slice(&self.seen.rooms).ok()
    }

    /// Returns which activation's catalog decided.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }
}

/// Notes what a decision saw. The customer is written apart, without a copy.
pub(super) fn seen(call: &Call<'_>, rooms: &Rooms, placements: &[Filled], standing: Standing) -> Seen {
    let catalog = &*call.active.catalog;
    let symbol = |offer: usize| catalog.offers[offer].symbol;
    let steering = call.steering.map(|Steering { first, barred }| {
        let barred = barred.iter().enumerate().filter(|(_, barred)| **barred);
        (
            first.iter().map(|&offer| symbol(usize::from(offer))).collect(),
            barred.map(|(offer, _)| symbol(offer)).collect(),
        )
    });
    let asked = |asked: &PlacementRequest| {
        let count = u32::try_from(asked.count).unwrap_or(u32::MAX);
        (catalog.placements[asked.placement].symbol, count)
    };
    Seen {
        block: Vec::new(),
        known: standing == Standing::Known,
        placements: call.request.placements.iter().map(asked).collect(),
        duplicates: call.request.duplicates,
        context: call.request.context.clone(),
        steering,
        rooms: if rooms.list().is_empty() {
            Vec::new()
        } else {
            // Numbers can always be written as JSON.
            serde_json::to_vec(rooms).unwrap_or_default()
        },
        answer: fingerprint(placements),
    }
}

/// Writes the customer of a request as the decision sees them.
pub(super) fn pack(request: &OffersRequest, profile: &Profile, bytes: &mut Vec<u8>) {
    if let Some(customer) = &request.customer {
        packed::pack_id(customer, bytes);
        packed::pack(profile, bytes);
    }
}

impl Engine {
    /// Finds the record of a decision: reads the journal from its beginning, about a second for each gigabyte.
    ///
    /// # Errors
    /// When there is none, or the journal cannot be read.
    pub fn recorded(&self, id: DecisionId) -> Result<Recorded, ReplayError> {
        let journal = self.journal().ok_or(ReplayError::NoJournal)?;
        let joined = || self.aliases.get(id.customer).map(|alias| alias.seal);
        let Some(seal) = self.store.seal(id.customer).or_else(joined) else {
            return Err(if self.conductor.marks.have(id.customer) {
                ReplayError::Erased(id)
            } else {
                ReplayError::Unknown(id)
            });
        };
        let mut from = 1;
        loop {
            match look_for(journal, id, seal, from) {
                Err(ReplayError::Log(LogError::Trimmed { first })) if first > from => from = first,
                found => return found,
            }
        }
    }

    /// Makes a recorded decision again, on the catalog and models of then; with `explain`, says why each other offer was withheld.
    ///
    /// # Errors
    /// When the record does not fit the catalog.
    pub fn replay(recorded: &Recorded, active: Arc<Active>, explain: bool) -> Result<Replayed, ReplayError> {
        let id = recorded.id;
        let (customer, request) = recorded
            .request(&active.catalog, explain)
            .ok_or(ReplayError::Unfit(id))?;
        let rooms = recorded.rooms().ok_or(ReplayError::Unfit(id))?;
        let steering = recorded.seen.steering.as_ref();
        let steering =
            steering.map(|(first, barred)| steered(first, barred, &active.catalog).ok_or(ReplayError::Unfit(id)));
        let steering = steering.transpose()?;
        let mut profile = Profile::default();
        recorded.profile(&mut profile);
        let call = Call {
            active: &active,
            request: &request,
            once: None,
            rooms: Some(&rooms),
            steering: steering.as_ref().map(|(first, barred)| Steering { first, barred }),
            keep: Keep::No,
            key: Some(customer.key()),
            now: recorded.at,
            found: Cell::default(),
        };
        let conductor: Conductor = Conductor::new(&Limits {
            ranked_lists_bytes_max: 0,
            answers_bytes_max: 0,
            ..Limits::default()
        });
        let standing = if recorded.seen.known {
            Standing::Known
        } else {
            Standing::New
        };
        let made = conductor.decide(&call, None, &mut profile, standing, &mut Workspace::default())?;
        let decision = Decision {
            id: Some(id),
            ..made.decision
        };
        Ok(Replayed {
            is_same: fingerprint(&decision.placements) == recorded.seen.answer,
            decision,
            request,
            active,
            record: recorded.number,
        })
    }
}

fn look_for(journal: &Journal, id: DecisionId, seal: Seal, from: u64) -> Result<Recorded, ReplayError> {
    let mut found = None;
    let (mut from, last) = (from, journal.written());
    while found.is_none() && from <= last {
        let end = from.saturating_add(RECORDS_AT_ONCE);
        // Piece by piece, so that the journal can be shortened in between.
        journal.read(from, &mut |number, bytes| {
            if number >= end {
                return ControlFlow::Break(());
            }
            if record::about(bytes) == Some(About::Customer(Who::Slot(seal.slot()))) {
                found = decided(number, bytes, id, seal);
            }
            if found.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        from = end;
    }
    found.ok_or(ReplayError::Unknown(id))
}

fn decided(number: u64, bytes: &[u8], id: DecisionId, seal: Seal) -> Option<Recorded> {
    let Ok(Record::Change {
        generation,
        entries,
        seen: Some(seen),
        ..
    }) = record::read(bytes, |_| Opened::With(seal))
    else {
        return None;
    };
    entries.into_iter().find_map(|entry| match entry {
        Entry::Decision(reservation) if reservation.decision == id.number => Some(Recorded::new(
            id.customer,
            (number, generation),
            &reservation,
            Seen::clone(&seen),
        )),
        _ => None,
    })
}

impl Recorded {
    pub(super) fn request(&self, catalog: &Catalog, explain: bool) -> Option<(CustomerId, OffersRequest)> {
        let customer = packed::unpack_id(&self.seen.block)?;
        let channels = &catalog.channels;
        let campaigns = &catalog.campaigns;
        let placement = |&(symbol, count): &(Symbol, u32)| {
            let placement = catalog
                .placements
                .iter()
                .position(|placement| placement.symbol == symbol)?;
            let count = usize::try_from(count).ok()?;
            Some(PlacementRequest { placement, count })
        };
        let campaign = match self.campaign {
            Some(symbol) => Some(campaigns.iter().position(|campaign| campaign.symbol == symbol)?),
            None => None,
        };
        let request = OffersRequest {
            customer: Some(customer.clone()),
            channel: channels.iter().position(|channel| channel.symbol == self.channel)?,
            campaign,
            placements: self.seen.placements.iter().map(placement).collect::<Option<_>>()?,
            duplicates: self.seen.duplicates,
            context: self.seen.context.clone(),
            events: Vec::new(),
            explain,
            preview: true,
        };
        Some((customer, request))
    }
}

/// Returns what a plan said, by the catalog's positions: the offers that come first, and which stay out.
fn steered(first: &[Symbol], barred: &[Symbol], catalog: &Catalog) -> Option<(Vec<u16>, Vec<bool>)> {
    let position = |&symbol: &Symbol| catalog.offer_positions.get(symbol);
    let first = first.iter().map(|symbol| u16::try_from(position(symbol)?).ok());
    let mut is_barred = vec![false; catalog.offers.len()];
    for symbol in barred {
        is_barred[position(symbol)?] = true;
    }
    Some((first.collect::<Option<_>>()?, is_barred))
}
