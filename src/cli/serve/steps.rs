//! The steps of getting ready, each with its line.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use super::Begun;
use crate::catalog::Diagnostic;
use crate::cli::numbers::grouped;
use crate::cli::telling::progress;
use crate::clock::{Clock as _, SystemClock};
use crate::config::assembly::Assembly;
use crate::domain::symbol::Symbols;
use crate::engine::{Active, Engine, Limits};
use crate::journal::Level;
use crate::model::Runtime;
use crate::server::durability::Checkpoints;
use crate::telemetry::Stopwatch;

/// Loads ONNX Runtime, or warns in one line.
pub(super) fn runtime(out: &mut impl Write) -> Result<Option<Runtime>> {
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
            tell(
                out,
                "warning",
                &format!("models that need it stay out, others serve untried: {error}"),
            )?;
            Ok(None)
        }
    }
}

/// Folds what was recorded behind the checkpoint, and returns the engine with how many bytes of records that was.
pub(super) fn recover_step(
    begun: Option<Begun>,
    active: Active,
    limits: Limits,
    out: &mut impl Write,
) -> Result<(Engine, u64)> {
    let active = Active {
        since: SystemClock.now(),
        ..active
    };
    let Some((folder, recovery)) = begun else {
        return Ok((Engine::new(active, limits), 0));
    };
    let took = Stopwatch::start();
    out.flush()?;
    let bar = progress("journal", 0);
    let (engine, recovered) = recovery.finish(
        active,
        limits,
        &mut |activation| folder.catalog(activation),
        &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        },
    )?;
    bar.finish_and_clear();
    if recovered.records > 0 {
        let text = format!("{} records folded", grouped(recovered.records));
        step(out, "journal", &text, took)?;
    }
    if engine.erased() > 0 {
        let people = grouped(engine.erased() as u64);
        let text = format!("{people} people are remembered, so that nobody contacts them");
        tell(out, "erased", &text)?;
    }
    Ok((engine, recovered.bytes))
}

/// Leaves a checkpoint behind, so that the next start has nothing to replay.
pub(super) async fn finish_step(checkpoints: Arc<tokio::sync::Mutex<Checkpoints>>, out: &mut impl Write) -> Result<()> {
    let took = Stopwatch::start();
    let own = checkpoints.lock_owned().await;
    match tokio::task::spawn_blocking(move || own.finish()).await? {
        Ok(Some(taken)) => {
            let text = format!("{} customers in a checkpoint", grouped(taken.customers));
            step(out, "data", &text, took)
        }
        Ok(None) => Ok(()),
        Err(error) => tell(
            out,
            "warning",
            &format!("no checkpoint could be left ({error}); the next start replays the journal"),
        ),
    }
}

pub(super) const fn survives(level: Level) -> &'static str {
    match level {
        Level::Process => "a crash of the process",
        Level::Power => "a loss of power",
    }
}

pub(super) fn assembly_step(
    assembly: &mut Assembly,
    symbols: &Symbols,
    out: &mut impl Write,
) -> Result<Result<Active, Vec<Diagnostic>>> {
    let took = Stopwatch::start();
    let started = assembly.start(symbols);
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

pub(super) fn refuse(faults: &[Diagnostic], out: &mut impl Write) -> Result<ExitCode> {
    for fault in faults {
        writeln!(out, "{fault}\n")?;
    }
    writeln!(out, "the files have faults; nothing is served")?;
    Ok(ExitCode::FAILURE)
}

/// Writes one line about how it gets ready.
pub(super) fn tell(out: &mut impl Write, what: &str, text: &str) -> Result<()> {
    writeln!(out, "  {what:<13} {text}")?;
    Ok(())
}

/// Writes one line about a step that took a while.
pub(super) fn step(out: &mut impl Write, what: &str, text: &str, took: Stopwatch) -> Result<()> {
    let seconds = took.seconds();
    let took = if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1_000.0)
    } else {
        format!("{seconds:.1} s")
    };
    tell(out, what, &format!("{text} ({took})"))
}
