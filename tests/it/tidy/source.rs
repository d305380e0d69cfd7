//! Just enough of Rust's grammar to find the paths that a file names: comments and literals blanked out, tokens, and
//! `use` trees taken apart. It needs no compiler, so it can judge a file that does not even build.

/// A path that a file names, as in `crate::domain::time`, with `super` and `self` resolved.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Its segments; those of this crate begin with `crate`. A glob ends in `*`.
    pub(super) segments: Vec<String>,
    /// The line, from 1.
    pub(super) line: usize,
}

/// A word or sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
    /// Whether it stands in an inline module of tests.
    pub(super) in_tests: bool,
}

/// Replaces comments and the contents of literals by blanks; lines stay where they are.
pub(super) fn blank(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut blanked = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = literal_or_comment_end(&characters, at);
        let kept = end.map_or(&characters[at..=at], |_| &[]);
        blanked.extend(kept);
        let hidden = &characters[at..end.unwrap_or(at)];
        blanked.extend(hidden.iter().map(|&hidden| if hidden == '\n' { '\n' } else { ' ' }));
        at = end.unwrap_or(at + 1);
    }
    blanked
}

/// Returns where the comment or literal that begins at `at` ends, if one begins there.
fn literal_or_comment_end(characters: &[char], at: usize) -> Option<usize> {
    let rest = &characters[at..];
    let follows_word = at > 0 && is_word(characters[at - 1]);
    let length = match rest {
        ['/', '/', ..] => rest.iter().position(|&each| each == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, 1),
        ['b' | 'c', '"', ..] if !follows_word => quoted(rest, 2),
        ['r', '"' | '#', ..] if !follows_word => raw(rest, 1)?,
        ['b' | 'c', 'r', '"' | '#', ..] if !follows_word => raw(rest, 2)?,
        ['\'', '\\', _, tail @ ..] => 3 + tail.iter().position(|&each| each == '\'')? + 1,
        ['\'', _, '\'', ..] => 3,
        _ => return None,
    };
    Some(at + length)
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[char], opening: usize) -> usize {
    let mut at = opening;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw(rest: &[char], prefix: usize) -> Option<usize> {
    let hashes = rest[prefix..].iter().take_while(|&&each| each == '#').count();
    let opening = prefix + hashes;
    if rest.get(opening) != Some(&'"') {
        return None;
    }
    let closes = |&at: &usize| {
        rest[at] == '"' && rest.len() > at + hashes && rest[at + 1..=at + hashes].iter().all(|&each| each == '#')
    };
    let end = (opening + 1..rest.len()).find(closes);
    Some(end.map_or(rest.len(), |at| at + hashes + 1))
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Splits blanked text into words, `::` and single signs, and marks those in `mod tests { … }`.
pub(super) fn tokens(blanked: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (number, line) in blanked.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                _ if is_word(first) => rest.find(|each| !is_word(each)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            tokens.push(Token {
                text: rest[..length].to_owned(),
                line: number + 1,
                in_tests: false,
            });
            rest = rest[length..].trim_start();
        }
    }
    for at in modules(&tokens) {
        if tokens[at.open - 1].text.contains("test") {
            tokens[at.open..at.close]
                .iter_mut()
                .for_each(|token| token.in_tests = true);
        }
    }
    tokens
}

/// An inline module, by the positions of its braces; its name stands before the opening one.
struct Inline {
    open: usize,
    close: usize,
}

fn modules(tokens: &[Token]) -> Vec<Inline> {
    let begins = |at: &usize| tokens[*at].text == "mod" && tokens.get(at + 2).is_some_and(|token| token.text == "{");
    (0..tokens.len())
        .filter(begins)
        .map(|at| {
            let mut depth = 0_usize;
            let close = (at + 2..tokens.len()).find(|&at| {
                match tokens[at].text.as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            Inline {
                open: at + 2,
                close: close.unwrap_or(tokens.len()),
            }
        })
        .collect()
}

/// Finds every path of two segments or more, and everything that a `use` names. `module` is the file's own path within
/// its crate, as in `["decision", "fold"]`.
pub(super) fn paths(tokens: &[Token], module: &[String]) -> Vec<Path> {
    let inline = modules(tokens);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let names = is_name(&tokens[at].text);
        let follows = |sign: &str, at: usize| tokens.get(at + 1).is_some_and(|token| token.text == sign);
        let continues = at > 0 && tokens[at - 1].text == "::" && at > 1 && ends_a_segment(&tokens[at - 2].text);
        let used = at > 0 && tokens[at - 1].text == "use";
        if !names || continues || !(used || follows("::", at)) || in_use_tree(tokens, at) {
            continue;
        }
        let mut here = module.to_vec();
        for inside in inline.iter().filter(|inside| inside.open < at && at < inside.close) {
            here.push(tokens[inside.open - 1].text.clone());
        }
        let mut leaves = Vec::new();
        tree(tokens, at, &[], &mut leaves);
        found.extend(leaves.into_iter().map(|leaf| Path {
            segments: resolve(&leaf, &here),
            line: tokens[at].line,
        }));
    }
    found
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_') && text != "use"
}

fn ends_a_segment(text: &str) -> bool {
    text == ">" || text.ends_with(is_word) && text != "use" && text != "as"
}

/// Tells whether a word stands in the braces of a `use`, whose paths begin before the brace.
fn in_use_tree(tokens: &[Token], at: usize) -> bool {
    let statement = tokens[..at]
        .iter()
        .rposition(|token| token.text == ";" || token.text == "use");
    let Some(start) = statement.filter(|&start| tokens[start].text == "use") else {
        return false;
    };
    let brace = tokens[start..at]
        .windows(2)
        .position(|two| two[0].text == "::" && two[1].text == "{");
    let opened = tokens[start..at].iter().filter(|token| token.text == "{").count();
    let closed = tokens[start..at].iter().filter(|token| token.text == "}").count();
    brace.is_some() && opened > closed
}

/// Reads one `use` tree or path and returns where it ends.
fn tree(tokens: &[Token], mut at: usize, prefix: &[String], leaves: &mut Vec<Vec<String>>) -> usize {
    let mut segments = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = tree(tokens, at, &segments, leaves);
                    while tokens
                        .get(at)
                        .is_some_and(|token| token.text != "}" && token.text != ",")
                    {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
                }
                return at + 1;
            }
            "*" => {
                segments.push("*".to_owned());
                at += 1;
                break;
            }
            "self" if segments.len() > prefix.len() || !prefix.is_empty() => at += 1,
            text if is_name(text) => {
                segments.push(text.to_owned());
                at += 1;
            }
            _ => break,
        }
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    leaves.push(segments);
    at
}

fn resolve(leaf: &[String], here: &[String]) -> Vec<String> {
    let supers = leaf.iter().take_while(|segment| *segment == "super").count();
    let own = match leaf.first().map(String::as_str) {
        Some("crate" | "nbo") => return [&["crate".to_owned()], &leaf[1..]].concat(),
        Some("super") => &here[..here.len().saturating_sub(supers)],
        Some("self") => here,
        _ => return leaf.to_vec(),
    };
    [&["crate".to_owned()], own, &leaf[supers.max(1)..]].concat()
}

#[test]
fn comments_and_literals_are_blanked_and_lines_stay() {
    for (text, expected) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ \n d */ e", "a              \n      e"),
        (
            r#"f("x \" y", 'z', '\'', '\u{41}')"#,
            r"f(        ,    ,     ,         )",
        ),
        (r##"r#"a " b"# + br"c" + r"d""##, "           +       +     "),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("var\"x\"", "var   "),
    ] {
        assert_eq!(blank(text), expected, "{text}");
    }
}

#[test]
fn every_way_to_name_a_path_is_found() {
    for (text, expected) in [
        (
            "use crate::a::{b, c::{self, D}, e::*};",
            "crate::a::b crate::a::c crate::a::c::D crate::a::e::*",
        ),
        ("pub(crate) use super::x::Y as Z;", "crate::here::x::Y"),
        ("fn f() -> super::super::x::Y {}", "crate::x::Y"),
        ("mod tests { use super::*; }", "crate::here::there::*"),
        (
            "mod tests { use super::super::super::engine::Engine; }",
            "crate::engine::Engine",
        ),
        (
            "let x = nbo::cli::run(); <A as std::fs::B>::c()",
            "crate::cli::run std::fs::B",
        ),
        ("use tokio; use ::std::time::Instant;", "tokio std::time::Instant"),
        (
            "use self::near::X; let y = Vec::<u8>::new();",
            "crate::here::there::near::X Vec",
        ),
        ("// crate::a::b\nlet x = \"crate::a::b\";", ""),
    ] {
        let module = ["here".to_owned(), "there".to_owned()];
        let found: Vec<String> = paths(&tokens(&blank(text)), &module)
            .into_iter()
            .map(|path| path.segments.join("::"))
            .collect();
        assert_eq!(found.join(" "), expected, "{text}");
    }
}
