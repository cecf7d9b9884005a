# SPDX-License-Identifier: GPL-3.0-or-later
"""Where contamination lies in a working image: what is usable, and what each peak lies on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import numpy as np
from scipy.special import expit

from ..settings import STRIDE

# from working images (b, h, w) to the log-odds of particles and of contamination, if it is known
Judge = Callable[[np.ndarray], Tuple[np.ndarray, Optional[np.ndarray]]]


@dataclass(frozen=True, eq=False)
class ContaminationMap:
    """Contamination of a working image.

    Attributes:
        log_odds: (h, w); the entry (i, j) belongs to the pixel (4 j, 4 i).
    """

    log_odds: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Where contamination is likelier than not: (h, w) bool."""
        return self.log_odds > 0

    @property
    def usable(self) -> float:
        """Share of the image without contamination."""
        return 1.0 - float(self.mask.mean())

    def at(self, xy: np.ndarray) -> np.ndarray:
        """Probabilities (n,) of contamination at places (n, 2) x, y, px of the working image."""
        last = np.array(self.log_odds.shape[::-1]) - 1
        columns, rows = np.clip(np.rint(xy / STRIDE), 0, last).astype(int).T
        return np.asarray(expit(self.log_odds[rows, columns]), np.float32)
