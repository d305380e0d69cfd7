//! What a call costs that does nothing, from bare TCP to `nbo serve`, and which settings of hyper, tonic, tokio and the system change it:
//! `cargo bench --bench transport`.
//!
//! Every server is a process of its own ([`child`]), so that the processor time of its threads can be asked for. That time for each call is
//! the figure that counts: on a shared machine it drifts far less than rates and latencies do. The client is the load generator's
//! ([`crate::load::nothing`]), the same for all but bare TCP.
//!
//! All servers are there from the beginning and sleep but for one. In each round each is measured in a slice with as many calls under
//! way as `nbo load` has, and in one in which calls fall due at a fixed rate; right before or after it, in turns, what it is compared with is
//! measured in the same way. Only such neighbours are compared: within seconds the machine drifts by more than most settings
//! change. Where there are two processors or more, one is the generator's ([`cores`]).

mod answers;
pub mod child;
mod cores;
mod instructions;
pub mod report;
mod serve;
#[cfg(test)]
mod tests;
pub mod variant;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::task::LocalSet;

use self::answers::{ANSWER_BYTES, REQUEST_BYTES};
use self::child::Server;
use self::report::{Report, Row, Slice};
use self::variant::{Base, VARIANTS, Variant};
use super::Progress;
use super::report::machine;
use crate::load::figures::Errors;
use crate::load::nothing::{Generator, Protocol};

/// Connections to each server, as many as `nbo load` opens.
const CONNECTIONS: usize = 4;
/// How long calls are made before each slice that counts, so that a server is awake.
const BEFORE_SLICE: Duration = Duration::from_millis(10);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// This program, to be run again as each server; without it servers are threads of this process, and the processor time says nothing.
    pub program: Option<PathBuf>,
    /// The servers; what each is compared with is measured as well.
    pub variants: Vec<Variant>,
    /// How often each is measured.
    pub rounds: usize,
    /// How long a top rate is measured each time.
    pub closed: Duration,
    /// How long latencies are measured each time.
    pub open: Duration,
    /// Calls that fall due in a second meanwhile.
    pub rate: f64,
    /// Whether instructions are counted.
    pub with_instructions: bool,
    /// Whether the figures say nothing.
    pub is_quick: bool,
}

impl Options {
    /// Everything; takes some minutes.
    #[must_use]
    pub fn whole(program: PathBuf) -> Self {
        Self {
            program: Some(program),
            variants: VARIANTS.to_vec(),
            rounds: 15,
            closed: Duration::from_millis(60),
            open: Duration::from_millis(60),
            rate: 2_000.0,
            with_instructions: true,
            is_quick: false,
        }
    }

    /// The same with little of everything, to see in seconds that it works.
    #[must_use]
    pub fn quick(program: Option<PathBuf>) -> Self {
        Self {
            program,
            variants: VARIANTS.to_vec(),
            rounds: 1,
            closed: Duration::from_millis(20),
            open: Duration::from_millis(20),
            rate: 200.0,
            with_instructions: false,
            is_quick: true,
        }
    }

    /// Returns the servers with those that they are compared with, in the order of all.
    fn with_bases(&self) -> Vec<Variant> {
        let compared: Vec<Variant> = self
            .variants
            .iter()
            .filter_map(|variant| variant.compared_with())
            .collect();
        let is_wanted = |variant: &Variant| self.variants.contains(variant) || compared.contains(variant);
        VARIANTS.into_iter().filter(is_wanted).collect()
    }
}

/// A server, whoever calls it, and what was measured.
struct Place {
    variant: Variant,
    server: Server,
    generator: Generator,
    slices: Vec<Slice>,
    /// Of what it is compared with, beside each slice of its own.
    beside: Vec<Slice>,
}

/// Measures all servers.
///
/// # Errors
/// When a server cannot be started or a call fails. Where the system does not tell processor time, or without Valgrind, those columns
/// are empty, and a note says so.
pub fn measure(options: &Options, progress: Progress<'_>) -> anyhow::Result<Report> {
    let variants = options.with_bases();
    let places = within(rounds(options, &variants, progress))?;
    let rows = places
        .into_iter()
        .map(|place| Row::new(place.variant, place.slices, &place.beside))
        .collect();
    let mut report = Report::new(machine(), options, rows);
    match &options.program {
        Some(program) if options.with_instructions => count(program, &mut report, progress)?,
        _ => report.notes.push("Instructions were not asked for.".to_owned()),
    }
    Ok(report)
}

/// Waits for the generator's work on this thread.
fn within<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(work))
}

/// Returns how a server is called.
fn protocol(variant: Variant) -> Protocol {
    if variant.base == Base::Echo {
        Protocol::Bytes {
            request: REQUEST_BYTES,
            answer: ANSWER_BYTES,
        }
    } else {
        Protocol::Grpc
    }
}

async fn rounds(options: &Options, variants: &[Variant], progress: Progress<'_>) -> anyhow::Result<Vec<Place>> {
    progress(&format!("{} servers", variants.len()));
    let mut places = Vec::with_capacity(variants.len());
    for &variant in variants {
        let server = Server::start(options.program.as_deref(), variant)?;
        let connecting = Generator::connect(server.address(), protocol(variant), CONNECTIONS, options.open);
        let mut generator = connecting.await.with_context(|| format!("no way to `{variant}`"))?;
        // Who never calls is taken for a stranger, and cut off.
        generator.closed(BEFORE_SLICE).await?;
        places.push(Place {
            variant,
            server,
            generator,
            slices: Vec::new(),
            beside: Vec::new(),
        });
    }
    if options.program.is_some() {
        // Not before: a process begins on the processors of whoever starts it.
        cores::keep_generator();
    }
    for round in 0..options.rounds {
        progress(&format!("round {} of {}", round + 1, options.rounds));
        for at in 0..places.len() {
            let compared = places[at].variant.compared_with();
            let compared = compared.and_then(|with| places.iter().position(|place| place.variant == with));
            let order = match compared {
                Some(with) if round % 2 == 0 => [Some(with), Some(at)],
                Some(with) => [Some(at), Some(with)],
                None => [Some(at), None],
            };
            for which in order.into_iter().flatten() {
                let slice = places[which].measure(options).await?;
                let place = &mut places[at];
                let kept = if which == at {
                    &mut place.slices
                } else {
                    &mut place.beside
                };
                kept.push(slice);
            }
        }
    }
    Ok(places)
}

impl Place {
    async fn measure(&mut self, options: &Options) -> anyhow::Result<Slice> {
        self.generator.closed(BEFORE_SLICE).await?;
        let before = self.server.worked();
        let top = self.generator.closed(options.closed).await?;
        let between = self.server.worked();
        let paced = self.generator.open(options.rate).await?;
        let after = self.server.worked();
        if let Some((code, Errors { count, first })) = top.errors.iter().chain(&paced.errors).next() {
            bail!("{count} calls to `{}` failed, {code}: {first}", self.variant);
        }
        if top.calls == 0 || paced.calls == 0 {
            bail!("`{}` answered no call", self.variant);
        }
        let micros_of = |from: Option<Duration>, to: Option<Duration>, calls: u64| {
            let worked = to?.checked_sub(from?)?;
            Some(worked.as_secs_f64() * 1e6 / calls as f64)
        };
        Ok(Slice {
            rate: top.rate,
            busy_us: micros_of(before, between, top.calls),
            paced_us: micros_of(between, after, paced.calls),
            latency_us: paced.latency_us,
        })
    }
}

fn count(program: &Path, report: &mut Report, progress: Progress<'_>) -> anyhow::Result<()> {
    if !instructions::can_count() {
        let note = "No instructions: `valgrind` is not there (as in `apt install valgrind`).";
        report.notes.push(note.to_owned());
        return Ok(());
    }
    for row in &mut report.rows {
        progress(&format!("instructions of `{}`", row.variant));
        row.instructions = Some(instructions::count(program, row.variant)?);
    }
    Ok(())
}
