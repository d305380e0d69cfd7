//! The names of all that can keep an offer out: explanations, the audit and the figures tell it by its name and nothing else, so
//! each has one of its own.
//!
//! They are the ids of caps, cool-downs, volumes and hold-outs; `<campaign>.attempts` and `<campaign>.apart`; `<channel>.quiet`; `<group or
//! offer>.<rule>`; and the reasons that are built in.

use std::collections::{HashMap, HashSet};

use super::super::read::{Item, Sources};
use super::super::source::Rule;
use crate::catalog::document::{At, Report};

/// The reasons that are built in, by the names that explanations give them.
const BUILT_IN: [&str; 14] = [
    "erased",
    "unknown-customer",
    "opt-out",
    "no-room-for-new-customer",
    "contact-history-full",
    "no-consent",
    "objected",
    "not-yet-valid",
    "no-longer-valid",
    "not-for-this-placement",
    "no-treatment-for-channel",
    "shown-in-earlier-placement",
    "enough-of-this-group",
    "outranked",
];

/// What [`crate::campaign`] gives others; no rule of a catalog either.
const OF_RUNS: &str = "campaign-run-limit";

/// Refuses whatever has a name that something else has.
pub(super) fn check<'a>(sources: &'a Sources<'a>, report: &mut Report) {
    let mut names = Names {
        taken: HashMap::new(),
        owners: HashSet::new(),
        report,
    };
    for Item { at, source } in &sources.caps.items {
        names.take(source.id.clone(), "cap", at.key("id"));
    }
    for Item { at, source } in &sources.cool_downs.items {
        names.take(source.id.clone(), "cool-down", at.key("id"));
    }
    for Item { at, source } in &sources.volumes.items {
        names.take(source.id.clone(), "volume", at.key("id"));
    }
    for Item { at, source } in &sources.hold_outs.items {
        names.take(source.id.clone(), "hold-out", at.key("id"));
    }
    for Item { at, source } in &sources.campaigns.items {
        if source.attempts.is_some() {
            names.owners.insert(&source.id);
            for limit in ["attempts", "apart"] {
                names.take(format!("{}.{limit}", source.id), "campaign limit", at.key("attempts"));
            }
        }
    }
    for Item { at, source } in &sources.channels.items {
        if !source.quiet.is_empty() {
            names.owners.insert(&source.id);
            names.take(format!("{}.quiet", source.id), "channel's quiet hours", at.key("quiet"));
        }
    }
    for Item { at, source } in &sources.groups.items {
        let written = [&source.eligibility, &source.applicability, &source.suitability];
        names.compare(&source.id, *at, written);
    }
    for Item { at, source } in &sources.offers.items {
        let written = [&source.eligibility, &source.applicability, &source.suitability];
        names.compare(&source.id, *at, written);
    }
}

struct Names<'a, 'r> {
    taken: HashMap<String, (&'static str, At<'a>)>,
    /// What stands before the dot in names that were taken.
    owners: HashSet<&'a str>,
    report: &'r mut Report,
}

impl<'a> Names<'a, '_> {
    /// Gives something its name, if that is free.
    fn take(&mut self, name: String, what: &'static str, at: At<'a>) {
        if self.is_free(&name, at) {
            self.taken.insert(name, (what, at));
        }
    }

    /// Compares the rules of a group or an offer with what was named before; with each other they are compared elsewhere.
    fn compare(&mut self, owner: &str, at: At<'a>, written: [&Vec<Rule>; 3]) {
        // Of many offers, next to none is called like a campaign or a channel.
        if !self.owners.contains(owner) {
            return;
        }
        for (stage, rules) in ["eligibility", "applicability", "suitability"].iter().zip(written) {
            for (index, rule) in rules.iter().enumerate() {
                self.is_free(&format!("{owner}.{}", rule.id), at.key(stage).item(index).key("id"));
            }
        }
    }

    fn is_free(&mut self, name: &str, at: At<'_>) -> bool {
        if BUILT_IN.contains(&name) || name == OF_RUNS {
            let hint = "explanations tell what kept an offer out by its name only; give it another id";
            let message = format!("`{name}` is the name of a reason that is built in");
            self.report.error_with_hint(at, message, hint);
            return false;
        }
        let Some((what, earlier)) = self.taken.get(name) else {
            return true;
        };
        let hint = format!(
            "it is in {}:{}; explanations tell what kept an offer out by its name only, so each needs one of its own",
            earlier.file(),
            earlier.line()
        );
        self.report
            .error_with_hint(at, format!("`{name}` is the name of a {what} already"), hint);
        false
    }
}
