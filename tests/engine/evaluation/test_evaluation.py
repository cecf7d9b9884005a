# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching and average precision against scikit-learn, optimal assignment and cases by hand."""

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, precision_recall_curve

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.evaluation.curves import (
    average_precision,
    precision_recall,
    region_average_precision,
)
from scipion_pupick.engine.evaluation.evaluate import evaluate_picks, write_table
from scipion_pupick.engine.evaluation.matching import match_points


def coordinates(*rows):
    """Rows of x, y and score."""
    table = np.array(rows, float).reshape(-1, 3)
    return Coordinates(table[:, 0], table[:, 1], table[:, 2])


def particles(*rows):
    table = np.array(rows, float).reshape(-1, 2)
    return Coordinates.unscored(table[:, 0], table[:, 1])


def match(predicted, reference, tolerance, score):
    return match_points(predicted, reference, tolerance, score) >= 0


def greedy_match(predicted, reference, tolerance, score):
    """The rule written out, with every distance."""
    assigned, free = [-1] * len(predicted), set(range(len(reference)))
    for i in sorted(range(len(predicted)), key=lambda i: (-score[i], i)):
        near = [(math.dist(predicted[i], reference[j]), j) for j in free]
        near = [pair for pair in near if pair[0] <= tolerance]
        if near:
            assigned[i] = min(near)[1]
            free.remove(assigned[i])
    return assigned


def most_pairs(predicted, reference, tolerance):
    """Number of pairs of the best one-to-one matching."""
    allowed = cdist(predicted, reference) <= tolerance
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    return int(allowed[rows, columns].sum())


class TestMatching:
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("tolerance", [2.0, 6.0, 15.0])
    def test_equals_the_rule_written_out(self, seed, tolerance):
        random = np.random.default_rng(seed)
        predicted, reference = random.uniform(0, 60, (50, 2)), random.uniform(0, 60, (40, 2))
        score = random.integers(0, 12, 50).astype(float)
        assigned = match_points(predicted, reference, tolerance, score)
        assert assigned.tolist() == greedy_match(predicted, reference, tolerance, score)

    @pytest.mark.parametrize("tolerance", [2.0, 6.0, 15.0])
    def test_micrographs_together_are_matched_as_one_by_one(self, tolerance):
        random = np.random.default_rng(3)
        xy, known = random.uniform(0, 60, (200, 2)), random.uniform(0, 60, (150, 2))
        score = random.integers(0, 12, 200).astype(float)
        of, of_known = random.integers(0, 6, 200), random.integers(0, 6, 150)
        assigned = match_points(xy, known, tolerance, score, of, of_known)
        for group in range(6):
            here, there = np.flatnonzero(of == group), np.flatnonzero(of_known == group)
            alone = greedy_match(xy[here], known[there], tolerance, score[here])
            expected = [-1 if i < 0 else there[i] for i in alone]
            assert assigned[here].tolist() == expected

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("tolerance", [2.0, 6.0, 15.0])
    def test_finds_at_least_half_of_the_pairs_of_the_optimal_matching(self, seed, tolerance):
        random = np.random.default_rng(seed)
        predicted, reference = random.uniform(0, 60, (50, 2)), random.uniform(0, 60, (40, 2))
        hits = match(predicted, reference, tolerance, random.normal(size=50)).sum()
        best = most_pairs(predicted, reference, tolerance)
        assert best / 2 <= hits <= best

    def test_is_optimal_where_particles_do_not_crowd(self):
        random = np.random.default_rng(7)
        grid = np.stack(np.meshgrid(np.arange(10), np.arange(10)), -1).reshape(-1, 2) * 50.0
        predicted = np.concatenate([grid[::2] + random.uniform(-7, 7, (50, 2)), grid[1::5] + 20])
        score = random.normal(size=len(predicted))
        hits = match(predicted, grid, 10.0, score)
        assert hits.tolist() == [True] * 50 + [False] * 20
        assert hits.sum() == most_pairs(predicted, grid, 10.0)

    def test_one_particle_counts_once_and_for_the_best_pick(self):
        predicted = [(10, 10), (11, 10), (10, 12)]
        assert match(predicted, [(10, 10)], 5, [0.1, 0.9, 0.5]).tolist() == [False, True, False]

    def test_best_pick_takes_the_nearest_particle(self):
        reference = [(0, 0), (4, 0)]
        assert match_points([(1, 0), (3, 0)], reference, 3.5, [1, 2]).tolist() == [0, 1]
        assert match_points([(1.9, 0), (1, 0)], reference, 3.5, [2, 1]).tolist() == [0, 1]

    def test_lower_pick_takes_what_is_left(self):
        assert match_points([(1, 0), (0, 0)], [(1, 0), (3, 0)], 3, [2, 1]).tolist() == [0, 1]

    def test_distance_equal_to_the_tolerance_is_a_hit(self):
        assert match([(3, 4)], [(0, 0)], 5.0, [1]).all()
        assert not match([(3, 4)], [(0, 0)], 4.999, [1]).any()

    def test_equal_scores_count_in_the_order_given_and_nan_last(self):
        predicted = [(1, 0), (0, 0)]
        assert match(predicted, [(0, 0)], 3, [1, 1]).tolist() == [True, False]
        assert match(predicted, [(0, 0)], 3, [np.nan, -9]).tolist() == [False, True]

    def test_nothing_on_either_side(self):
        assert match(np.empty((0, 2)), [(1, 1)], 3, []).shape == (0,)
        assert match([(1, 1)], [], 3, [1]).tolist() == [False]

    @pytest.mark.parametrize("tolerance", [0, -1, math.nan, math.inf])
    def test_senseless_tolerance_is_refused(self, tolerance):
        with pytest.raises(UsageError, match="tolerance"):
            match([(1, 1)], [(1, 1)], tolerance, [1])


class TestPrecisionRecall:
    @pytest.mark.parametrize("levels", [3, 20, 10**9])
    def test_equals_scikit_learn_where_all_is_retrieved(self, levels):
        random = np.random.default_rng(levels % 97)
        hits = random.random(500) < 0.2
        score = random.integers(0, levels, 500) + 10.0 * hits
        expected = average_precision_score(hits, score)
        assert average_precision(hits, score, hits.sum()) == pytest.approx(expected, abs=1e-12)
        precision, recall, threshold = precision_recall_curve(hits, score)
        curve = precision_recall(hits, score, hits.sum())
        np.testing.assert_array_equal(curve.threshold, threshold[::-1])
        np.testing.assert_allclose(curve.precision, precision[:-1][::-1], rtol=1e-14)
        np.testing.assert_allclose(curve.recall, recall[:-1][::-1], rtol=1e-14)

    def test_by_hand(self):
        curve = precision_recall([True, False, True, True], [0.9, 0.8, 0.7, 0.6], 5)
        np.testing.assert_allclose(curve.picks, [1, 2, 3, 4])
        np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3, 3 / 4])
        np.testing.assert_allclose(curve.recall, [0.2, 0.2, 0.4, 0.6])
        np.testing.assert_allclose(curve.f1, [1 / 3, 2 / 7, 1 / 2, 2 / 3])
        assert curve.average_precision == pytest.approx(0.2 * (1 + 2 / 3 + 3 / 4))
        assert curve.best_f1 == pytest.approx(2 / 3)
        assert curve.best_threshold == 0.6

    def test_f1_is_the_harmonic_mean(self):
        random = np.random.default_rng(0)
        curve = precision_recall(random.random(60) < 0.4, random.normal(size=60), 50)
        found = curve.precision > 0
        harmonic = 2 / (1 / curve.precision[found] + 1 / curve.recall[found])
        np.testing.assert_allclose(curve.f1[found], harmonic)

    def test_equal_scores_are_one_step_whatever_their_order(self):
        for hits in ([True, False], [False, True]):
            assert average_precision(hits, [1.0, 1.0], 1) == 0.5

    def test_missed_particles_lower_the_average(self):
        assert average_precision([True, True], [2.0, 1.0], 2) == 1
        assert average_precision([True, True], [2.0, 1.0], 8) == 0.25

    def test_score_may_be_infinite_or_missing(self):
        curve = precision_recall([True, False, True], [np.inf, np.nan, 0.0], 2)
        assert curve.threshold.tolist() == [np.inf, 0.0, -np.inf]
        assert curve.average_precision == 1

    def test_precision_at_recall_is_the_best_with_at_least_that_recall(self):
        hits = [True, True, False, False, True, True]
        curve = precision_recall(hits, [6, 5, 4, 3, 2, 1], 4)
        np.testing.assert_allclose(curve.precision, [1, 1, 2 / 3, 1 / 2, 3 / 5, 2 / 3])
        assert curve.precision_at(0.5) == 1
        assert curve.precision_at(0.75) == pytest.approx(2 / 3)
        assert curve.precision_at(0.9) == pytest.approx(2 / 3)

    def test_precision_at_a_recall_that_is_never_reached_is_nan(self):
        assert math.isnan(precision_recall([True], [1.0], 2).precision_at(0.9))

    def test_higher_threshold_wins_among_equal_f1(self):
        curve = precision_recall([True, False, False, True], [4, 3, 2, 1], 3)
        np.testing.assert_allclose(curve.f1, [1 / 2, 2 / 5, 1 / 3, 4 / 7])
        even = precision_recall([True, False, False, False, True], [5, 4, 3, 2, 1], 3)
        assert even.f1[0] == even.f1[-1] == even.best_f1
        assert even.best_threshold == 5

    def test_without_predictions_everything_is_zero(self):
        curve = precision_recall([], [], 3)
        assert (curve.average_precision, curve.best_f1, len(curve.threshold)) == (0, 0, 0)
        assert math.isnan(curve.best_threshold)
        assert math.isnan(curve.precision_at(0.9))

    def test_nothing_to_find_is_refused(self):
        with pytest.raises(UsageError, match="reference"):
            average_precision([False], [1.0], 0)


class TestRegions:
    @pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
    def test_equals_scikit_learn(self, dtype):
        random = np.random.default_rng(2)
        labels = random.random((90, 110)) < 0.03
        scores = (random.normal(size=labels.shape) + 2 * labels).astype(dtype)
        expected = average_precision_score(labels.ravel(), scores.ravel())
        assert region_average_precision(scores, labels) == pytest.approx(expected, abs=1e-9)
        assert region_average_precision(scores, labels * 1.0) == pytest.approx(expected, abs=1e-9)

    def test_differences_beyond_single_precision_count(self):
        scores = 1.0 + np.array([[2, 1, 3, 0]]) * 1e-12
        assert region_average_precision(scores, [[True, False, True, False]]) == 1
        single = region_average_precision(scores.astype(np.float32), [[True, False, True, False]])
        assert single == 0.5

    def test_constant_map_has_the_fraction_of_positives(self):
        labels = np.arange(100).reshape(10, 10) < 7
        assert region_average_precision(np.zeros((10, 10)), labels) == pytest.approx(0.07)

    def test_senseless_maps_are_refused(self):
        with pytest.raises(UsageError, match="shape"):
            region_average_precision(np.zeros((2, 3)), np.ones((3, 2)))
        with pytest.raises(UsageError, match="NaN"):
            region_average_precision([[np.nan, 1.0]], [[1, 0]])
        with pytest.raises(UsageError, match="at least one"):
            region_average_precision(np.zeros((2, 2)), np.zeros((2, 2)))


class TestPicks:
    def test_by_hand_over_two_micrographs(self):
        picks = {
            "a": coordinates((10, 10, 5.0), (53, 54, 4.0), (90, 90, 3.0)),
            "b": coordinates((20, 20, 4.5), (70, 20, 1.0)),
        }
        reference = {
            "a": particles((10, 10), (50, 50)),
            "b": particles((70, 20), (20, 80)),
        }
        evaluation = evaluate_picks(picks, reference, tolerance=6)
        assert (evaluation.picks, evaluation.reference, evaluation.hits) == (5, 4, 3)
        assert evaluation.curve.threshold.tolist() == [5, 4.5, 4, 3, 1]
        np.testing.assert_allclose(evaluation.curve.precision, [1, 1 / 2, 2 / 3, 1 / 2, 3 / 5])
        expected = (1 + 2 / 3 + 3 / 5) / 4
        assert evaluation.curve.average_precision == pytest.approx(expected)
        assert evaluation.localisation_error == pytest.approx((0 + 5 + 0) / 3)
        counts = [(m.name, m.picks, m.reference, m.hits) for m in evaluation.micrographs]
        assert counts == [("a", 3, 2, 2), ("b", 2, 2, 1)]
        assert evaluation.skipped == ()

    def test_picks_match_on_their_own_micrograph_only(self):
        reference = {"a": particles((5, 5)), "b": particles((50, 50))}
        evaluation = evaluate_picks({"a": coordinates((50, 50, 1.0))}, reference, 3)
        assert evaluation.hits == 0

    def test_micrographs_without_picks_are_missed_and_others_skipped(self):
        picks = {"b": coordinates((5, 5, 1.0)), "c": coordinates((5, 5, 9.0), (6, 6, 8.0))}
        reference = {"a": particles((5, 5), (9, 9), (1, 1)), "b": particles((5, 5))}
        evaluation = evaluate_picks(picks, reference, 3)
        assert evaluation.skipped == ("c",)
        assert evaluation.picks == 1
        assert evaluation.curve.recall.tolist() == [0.25]
        assert evaluation.curve.precision.tolist() == [1]

    def test_picks_on_an_empty_micrograph_are_wrong(self):
        picks = {"a": coordinates((5, 5, 1.0)), "b": coordinates((5, 5, 2.0))}
        evaluation = evaluate_picks(picks, {"a": particles((5, 5)), "b": particles()}, 3)
        assert evaluation.curve.precision.tolist() == [0, 0.5]

    def test_order_of_micrographs_and_picks_does_not_matter(self):
        random = np.random.default_rng(4)
        reference = {n: particles(*random.uniform(0, 99, (9, 2))) for n in "abc"}
        picks = {n: coordinates(*random.uniform(0, 99, (12, 3))) for n in "abc"}
        turned = {n: picks[n].select(np.arange(12)[::-1]) for n in "cba"}
        one, other = evaluate_picks(picks, reference, 9), evaluate_picks(turned, reference, 9)
        assert one.hits == other.hits > 0
        np.testing.assert_array_equal(one.curve.precision, other.curve.precision)

    def test_border_leaves_out_particles_and_picks(self):
        """The micrograph is 100 wide and 60 high: 10 px leave x 10 ... 89 and y 10 ... 49."""
        picks = {"a": coordinates((10, 10, 3.0), (90, 30, 9.0), (50, 49.5, 8.0), (89, 49, 2.0))}
        reference = {"a": particles((10, 10), (89, 49), (9.9, 30), (50, 5))}
        evaluation = evaluate_picks(picks, reference, 3, border=10, shapes={"a": (60, 100)})
        assert (evaluation.picks, evaluation.reference, evaluation.hits) == (2, 2, 2)
        assert evaluation.curve.threshold.tolist() == [3, 2]

    def test_border_tears_no_pair_apart(self):
        picks = {"a": coordinates((9, 30, 2.0), (51, 11, 1.0))}
        reference = {"a": particles((11, 30), (51, 9))}
        evaluation = evaluate_picks(picks, reference, 3, border=10, shapes={"a": (60, 100)})
        assert (evaluation.picks, evaluation.reference, evaluation.hits) == (1, 1, 1)
        assert evaluation.curve.threshold.tolist() == [2]
        assert evaluation.localisation_error == 2

    def test_picks_without_score_rank_last(self):
        picks = {"a": coordinates((1, 1, np.nan), (9, 9, -3.0))}
        evaluation = evaluate_picks(picks, {"a": particles((1, 1), (9, 9))}, 2)
        assert evaluation.curve.threshold.tolist() == [-3, -np.inf]
        assert evaluation.curve.average_precision == 1

    def test_no_picks_at_all(self):
        evaluation = evaluate_picks({}, {"a": particles((1, 1))}, 2)
        assert evaluation.curve.average_precision == 0
        assert evaluation.picks == 0
        assert math.isnan(evaluation.localisation_error)

    def test_senseless_arguments_are_refused(self):
        reference = {"mic/7.mrc": particles((1, 1))}
        for empty in ({}, {"a": particles()}):
            with pytest.raises(UsageError, match="reference"):
                evaluate_picks({"a": coordinates((1, 1, 1))}, empty, 2)
        with pytest.raises(UsageError, match=r"mic/7\.mrc.*border"):
            evaluate_picks({}, reference, 2, border=5)
        with pytest.raises(UsageError, match="reference"):
            evaluate_picks({}, reference, 2, border=5, shapes={"mic/7.mrc": (50, 50)})
        for border in (-1, math.nan):
            with pytest.raises(UsageError, match="border"):
                evaluate_picks({}, reference, 2, border=border)
        with pytest.raises(UsageError, match="tolerance"):
            evaluate_picks({}, reference, 0)


@pytest.fixture
def evaluation():
    random = np.random.default_rng(1)
    truth = random.uniform(0, 500, (60, 2))
    found = np.concatenate(
        [truth[:50] + random.normal(0, 2, (50, 2)), random.uniform(0, 500, (40, 2))]
    )
    score = np.concatenate([random.normal(2, 1, 50), random.normal(0, 1, 40)])
    picks = {"a": coordinates(*np.column_stack([found, score]))}
    return evaluate_picks(picks, {"a": particles(*truth)}, 8)


class TestFiles:
    def test_table_holds_the_curve(self, evaluation, tmp_path):
        path = tmp_path / "new" / "curve.tsv"
        write_table(evaluation, path)
        table = np.genfromtxt(path, names=True, delimiter="\t")
        assert table.dtype.names == ("threshold", "precision", "recall", "f1", "picks")
        assert table["picks"].tolist() == evaluation.curve.picks.tolist()
        np.testing.assert_allclose(table["threshold"], evaluation.curve.threshold, rtol=1e-8)
        for name in ("precision", "recall", "f1"):
            np.testing.assert_allclose(table[name], getattr(evaluation.curve, name), atol=1e-6)

    def test_table_without_picks_is_its_header(self, tmp_path):
        write_table(evaluate_picks({}, {"a": particles((1, 1))}, 2), tmp_path / "t.tsv")
        text = (tmp_path / "t.tsv").read_text(encoding="utf-8")
        assert text == "threshold\tprecision\trecall\tf1\tpicks\n"
