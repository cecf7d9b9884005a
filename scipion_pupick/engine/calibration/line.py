# SPDX-License-Identifier: GPL-3.0-or-later
"""A line from a network's scores to log-odds, and a network that has it built in."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch

from ..networks.architectures import Network

LEAST_SLOPE = 0.1  # of a fit; scores must not lose their order


@dataclass(frozen=True)
class Calibration:
    """A rising line from a network's scores to log-odds that their peaks are particles.

    Attributes:
        slope: log-odds by score.
        offset: log-odds of the score 0.
        error: standard error that the log-odds share, where particles and others are as likely.
    """

    slope: float
    offset: float
    error: float

    def log_odds(self, scores: np.ndarray) -> np.ndarray:
        """Map scores of any shape to log-odds."""
        return self.slope * scores + self.offset


def calibrated(network: Network, calibration: Calibration) -> Network:
    """Copy a network, with the line folded into its last layer."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        network.classifier.weight.mul_(calibration.slope)
        bias = network.classifier.bias
        if bias is not None:
            bias.mul_(calibration.slope).add_(calibration.offset)
    return network
