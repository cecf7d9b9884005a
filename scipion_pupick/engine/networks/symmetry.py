# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that give a region and the same region turned by 90° the same score.

Particles lie on a grid at every angle, and nothing in a micrograph tells which way is up. Networks
that have to learn this spend their weights on copies of what they know. Here the copies are exact:
channels come in fours, one feature turned by 0, 90, 180 and 270°, so that four filters are one
filter turned, and the classifier takes all four alike (Cohen & Welling, ICML 2016, group p4). To
whatever only uses such a network, it is like any other.
"""

from __future__ import annotations

from typing import List

import torch
from torch import Tensor, nn

TURNS = 4
# of the largest weight of a layer; rounding of long trainings stays far below
SYMMETRY_TOLERANCE = 1e-3


def make_symmetric(network: nn.Module) -> None:
    """Return the four channels of each feature the weights of the first of them, turned.

    Args:
        network: of convolutions and batch norms, with numbers of channels that four divides but
            for the image's and the score's.
    """
    with torch.no_grad():
        for value in _weights(network):
            value.copy_(_turned(_turned_back(value)[0], value.shape))


def is_symmetric(network: nn.Module) -> bool:
    """Whether turned regions score alike, but for rounding.

    Args:
        network: as for `make_symmetric`.
    """
    return all(
        bool((value - symmetric(value)).abs().max() <= SYMMETRY_TOLERANCE * value.abs().max())
        for value in _weights(network)
    )


def symmetrise_step(network: nn.Module) -> None:
    """Make symmetric what a backward pass has left: gradients and the statistics of batch norms.

    A symmetric gradient is the one of a loss of which the batch holds every region in all four
    turns. Steps along it leave a symmetric network symmetric.

    Args:
        network: as for `make_symmetric`, on its way in training.
    """
    gradients = [value.grad for value in network.parameters() if value.grad is not None]
    statistics = [value for value in network.buffers() if value.is_floating_point()]
    with torch.no_grad():
        for value in [*gradients, *statistics]:
            value.copy_(symmetric(value))


def symmetric(value: Tensor) -> Tensor:
    """Return the symmetric weights that are nearest: the mean over the four turns.

    Args:
        value: weights (out, in, h, w) of a convolution, where `in` is 1 for the image and `out` is
            1 for the classifier, or (channels,) of a batch norm, or a single number.
    """
    return _turned(_turned_back(value).mean(dim=0), value.shape)


def _weights(network: nn.Module) -> List[Tensor]:
    return [value for value in network.state_dict().values() if value.is_floating_point()]


def _turned_back(value: Tensor) -> Tensor:
    """Weights (4, ...) of each turn of the features, turned back to the first."""
    if value.numel() == 1:
        return value.expand(TURNS, *value.shape)
    if value.dim() == 1:
        return value.unflatten(0, (-1, TURNS)).movedim(1, 0)
    if value.shape[0] == 1:
        return value.unflatten(1, (-1, TURNS)).movedim(2, 0)
    filters_of_turns = value.unflatten(0, (-1, TURNS)).unbind(1)
    return torch.stack([_turn(weights, -turns) for turns, weights in enumerate(filters_of_turns)])


def _turned(weights: Tensor, shape: torch.Size) -> Tensor:
    """Weights of all four turns of the features, in the layout of a network."""
    if shape.numel() == 1:
        return weights
    if len(shape) == 1:
        return weights.repeat_interleave(TURNS)
    if shape[0] == 1:
        return weights.repeat_interleave(TURNS, dim=1)
    return torch.stack([_turn(weights, turns) for turns in range(TURNS)], dim=1).flatten(0, 1)


def _turn(weights: Tensor, turns: int) -> Tensor:
    """Turn filters (features, in, h, w), and with them which turn of a feature they look at."""
    filters = torch.rot90(weights, turns, (2, 3))
    if weights.shape[1] == 1:
        return filters
    return filters.unflatten(1, (-1, TURNS)).roll(turns, dims=2).flatten(1, 2)
