# SPDX-License-Identifier: GPL-3.0-or-later
"""Where picks lie in the image plane."""

from __future__ import annotations

import numpy as np

from ..micrographs import Shape
from . import Coordinates


def plane_cells(picks: Coordinates, shape: Shape, bins: Shape) -> np.ndarray:
    """Return the cell that each pick of a micrograph lies in, (n,), counted row by row.

    Args:
        picks: px; those outside the micrograph are in the nearest cell.
        shape: (ny, nx) of the micrograph, px.
        bins: cells in y and x.
    """
    row = np.floor((picks.y + 0.5) / shape[0] * bins[0]).clip(0, bins[0] - 1)
    column = np.floor((picks.x + 0.5) / shape[1] * bins[1]).clip(0, bins[1] - 1)
    return (row * bins[1] + column).astype(int)
