//! What stands in a segment file: a header, then frames, one a record. All numbers are little-endian.
//!
//! ```text
//! header  magic 8 · format version 4 · epoch 8 · first sequence number 8 · checksum 4
//! frame   record length 4 · checksum 4 · sequence number 8 · synced mark 8 · record
//! ```
//!
//! Each checksum (CRC-32) covers everything else of its header or frame, so a flipped bit can give no other record. The
//! *synced mark* is the highest sequence number that was known to be safe from a loss of power when the frame was written.
//! A frame without a record whose mark is its own number is a mark and no more.

use std::ops::Range;

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The largest record, in bytes. An entry is a few hundred bytes; the limit keeps a damaged length from asking for memory.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// The highest number of a record, behind which another one could still be numbered. Nobody writes as many.
const RECORD_MAX: u64 = u64::MAX - 1;

/// The bytes of a header, in every version of the format.
pub(super) const HEADER_BYTES: usize = 32;
/// The bytes of a frame around its record.
pub(super) const FRAME_BYTES: usize = 24;

const MAGIC: [u8; 8] = *b"nbo-log\n";
/// Where the checksum of a frame stands.
const CHECKSUM: Range<usize> = 4..8;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: u64,
    pub(super) first: u64,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    Damaged,
    Newer(u32),
}

/// What stands before a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: usize,
    pub(super) checksum: u32,
    pub(super) sequence: u64,
    pub(super) synced: u64,
}

impl Header {
    pub(super) fn write(self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        let checksum = crc32fast::hash(bytes.get(start..).unwrap_or_default());
        bytes.extend_from_slice(&checksum.to_le_bytes());
    }

    pub(super) fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, NoHeader> {
        let covered = &bytes[..HEADER_BYTES - 4];
        if bytes[..8] != MAGIC || crc32fast::hash(covered) != number_u32(bytes, HEADER_BYTES - 4) {
            return Err(NoHeader::Damaged);
        }
        match number_u32(bytes, 8) {
            FORMAT_VERSION => Ok(Self {
                epoch: number_u64(bytes, 12),
                first: number_u64(bytes, 20),
            }),
            0 => Err(NoHeader::Damaged),
            newer => Err(NoHeader::Newer(newer)),
        }
    }
}

impl Frame {
    /// Adds the frame of a record, of at most [`RECORD_BYTES_MAX`] bytes.
    pub(super) fn write(sequence: u64, synced: u64, record: &[u8], bytes: &mut Vec<u8>) {
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut numbers = [0; 16];
        numbers[..8].copy_from_slice(&sequence.to_le_bytes());
        numbers[8..].copy_from_slice(&synced.to_le_bytes());
        let checksum = checksum(&length, &numbers, record);
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&numbers);
        bytes.extend_from_slice(record);
    }

    /// Reads what stands before a record, if it can be one: the checksum is not looked at yet.
    pub(super) fn read(bytes: &[u8; FRAME_BYTES]) -> Option<Self> {
        let frame = Self {
            length: usize::try_from(number_u32(bytes, 0)).ok()?,
            checksum: number_u32(bytes, CHECKSUM.start),
            sequence: number_u64(bytes, 8),
            synced: number_u64(bytes, 16),
        };
        let is_plausible = frame.length <= RECORD_BYTES_MAX && (1..=RECORD_MAX).contains(&frame.sequence);
        (is_plausible && (frame.synced < frame.sequence || frame.is_mark())).then_some(frame)
    }

    /// Tells whether it only says that everything up to its number is safe.
    pub(super) const fn is_mark(&self) -> bool {
        self.length == 0 && self.synced == self.sequence
    }

    /// Tells whether the whole frame, of which `bytes` begin, is what was written.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        let record = bytes.get(FRAME_BYTES..FRAME_BYTES + self.length);
        record.is_some_and(|record| {
            self.checksum == checksum(&bytes[..CHECKSUM.start], &bytes[CHECKSUM.end..FRAME_BYTES], record)
        })
    }

    pub(super) const fn bytes(&self) -> usize {
        FRAME_BYTES + self.length
    }
}

fn checksum(length: &[u8], numbers: &[u8], record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(numbers);
    hasher.update(record);
    hasher.finalize()
}

fn number_u32(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn number_u64(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// Returns the name of the segment that begins with this record.
pub(super) fn file_name(first: u64) -> String {
    format!("{first:020}.log")
}

/// Returns the first record of the segment of this name; `None` for another file.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|first| (1..=RECORD_MAX).contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_behind_which_no_other_comes_is_none_of_ours() {
        let read = |sequence, synced, record: &[u8]| {
            let mut bytes = Vec::new();
            Frame::write(sequence, synced, record, &mut bytes);
            Frame::read(bytes.first_chunk().unwrap()).is_some()
        };
        assert!(read(RECORD_MAX, 0, b"record") && read(RECORD_MAX, RECORD_MAX, b""));
        assert!(!read(u64::MAX, 0, b"record") && !read(u64::MAX, u64::MAX, b""));
        assert_eq!(first_of(&file_name(RECORD_MAX)), Some(RECORD_MAX));
        assert_eq!(first_of(&file_name(u64::MAX)), None);
    }
}
