//! Random schemas, and what is known of customers and offers: by name, as people see it, and as the engine does.

use std::collections::BTreeMap;

use super::maker::{Draw, NUMBERS};
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::rules::{Kind, Scope, Space, Variable};

/// About when everything takes place: 2026-03-01T23:59:30Z, a Sunday shortly before midnight.
pub(super) const START: i64 = 1_772_409_570_000;

/// How far, in milliseconds, the interpreter looks for an early change.
pub(super) const SPAN: i64 = 400_000;

/// What sort of value a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Boolean,
    Number,
    Category,
    Set,
    Time,
}

const SORTS: [(Sort, Kind); 5] = [
    (Sort::Boolean, Kind::Boolean),
    (Sort::Number, Kind::Number),
    (Sort::Category, Kind::Category),
    (Sort::Set, Kind::Set),
    (Sort::Time, Kind::Time),
];

/// The values of categories and sets.
const VALUES: [&str; 6] = ["red", "green", "blue", "black", "white", "grey"];

/// A value as people see it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Known {
    Nothing,
    Boolean(bool),
    Number(f64),
    Name(&'static str),
    Names(Vec<&'static str>),
    Millis(i64),
}

#[derive(Debug)]
struct Declared {
    name: String,
    sort: Sort,
    values: Vec<&'static str>,
}

/// What there is to know: variables of the customer, of behaviour, of the request, and of the offer.
#[derive(Debug)]
pub(super) struct Schema {
    declared: [Vec<Declared>; 4],
    variables: [Vec<Variable>; 4],
}

const SPACES: [Space; 4] = [Space::Profile, Space::Behaviour, Space::Context, Space::Offer];

/// Everything that is known at one moment, by full name.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) known: BTreeMap<String, Known>,
    pub(super) now: i64,
}

fn symbol(value: &str) -> Symbol {
    let at = VALUES.iter().position(|known| *known == value).unwrap();
    Symbol::from_packed(100 + u32::try_from(at).unwrap())
}

impl Schema {
    pub(super) fn random(draw: &mut Draw) -> Self {
        let declared = SPACES.map(|space| {
            let count = if space == Space::Profile {
                2 + draw.below(5)
            } else {
                draw.below(4)
            };
            let variable = |at: usize| {
                let (sort, _) = draw.one_of(&SORTS);
                let first = draw.below(3);
                let values = match sort {
                    Sort::Category | Sort::Set => VALUES[first..first + 1 + draw.below(4)].to_vec(),
                    _ => Vec::new(),
                };
                let name = format!("{space}.v{at}");
                Declared { name, sort, values }
            };
            (0..count).map(variable).collect::<Vec<_>>()
        });
        let variables = [0, 1, 2, 3].map(|space: usize| declared[space].iter().map(variable).collect());
        Self { declared, variables }
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        SPACES
            .into_iter()
            .zip(&self.variables)
            .fold(Scope::new(), |scope, (space, variables)| scope.with(space, variables))
    }

    fn all(&self) -> impl Iterator<Item = &Declared> {
        self.declared.iter().flatten()
    }

    fn find(&self, name: &str) -> &Declared {
        self.all().find(|declared| declared.name == name).unwrap()
    }

    /// Draws a variable of a sort, if there is one.
    pub(super) fn pick(&self, sort: Sort, draw: &mut Draw) -> Option<String> {
        let names: Vec<&str> = self
            .all()
            .filter(|each| each.sort == sort)
            .map(|each| &*each.name)
            .collect();
        (!names.is_empty()).then(|| (draw.one_of(&names)).to_owned())
    }

    /// Draws any variable.
    pub(super) fn any(&self, draw: &mut Draw) -> String {
        let names: Vec<&str> = self.all().map(|each| &*each.name).collect();
        (draw.one_of(&names)).to_owned()
    }

    /// Draws two variables that can have a value in common.
    pub(super) fn pair(&self, one: Sort, other: Sort, draw: &mut Draw) -> Option<(String, String)> {
        let (one, other) = (self.pick(one, draw)?, self.pick(other, draw)?);
        let values = &self.find(&other).values;
        let meet = self.find(&one).values.iter().any(|value| values.contains(value));
        meet.then_some((one, other))
    }

    /// Draws some of a variable's values, at least one.
    pub(super) fn some_values(&self, name: &str, draw: &mut Draw) -> Vec<String> {
        let values = &self.find(name).values;
        let count = 1 + draw.below(values.len());
        (0..count).map(|_| (draw.one_of(values)).to_owned()).collect()
    }

    /// Draws the values of an offer.
    pub(super) fn offer_values(&self, draw: &mut Draw) -> Vec<Known> {
        self.declared[3].iter().map(|declared| known(declared, draw)).collect()
    }

    /// Returns the values of an offer as the engine has them.
    pub(super) fn values(&self, offer: &[Known]) -> Vec<Value> {
        self.declared[3]
            .iter()
            .zip(offer)
            .map(|(declared, known)| value(declared, known))
            .collect()
    }

    /// Returns the values of customer, behaviour and request as the engine has them.
    pub(super) fn spaces(&self, world: &World) -> [Vec<Value>; 3] {
        [0, 1, 2].map(|space: usize| {
            let declared = self.declared[space].iter();
            declared.map(|each| value(each, &world.known[&each.name])).collect()
        })
    }
}

fn variable(declared: &Declared) -> Variable {
    let (_, kind) = SORTS.into_iter().find(|(sort, _)| *sort == declared.sort).unwrap();
    let (_, name) = declared.name.split_once('.').unwrap();
    let values = declared.values.iter().map(|value| ((*value).to_owned(), symbol(value)));
    Variable {
        name: name.to_owned(),
        kind,
        values: values.collect(),
    }
}

fn known(declared: &Declared, draw: &mut Draw) -> Known {
    if draw.below(6) == 0 {
        return Known::Nothing;
    }
    match declared.sort {
        Sort::Boolean => Known::Boolean(draw.below(2) == 0),
        Sort::Number => Known::Number(draw.one_of(&NUMBERS)),
        Sort::Category => Known::Name(draw.one_of(&declared.values)),
        Sort::Set => {
            let mut names = declared.values.clone();
            names.retain(|_| draw.below(2) == 0);
            Known::Names(names)
        }
        Sort::Time => Known::Millis(START + draw.between(-200_000, 200_000)),
    }
}

fn value(declared: &Declared, known: &Known) -> Value {
    match known {
        Known::Nothing => Value::Missing,
        Known::Boolean(value) => Value::Boolean(*value),
        Known::Number(value) => Value::Number(*value),
        Known::Name(name) => Value::Category(symbol(name)),
        Known::Names(names) => {
            let bit = |name: &&str| 1 << declared.values.iter().position(|value| value == name).unwrap();
            Value::Set(names.iter().map(bit).sum())
        }
        Known::Millis(millis) => Value::Time(Timestamp::from_millis(*millis)),
    }
}

impl World {
    pub(super) fn random(schema: &Schema, draw: &mut Draw) -> Self {
        let others = schema.declared[..3].iter().flatten();
        Self {
            known: others
                .map(|declared| (declared.name.clone(), known(declared, draw)))
                .collect(),
            now: START + draw.between(-60_000, 60_000),
        }
    }

    /// Returns what is known besides, when this offer is looked at, at another moment.
    pub(super) fn with_offer(&self, offer: &[Known], now: i64) -> Self {
        let mut world = Self { now, ..self.clone() };
        for (at, known) in offer.iter().enumerate() {
            world.known.insert(format!("{}.v{at}", Space::Offer), known.clone());
        }
        world
    }
}
