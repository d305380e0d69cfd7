//! `google.protobuf.Timestamp` and `Duration`: on the wire as everywhere, in JSON as the standard says.
//!
//! They are types of our own because the usual ones have no JSON, and those that do write `+00:00` where the standard has `Z`.

use std::fmt;

use serde::de::Visitor;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant, to the nanosecond. In JSON it is RFC 3339 in UTC, as in `2026-03-02T09:00:00.250Z`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z, leap seconds ignored.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds on top, from 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A span of time, to the nanosecond. In JSON it is seconds, as in `1.500s`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds on top, of the same sign.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// Writes a part of a second with none, 3, 6 or 9 digits, as the standard wants it.
struct Fraction(u32);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            nanos if nanos % 1_000_000 == 0 => write!(f, ".{:03}", nanos / 1_000_000),
            nanos if nanos % 1_000 == 0 => write!(f, ".{:06}", nanos / 1_000),
            nanos => write!(f, ".{nanos:09}"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = jiff::Timestamp::new(self.seconds, 0).map_err(S::Error::custom)?;
        let nanos = u32::try_from(self.nanos).map_err(S::Error::custom)?;
        let text = whole.to_string();
        let date = text.trim_end_matches('Z');
        serializer.collect_str(&format_args!("{date}{}Z", Fraction(nanos)))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sign = if self.seconds < 0 || self.nanos < 0 { "-" } else { "" };
        let (seconds, nanos) = (self.seconds.unsigned_abs(), self.nanos.unsigned_abs());
        serializer.collect_str(&format_args!("{sign}{seconds}{}s", Fraction(nanos)))
    }
}

/// Reads a text by a function.
struct Text<T> {
    expected: &'static str,
    read: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).ok_or_else(|| E::custom(format_args!("`{text}` is not {}", self.expected)))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| {
            let at: jiff::Timestamp = text.parse().ok()?;
            let nanos = at.as_nanosecond();
            Some(Self {
                seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?,
                nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?,
            })
        };
        let expected = "a time as in 2026-03-02T09:00:00Z";
        deserializer.deserialize_str(Text { expected, read })
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a span of time as in 1.5s";
        deserializer.deserialize_str(Text {
            expected,
            read: duration,
        })
    }
}

fn duration(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (sign, number) = number.strip_prefix('-').map_or((1, number), |number| (-1, number));
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(part) || part.len() > 9 || number.ends_with('.') {
        return None;
    }
    Some(Duration {
        seconds: whole.parse::<i64>().ok()? * sign,
        nanos: format!("{part:0<9}").parse::<i32>().ok()? * i32::try_from(sign).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_and_read_as_the_standard_says() {
        for (seconds, nanos, text) in [
            (1_772_442_000, 0, "2026-03-02T09:00:00Z"),
            (1_772_442_000, 250_000_000, "2026-03-02T09:00:00.250Z"),
            (1_772_442_000, 1_000, "2026-03-02T09:00:00.000001Z"),
            (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
        ] {
            let time = Timestamp { seconds, nanos };
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::to_string(&time).unwrap(), json);
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
        }
        let east = serde_json::from_str::<Timestamp>("\"2026-03-02T10:00:00+01:00\"").unwrap();
        assert_eq!(east.seconds, 1_772_442_000);
        for wrong in [
            "\"yesterday\"",
            "\"2026-03-02\"",
            "\"2026-13-02T09:00:00Z\"",
            "5",
            "null",
        ] {
            let said = serde_json::from_str::<Timestamp>(wrong).unwrap_err().to_string();
            assert!(said.contains("a time as in 2026-03-02T09:00:00Z"), "{said}");
        }
    }

    #[test]
    fn a_span_is_written_and_read_as_the_standard_says() {
        for (seconds, nanos, text) in [
            (0, 0, "0s"),
            (90, 0, "90s"),
            (1, 500_000_000, "1.500s"),
            (0, -1, "-0.000000001s"),
            (-3, -20_000, "-3.000020s"),
        ] {
            let span = Duration { seconds, nanos };
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::to_string(&span).unwrap(), json);
            assert_eq!(serde_json::from_str::<Duration>(&json).unwrap(), span);
        }
        for wrong in [
            "1",
            "s",
            "-s",
            ".5s",
            "1.s",
            "1.0000000001s",
            "1e3s",
            "+1s",
            "99999999999999999999s",
        ] {
            let json = format!("\"{wrong}\"");
            let said = serde_json::from_str::<Duration>(&json).unwrap_err().to_string();
            assert!(said.contains("a span of time as in 1.5s"), "{said}");
        }
    }

    #[test]
    fn they_are_the_same_bytes_as_the_usual_types() {
        use prost::Message as _;
        let usual = prost_types::Timestamp { seconds: 7, nanos: 8 };
        let own = Timestamp { seconds: 7, nanos: 8 };
        assert_eq!(usual.encode_to_vec(), own.encode_to_vec());
        let usual = prost_types::Duration { seconds: -7, nanos: -8 };
        let own = Duration { seconds: -7, nanos: -8 };
        assert_eq!(usual.encode_to_vec(), own.encode_to_vec());
    }
}
