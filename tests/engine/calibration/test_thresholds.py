# SPDX-License-Identifier: GPL-3.0-or-later
"""Thresholds for a number of picks or for a precision that is wanted."""

import numpy as np
import pytest

from scipion_pupick.engine.calibration.precision_recall_estimate import estimate_precision_recall
from scipion_pupick.engine.calibration.thresholds import threshold_of_count, threshold_of_precision
from scipion_pupick.engine.errors import UsageError

SCORES = [np.array([5.0, 3.0, -1.0]), np.array([4.0]), np.empty(0)]


def test_a_number_counts_on_average_over_all_micrographs_also_empty_ones():
    assert threshold_of_count(SCORES, 1) == 3
    assert threshold_of_count(SCORES, 2 / 3) == 4
    assert threshold_of_count(SCORES, 100) == -1


def test_the_lowest_threshold_with_the_precision_is_taken():
    # probabilities 0.9, 0.9, 0.5, 0.1: means 0.9, 0.9, 0.77, 0.6
    high = np.log(9)
    quality = estimate_precision_recall([np.array([high, high, 0.0, -high])])
    assert threshold_of_precision(quality, 0.899) == pytest.approx(high)
    assert threshold_of_precision(quality, 0.75) == 0
    assert threshold_of_precision(quality, 0.599) == pytest.approx(-high)


def test_what_cannot_be_reached_or_makes_no_sense_is_refused():
    quality = estimate_precision_recall([np.array([-1.0, 0.0, 1.0])])
    with pytest.raises(UsageError, match=r"precision of 0\.75: the highest is 0\.7311"):
        threshold_of_precision(quality, 0.75)
    sure = estimate_precision_recall([np.array([10.0])])
    with pytest.raises(UsageError, match=r"precision of 0\.99999: the highest is 0\.999954"):
        threshold_of_precision(sure, 0.99999)
    for precision in (-0.1, 0.0, 1.0, 1.1):
        with pytest.raises(UsageError, match="a share between 0 and 1"):
            threshold_of_precision(quality, precision)
    with pytest.raises(UsageError, match="must be positive"):
        threshold_of_count(SCORES, 0)
    assert threshold_of_count(SCORES, 1e-3) == np.concatenate(SCORES).max()
    with pytest.raises(UsageError, match="no peak"):
        threshold_of_count([np.empty(0)], 3)
