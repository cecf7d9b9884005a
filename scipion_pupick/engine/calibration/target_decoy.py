# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration with the contrast-inverted micrographs as null distribution: target and decoy.

It turns the scores of the general model, and of what is trained from it, into log-odds. No particle
is in the negatives of the micrographs, but the noise is the same, so their peaks show how peaks
that are no particles score (decoys, as in the search of mass spectra; Elias & Gygi, Nature
Methods 4, 207, 2007). The scores of all peaks are then taken for a mixture: of a distribution that
is nearly that of the decoys, and of a normal one of particles. It is fitted to the scores, to what
these are usually like, and to about how many particles there are.

No label is used: people label the clearest particles first, and a network scores those it was
trained on higher than others. Networks that were trained from random weights may do anything in
negatives, which they never saw: these are calibrated otherwise (`calibration.gaussian`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import minimize
from scipy.special import expit, log_expit, ndtri

from ..settings import STRIDE
from .line import LEAST_SLOPE, Calibration
from .mixture_fit import GIVEN_COUNT_ERROR, ExpectedCount, PeakSample, fit_mixture, sample_peaks

# instead of fewer decoys than these
FEW_DECOYS = 20
_USUAL_DECOYS = ndtri((np.arange(200) + 0.5) / 200) * 1.6 - 5.2
# the lowest are left out: scores far below any threshold
_LEAST_QUANTILE = 0.1
_LEAST_WIDTH = 0.05
# of the kernel that smooths the scores of a thousand decoys, in their widths
_BANDWIDTH = 0.25
_GRID = np.arange(-12.0, 30.0, 0.02)
_GRID_STEP = _GRID[1] - _GRID[0]
# share of other peaks that may score as no decoy does
_ODD, _ODD_WIDTH = 0.01, 2.0
_ODD_DENSITY = np.exp(-((_GRID / _ODD_WIDTH) ** 2) / 2) / math.sqrt(2 * math.pi) / _ODD_WIDTH


class DecoyMixture(NamedTuple):
    """A distribution that is nearly that of the decoys, and a normal one of particles.

    Scores are measured from the mean of the decoys, in their widths.

    Attributes:
        others: mean of the peaks that are no particles.
        log_width: logarithm of their width.
        particles: mean of the particles.
        particles_log_width: logarithm of their width.
        odds: log-odds of a peak beforehand.
    """

    others: float
    log_width: float
    particles: float
    particles_log_width: float
    odds: float


@dataclass(frozen=True)
class UsualPeaks:
    """What the mixture is usually like, measured where the truth is known.

    Two figures change with the share of particles: the mean of the other peaks falls, and their
    width, since particles take the room of the best of them; where particles are crowded, their
    mean falls too.

    Attributes:
        others: (2,) mean of the other peaks and logarithm of their width, without particles.
        others_by_share: (2,) by which these change with the share.
        particles: mean of the particles where they are rare.
        particles_by_share: by which it changes with the share.
        particles_log_width: logarithm of their width.
        odds: log-odds of a peak beforehand.
        steepness: of the log-odds; faint particles are a tail among the other peaks, so they rise
            less steeply than the mixture says, blurred scores even less.
        least_error: of the log-odds; nothing shows how far real particles and other peaks differ
            from what is usual (on EMPIAR-10017 three in four picks are the expert's where 94 % are
            estimated).
    """

    others: np.ndarray
    others_by_share: np.ndarray
    particles: float
    particles_by_share: float
    particles_log_width: float
    odds: float
    steepness: float
    least_error: float

    def mixture(self, odds: float) -> np.ndarray:
        """What is usual (5,) of a mixture with such log-odds, in the order of `DecoyMixture`."""
        share = expit(odds)
        of_particles = self.particles + self.particles_by_share * share
        of_others = self.others + self.others_by_share * share
        return np.array([*of_others, of_particles, self.particles_log_width, self.odds])


_OTHERS, _OTHERS_BY_SHARE = np.array([0.12, 0.04]), np.array([-1.1, -0.2])
_USUAL_PEAKS = UsualPeaks(_OTHERS, _OTHERS_BY_SHARE, 2.8, 0.0, 0.31, -1.6, 0.85, 1.0)
# docs/decisions/028-thresholds-of-hard-micrographs.md
_USUAL_CLOSE_PEAKS = UsualPeaks(_OTHERS, _OTHERS_BY_SHARE, 2.9, -1.4, 0.31, -1.2, 0.7, 1.3)
# of each parameter over data sets
_DECOY_SPREAD = np.array(DecoyMixture(0.15, 0.05, 0.5, 0.15, 1.2))
# the mixture is not quite true: all peaks together say as much as so many of them would
_DECOY_INFORMATION = 600.0
_DECOY_STARTS = tuple(
    DecoyMixture(0.0, 0.0, mean, _USUAL_PEAKS.particles_log_width, odds)
    for mean in (2.0, 4.0, 12.0)
    for odds in (-2.0, -1.0)
)
_DECOY_LIMITS = ((-2.0, 2.0), (-0.5, 0.5), (0.0, 100.0), (-1.0, 1.5), (-9.0, 6.0))


def calibrate_target_decoy(
    scores: np.ndarray,
    decoys: np.ndarray,
    particles: Optional[float] = None,
    count_error: float = GIVEN_COUNT_ERROR,
    step: int = STRIDE,
) -> Calibration:
    """Fit the line to the scores of all peaks.

    Args:
        scores: (n,) of all peaks of some micrographs; none for what is usual.
        decoys: (m,) of all peaks of the negatives of these micrographs.
        particles: expected in these micrographs; None where nothing is known.
        count_error: standard error of the logarithm of `particles`.
        step: from one score of the network's maps to the next, px of the working image.
    """
    usual = _USUAL_PEAKS if step == STRIDE else _USUAL_CLOSE_PEAKS
    null = NullDistribution.of_decoys(decoys if len(decoys) >= FEW_DECOYS else _USUAL_DECOYS)
    sample = sample_peaks(
        (scores[scores >= null.least] - null.centre) / null.width, _DECOY_INFORMATION
    )
    count = None if particles is None else ExpectedCount(particles, count_error)

    def misfit(mixture: DecoyMixture) -> float:
        return _misfit(mixture, usual, sample, null, count)

    fit = fit_mixture(misfit, _DECOY_STARTS, _DECOY_LIMITS)
    slope, offset = _line(null, fit.parameters)
    even = np.array([-offset / slope])

    def log_odds(mixture: DecoyMixture) -> float:
        of_others, of_particles = _log_densities(even, null, mixture)
        return float((of_particles - of_others)[0])

    return Calibration(
        usual.steepness * slope / null.width,
        usual.steepness * (offset - slope * null.centre / null.width),
        max(fit.standard_error(log_odds), usual.least_error),
    )


@dataclass(frozen=True)
class NullDistribution:
    """How peaks that are no particles score.

    Attributes:
        least: score below which nothing counts.
        centre: mean of the decoys above it.
        width: their standard deviation.
        spline: logarithm of the density, over `_GRID`: scores from `centre`, in units of `width`.
        below: (g,) share of the density below each place of `_GRID`.
    """

    least: float
    centre: float
    width: float
    spline: CubicSpline
    below: np.ndarray

    @classmethod
    def of_decoys(cls, decoys: np.ndarray) -> NullDistribution:
        """Smooth the distribution of the scores (n,) of decoys."""
        least = float(np.quantile(decoys, _LEAST_QUANTILE))
        above = decoys[decoys >= least]
        centre, width = float(above.mean()), max(float(above.std()), _LEAST_WIDTH)
        density = _smoothed_density((decoys - centre) / width)
        spline = CubicSpline(_GRID, np.log(density))
        return cls(least, centre, width, spline, np.cumsum(density) * _GRID_STEP)

    def log_density(self, scores: np.ndarray) -> np.ndarray:
        """Logarithm of the density at scores (n,) from `centre`, in units of `width`."""
        return self.spline(np.clip(scores, _GRID[0], _GRID[-1]))

    def share_below(self, score: float) -> float:
        """Share of the density below a score from `centre`, in units of `width`."""
        return np.interp(score, _GRID, self.below)


def _log_normal(values: np.ndarray, mean: float, width: float) -> np.ndarray:
    """Logarithm of a normal density; scipy.stats, which has it, takes half a second to load."""
    return (
        -(((values - mean) / width) ** 2) / 2 - math.log(math.sqrt(2 * math.pi)) - math.log(width)
    )


def _smoothed_density(scores: np.ndarray) -> np.ndarray:
    """Density over `_GRID` of scores (n,), with a share that is wider."""
    bandwidth = _BANDWIDTH * (len(scores) / 1000) ** -0.2
    # smoothing makes wider
    scores = scores / math.sqrt(1 + bandwidth**2 / max(float(scores.var()), bandwidth**2))
    edges = np.append(_GRID, _GRID[-1] + _GRID_STEP) - _GRID_STEP / 2
    counts, _ = np.histogram(np.clip(scores, _GRID[0], _GRID[-1]), edges)
    density = gaussian_filter1d(
        counts / (len(scores) * _GRID_STEP), bandwidth / _GRID_STEP, mode="constant"
    )
    return (1 - _ODD) * density + _ODD * _ODD_DENSITY


def _misfit(
    mixture: DecoyMixture,
    usual: UsualPeaks,
    sample: PeakSample,
    null: NullDistribution,
    count: Optional[ExpectedCount],
) -> float:
    """Negative logarithm of a mixture's probability, less a constant."""
    value = -sample.weight * np.logaddexp(*_log_densities(sample.scores, null, mixture)).sum()
    value += _negative_log_prior(mixture, usual)
    if count is not None and sample.peaks:
        value += count.misfit(log_expit(mixture.odds), sample.peaks)
    return float(value)


def _negative_log_prior(mixture: DecoyMixture, usual: UsualPeaks) -> float:
    """Of parameters, given what is usual; particles that are far clearer are not rare."""
    deviations = np.square((np.array(mixture) - usual.mixture(mixture.odds)) / _DECOY_SPREAD)
    clearness = deviations[2]
    return float((deviations.sum() - clearness) / 2 + math.log1p(clearness))


def _log_densities(
    scores: np.ndarray, null: NullDistribution, mixture: DecoyMixture
) -> Tuple[np.ndarray, np.ndarray]:
    """Of other peaks and of particles, each with its share."""
    width = math.exp(mixture.log_width)
    least = (null.least - null.centre) / null.width
    share = max(1 - null.share_below((least - mixture.others) / width), 1e-3)
    of_others = null.log_density((scores - mixture.others) / width)
    of_others = of_others - mixture.log_width - math.log(share)
    of_particles = _log_normal(scores, mixture.particles, math.exp(mixture.particles_log_width))
    return of_others + log_expit(-mixture.odds), of_particles + log_expit(mixture.odds)


def _line(null: NullDistribution, mixture: DecoyMixture) -> Tuple[float, float]:
    """Slope, which is kept positive, and offset of the log-odds, by logistic regression.

    Particles' scores are wider spread than those of other peaks, so the true log-odds rise again
    at the lowest scores; below the mean of the other peaks nothing is a particle.
    """
    least = (null.least - null.centre) / null.width
    most = mixture.particles + 4 * math.exp(mixture.particles_log_width)
    scores = np.linspace(least, most, 301)
    of_others, of_particles = _log_densities(scores, null, mixture)
    chance = expit(of_particles - of_others) * (scores > mixture.others)
    weight = np.exp(np.logaddexp(of_others, of_particles))
    weight /= weight.sum()

    def loss(line: np.ndarray) -> Tuple[float, np.ndarray]:
        odds = line[0] * scores + line[1]
        excess = weight * (expit(odds) - chance)
        value = weight @ (np.logaddexp(0, odds) - chance * odds)
        return float(value), np.array([excess @ scores, excess.sum()])

    limits = [(LEAST_SLOPE, None), (None, None)]
    slope, offset = minimize(loss, [2.0, -3.0], jac=True, method="L-BFGS-B", bounds=limits).x
    return float(slope), float(offset)
