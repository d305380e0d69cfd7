//! Everything in one catalog that can stop an offer, numbered.

use std::sync::Arc;

use crate::catalog::{Catalog, Stages};
use crate::decision::barrier::Barred;
use crate::decision::fill::{self, OF_PLACEMENT, Stopped};
use crate::decision::gate::{self, Failure, staged};
use crate::decision::{consent, policy::Limit};
use crate::domain::decision::Stage;
use crate::engine::Blocked;

/// What kind of thing stops offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Rule,
    Cap,
    CoolDown,
    Attempts,
    Volume,
    QuietHours,
}

/// One thing that stops offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocker {
    pub(super) kind: Kind,
    pub(super) stage: Stage,
    pub(super) id: Arc<str>,
    pub(super) because: Arc<str>,
}

/// The rules that are built in and about all offers, by their stage.
const OF_CUSTOMER: [&str; 7] = [
    fill::UNKNOWN_CUSTOMER,
    fill::OPT_OUT,
    fill::HISTORY_FULL,
    consent::NO_CONSENT,
    consent::OBJECTED,
    gate::NOT_YET_VALID,
    gate::NO_LONGER_VALID,
];

/// All of one catalog.
#[derive(Debug, Default)]
pub(super) struct Blockers {
    list: Vec<Blocker>,
    /// By the group's position and the stage: the number of the first rule.
    of_groups: Vec<[usize; 3]>,
    of_offers: Vec<[usize; 3]>,
    /// The number of the first of each.
    hold_outs: usize,
    caps: usize,
    cool_downs: usize,
    attempts: usize,
    volumes: usize,
    quiet: usize,
}

impl Blockers {
    pub(super) fn of(catalog: &Catalog) -> Self {
        let mut all = Self::default();
        for rule in OF_PLACEMENT {
            all.add(Kind::Rule, Stage::Placement, rule.into(), "".into());
        }
        for rule in OF_CUSTOMER {
            all.add(Kind::Rule, Stage::HardSuppression, rule.into(), "".into());
        }
        all.of_groups = catalog.groups.iter().map(|group| all.stages(&group.stages)).collect();
        all.of_offers = catalog.offers.iter().map(|offer| all.stages(&offer.stages)).collect();
        all.hold_outs = all.list.len();
        for hold_out in &catalog.hold_outs {
            all.add(Kind::Rule, Stage::HardSuppression, Arc::clone(&hold_out.id), "".into());
        }
        let mut limits = |kind, limits: &mut dyn Iterator<Item = (&Arc<str>, &Arc<str>)>| {
            let first = all.list.len();
            for (id, because) in limits {
                all.add(kind, Stage::ContactPolicy, Arc::clone(id), Arc::clone(because));
            }
            first
        };
        let caps = limits(Kind::Cap, &mut catalog.caps.iter().map(|cap| (&cap.id, &cap.because)));
        let rests = catalog.cool_downs.iter();
        let cool_downs = limits(Kind::CoolDown, &mut rests.map(|rest| (&rest.id, &rest.because)));
        let attempts = catalog.attempts.iter();
        let attempts = limits(Kind::Attempts, &mut attempts.map(|cap| (&cap.id, &cap.because)));
        let volumes = catalog.volumes.iter();
        let volumes = limits(Kind::Volume, &mut volumes.map(|volume| (&volume.id, &volume.because)));
        let none: Arc<str> = "".into();
        let channels = catalog.channels.iter();
        let quiet = limits(
            Kind::QuietHours,
            &mut channels.map(|channel| {
                let because = channel.quiet.first().map_or(&none, |quiet| &quiet.because);
                (&channel.quiet_rule, because)
            }),
        );
        Self {
            caps,
            cool_downs,
            attempts,
            volumes,
            quiet,
            ..all
        }
    }

    fn add(&mut self, kind: Kind, stage: Stage, id: Arc<str>, because: Arc<str>) {
        self.list.push(Blocker {
            kind,
            stage,
            id,
            because,
        });
    }

    fn stages(&mut self, stages: &Stages) -> [usize; 3] {
        staged(stages).map(|(stage, rules)| {
            let first = self.list.len();
            for rule in rules {
                self.add(Kind::Rule, stage, Arc::clone(&rule.id), Arc::clone(&rule.because));
            }
            first
        })
    }

    pub(super) fn list(&self) -> &[Blocker] {
        &self.list
    }

    /// Returns the number of what stopped an offer on the channel at this position.
    pub(super) fn number(&self, catalog: &Catalog, channel: usize, blocked: Blocked) -> Option<usize> {
        let built_in = |rule: &str| {
            let names = OF_PLACEMENT.iter().chain(&OF_CUSTOMER);
            names.into_iter().position(|name| *name == rule)
        };
        let at = |firsts: &[[usize; 3]], position: usize, stage: Stage| {
            let stage = (stage as usize).checked_sub(Stage::Eligibility as usize)?;
            firsts.get(position)?.get(stage).copied()
        };
        Some(match blocked {
            Blocked::Everything(rule) => built_in(rule)?,
            Blocked::Gate(_, Failure::NotYetValid) => built_in(gate::NOT_YET_VALID)?,
            Blocked::Gate(_, Failure::NoLongerValid) => built_in(gate::NO_LONGER_VALID)?,
            Blocked::Gate(offer, Failure::OfGroup(stage, rule)) => {
                at(&self.of_groups, catalog.offer_groups[offer], stage)? + rule
            }
            Blocked::Gate(offer, Failure::OfOffer(stage, rule)) => at(&self.of_offers, offer, stage)? + rule,
            Blocked::Turn(_, stopped) => match stopped {
                Stopped::Barrier(Barred::Rule(rule)) | Stopped::Placement(rule) => built_in(rule)?,
                Stopped::Barrier(Barred::HoldOut(at)) => self.hold_outs + at,
                Stopped::Quiet => self.quiet + channel,
                Stopped::Limit(Limit::Cap(at)) => self.caps + at,
                Stopped::Limit(Limit::CoolDown(at)) => self.cool_downs + at,
                Stopped::Limit(Limit::Attempts(at)) => self.attempts + at,
                Stopped::Volume(at) => self.volumes + at,
            },
        })
    }
}
