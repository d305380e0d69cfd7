"""Makes the two models that the benches score: 100 trees of 31 leaves, and a logistic regression, on 30 features.

    pip install -r models/bank/requirements.txt
    python models/bench/make.py            # writes trees.onnx, trees.json, linear.onnx and linear.json
    python models/bench/make.py --check    # makes them again, compares bytes, writes nothing

They predict nothing: they have the size, the depth and the branching of a trained model, from a stated seed. Trees are
grown as a library grows them, always splitting a large leaf, at thresholds between the values of made-up customers, so
that rows that vary take paths that vary.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from manifest import encode_rows, input_key, linear_model, model_of, write
from onnx import TensorProto, helper

SEED = 20_260_301
TREES = 100
LEAVES = 31
# Made-up rows that place the thresholds.
ROWS = 2_000
GOLDEN_ROWS = 12
GROUPS = ["savings", "fund", "travel_insurance", "credit_card", "loan", "mortgage", "foreign_exchange"]
EDUCATION = ["illiterate", "basic-4y", "basic-6y", "basic-9y", "high-school", "professional-course", "university-degree"]
NAN = float("nan")


def number(source, missing, **more):
    name = source.split(".")[1]
    return {"name": name, "from": source, "as": "number", "missing": missing, **more}


def boolean(source):
    return {"name": source.split(".")[1], "from": source, "as": "boolean", "missing": 0}


def equals(name, source, value):
    return {"name": name, "from": source, "as": "equals", "value": value}


def intent(name):
    return {"name": f"intent_{name}", "from": f"intent.{name}", "as": "number"}


def contacts(name, count, scope, within):
    return {"name": name, "from": "contacts", "as": "number", "count": count, "scope": scope, "within": within}


COLUMNS = [
    number("profile.age", 40),
    equals("job_retired", "profile.job", "retired"),
    equals("job_student", "profile.job", "student"),
    equals("job_blue_collar", "profile.job", "blue-collar"),
    equals("marital_single", "profile.marital", "single"),
    equals("marital_married", "profile.marital", "married"),
    {"name": "education", "from": "profile.education", "as": "ordinal", "order": EDUCATION, "unknown": 4, "missing": 4},
    boolean("profile.has_default"),
    boolean("profile.has_housing_loan"),
    boolean("profile.has_personal_loan"),
    equals("phone_cellular", "profile.phone_type", "cellular"),
    number("profile.previous_contacts", 0),
    number("profile.days_since_last_contact", NAN),
    equals("previous_success", "profile.previous_outcome", "success"),
    equals("previous_failure", "profile.previous_outcome", "failure"),
    number("offer.annual_rate", 0),
    number("offer.minimum_amount", 0, clip=[0, 1_000_000], log1p=True),
    number("offer.term_months", 0),
    number("behaviour.page_views_7d", 0, clip=[0, 1_000], log1p=True),
    number("behaviour.searches_7d", 0, clip=[0, 1_000], log1p=True),
    number("behaviour.fund_searches_7d", 0),
    number("behaviour.travel_searches_7d", 0),
    number("behaviour.logins_30d", 0),
    intent("fund"),
    intent("travel"),
    intent("savings"),
    contacts("seen_group_30d", "seen", "group", "30d"),
    contacts("clicked_all_90d", "clicked", "all", "90d"),
    contacts("refused_group_90d", "refused", "group", "90d"),
    equals("channel_web", "context.channel", "web"),
]


def make_inputs(random):
    """Makes one customer, offer and request up."""

    def choice(values):
        return values[int(random.integers(len(values)))]

    def count(mean):
        return int(random.poisson(mean))

    previous = choice(["nonexistent", "nonexistent", "failure", "success"])
    inputs = {
        "profile.age": int(random.integers(18, 91)),
        "profile.job": choice(["admin", "blue-collar", "management", "retired", "services", "student", "technician"]),
        "profile.marital": choice(["single", "married", "divorced"]),
        "profile.education": choice(EDUCATION),
        "profile.has_default": choice([False, False, True]),
        "profile.has_housing_loan": choice([False, True]),
        "profile.has_personal_loan": choice([False, False, True]),
        "profile.phone_type": choice(["cellular", "telephone"]),
        "profile.previous_contacts": 0 if previous == "nonexistent" else 1 + count(1),
        "profile.days_since_last_contact": None if previous == "nonexistent" else int(random.integers(1, 400)),
        "profile.previous_outcome": previous,
        "offer.annual_rate": int(random.integers(0, 200)) / 10,
        "offer.minimum_amount": 100 * int(random.integers(0, 500)),
        "offer.term_months": choice([0, 6, 12, 24, 36, 60, 120, 240, 360]),
        "behaviour.page_views_7d": count(12),
        "behaviour.searches_7d": count(4),
        "behaviour.fund_searches_7d": count(1),
        "behaviour.travel_searches_7d": count(1),
        "behaviour.logins_30d": count(8),
        "intent.fund": choice([0, 0, 0.25, 0.5, 1]),
        "intent.travel": choice([0, 0, 0.25, 0.5, 1]),
        "intent.savings": choice([0, 0, 0.25, 0.5, 1]),
        "contacts.seen_group_30d": count(2),
        "contacts.clicked_all_90d": count(1),
        "contacts.refused_group_90d": count(0.3),
        "context.channel": choice(["web", "mobile", "call_centre", "campaign"]),
    }
    # Now and then a value is not known, as in life.
    unknown = choice(list(inputs)) if random.integers(4) == 0 else None
    return {key: value for key, value in inputs.items() if value is not None and key != unknown}


def grow(random, rows):
    """Grows one tree, best described by its nodes: (feature, threshold, missing goes left, left, right) or a leaf's value."""
    nodes, leaves = [None], [(0, np.arange(len(rows)))]
    while len(leaves) < LEAVES:
        # A large leaf is split first, as a gain-driven learner does, which makes trees deep where the customers are.
        leaves.sort(key=lambda leaf: -len(leaf[1]))
        place, members = leaves.pop(int(random.integers(min(3, len(leaves)))))
        split = draw_split(random, rows[members])
        if split is None:
            leaves.insert(0, (place, members))
            continue
        feature, threshold, missing_left = split
        column = rows[members, feature]
        goes_left = np.where(np.isnan(column), missing_left, column <= threshold)
        left, right = len(nodes), len(nodes) + 1
        nodes[place] = (feature, threshold, missing_left, left, right)
        nodes += [None, None]
        leaves += [(left, members[goes_left]), (right, members[~goes_left])]
    for place, _ in leaves:
        nodes[place] = np.float32(np.round(random.normal(0, 0.08), 6))
    return nodes


def draw_split(random, rows):
    """Draws a feature with at least two values, and a threshold halfway between two neighbours."""
    feature = int(random.integers(rows.shape[1]))
    column = rows[:, feature]
    values = np.unique(column[~np.isnan(column)])
    if len(values) < 2:
        return None
    lower = int(random.integers(len(values) - 1))
    threshold = np.float32((values[lower] + values[lower + 1]) / 2)
    return feature, threshold, bool(np.isnan(column).any() and random.integers(2))


def tree_model(trees, bias):
    """Writes the trees as one ONNX tree ensemble whose sum goes through a sigmoid."""
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    nodes = {f"nodes_{name}": [] for name in (*names, "missing_value_tracks_true")}
    target = {"target_treeids": [], "target_nodeids": [], "target_ids": [], "target_weights": []}
    for tree, tree_nodes in enumerate(trees):
        for place, node in enumerate(tree_nodes):
            is_leaf = not isinstance(node, tuple)
            feature, threshold, missing_left, left, right = (0, 0.0, False, 0, 0) if is_leaf else node
            mode = "LEAF" if is_leaf else "BRANCH_LEQ"
            given = (tree, place, feature, float(threshold), mode, left, right, int(missing_left))
            for values, value in zip(nodes.values(), given):
                values.append(value)
            if is_leaf:
                for values, value in zip(target.values(), (tree, place, 0, float(node))):
                    values.append(value)
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["input"],
        ["sum"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[bias],
        aggregate_function="SUM",
        **nodes,
        **target,
    )
    # The runtime ignores a regressor's own logistic transform, so the sigmoid is a node.
    sigmoid = helper.make_node("Sigmoid", ["sum"], ["propensity"])
    graph = helper.make_graph(
        [ensemble, sigmoid],
        "bench-trees",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["rows", len(COLUMNS)])],
        [helper.make_tensor_value_info("propensity", TensorProto.FLOAT, ["rows", 1])],
    )
    return model_of(graph)


def manifest(name, description):
    return {
        "name": name,
        "version": "1",
        "description": description,
        "data": f"none: made up from seed {SEED}",
        "groups": GROUPS,
        "columns": COLUMNS,
        "metrics": {},
    }


def make(directory):
    """Writes both models with their manifests."""
    random = np.random.Generator(np.random.PCG64(SEED))
    made_up = [make_inputs(random) for _ in range(ROWS)]
    read_by_columns = {input_key(column) for column in COLUMNS}
    assert all(set(inputs) <= read_by_columns for inputs in made_up)
    rows = encode_rows(COLUMNS, made_up)
    golden = [*made_up[:GOLDEN_ROWS], {}]

    trees = [grow(random, rows) for _ in range(TREES)]
    described = f"{TREES} made-up trees of {LEAVES} leaves on {len(COLUMNS)} features, for benches"
    write(directory, "trees.onnx", "trees.json", tree_model(trees, -2.0), manifest("bench-trees", described), golden)

    known = [column | {"missing": 0} if column["name"] == "days_since_last_contact" else column for column in COLUMNS]
    spread = encode_rows(known, made_up).std(axis=0)
    weights = np.round(random.normal(0, 0.15, len(COLUMNS)) / np.maximum(spread, 0.1), 5)
    described = f"a made-up logistic regression on {len(COLUMNS)} features, for benches"
    linear = manifest("bench-linear", described) | {"columns": known}
    write(directory, "linear.onnx", "linear.json", linear_model("bench-linear", weights, -2.0, known), linear, golden)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="make them again and compare bytes")
    arguments = parser.parse_args()
    here = Path(__file__).parent
    if not arguments.check:
        make(here)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        make(scratch)
        names = sorted(path.name for path in Path(scratch).iterdir())
        different = [name for name in names if Path(scratch, name).read_bytes() != (here / name).read_bytes()]
    print(f"different: {', '.join(different)}" if different else f"the same bytes: {', '.join(names)}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
