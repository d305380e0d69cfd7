//! What is wrong with a catalog's files: where, what, and what was probably meant.
//!
//! A diagnostic carries the line of source that it is about, so it can be shown far from the file: on a terminal, in a
//! status answer, in an editor.

use std::fmt;

use serde::Serialize;

/// The longest part of a source line that is shown; of a longer one, the part around the fault.
const SHOWN_CHARACTERS_MAX: usize = 140;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The catalog cannot be used.
    Error,
    /// The catalog can be used, but does something that was hardly meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong with a catalog's files. Sorted by file, line and column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// The file, as it was named to the loader.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters it is about, at least 1.
    pub width: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in lowercase without a final period.
    pub message: String,
    /// What to do about it, where that can be said.
    pub hint: Option<String>,
    /// The line of source, without its end; empty when the file has no such line.
    pub source_line: String,
}

impl Diagnostic {
    /// Makes a diagnostic about a file or folder as a whole.
    #[must_use]
    pub fn of_file(file: &str, severity: Severity, message: String) -> Self {
        Self {
            file: file.to_owned(),
            line: 1,
            column: 1,
            width: 1,
            severity,
            message,
            hint: None,
            source_line: String::new(),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// Writes `file:line:column: error: message`, and below it the source line with a mark, and the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}: {}",
            self.file, self.line, self.column, self.severity, self.message
        )?;
        let gutter = self.line.to_string().len() + 2;
        if !self.source_line.trim().is_empty() {
            let (shown, before, width) = self.shown_part();
            write!(f, "\n{:>gutter$} | {shown}", self.line)?;
            write!(f, "\n{:gutter$} | {:before$}{}", "", "", "^".repeat(width))?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n{:gutter$} = {hint}", ""),
            None => Ok(()),
        }
    }
}

impl Diagnostic {
    /// Returns the part of the source line that is shown, how many characters of it stand before the fault, and how
    /// many are marked. Control characters are replaced: a file must not steer the terminal of whoever checks it.
    fn shown_part(&self) -> (String, usize, usize) {
        let characters: Vec<char> = self.source_line.trim_end().chars().collect();
        let at = (self.column - 1).min(characters.len());
        let start = if at < SHOWN_CHARACTERS_MAX {
            0
        } else {
            at - SHOWN_CHARACTERS_MAX / 2
        };
        let end = characters.len().min(start + SHOWN_CHARACTERS_MAX);
        let shown = characters[start..end]
            .iter()
            .map(|&character| match character {
                '\t' => ' ',
                _ if character.is_control() => '\u{fffd}',
                _ => character,
            })
            .collect();
        (shown, at - start, self.width.min(end.saturating_sub(at)).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(column: usize, width: usize, source_line: &str, expected: &str) {
        let diagnostic = Diagnostic {
            file: "bank/fund.yaml".to_owned(),
            line: 12,
            column,
            width,
            severity: Severity::Error,
            message: "there is no group `fonds`".to_owned(),
            hint: Some("did you mean `funds`?".to_owned()),
            source_line: source_line.to_owned(),
        };
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn a_diagnostic_shows_the_place_and_the_hint() {
        check(
            10,
            5,
            "  group: fonds",
            "bank/fund.yaml:12:10: error: there is no group `fonds`\
             \n  12 |   group: fonds\
             \n     |          ^^^^^\
             \n     = did you mean `funds`?",
        );
    }

    #[test]
    fn a_mark_beyond_the_end_of_the_line_is_one_character_wide() {
        check(
            4,
            9,
            "a:",
            "bank/fund.yaml:12:4: error: there is no group `fonds`\
             \n  12 | a:\
             \n     |   ^\
             \n     = did you mean `funds`?",
        );
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        check(
            1,
            1,
            "\u{1b}[2Jx",
            "bank/fund.yaml:12:1: error: there is no group `fonds`\
             \n  12 | \u{fffd}[2Jx\
             \n     | ^\
             \n     = did you mean `funds`?",
        );
    }

    #[test]
    fn of_a_very_long_line_the_part_around_the_fault_is_shown() {
        let line = format!("{}HERE{}", "x".repeat(5_000), "y".repeat(5_000));
        let diagnostic = Diagnostic {
            file: "f".to_owned(),
            line: 1,
            column: 5_001,
            width: 4,
            severity: Severity::Warning,
            message: "m".to_owned(),
            hint: None,
            source_line: line,
        };
        let text = diagnostic.to_string();
        assert!(text.contains("xHEREy") && text.len() < 500, "{text}");
    }
}
