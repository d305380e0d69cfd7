//! Input that wants to break the compiler. Whatever comes, it answers with faults inside the source.

use proptest::prelude::*;

use super::Shop;
use crate::rules::SOURCE_LENGTH_MAX;

/// Compiles, and asserts that faults stand on characters of the source; returns how many there are.
fn faults(source: &str) -> usize {
    let Err(faults) = Shop::new().compile(source) else {
        return 0;
    };
    assert!(!faults.is_empty(), "{source:?} is refused without a reason");
    for fault in &faults {
        assert!(source.get(fault.range.clone()).is_some(), "{source:?}: {fault:?}");
        assert!(!fault.message.is_empty() && !fault.message.ends_with('.'), "{fault:?}");
    }
    faults.len()
}

#[test]
fn endless_repetition_is_refused_without_exhausting_the_stack() {
    for (open, middle, close) in [
        ("(", "true", ")"),
        ("[", "1", "]"),
        ("!(", "true", ")"),
        ("size(", "profile.holdings", ")"),
        ("profile.age in [", "1", "]"),
        ("(true ? ", "true", " : false)"),
        ("true ? true : ", "true", ""),
        ("1 + ", "1", ""),
        ("1 < ", "1", ""),
        ("profile", "", ".age"),
        ("profile", "", "[\"age\"]"),
        ("-", "1", " > 0 x"),
        ("\"", "", "\""),
        ("{", "", "}"),
        ("\\", "", ""),
    ] {
        for times in [100, 250, 10_000] {
            let source = format!("{}{middle}{}", open.repeat(times), close.repeat(times));
            assert!(faults(&source) > 0, "{open}");
        }
    }
}

#[test]
fn nesting_and_length_up_to_the_limits_are_fine() {
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(faults(&nested(32)), 0);
    assert_eq!(faults(&nested(33)), 1);
    let chained = |terms: usize| format!("{} > 0", vec!["profile.age"; terms].join(" + "));
    assert_eq!(faults(&chained(60)), 0);
    assert_eq!(faults(&chained(80)), 1);
    let joined = vec!["profile.consent"; SOURCE_LENGTH_MAX / 20].join(" && ");
    assert_eq!(faults(&joined), 0);
    assert_eq!(faults(&format!("{}true", "!".repeat(SOURCE_LENGTH_MAX - 4))), 0);
    let padded = |length: usize| format!("{}true", " ".repeat(length - 4));
    assert_eq!(faults(&padded(SOURCE_LENGTH_MAX)), 0);
    assert_eq!(faults(&padded(SOURCE_LENGTH_MAX + 1)), 1);
}

#[test]
fn huge_and_foreign_texts_are_refused() {
    assert_eq!(faults(&"x".repeat(1 << 20)), 1);
    assert_eq!(faults(&"\u{1F600}".repeat(1 << 18)), 1);
    assert_eq!(faults(&format!("profile.segment == \"{}\"", "g".repeat(4_000))), 1);
    for source in [
        "\0",
        "\u{feff}true",
        "\u{202e}true",
        "tr\u{fc}e",
        "\u{0660}",
        "true\u{2028}",
        "// only a comment",
    ] {
        assert!(faults(source) > 0, "{source:?}");
    }
}

/// Pieces of conditions, good and bad; joined at random they reach deeper than random characters.
const PIECES: [&str; 56] = [
    "profile",
    ".",
    "age",
    "segment",
    "holdings",
    "consent",
    "opened",
    "now",
    "has",
    "(",
    ")",
    "[",
    "]",
    ",",
    "&&",
    "||",
    "!",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "?",
    ":",
    "in",
    "1",
    "2.5",
    ".5",
    "1e3",
    "0x1f",
    "5u",
    "\"gold\"",
    "'fund'",
    "\"\"",
    "\"\\n\"",
    "true",
    "false",
    "null",
    "timestamp",
    "duration",
    "size",
    "getHours",
    "\"2026-01-31T00:00:00Z\"",
    "\"24h\"",
    "if",
    "exists",
    "{",
    "//",
    "\n",
    "profile.age",
];

/// Templates in which random pieces meet a context that is nearly right.
const TEMPLATES: [&str; 6] = [
    "@",
    "profile.age > @",
    "profile.consent && @",
    "(@) == @",
    "profile.segment in [@]",
    "@ ? @ : @",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn random_pieces_never_panic(
        template in 0..TEMPLATES.len(),
        pieces in prop::collection::vec(prop::collection::vec(0..PIECES.len(), 0..12), 4),
        separator in prop::sample::select(vec!["", " "]),
    ) {
        let mut source = TEMPLATES[template].to_owned();
        for piece in pieces {
            let text: Vec<&str> = piece.into_iter().map(|index| PIECES[index]).collect();
            source = source.replacen('@', &text.join(separator), 1);
        }
        faults(&source);
    }

    #[test]
    fn random_characters_never_panic(source in "\\PC{0,60}") {
        faults(&source);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        faults(&String::from_utf8_lossy(&bytes));
    }
}
