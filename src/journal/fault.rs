//! What can be wrong with the files of a log, and how an operator is told.

use std::fmt;
use std::io;

use super::frame::FORMAT_VERSION;

/// What is wrong at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The header of the segment is not what was written.
    Header,
    /// The bytes of a record are not what was written.
    Record,
    /// The file ends where at least one record should begin.
    NoRecord,
    /// Records are missing in front of this segment, from [`Fault::record`] up to this one.
    Missing {
        /// The last one that is missing.
        last: u64,
    },
    /// The header belongs to a segment that begins with another record: the file was renamed.
    Name {
        /// The first record by the header.
        first: u64,
    },
    /// A record that is whole, but is not the one that belongs here.
    Order {
        /// Its sequence number.
        found: u64,
    },
    /// The segment was written by an older owner than the one in front of it.
    Epoch,
    /// The name ends like a segment's, but is none.
    Stranger,
    /// A newer program wrote the segment.
    Newer {
        /// The version of its format.
        version: u32,
    },
}

impl Wrong {
    /// Tells whether an interrupted write can look like this.
    #[must_use]
    pub const fn may_be_torn(self) -> bool {
        matches!(
            self,
            Self::Header | Self::Record | Self::NoRecord | Self::Missing { .. }
        )
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name of the file.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The sequence number of the record that should stand there.
    pub record: u64,
    /// What it is.
    pub wrong: Wrong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file, offset, record, ..
        } = self;
        write!(f, "{file}, byte {offset}: ")?;
        match self.wrong {
            Wrong::Header => write!(f, "the header is not what was written"),
            Wrong::Record => write!(f, "record {record} is not what was written"),
            Wrong::NoRecord => write!(f, "the file ends where record {record} should begin"),
            Wrong::Missing { last } if last == *record => write!(f, "record {record} is missing in front of it"),
            Wrong::Missing { last } => write!(f, "records {record} to {last} are missing in front of it"),
            Wrong::Name { first } => write!(f, "it is the file that begins with record {first}, but was renamed"),
            Wrong::Order { found } => write!(f, "record {found} stands where record {record} belongs"),
            Wrong::Epoch => write!(f, "an older owner wrote it than the file in front of it"),
            Wrong::Stranger => write!(f, "the name ends like a segment's, but is none"),
            Wrong::Newer { version } => write!(
                f,
                "it has format version {version}, and this program reads up to {FORMAT_VERSION}"
            ),
        }
    }
}

/// Why a fault is more than the end of an interrupted write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// No interrupted write looks like this.
    Itself,
    /// A record behind it says that it had been safe from a loss of power.
    Safe,
    /// A whole record stands behind it.
    Follows {
        /// Its sequence number.
        record: u64,
        /// The file in which it stands.
        file: String,
    },
    /// It was met while reading; opening had not looked there.
    Read,
}

/// Damage that nobody may get over by cutting something off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The directory.
    pub place: String,
    /// What is wrong, and where.
    pub fault: Fault,
    /// Why this is damage.
    pub proof: Proof,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log in {} is damaged: {}", self.place, self.fault)?;
        match &self.proof {
            Proof::Itself | Proof::Read => {}
            Proof::Safe => write!(f, ", though it had been safely on the disk")?,
            Proof::Follows { record, file } => write!(f, ", though record {record} follows whole in {file}")?,
        }
        match self.fault.wrong {
            Wrong::Newer { .. } => write!(f, "; start the newer program"),
            Wrong::Name { first } => write!(f, "; name it {first:020}.log again, if nothing else has that name"),
            Wrong::Stranger => write!(f, "; move it out of the directory"),
            Wrong::Missing { .. } => write!(f, "; put back the file that was moved away, or restore a backup"),
            _ => write!(f, "; nothing was changed; keep the directory and restore a backup"),
        }
    }
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another program uses the directory.
    #[error("the log in {place} is used by {}; stop that, or name another directory", who(*.process))]
    Taken {
        /// The directory.
        place: String,
        /// The number of the process, when it is known.
        process: Option<u32>,
    },
    /// The files cannot be trusted.
    #[error("{0}")]
    Damaged(Box<Damage>),
    /// The system said no.
    #[error("cannot {doing} the log in {place}: {error}")]
    Io {
        /// The directory.
        place: String,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

fn who(process: Option<u32>) -> String {
    process.map_or_else(|| "another program".to_owned(), |process| format!("process {process}"))
}

/// What was cut off at the end of a log, because the write had not been finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where it was cut; at byte 0 the file was removed.
    pub fault: Fault,
    /// The last record that was kept; 0 when there is none.
    pub after: u64,
    /// How many bytes went, over all files.
    pub bytes: u64,
    /// Files that were removed.
    pub removed: Vec<String>,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fault, after, bytes, ..
        } = self;
        write!(
            f,
            "cut {bytes} bytes off the end of the log behind record {after}, which "
        )?;
        write!(f, "had not been finished ({fault}")?;
        if !self.removed.is_empty() {
            write!(f, "; removed {}", self.removed.join(", "))?;
        }
        write!(f, ")")
    }
}
