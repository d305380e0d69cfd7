//! A directory in memory, to open a log in.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nbo::journal::disk::{Disk, DiskFile, LockError};

/// The directory.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, Arc<Bytes>>>);

/// One of its files.
#[derive(Default)]
struct Bytes(Mutex<Vec<u8>>);

impl Memory {
    /// Makes a directory of one file.
    pub(crate) fn of(name: &str, bytes: &[u8]) -> Self {
        let file = Arc::new(Bytes(Mutex::new(bytes.to_vec())));
        Self(Mutex::new([(name.to_owned(), file)].into()))
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Bytes>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> io::Result<Arc<Bytes>> {
        let found = self.files().get(name).cloned();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Bytes {
    fn get(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.get().resize(bytes, 0);
        Ok(())
    }
}

impl Disk for Memory {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        Ok(Box::new(()))
    }

    fn lock_to_read(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        self.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = Arc::<Bytes>::default();
        self.files().insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.find(name)?)
    }

    fn cut(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.find(name)?.cut(bytes)
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        self.find(name).map(drop)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Bytes {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.get().len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.get();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.get().extend_from_slice(bytes);
        Ok(())
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.cut(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
