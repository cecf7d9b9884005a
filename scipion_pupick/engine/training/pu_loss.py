# SPDX-License-Identifier: GPL-3.0-or-later
"""The objective of positive and unlabelled regions on one batch."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from ..networks.architectures import RECONSTRUCTED, Decoder, Network
from ..networks.scoring import fuse, to_channels_last
from .batches import make_geometry, sample_batch
from .objectives import (
    OBJECTIVE_FUNCTIONS,
    autoencoder_weight,
    distillation,
    distillation_weight,
    reconstruction_error,
)
from .step import StepLoss, TrainedModel, compute_features
from .task import TrainingTask

# labels say nothing of contamination, so what the start knows of it is kept, however many there are
_HELD_CONTAMINATION = 0.5
# of the unlabelled regions of a batch: of ten negatives one may be wrong without harm
_DOUBTED_SHARE = 0.1


class Teacher:
    """A trained network whose answers hold the one that is trained from it.

    Attributes:
        weight: of the distillation in the objective.
    """

    def __init__(self, network: Network, weight: float, device: torch.device) -> None:
        self.network, self.weight = fuse(network).to(device), weight
        to_channels_last(self.network)

    def answers(self, tiles: Tensor) -> Tuple[Tensor, Optional[Tensor]]:
        """Scores (b, s, s) of tiles (b, 1, h, w), without gradient, and those of contamination."""
        with torch.no_grad():
            features = compute_features(self.network, tiles).float()
            knows = self.network.contamination
            return self.network.scores(features), None if knows is None else knows(features)


def make_teacher(network: Network, task: TrainingTask) -> Teacher:
    """Make a teacher of the network that a training starts from, with the weight of its answers."""
    weight = task.settings.distillation
    return Teacher(
        network, distillation_weight(task.labels) if weight is None else weight, task.device
    )


class PuLoss:
    """An objective of positive and unlabelled regions, with autoencoder and distillation."""

    def __init__(
        self, task: TrainingTask, field: int, step: int, teacher: Optional[Teacher]
    ) -> None:
        """Prepare the objective.

        Args:
            task: what to train on, and how.
            field: width of the region that a score depends on, px of the working image.
            step: from one score to the next, px of the working image.
            teacher: that holds the network; None for one that starts from random weights.
        """
        self.images, self.settings, self.device = task.images, task.settings, task.device
        self.pi, self.gamma = task.pi, _gamma(task)
        self.positive_share = task.positive_share if _pools(task) else None
        self.geometry, self.teacher = make_geometry(field, step, task.settings), teacher

    def __call__(self, model: TrainedModel, random: np.random.Generator) -> StepLoss:
        """Draw a batch and evaluate the objective on it."""
        settings = self.settings
        batch = sample_batch(self.images, self.geometry, settings, random)
        tiles = batch.tiles.to(self.device, memory_format=torch.channels_last)
        features = compute_features(model.network, tiles)
        scores = self._used(model.network.scores(features.float()))
        cells = self.geometry.cells
        first, second = batch.positive_tiles, batch.positive_tiles + batch.negative_tiles
        labelled = scores[:second, cells, cells]
        unlabeled = scores[second:][batch.unlabeled.to(self.device)]
        drawn = random.permutation(len(unlabeled))[: settings.unlabeled_scores]
        of_unlabeled = unlabeled[torch.from_numpy(drawn).to(self.device)]
        negative = labelled[first:].flatten() if second > first else None
        if negative is not None and settings.negatives_weight == "doubted":
            of_unlabeled, negative = _mixed(of_unlabeled, negative, random), None
        value = OBJECTIVE_FUNCTIONS[settings.objective](
            labelled[:first].flatten(),
            of_unlabeled,
            self.pi,
            settings.slack,
            negative,
            self.positive_share,
        )
        error = self._reconstruction(model.decoder, tiles, features)
        held = unlabeled.new_zeros(())
        contamination = model.network.contamination
        if self.teacher is not None and (self.teacher.weight > 0 or contamination is not None):
            taught, dirty = self.teacher.answers(tiles[second:])
            taught = self._used(taught)[batch.unlabeled.to(self.device)]
            held = self.teacher.weight * distillation(unlabeled, taught)
            if dirty is not None and contamination is not None:
                seen = contamination(features[second:].float())
                held = held + _HELD_CONTAMINATION * distillation(seen.flatten(), dirty.flatten())
        penalty = value.penalty.item() + held.item()
        parts = (value.classification.item(), penalty, error.item())
        total = value.total + held + self.gamma * error
        return StepLoss(total, parts, labelled.numel() + len(drawn))

    def _used(self, scores: Tensor) -> Tensor:
        """Scores of tiles; of single regions only the first, where a network gives them several."""
        return scores[:, :1, :1] if self.geometry.single else scores

    def _reconstruction(self, decoder: Decoder, tiles: Tensor, features: Tensor) -> Tensor:
        """Autoencoder error per pixel, over the patches of every tile."""
        if self.gamma == 0:
            return tiles.new_zeros(())
        geometry = self.geometry
        latent = features[:, :, geometry.feature_cells, geometry.feature_cells].float()
        latent = latent.permute(0, 2, 3, 1).reshape(-1, latent.shape[1], 1, 1)
        first = (geometry.field - RECONSTRUCTED) // 2
        patches = tiles[:, 0].unfold(1, geometry.patch, geometry.patch)
        patches = patches.unfold(2, geometry.patch, geometry.patch)
        shown = slice(first, first + RECONSTRUCTED)
        targets = patches[..., shown, shown].reshape(-1, 1, RECONSTRUCTED, RECONSTRUCTED)
        return reconstruction_error(targets, decoder(latent)) / RECONSTRUCTED**2


def _mixed(unlabeled: Tensor, negative: Tensor, random: np.random.Generator) -> Tensor:
    """Put labelled negatives (k,) in the place of some of the unlabelled scores (n,)."""
    number = round(_DOUBTED_SHARE * len(unlabeled))
    drawn = torch.from_numpy(random.integers(len(negative), size=number)).to(negative.device)
    return torch.cat([unlabeled[number:], negative[drawn]])


def _pools(task: TrainingTask) -> bool:
    """Whether labelled positives and negatives have one mean."""
    return task.settings.negatives_weight == "pooled"


def _gamma(task: TrainingTask) -> float:
    """Weight of the autoencoder's error per pixel.

    The paper sums over pixels, so that its weight means 961 times as much. Without a wish there is
    an autoencoder only where no features are there to start from.
    """
    settings = task.settings
    if settings.autoencoder is not None:
        return settings.autoencoder * RECONSTRUCTED**2
    if settings.autoencoder_per_pixel is not None:
        return settings.autoencoder_per_pixel
    if task.start is not None:
        return 0.0
    weight = autoencoder_weight(task.labels)
    return weight * RECONSTRUCTED**2 if settings.reconstruction == "sum" else weight
