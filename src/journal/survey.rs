//! Looks through all segments of a log, finds everything that is wrong, and judges whether it is an interrupted write or
//! damage. Changes nothing.
//!
//! **The rule.** What may be an interrupted write is one if nothing proves otherwise. A proof is a frame behind it whose
//! synced mark says that the broken record had been safe; under [`Tail::RefuseIfWholeRecordsFollow`] also any whole
//! record behind it, in the same segment or a later one, since without a loss of power only the last write can be torn.
//! That nothing is missing at the beginning is proved by a mark as well: what was trimmed had been safe.

use std::io;
use std::path::Path;

use super::cursor::{Cursor, Step};
use super::disk::{Disk, DiskFile};
use super::fault::{Fault, Proof, Wrong};
use super::frame::{NoHeader, file_name, first_of};
use super::segments::Tail;

/// A segment as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first record.
    pub first: u64,
    /// How many whole records were seen; `None` when only its header was looked at.
    pub records: Option<u64>,
    /// The length of the file.
    pub bytes: u64,
    /// The owner that wrote it; 0 when the header is damaged.
    pub epoch: u64,
}

impl Segment {
    pub(super) fn file(&self) -> String {
        file_name(self.first)
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) segments: Vec<Segment>,
    pub(super) faults: Vec<Fault>,
    /// The number of the record that would come next, 0 before the first segment.
    pub(super) next: u64,
    /// The highest synced mark in front of the first fault.
    pub(super) synced: u64,
    /// The highest synced mark behind the first fault.
    synced_behind: u64,
    /// The first whole record of all, and its file.
    begins: Option<(u64, String)>,
    /// The first whole record behind the first fault, and its file.
    follows: Option<(u64, String)>,
}

/// What is to be made of a survey.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Whole,
    /// The write at this fault had not been finished: everything from there on goes.
    Torn(Fault),
    Damaged(Fault, Proof),
}

/// Looks through the segments. Those that hold nothing from record `from` on are trusted but for their headers; the last
/// one is always read.
pub(super) fn survey(disk: &dyn Disk, from: u64) -> io::Result<Survey> {
    let mut names = disk.list()?;
    names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "log"));
    names.sort_unstable();
    let mut survey = Survey::default();
    let mut firsts = Vec::new();
    for name in names {
        match first_of(&name) {
            Some(first) => firsts.push(first),
            None => survey.fault(&name, 0, Wrong::Stranger),
        }
    }
    for (number, &first) in firsts.iter().enumerate() {
        let file = disk.open(&file_name(first))?;
        let following = firsts.get(number + 1).copied();
        survey.look(&*file, first, following.filter(|&following| following <= from))?;
    }
    survey.check_beginning();
    Ok(survey)
}

impl Survey {
    /// Returns what the faults amount to.
    pub(super) fn verdict(&self, tail: Tail) -> Verdict {
        let Some(first) = self.faults.first() else {
            return Verdict::Whole;
        };
        // A renamed file explains what else is wrong.
        let renamed = self
            .faults
            .iter()
            .find(|fault| matches!(fault.wrong, Wrong::Name { .. }));
        if let Some(fault) = renamed.or_else(|| self.faults.iter().find(|fault| !fault.wrong.may_be_torn())) {
            return Verdict::Damaged(fault.clone(), Proof::Itself);
        }
        if self.synced_behind >= first.record {
            return Verdict::Damaged(first.clone(), Proof::Safe);
        }
        match &self.follows {
            Some((record, file)) if tail == Tail::RefuseIfWholeRecordsFollow => {
                let (record, file) = (*record, file.clone());
                Verdict::Damaged(first.clone(), Proof::Follows { record, file })
            }
            _ => Verdict::Torn(first.clone()),
        }
    }

    /// Checks that what is not there was trimmed: whatever is trimmed had been safe, and a mark says so. Otherwise the first
    /// segments never reached the disk, though a later one did.
    fn check_beginning(&mut self) {
        let Some(first) = self.segments.first().map(|segment| segment.first) else {
            return;
        };
        let synced = self.synced.max(self.synced_behind);
        if synced + 1 < first {
            let fault = Fault {
                file: file_name(first),
                offset: 0,
                record: 1,
                wrong: Wrong::Missing { last: first - 1 },
            };
            self.faults.insert(0, fault);
            (self.synced, self.synced_behind) = (0, synced);
            self.follows = self.begins.take().or_else(|| self.follows.take());
        }
    }

    /// Looks through one segment; only at its header when it is `trusted` up to the first record of the next one.
    fn look(&mut self, file: &dyn DiskFile, first: u64, trusted: Option<u64>) -> io::Result<()> {
        let name = file_name(first);
        let bytes = file.bytes()?;
        let mut cursor = Cursor::new(file, bytes);
        self.number(&name, first);
        self.segments.push(Segment {
            first,
            records: None,
            bytes,
            epoch: 0,
        });
        let is_readable = self.header(&mut cursor, &name, first)?;
        if let Some(next) = trusted.filter(|_| is_readable) {
            self.next = next;
            return Ok(());
        }
        let records = if is_readable || cursor.seek_whole(first)? {
            self.records(&mut cursor, &name, !is_readable)?
        } else {
            0
        };
        if let Some(segment) = self.segments.last_mut() {
            segment.records = Some(records);
        }
        Ok(())
    }

    /// Checks that a segment begins where the one in front of it ended.
    fn number(&mut self, name: &str, first: u64) {
        if self.segments.is_empty() {
            self.next = first;
        } else if first > self.next {
            self.fault(name, 0, Wrong::Missing { last: first - 1 });
        } else if first < self.next {
            self.fault(name, 0, Wrong::Order { found: first });
        }
        self.next = first;
    }

    /// Checks the header; returns whether it could be read.
    fn header(&mut self, cursor: &mut Cursor<'_>, name: &str, first: u64) -> io::Result<bool> {
        let header = match cursor.header()? {
            Ok(header) => header,
            Err(NoHeader::Damaged) => {
                self.fault(name, 0, Wrong::Header);
                return Ok(false);
            }
            Err(NoHeader::Newer(version)) => {
                self.fault(name, 0, Wrong::Newer { version });
                return Ok(false);
            }
        };
        if header.first != first {
            self.fault(name, 0, Wrong::Name { first: header.first });
        }
        if self.segments.iter().any(|segment| segment.epoch > header.epoch) {
            self.fault(name, 0, Wrong::Epoch);
        }
        if let Some(segment) = self.segments.last_mut() {
            segment.epoch = header.epoch;
        }
        Ok(true)
    }

    /// Goes through the records, over what is broken too; returns how many there are. Behind broken bytes `is_lost`
    /// holds: any later record may come.
    fn records(&mut self, cursor: &mut Cursor<'_>, name: &str, mut is_lost: bool) -> io::Result<u64> {
        let mut records = 0;
        loop {
            let offset = cursor.offset();
            match cursor.step()? {
                Step::Record { sequence, synced, .. } => {
                    if sequence != self.next && !is_lost {
                        self.fault(name, offset, Wrong::Order { found: sequence });
                    }
                    self.next = sequence + 1;
                    self.follow(name, sequence);
                    self.mark(synced);
                    records += 1;
                    is_lost = false;
                }
                Step::Mark { synced } => self.mark(synced),
                Step::Broken => {
                    self.fault(name, offset, Wrong::Record);
                    is_lost = true;
                    if !cursor.seek_whole(self.next)? {
                        return Ok(records);
                    }
                }
                Step::End => {
                    if records == 0 && !is_lost {
                        self.fault(name, offset, Wrong::NoRecord);
                    }
                    return Ok(records);
                }
            }
        }
    }

    fn mark(&mut self, synced: u64) {
        let known = if self.faults.is_empty() {
            &mut self.synced
        } else {
            &mut self.synced_behind
        };
        *known = synced.max(*known);
    }

    fn follow(&mut self, name: &str, record: u64) {
        let first = if self.faults.is_empty() {
            &mut self.begins
        } else {
            &mut self.follows
        };
        if first.is_none() {
            *first = Some((record, name.to_owned()));
        }
    }

    fn fault(&mut self, name: &str, offset: u64, wrong: Wrong) {
        self.faults.push(Fault {
            file: name.to_owned(),
            offset,
            record: self.next,
            wrong,
        });
    }
}
