# SPDX-License-Identifier: GPL-3.0-or-later
"""A line from a network's scores to log-odds, and a network that has it built in."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit

from ..networks.architectures import Network
from ..settings import LEAST_SCORE

LEAST_SLOPE = 0.1  # of a fit; scores must not lose their order
# shift of log-odds by coverage, and what coverage was measured
# (docs/decisions/035-coverage.md)
_BY_COVERAGE, _USUAL_COVERAGE, _MEASURED_COVERAGE = 5.0, 0.265, (0.17, 0.5)
# of the best peaks, for each particle expected, and of all
_KEPT_A_PARTICLE, _KEPT_SHARE = 3.0, 0.95


@dataclass(frozen=True)
class Calibration:
    """A rising line from a network's scores to log-odds that their peaks are particles.

    Attributes:
        slope: log-odds by score.
        offset: log-odds of the score 0.
        error: standard error that the log-odds share, where particles and others are as likely.
    """

    slope: float
    offset: float
    error: float

    def log_odds(self, scores: np.ndarray) -> np.ndarray:
        """Map scores of any shape to log-odds."""
        return self.slope * scores + self.offset


def with_count(
    calibration: Calibration, scores: np.ndarray, least: float, most: float
) -> Calibration:
    """Shift log-odds so that as many particles are expected among peaks as there should be.

    Args:
        calibration: of the scores.
        scores: (n,) of all peaks.
        least: number of particles that should be expected at least; n / 2 at most counts.
        most: at most.
    """
    odds = calibration.log_odds(scores)
    expected = float(expit(odds).sum())
    wanted = float(np.clip(expected, min(least, len(scores) / 2), most))
    if wanted == expected or not 0 < wanted < len(scores):
        return calibration
    shift = brentq(lambda shift: float(expit(odds + shift).sum()) - wanted, -100, 100)
    return replace(calibration, offset=calibration.offset + float(shift))


def with_coverage(calibration: Calibration, scores: np.ndarray, room: float) -> Calibration:
    """Shift log-odds by the share of the area that the expected particles cover.

    A fit draws every set to what is usual. So it leaves out particles where they are crowded, and
    finds too many where they are rare (docs/decisions/035-coverage.md).

    Args:
        calibration: of the scores.
        scores: (n,) of all peaks of some area.
        room: number of particles whose discs are as large as that area.
    """
    coverage = float(expit(calibration.log_odds(scores)).sum()) / room
    shift = _BY_COVERAGE * (float(np.clip(coverage, *_MEASURED_COVERAGE)) - _USUAL_COVERAGE)
    return replace(calibration, offset=calibration.offset + shift)


def with_kept_peaks(calibration: Calibration, scores: np.ndarray, particles: float) -> Calibration:
    """Make log-odds less steep where they leave too few peaks above the least score that is kept.

    A network is surer of the micrographs that it was trained on than of others: some of its peaks
    that are said to be particles once in a hundred thousand times are so in a tenth. So three peaks
    are kept for each particle, or nearly all that there are. As many particles as before are
    expected among the peaks (docs/decisions/029-peaks-that-are-kept.md).

    Args:
        calibration: of the scores.
        scores: (n,) of all peaks, at least one.
        particles: expected among these.
    """
    kept = min(math.ceil(_KEPT_A_PARTICLE * particles), math.ceil(_KEPT_SHARE * len(scores)))
    odds = calibration.log_odds(scores)
    last = float(np.sort(odds)[::-1][max(1, kept) - 1])
    if last >= LEAST_SCORE:
        return calibration
    share, expected = LEAST_SCORE / last, float(expit(odds).sum())
    flatter = replace(calibration, slope=share * calibration.slope)
    return with_count(flatter, scores, expected, expected)


def calibrated(network: Network, calibration: Calibration) -> Network:
    """Copy a network, with the line folded into its last layer."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        network.classifier.weight.mul_(calibration.slope)
        bias = network.classifier.bias
        if bias is not None:
            bias.mul_(calibration.slope).add_(calibration.offset)
    return network
