//! What a ranking multiplies, in columns: a decision with ten thousand offers reads two numbers of each, and the offers
//! themselves lie far apart.

use std::collections::HashMap;

use super::Offer;

/// Values, levers and intent weights of all offers, by position.
#[derive(Debug, Default)]
pub struct Worth {
    /// What an acceptance is worth.
    pub values: Vec<f64>,
    /// The business's thumb on the scale.
    pub levers: Vec<f64>,
    /// Which of `weights` the offer has.
    pub weights_of: Vec<u16>,
    /// The different lists of intent weights, as in [`Offer::intents`]: most offers have their group's.
    pub weights: Vec<Vec<(usize, f64)>>,
}

impl Worth {
    /// Lays out the columns.
    #[must_use]
    pub fn new(offers: &[Offer]) -> Self {
        let mut known: HashMap<Vec<(usize, u64)>, u16> = HashMap::new();
        let mut worth = Self::default();
        for offer in offers {
            worth.values.push(offer.value);
            worth.levers.push(offer.lever);
            let bits = offer.intents.iter().map(|&(intent, weight)| (intent, weight.to_bits()));
            // No more lists than offers, of which there are 65,535 at most.
            let next = u16::try_from(worth.weights.len()).unwrap_or(u16::MAX);
            let place = *known.entry(bits.collect()).or_insert(next);
            if place == next {
                worth.weights.push(offer.intents.clone());
            }
            worth.weights_of.push(place);
        }
        worth
    }
}
