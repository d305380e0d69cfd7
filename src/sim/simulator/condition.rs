//! Conditions in two forms: the text that the engine compiles, and the truth as plain Rust sees it.

use std::sync::LazyLock;

use jiff::tz::TimeZone;

use crate::domain::time::{Millis, Timestamp};
use crate::sim::draw::Draw;

use super::blueprint::{CATEGORIES, CHANNELS, HOLDINGS, PAGES, SEGMENTS};

/// The time zone of the simulated bank and of its conditions.
pub(super) const ZONE: &str = "Europe/Madrid";

/// The same, looked up once.
pub(super) static LOCAL: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get(ZONE).unwrap_or(TimeZone::UTC));

/// What is known of a customer; all of it may be unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    pub(super) age: Option<f64>,
    pub(super) segment: Option<usize>,
    /// One flag for each of [`HOLDINGS`].
    pub(super) holdings: Option<[bool; HOLDINGS.len()]>,
    pub(super) since: Option<Timestamp>,
    pub(super) staff: Option<bool>,
    /// One of [`ZONES`](super::almanac::ZONES).
    pub(super) zone: Option<usize>,
}

/// Everything that a condition can see at one instant.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) now: Timestamp,
    pub(super) known: Known,
    pub(super) searches: f64,
    pub(super) fund_searches: f64,
    pub(super) by_category: [f64; CATEGORIES.len()],
    pub(super) spent: f64,
    pub(super) since_search: Option<f64>,
    pub(super) last_category: Option<usize>,
    pub(super) visits: f64,
    pub(super) intents: [f64; 2],
    pub(super) channel: usize,
    pub(super) page: Option<usize>,
    pub(super) rate: Option<f64>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    AgeAtLeast(u32),
    SegmentIs(usize),
    Owns(usize),
    IsStaff,
    HasAge,
    JoinedWithin(i64),
    HourFrom(i8),
    WeekdayIs(i8),
    NowFrom(i64),
    Searched(u32),
    SearchedFunds(u32),
    SearchedFor(usize, u32),
    Spent(u32),
    SearchedSteps(u32),
    LastWas(usize),
    Visited(u32),
    Intends(usize, u32),
    OnChannel(usize),
    OnPage(usize),
    RateAbove(u32),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

/// What a drawn condition may speak of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vocabulary {
    pub(super) now: Timestamp,
    pub(super) context: bool,
    pub(super) spending: bool,
}

impl Condition {
    /// Draws a condition; about one in three has parts.
    pub(super) fn draw(draw: &mut Draw, words: Vocabulary) -> Self {
        if draw.chance(0.65) {
            return Self::draw_plain(draw, words);
        }
        let one = Box::new(Self::draw(draw, words));
        match draw.below(3) {
            0 => Self::Not(one),
            1 => Self::And(one, Box::new(Self::draw_plain(draw, words))),
            _ => Self::Or(one, Box::new(Self::draw_plain(draw, words))),
        }
    }

    fn draw_plain(draw: &mut Draw, words: Vocabulary) -> Self {
        let small = |draw: &mut Draw, most: usize| u32::try_from(draw.below(most)).unwrap_or(0);
        match draw.below(20) {
            0 | 1 => Self::AgeAtLeast(14 + small(draw, 30)),
            2 => Self::SegmentIs(draw.below(SEGMENTS.len())),
            3 | 4 => Self::Not(Box::new(Self::Owns(draw.below(HOLDINGS.len())))),
            5 => Self::Not(Box::new(Self::IsStaff)),
            6 => Self::HasAge,
            7 => Self::JoinedWithin(i64::from(small(draw, 60))),
            8 => Self::HourFrom(i8::try_from(draw.below(24)).unwrap_or(0)),
            9 => Self::Not(Box::new(Self::WeekdayIs(i8::try_from(draw.below(7)).unwrap_or(0)))),
            10 => {
                let ahead = Millis::MINUTE.times(i64::from(small(draw, 60 * 24 * 20)));
                Self::NowFrom((words.now + ahead).as_millis())
            }
            11 => Self::Searched(small(draw, 4)),
            12 => Self::SearchedFunds(small(draw, 3)),
            13 => Self::SearchedFor(draw.below(CATEGORIES.len()), small(draw, 3)),
            14 if words.spending => Self::Spent(small(draw, 400)),
            15 => Self::SearchedSteps(small(draw, 20)),
            16 => Self::LastWas(draw.below(CATEGORIES.len())),
            17 => Self::Visited(small(draw, 4)),
            18 if words.context && draw.chance(0.5) => Self::OnChannel(draw.below(CHANNELS.len())),
            18 if words.context => Self::OnPage(draw.below(PAGES.len())),
            19 => Self::RateAbove(small(draw, 4)),
            _ => Self::Intends(draw.below(2), small(draw, 3)),
        }
    }

    /// Returns the text that the engine compiles.
    pub(super) fn text(&self) -> String {
        match self {
            Self::AgeAtLeast(age) => format!("profile.age >= {age}"),
            Self::SegmentIs(at) => format!("profile.segment == \"{}\"", SEGMENTS[*at]),
            Self::Owns(at) => format!("\"{}\" in profile.holdings", HOLDINGS[*at]),
            Self::IsStaff => "profile.staff".to_owned(),
            Self::HasAge => "has(profile.age)".to_owned(),
            Self::JoinedWithin(days) => format!("now - profile.since < duration(\"{days}d\")"),
            Self::HourFrom(hour) => format!("now.getHours(\"{ZONE}\") >= {hour}"),
            Self::WeekdayIs(day) => format!("now.getDayOfWeek(\"{ZONE}\") == {day}"),
            Self::NowFrom(millis) => format!("now >= timestamp(\"{}\")", Timestamp::from_millis(*millis)),
            Self::Searched(count) => format!("behaviour.searches_7d >= {count}"),
            Self::SearchedFunds(count) => format!("behaviour.fund_searches_3h >= {count}"),
            Self::SearchedFor(at, count) => format!("behaviour.searches_1d_{} >= {count}", CATEGORIES[*at]),
            Self::Spent(amount) => format!("behaviour.spent_2d > {amount}"),
            Self::SearchedSteps(steps) => format!("behaviour.since_search < {steps}"),
            Self::LastWas(at) => format!("behaviour.last_category == \"{}\"", CATEGORIES[*at]),
            Self::Visited(count) => format!("behaviour.visits_1d >= {count}"),
            Self::Intends(at, tenths) => format!("intent.{} > 0.{tenths}", ["fund", "travel"][*at]),
            Self::OnChannel(at) => format!("context.channel == \"{}\"", CHANNELS[*at].0),
            Self::OnPage(at) => format!("context.page == \"{}\"", PAGES[*at]),
            Self::RateAbove(rate) => format!("offer.rate > {rate}"),
            Self::Not(one) => format!("!({})", one.text()),
            Self::And(one, other) => format!("({}) && ({})", one.text(), other.text()),
            Self::Or(one, other) => format!("({}) || ({})", one.text(), other.text()),
        }
    }

    /// Tells whether it holds; `None` when something that decides it is not known.
    pub(super) fn truth(&self, view: &View) -> Option<bool> {
        let known = &view.known;
        let local = || {
            let instant = jiff::Timestamp::from_millisecond(view.now.as_millis()).ok()?;
            Some(LOCAL.to_datetime(instant))
        };
        Some(match self {
            Self::AgeAtLeast(age) => known.age? >= f64::from(*age),
            Self::SegmentIs(at) => known.segment? == *at,
            Self::Owns(at) => known.holdings?[*at],
            Self::IsStaff => known.staff?,
            Self::HasAge => known.age.is_some(),
            Self::JoinedWithin(days) => (view.now - known.since?).get() < days * 86_400_000,
            Self::HourFrom(hour) => local()?.hour() >= *hour,
            Self::WeekdayIs(day) => local()?.weekday().to_sunday_zero_offset() == *day,
            Self::NowFrom(millis) => view.now.as_millis() >= *millis,
            Self::Searched(count) => view.searches >= f64::from(*count),
            Self::SearchedFunds(count) => view.fund_searches >= f64::from(*count),
            Self::SearchedFor(at, count) => view.by_category[*at] >= f64::from(*count),
            Self::Spent(amount) => view.spent > f64::from(*amount),
            Self::SearchedSteps(steps) => view.since_search? < f64::from(*steps),
            Self::LastWas(at) => view.last_category? == *at,
            Self::Visited(count) => view.visits >= f64::from(*count),
            Self::Intends(at, tenths) => view.intents[*at] > f64::from(*tenths) / 10.0,
            Self::OnChannel(at) => view.channel == *at,
            Self::OnPage(at) => view.page? == *at,
            Self::RateAbove(rate) => view.rate? > f64::from(*rate),
            Self::Not(one) => !one.truth(view)?,
            Self::And(one, other) => match (one.truth(view), other.truth(view)) {
                (Some(false), _) | (_, Some(false)) => false,
                (one, other) => one? && other?,
            },
            Self::Or(one, other) => match (one.truth(view), other.truth(view)) {
                (Some(true), _) | (_, Some(true)) => true,
                (one, other) => one? || other?,
            },
        })
    }
}
