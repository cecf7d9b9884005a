# SPDX-License-Identifier: GPL-3.0-or-later
"""How good picks and score maps are: matching, precision, recall and average precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from .coordinates import Coordinates, Picks
from .errors import UsageError
from .files import PathLike, write_text

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]


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


@dataclass(frozen=True)
class MicrographCounts:
    """What was found on one micrograph, at the lowest threshold.

    Attributes:
        name: of the micrograph.
        picks: number of picks.
        reference: number of reference particles.
        hits: picks that match a reference particle.
    """

    name: str
    picks: int
    reference: int
    hits: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Picks compared with a reference, the picks of all micrographs ranked together.

    Attributes:
        curve: precision and recall by threshold.
        micrographs: counts for every micrograph of the reference, in its order.
        skipped: names of micrographs with picks, but not in the reference; not counted.
        localisation_error: mean distance of a hit from its reference particle, px; NaN without.
        tolerance: largest distance of a hit, px.
    """

    curve: PrecisionRecall
    micrographs: Tuple[MicrographCounts, ...]
    skipped: Tuple[str, ...]
    localisation_error: float
    tolerance: float

    @property
    def picks(self) -> int:
        """Number of picks on all micrographs."""
        return sum(counts.picks for counts in self.micrographs)

    @property
    def reference(self) -> int:
        """Number of reference particles on all micrographs."""
        return sum(counts.reference for counts in self.micrographs)

    @property
    def hits(self) -> int:
        """Number of picks that match a reference particle."""
        return sum(counts.hits for counts in self.micrographs)

    def summary(self) -> Dict[str, Optional[float]]:
        """Give the numbers that matter by their names; None for those that are not defined."""
        precision, recall, f1 = self.curve.of_all
        numbers = {
            "micrographs": len(self.micrographs),
            "picks": self.picks,
            "reference": self.reference,
            "hits": self.hits,
            "tolerance": self.tolerance,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "average_precision": self.curve.average_precision,
            "best_f1": self.curve.best_f1,
            "best_threshold": self.curve.best_threshold,
            "localisation_error": self.localisation_error,
        }
        return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


@dataclass(frozen=True, eq=False)
class _Matched:
    """Picks of one micrograph after matching: (n,) scores, and distances (px; NaN: no match)."""

    counts: MicrographCounts
    score: FloatArray
    distance: FloatArray


def assign(
    predicted: npt.ArrayLike, reference: npt.ArrayLike, tolerance: float, score: npt.ArrayLike
) -> IntArray:
    """Pair predictions with reference points, each at most once, the best prediction first.

    By descending score each prediction takes the nearest reference point that is within the
    tolerance and still free, as is usual in object detection. Equal scores count in the order
    given, NaN below every number; of equally near points the first is taken.

    Args:
        predicted: (n, 2) positions x, y, px.
        reference: (m, 2) positions x, y, px.
        tolerance: largest distance of a pair, px.
        score: (n,).

    Returns:
        (n,) index of each prediction's reference point, -1 without one.

    Raises:
        UsageError: the tolerance is not a positive number.
    """
    if not 0 < tolerance < math.inf:
        raise UsageError(f"The matching tolerance is {tolerance} px: it must be positive.")
    predicted = np.asarray(predicted, np.float64).reshape(-1, 2)
    reference = np.asarray(reference, np.float64).reshape(-1, 2)
    assigned = np.full(len(predicted), -1, np.intp)
    if len(predicted) == 0 or len(reference) == 0:
        return assigned
    within = cKDTree(reference).query_ball_point(predicted, tolerance, return_sorted=True)
    free = np.ones(len(reference), bool)
    for i in np.argsort(-np.asarray(score, np.float64), kind="stable"):
        near = [j for j in within[i] if free[j]]
        if near:
            offsets = reference[near] - predicted[i]
            assigned[i] = near[int(np.argmin(np.square(offsets).sum(axis=1)))]
            free[assigned[i]] = False
    return assigned


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
    found = np.cumsum(np.asarray(hits, bool)[order])[last]
    picks = last + 1
    return PrecisionRecall(
        threshold=scores[last],
        picks=picks,
        precision=found / picks,
        recall=found / n_reference,
        f1=2 * found / (picks + n_reference),
    )


def average_precision(hits: npt.ArrayLike, score: npt.ArrayLike, n_reference: int) -> float:
    """Average precision of ranked predictions: Σ precision · Δrecall, equal scores as one step.

    Arguments and errors as in `precision_recall`.

    Returns:
        Between 0 and 1; 0 without predictions.
    """
    return precision_recall(hits, score, n_reference).average_precision


def estimated_average_precision(
    label_score: npt.ArrayLike, peak_score: npt.ArrayLike, particles: float
) -> float:
    """Estimate the average precision of peaks where only some of the particles are labelled.

    Labels are taken for a random sample of the particles: at the score that a share r of them
    reaches, r times all particles are expected among the peaks. Where every particle is labelled
    this is the average precision itself.

    Args:
        label_score: (n,) score of each labelled particle's peak; -inf where it has none.
        peak_score: (m,) scores of all peaks.
        particles: expected among the same images, labelled or not.

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
    precision = np.minimum(reaching / len(labels) * particles / np.maximum(taken, 1), 1)
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


def evaluate_picks(
    picks: Picks,
    reference: Picks,
    tolerance: float,
    border: float = 0.0,
    shapes: Optional[Mapping[str, Tuple[int, int]]] = None,
) -> Evaluation:
    """Compare picks with reference particles, micrograph by micrograph, ranked all together.

    A micrograph of the reference without picks counts with all its particles as missed; one
    without particles counts with all its picks as wrong. Picks without a score rank last.

    Args:
        picks: by micrograph.
        reference: by micrograph, under the same names.
        tolerance: largest distance of a pick from its particle, px.
        border: leave out what lies less than this from the micrograph's edge, px. A matched pair
            counts or not by its particle's position, so that none is torn apart.
        shapes: (ny, nx) px of each micrograph of the reference; needed with a border.

    Raises:
        UsageError: no reference particle is left, the tolerance is not positive, the border is
            negative, or the shape of a micrograph is missing.
    """
    if not 0 <= border < math.inf:
        raise UsageError(f"The border is {border} px: it must be a number not below 0.")
    shapes = shapes or {}
    unknown = [name for name in reference if name not in shapes] if border > 0 else []
    if unknown:
        raise UsageError(
            f"{unknown[0]}: its size is not known, and a border of {border} px needs it. "
            "Give the micrograph, or leave the border out."
        )
    matched = [
        _match_micrograph(
            name, picks.get(name, Coordinates.empty()), particles, tolerance, border, shapes
        )
        for name, particles in reference.items()
    ]
    counts = tuple(each.counts for each in matched)
    score = np.concatenate([np.empty(0), *(each.score for each in matched)])
    distance = np.concatenate([np.empty(0), *(each.distance for each in matched)])
    hits = np.isfinite(distance)
    return Evaluation(
        curve=precision_recall(hits, score, sum(each.reference for each in counts)),
        micrographs=counts,
        skipped=tuple(name for name in picks if name not in reference),
        localisation_error=float(distance[hits].mean()) if hits.any() else math.nan,
        tolerance=tolerance,
    )


def write_table(evaluation: Evaluation, path: PathLike) -> None:
    """Write a tab-separated table: threshold, precision, recall, f1 and number of picks.

    Raises:
        OSError: the file cannot be written.
    """
    curve = evaluation.curve
    columns = (curve.threshold, curve.precision, curve.recall, curve.f1, curve.picks)
    rows = [f"{t:.9g}\t{p:.6f}\t{r:.6f}\t{f:.6f}\t{n}" for t, p, r, f, n in zip(*columns)]
    write_text(path, "\n".join(["threshold\tprecision\trecall\tf1\tpicks", *rows]) + "\n")


def _match_micrograph(
    name: str,
    picks: Coordinates,
    particles: Coordinates,
    tolerance: float,
    border: float,
    shapes: Mapping[str, Tuple[int, int]],
) -> _Matched:
    found, wanted = _xy(picks), _xy(particles)
    assigned = assign(found, wanted, tolerance, picks.score)
    hits = assigned >= 0
    distance = np.full(len(found), np.nan)
    distance[hits] = np.linalg.norm(found[hits] - wanted[assigned[hits]], axis=1)
    counted, wanted_counts = np.ones(len(found), bool), np.ones(len(wanted), bool)
    if border > 0:
        counted = _is_inside(found, border, shapes[name])
        wanted_counts = _is_inside(wanted, border, shapes[name])
    counted[hits] = wanted_counts[assigned[hits]]
    counts = MicrographCounts(
        name,
        picks=int(counted.sum()),
        reference=int(wanted_counts.sum()),
        hits=int((counted & hits).sum()),
    )
    return _Matched(counts, picks.score[counted], distance[counted])


def _xy(coordinates: Coordinates) -> FloatArray:
    return np.column_stack([coordinates.x, coordinates.y])


def _is_inside(xy: FloatArray, border: float, shape: Tuple[int, int]) -> BoolArray:
    ny, nx = shape
    last = np.array([nx - 1, ny - 1])
    return np.all((xy >= border) & (xy <= last - border), axis=1)
