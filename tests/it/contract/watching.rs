//! Watching a list.

use std::path::Path;

use nbo::config::assembly::{Assembly, Place};
use nbo::engine::Active;
use nbo::server::reload::FileWatch;
use nbo::server::wire::{self, WatchCause};
use tokio::sync::mpsc;
use tonic::{Code, Streaming};

use super::{AFTER_FUND_SEARCH, BY_PRIORITY, events};
use crate::served::{self, CORNER_BANK, Served, customer, ids, placement, search};

fn watch(id: &str) -> wire::WatchOffersRequest {
    wire::WatchOffersRequest {
        customer: Some(customer(id)),
        channel: "call_centre".to_owned(),
        placements: vec![placement("agent_list", 3)],
        ..Default::default()
    }
}

async fn next(lists: &mut Streaming<wire::WatchOffersResponse>) -> (WatchCause, Vec<String>) {
    let list = lists.message().await.unwrap().unwrap();
    let offers = list.offers.as_ref().unwrap();
    assert!(offers.decision_id.is_empty(), "watching reserves nothing");
    (list.cause(), ids(offers).into_iter().map(str::to_owned).collect())
}

#[tokio::test]
async fn a_watcher_sees_the_list_at_once_and_whenever_it_changes() {
    let served = Served::start().await;
    served.begin("anna").await;
    let mut lists = served
        .decisions()
        .watch_offers(watch("anna"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        next(&mut lists).await,
        (WatchCause::Started, BY_PRIORITY.map(str::to_owned).to_vec())
    );
    served
        .behaviour()
        .record_events(events("anna", vec![search("e1", "fund")]))
        .await
        .unwrap();
    let moved = AFTER_FUND_SEARCH.map(str::to_owned).to_vec();
    assert_eq!(next(&mut lists).await, (WatchCause::CustomerChanged, moved));
}

#[tokio::test]
async fn a_watcher_is_not_told_what_changes_nothing() {
    let served = Served::start().await;
    served.begin("anna").await;
    let mut lists = served
        .decisions()
        .watch_offers(watch("anna"))
        .await
        .unwrap()
        .into_inner();
    next(&mut lists).await;
    let page_view = wire::Event {
        r#type: "page_view".to_owned(),
        attributes: [].into(),
        ..search("e1", "")
    };
    served
        .behaviour()
        .record_events(events("anna", vec![page_view]))
        .await
        .unwrap();
    served
        .behaviour()
        .record_events(events("anna", vec![search("e2", "fund")]))
        .await
        .unwrap();
    assert_eq!(
        next(&mut lists).await.1,
        AFTER_FUND_SEARCH,
        "the first push is that of the search"
    );
}

#[tokio::test]
async fn a_watcher_sees_the_list_of_a_new_catalog_and_the_end_of_the_server() {
    let mut reloader = None;
    let served = Served::start_with(CORNER_BANK, |server| {
        reloader = Some(server.reloader(Box::new(|before| Ok(Some(better_travel(before))))));
    })
    .await;
    served.begin("anna").await;
    let mut lists = served
        .decisions()
        .watch_offers(watch("anna"))
        .await
        .unwrap()
        .into_inner();
    next(&mut lists).await;
    let (ask, asked) = mpsc::channel(1);
    tokio::spawn(reloader.unwrap().run(asked));
    ask.send(()).await.unwrap();
    let travel_first = TRAVEL_FIRST.map(str::to_owned).to_vec();
    assert_eq!(next(&mut lists).await, (WatchCause::CatalogChanged, travel_first));
    let serving = served.stop();
    assert_eq!(lists.message().await.unwrap_err().code(), Code::Unavailable);
    drop(lists);
    serving.await.unwrap();
}

fn better_travel(before: &Active) -> Active {
    Active::new(served::catalog(&travel_first(), &before.catalog.symbols), Vec::new())
}

/// Starts a server whose rules are in `folder`, a watcher of its files, and somebody who watches their list.
async fn served_from(folder: &Path) -> (Served, FileWatch, Streaming<wire::WatchOffersResponse>) {
    let place = Place::Folders {
        rules: folder.to_owned(),
        models: folder.join("models"),
    };
    let mut assembly = Assembly::new(place, None, 1, None);
    let mut reloader = None;
    let served = Served::start_with(CORNER_BANK, |server| {
        reloader = Some(server.reloader(Box::new(move |in_force| assembly.again(in_force))));
    })
    .await;
    let reloader = reloader.unwrap();
    let (ask, asked) = mpsc::channel(1);
    let watcher = reloader.watch_files(&[folder.to_owned()], ask).unwrap();
    tokio::spawn(reloader.run(asked));
    served.begin("anna").await;
    let lists = served.decisions().watch_offers(watch("anna")).await.unwrap();
    (served, watcher, lists.into_inner())
}

const TRAVEL_FIRST: [&str; 3] = ["travel_insurance", "savings_easy", "fund_world"];

fn travel_first() -> String {
    CORNER_BANK.replace("id: travel, start_propensity: 0.1", "id: travel, start_propensity: 0.9")
}

#[tokio::test]
async fn a_changed_file_is_picked_up_however_the_editor_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("corner-bank.yaml");
    std::fs::write(&file, CORNER_BANK).unwrap();
    let (_served, _watcher, mut lists) = served_from(folder.path()).await;
    assert_eq!(next(&mut lists).await.1, BY_PRIORITY);

    std::fs::write(&file, travel_first()).unwrap();
    assert_eq!(next(&mut lists).await.1, TRAVEL_FIRST, "written in place");

    let beside = folder.path().join(".corner-bank.yaml.new");
    std::fs::write(&beside, CORNER_BANK).unwrap();
    std::fs::rename(&beside, &file).unwrap();
    assert_eq!(next(&mut lists).await.1, BY_PRIORITY, "renamed over");
}

#[cfg(unix)]
#[tokio::test]
async fn another_folder_in_the_place_of_the_old_one_is_picked_up_and_watched() {
    let folder = tempfile::tempdir().unwrap();
    let release = |name: &str, text: &str| {
        let release = folder.path().join(name);
        std::fs::create_dir_all(&release).unwrap();
        std::fs::write(release.join("corner-bank.yaml"), text).unwrap();
        release
    };
    let current = folder.path().join("current");
    std::os::unix::fs::symlink(release("first", CORNER_BANK), &current).unwrap();
    let (_served, _watcher, mut lists) = served_from(&current).await;
    assert_eq!(next(&mut lists).await.1, BY_PRIORITY);

    let turned = folder.path().join("turned");
    std::os::unix::fs::symlink(release("second", &travel_first()), &turned).unwrap();
    std::fs::rename(&turned, &current).unwrap();
    assert_eq!(next(&mut lists).await.1, TRAVEL_FIRST, "a link was turned");

    std::fs::write(current.join("corner-bank.yaml"), CORNER_BANK).unwrap();
    assert_eq!(next(&mut lists).await.1, BY_PRIORITY, "the new folder is watched");

    std::fs::remove_dir_all(folder.path().join("second")).unwrap();
    release("second", &travel_first());
    assert_eq!(next(&mut lists).await.1, TRAVEL_FIRST, "removed and made again");
}
