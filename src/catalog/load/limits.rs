//! Placements and caps: which offers they are about, and how many of them.

use std::sync::Arc;

use super::super::read::{Directory, Item, Sources};
use super::super::{Cap, Offer, Placement, source};
use super::{Loader, Names};
use crate::catalog::document::At;
use crate::domain::contact::Counted;
use crate::domain::symbol::Symbol;

/// The most offers of one placement.
pub(super) const PLACEMENT_COUNT_MAX: u32 = 100;

/// The highest number that a cap may allow: so many contacts of one customer are kept for it.
pub(super) const CAP_LIMIT_MAX: u32 = 1_000;

/// Which offers are meant: those of the named ids, groups and labels; each empty list means any.
pub(super) struct Choice<'a> {
    pub(super) at: At<'a>,
    pub(super) offers: &'a [String],
    pub(super) groups: &'a [String],
    pub(super) labels: &'a [String],
}

impl Loader {
    pub(super) fn placements(&mut self, sources: &Sources<'_>, names: &Names, offers: &[Offer]) -> Vec<Placement> {
        let mut placements = Vec::new();
        for Item { at, source } in &sources.placements.items {
            let channels = self.positions(at.key("channels"), &source.channels, &names.channels);
            let choice = Choice {
                at: *at,
                offers: &[],
                groups: &source.groups,
                labels: &source.labels,
            };
            let chosen = self.chosen(&choice, offers, names);
            for (key, count) in [
                ("count_max", Some(source.count_max)),
                ("per_group_max", source.per_group_max),
            ] {
                if count.is_some_and(|count| count == 0 || count > PLACEMENT_COUNT_MAX) {
                    let message = format!("`{key}` must be from 1 to {PLACEMENT_COUNT_MAX}");
                    self.report.error(at.key(key), message);
                }
            }
            let all = source.channels.is_empty();
            placements.push(Placement {
                id: source.id.as_str().into(),
                symbol: self.symbols.intern(&source.id),
                name: source.name.as_str().into(),
                channels: (0..names.channels.len())
                    .map(|at| all || channels.contains(&at))
                    .collect(),
                offers: chosen,
                count_max: source.count_max as usize,
                per_group_max: source.per_group_max.map(|count| count as usize),
                fallback: self.content(at.key("fallback"), &source.fallback),
            });
        }
        placements
    }

    pub(super) fn caps(&mut self, sources: &Sources<'_>, names: &Names, offers: &[Offer]) -> Vec<Cap> {
        let mut caps = Vec::new();
        for Item { at, source } in &sources.caps.items {
            if source.at_most > CAP_LIMIT_MAX {
                self.report.error(
                    at.key("at_most"),
                    format!("`at_most` must be from 0 to {CAP_LIMIT_MAX}"),
                );
            }
            let window = match source.within.as_str() {
                "ever" => None,
                within => self.span(at.key("within"), within),
            };
            let choice = Choice {
                at: *at,
                offers: &source.offers,
                groups: &source.groups,
                labels: &source.labels,
            };
            let chosen = self.chosen(&choice, offers, names);
            let channels = self.positions(at.key("channels"), &source.channels, &names.channels);
            let placements = self.positions(at.key("placements"), &source.placements, &names.placements);
            caps.push(Cap {
                id: Arc::from(source.id.as_str()),
                because: source.because.as_str().into(),
                limit: source.at_most,
                counted: counted(source.of),
                window,
                each: source.each,
                offers: chosen,
                all_offers: source.offers.is_empty() && source.groups.is_empty() && source.labels.is_empty(),
                channels: channels
                    .iter()
                    .map(|&at| self.symbols.intern(names.channels.name(at)))
                    .collect(),
                placements: placements
                    .iter()
                    .map(|&at| self.symbols.intern(names.placements.name(at)))
                    .collect(),
            });
        }
        caps
    }

    /// Finds the positions of names, and reports those that nothing has.
    fn positions(&mut self, at: At<'_>, listed: &[String], directory: &Directory) -> Vec<usize> {
        let find = |(index, name): (usize, &String)| directory.find(at.item(index), name, &mut self.report);
        listed.iter().enumerate().filter_map(find).collect()
    }

    /// Tells for each offer whether it is meant.
    pub(super) fn chosen(&mut self, choice: &Choice<'_>, offers: &[Offer], names: &Names) -> Vec<bool> {
        let at = choice.at;
        let ids = self.positions(at.key("offers"), choice.offers, &names.offers);
        let groups = self.positions(at.key("groups"), choice.groups, &names.groups);
        let labels: Vec<Symbol> = self
            .positions(at.key("labels"), choice.labels, &names.labels)
            .into_iter()
            .map(|at| self.symbols.intern(names.labels.name(at)))
            .collect();
        let fits = |(position, offer): (usize, &Offer)| {
            (choice.offers.is_empty() || ids.contains(&position))
                && (choice.groups.is_empty() || groups.contains(&offer.group))
                && (choice.labels.is_empty() || labels.iter().any(|label| offer.labels.contains(label)))
        };
        offers.iter().enumerate().map(fits).collect()
    }
}

const fn counted(name: source::CountedName) -> Counted {
    match name {
        source::CountedName::Decided => Counted::Decided,
        source::CountedName::Delivered => Counted::Delivered,
        source::CountedName::Seen => Counted::Seen,
        source::CountedName::Clicked => Counted::Clicked,
        source::CountedName::Accepted => Counted::Accepted,
        source::CountedName::Refused => Counted::Refused,
        source::CountedName::Converted => Counted::Converted,
    }
}
