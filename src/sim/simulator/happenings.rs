//! What happens to customers besides questions: events, profiles, consent, and being forgotten.

use crate::domain::entry::ProfileChange;
use crate::domain::ids::short_hash;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::Rejection;

use super::almanac::ZONES;
use super::blueprint::{CATEGORIES, CHANNELS, HOLDINGS, SEGMENTS};
use super::condition::Known;
use super::gates::Gates;
use super::person::{Deed, Happening, Person};
use super::volumes::Volume;
use super::{CROWD, Simulation, engine_side, rulebook, same, too_many};

impl Simulation {
    pub(super) fn record(&mut self, who: usize) -> Result<(), String> {
        let events = self.events(who, 5);
        self.tell(&format!("{} does {events:?}", self.people[who].id));
        let given: Vec<_> = events
            .iter()
            .map(|happening| engine_side::event(happening, &self.catalog))
            .collect::<Result<_, _>>()?;
        let id = &self.people[who].id;
        let receipt = self.engine.record_events(&self.active, id, &given, self.now);
        if self.is_refused(who) {
            self.summary.rejections += 1;
            return same("events of somebody unknown", &receipt, &Err(Rejection::UnknownCustomer));
        }
        if !self.has_room(who) {
            self.summary.turned_away += 1;
            return same("events of one too many", &receipt, &Err(too_many()));
        }
        let version = self.version(who);
        let applied = self.apply(who, &events);
        let receipt = receipt.map_err(|rejection| rejection.to_string())?;
        let found = (receipt.applied, receipt.duplicates);
        same("new and repeated events", &found, &(applied, events.len() - applied))?;
        same("version after events", &receipt.profile_version, &version)
    }

    /// Puts events into a log; returns how many are new.
    pub(super) fn apply(&mut self, who: usize, events: &[Happening]) -> usize {
        let person = &mut self.people[who];
        person.exists |= !events.is_empty();
        let applied = person.record_all(events, self.now, &self.bank);
        self.summary.events += applied as u64;
        self.summary.repeated_events += (events.len() - applied) as u64;
        applied
    }

    /// Draws up to `most` events: new and repeated, in time, late, and ahead of the clock.
    pub(super) fn events(&mut self, who: usize, most: usize) -> Vec<Happening> {
        let count = 1 + self.draw.below(most);
        let mut events: Vec<Happening> = Vec::new();
        for _ in 0..count {
            let known = self.people[who].ids().len();
            let id_hash = if self.draw.chance(0.1) && known > 0 {
                // Often of late, sometimes long ago.
                let back = self.draw.skewed(known);
                self.people[who].ids()[known - 1 - back]
            } else if self.draw.chance(0.05) && !events.is_empty() {
                events[0].id_hash
            } else {
                self.ids += 1;
                short_hash(&self.ids.to_string())
            };
            let ago = match self.draw.below(10) {
                0..=4 => Millis::new(0),
                5 => Millis::new(-self.some(300_000)),
                6 | 7 => Millis::MINUTE.times(self.some(300)),
                8 => Millis::HOUR.times(self.some(120)),
                _ => Millis::DAY.times(self.some(50)),
            };
            let session = self
                .draw
                .chance(0.6)
                .then(|| short_hash(&format!("session {}", self.draw.skewed(30))));
            let deed = self.deed();
            events.push(Happening {
                id_hash,
                time: self.now - ago,
                session,
                deed,
            });
        }
        events
    }

    fn deed(&mut self) -> Deed {
        let draw = &mut self.draw;
        match draw.below(10) {
            0..=5 => Deed::Search {
                category: draw.chance(0.9).then(|| draw.below(CATEGORIES.len())),
                results: draw.chance(0.8).then(|| draw.below(30) as f64),
            },
            6..=8 => Deed::Payment {
                amount: draw.chance(0.9).then(|| draw.below(30_000) as f64 / 100.0),
                abroad: draw.chance(0.8).then(|| draw.chance(0.4)),
            },
            _ => Deed::Login,
        }
    }

    fn known(&mut self) -> Known {
        let (now, draw) = (self.now, &mut self.draw);
        let midnight = now.as_millis().div_euclid(Millis::DAY.get());
        Known {
            age: draw.chance(0.8).then(|| 10.0 + draw.below(60) as f64),
            segment: draw.chance(0.8).then(|| draw.below(SEGMENTS.len())),
            holdings: draw
                .chance(0.8)
                .then(|| [0.3; HOLDINGS.len()].map(|share| draw.chance(share))),
            since: draw.chance(0.8).then(|| {
                let days = midnight - i64::try_from(draw.below(70)).unwrap_or(0);
                Timestamp::from_millis(days * Millis::DAY.get())
            }),
            staff: draw.chance(0.8).then(|| draw.chance(0.1)),
            zone: draw.chance(0.8).then(|| draw.below(ZONES.len())),
        }
    }

    pub(super) fn write(&mut self, who: usize) -> Result<(), String> {
        let known = self.known();
        let replace = self.draw.chance(0.3);
        self.tell(&format!(
            "{} is written, replace {replace}: {known:?}",
            self.people[who].id
        ));
        let change = engine_side::change(&known, replace, &self.catalog)?;
        if !self.upsert(who, &change)? {
            return Ok(());
        }
        let old = &mut self.people[who].known;
        let keep = !replace;
        *old = Known {
            age: known.age.or(old.age.filter(|_| keep)),
            segment: known.segment.or(old.segment.filter(|_| keep)),
            holdings: known.holdings.or(old.holdings.filter(|_| keep)),
            since: known.since.or(old.since.filter(|_| keep)),
            staff: known.staff.or(old.staff.filter(|_| keep)),
            zone: known.zone.or(old.zone.filter(|_| keep)),
        };
        Ok(())
    }

    /// Writes a profile; tells whether there was room.
    pub(super) fn upsert(&mut self, who: usize, change: &ProfileChange) -> Result<bool, String> {
        let id = &self.people[who].id;
        let version = self.engine.upsert_profile(&self.active, id, change, self.now);
        let has_room = self.has_room(who);
        self.people[who].exists |= has_room;
        self.summary.turned_away += u64::from(!has_room);
        let wanted = if has_room {
            Ok(self.version(who))
        } else {
            Err(too_many())
        };
        same("version after a change", &version, &wanted)?;
        Ok(has_room)
    }

    pub(super) fn opt(&mut self, who: usize) -> Result<(), String> {
        let out = self.draw.chance(0.25);
        let channel = self.draw.below(CHANNELS.len());
        let of_all = self.draw.chance(0.3);
        let change = ProfileChange {
            opt_out_of_all: of_all.then_some(out),
            opt_outs: if of_all {
                Vec::new()
            } else {
                vec![(self.catalog.channels[channel].symbol, out)]
            },
            ..ProfileChange::default()
        };
        self.tell(&format!("{} opts: {change:?}", self.people[who].id));
        if self.upsert(who, &change)? {
            let person = &mut self.people[who];
            let slot = if of_all {
                &mut person.opted_out_of_all
            } else {
                &mut person.opt_outs[channel]
            };
            *slot = out;
        }
        Ok(())
    }

    /// Asks for so much so often, under a cap that is never reached, that the contact history fills up; mostly forgets the
    /// customer then, who is slow to judge.
    pub(super) fn crowd(&mut self, who: usize) -> Result<(), String> {
        let mut bank = self.bank.clone();
        bank.caps = vec![rulebook::never_reached()];
        (bank.cool_downs, bank.attempts) = (Vec::new(), Default::default());
        bank.volumes.iter_mut().for_each(Volume::never_reached);
        bank.gates = Gates::default();
        self.put_in_force(bank)?;
        let change = ProfileChange {
            opt_out_of_all: Some(false),
            opt_outs: self
                .catalog
                .channels
                .iter()
                .map(|channel| (channel.symbol, false))
                .collect(),
            ..ProfileChange::default()
        };
        if !self.upsert(who, &change)? {
            return Ok(());
        }
        let person = &mut self.people[who];
        (person.opted_out_of_all, person.opt_outs) = (false, Default::default());
        for _ in 0..CROWD {
            let now = self.now + Millis::new(self.some(60_000));
            self.set_clock(now);
            let before = self.people[who].contacts.len();
            self.ask_for_all(who)?;
            if self.people[who].contacts.len() == before {
                break;
            }
        }
        self.look(who)?;
        if self.draw.chance(0.7) {
            self.forget(who)
        } else {
            Ok(())
        }
    }

    /// Forgets somebody, unless the clock stepped back: whoever begins anew is numbered by the clock.
    pub(super) fn forget(&mut self, who: usize) -> Result<(), String> {
        if self.now < self.latest {
            return Ok(());
        }
        self.earliest = self.now;
        let person = &self.people[who];
        let (existed, id) = (person.exists, person.id.clone());
        self.tell(&format!("{id} is forgotten"));
        let before = std::mem::replace(&mut self.people[who], Person::new(id.clone()));
        if !existed {
            // Of whom there is nothing to forget, the list of an earlier look may still be there.
            self.people[who].good_scores = before.good_scores;
            self.people[who].good_row = before.good_row;
            self.people[who].calls = before.calls;
        }
        self.register.let_go(&before.contacts);
        self.summary.forgotten += u64::from(existed);
        same(
            "whether there was somebody to forget",
            &self.engine.delete_profile(&id),
            &Ok(existed),
        )
    }
}
