# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on images of which every pixel is labelled or left out."""

from __future__ import annotations

from typing import Callable, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .networks import STRIDE
from .regions import MASKED, POSITIVE
from .sampling import TrainingImage, sample_tiles
from .settings import Augmentation
from .training import StepLoss, TrainedModel, features_of

POSITIVE_WEIGHT = 4.0
# of the diameter: pixels this near to a centre, but not within the training radius, are left out
MASKED_DIAMETERS = 0.34


class SupervisedLoss:
    """The logistic loss of all scores of tiles; positive scores count four times."""

    def __init__(
        self,
        images: Sequence[TrainingImage],
        field: int,
        width: int,
        tiles: int,
        augmentation: Augmentation,
        vary: Callable[[Tensor, np.random.Generator], Tensor],
        device: torch.device,
    ) -> None:
        """Prepare the loss.

        Args:
            images: whose UNLABELED pixels are negative.
            field: of the network that is trained, px.
            width: of a tile, px.
            tiles: in a batch.
            augmentation: amounts of the random changes of shape.
            vary: changes the grey values of tiles (n, 1, width, width) at random.
            device: to compute on.
        """
        self.images = images
        count = (width - field) // STRIDE + 1
        self.positions = np.arange(count) * STRIDE + (field - 1) / 2
        self.width, self.tiles = width, tiles
        self.augmentation, self.vary = augmentation, vary
        self.device = device

    def positive_share(self) -> float:
        """Share of positive pixels among those that are not left out."""
        positive = sum(int((image.labels == POSITIVE).sum()) for image in self.images)
        return positive / sum(int((image.labels != MASKED).sum()) for image in self.images)

    def __call__(self, model: TrainedModel, random: np.random.Generator) -> StepLoss:
        """Draw tiles and evaluate the loss on them."""
        tiles, labels = sample_tiles(
            self.images, self.width, self.positions, self.tiles, self.augmentation, random
        )
        tiles = self.vary(tiles, random)
        tiles = tiles.to(self.device, memory_format=torch.channels_last)
        features = features_of(model.network, tiles)
        scores = model.network.classifier(features.float())[:, 0]
        positive, negative = _losses(scores, labels.to(self.device))
        used = max(int((labels != MASKED).sum()), 1)
        parts = (positive.item() / used, negative.item() / used, 0.0)
        return StepLoss((positive + negative) / used, parts, used)


def _losses(scores: Tensor, labels: Tensor) -> Tuple[Tensor, Tensor]:
    """Sums of the logistic losses of positive scores, weighted, and of negative ones."""
    positive, used = labels == POSITIVE, labels != MASKED
    of_positive = functional.softplus(-scores[positive]).sum()
    return POSITIVE_WEIGHT * of_positive, functional.softplus(scores[used & ~positive]).sum()
