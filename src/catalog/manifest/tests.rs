//! Rows of the manifest: one that is right, and each way to spoil it.

use super::*;

/// A small manifest that is right, in which each test spoils something.
const RIGHT: &str = r#"{
  "format": 1,
  "name": "bank-savings",
  "version": "1",
  "description": "who accepts",
  "data": "none",
  "file": "propensity.onnx",
  "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
  "groups": ["savings"],
  "input": {"name": "input", "features": 3},
  "output": {"name": "probabilities", "column": 1},
  "columns": [
    {"name": "age", "from": "profile.age", "as": "number", "missing": 40, "clip": [0, 100], "log1p": true},
    {"name": "job_retired", "from": "profile.job", "as": "equals", "value": "retired"},
    {"name": "calls", "from": "contacts", "as": "number", "count": "delivered", "scope": "group", "within": "30d"}
  ],
  "golden": [
    {"inputs": {"profile.age": 41, "profile.job": "retired", "contacts.calls": 2}, "row": [3.7376696, 1, 2], "score": 0.5}
  ],
  "tolerance": 0.00001,
  "metrics": {"auc": 0.7}
}"#;

/// Asserts that replacing `from` by `to` in the right manifest gives exactly these faults: the text that stands at the
/// fault's place, and its message.
#[track_caller]
fn check(from: &str, to: &str, expected: &[(&str, &str)]) {
    assert_eq!(
        RIGHT.matches(from).count(),
        1,
        "the test must spoil exactly one place: {from}"
    );
    let text = RIGHT.replace(from, to);
    let faults = Manifest::parse(&text).err().unwrap_or_default();
    let messages: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(
        messages,
        expected.iter().map(|(_, message)| *message).collect::<Vec<_>>()
    );
    for (fault, (at, _)) in faults.iter().zip(expected) {
        let line = text.lines().nth(fault.line - 1).unwrap();
        let rest: String = line.chars().skip(fault.column - 1).collect();
        assert!(rest.starts_with(at), "{fault:?} is at {rest}, expected {at}");
    }
}

/// Asserts that the spoilt manifest cannot even be read: the line and the message of the one fault.
#[track_caller]
fn check_unreadable(from: &str, to: &str, line: usize, message: &str) {
    let faults = Manifest::parse(&RIGHT.replace(from, to)).unwrap_err();
    assert_eq!(
        (faults.len(), faults[0].line, faults[0].message.as_str()),
        (1, line, message)
    );
}

#[test]
fn a_right_manifest_is_read_with_every_key() {
    let manifest = Manifest::parse(RIGHT).unwrap();
    assert_eq!(
        manifest.input,
        Input {
            name: "input".to_owned(),
            features: 3
        }
    );
    assert_eq!(manifest.columns[1].encoding, Encoding::Equals("retired".to_owned()));
    assert_eq!(
        manifest.columns[2].source,
        Source::Contacts {
            counted: Counted::Delivered,
            scope: ContactScope::Group,
            within: Some(Millis::DAY.times(30))
        }
    );
    assert_eq!(manifest.golden[0].inputs["profile.age"], InputValue::Number(41.0));
    assert_eq!(manifest.columns[2].input_key(), "contacts.calls");
}

#[test]
fn a_missing_value_may_be_nan_and_a_golden_row_writes_it_as_null() {
    let text = RIGHT
        .replace("\"missing\": 40", "\"missing\": \"nan\"")
        .replace("[3.7376696,", "[null,");
    let manifest = Manifest::parse(&text).unwrap();
    assert!(manifest.columns[0].missing.is_nan());
    assert!(manifest.golden[0].row[0].is_nan());
}

#[test]
fn an_input_of_a_golden_row_that_is_null_is_not_known() {
    let manifest = Manifest::parse(&RIGHT.replace("\"profile.age\": 41", "\"profile.age\": null")).unwrap();
    assert!(!manifest.golden[0].inputs.contains_key("profile.age"));
}

#[test]
fn text_that_is_no_manifest_is_refused_at_its_line() {
    check_unreadable("\"format\": 1,", "\"format\": 1", 3, "expected `,` or `}`");
    check_unreadable(
        "\"missing\": 40",
        "\"missing\": \"zero\"",
        13,
        "`missing` is a number or \"nan\"",
    );
    check_unreadable("{\"auc\": 0.7}", "[]", 21, "invalid type: sequence, expected a map");
    check_unreadable(
        "\"as\": \"equals\"",
        "\"as\": \"equal\"",
        14,
        "unknown variant `equal`, expected one of `number`, `boolean`, `equals`, `ordinal`, `contains`, `days_since`",
    );
    check_unreadable(
        "\"metrics\"",
        "\"metricks\"",
        21,
        "unknown field `metricks`, expected one of `format`, `name`, `version`, `description`, `data`, `file`, \
         `sha256`, `groups`, `shortlist`, `input`, `output`, `columns`, `golden`, `tolerance`, `metrics`",
    );
}

#[test]
fn a_fault_in_the_meaning_names_the_value_and_what_is_allowed() {
    check(
        "\"format\": 1",
        "\"format\": 2",
        &[("2,", "format is 2, this program reads format 1")],
    );
    check(
        "bank-savings",
        "Bank",
        &[(
            "\"Bank\"",
            "name is \"Bank\", allowed are lowercase letters, digits, - and _",
        )],
    );
    check(
        "propensity.onnx",
        "../x.onnx",
        &[(
            "\"../x",
            "file is \"../x.onnx\", it must be the plain name of a file beside the manifest",
        )],
    );
    check(
        "\"0123456789abcdef0",
        "\"0123456789ABCDEF0",
        &[(
            "\"0123",
            "sha256 must be 64 lowercase hexadecimal digits, as `sha256sum` prints them",
        )],
    );
    check(
        "[\"savings\"]",
        "[\"fund\", \"fund\"]",
        &[("\"fund\"]", "group \"fund\" is listed twice")],
    );
    check(
        "0.00001",
        "0.5",
        &[("0.5", "tolerance is 0.5, allowed are above 0 to 0.001")],
    );
}

#[test]
fn a_shortlist_keeps_from_one_offer_to_the_most_that_are_worth_it() {
    let with = |shortlist: &str| format!("[\"savings\"], \"shortlist\": {shortlist}");
    let read = |keep: usize| {
        let text = RIGHT.replace(
            "[\"savings\"]",
            &with(&format!("{{\"by\": \"cheap\", \"keep\": {keep}}}")),
        );
        Manifest::parse(&text).unwrap().shortlist.unwrap().keep
    };
    assert_eq!([1, SHORTLIST_MAX].map(read), [1, SHORTLIST_MAX]);
    for (keep, shown) in [("0", "0"), ("-3", "-3"), ("4097", "4097")] {
        let message = format!("keep is {shown}, allowed are 1 to {SHORTLIST_MAX}");
        check(
            "[\"savings\"]",
            &with(&format!("{{\"by\": \"cheap\", \"keep\": {keep}}}")),
            &[(&format!("{keep}}}"), &message)],
        );
    }
    check_unreadable("[\"savings\"]", &with("{\"by\": \"cheap\"}"), 9, "missing field `keep`");
    check_unreadable(
        "[\"savings\"]",
        &with("{\"by\": \"cheap\", \"keep\": 20, \"kept\": 3}"),
        9,
        "unknown field `kept`, expected `by` or `keep`",
    );
}

#[test]
fn a_column_that_reads_nothing_known_is_refused() {
    check(
        "\"profile.age\",",
        "\"profil.age\",",
        &[(
            "\"profil.age\"",
            "column \"age\": from is \"profil.age\", allowed are profile., offer., behaviour., intent., context. and \
             contacts, did you mean profile?",
        )],
    );
    check(
        "\"from\": \"profile.job\"",
        "\"from\": \"profile\"",
        &[(
            "\"profile\"",
            "column \"job_retired\": from is \"profile\", a name must follow, as in \"profile.age\"",
        )],
    );
    check(
        "\"job_retired\"",
        "\"age\"",
        &[("\"age\"", "column name \"age\" is empty or not the only one")],
    );
    check(
        "\"30d\"",
        "\"30 days\"",
        &[(
            "\"30 d",
            "column \"calls\": within is \"30 days\", allowed is a whole number of d, h or m, as in \"30d\"",
        )],
    );
    check(
        "\"count\": \"delivered\", ",
        "",
        &[(
            "\"contacts\"",
            "column \"calls\": contacts need `count`: what is counted, as in \"delivered\"",
        )],
    );
    check(
        "\"value\": \"retired\"",
        "\"value\": \"retired\", \"scope\": \"all\"",
        &[(
            "\"all\"",
            "column \"job_retired\": scope belongs to columns from \"contacts\", this one is from \"profile.job\"",
        )],
    );
}

#[test]
fn a_column_that_cannot_be_encoded_is_refused() {
    check(
        ", \"missing\": 40",
        "",
        &[(
            "\"age\"",
            "column \"age\": `missing` is not there: say which number stands for a value that is not known",
        )],
    );
    check(
        "\"scope\": \"group\"",
        "\"scope\": \"group\", \"missing\": 0",
        &[(
            "0,",
            "column \"calls\": missing has no use here: \"contacts\" is always known",
        )],
    );
    check(
        ", \"value\": \"retired\"",
        "",
        &[(
            "\"equals\"",
            "column \"job_retired\": `value` goes with \"equals\" and \"contains\", and with them it must be there",
        )],
    );
    check(
        "\"as\": \"equals\", \"value\": \"retired\"",
        "\"as\": \"ordinal\", \"missing\": 0",
        &[(
            "\"ordinal\"",
            "column \"job_retired\": `order` and `unknown` go with \"ordinal\", and with it both must be there",
        )],
    );
    check(
        "[0, 100]",
        "[100, 0]",
        &[(
            "[100, 0]",
            "column \"age\": clip is [100, 0], the lower end must come first",
        )],
    );
    check(
        "[0, 100]",
        "[-1, 100]",
        &[(
            "true",
            "column \"age\": log1p needs numbers above -1, so clip must begin above -1",
        )],
    );
}

#[test]
fn a_golden_row_that_cannot_be_right_is_refused() {
    check(
        "3.7376696, 1",
        "1",
        &[("[1, 2]", "golden row 0 has 2 numbers, the model takes 3")],
    );
    check(
        "\"score\": 0.5",
        "\"score\": 1.5",
        &[("1.5", "golden row 0 has score 1.5, allowed are 0 to 1")],
    );
    check(
        "\"profile.age\": 41",
        "\"profile.ages\": 41",
        &[("41", "golden row 0 has input \"profile.ages\", which no column reads")],
    );
}

#[test]
fn all_faults_come_at_once_in_the_order_of_the_text() {
    let text = RIGHT
        .replace("\"features\": 3", "\"features\": 4")
        .replace("\"30d\"", "\"0d\"")
        .replace("0.5", "2");
    let faults = Manifest::parse(&text).unwrap_err();
    let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [10, 15, 18, 18]);
}
