//! What is known at one instant, laid out for conditions and features.
//!
//! Behaviour is seen in steps, never as a continuous decay, so everything here is exact until a stated instant:
//!
//! * a count or sum with step `s` and `n` steps covers the current step and the `n - 1` before it, so between
//!   `(n - 1) × s` and `n × s` back; it changes when the oldest gathered step leaves;
//! * a recency is the number of whole steps since the latest event; it changes when the next step is full;
//! * an intent's strength is the sum over its latest events of weight × what the decay keeps at the event's age,
//!   at most the intent's maximum; it changes when an event passes an age at which the decay steps;
//! * sessions count while their latest event lies within the window.

use crate::catalog::{Aggregate, AggregateKind, Catalog, Intent};
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;
use crate::rules::Facts;

use super::fold::{SUM_SCALE, step_of};

/// The laid out values, reused from decision to decision.
#[derive(Debug, Default)]
pub struct Layout {
    /// One per attribute of the profile schema.
    pub profile: Vec<Value>,
    /// One per aggregate.
    pub behaviour: Vec<Value>,
    /// One per intent: its strength.
    pub intent: Vec<Value>,
}

impl Layout {
    /// Lays out a profile at `now` and returns until when the values that rankings read stay the same if only time passes.
    pub fn fill(&mut self, catalog: &Catalog, profile: &Profile, now: Timestamp) -> Timestamp {
        self.profile.clear();
        self.profile.resize(catalog.profile.attributes.len(), Value::Missing);
        for (attribute, value) in &profile.attributes {
            if let Some(position) = catalog.profile.positions.get(*attribute) {
                self.profile[position] = *value;
            }
        }
        let mut valid_until = Timestamp::FAR_FUTURE;
        self.behaviour.clear();
        for (aggregate, &is_read) in catalog.aggregates.iter().zip(&catalog.reads.aggregates) {
            let (value, until) = behaviour(aggregate, profile, now);
            self.behaviour.push(value);
            valid_until = if is_read { valid_until.min(until) } else { valid_until };
        }
        self.intent.clear();
        for (intent, &is_read) in catalog.intents.iter().zip(&catalog.reads.intents) {
            let (strength, until) = strength(intent, profile, now);
            self.intent.push(Value::Number(strength));
            valid_until = if is_read { valid_until.min(until) } else { valid_until };
        }
        valid_until
    }

    /// Returns the facts for one offer.
    #[must_use]
    pub fn facts<'a>(&'a self, offer: &'a [Value], context: &'a [Value], now: Timestamp) -> Facts<'a> {
        Facts {
            profile: &self.profile,
            offer,
            behaviour: &self.behaviour,
            intent: &self.intent,
            context,
            event: &[],
            now,
        }
    }
}

/// Returns an aggregate's value at `now` and until when it stays.
#[must_use]
pub fn behaviour(aggregate: &Aggregate, profile: &Profile, now: Timestamp) -> (Value, Timestamp) {
    match aggregate.kind {
        AggregateKind::Count => {
            let (amount, until) = in_window(aggregate, profile, now);
            (Value::Number(amount as f64), until)
        }
        AggregateKind::Sum => {
            let (amount, until) = in_window(aggregate, profile, now);
            (Value::Number(amount as f64 / SUM_SCALE), until)
        }
        AggregateKind::Recency => match latest(profile, aggregate.symbol) {
            Some((time, _)) => {
                let steps = (now - time).get().max(0).div_euclid(aggregate.step.get());
                (Value::Number(steps as f64), time + aggregate.step.times(steps + 1))
            }
            None => (Value::Missing, Timestamp::FAR_FUTURE),
        },
        AggregateKind::Last => (
            latest(profile, aggregate.symbol).map_or(Value::Missing, |(_, value)| value),
            Timestamp::FAR_FUTURE,
        ),
        AggregateKind::Sessions => sessions(profile, aggregate.step.times(aggregate.steps), now),
    }
}

fn in_window(aggregate: &Aggregate, profile: &Profile, now: Timestamp) -> (i64, Timestamp) {
    let current = step_of(now, aggregate.step);
    let first = profile
        .buckets
        .partition_point(|bucket| bucket.aggregate < aggregate.symbol);
    let mut amount = 0_i64;
    let mut valid_until = Timestamp::FAR_FUTURE;
    for bucket in profile.buckets[first..]
        .iter()
        .take_while(|bucket| bucket.aggregate == aggregate.symbol)
    {
        let enters = Timestamp::from_millis(bucket.step.saturating_mul(aggregate.step.get()));
        let leaves = enters + aggregate.step.times(aggregate.steps);
        if bucket.step > current {
            valid_until = valid_until.min(enters);
        } else if bucket.step > current - aggregate.steps {
            amount = amount.saturating_add(bucket.amount);
            valid_until = valid_until.min(leaves);
        }
    }
    (amount, valid_until)
}

fn latest(profile: &Profile, aggregate: Symbol) -> Option<(Timestamp, Value)> {
    let at = profile
        .latest
        .binary_search_by_key(&aggregate, |entry| entry.aggregate)
        .ok()?;
    Some((profile.latest[at].time, profile.latest[at].value))
}

fn sessions(profile: &Profile, window: Millis, now: Timestamp) -> (Value, Timestamp) {
    let mut count = 0_u32;
    let mut valid_until = Timestamp::FAR_FUTURE;
    for session in &profile.sessions {
        let leaves = session.last + window;
        if now < leaves {
            count += 1;
            valid_until = valid_until.min(leaves);
        }
    }
    (Value::Number(f64::from(count)), valid_until)
}

/// Returns an intent's strength at `now`, from 0 to its maximum, and until when it stays.
#[must_use]
pub fn strength(intent: &Intent, profile: &Profile, now: Timestamp) -> (f64, Timestamp) {
    let first = profile.traces.partition_point(|trace| trace.intent < intent.symbol);
    let mut strength = 0.0;
    let mut valid_until = Timestamp::FAR_FUTURE;
    for trace in profile.traces[first..]
        .iter()
        .take_while(|trace| trace.intent == intent.symbol)
    {
        let age = (now - trace.time).get().max(0);
        if let Some((until, keep)) = intent.decay.iter().find(|(until, _)| age < until.get()) {
            strength += f64::from(trace.weight_thousandths) / 1_000.0 * keep;
            valid_until = valid_until.min(trace.time + *until);
        }
    }
    (strength.min(intent.strength_max), valid_until)
}
