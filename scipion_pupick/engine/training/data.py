# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs and their labels, read and prepared for training."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import MicrographError, PupickError
from ..files.prefetch import prefetch
from ..files.progress import track
from ..micrographs import Micrograph
from ..preprocessing.histogram import histogram
from ..preprocessing.mixture import Mixture, fit_mixture
from ..preprocessing.scale import WorkingScale
from ..preprocessing.working_image import (
    WorkingImage,
    normalise_working_image,
    pixel_method,
    read_working_image,
)
from ..settings import TrainSettings
from .labels import Labels, label_image, refuse_contradictions
from .regions import TrainingImage
from .validation import LEAST_HELD_OUT

log = logging.getLogger(__name__)

_DEFAULT_SHARE = 0.2
LEAST_BY_DEFAULT = 100


@dataclass(frozen=True)
class TrainingData:
    """Prepared micrographs.

    Attributes:
        images: to train on.
        held_out: labelled ones that only choose the best epoch.
        mixture: of a joint normalisation.
        failures: reason by name of the micrographs that could not be used.
    """

    images: Tuple[TrainingImage, ...]
    held_out: Tuple[TrainingImage, ...]
    mixture: Optional[Mixture]
    failures: Dict[str, str]

    @property
    def labels(self) -> int:
        """Labelled particles trained on."""
        return sum(len(image.positive) for image in self.images)

    @property
    def negatives(self) -> int:
        """Places trained on that are no particle."""
        return sum(len(image.negative) for image in self.images)

    @property
    def held_out_labels(self) -> int:
        """Labelled particles that only choose the best epoch."""
        return sum(len(image.positive) for image in self.held_out)


def choose_micrographs(
    micrographs: Sequence[Micrograph], labels: Labels, settings: TrainSettings
) -> List[Micrograph]:
    """Return all micrographs with labels, and others up to the most that are used."""
    labelled = labels.names
    others = [m for m in micrographs if m.name not in labelled]
    room = max(0, settings.most_micrographs - len(labelled))
    if len(others) > room:
        log.info("%d of %d unlabelled micrographs are used.", room, len(others))
        random = np.random.default_rng([settings.training.seed, 0])
        others = [others[i] for i in sorted(random.permutation(len(others))[:room])]
    used = labelled.union(m.name for m in others)
    return [m for m in micrographs if m.name in used]


def read_data(
    micrographs: Sequence[Micrograph], labels: Labels, settings: TrainSettings
) -> TrainingData:
    """Read and prepare micrographs with their labels, and hold some out.

    Args:
        micrographs: to read.
        labels: of these.
        settings: diameter and working scale, normalisation, training radius, share to hold out.

    Returns:
        The images in order, without those that failed.

    Raises:
        UsageError: most negatives lie on labelled particles.
        PupickError: no labelled particle is left.
    """
    failures: Dict[str, str] = {}
    working = _read(micrographs, settings, failures)
    normalised, mixture = _normalise(working, settings.normalisation, failures)
    images = [label_image(image, labels, settings.training) for image in normalised]
    given = sum(len(labels.negative.get(image.micrograph.name, ())) for image in normalised)
    refuse_contradictions(images, given)
    if not any(len(image.positive) for image in images):
        reason = next(iter(failures.values()), "all picks lie outside their micrographs")
        raise PupickError(f"No labelled particle is left to train on: {reason}")
    training, held_out = hold_out(images, settings.held_out, settings.training.seed)
    return TrainingData(training, held_out, mixture, failures)


def _read(
    micrographs: Sequence[Micrograph], settings: TrainSettings, failures: Dict[str, str]
) -> List[WorkingImage]:
    """Read micrographs at the working scale, and note the reason for each that fails."""
    scale = WorkingScale(settings.diameter, settings.training.diameter_px)
    working: List[WorkingImage] = []
    stream = prefetch(lambda micrograph: read_working_image(micrograph, scale), micrographs)
    for micrograph, image in track(stream, len(micrographs), "micrographs read"):
        if isinstance(image, WorkingImage):
            working.append(image)
        else:
            log.warning("%s", image)
            failures[micrograph.name] = str(image)
    return working


def hold_out(
    images: Sequence[TrainingImage], share: Optional[float], seed: int
) -> Tuple[Tuple[TrainingImage, ...], Tuple[TrainingImage, ...]]:
    """Split labelled images at random until the held-out ones have a share of the labels.

    With less than 10 labels to hold out, or a single labelled image, none is held out. Without a
    share (None), it is a fifth where that is 100 labels or more. Images with so many labels that
    more than the share and more than half of all would be held out are trained on.

    Returns:
        Images to train on (unlabelled ones are all among them), and held-out images.
    """
    labels = sum(len(image.positive) for image in images)
    if share is None:
        share = _DEFAULT_SHARE if _DEFAULT_SHARE * labels >= LEAST_BY_DEFAULT else 0.0
    wanted = share * labels
    order = [i for i, image in enumerate(images) if len(image.positive)]
    np.random.default_rng([seed, 0]).shuffle(order)
    if wanted < LEAST_HELD_OUT:
        return tuple(images), ()
    held_out: List[int] = []
    taken = 0
    for i in order:
        more = taken + len(images[i].positive)
        if taken < wanted and more <= max(wanted, labels / 2):
            held_out.append(i)
            taken = more
    if taken < LEAST_HELD_OUT:
        return tuple(images), ()
    training = tuple(image for i, image in enumerate(images) if i not in held_out)
    return training, tuple(images[i] for i in held_out)


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
