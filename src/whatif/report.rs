//! What a simulation found. Lists are sorted by id, so equal simulations give equal reports.

use serde::Serialize;

/// The whole report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The catalog that was tried.
    pub catalog: Tried,
    /// The catalogs that were in force, oldest first.
    pub before: Vec<InForce>,
    /// Which contact history the tried catalog saw.
    pub history: History,
    /// The beginning of the period that was asked for, if one was.
    pub from: Option<String>,
    /// Its end.
    pub to: Option<String>,
    /// The first and the last decision that was made again; absent when there is none.
    pub made: Option<Span>,
    /// The first and the last decision that is kept.
    pub kept: Option<Span>,
    /// What became of the decisions.
    pub decisions: Decisions,
    /// How many customers they were made for; somebody who was forgotten and came back counts as another one.
    pub customers: u64,
    /// For how many of them the contact history went another way.
    pub customers_carried: u64,
    /// How many offers were shown, by the catalogs of then and by the tried one.
    pub shown: Pair,
    /// Every offer, by id.
    pub offers: Vec<OfferRow>,
    /// Every group, by id.
    pub groups: Vec<GroupRow>,
    /// Every limit on contacts, by kind and id.
    pub limits: Vec<LimitRow>,
    /// Every rule, by stage and id.
    pub rules: Vec<RuleRow>,
    /// Every hour with decisions.
    pub hours: Vec<HourRow>,
    /// What has to be known to read the numbers.
    pub remarks: Vec<String>,
}

/// When the first and the last decision of some were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first.
    pub first: String,
    /// The last.
    pub last: String,
}

/// The catalog that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A catalog that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InForce {
    /// Its version.
    pub version: String,
    /// Since when it was in force.
    pub since: String,
    /// How many of the decisions it made.
    pub decisions: u64,
}

/// Which contact history the tried catalog saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// What it itself showed.
    Carried,
    /// What was recorded.
    Recorded,
}

/// What became of the decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Decisions {
    /// How many were made again.
    pub made: u64,
    /// Of them, how many the catalog of then did not make as recorded; 0 unless a model had failed.
    pub not_reproduced: u64,
    /// How many show another first offer, or none any more.
    pub first_changed: u64,
    /// How many show anything else than before.
    pub list_changed: u64,
    /// How many show nothing any more.
    pub became_empty: u64,
    /// How many calls a server with the tried catalog would refuse, by reason.
    pub refused: Vec<Reason>,
    /// How many could not be made again and are in no other number, by reason.
    pub left_out: Vec<Reason>,
    /// How many records, decisions and others, of people who were erased or forgotten since: nobody can read them.
    pub unreadable_records: u64,
}

/// A reason with its decisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Why.
    pub why: String,
    /// How many.
    pub decisions: u64,
}

/// A number by the catalogs of then, and by the tried one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// By the catalogs of then.
    pub before: u64,
    /// By the tried one.
    pub after: u64,
}

impl Pair {
    /// Returns by how much it changes.
    #[must_use]
    pub fn shift(self) -> i64 {
        let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
        signed(self.after) - signed(self.before)
    }

    /// Returns by how many percent it changes; `None` when there was nothing.
    #[must_use]
    pub fn percent(self) -> Option<f64> {
        (self.before > 0).then(|| self.shift() as f64 / self.before as f64 * 100.0)
    }
}

/// Which of the catalogs have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All of them, or some of then and the tried one.
    Kept,
    /// The tried one only.
    New,
    /// Those of then only.
    Gone,
}

/// What became of one offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfferRow {
    /// Its id.
    pub offer: String,
    /// Its group, in the tried catalog if that has it.
    pub group: String,
    /// Which catalogs have it.
    pub status: Status,
    /// How often it was shown.
    pub shown: Pair,
    /// How often it was the first offer of an answer.
    pub first: Pair,
}

/// What became of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupRow {
    /// Its id.
    pub group: String,
    /// Which catalogs have it.
    pub status: Status,
    /// How often an offer of it was shown.
    pub shown: Pair,
    /// How often one was the first of an answer.
    pub first: Pair,
}

/// How one limit bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitRow {
    /// `cap`, `cool_down`, `attempts`, `volume` or `quiet_hours`.
    pub kind: &'static str,
    /// Its id.
    pub limit: String,
    /// Why it is there, in its author's words.
    pub because: String,
    /// Which catalogs have it.
    pub status: Status,
    /// How often it withheld an offer that would have been shown there.
    pub withheld: Pair,
    /// For how many customers it ever did.
    pub customers: Pair,
}

/// What one rule blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleRow {
    /// Its stage.
    pub stage: &'static str,
    /// Its id.
    pub rule: String,
    /// Why it is there, in its author's words.
    pub because: String,
    /// Which catalogs have it.
    pub status: Status,
    /// How often it was what stopped an offer first.
    pub blocked: Pair,
}

/// One hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HourRow {
    /// When it began.
    pub hour: String,
    /// How many decisions were made in it.
    pub decisions: u64,
    /// How many of them show another first offer.
    pub first_changed: u64,
    /// How many show anything else.
    pub list_changed: u64,
}
