//! The contact policy, recounted by brute force: every limit is asked anew at every instant that could matter.

use crate::domain::contact::Counted;
use crate::domain::time::Timestamp;

use super::almanac::Clock;
use super::blueprint::{Blueprint, Offer, OfferId};
use super::person::{Contact, Person};
use super::rulebook::{After, Cap, CoolDown, Filter, On, Policy, Window};

/// An offer about to be shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) offer: &'a Offer,
    pub(super) channel: usize,
    pub(super) placement: usize,
    pub(super) campaign: Option<usize>,
}

/// A limit that stops a candidate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stop {
    pub(super) rule: String,
    /// Absent for somebody who cannot be counted.
    pub(super) count: Option<usize>,
    pub(super) limit: usize,
    pub(super) again: Option<Timestamp>,
    /// Whether it may also be said to come later than that.
    pub(super) is_bound: bool,
}

/// A customer's contacts under the limits of a version.
pub(super) struct Tally<'a> {
    bank: &'a Blueprint,
    clock: Clock,
    now: Timestamp,
    caps: Vec<Cap>,
    first_attempts: usize,
    pub(super) contacts: Vec<Contact>,
    /// Until when each contact counts against each cap, whatever it is about.
    until: Vec<Vec<Option<Timestamp>>>,
}

impl Filter {
    pub(super) fn is_about(&self, id: OfferId, group: usize, labels: &[usize]) -> bool {
        (self.offers.is_empty() || self.offers.contains(&id))
            && (self.groups.is_empty() || self.groups.contains(&group))
            && (self.labels.is_empty() || self.labels.iter().any(|label| labels.contains(label)))
    }

    fn is_at(&self, channel: usize, placement: usize, campaign: Option<usize>, bank: &Blueprint) -> bool {
        let direction = usize::from(bank.outbound[channel]);
        (self.channels.is_empty() || self.channels.contains(&channel))
            && (self.directions.is_empty() || self.directions.contains(&direction))
            && (self.placements.is_empty() || self.placements.contains(&placement))
            && (self.campaigns.is_empty() || campaign.is_some_and(|campaign| self.campaigns.contains(&campaign)))
    }

    fn takes(&self, contact: &Contact, bank: &Blueprint) -> bool {
        let Some(past) = bank.past(contact.offer) else {
            return false;
        };
        // What is named by its id is in the catalog.
        self.is_about(contact.offer, past.group, &past.labels)
            && self.is_at(contact.channel, contact.placement, contact.campaign, bank)
            && !past.uncounted
    }
}

impl Cap {
    /// Tells until when a contact counts; `None` when it does not.
    fn counts_until(&self, contact: &Contact, clock: Clock, now: Timestamp) -> Option<Timestamp> {
        if contact.is_void() {
            return None;
        }
        let until = match contact.reported(self.counted) {
            Some(from) => match self.window {
                Window::Rolling(window) => from + window,
                Window::Calendar(unit) => clock.counts_until(unit, from, now)?,
                Window::Ever => Timestamp::FAR_FUTURE,
            },
            None if self.counted.index() <= Counted::Seen.index() => contact.reserved_until(),
            None => return None,
        };
        (now < until).then_some(until)
    }

    /// Tells whether the cap counts a contact together with the candidate.
    fn is_alike(&self, contact: &Contact, candidate: Candidate<'_>, bank: &Blueprint) -> bool {
        let group = bank.past(contact.offer).map(|past| past.group);
        let alike = [
            contact.offer == candidate.offer.id,
            group == Some(candidate.offer.group),
            contact.channel == candidate.channel,
            contact.placement == candidate.placement,
            contact.campaign == candidate.campaign,
        ];
        self.each.iter().zip(alike).all(|(each, alike)| alike || !each)
    }
}

impl CoolDown {
    /// Tells when a contact became what the rest comes after, as far as is known at an instant; `None` when it is not that.
    fn happened(&self, contact: &Contact, at: Timestamp) -> Option<Timestamp> {
        match self.after {
            After::Outcome(counted) => contact.times[counted.index()],
            After::Attempted => contact.reported(Counted::Decided),
            After::Ignored if contact.is_clicked() || contact.is_void() => None,
            After::Ignored => {
                let reserved = (at < contact.reserved_until()).then(|| contact.decided_at());
                contact.reported(Counted::Delivered).or(reserved)
            }
        }
    }

    /// Returns the times of what can begin a rest after an offer, as known at an instant, earliest first, with positions.
    fn starts(
        &self,
        contacts: &[Contact],
        source: OfferId,
        at: Timestamp,
        bank: &Blueprint,
    ) -> Vec<(Timestamp, usize)> {
        let of_source = || {
            contacts
                .iter()
                .enumerate()
                .filter(|(_, contact)| contact.offer == source)
        };
        let is_counted = bank.past(source).is_some_and(|past| !past.uncounted);
        let clicked =
            of_source().filter(|(_, contact)| self.after == After::Ignored && contact.is_clicked() && is_counted);
        let clicked = clicked.map(|(_, contact)| contact.decision).max();
        let mut starts: Vec<(Timestamp, usize)> = of_source()
            .filter(|(_, contact)| clicked.is_none_or(|clicked| contact.decision > clicked))
            .filter(|(_, contact)| self.contacts.takes(contact, bank))
            .filter_map(|(position, contact)| Some((self.happened(contact, at)?, position)))
            .collect();
        starts.sort_by_key(|start| start.0);
        starts
    }

    /// Tells whether an offer rests at an instant.
    fn rests(&self, contacts: &[Contact], candidate: &Offer, at: Timestamp, bank: &Blueprint) -> bool {
        let mut sources: Vec<OfferId> = contacts.iter().map(|contact| contact.offer).collect();
        sources.sort_unstable();
        sources.dedup();
        let labels = bank.labels_of(candidate);
        let by_label = self.on_labels.iter().any(|label| labels.contains(label));
        let is_on = |source: OfferId| match self.on {
            _ if by_label => true,
            On::Everything => true,
            On::Offer => source == candidate.id,
            On::Group => bank.past(source).is_some_and(|past| past.group == candidate.group),
        };
        sources.into_iter().filter(|source| is_on(*source)).any(|source| {
            let starts = self.starts(contacts, source, at, bank);
            starts.windows(self.times).any(|window| {
                let (first, last) = (window[0].0, window[self.times - 1].0);
                self.within.is_none_or(|within| last - first < within) && self.rest.is_none_or(|rest| at < last + rest)
            })
        })
    }

    /// Returns the instants at which a rest may end.
    fn ends(&self, contacts: &[Contact]) -> Vec<Timestamp> {
        let mut ends: Vec<Timestamp> = contacts.iter().map(Contact::reserved_until).collect();
        if let Some(rest) = self.rest {
            ends.extend(
                contacts
                    .iter()
                    .flat_map(|contact| contact.times)
                    .flatten()
                    .map(|at| at + rest),
            );
        }
        ends
    }

    /// Tells whether the rest still needs a contact.
    fn needs(&self, contacts: &[Contact], position: usize, now: Timestamp, bank: &Blueprint) -> bool {
        let contact = &contacts[position];
        let starts = self.starts(contacts, contact.offer, now, bank);
        if self.after == After::Ignored && contact.is_clicked() {
            return self.is_end(contacts, contact, now, bank);
        }
        let is_reserved = |start: &(Timestamp, usize)| {
            self.after == After::Ignored && contacts[start.1].reported(Counted::Delivered).is_none()
        };
        let Some(&start) = starts.iter().find(|start| start.1 == position) else {
            return false;
        };
        let reported: Vec<_> = starts.iter().copied().filter(|start| !is_reserved(start)).collect();
        let in_span = |first: Timestamp, last: Timestamp| self.within.is_none_or(|within| last - first < within);
        let Some(rest) = self.rest else {
            let begun = reported
                .windows(self.times)
                .find(|window| in_span(window[0].0, window[self.times - 1].0));
            return match begun {
                Some(window) => window.contains(&start),
                None => reported.len() < starts.len() || in_span(start.0, now),
            };
        };
        if is_reserved(&start) {
            return true;
        }
        let later = reported.iter().skip_while(|other| other.1 != position);
        let rests = later.skip(self.times - 1).take(1).all(|last| now < last.0 + rest);
        let could_rest = self.times == 1 || self.within.is_none_or(|within| now < start.0 + within + rest);
        rests && could_rest
    }

    /// Tells whether a click is the latest of its offer, and something is kept that it made an end of.
    fn is_end(&self, contacts: &[Contact], clicked: &Contact, now: Timestamp, bank: &Blueprint) -> bool {
        if bank.past(clicked.offer).is_none_or(|past| past.uncounted) {
            return false;
        }
        let of_offer = || contacts.iter().filter(|contact| contact.offer == clicked.offer);
        let is_latest = of_offer()
            .filter(|contact| contact.is_clicked())
            .all(|contact| contact.decision <= clicked.decision);
        let mut ended = of_offer().filter(|contact| contact.decision <= clicked.decision && !contact.is_clicked());
        is_latest && ended.any(|contact| self.happened(contact, now).is_some() && self.contacts.takes(contact, bank))
    }
}

impl<'a> Tally<'a> {
    pub(super) fn new(bank: &'a Blueprint, person: &Person, now: Timestamp) -> Self {
        let attempts = bank.attempt_caps();
        let mut tally = Self {
            bank,
            clock: bank.clock_of(person),
            now,
            first_attempts: bank.caps.len(),
            caps: bank.caps.iter().cloned().chain(attempts).collect(),
            contacts: Vec::new(),
            until: Vec::new(),
        };
        tally.until.resize(tally.caps.len(), Vec::new());
        person.contacts.iter().for_each(|contact| tally.push(contact.clone()));
        tally
    }

    pub(super) fn push(&mut self, contact: Contact) {
        for (cap, until) in self.caps.iter().zip(&mut self.until) {
            let counts = cap.counts_until(&contact, self.clock, self.now);
            until.push(counts.filter(|_| cap.contacts.takes(&contact, self.bank)));
        }
        self.contacts.push(contact);
    }

    /// Counts the contacts that stand against a candidate at an instant.
    fn count(&self, at_cap: usize, candidate: Candidate<'_>, at: Timestamp) -> usize {
        let of_cap = self.contacts.iter().zip(&self.until[at_cap]);
        let counts = of_cap.filter(|(contact, until)| {
            until.is_some_and(|until| at < until) && self.caps[at_cap].is_alike(contact, candidate, self.bank)
        });
        counts.count()
    }

    /// Returns every limit that stops the candidate, in the order of the reasons; `nobody` is whether there is no id.
    pub(super) fn stops(&self, candidate: Candidate<'_>, nobody: bool) -> Vec<Stop> {
        if self.bank.policy_of(candidate.offer) != Policy::Applies {
            return Vec::new();
        }
        let caps = (0..self.first_attempts).filter_map(|at| self.cap_stops(at, candidate, nobody));
        let cool_downs = self
            .bank
            .cool_downs
            .iter()
            .filter_map(|rest| self.rest_stops(rest, candidate));
        let attempts = (self.first_attempts..self.caps.len()).filter_map(|at| self.cap_stops(at, candidate, nobody));
        caps.chain(cool_downs).chain(attempts).collect()
    }

    fn cap_stops(&self, at: usize, candidate: Candidate<'_>, nobody: bool) -> Option<Stop> {
        let (cap, offer) = (&self.caps[at], candidate.offer);
        let about = cap
            .contacts
            .is_about(offer.id, offer.group, &self.bank.labels_of(offer));
        if !about
            || !cap
                .contacts
                .is_at(candidate.channel, candidate.placement, candidate.campaign, self.bank)
        {
            return None;
        }
        if nobody && !cap.is_open() {
            return Some(Stop {
                rule: cap.id.clone(),
                count: None,
                limit: cap.at_most,
                again: None,
                is_bound: false,
            });
        }
        let count = self.count(at, candidate, self.now);
        if count < cap.at_most {
            return None;
        }
        let instants = self.until[at].iter().copied().flatten().collect();
        let is_stopped = |instant: &Timestamp| self.count(at, candidate, *instant) >= cap.at_most;
        Some(Stop {
            rule: cap.id.clone(),
            count: Some(count),
            limit: cap.at_most,
            again: first_free(instants, self.now, is_stopped),
            is_bound: false,
        })
    }

    fn rest_stops(&self, cool_down: &CoolDown, candidate: Candidate<'_>) -> Option<Stop> {
        let rests = |at: &Timestamp| cool_down.rests(&self.contacts, candidate.offer, *at, self.bank);
        if !rests(&self.now) {
            return None;
        }
        Some(Stop {
            rule: cool_down.id.clone(),
            count: Some(cool_down.times),
            limit: cool_down.times,
            again: first_free(cool_down.ends(&self.contacts), self.now, rests),
            is_bound: false,
        })
    }

    /// Tells whether a contact must be kept.
    pub(super) fn needs(&self, position: usize) -> bool {
        let counts = self.until.iter().any(|until| until[position].is_some());
        let cool_downs = || self.bank.cool_downs.iter();
        counts || cool_downs().any(|cool_down| cool_down.needs(&self.contacts, position, self.now, self.bank))
    }

    /// Forgets a contact.
    pub(super) fn remove(&mut self, position: usize) {
        self.contacts.remove(position);
        for until in &mut self.until {
            until.remove(position);
        }
    }
}

/// Returns the first of some instants after now at which nothing stops any more.
fn first_free(
    mut instants: Vec<Timestamp>,
    now: Timestamp,
    is_stopped: impl Fn(&Timestamp) -> bool,
) -> Option<Timestamp> {
    instants.retain(|instant| *instant > now && *instant < Timestamp::FAR_FUTURE);
    instants.sort_unstable();
    instants.dedup();
    let free = instants.partition_point(is_stopped);
    instants.get(free).copied()
}
