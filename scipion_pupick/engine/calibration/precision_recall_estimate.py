# SPDX-License-Identifier: GPL-3.0-or-later
"""How good picks are, estimated from their calibrated scores, without any negative label."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Dict, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike

_CURVE_POINTS = 256
_STANDARD_ERRORS = 1.96
_LEAST_PARTICLES = 1e-12
ESTIMATES = ("precision", "precision_low", "precision_high", "recall", "recall_low", "recall_high")


@dataclass(frozen=True)
class EstimatedCurve:
    """Picks and their estimated quality; arrays (n,) over rising thresholds, or a single row.

    Attributes:
        threshold: log-odds.
        picks: peaks with at least that score.
        true_picks: of these, particles.
        precision: share of the picks that are particles.
        precision_low: end of its 95 % interval.
        precision_high: end of its 95 % interval.
        recall: share of the particles that are picked.
        recall_low: end of its 95 % interval.
        recall_high: end of its 95 % interval.
    """

    threshold: np.ndarray
    picks: np.ndarray
    true_picks: np.ndarray
    precision: np.ndarray
    precision_low: np.ndarray
    precision_high: np.ndarray
    recall: np.ndarray
    recall_low: np.ndarray
    recall_high: np.ndarray

    def at(self, threshold: float) -> EstimatedCurve:
        """Return the row of the lowest threshold in the table that is not below `threshold`."""
        row = min(np.searchsorted(self.threshold, threshold), len(self.threshold) - 1)
        return EstimatedCurve(*(getattr(self, column.name)[row] for column in fields(self)))

    def summary(self) -> Dict[str, float]:
        """Return a single row as numbers, with the expected false picks."""
        numbers = {"true_picks": self.true_picks, "false_picks": self.picks - self.true_picks}
        numbers.update((name, getattr(self, name)) for name in ESTIMATES)
        return {name: round(float(value), 3) for name, value in numbers.items()}


def estimate_precision_recall(
    scores: Sequence[np.ndarray],
    uncertainty: float = 0.0,
    thresholds: Optional[ArrayLike] = None,
) -> EstimatedCurve:
    """Estimate precision and recall at each threshold from the scores of all peaks.

    A score is the log-odds of its peak to be a particle, so the sum of the probabilities over the
    picks is the expected number of particles among them. The intervals hold the error of the
    log-odds, and the chance with which each peak turns out to be a particle or not. Particles
    without any peak are not known of.

    Args:
        scores: of all kept peaks, an array (n,) for each micrograph.
        uncertainty: standard error that all scores share, log-odds.
        thresholds: rising; None for at most 256, from the lowest score to the highest.

    Returns:
        A row for each threshold; without any given, none where there is no peak.
    """
    every = np.concatenate([*scores, np.empty(0)])
    every.sort()
    if thresholds is None:
        first = np.unique(
            np.linspace(0, len(every) - 1, min(_CURVE_POINTS, len(every))).astype(int)
        )
        lowest = every[first]
    else:
        lowest = np.asarray(thresholds, np.float64)
        first = np.searchsorted(every, lowest)
    sums = _sums(every, first, uncertainty)
    return _curve(lowest, len(every) - first, sums)


def _sums(
    every: np.ndarray, first: np.ndarray, uncertainty: float
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Add up probabilities over peaks from some on, and over those before.

    Args:
        every: scores (n,), rising.
        first: index (m,) of the lowest score that is picked.
        uncertainty: as in `estimate_precision_recall`.

    Returns:
        Particles among the picks and among the others, (3, m) each, by scores that are all too
        high, as they are, and too low; and the variance by chance of both, (m,) each.
    """
    shift = _STANDARD_ERRORS * uncertainty
    picked, lost = [], []
    # one after the other in the same memory, for there may be millions
    chance = np.empty_like(every)
    for change in (-shift, shift, 0.0):
        chance_of(np.add(every, change, out=chance), out=chance)
        picked.append(_above(chance, first))
        lost.append(_below(chance, first))
    variance = chance * (1 - chance)
    order = [0, 2, 1]
    sums = np.stack(picked)[order], np.stack(lost)[order]
    return (*sums, _above(variance, first), _below(variance, first))


def _curve(
    threshold: np.ndarray,
    picks: np.ndarray,
    sums: Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> EstimatedCurve:
    """Work out precision and recall (m,) from what `_sums` gives."""
    picked, lost, spread, spread_lost = sums
    precision = picked / np.maximum(picks, 1)
    # the slope has an error too: what lies below the threshold may err the other way
    recall = picked / np.maximum(picked + lost[::-1], _LEAST_PARTICLES)
    particles = np.maximum(picked[1] + lost[1], _LEAST_PARTICLES)
    by_chance = np.sqrt((1 - recall[1]) ** 2 * spread + recall[1] ** 2 * spread_lost) / particles
    precision_low, precision_high = _interval(precision, np.sqrt(spread) / np.maximum(picks, 1))
    recall_low, recall_high = _interval(recall, by_chance)
    return EstimatedCurve(
        threshold=threshold,
        picks=picks,
        true_picks=picked[1],
        precision=precision[1],
        precision_low=precision_low,
        precision_high=precision_high,
        recall=recall[1],
        recall_low=recall_low,
        recall_high=recall_high,
    )


@dataclass(frozen=True)
class ExpectedParticles:
    """Particles expected among the picks of some micrographs, and among their other peaks.

    Those of several micrographs add up, which is what makes them worth keeping.

    Attributes:
        picks: number of picks.
        right: particles expected among the picks.
        right_low: the same if scores are all too high, at the end of their 95 % interval.
        right_high: the same if they are too low.
        lost: particles expected among the other peaks.
        lost_low: the same if scores are all too high.
        lost_high: the same if they are too low.
        spread: variance of `right` by chance.
        spread_lost: variance of `lost` by chance.
    """

    picks: float
    right: float
    right_low: float
    right_high: float
    lost: float
    lost_low: float
    lost_high: float
    spread: float
    spread_lost: float

    @classmethod
    def sum_of(cls, parts: Sequence[ExpectedParticles]) -> ExpectedParticles:
        """Add up what is expected on several micrographs."""
        names = [column.name for column in fields(cls)]
        return cls(*(float(sum(getattr(part, name) for part in parts)) for name in names))

    def curve(self, threshold: float) -> EstimatedCurve:
        """Return the curve of a single row, at the threshold of the picks."""
        picked = np.array([[self.right_low], [self.right], [self.right_high]])
        lost = np.array([[self.lost_low], [self.lost], [self.lost_high]])
        spreads = np.array([self.spread]), np.array([self.spread_lost])
        return _curve(np.array([threshold]), np.array([self.picks]), (picked, lost, *spreads))


def expect_particles(scores: np.ndarray, uncertainty: float, threshold: float) -> ExpectedParticles:
    """Add up the probabilities of the peaks (n,) of a micrograph.

    Args:
        scores: of all kept peaks, log-odds.
        uncertainty: as in `estimate_precision_recall`.
        threshold: from which on a peak is picked.
    """
    every = np.sort(scores)
    first = np.searchsorted(every, [threshold])
    picked, lost, spread, spread_lost = _sums(every, first, uncertainty)
    (low, right, high), (lost_low, middle, lost_high) = picked[:, 0], lost[:, 0]
    numbers = (len(every) - first[0], right, low, high, middle, lost_low, lost_high)
    return ExpectedParticles(*(float(n) for n in (*numbers, spread[0], spread_lost[0])))


def chance_of(log_odds: np.ndarray, out: Optional[np.ndarray] = None) -> np.ndarray:
    """Probabilities of log-odds (n,); scipy.special, which has it, takes long to load."""
    chance = np.negative(log_odds, out=out)
    np.logaddexp(0.0, chance, out=chance)
    np.negative(chance, out=chance)
    return np.exp(chance, out=chance)


def best_threshold(curve: EstimatedCurve) -> float:
    """Threshold of the highest estimated F1.

    Raises:
        IndexError: there is no peak.
    """
    particles = curve.true_picks[0]
    f1 = 2 * curve.true_picks / (curve.picks + particles)
    return float(curve.threshold[np.argmax(f1)])


def _above(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Sums (m,) of values (n,) from each of the indices (m,) on."""
    from_first_on = values[first.min(initial=len(values)) :]
    return _running_sums(from_first_on[::-1])[len(values) - first]


def _below(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Sums (m,) of values (n,) before each of the indices (m,)."""
    return _running_sums(values[: first.max(initial=0)])[first]


def _running_sums(values: np.ndarray) -> np.ndarray:
    """Sums (n + 1,) of none, of the first, of the first two, ... of values (n,)."""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def _interval(shares: np.ndarray, deviation: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Join two errors: of shares (3, m) by lower, best and higher scores, and by chance (m,)."""
    low, middle, high = shares
    by_chance = _STANDARD_ERRORS * deviation
    down, up = np.hypot(middle - low, by_chance), np.hypot(high - middle, by_chance)
    return np.maximum(middle - down, 0.0), np.minimum(middle + up, 1.0)
