# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs and picks, read and prepared for training."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from scipy.spatial import cKDTree

from ..coordinates import Coordinates, Picks
from ..errors import MicrographError, PupickError, UsageError
from ..files.prefetch import prefetch
from ..files.progress import track
from ..micrographs import Micrograph
from ..preprocessing.histogram import histogram
from ..preprocessing.mixture import Mixture, fit_mixture
from ..preprocessing.scale import WorkingScale, to_working
from ..preprocessing.working_image import (
    WorkingImage,
    normalise_working_image,
    pixel_method,
    read_working_image,
)
from .regions import TrainingImage, label_map
from .validation import LEAST_HELD_OUT

log = logging.getLogger(__name__)

USUAL_SHARE = 0.2
LEAST_USUAL = 100
SAME_PARTICLE = 0.4  # particle radii between picks by hand and the particles extracted from them


def read_data(
    micrographs: Sequence[Micrograph],
    labelled: Picks,
    excluded: Picks,
    scale: WorkingScale,
    normalisation: str,
    training_radius: float,
) -> Tuple[List[TrainingImage], Optional[Mixture], Dict[str, str]]:
    """Read micrographs with their labels.

    Args:
        micrographs: to read.
        labelled: particles by micrograph name, px of the micrographs; those that are given twice,
            by hand and as extracted particles, say, count once.
        excluded: places that are no particle, in the same form.
        scale: working scale.
        normalisation: in `settings.NORMALISATIONS`.
        training_radius: see `regions.label_map`.

    Returns:
        The images in order, without those that failed; the shared mixture of a joint
        normalisation; and the reason, by micrograph name, of each failure.

    Raises:
        UsageError: a particle is excluded, too.
        PupickError: no labelled particle is left.
    """
    working: List[WorkingImage] = []
    failures: Dict[str, str] = {}
    stream = prefetch(lambda micrograph: read_working_image(micrograph, scale), micrographs)
    for micrograph, image in track(stream, len(micrographs), "micrographs read"):
        if isinstance(image, WorkingImage):
            working.append(image)
        else:
            log.warning("%s", image)
            failures[micrograph.name] = str(image)
    normalised, mixture = _normalise(working, normalisation, failures)
    images = [
        _label(image, labelled, excluded, training_radius, scale.diameter_px / 2)
        for image in normalised
    ]
    if not any(len(image.positive) for image in images):
        reason = next(iter(failures.values()), "all picks lie outside their micrographs")
        raise PupickError(f"No labelled particle is left to train on: {reason}")
    return images, mixture, failures


def hold_out(
    images: Sequence[TrainingImage], share: Optional[float], seed: int
) -> Tuple[Tuple[TrainingImage, ...], Tuple[TrainingImage, ...]]:
    """Split labelled images at random until the held-out ones have a share of the labels.

    With a share of less than 10 labels, or a single labelled image, none is held out. Without a
    share (None), it is a fifth where that is 100 labels or more.

    Returns:
        Images to train on (unlabelled ones are all among them), and held-out images.
    """
    labels = sum(len(image.positive) for image in images)
    if share is None:
        share = USUAL_SHARE if USUAL_SHARE * labels >= LEAST_USUAL else 0.0
    wanted = share * labels
    order = [i for i, image in enumerate(images) if len(image.positive)]
    np.random.default_rng([seed, 0]).shuffle(order)
    chosen: List[int] = []
    if wanted >= LEAST_HELD_OUT:
        while (
            sum(len(images[i].positive) for i in chosen) < wanted and len(chosen) < len(order) - 1
        ):
            chosen.append(order[len(chosen)])
    training = tuple(image for i, image in enumerate(images) if i not in chosen)
    return training, tuple(images[i] for i in chosen)


def _normalise(
    working: Sequence[WorkingImage], method: str, failures: Dict[str, str]
) -> Tuple[List[WorkingImage], Optional[Mixture]]:
    mixture = _shared_mixture(working) if method == "joint" else None
    normalised = []
    for image in working:
        try:
            normalised.append(normalise_working_image(image, pixel_method(method), mixture))
        except MicrographError as error:
            log.warning("%s", error)
            failures[image.micrograph.name] = str(error)
    return normalised, mixture


def _shared_mixture(working: Sequence[WorkingImage]) -> Optional[Mixture]:
    histograms = []
    for image in working:
        # a blank micrograph is reported when it comes to be normalised
        with suppress(MicrographError):
            histograms.append(histogram(image.image))
    return fit_mixture(histograms)[0] if histograms else None


def _label(
    working: WorkingImage,
    labelled: Picks,
    excluded: Picks,
    training_radius: float,
    particle_radius: float,
) -> TrainingImage:
    name = working.micrograph.name
    given = _working_xy(labelled.get(name), working, "picks")
    positive = _distinct(given, SAME_PARTICLE * particle_radius, name)
    negative = _working_xy(excluded.get(name), working, "negatives")
    _refuse_contradictions(positive, negative, SAME_PARTICLE * particle_radius, name)
    shape = (working.image.shape[0], working.image.shape[1])
    labels = label_map(shape, positive, training_radius, particle_radius)
    return TrainingImage(working.image, labels, positive, negative)


def _distinct(xy: np.ndarray, least: float, name: str) -> np.ndarray:
    """Leave out points (n, 2) that are nearer than `least` to one before them."""
    pairs = cKDTree(xy).query_pairs(least, output_type="ndarray") if len(xy) else xy[:0]
    doubles = np.unique(pairs[:, 1]).astype(int)
    if len(doubles):
        log.warning(
            "%s: %d of %d picks are of particles that are picked already, and do not count.",
            name,
            len(doubles),
            len(xy),
        )
    return np.delete(xy, doubles, axis=0)


def _refuse_contradictions(
    positive: np.ndarray, negative: np.ndarray, least: float, name: str
) -> None:
    if not len(positive) or not len(negative):
        return
    same = int((cKDTree(positive).query(negative)[0] < least).sum())
    if same:
        raise UsageError(
            f"{name}: {same} of {len(negative)} negatives lie on picked particles: remove them "
            "from the picks or from the negatives."
        )


def _working_xy(coordinates: Optional[Coordinates], working: WorkingImage, what: str) -> np.ndarray:
    """Points (n, 2) in px of the working image; those outside the micrograph are left out."""
    if coordinates is None:
        return np.empty((0, 2))
    xy = coordinates.xy
    height, width = working.shape
    inside = ((xy > -0.5) & (xy < [width - 0.5, height - 0.5])).all(axis=1)
    if not inside.all():
        log.warning(
            "%s: %d of %d %s lie outside the image of %d x %d px and are left out.",
            working.micrograph.name,
            np.count_nonzero(~inside),
            len(xy),
            what,
            width,
            height,
        )
    return to_working(xy[inside], working.shape, working.image.shape)
