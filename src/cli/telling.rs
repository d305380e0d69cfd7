//! What a server tells about itself: options for it, and the bars that it shows while it gets ready.

use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::server::Server;
use crate::server::durability::CheckpointLog;
use crate::telemetry::{LogFormat, Traces, WATCHED_EVERY};

/// What a server tells about itself, besides its numbers.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How log lines are written
    #[arg(long, env = "NBO_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// The collector to which traces of calls are sent (OTLP over gRPC), as in `http://localhost:4317` [default: none are made]
    #[arg(long, env = "NBO_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// The share of the calls that is traced, from 0 to 1, besides those whose callers are known and ask for it by their
    /// `traceparent`; used with --otlp-endpoint
    #[arg(long, env = "NBO_TRACE_SAMPLE", value_name = "SHARE", default_value_t = 0.001, value_parser = share)]
    trace_sample: f64,
    /// Of how many decisions one has its stages timed
    #[arg(long, env = "NBO_WATCH_EVERY", value_name = "COUNT", default_value_t = WATCHED_EVERY, value_parser = clap::value_parser!(u32).range(1..))]
    watch_every: u32,
}

impl Options {
    /// Sets a server up accordingly. Called within the runtime.
    ///
    /// # Errors
    /// When the address of the collector is none.
    pub(super) fn apply(&self, server: &Server, checkpoints: Option<Arc<CheckpointLog>>) -> Result<()> {
        if let Some(log) = checkpoints {
            server.tell_checkpoints(log);
        }
        server.watch_every(self.watch_every);
        if let Some(endpoint) = &self.otlp_endpoint {
            let traces = Traces::to(endpoint, self.trace_sample).context("--otlp-endpoint")?;
            server.trace(traces, self.trace_sample);
        }
        Ok(())
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a number from 0 to 1, as in 0.001".to_owned())
}

/// Makes a bar for something that takes a while; hidden where nobody looks.
pub(super) fn progress(what: &'static str, length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("  {prefix:<13} {bar:40} {human_pos} of {human_len}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_prefix(what)
}
