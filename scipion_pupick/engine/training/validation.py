# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a network ranks particles, as held-out labels tell."""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from ..evaluation.curves import estimated_average_precision
from ..evaluation.partial_labels import label_scores
from ..networks.architectures import Network
from ..networks.scoring import Scorer, make_scorer
from ..picking.detector import SHARPNESS_OF_TRAINED, detect_peaks
from ..settings import TOLERANCE_DIAMETERS
from .regions import TrainingImage
from .task import TrainingTask

LEAST_HELD_OUT = 10


def validate(network: Network, task: TrainingTask) -> float:
    """Average precision of a network by the held-out labels; NaN with fewer than 10 of these."""
    if sum(len(image.positive) for image in task.held_out) < LEAST_HELD_OUT:
        return math.nan
    scorer = make_scorer(network, task.device)
    return held_out_ap(scorer, task.held_out, task.particles, task.settings.diameter_px)


def held_out_ap(
    scorer: Scorer, images: Sequence[TrainingImage], particles: float, diameter_px: float
) -> float:
    """Estimate the average precision of a network's peaks from the labels of held-out images.

    Args:
        scorer: of the network.
        images: with labels, of only some of the particles too, and maybe negatives.
        particles: expected in an image.
        diameter_px: of the particle, px of the working image.
    """
    of_labels, of_negatives, of_peaks = [], [], []
    tolerance = TOLERANCE_DIAMETERS * diameter_px
    for image in images:
        peaks = detect_peaks(scorer, image.image, diameter_px, SHARPNESS_OF_TRAINED)
        of_labels.append(label_scores(peaks.xy, peaks.score, image.positive, tolerance))
        of_negatives.append(label_scores(peaks.xy, peaks.score, image.negative, tolerance))
        of_peaks.append(peaks.score)
    return estimated_average_precision(
        np.concatenate(of_labels),
        np.concatenate(of_peaks),
        particles * len(images),
        np.concatenate(of_negatives),
    )
