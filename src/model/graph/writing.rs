//! Writes formulas as ONNX files, for tests: what the reader reads, ONNX Runtime has to run as well.

use prost::Message as _;

use super::ML;
use super::wire::{
    Attribute, FLOAT, Graph, Model, Operator, Opset, Shape, Size, Tensor, TensorKind, UINT8, Value, ValueKind,
};
use crate::decision::specialised::{Adjust, Body, Ensemble, Formula, Node, Test};

/// In which operator the trees are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Regressor,
    Classifier,
    Ensemble,
}

/// Writes trees whose sum goes through the logistic function, and what is done to their columns.
pub(super) fn trees(formula: &Formula, form: Form) -> Vec<u8> {
    let Body::Trees(ensemble) = &formula.body else {
        panic!("a weighted sum is no tree");
    };
    let mut operators = adjustments(&formula.adjust);
    let from = operators.last().map_or("input", |last| &*last.outputs[0]).to_owned();
    match form {
        Form::Regressor => {
            let mut attributes = classic(ensemble, "target");
            let aggregate = if ensemble.divisor.is_some() { "AVERAGE" } else { "SUM" };
            attributes.extend([
                int("n_targets", 1),
                text("aggregate_function", aggregate),
                floats("base_values", vec![ensemble.base]),
            ]);
            operators.push(operator("TreeEnsembleRegressor", ML, &[&from], &["sum"], attributes));
            operators.push(operator("Sigmoid", "", &["sum"], &["propensity"], Vec::new()));
        }
        Form::Classifier => {
            let mut attributes = classic(ensemble, "class");
            attributes.extend([
                ints("classlabels_int64s", vec![0, 1]),
                text("post_transform", "LOGISTIC"),
                floats("base_values", vec![ensemble.base]),
            ]);
            let outputs = ["label", "propensity"];
            operators.push(operator("TreeEnsembleClassifier", ML, &[&from], &outputs, attributes));
        }
        Form::Ensemble => {
            operators.push(operator("TreeEnsemble", ML, &[&from], &["sum"], modern(ensemble)));
            operators.push(operator("Sigmoid", "", &["sum"], &["propensity"], Vec::new()));
        }
    }
    // The older operators are no longer part of edition 5.
    let edition = if form == Form::Ensemble { 5 } else { 3 };
    file(operators, Vec::new(), formula.features(), edition)
}

/// Writes a file with one input and the output `propensity`.
pub(super) fn file(nodes: Vec<Operator>, initializers: Vec<Tensor>, features: usize, ml: i64) -> Vec<u8> {
    let value = |name: &str, width: i64| {
        let size = |value: i64| Size {
            value,
            name: String::new(),
        };
        let shape = Shape {
            sizes: vec![size(0), size(width)],
        };
        let tensor = TensorKind {
            kind: FLOAT,
            shape: Some(shape),
        };
        Value {
            name: name.to_owned(),
            kind: Some(ValueKind { tensor: Some(tensor) }),
        }
    };
    let opset = |domain: &str, version: i64| Opset {
        domain: domain.to_owned(),
        version,
    };
    let graph = Graph {
        nodes,
        name: "test".to_owned(),
        initializers,
        inputs: vec![value("input", i64::try_from(features).unwrap())],
        outputs: vec![value("propensity", 0)],
    };
    let model = Model {
        graph: Some(graph),
        opsets: vec![opset("", 17), opset(ML, ml)],
        ir_version: 8,
        functions: Vec::new(),
    };
    model.encode_to_vec()
}

pub(super) fn operator(
    kind: &str,
    domain: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: Vec<Attribute>,
) -> Operator {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Operator {
        inputs: owned(inputs),
        outputs: owned(outputs),
        kind: kind.to_owned(),
        attributes,
        domain: domain.to_owned(),
    }
}

pub(super) fn floats(name: &str, floats: Vec<f32>) -> Attribute {
    Attribute {
        name: name.to_owned(),
        floats,
        kind: 6,
        ..Attribute::default()
    }
}

pub(super) fn ints(name: &str, ints: Vec<i64>) -> Attribute {
    Attribute {
        name: name.to_owned(),
        ints,
        kind: 7,
        ..Attribute::default()
    }
}

pub(super) fn int(name: &str, int: i64) -> Attribute {
    Attribute {
        name: name.to_owned(),
        int,
        kind: 2,
        ..Attribute::default()
    }
}

pub(super) fn text(name: &str, text: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        text: text.as_bytes().to_vec(),
        kind: 3,
        ..Attribute::default()
    }
}

fn float(name: &str, float: f32) -> Attribute {
    Attribute {
        name: name.to_owned(),
        float,
        kind: 1,
        ..Attribute::default()
    }
}

pub(super) fn table(name: &str, shape: &[usize], floats: Vec<f32>) -> Tensor {
    Tensor {
        shape: shape.iter().map(|&length| i64::try_from(length).unwrap()).collect(),
        kind: FLOAT,
        floats,
        name: name.to_owned(),
        ..Tensor::default()
    }
}

fn tensor(name: &str, tensor: Tensor) -> Attribute {
    Attribute {
        name: name.to_owned(),
        tensor: Some(tensor),
        kind: 4,
        ..Attribute::default()
    }
}

/// The imputing and scaling of all columns; a column that is kept is scaled by 1.
fn adjustments(adjust: &[Adjust]) -> Vec<Operator> {
    let missing = adjust.iter().map(|adjust| match *adjust {
        Adjust::Impute(to) | Adjust::ImputeAndScale { imputed: to, .. } => to,
        Adjust::Keep | Adjust::Scale { .. } => f32::NAN,
    });
    let both = adjust.iter().map(|adjust| match *adjust {
        Adjust::Scale { offset, scale } | Adjust::ImputeAndScale { offset, scale, .. } => (offset, scale),
        Adjust::Keep | Adjust::Impute(_) => (0.0, 1.0),
    });
    let (offsets, factors) = both.unzip();
    let settings = vec![
        floats("imputed_value_floats", missing.collect()),
        float("replaced_value_float", f32::NAN),
    ];
    if adjust.iter().all(|adjust| *adjust == Adjust::Keep) {
        return Vec::new();
    }
    vec![
        operator("Imputer", ML, &["input"], &["imputed"], settings),
        operator(
            "Scaler",
            ML,
            &["imputed"],
            &["scaled"],
            vec![floats("offset", offsets), floats("scale", factors)],
        ),
    ]
}

fn mode(test: Test) -> (&'static str, u8, f32) {
    match test {
        Test::AtMost(threshold) => ("BRANCH_LEQ", 0, threshold),
        Test::Below(threshold) => ("BRANCH_LT", 1, threshold),
        Test::AtLeast(threshold) => ("BRANCH_GTE", 2, threshold),
        Test::Above(threshold) => ("BRANCH_GT", 3, threshold),
        Test::Equals(threshold) => ("BRANCH_EQ", 4, threshold),
        Test::Differs(threshold) => ("BRANCH_NEQ", 5, threshold),
    }
}

fn number(at: usize) -> i64 {
    i64::try_from(at).unwrap()
}

/// The attributes of `TreeEnsembleRegressor` and `TreeEnsembleClassifier`.
fn classic(ensemble: &Ensemble, leaves: &str) -> Vec<Attribute> {
    let mut nodes: [Vec<i64>; 6] = Default::default();
    let (mut values, mut modes) = (Vec::new(), Vec::new());
    let (mut leaf_trees, mut leaf_nodes, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for (tree, grown) in ensemble.trees.iter().enumerate() {
        for (at, node) in grown.nodes.iter().enumerate() {
            let (mode, threshold, others) = match *node {
                Node::Leaf(value) => {
                    leaf_trees.push(number(tree));
                    leaf_nodes.push(number(at));
                    weights.push(value);
                    ("LEAF", 0.0, [0; 4])
                }
                Node::Split {
                    column,
                    test,
                    missing_holds,
                    holds,
                    fails,
                } => {
                    let (mode, _, threshold) = mode(test);
                    let others = [number(column), number(holds), number(fails), i64::from(missing_holds)];
                    (mode, threshold, others)
                }
            };
            let [column, holds, fails, missing] = others;
            for (list, value) in nodes
                .iter_mut()
                .zip([number(tree), number(at), column, holds, fails, missing])
            {
                list.push(value);
            }
            values.push(threshold);
            modes.push(mode.as_bytes().to_vec());
        }
    }
    let names = [
        "nodes_treeids",
        "nodes_nodeids",
        "nodes_featureids",
        "nodes_truenodeids",
        "nodes_falsenodeids",
        "nodes_missing_value_tracks_true",
    ];
    let mut attributes: Vec<Attribute> = names.iter().zip(nodes).map(|(name, list)| ints(name, list)).collect();
    let modes = Attribute {
        name: "nodes_modes".to_owned(),
        texts: modes,
        kind: 8,
        ..Attribute::default()
    };
    attributes.extend([
        floats("nodes_values", values),
        modes,
        ints(&format!("{leaves}_ids"), vec![0; weights.len()]),
        ints(&format!("{leaves}_treeids"), leaf_trees),
        ints(&format!("{leaves}_nodeids"), leaf_nodes),
        floats(&format!("{leaves}_weights"), weights),
    ]);
    attributes
}

/// The attributes of `TreeEnsemble`; a tree that is a leaf has a root with two leaves of the same value. They could be one
/// leaf, but ONNX Runtime 1.28 then scores other trees of the file wrongly.
fn modern(ensemble: &Ensemble) -> Vec<Attribute> {
    let mut lists: [Vec<i64>; 6] = Default::default();
    let (mut splits, mut modes, mut weights, mut roots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for tree in &ensemble.trees {
        // The number of each node among the forks, or of each leaf among the leaves.
        let mut forks = splits.len();
        roots.push(number(forks));
        let mut places: Vec<(i64, i64)> = tree
            .nodes
            .iter()
            .map(|node| {
                if let Node::Leaf(value) = node {
                    weights.push(*value);
                    (number(weights.len() - 1), 1)
                } else {
                    forks += 1;
                    (number(forks - 1), 0)
                }
            })
            .collect();
        let single = Node::Split {
            column: 0,
            test: Test::AtMost(0.0),
            missing_holds: false,
            holds: 0,
            fails: 1,
        };
        if let [Node::Leaf(value)] = tree.nodes[..] {
            weights.push(value);
            places.push((number(weights.len() - 1), 1));
        }
        let nodes = if tree.nodes.len() == 1 {
            &vec![single]
        } else {
            &tree.nodes
        };
        for node in nodes {
            if let Node::Split {
                column,
                test,
                missing_holds,
                holds,
                fails,
            } = *node
            {
                let (_, mode, threshold) = mode(test);
                splits.push(threshold);
                modes.push(mode);
                let values = [
                    number(column),
                    places[holds].0,
                    places[fails].0,
                    places[holds].1,
                    places[fails].1,
                    i64::from(missing_holds),
                ];
                for (list, value) in lists.iter_mut().zip(values) {
                    list.push(value);
                }
            }
        }
    }
    let names = [
        "nodes_featureids",
        "nodes_truenodeids",
        "nodes_falsenodeids",
        "nodes_trueleafs",
        "nodes_falseleafs",
        "nodes_missing_value_tracks_true",
    ];
    let mut attributes: Vec<Attribute> = names.iter().zip(lists).map(|(name, list)| ints(name, list)).collect();
    let bytes = Tensor {
        shape: vec![number(modes.len())],
        kind: UINT8,
        raw: modes,
        ..Tensor::default()
    };
    let (forks, leaves) = (splits.len(), weights.len());
    attributes.extend([
        int("n_targets", 1),
        int("aggregate_function", i64::from(ensemble.divisor.is_none())),
        ints("tree_roots", roots),
        ints("leaf_targetids", vec![0; leaves]),
        tensor("nodes_splits", table("", &[forks], splits)),
        tensor("leaf_weights", table("", &[leaves], weights)),
        tensor("nodes_modes", bytes),
    ]);
    attributes
}
