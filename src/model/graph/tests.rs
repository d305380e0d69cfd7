//! What is read of a file computes what ONNX Runtime computes with it, or is refused with a reason.

use std::sync::LazyLock;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::wire::{Operator, Tensor};
use super::writing::{Form, file, floats, int, ints, operator, table, text, trees};
use super::*;
use crate::catalog::Catalog;
use crate::decision::specialised::tests::{Choices, catalog};
use crate::decision::specialised::{Adjust, Body, Ensemble, Node, Scratch, Specialised, Test, Tree};
use crate::model::agreement;
use crate::model::{Model, Runtime};

const FEATURES: usize = 6;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| catalog(Some(FEATURES)));

/// The manifest of a file whose score of a row of ones is this; with this column of the output.
fn manifest(bytes: &[u8], column: usize, score: f32) -> Manifest {
    let columns =
        (0..FEATURES).map(|at| format!(r#"{{"name": "c{at}", "from": "profile.age", "as": "number", "missing": 0}}"#));
    let text = format!(
        r#"{{"format": 1, "name": "tiny", "version": "1", "description": "a test", "data": "none", "file": "a.onnx",
            "sha256": "{:x}", "groups": ["fund"], "input": {{"name": "input", "features": {FEATURES}}},
            "output": {{"name": "propensity", "column": {column}}}, "columns": [{}],
            "golden": [{{"inputs": {{"profile.age": 1}}, "row": [1, 1, 1, 1, 1, 1], "score": {score}}}],
            "tolerance": 0.00001}}"#,
        Sha256::digest(bytes),
        columns.collect::<Vec<_>>().join(", "),
    );
    Manifest::parse(&text).unwrap()
}

/// Reads a file and has its scores compared with those of ONNX Runtime, on one column of its output.
fn agree(bytes: &[u8], column: usize) -> Result<(), String> {
    let formula = read(bytes, &manifest(bytes, column, 0.5)).map_err(|why| why.to_string())?;
    let specialised = Specialised::new(&formula, &CATALOG, 0).map_err(|unfit| unfit.to_string())?;
    let golden = specialised.score_row(&[1.0; FEATURES], &mut Scratch::default());
    let manifest = manifest(bytes, column, golden);
    let model = Model::load(&Runtime::load(None).unwrap(), bytes, &manifest, 1).map_err(|error| error.to_string())?;
    let reference = Some((&model, "ONNX Runtime"));
    agreement::check(&specialised, &CATALOG, 0, &manifest, reference).map(|_| ())
}

/// Asserts that a file is not read, and why.
#[track_caller]
fn check_not_read(bytes: &[u8], why: &str) {
    let not_read = read(bytes, &manifest(bytes, 0, 0.5)).unwrap_err().to_string();
    assert_eq!(not_read, why);
    assert!(!not_read.contains('\n'));
}

/// Makes a random ensemble whose sum goes through the logistic function.
fn ensemble(choices: &mut Choices) -> Formula {
    let mut formula = choices.ensemble(FEATURES, 100);
    formula.finish = vec![Finish::Logistic];
    if let Body::Trees(ensemble) = &mut formula.body {
        ensemble.divisor = ensemble.divisor.map(|_| ensemble.trees.len() as f32);
    }
    formula
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_trees_of_every_mode_score_as_onnx_runtime_scores_them(seed: u64) {
        let mut choices = Choices(seed);
        for form in [Form::Regressor, Form::Ensemble, Form::Classifier] {
            let mut formula = ensemble(&mut choices);
            if let (Body::Trees(ensemble), Form::Classifier) = (&mut formula.body, form) {
                ensemble.divisor = None;
            }
            let bytes = trees(&formula, form);
            for column in 0..=usize::from(form == Form::Classifier) {
                let agreed = agree(&bytes, column);
                prop_assert_eq!(agreed, Ok(()), "{:?}, column {}", form, column);
            }
        }
    }

    #[test]
    fn a_spoilt_file_is_read_as_another_formula_or_refused_and_never_breaks_anything(seed: u64) {
        let mut choices = Choices(seed);
        let forms = [Form::Regressor, Form::Ensemble, Form::Classifier];
        let bytes = trees(&ensemble(&mut choices), forms[choices.below(3)]);
        for _ in 0..60 {
            let mut spoilt = bytes.clone();
            if choices.below(2) == 0 {
                spoilt.truncate(choices.below(bytes.len()));
            }
            for _ in 0..=choices.below(4) {
                if !spoilt.is_empty() {
                    let at = choices.below(spoilt.len());
                    spoilt[at] = u8::try_from(choices.below(256)).unwrap();
                }
            }
            if let Ok(formula) = read(&spoilt, &manifest(&bytes, 0, 0.5))
                && let Ok(specialised) = Specialised::new(&formula, &CATALOG, 0)
            {
                let row: Vec<f32> = (0..FEATURES).map(|_| choices.number()).collect();
                let _ = specialised.score_row(&row, &mut Scratch::default());
            }
        }
    }
}

#[test]
fn a_classifier_with_weights_for_one_class_scores_as_onnx_runtime_whatever_their_signs() {
    for (low, high, base) in [
        (0.05, 0.3, 0.0),
        (0.05, 0.3, 0.5),
        (0.0, 0.3, 0.2),
        (-0.05, 0.3, 0.5),
        (-0.3, -0.05, 0.9),
    ] {
        let fork = Node::Split {
            column: 0,
            test: Test::AtMost(0.5),
            missing_holds: false,
            holds: 1,
            fails: 2,
        };
        let nodes = vec![fork, Node::Leaf(low), Node::Leaf(high)];
        let formula = Formula {
            adjust: vec![Adjust::Keep; FEATURES],
            body: Body::Trees(Ensemble {
                trees: vec![Tree { nodes }],
                divisor: None,
                base,
            }),
            finish: Vec::new(),
        };
        let logistic = trees(&formula, Form::Classifier);
        let mut model = wire::Model::decode(&*logistic).unwrap();
        let operators = model.graph.as_mut().unwrap().nodes.iter_mut();
        let mut attributes = operators.flat_map(|operator| &mut operator.attributes);
        let transform = attributes.find(|attribute| attribute.name == "post_transform");
        transform.unwrap().text = b"NONE".to_vec();
        let none = model.encode_to_vec();
        for (bytes, name) in [(logistic, "LOGISTIC"), (none, "NONE")] {
            // Untransformed, a negative weight gives no propensity.
            let columns = if name == "NONE" && low < 0.0 { 0..0 } else { 0..2 };
            for column in columns {
                assert_eq!(
                    agree(&bytes, column),
                    Ok(()),
                    "{low}, {high} on {base}, {name}, column {column}"
                );
            }
        }
    }
}

/// A file of these operators.
fn written(operators: Vec<Operator>, constants: Vec<Tensor>) -> Vec<u8> {
    file(operators, constants, FEATURES, 3)
}

fn sigmoid(from: &str) -> Operator {
    operator("Sigmoid", "", &[from], &["propensity"], Vec::new())
}

const WEIGHTS: [f32; FEATURES] = [0.5, -0.25, 0.125, 1.0, 0.0, -0.75];

#[test]
fn weighted_sums_of_every_form_score_as_onnx_runtime_scores_them() {
    let column = || table("w", &[FEATURES, 1], WEIGHTS.to_vec());
    let gemm = operator("Gemm", "", &["input", "w", "b"], &["sum"], Vec::new());
    let bias = || table("b", &[1], vec![0.25]);
    let turned = operator("Gemm", "", &["input", "w", "b"], &["sum"], vec![int("transB", 1)]);
    let moved = operator("Sub", "", &["input", "lows"], &["moved"], Vec::new());
    let of_moved = operator("Gemm", "", &["moved", "w", "b"], &["sum"], Vec::new());
    let lows = table("lows", &[FEATURES], WEIGHTS.to_vec());
    let product = operator("MatMul", "", &["input", "w"], &["product"], Vec::new());
    let add = operator("Add", "", &["b", "product"], &["sum"], Vec::new());
    let regressor = vec![
        floats("coefficients", WEIGHTS.to_vec()),
        floats("intercepts", vec![0.25]),
    ];
    let regressor = operator("LinearRegressor", ML, &["input"], &["sum"], regressor);
    for (operators, constants) in [
        (vec![gemm], vec![column(), bias()]),
        (vec![moved, of_moved], vec![column(), bias(), lows]),
        (vec![turned], vec![table("w", &[1, FEATURES], WEIGHTS.to_vec()), bias()]),
        (vec![product, add], vec![column(), bias()]),
        (vec![regressor], vec![]),
    ] {
        let operators = operators.into_iter().chain([sigmoid("sum")]).collect();
        assert_eq!(agree(&written(operators, constants), 0), Ok(()));
    }
}

#[test]
fn linear_classifiers_of_every_transform_score_as_onnx_runtime_scores_them() {
    let both: Vec<f32> = WEIGHTS.iter().map(|weight| -weight).chain(WEIGHTS).collect();
    for transform in ["LOGISTIC", "SOFTMAX"] {
        for is_normalised in [false, true] {
            let attributes = vec![
                floats("coefficients", both.clone()),
                floats("intercepts", vec![-0.25, 0.25]),
                ints("classlabels_ints", vec![0, 1]),
                text("post_transform", transform),
            ];
            let output = if is_normalised { "scores" } else { "propensity" };
            let mut operators = vec![operator(
                "LinearClassifier",
                ML,
                &["input"],
                &["label", output],
                attributes,
            )];
            if is_normalised {
                let norm = vec![text("norm", "L1")];
                operators.push(operator("Normalizer", ML, &["scores"], &["propensity"], norm));
            }
            for column in [0, 1] {
                let agreed = agree(&written(operators.clone(), Vec::new()), column);
                assert_eq!(
                    agreed,
                    Ok(()),
                    "{transform}, column {column}, normalised: {is_normalised}"
                );
            }
        }
    }
}

#[test]
fn what_is_no_formula_says_why_in_one_line() {
    let gemm = || operator("Gemm", "", &["input", "w"], &["sum"], Vec::new());
    let weights = || vec![table("w", &[FEATURES, 1], WEIGHTS.to_vec())];
    let tanh = operator("Tanh", "", &["sum"], &["propensity"], Vec::new());
    check_not_read(
        &written(vec![gemm(), tanh], weights()),
        "its operator Tanh is not one that is specialised, here",
    );
    let product = operator("MatMul", "", &["sum", "v"], &["deeper"], Vec::new());
    let constants = weights().into_iter().chain([table("v", &[1, 1], vec![1.0])]).collect();
    check_not_read(
        &written(vec![gemm(), product, sigmoid("deeper")], constants),
        "its operator MatMul has weights of another shape, which is not specialised",
    );
    check_not_read(
        b"not a model at all",
        "it is no ONNX file: failed to decode Protobuf message: invalid wire type value: 6",
    );
    check_not_read(&[], "it has no graph");
    let round = operator("Identity", "", &["propensity"], &["propensity"], Vec::new());
    check_not_read(&written(vec![round], Vec::new()), "its operators go round in a circle");
    check_not_read(&written(vec![sigmoid("sum")], Vec::new()), "nothing makes `sum`");
}

#[test]
fn trees_that_hang_together_otherwise_are_refused() {
    let formula = ensemble(&mut Choices(7));
    let spoil = |name: &str, value: i64| {
        let mut model = wire::Model::decode(&*trees(&formula, Form::Regressor)).unwrap();
        let graph = model.graph.as_mut().unwrap();
        let operators = graph.nodes.iter_mut();
        let mut attributes = operators.flat_map(|operator| &mut operator.attributes);
        attributes.find(|attribute| attribute.name == name).unwrap().ints[0] = value;
        model.encode_to_vec()
    };
    let refused = |what: &str| format!("its operator TreeEnsembleRegressor has {what}, which is not specialised");
    check_not_read(
        &spoil("nodes_truenodeids", 0),
        &refused("nodes or weights that belong to no tree"),
    );
    check_not_read(
        &spoil("nodes_truenodeids", 5_000),
        &refused("a node that is missing, or has two parents"),
    );
    check_not_read(
        &spoil("nodes_featureids", 6),
        &refused("a node that reads column 6 of 6"),
    );
    check_not_read(&spoil("nodes_nodeids", 1), &refused("two nodes of the same name"));
}
