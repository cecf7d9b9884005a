# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the peaks of a micrograph are picks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..coordinates import Coordinates
from .border import inside_border
from .peaks_file import MicrographPeaks


@dataclass(frozen=True)
class Cut:
    """What a peak must be to be picked.

    Attributes:
        threshold: least log-odds.
        border: least distance from the edges of the micrograph, Å.
    """

    threshold: float
    border: float

    @property
    def of_all_scores(self) -> Cut:
        """The same cut without a threshold."""
        return Cut(-math.inf, self.border)

    def choose(self, peaks: MicrographPeaks) -> Coordinates:
        """Return the peaks of a micrograph that are picks, px of the micrograph."""
        coordinates = peaks.coordinates
        inside = inside_border(coordinates.xy, self.border / peaks.pixel_size, peaks.shape)
        return coordinates.select(inside & (coordinates.score >= self.threshold))
