# SPDX-License-Identifier: GPL-3.0-or-later
"""Where contamination lies in a micrograph: what is usable, and what each peak lies on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import numpy as np

from ..micrographs import Shape
from ..settings import STRIDE

# from working images (b, h, w) to the log-odds of particles and of contamination, if it is known
Judge = Callable[[np.ndarray], Tuple[np.ndarray, Optional[np.ndarray]]]


@dataclass(frozen=True, eq=False)
class ContaminationMask:
    """Where contamination is likelier than not.

    Attributes:
        places: (ceil(ny/4), ceil(nx/4)) bool; the entry (i, j) belongs to the pixel (4 j, 4 i) of
            the working image.
        shape: (ny, nx) of the working image, px.
    """

    places: np.ndarray
    shape: Shape

    @property
    def usable(self) -> float:
        """Share of the micrograph without contamination."""
        return 1.0 - float(self.places.mean())

    def image(self) -> np.ndarray:
        """Return the mask of the working image: (ny, nx) int8, 1 where contamination lies."""
        nearest = [(np.arange(size) + STRIDE // 2) // STRIDE for size in self.shape]
        rows, columns = (np.minimum(n, last - 1) for n, last in zip(nearest, self.places.shape))
        return self.places[np.ix_(rows, columns)].astype(np.int8)

    def packed(self) -> np.ndarray:
        """Return the places as bits, row by row: (n,) uint8."""
        return np.packbits(self.places)

    @classmethod
    def unpacked(cls, bits: np.ndarray, shape: Shape) -> ContaminationMask:
        """Undo `packed` for a working image of a shape (ny, nx).

        Raises:
            ValueError: there are not as many bits as places.
        """
        rows, columns = (-(-size // STRIDE) for size in shape)
        places = np.unpackbits(bits, count=rows * columns).astype(bool)
        if len(bits) != -(-rows * columns // 8):
            raise ValueError(f"{len(bits)} bytes for {rows} x {columns} places")
        return cls(places.reshape(rows, columns), shape)


@dataclass(frozen=True, eq=False)
class ContaminationMap:
    """Contamination of a working image.

    Attributes:
        log_odds: (h, w); the entry (i, j) belongs to the pixel (4 j, 4 i).
    """

    log_odds: np.ndarray

    def mask(self, shape: Shape) -> ContaminationMask:
        """Return where contamination is likelier than not, in the working image of a shape."""
        return ContaminationMask(self.log_odds > 0, shape)

    def at(self, xy: np.ndarray) -> np.ndarray:
        """Probabilities (n,) of contamination at places (n, 2) x, y, px of the working image."""
        last = np.array(self.log_odds.shape[::-1]) - 1
        columns, rows = np.clip(np.rint(xy / STRIDE), 0, last).astype(int).T
        # the logistic function, as it never overflows
        return np.asarray(0.5 + 0.5 * np.tanh(self.log_odds[rows, columns] / 2), np.float32)
