//! What it costs that nothing is lost: `nbo bench --durability`.
//!
//! The same decisions and events without a journal, with one at the level `process`, and with one at the level `power`, in
//! one run; then many callers at once at the level `power`, each waiting for its own change to be on the disk; then a
//! checkpoint beside live calls; and a restart. The data lie in a folder of their own in the current one, which is removed
//! afterwards: what a sync costs depends on the disk.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::measure::{Meter, Timing, nanos_since, start};
use super::scorers::{Free, TREES};
use super::world::{self, NOW, World};
use super::{Options, Progress};
use crate::catalog::Catalog;
use crate::config::data::DataFolder;
use crate::domain::event::Event;
use crate::domain::ids::CustomerId;
use crate::domain::request::OffersRequest;
use crate::domain::symbol::Symbols;
use crate::domain::time::Millis;
use crate::engine::{Active, Engine, Limits, Recovery};
use crate::journal::Level;
use crate::server::durability::Durability;

/// Callers at once at the level `power`.
const CALLERS: usize = 512;
/// How long they call.
const CONCURRENT: Duration = Duration::from_secs(3);
/// How long live calls are timed without a checkpoint.
const ALONE: Duration = Duration::from_secs(2);

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct DurabilityReport {
    /// Customers in the store.
    pub customers: usize,
    /// Offers in the catalog.
    pub offers: usize,
    /// One caller, at each level.
    pub levels: Vec<LevelFigures>,
    /// Many callers at once.
    pub concurrent: ConcurrentFigures,
    /// A checkpoint.
    pub checkpoint: CheckpointFigures,
    /// Seconds until an engine with all customers is ready again.
    pub restart_seconds: f64,
}

/// What one caller feels at one level.
#[derive(Clone, Debug, Serialize)]
pub struct LevelFigures {
    /// The level; `none` without a journal.
    pub level: &'static str,
    /// Decisions from the cached list that reserve.
    pub decision: Timing,
    /// Events.
    pub event: Timing,
    /// Bytes of records for one decision, and for one event.
    pub bytes: (f64, f64),
}

/// What many callers get at the level `power`.
#[derive(Clone, Debug, Serialize)]
pub struct ConcurrentFigures {
    /// How many call at once.
    pub callers: usize,
    /// Events a second that are on the disk.
    pub rate: f64,
    /// From the call to the disk.
    pub event: Timing,
    /// Syncs a second.
    pub syncs: f64,
}

/// What a checkpoint takes, and what live decisions feel of it.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointFigures {
    /// How long it took.
    pub seconds: f64,
    /// Its size.
    pub bytes: u64,
    /// Decisions without one under way.
    pub alone: Timing,
    /// Decisions beside it.
    pub beside: Timing,
}

/// Measures everything.
///
/// # Errors
/// When the folder cannot be used, or something that the bench brings along does not fit together.
pub fn measure(options: &Options, progress: Progress<'_>) -> anyhow::Result<DurabilityReport> {
    let catalog = super::loaded(
        options.offers,
        options.conditions,
        Some((TREES.name, TREES.manifest)),
        &Symbols::default(),
    )?;
    let root = Removed(PathBuf::from(format!("nbo-bench-{}", std::process::id())));
    let mut levels = Vec::new();
    let mut concurrent = None;
    let mut last = None;
    for (name, level) in [
        ("power", Some(Level::Power)),
        ("none", None),
        ("process", Some(Level::Process)),
    ] {
        progress(&format!("durability {name}: {} customers", options.customers));
        let folder = root.0.join(name);
        let bench = Bench {
            world: World::fill(engine(&catalog, level, &folder)?, &catalog, options.customers)?,
            catalog: Arc::clone(&catalog),
            calls: options.calls.min(options.customers / 2),
        };
        progress(&format!("durability {name}"));
        levels.push(bench.level(name)?);
        if level == Some(Level::Power) {
            progress("durability power, many callers");
            concurrent = Some(bench.concurrent()?);
        }
        if level == Some(Level::Process) {
            progress("a checkpoint beside live calls");
            last = Some((bench.checkpoint(&folder)?, folder));
        }
    }
    // In the order of the promise.
    levels.rotate_left(1);
    let (checkpoint, folder) = last.ok_or_else(|| anyhow!("no level wrote a checkpoint"))?;
    progress("a restart");
    let began = start();
    let again = engine(&catalog, Some(Level::Process), &folder)?;
    let restart_seconds = seconds_since(began);
    anyhow::ensure!(
        again.customers() == options.customers,
        "{} customers came back",
        again.customers()
    );
    Ok(DurabilityReport {
        customers: options.customers,
        offers: options.offers,
        levels,
        concurrent: concurrent.ok_or_else(|| anyhow!("nobody called at once"))?,
        checkpoint,
        restart_seconds,
    })
}

/// A folder that is removed when the bench is over, however it ends.
pub(super) struct Removed(pub(super) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn seconds_since(began: std::time::Instant) -> f64 {
    nanos_since(began) as f64 / 1e9
}

/// Begins an engine with what a folder holds.
pub(super) fn engine(catalog: &Arc<Catalog>, level: Option<Level>, folder: &Path) -> anyhow::Result<Engine> {
    let active = Active {
        since: NOW,
        ..Active::new(Arc::clone(catalog), vec![Some(Free::shared())])
    };
    let Some(level) = level else {
        return Ok(Engine::new(active, Limits::default()));
    };
    let folder = DataFolder::take(folder)?;
    let (journal, _) = folder.journal(level)?;
    let recovery = Recovery::begin(journal, &folder.checkpoints(), &mut |_, _| {})?;
    let mut catalogs = |_: &_| Ok(Arc::clone(catalog));
    let (engine, _) = recovery.finish(active, Limits::default(), &mut catalogs, &mut |_, _| {})?;
    Ok(engine)
}

struct Bench {
    world: World,
    catalog: Arc<Catalog>,
    calls: usize,
}

impl Bench {
    fn level(&self, name: &'static str) -> anyhow::Result<LevelFigures> {
        let engine = &self.world.engine;
        let bytes = || engine.journal().map_or(0, |journal| journal.bytes());
        let active = engine.active();
        let requests = self.requests(0..self.calls, false);
        for request in &requests {
            engine.offers(&active, request, NOW)?;
        }
        let (mut decision, before) = (Meter::new()?, bytes());
        for request in &requests {
            let answer = decision.time(|| self.decide(&active, request))?;
            decision.answers.decision(&answer);
        }
        let of_decisions = bytes() - before;
        let events = self.events(self.calls..2 * self.calls);
        let (mut event, before) = (Meter::new()?, bytes());
        for (customer, events) in &events {
            event.time(|| {
                engine.record_events(&active, customer, events, NOW)?;
                self.settle()
            })?;
        }
        let of_events = bytes() - before;
        let calls = self.calls as f64;
        Ok(LevelFigures {
            level: name,
            decision: decision.finish(name),
            event: event.finish(name),
            bytes: (of_decisions as f64 / calls, of_events as f64 / calls),
        })
    }

    fn requests(&self, range: std::ops::Range<usize>, with_event: bool) -> Vec<OffersRequest> {
        let shuffled = world::shuffled(0, 1, self.world.customers.len());
        let numbers = shuffled.get(range).unwrap_or_default().iter();
        let request =
            |&number: &usize| world::request(&self.catalog, number, &self.world.customers[number], with_event);
        numbers.map(request).collect()
    }

    fn events(&self, range: std::ops::Range<usize>) -> Vec<(CustomerId, Vec<Event>)> {
        let requests = self.requests(range, true).into_iter();
        requests
            .filter_map(|request| Some((request.customer?, request.events)))
            .collect()
    }

    fn decide(&self, active: &Active, request: &OffersRequest) -> anyhow::Result<crate::domain::decision::Decision> {
        let answer = self.world.engine.offers(active, request, NOW + Millis::MINUTE)?;
        self.settle()?;
        Ok(answer)
    }

    /// Waits as a caller does.
    fn settle(&self) -> anyhow::Result<()> {
        Ok(self.world.engine.journal().map_or(Ok(()), |journal| journal.settle())?)
    }

    fn concurrent(&self) -> anyhow::Result<ConcurrentFigures> {
        let engine = &self.world.engine;
        let journal = engine.journal().context("there is no journal")?;
        let (active, durability) = (engine.active(), Durability::new(engine));
        let (syncs, began) = (journal.syncs(), start());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let customers = &self.world.customers;
        let template = self.events(0..1).pop().context("there is no customer")?.1;
        let caller = |number: usize| {
            let (active, durability, template) = (&active, &durability, &template);
            async move {
                let mut took = Vec::new();
                let mut turn = 0_u64;
                while began.elapsed() < CONCURRENT {
                    let customer = &customers[(number + CALLERS * usize::try_from(turn)?) % customers.len()];
                    let id_hash = turn << 32 | number as u64 | 1 << 31;
                    let events: Vec<Event> = template
                        .iter()
                        .map(|event| Event {
                            id_hash,
                            ..event.clone()
                        })
                        .collect();
                    let called = start();
                    engine.record_events(active, customer, &events, NOW)?;
                    durability.settle().await?;
                    took.push(nanos_since(called));
                    turn += 1;
                }
                anyhow::Ok(took)
            }
        };
        let mut event = Meter::new()?;
        let all = runtime.block_on(futures_all((0..CALLERS).map(caller)));
        let seconds = seconds_since(began);
        for took in all {
            took?.into_iter().for_each(|nanos| event.note(nanos));
        }
        let event = event.finish("event, on the disk");
        Ok(ConcurrentFigures {
            callers: CALLERS,
            rate: event.calls as f64 / seconds,
            event,
            syncs: (journal.syncs() - syncs) as f64 / seconds,
        })
    }

    fn checkpoint(&self, folder: &Path) -> anyhow::Result<CheckpointFigures> {
        let active = self.world.engine.active();
        let requests = self.requests(0..self.calls, false);
        let live = |name: &str, is_over: &dyn Fn() -> bool| -> anyhow::Result<Timing> {
            let mut meter = Meter::new()?;
            for request in requests.iter().cycle() {
                if is_over() {
                    break;
                }
                meter.time(|| self.decide(&active, request))?;
            }
            Ok(meter.finish(name))
        };
        let began = start();
        let alone = live("decisions alone", &|| began.elapsed() > ALONE)?;
        let is_over = AtomicBool::new(false);
        let folder = folder.join("checkpoints");
        std::thread::scope(|scope| {
            let taking = scope.spawn(|| {
                let began = start();
                let taken = self.world.engine.checkpoint(&folder, u64::MAX);
                is_over.store(true, Ordering::Relaxed);
                (seconds_since(began), taken)
            });
            let beside = live("decisions beside a checkpoint", &|| is_over.load(Ordering::Relaxed))?;
            let (seconds, taken) = taking.join().map_err(|_| anyhow!("taking the checkpoint died"))?;
            Ok(CheckpointFigures {
                seconds,
                bytes: taken?.map_or(0, |taken| taken.bytes),
                alone,
                beside,
            })
        })
    }
}

/// Waits for all of some futures at once.
async fn futures_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_ready = true;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}

impl DurabilityReport {
    /// Returns the report as tables in Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} customers, {} offers, one caller; µs a call\n\n\
             | durability | decision p50 | p99 | event p50 | p99 | bytes a decision | bytes an event |\n\
             |---|---|---|---|---|---|---|\n",
            self.customers, self.offers
        );
        let us = |nanos: u64| nanos as f64 / 1e3;
        for LevelFigures {
            level,
            decision,
            event,
            bytes,
        } in &self.levels
        {
            let _ = writeln!(
                text,
                "| {level} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} |",
                us(decision.p50_ns),
                us(decision.p99_ns),
                us(event.p50_ns),
                us(event.p99_ns),
                bytes.0,
                bytes.1
            );
        }
        let ConcurrentFigures {
            callers,
            rate,
            event,
            syncs,
        } = &self.concurrent;
        let CheckpointFigures {
            seconds,
            bytes,
            alone,
            beside,
        } = &self.checkpoint;
        let _ = write!(
            text,
            "\n`power` with {callers} callers at once: {rate:.0} events a second on the disk, {syncs:.0} syncs a second, p50 {:.0} µs, \
             p99 {:.0} µs\n\
             a checkpoint: {seconds:.2} s, {:.1} MB; decisions meanwhile p50 {:.1} µs, p99 {:.1} µs (alone {:.1} and {:.1})\n\
             a restart: {:.2} s until all customers are there\n",
            us(event.p50_ns),
            us(event.p99_ns),
            *bytes as f64 / 1e6,
            us(beside.p50_ns),
            us(beside.p99_ns),
            us(alone.p50_ns),
            us(alone.p99_ns),
            self.restart_seconds
        );
        text
    }
}
