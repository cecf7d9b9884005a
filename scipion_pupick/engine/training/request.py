# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training is asked for, before any micrograph is read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, List, Optional, Sequence

import torch

from ..coordinates import Picks
from ..coordinates.transform import PickTransform
from ..files.atomic import PathLike, file_status
from ..micrographs import Micrograph
from ..preprocessing.scale import ANGSTROM, LengthUnit
from ..preprocessing.working_image import require_scale
from ..settings import NEGATIVES_WEIGHT_OF_VERSION_01, TrainSettings, in_words_of_version_01
from .data import TrainingData, choose_micrographs, read_data
from .label_check import check_labels
from .labels import Labels, assign_labels
from .particle_count import check_particle_count
from .start import Start, adapt_start, choose_start


@dataclass(frozen=True)
class TrainRequest:
    """What a training is asked for.

    Attributes:
        micrographs: that are used.
        labels: of these.
        start: what to start from, and how to train.
    """

    micrographs: Sequence[Micrograph]
    labels: Labels
    start: Start

    @property
    def labelled(self) -> List[Micrograph]:
        """Micrographs with particles."""
        return [m for m in self.micrographs if m.name in self.labels.positive]

    def fingerprint(self) -> str:
        """Digest of all that the trained weights depend on."""
        model = self.start.model
        settings = in_words_of_version_01(self.start.settings)
        # where the labels are is told by the labels themselves
        del settings["labels"]
        parts: List[Any] = [settings, None if model is None else model.digest]
        parts.append([[m.name, m.pixel_size, *file_status(m.path)] for m in self.micrographs])
        for picks in (self.labels.positive, self.labels.negative):
            parts.append([[name, c.x.tolist(), c.y.tolist()] for name, c in picks.items()])
        weight = self.start.settings.training.negatives_weight
        if self.labels.negative and weight != NEGATIVES_WEIGHT_OF_VERSION_01:
            parts.append(weight)
        faintest = self.start.settings.training.augmentation.faintest
        if faintest != 1 and (self.labels.negative or faintest is not None):
            parts.append({"faintest": faintest})
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def of_version_01(self) -> TrainRequest:
        """Return what version 0.1 was asked for in the same words."""
        return replace(self, start=self.start.of_version_01())

    def adapted(self, device: torch.device) -> TrainRequest:
        """Return the request with the general model fitted to the micrographs, if that starts."""
        return replace(self, start=adapt_start(self.start, self.labelled, device))

    def checked(self, device: torch.device) -> TrainRequest:
        """Return the request if its labels can be right, as far as the general model knows.

        Raises:
            UsageError: they cannot, see `label_check.check_labels`.
        """
        check_labels(self.labels.positive, self.labelled, self.start, device)
        return self

    def read(self) -> TrainingData:
        """Read the data, and check the number of particles that is said to be in them.

        Raises:
            UsageError: that many do not fit, or most negatives lie on labelled particles.
            PupickError: no labelled particle is left.
        """
        settings = self.start.settings
        data = read_data(self.micrographs, self.labels, settings)
        particles = settings.particles_per_micrograph
        if particles is not None:
            check_particle_count(data.images, particles, settings.training)
        return data


def make_request(
    micrographs: Sequence[Micrograph],
    picks: Picks,
    negatives: Optional[Picks],
    start: Optional[PathLike],
    settings: TrainSettings,
    unit: LengthUnit = ANGSTROM,
) -> TrainRequest:
    """Check what was given; arguments as of `jobs.train.train`.

    Raises:
        UsageError: the picks fit no micrograph, there is no such model, or no micrograph can be
            used at the diameter.
    """
    transform = PickTransform.of(settings.labels)
    labels = assign_labels(picks, negatives, micrographs).transformed(transform, micrographs)
    first = choose_start(start, settings, unit)
    used = choose_micrographs(micrographs, labels, first.settings)
    require_scale(used, first.scale)
    return TrainRequest(used, labels, first)
