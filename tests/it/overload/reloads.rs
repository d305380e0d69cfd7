//! The catalog changes under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nbo::domain::symbol::Symbols;
use nbo::engine::Active;
use nbo::server::reload::Loaded;
use nbo::telemetry::Reloaded;
use tokio::task::JoinSet;

use crate::served::{CORNER_BANK, Served, catalog, hero, ids};

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
        let mut decisions = nbo::server::wire::decision_service_client::DecisionServiceClient::new(channel);
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
