//! What a condition is evaluated against, and what comes out.

use super::scope::Space;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// The values that one evaluation sees. The index in a slice is the variable's index in the [`Scope`](super::Scope)
/// that the condition was compiled with; a slice that is too short reads as missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Values of `profile.*`.
    pub profile: &'a [Value],
    /// Values of `offer.*`.
    pub offer: &'a [Value],
    /// Values of `behaviour.*`.
    pub behaviour: &'a [Value],
    /// Values of `intent.*`.
    pub intent: &'a [Value],
    /// Values of `context.*`.
    pub context: &'a [Value],
    /// Values of `event.*`.
    pub event: &'a [Value],
    /// The instant that `now` stands for.
    pub now: Timestamp,
}

impl Facts<'_> {
    /// Returns one value, [`Value::Missing`] where the slice is too short.
    #[must_use]
    pub fn value(&self, space: Space, index: u16) -> Value {
        let values = match space {
            Space::Profile => self.profile,
            Space::Offer => self.offer,
            Space::Behaviour => self.behaviour,
            Space::Intent => self.intent,
            Space::Context => self.context,
            Space::Event => self.event,
        };
        values.get(usize::from(index)).copied().unwrap_or(Value::Missing)
    }
}

/// The three outcomes of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be said: something it needs is missing, or a calculation has no result.
    Unknown,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// The outcome of a condition and how long it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The outcome at `now`.
    pub truth: Truth,
    /// The first instant at which the outcome may differ if only `now` moves forward; the outcome is the same at every
    /// instant from `now` to just before it. Exact or early, never late; [`Timestamp::FAR_FUTURE`] when time alone
    /// changes nothing.
    pub valid_until: Timestamp,
}
