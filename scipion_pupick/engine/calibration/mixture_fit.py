# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting a mixture of particles and other peaks to scores, to a number, and to what is usual.

The parameters of a mixture are a named tuple, whose misfit is the negative logarithm of their
probability, less a constant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Generic, Sequence, Tuple, TypeVar

import numpy as np
from scipy.optimize import minimize

# standard error of the logarithm of the number of particles, as users know it and as estimated
GIVEN_COUNT_ERROR = 0.2
ESTIMATED_COUNT_ERROR = 0.6
_MOST_PEAKS = 1500
_STEP = 1e-3

Parameters = TypeVar("Parameters", bound=Tuple[float, ...])


@dataclass(frozen=True)
class PeakSample:
    """Scores of peaks that a mixture is fitted to.

    Attributes:
        scores: (n,) rising, at most 1500, spread evenly over those of all peaks.
        peaks: number of all peaks.
        weight: of the logarithm of each score's probability.
    """

    scores: np.ndarray
    peaks: int
    weight: float


def sample_peaks(scores: np.ndarray, information: float) -> PeakSample:
    """Sample the scores (n,) of peaks.

    Args:
        scores: of all peaks.
        information: all of them together say as much as so many independent ones would.
    """
    scores = np.sort(scores)
    shown = scores[np.linspace(0, len(scores) - 1, min(_MOST_PEAKS, len(scores))).astype(int)]
    return PeakSample(shown, len(scores), min(1.0, information / max(len(shown), 1)))


@dataclass(frozen=True)
class ExpectedCount:
    """How many particles there should be among all peaks.

    Attributes:
        particles: expected.
        error: standard error of the logarithm of `particles`.
    """

    particles: float
    error: float

    def misfit(self, log_share: float, peaks: int) -> float:
        """Misfit of a mixture in which particles have this share (its logarithm) of the peaks."""
        excess = log_share + math.log(peaks / max(self.particles, 1.0))
        return (excess / self.error) ** 2 / 2


def fit_mixture(
    misfit: Callable[[Parameters], float],
    starts: Sequence[Parameters],
    limits: Sequence[Tuple[float, float]],
) -> MixtureFit[Parameters]:
    """Search for the parameters of the least misfit, from several starts.

    Args:
        misfit: of parameters.
        starts: to search from.
        limits: lowest and highest value of each parameter.
    """
    kind = type(starts[0])

    def misfit_of_vector(vector: np.ndarray) -> float:
        return misfit(kind(*vector))

    fits = [
        minimize(misfit_of_vector, np.array(start), method="L-BFGS-B", bounds=limits)
        for start in starts
    ]
    return MixtureFit(kind(*min(fits, key=lambda fit: fit.fun).x), misfit)


@dataclass(frozen=True)
class MixtureFit(Generic[Parameters]):
    """A mixture that is fitted.

    Attributes:
        parameters: of the least misfit.
        misfit: of any parameters.
    """

    parameters: Parameters
    misfit: Callable[[Parameters], float]

    def standard_error(self, log_odds: Callable[[Parameters], float]) -> float:
        """Standard error of the log-odds of one score (Laplace's approximation).

        Args:
            log_odds: of the score, by the parameters.
        """
        best = np.array(self.parameters)
        steps = _STEP * np.eye(len(best))
        gradient = np.array(
            [
                log_odds(self._of_vector(best + step)) - log_odds(self._of_vector(best - step))
                for step in steps
            ]
        )
        curvature = np.array([[self._second_difference(a, b) for b in steps] for a in steps])
        gradient, curvature = gradient / (2 * _STEP), curvature / (4 * _STEP**2)
        variance = float(gradient @ np.linalg.pinv(curvature) @ gradient)
        return math.sqrt(max(variance, 0.0))

    def _of_vector(self, vector: np.ndarray) -> Parameters:
        return type(self.parameters)(*vector)

    def _second_difference(self, a: np.ndarray, b: np.ndarray) -> float:
        """Of the misfit about its least, over two steps (p,)."""
        best = np.array(self.parameters)
        places = (best + a + b, best + a - b, best - a + b, best - a - b)
        both, first, second, none = (self.misfit(self._of_vector(place)) for place in places)
        return both - first - second + none
