//! Bad snippets and what the tidy checks say about them, so that the checks themselves cannot rot.

use super::{File, LAYERS, LINES_MAX, faults};

/// Checks a file on its own: the faults must be as many as expected, each with this line and these words.
fn check(path: &str, text: &str, expected: &[(usize, &str)]) {
    let file = File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let found = faults(&[file]);
    let listed: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{path}: {text}\nfound: {listed:#?}");
    for (fault, (line, words)) in found.iter().zip(expected) {
        assert_eq!(fault.line, *line, "{fault}");
        assert!(fault.message.contains(words), "`{words}` is not in: {fault}");
    }
}

/// Checks a module body: line 1 is its documentation.
fn check_body(path: &str, body: &str, expected: &[(usize, &str)]) {
    check(path, &format!("//! A module.\n{body}\n"), expected);
}

#[test]
fn an_import_against_the_layers_is_found_however_it_is_written() {
    let domain = "src/domain/profile.rs";
    check_body(domain, "use crate::domain::time::Millis;", &[]);
    check_body(domain, "use super::time::Millis;", &[]);
    check_body(
        domain,
        "use crate::rules::Condition;",
        &[(2, "`domain` names `crate::rules::Condition`")],
    );
    check_body(
        domain,
        "use super::super::engine::Engine;",
        &[(2, "`crate::engine::Engine`")],
    );
    check_body(
        domain,
        "use crate::{\n    domain::ids,\n    store::Store,\n};",
        &[(2, "`crate::store::Store`")],
    );
    check_body(
        domain,
        "fn f() { crate::model::load(); }",
        &[(2, "`crate::model::load`")],
    );
    check_body(
        domain,
        "mod tests { use super::super::super::cli::X; }",
        &[(2, "`crate::cli::X`")],
    );
    check_body("src/decision/mod.rs", "use super::catalog::Catalog;", &[]);
    check_body(
        "src/decision/mod.rs",
        "use super::store::Store;",
        &[(2, "`crate::store::Store`")],
    );
    check_body("src/engine/mod.rs", "use crate::server::X;", &[(2, "move the code up")]);
    check_body("src/main.rs", "use nbo::cli::serve;", &[]);
    check_body("src/cli/mod.rs", "use crate::main::X;", &[(2, "`crate::main::X`")]);
    check_body("src/cli/mod.rs", "use crate::helpers::X;", &[(2, "is in no layer")]);
    check_body("src/helpers.rs", "", &[(1, "`helpers` is not a layer")]);
    check_body(
        "src/audit/recount.rs",
        "use crate::domain::X;",
        &[(2, "may share no code with what it judges")],
    );
    check_body("src/audit/recount.rs", "use crate::audit::history::X;", &[]);
}

#[test]
fn what_only_looks_like_an_import_is_let_pass() {
    let domain = "src/domain/profile.rs";
    check_body(
        domain,
        "/// See [`crate::decision::fold`].\nconst A: &str = \"crate::engine::Engine\";",
        &[],
    );
    check_body(domain, "// std::fs::read\nconst A: &str = r#\"std::env::var\"#;", &[]);
    check_body("tests/it/engine.rs", "use nbo::cli::serve;", &[]);
}

#[test]
fn the_pure_core_can_name_no_clock_no_file_no_lock_and_no_chance() {
    for (body, words) in [
        ("use std::time::SystemTime;", "take `now` as an argument"),
        ("use std::time::{Duration, Instant};", "`std::time::Instant`"),
        ("use std::time::*;", "`std::time::SystemTime`"),
        ("use std::time;", "`std::time::SystemTime`"),
        (
            "fn f() { std::fs::read_to_string(\"x\"); }",
            "take the text as an argument",
        ),
        ("use std::{env, fmt};", "`std::env`"),
        ("use std::io::Write;", "`std::io`"),
        ("use std::net::TcpStream;", "`std::net`"),
        ("fn f() { std::process::exit(1); }", "`std::process`"),
        ("fn f() { std::thread::yield_now(); }", "`std::thread`"),
        ("use std::sync::{Arc, Mutex};", "`std::sync::Mutex`"),
        ("use std::sync::RwLock;", "`std::sync::RwLock`"),
        ("use std::sync::atomic::AtomicU64;", "`std::sync::atomic`"),
        ("use parking_lot::Mutex;", "`parking_lot`"),
        ("use dashmap::DashMap;", "`dashmap`"),
        ("use arc_swap::ArcSwap;", "`arc_swap`"),
        ("fn f() { tokio::spawn(g()); }", "`tokio`"),
        ("use rand::Rng;", "`rand`"),
        ("use rand_pcg::Pcg64;", "`rand_pcg`"),
        ("async fn f() {}", "`async`"),
    ] {
        for path in [
            "src/domain/time.rs",
            "src/rules/mod.rs",
            "src/catalog/load/offers.rs",
            "src/decision/fold.rs",
        ] {
            check_body(path, body, &[(2, words)]);
        }
    }
    check_body(
        "src/domain/time.rs",
        "use std::sync::Arc;\nuse std::time::Duration;\nuse std::fmt;",
        &[],
    );
    check_body("src/store/mod.rs", "use dashmap::DashMap;\nuse std::sync::Mutex;", &[]);
}

#[test]
fn nothing_up_to_the_engine_waits() {
    check_body(
        "src/store/mod.rs",
        "async fn f() {}",
        &[(2, "nothing up to the campaigns waits")],
    );
    check_body(
        "src/engine/mod.rs",
        "use tokio::sync::watch;",
        &[(2, "nothing up to the campaigns waits")],
    );
    check_body("src/server/mod.rs", "async fn f() { tokio::spawn(g()); }", &[]);
}

#[test]
fn unfinished_work_silenced_lints_and_machine_paths_are_found_in_any_file() {
    for word in [
        concat!("todo", "!()"),
        concat!("unimplemented", "!()"),
        concat!("// FIX", "ME: later"),
        concat!("// XX", "X"),
        concat!("// HA", "CK"),
        concat!("#[al", "low(dead_code)]"),
        concat!("#![al", "low(dead_code)]"),
        concat!("see /wo", "rk/main"),
        concat!("see /ro", "ot/.cargo"),
    ] {
        for path in ["README.md", "rules/bank/offers.yaml", ".ci/run"] {
            check(path, &format!("fine\n{word}\n"), &[(2, "holds `")]);
        }
    }
}

#[test]
fn a_test_that_sleeps_is_found_and_a_server_that_sleeps_is_not() {
    let body = "fn f() { tokio::time::sleep(X).await; }";
    check_body("tests/it/server.rs", body, &[(2, "wait for the thing itself")]);
    check_body("src/server/tests.rs", body, &[(2, "wait for the thing itself")]);
    check_body(
        "src/server/mod.rs",
        &format!("mod tests {{\n{body}\n}}"),
        &[(3, "wait for the thing itself")],
    );
    check_body("src/server/mod.rs", body, &[]);
}

#[test]
fn a_long_file_and_a_file_without_its_purpose_are_found() {
    check_body("src/server/mod.rs", &"\n".repeat(LINES_MAX - 2), &[]);
    check_body(
        "src/server/mod.rs",
        &"\n".repeat(LINES_MAX - 1),
        &[(LINES_MAX + 1, "split it by idea")],
    );
    check("src/server/mod.rs", "fn f() {}\n", &[(1, "does not begin with `//! `")]);
    check(
        "benches/decide.rs",
        "\n//! Late.\n",
        &[(1, "does not begin with `//! `")],
    );
}

#[test]
fn the_crate_doc_and_the_crate_have_the_layers_in_their_order() {
    let bullets = |layers: &[&str]| -> String {
        let lines: Vec<String> = layers
            .iter()
            .map(|layer| format!("//! * [`{layer}`]: see [`other`].\n"))
            .collect();
        format!(
            "//! Crate.\n//!\n//! # The layers, lowest first\n//!\n{}//!\n//! # More\n//! [`more`]\n",
            lines.concat()
        )
    };
    let all = &LAYERS[..LAYERS.len() - 1];
    check("src/lib.rs", &bullets(all), &[]);
    check("src/lib.rs", &bullets(&all[1..]), &[(1, "`The layers` lists")]);
    let mut swapped = all.to_vec();
    swapped.swap(0, 1);
    check("src/lib.rs", &bullets(&swapped), &[(1, "`The layers` lists")]);
    let with_module = bullets(all) + "pub mod engine;\npub mod helpers;\n";
    let line = with_module.lines().count();
    check("src/lib.rs", &with_module, &[(line, "`helpers` is not a layer")]);
}

#[test]
fn a_fixture_that_no_test_names_is_found() {
    let file = |path: &str, text: &str| File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let of = |test: &str| {
        let files = [
            file("tests/it/x.rs", &format!("//! X.\n{test}\n")),
            file("tests/fixtures/a.csv", "a"),
            file("tests/scenarios/b.txt", "b"),
        ];
        faults(&files)
            .iter()
            .map(|fault| fault.file.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(""), ["tests/fixtures/a.csv", "tests/scenarios/b.txt"]);
    assert_eq!(
        of("const A: &str = \"tests/fixtures/a.csv\";"),
        ["tests/scenarios/b.txt"]
    );
    assert_eq!(of("f(\"a.csv\"); g(\"tests/scenarios\");"), Vec::<String>::new());
}
