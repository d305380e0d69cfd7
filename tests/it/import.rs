//! `nbo import` against a real server: what it writes, what it refuses, and that it does nothing by halves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use nbo::cli::import::Args;
use nbo::import::mapping::Mapping;
use nbo::import::plan::Plan;
use nbo::import::rows::Rows;
use nbo::import::send::{SendError, schema_in_force, send};
use nbo::server::wire;
use nbo::server::wire::attribute_value::Kind;

use crate::served::{Served, customer, text, value};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

const MAPPING: &str = r#"
delimiter: ";"
customer: {row: "c-##"}
attributes:
  age: {column: age, missing: [999], plus: -1}
  holdings: {column: has, separator: ","}
  member_since: {column: since, date_format: "%d/%m/%Y"}
opt_outs:
  call_centre: {column: phone}
"#;

/// Runs the command on a file, and returns whether it was content, and what it printed with the time taken out.
async fn run(served: &Served, folder: &Path, file: &[u8], options: &[&str]) -> (bool, String) {
    let path = folder.join("rows.csv");
    std::fs::write(&path, file).unwrap();
    let mut words = vec![
        "import".to_owned(),
        path.display().to_string(),
        "--to".to_owned(),
        served.address.clone(),
    ];
    words.extend(options.iter().map(|&word| word.to_owned()));
    let command = Command::parse_from(words);
    let mut out = Vec::new();
    let (code, out) = tokio::task::spawn_blocking(move || (command.args.run(&mut out), out))
        .await
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    let told = text
        .lines()
        .map(|line| line.split(", in ").next().unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n");
    (code.unwrap() == ExitCode::SUCCESS, told)
}

fn mapping(folder: &Path) -> PathBuf {
    let path = folder.join("mapping.yaml");
    std::fs::write(&path, MAPPING).unwrap();
    path
}

async fn known(served: &Served, id: &str) -> Option<wire::GetProfileResponse> {
    let request = wire::GetProfileRequest {
        customer: Some(customer(id)),
    };
    served
        .profiles()
        .get_profile(request)
        .await
        .ok()
        .map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_good_file_becomes_customers_as_its_mapping_says() {
    let (served, folder) = (Served::start().await, tempfile::tempdir().unwrap());
    let mapping = mapping(folder.path());
    let file = b"age;has;since;phone;y\n42;fund,travel;31/12/2019;yes;1\n999;,;;no;0\n";
    let (good, told) = run(&served, folder.path(), file, &["--mapping", mapping.to_str().unwrap()]).await;
    let version = served.engine.active().catalog.version.to_string();
    assert_eq!(
        told,
        format!(
            "rows.csv: 2 rows checked against catalog {version}\ncolumns not imported: y\nimported 2 customers, c-01 to c-02"
        )
    );
    assert!(good);
    let first = known(&served, "c-01").await.unwrap();
    let attributes = [
        ("age".to_owned(), value(Kind::Number(41.0))),
        (
            "holdings".to_owned(),
            value(Kind::Set(wire::TextSet {
                values: vec!["fund".to_owned(), "travel".to_owned()],
            })),
        ),
        ("member_since".to_owned(), text("2019-12-31")),
    ];
    assert_eq!(first.attributes, attributes.into());
    assert_eq!(first.opted_out_channels, ["call_centre"]);
    let second = known(&served, "c-02").await.unwrap();
    let nothing = value(Kind::Set(wire::TextSet::default()));
    assert_eq!(second.attributes, [("holdings".to_owned(), nothing)].into());
    assert_eq!(second.opted_out_channels, [""; 0]);
}

/// Rows of that many customers, of 40 years.
fn numbered(count: usize) -> String {
    (0..count)
        .map(|number| format!("c-{number},40"))
        .collect::<Vec<_>>()
        .join("\n")
        + "\n"
}

#[tokio::test]
async fn one_fault_in_the_last_row_and_nothing_is_imported() {
    let (served, folder) = (Served::start().await, tempfile::tempdir().unwrap());
    let file = "customer,age\n".to_owned() + &numbered(3_000) + "last,400\n";
    let (good, told) = run(&served, folder.path(), file.as_bytes(), &[]).await;
    assert!(!good);
    assert!(told.ends_with(
        "line 3002, column `age`: 400 is outside the allowed range 0 to 120\n1 fault in 1 row:\n        1 x `age`: out of range, first on line 3002\nnothing was imported"
    ), "{told}");
    assert_eq!(served.engine.customers(), 0);

    let (good, told) = run(&served, folder.path(), file.as_bytes(), &["--skip-bad"]).await;
    assert!(good);
    assert!(told.ends_with("imported 3,000 customers, c-0 to c-2999"), "{told}");
    assert_eq!(served.engine.customers(), 3_000);
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let (served, folder) = (Served::start().await, tempfile::tempdir().unwrap());
    let (good, told) = run(&served, folder.path(), b"customer,age\na,40\n", &["--dry-run"]).await;
    assert!(
        good && told.ends_with("no fault; nothing was imported, since --dry-run only checks"),
        "{told}"
    );
    assert_eq!(served.engine.customers(), 0);
}

#[tokio::test]
async fn an_unknown_value_makes_an_attribute_unknown_and_leaves_others_as_they_were() {
    let (served, folder) = (Served::start().await, tempfile::tempdir().unwrap());
    run(&served, folder.path(), b"customer,age,segment\na,40,retail\n", &[]).await;
    run(&served, folder.path(), b"customer,segment\na,\n", &[]).await;
    let profile = known(&served, "a").await.unwrap();
    assert_eq!(profile.attributes.keys().collect::<Vec<_>>(), ["age"]);
}

#[tokio::test]
async fn a_mapping_that_does_not_fit_is_told_with_its_lines_and_sends_nothing() {
    let (served, folder) = (Served::start().await, tempfile::tempdir().unwrap());
    let mapping = mapping(folder.path());
    let (good, told) = run(
        &served,
        folder.path(),
        b"age;hass;since;phone\n",
        &["--mapping", mapping.to_str().unwrap()],
    )
    .await;
    assert!(!good);
    let (place, rest) = told.split_once(": error: ").unwrap();
    assert!(place.ends_with("mapping.yaml:6:22"), "{place}");
    assert_eq!(
        rest,
        "the file has no column `has`\n  6 |   holdings: {column: has, separator: \",\"}\n    |                      ^^^\n    = did you mean `hass`?"
    );
}

#[tokio::test]
async fn a_file_that_changed_between_the_check_and_the_sending_is_not_imported_at_all() {
    let served = Served::start().await;
    let target = schema_in_force(served.connection().await).await.unwrap().target;
    for expected in [1_000, 3_000] {
        let file = numbered(2_000);
        let rows = Rows::new(std::io::Cursor::new(format!("customer,age\n{file}")), b',').unwrap();
        let plan = Plan::new(&Mapping::by_header(["customer", "age"]), rows.header(), &target).unwrap();
        let sent = send(served.connection().await, rows, plan, target.clone(), expected, |_| ()).await;
        assert!(matches!(sent, Err(SendError::FileChanged)), "{sent:?}");
        assert_eq!(served.engine.customers(), 0);
    }
}
