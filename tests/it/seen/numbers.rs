//! `GET /metrics`.

#![expect(clippy::float_cmp, reason = "what is counted is whole")]

use std::collections::BTreeSet;
use std::sync::Arc;

use nbo::catalog::load;
use nbo::catalog::manifest::Manifest;
use nbo::clock::ManualClock;
use nbo::config::files;
use nbo::domain::symbol::Symbols;
use nbo::domain::time::Millis;
use nbo::engine::{Active, Engine, Limits};
use nbo::model::{Loaded, Wanted};
use nbo::server::Server;
use nbo::server::wire;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::rank_customers_request::Audience;
use nbo::telemetry::Reloaded;
use nbo::telemetry::names::{Kind, NAMES};
use tokio::net::TcpListener;

use super::exposition::{Families, read, value};
use super::{metrics, page};
use crate::served::{CORNER_BANK, MORNING, Served, catalog, hero, placement, search};

async fn numbers(served: &Served) -> Families {
    read(&metrics(served).await)
}

/// Starts a server of which every decision is watched.
async fn watched() -> Served {
    Served::start_with(CORNER_BANK, |server| server.watch_every(1)).await
}

#[tokio::test]
async fn every_documented_number_is_served_and_no_other() {
    let served = watched().await;
    served.begin("anna").await;
    served.decisions().get_offers(hero("anna")).await.unwrap();
    let served_names: BTreeSet<String> = numbers(&served).await.into_keys().collect();
    // Without a model there is nothing to say of one.
    let of_models = |name: &str| name.starts_with("nbo_model_");
    let documented = NAMES.iter().map(|name| name.name).filter(|name| !of_models(name));
    let documented: BTreeSet<String> = documented.map(str::to_owned).collect();
    assert_eq!(served_names, documented);
    let doc = include_str!("../../../src/telemetry/mod.rs");
    for name in NAMES {
        assert!(
            doc.contains(&format!("`{}`", name.name)),
            "the table does not have {}",
            name.name
        );
    }
}

#[tokio::test]
async fn kinds_help_and_labels_are_as_documented() {
    let served = watched().await;
    served.decisions().get_offers(hero("anna")).await.unwrap();
    let families = numbers(&served).await;
    for (name, family) in &families {
        let documented = NAMES.iter().find(|documented| documented.name == name).unwrap();
        let kind = match documented.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Info => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!(
            (family.kind.as_str(), family.help.as_str()),
            (kind, documented.help),
            "{name}"
        );
        for sample in &family.samples {
            let labels: BTreeSet<&str> = sample
                .labels
                .keys()
                .map(String::as_str)
                .filter(|label| *label != "le")
                .collect();
            assert_eq!(labels, documented.labels.iter().copied().collect(), "{sample:?}");
        }
    }
}

#[tokio::test]
async fn calls_decisions_and_stages_are_counted() {
    let served = watched().await;
    served.begin("anna").await;
    for _ in 0..3 {
        served.decisions().get_offers(hero("anna")).await.unwrap();
    }
    let wrong = wire::GetOffersRequest {
        channel: "fax".to_owned(),
        ..hero("anna")
    };
    served.decisions().get_offers(wrong).await.unwrap_err();
    let families = numbers(&served).await;
    let method = ("method", "DecisionService/GetOffers");
    assert_eq!(value(&families, "nbo_calls_total", &[method, ("code", "ok")]), 3.0);
    assert_eq!(
        value(&families, "nbo_calls_total", &[method, ("code", "invalid_argument")]),
        1.0
    );
    assert_eq!(value(&families, "nbo_call_seconds_count", &[method]), 4.0);
    assert_eq!(value(&families, "nbo_refused_total", &[("because_of", "caller")]), 1.0);
    assert_eq!(
        value(&families, "nbo_channel_decisions_total", &[("channel", "web")]),
        3.0
    );
    assert_eq!(
        value(
            &families,
            "nbo_decisions_total",
            &[("rung", "start"), ("cached", "true")]
        ),
        2.0
    );
    assert_eq!(value(&families, "nbo_shown_offers_total", &[("group", "savings")]), 3.0);
    for stage in ["convert", "lookup", "fold", "fill", "reserve", "keep", "answer"] {
        assert_eq!(
            value(&families, "nbo_stage_seconds_count", &[("stage", stage)]),
            3.0,
            "{stage}"
        );
    }
    assert_eq!(value(&families, "nbo_stage_seconds_count", &[("stage", "gate")]), 1.0);
    // The insurance may be shown once an hour.
    assert_eq!(value(&families, "nbo_stopped_offers_total", &[("reason", "cap")]), 2.0);
    let limit = [("kind", "cap"), ("limit", "travel_once_an_hour")];
    assert_eq!(value(&families, "nbo_binding_limits_total", &limit), 2.0);
    assert_eq!(value(&families, "nbo_customers", &[]), 1.0);
    assert!(value(&families, "nbo_connections", &[]) >= 2.0);
}

#[tokio::test]
async fn every_reservation_is_open_until_it_is_confirmed_cancelled_or_timed_out() {
    let served = watched().await;
    served.begin("anna").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
        ids.push(answer.decision_id);
    }
    let families = numbers(&served).await;
    let (made, open) = (
        value(&families, "nbo_reserved_contacts_total", &[]),
        value(&families, "nbo_open_contacts", &[]),
    );
    assert_eq!((made, open), (7.0, 7.0));
    let seen = |id: &str| wire::RecordOutcomeRequest {
        decision_id: id.to_owned(),
        offer_id: "savings_easy".to_owned(),
        outcome: wire::Outcome::Seen.into(),
        ..Default::default()
    };
    served.behaviour().record_outcome(seen(&ids[0])).await.unwrap();
    served.behaviour().record_outcome(seen(&ids[0])).await.unwrap();
    let cancel = wire::CancelRequest {
        decision_id: ids[1].clone(),
        ..Default::default()
    };
    served.behaviour().cancel(cancel).await.unwrap();
    served.clock.advance(Millis::HOUR);
    served.behaviour().record_outcome(seen(&ids[2])).await.unwrap();
    let families = numbers(&served).await;
    let counted = [
        "confirmed_contacts_total",
        "cancelled_contacts_total",
        "timed_out_contacts_total",
        "late_outcomes_total",
        "open_contacts",
    ]
    .map(|name| value(&families, &format!("nbo_{name}"), &[]));
    assert_eq!(counted, [1.0, 2.0, 4.0, 1.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_campaign_reserves_is_counted_once_as_what_a_call_reserves() {
    let served = watched().await;
    for name in ["anna", "bert", "carl"] {
        served.begin(name).await;
    }
    let run = |reserve: bool| wire::RankCustomersRequest {
        audience: Some(Audience::Everyone(true)),
        channel: "web".to_owned(),
        placement: Some(placement("home_hero", 1)),
        reserve,
        run_id: if reserve { "spring".to_owned() } else { String::new() },
        ..Default::default()
    };
    let mut told = Vec::new();
    // The second time under the same name everybody hears what was said before.
    for reserve in [false, true, true] {
        let mut stream = served
            .campaigns()
            .rank_customers(run(reserve))
            .await
            .unwrap()
            .into_inner();
        while let Some(message) = stream.message().await.unwrap() {
            told.extend(message.customers);
        }
    }
    assert_eq!(told.len(), 9);
    let reservations = |families: &Families| {
        ["reserved_contacts_total", "confirmed_contacts_total", "open_contacts"]
            .map(|name| value(families, &format!("nbo_{name}"), &[]))
    };
    assert_eq!(reservations(&numbers(&served).await), [3.0, 0.0, 3.0]);
    let given = &told[8];
    let seen = wire::RecordOutcomeRequest {
        decision_id: given.decision_id.clone(),
        offer_id: given.offers[0].offer_id.clone(),
        outcome: wire::Outcome::Seen.into(),
        ..Default::default()
    };
    served.behaviour().record_outcome(seen).await.unwrap();
    assert_eq!(reservations(&numbers(&served).await), [3.0, 1.0, 2.0]);
}

/// The bank with its model.
fn bank() -> Active {
    let files = files::embedded();
    let catalog = Arc::new(load(&files.catalog, &Symbols::default()).unwrap());
    let manifest = Manifest::parse(&files.catalog.models["bank"]).unwrap();
    let model = Loaded::load(None, &files.models["bank"], &manifest, 1).unwrap();
    let scorer = model.scorer(&catalog, 0, &Wanted::Best).unwrap();
    Active::new(catalog, vec![Some(scorer)])
}

#[tokio::test]
async fn nothing_is_told_of_the_drift_of_a_model_that_a_reload_took_away() {
    let engine = Engine::new(bank(), Limits::default());
    let server = Server::new(Arc::new(engine), Arc::new(ManualClock::new(MORNING)));
    let without = |before: &Active| {
        Ok(Some(Active::new(
            catalog(CORNER_BANK, &before.catalog.symbols),
            Vec::new(),
        )))
    };
    let mut reloader = server.reloader(Box::new(without));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let running = tokio::spawn(server.serve(listener, std::future::pending()));
    let drift = ["nbo_model_score_shift", "nbo_model_reference_scores", "nbo_model_info"];
    let before = read(&page(&address, "/metrics").await.unwrap().1);
    assert!(drift.iter().all(|name| before.contains_key(*name)), "{before:?}");
    assert_eq!(reloader.reload(), Reloaded::Applied);
    let after = read(&page(&address, "/metrics").await.unwrap().1);
    assert!(drift.iter().all(|name| !after.contains_key(*name)), "{after:?}");
    running.abort();
}

#[tokio::test]
async fn models_are_named_with_the_propensities_that_were_shown() {
    let engine = Engine::new(bank(), Limits::default());
    let server = Server::new(Arc::new(engine), Arc::new(ManualClock::new(MORNING)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let running = tokio::spawn(server.serve(listener, std::future::pending()));
    let mut decisions = DecisionServiceClient::connect(address.clone()).await.unwrap();
    let request = wire::GetOffersRequest {
        placements: vec![placement("best_offers", 3)],
        ..hero("anna")
    };
    let shown = decisions.get_offers(request).await.unwrap().into_inner();
    let offers = &shown.placements[0].offers;
    let by_model = offers.iter().filter(|offer| offer.rung() == wire::Rung::Model);
    let propensities: Vec<f64> = by_model
        .map(|offer| f64::from(offer.factors.unwrap().propensity))
        .collect();
    let families = read(&page(&address, "/metrics").await.unwrap().1);
    let bank = [("model", "bank")];
    assert!(!propensities.is_empty());
    assert_eq!(
        value(&families, "nbo_model_score_count", &bank),
        propensities.len() as f64
    );
    assert!((value(&families, "nbo_model_score_sum", &bank) - propensities.iter().sum::<f64>()).abs() < 1e-6);
    assert_eq!(
        value(&families, "nbo_model_reference_scores", &bank),
        propensities.len() as f64
    );
    assert_eq!(value(&families, "nbo_model_info", &[("path", "factorised_sum")]), 1.0);
    assert_eq!(value(&families, "nbo_models", &[("path", "factorised_sum")]), 1.0);
    let names: BTreeSet<&str> = families.keys().map(String::as_str).collect();
    assert_eq!(names, NAMES.iter().map(|name| name.name).collect());
    running.abort();
}

#[tokio::test]
async fn labels_stay_few_whatever_callers_send() {
    let served = watched().await;
    let channel = served.channel();
    let mut decisions = DecisionServiceClient::new(channel);
    let lines = |families: &Families| -> BTreeSet<String> {
        let samples = families.values().flat_map(|family| &family.samples);
        samples
            .map(|sample| format!("{} {:?}", sample.name, sample.labels))
            .collect()
    };
    // The first look is counted at the second one.
    let mut before = lines(&numbers(&served).await);
    for round in 0..3 {
        for number in 0..60 {
            let name = format!("visitor-{round}-{number}");
            let request = wire::GetOffersRequest {
                placements: vec![placement(if number % 3 == 0 { &name } else { "home_hero" }, 3)],
                events: vec![search(&name, if number % 2 == 0 { "fund" } else { &name })],
                ..hero(&name)
            };
            let _ = decisions.get_offers(request).await;
            let path = format!("/{name}?customer={name}");
            let _ = super::get(&served, &path).await;
        }
        let families = numbers(&served).await;
        let text = format!("{families:?}");
        assert!(!text.contains("visitor-"), "a caller's text became a label");
        if round > 0 {
            let more: Vec<String> = lines(&families).difference(&before).cloned().collect();
            assert_eq!(more, Vec::<String>::new(), "more calls made more lines");
        }
        before = lines(&families);
    }
    assert!(before.len() < 1_500, "{} lines", before.len());
}
