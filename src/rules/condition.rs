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

    /// Returns the text of the first of the parts joined by `&&` that is not true; `None` when all are, or there is only one.
    #[must_use]
    pub fn failing_part(&self, facts: &Facts<'_>) -> Option<&str> {
        let Test::All(tests) = &self.test else { return None };
        let fails = |test: &Test| evaluate::test(test, facts).truth != Truth::True;
        let part = self.parts.get(tests.iter().position(fails)?)?;
        self.source.get(part.clone())
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
        nodes.iter().map(|node| node.range.clone()).collect()
    } else {
        Box::default()
    }
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
