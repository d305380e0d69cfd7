//! `nbo bench`: how fast it is on this machine.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::bench::{self, Options, catalog::Conditions};
use crate::domain::profile::CONTACTS_KEPT;

/// Measures decisions and memory on this machine, in about half a minute, and prints the README's tables.
///
/// Times are only as steady as the machine: compare figures of one run with each other. The answers are hashed, so that
/// two runs can be compared.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo bench                      100,000 customers, 100 offers
  nbo bench --offers 1000        what ten times the offers cost
  nbo bench --offers 10000 --conditions ten --customers 8000
                                 a large bank's catalog: 100,000 conditions
  nbo bench --contacts 240       customers who were shown much in a month
  nbo bench --durability         what it costs that nothing is lost
  nbo bench --restart --customers 10000000
                                 how long a restart takes, and how much memory
  nbo bench --two-stages --offers 10000 --calls 500
                                 what a shortlist saves where ONNX Runtime runs the model
  nbo bench --what-if            how fast recorded traffic is decided again
  nbo bench --json > after.json  to compare with another run")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// How many customers to fill the store with
    #[arg(long, default_value_t = Options::default().customers, value_name = "COUNT",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(8..=10_000_000))]
    customers: usize,
    /// How many offers the catalog has
    #[arg(long, default_value_t = Options::default().offers, value_name = "COUNT",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(7..=20_000))]
    offers: usize,
    /// Which conditions the offers have
    #[arg(long, value_enum, default_value_t = Conditions::default(), value_name = "WHICH")]
    conditions: Conditions,
    /// How many calls each scenario makes at most
    #[arg(long, default_value_t = Options::default().calls, value_name = "COUNT")]
    calls: usize,
    /// How many contacts each customer has, the half of them seen
    #[arg(long, default_value_t = Options::default().contacts, value_name = "COUNT",
          conflicts_with_all = ["campaign", "durability", "what_if", "restart", "two_stages"],
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=CONTACTS_KEPT as u64))]
    contacts: usize,
    /// Measure campaign runs instead, and what live calls feel of them
    #[arg(long)]
    campaign: bool,
    /// Measure what it costs that nothing is lost: journal, checkpoints, a restart
    #[arg(long, conflicts_with = "campaign")]
    durability: bool,
    /// Measure how fast recorded traffic is decided again by a changed catalog
    #[arg(long, conflicts_with_all = ["campaign", "durability"])]
    what_if: bool,
    /// Measure a restart in a process of its own: how long it takes, and how much memory
    #[arg(long, conflicts_with_all = ["campaign", "durability", "what_if"])]
    restart: bool,
    /// Measure what a shortlist saves where ONNX Runtime runs the model
    #[arg(long, conflicts_with_all = ["campaign", "durability", "what_if", "restart"])]
    two_stages: bool,
    /// Do one part of it
    #[arg(long, hide = true, requires = "restart_folder")]
    restart_part: Option<bench::restart::Part>,
    /// Where its data lie
    #[arg(long, hide = true)]
    restart_folder: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the benches do not fit together, or the result cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let options = Options {
            customers: self.customers,
            offers: self.offers,
            conditions: self.conditions,
            calls: self.calls,
            contacts: self.contacts,
        };
        if let (Some(part), Some(folder)) = (self.restart_part, &self.restart_folder) {
            bench::restart::part(&options, part, folder, out)?;
            return Ok(ExitCode::SUCCESS);
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        let progress = |what: &str| bar.set_message(what.to_owned());
        if self.campaign {
            let report = bench::campaign::measure(&options, &progress);
            bar.finish_and_clear();
            let report = report?;
            return self.tell(&report, &report.table(), out);
        }
        if self.durability {
            let report = bench::durability::measure(&options, &progress);
            bar.finish_and_clear();
            let report = report?;
            return self.tell(&report, &report.table(), out);
        }
        if self.what_if {
            let report = bench::what_if::measure(&options, &progress);
            bar.finish_and_clear();
            let report = report?;
            return self.tell(&report, &report.table(), out);
        }
        if self.restart {
            let report = bench::restart::measure(&options, &progress);
            bar.finish_and_clear();
            let report = report?;
            return self.tell(&report, &report.table(), out);
        }
        if self.two_stages {
            let report = bench::agreement::measure_bench(&options, &progress);
            bar.finish_and_clear();
            let report = report?;
            return self.tell(&report, &report.table(), out);
        }
        let report = bench::run(&options, &progress);
        bar.finish_and_clear();
        let report = report?;
        self.tell(&report, &report.table(), out)
    }

    fn tell(&self, report: &impl Serialize, table: &str, out: &mut impl Write) -> Result<ExitCode> {
        if self.json {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)?;
        } else {
            write!(out, "{table}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
