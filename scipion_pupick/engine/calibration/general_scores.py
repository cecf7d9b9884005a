# SPDX-License-Identifier: GPL-3.0-or-later
"""Log-odds of the general model's scores in micrographs that it has not learned from."""

from __future__ import annotations

import math
from typing import Optional, Tuple

import numpy as np
from scipy.special import expit

from ..picking.decoys import PeaksAndDecoys
from ..settings import STRIDE
from .line import Calibration, with_count, with_coverage
from .target_decoy import calibrate_target_decoy

# times the number of particles
_ABOUT = 0.8, 1.25


def calibrate_general(found: PeaksAndDecoys, particles: Optional[float], step: int) -> Calibration:
    """Fit the line to the scores of micrographs.

    Args:
        found: in the micrographs.
        particles: expected among all peaks; None if that is not known.
        step: distance of two scores of the network, px.
    """
    scores, decoys = found.scores, np.concatenate([*found.decoys, np.empty(0)])
    line = calibrate_target_decoy(scores, decoys, particles, step=step)
    in_negatives = float(expit(decoys).sum()) * len(found.peaks) / max(1, len(found.decoys))
    line = with_count(line, scores, *_likely_count(scores, in_negatives, particles))
    if particles is None and step < STRIDE and len(scores):
        line = with_coverage(line, scores, found.room)
    return line


def _likely_count(
    scores: np.ndarray, in_negatives: float, expected: Optional[float]
) -> Tuple[float, float]:
    """Fewest and most particles that may be among peaks.

    Among strong contamination, faint particles look like a tail of other peaks, and the fit may
    leave them out. The number that users know, within what "about" means, says otherwise; or else
    what the model itself expects there, beyond what it expects in the negatives.
    """
    if expected is not None:
        return _ABOUT[0] * expected, _ABOUT[1] * expected
    excess = float(expit(scores).sum()) - in_negatives
    return _ABOUT[0] * max(0.0, excess), math.inf
