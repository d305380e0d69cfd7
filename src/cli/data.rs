//! `nbo verify`, `nbo backup`, `nbo erased` and `nbo restore`: looking after a data folder.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use super::numbers::{counted, grouped};
use crate::clock::{Clock as _, SystemClock};
use crate::config::restored::{self, ErasedPeople};
use crate::config::upkeep::{self, Verified};
use crate::engine::GoneAgain;

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

/// Brings a copy back into a new data folder, without those who were erased since it was made, and checks it.
///
/// A copy has everybody of its day. So somebody has to say who was erased since: the folder that is replaced does, even when it is
/// damaged, so does a later copy, and so does a list that `nbo erased` wrote. There is no folder to serve from until they are gone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples, after the server has stopped:
  mv nbo-data nbo-data.damaged
  nbo restore /backup/monday nbo-data --erased nbo-data.damaged
  nbo serve
  nbo restore /backup/monday nbo-data --erased /backup/erased.json --erased /backup/tuesday")]
pub struct RestoreArgs {
    /// The copy that `nbo backup` made
    backup: PathBuf,
    /// The data folder: an empty or a new one
    #[arg(default_value = "nbo-data")]
    to: PathBuf,
    /// Who was erased since: the folder that is replaced, a later copy, or a list of `nbo erased`; may be repeated
    #[arg(long, value_name = "PATH", required_unless_present = "nobody_erased")]
    erased: Vec<PathBuf>,
    /// Nobody was erased since the copy was made
    #[arg(long, conflicts_with = "erased")]
    nobody_erased: bool,
}

/// Writes who was erased, without their names, for `nbo restore`; also while a server uses the folder.
///
/// The list has salted hashes and numbers of destroyed keys; it is of use with copies of the same data only. Write it where the
/// copies are, as often as people are erased.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nbo erased nbo-data /backup/erased.json")]
pub struct ErasedArgs {
    /// The data folder
    folder: PathBuf,
    /// The file of the list; one that is there is replaced
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
        let bar = bar("copying");
        let copied = upkeep::copy(&self.folder, &self.to, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let verified = copied?;
        writeln!(out, "{} copied to {}", self.folder.display(), self.to.display())?;
        tell(&verified, out)?;
        writeln!(
            out,
            "people who are erased later are still in this copy; to restore it asks who that was: keep a list of `nbo erased` beside it"
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

impl RestoreArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When a file cannot be copied, the copy is not whole, or somebody who was erased cannot be erased again.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let lists = self.erased.iter().map(|path| ErasedPeople::read(path));
        let lists = lists.collect::<Result<Vec<_>, _>>()?;
        let bar = bar("copying");
        let restored = restored::restore(&self.backup, &self.to, &lists, SystemClock.now(), &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let (verified, again) = restored?;
        writeln!(out, "{} copied to {}", self.backup.display(), self.to.display())?;
        tell(&verified, out)?;
        for note in lists.iter().flat_map(ErasedPeople::notes) {
            writeln!(out, "note: of who was erased, not all could be read: {note}")?;
        }
        if self.nobody_erased {
            writeln!(
                out,
                "warning: everybody of the day of the copy is there again; whoever was erased since has to be erased once more (`nbo erase`)"
            )?;
        } else {
            let GoneAgain {
                erased,
                forgotten,
                remembered,
            } = again;
            writeln!(
                out,
                "who was erased since the copy was made is gone: {} erased again, {} forgotten again, {} remembered whom the copy did not \
                 know",
                grouped(erased),
                grouped(forgotten),
                grouped(remembered),
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl ErasedArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When it is no data folder, its keys are damaged, or the list cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let list = ErasedPeople::read(&self.folder)?;
        list.write(&self.to)?;
        for note in list.notes() {
            writeln!(out, "note: not all could be read: {note}")?;
        }
        writeln!(
            out,
            "who was erased, {} in all, is written to {}",
            grouped(list.erased() as u64),
            self.to.display()
        )?;
        Ok(ExitCode::SUCCESS)
    }
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
