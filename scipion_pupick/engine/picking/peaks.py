# SPDX-License-Identifier: GPL-3.0-or-later
"""Peaks of a score map: one per particle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
from scipy import ndimage

from ..coordinates.neighbours import near_pairs


@dataclass(frozen=True)
class Peaks:
    """Peaks by descending score.

    Attributes:
        xy: (n, 2) sub-pixel (x, y), px of the score map.
        score: (n,) height of the map there.
    """

    xy: np.ndarray
    score: np.ndarray


def find_peaks(score_map: np.ndarray, radius: float, least_score: float = -np.inf) -> Peaks:
    """Find local maxima, and keep no two within a radius: the higher one wins.

    Args:
        score_map: (h, w), finite.
        radius: least distance between two peaks, px of the map.
        least_score: maxima below are left out.

    Returns:
        Peaks; position and height are those of a parabola through the maximum and its neighbours.
    """
    highest = ndimage.maximum_filter(score_map, size=3, mode="constant", cval=-np.inf)
    rows, columns = np.nonzero((score_map == highest) & (score_map >= least_score))
    xy, score = _refine(score_map.astype(np.float64), rows, columns)
    order = np.argsort(-score, kind="stable")
    kept = order[suppress(xy[order], radius)]
    return Peaks(xy[kept], score[kept])


def suppress(xy: np.ndarray, radius: float) -> np.ndarray:
    """Choose points greedily in the order given, none within `radius` of one chosen before.

    Args:
        xy: (n, 2), best first.
        radius: in the same unit.

    Returns:
        (n,) bool, True for the chosen.
    """
    kept = np.ones(len(xy), bool)
    if len(xy) == 0:
        return kept
    pairs = near_pairs(xy, xy, radius)
    better, worse = (side[pairs.point < pairs.other] for side in (pairs.point, pairs.other))
    order = np.argsort(better, kind="stable")
    for i, j in zip(better[order].tolist(), worse[order].tolist()):
        if kept[i]:
            kept[j] = False
    return kept


def _refine(
    score_map: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Fit a parabola along each axis: positions (n, 2) as (x, y), and heights (n,).

    Beyond the edges the map is mirrored, which leaves peaks there on the edge.
    """
    padded = np.pad(score_map, 1, mode="reflect")
    centre = score_map[rows, columns]
    dx, gain_x = _parabola(padded[rows + 1, columns], centre, padded[rows + 1, columns + 2])
    dy, gain_y = _parabola(padded[rows, columns + 1], centre, padded[rows + 2, columns + 1])
    return np.stack([columns + dx, rows + dy], axis=1), centre + gain_x + gain_y


def _parabola(
    before: np.ndarray, centre: np.ndarray, after: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Offset and gain of the vertex of the parabola through three equidistant values."""
    bend = 2 * centre - before - after
    slope = (after - before) / 2
    offset = np.divide(slope, bend, out=np.zeros_like(slope), where=bend > 0)
    return offset, slope * offset / 2
