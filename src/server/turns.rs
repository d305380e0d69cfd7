//! How much a connection may send in one turn of its task.
//!
//! What comes in small frames that no call needs, pings and settings, is answered in the turn in which it is read, and the runtime
//! counts reads, not frames: a hundred thousand pings would be one turn of tens of milliseconds, in which nobody else is served.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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
}

impl<I> InTurns<I> {
    pub(super) const fn new(connection: I) -> Self {
        Self { connection, spent: 0 }
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
        self.spent = if polled.is_pending() {
            0
        } else {
            self.spent + buffer.filled().len() - before
        };
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

    #[test]
    fn a_connection_that_always_has_more_gives_way_after_a_turn_and_loses_nothing() {
        let data = vec![7; 20_000];
        let mut connection = InTurns::new(&data[..]);
        let turns = [turn(&mut connection), turn(&mut connection), turn(&mut connection)];
        assert_eq!(turns, [9_000, 9_000, 2_000]);
    }
}
