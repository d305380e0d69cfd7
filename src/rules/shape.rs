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

/// What a bracket that is open at the moment stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Group,
    Call,
    Index,
    List,
}

impl Bracket {
    fn closing(self) -> &'static str {
        match self {
            Self::Group | Self::Call => ")",
            Self::Index | Self::List => "]",
        }
    }
}

/// Returns every fault of the shape; none when the parser may have the source.
pub(super) fn faults(source: &str, tokens: &[Token]) -> Vec<Fault> {
    let mut shape = Shape {
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
    open: Vec<(Bracket, Range<usize>)>,
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

    fn fault(&mut self, index: usize, message: String) {
        self.faults.push(Fault::new(self.tokens[index].range.clone(), message));
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
                self.open.push((bracket, self.tokens[index].range.clone()));
                false
            }
            TokenKind::Close => self.close_early(index, previous),
            TokenKind::Mark if text == "!" || text == "-" => false,
            TokenKind::Mark => self.missing_value(index),
        }
    }

    /// Closes a bracket where a value is due: right only when it is an empty list, an empty call or a list's last comma.
    fn close_early(&mut self, index: usize, previous: &str) -> bool {
        let bracket = self.open.last().map(|(bracket, _)| *bracket);
        let empty = matches!(
            (bracket, previous),
            (Some(Bracket::Call), "(") | (Some(Bracket::List), "[" | ",")
        );
        let bare_comma = previous == "," && index >= 2 && self.text(index - 2) == "[";
        if bracket.is_some() && (!empty || bare_comma) {
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
                self.open.push((bracket, self.tokens[index].range.clone()));
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
            TokenKind::Mark if text != "!" => false,
            TokenKind::Word if text == "in" => false,
            _ => self.missing_operator(index),
        }
    }

    fn missing_operator(&mut self, index: usize) -> bool {
        let (text, previous) = (self.text(index), self.previous(index));
        let words = [text, previous].map(str::to_lowercase);
        let foreign = |word: &String| FOREIGN_WORDS.iter().find(|(foreign, _)| foreign == word);
        let already_told = self.faults.last().is_some_and(|fault| {
            fault.hint.is_some()
                && index
                    .checked_sub(1)
                    .is_some_and(|before| fault.range == self.tokens[before].range)
        });
        if already_told {
            return foreign(&words[0]).is_none();
        }
        let (at, meant) = match (foreign(&words[0]), foreign(&words[1])) {
            (Some((_, meant)), _) => (index, *meant),
            (_, Some((_, meant))) => (index - 1, *meant),
            _ => {
                self.fault(
                    index,
                    format!("an operator is missing between `{previous}` and `{text}`"),
                );
                return true;
            }
        };
        let message = format!("`{}` is not a word of the language", self.text(at));
        self.faults
            .push(Fault::new(self.tokens[at].range.clone(), message).with_hint(format!("write {meant}")));
        at != index
    }

    fn comma(&mut self, index: usize) {
        if matches!(self.open.last(), Some((Bracket::List | Bracket::Call, _))) {
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
        match self.open.pop() {
            None => self.fault(index, format!("`{text}` closes a bracket that was never opened")),
            Some((bracket, _)) if bracket.closing() == text => {}
            Some((bracket, _)) => {
                self.fault(index, format!("`{}` is due here, not `{text}`", bracket.closing()));
            }
        }
    }

    fn finish(&mut self, value_came: bool) {
        let end = self.source.len();
        if !value_came {
            let message = match self.previous(self.tokens.len()) {
                "" => "the condition is empty".to_owned(),
                last => format!("the condition ends after `{last}`, where a value is due"),
            };
            self.faults.push(Fault::new(end..end, message));
        }
        for (_, range) in std::mem::take(&mut self.open) {
            let bracket = &self.source[range.clone()];
            self.faults
                .push(Fault::new(range.clone(), format!("`{bracket}` is never closed")));
        }
    }
}
