//! One customer as a plain log: nothing is forgotten, packed or summed up ahead. What a catalog's version sees in it is
//! counted anew for each question.

use crate::domain::contact::Counted;
use crate::domain::ids::CustomerId;
use crate::domain::time::{Millis, Timestamp};

use super::blueprint::{
    Blueprint, CATEGORIES, CHANNELS, Column, DECIDED_WITHIN, INTENTS, Offer, OfferId, PLACEMENTS, SEEN_WITHIN,
    STRENGTH_MAX,
};
use super::condition::{Known, View};
use super::repeats::Calls;

/// How many event ids back a repeat is recognised.
const IDS_RECOGNISED: usize = 128;
/// How many events an intent remembers.
const TRACES: usize = 8;
/// How many sessions are remembered.
const SESSIONS: usize = 16;

/// What happened, as the simulator tells it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    Search {
        category: Option<usize>,
        results: Option<f64>,
    },
    Payment {
        amount: Option<f64>,
        abroad: Option<bool>,
    },
    Login,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Happening {
    pub(super) id_hash: u64,
    pub(super) time: Timestamp,
    pub(super) session: Option<u64>,
    pub(super) deed: Deed,
}

/// What an event fed, under the catalog that was in force when it arrived.
#[derive(Clone, Debug, PartialEq)]
enum Fed {
    Search,
    FundSearch,
    SearchFor(usize),
    LastCategory(usize),
    /// Thousandths.
    Spent(i64),
    /// Which, and thousandths.
    Intent(usize, u32),
}

/// One contact.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Contact {
    pub(super) decision: u32,
    pub(super) offer: OfferId,
    pub(super) channel: usize,
    pub(super) placement: usize,
    pub(super) campaign: Option<usize>,
    /// When each of [`Counted::ALL`] happened.
    pub(super) times: [Option<Timestamp>; 7],
    /// Whether somebody said that it would not be shown after all.
    pub(super) cancelled: bool,
    /// Its place in the register of all contacts.
    pub(super) serial: usize,
}

impl Contact {
    pub(super) fn decided_at(&self) -> Timestamp {
        self.times[0].unwrap_or_default()
    }

    pub(super) fn reserved_until(&self) -> Timestamp {
        self.decided_at() + CHANNELS[self.channel].2
    }

    /// Tells whether it counts nowhere: it was cancelled, and nothing was ever reported of it.
    pub(super) fn is_void(&self) -> bool {
        self.cancelled && self.is_open()
    }

    /// Tells whether nothing was reported of it.
    pub(super) fn is_open(&self) -> bool {
        self.times[1..].iter().all(Option::is_none)
    }

    /// Tells whether the customer took interest in it.
    pub(super) fn is_clicked(&self) -> bool {
        let acts = [Counted::Clicked, Counted::Accepted, Counted::Converted];
        acts.iter().any(|act| self.times[act.index()].is_some())
    }

    /// Returns since when it counts, by reports alone.
    pub(super) fn reported(&self, counted: Counted) -> Option<Timestamp> {
        match counted {
            Counted::Decided if self.is_void() => None,
            Counted::Delivered => self.times[1..].iter().flatten().min().copied(),
            Counted::Seen => self.times[2..].iter().flatten().min().copied(),
            _ => self.times[counted.index()],
        }
    }
}

/// A customer.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) id: CustomerId,
    /// Whether the engine has a profile.
    pub(super) exists: bool,
    pub(super) known: Known,
    pub(super) opt_outs: [bool; CHANNELS.len()],
    pub(super) opted_out_of_all: bool,
    /// Answers: for which purpose, on which channel or on all, and whether the customer agreed.
    pub(super) consents: Vec<(usize, Option<usize>, bool)>,
    pub(super) contacts: Vec<Contact>,
    /// The scores that the engine can fall back on, by offer.
    pub(super) good_scores: Vec<(OfferId, f32)>,
    /// What the model saw for them.
    pub(super) good_row: Vec<f32>,
    /// The calls with an id, and their answers.
    pub(super) calls: Calls,
    ids: Vec<u64>,
    fed: Vec<(Timestamp, u64, Fed)>,
    /// Hash and latest event.
    sessions: Vec<(u64, Timestamp)>,
}

impl Person {
    /// Begins a log.
    pub(super) fn new(id: CustomerId) -> Self {
        Self {
            id,
            exists: false,
            known: Known::default(),
            opt_outs: [false; CHANNELS.len()],
            opted_out_of_all: false,
            consents: Vec::new(),
            contacts: Vec::new(),
            good_scores: Vec::new(),
            good_row: Vec::new(),
            calls: Calls::default(),
            ids: Vec::new(),
            fed: Vec::new(),
            sessions: Vec::new(),
        }
    }

    /// Returns the ids of the events lately recorded, oldest first.
    pub(super) fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// Records the events of one call and returns how many are new. When the caller's clock runs ahead, all are moved back
    /// by as much.
    pub(super) fn record_all(&mut self, events: &[Happening], now: Timestamp, bank: &Blueprint) -> usize {
        let latest = events.iter().map(|event| event.time).max().unwrap_or(now);
        let ahead = latest.max(now) - now;
        events.iter().filter(|event| self.record(event, ahead, bank)).count()
    }

    /// Records an event; tells whether it is new.
    fn record(&mut self, event: &Happening, ahead: Millis, bank: &Blueprint) -> bool {
        let lately = &self.ids[self.ids.len().saturating_sub(IDS_RECOGNISED)..];
        if lately.contains(&event.id_hash) {
            return false;
        }
        self.ids.push(event.id_hash);
        let time = event.time - ahead;
        if let Some(session) = event.session {
            match self.sessions.iter_mut().find(|(hash, _)| *hash == session) {
                Some((_, last)) => *last = time.max(*last),
                None => self.sessions.push((session, time)),
            }
        }
        let mut feed = |fed| self.fed.push((time, event.id_hash, fed));
        match event.deed {
            Deed::Search { category, results } => {
                feed(Fed::Search);
                if let Some(category) = category {
                    feed(Fed::SearchFor(category));
                    if category == 1 {
                        feed(Fed::FundSearch);
                    }
                    if results.is_some_and(|results| results > 0.0) {
                        feed(Fed::LastCategory(category));
                    }
                    for (at, intent) in INTENTS.iter().enumerate() {
                        if CATEGORIES[category] == *intent {
                            feed(Fed::Intent(at, bank.weights[at][0]));
                        }
                    }
                }
                if results.is_some_and(|results| results > 10.0) {
                    feed(Fed::Intent(0, bank.weights[0][1]));
                }
            }
            Deed::Payment { amount, abroad } => {
                if let Some(amount) = amount.filter(|_| bank.spending) {
                    #[expect(clippy::cast_possible_truncation, reason = "amounts are small")]
                    feed(Fed::Spent((amount * 1_000.0).round() as i64));
                }
                if abroad == Some(true) {
                    feed(Fed::Intent(1, bank.weights[1][1]));
                }
            }
            Deed::Login => {}
        }
        true
    }

    /// Returns what conditions see of the customer; channel, page and rate are left out.
    pub(super) fn view(&self, now: Timestamp, bank: &Blueprint) -> View {
        let steps = |time: Timestamp, step: Millis| time.as_millis().div_euclid(step.get());
        let within = |step: Millis, count: i64, what: &dyn Fn(&Fed) -> Option<i64>| -> f64 {
            let amounts = || {
                let fed = self.fed.iter();
                fed.filter_map(|(time, _, fed)| Some((steps(*time, step), what(fed)?)))
            };
            // What lies ahead of a clock that stepped back does not count, but pushed out what is older than its window.
            let newest = amounts().map(|(at, _)| at).max().unwrap_or(i64::MIN);
            let (now, oldest) = (steps(now, step), steps(now, step).max(newest) - count);
            let counted = amounts().filter(|(at, _)| (oldest + 1..=now).contains(at));
            counted.map(|(_, amount)| amount).sum::<i64>() as f64
        };
        let one = |is: bool| is.then_some(1);
        let latest = |is: &dyn Fn(&Fed) -> bool| {
            let fed = self.fed.iter().filter(|(.., fed)| is(fed));
            fed.max_by_key(|(time, id_hash, _)| (*time, *id_hash))
        };
        let last_search = latest(&|fed| *fed == Fed::Search);
        let mut by_category = [0.0; CATEGORIES.len()];
        for (at, count) in by_category.iter_mut().enumerate() {
            *count = within(Millis::HOUR, 24, &|fed| one(*fed == Fed::SearchFor(at)));
        }
        View {
            now,
            known: self.known.clone(),
            searches: within(Millis::DAY, 7, &|fed| one(*fed == Fed::Search)),
            fund_searches: within(Millis::MINUTE.times(10), 18, &|fed| one(*fed == Fed::FundSearch)),
            by_category,
            spent: within(Millis::HOUR, 48, &|fed| {
                if let Fed::Spent(thousandths) = fed {
                    Some(*thousandths)
                } else {
                    None
                }
            }) / 1_000.0,
            since_search: last_search.map(|(time, ..)| (now - *time).get().max(0).div_euclid(6 * 3_600_000) as f64),
            last_category: latest(&|fed| matches!(fed, Fed::LastCategory(_))).and_then(|(.., fed)| match fed {
                Fed::LastCategory(category) => Some(*category),
                _ => None,
            }),
            visits: self.visits(now),
            intents: [0, 1].map(|intent| self.strength(intent, now, bank)),
            ..View::default()
        }
    }

    fn visits(&self, now: Timestamp) -> f64 {
        let mut sessions: Vec<(Timestamp, u64)> = self.sessions.iter().map(|&(hash, last)| (last, hash)).collect();
        sessions.sort_unstable();
        let lately = &sessions[sessions.len().saturating_sub(SESSIONS)..];
        lately.iter().filter(|(last, _)| now < *last + Millis::DAY).count() as f64
    }

    fn strength(&self, intent: usize, now: Timestamp, bank: &Blueprint) -> f64 {
        let mut traces: Vec<(Timestamp, u64, u32)> = Vec::new();
        for (time, id_hash, fed) in &self.fed {
            let Fed::Intent(of, thousandths) = fed else { continue };
            if *of != intent {
                continue;
            }
            match traces.iter_mut().find(|trace| (trace.0, trace.1) == (*time, *id_hash)) {
                Some(trace) => trace.2 += thousandths,
                None => traces.push((*time, *id_hash, *thousandths)),
            }
        }
        traces.sort_unstable();
        let mut strength = 0.0;
        for (time, _, thousandths) in &traces[traces.len().saturating_sub(TRACES)..] {
            let age = now - *time;
            if let Some((_, keep)) = bank.decay[intent].iter().find(|(until, _)| age < *until) {
                strength += f64::from(*thousandths) / 1_000.0 * keep;
            }
        }
        strength.min(STRENGTH_MAX)
    }

    /// Returns the model's row for an offer.
    pub(super) fn row(&self, offer: &Offer, view: &View, bank: &Blueprint) -> Vec<f32> {
        let known = &self.known;
        let number = |column: &Column| match column {
            Column::Age => known.age.map_or(7.5, |age| age.clamp(18.0, 60.0)),
            Column::OwnsFund => known.holdings.map_or(0.25, |owned| f64::from(u8::from(owned[1]))),
            Column::SinceDays => known
                .since
                .map_or(-1.0, |since| (view.now - since).get().div_euclid(86_400_000) as f64),
            Column::Rate => offer.rate.unwrap_or(0.0),
            Column::Searches => view.searches.ln_1p(),
            Column::FundIntent => view.intents[0],
            Column::SeenOfGroup => {
                let of_group = |contact: &&Contact| {
                    bank.offer(contact.offer)
                        .is_some_and(|other| other.group == offer.group)
                };
                let contacts = self.contacts.iter().filter(of_group);
                let seen = contacts.filter_map(|contact| contact.reported(Counted::Seen));
                seen.filter(|at| view.now < *at + SEEN_WITHIN).count() as f64
            }
            Column::DecidedAtAll => {
                let decided = self
                    .contacts
                    .iter()
                    .filter_map(|contact| contact.reported(Counted::Decided));
                decided.filter(|at| view.now < *at + DECIDED_WITHIN).count() as f64
            }
            Column::OnHomePage => f64::from(u8::from(view.page == Some(0))),
        };
        #[expect(clippy::cast_possible_truncation, reason = "a model's row has 32-bit numbers")]
        let row = bank.columns.iter().map(|column| number(column) as f32).collect();
        row
    }
}

/// Tells whether a placement takes an offer.
pub(super) fn takes(placement: usize, offer: &Offer, bank: &Blueprint) -> bool {
    let placement = &PLACEMENTS[placement];
    let labelled = |label: usize| offer.labels.contains(&label) || bank.groups[offer.group].labels.contains(&label);
    placement.group.is_none_or(|group| group == offer.group) && placement.label.is_none_or(labelled)
}
