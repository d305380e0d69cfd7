//! `nbo token`: tokens for callers, and their lines in the tokens file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::server::access::table::Roles;
use crate::server::access::tokens::{fresh, line, roles_named};

/// Makes tokens for callers.
///
/// A token is shown once and kept nowhere: the line for the file of `nbo serve --tokens` has only its checksum.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo token new --name website --roles offers,events
  nbo token new --name website --roles offers,events --line-to tokens > website.token")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    New(New),
}

/// Draws a token, and writes it and its line for the tokens file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Roles:
  offers    reads offers and contact budgets
  events    writes events, outcomes and cancellations
  profiles  reads and writes profiles, joins and parts visitors
  catalog   manages offers: reloads, forecasts, campaigns
  erase     exports, forgets and erases a person
  operate   runs the server: its state, its numbers, past decisions, exports of all contacts

Example:
  nbo token new --name website --roles offers,events --line-to tokens > website.token")]
struct New {
    /// Whose token it is; the log names it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What its holder may do, with commas between
    #[arg(long, value_name = "ROLES", value_parser = roles_named)]
    roles: Roles,
    /// The tokens file to add the line to; then only the token is written
    #[arg(long, value_name = "FILE")]
    line_to: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the name is none, the system gives no chance, or the file cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let What::New(new) = &self.what;
        let is_name = !new.name.is_empty() && !new.name.starts_with('#') && !new.name.contains(char::is_whitespace);
        ensure!(
            is_name,
            "`{}` is no name; write one without spaces, as in website",
            new.name
        );
        let token = fresh().map_err(|why| anyhow!(why))?;
        let line = line(&new.name, new.roles, &token);
        writeln!(out, "{token}")?;
        match &new.line_to {
            Some(file) => append(file, &line)?,
            None => writeln!(out, "{line}")?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds a line to a file, which may be missing, or end without a line's end.
fn append(file: &Path, line: &str) -> Result<()> {
    let before = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let end = if before.is_empty() || before.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let mut opened = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    opened.write_all(format!("{end}{line}\n").as_bytes())?;
    Ok(())
}
