//! Cuts a condition into words, numbers, texts and marks, and knows the usual slips of the pen.
//!
//! The CEL parser cuts again by itself. This first look keeps hostile input away from it, and says in plain words what
//! the parser would say in terms of its grammar. It is stricter than CEL: raw, byte and triple-quoted texts, numeric
//! escapes, maps and back-quoted names end here.

use std::ops::Range;

use super::fault::Fault;

/// What a [`Token`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name or a keyword.
    Word,
    /// A number without its sign.
    Number,
    /// A text with its quotes.
    Text,
    /// `(` or `[`.
    Open,
    /// `)` or `]`.
    Close,
    /// Everything else: operators, `,`, `.`, `?` and `:`.
    Mark,
}

/// A piece of the source.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) range: Range<usize>,
}

/// The marks of the language, longer ones before their beginnings.
const MARKS: [&str; 18] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "-", "+", "*", "/", "%", "?", ":", ",", ".",
];

/// What people write, and what they mean by it; tried before [`MARKS`].
const SLIPS: [(&str, &str); 19] = [
    ("===", "=="),
    ("!==", "!="),
    ("=>", ">="),
    ("=<", "<="),
    ("<>", "!="),
    ("&amp;", "&&"),
    ("\u{2265}", ">="),
    ("\u{2264}", "<="),
    ("\u{2260}", "!="),
    ("\u{201c}", "\""),
    ("\u{201d}", "\""),
    ("\u{201e}", "\""),
    ("\u{2018}", "'"),
    ("\u{2019}", "'"),
    ("\u{ab}", "\""),
    ("\u{bb}", "\""),
    ("\u{2013}", "-"),
    ("\u{2212}", "-"),
    ("\u{a0}", " "),
];

/// Characters that may follow a backslash in a text.
const ESCAPES: &str = "abfnrtv\"'\\?`";

/// Cuts `source`; the tokens are in order and do not overlap, and are complete when there is no fault.
pub(super) fn cut(source: &str) -> (Vec<Token>, Vec<Fault>) {
    let mut cutter = Cutter {
        source,
        at: 0,
        tokens: Vec::new(),
        faults: Vec::new(),
    };
    while let Some(first) = cutter.rest().chars().next() {
        cutter.step(first);
    }
    cutter.faults.sort_by_key(|fault| (fault.range.start, fault.range.end));
    (cutter.tokens, cutter.faults)
}

struct Cutter<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
    faults: Vec<Fault>,
}

impl<'a> Cutter<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn step(&mut self, first: char) {
        let rest = self.rest();
        match first {
            ' ' | '\t' | '\r' | '\n' | '\u{c}' => self.at += 1,
            '/' if rest.starts_with("//") => self.at += rest.find('\n').unwrap_or(rest.len()),
            '(' | '[' => self.push(TokenKind::Open, 1),
            ')' | ']' => self.push(TokenKind::Close, 1),
            '"' | '\'' => self.text(first),
            '0'..='9' => self.number(),
            '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => {
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                self.push(TokenKind::Word, end);
            }
            _ => self.mark(first),
        }
    }

    fn push(&mut self, kind: TokenKind, length: usize) {
        let range = self.take(length);
        self.tokens.push(Token { kind, range });
    }

    fn take(&mut self, length: usize) -> Range<usize> {
        let range = self.at..self.at + length;
        self.at = range.end;
        range
    }

    fn mark(&mut self, first: char) {
        let rest = self.rest();
        if let Some((slip, meant)) = SLIPS.iter().find(|(slip, _)| rest.starts_with(slip)) {
            let range = self.take(slip.len());
            let hint = if *meant == " " {
                "write a plain space".to_owned()
            } else {
                format!("write {meant}")
            };
            self.faults
                .push(Fault::new(range, format!("`{slip}` is not part of the language")).with_hint(hint));
            return;
        }
        if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            return self.push(TokenKind::Mark, mark.len());
        }
        let range = self.take(first.len_utf8());
        let fault = Fault::new(range, format!("`{}` is not part of the language", first.escape_debug()));
        self.faults.push(match first {
            '=' => fault.with_hint("write =="),
            '&' => fault.with_hint("write &&"),
            '|' => fault.with_hint("write ||"),
            '{' | '}' => fault.with_hint("write round brackets"),
            _ if first.is_alphabetic() => {
                fault.with_hint("names are made of the letters a to z, digits and _; a text stands in quotes")
            }
            _ => fault,
        });
    }

    fn number(&mut self) {
        let bytes = self.rest().as_bytes();
        let hexadecimal = bytes.starts_with(b"0x");
        let mut length = 0;
        while let Some(&byte) = bytes.get(length) {
            let after = bytes.get(length + 1);
            let belongs = match byte {
                b'.' => after.is_some_and(u8::is_ascii_digit),
                b'+' | b'-' => {
                    !hexadecimal
                        && matches!(bytes[..length].last(), Some(b'e' | b'E'))
                        && after.is_some_and(u8::is_ascii_digit)
                }
                _ => byte.is_ascii_alphanumeric() || byte == b'_',
            };
            if !belongs {
                break;
            }
            length += 1;
        }
        let written = &self.rest()[..length];
        if is_number(written) {
            return self.push(TokenKind::Number, length);
        }
        let range = self.take(length);
        let digits: String = written.chars().filter(|c| *c != '_').collect();
        let fault = Fault::new(range, format!("`{written}` is not a number"));
        self.faults.push(if is_number(&digits) {
            fault.with_hint(format!("write {digits}"))
        } else {
            fault
        });
    }

    fn text(&mut self, quote: char) {
        let rest = self.rest();
        if rest[1..].starts_with(quote) && rest[2..].starts_with(quote) {
            let range = self.take(3);
            self.at = self.source.len();
            let fault = Fault::new(range, "a text stands between single quotation marks, not three");
            return self.faults.push(fault.with_hint("write \"text\""));
        }
        let mut characters = rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '\n' | '\r' => break,
                '\\' => {
                    let escaped = characters.next().map_or('\n', |(_, escaped)| escaped);
                    if !ESCAPES.contains(escaped) {
                        let start = self.at + at;
                        let end = start + 1 + if escaped == '\n' { 0 } else { escaped.len_utf8() };
                        let fault = Fault::new(
                            start..end,
                            "this backslash does not stand before a character it can escape",
                        );
                        self.faults.push(fault.with_hint("write \\\\ for a backslash"));
                    }
                }
                _ if character == quote => return self.push(TokenKind::Text, at + 1),
                _ => {}
            }
        }
        let range = self.take(rest.find(['\n', '\r']).unwrap_or(rest.len()));
        let fault = Fault::new(range, "this text has no closing quotation mark");
        self.faults
            .push(fault.with_hint(format!("end it with {quote} on the same line")));
    }
}

/// Tells whether CEL reads `written` as one number.
fn is_number(written: &str) -> bool {
    let unsigned = written.strip_suffix(['u', 'U']);
    let whole = unsigned.unwrap_or(written);
    if let Some(digits) = whole.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if unsigned.is_some() {
        return !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit());
    }
    whole.starts_with(|c: char| c == '.' || c.is_ascii_digit()) && whole.parse::<f64>().is_ok()
}
