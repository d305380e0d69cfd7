//! The program itself: started as people start it, asked over the network, and stopped by a signal.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::{self, catalog_service_client::CatalogServiceClient};
use nbo::server::wire::{GetCatalogRequest, Rung, ScoringPath, Shortlist};

use crate::served::{hero, placement};
use crate::two_stages;

/// A started program; it is killed when a test gives up on it.
struct Program {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has stopped already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nbo"))
            .args(["serve", "--listen", "127.0.0.1:0", "--durability", "none"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads up to the line that has `text`, and returns all lines read.
    fn read_to(&mut self, text: &str) -> String {
        let mut read = String::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            read.push_str(&line);
            read.push('\n');
            if line.contains(text) {
                return read;
            }
        }
        panic!("{text} never came: {read}");
    }

    fn stop(mut self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.read_to("stopped");
        assert!(self.child.wait().unwrap().success());
    }
}

/// Returns what stands after `listening` and before the comma.
fn address(said: &str) -> String {
    let line = said.lines().find(|line| line.contains("listening")).unwrap();
    let address = line.split_whitespace().nth(1).unwrap();
    address.trim_end_matches(',').to_owned()
}

async fn ask(address: String) -> wire::GetOffersResponse {
    let mut client = DecisionServiceClient::connect(address).await.unwrap();
    let mut request = hero("demo-000001");
    request.placements = vec![placement("best_offers", 3)];
    client.get_offers(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn without_options_the_bank_is_served_with_its_model_to_made_up_customers() {
    let mut program = Program::start(&[], &[]);
    let said = program.read_to("GetOffers");
    for step in [
        "ONNX Runtime  1.28.0",
        "104 offers in 10 groups",
        "scored by a factorised sum: agrees with ONNX Runtime",
        "10,000 made-up customers",
    ] {
        assert!(said.contains(step), "{step} is not in: {said}");
    }
    let answer = ask(address(&said)).await;
    let best = &answer.placements[0].offers[0];
    assert_eq!((best.group.as_str(), best.rung()), ("savings", Rung::Model));
    assert!(answer.known_customer);
    program.stop();
}

#[tokio::test]
async fn without_the_runtime_it_warns_and_a_factorised_model_serves_by_its_golden_rows() {
    let mut program = Program::start(
        &["--customers", "5"],
        &[("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")],
    );
    let said = program.read_to("GetOffers");
    let warning = said.lines().find(|line| line.contains("warning")).unwrap();
    assert!(
        warning.contains("ONNX Runtime is not at /nowhere") && warning.contains("set ORT_DYLIB_PATH"),
        "{warning}"
    );
    let answer = ask(address(&said)).await;
    assert!(said.contains("agrees with the golden rows only"), "{said}");
    let best = &answer.placements[0].offers[0];
    assert_eq!((best.group.as_str(), best.rung()), ("savings", Rung::Model));
    assert_eq!(answer.models[0].path(), ScoringPath::FactorisedSum);
    program.stop();
}

#[tokio::test]
async fn a_shortlist_is_seen_in_the_catalog_and_in_what_is_answered() {
    let folder = two_stages::folder("whole-trees", Some(("bench-linear", 1)));
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (rules, models) = (path("rules/bench"), path("models"));
    let arguments = ["--rules", &*rules, "--models", &models, "--customers", "5"];
    let mut program = Program::start(&arguments, &[]);
    let said = program.read_to("listening");
    let mut catalog = CatalogServiceClient::connect(address(&said)).await.unwrap();
    let described = catalog.get_catalog(GetCatalogRequest::default()).await.unwrap();
    let listed = described.into_inner().models;
    let shortlist = Shortlist {
        by: "bench-linear".to_owned(),
        keep: 1,
    };
    assert_eq!(listed[0].shortlist, Some(shortlist));
    assert_eq!((listed[0].groups.len(), listed[1].groups.len()), (7, 0));
    assert_eq!(
        (listed[0].path(), listed[1].path(), listed[1].shortlist.as_ref()),
        (ScoringPath::OnnxRuntime, ScoringPath::FactorisedSum, None)
    );
    let mut client = DecisionServiceClient::connect(address(&said)).await.unwrap();
    let mut request = hero("demo-000002");
    request.placements = vec![placement("list", 5)];
    let answer = client.get_offers(request).await.unwrap().into_inner();
    let offers = answer.placements[0].offers.iter();
    let rungs: Vec<Rung> = offers.map(wire::RankedOffer::rung).collect();
    assert!(rungs.len() == 5 && rungs.contains(&Rung::FirstStage), "{rungs:?}");
    assert_eq!((answer.rung(), answer.models.len()), (Rung::FirstStage, 2));
    program.stop();
}

#[test]
fn a_signal_that_comes_as_soon_as_it_is_ready_stops_it_in_order() {
    for _ in 0..5 {
        let mut program = Program::start(&["--customers", "1"], &[]);
        program.read_to("listening");
        program.stop();
    }
}

#[test]
fn files_with_faults_are_not_served() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), "ofers: []\n").unwrap();
    let mut program = Program::start(&["--rules", folder.path().to_str().unwrap()], &[]);
    let said = program.read_to("nothing is served");
    assert!(said.contains("a.yaml:1:1: error: unknown key `ofers`"), "{said}");
    assert!(!program.child.wait().unwrap().success());
}

#[test]
fn a_taken_address_is_told_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Command::new(env!("CARGO_BIN_EXE_nbo"))
        .args([
            "serve",
            "--customers",
            "1",
            "--durability",
            "none",
            "--listen",
            &address,
        ])
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let expected = format!("error: cannot listen on {address}, the address of --listen: Address already in use");
    assert!(said.starts_with(&expected) && said.lines().count() == 1, "{said}");
}

#[test]
fn who_reads_only_the_first_lines_is_not_told_of_a_fault() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nbo"))
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
    assert_eq!(ended.status.code(), Some(141));
}

#[test]
fn every_command_shows_an_example() {
    for command in [
        "agreement",
        "backup",
        "bench",
        "check",
        "erased",
        "explain",
        "health",
        "import",
        "load",
        "openapi",
        "replay",
        "restore",
        "schema",
        "serve",
        "sim",
        "token",
        "verify",
    ] {
        let help = Command::new(env!("CARGO_BIN_EXE_nbo"))
            .args([command, "--help"])
            .output()
            .unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(help.contains(&format!("\n  nbo {command}")), "{help}");
    }
}
