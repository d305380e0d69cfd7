//! `nbo import`: customers from a CSV file.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::connect::Server;
use super::numbers::{counted, grouped, whole};
use crate::catalog::Diagnostic;
use crate::catalog::single::{Misfit, Single};
use crate::catalog::values::shortened;
use crate::import::check::{Checked, check};
use crate::import::faults::Faults;
use crate::import::file::{self, Opened};
use crate::import::mapping::Mapping;
use crate::import::plan::{Plan, Target};
use crate::import::rows::Rows;
use crate::import::send::{self, InForce, Sent};

/// Imports customers from a CSV file, packed with gzip or not.
///
/// Every row is checked against the schema in force on the server. When one is wrong nothing is imported, and everything
/// that is wrong is listed with its line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo import customers.csv --dry-run                   only checks; the header names the attributes
  nbo import customers.csv.gz --to http://10.0.0.7:50051
  nbo import bank-additional-full.csv --mapping models/bank/import.yaml")]
pub struct Args {
    /// The file
    file: PathBuf,
    /// Which column becomes which attribute; without it the header names the attributes, and the column `customer` the
    /// customer
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
    /// Only check; nothing is written
    #[arg(long)]
    dry_run: bool,
    /// Import the good rows although others are wrong
    #[arg(long)]
    skip_bad: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What came of an import.
#[derive(Debug, Default)]
struct Outcome {
    catalog_version: String,
    unused_columns: Vec<String>,
    checked: Checked,
    sent: Sent,
    seconds: f64,
}

impl Args {
    /// Runs the command. The exit code is 1 when something is wrong with the file or the mapping, unless bad rows were to
    /// be skipped.
    ///
    /// # Errors
    /// When a file cannot be read, or the server cannot be reached or breaks off.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match runtime.block_on(self.import())? {
            Ok(outcome) => {
                if self.json {
                    self.tell_json(&outcome, out)?;
                } else {
                    self.tell(&outcome, out)?;
                }
                let content = self.skip_bad && outcome.sent.refused.is_empty();
                Ok(if outcome.has_faults() && !content {
                    ExitCode::FAILURE
                } else {
                    ExitCode::SUCCESS
                })
            }
            Err(diagnostics) => {
                for diagnostic in diagnostics {
                    writeln!(out, "{diagnostic}")?;
                }
                Ok(ExitCode::FAILURE)
            }
        }
    }

    async fn import(&self) -> Result<Result<Outcome, Vec<Diagnostic>>> {
        let begun = now();
        let mapping = match &self.mapping {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                match Single::<Mapping>::read(&path.display().to_string(), &text) {
                    Ok(mapping) => Some(mapping),
                    Err(diagnostics) => return Ok(Err(diagnostics)),
                }
            }
            None => None,
        };
        let channel = self.server.connect().await?;
        let InForce {
            catalog_version,
            target,
        } = send::schema_in_force(channel.clone()).await?;

        let (mut rows, bytes) = self.open(mapping.as_ref())?;
        let plan = match self.plan(mapping.as_ref(), rows.header(), &target)? {
            Ok(plan) => plan,
            Err(diagnostics) => return Ok(Err(diagnostics)),
        };
        let bar = progress_bar(bytes.size_bytes, "checking  {bar:40} {bytes}/{total_bytes}  {msg}");
        let checked = check(&mut rows, &plan, |read| {
            bar.set_position(bytes.read_bytes.load(Ordering::Relaxed));
            bar.set_message(counted(read, "row"));
        });
        bar.finish_and_clear();

        let mut outcome = Outcome {
            catalog_version,
            unused_columns: plan.unused_columns().to_vec(),
            checked,
            ..Outcome::default()
        };
        if !self.dry_run && outcome.checked.good > 0 && (self.skip_bad || outcome.checked.faults.is_empty()) {
            let bar = progress_bar(
                outcome.checked.good,
                "importing {bar:40} {human_pos}/{human_len} rows  {per_sec}",
            );
            let (rows, _) = self.open(mapping.as_ref())?;
            let good = outcome.checked.good;
            outcome.sent = send::send(channel, rows, plan, target, good, |taken| bar.set_position(taken)).await?;
            bar.finish_and_clear();
        }
        outcome.seconds = now().duration_since(begun).as_secs_f64();
        Ok(Ok(outcome))
    }

    fn plan(
        &self,
        mapping: Option<&Single<Mapping>>,
        header: &[String],
        target: &Target,
    ) -> Result<Result<Plan, Vec<Diagnostic>>> {
        if let Some(mapping) = mapping {
            return Ok(Plan::new(&mapping.says, header, target).map_err(|faults| mapping.diagnose(faults)));
        }
        if let [only] = header {
            let shown = shortened(only);
            bail!(
                "{}: the header is one cell, `{shown}`; when the cells are not separated by commas, a --mapping has to say by what, as in `delimiter: \";\"`",
                self.file.display()
            );
        }
        let mapping = Mapping::by_header(header.iter().map(String::as_str));
        Plan::new(&mapping, header, target)
            .map(Ok)
            .map_err(|faults| self.header_faults(faults))
    }

    fn open(&self, mapping: Option<&Single<Mapping>>) -> Result<(Rows<Box<dyn Read + Send>>, Bytes)> {
        let Opened {
            reader,
            size_bytes,
            read_bytes,
        } = file::open(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let delimiter = mapping.map_or(',', |mapping| mapping.says.delimiter);
        let delimiter = u8::try_from(delimiter)
            .map_err(|_| anyhow!("the delimiter `{delimiter}` cannot be used; take `,`, `;`, `|` or a tab"))?;
        let rows = Rows::new(reader, delimiter).map_err(|fault| anyhow!("{}: {fault}", self.file.display()))?;
        Ok((rows, Bytes { size_bytes, read_bytes }))
    }

    /// Without a mapping the header is to blame, and the whole of it stands on line 1.
    fn header_faults(&self, faults: Vec<Misfit>) -> anyhow::Error {
        let lines = faults.into_iter().map(|fault| match fault.hint {
            Some(hint) => format!("  {}; {hint}", fault.message),
            None => format!("  {}", fault.message),
        });
        let lines = lines.collect::<Vec<_>>().join("\n");
        anyhow!(
            "{}: the header does not fit, and no --mapping says how to read it:\n{lines}",
            self.file.display()
        )
    }

    fn tell(&self, outcome: &Outcome, out: &mut impl Write) -> Result<()> {
        let Outcome {
            catalog_version,
            unused_columns,
            checked,
            sent,
            seconds,
        } = outcome;
        let file = self.file.file_name().unwrap_or(self.file.as_os_str()).display();
        writeln!(
            out,
            "{file}: {} checked against catalog {catalog_version}",
            counted(checked.rows(), "row")
        )?;
        if !unused_columns.is_empty() {
            writeln!(out, "columns not imported: {}", unused_columns.join(", "))?;
        }
        tell_faults(&checked.faults, out)?;
        tell_faults(&sent.refused, out)?;
        if sent.written > 0 {
            let (first, last) = (
                checked.first.as_deref().unwrap_or("?"),
                checked.last.as_deref().unwrap_or("?"),
            );
            let rate = whole(sent.written as f64 / seconds.max(1e-3));
            let written = counted(sent.written, "customer");
            writeln!(
                out,
                "imported {written}, {first} to {last}, in {seconds:.1} s ({rate} rows a second)"
            )?;
        } else if self.dry_run && !outcome.has_faults() {
            writeln!(out, "no fault; nothing was imported, since --dry-run only checks")?;
        } else {
            writeln!(out, "nothing was imported")?;
        }
        Ok(())
    }

    fn tell_json(&self, outcome: &Outcome, out: &mut impl Write) -> Result<()> {
        let Outcome {
            catalog_version,
            unused_columns,
            checked,
            sent,
            seconds,
        } = outcome;
        let faults = if checked.faults.is_empty() {
            &sent.refused
        } else {
            &checked.faults
        };
        let told = Told {
            file: self.file.display().to_string(),
            catalog_version,
            rows: checked.rows(),
            good: checked.good,
            imported: sent.written,
            first_customer: checked.first.as_deref(),
            last_customer: checked.last.as_deref(),
            unused_columns,
            fault_count: faults.count(),
            fault_groups: faults
                .groups()
                .map(|(column, kind, group)| Group {
                    column,
                    kind,
                    count: group.count,
                    first_line: group.first_line,
                })
                .collect(),
            faults: faults.shown().iter().map(ToString::to_string).collect(),
            seconds: *seconds,
        };
        serde_json::to_writer_pretty(&mut *out, &told)?;
        Ok(writeln!(out)?)
    }
}

impl Outcome {
    const fn has_faults(&self) -> bool {
        !self.checked.faults.is_empty() || !self.sent.refused.is_empty()
    }
}

struct Bytes {
    size_bytes: u64,
    read_bytes: Arc<AtomicU64>,
}

/// The result as JSON.
#[derive(Serialize)]
struct Told<'a> {
    file: String,
    catalog_version: &'a str,
    rows: u64,
    good: u64,
    imported: u64,
    first_customer: Option<&'a str>,
    last_customer: Option<&'a str>,
    unused_columns: &'a [String],
    fault_count: u64,
    fault_groups: Vec<Group<'a>>,
    faults: Vec<String>,
    seconds: f64,
}

#[derive(Serialize)]
struct Group<'a> {
    column: &'a str,
    kind: &'a str,
    count: u64,
    first_line: u64,
}

fn tell_faults(faults: &Faults, out: &mut impl Write) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    for fault in faults.shown() {
        writeln!(out, "{fault}")?;
    }
    let hidden = faults.count() - faults.shown().len() as u64;
    if hidden > 0 {
        writeln!(out, "... and {} more", grouped(hidden))?;
    }
    writeln!(
        out,
        "{} in {}:",
        counted(faults.count(), "fault"),
        counted(faults.rows(), "row")
    )?;
    for (column, kind, group) in faults.groups() {
        let column = if column.is_empty() {
            String::new()
        } else {
            format!("`{column}`: ")
        };
        writeln!(
            out,
            "{:>9} x {column}{kind}, first on line {}",
            grouped(group.count),
            group.first_line
        )?;
    }
    Ok(())
}

/// A bar on the terminal; nothing when the error output is no terminal.
fn progress_bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[expect(clippy::disallowed_methods, reason = "the throughput is told")]
fn now() -> Instant {
    Instant::now()
}
