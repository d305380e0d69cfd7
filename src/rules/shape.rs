//! Checks that values and operators alternate and brackets match, before the CEL parser sees the condition.
//!
//! The parser recurses for every bracket, so brackets are limited here. What passes is nearly always what the parser
//! accepts; what does not pass is said here in plain words.

use std::ops::Range;

use super::fault::Fault;
use super::tokens::{Token, TokenKind};

/// How deep brackets may stand in brackets. No readable condition needs more than five; the parser's stack for 32 is
/// a fraction of a thread's.
pub(super) const NESTING_MAX: usize = 32;

/// Words of other languages, and what to write for them.
const FOREIGN_WORDS: [(&str, &str); 10] = [
    ("and", "&&"),
    ("or", "||"),
    ("not", "!"),
    ("is", "=="),
    ("equals", "=="),
    ("then", "condition ? value : other value"),
    ("else", "condition ? value : other value"),
    ("if", "condition ? value : other value"),
    ("between", "low <= value && value <= high"),
    ("contains", "\"value\" in set"),
];

/// Calls that CEL expands over lists, which have no place in a condition on single values.
const MACROS: [&str; 5] = ["exists", "all", "exists_one", "filter", "map"];

/// What surrounds a token: nothing, or the innermost bracket that is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Nothing,
    Group,
    Call,
    Index,
    List,
}

/// A bracket that is open.
struct Level {
    bracket: Bracket,
    at: Range<usize>,
    /// Where a `?` stands in it that still waits for its `:`.
    question: Option<Range<usize>>,
}

impl Bracket {
    fn closing(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Group | Self::Call => ")",
            Self::Index | Self::List => "]",
        }
    }
}

/// Returns every fault of the shape; none when the parser may have the source.
pub(super) fn faults(source: &str, tokens: &[Token]) -> Vec<Fault> {
    let whole = Level {
        bracket: Bracket::Nothing,
        at: 0..0,
        question: None,
    };
    let mut shape = Shape {
        whole,
        source,
        tokens,
        open: Vec::new(),
        faults: Vec::new(),
    };
    let mut value_came = false;
    for (index, token) in tokens.iter().enumerate() {
        value_came = if value_came {
            shape.after_value(index)
        } else {
            shape.before_value(index)
        };
        if shape.open.len() > NESTING_MAX {
            let range = token.range.clone();
            shape.faults.push(Fault::new(
                range,
                format!("brackets are nested more than {NESTING_MAX} deep"),
            ));
            return shape.faults;
        }
    }
    shape.finish(value_came);
    shape.faults
}

struct Shape<'a> {
    source: &'a str,
    tokens: &'a [Token],
    whole: Level,
    open: Vec<Level>,
    faults: Vec<Fault>,
}

impl<'a> Shape<'a> {
    fn text(&self, index: usize) -> &'a str {
        self.tokens
            .get(index)
            .map_or("", |token| &self.source[token.range.clone()])
    }

    fn previous(&self, index: usize) -> &'a str {
        index.checked_sub(1).map_or("", |before| self.text(before))
    }

    fn fault(&mut self, index: usize, message: impl Into<String>) {
        self.faults.push(Fault::new(self.tokens[index].range.clone(), message));
    }

    /// Returns the innermost bracket that is open.
    fn level(&mut self) -> &mut Level {
        self.open.last_mut().unwrap_or(&mut self.whole)
    }

    fn enter(&mut self, bracket: Bracket, index: usize) {
        self.open.push(Level {
            bracket,
            at: self.tokens[index].range.clone(),
            question: None,
        });
    }

    /// Takes a token where a value is due; tells whether a value has come.
    fn before_value(&mut self, index: usize) -> bool {
        let (text, previous) = (self.text(index), self.previous(index));
        let kind = self.tokens[index].kind;
        match kind {
            TokenKind::Word if previous == "." => self.field(index),
            _ if previous == "." => {
                self.fault(index, format!("a name is missing between `.` and `{text}`"));
                kind != TokenKind::Mark
            }
            TokenKind::Word if text == "in" => self.missing_value(index),
            TokenKind::Word | TokenKind::Number | TokenKind::Text => true,
            TokenKind::Open => {
                let bracket = if text == "(" { Bracket::Group } else { Bracket::List };
                self.enter(bracket, index);
                false
            }
            TokenKind::Close => self.close_early(index, previous),
            TokenKind::Mark if text == "!" || text == "-" => false,
            TokenKind::Mark => self.missing_value(index),
        }
    }

    /// Closes a bracket where a value is due: right only for an empty list, an empty call or after a list's last comma.
    fn close_early(&mut self, index: usize, previous: &str) -> bool {
        let bracket = self.level().bracket;
        let empty = matches!((bracket, previous), (Bracket::Call, "(") | (Bracket::List, "[" | ","));
        let bare_comma = previous == "," && index >= 2 && self.text(index - 2) == "[";
        if bracket != Bracket::Nothing && (!empty || bare_comma) {
            self.missing_value(index);
        }
        self.close(index);
        true
    }

    /// Takes the name after a dot.
    fn field(&mut self, index: usize) -> bool {
        let name = self.text(index);
        if ["in", "true", "false", "null"].contains(&name) {
            let range = self.tokens[index].range.clone();
            let fault = Fault::new(
                range,
                format!("`{name}` is a word of the language and cannot follow a dot"),
            );
            self.faults
                .push(fault.with_hint(format!("write [\"{name}\"] in place of .{name}")));
        } else if MACROS.contains(&name) && self.text(index + 1) == "(" {
            let range = self.tokens[index].range.clone();
            let fault = Fault::new(range, format!("`{name}` is not supported: conditions do not loop"));
            self.faults
                .push(fault.with_hint("ask for one value at a time, as in \"fund\" in profile.holdings"));
        }
        true
    }

    /// Reports that a value is due before this token.
    fn missing_value(&mut self, index: usize) -> bool {
        let text = self.text(index);
        let message = match self.previous(index) {
            "" => format!("a value is missing before `{text}`"),
            previous => format!("a value is missing between `{previous}` and `{text}`"),
        };
        self.fault(index, message);
        false
    }

    /// Takes a token where an operator is due; tells whether the value still stands alone.
    fn after_value(&mut self, index: usize) -> bool {
        let (text, previous) = (self.text(index), self.previous(index));
        match self.tokens[index].kind {
            TokenKind::Open => {
                let called = index
                    .checked_sub(1)
                    .is_some_and(|before| self.tokens[before].kind == TokenKind::Word);
                let bracket = match (text, called) {
                    ("[", _) => Bracket::Index,
                    (_, true) => Bracket::Call,
                    _ => {
                        self.fault(index, format!("an operator is missing between `{previous}` and `(`"));
                        Bracket::Group
                    }
                };
                self.enter(bracket, index);
                false
            }
            TokenKind::Close => {
                self.close(index);
                true
            }
            TokenKind::Mark if text == "," => {
                self.comma(index);
                false
            }
            TokenKind::Mark if text == "?" => {
                self.question(index);
                false
            }
            TokenKind::Mark if text == ":" => {
                if self.level().question.take().is_none() {
                    self.fault(index, "`:` stands here without a `?` before it");
                }
                false
            }
            TokenKind::Mark if text != "!" => false,
            TokenKind::Word if text == "in" => false,
            _ => self.missing_operator(index),
        }
    }

    /// Reports that an operator is due before this token; tells whether the token is the next value.
    fn missing_operator(&mut self, index: usize) -> bool {
        let before = index.saturating_sub(1);
        let foreign = |word: &str| {
            let word = word.to_lowercase();
            FOREIGN_WORDS
                .iter()
                .find(|(foreign, _)| *foreign == word)
                .map(|(_, meant)| *meant)
        };
        for at in [index, before] {
            if let Some(meant) = foreign(self.text(at)) {
                let message = format!("`{}` is not a word of the language", self.text(at));
                let fault = Fault::new(self.tokens[at].range.clone(), message);
                self.faults.push(fault.with_hint(format!("write {meant}")));
                return at == before;
            }
        }
        let range = self.tokens[index].range.clone();
        let message = format!(
            "an operator is missing between `{}` and `{}`",
            self.text(before),
            self.text(index)
        );
        let adjacent = self.tokens[before].range.end == range.start;
        let fault = Fault::new(range, message);
        self.faults.push(match self.tokens[index].kind {
            TokenKind::Text if adjacent => fault.with_hint("write the text without the letter before it"),
            _ => fault,
        });
        true
    }

    fn question(&mut self, index: usize) {
        let at = self.tokens[index].range.clone();
        if self.level().question.replace(at.clone()).is_some() {
            let fault = Fault::new(at, "a `? :` stands between another `?` and its `:`");
            self.faults
                .push(fault.with_hint("put round brackets around the inner one"));
        }
    }

    /// Leaves a bracket, or an entry of it; a `?` in it must have had its `:`.
    fn leave(&mut self) {
        if let Some(at) = self.level().question.take() {
            let fault = Fault::new(at, "this `?` has no `:`");
            self.faults
                .push(fault.with_hint("write condition ? value : other value"));
        }
    }

    fn comma(&mut self, index: usize) {
        self.leave();
        if matches!(self.level().bracket, Bracket::List | Bracket::Call) {
            return;
        }
        let fault = Fault::new(
            self.tokens[index].range.clone(),
            "a comma stands only in a list or between arguments",
        );
        let numbers = [index.wrapping_sub(1), index + 1].map(|near| {
            self.tokens
                .get(near)
                .is_some_and(|token| token.kind == TokenKind::Number)
        });
        self.faults.push(match numbers {
            [true, true] => fault.with_hint(format!("write {}{}", self.text(index - 1), self.text(index + 1))),
            _ => fault,
        });
    }

    fn close(&mut self, index: usize) {
        let text = self.text(index);
        self.leave();
        match self.open.pop().map(|level| level.bracket.closing()) {
            None => self.fault(index, format!("`{text}` closes a bracket that was never opened")),
            Some(due) if due == text => {}
            Some(due) => self.fault(index, format!("`{due}` is due here, not `{text}`")),
        }
    }

    fn finish(&mut self, value_came: bool) {
        let end = self.source.len();
        if !value_came {
            let message = match self.previous(self.tokens.len()) {
                "" => "the condition is empty".to_owned(),
                "." => "the condition ends after `.`, where a name is due".to_owned(),
                last => format!("the condition ends after `{last}`, where a value is due"),
            };
            self.faults.push(Fault::new(end..end, message));
        }
        while !self.open.is_empty() {
            self.leave();
            if let Some(Level { at, .. }) = self.open.pop() {
                let message = format!("`{}` is never closed", &self.source[at.clone()]);
                self.faults.push(Fault::new(at, message));
            }
        }
        self.leave();
        self.faults.sort_by_key(|fault| (fault.range.start, fault.range.end));
    }
}
