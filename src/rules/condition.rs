//! A condition: compiled once when a catalog is loaded, evaluated for every decision.

use std::ops::Range;

use super::check;
use super::evaluate;
use super::facts::{Facts, Truth, Verdict};
use super::fault::Fault;
use super::missing;
use super::parse::{self, Form, Node, Operator};
use super::program::{Slot, Test};
use super::scope::{Scope, Space};
use crate::domain::time::Timestamp;

/// A compiled condition.
///
/// ```
/// use nbo::domain::value::Value;
/// use nbo::rules::{Condition, Facts, Kind, Scope, Space, Truth, Variable};
///
/// let profile = [Variable { name: "age".into(), kind: Kind::Number, values: vec![] }];
/// let scope = Scope::new().with(Space::Profile, &profile);
/// let condition = Condition::compile("profile.age >= 18", &scope).unwrap();
/// let facts = Facts { profile: &[Value::Number(30.0)], ..Facts::default() };
/// assert_eq!(condition.evaluate(&facts).truth, Truth::True);
///
/// let faults = Condition::compile("profile.age >= 'old'", &scope).unwrap_err();
/// assert_eq!(faults[0].message, "profile.age is a number; it cannot be compared with the text 'old'");
/// ```
#[derive(Clone, Debug)]
pub struct Condition {
    source: Box<str>,
    test: Test,
    /// Where the parts stand that `&&` joins, as many as the test joins; none when it is a single one.
    parts: Box<[Range<usize>]>,
    reads: Box<[(Space, u16)]>,
    reads_now: bool,
}

impl Condition {
    /// Compiles `source` for facts of the shape of `scope`.
    ///
    /// # Errors
    ///
    /// Every fault that can be told at once, in the order of the source: all slips of writing, or else all faults of
    /// meaning.
    pub fn compile(source: &str, scope: &Scope<'_>) -> Result<Self, Vec<Fault>> {
        let tree = parse::parse(source)?;
        let test = check::check(source, &tree, scope)?;
        let (mut reads, mut reads_now) = (Vec::new(), false);
        test.visit(&mut |seen| match seen {
            Some(slot) => reads.push((slot.space, slot.index)),
            None => reads_now = true,
        });
        reads.sort_unstable();
        reads.dedup();
        Ok(Self {
            source: source.into(),
            parts: parts(source, &tree, &test, scope),
            test,
            reads: reads.into(),
            reads_now,
        })
    }

    /// Evaluates the condition. Never fails and never allocates; takes some tens of nanoseconds.
    #[must_use]
    pub fn evaluate(&self, facts: &Facts<'_>) -> Verdict {
        evaluate::test(&self.test, facts)
    }

    /// Returns the text of the first of the parts joined by `&&` that is not true, and until when it is that one; `None` when all
    /// are, or there is only one.
    #[must_use]
    pub fn failing_part(&self, facts: &Facts<'_>) -> Option<(&str, Timestamp)> {
        let Test::All(tests) = &self.test else { return None };
        let mut until = Timestamp::FAR_FUTURE;
        let fails = |test: &Test| {
            let verdict = evaluate::test(test, facts);
            until = until.min(verdict.valid_until);
            verdict.truth != Truth::True
        };
        let part = self.parts.get(tests.iter().position(fails)?)?;
        Some((self.source.get(part.clone())?, until))
    }

    /// Returns the compiled form.
    pub(super) fn test(&self) -> &Test {
        &self.test
    }

    /// Returns the text that was compiled.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the variables that the outcome may depend on, sorted, each once.
    #[must_use]
    pub fn reads(&self) -> &[(Space, u16)] {
        &self.reads
    }

    /// Tells whether the outcome may depend on a variable of `space`.
    #[must_use]
    pub fn reads_space(&self, space: Space) -> bool {
        self.reads.iter().any(|(read, _)| *read == space)
    }

    /// Tells whether the outcome may depend on `now`.
    #[must_use]
    pub fn reads_now(&self) -> bool {
        self.reads_now
    }

    /// Returns the first variable, in the order of the source, whose absence makes the outcome unknown; `None` when the
    /// outcome is known, or unknown only because a calculation has no result.
    #[must_use]
    pub fn missing(&self, facts: &Facts<'_>) -> Option<(Space, u16)> {
        missing::test(&self.test, facts).map(|Slot { space, index }| (space, index))
    }
}

/// Returns where the parts of a conjunction stand. What was decided at compile time is no part any more; where the parts that
/// are written are not those that are tested, none is told.
fn parts(source: &str, tree: &Node, test: &Test, scope: &Scope<'_>) -> Box<[Range<usize>]> {
    let Test::All(tests) = test else { return Box::default() };
    let mut nodes = Vec::new();
    flatten(tree, &mut nodes);
    nodes.retain(|node| !matches!(check::check(source, node, scope), Ok(Test::Constant(true))));
    let is_same = |(node, test): (&&Node, &Test)| {
        check::check(source, node, scope).is_ok_and(|alone| format!("{alone:?}") == format!("{test:?}"))
    };
    if nodes.len() == tests.len() && nodes.iter().zip(tests).all(is_same) {
        nodes.iter().map(|node| closed(source, node.range.clone())).collect()
    } else {
        Box::default()
    }
}

/// Takes in the round brackets that close those of the text: a node may end before them.
fn closed(source: &str, part: Range<usize>) -> Range<usize> {
    let (start, mut end) = (part.start, part.end);
    let open = |end: usize| unclosed(source.get(start..end).unwrap_or_default());
    while open(end) > 0 {
        let Some(bracket) = source.get(end..).and_then(|rest| rest.find(')')) else {
            return part;
        };
        end += bracket + 1;
    }
    start..end
}

/// Counts the round brackets that are opened and not closed, outside of texts and comments.
fn unclosed(text: &str) -> i32 {
    let (mut open, mut quote) = (0, None);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(begun), _) if begun == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '/') if characters.peek() == Some(&'/') => {
                let _ = characters.by_ref().find(|character| *character == '\n');
            }
            (None, '(') => open += 1,
            (None, ')') => open -= 1,
            _ => {}
        }
    }
    open
}

fn flatten<'a>(node: &'a Node, parts: &mut Vec<&'a Node>) {
    match &node.form {
        Form::Binary {
            operator: Operator::And,
            left,
            right,
        } => {
            flatten(left, parts);
            flatten(right, parts);
        }
        _ => parts.push(node),
    }
}
