//! What is seen of every call, whichever door it came through: how long it took, how it ended, and its trace.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use hyper::{HeaderMap, Response, StatusCode};
use tokio::time::Instant;
use tonic::Code;

use super::desk::Desk;
use super::overload::Excess;
use crate::telemetry::{MethodAt, OneCall, Stopwatch, Traced};

/// The header in which a caller says which trace its call belongs to.
const TRACE_PARENT: &str = "traceparent";
/// The header in which gRPC says how a call ended that has no message.
const GRPC_STATUS: &str = "grpc-status";

/// A traced call; its spans are made when this is dropped, so also when the caller did not wait.
struct Tracing<'a> {
    desk: &'a Desk,
    traced: Option<Traced>,
    call: OneCall<'a>,
}

impl Drop for Tracing<'_> {
    fn drop(&mut self) {
        if let (Some(traced), Some(traces)) = (self.traced.take(), self.desk.traces.get()) {
            traces.end(traced, self.call.method(), self.call.code());
        }
    }
}

/// Answers a call that arrived some time ago, and takes note of it. What answers it is made here, for a future that is handed in
/// would lie in this one twice.
pub(super) async fn observed<F, B>(
    desk: Arc<Desk>,
    method: MethodAt,
    traced: Option<Traced>,
    arrived: Instant,
    answer: impl FnOnce() -> F,
) -> Result<Response<B>, Infallible>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    let mut tracing = Tracing {
        desk: &desk,
        traced,
        call: desk.meters.calls.begin(method, Stopwatch::since(arrived.into_std())),
    };
    let mut answering = pin!(answer());
    let answer =
        std::future::poll_fn(|context| Traced::within(&mut tracing.traced, || answering.as_mut().poll(context)));
    let Ok(answer) = answer.await;
    let is_excess = answer.extensions().get::<Excess>().is_some();
    tracing.call.answered(code(&answer) as i32, !is_excess);
    Ok(answer)
}

/// Decides whether a call is traced, or may be when its caller turns out to be known.
pub(super) fn trace(desk: &Desk, headers: &HeaderMap, may_be_known: bool) -> Option<Traced> {
    let traces = desk.traces.get()?;
    let parent = headers.get(TRACE_PARENT).and_then(|value| value.to_str().ok());
    traces.begin(parent, may_be_known)
}

/// Returns how a call ended, as far as its answer's head tells: a stream may still break off.
fn code<B>(answer: &Response<B>) -> Code {
    if let Some(code) = answer.extensions().get::<Code>() {
        return *code;
    }
    if let Some(status) = answer.headers().get(GRPC_STATUS) {
        return Code::from_bytes(status.as_bytes());
    }
    match answer.status() {
        status if status.is_success() || status.is_redirection() => Code::Ok,
        // The page that says whether calls are taken; refusals have their code with them.
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::Unknown,
    }
}
