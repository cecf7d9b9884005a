# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has picked on each micrograph, in numbers: for estimates, and to see what stands out.

They are few enough to be kept, so that a call that adds some micrographs to many need not read the
peaks of all.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ..calibration.precision_recall_estimate import ExpectedParticles, expect_particles
from ..coordinates.neighbours import near_pairs
from ..picking.cut import Contamination, Cut
from ..picking.peaks_file import MicrographPeaks

_NUMBERS_EXPECTED = len(fields(ExpectedParticles))


@dataclass(frozen=True)
class Criteria:
    """What the numbers of picked micrographs depend on, beside the peaks.

    Attributes:
        threshold: least log-odds of a pick.
        border: least distance of a pick from the edges, Å.
        diameter: of the particle, Å.
        uncertainty: standard error that all scores share, log-odds.
        contamination: greatest probability of lying on contamination.
    """

    threshold: float
    border: float
    diameter: float
    uncertainty: float
    contamination: float = 1.0

    @property
    def cut(self) -> Cut:
        """Which peaks are picks."""
        return Cut(self.threshold, self.border, self.contamination)

    def to_list(self) -> List[float]:
        """Return the numbers in JSON's types."""
        return list(astuple(self))


@dataclass(frozen=True)
class Picked:
    """What was picked on one micrograph.

    Attributes:
        name: of the micrograph.
        picks: number of picks.
        score: median log-odds of the picks; NaN without any.
        crowding: share of the picks that have another one nearer than a diameter.
        contrast: see `contrast.particle_contrast`.
        particles: expected among the picks and among the other peaks.
        fingerprint: of the peaks.
        contamination: of the micrograph; None for a model that knows none.
    """

    name: str
    picks: int
    score: float
    crowding: float
    contrast: float
    particles: ExpectedParticles
    fingerprint: str
    contamination: Optional[Contamination] = None

    @classmethod
    def of_peaks(cls, name: str, peaks: MicrographPeaks, criteria: Criteria) -> Picked:
        """Count what the peaks of a micrograph give."""
        inside = criteria.cut.of_all_scores.choose(peaks)
        picks = criteria.cut.choose(peaks)
        score = float(np.median(picks.score)) if len(picks) else math.nan
        return cls(
            name,
            len(picks),
            round(score, 4),
            round(_crowding(picks.xy, criteria.diameter / peaks.pixel_size), 4),
            round(peaks.contrast, 4),
            expect_particles(inside.score, criteria.uncertainty, criteria.threshold),
            peaks.fingerprint,
            criteria.cut.contamination_of(peaks),
        )

    @property
    def usable(self) -> float:
        """Share of the micrograph without contamination; NaN where that is not known."""
        return math.nan if self.contamination is None else self.contamination.usable

    @property
    def precision(self) -> float:
        """Expected share of the picks that are particles; NaN without picks."""
        return self.particles.right / self.picks if self.picks else math.nan

    @property
    def recall(self) -> float:
        """Expected share of the particles that are picked; NaN where none is expected."""
        every = self.particles.right + self.particles.lost
        return self.particles.right / every if every > 0 else math.nan

    def to_list(self) -> List[Any]:
        """Return all numbers in JSON's types."""
        values = [self.picks, self.score, self.crowding, self.contrast, *astuple(self.particles)]
        numbers = [None if math.isnan(value) else value for value in values]
        dirt = [] if self.contamination is None else list(astuple(self.contamination))
        return [self.name, self.fingerprint, *numbers, *dirt]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> Picked:
        """Undo `to_list`.

        Raises:
            ValueError: it is no such list.
            TypeError: a value in it is none.
        """
        name, fingerprint, picks, *rest = values
        if not (isinstance(name, str) and isinstance(fingerprint, str) and type(picks) is int):
            raise TypeError("no micrograph")
        score, crowding, contrast, *sums = (math.nan if v is None else float(v) for v in rest)
        number = _NUMBERS_EXPECTED
        if len(sums) not in (number, number + 2):
            raise ValueError("other numbers")
        particles, dirt = ExpectedParticles(*sums[:number]), sums[number:]
        contamination = Contamination(dirt[0], int(dirt[1])) if dirt else None
        return cls(name, picks, score, crowding, contrast, particles, fingerprint, contamination)


def _crowding(xy: np.ndarray, diameter: float) -> float:
    """Share of points (n, 2) that have another one nearer than a diameter, in the same unit."""
    if not len(xy):
        return math.nan
    pairs = near_pairs(xy, xy, diameter)
    return len(np.unique(pairs.point[pairs.point != pairs.other])) / len(xy)


def estimate_of(picked: Sequence[Picked], criteria: Criteria) -> Dict[str, float]:
    """Estimate how good the picks of some micrographs are together."""
    expected = ExpectedParticles.sum_of([each.particles for each in picked])
    return expected.curve(criteria.threshold).at(criteria.threshold).summary()
