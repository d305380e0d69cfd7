//! What `nbo serve` says of each step on its way to being ready.

use std::io::{IsTerminal as _, Write};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::telemetry::Stopwatch;

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

/// Makes a bar that shows how far a long step is, where somebody looks.
pub(super) fn progress(what: &'static str, length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("  {prefix:<13} {bar:40} {human_pos} of {human_len}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_prefix(what)
}
