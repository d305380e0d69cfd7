//! What YAML texts mean here, row by row.

use super::*;

#[test]
fn plain_scalars_mean_what_yaml_1_2_says() {
    for (text, expected) in [
        ("true", Value::Bool(true)),
        ("False", Value::Bool(false)),
        ("~", Value::Null),
        ("-12", serde_json::json!(-12)),
        ("+7", serde_json::json!(7)),
        ("0.25", serde_json::json!(0.25)),
        (".5", serde_json::json!(0.5)),
        ("1e3", serde_json::json!(1000.0)),
        ("12345678901234567890", serde_json::json!(12_345_678_901_234_567_890.0)),
    ] {
        assert_eq!(plain(text), expected, "{text}");
    }
    for text in [
        "yes",
        "no",
        "on",
        "1_000",
        "2026-03-01",
        ".inf",
        ".nan",
        "nan",
        "inf",
        "0x1F",
        "1e999",
        "-",
        ".",
    ] {
        assert_eq!(plain(text), Value::String(text.to_owned()));
    }
}

#[test]
fn a_byte_of_a_text_is_found_in_the_line_however_it_is_quoted() {
    for (style, written, at, expected) in [
        (Style::Plain, "é == 1", 3, Some(2)),
        (Style::Single, "'it''s x'", 5, Some(7)),
        (Style::Double, r#""\"a\" x""#, 4, Some(7)),
        (Style::Double, r#""\x41b""#, 1, Some(5)),
        (Style::Plain, "ab", 2, Some(2)),
        (Style::Several, "|\n  ab", 1, None),
    ] {
        assert_eq!(offset_in_line(style, written, at), expected, "{written}");
    }
}
