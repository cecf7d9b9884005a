# SPDX-License-Identifier: GPL-3.0-or-later
"""Which points lie near to which others; scipy.spatial, which knows it too, takes long to load."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# cells along a side, so that the number of a cell stays an integer that is exact
_MOST_CELLS = 2**30


class Pairs(NamedTuple):
    """Pairs of near points.

    Attributes:
        point: (p,) index of the one.
        other: (p,) index of the other.
        squared: (p,) square of their distance.
    """

    point: npt.NDArray[np.intp]
    other: npt.NDArray[np.intp]
    squared: npt.NDArray[np.float64]


def near_pairs(points: npt.ArrayLike, others: npt.ArrayLike, radius: float) -> Pairs:
    """Find all pairs of a point and another that lie within a radius, in no order.

    The others are sorted into square cells as wide as the radius, so that those near a point are in
    its own cell or in the eight round it.

    Args:
        points: (n, 2), finite.
        others: (m, 2), in the same unit.
        radius: largest distance, not below 0.
    """
    xy = np.asarray(points, np.float64).reshape(-1, 2)
    others_xy = np.asarray(others, np.float64).reshape(-1, 2)
    if not len(xy) or not len(others_xy):
        return Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
    every = np.concatenate([xy, others_xy])
    corner, span = every.min(axis=0), float(np.ptp(every, axis=0).max())
    # a little wider, so that no rounding parts a pair that is just near enough
    width = max(radius * (1 + 1e-9), span / _MOST_CELLS, 1e-300)
    columns, rows = ((every - corner) / width).astype(np.int64).T
    # an empty column on either side: the cells beside a cell are those before and after it
    cell = rows * (int(columns.max()) + 3) + columns + 1
    of_points, of_others = cell[: len(xy)], cell[len(xy) :]
    order = np.argsort(of_others, kind="stable")
    of_others = of_others[order]
    found = []
    for step in (-1, 0, 1):
        middle = of_points + step * (int(columns.max()) + 3)
        first = np.searchsorted(of_others, middle - 1, side="left")
        count = np.searchsorted(of_others, middle + 1, side="right") - first
        point = np.repeat(np.arange(len(xy)), count)
        start = np.repeat(first - (np.cumsum(count) - count), count)
        other = order[np.arange(len(point)) + start]
        squared = np.square(xy[point] - others_xy[other]).sum(axis=1)
        near = squared <= radius * radius
        found.append((point[near], other[near], squared[near]))
    return Pairs(*(np.concatenate(column) for column in zip(*found)))
