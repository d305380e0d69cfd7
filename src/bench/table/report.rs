//! The table as Markdown for people, and as data for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::place::Size;
use crate::bench::measure::Timing;
use crate::bench::report::{rows, verdict, with_commas};

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// The processor, as the system names it, and how many of them.
    pub machine: String,
    /// Whether it was the quick form, whose figures say nothing.
    pub is_quick: bool,
    /// The sizes of the cases that have no server.
    pub sizes: Vec<Size>,
    /// The cases.
    pub rows: Vec<Row>,
    /// How much longer the rival takes.
    pub gains: Vec<Gain>,
    /// What is missing, and why; and the p99 of each tenth of a second.
    pub notes: Vec<String>,
}

/// One case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub case: String,
    /// How many calls were timed.
    pub calls: u64,
    /// Half of the calls took no longer, in microseconds; those over gRPC from the moment at which they were due, at the same rate for
    /// all kinds but batches.
    pub p50_us: f64,
    /// 99 of 100 calls took no longer, in microseconds.
    pub p99_us: f64,
    /// The p50 as a multiple of that of the gRPC call that does nothing.
    pub of_floor_p50: f64,
    /// Calls that could be made in a second, over gRPC.
    pub top_rate: Option<f64>,
    /// The same as a share of the calls that do nothing.
    pub top_rate_of_floor: Option<f64>,
    /// Instructions of a call, where they can be counted.
    pub instructions: Option<f64>,
    /// Bytes that a call asked the allocator for, in this process.
    pub allocated_bytes: Option<f64>,
    /// How often it did.
    pub allocations: Option<f64>,
    /// The beginning of the hash of all answers; of calls over gRPC, which live by the real clock, what was answered.
    pub answers: String,
    /// What was wanted.
    pub goals: Vec<Goal>,
}

impl Row {
    pub(super) fn new(case: &str, p50_us: f64, p99_us: f64) -> Self {
        Self {
            case: case.to_owned(),
            calls: 0,
            p50_us,
            p99_us,
            of_floor_p50: f64::NAN,
            top_rate: None,
            top_rate_of_floor: None,
            instructions: None,
            allocated_bytes: None,
            allocations: None,
            answers: String::new(),
            goals: Vec::new(),
        }
    }

    pub(super) fn of(timing: &Timing) -> Self {
        let micros = |nanos: u64| nanos as f64 / 1_000.0;
        Self {
            calls: timing.calls,
            answers: timing.answers.clone(),
            ..Self::new(&timing.name, micros(timing.p50_ns), micros(timing.p99_ns))
        }
    }

    /// Adds a goal for the p50, in microseconds.
    pub(super) fn p50_at_most(mut self, limit_us: f64) -> Self {
        self.goals.push(Goal::at_most("p50", self.p50_us, limit_us, "µs"));
        self
    }

    /// Adds a goal for the p99, in microseconds.
    pub(super) fn p99_below(mut self, limit_us: f64) -> Self {
        self.goals.push(Goal::below("p99", self.p99_us, limit_us, "µs"));
        self
    }
}

/// What was wanted of a case, and what it is.
#[derive(Clone, Debug, Serialize)]
pub struct Goal {
    /// Of what.
    pub what: &'static str,
    /// How the figure stands to the limit.
    pub relation: &'static str,
    /// The limit.
    pub limit: f64,
    /// The figure.
    pub measured: f64,
    /// Of both.
    pub unit: &'static str,
    /// Whether it is reached.
    pub is_met: bool,
}

impl Goal {
    pub(super) fn at_most(what: &'static str, measured: f64, limit: f64, unit: &'static str) -> Self {
        Self::new(what, "≤", limit, measured, unit, measured <= limit)
    }

    pub(super) fn below(what: &'static str, measured: f64, limit: f64, unit: &'static str) -> Self {
        Self::new(what, "<", limit, measured, unit, measured < limit)
    }

    pub(super) fn at_least(what: &'static str, measured: f64, limit: f64, unit: &'static str) -> Self {
        Self::new(what, "≥", limit, measured, unit, measured >= limit)
    }

    fn new(
        what: &'static str,
        relation: &'static str,
        limit: f64,
        measured: f64,
        unit: &'static str,
        is_met: bool,
    ) -> Self {
        Self {
            what,
            relation,
            limit,
            measured,
            unit,
            is_met,
        }
    }
}

/// How the rival's time stands to ours, on the same catalog in the same run.
#[derive(Clone, Debug, Serialize)]
pub struct Gain {
    /// Offers of the catalog.
    pub offers: usize,
    /// Our p50 in microseconds, nothing cached.
    pub ours_us: f64,
    /// The rival's.
    pub rival_us: f64,
}

impl Table {
    /// Returns the table as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let quick = if self.is_quick {
            "; the quick form: its figures say nothing"
        } else {
            ""
        };
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{}{quick}\n", self.machine);
        rows(
            &mut text,
            &[
                "case",
                "p50 µs",
                "p99 µs",
                "p50, times the do-nothing call's",
                "top rate/s",
                "instructions",
                "bytes (allocations)",
                "calls",
                "answers",
            ],
            self.rows.iter().map(cells),
        );
        let goals = self
            .rows
            .iter()
            .flat_map(|row| row.goals.iter().map(move |goal| (row, goal)));
        rows(
            &mut text,
            &["goal", "of", "wanted", "measured", ""],
            goals.map(|(row, goal)| {
                vec![
                    row.case.clone(),
                    goal.what.to_owned(),
                    format!("{} {}", goal.relation, figure(goal.limit, goal.unit)),
                    figure(goal.measured, goal.unit),
                    verdict(goal.is_met),
                ]
            }),
        );
        if !self.gains.is_empty() {
            rows(
                &mut text,
                &["offers", "ours, p50 µs", "CEL interpreter and ort, p50 µs", "times"],
                self.gains.iter().map(|gain| {
                    vec![
                        with_commas(gain.offers),
                        format!("{:.1}", gain.ours_us),
                        format!("{:.0}", gain.rival_us),
                        format!("{:.0}", gain.rival_us / gain.ours_us),
                    ]
                }),
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }
}

fn cells(row: &Row) -> Vec<String> {
    let optional = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), whole);
    let allocated = row.allocated_bytes.zip(row.allocations);
    vec![
        row.case.clone(),
        format!("{:.1}", row.p50_us),
        format!("{:.1}", row.p99_us),
        format!("{:.2}", row.of_floor_p50),
        optional(row.top_rate),
        optional(row.instructions),
        allocated.map_or_else(
            || "-".to_owned(),
            |(bytes, times)| format!("{} ({})", whole(bytes), whole(times)),
        ),
        with_commas(usize::try_from(row.calls).unwrap_or(usize::MAX)),
        row.answers.clone(),
    ]
}

fn figure(number: f64, unit: &str) -> String {
    let number = if number >= 1_000.0 {
        whole(number)
    } else {
        // Limits are written as they are meant, as in 0.75 or 25.
        let text = format!("{number:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    format!("{number} {unit}").trim_end().to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is counted is not negative; `as` saturates"
)]
fn whole(number: f64) -> String {
    with_commas(number.round() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_shows_what_was_wanted_and_whether_it_is_met() {
        let row = Row::new("a case", 25.0, 1_000.0).p50_at_most(25.0).p99_below(1_000.0);
        let table = Table {
            machine: "a machine".to_owned(),
            is_quick: false,
            sizes: Vec::new(),
            rows: vec![row],
            gains: Vec::new(),
            notes: vec!["a note".to_owned()],
        };
        let text = table.markdown();
        let line = |what: &str| {
            text.lines()
                .find(|line| line.contains(what))
                .unwrap_or_default()
                .to_owned()
        };
        let words = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(line("| p50 |")), "| a case | p50 | ≤ 25 µs | 25 µs | met |");
        assert_eq!(
            words(line(" p99 |")),
            "| a case | p99 | < 1,000 µs | 1,000 µs | missed |"
        );
        assert!(text.ends_with("a note\n"), "{text}");
    }

    #[test]
    fn small_figures_keep_two_digits_and_large_ones_have_commas() {
        assert_eq!(figure(0.75, ""), "0.75");
        assert_eq!(figure(25.0, "µs"), "25 µs");
        assert_eq!(figure(0.604, ""), "0.6");
        assert_eq!(figure(200_000.0, ""), "200,000");
    }
}
