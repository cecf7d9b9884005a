# SPDX-License-Identifier: GPL-3.0-or-later
"""Peaks of a score map: one per particle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ..coordinates.neighbours import near_pairs

# chosen in docs/decisions/025-peaks-of-crowded-particles.md
_HILL_BLUR = 2.0  # px of the map
_SHARPENING = 2.0
# least distances from peaks to places between them: docs/decisions/030-places-between-peaks.md
_WIDER = 1.25


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
    highest = _highest_near(score_map)
    rows, columns = np.nonzero((score_map == highest) & (score_map >= least_score))
    xy, score = _refine(score_map.astype(np.float64), rows, columns)
    order = np.argsort(-score, kind="stable")
    kept = order[suppress(xy[order], radius)]
    return Peaks(xy[kept], score[kept])


def find_close_peaks(
    score_map: np.ndarray,
    radius: float,
    reach: float,
    least_score: float = -np.inf,
    between: bool = True,
    sharpness: float = 0.0,
) -> Peaks:
    """As `find_peaks`, of near neighbours too, whose scores melt into one hill.

    Maxima are those of the sharpened map, so that a shoulder is one; then come the highest places
    that are left between them, since a particle may lie on a slope. A score is that of the blurred
    map, which knows less of noise and of sharp edges, or of an average with the map itself, less
    what the hill of a better peak adds to it: its height above the median of the map, falling to
    nothing at its reach. Scores of another unit and zero point give the same peaks in the same
    order.

    Args:
        score_map: (h, w), finite.
        radius: least distance between two peaks, px of the map.
        reach: half the width of a peak's hill at its foot, px of the map.
        least_score: peaks that score lower are left out.
        between: whether the places between maxima are peaks, too.
        sharpness: share of the map itself in the scores, 0 to 1.
    """
    exact = score_map.astype(np.float64)
    blurred = _blurred_along(_blurred_along(exact).T).T
    sharpened = exact + _SHARPENING * (exact - blurred)
    places = find_peaks(sharpened, radius).xy
    if between:
        # an entry more, since these places are whole entries and maxima are not
        wider = max(_WIDER * radius, radius + 1)
        places = np.concatenate([places, _left_between(sharpened, places, wider)])
    scored = blurred + sharpness * (exact - blurred)
    xy, score = _by_score(places, _between(scored, places))
    height = np.maximum(0, score - np.median(scored))
    return _at_least(*_by_score(xy, score - _hills_of_better(xy, height, reach)), least_score)


def _left_between(score_map: np.ndarray, xy: np.ndarray, radius: float) -> np.ndarray:
    """Highest places (m, 2) of a map further than a radius from points (n, 2) and each other."""
    left = _without_discs(score_map, xy, radius)
    rows, columns = np.nonzero((left == _highest_near(left)) & np.isfinite(left))
    places, _ = _by_score(np.column_stack([columns, rows]).astype(float), left[rows, columns])
    return places[suppress(places, radius)]


def _without_discs(score_map: np.ndarray, xy: np.ndarray, radius: float) -> np.ndarray:
    """Copy a map (h, w), with -inf within a radius of the entries next to points (n, 2)."""
    reach = math.ceil(radius)
    padded = np.pad(score_map, reach)
    along = np.arange(-reach, reach + 1)
    x, y = np.meshgrid(along, along)
    disc = (y * padded.shape[1] + x)[x**2 + y**2 <= radius**2]
    columns, rows = np.rint(xy).astype(int).T + reach
    padded.ravel()[(rows * padded.shape[1] + columns)[:, None] + disc] = -np.inf
    return padded[reach:-reach, reach:-reach]


def _blurred_along(score_map: np.ndarray) -> np.ndarray:
    """Blur the rows of a map (h, w), mirrored beyond its edges, by a Gaussian.

    `scipy.ndimage` takes longer to be loaded than many micrographs.
    """
    reach = round(4 * _HILL_BLUR)
    weights = np.exp(-np.square(np.arange(-reach, reach + 1) / _HILL_BLUR) / 2)
    weights /= weights.sum()
    padded = np.pad(score_map, ((0, 0), (reach, reach)), mode="symmetric")
    width = score_map.shape[1]
    blurred = weights[0] * padded[:, :width]
    for first, weight in enumerate(weights[1:], 1):
        blurred += weight * padded[:, first : first + width]
    return blurred


def _between(values: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Values of a map (h, w) at places (n, 2) in it, linear between its entries."""
    last = np.array(values.shape[::-1]) - 1
    low = np.clip(np.floor(xy).astype(int), 0, last)
    share = np.clip(xy - low, 0, 1)
    high = np.minimum(low + 1, last)
    upper, lower = (
        values[rows, low[:, 0]] * (1 - share[:, 0]) + values[rows, high[:, 0]] * share[:, 0]
        for rows in (low[:, 1], high[:, 1])
    )
    return np.asarray(upper * (1 - share[:, 1]) + lower * share[:, 1])


def _by_score(xy: np.ndarray, score: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-score, kind="stable")
    return xy[order], score[order]


def _at_least(xy: np.ndarray, score: np.ndarray, least_score: float) -> Peaks:
    """Peaks that score so much, of those by descending score."""
    number = np.count_nonzero(score >= least_score)
    return Peaks(xy[:number], score[:number])


def _hills_of_better(xy: np.ndarray, height: np.ndarray, reach: float) -> np.ndarray:
    """Highest hill of a better point at each point (n, 2), best first; heights are theirs (n,)."""
    pairs = near_pairs(xy, xy, reach)
    worse = pairs.point > pairs.other
    hills = height[pairs.other[worse]] * (1 - np.sqrt(pairs.squared[worse]) / reach)
    highest = np.zeros(len(xy))
    np.maximum.at(highest, pairs.point[worse], hills)
    return highest


def _highest_near(score_map: np.ndarray) -> np.ndarray:
    """Highest value (h, w) of each place and the eight round it.

    `scipy.ndimage.maximum_filter` takes longer to be loaded than many micrographs.
    """
    padded = np.pad(score_map, 1, constant_values=-np.inf)
    along = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return np.asarray(np.maximum(np.maximum(along[:-2], along[1:-1]), along[2:]))


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
