//! From what the workers counted, catalog by catalog and by position, to the report, by ids.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::blockers::{Blocker, Kind};
use super::counts::Side;
use super::report::{
    Decisions, GroupRow, History, HourRow, InForce, LimitRow, OfferRow, Pair, Reason, Report, RuleRow, Span, Status,
    Tried,
};
use super::worker::Found;
use super::{Carry, Part, Setting};
use crate::catalog::Catalog;
use crate::domain::decision::Stage;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::{Activation, Successors};

/// Whose numbers are added.
#[derive(Clone, Copy)]
enum Whose {
    Then,
    Tried,
}

pub(super) fn report(setting: Setting, activations: &[Activation], parts: Vec<Part>) -> Report {
    let mut found = Found::default();
    let mut after: Option<Side> = None;
    let mut befores: BTreeMap<u64, Side> = BTreeMap::new();
    for (of_worker, own_after, own_befores) in parts {
        found.add(of_worker);
        match &mut after {
            Some(after) => after.counts.add(&own_after.counts),
            None => after = Some(own_after),
        }
        for (generation, side) in own_befores {
            match befores.entry(generation) {
                Entry::Occupied(mut same) => same.get_mut().counts.add(&side.counts),
                Entry::Vacant(free) => drop(free.insert(side)),
            }
        }
    }
    let mut rows = Rows::default();
    for side in befores.values() {
        rows.add(side, Whose::Then);
    }
    let tried = after.as_ref().map(|after| {
        rows.add(after, Whose::Tried);
        let catalog = after.catalog();
        Tried {
            name: catalog.name.to_string(),
            version: catalog.version.to_string(),
        }
    });
    let in_force = |(generation, side): (&u64, &Side)| InForce {
        version: side.catalog().version.to_string(),
        since: activations
            .iter()
            .find(|activation| activation.generation == *generation)
            .map_or_else(String::new, |activation| activation.at().to_string()),
        decisions: side.counts.decisions,
    };
    let asked = |at: Timestamp, open: Timestamp| (at != open).then(|| at.to_string());
    Report {
        catalog: tried.unwrap_or(Tried {
            name: String::new(),
            version: String::new(),
        }),
        before: befores.iter().map(in_force).collect(),
        history: match setting.carry {
            Carry::Shown => History::Carried,
            Carry::Recorded => History::Recorded,
        },
        from: asked(setting.from, Timestamp::FAR_PAST),
        to: asked(setting.to, Timestamp::FAR_FUTURE),
        made: found.made.map(span),
        kept: found.kept.map(span),
        customers: found.customers,
        customers_carried: found.carried_customers,
        shown: sum(rows.offers.values().map(|row| row.shown)),
        remarks: remarks(after.as_ref(), &befores),
        decisions: decisions(&found),
        offers: rows.offers.into_values().collect(),
        groups: rows.groups.into_values().collect(),
        limits: rows.limits.into_values().collect(),
        rules: rows.rules.into_values().collect(),
        hours: found.hours.iter().map(hour).collect(),
    }
}

fn span((first, last): (Timestamp, Timestamp)) -> Span {
    Span {
        first: first.to_string(),
        last: last.to_string(),
    }
}

fn sum(pairs: impl Iterator<Item = Pair>) -> Pair {
    pairs.fold(Pair::default(), |sum, pair| Pair {
        before: sum.before + pair.before,
        after: sum.after + pair.after,
    })
}

fn decisions(found: &Found) -> Decisions {
    let hours = || found.hours.values();
    let reasons = |reasons: &BTreeMap<String, u64>| {
        let reasons = reasons.iter();
        let reason = |(why, &decisions): (&String, &u64)| Reason {
            why: why.clone(),
            decisions,
        };
        reasons.map(reason).collect()
    };
    Decisions {
        made: hours().map(|hour| hour.decisions).sum(),
        not_reproduced: found.not_reproduced,
        first_changed: hours().map(|hour| hour.first_changed).sum(),
        list_changed: hours().map(|hour| hour.list_changed).sum(),
        became_empty: found.became_empty,
        refused: reasons(&found.refused),
        left_out: reasons(&found.left_out),
        unreadable_records: found.unreadable_records,
    }
}

fn hour((&at, hour): (&i64, &super::worker::Hour)) -> HourRow {
    HourRow {
        hour: Timestamp::from_millis(at * Millis::HOUR.get()).to_string(),
        decisions: hour.decisions,
        first_changed: hour.first_changed,
        list_changed: hour.list_changed,
    }
}

/// Names what of the tried catalog has no past.
fn remarks(after: Option<&Side>, befores: &BTreeMap<u64, Side>) -> Vec<String> {
    let Some(after) = after else { return Vec::new() };
    let tried = after.catalog();
    let mut volumes = BTreeSet::new();
    let mut behaviour = BTreeSet::new();
    for side in befores.values() {
        let then = side.catalog();
        let unknown = Successors::find(then, tried);
        volumes.extend(unknown.unknown().map(|at| &*tried.volumes[at].id));
        let aggregates = tried.aggregates.iter().filter(|aggregate| {
            let is_same = |known: &crate::catalog::Aggregate| known.symbol == aggregate.symbol;
            !then.aggregates.iter().any(is_same)
        });
        behaviour.extend(aggregates.map(|aggregate| &*aggregate.id));
        let intents = tried.intents.iter().filter(|intent| {
            let is_same = |known: &crate::catalog::Intent| known.symbol == intent.symbol;
            !then.intents.iter().any(is_same)
        });
        behaviour.extend(intents.map(|intent| &*intent.id));
    }
    let names = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    let mut remarks = Vec::new();
    if !volumes.is_empty() {
        remarks.push(format!(
            "these volumes were not simulated and stop nothing, for what they count was not recorded: {}",
            names(volumes)
        ));
    }
    if !behaviour.is_empty() {
        remarks.push(format!(
            "these aggregates and intents begin without a past, for the profiles were folded without them: {}",
            names(behaviour)
        ));
    }
    remarks
}

/// The rows of all lists, by what they are sorted by.
#[derive(Default)]
struct Rows {
    offers: BTreeMap<String, OfferRow>,
    groups: BTreeMap<String, GroupRow>,
    limits: BTreeMap<(Kind, String), LimitRow>,
    rules: BTreeMap<(Stage, String), RuleRow>,
}

impl Status {
    /// What it is from now on, when those of then have been looked at before.
    const fn also(self, whose: Whose) -> Self {
        match (self, whose) {
            (Self::Gone | Self::Kept, Whose::Tried) => Self::Kept,
            _ => self,
        }
    }

    const fn first(whose: Whose) -> Self {
        match whose {
            Whose::Then => Self::Gone,
            Whose::Tried => Self::New,
        }
    }
}

impl Pair {
    const fn add(&mut self, whose: Whose, number: u64) {
        match whose {
            Whose::Then => self.before += number,
            Whose::Tried => self.after += number,
        }
    }
}

impl Rows {
    fn add(&mut self, side: &Side, whose: Whose) {
        let catalog = side.catalog();
        for (at, group) in catalog.groups.iter().enumerate() {
            let new = || GroupRow {
                group: group.id.to_string(),
                status: Status::first(whose),
                shown: Pair::default(),
                first: Pair::default(),
            };
            let row = self.groups.entry(group.id.to_string()).or_insert_with(new);
            row.status = row.status.also(whose);
            let own = catalog.offers.iter().zip(&side.counts.shown);
            for (_, &(shown, first)) in own.filter(|(offer, _)| offer.group == at) {
                row.shown.add(whose, shown);
                row.first.add(whose, first);
            }
        }
        self.add_offers(catalog, &side.counts.shown, whose);
        let blockers = side.blockers.list().iter();
        let counts = side.counts.stopped.iter().zip(&side.counts.customers);
        for (blocker, (&stopped, &customers)) in blockers.zip(counts) {
            if blocker.kind == Kind::Rule {
                self.add_rule(blocker, stopped, whose);
            } else {
                self.add_limit(blocker, (stopped, customers), whose);
            }
        }
    }

    fn add_offers(&mut self, catalog: &Catalog, counts: &[(u64, u64)], whose: Whose) {
        for (offer, &(shown, first)) in catalog.offers.iter().zip(counts) {
            let group = catalog.groups[offer.group].id.to_string();
            let new = || OfferRow {
                offer: offer.id.to_string(),
                group: String::new(),
                status: Status::first(whose),
                shown: Pair::default(),
                first: Pair::default(),
            };
            let row = self.offers.entry(offer.id.to_string()).or_insert_with(new);
            row.group = group;
            row.status = row.status.also(whose);
            row.shown.add(whose, shown);
            row.first.add(whose, first);
        }
    }

    fn add_rule(&mut self, blocker: &Blocker, stopped: u64, whose: Whose) {
        let new = || RuleRow {
            stage: stage(blocker.stage),
            rule: blocker.id.to_string(),
            because: String::new(),
            status: Status::first(whose),
            blocked: Pair::default(),
        };
        let key = (blocker.stage, blocker.id.to_string());
        let row = self.rules.entry(key).or_insert_with(new);
        row.because = blocker.because.to_string();
        row.status = row.status.also(whose);
        row.blocked.add(whose, stopped);
    }

    fn add_limit(&mut self, blocker: &Blocker, (stopped, customers): (u64, u64), whose: Whose) {
        let new = || LimitRow {
            kind: kind(blocker.kind),
            limit: blocker.id.to_string(),
            because: String::new(),
            status: Status::first(whose),
            withheld: Pair::default(),
            customers: Pair::default(),
        };
        let key = (blocker.kind, blocker.id.to_string());
        let row = self.limits.entry(key).or_insert_with(new);
        row.because = blocker.because.to_string();
        row.status = row.status.also(whose);
        row.withheld.add(whose, stopped);
        row.customers.add(whose, customers);
    }
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::HardSuppression => "hard_suppression",
        Stage::Eligibility => "eligibility",
        Stage::Applicability => "applicability",
        Stage::Suitability => "suitability",
        Stage::ContactPolicy => "contact_policy",
        Stage::Placement => "placement",
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Rule => "rule",
        Kind::Cap => "cap",
        Kind::CoolDown => "cool_down",
        Kind::Attempts => "attempts",
        Kind::Volume => "volume",
        Kind::QuietHours => "quiet_hours",
    }
}
