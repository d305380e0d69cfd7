//! `nbo top`.

use std::process::Command;

use nbo::cli::top::{Figures, Numbers, draw, text};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::metrics;
use crate::served::{CORNER_BANK, Served, hero};

/// Looks at a server before and after some calls, two seconds apart.
async fn figures() -> Figures {
    let served = Served::start_with(CORNER_BANK, |server| server.watch_every(1)).await;
    served.begin("anna").await;
    let before = Numbers::read(&metrics(&served).await, 0);
    for _ in 0..10 {
        served.decisions().get_offers(hero("anna")).await.unwrap();
    }
    Figures::between(&before, &Numbers::read(&metrics(&served).await, 2_000_000_000))
}

#[tokio::test]
async fn one_screen_of_80_by_24_shows_what_a_server_is_doing() {
    let figures = figures().await;
    let screen = text(&figures, (80, 24)).unwrap();
    for shown in [
        "ready",
        "corner-bank",
        "GetOffers",
        "by start",
        "travel_once_an_hour",
        "customers",
        "journal",
        "q quits",
        "fill",
    ] {
        assert!(screen.contains(shown), "{shown} is not on\n{screen}");
    }
    let calls = screen.lines().find(|line| line.contains("GetOffers")).unwrap();
    let words: Vec<&str> = calls.split_whitespace().collect();
    assert_eq!(words[1..3], ["5", "0"], "{calls}");
    assert_eq!(screen.lines().count(), 24);
    assert!(screen.lines().all(|line| line.chars().count() <= 80));
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_in_place_of_old_news() {
    let figures = figures().await;
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal
        .draw(|frame| draw(frame, &figures, Some("no numbers from there")))
        .unwrap();
    let screen = terminal.backend().to_string();
    assert!(
        screen.contains("no numbers from there") && !screen.contains("in force for"),
        "{screen}"
    );
}

#[tokio::test]
async fn a_terminal_that_is_too_small_is_no_fault() {
    let figures = figures().await;
    for size in [(1, 1), (20, 5), (79, 23), (200, 60)] {
        assert_eq!(text(&figures, size).unwrap().lines().count(), usize::from(size.1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_get_a_screen_as_text_or_numbers_as_json() {
    let served = Served::start().await;
    served.decisions().get_offers(hero("anna")).await.unwrap();
    let address = served.address.clone();
    let run = |how: &'static str| {
        let address = address.clone();
        tokio::task::spawn_blocking(move || {
            let program = env!("CARGO_BIN_EXE_nbo");
            Command::new(program)
                .args(["top", how, "--every", "0.1", "--to", &address])
                .output()
                .unwrap()
        })
    };
    let once = run("--once").await.unwrap();
    let screen = String::from_utf8(once.stdout).unwrap();
    assert!(once.status.success() && screen.contains("corner-bank"), "{screen}");
    let json = run("--json").await.unwrap();
    let figures: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(figures["server"]["ready"], true);
    assert_eq!(figures["memory"]["customers"], 1.0);
}

#[test]
fn nobody_there_is_said_in_one_line() {
    let program = env!("CARGO_BIN_EXE_nbo");
    let output = Command::new(program)
        .args(["top", "--to", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        told.contains("http://127.0.0.1:1/metrics; is `nbo serve` running there?"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}
