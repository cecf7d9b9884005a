# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of picks and reference particles."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..coordinates.neighbours import near_pairs
from ..errors import UsageError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]


def match_points(
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
    pairs = near_pairs(predicted, reference, tolerance)
    rank = np.empty(len(predicted), np.intp)
    rank[np.argsort(-np.asarray(score, np.float64), kind="stable")] = np.arange(len(predicted))
    order = np.lexsort((pairs.other, pairs.squared, rank[pairs.point]))
    free = [True] * len(reference)
    for i, j in zip(pairs.point[order].tolist(), pairs.other[order].tolist()):
        if assigned[i] < 0 and free[j]:
            assigned[i], free[j] = j, False
    return assigned
