//! Answers: what is shown, what is withheld, and why.
//!
//! Explanations are data; prose is made at the edge. Positions refer to the catalog version that the answer names.

use std::sync::Arc;

use super::ids::{DecisionId, short_hash_of};
use super::time::Timestamp;

/// Where an offer's propensity came from: the ladder, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// The model scored it now, or for the list before, when it saw the same of this customer.
    Model,
    /// The model's first stage scored it now, and it was not among the best that the model then scored itself: it stands behind those,
    /// its score lowered where it has to be.
    FirstStage,
    /// The model could not; this is the last score that it, or its first stage, gave for this customer and offer.
    LastGood,
    /// No model scores this offer, or it could not and never had: the catalog's start propensity.
    Start,
}

impl Rung {
    /// All of them, best first.
    pub const ALL: [Self; 4] = [Self::Model, Self::FirstStage, Self::LastGood, Self::Start];

    /// Returns its name in metrics, traces and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::FirstStage => "first_stage",
            Self::LastGood => "last_good",
            Self::Start => "start",
        }
    }

    /// Returns its number in a [`fingerprint`], which stays what it was when a rung is added: recorded answers have it.
    const fn number(self) -> u64 {
        match self {
            Self::Model => 0,
            Self::LastGood => 1,
            Self::Start => 2,
            Self::FirstStage => 3,
        }
    }
}

/// The four factors of a priority; a factor that the catalog switches off is 1 in the product, but shown as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// How likely the customer is to accept, 0 to 1.
    pub propensity: f64,
    /// How much current intents speak for it; 1 when none does.
    pub context_weight: f64,
    /// What an acceptance is worth, in the catalog's unit.
    pub value: f64,
    /// The business's thumb on the scale; 1 is neutral.
    pub lever: f64,
}

/// One offer's place in a customer's ranking, before contact policy and placement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Position of the offer in the catalog.
    pub offer: u16,
    /// Where the propensity came from.
    pub rung: Rung,
    /// The model's, its first stage's or the start propensity, 0 to 1.
    pub propensity: f32,
    /// The context weight.
    pub context_weight: f32,
    /// The product of the factors that are switched on.
    pub priority: f64,
}

/// All offers that passed hard suppression, eligibility, applicability and suitability, best first. The same for every
/// channel and placement, unless the catalog's conditions read the request context.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// The offers: by priority, highest first, then by offer id.
    pub offers: Vec<Ranked>,
    /// Whether others passed that stand behind all of these and were left out.
    pub is_cut: bool,
    /// Until when time alone cannot change this list.
    pub valid_until: Timestamp,
}

/// The stages of a decision, in order. An offer is withheld by the first stage that stops it; only what a placement or
/// channel never shows is said before a cap is asked, since no waiting helps there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Opt-out, unknown customer by policy, consent, hold-outs, validity dates.
    HardSuppression,
    /// May have it at all.
    Eligibility,
    /// Makes sense now.
    Applicability,
    /// Is in the customer's interest.
    Suitability,
    /// Quiet hours, caps, cool-downs, attempt limits, volumes.
    ContactPolicy,
    /// Placement rules, and better offers.
    Placement,
}

/// Why an offer is not shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Withheld {
    /// Position of the offer in the catalog.
    pub offer: usize,
    /// Position of the placement in the request, for reasons that hold for that placement only.
    pub placement: Option<usize>,
    /// The stage that stopped it.
    pub stage: Stage,
    /// The rule that stopped it, as in the catalog: `group.rule`, `offer.rule`, a cap's id, or a built-in name.
    pub rule: Arc<str>,
    /// What the catalog's author wrote as its reason; empty when nothing was written.
    pub because: Arc<str>,
    /// Of a condition that `&&` joins from parts: the first part that does not hold, as it is written.
    pub part: Option<Arc<str>>,
    /// What could not be judged because it is not known, as in `profile.age`.
    pub missing: Option<Arc<str>>,
    /// For a contact limit: how many contacts count now; for a cool-down, how many began the rest.
    pub count: Option<u32>,
    /// For a contact limit: how many are allowed; for a cool-down, how many begin the rest.
    pub limit: Option<u32>,
    /// When time alone lifts this reason, if it does.
    pub eligible_again_at: Option<Timestamp>,
}

/// One offer in one placement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// Position of the offer in the catalog.
    pub offer: usize,
    /// The offer's place in this placement, from 1.
    pub rank: usize,
    /// The product of the factors that are switched on.
    pub priority: f64,
    /// Each factor.
    pub factors: Factors,
    /// Where the propensity came from.
    pub rung: Rung,
    /// Whether the offer's control content is shown, since the customer is in a hold-out that shows it.
    pub control: bool,
}

/// What fills one placement.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    /// Position of the placement in the catalog.
    pub placement: usize,
    /// The offers, best first; fewer than asked for, or none, when no more qualify.
    pub offers: Vec<Shown>,
    /// Whether the placement's fallback content applies: nothing qualified.
    pub fallback: bool,
}

/// Hashes what is shown, bit for bit: two answers of the same catalog with the same hash show the same offers in the same places,
/// for the same priorities.
#[must_use]
pub fn fingerprint(placements: &[Filled]) -> u64 {
    let mut bytes = Vec::with_capacity(64 * placements.len());
    let mut number = |number: u64| bytes.extend_from_slice(&number.to_le_bytes());
    for filled in placements {
        number(filled.placement as u64);
        number(u64::from(filled.fallback));
        for shown in &filled.offers {
            let Factors {
                propensity,
                context_weight,
                value,
                lever,
            } = shown.factors;
            for real in [shown.priority, propensity, context_weight, value, lever] {
                number(real.to_bits());
            }
            number(shown.offer as u64);
            number(shown.rank as u64);
            number(shown.rung.number());
            number(u64::from(shown.control));
        }
    }
    short_hash_of(&bytes)
}

/// The answer to a request for offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// By which outcomes refer to this decision; absent when nothing was reserved: a preview, or no offer.
    pub id: Option<DecisionId>,
    /// The version of the profile that the decision saw: after the events of the call, before its own reservation.
    pub profile_version: u64,
    /// Whether the customer was known.
    pub known_customer: bool,
    /// The moment of the decision.
    pub decided_at: Timestamp,
    /// Until when time alone cannot change the answer.
    pub valid_until: Timestamp,
    /// The lowest rung of the ladder among the offers shown that a model should score; of the others when there is none.
    pub rung: Rung,
    /// Whether the ranking came from the customer's cached list.
    pub cached: bool,
    /// One per requested placement, in the order of the request.
    pub placements: Vec<Filled>,
    /// Every offer that is not shown, with everything that keeps it out of a placement, the reason first; empty unless asked
    /// for.
    pub withheld: Vec<Withheld>,
    /// Positions in the catalog of the hold-outs that the customer is in, whether or not they withheld anything.
    pub hold_outs: Vec<usize>,
}
