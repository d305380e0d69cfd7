//! The files of `deploy/`: what they name exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nbo::server::limits::SHUTDOWN_GRACE;
use nbo::telemetry::names::{Kind, NAMES, Name};

use super::get;
use crate::served::Served;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn text(file: &str) -> String {
    fs::read_to_string(deploy().join(file)).unwrap()
}

/// Labels that Prometheus adds by itself.
const ADDED: [&str; 3] = ["job", "instance", "le"];

/// Finds the number that a name in a query means.
fn meant(word: &str) -> Option<&'static Name> {
    let part = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|end| word.strip_suffix(end));
    NAMES.iter().find(|name| match name.kind {
        Kind::Histogram => part == Some(name.name),
        _ => word == name.name,
    })
}

fn is_of_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// Checks one query: numbers that exist, chosen and grouped by labels that they have.
fn check(query: &str, from: &str) {
    let words: Vec<&str> = query
        .split(|char| !is_of_word(char))
        .filter(|word| word.starts_with("nbo_"))
        .collect();
    assert!(
        !words.is_empty() || query.starts_with("up{"),
        "{from}: `{query}` names no number"
    );
    let mut labels: BTreeSet<&str> = ADDED.into();
    for word in words {
        let name = meant(word).unwrap_or_else(|| panic!("{from}: `{query}` names `{word}`, which is not served"));
        labels.extend(name.labels);
    }
    let chosen = query.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let chosen = chosen
        .flat_map(|inner| inner.split(','))
        .filter_map(|one| one.split(['=', '!']).next());
    let grouped = query
        .split("by (")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .flat_map(|inner| inner.split(','));
    for label in chosen.chain(grouped).map(str::trim) {
        assert!(
            labels.contains(label),
            "{from}: `{query}` uses the label `{label}`, which none of its numbers has"
        );
    }
}

#[test]
fn every_query_of_the_dashboard_is_about_numbers_that_are_served() {
    let board: serde_json::Value = serde_json::from_str(&text("grafana/nbo.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let mut queries = 0;
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have one id");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            check(query, panel["title"].as_str().unwrap());
            let legend = target["legendFormat"].as_str().unwrap();
            for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
                assert!(
                    query.contains(label) || query.contains("_info") || query.starts_with("nbo_"),
                    "{legend} of {query}"
                );
            }
            queries += 1;
        }
    }
    assert!(queries > 40, "{queries}");
}

#[test]
fn every_alert_is_about_numbers_that_are_served() {
    let alerts = text("prometheus/alerts.yaml");
    let queries: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .collect();
    assert_eq!(queries.len(), alerts.matches("- alert: ").count());
    for query in queries {
        check(query, "alerts.yaml");
    }
}

#[tokio::test]
async fn every_probe_asks_a_page_that_is_served() {
    let manifests = text("kubernetes/nbo.yaml");
    let served = Served::start().await;
    let paths: Vec<&str> = manifests
        .lines()
        .filter_map(|line| line.trim().strip_prefix("path: "))
        .collect();
    assert_eq!(paths.len(), 3);
    for path in paths {
        assert_eq!(get(&served, path).await.unwrap().0, 200, "{path}");
    }
}

#[test]
fn every_setting_exists() {
    let help = Command::new(env!("CARGO_BIN_EXE_nbo"))
        .args(["serve", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for file in ["kubernetes/nbo.yaml", "docker/Dockerfile", "systemd/nbo.service"] {
        let text = text(file);
        let settings = text
            .split(|char| !is_of_word(char))
            .filter(|word| word.starts_with("NBO_"));
        for setting in settings {
            assert!(
                help.contains(&format!("[env: {setting}=")),
                "{file}: `nbo serve` does not know {setting}"
            );
        }
        let command = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap_or_default();
        for option in command.split_whitespace().filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{file}: `nbo serve` does not know {option}");
        }
        assert!(
            text.contains("ORT_DISABLE_TELEMETRY"),
            "{file} lets ONNX Runtime report home"
        );
    }
}

#[test]
fn whoever_stops_it_waits_for_the_calls_under_way_and_the_last_checkpoint() {
    let seconds = |file: &str, key: &str| -> u64 {
        let text = text(file);
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap();
        line.trim_matches([':', '=', ' ']).parse().unwrap()
    };
    for (file, key) in [
        ("systemd/nbo.service", "TimeoutStopSec"),
        ("kubernetes/nbo.yaml", "terminationGracePeriodSeconds"),
    ] {
        assert!(seconds(file, key) >= SHUTDOWN_GRACE.as_secs() + 120, "{file}");
    }
}

/// The settings of a manifest that begin with `NBO_`, as its lines say them.
fn settings(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(|line| line.trim().trim_end_matches('\\').trim());
    let pairs = lines.filter_map(|line| line.split_once(": ").or_else(|| line.split_once('=')));
    let ours = pairs.filter(|(name, _)| name.starts_with("NBO_"));
    ours.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

#[test]
fn a_container_starts_with_its_own_settings_as_soon_as_it_has_a_certificate_and_tokens_and_not_before() {
    for file in ["kubernetes/nbo.yaml", "docker/Dockerfile"] {
        let folder = tempfile::tempdir().unwrap();
        let certificate = rcgen::generate_simple_self_signed(["nbo".to_owned()]).unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put("tls.crt", &certificate.cert.pem());
        put("tls.key", &certificate.signing_key.serialize_pem());
        let token = Command::new(env!("CARGO_BIN_EXE_nbo"))
            .args(["token", "new", "--name", "a", "--roles", "operate", "--line-to"])
            .arg(folder.path().join("tokens"))
            .output()
            .unwrap();
        assert!(token.status.success());
        let root = env!("CARGO_MANIFEST_DIR");
        let serve = |is_whole: bool| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_nbo"));
            command
                .args(["serve", "--customers", "0"])
                .stderr(std::process::Stdio::null());
            for (name, value) in settings(&text(file)) {
                let name_of_file = value.rsplit('/').next().unwrap_or_default().to_owned();
                let value = match name.as_str() {
                    "NBO_LISTEN" | "NBO_ADMIN" => value.replace(":50051", ":0").replace(":50052", ":0"),
                    "NBO_RULES" => format!("{root}/rules/bank"),
                    "NBO_MODELS" => format!("{root}/models"),
                    "NBO_DATA" => folder.path().join("data").display().to_string(),
                    "NBO_TLS_CERT" | "NBO_TLS_KEY" | "NBO_TOKENS" => {
                        if !is_whole && name == "NBO_TOKENS" {
                            continue;
                        }
                        folder.path().join(name_of_file).display().to_string()
                    }
                    _ => value,
                };
                command.env(name, value);
            }
            command
        };
        let refused = serve(false).output().unwrap();
        assert!(!refused.status.success(), "{file} serves strangers");
        let mut child = serve(true).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let (mut told, mut line) = (String::new(), String::new());
        while std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0 && !line.contains("ready") {
            told.push_str(&std::mem::take(&mut line));
        }
        let _ = child.kill();
        let _ = child.wait();
        assert!(
            line.contains("https://") && line.contains("ready"),
            "{file}: {told}{line}"
        );
    }
}
