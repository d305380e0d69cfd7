//! What contact limits leave, in words of the contract.

use super::fault::{Faults, Path};
use super::{channel, customer, instant};
use crate::catalog::{Cap, Catalog, Channel};
use crate::decision::policy::{Allowance, Budget, CountedFor, Limit};
use crate::decision::{fill, quiet};
use crate::domain::ids::CustomerId;
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};
use crate::server::limits::AGE_MAX;
use crate::server::wire;

/// Converts whose budget is asked for, and the channel by its position, if only one is meant.
///
/// # Errors
/// Everything that is wrong with it.
pub fn budget_request(
    given: &wire::GetContactBudgetRequest,
    catalog: &Catalog,
) -> Result<(CustomerId, Option<usize>), Faults> {
    let mut faults = Faults::default();
    let customer = customer(given.customer.as_ref(), Path::Root.field("customer"), &mut faults);
    let channel = if given.channel.is_empty() {
        Some(None)
    } else {
        channel(&given.channel, catalog, Path::Root.field("channel"), &mut faults).map(Some)
    };
    faults.into_result(customer.zip(channel))
}

/// Converts how far ahead to look.
///
/// # Errors
/// When it is too far.
pub fn ahead(given: wire::ForecastLimitsRequest) -> Result<Millis, Faults> {
    let mut faults = Faults::default();
    let ahead = match given.ahead_seconds {
        0 => Millis::DAY,
        seconds => Millis::SECOND.times(i64::from(seconds)),
    };
    if ahead > AGE_MAX {
        let most = AGE_MAX.get() / Millis::SECOND.get();
        faults.add(
            Path::Root.field("ahead_seconds"),
            format_args!("{} is too far ahead; at most {most} are allowed", given.ahead_seconds),
        );
    }
    faults.into_result(Some(ahead))
}

/// Puts a budget into words; with a channel, only as far as it can stop an offer there.
#[must_use]
pub fn budget(
    budget: &Budget,
    catalog: &Catalog,
    channel: Option<usize>,
    profile_version: u64,
    now: Timestamp,
) -> wire::GetContactBudgetResponse {
    let channel = channel.map(|at| catalog.channels[at].symbol);
    let concerned = |allowance: &&Allowance| {
        channel.is_none_or(|channel| {
            let is_counted_here = allowance.of.channel.is_none_or(|of| of == channel);
            is_counted_here && cap(allowance.limit, catalog).is_some_and(|cap| cap.contacts.channels.takes(channel))
        })
    };
    wire::GetContactBudgetResponse {
        channels: Vec::new(),
        profile_version,
        counted_at: instant(now),
        limits: budget
            .allowances
            .iter()
            .filter(concerned)
            .filter_map(|each| Some(allowance(each, cap(each.limit, catalog)?, catalog)))
            .collect(),
        rests: budget
            .rests
            .iter()
            .map(|rest| {
                let cool_down = &catalog.cool_downs[rest.cool_down];
                wire::Rest {
                    rule: cool_down.id.to_string(),
                    because: cool_down.because.to_string(),
                    after_offer_id: catalog.symbols.name(rest.after).to_owned(),
                    until: rest.until.and_then(instant),
                }
            })
            .collect(),
    }
}

/// Says for each channel, or the one that is meant, whether anything may be shown there now: what stops everything, and what stops all
/// but service messages. `profile` is the customer's own, `view` with the visitors that are joined.
#[must_use]
pub fn channels(
    catalog: &Catalog,
    profile: &Profile,
    view: &Profile,
    channel: Option<usize>,
    now: Timestamp,
) -> Vec<wire::ChannelBudget> {
    let zone = catalog.zone_of(view);
    let meant = catalog.channels.iter().enumerate();
    let meant = meant.filter(|(at, _)| channel.is_none_or(|channel| channel == *at));
    let state = |(at, each): (usize, &Channel)| {
        let name = each.id.to_string();
        if let Some(rule) = fill::suppression_of(catalog, profile, at, 1, now) {
            return wire::ChannelBudget {
                channel: name,
                stopped_by: rule.to_owned(),
                ..wire::ChannelBudget::default()
            };
        }
        let quiet = quiet::at(&each.quiet, zone, now);
        let entry = quiet.entry.and_then(|entry| each.quiet.get(entry));
        entry.map_or_else(
            || wire::ChannelBudget {
                channel: name.clone(),
                ..wire::ChannelBudget::default()
            },
            |entry| wire::ChannelBudget {
                channel: name.clone(),
                stopped_by: each.quiet_rule.to_string(),
                because: entry.because.to_string(),
                until: quiet.ends_at.and_then(instant),
                service_messages: true,
            },
        )
    };
    meant.map(state).collect()
}

fn cap(limit: Limit, catalog: &Catalog) -> Option<&Cap> {
    match limit {
        Limit::Cap(at) => catalog.caps.get(at),
        Limit::Attempts(at) => catalog.attempts.get(at),
        Limit::CoolDown(_) => None,
    }
}

fn allowance(allowance: &Allowance, cap: &Cap, catalog: &Catalog) -> wire::LimitBudget {
    let name = |symbol: Symbol| catalog.symbols.name(symbol).to_owned();
    let or_empty = |symbol: Option<Symbol>| symbol.map(name).unwrap_or_default();
    let of = allowance.of;
    wire::LimitBudget {
        rule: cap.id.to_string(),
        because: cap.because.to_string(),
        channels: cap
            .contacts
            .channels
            .listed()
            .map(|channels| channels.iter().map(|&each| name(each)).collect())
            .unwrap_or_default(),
        counted_for: (of != CountedFor::default()).then(|| wire::CountedFor {
            offer_id: or_empty(of.offer),
            group: or_empty(of.group),
            channel: or_empty(of.channel),
            placement: or_empty(of.placement),
            campaign: or_empty(of.campaign),
        }),
        count: allowance.count,
        limit: allowance.at_most,
        left: allowance.left,
        next_release_at: allowance.next_release.and_then(instant),
    }
}

/// How many customers each limit stops, counted one customer after the other.
#[derive(Debug)]
pub struct Forecast {
    /// For caps, cool-downs and attempt limits, in this order: how many now, and how many later.
    counts: [Vec<(u64, u64)>; 3],
    customers: u64,
}

impl Forecast {
    /// Begins with no customer.
    #[must_use]
    pub fn new(catalog: &Catalog) -> Self {
        let none = |len: usize| vec![(0, 0); len];
        Self {
            counts: [
                none(catalog.caps.len()),
                none(catalog.cool_downs.len()),
                none(catalog.attempts.len()),
            ],
            customers: 0,
        }
    }

    /// Adds one customer: what is left now, and what would be left later.
    pub fn add(&mut self, now: &Budget, later: &Budget) {
        self.customers += 1;
        self.note(now, |count| &mut count.0);
        self.note(later, |count| &mut count.1);
    }

    fn note(&mut self, budget: &Budget, which: impl Fn(&mut (u64, u64)) -> &mut u64) {
        let full = budget.allowances.iter().filter(|allowance| allowance.left == 0);
        let resting = budget.rests.iter().map(|rest| Limit::CoolDown(rest.cool_down));
        let mut last = None;
        // A limit stands there once for each combination, all together: each customer counts once.
        for limit in full.map(|allowance| allowance.limit).chain(resting) {
            if last.replace(limit) == Some(limit) {
                continue;
            }
            let (kind, at) = match limit {
                Limit::Cap(at) => (0, at),
                Limit::CoolDown(at) => (1, at),
                Limit::Attempts(at) => (2, at),
            };
            if let Some(count) = self.counts[kind].get_mut(at) {
                *which(count) += 1;
            }
        }
    }

    /// Puts the result into words.
    #[must_use]
    pub fn answer(&self, catalog: &Catalog, now: Timestamp, later: Timestamp) -> wire::ForecastLimitsResponse {
        let ids = catalog.caps.iter().map(|cap| &cap.id);
        let ids = ids.chain(catalog.cool_downs.iter().map(|cool_down| &cool_down.id));
        let ids = ids.chain(catalog.attempts.iter().map(|cap| &cap.id));
        wire::ForecastLimitsResponse {
            counted_at: instant(now),
            later: instant(later),
            customers: self.customers,
            limits: ids
                .zip(self.counts.iter().flatten())
                .map(|(id, &(stopped_now, stopped_later))| wire::LimitForecast {
                    rule: id.to_string(),
                    stopped_now,
                    stopped_later,
                })
                .collect(),
        }
    }
}
