"""No look-ahead, by counting: what each row's label, window and features touch is listed and compared."""

import pathlib
import tempfile
import unittest

import numpy as np

import tables
from tables import EVEN, FRONT, HORIZON, LOOKBACK, ODD, Scaling, Stack, Table, labels, mirror_signs, windows

NAMES = sorted(EVEN | ODD)
WINDOW = 31


def table_of(rows, segments=(), beyond=(), seed=1, name="venue-AAA-seed1", x=None):
    """A table whose prices walk at random; segments begin at these rows, features looked too far at those."""
    rng = np.random.default_rng(seed)
    bid = 1_000_000 + np.cumsum(rng.integers(-3, 4, rows))
    x = rng.standard_normal((rows, len(NAMES))) if x is None else x
    segment = np.searchsorted(np.array(segments, int), np.arange(rows), side="right")
    columns = [np.arange(rows) * 1_000_000, np.arange(rows), segment, bid, bid + 1, np.isin(np.arange(rows), beyond)]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"{name}.csv"
        header = ",".join(FRONT + [f"{feature}:1" for feature in NAMES])
        lines = [",".join([*(str(int(c[row])) for c in columns), *map(str, x[row])]) for row in range(rows)]
        path.write_text("\n".join([header, *lines]) + "\n")
        return Table(path, WINDOW), segment, bid * 2.0 + 1.0


class Labels(unittest.TestCase):
    def test_a_move_is_the_mean_of_the_next_prices_over_the_one_now(self):
        table, _, mid2 = table_of(900)
        self.assertEqual(len(table), 900 - (WINDOW - 1) - HORIZON)
        for place, move in zip(table.places, table.move):
            expected = mid2[place + 1 : place + 1 + HORIZON].mean() / mid2[place] - 1.0
            self.assertAlmostEqual(move, expected, delta=1e-13)

    def test_windows_and_labels_stay_in_their_segment_and_in_the_known_book(self):
        table, segment, _ = table_of(1500, segments=(400, 410, 1000), beyond=(700, 1200, 1201))
        allowed = [
            place
            for place in range(1500)
            if place >= WINDOW - 1
            and place + HORIZON < 1500
            and len(set(segment[place - WINDOW + 1 : place + HORIZON + 1])) == 1
            and not {700, 1200, 1201} & set(range(place - WINDOW + 1, place + 1))
        ]
        self.assertEqual(table.places.tolist(), allowed)

    def test_a_third_of_the_weight_is_flat(self):
        table, _, _ = table_of(3000)
        rows = Stack([table]).part(0.0, 1.0)
        # Whole half ticks make many moves equal: the band is the nearest that such moves allow.
        rows.move = rows.move + np.random.default_rng(3).normal(0.0, 1e-9, len(rows))
        alpha = tables.band(rows.move, rows.weight)
        self.assertAlmostEqual((labels(rows.move, alpha) == 1).mean(), 1.0 / 3.0, delta=0.01)
        self.assertEqual(labels(np.array([2.0, -2.0, 1.0, -1.0, 0.0]) * alpha, alpha).tolist(), [2, 0, 1, 1, 1])


class Splits(unittest.TestCase):
    def test_no_later_part_sees_what_a_label_of_an_earlier_one_looks_at(self):
        stack = Stack([table_of(rows, segments, seed=rows)[0] for rows, segments in [(2500, ()), (4000, (1500, 2805))]])
        for borders in [(0.0, 0.7, 0.8, 1.0), (0.0, 0.4, 0.6), (0.0, 0.6, 0.8)]:
            parts = [stack.part(*border) for border in zip(borders, borders[1:])]
            for early, late in zip(parts, parts[1:]):
                self.assertGreater(min(len(early), len(late)), 50)
                for number in range(2):
                    seen = early.places[early.table == number].max() + HORIZON
                    back = late.places[late.table == number].min() - (WINDOW - 1) - LOOKBACK
                    self.assertLess(seen, back, f"{borders}, table {number}")

    def test_each_table_weighs_the_same(self):
        stack = Stack([table_of(rows, seed=rows)[0] for rows in (800, 3000)])
        rows = stack.part(0.0, 0.7)
        sums = np.bincount(rows.table, rows.weight)
        self.assertAlmostEqual(sums[0] / sums[1], 1.0, delta=1e-4)
        self.assertAlmostEqual(rows.weight.mean(), 1.0, delta=1e-5)

    def test_a_place_in_a_stack_is_the_same_row_with_the_same_window(self):
        parts = [table_of(rows, seed=rows)[0] for rows in (800, 900)]
        rows = Stack(parts).part(0.5, 1.0)
        got = windows(Stack(parts).x, rows.places, WINDOW)
        own = [windows(table.x, table.places[table.part(0.5, 1.0)], WINDOW) for table in parts]
        np.testing.assert_array_equal(got, np.concatenate(own))
        np.testing.assert_array_equal(got[:, -1], windows(Stack(parts).x, rows.places, 1))


class Mirrors(unittest.TestCase):
    def test_every_feature_is_even_or_odd(self):
        self.assertFalse(EVEN & ODD)
        with self.assertRaises(SystemExit):
            mirror_signs([("a_feature_of_tomorrow", "1")])

    def test_normalising_a_mirrored_row_mirrors_the_normalised_one(self):
        rng = np.random.default_rng(5)
        x = (rng.standard_normal((4000, len(NAMES))) * 3.0 + 1.0).astype(np.float32)
        features = [(name, "1") for name in NAMES]
        signs, scaling = mirror_signs(features), Scaling(x, features)
        # An even feature stays as it is; an odd one must have mean 0 for this to hold.
        np.testing.assert_array_equal(scaling.apply(x * signs), scaling.apply(x) * signs)
        self.assertTrue((scaling.apply(x * 1e6) == np.clip(np.sign(x) * 5.0, -5.0, 5.0))[:, signs < 0].all())

    def test_a_constant_feature_is_refused(self):
        x = np.random.default_rng(6).standard_normal((1000, len(NAMES))).astype(np.float32)
        x[:, NAMES.index("spread_ticks")] = 1.0
        with self.assertRaisesRegex(SystemExit, "spread_ticks"):
            Scaling(x, [(name, "1") for name in NAMES])


if __name__ == "__main__":
    unittest.main()
