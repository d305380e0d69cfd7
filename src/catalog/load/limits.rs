//! Placements, and which offers a placement or a limit is about.

use super::super::read::{Directory, Item, Sources};
use super::super::{Offer, Placement};
use super::{Loader, Names};
use crate::catalog::document::At;
use crate::domain::symbol::Symbol;

/// The most offers of one placement.
pub(super) const PLACEMENT_COUNT_MAX: u32 = 100;

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

    /// Finds the positions of names, and reports those that nothing has.
    pub(super) fn positions(&mut self, at: At<'_>, listed: &[String], directory: &Directory) -> Vec<usize> {
        let find = |(index, name): (usize, &String)| directory.find(at.item(index), name, &mut self.report);
        listed.iter().enumerate().filter_map(find).collect()
    }

    /// Returns the symbols of what stands at these positions.
    pub(super) fn symbols_of(&mut self, positions: &[usize], directory: &Directory) -> Vec<Symbol> {
        let names = positions.iter().map(|&at| directory.name(at));
        names.map(|name| self.symbols.intern(name)).collect()
    }

    /// Finds the symbols of labels, and reports those that no offer has.
    pub(super) fn label_symbols(&mut self, at: At<'_>, listed: &[String], names: &Names) -> Vec<Symbol> {
        let positions = self.positions(at, listed, &names.labels);
        self.symbols_of(&positions, &names.labels)
    }

    /// Tells for each offer whether it is meant.
    pub(super) fn chosen(&mut self, choice: &Choice<'_>, offers: &[Offer], names: &Names) -> Vec<bool> {
        let at = choice.at;
        let ids = self.positions(at.key("offers"), choice.offers, &names.offers);
        let groups = self.positions(at.key("groups"), choice.groups, &names.groups);
        let labels = self.label_symbols(at.key("labels"), choice.labels, names);
        let fits = |(position, offer): (usize, &Offer)| {
            (choice.offers.is_empty() || ids.contains(&position))
                && (choice.groups.is_empty() || groups.contains(&offer.group))
                && (choice.labels.is_empty() || labels.iter().any(|label| offer.labels.contains(label)))
        };
        offers.iter().enumerate().map(fits).collect()
    }
}
