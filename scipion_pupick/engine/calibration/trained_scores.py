# SPDX-License-Identifier: GPL-3.0-or-later
"""Log-odds and threshold of a model that was trained from the general one."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ..settings import STRIDE
from .line import Calibration, with_count, with_kept_peaks
from .mixture_fit import GIVEN_COUNT_ERROR, ExpectedCount
from .model_threshold import threshold_of_expected_f1
from .target_decoy import calibrate_target_decoy

# by which an estimated number of particles may be wrong
_ESTIMATE_FACTOR = 2.0


def calibrate_trained(
    scores: np.ndarray,
    decoys: np.ndarray,
    particles: float,
    is_given: bool,
    step: int = STRIDE,
) -> Tuple[Calibration, float]:
    """Fit the line to the scores of the micrographs trained on, and choose the threshold.

    A number of particles that is known decides both: what users say, or what the general model
    expects (docs/decisions/036-numbers-from-the-general-model.md). One that was estimated from
    labels only keeps the line between half and twice as many
    (docs/decisions/031-numbers-estimated.md).

    Args:
        scores: (n,) of all peaks, at least one.
        decoys: (m,) of the peaks of the micrographs' negatives.
        particles: expected among the peaks.
        is_given: whether that number is known; it was estimated from labels otherwise.
        step: distance of two scores of the network, px.

    Returns:
        The line, and the threshold, log-odds.
    """
    if is_given:
        line = calibrate_target_decoy(scores, decoys, particles, step=step)
        count = ExpectedCount(particles, GIVEN_COUNT_ERROR)
    else:
        line = calibrate_target_decoy(scores, decoys, step=step)
        line = with_count(line, scores, particles / _ESTIMATE_FACTOR, particles * _ESTIMATE_FACTOR)
        count = None
    line = with_kept_peaks(line, scores, particles)
    return line, threshold_of_expected_f1(line.log_odds(scores), line.error, count)
