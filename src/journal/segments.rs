//! A log in segment files, in one directory that no second program may use.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::cursor::{Cursor, Step};
use super::disk::{Directory, Disk, LockError};
use super::failpoints::fail_point;
use super::fault::{Cut, Damage, Fault, OpenError, Proof, Wrong};
use super::frame::{HEADER_BYTES, file_name};
use super::survey::{Survey, Verdict, survey};
use super::writer::{Part, Writer};
use super::{AppendError, Claim, Log, LogError};

/// How large a segment grows, in bytes: trimming frees this much at once, and reading from the middle of a log looks through
/// half of it, tens of milliseconds.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// What may be cut off the end of a log, by what its appends promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tail {
    /// Every append was a promise (level `process`): only the last write can be torn, so whole records behind broken bytes
    /// prove damage.
    #[default]
    RefuseIfWholeRecordsFollow,
    /// Only what was synced was promised (level `power`): a loss of power may leave any of the writes behind that, and all
    /// of them may go from the first broken one on.
    CutUnsynced,
}

/// How a log is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How large a segment grows, in bytes; a larger record has one of its own.
    pub segment_bytes_max: u64,
    /// What may be cut off.
    pub tail: Tail,
    /// Segments that hold nothing from this record on are not read at opening but for their headers; whatever reads them
    /// later finds their damage. Give what the newest checkpoint needs; 0 reads everything.
    pub verify_from: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            tail: Tail::default(),
            verify_from: 0,
        }
    }
}

/// What was found when a log was opened. All of it is safe from a loss of power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The first record; larger than `last` when there is none.
    pub first: u64,
    /// The last record; 0 in a new log.
    pub last: u64,
    /// How many files hold it.
    pub segments: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// What was cut off.
    pub cut: Option<Cut>,
}

/// A log in segment files.
pub struct SegmentLog {
    disk: Arc<dyn Disk>,
    segment_bytes_max: u64,
    writer: Mutex<Writer>,
    /// The last record that is safe from a loss of power.
    synced: AtomicU64,
    /// The highest synced mark that is safe from a loss of power.
    marked: AtomicU64,
    /// Held by the one that syncs.
    syncing: Mutex<()>,
    /// Held by those that read, and alone by the one that removes segments.
    reading: RwLock<()>,
    /// Keeps other programs out of the directory.
    _lock: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for SegmentLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentLog")
            .field("place", &self.disk.place())
            .finish_non_exhaustive()
    }
}

impl SegmentLog {
    /// Opens the log in a directory, which is made when it is missing.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; unless what was torn was being cut off, nothing was changed.
    pub fn open(directory: &Path, options: &Options) -> Result<(Self, Opened), OpenError> {
        let disk = Directory::create(directory).map_err(|error| OpenError::Io {
            place: directory.display().to_string(),
            doing: "make the directory of",
            error,
        })?;
        Self::open_on(Arc::new(disk), options)
    }

    /// The same on any disk.
    ///
    /// # Errors
    ///
    /// As of [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, options: &Options) -> Result<(Self, Opened), OpenError> {
        let failed = |doing| {
            let place = disk.place();
            move |error| OpenError::Io { place, doing, error }
        };
        let lock = disk.lock().map_err(|error| match error {
            LockError::Taken { process } => OpenError::Taken {
                place: disk.place(),
                process,
            },
            LockError::Io(error) => failed("lock")(error),
        })?;
        let mut survey = survey(&*disk, options.verify_from).map_err(failed("read"))?;
        let cut = match survey.verdict(options.tail) {
            Verdict::Whole => None,
            Verdict::Torn(fault) => Some(cut(&*disk, &mut survey, fault).map_err(failed("cut the end off"))?),
            Verdict::Damaged(fault, proof) => {
                return Err(OpenError::Damaged(damage(&*disk, fault, proof).into()));
            }
        };
        sync_found(&*disk, &survey).map_err(failed("sync"))?;
        let next = survey.next.max(1);
        let segments = &survey.segments;
        let opened = Opened {
            first: segments.first().map_or(next, |segment| segment.first),
            last: next - 1,
            segments: segments.len(),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            cut,
        };
        let parts = segments.iter().map(|segment| Part {
            first: segment.first,
            bytes: segment.bytes,
        });
        let epoch = segments.last().map_or(0, |segment| segment.epoch);
        let log = Self {
            segment_bytes_max: options.segment_bytes_max,
            writer: Mutex::new(Writer::new(epoch, next, survey.synced, parts.collect())),
            synced: AtomicU64::new(next - 1),
            marked: AtomicU64::new(survey.synced),
            syncing: Mutex::new(()),
            reading: RwLock::new(()),
            _lock: lock,
            disk,
        };
        Ok((log, opened))
    }

    /// Returns the segments from the one that holds record `from` on, and the next record's number.
    fn parts_from(&self, from: u64) -> Result<(Vec<Part>, u64), LogError> {
        let writer = self.writer.lock();
        if from > writer.next {
            return Err(LogError::Beyond { next: writer.next });
        }
        if from < writer.first() {
            return Err(LogError::Trimmed { first: writer.first() });
        }
        let behind = writer.parts.partition_point(|part| part.first <= from);
        let parts = writer.parts.iter().skip(behind.saturating_sub(1)).copied();
        Ok((parts.collect(), writer.next))
    }

    /// Visits the records of one segment from number `from` on; it must hold all of those in front of `next`.
    fn read_part(
        &self,
        part: Part,
        (from, next): (u64, u64),
        visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LogError> {
        let name = file_name(part.first);
        let failed = |error| LogError::Io {
            doing: "read",
            file: name.clone(),
            error,
        };
        let damaged = |offset, record, wrong| {
            let file = name.clone();
            let fault = Fault {
                file,
                offset,
                record,
                wrong,
            };
            Err(LogError::Damaged(damage(&*self.disk, fault, Proof::Read).into()))
        };
        let file = self.disk.open(&name).map_err(failed)?;
        let mut cursor = Cursor::new(&*file, part.bytes);
        if cursor.header().map_err(failed)?.is_err() {
            return damaged(0, part.first, Wrong::Header);
        }
        let mut expected = part.first;
        while expected < next {
            let offset = cursor.offset();
            match cursor.step().map_err(failed)? {
                Step::Record { sequence, record, .. } if sequence == expected => {
                    expected += 1;
                    if sequence >= from && visit(sequence, record).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Step::Record { sequence, .. } => return damaged(offset, expected, Wrong::Order { found: sequence }),
                Step::Mark { .. } => {}
                Step::Broken => return damaged(offset, expected, Wrong::Record),
                Step::End => return damaged(offset, expected, Wrong::NoRecord),
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Removes the oldest segment if another begins with record `before` or earlier; returns whether it did.
    fn trim_one(&self, before: u64) -> Result<bool, LogError> {
        let first = {
            let writer = self.writer.lock();
            let (Some(part), Some(following)) = (writer.parts.front(), writer.parts.get(1)) else {
                return Ok(false);
            };
            if following.first > before {
                return Ok(false);
            }
            part.first
        };
        fail_point("log::trim");
        let file = file_name(first);
        if let Err(error) = self.disk.remove(&file) {
            let doing = "remove";
            return Err(LogError::Io { doing, file, error });
        }
        self.writer.lock().parts.pop_front();
        // One after the other: a loss of power must not take a later one and leave an earlier one.
        self.disk
            .sync_directory()
            .map_err(|error| self.stop(format!("syncing the directory failed: {error}")))?;
        Ok(true)
    }

    fn stop(&self, why: String) -> LogError {
        self.writer.lock().stop(why.clone());
        LogError::Stopped { why }
    }
}

/// Cuts everything off from a fault on, so that what is left is whole, and safe from a loss of power.
fn cut(disk: &dyn Disk, survey: &mut Survey, fault: Fault) -> io::Result<Cut> {
    let total: u64 = survey.segments.iter().map(|segment| segment.bytes).sum();
    let mut removed = Vec::new();
    // A segment of which no record is whole goes altogether.
    let kept = if fault.offset > HEADER_BYTES as u64 {
        fault.offset
    } else {
        0
    };
    while let Some(segment) = survey.segments.pop() {
        let file = segment.file();
        if file == fault.file && kept > 0 {
            disk.cut(&file, kept)?;
            survey.segments.push(super::Segment { bytes: kept, ..segment });
            break;
        }
        disk.remove(&file)?;
        let is_last = file == fault.file;
        removed.push(file);
        if is_last {
            break;
        }
    }
    disk.sync_directory()?;
    survey.next = fault.record;
    let left: u64 = survey.segments.iter().map(|segment| segment.bytes).sum();
    Ok(Cut {
        after: fault.record - 1,
        bytes: total - left,
        removed,
        fault,
    })
}

pub(super) fn damage(disk: &dyn Disk, fault: Fault, proof: Proof) -> Damage {
    let place = disk.place();
    Damage { place, fault, proof }
}

/// Makes safe what an earlier process may have left to the operating system.
fn sync_found(disk: &dyn Disk, survey: &Survey) -> io::Result<()> {
    let firsts = survey.segments.iter().map(|segment| segment.first).skip(1);
    let nexts = firsts.chain([survey.next]);
    for (segment, next) in survey.segments.iter().zip(nexts) {
        if next > survey.synced + 1 {
            disk.sync_file(&segment.file())?;
        }
    }
    disk.sync_directory()
}

impl Log for SegmentLog {
    fn acquire(&self) -> Result<Claim, LogError> {
        let mut writer = self.writer.lock();
        writer.stopped().map_err(|why| LogError::Stopped { why })?;
        Ok(writer.claim())
    }

    fn append(&self, epoch: u64, expected: u64, record: &[u8]) -> Result<(), AppendError> {
        let mut writer = self.writer.lock();
        let synced = self.synced.load(Ordering::Acquire);
        writer.append(&*self.disk, self.segment_bytes_max, (epoch, expected, synced), record)
    }

    fn sync(&self) -> Result<u64, LogError> {
        let _one = self.syncing.lock();
        fail_point("log::before_sync");
        let batch = {
            let mut writer = self.writer.lock();
            writer.stopped().map_err(|why| LogError::Stopped { why })?;
            writer.take_batch()
        };
        if batch.files.is_empty() && !batch.is_directory_changed {
            return Ok(batch.last);
        }
        for file in &batch.files {
            file.sync()
                .map_err(|error| self.stop(format!("a sync failed: {error}")))?;
        }
        if batch.is_directory_changed {
            self.disk
                .sync_directory()
                .map_err(|error| self.stop(format!("syncing the directory failed: {error}")))?;
        }
        self.marked.store(batch.marked, Ordering::Release);
        self.synced.store(batch.last, Ordering::Release);
        self.writer.lock().mark(batch.last);
        Ok(batch.last)
    }

    fn read(&self, from: u64, visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<(), LogError> {
        // A reader may read again inside of `visit`, even when somebody waits to trim.
        let _kept = self.reading.read_recursive();
        let (parts, next) = self.parts_from(from)?;
        let firsts = parts.iter().map(|part| part.first).skip(1);
        let nexts: VecDeque<u64> = firsts.chain([next]).collect();
        for (&part, next) in parts.iter().zip(nexts) {
            if self.read_part(part, (from, next), visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn trim(&self, before: u64) -> Result<(), LogError> {
        // What stays has to be safe before what it follows goes, or a loss of power could take both.
        let mut before = self.sync()?.min(before);
        if self.marked.load(Ordering::Acquire) + 1 < before {
            // The first sync had it written that these records are safe; now that is safe itself.
            self.sync()?;
        }
        before = before.min(self.marked.load(Ordering::Acquire) + 1);
        let _alone = self.reading.write();
        while self.trim_one(before)? {}
        Ok(())
    }
}
