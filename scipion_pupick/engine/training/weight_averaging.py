# SPDX-License-Identifier: GPL-3.0-or-later
"""The average of the weights that training found with those that it started from."""

from __future__ import annotations

import copy
import math
from typing import Callable, Tuple

from ..networks.architectures import Network

_START_WEIGHT = 8.0
_CLEARLY_BETTER = 0.02


def interpolate_weights(network: Network, start: Network, fraction: float) -> Network:
    """Average the weights of a network, which get this fraction, with those that it started from.

    Training finds weights that suit the labels too well; part of the way back lie weights that
    suit all particles better (Wortsman et al., CVPR 2022).
    """
    average = copy.deepcopy(network)
    for value, old in zip(average.state_dict().values(), start.state_dict().values()):
        if value.is_floating_point():
            value.lerp_(old.to(value.device), 1 - fraction)
    return average


def default_fraction(labels: int) -> float:
    """Fraction of what training found in the average with its start, √N : 8 for N labels.

    More labels help less than their number says: they share micrographs, and the taste of who
    picked them.
    """
    return math.sqrt(labels) / (math.sqrt(labels) + _START_WEIGHT)


def choose_fraction(
    network: Network, start: Network, labels: int, validate_average: Callable[[Network], float]
) -> Tuple[float, float]:
    """Choose the fraction of what training found in the average with its start.

    Args:
        network: trained.
        start: that its training started from.
        labels: number that the network was trained on.
        validate_average: returns the held-out average precision of an average, NaN without
            held-out labels.

    Returns:
        The fraction, which is the default unless none or all has an average precision that is
        better by 0.02; and its average precision.
    """
    default = default_fraction(labels)
    precisions = {
        fraction: validate_average(interpolate_weights(network, start, fraction))
        for fraction in (default, 0.0, 1.0)
    }
    extreme = max((0.0, 1.0), key=lambda fraction: precisions[fraction])
    is_better = precisions[extreme] > precisions[default] + _CLEARLY_BETTER
    fraction = extreme if is_better else default
    return fraction, precisions[fraction]
