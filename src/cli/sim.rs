//! `nbo sim`: the simulator, from the command line.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::numbers::{counted, grouped};
use crate::sim::simulator::{Summary, run};

/// Simulates a bank and checks every answer of the engine.
///
/// Customers, events, offers, outcomes, catalogs and the clock follow from the seed. The first answer that is not the
/// expected one ends the simulation, and the line that repeats it is printed. The exit code is 1 then.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo sim                            20,000 steps from seed 1
  nbo sim --seed 7 --steps 200000    another and longer one")]
pub struct Args {
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many steps
    #[arg(long, default_value_t = 20_000)]
    steps: u64,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the result cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let bar = ProgressBar::new(self.steps);
        if let Ok(style) = ProgressStyle::with_template("simulating {bar:40} {human_pos}/{human_len} steps  {eta} left")
        {
            bar.set_style(style);
        }
        let result = run(self.seed, self.steps, |step| bar.set_position(step));
        bar.finish_and_clear();
        match result {
            Ok(summary) => {
                self.tell(&summary, out)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(failure) => {
                writeln!(out, "{failure}")?;
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn tell(&self, summary: &Summary, out: &mut impl Write) -> Result<()> {
        writeln!(
            out,
            "Seed {}: {}, and every answer was the expected one.",
            self.seed,
            counted(summary.steps, "step")
        )?;
        for (number, what) in summary.counts() {
            writeln!(out, "{:>12}  {what}", grouped(number))?;
        }
        writeln!(out, "{:>12x}  hash of all answers", summary.digest)?;
        Ok(())
    }
}
