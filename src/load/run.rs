//! The order of a run: connect, learn the schema, warm the cached lists, measure top rates in turns, then latencies.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::CreationError;
use tokio::task::LocalSet;

use super::calls::{Call, Caller};
use super::figures::{Measured, Report, Tally};
use super::runner::{Runner, SLICES};
use super::tcp::Echo;
use super::traffic::Traffic;
use crate::server::client::{ConnectError, Connection, Credentials};
use crate::server::wire;
use crate::server::wire::catalog_service_client::CatalogServiceClient;

/// The share of its top rate at which a kind's latencies are measured.
const HALF: f64 = 0.5;
/// How long bytes go over TCP alone before each kind's latencies are measured, as a part of that measurement, and at most: the
/// connections rest meanwhile.
const ECHO_PART: u32 = 4;
const ECHO_MAX: Duration = Duration::from_secs(2);

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused to tell its schema.
    #[error("the server did not tell its catalog: {0}")]
    Catalog(Box<tonic::Status>),
    /// The channel or placement that was asked for is not there.
    #[error("{0}")]
    Unknown(String),
    /// No byte can be sent to another thread.
    #[error("cannot use TCP on loopback: {0}")]
    Echo(#[source] std::io::Error),
    /// No histogram could be made.
    #[error("no histogram: {0}")]
    Histogram(#[from] CreationError),
}

/// At which rate calls fall due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// This many a second.
    Fixed(f64),
    /// As many as there can be; no latencies.
    Top,
    /// Half of each kind's top rate, which is measured first.
    Half,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server listens, as in `http://127.0.0.1:50051`.
    pub to: String,
    /// What is shown to it.
    pub shown: Credentials,
    /// How many connections to use, 1 or more.
    pub connections: usize,
    /// The kinds of calls.
    pub calls: Vec<Call>,
    /// The rate.
    pub rate: Rate,
    /// At which multiple of its top rate each kind that does something is measured as well, in turns with that rate, when it is known.
    pub overload: Option<f64>,
    /// How long each kind is measured, for the top rate and for the latencies each.
    pub duration: Duration,
    /// How many customers of the demo population take part, 2 or more.
    pub customers: usize,
    /// The channel that asks; the catalog's first when not given.
    pub channel: Option<String>,
    /// The placement to fill; the first of that channel when not given.
    pub placement: Option<String>,
    /// How many offers to ask for; as many as the placement allows when that is less.
    pub count: u32,
    /// Whether offers are only looked at, so that no contact limit fills up.
    pub preview: bool,
    /// Chooses customers and events.
    pub seed: u64,
    /// Sets this run's events apart from those of others.
    pub run: String,
}

/// One step of a run, for those who show progress.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The step's number, from 1.
    pub number: usize,
    /// How many steps there are.
    pub of: usize,
    /// The kind of call; none while lists are warmed.
    pub call: Option<Call>,
    /// The rate, when the step has a fixed one.
    pub rate: Option<f64>,
}

/// Makes a whole run. Keeps the thread on which it is called busy, and uses no other.
///
/// # Errors
/// When there is no connection, or the server does not know the channel or placement. Calls that fail later are part of the report.
pub async fn run(settings: &Settings, mut progress: impl FnMut(Step)) -> Result<Report, LoadError> {
    LocalSet::new().run_until(measure(settings, &mut progress)).await
}

async fn measure(settings: &Settings, progress: &mut impl FnMut(Step)) -> Result<Report, LoadError> {
    let channels = connect(settings).await?;
    let (traffic, mut report) = prepare(settings, channels[0].clone()).await?;
    let callers = channels
        .into_iter()
        .map(|channel| Caller::new(Rc::clone(&traffic), channel))
        .collect();
    let mut runner = Runner::new(callers, settings.duration);
    let top = settings.rate == Rate::Top || settings.rate == Rate::Half;
    let paced = settings.rate != Rate::Top;
    let kinds = kinds(settings, top);
    let rounds = if top { SLICES as usize } else { 0 };
    let overload = settings.overload.filter(|_| top);
    let flooded = kinds
        .iter()
        .filter(|&&call| overload.is_some() && !is_floor(call))
        .count();
    let of = 1 + kinds.len() * (rounds + usize::from(paced)) + flooded;
    let mut number = 0;
    let mut step = |call, rate| {
        number += 1;
        progress(Step { number, of, call, rate });
    };

    step(None, None);
    runner.prepare(traffic.readers()).await;
    let mut tops: BTreeMap<Call, Tally> = BTreeMap::new();
    for _ in 0..rounds {
        for &call in &kinds {
            step(Some(call), None);
            let tally = match tops.remove(&call) {
                Some(tally) => tally,
                None => Tally::new()?,
            };
            tops.insert(call, runner.closed(call, settings.duration / SLICES, tally).await);
        }
    }
    let floor = tops
        .get(&Call::Floor)
        .map(|tally| tally.top().rate)
        .filter(|&rate| rate > 0.0);
    let echo_duration = (settings.duration / ECHO_PART).min(ECHO_MAX);
    let mut echo = Echo::over(echo_duration * u32::try_from(kinds.len()).unwrap_or(u32::MAX))?;
    for &call in &kinds {
        let top = tops.get(&call).map(Tally::top);
        let rate = match (settings.rate, &top) {
            (Rate::Fixed(rate), _) => Some(rate),
            (Rate::Half, Some(top)) => Some(top.rate * HALF),
            _ => None,
        };
        let mut paced = None;
        if let Some(rate) = rate.filter(|&rate| rate > 0.0) {
            step(Some(call), Some(rate));
            echo.measure(echo_duration).map_err(LoadError::Echo)?;
            paced = Some(runner.open(call, rate).await?.paced(rate));
        }
        let mut flooded = None;
        if let Some((times, top)) = overload.zip(top.as_ref()).filter(|_| !is_floor(call)) {
            step(Some(call), Some(top.rate * times));
            flooded = Some(runner.flood(call, top.rate * times).await?);
        }
        let share_of_floor = top.as_ref().zip(floor).map(|(top, floor)| top.rate / floor);
        report.calls.push(Measured {
            call,
            top,
            share_of_floor,
            paced,
            flooded,
        });
    }
    report.tcp = Some(echo.told()).filter(|tcp| tcp.calls > 0);
    Ok(report)
}

/// Tells whether a call does nothing: to refuse it costs as much as to answer it, so it cannot be asked for more than can be answered.
const fn is_floor(call: Call) -> bool {
    matches!(call, Call::Floor | Call::HttpFloor)
}

/// Returns the kinds in their order; a top rate without its floor says nothing.
fn kinds(settings: &Settings, top: bool) -> Vec<Call> {
    let wanted = |call| settings.calls.contains(&call) || (top && call == Call::Floor);
    Call::ALL.into_iter().filter(|&call| wanted(call)).collect()
}

async fn connect(settings: &Settings) -> Result<Vec<Connection>, LoadError> {
    let mut channels = Vec::with_capacity(settings.connections);
    for _ in 0..settings.connections.max(1) {
        channels.push(settings.shown.connect(&settings.to).await?);
    }
    Ok(channels)
}

async fn prepare(settings: &Settings, channel: Connection) -> Result<(Rc<Traffic>, Report), LoadError> {
    let request = wire::GetCatalogRequest {
        include_offers: false,
        include_schema: true,
    };
    let told = CatalogServiceClient::new(channel).get_catalog(request).await;
    let catalog = told
        .map_err(|status| LoadError::Catalog(Box::new(status)))?
        .into_inner();
    let schema = catalog.schema.unwrap_or_default();
    let (channel, placement) = place(settings, &schema)?;
    let count = settings.count.min(placement.count_max);
    let report = Report {
        server: settings.to.clone(),
        catalog_version: catalog.version,
        offers: catalog.counts.map_or(0, |counts| counts.offers),
        connections: settings.connections.max(1),
        customers: settings.customers,
        channel: channel.clone(),
        placement: placement.id.clone(),
        count,
        calls: Vec::new(),
        tcp: None,
    };
    let traffic = Traffic {
        customers: settings.customers.max(2),
        channel,
        channels: placement.channels.clone(),
        elsewhere: RefCell::default(),
        placement: placement.id.clone(),
        count,
        preview: settings.preview,
        run: settings.run.clone(),
        seed: settings.seed,
        event_types: schema.event_types,
        moving: OnceCell::new(),
    };
    Ok((Rc::new(traffic), report))
}

fn place<'a>(
    settings: &Settings,
    schema: &'a wire::CatalogSchema,
) -> Result<(String, &'a wire::PlacementSchema), LoadError> {
    let unknown = |what: &str, wrong: &str, known: Vec<&str>| {
        LoadError::Unknown(format!(
            "the catalog has no {what} `{wrong}`; {}",
            crate::catalog::values::hint(wrong, known)
        ))
    };
    let wanted = settings.channel.as_ref().or(schema.channels.first());
    let channel = wanted
        .filter(|&channel| schema.channels.contains(channel))
        .ok_or_else(|| {
            let known = schema.channels.iter().map(String::as_str).collect();
            unknown("channel", wanted.map_or("", String::as_str), known)
        })?;
    let mut there = schema
        .placements
        .iter()
        .filter(|placement| placement.channels.contains(channel));
    let placement = match &settings.placement {
        Some(id) => there.find(|placement| placement.id == *id),
        None => there.next(),
    };
    let placement = placement.ok_or_else(|| {
        let known = schema
            .placements
            .iter()
            .map(|placement| placement.id.as_str())
            .collect();
        unknown(
            "placement for this channel",
            settings.placement.as_deref().unwrap_or(""),
            known,
        )
    })?;
    Ok((channel.clone(), placement))
}
