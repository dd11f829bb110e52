"""The six models: what each is, how it is fitted to a split, and how it becomes a graph.

All are fitted to the same rows and judged on the same rows: those that have the longest window of the family before them.
"""

import dataclasses
import functools
import time

import numpy as np

import nets
import trees
from graph import Graph
from judge import log_loss, mixture
from tables import Rows, Scaling, band, labels, mirror_signs

# By name: which net, or None for what is no net.
FAMILY = {
    "logistic_v1": "logistic",
    "mlp_v1": "mlp",
    "lstm_v1": "lstm",
    "tcn_v1": "tcn",
    "gbdt_v1": None,
    "ensemble_v1": None,
}
VOTERS = ("logistic_v1", "mlp_v1", "gbdt_v1")
WINDOW_MAX = max(recipe.window for recipe in nets.RECIPES.values())
TEST_FROM = 0.8  # where in each table the test begins
OWN_TEST_FROM = 0.6  # the same in a recording that a model is fitted to for once
VALIDATION = 0.1  # the share of each table before the test that chooses epochs, rounds and weights


@dataclasses.dataclass
class Split:
    """Rows to fit to and rows to choose by, with the band and the normalisation that the first alone decide."""

    features: list
    scaling: Scaling
    alpha: float
    x: np.ndarray
    train: Rows
    validation: Rows

    @classmethod
    def of(cls, stack, end, has_validation):
        """Fits to the part of each table before `end`. Rows that choose are the last of it."""
        features = stack.tables[0].features
        train_end = end - VALIDATION if has_validation else end
        train = stack.part(0.0, train_end)
        scaling = Scaling(stack.x[train.places], features)
        return cls(
            features=features,
            scaling=scaling,
            alpha=band(train.move, train.weight),
            x=scaling.apply(stack.x),
            train=train,
            validation=stack.part(train_end, end) if has_validation else None,
        )

    def labels(self, rows):
        return labels(rows.move, self.alpha)


@dataclasses.dataclass
class Fitted:
    """A model that was fitted: what predicts, how long it learnt (epochs or rounds), and how long that took."""

    predictor: object
    length: int
    seconds: float


class Vote:
    """A weighted sum of the probabilities of several models on the same row. One that weighs nothing is left out."""

    window = 1

    def __init__(self, parts):
        parts = list(parts)
        self.weights = {name: weight for name, weight, _ in parts}
        self.parts = [(name, weight, predictor) for name, weight, predictor in parts if weight > 0.0]

    def __call__(self, x, places):
        return sum(np.float32(weight) * predictor(x, places) for _, weight, predictor in self.parts)

    def of_windows(self, take, count):
        return sum(np.float32(weight) * predictor.of_windows(take, count) for _, weight, predictor in self.parts)


def fit(name, split, seed, most, keep=None, tell=None):
    """Fits one model other than the vote. `most`: epochs and rounds at most, by kind, where less than usual is wanted;
    `keep`: how many there are, where no rows choose."""
    started = time.monotonic()
    y = split.labels(split.train)
    arguments = (split.x, split.train, y, mirror_signs(split.features), seed)
    kind = FAMILY[name]
    if kind is None:
        validation = (split.validation, split.labels(split.validation)) if split.validation is not None else None
        fitted = trees.fit(*arguments, most=most.get("rounds"), keep=keep, validation=validation, tell=tell)
    else:
        judge = None
        if split.validation is not None:
            held, truth = split.validation, split.labels(split.validation)

            def judge(predictor):
                return log_loss(predictor(split.x, held.places), truth, held.weight)

        fitted = nets.fit(kind, *arguments, most=most.get("epochs"), keep=keep, judge=judge, tell=tell)
    return Fitted(*fitted, time.monotonic() - started)


def vote(fitted, split, weights=None, tell=None):
    """The vote of fitted models, with the weights that are best on the rows that choose."""
    started = time.monotonic()
    voters = [fitted[name].predictor for name in VOTERS]
    if weights is None:
        held = split.validation
        answers = [voter(split.x, held.places) for voter in voters]
        weights, loss = mixture(answers, split.labels(held), held.weight)
        if tell:
            shares = ", ".join(f"{name} {weight:.1f}" for name, weight in zip(VOTERS, weights))
            tell(f"weights {shares}: validation log loss {loss:.4f}")
    return Fitted(Vote(zip(VOTERS, weights, voters)), 0, time.monotonic() - started), weights


def add(graph, predictor, value):
    """Adds a fitted model to a graph and returns the name of its probabilities."""
    if isinstance(predictor, Vote):
        return graph.vote(
            [(name, weight, functools.partial(add, graph, part)) for name, weight, part in predictor.parts], value
        )
    if isinstance(predictor, trees.Predictor):
        return graph.forest(predictor.forest, value)
    build = {"lstm": graph.lstm, "tcn": graph.tcn}.get(predictor.kind, graph.dense)
    return build(predictor.net, value)


def file(name, predictor, contract):
    """The ONNX file of a fitted model."""
    graph = Graph()
    add(graph, predictor, "x")
    return graph.file(name, predictor.window, contract)


def describe(predictor, features):
    """What it is, in a sentence without its subject."""
    if isinstance(predictor, Vote):
        votes = ", ".join(f"{weight or 'none'} of {name}" for name, weight in predictor.weights.items())
        return f"a weighted vote in one graph, {votes} (of the weights in tenths those with the least log loss on the rows that choose)"
    if isinstance(predictor, trees.Predictor):
        forest = predictor.forest
        return f"gradient-boosted trees (LightGBM), {len(forest.roots)} of depth {forest.depth} at most, softmax"
    return {
        "logistic": f"a softmax regression, {features} – 3",
        "mlp": f"a multi-layer perceptron, {features} – {' – '.join(map(str, nets.MLP_HIDDEN))} – 3, ReLU, softmax",
        "lstm": f"an LSTM of {nets.LSTM_HIDDEN} cells over {nets.LSTM_WINDOW} rows, its last state – 3, softmax",
        "tcn": f"a temporal convolution network: causal convolutions of 3 rows, {nets.TCN_CHANNELS} channels, dilations "
        f"{', '.join(map(str, nets.TCN_DILATIONS))}, ReLU, read at the newest of {nets.TCN_WINDOW} rows – 3, softmax",
    }[predictor.kind]


def parameters(predictor):
    """Weights and biases; of trees, thresholds and scores."""
    if isinstance(predictor, Vote):
        return sum(parameters(part) for _, _, part in predictor.parts)
    if isinstance(predictor, trees.Predictor):
        return len(predictor.forest.tree)
    return sum(value.size for value in predictor.net.values())


def work(predictor, features):
    """Multiply-adds and comparisons of one prediction from nothing, without those that no answer needs."""
    if isinstance(predictor, Vote):
        return tuple(map(sum, zip(*(work(part, features) for _, _, part in predictor.parts))))
    if isinstance(predictor, trees.Predictor):
        return 0, len(predictor.forest.roots) * predictor.forest.depth
    times = {}
    if predictor.kind == "lstm":
        times = {"lstm": nets.LSTM_WINDOW}
    elif predictor.kind == "tcn":
        rows = nets.TCN_WINDOW
        for layer in range(len(nets.TCN_DILATIONS)):
            rows = (rows - 1) // 2
            times[f"conv{layer}"] = rows
    matrices = [(name.split(".")[0], value.size) for name, value in predictor.net.items() if value.ndim == 2]
    return sum(size * times.get(layer, 1) for layer, size in matrices), 0
