# SPDX-License-Identifier: GPL-3.0-or-later
"""The fraction of positive regions, and scores that start from it."""

from __future__ import annotations

import copy
import math
from typing import List, Sequence

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from torch import nn

from ..adaptation.scale import evenly_spaced
from ..networks.architectures import Network, make_network
from ..networks.scoring import make_picking_scorer
from ..settings import OptimizerSettings
from .regions import TrainingImage, expected_unlabeled, positive_fraction

_MOST_SCORED = 10


def labelled_images(images: Sequence[TrainingImage]) -> List[TrainingImage]:
    """Return the images that hold at least one label."""
    return [image for image in images if len(image.positive)]


def images_of_u(
    images: Sequence[TrainingImage], settings: OptimizerSettings
) -> Sequence[TrainingImage]:
    """Return the images that unlabelled regions are drawn from."""
    return images if settings.sampling == "regions" else labelled_images(images)


def assumed_pi(
    images: Sequence[TrainingImage], particles: float, settings: OptimizerSettings
) -> float:
    """Fraction of positive regions among those of U, for so many particles in an image.

    Raises:
        UsageError: so many do not fit.
    """
    drawn = images_of_u(images, settings)
    left_out = settings.diameter_px / 2
    return positive_fraction(
        particles,
        [(image.image.shape[0], image.image.shape[1]) for image in drawn],
        [len(image.positive) for image in drawn],
        settings.training_radius,
        settings.training_radius if settings.sampling == "regions" else left_out,
    )


def fresh_network(settings: OptimizerSettings, pi: float) -> Network:
    """Random weights, with scores that start at the log-odds of π or at even odds."""
    torch.manual_seed(settings.seed)
    network = make_network(settings.network, settings.units)
    odds = pi / (1 - pi) if settings.first_scores == "prior" else 1.0
    bias = torch.full((network.classifier.out_channels,), math.log(odds))
    network.classifier.bias = nn.Parameter(bias)
    return network


def start_scores(
    network: Network, images: Sequence[TrainingImage], device: torch.device
) -> np.ndarray:
    """Score labelled images with the network that training starts from.

    Args:
        network: trained on other images.
        images: at least one with labels; ten of these are scored.
        device: to score on.

    Returns:
        All their scores (n,).
    """
    scored = evenly_spaced(labelled_images(images), _MOST_SCORED)
    scorer = make_picking_scorer(network, device)
    return np.concatenate([scorer(image.image[None]).ravel() for image in scored])


def with_prior(network: Network, scores: np.ndarray, pi: float) -> Network:
    """Copy a network, its scores shifted so that π is the mean probability over labelled images.

    The order of scores stays. Training then has only the order to improve.

    Args:
        network: trained on other images.
        scores: its `start_scores`.
        pi: fraction of positive regions.
    """
    shift = brentq(lambda shift: expit(scores + shift).mean() - pi, -100, 100)
    shifted = copy.deepcopy(network)
    with torch.no_grad():
        shifted.classifier.bias += shift
    return shifted


def prior_shift(
    images: Sequence[TrainingImage], particles: float, settings: OptimizerSettings
) -> float:
    """Log-odds to add to scores, so that they hold for labelled particles too.

    Training tells particles from regions that hold the unlabelled ones only. Where most are
    labelled, few are left there, and the network takes particles to be as rare everywhere; the odds
    rise by as much as all particles are more than these (Saerens et al., Neural Computation 2002).

    Args:
        images: trained on.
        particles: expected in an image, labelled or not.
        settings: of the training.
    """
    counts = [len(image.positive) for image in images_of_u(images, settings)]
    return math.log(particles * len(counts) / expected_unlabeled(particles, counts))
