//! Checkpoints: all customers in one file, so that a restart need not begin with the first record.
//!
//! A checkpoint is taken while changes go on. It begins with a record number, its position, and a head: what is not any one
//! customer's. Every customer's block carries the number of the last record that was written when the block was taken,
//! under the customer's lock; so whoever replays the records behind the position knows for each customer which of them
//! are in the block.
//!
//! Layout: a magic line with the version of the format, then chunks: length, CRC-32 of what follows, a letter, content. `H` is
//! the head, `B` has blocks (number, length, bytes, each sealed with its person's key), `E` ends the file and says how many blocks there were. The file is
//! written under another name, synced, and named when it is whole: a crash leaves no half of one behind that anybody reads.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::failpoints::fail_point;
use super::files::{self, Written};

/// What a file begins with; the digits are the version of the format.
const MAGIC: &[u8; 16] = b"nbo checkpoint 2";
/// What a file of an earlier release begins with, whose blocks are not sealed.
const PLAIN: &[u8; 16] = b"nbo checkpoint 1";
/// How many bytes of blocks one chunk gathers.
const CHUNK_BYTES: usize = 1 << 20;
/// The longest chunk that is read: what is longer was never written.
const CHUNK_BYTES_MAX: usize = 1 << 30;

const HEAD: u8 = b'H';
const BLOCKS: u8 = b'B';
const END: u8 = b'E';

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("{path}: {error}", path = .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file does not hold what was written.
    #[error("{path}: damaged at byte {at}: {what}", path = .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// Another release wrote the file.
    #[error("{path}: not a checkpoint of a format that this release knows; a newer release may have written it", path = .path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
}

/// One checkpoint's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFile {
    /// Where it is.
    pub path: PathBuf,
    /// The number of the last record that is in it for sure.
    pub position: u64,
}

/// Lists the checkpoints in a folder, the newest first.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<CheckpointFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let position = name.strip_suffix(".checkpoint").and_then(|number| number.parse().ok());
        // Behind each there can be records.
        let position = position.filter(|&position: &u64| position < u64::MAX);
        files.extend(position.map(|position| CheckpointFile { path, position }));
    }
    files.sort_unstable_by_key(|file| std::cmp::Reverse(file.position));
    Ok(files)
}

/// Writes one checkpoint.
pub struct CheckpointWriter {
    folder: PathBuf,
    begun: PathBuf,
    file: BufWriter<Written>,
    position: u64,
    chunk: Vec<u8>,
    blocks: u64,
    bytes: u64,
}

impl CheckpointWriter {
    /// Begins a checkpoint that stands at a record number.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(folder: &Path, position: u64, head: &[u8]) -> io::Result<Self> {
        files::make_folder(folder)?;
        let begun = folder.join("begun.tmp");
        let file = BufWriter::with_capacity(1 << 16, Written::create(&begun)?);
        let mut writer = Self {
            folder: folder.to_owned(),
            begun,
            file,
            position,
            chunk: Vec::new(),
            blocks: 0,
            bytes: 0,
        };
        writer.file.write_all(MAGIC)?;
        writer.chunk(HEAD, head)?;
        Ok(writer)
    }

    /// Adds a customer, with the number of the last record that was written when the block was taken.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn block(&mut self, number: u64, block: &[u8]) -> io::Result<()> {
        fail_point("checkpoint::writing");
        self.chunk.extend_from_slice(&number.to_le_bytes());
        let length = u32::try_from(block.len()).map_err(io::Error::other)?;
        self.chunk.extend_from_slice(&length.to_le_bytes());
        self.chunk.extend_from_slice(block);
        self.blocks += 1;
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        if !chunk.is_empty() {
            self.chunk(BLOCKS, &chunk)?;
        }
        self.chunk = chunk;
        self.chunk.clear();
        Ok(())
    }

    fn chunk(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        if content.len() >= CHUNK_BYTES_MAX {
            return Err(io::Error::other("a chunk is longer than any that is read"));
        }
        let length = u32::try_from(content.len() + 1).map_err(io::Error::other)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[kind]);
        hasher.update(content);
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&hasher.finalize().to_le_bytes())?;
        self.file.write_all(&[kind])?;
        self.file.write_all(content)?;
        self.bytes += content.len() as u64 + 9;
        Ok(())
    }

    /// Returns how many bytes were written so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Brings what was written so far to the disk; the checkpoint is not ended by that.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync()
    }

    /// Removes what was written, for a checkpoint that cannot be ended: a full disk has better use for the room.
    pub fn give_up(self) {
        drop(self.file);
        // It is overwritten by the next one in any case.
        let _ = files::remove(&self.begun);
    }

    /// Ends the checkpoint: it is whole and on the disk afterwards. `reaches` is the number of a record that is on the disk, and that
    /// no block lies behind. Returns its file and its size in bytes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end(&mut self, reaches: u64) -> io::Result<(CheckpointFile, u64)> {
        self.flush()?;
        let end = [self.blocks.to_le_bytes(), reaches.to_le_bytes()].concat();
        self.chunk(END, &end)?;
        self.file.flush()?;
        self.file.get_ref().sync()?;
        let path = self.folder.join(format!("{:020}.checkpoint", self.position));
        fail_point("checkpoint::before_rename");
        files::rename(&self.begun, &path)?;
        fail_point("checkpoint::after_rename");
        files::sync_folder(&self.folder)?;
        let file = CheckpointFile {
            path,
            position: self.position,
        };
        Ok((file, self.bytes + MAGIC.len() as u64))
    }
}

/// Reads one checkpoint.
pub struct CheckpointReader {
    path: PathBuf,
    file: BufReader<File>,
    at: u64,
    size: u64,
    head: Vec<u8>,
    blocks: u64,
    reaches: u64,
    is_sealed: bool,
}

impl CheckpointReader {
    /// Opens a checkpoint and reads its head.
    ///
    /// # Errors
    /// When it is damaged so far, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let failed = |error| CheckpointError::Io {
            path: path.to_owned(),
            error,
        };
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut reader = Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(1 << 16, file),
            at: 0,
            size,
            head: Vec::new(),
            blocks: 0,
            reaches: 0,
            is_sealed: true,
        };
        let mut magic = [0; MAGIC.len()];
        reader.fill(&mut magic)?;
        reader.is_sealed = magic != *PLAIN;
        if magic != *MAGIC && reader.is_sealed {
            return Err(CheckpointError::Foreign { path: reader.path });
        }
        let mut head = Vec::new();
        if reader.next(&mut head)? != HEAD {
            return Err(reader.damaged("the head is missing"));
        }
        reader.head = head;
        Ok(reader)
    }

    /// Returns the head as it was given.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Tells whether the blocks are sealed, as all are that this release writes.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Returns how far the reading is, and how far it goes, in bytes.
    #[must_use]
    pub const fn progress(&self) -> (u64, u64) {
        (self.at, self.size)
    }

    /// Reads on: calls `visit` with the number and the bytes of some blocks; tells whether there are more.
    ///
    /// # Errors
    /// When the file is damaged here; what was visited before was not.
    pub fn blocks(&mut self, mut visit: impl FnMut(u64, &[u8])) -> Result<bool, CheckpointError> {
        let mut chunk = std::mem::take(&mut self.head);
        let is_more = self.chunk(&mut chunk)?;
        if is_more {
            blocks_in(&chunk).for_each(|(number, block)| visit(number, block));
        }
        self.head = chunk;
        Ok(is_more)
    }

    /// Reads on: puts some blocks into `chunk`, for [`blocks_in`]; tells whether there were any more.
    ///
    /// # Errors
    /// When the file is damaged here; what was read before was not.
    pub fn chunk(&mut self, chunk: &mut Vec<u8>) -> Result<bool, CheckpointError> {
        let kind = self.next(chunk)?;
        if kind == END {
            return self.end(chunk);
        }
        if kind != BLOCKS {
            return Err(self.damaged("a chunk of a kind that does not exist"));
        }
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            self.blocks += 1;
            split(&mut rest).ok_or_else(|| self.damaged("a block is cut short"))?;
        }
        Ok(true)
    }

    fn end(&mut self, chunk: &[u8]) -> Result<bool, CheckpointError> {
        if self.at != self.size {
            return Err(self.damaged("something follows the end"));
        }
        let Some((blocks, reaches)) = chunk.split_first_chunk() else {
            return Err(self.damaged("the end is cut short"));
        };
        if u64::from_le_bytes(*blocks) != self.blocks {
            return Err(self.damaged("there are more or fewer customers than the end says"));
        }
        self.reaches = reaches.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
        Ok(false)
    }

    /// Returns the number of the record that no block lies behind; known when all blocks were read.
    #[must_use]
    pub const fn reaches(&self) -> u64 {
        self.reaches
    }

    fn next(&mut self, content: &mut Vec<u8>) -> Result<u8, CheckpointError> {
        let mut frame = [0; 8];
        self.fill(&mut frame)?;
        let (length, sum) = frame.split_at(4);
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
        let length = number(length) as usize;
        if length == 0 || length > CHUNK_BYTES_MAX || length as u64 > self.size - self.at {
            return Err(self.damaged("a chunk of an impossible length"));
        }
        content.clear();
        content.resize(length, 0);
        self.fill(content)?;
        if crc32fast::hash(content) != number(sum) {
            return Err(self.damaged("a chunk whose checksum is wrong ends here"));
        }
        let kind = content[0];
        content.drain(..1);
        Ok(kind)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CheckpointError> {
        match self.file.read_exact(bytes) {
            Ok(()) => {
                self.at += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("the file ends before it should"))
            }
            Err(error) => Err(CheckpointError::Io {
                path: self.path.clone(),
                error,
            }),
        }
    }

    fn damaged(&self, what: &'static str) -> CheckpointError {
        CheckpointError::Damaged {
            path: self.path.clone(),
            at: self.at,
            what,
        }
    }
}

/// Goes through the blocks that [`CheckpointReader::chunk`] gave, with their numbers.
pub fn blocks_in(mut chunk: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || split(&mut chunk))
}

fn split<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let (number, after) = rest.split_first_chunk()?;
    let (length, after) = after.split_first_chunk()?;
    let (block, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some((u64::from_le_bytes(*number), block))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, position: u64) -> CheckpointFile {
        let mut writer = CheckpointWriter::begin(folder, position, b"head").unwrap();
        for number in 0..2_000_u64 {
            let block = vec![u8::try_from(number % 251).unwrap(); usize::try_from(number).unwrap()];
            writer.block(number, &block).unwrap();
        }
        writer.end(2_000).unwrap().0
    }

    type Read = (Vec<u8>, Vec<(u64, Vec<u8>)>);

    fn read(path: &Path) -> Result<Read, CheckpointError> {
        let mut reader = CheckpointReader::open(path)?;
        let head = reader.head().to_vec();
        let mut blocks = Vec::new();
        while reader.blocks(|number, block| blocks.push((number, block.to_vec())))? {}
        Ok((head, blocks))
    }

    #[test]
    fn what_was_written_is_read_and_the_newest_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let older = write(folder.path(), 7);
        let newer = write(folder.path(), 1_000);
        fs::write(folder.path().join("begun.tmp"), "half of one").unwrap();
        assert_eq!(list(folder.path()).unwrap(), [newer.clone(), older]);
        let (head, blocks) = read(&newer.path).unwrap();
        assert_eq!((head.as_slice(), blocks.len()), (b"head".as_slice(), 2_000));
        for (at, (number, block)) in (0..).zip(&blocks) {
            let expected = vec![u8::try_from(at % 251).unwrap(); usize::try_from(at).unwrap()];
            assert_eq!((*number, block), (at, &expected));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_missing_end_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = CheckpointWriter::begin(folder.path(), 3, b"head").unwrap();
        for number in 0..5_u64 {
            writer.block(number, &[7; 11]).unwrap();
        }
        let path = writer.end(2_000).unwrap().0.path;
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                fs::write(&path, &bytes).unwrap();
                assert!(read(&path).is_err(), "bit {bit} of byte {at}");
            }
            fs::write(&path, &good[..at]).unwrap();
            assert!(read(&path).is_err(), "cut at {at}");
        }
        fs::write(&path, [good.as_slice(), b"x"].concat()).unwrap();
        assert!(read(&path).is_err(), "something follows");
        fs::write(&path, &good).unwrap();
        assert_eq!(read(&path).unwrap().1.len(), 5);
    }
}
