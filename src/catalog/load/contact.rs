//! The contact policy: caps, cool-downs, and the attempt limits of campaigns.

use std::collections::BTreeSet;

use super::super::read::{Item, Sources};
use super::super::{Campaign, Cap, Combination, ContactFilter, CoolDown, Direction, Offer, Only, Window, source};
use super::limits::Choice;
use super::{Loader, Names};
use crate::catalog::WithoutId;
use crate::catalog::document::At;
use crate::domain::contact::Counted;
use crate::domain::profile::CONTACTS_MAX;
use crate::domain::symbol::Symbol;

/// The highest number that a cap may allow: so many contacts of one customer are kept for it.
const CAP_LIMIT_MAX: u32 = 1_000;

/// The most times after which a cool-down may begin: so many contacts with one offer are kept for it.
const TIMES_MAX: u32 = 100;

/// Which contacts a limit is about, as it is written; each empty list means any.
pub(super) struct Written<'a> {
    pub(super) offers: Choice<'a>,
    pub(super) channels: &'a [String],
    pub(super) directions: &'a [Direction],
    pub(super) placements: &'a [String],
    pub(super) campaigns: &'a [String],
}

impl Loader {
    pub(super) fn caps(&mut self, sources: &Sources<'_>, names: &Names, offers: &[Offer]) -> Vec<Cap> {
        let mut caps = Vec::new();
        for Item { at, source } in &sources.caps.items {
            self.at_most(at.key("at_most"), source.at_most);
            let window = self.cap_window(*at, source);
            let written = Written {
                offers: Choice {
                    at: *at,
                    offers: &source.offers,
                    groups: &source.groups,
                    labels: &source.labels,
                },
                channels: &source.channels,
                directions: &source.directions,
                placements: &source.placements,
                campaigns: &source.campaigns,
            };
            let each = source.each.as_ref().map_or(&[][..], source::EachOf::list);
            let cap = Cap {
                id: source.id.as_str().into(),
                because: source.because.as_str().into(),
                limit: source.at_most,
                counted: counted(source.of),
                window: window.unwrap_or(Window::Ever),
                each: Combination::of(each),
                contacts: self.contact_filter(&written, names, offers),
                without_id: source.without_id,
            };
            self.check_room(at.key("at_most"), &cap, names, offers);
            caps.push(cap);
        }
        caps
    }

    /// Warns of a limit that alone may need more contacts of one customer than are kept, and needs them for ever. What customers do
    /// themselves, as to click or to buy, they do with few.
    fn check_room(&mut self, at: At<'_>, cap: &Cap, names: &Names, offers: &[Offer]) {
        let is_ours = matches!(cap.counted, Counted::Decided | Counted::Delivered | Counted::Seen);
        // Of a number that is refused nothing more is said.
        if cap.window != Window::Ever || !is_ours || cap.limit > CAP_LIMIT_MAX {
            return;
        }
        let meant = cap.contacts.offers.iter().zip(offers);
        let meant = meant.filter(|(is_meant, offer)| **is_meant && !offer.is_uncounted());
        let groups: BTreeSet<usize> = meant.clone().map(|(_, offer)| offer.group).collect();
        let of = |only: &Only, all: usize| only.listed().map_or(all, <[Symbol]>::len);
        let Combination { offer, group, .. } = cap.each;
        let counts = [
            (offer, meant.count()),
            (group && !offer, groups.len()),
            (cap.each.channel, of(&cap.contacts.channels, names.channels.len())),
            (cap.each.placement, of(&cap.contacts.placements, names.placements.len())),
            (
                cap.each.campaign,
                of(&cap.contacts.campaigns, names.campaigns.len() + 1),
            ),
        ];
        let counted = counts.iter().filter(|(is_counted, _)| *is_counted);
        let combinations = counted.fold(1_usize, |all, (_, count)| all.saturating_mul(*count));
        let needed = combinations.saturating_mul(cap.limit as usize);
        if needed >= CONTACTS_MAX {
            let message = format!(
                "the limit `{}` may need {needed} contacts of one customer for ever, and at most {CONTACTS_MAX} are kept",
                cap.id
            );
            let hint = "who has had so many is shown nothing more, service messages included; allow fewer, or give the limit a window";
            self.report.warning(at, message, hint);
        }
    }

    pub(super) fn cool_downs(&mut self, sources: &Sources<'_>, names: &Names, offers: &[Offer]) -> Vec<CoolDown> {
        let mut cool_downs = Vec::new();
        for Item { at, source } in &sources.cool_downs.items {
            if source.times == 0 || source.times > TIMES_MAX {
                let message = format!("`times` must be from 1 to {TIMES_MAX}");
                self.report.error(at.key("times"), message);
            }
            let within = source.within.as_deref();
            let within = within.and_then(|within| self.span(at.key("within"), within));
            if within.is_some() && source.times == 1 {
                let hint = "give `times` of 2 or more, or remove `within`";
                self.report
                    .warning(at.key("within"), "`within` says nothing about a single time", hint);
            }
            let rest = match source.rest.as_str() {
                "for_good" => None,
                rest => self.span(at.key("rest"), rest),
            };
            let besides = Choice {
                at: *at,
                offers: &[],
                groups: &[],
                labels: &[],
            };
            let written = Written {
                offers: Choice {
                    offers: &source.offers,
                    groups: &source.groups,
                    labels: &source.labels,
                    ..besides
                },
                channels: &source.channels,
                directions: &source.directions,
                placements: &[],
                campaigns: &[],
            };
            let labels = self.label_symbols(at.key("on_labels"), &source.on_labels, names);
            let has_one = |offer: &Offer| labels.iter().any(|label| offer.labels.contains(label));
            cool_downs.push(CoolDown {
                id: source.id.as_str().into(),
                because: source.because.as_str().into(),
                after: source.after,
                times: source.times as usize,
                within,
                rest,
                on: source.on,
                also: offers.iter().map(has_one).collect(),
                contacts: self.contact_filter(&written, names, offers),
            });
        }
        cool_downs
    }

    /// Makes the campaigns, and their attempt limits as caps.
    pub(super) fn campaigns(
        &mut self,
        sources: &Sources<'_>,
        names: &Names,
        offers: &[Offer],
    ) -> (Vec<Campaign>, Vec<Cap>) {
        let (mut campaigns, mut attempts) = (Vec::new(), Vec::new());
        for Item { at, source } in &sources.campaigns.items {
            let symbol = self.symbols.intern(&source.id);
            campaigns.push(Campaign {
                id: source.id.as_str().into(),
                symbol,
                name: source.name.as_str().into(),
            });
            let Some(limits) = &source.attempts else { continue };
            let at = at.key("attempts");
            if limits.at_most.is_none() && limits.apart.is_none() {
                let hint = "give `at_most`, `apart` or both, or remove `attempts`";
                self.report.error_with_hint(at, "`attempts` limits nothing", hint);
            }
            let limit = |rule: &str, because: &str, limit: u32, window: Window| Cap {
                id: format!("{}.{rule}", source.id).into(),
                because: because.into(),
                limit,
                counted: Counted::Decided,
                window,
                each: Combination {
                    offer: true,
                    campaign: true,
                    ..Combination::default()
                },
                contacts: ContactFilter {
                    offers: vec![true; offers.len()],
                    names_offers: false,
                    groups: Only::all(),
                    labels: Only::all(),
                    channels: Only::all(),
                    placements: Only::all(),
                    campaigns: Only::these(vec![symbol]),
                },
                without_id: WithoutId::Closed,
            };
            if let Some(most) = limits.at_most {
                self.at_most(at.key("at_most"), most);
                let because = "The campaign has made all its attempts with this offer";
                let cap = limit("attempts", because, most, Window::Ever);
                self.check_room(at.key("at_most"), &cap, names, offers);
                attempts.push(cap);
            }
            if let Some(apart) = limits.apart.as_deref()
                && let Some(apart) = self.span(at.key("apart"), apart)
            {
                let because = "The campaign came with this offer a short time ago";
                attempts.push(limit("apart", because, 1, Window::Rolling(apart)));
            }
        }
        (campaigns, attempts)
    }

    fn at_most(&mut self, at: At<'_>, most: u32) {
        if most > CAP_LIMIT_MAX {
            self.report
                .error(at, format!("`at_most` must be from 0 to {CAP_LIMIT_MAX}"));
        }
    }

    fn interned(&mut self, names: &[String]) -> Vec<Symbol> {
        names.iter().map(|name| self.symbols.intern(name)).collect()
    }

    /// Reads the window of a cap; it has exactly one.
    fn cap_window(&mut self, at: At<'_>, source: &source::Cap) -> Option<Window> {
        match (source.within.as_deref(), source.per) {
            (Some("ever"), None) => Some(Window::Ever),
            (Some(within), None) => self.span(at.key("within"), within).map(Window::Rolling),
            (None, Some(per)) => Some(Window::Calendar(per)),
            (None, None) => {
                let hint = "give `within` for a rolling window, as in `7d` or `ever`, or `per` for a calendar one, as in `week`";
                let message = format!("the cap `{}` has no window", source.id);
                self.report.error_with_hint(at, message, hint);
                None
            }
            (Some(_), Some(_)) => {
                let hint = "keep `within` for a rolling window or `per` for a calendar one; two caps can have one each";
                let message = format!("the cap `{}` has two windows", source.id);
                self.report.error_with_hint(at.key("per"), message, hint);
                None
            }
        }
    }

    pub(super) fn contact_filter(&mut self, written: &Written<'_>, names: &Names, offers: &[Offer]) -> ContactFilter {
        let at = written.offers.at;
        let chosen = self.chosen(&written.offers, offers, names);
        let channels = self.positions(at.key("channels"), written.channels, &names.channels);
        let channels = self.symbols_of(&channels, &names.channels);
        let is_meant = |&(channel, is_outbound): &(Symbol, bool)| {
            let direction = if is_outbound {
                Direction::Outbound
            } else {
                Direction::Inbound
            };
            (written.channels.is_empty() || channels.contains(&channel))
                && (written.directions.is_empty() || written.directions.contains(&direction))
        };
        let meant: Vec<_> = self.symbols.channels().filter(is_meant).collect();
        let channels = if written.channels.is_empty() && written.directions.is_empty() {
            Only::all()
        } else {
            Only::these(meant.into_iter().map(|(channel, _)| channel).collect())
        };
        let placements = self.positions(at.key("placements"), written.placements, &names.placements);
        let placements = self.symbols_of(&placements, &names.placements);
        let campaigns = self.positions(at.key("campaigns"), written.campaigns, &names.campaigns);
        let campaigns = self.symbols_of(&campaigns, &names.campaigns);
        // What is not there was reported with the offers.
        let groups = self.interned(written.offers.groups);
        let labels = self.interned(written.offers.labels);
        let only = |given: &[String], symbols: Vec<Symbol>| {
            if given.is_empty() {
                Only::all()
            } else {
                Only::these(symbols)
            }
        };
        ContactFilter {
            offers: chosen,
            names_offers: !written.offers.offers.is_empty(),
            groups: only(written.offers.groups, groups),
            labels: only(written.offers.labels, labels),
            channels,
            placements: only(written.placements, placements),
            campaigns: only(written.campaigns, campaigns),
        }
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
