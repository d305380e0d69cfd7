//! Comparisons of moments as limits on one number: `now - profile.opened >= duration("90d")` limits now less opened, and so
//! does every other such condition with another span.

use crate::domain::time::Timestamp;
use crate::rules::evaluate;
use crate::rules::facts::Facts;
use crate::rules::parse::Order;
use crate::rules::program::{Moment, Slot};

use super::thresholds::Side;

/// A sum of moments without its constants: so many times `now`, and so many times each of some variables. The first of
/// these factors that is not zero is positive, so two ways to write the same make the same line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// How far it moves for each millisecond that `now` moves, never negative.
    pub(super) speed: i128,
    terms: Box<[(Slot, i128)]>,
}

impl Line {
    /// Returns the sum in milliseconds; `None` when a variable is not known.
    pub(super) fn value(&self, facts: &Facts<'_>) -> Option<i128> {
        let mut sum = self.speed * i128::from(facts.now.as_millis());
        for &(slot, times) in &self.terms {
            sum += times * i128::from(evaluate::time(slot, facts)?.as_millis());
        }
        Some(sum)
    }

    /// Returns when a line of this value, which is below the limit, reaches it. The line must move.
    pub(super) fn reaches(&self, value: i128, limit: i128, now: Timestamp) -> Timestamp {
        later(now, (limit - value + self.speed - 1) / self.speed)
    }

    /// Returns when a line of this value, which is not above the limit, exceeds it. The line must move.
    pub(super) fn exceeds(&self, value: i128, limit: i128, now: Timestamp) -> Timestamp {
        later(now, (limit - value) / self.speed + 1)
    }
}

fn later(now: Timestamp, distance: i128) -> Timestamp {
    let instant = i64::try_from(i128::from(now.as_millis()) + distance).unwrap_or(i64::MAX);
    Timestamp::from_millis(instant)
}

/// Returns the line that a comparison limits, from which side, and by how much; `None` for what is no such limit.
pub(super) fn limit(order: Order, moments: &[Moment; 2]) -> Option<(Line, Side, i128)> {
    let mut sum = Sum::default();
    sum.add(&moments[0], 1)?;
    sum.add(&moments[1], -1)?;
    // A variable that cancels out must still be known.
    if sum.terms.iter().any(|&(_, times)| times == 0) {
        return None;
    }
    sum.terms.sort_unstable();
    let first = Some(sum.speed).filter(|&speed| speed != 0);
    let first = first.or(sum.terms.first().map(|&(_, times)| times))?;
    let sign = first.signum();
    let order = if sign < 0 { order.mirrored() } else { order };
    let line = Line {
        speed: sum.speed * sign,
        terms: sum.terms.iter().map(|&(slot, times)| (slot, times * sign)).collect(),
    };
    let constant = -sum.constant * sign;
    let (side, limit) = match order {
        Order::GreaterOrEqual => (Side::Below, constant),
        Order::Greater => (Side::Below, constant + 1),
        Order::LessOrEqual => (Side::Above, constant),
        Order::Less => (Side::Above, constant - 1),
        Order::Equal | Order::NotEqual => return None,
    };
    Some((line, side, limit))
}

#[derive(Default)]
struct Sum {
    speed: i128,
    terms: Vec<(Slot, i128)>,
    constant: i128,
}

impl Sum {
    /// Adds a moment so many times; `None` for one that is no plain sum.
    fn add(&mut self, moment: &Moment, times: i128) -> Option<()> {
        match moment {
            Moment::Constant(millis) => self.constant += times * i128::from(*millis),
            Moment::Now => self.speed += times,
            Moment::Read(slot) => match self.terms.iter_mut().find(|(known, _)| known == slot) {
                Some((_, known)) => *known += times,
                None => self.terms.push((*slot, times)),
            },
            Moment::Plus(moments) => {
                self.add(&moments[0], times)?;
                self.add(&moments[1], times)?;
            }
            Moment::Minus(moments) => {
                self.add(&moments[0], times)?;
                self.add(&moments[1], -times)?;
            }
            Moment::Choose(_) => return None,
        }
        Some(())
    }
}
