//! Asking, and every check of an answer.

use std::sync::atomic::Ordering;

use crate::domain::decision::{Decision, Rung, Shown, Stage};
use crate::domain::profile::CONTACTS_KEPT;
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::Timestamp;

use super::blueprint::{CHANNELS, PAGES, PLACEMENTS};
use super::expected::{self, Ask, Expected, ModelState};
use super::limits::Tally;
use super::person::{Contact, Person};
use super::rulebook::CAMPAIGNS;
use super::witnesses::plain;
use super::{Simulation, engine_side, same, too_many};

/// How often somebody's answer is looked at as it will be later.
const LOOKS_AHEAD: f64 = 0.5;

impl Simulation {
    /// Draws a question.
    pub(super) fn question(&mut self) -> Ask {
        let draw = &mut self.draw;
        let count = 1 + draw.skewed(3);
        let placements = (0..count)
            .map(|_| (draw.below(PLACEMENTS.len()), 1 + draw.skewed(6)))
            .collect();
        Ask {
            channel: draw.below(CHANNELS.len()),
            page: draw.chance(0.5).then(|| draw.below(PAGES.len())),
            campaign: draw.chance(0.3).then(|| draw.below(CAMPAIGNS.len())),
            placements,
            duplicates: draw.chance(0.3),
            explain: draw.chance(0.4),
            preview: false,
            nobody: false,
            events: Vec::new(),
        }
    }

    /// Asks for somebody, perhaps with events, perhaps only to look.
    pub(super) fn ask(&mut self, who: usize) -> Result<(), String> {
        let mut ask = self.question();
        ask.preview = self.draw.chance(0.2);
        if self.draw.chance(0.3) {
            ask.events = self.events(who, 3);
        }
        let key = self.draw.chance(0.4).then(|| self.name(&ask));
        self.put(who, &ask, key)?;
        if key.is_some() && self.draw.chance(0.2) {
            self.put(who, &ask, key)?;
        }
        Ok(())
    }

    /// Asks for everything in every placement.
    pub(super) fn ask_for_all(&mut self, who: usize) -> Result<(), String> {
        let ask = Ask {
            placements: (0..PLACEMENTS.len()).map(|placement| (placement, 20)).collect(),
            duplicates: true,
            ..self.question()
        };
        self.put(who, &ask, None)
    }

    /// Asks, after a look at what a preview of the same says; with an id unless that is only a look itself.
    pub(super) fn put(&mut self, who: usize, ask: &Ask, key: Option<RequestKey>) -> Result<(), String> {
        self.tell(&format!("{} asks {ask:?} as {key:?}", self.people[who].id));
        let request = engine_side::request(ask, &self.people[who], &self.catalog)?;
        let key = key.filter(|_| !ask.preview);
        if let Some(key) = key
            && self.is_repeat(who, &request, key)?
        {
            return Ok(());
        }
        let preview = OffersRequest {
            preview: true,
            ..request.clone()
        };
        let before = self.engine.profile(&self.people[who].id);
        let looked = self.decide(&preview)?;
        let after = self.engine.profile(&self.people[who].id);
        same("the profile after a preview", &after, &before)?;
        if ask.preview {
            return self.judge_preview(who, ask, &looked);
        }
        let shows = looked.placements.iter().any(|filled| !filled.fallback);
        let must_begin = !self.is_refused(who) && (shows || !ask.events.is_empty());
        if must_begin && !self.has_room(who) {
            return self.turn_away(who, &request, key);
        }
        let answer = self.engine.answer(&self.active, &request, key, self.now);
        let answer = answer.map_err(|rejection| rejection.to_string())?;
        let decision = &answer.decision;
        self.count(decision);
        same("the placements of a preview", &looked.placements, &decision.placements)?;
        same("the reasons of a preview", &looked.withheld, &decision.withheld)?;
        same("the validity of a preview", &looked.valid_until, &decision.valid_until)?;
        let known = self.people[who].exists;
        let applied = if self.is_refused(who) {
            0
        } else {
            self.apply(who, &ask.events)
        };
        if let Some(key) = key {
            self.note_call(who, ask, key, &answer, applied)?;
        }
        let expected = self.judge(&self.people[who], known, ask, decision)?;
        self.judged(&expected);
        self.summary.full_histories += u64::from(expected.full);
        self.people[who].exists |= must_begin;
        self.remember_scores(who, &expected);
        self.last_valid_until = decision.valid_until;
        self.reserve(who, ask, decision, &expected)
    }

    /// Judges the answer to a preview: its events are imagined only.
    fn judge_preview(&mut self, who: usize, ask: &Ask, decision: &Decision) -> Result<(), String> {
        let mut imagined = self.people[who].clone();
        let new = if self.is_refused(who) {
            0
        } else {
            imagined.record_all(&ask.events, self.now, &self.bank)
        };
        let expected = self.judge(&imagined, imagined.exists, ask, decision)?;
        self.judged(&expected);
        if new == 0 {
            self.remember_scores(who, &expected);
        }
        Ok(())
    }

    /// Asks for somebody who would have to be begun, and for whom there is no room.
    fn turn_away(&mut self, who: usize, request: &OffersRequest, key: Option<RequestKey>) -> Result<(), String> {
        self.summary.turned_away += 1;
        // The engine forgets the list with the profile that it could not begin.
        self.people[who].good_scores.clear();
        self.register.pass(self.now);
        let answer = self.engine.answer(&self.active, request, key, self.now);
        let answer = answer.map(|answer| answer.decision);
        if !request.events.is_empty() {
            return same("a call of one too many", &answer, &Err(too_many()));
        }
        let answer = answer.map_err(|rejection| rejection.to_string())?;
        let reasons = if request.explain { self.bank.offers.len() } else { 0 };
        let all = answer
            .withheld
            .iter()
            .filter(|reason| &*reason.rule == "no-room-for-new-customer");
        let found = (
            answer.id,
            all.count(),
            answer.withheld.len(),
            answer.valid_until,
            answer.known_customer,
        );
        same(
            "the answer to one too many",
            &found,
            &(None, reasons, reasons, self.now, false),
        )?;
        let empty = answer
            .placements
            .iter()
            .all(|filled| filled.fallback && filled.offers.is_empty());
        same("the placements of one too many", &empty, &true)
    }

    pub(super) fn decide(&mut self, request: &OffersRequest) -> Result<Decision, String> {
        let decision = self
            .engine
            .offers(&self.active, request, self.now)
            .map_err(|rejection| rejection.to_string())?;
        self.count(&decision);
        Ok(decision)
    }

    /// Counts what an answer has.
    pub(super) fn count(&mut self, decision: &Decision) {
        let shown: usize = decision.placements.iter().map(|filled| filled.offers.len()).sum();
        let summary = &mut self.summary;
        summary.answers += 1;
        summary.shown += shown as u64;
        summary.cached += u64::from(decision.cached);
        summary.empty += u64::from(shown == 0);
        summary.reasons += decision.withheld.len() as u64;
        let capped = decision
            .withheld
            .iter()
            .filter(|reason| reason.stage == Stage::ContactPolicy);
        summary.capped += capped.clone().count() as u64;
        let begins = |with: &str| capped.clone().filter(|reason| reason.rule.starts_with(with)).count() as u64;
        summary.rested += begins("rest");
        summary.volumes_used += begins("volume");
        summary.attempts_used += CAMPAIGNS.iter().map(|campaign| begins(campaign)).sum::<u64>();
        let of_rules =
            |is: &dyn Fn(&str) -> bool| decision.withheld.iter().filter(|reason| is(&reason.rule)).count() as u64;
        summary.quiet += of_rules(&|rule| rule.strip_suffix(".quiet").is_some());
        summary.refused_purposes += of_rules(&|rule| ["no-consent", "objected"].contains(&rule));
        summary.held_out += u64::from(!decision.hold_outs.is_empty());
        let exempt = |shown: &&Shown| self.catalog.offers[shown.offer].is_exempt();
        let shown_of = || decision.placements.iter().flat_map(|filled| &filled.offers);
        summary.exempt += shown_of().filter(exempt).count() as u64;
        summary.controls += shown_of().filter(|shown| shown.control).count() as u64;
        let last_good = decision.placements.iter().flat_map(|filled| &filled.offers);
        summary.last_good += last_good.filter(|shown| shown.rung == Rung::LastGood).count() as u64;
        for shown in decision.placements.iter().flat_map(|filled| &filled.offers) {
            let bits = shown.priority.to_bits() ^ shown.offer as u64;
            summary.digest = (summary.digest ^ bits).wrapping_mul(0x0100_0000_01B3).rotate_left(17);
        }
        summary.digest ^= decision.valid_until.as_millis().unsigned_abs();
    }

    /// Takes note that the volumes were looked at, as far as they were.
    pub(super) fn judged(&mut self, expected: &Expected) {
        self.summary.decisions += 1;
        if !expected.suppressed {
            self.register.pass(self.now);
        }
    }

    /// Compares an answer with what it must be.
    pub(super) fn judge(
        &self,
        person: &Person,
        known: bool,
        ask: &Ask,
        decision: &Decision,
    ) -> Result<Expected, String> {
        self.judge_in(person, known, ask, decision, None)
    }

    /// Compares an answer with what it must be in the order of a plan.
    pub(super) fn judge_in(
        &self,
        person: &Person,
        known: bool,
        ask: &Ask,
        decision: &Decision,
        order: Option<expected::Order<'_>>,
    ) -> Result<Expected, String> {
        let model = match (self.fails.load(Ordering::Relaxed), decision.cached) {
            (false, _) => ModelState::Works,
            (true, false) => ModelState::Fails,
            (true, true) => ModelState::FailsUnseen,
        };
        let rooms = self.register.rooms(&self.bank, self.now);
        let expected = expected::answer(&self.bank, person, known, ask, self.now, (model, &rooms, order));
        expected::compare(decision, &self.catalog, ask, &expected).map_err(|message| {
            let rules: Vec<String> = self.bank.offers.iter().map(|offer| format!("{offer:?}")).collect();
            format!(
                "{message}\n  {person:?}\n  {ask:?}\n  caps {:?}\n  volumes {:?}\n  {rooms:?}\n  {}",
                self.bank.caps,
                self.bank.volumes,
                rules.join("\n  ")
            )
        })?;
        Ok(expected)
    }

    /// Keeps the scores that the engine's list now holds: a list made without the model keeps the older ones.
    pub(super) fn remember_scores(&mut self, who: usize, expected: &Expected) {
        let fails = expected.model == ModelState::Fails;
        let mut scored = expected.ranking.iter().filter(|ranked| ranked.scored).peekable();
        // Where the model has nothing to score it is not asked, and nobody knows then that it fails.
        if expected.suppressed || (fails && scored.peek().is_some()) {
            return;
        }
        let person = &mut self.people[who];
        person.good_scores = scored.map(|ranked| (ranked.offer, ranked.propensity)).collect();
        person.good_row.clone_from(&expected.row);
    }

    /// Puts what was shown into the log, and drops what a full history drops.
    pub(super) fn reserve(
        &mut self,
        who: usize,
        ask: &Ask,
        decision: &Decision,
        expected: &Expected,
    ) -> Result<(), String> {
        let Some(id) = decision.id else { return Ok(()) };
        let person = &self.people[who];
        same("the customer of a decision id", &id.customer, &person.id.key())?;
        self.summary.reserved += 1;
        if !self.given_out.insert((who, id.number)) {
            return Err(format!("decision {id} was given out before"));
        }
        same(
            "the version that the decision saw",
            &(decision.profile_version + 1),
            &self.version(who),
        )?;
        for (filled, (placement, _)) in expected.placements.iter().zip(&ask.placements) {
            for ranked in filled {
                self.decisions.push((who, id.number, ranked.offer));
                let mut times = [None; 7];
                times[0] = Some(self.now);
                let serial = self.register.len();
                let contact = Contact {
                    cancelled: false,
                    serial,
                    decision: id.number,
                    offer: ranked.offer,
                    channel: ask.channel,
                    placement: *placement,
                    campaign: ask.campaign,
                    times,
                };
                self.register.enter(&contact);
                self.people[who].contacts.push(contact);
            }
        }
        if self.people[who].contacts.len() > CONTACTS_KEPT {
            let mut tally = Tally::new(&self.bank, &self.people[who], self.now);
            while tally.contacts.len() > CONTACTS_KEPT {
                // What is answered now stays, needed or not.
                let before = tally
                    .contacts
                    .iter()
                    .filter(|contact| contact.decision != id.number)
                    .count();
                let Some(at) = (0..before).find(|&at| !tally.needs(at)) else {
                    break;
                };
                tally.remove(at);
                self.summary.dropped_contacts += 1;
            }
            self.people[who].contacts = tally.contacts;
        }
        let contacts = &self.people[who].contacts;
        let wanted: Vec<(u32, Timestamp)> = contacts
            .iter()
            .map(|contact| (contact.decision, contact.decided_at()))
            .collect();
        let profile = self.engine.profile(&self.people[who].id).unwrap_or_default();
        let found: Vec<_> = profile
            .contacts
            .iter()
            .map(|contact| (contact.decision, contact.decided_at()))
            .collect();
        same("the contacts of the profile", &found, &wanted)
    }

    /// Looks at somebody without leaving a trace: the answer is the expected one, it is the same when asked again, and it
    /// stays the same as long as it says.
    pub(super) fn look(&mut self, who: usize) -> Result<(), String> {
        let mut ask = self.question();
        ask.preview = true;
        let request = engine_side::request(&ask, &self.people[who], &self.catalog)?;
        let first = self.decide(&request)?;
        let person = &self.people[who];
        let expected = self.judge(person, person.exists, &ask, &first)?;
        self.judged(&expected);
        self.summary.full_histories += u64::from(expected.full);
        self.remember_scores(who, &expected);
        let second = self.decide(&request)?;
        if self.fails.load(Ordering::Relaxed) {
            same("asked twice", &first.placements.len(), &second.placements.len())?;
        } else {
            same("asked twice", &plain(&second), &plain(&first))?;
        }
        let profile = self.engine.profile(&self.people[who].id);
        same(
            "whether there is a profile",
            &profile.is_some(),
            &self.people[who].exists,
        )?;
        self.last_valid_until = first.valid_until;
        if self.draw.chance(LOOKS_AHEAD) {
            self.look_ahead(&request, profile.as_ref(), &first)?;
        }
        // Another question, of the same moment.
        let mut other = self.question();
        other.preview = true;
        let request = engine_side::request(&other, &self.people[who], &self.catalog)?;
        let decision = self.decide(&request)?;
        let person = &self.people[who];
        let expected = self.judge(person, person.exists, &other, &decision)?;
        self.judged(&expected);
        self.remember_scores(who, &expected);
        Ok(())
    }
}
