# SPDX-License-Identifier: GPL-3.0-or-later
"""About how many particles a micrograph holds: what users say, a first guess, an estimate."""

from __future__ import annotations

import logging
import math
from typing import Sequence

import numpy as np
import torch
from scipy.special import expit

from ..adaptation.fit import MICROGRAPHS_PER_NEGATIVE
from ..adaptation.scale import evenly_spaced
from ..calibration.general_scores import calibrate_general
from ..evaluation.partial_labels import label_scores
from ..networks.architectures import Network
from ..networks.scoring import Scorer, make_picking_judge
from ..picking.decoys import find_peaks_and_decoys
from ..picking.detector import detect_peaks
from ..settings import MICROGRAPHS_FITTED, TOLERANCE_DIAMETERS, OptimizerSettings
from .prior import assumed_pi
from .regions import TrainingImage

log = logging.getLogger(__name__)

_CROWDING = 0.1  # share of the area that particles cover, until more is known
_SURE_SHARE = 0.8
# in the mean of the two estimates
_WEIGHT_OF_EXPECTED = 2 / 3


def check_particle_count(
    images: Sequence[TrainingImage], particles: float, settings: OptimizerSettings
) -> None:
    """Refuse more particles than fit in an image, and warn of fewer than are labelled.

    Args:
        images: to train on.
        particles: that an image is said to hold.
        settings: radii of particles, px of the working image.

    Raises:
        UsageError: so many do not fit.
    """
    assumed_pi(images, particles, settings)
    labels = sum(len(image.positive) for image in images)
    if labels > particles * len(images):
        log.warning(
            "%d particles are labelled in %d micrographs, more than %g in each: is that number "
            "right?",
            labels,
            len(images),
            particles,
        )


def guess_particles(images: Sequence[TrainingImage], diameter_px: float) -> float:
    """Guess the particles in an image from its area, or from the most labels that one holds.

    Args:
        images: to train on.
        diameter_px: of the particle, px of the working image.
    """
    areas = [image.image.size for image in images]
    disc = math.pi * (diameter_px / 2) ** 2
    most_labels = max(len(image.positive) for image in images)
    return max(most_labels, _CROWDING * float(np.mean(areas)) / disc)


def expected_particles(
    network: Network, images: Sequence[TrainingImage], diameter_px: float, device: torch.device
) -> float:
    """Particles that the general model expects in an image, as where it picks without labels.

    Labels are not needed: people label what is clear, and what scores as high is often junk
    (docs/decisions/036-numbers-from-the-general-model.md).

    Args:
        network: of the general model, for the contrast of the images.
        images: to count in; twelve are scored.
        diameter_px: of the particle, px of the working image.
        device: to score on.
    """
    judge = make_picking_judge(network, device)
    scored = [image.image for image in evenly_spaced(images, MICROGRAPHS_FITTED)]
    found = find_peaks_and_decoys(judge, scored, diameter_px, MICROGRAPHS_PER_NEGATIVE)
    line = calibrate_general(found, None, network.step)
    return float(expit(line.log_odds(found.scores)).sum()) / found.share


def count_particles(
    scorer: Scorer,
    labelled: Sequence[TrainingImage],
    images: Sequence[TrainingImage],
    diameter_px: float,
) -> float:
    """Estimate the particles in an image from the scores of the labelled ones.

    The peaks are counted that score as high as 80 % of the labelled particles do (or as all that
    have a peak, if these are fewer), and their number is divided by that share. Counting peaks,
    not pixels, keeps the many pixels of the background from swamping the estimate where classes
    overlap.

    Args:
        scorer: of a network trained for a while.
        labelled: images with labels.
        images: to count in.
        diameter_px: of the particle, px of the working image.
    """
    found = [detect_peaks(scorer, image.image, diameter_px) for image in labelled]
    of_labels = [
        label_scores(peaks.xy, peaks.score, image.positive, TOLERANCE_DIAMETERS * diameter_px)
        for peaks, image in zip(found, labelled)
    ]
    scores = np.sort(np.concatenate(of_labels))[::-1]
    with_peak = int(np.count_nonzero(np.isfinite(scores)))
    sure = min(with_peak, math.ceil(_SURE_SHARE * len(scores)))
    if not sure:
        return 0.0
    if images is not labelled:
        found = [detect_peaks(scorer, image.image, diameter_px) for image in images]
    peaks = np.concatenate([peaks.score for peaks in found])
    return np.count_nonzero(peaks >= scores[sure - 1]) / len(images) * len(scores) / sure


def mean_count(expected: float, counted: float) -> float:
    """Mean of the particles that the general model expects and those that score as labels do.

    Args:
        expected: see `expected_particles`.
        counted: see `count_particles`.
    """
    return expected**_WEIGHT_OF_EXPECTED * counted ** (1 - _WEIGHT_OF_EXPECTED)
