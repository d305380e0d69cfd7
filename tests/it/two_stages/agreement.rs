//! `nbo agreement`: what it measures, and what it says.

use std::process::Command;

use nbo::bench::agreement::{self, Asked};
use nbo::bench::scorers::{LINEAR, TREES};
use nbo::bench::world::NOW;

use super::{KEEP, WHOLE, active, folder, two_stages};

fn asked(keeps: &[usize]) -> Asked {
    Asked {
        customers: 20,
        seed: 7,
        count: 10,
        keeps: keeps.to_vec(),
        at: NOW,
    }
}

#[test]
fn a_first_stage_that_says_what_the_model_says_agrees_with_it_wholly() {
    // Of the same trees, so the scores differ by rounding only.
    let mut active = active(WHOLE, Some((TREES.name, KEEP)));
    let before = active.catalog.models[0].shortlist;
    let report = agreement::measure(&mut active, &asked(&[]), &mut |_, _| ()).unwrap();
    let plans = &report.models[0].plans;
    let keeps: Vec<_> = plans.iter().map(|plan| (plan.keep, plan.is_declared)).collect();
    assert_eq!(keeps, [(10, false), (20, false), (40, true), (80, false)]);
    for plan in plans {
        assert_eq!((plan.shortened, plan.same_first, plan.overlap), (1.0, 1.0, 1.0));
        assert!((plan.value_kept - 1.0).abs() < 1e-9, "{plan:?}");
    }
    assert_eq!(active.catalog.models[0].shortlist, before, "the catalog is as it was");
}

#[test]
fn the_more_is_kept_the_more_a_stranger_of_a_first_stage_agrees_up_to_all() {
    let mut active = two_stages(KEEP);
    let report = agreement::measure(&mut active, &asked(&[4_096, 1, 60, 60]), &mut |_, _| ()).unwrap();
    let [model] = &report.models[..] else {
        panic!("{report:?}")
    };
    assert_eq!((&*model.model, &*model.first_stage), (WHOLE, LINEAR.name));
    let [one, some, all] = &model.plans[..] else {
        panic!("{:?}", model.plans)
    };
    assert!(one.overlap < some.overlap && some.overlap < 1.0, "{one:?}, {some:?}");
    assert!(
        one.value_kept < some.value_kept && some.value_kept < 1.0,
        "{one:?}, {some:?}"
    );
    assert_eq!((all.shortened, all.same_first), (0.0, 1.0));
    assert_eq!((all.overlap, all.value_kept), (1.0, 1.0));
}

/// Runs the program and returns whether it was content, and what it wrote to both outputs.
fn run(arguments: &[&str]) -> (bool, String, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_nbo"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.success(), text(ended.stdout), text(ended.stderr))
}

#[test]
fn the_program_compares_a_shortlist_with_the_model_as_a_table_and_as_data() {
    let folder = folder(WHOLE, Some((LINEAR.name, KEEP)));
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (rules, models) = (path("rules/bench"), path("models"));
    let always = [
        "agreement",
        "--rules",
        &rules,
        "--models",
        &models,
        "--customers",
        "5",
        "--at",
        "2026-03-02T09:00:00Z",
    ];
    let (good, table, said) = run(&always);
    assert!(good, "{said}");
    let head = "model whole-trees, scored by onnx runtime, first stage bench-linear: 300 offers, of which ";
    assert!(table.starts_with(head), "{table}");
    assert!(
        table.contains("40 (declared)") && table.contains("same 10 best"),
        "{table}"
    );
    let json = |arguments: &[&str]| {
        let (good, json, said) = run(&[&always[..], arguments, &["--json"]].concat());
        assert!(good, "{said}");
        let mut report: serde_json::Value = serde_json::from_str(&json).unwrap();
        // What a machine takes is never twice the same.
        let model = &mut report["models"][0];
        model["whole_p50_us"].take();
        for plan in model["plans"].as_array_mut().unwrap() {
            plan["p50_us"].take();
            plan["times_faster"].take();
        }
        report
    };
    let report = json(&["--keep", "20,5", "--count", "3"]);
    let plans = report["models"][0]["plans"].as_array().unwrap();
    let keeps: Vec<_> = plans.iter().map(|plan| plan["keep"].as_u64().unwrap()).collect();
    assert_eq!((keeps, report["count"].as_u64()), (vec![5, 20], Some(3)));
    assert_eq!(json(&["--keep", "20,5", "--count", "3"]), report);
    assert_ne!(json(&["--keep", "20,5", "--count", "3", "--seed", "1"]), report);
    let (good, text, _) = run(&["check", &rules, "--models", &models]);
    let said = "model whole-trees: of more than 40 offers it scores the best 40 by the model bench-linear, which scores the others";
    assert!(good && text.contains(said), "{text}");
}

#[test]
fn the_program_says_what_to_write_when_no_model_has_a_shortlist() {
    let folder = folder(WHOLE, None);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (good, table, said) = run(&[
        "agreement",
        "--rules",
        &path("rules/bench"),
        "--models",
        &path("models"),
    ]);
    assert!(!good && table.is_empty());
    let what = "no model of this catalog has a shortlist; write `\"shortlist\": {\"by\": \"<the folder of a cheaper model>\", \"keep\": \
                200}` into the manifest";
    assert!(said.contains(what) && said.lines().count() == 1, "{said}");
}
