# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a network on its own surest peaks, which helps where labels are few.

The peaks that are particles almost for sure become labels, those that may or may not be are left
out, and all the rest is negative (pseudo-labels: Lee, ICML Workshop 2013; Xie et al., CVPR 2020).
"""

from __future__ import annotations

import copy
import logging
import math
from typing import Callable, List, Optional, Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.special import expit
from torch import Tensor

from .calibration import Calibration
from .networks import Network
from .regions import MASKED, UNLABELED, label_map
from .sampling import TILE, TrainingImage, vary_contrast
from .scoring import Scorer, make_scorer
from .settings import TrainingSettings
from .supervised import MASKED_DIAMETERS, SupervisedLoss
from .training import TOLERANCE, Progress, Trainer, inner_peaks, network_of, pick_image

log = logging.getLogger(__name__)

MOST_LABELS = 50
ROUNDS = 2
SURE, DOUBTFUL = 0.8, 0.2


def self_train(
    network: Network,
    images: Sequence[TrainingImage],
    calibrate: Callable[[np.ndarray], Calibration],
    settings: TrainingSettings,
    device: torch.device,
    progress: Optional[Progress] = None,
    after_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Network:
    """Train a network on its sure peaks.

    Args:
        network: to start from, and that finds the peaks; it stays as it is.
        images: to train on; their own labels stay labels.
        calibrate: fits log-odds to the scores (n,) of all peaks.
        settings: how to train.
        device: to compute on.
        progress: of the same training, to continue from.
        after_epoch: called with the progress after each epoch.

    Returns:
        Another network, in evaluation mode.

    Raises:
        PupickError: the loss stopped being finite.
    """
    labelled = with_sure_peaks(images, make_scorer(network, device), calibrate, settings)
    change = settings.augmentation

    def vary(tiles: Tensor, random: np.random.Generator) -> Tensor:
        return vary_contrast(tiles, change, random)

    loss = SupervisedLoss(labelled, network.field, TILE, settings.tiles, change, vary, device)
    share = loss.positive_share()
    trainer = Trainer(
        copy.deepcopy(network), loss, lambda average: math.nan, share, settings, device
    )
    return network_of(trainer.run(progress, after_epoch), settings)


def with_sure_peaks(
    images: Sequence[TrainingImage],
    scorer: Scorer,
    calibrate: Callable[[np.ndarray], Calibration],
    settings: TrainingSettings,
) -> List[TrainingImage]:
    """Add sure peaks to the labels of images, and leave doubtful ones out.

    Peaks near a label, or near a place that is labelled as no particle, add nothing.

    Args:
        images: with few labels.
        scorer: of the network that finds the peaks.
        calibrate: fits log-odds to the scores (n,) of all peaks that are not at the edges.
        settings: with the diameter and the training radius.
    """
    width = settings.diameter_px
    scores = [inner_peaks(scorer, image.image, width).score for image in images]
    calibration = calibrate(np.concatenate(scores))
    masked = MASKED_DIAMETERS * width
    completed, added = [], 0
    for image in images:
        peaks = pick_image(scorer, image.image, width)
        chance = expit(calibration.log_odds(peaks.score))
        known = np.concatenate([image.positive, image.negative])
        new = _far_from(known, peaks.xy, TOLERANCE * width)
        sure = peaks.xy[new & (chance >= SURE)]
        doubtful = peaks.xy[new & (chance >= DOUBTFUL) & (chance < SURE)]
        positive = np.concatenate([image.positive, sure])
        shape = (image.image.shape[0], image.image.shape[1])
        labels = label_map(shape, positive, settings.training_radius, masked)
        left_out = label_map(shape, doubtful, masked, masked) != UNLABELED
        labels[left_out & (labels == UNLABELED)] = MASKED
        completed.append(TrainingImage(image.image, labels, positive, image.negative))
        added += len(sure)
    log.info("Training on %d sure peaks besides the labels.", added)
    return completed


def _far_from(known: np.ndarray, xy: np.ndarray, distance: float) -> np.ndarray:
    """Which (n,) of the points (n, 2) have no known one within a distance."""
    if not len(known) or not len(xy):
        return np.ones(len(xy), bool)
    nearest, _ = cKDTree(known).query(xy)
    return np.asarray(nearest > distance)
