//! Traces of single calls, for a collector that speaks OTLP over gRPC.
//!
//! Which calls are traced: chance decides, by the share that was asked for. A caller's `traceparent`
//! (<https://www.w3.org/TR/trace-context/>) keeps its trace's id whoever the caller is, and a call that it says is not sampled is not
//! traced. That it is sampled makes a call traced only when the caller turns out to be known, since every such call costs
//! time, memory and room at the collector: strangers, and everybody where nobody has to be known, are traced by the share. At a
//! share of 1 every caller's own decision holds. A call that is not traced
//! costs a look at its headers, and nothing at all when tracing is off. A call that is traced notes its stages, and its spans are
//! made when it has ended, on the clock of the stages: one for the call, and below it one for each stage. They have names, times,
//! the rung and the channel, and never a customer, an attribute or a request's text.
//!
//! Spans wait for the collector in a queue; when it is full, or the collector is not there, they are dropped, and no call waits.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use super::ticks;

/// How long the last spans may take to reach the collector when the server stops.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Stages of one call, at most: a call has one decision, and may have a second look at it.
const STAGES_MAX: usize = 64;

/// Why no spans can be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The address of the collector is none.
    #[error("spans cannot be sent to `{endpoint}`: {why}")]
    Endpoint {
        /// The address.
        endpoint: String,
        /// What is wrong.
        why: ExporterBuildError,
    },
}

/// What decides which calls are traced, and sends their spans.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// The share of calls whose callers have no say, of 2³².
    share: u64,
}

/// A call that is traced.
#[derive(Debug)]
pub struct Traced {
    parent: Option<SpanContext>,
    /// Whether its spans are wanted: chance drew it, or a caller who is known asked for it.
    is_due: bool,
    began: SystemTime,
    began_ticks: u64,
    stages: Vec<(&'static str, u64, u64)>,
    notes: Vec<KeyValue>,
}

thread_local! {
    /// The call that this thread works on, if it is traced.
    static CURRENT: RefCell<Option<Traced>> = const { RefCell::new(None) };
    static CHANCE: Cell<u64> = Cell::new(seed());
}

fn seed() -> u64 {
    static THREADS: AtomicU64 = AtomicU64::new(1);
    THREADS
        .fetch_add(1, Ordering::Relaxed)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ ticks()
}

/// Draws a number by which nothing but what is watched is chosen (`SplitMix64`).
#[must_use]
pub(super) fn draw() -> u32 {
    let state = CHANCE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    CHANCE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default()
}

impl Traces {
    /// Begins to send spans to a collector, as at `http://localhost:4317`; `share` of the calls is traced whose callers have no
    /// say, from 0 to 1. Called within the runtime. The collector need not be there yet.
    ///
    /// # Errors
    /// When the address is none.
    pub fn to(endpoint: &str, share: f64) -> Result<Self, TracesError> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.map_err(|why| TracesError::Endpoint {
            endpoint: endpoint.to_owned(),
            why,
        })?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder()
            .with_service_name("nbo")
            .with_attribute(version)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            // It was decided before a span is made.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .build();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 2³²"
        )]
        let share = (share.clamp(0.0, 1.0) * (u64::from(u32::MAX) + 1) as f64) as u64;
        Ok(Self {
            tracer: provider.tracer("nbo"),
            provider,
            share,
        })
    }

    /// Decides whether a call with this `traceparent` is traced, or may be, once its caller turns out to be known
    /// ([`Traced::vouch`]); `may_be_known` tells whether anybody is.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "spans are as old as the machine's clock says")]
    pub fn begin(&self, traceparent: Option<&str>, may_be_known: bool) -> Option<Traced> {
        let parent = traceparent.and_then(parent);
        let asks = parent.as_ref().map(SpanContext::is_sampled);
        let is_due = asks != Some(false) && u64::from(draw()) < self.share;
        let is_waiting = asks == Some(true) && may_be_known;
        (is_due || is_waiting).then(|| Traced {
            parent,
            is_due,
            began: SystemTime::now(),
            began_ticks: ticks(),
            stages: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Makes the spans of a call that has ended, unless nobody known asked for them.
    pub fn end(&self, traced: Traced, method: &str, code: &'static str) {
        if !traced.is_due {
            return;
        }
        let until = ticks();
        let at = |ticks: u64| traced.began + Duration::from_nanos(ticks.saturating_sub(traced.began_ticks));
        let around = traced
            .parent
            .clone()
            .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let builder = self
            .tracer
            .span_builder(method.to_owned())
            .with_kind(SpanKind::Server)
            .with_start_time(traced.began);
        let mut span = self.tracer.build_with_context(builder, &around);
        span.set_attribute(KeyValue::new("nbo.code", code));
        span.set_attributes(traced.notes);
        if matches!(
            code,
            "unknown" | "internal" | "unavailable" | "data_loss" | "deadline_exceeded"
        ) {
            span.set_status(Status::error(code));
        }
        let within = Context::new().with_remote_span_context(span.span_context().clone());
        for (stage, from, until) in traced.stages {
            let builder = self
                .tracer
                .span_builder(stage)
                .with_kind(SpanKind::Internal)
                .with_start_time(at(from));
            self.tracer
                .build_with_context(builder, &within)
                .end_with_timestamp(at(until));
        }
        span.end_with_timestamp(at(until));
    }

    /// Sends what waits, and stops. Blocks: not to be called where calls are served.
    pub fn stop(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans did not reach their collector");
        }
    }
}

impl Traced {
    /// Does work of this call, which can note its stages meanwhile.
    pub fn within<T>(slot: &mut Option<Self>, work: impl FnOnce() -> T) -> T {
        /// Gives the call back however the work ends.
        struct Back<'a>(&'a mut Option<Traced>);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.0));
            }
        }
        if slot.is_none() {
            return work();
        }
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, slot));
        let _back = Back(slot);
        work()
    }

    /// Says that the caller of the call at hand is known, so that the caller's own trace decides.
    pub fn vouch() {
        CURRENT.with_borrow_mut(|current| {
            if let Some(traced) = current {
                traced.is_due = true;
            }
        });
    }

    /// Tells whether the call at hand is traced.
    #[must_use]
    pub fn is_current() -> bool {
        CURRENT.with_borrow(Option::is_some)
    }

    /// Notes stages of the call at hand by their name, beginning and end in [`ticks`].
    pub fn note(stages: impl IntoIterator<Item = (&'static str, u64, u64)>) {
        CURRENT.with_borrow_mut(|current| {
            if let Some(traced) = current {
                let left = STAGES_MAX.saturating_sub(traced.stages.len());
                traced.stages.extend(stages.into_iter().take(left));
            }
        });
    }

    /// Notes what the call at hand was about: nothing about anybody.
    pub fn about(key: &'static str, value: String) {
        CURRENT.with_borrow_mut(|current| {
            if let Some(traced) = current.as_mut().filter(|traced| traced.notes.len() < STAGES_MAX) {
                traced.notes.push(KeyValue::new(key, value));
            }
        });
    }
}

/// Reads the trace of a caller; `None` when it is none, as the standard wants it.
pub(crate) fn parent(text: &str) -> Option<SpanContext> {
    let mut parts = text.trim().splitn(4, '-');
    let (version, trace, span, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let flags = rest.get(..2)?;
    let is_hex = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_whole = (version.len(), trace.len(), span.len()) == (2, 32, 16)
        && [version, trace, span, flags].into_iter().all(is_hex);
    // Later versions may have more behind the flags, this one may not.
    let is_known = version != "ff" && (rest.len() == 2 || (version != "00" && rest.as_bytes()[2] == b'-'));
    if !is_whole || !is_known {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_callers_trace_is_read_as_the_standard_writes_it_and_anything_else_is_none() {
        let given = |text: &str| parent(text).map(|parent| (parent.trace_id().to_string(), parent.is_sampled()));
        let trace = TRACE.to_owned();
        assert_eq!(
            given(&format!("00-{TRACE}-00f067aa0ba902b7-01")),
            Some((trace.clone(), true))
        );
        assert_eq!(
            given(&format!("00-{TRACE}-00f067aa0ba902b7-00")),
            Some((trace.clone(), false))
        );
        assert_eq!(
            given(&format!("cc-{TRACE}-00f067aa0ba902b7-01-more")),
            Some((trace, true))
        );
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7-\u{e9}"),
        ] {
            assert_eq!(given(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn chance_draws_one_of_so_many() {
        let drawn = (0..640_000).filter(|_| draw().is_multiple_of(64)).count();
        assert!((9_500..10_500).contains(&drawn), "{drawn}");
    }

    #[test]
    fn what_is_noted_belongs_to_the_call_at_hand_and_to_no_other() {
        let traced = || Traced {
            parent: None,
            is_due: true,
            began: SystemTime::UNIX_EPOCH,
            began_ticks: 0,
            stages: Vec::new(),
            notes: Vec::new(),
        };
        let mut slot = Some(traced());
        Traced::note([("nobody's", 0, 1)]);
        Traced::within(&mut slot, || Traced::note([("gate", 1, 2)]));
        assert!(!Traced::is_current());
        Traced::within(&mut None, || Traced::note([("nobody's", 0, 1)]));
        assert_eq!(slot.unwrap().stages, [("gate", 1, 2)]);
    }
}
