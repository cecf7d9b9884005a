# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of the general model, and of what is trained from it, that are log-odds.

The model also scores the negatives of the micrographs. No particle is in these, but the noise is
the same, so their peaks show how peaks that are no particles score (decoys, as in the search of
mass spectra; Elias & Gygi, Nature Methods 4, 207, 2007). The scores of all peaks are then taken for
a mixture: of a distribution that is nearly that of the decoys, and of a normal one of particles. It
is fitted to the scores, to what these are usually like, and to about how many particles there are.

No label is used: people label the clearest particles first, and a network scores those it was
trained on higher than others. Networks that were trained from random weights may do anything in
negatives, which they never saw: these are calibrated otherwise (`calibration.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from scipy.stats import norm

from .gaussian import GIVEN_COUNT_ERROR, MOST_PEAKS, Calibration, standard_error

# instead of fewer decoys than these
FEW_DECOYS = 20
USUAL_DECOYS = norm(-5.2, 1.6).ppf((np.arange(200) + 0.5) / 200)
# the lowest are left out: scores far below any threshold
LEAST_QUANTILE = 0.1
LEAST_WIDTH = 0.05
# of the kernel that smooths the scores of a thousand decoys, in their widths
BANDWIDTH = 0.25
GRID = np.arange(-12.0, 30.0, 0.02)
# share of other peaks that may score as no decoy does
ODD, ODD_WIDTH = 0.01, 2.0
# Scores measured from the mean of the decoys, in their widths, are usually like this: the mean of
# the other peaks and the logarithm of their width both fall with the share of particles, which take
# the room of the best of them; then the mean of the particles, the logarithm of their width and the
# log-odds of a peak beforehand. Each with its spread over data sets.
OTHERS, OTHERS_BY_SHARE = np.array([0.12, 0.04]), np.array([-1.1, -0.2])
PARTICLES = np.array([2.8, 0.31, -1.6])
SPREAD = np.array([0.15, 0.05, 0.5, 0.15, 1.2])
# the mixture is not quite true: all peaks together say as much as so many of them would
INFORMATION = 600.0
# faint particles are a tail among the other peaks: measured where the truth is known, log-odds rise
# so much less steeply
STEEPNESS = 0.85
LEAST_SLOPE = 0.1
# log-odds; nothing shows how far real particles and other peaks differ from what is usual: 70 % of
# the picks were right where 85 to 97 % were estimated with an error of 0.6 (EMPIAR-10017)
LEAST_ERROR = 1.0
LIMITS = [(-2.0, 2.0), (-0.5, 0.5), (0.0, 100.0), (-1.0, 1.5), (-9.0, 6.0)]


def calibrate_target_decoy(
    scores: np.ndarray,
    decoys: np.ndarray,
    particles: Optional[float] = None,
    count_error: float = GIVEN_COUNT_ERROR,
) -> Calibration:
    """Fit the line to the scores of all peaks.

    Args:
        scores: (n,) of all peaks of some micrographs; none for what is usual.
        decoys: (m,) of all peaks of the negatives of these micrographs.
        particles: expected in these micrographs; None where nothing is known.
        count_error: standard error of the logarithm of `particles`.
    """
    others = _null_distribution(decoys if len(decoys) >= FEW_DECOYS else USUAL_DECOYS)
    kept = np.sort((scores[scores >= others.least] - others.centre) / others.width)
    shown = kept[np.linspace(0, len(kept) - 1, min(MOST_PEAKS, len(kept))).astype(int)]
    weight = min(1.0, INFORMATION / max(len(shown), 1))

    def misfit(parameters: np.ndarray) -> float:
        value = -weight * np.logaddexp(*_log_densities(shown, others, parameters)).sum()
        value += _negative_log_prior(parameters)
        if particles is not None and len(kept):
            excess = log_expit(parameters[-1]) + math.log(len(kept) / max(particles, 1.0))
            value += (excess / count_error) ** 2 / 2
        return float(value)

    starts = [
        np.array([0.0, 0.0, mean, PARTICLES[1], odds])
        for mean in (2.0, 4.0, 12.0)
        for odds in (-2.0, -1.0)
    ]
    fits = [minimize(misfit, start, method="L-BFGS-B", bounds=LIMITS) for start in starts]
    best = min(fits, key=lambda fit: fit.fun).x
    slope, offset = _line(others, best)
    even = np.array([-offset / slope])

    def log_odds(parameters: np.ndarray) -> float:
        noise, found = _log_densities(even, others, parameters)
        return float((found - noise)[0])

    return Calibration(
        STEEPNESS * slope / others.width,
        STEEPNESS * (offset - slope * others.centre / others.width),
        max(standard_error(misfit, best, log_odds), LEAST_ERROR),
    )


@dataclass(frozen=True)
class _NullDistribution:
    """How peaks that are no particles score.

    Attributes:
        least: score below which nothing counts.
        centre: mean of the decoys above it.
        width: their standard deviation.
        log_density: by the score, from `centre` and in units of `width`.
        share_below: of the density.
    """

    least: float
    centre: float
    width: float
    log_density: Callable[[np.ndarray], np.ndarray]
    share_below: Callable[[float], float]


def _null_distribution(decoys: np.ndarray) -> _NullDistribution:
    least = float(np.quantile(decoys, LEAST_QUANTILE))
    above = decoys[decoys >= least]
    centre, width = float(above.mean()), max(float(above.std()), LEAST_WIDTH)
    measured = (decoys - centre) / width
    bandwidth = BANDWIDTH * (len(decoys) / 1000) ** -0.2
    # smoothing makes wider
    measured /= math.sqrt(1 + bandwidth**2 / max(float(measured.var()), bandwidth**2))
    step = GRID[1] - GRID[0]
    edges = np.append(GRID, GRID[-1] + step) - step / 2
    counts, _ = np.histogram(np.clip(measured, GRID[0], GRID[-1]), edges)
    density = gaussian_filter1d(counts / (len(decoys) * step), bandwidth / step, mode="constant")
    density = (1 - ODD) * density + ODD * norm.pdf(GRID, 0, ODD_WIDTH)
    below = np.cumsum(density) * step

    def log_density(scores: np.ndarray) -> np.ndarray:
        return spline(np.clip(scores, GRID[0], GRID[-1]))

    spline = CubicSpline(GRID, np.log(density))
    return _NullDistribution(
        least, centre, width, log_density, lambda score: np.interp(score, GRID, below)
    )


def _negative_log_prior(parameters: np.ndarray) -> float:
    """Of parameters, given what is usual; particles that are far clearer are not rare."""
    usual = np.array([*(OTHERS + OTHERS_BY_SHARE * expit(parameters[-1])), *PARTICLES])
    deviations = np.square((parameters - usual) / SPREAD)
    return float((deviations.sum() - deviations[2]) / 2 + math.log1p(deviations[2]))


def _log_densities(
    scores: np.ndarray, others: _NullDistribution, parameters: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Of other peaks and of particles, each with its share."""
    mean, log_width, particles, particles_log_width, odds = parameters
    width = math.exp(log_width)
    least = (others.least - others.centre) / others.width
    kept = max(1 - others.share_below((least - mean) / width), 1e-3)
    noise = others.log_density((scores - mean) / width) - log_width - math.log(kept)
    found = norm.logpdf(scores, particles, math.exp(particles_log_width))
    return noise + log_expit(-odds), found + log_expit(odds)


def _line(others: _NullDistribution, parameters: np.ndarray) -> Tuple[float, float]:
    """Slope, which is kept positive, and offset of the log-odds, by logistic regression.

    Particles' scores are wider spread than those of other peaks, so the true log-odds rise again
    at the lowest scores; below the mean of the other peaks nothing is a particle.
    """
    mean, _, particles, particles_log_width, _ = parameters
    least = (others.least - others.centre) / others.width
    scores = np.linspace(least, particles + 4 * math.exp(particles_log_width), 301)
    noise, found = _log_densities(scores, others, parameters)
    chance = expit(found - noise) * (scores > mean)
    weight = np.exp(np.logaddexp(noise, found))
    weight /= weight.sum()

    def loss(line: np.ndarray) -> Tuple[float, np.ndarray]:
        odds = line[0] * scores + line[1]
        excess = weight * (expit(odds) - chance)
        value = weight @ (np.logaddexp(0, odds) - chance * odds)
        return float(value), np.array([excess @ scores, excess.sum()])

    limits = [(LEAST_SLOPE, None), (None, None)]
    slope, offset = minimize(loss, [2.0, -3.0], jac=True, method="L-BFGS-B", bounds=limits).x
    return float(slope), float(offset)
