"""Trains the family of models on feature tables: for each the ONNX file, its card and its test vectors.

The order of work: fit each model to the first 70 % of every table, let the next 10 % choose epochs, rounds and weights,
judge on the last 20 %; the same again on two earlier pieces of time (walk-forward folds); judge on markets of another
seed, on a control with nothing to learn and on recordings. Only then files are written, each after onnxruntime has
answered as the training framework does.
"""

import argparse
import dataclasses
import functools
import hashlib
import os
import pathlib
import sys
import time

# One thread: these matrices are too small to share, and sums come in the same order on each run. Set before JAX is loaded.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import card
import family
import files
import judge
from tables import EVEN, ODD, Stack, Table, labels

FOLDS = [(0.4, 0.6), (0.6, 0.8)]
BASELINE = "logistic_v1"  # always fitted: every card compares with it


@dataclasses.dataclass
class Run:
    """All that the cards speak of."""

    seed: int
    stack: Stack
    split: family.Split
    test: object
    others: dict
    fitted: dict = dataclasses.field(default_factory=dict)
    weights: list = dataclasses.field(default_factory=list)  # of the vote
    answers: dict = dataclasses.field(default_factory=dict)  # on the test rows, by model
    rule: object = None
    folds: list = dataclasses.field(default_factory=list)
    elsewhere: list = dataclasses.field(default_factory=list)
    own: str = ""  # what a model that was fitted to a recording says of it

    @property
    def truth(self):
        return self.split.labels(self.test)


def say(text):
    print(text, flush=True)


def say_of(name, text):
    say(f"  {name}: {text}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--train", action="append", type=pathlib.Path, required=True, help="a table to learn from; repeat")
    add("--unseen", action="append", type=pathlib.Path, default=[], help="a table of another seed")
    add("--control", action="append", type=pathlib.Path, default=[], help="a table with nothing to learn")
    add("--recorded", action="append", type=pathlib.Path, default=[], help="a table of a recorded session")
    add("--out", type=pathlib.Path, required=True, help="directory for models, cards and vectors")
    add("--models", default=",".join(family.FAMILY), help="which, by name, separated by commas")
    add("--seed", type=int, default=7)
    add("--epochs", type=int, help="of the nets, at most")
    add("--rounds", type=int, help="of the trees, at most")
    chosen = parser.parse_args()
    chosen.models = chosen.models.split(",")
    unknown = [name for name in chosen.models if name not in family.FAMILY]
    if unknown:
        parser.error(f"--models {','.join(unknown)}: there is {', '.join(family.FAMILY)}")
    return chosen


def read(paths, features=None):
    """Tables, all of the same features."""
    tables = []
    for path in paths:
        table = Table(path, family.WINDOW_MAX)
        features = features or table.features
        if table.features != features:
            sys.exit(f"{path}: other features or versions than the tables before; write all tables with one engine")
        say(f"  {table.name}: {len(table):,} rows, one per {table.interval_ms:.3g} ms")
        tables.append(table)
    return tables


def fit_all(run, names, most):
    """The final models, with rows that choose."""
    needed = dict.fromkeys([BASELINE, *(family.VOTERS if "ensemble_v1" in names else []), *names])
    for name in needed:
        tell = functools.partial(say_of, name)
        if name == "ensemble_v1":
            run.fitted[name], run.weights = family.vote(run.fitted, run.split, tell=tell)
        else:
            run.fitted[name] = family.fit(name, run.split, run.seed, most, tell=tell)
        predictor = run.fitted[name].predictor
        run.answers[name] = predictor(run.split.x, run.test.places)
        loss = judge.log_loss(run.answers[name], run.truth, run.test.weight)
        say(f"  {name}: test log loss {loss:.4f}, fitted in {run.fitted[name].seconds:.0f} s")
    train = run.split.train
    run.rule = judge.imbalance_rule(run.split.features, run.stack.x[train.places], run.split.labels(train), train.weight)


def fit_folds(run, most):
    """The same models on less and earlier time, for as many epochs, rounds and with the weights of the final ones."""
    for end, test_end in FOLDS:
        split = family.Split.of(run.stack, end, False)
        test = run.stack.part(end, test_end)
        fitted, measures = {}, {}
        for name in run.fitted:
            if name == "ensemble_v1":
                fitted[name], _ = family.vote(fitted, split, run.weights)
            else:
                fitted[name] = family.fit(name, split, run.seed, most, keep=run.fitted[name].length)
            run.fitted[name].seconds += fitted[name].seconds
            answer = fitted[name].predictor(split.x, test.places)
            measures[name] = judge.Measures.of(answer, split.labels(test), test.weight)
            say(f"  {name}: first {end:.0%}: log loss {measures[name].log_loss:.4f}, {fitted[name].seconds:.0f} s")
        run.folds.append((f"first {end:.0%}, tested up to {test_end:.0%}", measures))


def judge_elsewhere(run):
    """Markets and sessions that no model was fitted to, whole."""
    for kind, tables in run.others.items():
        for table in tables:
            stack = Stack([table])
            rows, x = stack.part(0.0, 1.0), run.split.scaling.apply(stack.x)
            truth = labels(rows.move, run.split.alpha)
            measures = {
                name: judge.Measures.of(fitted.predictor(x, rows.places), truth, rows.weight)
                for name, fitted in run.fitted.items()
            }
            run.elsewhere.append((f"{kind}: {table.group.split('-', 1)[1]}", measures))
    if run.others["recorded"]:
        # What the features carry there, learnt there: a softmax regression on the larger part of the longest session.
        table = max(run.others["recorded"], key=len)
        stack = Stack([table])
        split, test = family.Split.of(stack, family.OWN_TEST_FROM, False), stack.part(family.OWN_TEST_FROM, 1.0)
        own = family.fit(BASELINE, split, run.seed, {"epochs": 20}, keep=20)
        measures = judge.Measures.of(own.predictor(split.x, test.places), split.labels(test), test.weight)
        run.own = card.own_session(table, split, measures)


def write(run, name, out):
    """One model's file, card and vectors."""
    fitted = run.fitted[name]
    made = files.contract(run, name)
    onnx = family.file(name, fitted.predictor, made)
    check = files.check(run, name, onnx)
    files.write(out / f"{name}.onnx", onnx)
    files.write(out / f"{name}.vectors.json", files.vectors(run, name).encode())
    digest = hashlib.sha1(onnx).hexdigest()
    files.write(out / f"{name}.md", card.of(run, name, digest, len(onnx), check).encode())
    say(f"  {name}: {len(onnx):,} bytes, onnxruntime differs by {check.difference:.1e} at most")
    return len(onnx)


def main():
    chosen = arguments()
    most = {kind: count for kind in ("epochs", "rounds") if (count := getattr(chosen, kind))}
    started = time.monotonic()
    say("reading tables")
    tables = read(chosen.train)
    others = {
        "another seed": read(chosen.unseen, tables[0].features),
        "signal 0 (control)": read(chosen.control, tables[0].features),
        "recorded": read(chosen.recorded, tables[0].features),
    }
    stack = Stack(tables)
    run = Run(chosen.seed, stack, family.Split.of(stack, family.TEST_FROM, True), stack.part(family.TEST_FROM, 1.0), others)
    say(f"training on {len(run.split.train):,} rows, {len(run.split.validation):,} choose, {len(run.test):,} test")
    fit_all(run, chosen.models, most)
    say("walk-forward folds")
    fit_folds(run, most)
    judge_elsewhere(run)
    say(f"writing to {chosen.out}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    sizes = {name: write(run, name, chosen.out) for name in chosen.models}
    if set(chosen.models) == set(family.FAMILY):
        files.write(chosen.out / "README.md", card.overview(run, sizes).encode())
    else:
        say("  README.md compares the whole family: it is left as it is")
    say(f"done in {time.monotonic() - started:.0f} s")
    for name in chosen.models:
        say(f"{name}: {len(run.split.train)} rows, {run.fitted[name].seconds:.1f} s")


if __name__ == "__main__":
    if sys.argv[1:] == ["--list-models"]:
        print(",".join(family.FAMILY))
    elif sys.argv[1:] == ["--list-features"]:
        # For `quantumflow features --features`: a table of these begins where the models would begin to speak.
        print(",".join(sorted(EVEN | ODD)))
    else:
        main()
