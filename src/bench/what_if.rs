//! How fast recorded traffic is decided again: `nbo bench --what-if`.
//!
//! Every customer asks three times, an hour apart, and half of what is shown first is seen; the records lie in a folder of their own
//! in the current one, which is removed afterwards. Then a changed catalog, with other levers and a lower cap, is tried on all of them,
//! with the linear model and without any. A recorded decision is made twice, by the catalog of then and by the other one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::ensure;
use serde::Serialize;

use super::catalog::Conditions;
use super::measure::{nanos_since, start, worked};
use super::scorers::{Files, LINEAR};
use super::world::{self, NOW, World};
use super::{Options, Progress, catalog};
use crate::catalog::{Catalog, load};
use crate::config::data::DataFolder;
use crate::config::past::Past;
use crate::domain::contact::Counted;
use crate::domain::entry::OutcomeReport;
use crate::domain::symbol::Symbols;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::{Active, Engine, Limits, Recovery};
use crate::journal::Level;
use crate::model::Scorer;
use crate::whatif::{Carry, Setting, Traffic, simulate};

/// How often each customer asks.
const ROUNDS: i64 = 3;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct WhatIfReport {
    /// Customers in the store.
    pub customers: usize,
    /// Offers in the catalog.
    pub offers: usize,
    /// Threads that decide.
    pub threads: usize,
    /// The simulations.
    pub runs: Vec<RunFigures>,
}

/// One simulation.
#[derive(Clone, Debug, Serialize)]
pub struct RunFigures {
    /// What it was.
    pub name: String,
    /// How many recorded decisions were made again.
    pub decisions: u64,
    /// How many seconds that took.
    pub seconds: f64,
    /// Recorded decisions a second, each made by both catalogs.
    pub rate: f64,
    /// How many microseconds of a core each took, the reading included, where the system tells: what neighbours do not change.
    pub cpu_us: Option<f64>,
    /// How many of them show something else with the changed catalog.
    pub changed: u64,
}

/// Measures everything.
///
/// # Errors
/// When the folder cannot be used, there is no ONNX Runtime, or a decision is not reproduced.
pub fn measure(options: &Options, progress: Progress<'_>) -> anyhow::Result<WhatIfReport> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let root = Removed(PathBuf::from(format!("nbo-bench-{}", std::process::id())));
    let mut runs = Vec::new();
    for (name, model) in [("no model", None), ("linear model", Some(LINEAR))] {
        progress(&format!("{name}: recording traffic"));
        let bench = Bench {
            model,
            threads,
            folder: root.0.join(name.replace(' ', "-")),
            offers: options.offers,
        };
        bench.record(options.customers)?;
        for (what, carry) in [("carried", Carry::Shown), ("as recorded", Carry::Recorded)] {
            let name = format!("{name}, history {what}");
            progress(&name);
            runs.push(bench.run(name.clone(), carry)?);
        }
    }
    Ok(WhatIfReport {
        customers: options.customers,
        offers: options.offers,
        threads,
        runs,
    })
}

/// A folder that is removed when the bench is over, however it ends.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Bench {
    model: Option<Files>,
    threads: usize,
    folder: PathBuf,
    offers: usize,
}

impl Bench {
    fn scorers(&self, catalog: &Catalog) -> anyhow::Result<Vec<Option<Arc<dyn Scorer>>>> {
        self.model
            .iter()
            .map(|files| Ok(Some(files.load(self.threads, catalog)?)))
            .collect()
    }

    fn catalog(&self, previous: &Symbols, edit: impl Fn(&mut String)) -> anyhow::Result<Arc<Catalog>> {
        let manifest = self.model.map(|files| (files.name, files.manifest));
        let mut files = catalog::files(self.offers, Conditions::Two, manifest);
        files.rules.values_mut().for_each(edit);
        let loaded = load(&files, previous);
        loaded
            .map(Arc::new)
            .map_err(|faults| anyhow::anyhow!("the catalog of the benches is faulty: {faults:?}"))
    }

    fn record(&self, customers: usize) -> anyhow::Result<()> {
        let catalog = self.catalog(&Symbols::default(), |_| {})?;
        let active = Active {
            since: NOW,
            ..Active::new(Arc::clone(&catalog), self.scorers(&catalog)?)
        };
        let world = World::fill(engine(&self.folder, active)?, &catalog, customers)?;
        let active = world.engine.active();
        for round in 0..ROUNDS {
            let now = NOW + Millis::HOUR.times(round);
            for (number, customer) in world.customers.iter().enumerate() {
                let request = world::request(&catalog, number, customer, false);
                let decision = world.engine.offers(&active, &request, now)?;
                let first = decision.placements.iter().flat_map(|filled| &filled.offers).next();
                if let (Some(id), Some(first), true) = (decision.id, first, number % 2 == 0) {
                    let report = OutcomeReport {
                        decision: id.number,
                        offer: catalog.offers[first.offer].symbol,
                        placement: None,
                        outcome: Counted::Seen,
                        at: now,
                    };
                    world.engine.record_outcome(&active, id.customer, &report, now)?;
                }
            }
        }
        Ok(())
    }

    fn run(&self, name: String, carry: Carry) -> anyhow::Result<RunFigures> {
        let past = Past::open(&self.folder)?;
        let after = self.catalog(&past.symbols(), |text| {
            *text = text
                .replace("at_most: 3, of: seen", "at_most: 2, of: seen")
                .replace("lever: 1.7", "lever: 2.7");
        })?;
        let scorers = self.scorers(&after)?;
        let after = Active::new(after, scorers);
        let build = |activation: &crate::engine::Activation| {
            let symbols = Symbols::from(activation.symbols.clone());
            let active = || {
                let catalog = self.catalog(&symbols, |_| {})?;
                let scorers = self.scorers(&catalog)?;
                anyhow::Ok(Active::new(catalog, scorers))
            };
            active().map_err(|error| error.to_string())
        };
        let setting = Setting {
            from: Timestamp::FAR_PAST,
            to: Timestamp::FAR_FUTURE,
            carry,
            threads: self.threads,
        };
        let traffic = Traffic {
            activations: past.activations(),
            keys: past.keys(),
            read: &mut |visit| past.read(visit),
            build: &build,
        };
        let (began, cpu_before) = (start(), worked());
        let report = simulate(setting, traffic, &after, &mut |_| {})?;
        let seconds = nanos_since(began) as f64 / 1e9;
        let cpu = worked()
            .zip(cpu_before)
            .map(|(after, before)| after.saturating_sub(before).as_secs_f64());
        let decisions = &report.decisions;
        ensure!(
            decisions.not_reproduced == 0 && decisions.left_out.is_empty(),
            "decisions do not come out the same again: {decisions:?}"
        );
        Ok(RunFigures {
            name,
            decisions: decisions.made,
            seconds,
            rate: decisions.made as f64 / seconds,
            cpu_us: cpu.map(|seconds| seconds * 1e6 / decisions.made as f64),
            changed: decisions.list_changed,
        })
    }
}

fn engine(folder: &Path, active: Active) -> anyhow::Result<Engine> {
    let folder = DataFolder::take(folder)?;
    let (journal, _) = folder.journal(Level::Process)?;
    let recovery = Recovery::begin(journal, &folder.checkpoints(), &mut |_, _| {})?;
    let mut catalogs = |_: &_| Err("there is nothing to recover".to_owned());
    let (engine, _) = recovery.finish(active, Limits::default(), &mut catalogs, &mut |_, _| {})?;
    Ok(engine)
}

impl WhatIfReport {
    /// Returns the report as a table in Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} customers, {} offers, {} threads\n\n\
             | recorded traffic | recorded decisions a second | made a second, by both catalogs | µs of a core each | recorded | changed |\n\
             |---|---:|---:|---:|---:|---:|\n",
            self.customers, self.offers, self.threads
        );
        for run in &self.runs {
            let _ = writeln!(
                text,
                "| {} | {:.0} | {:.0} | {} | {} | {} |",
                run.name,
                run.rate,
                2.0 * run.rate,
                run.cpu_us.map_or_else(|| "?".to_owned(), |us| format!("{us:.1}")),
                run.decisions,
                run.changed
            );
        }
        text
    }
}
