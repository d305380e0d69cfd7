//! What the YAML scanner says, in words for people who do not know its grammar.

use saphyr_parser::{ScanError, Span as Marks};

use super::{Fault, Span, no_alias, span_of};

/// A part of what the scanner says, what it means, and what to do. The first that fits is taken.
const MEANINGS: &[(&str, &str, &str)] = &[
    (
        "mapping values are not allowed",
        "a `:` stands where no key can be",
        "put a text that contains `: ` in quotes; otherwise check the indentation of this line and the one above",
    ),
    (
        "trailing content after double-quoted",
        "text goes on after the closing quote",
        "put a value that begins with a quote in single quotes as a whole, as in '\"fund\" in profile.holdings'",
    ),
    (
        "quoted scalar",
        "a quoted text is broken",
        "check that the closing quote is there, and that a quote inside is written twice or as \\\"",
    ),
    (
        "',' or",
        "a `[` or `{` is not closed, or a `,` is missing",
        "close it with `]` or `}`, and put `,` between entries",
    ),
    (
        "illegal placement of ':'",
        "a `:` stands inside of `[` `]`",
        "is a `]` missing before? otherwise put the text in quotes",
    ),
    (
        "block sequence entries are not allowed",
        "a list begins on the line of its key",
        "begin the list on the next line, or put the text in quotes",
    ),
    (
        "expected '-'",
        "a list goes on with something that has no `-`",
        "begin the line with `- `, or indent it as the lines above",
    ),
    (
        "simple key",
        "this line or the one above is neither a key with its `:` nor part of a text",
        "add the `:`, or put a text of several lines in quotes",
    ),
    (
        "did not find expected key",
        "this does not fit the lines above",
        "keys of the same thing begin in the same column, and nothing goes on after a closing quote, `]` or `}`",
    ),
    (
        "while scanning a block scalar",
        "a value that begins with `>` or `|` is a text of several lines, which begins on the next line",
        "put a value that begins so in quotes",
    ),
    (
        "only valid inside a block",
        "a list's `-` stands inside of `[` `]` or `{` `}`",
        "is a bracket above not closed?",
    ),
    (
        "misplaced bracket",
        "a bracket closes nothing, or another kind of bracket",
        "close `[` with `]` and `{` with `}`, and put a text with brackets in quotes",
    ),
    (
        "unprintable character",
        "here is a character that cannot be printed",
        "remove it",
    ),
    (
        "comments must be separated",
        "a `#` without a blank before it",
        "put a blank before a comment, or the whole text in quotes",
    ),
    (
        "':' m",
        "a `:` stands where it says nothing",
        "put a blank after a key's `:`, and a text with `:` in quotes",
    ),
    (
        "expected node content",
        "a value is missing here",
        "give the value, or remove the key or the `,`",
    ),
    (
        "invalid indentation",
        "the line does not fit the indentation of those above, or a `[` or `{` there is not closed",
        "close it with `]` or `}`, or begin keys of the same thing in the same column",
    ),
    (
        "recursion limit",
        "lists and maps are nested too deep",
        "a catalog needs six levels",
    ),
];

/// Says in plain words what the scanner found in `text`, and what was probably meant.
pub(super) fn explain(error: &ScanError, text: &str) -> Fault {
    let span = span_of(Marks::new(*error.marker(), *error.marker()));
    let info = error.info();
    if info.contains("unknown anchor") {
        return no_alias(span);
    }
    let fault = |span, message: String, hint: &str| Fault {
        span,
        message,
        hint: Some(hint.to_owned()),
    };
    let is_about_tabs = info.split(' ').any(|word| matches!(word, "tab" | "tabs"));
    if let Some(tab) = first_tab(text, span.line).filter(|_| is_about_tabs) {
        let message = "a tab stands where only spaces may indent".to_owned();
        return fault(tab, message, "indent with spaces, two for each level");
    }
    if let Some(character) = info.strip_prefix("unexpected character: ") {
        let message = format!("a value cannot begin with {}", character.replace('\'', "`"));
        return fault(span, message, "put the whole value in quotes");
    }
    match MEANINGS.iter().find(|(said, _, _)| info.contains(said)) {
        Some((_, message, hint)) => fault(span, (*message).to_owned(), hint),
        None => fault(
            span,
            format!("this is not YAML: {info}"),
            "check the quotes, brackets and indentation around this line",
        ),
    }
}

/// Returns the place of the first tab in a line or below it.
fn first_tab(text: &str, line: usize) -> Option<Span> {
    text.lines().enumerate().skip(line - 1).find_map(|(at, content)| {
        let column = content.chars().position(|each| each == '\t')? + 1;
        Some(Span {
            line: at + 1,
            column,
            width: 1,
        })
    })
}
