# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a training has come: all that it needs to go on, and its epochs so far."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Dict, Tuple

from torch import Tensor

from ..networks.architectures import Network, make_network
from ..settings import OptimizerSettings

log = logging.getLogger(__name__)

State = Dict[str, Tensor]


@dataclass(frozen=True)
class Epoch:
    """One row of the training log.

    Attributes:
        epoch: counted from 1.
        loss: mean of the whole objective.
        classification: its part on labelled regions.
        penalty: its part on unlabelled regions, that of distillation too.
        reconstruction: error of the autoencoder, squared grey values a pixel.
        pi: fraction of positive regions assumed among the unlabelled.
        regions: regions scored.
        held_out_ap: average precision estimated from the held-out labels; NaN without any.
    """

    epoch: int
    loss: float
    classification: float
    penalty: float
    reconstruction: float
    pi: float
    regions: int
    held_out_ap: float


@dataclass(frozen=True)
class Progress:
    """All that training needs to go on after an epoch.

    Attributes:
        weights: network and decoder in training.
        average: moving average of the weights.
        best: the average after the best epoch.
        optimizer: the optimiser's tensors.
        history: the epochs done.
        best_epoch: counted from 1; 0 in the first half of a training with held-out labels.
        best_ap: held-out average precision of the best epoch; NaN without held-out labels.
    """

    weights: State
    average: State
    best: State
    optimizer: State
    history: Tuple[Epoch, ...]
    best_epoch: int
    best_ap: float


def best_network(progress: Progress, settings: OptimizerSettings) -> Network:
    """Make the network of the best epoch, in evaluation mode."""
    return network_of_state(progress.best, settings)


def network_of_state(state: State, settings: OptimizerSettings) -> Network:
    """Make a network, in evaluation mode, of weights that stand beside those of the decoder."""
    prefix = "network."
    network = make_network(settings.network, settings.units)
    network.load_state_dict(
        {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    )
    return network.eval()


def log_epoch(progress: Progress) -> None:
    """Tell how the last epoch went."""
    epoch = progress.history[-1]
    precision = f", held-out average precision {epoch.held_out_ap:.3f}"
    log.info(
        "epoch %d: loss %.4f (labelled %.4f, unlabelled %.4f, reconstruction %.4g)%s",
        epoch.epoch,
        epoch.loss,
        epoch.classification,
        epoch.penalty,
        epoch.reconstruction,
        "" if math.isnan(epoch.held_out_ap) else precision,
    )
