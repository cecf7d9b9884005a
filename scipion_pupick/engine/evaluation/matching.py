# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of picks and reference particles."""

from __future__ import annotations

import math
from typing import Dict, Optional

import numpy as np
import numpy.typing as npt

from ..coordinates.neighbours import near_pairs
from ..errors import UsageError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]


def match_points(
    predicted: npt.ArrayLike,
    reference: npt.ArrayLike,
    tolerance: float,
    score: npt.ArrayLike,
    group_of_predicted: Optional[IntArray] = None,
    group_of_reference: Optional[IntArray] = None,
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
        group_of_predicted: (n,) number from 0 of the micrograph that each lies in: pairs are of
            the same one. None: all lie in one.
        group_of_reference: (m,) likewise.

    Returns:
        (n,) index of each prediction's reference point, -1 without one.

    Raises:
        UsageError: the tolerance is not a positive number.
    """
    if not 0 < tolerance < math.inf:
        raise UsageError(f"The matching tolerance is {tolerance} px: it must be positive.")
    predicted = np.asarray(predicted, np.float64).reshape(-1, 2)
    reference = np.asarray(reference, np.float64).reshape(-1, 2)
    pairs = near_pairs(predicted, reference, tolerance, group_of_predicted, group_of_reference)
    assigned = np.full(len(predicted), -1, np.intp)
    # most points have but one other near them, which has but them: there is nothing to decide
    is_only = np.bincount(pairs.point)[pairs.point] == 1
    is_only &= np.bincount(pairs.other)[pairs.other] == 1
    assigned[pairs.point[is_only]] = pairs.other[is_only]
    point, other, squared = (column[~is_only] for column in pairs)
    rank = np.empty(len(predicted), np.intp)
    rank[np.argsort(-np.asarray(score, np.float64), kind="stable")] = np.arange(len(predicted))
    order = np.lexsort((other, squared, rank[point]))
    taken: Dict[int, int] = {}
    free = [True] * len(reference)
    for i, j in zip(point[order].tolist(), other[order].tolist()):
        if free[j] and i not in taken:
            taken[i], free[j] = j, False
    assigned[list(taken.keys())] = list(taken.values())
    return assigned
