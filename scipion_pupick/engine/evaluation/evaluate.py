# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks compared with reference particles, micrograph by micrograph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Tuple

import numpy as np

from ..coordinates import Coordinates, Picks
from ..errors import UsageError
from ..files.atomic import PathLike, write_text
from ..picking.border import inside_border
from .curves import PrecisionRecall, precision_recall
from .matching import FloatArray, match_points


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
    counts = tuple(result.counts for result in matched)
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


def _match_micrograph(
    name: str,
    picks: Coordinates,
    particles: Coordinates,
    tolerance: float,
    border: float,
    shapes: Mapping[str, Tuple[int, int]],
) -> _Matched:
    picks_xy, particles_xy = picks.xy, particles.xy
    assigned = match_points(picks_xy, particles_xy, tolerance, picks.score)
    hits = assigned >= 0
    distance = np.full(len(picks_xy), np.nan)
    distance[hits] = np.linalg.norm(picks_xy[hits] - particles_xy[assigned[hits]], axis=1)
    counted, particles_counted = np.ones(len(picks_xy), bool), np.ones(len(particles_xy), bool)
    if border > 0:
        counted = inside_border(picks_xy, border, shapes[name])
        particles_counted = inside_border(particles_xy, border, shapes[name])
    counted[hits] = particles_counted[assigned[hits]]
    counts = MicrographCounts(
        name,
        picks=int(counted.sum()),
        reference=int(particles_counted.sum()),
        hits=int((counted & hits).sum()),
    )
    return _Matched(counts, picks.score[counted], distance[counted])
