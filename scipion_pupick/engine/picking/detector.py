# SPDX-License-Identifier: GPL-3.0-or-later
"""Peaks of a working image: a network's scores, and one peak for each particle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

import numpy as np

from ..networks.architectures import STRIDE
from ..settings import SEPARATION
from .peaks import Peaks, find_peaks


def detect_peaks(
    scorer: Callable[[np.ndarray], np.ndarray], image: np.ndarray, diameter_px: float
) -> Peaks:
    """Score a working image (h, w) and find its peaks, as far apart as picks; all in working px."""
    peaks = find_peaks(scorer(image[None])[0], SEPARATION * diameter_px / STRIDE)
    return Peaks(peaks.xy * STRIDE, peaks.score)


@dataclass(frozen=True)
class PeaksInsideBorder:
    """Peaks of an image that are no nearer to its edges than picking allows by default.

    Attributes:
        score: (n,) of the peaks.
        share: of the image in which they may lie.
    """

    score: np.ndarray
    share: float


def expected_among(peaks: Sequence[PeaksInsideBorder], particles: float) -> float:
    """How many of the peaks should be particles, with so many particles in an image."""
    return particles * sum(each.share for each in peaks)


def peaks_inside_border(
    scorer: Callable[[np.ndarray], np.ndarray], image: np.ndarray, diameter_px: float
) -> PeaksInsideBorder:
    """As `detect_peaks`, without the peaks nearer to the edges than half a diameter."""
    peaks = detect_peaks(scorer, image, diameter_px)
    last = np.array(image.shape[::-1]) - 1
    inside = ((peaks.xy >= diameter_px / 2) & (peaks.xy <= last - diameter_px / 2)).all(axis=1)
    share = float(np.prod(np.maximum(0, 1 - diameter_px / np.maximum(last, 1))))
    return PeaksInsideBorder(peaks.score[inside], share)
