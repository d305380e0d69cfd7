//! Answers of which most was encoded before.
//!
//! What a catalog says of an offer on a channel, its ids, name and content, is the same in every answer. To copy each text into a message,
//! to encode that, and to free it again took as long as the decision from a cached list. So it is encoded once for each catalog,
//! when it is first said, and an answer copies the bytes.
//!
//! Protobuf lets a message be written in parts, one behind the other. Every field here is written by the generated types; of the contract
//! this knows nothing but the numbers of the two lists that it writes around them.

use std::sync::{Arc, OnceLock};

use prost::Message;
use prost::bytes::{BufMut, Bytes};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::answer;
use crate::catalog::Catalog;
use crate::domain::decision::{Decision, Filled, Shown};
use crate::domain::request::OffersRequest;
use crate::engine::Active;
use crate::server::wire;

/// The number of `GetOffersResponse.placements`.
const PLACEMENTS: u32 = 2;
/// The number of `PlacementOffers.offers`.
const OFFERS: u32 = 2;

/// What a catalog says of its offers, encoded when it is first said.
pub struct Phrases {
    catalog: Arc<Catalog>,
    /// Offer by offer: without content, and then with that of each channel.
    offers: Box<[OnceLock<Bytes>]>,
}

impl Phrases {
    /// Makes those of a catalog.
    #[must_use]
    pub fn new(catalog: &Arc<Catalog>) -> Self {
        let slots = catalog.offers.len() * (catalog.channels.len() + 1);
        Self {
            catalog: Arc::clone(catalog),
            offers: (0..slots).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Tells whether these are of this catalog.
    #[must_use]
    pub fn are_of(&self, catalog: &Arc<Catalog>) -> bool {
        Arc::ptr_eq(&self.catalog, catalog)
    }

    fn slot(&self, offer: usize, channel: Option<usize>) -> usize {
        offer * (self.catalog.channels.len() + 1) + channel.map_or(0, |channel| channel + 1)
    }

    fn say(&self, offer: usize, channel: Option<usize>) -> &Bytes {
        let slot = &self.offers[self.slot(offer, channel)];
        slot.get_or_init(|| {
            answer::about(offer, &self.catalog, channel, false)
                .encode_to_vec()
                .into()
        })
    }
}

/// An answer to `GetOffers`.
pub struct Said {
    /// What is not in `placements`.
    rest: wire::GetOffersResponse,
    placements: Vec<Placement>,
}

struct Placement {
    /// Without its offers.
    rest: wire::PlacementOffers,
    offers: Vec<Offer>,
    /// The length of the whole when encoded.
    length: usize,
}

struct Offer {
    /// What is said in every answer.
    always: Bytes,
    /// What is said in this one.
    now: wire::RankedOffer,
    /// The length of both.
    length: usize,
}

impl Said {
    /// Puts a decision into words of the contract, the same as [`answer::offers`].
    #[must_use]
    pub fn new(
        decision: &Decision,
        request: &OffersRequest,
        active: &Active,
        omit_content: bool,
        phrases: &Phrases,
    ) -> Self {
        let channel = (!omit_content).then_some(request.channel);
        let placements = decision.placements.iter();
        Self {
            rest: answer::around(decision, request, active),
            placements: placements
                .map(|filled| Placement::new(filled, &active.catalog, channel, phrases))
                .collect(),
        }
    }

    /// Encodes it.
    pub fn encode(&self, bytes: &mut impl BufMut) {
        self.rest.encode_raw(bytes);
        for placement in &self.placements {
            begin(PLACEMENTS, placement.length, bytes);
            placement.rest.encode_raw(bytes);
            for offer in &placement.offers {
                begin(OFFERS, offer.length, bytes);
                bytes.put_slice(&offer.always);
                offer.now.encode_raw(bytes);
            }
        }
    }
}

impl From<wire::GetOffersResponse> for Said {
    fn from(rest: wire::GetOffersResponse) -> Self {
        Self {
            rest,
            placements: Vec::new(),
        }
    }
}

impl Placement {
    fn new(filled: &Filled, catalog: &Catalog, channel: Option<usize>, phrases: &Phrases) -> Self {
        let rest = answer::placement_around(filled, catalog, channel);
        let offers = filled.offers.iter();
        let offers: Vec<Offer> = offers
            .map(|shown| Offer::new(shown, catalog, channel, phrases))
            .collect();
        let of_offers: usize = offers.iter().map(|offer| length_in(OFFERS, offer.length)).sum();
        Self {
            length: rest.encoded_len() + of_offers,
            rest,
            offers,
        }
    }
}

impl Offer {
    fn new(shown: &Shown, catalog: &Catalog, channel: Option<usize>, phrases: &Phrases) -> Self {
        let mut now = answer::now(shown);
        let always = if shown.control {
            // Few are held out.
            now.content = answer::about(shown.offer, catalog, channel, true).content;
            phrases.say(shown.offer, None)
        } else {
            phrases.say(shown.offer, channel)
        };
        Self {
            length: always.len() + now.encoded_len(),
            always: always.clone(),
            now,
        }
    }
}

/// Returns how much a message of this length takes as an element of a list.
fn length_in(field: u32, length: usize) -> usize {
    prost::encoding::key_len(field) + encoded_len_varint(length as u64) + length
}

fn begin(field: u32, length: usize, bytes: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, bytes);
    encode_varint(length as u64, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::testing::{T0, catalog_with};
    use crate::domain::decision::{Factors, Rung};
    use crate::domain::ids::{CustomerId, DecisionId};
    use proptest::prelude::*;

    const CONTROL: &str = "offers:\n  - {id: fund_b, group: fund, name: B, control: {t: none of it}, \
                           treatments: {web: {t: long, u: longer}}}\n";

    prop_compose! {
        fn shown()(offer in 0..4_usize, rank in 0..300_usize, priority in 0.0..1e9_f64, propensity in 0.0..1.0_f64,
                   lever in -1.0..2.0_f64, rung in 0..4_usize, control in any::<bool>()) -> Shown {
            let factors = Factors { propensity, context_weight: 1.0, value: 10.0, lever };
            Shown { offer, rank, priority, factors, rung: Rung::ALL[rung], control }
        }
    }

    prop_compose! {
        fn decision()(filled in prop::collection::vec((0..2_usize, prop::collection::vec(shown(), 0..6)), 0..4),
                      number in proptest::option::of(1_u32..9), profile_version in any::<u64>(),
                      known_customer in any::<bool>(), cached in any::<bool>()) -> Decision {
            let placements = filled.into_iter().map(|(placement, offers)| Filled {
                placement,
                fallback: offers.is_empty(),
                offers,
            });
            let customer = CustomerId::known("anna").unwrap().key();
            Decision {
                id: number.map(|number| DecisionId { customer, number }),
                profile_version,
                known_customer,
                decided_at: T0,
                valid_until: T0,
                rung: Rung::Model,
                cached,
                placements: placements.collect(),
                withheld: Vec::new(),
                hold_outs: Vec::new(),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_said_in_parts_reads_as_the_message_that_is_made_whole(
            decision in decision(), channel in 0..2_usize, omit_content in any::<bool>(),
        ) {
            let active = Active::new(catalog_with(CONTROL), Vec::new());
            let request = OffersRequest {
                customer: None, channel, campaign: None, placements: Vec::new(), duplicates: false, context: Vec::new(),
                events: Vec::new(), explain: false, preview: false,
            };
            let whole = answer::offers(&decision, &request, &active, omit_content);
            let phrases = Phrases::new(&active.catalog);
            // The second time nothing is encoded anew.
            for _ in 0..2 {
                let said = Said::new(&decision, &request, &active, omit_content, &phrases);
                let mut bytes = Vec::new();
                said.encode(&mut bytes);
                prop_assert_eq!(bytes.len(), whole.encoded_len());
                prop_assert_eq!(&wire::GetOffersResponse::decode(&*bytes).unwrap(), &whole);
            }
        }
    }
}
