//! How long a call may take: as long as its caller waits, which the header `grpc-timeout` says, and no longer than the
//! server allows a call without a stream. When the time is over the call ends with `DEADLINE_EXCEEDED`, also when it is a stream that
//! has begun.
//!
//! A decision is made in one go, so a call that ends here had waited for something else: for the disk, for a turn, for its own
//! body. What it changed is in the journal all the same, as when the caller had gone.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::HeaderMap;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_stream::Stream;
use tonic::Status;

use super::access::table::{Row, Shape};

/// The header in which a gRPC caller says how long it waits.
const HEADER: &str = "grpc-timeout";

/// Returns how long the caller waits, when it says so. What is no time is left out, as callers expect of a gRPC server.
pub(super) fn of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // The protocol allows at most 8 digits, so nothing below overflows.
    let is_number = (1..=8).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| number.parse::<u64>().ok()).flatten()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 60 * 60)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Returns how long a call may take until its answer begins (for the answers of a stream see [`Ends`]): one that takes a stream as long as its caller waits, any other at
/// most `unary_max`, what does not exist included.
pub(super) fn bound(row: Option<&Row>, headers: &HeaderMap, unary_max: Duration) -> Option<Duration> {
    let waits = of(headers);
    if row.is_some_and(|row| row.shape == Shape::Stream) {
        return waits;
    }
    Some(waits.map_or(unary_max, |waits| waits.min(unary_max)))
}

/// Answers within the caller's and the server's time, or with what `over` makes of the status that says that it is over. What is
/// large is better handed in by its place, for it would lie in this future twice.
pub(super) async fn within<R>(
    deadline: Option<Duration>,
    answering: impl Future<Output = R>,
    over: impl FnOnce(Status) -> R,
) -> R {
    let Some(deadline) = deadline else {
        return answering.await;
    };
    if deadline.is_zero() {
        return over(passed(deadline));
    }
    let answered = tokio::time::timeout(deadline, answering).await;
    answered.unwrap_or_else(|_| over(passed(deadline)))
}

/// What is left of a call's time when its turn has come, among a request's extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left(pub(super) Option<Duration>);

impl Left {
    /// Takes off a deadline what a call has waited. When nothing is left nobody waits for it, and it is not to be begun.
    pub(super) fn of(deadline: Option<Duration>, waited: Duration) -> Self {
        Self(deadline.map(|deadline| deadline.saturating_sub(waited)))
    }
}

/// When a stream's answers come to an end, among a request's extensions: the stream goes on after its call has begun to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends(Instant);

impl Ends {
    /// Returns when the caller of a call that has arrived waits no longer, when it says so.
    pub(super) fn of(headers: &HeaderMap, arrived: Instant) -> Option<Self> {
        // What is too far away for a clock is never.
        of(headers).and_then(|waits| arrived.checked_add(waits)).map(Self)
    }
}

/// Answers one after the other, as services give them.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers while the caller waits.
pub(super) fn until<T: 'static>(
    ends: Option<Ends>,
    answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> Answers<T> {
    let Some(ends) = ends else {
        return Box::pin(answers);
    };
    let over = Status::deadline_exceeded("the stream was not over when its caller's time was");
    Box::pin(Cut {
        left: Some((Box::pin(answers), over)),
        ending: Box::pin(sleep_until(ends.0)),
    })
}

/// Answers until they end, and then what says that it is over. Whatever made the answers is given up at that moment.
struct Cut<T> {
    /// Gone when the last answer was given.
    left: Option<(Answers<T>, Status)>,
    ending: Pin<Box<Sleep>>,
}

impl<T> Stream for Cut<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Asked first: one that always has more comes to an end as well.
        if self.left.is_some() && self.ending.as_mut().poll(context).is_ready() {
            return Poll::Ready(self.left.take().map(|(_, over)| Err(over)));
        }
        let Some((answers, _)) = &mut self.left else {
            return Poll::Ready(None);
        };
        let answer = ready!(answers.as_mut().poll_next(context));
        if answer.is_none() {
            self.left = None;
        }
        Poll::Ready(answer)
    }
}

fn passed(deadline: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "no answer within {deadline:?}, as long as the caller or the server still waited"
    ))
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;
    use crate::server::access::table::row_of;

    fn waits(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, text.parse().unwrap());
        of(&headers)
    }

    #[test]
    fn a_timeout_is_read_as_the_protocol_writes_it_and_anything_else_is_none() {
        assert_eq!(waits("5S"), Some(Duration::from_secs(5)));
        assert_eq!(waits("250m"), Some(Duration::from_millis(250)));
        assert_eq!(waits("99999999H"), Some(Duration::from_hours(99_999_999)));
        assert_eq!(waits("1u"), Some(Duration::from_micros(1)));
        for wrong in ["", "S", "5", "5s", "-5S", "+5S", "123456789S", "5 S", "\u{e9}"] {
            assert_eq!(waits(wrong), None, "{wrong}");
        }
        assert_eq!(of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_call_without_a_stream_has_a_bound_whatever_its_caller_says() {
        let (get, stream) = (
            row_of("/nbo.v1.DecisionService/GetOffers"),
            row_of("/nbo.v1.BehaviourService/RecordEventsStream"),
        );
        let minute = Duration::from_mins(1);
        let mut headers = HeaderMap::new();
        assert_eq!(bound(get, &headers, minute), Some(minute));
        assert_eq!(bound(None, &headers, minute), Some(minute));
        assert_eq!(bound(stream, &headers, minute), None);
        headers.insert(HEADER, "2H".parse().unwrap());
        assert_eq!(bound(get, &headers, minute), Some(minute));
        assert_eq!(bound(stream, &headers, minute), Some(Duration::from_hours(2)));
        headers.insert(HEADER, "5S".parse().unwrap());
        assert_eq!(bound(get, &headers, minute), Some(Duration::from_secs(5)));
    }

    #[tokio::test]
    async fn a_call_whose_caller_gave_up_while_it_waited_for_its_turn_is_not_begun() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        assert_eq!(Left::of(Some(minute), second).0, Some(Duration::from_secs(59)));
        assert_eq!(Left::of(None, minute).0, None);
        let begun = async { panic!("it is begun") };
        let code = within(Left::of(Some(second), minute).0, begun, |status| status.code()).await;
        assert_eq!(code, tonic::Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn a_stream_that_has_begun_ends_with_its_callers_time_and_gives_up_what_made_it() {
        let began = Instant::now();
        let ends = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, text.parse().unwrap());
            Ends::of(&headers, began)
        };
        let (made, receiver) = tokio::sync::mpsc::channel::<Result<u8, Status>>(1);
        let mut silent = until(ends("20m"), ReceiverStream::new(receiver));
        let over = silent.next().await.unwrap().unwrap_err();
        assert_eq!(over.code(), tonic::Code::DeadlineExceeded);
        assert!(began.elapsed() >= Duration::from_millis(20) && made.is_closed());
        assert!(silent.next().await.is_none());
        // One that always has more, one that is over before, and one whose caller waits for ever.
        let mut endless = until(ends("0m"), tokio_stream::iter(std::iter::repeat_with(|| Ok(1))));
        assert!(endless.next().await.unwrap().is_err() && endless.next().await.is_none());
        for headers in [ends("9H"), ends("99999999H"), None] {
            let mut whole = until(headers, tokio_stream::iter([Ok(1)]));
            assert!(whole.next().await.unwrap().is_ok() && whole.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_call_that_outlives_its_time_ends_with_deadline_exceeded() {
        let never = std::future::pending();
        let code = within(Some(Duration::from_millis(20)), never, |status| status.code()).await;
        assert_eq!(code, tonic::Code::DeadlineExceeded);
    }
}
