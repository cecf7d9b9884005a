# SPDX-License-Identifier: GPL-3.0-or-later
"""How wide particles look to the general model, and so at which scale it should see them.

What a user calls the diameter may be too large or too small, and particles are not round. The
general model is most certain of its picks where particles are as wide as those that it was trained
on, so the scale is chosen at which it is most certain: no label is needed. Its confidence changes
little near the best scale, and users mostly know the diameter, so it also counts how near to the
scale given another one is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, TypeVar

import numpy as np
from scipy.special import expit

from ..files.prefetch import prefetch
from ..micrographs import AnyMicrograph, MicrographInMemory
from ..networks.model import Model
from ..picking.contamination import Judge
from ..picking.detector import PeaksInsideBorder, clean_peaks_inside_border
from ..preprocessing.scale import WorkingScale
from ..preprocessing.working_image import WorkingImage, prepare, read_working_image
from .parts import cut_part, side_of_parts

log = logging.getLogger(__name__)

Item = TypeVar("Item")

SCALE_STEP = 1.25
FURTHEST_STEP = 2
# share of the confidence that a scale one step away must make up for, two steps four times as much;
# chosen in docs/decisions/025-peaks-of-crowded-particles.md
PRIOR_PENALTY = 0.04
LEAST_EXPECTED_PARTICLES = 20.0
MICROGRAPHS_SEARCHED = 3
# side of the middle of a micrograph that is looked at, in diameters, larger where there are fewer
# micrographs; chosen in docs/decisions/027-fits-to-parts.md
DIAMETERS_SEARCHED = 21.0


def evenly_spaced(items: Sequence[Item], most: int) -> List[Item]:
    """Choose at most so many micrographs or images, evenly spread."""
    count = min(most, len(items))
    return [items[i] for i in np.linspace(0, len(items) - 1, count).astype(int)]


def read_middles(
    scale: WorkingScale, micrographs: Sequence[AnyMicrograph]
) -> List[MicrographInMemory]:
    """Read the middles of micrographs to search in, once for all scales that are looked at.

    Args:
        scale: that of the diameter which the user gave.
        micrographs: to read at most three of them; those that cannot be used are left out.

    Returns:
        Images as fine as the finest scale that `best_scale` looks at.
    """
    finest = WorkingScale(scale.diameter, scale.diameter_px * SCALE_STEP**FURTHEST_STEP, scale.unit)
    chosen = evenly_spaced(micrographs, MICROGRAPHS_SEARCHED)
    diameters = side_of_parts(DIAMETERS_SEARCHED, MICROGRAPHS_SEARCHED, len(chosen))
    side = diameters * finest.diameter_px

    def middle(micrograph: AnyMicrograph) -> WorkingImage:
        return read_working_image(cut_part(micrograph, finest, side).micrograph, finest)

    read = prefetch(middle, chosen)
    images = [image for _, image in read if isinstance(image, WorkingImage)]
    return [
        MicrographInMemory(
            image.image,
            image.micrograph.name,
            image.pixel_size * image.shape[1] / image.working_shape[1],
        )
        for image in images
    ]


Found = Dict[AnyMicrograph, Optional[PeaksInsideBorder]]


@dataclass(frozen=True)
class ScaleSearch:
    """Peaks of some micrographs at several scales, each found once.

    Attributes:
        general: the model.
        judge: of its network.
        scale: that of the diameter which the user gave.
        micrographs: that are looked at.
        found: the peaks of each micrograph, or None where it cannot be used, by scale (steps of
            25 % that particles are wider than given) and by whether they are those of the
            negatives.
    """

    general: Model
    judge: Judge
    scale: WorkingScale
    micrographs: Sequence[AnyMicrograph]
    found: Dict[Tuple[float, bool], Found] = field(default_factory=dict)

    def at(self, steps: float) -> WorkingScale:
        """Return the scale for particles that are so many steps wider than given."""
        return WorkingScale(
            self.scale.diameter, self.scale.diameter_px / SCALE_STEP**steps, self.scale.unit
        )

    def peaks(
        self, steps: int, negatives: bool = False, most: Optional[int] = None
    ) -> List[PeaksInsideBorder]:
        """Return the peaks of the micrographs, or of their negatives, at a scale.

        Args:
            steps: by which particles are wider than given.
            negatives: whether to look at negatives.
            most: look at so many micrographs; None for all.
        """
        found = self.found.setdefault((steps, negatives), {})
        wanted = self.micrographs[:most]
        missing = [micrograph for micrograph in wanted if micrograph not in found]
        if missing:
            judge = judge_of_negatives(self.judge) if negatives else self.judge
            detected = detect_in_micrographs(self.general, judge, self.at(steps), missing)
            found.update((micrograph, detected.get(micrograph)) for micrograph in missing)
        peaks = [found[micrograph] for micrograph in wanted]
        return [of_micrograph for of_micrograph in peaks if of_micrograph is not None]

    def of_inverted(self, inverted: Model) -> ScaleSearch:
        """Return the search with the inverted model, which finds in negatives what this finds.

        Args:
            inverted: sees an image as this search's model sees the negative.
        """
        found = {(steps, not negatives): p for (steps, negatives), p in self.found.items()}
        return replace(self, general=inverted, judge=judge_of_negatives(self.judge), found=found)


def judge_of_negatives(judge: Judge) -> Judge:
    """Return what sees images as a judge sees their negatives."""
    return lambda images: judge(-images)


def best_scale(search: ScaleSearch) -> WorkingScale:
    """Choose the scale at which the general model is most certain.

    The confidence, less what the distance from the scale given costs, is looked at in steps of
    25 %, at the scale given, one step to each side and one further on a side that is better; the
    summit of the parabola through the best and its neighbours is taken. Coarser scales come first:
    where one is better, finer ones, which cost most, are not looked at. The scale given stays where
    the model finds next to nothing, or no more than in the negatives of the micrographs.
    """
    reached: Dict[int, float] = {}

    def best_of(*steps: int) -> int:
        for step in steps:
            reached[step] = confidence(search.peaks(step)) * (1 - PRIOR_PENALTY * step**2)
        return max(reached, key=lambda step: reached[step])

    best = best_of(0, 1) or best_of(-1)
    if not reached[best]:
        return search.scale
    if best:
        best = best_of(FURTHEST_STEP * best)
    if not _shows_particles(search, best):
        return search.scale
    steps = _summit(best, reached)
    scale = search.scale
    log.info(
        "Best scale for the general model: %.0f %s (%.0f %s given); box size and border still use "
        "%.0f %s.",
        scale.diameter * SCALE_STEP**steps,
        scale.unit.name,
        scale.diameter,
        scale.unit.name,
        scale.diameter,
        scale.unit.name,
    )
    return search.at(steps)


def _shows_particles(search: ScaleSearch, steps: int) -> bool:
    """Whether more is found than in the negatives; where one micrograph says so, it is enough."""
    for most in (1, None):
        found, in_negatives = (
            expected_particles(search.peaks(steps, negatives, most)) for negatives in (False, True)
        )
        if found - in_negatives >= LEAST_EXPECTED_PARTICLES:
            return True
    return False


def expected_particles(peaks: Iterable[PeaksInsideBorder]) -> float:
    """Number of particles that the model expects among the peaks of some micrographs."""
    return float(sum(expit(of_micrograph.score).sum() for of_micrograph in peaks))


def _summit(best: int, reached: Dict[int, float]) -> float:
    """Summit of the parabola through the highest value and its neighbours, if it has both."""
    if not {best - 1, best + 1} <= reached.keys():
        return best
    left, middle, right = (reached[steps] for steps in (best - 1, best, best + 1))
    curvature = 2 * middle - left - right
    return best + (right - left) / (2 * curvature) if curvature else best


def confidence(peaks: Iterable[PeaksInsideBorder]) -> float:
    """Mean probability of the peaks that are particles, as the model itself sees it.

    A peak that is a particle with probability p counts with the weight p. 0 where the
    probabilities add up to fewer than 20 particles.

    Args:
        peaks: of each micrograph; their scores are log-odds.
    """
    scores = [of_micrograph.score for of_micrograph in peaks]
    chance = expit(np.concatenate([*scores, np.empty(0)]))
    particles = float(chance.sum())
    return float((chance**2).sum()) / particles if particles >= LEAST_EXPECTED_PARTICLES else 0.0


def detect_in_micrographs(
    general: Model, judge: Judge, scale: WorkingScale, micrographs: Sequence[AnyMicrograph]
) -> Dict[AnyMicrograph, PeaksInsideBorder]:
    """Peaks of each micrograph that can be used, but for those on contamination."""
    return {
        micrograph: clean_peaks_inside_border(judge, image.image, scale.diameter_px)
        for micrograph, image in read_usable(general, scale, micrographs)
    }


def read_usable(
    general: Model, scale: WorkingScale, micrographs: Sequence[AnyMicrograph]
) -> Iterator[Tuple[AnyMicrograph, WorkingImage]]:
    """Prepare each micrograph for a model, leaving out those that cannot be used."""

    def prepared(micrograph: AnyMicrograph) -> WorkingImage:
        return prepare(micrograph, scale, general.normalisation, general.mixture)

    for micrograph, image in prefetch(prepared, micrographs):
        if isinstance(image, WorkingImage):
            yield micrograph, image
