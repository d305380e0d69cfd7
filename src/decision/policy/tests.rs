//! The contact policy: the rows of `rows.txt`, each a story that a marketer can read, and what rows cannot say.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{Asked, Candidate, Choices, Ledger, Limit, Reached, budget, oldest_unneeded};
use crate::catalog::Catalog;
use crate::catalog::load::{CatalogFiles, load};
use crate::decision::testing::{catalog_with, symbol};
use crate::domain::contact::{Contact, Counted};
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbol;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;

/// Offers that limits do not stop, beside those of the small catalog; a campaign when the row has none.
const MORE: &str = "
offers:
  - {id: service, group: savings, name: S, contact_policy: exempt, treatments: {web: {t: x}}}
  - {id: notice, group: savings, name: N, contact_policy: exempt_uncounted, treatments: {web: {t: x}}}
";

fn catalog_of(rules: &str) -> Arc<Catalog> {
    let campaigns = if rules.contains("campaigns: [{") {
        ""
    } else {
        "campaigns: [{id: spring}]\n"
    };
    catalog_with(&format!("{rules}\n{campaigns}{MORE}"))
}

fn zone() -> TimeZone {
    TimeZone::get("Europe/Madrid").unwrap()
}

fn instant(day: &str, time: &str) -> Timestamp {
    let civil: jiff::civil::DateTime = format!("{day}T{time}").parse().unwrap();
    Timestamp::from_millis(zone().to_timestamp(civil).unwrap().as_millisecond())
}

fn written(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap();
    zone().to_datetime(at).strftime("%F %H:%M").to_string()
}

fn contact(catalog: &Catalog, decision: u32, text: &str) -> Contact {
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = instant(words[0], words[1]);
    let named = |name: &str| symbol(catalog, name);
    let mut contact = Contact::decided(decision, named(words[2]), named(words[3]), named("top"), at);
    for word in &words[4..] {
        match *word {
            "top" | "side" => contact.placement = named(word),
            "spring" => contact.campaign = Some(named(word)),
            "cancelled" => contact.cancelled = Some(at),
            outcome => {
                let outcome = Counted::from_name(outcome).unwrap_or_else(|| panic!("{outcome} in {text}"));
                contact.times[outcome.index()] = Some(at + Millis::MINUTE);
            }
        }
    }
    contact
}

fn profile(catalog: &Catalog, history: &str) -> Profile {
    let entries = history.split(';').filter(|entry| !entry.trim().is_empty());
    let contacts = entries
        .zip(1..)
        .map(|(entry, decision)| contact(catalog, decision, entry));
    Profile {
        contacts: contacts.collect(),
        ..Profile::default()
    }
}

/// A question, put to a catalog.
struct Question {
    now: Timestamp,
    asked: Asked,
    candidate: Candidate,
    earlier: Vec<(Symbol, usize)>,
    zone: Option<Value>,
}

fn question(catalog: &Catalog, text: &str) -> Question {
    let named = |name: &str| symbol(catalog, name);
    let position = |name: &str| catalog.offer_positions.get(named(name)).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut question = Question {
        now: instant(words[0], words[1]),
        asked: Asked {
            channel: named(words[3]),
            campaign: None,
        },
        candidate: Candidate {
            offer: position(words[2]),
            placement: named("top"),
        },
        earlier: Vec::new(),
        zone: None,
    };
    let mut words = words[4..].iter();
    while let Some(word) = words.next() {
        match *word {
            "top" | "side" => question.candidate.placement = named(word),
            "spring" => question.asked.campaign = Some(named(word)),
            "after" => question.earlier.push((named("top"), position(words.next().unwrap()))),
            zone => question.zone = Some(Value::Category(named(zone))),
        }
    }
    question
}

fn reached(catalog: &Catalog, profile: &Profile, question: &Question, now: Timestamp) -> Vec<Reached> {
    let of_one = |&&(_, chosen): &&(Symbol, usize)| chosen == question.candidate.offer;
    let choices = Choices {
        all: question.earlier.len(),
        of_one: question.earlier.iter().filter(of_one).count(),
    };
    let ledger = Ledger::new(catalog, profile, question.asked, choices, now);
    ledger.reached(&question.earlier, question.candidate).collect()
}

fn words(catalog: &Catalog, reached: &[Reached]) -> String {
    let one = |reached: &Reached| {
        let id = match reached.limit {
            Limit::Cap(at) => &catalog.caps[at].id,
            Limit::CoolDown(at) => &catalog.cool_downs[at].id,
            Limit::Attempts(at) => &catalog.attempts[at].id,
        };
        let end = reached
            .eligible_again_at
            .map_or_else(|| "for good".to_owned(), |at| format!("until {}", written(at)));
        format!("{id} {} of {} {end}", reached.count, reached.at_most)
    };
    if reached.is_empty() {
        return "free".to_owned();
    }
    reached.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A row of `rows.txt`.
#[derive(Debug, Default)]
struct Row {
    rules: String,
    before: String,
    asks: String,
    then: String,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = Row::default();
    for line in include_str!("rows.txt").lines().filter(|line| !line.starts_with('#')) {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "rules" => row.rules.extend([rest.trim(), "\n"]),
            "before" => row.before = rest.trim().to_owned(),
            "asks" => row.asks = rest.trim().to_owned(),
            "then" => {
                row.then = rest.trim().to_owned();
                rows.push(std::mem::take(&mut row));
            }
            "" => {}
            _ => panic!("`{line}` is not understood"),
        }
    }
    rows
}

/// Checks a row; and that each limit has room at the instant that it names, and not a millisecond before.
fn check(row: &Row) {
    let catalog = catalog_of(&row.rules);
    let question = question(&catalog, &row.asks);
    let mut profile = profile(&catalog, &row.before);
    if let Some(zone) = question.zone {
        profile.attributes.push((symbol(&catalog, "zone"), zone));
    }
    let found = reached(&catalog, &profile, &question, question.now);
    assert_eq!(words(&catalog, &found), row.then, "{row:#?}");
    for limit in found.iter().filter(|_| question.earlier.is_empty()) {
        let Some(again) = limit.eligible_again_at else { continue };
        let stops = |at: Timestamp| {
            let later = reached(&catalog, &profile, &question, at);
            later.iter().any(|other| other.limit == limit.limit)
        };
        assert!(stops(again - Millis::new(1)), "too early: {row:#?}");
        assert!(!stops(again), "not at the instant that it named: {row:#?}");
    }
}

#[test]
fn every_row_of_the_contact_policy_goes_as_it_is_told() {
    let rows = rows();
    assert!(rows.len() >= 69, "only {} rows were read", rows.len());
    rows.iter().for_each(check);
}

/// The small catalog as `from`, and then a version as `to`; the symbols go on.
fn reloaded(from: &str, to: &str) -> (Catalog, Catalog) {
    let base = "catalog: {name: t, time_zone: Europe/Madrid}\nchannels: [{id: web}]\nplacements: [{id: top}]\n";
    let files = |text: &str| CatalogFiles {
        rules: BTreeMap::from([("t.yaml".to_owned(), format!("{base}{text}"))]),
        ..CatalogFiles::default()
    };
    let before = load(&files(from), &crate::domain::symbol::Symbols::default()).unwrap();
    let after = load(&files(to), &before.symbols).unwrap();
    (before, after)
}

#[test]
fn a_contact_of_an_offer_that_left_the_catalog_counts_by_the_group_and_labels_that_it_had_last() {
    let groups = "groups: [{id: loan, start_propensity: 0.1, labels: [credit]}, {id: card, start_propensity: 0.1}]\n";
    let stays = "  - {id: stays, group: card, name: S, labels: [credit], treatments: {web: {t: x}}}\n  - {id: other, group: loan, name: O, treatments: {web: {t: x}}}\n";
    let gone = |more: &str| format!("  - {{id: gone, group: loan, name: G{more}, treatments: {{web: {{t: x}}}}}}\n");
    for (cap, gone_as, question, expected) in [
        (
            "labels: [credit]",
            "",
            "2026-03-02 10:00 stays web",
            "c 1 of 1 until 2026-03-03 09:00",
        ),
        (
            "groups: [loan]",
            "",
            "2026-03-02 10:00 other web",
            "c 1 of 1 until 2026-03-03 09:00",
        ),
        ("groups: [card]", "", "2026-03-02 10:00 stays web", "free"),
        (
            "each: group",
            "",
            "2026-03-02 10:00 other web",
            "c 1 of 1 until 2026-03-03 09:00",
        ),
        ("each: group", "", "2026-03-02 10:00 stays web", "free"),
        ("each: offer", "", "2026-03-02 10:00 other web", "free"),
        ("offers: [stays]", "", "2026-03-02 10:00 stays web", "free"),
        (
            "each: group",
            ", contact_policy: exempt_uncounted",
            "2026-03-02 10:00 other web",
            "free",
        ),
    ] {
        let caps = format!("caps: [{{id: c, at_most: 1, of: decided, within: 1d, {cap}}}]\n");
        let (before, after) = reloaded(
            &format!("{groups}{caps}offers:\n{stays}{}", gone(gone_as)),
            &format!("{groups}{caps}offers:\n{stays}"),
        );
        let profile = profile(&before, "2026-03-02 09:00 gone web");
        let question = self::question(&after, question);
        let found = reached(&after, &profile, &question, question.now);
        assert_eq!(words(&after, &found), expected, "{cap} {gone_as}");
    }
}

#[test]
fn a_channel_that_left_the_catalog_keeps_its_direction() {
    let offers = "groups: [{id: g, start_propensity: 0.1}]\noffers: [{id: a, group: g, name: A, treatments: {web: {t: x}}}]\ncaps: [{id: c, at_most: 1, of: decided, within: 1d, directions: [outbound]}]\n";
    let base = |channels: &str| {
        format!(
            "catalog: {{name: t, time_zone: Europe/Madrid}}\nplacements: [{{id: top}}]\nchannels: [{channels}]\n{offers}"
        )
    };
    let files = |text: String| CatalogFiles {
        rules: BTreeMap::from([("t.yaml".to_owned(), text)]),
        ..CatalogFiles::default()
    };
    let web = "{id: web, direction: outbound}";
    let before = load(
        &files(base(&format!("{web}, {{id: fax, direction: outbound}}"))),
        &crate::domain::symbol::Symbols::default(),
    )
    .unwrap();
    let after = load(&files(base(web)), &before.symbols).unwrap();
    let profile = profile(&before, "2026-03-02 09:00 a fax");
    let question = question(&after, "2026-03-02 10:00 a web");
    assert_eq!(
        words(&after, &reached(&after, &profile, &question, question.now)),
        "c 1 of 1 until 2026-03-03 09:00"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn a_full_history_keeps_what_a_limit_needs_now_and_drops_the_oldest_that_none_does() {
    // The rules, the history, the time, and which entry may go first.
    let rows: [(&str, &str, &str, Option<usize>); 17] = [
        (
            "caps: [{id: c, at_most: 9, of: decided, per: day}]",
            "2026-03-02 09:00 savings_a web; 2026-03-03 00:00 savings_a web",
            "2026-03-03 12:00",
            Some(0),
        ),
        (
            "caps: [{id: c, at_most: 9, of: decided, per: week}]",
            "2026-03-02 00:00 savings_a web; 2026-03-03 00:00 savings_a web",
            "2026-03-08 23:59",
            None,
        ),
        (
            "caps: [{id: c, at_most: 9, of: decided, within: ever}]",
            "2026-03-02 00:00 notice web; 2026-03-03 00:00 savings_a web",
            "2026-03-08 23:59",
            Some(0),
        ),
        (
            "caps: [{id: c, at_most: 9, of: decided, within: ever}]",
            "2026-03-02 00:00 savings_a web cancelled",
            "2026-03-08 23:59",
            Some(0),
        ),
        // A rest needs what began it until it is over.
        (
            "cool_downs: [{id: r, after: refused, rest: 2d}]",
            "2026-03-02 09:00 savings_a web refused",
            "2026-03-04 09:00",
            None,
        ),
        (
            "cool_downs: [{id: r, after: refused, rest: 2d}]",
            "2026-03-02 09:00 savings_a web refused",
            "2026-03-04 09:01",
            Some(0),
        ),
        (
            "cool_downs: [{id: r, after: refused, rest: 2d}]",
            "2026-03-02 09:00 savings_a web",
            "2026-03-02 09:10",
            Some(0),
        ),
        (
            "cool_downs: [{id: r, after: accepted, rest: for_good}]",
            "2020-03-02 09:00 savings_a web accepted",
            "2026-03-02 09:00",
            None,
        ),
        // For good needs the first that began it.
        (
            "cool_downs: [{id: r, after: accepted, rest: for_good}]",
            "2020-03-02 09:00 service web accepted; 2021-03-02 09:00 service web accepted",
            "2026-03-02 09:00",
            Some(1),
        ),
        // One that waits for the second stays; with a span, while the second could come.
        (
            "cool_downs: [{id: r, after: refused, times: 2, rest: 1d}]",
            "2020-03-02 09:00 savings_a web refused",
            "2026-03-02 09:00",
            None,
        ),
        (
            "cool_downs: [{id: r, after: refused, times: 2, rest: 1d, within: 3d}]",
            "2026-03-02 09:00 savings_a web refused",
            "2026-03-05 09:00",
            None,
        ),
        (
            "cool_downs: [{id: r, after: refused, times: 2, rest: 1d, within: 3d}]",
            "2026-03-02 09:00 savings_a web refused",
            "2026-03-06 09:01",
            Some(0),
        ),
        (
            "cool_downs: [{id: r, after: refused, times: 2, rest: 1d}]",
            "2026-03-01 09:00 savings_a web refused; 2026-03-02 09:00 savings_a web refused",
            "2026-03-03 09:01",
            Some(0),
        ),
        (
            "cool_downs: [{id: r, after: refused, times: 2, rest: 1d}]",
            "2026-03-01 09:00 savings_a web refused; 2026-03-02 09:00 savings_a web refused",
            "2026-03-03 09:00",
            None,
        ),
        // A click is kept as long as what it made an end of.
        (
            "cool_downs: [{id: r, after: ignored, times: 2, rest: 1d}]\ncaps: [{id: c, at_most: 9, of: seen, within: ever, channels: [web]}]",
            "2026-03-01 09:00 savings_a web seen; 2026-03-01 09:30 savings_a mail clicked",
            "2026-03-05 09:00",
            None,
        ),
        (
            "cool_downs: [{id: r, after: ignored, times: 2, rest: 1d}]",
            "2026-03-01 09:00 savings_a web seen; 2026-03-01 09:30 savings_a mail clicked",
            "2026-03-05 09:00",
            Some(0),
        ),
        (
            "campaigns: [{id: spring, attempts: {apart: 1d}}]",
            "2026-03-02 09:00 savings_a web; 2026-03-02 09:00 savings_a web spring",
            "2026-03-02 10:00",
            Some(0),
        ),
    ];
    for (rules, history, now, expected) in rows {
        let catalog = catalog_of(rules);
        let profile = profile(&catalog, history);
        let (day, time) = now.split_once(' ').unwrap();
        assert_eq!(
            oldest_unneeded(&profile, &catalog, instant(day, time)),
            expected,
            "{rules}\n{history}\n{now}"
        );
    }
}

#[test]
fn the_budget_says_what_is_left_on_every_limit_and_what_rests() {
    let catalog = catalog_of(
        "caps: [{id: all, at_most: 3, of: decided, within: 1d}, {id: none, at_most: 2, of: refused, per: day}, {id: per, at_most: 1, of: decided, per: month, each: [offer, channel]}]\ncool_downs: [{id: no, after: refused, rest: 1d}, {id: bought, after: converted, rest: for_good}]\ncampaigns: [{id: spring, attempts: {at_most: 2}}]",
    );
    let history = "2026-03-02 08:00 savings_a web converted; 2026-03-02 09:00 savings_a mail spring refused; 2026-03-02 09:30 savings_a web; 2026-03-02 09:40 savings_a web; 2026-02-01 09:00 fund_a web";
    let profile = profile(&catalog, history);
    let found = budget(&catalog, &profile, instant("2026-03-02", "10:00"));
    let name = |symbol: Option<Symbol>| symbol.map_or("", |symbol| catalog.symbols.name(symbol)).to_owned();
    let allowances: Vec<String> = found
        .allowances
        .iter()
        .map(|allowance| {
            let of = allowance.of;
            let of = [of.offer, of.group, of.channel, of.placement, of.campaign]
                .map(name)
                .join(" ");
            let next = allowance.next_release.map_or_else(|| "never".to_owned(), written);
            let (count, most, left) = (allowance.count, allowance.at_most, allowance.left);
            format!(
                "{:?} {}: {count} of {most}, {left} left, next {next}",
                allowance.limit,
                of.split_whitespace().collect::<Vec<_>>().join(" ")
            )
        })
        .collect();
    assert_eq!(
        allowances,
        [
            "Cap(0) : 4 of 3, 0 left, next 2026-03-03 08:00",
            "Cap(1) : 1 of 2, 1 left, next 2026-03-03 00:00",
            "Cap(2) savings_a web: 3 of 1, 0 left, next 2026-04-01 00:00",
            "Cap(2) savings_a mail: 1 of 1, 0 left, next 2026-04-01 00:00",
            "Attempts(0) savings_a spring: 1 of 2, 1 left, next never",
        ]
    );
    let rests: Vec<_> = found
        .rests
        .iter()
        .map(|rest| (rest.cool_down, name(Some(rest.after)), rest.until.map(written)))
        .collect();
    assert_eq!(
        rests,
        [
            (0, "savings_a".to_owned(), Some("2026-03-03 09:01".to_owned())),
            (1, "savings_a".to_owned(), None),
        ]
    );
}

/// 130 offers, so that three of them stand 64 positions apart, and every way to count an offer by itself.
fn crowded() -> Arc<Catalog> {
    let offer = |at: usize| {
        format!("  - {{id: o{at}, group: savings, name: O, treatments: {{web: {{t: x}}, mail: {{t: x}}}}}}")
    };
    let each = ["offer", "[offer, channel]", "[offer, placement]"];
    let cap = |at: usize| {
        let (at_most, each) = (at / 3, each[at % 3]);
        format!("  - {{id: c{at}, at_most: {at_most}, of: decided, within: 7d, each: {each}}}")
    };
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<Vec<_>>().join("\n");
    catalog_with(&format!(
        "offers:\n{}\ncaps:\n{}\n",
        lines(130, &offer),
        lines(12, &cap)
    ))
}

#[test]
fn what_counts_of_an_offer_is_found_however_many_other_contacts_there_are() {
    let catalog = crowded();
    let now = instant("2026-03-02", "10:00");
    let named = |name: &str| symbol(&catalog, name);
    let (channels, placements) = ([named("web"), named("mail")], [named("top"), named("side")]);
    // The first three share a place.
    let offers = [1, 65, 129, 2];
    let at = |position: usize| catalog.offers[position].symbol;
    // Of each of the first three one more than of the one before, beside many others and one that is gone.
    let mut contacts = Vec::new();
    for number in 0..90_u32 {
        let which = number as usize;
        let offer = match which % 10 {
            0 => at(1),
            1 | 2 => at(65),
            3..=5 if which > 30 => at(129),
            6 => Symbol::from_packed(60_000),
            _ => at(3 + which % 50),
        };
        let at = now - Millis::HOUR.times(i64::from(90 - number) * 2);
        contacts.push(Contact::decided(
            number,
            offer,
            channels[which % 3 % 2],
            placements[which % 2],
            at,
        ));
    }
    let profile = Profile {
        contacts,
        ..Profile::default()
    };
    for (channel, placement) in channels
        .into_iter()
        .flat_map(|channel| placements.map(|placement| (channel, placement)))
    {
        let asked = Asked {
            channel,
            campaign: None,
        };
        let ledger = Ledger::new(&catalog, &profile, asked, Choices::NONE, now);
        for offer in offers {
            let candidate = Candidate { offer, placement };
            let found = ledger.reached(&[], candidate);
            let found: Vec<(Limit, u32)> = found.map(|reached| (reached.limit, reached.count)).collect();
            let of_offer = || {
                profile
                    .contacts
                    .iter()
                    .filter(|contact| contact.offer == at(offer) && now - contact.decided_at() < Millis::DAY.times(7))
            };
            let counts = [
                of_offer().count(),
                of_offer().filter(|contact| contact.channel == channel).count(),
                of_offer().filter(|contact| contact.placement == placement).count(),
            ];
            let reached = |(at, cap): (usize, &crate::catalog::Cap)| {
                let count = u32::try_from(counts[at % 3]).unwrap();
                (count >= cap.limit).then_some((Limit::Cap(at), count))
            };
            let expected: Vec<(Limit, u32)> = catalog.caps.iter().enumerate().filter_map(reached).collect();
            assert_eq!(found, expected, "{offer} on {channel:?} in {placement:?}");
        }
    }
}
