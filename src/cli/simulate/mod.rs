//! `nbo simulate`: recorded traffic, decided again by a changed catalog.

mod html;
mod table;

use std::fs;
use std::io::{IsTerminal as _, Write};
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::check;
use super::numbers::grouped;
use crate::config::assembly::{Assembly, Place};
use crate::config::data::KeptVersions;
use crate::config::past::Past;
use crate::domain::time::Timestamp;
use crate::engine::Active;
use crate::model::Runtime;
use crate::whatif::report::Report;
use crate::whatif::{Carry, Setting, Traffic, WhatIfError, simulate};

/// Decides recorded traffic again with a changed catalog, and says what it would have done otherwise.
///
/// Reads the decisions that a data folder keeps, whether a server uses it or not, and changes nothing. Each is made twice on the
/// profile that was recorded with it: by the catalog and models of then, which has to give the recorded answer bit for bit, and by the
/// catalog in --rules. Shown are the decisions whose first offer or list changes, the shift in volume of each offer and group, which
/// limits bind more, and what each rule blocked.
///
/// By default the changed catalog sees the contact history that it would have made itself: what was reported of an offer that both
/// catalogs showed is kept, what was reported of others is dropped, and customers otherwise do what they did. With
/// --history recorded each decision sees the history of then. Decisions that showed nothing, and previews, are not recorded.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo simulate --rules rules/new                                    all that nbo-data keeps
  nbo simulate --rules rules/new --from 2026-11-01 --to 2026-11-08  one week
  nbo simulate /var/lib/nbo --rules rules/new --models models/new   with other models as well
  nbo simulate --rules rules/new --html shift.html                  a report with plots, in one file
  nbo simulate --rules rules/new --json | jq '.limits[] | select(.withheld.after > .withheld.before)'

How long records are kept says `nbo serve --keep-records`.")]
pub struct Args {
    /// The data folder; a server may be using it
    #[arg(env = "NBO_DATA", default_value = "nbo-data")]
    folder: PathBuf,
    /// The folder with the YAML files of the changed catalog
    #[arg(long, value_name = "FOLDER")]
    rules: PathBuf,
    /// The folder with a folder for each of its models
    #[arg(long, default_value = "models", value_name = "FOLDER")]
    models: PathBuf,
    /// Make decisions from then on, as in 2026-11-28T09:00:00Z; a date is its midnight in the catalog's time zone
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Make decisions before then
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// Which contact history the changed catalog sees
    #[arg(long, value_enum, default_value_t = HistoryOption::Carried)]
    history: HistoryOption,
    /// Threads that decide [default: one for each core]
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroU8>,
    /// Show every offer, group, limit and rule, also what does not change
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Print the whole report as JSON
    #[arg(long)]
    json: bool,
    /// Write the whole report with plots to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Which contact history the changed catalog sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum HistoryOption {
    /// What it would have shown itself
    Carried,
    /// What was recorded
    Recorded,
}

/// A moment as it is typed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Instant(jiff::Timestamp),
    Midnight(Date),
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A date alone is no instant, and an instant begins with a date.
        let moment = if text.contains(['T', 't', ' ']) {
            text.parse().map(Self::Instant)
        } else {
            text.parse().map(Self::Midnight)
        };
        moment.map_err(|_| {
            "write an instant with its offset, as in 2026-11-28T09:00:00Z, or a date, as in 2026-11-28".to_owned()
        })
    }
}

impl Moment {
    fn at(self, zone: &TimeZone) -> Result<Timestamp> {
        let instant = match self {
            Self::Instant(instant) => instant,
            Self::Midnight(date) => zone.to_timestamp(date.at(0, 0, 0, 0))?,
        };
        Ok(Timestamp::from_millis(instant.as_millisecond()))
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no data folder, nothing was decided in the period, or a file cannot be read or written.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let spinner = spinner("looking through the journal");
        let past = Past::open(&self.folder);
        spinner.finish_and_clear();
        let past = past?;
        let runtime = Runtime::load(None);
        let place = Place::Folders {
            rules: self.rules.clone(),
            models: self.models.clone(),
        };
        let onnx = runtime.as_ref().ok().cloned();
        let after = match Assembly::new(place, onnx.clone(), self.threads(), None).start(&past.symbols()) {
            Ok(after) => after,
            Err(faults) => return check::refuse(&self.rules, &faults, self.json, out),
        };
        if let (false, Err(error)) = (after.catalog.models.is_empty(), runtime) {
            bail!("the models of {} cannot score: {error}", self.rules.display());
        }
        let setting = self.setting(&after.catalog.time_zone)?;
        let kept = KeptVersions::new(past.folder().clone(), onnx).with_sessions(self.threads());
        let report = tell_progress(&past, &kept, setting, &after)?;
        self.check_period(&report)?;
        if let Some(path) = &self.html {
            let page = html::page(&report);
            fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        } else {
            write!(out, "{}", table::text(&report, self.all))?;
            if let Some(torn) = &past.span().torn {
                writeln!(
                    out,
                    "\nremark: the journal was read up to its last whole record: {torn}"
                )?;
            }
            if let Some(path) = &self.html {
                writeln!(out, "\nplots are in {}", path.display())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, |threads| usize::from(threads.get()))
    }

    fn setting(&self, zone: &TimeZone) -> Result<Setting> {
        let at = |moment: Option<Moment>| moment.map(|moment| moment.at(zone)).transpose();
        let from = at(self.from).context("--from")?.unwrap_or(Timestamp::FAR_PAST);
        let to = at(self.to).context("--to")?.unwrap_or(Timestamp::FAR_FUTURE);
        if from >= to {
            bail!("--from is {from} and --to is {to}: no moment lies between them");
        }
        Ok(Setting {
            from,
            to,
            carry: match self.history {
                HistoryOption::Carried => Carry::Shown,
                HistoryOption::Recorded => Carry::Recorded,
            },
            threads: self.threads(),
        })
    }

    /// Refuses a period without decisions, and says which there are.
    fn check_period(&self, report: &Report) -> Result<()> {
        let folder = self.folder.display();
        if report.decisions.made > 0 || !report.decisions.left_out.is_empty() {
            return Ok(());
        }
        match &report.kept {
            Some(kept) => bail!(
                "no decision in that period; {folder} keeps decisions from {} to {}",
                kept.first,
                kept.last
            ),
            None => bail!("{folder} keeps no decision that showed anything, so there is nothing to make again"),
        }
    }
}

fn tell_progress(past: &Past, kept: &KeptVersions, setting: Setting, after: &Active) -> Result<Report> {
    let bar = bar(past.records());
    let traffic = Traffic {
        activations: past.activations(),
        keys: past.keys(),
        read: &mut |visit| past.read(visit),
        build: &|activation| kept.active(activation),
    };
    let report = simulate(setting, traffic, after, &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    report.map_err(|error| {
        let is_trimmed = matches!(error, WhatIfError::Log(crate::journal::LogError::Trimmed { .. }));
        let error = anyhow::Error::from(error);
        if is_trimmed {
            error.context("the server gave up records while they were read; run the command again")
        } else {
            error
        }
    })
}

fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.set_message(what);
    spinner
}

fn bar(records: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new(records);
    let style = ProgressStyle::with_template("simulating {bar:40} {human_pos} of {human_len} records, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Writes a change with its sign.
fn signed(change: i64) -> String {
    let sign = match change {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", grouped(change.unsigned_abs()))
}

/// Writes a share of a whole in percent.
fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1} %", part as f64 / whole as f64 * 100.0)
}

/// Writes a change in percent.
fn percent(change: Option<f64>) -> String {
    change.map_or_else(|| "-".to_owned(), |change| format!("{change:+.1} %"))
}
