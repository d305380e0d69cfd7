//! `nbo simulate` as people and scripts run it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::world::{BASE, Traffic, World, write_rules};
use crate::durable;

fn nbo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nbo"))
        .args(arguments)
        .env_remove("NBO_DATA")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8(output.stderr.clone()).unwrap()
}

/// Every file below a folder with its bytes.
fn bytes(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(bytes(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

struct Simulated {
    world: World,
    tried: PathBuf,
}

impl Simulated {
    fn new(tried: &str) -> Self {
        let world = World::new(BASE);
        Traffic::new(3, 20).play(&world.engine, 300);
        let tried = write_rules(world.root.path(), "new", tried);
        Self { world, tried }
    }

    fn run(&self, more: &[&str]) -> Output {
        let data = self.world.data();
        let models = self.tried.join("models");
        let own = [
            "simulate",
            data.to_str().unwrap(),
            "--rules",
            self.tried.to_str().unwrap(),
            "--models",
            models.to_str().unwrap(),
        ];
        nbo(&[&own, more].concat())
    }
}

fn lowered() -> String {
    BASE.replace("at_most: 6, of: seen", "at_most: 1, of: seen")
}

#[test]
fn a_folder_in_use_is_read_without_changing_a_byte_and_gives_the_same_bytes_every_time() {
    let simulated = Simulated::new(&lowered());
    let before = bytes(&simulated.world.data());
    let html = simulated.world.root.path().join("report.html");
    for options in [&[][..], &["--json"], &["--all"], &["--html", html.to_str().unwrap()]] {
        let [one, other] = ["1", "3"].map(|threads| simulated.run(&[options, &["--threads", threads]].concat()));
        assert!(one.status.success(), "{}", text(&one));
        assert!(!one.stdout.is_empty() && one.stdout == other.stdout, "{}", text(&other));
    }
    assert_eq!(bytes(&simulated.world.data()), before);
}

#[test]
fn the_table_says_what_moves_most_and_json_has_everything() {
    let simulated = Simulated::new(&lowered());
    let table = text(&simulated.run(&[]));
    for wanted in [
        "all come out the same again, bit for bit",
        "another first offer",
        "seen_offer",
        "the changed catalog sees what it showed itself",
    ] {
        assert!(table.contains(wanted), "{wanted}: {table}");
    }
    assert!(
        !table.contains("fund.adult"),
        "what does not change is not shown: {table}"
    );
    assert!(text(&simulated.run(&["--all"])).contains("fund.adult"));
    let report: serde_json::Value = serde_json::from_slice(&simulated.run(&["--json"]).stdout).unwrap();
    let row = |list: &str, key: &str, id: &str| {
        let rows = report[list].as_array().unwrap();
        rows.iter().find(|row| row[key] == id).unwrap().clone()
    };
    let recorded: u64 = simulated.world.recorded_decisions().iter().sum();
    assert_eq!(report["decisions"]["made"], recorded);
    assert_eq!(report["decisions"]["not_reproduced"], 0);
    assert_eq!(report["offers"].as_array().unwrap().len(), 4);
    let cap = row("limits", "limit", "seen_offer");
    assert!(
        cap["withheld"]["after"].as_u64() > cap["withheld"]["before"].as_u64(),
        "{cap}"
    );
    assert_eq!((&cap["kind"], &cap["because"]), (&"cap".into(), &"seen often".into()));
    assert_eq!(row("rules", "rule", "fund.adult")["stage"], "eligibility");
}

#[test]
fn the_page_needs_nothing_from_anywhere_and_every_plot_is_told_in_words() {
    let simulated = Simulated::new(&lowered().replace("because: seen often", "because: 'often <b>&</b>'"));
    let path = simulated.world.root.path().join("report.html");
    let run = simulated.run(&["--html", path.to_str().unwrap()]);
    assert!(text(&run).contains("report.html"), "{}", text(&run));
    let page = fs::read_to_string(path).unwrap();
    let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
    for foreign in ["http://", "https://", "<script", "<link", "@import", "url("] {
        assert!(!elsewhere.contains(foreign), "{foreign}");
    }
    let plots = page.matches("<svg role=\"img\"").count();
    assert!(plots >= 5, "{plots} plots");
    assert_eq!(page.matches("<desc>").count(), plots);
    assert!(page.contains("prefers-color-scheme: dark"));
    assert!(page.contains("often &lt;b&gt;&amp;&lt;/b&gt;") && !page.contains("often <b>"));
    for tag in ["svg", "table", "details", "ul", "main"] {
        let (opened, closed) = (
            page.matches(&format!("<{tag}")).count(),
            page.matches(&format!("</{tag}>")).count(),
        );
        assert_eq!(opened, closed, "{tag}");
    }
}

#[test]
fn rules_with_faults_are_refused_as_check_refuses_them() {
    let simulated = Simulated::new(
        &BASE
            .replace("at_most: 6", "at_mst: 6")
            .replace("profile.age >=", "profile.agee >="),
    );
    let rules = simulated.tried.to_str().unwrap();
    let models = simulated.tried.join("models");
    for options in [&[][..], &["--json"]] {
        let checked = nbo(&[&["check", rules, "--models", models.to_str().unwrap()], options].concat());
        let refused = simulated.run(options);
        assert_eq!(text(&refused), text(&checked));
        assert_eq!(refused.status.code(), checked.status.code());
        assert_eq!(refused.status.code(), Some(1));
    }
    assert!(text(&simulated.run(&[])).contains("did you mean profile.age?"));
}

#[test]
fn a_period_or_folder_without_decisions_is_refused_and_it_is_said_what_there_is() {
    let simulated = Simulated::new(BASE);
    for (options, wanted) in [
        (
            &["--from", "2026-03-05", "--to", "2026-03-04"][..],
            "--from is 2026-03-04T23:00:00Z and --to is 2026-03-03T23:00:00Z: no moment lies between them",
        ),
        (&["--to", "2026-03-02T09:00:00Z"], "no decision in that period"),
        (&["--to", "2026-03-02T09:00:00Z"], "keeps decisions from 2026-03-02T09:"),
        (
            &["--from", "yesterday"],
            "write an instant with its offset, as in 2026-11-28T09:00:00Z, or a date",
        ),
        (&["--from", "2026-03-02T09:00:00"], "write an instant with its offset"),
        (&["--threads", "0"], "0"),
    ] {
        let run = simulated.run(options);
        assert!(
            !run.status.success() && text(&run).contains(wanted),
            "{options:?}: {}",
            text(&run)
        );
    }
    let rules = simulated.tried.to_str().unwrap();
    let empty = simulated.world.root.path().join("empty");
    let missing = nbo(&["simulate", empty.to_str().unwrap(), "--rules", rules]);
    assert!(
        !missing.status.success() && text(&missing).contains("this is no data folder"),
        "{}",
        text(&missing)
    );
    assert!(!empty.exists(), "nothing was made");
    let quiet = World::new(BASE);
    let none = nbo(&["simulate", quiet.data().to_str().unwrap(), "--rules", rules]);
    assert!(
        !none.status.success() && text(&none).contains("keeps no decision"),
        "{}",
        text(&none)
    );
}

#[tokio::test]
async fn the_bank_is_simulated_with_its_model_while_it_is_served() {
    let root = tempfile::tempdir().unwrap();
    let (data, bank, tried) = (
        root.path().join("data"),
        root.path().join("bank"),
        root.path().join("tried"),
    );
    durable::rules(&bank);
    durable::rules(&tried);
    let server = durable::Server::start(&data, &bank, &["--customers", "40"]);
    let mut first = BTreeMap::<String, u64>::new();
    for number in 1..=40 {
        let answer = server.ask(&format!("demo-{number:06}")).await;
        if let Some(offer) = answer.placements[0].offers.first() {
            *first.entry(offer.offer_id.clone()).or_default() += 1;
        }
    }
    let (favourite, times) = first.iter().max_by_key(|(_, times)| **times).unwrap();
    let simulate = |rules: &Path| {
        let run = nbo(&[
            "simulate",
            data.to_str().unwrap(),
            "--rules",
            rules.to_str().unwrap(),
            "--models",
            concat!(env!("CARGO_MANIFEST_DIR"), "/models"),
            "--json",
        ]);
        assert!(run.status.success(), "{}", text(&run));
        serde_json::from_slice::<serde_json::Value>(&run.stdout).unwrap()
    };
    let same = simulate(&bank);
    let decisions = first.values().sum::<u64>();
    assert_eq!(same["decisions"]["made"], decisions);
    assert_eq!(
        (&same["decisions"]["not_reproduced"], &same["decisions"]["list_changed"]),
        (&0.into(), &0.into())
    );
    // Without the first offer of most answers, exactly those answers have another first offer.
    let mut is_gone = false;
    for entry in fs::read_dir(&tried).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let id = format!("id: {favourite}\n");
        if text.contains(&id) {
            fs::write(
                &path,
                text.replacen(
                    &id,
                    &format!("{id}    eligibility: [{{id: never, when: 'false'}}]\n"),
                    1,
                ),
            )
            .unwrap();
            is_gone = true;
        }
    }
    assert!(is_gone, "{favourite} is in no file");
    let changed = simulate(&tried);
    assert_eq!(changed["decisions"]["first_changed"], *times, "{favourite}");
    server.stop();
}
