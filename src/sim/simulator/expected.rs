//! What an answer must be, worked out from the blueprint and the customer's log alone.

use crate::catalog::Catalog;
use crate::domain::decision::{Decision, Rung, Stage, Withheld};
use crate::domain::profile::{CONTACTS_KEPT, CONTACTS_MAX};
use crate::domain::time::Timestamp;
use crate::model::Scorer as _;

use super::blueprint::{Blueprint, CHANNELS, GROUPS, Offer, OfferId, PLACEMENTS};
use super::condition::View;
use super::limits::{Candidate, Tally};
use super::person::{Contact, Happening, Person, takes};
use super::rulebook::Policy;
use super::volumes::{self, Room};

/// A question.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is said or not by itself")]
pub(super) struct Ask {
    pub(super) channel: usize,
    pub(super) page: Option<usize>,
    pub(super) campaign: Option<usize>,
    /// Each placement, and how many offers are wanted.
    pub(super) placements: Vec<(usize, usize)>,
    pub(super) duplicates: bool,
    pub(super) explain: bool,
    pub(super) preview: bool,
    /// Whether no id is given.
    pub(super) nobody: bool,
    pub(super) events: Vec<Happening>,
}

/// An offer with its place in the ranking.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ranked {
    pub(super) offer: OfferId,
    pub(super) propensity: f32,
    pub(super) scored: bool,
    rung: Rung,
    context_weight: f32,
    value: f64,
    lever: f64,
    priority: f64,
    control: bool,
}

/// Why an offer is not shown.
#[derive(Clone, Debug, PartialEq)]
struct Reason {
    offer: OfferId,
    placement: Option<usize>,
    stage: Stage,
    rule: String,
    is_missing: bool,
    count: Option<usize>,
    limit: Option<usize>,
    again: Option<Timestamp>,
    /// Whether it may also be said to come later than that.
    is_bound: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    known: bool,
    pub(super) ranking: Vec<Ranked>,
    pub(super) placements: Vec<Vec<Ranked>>,
    reasons: Vec<Reason>,
    /// Whether nothing is shown, whatever there is, and nothing further was asked.
    pub(super) suppressed: bool,
    /// Whether that is because the contact history is full.
    pub(super) full: bool,
    /// What the model saw, apart from the offer; empty where it has none to score.
    pub(super) row: Vec<f32>,
    /// What became of the model.
    pub(super) model: ModelState,
    held: Vec<&'static str>,
}

/// What the model does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelState {
    Works,
    Fails,
    /// It fails, but it is not asked: the list was made before, or its scores are those of the list before.
    FailsUnseen,
}

/// Puts a ranking in the order of a plan, which may leave some out.
pub(super) type Order<'a> = &'a dyn Fn(&[Ranked]) -> Vec<Ranked>;

/// Works out the answer; the events of the question are in the log already. `known` is whether there was a profile before. In the order of a
/// plan, reasons are left out.
pub(super) fn answer(
    bank: &Blueprint,
    person: &Person,
    known: bool,
    ask: &Ask,
    now: Timestamp,
    (model, rooms, order): (ModelState, &[Room], Option<Order<'_>>),
) -> Expected {
    let withheld = |rule: &str| -> Vec<Reason> {
        let of = |offer: &Offer| Reason::plain(offer, None, Stage::HardSuppression, rule);
        if ask.explain {
            bank.offers.iter().map(of).collect()
        } else {
            Vec::new()
        }
    };
    if !known && !bank.begins_unknown && !person.id.is_anonymous() {
        return Expected {
            known: false,
            ranking: Vec::new(),
            placements: vec![Vec::new(); ask.placements.len()],
            reasons: if order.is_some() {
                Vec::new()
            } else {
                withheld("unknown-customer")
            },
            suppressed: true,
            full: false,
            row: Vec::new(),
            model,
            held: bank.gates.held(&person.id, ask),
        };
    }
    let mut view = person.view(now, bank);
    (view.channel, view.page) = (ask.channel, ask.page);
    let mut ranking = Vec::new();
    let full = is_full(person, ask, now, bank);
    let suppressed = if person.opted_out_of_all || person.opt_outs[ask.channel] {
        Some("opt-out")
    } else {
        full.then_some("contact-history-full")
    };
    let mut reasons = suppressed.map_or_else(Vec::new, withheld);
    for offer in &bank.offers {
        let rules = bars(bank, offer, person, ask).into_iter();
        reasons.extend(rules.map(|rule| Reason::plain(offer, None, Stage::HardSuppression, rule)));
    }
    let mut passed = Vec::new();
    for offer in &bank.offers {
        view.rate = offer.rate;
        let stops = gate(offer, &view, bank);
        if stops.is_empty() {
            passed.push(offer);
        }
        reasons.extend(stops);
    }
    // The same offer stands for all of them: of the others only what they are differs, which no event changes.
    let row = bank.offers.iter().find(|offer| is_scored(offer));
    let row = row.map_or_else(Vec::new, |offer| person.row(offer, &view, bank));
    let model = if model == ModelState::Fails && has_scores(person, &row, &passed) {
        ModelState::FailsUnseen
    } else {
        model
    };
    for offer in passed {
        view.rate = offer.rate;
        ranking.push(rank(offer, &view, person, bank, model));
    }
    ranking.sort_by(|one, other| {
        other
            .priority
            .total_cmp(&one.priority)
            .then_with(|| one.offer.cmp(&other.offer))
    });
    let sight = (now, rooms, suppressed.is_some());
    let in_order = order.map(|order| order(&ranking));
    let ranked = in_order.as_ref().unwrap_or(&ranking);
    let placements = fill(bank, person, ask, sight, ranked, &mut reasons);
    if !ask.explain || order.is_some() {
        reasons.clear();
    }
    Expected {
        known,
        ranking,
        placements,
        reasons,
        suppressed: suppressed.is_some() && !ask.explain,
        full: suppressed.is_some() && full,
        row,
        model,
        held: bank.gates.held(&person.id, ask),
    }
}

fn bars(bank: &Blueprint, offer: &Offer, person: &Person, ask: &Ask) -> Vec<&'static str> {
    let is_exempt = bank.policy_of(offer) != Policy::Applies;
    bank.gates.bars(offer, is_exempt, person, ask)
}

fn is_full(person: &Person, ask: &Ask, now: Timestamp, bank: &Blueprint) -> bool {
    let wanted: usize = ask
        .placements
        .iter()
        .map(|(_, count)| *count.min(&bank.offers.len()))
        .sum();
    let contacts = person.contacts.len();
    if contacts + wanted <= CONTACTS_MAX || contacts < CONTACTS_KEPT {
        return false;
    }
    let tally = Tally::new(bank, person, now);
    (0..contacts).all(|position| tally.needs(position))
}

/// Says which dates and conditions stop an offer.
fn gate(offer: &Offer, view: &View, bank: &Blueprint) -> Vec<Reason> {
    let mut stops = Vec::new();
    if view.now < offer.valid.0 {
        let reason = Reason::plain(offer, None, Stage::HardSuppression, "not-yet-valid");
        stops.push(Reason {
            again: Some(offer.valid.0),
            ..reason
        });
    }
    if view.now >= offer.valid.1 {
        stops.push(Reason::plain(offer, None, Stage::HardSuppression, "no-longer-valid"));
    }
    for (stage, name) in [
        (Stage::Eligibility, "eligibility"),
        (Stage::Applicability, "applicability"),
        (Stage::Suitability, "suitability"),
    ] {
        for (owner, rules) in [
            (GROUPS[offer.group], &bank.groups[offer.group].rules),
            (offer.id.name(), &offer.rules),
        ] {
            for rule in rules.iter().filter(|rule| rule.stage == stage) {
                let truth = rule.condition.truth(view);
                if truth != Some(true) {
                    let reason = Reason::plain(offer, None, stage, &format!("{owner}.{name}"));
                    stops.push(Reason {
                        is_missing: truth.is_none(),
                        ..reason
                    });
                }
            }
        }
    }
    stops
}

const fn is_scored(offer: &Offer) -> bool {
    offer.group == 0
}

/// Tells whether the list before has the score of each offer that the model would be asked for, and it saw the same then.
fn has_scores(person: &Person, row: &[f32], passed: &[&Offer]) -> bool {
    let has_score = |offer: &Offer| person.good_scores.iter().any(|(id, _)| *id == offer.id);
    let mut asked = passed.iter().filter(|offer| is_scored(offer)).peekable();
    asked.peek().is_some() && person.good_row == row && asked.all(|offer| has_score(offer))
}

fn rank(offer: &Offer, view: &View, person: &Person, bank: &Blueprint, model: ModelState) -> Ranked {
    let scored = is_scored(offer);
    #[expect(clippy::cast_possible_truncation, reason = "propensities have 32 bits")]
    let start = offer.start_propensity as f32;
    let last_good = person
        .good_scores
        .iter()
        .find(|(id, _)| *id == offer.id)
        .map(|(_, score)| *score);
    let (propensity, rung) = match (scored && bank.model_loads, model, last_good) {
        (false, ..) | (true, ModelState::Fails, None) => (start, Rung::Start),
        (true, ModelState::Fails, Some(score)) => (score, Rung::LastGood),
        (true, ..) => {
            let mut score = [0.0];
            let _ = bank.scorer().score(&person.row(offer, view, bank), &mut score);
            (score[0], Rung::Model)
        }
    };
    let mut weight = 1.0;
    for (speaks_for, strength) in bank.groups[offer.group].intents.iter().zip(view.intents) {
        weight += speaks_for.map_or(0.0, |speaks_for| speaks_for * strength);
    }
    #[expect(clippy::cast_possible_truncation, reason = "context weights are rounded to 32 bits")]
    let context_weight = f64::max(weight, 0.0) as f32;
    let factors = [
        f64::from(propensity),
        f64::from(context_weight),
        offer.value,
        offer.lever,
    ];
    let on = factors.iter().zip(bank.switches).filter(|(_, on)| *on);
    Ranked {
        offer: offer.id,
        propensity,
        scored,
        rung,
        context_weight,
        value: offer.value,
        lever: offer.lever,
        priority: on.map(|(factor, _)| factor).product(),
        control: false,
    }
}

fn fill(
    bank: &Blueprint,
    person: &Person,
    ask: &Ask,
    (now, rooms, suppressed): (Timestamp, &[Room], bool),
    ranking: &[Ranked],
    reasons: &mut Vec<Reason>,
) -> Vec<Vec<Ranked>> {
    let mut tally = Tally::new(bank, person, now);
    let quiet = bank.gates.quiet(ask.channel, bank.clock_of(person).zone, now);
    let before = tally.contacts.len();
    let mut placements = Vec::new();
    for (at, &(placement, count)) in ask.placements.iter().enumerate() {
        let first = tally.contacts.len();
        let mut filled = Vec::new();
        for ranked in ranking {
            let Some(offer) = bank.offer(ranked.offer) else {
                continue;
            };
            let here = &tally.contacts[first..];
            let of_group = here.iter().filter(|contact| {
                bank.offer(contact.offer)
                    .is_some_and(|other| other.group == offer.group)
            });
            let group_max = PLACEMENTS[placement].per_group_max;
            let mut earlier = tally.contacts[before..first].iter();
            let of_placement = [
                ("not-for-this-placement", !takes(placement, offer, bank)),
                ("no-treatment-for-channel", !offer.treatments[ask.channel]),
                (
                    "shown-in-earlier-placement",
                    !ask.duplicates && earlier.any(|contact| contact.offer == offer.id),
                ),
                (
                    "enough-of-this-group",
                    group_max.is_some_and(|most| of_group.count() >= most),
                ),
            ];
            let plain = |rule: &str| Reason::plain(offer, Some(at), Stage::Placement, rule);
            let met = of_placement.iter().filter(|(_, is_met)| *is_met);
            let mut obstacles: Vec<Reason> = met.map(|(rule, _)| plain(rule)).collect();
            let is_exempt = bank.policy_of(offer) != Policy::Applies;
            let rule = format!("{}.quiet", CHANNELS[ask.channel].0);
            obstacles.extend(quiet.filter(|_| !is_exempt).map(|silence| Reason {
                again: silence.ends_at,
                ..Reason::plain(offer, Some(at), Stage::ContactPolicy, &rule)
            }));
            let candidate = Candidate {
                offer,
                channel: ask.channel,
                placement,
                campaign: ask.campaign,
            };
            obstacles.extend(tally.stops(candidate, ask.nobody).into_iter().map(|stop| Reason {
                count: stop.count,
                limit: Some(stop.limit),
                again: stop.again,
                ..Reason::plain(offer, Some(at), Stage::ContactPolicy, &stop.rule)
            }));
            let chosen = &tally.contacts[before..];
            let of_volumes = volumes::stops(bank, rooms, candidate, chosen, ask.nobody, now).into_iter();
            obstacles.extend(of_volumes.map(|stop| Reason {
                count: stop.count,
                limit: Some(stop.limit),
                again: stop.again,
                is_bound: stop.is_bound,
                ..Reason::plain(offer, Some(at), Stage::ContactPolicy, &stop.rule)
            }));
            if filled.len() == count {
                obstacles.push(plain("outranked"));
            }
            if !suppressed && obstacles.is_empty() && bars(bank, offer, person, ask).is_empty() {
                let mut times = [None; 7];
                times[0] = Some(now);
                tally.push(Contact {
                    // Later than any other.
                    decision: u32::MAX,
                    offer: offer.id,
                    channel: ask.channel,
                    placement,
                    campaign: ask.campaign,
                    times,
                    cancelled: false,
                    serial: usize::MAX,
                });
                filled.push(Ranked {
                    control: bank.gates.shows_control(offer, is_exempt, person, ask),
                    ..ranked.clone()
                });
            }
            reasons.extend(obstacles);
        }
        placements.push(filled);
    }
    placements
}

impl Reason {
    fn plain(offer: &Offer, placement: Option<usize>, stage: Stage, rule: &str) -> Self {
        Self {
            offer: offer.id,
            placement,
            stage,
            rule: rule.to_owned(),
            is_missing: false,
            count: None,
            limit: None,
            again: None,
            is_bound: false,
        }
    }

    fn of(withheld: &Withheld, catalog: &Catalog) -> Self {
        let number = |number: Option<u32>| number.and_then(|number| usize::try_from(number).ok());
        Self {
            offer: named(catalog, withheld.offer),
            placement: withheld.placement,
            stage: withheld.stage,
            rule: withheld.rule.to_string(),
            is_missing: withheld.missing.is_some(),
            count: number(withheld.count),
            limit: number(withheld.limit),
            again: withheld.eligible_again_at,
            is_bound: false,
        }
    }
}

/// Returns which offer stands at a position of the catalog.
pub(super) fn named(catalog: &Catalog, offer: usize) -> OfferId {
    OfferId::named(&catalog.offers[offer].id).unwrap_or(OfferId::NONE)
}

/// Compares an answer with what it must be.
pub(super) fn compare(decision: &Decision, catalog: &Catalog, ask: &Ask, expected: &Expected) -> Result<(), String> {
    let differs = |what: &str, found: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug| {
        Err(format!("{what}\n  expected {wanted:?}\n  found    {found:?}"))
    };
    if decision.known_customer != expected.known {
        return differs("known customer", &decision.known_customer, &expected.known);
    }
    let held: Vec<&str> = decision
        .hold_outs
        .iter()
        .map(|&at| &*catalog.hold_outs[at].id)
        .collect();
    if held != expected.held {
        return differs("hold-outs", &held, &expected.held);
    }
    if decision.placements.len() != expected.placements.len() {
        return differs(
            "number of placements",
            &decision.placements.len(),
            &expected.placements.len(),
        );
    }
    for (filled, (wanted, (placement, _))) in decision
        .placements
        .iter()
        .zip(expected.placements.iter().zip(&ask.placements))
    {
        let offers = filled.offers.iter().map(|shown| Ranked {
            offer: named(catalog, shown.offer),
            #[expect(clippy::cast_possible_truncation, reason = "it came from 32 bits")]
            propensity: shown.factors.propensity as f32,
            scored: wanted
                .get(shown.rank.wrapping_sub(1))
                .is_some_and(|ranked| ranked.scored),
            rung: shown.rung,
            #[expect(clippy::cast_possible_truncation, reason = "it came from 32 bits")]
            context_weight: shown.factors.context_weight as f32,
            value: shown.factors.value,
            lever: shown.factors.lever,
            priority: shown.priority,
            control: shown.control,
        });
        let found: Vec<Ranked> = offers.collect();
        if found != *wanted {
            return differs(&format!("offers in `{}`", PLACEMENTS[*placement].id), &found, wanted);
        }
        let ranks: Vec<usize> = filled.offers.iter().map(|shown| shown.rank).collect();
        if !ranks.iter().copied().eq(1..=ranks.len()) || filled.fallback != wanted.is_empty() {
            return differs("ranks and fallback", &(&ranks, filled.fallback), &wanted.is_empty());
        }
    }
    let shown = || expected.placements.iter().flatten();
    let lowest_scored = shown().filter(|ranked| ranked.scored).map(|ranked| ranked.rung).max();
    let lowest = lowest_scored
        .or(shown().map(|ranked| ranked.rung).max())
        .unwrap_or(Rung::Model);
    if decision.rung != lowest {
        return differs("lowest rung", &decision.rung, &lowest);
    }
    let mut found: Vec<Reason> = decision
        .withheld
        .iter()
        .map(|withheld| Reason::of(withheld, catalog))
        .collect();
    let mut wanted = expected.reasons.clone();
    // Several of one offer in one placement stay in their order.
    for reasons in [&mut found, &mut wanted] {
        reasons.sort_by_key(|reason| (reason.offer, reason.placement));
    }
    for (found, wanted) in found.iter().zip(&mut wanted) {
        // No offer is said to be free before it is.
        if wanted.is_bound && found.again >= wanted.again {
            (wanted.again, wanted.is_bound) = (found.again, false);
        }
    }
    if let Some((found, wanted)) = found.iter().zip(&wanted).find(|(found, wanted)| found != wanted) {
        return differs("reason", found, wanted);
    }
    if found.len() != wanted.len() {
        return differs("reasons", &found, &wanted);
    }
    let some = expected.placements.iter().any(|filled| !filled.is_empty());
    if decision.id.is_some() != (some && !ask.preview) {
        return differs("decision id", &decision.id, &(some && !ask.preview));
    }
    if decision.valid_until <= decision.decided_at && !expected.full {
        return differs(
            "valid until",
            &decision.valid_until,
            &format!("later than {}", decision.decided_at),
        );
    }
    Ok(())
}
