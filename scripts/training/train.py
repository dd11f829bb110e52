"""Trains mlp_v1 on feature tables and writes the ONNX file, its card and its test vectors.

A table is what the engine's own feature code wrote (`FeatureTable`): exchange time, update id, segment, best bid and ask,
whether features looked further into the book than it is known, then one column per feature, headed `name:version`. The
order and the versions in the contract are those of the header.

No look-ahead: tables are split in time, never shuffled before the split; rows whose label or features would reach across
a split are dropped (the purge gap); the normalisation and the label's band come from the training rows alone.
"""

import argparse
import hashlib
import json
import pathlib
import sys
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NAME = "mlp_v1"
VERSION = "1.0.0"
CLASSES = ["down", "flat", "up"]
HORIZON = 20  # book updates that the label averages over
LOOKBACK = 100  # book updates that the longest feature window reaches back
HIDDEN = (64, 32)
CLIP = 5.0
BATCH = 512
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4
PATIENCE = 4
# What the model looks at. Seen in a mirror (bids as asks, buyers as sellers), these keep their value and all others change their sign.
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


def list_features():
    """The names for `quantumflow features --features`: a table of these begins where the model would begin to speak."""
    print(",".join(sorted(EVEN | ODD)))


class Table:
    """One feature table with the label's move: the mean mid price of the next HORIZON updates over the mid price now."""

    def __init__(self, path):
        self.name = path.stem
        # Tables of one instrument are reported together.
        self.group = path.stem.split("-seed")[0]
        with open(path, encoding="ascii") as file:
            header = file.readline().strip().split(",")
            if header[: len(FRONT)] != FRONT:
                sys.exit(f"{path}: not a feature table, its header starts with {header[:6]}")
            self.features = [tuple(column.split(":")) for column in header[len(FRONT) :]]
            # Mantissas of prices stay below 2^53, so float64 holds them exactly.
            data = np.loadtxt(file, delimiter=",", dtype=np.float64, ndmin=2)
        segment, mid2 = data[:, 2], data[:, 3] + data[:, 4]
        count = len(data)
        if count <= 10 * HORIZON:
            sys.exit(f"{path}: {count} rows are too few to learn or to measure anything")
        # The label needs HORIZON further rows of the same segment.
        last = count - HORIZON
        sums = np.concatenate([[0.0], np.cumsum(mid2)])
        future = (sums[HORIZON + 1 :] - sums[1 : last + 1]) / HORIZON
        # Nothing is learnt from rows in which levels of the book may have been missing.
        whole = (segment[HORIZON:] == segment[:last]) & (data[:last, 5] == 0.0)
        self.move = (future / mid2[:last] - 1.0)[whole]
        self.x = data[:last, len(FRONT) :].astype(np.float32)[whole]
        self.interval_ms = float(np.median(np.diff(data[:, 0]))) / 1e6

    def __len__(self):
        return len(self.move)

    def part(self, start, end):
        """Rows from one share of the table to another; what a split later in time could see of it is purged."""
        begin, stop = int(start * len(self)), int(end * len(self))
        if start > 0.0:
            begin += HORIZON + LOOKBACK
        return slice(min(begin, stop), stop)


class Net:
    """A multi-layer perceptron with ReLU and softmax, trained with Adam on the log loss."""

    def __init__(self, sizes, rng):
        self.weights = [
            (rng.standard_normal((i, o)) * np.sqrt(2.0 / i)).astype(np.float32) for i, o in zip(sizes, sizes[1:])
        ]
        self.biases = [np.zeros(o, np.float32) for o in sizes[1:]]
        self.moments = [[np.zeros_like(p), np.zeros_like(p)] for p in self.weights + self.biases]
        self.steps = 0

    def forward(self, x):
        layers = [x]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1]):
            layers.append(np.maximum(layers[-1] @ weight + bias, 0.0))
        logits = layers[-1] @ self.weights[-1] + self.biases[-1]
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        return layers, exps / exps.sum(axis=1, keepdims=True)

    def predict(self, x):
        return np.concatenate([self.forward(x[at : at + 8192])[1] for at in range(0, len(x), 8192)])

    def step(self, x, y, sample_weight):
        layers, p = self.forward(x)
        p[np.arange(len(y)), y] -= 1.0
        grad = p * (sample_weight / sample_weight.sum())[:, None]
        weight_grads, bias_grads = [], []
        for layer in range(len(self.weights) - 1, -1, -1):
            weight_grads.insert(0, layers[layer].T @ grad)
            bias_grads.insert(0, grad.sum(axis=0))
            if layer:
                grad = (grad @ self.weights[layer].T) * (layers[layer] > 0.0)
        self.steps += 1
        rate = LEARNING_RATE * np.sqrt(1.0 - 0.999**self.steps) / (1.0 - 0.9**self.steps)
        for parameter, grad, moment in zip(self.weights + self.biases, weight_grads + bias_grads, self.moments):
            moment[0] += 0.1 * (grad - moment[0])
            moment[1] += 0.001 * (grad * grad - moment[1])
            decay = WEIGHT_DECAY * parameter if parameter.ndim == 2 else 0.0
            parameter -= (rate * moment[0] / (np.sqrt(moment[1]) + 1e-8) + LEARNING_RATE * decay).astype(np.float32)

    def copy_parameters(self):
        return [p.copy() for p in self.weights + self.biases]

    def set_parameters(self, parameters):
        for own, given in zip(self.weights + self.biases, parameters):
            own[...] = given


class Scaling:
    """Mean and deviation per feature, without the outermost thousandths; applied as the engine does, in f32. The mean of
    a feature that changes its sign in the mirror is 0, so that rising and falling markets are the same thing upside down."""

    def __init__(self, x, signs):
        low, high = np.quantile(x, [0.001, 0.999], axis=0)
        inner = np.clip(x.astype(np.float64), low, high)
        mean = np.where(signs > 0, inner.mean(axis=0), 0.0)
        self.mean = mean.astype(np.float32)
        self.scale = np.sqrt(((inner - mean) ** 2).mean(axis=0)).astype(np.float32)

    def apply(self, x):
        inverse = np.float32(1.0) / self.scale
        return np.clip((x - self.mean) * inverse, np.float32(-CLIP), np.float32(CLIP))


def labels(move, alpha):
    return np.where(move > alpha, 2, np.where(move < -alpha, 0, 1))


def log_loss(p, y):
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean())


def metrics(p, y):
    """What is reported of predictions; the prior is that of the very rows, so the best that a constant could do."""
    guess = p.argmax(axis=1)
    shares = np.bincount(y, minlength=3) / len(y)
    f1 = []
    for c in range(3):
        hits = float(((guess == c) & (y == c)).sum())
        total = float((guess == c).sum() + (y == c).sum())
        f1.append(2.0 * hits / total if total else 0.0)
    moves = (guess != 1) & (p.max(axis=1) >= 0.5) & (y != 1)
    return {
        "rows": len(y),
        "shares": [round(float(s), 3) for s in shares],
        "base_accuracy": float(shares.max()),
        "accuracy": float((guess == y).mean()),
        "macro_f1": float(np.mean(f1)),
        "base_log_loss": float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum()),
        "log_loss": log_loss(p, y),
        "direction_right": float((guess[moves] == y[moves]).mean()) if moves.any() else float("nan"),
        "direction_share": float(moves.mean()),
    }


def fit(net, x, y, sample_weight, signs, validation, epochs, rng, tell):
    """Trains for a number of epochs, each row as it is or mirrored by a coin; with validation rows, stops early and keeps
    the best. Returns the epochs kept."""
    best = (np.inf, None, epochs)
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(y))
        started = time.monotonic()
        for at in range(0, len(order), BATCH):
            batch = order[at : at + BATCH]
            mirrored = rng.random(len(batch)) < 0.5
            rows = np.where(mirrored[:, None], x[batch] * signs, x[batch])
            net.step(rows, np.where(mirrored, 2 - y[batch], y[batch]), sample_weight[batch])
        if validation is None:
            continue
        loss = log_loss(net.predict(validation[0]), validation[1])
        if tell:
            print(f"  epoch {epoch:2}: validation log loss {loss:.4f}, {time.monotonic() - started:.1f} s", flush=True)
        if loss < best[0]:
            best = (loss, net.copy_parameters(), epoch)
        elif epoch - best[2] >= PATIENCE:
            break
    if best[1] is not None:
        net.set_parameters(best[1])
    return best[2]


def gather(tables, start, end):
    """Rows of all tables between two shares of each. Each table weighs the same, however many rows it has."""
    x, move, weight = [], [], []
    for table in tables:
        rows = table.part(start, end)
        x.append(table.x[rows])
        move.append(table.move[rows])
        weight.append(np.full(len(move[-1]), 1.0 / max(1, len(move[-1])), np.float32))
    weight = np.concatenate(weight)
    return np.concatenate(x), np.concatenate(move), weight / weight.mean()


def pool(parts):
    """Several (rows, labels) as one."""
    return tuple(np.concatenate(arrays) for arrays in zip(*parts))


def band(move, weight):
    """The alpha that leaves a third of the weight flat."""
    order = np.argsort(np.abs(move))
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(f"{np.abs(move)[order][np.searchsorted(reached, 1.0 / 3.0)]:.3g}")


def imbalance_rule(tables, train, alpha):
    """The trivial baseline: the side with the longer queue wins, beyond a threshold chosen on the training rows."""
    column = [name for name, _ in tables[0].features].index("queue_imbalance")
    x, move, weight = train
    y, q = labels(move, alpha), x[:, column]
    thresholds = np.linspace(0.0, 0.95, 20)
    right = [(weight * (np.where(q > t, 2, np.where(q < -t, 0, 1)) == y)).sum() for t in thresholds]
    threshold = float(thresholds[int(np.argmax(right))])
    return lambda x: np.where(x[:, column] > threshold, 2, np.where(x[:, column] < -threshold, 0, 1))


def export(net, scaling, features, alpha, training, path):
    nodes, initializers, value = [], [], "x"
    for layer, (weight, bias) in enumerate(zip(net.weights, net.biases)):
        initializers += [
            numpy_helper.from_array(weight, f"w{layer}"),
            numpy_helper.from_array(bias, f"b{layer}"),
        ]
        last = layer == len(net.weights) - 1
        output = "logits" if last else f"z{layer}"
        nodes.append(helper.make_node("Gemm", [value, f"w{layer}", f"b{layer}"], [output], name=f"dense{layer}"))
        if not last:
            nodes.append(helper.make_node("Relu", [output], [f"h{layer}"], name=f"relu{layer}"))
            value = f"h{layer}"
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=-1))
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", len(features)])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="quantumflow")
    model.ir_version = 8
    contract = {
        "schema": 1,
        "name": NAME,
        "version": VERSION,
        "features": [
            {"name": name, "version": int(version), "mean": float(mean), "scale": float(scale)}
            for (name, version), mean, scale in zip(features, scaling.mean, scaling.scale)
        ],
        "clip": CLIP,
        "window": 1,
        "output": "probabilities",
        "classes": CLASSES,
        "label": {"variant": "fi2010", "smooth_updates": 0, "horizon_updates": HORIZON, "alpha": alpha},
        "training": training,
    }
    helper.set_model_props(model, {"quantumflow.contract": json.dumps(contract, separators=(",", ":"))})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def row(name, m, extra=""):
    shares = " / ".join(f"{s:.0%}" for s in m["shares"])
    return (
        f"| {name} | {m['rows']:,} | {shares} | {m['base_accuracy']:.3f} | {m['accuracy']:.3f} | {m['macro_f1']:.3f} "
        f"| {m['base_log_loss']:.3f} | {m['log_loss']:.3f} | {m['direction_right']:.3f} of {m['direction_share']:.0%} |{extra}"
    )


HEAD = (
    "| rows of | rows | down / flat / up | most frequent class | accuracy | macro F1 | log loss of the shares | log loss "
    "| direction right |\n|---|---|---|---|---|---|---|---|---|"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="append", type=pathlib.Path, required=True, help="a table to learn from; repeat")
    parser.add_argument("--unseen", action="append", type=pathlib.Path, default=[], help="a table of another seed")
    parser.add_argument("--control", action="append", type=pathlib.Path, default=[], help="a table with nothing to learn")
    parser.add_argument("--recorded", action="append", type=pathlib.Path, default=[], help="a table of a recorded session")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="directory for the model, card and vectors")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=40, help="at most")
    arguments = parser.parse_args()
    started = time.monotonic()

    print("reading tables", flush=True)
    tables = [Table(path) for path in arguments.train]
    others = {
        kind: [Table(path) for path in paths]
        for kind, paths in [
            ("another seed", arguments.unseen),
            ("signal 0 (control)", arguments.control),
            ("recorded", arguments.recorded),
        ]
    }
    features = tables[0].features
    for table in tables + [t for group in others.values() for t in group]:
        if table.features != features:
            sys.exit(f"{table.name}: other features or versions than {tables[0].name}; write all tables with one engine")
        print(f"  {table.name}: {len(table):,} rows, one per {table.interval_ms:.3g} ms", flush=True)

    unsorted = [name for name, _ in features if (name in EVEN) == (name in ODD)]
    if unsorted:
        sys.exit(f"features {unsorted} are new: say in EVEN or ODD how a mirror shows them")
    signs = np.array([1.0 if name in EVEN else -1.0 for name, _ in features], np.float32)
    sizes = (len(features), *HIDDEN, 3)
    lines = []

    # Walk-forward: train on the past, test on what comes next, with more and more past. Epochs are chosen once, on rows
    # before the last test rows, by the final training below; the folds use the same number.
    def train(end, test_end, epochs, validate):
        train_end = end - 0.1 if validate else end
        rng = np.random.default_rng(arguments.seed)
        x, move, weight = train_rows = gather(tables, 0.0, train_end)
        alpha = band(move, weight)
        scaling = Scaling(x, signs)
        flat = [name for (name, _), scale in zip(features, scaling.scale) if not scale > 0.0]
        if flat:
            sys.exit(f"features {flat} are constant in the training rows: there is nothing to scale, add tables")
        validation = None
        if validate:
            vx, vmove, _ = gather(tables, train_end, end)
            validation = (scaling.apply(vx), labels(vmove, alpha))
        net = Net(sizes, rng)
        kept = fit(net, scaling.apply(x), labels(move, alpha), weight, signs, validation, epochs, rng, validate)
        linear = Net((len(features), 3), rng)
        fit(linear, scaling.apply(x), labels(move, alpha), weight, signs, None, 5, rng, False)
        tests = {}
        for t in tables:
            rows = t.part(end, test_end)
            tests.setdefault(t.group, []).append((t.x[rows], labels(t.move[rows], alpha)))
        tests = {group: pool(parts) for group, parts in tests.items()}
        return net, linear, scaling, alpha, kept, tests, train_rows

    print("training", flush=True)
    net, linear, scaling, alpha, epochs, tests, train_rows = train(0.8, 1.0, arguments.epochs, True)
    rule = imbalance_rule(tables, train_rows, alpha)

    def judge(model, test):
        return metrics(model.predict(scaling.apply(test[0])), test[1])

    lines += ["## On time that comes after the training rows", "", HEAD]
    lines += [row(name, judge(net, test)) for name, test in tests.items()]
    pooled = pool(tests.values())
    lines += [row("**all of them**", judge(net, pooled)), ""]
    baseline = metrics(np.eye(3)[rule(pooled[0])] * 0.98 + 0.02 / 3.0, pooled[1])
    linear_metrics = judge(linear, pooled)
    lines += [
        f"Baselines on all of them: the side with the longer queue wins (threshold from the training rows): accuracy "
        f"{baseline['accuracy']:.3f}, macro F1 {baseline['macro_f1']:.3f}; softmax regression on the same features: accuracy "
        f"{linear_metrics['accuracy']:.3f}, macro F1 {linear_metrics['macro_f1']:.3f}, log loss "
        f"{linear_metrics['log_loss']:.3f}.",
        "",
        "## Walk-forward folds",
        "",
        HEAD,
    ]
    print("walk-forward folds", flush=True)
    for end, test_end in [(0.4, 0.6), (0.6, 0.8)]:
        fold_net, _, fold_scaling, _, _, fold_tests, _ = train(end, test_end, epochs, False)
        x, y = pool(fold_tests.values())
        lines.append(row(f"first {end:.0%}, tested up to {test_end:.0%}", metrics(fold_net.predict(fold_scaling.apply(x)), y)))
    lines += ["", "## Elsewhere", "", HEAD]
    for kind, group in others.items():
        for table in group:
            m = judge(net, (table.x, labels(table.move, alpha)))
            lines.append(row(f"{kind}: {table.group.split('-', 1)[1]}", m))
    lines.append("")
    if others["recorded"]:
        table = max(others["recorded"], key=len)
        own = [table]
        x, move, weight = gather(own, 0.0, 0.6)
        own_alpha, own_scaling = band(move, weight), Scaling(x, signs)
        rng = np.random.default_rng(arguments.seed)
        own_net = Net((len(features), 3), rng)
        fit(own_net, own_scaling.apply(x), labels(move, own_alpha), weight, signs, None, 20, rng, False)
        rows = table.part(0.6, 1.0)
        m = metrics(own_net.predict(own_scaling.apply(table.x[rows])), labels(table.move[rows], own_alpha))
        lines += [
            f"What the features carry there: a softmax regression trained on the first 60 % of {table.group} (alpha "
            f"{own_alpha:.3g}) has accuracy {m['accuracy']:.3f} on the last 40 %, against {m['base_accuracy']:.3f} for the "
            f"most frequent class, and log loss {m['log_loss']:.3f} against {m['base_log_loss']:.3f}.",
            "",
        ]

    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{NAME}.onnx"
    training = {
        "made_by": "scripts/train",
        "data": "generated markets: " + ", ".join(dict.fromkeys(table.group for table in tables)),
        "rows": str(len(train_rows[0])),
        "seed": str(arguments.seed),
        "epochs": str(epochs),
    }
    export(net, scaling, features, alpha, training, path)

    # Rows for the test of the engine: ordinary ones from every table, and ones far outside.
    rng = np.random.default_rng(arguments.seed)
    picked = np.concatenate([test[0][rng.choice(len(test[0]), 8, replace=False)] for test in tests.values()])
    extreme = rng.standard_normal((8, len(features))).astype(np.float32) * np.float32(1e4)
    vectors = np.concatenate([picked, extreme])
    answers = net.predict(scaling.apply(vectors))
    vector_path = arguments.out / f"{NAME}.vectors.json"
    vector_path.write_text(
        json.dumps(
            {
                "about": "rows of the model's features in the order of its contract, and the probabilities that training's own "
                "forward pass gives for them",
                "features": [f"{name}:{version}" for name, version in features],
                "rows": [[float(str(v)) for v in r] for r in vectors],
                "probabilities": [[float(str(v)) for v in r] for r in answers],
            },
            indent=None,
            separators=(",", ":"),
        )
        .replace('],[', '],\n[')
        + "\n"
    )

    groups = "; ".join(
        f"{group} {sum(len(t) for t in tables if t.group == group):,} rows, one per "
        f"{np.median([t.interval_ms for t in tables if t.group == group]):.3g} ms"
        for group in dict.fromkeys(t.group for t in tables)
    )
    sha1 = hashlib.sha1(path.read_bytes()).hexdigest()
    parameters = sum(p.size for p in net.weights + net.biases)
    card = f"""# {NAME}

A multi-layer perceptron, {len(features)} features – {" – ".join(map(str, HIDDEN))} – 3, ReLU, softmax, {parameters:,} parameters, f32. It says where
the mid price goes next: down, flat or up. Made by `scripts/train`; this card is written by the same run as the model, and
no number in it was typed.

- File: `{NAME}.onnx`, version {VERSION}, SHA-1 `{sha1}` (the engine's model hash is its first 16 digits).
- Input: the engine's features in the order of the registry, version by version as in the contract, normalised by mean and
  scale of the training rows and kept within ±{CLIP:g}; window of one row.
- Label: with `m` the mid price now and `M` its mean over the next {HORIZON} book updates, up where `M / m - 1` is above
  alpha = {alpha:.3g} ({alpha * 1e4:.3g} basis points), down where it is below -alpha, flat otherwise (the form of FI-2010, horizon
  {HORIZON}). The form that also averages the past (DeepLOB, TLOB) is not used: its label contains moves that have
  happened already, which makes every model look better than it is. Alpha leaves a third of the training weight flat.
- Data: {len(tables)} generated markets of the simulator, {sum(map(len, tables)):,} rows: {groups}. Every market weighs the
  same, and each row is shown as it is or mirrored (bids as asks), so that the model does not learn which way the price
  happened to go. Training rows are the first 70 % of each table, the next 10 % choose the number of epochs
  ({epochs}), the last 20 % are the test; {HORIZON + LOOKBACK} rows at each border are left out, so that neither a label nor a
  feature window reaches across.
- Seed {arguments.seed}. The same tables and the same numpy on the same machine give the same file.

"Direction right" counts rows where the model says up or down with a confidence of 0.5 or more and the label is not flat:
how often the direction was right, and what share of all rows these are. "Log loss of the shares" is what a constant
answer with the very class shares of those rows would have, the best that can be had without looking.

{chr(10).join(lines)}
## What it is good for

It shows that the whole path works, from frames to features to a model that learns. A generated market is not a venue. In
the control, order flow does not lead the price; what can be guessed there is the mechanics of a book alone, such as a queue
that is about to run out. The rows on recorded sessions, which it was never trained on, say how far it carries: compare its
accuracy with the most frequent class, and its log loss with that of the shares; above the latter, its confidence is worth
less than a constant's. Not for trading. Alpha and horizon belong to the pace of the data; for a venue of your own, record it, write tables with the
engine's own feature code, and train on those. An exchange's fees are many times the moves that the label speaks of.
"""
    (arguments.out / f"{NAME}.md").write_text(card)
    print("\n".join(lines))
    print(f"wrote {path}, {NAME}.md and {vector_path.name} in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    if sys.argv[1:] == ["--list-features"]:
        list_features()
    else:
        main()
