//! How long a restart takes, and how much memory: `nbo bench --restart`.
//!
//! Everything runs in processes of its own, so that what one used counts for no other: one fills a folder and takes a checkpoint, one
//! starts from it; one writes as many records behind the checkpoint as there ever are before the next one is due, and one starts
//! from both. The folder lies in the current one, and is removed afterwards.

use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::durability::{Removed, engine};
use super::measure::{nanos_since, start};
use super::scorers::TREES;
use super::world::{self, NOW, World};
use super::{Options, Progress, memory};
use crate::catalog::Catalog;
use crate::domain::event::Event;
use crate::domain::symbol::Symbols;
use crate::journal::Level;
use crate::server::durability::{CHECKPOINT_AFTER_BYTES, due_after};
use crate::sim::population;

/// What one process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Fills the folder and takes a checkpoint.
    Fill,
    /// Starts from what there is.
    Open,
    /// Starts, and writes records until the next checkpoint is due.
    Record,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Fill => "fill",
            Self::Open => "open",
            Self::Record => "record",
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct RestartReport {
    /// Customers in the store.
    pub customers: usize,
    /// The size of the checkpoint, in bytes.
    pub checkpoint_bytes: u64,
    /// From the checkpoint alone.
    pub checkpoint: RestartFigures,
    /// With as many records behind it as there may be.
    pub records: RestartFigures,
}

/// One restart.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RestartFigures {
    /// From the start of the process until all customers are there.
    pub seconds: f64,
    /// The most memory the process had, in bytes, where the system tells.
    pub memory: Option<u64>,
    /// How many records were folded.
    pub records: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

/// What a process says when it is ready.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Ready {
    customers: usize,
    checkpoint_bytes: u64,
    memory: Option<u64>,
    records: u64,
    bytes: u64,
}

/// Measures both.
///
/// # Errors
/// When a process fails, or not all customers come back.
pub fn measure(options: &Options, progress: Progress<'_>) -> anyhow::Result<RestartReport> {
    let root = Removed(PathBuf::from(format!("nbo-bench-{}", std::process::id())));
    let run = |part: Part, what: &str| {
        progress(&format!("{what}: {} customers", options.customers));
        process(options, part, &root.0)
    };
    let (_, filled) = run(Part::Fill, "a checkpoint")?;
    let (alone, ready) = run(Part::Open, "a restart")?;
    let checkpoint = figures(alone, &ready);
    run(Part::Record, "records")?;
    let (with_records, ready) = run(Part::Open, "a restart with records")?;
    Ok(RestartReport {
        customers: options.customers,
        checkpoint_bytes: filled.checkpoint_bytes,
        checkpoint,
        records: figures(with_records, &ready),
    })
}

const fn figures(seconds: f64, ready: &Ready) -> RestartFigures {
    RestartFigures {
        seconds,
        memory: ready.memory,
        records: ready.records,
        bytes: ready.bytes,
    }
}

/// Runs one part in a process of its own; returns how long it took to be ready, and what it said then.
fn process(options: &Options, part: Part, folder: &Path) -> anyhow::Result<(f64, Ready)> {
    let began = start();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["bench", "--restart-part", part.name(), "--restart-folder"])
        .arg(folder)
        .args(["--customers", &options.customers.to_string()])
        .args(["--offers", &options.offers.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("a process without output")?).read_line(&mut line)?;
    let seconds = nanos_since(began) as f64 / 1e9;
    anyhow::ensure!(
        child.wait()?.success(),
        "the process that was to {} failed",
        part.name()
    );
    let ready: Ready = serde_json::from_str(&line).with_context(|| format!("`{line}`"))?;
    anyhow::ensure!(
        ready.customers == options.customers,
        "{} customers came back",
        ready.customers
    );
    Ok((seconds, ready))
}

/// Does one part, and says so in a line when it is ready, before it clears away.
///
/// # Errors
/// When the folder cannot be used.
pub fn part(options: &Options, part: Part, folder: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let catalog = super::loaded(
        options.offers,
        options.conditions,
        Some((TREES.name, TREES.manifest)),
        &Symbols::default(),
    )?;
    let (engine, recovered) = engine(&catalog, Some(Level::Process), folder)?;
    let mut ready = Ready {
        records: recovered.records,
        bytes: recovered.bytes,
        ..Ready::default()
    };
    let engine = match part {
        Part::Fill => {
            let world = World::fill(engine, &catalog, options.customers)?;
            let taken = world.engine.checkpoint(&folder.join("checkpoints"), u64::MAX)?;
            ready.checkpoint_bytes = taken.map_or(0, |taken| taken.bytes);
            world.engine
        }
        Part::Open => engine,
        Part::Record => {
            record(&engine, &catalog, options.customers, folder)?;
            engine
        }
    };
    ready.customers = engine.customers();
    ready.memory = memory::resident_bytes_max();
    writeln!(out, "{}", serde_json::to_string(&ready)?)?;
    Ok(out.flush()?)
}

/// Writes an event and a decision of one customer after the other, until a checkpoint would be due.
fn record(
    engine: &crate::engine::Engine,
    catalog: &Arc<Catalog>,
    customers: usize,
    folder: &Path,
) -> anyhow::Result<()> {
    let newest = crate::journal::checkpoint::list(&folder.join("checkpoints"))?;
    let taken = newest.first().context("there is no checkpoint")?;
    let until = due_after(CHECKPOINT_AFTER_BYTES, std::fs::metadata(&taken.path)?.len());
    let (active, journal) = (engine.active(), engine.journal().context("there is no journal")?);
    for turn in 0_usize.. {
        if journal.bytes() >= until {
            break;
        }
        // Neighbours in turn lie far apart in memory.
        let number = turn * 7_919 % customers;
        let customer = population::customer_id(number + 1)?;
        let mut request = world::request(catalog, number, &customer, true);
        let events: Vec<Event> = std::mem::take(&mut request.events)
            .into_iter()
            .map(|event| Event {
                id_hash: turn as u64 | 1 << 31,
                ..event
            })
            .collect();
        engine.record_events(&active, &customer, &events, NOW)?;
        engine.offers(&active, &request, NOW)?;
    }
    Ok(())
}

impl RestartReport {
    /// Returns the report as a table in Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let row = |name: &str, figures: &RestartFigures| {
            let gigabytes = figures.memory.map(|bytes| format!("{:.2}", bytes as f64 / 1e9));
            format!(
                "| {name} | {:.1} | {} | {} | {:.0} |\n",
                figures.seconds,
                gigabytes.as_deref().unwrap_or("?"),
                figures.records,
                figures.bytes as f64 / 1e6
            )
        };
        format!(
            "{} customers, a checkpoint of {:.0} MB\n\n\
             | restart | seconds until ready | most memory, GB | records folded | of MB |\n\
             |---|---:|---:|---:|---:|\n{}{}",
            self.customers,
            self.checkpoint_bytes as f64 / 1e6,
            row("from the checkpoint", &self.checkpoint),
            row("with as many records as there may be", &self.records)
        )
    }
}
