//! Volumes: limits and goals over all customers.

use std::sync::Arc;

use super::super::read::{Item, Sources};
use super::super::{Offer, Volume, source};
use super::contact::Written;
use super::limits::Choice;
use super::{Loader, Names};
use crate::domain::contact::Counted;

/// The most volumes of one catalog: every decision asks each of them, under one lock.
pub(super) const VOLUMES_MAX: usize = 256;

impl Loader {
    pub(super) fn volumes(&mut self, sources: &Sources<'_>, names: &Names, offers: &[Offer]) -> Vec<Volume> {
        let mut volumes = Vec::new();
        for item in &sources.volumes.items {
            self.judge(item);
            let Item { at, source } = item;
            let written = Written {
                offers: Choice {
                    at: *at,
                    offers: &source.offers,
                    groups: &source.groups,
                    labels: &source.labels,
                },
                channels: &source.channels,
                directions: &[],
                placements: &[],
                campaigns: &[],
            };
            let mut contacts = self.contact_filter(&written, names, offers);
            for (chosen, offer) in contacts.offers.iter_mut().zip(offers) {
                *chosen &= !offer.is_uncounted();
            }
            volumes.push(Volume {
                id: Arc::from(source.id.as_str()),
                because: source.because.as_str().into(),
                at_most: source.at_most,
                at_least: source.at_least,
                counted: match source.of {
                    source::VolumeCounted::Decided => Counted::Decided,
                    source::VolumeCounted::Delivered => Counted::Delivered,
                    source::VolumeCounted::Seen => Counted::Seen,
                },
                per: source.per,
                is_paced: source.pace == Some(source::Pace::Even),
                contacts,
                without_id: source.without_id,
            });
        }
        volumes
    }

    /// Reports what contradicts itself or says nothing.
    fn judge(&mut self, item: &Item<'_, source::Volume>) {
        let Item { at, source } = item;
        if let (Some(most), Some(least)) = (source.at_most, source.at_least)
            && least > most
        {
            let message = format!("`at_least` is {least}, more than `at_most` allows, {most}");
            self.report.error(at.key("at_least"), message);
        }
        if source.at_most.is_none() && source.at_least.is_none() {
            let hint = "write `at_most` for a limit, `at_least` for a goal, or both";
            let message = format!("the volume `{}` has neither `at_most` nor `at_least`", source.id);
            self.report.error_with_hint(at.key("id"), message, hint);
        }
        if source.pace.is_some() && source.per == source::VolumePer::Ever {
            let hint = "give it a window, as in `per: day`, or remove `pace`";
            self.report
                .error_with_hint(at.key("pace"), "`ever` has no end over which to spread a pace", hint);
        }
        if source.pace.is_some() && source.at_most.is_none() {
            let hint = "write `at_most`, or remove `pace`";
            self.report
                .error_with_hint(at.key("pace"), "a pace spreads `at_most`, which is missing", hint);
        }
    }
}
