//! Random schemas, customers, offers and conditions: the index, the compiled conditions one by one, and a plain interpreter
//! must agree, now and at every instant until which the index says that nothing changes.
//!
//! Each case is made from a number; one that fails says which, and comes back the same when the tests are built with
//! `NBO_RULES_SEED` set to it and `NBO_RULES_CASES`, which says how many are tried, to 1.

mod expression;
mod interpreter;
mod maker;
mod world;

use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::rules::{Condition, Facts, IndexBuilder, Scratch, Truth};
use expression::Test;
use maker::Draw;
use world::{Schema, World};

/// How many cases every run of the tests tries.
const CASES: u64 = 10_000;

/// How many cases the nightly run tries.
const CASES_OF_A_NIGHT: u64 = 1_000_000;

/// The customers that each catalog is asked for.
const CUSTOMERS: usize = 3;

/// One offer: its values, its conditions, and when it may be shown.
struct Offer {
    values: Vec<world::Known>,
    /// Positions among the conditions of the case.
    needs: Vec<usize>,
    from: i64,
    until: i64,
}

/// One case.
struct Case {
    schema: Schema,
    conditions: Vec<(Test, Condition)>,
    offers: Vec<Offer>,
}

/// What was seen over all cases.
#[derive(Debug, Default)]
struct Seen {
    conditions: usize,
    passing: usize,
    stopped: usize,
    unknown: usize,
    /// Results that end at some instant, and those of them after which something is different.
    ending: usize,
    ending_rightly: usize,
}

impl Case {
    fn new(draw: &mut Draw) -> Self {
        let schema = Schema::random(draw);
        let mut tests: Vec<Test> = Vec::new();
        for _ in 0..=draw.below(4) {
            let test = maker::test(&schema, draw, 3);
            // Offers are copied and adapted, so their conditions differ in few numbers.
            for _ in 0..draw.below(3) {
                tests.push(test.adapted(&schema, draw));
            }
            tests.push(test);
        }
        let compiled = tests.into_iter().filter_map(|test| {
            let source = test.to_string();
            match Condition::compile(&source, &schema.scope()) {
                Ok(condition) => Some((test, condition)),
                Err(faults) => {
                    let expected = ["by zero", "so it is never", "is too large"];
                    let is_expected = |message: &str| expected.iter().any(|known| message.contains(known));
                    assert!(
                        faults.iter().all(|fault| is_expected(&fault.message)),
                        "{source}: {faults:#?}"
                    );
                    None
                }
            }
        });
        let conditions: Vec<_> = compiled.collect();
        let offers = (0..=draw.below(80)).map(|_| Offer::random(&schema, conditions.len(), draw));
        Self {
            offers: offers.collect(),
            schema,
            conditions,
        }
    }

    /// Returns the offers that pass, as the interpreter sees it.
    fn passing(&self, world: &World, now: i64) -> Vec<u16> {
        let passes = |offer: &Offer| {
            let world = world.with_offer(&offer.values, now);
            let needed = offer.needs.iter().map(|&at| &self.conditions[at].0);
            (offer.from..offer.until).contains(&now) && needed.into_iter().all(|test| world.truth(test) == Some(true))
        };
        let numbered = (0_u16..).zip(&self.offers);
        numbered.filter(|(_, offer)| passes(offer)).map(|(at, _)| at).collect()
    }

    fn check(&self, draw: &mut Draw, seen: &mut Seen) {
        let values: Vec<Vec<Value>> = self
            .offers
            .iter()
            .map(|offer| self.schema.values(&offer.values))
            .collect();
        let mut builder = IndexBuilder::new(self.offers.len());
        for ((row, offer), values) in (0_u16..).zip(&self.offers).zip(&values) {
            for &at in &offer.needs {
                builder.need(row, &self.conditions[at].1, values);
            }
            let bound = |millis: i64| Timestamp::from_millis(millis);
            builder.need_between(row, bound(offer.from), bound(offer.until));
        }
        let index = builder.build();
        let (mut scratch, mut passing) = (Scratch::default(), vec![9; 3]);
        seen.conditions += self.conditions.len();
        for _ in 0..CUSTOMERS {
            let world = World::random(&self.schema, draw);
            let now = world.now;
            let spaces = self.schema.spaces(&world);
            let facts = |now: i64| Facts {
                profile: &spaces[0],
                behaviour: &spaces[1],
                context: &spaces[2],
                now: Timestamp::from_millis(now),
                ..Facts::default()
            };
            for (offer, values) in self.offers.iter().zip(&values) {
                let interpreted = world.with_offer(&offer.values, now);
                for &at in &offer.needs {
                    let (test, condition) = &self.conditions[at];
                    let facts = Facts {
                        offer: values,
                        ..facts(now)
                    };
                    let expected = interpreted.truth(test);
                    seen.unknown += usize::from(expected.is_none());
                    let expected = expected.map_or(Truth::Unknown, Truth::from);
                    assert_eq!(condition.evaluate(&facts).truth, expected, "{test} with {world:?}");
                }
            }
            let until = index.passing(&facts(now), &mut scratch, &mut passing).as_millis();
            let expected = self.passing(&world, now);
            assert_eq!(passing, expected, "{self} with {world:?}");
            assert!(until > now, "a result stands for a millisecond at least: {self}");
            seen.passing += passing.len();
            seen.stopped += self.offers.len() - passing.len();
            for instant in self.instants(now, until, draw) {
                assert_eq!(
                    self.passing(&world, instant),
                    expected,
                    "at {instant}, before {until}: {self} with {world:?}"
                );
            }
            let reads_now = self.conditions.iter().any(|(_, condition)| condition.reads_now());
            let has_dates = self
                .offers
                .iter()
                .any(|offer| offer.from > i64::MIN || offer.until < i64::MAX);
            assert!(reads_now || has_dates || until == i64::MAX);
            if until < i64::MAX {
                seen.ending += 1;
                seen.ending_rightly += usize::from(self.passing(&world, until) != expected);
            }
        }
    }

    /// Draws instants from `now` to before `until`, the last among them.
    fn instants(&self, now: i64, until: i64, draw: &mut Draw) -> Vec<i64> {
        let end = until.min(now + world::SPAN);
        let mut instants = vec![end - 1];
        for _ in 0..4 {
            instants.push(now + draw.between(0, end - now - 1));
        }
        // Where something is most likely to change: at the ends of dates.
        let dates = self.offers.iter().flat_map(|offer| [offer.from, offer.until]);
        instants.extend(dates.filter(|date| (now..end).contains(date)).take(4));
        instants
    }
}

impl Offer {
    fn random(schema: &Schema, conditions: usize, draw: &mut Draw) -> Self {
        let mut needs: Vec<usize> = (0..draw.below(4)).map(|_| draw.below(conditions.max(1))).collect();
        needs.retain(|&at| at < conditions);
        let date = |draw: &mut Draw| world::START + draw.between(-3, 3) * 60_000;
        let from = if draw.below(6) == 0 { date(draw) } else { i64::MIN };
        let until = if draw.below(6) == 0 { date(draw) } else { i64::MAX };
        Self {
            values: schema.offer_values(draw),
            needs,
            from,
            until,
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (test, _)) in self.conditions.iter().enumerate() {
            writeln!(f, "condition {at}: {test}")?;
        }
        for (at, offer) in self.offers.iter().enumerate() {
            let Offer {
                values,
                needs,
                from,
                until,
            } = offer;
            writeln!(f, "offer {at}: {values:?} needs {needs:?} from {from} until {until}")?;
        }
        Ok(())
    }
}

fn setting(written: Option<&str>) -> Option<u64> {
    written.map(|number| number.parse().unwrap())
}

fn check(cases: u64) {
    let cases = setting(option_env!("NBO_RULES_CASES")).unwrap_or(cases);
    let first = setting(option_env!("NBO_RULES_SEED")).unwrap_or(1);
    let mut seen = Seen::default();
    for seed in first..first + cases {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut draw = Draw::new(seed);
            Case::new(&mut draw).check(&mut draw, &mut seen);
        }));
        if let Err(panic) = result {
            println!("the case is NBO_RULES_SEED={seed} NBO_RULES_CASES=1");
            std::panic::resume_unwind(panic);
        }
    }
    println!("{cases} cases: {seen:?}");
    if cases >= 1_000 {
        assert!(seen.passing * 20 > seen.stopped, "too few offers pass: {seen:?}");
        assert!(seen.unknown * 100 > seen.stopped, "too little is unknown: {seen:?}");
        assert!(
            seen.ending > 0 && seen.ending_rightly * 2 > seen.ending,
            "results end too early: {seen:?}"
        );
    }
}

#[test]
fn index_program_and_interpreter_agree_on_random_catalogs_until_their_result_ends() {
    check(CASES);
}

#[test]
#[ignore = "takes minutes: `cargo test --release --lib rules -- --ignored`"]
fn index_program_and_interpreter_agree_on_a_million_random_catalogs() {
    check(CASES_OF_A_NIGHT);
}
