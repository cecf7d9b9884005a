# SPDX-License-Identifier: GPL-3.0-or-later
"""Which places of a working image the entries of its score map belong to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ..micrographs import Shape
from ..settings import STRIDE


@dataclass(frozen=True)
class ScorePlaces:
    """Where the scores of a map lie, the same along rows and columns.

    Attributes:
        step: from one score to the next, px of the working image.
    """

    step: int = STRIDE

    @classmethod
    def of_map(cls, map_shape: Sequence[int], shape: Shape) -> ScorePlaces:
        """Tell from the shape of a map and that (ny, nx) of its working image, px."""
        per_stride = round(map_shape[0] / math.ceil(shape[0] / STRIDE))
        return cls(STRIDE // max(1, per_stride))

    @property
    def first(self) -> float:
        """Place of the first score along an axis, px; where there are several for each four px,
        they lie evenly about what is the place of a single one.
        """
        return -(STRIDE - self.step) / 2

    def in_image(self, xy: np.ndarray, shape: Shape) -> np.ndarray:
        """Turn places (n, 2) in a map into px of the working image (ny, nx)."""
        last = np.array(shape[::-1]) - 1
        return np.clip(xy * self.step + self.first, 0, last)

    def along(self, size: int) -> np.ndarray:
        """Places of all scores along an axis of a working image of `size` px."""
        number = math.ceil(size / STRIDE) * (STRIDE // self.step)
        return np.arange(number) * self.step + self.first


def coarse(score_map: np.ndarray, shape: Shape) -> np.ndarray:
    """Keep the highest score of each 4 x 4 px of a working image (ny, nx)."""
    per_side = STRIDE // ScorePlaces.of_map(score_map.shape, shape).step
    rows, columns = (size // per_side for size in score_map.shape)
    return score_map.reshape(rows, per_side, columns, per_side).max(axis=(1, 3))
