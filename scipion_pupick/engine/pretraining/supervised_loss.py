# SPDX-License-Identifier: GPL-3.0-or-later
"""The logistic loss of all scores of tiles of simulated micrographs."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..settings import OptimizerSettings
from ..training.batches import ScoreGrid, sample_tiles
from ..training.regions import MASKED, POSITIVE, TrainingImage, label_map
from ..training.step import StepLoss, TrainedModel, compute_features
from .dataset import SimulatedImage
from .domain_randomisation import CONTRAST, augment_tiles

_PRETRAINING_TILE = 176
_POSITIVE_WEIGHT = 4.0
_MASKED_DIAMETERS = 0.34


class SupervisedLoss:
    """The logistic loss of all scores of tiles of simulated micrographs."""

    def __init__(
        self,
        images: Sequence[SimulatedImage],
        field: int,
        settings: OptimizerSettings,
        device: torch.device,
    ) -> None:
        self.images = [_training_image(image, settings.training_radius) for image in images]
        self.grid = ScoreGrid(_PRETRAINING_TILE, field)
        self.settings, self.device = settings, device

    def positive_share(self) -> float:
        """Share of positive pixels among those that are not left out."""
        positive = sum(int((image.labels == POSITIVE).sum()) for image in self.images)
        return positive / sum(int((image.labels != MASKED).sum()) for image in self.images)

    def __call__(self, model: TrainedModel, random: np.random.Generator) -> StepLoss:
        """Draw tiles and evaluate the loss on them."""
        which = random.integers(len(self.images), size=self.settings.tiles)
        tiles, labels = sample_tiles(self.images, which, self.grid, CONTRAST, random)
        tiles = augment_tiles(tiles, random)
        tiles = tiles.to(self.device, memory_format=torch.channels_last)
        features = compute_features(model.network, tiles)
        scores = model.network.classifier(features.float())[:, 0]
        positive, negative = _losses(scores, labels.to(self.device))
        used = int((labels != MASKED).sum())
        parts = (positive.item() / used, negative.item() / used, 0.0)
        return StepLoss((positive + negative) / used, parts, used)


def _losses(scores: Tensor, labels: Tensor) -> Tuple[Tensor, Tensor]:
    """Sums of the logistic losses of positive scores, weighted, and of negative ones."""
    positive, used = labels == POSITIVE, labels != MASKED
    of_positive = functional.softplus(-scores[positive]).sum()
    return _POSITIVE_WEIGHT * of_positive, functional.softplus(scores[used & ~positive]).sum()


def _training_image(image: SimulatedImage, training_radius: float) -> TrainingImage:
    shape = (image.pixels.shape[0], image.pixels.shape[1])
    masked = _MASKED_DIAMETERS * image.diameter_px
    labels = label_map(shape, image.xy, training_radius, masked)
    return TrainingImage(image.pixels, labels, image.xy, np.empty((0, 2)))
