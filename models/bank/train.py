"""Trains the term-deposit model that scores the savings group.

    pip install -r models/bank/requirements.txt
    python models/bank/train.py bank-additional-train.csv.gz            # writes propensity.onnx and manifest.json
    python models/bank/train.py bank-additional-train.csv.gz --check    # trains again, compares bytes, writes nothing

The data are the calls of a Portuguese bank in order of date, `;` separated: UCI Bank Marketing,
`bank-additional-full.csv`, DOI 10.24432/C5K306 (CC BY 4.0). Any file with its columns in order of date will do.

Only rows later than those a model was fitted on ever judge it, since the world drifts and a random split flatters.
`duration` is known only after the call and is not even read. `campaign` counts the call itself, so one is taken off.
"""

import argparse
import csv
import gzip
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from manifest import encode_rows, linear_model, write
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

# Rows before this one are fitted on, the later ones judge; 85 % of the rows, the first at which contacts of an earlier
# campaign have been seen for a while.
SPLIT = 28_000
# Origins of the rolling validation: fitted on all rows before, judged by the rows up to the next.
ORIGINS = [24_000, 26_000, 28_000, 30_000]
# The share of buyers moves within weeks; this many latest rows set the level and the spread of the scores.
RECALIBRATION_ROWS = 2_000
# The penalty on the squares of standardised weights; a tenth of it changes no conclusion.
PENALTY = 100.0
NEWTON_STEPS_MAX = 100
BINS = 10

CITATION = (
    "UCI Bank Marketing, bank-additional-full.csv, DOI 10.24432/C5K306, CC BY 4.0; S. Moro, P. Cortez, P. Rita, "
    "A Data-Driven Approach to Predict the Success of Bank Telemarketing, Decision Support Systems 62, 2014"
)

EDUCATION = [
    "illiterate",
    "basic-4y",
    "basic-6y",
    "basic-9y",
    "high-school",
    "professional-course",
    "university-degree",
]


def number(name, source, missing, **more):
    return {"name": name, "from": source, "as": "number", "missing": missing, **more}


def equals(name, source, value):
    return {"name": name, "from": source, "as": "equals", "value": value}


# What ships. A clip is a straight piece of a curve: nothing below 20, a slope to 35, flat above; and a step at 60.
COLUMNS = [
    number("age_20_to_35", "profile.age", 35, clip=[20, 35]),
    number("age_from_60", "profile.age", 59, clip=[59, 60]),
    equals("job_retired", "profile.job", "retired"),
    equals("job_student", "profile.job", "student"),
    equals("marital_single", "profile.marital", "single"),
    {"name": "education", "from": "profile.education", "as": "ordinal", "order": EDUCATION, "unknown": 4, "missing": 4},
    # A bank that does not know whether a customer has defaulted has met a customer who does not say: they buy as rarely.
    {"name": "default_not_excluded", "from": "profile.has_default", "as": "boolean", "missing": 1},
    equals("previous_success", "profile.previous_outcome", "success"),
    equals("previous_failure", "profile.previous_outcome", "failure"),
    {
        "name": "contacts_90d",
        "from": "contacts",
        "as": "number",
        "count": "delivered",
        "scope": "group",
        "within": "90d",
        "clip": [0, 9],
        "log1p": True,
    },
]

JOBS = ["admin", "blue-collar", "entrepreneur", "housemaid", "management", "self-employed", "services", "technician"]
MONTHS = ["mar", "apr", "may", "jun", "jul", "aug", "oct", "nov"]
ECONOMY = ["emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed"]

# What was tried beside it, each added to what ships.
ADDITIONS = {
    "+ all jobs": [equals(job, "profile.job", job) for job in JOBS],
    "+ housing and personal loan": [
        {"name": name, "from": f"profile.{name}", "as": "boolean", "missing": 0}
        for name in ("has_housing_loan", "has_personal_loan")
    ],
    "+ number of previous contacts": [number("previous_contacts", "profile.previous_contacts", 0, clip=[0, 3])],
    "+ days since last contact": [number("days", "profile.days_since_last_contact", 30, clip=[0, 30], log1p=True)],
    "+ kind of phone": [equals("cellular", "profile.phone_type", "cellular")],
    "+ day of the week": [equals(day, "context.day_of_week", day) for day in ("mon", "tue", "wed", "thu")],
    "+ month": [equals(month, "context.month", month) for month in MONTHS],
    "+ economic columns": [number(name, f"economy.{name}", 0) for name in ECONOMY],
}


def read(path):
    """Reads the file as named inputs a row, as a profile and a request would have them, and who bought."""
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", newline="") as text:
        # Twelve rows are exact copies; one of each is kept, so that none judges a model that was fitted on its copy.
        rows = list(dict.fromkeys(tuple(row.items()) for row in csv.DictReader(text, delimiter=";")))
    rows = [dict(row) for row in rows]
    return [named(row) for row in rows], np.array([row["y"] == "yes" for row in rows])


def named(row):
    def known(key):
        return None if row[key] == "unknown" else row[key].replace(".", "-").strip("-")

    def flag(key):
        return None if row[key] == "unknown" else row[key] == "yes"

    return {
        "profile.age": float(row["age"]),
        "profile.job": known("job"),
        "profile.marital": known("marital"),
        "profile.education": known("education"),
        "profile.has_default": flag("default"),
        "profile.has_housing_loan": flag("housing"),
        "profile.has_personal_loan": flag("loan"),
        "profile.phone_type": row["contact"],
        "profile.previous_contacts": float(row["previous"]),
        "profile.days_since_last_contact": None if row["pdays"] == "999" else float(row["pdays"]),
        "profile.previous_outcome": row["poutcome"],
        "contacts.contacts_90d": float(row["campaign"]) - 1,
        "context.month": row["month"],
        "context.day_of_week": row["day_of_week"],
        **{f"economy.{name}": float(row[name]) for name in ECONOMY},
    }


def newton(rows, bought, penalty):
    """Fits weights, the last one a constant that is not penalised, to the last digit: the optimum is unique."""
    design = np.hstack([rows, np.ones((len(rows), 1))])
    penalties = np.append(np.full(rows.shape[1], float(penalty)), 0.0)
    weights = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS_MAX):
        said = probability(design @ weights)
        slope = design.T @ (bought - said) - penalties * weights
        curvature = (design * (said * (1 - said))[:, None]).T @ design + np.diag(penalties)
        step = np.linalg.solve(curvature, slope)
        weights += step
        if np.abs(step).max() < 1e-10:
            return weights
    raise ArithmeticError(f"the fit did not settle in {NEWTON_STEPS_MAX} steps")


def fit_logistic(rows, bought):
    """Fits a logistic regression on standardised columns; returns weights and bias for the columns as they are."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    spread[spread == 0] = 1
    *weights, bias = newton((rows - mean) / spread, bought, PENALTY)
    weights = np.array(weights) / spread
    return weights, bias - weights @ mean


def recalibrate(weights, bias, rows, bought):
    """Stretches and shifts the logit so that it fits the latest rows (Platt scaling); the order stays as it is."""
    stretch, shift = newton((rows @ weights + bias)[:, None], bought, 0)
    return weights * stretch, bias * stretch + shift


def probability(logit):
    return 1 / (1 + np.exp(-logit))


def logistic(rows, bought, later):
    weights, bias = fit_logistic(rows, bought)
    return later @ weights + bias


def trees(leaves, count, leaf_rows):
    def fit(rows, bought, later):
        model = HistGradientBoostingClassifier(
            max_iter=count,
            max_leaf_nodes=leaves,
            min_samples_leaf=leaf_rows,
            learning_rate=0.05,
            l2_regularization=1,
            early_stopping=False,
            random_state=0,
        )
        return model.fit(rows, bought).decision_function(later)

    return fit


def auc_within(months, bought, scores):
    """Returns the AUC over pairs of the same month: what is left when a model cannot win by knowing the date."""
    won = pairs = 0.0
    for month in np.unique(months):
        chosen = months == month
        weight = bought[chosen].sum() * (~bought[chosen]).sum()
        if weight:
            won += weight * roc_auc_score(bought[chosen], scores[chosen])
            pairs += weight
    return won / pairs


def calibration_error(bought, scores):
    """Returns the expected calibration error over bins of equal size, and the bins."""
    bins = np.array_split(np.argsort(scores, kind="stable"), BINS)
    table = [(len(chosen), scores[chosen].mean(), bought[chosen].mean()) for chosen in bins]
    return sum(count * abs(said - was) for count, said, was in table) / len(scores), table


def judge(label, fit, matrix, bought, months):
    """Prints one candidate on later rows: rolling origins, and frozen at the split."""
    rolling = []
    for origin, end in zip(ORIGINS, [*ORIGINS[1:], len(bought)]):
        scores = fit(matrix[:origin], bought[:origin], matrix[origin:end])
        rolling.append(roc_auc_score(bought[origin:end], scores))
    scores, later = fit(matrix[:SPLIT], bought[:SPLIT], matrix[SPLIT:]), bought[SPLIT:]
    frozen = roc_auc_score(later, scores), average_precision_score(later, scores)
    within = auc_within(months[SPLIT:], later, scores)
    folds = " ".join(f"{auc:.3f}" for auc in rolling)
    print(f"{label:31}  {folds}  {np.mean(rolling):.3f}   {frozen[0]:.3f}  {frozen[1]:.3f}  {within:.3f}")


def compare(inputs, bought):
    """Prints the candidates side by side."""
    months = np.array([row["context.month"] for row in inputs])
    shipped = encode_rows(COLUMNS, inputs)
    print(f"{'':31}  AUC from rolling origins           frozen at row {SPLIT:,}")
    print(f"{'':31}  {' '.join(f'{origin // 1000}k  ' for origin in ORIGINS)}  mean    AUC    PR-AUC within months")
    judge("logistic, as shipped", logistic, shipped, bought, months)
    for label, columns in ADDITIONS.items():
        judge(f"  {label}", logistic, np.hstack([shipped, encode_rows(columns, inputs)]), bought, months)
    history = {"previous_success", "previous_failure", "contacts_90d"}
    kept = [number for number, column in enumerate(COLUMNS) if column["name"] not in history]
    judge("  - contact history", logistic, shipped[:, kept], bought, months)
    judge("trees, 60 of 4 leaves", trees(4, 60, 200), shipped, bought, months)
    judge("trees, 100 of 8 leaves", trees(8, 100, 100), shipped, bought, months)
    judge("trees, 100 of 31 leaves", trees(31, 100, 20), shipped, bought, months)
    everything = [column for columns in ADDITIONS.values() for column in columns]
    matrix = np.hstack([shipped, encode_rows(everything, inputs)])
    judge("logistic, everything", logistic, matrix, bought, months)
    judge("trees, 100 of 8, everything", trees(8, 100, 100), matrix, bought, months)


def train(matrix, bought):
    """Fits on all rows and recalibrates on the latest; rounds, so that another processor writes the same bytes."""
    weights, bias = fit_logistic(matrix, bought)
    latest = slice(len(bought) - RECALIBRATION_ROWS, None)
    weights, bias = recalibrate(weights, bias, matrix[latest], bought[latest])
    return np.round(weights, 5), round(bias, 5)


def measure(matrix, bought):
    """Prints how the recipe does on the rows after the split, and returns the figures for the manifest."""
    raw_weights, raw_bias = fit_logistic(matrix[:SPLIT], bought[:SPLIT])
    weights, bias = train(matrix[:SPLIT], bought[:SPLIT])
    later = bought[SPLIT:]
    before = probability(matrix[SPLIT:] @ raw_weights + raw_bias)
    scores = probability(matrix[SPLIT:] @ weights + bias)
    half = np.argsort(-scores, kind="stable")[: len(later) // 2]
    print(f"\nFitted on {SPLIT:,} rows ({bought[:SPLIT].mean():.1%} bought), judged by {len(later):,} later ones")
    print(f"  AUC {roc_auc_score(later, scores):.3f}, PR-AUC {average_precision_score(later, scores):.3f} "
          f"(chance {later.mean():.3f}), buyers in the best half {later[half].sum() / later.sum():.1%}")
    for label, said in (("as fitted", before), ("recalibrated", scores)):
        error, _ = calibration_error(later, said)
        print(f"  {label:12}  said {said.mean():.3f}, was {later.mean():.3f}, Brier {brier_score_loss(later, said):.4f}, "
              f"ECE {error:.4f}")
    error, table = calibration_error(later, scores)
    print("  recalibrated, by tenths of the score:  rows   said    was")
    for count, said, was in table:
        print(f"{'':41}{count:4}  {said:.3f}  {was:.3f}")
    return {
        "later_rows": len(later),
        "auc": round(roc_auc_score(later, scores), 4),
        "pr_auc": round(average_precision_score(later, scores), 4),
        "brier": round(brier_score_loss(later, scores), 4),
        "ece": round(error, 4),
        "buyers_in_best_half": round(later[half].sum() / later.sum(), 4),
    }


def golden_inputs(inputs):
    """Picks rows from all over the file, as only the inputs that the model reads, and adds a customer nobody knows."""
    read_by_model = [column["from"] for column in COLUMNS if column["from"] != "contacts"] + ["contacts.contacts_90d"]
    picked = [inputs[place] for place in np.linspace(0, len(inputs) - 1, 15).astype(int)]
    rows = [{key: row[key] for key in dict.fromkeys(read_by_model) if row[key] is not None} for row in picked]
    extremes = {"profile.age": 71, "profile.job": "retired", "profile.previous_outcome": "success",
                "profile.education": "illiterate", "profile.has_default": True, "contacts.contacts_90d": 12}
    return [*rows, extremes, {}]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the rows, in order of date (.csv or .csv.gz)")
    parser.add_argument("--out", default=Path(__file__).parent, type=Path, help="where to write (default: here)")
    parser.add_argument("--check", action="store_true", help="train again and compare bytes with what is in --out")
    arguments = parser.parse_args()

    inputs, bought = read(arguments.data)
    matrix = encode_rows(COLUMNS, inputs).astype(np.float64)
    print(f"{len(bought):,} rows in order of date, {bought.mean():.1%} bought\n")
    if not arguments.check:
        compare(inputs, bought)
    metrics = measure(matrix, bought)
    weights, bias = train(matrix, bought)
    manifest = {
        "name": "bank-term-deposit",
        "version": "1",
        "description": "How likely a customer is to accept a term deposit when contacted about one",
        "data": CITATION,
        "groups": ["savings"],
        "columns": COLUMNS,
        "metrics": metrics,
    }
    print(f"\nShipped: the same recipe on all rows, recalibrated on the latest {RECALIBRATION_ROWS:,}")
    for column, weight in zip(COLUMNS, weights):
        print(f"  {column['name']:22}{weight:+.5f}")
    print(f"  {'(constant)':22}{bias:+.5f}")

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) if arguments.check else arguments.out
        model = linear_model(manifest["name"], weights, bias, manifest["columns"])
        write(out, "propensity.onnx", "manifest.json", model, manifest, golden_inputs(inputs))
        if not arguments.check:
            return 0
        names = ("propensity.onnx", "manifest.json")
        different = [name for name in names if (out / name).read_bytes() != (arguments.out / name).read_bytes()]
        print(f"\nThe same bytes: {', '.join(names)}" if not different else f"\nDIFFERENT: {', '.join(different)}")
        return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
