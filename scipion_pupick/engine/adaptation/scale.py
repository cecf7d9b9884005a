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
from typing import Dict, Iterable, Iterator, List, Sequence, Tuple

import numpy as np
from scipy.special import expit

from ..files.prefetch import prefetch
from ..micrographs import AnyMicrograph, MicrographInMemory
from ..networks.model import Model
from ..picking.contamination import Judge
from ..picking.detector import PeaksInsideBorder, clean_peaks_inside_border
from ..preprocessing.scale import WorkingScale
from ..preprocessing.working_image import WorkingImage, prepare, read_working_image

log = logging.getLogger(__name__)

SCALE_STEP = 1.25
FURTHEST_STEP = 2
# share of the confidence that a scale one step away must make up for, two steps four times as much;
# chosen in docs/decisions/025-peaks-of-crowded-particles.md
PRIOR_PENALTY = 0.04
LEAST_EXPECTED_PARTICLES = 20.0
MICROGRAPHS_SEARCHED = 3
# side of the middle of a micrograph that is looked at, in diameters: some 200 particles
DIAMETERS_SEARCHED = 34.0


def evenly_spaced(micrographs: Sequence[AnyMicrograph], most: int) -> List[AnyMicrograph]:
    """Choose at most so many micrographs, evenly_spaced evenly."""
    count = min(most, len(micrographs))
    return [micrographs[i] for i in np.linspace(0, len(micrographs) - 1, count).astype(int)]


def read_middles(
    scale: WorkingScale, micrographs: Sequence[AnyMicrograph]
) -> List[MicrographInMemory]:
    """Read the middles of micrographs to search in, once for all scales that are looked at.

    Args:
        scale: that of the diameter which the user gave.
        micrographs: to read at most three of them; those that cannot be used are left out.

    Returns:
        Images as fine as the finest scale that `search_scale` looks at.
    """
    finest = WorkingScale(scale.diameter, scale.diameter_px * SCALE_STEP**FURTHEST_STEP, scale.unit)
    side = round(DIAMETERS_SEARCHED * finest.diameter_px)
    chosen = evenly_spaced(micrographs, MICROGRAPHS_SEARCHED)
    read = prefetch(lambda micrograph: read_working_image(micrograph, finest), chosen)
    images = [image for _, image in read if isinstance(image, WorkingImage)]
    return [
        MicrographInMemory(
            _middle(image.image, side),
            image.micrograph.name,
            image.pixel_size * image.shape[1] / image.image.shape[1],
        )
        for image in images
    ]


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    """Return the middle of an image (h, w), at most `side` px wide and high."""
    top, left = (max(0, (size - side) // 2) for size in image.shape)
    return image[top : top + side, left : left + side]


def search_scale(
    general: Model, judge: Judge, scale: WorkingScale, micrographs: Sequence[AnyMicrograph]
) -> WorkingScale:
    """Choose the scale at which the general model is most certain.

    The confidence, less what the distance from the scale given costs, is looked at in steps of
    25 %, at the scale given, one step to each side and one further on a side that is better; the
    summit of the parabola through the best and its neighbours is taken. The scale given stays where
    the model finds next to nothing, or no more than in the negatives of the micrographs.

    Args:
        general: the model.
        judge: of its network.
        scale: that of the diameter which the user gave.
        micrographs: to look at three of them; those that cannot be used are left out.

    Returns:
        A scale of the same diameter (Å), with another width in working images.
    """
    searched = evenly_spaced(micrographs, MICROGRAPHS_SEARCHED)
    reached: Dict[int, float] = {}
    expected: Dict[int, float] = {}

    def at(steps: float) -> WorkingScale:
        return WorkingScale(scale.diameter, scale.diameter_px / SCALE_STEP**steps)

    def best_of(*steps: int) -> int:
        for step in set(steps).difference(reached):
            peaks = detect_in_micrographs(general, judge, at(step), searched).values()
            reached[step] = confidence(peaks) * (1 - PRIOR_PENALTY * step**2)
            expected[step] = _expected(peaks)
        return max(reached, key=lambda step: reached[step])

    best = best_of(0, -1, 1)
    if not reached[best]:
        return scale
    if best:
        best = best_of(best, FURTHEST_STEP * best)
    negatives = detect_in_micrographs(
        general, lambda images: judge(-images), at(best), searched
    ).values()
    if expected[best] - _expected(negatives) < LEAST_EXPECTED_PARTICLES:
        return scale
    steps = _summit(best, reached)
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
    return at(steps)


def _expected(peaks: Iterable[PeaksInsideBorder]) -> float:
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
