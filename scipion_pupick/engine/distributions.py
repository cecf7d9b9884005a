# SPDX-License-Identifier: GPL-3.0-or-later
"""How picks lie: distances of neighbours, and density over the image plane."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from scipy.spatial import cKDTree

from .coordinates import Coordinates
from .downsample import Shape

Array = np.ndarray


def neighbour_distances(picks: Coordinates) -> Array:
    """Give each pick's distance to its nearest neighbour, (n,) px; none for a single pick."""
    if len(picks) < 2:
        return np.empty(0)
    xy = np.column_stack([picks.x, picks.y])
    return cKDTree(xy).query(xy, k=2)[0][:, 1]


def plane_density(picks: Sequence[Coordinates], shapes: Sequence[Shape], bins: Shape) -> Array:
    """Count the picks of all micrographs in cells of the image plane.

    Args:
        picks: of each micrograph, px.
        shapes: (ny, nx) of each micrograph, px; all are laid over each other.
        bins: cells in y and x.

    Returns:
        Counts `bins`, the first row at the top of the micrographs (y = 0).
    """
    total = np.zeros(bins[0] * bins[1], int)
    for coordinates, shape in zip(picks, shapes):
        total += np.bincount(plane_cells(coordinates, shape, bins), minlength=total.size)
    return total.reshape(bins)


def plane_cells(picks: Coordinates, shape: Shape, bins: Shape) -> Array:
    """Give the cell that each pick of a micrograph lies in, (n,), counted row by row.

    Args:
        picks: px; those outside the micrograph are in the nearest cell.
        shape: (ny, nx) of the micrograph, px.
        bins: cells in y and x.
    """
    row = np.floor((picks.y + 0.5) / shape[0] * bins[0]).clip(0, bins[0] - 1)
    column = np.floor((picks.x + 0.5) / shape[1] * bins[1]).clip(0, bins[1] - 1)
    return (row * bins[1] + column).astype(int)
