# SPDX-License-Identifier: GPL-3.0-or-later
"""Which points lie near to which others; scipy.spatial, which knows it too, takes long to load."""

from __future__ import annotations

import math
from typing import NamedTuple, Optional

import numpy as np
import numpy.typing as npt

# so that the number of a cell stays an integer that is exact
_MOST_CELLS = 2**60


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


def near_pairs(
    points: npt.ArrayLike,
    others: npt.ArrayLike,
    radius: float,
    group_of_points: Optional[npt.NDArray[np.intp]] = None,
    group_of_others: Optional[npt.NDArray[np.intp]] = None,
) -> Pairs:
    """Find all pairs of a point and another that lie within a radius, in no order.

    The others are sorted into square cells as wide as the radius, so that those near a point are in
    its own cell or in the eight round it.

    Args:
        points: (n, 2), finite.
        others: (m, 2), in the same unit.
        radius: largest distance, not below 0.
        group_of_points: (n,) number from 0 of the micrograph, say, that each lies in: only points
            of the same one are near. None: all lie in one.
        group_of_others: (m,) likewise.
    """
    xy = np.asarray(points, np.float64).reshape(-1, 2)
    others_xy = np.asarray(others, np.float64).reshape(-1, 2)
    if not len(xy) or not len(others_xy):
        return Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
    group = np.zeros(len(xy) + len(others_xy), np.int64)
    if group_of_points is not None and group_of_others is not None:
        group = np.concatenate([group_of_points, group_of_others])
    every = np.concatenate([xy, others_xy])
    corner, span = every.min(axis=0), float(np.ptp(every, axis=0).max())
    most = math.sqrt(_MOST_CELLS / (int(group.max()) + 1))
    # a little wider, so that no rounding parts a pair that is just near enough
    width = max(radius * (1 + 1e-9), span / most, 1e-300)
    columns, rows = ((every - corner) / width).astype(np.int64).T
    # an empty row and column on either side: the cells beside a cell are those before and after it
    a_row = int(columns.max()) + 3
    cell = (group * (int(rows.max()) + 3) + rows + 1) * a_row + columns + 1
    of_points, of_others = cell[: len(xy)], cell[len(xy) :]
    order = np.argsort(of_others, kind="stable")
    of_others = of_others[order]
    found = []
    for step in (-1, 0, 1):
        middle = of_points + step * a_row
        first = np.searchsorted(of_others, middle - 1, side="left")
        count = np.searchsorted(of_others, middle + 1, side="right") - first
        point = np.repeat(np.arange(len(xy)), count)
        start = np.repeat(first - (np.cumsum(count) - count), count)
        other = order[np.arange(len(point)) + start]
        squared = np.square(xy[point] - others_xy[other]).sum(axis=1)
        near = squared <= radius * radius
        found.append((point[near], other[near], squared[near]))
    return Pairs(*(np.concatenate(column) for column in zip(*found)))
