//! A day of an operator: what was acknowledged outlives the process, a past decision is made again under changed rules, and a
//! copy of the data serves.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nbo::server::wire::behaviour_service_client::BehaviourServiceClient;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::operations_service_client::OperationsServiceClient;
use nbo::server::wire::{self, Durability, Outcome};

use tonic::{Code, Response, Status};

use crate::served::{self, customer, placement};

/// A server of its own on a data folder; killed when the test is over, however it ends.
pub(crate) struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: String,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start(data: &Path, rules: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nbo"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .arg("--rules")
            .arg(rules)
            .arg("--models")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/models"))
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("it never got ready: {said}"))
                .unwrap();
            said.push_str(&line);
            said.push('\n');
            if line.contains("listening") {
                let address = line.split_whitespace().nth(1).unwrap();
                break address.trim_end_matches(',').to_owned();
            }
        };
        Self {
            child,
            lines,
            said,
            address,
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it in order, and returns what it said.
    pub(crate) fn stop(mut self) -> String {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        let said: Vec<_> = self.lines.by_ref().map(Result::unwrap).collect();
        assert!(self.child.wait().unwrap().success());
        said.join("\n")
    }

    pub(crate) async fn ask(&self, name: &str) -> wire::GetOffersResponse {
        let request = wire::GetOffersRequest {
            customer: Some(customer(name)),
            channel: "web".to_owned(),
            placements: vec![placement("best_offers", 3)],
            ..Default::default()
        };
        self.offers(request).await.unwrap()
    }

    async fn offers(&self, request: wire::GetOffersRequest) -> Result<wire::GetOffersResponse, Status> {
        let mut client = DecisionServiceClient::connect(self.address.clone()).await.unwrap();
        client.get_offers(request).await.map(Response::into_inner)
    }

    async fn events(&self, request: wire::RecordEventsRequest) -> wire::RecordEventsResponse {
        let mut client = BehaviourServiceClient::connect(self.address.clone()).await.unwrap();
        client.record_events(request).await.unwrap().into_inner()
    }

    async fn status(&self) -> wire::GetStatusResponse {
        let mut client = OperationsServiceClient::connect(self.address.clone()).await.unwrap();
        client.get_status(wire::GetStatusRequest {}).await.unwrap().into_inner()
    }
}

fn nbo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nbo"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8(output.stderr.clone()).unwrap()
}

/// Copies the bank's rules into a folder of the test.
pub(crate) fn rules(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/rules/bank")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
}

/// Checks what is told of a decision that was answered like this.
fn told_again(address: &str, then: &wire::GetOffersResponse) {
    let replayed = nbo(&["replay", "--json", "--decision", &then.decision_id, "--to", address]);
    assert!(replayed.status.success(), "{}", text(&replayed));
    let replayed: serde_json::Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!(replayed["catalog"], then.catalog_version);
    for (again, then) in replayed["placements"][0]["offers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&then.placements[0].offers)
    {
        assert_eq!(again["offer"], then.offer_id);
        assert_eq!(again["priority"].as_f64().unwrap().to_bits(), then.priority.to_bits());
    }
    let explained = text(&nbo(&["explain", "--decision", &then.decision_id, "--to", address]));
    assert!(
        explained.contains(&format!(
            "{} was number 1 in best_offers",
            then.placements[0].offers[0].offer_id
        )),
        "{explained}"
    );
    assert!(explained.contains("bit for bit"), "{explained}");
    let never = nbo(&["replay", "--decision", &"0".repeat(40), "--to", address]);
    assert!(
        !never.status.success() && text(&never).contains("not in the journal"),
        "{}",
        text(&never)
    );
}

#[tokio::test]
async fn a_decision_is_made_again_after_a_kill_a_change_of_the_rules_and_a_restore() {
    let root = tempfile::tempdir().unwrap();
    let (data, bank) = (root.path().join("data"), root.path().join("bank"));
    rules(&bank);
    let server = Server::start(&data, &bank, &["--customers", "20"]);
    assert!(
        server
            .said
            .contains("new; what is acknowledged survives a crash of the process"),
        "{}",
        server.said
    );
    let then = server.ask("demo-000001").await;
    let first = &then.placements[0].offers[0];
    let mut behaviour = BehaviourServiceClient::connect(server.address.clone()).await.unwrap();
    let refused = wire::RecordOutcomeRequest {
        decision_id: then.decision_id.clone(),
        offer_id: first.offer_id.clone(),
        outcome: Outcome::Refused.into(),
        ..Default::default()
    };
    assert!(
        behaviour
            .record_outcome(refused.clone())
            .await
            .unwrap()
            .into_inner()
            .recorded
    );
    server.kill();

    // Another value of the first offer's group makes another catalog.
    let caps = std::fs::read_to_string(bank.join("caps.yaml")).unwrap();
    std::fs::write(bank.join("caps.yaml"), caps.replace("at_most: 12", "at_most: 11")).unwrap();
    let server = Server::start(&data, &bank, &["--durability", "power"]);
    assert!(
        server.said.contains("20, as they were when the last process ended"),
        "{}",
        server.said
    );
    let status = server.status().await;
    assert_eq!((status.durability(), status.customers), (Durability::Power, 20));
    let now = server.ask("demo-000001").await;
    assert_ne!(now.catalog_version, then.catalog_version);
    let is_shown = |offer: &wire::RankedOffer| offer.offer_id == first.offer_id;
    assert!(!now.placements[0].offers.iter().any(is_shown), "the no still counts");
    let mut behaviour = BehaviourServiceClient::connect(server.address.clone()).await.unwrap();
    assert!(!behaviour.record_outcome(refused).await.unwrap().into_inner().recorded);
    let journal = server.status().await.journal.unwrap();
    assert!(
        journal.settled == journal.written && journal.stopped.is_empty(),
        "{journal:?}"
    );

    told_again(&server.address, &then);

    let backup = root.path().join("backup");
    let copied = nbo(&["backup", data.to_str().unwrap(), backup.to_str().unwrap()]);
    assert!(copied.status.success(), "{}", text(&copied));
    let taken = text(&nbo(&["verify", data.to_str().unwrap()]));
    assert!(
        taken.contains(&server.child.id().to_string()) && taken.contains("nbo backup"),
        "{taken}"
    );
    let said = server.stop();
    assert!(said.contains("20 customers in a checkpoint"), "{said}");
    let whole = nbo(&["verify", data.to_str().unwrap()]);
    assert!(
        whole.status.success() && text(&whole).contains("nothing is damaged"),
        "{}",
        text(&whole)
    );

    let restored = root.path().join("restored");
    assert!(
        nbo(&[
            "restore",
            backup.to_str().unwrap(),
            restored.to_str().unwrap(),
            "--nobody-erased"
        ])
        .status
        .success()
    );
    let server = Server::start(&restored, &bank, &[]);
    let again = text(&nbo(&[
        "replay",
        "--decision",
        &then.decision_id,
        "--to",
        &server.address,
    ]));
    assert!(again.contains("the same as then, bit for bit"), "{again}");
    server.stop();
}

#[tokio::test]
async fn a_repeat_gets_the_answer_of_the_first_call_after_a_kill_as_well() {
    let root = tempfile::tempdir().unwrap();
    let (data, bank) = (root.path().join("data"), root.path().join("bank"));
    rules(&bank);
    let server = Server::start(&data, &bank, &["--customers", "20"]);
    let by_page = wire::GetOffersRequest {
        customer: Some(customer("demo-000001")),
        channel: "web".to_owned(),
        placements: vec![placement("best_offers", 3)],
        request_id: "page-1".to_owned(),
        ..Default::default()
    };
    let search = wire::Event {
        id: "search-1".to_owned(),
        r#type: "search".to_owned(),
        attributes: BTreeMap::from([("category".to_owned(), served::text("fund"))]),
        ..Default::default()
    };
    let by_search = wire::RecordEventsRequest {
        customer: Some(customer("demo-000002")),
        events: vec![search],
        offers: Some(wire::GetOffersRequest {
            customer: None,
            request_id: "search-1".to_owned(),
            ..by_page.clone()
        }),
    };
    let page = server.offers(by_page.clone()).await.unwrap();
    let searched = server.events(by_search.clone()).await;
    assert_eq!((searched.applied, searched.duplicates), (1, 0));
    server.kill();

    let server = Server::start(&data, &bank, &[]);
    let as_then = |then: &wire::GetOffersResponse| wire::GetOffersResponse {
        replayed: true,
        cached: false,
        ..then.clone()
    };
    assert_eq!(server.offers(by_page.clone()).await.unwrap(), as_then(&page));
    let again = server.events(by_search).await;
    assert_eq!((again.applied, again.duplicates), (0, 1));
    assert_eq!(again.offers, searched.offers.as_ref().map(as_then));
    let other = wire::GetOffersRequest {
        placements: vec![placement("best_offers", 2)],
        ..by_page
    };
    assert_eq!(server.offers(other).await.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test]
async fn without_a_journal_nothing_is_kept_and_that_is_said() {
    let root = tempfile::tempdir().unwrap();
    let (data, bank) = (root.path().join("data"), root.path().join("bank"));
    rules(&bank);
    let server = Server::start(&data, &bank, &["--customers", "5", "--durability", "none"]);
    assert!(server.said.contains("all is gone with the process"), "{}", server.said);
    let status = server.status().await;
    assert!(
        status.durability() == Durability::None && status.journal.is_none(),
        "{status:?}"
    );
    let decided = server.ask("demo-000001").await.decision_id;
    let replayed = text(&nbo(&["replay", "--decision", &decided, "--to", &server.address]));
    assert!(replayed.contains("no journal is kept"), "{replayed}");
    assert!(!data.exists());
    server.stop();
}
