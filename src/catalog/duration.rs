//! Spans of time as people write them: `90s`, `30m`, `12h`, `7d`, `2w`, or several together as in `2h30m`.

use crate::domain::time::Millis;

/// The longest span that a window, step or decay may have. Behaviour older than a year and a month says nothing.
pub(super) const SPAN_MAX: Millis = Millis::new(400 * Millis::DAY.get());

/// The units, longest first; each may be used once, in this order.
const UNITS: [(char, Millis); 5] = [
    ('w', Millis::new(7 * Millis::DAY.get())),
    ('d', Millis::DAY),
    ('h', Millis::HOUR),
    ('m', Millis::MINUTE),
    ('s', Millis::SECOND),
];

/// Reads a span of time above 0 and at most [`SPAN_MAX`].
///
/// # Errors
///
/// What is accepted, as a hint.
pub(super) fn parse(text: &str) -> Result<Millis, &'static str> {
    const ACCEPTED: &str = "write whole numbers with w, d, h, m or s, longest first, as in `7d`, `30m` or `2h30m`";
    let mut units = UNITS.iter();
    let mut total = 0_i64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|character: char| !character.is_ascii_digit())
            .ok_or(ACCEPTED)?;
        let number: i64 = rest[..digits].parse().map_err(|_| ACCEPTED)?;
        let unit = rest[digits..].chars().next().ok_or(ACCEPTED)?;
        let (_, millis) = units.find(|(letter, _)| *letter == unit).ok_or(ACCEPTED)?;
        total = total.saturating_add(millis.get().saturating_mul(number));
        rest = &rest[digits + unit.len_utf8()..];
    }
    match total {
        _ if text.is_empty() => Err(ACCEPTED),
        0 => Err("it must be longer than nothing"),
        _ if total > SPAN_MAX.get() => Err("at most `400d` is allowed"),
        _ => Ok(Millis::new(total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1_800),
            ("2h30m", 9_000),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1w1d1h1m1s", 694_861),
            ("400d", 34_560_000),
        ] {
            assert_eq!(parse(text), Ok(Millis::new(seconds * 1_000)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_span_is_refused() {
        for text in [
            "",
            "7",
            "d",
            "7 d",
            "7x",
            "1.5h",
            "-1d",
            "0d",
            "30m2h",
            "1d1d",
            "401d",
            "99999999999999999999d",
            "7é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
