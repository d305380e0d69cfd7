//! What is left on each limit for one customer, whatever is asked for and where.

use super::super::calendar::Calendar;
use super::cool_down::Rests;
use super::counting::Known;
use super::{Limit, caps};
use crate::catalog::{Cap, Catalog};
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;

/// What a cap counts separately, as far as it does; everything is absent when it counts all contacts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountedFor {
    /// The offer.
    pub offer: Option<Symbol>,
    /// The group, for an offer that left the catalog the one that it had last.
    pub group: Option<Symbol>,
    /// The channel.
    pub channel: Option<Symbol>,
    /// The placement.
    pub placement: Option<Symbol>,
    /// The campaign; absent as well for contacts that no campaign asked for.
    pub campaign: Option<Symbol>,
}

/// What is left on a cap or attempt limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Which limit; never a cool-down.
    pub limit: Limit,
    /// For what it counts separately.
    pub of: CountedFor,
    /// How many contacts count now.
    pub count: u32,
    /// How many are allowed.
    pub at_most: u32,
    /// How many more fit now.
    pub left: u32,
    /// When the next contact stops counting if nothing else happens; `None` when none does.
    pub next_release: Option<Timestamp>,
}

/// A rest that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// Position of the cool-down in the catalog.
    pub cool_down: usize,
    /// The offer after which it is.
    pub after: Symbol,
    /// When it ends if nothing else happens; `None` when it is for good.
    pub until: Option<Timestamp>,
}

/// What is left for one customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Each cap and then each attempt limit, in the order of the files. One that counts separately is there once for each
    /// combination that has contacts now, in the order of the contacts; one that allows nothing is there first for all of them.
    pub allowances: Vec<Allowance>,
    /// The rests, by cool-down in the order of the files.
    pub rests: Vec<Resting>,
}

/// Works out what is left on each limit for a customer.
#[must_use]
pub fn budget(catalog: &Catalog, profile: &Profile, now: Timestamp) -> Budget {
    let calendar = Calendar::new(catalog.zone_of(profile), catalog.week_starts, now);
    let contacts = profile.contacts.iter();
    let known: Vec<Known<'_>> = contacts.filter_map(|contact| Known::of(catalog, contact)).collect();
    let mut budget = Budget::default();
    for (at, cap) in caps(catalog).enumerate() {
        let limit = at
            .checked_sub(catalog.caps.len())
            .map_or(Limit::Cap(at), Limit::Attempts);
        let first = budget.allowances.len();
        // Where nothing is allowed, every combination is stopped, also those of which there is no contact.
        if cap.each.is_none() || cap.limit == 0 {
            budget.allowances.push(untouched(limit, cap, CountedFor::default()));
        }
        for known in &known {
            let Some(release) = known.counts_until(cap, catalog, &calendar, now) else {
                continue;
            };
            let of = counted(catalog, cap, known);
            let of_cap = &budget.allowances[first..];
            let found = of_cap
                .iter()
                .position(|allowance| allowance.of == of)
                .unwrap_or_else(|| {
                    budget.allowances.push(untouched(limit, cap, of));
                    budget.allowances.len() - 1 - first
                });
            let allowance = &mut budget.allowances[first + found];
            allowance.count = allowance.count.saturating_add(1);
            allowance.left = allowance.left.saturating_sub(1);
            if release != Timestamp::FAR_FUTURE {
                allowance.next_release = Some(allowance.next_release.map_or(release, |next| next.min(release)));
            }
        }
    }
    let rests = Rests::new(catalog, &known, now).rests;
    budget.rests.extend(rests.iter().map(|rest| Resting {
        cool_down: rest.cool_down,
        after: rest.source,
        until: (rest.until != Timestamp::FAR_FUTURE).then_some(rest.until),
    }));
    budget
}

const fn untouched(limit: Limit, cap: &Cap, of: CountedFor) -> Allowance {
    Allowance {
        limit,
        of,
        count: 0,
        at_most: cap.limit,
        left: cap.limit,
        next_release: None,
    }
}

fn counted(catalog: &Catalog, cap: &Cap, known: &Known<'_>) -> CountedFor {
    let contact = known.contact;
    let group = || {
        let of_catalog = known.group.map(|group| catalog.groups[group].symbol);
        of_catalog.or_else(|| catalog.symbols.offer(contact.offer).map(|traits| traits.group))
    };
    CountedFor {
        offer: cap.each.offer.then_some(contact.offer),
        group: if cap.each.group { group() } else { None },
        channel: cap.each.channel.then_some(contact.channel),
        placement: cap.each.placement.then_some(contact.placement),
        campaign: contact.campaign.filter(|_| cap.each.campaign),
    }
}
