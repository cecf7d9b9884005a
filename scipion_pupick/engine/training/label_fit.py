# SPDX-License-Identifier: GPL-3.0-or-later
"""How well labels fit micrographs as they are, and mirrored, swapped, scaled or shifted.

A label fits where a network that has never seen it scores higher than round it. Comparing with the
surroundings alone keeps carbon or ice, where a network may score high everywhere, from telling
anything; and the rank among them, unlike the score, does not depend on how sure the network is.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Iterator, List, Optional, Sequence

import numpy as np
from scipy import ndimage

from ..coordinates.area import inside_image
from ..coordinates.transform import PickTransform
from ..micrographs import Shape
from ..preprocessing.scale import to_working
from ..settings import MIRRORS, STRIDE

# of labels anywhere, and their deviation
CHANCE = 0.5
_RANK_DEVIATION = 12**-0.5
# Chosen on labels that were right and wrong, see docs/decisions/020-labels-that-cannot-be-right.md:
# no other transform of right labels reached both
_LEAST_GAIN = 0.2
_LEAST_ABOVE_CHANCE = 0.15
_GAIN_DEVIATIONS = 2.5
_CHANCE_DEVIATIONS = 4.0
_DOUBT_DEVIATIONS = 2.0

_SURROUNDINGS_DIAMETERS = 2.0
_SCALES = (1.0, 4 / 3, 3 / 2, 2.0, 3.0, 4.0, 6.0, 8.0)
# half of boxes from one diameter wide to two and a half; nearer, a label is still on its particle
_SHIFTS = np.arange(3, 9) / 6
_FINE_STEPS, _FINE_DIAMETERS, _AS_GOOD = 6, 1 / 24, 0.01


@dataclass(frozen=True, eq=False)
class RankedMicrograph:
    """What a network thinks of one micrograph, and its labels.

    Attributes:
        ranks: (h, w) of `local_ranks`.
        shape: (ny, nx) of the micrograph, px.
        working_shape: (ny, nx) of its working image, px.
        xy: (n, 2) labels as given, px of the micrograph.
    """

    ranks: np.ndarray
    shape: Shape
    working_shape: Shape
    xy: np.ndarray

    def ranks_at(self, transform: PickTransform) -> np.ndarray:
        """Ranks (n,) at the labels once they are transformed; 0 outside the micrograph."""
        xy = transform.apply(self.xy, self.shape)
        inside = inside_image(xy, self.shape)
        places = to_working(xy[inside], self.shape, self.working_shape) / STRIDE
        last = np.array(self.ranks.shape[::-1]) - 1
        columns, rows = np.clip(np.rint(places), 0, last).astype(int).T
        ranks = np.zeros(len(xy))
        ranks[inside] = self.ranks[rows, columns]
        return ranks


@dataclass(frozen=True)
class Fit:
    """How well labels fit, as they are and under another transform.

    Attributes:
        labels: looked at.
        outside: of these, as they are, outside their micrographs.
        rank: mean rank of the labels as they are; 0.5 where they lie by chance.
        best: the other transform that fits best.
        best_rank: mean rank under that.
    """

    labels: int
    outside: int
    rank: float
    best: PickTransform
    best_rank: float

    @property
    def is_chance(self) -> bool:
        """Whether labels that lie anywhere would be likely to fit as well."""
        return self.rank < CHANCE + _DOUBT_DEVIATIONS * _RANK_DEVIATION / math.sqrt(self.labels)

    @property
    def better(self) -> Optional[PickTransform]:
        """The other transform, if it is clearly better and no chance; None else."""
        root = math.sqrt(max(1, self.labels))
        gain = max(_LEAST_GAIN, _GAIN_DEVIATIONS * math.sqrt(2) * _RANK_DEVIATION / root)
        above = max(_LEAST_ABOVE_CHANCE, _CHANCE_DEVIATIONS * _RANK_DEVIATION / root)
        is_better = self.best_rank >= max(self.rank + gain, CHANCE + above)
        return self.best if is_better else None


def local_ranks(score_map: np.ndarray, diameter_px: float) -> np.ndarray:
    """Rank each score among those less than two diameters away.

    Args:
        score_map: (h, w) of a network, one score for each 4 x 4 px of the working image.
        diameter_px: of the particle, px of the working image.

    Returns:
        (h, w) share of the surroundings that score lower, 0 to 1; 0.5 in the mean. A score counts
        as the highest within one place of it, since labels are seldom exact.
    """
    highest = ndimage.maximum_filter(score_map, size=3)
    reach = max(2, round(_SURROUNDINGS_DIAMETERS * diameter_px / STRIDE))
    height, width = score_map.shape
    padded = np.pad(highest, reach, mode="symmetric")
    lower = np.zeros(score_map.shape)
    places = list(_places_round(reach))
    for row, column in places:
        other = padded[reach + row : reach + row + height, reach + column : reach + column + width]
        lower += (highest > other) + 0.5 * (highest == other)
    return lower / len(places)


def _places_round(reach: int) -> Iterator[Sequence[int]]:
    """Every second place of a disc, but for its centre."""
    steps = range(-reach, reach + 1, 2)
    for row, column in itertools.product(steps, steps):
        if 0 < row**2 + column**2 <= reach**2:
            yield row, column


def other_transforms(diameter: float, pixel_size: float = 1.0) -> List[PickTransform]:
    """List what labels may need: mirrors and turns, scales, and shifts from corners to centres.

    Args:
        diameter: of the particle, px of the micrograph.
        pixel_size: of the micrograph, Å/px, in case that labels are in Å.
    """
    scales = {1 / pixel_size, *_SCALES, *(1 / scale for scale in _SCALES)}
    turned = [
        PickTransform(scale, swap, mirror)
        for scale, swap, mirror in itertools.product(sorted(scales), (False, True), MIRRORS)
    ]
    shifted = [
        PickTransform(shift=(x * step * diameter, y * step * diameter))
        for step, x, y in itertools.product(_SHIFTS, (1, -1), (1, -1))
    ]
    return [transform for transform in turned + shifted if transform != PickTransform()]


def fit_labels(
    micrographs: Sequence[RankedMicrograph], diameter: float, pixel_size: float = 1.0
) -> Fit:
    """Find the transform under which labels fit best, but for the one that they have.

    Args:
        micrographs: with labels.
        diameter: of the particle, px of the micrographs.
        pixel_size: of these, Å/px.
    """
    transforms = other_transforms(diameter, pixel_size)
    best = max(transforms, key=lambda transform: _mean_rank(micrographs, transform))
    labels = sum(len(micrograph.xy) for micrograph in micrographs)
    outside = sum(int((~inside_image(m.xy, m.shape)).sum()) for m in micrographs)
    return Fit(
        labels=labels,
        outside=outside,
        rank=_mean_rank(micrographs, PickTransform()),
        best=_refined(micrographs, best, diameter),
        best_rank=_mean_rank(micrographs, best),
    )


def _mean_rank(micrographs: Sequence[RankedMicrograph], transform: PickTransform) -> float:
    return float(np.concatenate([m.ranks_at(transform) for m in micrographs]).mean())


def _refined(
    micrographs: Sequence[RankedMicrograph], best: PickTransform, diameter: float
) -> PickTransform:
    """Move a shift into the middle of those near it that are as good; leave the rest as it is."""
    if best.shift == PickTransform().shift:
        return best
    steps = np.arange(-_FINE_STEPS, _FINE_STEPS + 1) * _FINE_DIAMETERS * diameter
    shifts = [(best.shift[0] + x, best.shift[1] + y) for x, y in itertools.product(steps, steps)]
    ranks = np.array([_mean_rank(micrographs, replace(best, shift=shift)) for shift in shifts])
    x, y = np.array(shifts)[ranks >= ranks.max() - _AS_GOOD].mean(axis=0)
    return replace(best, shift=(float(x), float(y)))
