//! Checks a parsed condition against a scope and lowers it to its program, reporting every fault it meets.
//!
//! A fault makes its expression [`Typed::Faulty`], and what stands around a faulty expression is not judged, so one
//! mistake is reported once.

use std::ops::Range;

use super::calendar::Part;
use super::fault::{Fault, suggest};
use super::parse::{Form, Node, Operator};
use super::program::{Moment, Number, Slot, Test};
use super::scope::{Kind, Scope, Space, Variable};
use super::typed::{Checked, Typed, all, any, excerpt, not};

/// Checks `root`, the tree of `source`.
pub(super) fn check(source: &str, root: &Node, scope: &Scope<'_>) -> Result<Test, Vec<Fault>> {
    let mut checker = Checker {
        source,
        scope,
        faults: Vec::new(),
        explained_until: 0,
    };
    let whole = checker.checked(root);
    let test = match whole.typed {
        Typed::Test(test) => Some(test),
        Typed::Faulty => None,
        _ => {
            let message = format!("{}; a condition must be yes or no", whole.subject(source));
            checker.refuse(&whole, message);
            None
        }
    };
    let mut faults = checker.faults;
    faults.sort_by_key(|fault| (fault.range.start, fault.range.end));
    test.filter(|_| faults.is_empty()).ok_or(faults)
}

pub(super) struct Checker<'a, 's> {
    pub(super) source: &'s str,
    pub(super) scope: &'s Scope<'a>,
    pub(super) faults: Vec<Fault>,
    /// Unknown words before this byte belong to a fault that has been reported.
    explained_until: usize,
}

impl<'a> Checker<'a, '_> {
    pub(super) fn checked(&mut self, node: &Node) -> Checked<'a> {
        Checked {
            range: node.range.clone(),
            typed: self.typed(node),
        }
    }

    pub(super) fn text(&self, range: &Range<usize>) -> String {
        excerpt(self.source, range)
    }

    /// Reports a fault; what it is about becomes faulty.
    pub(super) fn fault(&mut self, range: Range<usize>, message: impl Into<String>) -> Typed<'a> {
        self.faults.push(Fault::new(range, message));
        Typed::Faulty
    }

    pub(super) fn fault_with_hint(
        &mut self,
        range: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Typed<'a> {
        self.faults.push(Fault::new(range, message).with_hint(hint));
        Typed::Faulty
    }

    /// Reports that an expression should be a yes/no value.
    fn refuse(&mut self, checked: &Checked<'a>, message: String) {
        let fault = Fault::new(checked.range.clone(), message);
        self.faults.push(match checked.yes_no_hint(self.source) {
            Some(hint) => fault.with_hint(hint),
            None => fault,
        });
    }

    fn typed(&mut self, node: &Node) -> Typed<'a> {
        match &node.form {
            Form::Boolean(value) => Typed::Test(Test::Constant(*value)),
            Form::Number(value) => Typed::Number(Number::Constant(*value)),
            Form::Text(text) => Typed::Text(text.clone()),
            Form::Null => self.fault_with_hint(
                node.range.clone(),
                "there is no null: a missing value makes its comparison unknown",
                "write has(profile.name) or !has(profile.name)",
            ),
            Form::List(items) => Typed::List(items.iter().map(|item| self.checked(item)).collect()),
            Form::Name(name) => self.name(node, name),
            Form::Field { of, name } => match self.variable(node, of, name) {
                Some((slot, variable)) => read(slot, variable),
                None => Typed::Faulty,
            },
            Form::Present(field) => match &field.form {
                Form::Field { of, name } => self
                    .variable(field, of, name)
                    .map_or(Typed::Faulty, |(slot, variable)| {
                        Typed::Test(Test::Present(slot, variable.kind))
                    }),
                _ => self.fault(node.range.clone(), "has() takes one attribute"),
            },
            Form::Not(inner) => self
                .yes_no(inner, "`!`")
                .map_or(Typed::Faulty, |test| Typed::Test(not(test))),
            Form::Negate(inner) => self.negate(inner),
            Form::Binary { operator, left, right } => self.binary(node, *operator, left, right),
            Form::Choose { test, yes, no } => self.choose(node, test, yes, no),
            Form::Call {
                name,
                target,
                arguments,
            } => self.call(node, name, target.as_deref(), arguments),
        }
    }

    /// Checks an operand of `&&`, `||`, `!` or `?`.
    fn yes_no(&mut self, node: &Node, operator: &str) -> Option<Test> {
        let checked = self.checked(node);
        match checked.typed {
            Typed::Test(test) => Some(test),
            Typed::Faulty => None,
            _ => {
                let message = format!("{}; {operator} needs yes or no", checked.subject(self.source));
                self.refuse(&checked, message);
                None
            }
        }
    }

    fn binary(&mut self, node: &Node, operator: Operator, left: &Node, right: &Node) -> Typed<'a> {
        match operator {
            Operator::And | Operator::Or => {
                let (mark, join): (_, fn(Test, Test) -> Test) = if operator == Operator::And {
                    ("`&&`", all)
                } else {
                    ("`||`", any)
                };
                match (self.yes_no(left, mark), self.yes_no(right, mark)) {
                    (Some(left), Some(right)) => Typed::Test(join(left, right)),
                    _ => Typed::Faulty,
                }
            }
            Operator::In => {
                let (left, right) = (self.checked(left), self.checked(right));
                self.membership(node, left, right)
            }
            Operator::Compare(order) => {
                let (left, right) = (self.checked(left), self.checked(right));
                self.comparison(node, order, left, right)
            }
            Operator::Calculate(arithmetic) => {
                let (left, right) = (self.checked(left), self.checked(right));
                self.calculation(node, arithmetic, left, right)
            }
        }
    }

    fn choose(&mut self, node: &Node, test: &Node, yes: &Node, no: &Node) -> Typed<'a> {
        let test = self.yes_no(test, "`?`");
        let (yes, no) = (self.checked(yes), self.checked(no));
        let Some(test) = test else { return Typed::Faulty };
        let both = format!("{}, but {}", yes.subject(self.source), no.subject(self.source));
        match (yes.typed, no.typed) {
            (Typed::Faulty, _) | (_, Typed::Faulty) => Typed::Faulty,
            (Typed::Test(yes), Typed::Test(no)) => Typed::Test(match test {
                Test::Constant(holds) => {
                    if holds {
                        yes
                    } else {
                        no
                    }
                }
                test => Test::Choose(Box::new([test, yes, no])),
            }),
            (Typed::Number(yes), Typed::Number(no)) => Typed::Number(match test {
                Test::Constant(holds) => {
                    if holds {
                        yes
                    } else {
                        no
                    }
                }
                test => Number::Choose(Box::new((test, yes, no))),
            }),
            (Typed::Time(yes), Typed::Time(no)) => Typed::Time(choose_moment(test, yes, no)),
            (Typed::Span(yes), Typed::Span(no)) => Typed::Span(choose_moment(test, yes, no)),
            (Typed::Category(..) | Typed::Text(_), Typed::Category(..) | Typed::Text(_)) => self.fault_with_hint(
                node.range.clone(),
                "`? :` cannot choose between categories or texts",
                "choose between whole comparisons: test ? a == \"x\" : b == \"x\"",
            ),
            (Typed::Set(..) | Typed::List(_), Typed::Set(..) | Typed::List(_)) => self.fault_with_hint(
                node.range.clone(),
                "`? :` cannot choose between sets or lists",
                "choose between whole tests: test ? \"x\" in a : \"x\" in b",
            ),
            _ => self.fault(
                node.range.clone(),
                format!("{both}; both sides of `:` must be of one kind"),
            ),
        }
    }

    fn name(&mut self, node: &Node, name: &str) -> Typed<'a> {
        if name == "now" {
            return Typed::Time(Moment::Now);
        }
        if node.range.start < self.explained_until {
            return Typed::Faulty;
        }
        if let Some(space) = Space::ALL.into_iter().find(|space| space.name() == name) {
            let Some(variables) = self.allowed(&node.range, space) else {
                return Typed::Faulty;
            };
            let hint = variables.first().map_or_else(
                || format!("no attribute of {name} is declared"),
                |variable| format!("write one of them, as in {name}.{}", variable.name),
            );
            return self.fault_with_hint(
                node.range.clone(),
                format!("`{name}` is not one value but several"),
                hint,
            );
        }
        let hint = self.name_hint(name);
        self.fault_with_hint(node.range.clone(), format!("`{name}` is not known"), hint)
    }

    /// Says what a bare word was probably meant to be.
    fn name_hint(&self, name: &str) -> String {
        let variables = || {
            self.scope.spaces().flat_map(|space| {
                self.scope
                    .variables(space)
                    .unwrap_or_default()
                    .iter()
                    .map(move |variable| (space, variable))
            })
        };
        if let Some((space, variable)) = variables().find(|(_, variable)| variable.name == name) {
            return format!("did you mean {space}.{}?", variable.name);
        }
        if variables().any(|(_, variable)| variable.values.iter().any(|(value, _)| value == name)) {
            return format!("a text stands in quotation marks: \"{name}\"");
        }
        suggest(name, self.scope.spaces().map(Space::name).chain(["now"]), "")
    }

    /// Returns the variables of a space, or reports that it may not be used here.
    fn allowed(&mut self, range: &Range<usize>, space: Space) -> Option<&'a [Variable]> {
        let variables = self.scope.variables(space);
        if variables.is_none() {
            let names: Vec<&str> = self.scope.spaces().map(Space::name).chain(["now"]).collect();
            let message = format!("`{space}` cannot be used here");
            self.fault_with_hint(range.clone(), message, format!("here you can use {}", names.join(", ")));
        }
        variables
    }

    /// Finds the variable that a field names.
    fn variable(&mut self, node: &Node, of: &Node, name: &str) -> Option<(Slot, &'a Variable)> {
        let space = match &of.form {
            Form::Name(word) => Space::ALL.into_iter().find(|space| space.name() == word),
            _ => None,
        };
        let Some(space) = space else {
            self.no_field(node, of, name);
            return None;
        };
        let variables = self.allowed(&of.range, space)?;
        if let Some(index) = variables.iter().position(|variable| variable.name == name) {
            let Ok(index16) = u16::try_from(index) else {
                self.fault(node.range.clone(), format!("{space} has more than 65536 attributes"));
                return None;
            };
            return Some((Slot { space, index: index16 }, &variables[index]));
        }
        let written = &self.source[node.range.start..];
        let dashed = |variable: &&Variable| {
            variable.name.contains('-') && written.starts_with(&format!("{space}.{}", variable.name))
        };
        if let Some(variable) = variables
            .iter()
            .filter(dashed)
            .max_by_key(|variable| variable.name.len())
        {
            self.explained_until = node.range.start + space.name().len() + 1 + variable.name.len();
            let message = "a name with - in it cannot follow a dot, since - means minus";
            let hint = format!("write {space}[\"{}\"]", variable.name);
            self.fault_with_hint(node.range.start..self.explained_until, message, hint);
            return None;
        }
        let names: Vec<String> = variables
            .iter()
            .map(|variable| format!("{space}.{}", variable.name))
            .collect();
        let hint = suggest(&format!("{space}.{name}"), names.iter().map(String::as_str), "");
        self.fault_with_hint(node.range.clone(), format!("there is no {space}.{name}"), hint);
        None
    }

    /// Reports a dot after something that has no parts.
    fn no_field(&mut self, node: &Node, of: &Node, name: &str) {
        let checked = self.checked(of);
        let message = format!("{}; nothing can follow it after a dot", checked.subject(self.source));
        match checked.typed {
            Typed::Faulty => {}
            Typed::Time(_) => {
                let part = Part::ALL.into_iter().map(|(part, _)| part).find(|part| {
                    let wanted = name.to_lowercase();
                    part.to_lowercase() == wanted || part.to_lowercase().contains(&wanted)
                });
                let hint = format!("write {}.{}()", self.text(&checked.range), part.unwrap_or("getHours"));
                self.fault_with_hint(node.range.clone(), message, hint);
            }
            _ => {
                self.fault(node.range.clone(), message);
            }
        }
    }
}

fn read(slot: Slot, variable: &Variable) -> Typed<'_> {
    match variable.kind {
        Kind::Boolean => Typed::Test(Test::Boolean(slot)),
        Kind::Number => Typed::Number(Number::Read(slot)),
        Kind::Category => Typed::Category(slot, variable),
        Kind::Set => Typed::Set(slot, variable),
        Kind::Time => Typed::Time(Moment::Read(slot)),
    }
}

fn choose_moment(test: Test, yes: Moment, no: Moment) -> Moment {
    match test {
        Test::Constant(holds) => {
            if holds {
                yes
            } else {
                no
            }
        }
        test => Moment::Choose(Box::new((test, yes, no))),
    }
}
