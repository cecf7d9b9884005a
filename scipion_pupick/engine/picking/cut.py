# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the peaks of a micrograph are picks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from ..coordinates import Coordinates
from .border import inside_span
from .peaks_file import MicrographPeaks


@dataclass(frozen=True)
class Contamination:
    """What a model that knows contamination says of a micrograph.

    Attributes:
        usable: share of the micrograph without contamination.
        dropped: number of peaks that would be picks if they did not lie on contamination.
    """

    usable: float
    dropped: int


@dataclass(frozen=True)
class Candidates:
    """The peaks of a micrograph that a threshold alone decides about.

    Attributes:
        coordinates: of those that are picked if their score is high enough, px of the micrograph.
        dropped_scores: (n,) of those that lie on contamination.
        usable: see `Contamination`; None where the model knows none.
    """

    coordinates: Coordinates
    dropped_scores: np.ndarray
    usable: Optional[float]

    def dropped(self, threshold: float) -> int:
        """Count the peaks that would be picks if they did not lie on contamination."""
        return int((self.dropped_scores >= threshold).sum())


@dataclass(frozen=True)
class Cut:
    """What a peak must be to be picked.

    Attributes:
        threshold: least log-odds.
        border: least distance from the edges of the micrograph, Å.
        contamination: greatest probability of lying on contamination.
    """

    threshold: float
    border: float
    contamination: float = 1.0

    @property
    def of_all_scores(self) -> Cut:
        """The same cut without a threshold."""
        return replace(self, threshold=-math.inf)

    @property
    def anywhere(self) -> Cut:
        """The same cut, on contamination too."""
        return replace(self, contamination=1.0)

    def choose(self, peaks: MicrographPeaks) -> Coordinates:
        """Return the peaks of a micrograph that are picks, px of the micrograph."""
        return peaks.coordinates.select(self.admits(peaks))

    def admits(self, peaks: MicrographPeaks) -> np.ndarray:
        """Tell which peaks of a micrograph are picks: (n,) bool."""
        coordinates = peaks.coordinates
        border, (height, width) = self.border / peaks.pixel_size, peaks.shape
        admitted = inside_span(coordinates.x, border, width)
        admitted &= inside_span(coordinates.y, border, height)
        admitted &= coordinates.score >= self.threshold
        if peaks.contamination is not None:
            admitted &= peaks.contamination <= self.contamination
        return admitted

    def contamination_of(self, peaks: MicrographPeaks) -> Optional[Contamination]:
        """Say what is contamination in a micrograph; None where the model knows none."""
        if peaks.usable is None:
            return None
        return Contamination(peaks.usable, self.dropped(peaks))

    def dropped(self, peaks: MicrographPeaks) -> int:
        """Count the peaks that would be picks if they did not lie on contamination."""
        return int(self.anywhere.admits(peaks).sum() - self.admits(peaks).sum())

    def candidates(self, peaks: MicrographPeaks) -> Candidates:
        """Return what is picked of a micrograph at thresholds yet to be chosen."""
        clean = self.of_all_scores
        if peaks.contamination is None:
            return Candidates(clean.choose(peaks), np.empty(0), peaks.usable)
        dirty = clean.anywhere.admits(peaks) & ~clean.admits(peaks)
        return Candidates(clean.choose(peaks), peaks.coordinates.score[dirty], peaks.usable)

    def select(self, peaks: MicrographPeaks) -> MicrographPeaks:
        """Return the peaks of a micrograph without those that are no picks."""
        admitted = self.admits(peaks)
        dirty = peaks.contamination
        return replace(
            peaks,
            coordinates=peaks.coordinates.select(admitted),
            contamination=None if dirty is None else dirty[admitted],
        )
