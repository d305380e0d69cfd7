//! What the tests of this module share: a small scope and facts for it.

mod cel;
mod faults;
mod hostile;
mod outcomes;
mod random;
mod reference;
mod time;

use super::{Condition, Facts, Fault, Kind, Scope, Space, Truth, Variable};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// 2026-03-02T09:30:15.250Z, a Monday.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_772_443_815_250);

/// The variables of a small catalog.
pub(super) struct Shop {
    profile: Vec<Variable>,
    offer: Vec<Variable>,
    intent: Vec<Variable>,
    context: Vec<Variable>,
}

fn values(names: &[&str]) -> Vec<(String, Symbol)> {
    let numbers = [
        "gold", "silver", "basic", "savings", "fund", "travel", "web", "branch", "loan",
    ];
    let number = |name: &str| numbers.iter().position(|known| *known == name).unwrap();
    names
        .iter()
        .map(|name| {
            (
                (*name).to_owned(),
                Symbol::from_packed(u32::try_from(number(name)).unwrap()),
            )
        })
        .collect()
}

fn variable(name: &str, kind: Kind, names: &[&str]) -> Variable {
    Variable {
        name: name.to_owned(),
        kind,
        values: values(names),
    }
}

impl Shop {
    pub(super) fn new() -> Self {
        Self {
            profile: vec![
                variable("age", Kind::Number, &[]),
                variable("balance", Kind::Number, &[]),
                variable("segment", Kind::Category, &["gold", "silver", "basic"]),
                variable("holdings", Kind::Set, &["travel", "fund", "savings", "loan"]),
                variable("consent", Kind::Boolean, &[]),
                variable("opened", Kind::Time, &[]),
                variable("favourite", Kind::Category, &["savings", "fund", "travel"]),
                variable("moved", Kind::Time, &[]),
                variable("member", Kind::Boolean, &[]),
            ],
            offer: vec![
                variable("group", Kind::Category, &["savings", "fund", "travel"]),
                variable("tier", Kind::Category, &["gold", "silver"]),
                variable("rate", Kind::Number, &[]),
            ],
            intent: vec![
                variable("fund", Kind::Number, &[]),
                variable("travel-insurance", Kind::Number, &[]),
            ],
            context: vec![variable("channel", Kind::Category, &["web", "branch"])],
        }
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope::new()
            .with(Space::Profile, &self.profile)
            .with(Space::Offer, &self.offer)
            .with(Space::Intent, &self.intent)
            .with(Space::Context, &self.context)
    }

    pub(super) fn compile(&self, source: &str) -> Result<Condition, Vec<Fault>> {
        Condition::compile(source, &self.scope())
    }

    /// Returns the symbol of a value.
    pub(super) fn symbol(name: &str) -> Value {
        Value::Category(values(&[name])[0].1)
    }
}

/// Values for the shop's profile: 30 years, balance 0, silver, holds fund and loan, consent, account opened 10 days
/// before [`NOW`], favourite fund; `moved` and `member` are missing.
pub(super) fn profile() -> Vec<Value> {
    vec![
        Value::Number(30.0),
        Value::Number(0.0),
        Shop::symbol("silver"),
        Value::Set(0b1010),
        Value::Boolean(true),
        Value::Time(Timestamp::from_millis(NOW.as_millis() - 864_000_000)),
        Shop::symbol("fund"),
        Value::Missing,
        Value::Missing,
    ]
}

/// Values for the shop's offer: a fund of tier gold, without a rate.
pub(super) fn offer() -> Vec<Value> {
    vec![Shop::symbol("fund"), Shop::symbol("gold"), Value::Missing]
}

/// Compiles and evaluates `source` on the facts above.
pub(super) fn evaluate(source: &str) -> super::Verdict {
    evaluate_at(source, NOW)
}

/// Compiles and evaluates `source` on the facts above at another time.
pub(super) fn evaluate_at(source: &str, now: Timestamp) -> super::Verdict {
    let condition = Shop::new()
        .compile(source)
        .unwrap_or_else(|faults| panic!("{source}: {faults:#?}"));
    let (profile, offer) = (profile(), offer());
    let context = [Shop::symbol("web")];
    let intent = [Value::Number(0.5), Value::Number(2.0)];
    let facts = Facts {
        profile: &profile,
        offer: &offer,
        intent: &intent,
        context: &context,
        now,
        ..Facts::default()
    };
    condition.evaluate(&facts)
}

/// Asserts the outcome of `source` on the facts above.
pub(super) fn check(source: &str, truth: Truth) {
    assert_eq!(evaluate(source).truth, truth, "{source}");
}
