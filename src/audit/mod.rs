//! The independent auditor: recounts an exported contact history by brute force, and says where a limit was broken.
//!
//! It shares no code with what it checks: it reads a text file, knows nothing of the engine, its catalog or its
//! profiles, and has a calendar of its own. A test keeps it so.
//!
//! # The file
//!
//! One JSON document a line. The first is the [`Header`]: the policies that were in force, each since
//! when, with every reference to offers and channels spelled out. Each other line is one
//! [`Customer`] with all contacts, in the order in which they were decided. `nbo export contacts`
//! writes such a file from a running server.
//!
//! # What is recounted
//!
//! For each contact, at the instant of its decision and under the policy then in force:
//!
//! * **caps**: among the contacts decided before it, those that count then, plus itself, are at most the limit;
//! * **cool-downs**: nothing that happened before makes it rest then;
//! * **volumes**: over all customers, those that count in the same window at that instant, plus itself, are at most the
//!   limit, and at most the share of it that an even pace allows.
//!
//! # What counts when
//!
//! What a decision could know is what had been reported by then. A report is taken as known from the instant that it
//! tells, unless the contact says that a report came later than what it tells (`backdated_at`): then none of the
//! contact's reports is taken as known before. Calls under way at the same time read the clock before they wait for each other:
//! a report is taken as known only [`UNDER_WAY_MS`] after its instant, and a contact as cancelled as long before. A contact that is presented (`delivered`, `seen`) counts while it is
//! reserved, reported or not: for as long as the policy says that was in force at the decision that is judged. Over all customers,
//! what was over by an earlier policy stays over. Where both readings are possible the contact is not counted: **whatever is reported here
//! is a violation**, with one proviso. A calendar window is recounted in the zone that the customer has in the export, and its violation
//! names that zone: if the customer had another one at the decision, it may be none.
//!
//! With a customer stand the contacts of visitors who were joined to them. Each of those is recounted among the visitor's own, and what the
//! customer was shown before among the customer's own; what was shown afterwards, among all.
//!
//! # What is not seen
//!
//! What is not in the file is not recounted, and may hide a violation:
//!
//! * contacts that a long history has dropped, since no limit needed them any more: a customer with [`LONG`] of them or more may have
//!   had others ([`Recounted::long_histories`]);
//! * people who were forgotten or erased, also where volumes counted them;
//! * what was told after the fact, as said above.
//!
//! Quiet hours, opt-outs, consent and hold-outs are no limits, and are not recounted at all.

/// From how many contacts on a history may have dropped earlier ones.
pub const LONG: usize = 256;

/// How long a call may be under way, in milliseconds, when nothing else is said: longer than any call that touches one customer.
pub const UNDER_WAY_MS: i64 = 1_000;

mod calendar;
pub mod history;
mod recount;
mod rests;
#[cfg(test)]
mod tests;
mod volumes;

use std::fmt;

use history::{Customer, FORMAT, Header, Instant, Policy};
use volumes::Volumes;

/// A limit that was broken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// The line of the file, from 1; that of the customer whose contact was one too many.
    pub line: usize,
    /// The customer, or the visitor.
    pub customer: String,
    /// The rule: the id of a cap, a cool-down or a volume.
    pub rule: String,
    /// The offer of the contact that was one too many.
    pub offer: String,
    /// What is allowed, in words.
    pub allowed: String,
    /// When that contact was decided.
    pub decided_at: Instant,
    /// When the contacts that counted before it happened, oldest first; for a volume, only the latest of them.
    pub counted: Vec<Instant>,
    /// How many there were, with this one.
    pub count: usize,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "line {}: {} was shown {} at {}, against {}: {}",
            self.line, self.customer, self.offer, self.decided_at, self.rule, self.allowed
        )?;
        write!(f, "  it was number {}; before it counted:", self.count)?;
        for at in &self.counted {
            write!(f, " {at}")?;
        }
        Ok(())
    }
}

/// Why a file cannot be audited.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It could not be read.
    #[error("cannot read on: {0}")]
    Read(String),
    /// A line is not what it should be.
    #[error("line {line}, column {column}: {message}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// The column, from 1; 0 when it is about the whole line.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// There is nothing in it.
    #[error("the file is empty; `nbo export contacts` writes one that can be audited")]
    Empty,
}

/// What was recounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Recounted {
    /// Customers.
    pub customers: u64,
    /// Contacts.
    pub contacts: u64,
    /// Contacts decided when no policy of the file was in force: they count, but are not judged.
    pub without_policy: u64,
    /// Pairs of a contact and a limit that concerns it.
    pub checks: u64,
    /// Customers with [`LONG`] contacts or more: earlier ones that no limit needed any more may be gone, and are not recounted.
    pub long_histories: u64,
}

/// Reads the lines of a history and calls `found` for each violation until it says to stop. `under_way_ms` is how long a call
/// may be under way; `progress` is told the bytes read so far.
///
/// # Errors
/// When a line cannot be read, or is not what it should be. What was found before has been told.
pub fn audit<E: fmt::Display>(
    lines: impl IntoIterator<Item = Result<String, E>>,
    under_way_ms: i64,
    mut found: impl FnMut(Violation) -> bool,
    mut progress: impl FnMut(u64),
) -> Result<Recounted, AuditError> {
    let mut recounted = Recounted::default();
    let mut lines = lines
        .into_iter()
        .map(|line| line.map_err(|error| AuditError::Read(error.to_string())));
    let first = lines.next().ok_or(AuditError::Empty)??;
    let header = Header {
        under_way_ms,
        ..read_header(&first)?
    };
    let mut bytes = first.len() + 1;
    let mut volumes = Volumes::default();
    for (text, line) in lines.zip(2..) {
        let text = text?;
        bytes += text.len() + 1;
        if text.trim().is_empty() {
            continue;
        }
        let customer = read_customer(&text, line)?;
        recounted.customers += 1;
        recounted.long_histories += u64::from(customer.contacts.len() >= LONG);
        for violation in recount::customer(&header, &customer, line, &mut recounted) {
            if !found(violation) {
                return Ok(recounted);
            }
        }
        volumes.note(&header, customer, line);
        progress(bytes as u64);
    }
    for violation in volumes.recount(&header, &mut recounted) {
        if !found(violation) {
            break;
        }
    }
    Ok(recounted)
}

fn read_customer(text: &str, line: usize) -> Result<Customer, AuditError> {
    let customer: Customer = serde_json::from_str(text).map_err(|error| fault(line, &error))?;
    customer.check().map_err(|message| AuditError::Line {
        line,
        column: 0,
        message,
    })?;
    Ok(customer)
}

fn read_header(text: &str) -> Result<Header, AuditError> {
    let header: Header = serde_json::from_str(text).map_err(|error| fault(1, &error))?;
    let wrong = |message: String| AuditError::Line {
        line: 1,
        column: 0,
        message,
    };
    // What is in the second only may be absent.
    if !(1..=FORMAT).contains(&header.nbo_contacts) {
        return Err(wrong(format!(
            "the file has format {}; this program reads 1 to {FORMAT}",
            header.nbo_contacts
        )));
    }
    if !header.policies.is_sorted_by_key(|policy: &Policy| policy.in_force_from) {
        return Err(wrong("the policies are not in the order of `in_force_from`".to_owned()));
    }
    for policy in &header.policies {
        policy.check().map_err(wrong)?;
    }
    Ok(header)
}

fn fault(line: usize, error: &serde_json::Error) -> AuditError {
    AuditError::Line {
        line,
        column: error.column(),
        message: error.to_string(),
    }
}
