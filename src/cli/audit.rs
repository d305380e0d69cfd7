//! `nbo audit`: recounts an exported contact history.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::numbers::{counted, grouped};
use crate::audit::{AuditError, LONG, Recounted, UNDER_WAY_MS, Violation, audit};

/// Recounts every contact limit over an exported contact history, by brute force, with no code of the engine.
///
/// Ends at the first violation, says the customer, the rule and the times, and exits with 1; with 2 when the file cannot be
/// read. `nbo export contacts` writes such a file from a running server.
///
/// Caps, attempts, cool-downs and volumes are recounted, over the contacts in the file. Not recounted are quiet hours, opt-outs, consent
/// and hold-outs, people who were forgotten or erased, and contacts that a long history (256 or more) has dropped.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo export contacts contacts.jsonl && nbo audit contacts.jsonl
  nbo audit contacts.jsonl --all --json")]
pub struct Args {
    /// The history, as `nbo export contacts` writes it
    file: PathBuf,
    /// Go on after the first violation, and list all
    #[arg(long)]
    all: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What no violation can be found in.
const NOT_RECOUNTED: [&str; 2] = [
    "quiet hours, opt-outs, consent and hold-outs",
    "people who were forgotten or erased",
];

#[derive(Serialize)]
struct Outcome<'a> {
    recounted: Recounted,
    not_recounted: [&'static str; 2],
    violations: &'a [Violation],
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the file cannot be opened, or the result cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let name = self.file.display();
        let file = File::open(&self.file).with_context(|| format!("cannot open {name}"))?;
        let bar = ProgressBar::new(file.metadata().map_or(0, |about| about.len()));
        if let Ok(style) = ProgressStyle::with_template("recounting {bar:40} {bytes}/{total_bytes}  {eta} left") {
            bar.set_style(style);
        }
        let mut violations = Vec::new();
        let result = audit(
            BufReader::with_capacity(1 << 20, file).lines(),
            UNDER_WAY_MS,
            |violation| {
                violations.push(violation);
                self.all
            },
            |bytes| bar.set_position(bytes),
        );
        bar.finish_and_clear();
        match result {
            Ok(recounted) => {
                self.tell(recounted, &violations, out)?;
                Ok(ExitCode::from(u8::from(!violations.is_empty())))
            }
            Err(error) => {
                writeln!(out, "{name}: {error}")?;
                let hint = "`nbo export contacts` writes a history that can be audited";
                if matches!(error, AuditError::Line { .. }) {
                    writeln!(out, "{hint}")?;
                }
                Ok(ExitCode::from(2))
            }
        }
    }

    fn tell(&self, recounted: Recounted, violations: &[Violation], out: &mut impl Write) -> Result<()> {
        if self.json {
            serde_json::to_writer_pretty(
                &mut *out,
                &Outcome {
                    recounted,
                    not_recounted: NOT_RECOUNTED,
                    violations,
                },
            )?;
            writeln!(out)?;
            return Ok(());
        }
        for violation in violations {
            writeln!(out, "{violation}")?;
        }
        let ended = if violations.is_empty() || self.all {
            ""
        } else {
            " up to there"
        };
        writeln!(
            out,
            "{}, {}, {} recounted{ended}: {}",
            counted(recounted.customers, "customer"),
            counted(recounted.contacts, "contact"),
            counted(recounted.checks, "limit"),
            if violations.is_empty() {
                "no limit was exceeded".to_owned()
            } else {
                counted(violations.len() as u64, "violation")
            }
        )?;
        if recounted.without_policy > 0 {
            writeln!(
                out,
                "{} were decided when no policy of the file was in force; they count, but are not judged",
                grouped(recounted.without_policy)
            )?;
        }
        if recounted.long_histories > 0 {
            writeln!(
                out,
                "{} with {LONG} contacts or more may have had earlier ones, which are gone and not recounted",
                counted(recounted.long_histories, "customer")
            )?;
        }
        writeln!(out, "not recounted: {}", NOT_RECOUNTED.join("; "))?;
        Ok(())
    }
}
