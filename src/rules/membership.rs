//! `in`: a value in a list, a name in a set.

use super::check::Checker;
use super::compare::unreachable_part;
use super::parse::Node;
use super::program::{Number, Slot, Test};
use super::scope::Variable;
use super::typed::{Checked, Typed};
use crate::domain::symbol::{SET_VALUES_MAX, Symbol};

impl<'a> Checker<'a, '_> {
    pub(super) fn membership(&mut self, node: &Node, left: Checked<'a>, right: Checked<'a>) -> Typed<'a> {
        if left.is_faulty() || right.is_faulty() {
            return Typed::Faulty;
        }
        let needle = left.subject(self.source);
        match (left.typed, right.typed) {
            (_, Typed::List(items)) if items.is_empty() => {
                self.fault(right.range, "the list is empty, so nothing is in it")
            }
            (Typed::Number(number), Typed::List(items)) => self.number_in(&needle, number, items),
            (Typed::Category(slot, variable), Typed::List(items)) => self.category_in(slot, variable, items),
            (Typed::Text(text), Typed::Set(slot, variable)) => {
                let written = Checked {
                    range: left.range,
                    typed: Typed::Faulty,
                };
                let Some((bit, _)) = self.value(slot, variable, &text, &written) else {
                    return Typed::Faulty;
                };
                if bit < SET_VALUES_MAX {
                    return Typed::Test(Test::SetHas(slot, 1 << bit));
                }
                self.fault(right.range, format!("a set can have at most {SET_VALUES_MAX} values"))
            }
            (Typed::Category(slot, variable), Typed::Set(set, names)) => {
                self.category_in_set(node, (slot, variable), (set, names))
            }
            (Typed::Text(_), Typed::List(_)) => self.fault_with_hint(
                left.range,
                "a text that is written out is looked for in a list that is written out",
                "write an attribute before in; attributes stand without quotation marks",
            ),
            (Typed::List(_), Typed::Set(..)) => {
                let set = self.text(&right.range);
                let hint = format!("ask for each, as in \"a\" in {set} || \"b\" in {set}");
                self.fault_with_hint(left.range, "one value can be looked for at a time", hint)
            }
            (_, Typed::List(_)) => self.fault_with_hint(
                left.range,
                format!("{needle}; it cannot be looked for in a list"),
                "compare it with ==",
            ),
            (_, Typed::Set(..)) => {
                let message = format!("{needle}; only a text or a category can be in a set");
                self.fault(left.range, message)
            }
            (_, typed) => {
                let haystack = Checked {
                    range: right.range,
                    typed,
                };
                let message = format!(
                    "{}; in needs a list or a set on its right",
                    haystack.subject(self.source)
                );
                let hint = if haystack.is_literal() {
                    format!("write [{}]", self.text(&haystack.range))
                } else {
                    "write == to compare two values".to_owned()
                };
                self.fault_with_hint(haystack.range, message, hint)
            }
        }
    }

    fn number_in(&mut self, needle: &str, number: Number, items: Vec<Checked<'a>>) -> Typed<'a> {
        let mut values = Vec::with_capacity(items.len());
        let faults_before = self.faults.len();
        for item in items {
            match &item.typed {
                Typed::Number(constant @ Number::Constant(value)) => {
                    values.push(*value);
                    if let Some(message) = unreachable_part(&number, constant) {
                        self.fault(item.range, message);
                    }
                }
                Typed::Faulty => {
                    return Typed::Faulty;
                }
                Typed::Number(_) => {
                    let message = "a list holds values that are written out, not calculated";
                    self.fault_with_hint(item.range, message, "compare with == and join with ||");
                }
                _ => {
                    let message = format!("{needle}; the list holds {}", item.object(self.source));
                    self.fault(item.range, message);
                }
            }
        }
        if self.faults.len() > faults_before {
            return Typed::Faulty;
        }
        Typed::Test(match number {
            Number::Constant(value) => Test::Constant(values.contains(&value)),
            number => Test::NumberIn(Box::new(number), values.into()),
        })
    }

    fn category_in(&mut self, slot: Slot, variable: &'a Variable, items: Vec<Checked<'a>>) -> Typed<'a> {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(items.len());
        let faults_before = self.faults.len();
        for item in items {
            match &item.typed {
                Typed::Text(text) => symbols.extend(self.value(slot, variable, text, &item).map(|(_, symbol)| symbol)),
                Typed::Faulty => return Typed::Faulty,
                Typed::Category(..) => {
                    let message = "a list holds values that are written out, not attributes";
                    self.fault_with_hint(item.range, message, "compare with == and join with ||");
                }
                _ => {
                    let name = format!("{}.{}", slot.space, variable.name);
                    let message = format!("{name} is a category; the list holds {}", item.object(self.source));
                    self.fault(item.range, message);
                }
            }
        }
        if self.faults.len() > faults_before {
            return Typed::Faulty;
        }
        Typed::Test(match symbols.as_slice() {
            [symbol] => Test::CategoryIs(slot, *symbol),
            _ => Test::CategoryIn(slot, symbols.into()),
        })
    }

    fn category_in_set(
        &mut self,
        node: &Node,
        (slot, variable): (Slot, &Variable),
        (set, names): (Slot, &Variable),
    ) -> Typed<'a> {
        let shared = variable
            .values
            .iter()
            .any(|(name, _)| names.values.iter().any(|(other, _)| name == other));
        if !shared {
            let message = format!(
                "{}.{} and {}.{} have no value in common",
                slot.space, variable.name, set.space, names.name
            );
            return self.fault(node.range.clone(), message);
        }
        let mut bits: Vec<(Symbol, u8)> = (0_u8..64)
            .zip(&names.values)
            .map(|(bit, (_, symbol))| (*symbol, bit))
            .collect();
        bits.sort_unstable();
        Typed::Test(Test::SetHasCategory(slot, set, bits.into()))
    }
}
