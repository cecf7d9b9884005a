# SPDX-License-Identifier: GPL-3.0-or-later
"""Peaks of a working image: a network's scores, and one peak for each particle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np

from ..micrographs import Shape
from ..settings import MIN_DISTANCE_DIAMETERS, MOST_CONTAMINATION, STRIDE, WORKING_DIAMETER_PX
from .border import inside_border, share_inside
from .contamination import ContaminationMap, Judge
from .peaks import Peaks, find_close_peaks, find_peaks
from .score_places import ScorePlaces

# px of a working image; chosen in docs/decisions/025-peaks-of-crowded-particles.md
_HILL_REACH = 0.8 * WORKING_DIAMETER_PX
# share of scores that are not blurred, where labels have taught a network how they look
SHARPNESS_OF_TRAINED = 0.4  # docs/decisions/034-sharper-scores.md

Scorer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Detector:
    """What finds particles in the score maps of working images.

    Attributes:
        min_distance: between two peaks, px of the working image.
        between: whether the best places between maxima of the scores are peaks, too, where every
            second pixel is scored.
        sharpness: share of scores that are not blurred there, 0 to 1.
    """

    min_distance: float
    between: bool = True
    sharpness: float = 0.0

    @classmethod
    def of_width(cls, diameter_px: float, sharpness: float = 0.0) -> Detector:
        """Return the detector of particles of a width, px of the working image."""
        return cls(MIN_DISTANCE_DIAMETERS * diameter_px, sharpness=sharpness)

    def find_in_map(
        self, score_map: np.ndarray, shape: Shape, least_score: float = -np.inf
    ) -> Peaks:
        """Find the peaks of a score map.

        Args:
            score_map: (h, w).
            shape: (ny, nx) of the working image, px.
            least_score: lower peaks are left out.

        Returns:
            Peaks; their places are px of the working image.
        """
        places = ScorePlaces.of_map(score_map.shape, shape)
        radius = self.min_distance / places.step
        if places.step == STRIDE:
            peaks = find_peaks(score_map, radius, least_score)
        else:
            reach = _HILL_REACH / places.step
            how = self.between, self.sharpness
            peaks = find_close_peaks(score_map, radius, reach, least_score, *how)
        return Peaks(places.in_image(peaks.xy, shape), peaks.score)


def detect_peaks(
    scorer: Scorer, image: np.ndarray, diameter_px: float, sharpness: float = 0.0
) -> Peaks:
    """Score a working image and find its peaks, as far apart as picks.

    Args:
        scorer: from working images (b, h, w) to score maps (b, ceil(h/4), ceil(w/4)), or twice as
            many rows and columns.
        image: (h, w) working image.
        diameter_px: of the particle, px of the working image.
        sharpness: see `Detector`.

    Returns:
        Peaks; their places are px of the working image.
    """
    detector = Detector.of_width(diameter_px, sharpness)
    return detector.find_in_map(scorer(image[None])[0], (image.shape[0], image.shape[1]))


@dataclass(frozen=True)
class PeaksInsideBorder:
    """Maxima of an image's scores, no nearer to its edges than picking allows by default.

    Places between maxima are not among them: what peaks are usually like was measured without.

    Attributes:
        score: (n,) of the peaks.
        share: of the image in which they may lie.
        on_contamination: number of those that were left out since they lie on it.
    """

    score: np.ndarray
    share: float
    on_contamination: int = 0


def clean_peaks_inside_border(
    judge: Judge, image: np.ndarray, diameter_px: float
) -> PeaksInsideBorder:
    """Maxima of the scores of an image that lie inside its border, and on no contamination.

    Args:
        judge: of a network.
        image: (h, w) working image.
        diameter_px: of the particle, px of the working image.
    """
    scores, dirty = judge(image[None])
    shape = (image.shape[0], image.shape[1])
    return clean_peaks_in_map(scores[0], None if dirty is None else dirty[0], shape, diameter_px)


def clean_peaks_in_map(
    score_map: np.ndarray,
    dirty: Optional[np.ndarray],
    shape: Shape,
    diameter_px: float,
    sharpness: float = 0.0,
) -> PeaksInsideBorder:
    """As `clean_peaks_inside_border`, of an image that has been scored.

    Args:
        score_map: (h, w) of the image.
        dirty: (n, m) log-odds of contamination; None if that is not known.
        shape: (ny, nx) of the working image, px.
        diameter_px: of the particle, px of the working image.
        sharpness: see `Detector`.
    """
    distance = MIN_DISTANCE_DIAMETERS * diameter_px
    detector = Detector(distance, between=False, sharpness=sharpness)
    peaks = detector.find_in_map(score_map, shape)
    border = diameter_px / 2
    inside = inside_border(peaks.xy, border, shape)
    clean = inside
    if dirty is not None:
        clean = inside & (ContaminationMap(dirty).at(peaks.xy) <= MOST_CONTAMINATION)
    left_out = int(inside.sum() - clean.sum())
    return PeaksInsideBorder(peaks.score[clean], share_inside(border, shape), left_out)
