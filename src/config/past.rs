//! What a data folder has recorded, for somebody who is not its server: whether one uses it or not, nothing is locked or changed.

use std::ops::ControlFlow;
use std::path::Path;

use super::data::{DataError, DataFolder};
use super::upkeep;
use crate::domain::symbol::Symbols;
use crate::engine::Activation;
use crate::journal::checkpoint::{self, CheckpointReader};
use crate::journal::{LogError, Span, Table, keys, read_offline};
use crate::whatif::{Visit, activation};

/// The records of a data folder as of the moment when it was opened.
#[derive(Debug)]
pub struct Past {
    folder: DataFolder,
    span: Span,
    activations: Vec<Activation>,
    keys: Table,
}

impl Past {
    /// Looks through the journal of a folder, about a second for each gigabyte.
    ///
    /// # Errors
    /// When it is no data folder of this release, or the journal is damaged.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let folder = upkeep::existing(path)?;
        let mut activations = of_checkpoint(&folder);
        let journal = path.join("journal");
        let mut span = Span::default();
        if journal.exists() {
            span = read_offline(&journal, u64::MAX, &mut |_, record| {
                activations.extend(activation(record));
                ControlFlow::Continue(())
            })?;
        }
        activations.sort_by_key(|activation| activation.generation);
        activations.dedup_by_key(|activation| activation.generation);
        // Read last, so that all the records have theirs.
        let keys = if folder.is_plain() {
            Table::default()
        } else {
            keys::inspect(&folder.keys())?.0
        };
        Ok(Self {
            folder,
            span,
            activations,
            keys,
        })
    }

    /// Returns the folder.
    #[must_use]
    pub const fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// Returns which records there are.
    #[must_use]
    pub const fn span(&self) -> &Span {
        &self.span
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn records(&self) -> u64 {
        if self.span.last == 0 {
            return 0;
        }
        self.span.last - self.span.first + 1
    }

    /// Returns every activation, oldest first.
    #[must_use]
    pub fn activations(&self) -> &[Activation] {
        &self.activations
    }

    /// Returns the keys of the people whose records they are.
    #[must_use]
    pub const fn keys(&self) -> &Table {
        &self.keys
    }

    /// Returns the names that the next catalog has to begin with.
    #[must_use]
    pub fn symbols(&self) -> Symbols {
        let last = self.activations.last();
        last.map_or_else(Symbols::default, |activation| Symbols::from(activation.symbols.clone()))
    }

    /// Hands the records on, in order.
    ///
    /// # Errors
    /// When they cannot be read, or a server has given some of them up meanwhile.
    pub fn read(&self, visit: Visit<'_>) -> Result<(), LogError> {
        if self.span.last == 0 {
            return Ok(());
        }
        let mut next = self.span.first;
        let read = read_offline(
            &self.folder.path().join("journal"),
            self.span.last,
            &mut |number, record| {
                if number > next {
                    // The first segment went, and others with it, before it was read.
                    return ControlFlow::Break(());
                }
                next = number + 1;
                visit(number, record)
            },
        )?;
        if read.first > self.span.first {
            return Err(LogError::Trimmed { first: read.first });
        }
        Ok(())
    }
}

/// Reads the activations in the newest checkpoint whose head is good; none without one, since the journal then has all.
fn of_checkpoint(folder: &DataFolder) -> Vec<Activation> {
    let files = checkpoint::list(&folder.checkpoints()).unwrap_or_default();
    let read = |file: &checkpoint::CheckpointFile| {
        let reader = CheckpointReader::open(&file.path).ok()?;
        Activation::all_in(reader.head())
    };
    files.iter().find_map(read).unwrap_or_default()
}
