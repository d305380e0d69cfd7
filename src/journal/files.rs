//! The files beside the log: checkpoints, keys, kept versions. Every step of theirs that a loss of power may separate from the next one
//! is made here, so that the tests know them all, and cut the power between any two (`cuts`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// An open file.
#[derive(Debug)]
pub(crate) struct Written {
    file: File,
    path: PathBuf,
    /// How far it was written from its beginning on.
    end: u64,
}

impl Written {
    /// Begins a file, in the place of one that is there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        step(|| Step::Create(path.to_owned()));
        Ok(Self {
            file,
            path: path.to_owned(),
            end: 0,
        })
    }

    /// Opens a file that is there, to be read and written at places.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let end = file.metadata()?.len();
        Ok(Self {
            file,
            path: path.to_owned(),
            end,
        })
    }

    /// Returns the file, to be read.
    pub(crate) const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Reads what stands at an offset.
    pub(crate) fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(bytes)
    }

    /// Writes at an offset, over what stands there or at the end.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)?;
        step(|| Step::Write {
            path: self.path.clone(),
            offset,
            bytes: bytes.to_vec(),
        });
        self.end = self.end.max(offset + bytes.len() as u64);
        Ok(())
    }

    /// Makes what was written survive a loss of power; not the file's name.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        step(|| Step::Sync(self.path.clone()));
        Ok(())
    }
}

impl Write for Written {
    /// Writes at the end; whoever reads or writes at places does not use it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        step(|| Step::Write {
            path: self.path.clone(),
            offset: self.end,
            bytes: bytes[..count].to_vec(),
        });
        self.end += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Gives a file or a folder another name, in the place of what has it.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    step(|| Step::Rename(from.to_owned(), to.to_owned()));
    Ok(())
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    step(|| Step::Remove(path.to_owned()));
    Ok(())
}

/// Removes a folder with all that is in it.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)?;
    step(|| Step::Remove(path.to_owned()));
    Ok(())
}

/// Makes a folder, and those above it, where they are missing; their names survive a loss of power.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(path)?;
    for folder in missing
        .into_iter()
        .rev()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        step(|| Step::Folder(folder.to_owned()));
        folder.parent().map_or(Ok(()), sync_folder)?;
    }
    Ok(())
}

/// Makes the names in a folder survive a loss of power.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    // The parent of a lone name is the current directory.
    let folder = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(folder)?.sync_all()?;
    step(|| Step::SyncFolder(path.to_owned()));
    Ok(())
}

/// Writes a file in the place of another one, wholly or not at all; it is on the disk afterwards.
pub(crate) fn write_anew(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let begun = path.with_extension("begun");
    let mut file = Written::create(&begun)?;
    file.write_all(bytes)?;
    file.sync()?;
    rename(&begun, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// A step.
#[derive(Clone, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "only the tests look at steps"))]
pub(crate) enum Step {
    Create(PathBuf),
    Folder(PathBuf),
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncFolder(PathBuf),
    /// Said by a test, to know later what had been promised.
    #[cfg(test)]
    Note(u64),
}

#[cfg(not(test))]
#[inline]
fn step(_: impl FnOnce() -> Step) {}

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::RefCell<Option<Vec<Step>>> = const { std::cell::RefCell::new(None) };
}

#[cfg(test)]
fn step(made: impl FnOnce() -> Step) {
    STEPS.with_borrow_mut(|steps| {
        if let Some(steps) = steps {
            steps.push(made());
        }
    });
}

/// Notes something between two steps.
#[cfg(test)]
pub(crate) fn note(promised: u64) {
    step(|| Step::Note(promised));
}

/// Does something, and returns the steps that this thread made for it.
#[cfg(test)]
pub(crate) fn steps_of(work: impl FnOnce()) -> Vec<Step> {
    STEPS.set(Some(Vec::new()));
    work();
    STEPS.take().unwrap_or_default()
}
