//! How much a connection may send in one turn of its task.
//!
//! What comes in small frames that no call needs, pings and settings, is answered in the turn in which it is read, and the runtime
//! counts reads, not frames: a hundred thousand pings would be one turn of tens of milliseconds, in which nobody else is served.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of a turn: some thirty page views, or five hundred pings.
const TURN_BYTES: usize = 8 * 1024;
/// What a write counts as: each is a call of the system, and a ping is answered by one of its own.
const WRITE_BYTES: usize = 1024;

/// A connection that gives way after each turn.
pub(super) struct InTurns<I> {
    connection: I,
    /// Bytes of this turn so far.
    spent: usize,
    /// Whether nothing was there when it was last read.
    is_idle: bool,
    busy: Arc<Busy>,
}

/// Since when there is always more to read of a connection, or was when it last had something: what it sent before that was read before.
#[derive(Debug)]
pub(super) struct Busy {
    began: Instant,
    /// Microseconds from there.
    since: AtomicU64,
}

impl Busy {
    fn begin(&self) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.since.store(micros, Ordering::Relaxed);
    }

    /// Returns that time.
    pub(super) fn since(&self) -> Instant {
        self.began + Duration::from_micros(self.since.load(Ordering::Relaxed))
    }
}

impl Default for Busy {
    /// A connection that has sent nothing.
    fn default() -> Self {
        Self {
            began: Instant::now(),
            since: AtomicU64::default(),
        }
    }
}

impl<I> InTurns<I> {
    /// Tells `busy` when there is something to read after there was nothing.
    pub(super) const fn new(connection: I, busy: Arc<Busy>) -> Self {
        Self {
            connection,
            spent: 0,
            is_idle: true,
            busy,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for InTurns<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.spent >= TURN_BYTES {
            self.spent = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.connection).poll_read(context, buffer);
        // Nothing is there: the next turn begins when something is.
        if polled.is_pending() {
            self.is_idle = true;
            self.spent = 0;
        } else {
            if std::mem::take(&mut self.is_idle) {
                self.busy.begin();
            }
            self.spent += buffer.filled().len() - before;
        }
        ready!(polled)?;
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for InTurns<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.spent += WRITE_BYTES;
        Pin::new(&mut self.connection).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.spent += WRITE_BYTES;
        Pin::new(&mut self.connection).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Reads until there is a pause, and returns how much.
    fn turn(connection: &mut InTurns<&[u8]>) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut all = 0;
        loop {
            let mut room = [0; 1_000];
            let mut buffer = ReadBuf::new(&mut room);
            match Pin::new(&mut *connection).poll_read(&mut context, &mut buffer) {
                Poll::Ready(read) => read.unwrap(),
                Poll::Pending => return all,
            }
            match buffer.filled().len() {
                0 => return all,
                read => all += read,
            }
        }
    }

    #[tokio::test]
    async fn a_connection_is_busy_since_it_had_something_to_read_after_it_had_nothing() {
        let (mut sender, receiver) = tokio::io::duplex(64);
        let busy = Arc::<Busy>::default();
        let mut connection = InTurns::new(receiver, Arc::clone(&busy));
        let mut room = [0; 4];
        let mut begins = Vec::new();
        // Eight bytes are read in two parts; then there is nothing, and then more.
        for send in [8, 0, 8, 0] {
            busy.since.store(u64::MAX, Ordering::Relaxed);
            sender.write_all(&vec![7; send]).await.unwrap();
            connection.read_exact(&mut room).await.unwrap();
            begins.push(busy.since.load(Ordering::Relaxed) != u64::MAX);
            if send == 0 {
                let mut context = Context::from_waker(Waker::noop());
                let mut buffer = ReadBuf::new(&mut room);
                let polled = Pin::new(&mut connection).poll_read(&mut context, &mut buffer);
                assert!(polled.is_pending());
            }
        }
        assert_eq!(begins, [true, false, true, false]);
    }

    #[test]
    fn a_connection_that_always_has_more_gives_way_after_a_turn_and_loses_nothing() {
        let data = vec![7; 20_000];
        let busy = Arc::<Busy>::default();
        let mut connection = InTurns::new(&data[..], Arc::clone(&busy));
        let first = turn(&mut connection);
        // It is busy all the while.
        busy.since.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(
            [first, turn(&mut connection), turn(&mut connection)],
            [9_000, 9_000, 2_000]
        );
        assert_eq!(busy.since.load(Ordering::Relaxed), u64::MAX);
    }
}
