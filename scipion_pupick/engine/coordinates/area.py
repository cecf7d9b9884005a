# SPDX-License-Identifier: GPL-3.0-or-later
"""A micrograph and parts of it, and which points lie in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ..micrographs import Shape


def inside_image(xy: np.ndarray, shape: Shape) -> np.ndarray:
    """Tell which points (n, 2), px, lie on a pixel of an image (ny, nx): (n,) bool."""
    return np.asarray(((xy > -0.5) & (xy < [shape[1] - 0.5, shape[0] - 0.5])).all(axis=1))


@dataclass(frozen=True)
class Area:
    """A rectangle in a micrograph, px; its edges belong to it.

    Attributes:
        left: least x.
        top: least y.
        right: greatest x.
        bottom: greatest y.
    """

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(
        cls, centre: Tuple[float, float], reach: float, shape: Shape, border: float = 0.0
    ) -> Area:
        """Return the square round a point, in whole px, without what lies in the border or beyond.

        Args:
            centre: (x, y), px.
            reach: half of the least side, px.
            shape: (ny, nx) of the micrograph, px.
            border: width of the border of the micrograph, px.
        """
        first = [math.floor(max(border, at - reach)) for at in centre]
        last = [
            math.ceil(min(size - 1 - border, at + reach)) for at, size in zip(centre, shape[::-1])
        ]
        return cls(first[0], first[1], last[0], last[1])

    @property
    def corners(self) -> Tuple[int, int, int, int]:
        """Left, top, right and bottom, px."""
        return self.left, self.top, self.right, self.bottom

    def shares(self, shape: Shape) -> Tuple[float, float, float, float]:
        """Return the corners as shares of a micrograph's width and height, (ny, nx) px."""
        height, width = shape
        return self.left / width, self.top / height, self.right / width, self.bottom / height

    def holds(self, xy: np.ndarray) -> np.ndarray:
        """Tell which points (n, 2), px, lie in it: (n,) bool."""
        x, y = xy[:, 0], xy[:, 1]
        return (x >= self.left) & (x <= self.right) & (y >= self.top) & (y <= self.bottom)

    def describe(self) -> str:
        """Return where it is, for people."""
        return f"x {self.left} to {self.right} and y {self.top} to {self.bottom} px"
