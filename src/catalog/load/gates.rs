//! Purposes, quiet hours and hold-outs.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::{Date, Time};

use super::super::convert::parse_date;
use super::super::read::{Item, Sources};
use super::super::{HoldOut, Offer, Purpose, Quiet, source};
use super::limits::Choice;
use super::{Allowed, Loader, Names};
use crate::catalog::document::At;

/// The most entries of one channel's quiet hours. Each is looked at for every call on the channel.
const QUIET_ENTRIES_MAX: usize = 32;

/// The most dates of one entry: the holidays of some years.
const QUIET_DATES_MAX: usize = 400;

impl Loader {
    pub(super) fn purposes(&mut self, sources: &Sources<'_>) -> Vec<Purpose> {
        let listed = sources.purposes.items.iter();
        listed
            .map(|Item { source, .. }| Purpose {
                id: source.id.as_str().into(),
                symbol: self.symbols.intern(&source.id),
                name: source.name.as_str().into(),
                needs_consent: source.consent == source::ConsentRule::Needed,
            })
            .collect()
    }

    /// Finds the purpose that a group or an offer names.
    pub(super) fn purpose(&mut self, at: At<'_>, given: Option<&String>, names: &Names) -> Option<usize> {
        names.purposes.find(at.key("purpose"), given?, &mut self.report)
    }

    pub(super) fn quiet(&mut self, at: At<'_>, entries: &[source::Quiet]) -> Vec<Quiet> {
        if entries.len() > QUIET_ENTRIES_MAX {
            let message = format!(
                "there are {} entries; at most {QUIET_ENTRIES_MAX} are allowed",
                entries.len()
            );
            self.report.error(at, message);
        }
        let compiled = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| self.quiet_entry(at.item(index), entry));
        compiled.collect()
    }

    fn quiet_entry(&mut self, at: At<'_>, entry: &source::Quiet) -> Quiet {
        let is_empty = entry.days.is_empty() && entry.dates.is_empty() && entry.from.is_none() && entry.until.is_none();
        if is_empty {
            let hint = "give `days`, `dates`, `from` or `until`; to close a channel, leave it out of the placements";
            self.report
                .error_with_hint(at, "these quiet hours never end: nothing says when they are", hint);
        }
        let mut days = [entry.days.is_empty(); 7];
        for &day in &entry.days {
            days[day as usize] = true;
        }
        let dates = self.quiet_dates(at.key("dates"), &entry.dates);
        let from = self.time_of_day(at.key("from"), entry.from.as_deref());
        let until = self.time_of_day(at.key("until"), entry.until.as_deref());
        let (begin, end) = (from.unwrap_or(Time::MIN), until.unwrap_or(Time::MIN));
        if from.is_some() && until == from {
            let hint = "leave both out for the whole day";
            let message = format!("the quiet hours end when they begin, at {}", end.strftime("%H:%M"));
            self.report.error_with_hint(at.key("until"), message, hint);
        }
        let quiet = Quiet {
            days,
            dates,
            begin,
            end,
            ends_next_day: end <= begin,
            because: entry.because.as_str().into(),
        };
        let first = quiet.dates.first().copied();
        if first.is_some_and(|first| quiet.day_from(first).is_none()) {
            let hint = "an entry holds where all that it gives holds; write two entries for one or the other";
            self.report
                .warning(at.key("dates"), "none of the dates is on one of the `days`", hint);
        }
        quiet
    }

    fn quiet_dates(&mut self, at: At<'_>, listed: &[String]) -> Vec<Date> {
        if listed.len() > QUIET_DATES_MAX {
            let message = format!(
                "there are {} dates; at most {QUIET_DATES_MAX} are allowed",
                listed.len()
            );
            self.report.error(at, message);
        }
        let mut dates = Vec::new();
        for (index, text) in listed.iter().enumerate() {
            let date = parse_date(text);
            if date.is_none() {
                let hint = "write it as `YYYY-MM-DD`, as in `2026-12-25`";
                self.report
                    .error_with_hint(at.item(index), format!("`{text}` is not a date"), hint);
            }
            dates.extend(date);
        }
        dates.sort_unstable();
        dates.dedup();
        dates
    }

    fn time_of_day(&mut self, at: At<'_>, text: Option<&str>) -> Option<Time> {
        let text = text?;
        let time = parse_time_of_day(text);
        if time.is_none() {
            let hint = "write it as `\"HH:MM\"`, from `\"00:00\"` to `\"23:59\"`";
            self.report
                .error_with_hint(at, format!("`{text}` is not a time of day"), hint);
        }
        time
    }

    /// Checks the content that an offer shows to customers of a hold-out.
    pub(super) fn control(
        &mut self,
        at: At<'_>,
        control: &BTreeMap<String, String>,
    ) -> Option<BTreeMap<Arc<str>, Arc<str>>> {
        (!control.is_empty()).then(|| self.content(at.key("control"), control))
    }

    pub(super) fn hold_outs(&mut self, sources: &Sources<'_>, names: &Names, offers: &[Offer]) -> Vec<HoldOut> {
        let mut hold_outs = Vec::new();
        for Item { at, source } in &sources.hold_outs.items {
            self.number(at.key("share"), "share", source.share, Allowed::Share);
            let choice = Choice {
                at: *at,
                offers: &[],
                groups: &source.groups,
                labels: &[],
            };
            hold_outs.push(HoldOut {
                id: source.id.as_str().into(),
                seed: seed(&source.id, &source.salt),
                below: threshold(source.share),
                offers: self.chosen(&choice, offers, names),
                shows_control: source.gets == source::HoldOutGets::Control,
            });
        }
        hold_outs
    }
}

/// Reads a time of day as in `21:00`.
fn parse_time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |part: &str| {
        let is_plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| part.parse::<i8>().ok()).flatten()
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

fn seed(id: &str, salt: &str) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(id.len() + salt.len() + 16);
    for part in [id, salt] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.into()
}

/// Returns the share times 2⁶⁴: how many of the 64-bit numbers are in the share. Exact, since that only moves the exponent.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is 0 to 1; what is not is reported, and saturates here"
)]
fn threshold(share: f64) -> u128 {
    (share * 2_f64.powi(64)) as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_read_as_they_are_written() {
        for (text, expected) in [
            ("00:00", Some((0, 0))),
            ("09:30", Some((9, 30))),
            ("23:59", Some((23, 59))),
            ("24:00", None),
            ("9:00", None),
            ("09:60", None),
            ("+9:00", None),
            ("09:00:00", None),
            ("0900", None),
            ("", None),
            ("09:0é", None),
        ] {
            let expected = expected.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
            assert_eq!(parse_time_of_day(text), expected, "{text}");
        }
    }

    #[test]
    fn a_share_is_exactly_that_part_of_all_numbers() {
        assert_eq!(threshold(0.0), 0);
        assert_eq!(threshold(1.0), 1 << 64);
        assert_eq!(threshold(0.5), 1 << 63);
        assert_eq!(threshold(0.05), 922_337_203_685_477_632);
    }
}
