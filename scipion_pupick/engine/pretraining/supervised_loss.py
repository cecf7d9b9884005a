# SPDX-License-Identifier: GPL-3.0-or-later
"""The logistic loss of all scores of tiles of micrographs whose particles are known."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..networks.architectures import STRIDE, Network
from ..settings import OptimizerSettings
from ..training.batches import TILES, ScoreGrid, sample_tiles
from ..training.regions import MASKED, POSITIVE, TrainingImage, label_map, positive_map
from ..training.step import StepLoss, TrainedModel, compute_features
from .dataset import KnownImage
from .domain_randomisation import CONTRAST, augment_tiles

_PRETRAINING_TILE = 176
_POSITIVE_WEIGHT = 4.0
# in a tile: about fourteen particles of a fine network
_MOST_POSITIVES = 100.0
_CONTAMINATION_WEIGHT = 0.5
# bits of a label beside those of `regions`
_CONTAMINATED, _KNOWN = 4, 8
_OF_PARTICLES = 3


class SupervisedLoss:
    """The logistic loss of all scores of tiles of known micrographs, and that of contamination."""

    def __init__(
        self,
        sets: Sequence[Sequence[KnownImage]],
        shares: Sequence[float],
        network: Network,
        settings: OptimizerSettings,
        device: torch.device,
    ) -> None:
        """Prepare the loss.

        Args:
            sets: of images.
            shares: of the tiles that are drawn from each set.
            network: to be trained.
            settings: of the training.
            device: to compute on.
        """
        self.images: List[TrainingImage] = []
        chances: List[np.ndarray] = []
        for images, share in zip(sets, shares):
            self.images += [_training_image(image, settings.training_radius) for image in images]
            chances.append(np.full(len(images), share / len(images)))
        self.chances = np.concatenate(chances) / sum(shares)
        self.grid = ScoreGrid(_PRETRAINING_TILE, network.field, network.step)
        self.settings, self.device = settings, device

    def positive_share(self) -> float:
        """Share of positive pixels among those that are not left out."""
        of_images = [image.labels & _OF_PARTICLES for image in self.images]
        positive = sum(int((labels == POSITIVE).sum()) for labels in of_images)
        return positive / sum(int((labels != MASKED).sum()) for labels in of_images)

    def __call__(self, model: TrainedModel, random: np.random.Generator) -> StepLoss:
        """Draw tiles and evaluate the loss on them."""
        number = self.settings.tiles or TILES
        which = random.choice(len(self.images), size=number, p=self.chances)
        tiles, labels = sample_tiles(self.images, which, self.grid, CONTRAST, random)
        tiles = augment_tiles(tiles, random)
        tiles = tiles.to(self.device, memory_format=torch.channels_last)
        features = compute_features(model.network, tiles).float()
        labels = labels.to(self.device)
        of_particles = labels & _OF_PARTICLES
        positive, negative = _losses(model.network.scores(features), of_particles)
        used = max(1, int((of_particles != MASKED).sum()))
        dirty = _contamination_loss(model.network, features, labels, self.grid.step)
        parts = (positive.item() / used, negative.item() / used, dirty.item())
        total = (positive + negative) / used + _CONTAMINATION_WEIGHT * dirty
        return StepLoss(total, parts, used)


def _losses(scores: Tensor, labels: Tensor) -> Tuple[Tensor, Tensor]:
    """Sums of the logistic losses of positive scores, weighted, and of negative ones.

    Crowded tiles hold many times the positives of others, and would decide the training alone: all
    of such a tile counts less.
    """
    positive, used = labels == POSITIVE, labels != MASKED
    number = positive.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    weight = (_MOST_POSITIVES / number).clamp(max=1)
    of_positive = _POSITIVE_WEIGHT * (weight * positive * functional.softplus(-scores)).sum()
    return of_positive, (weight * (used & ~positive) * functional.softplus(scores)).sum()


def _contamination_loss(network: Network, features: Tensor, labels: Tensor, step: int) -> Tensor:
    """Mean logistic loss of contamination where it is known; 0 for a network that has none."""
    if network.contamination is None:
        return features.new_zeros(())
    per_side = STRIDE // step
    labels = labels[:, ::per_side, ::per_side]
    known = (labels & _KNOWN) > 0
    logits = network.contamination(features)[:, 0][known]
    if not len(logits):
        return features.new_zeros(())
    truth = ((labels & _CONTAMINATED) > 0)[known].to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, truth)


def _training_image(image: KnownImage, training_radius: float) -> TrainingImage:
    shape = (image.pixels.shape[0], image.pixels.shape[1])
    masked = image.masked_diameters * image.diameter_px
    labels = label_map(shape, image.xy, training_radius, masked)
    if image.hidden is not None:
        labels |= np.where(image.hidden, _CONTAMINATED | _KNOWN, _KNOWN).astype(np.uint8)
    else:
        clean = positive_map(shape, image.xy, image.diameter_px / 3)
        labels |= np.where(clean, _KNOWN, 0).astype(np.uint8)
    labels = _without_border(labels, image.border)
    return TrainingImage(image.pixels, labels, image.xy, np.empty((0, 2)))


def _without_border(labels: np.ndarray, border: int) -> np.ndarray:
    if border:
        inside = np.zeros(labels.shape, bool)
        inside[border:-border, border:-border] = True
        labels = np.where(inside, labels, MASKED).astype(np.uint8)
    return labels
