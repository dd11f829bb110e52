"""Trees keep their decisions in f32, graphs say what the nets say, and a fit sees no more than it is given."""

import types
import unittest

import numpy as np
import onnxruntime

import family
import files
import graph
import judge
import nets
import trees
from tables import EVEN, ODD, Rows, Scaling

FEATURES = [(name, "1") for name in sorted(EVEN | ODD)]
COUNT = len(FEATURES)


def rows_of(count, seed=1):
    """Normalised rows whose first odd feature leads the price, and what is learnt from them."""
    rng = np.random.default_rng(seed)
    x = np.clip(rng.standard_normal((count + nets.TCN_WINDOW, COUNT)), -5.0, 5.0).astype(np.float32)
    places = np.arange(nets.TCN_WINDOW, count + nets.TCN_WINDOW)
    led = [name for name, _ in FEATURES].index("queue_imbalance")
    move = x[places, led] + 0.3 * rng.standard_normal(count)
    return x, Rows(places, move, np.zeros(count, int))


def split_of(count, seed=1):
    x, rows = rows_of(count, seed)
    scaling = Scaling(x, FEATURES)
    return family.Split(FEATURES, scaling, 0.4, x, rows.of(slice(0, count // 2)), rows.of(slice(count // 2, count)))


def answers_of(name, predictor, x):
    contract = graph.contract(name, "1.0.0", FEATURES, Scaling(x.reshape(-1, COUNT), FEATURES), predictor.window, 0.4, {})
    session = onnxruntime.InferenceSession(family.file(name, predictor, contract))
    return session.run(["probabilities"], {"x": x})[0]


class Thresholds(unittest.TestCase):
    def test_rounding_down_changes_no_comparison(self):
        rng = np.random.default_rng(1)
        thresholds = np.concatenate(
            [rng.standard_normal(2000) * 10.0 ** rng.integers(-30, 30, 2000), [0.0, -0.0, 1e-40, -1e-40, 1e-50, -1e-50]]
        )
        # Exact values of f32 among them, which have to stay.
        thresholds = np.concatenate([thresholds, thresholds[:200].astype(np.float32).astype(np.float64)])
        rounded = trees.f32_below(thresholds)
        moved = 0
        for threshold, low in zip(thresholds, rounded):
            near = [np.float32(threshold)]
            for _ in range(3):
                near += [np.nextafter(near[0], np.float32(np.inf)), np.nextafter(near[0], np.float32(-np.inf))]
                near += [np.nextafter(near[-1], np.float32(-np.inf)), np.nextafter(near[-2], np.float32(np.inf))]
            for x in near:
                self.assertEqual(float(x) <= threshold, bool(x <= low), f"{x!r} against {threshold!r}, rounded {low!r}")
            moved += float(np.float32(threshold)) > threshold
        # Rounding to nearest would have gone up in about half of the cases.
        self.assertGreater(moved, 500)

    def test_the_leaves_are_lightgbms(self):
        split = split_of(4000)
        predictor = family.fit("gbdt_v1", split, 7, {"rounds": 12}).predictor
        x = split.x.copy()
        # Values on the thresholds themselves, where rounding would show.
        forest = predictor.forest
        inner = np.flatnonzero(forest.feature >= 0)
        for row, node in enumerate(inner[: len(x)]):
            x[row, forest.feature[node]] = forest.threshold[node]
        self.assertGreater(len(inner), 100)
        self.assertEqual(predictor.different_leaves(x), 0)
        forest.threshold[inner[0]] += np.float32(0.5)
        self.assertGreater(predictor.different_leaves(x), 0)


class Graphs(unittest.TestCase):
    def test_each_graph_says_what_its_model_says(self):
        split = split_of(1500)
        held, fitted = split.validation, {}
        for name in family.FAMILY:
            if name == "ensemble_v1":
                fitted[name], _ = family.vote(fitted, split, weights=[0.2, 0.3, 0.5])
            else:
                fitted[name] = family.fit(name, split, 7, {"epochs": 1, "rounds": 5})
            predictor = fitted[name].predictor
            x = family.nets.windows(split.x, held.places, predictor.window)
            expected = predictor(split.x, held.places)
            np.testing.assert_allclose(answers_of(name, predictor, x), expected, atol=2e-6, err_msg=name)
            self.assertGreater(np.ptp(expected, axis=0).max(), 1e-3, f"{name} says the same of all rows")
            multiplies, comparisons = family.work(predictor, COUNT)
            self.assertGreater(multiplies + comparisons, 0, name)

    def test_the_vote_leaves_out_what_weighs_nothing(self):
        split = split_of(1500)
        fitted = {name: family.fit(name, split, 7, {"epochs": 1, "rounds": 5}) for name in family.VOTERS}
        vote, weights = family.vote(fitted, split)
        self.assertAlmostEqual(sum(weights), 1.0)
        kept = [name for name, _, _ in vote.predictor.parts]
        self.assertEqual(kept, [name for name, weight in zip(family.VOTERS, weights) if weight > 0.0])

    def test_the_tcn_reads_exactly_its_window(self):
        x, rows = rows_of(64)
        predictor = nets.Predictor("tcn", nets.initial("tcn", COUNT, np.random.default_rng(2)))
        base = predictor(x, rows.places[:1])
        for back in range(nets.TCN_WINDOW + 2):
            changed = x.copy()
            changed[rows.places[0] - back] += 1.0
            differs = bool((predictor(changed, rows.places[:1]) != base).any())
            self.assertEqual(differs, back < nets.TCN_WINDOW, f"{back} rows back")


class Checks(unittest.TestCase):
    def test_a_file_that_answers_otherwise_is_not_written(self):
        split = split_of(1500)
        fitted = family.fit("logistic_v1", split, 7, {"epochs": 1})
        answers = fitted.predictor(split.x, split.validation.places)
        run = types.SimpleNamespace(
            fitted={"logistic_v1": fitted}, answers={"logistic_v1": answers}, split=split, test=split.validation
        )
        contract = graph.contract("logistic_v1", "1.0.0", FEATURES, split.scaling, 1, split.alpha, {})
        onnx = family.file("logistic_v1", fitted.predictor, contract)
        self.assertLess(files.check(run, "logistic_v1", onnx).difference, 1e-6)
        fitted.predictor.net["dense0.bias"] = fitted.predictor.net["dense0.bias"] + np.float32([1e-4, 0.0, 0.0])
        with self.assertRaisesRegex(SystemExit, "otherwise than training"):
            files.check(run, "logistic_v1", family.file("logistic_v1", fitted.predictor, contract))


class Fits(unittest.TestCase):
    def test_the_same_seed_fits_the_same_and_another_does_not(self):
        split = split_of(1500)
        for name in ("logistic_v1", "lstm_v1", "gbdt_v1"):
            runs = [
                family.fit(name, split, seed, {"epochs": 1, "rounds": 5}).predictor(split.x, split.validation.places)
                for seed in (7, 7, 8)
            ]
            np.testing.assert_array_equal(runs[0], runs[1], err_msg=name)
            self.assertTrue((runs[0] != runs[2]).any(), name)

    def test_falls_are_learnt_where_the_price_only_rose(self):
        split = split_of(16_000)
        split.train = split.train.of(split.labels(split.train) != 0)
        held, truth = split.validation, split.labels(split.validation)
        for name in ("mlp_v1", "gbdt_v1"):
            predictor = family.fit(name, split, 7, {"rounds": 30}).predictor
            answer = predictor(split.x, held.places)
            measures = judge.Measures.of(answer, truth, held.weight)
            self.assertLess(measures.log_loss, 0.8 * measures.base_log_loss, name)
            guesses = np.bincount(answer.argmax(axis=1), minlength=3)
            self.assertAlmostEqual(guesses[0] / guesses[2], 1.0, delta=0.1, msg=name)


class Measures(unittest.TestCase):
    def test_a_constant_answer_with_the_shares_is_the_base(self):
        rng = np.random.default_rng(4)
        y, weight = rng.choice(3, 5000, p=[0.2, 0.5, 0.3]), rng.random(5000)
        shares = np.bincount(y, weight) / weight.sum()
        m = judge.Measures.of(np.tile(shares, (len(y), 1)), y, weight)
        self.assertAlmostEqual(m.log_loss, m.base_log_loss, delta=1e-9)
        self.assertAlmostEqual(m.accuracy, m.base_accuracy, delta=1e-9)

    def test_a_difference_is_told_from_none_over_markets(self):
        rng = np.random.default_rng(5)
        y, table = rng.integers(0, 3, 4000), np.repeat(np.arange(20), 200)
        p = np.full((4000, 3), 1.0 / 3.0)
        better = np.where(np.eye(3)[y] > 0, 0.4, 0.3)
        self.assertEqual(judge.Difference.between(better, p, y, table).verdict, "better")
        self.assertEqual(judge.Difference.between(p, better, y, table).verdict, "worse")
        # Better by as much as worse, from market to market.
        mixed = np.where((table % 2 == 0)[:, None], better, np.where(np.eye(3)[y] > 0, 0.278, 0.361))
        self.assertEqual(judge.Difference.between(mixed, p, y, table).verdict, "no difference")

    def test_a_mixture_is_the_best_of_the_grid(self):
        rng = np.random.default_rng(6)
        y, weight = rng.integers(0, 3, 3000), np.ones(3000)
        noisy = [np.exp(2.0 * np.eye(3)[y] * good + rng.standard_normal((3000, 3))) for good in (0.0, 0.5, 0.6)]
        answers = [answer / answer.sum(axis=1, keepdims=True) for answer in noisy]
        weights, loss = judge.mixture(answers, y, weight)
        self.assertEqual(len(list(judge.compositions(3, 10))), 66)
        for shares in judge.compositions(3, 10):
            other = judge.log_loss(sum(s / 10 * a for s, a in zip(shares, answers)), y, weight)
            self.assertGreaterEqual(other, loss)
        self.assertLess(weights[0], max(weights))


if __name__ == "__main__":
    unittest.main()
