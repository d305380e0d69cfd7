//! Business stories: text files that a marketer can read and write, played against the real engine, the bank's catalog
//! and the real model, with a clock that only the story moves.
//!
//! A story is a list of steps, one a line, in the order in which they happen. Indented lines below a step say what it must
//! bring about. Lines that begin with `#` are comments. Names are the catalog's; times are local to its time zone.
//!
//! ```text
//! story The title
//! at 2026-03-02 09:00                     sets the clock; seconds and milliseconds can be added, as in 09:00:00.001
//! after 7d                                moves the clock on; units are d, h, m, s, ms, as in 2h30m
//! catalog replaces "old" with "new"       changes a text that stands once in the catalog, and reloads it; \n ends a line
//! catalog adds                            adds a file to the catalog, and reloads it; its lines stand below, after |
//!   | caps:
//! the model fails / the model works       breaks and repairs the model
//!
//! customer anna: age 41, holdings account + fund, digital_active yes, customer_since 2020-01-31
//! visitor v-1: languages es               the same for somebody who is not a customer; `unknown` forgets a value
//! anna opts out of web / anna opts in to web / ... of everything
//! anna agrees to marketing / anna objects to marketing on sms / anna takes back marketing on sms
//! anna does search: category fund, on web, at home_page, in session-1, 2d ago, as e-7
//!   recorded | a repeat | rejected "words"
//! anna clicks fund_x, 2h ago              also receives, sees, accepts, refuses, buys: about the latest answer with it
//!   recorded | a repeat | late | rejected "words"
//! anna cancels fund_x / anna cancels everything               what the latest answer with it reserved, or the latest answer
//!   2 cancelled | rejected "words"
//! visitor v-1 is joined to anna            from then on the two are one; `is joined before anna`: its attributes come first
//!   joined | joined already | rejected "words"
//! visitor v-1 is parted                   the visitor is a person of its own again
//!   parted | not joined
//! remember anna / anna is as remembered / anna is known / anna is unknown / anna is forgotten
//!
//! anna asks web, campaign for 3 best_offers                   once on each channel; the same is expected of each
//! anna previews web for 2 a and 1 b, duplicates allowed       several placements; a preview leaves no trace
//! nobody asks web for 3 best_offers                           a visitor without any id; `nobody previews` too
//! anna asks web for 3 best_offers, as request r-1             with a request id
//!   replayed | decided anew | rejected "words"
//!   first search: category fund, on web   an event that comes with the call
//!   given page home                       what the request says of its context
//!   for campaign spring                   the campaign that asks
//!   in best_offers                        the lines that follow are about this placement
//!   1. fund_x                             the offer at this rank
//!   groups fund, savings                  the groups of all the offers, in order
//!   shows fund_x / shows group fund / without fund_x / without group fund
//!   fallback title "What can we do?"      nothing qualifies, and this is the content instead
//!   content fund_x title "Park it"        the treatment for the channel
//!   control fund_x                        the offer is shown with its control content
//!   held out by universal, second         all hold-outs that the customer is in; `nothing` for none
//!   reserved nothing                      the answer has no decision id
//!   factors fund_x: propensity 0.03, context weight 8, value 80, lever 1, priority 19.2
//!   from model | from last good score | from start propensity      the lowest rung among the offers shown
//!   cached | ranked anew
//!   not known                             the customer is not
//!   valid until 2026-03-04 09:00 / valid for ever
//!   withheld fund_x: suitability fund.no_default, missing profile.age, 3 of 2, again at 2026-03-04 09:00
//!   blamed fund_x: eligibility fund.adult   the same, and no other reason stands before it
//!   reason fund_x "Why, in words for people"
//! ```
//!
//! What differs is reported all at once, each with file, line, what was expected and what was found.

mod bad;
mod expect;
mod precedence;
mod stage;
mod text;

use std::path::Path;

use nbo::domain::contact::Counted;
use nbo::domain::entry::{Cancellation, ConsentChange, OutcomeReport, ProfileChange};
use nbo::domain::ids::{CustomerId, DecisionId, short_hash};
use nbo::domain::profile::Precedence;
use nbo::domain::request::{OffersRequest, PlacementRequest, RequestKey};
use nbo::domain::value::Value;

use stage::{Stage, value};
use text::{Line, Problem, Step, parts, span, unquoted, word};

/// Plays a story on the bank's stage and returns everything that is not as it says.
fn play(text: &str) -> Vec<Problem> {
    match Stage::new() {
        Ok(stage) => play_on(stage, text),
        Err(message) => vec![Problem { number: 1, message }],
    }
}

/// Plays a story on this stage and returns everything that is not as it says.
fn play_on(mut stage: Stage, text: &str) -> Vec<Problem> {
    let steps = match text::steps(text) {
        Ok(steps) => steps,
        Err(problem) => return vec![problem],
    };
    let Some((_, steps)) = steps
        .split_first()
        .filter(|(first, _)| first.line.text.starts_with("story "))
    else {
        let message = "a story begins with the line `story` and its title".to_owned();
        return vec![Problem { number: 1, message }];
    };
    let mut problems = Vec::new();
    for step in steps {
        match perform(&mut stage, step) {
            Ok(differences) => problems.extend(differences),
            Err(message) => {
                problems.push(
                    step.line
                        .problem(format!("`{}`: {message}; the story stops here", step.line.text)),
                );
                break;
            }
        }
    }
    problems
}

/// Does one step and returns where what it brought about is not as expected, or why it cannot be done.
fn perform(stage: &mut Stage, step: &Step) -> Result<Vec<Problem>, String> {
    let (first, rest) = word(&step.line.text);
    match first {
        "at" => stage.now = text::instant(rest, &stage.catalog().time_zone)?,
        "after" => stage.now = stage.now + span(rest)?,
        "catalog" => return change_catalog(stage, rest, &step.below).map(|()| Vec::new()),
        "the" if rest == "model fails" => stage.break_model(true),
        "the" if rest == "model works" => stage.break_model(false),
        "customer" => write_profile(stage, rest, false)?,
        "visitor" if rest.split(':').next().is_some_and(|name| !name.contains(' ')) => {
            write_profile(stage, rest, true)?;
        }
        "remember" => {
            let profile = stage.engine.profile(&person(rest)?.0);
            stage.remembered.insert(rest.to_owned(), profile);
        }
        _ => return act(stage, step),
    }
    match step.below.first() {
        Some(line) => Ok(vec![line.problem("nothing can be expected of the step above")]),
        None => Ok(Vec::new()),
    }
}

fn change_catalog(stage: &mut Stage, rest: &str, below: &[Line]) -> Result<(), String> {
    if rest == "adds" {
        let lines = below.iter().map(|line| {
            let yaml = line.text.strip_prefix('|').ok_or("lines of a file begin with `|`")?;
            Ok(yaml.strip_prefix(' ').unwrap_or(yaml))
        });
        return stage.add(lines.collect::<Result<Vec<_>, String>>()?.join("\n") + "\n");
    }
    let texts = rest
        .strip_prefix("replaces ")
        .and_then(|texts| texts.split_once(" with "));
    let (old, new) = texts.ok_or("write `catalog adds`, or `catalog replaces \"old\" with \"new\"`")?;
    stage.replace(
        &unquoted(old)?.replace("\\n", "\n"),
        &unquoted(new)?.replace("\\n", "\n"),
    )
}

/// Reads who it is about, and returns what follows: `anna …` or `visitor v-1 …`.
fn person(text: &str) -> Result<(CustomerId, &str), String> {
    let (first, rest) = word(text);
    let (id, rest) = if first == "visitor" {
        let (name, rest) = word(rest);
        (CustomerId::anonymous(name), rest)
    } else {
        (CustomerId::known(first), rest)
    };
    Ok((id.map_err(|error| format!("the id {error}"))?, rest))
}

fn write_profile(stage: &mut Stage, text: &str, visitor: bool) -> Result<(), String> {
    let (name, given) = text.split_once(':').unwrap_or((text, ""));
    let id = if visitor {
        CustomerId::anonymous(name)
    } else {
        CustomerId::known(name)
    };
    let active = stage.engine.active();
    let mut change = ProfileChange::default();
    for part in parts(given) {
        let (attribute, given) = word(part);
        let entry = value(&active.catalog.profile, attribute, given, &active.catalog)?;
        change.attributes.push(entry);
    }
    let id = id.map_err(|error| format!("the id {error}"))?;
    let written = stage.engine.upsert_profile(&active, &id, &change, stage.now);
    written.map(|_| ()).map_err(|rejection| rejection.to_string())
}

/// Does what somebody does.
fn act(stage: &mut Stage, step: &Step) -> Result<Vec<Problem>, String> {
    for (begin, preview) in [("nobody asks ", false), ("nobody previews ", true)] {
        if let Some(wanted) = step.line.text.strip_prefix(begin) {
            return ask(stage, None, wanted, preview, step);
        }
    }
    let (who, deed) = person(&step.line.text)?;
    let (verb, rest) = word(deed);
    match verb {
        "asks" | "previews" => ask(stage, Some(&who), rest, verb == "previews", step),
        "does" => {
            let event = stage.event(&who, rest)?;
            let active = stage.engine.active();
            let receipt = stage.engine.record_events(&active, &who, &[event], stage.now);
            let found = receipt.map(|receipt| if receipt.applied == 1 { "recorded" } else { "a repeat" });
            Ok(receipts(step, &found.map_err(|rejection| rejection.to_string())))
        }
        "opts" => opt(stage, &who, rest).map(|()| Vec::new()),
        "agrees" | "objects" | "takes" => consent(stage, &who, deed).map(|()| Vec::new()),
        "is" if rest.starts_with("joined ") => join(stage, &who, rest, step),
        "is" if rest == "parted" => {
            let parted = stage.engine.unmerge_customers(&stage.engine.active(), &who, stage.now);
            let found = parted.map(|parted| if parted.unmerged { "parted" } else { "not joined" });
            Ok(receipts(step, &found.map_err(|rejection| rejection.to_string())))
        }
        "is" => state(stage, &who, rest, step),
        "cancels" => cancel(stage, &who, rest, step),
        _ => match outcome(verb) {
            Some(counted) => report(stage, &who, counted, rest, step),
            None => Err("no step begins like this; see the top of tests/it/scenarios.rs".to_owned()),
        },
    }
}

fn outcome(verb: &str) -> Option<Counted> {
    Some(match verb {
        "receives" => Counted::Delivered,
        "sees" => Counted::Seen,
        "clicks" => Counted::Clicked,
        "accepts" => Counted::Accepted,
        "refuses" => Counted::Refused,
        "buys" => Counted::Converted,
        _ => return None,
    })
}

fn opt(stage: &Stage, who: &CustomerId, rest: &str) -> Result<(), String> {
    let out = rest.strip_prefix("out of ").map(|what| (what, true));
    let (what, opted_out) = out
        .or_else(|| rest.strip_prefix("in to ").map(|what| (what, false)))
        .ok_or("write `opts out of …` or `opts in to …`")?;
    let active = stage.engine.active();
    let mut change = ProfileChange::default();
    if what == "everything" {
        change.opt_out_of_all = Some(opted_out);
    } else {
        let channel = active.catalog.channels.iter().find(|channel| *channel.id == *what);
        let channel = channel.ok_or_else(|| format!("there is no channel `{what}`"))?;
        change.opt_outs.push((channel.symbol, opted_out));
    }
    let written = stage.engine.upsert_profile(&active, who, &change, stage.now);
    written.map(|_| ()).map_err(|rejection| rejection.to_string())
}

fn consent(stage: &Stage, who: &CustomerId, deed: &str) -> Result<(), String> {
    let answers = [
        ("agrees to ", Some(true)),
        ("objects to ", Some(false)),
        ("takes back ", None),
    ];
    let (about, granted) = answers
        .into_iter()
        .find_map(|(words, granted)| Some((deed.strip_prefix(words)?, granted)))
        .ok_or("write `agrees to …`, `objects to …` or `takes back …`")?;
    let (purpose, channel) = match about.split_once(" on ") {
        Some((purpose, channel)) => (purpose, Some(channel)),
        None => (about, None),
    };
    let active = stage.engine.active();
    let catalog = &active.catalog;
    let found = catalog.purposes.iter().find(|each| *each.id == *purpose);
    let purpose = found.ok_or_else(|| format!("there is no purpose `{purpose}`"))?.symbol;
    let channel = match channel {
        Some(id) => {
            let found = catalog.channels.iter().find(|channel| *channel.id == *id);
            Some(found.ok_or_else(|| format!("there is no channel `{id}`"))?.symbol)
        }
        None => None,
    };
    let change = ProfileChange {
        consents: vec![ConsentChange {
            purpose,
            channel,
            granted,
        }],
        ..ProfileChange::default()
    };
    let written = stage.engine.upsert_profile(&active, who, &change, stage.now);
    written.map(|_| ()).map_err(|rejection| rejection.to_string())
}

/// Joins a visitor to a customer.
fn join(stage: &Stage, visitor: &CustomerId, what: &str, step: &Step) -> Result<Vec<Problem>, String> {
    let (name, precedence) = what
        .strip_prefix("joined to ")
        .map(|name| (name, Precedence::Customer))
        .or_else(|| {
            what.strip_prefix("joined before ")
                .map(|name| (name, Precedence::Visitor))
        })
        .ok_or("write `is joined to …` or `is joined before …`")?;
    let (customer, _) = person(name)?;
    let active = stage.engine.active();
    let merged = stage
        .engine
        .merge_customers(&active, visitor, &customer, precedence, stage.now);
    let found = merged.map(|merged| if merged.merged { "joined" } else { "joined already" });
    Ok(receipts(step, &found.map_err(|rejection| rejection.to_string())))
}

fn state(stage: &Stage, who: &CustomerId, what: &str, step: &Step) -> Result<Vec<Problem>, String> {
    let found = stage.engine.profile(who);
    let holds = match what {
        "forgotten" => {
            stage.engine.delete_profile(who).unwrap();
            true
        }
        "known" => found.is_some(),
        "unknown" => found.is_none(),
        "as remembered" => {
            let name = step.line.text.trim_end_matches(" is as remembered");
            let remembered = stage.remembered.get(name);
            found == *remembered.ok_or("nothing was remembered; write `remember …` before")?
        }
        _ => return Err("write `is known`, `is unknown`, `is as remembered` or `is forgotten`".to_owned()),
    };
    let problem = || step.line.differs(format!("{found:?}"));
    Ok(if holds { Vec::new() } else { vec![problem()] })
}

/// Reports an outcome of the latest answer that showed the offer.
fn report(stage: &Stage, who: &CustomerId, outcome: Counted, rest: &str, step: &Step) -> Result<Vec<Problem>, String> {
    let active = stage.engine.active();
    let catalog = &active.catalog;
    let mut given = parts(rest).into_iter();
    let name = given.next().ok_or("say which offer")?;
    let offer = catalog.offers.iter().find(|offer| *offer.id == *name);
    let offer = offer.ok_or_else(|| format!("there is no offer `{name}`"))?;
    let mut at = stage.now;
    for part in given {
        match word(part) {
            (ago, "ago") => at = stage.now - span(ago)?,
            _ => return Err(format!("`{part}` is not understood; write a time as in `2h ago`")),
        }
    }
    let id = latest(stage, who, Some(name))?;
    let report = OutcomeReport {
        decision: id.number,
        offer: offer.symbol,
        placement: None,
        outcome,
        at,
    };
    let found = match stage.engine.record_outcome(&active, id.customer, &report, stage.now) {
        Ok(receipt) if receipt.late => Ok("late"),
        Ok(receipt) if receipt.recorded => Ok("recorded"),
        Ok(_) => Ok("a repeat"),
        Err(rejection) => Err(rejection.to_string()),
    };
    Ok(receipts(step, &found))
}

/// Finds the latest answer of somebody that reserved something, with this offer if one is named.
fn latest(stage: &Stage, who: &CustomerId, offer: Option<&str>) -> Result<DecisionId, String> {
    let catalog = stage.catalog();
    let of_customer = stage.decisions.iter().rev().filter(|(of, _)| of == who);
    of_customer
        .filter(|(_, decision)| offer.is_none_or(|name| expect::shows(decision, &catalog, name)))
        .find_map(|(_, decision)| decision.id)
        .ok_or_else(|| format!("no answer so far showed `{}`", offer.unwrap_or("anything")))
}

/// Cancels one offer, or everything, of the latest answer that showed it.
fn cancel(stage: &Stage, who: &CustomerId, what: &str, step: &Step) -> Result<Vec<Problem>, String> {
    let active = stage.engine.active();
    let name = (what != "everything").then_some(what);
    let offer = match name {
        None => None,
        Some(name) => {
            let found = active.catalog.offers.iter().find(|offer| *offer.id == *name);
            Some(found.ok_or_else(|| format!("there is no offer `{name}`"))?.symbol)
        }
    };
    let id = latest(stage, who, name)?;
    let cancellation = Cancellation {
        decision: id.number,
        offer,
        placement: None,
        at: stage.now,
    };
    let found = stage.engine.cancel(&active, id.customer, &cancellation);
    let found = found.map(|receipt| format!("{} cancelled", receipt.cancelled));
    Ok(receipts(step, &found.map_err(|rejection| rejection.to_string())))
}

/// Compares what a report brought about; a rejection is a problem unless it is expected.
fn receipts<T: AsRef<str>>(step: &Step, found: &Result<T, String>) -> Vec<Problem> {
    if let (Err(message), []) = (found, step.below.as_slice()) {
        return vec![step.line.differs(format!("`rejected \"{message}\"`"))];
    }
    let differs = |line: &Line| match (found, word(&line.text)) {
        (Err(message), ("rejected", words)) if unquoted(words).is_ok_and(|words| message.contains(words)) => None,
        (Err(message), _) => Some(line.differs(format!("`rejected \"{message}\"`"))),
        (Ok(found), _) => (line.text != found.as_ref()).then(|| line.differs(format!("`{}`", found.as_ref()))),
    };
    step.below.iter().filter_map(differs).collect()
}

/// Asks once on each channel, and compares each answer.
fn ask(
    stage: &mut Stage,
    who: Option<&CustomerId>,
    rest: &str,
    preview: bool,
    step: &Step,
) -> Result<Vec<Problem>, String> {
    let below = &step.below;
    let active = stage.engine.active();
    let catalog = &active.catalog;
    let (channels, wanted) = rest
        .split_once(" for ")
        .ok_or("write `asks <channel> for 3 <placement>`")?;
    let (wanted, request_id) = match wanted.split_once(", as request ") {
        Some((wanted, id)) => (wanted, Some(id)),
        None => (wanted, None),
    };
    let (wanted, duplicates) = match wanted.strip_suffix(", duplicates allowed") {
        Some(wanted) => (wanted, true),
        None => (wanted, false),
    };
    let placements = wanted.split(" and ").map(|one| {
        let (count, name) = word(one);
        let placement = catalog.placements.iter().position(|placement| *placement.id == *name);
        let placement = placement.ok_or_else(|| format!("there is no placement `{name}`"))?;
        let count = count
            .parse()
            .map_err(|_| format!("`{count}` is not how many offers are wanted"))?;
        Ok(PlacementRequest { placement, count })
    });
    let placements = placements.collect::<Result<Vec<_>, String>>()?;
    let mut context = vec![Value::Missing; catalog.context.attributes.len()];
    let mut events = Vec::new();
    let mut campaign = None;
    for line in below {
        match word(&line.text) {
            ("first", event) => events.push(stage.event(who.ok_or("nobody's event is kept")?, event)?),
            ("given", pair) => {
                let (attribute, given) = word(pair);
                let (symbol, value) = value(&catalog.context, attribute, given, catalog)?;
                context[catalog.context.positions.get(symbol).unwrap()] = value;
            }
            ("for", rest) => {
                let name = rest.strip_prefix("campaign ").ok_or("write `for campaign <name>`")?;
                let found = catalog.campaigns.iter().position(|campaign| *campaign.id == *name);
                campaign = Some(found.ok_or_else(|| format!("there is no campaign `{name}`"))?);
            }
            _ => {}
        }
    }
    let mut problems = Vec::new();
    for name in parts(channels) {
        let channel = catalog.channels.iter().position(|channel| *channel.id == *name);
        let channel = channel.ok_or_else(|| format!("there is no channel `{name}`"))?;
        context[0] = Value::Category(catalog.channels[channel].symbol);
        let request = OffersRequest {
            customer: who.cloned(),
            channel,
            campaign,
            placements: placements.clone(),
            duplicates,
            context: context.clone(),
            events: events.clone(),
            explain: below.iter().any(expect::is_about_reasons),
            preview,
        };
        let once = request_id.map(|id| RequestKey {
            id: short_hash(id),
            body: short_hash(&format!("{request:?}")),
        });
        let answer = match stage.engine.answer(&active, &request, once, stage.now) {
            Ok(answer) => answer,
            Err(rejection) => {
                problems.extend(receipts::<&str>(step, &Err(rejection.to_string())));
                continue;
            }
        };
        // An answer of before is in the words of its own catalog.
        let (request, catalog) = match &answer.replay {
            Some(replay) => (replay.request(), &replay.active().catalog),
            None => (&request, catalog),
        };
        problems.extend(expect::answer(&answer, request, catalog, below)?);
        stage.decisions.extend(who.map(|who| (who.clone(), answer.decision)));
    }
    Ok(problems)
}

/// Plays a story and returns its problems as they are shown.
fn shown(file: &str, text: &str) -> Vec<String> {
    let problems = play(text).into_iter();
    problems
        .map(|problem| format!("{file}:{}: {}", problem.number, problem.message))
        .collect()
}

#[test]
fn every_story_goes_as_it_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let mut problems = Vec::new();
    for path in &names {
        let file = format!("tests/scenarios/{}", path.file_name().unwrap().to_string_lossy());
        problems.extend(shown(&file, &std::fs::read_to_string(path).unwrap()));
    }
    assert!(
        names.len() >= 15,
        "only {} stories were found in {}",
        names.len(),
        folder.display()
    );
    assert!(
        problems.is_empty(),
        "{} problems:\n{}\n",
        problems.len(),
        problems.join("\n")
    );
}
