"""What is written beside a card: the ONNX file, checked by another runtime before, and vectors for the engine's test.

A file is written whole or not at all, so that a run that is stopped leaves no half model.
"""

import dataclasses
import importlib.metadata
import json
import os
import sys

import numpy as np
import onnxruntime

import family
import graph
import trees
from tables import windows

VERSION = "1.0.0"
CHECKED_ROWS = 8192
DIFFERENCE_MAX = 2e-6  # of a probability: what f32 sums in another order make
# Vectors of one row, and of windows: as many as the file may hold.
ORDINARY, EXTREME = {True: 56, False: 12}, {True: 8, False: 3}
LIBRARIES = ("jax", "optax", "lightgbm", "numpy", "onnx", "onnxruntime")


def write(path, content):
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(content)
    os.replace(beside, path)


def contract(run, name):
    """The contract of a model of this run."""
    fitted = run.fitted[name]
    training = {
        "made_by": "scripts/train",
        "data": "generated markets: " + ", ".join(dict.fromkeys(table.group for table in run.stack.tables)),
        "rows": str(len(run.split.train)),
        "seed": str(run.seed),
        "libraries": ", ".join(f"{library} {importlib.metadata.version(library)}" for library in LIBRARIES),
    }
    if fitted.length:
        training["rounds" if family.FAMILY[name] is None else "epochs"] = str(fitted.length)
    split = run.split
    return graph.contract(name, VERSION, split.features, split.scaling, fitted.predictor.window, split.alpha, training)


@dataclasses.dataclass(frozen=True)
class Check:
    """What another runtime has said of a file."""

    rows: int
    difference: float
    decisions: int


def check(run, name, onnx):
    """Runs the file on test rows with onnxruntime; a file that answers otherwise than training did is not written."""
    predictor = run.fitted[name].predictor
    chosen = np.unique(np.linspace(0, len(run.test) - 1, min(CHECKED_ROWS, len(run.test))).astype(int))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    rows = windows(run.split.x, run.test.places[chosen], predictor.window)
    got = np.concatenate([session.run([graph.OUTPUT], {"x": part})[0] for part in np.array_split(rows, len(rows) // 1024 + 1)])
    difference = float(np.abs(got - run.answers[name][chosen]).max())
    if not difference <= DIFFERENCE_MAX:
        sys.exit(
            f"{name}: onnxruntime answers otherwise than training did, by {difference:.1e}: the graph is wrong, nothing is written"
        )
    decisions = 0
    for forest in forests(predictor):
        different = forest.different_leaves(run.split.x[run.test.places[chosen]])
        if different:
            sys.exit(f"{name}: {different} decisions of trees change with thresholds in f32: nothing is written")
        decisions += len(chosen) * len(forest.forest.roots)
    return Check(len(chosen), difference, decisions)


def forests(predictor):
    """The trees of a model, also within a vote."""
    if isinstance(predictor, family.Vote):
        return [part for _, _, part in predictor.parts if isinstance(part, trees.Predictor)]
    return [predictor] if isinstance(predictor, trees.Predictor) else []


def vectors(run, name):
    """Test rows from every market that meet each class, and rows far outside, with the answers of training's own forward
    pass. Rows are raw, as the engine makes them: normalising them is part of what is tested."""
    predictor, split = run.fitted[name].predictor, run.split
    single = predictor.window == 1
    rng = np.random.default_rng(run.seed)
    order = rng.permutation(len(run.test))
    guesses = run.answers[name].argmax(axis=1)[order]
    each = ORDINARY[single] // graph.CLASS_COUNT + 1
    picked = np.concatenate([order[guesses == guess][:each] for guess in range(graph.CLASS_COUNT)])
    rows = windows(run.stack.x, run.test.places[picked], predictor.window)
    extreme = rng.standard_normal((EXTREME[single], *rows.shape[1:])).astype(np.float32) * np.float32(1e4)
    rows = np.concatenate([rows, extreme])
    scaled = split.scaling.apply(rows)
    answers = predictor.of_windows(lambda chosen: scaled[chosen], len(rows))
    told = {
        "about": "rows of the model's features in the order of its contract, oldest first where it looks back, and the "
        "probabilities that training's own forward pass gives for them",
        "features": [f"{feature}:{version}" for feature, version in split.features],
        "window": predictor.window,
        "rows": shortest(rows),
        "probabilities": shortest(answers),
    }
    return json.dumps(told, separators=(",", ":")).replace("],[", "],\n[") + "\n"


def shortest(values):
    """Nested lists of the shortest decimals that read back as the same f32."""
    if values.ndim == 0:
        return float(str(values))
    return [shortest(value) for value in values]
