//! A disk in memory that remembers every operation, can fail, and gives the states that a loss of power may leave.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::disk::{Disk, DiskFile, LockError};

/// The files of a directory.
pub(crate) type Contents = BTreeMap<String, Vec<u8>>;

/// What a disk writes at once.
const SECTOR: usize = 512;

/// What was done to a disk. Files are known by the number of their creation, since names come and go.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Create {
        name: String,
        file: usize,
    },
    Append {
        file: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    SetBytes {
        file: usize,
        bytes: usize,
    },
    Sync {
        file: usize,
    },
    Remove {
        name: String,
    },
    SyncDirectory,
    /// Said by the test, to know later what had been promised.
    Note(Note),
}

/// What a test knows at a moment of the trace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Note {
    /// The append of a record begins.
    Appending(u64),
    /// The append of a record returned.
    Appended(u64),
    /// A sync returned this number.
    Safe(u64),
    /// Trimming up to this number begins.
    Trimming(u64),
}

/// What the disk is told to do wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// How many bytes all files may have.
    pub(crate) bytes_max: Option<usize>,
    /// How many syncs, of files and of the directory, succeed before one fails.
    pub(crate) syncs_until_failure: Option<usize>,
    /// Whether cutting and removing fail.
    pub(crate) cannot_take_back: bool,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    trace: Vec<Operation>,
    faults: Faults,
}

impl State {
    fn sync(&mut self, operation: Operation) -> io::Result<()> {
        if let Some(left) = &mut self.faults.syncs_until_failure {
            // Only the one fails: a later one would succeed, and prove nothing.
            let fails = *left == 0;
            *left = left.wrapping_sub(1);
            if fails {
                return Err(io::Error::other("simulated failure of a sync"));
            }
        }
        self.trace.push(operation);
        Ok(())
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, name.to_owned()))
    }

    fn set_bytes(&mut self, file: usize, bytes: usize) -> io::Result<()> {
        if self.faults.cannot_take_back {
            return Err(io::Error::other("simulated failure of a cut"));
        }
        self.files[file].resize(bytes, 0);
        self.trace.push(Operation::SetBytes { file, bytes });
        Ok(())
    }
}

/// The disk. A clone is the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    is_locked: Arc<AtomicBool>,
}

impl SimulatedDisk {
    pub(crate) fn of(contents: &Contents) -> Self {
        let disk = Self::default();
        let mut state = disk.state.lock();
        for (name, bytes) in contents {
            let file = state.files.len();
            state.files.push(bytes.clone());
            state.names.insert(name.clone(), file);
        }
        drop(state);
        disk
    }

    pub(crate) fn contents(&self) -> Contents {
        let state = self.state.lock();
        let files = state.names.iter();
        files
            .map(|(name, &file)| (name.clone(), state.files[file].clone()))
            .collect()
    }

    pub(crate) fn trace(&self) -> Vec<Operation> {
        self.state.lock().trace.clone()
    }

    pub(crate) fn note(&self, note: Note) {
        self.state.lock().trace.push(Operation::Note(note));
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// How many bytes all files have.
    pub(crate) fn bytes(&self) -> usize {
        self.contents().values().map(Vec::len).sum()
    }
}

struct SimulatedFile {
    state: Arc<Mutex<State>>,
    file: usize,
}

struct Unlock(Arc<AtomicBool>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Disk for SimulatedDisk {
    fn place(&self) -> String {
        "simulated".to_owned()
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        if self.is_locked.swap(true, Ordering::SeqCst) {
            return Err(LockError::Taken { process: Some(7) });
        }
        Ok(Box::new(Unlock(Arc::clone(&self.is_locked))))
    }

    fn lock_to_read(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        self.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state.lock().names.keys().rev().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        if state.names.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, name.to_owned()));
        }
        let file = state.files.len();
        state.files.push(Vec::new());
        state.names.insert(name.to_owned(), file);
        let name = name.to_owned();
        state.trace.push(Operation::Create { name, file });
        let state = Arc::clone(&self.state);
        Ok(Arc::new(SimulatedFile { state, file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.state.lock().find(name)?;
        let state = Arc::clone(&self.state);
        Ok(Arc::new(SimulatedFile { state, file }))
    }

    fn cut(&self, name: &str, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let file = state.find(name)?;
        state.set_bytes(file, usize::try_from(bytes).unwrap())?;
        state.sync(Operation::Sync { file })
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let file = state.find(name)?;
        state.sync(Operation::Sync { file })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.faults.cannot_take_back {
            return Err(io::Error::other("simulated failure of a removal"));
        }
        state.find(name)?;
        state.names.remove(name);
        let name = name.to_owned();
        state.trace.push(Operation::Remove { name });
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.state.lock().sync(Operation::SyncDirectory)
    }
}

impl DiskFile for SimulatedFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.state.lock().files[self.file].len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.state.lock();
        let bytes = &state.files[self.file];
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let used: usize = state.names.values().map(|&file| state.files[file].len()).sum();
        let room = state
            .faults
            .bytes_max
            .map_or(usize::MAX, |most| most.saturating_sub(used));
        let written = bytes[..bytes.len().min(room)].to_vec();
        let offset = state.files[self.file].len();
        state.files[self.file].extend_from_slice(&written);
        let file = self.file;
        let is_all = written.len() == bytes.len();
        let operation = Operation::Append {
            file,
            offset,
            bytes: written,
        };
        state.trace.push(operation);
        if is_all {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::StorageFull, "simulated full disk"))
        }
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.state.lock().set_bytes(self.file, usize::try_from(bytes).unwrap())
    }

    fn sync(&self) -> io::Result<()> {
        let file = self.file;
        self.state.lock().sync(Operation::Sync { file })
    }
}

/// What is on the disk for certain after some operations, and what may be there or not.
#[derive(Clone, Default)]
struct Pending {
    names: BTreeMap<String, usize>,
    /// Names that came (with a file) or went since the directory was synced.
    renamed: Vec<(String, Option<usize>)>,
    files: Vec<(Vec<u8>, Vec<Operation>)>,
}

impl Pending {
    fn after(start: &Contents, operations: &[Operation]) -> Self {
        let mut pending = Self::default();
        for (name, bytes) in start {
            pending.names.insert(name.clone(), pending.files.len());
            pending.files.push((bytes.clone(), Vec::new()));
        }
        for operation in operations {
            match operation {
                Operation::Create { name, file } => {
                    assert_eq!(*file, pending.files.len());
                    pending.files.push((Vec::new(), Vec::new()));
                    pending.renamed.push((name.clone(), Some(*file)));
                }
                Operation::Remove { name } => pending.renamed.push((name.clone(), None)),
                Operation::Append { file, .. } | Operation::SetBytes { file, .. } => {
                    pending.files[*file].1.push(operation.clone());
                }
                Operation::Sync { file } => {
                    let (bytes, unsynced) = &mut pending.files[*file];
                    for operation in unsynced.drain(..) {
                        apply(bytes, &operation);
                    }
                }
                Operation::SyncDirectory => {
                    let renamed = std::mem::take(&mut pending.renamed);
                    rename(&mut pending.names, renamed.iter());
                }
                Operation::Note(_) => {}
            }
        }
        pending
    }

    /// Everything that may be in a file after a loss of power.
    fn variants(&self, file: usize, random: &mut Pcg64Mcg) -> Vec<Vec<u8>> {
        let (durable, unsynced) = &self.files[file];
        let mut variants = Vec::new();
        let mut kept = durable.clone();
        for operation in unsynced {
            variants.push(kept.clone());
            if let Operation::Append { offset, bytes, .. } = operation {
                tear(&kept, *offset, bytes, random, &mut variants);
            }
            apply(&mut kept, operation);
        }
        let length = kept.len();
        variants.push(kept);
        // One write is missing, though later ones are there.
        for missing in 0..unsynced.len().saturating_sub(1) {
            let mut bytes = durable.clone();
            let others = unsynced.iter().enumerate().filter(|&(number, _)| number != missing);
            others.for_each(|(_, operation)| apply(&mut bytes, operation));
            variants.push(bytes);
        }
        // The length is there, the bytes are not.
        let mut bytes = durable.clone();
        bytes.resize(length, 0);
        variants.push(bytes);
        variants
    }
}

fn apply(file: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Append { offset, bytes, .. } => {
            let end = offset + bytes.len();
            file.resize(file.len().max(end), 0);
            file[*offset..end].copy_from_slice(bytes);
        }
        Operation::SetBytes { bytes, .. } => file.resize(*bytes, 0),
        _ => unreachable!(),
    }
}

fn rename<'a>(names: &mut BTreeMap<String, usize>, renamed: impl Iterator<Item = &'a (String, Option<usize>)>) {
    for (name, file) in renamed {
        match file {
            Some(file) => names.insert(name.clone(), *file),
            None => names.remove(name),
        };
    }
}

/// Adds what is left when power goes during a write: whole sectors, with what follows missing, garbage, or zeros.
fn tear(file: &[u8], offset: usize, bytes: &[u8], random: &mut Pcg64Mcg, variants: &mut Vec<Vec<u8>>) {
    let end = offset + bytes.len();
    let mut boundary = offset.div_ceil(SECTOR) * SECTOR;
    let mut boundaries = vec![offset];
    while boundary < end {
        boundaries.push(boundary);
        boundary += SECTOR;
    }
    for boundary in boundaries {
        let mut torn = file.to_vec();
        torn.resize(offset, 0);
        torn.extend_from_slice(&bytes[..boundary - offset]);
        variants.push(torn.clone());
        let sector_end = end.min((boundary / SECTOR + 1) * SECTOR);
        let good = random.random_range(boundary..=sector_end);
        for is_garbage in [false, true] {
            let mut sector = torn.clone();
            sector.extend_from_slice(&bytes[boundary - offset..good - offset]);
            sector.extend((good..sector_end).map(|_| if is_garbage { random.random() } else { 0 }));
            variants.push(sector);
        }
        // The last sectors arrived, the one at the boundary did not.
        let mut hole = torn;
        hole.resize(sector_end, 0);
        hole.extend_from_slice(&bytes[sector_end - offset..]);
        variants.push(hole);
    }
}

/// Visits states that a loss of power after these operations may leave: each variant of each file at least `times`, with
/// random variants of all others and of the directory.
pub(crate) fn power_cuts(
    start: &Contents,
    operations: &[Operation],
    times: usize,
    random: &mut Pcg64Mcg,
    visit: &mut dyn FnMut(Contents, &mut Pcg64Mcg),
) {
    let pending = Pending::after(start, operations);
    let variants: Vec<Vec<Vec<u8>>> = (0..pending.files.len())
        .map(|file| pending.variants(file, random))
        .collect();
    for (file, of_file) in variants.iter().enumerate() {
        // Without a write that may be lost only the directory can differ.
        if pending.files[file].1.is_empty() && file + 1 < variants.len() {
            continue;
        }
        for number in 0..of_file.len() {
            for _ in 0..times {
                let mut names = pending.names.clone();
                let bias = random.random_range(0..=4);
                // Operations on different names are independent; those on one name keep their order.
                let mut lost: Vec<&str> = Vec::new();
                for renamed in &pending.renamed {
                    let name = renamed.0.as_str();
                    if lost.contains(&name) || random.random_range(0..4) < bias {
                        lost.push(name);
                    } else {
                        rename(&mut names, std::iter::once(renamed));
                    }
                }
                let contents = names.into_iter().map(|(name, id)| {
                    let choice = if id == file {
                        number
                    } else {
                        random.random_range(0..variants[id].len())
                    };
                    (name, variants[id][choice].clone())
                });
                visit(contents.collect(), random);
            }
        }
    }
}
