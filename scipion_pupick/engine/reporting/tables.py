# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report says about the scores of all micrographs, in tables of bounded size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional

import numpy as np

from ..calibration.precision_recall_estimate import (
    ESTIMATES,
    EstimatedCurve,
    best_threshold,
    estimate_precision_recall,
)
from ..coordinates.distribution import plane_cells
from ..picking.peaks_file import MicrographPeaks
from ..runs.pick_run import PickRun
from ..settings import LEAST_SCORE
from .packing import pack

STEPS_PER_UNIT = 100
HIGHEST_SHOWN = 40.0
LEAST_LEVELS = 24
COUNTS_IN_TABLE = 300_000
MOST_ESTIMATED = 2000
MOST_IN_PLANE = 1000
PLANE_LEVELS = 24
CELLS = 24


def threshold_grid(highest: float, own: float) -> np.ndarray:
    """List the thresholds that a report offers: hundredths of a unit, and the run's own.

    Args:
        highest: score of any peak, log-odds; beyond 40 the steps end.
        own: threshold of the run.

    Returns:
        Rising (k,), as many digits as the command line takes, so that counts agree with it.
    """
    top = math.ceil(min(max(highest, own, 0.0), HIGHEST_SHOWN) * STEPS_PER_UNIT) + 1
    first = round(LEAST_SCORE * STEPS_PER_UNIT)
    return np.unique(np.append(np.arange(first, top + 1) / STEPS_PER_UNIT, own))


def ranks(scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return the last threshold (index) that each score reaches, at least the first; (n,)."""
    return np.maximum(np.searchsorted(grid, scores, side="right") - 1, 0)


@dataclass(frozen=True)
class ScoreTables:
    """Scores of a run in tables.

    Attributes:
        names: of the micrographs that have been scored.
        grid: thresholds (k,).
        own: index of the run's threshold.
        counts: picks at each threshold (k,).
        levels: indices (b,) of some thresholds.
        per_micrograph: picks (n, b) of each micrograph at these.
        plane_levels: indices of some thresholds.
        plane: picks at these in cells of the image plane, (levels, cells, cells).
        in_plane: micrographs that these are from.
        quality: estimate at each threshold (k,).
        usable: share (n,) of each micrograph without contamination; None where it is not known.
    """

    names: List[str]
    grid: np.ndarray
    own: int
    counts: np.ndarray
    levels: np.ndarray
    per_micrograph: np.ndarray
    plane_levels: np.ndarray
    plane: np.ndarray
    in_plane: int
    quality: EstimatedCurve
    usable: Optional[List[float]] = None

    @property
    def own_counts(self) -> np.ndarray:
        """Picks (n,) of each micrograph at the run's threshold."""
        return self.per_micrograph[:, np.searchsorted(self.levels, self.own)]

    def _best(self) -> Optional[int]:
        """Index of the threshold of the highest estimated F1; None where there is no peak."""
        if not self.counts.any():
            return None
        return int(np.searchsorted(self.grid, best_threshold(self.quality)))

    def as_json(self) -> Dict[str, Any]:
        """Return the tables for the report's script."""
        quality = {name: np.round(getattr(self.quality, name), 4).tolist() for name in ESTIMATES}
        return {
            "grid": self.grid.tolist(),
            "own": self.own,
            "counts": self.counts.tolist(),
            "levels": self.levels.tolist(),
            "perMicrograph": pack(self.per_micrograph, "uint16"),
            "planeLevels": self.plane_levels.tolist(),
            "plane": pack(self.plane, "uint32"),
            "cells": CELLS,
            "inPlane": self.in_plane,
            "quality": quality,
            "best": self._best(),
            "usable": self.usable,
        }


def tabulate(run: PickRun, peaks: Mapping[str, MicrographPeaks]) -> ScoreTables:
    """Count the peaks of a run.

    Args:
        run: that has found them.
        peaks: by micrograph name, as the run returns them.
    """
    scores = [kept.coordinates.score for kept in peaks.values()]
    highest = max((float(values.max()) for values in scores if len(values)), default=0.0)
    grid = threshold_grid(highest, run.threshold)
    table = _counts(scores, grid)
    counts = table.sum(axis=0)
    own_index = int(np.searchsorted(grid, run.threshold))
    levels = _levels(counts, max(LEAST_LEVELS, COUNTS_IN_TABLE // max(len(peaks), 1)), own_index)
    plane_levels = _levels(counts, PLANE_LEVELS, own_index)
    in_plane = _some(list(peaks.values()), MOST_IN_PLANE)
    return ScoreTables(
        names=list(peaks),
        grid=grid,
        own=own_index,
        counts=counts,
        levels=levels,
        per_micrograph=table[:, levels],
        plane_levels=plane_levels,
        plane=_plane(in_plane, grid[plane_levels]),
        in_plane=len(in_plane),
        quality=estimate_precision_recall(
            _some(scores, MOST_ESTIMATED), run.score_uncertainty, grid
        ),
        usable=_usable(list(peaks.values())),
    )


def _usable(peaks: List[MicrographPeaks]) -> Optional[List[float]]:
    shares = [round(kept.usable, 4) for kept in peaks if kept.usable is not None]
    return shares if shares and len(shares) == len(peaks) else None


def _some(values: List[Any], most: int) -> List[Any]:
    """Take every second, third, ... so that at most so many are left."""
    return values[:: max(1, -(-len(values) // most))]


def _counts(scores: Iterable[np.ndarray], grid: np.ndarray) -> np.ndarray:
    """Count the peaks of each micrograph that reach each threshold; (n, k)."""
    rows = [np.bincount(ranks(values, grid), minlength=len(grid)) for values in scores]
    histogram = np.array(rows, np.int32).reshape(-1, len(grid))
    return histogram[:, ::-1].cumsum(axis=1, dtype=np.int32)[:, ::-1]


def _levels(counts: np.ndarray, most: int, own: int) -> np.ndarray:
    """Choose thresholds (indices) between which the number of picks changes by equal steps."""
    last = len(counts) - 1
    if most > last:
        return np.arange(last + 1)
    steps = np.searchsorted(-counts, -np.linspace(counts[0], 0, most))
    return np.unique([0, own, last, *steps.clip(0, last)])


def _plane(peaks: List[MicrographPeaks], thresholds: np.ndarray) -> np.ndarray:
    """Count the peaks that reach each threshold in cells; each peak is sorted in only once."""
    if not peaks:
        return np.zeros((len(thresholds), CELLS, CELLS))
    level = [ranks(kept.coordinates.score, thresholds) for kept in peaks]
    cell = [plane_cells(kept.coordinates, kept.shape, (CELLS, CELLS)) for kept in peaks]
    places = np.concatenate(level) * CELLS**2 + np.concatenate(cell)
    counts = np.bincount(places, minlength=len(thresholds) * CELLS**2)
    return counts.reshape(-1, CELLS, CELLS)[::-1].cumsum(axis=0)[::-1]
