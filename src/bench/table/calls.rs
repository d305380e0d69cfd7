//! The part of the table that goes over gRPC: what `nbo load` measures, against a server of the bench catalog that keeps everything
//! in memory alone.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::report::{Goal, Row};
use crate::bench::Progress;
use crate::bench::catalog::{self, Conditions};
use crate::bench::durability::Removed;
use crate::bench::scorers::TREES;
use crate::load::calls::{Call, EVENTS_PER_BATCH};
use crate::load::figures::{Measured, Report};
use crate::load::own::{OwnServer, threads_beside_the_generator};
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
pub(super) struct Calls(Report);

impl Calls {
    /// Starts `program`, which is `nbo`, and measures each kind of call for this long, twice.
    ///
    /// # Errors
    /// When no server can be started or reached, or calls fail.
    pub(super) fn measure(
        program: &Path,
        customers: usize,
        duration: Duration,
        progress: Progress<'_>,
    ) -> anyhow::Result<Self> {
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
        let server = OwnServer::start_with(program, customers, threads, &more).context("cannot start a server")?;
        let settings = Settings {
            to: server.address().to_owned(),
            shown: Credentials::default(),
            connections: 4,
            calls: CALLS.map(|(call, _)| call).to_vec(),
            rate: Rate::Half,
            overload: None,
            duration,
            customers,
            channel: Some("web".to_owned()),
            placement: Some("list".to_owned()),
            count: 3,
            preview: true,
            seed: crate::bench::world::SEED,
            run: "table".to_owned(),
        };
        let tell = |step: load::Step| {
            let call = step.call.map_or("warming", Call::name);
            progress(&format!("gRPC, step {} of {}: {call}", step.number, step.of));
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let report = runtime.block_on(load::run(&settings, tell))?;
        for measured in &report.calls {
            let top = measured.top.iter().flat_map(|top| &top.errors);
            let paced = measured.paced.iter().flat_map(|paced| &paced.errors);
            if let Some((code, errors)) = top.chain(paced).next() {
                bail!("{} of {} failed, {code}: {}", errors.count, measured.call, errors.first);
            }
        }
        Ok(Self(report))
    }

    fn of(&self, call: Call) -> Option<&Measured> {
        self.0.calls.iter().find(|measured| measured.call == call)
    }

    /// Returns the p50 of the call that does nothing, in microseconds.
    pub(super) fn floor_us(&self) -> Option<f64> {
        Some(self.of(Call::Floor)?.paced.as_ref()?.latency_us.p50)
    }

    /// Returns the rows of the table.
    ///
    /// # Errors
    /// When a kind of call was not measured, or lists were cached that should not have been.
    pub(super) fn rows(&self) -> anyhow::Result<Vec<Row>> {
        CALLS.iter().map(|&(call, name)| self.row(call, name)).collect()
    }

    fn row(&self, call: Call, name: &str) -> anyhow::Result<Row> {
        let measured = self.of(call).with_context(|| format!("{call} was not measured"))?;
        let (top, paced) = (measured.top.as_ref(), measured.paced.as_ref());
        let (top, paced) = top.zip(paced).with_context(|| format!("{call} was not measured"))?;
        let (shares, latency) = (paced.shares, paced.latency_us);
        let is_anew = call == Call::OffersAnew;
        ensure!(
            !is_anew || shares.cached < 0.05,
            "{:.0} % of the lists that should be made anew were cached",
            shares.cached * 100.0
        );
        let floor = self.floor_us().unwrap_or(f64::NAN);
        let share = measured.share_of_floor.unwrap_or(f64::NAN);
        let events = top.rate * EVENTS_PER_BATCH as f64;
        let goals = match call {
            Call::OffersAnew => vec![
                Goal::at_most("p50, times the do-nothing call's", latency.p50 / floor, 1.5, ""),
                Goal::below("p99 at half of the top rate", latency.p99, 1_000.0, "µs"),
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
            calls: paced.calls,
            top_rate: Some(top.rate),
            top_rate_of_floor: Some(share),
            answers,
            goals,
            ..Row::new(name, latency.p50, latency.p99)
        })
    }
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
