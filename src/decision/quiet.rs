//! Quiet hours: when nobody is contacted on a channel, by the clock where the customer lives.
//!
//! An instant is quiet when its local date and time lie in a stretch of one of the channel's entries. A stretch belongs to
//! the day on which it begins, also when it ends on the day after. The clock on the wall decides: an hour that daylight saving
//! skips is nobody's, and one that it repeats is judged the same both times.
//!
//! Between two changes of the zone's offset local time runs as evenly as all time, so the next beginning or end is found in
//! local time and brought back by the offset; a change of the offset is where to look anew.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::catalog::Quiet;
use crate::domain::time::{Millis, Timestamp};

/// How far ahead an end is said. What is quiet for longer has no end that anybody waits for.
const AHEAD_MAX: Millis = Millis::new(400 * Millis::DAY.get());

/// How far ahead is looked: a day further than an end is said, so that it is known when one comes into sight.
const LOOK_MAX: Millis = Millis::new(AHEAD_MAX.get() + Millis::DAY.get());

/// What quiet hours say at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The position of the first entry that holds; `None` when it is not quiet.
    pub entry: Option<usize>,
    /// When it is quiet: the first instant at which no entry holds, unless that lies more than 400 days ahead.
    pub ends_at: Option<Timestamp>,
    /// Until when both stay as they are.
    pub valid_until: Timestamp,
}

/// Asks a channel's quiet hours in a zone.
#[must_use]
pub fn at(entries: &[Quiet], zone: &TimeZone, now: Timestamp) -> Now {
    let never = Now {
        entry: None,
        ends_at: None,
        valid_until: Timestamp::FAR_FUTURE,
    };
    // Most channels have none, and to look at the zone costs more than all else of a decision that is cached.
    if entries.is_empty() {
        return never;
    }
    let Some(mut here) = Here::at(zone, now) else {
        return never;
    };
    let entry = holding(entries, here.local());
    let mut changes_at = None;
    let mut ends_at = None;
    let mut reach = Timestamp::FAR_FUTURE;
    while changes_at.is_none() || (entry.is_some() && ends_at.is_none()) {
        let Some(next) = here.next(entries) else { break };
        if next > now + LOOK_MAX || !here.move_to(zone, next) {
            // An end that is not in sight yet can come into sight within the day; a beginning is only further away.
            reach = now + if entry.is_some() { Millis::DAY } else { LOOK_MAX };
            break;
        }
        let holds = holding(entries, here.local());
        if holds != entry {
            changes_at = changes_at.or(Some(next));
        }
        if holds.is_none() {
            ends_at = Some(next);
        }
    }
    let is_in_sight = |end: &Timestamp| *end <= now + AHEAD_MAX;
    if let Some(end) = ends_at.filter(|end| !is_in_sight(end)) {
        reach = end - AHEAD_MAX;
    }
    Now {
        entry,
        ends_at: ends_at.filter(|end| entry.is_some() && is_in_sight(end)),
        valid_until: changes_at.unwrap_or(Timestamp::FAR_FUTURE).min(reach),
    }
}

fn holding(entries: &[Quiet], local: DateTime) -> Option<usize> {
    entries.iter().position(|entry| holds(entry, local))
}

fn holds(entry: &Quiet, local: DateTime) -> bool {
    let today = local.date();
    let begun = [today.yesterday().ok(), Some(today)].into_iter().flatten();
    begun
        .filter(|&day| entry.day_from(day) == Some(day))
        .filter_map(|day| entry.stretch(day))
        .any(|(begin, end)| (begin..end).contains(&local))
}

/// Returns the first beginning or end of a stretch after a local time.
fn boundary(entry: &Quiet, after: DateTime) -> Option<DateTime> {
    let mut day = after.date().yesterday().unwrap_or(after.date());
    loop {
        day = entry.day_from(day)?;
        let (begin, end) = entry.stretch(day)?;
        if let Some(next) = [begin, end].into_iter().find(|&next| next > after) {
            return Some(next);
        }
        day = day.tomorrow().ok()?;
    }
}

/// An instant with its zone's offset, and when that next changes.
struct Here {
    instant: jiff::Timestamp,
    offset: Offset,
    turn: Option<jiff::Timestamp>,
}

impl Here {
    fn at(zone: &TimeZone, time: Timestamp) -> Option<Self> {
        let instant = jiff::Timestamp::from_millisecond(time.as_millis()).ok()?;
        Some(Self {
            instant,
            offset: zone.to_offset(instant),
            turn: zone.following(instant).next().map(|turn| turn.timestamp()),
        })
    }

    fn local(&self) -> DateTime {
        self.offset.to_datetime(self.instant)
    }

    /// Returns the next instant at which another entry may hold.
    fn next(&self, entries: &[Quiet]) -> Option<Timestamp> {
        let local = self.local();
        let boundaries = entries.iter().filter_map(|entry| boundary(entry, local));
        let next = boundaries.min().and_then(|next| self.offset.to_timestamp(next).ok());
        let next = match (next, self.turn) {
            (Some(next), Some(turn)) => next.min(turn),
            (next, turn) => next.or(turn)?,
        };
        Some(Timestamp::from_millis(next.as_millisecond()))
    }

    /// Moves on, and tells whether the calendar reaches that far.
    fn move_to(&mut self, zone: &TimeZone, time: Timestamp) -> bool {
        let Ok(instant) = jiff::Timestamp::from_millisecond(time.as_millis()) else {
            return false;
        };
        if self.turn.is_some_and(|turn| turn <= instant) {
            let Some(there) = Self::at(zone, time) else {
                return false;
            };
            *self = there;
        } else {
            self.instant = instant;
        }
        true
    }
}
