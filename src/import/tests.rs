//! Whole imports of small files, good and faulty.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mapping::Mapping;
use super::plan::{Plan, Target};
use super::rows::{ROW_BYTES_MAX, Rows};
use crate::catalog::{Attribute, AttributeType};
use crate::domain::symbol::Symbols;
use crate::domain::value::Value;

fn attribute(symbols: &mut Symbols, id: &str, attribute_type: AttributeType, values: &[&str]) -> Attribute {
    let symbol = symbols.intern(id);
    let values = values
        .iter()
        .map(|&name| (Arc::from(name), symbols.intern(name)))
        .collect::<Vec<_>>();
    if attribute_type == AttributeType::Set {
        for &(_, value) in &values {
            symbols.set_bit(symbol, value).unwrap();
        }
    }
    let range = (id == "age").then_some((16.0, 110.0));
    Attribute {
        id: Arc::from(id),
        symbol,
        attribute_type,
        description: Arc::from(""),
        values,
        range,
    }
}

fn target() -> Target {
    let mut symbols = Symbols::default();
    let attributes = vec![
        attribute(&mut symbols, "age", AttributeType::Number, &[]),
        attribute(&mut symbols, "contacts", AttributeType::Number, &[]),
        attribute(
            &mut symbols,
            "job",
            AttributeType::Category,
            &["admin", "blue-collar", "student"],
        ),
        attribute(&mut symbols, "has_loan", AttributeType::Boolean, &[]),
        attribute(
            &mut symbols,
            "holdings",
            AttributeType::Set,
            &["fund", "savings", "loan"],
        ),
        attribute(&mut symbols, "since", AttributeType::Date, &[]),
    ];
    let channels = vec![(Arc::from("email"), symbols.intern("email"))];
    Target {
        attributes,
        channels,
        symbols,
    }
}

fn mapping(text: &str) -> Mapping {
    serde_json::from_str(text).unwrap()
}

/// Writes a row as its customer and what is written of whom, as in `7: age=41 job=?`.
fn read(mapping: Option<&str>, file: &[u8]) -> Vec<String> {
    let target = target();
    let mut rows = match Rows::new(file, mapping.map_or(b',', |text| self::mapping(text).delimiter as u8)) {
        Ok(rows) => rows,
        Err(fault) => return vec![fault.to_string()],
    };
    let mapping = match mapping {
        Some(text) => self::mapping(text),
        None => Mapping::by_header(rows.header().iter().map(String::as_str)),
    };
    let plan = match Plan::new(&mapping, rows.header(), &target) {
        Ok(plan) => plan,
        Err(faults) => {
            let line = |fault: crate::catalog::single::Misfit| {
                let hint = fault.hint.map_or_else(String::new, |hint| format!(" ({hint})"));
                format!("{}: {}{hint}", fault.path.join("/"), fault.message)
            };
            return faults.into_iter().map(line).collect();
        }
    };
    let mut lines = Vec::new();
    while let Some(row) = rows.next_row(&plan) {
        match row {
            Ok(row) => lines.push(describe(&target.symbols, &row)),
            Err(faults) => lines.extend(faults.iter().map(ToString::to_string)),
        }
    }
    lines
}

fn describe(symbols: &Symbols, row: &super::rows::Row) -> String {
    let mut words = BTreeMap::new();
    for &(name, value) in &row.change.attributes {
        let text = match value {
            Value::Missing => "?".to_owned(),
            Value::Boolean(truth) => truth.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Category(symbol) => symbols.name(symbol).to_owned(),
            Value::Set(mask) => format!("{mask:03b}"),
            Value::Time(time) => time.to_string()[..10].to_owned(),
        };
        words.insert(symbols.name(name).to_owned(), text);
    }
    for &(channel, out) in &row.change.opt_outs {
        words.insert(format!("out of {}", symbols.name(channel)), out.to_string());
    }
    if let Some(out) = row.change.opt_out_of_all {
        words.insert("out of all".to_owned(), out.to_string());
    }
    let words: Vec<String> = words.into_iter().map(|(name, text)| format!("{name}={text}")).collect();
    format!("{} {}: {}", row.line, row.customer.as_str(), words.join(" "))
}

fn check(mapping: &str, file: &str, expected: &[&str]) {
    assert_eq!(read(Some(mapping), file.as_bytes()), expected, "{mapping} on {file:?}");
}

fn check_plain(file: &str, expected: &[&str]) {
    assert_eq!(read(None, file.as_bytes()), expected, "{file:?}");
}

const BANK: &str = r#"{
    "delimiter": ";",
    "customer": { "row": "bank-####" },
    "attributes": {
        "age": { "column": "age" },
        "job": { "column": "job", "missing": ["unknown"], "values": { "admin.": "admin" } },
        "contacts": { "column": "campaign", "missing": [999], "plus": -1 },
        "has_loan": { "column": "loan", "missing": ["unknown"] }
    }
}"#;

#[test]
fn a_mapping_renames_replaces_scales_and_knows_what_is_missing() {
    check(
        BANK,
        "\u{feff}\"age\";\"job\";\"campaign\";\"loan\";\"y\"\n56;\"admin.\";1;\"no\";\"no\"\r\n\n 41 ;unknown;999.0;yes;no\n;student;3;unknown;\n",
        &[
            "2 bank-0001: age=56 contacts=0 has_loan=false job=admin",
            "4 bank-0002: age=41 contacts=? has_loan=true job=?",
            "5 bank-0003: age=? contacts=2 has_loan=? job=student",
        ],
    );
}

#[test]
fn a_file_whose_header_speaks_our_names_needs_no_mapping() {
    check_plain(
        "customer,holdings,since,opt_out.email,opt_out.all\nc-1,fund | loan,2024-02-29,yes,no\nc-2,|,,,\n",
        &[
            "2 c-1: holdings=101 out of all=false out of email=true since=2024-02-29",
            "3 c-2: holdings=000 since=?",
        ],
    );
}

#[test]
fn lines_are_counted_right_however_they_end() {
    let ends = ["\n", "\r\n"];
    for end in ends {
        for last in ["", end] {
            let file = ["customer,job,age", "", "a,\"\n\",41", "b,admin,41", "", "c,x,41"].join(end) + last;
            let fault = "line 7, column `job`: `x` is not an allowed value; allowed are admin, blue-collar, student";
            check_plain(&file, &["3 a: age=41 job=?", "5 b: age=41 job=admin", fault]);
        }
    }
}

#[test]
fn times_comes_before_plus_and_dates_and_sets_can_be_written_otherwise() {
    check(
        r#"{ "customer": { "column": "id" }, "attributes": {
            "contacts": { "column": "n", "times": 12, "plus": 0.5 },
            "since": { "column": "d", "date_format": "%d.%m.%Y" },
            "holdings": { "column": "h", "separator": "+", "values": { "F": "fund" } } } }"#,
        "id,n,d,h\nx,2,31.12.1999,F+savings\ny,2,31.11.1999,F\n",
        &[
            "2 x: contacts=24.5 holdings=011 since=1999-12-31",
            "line 3, column `d`: `31.11.1999` is not a date written as `%d.%m.%Y`",
        ],
    );
}

#[test]
fn every_fault_of_every_row_is_told_with_its_line() {
    check_plain(
        "customer,age,job,has_loan,holdings,since\n\
         a,12,admin,yes,fund,2024-01-01\n\
         b,old,astronaut,maybe,gold,2023-02-29\n\
         c,NaN,studnet,1,fund|fnd,20240101\n\
         ,41,,,,\n\
         d,41,,,\n\
         \"multi\nline\",41,,,,\n\
         a,41,,,,\n",
        &[
            "line 2, column `age`: 12 is outside the allowed range 16 to 110",
            "line 3, column `age`: `old` is a text, but a number is wanted",
            "line 3, column `has_loan`: `maybe` is a text, but true or false is wanted",
            "line 3, column `holdings`: `gold` is not an allowed value; allowed are fund, savings, loan",
            "line 3, column `job`: `astronaut` is not an allowed value; allowed are admin, blue-collar, student",
            "line 3, column `since`: `2023-02-29` is not a date; write it as in 2026-03-31",
            "line 4, column `age`: NaN is not a finite number",
            "line 4, column `has_loan`: `1` is a text, but true or false is wanted",
            "line 4, column `holdings`: `fnd` is not an allowed value; did you mean `fund`?",
            "line 4, column `job`: `studnet` is not an allowed value; did you mean `student`?",
            "line 4, column `since`: `20240101` is not a date; write it as in 2026-03-31",
            "line 5, column `customer`: the customer id is empty; give 1 to 128 bytes",
            "line 6: has 5 cells, but the header has 6",
            "line 7, column `customer`: the customer id has a control character at byte 5; only printable characters are allowed",
            "9 a: age=41 has_loan=? holdings=? job=? since=?",
        ],
    );
}

#[test]
fn a_customer_who_stands_in_the_file_twice_is_told_with_both_lines() {
    check_plain(
        "customer,age\na,41\nb,42\na,43\n",
        &[
            "2 a: age=41",
            "3 b: age=42",
            "line 4: customer `a` stands in this file twice; first on line 2",
        ],
    );
}

#[test]
fn a_mapping_that_does_not_fit_the_file_or_the_schema_is_told_as_a_whole_before_any_row() {
    check(
        r#"{ "customer": { "column": "id" }, "attributes": {
            "agee": { "column": "age" },
            "job": { "column": "work", "values": { "a": "admn" }, "times": 2 },
            "since": { "column": "age", "separator": "" } ,
            "has_loan": { "column": "age", "values": { "1": "true", "2": "perhaps" } } },
            "opt_outs": { "e-mail": { "column": "age" } } }"#,
        "id,id,age\n1,2,3\n",
        &[
            "customer/column: the file has two columns `id` (rename one of them)",
            "attributes/agee: customers have no attribute `agee` (did you mean `age`?)",
            "attributes/has_loan/values/2: `perhaps` is a text, but true or false is wanted",
            "attributes/job/times: `times` is for a number, but this is one of a category's values",
            "attributes/job/column: the file has no column `work` (allowed are id, id, age)",
            "attributes/since/separator: `separator` is for a list of a set's values, but this is a date",
            "attributes/since/separator: an empty text separates nothing (write the character between two values, as in \"|\")",
            "opt_outs/e-mail: there is no channel `e-mail` (did you mean `email`?)",
        ],
    );
}

#[test]
fn a_mapping_says_in_exactly_one_way_where_the_customer_id_comes_from() {
    let hint = "(write `column: ...` for files with an id, or `row: bank-#####` for files without)";
    let both = format!("customer: give `column` or `row`, and not both {hint}");
    check(r#"{ "customer": {} }"#, "a\n", &[&both]);
    check(r##"{ "customer": { "column": "a", "row": "#" } }"##, "a\n", &[&both]);
    for pattern in ["bank", "#-#", "#####################"] {
        check(
            &format!(r#"{{ "customer": {{ "row": "{pattern}" }} }}"#),
            "a\n",
            &[&format!(
                "customer/row: `{pattern}` does not say where the row's number goes (write one run of 1 to 20 `#`, as in `bank-#####`)"
            )],
        );
    }
}

#[test]
fn a_wrong_delimiter_is_guessed_from_a_header_of_one_cell() {
    check_plain(
        "customer;age\n1;41\n",
        &[
            "customer/column: the file has no column `customer` (allowed are customer;age; the header is one cell: is `delimiter` right?)",
            "attributes/customer;age: customers have no attribute `customer;age` (allowed are age, contacts, job, has_loan, holdings, since)",
        ],
    );
}

#[test]
fn a_quote_that_is_never_closed_is_told_with_the_line_where_it_began() {
    let file = format!("customer,job\na,admin\nb,\"admin\n{}", "c,admin\n".repeat(400_000));
    let lines = read(None, file.as_bytes());
    assert_eq!(lines.len(), 2);
    let expected = format!(
        "line 3: the row has more than {ROW_BYTES_MAX} bytes; is a quote left open?; nothing after this was read"
    );
    assert_eq!(lines[1], expected);
}

#[test]
fn text_that_is_not_utf_8_is_told_and_stops_nothing() {
    let lines = read(None, b"customer,job\na,\xff\nb,admin\n");
    assert_eq!(
        lines,
        [
            "line 2, column `job`: is not UTF-8 text; save the file as UTF-8",
            "3 b: job=admin"
        ]
    );
    let lines = read(None, b"customer,j\xffb\na,admin\n");
    assert_eq!(lines, ["line 1: the header is not UTF-8 text; save the file as UTF-8"]);
}

#[test]
fn an_empty_file_is_told() {
    check_plain(
        "",
        &["line 1: the file is empty; its first line has to name the columns"],
    );
}

#[test]
fn unknown_keys_of_a_mapping_are_refused() {
    let error = serde_json::from_str::<Mapping>(r#"{ "customer": {}, "atributes": {} }"#).unwrap_err();
    assert!(error.to_string().starts_with("unknown field `atributes`"), "{error}");
}
