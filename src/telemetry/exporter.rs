//! All numbers as text, in the format that Prometheus reads (version 0.0.4).
//!
//! Each server has a registry of its own, so that two in one process, as in tests, do not mix. What a histogram was told waits in a
//! list until it is drained, at each look and every few seconds.

use std::fmt::Write as _;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::drift;
use super::names::{Kind, NAMES, Name};

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The upper bounds of all histograms of time, in seconds: from 10 µs to 1 s, three for each power of ten.
pub const SECONDS: [f64; 16] = [
    0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
];

/// The registry of one server.
#[derive(Debug)]
pub(super) struct Exporter {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Exporter {
    pub(super) fn new() -> Self {
        let bounds = PrometheusBuilder::new().set_buckets(&SECONDS).and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Full("nbo_model_score".into()), &drift::BOUNDS)
        });
        // Only an empty list of bounds is refused.
        let recorder = bounds.unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        let exporter = Self { recorder, handle };
        exporter.within(|| NAMES.iter().for_each(describe));
        exporter
    }

    /// Makes handles that belong to this registry.
    pub(super) fn within<T>(&self, make: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.recorder, make)
    }

    /// Drains what the histograms were told. Takes a millisecond or so after many calls.
    pub(super) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Returns all numbers as text, and `lines` besides: the registry keeps what it had once, so what may go is not in it.
    pub(super) fn render(&self, lines: &[Line<'_>]) -> String {
        let mut text = self.handle.render();
        for name in &NAMES {
            let of_name = lines.iter().filter(|line| line.0 == name.name);
            let mut is_first = true;
            for Line(_, values, value) in of_name {
                if std::mem::take(&mut is_first) {
                    let _ = write!(text, "# HELP {0} {1}\n# TYPE {0} gauge\n", name.name, name.help);
                }
                let labels = name.labels.iter().zip(values);
                let labels: Vec<String> = labels
                    .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                    .collect();
                let _ = writeln!(text, "{}{{{}}} {value}", name.name, labels.join(","));
            }
        }
        text
    }
}

/// One line that the registry does not have: its name, the values of its labels, and the value of a gauge.
pub(super) struct Line<'a>(pub(super) &'static str, pub(super) Vec<&'a str>, pub(super) f64);

impl<'a> Line<'a> {
    /// Makes one that says all it has to say by its labels.
    pub(super) const fn info(name: &'static str, labels: Vec<&'a str>) -> Self {
        Self(name, labels, 1.0)
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn describe(name: &Name) {
    match name.kind {
        Kind::Counter => metrics::describe_counter!(name.name, name.help),
        Kind::Gauge => metrics::describe_gauge!(name.name, name.help),
        Kind::Histogram => metrics::describe_histogram!(name.name, name.help),
        Kind::Info => {}
    }
}
