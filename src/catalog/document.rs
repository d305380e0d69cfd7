//! Files, places in them, and the report of what is wrong there.

use super::diagnostic::{Diagnostic, Severity};
use super::yaml::{self, Data, Node, Span};

/// The most diagnostics that one load reports: nobody reads more, and a hostile file could ask for millions.
pub(super) const DIAGNOSTICS_MAX: usize = 1_000;

/// The most diagnostics that are looked through to find the first ones.
const DIAGNOSTICS_KEPT: usize = 10 * DIAGNOSTICS_MAX;

/// The longest line, in bytes, that a diagnostic carries and points into. Longer ones are not written by people.
const LINE_BYTES_MAX: usize = 4_096;

/// One file, read.
#[derive(Debug)]
pub(super) struct Document<'a> {
    /// The file, as it was named to the loader.
    pub(super) name: &'a str,
    lines: Vec<&'a str>,
    /// What is in it; absent when nothing is, or when its syntax is broken.
    pub(super) root: Option<Node>,
    /// Whether its syntax is broken, so that it may hold whatever [`Self::may_hold`] says.
    pub(super) broken: bool,
}

impl<'a> Document<'a> {
    /// Reads a text, and reports what is wrong with its syntax.
    pub(super) fn read(name: &'a str, text: &'a str, report: &mut Report) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (root, faults) = yaml::parse(text);
        let lines = text
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line))
            .collect();
        let mut document = Self {
            name,
            lines,
            root,
            broken: false,
        };
        document.broken = document.root.is_none() && !faults.is_empty();
        for fault in faults {
            report.add(&document, fault.span, Severity::Error, fault.message, fault.hint);
        }
        document
    }

    /// Returns the place of the whole file.
    pub(super) fn top(&self) -> At<'_> {
        let span = Span {
            line: 1,
            column: 1,
            width: 1,
        };
        At {
            document: self,
            node: self.root.as_ref(),
            span: self.root.as_ref().map_or(span, |root| root.span),
        }
    }

    /// Returns a line, from 1, unless it is longer than [`LINE_BYTES_MAX`].
    fn line(&self, number: usize) -> Option<&'a str> {
        let line = self.lines.get(number - 1).copied()?;
        (line.len() <= LINE_BYTES_MAX).then_some(line)
    }

    /// Tells whether the file may say something under the top-level key although it could not be read: a line names the
    /// key where such keys stand, or one slipped space beside it. In a file that begins with a brace or a bracket, keys
    /// can stand anywhere.
    pub(super) fn may_hold(&self, key: &str) -> bool {
        if !self.broken {
            return false;
        }
        let meant = self.lines.iter().filter(|line| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#') && !line.starts_with("---")
        });
        let begins_as_flow = || {
            meant
                .clone()
                .next()
                .is_some_and(|line| line.trim_start().starts_with(['{', '[']))
        };
        let names_key = |line: &&str| {
            let unquoted = line.trim_start().trim_start_matches(['"', '\'']);
            line.len() - line.trim_start().len() <= 1
                && unquoted
                    .strip_prefix(key)
                    .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_'))
        };
        meant.clone().any(names_key) || begins_as_flow()
    }

    /// Returns the first character of each line that no text can have, with what it is.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (Span, &'static str)> + '_ {
        self.lines.iter().enumerate().filter_map(|(at, line)| {
            let (column, what) = line
                .chars()
                .enumerate()
                .find_map(|(column, character)| match character {
                    '\u{fffd}' => Some((column + 1, "is not UTF-8")),
                    '\t' => None,
                    _ if character.is_control() => Some((column + 1, "cannot be printed")),
                    _ => None,
                })?;
            let span = Span {
                line: at + 1,
                column,
                width: 1,
            };
            Some((span, what))
        })
    }
}

/// A place in a file: a node, or where it should have been.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    document: &'a Document<'a>,
    node: Option<&'a Node>,
    span: Span,
}

impl<'a> At<'a> {
    /// Returns the place of a key's value; this place itself when there is no such key.
    pub(super) fn key(self, key: &str) -> Self {
        match self.node.and_then(|node| node.entry(key)) {
            Some(entry) => Self {
                node: Some(&entry.node),
                span: entry.node.span,
                ..self
            },
            None => Self { node: None, ..self },
        }
    }

    /// Returns the place of a key itself; this place when there is no such key.
    pub(super) fn name_of(self, key: &str) -> Self {
        match self.node.and_then(|node| node.entry(key)) {
            Some(entry) => Self {
                node: None,
                span: entry.key_span,
                ..self
            },
            None => Self { node: None, ..self },
        }
    }

    /// Returns the place of a list's element; this place itself when there is no such element.
    pub(super) fn item(self, at: usize) -> Self {
        match self.node.and_then(|node| node.element(at)) {
            Some(node) => Self {
                node: Some(node),
                span: node.span,
                ..self
            },
            None => Self { node: None, ..self },
        }
    }

    /// Returns the places of a list's elements.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        let nodes = match self.node.map(|node| &node.data) {
            Some(Data::List(nodes)) => nodes.as_slice(),
            _ => &[],
        };
        nodes.iter().map(move |node| Self {
            node: Some(node),
            span: node.span,
            ..self
        })
    }

    /// Returns the node, when there is one.
    pub(super) const fn node(self) -> Option<&'a Node> {
        self.node
    }

    /// Returns the file's name.
    pub(super) const fn file(self) -> &'a str {
        self.document.name
    }

    /// Returns the line, from 1.
    pub(super) const fn line(self) -> usize {
        self.span.line
    }

    /// Returns the place of some bytes of the text that this node holds; the whole text where that cannot be told.
    pub(super) fn part(self, bytes: &std::ops::Range<usize>) -> Self {
        let Some(Data::Scalar { style, .. }) = self.node.map(|node| &node.data) else {
            return self;
        };
        let Some(line) = self.document.line(self.span.line) else {
            return self;
        };
        let begin = line
            .char_indices()
            .nth(self.span.column - 1)
            .map_or(line.len(), |(at, _)| at);
        let offset = |at| yaml::offset_in_line(*style, &line[begin..], at);
        let (Some(from), Some(until)) = (offset(bytes.start), offset(bytes.end)) else {
            return self;
        };
        let span = Span {
            column: self.span.column + from,
            width: until.saturating_sub(from).max(1),
            ..self.span
        };
        Self {
            node: None,
            span,
            ..self
        }
    }
}

/// Everything that was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    diagnostics: Vec<Diagnostic>,
    errors: usize,
}

impl Report {
    /// Adds an error.
    pub(super) fn error(&mut self, at: At<'_>, message: impl Into<String>) {
        self.add(at.document, at.span, Severity::Error, message.into(), None);
    }

    /// Adds an error with what to do about it.
    pub(super) fn error_with_hint(&mut self, at: At<'_>, message: impl Into<String>, hint: impl Into<String>) {
        self.add(at.document, at.span, Severity::Error, message.into(), Some(hint.into()));
    }

    /// Adds a warning with what to do about it.
    pub(super) fn warning(&mut self, at: At<'_>, message: impl Into<String>, hint: impl Into<String>) {
        self.add(
            at.document,
            at.span,
            Severity::Warning,
            message.into(),
            Some(hint.into()),
        );
    }

    /// Adds a diagnostic about a file as a whole, of which there is no text to show.
    pub(super) fn file_error(&mut self, file: &str, message: impl Into<String>, hint: Option<String>) {
        let document = Document {
            name: file,
            lines: Vec::new(),
            root: None,
            broken: false,
        };
        self.add(
            &document,
            Span {
                line: 1,
                column: 1,
                width: 1,
            },
            Severity::Error,
            message.into(),
            hint,
        );
    }

    /// Adds a diagnostic.
    pub(super) fn add(
        &mut self,
        document: &Document<'_>,
        span: Span,
        severity: Severity,
        message: String,
        hint: Option<String>,
    ) {
        self.errors += usize::from(severity == Severity::Error);
        if self.diagnostics.len() >= DIAGNOSTICS_KEPT {
            return;
        }
        let line = document.line(span.line);
        self.diagnostics.push(Diagnostic {
            file: document.name.to_owned(),
            line: span.line,
            column: span.column,
            width: span.width,
            severity,
            message,
            hint,
            source_line: line
                .filter(|line| line.len() <= LINE_BYTES_MAX)
                .unwrap_or_default()
                .to_owned(),
        });
    }

    /// Returns how many errors there are so far.
    pub(super) const fn errors(&self) -> usize {
        self.errors
    }

    /// Tells whether there is an error among them.
    pub(super) const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns the diagnostics in order, at most [`DIAGNOSTICS_MAX`], each once. When there are more, the first stay,
    /// except that no warning takes an error's place.
    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics;
        diagnostics.sort_by(|a, b| (a.severity, a).cmp(&(b.severity, b)));
        diagnostics.dedup();
        diagnostics.truncate(DIAGNOSTICS_MAX);
        diagnostics.sort();
        diagnostics
    }
}
