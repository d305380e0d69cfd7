//! `nbo agreement`: how far a plan in two stages agrees with the full model.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::check;
use crate::bench::agreement::{self, Asked, COUNT_MAX};
use crate::catalog::manifest::SHORTLIST_MAX;
use crate::clock::{Clock as _, SystemClock};
use crate::config::assembly::{Assembly, Place};
use crate::domain::symbol::Symbols;
use crate::domain::time::Timestamp;
use crate::import::demo;
use crate::model::Runtime;

/// Compares a model's shortlist with the model itself, on made-up customers, so that you can choose how many offers it keeps.
///
/// A model whose manifest declares `"shortlist": {"by": "cheap", "keep": 200}` scores all offers that pass as long as they are 200 at
/// most. Of more, the model in the folder `cheap` scores all, and the model the best 200 of these by priority, which then stand before
/// the others.
///
/// For each customer two lists are made by the engine's own code, one with the shortlist and one without, with a quarter, half and
/// twice as many kept as well. Shown are the share of customers whose first offer is the same, the share of the best offers that
/// both lists have, what the best offers in two stages are worth by the full model beside its own best, and how long a list takes.
/// Times are those of this machine: compare them with each other.
///
/// Customers are drawn from the catalog's schema, always the same for the same seed and moment, and have no contact history. Offers
/// are ranked as on the catalog's first channel.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo agreement --rules /etc/nbo/rules --models /etc/nbo/models
  nbo agreement --rules rules/new --keep 50,100,400 --count 3     other numbers, and the best three offers
  nbo agreement --rules rules/new --json | jq '.models[].plans[] | {keep, value_kept, p50_us}'

A first stage that was trained to say what the model says agrees most with it.")]
pub struct Args {
    /// The folder with the catalog's YAML files
    #[arg(long, value_name = "FOLDER")]
    rules: PathBuf,
    /// The folder with a folder for each model
    #[arg(long, default_value = "models", value_name = "FOLDER")]
    models: PathBuf,
    /// How many customers to draw
    #[arg(long, default_value_t = 500, value_name = "COUNT",
          value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    customers: usize,
    /// The seed of the customers
    #[arg(long, default_value_t = demo::SEED)]
    seed: u64,
    /// How many of the best offers to compare
    #[arg(long, default_value_t = 10, value_name = "COUNT",
          value_parser = RangedU64ValueParser::<usize>::new().range(1..=COUNT_MAX as u64))]
    count: usize,
    /// How many offers the shortlist keeps, several with commas [default: a quarter of what is declared, half, all, twice as many]
    #[arg(long, value_delimiter = ',', value_name = "COUNT",
          value_parser = RangedU64ValueParser::<usize>::new().range(1..=SHORTLIST_MAX as u64))]
    keep: Vec<usize>,
    /// The moment, as in 2026-11-28T09:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When no model declares a shortlist, a model is not loaded, or the result cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let place = Place::Folders {
            rules: self.rules.clone(),
            models: self.models.clone(),
        };
        let runtime = Runtime::load(None);
        let missing = runtime.as_ref().err().map(ToString::to_string);
        let mut active = match Assembly::new(place, runtime.ok(), 1, None).start(&Symbols::default()) {
            Ok(active) => active,
            Err(faults) => return check::refuse(&self.rules, &faults, self.json, out),
        };
        let asked = Asked {
            customers: self.customers,
            seed: self.seed,
            count: self.count,
            keeps: self.keep.clone(),
            at: self
                .at
                .map_or_else(|| SystemClock.now(), |at| Timestamp::from_millis(at.as_millisecond())),
        };
        let bar = bar();
        let agreement = agreement::measure(&mut active, &asked, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let agreement = match missing {
            Some(missing) => agreement.with_context(|| missing),
            None => agreement.with_context(|| self.rules.display().to_string()),
        }?;
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &agreement)?;
            writeln!(out)?;
        } else {
            write!(out, "{}", agreement.table())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("comparing {bar:40} {human_pos} of {human_len} customers, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
