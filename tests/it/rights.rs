//! A person's rights: everything that is known of them is handed out, and all of it can be made to go, for good.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use nbo::server::wire::behaviour_service_client::BehaviourServiceClient;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::profile_service_client::ProfileServiceClient;
use nbo::server::wire::rank_customers_request::Audience;
use nbo::server::wire::{self, Outcome};
use serde_json::{Value as Json, json};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::served::{CORNER_BANK, Served, aged, customer, hero, ids, placement, search};

fn erase(id: &str) -> wire::EraseCustomerRequest {
    wire::EraseCustomerRequest {
        customer: Some(customer(id)),
    }
}

pub(crate) async fn export(profiles: &mut ProfileServiceClient<Channel>, id: &str) -> Result<Json, Status> {
    let request = wire::ExportCustomerRequest {
        customer: Some(customer(id)),
    };
    let exported = profiles.export_customer(request).await?.into_inner();
    Ok(serde_json::from_str(&exported.json).unwrap())
}

fn events(id: &str, events: Vec<wire::Event>) -> wire::RecordEventsRequest {
    wire::RecordEventsRequest {
        customer: Some(customer(id)),
        events,
        ..Default::default()
    }
}

#[tokio::test]
async fn an_export_has_everything_that_was_put_in() {
    let served = Served::start().await;
    let mut change = aged("anna", 40.0);
    change.channel_opt_outs = [("call_centre".to_owned(), true)].into();
    change.consents = vec![wire::Consent {
        purpose: "advertising".to_owned(),
        channel: "web".to_owned(),
        granted: Some(true),
    }];
    served.profiles().upsert_profile(change).await.unwrap();
    let searched = events("anna", vec![search("search-1", "fund")]);
    served.behaviour().record_events(searched).await.unwrap();
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    let seen = wire::RecordOutcomeRequest {
        decision_id: answer.decision_id.clone(),
        offer_id: ids(&answer)[0].to_owned(),
        outcome: Outcome::Seen.into(),
        ..Default::default()
    };
    served.behaviour().record_outcome(seen).await.unwrap();

    let document = export(&mut served.profiles(), "anna").await.unwrap();
    let now = "2026-03-02T09:00:00Z";
    assert_eq!(document["format"], "nbo customer 1");
    assert_eq!(
        (&document["exported_at"], &document["customer"]),
        (&json!(now), &json!({"id": "anna"}))
    );
    assert_eq!(document["attributes"], json!({"age": 40.0}));
    assert_eq!(document["opt_outs"], json!({"all": false, "channels": ["call_centre"]}));
    assert_eq!(
        document["consents"],
        json!([{"purpose": "advertising", "channel": "web", "granted": true}])
    );
    assert_eq!(document["behaviour"], json!({"searches_7d": 1.0}));
    assert_eq!(document["intents"], json!({"fund": 2.0}));
    assert_eq!(document["counted"]["counts"][0]["amount"], 1);
    assert_eq!(
        document["counted"]["interests"],
        json!([{"intent": "fund", "time": now, "weight": 2.0}])
    );
    let event = &document["events"][0];
    assert_eq!(
        (&event["type"], &event["channel"], &event["place"], &event["time"]),
        (&json!("search"), &json!("web"), &json!("home"), &json!(now))
    );
    assert_eq!(document["sessions"][0]["events"], 1);
    let contacts = document["contacts"].as_array().unwrap();
    let offers: Vec<&str> = contacts
        .iter()
        .map(|contact| contact["offer"].as_str().unwrap())
        .collect();
    assert_eq!(offers, ids(&answer));
    assert_eq!(
        contacts[0],
        json!({
            "decision_id": answer.decision_id, "offer": offers[0], "channel": "web", "placement": "home_hero",
            "campaign": null, "decided_at": now, "outcomes": {"seen": now}, "cancelled_at": null, "state": "reported",
            "reserved_until": null,
        })
    );
    assert_eq!(
        (&contacts[1]["state"], &contacts[1]["reserved_until"]),
        (&json!("reserved"), &json!("2026-03-02T09:30:00Z"))
    );
    let nobody = export(&mut served.profiles(), "nobody").await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
}

#[tokio::test]
async fn an_erased_person_is_told_of_everywhere_and_comes_back_by_their_own_word_only() {
    let served = Served::start().await;
    served.begin("anna").await;
    let first = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    let watch = wire::WatchOffersRequest {
        customer: Some(customer("anna")),
        channel: "web".to_owned(),
        placements: vec![placement("home_hero", 3)],
        ..Default::default()
    };
    let mut watched = served.decisions().watch_offers(watch).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().is_some());
    let erased = served
        .profiles()
        .erase_customer(erase("anna"))
        .await
        .unwrap()
        .into_inner();
    assert!(erased.existed);
    let pushed = watched.message().await.unwrap().unwrap();
    assert!(
        ids(&pushed.offers.unwrap()).is_empty(),
        "a screen that watches is emptied"
    );

    let asked = wire::GetOffersRequest {
        explain: true,
        events: vec![search("later", "fund")],
        ..hero("anna")
    };
    let answer = served.decisions().get_offers(asked).await.unwrap().into_inner();
    assert!(ids(&answer).is_empty() && answer.placements[0].fallback && answer.decision_id.is_empty());
    assert!(
        answer.withheld.iter().all(|reason| reason.rule == "erased"),
        "{answer:?}"
    );
    assert_eq!(answer.withheld.len(), 3);

    let outcome = wire::RecordOutcomeRequest {
        decision_id: first.decision_id,
        offer_id: "savings_easy".to_owned(),
        outcome: Outcome::Seen.into(),
        ..Default::default()
    };
    let recorded = events("anna", vec![search("later", "fund")]);
    let refusals = [
        served.behaviour().record_events(recorded).await.unwrap_err(),
        served.behaviour().record_outcome(outcome).await.unwrap_err(),
        served.profiles().upsert_profile(aged("anna", 41.0)).await.unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal}");
        assert!(refusal.message().contains("after_erasure"), "{refusal}");
    }
    let rows = wire::ImportRows {
        first_row: 7,
        rows: vec![aged("anna", 41.0), aged("ben", 30.0)],
    };
    let rows = wire::ImportProfilesRequest {
        part: Some(wire::import_profiles_request::Part::Rows(rows)),
    };
    let mut imported = served
        .profiles()
        .import_profiles(tokio_stream::iter([rows]))
        .await
        .unwrap()
        .into_inner();
    let told = imported.message().await.unwrap().unwrap();
    let code = told.faults[0].fault.as_ref().unwrap().code;
    assert_eq!((told.faults[0].row, code), (7, i32::from(Code::FailedPrecondition)));
    let campaign = wire::RankCustomersRequest {
        audience: Some(Audience::Customers(wire::CustomerList {
            customers: vec![customer("anna")],
        })),
        channel: "web".to_owned(),
        placement: Some(placement("home_hero", 1)),
        ..Default::default()
    };
    let mut run = served.campaigns().rank_customers(campaign).await.unwrap().into_inner();
    while let Some(message) = run.message().await.unwrap() {
        assert!(message.customers.iter().all(|one| one.offers.is_empty()), "{message:?}");
    }
    assert_eq!(served.engine.customers(), 0);

    let back = wire::UpsertProfileRequest {
        after_erasure: true,
        ..aged("anna", 41.0)
    };
    served.profiles().upsert_profile(back).await.unwrap();
    let document = export(&mut served.profiles(), "anna").await.unwrap();
    assert_eq!(
        (&document["attributes"]["age"], &document["contacts"]),
        (&json!(41.0), &json!([]))
    );
    assert!(!ids(&served.decisions().get_offers(hero("anna")).await.unwrap().into_inner()).is_empty());
}

/// A server of its own on a data folder; killed when the test is over, however it ends.
pub(crate) struct Program {
    child: Child,
    said: Arc<Mutex<String>>,
    pub(crate) address: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    pub(crate) fn start(program: &str, root: &Path, fail: Option<&str>) -> Self {
        Self::begin(program, root, fail).unwrap_or_else(|said| panic!("it never got ready: {said}"))
    }

    /// Starts it, or returns what it said before it ended.
    fn begin(program: &str, root: &Path, fail: Option<&str>) -> Result<Self, String> {
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--customers", "0", "--data"])
            .arg(root.join("data"))
            .arg("--rules")
            .arg(root.join("rules"))
            .arg("--models")
            .arg(root.join("models"))
            // There is no model, so what loads them would only take time.
            .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")
            .env_remove("NBO_FAIL")
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(fail) = fail {
            command.env("NBO_FAIL", fail);
        }
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let listening = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if line.contains("listening") {
                    let address = line.split_whitespace().nth(1).unwrap();
                    ready.send(address.trim_end_matches(',').to_owned()).unwrap();
                }
                listening.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let complaining = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                complaining.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let Ok(address) = is_ready.recv() else {
            child.wait().unwrap();
            return Err(said.lock().unwrap().clone());
        };
        Ok(Self { child, said, address })
    }

    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said.lock().unwrap().clone()
    }

    pub(crate) async fn profiles(&self) -> ProfileServiceClient<Channel> {
        ProfileServiceClient::connect(self.address.clone()).await.unwrap()
    }

    /// Lets somebody be written, search, be shown an offer and see it.
    async fn live(&self, id: &str) {
        self.profiles().await.upsert_profile(aged(id, 40.0)).await.unwrap();
        let mut behaviour = BehaviourServiceClient::connect(self.address.clone()).await.unwrap();
        let searched = events(id, vec![search(&format!("event-of-{id}"), "fund")]);
        behaviour.record_events(searched).await.unwrap();
        let asked = wire::GetOffersRequest {
            request_id: format!("request-of-{id}"),
            ..hero(id)
        };
        let mut decisions = DecisionServiceClient::connect(self.address.clone()).await.unwrap();
        let answer = decisions.get_offers(asked).await.unwrap().into_inner();
        if let Some(first) = answer.placements[0].offers.first() {
            let seen = wire::RecordOutcomeRequest {
                decision_id: answer.decision_id,
                offer_id: first.offer_id.clone(),
                outcome: Outcome::Seen.into(),
                ..Default::default()
            };
            behaviour.record_outcome(seen).await.unwrap();
        }
    }

    /// What counts against the volume over all customers, which is used up.
    async fn volume(&self) -> Option<u32> {
        let asked = wire::GetOffersRequest {
            preview: true,
            explain: true,
            ..hero("somebody else")
        };
        let mut decisions = DecisionServiceClient::connect(self.address.clone()).await.unwrap();
        let answer = decisions.get_offers(asked).await.unwrap().into_inner();
        let reason = answer.withheld.iter().find(|reason| reason.limit == Some(VOLUME));
        reason?.count
    }
}

/// As much as two people use up.
const VOLUME: u32 = 6;

pub(crate) fn place() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("rules")).unwrap();
    fs::create_dir(root.path().join("models")).unwrap();
    let rules = format!("{CORNER_BANK}\nvolumes: [{{id: all, at_most: {VOLUME}, of: decided, per: ever}}]\n");
    fs::write(root.path().join("rules/rules.yaml"), rules).unwrap();
    root
}

pub(crate) fn nbo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nbo"))
        .args(arguments)
        .output()
        .unwrap()
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8(output.stderr.clone()).unwrap()
}

/// Tells in which files below a folder some bytes stand.
fn found(folder: &Path, what: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(self::found(&path, what));
        } else if fs::read(&path)
            .unwrap()
            .windows(what.len())
            .any(|window| window == what)
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// The customer's key, as decision ids have it: the hash of the id.
fn key(id: &str) -> u128 {
    nbo::domain::ids::CustomerId::known(id).unwrap().key().get()
}

#[tokio::test]
async fn whenever_the_server_dies_in_an_erasure_the_person_is_as_before_or_erased_in_full() {
    let program = env!("CARGO_BIN_EXE_nbo");
    // The record of the erasure is the tenth: before it come that of the catalog and four of each person.
    let points = [
        ("log::before_write:10", false),
        ("log::after_write:10", true),
        ("erase::recorded:1", true),
        ("erase::before_books:1", true),
        ("erase::before_destroy:1", true),
        ("keys::destroying:1", true),
    ];
    for (point, is_erased) in points {
        let root = place();
        let data = root.path().join("data");
        let server = Program::start(program, root.path(), Some(point));
        server.live("adam.recognisable").await;
        server.live("berta.recognisable").await;
        let counted = server.volume().await;
        assert_eq!(counted, Some(VOLUME));
        let broken = server.profiles().await.erase_customer(erase("adam.recognisable")).await;
        assert!(broken.is_err(), "{point}");
        server.kill();
        // The start that ends what was begun may die of it as well.
        assert!(
            Program::begin(program, root.path(), Some("keys::destroying:500")).is_err(),
            "{point}"
        );

        let server = Program::start(program, root.path(), None);
        let mut profiles = server.profiles().await;
        let adam = export(&mut profiles, "adam.recognisable").await;
        assert_eq!(adam.is_err(), is_erased, "{point}");
        if is_erased {
            let refused = profiles
                .upsert_profile(aged("adam.recognisable", 1.0))
                .await
                .unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{point}");
        }
        let berta = export(&mut profiles, "berta.recognisable").await.unwrap();
        assert_eq!(berta["contacts"].as_array().unwrap().len(), 3, "{point}");
        assert_eq!(server.volume().await, counted, "{point}: what was used stays used");
        let said = server.kill();
        assert!(!said.contains("recognisable"), "no log names anybody: {said}");
        assert_eq!(found(&data, b"recognisable"), [""; 0], "{point}");
        let verified = nbo(&["verify", data.to_str().unwrap()]);
        let told = text(&verified);
        assert!(
            verified.status.success() && told.contains("nothing is damaged"),
            "{point}: {told}"
        );
        assert_eq!(
            told.contains("erased people remembered: 1"),
            is_erased,
            "{point}: {told}"
        );
    }
}

#[tokio::test]
async fn a_copy_of_before_an_erasure_is_said_to_have_the_person_and_one_of_afterwards_has_not() {
    let root = place();
    let data = root.path().join("data");
    let server = Program::start(env!("CARGO_BIN_EXE_nbo"), root.path(), None);
    server.live("adam").await;
    server.live("berta").await;
    let [before, after] = ["before", "after"].map(|name| root.path().join(name));
    let copied = nbo(&["backup", data.to_str().unwrap(), before.to_str().unwrap()]);
    assert!(text(&copied).contains("erased later"), "{}", text(&copied));
    let erased = nbo(&["erase", "--customer", "adam", "--to", &server.address]);
    assert_eq!(text(&erased), "erased; 1 key destroyed\n");
    let gone = nbo(&["export", "customer", "--customer", "adam", "--to", &server.address]);
    assert!(!gone.status.success(), "{}", text(&gone));
    assert!(text(&gone).contains("nothing is known"), "{}", text(&gone));
    let berta = nbo(&["export", "customer", "--customer", "berta", "--to", &server.address]);
    let berta: Json = serde_json::from_slice(&berta.stdout).unwrap();
    assert_eq!(berta["customer"]["id"], "berta");
    let copied = nbo(&["backup", data.to_str().unwrap(), after.to_str().unwrap()]);
    assert!(copied.status.success(), "{}", text(&copied));
    server.kill();
    let replaced = root.path().join("replaced");
    fs::rename(&data, &replaced).unwrap();
    let list = root.path().join("erased.json");
    let listed = nbo(&["erased", replaced.to_str().unwrap(), list.to_str().unwrap()]);
    assert!(text(&listed).contains("who was erased, 1 in all"), "{}", text(&listed));
    let [before, after] = [before, after].map(|copy| copy.to_str().unwrap().to_owned());
    let to = data.to_str().unwrap();
    let unsaid = nbo(&["restore", &before, to]);
    assert!(!unsaid.status.success(), "{}", text(&unsaid));
    assert!(text(&unsaid).contains("--erased"), "{}", text(&unsaid));
    let (gone, back) = ("1 erased again", "everybody of the day of the copy is there again");
    for (copy, said, says, is_there) in [
        (&before, vec!["--nobody-erased"], back, true),
        (&before, vec!["--erased", replaced.to_str().unwrap()], gone, false),
        (&before, vec!["--erased", list.to_str().unwrap()], gone, false),
        (&before, vec!["--erased", &after], gone, false),
        (&after, vec!["--nobody-erased"], back, false),
    ] {
        let _ = fs::remove_dir_all(&data);
        let restored = nbo(&[vec!["restore", copy, to], said].concat());
        assert!(
            restored.status.success() && text(&restored).contains(says),
            "{}",
            text(&restored)
        );
        let server = Program::start(env!("CARGO_BIN_EXE_nbo"), root.path(), None);
        let adam = export(&mut server.profiles().await, "adam").await;
        assert_eq!(adam.is_ok(), is_there);
        assert!(export(&mut server.profiles().await, "berta").await.is_ok());
        server.kill();
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// The fixture was written by the last release that sealed nothing: adam and berta are in a checkpoint, carla behind it.
#[tokio::test]
async fn a_folder_of_an_earlier_release_is_sealed_by_the_first_start_even_when_that_dies_on_the_way() {
    let program = env!("CARGO_BIN_EXE_nbo");
    let people = ["adam", "berta", "carla"].map(|name| format!("{name}.recognisable"));
    let points = [
        None,
        Some("checkpoint::writing:2"),
        Some("checkpoint::before_rename:1"),
        Some("checkpoint::before_rename:2"),
        Some("log::trim:1"),
    ];
    for point in points {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        copy(
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1")),
            root.path(),
        );
        for who in &people {
            assert!(!found(&data, who.as_bytes()).is_empty(), "{who} stands there unsealed");
        }
        assert!(!found(&data, &key(&people[0]).to_le_bytes()).is_empty());
        let before = nbo(&["verify", data.to_str().unwrap()]);
        assert!(before.status.success(), "{}", text(&before));
        if point.is_some() {
            assert!(Program::begin(program, root.path(), point).is_err(), "{point:?}");
        }
        let server = Program::start(program, root.path(), None);
        assert_eq!(found(&data, b"recognisable"), [""; 0], "{point:?}");
        for who in &people {
            assert_eq!(found(&data, &key(who).to_le_bytes()), [""; 0], "{who}, {point:?}");
            let document = export(&mut server.profiles().await, who).await.unwrap();
            assert_eq!(document["attributes"]["age"], 40.0, "{who}, {point:?}");
            assert_eq!(document["events"].as_array().unwrap().len(), 1, "{who}, {point:?}");
        }
        assert_eq!(server.volume().await, Some(VOLUME), "{point:?}");
        server.profiles().await.erase_customer(erase(&people[0])).await.unwrap();
        server.live("dora").await;
        server.kill();
        let server = Program::start(program, root.path(), None);
        assert!(export(&mut server.profiles().await, &people[0]).await.is_err());
        let berta = export(&mut server.profiles().await, &people[1]).await.unwrap();
        assert_eq!(berta["contacts"].as_array().unwrap().len(), 3, "{point:?}");
        server.kill();
        let after = nbo(&["verify", data.to_str().unwrap()]);
        assert!(
            after.status.success() && text(&after).contains("nothing is damaged"),
            "{}",
            text(&after)
        );
    }
}
