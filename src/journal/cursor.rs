//! Walks the frames of one segment and, behind broken bytes, finds the next whole one.

use std::io;

use super::disk::DiskFile;
use super::frame::{FRAME_BYTES, Frame, HEADER_BYTES, Header, NoHeader};

/// How much is read at once: few system calls, and little memory for whoever wants one record.
const CHUNK_BYTES: usize = 256 << 10;

/// What stands next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A whole record.
    Record {
        sequence: u64,
        /// What was safe from a loss of power when it was written.
        synced: u64,
        record: &'a [u8],
    },
    /// Everything up to this number was safe.
    Mark { synced: u64 },
    /// Bytes that are no frame.
    Broken,
    /// Nothing.
    End,
}

/// A place in a segment.
pub(super) struct Cursor<'a> {
    file: &'a dyn DiskFile,
    /// Where in the file the buffer begins.
    start: u64,
    /// Where in the buffer the cursor is.
    at: usize,
    /// Where the segment ends.
    end: u64,
    buffer: Vec<u8>,
}

impl<'a> Cursor<'a> {
    /// Stands at the start of a file of which the first `bytes` are looked at.
    pub(super) fn new(file: &'a dyn DiskFile, bytes: u64) -> Self {
        Self {
            file,
            start: 0,
            at: 0,
            end: bytes,
            buffer: Vec::new(),
        }
    }

    /// Returns the place in the file, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// Reads the header and goes behind it if it is one.
    pub(super) fn header(&mut self) -> io::Result<Result<Header, NoHeader>> {
        self.fill(HEADER_BYTES)?;
        let Some(bytes) = self.ahead().first_chunk() else {
            return Ok(Err(NoHeader::Damaged));
        };
        let header = Header::read(bytes);
        if header.is_ok() {
            self.at += HEADER_BYTES;
        }
        Ok(header)
    }

    /// Reads a frame and goes behind it if it is one.
    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        self.fill(FRAME_BYTES)?;
        if self.ahead().is_empty() {
            return Ok(Step::End);
        }
        let Some(frame) = self.ahead().first_chunk().and_then(Frame::read) else {
            return Ok(Step::Broken);
        };
        self.fill(frame.bytes())?;
        if !frame.holds(self.ahead()) {
            return Ok(Step::Broken);
        }
        let start = self.at;
        self.at += frame.bytes();
        if frame.is_mark() {
            return Ok(Step::Mark { synced: frame.synced });
        }
        Ok(Step::Record {
            sequence: frame.sequence,
            synced: frame.synced,
            record: &self.buffer[start + FRAME_BYTES..self.at],
        })
    }

    /// Goes to the next whole frame behind this byte that belongs to the record `from` or a later one; tells whether
    /// there is any.
    pub(super) fn seek_whole(&mut self, from: u64) -> io::Result<bool> {
        let left = self.end.saturating_sub(self.offset());
        self.fill(usize::try_from(left).unwrap_or(usize::MAX))?;
        // So few frames fit in: other numbers are no sequence numbers, and their checksums need not be reckoned.
        let plausible = from..=from.saturating_add(left / FRAME_BYTES as u64 + 1);
        let ahead = self.ahead();
        let found = (1..ahead.len()).find(|&skipped| {
            let bytes = &ahead[skipped..];
            let frame = bytes.first_chunk().and_then(Frame::read);
            frame.is_some_and(|frame| plausible.contains(&frame.sequence) && frame.holds(bytes))
        });
        self.at += found.unwrap_or(ahead.len());
        Ok(found.is_some())
    }

    /// Returns what is in memory from the cursor on.
    fn ahead(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Brings at least `wanted` bytes into memory, or all that are left.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        let have = self.buffer.len() - self.at;
        if have >= wanted {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.start += self.at as u64;
        self.at = 0;
        let left = self.end.saturating_sub(self.start + have as u64);
        let more = (wanted - have)
            .max(CHUNK_BYTES)
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        self.buffer.resize(have + more, 0);
        let mut filled = have;
        while filled < self.buffer.len() {
            let read = self
                .file
                .read_at(self.start + filled as u64, &mut self.buffer[filled..]);
            match read {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.truncate(filled);
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}
