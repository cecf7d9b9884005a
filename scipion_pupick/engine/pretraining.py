# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a general network on simulated micrographs, whose particles are all known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Sequence, Tuple

import numpy as np
import torch
from scipy.optimize import brentq, minimize
from scipy.special import expit
from torch import Tensor
from torch.nn import functional

from .calibration import Calibration
from .evaluation import assign, average_precision
from .networks import STRIDE, Network
from .regions import MASKED, POSITIVE, label_map
from .sampling import TrainingImage, sample_tiles
from .scoring import Scorer, make_scorer
from .settings import TOLERANCE, TrainingSettings
from .simulated_images import SimulatedImage
from .training import (
    Progress,
    StepLoss,
    TrainedModel,
    Trainer,
    features_of,
    fresh_network,
    pick_image,
)
from .variation import CONTRAST, vary_tiles

TILE = 176
POSITIVE_WEIGHT = 4.0
MASKED_DIAMETERS = 0.34
FIRST_ODDS = 0.05


def pretrain(
    images: Sequence[SimulatedImage],
    held_out: Sequence[SimulatedImage],
    settings: TrainingSettings,
    device: torch.device,
    progress: Optional[Progress] = None,
    after_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train a network to tell the centres of particles from everything else.

    Every score of a tile is trained, by its logistic loss. Pixels within the training radius of a
    centre are positive, and count four times; those further out but still on a particle are left
    out; all others are negative. Arguments, result and errors are those of `training.fit`, but
    for the images.
    """
    network = fresh_network(settings, FIRST_ODDS)
    loss = _SupervisedLoss(images, network.field, settings, device)

    def judge(average: Network) -> float:
        scorer = make_scorer(average, device)
        return mean_average_precision([find_in(scorer, image) for image in held_out])

    trainer = Trainer(network, loss, judge, loss.positive_share(), settings, device)
    return trainer.run(progress, after_epoch)


@dataclass(frozen=True)
class FoundPeaks:
    """Peaks of an image whose particles are known, without those near the edges.

    Attributes:
        score: (n,) of the peaks.
        hits: (n,) bool, which of them are particles.
        particles: in the image, found or not.
    """

    score: np.ndarray
    hits: np.ndarray
    particles: int


def find_in(scorer: Scorer, image: SimulatedImage) -> FoundPeaks:
    """Find the peaks of an image and tell which are particles."""
    radius = image.diameter_px / 2
    peaks = pick_image(scorer, image.pixels.astype(np.float32), image.diameter_px)
    last = np.array(image.pixels.shape[::-1]) - 1
    inner, known = (
        np.asarray(((xy >= radius) & (xy <= last - radius)).all(axis=1))
        for xy in (peaks.xy, image.xy)
    )
    score = peaks.score[inner]
    matched = assign(peaks.xy[inner], image.xy[known], 2 * TOLERANCE * radius, score)
    return FoundPeaks(score, matched >= 0, int(known.sum()))


def mean_average_precision(found: Sequence[FoundPeaks]) -> float:
    """Mean, over images that hold particles, of the average precision of their peaks."""
    return float(
        np.mean([average_precision(f.hits, f.score, f.particles) for f in found if f.particles])
    )


def calibrate_on(found: Sequence[FoundPeaks]) -> Calibration:
    """Fit log-odds to peaks of which it is known whether they are particles (logistic regression).

    The standard error is the spread over images of the constant that would make the expected
    number of particles among an image's peaks right: images differ more than peaks do.
    """
    scores = np.concatenate([each.score for each in found])
    hits = np.concatenate([each.hits for each in found])

    def loss(line: np.ndarray) -> float:
        odds = line[0] * scores + line[1]
        return float(np.mean(np.logaddexp(0, odds) - hits * odds))

    slope, offset = minimize(loss, [1.0, 0.0], method="Nelder-Mead").x
    shifts = [_shift(slope * each.score + offset, int(each.hits.sum())) for each in found]
    return Calibration(float(slope), float(offset), float(np.std([s for s in shifts if s])))


def _shift(odds: np.ndarray, hits: int) -> Optional[float]:
    """Log-odds to add so that so many hits are expected; None where all or no peaks are hits."""
    if not 0 < hits < len(odds):
        return None
    return float(brentq(lambda shift: expit(odds + shift).sum() - hits, -30, 30))


class _SupervisedLoss:
    """The logistic loss of all scores of tiles of simulated micrographs."""

    def __init__(
        self,
        images: Sequence[SimulatedImage],
        field: int,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        self.images = [_training_image(image, settings.training_radius) for image in images]
        count = (TILE - field) // STRIDE + 1
        self.positions = np.arange(count) * STRIDE + (field - 1) / 2
        self.settings, self.device = settings, device

    def positive_share(self) -> float:
        """Share of positive pixels among those that are not left out."""
        positive = sum(int((image.labels == POSITIVE).sum()) for image in self.images)
        return positive / sum(int((image.labels != MASKED).sum()) for image in self.images)

    def __call__(self, model: TrainedModel, random: np.random.Generator) -> StepLoss:
        """Draw tiles and evaluate the loss on them."""
        which = random.integers(len(self.images), size=self.settings.tiles)
        tiles, labels = sample_tiles(self.images, which, TILE, self.positions, CONTRAST, random)
        tiles = vary_tiles(tiles, random)
        tiles = tiles.to(self.device, memory_format=torch.channels_last)
        features = features_of(model.network, tiles)
        scores = model.network.classifier(features.float())[:, 0]
        positive, negative = _losses(scores, labels.to(self.device))
        used = int((labels != MASKED).sum())
        parts = (positive.item() / used, negative.item() / used, 0.0)
        return StepLoss((positive + negative) / used, parts, used)


def _losses(scores: Tensor, labels: Tensor) -> Tuple[Tensor, Tensor]:
    """Sums of the logistic losses of positive scores, weighted, and of negative ones."""
    positive, used = labels == POSITIVE, labels != MASKED
    of_positive = functional.softplus(-scores[positive]).sum()
    return POSITIVE_WEIGHT * of_positive, functional.softplus(scores[used & ~positive]).sum()


def _training_image(image: SimulatedImage, training_radius: float) -> TrainingImage:
    shape = (image.pixels.shape[0], image.pixels.shape[1])
    masked = MASKED_DIAMETERS * image.diameter_px
    labels = label_map(shape, image.xy, training_radius, masked)
    return TrainingImage(image.pixels, labels, image.xy, np.empty((0, 2)))
