//! `nbo sim`: the simulator, from the command line.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::numbers::{counted, grouped};
use crate::sim::simulator::{Failure, Summary, run};

/// After how many steps the progress is shown again.
const STEPS_SHOWN: u64 = 64;

/// Simulates a bank and checks every answer of the engine.
///
/// Customers, events, offers, outcomes, catalogs and the clock follow from the seed. The first answer that is not the
/// expected one ends the simulation, and the line that repeats it is printed. The exit code is 1 then.
///
/// With `--decisions`, one seed after the other is simulated for `--steps` steps, until so many decisions were judged. A decision
/// is counted once for a question at an instant; repetitions, looks before a call and looks ahead are judged besides.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo sim                            20,000 steps from seed 1
  nbo sim --seed 7 --steps 200000    another and longer one
  nbo sim --steps 5000 --decisions 10000000
                                     5,000 steps each from seed 1, 2, 3 ... until ten million decisions were judged")]
pub struct Args {
    /// The seed, or the first of several
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many steps from each seed
    #[arg(long, default_value_t = 20_000)]
    steps: u64,
    /// Go on with the next seed until so many decisions were judged
    #[arg(long)]
    decisions: Option<u64>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the result cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        match self.simulate() {
            Ok((last, summary)) => {
                self.tell(last, &summary, out)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(failure) => {
                writeln!(out, "{failure}")?;
                Ok(ExitCode::FAILURE)
            }
        }
    }

    /// Simulates one seed after the other; returns the last one and what they went through together.
    fn simulate(&self) -> Result<(u64, Summary), Box<Failure>> {
        let (length, unit) = self
            .decisions
            .map_or((self.steps, "steps"), |decisions| (decisions, "decisions"));
        let bar = ProgressBar::new(length);
        let template = format!("{{msg}} {{bar:40}} {{human_pos}}/{{human_len}} {unit}  {{eta}} left");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        let mut total = Summary::default();
        let mut seed = self.seed;
        let ended = loop {
            bar.set_message(format!("seed {seed}"));
            let before = total.decisions;
            let simulated = run(seed, self.steps, |step, so_far| {
                if step % STEPS_SHOWN == 0 {
                    bar.set_position(self.decisions.map_or(step, |_| before + so_far.decisions));
                }
            });
            match simulated {
                Ok(summary) => total.add(&summary),
                Err(failure) => break Err(failure),
            }
            let is_more = total.decisions > before && self.decisions.is_some_and(|wanted| total.decisions < wanted);
            if !is_more {
                break Ok((seed, total));
            }
            seed += 1;
        };
        bar.finish_and_clear();
        ended
    }

    fn tell(&self, last: u64, summary: &Summary, out: &mut impl Write) -> Result<()> {
        let seeds = if last == self.seed {
            format!("Seed {last}")
        } else {
            format!("Seeds {} to {last}", self.seed)
        };
        writeln!(
            out,
            "{seeds}: {}, and every answer was the expected one.",
            counted(summary.steps, "step")
        )?;
        for (number, what) in summary.counts() {
            writeln!(out, "{:>12}  {what}", grouped(number))?;
        }
        writeln!(out, "{:>12x}  hash of all answers", summary.digest)?;
        Ok(())
    }
}
