//! Models that are taken apart for a catalog: which are, that they score as ONNX Runtime does, and what is said about it.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use nbo::catalog::manifest::Manifest;
use nbo::catalog::{Catalog, CatalogFiles, load};
use nbo::domain::request::{OffersRequest, PlacementRequest};
use nbo::domain::symbol::Symbols;
use nbo::domain::time::Timestamp;
use nbo::domain::value::Value;
use nbo::engine::{Active, Engine, Limits};
use nbo::model::{DIFFERENCE_MAX, Loaded, Path, ROWS, Runtime, Wanted};
use nbo::sim::population;

/// What the exporters' models read, and seven offers of two groups.
const RULES: &str = r"
catalog: { name: exported, time_zone: Europe/Madrid }
channels: [{ id: web, reservation: 30m }]
models: [MODEL]
attributes:
  profile:
    - { id: age, type: number }
    - { id: balance, type: number }
  offer: [{ id: rate, type: number }]
groups:
  - { id: savings, start_propensity: 0.2 }
  - { id: fund, start_propensity: 0.1 }
offers:
  - { id: a, group: savings, name: A, attributes: { rate: 0.5 }, treatments: { web: { t: x } } }
  - { id: b, group: savings, name: B, attributes: { rate: 2.5 }, treatments: { web: { t: x } } }
  - { id: c, group: savings, name: C, treatments: { web: { t: x } } }
  - { id: d, group: fund, name: D, attributes: { rate: 3.5 }, treatments: { web: { t: x } } }
  - { id: e, group: fund, name: E, attributes: { rate: 4.25 }, treatments: { web: { t: x } } }
  - { id: f, group: fund, name: F, attributes: { rate: -1 }, treatments: { web: { t: x } } }
  - { id: g, group: fund, name: G, attributes: { rate: 5.9 }, treatments: { web: { t: x } } }
placements:
  - { id: hero, name: Hero, channels: [web], groups: [savings, fund], count_max: 7 }
";

fn repository(path: &str) -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn runtime() -> Runtime {
    Runtime::load(None).unwrap()
}

/// Returns a file of the exporters, its manifest and a catalog that it scores.
fn exported(name: &str) -> (Vec<u8>, Manifest, Catalog) {
    let folder = repository("tests/fixtures/exported");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let manifest = Manifest::parse(&text).unwrap();
    let bytes = std::fs::read(folder.join(&manifest.file)).unwrap();
    let mut files = CatalogFiles::default();
    files
        .rules
        .insert("rules.yaml".to_owned(), RULES.replace("MODEL", name));
    files.models.insert(name.to_owned(), text);
    let catalog = load(&files, &Symbols::default()).unwrap_or_else(|faults| panic!("{name}: {}", faults[0]));
    (bytes, manifest, catalog)
}

/// Asserts that an exported model is taken apart, with ONNX Runtime and without.
#[track_caller]
fn check_exported(name: &str, path: Path) {
    let (bytes, manifest, catalog) = exported(name);
    for runtime in [Some(runtime()), None] {
        let loaded = Loaded::load(runtime.as_ref(), &bytes, &manifest, 1).unwrap();
        let scorer = loaded.scorer(&catalog, 0, &Wanted::Best).unwrap();
        let why = scorer.why().to_owned();
        assert_eq!(scorer.path(), path, "{why}");
        let with = if runtime.is_some() {
            "agrees with ONNX Runtime 1."
        } else {
            "agrees with the golden rows only, without ONNX Runtime, on 5 rows"
        };
        let split = "2 columns once a decision, 1 by group, 1 by offer, 1 by customer and offer";
        assert!(why.starts_with(with) && why.ends_with(split), "{why}");
    }
}

#[test]
fn what_lightgbm_exports_is_taken_apart() {
    check_exported("lightgbm", Path::FactorisedTrees);
}

#[test]
fn what_xgboost_exports_is_taken_apart() {
    check_exported("xgboost", Path::FactorisedTrees);
}

#[test]
fn what_scikit_learn_exports_is_taken_apart() {
    check_exported("sklearn_gradient_boosting", Path::FactorisedTrees);
    check_exported("sklearn_forest", Path::FactorisedTrees);
    check_exported("sklearn_forest_regressor", Path::FactorisedTrees);
    check_exported("sklearn_logistic_pipeline", Path::FactorisedSum);
}

#[test]
fn the_tree_operator_of_the_newer_edition_is_taken_apart() {
    check_exported("tree_ensemble_5", Path::FactorisedTrees);
}

#[test]
fn a_model_with_another_operator_is_served_by_onnx_runtime_which_says_why() {
    let (_, _, catalog) = exported("xgboost");
    let bytes = std::fs::read(repository("tests/fixtures/nan.onnx")).unwrap();
    let manifest = manifest_of(&bytes, 0.666_666_7);
    let loaded = Loaded::load(Some(&runtime()), &bytes, &manifest, 1).unwrap();
    let scorer = loaded.scorer(&catalog, 0, &Wanted::Best).unwrap();
    let why = "its operator Log is not one that is specialised, here";
    assert_eq!((scorer.path(), scorer.why()), (Path::OnnxRuntime, why));
    let missing = Loaded::load(None, &bytes, &manifest, 1).unwrap();
    let why = missing.scorer(&catalog, 0, &Wanted::Best).err().unwrap();
    assert_eq!(
        why,
        "it is not factorised, since its operator Log is not one that is specialised, here, and ONNX Runtime is missing"
    );
}

/// The manifest of a file that reads two columns, and scores this for a row of ones.
fn manifest_of(bytes: &[u8], score: f32) -> Manifest {
    use sha2::{Digest, Sha256};
    let text = format!(
        r#"{{"format": 1, "name": "tiny", "version": "1", "description": "a test", "data": "none", "file": "a.onnx",
            "sha256": "{:x}", "groups": ["fund"], "input": {{"name": "input", "features": 2}},
            "output": {{"name": "propensity", "column": 0}}, "columns": [
            {{"name": "a", "from": "profile.age", "as": "number", "missing": 0}},
            {{"name": "b", "from": "offer.rate", "as": "number", "missing": 0}}],
            "golden": [{{"inputs": {{"profile.age": 1, "offer.rate": 1}}, "row": [1, 1], "score": {score}}}],
            "tolerance": 0.00001}}"#,
        Sha256::digest(bytes),
    );
    Manifest::parse(&text).unwrap()
}

#[test]
fn a_model_whose_golden_rows_are_of_another_is_not_taken_apart() {
    let (bytes, mut manifest, catalog) = exported("lightgbm");
    manifest.golden[1].score += 0.000_004;
    let with = Loaded::load(Some(&runtime()), &bytes, &manifest, 1).unwrap();
    // That is within the manifest's tolerance, and ONNX Runtime is there to agree with.
    assert_eq!(
        with.scorer(&catalog, 0, &Wanted::Best).unwrap().path(),
        Path::FactorisedTrees
    );
    let without = Loaded::load(None, &bytes, &manifest, 1).unwrap();
    let why = without.scorer(&catalog, 0, &Wanted::Best).err().unwrap();
    assert!(why.contains("golden row 1 scores"), "{why}");
}

#[test]
fn a_decision_of_the_past_is_scored_by_the_arithmetic_of_then_or_not_at_all() {
    let (bytes, manifest, catalog) = exported("lightgbm");
    let of = |runtime: Option<&Runtime>, arithmetic: &str| {
        let loaded = Loaded::load(runtime, &bytes, &manifest, 1).unwrap();
        let wanted = Wanted::Arithmetic(arithmetic.to_owned());
        loaded.scorer(&catalog, 0, &wanted).map(|scorer| scorer.path())
    };
    let now = Path::FactorisedTrees.arithmetic();
    assert_eq!(of(None, &now), Ok(Path::FactorisedTrees));
    assert_eq!(of(Some(&runtime()), ROWS), Ok(Path::OnnxRuntime));
    let missing = of(None, ROWS).unwrap_err();
    assert!(missing.contains("made by ONNX Runtime, which is missing"), "{missing}");
    let later = of(Some(&runtime()), "factorised 999").unwrap_err();
    assert!(
        later.contains("`factorised 999` then, this release has `factorised 1`"),
        "{later}"
    );
}

/// What a customer's decisions showed: offers and scores.
fn ranked(engine: &Engine, active: &Active, request: &OffersRequest, now: Timestamp) -> Vec<(usize, f64)> {
    let decision = engine.offers(active, request, now).unwrap();
    let shown = decision.placements.iter().flat_map(|filled| &filled.offers);
    shown.map(|shown| (shown.offer, shown.factors.propensity)).collect()
}

#[test]
fn a_whole_population_is_answered_alike_by_both_ways() {
    const CUSTOMERS: usize = 300;
    let now = Timestamp::from_millis(1_796_119_200_000);
    let files = nbo::config::files::embedded();
    let catalog = Arc::new(load(&files.catalog, &Symbols::default()).unwrap());
    let manifest = Manifest::parse(&files.catalog.models["bank"]).unwrap();
    let loaded = Loaded::load(Some(&runtime()), &files.models["bank"], &manifest, 1).unwrap();
    let rows = Wanted::Arithmetic(ROWS.to_owned());
    let engines = [Wanted::Best, rows].map(|wanted| {
        let scorer = loaded.scorer(&catalog, 0, &wanted).unwrap();
        let path = scorer.path();
        let engine = Engine::new(Active::new(Arc::clone(&catalog), vec![Some(scorer)]), Limits::default());
        (engine, path)
    });
    assert_eq!(
        engines.each_ref().map(|(_, path)| *path),
        [Path::FactorisedSum, Path::OnnxRuntime]
    );
    let placement = catalog
        .placements
        .iter()
        .position(|placement| &*placement.id == "best_offers")
        .unwrap();
    let mut scored = 0;
    for customer in population::generate(&catalog, 11, 1, CUSTOMERS, now) {
        let mut context = vec![Value::Missing; catalog.context.attributes.len()];
        context[0] = Value::Category(catalog.channels[0].symbol);
        let request = OffersRequest {
            customer: Some(customer.id.clone()),
            channel: 0,
            campaign: None,
            placements: vec![PlacementRequest {
                placement,
                count: catalog.placements[placement].count_max,
            }],
            duplicates: false,
            context,
            events: Vec::new(),
            explain: false,
            preview: false,
        };
        let [one, other] = engines.each_ref().map(|(engine, _)| {
            let active = engine.active();
            engine
                .upsert_profile(&active, &customer.id, &customer.change, now)
                .unwrap();
            engine
                .record_events(&active, &customer.id, &customer.events, now)
                .unwrap();
            ranked(engine, &active, &request, now)
        });
        scored += one.len();
        assert_eq!(one.len(), other.len());
        for ((offer, score), (other_offer, other_score)) in one.into_iter().zip(other) {
            assert_eq!(offer, other_offer, "{:?}", customer.id);
            assert!(
                (score - other_score).abs() <= f64::from(DIFFERENCE_MAX),
                "{score} {other_score}"
            );
        }
    }
    assert!(scored >= CUSTOMERS, "only {scored} offers were shown");
}
