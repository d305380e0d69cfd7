//! The keys of people, in a folder of their own: `slots` has a slot of 32 bytes for each person, `salt` what marks of erased
//! people are made with, `books` what counted over all customers when keys were last destroyed.
//!
//! **Before it is used.** Keys are drawn in batches, written and synced, and only then given out one by one. So whatever record or
//! checkpoint is sealed with a key, at whatever level, the key was on the disk before; and somebody new costs no write.
//!
//! **Destroyed.** A key is overwritten in its place, and synced; the slot says from then on that it was destroyed, and is never used
//! again. What a disk, a snapshot or a backup of the folder keeps of overwritten bytes is theirs to forget: keep them as long as
//! erased people may be read.
//!
//! **Lost.** Slots have checksums, and a bad one refuses to start, since nobody could say whether its person was erased. So does
//! a record whose slot was never written ([`Found::Unknown`]).

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::failpoints::fail_point;
use super::files::{self, Written};
use crate::store::seal::{KEY_BYTES, NO_SLOT, Nonces, Seal, random};

/// The length of a slot, in bytes: a divisor of every disk's sector, so that none is written by halves.
pub const SLOT_BYTES: usize = 32;
/// What the file of the slots begins with: a slot of its own, which is [`NO_SLOT`].
const MAGIC: &[u8; SLOT_BYTES] = b"nbo keys 1, of people; 32 bytes ";
const LIVE: &[u8; 4] = b"live";
const GONE: &[u8; 4] = b"gone";
/// How many keys are drawn at first, and at most, at once: a start leaves no more than that unused, and a million people cost
/// some twenty syncs.
const BATCH: (u32, u32) = (1_024, 1 << 16);
const SALT_BYTES: usize = 32;
/// What is there as long as what an earlier release wrote unsealed.
const PLAIN: &str = "plain";

/// Why the keys cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("{path}: {error}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file does not hold what was written.
    #[error(
        "{path}: damaged at byte {at}: {what}; without it nobody can say whose data may be read: restore the data folder from a backup",
        path = .path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
}

/// What there is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A key.
    Live(Seal),
    /// A key was, and was destroyed.
    Destroyed,
    /// Nothing was ever written there.
    Unknown,
}

/// The keys of one data folder.
pub struct Keys {
    folder: PathBuf,
    salt: [u8; SALT_BYTES],
    nonces: Nonces,
    state: Mutex<State>,
    /// What was in each slot at the beginning, until somebody takes it.
    table: Mutex<Table>,
}

/// What is in each slot.
#[derive(Default)]
pub struct Table {
    /// Apart from what they are, since with millions of them every byte counts.
    keys: Vec<[u8; KEY_BYTES]>,
    slots: Vec<Slot>,
}

/// What a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Live,
    Destroyed,
    Unknown,
}

impl std::fmt::Debug for Table {
    /// Tells how many there are, and no key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({:?})", self.counts())
    }
}

impl Table {
    /// Makes room for so many slots, of which the first is [`NO_SLOT`].
    fn begin(slots: usize) -> Self {
        let mut table = Self {
            keys: Vec::with_capacity(slots),
            slots: Vec::with_capacity(slots),
        };
        table.push(Found::Unknown);
        table
    }

    fn push(&mut self, found: Found) {
        let (key, slot) = match found {
            Found::Live(seal) => (*seal.key(), Slot::Live),
            Found::Destroyed => ([0; KEY_BYTES], Slot::Destroyed),
            Found::Unknown => ([0; KEY_BYTES], Slot::Unknown),
        };
        self.keys.push(key);
        self.slots.push(slot);
    }

    /// Returns what is in a slot.
    #[must_use]
    pub fn find(&self, slot: u32) -> Found {
        match self.slots.get(slot as usize) {
            Some(Slot::Live) => Found::Live(Seal::new(slot, self.keys[slot as usize])),
            Some(Slot::Destroyed) => Found::Destroyed,
            Some(Slot::Unknown) | None => Found::Unknown,
        }
    }

    /// Returns how many slots there are, [`NO_SLOT`] included.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Returns how many keys there are, and how many were destroyed.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.live().count() as u64, self.destroyed().count() as u64)
    }

    /// Returns the slots whose keys were destroyed.
    pub fn destroyed(&self) -> impl Iterator<Item = u32> {
        self.which(Slot::Destroyed)
    }

    /// Returns the slots with a key.
    pub fn live(&self) -> impl Iterator<Item = u32> {
        self.which(Slot::Live)
    }

    fn which(&self, wanted: Slot) -> impl Iterator<Item = u32> {
        (0..)
            .zip(&self.slots)
            .filter_map(move |(number, slot)| (*slot == wanted).then_some(number))
    }
}

struct State {
    file: Written,
    /// How many slots there are.
    slots: u32,
    /// Keys on the disk that nobody has yet, the next one last.
    ready: Vec<Seal>,
    batch: u32,
    /// Slots whose people are gone, with the record that said so.
    retired: Vec<(u32, u64)>,
    /// The record at which the books were written.
    books: u64,
}

impl Keys {
    /// Opens the keys in a folder, which is made when it is missing.
    ///
    /// # Errors
    /// When something is damaged, or cannot be read.
    pub fn open(folder: &Path) -> Result<Self, KeysError> {
        let path = folder.join("slots");
        let failed = |error| KeysError::Io {
            path: path.clone(),
            error,
        };
        files::make_folder(folder).map_err(failed)?;
        let salt = salt(folder)?;
        if !path.exists() {
            files::write_anew(&path, MAGIC).map_err(failed)?;
        }
        let mut file = Written::open(&path).map_err(failed)?;
        let bytes = file.file().metadata().map_err(failed)?.len();
        let mut table = Table::begin(usize::try_from(bytes).unwrap_or_default() / SLOT_BYTES);
        let slots = read_slots(&path, file.file(), &mut |_, found| table.push(found))?;
        let books = read_books(folder)?.map_or(0, |(number, _)| number);
        let nonces = Nonces::new().map_err(io::Error::other).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            salt,
            nonces,
            state: Mutex::new(State {
                file,
                slots,
                ready: Vec::new(),
                batch: BATCH.0,
                retired: Vec::new(),
                books,
            }),
            table: Mutex::new(table),
        })
    }

    /// Returns what was in each slot at the beginning, once.
    #[must_use]
    pub fn table(&self) -> Table {
        std::mem::take(&mut self.table.lock())
    }

    /// Notes that the folder still holds what an earlier release wrote unsealed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_plain(folder: &Path) -> io::Result<()> {
        files::make_folder(folder)?;
        files::write_anew(&folder.join(PLAIN), b"unsealed records of format 1 are being sealed\n")
    }

    /// Tells whether what an earlier release wrote unsealed is still there.
    #[must_use]
    pub fn has_plain(&self) -> bool {
        self.folder.join(PLAIN).exists()
    }

    /// Notes that nothing unsealed is there any more.
    ///
    /// # Errors
    /// When the note cannot be removed.
    pub fn note_sealed(&self) -> io::Result<()> {
        match fs::remove_file(self.folder.join(PLAIN)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open(&self.folder)?.sync_all()
    }

    /// Returns what the marks of erased people are made with.
    #[must_use]
    pub const fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    /// Returns what gives out nonces.
    #[must_use]
    pub const fn nonces(&self) -> &Nonces {
        &self.nonces
    }

    /// Returns a key that nobody has, and that is on the disk.
    ///
    /// # Errors
    /// When the disk takes no further keys; try again.
    pub fn take(&self) -> io::Result<Seal> {
        let mut state = self.state.lock();
        if let Some(seal) = state.ready.pop() {
            return Ok(seal);
        }
        state.draw()?;
        let drawn = state.ready.pop();
        drawn.ok_or_else(|| io::Error::other("no further key can be numbered"))
    }

    /// Looks into a slot.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn find(&self, slot: u32) -> Result<Found, KeysError> {
        let path = self.folder.join("slots");
        let mut state = self.state.lock();
        if slot == NO_SLOT || slot >= state.slots {
            return Ok(Found::Unknown);
        }
        let mut bytes = [0; SLOT_BYTES];
        let read = state.file.read_at(offset(slot), &mut bytes);
        drop(state);
        if let Err(error) = read {
            return Err(KeysError::Io { path, error });
        }
        unpack(slot, &bytes).ok_or(KeysError::Damaged {
            path,
            at: offset(slot),
            what: "the checksum of a key is wrong",
        })
    }

    /// Notes that the person of a slot is gone, as record `number` says, so that the key can be destroyed.
    pub fn retire(&self, slot: u32, number: u64) {
        if slot != NO_SLOT {
            self.state.lock().retired.push((slot, number));
        }
    }

    /// Tells whether there are keys to destroy of people who were gone by record `number`.
    #[must_use]
    pub fn has_retired(&self, number: u64) -> bool {
        self.state.lock().retired.iter().any(|&(_, gone)| gone <= number)
    }

    /// Destroys the keys of the people who were gone by record `number`: on return nothing that was written about them can be
    /// read any more. What counted over all customers at that record has to be kept by [`Keys::keep_books`] before. Returns
    /// how many keys that were.
    ///
    /// # Errors
    /// When the disk does not take it; the keys stay noted, so try again.
    pub fn destroy(&self, number: u64) -> io::Result<u64> {
        let mut state = self.state.lock();
        let State { file, retired, .. } = &mut *state;
        let gone: Vec<u32> = retired.iter().filter(|one| one.1 <= number).map(|one| one.0).collect();
        for &slot in &gone {
            file.write_at(offset(slot), &pack(slot, None))?;
            fail_point("keys::destroying");
        }
        file.sync()?;
        retired.retain(|one| one.1 > number);
        Ok(gone.len() as u64)
    }

    /// Keeps what counted over all customers at a record, unless that of a later one is kept; it is on the disk afterwards.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn keep_books(&self, number: u64, books: &[u8]) -> io::Result<()> {
        if self.state.lock().books >= number {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(books.len() + 12);
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(books);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        files::write_anew(&self.folder.join("books"), &bytes)?;
        self.state.lock().books = number;
        Ok(())
    }

    /// Returns what [`Keys::keep_books`] kept last, with its record.
    ///
    /// # Errors
    /// When it is damaged, or cannot be read.
    pub fn books(&self) -> Result<Option<(u64, Vec<u8>)>, KeysError> {
        read_books(&self.folder)
    }
}

impl State {
    /// Draws keys, and has them on the disk before anybody gets one.
    fn draw(&mut self) -> io::Result<()> {
        let count = self.batch.min(u32::MAX - self.slots);
        let mut keys = vec![0; count as usize * KEY_BYTES];
        random(&mut keys).map_err(io::Error::other)?;
        let (mut drawn, mut bytes) = (Vec::new(), Vec::new());
        for (slot, key) in (self.slots..).zip(keys.as_chunks::<KEY_BYTES>().0) {
            let seal = Seal::new(slot, *key);
            bytes.extend_from_slice(&pack(slot, Some(&seal)));
            drawn.push(seal);
        }
        self.file.write_at(offset(self.slots), &bytes)?;
        self.file.sync()?;
        drawn.reverse();
        self.ready = drawn;
        self.slots += count;
        self.batch = (self.batch * 2).min(BATCH.1);
        Ok(())
    }
}

/// Reads every slot of a folder's keys, and changes nothing; returns the record at which the books were kept, if they were.
///
/// # Errors
/// When something is damaged, or cannot be read.
pub fn inspect(folder: &Path) -> Result<(Table, Option<u64>), KeysError> {
    let path = folder.join("slots");
    let mut file = File::open(&path).map_err(|error| KeysError::Io {
        path: path.clone(),
        error,
    })?;
    let bytes = file.metadata().map_or(0, |about| about.len());
    let mut table = Table::begin(usize::try_from(bytes).unwrap_or_default() / SLOT_BYTES);
    read_slots(&path, &mut file, &mut |_, found| table.push(found))?;
    salt_of(folder)?;
    Ok((table, read_books(folder)?.map(|(number, _)| number)))
}

fn offset(slot: u32) -> u64 {
    u64::from(slot) * SLOT_BYTES as u64
}

fn pack(slot: u32, seal: Option<&Seal>) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..4].copy_from_slice(if seal.is_some() { LIVE } else { GONE });
    if let Some(seal) = seal {
        bytes[4..4 + KEY_BYTES].copy_from_slice(seal.key());
    }
    let sum = checksum(slot, &bytes);
    bytes[SLOT_BYTES - 4..].copy_from_slice(&sum);
    bytes
}

fn checksum(slot: u32, bytes: &[u8; SLOT_BYTES]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&slot.to_le_bytes());
    hasher.update(&bytes[..SLOT_BYTES - 4]);
    hasher.finalize().to_le_bytes()
}

/// Reads a slot; `None` when it is damaged.
fn unpack(slot: u32, bytes: &[u8; SLOT_BYTES]) -> Option<Found> {
    if bytes.iter().all(|&byte| byte == 0) {
        // A batch that a crash interrupted; nobody had a key of it.
        return Some(Found::Unknown);
    }
    if checksum(slot, bytes) != bytes[SLOT_BYTES - 4..] {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(&bytes[4..4 + KEY_BYTES]);
    match bytes.first_chunk()? {
        LIVE => Some(Found::Live(Seal::new(slot, key))),
        GONE => Some(Found::Destroyed),
        _ => None,
    }
}

/// Reads all slots, and returns how many there are.
fn read_slots(path: &Path, file: &mut File, each: &mut dyn FnMut(u32, Found)) -> Result<u32, KeysError> {
    let damaged = |at, what| KeysError::Damaged {
        path: path.to_owned(),
        at,
        what,
    };
    let failed = |error| KeysError::Io {
        path: path.to_owned(),
        error,
    };
    let mut reader = io::BufReader::with_capacity(1 << 16, file);
    let mut bytes = [0; SLOT_BYTES];
    reader
        .read_exact(&mut bytes)
        .map_err(|_| damaged(0, "it does not begin as a file of keys"))?;
    if bytes != *MAGIC {
        return Err(damaged(0, "it does not begin as a file of keys"));
    }
    for slot in 1_u32.. {
        match reader.read_exact(&mut bytes) {
            Ok(()) => {
                let found = unpack(slot, &bytes);
                each(
                    slot,
                    found.ok_or_else(|| damaged(offset(slot), "the checksum of a key is wrong"))?,
                );
            }
            // A last slot that is cut off belonged to a batch that was never used.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(slot),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(u32::MAX)
}

/// Reads what the marks of erased people are made with, and changes nothing.
///
/// # Errors
/// When it is damaged, or cannot be read.
pub fn salt_of(folder: &Path) -> Result<[u8; SALT_BYTES], KeysError> {
    let path = folder.join("salt");
    let damaged = || KeysError::Damaged {
        path: path.clone(),
        at: 0,
        what: "it is no salt with its checksum",
    };
    let bytes = fs::read(&path).map_err(|error| KeysError::Io {
        path: path.clone(),
        error,
    })?;
    let (salt, sum) = bytes.split_first_chunk().ok_or_else(damaged)?;
    if crc32fast::hash(salt).to_le_bytes() != sum {
        return Err(damaged());
    }
    Ok(*salt)
}

/// Reads the salt, or draws it when there is none yet.
fn salt(folder: &Path) -> Result<[u8; SALT_BYTES], KeysError> {
    match salt_of(folder) {
        Err(KeysError::Io { path, error }) if error.kind() == io::ErrorKind::NotFound => {
            let failed = |error| KeysError::Io {
                path: path.clone(),
                error,
            };
            let mut salt = [0; SALT_BYTES];
            random(&mut salt).map_err(io::Error::other).map_err(failed)?;
            let sum = crc32fast::hash(&salt).to_le_bytes();
            files::write_anew(&path, &[salt.as_slice(), &sum].concat()).map_err(failed)?;
            Ok(salt)
        }
        other => other,
    }
}

fn read_books(folder: &Path) -> Result<Option<(u64, Vec<u8>)>, KeysError> {
    let path = folder.join("books");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeysError::Io { path, error }),
    };
    let read = || {
        let (content, sum) = bytes.split_last_chunk::<4>()?;
        let (number, books) = content.split_first_chunk()?;
        let is_whole = crc32fast::hash(content).to_le_bytes() == *sum;
        is_whole.then(|| (u64::from_le_bytes(*number), books.to_vec()))
    };
    let books = read();
    books.map(Some).ok_or(KeysError::Damaged {
        path,
        at: 0,
        what: "its checksum is wrong",
    })
}
