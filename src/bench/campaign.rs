//! How fast a campaign run is, what memory it takes, and what live traffic feels of it: `nbo bench --campaign`.
//!
//! Runs go over everybody in the store, with the linear model, on as many threads as there are cores, and put every
//! answer into the message that a server would send. Live calls fall due at a fixed rate on a thread of their own and are
//! timed from the moment at which they were due, first alone and then beside one run after the other.
//!
//! The last run has all that there is: it reserves within limits of its own, within volumes of the catalog and within the caps,
//! under a name by which it could go on after a break, and every reservation is in a journal in a folder of the current one.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;

use super::durability::{self, Removed};
use super::measure::{self, Meter, Timing};
use super::scorers::{Free, LINEAR};
use super::world::{self, NOW, World};
use super::{Options, Progress, catalog, memory};
use crate::campaign::{self, Asked, Audience, Batch, Caller, Position, Stopped, Summary};
use crate::catalog::Catalog;
use crate::decision::assign::{Limit, Limits};
use crate::domain::decision::Decision;
use crate::domain::request::{OffersRequest, PlacementRequest, RequestKey};
use crate::domain::symbol::Symbols;
use crate::domain::time::{Millis, Timestamp};
use crate::engine::Active;
use crate::journal::Level;
use crate::model::Scorer;
use crate::server::convert::campaigns::customer_offers;
use crate::server::wire::CustomerOffers;

/// Live calls a second.
const LIVE_RATE: u32 = 1_000;
/// Volumes of the last run: two that it uses up, and one that it does not.
const VOLUMES: &str = "volumes:
  - {id: loans, at_most: 3000, of: delivered, per: month, groups: [loan]}
  - {id: one_offer, at_most: 500, of: decided, per: day, offers: [offer_00009]}
  - {id: mail, at_most: 100000000, of: delivered, per: day, channels: [campaign]}
";
/// How long live calls are timed alone.
const ALONE: Duration = Duration::from_secs(3);

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct CampaignReport {
    /// Customers in the store.
    pub customers: usize,
    /// Offers in the catalog.
    pub offers: usize,
    /// Threads of a run.
    pub threads: usize,
    /// Whether ONNX Runtime scored; without it the model costs nothing.
    pub with_model: bool,
    /// The runs.
    pub runs: Vec<RunFigures>,
    /// Live calls alone and beside runs.
    pub live: Vec<Timing>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct RunFigures {
    /// What it was.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// Customers a second.
    pub rate: f64,
    /// Microseconds of work for each customer, over all threads; unknown where the system does not tell.
    pub work_us: Option<f64>,
    /// By how many bytes the process was larger at most than before; unknown where the system does not tell.
    pub grown_bytes: Option<u64>,
    /// The sum of the priorities that were given, to compare with another release.
    pub objective: f64,
    /// How far what was given lies below the bound, as a share; with limits only.
    pub gap: Option<f64>,
}

/// Measures everything.
///
/// # Errors
/// When something that the bench brings along does not fit together.
pub fn measure(options: &Options, progress: Progress<'_>) -> anyhow::Result<CampaignReport> {
    progress(&format!("{} customers", options.customers));
    let catalog = super::loaded(
        options.offers,
        options.conditions,
        Some((LINEAR.name, LINEAR.manifest)),
        &Symbols::default(),
    )?;
    let world = World::new(&catalog, options.customers)?;
    let bench = Bench::new(world, catalog);
    let mut runs = Vec::new();
    for (name, asks) in [
        ("preview, every list made", Asks::default()),
        (
            "preview, lists as cached",
            Asks {
                cached: true,
                ..Asks::default()
            },
        ),
        (
            "preview within 5 limits, every list made",
            Asks {
                limits: true,
                ..Asks::default()
            },
        ),
        (
            "reserving, every list made",
            Asks {
                reserve: true,
                ..Asks::default()
            },
        ),
    ] {
        progress(name);
        runs.push(bench.run(name, asks)?);
    }
    progress("live calls alone and beside runs");
    let live = bench.live()?;
    let (threads, with_model) = (bench.threads, bench.with_model);
    drop(bench);
    let name = "reserving within 5 limits and 3 volumes, in the journal, every list made";
    progress(name);
    runs.push(with_all(options, name)?);
    Ok(CampaignReport {
        customers: options.customers,
        offers: options.offers,
        threads,
        with_model,
        runs,
        live,
    })
}

/// Measures a run on a store of its own, with all that can hold it up.
fn with_all(options: &Options, name: &str) -> anyhow::Result<RunFigures> {
    let mut files = catalog::files(options.offers, options.conditions, Some((LINEAR.name, LINEAR.manifest)));
    files.rules.insert("bench/volumes.yaml".to_owned(), VOLUMES.to_owned());
    let catalog = super::loaded_from(&files, &Symbols::default())?;
    let root = Removed(format!("nbo-bench-campaign-{}", std::process::id()).into());
    let engine = durability::engine(&catalog, Some(Level::Process), &root.0)?.0;
    let bench = Bench::new(World::fill(engine, &catalog, options.customers)?, catalog);
    let asks = Asks {
        limits: true,
        reserve: true,
        named: true,
        ..Asks::default()
    };
    bench.run(name, asks)
}

#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is so or not by itself")]
struct Asks {
    cached: bool,
    limits: bool,
    reserve: bool,
    /// Whether a repeat would be recognised.
    named: bool,
}

struct Bench {
    world: World,
    catalog: Arc<Catalog>,
    model: Arc<dyn Scorer>,
    /// Whether ONNX Runtime scores.
    with_model: bool,
    threads: usize,
}

impl Bench {
    fn new(world: World, catalog: Arc<Catalog>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // A session for each thread of a run, and one for live calls.
        let loaded = LINEAR.load(threads + 1, &catalog);
        Self {
            with_model: loaded.is_ok(),
            model: loaded.unwrap_or_else(|_| Free::shared()),
            world,
            catalog,
            threads,
        }
    }

    /// Puts the catalog in force anew, so that no cached list holds any more.
    fn forget_lists(&self) -> anyhow::Result<()> {
        let active = Active::new(Arc::clone(&self.catalog), vec![Some(Arc::clone(&self.model))]);
        Ok(self.world.engine.activate(active)?)
    }

    /// Lets everybody ask as the run will, so that there are as many cached lists as the cache takes: a run leaves none.
    fn cache_lists(&self, asks: Asks) -> anyhow::Result<()> {
        let active = self.world.engine.active();
        let caller = Counting {
            asks,
            most_bytes: AtomicU64::new(0),
        };
        let asked = caller.ask(Arc::clone(&active), NOW);
        let mut request = asked.map_err(|()| anyhow!("the bench has no request"))?.request;
        for customer in &self.world.customers {
            request.customer = Some(customer.clone());
            self.world.engine.offers(&active, &request, NOW)?;
        }
        Ok(())
    }

    fn whole(&self, asks: Asks) -> anyhow::Result<(Summary, u64)> {
        let caller = Counting {
            asks,
            most_bytes: AtomicU64::new(0),
        };
        let options = campaign::Options {
            customers_max: None,
            threads: self.threads,
            start: Position::default(),
        };
        let summary = campaign::run(&self.world.engine, &caller, &Audience::Everyone, &options);
        let summary = summary.map_err(|stopped: Stopped<()>| anyhow!("the run ended: {stopped:?}"))?;
        Ok((summary, caller.most_bytes.into_inner()))
    }

    fn run(&self, name: &str, asks: Asks) -> anyhow::Result<RunFigures> {
        self.forget_lists()?;
        if asks.cached {
            self.cache_lists(asks)?;
        }
        let before = memory::resident_bytes();
        let (start, worked_before) = (measure::start(), measure::worked());
        let (summary, most_bytes) = self.whole(asks)?;
        let seconds = start.elapsed().as_secs_f64();
        let worked = measure::worked()
            .zip(worked_before)
            .map(|(after, before)| after.saturating_sub(before));
        let customers = summary.totals.customers as f64;
        let gap = |bound: f64| 1.0 - summary.totals.objective / bound;
        Ok(RunFigures {
            name: name.to_owned(),
            seconds,
            rate: customers / seconds,
            work_us: worked.map(|worked| worked.as_secs_f64() * 1e6 / customers),
            grown_bytes: before.map(|before| most_bytes.saturating_sub(before)),
            objective: summary.totals.objective,
            gap: summary.objective_bound.map(gap),
        })
    }

    fn live(&self) -> anyhow::Result<Vec<Timing>> {
        self.forget_lists()?;
        let alone = AtomicBool::new(false);
        let timing = std::thread::scope(|scope| {
            let calls = scope.spawn(|| self.calls("live calls alone", &alone, ALONE));
            calls.join().map_err(|_| anyhow!("the live calls broke"))?
        })?;
        let over = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            let calls = scope.spawn(|| self.calls("live calls beside runs", &over, Duration::from_mins(1)));
            let begun = measure::start();
            let mut runs = Ok(());
            while runs.is_ok() && begun.elapsed() < ALONE {
                self.forget_lists()?;
                runs = self.whole(Asks::default()).map(drop);
            }
            over.store(true, Ordering::Relaxed);
            let calls = calls.join().map_err(|_| anyhow!("the live calls broke"))?;
            runs.and(calls)
        })?;
        Ok(vec![timing, beside])
    }

    /// Asks for one customer after the other, each when it is due.
    fn calls(&self, name: &str, over: &AtomicBool, longest: Duration) -> anyhow::Result<Timing> {
        let mut meter = Meter::new()?;
        let begun = measure::start();
        for (number, &customer) in world::shuffled(0, 1, self.world.customers.len())
            .iter()
            .cycle()
            .enumerate()
        {
            let due = Duration::from_secs(1) * u32::try_from(number)? / LIVE_RATE;
            if due >= longest || over.load(Ordering::Relaxed) {
                break;
            }
            while let Some(ahead) = due.checked_sub(begun.elapsed()).filter(|ahead| !ahead.is_zero()) {
                std::thread::park_timeout(ahead);
            }
            let active = self.world.engine.active();
            let request = world::request(&self.catalog, customer, &self.world.customers[customer], false);
            let now = NOW + Millis::new(i64::try_from(number)?);
            self.world.engine.offers(&active, &request, now)?;
            let late = begun.elapsed().saturating_sub(due);
            meter.note(u64::try_from(late.as_nanos())?);
        }
        Ok(meter.finish(name))
    }
}

/// Puts every answer into its message and drops it.
struct Counting {
    asks: Asks,
    most_bytes: AtomicU64,
}

impl Caller for Counting {
    type Answer = CustomerOffers;
    type Fault = ();

    fn now(&self) -> Timestamp {
        NOW
    }

    fn ask(&self, active: Arc<Active>, _: Timestamp) -> Result<Asked, ()> {
        let catalog = &active.catalog;
        let channel = catalog.channels.len() - 1;
        let request = OffersRequest {
            channel,
            placements: vec![PlacementRequest { placement: 1, count: 3 }],
            context: vec![crate::domain::value::Value::Category(catalog.channels[channel].symbol)],
            preview: !self.asks.reserve,
            ..world::request(
                catalog,
                0,
                &crate::sim::population::customer_id(1).map_err(drop)?,
                false,
            )
        };
        let group = |at: usize| {
            catalog
                .offers
                .iter()
                .map(|offer| offer.group == at)
                .collect::<Vec<bool>>()
        };
        let one = |at: usize| (0..catalog.offers.len()).map(|offer| offer == at).collect();
        let limits = if self.asks.limits {
            let limit = |offers, at_most, at_least| Limit {
                offers,
                at_most: Some(at_most),
                at_least,
            };
            vec![
                limit(group(0), 5_000, 0),
                limit(group(1), 10_000, 0),
                limit(group(3), 2_000, 500),
                limit(one(2), 100, 0),
                limit(one(9), 1_000, 0),
            ]
        } else {
            Vec::new()
        };
        Ok(Asked {
            request,
            segment: None,
            limit_names: limits.iter().map(|_| "a limit of the bench".into()).collect(),
            limits: Limits::new(limits, catalog.offers.len()),
            once: self.asks.named.then_some(RequestKey { id: 1, body: 1 }),
            active,
        })
    }

    fn present(&self, active: &Active, request: &OffersRequest, decision: &Decision) -> Option<CustomerOffers> {
        customer_offers(decision, request, active, true)
    }

    fn emit(&self, batch: Batch<CustomerOffers>) -> bool {
        // Asking the system takes a while, and the memory does not change by the batch.
        if batch.position.customers % 16_384 < 256
            && let Some(bytes) = memory::resident_bytes()
        {
            self.most_bytes.fetch_max(bytes, Ordering::Relaxed);
        }
        drop(batch);
        true
    }

    fn is_gone(&self) -> bool {
        false
    }
}

impl CampaignReport {
    /// Returns the figures as text.
    #[must_use]
    pub fn table(&self) -> String {
        let model = if self.with_model {
            "ONNX logistic model"
        } else {
            "no ONNX Runtime: a model that costs nothing"
        };
        let mut text = format!(
            "campaign runs: {} customers, {} offers, {} threads, {model}\n",
            self.customers, self.offers, self.threads
        );
        for run in &self.runs {
            let work = run
                .work_us
                .map_or(String::new(), |work| format!(", {work:.1} us of work each"));
            let grown = run
                .grown_bytes
                .map_or(String::new(), |bytes| format!(", {} MB more at most", bytes >> 20));
            let gap = run
                .gap
                .map_or(String::new(), |gap| format!(", {:.4} % below the bound", gap * 100.0));
            // Writing into a text cannot fail.
            let _ = writeln!(
                text,
                "{:>10.0} customers a second  {}{work}{grown}{gap}",
                run.rate, run.name
            );
        }
        for live in &self.live {
            let micros = |nanos: u64| nanos as f64 / 1_000.0;
            let _ = writeln!(
                text,
                "{}: {} at {LIVE_RATE} a second, p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us",
                live.name,
                live.calls,
                micros(live.p50_ns),
                micros(live.p99_ns),
                micros(live.p999_ns)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_customer_is_ranked_in_every_run_of_the_bench() {
        let options = Options {
            customers: 600,
            offers: 14,
            conditions: catalog::Conditions::default(),
            calls: 8,
            ..Options::default()
        };
        let report = measure(&options, &|_| ()).unwrap();
        assert_eq!((report.runs.len(), report.live.len()), (5, 2));
        assert!(report.runs.iter().all(|run| run.rate > 0.0));
        for limited in [2, 4] {
            let gap = report.runs[limited].gap.unwrap();
            assert!((-1e-9..0.05).contains(&gap), "{gap}");
        }
        assert!(report.table().contains("live calls beside runs"));
    }
}
