# SPDX-License-Identifier: GPL-3.0-or-later
"""Random orientations."""

from __future__ import annotations

import numpy as np


def random_rotations(count: int, random: np.random.Generator) -> np.ndarray:
    """Draw rotations uniformly from SO(3).

    Four normal numbers, scaled to unit length, are a uniform unit quaternion (Shoemake, Graphics
    Gems III, 124, 1992, in Marsaglia's form).

    Args:
        count: how many.
        random: the source of randomness.

    Returns:
        (count, 3, 3) matrices that turn columns (x, y, z) of the particle into those of the
        microscope, whose electrons fly along z.
    """
    quaternions = random.standard_normal((count, 4))
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)
