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
    /// Returns the ranking as the plan wants it: those that come first, and at most so many others. Nothing is in it that was not
    /// there before.
    #[must_use]
    pub fn apply(&self, ranking: &Ranking, others_max: usize) -> Ranking {
        let is_first = |offer: u16| self.first.contains(&offer);
        let is_barred = |offer: u16| self.barred.get(usize::from(offer)) == Some(&true);
        let all = &ranking.offers;
        let mut offers = Vec::with_capacity(self.first.len() + others_max.min(all.len()));
        if !self.first.is_empty() {
            offers.extend(all.iter().filter(|ranked| is_first(ranked.offer)));
        }
        let mut others = all
            .iter()
            .filter(|ranked| !is_barred(ranked.offer) && !is_first(ranked.offer));
        offers.extend(others.by_ref().take(others_max));
        Ranking {
            offers,
            is_cut: ranking.is_cut || others.next().is_some(),
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
        let order = |others_max: usize| {
            let steered = steering.apply(&ranking, others_max);
            let offers: Vec<u16> = steered.offers.iter().map(|ranked| ranked.offer).collect();
            (offers, steered.is_cut)
        };
        assert_eq!(
            order(9),
            (vec![2, 4, 1, 3], false),
            "0 is barred, and 9 is not in the ranking"
        );
        assert_eq!(order(2), (vec![2, 4, 1, 3], false));
        assert_eq!(order(1), (vec![2, 4, 1], true), "3 is left out, and that is said");
    }
}
