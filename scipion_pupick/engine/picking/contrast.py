# SPDX-License-Identifier: GPL-3.0-or-later
"""How much particles stand out from what is round them."""

from __future__ import annotations

import math

import numpy as np

from .peaks import Peaks

# in diameters: the middle of a particle ends, and what is round it begins and ends
_MIDDLE, _AROUND, _FAR = 0.25, 0.6, 0.8
# log-odds; more likely a particle than not
_LIKELY = 0.0


def particle_contrast(image: np.ndarray, peaks: Peaks, diameter_px: float) -> float:
    """By how much likely particles are darker than what is round them.

    Args:
        image: (h, w), a working image.
        peaks: in it, px.
        diameter_px: of a particle, px.

    Returns:
        In standard deviations of the image; NaN without a likely particle.
    """
    centres = np.round(peaks.xy[peaks.score >= _LIKELY]).astype(int)
    spread = float(image.std())
    if not len(centres) or not spread > 0:
        return math.nan
    reach = max(1, math.ceil(_FAR * diameter_px))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(rows, columns) / diameter_px
    middle, around = distance <= _MIDDLE, (distance >= _AROUND) & (distance <= _FAR)
    means = [
        image[
            np.clip(centres[:, 1, None] + rows[part], 0, image.shape[0] - 1),
            np.clip(centres[:, 0, None] + columns[part], 0, image.shape[1] - 1),
        ].mean()
        for part in (middle, around)
    ]
    return float(means[1] - means[0]) / spread
