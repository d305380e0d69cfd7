//! Random conditions against plain references: closures that spell out the meaning, and the interpreter of the `cel`
//! crate for what has no time, no division and no rule of ours in it.

use std::rc::Rc;

use cel::{Context, Program};
use proptest::prelude::*;

use super::Shop;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::rules::{Facts, Truth};

/// The facts of one case. Times are small numbers of milliseconds, so that comparisons turn within the brute force.
#[derive(Clone, Debug)]
struct World {
    profile: Vec<Value>,
    offer: Vec<Value>,
    now: i64,
}

impl World {
    fn facts(&self) -> Facts<'_> {
        let now = Timestamp::from_millis(self.now);
        Facts {
            profile: &self.profile,
            offer: &self.offer,
            now,
            ..Facts::default()
        }
    }

    fn number(&self, index: usize) -> Option<f64> {
        if let Value::Number(value) = self.profile[index] {
            Some(value)
        } else {
            None
        }
    }

    fn boolean(&self, index: usize) -> Option<bool> {
        if let Value::Boolean(value) = self.profile[index] {
            Some(value)
        } else {
            None
        }
    }

    fn time(&self, index: usize) -> Option<i64> {
        if let Value::Time(value) = self.profile[index] {
            Some(value.as_millis())
        } else {
            None
        }
    }

    fn names(&self) -> Option<Vec<&'static str>> {
        let Value::Set(bits) = self.profile[3] else { return None };
        Some(
            (0..4)
                .filter(|bit| bits >> bit & 1 == 1)
                .map(|bit| HOLDINGS[bit])
                .collect(),
        )
    }
}

const SEGMENTS: [&str; 3] = ["gold", "silver", "basic"];
const HOLDINGS: [&str; 4] = ["travel", "fund", "savings", "loan"];
const GROUPS: [&str; 3] = ["savings", "fund", "travel"];
const PROFILE: [&str; 9] = [
    "age",
    "balance",
    "segment",
    "holdings",
    "consent",
    "opened",
    "favourite",
    "moved",
    "member",
];

fn name_of(value: Value, names: &[&'static str]) -> Option<&'static str> {
    names.iter().find(|name| Shop::symbol(name) == value).copied()
}

type Meaning<T> = Rc<dyn Fn(&World) -> Option<T>>;
/// A piece of source and what it means.
type Piece<T> = (String, Meaning<T>);

/// Builds a random condition from a list of random numbers; when they run out, the simplest pieces follow.
struct Maker {
    choices: Vec<usize>,
    plain: bool,
}

impl Maker {
    fn pick(&mut self, count: usize) -> usize {
        self.choices.pop().unwrap_or(0) % count
    }

    fn order<T: PartialOrd + 'static>(&mut self, left: Piece<T>, right: Piece<T>) -> Piece<bool> {
        let (sign, holds): (_, fn(&T, &T) -> bool) = match self.pick(6) {
            0 => ("<", |a, b| a < b),
            1 => ("<=", |a, b| a <= b),
            2 => (">", |a, b| a > b),
            3 => (">=", |a, b| a >= b),
            4 => ("==", |a, b| a == b),
            _ => ("!=", |a, b| a != b),
        };
        let source = format!("{} {sign} {}", left.0, right.0);
        (
            source,
            Rc::new(move |world| Some(holds(&left.1(world)?, &right.1(world)?))),
        )
    }

    fn either<T: 'static>(&mut self, depth: usize, yes: Piece<T>, no: Piece<T>) -> Piece<T> {
        let test = self.test(depth);
        let source = format!("({} ? {} : {})", test.0, yes.0, no.0);
        (
            source,
            Rc::new(move |world| if test.1(world)? { yes.1(world) } else { no.1(world) }),
        )
    }

    fn test(&mut self, depth: usize) -> Piece<bool> {
        let kinds = if self.plain { 12 } else { 15 };
        let kind = if depth == 0 { self.pick(4) } else { self.pick(kinds) };
        let deeper = depth.saturating_sub(1);
        match kind {
            0 => ("profile.consent".into(), Rc::new(|world| world.boolean(4))),
            1 => ("profile.member".into(), Rc::new(|world| world.boolean(8))),
            2 => {
                let index = self.pick(PROFILE.len());
                let source = format!("has(profile.{})", PROFILE[index]);
                (
                    source,
                    Rc::new(move |world| Some(world.profile[index] != Value::Missing)),
                )
            }
            3 => self.category(),
            4 => {
                let inner = self.test(deeper);
                (format!("!({})", inner.0), Rc::new(move |world| Some(!inner.1(world)?)))
            }
            5 | 6 => {
                let (left, right) = (self.test(deeper), self.test(deeper));
                let and = kind == 5;
                let source = format!("({} {} {})", left.0, if and { "&&" } else { "||" }, right.0);
                (
                    source,
                    Rc::new(move |world| match (left.1(world), right.1(world)) {
                        (Some(one), _) | (_, Some(one)) if one != and => Some(!and),
                        (Some(_), Some(other)) => Some(other),
                        _ => None,
                    }),
                )
            }
            7 => {
                let (yes, no) = (self.test(deeper), self.test(deeper));
                self.either(deeper, yes, no)
            }
            8 | 9 => {
                let (left, right) = (self.number(deeper), self.number(deeper));
                self.order(left, right)
            }
            10 => {
                let (needle, list) = (self.number(deeper), [self.pick(5) as f64, self.pick(5) as f64]);
                (
                    format!("({} in {list:?})", needle.0),
                    Rc::new(move |world| Some(list.contains(&needle.1(world)?))),
                )
            }
            11 => self.membership(),
            12 => {
                let (left, right) = (self.time(deeper), self.time(deeper));
                self.order(left, right)
            }
            13 => {
                let (left, right) = (self.span(deeper), self.span(deeper));
                self.order(left, right)
            }
            _ => {
                let (left, right) = (self.test(deeper), self.test(deeper));
                let source = format!("(({}) == ({}))", left.0, right.0);
                (source, Rc::new(move |world| Some(left.1(world)? == right.1(world)?)))
            }
        }
    }

    fn category(&mut self) -> Piece<bool> {
        let wanted = SEGMENTS[self.pick(3)];
        let read = |world: &World| name_of(world.profile[2], &SEGMENTS);
        match self.pick(3) {
            0 => (
                format!("profile.segment == \"{wanted}\""),
                Rc::new(move |world| Some(read(world)? == wanted)),
            ),
            1 => (
                format!("profile.segment != '{wanted}'"),
                Rc::new(move |world| Some(read(world)? != wanted)),
            ),
            _ => {
                let other = SEGMENTS[self.pick(3)];
                let source = format!("profile.segment in [\"{wanted}\", \"{other}\"]");
                (
                    source,
                    Rc::new(move |world| Some([wanted, other].contains(&read(world)?))),
                )
            }
        }
    }

    fn membership(&mut self) -> Piece<bool> {
        let wanted = HOLDINGS[self.pick(4)];
        let group = |world: &World| name_of(world.offer[0], &GROUPS);
        match self.pick(3) {
            0 => {
                let source = format!("\"{wanted}\" in profile.holdings");
                (source, Rc::new(move |world| Some(world.names()?.contains(&wanted))))
            }
            1 => (
                "offer.group in profile.holdings".into(),
                Rc::new(move |world| Some(world.names()?.contains(&group(world)?))),
            ),
            _ => (
                "offer.group == profile.favourite".into(),
                Rc::new(move |world| Some(group(world)? == name_of(world.profile[6], &GROUPS)?)),
            ),
        }
    }

    fn number(&mut self, depth: usize) -> Piece<f64> {
        let kinds = if self.plain { 6 } else { 10 };
        let kind = if depth == 0 { self.pick(3) } else { self.pick(kinds) };
        let deeper = depth.saturating_sub(1);
        match kind {
            0 => ("profile.age".into(), Rc::new(|world| world.number(0))),
            1 => ("profile.balance".into(), Rc::new(|world| world.number(1))),
            2 => {
                let value = self.pick(5) as f64 - 1.0;
                (format!("({value:?})"), Rc::new(move |_| Some(value)))
            }
            3 => {
                let inner = self.number(deeper);
                (format!("-({})", inner.0), Rc::new(move |world| Some(-inner.1(world)?)))
            }
            4 => {
                let (yes, no) = (self.number(deeper), self.number(deeper));
                self.either(deeper, yes, no)
            }
            5 | 6 => {
                let (left, right) = (self.number(deeper), self.number(deeper));
                let (sign, result): (_, fn(f64, f64) -> f64) = match self.pick(if self.plain { 3 } else { 5 }) {
                    0 => ("+", |a, b| a + b),
                    1 => ("-", |a, b| a - b),
                    2 => ("*", |a, b| a * b),
                    3 => ("/", |a, b| a / b),
                    _ => ("%", |a, b| a % b),
                };
                let source = format!("({} {sign} {})", left.0, right.0);
                let meaning = move |world: &World| {
                    Some(result(left.1(world)?, right.1(world)?)).filter(|value| value.is_finite())
                };
                (source, Rc::new(meaning))
            }
            7 => (
                "size(profile.holdings)".into(),
                Rc::new(|world| Some(world.names()?.len() as f64)),
            ),
            8 => {
                let of = self.time(deeper);
                (
                    format!("{}.getSeconds()", of.0),
                    Rc::new(move |world| Some((of.1(world)?.div_euclid(1_000)).rem_euclid(60) as f64)),
                )
            }
            _ => {
                // Kathmandu was 5 hours 30 minutes ahead at the beginning of 1970.
                let of = self.time(deeper);
                (
                    format!("{}.getMinutes(\"Asia/Kathmandu\")", of.0),
                    Rc::new(move |world| Some((of.1(world)?.div_euclid(60_000) + 30).rem_euclid(60) as f64)),
                )
            }
        }
    }

    fn time(&mut self, depth: usize) -> Piece<i64> {
        let kind = if depth == 0 { self.pick(4) } else { self.pick(7) };
        let deeper = depth.saturating_sub(1);
        match kind {
            0 => ("now".into(), Rc::new(|world| Some(world.now))),
            1 => ("profile.opened".into(), Rc::new(|world| world.time(5))),
            2 => ("profile.moved".into(), Rc::new(|world| world.time(7))),
            3 => {
                let millis = i64::try_from(self.pick(200)).unwrap();
                let source = format!("timestamp(\"1970-01-01T00:00:00.{millis:03}Z\")");
                (source, Rc::new(move |_| Some(millis)))
            }
            4 | 5 => {
                let (time, span) = (self.time(deeper), self.span(deeper));
                let sign = if kind == 4 { 1 } else { -1 };
                let source = format!("({} {} {})", time.0, if kind == 4 { "+" } else { "-" }, span.0);
                (
                    source,
                    Rc::new(move |world| Some(time.1(world)? + sign * span.1(world)?)),
                )
            }
            _ => {
                let (yes, no) = (self.time(deeper), self.time(deeper));
                self.either(deeper, yes, no)
            }
        }
    }

    fn span(&mut self, depth: usize) -> Piece<i64> {
        let kind = if depth == 0 { 0 } else { self.pick(4) };
        let deeper = depth.saturating_sub(1);
        match kind {
            0 => {
                let millis = i64::try_from(self.pick(200)).unwrap() - 100;
                (format!("duration(\"{millis}ms\")"), Rc::new(move |_| Some(millis)))
            }
            1 | 2 => {
                let (left, right) = (self.time(deeper), self.time(deeper));
                (
                    format!("({} - {})", left.0, right.0),
                    Rc::new(move |world| Some(left.1(world)? - right.1(world)?)),
                )
            }
            _ => {
                let (left, right) = (self.span(deeper), self.span(deeper));
                (
                    format!("({} + {})", left.0, right.0),
                    Rc::new(move |world| Some(left.1(world)? + right.1(world)?)),
                )
            }
        }
    }
}

/// Worlds in which every attribute is missing in one case of `missing_in`, and in none when that is 0.
fn worlds(missing_in: usize) -> impl Strategy<Value = World> {
    let some = move |present: bool, value: Value| if present { value } else { Value::Missing };
    let there = prop::collection::vec(0..missing_in.max(1), 10).prop_map(move |draws| {
        draws
            .iter()
            .map(|draw| missing_in == 0 || *draw > 0)
            .collect::<Vec<bool>>()
    });
    (
        there,
        -2..4_i32,
        -2..4_i32,
        0..3_usize,
        0..16_u64,
        any::<(bool, bool)>(),
        0..200_i64,
        (0..3_usize, 0..3_usize),
        0..200_i64,
        0..200_i64,
    )
        .prop_map(
            move |(
                there,
                age,
                balance,
                segment,
                holdings,
                (consent, member),
                opened,
                (favourite, group),
                moved,
                now,
            )| {
                let values = [
                    Value::Number(f64::from(age)),
                    Value::Number(f64::from(balance)),
                    Shop::symbol(SEGMENTS[segment]),
                    Value::Set(holdings),
                    Value::Boolean(consent),
                    Value::Time(Timestamp::from_millis(opened)),
                    Shop::symbol(GROUPS[favourite]),
                    Value::Time(Timestamp::from_millis(moved)),
                    Value::Boolean(member),
                ];
                let profile = values
                    .into_iter()
                    .zip(&there)
                    .map(|(value, present)| some(*present, value))
                    .collect();
                World {
                    profile,
                    offer: vec![some(there[9], Shop::symbol(GROUPS[group]))],
                    now,
                }
            },
        )
}

fn choices() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..5_040_usize, 1..60)
}

fn truth(value: Option<bool>) -> Truth {
    value.map_or(Truth::Unknown, Truth::from)
}

/// How far, in milliseconds, the brute force looks for an early change.
const LOOK_AHEAD_MS: i64 = 500;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_program_means_what_the_reference_means_until_its_verdict_ends(choices in choices(), world in worlds(4)) {
        let (source, meaning) = Maker { choices, plain: false }.test(4);
        let condition = match Shop::new().compile(&source) {
            Ok(condition) => condition,
            // A random calculation of constants may divide by zero, and a random part may be compared with 60.
            Err(faults) => {
                let expected = |message: &str| message.contains("by zero") || message.contains("so it is never");
                prop_assert!(faults.iter().all(|fault| expected(&fault.message)), "{source}: {faults:#?}");
                return Ok(());
            }
        };
        let verdict = condition.evaluate(&world.facts());
        prop_assert_eq!(verdict.truth, truth(meaning(&world)), "{}", source);
        let end = verdict.valid_until.as_millis().min(world.now + LOOK_AHEAD_MS);
        prop_assert!(end > world.now);
        for now in world.now + 1..end {
            let later = World { now, ..world.clone() };
            prop_assert_eq!(truth(meaning(&later)), verdict.truth, "{} at {}", &source, now);
        }
        if let Some((space, index)) = condition.missing(&world.facts()) {
            prop_assert_eq!(verdict.truth, Truth::Unknown);
            prop_assert_eq!(world.facts().value(space, index), Value::Missing);
            prop_assert!(condition.reads().contains(&(space, index)));
        }
        let needs_time = condition.reads_now();
        prop_assert!(needs_time || verdict.valid_until == Timestamp::FAR_FUTURE);
    }

    #[test]
    fn the_program_agrees_with_the_interpreter_of_cel(choices in choices(), world in worlds(5)) {
        let (source, _) = Maker { choices, plain: true }.test(4);
        let condition = Shop::new().compile(&source).unwrap_or_else(|faults| panic!("{source}: {faults:#?}"));
        let expected = match Program::compile(&source).unwrap().execute(&context(&world)) {
            Ok(cel::Value::Bool(holds)) => Truth::from(holds),
            Ok(other) => panic!("{source} gives {other:?}"),
            Err(_) => Truth::Unknown,
        };
        prop_assert_eq!(condition.evaluate(&world.facts()).truth, expected, "{}", source);
    }
}

/// The same facts for the interpreter.
fn context(world: &World) -> Context<'static, 'static> {
    let mut profile: std::collections::HashMap<String, cel::Value> = std::collections::HashMap::new();
    for (index, value) in world.profile.iter().enumerate() {
        let value: cel::Value = match *value {
            Value::Missing => continue,
            Value::Boolean(value) => value.into(),
            Value::Number(value) => value.into(),
            Value::Category(_) => name_of(*value, if index == 2 { &SEGMENTS } else { &GROUPS })
                .unwrap()
                .into(),
            Value::Set(_) => world.names().unwrap().into(),
            Value::Time(time) => time.as_millis().into(),
        };
        profile.insert(PROFILE[index].to_owned(), value);
    }
    let mut offer: std::collections::HashMap<String, cel::Value> = std::collections::HashMap::new();
    if let Some(group) = name_of(world.offer[0], &GROUPS) {
        offer.insert("group".to_owned(), group.into());
    }
    let mut context = Context::default();
    context.add_variable_from_value("profile", profile);
    context.add_variable_from_value("offer", offer);
    context
}
