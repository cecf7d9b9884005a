# SPDX-License-Identifier: GPL-3.0-or-later
"""The fit that both calibrations share, on misfits whose least and whose width are known."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from scipion_pupick.engine.calibration.mixture_fit import (
    ExpectedCount,
    fit_mixture,
    sample_peaks,
)


class Pair(NamedTuple):
    """Two parameters."""

    x: float
    y: float


LIMITS = ((-10.0, 10.0), (-10.0, 10.0))
COVARIANCE = np.array([[0.5, 0.2], [0.2, 0.3]])
CENTRE = np.array([1.0, -2.0])


def normal(pair):
    """Negative logarithm of a normal distribution, less a constant."""
    deviation = np.array(pair) - CENTRE
    return float(deviation @ np.linalg.inv(COVARIANCE) @ deviation / 2)


def test_parameters_keep_their_names():
    fit = fit_mixture(normal, [Pair(0.0, 0.0)], LIMITS)
    assert isinstance(fit.parameters, Pair)
    np.testing.assert_allclose((fit.parameters.x, fit.parameters.y), CENTRE, atol=1e-4)


def test_the_lowest_of_several_valleys_is_taken():
    def valleys(pair):
        return float((pair.x**2 - 4) ** 2 + pair.x + pair.y**2)

    high, low = Pair(1.8, 0.0), Pair(-1.8, 0.0)
    assert fit_mixture(valleys, [high], LIMITS).parameters.x > 0
    for starts in ([high, low], [low, high]):
        assert fit_mixture(valleys, starts, LIMITS).parameters.x == pytest.approx(-2.03, abs=0.01)


def test_parameters_stay_within_their_limits():
    fit = fit_mixture(normal, [Pair(0.0, 0.0)], ((-1.0, 0.5), (-1.0, 1.0)))
    assert fit.parameters == pytest.approx((0.5, -1.0))


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (2.0, -1.0)])
def test_the_standard_error_is_that_of_a_normal_distribution(weights):
    fit = fit_mixture(normal, [Pair(0.0, 0.0)], LIMITS)
    error = fit.standard_error(lambda pair: weights[0] * pair.x + weights[1] * pair.y)
    assert error == pytest.approx(math.sqrt(np.array(weights) @ COVARIANCE @ weights), rel=1e-3)


def test_a_sample_is_spread_evenly_over_many_peaks():
    scores = np.random.default_rng(0).permutation(np.arange(30_000.0))
    sample = sample_peaks(scores, 60.0)
    assert (sample.peaks, len(sample.scores)) == (30_000, 1500)
    assert (sample.scores[0], sample.scores[-1]) == (0, 29_999)
    assert np.ptp(np.diff(sample.scores)) <= 1
    assert sample.weight == 60 / 1500


def test_few_peaks_are_all_in_the_sample():
    sample = sample_peaks(np.array([2.0, -1.0, 0.5]), 60.0)
    assert sample.scores.tolist() == [-1.0, 0.5, 2.0]
    assert (sample.peaks, sample.weight) == (3, 1.0)
    assert sample_peaks(np.empty(0), 60.0).peaks == 0


def test_the_misfit_of_a_number_counts_standard_errors_of_its_logarithm():
    expected = ExpectedCount(100.0, 0.2)
    assert expected.misfit(math.log(0.1), 1000) == pytest.approx(0)
    one_error_off = 0.1 * math.exp(0.2)
    assert expected.misfit(math.log(one_error_off), 1000) == pytest.approx(0.5)
