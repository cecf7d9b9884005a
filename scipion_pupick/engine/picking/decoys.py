# SPDX-License-Identifier: GPL-3.0-or-later
"""Peaks of images and of their negatives, in which no particle is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterable, List, Optional, Sequence

import numpy as np

from .contamination import Judge
from .detector import PeaksInsideBorder, clean_peaks_in_map


@dataclass(frozen=True)
class PeaksAndDecoys:
    """Peaks of working images and of some of their negatives, none of them on contamination.

    Attributes:
        peaks: of each image.
        decoys: (m,) scores of the peaks of each negative.
        room: number of particles whose discs are as large as the area in which peaks may lie.
    """

    peaks: Sequence[PeaksInsideBorder]
    decoys: Sequence[np.ndarray]
    room: float

    @property
    def share(self) -> float:
        """Of an image in which peaks may lie, summed over the images."""
        return sum(of_image.share for of_image in self.peaks)

    @property
    def clean_share(self) -> float:
        """Of all peaks, those that lie on no contamination."""
        left_out = sum(of_image.on_contamination for of_image in self.peaks)
        return len(self.scores) / max(1, len(self.scores) + left_out)

    @property
    def scores(self) -> np.ndarray:
        """(n,) of all peaks."""
        return np.concatenate([*(of_image.score for of_image in self.peaks), np.empty(0)])


def find_peaks_and_decoys(
    judge: Judge,
    images: Iterable[np.ndarray],
    diameter_px: float,
    images_per_negative: Optional[int],
    sharpness: float = 0.0,
) -> PeaksAndDecoys:
    """Find the peaks of images, and those of some negatives but for contamination of the image.

    Args:
        judge: of a network.
        images: (h, w) working images.
        diameter_px: of the particle, px of the working image.
        images_per_negative: the negative of one image in so many is searched, the first of them;
            None for no negative.
        sharpness: see `Detector`.
    """
    peaks: List[PeaksInsideBorder] = []
    decoys: List[np.ndarray] = []
    area = 0.0
    for number, image in enumerate(images):
        scores, dirty = judge(image[None])
        where = None if dirty is None else dirty[0]
        shape = (image.shape[0], image.shape[1])
        found = clean_peaks_in_map(scores[0], where, shape, diameter_px, sharpness)
        peaks.append(found)
        area += found.share * image.size
        if images_per_negative is not None and number % images_per_negative == 0:
            negative = judge(-image[None])[0][0]
            of_negative = clean_peaks_in_map(negative, where, shape, diameter_px, sharpness)
            decoys.append(of_negative.score)
    return PeaksAndDecoys(peaks, decoys, area / (math.pi * (diameter_px / 2) ** 2))
