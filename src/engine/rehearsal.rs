//! Making recorded decisions outside any engine, by the catalog of then or by another one, on whatever profile is at hand.
//!
//! The steps are those of the conductor, with nothing around them: no cached list, no lock, no reservation, no journal. That they
//! are the same is proved by the recorded hash of each answer. Instead of building reasons, it tells what stopped each offer first,
//! which costs next to nothing, since the decision had to find that out anyway.

use super::replay::Recorded;
use super::steps::records_known_only;
use super::{Active, Workspace, ranking};
use crate::catalog::{Catalog, Volume};
use crate::decision::barrier::Barrier;
use crate::decision::fill::{self, Stopped};
use crate::decision::gate::{self, Failure};
use crate::decision::steer::Steering;
use crate::decision::volumes::{self, Room, Rooms};
use crate::decision::{hold_out, unite};
use crate::domain::decision::{Filled, Ranked, Ranking};
use crate::domain::ids::CustomerKey;
use crate::domain::profile::Profile;
use crate::domain::request::{OffersRequest, PlacementRequest};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// What stopped an offer first, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// One rule withheld everything.
    Everything(&'static str),
    /// The offer at this position did not pass the gate.
    Gate(usize, Failure),
    /// The offer at this position had its turn in a placement, in vain.
    Turn(usize, Stopped),
}

/// A recorded decision that is to be made.
#[derive(Clone, Copy)]
pub struct Rehearsed<'a> {
    /// By which catalog and models.
    pub active: &'a Active,
    /// What is asked, by that catalog.
    pub request: &'a OffersRequest,
    /// For whom.
    pub key: CustomerKey,
    /// Whether the customer is known.
    pub is_known: bool,
    /// What that catalog's volumes have left.
    pub rooms: &'a Rooms,
    /// What a plan over many customers says.
    pub steering: Option<Steering<'a>>,
    /// The moment.
    pub now: Timestamp,
}

/// What one thread reuses from decision to decision.
#[derive(Default)]
pub struct Rehearsal(Workspace);

impl Rehearsal {
    /// Decides on a profile and tells `note` of everything that was stopped. Nothing is changed.
    pub fn decide(&mut self, asked: &Rehearsed<'_>, profile: &Profile, note: &mut dyn FnMut(Blocked)) -> Vec<Filled> {
        let &Rehearsed {
            active, request, now, ..
        } = asked;
        let catalog = &*active.catalog;
        let customer = request.customer.as_ref();
        let is_left_out = customer.is_some_and(|customer| records_known_only(catalog, customer));
        let rule = if !asked.is_known && is_left_out {
            Some(fill::UNKNOWN_CUSTOMER)
        } else {
            fill::suppression(catalog, profile, request, now)
        };
        if let Some(rule) = rule {
            note(Blocked::Everything(rule));
            return fill::suppressed(request, rule, now).placements;
        }
        let profile = &*unite::view(profile);
        let workspace = &mut self.0;
        let (ranking, _) = ranking::rank_now(active, request, profile, None, true, now, workspace);
        gate::first_failures(
            catalog,
            &workspace.layout,
            &request.context,
            now,
            &workspace.survivors,
            |offer, failure| note(Blocked::Gate(offer, failure)),
        );
        let steered = asked.steering.map(|steering| steering.apply(&ranking, usize::MAX));
        let hold_outs = hold_out::of(catalog, Some(asked.key));
        let barrier = Barrier {
            catalog,
            profile,
            channel: catalog.channels[request.channel].symbol,
            hold_outs: &hold_outs,
            suppressed: None,
        };
        let ranking = steered.as_ref().unwrap_or(&ranking);
        let mut turn = |offer, stopped| note(Blocked::Turn(offer, stopped));
        fill::fill_noting(ranking, &barrier, request, now, asked.rooms, &mut turn).placements
    }
}

impl Rehearsal {
    /// Makes a customer's ranked list, as a live call does that has no list at hand. Also tells whether every model answered.
    pub fn rank(
        &mut self,
        active: &Active,
        request: &OffersRequest,
        profile: &Profile,
        now: Timestamp,
    ) -> (Ranking, bool) {
        ranking::rank_now(active, request, profile, None, false, now, &mut self.0)
    }

    /// Returns the entries of all offers that passed when [`Rehearsal::rank`] was last called, in no order.
    #[must_use]
    pub fn ranked(&self) -> &[Ranked] {
        &self.0.unsorted
    }
}

/// Why a catalog cannot be asked what another one was asked; a server would have refused the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// The channel is gone.
    #[error("channel `{0}` is gone")]
    Channel(String),
    /// The campaign is gone.
    #[error("campaign `{0}` is gone")]
    Campaign(String),
    /// The placement is gone.
    #[error("placement `{0}` is gone")]
    Placement(String),
    /// The placement is not there on the channel.
    #[error("placement `{0}` is not there on the channel `{1}`")]
    NotThere(String, String),
    /// More offers were asked for than the placement takes.
    #[error("placement `{0}` takes at most {1}, and {2} were asked for")]
    TooMany(String, usize, u32),
}

/// What a plan said, by positions: the offers that come first, and which stay out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    first: Vec<u16>,
    barred: Vec<bool>,
}

impl Plan {
    /// Returns it as a decision takes it.
    #[must_use]
    pub fn steering(&self) -> Steering<'_> {
        Steering {
            first: &self.first,
            barred: &self.barred,
        }
    }
}

impl Recorded {
    /// Returns what was asked, by the catalog that was asked; `None` when the record does not fit it.
    #[must_use]
    pub fn as_then(&self, then: &Catalog) -> Option<OffersRequest> {
        self.request(then, false).map(|(_, request)| request)
    }

    /// Returns what another catalog is asked in the place of the one of then, whose request this is.
    ///
    /// # Errors
    /// When a server with the other catalog would refuse the call.
    pub fn asked_of(
        &self,
        other: &Catalog,
        (then, request): (&Catalog, &OffersRequest),
    ) -> Result<OffersRequest, Unasked> {
        let name = |symbol: Symbol| other.symbols.name(symbol).to_owned();
        let channel = other.channels.iter().position(|channel| channel.symbol == self.channel);
        let channel = channel.ok_or_else(|| Unasked::Channel(name(self.channel)))?;
        let campaign = self.campaign.map(|symbol| {
            let found = other.campaigns.iter().position(|campaign| campaign.symbol == symbol);
            found.ok_or_else(|| Unasked::Campaign(name(symbol)))
        });
        let mut placements = Vec::with_capacity(self.seen.placements.len());
        for &(symbol, count) in &self.seen.placements {
            let found = other.placements.iter().position(|placement| placement.symbol == symbol);
            let placement = found.ok_or_else(|| Unasked::Placement(name(symbol)))?;
            let count_max = other.placements[placement].count_max;
            if !other.placements[placement].channels[channel] {
                return Err(Unasked::NotThere(name(symbol), name(self.channel)));
            }
            let wanted = usize::try_from(count).ok().filter(|&count| count <= count_max);
            let count = wanted.ok_or_else(|| Unasked::TooMany(name(symbol), count_max, count))?;
            placements.push(PlacementRequest { placement, count });
        }
        // What the request says goes by name; a new attribute is not known.
        let value = |symbol: Symbol| {
            let at = then.context.positions.get(symbol);
            at.and_then(|at| self.seen.context.get(at)).copied().unwrap_or_default()
        };
        let attributes = other.context.attributes.iter();
        let mut context: Vec<Value> = attributes.map(|attribute| value(attribute.symbol)).collect();
        if let Some(first) = context.first_mut() {
            *first = Value::Category(self.channel);
        }
        Ok(OffersRequest {
            customer: request.customer.clone(),
            channel,
            campaign: campaign.transpose()?,
            placements,
            duplicates: request.duplicates,
            context,
            events: Vec::new(),
            explain: false,
            preview: true,
        })
    }

    /// Returns what the plan said that steered it, by the positions of a catalog; offers that it does not have are left out.
    #[must_use]
    pub fn plan(&self, catalog: &Catalog) -> Option<Plan> {
        let (first, barred) = self.seen.steering.as_ref()?;
        let position = |&symbol: &Symbol| catalog.offer_positions.get(symbol);
        let mut plan = Plan {
            first: first.iter().filter_map(position).flat_map(u16::try_from).collect(),
            barred: vec![false; catalog.offers.len()],
        };
        for offer in barred.iter().filter_map(position) {
            plan.barred[offer] = true;
        }
        Some(plan)
    }
}

/// How the volumes of one catalog take over what was recorded under those of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successors(Vec<Successor>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Successor {
    /// It has what the one at this position had left.
    Same(usize),
    /// It counts what the one at this position counted, and allows another number.
    Recounted(usize),
    /// Nothing is known of what it would have counted, so it stops nobody.
    Unknown,
}

impl Successors {
    /// Finds for each volume of `other` the one of `then` that counts the same.
    #[must_use]
    pub fn find(then: &Catalog, other: &Catalog) -> Self {
        let successor = |volume: &Volume| {
            let found = then.volumes.iter().position(|before| before.id == volume.id);
            let Some(at) = found.filter(|&at| count_alike((then, &then.volumes[at]), (other, volume))) else {
                return Successor::Unknown;
            };
            let before = &then.volumes[at];
            if (before.at_most, before.is_paced) == (volume.at_most, volume.is_paced) {
                Successor::Same(at)
            } else {
                Successor::Recounted(at)
            }
        };
        Self(other.volumes.iter().map(successor).collect())
    }

    /// Returns the positions of the volumes of which nothing is known.
    pub fn unknown(&self) -> impl Iterator<Item = usize> + '_ {
        let all = self.0.iter().enumerate();
        all.filter(|(_, successor)| **successor == Successor::Unknown)
            .map(|(at, _)| at)
    }

    /// Returns what the volumes of `other` have left when those of then had this.
    #[must_use]
    pub fn rooms(&self, recorded: &Rooms, other: &Catalog, now: Timestamp) -> Rooms {
        let room = |(successor, volume): (&Successor, &Volume)| {
            let anew = |count: u32| {
                let window = volumes::window(other, volume, now);
                Room::new(volume, window, u64::from(count), now)
            };
            let recorded = |at: usize| recorded.list().get(at);
            match *successor {
                Successor::Same(at) => recorded(at).cloned(),
                Successor::Recounted(at) => recorded(at).map(|room| anew(room.count)),
                Successor::Unknown => None,
            }
            .unwrap_or_else(|| Room::open(volume, volumes::window(other, volume, now), now))
        };
        Rooms::new(self.0.iter().zip(&other.volumes).map(room).collect())
    }
}

/// Tells whether two volumes count the same contacts in the same windows.
fn count_alike((then, before): (&Catalog, &Volume), (other, volume): (&Catalog, &Volume)) -> bool {
    let offers = other.offers.iter().zip(&volume.contacts.offers);
    let same_offers = offers.into_iter().all(|(offer, &counts)| {
        let at = then.offer_positions.get(offer.symbol);
        at.is_none_or(|at| before.contacts.offers[at] == counts)
    });
    same_offers
        && (before.counted, before.per) == (volume.counted, volume.per)
        && (then.week_starts == other.week_starts && then.time_zone == other.time_zone)
        && other.channels.iter().all(|channel| {
            before.contacts.channels.takes(channel.symbol) == volume.contacts.channels.takes(channel.symbol)
        })
}
