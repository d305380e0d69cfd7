//! Instants and spans, both in whole milliseconds.
//!
//! Time is always an argument here: nothing in this module can ask what time it is.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// An instant: milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored. Ordered, and exact to the millisecond.
///
/// One that may be absent takes no more memory, of which a contact has nine: what is kept is how far it lies above the first `i64`, which
/// is no instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub struct Timestamp(NonZeroU64);

/// Moves the first `i64` to 0, in the same order.
const SIGN: u64 = 1 << 63;

impl Timestamp {
    /// The last representable instant, used for "never changes by time alone".
    pub const FAR_FUTURE: Self = Self::from_millis(i64::MAX);
    /// The first representable instant.
    pub const FAR_PAST: Self = Self(NonZeroU64::MIN);

    /// Makes an instant from milliseconds since the Unix epoch; the first `i64` becomes [`Timestamp::FAR_PAST`].
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        match NonZeroU64::new(millis.cast_unsigned() ^ SIGN) {
            Some(above) => Self(above),
            None => Self::FAR_PAST,
        }
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }
}

impl fmt::Debug for Timestamp {
    /// Writes the milliseconds, as in `Timestamp(1772442000000)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.as_millis()).finish()
    }
}

impl Default for Timestamp {
    /// Returns the Unix epoch.
    fn default() -> Self {
        Self::from_millis(0)
    }
}

impl From<i64> for Timestamp {
    fn from(millis: i64) -> Self {
        Self::from_millis(millis)
    }
}

impl From<Timestamp> for i64 {
    fn from(instant: Timestamp) -> Self {
        instant.as_millis()
    }
}

/// A span of time in milliseconds; negative when it points back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(i64);

impl Millis {
    /// One second.
    pub const SECOND: Self = Self(1_000);
    /// One minute.
    pub const MINUTE: Self = Self(60_000);
    /// One hour.
    pub const HOUR: Self = Self(3_600_000);
    /// Twenty-four hours; a calendar day in a time zone may be longer or shorter.
    pub const DAY: Self = Self(86_400_000);

    /// Makes a span from a number of milliseconds.
    #[must_use]
    pub const fn new(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the number of milliseconds.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Returns this span `times` over, saturating at the ends of the range.
    #[must_use]
    pub const fn times(self, times: i64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Add<Millis> for Timestamp {
    type Output = Self;

    /// Moves the instant, saturating at the ends of the range.
    fn add(self, span: Millis) -> Self {
        Self::from_millis(self.as_millis().saturating_add(span.0))
    }
}

impl Sub<Millis> for Timestamp {
    type Output = Self;

    /// Moves the instant back, saturating at the ends of the range.
    fn sub(self, span: Millis) -> Self {
        Self::from_millis(self.as_millis().saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Millis;

    /// Returns the span between two instants, saturating at the ends of the range.
    fn sub(self, earlier: Self) -> Millis {
        Millis(self.as_millis().saturating_sub(earlier.as_millis()))
    }
}

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC, as in `2026-03-02T09:00:00Z`, or the bare number when the calendar cannot hold it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.as_millis()) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{} ms", self.as_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_stand_in_the_order_of_their_milliseconds_and_come_back_as_they_were() {
        let millis = [i64::MIN + 1, -1, 0, 1, 1_772_442_000_000, i64::MAX];
        let instants = millis.map(Timestamp::from_millis);
        assert!(instants.is_sorted());
        assert_eq!(instants.map(Timestamp::as_millis), millis);
        assert_eq!(instants[0], Timestamp::FAR_PAST);
        assert_eq!(Timestamp::from_millis(i64::MIN), Timestamp::FAR_PAST);
        assert_eq!(Timestamp::default(), instants[2]);
        assert_eq!(format!("{:?}", instants[1]), "Timestamp(-1)");
        let json = serde_json::to_string(&instants[4]).unwrap();
        assert_eq!(json, "1772442000000");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), instants[4]);
    }

    #[test]
    fn an_instant_that_may_be_absent_takes_no_more_memory() {
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<Timestamp>());
    }
}
