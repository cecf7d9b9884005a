# SPDX-License-Identifier: GPL-3.0-or-later
"""What one step of training evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import torch
from torch import Tensor, nn

from ..device import fast_dtype
from ..networks.architectures import Decoder, Network


class TrainedModel(nn.Module):
    """The network and, while it helps training, the decoder."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.decoder = Decoder(network.latent)


@dataclass(frozen=True)
class StepLoss:
    """The objective on one batch.

    Attributes:
        total: to be made small.
        parts: of the labelled regions, the unlabelled ones and the reconstruction.
        regions: scored.
    """

    total: Tensor
    parts: Tuple[float, float, float]
    regions: int


def compute_features(network: Network, tiles: Tensor) -> Tensor:
    """Features of tiles (b, 1, h, w), in the number format that is fast on their device."""
    dtype = fast_dtype(tiles.device)
    with torch.autocast(tiles.device.type, dtype, enabled=dtype != torch.float32):
        return network.features(tiles)
