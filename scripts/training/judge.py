"""What is said of predictions: measures, the baselines that they are held against, and whether a difference is one.

Measures over several tables weigh each table the same, as training does. Tables are markets that know nothing of each
other, so that the difference of two models has a standard error: that of its mean over the tables.
"""

import dataclasses
import math

import numpy as np

CLASS_COUNT = 3
CONFIDENT = 0.5  # a direction counts as said from this probability on
DIFFERENT = 2.0  # standard errors from which on a difference is called one


@dataclasses.dataclass(frozen=True)
class Measures:
    """`base_…` is the best that a constant answer could do on these very rows: it knows their class shares."""

    rows: int
    shares: tuple
    accuracy: float
    macro_f1: float
    log_loss: float
    base_accuracy: float
    base_log_loss: float
    direction_right: float
    direction_share: float

    @classmethod
    def of(cls, p, y, weight):
        weight = weight / weight.sum()
        guess = p.argmax(axis=1)
        shares = np.bincount(y, weight, minlength=CLASS_COUNT)
        said = np.bincount(guess, weight, minlength=CLASS_COUNT)
        hits = np.bincount(y[guess == y], weight[guess == y], minlength=CLASS_COUNT)
        f1 = [2.0 * h / (s + o) if s + o > 0.0 else 0.0 for h, s, o in zip(hits, said, shares)]
        moves = (guess != 1) & (p.max(axis=1) >= CONFIDENT) & (y != 1)
        directions = weight[moves].sum()
        return cls(
            rows=len(y),
            shares=tuple(shares),
            accuracy=float(weight[guess == y].sum()),
            macro_f1=float(np.mean(f1)),
            log_loss=float((losses(p, y) * weight).sum()),
            base_accuracy=float(shares.max()),
            base_log_loss=float(-sum(s * math.log(s) for s in shares if s > 0.0)),
            direction_right=float(weight[moves & (guess == y)].sum() / directions) if directions else math.nan,
            direction_share=float(directions),
        )


def losses(p, y):
    """The log loss of each row."""
    return -np.log(np.maximum(p[np.arange(len(y)), y].astype(np.float64), 1e-12))


def log_loss(p, y, weight):
    return float((losses(p, y) * weight).sum() / weight.sum())


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much less log loss a model has than another, over tables; negative where it has more."""

    gain: float
    error: float
    better_in: int
    tables: int

    @classmethod
    def between(cls, model, other, y, table):
        gains = per_table(losses(other, y) - losses(model, y), table)
        error = gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        return cls(float(gains.mean()), float(error), int((gains > 0.0).sum()), len(gains))

    @property
    def verdict(self):
        if self.gain > DIFFERENT * self.error:
            return "better"
        return "worse" if self.gain < -DIFFERENT * self.error else "no difference"


def per_table(values, table):
    """The mean of each table that has rows."""
    count = np.bincount(table)
    sums = np.bincount(table, values)
    return sums[count > 0] / count[count > 0]


def imbalance_rule(features, x, y, weight):
    """The trivial baseline: the side with the longer queue wins, beyond a threshold chosen on training rows. Raw rows."""
    column = [name for name, _ in features].index("queue_imbalance")

    def says(x, threshold):
        return np.where(x[:, column] > threshold, 2, np.where(x[:, column] < -threshold, 0, 1))

    thresholds = np.linspace(0.0, 0.95, 20)
    right = [(weight * (says(x, threshold) == y)).sum() for threshold in thresholds]
    threshold = float(thresholds[int(np.argmax(right))])
    return lambda x: np.eye(CLASS_COUNT)[says(x, threshold)]


def mixture(answers, y, weight, steps=10):
    """The weights of a vote of several models, in tenths, with the least log loss on these rows."""
    best = (math.inf, None)
    for shares in compositions(len(answers), steps):
        p = sum(share / steps * answer for share, answer in zip(shares, answers))
        best = min(best, (log_loss(p, y, weight), shares))
    return [share / steps for share in best[1]], best[0]


def compositions(parts, total):
    """All ways to write a total as so many whole numbers."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(parts - 1, total - first):
            yield (first, *rest)
