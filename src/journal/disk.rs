//! What a log needs of a disk: one directory of files that grow at their end.
//!
//! [`Directory`] is the real one. Tests bring another that remembers every operation, so that each state which a loss of
//! power may leave can be opened, and that fails when it is told to.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file whose lock says that a program uses the directory. It holds the number of that process.
const LOCK: &str = "lock";

/// A directory of files.
pub trait Disk: Send + Sync {
    /// Returns where it is, for messages.
    fn place(&self) -> String;

    /// Keeps every other program out until the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`LockError::Taken`] when a program has it; [`LockError::Io`] when that cannot be found out.
    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError>;

    /// The same for somebody who only reads, and for this changes nothing, not even the lock's file.
    ///
    /// # Errors
    ///
    /// As of [`lock`](Self::lock).
    fn lock_to_read(&self) -> Result<Box<dyn Any + Send + Sync>, LockError>;

    /// Lists the names of the files, in no order.
    ///
    /// # Errors
    ///
    /// As the system reports.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Begins an empty file, to be written and read.
    ///
    /// # Errors
    ///
    /// As the system reports; a file of that name is an error.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file to be read.
    ///
    /// # Errors
    ///
    /// As the system reports.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Cuts a file to `bytes` and makes that safe from a loss of power.
    ///
    /// # Errors
    ///
    /// As the system reports.
    fn cut(&self, name: &str, bytes: u64) -> io::Result<()>;

    /// Makes what an earlier process wrote to a file safe from a loss of power.
    ///
    /// # Errors
    ///
    /// As the system reports.
    fn sync_file(&self, name: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// As the system reports.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the begun and the removed files safe from a loss of power.
    ///
    /// # Errors
    ///
    /// As the system reports. What failed once must not be tried again: the system may have forgotten what it still had
    /// to write.
    fn sync_directory(&self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Returns its length in bytes.
    ///
    /// # Errors
    ///
    /// As the system reports.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads from an offset on, at most what `buffer` takes; returns how many bytes there were, 0 at the end.
    ///
    /// # Errors
    ///
    /// As the system reports.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes at the end.
    ///
    /// # Errors
    ///
    /// As the system reports; a part may have been written.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it to `bytes`.
    ///
    /// # Errors
    ///
    /// As the system reports.
    fn set_bytes(&self, bytes: u64) -> io::Result<()>;

    /// Makes what was written safe from a loss of power.
    ///
    /// # Errors
    ///
    /// As the system reports. What failed once must not be tried again: the system may have forgotten what it still had
    /// to write.
    fn sync(&self) -> io::Result<()>;
}

/// Why a directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another program has it.
    #[error("another program uses it")]
    Taken {
        /// The number of its process, when it is known.
        process: Option<u32>,
    },
    /// The system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A real directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Takes a directory, and makes it when it is missing.
    ///
    /// # Errors
    ///
    /// As the system reports.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let missing: Vec<&Path> = path.ancestors().take_while(|folder| is_missing(folder)).collect();
        fs::create_dir_all(&path)?;
        for folder in missing.into_iter().rev() {
            // The parent of a lone name is the current directory.
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_directory(parent.unwrap_or_else(|| Path::new(".")))?;
        }
        Ok(Self { path })
    }

    /// Takes a directory that is there; writes nothing.
    ///
    /// # Errors
    ///
    /// As the system reports, above all when it is missing or no directory.
    pub fn existing(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        fs::read_dir(&path)?;
        Ok(Self { path })
    }
}

fn is_missing(folder: &Path) -> bool {
    !folder.as_os_str().is_empty() && !folder.exists()
}

/// Only Unix has directories that can be synced; elsewhere the system does it by itself.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Says who has the lock, as far as its file tells.
fn taken(file: &mut File) -> LockError {
    let mut text = String::new();
    let read = file.take(16).read_to_string(&mut text);
    let process = read.ok().and_then(|_| text.trim().parse().ok());
    LockError::Taken { process }
}

impl Disk for Directory {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        let path = self.path.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(&mut file)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        // Only a help for whoever meets the lock: a full disk must not keep a server from starting.
        drop(file.write_all(std::process::id().to_string().as_bytes()));
        Ok(Box::new(file))
    }

    fn lock_to_read(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        let mut file = match File::open(self.path.join(LOCK)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Box::new(())),
            Err(error) => return Err(error.into()),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(taken(&mut file)),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| entry.map(|entry| entry.file_name()));
        names
            .map(|name| name.map(|name| name.to_string_lossy().into_owned()))
            .collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true);
        Ok(Arc::new(options.open(self.path.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::open(self.path.join(name))?))
    }

    fn cut(&self, name: &str, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.path.join(name))?.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }
}

impl DiskFile for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, buffer, offset)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
