//! `nbo serve`: the engine over gRPC and HTTP, from nothing to ready in a few seconds, and down again without losing a call.
//!
//! It says step by step how it got ready and how long each step took. The port opens last, so whoever can connect is served
//! by a warm model and a loaded population.

mod doors;
mod signals;
mod steps;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;

use self::doors::DoorArgs;
use self::signals::{reload_on_hangup, told_to_stop};
use self::steps::{assembly_step, finish_step, recover_step, refuse, runtime, step, survives, tell};
use super::numbers::grouped;
use super::telling::{self, progress};
use crate::clock::{Clock, SystemClock};
use crate::config::assembly::{Assembly, Place};
use crate::config::data::{DataFolder, KeptVersions};
use crate::domain::symbol::Symbols;
use crate::engine::{Active, Engine, Limits, Recovery};
use crate::import::demo;
use crate::journal::Level;
use crate::model::SESSIONS_MAX;
use crate::server::Server;
use crate::server::doors::Doors;
use crate::server::durability::{CHECKPOINT_AFTER_BYTES, Checkpoints};
use crate::server::http::CorsOrigin;
use crate::server::reload::{FileWatch, Reloader};
use crate::telemetry::{self, Stopwatch};

/// Requests to reload that may wait: one is as good as many.
const RELOADS_WAITING_MAX: usize = 1;

/// One MiB, in bytes.
const MIB: u64 = 1 << 20;
/// How much is written until a checkpoint is due, in MiB.
const CHECKPOINT_AFTER_MIB: f64 = (CHECKPOINT_AFTER_BYTES / MIB) as f64;
/// The most that may be asked for: a terabyte.
const CHECKPOINT_AFTER_MIB_MAX: f64 = 1_048_576.0;

/// Serves offers over gRPC, and over HTTP with JSON, on one port.
///
/// Without options it serves the bank that is built in, scored by its ONNX model, to ten thousand made-up customers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo serve                                       the built-in bank with made-up customers
  nbo serve --rules rules/bank --customers 10000  the same from files, which are picked up when they change
  nbo serve --cors-origin https://www.bank.example  pages of that website may call
  nbo serve --rules /etc/nbo/rules --models /etc/nbo/models --data /var/lib/nbo --listen 0.0.0.0:50051 \\
    --tls-cert cert.pem --tls-key key.pem --tokens tokens     to others: administration is then on 127.0.0.1:50052
  nbo serve --durability power                    an answer waits until what it changed is on the disk
  nbo serve --durability none                     keep nothing: the next start begins anew

SIGHUP reads the files again, those with certificates and tokens as well; Ctrl-C or SIGTERM finishes the calls under
way and stops, a second one does not wait for them.")]
pub struct Args {
    /// The folder with the catalog's YAML files; without it the built-in bank is served
    #[arg(long, env = "NBO_RULES", value_name = "FOLDER")]
    rules: Option<PathBuf>,
    /// The folder with a folder for each model; used with --rules
    #[arg(long, env = "NBO_MODELS", value_name = "FOLDER", default_value = "models")]
    models: PathBuf,
    /// The folder in which everything is kept that has to outlive the process; it is made when it is missing
    #[arg(long, env = "NBO_DATA", value_name = "FOLDER", default_value = "nbo-data")]
    data: PathBuf,
    /// What an answer promises about what it changed
    #[arg(long, env = "NBO_DURABILITY", value_enum, default_value_t = Durability::Process)]
    durability: Durability,
    /// How much is written to the journal until all customers go to a new checkpoint, in MiB: so much a start has to replay
    #[arg(long, env = "NBO_CHECKPOINT_AFTER", value_name = "MIB", default_value_t = CHECKPOINT_AFTER_MIB, value_parser = checkpoint_after)]
    checkpoint_after: f64,
    /// For how many days records are kept after they are needed, so that decisions can be made again (`nbo replay`)
    #[arg(long, env = "NBO_KEEP_RECORDS", value_name = "DAYS", default_value_t = 7)]
    keep_records: u16,
    /// How many made-up customers a new data folder begins with [default: 10000 for the built-in bank, 0 with --rules]
    #[arg(long, env = "NBO_CUSTOMERS", value_name = "COUNT")]
    customers: Option<usize>,
    /// The seed of the made-up customers
    #[arg(long, env = "NBO_SEED", default_value_t = demo::SEED)]
    seed: u64,
    /// Sessions of each model, one for each thread that scores [default: one for each core]
    #[arg(long, env = "NBO_SESSIONS", value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=SESSIONS_MAX as i64))]
    sessions: Option<u8>,
    /// Threads that serve [default: one for each core]; leave cores to others that share the machine
    #[arg(long, env = "NBO_THREADS", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Option<u16>,
    /// An origin whose web pages may call, as in `https://www.bank.example`, or `*` for all; may be repeated [default: none]
    #[arg(long, env = "NBO_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    cors_origin: Vec<CorsOrigin>,
    /// How many customers there may be, visitors included; more are refused. Each costs about 1 kB of memory
    #[arg(long, env = "NBO_CUSTOMERS_MAX", value_name = "COUNT", default_value_t = Limits::default().customers_max)]
    customers_max: usize,
    #[command(flatten)]
    doors: DoorArgs,
    /// Which log lines to show on standard error, as in `info` or `warn,nbo=debug`
    #[arg(long, env = "NBO_LOG", default_value = "info")]
    log: String,
    #[command(flatten)]
    telling: telling::Options,
}

/// What an answer promises about what it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Durability {
    /// Nothing: all is gone with the process
    None,
    /// It survives the end of the process, however sudden
    Process,
    /// It survives a loss of power
    Power,
}

/// What there is to begin with: the folder and what it holds.
type Begun = (DataFolder, Recovery);

impl Args {
    /// Runs the command until it is told to stop.
    ///
    /// # Errors
    /// When the files have faults, the address is taken, or serving fails.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        telemetry::log(&self.log, self.telling.log_format).context("--log")?;
        let runtime = self.tokio().enable_all().build()?;
        runtime.block_on(self.serve(out))
    }

    async fn serve(&self, out: &mut impl Write) -> Result<ExitCode> {
        let whole = Stopwatch::start();
        writeln!(out, "nbo {}", env!("CARGO_PKG_VERSION"))?;
        // Before anything that takes long, and before anything is written.
        let opened = self.doors.open(out)?;
        let begun = self.data_step(out)?;
        let folder = begun.as_ref().map(|(folder, _)| folder.clone());
        let symbols = begun
            .as_ref()
            .map_or_else(Symbols::default, |(_, recovery)| recovery.symbols());
        let onnx = runtime(out)?;
        let mut assembly = Assembly::new(self.place(), onnx.clone(), self.sessions(), folder.clone());
        let active = match assembly_step(&mut assembly, &symbols, out)? {
            Ok(active) => active,
            Err(faults) => return refuse(&faults, out),
        };
        Self::models_step(&active, out)?;
        let (engine, found_bytes) = recover_step(begun, active, self.limits(), out)?;
        let engine = Arc::new(engine);
        self.population_step(&engine, out)?;
        let kept = folder.clone();
        let checkpoints = folder.map(|folder| {
            let bytes = (found_bytes, self.checkpoint_after_bytes());
            let checkpoints = Checkpoints::new(Arc::clone(&engine), folder, self.keep_records(), bytes);
            let log = checkpoints.log();
            (Arc::new(tokio::sync::Mutex::new(checkpoints)), log)
        });
        let (checkpoints, log) = checkpoints.unzip();
        let taking = checkpoints.clone().map(|own| tokio::spawn(Checkpoints::run(own)));

        let past = kept.map(|folder| KeptVersions::new(folder, onnx));
        let server = Server::with_past(Arc::clone(&engine), Arc::new(SystemClock), past);
        let server = server.with_cors_origins(self.cors_origin.clone());
        self.telling.apply(&server, log)?;
        let (requests, requested) = mpsc::channel(RELOADS_WAITING_MAX);
        let reloader = server.reloader(Box::new(move |in_force| assembly.again(in_force)));
        let _watcher = self.files_step(&reloader, &requests, out)?;
        tokio::spawn(reloader.run(requested));
        reload_on_hangup(vec![requests, opened.renewing(&server)])?;
        let (stop, hasten) = told_to_stop()?;
        let doors = opened.listen(whole, out).await?;
        self.invite(&doors, &engine, out)?;
        out.flush()?;
        server.serve_until(doors, stop, hasten).await?;
        if let Some(taking) = taking {
            taking.abort();
        }
        if let Some(checkpoints) = checkpoints {
            finish_step(checkpoints, out).await?;
        }
        writeln!(out, "stopped")?;
        Ok(ExitCode::SUCCESS)
    }

    /// Opens the data folder and reads the newest checkpoint.
    fn data_step(&self, out: &mut impl Write) -> Result<Option<Begun>> {
        let level = match self.durability {
            Durability::None => {
                tell(out, "data", "kept nowhere, as asked: all is gone with the process")?;
                return Ok(None);
            }
            Durability::Process => Level::Process,
            Durability::Power => Level::Power,
        };
        let took = Stopwatch::start();
        let folder = DataFolder::take(&self.data)?;
        let (journal, opened) = folder.journal(level)?;
        if let Some(cut) = &opened.cut {
            tell(out, "warning", &cut.to_string())?;
        }
        out.flush()?;
        let bar = progress("checkpoint", 0);
        let recovery = Recovery::begin(journal, &folder.checkpoints(), &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        for damage in recovery.damages() {
            tell(out, "warning", &format!("left out a damaged checkpoint: {damage}"))?;
        }
        let place = folder.path().display();
        let text = if recovery.is_new() {
            format!("{place}, new; what is acknowledged survives {}", survives(level))
        } else {
            let (customers, records) = (grouped(recovery.customers()), grouped(recovery.records()));
            format!(
                "{place}: {customers} customers in a checkpoint, {records} records behind it; what is acknowledged survives {}",
                survives(level)
            )
        };
        step(out, "data", &text, took)?;
        Ok(Some((folder, recovery)))
    }

    /// Chooses what drives the calls. One thread alone needs none to hand calls to, and none to be woken by.
    fn tokio(&self) -> tokio::runtime::Builder {
        match self.threads.map_or_else(cores, usize::from) {
            1 => tokio::runtime::Builder::new_current_thread(),
            threads => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                builder.worker_threads(threads);
                builder
            }
        }
    }

    fn place(&self) -> Place {
        match &self.rules {
            None => Place::BuiltIn,
            Some(rules) => Place::Folders {
                rules: rules.clone(),
                models: self.models.clone(),
            },
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and at most a terabyte"
    )]
    fn checkpoint_after_bytes(&self) -> u64 {
        (self.checkpoint_after * MIB as f64) as u64
    }

    fn limits(&self) -> Limits {
        Limits {
            customers_max: self.customers_max,
            ..Limits::default()
        }
    }

    fn keep_records(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep_records) * 24 * 60 * 60)
    }

    fn sessions(&self) -> usize {
        self.sessions.map_or_else(cores, usize::from)
    }

    fn customers(&self) -> usize {
        self.customers
            .unwrap_or(if self.rules.is_none() { demo::CUSTOMERS } else { 0 })
    }

    fn models_step(active: &Active, out: &mut impl Write) -> Result<()> {
        for (plan, scorer) in active.catalog.models.iter().zip(&active.models) {
            let (name, version, columns) = (&plan.name, &plan.version, plan.columns.len());
            let state = match scorer {
                Some(scorer) if scorer.why().is_empty() => format!("scored by {}", scorer.path()),
                Some(scorer) => format!("scored by {}: {}", scorer.path(), scorer.why()),
                None => "not loaded: start propensities serve instead".to_owned(),
            };
            tell(out, "model", &format!("{name} {version}, {columns} columns; {state}"))?;
        }
        Ok(())
    }

    fn population_step(&self, engine: &Engine, out: &mut impl Write) -> Result<()> {
        let customers = self.customers();
        if engine.customers() > 0 {
            let known = grouped(engine.customers() as u64);
            return tell(
                out,
                "customers",
                &format!("{known}, as they were when the last process ended"),
            );
        }
        if customers == 0 {
            return tell(out, "customers", "none yet; import yours with `nbo import`");
        }
        let took = Stopwatch::start();
        out.flush()?;
        let bar = progress("customers", customers as u64);
        let loaded = demo::load(engine, self.seed, customers, SystemClock.now(), |done| {
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        let loaded = loaded?;
        if let Some(journal) = engine.journal() {
            journal.settle()?;
        }
        let people = grouped((loaded.by_hand + loaded.drawn) as u64);
        let events = grouped(loaded.events as u64);
        step(
            out,
            "customers",
            &format!(
                "{people} made-up customers with {events} events, from seed {}",
                self.seed
            ),
            took,
        )
    }

    /// Begins to watch the files, when there are any; watching ends when the result is dropped.
    fn files_step(
        &self,
        reloader: &Reloader,
        requests: &mpsc::Sender<()>,
        out: &mut impl Write,
    ) -> Result<Option<FileWatch>> {
        let Some(rules) = &self.rules else {
            tell(
                out,
                "changes",
                "the rules are built in; --rules rules/bank serves files and picks up changes",
            )?;
            return Ok(None);
        };
        let folders = [rules.clone(), self.models.clone()];
        let watcher = reloader
            .watch_files(&folders, requests.clone())
            .context("the files cannot be watched")?;
        let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        tell(
            out,
            "changes",
            &format!("files in {} are picked up when they change", names.join(" and ")),
        )?;
        Ok(Some(watcher))
    }

    /// Shows a call to paste.
    fn invite(&self, doors: &Doors, engine: &Engine, out: &mut impl Write) -> Result<()> {
        if doors.tls.is_some() || !doors.access.is_open() {
            // What to show is only known to whoever has it.
            return Ok(());
        }
        let address = doors.public.local_addr()?;
        let catalog = &engine.active().catalog;
        let customer = if self.customers() > 0 { "demo-000001" } else { "anybody" };
        let asked = catalog.placements.iter().find_map(|placement| {
            let channel = placement.channels.iter().position(|asks| *asks)?;
            Some((&catalog.channels[channel].id, &placement.id, placement.count_max.min(3)))
        });
        let Some((channel, placement, count)) = asked else {
            return Ok(());
        };
        writeln!(
            out,
            "\nAsk for offers (npm's buf, which finds the contract by reflection):\n\n  \
             npx -y @bufbuild/buf curl --protocol grpc --http2-prior-knowledge -d '{{\"customer\": {{\"id\": \"{customer}\"}}, \
             \"channel\": \"{channel}\", \"placements\": [{{\"placement\": \"{placement}\", \"count\": {count}}}]}}' \
             http://{address}/nbo.v1.DecisionService/GetOffers\n"
        )?;
        Ok(())
    }
}

fn checkpoint_after(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|&mib| mib > 0.0 && mib <= CHECKPOINT_AFTER_MIB_MAX)
        .ok_or_else(|| format!("write a number of MiB above 0 and up to {CHECKPOINT_AFTER_MIB_MAX}, as in 64 or 0.5"))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
