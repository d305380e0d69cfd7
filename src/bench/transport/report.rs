//! The servers as a table for people, and as data for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::Options;
use super::variant::{Base, Setting, Variant};
use crate::bench::report::{rows, with_commas};
use crate::load::figures::Quantiles;

/// A setting helps when it takes less than this share of the server's time in three of four rounds.
const HELPS_BELOW: f64 = 0.97;

/// What was measured of a server in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Slice {
    /// Calls answered in a second, as many as there could be.
    pub rate: f64,
    /// Processor time of the server for each of them, in microseconds; absent where the system does not tell.
    pub busy_us: Option<f64>,
    /// The same for each call at a fixed rate.
    pub paced_us: Option<f64>,
    /// From the moment at which such a call was due to its answer.
    pub latency_us: Quantiles,
}

/// The share that one server's figure is of another's that was measured right beside it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// In the median round.
    pub median: f64,
    /// A quarter of the rounds had less.
    pub low: f64,
    /// A quarter of the rounds had more.
    pub high: f64,
}

impl Share {
    /// Compares round by round.
    fn of(slices: &[Slice], beside: &[Slice], of: fn(&Slice) -> Option<f64>) -> Option<Self> {
        let share = |(one, other)| of(one).zip(of(other)).map(|(one, other)| one / other);
        let shares: Option<Vec<f64>> = slices.iter().zip(beside).map(share).collect();
        let shares = sorted(shares?);
        Some(Self {
            median: median(&shares)?,
            low: *shares.get(shares.len() / 4)?,
            high: *shares.get(shares.len() - 1 - shares.len() / 4)?,
        })
    }

    fn text(self) -> String {
        format!("{:.3} ({:.3} to {:.3})", self.median, self.low, self.high)
    }
}

/// A server.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub variant: Variant,
    /// What it is.
    pub server: String,
    /// What it is compared with.
    pub compared_with: Option<Variant>,
    /// Its rounds.
    pub slices: Vec<Slice>,
    /// Calls answered in a second in the median round.
    pub rate: f64,
    /// The same as a share of bare TCP's.
    pub rate_of_echo: Option<f64>,
    /// The same as a share of `nbo serve`'s.
    pub rate_of_nbo: Option<f64>,
    /// Processor time of the server for a call at its top rate, in microseconds, in the median round.
    pub busy_us: Option<f64>,
    /// The same as a share of the time of what it is compared with.
    pub busy_of_compared: Option<Share>,
    /// How much of one processor's time it took at its top rate: a server that takes less than all waits for the generator.
    pub busy_share: Option<f64>,
    /// Processor time for a call at the fixed rate, in microseconds, in the median round.
    pub paced_us: Option<f64>,
    /// The same as a share of the time of what it is compared with.
    pub paced_of_compared: Option<Share>,
    /// Latency at the fixed rate in the median round, in microseconds.
    pub p50_us: f64,
    /// The p99 of the calmest round and of the median one.
    pub p99_us: [f64; 2],
    /// Instructions of a call in the server that comes alone, where they can be counted.
    pub instructions: Option<f64>,
}

impl Row {
    pub(super) fn new(variant: Variant, slices: Vec<Slice>, beside: &[Slice]) -> Self {
        let all = |of: fn(&Slice) -> f64| sorted(slices.iter().map(of).collect());
        let middle = |of: fn(&Slice) -> Option<f64>| {
            let told: Option<Vec<f64>> = slices.iter().map(of).collect();
            median(&sorted(told?))
        };
        let p99 = all(|slice| slice.latency_us.p99);
        Self {
            variant,
            server: variant.phrase(),
            compared_with: variant.compared_with(),
            rate: median(&all(|slice| slice.rate)).unwrap_or(f64::NAN),
            rate_of_echo: None,
            rate_of_nbo: None,
            busy_us: middle(|slice| slice.busy_us),
            busy_of_compared: Share::of(&slices, beside, |slice| slice.busy_us),
            busy_share: middle(|slice| Some(slice.busy_us? * slice.rate / 1e6)),
            paced_us: middle(|slice| slice.paced_us),
            paced_of_compared: Share::of(&slices, beside, |slice| slice.paced_us),
            p50_us: median(&all(|slice| slice.latency_us.p50)).unwrap_or(f64::NAN),
            p99_us: [
                p99.first().copied().unwrap_or(f64::NAN),
                median(&p99).unwrap_or(f64::NAN),
            ],
            instructions: None,
            slices,
        }
    }

    fn cells(&self) -> Vec<String> {
        let share = |share: Option<f64>| share.map_or_else(String::new, |share| format!("{share:.2}"));
        let micros = |micros: Option<f64>| micros.map_or_else(String::new, |micros| format!("{micros:.2}"));
        vec![
            self.server.clone(),
            micros(self.busy_us),
            self.busy_of_compared.map_or_else(String::new, Share::text),
            micros(self.paced_us),
            self.paced_of_compared.map_or_else(String::new, Share::text),
            self.instructions.map_or_else(String::new, whole),
            whole(self.rate),
            share(self.rate_of_echo),
            share(self.rate_of_nbo),
            self.busy_share
                .map_or_else(String::new, |share| format!("{:.0} %", share * 100.0)),
            format!("{:.0}", self.p50_us),
            format!("{:.0}, {:.0}", self.p99_us[0], self.p99_us[1]),
        ]
    }
}

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The processor, as the system names it, and how many of them.
    pub machine: String,
    /// Whether it was the quick form, whose figures say nothing.
    pub is_quick: bool,
    /// How often each server was measured.
    pub rounds: usize,
    /// The fixed rate, in calls a second.
    pub rate: f64,
    /// The servers.
    pub rows: Vec<Row>,
    /// Settings that took clearly less of the server's time in three of four rounds, at the top rate or at the fixed one.
    pub helping: Vec<Variant>,
    /// What is missing, and why.
    pub notes: Vec<String>,
}

impl Report {
    pub(super) fn new(machine: String, options: &Options, mut rows: Vec<Row>) -> Self {
        let rate = |base| {
            let is_it = |row: &&Row| row.variant.base == base && row.variant.setting == Setting::AsIs;
            rows.iter().find(is_it).map(|row| row.rate)
        };
        let (echo, nbo) = (rate(Base::Echo), rate(Base::Nbo));
        for row in &mut rows {
            row.rate_of_echo = echo.map(|rate| row.rate / rate);
            row.rate_of_nbo = nbo.map(|rate| row.rate / rate);
        }
        let helps = |share: Option<Share>| share.is_some_and(|share| share.high < HELPS_BELOW);
        let is_helping =
            |row: &&Row| !options.is_quick && (helps(row.busy_of_compared) || helps(row.paced_of_compared));
        let helping = rows.iter().filter(is_helping).map(|row| row.variant).collect();
        let mut notes = Vec::new();
        if rows.iter().any(|row| row.busy_us.is_none()) {
            notes.push("No processor time: the system does not tell it.".to_owned());
        }
        Self {
            machine,
            is_quick: options.is_quick,
            rounds: options.rounds,
            rate: options.rate,
            rows,
            helping,
            notes,
        }
    }

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
        let _ = writeln!(text, "{}, {} rounds{quick}\n", self.machine, self.rounds);
        let at_rate = format!("µs at {}/s", whole(self.rate));
        rows(
            &mut text,
            &[
                "server",
                "server's µs a call, busy",
                "of that without the setting",
                &at_rate,
                "of that without the setting",
                "instructions",
                "top rate/s",
                "of TCP's",
                "of `nbo serve`'s",
                "busy",
                "p50 µs",
                "p99 µs, least, median",
            ],
            self.rows.iter().map(Row::cells),
        );
        let names: Vec<String> = self.helping.iter().map(|variant| format!("`{variant}`")).collect();
        let names = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        let _ = writeln!(
            text,
            "Less of the server's time by more than 3 % in three of four rounds, busy or at the fixed rate: {names}."
        );
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts, which are not negative; `as` saturates"
)]
fn whole(count: f64) -> String {
    with_commas(count.round() as usize)
}

fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}

/// Returns the middle one, the lower of two.
fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(busy_us: &[f64]) -> Vec<Slice> {
        let slice = |&busy_us: &f64| Slice {
            rate: 1e6 / busy_us,
            busy_us: Some(busy_us),
            paced_us: Some(2.0 * busy_us),
            latency_us: Quantiles::default(),
        };
        busy_us.iter().map(slice).collect()
    }

    fn row(name: &str, busy_us: &[f64], beside: &[f64]) -> Row {
        Row::new(name.parse().unwrap(), slices(busy_us), &slices(beside))
    }

    #[test]
    fn a_setting_helps_only_when_it_does_in_most_rounds_beside_the_server_without_it() {
        let options = Options {
            is_quick: false,
            ..Options::quick(None)
        };
        let rows = vec![
            row("straight", &[10.0, 20.0, 12.0], &[]),
            row("date", &[9.0, 18.0, 11.0, 40.0], &[10.0, 20.0, 12.0, 30.0]),
            row("pings", &[8.0, 19.9, 11.9, 10.0], &[10.0, 20.0, 12.0, 20.0]),
        ];
        let report = Report::new(String::new(), &options, rows);
        assert_eq!(report.helping, ["date".parse().unwrap()]);
        let date = report.rows[1].busy_of_compared.unwrap();
        assert_eq!((date.low, date.median, date.high), (0.9, 0.9, 11.0 / 12.0));
        assert_eq!(report.rows[0].busy_us, Some(12.0));
        assert_eq!(report.rows[0].busy_of_compared, None);
        assert!(
            report
                .markdown()
                .contains("in three of four rounds, busy or at the fixed rate: `date`.")
        );
    }
}
