# SPDX-License-Identifier: GPL-3.0-or-later
"""Precision, recall and average precision of ranked predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .matching import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall at each threshold, from the highest threshold down; arrays (t,).

    Attributes:
        threshold: distinct scores; what scores as much or more is taken.
        picks: how many are taken.
        precision: share of these that are right.
        recall: share of the reference that these find.
        f1: harmonic mean of precision and recall.
    """

    threshold: FloatArray
    picks: IntArray
    precision: FloatArray
    recall: FloatArray
    f1: FloatArray

    @property
    def lacks_scores(self) -> bool:
        """Whether there are picks, and none has a score, so that they have no ranking."""
        return len(self.threshold) > 0 and bool(np.isneginf(self.threshold).all())

    @property
    def average_precision(self) -> float:
        """Precision summed over the steps of recall; 0 without a pick."""
        return float(np.sum(self.precision * np.diff(self.recall, prepend=0.0)))

    @property
    def best_f1(self) -> float:
        """Highest F1 at any threshold; 0 without a pick."""
        return float(self.f1.max(initial=0.0))

    @property
    def best_threshold(self) -> float:
        """Threshold of the highest F1, the higher one of equals; NaN without a pick."""
        return float(self.threshold[np.argmax(self.f1)]) if len(self.f1) else math.nan

    @property
    def of_all(self) -> Tuple[float, float, float]:
        """Precision, recall and F1 of all picks together; 0 without picks."""
        if len(self.threshold) == 0:
            return 0.0, 0.0, 0.0
        return float(self.precision[-1]), float(self.recall[-1]), float(self.f1[-1])

    def precision_at(self, recall: float) -> float:
        """Highest precision among thresholds with at least this recall; NaN if none has."""
        reached = self.precision[self.recall >= recall]
        return float(reached.max()) if len(reached) else math.nan


def precision_recall(
    hits: npt.ArrayLike, score: npt.ArrayLike, n_reference: int
) -> PrecisionRecall:
    """Work out precision and recall at every distinct score.

    Args:
        hits: (n,) whether each prediction is right; at most `n_reference` are.
        score: (n,) in any order and precision; NaN counts as -inf.
        n_reference: how many there were to find.

    Raises:
        UsageError: there was nothing to find.
    """
    if n_reference < 1:
        raise UsageError(
            "There is no reference particle to find: precision and recall need at least one."
        )
    scores = np.asarray(score, np.float64)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else order
    hits_so_far = np.cumsum(np.asarray(hits, bool)[order])[last]
    picks = last + 1
    return PrecisionRecall(
        threshold=scores[last],
        picks=picks,
        precision=hits_so_far / picks,
        recall=hits_so_far / n_reference,
        f1=2 * hits_so_far / (picks + n_reference),
    )


def average_precision(hits: npt.ArrayLike, score: npt.ArrayLike, n_reference: int) -> float:
    """Average precision of ranked predictions: Σ precision · Δrecall, equal scores as one step.

    Arguments and errors as in `precision_recall`.

    Returns:
        Between 0 and 1; 0 without predictions.
    """
    return precision_recall(hits, score, n_reference).average_precision


def estimated_average_precision(
    label_score: npt.ArrayLike,
    peak_score: npt.ArrayLike,
    particles: float,
    negative_score: npt.ArrayLike = (),
) -> float:
    """Estimate the average precision of peaks where only some of the particles are labelled.

    Labels are taken for a random sample of the particles: at the score that a share r of them
    reaches, r times all particles are expected among the peaks, though not the labelled negatives
    that reach it. Where every particle is labelled this is the average precision itself.

    Args:
        label_score: (n,) score of each labelled particle's peak; -inf where it has none.
        peak_score: (m,) scores of all peaks.
        particles: expected among the same images, labelled or not.
        negative_score: (k,) the same for places labelled as no particle.

    Returns:
        Between 0 and 1.

    Raises:
        UsageError: there is no label.
    """
    labels = np.sort(np.asarray(label_score, dtype=np.float64))[::-1]
    if len(labels) == 0:
        raise UsageError("There is no labelled particle to estimate an average precision from.")
    peaks = np.sort(np.asarray(peak_score, dtype=np.float64))
    reaching = np.searchsorted(-labels, -labels, side="right")
    taken = len(peaks) - np.searchsorted(peaks, labels)
    negatives = np.sort(np.asarray(negative_score, dtype=np.float64))
    possible = np.maximum(taken - (len(negatives) - np.searchsorted(negatives, labels)), 0)
    right = np.minimum(reaching / len(labels) * particles, possible)
    precision = right / np.maximum(taken, 1)
    return float(np.where(np.isfinite(labels), precision, 0).mean())


def region_average_precision(score_map: npt.ArrayLike, label_map: npt.ArrayLike) -> float:
    """Average precision over regions, each pixel one, as in the paper's benchmarks (Methods 8).

    Args:
        score_map: scores of any shape.
        label_map: of the same shape, true or non-zero where the region is positive.

    Raises:
        UsageError: the shapes differ, a score is NaN, or no region is positive.
    """
    scores, labels = np.asarray(score_map), np.asarray(label_map, bool)
    if scores.shape != labels.shape:
        raise UsageError(
            f"The score map has the shape {scores.shape}, the label map {labels.shape}: "
            "give maps of the same size."
        )
    if np.isnan(scores).any():
        raise UsageError("The score map has NaN in it: mask such regions out of both maps.")
    return average_precision(labels.ravel(), scores.ravel(), int(np.count_nonzero(labels)))
