# SPDX-License-Identifier: GPL-3.0-or-later
"""Where particles lie."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
from scipy.spatial import cKDTree

from ..errors import PupickError

_MOST_ROUNDS = 100


def place_particles(
    shape: Tuple[int, int],
    count: int,
    least_distance: float,
    random: np.random.Generator,
    preference: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Set down points one after the other, each at random where it is not too near to another.

    Args:
        shape: (ny, nx) of the image, px.
        count: of points.
        least_distance: between two points, px.
        random: the source of randomness.
        preference: (ny, nx) relative density of points, from 0 to 1; None for an even one.

    Returns:
        (count, 2) columns x, y in px, from -0.5 to the size - 0.5.

    Raises:
        PupickError: so many points do not fit.
    """
    points = np.empty((0, 2))
    for _ in range(_MOST_ROUNDS):
        missing = count - len(points)
        if missing <= 0:
            return points[:count]
        candidates = random.uniform(-0.5, (shape[1] - 0.5, shape[0] - 0.5), (4 * missing + 64, 2))
        if preference is not None:
            x, y = np.clip(np.round(candidates).astype(int), 0, (shape[1] - 1, shape[0] - 1)).T
            candidates = candidates[random.random(len(candidates)) < preference[y, x]]
        points = _drop_near(np.concatenate([points, candidates]), least_distance)
    raise PupickError(
        f"{count} particles at least {least_distance:.1f} px apart do not fit into an image of "
        f"{shape[1]} x {shape[0]} px: ask for a lower coverage, separation or clustering"
    )


def _drop_near(points: np.ndarray, least_distance: float) -> np.ndarray:
    """Go through points in order and keep those not too near to any kept before."""
    pairs = cKDTree(points).query_pairs(least_distance, output_type="ndarray")
    # lists, for the loop goes several times faster over them
    kept = [True] * len(points)
    for first, second in pairs[np.argsort(pairs[:, 0])].tolist():
        if kept[first]:
            kept[second] = False
    return points[kept]
