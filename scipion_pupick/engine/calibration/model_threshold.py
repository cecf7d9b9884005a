# SPDX-License-Identifier: GPL-3.0-or-later
"""The threshold that a model is given, with regard to what is not known of its scores."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np

from ..settings import LEAST_SCORE
from .mixture_fit import ExpectedCount
from .precision_recall_estimate import chance_of

# both chosen in docs/decisions/028-thresholds-of-hard-micrographs.md
_ENDS_OF_INTERVAL = 1.96
_COUNT_ERRORS = 2.0


def threshold_of_expected_f1(
    scores: np.ndarray, error: float, count: Optional[ExpectedCount] = None
) -> float:
    """Return the threshold from which on the picks' F1 is to be expected highest.

    The scores may all be too high or too low. So three cases are averaged: they are right, or at
    either end of their 95 % interval; each counts as much as it agrees with the number of
    particles, where one is known.

    Args:
        scores: (n,) of all peaks, log-odds.
        error: standard error that they share.
        count: particles expected among the peaks; None where nothing is known.

    Returns:
        The score of a peak, or -8 if that is higher.

    Raises:
        ValueError: there is no peak.
    """
    falling = np.sort(scores)[::-1]
    picks = np.arange(1, len(falling) + 1)
    cases = [
        chance_of(falling + shift).cumsum()
        for shift in (-_ENDS_OF_INTERVAL * error, 0.0, _ENDS_OF_INTERVAL * error)
    ]
    misfits = np.array([_misfit(right[-1], count) for right in cases])
    f1 = sum(
        math.exp(least) * 2 * right / (picks + right[-1])
        for right, least in zip(cases, misfits.min() - misfits)
    )
    return max(LEAST_SCORE, float(falling[np.argmax(f1)]))


def _misfit(particles: float, count: Optional[ExpectedCount]) -> float:
    """Negative logarithm of how well a number of particles agrees with the expected one."""
    if count is None:
        return 0.0
    deviation = math.log(particles / max(count.particles, 1.0)) / (_COUNT_ERRORS * count.error)
    return deviation**2 / 2
