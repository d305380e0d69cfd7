//! One worker: makes the decisions of its customers twice, in their order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::counts::{LimitNumbers, LimitSet, Side};
use super::scorers::Remembered;
use super::traffic::{self, Decided, Happening, What};
use super::{Carry, Setting, WhatIfError};
use crate::catalog::Catalog;
use crate::decision::fold;
use crate::decision::volumes::Rooms;
use crate::domain::decision::{Filled, fingerprint};
use crate::domain::entry::{Entry, Reservation};
use crate::domain::ids::CustomerKey;
use crate::domain::profile::Profile;
use crate::domain::request::OffersRequest;
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::{Activation, Active, Plan, Rehearsal, Rehearsed, Successors, Unasked};
use crate::journal::Table;
use crate::store::packed;
use crate::store::record::{Unread, Who};

/// Builds the catalog and the models of an activation again.
pub(super) type Build<'a> = &'a (dyn Fn(&Activation) -> Result<Active, String> + Sync);

/// The catalogs of then, each built once for all workers.
pub(super) struct Then<'a> {
    pub(super) activations: &'a [Activation],
    pub(super) keys: &'a Table,
    pub(super) build: Build<'a>,
    pub(super) built: Mutex<HashMap<u64, Result<Arc<Active>, String>>>,
    pub(super) limits: LimitNumbers,
}

impl Then<'_> {
    fn find(&self, generation: u64) -> Result<Arc<Active>, String> {
        let mut known = self.built.lock();
        let build = || {
            let found = self.activations.iter().find(|found| found.generation == generation);
            let Some(activation) = found else {
                return Err(format!("activation {generation} is not kept"));
            };
            let active = (self.build)(activation);
            active.map(Arc::new).map_err(|why| {
                let version = &activation.catalog;
                format!("catalog {version} cannot be built again: {why}")
            })
        };
        known.entry(generation).or_insert_with(build).clone()
    }
}

/// A catalog of then.
struct Before {
    side: Side,
    successors: Successors,
}

/// What is kept of a customer.
#[derive(Default)]
struct Customer {
    /// The limits that stopped something, by the catalog of then and by the other one.
    stopped: [LimitSet; 2],
    /// The packed contacts, when they are no longer those that were recorded.
    contacts: Option<Box<[u8]>>,
}

/// What happened in one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hour {
    pub(super) decisions: u64,
    pub(super) first_changed: u64,
    pub(super) list_changed: u64,
}

/// What a worker found, catalogs apart.
#[derive(Default)]
pub(super) struct Found {
    pub(super) customers: u64,
    pub(super) carried_customers: u64,
    pub(super) not_reproduced: u64,
    /// Records of people who were erased or forgotten since.
    pub(super) unreadable_records: u64,
    /// Why decisions could not be made again, and how many.
    pub(super) left_out: BTreeMap<String, u64>,
    /// Why the other catalog could not be asked, and how often.
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) became_empty: u64,
    /// By the hour since 1970.
    pub(super) hours: BTreeMap<i64, Hour>,
    /// When the first and the last decision of the period were made.
    pub(super) made: Option<(Timestamp, Timestamp)>,
    /// The same of all decisions that there are.
    pub(super) kept: Option<(Timestamp, Timestamp)>,
}

/// One worker.
pub(super) struct Worker<'a> {
    setting: Setting,
    then: &'a Then<'a>,
    pub(super) after: Side,
    befores: HashMap<u64, Result<Box<Before>, String>>,
    remembered: Remembered,
    customers: HashMap<Who, Customer>,
    rehearsal: Rehearsal,
    profile: Profile,
    scratch: Profile,
    found: Found,
}

/// Shown offers, each with its placement, in the order of an answer.
type List = Vec<(Symbol, Symbol)>;

impl<'a> Worker<'a> {
    pub(super) fn new(setting: Setting, then: &'a Then<'a>, after: &Active) -> Self {
        let mut remembered = Remembered::default();
        let after = Side::new(shared(after, &mut remembered), &then.limits);
        Self {
            setting,
            then,
            after,
            befores: HashMap::new(),
            remembered,
            customers: HashMap::new(),
            rehearsal: Rehearsal::default(),
            profile: Profile::default(),
            scratch: Profile::default(),
            found: Found::default(),
        }
    }

    /// Takes in one record.
    ///
    /// # Errors
    /// When another release wrote it, or its key is missing.
    pub(super) fn record(&mut self, number: u64, bytes: &[u8]) -> Result<(), WhatIfError> {
        let Happening { who, what } = match traffic::read(number, bytes, self.then.keys) {
            Ok(happening) => happening,
            Err(Unread::Destroyed(_)) => {
                self.found.unreadable_records += 1;
                return Ok(());
            }
            Err(Unread::NoKey(slot) | Unread::WrongKey(slot)) => {
                return Err(WhatIfError::Key { record: number, slot });
            }
            Err(Unread::Foreign) => return Err(WhatIfError::Record(number)),
        };
        match what {
            What::Decided(decided) => self.decided(who, &decided),
            What::Reported(entries) => self.reported(who, &entries),
            What::Forgotten => {
                if let Some(customer) = self.customers.get_mut(&who) {
                    customer.contacts = None;
                }
            }
            What::Other => {}
        }
        Ok(())
    }

    /// Returns what it found, and the counts of the catalogs of then.
    pub(super) fn finish(mut self) -> (Found, Side, Vec<(u64, Side)>) {
        self.found.customers = self.customers.len() as u64;
        let befores = self.befores.into_iter();
        let befores = befores.filter_map(|(generation, before)| Some((generation, before.ok()?.side)));
        (self.found, self.after, befores.collect())
    }

    fn decided(&mut self, who: Who, decided: &Decided) {
        let recorded = &decided.recorded;
        self.found.kept = around(self.found.kept, Some((recorded.at(), recorded.at())));
        if !self.setting.includes(recorded.at()) {
            return;
        }
        let found = &mut self.found;
        let mut leave_out = |why: &str| *found.left_out.entry(why.to_owned()).or_default() += 1;
        let build = || before(self.then, recorded.generation(), &self.after, &mut self.remembered);
        let before = match self.befores.entry(recorded.generation()).or_insert_with(build) {
            Ok(before) => before,
            Err(why) => return leave_out(why),
        };
        let Some((request, rooms)) = recorded.as_then(before.side.catalog()).zip(recorded.rooms()) else {
            return leave_out("their records name what their catalog does not have: another release wrote them");
        };
        recorded.profile(&mut self.profile);
        let customer = self.customers.entry(who).or_default();
        let [stopped_then, stopped_after] = &mut customer.stopped;

        let asked = Asked {
            decided,
            key: recorded.id().customer,
            request: &request,
            rooms: &rooms,
        };
        let made = asked.make(&mut self.rehearsal, &mut before.side, &self.profile, stopped_then);
        self.found.not_reproduced += u64::from(fingerprint(&made) != recorded.answer());
        before.side.answer(&decided.shown);

        if let Some(contacts) = &customer.contacts {
            packed::unpack(contacts, &mut self.scratch);
            std::mem::swap(&mut self.scratch.contacts, &mut self.profile.contacts);
        }
        let made = asked.make_after(
            before,
            (&mut self.after, &mut self.rehearsal),
            &self.profile,
            stopped_after,
        );
        let list = made.unwrap_or_else(|unasked| {
            *self.found.refused.entry(unasked.to_string()).or_default() += 1;
            List::new()
        });
        self.after.answer(&list);
        self.found.compare(recorded.at(), &decided.shown, &list);
        let is_other = customer.contacts.is_some() || list != decided.shown;
        if self.setting.carry == Carry::Shown && is_other {
            self.found.carried_customers += u64::from(customer.contacts.is_none());
            reserve(&mut self.profile, decided, list, self.after.catalog());
            self.scratch.clear();
            std::mem::swap(&mut self.scratch.contacts, &mut self.profile.contacts);
            customer.contacts = Some(pack(&self.scratch));
        }
    }

    /// Takes reports in where they are about what the other catalog showed as well.
    fn reported(&mut self, who: Who, entries: &[Entry]) {
        let Some(customer) = self.customers.get_mut(&who) else {
            return;
        };
        if let Some(contacts) = &mut customer.contacts {
            packed::unpack(contacts, &mut self.scratch);
            for entry in entries {
                fold::apply(&mut self.scratch, entry, &self.after.active.catalog);
            }
            *contacts = pack(&self.scratch);
        }
    }
}

/// Returns a catalog with models that share their scores with those of the worker's other catalogs.
fn shared(active: &Active, remembered: &mut Remembered) -> Active {
    Active {
        catalog: Arc::clone(&active.catalog),
        models: remembered.wrap(&active.models),
        generation: active.generation,
        since: active.since,
    }
}

fn before(then: &Then<'_>, generation: u64, after: &Side, remembered: &mut Remembered) -> Result<Box<Before>, String> {
    let active = then.find(generation)?;
    Ok(Box::new(Before {
        successors: Successors::find(&active.catalog, after.catalog()),
        side: Side::new(shared(&active, remembered), &then.limits),
    }))
}

/// Adds what the other catalog showed to the contacts at hand.
fn reserve(profile: &mut Profile, decided: &Decided, list: List, catalog: &Catalog) {
    if list.is_empty() {
        return;
    }
    let reservation = Reservation {
        decision: decided.recorded.id().number,
        channel: decided.channel,
        campaign: decided.campaign,
        at: decided.recorded.at(),
        contacts: list,
        in_volumes: decided.in_volumes,
        request: None,
    };
    fold::apply(profile, &Entry::Decision(reservation), catalog);
}

/// Packs the contacts of a profile that has nothing else.
fn pack(contacts: &Profile) -> Box<[u8]> {
    let mut bytes = Vec::new();
    packed::pack_no_id(&mut bytes);
    packed::pack(contacts, &mut bytes);
    bytes.into()
}

fn list(catalog: &Catalog, placements: &[Filled]) -> List {
    let offers = placements.iter().flat_map(|filled| {
        let placement = catalog.placements[filled.placement].symbol;
        let offers = filled.offers.iter();
        offers.map(move |shown| (placement, catalog.offers[shown.offer].symbol))
    });
    offers.collect()
}

/// What one catalog is asked.
struct Asked<'a> {
    decided: &'a Decided,
    key: CustomerKey,
    request: &'a OffersRequest,
    rooms: &'a Rooms,
}

impl Asked<'_> {
    fn make(
        &self,
        rehearsal: &mut Rehearsal,
        side: &mut Side,
        profile: &Profile,
        stopped: &mut LimitSet,
    ) -> Vec<Filled> {
        let recorded = &self.decided.recorded;
        let plan = recorded.plan(side.catalog());
        let (active, mut noting) = side.noting(self.request.channel, stopped);
        let rehearsed = Rehearsed {
            active,
            request: self.request,
            key: self.key,
            is_known: recorded.is_known(),
            rooms: self.rooms,
            steering: plan.as_ref().map(Plan::steering),
            now: recorded.at(),
        };
        rehearsal.decide(&rehearsed, profile, &mut |blocked| noting.note(blocked))
    }

    /// Asks the other catalog what the one of then was asked.
    fn make_after(
        &self,
        before: &Before,
        (after, rehearsal): (&mut Side, &mut Rehearsal),
        profile: &Profile,
        stopped: &mut LimitSet,
    ) -> Result<List, Unasked> {
        let recorded = &self.decided.recorded;
        let request = recorded.asked_of(after.catalog(), (before.side.catalog(), self.request))?;
        let rooms = before.successors.rooms(self.rooms, after.catalog(), recorded.at());
        let asked = Asked {
            request: &request,
            rooms: &rooms,
            ..*self
        };
        let made = asked.make(rehearsal, after, profile, stopped);
        Ok(list(after.catalog(), &made))
    }
}

/// Returns the span of two spans.
fn around(
    one: Option<(Timestamp, Timestamp)>,
    other: Option<(Timestamp, Timestamp)>,
) -> Option<(Timestamp, Timestamp)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}

impl Found {
    fn compare(&mut self, at: Timestamp, then: &[(Symbol, Symbol)], now: &[(Symbol, Symbol)]) {
        let first = |list: &[(Symbol, Symbol)]| list.first().map(|&(_, offer)| offer);
        let hour = at.as_millis().div_euclid(Millis::HOUR.get());
        let hour = self.hours.entry(hour).or_default();
        hour.decisions += 1;
        hour.first_changed += u64::from(first(then) != first(now));
        hour.list_changed += u64::from(then != now);
        self.became_empty += u64::from(now.is_empty());
        self.made = around(self.made, Some((at, at)));
    }

    /// Adds what another worker found.
    pub(super) fn add(&mut self, other: Self) {
        self.customers += other.customers;
        self.carried_customers += other.carried_customers;
        self.not_reproduced += other.not_reproduced;
        self.unreadable_records += other.unreadable_records;
        self.became_empty += other.became_empty;
        for (why, count) in other.left_out {
            *self.left_out.entry(why).or_default() += count;
        }
        for (why, count) in other.refused {
            *self.refused.entry(why).or_default() += count;
        }
        for (at, other) in other.hours {
            let hour = self.hours.entry(at).or_default();
            hour.decisions += other.decisions;
            hour.first_changed += other.first_changed;
            hour.list_changed += other.list_changed;
        }
        self.made = around(self.made, other.made);
        self.kept = around(self.kept, other.kept);
    }
}
