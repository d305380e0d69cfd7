//! `nbo load` against a real server: what it counts is what the server did.

use std::process::ExitCode;

use clap::Parser;
use nbo::cli::load::Args;

use crate::served::Served;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

async fn run(served: &Served, options: &[&str]) -> (bool, serde_json::Value) {
    let words = [
        "load",
        "--to",
        &served.address,
        "--json",
        "--customers",
        "20",
        "--connections",
        "2",
    ];
    let command = Command::parse_from(words.iter().chain(options));
    let mut out = Vec::new();
    let (code, out) = tokio::task::spawn_blocking(move || (command.args.run(&mut out), out))
        .await
        .unwrap();
    (
        code.unwrap() == ExitCode::SUCCESS,
        serde_json::from_slice(&out).unwrap(),
    )
}

#[tokio::test]
async fn every_kind_of_call_is_made_at_the_rate_that_was_asked_for_and_none_fails() {
    let served = Served::start().await;
    let (good, report) = run(&served, &["--rate", "500", "--duration", "200ms"]).await;
    assert!(good, "{report:#}");
    let calls = report["calls"].as_array().unwrap();
    let made: Vec<(&str, u64)> = calls
        .iter()
        .map(|call| (call["call"].as_str().unwrap(), call["paced"]["calls"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        made,
        [
            ("floor", 100),
            ("http-floor", 100),
            ("offers-cached", 100),
            ("json", 100),
            ("stream", 100),
            ("offers", 100),
            ("events", 100)
        ]
    );
    let cached: Vec<f64> = calls
        .iter()
        .map(|call| call["paced"]["shares"]["cached"].as_f64().unwrap())
        .collect();
    assert_eq!(cached[..6], [0.0, 0.0, 1.0, 1.0, 1.0, 0.0], "{report:#}");
    // Ten customers were only read, which a preview does without a trace; the other ten were written.
    assert!(
        (1..=10).contains(&served.engine.customers()),
        "{}",
        served.engine.customers()
    );
}

#[tokio::test]
async fn top_rates_are_measured_in_turns_with_the_floor() {
    let served = Served::start().await;
    let (good, report) = run(
        &served,
        &["--rate", "max", "--duration", "100ms", "--calls", "offers-cached"],
    )
    .await;
    assert!(good, "{report:#}");
    let calls = report["calls"].as_array().unwrap();
    let names: Vec<&str> = calls.iter().map(|call| call["call"].as_str().unwrap()).collect();
    assert_eq!(names, ["floor", "offers-cached"]);
    for call in calls {
        assert!(
            call["top"]["calls"].as_u64().unwrap() > 0 && call["paced"].is_null(),
            "{report:#}"
        );
    }
    assert_eq!(calls[0]["share_of_floor"], 1.0);
}

#[tokio::test]
async fn more_than_can_be_answered_is_counted_as_answered_or_refused() {
    let served = Served::start().await;
    let options = [
        "--rate",
        "max",
        "--overload",
        "5",
        "--duration",
        "300ms",
        "--calls",
        "offers-cached",
    ];
    let (good, report) = run(&served, &options).await;
    assert!(good, "{report:#}");
    let calls = report["calls"].as_array().unwrap();
    // What does nothing cannot be refused for less than it costs.
    assert!(
        calls[0]["call"] == "floor" && calls[0]["flooded"].is_null(),
        "{report:#}"
    );
    assert!(calls.len() > 1);
    for call in &calls[1..] {
        let (top, flooded) = (&call["top"], &call["flooded"]);
        assert!(flooded["top_rate"].as_f64().unwrap() > 0.0, "{report:#}");
        let wanted = flooded["rate_wanted"].as_f64().unwrap() / top["rate"].as_f64().unwrap();
        assert!((wanted - 5.0).abs() < 1e-6, "{report:#}");
        assert!(flooded["calls"].as_u64().unwrap() > 0, "{report:#}");
        // Neither fails otherwise, and as many as can be answered are not refused.
        for errors in ["errors", "top_errors"] {
            assert!(flooded[errors].as_object().unwrap().is_empty(), "{report:#}");
        }
    }
}
