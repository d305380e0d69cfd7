//! `nbo campaign`: ranked offers for many customers, as a list in a file.

mod list;
mod part;
mod spec;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tonic::Status;

use super::connect::Server;
use super::numbers::{counted, grouped, whole};
use crate::catalog::Diagnostic;
use crate::catalog::single::Single;
use crate::clock::{Clock as _, SystemClock};
use crate::server::wire::campaign_service_client::CampaignServiceClient;
use crate::server::wire::offer_limit::Scope;
use crate::server::wire::{CampaignSummary, RankCustomersResponse};
use list::{Format, List};
use part::{Part, Reader};
use spec::Spec;

/// Ranks offers for many customers at once, under the same rules and caps as everybody else's calls.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nbo campaign run spring.yaml --out lists.parquet            runs it and writes the list
  nbo campaign run spring.yaml --out lists.parquet --resume   goes on with a run that broke off
  nbo campaign run --help                                     shows a spec")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Run(Run),
}

/// Runs a campaign against a server and writes the list: one row for each offer of each customer.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example of a spec (keys of `limits`: offer or group, at_most, at_least):
  campaign: spring_savings
  channel: campaign
  placement: best_offers
  count: 1
  segment: profile.age >= 30 && !(\"fund\" in profile.holdings)   # or customers: ids.csv, or everyone: true
  reserve: true              # false, or left out, only looks
  limits:
    - {offer: savings_easy_access, at_most: 1000}
    - {group: fund, at_most: 5000, at_least: 100}

Where `control` is true, the customer gets the offer's control content and not its treatment; `hold_outs` names all hold-outs
that the customer is in, with `;` between them.

What was received waits in `<list>.part` until the run has ended; --resume goes on with it."
)]
struct Run {
    /// What to do, as YAML
    spec: PathBuf,
    /// The list to write: `.parquet` or `.csv`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    server: Server,
    /// Go on with a run that broke off
    #[arg(long)]
    resume: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// The longest answer that is taken, in bytes: an explained batch of a large catalog.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How often the bar moves from beginning to end.
const BAR_STEPS: u64 = 1_000;

/// How a run ended.
enum End {
    /// As it should.
    Done(Box<Told>),
    /// The spec is wrong.
    Faulty(Vec<Diagnostic>),
}

/// What the fuzzers reach that nobody else does.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    use std::path::Path;

    use anyhow::Result;
    use tonic::Status;

    use super::part::Reader;
    use super::spec::{Spec, misfits};
    use crate::catalog::diagnostic::Diagnostic;
    use crate::catalog::single::Single;
    use crate::server::wire::RankCustomersRequest;

    /// Reads a spec as a run does and has the request judged by `server`. A file of customers is not opened, whatever is named.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn judge_spec<T>(
        text: &str,
        server: impl FnOnce(&RankCustomersRequest) -> Result<T, Status>,
    ) -> Result<(), Vec<Diagnostic>> {
        let spec = Single::<Spec>::read("spec.yaml", text)?;
        let faults = spec.says.faults();
        if !faults.is_empty() {
            return Err(spec.diagnose(faults));
        }
        if spec.says.customers.is_some() {
            return Ok(());
        }
        let Ok(request) = spec.says.request(Path::new("."), "run".to_owned()) else {
            return Ok(());
        };
        server(&request)
            .map(drop)
            .map_err(|status| spec.diagnose(misfits(&status)))
    }

    /// Reads what a run had received when it broke off; returns the bytes of whole messages.
    ///
    /// # Errors
    /// When it does not hold a request.
    pub fn read_part(path: &Path) -> Result<u64> {
        let mut reader = Reader::open(path)?;
        while reader.next()?.is_some() {}
        Ok(reader.good_bytes)
    }
}

impl Args {
    /// Runs the command. The exit code is 1 when something is wrong with the spec.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the server cannot be reached or breaks off.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let Command::Run(run) = &self.command;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match runtime.block_on(run.run())? {
            End::Done(told) => {
                if run.json {
                    serde_json::to_writer_pretty(&mut *out, &told)?;
                    writeln!(out)?;
                } else {
                    told.write(out)?;
                }
                Ok(ExitCode::SUCCESS)
            }
            End::Faulty(diagnostics) => {
                for diagnostic in diagnostics {
                    writeln!(out, "{diagnostic}")?;
                }
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

impl Run {
    async fn run(&self) -> Result<End> {
        let format = Format::of(&self.out)?;
        let name = self.spec.display().to_string();
        let text = std::fs::read_to_string(&self.spec).with_context(|| format!("cannot read {name}"))?;
        let spec = match Single::<Spec>::read(&name, &text) {
            Ok(spec) => spec,
            Err(diagnostics) => return Ok(End::Faulty(diagnostics)),
        };
        let faults = spec.says.faults();
        if !faults.is_empty() {
            return Ok(End::Faulty(spec.diagnose(faults)));
        }
        let begun = now();
        let part = part::path_of(&self.out);
        let received = match self.receive(&spec.says, &part).await? {
            Ok(received) => received,
            Err(status) => {
                let misfits = spec::misfits(&status);
                if misfits.is_empty() {
                    return Err(told_by(&status, "the server refused the run"));
                }
                return Ok(End::Faulty(spec.diagnose(misfits)));
            }
        };
        let rows = write_list(&part, &self.out, format)?;
        std::fs::remove_file(&part).with_context(|| format!("cannot remove {}", part.display()))?;
        let told = Told::new(&self.out, rows, received, now().duration_since(begun).as_secs_f64());
        Ok(End::Done(Box::new(told)))
    }

    /// Receives everything, or what is left of it, into the part file; the inner error is the refusal of the request.
    async fn receive(&self, spec: &Spec, path: &Path) -> Result<Result<Received, Status>> {
        let folder = self.spec.parent().unwrap_or_else(|| Path::new("."));
        let mut received = Received::default();
        let (mut request, mut part) = if self.resume {
            let mut reader = Reader::open(path)?;
            let request = spec.request(folder, reader.request.run_id.clone())?;
            if request != reader.request {
                bail!(
                    "{} is of a run with another spec or other customers; put them back as they were, or remove it to begin anew",
                    path.display()
                );
            }
            while let Some(message) = reader.next()? {
                received.take(&message);
            }
            received.begin_part();
            if received.summary.is_some() {
                return Ok(Ok(received));
            }
            (request, Some(Part::go_on(path, reader.good_bytes)?))
        } else {
            (spec.request(folder, run_id(spec))?, None)
        };
        if part.is_none() && path.exists() {
            // Says what to do about it, before anything is asked for.
            Part::begin(path, &request)?;
        }
        let mut client =
            CampaignServiceClient::new(self.server.connect().await?).max_decoding_message_size(MESSAGE_BYTES_MAX);
        request.resume_after.clone_from(&received.token);
        let mut answers = match client.rank_customers(request.clone()).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        let part = match &mut part {
            Some(part) => part,
            None => part.insert(Part::begin(path, &request)?),
        };
        let bar = progress_bar();
        loop {
            let message = match answers.message().await {
                Ok(Some(message)) => message,
                Ok(None) => bail!("the server ended the run early; {}", how_to_go_on(&received)),
                Err(status) => {
                    return Err(told_by(
                        &status,
                        &format!("the run broke off; {}", how_to_go_on(&received)),
                    ));
                }
            };
            part.put(&message)?;
            received.take(&message);
            bar.set_position(thousandths(received.share));
            bar.set_message(counted(received.customers(), "customer"));
            if message.summary.is_some() {
                bar.finish_and_clear();
                return Ok(Ok(received));
            }
        }
    }
}

fn how_to_go_on(received: &Received) -> String {
    format!(
        "{} lie behind; the same command with --resume goes on with the next",
        counted(received.customers(), "customer")
    )
}

fn told_by(status: &Status, what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what}: {}", status.message())
}

/// Names a run so that no other has its name.
fn run_id(spec: &Spec) -> String {
    let campaign = if spec.campaign.is_empty() {
        "run"
    } else {
        &spec.campaign
    };
    let short: String = campaign.chars().take(80).collect();
    format!("{short}-{}-{}", SystemClock.now().as_millis(), std::process::id())
}

/// What came so far, over all parts of a run.
#[derive(Debug, Default)]
struct Received {
    token: String,
    share: f64,
    parts: u64,
    /// Counts of the parts before this one.
    before: Counts,
    /// Counts of this part.
    here: Counts,
    summary: Option<CampaignSummary>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    customers: u64,
    given: u64,
    offers: u64,
    from_history: u64,
    lapsed: u64,
}

impl Received {
    fn take(&mut self, message: &RankCustomersResponse) {
        message.resume_token.clone_into(&mut self.token);
        if let Some(progress) = &message.progress {
            if progress.customers < self.here.customers {
                // The counts of a server begin anew with each part.
                self.begin_part();
            }
            self.share = progress.share;
            self.here = Counts {
                customers: progress.customers,
                given: progress.given,
                offers: progress.offers,
                from_history: progress.from_history,
                lapsed: progress.lapsed,
            };
        }
        self.summary.clone_from(&message.summary);
    }

    fn begin_part(&mut self) {
        let here = std::mem::take(&mut self.here);
        self.parts += 1;
        self.before = Counts {
            customers: self.before.customers + here.customers,
            given: self.before.given + here.given,
            offers: self.before.offers + here.offers,
            from_history: self.before.from_history + here.from_history,
            lapsed: self.before.lapsed + here.lapsed,
        };
    }

    const fn customers(&self) -> u64 {
        self.before.customers + self.here.customers
    }
}

/// Writes the list from everything that was received, as a whole or not at all; returns its rows.
fn write_list(part: &Path, out: &Path, format: Format) -> Result<u64> {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".writing");
    let writing = out.with_file_name(name);
    let mut list = List::begin(&writing, format)?;
    let mut reader = Reader::open(part)?;
    let mut rows = 0;
    while let Some(message) = reader.next()? {
        for customer in message.customers {
            rows += list.put(customer)?;
        }
    }
    list.finish()?;
    std::fs::rename(&writing, out).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(rows)
}

/// The summary, for people and as JSON.
#[derive(Debug, Serialize)]
struct Told {
    list: String,
    rows: u64,
    parts: u64,
    customers: u64,
    given: u64,
    offers: u64,
    /// Of the last part.
    by_offer: Vec<(String, u64)>,
    limits: Vec<LimitTold>,
    method: String,
    objective: f64,
    objective_without_limits: Option<f64>,
    objective_bound: Option<f64>,
    repeated_customers: u64,
    /// Those who were answered before a break, and are listed by their contact history.
    from_history: u64,
    /// Those who were answered before a break, and of whom nothing stands any more.
    lapsed: u64,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct LimitTold {
    of: String,
    at_most: Option<u64>,
    at_least: Option<u64>,
    used: u64,
    left: Option<u64>,
    lacking: u64,
}

impl Told {
    fn new(out: &Path, rows: u64, received: Received, seconds: f64) -> Self {
        let (before, here) = (received.before, received.here);
        let summary = received.summary.unwrap_or_default();
        let limits = summary.limits.into_iter().map(|used| {
            let limit = used.limit.unwrap_or_default();
            LimitTold {
                of: match limit.scope {
                    Some(Scope::OfferId(id)) => format!("offer {id}"),
                    Some(Scope::Group(id)) => format!("group {id}"),
                    None => String::new(),
                },
                at_most: limit.at_most,
                at_least: limit.at_least,
                used: used.used,
                left: used.left,
                lacking: used.lacking,
            }
        });
        Self {
            list: out.display().to_string(),
            rows,
            parts: received.parts.max(1),
            customers: before.customers + here.customers,
            given: before.given + here.given,
            offers: before.offers + here.offers,
            by_offer: summary.by_offer.into_iter().map(|of| (of.offer_id, of.count)).collect(),
            limits: limits.collect(),
            method: summary.method,
            objective: summary.objective,
            objective_without_limits: summary.objective_without_limits,
            objective_bound: summary.objective_bound,
            repeated_customers: summary.repeated_customers,
            from_history: before.from_history + here.from_history,
            lapsed: before.lapsed + here.lapsed,
            seconds,
        }
    }

    fn write(&self, out: &mut impl Write) -> Result<()> {
        let rate = whole(self.customers as f64 / self.seconds.max(1e-3));
        writeln!(
            out,
            "{}: {} for {} of {}, in {:.1} s ({rate} customers a second)",
            self.list,
            counted(self.offers, "offer"),
            grouped(self.given),
            counted(self.customers, "customer"),
            self.seconds
        )?;
        for (offer, count) in &self.by_offer {
            writeln!(out, "{:>12}  {offer}", grouped(*count))?;
        }
        for limit in &self.limits {
            let most = limit.at_most.map_or_else(|| "any number".to_owned(), grouped);
            write!(out, "{} of at most {most} of {} used", grouped(limit.used), limit.of)?;
            match limit.lacking {
                0 => writeln!(out)?,
                lacking => writeln!(out, "; {} are lacking to what should be given", grouped(lacking))?,
            }
        }
        if self.from_history > 0 {
            let customers = counted(self.from_history, "customer");
            writeln!(
                out,
                "{customers} answered before a break and listed by contact history, at the priorities of now"
            )?;
        }
        if self.lapsed > 0 {
            let customers = counted(self.lapsed, "customer");
            writeln!(
                out,
                "{customers} answered before a break and not listed: cancelled, over, or the offers are gone"
            )?;
        }
        Ok(())
    }
}

fn thousandths(share: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share from 0 to 1; `as` saturates"
    )]
    let position = (share * BAR_STEPS as f64) as u64;
    position.min(BAR_STEPS)
}

/// A bar on the terminal; nothing when the error output is no terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(BAR_STEPS);
    match ProgressStyle::with_template("ranking  {bar:40} {percent}%  {msg}  {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[expect(clippy::disallowed_methods, reason = "the throughput is told")]
fn now() -> Instant {
    Instant::now()
}
