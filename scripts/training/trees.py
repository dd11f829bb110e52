"""Gradient-boosted trees: LightGBM's fit, and the same trees in f32.

An engine compares f32 with f32, LightGBM keeps its thresholds in f64. A threshold rounded *down* to f32 changes no
comparison: between it and the f64 one there is no f32, so `x <= t` holds for the same x. (Rounded to nearest it may move
up, past a value of the data, as training puts thresholds where the data is dense.) `Forest.leaves` and LightGBM's own are
compared on the test rows before anything is written.
"""

import dataclasses

import lightgbm
import numpy as np

from judge import CLASS_COUNT

ROUNDS = 100  # of one tree per class
PATIENCE = 10
PARAMETERS = {
    "objective": "multiclass",
    "num_class": CLASS_COUNT,
    "learning_rate": 0.2,
    "max_depth": 5,
    "num_leaves": 16,
    "min_data_in_leaf": 400,
    "lambda_l2": 1.0,
    "feature_fraction": 0.7,
    # One thread and rows in order: the same trees on each run.
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def f32_below(value):
    """The largest f32 that is not above a number."""
    value = np.asarray(value, np.float64)
    near = value.astype(np.float32)
    return np.where(near.astype(np.float64) > value, np.nextafter(near, np.float32(-np.inf)), near)


@dataclasses.dataclass
class Forest:
    """Trees as columns, one entry per node; a tree's nodes follow each other, its root first. A leaf has no `feature`
    (-1); `less` and `other` are places in the same columns, `leaf` is LightGBM's number of a leaf."""

    tree: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    less: np.ndarray
    other: np.ndarray
    leaf: np.ndarray
    score: np.ndarray
    roots: np.ndarray

    @classmethod
    def of(cls, booster, rounds):
        columns = {field.name: [] for field in dataclasses.fields(cls)}
        for number, tree in enumerate(booster.dump_model(num_iteration=rounds)["tree_info"]):
            columns["roots"].append(len(columns["tree"]))
            grow(columns, number, tree["tree_structure"])
        forest = {name: np.array(values) for name, values in columns.items()}
        forest["threshold"] = f32_below(forest["threshold"])
        forest["score"] = forest["score"].astype(np.float32)
        return cls(**forest)

    def leaves(self, x):
        """LightGBM's number of the leaf that each row comes to in each tree."""
        found = np.empty((len(x), len(self.roots)), np.int64)
        every = np.arange(len(x))
        for number, root in enumerate(self.roots):
            at = np.full(len(x), root)
            while (self.feature[at] >= 0).any():
                inner = self.feature[at] >= 0
                less = x[every, self.feature[at]] <= self.threshold[at]
                at = np.where(inner, np.where(less, self.less[at], self.other[at]), at)
            found[:, number] = self.leaf[at]
        return found

    @property
    def depth(self):
        depth = np.zeros(len(self.tree), np.int64)
        for node in np.flatnonzero(self.feature >= 0):
            depth[self.less[node]] = depth[self.other[node]] = depth[node] + 1
        return int(depth.max())


def grow(columns, tree, node):
    """Lists a node and what is below it, less before other. Returns its place."""
    place = len(columns["tree"])
    is_leaf = "leaf_value" in node
    if not is_leaf and (node["decision_type"] != "<=" or node["missing_type"] != "None"):
        raise ValueError(
            f"a split {node['decision_type']} with missing type {node['missing_type']}: only plain numbers are written"
        )
    columns["tree"].append(tree)
    columns["feature"].append(-1 if is_leaf else node["split_feature"])
    columns["threshold"].append(0.0 if is_leaf else node["threshold"])
    columns["leaf"].append(node.get("leaf_index", 0) if is_leaf else -1)
    columns["score"].append(node["leaf_value"] if is_leaf else 0.0)
    columns["less"].append(-1)
    columns["other"].append(-1)
    if not is_leaf:
        columns["less"][place] = grow(columns, tree, node["left_child"])
        columns["other"][place] = grow(columns, tree, node["right_child"])
    return place


class Predictor:
    """Fitted trees: probabilities at places of a matrix of normalised rows."""

    window = 1

    def __init__(self, booster, rounds):
        self.booster, self.rounds = booster, rounds
        self.forest = Forest.of(booster, rounds)

    def __call__(self, x, places):
        return self.booster.predict(x[places], num_iteration=self.rounds).astype(np.float32)

    def of_windows(self, take, count):
        return self.booster.predict(take(np.arange(count)), num_iteration=self.rounds).astype(np.float32)

    def different_leaves(self, x):
        """In how many of all its decisions the f32 trees and LightGBM's come to different leaves."""
        own = self.booster.predict(x, num_iteration=self.rounds, pred_leaf=True)
        return int((self.forest.leaves(x) != own.reshape(len(x), -1)).sum())


def both_ways(x, rows, y, signs):
    """Rows as they are and in the mirror, one below the other."""
    seen = x[rows.places]
    return {
        "data": np.concatenate([seen, seen * signs]),
        "label": np.concatenate([y, 2 - y]),
        "weight": np.tile(rows.weight, 2),
    }


def fit(x, rows, y, signs, seed, most=None, keep=None, validation=None, tell=None):
    """Fits trees, each row as it is and mirrored. Returns the predictor and its rounds: with `validation` (rows and labels)
    those, of `most`, that are best there, else `keep`."""
    train = lightgbm.Dataset(**both_ways(x, rows, y, signs), free_raw_data=False)
    options = {"num_boost_round": keep or most or ROUNDS, "callbacks": []}
    if validation is not None:
        held = lightgbm.Dataset(**both_ways(x, *validation, signs), reference=train, free_raw_data=False)
        options |= {"valid_sets": [held], "valid_names": ["validation"]}
        options["callbacks"].append(lightgbm.early_stopping(PATIENCE, verbose=False))
    if tell:
        options["callbacks"].append(lambda state: progress(state, tell))
    booster = lightgbm.train(PARAMETERS | {"seed": seed}, train, **options)
    kept = booster.best_iteration if validation is not None else booster.current_iteration()
    return Predictor(booster, kept), kept


def progress(state, tell):
    """A line every ten rounds."""
    if (state.iteration + 1) % 10 == 0 and state.evaluation_result_list:
        tell(
            f"round {state.iteration + 1:3} of {state.end_iteration}: validation log loss {state.evaluation_result_list[0][2]:.4f}"
        )
