//! Contacts and contact policies as the auditor reads them.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::audit::history::{
    self, After, Cap, CoolDown, Customer, FORMAT, Header, Instant, Part, Policy, Rests, Scope, Unit, Volume, What,
    Window,
};
use crate::catalog::{self, Catalog, ContactFilter, Per, RestsOn, Trigger, VolumePer};
use crate::decision::policy::reservation;
use crate::decision::unite;
use crate::domain::contact::{Contact, Counted};
use crate::domain::ids::CustomerId;
use crate::domain::profile::{Joined, Profile};
use crate::domain::symbol::{OfferTraits, Symbol};
use crate::domain::time::{Millis, Timestamp};
use crate::server::policies::InForce;

/// Writes the first line: the policies in force.
#[must_use]
pub(in crate::server) fn header(policies: &[InForce], now: Timestamp) -> Header {
    Header {
        nbo_contacts: FORMAT,
        exported_at: at(now),
        policies: policies.iter().map(policy).collect(),
        under_way_ms: 0,
    }
}

/// Writes the line of one customer; `None` when there was no contact.
#[must_use]
pub(in crate::server) fn customer(id: &CustomerId, profile: &Profile, catalog: &Catalog) -> Option<Customer> {
    let contacts = unite::contacts(profile);
    if contacts.is_empty() {
        return None;
    }
    let number = |joined: &Joined| {
        let at = profile
            .joined
            .iter()
            .position(|other| other.visitor == joined.visitor)?;
        u32::try_from(at).ok()
    };
    let of = |(joined, one): (Option<&Joined>, &Contact)| history::Contact {
        joined: joined.and_then(|joined| {
            Some(history::Joined {
                visitor: number(joined)?,
                at: at(joined.merged_at),
                zone: zone_name(catalog.zone_of(&joined.profile)),
            })
        }),
        ..contact(one, catalog)
    };
    Some(Customer {
        customer: id.as_str().to_owned(),
        visitor: id.is_anonymous(),
        zone: Some(zone_name(catalog.zone_of(&unite::view(profile)))),
        contacts: contacts.into_iter().map(of).collect(),
    })
}

const fn at(time: Timestamp) -> Instant {
    Instant(time.as_millis())
}

fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

fn contact(contact: &Contact, catalog: &Catalog) -> history::Contact {
    let name = |symbol: Symbol| catalog.symbols.name(symbol).to_owned();
    let outcomes = Counted::ALL.into_iter().filter(|&counted| counted != Counted::Decided);
    history::Contact {
        decision: contact.decision,
        offer: name(contact.offer),
        channel: name(contact.channel),
        placement: name(contact.placement),
        campaign: contact.campaign.map(name),
        decided_at: at(contact.decided_at()),
        reserved_until: at(contact.decided_at() + reservation(catalog, contact.channel)),
        cancelled_at: contact.cancelled.map(at),
        backdated_at: contact.backdated.map(at),
        in_volumes: contact.in_volumes,
        joined: None,
        outcomes: outcomes
            .filter_map(|counted| Some((what(counted), at(contact.time_of(counted)?))))
            .collect(),
    }
}

const fn what(counted: Counted) -> What {
    match counted {
        Counted::Decided => What::Decided,
        Counted::Delivered => What::Delivered,
        Counted::Seen => What::Seen,
        Counted::Clicked => What::Clicked,
        Counted::Accepted => What::Accepted,
        Counted::Refused => What::Refused,
        Counted::Converted => What::Converted,
    }
}

const fn unit(per: Per) -> Unit {
    match per {
        Per::Hour => Unit::Hour,
        Per::Day => Unit::Day,
        Per::Week => Unit::Week,
        Per::Month => Unit::Month,
    }
}

fn policy(in_force: &InForce) -> Policy {
    use jiff::civil::Weekday;
    let catalog = &*in_force.catalog;
    let caps = catalog.caps.iter().chain(&catalog.attempts);
    Policy {
        in_force_from: at(in_force.from),
        in_force_until: in_force.until.map(at),
        catalog: catalog.version.to_string(),
        time_zone: zone_name(&catalog.time_zone),
        week_starts: match catalog.week_starts {
            Weekday::Monday => history::Weekday::Monday,
            Weekday::Tuesday => history::Weekday::Tuesday,
            Weekday::Wednesday => history::Weekday::Wednesday,
            Weekday::Thursday => history::Weekday::Thursday,
            Weekday::Friday => history::Weekday::Friday,
            Weekday::Saturday => history::Weekday::Saturday,
            Weekday::Sunday => history::Weekday::Sunday,
        },
        offers: offers(catalog),
        reservations_ms: reservations(catalog),
        caps: caps.map(|each| cap(each, catalog)).collect(),
        cool_downs: catalog.cool_downs.iter().map(|each| cool_down(each, catalog)).collect(),
        volumes: catalog
            .volumes
            .iter()
            .filter_map(|each| volume(each, catalog))
            .collect(),
    }
}

/// For how long each channel reserves, those that left the catalog included.
fn reservations(catalog: &Catalog) -> BTreeMap<String, i64> {
    let channels = catalog.symbols.channels().map(|(channel, _)| channel);
    let reservation = |channel| reservation(catalog, channel).get();
    channels
        .map(|channel| (catalog.symbols.name(channel).to_owned(), reservation(channel)))
        .collect()
}

/// All offers that a contact may have: the catalog's, and those that left it as they were last.
fn offers(catalog: &Catalog) -> BTreeMap<String, history::Offer> {
    let name = |symbol: Symbol| catalog.symbols.name(symbol).to_owned();
    let gone = catalog.symbols.offers().map(|(offer, traits)| {
        let about = history::Offer {
            group: name(traits.group),
            stopped: true,
            counted: !traits.is_uncounted,
        };
        (name(offer), about)
    });
    let mut offers: BTreeMap<_, _> = gone.collect();
    offers.extend(catalog.offers.iter().map(|offer| {
        let about = history::Offer {
            group: catalog.groups[offer.group].id.to_string(),
            stopped: !offer.is_exempt(),
            counted: !offer.is_uncounted(),
        };
        (offer.id.to_string(), about)
    }));
    offers
}

fn scope(filter: &ContactFilter, catalog: &Catalog) -> Scope {
    let names = |symbols: &[Symbol]| {
        symbols
            .iter()
            .map(|&each| catalog.symbols.name(each).to_owned())
            .collect()
    };
    let takes_all = !filter.names_offers && filter.groups.is_all() && filter.labels.is_all();
    let offers = || {
        let is_gone = |(offer, _): &(Symbol, &OfferTraits)| catalog.offer_positions.get(*offer).is_none();
        let gone = catalog.symbols.offers().filter(is_gone);
        let gone = gone.filter(|(_, traits)| filter.takes_gone(Some(traits)));
        let present = catalog.offers.iter().zip(&filter.offers).filter(|(_, meant)| **meant);
        let mut offers: Vec<String> = present.map(|(offer, _)| offer.id.to_string()).collect();
        offers.extend(gone.map(|(offer, _)| catalog.symbols.name(offer).to_owned()));
        offers
    };
    Scope {
        offers: (!takes_all).then(offers),
        channels: filter.channels.listed().map(names),
        placements: filter.placements.listed().map(names),
        campaigns: filter.campaigns.listed().map(names),
    }
}

fn cap(cap: &catalog::Cap, catalog: &Catalog) -> Cap {
    let each = [
        (cap.each.offer, Part::Offer),
        (cap.each.group, Part::Group),
        (cap.each.channel, Part::Channel),
        (cap.each.placement, Part::Placement),
        (cap.each.campaign, Part::Campaign),
    ];
    Cap {
        id: cap.id.to_string(),
        at_most: cap.limit as usize,
        of: what(cap.counted),
        window: match cap.window {
            catalog::Window::Rolling(span) => Window::RollingMs(span.get()),
            catalog::Window::Calendar(per) => Window::Calendar(unit(per)),
            catalog::Window::Ever => Window::Ever,
        },
        each: each
            .into_iter()
            .filter_map(|(is_set, part)| is_set.then_some(part))
            .collect(),
        scope: scope(&cap.contacts, catalog),
    }
}

/// Writes a volume; `None` for one that is only a goal.
fn volume(volume: &catalog::Volume, catalog: &Catalog) -> Option<Volume> {
    Some(Volume {
        id: volume.id.to_string(),
        at_most: u64::from(volume.at_most?),
        of: what(volume.counted),
        per: match volume.per {
            VolumePer::Hour => Some(Unit::Hour),
            VolumePer::Day => Some(Unit::Day),
            VolumePer::Week => Some(Unit::Week),
            VolumePer::Month => Some(Unit::Month),
            VolumePer::Ever => None,
        },
        pace_even: volume.is_paced,
        scope: scope(&volume.contacts, catalog),
    })
}

fn cool_down(cool_down: &catalog::CoolDown, catalog: &Catalog) -> CoolDown {
    let also = catalog.offers.iter().zip(&cool_down.also).filter(|(_, also)| **also);
    CoolDown {
        id: cool_down.id.to_string(),
        after: match cool_down.after {
            Trigger::Refused => After::Refused,
            Trigger::Accepted => After::Accepted,
            Trigger::Converted => After::Converted,
            Trigger::Clicked => After::Clicked,
            Trigger::Ignored => After::Ignored,
            Trigger::Attempted => After::Attempted,
        },
        times: cool_down.times,
        within_ms: cool_down.within.map(Millis::get),
        rest_ms: cool_down.rest.map(Millis::get),
        on: match cool_down.on {
            RestsOn::Offer => Rests::Offer,
            RestsOn::Group => Rests::Group,
            RestsOn::Everything => Rests::Everything,
        },
        also: also.map(|(offer, _)| offer.id.to_string()).collect(),
        scope: scope(&cool_down.contacts, catalog),
    }
}
