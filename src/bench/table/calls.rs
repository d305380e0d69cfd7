//! The part of the table that goes over gRPC: what `nbo load` measures, against a server of the bench catalog that keeps everything
//! in memory alone.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::report::{Goal, Row};
use crate::bench::Progress;
use crate::bench::catalog::{self, Conditions};
use crate::bench::durability::Removed;
use crate::bench::scorers::TREES;
use crate::load::calls::{Call, EVENTS_PER_BATCH};
use crate::load::figures::{Measured, Paced, Report};
use crate::load::own::{OwnServer, threads_beside_the_generator};
use crate::load::windows::{OfWindows, P99_US_WANTED};
use crate::load::{self, Rate, Settings};
use crate::server::client::Credentials;

/// The kinds of calls, in the order of the table.
const CALLS: [(Call, &str); 6] = [
    (Call::Floor, "gRPC, a call that does nothing"),
    (Call::OffersAnew, "gRPC, nothing cached, 100 offers and trees"),
    (Call::OffersCached, "gRPC, cached list"),
    (Call::Offers, "gRPC, an event and the list ranked anew, in memory"),
    (Call::Events, "gRPC, an event recorded, in memory"),
    (Call::EventBatches, "gRPC, events in batches of 500, in memory"),
];

/// How many offers there are.
const OFFERS: usize = 100;

/// What was measured over gRPC.
pub(super) struct Calls {
    /// The top rates, and the latencies at half of each.
    tops: Report,
    /// The latencies when all kinds fall due at the same rate, which none has to wait at.
    same_rate: Report,
}

/// What is measured over gRPC, and how long.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    /// `nbo`, which serves.
    pub(super) program: &'a Path,
    /// Customers of the server.
    pub(super) customers: usize,
    /// How long each kind is measured each time.
    pub(super) duration: Duration,
    /// Calls that fall due in a second where all kinds are compared.
    pub(super) rate: f64,
}

impl Calls {
    /// Starts a server and measures each kind of call.
    ///
    /// # Errors
    /// When no server can be started or reached. Which calls failed is told in the notes.
    pub(super) fn measure(plan: Plan<'_>, progress: Progress<'_>) -> anyhow::Result<Self> {
        let folder = Removed(std::env::temp_dir().join(format!("nbo-table-{}", std::process::id())));
        let (rules, models) = (folder.0.join("rules"), folder.0.join("models"));
        write(&rules, &models)?;
        let more: [&OsStr; 6] = [
            "--rules".as_ref(),
            rules.as_ref(),
            "--models".as_ref(),
            models.as_ref(),
            "--durability".as_ref(),
            "none".as_ref(),
        ];
        progress("a server");
        let threads = threads_beside_the_generator();
        let server = OwnServer::start_with(plan.program, plan.customers, threads, &more);
        let server = server.context("cannot start a server")?;
        let tell = |step: load::Step| {
            let call = step.call.map_or("warming", Call::name);
            progress(&format!("gRPC, step {} of {}: {call}", step.number, step.of));
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = |rate, name| {
            let settings = settings(server.address(), plan, rate, name);
            runtime.block_on(load::run(&settings, tell))
        };
        Ok(Self {
            tops: run(Rate::Half, "table-tops")?,
            same_rate: run(Rate::Fixed(plan.rate), "table-same-rate")?,
        })
    }

    /// Returns the p50 of the call that does nothing, in microseconds, at the rate of all.
    pub(super) fn floor_us(&self) -> Option<f64> {
        Some(of(&self.same_rate, Call::Floor)?.paced.as_ref()?.latency_us.p50)
    }

    /// Says which calls failed, and the p99 of each tenth of a second at half of the top rates.
    pub(super) fn notes(&self) -> Vec<String> {
        let failed = [&self.tops, &self.same_rate].into_iter().flat_map(failures);
        failed.chain(by_windows(&self.tops)).collect()
    }

    /// Returns the rows of the table.
    ///
    /// # Errors
    /// When a kind of call was not measured.
    pub(super) fn rows(&self) -> anyhow::Result<Vec<Row>> {
        CALLS.iter().map(|&(call, name)| self.row(call, name)).collect()
    }

    fn row(&self, call: Call, name: &str) -> anyhow::Result<Row> {
        let missing = || format!("{call} was not measured");
        let measured = of(&self.tops, call).with_context(missing)?;
        let (top, half) = (measured.top.as_ref(), measured.paced.as_ref());
        let (top, half) = top.zip(half).with_context(missing)?;
        // A batch is far more work than a call: it is measured at half of its own top rate alone.
        let same_rate = of(&self.same_rate, call).and_then(|measured| measured.paced.as_ref());
        let same_rate = same_rate.unwrap_or(half);
        let (shares, latency) = (same_rate.shares, same_rate.latency_us);
        let floor = self.floor_us().unwrap_or(f64::NAN);
        let share = measured.share_of_floor.unwrap_or(f64::NAN);
        let events = top.rate * EVENTS_PER_BATCH as f64;
        let goals = match call {
            Call::OffersAnew => vec![
                Goal::at_most("p50, times the do-nothing call's", latency.p50 / floor, 1.5, ""),
                Goal::below(
                    "p99 at half of the top rate, median of the tenths of a second",
                    p99_of_windows_us(half),
                    P99_US_WANTED,
                    "µs",
                ),
                Goal::at_least("top rate, of the do-nothing call's", share, 0.6, ""),
            ],
            Call::OffersCached => vec![Goal::at_least("top rate, of the do-nothing call's", share, 0.75, "")],
            Call::Offers | Call::Events => vec![Goal::at_least("rate, of the do-nothing call's", share, 0.6, "")],
            Call::EventBatches => vec![Goal::at_least("events a second", events, 200_000.0, "")],
            _ => Vec::new(),
        };
        let answers = if shares.offers > 0.0 {
            let percent = |share: f64| format!("{:.0} %", share * 100.0);
            let (cached, scored) = (percent(shares.cached), percent(shares.scored));
            format!("{:.1} offers, {cached} cached, {scored} scored", shares.offers)
        } else {
            String::new()
        };
        Ok(Row {
            calls: same_rate.calls,
            top_rate: Some(top.rate),
            top_rate_of_floor: Some(share),
            answers,
            goals,
            ..Row::new(name, latency.p50, p99_us(same_rate))
        })
    }
}

fn of(report: &Report, call: Call) -> Option<&Measured> {
    report.calls.iter().find(|measured| measured.call == call)
}

fn settings(address: &str, plan: Plan<'_>, rate: Rate, run: &str) -> Settings {
    let is_compared = |call: &Call| rate == Rate::Half || *call != Call::EventBatches;
    Settings {
        to: address.to_owned(),
        shown: Credentials::default(),
        connections: 4,
        calls: CALLS.into_iter().map(|(call, _)| call).filter(is_compared).collect(),
        rate,
        overload: None,
        duration: plan.duration,
        customers: plan.customers,
        channel: Some("web".to_owned()),
        placement: Some("list".to_owned()),
        count: 3,
        preview: true,
        seed: crate::bench::world::SEED,
        run: run.to_owned(),
    }
}

/// Says the p99 of each tenth of a second by itself, for each kind at half of its top rate, and for a byte over TCP alone.
fn by_windows(report: &Report) -> Vec<String> {
    let kinds = report.by_windows().into_iter();
    let told = kinds.map(|(name, rate, windows)| {
        let OfWindows {
            ms,
            count,
            p99_low_us,
            p99_median_us,
            p99_high_us,
            below_1_ms,
        } = windows;
        format!(
            "p99 of each {ms:.0} ms at {rate:.0} a second, {name}: median {p99_median_us:.0} µs, {p99_low_us:.0} to {p99_high_us:.0} µs, \
             below 1 ms in {:.0} % of {count}",
            below_1_ms * 100.0
        )
    });
    told.collect()
}

/// Says which calls failed.
fn failures(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    for measured in &report.calls {
        let top = measured.top.iter().flat_map(|top| &top.errors);
        let paced = measured.paced.iter().flat_map(|paced| &paced.errors);
        notes.extend(top.chain(paced).map(|(code, errors)| {
            let (count, call, first) = (errors.count, measured.call, &errors.first);
            format!("{count} calls of the kind `{call}` failed, {code}: {first}")
        }));
    }
    notes
}

/// Returns the p99 in microseconds: that of the calls that were answered, unless one in a hundred was not.
fn p99_us(paced: &Paced) -> f64 {
    let failed: u64 = paced.errors.values().map(|errors| errors.count).sum();
    if failed * 100 > paced.calls + failed {
        f64::INFINITY
    } else {
        paced.latency_us.p99
    }
}

/// Returns the p99 in microseconds that half of the tenths of a second stay at or below; nothing when no window has enough calls.
fn p99_of_windows_us(paced: &Paced) -> f64 {
    paced.windows.map_or(f64::NAN, |windows| windows.p99_median_us)
}

/// Writes the catalog and its model as a server reads them.
fn write(rules: &Path, models: &Path) -> anyhow::Result<()> {
    let files = catalog::files(OFFERS, Conditions::Two, Some((TREES.name, TREES.manifest)));
    for (name, text) in &files.rules {
        let path = rules.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(rules))?;
        std::fs::write(path, text)?;
    }
    TREES.write(models)
}
