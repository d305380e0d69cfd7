//! Splits a condition into clauses, all of which must hold: each a literal, or literals of which one must hold.
//!
//! A rule stops an offer unless it is true, so of three truth values only "true or not" counts here. Negations are pushed
//! down to the literals and `||` is spread over `&&`, under which that stays the same: an `&&` is true when both sides are,
//! and an `||` when one is, whatever else is unknown. A literal may then be anything that is true in the same cases: `!(x < 3)`
//! is `x >= 3`, since both are unknown without x.

use crate::rules::parse::Order;
use crate::rules::program::{Number, Slot, Test};
use crate::rules::scope::Space;
use crate::rules::typed::not;

/// How many clauses one alternative may become; what would become more stays one literal.
const CLAUSES_MAX: usize = 16;

/// Literals of which one must hold. An empty clause never holds.
pub(super) type Clause = Vec<Test>;

/// Returns the clauses of a condition, duplicates left out. A condition that always holds has none.
pub(super) fn clauses(test: &Test) -> Vec<Clause> {
    let mut clauses = conjuncts(test, false);
    for clause in &mut clauses {
        clause.retain(|literal| !is_unknown(literal));
    }
    clauses
}

/// Returns the clauses of a test, or of its negation.
fn conjuncts(test: &Test, is_negated: bool) -> Vec<Clause> {
    match (test, is_negated) {
        (Test::All(tests), false) | (Test::Any(tests), true) => {
            tests.iter().flat_map(|inner| conjuncts(inner, is_negated)).collect()
        }
        (Test::Any(tests), false) | (Test::All(tests), true) => {
            let parts = tests.iter().map(|inner| conjuncts(inner, is_negated));
            spread(parts).unwrap_or_else(|| vec![vec![literal(test, is_negated)]])
        }
        (Test::Not(inner), _) => conjuncts(inner, !is_negated),
        (Test::Constant(holds), _) => {
            if *holds == is_negated {
                vec![Vec::new()]
            } else {
                Vec::new()
            }
        }
        _ => vec![vec![literal(test, is_negated)]],
    }
}

/// Makes clauses of alternatives, each a list of clauses; `None` when they are too many.
fn spread(alternatives: impl Iterator<Item = Vec<Clause>>) -> Option<Vec<Clause>> {
    let mut spread: Vec<Clause> = vec![Vec::new()];
    for alternative in alternatives {
        if spread.len() * alternative.len() > CLAUSES_MAX {
            return None;
        }
        let joined = spread.iter().flat_map(|before| {
            alternative.iter().map(|clause| {
                let mut clause_of_both = before.clone();
                clause_of_both.extend(clause.iter().cloned());
                clause_of_both
            })
        });
        spread = joined.collect();
    }
    Some(spread)
}

fn literal(test: &Test, is_negated: bool) -> Test {
    if !is_negated {
        return test.clone();
    }
    match test {
        Test::NumberIs(slot, order, constant) => Test::NumberIs(*slot, opposite(*order), *constant),
        Test::Numbers(order, numbers) => Test::Numbers(opposite(*order), numbers.clone()),
        Test::Moments(order, moments) => Test::Moments(opposite(*order), moments.clone()),
        other => not(other.clone()),
    }
}

/// Returns the order that holds when this one does not. No number is NaN.
const fn opposite(order: Order) -> Order {
    match order {
        Order::Equal => Order::NotEqual,
        Order::NotEqual => Order::Equal,
        Order::Less => Order::GreaterOrEqual,
        Order::LessOrEqual => Order::Greater,
        Order::Greater => Order::LessOrEqual,
        Order::GreaterOrEqual => Order::Less,
    }
}

/// Tells whether a literal is unknown for every customer, since the offer does not have what it reads.
fn is_unknown(literal: &Test) -> bool {
    let is_absent = |slot: &Slot| slot.space == Space::Offer;
    match literal {
        Test::Not(inner) => is_unknown(inner),
        Test::Boolean(slot)
        | Test::NumberIs(slot, ..)
        | Test::CategoryIs(slot, _)
        | Test::CategoryIn(slot, _)
        | Test::SetHas(slot, _) => is_absent(slot),
        Test::Categories(left, right) | Test::SetHasCategory(left, right, _) => is_absent(left) || is_absent(right),
        Test::Numbers(_, numbers) => numbers.iter().any(is_number_unknown),
        Test::NumberIn(number, _) => is_number_unknown(number),
        _ => false,
    }
}

fn is_number_unknown(number: &Number) -> bool {
    match number {
        Number::Read(slot) | Number::Size(slot) => slot.space == Space::Offer,
        Number::Negate(inner) => is_number_unknown(inner),
        Number::Calculate(_, numbers) => numbers.iter().any(is_number_unknown),
        Number::Constant(_) | Number::Choose(_) | Number::Calendar(_) => false,
    }
}
