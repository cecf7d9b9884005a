# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of a network that does not come from the general model, as log-odds, without negatives.

The scores of particles and of other peaks are taken for two normal distributions of one width.
Then the log-odds are a straight line in the score (linear discriminant analysis; Hastie et al., The
Elements of Statistical Learning, 2009, section 4.3). The distributions are fitted to the scores of
all peaks and to what is known beforehand: what the scores of networks are usually like, and about
how many particles there are. The labels are not used: people label the clearest particles first,
and a network scores those it was trained on higher than others.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Callable, Tuple

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_expit, logsumexp

from ..networks.architectures import Network
from ..settings import LEAST_SCORE

# standard error of the logarithm of the number of particles, as users know it and as estimated
GIVEN_COUNT_ERROR = 0.2
ESTIMATED_COUNT_ERROR = 0.6
# what the probabilities should add up to; chosen on half of EMPIAR-10017 and four sets of phantoms:
# with 1.0 thresholds are too strict
PROBABILITY_PER_PARTICLE = 1.1

# what scores are usually like: centre and spread, over data sets, of the mean of the other peaks,
# the logarithm of the width, the mean of the particles, and the log-odds of a peak beforehand
CENTRE = np.array([-3.8, math.log(1.75), 1.5, -2.2])
SPREAD = np.array([0.7, 0.15, 2.5, 1.0])
# the same of the line, its slope's logarithm and its offset, after training on the micrographs
LINE = np.array([math.log(1.1), 1.5])
LINE_SPREAD = np.array([0.25, 1.2])
# true distributions are not quite normal: all peaks together say as much as so many of them would
INFORMATION = 30.0
MOST_PEAKS = 1500
STEP = 1e-3
# the search may not step to where distributions are as wide as no number can say
MOST_SPREADS = 6.0


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


def calibrate(
    scores: np.ndarray,
    particles: float,
    count_error: float = GIVEN_COUNT_ERROR,
) -> Calibration:
    """Fit the line to the scores of all peaks.

    The network was trained on these micrographs with π from that number of particles, which nearly
    calibrates it by itself.

    Args:
        scores: (n,) of all peaks of some micrographs; none for what is usual.
        particles: what the probabilities of these peaks should add up to.
        count_error: standard error of the logarithm of `particles`.
    """
    kept = np.sort(scores[scores >= min(LEAST_SCORE, np.median(scores))] if len(scores) else scores)
    shown = kept[np.linspace(0, len(kept) - 1, min(MOST_PEAKS, len(kept))).astype(int)]
    weight = min(1.0, INFORMATION / max(len(shown), 1))

    def misfit(parameters: np.ndarray) -> float:
        value = -weight * _log_likelihood(shown, parameters)
        value += np.square((parameters - CENTRE) / SPREAD).sum() / 2
        slope, offset = _line(parameters)
        if len(kept):
            per_peak = logsumexp(log_expit(slope * shown + offset)) - math.log(len(shown))
            excess = per_peak + math.log(len(kept) / max(particles, 1.0))
            value += (excess / count_error) ** 2 / 2
        line = np.array([math.log(slope), offset])
        value += np.square((line - LINE) / LINE_SPREAD).sum() / 2
        return float(value)

    starts = [np.array([*CENTRE[:2], mean, share]) for mean in (-0.5, 3.0) for share in (-3, -1)]
    limits = list(zip(CENTRE - MOST_SPREADS * SPREAD, CENTRE + MOST_SPREADS * SPREAD))
    fits = [minimize(misfit, start, method="L-BFGS-B", bounds=limits) for start in starts]
    best = min(fits, key=lambda fit: fit.fun).x
    slope, offset = _line(best)
    even = -offset / slope

    def log_odds(parameters: np.ndarray) -> float:
        slope, offset = _line(parameters)
        return slope * even + offset

    return Calibration(slope, offset, standard_error(misfit, best, log_odds))


def calibrated(network: Network, calibration: Calibration) -> Network:
    """Copy a network, with the line folded into its last layer."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        network.classifier.weight.mul_(calibration.slope)
        bias = network.classifier.bias
        if bias is not None:
            bias.mul_(calibration.slope).add_(calibration.offset)
    return network


def standard_error(
    misfit: Callable[[np.ndarray], float],
    best: np.ndarray,
    log_odds: Callable[[np.ndarray], float],
) -> float:
    """Standard error of the log-odds of a score (Laplace's approximation).

    Args:
        misfit: negative logarithm of the probability of parameters (p,), less a constant.
        best: parameters (p,) of the least misfit.
        log_odds: of the score, by the parameters.
    """
    steps = STEP * np.eye(len(best))
    gradient = np.array([log_odds(best + step) - log_odds(best - step) for step in steps])
    curvature = np.array(
        [
            [
                misfit(best + a + b)
                - misfit(best + a - b)
                - misfit(best - a + b)
                + misfit(best - a - b)
                for b in steps
            ]
            for a in steps
        ]
    )
    gradient, curvature = gradient / (2 * STEP), curvature / (4 * STEP**2)
    variance = float(gradient @ np.linalg.pinv(curvature) @ gradient)
    return math.sqrt(max(variance, 0.0))


def _log_likelihood(scores: np.ndarray, parameters: np.ndarray) -> float:
    """Of both normal distributions together, less a constant."""
    others, log_width, particles, share = parameters
    width = math.exp(log_width)
    logs = np.logaddexp(
        -np.square((scores - others) / width) / 2 - np.logaddexp(0, share),
        -np.square((scores - particles) / width) / 2 - np.logaddexp(0, -share),
    )
    return float(logs.sum() - len(scores) * log_width)


def _line(parameters: np.ndarray) -> Tuple[float, float]:
    """Slope and offset of the log-odds; the slope is kept positive."""
    others, log_width, particles, share = parameters
    variance = math.exp(2 * log_width)
    slope = max((particles - others) / variance, 0.1)
    return slope, share - slope * (particles + others) / 2
