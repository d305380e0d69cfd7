//! An ordered log of opaque records, one per partition of customers: what is in it survives a crash. And what stands on it: the
//! [`Journal`] of an engine with its levels of promise, and [`checkpoint`]s.
//!
//! [`Log`] is the small trait that any backend keeps; [`SegmentLog`] keeps it in files of its own format (`frame`) in one
//! directory. The records' meaning, when to sync, and what to rebuild from them is decided by those who use it.
//!
//! # Two levels of promise
//!
//! An append that returned is with the operating system, so it survives the death of the process. [`Log::sync`] makes
//! everything appended so far survive a loss of power as well; whoever answers only after it has that promise. Which of the
//! two was promised decides what may be cut off at the end of a log ([`Tail`]).
//!
//! # Torn or damaged
//!
//! A write that a crash interrupted leaves a torn end, which is cut off and reported. Anything else that is not what was
//! written is damage: opening refuses, names file and byte, and changes nothing. How the two are told apart stands in
//! `survey`; that no answer is ever wrong silently rests on the checksum over everything in a frame.
//!
//! # Why files of our own
//!
//! fjall 3.1 was measured first, with records of 300 bytes: an append took 1.6 µs and 355 bytes (here 0.5 µs and 324). Of
//! 165 bit flips in what stands around one record in the middle of its journal, 44 made it drop everything behind that
//! record, half of the log, without an error, and so did a stretch of zeros; flips in a record itself were refused. A log that
//! holds contact caps has to refuse all of them. And the proof over every state that a loss of power can leave needs a disk
//! that a test can replace ([`disk::Disk`]).

pub mod checkpoint;
mod cursor;
#[cfg(test)]
pub(crate) mod cuts;
pub mod disk;
pub mod failpoints;
mod fault;
pub(crate) mod files;
mod frame;
mod inspect;
pub mod keys;
mod levels;
mod offline;
mod segments;
mod survey;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::ops::ControlFlow;

pub use fault::{Cut, Damage, Fault, OpenError, Proof, Wrong};
pub use frame::{FORMAT_VERSION, RECORD_BYTES_MAX};
pub use inspect::{Inspection, inspect, inspect_on, records};
pub use keys::{Found, Keys, KeysError, Table};
pub use levels::{Journal, Level, NotWritten, Settled};
pub use offline::{Span, read_offline};
pub use segments::{Opened, Options, SEGMENT_BYTES_MAX, SegmentLog, Tail};
pub use survey::Segment;

/// An ordered log of the records of one partition of customers. Records are numbered from 1 without a gap.
pub trait Log: Send + Sync {
    /// Takes the log over. Whoever had it before is fenced: its appends are refused from now on.
    ///
    /// # Errors
    ///
    /// [`LogError::Stopped`].
    fn acquire(&self) -> Result<Claim, LogError>;

    /// Appends one record, wholly or not at all, as number `expected`. Once this returns, the record survives the death of
    /// the process.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]; after each but [`AppendError::Unknown`] it is certain that nothing was appended.
    fn append(&self, epoch: u64, expected: u64, record: &[u8]) -> Result<(), AppendError>;

    /// Makes everything appended so far survive a loss of power and returns the number of the last such record. Runs
    /// beside appends; of several callers one works at a time.
    ///
    /// # Errors
    ///
    /// Any error is final: the system may have forgotten what it could not write, so trying again proves nothing. From
    /// then on appends and syncs fail with [`LogError::Stopped`].
    fn sync(&self) -> Result<u64, LogError>;

    /// Hands the records from number `from` on to `visit`, in order, until it breaks or the end as of now is reached.
    /// Appends go on meanwhile; trimming waits, so `visit` must not trim.
    ///
    /// # Errors
    ///
    /// [`LogError::Trimmed`] and [`LogError::Beyond`] when `from` is not there (the next number is no error),
    /// [`LogError::Damaged`] and [`LogError::Io`] when reading fails; records up to there have been visited.
    fn read(&self, from: u64, visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<(), LogError>;

    /// Removes records below number `before`, as far as that can be done cheaply: some of them may stay, and the last
    /// record always does. What stays is synced first.
    ///
    /// # Errors
    ///
    /// As of [`sync`](Self::sync), and [`LogError::Io`] when a file could not be removed: try again later.
    fn trim(&self, before: u64) -> Result<(), LogError>;
}

/// What the owner of a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which owner it is; larger than that of every owner whose records are in the log.
    pub epoch: u64,
    /// The number of the next record.
    pub next: u64,
}

/// Why a record was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another owner took the log over.
    #[error("another owner has taken the log over")]
    Fenced,
    /// The expected number is not the next one.
    #[error("the next record of the log is number {next}")]
    OutOfOrder {
        /// The next number.
        next: u64,
    },
    /// The system said no; nothing was written, and the log goes on. A full disk is this.
    #[error("the log did not take the record: {0}")]
    Refused(io::Error),
    /// The system said no, and a part that was written could not be taken back: whether the record is in the log shows
    /// when it is opened anew. It takes nothing until then.
    #[error("cannot know whether the log took the record: {0}; it is stopped")]
    Unknown(io::Error),
    /// Something failed for good earlier. The log takes nothing until it is opened anew.
    #[error("the log is stopped: {why}")]
    Stopped {
        /// What failed.
        why: String,
    },
}

/// Why something else could not be done.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Something failed for good. The log takes nothing until it is opened anew.
    #[error("the log is stopped: {why}")]
    Stopped {
        /// What failed.
        why: String,
    },
    /// The record was trimmed.
    #[error("the log begins with record {first}")]
    Trimmed {
        /// The first record that is there.
        first: u64,
    },
    /// The record was never appended, or is lost.
    #[error("the log ends in front of record {next}")]
    Beyond {
        /// The number of the next record.
        next: u64,
    },
    /// The files are not what was written.
    #[error("{0}")]
    Damaged(Box<Damage>),
    /// The system said no.
    #[error("cannot {doing} {file}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        file: String,
        /// What the system said.
        error: io::Error,
    },
}
