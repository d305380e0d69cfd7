//! Looks through the log in a directory and tells everything that is wrong, without changing anything.

use std::io;
use std::path::Path;

use super::cursor::{Cursor, Step};
use super::disk::{Directory, Disk, LockError};
use super::fault::{Fault, OpenError};
use super::segments::Tail;
use super::survey::{Segment, Verdict, survey};

/// What a log holds, and all that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The segments, oldest first.
    pub segments: Vec<Segment>,
    /// The first record; 0 when there is none.
    pub first: u64,
    /// The last whole record; 0 when there is none.
    pub last: u64,
    /// How many whole records there are.
    pub records: u64,
    /// How many bytes the segments have.
    pub bytes: u64,
    /// What is wrong, in order.
    pub faults: Vec<Fault>,
    /// Whether opening would refuse: the faults are not only the end of an interrupted write.
    pub is_damaged: bool,
}

/// Looks through the log in a directory; `tail` as it would be opened with.
///
/// # Errors
///
/// [`OpenError::Taken`] when a server uses it, since then the last write may be half done; [`OpenError::Io`].
pub fn inspect(directory: &Path, tail: Tail) -> Result<Inspection, OpenError> {
    let disk = Directory::existing(directory).map_err(|error| OpenError::Io {
        place: directory.display().to_string(),
        doing: "find",
        error,
    })?;
    inspect_on(&disk, tail)
}

/// Hands every whole record of the log in a directory that nobody uses on to `visit`, as far as its segments can be read.
///
/// # Errors
///
/// As of [`inspect`].
pub fn records(directory: &Path, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), OpenError> {
    let failed = |error: io::Error| OpenError::Io {
        place: directory.display().to_string(),
        doing: "read",
        error,
    };
    let disk = Directory::existing(directory).map_err(failed)?;
    let survey = survey(&disk, u64::MAX).map_err(failed)?;
    for segment in survey.segments {
        let file = disk.open(&segment.file()).map_err(failed)?;
        let mut cursor = Cursor::new(&*file, segment.bytes);
        if cursor.header().map_err(failed)?.is_err() {
            continue;
        }
        loop {
            match cursor.step().map_err(failed)? {
                Step::Record { sequence, record, .. } => visit(sequence, record),
                Step::Mark { .. } => {}
                Step::Broken | Step::End => break,
            }
        }
    }
    Ok(())
}

/// The same on any disk.
///
/// # Errors
///
/// As of [`inspect`].
pub fn inspect_on(disk: &dyn Disk, tail: Tail) -> Result<Inspection, OpenError> {
    let failed = |error: io::Error| OpenError::Io {
        place: disk.place(),
        doing: "read",
        error,
    };
    let _lock = disk.lock_to_read().map_err(|error| match error {
        LockError::Taken { process } => OpenError::Taken {
            place: disk.place(),
            process,
        },
        LockError::Io(error) => failed(error),
    })?;
    let survey = survey(disk, 0).map_err(failed)?;
    let is_damaged = matches!(survey.verdict(tail), Verdict::Damaged(..));
    let records = survey.segments.iter().filter_map(|segment| segment.records).sum();
    Ok(Inspection {
        first: survey.segments.first().map_or(0, |segment| segment.first),
        last: survey.next.saturating_sub(1),
        records,
        bytes: survey.segments.iter().map(|segment| segment.bytes).sum(),
        segments: survey.segments,
        faults: survey.faults,
        is_damaged,
    })
}
