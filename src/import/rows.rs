//! Reads the rows of a CSV file: quoted as RFC 4180 says, with the delimiter that the mapping names, empty lines left out.
//!
//! The csv reader's own line numbers are off by one in files whose lines end with a carriage return, and by the number
//! of empty lines before a row. So rows end at line feeds here, a carriage return before it is trimmed as space is, and the line on
//! which a row begins is counted back from the one on which it ends.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read};

use super::faults::Fault;
use super::plan::Plan;
use crate::domain::entry::ProfileChange;
use crate::domain::ids::{CustomerId, CustomerKey};

/// The longest row, in bytes. A longer one is nearly always a quote that was left open, and would take in the whole rest
/// of the file; reading ends there, with the line on which the row began.
pub const ROW_BYTES_MAX: u64 = 1 << 20;

/// One good row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// Whose row it is.
    pub customer: CustomerId,
    /// What it says.
    pub change: ProfileChange,
}

/// The rows of a file, one after another.
///
/// Remembers each customer, so that a second row of the same one is told: some 32 bytes a row.
pub struct Rows<R> {
    reader: csv::Reader<Bounded<R>>,
    header: Vec<String>,
    record: csv::ByteRecord,
    number: u64,
    lines: HashMap<CustomerKey, u64>,
    ended: bool,
}

impl<R: Read> Rows<R> {
    /// Begins to read: the header.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, or its header is not UTF-8 text.
    pub fn new(reader: R, delimiter: u8) -> Result<Self, Fault> {
        let bounded = Bounded {
            inner: reader,
            read: 0,
            until: ROW_BYTES_MAX,
            last: b'\n',
            ended: false,
        };
        let mut builder = csv::ReaderBuilder::new();
        builder
            .delimiter(delimiter)
            .flexible(true)
            .terminator(csv::Terminator::Any(b'\n'));
        let mut reader = builder.from_reader(bounded);
        let fault = |kind, message: String| Fault {
            line: 1,
            column: String::new(),
            kind,
            message,
        };
        let header: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
            Err(error) => return Err(fault("unreadable", explain(&error))),
        };
        if header.iter().all(String::is_empty) {
            return Err(fault(
                "empty file",
                "the file is empty; its first line has to name the columns".to_owned(),
            ));
        }
        let record = csv::ByteRecord::new();
        Ok(Self {
            reader,
            header,
            record,
            number: 0,
            lines: HashMap::new(),
            ended: false,
        })
    }

    /// Returns the names of the columns.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Reads the next row; `None` at the end of the file, or after a fault that makes the rest unreadable.
    pub fn next_row(&mut self, plan: &Plan) -> Option<Result<Row, Vec<Fault>>> {
        let line = match self.next_record()? {
            Ok(line) => line,
            Err(fault) => return Some(Err(vec![fault])),
        };
        self.number += 1;
        Some(
            plan.row(&self.record, self.number, line)
                .and_then(|(customer, change)| match self.lines.entry(customer.key()) {
                    Entry::Vacant(free) => {
                        free.insert(line);
                        Ok(Row { line, customer, change })
                    }
                    Entry::Occupied(taken) => {
                        let message = format!("{customer} stands in this file twice; first on line {}", taken.get());
                        Err(vec![Fault {
                            line,
                            column: String::new(),
                            kind: "repeated customer",
                            message,
                        }])
                    }
                }),
        )
    }

    /// Reads the next record that is not an empty line, and returns the line on which it begins.
    fn next_record(&mut self) -> Option<Result<u64, Fault>> {
        while !self.ended {
            let start = self.reader.position().clone();
            self.reader.get_mut().until = start.byte() + ROW_BYTES_MAX;
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) if self.record.len() == 1 && self.record.as_slice().trim_ascii().is_empty() => {}
                Ok(true) => return Some(Ok(self.line())),
                Ok(false) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    let message = format!("{}; nothing after this was read", explain(&error));
                    let kind = "unreadable";
                    return Some(Err(Fault {
                        line: start.line(),
                        column: String::new(),
                        kind,
                        message,
                    }));
                }
            }
        }
        None
    }

    fn line(&self) -> u64 {
        let source = self.reader.get_ref();
        let unfinished = source.ended && source.last != b'\n';
        let inside = self.record.as_slice().split(|&byte| byte == b'\n').count() as u64 - 1;
        self.reader
            .position()
            .line()
            .saturating_sub(inside + u64::from(!unfinished))
    }
}

fn explain(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        csv::ErrorKind::Utf8 { .. } => "the header is not UTF-8 text; save the file as UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// Refuses to read on when one row does not end, and knows how the file ends.
struct Bounded<R> {
    inner: R,
    read: u64,
    until: u64,
    last: u8,
    ended: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read > self.until {
            let message = format!("the row has more than {ROW_BYTES_MAX} bytes; is a quote left open?");
            return Err(io::Error::other(message));
        }
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        match buffer[..read].last() {
            Some(&last) => self.last = last,
            None => self.ended = true,
        }
        Ok(read)
    }
}
