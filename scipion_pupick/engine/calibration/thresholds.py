# SPDX-License-Identifier: GPL-3.0-or-later
"""Thresholds that follow from what a user wants of the picks."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..errors import UsageError
from .precision_recall_estimate import EstimatedCurve


def threshold_of_precision(curve: EstimatedCurve, precision: float) -> float:
    """Return the lowest threshold from which on the estimated precision is high enough.

    Args:
        curve: estimate over all peaks.
        precision: wanted, between 0 and 1.

    Raises:
        UsageError: no threshold reaches it.
    """
    if not 0 < precision < 1:
        raise UsageError(
            f"The precision is {precision:g}: give a share between 0 and 1, such as 0.9."
        )
    if len(curve.threshold) == 0:
        raise UsageError("There is no peak to reach a precision with.")
    low = np.flatnonzero(curve.precision < precision)
    first = int(low[-1]) + 1 if len(low) else 0
    if first == len(curve.threshold):
        highest = float(curve.precision.max())
        # rounded, it may be as high as what was asked for
        said = f"{highest:.4g}" if round(highest, 4) < precision else f"{highest:.9g}"
        raise UsageError(
            f"No threshold reaches an estimated precision of {precision:.9g}: the highest is "
            f"{said}."
        )
    return float(curve.threshold[first])


def threshold_of_count(scores: Sequence[np.ndarray], per_micrograph: float) -> float:
    """Return the threshold that takes a number of peaks a micrograph, on average.

    Args:
        scores: of all peaks, an array (n,) for each micrograph.
        per_micrograph: wanted number; where there are fewer peaks, all are taken.

    Raises:
        UsageError: the number is not positive, or there is no peak.
    """
    if not per_micrograph > 0:
        raise UsageError(f"The number per micrograph is {per_micrograph:g}: it must be positive.")
    every = np.concatenate([*scores, np.empty(0)])
    if not len(every):
        raise UsageError("There is no peak in any micrograph.")
    wanted = max(1, round(per_micrograph * len(scores)))
    rank = len(every) - min(wanted, len(every))
    # of millions, all need not be in order
    every.partition(rank)
    return float(every[rank])
