# SPDX-License-Identifier: GPL-3.0-or-later
"""The threshold that a model is given, against the F1 worked out peak by peak."""

import numpy as np
import pytest

from scipion_pupick.engine.calibration.mixture_fit import ExpectedCount
from scipion_pupick.engine.calibration.model_threshold import threshold_of_expected_f1
from scipion_pupick.engine.calibration.precision_recall_estimate import (
    best_threshold,
    estimate_precision_recall,
)

SCORES = np.random.default_rng(2).normal(-2, 2.5, 300)


def expected_f1(threshold, shifts, weights=(1, 1, 1)):
    found = []
    for shift in shifts:
        chance = [1 / (1 + np.exp(-score - shift)) for score in SCORES]
        right = sum(c for c, score in zip(chance, SCORES) if score >= threshold)
        found.append(2 * right / (np.count_nonzero(threshold <= SCORES) + sum(chance)))
    return np.average(found, weights=weights)


@pytest.mark.parametrize("error", [0.3, 1.3])
def test_scores_may_be_too_high_or_too_low(error):
    shifts = (-1.96 * error, 0.0, 1.96 * error)
    chosen = threshold_of_expected_f1(SCORES, error)
    assert chosen == max(SCORES, key=lambda threshold: expected_f1(threshold, shifts))


def test_a_number_of_particles_says_which_of_these_counts():
    shifts = (-2.548, 0.0, 2.548)
    numbers = [sum(1 / (1 + np.exp(-SCORES - shift))) for shift in shifts]
    count = ExpectedCount(1.2 * numbers[2], 0.2)
    weights = [np.exp(-((np.log(n / count.particles) / 0.4) ** 2) / 2) for n in numbers]
    chosen = threshold_of_expected_f1(SCORES, 1.3, count)
    assert chosen == max(SCORES, key=lambda threshold: expected_f1(threshold, shifts, weights))
    few = threshold_of_expected_f1(SCORES, 1.3, ExpectedCount(numbers[0], 0.2))
    assert chosen < threshold_of_expected_f1(SCORES, 1.3) < few


def test_scores_that_are_certain_have_the_threshold_of_the_estimated_curve():
    curve = estimate_precision_recall([SCORES], thresholds=np.sort(SCORES))
    assert threshold_of_expected_f1(SCORES, 0.0) == best_threshold(curve)


@pytest.mark.parametrize("particles", [0.0, 1e9])
def test_a_number_that_cannot_be_leaves_a_threshold_all_the_same(particles):
    chosen = threshold_of_expected_f1(SCORES, 1.3, ExpectedCount(particles, 0.2))
    picks = np.count_nonzero(chosen <= SCORES)
    assert picks < 20 if particles == 0 else picks > 150


def test_peaks_below_what_is_kept_are_no_picks():
    assert threshold_of_expected_f1(np.full(5, -30.0), 1.0) == -8
