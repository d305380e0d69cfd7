//! The published conformance cases of CEL: which of them fall within our part of the language, and that those come out as
//! CEL says.
//!
//! The rows in `cel/` are the cases of the specification's own test data, of all files that are about operators and types
//! that we have. A case with a number as its result is asked as a comparison with that number. A case divides by a literal
//! zero only to make an error, and conditions that do are refused at load; so zero is put there as a variable, and the error
//! is left. Every other file of the specification is about messages, enums, protocol buffers, the loops, optional values, text
//! functions or extensions, which are all outside.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::domain::value::Value;
use crate::rules::{Condition, Facts, Fault, Kind, Scope, Space, Truth, Variable};

const FILES: [(&str, &str); 9] = [
    ("basic", include_str!("cel/basic.txt")),
    ("comparisons", include_str!("cel/comparisons.txt")),
    ("fields", include_str!("cel/fields.txt")),
    ("fp_math", include_str!("cel/fp_math.txt")),
    ("integer_math", include_str!("cel/integer_math.txt")),
    ("lists", include_str!("cel/lists.txt")),
    ("logic", include_str!("cel/logic.txt")),
    ("parse", include_str!("cel/parse.txt")),
    ("timestamps", include_str!("cel/timestamps.txt")),
];

/// Why cases come out otherwise than in CEL, which the module of the language says too.
const DOUBLES: &str =
    "all numbers are 64-bit floating-point, so integers do not overflow, none is unsigned, and all have a %";
const NOT_A_NUMBER: &str = "a calculation without a finite result is unknown";

/// The cases that come out otherwise.
const DEVIATIONS: [(&str, &str); 18] = [
    ("eq_literal/not_eq_double_nan", NOT_A_NUMBER),
    ("ne_literal/not_ne_double_nan", NOT_A_NUMBER),
    ("ne_literal/ne_double_nan", NOT_A_NUMBER),
    ("fp_math/mod_not_support", DOUBLES),
    ("int64_math/unary_minus_no_overload", DOUBLES),
    ("int64_math/int64_overflow_positive", DOUBLES),
    ("int64_math/int64_overflow_negative", DOUBLES),
    ("int64_math/int64_overflow_add_negative", DOUBLES),
    ("int64_math/int64_overflow_sub_positive", DOUBLES),
    ("int64_math/int64_min_negate", DOUBLES),
    ("int64_math/int64_min_negate_mul", DOUBLES),
    ("int64_math/int64_min_negate_div", DOUBLES),
    ("int64_math/int64_overflow_mul_positive", DOUBLES),
    ("int64_math/int64_overflow_mul_negative", DOUBLES),
    ("int64_math/uint64_overflow_positive", DOUBLES),
    ("int64_math/uint64_overflow_negative", DOUBLES),
    ("int64_math/uint64_overflow_mul_positive", DOUBLES),
    ("uint64_math/negative_no_overload", DOUBLES),
];

/// How many cases of each file there are, fall within the language, come out as in CEL, are errors in CEL and refused at load,
/// and are refused at load for being outside the language.
const COUNTS: &str = "\
basic 43: 17 within, 17 agree, 2 refused, 24 outside
comparisons 406: 51 within, 48 agree, 16 refused, 339 outside
fields 60: 0 within, 0 agree, 11 refused, 49 outside
fp_math 30: 27 within, 26 agree, 0 refused, 3 outside
integer_math 64: 63 within, 49 agree, 1 refused, 0 outside
lists 39: 3 within, 3 agree, 7 refused, 29 outside
logic 30: 19 within, 19 agree, 5 refused, 6 outside
parse 219: 7 within, 7 agree, 0 refused, 212 outside
timestamps 78: 42 within, 42 agree, 16 refused, 20 outside
";

/// What became of one case.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Agrees,
    Differs(Truth),
    /// CEL gives an error, and loading refuses it.
    RefusedError,
    Outside(String),
}

fn compiled(source: &str) -> Result<Condition, Vec<Fault>> {
    let profile = [Variable {
        name: "nought".to_owned(),
        kind: Kind::Number,
        values: Vec::new(),
    }];
    Condition::compile(source, &Scope::new().with(Space::Profile, &profile))
}

/// Compiles, with a variable in the place of a zero that divides.
fn compiled_with_errors(source: &str) -> Result<Condition, Vec<Fault>> {
    let divides = |fault: &Fault| fault.message.contains("by zero");
    compiled(source).or_else(|faults| {
        if !faults.iter().any(divides) {
            return Err(faults);
        }
        let mut adapted = source.to_owned();
        for sign in ["/", "%"] {
            for zero in ["0.0", "0u", "0"] {
                for written in [format!("{sign} {zero}"), format!("{sign}{zero}")] {
                    adapted = adapted.replace(&written, &format!("{sign} profile.nought"));
                }
            }
        }
        compiled(&adapted)
    })
}

fn outcome(expected: &str, expression: &str) -> Outcome {
    let whole = match expected.strip_prefix("number ") {
        Some(number) => format!("({expression}) == {number}"),
        None => expression.to_owned(),
    };
    let compared = || compiled_with_errors(&format!("({expression}) == 1"));
    let condition = match (expected, compiled_with_errors(&whole)) {
        ("bound", _) => return Outcome::Outside("has variables of its own".to_owned()),
        ("other", _) => return Outcome::Outside("is neither a number nor yes or no".to_owned()),
        // An error has no type, so it may be one of a number.
        ("error", Err(faults)) => compared().map_err(|_| faults),
        (_, compiled) => compiled,
    };
    let truth = match (expected, condition) {
        ("error", Err(_)) => return Outcome::RefusedError,
        (_, Err(faults)) => return Outcome::Outside(faults[0].message.clone()),
        (_, Ok(condition)) => {
            let facts = Facts {
                profile: &[Value::Number(0.0)],
                ..Facts::default()
            };
            condition.evaluate(&facts).truth
        }
    };
    let wanted = match expected {
        "error" => Truth::Unknown,
        "false" => Truth::False,
        _ => Truth::True,
    };
    if truth == wanted {
        Outcome::Agrees
    } else {
        Outcome::Differs(truth)
    }
}

/// Undoes how line breaks and backslashes are written in the rows.
fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut unescaped = String::new();
    while let Some(character) = characters.next() {
        match (character, if character == '\\' { characters.next() } else { None }) {
            (_, Some('n')) => unescaped.push('\n'),
            (_, Some('t')) => unescaped.push('\t'),
            (_, Some(other)) => unescaped.push(other),
            (plain, None) => unescaped.push(plain),
        }
    }
    unescaped
}

#[test]
fn the_published_cases_of_cel_that_we_accept_come_out_as_cel_says() {
    let mut table = String::new();
    let mut deviations = Vec::new();
    let mut outside: BTreeMap<String, usize> = BTreeMap::new();
    for (file, text) in FILES {
        let rows = text.lines().filter(|line| !line.starts_with('#'));
        let (mut cases, mut agree, mut differ, mut refused) = (0, 0, 0, 0);
        for row in rows {
            let [name, expected, expression] = row.splitn(3, '\t').collect::<Vec<_>>()[..] else {
                panic!("a row has three parts: {row}");
            };
            let expression = unescaped(expression);
            cases += 1;
            match outcome(expected, &expression) {
                Outcome::Agrees => agree += 1,
                Outcome::Differs(truth) => {
                    differ += 1;
                    deviations.push((name, truth, expression));
                }
                Outcome::RefusedError => refused += 1,
                Outcome::Outside(why) => *outside.entry(format!("{file}: {why}")).or_default() += 1,
            }
        }
        let within = agree + differ;
        let outside = cases - within - refused;
        let _ = writeln!(
            table,
            "{file} {cases}: {within} within, {agree} agree, {refused} refused, {outside} outside"
        );
    }
    println!("{table}\n{outside:#?}");
    let names: Vec<&str> = deviations.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, DEVIATIONS.map(|(name, _)| name), "{deviations:#?}");
    assert_eq!(table, COUNTS);
}
