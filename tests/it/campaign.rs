//! `nbo campaign run` against a real server: what it writes, what it refuses, and that it goes on after a break.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use nbo::cli::campaign::Args;
use nbo::server::wire::{GetOffersRequest, RankCustomersRequest, RankCustomersResponse};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use prost::Message as _;

use crate::served::{CORNER_BANK, Served, hero};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

const SPEC: &str = "
campaign: spring
channel: web
placement: home_hero
count: 2
segment: profile.age >= 18
reserve: true
limits:
  - {offer: fund_world, at_most: 10}
context: {device: phone}
";

async fn run(
    served: &Served,
    folder: &Path,
    spec: &str,
    list: &str,
    options: &[&str],
) -> Result<(bool, String), String> {
    let path = folder.join("spec.yaml");
    std::fs::write(&path, spec).unwrap();
    let out = folder.join(list);
    let (path, out) = (path.display().to_string(), out.display().to_string());
    let mut words = vec!["campaign", "run", &path, "--out", &out, "--to", &served.address];
    words.extend(options);
    let command = Command::parse_from(words);
    let mut text = Vec::new();
    let ran = tokio::task::spawn_blocking(move || (command.args.run(&mut text), text));
    let (code, text) = ran.await.unwrap();
    let text = String::from_utf8(text).unwrap();
    code.map(|code| (code == ExitCode::SUCCESS, text))
        .map_err(|error| format!("{error:#}"))
}

async fn begin(served: &Served, customers: usize) {
    for number in 0..customers {
        served.begin(&format!("c-{number}")).await;
    }
}

/// The customers and offers of a CSV list.
fn read_csv(path: &Path) -> Vec<(String, String)> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (customer, offer, decision) = (at("customer"), at("offer_id"), at("decision_id"));
    let rows = reader.records().map(|row| row.unwrap());
    rows.map(|row| {
        assert_eq!(row[decision].len(), 40, "{row:?}");
        (row[customer].to_owned(), row[offer].to_owned())
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_becomes_a_list_of_one_row_for_each_offer() {
    let (served, folder) = (Served::start().await, tempfile::tempdir().unwrap());
    begin(&served, 50).await;
    let (good, told) = run(&served, folder.path(), SPEC, "list.csv", &[]).await.unwrap();
    assert!(good, "{told}");
    assert!(told.contains("list.csv: 100 offers for 50 of 50 customers"), "{told}");
    assert!(told.contains("10 of at most 10 of offer fund_world used"), "{told}");
    let rows = read_csv(&folder.path().join("list.csv"));
    let customers: BTreeSet<&String> = rows.iter().map(|(customer, _)| customer).collect();
    let funds = rows.iter().filter(|(_, offer)| offer == "fund_world").count();
    assert_eq!((rows.len(), customers.len(), funds), (100, 50, 10));
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "the spec and the list: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_list_as_parquet_has_the_same_rows_with_their_types() {
    let (served, folder) = (Served::start().await, tempfile::tempdir().unwrap());
    begin(&served, 5).await;
    let spec = SPEC.replace("reserve: true", "explain: true");
    let (good, told) = run(&served, folder.path(), &spec, "list.parquet", &["--json"])
        .await
        .unwrap();
    assert!(good, "{told}");
    let summary: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&summary["rows"], &summary["offers"], &summary["customers"]),
        (&15.into(), &10.into(), &5.into())
    );
    let file = std::fs::File::open(folder.path().join("list.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let rows: Vec<String> = reader
        .get_row_iter(None)
        .unwrap()
        .map(|row| row.unwrap().to_string())
        .collect();
    assert_eq!(rows.len(), 15);
    let given = rows.iter().find(|row| row.contains("rank: 1,")).unwrap();
    for part in [
        "anonymous: false",
        "decision_id: null",
        "offer_id: \"savings_easy\"",
        "rung: \"start\"",
        "context_weight: 1",
    ] {
        assert!(given.contains(part), "{part}: {given}");
    }
    let withheld = rows.iter().find(|row| row.contains("rank: null")).unwrap();
    assert!(
        withheld.contains("withheld_rule: \"outranked\"") || withheld.contains("withheld_stage: \"placement\""),
        "{withheld}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_says_who_gets_the_control_content_and_in_which_hold_outs_everybody_is() {
    let travel = "    treatments: {web: {title: Travel safely},";
    let controlled = CORNER_BANK.replace(travel, &format!("    control: {{title: The world is large}}\n{travel}"));
    assert_ne!(controlled, CORNER_BANK);
    let hold_outs = "hold_outs:
  - {id: all_of_them, share: 1, groups: [travel], gets: control}
  - {id: half, share: 0.5, groups: [savings], gets: control}
  - {id: nobody, share: 0}
";
    let served = Served::start_with(&format!("{controlled}\n{hold_outs}"), |_| ()).await;
    let folder = tempfile::tempdir().unwrap();
    begin(&served, 20).await;
    let spec = "{channel: web, placement: home_hero, count: 3, everyone: true, explain: true}";
    let (good, told) = run(&served, folder.path(), spec, "list.csv", &[]).await.unwrap();
    assert!(good, "{told}");
    let mut reader = csv::Reader::from_path(folder.path().join("list.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let columns = ["customer", "offer_id", "rank", "control", "hold_outs"].map(at);
    let (mut held, mut controls) = (BTreeSet::new(), 0);
    for row in reader.records() {
        let row = row.unwrap();
        let [customer, offer, rank, control, hold_outs] = columns.map(|at| row[at].to_owned());
        let request = GetOffersRequest {
            preview: true,
            ..hero(&customer)
        };
        let answer = served.decisions().get_offers(request).await.unwrap().into_inner();
        assert_eq!(
            hold_outs,
            answer.hold_outs.join(";"),
            "as a call for the customer says: {row:?}"
        );
        held.insert(hold_outs);
        let shown = answer.placements[0].offers.iter().find(|shown| shown.offer_id == offer);
        let expected = match (rank.as_str(), shown) {
            ("", _) => String::new(),
            (_, shown) => shown.unwrap().control.to_string(),
        };
        assert_eq!(control, expected, "{row:?}");
        controls += usize::from(control == "true");
    }
    assert_eq!(
        held.into_iter().collect::<Vec<_>>(),
        ["all_of_them", "all_of_them;half"]
    );
    assert!(controls >= 20, "everybody gets one at least: {controls}");
    let (good, told) = run(&served, folder.path(), spec, "list.parquet", &[]).await.unwrap();
    assert!(good, "{told}");
    let file = std::fs::File::open(folder.path().join("list.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string());
    let marked = rows.filter(|row| row.contains("control: true") && row.contains("hold_outs: \"all_of_them"));
    assert_eq!(marked.count(), controls);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_with_their_lines_whoever_found_them() {
    let (served, folder) = (Served::start().await, tempfile::tempdir().unwrap());
    let spec = SPEC
        .replace("home_hero", "home_heroo")
        .replace("fund_world", "fund_word")
        .replace("age >=", "agee >=");
    let (good, told) = run(&served, folder.path(), &spec, "list.csv", &[]).await.unwrap();
    assert!(!good);
    for place in [
        "spec.yaml:4:12: error: `home_heroo` is not",
        "spec.yaml:6:10: error: at character 1",
        "spec.yaml:9:13: error: `fund_word` is not",
    ] {
        assert!(told.contains(place), "{place} is not in\n{told}");
    }
    let (good, told) = run(
        &served,
        folder.path(),
        &SPEC.replace("count:", "cuont:"),
        "list.csv",
        &[],
    )
    .await
    .unwrap();
    assert!(
        !good && told.contains("spec.yaml:5:1: error: unknown key `cuont`"),
        "{told}"
    );
    let refused = run(&served, folder.path(), SPEC, "list.txt", &[]).await.unwrap_err();
    assert!(refused.contains("`.parquet` or `.csv`"), "{refused}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_customers_stands_beside_the_spec() {
    let (served, folder) = (Served::start().await, tempfile::tempdir().unwrap());
    begin(&served, 5).await;
    std::fs::write(folder.path().join("ids.csv"), "customer\nc-1\nc-3\n\nc-1\n").unwrap();
    let spec = SPEC.replace("segment: profile.age >= 18", "customers: ids.csv");
    let (good, told) = run(&served, folder.path(), &spec, "list.csv", &["--json"])
        .await
        .unwrap();
    let summary: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert!(good);
    assert_eq!(
        (&summary["customers"], &summary["repeated_customers"]),
        (&2.into(), &1.into())
    );
}

/// Reads the messages of a part file: the request's bytes, and each message with where it ends.
fn messages(bytes: &[u8]) -> (RankCustomersRequest, Vec<(RankCustomersResponse, usize)>) {
    // Behind the beginning, which names the version.
    let (mut at, mut request, mut messages) = (12, None, Vec::new());
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let body = &bytes[at + 4..at + 4 + length];
        at += 4 + length;
        match request {
            None => request = Some(RankCustomersRequest::decode(body).unwrap()),
            Some(_) => messages.push((RankCustomersResponse::decode(body).unwrap(), at)),
        }
    }
    (request.unwrap(), messages)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_broke_off_goes_on_with_resume_and_lists_everybody_once() {
    let (served, folder) = (Served::start().await, tempfile::tempdir().unwrap());
    begin(&served, 700).await;
    let spec = SPEC.replace("reserve: true", "reserve: false");
    // A run whose list cannot be written keeps what it received.
    let blocked = folder.path().join("list.csv.writing");
    std::fs::create_dir(&blocked).unwrap();
    run(&served, folder.path(), &spec, "list.csv", &[]).await.unwrap_err();
    let part = folder.path().join("list.csv.part");
    let whole = std::fs::read(&part).unwrap();
    let (request, received) = messages(&whole);
    assert!(received.len() >= 4 && request.resume_after.is_empty());
    // The connection broke in the middle of the second message.
    std::fs::write(&part, &whole[..received[1].1 - 3]).unwrap();
    std::fs::remove_dir(&blocked).unwrap();

    let refused = run(&served, folder.path(), &spec, "list.csv", &[]).await.unwrap_err();
    assert!(refused.contains("go on with --resume"), "{refused}");
    let refused = run(
        &served,
        folder.path(),
        &SPEC.replace("count: 2", "count: 1"),
        "list.csv",
        &["--resume"],
    )
    .await;
    assert!(refused.unwrap_err().contains("another spec"));
    let (good, told) = run(&served, folder.path(), &spec, "list.csv", &["--resume"])
        .await
        .unwrap();
    assert!(good && told.contains("1,400 offers for 700 of 700 customers"), "{told}");
    let mut reader = csv::Reader::from_path(folder.path().join("list.csv")).unwrap();
    let rows: Vec<(String, String)> = reader
        .records()
        .map(|row| row.unwrap())
        .map(|row| (row[0].to_owned(), row[4].to_owned()))
        .collect();
    let each: BTreeSet<&(String, String)> = rows.iter().collect();
    assert_eq!((rows.len(), each.len()), (1_400, 1_400));
    assert!(rows.iter().filter(|(_, offer)| offer == "fund_world").count() <= 10);
    let nothing = run(&served, folder.path(), &spec, "list.csv", &["--resume"])
        .await
        .unwrap_err();
    assert!(nothing.contains("there is nothing to go on with"), "{nothing}");
}
