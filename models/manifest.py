"""What the training scripts share: a row is encoded here exactly as the engine encodes it.

A script describes its columns once, as the manifest has them. Training rows, golden rows and the engine's rows all come
from that one description, so training and serving cannot see different features. The format is documented in
`src/catalog/manifest.rs`.
"""

import hashlib
import json
import math
import os
from datetime import datetime, timezone
from pathlib import Path

# Official builds of ONNX Runtime from 1.29 on send telemetry; the pinned version does not, and this makes sure.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
IR_VERSION = 8
DAY_SECONDS = 86_400
# How far the engine's score may lie from the one that this machine got: 32-bit rounding on another processor.
TOLERANCE = 1e-5


def input_key(column):
    """Returns the name under which a golden row gives the column's value."""
    return f"contacts.{column['name']}" if column["from"] == "contacts" else column["from"]


def encode(column, inputs):
    """Turns named inputs into one column's number: clipped, then logged, then rounded to 32 bits."""
    value = inputs.get(input_key(column))
    if value is None:
        if column["from"] == "contacts" or column["from"].startswith("intent."):
            value = 0
        else:
            return np.float32(column.get("missing", 0))
    number = _number(column, value, inputs)
    if "clip" in column:
        low, high = column["clip"]
        number = min(max(number, low), high)
    if column.get("log1p"):
        number = math.log1p(number)
    return np.float32(number)


def _number(column, value, inputs):
    kind = column["as"]
    if kind == "number":
        return float(value)
    if kind == "boolean":
        return float(bool(value))
    if kind == "equals":
        return float(value == column["value"])
    if kind == "contains":
        return float(column["value"] in value)
    if kind == "ordinal":
        return float(column["order"].index(value) if value in column["order"] else column["unknown"])
    if kind == "days_since":
        return float((_seconds(inputs["now"]) - _seconds(value)) // DAY_SECONDS)
    raise ValueError(f"column {column['name']}: unknown encoding {kind}")


def _seconds(text):
    moment = datetime.fromisoformat(text)
    return int(moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp())


def encode_rows(columns, rows):
    """Encodes many rows of named inputs into a matrix of shape [rows, columns]."""
    return np.array([[encode(column, inputs) for column in columns] for inputs in rows], dtype=np.float32)


def linear_model(name, weights, bias, columns):
    """Makes an ONNX logistic regression: input `input`, output `propensity` of shape [rows, 1].

    Numbers count from the lowest that their column can say: 1.2 times an age of 59 and -74 cancel each other, and would
    leave fewer than five right digits of the 32 bits.
    """
    width = len(weights)
    lows = [0.0 if column.get("log1p") else float(column.get("clip", [0])[0]) for column in columns]
    bias = round(float(bias) + sum(float(weight) * low for weight, low in zip(weights, lows)), 5)
    is_moved = any(lows)
    moved = [helper.make_node("Sub", ["input", "lows"], ["moved"])] if is_moved else []
    graph = helper.make_graph(
        [
            *moved,
            helper.make_node("Gemm", ["moved" if is_moved else "input", "weights", "bias"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["propensity"]),
        ],
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("propensity", TensorProto.FLOAT, ["rows", 1])],
        [
            helper.make_tensor("weights", TensorProto.FLOAT, [width, 1], [float(weight) for weight in weights]),
            helper.make_tensor("bias", TensorProto.FLOAT, [1], [float(bias)]),
            *([helper.make_tensor("lows", TensorProto.FLOAT, [width], lows)] if is_moved else []),
        ],
    )
    return model_of(graph)


def model_of(graph):
    """Wraps a graph as a checked model with fixed versions, so that the same graph gives the same bytes."""
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=IR_VERSION, producer_name="nbo")
    onnx.checker.check_model(model)
    return model


def score(model_bytes, rows):
    """Scores encoded rows with ONNX Runtime, one row at a time, as a small decision does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])
    return [float(session.run(["propensity"], {"input": row[None, :]})[0][0, 0]) for row in rows]


def write(directory, file, manifest_file, model, manifest, golden_inputs):
    """Writes the model and its manifest, with checksum and golden rows filled in."""
    model_bytes = model.SerializeToString(deterministic=True)
    rows = encode_rows(manifest["columns"], golden_inputs)
    scores = score(model_bytes, rows)
    if not all(0 <= answer <= 1 for answer in scores):
        raise ValueError(f"{file}: golden scores {min(scores)} to {max(scores)}, a propensity is from 0 to 1")
    golden = [
        {"inputs": inputs, "row": [_json_number(number) for number in row], "score": _json_number(answer)}
        for inputs, row, answer in zip(golden_inputs, rows, scores)
    ]
    whole = {
        "format": 1,
        **{key: manifest[key] for key in ("name", "version", "description", "data")},
        "file": file,
        "sha256": hashlib.sha256(model_bytes).hexdigest(),
        "groups": manifest["groups"],
        "input": {"name": "input", "features": len(manifest["columns"])},
        "output": {"name": "propensity", "column": 0},
        "columns": [
            column | {"missing": "nan"} if _is_nan(column.get("missing")) else column for column in manifest["columns"]
        ],
        "golden": golden,
        "tolerance": TOLERANCE,
        "metrics": manifest["metrics"],
    }
    Path(directory).mkdir(parents=True, exist_ok=True)
    Path(directory, file).write_bytes(model_bytes)
    Path(directory, manifest_file).write_text(_text(whole), encoding="utf-8")


def _is_nan(number):
    return isinstance(number, float) and math.isnan(number)


def _json_number(number):
    """Writes a 32-bit number with the fewest digits that read back as the same number; NaN is null."""
    return None if np.isnan(number) else float(str(np.float32(number)))


def _text(manifest):
    """Writes a manifest as people read it: one line a column, one line a golden row."""
    lines = []
    for key, value in manifest.items():
        if key in ("columns", "golden"):
            inner = ",\n".join("    " + json.dumps(element) for element in value)
            lines.append(f"  {json.dumps(key)}: [\n{inner}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
