//! The end of a log, where records are appended: one write a record.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::failpoints::{fail_point, is_due};
use super::frame::{FRAME_BYTES, Frame, Header, RECORD_BYTES_MAX, file_name};
use super::{AppendError, Claim};

/// What the buffer keeps of a large record, in bytes.
const BUFFER_BYTES_MAX: usize = 256 << 10;

/// A segment of an open log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) first: u64,
    /// How much of the file holds whole records.
    pub(super) bytes: u64,
}

/// The segment that is appended to.
struct Active {
    file: Arc<dyn DiskFile>,
    is_synced: bool,
}

/// What has to be synced so that everything up to a record is safe.
pub(super) struct Batch {
    pub(super) files: Vec<Arc<dyn DiskFile>>,
    /// Whether files were begun, so that the directory has to be synced too.
    pub(super) is_directory_changed: bool,
    /// The last record that is safe then.
    pub(super) last: u64,
    /// The highest synced mark that is safe then.
    pub(super) marked: u64,
}

/// Everything that an append needs, under one lock.
pub(super) struct Writer {
    epoch: u64,
    pub(super) next: u64,
    /// All segments, oldest first; the last one is the active one if there is any.
    pub(super) parts: VecDeque<Part>,
    /// Begun with the first record of an owner, so that no segment has two.
    active: Option<Active>,
    /// Earlier segments that are not safe yet.
    unsynced: Vec<Arc<dyn DiskFile>>,
    is_directory_changed: bool,
    /// The highest synced mark that was written.
    marked: u64,
    /// Why nothing is taken any more.
    stopped: Option<String>,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn new(epoch: u64, next: u64, marked: u64, parts: VecDeque<Part>) -> Self {
        Self {
            epoch,
            next,
            parts,
            active: None,
            unsynced: Vec::new(),
            is_directory_changed: false,
            marked,
            stopped: None,
            buffer: Vec::new(),
        }
    }

    /// Returns the number of the first record that is there, or of the next one.
    pub(super) fn first(&self) -> u64 {
        self.parts.front().map_or(self.next, |part| part.first)
    }

    pub(super) fn stopped(&self) -> Result<(), String> {
        self.stopped.clone().map_or(Ok(()), Err)
    }

    /// Takes nothing from now on; what stopped it first is kept.
    pub(super) fn stop(&mut self, why: String) {
        self.stopped.get_or_insert(why);
    }

    pub(super) fn claim(&mut self) -> Claim {
        self.epoch += 1;
        self.seal();
        Claim {
            epoch: self.epoch,
            next: self.next,
        }
    }

    /// Appends a record as the owner `epoch`; `synced` is what is known to be safe.
    pub(super) fn append(
        &mut self,
        disk: &dyn Disk,
        segment_bytes_max: u64,
        (epoch, expected, synced): (u64, u64, u64),
        record: &[u8],
    ) -> Result<(), AppendError> {
        if epoch != self.epoch {
            return Err(AppendError::Fenced);
        }
        self.stopped().map_err(|why| AppendError::Stopped { why })?;
        if expected != self.next {
            return Err(AppendError::OutOfOrder { next: self.next });
        }
        if record.len() > RECORD_BYTES_MAX {
            let bytes = record.len();
            let message = format!("the record has {bytes} bytes, at most {RECORD_BYTES_MAX} are allowed");
            return Err(AppendError::Refused(io::Error::new(
                io::ErrorKind::InvalidInput,
                message,
            )));
        }
        let room = segment_bytes_max.saturating_sub((FRAME_BYTES + record.len()) as u64);
        if self.parts.back().is_some_and(|part| part.bytes > room) {
            self.seal();
        }
        self.buffer.clear();
        if self.active.is_none() {
            let first = self.next;
            Header { epoch, first }.write(&mut self.buffer);
        }
        Frame::write(self.next, synced, record, &mut self.buffer);
        fail_point("log::before_write");
        if is_due("log::torn_write") {
            self.buffer.truncate(self.buffer.len() / 2);
            drop(self.write(disk));
            std::process::abort();
        }
        let written = self.write(disk);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_MAX);
        written?;
        self.next += 1;
        self.marked = synced;
        fail_point("log::after_write");
        Ok(())
    }

    /// Ends the active segment; the next record begins another.
    fn seal(&mut self) {
        let active = self.active.take().filter(|active| !active.is_synced);
        self.unsynced.extend(active.map(|active| active.file));
    }

    /// Writes the buffer at the end of the active segment, or as the beginning of a new one.
    fn write(&mut self, disk: &dyn Disk) -> Result<(), AppendError> {
        let bytes = self.buffer.len() as u64;
        if let (Some(active), Some(part)) = (&mut self.active, self.parts.back_mut()) {
            active.is_synced = false;
            if let Err(error) = active.file.append(&self.buffer) {
                let taken_back = active.file.set_bytes(part.bytes);
                return Err(self.not_written(error, taken_back));
            }
            part.bytes += bytes;
            return Ok(());
        }
        let first = self.next;
        let name = file_name(first);
        let file = disk.create(&name).map_err(AppendError::Refused)?;
        self.is_directory_changed = true;
        if let Err(error) = file.append(&self.buffer) {
            let taken_back = disk.remove(&name);
            return Err(self.not_written(error, taken_back));
        }
        self.parts.push_back(Part { first, bytes });
        self.active = Some(Active { file, is_synced: false });
        Ok(())
    }

    fn not_written(&mut self, error: io::Error, taken_back: io::Result<()>) -> AppendError {
        match taken_back {
            Ok(()) => AppendError::Refused(error),
            Err(second) => {
                self.stop(format!(
                    "a write failed ({error}) and could not be taken back ({second})"
                ));
                AppendError::Unknown(error)
            }
        }
    }

    /// Takes what has to be synced; the caller syncs it, without this lock.
    pub(super) fn take_batch(&mut self) -> Batch {
        let mut files = std::mem::take(&mut self.unsynced);
        if let Some(active) = self.active.as_mut().filter(|active| !active.is_synced) {
            active.is_synced = true;
            files.push(Arc::clone(&active.file));
        }
        Batch {
            files,
            is_directory_changed: std::mem::take(&mut self.is_directory_changed),
            last: self.next - 1,
            marked: self.marked,
        }
    }

    /// Notes that everything is safe, if nothing came in since: the next record would tell, but may be long in coming.
    /// The note itself is not safe before the next sync.
    pub(super) fn mark(&mut self, synced: u64) {
        let is_news = synced + 1 == self.next && synced > self.marked && self.stopped.is_none();
        let (Some(active), Some(part)) = (&mut self.active, self.parts.back_mut()) else {
            return;
        };
        if !is_news {
            return;
        }
        active.is_synced = false;
        self.buffer.clear();
        Frame::write(synced, synced, &[], &mut self.buffer);
        match active.file.append(&self.buffer) {
            Ok(()) => {
                part.bytes += self.buffer.len() as u64;
                self.marked = synced;
            }
            Err(error) => {
                if let Err(second) = active.file.set_bytes(part.bytes) {
                    self.stop(format!(
                        "a write failed ({error}) and could not be taken back ({second})"
                    ));
                }
            }
        }
    }
}
