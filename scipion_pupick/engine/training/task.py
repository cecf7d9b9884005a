# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network is trained on, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np
import torch

from ..networks.architectures import Network
from ..settings import OptimizerSettings
from .prior import assumed_pi
from .regions import TrainingImage


@dataclass(frozen=True)
class TrainingTask:
    """What a network is trained on, and how.

    Attributes:
        images: to train on; together they hold at least one label. Where U is drawn from:
            `batches.sample_batch`.
        held_out: to choose the best epoch by; with fewer than 10 labels the last epoch is taken.
        particles: expected in an image, labelled or not.
        settings: how to train.
        device: to compute on.
        start: trained network to start from, instead of random weights.
        start_scores: those of `prior.start_scores` of it, if they are known already.
    """

    images: Sequence[TrainingImage]
    held_out: Sequence[TrainingImage]
    particles: float
    settings: OptimizerSettings
    device: torch.device
    start: Optional[Network] = None
    start_scores: Optional[np.ndarray] = None

    @property
    def labels(self) -> int:
        """Number of labelled particles to train on."""
        return sum(len(image.positive) for image in self.images)

    @property
    def positive_share(self) -> float:
        """Share of particles among all labelled places."""
        return self.labels / (self.labels + sum(len(image.negative) for image in self.images))

    @property
    def pi(self) -> float:
        """Fraction of positive regions among those of U.

        Raises:
            UsageError: so many particles do not fit.
        """
        return assumed_pi(self.images, self.particles, self.settings)
