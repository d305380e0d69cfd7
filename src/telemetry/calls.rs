//! Calls by method and code.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::Stopwatch;
use super::exporter::Exporter;

/// The codes of gRPC by their number, and behind them what there is no number for: the caller did not wait for the answer.
const CODES: [&str; 18] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
    "gone",
];

/// The position of the code for callers who did not wait.
const GONE: usize = CODES.len() - 1;
/// The label of what is none of the methods.
const OTHER: &str = "other";

/// Calls by method and code.
#[derive(Debug)]
pub struct Calls {
    exporter: Arc<Exporter>,
    positions: HashMap<String, usize>,
    methods: Vec<Method>,
    connections: Gauge,
}

#[derive(Debug)]
struct Method {
    label: String,
    seconds: Histogram,
    codes: [OnceLock<Counter>; CODES.len()],
}

impl Calls {
    /// To be called within the exporter's registry.
    pub(super) fn new(exporter: Arc<Exporter>, methods: Vec<String>) -> Self {
        let method = |path: &str| {
            // The package is the same for all.
            let label = path.rsplit_once('.').map_or(path, |(_, label)| label).to_owned();
            let seconds = histogram!("nbo_call_seconds", "method" => label.clone());
            Method {
                seconds,
                codes: Default::default(),
                label,
            }
        };
        let mut all: Vec<Method> = methods.iter().map(|path| method(path)).collect();
        all.push(method(OTHER));
        Self {
            exporter,
            positions: methods.into_iter().enumerate().map(|(at, path)| (path, at)).collect(),
            methods: all,
            connections: gauge!("nbo_connections"),
        }
    }

    /// Finds the method of a path.
    #[must_use]
    pub fn method(&self, path: &str) -> MethodAt {
        let position = self.positions.get(path.strip_prefix('/').unwrap_or(path)).copied();
        MethodAt(position.unwrap_or(self.methods.len() - 1))
    }

    /// Measures a call that began some time ago.
    #[must_use]
    pub const fn begin(&self, method: MethodAt, began: Stopwatch) -> OneCall<'_> {
        OneCall {
            calls: self,
            method: method.0,
            began,
            code: GONE,
        }
    }

    /// Takes note of a connection until the result is dropped.
    #[must_use]
    pub fn connected(&self) -> Connected {
        self.connections.increment(1.0);
        Connected(self.connections.clone())
    }

    fn count(&self, method: usize, code: usize) {
        let method = &self.methods[method];
        let counter = method.codes[code].get_or_init(|| {
            self.exporter
                .within(|| counter!("nbo_calls_total", "method" => method.label.clone(), "code" => CODES[code]))
        });
        counter.increment(1);
    }
}

/// One of the methods.
#[derive(Clone, Copy, Debug)]
pub struct MethodAt(usize);

/// An open connection.
#[derive(Debug)]
pub struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A call that is being answered; it is counted when this is dropped.
#[derive(Debug)]
pub struct OneCall<'a> {
    calls: &'a Calls,
    method: usize,
    began: Stopwatch,
    code: usize,
}

impl OneCall<'_> {
    /// Returns the method as its label has it.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.calls.methods[self.method].label
    }

    /// Says that the answer begins, with this code of gRPC, and whether its time counts: that of a call for which there was no room
    /// says nothing of those that are answered.
    pub fn answered(&mut self, code: i32, is_timed: bool) {
        let code = usize::try_from(code).unwrap_or_default();
        self.code = if code < GONE { code } else { 2 };
        if is_timed {
            self.calls.methods[self.method].seconds.record(self.began.seconds());
        }
    }

    /// Returns the name of the code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        CODES[self.code]
    }
}

impl Drop for OneCall<'_> {
    fn drop(&mut self) {
        self.calls.count(self.method, self.code);
    }
}
