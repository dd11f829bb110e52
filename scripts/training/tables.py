"""From feature tables to rows that a model may learn from: labels, splits in time, mirrors, normalisation.

A table is what the engine's own feature code wrote (`quantumflow features`): exchange time, update id, segment, best bid
and ask, whether features looked further into the book than it is known, then one column per feature, headed
`name:version`. The order and the versions in a model's contract are those of the header.

No look-ahead: tables are split in time, never shuffled before the split; at each border rows are left out (the purge
gap), so that no label, no window and no feature over updates reaches across; the normalisation and the label's band come
from training rows alone. Every table weighs the same, however many rows it has.
"""

import dataclasses
import sys

import numpy as np

HORIZON = 20  # book updates that the label averages over
LOOKBACK = 100  # book updates that the longest feature window that is counted in updates reaches back
CLIP = 5.0  # normalised features are kept within this
# What the models look at. Seen in a mirror (bids as asks, buyers as sellers), these keep their value and all others change
# their sign.
EVEN = {
    "spread_ticks",
    "spread_bps",
    "touch_share_10",
    "depth_change_50",
    "volatility_1s_bps",
    "volatility_30s_bps",
    "volatility_100_bps",
}
ODD = {
    "microprice_ticks",
    "queue_imbalance",
    "imbalance_3",
    "imbalance_5",
    "imbalance_10",
    "imbalance_exp_10",
    "gap_imbalance",
    "distance_imbalance_10",
    "ofi_1_last",
    "ofi_1_10",
    "ofi_2_10",
    "ofi_3_10",
    "ofi_4_10",
    "ofi_5_10",
    "ofi_1_50",
    "ofi_to_5_50",
    "ofi_to_10_50",
    "trade_imbalance_20",
    "trade_imbalance_100",
    "trade_imbalance_1s",
    "trade_imbalance_10s",
    "vwap_20_bps",
    "return_10_bps",
    "return_50_bps",
    "return_1s_bps",
}
FRONT = ["exchange_time_ns", "update_id", "segment", "bid", "ask", "beyond_horizon"]


class Table:
    """One feature table: all its rows in `x`, and the `places` in them that have a label and a whole window before them."""

    def __init__(self, path, window):
        self.name = path.stem
        # Tables of one instrument are reported together.
        self.group = path.stem.split("-seed")[0]
        self.window = window
        with open(path, encoding="ascii") as file:
            header = file.readline().strip().split(",")
            if header[: len(FRONT)] != FRONT:
                sys.exit(
                    f"{path}: not a feature table, its header starts with {header[:6]}; write it with `quantumflow features`"
                )
            self.features = [tuple(column.split(":")) for column in header[len(FRONT) :]]
            # Mantissas of prices stay below 2^53, so float64 holds them exactly.
            data = np.loadtxt(file, delimiter=",", dtype=np.float64, ndmin=2)
        self.x = data[:, len(FRONT) :].astype(np.float32)
        segment, mid2 = data[:, 2], data[:, 3] + data[:, 4]
        if len(data) <= 10 * (HORIZON + window):
            sys.exit(f"{path}: {len(data)} rows are too few to learn or to measure anything: use a longer capture")
        self.places, self.move = labelled(segment, mid2, data[:, 5] != 0.0, window)
        if not len(self.places):
            sys.exit(f"{path}: no row has a label and a window of {window} rows: segments are too short, or levels are missing")
        self.interval_ms = float(np.median(np.diff(data[:, 0]))) / 1e6

    def __len__(self):
        return len(self.places)

    def part(self, start, end):
        """The labelled rows from one share of the table to another. A later part begins behind the purge gap: what its
        windows and features reach back to lies behind the last price that a label of the part before it looks at."""
        begin, stop = int(start * len(self)), int(end * len(self))
        if start > 0.0:
            begin += gap(self.window)
        return slice(min(begin, stop), stop)


def gap(window):
    """How many rows are left out at a border. Rows that are left out for other reasons only widen it."""
    return HORIZON + LOOKBACK + window


def labelled(segment, mid2, beyond, window):
    """Which rows can be learnt from, and their move: the mean mid price of the next HORIZON updates over the one now.

    The label needs HORIZON further rows of the same segment, the window its rows before. Nothing is learnt from windows in
    which levels of the book may have been missing.
    """
    count = len(mid2)
    places = np.arange(window - 1, count - HORIZON)
    sums = np.concatenate([[0.0], np.cumsum(mid2)])
    future = (sums[places + HORIZON + 1] - sums[places + 1]) / HORIZON
    marked = np.concatenate([[0], np.cumsum(beyond)])
    first = places - (window - 1)
    whole = (segment[first] == segment[places + HORIZON]) & (marked[places + 1] == marked[first])
    return places[whole], (future / mid2[places] - 1.0)[whole]


def labels(move, alpha):
    """0, 1, 2: down, flat, up."""
    return np.where(move > alpha, 2, np.where(move < -alpha, 0, 1))


def band(move, weight):
    """The alpha that leaves a third of the weight flat."""
    order = np.argsort(np.abs(move), kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(f"{np.abs(move)[order][np.searchsorted(reached, 1.0 / 3.0)]:.3g}")


def mirror_signs(features):
    """What a mirror multiplies each feature by. A mirrored row has the mirrored label: `2 - label`."""
    unsorted = [name for name, _ in features if (name in EVEN) == (name in ODD)]
    if unsorted:
        sys.exit(f"features {unsorted} are new: say in EVEN or ODD of tables.py how a mirror shows them")
    return np.array([1.0 if name in EVEN else -1.0 for name, _ in features], np.float32)


class Scaling:
    """Mean and deviation per feature, without the outermost thousandths; applied as the engine does, in f32. The mean of
    a feature that changes its sign in the mirror is 0, so that rising and falling markets are the same thing upside down."""

    def __init__(self, x, features):
        signs = mirror_signs(features)
        low, high = np.quantile(x, [0.001, 0.999], axis=0)
        inner = np.clip(x.astype(np.float64), low, high)
        mean = np.where(signs > 0, inner.mean(axis=0), 0.0)
        self.mean = mean.astype(np.float32)
        self.scale = np.sqrt(((inner - mean) ** 2).mean(axis=0)).astype(np.float32)
        constant = [name for (name, _), scale in zip(features, self.scale) if not scale > 0.0]
        if constant:
            sys.exit(f"features {constant} are constant in the training rows: there is nothing to scale, add tables")

    def apply(self, x):
        inverse = np.float32(1.0) / self.scale
        return np.clip((x - self.mean) * inverse, np.float32(-CLIP), np.float32(CLIP))


@dataclasses.dataclass
class Rows:
    """Places in a matrix of rows, with what is asked of a model there. `table` numbers the table that each comes from."""

    places: np.ndarray
    move: np.ndarray
    table: np.ndarray

    def __len__(self):
        return len(self.places)

    @property
    def weight(self):
        """Each table the same, the mean 1."""
        count = np.bincount(self.table)
        weight = 1.0 / count[self.table]
        return (weight / weight.mean()).astype(np.float32)

    def of(self, chosen):
        return Rows(self.places[chosen], self.move[chosen], self.table[chosen])


class Stack:
    """Tables one below the other: one matrix of raw rows, and the labelled rows of any share of each table."""

    def __init__(self, tables):
        self.tables = tables
        self.x = np.concatenate([table.x for table in tables])
        self.offsets = np.cumsum([0] + [len(table.x) for table in tables[:-1]])

    def part(self, start, end):
        places, move, number = [], [], []
        for index, (table, offset) in enumerate(zip(self.tables, self.offsets)):
            rows = table.part(start, end)
            places.append(table.places[rows] + offset)
            move.append(table.move[rows])
            number.append(np.full(len(move[-1]), index))
        return Rows(np.concatenate(places), np.concatenate(move), np.concatenate(number))


def windows(x, places, window):
    """The rows that end at each place: `[n, features]` for a window of one row, else `[n, window, features]`."""
    if window == 1:
        return x[places]
    return x[places[:, None] + np.arange(1 - window, 1)]
