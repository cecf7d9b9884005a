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

import math
from typing import NamedTuple, Tuple

import numpy as np
from scipy.special import log_expit, logsumexp

from ..settings import LEAST_SCORE
from .line import LEAST_SLOPE, Calibration
from .mixture_fit import GIVEN_COUNT_ERROR, ExpectedCount, PeakSample, fit_mixture, sample_peaks

# what the probabilities should add up to; chosen on half of EMPIAR-10017 and four sets of phantoms:
# with 1.0 thresholds are too strict
PROBABILITY_PER_PARTICLE = 1.1
# true distributions are not quite normal: all peaks together say as much as so many of them would
_GAUSSIAN_INFORMATION = 30.0
# the search may not step to where distributions are as wide as no number can say
_MOST_SPREADS = 6.0


class GaussianMixture(NamedTuple):
    """Two normal distributions of one width.

    Attributes:
        others: mean score of the peaks that are no particles.
        log_width: logarithm of the standard deviation.
        particles: mean score of the particles.
        odds: log-odds of a peak beforehand.
    """

    others: float
    log_width: float
    particles: float
    odds: float


# what the scores of networks are usually like, and the spread of each parameter over data sets
_USUAL = np.array(GaussianMixture(-3.8, math.log(1.75), 1.5, -2.2))
_GAUSSIAN_SPREAD = np.array(GaussianMixture(0.7, 0.15, 2.5, 1.0))
# the same of the line, its slope's logarithm and its offset, after training on the micrographs
_LINE = np.array([math.log(1.1), 1.5])
_LINE_SPREAD = np.array([0.25, 1.2])
_GAUSSIAN_STARTS = tuple(
    GaussianMixture(_USUAL[0], _USUAL[1], mean, odds) for mean in (-0.5, 3.0) for odds in (-3, -1)
)
_GAUSSIAN_LIMITS = tuple(
    zip(_USUAL - _MOST_SPREADS * _GAUSSIAN_SPREAD, _USUAL + _MOST_SPREADS * _GAUSSIAN_SPREAD)
)


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
    if len(scores):
        scores = scores[scores >= min(LEAST_SCORE, np.median(scores))]
    sample = sample_peaks(scores, _GAUSSIAN_INFORMATION)
    count = ExpectedCount(particles, count_error)

    def misfit(mixture: GaussianMixture) -> float:
        return _misfit(mixture, sample, count)

    fit = fit_mixture(misfit, _GAUSSIAN_STARTS, _GAUSSIAN_LIMITS)
    slope, offset = _line(fit.parameters)
    even = -offset / slope

    def log_odds(mixture: GaussianMixture) -> float:
        slope, offset = _line(mixture)
        return slope * even + offset

    return Calibration(slope, offset, fit.standard_error(log_odds))


def _misfit(mixture: GaussianMixture, sample: PeakSample, count: ExpectedCount) -> float:
    """Negative logarithm of a mixture's probability, less a constant."""
    value = -sample.weight * _log_likelihood(sample.scores, mixture)
    value += np.square((np.array(mixture) - _USUAL) / _GAUSSIAN_SPREAD).sum() / 2
    slope, offset = _line(mixture)
    if sample.peaks:
        log_chances = log_expit(slope * sample.scores + offset)
        log_share = logsumexp(log_chances) - math.log(len(sample.scores))
        value += count.misfit(log_share, sample.peaks)
    line = np.array([math.log(slope), offset])
    value += np.square((line - _LINE) / _LINE_SPREAD).sum() / 2
    return float(value)


def _log_likelihood(scores: np.ndarray, mixture: GaussianMixture) -> float:
    """Of both normal distributions together, less a constant."""
    width = math.exp(mixture.log_width)
    logs = np.logaddexp(
        -np.square((scores - mixture.others) / width) / 2 - np.logaddexp(0, mixture.odds),
        -np.square((scores - mixture.particles) / width) / 2 - np.logaddexp(0, -mixture.odds),
    )
    return float(logs.sum() - len(scores) * mixture.log_width)


def _line(mixture: GaussianMixture) -> Tuple[float, float]:
    """Slope and offset of the log-odds; the slope is kept positive."""
    others, log_width, particles, odds = mixture
    variance = math.exp(2 * log_width)
    slope = max((particles - others) / variance, LEAST_SLOPE)
    return slope, odds - slope * (particles + others) / 2
