//! Opens files to import, packed with gzip or not, and counts what was read of them for the progress bar.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

/// The first two bytes of every gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A file that is being read.
pub struct Opened {
    /// The text of the file, unpacked.
    pub reader: Box<dyn Read + Send>,
    /// The size of the file on disk, in bytes.
    pub size_bytes: u64,
    /// How many of those bytes were read so far; goes on counting while `reader` is read.
    pub read_bytes: Arc<AtomicU64>,
}

/// Opens a file; whether it is packed is seen from its first bytes, not from its name.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn open(path: &Path) -> Result<Opened> {
    let file = File::open(path)?;
    let size_bytes = file.metadata()?.len();
    let read_bytes = Arc::new(AtomicU64::new(0));
    let mut counted = BufReader::with_capacity(
        64 * 1024,
        Counted {
            file,
            read: Arc::clone(&read_bytes),
        },
    );
    let packed = counted.fill_buf()?.starts_with(&GZIP_MAGIC);
    let reader: Box<dyn Read + Send> = if packed {
        Box::new(MultiGzDecoder::new(counted))
    } else {
        Box::new(counted)
    };
    Ok(Opened {
        reader,
        size_bytes,
        read_bytes,
    })
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
