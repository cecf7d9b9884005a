# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether particles look dark or bright, so that the general model sees both alike.

Protein is darker than ice, and the general model was trained on nothing else. In negative stain,
and in micrographs that a program has inverted, particles are bright. A network whose first
convolution has the opposite sign scores an image as the network itself scores its negative, so
nothing else changes.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Optional, Sequence, Tuple

import torch

from ..micrographs import AnyMicrograph
from ..networks.architectures import inverted
from ..networks.model import Model
from ..networks.scoring import make_judge
from ..preprocessing.scale import WorkingScale
from .scale import ScaleSearch, confidence, read_middles

log = logging.getLogger(__name__)

# of the confidences; where next to nothing is found, dark particles are the likely ones
LEAST_ADVANTAGE = 0.05
# where dark particles have this advantage in one micrograph, the others' negatives are not looked
# at; see docs/decisions/027-fits-to-parts.md
CLEAR_ADVANTAGE = 0.1


def fit_contrast(
    general: Model,
    scale: WorkingScale,
    micrographs: Sequence[AnyMicrograph],
    device: torch.device,
) -> ScaleSearch:
    """Begin a search for the scale, with the model that is surer of the micrographs.

    Args:
        general: the model.
        scale: that of the diameter which the user gave.
        micrographs: to look at the middles of three of them; those that cannot be used are left
            out.
        device: to score on.

    Returns:
        A search with the general model, or with one that sees negatives.
    """
    judge = make_judge(general.network, device)
    return with_contrast(ScaleSearch(general, judge, scale, read_middles(scale, micrographs)))


def with_contrast(search: ScaleSearch) -> ScaleSearch:
    """Return a search with the general model, or with one that sees negatives, if that is surer."""
    dark, bright = _confidences(search, most=1)
    if dark >= bright + CLEAR_ADVANTAGE:
        return search
    dark, bright = _confidences(search)
    if bright <= dark + LEAST_ADVANTAGE:
        return search
    log.info("Particles look brighter than what is round them: the general model is inverted.")
    return search.of_inverted(invert_contrast(search.general))


def _confidences(search: ScaleSearch, most: Optional[int] = None) -> Tuple[float, float]:
    """Of dark and of bright particles, in all micrographs or in so many."""
    dark, bright = (search.peaks(0, negatives, most) for negatives in (False, True))
    return confidence(dark), confidence(bright)


def invert_contrast(model: Model) -> Model:
    """Copy a model so that it sees negatives, and says so in its training record."""
    training = replace(model.training, bright_particles=True)
    return replace(model, network=inverted(model.network), training=training)
