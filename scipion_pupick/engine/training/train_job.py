# SPDX-License-Identifier: GPL-3.0-or-later
"""One training, from prepared data to a model."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Callable, Optional

import numpy as np
import torch

from ..device import describe_device
from ..networks.model import Model
from ..networks.scoring import make_picking_scorer
from ..settings import OptimizerSettings
from .checkpoint import Checkpoint
from .data import TrainingData
from .fit import first_epochs, fit, usual_faintest, usual_steps, usual_tiles
from .particle_count import count_particles, guess_particles
from .prior import start_scores
from .progress import Progress, best_network, log_epoch
from .start import Start
from .task import TrainingTask
from .trained_model import make_trained_model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainJob:
    """One training, from prepared data to a model.

    Attributes:
        start: what to start from, and how to train.
        data: to train on.
        device: to compute on.
        checkpoint: of the training.
        estimate: checkpoint of the short training that the number of particles is estimated with.
        after_epoch: called with the progress after each epoch of the training.
    """

    start: Start
    data: TrainingData
    device: torch.device
    checkpoint: Checkpoint
    estimate: Checkpoint
    after_epoch: Callable[[Progress], None]

    def run(self) -> Model:
        """Train, or go on with it, and return the model.

        Raises:
            PupickError: the objective stopped being finite, or the network finds no peak.
        """
        particles = self.start.settings.particles_per_micrograph or self._estimate_particles()
        log.info(
            "Training on %d labels%s in %d micrographs (and %d labels held out), with about %.0f "
            "particles a micrograph, on %s.",
            self.data.labels,
            f" and {self.data.negatives} negatives" if self.data.negatives else "",
            sum(len(image.positive) > 0 for image in self.data.images),
            self.data.held_out_labels,
            particles,
            describe_device(self.device),
        )
        task = self._task(particles, self._settings())
        progress = _fit(task, self.checkpoint, self.after_epoch)
        return make_trained_model(progress, task, self.start, self.data)

    def _estimate_particles(self) -> float:
        """Train for a few epochs on a guess, and count the peaks that score as labels do."""
        settings, images = self._settings(), self.data.images
        guess = guess_particles(images, settings.diameter_px)
        log.info("Estimating how many particles a micrograph holds, starting from %.0f.", guess)
        epochs = first_epochs(self.data.labels, self.start.model is not None)
        task = self._task(guess, replace(settings, epochs=epochs))
        progress = _fit(task, self.estimate, log_epoch)
        scorer = make_picking_scorer(best_network(progress, task.settings), self.device)
        labelled = self.data.held_out or images
        number = count_particles(scorer, labelled, images, settings.diameter_px)
        return max(number, self.data.labels / len(images), 1.0)

    def _settings(self) -> OptimizerSettings:
        """Return how to train, with as many batches and tiles, and as faint patches, as suit."""
        settings, trained_before = self.start.settings.training, self.start.model is not None
        tiles = usual_tiles(self.data.labels, trained_before)
        faintest = settings.augmentation.faintest
        if faintest is None:
            faintest = usual_faintest(self.data.labels, self.data.negatives, trained_before)
        return replace(
            settings,
            steps=settings.steps or usual_steps(self.data.labels, trained_before),
            mosaics=settings.mosaics or tiles,
            tiles=settings.tiles or tiles,
            augmentation=replace(settings.augmentation, faintest=faintest),
        )

    @cached_property
    def _start_scores(self) -> Optional[np.ndarray]:
        """What the start says of the labelled images; None of random weights."""
        start = self.start.network
        return None if start is None else start_scores(start, self.data.images, self.device)

    def _task(self, particles: float, settings: OptimizerSettings) -> TrainingTask:
        images, held_out = self.data.images, self.data.held_out
        return TrainingTask(
            *(images, held_out, particles, settings, self.device, self.start.network),
            start_scores=self._start_scores,
        )


def _fit(
    task: TrainingTask, checkpoint: Checkpoint, after_epoch: Callable[[Progress], None]
) -> Progress:
    """Train from where the checkpoint is, writing it after each epoch."""

    def save(progress: Progress) -> None:
        checkpoint.save(progress)
        after_epoch(progress)

    return fit(task, checkpoint.load(), save)
