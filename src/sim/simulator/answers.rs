//! Asking, and every check of an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::Catalog;
use crate::domain::decision::{Decision, Rung, Shown, Stage};
use crate::domain::ids::CustomerId;
use crate::domain::profile::{CONTACTS_KEPT, Profile};
use crate::domain::request::OffersRequest;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::{Active, Engine, Limits};
use crate::store::{Buffers, Then};

use super::blueprint::{Blueprint, CHANNELS, PAGES, PLACEMENTS};
use super::expected::{self, Ask, Expected, ModelState};
use super::limits::Tally;
use super::person::{Contact, Person};
use super::rulebook::CAMPAIGNS;
use super::{Simulation, engine_side, same, too_many};

/// Two more engines with the same catalog and a model that never fails: one caches its lists, the other does not. A
/// profile is copied into both to see how an answer would stand later.
pub(super) struct Witnesses {
    caching: Engine,
    fresh: Engine,
    active: (Arc<Active>, Arc<Active>),
}

impl Witnesses {
    pub(super) fn new(bank: &Blueprint, catalog: &Arc<Catalog>) -> Self {
        let active = || engine_side::active(bank, catalog, &Arc::new(AtomicBool::new(false)));
        let without_lists = Limits {
            ranked_lists_bytes_max: 0,
            ..Limits::default()
        };
        let caching = Engine::new(active(), Limits::default());
        let fresh = Engine::new(active(), without_lists);
        Self {
            active: (caching.active(), fresh.active()),
            caching,
            fresh,
        }
    }

    pub(super) fn activate(&mut self, bank: &Blueprint, catalog: &Arc<Catalog>) {
        for engine in [&self.caching, &self.fresh] {
            engine.activate(engine_side::active(bank, catalog, &Arc::new(AtomicBool::new(false))));
        }
        self.active = (self.caching.active(), self.fresh.active());
    }

    /// Returns the engine without cached lists, with its snapshot.
    pub(super) fn fresh(&self) -> (&Engine, Arc<Active>) {
        (&self.fresh, Arc::clone(&self.active.1))
    }

    fn copy(&self, id: &CustomerId, profile: Option<&Profile>) -> Result<(), String> {
        for engine in [&self.caching, &self.fresh] {
            let write = |profile: &Profile| {
                let written = engine
                    .store()
                    .with(id.key(), Some(id), &mut Buffers::default(), |copied, _| {
                        copied.clone_from(profile);
                        ((), Then::Keep)
                    });
                written.map_err(|full| format!("{full:?}"))
            };
            // Forgetting somebody drops the list that was made in the future of an earlier question.
            write(&Profile::default())?;
            engine.delete_profile(id);
            profile.map_or(Ok(()), write)?;
        }
        Ok(())
    }

    /// Asks both at an instant; they must agree.
    fn ask(&self, request: &OffersRequest, at: Timestamp) -> Result<Decision, String> {
        let cached = self.caching.offers(&self.active.0, request, at);
        let fresh = self.fresh.offers(&self.active.1, request, at);
        let (cached, fresh) = (
            cached.map_err(|error| error.to_string())?,
            fresh.map_err(|error| error.to_string())?,
        );
        same(
            &format!("a cached list against a fresh one at {at}"),
            &lasting(&cached),
            &lasting(&fresh),
        )?;
        Ok(fresh)
    }
}

/// Returns an answer without what may differ between two askings of the same: whether it was cached.
fn plain(decision: &Decision) -> Decision {
    Decision {
        cached: false,
        ..decision.clone()
    }
}

/// Returns the part of an answer that stays until its `valid_until`. Room under a cap that the answer itself fills comes
/// some time after the question, whenever that is asked. How long it stays depends on what decided first, and that may change
/// earlier than the answer does.
fn lasting(decision: &Decision) -> Decision {
    let mut lasting = Decision {
        decided_at: Timestamp::default(),
        valid_until: Timestamp::default(),
        ..plain(decision)
    };
    let shows = decision.placements.iter().any(|filled| !filled.fallback);
    for reason in &mut lasting.withheld {
        if shows && reason.stage == Stage::ContactPolicy {
            reason.eligible_again_at = None;
        }
    }
    lasting
}

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
        self.put(who, &ask)
    }

    /// Asks for everything in every placement.
    pub(super) fn ask_for_all(&mut self, who: usize) -> Result<(), String> {
        let ask = Ask {
            placements: (0..PLACEMENTS.len()).map(|placement| (placement, 20)).collect(),
            duplicates: true,
            ..self.question()
        };
        self.put(who, &ask)
    }

    /// Asks, after a look at what a preview of the same says.
    fn put(&mut self, who: usize, ask: &Ask) -> Result<(), String> {
        self.tell(&format!("{} asks {ask:?}", self.people[who].id));
        let request = engine_side::request(ask, &self.people[who], &self.catalog)?;
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
            return self.turn_away(who, &request);
        }
        let decision = self.decide(&request)?;
        same("the placements of a preview", &looked.placements, &decision.placements)?;
        same("the reasons of a preview", &looked.withheld, &decision.withheld)?;
        same("the validity of a preview", &looked.valid_until, &decision.valid_until)?;
        let known = self.people[who].exists;
        if !self.is_refused(who) {
            self.apply(who, &ask.events);
        }
        let expected = self.judge(&self.people[who], known, ask, &decision)?;
        self.summary.full_histories += u64::from(expected.full);
        self.people[who].exists |= must_begin;
        self.remember_scores(who, &expected);
        self.last_valid_until = decision.valid_until;
        self.reserve(who, ask, &decision, &expected)
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
        if new == 0 {
            self.remember_scores(who, &expected);
        }
        Ok(())
    }

    /// Asks for somebody who would have to be begun, and for whom there is no room.
    fn turn_away(&mut self, who: usize, request: &OffersRequest) -> Result<(), String> {
        self.summary.turned_away += 1;
        // The engine forgets the list with the profile that it could not begin.
        self.people[who].good_scores.clear();
        let answer = self.engine.offers(&self.active, request, self.now);
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
        Ok(decision)
    }

    /// Compares an answer with what it must be.
    pub(super) fn judge(
        &self,
        person: &Person,
        known: bool,
        ask: &Ask,
        decision: &Decision,
    ) -> Result<Expected, String> {
        let model = match (self.fails.load(Ordering::Relaxed), decision.cached) {
            (false, _) => ModelState::Works,
            (true, false) => ModelState::Fails,
            (true, true) => ModelState::FailsUnseen,
        };
        let expected = expected::answer(&self.bank, person, known, ask, self.now, model);
        expected::compare(decision, &self.catalog, ask, &expected).map_err(|message| {
            let rules: Vec<String> = self.bank.offers.iter().map(|offer| format!("{offer:?}")).collect();
            format!(
                "{message}\n  {person:?}\n  {ask:?}\n  caps {:?}\n  {}",
                self.bank.caps,
                rules.join("\n  ")
            )
        })?;
        Ok(expected)
    }

    /// Keeps the scores that the engine's list now holds: a list made without the model keeps the older ones.
    fn remember_scores(&mut self, who: usize, expected: &Expected) {
        if expected.suppressed {
            return;
        }
        let fails = self.fails.load(Ordering::Relaxed);
        let person = &mut self.people[who];
        let old = std::mem::take(&mut person.good_scores);
        let scored = expected.ranking.iter().filter(|ranked| ranked.scored);
        person.good_scores = scored
            .filter_map(|ranked| {
                let kept = || old.iter().find(|(id, _)| *id == ranked.offer).map(|(_, score)| *score);
                let score = if fails { kept()? } else { ranked.propensity };
                Some((ranked.offer.clone(), score))
            })
            .collect();
    }

    /// Puts what was shown into the log, and drops what a full history drops.
    fn reserve(&mut self, who: usize, ask: &Ask, decision: &Decision, expected: &Expected) -> Result<(), String> {
        let Some(id) = decision.id else { return Ok(()) };
        let person = &self.people[who];
        same("the customer of a decision id", &id.customer, &person.id.key())?;
        if self
            .decisions
            .iter()
            .any(|(whose, number, _)| (*whose, *number) == (who, id.number))
        {
            return Err(format!("decision {id} was given out before"));
        }
        same(
            "the version that the decision saw",
            &(decision.profile_version + 1),
            &self.version(who),
        )?;
        for (filled, (placement, _)) in expected.placements.iter().zip(&ask.placements) {
            for ranked in filled {
                self.decisions.push((who, id.number, ranked.offer.clone()));
                let mut times = [None; 7];
                times[0] = Some(self.now);
                self.people[who].contacts.push(Contact {
                    decision: id.number,
                    offer: ranked.offer.clone(),
                    channel: ask.channel,
                    placement: *placement,
                    campaign: ask.campaign,
                    times,
                });
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
        self.look_ahead(&request, profile.as_ref(), &first)
    }

    /// Asks the same at later instants, up to the last millisecond of the answer's validity, and just after.
    pub(super) fn look_ahead(
        &mut self,
        request: &OffersRequest,
        profile: Option<&Profile>,
        answer: &Decision,
    ) -> Result<(), String> {
        if let Some(customer) = &request.customer {
            self.witnesses.copy(customer, profile)?;
        }
        let now = self.witnesses.ask(request, self.now)?;
        if !self.fails.load(Ordering::Relaxed) {
            same(
                "the engine against one without a past",
                &lasting(answer),
                &lasting(&now),
            )?;
        }
        let ends = now.valid_until.min(self.now + Millis::DAY.times(400));
        let span = usize::try_from((ends - self.now).get()).unwrap_or(0);
        let between = self.now + Millis::new(self.some(span));
        let mut instants = vec![between, ends - Millis::new(1), ends];
        instants.retain(|instant| *instant > self.now);
        instants.sort_unstable();
        for instant in instants {
            self.summary.instants += 1;
            let later = self.witnesses.ask(request, instant)?;
            if instant < now.valid_until {
                let what = format!(
                    "the answer of {} at {instant}, valid until {}",
                    self.now, now.valid_until
                );
                same(&what, &lasting(&later), &lasting(&now))?;
            }
        }
        Ok(())
    }
}
