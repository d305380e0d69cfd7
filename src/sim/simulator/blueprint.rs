//! A simulated bank: drawn as plain data, from which both the catalog's files and the expectations are made.
//!
//! What profiles store (attributes, events, aggregates, intents) is the same in every version, but for one aggregate that comes and
//! goes and for the intents' weights; offers, conditions, dates, caps, factors and model columns are drawn anew.

use std::fmt;

use crate::domain::contact::Counted;
use crate::domain::decision::Stage;
use crate::domain::time::{Millis, Timestamp};
use crate::model::LinearScorer;
use crate::sim::draw::Draw;

use super::almanac::Clock;
use super::condition::{Condition, LOCAL, Vocabulary};
use super::gates::Gates;
use super::person::Person;
use super::rulebook::{self, Attempts, CAMPAIGNS, Cap, CoolDown, EACH, Filter, Policy, Window};
use super::volumes::Volume;

/// Channels and their reservation time, in the catalog's words and as a span.
pub(super) const CHANNELS: [(&str, &str, Millis); 3] = [
    ("web", "10m", Millis::new(600_000)),
    ("desk", "1h", Millis::HOUR),
    ("mail", "2d", Millis::new(2 * 86_400_000)),
];
pub(super) const SEGMENTS: [&str; 3] = ["mass", "affluent", "private"];
pub(super) const HOLDINGS: [&str; 3] = ["savings", "fund", "travel"];
pub(super) const CATEGORIES: [&str; 3] = ["savings", "fund", "travel"];
pub(super) const PAGES: [&str; 2] = ["home", "funds"];
pub(super) const GROUPS: [&str; 3] = ["savings", "fund", "travel"];
pub(super) const INTENTS: [&str; 2] = ["fund", "travel"];
pub(super) const LABELS: [&str; 3] = ["green", "credit", "season"];

/// A condition of one stage.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) stage: Stage,
    pub(super) condition: Condition,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) policy: Option<Policy>,
    pub(super) labels: Vec<usize>,
    pub(super) rules: Vec<Rule>,
    pub(super) intents: [Option<f64>; INTENTS.len()],
}

/// The offers that there may be.
pub(super) const OFFERS: [&str; 14] = [
    "o00", "o01", "o02", "o03", "o04", "o05", "o06", "o07", "o08", "o09", "o10", "o11", "o12", "o13",
];

/// One of [`OFFERS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OfferId(u8);

impl OfferId {
    pub(super) const FIRST: Self = Self(0);
    /// None of them.
    pub(super) const NONE: Self = Self(u8::MAX);

    /// Finds the one of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let at = OFFERS.iter().position(|offer| *offer == name)?;
        u8::try_from(at).ok().map(Self)
    }

    /// Returns all of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).take(OFFERS.len()).map(Self)
    }

    /// Returns its position in [`OFFERS`].
    pub(super) fn at(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn name(self) -> &'static str {
        OFFERS.get(self.at()).copied().unwrap_or("none")
    }
}

impl fmt::Debug for OfferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) id: OfferId,
    pub(super) group: usize,
    pub(super) labels: Vec<usize>,
    pub(super) policy: Option<Policy>,
    /// The first instant, and the first instant after.
    pub(super) valid: (Timestamp, Timestamp),
    pub(super) days: (Option<jiff::civil::Date>, Option<jiff::civil::Date>),
    pub(super) rate: Option<f64>,
    pub(super) start_propensity: f64,
    pub(super) value: f64,
    pub(super) lever: f64,
    pub(super) rules: Vec<Rule>,
    pub(super) treatments: [bool; CHANNELS.len()],
}

/// What an offer counted by when it was in the catalog last.
#[derive(Clone, Debug)]
pub(super) struct Past {
    pub(super) group: usize,
    pub(super) labels: Vec<usize>,
    pub(super) uncounted: bool,
}

/// A placement: the same in every version.
pub(super) struct Placement {
    pub(super) id: &'static str,
    pub(super) group: Option<usize>,
    pub(super) label: Option<usize>,
    pub(super) per_group_max: Option<usize>,
}

pub(super) const PLACEMENTS: [Placement; 4] = [
    Placement {
        id: "list",
        group: None,
        label: None,
        per_group_max: None,
    },
    Placement {
        id: "corner",
        group: None,
        label: Some(0),
        per_group_max: None,
    },
    Placement {
        id: "savings_page",
        group: Some(0),
        label: None,
        per_group_max: None,
    },
    Placement {
        id: "mixed",
        group: None,
        label: None,
        per_group_max: Some(1),
    },
];

/// A column of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Age,
    OwnsFund,
    SinceDays,
    Rate,
    Searches,
    FundIntent,
    SeenOfGroup,
    DecidedAtAll,
    OnHomePage,
}

/// What is known of every offer that there ever was.
type Pasts = [Option<Past>; OFFERS.len()];

/// One version of the bank.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
pub(super) struct Blueprint {
    pub(super) groups: [Group; GROUPS.len()],
    /// By id.
    pub(super) offers: Vec<Offer>,
    pub(super) caps: Vec<Cap>,
    pub(super) cool_downs: Vec<CoolDown>,
    pub(super) gates: Gates,
    pub(super) volumes: Vec<Volume>,
    pub(super) attempts: [Attempts; CAMPAIGNS.len()],
    /// By channel.
    pub(super) outbound: [bool; CHANNELS.len()],
    /// Whether customers have zones of their own.
    pub(super) own_zones: bool,
    /// From 0 for Monday.
    pub(super) week_starts: usize,
    /// All offers that were ever in force, once this version is.
    past: Pasts,
    /// Propensity, context weight, value, lever.
    pub(super) switches: [bool; 4],
    pub(super) begins_unknown: bool,
    pub(super) spending: bool,
    /// Thousandths for each signal of each intent.
    pub(super) weights: [[u32; 2]; INTENTS.len()],
    /// Until which age how much is kept, for each intent.
    pub(super) decay: [[(Millis, f64); 2]; INTENTS.len()],
    pub(super) columns: Vec<Column>,
    /// Whether the model can be loaded.
    pub(super) model_loads: bool,
}

/// The greatest strength of an intent.
pub(super) const STRENGTH_MAX: f64 = 2.5;
/// The contact window of the model's column.
pub(super) const SEEN_WITHIN: Millis = Millis::new(30 * 86_400_000);
/// The contact window of the other column.
pub(super) const DECIDED_WITHIN: Millis = Millis::new(2 * 86_400_000);

impl Blueprint {
    /// Draws a version for the time around `now`.
    pub(super) fn draw(draw: &mut Draw, now: Timestamp) -> Self {
        let words = Vocabulary {
            now,
            context: draw.chance(0.3),
            spending: draw.chance(0.7),
        };
        let groups = [0, 1, 2].map(|_| Group {
            policy: Policy::draw(draw),
            labels: labels(draw, 0.2),
            rules: rules(draw, words, 0.2),
            intents: [0, 1].map(|_| draw.chance(0.5).then(|| halves(draw, 9))),
        });
        let mut offers = Vec::new();
        for number in 0..OFFERS.len() {
            if draw.chance(0.85) {
                offers.push(offer(draw, words, number));
            }
        }
        // Each label is somebody's, so that caps and placements may name it.
        for (label, offer) in offers.iter_mut().enumerate().take(LABELS.len()) {
            if !offer.labels.contains(&label) {
                offer.labels.push(label);
            }
        }
        let caps = (0..=draw.below(6)).map(|number| rulebook::cap(draw, number, &offers));
        let caps = caps.collect();
        let cool_downs = (0..draw.below(4)).map(|number| rulebook::cool_down(draw, number, &offers));
        let cool_downs = cool_downs.collect();
        let volumes = Volume::draw_all(draw, &offers);
        let gates = Gates::draw(draw, now, &offers);
        let mut columns = vec![
            Column::Age,
            Column::OwnsFund,
            Column::SinceDays,
            Column::Rate,
            Column::Searches,
        ];
        columns.extend([Column::FundIntent, Column::SeenOfGroup]);
        columns.extend(draw.chance(0.25).then_some(Column::DecidedAtAll));
        columns.extend((words.context && draw.chance(0.5)).then_some(Column::OnHomePage));
        Self {
            groups,
            offers,
            caps,
            cool_downs,
            gates,
            volumes,
            attempts: [0; CAMPAIGNS.len()].map(|_| Attempts::draw(draw)),
            outbound: [0.2, 0.4, 0.7].map(|share| draw.chance(share)),
            own_zones: draw.chance(0.7),
            week_starts: if draw.chance(0.5) { 0 } else { draw.below(7) },
            past: Pasts::default(),
            switches: [0; 4].map(|_| draw.chance(0.9)),
            begins_unknown: draw.chance(0.7),
            spending: words.spending,
            weights: [0; 2].map(|_| [0; 2].map(|_| 100 * u32::try_from(1 + draw.below(12)).unwrap_or(1))),
            decay: [0; 2].map(|_| {
                let minutes = |count: usize| i64::try_from(count).unwrap_or(0);
                let first = minutes(10 + draw.below(600));
                let second = first + minutes(60 * (1 + draw.below(200)));
                let (first, second) = (Millis::MINUTE.times(first), Millis::MINUTE.times(second));
                [
                    (first, 1.0),
                    (second, f64::from(u32::try_from(1 + draw.below(7)).unwrap_or(1)) / 8.0),
                ]
            }),
            columns,
            model_loads: draw.chance(0.85),
        }
    }

    /// Finds an offer of this version.
    pub(super) fn offer(&self, id: OfferId) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.id == id)
    }

    /// Returns what an offer counts by, in this version or when it was in force last.
    pub(super) fn past(&self, id: OfferId) -> Option<&Past> {
        self.past[id.at()].as_ref()
    }

    /// Notes which offers there are, beside those that there were before.
    pub(super) fn remember(&mut self, before: &Self) {
        self.past.clone_from(&before.past);
        for offer in &self.offers {
            let past = Past {
                group: offer.group,
                labels: self.labels_of(offer),
                uncounted: self.policy_of(offer) == Policy::ExemptUncounted,
            };
            self.past[offer.id.at()] = Some(past);
        }
    }

    /// Returns an offer's labels and its group's.
    pub(super) fn labels_of(&self, offer: &Offer) -> Vec<usize> {
        let inherited = &self.groups[offer.group].labels;
        offer.labels.iter().chain(inherited).copied().collect()
    }

    /// Tells whether limits apply to an offer.
    pub(super) fn policy_of(&self, offer: &Offer) -> Policy {
        offer
            .policy
            .or(self.groups[offer.group].policy)
            .unwrap_or(Policy::Applies)
    }

    /// Returns the clock of the bank itself.
    pub(super) const fn clock(&self) -> Clock {
        Clock {
            zone: 0,
            week_starts: self.week_starts,
        }
    }

    /// Returns the clock by which a customer's calendar goes.
    pub(super) fn clock_of(&self, person: &Person) -> Clock {
        Clock {
            zone: person.known.zone.filter(|_| self.own_zones).unwrap_or(0),
            week_starts: self.week_starts,
        }
    }

    /// Returns the attempt limits as caps.
    pub(super) fn attempt_caps(&self) -> Vec<Cap> {
        let mut caps = Vec::new();
        for (at, (attempts, id)) in self.attempts.iter().zip(CAMPAIGNS).enumerate() {
            let limit = |rule: &str, at_most: usize, window: Window| Cap {
                id: format!("{id}.{rule}"),
                at_most,
                counted: Counted::Decided,
                window,
                each: EACH.map(|each| each == "offer" || each == "campaign"),
                contacts: Filter {
                    campaigns: vec![at],
                    ..Filter::default()
                },
            };
            caps.extend(attempts.at_most.map(|most| limit("attempts", most, Window::Ever)));
            caps.extend(attempts.apart.map(|apart| limit("apart", 1, Window::Rolling(apart))));
        }
        caps
    }

    /// Returns the model that fits the columns.
    pub(super) fn scorer(&self) -> LinearScorer {
        let weight = |column: &Column| match column {
            Column::Age => 0.013,
            Column::OwnsFund => 0.7,
            Column::SinceDays => -0.003,
            Column::Rate => 0.21,
            Column::Searches => 0.33,
            Column::FundIntent => -0.4,
            Column::SeenOfGroup => -0.17,
            Column::DecidedAtAll => -0.02,
            Column::OnHomePage => 0.5,
        };
        LinearScorer::new(self.columns.iter().map(weight).collect(), -1.1)
    }
}

fn halves(draw: &mut Draw, most: usize) -> f64 {
    f64::from(u32::try_from(1 + draw.below(most)).unwrap_or(1)) / 2.0
}

fn labels(draw: &mut Draw, share: f64) -> Vec<usize> {
    (0..LABELS.len()).filter(|_| draw.chance(share)).collect()
}

fn rules(draw: &mut Draw, words: Vocabulary, share: f64) -> Vec<Rule> {
    [Stage::Eligibility, Stage::Applicability, Stage::Suitability]
        .into_iter()
        .filter_map(|stage| {
            let has_one = draw.chance(share);
            let condition = has_one.then(|| Condition::draw(draw, words))?;
            Some(Rule { stage, condition })
        })
        .collect()
}

fn offer(draw: &mut Draw, words: Vocabulary, number: usize) -> Offer {
    let zone = &*LOCAL;
    let today = jiff::Timestamp::from_millisecond(words.now.as_millis())
        .map_or(jiff::civil::Date::MIN, |now| zone.to_datetime(now).date());
    let mut day = |from: i64, days: usize, share: f64| {
        draw.chance(share).then(|| {
            let ahead = from + i64::try_from(draw.below(days)).unwrap_or(0);
            today.saturating_add(jiff::Span::new().days(ahead))
        })
    };
    let days = (day(-10, 20, 0.3), day(-1, 30, 0.4));
    let days = if days.0 > days.1 { (days.0, None) } else { days };
    let midnight = |date: jiff::civil::Date| {
        let instant = zone.to_timestamp(date.at(0, 0, 0, 0)).unwrap_or(jiff::Timestamp::MIN);
        Timestamp::from_millis(instant.as_millisecond())
    };
    let valid = (
        days.0.map_or(Timestamp::FAR_PAST, midnight),
        days.1.map_or(Timestamp::FAR_FUTURE, |last| {
            midnight(last.saturating_add(jiff::Span::new().days(1)))
        }),
    );
    Offer {
        id: OfferId(u8::try_from(number).unwrap_or(0)),
        group: number % GROUPS.len(),
        labels: labels(draw, 0.25),
        policy: Policy::draw(draw),
        valid,
        days,
        rate: draw.chance(0.6).then(|| halves(draw, 9)),
        start_propensity: halves(draw, 9) / 20.0,
        value: halves(draw, 12),
        lever: if draw.chance(0.2) { halves(draw, 3) } else { 1.0 },
        rules: rules(draw, words, 0.12),
        treatments: [1.0, 0.85, 0.7].map(|share| draw.chance(share)),
    }
}
