# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks compared with reference particles, micrograph by micrograph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..coordinates import Coordinates, Picks
from ..coordinates.table import join_coordinates
from ..errors import UsageError
from ..files.atomic import PathLike, write_text
from ..picking.border import inside_border
from .curves import PrecisionRecall, precision_recall
from .matching import BoolArray, FloatArray, IntArray, match_points

# points: few enough for the processor's cache, and many enough that micrographs cost little
_MATCHED_AT_ONCE = 2**16


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
        """Return the numbers that matter by their names; None for those that are not defined."""
        precision, recall, f1 = self.curve.of_all
        ranked = not self.curve.lacks_scores
        numbers = {
            "micrographs": len(self.micrographs),
            "picks": self.picks,
            "reference": self.reference,
            "hits": self.hits,
            "tolerance": self.tolerance,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "average_precision": self.curve.average_precision if ranked else math.nan,
            "best_f1": self.curve.best_f1 if ranked else math.nan,
            "best_threshold": self.curve.best_threshold,
            "localisation_error": self.localisation_error,
        }
        return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


@dataclass(frozen=True, eq=False)
class _Matched:
    """Picks of some micrographs after matching: (n,) scores, and distances (px; NaN: no match)."""

    counts: Sequence[MicrographCounts]
    score: FloatArray
    distance: FloatArray


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
        _match_micrographs(names, picks, reference, tolerance, border, shapes)
        for names in _batches(picks, reference)
    ]
    counts = tuple(chain.from_iterable(result.counts for result in matched))
    score = np.concatenate([np.empty(0), *(result.score for result in matched)])
    distance = np.concatenate([np.empty(0), *(result.distance for result in matched)])
    hits = np.isfinite(distance)
    return Evaluation(
        curve=precision_recall(hits, score, sum(result.reference for result in counts)),
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


def _batches(picks: Picks, reference: Picks) -> Iterator[List[str]]:
    """Return the micrographs of the reference, by name, as many as are matched at once."""
    names: List[str] = []
    points = 0
    for name, particles in reference.items():
        names.append(name)
        points += len(particles) + (len(picks[name]) if name in picks else 0)
        if points > _MATCHED_AT_ONCE:
            yield names
            names, points = [], 0
    yield names


def _match_micrographs(
    names: Sequence[str],
    picks: Picks,
    reference: Picks,
    tolerance: float,
    border: float,
    shapes: Mapping[str, Tuple[int, int]],
) -> _Matched:
    found, of_found = _joined(names, picks)
    particles, of_particles = _joined(names, reference)
    xy, particles_xy = found.xy, particles.xy
    assigned = match_points(xy, particles_xy, tolerance, found.score, of_found, of_particles)
    hits = assigned >= 0
    distance = np.full(len(xy), np.nan)
    distance[hits] = np.linalg.norm(xy[hits] - particles_xy[assigned[hits]], axis=1)
    counted = _inside(names, picks, border, shapes)
    particles_counted = _inside(names, reference, border, shapes)
    counted[hits] = particles_counted[assigned[hits]]
    numbers = (
        np.bincount(which, minlength=len(names)).tolist()
        for which in (
            of_found[counted],
            of_particles[particles_counted],
            of_found[counted & hits],
        )
    )
    counts = [MicrographCounts(*row) for row in zip(names, *numbers)]
    return _Matched(counts, found.score[counted], distance[counted])


def _joined(names: Sequence[str], picks: Picks) -> Tuple[Coordinates, IntArray]:
    """Return the picks of micrographs, and which of these each is of, from 0."""
    counts = [len(picks[name]) if name in picks else 0 for name in names]
    joined = join_coordinates([picks[name] for name in names if name in picks])
    return joined, np.repeat(np.arange(len(names)), counts)


def _inside(
    names: Sequence[str], picks: Picks, border: float, shapes: Mapping[str, Tuple[int, int]]
) -> BoolArray:
    """Tell which picks of micrographs lie inside their border, (n,)."""
    of_each = [(name, picks[name]) for name in names if name in picks]
    if border <= 0:
        return np.ones(sum(len(found) for _, found in of_each), bool)
    inside = [inside_border(found.xy, border, shapes[name]) for name, found in of_each]
    return np.concatenate([np.empty(0, bool), *inside])
