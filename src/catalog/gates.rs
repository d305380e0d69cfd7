//! Purposes, quiet hours and hold-outs, compiled.

use std::sync::Arc;

use jiff::civil::{Date, DateTime, Time};

use crate::domain::symbol::Symbol;

/// Why customers are contacted.
#[derive(Debug)]
pub struct Purpose {
    /// Its id.
    pub id: Arc<str>,
    /// Its symbol.
    pub symbol: Symbol,
    /// Its name for people.
    pub name: Arc<str>,
    /// Whether nothing may be shown before the customer agreed.
    pub needs_consent: bool,
}

/// Hours in which nobody is contacted on a channel: a stretch of time that begins on each of its days, by the clock where
/// the customer lives. No stretch is longer than a day, so those of one entry never overlap.
#[derive(Debug)]
pub struct Quiet {
    /// Whether one begins on this day of the week, Monday first.
    pub days: [bool; 7],
    /// The dates on which one begins, in order; every date when empty.
    pub dates: Vec<Date>,
    /// The time of day at which it begins.
    pub begin: Time,
    /// The time of day at which it ends.
    pub end: Time,
    /// Whether it ends on the day after.
    pub ends_next_day: bool,
    /// Why, in words for people.
    pub because: Arc<str>,
}

impl Quiet {
    /// Returns the first day from `day` on, itself included, on which a stretch begins.
    #[must_use]
    pub fn day_from(&self, day: Date) -> Option<Date> {
        let fits = |day: &Date| self.days[usize::from(day.weekday().to_monday_zero_offset().unsigned_abs())];
        if self.dates.is_empty() {
            let mut days = std::iter::successors(Some(day), |day| day.tomorrow().ok()).take(self.days.len());
            return days.find(fits);
        }
        let first = self.dates.partition_point(|date| *date < day);
        self.dates[first..].iter().copied().find(fits)
    }

    /// Returns the first and the first later local time of the stretch that begins on `day`; `None` at the end of the calendar.
    #[must_use]
    pub fn stretch(&self, day: Date) -> Option<(DateTime, DateTime)> {
        let last = if self.ends_next_day { day.tomorrow().ok()? } else { day };
        Some((day.to_datetime(self.begin), last.to_datetime(self.end)))
    }
}

/// A share of the customers that gets no offers, or other content.
#[derive(Debug)]
pub struct HoldOut {
    /// Its id.
    pub id: Arc<str>,
    /// Its id and its salt, each with its length before it: what is hashed before the customer's key.
    pub seed: Box<[u8]>,
    /// A customer is in it whose hash, a 64-bit number, is below this: the share times 2⁶⁴.
    pub below: u128,
    /// By the offer's position: whether it is about that offer.
    pub offers: Vec<bool>,
    /// Whether an offer's control content is shown, where it has one.
    pub shows_control: bool,
}
