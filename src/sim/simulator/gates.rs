//! Purposes and consent, quiet hours and hold-outs of a simulated bank: drawn as plain data, written down, and worked out by
//! looking at the clock on the wall every quarter of an hour.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::domain::entry::{ConsentChange, ProfileChange};
use crate::domain::ids::CustomerId;
use crate::domain::time::{Millis, Timestamp};
use crate::sim::draw::Draw;

use super::almanac;
use super::blueprint::{CHANNELS, GROUPS, Offer, OfferId};
use super::expected::Ask;
use super::person::Person;
use super::written::{WEEKDAYS, names};
use super::{Simulation, engine_side};

/// The purposes: the same in every version, so that answers keep their meaning.
pub(super) const PURPOSES: [&str; 2] = ["selling", "telling"];
/// Names that hold-outs may have.
const HOLD_OUTS: [&str; 3] = ["held_a", "held_b", "held_c"];
/// Everything that is quiet begins and ends on one of these, in every zone.
const GRAIN: Millis = Millis::new(15 * 60_000);
/// How far ahead an end is said.
const AHEAD: Millis = Millis::new(400 * 86_400_000);

/// One entry of a channel's quiet hours.
#[derive(Clone, Debug)]
struct Quiet {
    /// Of the week, 0 for Monday.
    days: Vec<usize>,
    /// As numbers of days since 1970.
    dates: Vec<i64>,
    /// Minutes of the day.
    from: Option<i64>,
    until: Option<i64>,
}

/// A channel that is quiet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// The first instant at which it no longer is, when that can be told.
    pub(super) ends_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct HoldOut {
    name: usize,
    /// Of the customers, in twentieths.
    twentieths: u32,
    groups: Vec<usize>,
    control: bool,
    salt: &'static str,
}

/// What one version says of all this.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates {
    needs_consent: [bool; PURPOSES.len()],
    of_groups: [Option<usize>; GROUPS.len()],
    of_offers: BTreeMap<OfferId, usize>,
    with_control: BTreeSet<OfferId>,
    quiet: [Vec<Quiet>; CHANNELS.len()],
    hold_outs: Vec<HoldOut>,
}

impl Gates {
    /// Draws a version for the time around `now`.
    pub(super) fn draw(draw: &mut Draw, now: Timestamp, offers: &[Offer]) -> Self {
        let purpose = |draw: &mut Draw, share: f64| draw.chance(share).then(|| draw.below(PURPOSES.len()));
        let mut gates = Self {
            needs_consent: [0; PURPOSES.len()].map(|_| draw.chance(0.2)),
            of_groups: [0; GROUPS.len()].map(|_| purpose(draw, 0.4)),
            quiet: [0; CHANNELS.len()].map(|_| (0..draw.skewed(3)).map(|_| Quiet::draw(draw, now)).collect()),
            ..Self::default()
        };
        for offer in offers {
            let own = purpose(draw, 0.15);
            gates.of_offers.extend(own.map(|purpose| (offer.id, purpose)));
            gates.with_control.extend(draw.chance(0.4).then_some(offer.id));
        }
        for name in 0..HOLD_OUTS.len() {
            if draw.chance(0.3) {
                let groups = (0..GROUPS.len()).filter(|_| draw.chance(0.4)).collect();
                gates.hold_outs.push(HoldOut {
                    name,
                    twentieths: [2, 5, 10, 20][draw.skewed(4)],
                    groups,
                    control: draw.chance(0.6),
                    salt: ["", "again"][draw.below(2)],
                });
            }
        }
        gates
    }

    /// Returns the words for a group.
    pub(super) fn of_group(&self, group: usize) -> String {
        self.of_groups[group].map_or_else(String::new, |purpose| format!(", purpose: {}", PURPOSES[purpose]))
    }

    /// Returns the words for an offer.
    pub(super) fn of_offer(&self, offer: OfferId) -> String {
        let mut text = String::new();
        if let Some(purpose) = self.of_offers.get(&offer) {
            let _ = write!(text, ", purpose: {}", PURPOSES[*purpose]);
        }
        if self.with_control.contains(&offer) {
            text.push_str(", control: {title: C}");
        }
        text
    }

    /// Returns the words for a channel.
    pub(super) fn of_channel(&self, channel: usize) -> String {
        let entries: Vec<String> = self.quiet[channel].iter().map(Quiet::written).collect();
        format!(", quiet: [{}]", entries.join(", "))
    }

    /// Writes the lists.
    pub(super) fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "purposes:")?;
        for (purpose, needed) in PURPOSES.iter().zip(self.needs_consent) {
            let consent = if needed { "needed" } else { "assumed" };
            writeln!(text, "  - {{id: {purpose}, consent: {consent}}}")?;
        }
        if !self.hold_outs.is_empty() {
            writeln!(text, "hold_outs:")?;
        }
        for hold_out in &self.hold_outs {
            writeln!(
                text,
                "  - {{id: {}, share: {}, groups: [{}], gets: {}, salt: '{}'}}",
                HOLD_OUTS[hold_out.name],
                f64::from(hold_out.twentieths) / 20.0,
                names(&hold_out.groups, &GROUPS),
                if hold_out.control { "control" } else { "nothing" },
                hold_out.salt
            )?;
        }
        Ok(())
    }

    /// Returns the names of the hold-outs that somebody is in; nobody, who has no id, is in none.
    pub(super) fn held(&self, id: &CustomerId, ask: &Ask) -> Vec<&'static str> {
        let held = self.hold_outs.iter().filter(|hold_out| !ask.nobody && hold_out.has(id));
        held.map(|hold_out| HOLD_OUTS[hold_out.name]).collect()
    }

    /// Returns the rules by which an offer is stopped whatever else is so, in their order.
    pub(super) fn bars(&self, offer: &Offer, is_exempt: bool, person: &Person, ask: &Ask) -> Vec<&'static str> {
        let mut rules = Vec::new();
        let purpose = self.of_offers.get(&offer.id).copied().or(self.of_groups[offer.group]);
        if let Some(purpose) = purpose {
            let answer = |channel| {
                let found = person
                    .consents
                    .iter()
                    .find(|(of, on, _)| (*of, *on) == (purpose, channel));
                found.map(|(.., granted)| *granted)
            };
            match (answer(Some(ask.channel)).or(answer(None)), self.needs_consent[purpose]) {
                (Some(false), _) => rules.push("objected"),
                (None, true) => rules.push("no-consent"),
                _ => {}
            }
        }
        let has_control = self.with_control.contains(&offer.id);
        let stopping = self
            .hold_outs_of(offer, is_exempt, person, ask)
            .filter(|hold_out| !hold_out.control || !has_control);
        rules.extend(stopping.map(|hold_out| HOLD_OUTS[hold_out.name]));
        rules
    }

    /// Tells whether an offer that is shown is shown with its control content.
    pub(super) fn shows_control(&self, offer: &Offer, is_exempt: bool, person: &Person, ask: &Ask) -> bool {
        self.hold_outs_of(offer, is_exempt, person, ask).next().is_some()
    }

    fn hold_outs_of<'a>(
        &'a self,
        offer: &'a Offer,
        is_exempt: bool,
        person: &'a Person,
        ask: &Ask,
    ) -> impl Iterator<Item = &'a HoldOut> + 'a {
        let nobody = ask.nobody;
        self.hold_outs.iter().filter(move |hold_out| {
            let about = hold_out.groups.is_empty() || hold_out.groups.contains(&offer.group);
            about && !is_exempt && !nobody && hold_out.has(&person.id)
        })
    }

    /// Tells whether a channel is quiet, and if so, when that ends.
    pub(super) fn quiet(&self, channel: usize, zone: usize, now: Timestamp) -> Option<Silence> {
        let is_quiet = |at: Timestamp| {
            let shown = almanac::wall(zone, at);
            self.quiet[channel].iter().any(|entry| entry.holds(shown))
        };
        if !is_quiet(now) {
            return None;
        }
        let mut at = Timestamp::from_millis(now.as_millis().div_euclid(GRAIN.get()) * GRAIN.get()) + GRAIN;
        while is_quiet(at) {
            at = at + GRAIN;
            if at > now + AHEAD {
                return Some(Silence { ends_at: None });
            }
        }
        Some(Silence { ends_at: Some(at) })
    }
}

impl Quiet {
    fn draw(draw: &mut Draw, now: Timestamp) -> Self {
        let today = now.as_millis().div_euclid(86_400_000);
        let half_hours = |draw: &mut Draw| 30 * i64::try_from(draw.below(48)).unwrap_or(0);
        let mut quiet = Self {
            days: (0..7).filter(|_| draw.chance(0.15)).collect(),
            dates: (0..draw.skewed(4))
                .map(|_| today - 3 + i64::try_from(draw.below(30)).unwrap_or(0))
                .collect(),
            from: draw.chance(0.5).then(|| half_hours(draw)),
            until: draw.chance(0.5).then(|| half_hours(draw)),
        };
        let is_empty = quiet.days.is_empty() && quiet.dates.is_empty();
        if quiet.from == quiet.until && (quiet.from.is_some() || is_empty) {
            (quiet.from, quiet.until) = (Some(23 * 60), Some(90));
        }
        quiet
    }

    fn written(&self) -> String {
        let time = |minutes: i64| format!("'{:02}:{:02}'", minutes / 60, minutes % 60);
        let date = |day: &i64| {
            let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(*day));
            format!("'{date}'")
        };
        let dates: Vec<String> = self.dates.iter().map(date).collect();
        let mut text = format!(
            "{{days: [{}], dates: [{}]",
            names(&self.days, &WEEKDAYS),
            dates.join(", ")
        );
        for (key, minutes) in [("from", self.from), ("until", self.until)] {
            if let Some(minutes) = minutes {
                let _ = write!(text, ", {key}: {}", time(minutes));
            }
        }
        text + "}"
    }

    /// Tells whether it is quiet when the clock on the wall shows this.
    fn holds(&self, shown: i64) -> bool {
        let minute = shown.div_euclid(60_000);
        let today = minute.div_euclid(24 * 60);
        let (from, until) = (self.from.unwrap_or(0), self.until.unwrap_or(24 * 60));
        let length = if until <= from {
            until + 24 * 60 - from
        } else {
            until - from
        };
        [today - 1, today].into_iter().any(|day| {
            // The first day of 1970 was a Thursday.
            let of_week = usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0);
            let begins = day * 24 * 60 + from;
            (self.days.is_empty() || self.days.contains(&of_week))
                && (self.dates.is_empty() || self.dates.contains(&day))
                && (begins..begins + length).contains(&minute)
        })
    }
}

impl HoldOut {
    /// Draws a number from 0 to 2⁶⁴ for somebody, from bytes put together by hand.
    fn has(&self, id: &CustomerId) -> bool {
        let mut bytes = Vec::new();
        for part in [HOLD_OUTS[self.name], self.salt] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part.bytes());
        }
        bytes.extend(id.key().get().to_be_bytes());
        let hash = blake3::hash(&bytes);
        let drawn = hash.as_bytes()[..8]
            .iter()
            .fold(0_u128, |drawn, byte| drawn << 8 | u128::from(*byte));
        drawn * 20 < (1_u128 << 64) * u128::from(self.twentieths)
    }
}

impl Simulation {
    /// Lets somebody answer for a purpose, or take an answer back.
    pub(super) fn consent(&mut self, who: usize) -> Result<(), String> {
        let purpose = self.draw.below(PURPOSES.len());
        let channel = self.draw.chance(0.5).then(|| self.draw.below(CHANNELS.len()));
        let granted = [Some(true), Some(true), Some(false), None][self.draw.below(4)];
        let change = ProfileChange {
            consents: vec![ConsentChange {
                purpose: engine_side::named(&self.catalog, PURPOSES[purpose])?,
                channel: channel.map(|channel| self.catalog.channels[channel].symbol),
                granted,
            }],
            ..ProfileChange::default()
        };
        self.tell(&format!(
            "{} answers {granted:?} to {} on {channel:?}",
            self.people[who].id, PURPOSES[purpose]
        ));
        if self.upsert(who, &change)? {
            let consents = &mut self.people[who].consents;
            consents.retain(|(of, on, _)| (*of, *on) != (purpose, channel));
            consents.extend(granted.map(|granted| (purpose, channel, granted)));
        }
        Ok(())
    }

    /// Asks without any id: the answer is that of an empty log, whatever happened before.
    pub(super) fn ask_as_nobody(&mut self) -> Result<(), String> {
        if self.is_failing() {
            // Whose last good scores serve then depends on who came before.
            return Ok(());
        }
        let mut ask = self.question();
        (ask.nobody, ask.preview) = (true, true);
        self.tell(&format!("nobody asks {ask:?}"));
        let id = CustomerId::anonymous("nobody").map_err(|error| error.to_string())?;
        let nobody = Person::new(id);
        let request = engine_side::request(&ask, &nobody, &self.catalog)?;
        let decision = self.decide(&request)?;
        let expected = self.judge(&nobody, false, &ask, &decision)?;
        self.judged(&expected);
        self.summary.nobody += 1;
        self.look_ahead(&request, None, &decision)
    }
}
