//! What a story expects of an answer, line by line.

use std::fmt::Write as _;

use nbo::catalog::{Catalog, Placement};
use nbo::domain::decision::{Decision, Filled, Rung, Shown, Stage, Withheld};
use nbo::domain::request::OffersRequest;
use nbo::engine::Answer;

use super::text::{Line, Problem, parts, unquoted, word, written};

/// Tells whether a line needs the reasons of withheld offers.
pub(super) fn is_about_reasons(line: &Line) -> bool {
    matches!(word(&line.text).0, "withheld" | "blamed" | "reason")
}

/// Tells whether an answer shows the offer.
pub(super) fn shows(decision: &Decision, catalog: &Catalog, name: &str) -> bool {
    let mut shown = decision.placements.iter().flat_map(|filled| &filled.offers);
    shown.any(|shown| *catalog.offers[shown.offer].id == *name)
}

/// An answer under judgement.
struct Judged<'a> {
    decision: &'a Decision,
    replayed: bool,
    request: &'a OffersRequest,
    catalog: &'a Catalog,
}

/// Compares an answer with the lines about it.
///
/// # Errors
/// When a line is not understood.
pub(super) fn answer(
    answer: &Answer,
    request: &OffersRequest,
    catalog: &Catalog,
    below: &[Line],
) -> Result<Vec<Problem>, String> {
    let decision = &answer.decision;
    let answer = Judged {
        decision,
        replayed: answer.replay.is_some(),
        request,
        catalog,
    };
    let channel = &catalog.channels[request.channel].id;
    let mut problems = Vec::new();
    let mut at = 0;
    for line in below {
        let (first, rest) = word(&line.text);
        if first == "in" {
            let is_named = |filled: &Filled| *catalog.placements[filled.placement].id == *rest;
            let found = decision.placements.iter().position(is_named);
            at = found.ok_or_else(|| format!("`{rest}` was not asked for"))?;
            continue;
        }
        let found = answer.found(at, line)?;
        problems.extend(found.map(|found| line.differs(format!("{found} on {channel}"))));
    }
    Ok(problems)
}

impl Judged<'_> {
    /// Returns what was found instead of what the line expects; `None` when it is as expected.
    fn found(&self, at: usize, line: &Line) -> Result<Option<String>, String> {
        let filled = &self.decision.placements[at];
        let (first, rest) = word(&line.text);
        let differs = match first {
            "first" | "given" | "for" => None,
            "groups" => self.groups(filled, rest),
            "shows" => self.presence(rest, true),
            "without" => self.presence(rest, false),
            "fallback" => self.fallback(filled, rest)?,
            "content" => self.content(filled, rest)?,
            "factors" => self.factors(filled, rest)?,
            "from" => {
                let found = rung(self.decision.rung);
                (found != rest).then(|| format!("`from {found}`"))
            }
            "cached" | "ranked" => {
                let found = if self.decision.cached { "cached" } else { "ranked anew" };
                (found != line.text).then(|| format!("`{found}`"))
            }
            "replayed" | "decided" => {
                let found = if self.replayed { "replayed" } else { "decided anew" };
                (found != line.text).then(|| format!("`{found}`"))
            }
            "rejected" => Some("an answer".to_owned()),
            "not" => self
                .decision
                .known_customer
                .then(|| "that the customer is known".to_owned()),
            "valid" => {
                let found = written(self.decision.valid_until, &self.catalog.time_zone);
                let expected = rest.strip_prefix("until ").unwrap_or(rest);
                (found != expected).then(|| format!("`{found}`"))
            }
            "control" => self.control(filled, rest),
            "held" => self.held_out(rest)?,
            "reserved" => self.decision.id.map(|id| format!("the decision {id}")),
            "withheld" => self.withheld(rest, false)?,
            "blamed" => self.withheld(rest, true)?,
            "reason" => self.reason(rest)?,
            _ => match first.strip_suffix('.').and_then(|rank| rank.parse::<usize>().ok()) {
                Some(rank) => self.rank(filled, rank, rest),
                None => return Err(format!("line {}: `{}` is not understood", line.number, line.text)),
            },
        };
        Ok(differs)
    }

    fn name(&self, shown: &Shown) -> &str {
        &self.catalog.offers[shown.offer].id
    }

    fn placement(&self, filled: &Filled) -> &Placement {
        &self.catalog.placements[filled.placement]
    }

    fn list(&self, filled: &Filled) -> String {
        if filled.offers.is_empty() {
            return format!("nothing in `{}`", self.placement(filled).id);
        }
        let offers = filled
            .offers
            .iter()
            .map(|shown| format!("{}. {} ({:.3})", shown.rank, self.name(shown), shown.priority));
        format!("`{}`", offers.collect::<Vec<_>>().join(", "))
    }

    fn rank(&self, filled: &Filled, rank: usize, name: &str) -> Option<String> {
        let shown = filled.offers.get(rank.wrapping_sub(1));
        let holds = shown.is_some_and(|shown| shown.rank == rank && self.name(shown) == name);
        (!holds).then(|| self.list(filled))
    }

    fn groups(&self, filled: &Filled, expected: &str) -> Option<String> {
        let of = |shown: &Shown| &*self.catalog.groups[self.catalog.offers[shown.offer].group].id;
        let found: Vec<&str> = filled.offers.iter().map(of).collect();
        (found != parts(expected)).then(|| format!("`groups {}`: {}", found.join(", "), self.list(filled)))
    }

    fn presence(&self, what: &str, expected: bool) -> Option<String> {
        let group = what.strip_prefix("group ");
        let is_meant = |shown: &Shown| {
            let offer = &self.catalog.offers[shown.offer];
            group.map_or(*offer.id == *what, |group| {
                *self.catalog.groups[offer.group].id == *group
            })
        };
        let found = self
            .decision
            .placements
            .iter()
            .flat_map(|filled| &filled.offers)
            .any(is_meant);
        let lists = || {
            self.decision
                .placements
                .iter()
                .map(|filled| self.list(filled))
                .collect::<Vec<_>>()
        };
        (found != expected).then(|| lists().join(" and "))
    }

    fn fallback(&self, filled: &Filled, expected: &str) -> Result<Option<String>, String> {
        let (key, text) = word(expected);
        if !filled.fallback {
            return Ok(Some(self.list(filled)));
        }
        if key.is_empty() {
            return Ok(None);
        }
        let found = self.placement(filled).fallback.get(key);
        let holds = found.is_some_and(|found| Ok(&**found) == unquoted(text));
        unquoted(text)?;
        Ok((!holds).then(|| format!("{:?}", self.placement(filled).fallback)))
    }

    fn content(&self, filled: &Filled, expected: &str) -> Result<Option<String>, String> {
        let (name, rest) = word(expected);
        let (key, text) = word(rest);
        let text = unquoted(text)?;
        let Some(shown) = filled.offers.iter().find(|shown| self.name(shown) == name) else {
            return Ok(Some(self.list(filled)));
        };
        let offer = &self.catalog.offers[shown.offer];
        let treatment = if shown.control {
            offer.control.as_ref()
        } else {
            offer.treatments[self.request.channel].as_ref()
        };
        let found = treatment.and_then(|treatment| treatment.get(key));
        Ok((found.map(|found| &**found) != Some(text)).then(|| format!("{treatment:?}")))
    }

    fn control(&self, filled: &Filled, name: &str) -> Option<String> {
        let shown = filled.offers.iter().find(|shown| self.name(shown) == name);
        let holds = shown.is_some_and(|shown| shown.control);
        (!holds).then(|| format!("{} without its control", self.list(filled)))
    }

    fn held_out(&self, expected: &str) -> Result<Option<String>, String> {
        let expected = expected.strip_prefix("out by ").ok_or("write `held out by …`")?;
        let expected: Vec<&str> = parts(expected).into_iter().filter(|each| *each != "nothing").collect();
        let name = |&at: &usize| &*self.catalog.hold_outs[at].id;
        let found: Vec<&str> = self.decision.hold_outs.iter().map(name).collect();
        Ok((found != expected).then(|| format!("`held out by {}`", found.join(", "))))
    }

    fn factors(&self, filled: &Filled, expected: &str) -> Result<Option<String>, String> {
        let (name, list) = expected.split_once(':').ok_or("write `factors <offer>: value 80`")?;
        let Some(shown) = filled.offers.iter().find(|shown| self.name(shown) == name) else {
            return Ok(Some(self.list(filled)));
        };
        let factors = shown.factors;
        for part in parts(list) {
            let (what, given) = part
                .rsplit_once(' ')
                .ok_or_else(|| format!("`{part}` lacks its number"))?;
            let number = match what {
                "propensity" => factors.propensity,
                "context weight" => factors.context_weight,
                "value" => factors.value,
                "lever" => factors.lever,
                "priority" => shown.priority,
                _ => return Err(format!("there is no factor `{what}`")),
            };
            // As exact as it is written.
            let decimals = given.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            if format!("{number:.decimals$}") != given {
                return Ok(Some(format!("`{what} {number}`")));
            }
        }
        Ok(None)
    }

    fn reasons(&self, name: &str) -> Result<Vec<&Withheld>, String> {
        let offer = self.catalog.offers.iter().position(|offer| *offer.id == *name);
        let offer = offer.ok_or_else(|| format!("there is no offer `{name}`"))?;
        Ok(self
            .decision
            .withheld
            .iter()
            .filter(|reason| reason.offer == offer)
            .collect())
    }

    /// Looks for a reason among all of an offer; with `first`, it must be the first, which is the one that counts.
    fn withheld(&self, expected: &str, first: bool) -> Result<Option<String>, String> {
        let (name, rest) = expected
            .split_once(':')
            .ok_or("write `withheld <offer>: <stage> <rule>`")?;
        let found: Vec<String> = self
            .reasons(name)?
            .into_iter()
            .map(|reason| self.words(reason))
            .collect();
        let wanted = parts(rest).join(", ");
        let considered = if first { found.len().min(1) } else { found.len() };
        if found[..considered].contains(&wanted) {
            return Ok(None);
        }
        Ok(Some(if found.is_empty() {
            "no reason for it".to_owned()
        } else {
            format!("`{}`", found.join("`, `"))
        }))
    }

    fn reason(&self, expected: &str) -> Result<Option<String>, String> {
        let (name, text) = word(expected);
        let text = unquoted(text)?;
        let found = self.reasons(name)?;
        let holds = found.iter().any(|reason| &*reason.because == text);
        Ok((!holds).then(|| format!("{:?}", found.iter().map(|reason| &reason.because).collect::<Vec<_>>())))
    }

    fn words(&self, reason: &Withheld) -> String {
        let mut words = format!("{} {}", stage(reason.stage), reason.rule);
        if let Some(missing) = &reason.missing {
            let _ = write!(words, ", missing {missing}");
        }
        if let (Some(count), Some(limit)) = (reason.count, reason.limit) {
            let _ = write!(words, ", {count} of {limit}");
        }
        if let Some(again) = reason.eligible_again_at {
            let _ = write!(words, ", again at {}", written(again, &self.catalog.time_zone));
        }
        words
    }
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::HardSuppression => "suppression",
        Stage::Eligibility => "eligibility",
        Stage::Applicability => "applicability",
        Stage::Suitability => "suitability",
        Stage::ContactPolicy => "cap",
        Stage::Placement => "placement",
    }
}

const fn rung(rung: Rung) -> &'static str {
    match rung {
        Rung::Model => "model",
        Rung::FirstStage => "first stage",
        Rung::LastGood => "last good score",
        Rung::Start => "start propensity",
    }
}
