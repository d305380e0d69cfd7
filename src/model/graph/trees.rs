//! Ensembles of trees.

use std::collections::HashMap;

use super::wire::Operator;
use super::{Core, NotRead};
use crate::decision::specialised::{Body, Ensemble, Finish, Node, Test, Tree};

/// The attributes that hold 64-bit numbers.
const WIDE: [&str; 5] = [
    "nodes_values_as_tensor",
    "nodes_hitrates_as_tensor",
    "base_values_as_tensor",
    "class_weights_as_tensor",
    "target_weights_as_tensor",
];

/// A node of `TreeEnsembleClassifier` and `TreeEnsembleRegressor`: (tree, node) names it.
struct Written {
    key: (i64, i64),
    kind: Kind,
}

enum Kind {
    Leaf,
    Fork {
        column: usize,
        test: Test,
        missing_holds: bool,
        holds: i64,
        fails: i64,
    },
}

/// `TreeEnsembleClassifier` over two classes. With weights for one class only, ONNX Runtime makes two probabilities of one
/// sum: itself and the rest to 1 when no weight is negative and nothing is transformed; otherwise the transform of the sum
/// and of its negative.
pub(super) fn classifier(operator: &Operator, column: usize, features: usize) -> Result<Core, NotRead> {
    operator.without(&WIDE)?;
    let labels = [
        operator.ints("classlabels_int64s").len(),
        operator
            .attribute("classlabels_strings")
            .map_or(0, |labels| labels.texts.len()),
    ];
    if !labels.contains(&2) || column > 1 {
        return Err(operator.has("not two classes"));
    }
    let transform = operator.text("post_transform")?.unwrap_or("NONE");
    let logistic = match transform {
        "NONE" => None,
        "LOGISTIC" => Some(Finish::Logistic),
        _ => return Err(operator.has(format!("the transform {transform}"))),
    };
    let classes = operator.ints("class_ids");
    let (has_first, has_second) = (classes.contains(&0), classes.contains(&1));
    let base = operator.floats("base_values");
    let is_positive = operator.floats("class_weights").iter().all(|weight| *weight >= 0.0);
    let (class, base, finish) = match (has_first, has_second, base) {
        (true, false, [] | [_]) => {
            let base = base.first().copied().unwrap_or_default();
            let finish = match (logistic, column) {
                (None, 0) if is_positive => vec![Finish::Complement],
                (_, 0) => [Finish::Negate].into_iter().chain(logistic).collect(),
                (_, _) => logistic.into_iter().collect(),
            };
            (0, base, finish)
        }
        (false, true, []) if column == 1 => (1, 0.0, logistic.into_iter().collect()),
        (true, true, []) => (column, 0.0, logistic.into_iter().collect()),
        _ => return Err(operator.has("such weights and base values")),
    };
    let names = ["class_treeids", "class_nodeids", "class_ids", "class_weights"];
    if classes.iter().any(|class| !(0..2).contains(class)) {
        return Err(operator.has("a third class"));
    }
    let weights = weights(operator, names, class)?;
    let trees = trees(operator, &weights, features)?;
    if has_first && has_second {
        // Otherwise a row could get no weight for the second class, and the first alone would count.
        let second = weights_of(operator, names, 1)?;
        let leaves = nodes(operator, features)?
            .into_iter()
            .filter(|node| matches!(node.kind, Kind::Leaf));
        if leaves.map(|leaf| leaf.key).any(|key| !second.contains_key(&key)) {
            return Err(operator.has("a leaf without a weight for each class"));
        }
    }
    let divisor = None;
    Ok(Core {
        body: Body::Trees(Ensemble { trees, divisor, base }),
        finish,
        is_pair: logistic.is_some() && !has_second,
    })
}

/// `TreeEnsembleRegressor`.
pub(super) fn regressor(operator: &Operator, column: usize, features: usize) -> Result<Core, NotRead> {
    operator.without(&WIDE)?;
    if let Some(transform) = operator
        .text("post_transform")?
        .filter(|transform| *transform != "NONE")
    {
        return Err(operator.has(format!("the transform {transform}")));
    }
    let targets = operator.int("n_targets")?.unwrap_or(1);
    let is_there = i64::try_from(column).is_ok_and(|column| column < targets);
    let base = match operator.floats("base_values") {
        [] => 0.0,
        base if usize::try_from(targets) == Ok(base.len()) && is_there => base[column],
        _ => return Err(operator.has("base values of another number")),
    };
    if !is_there {
        return Err(operator.has("no such target"));
    }
    let names = ["target_treeids", "target_nodeids", "target_ids", "target_weights"];
    let trees = trees(operator, &weights(operator, names, column)?, features)?;
    let divisor = match operator.text("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => None,
        "AVERAGE" => Some(trees.len() as f32),
        aggregate => return Err(operator.has(format!("the aggregate {aggregate}"))),
    };
    Ok(summed(trees, divisor, base))
}

const fn summed(trees: Vec<Tree>, divisor: Option<f32>, base: f32) -> Core {
    Core {
        body: Body::Trees(Ensemble { trees, divisor, base }),
        finish: Vec::new(),
        is_pair: false,
    }
}

/// What the leaves weigh for one class or target, by (tree, node).
type Weights = HashMap<(i64, i64), f32>;

/// Reads the weights, and checks that there are as many as they are named.
fn weights(operator: &Operator, names: [&str; 4], wanted: usize) -> Result<Weights, NotRead> {
    weights_of(operator, names, i64::try_from(wanted).unwrap_or(i64::MAX))
}

fn weights_of(operator: &Operator, [trees, nodes, ids, weights]: [&str; 4], wanted: i64) -> Result<Weights, NotRead> {
    let weights = operator.floats(weights);
    let (trees, nodes, ids) = (operator.ints(trees), operator.ints(nodes), operator.ints(ids));
    if [trees.len(), nodes.len(), ids.len()] != [weights.len(); 3] {
        return Err(operator.has("weights that do not belong to leaves"));
    }
    let mut found = Weights::new();
    for (at, &weight) in weights.iter().enumerate().filter(|(at, _)| ids[*at] == wanted) {
        if found.insert((trees[at], nodes[at]), weight).is_some() {
            return Err(operator.has("two weights for a leaf"));
        }
    }
    Ok(found)
}

fn nodes(operator: &Operator, features: usize) -> Result<Vec<Written>, NotRead> {
    let ints = |name: &str| operator.ints(name);
    let trees = ints("nodes_treeids");
    let [ids, columns, holds, fails] = [
        "nodes_nodeids",
        "nodes_featureids",
        "nodes_truenodeids",
        "nodes_falsenodeids",
    ]
    .map(ints);
    let values = operator.floats("nodes_values");
    let modes: &[Vec<u8>] = operator
        .attribute("nodes_modes")
        .map_or(&[], |attribute| &attribute.texts);
    let missing = ints("nodes_missing_value_tracks_true");
    let lengths = [
        ids.len(),
        columns.len(),
        holds.len(),
        fails.len(),
        values.len(),
        modes.len(),
    ];
    if lengths != [trees.len(); 6] || !(missing.is_empty() || missing.len() == trees.len()) {
        return Err(operator.has("nodes that are not whole"));
    }
    let node = |at: usize| {
        let kind = match test(&modes[at], values[at]) {
            None if modes[at] == b"LEAF" => Kind::Leaf,
            None => {
                let mode = String::from_utf8_lossy(&modes[at]).chars().take(40).collect::<String>();
                return Err(operator.has(format!("the mode {mode} with the threshold {}", values[at])));
            }
            Some(test) => Kind::Fork {
                column: column(operator, columns[at], features)?,
                test,
                missing_holds: missing.get(at).is_some_and(|&tracks| tracks != 0),
                holds: holds[at],
                fails: fails[at],
            },
        };
        Ok(Written {
            key: (trees[at], ids[at]),
            kind,
        })
    };
    (0..trees.len()).map(node).collect()
}

fn column(operator: &Operator, column: i64, features: usize) -> Result<usize, NotRead> {
    let found = usize::try_from(column).ok().filter(|&column| column < features);
    found.ok_or_else(|| operator.has(format!("a node that reads column {column} of {features}")))
}

fn test(mode: &[u8], threshold: f32) -> Option<Test> {
    let test = match mode {
        b"BRANCH_LEQ" => Test::AtMost,
        b"BRANCH_LT" => Test::Below,
        b"BRANCH_GTE" => Test::AtLeast,
        b"BRANCH_GT" => Test::Above,
        b"BRANCH_EQ" => Test::Equals,
        b"BRANCH_NEQ" => Test::Differs,
        _ => return None,
    };
    checked(test(threshold))
}

/// Returns a test with a threshold that it can have.
fn checked(test: Test) -> Option<Test> {
    let (Test::AtMost(threshold)
    | Test::Below(threshold)
    | Test::AtLeast(threshold)
    | Test::Above(threshold)
    | Test::Equals(threshold)
    | Test::Differs(threshold)) = test;
    let is_below_all = threshold == f32::NEG_INFINITY && matches!(test, Test::Below(_) | Test::AtLeast(_));
    (!threshold.is_nan() && !is_below_all).then_some(test)
}

/// Puts the nodes together to trees, in the order of their roots.
fn trees(operator: &Operator, weights: &Weights, features: usize) -> Result<Vec<Tree>, NotRead> {
    let written = nodes(operator, features)?;
    let mut places = HashMap::new();
    for (at, node) in written.iter().enumerate() {
        if places.insert(node.key, at).is_some() {
            return Err(operator.has("two nodes of the same name"));
        }
    }
    let mut is_child = vec![false; written.len()];
    for node in &written {
        if let Kind::Fork { holds, fails, .. } = node.kind {
            for child in [holds, fails] {
                let place = places.get(&(node.key.0, child));
                let child = place.and_then(|&place| is_child.get_mut(place));
                if child.is_none_or(|is_child| std::mem::replace(is_child, true)) {
                    return Err(operator.has("a node that is missing, or has two parents"));
                }
            }
        }
    }
    let roots = (0..written.len()).filter(|&at| !is_child[at]);
    let mut trees = Vec::new();
    let (mut seen, mut used) = (0, 0);
    let mut named = std::collections::HashSet::new();
    for root in roots {
        if !named.insert(written[root].key.0) {
            return Err(operator.has("a tree with two roots"));
        }
        let next = |at: usize| match written[at].kind {
            Kind::Leaf => {
                let weight = weights.get(&written[at].key).copied();
                Step::Leaf(weight.unwrap_or_default(), weight.is_some())
            }
            Kind::Fork {
                column,
                test,
                missing_holds,
                holds,
                fails,
            } => {
                let place = |child| places[&(written[at].key.0, child)];
                Step::Fork(column, test, missing_holds, [place(holds), place(fails)])
            }
        };
        let (tree, weighed) = grown(root, next);
        seen += tree.nodes.len();
        used += weighed;
        trees.push(tree);
    }
    // A circle has no root.
    if seen != written.len() || used != weights.len() || trees.is_empty() {
        return Err(operator.has("nodes or weights that belong to no tree"));
    }
    Ok(trees)
}

/// What is at a place of a tree that is being put together.
enum Step {
    Leaf(f32, bool),
    Fork(usize, Test, bool, [usize; 2]),
}

/// Puts a tree together from its root, parents first, and counts the leaves with a weight. There are no circles.
fn grown(root: usize, mut at: impl FnMut(usize) -> Step) -> (Tree, usize) {
    let mut nodes = vec![Node::Leaf(0.0)];
    let mut open = vec![(root, 0)];
    let mut weighed = 0;
    while let Some((place, own)) = open.pop() {
        nodes[own] = match at(place) {
            Step::Leaf(value, has_weight) => {
                weighed += usize::from(has_weight);
                Node::Leaf(value)
            }
            Step::Fork(column, test, missing_holds, [first, second]) => {
                let (holds, fails) = (nodes.len(), nodes.len() + 1);
                nodes.extend([Node::Leaf(0.0); 2]);
                open.extend([(second, fails), (first, holds)]);
                Node::Split {
                    column,
                    test,
                    missing_holds,
                    holds,
                    fails,
                }
            }
        };
    }
    (Tree { nodes }, weighed)
}

/// The modes of `TreeEnsemble` by their numbers; the seventh, membership in a set, is not specialised.
const MODES: [&[u8]; 6] = [
    b"BRANCH_LEQ",
    b"BRANCH_LT",
    b"BRANCH_GTE",
    b"BRANCH_GT",
    b"BRANCH_EQ",
    b"BRANCH_NEQ",
];

/// `TreeEnsemble`, of `ai.onnx.ml` 5: nodes and leaves are numbered through all trees.
pub(super) fn ensemble(operator: &Operator, wanted: usize, features: usize) -> Result<Core, NotRead> {
    if operator.int("post_transform")?.unwrap_or(0) != 0 {
        return Err(operator.has("a transform"));
    }
    operator.without(&["membership_values"])?;
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
    let ints = |name: &str| operator.ints(name);
    let [columns, holds, fails] = ["nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids"].map(ints);
    let [holds_leaf, fails_leaf, missing] =
        ["nodes_trueleafs", "nodes_falseleafs", "nodes_missing_value_tracks_true"].map(ints);
    let (thresholds, modes) = (
        operator.tensor("nodes_splits")?.numbers()?,
        operator.tensor("nodes_modes")?.bytes()?,
    );
    let (targets, values) = (ints("leaf_targetids"), operator.tensor("leaf_weights")?.numbers()?);
    let count = columns.len();
    let lengths = [
        holds.len(),
        fails.len(),
        holds_leaf.len(),
        fails_leaf.len(),
        thresholds.len(),
        modes.len(),
    ];
    let is_whole =
        lengths == [count; 6] && (missing.is_empty() || missing.len() == count) && targets.len() == values.len();
    if !is_whole || wanted >= operator.int("n_targets")?.unwrap_or(1) {
        return Err(operator.has("nodes that are not whole, or no such target"));
    }
    let index = |number: i64, below: usize| usize::try_from(number).ok().filter(|&number| number < below);
    // A leaf is named by what lies behind the nodes.
    let child = |number: i64, is_leaf: i64| match is_leaf {
        0 => index(number, count),
        _ => index(number, values.len()).map(|leaf| count + leaf),
    };
    let mut steps = Vec::new();
    for at in 0..count {
        let mode = MODES.get(usize::from(modes[at]));
        let test = mode.and_then(|mode| test(mode, thresholds[at]));
        let test = test.ok_or_else(|| operator.has(format!("the mode {} with {}", modes[at], thresholds[at])))?;
        let children = [child(holds[at], holds_leaf[at]), child(fails[at], fails_leaf[at])];
        let [Some(first), Some(second)] = children else {
            return Err(operator.has("a node that is missing"));
        };
        let tracks = missing.get(at).is_some_and(|&tracks| tracks != 0);
        steps.push((column(operator, columns[at], features)?, test, tracks, [first, second]));
    }
    let roots = ints("tree_roots").iter().map(|&root| index(root, count));
    let roots: Vec<usize> = roots
        .collect::<Option<_>>()
        .ok_or_else(|| operator.has("a root that is missing"))?;
    let mut is_reached = vec![false; count];
    let below = steps.iter().flat_map(|step| step.3).filter(|&child| child < count);
    if below
        .chain(roots.iter().copied())
        .any(|node| std::mem::replace(&mut is_reached[node], true))
    {
        return Err(operator.has("a node with two parents"));
    }
    let step = |at: usize| match at.checked_sub(count) {
        Some(leaf) if targets[leaf] == wanted => Step::Leaf(values[leaf], true),
        Some(_) => Step::Leaf(0.0, false),
        None => Step::Fork(steps[at].0, steps[at].1, steps[at].2, steps[at].3),
    };
    let trees: Vec<Tree> = roots.into_iter().map(|root| grown(root, step).0).collect();
    let divisor = match operator.int("aggregate_function")?.unwrap_or(1) {
        1 => None,
        0 => Some(trees.len() as f32),
        aggregate => return Err(operator.has(format!("the aggregate {aggregate}"))),
    };
    if trees.is_empty() {
        return Err(operator.has("no trees"));
    }
    Ok(summed(trees, divisor, 0.0))
}
