//! `nbo load`: how fast is it here?

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use super::connect::Shown;
use super::numbers::{grouped, whole};
use crate::clock::{Clock as _, SystemClock};
use crate::load::calls::Call;
use crate::load::figures::{Errors, Measured, Paced, Report, Shares, Top};
use crate::load::own::{OwnServer, threads_beside_the_generator};
use crate::load::windows::OfWindows;
use crate::load::{self, Rate, Settings, Step};

/// Bytes of one MiB.
const MIB: f64 = 1_048_576.0;

/// Measures how many calls a server answers, and how long each takes.
///
/// Latency is counted from the moment a call was due at a fixed rate, so a server that stalls cannot hide it. A call that
/// does nothing is measured in turns with the others: the ratio to it is the result, since it drifts with the machine as
/// they do. Events are recorded for customers `demo-000001` and on: with --to, name a server that may be written to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo load                                 a server of its own: top rate, then latencies at half of it
  nbo load --calls floor,events --rate 2000 --duration 30s
  nbo load --calls offers --overload 10 --connections 16 --customers 100000
                                           ten times as much as it can answer
  nbo load --to http://127.0.0.1:50051     a server that runs already")]
pub struct Args {
    /// The server to measure, as in `http://127.0.0.1:50051`; without it a process of its own serves the built-in bank
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    #[command(flatten)]
    shown: Shown,
    /// Threads of the server that is started without --to [default: one less than there are cores; the generator has the last]
    #[arg(long, value_name = "COUNT", conflicts_with = "to", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    server_threads: Option<u16>,
    /// How many connections to use
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,
    /// Calls due per second; `max` for the top rate only, `half` for the top rate and then the latencies at half of it
    #[arg(long, default_value = "half", value_parser = rate)]
    rate: Rate,
    /// Measure each kind of call that does something at so many times its top rate as well, in turns with that rate, which takes
    /// --duration twice: what is answered, how fast, and what is refused
    #[arg(long, value_name = "TIMES", value_parser = times)]
    overload: Option<f64>,
    /// How long to measure each kind of call, as in `10s`; for the top rate and for the latencies each, and a quarter of it (2 s at
    /// most) for a byte over TCP alone
    #[arg(long, default_value = "5s", value_parser = duration)]
    duration: Duration,
    /// The kinds of calls: floor, http-floor, offers-cached, json, stream, offers-anew, offers, events, event-batches
    #[arg(long, value_delimiter = ',', default_value = "floor,http-floor,offers-cached,json,stream,offers,events", value_parser = Call::from_str)]
    calls: Vec<Call>,
    /// How many customers take part; the first half is only read
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    customers: u32,
    /// The channel that asks; the catalog's first when not given
    #[arg(long)]
    channel: Option<String>,
    /// The placement to fill; the channel's first when not given
    #[arg(long)]
    placement: Option<String>,
    /// How many offers to ask for, at most as many as the placement allows
    #[arg(long, default_value_t = 3)]
    count: u32,
    /// Reserve what is shown, as real traffic does; contact limits then fill up, and answers become empty
    #[arg(long)]
    reserve: bool,
    /// Chooses customers and events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<Rate, String> {
    match (text, text.parse::<f64>()) {
        ("max", _) => Ok(Rate::Top),
        ("half", _) => Ok(Rate::Half),
        (_, Ok(rate)) if (1.0..=1e6).contains(&rate) => Ok(Rate::Fixed(rate)),
        _ => Err("give calls per second from 1 to 1000000, `max` or `half`".to_owned()),
    }
}

fn times(text: &str) -> Result<f64, String> {
    let times = text.parse().ok();
    times
        .filter(|times| (1.0..=1_000.0).contains(times))
        .ok_or_else(|| "give 1 to 1000".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|span| Duration::try_from(span).ok());
    let allowed = Duration::from_millis(100)..=Duration::from_hours(1);
    parsed
        .filter(|span| allowed.contains(span))
        .ok_or_else(|| "give 100ms to 1h, as in `10s`".to_owned())
}

impl Args {
    /// Runs the command. The exit code is 1 when calls failed.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not know the channel or the placement.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let own = match &self.to {
            Some(_) => None,
            None => Some(self.own_server().context("cannot start a server")?),
        };
        let to = self
            .to
            .clone()
            .or_else(|| own.as_ref().map(|own| own.address().to_owned()));
        let settings = self.settings(to.unwrap_or_default())?;
        let bar = ProgressBar::new(1);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len}  {msg}") {
            bar.set_style(style);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let report = runtime.block_on(load::run(&settings, |step| show(&bar, step)));
        bar.finish_and_clear();
        let report = report?;
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        } else {
            tell(&report, out)?;
        }
        Ok(if failures(&report).is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn own_server(&self) -> std::io::Result<OwnServer> {
        let threads = self
            .server_threads
            .map_or_else(threads_beside_the_generator, usize::from);
        OwnServer::start(&std::env::current_exe()?, self.customers as usize, threads)
    }

    fn settings(&self, to: String) -> Result<Settings> {
        Ok(Settings {
            to,
            shown: self.shown.credentials()?,
            connections: usize::from(self.connections),
            calls: self.calls.clone(),
            rate: self.rate,
            overload: self.overload,
            duration: self.duration,
            customers: self.customers as usize,
            channel: self.channel.clone(),
            placement: self.placement.clone(),
            count: self.count,
            preview: !self.reserve,
            seed: self.seed,
            run: format!("load-{}", SystemClock.now().as_millis()),
        })
    }
}

fn show(bar: &ProgressBar, step: Step) {
    bar.set_length(step.of as u64);
    bar.set_position(step.number as u64 - 1);
    bar.set_message(match (step.call, step.rate) {
        (None, _) => "reading every list once".to_owned(),
        (Some(call), None) => format!("{call}: as many as there can be"),
        (Some(call), Some(rate)) => format!("{call}: {} a second", whole(rate)),
    });
}

/// Writes a report as tables.
///
/// # Errors
/// When `out` cannot be written.
pub fn tell(report: &Report, out: &mut impl Write) -> Result<()> {
    let Report {
        server,
        catalog_version,
        offers,
        connections,
        customers,
        channel,
        placement,
        count,
        calls,
        tcp: _,
    } = report;
    writeln!(
        out,
        "{server}, catalog {catalog_version}, {} offers; {connections} connections, {} customers; {count} for {placement} on {channel}",
        grouped(u64::from(*offers)),
        grouped(*customers as u64),
    )?;
    if calls.iter().any(|measured| measured.top.is_some()) {
        writeln!(
            out,
            "\n{:<14}{:>12}{:>11}{:>9}{:>8}{:>9}",
            "call", "top rate/s", "of floor", "cached", "offers", "scored"
        )?;
        for Measured {
            call,
            top,
            share_of_floor,
            ..
        } in calls
        {
            let Some(Top { rate, shares, .. }) = top else { continue };
            let share = share_of_floor.map_or_else(|| "-".to_owned(), |share| format!("{share:.2}"));
            writeln!(out, "{call:<14}{:>12}{share:>11}{}", whole(*rate), described(shares))?;
        }
    }
    if calls.iter().any(|measured| measured.paced.is_some()) {
        writeln!(
            out,
            "\n{:<14}{:>12} {:>9} {:>9} {:>9} {:>9} {:>9}  µs from due{:>9}{:>8}{:>9}",
            "call", "due/s", "p50", "p90", "p99", "p99.9", "max", "cached", "offers", "scored"
        )?;
        for Measured { call, paced, .. } in calls {
            let Some(Paced {
                rate_wanted,
                latency_us,
                shares,
                ..
            }) = paced
            else {
                continue;
            };
            write!(out, "{call:<14}{:>12}", whole(*rate_wanted))?;
            for quantile in [
                latency_us.p50,
                latency_us.p90,
                latency_us.p99,
                latency_us.p99_9,
                latency_us.max,
            ] {
                write!(out, " {:>9}", whole(quantile))?;
            }
            writeln!(out, "{:13}{}", "", described(shares))?;
        }
        let late = calls
            .iter()
            .filter_map(|measured| Some(measured.paced.as_ref()?.generator_late_us));
        let (p50, p99) = late.fold((0.0_f64, 0.0_f64), |most, late| {
            (most.0.max(late.p50), most.1.max(late.p99))
        });
        writeln!(
            out,
            "of which the generator itself was late: p50 up to {} µs, p99 up to {} µs",
            whole(p50),
            whole(p99)
        )?;
        beside_the_floor(calls, out)?;
        by_windows(report, out)?;
    }
    under_overload(calls, out)?;
    for (what, errors) in failures(report) {
        writeln!(out, "failed: {what}: {} calls; {}", grouped(errors.count), errors.first)?;
    }
    Ok(())
}

/// Says what became of more calls than can be answered, beside what is normal.
fn under_overload(calls: &[Measured], out: &mut impl Write) -> Result<()> {
    let flooded: Vec<_> = calls
        .iter()
        .filter_map(|one| Some((one, one.flooded.as_ref()?)))
        .collect();
    if flooded.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{:<14}{:>10} {:>10} {:>10}{:>8}{:>11} {:>9} {:>9}  µs from sending{:>14}",
        "under overload", "top/s", "offered/s", "answered/s", "of top", "refused", "p50", "p99", "memory"
    )?;
    for (Measured { call, .. }, flooded) in &flooded {
        let memory = flooded.resident_bytes.map_or_else(
            || "-".to_owned(),
            |(before, after)| format!("{} -> {} MiB", whole(before / MIB), whole(after / MIB)),
        );
        writeln!(
            out,
            "{call:<14}{:>10} {:>10} {:>10}{:>8.2}{:>11} {:>9} {:>9}{:17}{memory:>14}",
            whole(flooded.top_rate),
            whole(flooded.rate_offered),
            whole(flooded.rate),
            flooded.rate / flooded.top_rate,
            grouped(flooded.refused),
            whole(flooded.latency_us.p50),
            whole(flooded.latency_us.p99),
            "",
        )?;
    }
    for (Measured { call, paced, .. }, flooded) in flooded {
        let normal = paced.as_ref().and_then(|paced| paced.windows);
        if let Some((normal, now)) = normal.zip(flooded.windows) {
            writeln!(
                out,
                "{call}: the median of the p99 of each {} ms is {} µs, {:.1} times that at half of the top rate; at the top rate the p99 is {} µs",
                whole(now.ms),
                whole(now.p99_median_us),
                now.p99_median_us / normal.p99_median_us,
                whole(flooded.top_latency_us.p99),
            )?;
        }
    }
    Ok(())
}

/// Says how the slowest calls stand to the floor's.
fn beside_the_floor(calls: &[Measured], out: &mut impl Write) -> Result<()> {
    let p99 = |measured: &Measured| Some((measured.call, measured.paced.as_ref()?.latency_us.p99));
    let (floor, others): (Vec<_>, Vec<_>) = calls.iter().filter_map(p99).partition(|(call, _)| *call == Call::Floor);
    let Some(&(_, floor)) = floor.first().filter(|(_, floor)| *floor > 0.0 && !others.is_empty()) else {
        return Ok(());
    };
    let times = |(call, p99): &(Call, f64)| format!("{call} {:.1}", p99 / floor);
    let times: Vec<String> = others.iter().map(times).collect();
    writeln!(
        out,
        "p99 as a multiple of the floor's {} µs: {}",
        whole(floor),
        times.join(", ")
    )?;
    Ok(())
}

/// Says the p99 of each tenth of a second by itself, beside that of a byte over TCP alone.
fn by_windows(report: &Report, out: &mut impl Write) -> Result<()> {
    let kinds = report.by_windows();
    let Some((_, _, OfWindows { ms, .. })) = kinds.first() else {
        return Ok(());
    };
    writeln!(
        out,
        "\n{:<14}{:>12} {:>9} {:>9} {:>9} {:>12}  µs, p99 of each {} ms",
        "call",
        "due/s",
        "lowest",
        "median",
        "highest",
        "below 1 ms",
        whole(*ms),
    )?;
    for (name, rate, windows) in kinds {
        writeln!(
            out,
            "{name:<14}{:>12} {:>9} {:>9} {:>9} {:>10.0} %",
            whole(rate),
            whole(windows.p99_low_us),
            whole(windows.p99_median_us),
            whole(windows.p99_high_us),
            windows.below_1_ms * 100.0,
        )?;
    }
    Ok(())
}

fn described(shares: &Shares) -> String {
    if shares.offers == 0.0 {
        return format!("{:>9}{:>8}{:>9}", "-", "-", "-");
    }
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    format!(
        "{:>9}{:>8.1}{:>9}",
        percent(shares.cached),
        shares.offers,
        percent(shares.scored)
    )
}

/// Returns the calls that failed, by kind and code.
fn failures(report: &Report) -> BTreeMap<String, Errors> {
    let mut failures: BTreeMap<String, Errors> = BTreeMap::new();
    for Measured {
        call,
        top,
        paced,
        flooded,
        ..
    } in &report.calls
    {
        let top = top.iter().flat_map(|top| &top.errors);
        let paced = paced.iter().flat_map(|paced| &paced.errors);
        let flooded = flooded
            .iter()
            .flat_map(|flooded| flooded.top_errors.iter().chain(&flooded.errors));
        for (code, errors) in top.chain(paced).chain(flooded) {
            let first = || Errors {
                count: 0,
                first: errors.first.clone(),
            };
            failures.entry(format!("{call}: {code}")).or_insert_with(first).count += errors.count;
        }
    }
    failures
}
