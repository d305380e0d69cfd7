//! How much memory unfinished requests may take, all together.
//!
//! A message has to be kept until it is whole, and a caller may take his time with its last byte. So what each
//! connection may begin, calls times the longest message, would be a gigabyte for every single one. Here all
//! connections of a port share [`BODIES_BYTES_MAX`]; a call that needs more of it than is left is refused, and may come
//! again. The last part is kept for the beginnings of requests, which are the whole of nearly every one: whoever sends
//! long ones without end does not keep page views out.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use hyper::HeaderMap;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::CONTENT_TYPE;
use tonic::Status;

use crate::telemetry::Meters;

use super::limits::{BODIES_BYTES_KEPT_FOR_SHORT, BODIES_BYTES_MAX, BODY_BYTES_SHORT, CAMPAIGN_MESSAGE_BYTES_MAX};

/// The bytes before a message of gRPC: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// What is taken of the memory for unfinished requests.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    meters: Arc<Meters>,
}

impl Room {
    /// Makes room in which nothing is taken.
    pub(super) fn new(meters: &Arc<Meters>) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            meters: Arc::clone(meters),
        }
    }

    /// Takes `bytes` more for a request that then has `own` of them; tells whether there was room.
    fn take(&self, bytes: usize, own: usize) -> bool {
        let kept = if own > BODY_BYTES_SHORT {
            BODIES_BYTES_KEPT_FOR_SHORT
        } else {
            0
        };
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= BODIES_BYTES_MAX - kept;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Where one message of gRPC ends and the next begins.
///
/// A message counts with the length that it says: that much memory is asked for at once, whatever of it has come.
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// How much of the prefix has come.
    prefix: usize,
    /// The length, as far as its bytes have come.
    length: usize,
    /// How much of the message is still to come.
    missing: usize,
}

impl Framing {
    /// Follows what has come; returns how much is kept of a message that is not whole.
    pub(super) fn follow(&mut self, mut data: &[u8]) -> usize {
        while let Some(&byte) = data.first() {
            if self.prefix < PREFIX_BYTES {
                // The first byte says nothing of the length.
                self.length = if self.prefix == 0 {
                    0
                } else {
                    self.length << 8 | usize::from(byte)
                };
                self.prefix += 1;
                self.missing = self.length;
                data = &data[1..];
            } else {
                let part = self.missing.min(data.len());
                self.missing -= part;
                data = &data[part..];
            }
            if self.prefix == PREFIX_BYTES && self.missing == 0 {
                self.prefix = 0;
            }
        }
        // One that is too long for every method is refused, and no memory is asked for.
        let is_kept = self.prefix == PREFIX_BYTES && self.length <= CAMPAIGN_MESSAGE_BYTES_MAX;
        if is_kept {
            PREFIX_BYTES + self.length
        } else {
            self.prefix
        }
    }
}

/// What a part takes besides its data.
const PART_BYTES: usize = 256;

/// A part of a body, a fault, or the end.
type Part = Option<Result<Frame<Bytes>, axum::BoxError>>;

/// The body of a request, counted.
pub(super) struct Counted {
    body: Incoming,
    room: Arc<Room>,
    /// Absent when the whole body is one message.
    framing: Option<Framing>,
    held: usize,
    /// What was read before anybody asked for it.
    early: VecDeque<Part>,
    /// What that takes of the room.
    early_bytes: usize,
    is_early_over: bool,
}

impl Counted {
    /// Counts a body that comes with these headers.
    pub(super) fn new(body: Incoming, headers: &HeaderMap, room: &Arc<Room>) -> Self {
        let kind = headers.get(CONTENT_TYPE).map(hyper::header::HeaderValue::as_bytes);
        let is_framed = kind.is_some_and(|kind| {
            kind.starts_with(b"application/grpc") && !kind.starts_with(b"application/grpc-web-text")
        });
        Self {
            body,
            room: Arc::clone(room),
            framing: is_framed.then(Framing::default),
            held: 0,
            early: VecDeque::new(),
            early_bytes: 0,
            is_early_over: false,
        }
    }

    /// Tells whether all of the body has come, or as much as is not short any more. To be asked before it is read.
    pub(super) async fn is_there(&mut self) -> bool {
        poll_fn(|context| Poll::Ready(self.poll_early(context).is_ready())).await
    }

    /// Waits until it is so.
    pub(super) async fn comes(&mut self) {
        poll_fn(|context| self.poll_early(context)).await;
    }

    fn poll_early(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.is_early_over {
            let part = ready!(self.poll_part(context));
            let data = match &part {
                Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => 0,
            };
            let bytes = data + PART_BYTES;
            let is_counted = self.room.take(bytes, BODY_BYTES_SHORT);
            self.early_bytes += if is_counted { bytes } else { 0 };
            let is_last = !matches!(part, Some(Ok(_)));
            self.is_early_over =
                is_last || !is_counted || self.early_bytes > BODY_BYTES_SHORT || self.body.is_end_stream();
            self.early.push_back(part);
        }
        Poll::Ready(())
    }

    /// Gives back what was read early takes.
    fn end_early(&mut self) {
        self.room.give_back(std::mem::take(&mut self.early_bytes));
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Part> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)?) else {
            return Poll::Ready(None);
        };
        if let Some(data) = frame.data_ref() {
            self.count(data)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn count(&mut self, data: &[u8]) -> Result<(), Status> {
        let held = match &mut self.framing {
            Some(framing) => framing.follow(data),
            None => self.held + data.len(),
        };
        if held > self.held && !self.room.take(held - self.held, held) {
            self.room.meters.refused_body();
            return Err(Status::resource_exhausted(format!(
                "the server holds {BODIES_BYTES_MAX} bytes of requests that are not whole yet, the most it takes; send it \
                 again later"
            )));
        }
        self.room.give_back(self.held.saturating_sub(held));
        self.held = held;
        Ok(())
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.early.pop_front() {
            Some(part) => {
                if self.early.is_empty() {
                    self.end_early();
                }
                Poll::Ready(part)
            }
            None => self.poll_part(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.early.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.early.is_empty() {
            self.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.room.give_back(self.held);
        self.end_early();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unfinished_counts_however_it_is_cut() {
        let message = |length: u32| [&[0][..], &length.to_be_bytes(), &vec![7; length as usize]].concat();
        let bytes = [message(0), message(3), message(300), message(70_000)[..40_000].to_vec()].concat();
        for part in [1, 2, 4, 5, 7, 299, 1_000, bytes.len()] {
            let mut framing = Framing::default();
            let held = bytes.chunks(part).map(|data| framing.follow(data)).last();
            assert_eq!(held, Some(70_005), "in parts of {part}");
        }
    }

    #[test]
    fn a_length_that_no_method_takes_is_not_counted() {
        let mut framing = Framing::default();
        assert_eq!(framing.follow(&[0, 255, 255, 255, 255, 1, 2]), PREFIX_BYTES);
    }

    #[test]
    fn long_requests_leave_room_for_short_ones() {
        let room = Room::new(&Arc::new(Meters::new(Vec::new())));
        let long = BODIES_BYTES_MAX - BODIES_BYTES_KEPT_FOR_SHORT;
        assert!(room.take(long, long));
        assert!(!room.take(1, BODY_BYTES_SHORT + 1));
        assert!(room.take(1, BODY_BYTES_SHORT));
        assert!(room.take(BODIES_BYTES_KEPT_FOR_SHORT - 1, 1));
        assert!(!room.take(1, 1));
        room.give_back(long);
        assert!(room.take(1, BODY_BYTES_SHORT + 1));
    }
}
