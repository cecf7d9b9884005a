# SPDX-License-Identifier: GPL-3.0-or-later
"""The border of an image, in which no pick counts."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np

from ..micrographs import Shape


def inside_span(position: np.ndarray, border: float, size: int) -> np.ndarray:
    """Return which positions along one axis lie outside the border at both ends.

    Args:
        position: (n,) px; the centre of the first pixel is 0.
        border: width of the border, px.
        size: of the image along the axis, px.

    Returns:
        (n,) bool.
    """
    return (position >= border) & (position <= size - 1 - border)


def inside_border(xy: np.ndarray, border: float, shape: Shape) -> np.ndarray:
    """Return which points lie inside the border of an image.

    Args:
        xy: (n, 2) points (x, y), px of the image.
        border: width of the border, px.
        shape: (ny, nx) of the image, px.

    Returns:
        (n,) bool.
    """
    height, width = shape
    return inside_span(xy[:, 0], border, width) & inside_span(xy[:, 1], border, height)


def grid_inside(
    border: Sequence[float], shape: Shape, places: Sequence[np.ndarray]
) -> Tuple[np.ndarray, ...]:
    """Return which points of a grid over an image lie inside its border, to index the grid with.

    Args:
        border: width of the border at the ends of y and of x, px.
        shape: (ny, nx) of the image, px.
        places: of the rows and of the columns of the grid, px.
    """
    rows, columns = (
        inside_span(along, width, size) for along, size, width in zip(places, shape, border)
    )
    return np.ix_(rows, columns)


def share_inside(border: float, shape: Shape) -> float:
    """Return the share of an image that lies inside its border.

    Args:
        border: width of the border, px.
        shape: (ny, nx) of the image, px.
    """
    last = np.array(shape[::-1]) - 1
    return float(np.prod(np.maximum(0, 1 - 2 * border / np.maximum(last, 1))))
