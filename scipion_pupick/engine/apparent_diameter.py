# SPDX-License-Identifier: GPL-3.0-or-later
"""How wide particles look to the general model, and so at which scale it should see them.

What a user calls the diameter may be too large or too small, and particles are not round. The
general model is most certain of its picks where particles are as wide as those that it was trained
on, so the scale is chosen at which it is most certain: no label is needed.
"""

from __future__ import annotations

import logging
from typing import List, Sequence

import numpy as np
from scipy.special import expit

from .downsample import WorkingScale
from .micrograph import Micrograph
from .model import Model
from .prepare import WorkingImage, prepare
from .scoring import Scorer
from .stream import prepared_ahead
from .training import inner_peaks

log = logging.getLogger(__name__)

STEP = 1.12
LEAST_GAIN = 0.01
LEAST_PARTICLES = 20.0
MOST_MICROGRAPHS = 3


def spread(micrographs: Sequence[Micrograph], most: int) -> List[Micrograph]:
    """Choose at most so many micrographs, spread evenly."""
    count = min(most, len(micrographs))
    return [micrographs[i] for i in np.linspace(0, len(micrographs) - 1, count).astype(int)]


def suited_scale(
    general: Model, scorer: Scorer, scale: WorkingScale, micrographs: Sequence[Micrograph]
) -> WorkingScale:
    """Choose the scale at which the general model is most certain.

    Scales differ by steps of 12 %, up to three up and three down from the one given: two steps
    first, then one. The given one stays where the model finds next to nothing at all of them, or is
    hardly more certain elsewhere.

    Args:
        general: the model.
        scorer: of its network.
        scale: that of the diameter which the user gave.
        micrographs: to look at three of them; those that cannot be used are left out.

    Returns:
        A scale of the same diameter (Å), with another width in working images.
    """
    chosen = spread(micrographs, MOST_MICROGRAPHS)

    def at(steps: int) -> WorkingScale:
        return WorkingScale(scale.diameter, scale.diameter_px / STEP**steps)

    def certainty_at(steps: int) -> float:
        return certainty(peak_scores(general, scorer, at(steps), chosen))

    reached = {steps: certainty_at(steps) for steps in (-2, 0, 2)}
    middle = max(reached, key=lambda steps: reached[steps])
    reached.update({steps: certainty_at(steps) for steps in (middle - 1, middle + 1)})
    best = max(reached, key=lambda steps: reached[steps])
    if reached[best] <= reached[0] + LEAST_GAIN:
        best = 0
    if best:
        log.info(
            "To the general model the particles look %.0f Å wide rather than %.0f Å: it works at "
            "that scale. Nothing else changes.",
            scale.diameter * STEP**best,
            scale.diameter,
        )
    return at(best)


def certainty(scores: Sequence[np.ndarray]) -> float:
    """Mean probability of the peaks that are particles, as the model itself sees it.

    A peak that is a particle with probability p counts with the weight p. 0 where the
    probabilities add up to fewer than 20 particles.

    Args:
        scores: log-odds (n,) of the peaks of each micrograph.
    """
    chance = expit(np.concatenate([*scores, np.empty(0)]))
    particles = float(chance.sum())
    return float((chance**2).sum()) / particles if particles >= LEAST_PARTICLES else 0.0


def peak_scores(
    general: Model, scorer: Scorer, scale: WorkingScale, micrographs: Sequence[Micrograph]
) -> List[np.ndarray]:
    """Scores (n,) of the peaks of each micrograph that can be used."""

    def prepared(micrograph: Micrograph) -> WorkingImage:
        return prepare(micrograph, scale, general.normalisation, general.mixture)

    return [
        inner_peaks(scorer, image.image, scale.diameter_px).score
        for _, image in prepared_ahead(prepared, micrographs)
        if isinstance(image, WorkingImage)
    ]
