//! From a scenario's text to its steps, and the small readers that steps share.

use nbo::domain::time::{Millis, Timestamp};

/// A line, trimmed, with its number from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
}

/// A line at the margin and the indented lines below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) line: Line,
    pub(super) below: Vec<Line>,
}

/// What is wrong at one line of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) number: usize,
    pub(super) message: String,
}

impl Line {
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            number: self.number,
            message: message.into(),
        }
    }

    /// Says that the line expected something else than was found.
    pub(super) fn differs(&self, found: impl std::fmt::Display) -> Problem {
        self.problem(format!("expected `{}`, found {found}", self.text))
    }
}

/// Splits a text into steps; blank lines and lines that begin with `#` are left out.
pub(super) fn steps(text: &str) -> Result<Vec<Step>, Problem> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, written) in text.lines().enumerate() {
        let line = Line {
            number: at + 1,
            text: written.trim().to_owned(),
        };
        if line.text.is_empty() || line.text.starts_with('#') {
            continue;
        }
        if !written.starts_with(' ') {
            steps.push(Step {
                line,
                below: Vec::new(),
            });
        } else if let Some(step) = steps.last_mut() {
            step.below.push(line);
        } else {
            return Err(line.problem("an indented line belongs to the line above it, and there is none"));
        }
    }
    Ok(steps)
}

/// Splits at commas outside quotes, trims, and leaves out what is empty.
pub(super) fn parts(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let split = text.split(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    });
    split.map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Splits off the first word.
pub(super) fn word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(' ')
        .map_or((text, ""), |(first, rest)| (first, rest.trim()))
}

/// Takes the quotes off.
pub(super) fn unquoted(text: &str) -> Result<&str, String> {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.ok_or_else(|| format!("`{text}` must stand in double quotes"))
}

/// Reads a span as in `7d`, `2h30m` or `1ms`.
pub(super) fn span(text: &str) -> Result<Millis, String> {
    let wrong = || format!("`{text}` is not a span of time; write it as in `7d`, `2h30m` or `1ms`");
    let mut total = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|each: char| !each.is_ascii_digit()).ok_or_else(wrong)?;
        let number: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|each: char| each.is_ascii_digit()).unwrap_or(rest.len());
        let length = match &rest[..unit] {
            "d" => Millis::DAY,
            "h" => Millis::HOUR,
            "m" => Millis::MINUTE,
            "s" => Millis::SECOND,
            "ms" => Millis::new(1),
            _ => return Err(wrong()),
        };
        total += length.times(number).get();
        rest = &rest[unit..];
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(Millis::new(total))
    }
}

/// Reads an instant as in `2026-03-02 09:00`, with seconds and milliseconds if need be, in the time zone.
pub(super) fn instant(text: &str, zone: &jiff::tz::TimeZone) -> Result<Timestamp, String> {
    let wrong = |_| format!("`{text}` is not a time; write it as in `2026-03-02 09:00` or `2026-03-02 09:00:00.001`");
    let civil: jiff::civil::DateTime = text.replacen(' ', "T", 1).parse().map_err(wrong)?;
    let instant = zone.to_timestamp(civil).map_err(wrong)?;
    Ok(Timestamp::from_millis(instant.as_millisecond()))
}

/// Writes an instant as [`instant`] reads it.
pub(super) fn written(instant: Timestamp, zone: &jiff::tz::TimeZone) -> String {
    if instant == Timestamp::FAR_FUTURE {
        return "for ever".to_owned();
    }
    let Ok(found) = jiff::Timestamp::from_millisecond(instant.as_millis()) else {
        return instant.to_string();
    };
    let civil = zone.to_datetime(found);
    let precise = instant.as_millis() % 60_000 != 0;
    civil
        .strftime(if precise { "%F %H:%M:%S%.3f" } else { "%F %H:%M" })
        .to_string()
}

#[test]
fn steps_keep_their_line_numbers_and_what_is_below_them() {
    let line = |number, text: &str| Line {
        number,
        text: text.to_owned(),
    };
    let found = steps("# A comment.\nstory A\n\nanna asks web\n  1. x\n  # Another.\n  2. y\n").unwrap();
    let expected = [
        (line(2, "story A"), vec![]),
        (line(4, "anna asks web"), vec![line(5, "1. x"), line(7, "2. y")]),
    ];
    assert_eq!(found, expected.map(|(line, below)| Step { line, below }));
    assert_eq!(steps("  1. x\n").unwrap_err().number, 1);
}

#[test]
fn spans_and_instants_are_read_and_written() {
    let zone = jiff::tz::db().get("Europe/Madrid").unwrap();
    for (text, millis) in [("7d", 604_800_000), ("2h30m", 9_000_000), ("1s1ms", 1_001)] {
        assert_eq!(span(text), Ok(Millis::new(millis)), "{text}");
    }
    for text in ["", "7", "d", "7 d", "7x", "-1d"] {
        assert!(span(text).is_err(), "{text}");
    }
    for text in ["2026-03-02 09:00", "2026-07-02 09:00:00.001", "2026-07-02 09:00:01.000"] {
        assert_eq!(written(instant(text, &zone).unwrap(), &zone), text);
    }
    assert_eq!(
        instant("2026-07-01 02:00", &zone),
        Ok(Timestamp::from_millis(1_782_864_000_000))
    );
    assert!(instant("yesterday", &zone).is_err());
}

#[test]
fn parts_split_at_commas_outside_quotes() {
    assert_eq!(parts(r#"a 1, b "x, y" ,, c"#), ["a 1", r#"b "x, y""#, "c"]);
    assert!(parts("").is_empty());
}
