//! What a run has received so far, on disk: so that a run that broke off goes on, and the list is written as a whole.
//!
//! The file begins with [`BEGINNING`] and holds the request and then every message as it came, each with its length before it. It is
//! written message by message; a last one that is cut off does not count, and is overwritten when the run goes on. Programs that
//! know less of a message drop what they do not know, so a file of another beginning is refused.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use prost::Message;

use crate::server::wire::{RankCustomersRequest, RankCustomersResponse};

/// The longest message that is believed: a longer length is no length.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// How a file begins that was written with all that a list says, hold-outs included. Read as a length, it is longer than any message.
const BEGINNING: &[u8; 12] = b"nbo part 2\n\0";

/// Returns where a run keeps what it has received, beside the list.
pub(super) fn path_of(list: &Path) -> PathBuf {
    let mut name = list.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    list.with_file_name(name)
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    buffer: Vec<u8>,
}

impl Part {
    /// Begins a file with the request.
    pub(super) fn begin(path: &Path, request: &RankCustomersRequest) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => anyhow!(
                "{} is there already, from a run that did not end; go on with --resume, or remove it to begin anew",
                path.display()
            ),
            _ => anyhow!("cannot write {}: {error}", path.display()),
        })?;
        let mut part = Self {
            file,
            buffer: Vec::new(),
        };
        part.write(BEGINNING)?;
        part.put(request)?;
        Ok(part)
    }

    /// Goes on with a file that has so many good bytes.
    pub(super) fn go_on(path: &Path, good_bytes: u64) -> Result<Self> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.set_len(good_bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file,
            buffer: Vec::new(),
        })
    }

    /// Adds a message.
    pub(super) fn put(&mut self, message: &impl Message) -> Result<()> {
        let length = u32::try_from(message.encoded_len()).context("a message is too long")?;
        self.buffer.clear();
        self.buffer.extend_from_slice(&length.to_le_bytes());
        message.encode(&mut self.buffer)?;
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer);
        self.buffer = buffer;
        written
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).context("cannot write what was received")
    }
}

/// Reads a file from its beginning.
pub(super) struct Reader {
    file: BufReader<File>,
    /// The request.
    pub(super) request: RankCustomersRequest,
    /// Bytes of all whole messages so far.
    pub(super) good_bytes: u64,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)
            .with_context(|| format!("there is nothing to go on with: cannot read {}", path.display()))?;
        let mut reader = Self {
            file: BufReader::new(file),
            request: RankCustomersRequest::default(),
            good_bytes: BEGINNING.len() as u64,
        };
        let mut beginning = [0; BEGINNING.len()];
        if !reader.fill(&mut beginning)? || beginning != *BEGINNING {
            bail!(
                "{} does not begin as this program writes it; an earlier version did not keep who is held out. Go on with that version, or \
                 remove it to begin anew, as another run: what was reserved for this one stays so until it is cancelled",
                path.display()
            );
        }
        let request = reader.message();
        reader.request = request?.ok_or_else(|| anyhow!("{} does not hold a request", path.display()))?;
        Ok(reader)
    }

    /// Returns the next message; none at the end, or where one is cut off.
    pub(super) fn next(&mut self) -> Result<Option<RankCustomersResponse>> {
        self.message()
    }

    fn message<M: Message + Default>(&mut self) -> Result<Option<M>> {
        let mut length = [0; 4];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        if !self.fill(&mut bytes)? {
            return Ok(None);
        }
        let Ok(message) = M::decode(bytes.as_slice()) else {
            return Ok(None);
        };
        self.good_bytes += 4 + length as u64;
        Ok(Some(message))
    }

    /// Fills a buffer; tells whether there were enough bytes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool> {
        match self.file.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error).context("cannot read what was received"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_cut_off_is_overwritten_and_all_before_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_of(&folder.path().join("list.csv"));
        let request = RankCustomersRequest {
            channel: "web".to_owned(),
            ..RankCustomersRequest::default()
        };
        let message = |token: &str| RankCustomersResponse {
            resume_token: token.to_owned(),
            ..RankCustomersResponse::default()
        };
        let mut part = Part::begin(&path, &request).unwrap();
        assert!(
            Part::begin(&path, &request)
                .unwrap_err()
                .to_string()
                .contains("--resume")
        );
        part.put(&message("one")).unwrap();
        part.put(&message("two")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 2]).unwrap();

        let read = || {
            let mut reader = Reader::open(&path).unwrap();
            assert_eq!(reader.request, request);
            let mut tokens = Vec::new();
            while let Some(message) = reader.next().unwrap() {
                tokens.push(message.resume_token);
            }
            (tokens, reader.good_bytes)
        };
        let (tokens, good_bytes) = read();
        assert_eq!(tokens, ["one"]);
        Part::go_on(&path, good_bytes).unwrap().put(&message("three")).unwrap();
        assert_eq!(read().0, ["one", "three"]);
    }

    #[test]
    fn a_file_that_does_not_tell_who_is_held_out_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_of(&folder.path().join("list.csv"));
        let request = RankCustomersRequest {
            channel: "web".to_owned(),
            ..RankCustomersRequest::default()
        };
        let mut before = u32::try_from(request.encoded_len()).unwrap().to_le_bytes().to_vec();
        before.extend(request.encode_to_vec());
        std::fs::write(&path, &before).unwrap();
        let refused = Reader::open(&path).err().unwrap().to_string();
        assert!(refused.contains("Go on with that version"), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
