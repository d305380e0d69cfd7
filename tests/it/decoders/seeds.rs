//! Writes the corpora anew, from the rules and models of the bank and from a small data folder.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use serde::Serialize;

use nbo::catalog::CatalogFiles;
use nbo::config::files::embedded;
use nbo::domain::ids::CustomerId;
use nbo::domain::profile::Profile;
use nbo::journal::checkpoint::CheckpointReader;
use nbo::journal::records;
use nbo::server::wire;
use nbo::store::packed;

use super::{callers, corpus};
use crate::served::{CORNER_BANK, aged, customer, placement, text, value};

/// The longest model that is kept.
const MODEL_BYTES_MAX: usize = 16 * 1024;

pub(super) fn keep(target: &str, name: &str, bytes: &[u8]) {
    let folder = corpus(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

#[test]
#[ignore = "writes the corpora, when a format has changed: `cargo test --test it decoders::seeds -- --ignored`"]
fn the_corpora_are_written_anew() {
    texts();
    journal();
    models();
    calls();
    callers::write();
}

fn texts() {
    let ids = [
        "anna",
        "kunde-0001",
        "visitor:7f3a",
        "a.b_c@d",
        &"9".repeat(64),
        &"0123456789".repeat(4),
    ];
    for (number, id) in ids.iter().enumerate() {
        keep("ids", &number.to_string(), id.as_bytes());
    }
    let CatalogFiles { rules, models, .. } = embedded().catalog;
    keep("catalog", "corner-bank", CORNER_BANK.as_bytes());
    let small = ["catalog.yaml", "offers.yaml"].map(|name| root().join("tests/it/catalog/small").join(name));
    let small = small.map(|path| fs::read_to_string(path).unwrap());
    keep("catalog", "small", small.join("\n%\n").as_bytes());
    let wanted = ["schema", "caps", "placements", "consent", "pension"];
    let of_bank = rules
        .iter()
        .filter(|(path, _)| wanted.iter().any(|name| path.contains(name)));
    for (path, text) in of_bank {
        let name = Path::new(path).file_stem().unwrap().to_str().unwrap();
        keep("catalog", name, text.as_bytes());
    }
    for (name, text) in &models {
        keep("manifest", name, text.as_bytes());
    }
    let conditions = [
        "profile.age >= 18 && profile.segment in ['retail', 'private']",
        "!('fund' in profile.holdings) || offer.member",
        "now - profile.since > duration('720h') && profile.since < timestamp('2026-03-02T09:00:00Z')",
        "now.getDayOfWeek('Europe/Madrid') == 1 && now.getHours() >= 9",
        "(event.age * 2.5 + 1.0) / 3.0 > -behaviour.age && intent.age != 0",
        "has(context.segment) ? context.segment == 'retail' : false",
    ];
    for (number, condition) in conditions.iter().enumerate() {
        keep("condition", &number.to_string(), condition.as_bytes());
    }
    let mapping = fs::read(root().join("models/bank/import.yaml")).unwrap();
    keep("mapping", "bank", &mapping);
    keep("mapping", "small", b"delimiter: \";\"\ncustomer: {row: bank-#####}\nattributes:\n  age: {column: age, missing: [unknown], times: 2, plus: 1}\n");
    let list = fs::read(root().join("rules/demo.csv")).unwrap();
    keep("rows", "demo", &list);
    let small = b"delimiter: \";\"\ncustomer: {column: who}\nattributes:\n  age: {column: age, missing: [\"?\"]}\n\0who;age\nanna;40\n\"b;b\";?\n";
    keep("rows", "mapped", small);
    keep("rows", "windows", b"customer,age\r\nanna,40\r\n\r\nbert,\r\n");
}

fn journal() {
    let data = root().join("tests/fixtures/format-1/data");
    let segments = ["00000000000000000001.log", "00000000000000000010.log"];
    for name in segments {
        keep("segment", name, &fs::read(data.join("journal").join(name)).unwrap());
    }
    let mut number = 0;
    records(&data.join("journal"), &mut |_, record| {
        keep("record", &format!("plain-{number}"), record);
        number += 1;
    })
    .unwrap();
    assert!(number > 0);
    let name = "00000000000000000009.checkpoint";
    let path = data.join("checkpoints").join(name);
    keep("checkpoint", name, &fs::read(&path).unwrap());
    let mut reader = CheckpointReader::open(&path).unwrap();
    let mut blocks = 0;
    while reader
        .blocks(|_, block| {
            keep("packed", &blocks.to_string(), block);
            blocks += 1;
        })
        .unwrap()
    {}
    let mut empty = Vec::new();
    packed::pack_id(&CustomerId::known("anna").unwrap(), &mut empty);
    packed::pack(&Profile::default(), &mut empty);
    keep("packed", "empty", &empty);
    // As the fuzzers number the files, and those that may be there besides.
    let names = [
        "checkpoints/00000000000000000009.checkpoint",
        "durability",
        "format",
        "journal/00000000000000000001.log",
        "journal/00000000000000000010.log",
        "versions/3182a60a90bde8a4/rules/rules.yaml",
    ];
    for (number, name) in (0..).zip(names) {
        let bytes = [&[number][..], &fs::read(data.join(name)).unwrap()].concat();
        keep("data_folder", &format!("{number}"), &bytes);
    }
    keep("data_folder", "slots", &[&[6][..], b"nbo keys 1\n", &[0; 64]].concat());
    keep("data_folder", "salt", &[&[7][..], &[9; 16]].concat());
}

fn models() {
    let folders = ["models/bank", "tests/fixtures/exported", "tests/fixtures"];
    for folder in folders {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let is_model = path.extension().is_some_and(|ending| ending == "onnx");
            let bytes = if is_model { fs::read(&path).unwrap() } else { continue };
            if bytes.len() <= MODEL_BYTES_MAX {
                keep("model", path.file_name().unwrap().to_str().unwrap(), &bytes);
            }
        }
    }
}

/// Keeps a call in both forms, with the number by which the fuzzers know its method.
fn call<M: Message + Serialize>(method: u8, message: &M) {
    let name = std::any::type_name::<M>().rsplit("::").next().unwrap();
    keep("request", name, &[&[method][..], &message.encode_to_vec()].concat());
    keep(
        "json",
        name,
        &[&[method][..], &serde_json::to_vec(message).unwrap()].concat(),
    );
}

fn calls() {
    use wire::attribute_value::Kind;
    let event = wire::Event {
        id: "e1".to_owned(),
        r#type: "search".to_owned(),
        time: Some(wire::Timestamp {
            seconds: 1_772_441_000,
            nanos: 5,
        }),
        attributes: [
            ("category".to_owned(), text("fund")),
            ("results".to_owned(), value(Kind::Number(3.5))),
        ]
        .into(),
        channel: "web".to_owned(),
        place: "home".to_owned(),
        session_id: "visit-1".to_owned(),
    };
    let offers = wire::GetOffersRequest {
        customer: Some(customer("anna")),
        channel: "web".to_owned(),
        placements: vec![placement("best_offers", 3)],
        context: [("device".to_owned(), text("phone"))].into(),
        events: vec![event.clone()],
        explain: true,
        request_id: "r1".to_owned(),
        ..Default::default()
    };
    call(0, &offers);
    call(
        22,
        &wire::GetOffersStreamRequest {
            correlation_id: "c1".to_owned(),
            request: Some(offers.clone()),
        },
    );
    call(
        23,
        &wire::WatchOffersRequest {
            customer: Some(customer("anna")),
            channel: "web".to_owned(),
            placements: vec![placement("best_offers", 3)],
            ..Default::default()
        },
    );
    call(
        1,
        &wire::RecordEventsRequest {
            customer: Some(customer("anna")),
            events: vec![event],
            offers: Some(offers),
        },
    );
    let outcome = wire::RecordOutcomeRequest {
        decision_id: "0123456789".repeat(4),
        offer_id: "savings".to_owned(),
        outcome: wire::Outcome::Seen.into(),
        ..Default::default()
    };
    call(2, &outcome);
    call(
        3,
        &wire::RecordOutcomesRequest {
            outcomes: vec![outcome],
        },
    );
    call(
        5,
        &wire::ReplayDecisionRequest {
            decision_id: "0123456789".repeat(4),
            ..Default::default()
        },
    );
    call(
        6,
        &wire::RankCustomersRequest {
            max_customers: Some(5),
            ..Default::default()
        },
    );
    let mut change = aged("anna", 40.0);
    change.channel_opt_outs.insert("web".to_owned(), true);
    call(7, &change);
    call(8, &wire::MergeCustomersRequest { ..Default::default() });
    call(
        11,
        &wire::GetContactBudgetRequest {
            customer: Some(customer("anna")),
            channel: "web".to_owned(),
        },
    );
    let answer = wire::GetOffersResponse {
        known_customer: true,
        ..Default::default()
    };
    call(20, &answer);
}
