//! `nbo verify`, `nbo backup` and `nbo restore`: looking after a data folder.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use super::numbers::{counted, grouped};
use crate::config::upkeep::{self, Verified};

/// Checks a data folder that no server uses: reads everything, changes nothing.
///
/// Exits with 1 when something is damaged that nobody may get over, and says what.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo verify
  nbo verify /var/lib/nbo --json
  nbo backup /var/lib/nbo /backup/monday && nbo verify /backup/monday")]
pub struct VerifyArgs {
    /// The data folder
    #[arg(default_value = "nbo-data")]
    folder: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Copies a data folder, also while a server uses it, and checks the copy.
///
/// The copy stands at some moment between the beginning and the end of the command. `nbo serve --data COPY` serves from it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nbo backup nbo-data /backup/monday")]
pub struct BackupArgs {
    /// The data folder
    folder: PathBuf,
    /// Where the copy goes: an empty or a new folder
    to: PathBuf,
}

/// Brings a copy back into a new data folder, and checks it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, after the server has stopped:
  mv nbo-data nbo-data.damaged
  nbo restore /backup/monday nbo-data
  nbo serve")]
pub struct RestoreArgs {
    /// The copy that `nbo backup` made
    backup: PathBuf,
    /// The data folder: an empty or a new one
    #[arg(default_value = "nbo-data")]
    to: PathBuf,
}

impl VerifyArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When it is no data folder, or a server uses it.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let bar = bar("reading");
        let verified = upkeep::verify(&self.folder, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let verified = match verified {
            Err(error) if upkeep::is_taken(&error) => {
                return Err(error)
                    .context("a folder in use changes while it is read; check a copy of it (`nbo backup`)");
            }
            other => other?,
        };
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &verified)?;
            writeln!(out)?;
        } else {
            tell(&verified, out)?;
        }
        Ok(ExitCode::from(u8::from(!verified.damages.is_empty())))
    }
}

impl BackupArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When a file cannot be copied, or the copy is not whole.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        copy(&self.folder, &self.to, out)
    }
}

impl RestoreArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When a file cannot be copied, or the copy is not whole.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        copy(&self.backup, &self.to, out)
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path, out: &mut impl Write) -> Result<ExitCode> {
    let bar = bar("copying");
    let copied = upkeep::copy(from, to, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let verified = copied?;
    writeln!(out, "{} copied to {}", from.display(), to.display())?;
    tell(&verified, out)?;
    writeln!(
        out,
        "people who are erased later are still in this copy: erase them again when it is served (`nbo erase`)"
    )?;
    Ok(ExitCode::SUCCESS)
}

fn tell(verified: &Verified, out: &mut impl Write) -> Result<()> {
    let Verified {
        checkpoints,
        customers,
        position,
        first,
        last,
        ..
    } = verified;
    if *checkpoints > 0 {
        writeln!(
            out,
            "{}, the newest of {} at record {}",
            counted(*checkpoints, "good checkpoint"),
            counted(*customers, "customer"),
            grouped(*position),
        )?;
    } else {
        writeln!(out, "no checkpoint yet")?;
    }
    let behind = last.saturating_sub(*position);
    writeln!(
        out,
        "records {} to {} in the journal, {} bytes; {} behind the checkpoint",
        grouped(*first),
        grouped(*last),
        grouped(verified.journal_bytes),
        grouped(behind),
    )?;
    writeln!(out, "{} kept", counted(verified.versions, "catalog version"))?;
    if verified.erased > 0 || verified.unreadable > 0 {
        writeln!(
            out,
            "erased people remembered: {}; unreadable because their people were erased or forgotten: {} of records and \
             customers in checkpoints",
            grouped(verified.erased),
            grouped(verified.unreadable),
        )?;
    }
    for note in &verified.notes {
        writeln!(out, "note: {note}")?;
    }
    for damage in &verified.damages {
        writeln!(out, "damage: {damage}")?;
    }
    if verified.damages.is_empty() {
        writeln!(out, "nothing is damaged")?;
    } else {
        writeln!(out, "do not serve from it: restore a backup (`nbo restore --help`)")?;
    }
    Ok(())
}

fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:40} {bytes}/{total_bytes}  {eta} left") {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}
