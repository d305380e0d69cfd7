//! What one catalog showed and stopped, counted by one worker.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::blockers::{Blockers, Kind};
use crate::catalog::Catalog;
use crate::domain::symbol::Symbol;
use crate::engine::{Active, Blocked};

/// The limits of all catalogs, numbered by kind and id: what customers are counted by.
#[derive(Default)]
pub(super) struct LimitNumbers(Mutex<HashMap<(Kind, Arc<str>), usize>>);

impl LimitNumbers {
    fn of(&self, blockers: &Blockers) -> Vec<Option<usize>> {
        let mut numbers = self.0.lock();
        let mut number = |(kind, id): (Kind, &Arc<str>)| {
            let next = numbers.len();
            (kind != Kind::Rule).then(|| *numbers.entry((kind, Arc::clone(id))).or_insert(next))
        };
        let list = blockers.list().iter();
        list.map(|blocker| number((blocker.kind, &blocker.id))).collect()
    }
}

/// A set of limits, by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct LimitSet(SmallVec<[u64; 1]>);

impl LimitSet {
    /// Adds a limit; tells whether it is new.
    fn insert(&mut self, number: usize) -> bool {
        let (word, bit) = (number / 64, 1 << (number % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }
}

/// One catalog with its counts.
pub(super) struct Side {
    pub(super) active: Active,
    pub(super) blockers: Blockers,
    limits: Vec<Option<usize>>,
    pub(super) counts: Counts,
}

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// How many decisions it made.
    pub(super) decisions: u64,
    /// By the offer's position: how often it was shown, and how often it was the first of its answer.
    pub(super) shown: Vec<(u64, u64)>,
    /// By the blocker's number: how often it stopped an offer first.
    pub(super) stopped: Vec<u64>,
    /// By the blocker's number: how many customers a limit stopped something for.
    pub(super) customers: Vec<u64>,
}

impl Side {
    pub(super) fn new(active: Active, limits: &LimitNumbers) -> Self {
        let blockers = Blockers::of(&active.catalog);
        let counts = Counts {
            decisions: 0,
            shown: vec![(0, 0); active.catalog.offers.len()],
            stopped: vec![0; blockers.list().len()],
            customers: vec![0; blockers.list().len()],
        };
        Self {
            limits: limits.of(&blockers),
            active,
            blockers,
            counts,
        }
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.active.catalog
    }

    /// Notes an answer: (placement, offer), in its order.
    pub(super) fn answer(&mut self, shown: &[(Symbol, Symbol)]) {
        self.counts.decisions += 1;
        for (at, &(_, offer)) in shown.iter().enumerate() {
            let position = self.active.catalog.offer_positions.get(offer);
            if let Some((shown, first)) = position.and_then(|position| self.counts.shown.get_mut(position)) {
                *shown += 1;
                *first += u64::from(at == 0);
            }
        }
    }
}

impl Counts {
    /// Adds what another worker counted of the same catalog.
    pub(super) fn add(&mut self, other: &Self) {
        self.decisions += other.decisions;
        for (own, other) in self.shown.iter_mut().zip(&other.shown) {
            *own = (own.0 + other.0, own.1 + other.1);
        }
        let lists = [
            (&mut self.stopped, &other.stopped),
            (&mut self.customers, &other.customers),
        ];
        for (own, other) in lists {
            own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        }
    }
}

/// Where a decision's notes go.
pub(super) struct Noting<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) blockers: &'a Blockers,
    pub(super) limits: &'a [Option<usize>],
    pub(super) counts: &'a mut Counts,
    pub(super) channel: usize,
    /// The limits that stopped something for the customer so far.
    pub(super) of_customer: &'a mut LimitSet,
}

impl Noting<'_> {
    pub(super) fn note(&mut self, blocked: Blocked) {
        let Some(number) = self.blockers.number(self.catalog, self.channel, blocked) else {
            return;
        };
        self.counts.stopped[number] += 1;
        if let Some(limit) = self.limits[number]
            && self.of_customer.insert(limit)
        {
            self.counts.customers[number] += 1;
        }
    }
}

impl Side {
    /// Returns the catalog with its models, and where the notes of a decision on this channel go.
    pub(super) fn noting<'a>(&'a mut self, channel: usize, of_customer: &'a mut LimitSet) -> (&'a Active, Noting<'a>) {
        let noting = Noting {
            catalog: &self.active.catalog,
            blockers: &self.blockers,
            limits: &self.limits,
            counts: &mut self.counts,
            channel,
            of_customer,
        };
        (&self.active, noting)
    }
}
