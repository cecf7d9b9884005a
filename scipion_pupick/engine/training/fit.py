# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a network on labelled working images, epoch by epoch, so that it can be continued."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

import torch

from ..networks.architectures import Network
from ..settings import OptimizerSettings
from .batches import Geometry
from .loop import STEPS, Progress, Trainer
from .objectives import (
    FEW_LABELS,
    autoencoder_weight,
    distillation_weight,
)
from .prior import assumed_pi, fresh_network, with_prior
from .pu_loss import PuLoss, Teacher
from .regions import TrainingImage
from .validation import validate

STEPS_OF_FEW = 25


def fit(
    images: Sequence[TrainingImage],
    held_out: Sequence[TrainingImage],
    particles: float,
    settings: OptimizerSettings,
    device: torch.device,
    start: Optional[Network] = None,
    progress: Optional[Progress] = None,
    after_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train and choose the epoch of the second half with the best held-out score.

    Earlier epochs do not count: at a high learning rate scores jump, and the luckiest jump is not
    the best network.

    Every random choice follows from the seed and the epoch's number, so training that continues
    from any epoch's progress ends with the same weights as training that was never stopped.

    Args:
        images: to train on; together they hold at least one label. U is drawn from those with
            labels (see `sampling.sample_batch`).
        held_out: to choose the best epoch by; with fewer than 10 labels the last epoch is taken.
        particles: expected in an image, labelled or not.
        settings: how to train.
        device: to compute on.
        start: trained network to start from, instead of random weights.
        progress: of the same training, to continue from.
        after_epoch: called with the progress after each epoch.

    Returns:
        The progress after the last epoch.

    Raises:
        PupickError: the objective stopped being finite.
    """
    pi = assumed_pi(images, particles, settings)
    if start is None:
        network, teacher = fresh_network(settings, pi), None
    else:
        network = with_prior(start, images, pi, device)
        teacher = Teacher(network, _hold(images, settings), device)
    gamma = _gamma(images, settings, start)
    loss = PuLoss(images, Geometry(network.field), pi, gamma, teacher, settings, device)

    def validate_average(average: Network) -> float:
        return validate(average, held_out, particles, settings, device)

    trainer = Trainer(network, loss, validate_average, pi, settings, device)
    return trainer.run(progress, after_epoch)


def usual_steps(labels: int, trained_before: bool) -> int:
    """Batches an epoch: half as many where few labels adjust a trained network.

    With 10 and 100 labels, twice as many found no more particles (docs/choices.md).
    """
    return STEPS_OF_FEW if trained_before and labels <= FEW_LABELS else STEPS


def _gamma(
    images: Sequence[TrainingImage], settings: OptimizerSettings, start: Optional[Network]
) -> float:
    """Weight of the autoencoder; without a wish, none where features are there to start from."""
    if settings.autoencoder is not None:
        return settings.autoencoder
    if start is not None:
        return 0.0
    return autoencoder_weight(sum(len(image.positive) for image in images))


def _hold(images: Sequence[TrainingImage], settings: OptimizerSettings) -> float:
    """Weight of the distillation."""
    if settings.distillation is not None:
        return settings.distillation
    return distillation_weight(sum(len(image.positive) for image in images))
