//! Secrets and keys in files, read again without a restart: certificates, tokens, the keys of an issuer.
//!
//! The files are small, so they are simply read again and again: that sees whatever was done to them, be it a save, a new file
//! in the place of the old one, or a link that was turned to another folder, as Kubernetes does with its secrets. People and
//! programs change a certificate and its key one after the other; so what changed has to stay the same from one look to the
//! next before it is tried. What is broken is told once, and what was in force stays in force.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::limits::{SECRET_FILE_BYTES_MAX, SECRETS_LOOKED_UP_EVERY};
use crate::telemetry::Meters;

/// Makes what is in force from the contents of the files, in their order, or says what is wrong with them.
type Reading<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// Why what is in the files cannot be put in force.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Unusable {
    what: &'static str,
    why: String,
}

/// What came of a look at the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// They say what they said, or changed just now and are not tried yet.
    Same,
    /// What they say is in force.
    Applied,
    /// They are broken; what was in force stays.
    Refused,
}

/// Something that is made from files, and made again when they change.
pub struct Renewed<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    reading: Reading<T>,
    in_force: ArcSwap<T>,
    generation: AtomicU64,
    looks: Mutex<Looks>,
}

/// Digests of what the files said.
#[derive(Clone, Copy)]
struct Looks {
    tried: blake3::Hash,
    last: blake3::Hash,
}

impl<T> fmt::Debug for Renewed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl<T> Renewed<T> {
    /// Reads the files for the first time. Blocks.
    ///
    /// # Errors
    /// When a file cannot be read, or `reading` finds a fault.
    pub fn open(
        what: &'static str,
        files: Vec<PathBuf>,
        reading: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Unusable> {
        let contents = read(&files);
        let digest = digest(&contents);
        let made = contents.and_then(|contents| reading(&contents));
        let made = made.map_err(|why| Unusable { what, why })?;
        Ok(Arc::new(Self {
            what,
            files,
            reading: Box::new(reading),
            in_force: ArcSwap::from_pointee(made),
            generation: AtomicU64::new(1),
            looks: Mutex::new(Looks {
                tried: digest,
                last: digest,
            }),
        }))
    }

    /// Returns what is in force.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.in_force.load_full()
    }

    /// Returns a number that grows whenever something else comes into force. Who keeps what was made from it reads this first.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Returns the files.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

/// Something that looks at its files when it is told to.
pub trait Renew: Send + Sync {
    /// Looks at the files, and puts in force what they say when they changed: at once when somebody `asked`, else when they
    /// stayed the same since the last look. Blocks.
    fn look(&self, asked: bool) -> Looked;
}

impl<T: Send + Sync> Renew for Renewed<T> {
    fn look(&self, asked: bool) -> Looked {
        let mut looks = self.looks.lock();
        let contents = read(&self.files);
        let found = digest(&contents);
        let is_quiet = asked || looks.last == found;
        looks.last = found;
        if !is_quiet || looks.tried == found {
            return Looked::Same;
        }
        looks.tried = found;
        match contents.and_then(|contents| (self.reading)(&contents)) {
            Ok(made) => {
                self.in_force.store(Arc::new(made));
                self.generation.fetch_add(1, Ordering::Release);
                tracing::info!(what = self.what, "changed files are in force");
                Looked::Applied
            }
            Err(why) => {
                tracing::error!(what = self.what, %why, "changed files are broken; those before stay in force");
                Looked::Refused
            }
        }
    }
}

/// Looks at all files again and again, and at once when `asked` brings something, until the runtime ends. Counts what came of it.
pub async fn follow(all: Vec<Arc<dyn Renew>>, mut asked: mpsc::Receiver<()>, meters: Arc<Meters>) {
    let all = Arc::new(all);
    loop {
        let is_asked = tokio::select! {
            () = sleep(SECRETS_LOOKED_UP_EVERY) => false,
            Some(()) = asked.recv() => true,
        };
        let (all, counting) = (Arc::clone(&all), Arc::clone(&meters));
        // A slow file system must not hold up those who serve.
        let looking = tokio::task::spawn_blocking(move || {
            for one in all.iter() {
                let looked = one.look(is_asked);
                if looked != Looked::Same {
                    counting.renewed(looked == Looked::Applied);
                }
            }
        });
        if let Err(error) = looking.await {
            tracing::error!(%error, "a look at the files with certificates, tokens and keys broke off");
            meters.renewed(false);
        }
    }
}

fn read(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    files.iter().map(|file| read_one(file)).collect()
}

fn read_one(file: &Path) -> Result<Vec<u8>, String> {
    let fault = |error| format!("cannot read {}: {error}", file.display());
    let mut contents = Vec::new();
    let opened = File::open(file).map_err(fault)?;
    let read = opened.take(SECRET_FILE_BYTES_MAX + 1).read_to_end(&mut contents);
    if read.map_err(fault)? as u64 > SECRET_FILE_BYTES_MAX {
        return Err(format!(
            "{} is longer than {SECRET_FILE_BYTES_MAX} bytes",
            file.display()
        ));
    }
    Ok(contents)
}

/// A file that cannot be read is something to tell as well, once.
fn digest(contents: &Result<Vec<Vec<u8>>, String>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    match contents {
        Ok(contents) => {
            for content in contents {
                hasher.update(&(content.len() as u64).to_le_bytes()).update(content);
            }
        }
        Err(why) => {
            hasher.update(b"!").update(why.as_bytes());
        }
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn number(contents: &[Vec<u8>]) -> Result<u32, String> {
        let text = String::from_utf8_lossy(&contents[0]).into_owned();
        text.trim()
            .parse()
            .map_err(|_| format!("`{}` is no number", text.trim()))
    }

    #[test]
    fn a_change_is_tried_when_it_stayed_for_a_look_and_a_broken_one_leaves_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        fs::write(&file, "1").unwrap();
        let renewed = Renewed::open("number", vec![file.clone()], number).unwrap();
        assert_eq!((renewed.look(false), *renewed.current()), (Looked::Same, 1));

        fs::write(&file, "2").unwrap();
        assert_eq!((renewed.look(false), *renewed.current()), (Looked::Same, 1));
        assert_eq!((renewed.look(false), *renewed.current()), (Looked::Applied, 2));
        assert_eq!(renewed.generation(), 2);

        fs::write(&file, "three").unwrap();
        assert_eq!((renewed.look(true), *renewed.current()), (Looked::Refused, 2));
        assert_eq!(renewed.look(true), Looked::Same, "a fault is told once");

        fs::remove_file(&file).unwrap();
        assert_eq!((renewed.look(true), *renewed.current()), (Looked::Refused, 2));
        fs::write(&file, "4").unwrap();
        assert_eq!((renewed.look(true), *renewed.current()), (Looked::Applied, 4));
    }

    #[test]
    fn files_that_are_broken_at_the_start_are_refused_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        let missing = Renewed::open("number", vec![file.clone()], number).unwrap_err();
        assert!(missing.to_string().contains("cannot read"), "{missing}");
        fs::write(&file, "x").unwrap();
        let broken = Renewed::open("number", vec![file], number).unwrap_err();
        assert_eq!(broken.to_string(), "number: `x` is no number");
    }
}
