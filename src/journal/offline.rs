//! Reads a log whose directory somebody else may be using: nothing is locked, nothing is changed.
//!
//! Records are only ever appended, so what was whole once stays as it is. The end may be a write that is under way, or one that a
//! crash tore; reading stops there and says so. Broken bytes in front of a later segment are damage. The oldest segments may be
//! trimmed meanwhile.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::cursor::{Cursor, Step};
use super::disk::{Directory, Disk};
use super::fault::{Fault, Proof, Wrong};
use super::frame::{file_name, first_of};
use super::{LogError, segments};

/// What was read of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first record; 0 when there is none.
    pub first: u64,
    /// The last whole record that was read; 0 when there is none.
    pub last: u64,
    /// Where and why reading stopped, when bytes follow the last whole record.
    pub torn: Option<Fault>,
}

/// Hands the records of the log in a directory on to `visit`, from the first one on until it breaks, number `until` was visited, or
/// the end as of now is reached.
///
/// # Errors
/// [`LogError::Damaged`] when what was written is not there, and [`LogError::Io`], also for a segment that was trimmed meanwhile; the
/// records up to there have been visited.
pub fn read_offline(
    directory: &Path,
    until: u64,
    visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
) -> Result<Span, LogError> {
    let failed = |doing, file: String| move |error| LogError::Io { doing, file, error };
    let place = || directory.display().to_string();
    let disk = Directory::existing(directory).map_err(failed("find", place()))?;
    let mut firsts: Vec<u64> = disk
        .list()
        .map_err(failed("list", place()))?
        .iter()
        .filter_map(|name| first_of(name))
        .collect();
    firsts.sort_unstable();
    let mut reading = Reading {
        disk: &disk,
        next: firsts.first().copied().unwrap_or(1),
        until,
        visit,
    };
    let mut span = Span {
        first: firsts.first().copied().unwrap_or(0),
        ..Span::default()
    };
    for (at, &first) in firsts.iter().enumerate() {
        let is_last = at + 1 == firsts.len();
        if reading.next > until {
            break;
        }
        match reading.segment(first, is_last)? {
            Ended::Whole => {}
            Ended::Stopped => break,
            Ended::Torn(fault) => span.torn = Some(fault),
        }
    }
    span.last = reading.next - 1;
    if span.last < span.first {
        // A segment was begun and has no whole record yet.
        (span.first, span.last) = (0, 0);
    }
    Ok(span)
}

/// How a segment ended.
enum Ended {
    /// With its last record.
    Whole,
    /// Nobody wants to read on.
    Stopped,
    /// With bytes that are no record.
    Torn(Fault),
}

struct Reading<'a> {
    disk: &'a Directory,
    /// The number of the next record.
    next: u64,
    until: u64,
    visit: &'a mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
}

impl Reading<'_> {
    fn segment(&mut self, first: u64, is_last: bool) -> Result<Ended, LogError> {
        let name = file_name(first);
        let failed = |error: io::Error| LogError::Io {
            doing: "read",
            file: name.clone(),
            error,
        };
        let fault = |offset, record, wrong| Fault {
            file: name.clone(),
            offset,
            record,
            wrong,
        };
        let damaged = |fault| LogError::Damaged(segments::damage(self.disk, fault, Proof::Read).into());
        if first != self.next {
            return Err(damaged(fault(0, self.next, Wrong::Missing { last: first - 1 })));
        }
        let file = self.disk.open(&name).map_err(failed)?;
        let mut cursor = Cursor::new(&*file, file.bytes().map_err(failed)?);
        if cursor.header().map_err(failed)?.is_err() {
            let fault = fault(0, first, Wrong::Header);
            return if is_last {
                Ok(Ended::Torn(fault))
            } else {
                Err(damaged(fault))
            };
        }
        loop {
            let offset = cursor.offset();
            match cursor.step().map_err(failed)? {
                Step::Record { sequence, record, .. } if sequence == self.next => {
                    self.next += 1;
                    if (self.visit)(sequence, record).is_break() || sequence >= self.until {
                        return Ok(Ended::Stopped);
                    }
                }
                Step::Record { sequence, .. } => {
                    return Err(damaged(fault(offset, self.next, Wrong::Order { found: sequence })));
                }
                Step::Mark { .. } => {}
                Step::Broken if is_last => return Ok(Ended::Torn(fault(offset, self.next, Wrong::Record))),
                Step::Broken => return Err(damaged(fault(offset, self.next, Wrong::Record))),
                Step::End => return Ok(Ended::Whole),
            }
        }
    }
}
