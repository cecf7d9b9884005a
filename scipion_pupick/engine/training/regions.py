# SPDX-License-Identifier: GPL-3.0-or-later
"""Which regions of a working image are labelled positive, unlabelled, or left out.

A region is named by its centre pixel. P, the positives, are the pixels within the training radius
of a labelled particle; U, the unlabelled, are all pixels outside labelled particles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ..errors import UsageError
from ..micrographs import Shape

UNLABELED, POSITIVE, MASKED = 0, 1, 2

_LEAST_UNLABELED_SHARE = 0.05


@dataclass(frozen=True)
class TrainingImage:
    """A normalised working image with its labels.

    Attributes:
        image: (h, w) float32, or float16 where there are many.
        labels: (h, w) uint8 of `regions.label_map`.
        positive: (n, 2) labelled particles, px of the working image.
        negative: (m, 2) places labelled as no particle, px of the working image.
    """

    image: np.ndarray
    labels: np.ndarray
    positive: np.ndarray
    negative: np.ndarray


def label_map(
    shape: Shape, xy: np.ndarray, training_radius: float, particle_radius: float
) -> np.ndarray:
    """Label each pixel of a working image.

    Args:
        shape: (h, w), px.
        xy: (n, 2) labelled particles, px of the working image.
        training_radius: pixels this near (px) to a label are POSITIVE.
        particle_radius: other pixels this near (px) to a label are MASKED; the rest UNLABELED.

    Returns:
        (h, w) uint8.
    """
    labels = np.full(shape, UNLABELED, np.uint8)
    for radius, label in ((particle_radius, MASKED), (training_radius, POSITIVE)):
        for x, y in xy:
            _paint_disc(labels, x, y, radius, label)
    return labels


def positive_map(shape: Shape, xy: np.ndarray, radius: float) -> np.ndarray:
    """Return which pixels of a working image lie near a particle.

    Args:
        shape: (h, w), px.
        xy: (n, 2) particles, px of the working image.
        radius: so near, px.

    Returns:
        (h, w) bool.
    """
    return label_map(shape, xy, radius, radius) == POSITIVE


def _paint_disc(labels: np.ndarray, x: float, y: float, radius: float, label: int) -> None:
    top, left = max(0, math.ceil(y - radius)), max(0, math.ceil(x - radius))
    window = labels[top : math.floor(y + radius) + 1, left : math.floor(x + radius) + 1]
    rows, columns = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
    window[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = label


def expected_unlabeled(particles_per_micrograph: float, label_counts: Sequence[int]) -> float:
    """Expected number of particles without a label in all micrographs.

    It is never less than 5 % of the expected particles, since hand labels are hardly ever complete.

    Args:
        particles_per_micrograph: expected, labelled ones included.
        label_counts: labelled particles in each micrograph.
    """
    expected = particles_per_micrograph * len(label_counts)
    return max(expected - sum(label_counts), _LEAST_UNLABELED_SHARE * expected)


def positive_fraction(
    particles_per_micrograph: float,
    shapes: Sequence[Shape],
    label_counts: Sequence[int],
    training_radius: float,
    particle_radius: float,
) -> float:
    """Expected fraction π of positive regions among the unlabelled ones.

    A particle makes the π r² pixels of a disc positive. Labelled particles are taken out of the
    expected number, and their discs out of the area, because U does not hold them.

    Args:
        particles_per_micrograph: expected, labelled ones included.
        shapes: (h, w) of each working image, px.
        label_counts: labelled particles in each.
        training_radius: px of the working image.
        particle_radius: px of the working image.

    Returns:
        π in (0, 1).

    Raises:
        UsageError: the number of particles is not positive, or they would not fit.
    """
    if not particles_per_micrograph > 0:
        raise UsageError(
            f"{particles_per_micrograph:g} particles per micrograph were given: give about how "
            "many a micrograph holds.",
            setting="particles_per_micrograph",
        )
    unlabeled = expected_unlabeled(particles_per_micrograph, label_counts)
    area = sum(h * w for h, w in shapes)
    unlabeled_area = max(area - sum(label_counts) * math.pi * particle_radius**2, 0.1 * area)
    fraction = unlabeled * math.pi * training_radius**2 / unlabeled_area
    if fraction >= 0.5:
        raise UsageError(
            f"{particles_per_micrograph:g} particles per micrograph, with a training radius of "
            f"{training_radius:g} px each, do not fit: check these, the diameter (Å) and the "
            "pixel size (Å/px).",
            setting=("particles_per_micrograph", "diameter", "pixel_size", "training_radius"),
        )
    return fraction
