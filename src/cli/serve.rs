//! `nbo serve`: the engine over gRPC, from nothing to ready in a few seconds, and down again without losing a call.
//!
//! It says step by step how it got ready and how long each step took. The port opens last, so whoever can connect is served
//! by a warm model and a loaded population.

use std::io::{IsTerminal as _, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::numbers::grouped;
use crate::catalog::Diagnostic;
use crate::clock::{Clock, SystemClock};
use crate::config::assembly::{Assembly, Place};
use crate::engine::{Active, Engine, Limits};
use crate::import::demo;
use crate::model::{Runtime, SESSIONS_MAX};
use crate::server::Server;
use crate::server::reload::{FileWatch, Reloader};
use crate::telemetry::{self, Stopwatch};

/// Requests to reload that may wait: one is as good as many.
const RELOADS_WAITING_MAX: usize = 1;

/// Serves offers over gRPC.
///
/// Without options it serves the bank that is built in, scored by its ONNX model, to ten thousand made-up customers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo serve                                       the built-in bank with made-up customers
  nbo serve --rules rules/bank --customers 10000  the same from files, which are picked up when they change
  nbo serve --rules /etc/nbo/rules --models /etc/nbo/models --listen 0.0.0.0:50051

SIGHUP reads the files again; Ctrl-C or SIGTERM finishes the calls under way and stops.")]
pub struct Args {
    /// The folder with the catalog's YAML files; without it the built-in bank is served
    #[arg(long, env = "NBO_RULES", value_name = "FOLDER")]
    rules: Option<PathBuf>,
    /// The folder with a folder for each model; used with --rules
    #[arg(long, env = "NBO_MODELS", value_name = "FOLDER", default_value = "models")]
    models: PathBuf,
    /// The address to listen on
    #[arg(long, env = "NBO_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    /// How many made-up customers to begin with [default: 10000 for the built-in bank, 0 with --rules]
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
    /// Which log lines to show on standard error, as in `info` or `warn,nbo=debug`
    #[arg(long, env = "NBO_LOG", default_value = "info")]
    log: String,
}

impl Args {
    /// Runs the command until it is told to stop.
    ///
    /// # Errors
    /// When the files have faults, the address is taken, or serving fails.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        telemetry::log(&self.log).context("--log")?;
        let runtime = self.tokio().enable_all().build()?;
        runtime.block_on(self.serve(out))
    }

    async fn serve(&self, out: &mut impl Write) -> Result<ExitCode> {
        let whole = Stopwatch::start();
        writeln!(out, "nbo {}", env!("CARGO_PKG_VERSION"))?;
        let mut assembly = Assembly::new(self.place(), runtime(out)?, self.sessions());
        let active = match assembly_step(&mut assembly, out)? {
            Ok(active) => active,
            Err(faults) => return refuse(&faults, out),
        };
        self.models_step(&active, out)?;
        let engine = Arc::new(Engine::new(active, Limits::default()));
        self.population_step(&engine, out)?;

        let server = Server::new(Arc::clone(&engine), Arc::new(SystemClock));
        let (requests, requested) = mpsc::channel(RELOADS_WAITING_MAX);
        let reloader = server.reloader(Box::new(move |in_force| assembly.again(in_force)));
        let _watcher = self.files_step(&reloader, &requests, out)?;
        tokio::spawn(reloader.run(requested));
        reload_on_hangup(requests)?;
        let stop = told_to_stop()?;
        let listener = TcpListener::bind(self.listen).await;
        let listener =
            listener.with_context(|| format!("cannot listen on {}, the address of --listen", self.listen))?;
        let address = listener.local_addr()?;
        step(out, "listening", &format!("http://{address}, ready"), whole)?;
        self.invite(address, &engine, out)?;
        out.flush()?;
        server.serve(listener, stop).await?;
        writeln!(out, "stopped")?;
        Ok(ExitCode::SUCCESS)
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

    fn sessions(&self) -> usize {
        self.sessions.map_or_else(cores, usize::from)
    }

    fn customers(&self) -> usize {
        self.customers
            .unwrap_or(if self.rules.is_none() { demo::CUSTOMERS } else { 0 })
    }

    fn models_step(&self, active: &Active, out: &mut impl Write) -> Result<()> {
        for (plan, scorer) in active.catalog.models.iter().zip(&active.models) {
            let (name, version, columns) = (&plan.name, &plan.version, plan.columns.len());
            let state = match scorer {
                Some(_) => format!("its golden rows agree on {} sessions", self.sessions()),
                None => "not loaded: start propensities serve instead".to_owned(),
            };
            tell(out, "model", &format!("{name} {version}, {columns} columns; {state}"))?;
        }
        Ok(())
    }

    fn population_step(&self, engine: &Engine, out: &mut impl Write) -> Result<()> {
        let customers = self.customers();
        if customers == 0 {
            return tell(out, "customers", "none yet; import yours with `nbo import`");
        }
        let took = Stopwatch::start();
        out.flush()?;
        let bar = progress(customers);
        let loaded = demo::load(engine, self.seed, customers, SystemClock.now(), |done| {
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        let loaded = loaded?;
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
    fn invite(&self, address: SocketAddr, engine: &Engine, out: &mut impl Write) -> Result<()> {
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

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Loads ONNX Runtime, or warns in one line.
fn runtime(out: &mut impl Write) -> Result<Option<Runtime>> {
    let took = Stopwatch::start();
    match Runtime::load(None) {
        Ok(runtime) => {
            let text = format!("{} from {}", runtime.version(), runtime.path().display());
            step(out, "ONNX Runtime", &text, took)?;
            if let Some(warning) = runtime.telemetry_warning() {
                tell(out, "warning", &warning)?;
            }
            Ok(Some(runtime))
        }
        Err(error) => {
            tell(out, "warning", &format!("no model will score: {error}"))?;
            Ok(None)
        }
    }
}

fn assembly_step(assembly: &mut Assembly, out: &mut impl Write) -> Result<Result<Active, Vec<Diagnostic>>> {
    let took = Stopwatch::start();
    let started = assembly.start();
    if let Ok(active) = &started {
        let catalog = &active.catalog;
        let text = format!(
            "{} {}: {} offers in {} groups, {} placements, {} caps",
            catalog.name,
            catalog.version,
            catalog.offers.len(),
            catalog.groups.len(),
            catalog.placements.len(),
            catalog.caps.len(),
        );
        step(out, "catalog", &text, took)?;
        for warning in &catalog.warnings {
            writeln!(out, "{warning}")?;
        }
    }
    Ok(started)
}

fn refuse(faults: &[Diagnostic], out: &mut impl Write) -> Result<ExitCode> {
    for fault in faults {
        writeln!(out, "{fault}\n")?;
    }
    writeln!(out, "the files have faults; nothing is served")?;
    Ok(ExitCode::FAILURE)
}

/// Writes one line about how it gets ready.
fn tell(out: &mut impl Write, what: &str, text: &str) -> Result<()> {
    writeln!(out, "  {what:<13} {text}")?;
    Ok(())
}

/// Writes one line about a step that took a while.
fn step(out: &mut impl Write, what: &str, text: &str, took: Stopwatch) -> Result<()> {
    let seconds = took.seconds();
    let took = if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1_000.0)
    } else {
        format!("{seconds:.1} s")
    };
    tell(out, what, &format!("{text} ({took})"))
}

fn progress(customers: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new(customers as u64);
    let style = ProgressStyle::with_template("  {prefix:<13} {bar:40} {human_pos} of {human_len}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_prefix("customers")
}

/// Reads the files again at each SIGHUP, where there is one.
fn reload_on_hangup(requests: mpsc::Sender<()>) -> Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangups = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                // A full channel is asked for already.
                let _ = requests.try_send(());
            }
        });
    }
    #[cfg(not(unix))]
    drop(requests);
    Ok(())
}

/// Listens for Ctrl-C, and for SIGTERM where there is one, from now on; the result is done when one came. To be called before
/// anybody is told that the server is ready: a signal that comes earlier ends the program as it ends any other.
#[cfg(unix)]
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
    })
}

/// Listens for Ctrl-C from now on; the result is done when it came.
#[cfg(windows)]
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupts = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        let _ = interrupts.recv().await;
    })
}
