//! Functions: `timestamp`, `duration`, `size` and the parts of the calendar.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::calendar::{self, Calendar, Part};
use super::check::Checker;
use super::fault::suggest;
use super::parse::{Form, Node};
use super::program::{Moment, Number};
use super::typed::{Checked, Typed};

/// Units of a duration and their length in nanoseconds. `d` is ours: CEL stops at hours.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Functions of CEL that have no use here, and what to write instead.
const REFUSED: [(&str, &str); 11] = [
    (
        "contains",
        "compare with ==, or with a list: attribute in [\"a\", \"b\"]",
    ),
    (
        "startsWith",
        "compare with ==, or with a list: attribute in [\"a\", \"b\"]",
    ),
    (
        "endsWith",
        "compare with ==, or with a list: attribute in [\"a\", \"b\"]",
    ),
    (
        "matches",
        "compare with ==, or with a list: attribute in [\"a\", \"b\"]",
    ),
    ("int", "leave it out: all numbers are of one kind"),
    ("uint", "leave it out: all numbers are of one kind"),
    ("double", "leave it out: all numbers are of one kind"),
    ("string", "leave it out: numbers are compared with numbers"),
    ("now", "write now without brackets"),
    ("date", "write timestamp(\"2026-01-31T00:00:00Z\")"),
    (
        "exists",
        "ask for one value at a time, as in \"fund\" in profile.holdings",
    ),
];

impl<'a> Checker<'a, '_> {
    pub(super) fn call(&mut self, node: &Node, name: &str, target: Option<&Node>, arguments: &[Node]) -> Typed<'a> {
        let part = Part::ALL.into_iter().find(|(known, _)| *known == name);
        match (name, target, arguments) {
            ("timestamp", None, [text]) => self.timestamp(node, text),
            ("duration", None, [text]) => self.duration(node, text),
            ("size", None, [set]) | ("size", Some(set), []) => self.size(set),
            ("timestamp" | "duration", None, _) => self.fault(
                node.range.clone(),
                format!("{name}() takes one text, as in {name}({})", sample(name)),
            ),
            ("has", _, _) => self.fault_with_hint(
                node.range.clone(),
                "has() takes one attribute",
                "write has(profile.name)",
            ),
            ("size", _, _) => self.fault(node.range.clone(), "size() takes one set, as in size(profile.holdings)"),
            _ => match (part, target) {
                (Some((_, part)), Some(target)) => self.calendar(node, name, part, target, arguments),
                (Some(_), None) => self.fault_with_hint(
                    node.range.clone(),
                    format!("{name}() stands after a time"),
                    format!("write now.{name}()"),
                ),
                _ => self.unknown_call(node, name),
            },
        }
    }

    fn unknown_call(&mut self, node: &Node, name: &str) -> Typed<'a> {
        let hint = REFUSED.iter().find(|(refused, _)| *refused == name).map_or_else(
            || {
                let names = ["timestamp", "duration", "size", "has"].into_iter();
                suggest(name, names.chain(Part::ALL.into_iter().map(|(part, _)| part)), "")
            },
            |(_, hint)| (*hint).to_owned(),
        );
        self.fault_with_hint(node.range.clone(), format!("there is no function {name}()"), hint)
    }

    fn literal<'n>(&mut self, name: &str, argument: &'n Node) -> Option<&'n str> {
        if let Form::Text(text) = &argument.form {
            return Some(text);
        }
        let message = format!(
            "{name}() takes a text in quotation marks, as in {name}({})",
            sample(name)
        );
        self.fault(argument.range.clone(), message);
        None
    }

    fn timestamp(&mut self, node: &Node, argument: &Node) -> Typed<'a> {
        let Some(text) = self.literal("timestamp", argument) else {
            return Typed::Faulty;
        };
        match text.parse::<Timestamp>() {
            Ok(instant) if instant.subsec_nanosecond() % 1_000_000 == 0 => {
                Typed::Time(Moment::Constant(instant.as_millisecond()))
            }
            Ok(_) => self.fault(argument.range.clone(), "a time is exact to the millisecond, no finer"),
            Err(_) => {
                let date = text.parse::<jiff::civil::Date>().ok();
                let hint = date.map_or_else(
                    || format!("write {}", sample("timestamp")),
                    |date| format!("write \"{date}T00:00:00Z\", the midnight that begins it"),
                );
                let range = if text.is_empty() {
                    node.range.clone()
                } else {
                    argument.range.clone()
                };
                self.fault_with_hint(
                    range,
                    format!("\"{text}\" is not a time with date, hour and zone"),
                    hint,
                )
            }
        }
    }

    fn duration(&mut self, node: &Node, argument: &Node) -> Typed<'a> {
        let Some(text) = self.literal("duration", argument) else {
            return Typed::Faulty;
        };
        match duration_millis(text) {
            Ok(millis) => Typed::Span(Moment::Constant(millis)),
            Err(message) => {
                let range = if text.is_empty() {
                    node.range.clone()
                } else {
                    argument.range.clone()
                };
                self.fault_with_hint(
                    range,
                    message,
                    "write numbers with d, h, m, s or ms, as in \"7d\" or \"1h30m\"",
                )
            }
        }
    }

    fn size(&mut self, argument: &Node) -> Typed<'a> {
        let checked = self.checked(argument);
        match checked.typed {
            Typed::Set(slot, _) => Typed::Number(Number::Size(slot)),
            Typed::Faulty => Typed::Faulty,
            _ => {
                let message = format!("{}; size() counts the values of a set", checked.subject(self.source));
                self.fault(checked.range, message)
            }
        }
    }

    fn calendar(&mut self, node: &Node, name: &str, part: Part, target: &Node, arguments: &[Node]) -> Typed<'a> {
        let zone = match arguments {
            [] => Some(TimeZone::UTC),
            [zone] => self.zone(name, zone),
            _ => {
                self.fault(
                    node.range.clone(),
                    format!("{name}() takes one time zone, as in {name}(\"Europe/Madrid\")"),
                );
                None
            }
        };
        let checked = self.checked(target);
        let Checked {
            typed: Typed::Time(moment),
            ..
        } = checked
        else {
            if !checked.is_faulty() {
                let message = format!("{}; {name}() stands after a time", checked.subject(self.source));
                self.fault_with_hint(checked.range, message, format!("write now.{name}()"));
            }
            return Typed::Faulty;
        };
        zone.map_or(Typed::Faulty, |zone| {
            Typed::Number(Number::Calendar(Box::new((Calendar { part, zone }, moment))))
        })
    }

    fn zone(&mut self, name: &str, argument: &Node) -> Option<TimeZone> {
        let Form::Text(text) = &argument.form else {
            let message = format!("{name}() takes a time zone in quotation marks, as in {name}(\"Europe/Madrid\")");
            self.fault(argument.range.clone(), message);
            return None;
        };
        calendar::zone(text)
            .map_err(|hint| {
                self.fault_with_hint(argument.range.clone(), format!("\"{text}\" is not a time zone"), hint)
            })
            .ok()
    }
}

fn sample(name: &str) -> &'static str {
    if name == "timestamp" {
        "\"2026-01-31T00:00:00Z\""
    } else {
        "\"24h\""
    }
}

/// Reads a duration such as `-1h30m`, `1.5h` or `7d` as milliseconds.
fn duration_millis(text: &str) -> Result<i64, String> {
    let malformed = || format!("\"{text}\" is not a span of time");
    let (negative, mut rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let mut nanos: i128 = 0;
    if rest.is_empty() {
        return Err(malformed());
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(malformed)?;
        let (digits, after) = rest.split_at(end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let length = UNITS.iter().find(|(known, _)| *known == unit).ok_or_else(malformed)?.1;
        nanos += scaled(digits, length).ok_or_else(malformed)?;
        rest = next;
    }
    if nanos % 1_000_000 != 0 {
        return Err("a span of time is exact to the millisecond, no finer".to_owned());
    }
    let millis = nanos / 1_000_000;
    i64::try_from(if negative { -millis } else { millis }).map_err(|_| format!("\"{text}\" is too long a span of time"))
}

/// Returns a decimal number of units of `length` nanoseconds each, when it is well formed and a whole number of them.
fn scaled(digits: &str, length: i128) -> Option<i128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let written = whole.len() + fraction.len();
    let digits_only = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !(1..=18).contains(&written) || !digits_only {
        return None;
    }
    let number: i128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let product = number * length;
    (product % divisor == 0).then_some(product / divisor)
}
