//! What is declared and can never take effect: it is no error, but it was hardly meant.
//!
//! Looked for only in a catalog without error, since one slip of the pen can leave a lot unused.

use super::super::document::{At, Report};
use super::super::read::Sources;
use super::super::{Catalog, ContactFilter, Only};

/// Warns of groups without offers, of placements, caps, cool-downs and volumes that no offer or channel fits, and of offers
/// that no placement can show.
pub(super) fn warn(catalog: &Catalog, sources: &Sources<'_>, report: &mut Report) {
    for (position, item) in sources.groups.items.iter().enumerate() {
        if !catalog.offers.iter().any(|offer| offer.group == position) {
            let hint = "give an offer this `group`, or remove it";
            report.warning(
                item.at.key("id"),
                format!("the group `{}` has no offer", item.source.id),
                hint,
            );
        }
    }
    for (item, placement) in sources.placements.items.iter().zip(&catalog.placements) {
        if !placement.offers.contains(&true) {
            let hint = "check its `groups` and `labels`: an offer must fit both";
            let message = format!("no offer fits the placement `{}`", placement.id);
            report.warning(item.at.key("id"), message, hint);
        }
    }
    for (item, cap) in sources.caps.items.iter().zip(&catalog.caps) {
        warn_of_filter(
            &cap.contacts,
            &format!("the cap `{}`", cap.id),
            item.at.key("id"),
            report,
        );
    }
    for (item, cool_down) in sources.cool_downs.items.iter().zip(&catalog.cool_downs) {
        let what = format!("the cool-down `{}`", cool_down.id);
        warn_of_filter(&cool_down.contacts, &what, item.at.key("id"), report);
    }
    for (item, volume) in sources.volumes.items.iter().zip(&catalog.volumes) {
        if !volume.contacts.offers.contains(&true) {
            let hint = "check its `offers`, `groups` and `labels`: an offer must fit all of them";
            let message = format!("no offer fits the volume `{}`", volume.id);
            report.warning(item.at.key("id"), message, hint);
        }
    }
    for (item, hold_out) in sources.hold_outs.items.iter().zip(&catalog.hold_outs) {
        let mut about = catalog.offers.iter().zip(&hold_out.offers).filter(|(_, about)| **about);
        if hold_out.shows_control && !about.any(|(offer, _)| offer.control.is_some()) {
            let hint = "give an offer `control` beside its `treatments`, or write `gets: nothing`";
            let message = format!("no offer of the hold-out `{}` has control content", hold_out.id);
            report.warning(item.at.key("gets"), message, hint);
        }
    }
    for (position, item) in sources.offers.items.iter().enumerate() {
        if !can_be_shown(catalog, position) {
            let hint = "give it a treatment for a channel of a placement that takes its group and labels";
            let message = format!("no placement can show the offer `{}`", item.source.id);
            report.warning(item.at.key("id"), message, hint);
        }
    }
}

fn warn_of_filter(contacts: &ContactFilter, what: &str, at: At<'_>, report: &mut Report) {
    if !contacts.offers.contains(&true) {
        let hint = "check its `offers`, `groups` and `labels`: an offer must fit all of them";
        report.warning(at, format!("no offer fits {what}"), hint);
    }
    if contacts.channels == Only::these(Vec::new()) {
        let hint = "check its `channels` and `directions`: a channel must fit both";
        report.warning(at, format!("no channel fits {what}"), hint);
    }
}

/// Tells whether a placement takes the offer on a channel for which it has a treatment.
fn can_be_shown(catalog: &Catalog, offer: usize) -> bool {
    let treatments = &catalog.offers[offer].treatments;
    catalog
        .placements
        .iter()
        .filter(|placement| placement.offers[offer])
        .any(|placement| {
            let mut on_channels = placement.channels.iter().zip(treatments);
            on_channels.any(|(allowed, treatment)| *allowed && treatment.is_some())
        })
}
