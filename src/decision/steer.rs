//! Steering one decision from outside: which offers come first, and which stay out.
//!
//! A plan over many customers ([`super::assign`]) has decided who gets the scarce offers. Its word goes before the
//! customer's own order; what no plan has a say in fills the rest, and the contact policy stands above both.

use crate::domain::decision::Ranking;

/// What a plan says about one customer.
#[derive(Clone, Copy, Debug)]
pub struct Steering<'a> {
    /// Offers that come first, by position; among themselves they stay in the customer's order.
    pub first: &'a [u16],
    /// By the offer's position: whether it stays out unless it is among the first.
    pub barred: &'a [bool],
}

impl Steering<'_> {
    /// Returns the ranking as the plan wants it. Nothing is in it that was not there before.
    #[must_use]
    pub fn apply(&self, ranking: &Ranking) -> Ranking {
        let is_first = |offer: u16| self.first.contains(&offer);
        let is_barred = |offer: u16| self.barred.get(usize::from(offer)) == Some(&true);
        let first = ranking.offers.iter().filter(|ranked| is_first(ranked.offer));
        let rest = ranking
            .offers
            .iter()
            .filter(|ranked| !is_first(ranked.offer) && !is_barred(ranked.offer));
        Ranking {
            offers: first.chain(rest).copied().collect(),
            is_cut: ranking.is_cut,
            valid_until: ranking.valid_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::{Ranked, Rung};
    use crate::domain::time::Timestamp;

    #[test]
    fn a_plan_puts_its_offers_first_and_others_of_its_kind_out() {
        let ranked = |offer| Ranked {
            offer,
            rung: Rung::Start,
            propensity: 0.5,
            context_weight: 1.0,
            priority: f64::from(10 - offer),
        };
        let ranking = Ranking {
            offers: (0..5).map(ranked).collect(),
            is_cut: false,
            valid_until: Timestamp::FAR_FUTURE,
        };
        let steering = Steering {
            first: &[4, 2, 9],
            barred: &[true, false, true, false, true],
        };
        let order: Vec<u16> = steering
            .apply(&ranking)
            .offers
            .iter()
            .map(|ranked| ranked.offer)
            .collect();
        assert_eq!(order, [2, 4, 1, 3], "0 is barred, and 9 is not in the ranking");
    }
}
