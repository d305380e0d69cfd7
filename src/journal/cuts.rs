//! What a loss of power leaves of files beside the log: each state after any number of their steps, in a folder of its own, to be
//! opened by the real code.
//!
//! What was synced is there. Of what was not, each name may be there or not (those of one name in their order), and of each file some of
//! its writes, the last of them in part: whole sectors, as a disk writes them, and none or zeros behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;

use super::files::Step;

const SECTOR: usize = 512;

/// A name that came or went.
#[derive(Clone, Debug)]
enum Name {
    /// A file, by the number of its creation, or a folder.
    Came(PathBuf, Option<usize>),
    Went(PathBuf),
    Moved(PathBuf, PathBuf),
}

impl Name {
    /// The folder that has to be synced.
    fn folder(&self) -> &Path {
        let (Self::Came(path, _) | Self::Went(path) | Self::Moved(_, path)) = self;
        path.parent().unwrap()
    }

    fn is_about(&self, other: &Self) -> bool {
        let paths = |name: &Self| match name {
            Self::Came(path, _) | Self::Went(path) => vec![path.clone()],
            Self::Moved(from, to) => vec![from.clone(), to.clone()],
        };
        let other = paths(other);
        paths(self).iter().any(|path| {
            other
                .iter()
                .any(|other| path.starts_with(other) || other.starts_with(path))
        })
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Option<usize>>) {
        match self {
            Self::Came(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Went(path) => names.retain(|name, _| !name.starts_with(path)),
            Self::Moved(from, to) => {
                let moved: Vec<PathBuf> = names.keys().filter(|name| name.starts_with(from)).cloned().collect();
                names.retain(|name, _| !name.starts_with(to) || name.starts_with(from));
                for name in moved {
                    let file = names.remove(&name).unwrap();
                    let within = name.strip_prefix(from).unwrap();
                    let name = if within.as_os_str().is_empty() {
                        to.clone()
                    } else {
                        to.join(within)
                    };
                    names.insert(name, file);
                }
            }
        }
    }
}

#[derive(Clone, Default)]
struct FileState {
    synced: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl FileState {
    /// Returns something that may be left.
    fn left(&self, random: &mut Pcg64Mcg) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let count = random.random_range(0..=self.unsynced.len());
        for (offset, written) in &self.unsynced[..count] {
            put(&mut bytes, *offset, written);
        }
        if let Some((offset, written)) = self.unsynced.get(count) {
            // Some sectors of the next one.
            let sectors: Vec<usize> = (*offset..offset + written.len())
                .filter(|at| *at == *offset || at % SECTOR == 0)
                .collect();
            for (number, &from) in sectors.iter().enumerate() {
                let to = sectors.get(number + 1).copied().unwrap_or(offset + written.len());
                if random.random_range(0..2) == 0 {
                    put(&mut bytes, from, &written[from - offset..to - offset]);
                }
            }
            if random.random_range(0..4) == 0 {
                // The length is there, what should stand there is not.
                let length = bytes.len().max(offset + written.len());
                bytes.resize(length, 0);
            }
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = bytes.len().max(offset + written.len());
    bytes.resize(end, 0);
    bytes[offset..offset + written.len()].copy_from_slice(written);
}

/// What is there for certain after some steps, and what may be.
struct Pending {
    synced: BTreeMap<PathBuf, Option<usize>>,
    unsynced: Vec<Name>,
    files: Vec<FileState>,
    promised: Vec<u64>,
}

impl Pending {
    fn after(start: &BTreeMap<PathBuf, Option<Vec<u8>>>, steps: &[Step]) -> Self {
        let mut files = Vec::new();
        let mut synced = BTreeMap::new();
        for (path, bytes) in start {
            let file = bytes.as_ref().map(|bytes| {
                files.push(FileState {
                    synced: bytes.clone(),
                    unsynced: Vec::new(),
                });
                files.len() - 1
            });
            synced.insert(path.clone(), file);
        }
        let mut now = synced.clone();
        let mut pending = Self {
            synced,
            unsynced: Vec::new(),
            files,
            promised: Vec::new(),
        };
        for step in steps {
            let name = match step {
                Step::Create(path) => {
                    pending.files.push(FileState::default());
                    Some(Name::Came(path.clone(), Some(pending.files.len() - 1)))
                }
                Step::Folder(path) => Some(Name::Came(path.clone(), None)),
                Step::Remove(path) => Some(Name::Went(path.clone())),
                Step::Rename(from, to) => Some(Name::Moved(from.clone(), to.clone())),
                Step::Write { path, offset, bytes } => {
                    let file = &mut pending.files[now[path].unwrap()];
                    file.unsynced.push((usize::try_from(*offset).unwrap(), bytes.clone()));
                    None
                }
                Step::Sync(path) => {
                    let file = &mut pending.files[now[path].unwrap()];
                    for (offset, bytes) in std::mem::take(&mut file.unsynced) {
                        put(&mut file.synced, offset, &bytes);
                    }
                    None
                }
                Step::SyncFolder(path) => {
                    let (safe, left) = pending.unsynced.into_iter().partition(|name| name.folder() == path);
                    pending.unsynced = left;
                    let safe: Vec<Name> = safe;
                    for name in &safe {
                        name.apply(&mut pending.synced);
                    }
                    None
                }
                Step::Note(promised) => {
                    pending.promised.push(*promised);
                    None
                }
            };
            if let Some(name) = name {
                name.apply(&mut now);
                pending.unsynced.push(name);
            }
        }
        pending
    }

    /// Lays out something that may be left.
    fn lay_out(&self, from: &Path, to: &Path, random: &mut Pcg64Mcg) {
        let mut names = self.synced.clone();
        let bias = random.random_range(0..=4);
        let mut lost: Vec<&Name> = Vec::new();
        for name in &self.unsynced {
            if lost.iter().any(|other| name.is_about(other)) || random.random_range(0..4) < bias {
                lost.push(name);
            } else {
                name.apply(&mut names);
            }
        }
        fs::create_dir_all(to).unwrap();
        for (path, file) in &names {
            // What is in a folder that is not there is not there.
            let is_reached = path
                .ancestors()
                .skip(1)
                .take_while(|above| *above != from)
                .all(|above| names.contains_key(above));
            if !is_reached {
                continue;
            }
            let target = to.join(path.strip_prefix(from).unwrap());
            match file {
                None => fs::create_dir_all(target).unwrap(),
                Some(file) => fs::write(target, self.files[*file].left(random)).unwrap(),
            }
        }
    }
}

/// Returns all that is in a folder, as it is safe.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
            all.insert(path, None);
        } else {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, Some(bytes));
        }
    }
    all
}

/// Lays out states that a loss of power may leave of a folder after any number of steps, `times` of each, and calls `visit` with the
/// folder of each state and with what had been promised. Returns how many there were.
pub(crate) fn cut_everywhere(
    folder: &Path,
    start: &BTreeMap<PathBuf, Option<Vec<u8>>>,
    steps: &[Step],
    times: usize,
    random: &mut Pcg64Mcg,
    visit: &mut dyn FnMut(&Path, &[u64]),
) -> usize {
    let mut states = 0;
    for count in 0..=steps.len() {
        let pending = Pending::after(start, &steps[..count]);
        for _ in 0..times {
            let root = tempfile::tempdir().unwrap();
            let left = root.path().join("left");
            pending.lay_out(folder, &left, random);
            visit(&left, &pending.promised);
            states += 1;
        }
    }
    states
}
