# SPDX-License-Identifier: GPL-3.0-or-later
"""Random numbers."""

from __future__ import annotations

import math

import numpy as np


def log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform between those of `low` and `high`, both > 0."""
    return math.exp(random.uniform(math.log(low), math.log(high)))
