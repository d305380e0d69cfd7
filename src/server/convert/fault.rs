//! What is wrong with a request: every field at once, each with its path, the value and what is allowed.
//!
//! A conversion goes on after a fault, so that a caller sees all of them in one answer. Paths are linked on the stack and
//! written out for a fault only: a request without one formats nothing.

use std::fmt;

/// Faults that one answer lists. They travel in response headers, which clients commonly limit to 16 kB; with more than
/// this many, the first ones are enough to find the misunderstanding.
const LISTED_MAX: usize = 20;

/// Faults that a status line repeats; the others are in the details.
const IN_MESSAGE_MAX: usize = 3;

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// The path of the field in the request, as in `placements[0].count`.
    pub field: String,
    /// The value that was given, and what is allowed.
    pub description: String,
}

/// Everything that is wrong with a request; never empty when it is returned as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    listed: Vec<FieldFault>,
    unlisted: usize,
}

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, field: Path<'_>, description: impl fmt::Display) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(FieldFault {
                field: field.to_string(),
                description: description.to_string(),
            });
        } else {
            self.unlisted += 1;
        }
    }

    /// Returns what `result` holds, or notes why it is refused.
    pub fn note<T>(&mut self, field: Path<'_>, result: Result<T, impl fmt::Display>) -> Option<T> {
        result.map_err(|fault| self.add(field, fault)).ok()
    }

    /// Takes in the faults of a part that was judged by itself; `field` says what each is called here, nothing
    /// for one that is left out.
    pub fn take_in(&mut self, part: Self, field: impl Fn(&str) -> Option<String>) {
        for fault in part.listed {
            let Some(field) = field(&fault.field) else { continue };
            if self.listed.len() < LISTED_MAX {
                self.listed.push(FieldFault { field, ..fault });
            } else {
                self.unlisted += 1;
            }
        }
        self.unlisted += part.unlisted;
    }

    /// Returns what was converted, when there was no fault.
    ///
    /// # Errors
    /// All faults.
    pub fn into_result<T>(self, converted: Option<T>) -> Result<T, Self> {
        match converted {
            Some(converted) if self.listed.is_empty() => Ok(converted),
            _ => Err(self),
        }
    }

    /// Returns the first faults, 20 at most.
    #[must_use]
    pub fn listed(&self) -> &[FieldFault] {
        &self.listed
    }
}

impl fmt::Display for Faults {
    /// Writes the first faults in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.listed.iter().take(IN_MESSAGE_MAX).enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", fault.field, fault.description)?;
        }
        match (self.listed.len() + self.unlisted).saturating_sub(IN_MESSAGE_MAX) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Where in a request something stands.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    /// The request itself.
    Root,
    /// A field of what is before.
    Field(&'a Self, &'static str),
    /// An element of a list.
    Index(&'a Self, usize),
    /// An entry of a map.
    Key(&'a Self, &'a str),
}

impl<'a> Path<'a> {
    /// Returns the path of a field.
    #[must_use]
    pub const fn field(&'a self, name: &'static str) -> Self {
        Self::Field(self, name)
    }

    /// Returns the path of a list's element.
    #[must_use]
    pub const fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// Returns the path of a map's entry.
    #[must_use]
    pub const fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(before, name) => write!(f, "{before}.{name}"),
            Self::Index(before, index) => write!(f, "{before}[{index}]"),
            Self::Key(before, key) => write!(f, "{before}[\"{}\"]", crate::catalog::values::shortened(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_the_request() {
        let events = Path::Root.field("events");
        let event = events.index(2);
        let attributes = event.field("attributes");
        assert_eq!(
            attributes.key("category").to_string(),
            "events[2].attributes[\"category\"]"
        );
    }

    #[test]
    fn a_request_with_very_many_faults_gets_a_short_answer() {
        let mut faults = Faults::default();
        let events = Path::Root.field("events");
        for index in 0..1_000 {
            faults.add(events.index(index), "is wrong");
        }
        assert_eq!(faults.listed().len(), LISTED_MAX);
        assert_eq!(
            faults.to_string(),
            "events[0]: is wrong; events[1]: is wrong; events[2]: is wrong; and 997 more"
        );
    }

    #[test]
    fn one_fault_refuses_the_request_even_when_something_was_converted() {
        let mut faults = Faults::default();
        assert_eq!(Faults::default().into_result(Some(1)), Ok(1));
        faults.add(Path::Root.field("channel"), "is empty");
        assert_eq!(faults.clone().into_result(Some(1)), Err(faults));
    }
}
