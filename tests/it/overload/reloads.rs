//! The catalog changes under load.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nbo::domain::symbol::Symbols;
use nbo::engine::Active;
use nbo::server::reload::Loaded;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::{self, GetOffersResponse};
use nbo::telemetry::Reloaded;
use tokio::task::JoinSet;

use crate::clients::copy;
use crate::kills::program::Program;
use crate::served::{CORNER_BANK, Served, catalog, customer, hero, ids, placement};

/// How often the catalog changes.
const RELOADS: usize = 40;
/// Calls under way all the time, over four connections.
const CALLERS: usize = 128;

/// The catalog in which another group is the likeliest.
fn other_bank() -> String {
    let other = CORNER_BANK.replace(
        "{id: travel, start_propensity: 0.1}",
        "{id: travel, start_propensity: 0.9}",
    );
    assert_ne!(other, CORNER_BANK);
    other
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_catalog_changes_under_load_no_call_fails_and_every_answer_is_of_one_version() {
    let mut reloader = None;
    let mut is_other = false;
    let changing = move |before: &Active| -> Loaded {
        is_other = !is_other;
        let text = if is_other { other_bank() } else { CORNER_BANK.to_owned() };
        Ok(Some(Active::new(catalog(&text, &before.catalog.symbols), Vec::new())))
    };
    let served = Served::start_with(CORNER_BANK, |server| {
        reloader = Some(server.reloader(Box::new(changing)));
    })
    .await;
    let mut reloader = reloader.unwrap();
    let versions =
        [CORNER_BANK.to_owned(), other_bank()].map(|text| catalog(&text, &Symbols::default()).version.to_string());
    // What each version shows first, and nothing else.
    let first = BTreeMap::from([
        (versions[0].clone(), "savings_easy"),
        (versions[1].clone(), "travel_insurance"),
    ]);

    let (ended, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut channels = Vec::new();
    for _ in 0..4 {
        channels.push(served.connection().await);
    }
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let channel = channels[number % channels.len()].clone();
        let mut decisions = DecisionServiceClient::new(channel);
        let (ended, answered, first) = (Arc::clone(&ended), Arc::clone(&answered), first.clone());
        callers.spawn(async move {
            let mut seen = BTreeMap::<String, usize>::new();
            while !ended.load(Ordering::Relaxed) {
                let mut request = hero(&format!("customer-{number}"));
                request.preview = true;
                let answer = decisions.get_offers(request).await.unwrap().into_inner();
                assert_eq!(ids(&answer)[0], first[&answer.catalog_version], "{answer:?}");
                *seen.entry(answer.catalog_version).or_default() += 1;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            seen
        });
    }
    for _ in 0..RELOADS {
        let before = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < before + CALLERS {
            tokio::task::yield_now().await;
            assert!(callers.try_join_next().is_none(), "a caller gave up");
        }
        let reload = tokio::task::spawn_blocking(move || (reloader.reload(), reloader));
        let (result, again) = reload.await.unwrap();
        assert_eq!(result, Reloaded::Applied);
        reloader = again;
    }
    ended.store(true, Ordering::Relaxed);
    let mut seen = BTreeMap::<String, usize>::new();
    while let Some(caller) = callers.join_next().await {
        for (version, answers) in caller.unwrap() {
            *seen.entry(version).or_default() += answers;
        }
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(served.engine.active().generation, RELOADS as u64 + 1);
}

/// How often the bank's folder is exchanged for another one.
const DELIVERIES: usize = 6;

/// Delivers the bank's rules and model as a folder of their own, with this version of the model and this value of the first
/// offer of the group that it scores.
fn deliver(folder: &Path, version: &str, value: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&root.join("rules/bank"), &folder.join("rules"));
    copy(&root.join("models/bank"), &folder.join("models/bank"));
    for (file, before, after) in [
        (
            "rules/savings.yaml",
            "    value: 120\n",
            format!("    value: {value}\n"),
        ),
        (
            "models/bank/manifest.json",
            "\"version\": \"1\"",
            format!("\"version\": \"{version}\""),
        ),
    ] {
        let path = folder.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(before), "{file} has no {before}");
        fs::write(path, text.replace(before, &after)).unwrap();
    }
}

/// What an answer says of what it is made of: the version of the catalog and of its model, and the value of an offer.
fn made_of(answer: &GetOffersResponse) -> (String, String, u64) {
    let [model] = &answer.models[..] else {
        panic!("{:?}", answer.models)
    };
    assert!(model.loaded, "{model:?}");
    let offers = &answer.placements[0].offers;
    let offer = offers.iter().find(|offer| offer.offer_id == "savings_easy_access");
    let value = offer
        .unwrap_or_else(|| panic!("{offers:?}"))
        .factors
        .as_ref()
        .unwrap()
        .value;
    (answer.catalog_version.clone(), model.version.clone(), value.to_bits())
}

/// Asks without an end for what the bank's savings page shows, and returns what the answers were made of.
async fn page_views(
    mut decisions: DecisionServiceClient<tonic::transport::Channel>,
    load: Arc<Load>,
) -> BTreeSet<(String, String, u64)> {
    let mut seen = BTreeSet::new();
    while !load.ended.load(Ordering::Relaxed) {
        let request = wire::GetOffersRequest {
            customer: Some(customer("anybody")),
            channel: "web".to_owned(),
            placements: vec![placement("savings_page", 6)],
            preview: true,
            ..Default::default()
        };
        let answer = decisions.get_offers(request).await.unwrap().into_inner();
        let of = made_of(&answer);
        load.version.lock().unwrap().clone_from(&of.0);
        load.answered.fetch_add(1, Ordering::Relaxed);
        seen.insert(of);
    }
    seen
}

/// What callers have in common.
#[derive(Default)]
struct Load {
    ended: AtomicBool,
    answered: AtomicUsize,
    /// The catalog of the last answer.
    version: std::sync::Mutex<String>,
}

impl Load {
    /// Waits until answers come from another catalog than before, and returns its version.
    async fn other_than(&self, before: &str) -> String {
        loop {
            let version = self.version.lock().unwrap().clone();
            if !version.is_empty() && version != before {
                return version;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Points a link at another folder, in one step as deployments do.
fn exchange(link: &Path, folder: &Path) {
    let next: PathBuf = link.with_extension("next");
    symlink(folder, &next).unwrap();
    fs::rename(next, link).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_rules_and_model_are_exchanged_at_full_load_no_call_fails_and_every_answer_is_of_one_delivery() {
    let place = tempfile::tempdir().unwrap();
    let folders = ["one", "two"].map(|name| place.path().join(name));
    deliver(&folders[0], "1", "120");
    deliver(&folders[1], "2", "130");
    let current = place.path().join("current");
    exchange(&current, &folders[0]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_nbo"));
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--customers",
            "0",
            "--durability",
            "none",
        ])
        .arg("--rules")
        .arg(current.join("rules"))
        .arg("--models")
        .arg(current.join("models"));
    let mut program = Program::run(command);
    let (address, _) = program.ready().await;
    let load = Arc::new(Load::default());
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let channel = Program::connect(&address).await.unwrap();
        for _ in 0..8 {
            callers.spawn(page_views(
                DecisionServiceClient::new(channel.clone()),
                Arc::clone(&load),
            ));
        }
    }
    let mut version = String::new();
    for delivery in 0..DELIVERIES {
        version = load.other_than(&version).await;
        assert!(callers.try_join_next().is_none(), "a caller gave up");
        exchange(&current, &folders[(delivery + 1) % 2]);
    }
    load.other_than(&version).await;
    load.ended.store(true, Ordering::Relaxed);
    let mut seen = BTreeSet::new();
    while let Some(caller) = callers.join_next().await {
        seen.append(&mut caller.unwrap());
    }
    // One catalog with the first model and value, another one with the second.
    let made: BTreeSet<_> = seen
        .iter()
        .map(|(_, model, value)| format!("{model} {}", f64::from_bits(*value)))
        .collect();
    assert_eq!(Vec::from_iter(made), ["1 120", "2 130"], "{seen:?}");
    assert_eq!(seen.len(), 2, "{seen:?}");
    program.stop().await;
}
