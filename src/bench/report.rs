//! The result of a run, as a table for people and as data for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::Options;
use super::catalog::Conditions;
use super::measure::Timing;
use super::memory::Memory;
use super::world::CONTACTS;

/// The goals for one core, 100 offers, 30 features, a 100-tree model and 100,000 customers with 10 contacts, in microseconds at p50.
const GOALS: [(&str, &str, f64); 3] = [
    (
        "decision, model's call left out",
        super::engine::ALL_BUT_THE_MODEL,
        20.0,
    ),
    (
        "decision with 100 trees, above the model's own time",
        super::engine::ABOVE_THE_MODEL,
        20.0,
    ),
    ("decision from the cached list", super::engine::CACHED, 5.0),
];

/// The bytes that 30 attributes, 10 aggregates and 10 contacts should take.
const BYTES_GOAL: f64 = 300.0;

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The processor, as the system names it, and how many of them.
    pub machine: String,
    /// How many customers the store had.
    pub customers: usize,
    /// How many offers the catalog had.
    pub offers: usize,
    /// Which conditions they had.
    pub conditions: Conditions,
    /// How many contacts each customer had.
    pub contacts: usize,
    /// What was timed.
    pub sections: Vec<Section>,
    /// What a customer costs.
    pub memory: Option<Memory>,
}

/// Some scenarios that belong together.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// The scenarios.
    pub timings: Vec<Timing>,
}

impl Report {
    /// Begins a report.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            machine: machine(),
            customers: options.customers,
            offers: options.offers,
            conditions: options.conditions,
            contacts: options.contacts,
            sections: Vec::new(),
            memory: None,
        }
    }

    /// Finds a scenario by its name.
    #[must_use]
    pub fn timing(&self, name: &str) -> Option<&Timing> {
        self.sections
            .iter()
            .flat_map(|section| &section.timings)
            .find(|timing| timing.name == name)
    }

    /// Writes the report as Markdown tables.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{}; {} customers with {} contacts, {} offers with {} each, 30 features\n",
            self.machine,
            with_commas(self.customers),
            self.contacts,
            with_commas(self.offers),
            self.conditions.phrase()
        );
        for section in &self.sections {
            rows(
                &mut text,
                &[section.title, "p50 µs", "p99 µs", "p99.9 µs", "calls", "answers"],
                section.timings.iter().map(|timing| {
                    vec![
                        timing.name.clone(),
                        micros(timing.p50_ns),
                        micros(timing.p99_ns),
                        micros(timing.p999_ns),
                        with_commas(usize::try_from(timing.calls).unwrap_or(usize::MAX)),
                        timing.answers.clone(),
                    ]
                }),
            );
        }
        if let Some(memory) = &self.memory {
            rows(
                &mut text,
                &["a customer in memory", "bytes"],
                memory
                    .lines()
                    .into_iter()
                    .map(|(name, bytes)| vec![name, format!("{bytes:.0}")]),
            );
        }
        let goals = self.goals();
        if !goals.is_empty() {
            rows(&mut text, &["goal", "wanted", "measured", ""], goals.into_iter());
        }
        text
    }

    fn goals(&self) -> Vec<Vec<String>> {
        let mut goals = Vec::new();
        if self.contacts != CONTACTS {
            return goals;
        }
        for (what, scenario, limit_us) in GOALS {
            if let Some(timing) = self.timing(scenario) {
                let measured = timing.p50_ns as f64 / 1_000.0;
                goals.push(vec![
                    format!("{what}, p50"),
                    format!("≤ {limit_us} µs"),
                    format!("{measured:.1} µs"),
                    verdict(measured <= limit_us),
                ]);
            }
        }
        if let Some(memory) = &self.memory {
            goals.push(vec![
                "30 attributes, 10 aggregates and 10 contacts".to_owned(),
                format!("≤ {BYTES_GOAL} bytes"),
                format!("{:.0} bytes", memory.goal),
                verdict(memory.goal <= BYTES_GOAL),
            ]);
        }
        goals
    }
}

pub(super) fn verdict(is_met: bool) -> String {
    if is_met { "met" } else { "missed" }.to_owned()
}

fn micros(nanos: u64) -> String {
    format!("{:.2}", nanos as f64 / 1_000.0)
}

pub(super) fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes one table, the first column to the left and the others to the right, and a blank line.
pub(super) fn rows(text: &mut String, head: &[&str], body: impl Iterator<Item = Vec<String>>) {
    let mut lines: Vec<Vec<String>> = vec![head.iter().map(|&cell| cell.to_owned()).collect()];
    lines.extend(body);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            let _ = if column == 0 {
                write!(text, "| {cell:<width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
        if number == 0 {
            for (column, &width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width + 1);
                let _ = if column == 0 {
                    write!(text, "|{dashes}-")
                } else {
                    write!(text, "|{dashes}:")
                };
            }
            text.push_str("|\n");
        }
    }
    text.push('\n');
}

/// Returns the processor and the number of cores, as far as the system tells.
pub(super) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let plural = if cores == 1 { "" } else { "s" };
    format!("{name}, {cores} core{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_can_be_pasted_as_markdown() {
        let mut text = String::new();
        rows(
            &mut text,
            &["what", "µs"],
            [vec!["a".to_owned(), "1.25".to_owned()]].into_iter(),
        );
        assert_eq!(text, "| what |   µs |\n|------|-----:|\n| a    | 1.25 |\n\n");
    }

    #[test]
    fn long_numbers_have_commas() {
        let written: Vec<String> = [7, 999, 1_000, 100_000, 1_234_567].map(with_commas).into();
        assert_eq!(written, ["7", "999", "1,000", "100,000", "1,234,567"]);
    }
}
