//! How long a connection has had no call: from the end of one's answer, however long that streams, to the beginning of
//! the next.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep, sleep_until};

/// The calls of one connection.
pub(super) struct Activity {
    began: Instant,
    under_way: AtomicUsize,
    /// Milliseconds from the beginning of the connection to the end of its last call.
    idle_since_ms: AtomicU64,
    has_called: AtomicBool,
}

impl Activity {
    pub(super) fn begin() -> Self {
        Self {
            began: Instant::now(),
            under_way: AtomicUsize::new(0),
            idle_since_ms: AtomicU64::new(0),
            has_called: AtomicBool::new(false),
        }
    }

    /// Begins a call, which is under way until the result is dropped.
    pub(super) fn call(self: &Arc<Self>) -> UnderWay {
        self.has_called.store(true, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(Arc::clone(self))
    }

    /// Waits until there was no call for `limit`, or none at all for `first`.
    pub(super) async fn idle(&self, first: Duration, limit: Duration) {
        loop {
            let has_called = self.has_called.load(Ordering::Relaxed);
            let limit = if has_called { limit } else { first.min(limit) };
            if self.under_way.load(Ordering::Acquire) > 0 {
                // Whatever ends in this time has a later end to wait for.
                sleep(limit).await;
                continue;
            }
            let since = Duration::from_millis(self.idle_since_ms.load(Ordering::Acquire));
            let until = self.began + since + limit;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// A call that is under way.
pub(super) struct UnderWay(Arc<Activity>);

impl UnderWay {
    /// Keeps the call under way until its answer was read to the end, or given up.
    pub(super) fn until_read<B>(self, answer: Response<B>) -> Response<Held<B>> {
        answer.map(|body| Held { body, _call: self })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let since = self.0.began.elapsed().as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.0.idle_since_ms.store(since, Ordering::Release);
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of an answer during which its call is under way.
pub(super) struct Held<B> {
    body: B,
    _call: UnderWay,
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const FIRST: Duration = Duration::from_millis(20);
    const LIMIT: Duration = Duration::from_millis(80);
    /// The end of a call is noted in whole milliseconds.
    const GRAIN: Duration = Duration::from_millis(2);

    async fn idle_after(activity: &Activity) -> Duration {
        let began = Instant::now();
        activity.idle(FIRST, LIMIT).await;
        began.elapsed() + GRAIN
    }

    #[tokio::test]
    async fn a_connection_that_never_calls_is_idle_after_the_shorter_time_and_one_that_did_after_the_longer() {
        let activity = Arc::new(Activity::begin());
        assert!(idle_after(&activity).await >= FIRST);
        drop(activity.call());
        assert!(idle_after(&activity).await >= LIMIT);
    }

    #[tokio::test]
    async fn it_is_never_idle_during_a_call_and_a_while_after_the_answer_was_read() {
        let activity = Arc::new(Activity::begin());
        let watching = activity.call().until_read(Response::new(axum::body::Body::empty()));
        let waited = timeout(LIMIT * 3, activity.idle(FIRST, LIMIT)).await;
        assert!(waited.is_err(), "idle during a call");
        drop(watching);
        assert!(idle_after(&activity).await >= LIMIT);
    }
}
